//! `texts.proj` in plain Rust.

use serde_json::json;

use super::Fold;
use super::event::{self, Event, TypeIn};
use super::step::{self, Document, End, Plain, Rows, Said, Shown, Step, Wrong, decode, eval, key_text, step_or_fault};
use crate::recovery::random::Random;

pub fn folds() -> Vec<Box<dyn Fold>> {
    vec![
        Box::new(Texts { rows: Rows::new() }),
        Box::new(Envelope { rows: Rows::new() }),
        Box::new(Keyed { rows: Rows::new() }),
    ]
}

// ---- Events ----

const TEXTS: [&str; 16] = [
    "",
    " ",
    "a",
    "ab",
    "abab",
    "hello world 12",
    "Blåbær ÆØÅ",
    " \t two\u{2003}words \n",
    "ß→SS İ",
    "🦀🦀",
    "a|b%c",
    "\"quoted\" \\ \u{1}",
    "e\u{301}",
    "x,y,,z",
    "no such thing",
    "abc",
];

const UUIDS: [&str; 4] = [
    "7D1F0C7E-0000-4000-8000-00000000000A",
    "00000000-0000-0000-0000-000000000000",
    "7d1f0c7e-0000-4000-8000-00000000000g",
    "7d1f0c7e000040008000000000000000",
];

const LEVELS: [(&str, &str); 3] = [("low", "LOW"), ("middle", "middle"), ("high", "high \"one\"")];

fn any_text(random: &mut Random) -> String {
    if random.one_in(4) {
        return format!("{}{}", random.pick(&TEXTS), random.pick(&TEXTS));
    }
    (*random.pick(&TEXTS)).to_owned()
}

/// A JSON text, sometimes with escapes where none are needed.
fn written(random: &mut Random, text: &str) -> String {
    if !random.one_in(4) {
        return json!(text).to_string();
    }
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escaped}\"")
}

pub fn next(random: &mut Random, offset: i64) -> Event {
    let of = |kind| Event::new("words.log", TypeIn::Field("kind"), kind, offset);
    let name = format!("w{}|%", random.below(5));
    let id = if random.one_in(20) { json!("nobody").to_string() } else { written(random, &name) };
    let mut event = match random.below(12) {
        0..5 => {
            let (s, t) = (any_text(random), if random.one_in(4) { *random.pick(&UUIDS) } else { random.pick(&TEXTS) });
            let (s, t) = (written(random, &s), written(random, t));
            let level = random.pick(&LEVELS).1;
            of("Said")
                .with("id", id)
                .with("s", s)
                .with("t", t)
                .with("n", (random.below(9) as i64 - 3).to_string())
                .with("level", written(random, level))
        }
        5..7 => {
            let (s, short) = (*random.pick(&TEXTS), *random.pick(&TEXTS));
            let n = if random.one_in(20) { 65_537 } else { random.below(12) as i64 - 2 };
            of("Padded")
                .with("id", id)
                .with("s", written(random, s))
                .with("n", n.to_string())
                .with("short", written(random, short))
        }
        7..10 => marked(random, of("Marked").with("id", id)),
        10 => Event { tombstone: true, ..of("Said") },
        _ => of("Sung").with("id", id),
    };
    event.partition = random.below(3) as i32;
    event.key = match random.below(12) {
        0 => None,
        1 => Some(vec![0xff, b'k']),
        2 => Some(Vec::new()),
        n => Some(format!("key {}", n % 4).into_bytes()),
    };
    if random.one_in(12) {
        event.time = None;
    }
    if random.one_in(3) {
        event.headers =
            vec![("trace".into(), "first".into()), ("other".into(), "x".into()), ("trace".into(), "last".into())];
    }
    event.perhaps_broken(random, 12)
}

fn marked(random: &mut Random, event: Event) -> Event {
    let known = if random.one_in(8) { UUIDS.len() } else { 2 };
    let uuid = *random.pick(&UUIDS[..known]);
    let mut event = event.with("token", json!(uuid).to_string()).with("on", random.one_in(2).to_string());
    if !random.one_in(3) {
        event = event.with("raw", json!(random.pick(&["", "YWI=", "AAEC/w==", "!!", "YWI"])).to_string());
    }
    if !random.one_in(3) {
        let extra = ["{\"b\": 1.50, \"a\":[1,\t2]}", "\"\\u0041\"", "12345678901234567890.10", "[]", "true"];
        event = event.with("extra", (*random.pick(&extra)).to_owned());
    }
    if !random.one_in(3) {
        event = event.with("level", json!(random.pick(&LEVELS).1).to_string());
    }
    event
}

