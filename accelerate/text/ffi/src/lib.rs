//! The C edge of the text room over tokenizers, minijinja and llguidance; the other side is text_ffi.h.
//!
//! Rules of the edge: nothing owned crosses it except the two opaque handles. Values and error texts are handed to the
//! caller's sink while they live here, so neither side ever frees the other's memory. No panic leaves: each function
//! catches and turns it into Status::Panicked with a text.
mod budget;
mod grammar;
mod options;
mod pattern;
mod python_json;
mod python_text;
mod schema;
mod steps;
mod template;
mod tokenizer;

use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};

pub use llguidance::ffi::*; // llg_* of llguidance.h, exported as they are

#[global_allocator]
static ALLOCATOR: budget::BudgetedAllocator = budget::BudgetedAllocator;

/// Mirrors text_status of text_ffi.h.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok = 0,
    Failed = 1,
    OutOfFuel = 2,
    DeadlineExceeded = 3,
    OutOfMemory = 4,
    Panicked = 5,
    Raised = 6,
    Busy = 7,
}

/// Receives the value (status ok) or the error text (any other status); `data` dies when the call returns.
pub type Sink = unsafe extern "C" fn(user: *mut c_void, status: i32, data: *const u8, size: usize);

pub type Failure = (Status, String);

pub fn failed(error: impl std::fmt::Display) -> Failure {
    (Status::Failed, error.to_string())
}

/// Runs `body`, reports a failure or panic to the sink, and answers with the status.
unsafe fn guarded(sink: Sink, user: *mut c_void, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let (status, text) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Status::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(payload) => (Status::Panicked, panic_text(payload.as_ref())),
    };
    sink(user, status as i32, text.as_ptr(), text.len());
    status as i32
}

pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let reason = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given");
    format!("the text library panicked: {reason}")
}

/// C++ may hand over (null, 0) for an empty range; Rust slices must not be null.
unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

unsafe fn text<'a>(data: *const u8, size: usize) -> Result<&'a str, Failure> {
    std::str::from_utf8(slice(data, size)).map_err(failed)
}

#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_new(
    json: *const u8, size: usize, sink: Sink, user: *mut c_void,
) -> *mut tokenizer::Tokenizer {
    let mut handle = std::ptr::null_mut();
    guarded(sink, user, || {
        handle = Box::into_raw(Box::new(tokenizer::Tokenizer::parse(slice(json, size))?));
        Ok(())
    });
    handle
}

#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_free(handle: *mut tokenizer::Tokenizer) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

/// The sink gets the ids as native-endian u32 values.
#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_encode(
    handle: *const tokenizer::Tokenizer, data: *const u8, size: usize, flags: u32, sink: Sink, user: *mut c_void,
) -> i32 {
    guarded(sink, user, || {
        let encoding = (*handle).encode(text(data, size)?, flags)?;
        let ids = encoding.get_ids();
        sink(user, Status::Ok as i32, ids.as_ptr().cast(), std::mem::size_of_val(ids));
        Ok(())
    })
}

/// A borrowed text of the C side; mirrors text_bytes of text_ffi.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    size: usize,
}

