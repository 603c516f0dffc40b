//! ECMA-262 regular expressions, as JSON Schema writes them, into the dialect of llguidance (Rust's regex syntax, NUL-free).
//!
//! What both spell alike but mean otherwise is respelled: `.` also stops at CR, U+2028 and U+2029; `\s` is ECMA's list;
//! `[`, `&&`, `--` and `~~` inside a class are plain characters. What a mask can not enforce is refused by name: look-around,
//! back references, word boundaries. Two things hang on llguidance 1.9.1: a group named "stop" has a meaning of its own
//! there, so groups lose their names; and a class that holds all control characters lets `\"` and `\\` through whether it
//! holds them or not, so no class holds NUL (which answers can not contain anyway, see schema.rs).
use std::iter::Peekable;
use std::str::Chars;

const DOT: &str = r"[^\x{0}\n\r\u{2028}\u{2029}]";
const SPACE: &str = r"\t\n\v\f\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// The pattern in llguidance's dialect, or what is wrong with it.
pub fn from_ecma(pattern: &str) -> Result<String, String> {
    let mut reader = Reader { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len() + 16) };
    while let Some(c) = reader.rest.next() {
        match c {
            '\\' => reader.escape(false).map(|_| ())?,
            '[' => reader.class()?,
            '(' => reader.group()?,
            '{' => reader.braces(),
            '.' => reader.out.push_str(DOT),
            '}' | ']' => reader.plain(c),
            '\0' => return Err("NUL can not be part of an answer".into()),
            _ => reader.out.push(c),
        }
    }
    Ok(reader.out)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Reader<'_> {
    /// A character that stands for itself, wherever it stands.
    fn plain(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || c == '_' || c == '/' || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", c as u32));
        }
    }

    fn code(&mut self, code: u32) -> Result<(), String> {
        match char::from_u32(code) {
            Some('\0') => Err("NUL can not be part of an answer".into()),
            Some(c) => {
                self.plain(c);
                Ok(())
            }
            None => Err(format!("\\u{code:04x} is no character; write it as \\u{{...}}")),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|c| c.to_digit(16)).ok_or("an escape lacks its hexadecimal digits")?;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// After a backslash. True where it stands for one character, which may begin or end a range.
    fn escape(&mut self, in_class: bool) -> Result<bool, String> {
        let c = self.rest.next().ok_or("it ends in a backslash")?;
        match c {
            'd' | 'w' | 'D' | 'W' => {
                self.out.push('\\');
                self.out.push(c);
                return Ok(false);
            }
            's' => self.out.push_str(&format!("[{SPACE}]")),
            'S' => self.out.push_str(&format!("[^{SPACE}]")),
            'p' => self.property()?,
            't' => return self.code(9).map(|()| true),
            'n' => return self.code(10).map(|()| true),
            'v' => return self.code(11).map(|()| true),
            'f' => return self.code(12).map(|()| true),
            'r' => return self.code(13).map(|()| true),
            'b' if in_class => return self.code(8).map(|()| true),
            'x' => {
                let code = self.hex(2)?;
                return self.code(code).map(|()| true);
            }
            'u' => {
                let code = self.unicode()?;
                return self.code(code).map(|()| true);
            }
            'c' => {
                let letter = self.rest.next().filter(char::is_ascii_alphabetic).ok_or("\\c takes a letter")?;
                return self.code(letter as u32 % 32).map(|()| true);
            }
            'b' | 'B' => return Err("word boundaries are not enforced".into()),
            '0'..='9' | 'k' => return Err(format!("\\{c}, a back reference or octal escape, is not enforced")),
            _ if c.is_ascii_alphabetic() => return Err(format!("\\{c} is not enforced")),
            _ => {
                self.plain(c);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unicode(&mut self) -> Result<u32, String> {
        if self.rest.next_if_eq(&'{').is_none() {
            return self.hex(4);
        }
        let mut code = 0u32;
        loop {
            match self.rest.next() {
                Some('}') => return Ok(code),
                Some(c) if code <= 0x10ffff => code = code * 16 + c.to_digit(16).ok_or("\\u{...} holds hexadecimal digits")?,
                _ => return Err("\\u{...} holds a code point".into()),
            }
        }
    }

    /// \p{L}, \p{Lu}: letters, marks, numbers, punctuation, symbols, separators. The others hold control characters.
    fn property(&mut self) -> Result<(), String> {
        let name: String = match self.rest.next() {
            Some('{') => self.rest.by_ref().take_while(|c| *c != '}').collect(),
            _ => return Err("\\p takes a name in braces".into()),
        };
        let mut letters = name.chars();
        let known = matches!(letters.next(), Some('L' | 'M' | 'N' | 'P' | 'S' | 'Z')) && letters.all(|c| c.is_ascii_lowercase()) && name.len() <= 2;
        if !known {
            return Err(format!("\\p{{{name}}} is not enforced; the general categories L, M, N, P, S, Z and their parts are"));
        }
        self.out.push_str(&format!("\\p{{{name}}}"));
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.rest.next() {
            Some(':') => {
                self.out.push_str("?:");
                Ok(())
            }
            Some('<') if !matches!(self.rest.peek(), Some('=' | '!')) => {
                self.rest.by_ref().find(|c| *c == '>').map(|_| ()).ok_or_else(|| "a group's name does not end".into())
            }
            _ => Err("look-around and flags are not enforced".into()),
        }
    }

    /// {2}, {2,} and {2,5} repeat; any other brace is plain.
    fn braces(&mut self) {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').take(24).collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (low, high) = ahead.split_once(',').unwrap_or((&ahead, ""));
        let number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if closed && !low.is_empty() && number(low) && number(high) {
            self.out.push_str(&format!("{{{ahead}}}"));
            self.rest.nth(ahead.chars().count());
        } else {
            self.plain('{');
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        self.out.push_str(if negated { "[^\\x{0}" } else { "[" });
        if self.rest.peek() == Some(&']') {
            return Err("an empty class matches nothing or all; write it otherwise".into());
        }
        let mut may_begin_range = false;
        loop {
            match self.rest.next().ok_or("a class does not end")? {
                ']' => break,
                '-' if may_begin_range && self.range_goes_on() => {
                    self.out.push('-');
                    may_begin_range = false;
                }
                '\\' => may_begin_range = self.escape(true)?,
                '\0' => return Err("NUL can not be part of an answer".into()),
                c => {
                    self.plain(c);
                    may_begin_range = true;
                }
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// After "a-": whether one character follows, rather than the class's end or a class such as \d.
    fn range_goes_on(&self) -> bool {
        let mut ahead = self.rest.clone();
        match ahead.next() {
            Some('\\') => !matches!(ahead.next(), Some('d' | 'w' | 's' | 'D' | 'W' | 'S' | 'p' | 'P')),
            Some(c) => c != ']',
            None => false,
        }
    }
}