// ---- Texts ----

struct Texts {
    rows: Rows<()>,
}

const FIELDS: &[(&str, &str)] = &[
    ("length", "0"),
    ("lower", "\"\""),
    ("upper", "\"\""),
    ("trimmed", "\"\""),
    ("begin", "\"\""),
    ("end", "\"\""),
    ("starts", "false"),
    ("ends", "false"),
    ("inside", "false"),
    ("parts", "[]"),
    ("words", "[]"),
    ("replaced", "\"\""),
    ("slice", "\"\""),
    ("matched", "false"),
    ("hash", "\"\""),
    ("masked", "\"\""),
    ("hidden", "\"\""),
    ("joined", "\"\""),
    ("told", "\"\""),
    ("mood", "\"\""),
    ("name", "\"\""),
    ("wire", "\"\""),
    ("level", "\"LOW\""),
    ("before", "false"),
    ("padded", "\"\""),
    ("filled", "\"\""),
    ("short", "\"\""),
    ("shorter", "\"\""),
    ("token", "null"),
    ("also", "null"),
    ("raw", "null"),
    ("extra", "null"),
    ("maybe", "null"),
    ("shown", "\"\""),
];

impl Fold for Texts {
    fn projection(&self) -> &'static str {
        "texts"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        match event.kind {
            _ if event.tombstone => Step::without_key(Said::Dropped),
            "Said" => step_or_fault(self.said(event, version)),
            "Padded" => step_or_fault(self.padded(event, version)),
            "Marked" => step_or_fault(self.marked(event, version)),
            _ => Step::without_key(Said::Dropped),
        }
    }
}

fn id(event: &Event) -> Plain<String> {
    event.get("id", event::text)
}

/// The member's index.
fn level(raw: &str) -> Plain<usize> {
    let text = event::text(raw)?;
    LEVELS.iter().position(|(_, wire)| *wire == text).map_or(decode("R0107"), Ok)
}

fn uuid_of(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let digits = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths == [8, 4, 4, 4, 12] && digits).then(|| text.to_ascii_lowercase())
}

fn uuid(raw: &str) -> Plain<String> {
    uuid_of(&event::text(raw)?).map_or(decode("R0103"), Ok)
}

fn text_json(text: impl AsRef<str>) -> String {
    json!(text.as_ref()).to_string()
}

fn list_json<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    format!("[{}]", texts.into_iter().map(text_json).collect::<Vec<_>>().join(","))
}

fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// Lower-case ASCII letters and spaces, at least one, then digits.
fn looks_like_words(text: &str) -> bool {
    let letters = text.find(|c: char| !(c == ' ' || c.is_ascii_lowercase())).unwrap_or(text.len());
    letters > 0 && text[letters..].bytes().all(|byte| byte.is_ascii_digit())
}

fn masked(text: &str, keep: i64) -> String {
    let characters: Vec<char> = text.chars().collect();
    let hidden = characters.len().saturating_sub(usize::try_from(keep).unwrap_or(0));
    "*".repeat(hidden) + &characters[hidden..].iter().collect::<String>()
}

/// The parts between separators, one by one from the left.
fn split(text: &str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return vec![text.to_owned()];
    }
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(separator) {
        parts.push(rest[..at].to_owned());
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest.to_owned());
    parts
}

fn padding(text: &str, width: i64, filler: &str) -> Plain<String> {
    if width > 65_536 {
        return eval("R0106");
    }
    let missing = width - text.chars().count() as i64;
    let filler: Vec<char> = filler.chars().collect();
    Ok((0..missing.max(0) as usize).map(|at| filler[at % filler.len()]).collect())
}

