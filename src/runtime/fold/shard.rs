//! Phase two: the rows of one shard, hot in memory, and what events do to them.
//!
//! A shard is owned by one thread at a time, so rows need no lock. A row that is not hot is read from the last synced
//! snapshot. That is enough: rows that no checkpoint holds yet, and rows whose checkpoint is being written, never leave
//! memory. INVARIANT: a row that is neither dirty nor being written is equal in memory and in the snapshot.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::event::RecordBatch;
use crate::language::codes;
use crate::language::typed::FaultClass;
use crate::plan::eval::{self, Effect, EventView, Scratch};
use crate::plan::{Fault, Row};
use crate::runtime::fold::FoldProgram;
use crate::runtime::fold::keyed::{KeyedChunk, KeyedEvent};
use crate::runtime::fold::size::{self, ROW_BYTES_MAX};
use crate::state::{RowChange, Snapshot, rows};
use crate::value::Value;

/// How many events' rows are fetched from memory at a time.
const WARM_EVENTS: usize = 32;

/// The rows of one shard of a projection.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Hash of the key → place in `rows`.
    index: HashTable<u32>,
    rows: Vec<Option<HotRow>>,
    vacant: Vec<u32>,
    /// Places of rows that no checkpoint holds yet.
    dirty: Vec<u32>,
    /// Places of rows that the checkpoint in flight holds.
    written: Vec<u32>,
    /// Where eviction goes on.
    hand: usize,
    /// About how much memory the rows take.
    bytes: u64,
    encoded: Vec<u8>,
    scratch: Scratch,
}

#[derive(Debug)]
struct HotRow {
    hash: u64,
    key: Arc<str>,
    /// `None`: there is no such row, or it was deleted.
    row: Option<Row>,
    bytes: u32,
    dirty: bool,
    written: bool,
    used: bool,
}

/// What a shard did with its events of a batch.
#[derive(Debug, Default)]
pub(super) struct ShardResult {
    pub folded: u64,
    pub filtered: u64,
    /// (index of the record in the batch, why).
    pub faults: Vec<(u32, Box<Fault>)>,
    /// A row may have outgrown its limit: the batch must be folded with care.
    pub oversized: bool,
    /// A row could not be read.
    pub error: Option<String>,
}

/// Where rows are read and how they are watched.
pub(super) struct Folding<'a> {
    pub program: &'a FoldProgram,
    pub batch: &'a RecordBatch,
    pub snapshot: &'a dyn Snapshot,
    /// Rows are kept as they were, to undo an event that makes one too large.
    pub careful: bool,
}

enum Applied {
    Folded,
    Filtered,
    Oversized,
}

enum Failed {
    Fault(Box<Fault>),
    Store(String),
}

impl From<Box<Fault>> for Failed {
    fn from(fault: Box<Fault>) -> Failed {
        Failed::Fault(fault)
    }
}

impl Shard {
    /// Folds the shard's events of all chunks, in order. Ends early when the batch will not count anyway.
    pub fn fold(&mut self, folding: &Folding<'_>, chunks: &[KeyedChunk], shard: usize) -> ShardResult {
        let mut result = ShardResult::default();
        for chunk in chunks {
            for (index, event) in chunk.owned[shard].iter().enumerate() {
                if index % WARM_EVENTS == 0 {
                    let next = chunk.owned[shard][index..].iter().take(WARM_EVENTS);
                    self.warm(next);
                }
                match self.apply(folding, chunk, event) {
                    Ok(Applied::Folded) => result.folded += 1,
                    Ok(Applied::Filtered) => result.filtered += 1,
                    Ok(Applied::Oversized) => {
                        result.oversized = true;
                        return result;
                    }
                    Err(Failed::Fault(fault)) => {
                        let stops = folding.program.stops(fault.class);
                        result.faults.push((chunk.chunk.events[event.event as usize].record, fault));
                        if stops {
                            return result;
                        }
                    }
                    Err(Failed::Store(error)) => {
                        result.error = Some(error);
                        return result;
                    }
                }
            }
        }
        result
    }

