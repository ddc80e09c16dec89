//! Events → what the crate makes of each: its outcome, its key, and the documents of that key in every sink.
//!
//! The smallest engine there can be: one thread, rows in a map, every event alone in its batch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use projector::decode::{Chunk, SlotDecoder};
use projector::event::batch::NewRecord;
use projector::event::{EventTime, Offset, RecordBatch, TopicPartition, Version};
use projector::language;
use projector::language::typed::FaultClass;
use projector::plan::eval::{self, Effect, EventView, Scratch};
use projector::plan::{Fault, Plan, Row, lower, render};

use super::event::Event;
use super::step::{Said, Step};

/// A projection with its rows.
pub struct Engine {
    plan: Arc<Plan>,
    decoder: SlotDecoder,
    rows: BTreeMap<String, Row>,
    scratch: Scratch,
}

/// The plans of a file of this folder.
pub fn plans(file: &str) -> Vec<Arc<Plan>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(file);
    let loaded = language::files::load(&[path], &|path: &Path| std::fs::read(path)).expect("the file is readable");
    let (program, diagnostics) = language::check(&loaded.files, &loaded.imports);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:#?}"));
    program.projections.into_iter().map(|projection| Arc::new(lower(projection))).collect()
}

impl Engine {
    pub fn new(plan: Arc<Plan>) -> Engine {
        let decoder = SlotDecoder::new(&plan.projection);
        Engine { plan, decoder, rows: BTreeMap::new(), scratch: Scratch::default() }
    }

    /// Folds one event; documents are rendered with this version.
    pub fn hear(&mut self, event: &Event, version: u64) -> Step {
        let inputs = vec![TopicPartition { topic: event.topic.into(), partition: event.partition }];
        let mut batch = RecordBatch::of(inputs);
        let value = event.json();
        let record = NewRecord {
            time: event.time.map(EventTime),
            key: event.key.as_deref(),
            value: value.as_deref().map(str::as_bytes),
            malformed: None,
        };
        let headers = event.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        batch.push(0, Offset(event.offset), record, headers);
        let mut chunk = Chunk::default();
        self.decoder.decode(&batch, 0..1, &mut chunk);
        if let Some((_, fault)) = chunk.faults.first() {
            return Step::without_key(fault_said(fault));
        }
        let Some(decoded) = chunk.events.first() else { return Step::without_key(Said::Dropped) };
        let program = &self.plan.projection.programs[decoded.program as usize];
        let view = EventView {
            record: batch.record(0),
            event_type: event.kind,
            slots: &chunk.slots[decoded.slots.start as usize..decoded.slots.end as usize],
            buffer: &chunk.buffer,
        };
        let projection = &self.plan.projection;
        match eval::filter(projection, program, view, &mut self.scratch) {
            Ok(true) => {}
            Ok(false) => return Step::without_key(Said::Filtered),
            Err(fault) => return Step::without_key(fault_said(&fault)),
        }
        let mut key = String::new();
        if let Err(fault) = eval::key(projection, program, view, &mut self.scratch, &mut key) {
            return Step::without_key(fault_said(&fault));
        }
        let exists = self.rows.contains_key(&key);
        let mut row = self.rows.remove(&key).unwrap_or_else(|| Row::fresh(&projection.state));
        let said = match eval::fold(projection, program, view, &key, &mut row, exists, &mut self.scratch) {
            Ok(Effect::Touched) => Said::Touched,
            Ok(Effect::Untouched) => Said::Untouched,
            Ok(Effect::Skipped) => Said::Skipped,
            Ok(Effect::Deleted) => Said::Deleted,
            Err(fault) => fault_said(&fault),
        };
        if said == Said::Touched || (exists && said != Said::Deleted) {
            self.rows.insert(key.clone(), row);
        }
        let documents = self.documents(&key, version);
        Step { said, key: Some(key), documents }
    }

    fn documents(&mut self, key: &str, version: u64) -> Vec<(String, Result<Option<String>, String>)> {
        let projection = &self.plan.projection;
        let (rows, scratch) = (&self.rows, &mut self.scratch);
        let mut document = |sink| {
            let Some(row) = rows.get(key) else { return Ok(None) };
            if !eval::member(sink, projection, key, row, scratch)? {
                return Ok(None);
            }
            let mut out = Vec::new();
            render::document(projection, sink, key, row, Version(version), scratch, &mut out)?;
            Ok(Some(String::from_utf8(out).expect("a document is UTF-8")))
        };
        let code = |fault: Box<Fault>| fault.code.to_owned();
        projection.sinks.iter().map(|sink| (sink.name.to_string(), document(sink).map_err(code))).collect()
    }
}

fn fault_said(fault: &Fault) -> Said {
    let class = match fault.class {
        FaultClass::Decode => "decode",
        FaultClass::Eval => "eval",
        FaultClass::Key => "key",
        FaultClass::Sink => "sink",
    };
    Said::Fault(class, fault.code.to_owned())
}