impl Texts {
    fn said(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        let (s, t) = (event.get("s", event::text)?, event.get("t", event::text)?);
        let (n, level) = (event.get("n", event::int)?, event.get("level", level)?);
        let handler = |row: &mut Shown<()>, _: bool| {
            said_texts(row, &s, &t);
            let characters: Vec<char> = s.chars().collect();
            let start = usize::try_from(n).unwrap_or(0).min(characters.len());
            let slice = &characters[start..characters.len().min(4).max(start)];
            row.set("slice", text_json(slice.iter().collect::<String>()));
            row.set("masked", text_json(masked(&s, 2)));
            row.set("hidden", text_json(masked(&s, n)));
            let (name, wire) = LEVELS[level];
            let many = if n > 2 { "many" } else { "few" };
            row.set("told", text_json(format!("{n}: {s} {wire} $ {many}")));
            let mood = match n {
                0 => "none".to_owned(),
                1 | 2 => "few".to_owned(),
                less if less < 0 => format!("less {less}"),
                _ => "many".to_owned(),
            };
            row.set("mood", text_json(mood));
            row.set("name", text_json(name));
            row.set("wire", text_json(wire));
            row.set("level", text_json(wire));
            row.set("also", uuid_of(&t).map_or("null".into(), text_json));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| documents(version, &id, row)))
    }

    fn padded(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        let (s, n) = (event.get("s", event::text)?, event.get("n", event::int)?);
        let short = event.get("short", |raw| event::short_text(raw, 5))?;
        let handler = |row: &mut Shown<()>, _: bool| {
            row.set("padded", text_json(padding(&s, n, "ab")? + &s));
            row.set("filled", text_json(s.clone() + &padding(&s, n, "é")?));
            row.set("short", text_json(&short));
            if s.chars().count() > 3 {
                return eval("R0107");
            }
            row.set("shorter", text_json(&s));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| documents(version, &id, row)))
    }

    fn marked(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        let token = event.get("token", uuid)?;
        let raw = event.find("raw", |raw| {
            let text = event::text(raw)?;
            if ["", "YWI=", "AAEC/w=="].contains(&&*text) { Ok(text) } else { decode("R0103") }
        })?;
        let extra = event.find("extra", |raw| Ok(raw.to_owned()))?;
        let level = event.find("level", level)?;
        let on = event.get("on", event::boolean)?;
        let handler = |row: &mut Shown<()>, _: bool| {
            row.set("token", text_json(&token));
            row.set("raw", raw.as_ref().map_or("null".into(), text_json));
            row.set("extra", extra.clone().unwrap_or("null".into()));
            row.set("maybe", level.map_or("null".into(), |level| text_json(LEVELS[level].1)));
            let shown = match level {
                None => "no level".to_owned(),
                Some(0) => format!("low {on}"),
                Some(other) => format!("{} {token}", LEVELS[other].1),
            };
            row.set("shown", text_json(shown));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| documents(version, &id, row)))
    }
}

fn said_texts(row: &mut Shown<()>, s: &str, t: &str) {
    row.set("length", s.chars().count().to_string());
    row.set("lower", text_json(s.to_lowercase()));
    row.set("upper", text_json(s.to_uppercase()));
    let begin = s.trim_start_matches(is_space);
    row.set("trimmed", text_json(begin.trim_end_matches(is_space)));
    row.set("begin", text_json(begin));
    row.set("end", text_json(s.trim_end_matches(is_space)));
    row.set("starts", s.as_bytes().starts_with(t.as_bytes()).to_string());
    row.set("ends", s.as_bytes().ends_with(t.as_bytes()).to_string());
    let inside = t.is_empty() || s.as_bytes().windows(t.len()).any(|window| window == t.as_bytes());
    row.set("inside", inside.to_string());
    row.set("parts", list_json(split(s, t)));
    row.set("words", list_json(s.split(is_space).filter(|word| !word.is_empty())));
    row.set("replaced", text_json(if t.is_empty() { s.to_owned() } else { split(s, t).join("<>") }));
    row.set("matched", looks_like_words(s).to_string());
    row.set("hash", text_json(&blake3::hash(s.as_bytes()).to_hex()[..32]));
    row.set("joined", text_json(format!("{s}|{t}")));
    row.set("before", (s.as_bytes() < t.as_bytes()).to_string());
}

