//! Grammars for answers: a JSON Schema, a Lark grammar or a regular expression compiled by llguidance under limits, and
//! the matchers that follow one answer each.
use crate::budget::{self, Budget};
use crate::{failed, panic_text, schema, Failure, Status};
use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::ffi::LlgTokenizer;
use llguidance::toktrie::{InferenceCapabilities, SimpleVob};
use llguidance::{Logger, ParserFactory};
use serde_json::Value;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Mirrors text_grammar_limits of text_ffi.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    pub memory_bytes: u64, // held by one compilation
    pub deadline_ms: u64,  // wall time its caller waits
}

// Parsers, and llguidance's walk through references and properties, recurse up to some ten thousand times at a few KB.
// Virtual until used.
const STACK_BYTES: usize = 256 << 20;
// Compilations at once. One given up for its time goes on to its end, which llguidance's fuel bounds, and one stopped for
// its memory keeps its thread and memory for good; both keep their place, so hostile grammars can take no more than that.
const COMPILATIONS_MAX: u32 = 4;
static RUNNING: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

fn parser_limits() -> ParserLimits {
    ParserLimits {
        step_lexer_fuel: 100_000,  // of one mask: 7 ms at its worst
        step_max_items: 25_000,    // of one mask: 1 ms
        max_lexer_states: 50_000,  // of one answer: up to 100 MB
        precompute_large_lexemes: true,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Compiled; answers get deep copies, so that none meets the states another has added to its lexer.
pub struct Grammar {
    origin: Mutex<llguidance::Matcher>,
}

pub struct Matcher {
    inner: llguidance::Matcher,
    ends: Vec<u32>,
}

impl Grammar {
    /// On a thread of its own, so that the caller gets an answer within the deadline and no stack overflows.
    pub fn compile(tokenizer: &LlgTokenizer, kind: u32, text: String, limits: Limits) -> Result<Self, Failure> {
        let deadline = Instant::now() + Duration::from_millis(limits.deadline_ms);
        let place = Place::take(deadline)?;
        let budget = Arc::new(Budget {
            exceeded: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            waiter: std::thread::current(),
        });
        let answer = Arc::new(Mutex::new(None));
        let task = { (tokenizer.clone(), budget.clone(), answer.clone(), place) };
        std::thread::Builder::new()
            .name("grammar".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let (tokenizer, budget, answer, place) = task;
                budget::enter(Arc::as_ptr(&budget), limits.memory_bytes as usize);
                let result = catch_unwind(AssertUnwindSafe(|| build(tokenizer.factory(), kind, &text)))
                    .unwrap_or_else(|payload| Err((Status::Panicked, panic_text(payload.as_ref()))));
                budget::leave();
                drop(place);
                *answer.lock().unwrap() = Some(result);
                budget.waiter.unpark();
            })
            .map_err(failed)?;
        wait(&budget, &answer, deadline).map(|matcher| Self { origin: Mutex::new(matcher) })
    }

    pub fn matcher(&self) -> Result<Matcher, Failure> {
        let inner = self.origin.lock().map_err(|_| (Status::Panicked, "an earlier copy panicked".to_owned()))?.deep_clone();
        let ends = inner.tok_env().map_err(failed)?.tok_trie().eos_tokens().to_vec();
        Ok(Matcher { inner, ends })
    }
}

impl Matcher {
    /// One bit a token, tokens beyond the vocabulary 0.
    pub fn mask(&mut self, words: &mut [u32]) -> Result<(), Failure> {
        let mask = self.allowed()?;
        let known = mask.as_slice();
        let shared = known.len().min(words.len());
        words[..shared].copy_from_slice(&known[..shared]);
        words[shared..].fill(0);
        Ok(())
    }

    fn allowed(&mut self) -> Result<SimpleVob, Failure> {
        let mut mask = self.inner.compute_mask().map_err(describe)?;
        if !self.may_end() {
            self.ends.iter().for_each(|end| mask.disallow_token(*end)); // a Lark rule that stops at EOS may go on after it
        }
        if mask.is_zero() {
            return Err((Status::Failed, "nothing that it allows can come next".into()));
        }
        Ok(mask)
    }

    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        self.inner.consume_token(token).map_err(describe)
    }

    pub fn may_end(&mut self) -> bool {
        self.inner.is_accepting().unwrap_or(false)
    }

    pub fn must_end(&self) -> bool {
        self.inner.is_stopped() && !self.inner.is_error()
    }
}

/// One of the places to compile in; given back when its thread is done.
struct Place;

impl Place {
    fn take(deadline: Instant) -> Result<Self, Failure> {
        let (running, changed) = &RUNNING;
        let mut running = running.lock().unwrap();
        while *running >= COMPILATIONS_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err((Status::Busy, format!("{COMPILATIONS_MAX} grammars are being compiled")));
            }
            running = changed.wait_timeout(running, left).unwrap().0;
        }
        *running += 1;
        Ok(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap() -= 1;
        RUNNING.1.notify_one();
    }
}

