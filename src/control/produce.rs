//! Lines → events at the end of a topic, in whatever log the topic is bound to.
//!
//! A line is an envelope as in the event log, or, when a key field is named, the bare value. An event without a time gets
//! the one it is appended at. Blank lines are passed over.

use std::borrow::Cow;
use std::io::{self, BufRead};

use crate::control::binding::{self, BindingError};
use crate::control::config::{Config, Connection};
use crate::control::start::kafka_options;
use crate::decode::scan::{Malformed, Scanner};
use crate::event::EventTime;
use crate::sources::SourceError;
use crate::sources::kafka::KafkaWriter;
use crate::sources::log::{Envelope, LogWriter};

/// Where to append and how to read a line.
#[derive(Debug, Clone, Copy)]
pub struct Produce<'a> {
    /// The topic's name in the log.
    pub topic: &'a str,
    /// The connection; `None` for the one that topics are read from.
    pub via: Option<&'a str>,
    /// Lines are bare values, and this field of each is its key.
    pub key_field: Option<&'a str>,
    /// The time of an event that has none.
    pub now: EventTime,
}

/// Why events could not be appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the events cannot be read")]
    Read(#[from] io::Error),
    #[error("line {line}: {why}; the {appended} events before it were appended")]
    Line { line: u64, why: String, appended: u64 },
    #[error("`{name}` has `kind = \"{kind}\"`, and nothing can be appended to it from here")]
    NotWritable { name: String, kind: &'static str },
}

/// Appends all lines and returns how many events they were. They are on the disk, or acknowledged, when it returns.
pub fn produce(config: &Config, what: Produce<'_>, mut lines: impl BufRead) -> Result<u64, ProduceError> {
    let mut writer = Writer::open(config, what)?;
    let (mut line, mut number, mut appended) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match envelope(text, what) {
            Ok(envelope) => writer.append(&envelope)?,
            Err(why) => {
                writer.finish()?;
                return Err(ProduceError::Line { line: number, why, appended });
            }
        }
        appended += 1;
    }
    writer.finish()?;
    Ok(appended)
}

/// The end of a topic.
enum Writer {
    Log(LogWriter),
    Kafka(Box<KafkaWriter>),
}

impl Writer {
    fn open(config: &Config, what: Produce<'_>) -> Result<Writer, ProduceError> {
        let (name, connection) = binding::source(config, what.topic, what.via)?;
        match connection {
            Connection::Log { path } => Ok(Writer::Log(LogWriter::open(&name, &path, what.topic)?)),
            Connection::Kafka(kafka) => {
                let options = kafka_options(name, &kafka);
                Ok(Writer::Kafka(Box::new(KafkaWriter::open(options, what.topic)?)))
            }
            other => Err(ProduceError::NotWritable { name, kind: other.kind() }),
        }
    }

    fn append(&mut self, envelope: &Envelope<'_>) -> Result<(), SourceError> {
        match self {
            Writer::Log(writer) => writer.append(envelope),
            Writer::Kafka(writer) => writer.append(envelope),
        }
    }

    fn finish(self) -> Result<(), SourceError> {
        match self {
            Writer::Log(writer) => writer.finish(),
            Writer::Kafka(writer) => writer.finish(),
        }
    }
}

/// The event of a line, or what is wrong with it.
fn envelope<'a>(line: &'a [u8], what: Produce<'_>) -> Result<Envelope<'a>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("it is not UTF-8 at byte {}", error.valid_up_to()))?;
    let mut envelope = match what.key_field {
        None => Envelope::parse(line)?,
        Some(field) => Envelope { key: Some(key_in(text, field)?), value: Some(line), ..Envelope::default() },
    };
    envelope.time.get_or_insert(what.now);
    Ok(envelope)
}

/// The key in a bare value: a text, or an integer as its digits.
fn key_in<'a>(value: &'a str, field: &str) -> Result<Cow<'a, str>, String> {
    let not_json = |why: Malformed| format!("it is not JSON: {why}");
    let mut scanner = Scanner::new(value.as_bytes());
    let (mut found, mut first) = (None, true);
    if !scanner.take(b'{') {
        return Err(format!("it is no JSON object, so it has no field `{field}`"));
    }
    while let Some(key) = scanner.member(&mut first).map_err(not_json)? {
        let name = &value[key.quoted()];
        let place = scanner.value(1).map_err(not_json)?;
        if serde_json::from_str::<String>(name).is_ok_and(|name| name == field) {
            found = Some(&value[place.range()]);
        }
    }
    scanner.finish().map_err(not_json)?;
    let raw = found.ok_or_else(|| format!("it has no field `{field}`"))?;
    let is_int = raw.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) if is_int => Ok(Cow::Borrowed(raw)),
        Err(_) => Err(format!("its field `{field}` is neither a text nor an integer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare<'a>(line: &'a str, field: &'a str) -> Result<Envelope<'a>, String> {
        envelope(line.as_bytes(), Produce { topic: "t", via: None, key_field: Some(field), now: EventTime(7) })
    }

    #[test]
    fn a_bare_value_is_keyed_by_its_field() {
        let found = bare(r#"{"id": "a\u0031", "n": 12}"#, "id").unwrap();
        assert_eq!(found.key.as_deref(), Some("a1"));
        assert_eq!(
            (found.value.unwrap(), found.time),
            (r#"{"id": "a\u0031", "n": 12}"#.as_bytes(), Some(EventTime(7)))
        );
        assert_eq!(bare(r#"{"n": 1, "n": -12}"#, "n").unwrap().key.as_deref(), Some("-12"));
        for (line, why) in [
            ("7", "no JSON object"),
            ("{}", "no field `id`"),
            (r#"{"id": 1.5}"#, "neither"),
            (r#"{"id": null}"#, "neither"),
            (r#"{"id": 1"#, "byte 8"),
        ] {
            let found = bare(line, "id").unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn an_envelope_keeps_its_own_time() {
        let what = Produce { topic: "t", via: None, key_field: None, now: EventTime(7) };
        let timed = br#"{"value": 1, "timestamp": "1970-01-01T00:00:01Z"}"#;
        assert_eq!(envelope(timed, what).unwrap().time, Some(EventTime(1_000_000)));
        assert_eq!(envelope(br#"{"value": 1}"#, what).unwrap().time, Some(EventTime(7)));
        assert!(envelope(b"{\"value\": \"\xff\"}", what).unwrap_err().contains("UTF-8"));
    }
}
