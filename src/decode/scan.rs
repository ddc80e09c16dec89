//! JSON bytes → places: one pass that checks a document to its end and says where its members lie.
//!
//! The scanner decides well-formedness and nothing else: numbers and texts keep their bytes, and are given a meaning only
//! where a typed slot takes them. So whether a document is malformed never depends on which of its fields are used. It
//! accepts exactly RFC 8259, nested at most [`DEPTH_MAX`] deep; the open brackets are the bits of one word, so there is no
//! recursion. It does not check UTF-8: the caller does, once, over the whole body.

use std::fmt;
use std::ops::Range;

/// How deep a document may be nested; the outermost object or array is 1.
pub(crate) const DEPTH_MAX: u32 = 64;

/// Why bytes are no document. Small, like all that is returned once for each value: it fits into two registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The byte at which it shows.
    pub at: u32,
    pub expected: Expected,
}

/// What should stand where a document is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Value,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Digit,
    Escape,
    FourHexDigits,
    Quote,
    Shallower,
    End,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Value => "a value",
            Expected::Key => "a key",
            Expected::Colon => "`:`",
            Expected::CommaOrBrace => "`,` or `}`",
            Expected::CommaOrBracket => "`,` or `]`",
            Expected::Digit => "a digit",
            Expected::Escape => "an escape",
            Expected::FourHexDigits => "four hexadecimal digits",
            Expected::Quote => "the closing `\"` of a text",
            Expected::Shallower => "no more than 64 levels of nesting",
            Expected::End => "the end",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} should stand at byte {}", self.expected, self.at)
    }
}

/// Where something stands in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A text between its quotes, as it stands in the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawText {
    pub inside: Place,
    /// Whether it holds a backslash.
    pub escaped: bool,
}

impl RawText {
    /// The text with its quotes.
    pub fn quoted(self) -> Range<usize> {
        self.inside.start as usize - 1..self.inside.end as usize + 1
    }
}

