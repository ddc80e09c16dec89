//! One line of an event log ↔ a record: `{"key": …, "value": …, "headers": {…}, "timestamp": "…"}`.
//!
//! Only the envelope is read here. The value stays the bytes it is, for decode to judge; it is only scanned to find its end.
//! Members of other names are passed over.

use std::borrow::Cow;

use crate::decode::scan::{Malformed, Scanner, unescape};
use crate::event::EventTime;
use crate::value::timestamp;

/// Name and value of each header, in order.
type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A record as a line holds it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Envelope<'a> {
    pub key: Option<Cow<'a, str>>,
    /// JSON; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    pub time: Option<EventTime>,
}

impl<'a> Envelope<'a> {
    /// Reads a line, without its line end; or says what is wrong with it.
    pub fn parse(line: &'a [u8]) -> Result<Envelope<'a>, String> {
        let mut scanner = Scanner::new(line);
        if !scanner.take(b'{') {
            return Err("the line is no JSON object".into());
        }
        let (mut envelope, mut first, mut has_value) = (Envelope::default(), true, false);
        while let Some(key) = scanner.member(&mut first).map_err(not_json)? {
            // The depth of the value counts from itself, as it does in every other source.
            let place = scanner.value(0).map_err(not_json)?;
            let raw = scanner.slice(place);
            match scanner.slice(key.inside) {
                b"value" => (envelope.value, has_value) = ((raw != b"null").then_some(raw), true),
                b"key" => envelope.key = text(raw).ok_or("`key` is neither a text nor null")?,
                b"timestamp" => envelope.time = time(raw)?,
                b"headers" => envelope.headers = headers(raw)?,
                _ => {}
            }
        }
        scanner.finish().map_err(not_json)?;
        if !has_value {
            return Err("the line has no `value`".into());
        }
        Ok(envelope)
    }

    /// Appends the line, its end included.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(key) = &self.key {
            out.extend_from_slice(b"\"key\": ");
            write_text(key, out);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"value\": ");
        out.extend_from_slice(self.value.unwrap_or(b"null"));
        for (index, (name, value)) in self.headers.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b", \"headers\": {" } else { b", " });
            write_text(name, out);
            out.extend_from_slice(b": ");
            write_text(value, out);
        }
        if !self.headers.is_empty() {
            out.push(b'}');
        }
        if let Some(EventTime(micros)) = self.time {
            let mut text = String::new();
            timestamp::write(micros, &mut text).expect("writing to a string cannot fail");
            out.extend_from_slice(format!(", \"timestamp\": \"{text}\"").as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    crate::value::json::write_text(text, out);
}

/// A text or null; the outer `None` when it is neither.
fn text(raw: &[u8]) -> Option<Option<Cow<'_, str>>> {
    if raw == b"null" {
        return Some(None);
    }
    let inside = std::str::from_utf8(raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()?;
    if !inside.contains('\\') {
        return Some(Some(Cow::Borrowed(inside)));
    }
    let mut text = String::new();
    unescape(inside, &mut text).ok()?;
    Some(Some(Cow::Owned(text)))
}

fn time(raw: &[u8]) -> Result<Option<EventTime>, String> {
    let Some(text) = text(raw).ok_or("`timestamp` is not a text")? else { return Ok(None) };
    let micros = timestamp::parse(&text).ok_or("`timestamp` is not a time such as \"2026-01-01T10:00:00Z\"")?;
    Ok(Some(EventTime(micros)))
}

fn headers(raw: &[u8]) -> Result<Headers<'_>, String> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(raw);
    if raw == b"null" {
        return Ok(found);
    }
    if !scanner.take(b'{') {
        return Err("`headers` is no object".into());
    }
    let mut first = true;
    while let Some(key) = scanner.member(&mut first).map_err(not_json)? {
        let value = scanner.value(0).map_err(not_json)?;
        let name = text(&raw[key.quoted()]).flatten().ok_or("the name of a header is not a text")?;
        let value = text(scanner.slice(value)).flatten();
        let value = value.ok_or_else(|| format!("the header `{name}` is not a text"))?;
        found.push((name, value));
    }
    Ok(found)
}

fn not_json(why: Malformed) -> String {
    format!("the line is not JSON: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let envelope = Envelope {
            key: Some("a\"1".into()),
            value: Some(br#"{"x": [1.50, "\ud800"]}"#),
            headers: vec![("type".into(), "Paid".into()), ("é".into(), "\n".into())],
            time: Some(EventTime(1_767_261_600_250_000)),
        };
        let mut line = Vec::new();
        envelope.write(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'));
        assert_eq!(Envelope::parse(&line), Ok(envelope));
        let bare = Envelope::parse(br#"{"value": null}"#);
        assert_eq!(bare, Ok(Envelope::default()));
        line.clear();
        Envelope::default().write(&mut line);
        assert_eq!(line, b"{\"value\": null}\n");
    }

    #[test]
    fn what_is_no_envelope_says_why() {
        for (line, why) in [
            (&b""[..], "no JSON object"),
            (b"[1]", "no JSON object"),
            (br#"{"value": 1"#, "should stand at byte 11"),
            (br#"{"value": 1} x"#, "the end"),
            (br#"{"key": "a"}"#, "no `value`"),
            (br#"{"key": 1, "value": 1}"#, "`key`"),
            (b"{\"key\": \"\xff\", \"value\": 1}", "`key`"),
            (br#"{"value": 1, "timestamp": "today"}"#, "`timestamp`"),
            (br#"{"value": 1, "headers": {"a": 1}}"#, "header `a`"),
            (br#"{"value": 1, "headers": []}"#, "`headers`"),
        ] {
            let found = Envelope::parse(line).unwrap_err();
            assert!(found.contains(why), "{found} for {}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_value_may_be_as_deep_as_in_any_other_source() {
        let nested = |depth: usize| format!("{{\"value\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Envelope::parse(nested(64).as_bytes()).is_ok());
        assert!(Envelope::parse(nested(65).as_bytes()).is_err());
    }
}