    /// Touches the rows of the coming events, so that they wait for memory together and not one after another. Changes
    /// nothing. With 200,000 keys a third of the fold was such waiting.
    fn warm<'e>(&self, events: impl Iterator<Item = &'e KeyedEvent>) {
        let mut places = [0; WARM_EVENTS];
        let mut found = 0;
        for event in events {
            // By hash alone: the right row nearly always, and a wrong one does no harm here.
            if let Some(place) = self.index.find(event.hash, |place| self.hash_at(*place) == event.hash) {
                places[found] = *place;
                found += 1;
            }
        }
        let mut touched = 0;
        for place in &places[..found] {
            let Some(hot) = &self.rows[*place as usize] else { continue };
            touched += usize::from(hot.key.as_bytes().last().copied().unwrap_or_default());
            if let Some(row) = &hot.row {
                touched += row.fields.iter().step_by(2).filter(|field| matches!(field, Value::None)).count();
            }
        }
        std::hint::black_box(touched);
    }

    fn hash_at(&self, place: u32) -> u64 {
        self.rows[place as usize].as_ref().expect("the index names it").hash
    }

    fn apply(&mut self, folding: &Folding<'_>, chunk: &KeyedChunk, event: &KeyedEvent) -> Result<Applied, Failed> {
        let program = folding.program;
        let projection = &program.plan.projection;
        let (event_program, view) = program.view(folding.batch, &chunk.chunk, event.event as usize);
        let key = chunk.key(event);
        let place = match self.find(event.hash, key) {
            Some(place) => place,
            None => self.load(folding, event.hash, key).map_err(Failed::Store)?,
        };
        let Shard { rows, scratch, encoded, .. } = self;
        let hot = rows[place as usize].as_mut().expect("the index names it");
        hot.used = true;
        let exists = hot.row.is_some();
        let before = if folding.careful { Some(hot.row.clone()) } else { None };
        let row = hot.row.get_or_insert_with(|| Row::fresh(&projection.state));
        let effect = match eval::fold(projection, event_program, view, key, row, exists, scratch) {
            Ok(effect) => effect,
            Err(fault) => {
                if !exists {
                    hot.row = None;
                }
                return Err(fault.into());
            }
        };
        match effect {
            Effect::Touched => row.time = view.record.time,
            Effect::Deleted => hot.row = None,
            Effect::Untouched | Effect::Skipped => {
                if !exists {
                    hot.row = None;
                }
                return Ok(Applied::Filtered);
            }
        }
        if let Some(row) = &hot.row
            && !program.growable.is_empty()
            && size::bound(row, &program.growable) > ROW_BYTES_MAX
        {
            encoded.clear();
            rows::encode(row, &projection.state, encoded);
            if encoded.len() > ROW_BYTES_MAX {
                let Some(before) = before else { return Ok(Applied::Oversized) };
                hot.row = before;
                return Err(too_large(key, encoded.len(), view).into());
            }
        }
        if !hot.dirty && (exists || hot.row.is_some()) {
            hot.dirty = true;
            self.dirty.push(place);
        }
        Ok(Applied::Folded)
    }

    fn find(&self, hash: u64, key: &str) -> Option<u32> {
        let is_it = |place: &u32| {
            let hot = self.rows[*place as usize].as_ref().expect("the index names it");
            hot.hash == hash && *hot.key == *key
        };
        self.index.find(hash, is_it).copied()
    }

    /// Reads a row that is not hot.
    fn load(&mut self, folding: &Folding<'_>, hash: u64, key: &str) -> Result<u32, String> {
        let program = folding.program;
        let stored = folding.snapshot.row(program.generation, key).map_err(|error| error.to_string())?;
        let stored = stored.and_then(|stored| stored.row);
        let heap = stored.as_ref().map_or(0, |bytes| bytes.len());
        let row = stored.map(|bytes| rows::decode(&bytes, &program.plan.projection.state)).transpose();
        let row = row.map_err(|error| format!("the row of `{key}`: {error}"))?;
        let bytes = row_bytes(key, program, heap);
        let hot = HotRow { hash, key: key.into(), row, bytes, dirty: false, written: false, used: true };
        self.bytes += u64::from(bytes);
        let place = match self.vacant.pop() {
            Some(place) => {
                self.rows[place as usize] = Some(hot);
                place
            }
            None => {
                self.rows.push(Some(hot));
                self.rows.len() as u32 - 1
            }
        };
        let rows = &self.rows;
        let hash_of = |place: &u32| rows[*place as usize].as_ref().expect("the index names it").hash;
        self.index.insert_unique(hash, place, hash_of);
        Ok(place)
    }

    /// Encodes the rows that changed since the last checkpoint.
    pub fn freeze(&mut self, program: &FoldProgram) -> Vec<RowChange> {
        let mut changes = Vec::with_capacity(self.dirty.len());
        for place in std::mem::take(&mut self.dirty) {
            let hot = self.rows[place as usize].as_mut().expect("dirty rows stay");
            let row = hot.row.as_ref().map(|row| {
                self.encoded.clear();
                rows::encode(row, &program.plan.projection.state, &mut self.encoded);
                Arc::from(self.encoded.as_slice())
            });
            let heap = row.as_ref().map_or(0, |row: &Arc<[u8]>| row.len());
            let bytes = row_bytes(&hot.key, program, heap);
            self.bytes = self.bytes + u64::from(bytes) - u64::from(hot.bytes);
            hot.bytes = bytes;
            hot.dirty = false;
            hot.written = true;
            self.written.push(place);
            changes.push(RowChange { key: hot.key.clone(), row });
        }
        changes
    }

    /// The checkpoint in flight is synced: its rows may leave memory.
    pub fn release(&mut self) {
        for place in self.written.drain(..) {
            if let Some(row) = self.rows[place as usize].as_mut() {
                row.written = false;
            }
        }
    }

    /// Forgets every row that the snapshot does not hold as it is here.
    pub fn forget(&mut self) {
        let changed: Vec<u32> = self.dirty.drain(..).chain(self.written.drain(..)).collect();
        changed.into_iter().for_each(|place| self.remove(place));
    }

    fn remove(&mut self, place: u32) {
        let Some(hot) = self.rows[place as usize].take() else { return };
        if let Ok(entry) = self.index.find_entry(hot.hash, |other| *other == place) {
            entry.remove();
        }
        self.bytes -= u64::from(hot.bytes);
        self.vacant.push(place);
    }

    /// Lets rows go that were not used lately (second chance), until the rest fits. Rows that only memory holds stay.
    pub fn evict(&mut self, bytes_max: u64) {
        if self.bytes <= bytes_max {
            return;
        }
        let goal = bytes_max / 8 * 7;
        let mut steps = self.rows.len() * 2;
        while self.bytes > goal && steps > 0 {
            steps -= 1;
            self.hand = (self.hand + 1) % self.rows.len();
            let Some(hot) = &mut self.rows[self.hand] else { continue };
            if hot.dirty || (hot.written && !mutant!(WrittenRowEvicted)) {
                continue;
            }
            if std::mem::take(&mut hot.used) {
                continue;
            }
            self.remove(self.hand as u32);
        }
    }

    /// (rows, about how many bytes) that no checkpoint holds yet.
    pub fn dirty(&self) -> (u64, u64) {
        let rows = self.dirty.len() as u64;
        let hot = (self.rows.len() - self.vacant.len()).max(1) as u64;
        (rows, rows * (self.bytes / hot))
    }

    /// About how much memory the rows take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// About how much memory a hot row takes: its places in the tables, its key, its values, and what those own.
fn row_bytes(key: &str, program: &FoldProgram, encoded: usize) -> u32 {
    let fields = program.plan.projection.state.len() * size_of::<Value<'static>>();
    let heap = if program.growable.is_empty() { 0 } else { encoded * 2 };
    (size_of::<HotRow>() + 48 + key.len() + fields + heap).min(u32::MAX as usize) as u32
}

#[cold]
fn too_large(key: &str, len: usize, view: EventView<'_>) -> Box<Fault> {
    let message =
        format!("this {} makes the row of `{key}` {len} bytes large, more than {ROW_BYTES_MAX}", view.event_type);
    Box::new(Fault { code: codes::ROW_SIZE, class: FaultClass::Eval, message, span: None })
}