type Answer = Mutex<Option<Result<llguidance::Matcher, Failure>>>;

fn wait(budget: &Budget, answer: &Answer, deadline: Instant) -> Result<llguidance::Matcher, Failure> {
    loop {
        if let Some(result) = answer.lock().unwrap().take() {
            return result;
        }
        if budget.exceeded.load(Ordering::Acquire) {
            return Err((Status::OutOfMemory, "compiling it needs more memory than it may have".into()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err((Status::DeadlineExceeded, "compiling it takes longer than it may".into()));
        }
        std::thread::park_timeout(left);
    }
}

fn build(factory: &ParserFactory, kind: u32, text: &str) -> Result<llguidance::Matcher, Failure> {
    let grammar = match kind {
        0 => TopLevelGrammar::from_json_schema(schema_of(text)?),
        1 => TopLevelGrammar::from_lark(lark_of(text)?),
        _ => regex_of(text)?,
    };
    let parser = factory.create_parser_from_init_ext(
        GrammarInit::Serialized(grammar),
        Logger::new(0, 0),
        InferenceCapabilities::default(),
        parser_limits(),
    );
    let matcher = llguidance::Matcher::new(parser);
    if let Some(error) = matcher.get_error() {
        return Err((Status::Failed, readable(&error)));
    }
    let grammar = Grammar { origin: Mutex::new(matcher) };
    grammar.matcher()?.allowed().map_err(|(status, why)| (status, format!("it allows no answer: {why}")))?;
    Ok(grammar.origin.into_inner().unwrap())
}

fn schema_of(text: &str) -> Result<Value, Failure> {
    let value = serde_json::from_str(text).map_err(|error| failed(format!("it is not JSON: {error}")))?;
    schema::checked(value).map_err(failed)
}

fn regex_of(text: &str) -> Result<TopLevelGrammar, Failure> {
    let backslashes = text.len() - text.trim_end_matches('\\').len();
    if text.is_empty() || backslashes % 2 == 1 {
        return Err(failed("a regular expression is not empty and does not end in a backslash"));
    }
    Ok(TopLevelGrammar::from_regex(text))
}

/// The Lark text with each %json schema checked and rewritten as a schema by itself is.
fn lark_of(text: &str) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len() + 256);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let size = match first {
            '%' if rest.starts_with("%json") => {
                let mut values = serde_json::Deserializer::from_str(&rest[5..]).into_iter::<Value>();
                match values.next() {
                    Some(Ok(value)) => {
                        let value = schema::checked(value).map_err(|why| failed(format!("in %json: {why}")))?;
                        out.push_str(&format!("%json {value}"));
                        rest = &rest[5 + values.byte_offset()..];
                        continue;
                    }
                    _ => return Err(failed("%json is followed by a schema, a JSON object")),
                }
            }
            '%' => {  // %regex and %llguidance: their JSON may hold anything
                let name = 1 + rest[1..].bytes().take_while(u8::is_ascii_lowercase).count();
                let mut values = serde_json::Deserializer::from_str(&rest[name..]).into_iter::<Value>();
                if matches!(&rest[..name], "%regex" | "%llguidance") && matches!(values.next(), Some(Ok(_))) {
                    name + values.byte_offset()
                } else {
                    name
                }
            }
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest[1..].starts_with('/') => rest.find('\n').unwrap_or(rest.len()),
            '"' | '/' => quoted_bytes(rest),
            '<' => special_token_bytes(rest),
            _ => first.len_utf8(),
        };
        out.push_str(&rest[..size]);
        rest = &rest[size..];
    }
    Ok(out)
}

/// A "string" or a /regex/ at the start of `text`, as far as its closing sign.
fn quoted_bytes(text: &str) -> usize {
    let sign = text.as_bytes()[0];
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        if !escaped && byte == sign {
            return at + 1;
        }
        escaped = !escaped && byte == b'\\';
    }
    text.len()
}

/// <|name|> or <[5]>; one byte where `<` begins none.
fn special_token_bytes(text: &str) -> usize {
    match text[1..].find(|c: char| c == '<' || c == '>' || c.is_whitespace()) {
        Some(at) if at > 0 && text.as_bytes()[at + 1] == b'>' => at + 2,
        _ => 1,
    }
}

fn describe(error: impl std::fmt::Display) -> Failure {
    (Status::Failed, readable(&error.to_string()))
}

/// llguidance's reason without its marks for verbose errors and backtraces, and without advice that only its own callers can take.
fn readable(error: &str) -> String {
    let end = error.find("\n<").unwrap_or(error.len());
    let reason = error[..end].trim();
    match reason {
        _ if reason.starts_with("oneOf constraints are not supported") => {
            "'oneOf' is enforced where its options differ in type, or in a const or enum of a required property; try anyOf".into()
        }
        "NoExtensionBias" => "nothing that it allows can come next".into(),
        _ => reason.to_owned(),
    }
}
