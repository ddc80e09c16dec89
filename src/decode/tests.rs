use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::json;

use super::scan::{DEPTH_MAX, Scanner, unescape};
use super::{Chunk, SlotDecoder};
use crate::event::batch::NewRecord;
use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::language::codes;
use crate::language::span::Span;
use crate::language::typed::{
    EventProgram, EventTypeFrom, FaultAction, FaultClass, OnError, Projection, SinkFaultAction, Slot, Topic, Unknown,
};
use crate::plan::Fault;
use crate::value::{Decimal, EnumType, RecordField, RecordType, Type, Value, text};

fn slot(path: &str, ty: Type) -> Slot {
    let path: Vec<Arc<str>> = path.split('.').filter(|key| !key.is_empty()).map(Arc::from).collect();
    let optional_at = vec![false; path.len()];
    Slot {
        path,
        ty,
        optional_at,
        default: None,
        text_or_int: false,
        span: Span { start: 5, end: 9, ..Span::default() },
    }
}

fn program(event: &str, slots: Vec<Slot>) -> EventProgram {
    EventProgram {
        topic: 0,
        event: event.into(),
        slots,
        declared_fields: Some(9),
        filter: None,
        key: Vec::new(),
        body: Vec::new(),
        locals: 0,
    }
}

/// A projection of one topic `t` whose wanted types are those of the programs; `Ignored` is declared and not wanted.
fn projection(event_type: EventTypeFrom, programs: Vec<EventProgram>) -> Projection {
    let topic = Topic {
        name: "t".into(),
        log_name: "t".into(),
        via: None,
        event_type,
        unknown: Unknown::Drop,
        programs: programs.iter().enumerate().map(|(i, program)| (Arc::clone(&program.event), i)).collect(),
        declared: vec!["Ignored".into()],
        tombstone: None,
    };
    let fail = FaultAction::Fail;
    let sink = SinkFaultAction { retry: Some((1, Duration::ZERO)), then: fail.clone() };
    Projection {
        name: "p".into(),
        span: Span::default(),
        topics: vec![topic],
        key: Vec::new(),
        state: Vec::new(),
        programs,
        sinks: Vec::new(),
        on_error: OnError { decode: fail.clone(), eval: fail.clone(), key: fail, sink },
    }
}

fn by_field(slots: Vec<Slot>) -> Projection {
    projection(EventTypeFrom::Field("type".into()), vec![program("Paid", slots)])
}

fn single(slots: Vec<Slot>) -> Projection {
    projection(EventTypeFrom::Single, vec![program("t", slots)])
}

fn batch(values: &[Option<&[u8]>]) -> RecordBatch {
    let mut batch = RecordBatch::of(vec![TopicPartition { topic: "t".into(), partition: 0 }]);
    for (offset, value) in values.iter().enumerate() {
        batch.push(0, Offset(offset as i64), NewRecord { value: *value, ..NewRecord::default() }, []);
    }
    batch
}

fn decode(projection: &Projection, value: impl AsRef<[u8]>) -> Chunk {
    let mut chunk = Chunk::default();
    let batch = batch(&[Some(value.as_ref())]);
    SlotDecoder::new(projection).decode(&batch, 0..1, &mut chunk);
    chunk
}

fn fault(projection: &Projection, value: impl AsRef<[u8]>) -> Fault {
    let mut chunk = decode(projection, value);
    assert_eq!(chunk.events.len(), 0, "an event came out");
    assert!(chunk.slots.is_empty() && chunk.buffer.text.is_empty() && chunk.buffer.values.is_empty());
    *chunk.faults.pop().expect("no fault").1
}

/// The one slot of `{"f": value}`, as text; or the code of its fault.
fn taken(ty: Type, value: &str) -> Result<String, &'static str> {
    let projection = single(vec![slot("f", ty.clone())]);
    let mut chunk = decode(&projection, format!("{{\"f\": {value} }}"));
    match chunk.faults.pop() {
        Some((_, fault)) => Err(fault.code),
        None => Ok(text::of(&chunk.buffer.value(chunk.slots[0]), &ty)),
    }
}

fn ok(text: &str) -> Result<String, &'static str> {
    Ok(text.into())
}