fn documents(version: u64, id: &str, row: Option<&Shown<()>>) -> Vec<(String, Document)> {
    let text = row.map(|row| {
        let of = |(name, default): &(&'static str, &str)| {
            (*name, row.fields.get(name).cloned().unwrap_or_else(|| (*default).to_owned()))
        };
        step::document("texts", version, [("id", text_json(id))].into_iter().chain(FIELDS.iter().map(of)))
    });
    vec![("cache".to_owned(), Ok(text))]
}

// ---- The envelope ----

struct Envelope {
    rows: Rows<i64>,
}

impl Fold for Envelope {
    fn projection(&self) -> &'static str {
        "envelope"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.tombstone || !["Said", "Padded"].contains(&event.kind) {
            return Step::without_key(Said::Dropped);
        }
        step_or_fault(self.heard(event, version))
    }
}

impl Envelope {
    fn heard(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        if id == "nobody" {
            return Ok(Step::without_key(Said::Filtered));
        }
        let partition = event.partition.to_string();
        let handler = |row: &mut Shown<i64>, there: bool| {
            row.own += 1;
            row.set("there", there.to_string());
            row.set("seen", row.own.to_string());
            let key = event.key.clone().map(String::from_utf8).transpose();
            let key = key.or(decode("R0103"))?;
            row.set("key", key.as_ref().map_or("null".into(), text_json));
            let time = event.time.map_or(decode("R0108"), Ok)?;
            let time = jiff::Timestamp::from_microsecond(time).expect("a small time");
            row.set("at", text_json(time.to_string()));
            row.set("offset", event.offset.to_string());
            row.set("topic", text_json(event.topic));
            row.set("type", text_json(event.kind));
            row.set("event_id", text_json(format!("{}-{partition}-{}", event.topic, event.offset)));
            let trace = event.headers.iter().rfind(|(name, _)| name == "trace");
            row.set("trace", trace.map_or("null".into(), |(_, value)| text_json(value)));
            row.set("more", text_json(format!("{id}/{partition}/{}", key.as_deref().unwrap_or("-"))));
            Ok(End::Touched)
        };
        let documents = |_: &str, row: Option<&Shown<i64>>| {
            let fields = ["key", "at", "offset", "topic", "type", "event_id", "trace", "seen", "there", "more"];
            let text = row.map(|row| {
                let parts = [("partition", partition.clone()), ("id", text_json(&id))];
                let own = fields.map(|field| (field, row.fields[field].clone()));
                step::document("envelope", version, parts.into_iter().chain(own))
            });
            vec![("cache".to_owned(), Ok(text))]
        };
        Ok(self.rows.fold(key_text(&[&partition, &id]), handler, documents))
    }
}

// ---- Keyed by the record's key ----

struct Keyed {
    rows: Rows<()>,
}

impl Fold for Keyed {
    fn projection(&self) -> &'static str {
        "keyed"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if !event.tombstone && event.kind != "Said" {
            return Step::without_key(Said::Dropped);
        }
        step_or_fault(self.heard(event, version))
    }
}

impl Keyed {
    fn heard(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let s = if event.tombstone { String::new() } else { event.get("s", event::text)? };
        let Some(key) = &event.key else { return Err(Wrong { class: "key", code: "R0104" }) };
        let name = String::from_utf8(key.clone()).or(decode("R0103"))?;
        let handler = |row: &mut Shown<()>, there: bool| {
            if event.tombstone {
                return Ok(if there { End::Delete } else { End::Skip });
            }
            if s.is_empty() {
                return Ok(End::Untouched);
            }
            row.set("last", text_json(&s));
            row.set("there", there.to_string());
            Ok(End::Touched)
        };
        let documents = |_: &str, row: Option<&Shown<()>>| {
            let text = row.map(|row| {
                let own = ["last", "there"].map(|field| (field, row.fields[field].clone()));
                let id = [("id", text_json(format!("x/{name}")))];
                step::document("keyed", version, id.into_iter().chain(own))
            });
            vec![("cosmos".to_owned(), Ok(text))]
        };
        Ok(self.rows.fold(key_text(&[&name]), handler, documents))
    }
}