/// The sink gets native-endian u32 values: where the second text begins, how many tokens it had before it was cut, the ids.
#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_encode_pair(
    handle: *const tokenizer::Tokenizer, first: Bytes, second: Bytes, second_max: u32, flags: u32, sink: Sink,
    user: *mut c_void,
) -> i32 {
    guarded(sink, user, || {
        let (a, b) = (text(first.data, first.size)?, text(second.data, second.size)?);
        let pair = (*handle).encode_pair(a, b, second_max as usize, flags)?;
        let mut values = vec![pair.second_begin as u32, pair.second_tokens as u32];
        values.extend_from_slice(&pair.ids);
        sink(user, Status::Ok as i32, values.as_ptr().cast(), std::mem::size_of_val(values.as_slice()));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_decode(
    handle: *const tokenizer::Tokenizer, ids: *const u32, count: usize, flags: u32, sink: Sink, user: *mut c_void,
) -> i32 {
    guarded(sink, user, || {
        let decoded = (*handle).decode(slice(ids, count), flags)?;
        sink(user, Status::Ok as i32, decoded.as_ptr(), decoded.len());
        Ok(())
    })
}

pub type TokenSink = unsafe extern "C" fn(user: *mut c_void, id: u32, flags: u32, data: *const u8, size: usize);

/// Calls `sink` for each id that exists, ascending, with the bytes it stands for; answers the decoder's kind, or u32::MAX
/// after a panic half way, which leaves ids out.
#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_tokens(
    handle: *const tokenizer::Tokenizer, sink: TokenSink, user: *mut c_void,
) -> u32 {
    let kind = (*handle).kind() as u32;
    let walk = || (*handle).each_token(|id, flags, bytes| sink(user, id, flags, bytes.as_ptr(), bytes.len()));
    catch_unwind(AssertUnwindSafe(walk)).map_or(u32::MAX, |()| kind)
}

/// The id of a token by its stored text; u32::MAX when there is none.
#[no_mangle]
pub unsafe extern "C" fn text_tokenizer_find(handle: *const tokenizer::Tokenizer, data: *const u8, size: usize) -> u32 {
    let find = || text(data, size).ok().and_then(|content| (*handle).find(content));
    catch_unwind(AssertUnwindSafe(find)).ok().flatten().unwrap_or(u32::MAX)
}

#[no_mangle]
pub unsafe extern "C" fn text_template_new(
    source: *const u8, size: usize, sink: Sink, user: *mut c_void,
) -> *mut template::Template {
    let mut handle = std::ptr::null_mut();
    guarded(sink, user, || {
        handle = Box::into_raw(Box::new(template::Template::compile(text(source, size)?)?));
        Ok(())
    });
    handle
}

#[no_mangle]
pub unsafe extern "C" fn text_template_free(handle: *mut template::Template) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

#[no_mangle]
pub unsafe extern "C" fn text_template_render(
    handle: *const template::Template, context: *const u8, size: usize, limits: *const template::Limits, sink: Sink,
    user: *mut c_void,
) -> i32 {
    guarded(sink, user, || {
        let rendered = (*handle).render(text(context, size)?.to_owned(), *limits)?;
        sink(user, Status::Ok as i32, rendered.as_ptr(), rendered.len());
        Ok(())
    })
}

/// `tokenizer`: of llg_new_tokenizer_v2. `kind`: 0 = JSON Schema, 1 = Lark, 2 = regular expression.
#[no_mangle]
pub unsafe extern "C" fn text_grammar_new(
    tokenizer: *const llguidance::ffi::LlgTokenizer, kind: u32, data: *const u8, size: usize,
    limits: *const grammar::Limits, sink: Sink, user: *mut c_void,
) -> *mut grammar::Grammar {
    let mut handle = std::ptr::null_mut();
    guarded(sink, user, || {
        let source = text(data, size)?.to_owned();
        handle = Box::into_raw(Box::new(grammar::Grammar::compile(&*tokenizer, kind, source, *limits)?));
        Ok(())
    });
    handle
}

#[no_mangle]
pub unsafe extern "C" fn text_grammar_free(handle: *mut grammar::Grammar) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

#[no_mangle]
pub unsafe extern "C" fn text_matcher_new(
    grammar: *const grammar::Grammar, sink: Sink, user: *mut c_void,
) -> *mut grammar::Matcher {
    let mut handle = std::ptr::null_mut();
    guarded(sink, user, || {
        handle = Box::into_raw(Box::new((*grammar).matcher()?));
        Ok(())
    });
    handle
}

#[no_mangle]
pub unsafe extern "C" fn text_matcher_free(handle: *mut grammar::Matcher) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

#[no_mangle]
pub unsafe extern "C" fn text_matcher_mask(
    handle: *mut grammar::Matcher, words: *mut u32, count: usize, sink: Sink, user: *mut c_void,
) -> i32 {
    guarded(sink, user, || (*handle).mask(std::slice::from_raw_parts_mut(words, count)))
}

#[no_mangle]
pub unsafe extern "C" fn text_matcher_accept(
    handle: *mut grammar::Matcher, token: u32, sink: Sink, user: *mut c_void,
) -> i32 {
    guarded(sink, user, || (*handle).accept(token))
}

/// Bit 0: the answer may end here. Bit 1: nothing can follow.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_state(handle: *mut grammar::Matcher) -> u32 {
    let state = || {
        let must_end = (*handle).must_end();
        u32::from(must_end || (*handle).may_end()) | u32::from(must_end) << 1
    };
    catch_unwind(AssertUnwindSafe(state)).unwrap_or(0)
}