#[test]
fn the_used_fields_fill_slots_in_the_order_of_the_program() {
    let projection = by_field(vec![slot("amount", Type::Decimal(Some(2))), slot("who.id", Type::String(None))]);
    let chunk =
        decode(&projection, r#" {"who": {"x": [1, {"id": 0}], "id": "a\u00e9\n"}, "type": "Paid", "amount": 5.000} "#);
    assert_eq!(chunk.events.len(), 1);
    assert_eq!(chunk.events[0].slots, 0..2);
    assert_eq!(chunk.buffer.value(chunk.slots[0]), Value::Decimal(Decimal::new(500, 2)));
    assert_eq!(chunk.buffer.value(chunk.slots[1]), Value::borrowed("aé\n"));
}

#[test]
fn an_unwanted_type_is_dropped_where_it_stands() {
    let projection = by_field(vec![slot("amount", Type::Int)]);
    for (value, unlisted) in [
        (&br#"{"type": "Ignored", and then \xff "#[..], 0),
        (br#"{"type": "Other"]"#, 1),
        (br#"{"a": [1], "type": "Oth\u0065r""#, 1),
        (br#"{"t\u0079pe": "Ignored", "type": "Paid"}"#, 0),
    ] {
        let chunk = decode(&projection, value);
        assert!(chunk.events.is_empty() && chunk.faults.is_empty(), "{:?}", chunk.faults);
        assert_eq!((chunk.counts.dropped, chunk.counts.unlisted), (1, unlisted));
    }
}

#[test]
fn unlisted_types_are_counted_by_type_and_within_a_bound() {
    let decoder = SlotDecoder::new(&by_field(vec![]));
    let values: Vec<String> = (0..300).map(|number| format!("{{\"type\": \"T{}\"}}", number % 150)).collect();
    let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_bytes())).collect();
    let mut chunk = Chunk::default();
    decoder.decode(&batch(&values), 0..values.len(), &mut chunk);
    let counts = decoder.unlisted();
    assert_eq!(counts.len(), 101);
    assert_eq!((&*counts[7].0, &*counts[7].1, counts[7].2), ("t", "T7", 2));
    assert_eq!((&*counts[100].1, counts[100].2), ("(others)", 100));
}

#[test]
fn an_unlisted_type_is_a_fault_where_the_topic_is_strict() {
    let mut projection = by_field(vec![]);
    projection.topics[0].unknown = Unknown::Fail;
    let fault = fault(&projection, r#"{"type": "Other"}"#);
    assert_eq!((fault.code, fault.class), (codes::EVENT_TYPE, FaultClass::Decode));
    assert!(fault.message.contains("`Other`"), "{fault}");
    assert_eq!(decode(&projection, r#"{"type": "Ignored"}"#).counts.dropped, 1);
}

#[test]
fn an_event_without_a_type_or_with_two_is_a_fault() {
    let projection = by_field(vec![]);
    for value in [r#"{"a": 1}"#, "{}", "7", "[]", r#"{"type": null}"#, r#"{"type": 3}"#, r#"{"type": "\ud800"}"#] {
        assert_eq!(fault(&projection, value).code, codes::EVENT_TYPE, "{value}");
    }
    assert_eq!(fault(&projection, r#"{"type": "Paid", "type": "Paid"}"#).code, codes::MALFORMED);
}

#[test]
fn whether_a_document_is_malformed_does_not_depend_on_what_is_used() {
    let deep = |depth: usize| format!(r#"{{"type": "Paid", "f": 1, "d": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let malformed: [&[u8]; 8] = [
        br#"{"type": "Paid", "f": 1} x"#,
        br#"{"type": "Paid", "f": 1,}"#,
        br#"{"type": "Paid", "f": 1, "b": tru"#,
        b"{\"type\": \"Paid\", \"f\": 1, \"g\": \"\xff\"}",
        br#"{"type": "Paid", "f": 1, "g": 01}"#,
        b"{\"type\": \"Paid\", \"f\": 1, \"g\": \"\n\"}",
        b"",
        &deep(DEPTH_MAX as usize).into_bytes(),
    ];
    for slots in [vec![], vec![slot("f", Type::Int)], vec![slot("absent", Type::Int.optional())]] {
        let projection = by_field(slots);
        for value in malformed {
            let fault = fault(&projection, value);
            assert_eq!(fault.code, codes::MALFORMED, "{} {fault}", String::from_utf8_lossy(value));
        }
        let chunk = decode(&projection, deep(DEPTH_MAX as usize - 1));
        assert_eq!(chunk.events.len(), 1, "{:?}", chunk.faults);
        // Grammatical, without a value, and not used.
        let chunk = decode(&projection, r#"{"type": "Paid", "f": 1, "g": 1e999, "h": "\ud800"}"#);
        assert_eq!(chunk.events.len(), 1, "{:?}", chunk.faults);
    }
}

#[test]
fn the_last_duplicate_of_a_key_wins_at_every_depth() {
    let projection = single(vec![slot("a", Type::Int), slot("b.c", Type::Int)]);
    let chunk = decode(&projection, r#"{"a": "x", "b": 7, "a": 1, "b": {"c": [], "\u0063": 2}, "\u0061": 3}"#);
    assert!(chunk.faults.is_empty(), "{:?}", chunk.faults);
    assert_eq!(chunk.buffer.value(chunk.slots[0]), Value::Int(3));
    assert_eq!(chunk.buffer.value(chunk.slots[1]), Value::Int(2));
}

#[test]
fn the_type_may_stand_in_a_header() {
    let projection =
        projection(EventTypeFrom::Header("type".into()), vec![program("Paid", vec![slot("f", Type::Int)])]);
    let decoder = SlotDecoder::new(&projection);
    let mut batch = RecordBatch::of(vec![TopicPartition { topic: "t".into(), partition: 0 }]);
    let mut push = |header: &[(&[u8], &[u8])], value: &[u8]| {
        let new = NewRecord { value: Some(value), ..NewRecord::default() };
        batch.push(0, Offset(0), new, header.iter().copied());
    };
    push(&[(b"type", b"Other"), (b"type", b"Paid")], br#"{"f": 4}"#);
    push(&[(b"type", b"Ignored")], b"not looked at");
    push(&[(b"type", b"\xff")], b"not looked at");
    push(&[(b"kind", b"Paid")], br#"{"f": 4}"#);
    let mut chunk = Chunk::default();
    decoder.decode(&batch, 0..4, &mut chunk);
    assert_eq!(chunk.events.len(), 1);
    assert_eq!((chunk.counts.records, chunk.counts.dropped, chunk.counts.unlisted), (4, 2, 1));
    assert_eq!(chunk.faults.len(), 1);
    assert_eq!((chunk.faults[0].0, chunk.faults[0].1.code), (3, codes::EVENT_TYPE));
}

#[test]
fn a_tombstone_is_only_for_its_own_program() {
    let mut projection = by_field(vec![]);
    let mut chunk = Chunk::default();
    SlotDecoder::new(&projection).decode(&batch(&[None]), 0..1, &mut chunk);
    assert_eq!((chunk.counts.dropped, chunk.counts.tombstones_dropped), (1, 1));
    projection.programs.push(program("tombstone", vec![]));
    projection.topics[0].tombstone = Some(1);
    SlotDecoder::new(&projection).decode(&batch(&[None]), 0..1, &mut chunk);
    assert_eq!((chunk.events.len(), chunk.events[0].program, chunk.counts.dropped), (1, 1, 0));
}

#[test]
fn a_record_that_the_source_could_not_read_is_a_fault() {
    let mut batch = batch(&[]);
    batch.push(0, Offset(0), NewRecord { malformed: Some("no object"), ..NewRecord::default() }, []);
    let mut chunk = Chunk::default();
    SlotDecoder::new(&by_field(vec![])).decode(&batch, 0..1, &mut chunk);
    assert_eq!(chunk.faults[0].1.code, codes::MALFORMED);
    assert!(chunk.faults[0].1.message.contains("no object"));
}

#[test]
fn numbers_are_taken_from_their_text() {
    assert_eq!(taken(Type::Int, "5"), ok("5"));
    assert_eq!(taken(Type::Int, "5.0"), ok("5"));
    assert_eq!(taken(Type::Int, "-0"), ok("0"));
    assert_eq!(taken(Type::Int, "9223372036854775807"), ok("9223372036854775807"));
    assert_eq!(taken(Type::Int, "9223372036854775808"), Err(codes::OVERFLOW));
    assert_eq!(taken(Type::Int, &"9".repeat(60)), Err(codes::OVERFLOW));
    assert_eq!(taken(Type::Int, "5.5"), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Int, "\"5\""), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Decimal(Some(2)), "5.000"), ok("5.00"));
    assert_eq!(taken(Type::Decimal(Some(2)), "\"12.5\""), ok("12.50"));
    assert_eq!(taken(Type::Decimal(Some(2)), "1.005"), Err(codes::DECIMAL_FIT));
    assert_eq!(taken(Type::Decimal(Some(2)), "50.300000000000004"), Err(codes::DECIMAL_FIT));
    assert_eq!(taken(Type::Decimal(None), "12345678901234567890.123"), ok("12345678901234567890.123"));
    assert_eq!(taken(Type::Decimal(None), "1.5e3"), ok("1500"));
    assert_eq!(taken(Type::Decimal(None), "1e999"), Err(codes::DECIMAL_FIT));
    assert_eq!(taken(Type::Decimal(None), "\"x\""), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Decimal(None), "true"), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Float, "1.5"), ok("1.5"));
    assert_eq!(taken(Type::Float, "1e999"), Err(codes::WRONG_JSON_TYPE));
}

#[test]
fn other_scalars_are_taken_from_text() {
    let status = EnumType { name: "Status".into(), members: vec![("open".into(), "OPEN".into())] };
    let status = Type::Enum(Arc::new(status));
    assert_eq!(taken(Type::String(Some(2)), "\"æø\""), ok("æø"));
    assert_eq!(taken(Type::String(Some(2)), "\"æøå\""), Err(codes::CONTRACT));
    assert_eq!(taken(Type::String(None), r#""\ud83d\ude00""#), ok("😀"));
    assert_eq!(taken(Type::String(None), r#""\ud800x""#), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::String(None), "7"), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Bool, "true"), ok("true"));
    assert_eq!(taken(Type::Bool, "1"), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Timestamp, "\"2026-01-01T10:00:00+01:00\""), ok("2026-01-01T09:00:00Z"));
    assert_eq!(taken(Type::Timestamp, "1767261600"), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Date, "\"2026-02-28\""), ok("2026-02-28"));
    assert_eq!(taken(Type::Duration, "\"PT90M\""), ok("PT1H30M"));
    assert_eq!(
        taken(Type::Uuid, "\"7D1F0C7E-0000-4000-8000-000000000001\""),
        ok("7d1f0c7e-0000-4000-8000-000000000001")
    );
    assert_eq!(taken(status.clone(), "\"OPEN\""), ok("OPEN"));
    assert_eq!(taken(status, "\"open\""), Err(codes::CONTRACT));
    assert_eq!(taken(Type::Json, r#"{"a": [1.50]}"#), ok(r#"{"a": [1.50]}"#));
}

#[test]
fn a_field_that_is_only_a_key_takes_a_text_or_an_integer() {
    let mut key = slot("f", Type::String(None));
    key.text_or_int = true;
    let projection = single(vec![key]);
    for (value, text) in
        [("\"a\"", "a"), ("7", "7"), ("-7.0", "-7"), ("123456789012345678901", "123456789012345678901")]
    {
        let chunk = decode(&projection, format!("{{\"f\": {value}}}"));
        assert!(chunk.faults.is_empty(), "{:?}", chunk.faults);
        assert_eq!(chunk.buffer.value(chunk.slots[0]), Value::borrowed(text));
    }
    for value in ["1.5", "true", "[1]", "{}"] {
        assert_eq!(fault(&projection, format!("{{\"f\": {value}}}")).code, codes::WRONG_JSON_TYPE, "{value}");
    }
    assert_eq!(fault(&projection, "{}").code, codes::MISSING_FIELD);
}

#[test]
fn absence_is_a_fault_or_none_or_the_default() {
    let mut with_default = slot("f", Type::Int);
    with_default.default = Some(Value::Int(3));
    let mut nested = slot("a.b", Type::Int.optional());
    nested.optional_at = vec![true, true];
    let projection = single(vec![with_default, slot("g", Type::Int.optional()), nested]);
    for value in ["{}", r#"{"f": null, "g": null, "a": null}"#, r#"{"a": {"b": null}}"#] {
        let chunk = decode(&projection, value);
        assert!(chunk.faults.is_empty(), "{:?}", chunk.faults);
        let values: Vec<_> = chunk.slots.iter().map(|slot| chunk.buffer.value(*slot)).collect();
        assert_eq!(values, [Value::Int(3), Value::None, Value::None]);
    }
    assert_eq!(fault(&projection, r#"{"a": 4}"#).code, codes::WRONG_JSON_TYPE);
}

#[test]
fn a_missing_field_says_what_to_write() {
    let mut projection = single(vec![slot("issue.id", Type::Int)]);
    let plain = fault(&projection, r#"{"issue": {"id": null}}"#);
    assert_eq!(plain.code, codes::MISSING_FIELD);
    assert_eq!(plain.message, "`.issue.id` is null");
    assert_eq!(plain.span, Some(Span { start: 5, end: 9, ..Span::default() }));
    projection.programs[0].declared_fields = None;
    let hinted = fault(&projection, r#"{"issue": {}}"#);
    assert!(hinted.message.contains(": declare the event, or") && hinted.message.contains("`.issue?.id`"), "{hinted}");
    assert_eq!(fault(&projection, "{}").message.split(':').next(), Some("`.issue` is missing"));
}

#[test]
fn a_long_value_is_cut_in_a_message() {
    let projection = single(vec![slot("f", Type::Int)]);
    let message = fault(&projection, format!(r#"{{"f": "{}"}}"#, "é".repeat(500))).message;
    assert!(message.chars().count() < 120 && message.contains('…'), "{message}");
}

#[test]
fn lists_records_and_maps_are_built_by_their_types() {
    let line = Type::Record(Arc::new(RecordType {
        name: None,
        fields: vec![
            RecordField { name: "sku".into(), ty: Type::String(None) },
            RecordField { name: "price".into(), ty: Type::Decimal(Some(2)).optional() },
        ],
    }));
    let lines = Type::List(Arc::new(line));
    let counts = Type::Map(Arc::new(Type::String(None)), Arc::new(Type::Int));
    let tags = Type::Set(Arc::new(Type::String(None)));
    let projection =
        single(vec![slot("lines", lines), slot("counts", counts), slot("tags", tags), slot("", Type::Json)]);
    let value = r#"{"lines": [{"price": 1.5, "sku": 1, "more": {}, "sku": "a"}, {"sku": "b"}],
        "counts": {"x": 1, "y": 2, "x": 3}, "tags": ["b", "a", "b"]}"#;
    let chunk = decode(&projection, value);
    assert!(chunk.faults.is_empty(), "{:?}", chunk.faults);
    let values: Vec<_> = chunk.slots.iter().map(|slot| chunk.buffer.value(*slot)).collect();
    let text = |text: &'static str| Value::text(text);
    let first = Value::record(vec![text("a"), Value::Decimal(Decimal::new(150, 2))]);
    assert_eq!(values[0], Value::list(vec![first, Value::record(vec![text("b"), Value::None])]));
    assert_eq!(values[1], Value::map([(text("x"), Value::Int(3)), (text("y"), Value::Int(2))]));
    assert_eq!(values[2], Value::set([text("a"), text("b")]));
    assert_eq!(values[3], Value::Json(value.into()));
    let wrong = fault(&projection, r#"{"lines": [{"sku": "a"}, {"sku": 7}], "counts": {}, "tags": []}"#);
    assert_eq!(wrong.message, "`.lines[1].sku` is 7, not a text");
}

#[test]
fn base64_is_read_back() {
    for length in 0..20u8 {
        let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37) ^ 0xa5).collect();
        let value = Value::Bytes(bytes.clone().into());
        let mut written = Vec::new();
        crate::value::json::write(&value, &Type::Bytes, crate::value::json::Style::default(), &mut written).unwrap();
        let projection = single(vec![slot("f", Type::Bytes)]);
        let chunk = decode(&projection, [b"{\"f\":".as_slice(), &written, b"}"].concat());
        assert_eq!(chunk.buffer.value(chunk.slots[0]), value);
    }
    assert_eq!(taken(Type::Bytes, "\"QQ=\""), Err(codes::WRONG_JSON_TYPE));
    assert_eq!(taken(Type::Bytes, "\"QR==\""), Err(codes::WRONG_JSON_TYPE));
}

/// A small generator with a seed; see `sources::memory` for the one that tests of the engine use.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// A document as text, with all that the grammar allows.
    fn document(&mut self, depth: usize, out: &mut String) {
        let space = [" ", "", "", "\n\t", "\r"];
        out.push_str(self.pick(&space));
        match self.below(if depth > 5 { 4 } else { 7 }) {
            0 => out.push_str(self.pick(&[
                "0",
                "-0",
                "12",
                "-3.25",
                "1e5",
                "2E-3",
                "5.0",
                "0.5e+2",
                "1e999",
                "123456789012",
            ])),
            1 => out.push_str(self.pick(&["true", "false", "null"])),
            2 | 3 => self.text(out),
            4 => {
                out.push('[');
                for i in 0..self.below(4) {
                    out.push_str(if i > 0 { "," } else { "" });
                    self.document(depth + 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for i in 0..self.below(5) {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(self.pick(&["\"a\"", "\"b\"", "\"type\"", "\"long name\"", "\"\\u0061\"", " \"é\" "]));
                    out.push_str(self.pick(&[":", " : "]));
                    self.document(depth + 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(self.pick(&space));
    }

    fn text(&mut self, out: &mut String) {
        out.push('"');
        for _ in 0..self.below(12) {
            out.push_str(self.pick(&[
                "a",
                "bcdefgh",
                "\\n",
                "\\\"",
                "\\\\",
                "\\u00e9",
                "\\ud83d\\ude00",
                "\\udead",
                "ø",
                "日本",
                " ",
                "/",
            ]));
        }
        out.push('"');
    }
}

/// Whether the scanner takes a document, and whether serde_json does when it ignores all values.
fn verdicts(document: &[u8]) -> (bool, bool) {
    let mut scanner = Scanner::new(document);
    let ours = scanner.value(0).and_then(|_| scanner.finish()).is_ok() && std::str::from_utf8(document).is_ok();
    let theirs = std::str::from_utf8(document).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    (ours, theirs)
}

#[test]
fn the_scanner_accepts_what_serde_json_accepts_and_nothing_else() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut document = String::new();
        random.document(0, &mut document);
        let (ours, theirs) = verdicts(document.as_bytes());
        assert!(ours && theirs, "seed {seed}: {ours} and {theirs} for {document}");
        for _ in 0..8 {
            let mut bytes = document.clone().into_bytes();
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = b"{}[]\",:\\0-e.tx\n \x7f\xff"[random.below(18)],
                1 => bytes.truncate(at),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:\\0-e.tx\n \x00\xc3"[random.below(18)]),
            }
            let (ours, theirs) = verdicts(&bytes);
            assert_eq!(ours, theirs, "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
            *(if ours { &mut accepted } else { &mut refused }) += 1;
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} and {refused}: one side is hardly tried");
}

#[test]
fn top_level_members_are_what_serde_json_finds() {
    let mut inner = slot("type.b", Type::Json.optional());
    inner.optional_at = vec![true, true];
    let (outer, inner) = (single(vec![slot("a", Type::Json.optional())]), single(vec![inner]));
    let found = |projection: &Projection, document: &str| {
        let chunk = decode(projection, document);
        let slot = *chunk.slots.first()?;
        match chunk.buffer.value(slot) {
            Value::Json(text) => Some(serde_json::from_str(&text).unwrap()),
            _ => Some(json!(null)),
        }
    };
    let mut used = 0;
    for seed in 0..6000 {
        let mut document = String::new();
        Random(seed).document(0, &mut document);
        let Ok(value @ serde_json::Value::Object(_)) = serde_json::from_str(&document) else { continue };
        let expected = value.get("a").cloned().unwrap_or_default();
        assert_eq!(found(&outer, &document).as_ref(), Some(&expected), "seed {seed}: {document}");
        let expected_inner = match &value["type"] {
            serde_json::Value::Object(members) => Some(members.get("b").cloned().unwrap_or_default()),
            serde_json::Value::Null => Some(json!(null)),
            _ => None,
        };
        assert_eq!(found(&inner, &document), expected_inner, "seed {seed}: {document}");
        used += usize::from(!expected.is_null()) + usize::from(expected_inner.is_some_and(|value| !value.is_null()));
    }
    assert!(used > 100, "only {used} members were found at all");
}

#[test]
fn texts_are_unescaped_as_serde_json_does() {
    let mut valued = 0;
    for seed in 0..3000 {
        let mut raw = String::new();
        Random(seed).text(&mut raw);
        let mut ours = String::new();
        let result = unescape(&raw[1..raw.len() - 1], &mut ours);
        match serde_json::from_str::<String>(&raw) {
            Ok(theirs) => assert_eq!((result, ours), (Ok(()), theirs), "seed {seed}: {raw}"),
            Err(_) => assert!(result.is_err(), "seed {seed}: {raw}"),
        }
        valued += usize::from(result.is_ok());
    }
    assert!(valued > 1000);
}