/// A place in a document.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    /// The bytes in a place that this scanner gave.
    pub fn slice(&self, place: Place) -> &'a [u8] {
        &self.bytes[place.range()]
    }

    /// The next byte after white space, which is passed.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes `byte` if it comes next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes one value of any kind, `outer` containers being open around it, and returns where it stands.
    #[inline]
    pub fn value(&mut self, outer: u32) -> Result<Place, Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => drop(self.text()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.any(outer)?,
        }
        Ok(self.place(start))
    }

    /// The same, for what is no text and no number: with objects and arrays, the values in them.
    fn any(&mut self, outer: u32) -> Result<(), Malformed> {
        let (mut objects, mut depth) = (0u64, outer);
        loop {
            let opened = match self.peek() {
                Some(b'"') => self.text().map(|_| false)?,
                Some(b'{') => self.open(b'}', &mut objects, &mut depth)?,
                Some(b'[') => self.open(b']', &mut objects, &mut depth)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| false)?,
                Some(b't') => self.word(b"true").map(|()| false)?,
                Some(b'f') => self.word(b"false").map(|()| false)?,
                Some(b'n') => self.word(b"null").map(|()| false)?,
                _ => return self.expected(Expected::Value),
            };
            if !opened && self.after_value(outer, &mut objects, &mut depth)? {
                return Ok(());
            }
        }
    }

    fn place(&self, start: usize) -> Place {
        Place { start: start as u32, end: self.at as u32 }
    }

    /// Opens an object or array; false when it is empty, and closed again.
    fn open(&mut self, close: u8, objects: &mut u64, depth: &mut u32) -> Result<bool, Malformed> {
        if *depth == DEPTH_MAX {
            return self.expected(Expected::Shallower);
        }
        self.at += 1;
        if self.take(close) {
            return Ok(false);
        }
        *depth += 1;
        *objects = (*objects << 1) | u64::from(close == b'}');
        if close == b'}' {
            self.key()?;
        }
        Ok(true)
    }

    /// After a value: passes the closing brackets and the comma up to the next one; true when the outermost is done.
    fn after_value(&mut self, outer: u32, objects: &mut u64, depth: &mut u32) -> Result<bool, Malformed> {
        while *depth > outer {
            let in_object = *objects & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if in_object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if in_object => self.at += 1,
                Some(b']') if !in_object => self.at += 1,
                _ if in_object => return self.expected(Expected::CommaOrBrace),
                _ => return self.expected(Expected::CommaOrBracket),
            }
            *objects >>= 1;
            *depth -= 1;
        }
        Ok(true)
    }

    /// The key of the next member of an object whose `{` has been passed, its colon passed too; `None` at the `}`.
    #[inline]
    pub fn member(&mut self, first: &mut bool) -> Result<Option<RawText>, Malformed> {
        if self.take(b'}') {
            return Ok(None);
        }
        if !std::mem::take(first) && !self.take(b',') {
            return self.expected(Expected::CommaOrBrace);
        }
        self.key().map(Some)
    }

    /// Whether an array whose `[` has been passed has another element; at its end the `]` is passed.
    pub fn element(&mut self, first: &mut bool) -> Result<bool, Malformed> {
        if self.take(b']') {
            return Ok(false);
        }
        if !std::mem::take(first) && !self.take(b',') {
            return self.expected(Expected::CommaOrBracket);
        }
        Ok(true)
    }

    #[inline]
    fn key(&mut self) -> Result<RawText, Malformed> {
        if self.peek() != Some(b'"') {
            return self.expected(Expected::Key);
        }
        let key = self.text()?;
        if self.take(b':') { Ok(key) } else { self.expected(Expected::Colon) }
    }

    /// Nothing but white space may be left.
    pub fn finish(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { self.expected(Expected::End) }
    }

    /// Passes a text; the scanner stands at its opening quote.
    #[inline]
    pub fn text(&mut self) -> Result<RawText, Malformed> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    let inside = Place { start: start as u32, end: self.at as u32 - 1 };
                    return Ok(RawText { inside, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.expected(Expected::Quote),
            }
        }
    }

    /// Passes bytes of a text up to a quote, a backslash, a control character or the end, eight at a time.
    #[inline]
    fn plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        while let Some(eight) = self.bytes.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes(eight.try_into().expect("a slice of eight"));
            let (quote, slash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
            // A byte below n borrows into its high bit; only bytes above the first hit can be wrong, and the first is taken.
            let hit = (word.wrapping_sub(ONES * 0x20) & !word)
                | (quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash);
            let hit = hit & HIGH;
            if hit != 0 {
                self.at += hit.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.bytes.get(self.at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return self.expected(Expected::FourHexDigits);
                }
                self.at += 5;
            }
            _ => return self.expected(Expected::Escape),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.bytes[self.at] == b'-');
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.expected(Expected::Digit) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.expected(Expected::Value);
        }
        self.at += word.len();
        Ok(())
    }

    #[cold]
    fn expected<T>(&self, expected: Expected) -> Result<T, Malformed> {
        Err(Malformed { at: self.at as u32, expected })
    }
}

/// A grammatical text that stands for no characters: a lone surrogate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoneSurrogate;

/// Appends what the escaped inside of a text stands for. The text has been scanned.
pub(crate) fn unescape(raw: &str, into: &mut String) -> Result<(), LoneSurrogate> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        into.push_str(&rest[..at]);
        let (character, taken) = escaped_character(&rest[at + 1..])?;
        into.push(character);
        rest = &rest[at + 1 + taken..];
    }
    into.push_str(rest);
    Ok(())
}

/// The character of the escape after a backslash, and how many bytes it took.
fn escaped_character(escape: &str) -> Result<(char, usize), LoneSurrogate> {
    let unit = |at: usize| u32::from_str_radix(escape.get(at..at + 4)?, 16).ok();
    let simple = match escape.as_bytes()[0] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = unit(1).ok_or(LoneSurrogate)?;
            if let Some(character) = char::from_u32(high) {
                return Ok((character, 5));
            }
            let low = if escape[5..].starts_with("\\u") { unit(7) } else { None };
            return match low {
                Some(low @ 0xdc00..=0xdfff) if high < 0xdc00 => {
                    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    Ok((char::from_u32(code).ok_or(LoneSurrogate)?, 11))
                }
                _ => Err(LoneSurrogate),
            };
        }
        other => other as char,
    };
    Ok((simple, 1))
}
