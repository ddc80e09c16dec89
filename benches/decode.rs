//! What decoding costs: 512 bytes of JSON with five used fields, and events that are dropped by their type.
//!
//! `cargo bench --bench decode`. Prints nanoseconds an event, the best of several rounds, beside a whole-document parse into
//! `serde_json::Value` with five look-ups: the ratio travels between machines, the nanoseconds do not. Then what it takes to
//! count the lines of an event log and to read them.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::decode::{Chunk, SlotDecoder};
use projector::event::batch::NewRecord;
use projector::event::{Offset, RecordBatch, TopicPartition};
use projector::language::span::Span;
use projector::language::typed::{
    EventProgram, EventTypeFrom, FaultAction, OnError, Projection, SinkFaultAction, Slot, Topic, Unknown,
};
use projector::sources::log::LogSource;
use projector::sources::{PollBudget, Source};
use projector::value::Type;

const EVENTS: usize = 20_000;
const CHUNK: usize = 1000;
const ROUNDS: usize = 15;
const EVENT_BYTES: usize = 512;
const FIELDS: [&str; 5] = ["account_id", "amount", "currency", "channel", "occurred_at"];

fn main() {
    let wanted: Vec<String> = (0..EVENTS).map(|number| event(number, "Deposited")).collect();
    let unwanted: Vec<String> = (0..EVENTS).map(|number| event(number, "Withdrawn")).collect();
    let dom = best(|| wanted.iter().for_each(|event| drop(black_box(as_value(event)))));
    println!("serde_json::Value and five look-ups   {dom:>6.0} ns");
    for (name, from) in [
        ("a field that stands first", EventTypeFrom::Field("type".into())),
        ("a header", EventTypeFrom::Header("type".into())),
    ] {
        let decoder = SlotDecoder::new(&projection(from));
        let taken = decode(&decoder, &batch(&wanted, "Deposited"), CHUNK);
        println!("into slots, the type in {name:<26} {taken:>6.0} ns   {:.2} of it", taken / dom);
        let dropped = decode(&decoder, &batch(&unwanted, "Withdrawn"), 0);
        println!("dropped,    the type in {name:<26} {dropped:>6.0} ns");
    }
    log(&wanted);
}

/// Decodes a batch by chunks and returns nanoseconds an event.
fn decode(decoder: &SlotDecoder, batch: &RecordBatch, events: usize) -> f64 {
    let mut chunk = Chunk::default();
    best(|| {
        for start in (0..EVENTS).step_by(CHUNK) {
            decoder.decode(batch, start..start + CHUNK, &mut chunk);
            assert_eq!(chunk.events.len(), events);
        }
    })
}

/// An event log of these events in one file: its lines counted, then read.
fn log(events: &[String]) {
    const REPEATS: usize = 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: String = events.iter().map(|event| format!("{{\"key\": \"k\", \"value\": {event}}}\n")).collect();
    fs::create_dir(folder.path().join("t")).expect("a folder");
    fs::write(folder.path().join("t/0.jsonl"), lines.repeat(REPEATS)).expect("a file");
    let mut source = LogSource::new("events", folder.path(), vec!["t".into()]);
    let partition = source.partitions().expect("it is there").remove(0);
    let start = Instant::now();
    let end = source.range(&partition).expect("it is there").end.0;
    let gigabytes = (lines.len() * REPEATS) as f64 / 1e9;
    println!("counting the lines of an event log    {:>6.1} GB/s", gigabytes / start.elapsed().as_secs_f64());
    source.open(&[(partition, Offset(0))]).expect("it begins at 0");
    let budget = PollBudget { records_max: 4096, bytes_max: 4 << 20, wait: Duration::ZERO };
    let (start, mut batch, mut read) = (Instant::now(), RecordBatch::default(), 0);
    while read < end {
        source.poll(budget, &mut batch).expect("it can be read");
        read += batch.len() as i64;
    }
    println!("reading an event log                  {:>6.0} ns", start.elapsed().as_secs_f64() * 1e9 / end as f64);
}

fn best(mut round: impl FnMut()) -> f64 {
    let timed = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e9 / EVENTS as f64
    });
    timed.fold(f64::MAX, f64::min)
}

fn as_value(event: &str) -> [Option<serde_json::Value>; 5] {
    let mut value: serde_json::Value = serde_json::from_str(event).expect("it is JSON");
    FIELDS.map(|field| value.get_mut(field).map(serde_json::Value::take))
}

fn event(number: usize, kind: &str) -> String {
    let mut event = format!(
        r#"{{"type":"{kind}","event_id":"{:016x}","account_id":"acc-{:08}","amount":"{}.{:02}","currency":"NOK","channel":"mobile","#,
        (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        number % 200_000,
        number % 10_000,
        number % 100,
    );
    event += &format!(
        r#""occurred_at":"2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z","sequence":{number},"customer":{{"id":{},"tier":"gold","country":"NO"}},"#,
        1 + number % 28,
        number % 24,
        number % 60,
        number % 60,
        number % 1000,
        number % 50_000,
    );
    event += r#""merchant":{"name":"Shop 12","mcc":"5411","city":"Oslo"},"tags":["a","b",7],"note":""#;
    while event.len() < EVENT_BYTES - 2 {
        event.push((b'a' + (event.len() % 26) as u8) as char);
    }
    event + "\"}"
}

fn batch(events: &[String], kind: &str) -> RecordBatch {
    let mut batch = RecordBatch::of(vec![TopicPartition { topic: "t".into(), partition: 0 }]);
    for (offset, event) in events.iter().enumerate() {
        let record = NewRecord { value: Some(event.as_bytes()), ..NewRecord::default() };
        batch.push(0, Offset(offset as i64), record, [(&b"type"[..], kind.as_bytes())]);
    }
    batch
}

fn projection(event_type: EventTypeFrom) -> Projection {
    let types = [Type::String(None), Type::Decimal(Some(2)), Type::String(None), Type::String(None), Type::Timestamp];
    let slot = |(name, ty): (&str, Type)| Slot {
        path: vec![name.into()],
        ty,
        optional_at: vec![false],
        default: None,
        text_or_int: false,
        span: Span::default(),
    };
    let program = EventProgram {
        topic: 0,
        event: "Deposited".into(),
        slots: FIELDS.into_iter().zip(types).map(slot).collect(),
        declared_fields: None,
        filter: None,
        key: Vec::new(),
        body: Vec::new(),
        locals: 0,
    };
    let name: Arc<str> = "t".into();
    let topic = Topic {
        name: Arc::clone(&name),
        log_name: name,
        via: None,
        event_type,
        unknown: Unknown::Drop,
        programs: vec![("Deposited".into(), 0)],
        declared: vec!["Withdrawn".into()],
        tombstone: None,
    };
    let fail = FaultAction::Fail;
    let sink = SinkFaultAction { retry: None, then: fail.clone() };
    Projection {
        name: "decode".into(),
        span: Span::default(),
        topics: vec![topic],
        key: Vec::new(),
        state: Vec::new(),
        programs: vec![program],
        sinks: Vec::new(),
        on_error: OnError { decode: fail.clone(), eval: fail.clone(), key: fail, sink },
    }
}
