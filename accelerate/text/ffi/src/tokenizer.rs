//! A tokenizer.json with two readings of its added tokens: as control tokens, and as plain text.
use crate::{failed, steps, Failure};
use serde_json::Value as Json;
use std::collections::HashMap;
use tokenizers::tokenizer::{AddedVocabulary, Model, OffsetType, PreTokenizer};
use tokenizers::{Encoding, TruncationDirection};

pub const ADD_SPECIAL: u32 = 1;
pub const PARSE_SPECIAL: u32 = 2;
pub const SKIP_SPECIAL: u32 = 1;
pub const TOKEN_CONTROL: u32 = 1;
pub const TOKEN_ADDED: u32 = 2;

/// How ids become text; mirrors text_token_kind of text_ffi.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only the crate's decoder knows (WordPiece, CTC ...).
    Text = 0,
    /// Each token is a run of bytes in GPT-2's printable alphabet.
    ByteLevel = 1,
    /// U+2581 is a space, <0xNN> a byte.
    Escaped = 2,
    /// As Escaped, and one space at the start of the text goes.
    EscapedStripped = 3,
}

pub struct Tokenizer {
    whole: tokenizers::Tokenizer,
    literal: AddedVocabulary, // same added tokens; those marked special are not matched
    kind: Kind,
    alphabet: HashMap<char, u8>,
}

pub struct Pair {
    pub ids: Vec<u32>,
    pub second_begin: usize,  // where the token types change to 1; ids.len() when they do not
    pub second_tokens: usize, // of the second text before it was cut
}

impl Tokenizer {
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        steps::check_before_reading(json)?;
        let mut whole = tokenizers::Tokenizer::from_bytes(json).map_err(failed)?;
        steps::check(&whole)?;
        // Cutting and padding are the caller's decision: files carry those of whoever saved them (MiniLM: 128).
        whole.with_truncation(None).map_err(failed)?;
        whole.with_padding(None);
        let mut literal = whole.get_added_vocabulary().clone();
        literal.set_encode_special_tokens(true);
        let kind = whole.get_decoder().map_or(Ok(Kind::Text), |decoder| {
            serde_json::to_value(decoder).map(|value| decoder_kind(&value)).map_err(failed)
        })?;
        Ok(Self { whole, literal, kind, alphabet: printable_alphabet() })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the model's own pair template makes of two texts: "[CLS] first [SEP] second [SEP]".
    pub fn encode_pair(&self, first: &str, second: &str, second_max: usize, flags: u32) -> Result<Pair, Failure> {
        let mut tail = self.pieces(second, flags)?;
        let second_tokens = tail.len();
        if second_max < second_tokens {
            tail.truncate(second_max, 0, TruncationDirection::Right);
            tail.take_overflowing(); // the template would build a pair with each of them
        }
        let head = self.pieces(first, flags)?;
        let encoding = self.whole.post_process(head, Some(tail), flags & ADD_SPECIAL != 0).map_err(failed)?;
        let types = encoding.get_type_ids();
        let second_begin = types.iter().position(|&kind| kind != 0).unwrap_or(types.len());
        if types[second_begin..].iter().any(|&kind| kind != 1) {
            return Err(failed("a pair's token types are 0 for the first text and 1 behind it; the pair template has others"));
        }
        Ok(Pair { ids: encoding.get_ids().to_vec(), second_begin, second_tokens })
    }

    pub fn encode(&self, text: &str, flags: u32) -> Result<Encoding, Failure> {
        self.whole.post_process(self.pieces(text, flags)?, None, flags & ADD_SPECIAL != 0).map_err(failed)
    }

    /// The tokens of a text with nothing around them.
    fn pieces(&self, text: &str, flags: u32) -> Result<Encoding, Failure> {
        let added = if flags & PARSE_SPECIAL != 0 { self.whole.get_added_vocabulary() } else { &self.literal };
        let mut pieces = added.extract_and_normalize(self.whole.get_normalizer(), text);
        if let Some(split) = self.whole.get_pre_tokenizer() {
            split.pre_tokenize(&mut pieces).map_err(failed)?;
        }
        self.whole.get_model().tokenize_in_pretokenized(&mut pieces, None).map_err(failed)?;
        pieces.into_encoding(None, 0, OffsetType::None).map_err(failed)
    }

    pub fn decode(&self, ids: &[u32], flags: u32) -> Result<String, Failure> {
        self.whole.decode(ids, flags & SKIP_SPECIAL != 0).map_err(failed)
    }

    pub fn find(&self, content: &str) -> Option<u32> {
        self.whole.token_to_id(content)
    }

    pub fn each_token(&self, mut visit: impl FnMut(u32, u32, &[u8])) {
        let added = self.whole.get_added_vocabulary();
        let mut tokens: Vec<(u32, String)> =
            self.whole.get_vocab(true).into_iter().map(|(content, id)| (id, content)).collect();
        tokens.sort_unstable();
        for (id, content) in tokens {
            let is_added = added.get_added_tokens_decoder().contains_key(&id);
            if is_added && added.is_special_token(&content) {
                visit(id, TOKEN_ADDED | TOKEN_CONTROL, content.as_bytes());
            } else if is_added {
                visit(id, TOKEN_ADDED, &self.bytes_of(&added.simple_id_to_token(id).unwrap_or(content)));
            } else {
                visit(id, 0, &self.bytes_of(&content));
            }
        }
    }

    fn bytes_of(&self, content: &str) -> Vec<u8> {
        match self.kind {
            Kind::Text => content.as_bytes().to_vec(),
            // One character outside the alphabet means the token is stored raw, as the crate's decoder has it.
            Kind::ByteLevel => content
                .chars()
                .map(|c| self.alphabet.get(&c).copied())
                .collect::<Option<Vec<u8>>>()
                .unwrap_or_else(|| content.as_bytes().to_vec()),
            Kind::Escaped | Kind::EscapedStripped => match byte_token(content) {
                Some(byte) => vec![byte],
                None => content.replace('\u{2581}', " ").into_bytes(),
            },
        }
    }
}

/// The byte of "<0x0A>".
fn byte_token(content: &str) -> Option<u8> {
    let digits = content.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's byte alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and up, in order.
fn printable_alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255u8)
        .map(|byte| {
            let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
            let code = if printable { u32::from(byte) } else { next += 1; next - 1 };
            (char::from_u32(code).unwrap(), byte)
        })
        .collect()
}

fn decoder_kind(decoder: &Json) -> Kind {
    let name = |value: &Json| value["type"].as_str().unwrap_or("").to_owned();
    match name(decoder).as_str() {
        "ByteLevel" => Kind::ByteLevel,
        "Metaspace" if decoder["replacement"] == "\u{2581}" => {
            if decoder["prepend_scheme"] == "never" { Kind::Escaped } else { Kind::EscapedStripped }
        }
        "Sequence" => {
            let steps = decoder["decoders"].as_array().cloned().unwrap_or_default();
            let names: Vec<String> = steps.iter().map(name).collect();
            let unescapes = steps.first().is_some_and(|step| {
                step["type"] == "Replace" && step["pattern"]["String"] == "\u{2581}" && step["content"] == " "
            });
            match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["Replace", "ByteFallback", "Fuse"] if unescapes => Kind::Escaped,
                ["Replace", "ByteFallback", "Fuse", "Strip"]
                    if unescapes && steps[3]["content"] == " " && steps[3]["start"] == 1 && steps[3]["stop"] == 0 =>
                {
                    Kind::EscapedStripped
                }
                ["ByteLevel"] => Kind::ByteLevel,
                _ => Kind::Text,
            }
        }
        _ => Kind::Text,
    }
}
