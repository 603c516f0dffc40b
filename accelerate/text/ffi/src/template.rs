//! A chat template rendered as Transformers' Jinja2 does, under limits of fuel, time and memory.
use crate::budget::{self, Budget};
use crate::{failed, panic_text, python_json, python_text, Failure, Status};
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Mirrors text_render_limits of text_ffi.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    pub fuel: u64,         // template instructions
    pub memory_bytes: u64, // held by one rendering
    pub deadline_ms: u64,  // wall time
    pub now_s: i64,        // Unix time told by strftime_now; i64::MIN = the clock
}

pub struct Template {
    source: Arc<str>,
    strikes: AtomicU32, // renderings given up
}

// minijinja nests up to 500 calls, and dropping a value recurses through its nesting: a list in a list in a list ... holds
// over 100 bytes of the memory budget a level and takes about 70 bytes of stack, so a stack of the budget's size cannot
// overflow. All of it is virtual until used.
const STACK_BYTES: usize = 16 << 20;
const STRIKES_MAX: u32 = 3; // each leaks a parked thread, so a template gets few; more than one, for a machine that stalls
const RAISED: &str = "raised by the template: ";

thread_local! {
    static NOW_S: Cell<i64> = const { Cell::new(i64::MIN) };
}

impl Template {
    pub fn compile(source: &str) -> Result<Self, Failure> {
        let source: Arc<str> = without_generation_tags(source).into();
        environment(&source, 0).map_err(describe)?;
        Ok(Self { source, strikes: AtomicU32::new(0) })
    }

    /// Renders on a thread of its own, so that the caller always gets an answer within the deadline.
    pub fn render(&self, context: String, limits: Limits) -> Result<String, Failure> {
        if self.strikes.load(Ordering::Acquire) >= STRIKES_MAX {
            return Err((Status::DeadlineExceeded, "earlier renderings of this template broke its limits".into()));
        }
        let budget = Arc::new(Budget {
            exceeded: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            waiter: std::thread::current(),
        });
        let answer = Arc::new(Mutex::new(None));
        let task = { (self.source.clone(), budget.clone(), answer.clone()) };
        std::thread::Builder::new()
            .name("chat-template".into())
            .stack_size(STACK_BYTES + limits.memory_bytes as usize)
            .spawn(move || {
                let (source, budget, answer) = task;
                let result = render_within(&source, context, limits, Arc::as_ptr(&budget));
                *answer.lock().unwrap() = Some(result);
                budget.waiter.unpark();
            })
            .map_err(failed)?;
        self.wait(&budget, &answer, Duration::from_millis(limits.deadline_ms))
    }

    fn wait(
        &self, budget: &Budget, answer: &Mutex<Option<Result<String, Failure>>>, deadline: Duration,
    ) -> Result<String, Failure> {
        let begin = Instant::now();
        loop {
            if let Some(result) = answer.lock().unwrap().take() {
                return result;
            }
            let left = deadline.saturating_sub(begin.elapsed());
            let exceeded = budget.exceeded.load(Ordering::Acquire);
            if exceeded || left.is_zero() {
                self.strikes.fetch_add(1, Ordering::AcqRel);
                budget.abandoned.store(true, Ordering::Release);
                return Err(if exceeded {
                    (Status::OutOfMemory, "rendering needs more memory than it may have".into())
                } else {
                    (Status::DeadlineExceeded, "rendering takes longer than it may".into())
                });
            }
            std::thread::park_timeout(left);
        }
    }
}

fn render_within(source: &str, context: String, limits: Limits, budget: *const Budget) -> Result<String, Failure> {
    NOW_S.set(limits.now_s);
    budget::enter(budget, limits.memory_bytes as usize);
    let render = || -> Result<String, Failure> {
        let values: serde_json::Value = serde_json::from_str(&context).map_err(failed)?;
        let environment = environment(source, limits.fuel).map_err(describe)?;
        let template = environment.get_template("chat").map_err(describe)?;
        template.render(Value::from_serialize(&values)).map_err(describe)
    };
    let result = catch_unwind(AssertUnwindSafe(render));
    budget::leave();
    result.unwrap_or_else(|payload| Err((Status::Panicked, panic_text(payload.as_ref()))))
}

fn environment(source: &str, fuel: u64) -> Result<Environment<'_>, Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: &Value| if value.is_undefined() { String::new() } else { python_text::str(value) });
    environment.set_formatter(|out, _, value| match value.as_str() {
        Some(text) => out.write_str(text).map_err(Error::from),
        None if value.is_undefined() => Ok(()),
        None => out.write_str(&python_text::str(value)).map_err(Error::from),
    });
    environment.set_fuel((fuel != 0).then_some(fuel));
    environment.add_template("chat", source)?;
    Ok(environment)
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn to_json(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let style = python_json::Style::from_kwargs(&kwargs)?;
    kwargs.assert_all_used()?;
    python_json::dump(value, style).map(Value::from_safe_string)
}

/// datetime.now().strftime(format): local time in the C locale.
fn strftime_now(format: String) -> Result<String, Error> {
    let invalid = |text: &str| Error::new(ErrorKind::InvalidOperation, text.to_owned());
    let format = std::ffi::CString::new(format).map_err(|_| invalid("strftime_now: the format holds a NUL"))?;
    if format.as_bytes().len() > 256 {
        return Err(invalid("strftime_now: the format is longer than 256 bytes"));
    }
    let mut buffer = [0u8; 4096];
    // SAFETY: plain C calls on locals; strftime writes at most the size it is told.
    let size = unsafe {
        let seconds: libc::time_t =
            if NOW_S.get() == i64::MIN { libc::time(std::ptr::null_mut()) } else { NOW_S.get() as libc::time_t };
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&seconds, &mut parts).is_null() {
            return Err(invalid("strftime_now: the time is out of range"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    Ok(String::from_utf8_lossy(&buffer[..size]).into_owned())
}

fn describe(error: Error) -> Failure {
    if error.kind() == ErrorKind::OutOfFuel {
        return (Status::OutOfFuel, "rendering takes more steps than it may".into());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    match text.find(RAISED) {
        Some(at) => {
            let message = &text[at + RAISED.len()..];
            let end = message.rfind(" (in chat:").unwrap_or(message.len());
            (Status::Raised, message[..end].to_owned())
        }
        None => (Status::Failed, text),
    }
}

/// Transformers' {% generation %} ... {% endgeneration %} marks the assistant's tokens for training and renders as its
/// body; minijinja has no such tag, so it becomes {% if true %} with the same whitespace control.
fn without_generation_tags(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = rest.find("{%") {
        let (before, tag) = rest.split_at(begin);
        result.push_str(before);
        let Some(size) = tag[2..].find("%}") else {  // behind "{%": in "{%}" the two share their percent sign
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(size + 4);
        let inner = tag[2..size + 2].trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        match inner {
            "generation" => result.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => result.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => result.push_str(tag),
        }
        rest = after;
    }
    result.push_str(rest);
    result
}
