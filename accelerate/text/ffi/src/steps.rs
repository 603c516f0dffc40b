//! What the steps of a tokenizer.json may do to a text. A model's file is not trusted: forty steps that replace "a" by "aa"
//! make a terabyte of one letter, and the library has no limit of its own.
use crate::{failed, Failure};
use serde_json::Value as Json;
use tokenizers::models::ModelWrapper;

const STEPS_MAX: usize = 64; // of one kind; the longest known chain has 9
const GROWTH_MAX: usize = 64; // of bytes, all steps of a kind together; Llama's two give 12
const TEMPLATE_PIECES_MAX: usize = 64; // special tokens and texts of one template; BERT's pair has 5
const SPECIAL_IDS_MAX: usize = 64; // that one special token of a template stands for; all known have 1
const WORD_CHARS_MAX: usize = 1000; // WordPiece is quadratic in it; BERT has 100

/// The part of the file that is looked at before the library reads it; the rest is only checked to be JSON, which some of
/// the library's readers take for granted.
#[derive(serde::Deserialize)]
struct Front {
    #[serde(default)]
    normalizer: Json,
}

pub fn check_before_reading(file: &[u8]) -> Result<(), Failure> {
    let front: Front = serde_json::from_slice(file).map_err(failed)?;
    character_maps(&front.normalizer)
}

/// SentencePiece's character maps tell the size of their trie, for which the library allocates whatever it is.
fn character_maps(part: &Json) -> Result<(), Failure> {
    match part {
        Json::Array(parts) => parts.iter().try_for_each(character_maps),
        Json::Object(members) => members.iter().try_for_each(|(name, value)| match value.as_str() {
            Some(map) if name == "precompiled_charsmap" && trie_bytes(map) > map.len() / 4 * 3 => {
                Err(failed(format!("a character map holds its trie; got {} bytes for a trie of {}", map.len() / 4 * 3, trie_bytes(map))))
            }
            _ => character_maps(value),
        }),
        _ => Ok(()),
    }
}

/// The first four bytes of base64, little-endian; 0 where the library refuses the text itself.
fn trie_bytes(map: &str) -> usize {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bits = map.bytes().take(6).try_fold(0u64, |bits, c| Some(bits << 6 | u64::from(digit(c)?)));
    if map.len() < 6 { 0 } else { bits.map_or(0, |bits| ((bits >> 4) as u32).swap_bytes() as usize) }
}

pub fn check(whole: &tokenizers::Tokenizer) -> Result<(), Failure> {
    chain("normalizer", &json_of(whole.get_normalizer())?)?;
    chain("pre-tokenizer", &json_of(whole.get_pre_tokenizer())?)?;
    chain("decoder", &json_of(whole.get_decoder())?)?;
    chain("post-processor", &json_of(whole.get_post_processor())?)?;
    match whole.get_model() {
        ModelWrapper::WordPiece(model) if model.max_input_chars_per_word > WORD_CHARS_MAX => {
            Err(failed(format!("max_input_chars_per_word is at most {WORD_CHARS_MAX}; got {}", model.max_input_chars_per_word)))
        }
        _ => Ok(()),
    }
}

fn json_of(part: Option<&impl serde::Serialize>) -> Result<Json, Failure> {
    part.map_or(Ok(Json::Null), |part| serde_json::to_value(part).map_err(failed))
}

fn chain(what: &str, part: &Json) -> Result<(), Failure> {
    let mut steps = Vec::new();
    flatten(part, &mut steps);
    if steps.len() > STEPS_MAX {
        return Err(failed(format!("a {what} has at most {STEPS_MAX} steps; got {}", steps.len())));
    }
    let growth = steps.iter().fold(1usize, |all, step| all.saturating_mul(growth(step)));
    if growth > GROWTH_MAX {
        return Err(failed(format!("a {what} may make a text {GROWTH_MAX} times as long; got one that makes it {growth} times")));
    }
    steps.iter().filter(|step| step["type"] == "TemplateProcessing").try_for_each(|step| template(step))
}

/// The steps of nested sequences, in order.
fn flatten<'a>(part: &'a Json, steps: &mut Vec<&'a Json>) {
    let inner = ["normalizers", "pretokenizers", "decoders", "processors"].iter().find_map(|name| part[*name].as_array());
    match inner {
        Some(inner) => inner.iter().for_each(|step| flatten(step, steps)),
        None if part.is_null() => {}
        None => steps.push(part),
    }
}

/// How many times longer a text gets at most, in bytes.
fn growth(step: &Json) -> usize {
    let bytes = |name: &str| step[name].as_str().map_or(0, str::len);
    match step["type"].as_str() {
        Some("Replace") => match step["pattern"]["String"].as_str() {
            Some(pattern) if !pattern.is_empty() => bytes("content").div_ceil(pattern.len()).max(1),
            _ => 1 + bytes("content"), // an expression or an empty pattern may match between any two bytes
        },
        Some("Prepend") => 1 + bytes("prepend"),
        _ => 1, // compatibility forms (NFKC) grow single characters up to elevenfold, and only once
    }
}

/// Each text stands in a template once, so that templates in a row do not multiply it.
fn template(step: &Json) -> Result<(), Failure> {
    for form in ["single", "pair"] {
        let pieces = step[form].as_array().map_or(&[][..], Vec::as_slice);
        let times = |id: &str| pieces.iter().filter(|piece| piece["Sequence"]["id"] == id).count();
        if pieces.len() > TEMPLATE_PIECES_MAX || times("A") > 1 || times("B") > 1 {
            return Err(failed(format!("a template has at most {TEMPLATE_PIECES_MAX} pieces and each text once; got {} pieces", pieces.len())));
        }
    }
    let tokens = step["special_tokens"].as_object();
    match tokens.into_iter().flatten().find(|(_, token)| token["ids"].as_array().is_some_and(|ids| ids.len() > SPECIAL_IDS_MAX)) {
        Some((name, _)) => Err(failed(format!("a template's token stands for at most {SPECIAL_IDS_MAX} ids; '{name}' has more"))),
        None => Ok(()),
    }
}
