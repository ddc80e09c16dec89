//! Records → changed rows: a batch goes through two parallel phases, with a join after each.
//!
//! First every thread decodes, filters and keys a range of the batch; then every thread folds the events of the keys it
//! owns (by hash of the key), range after range, so that the events of one partition meet a row in offset order. Rows lie in
//! shards, one per thread. A part is handed to its thread with all it needs and comes back, so nothing is shared: with one
//! thread, or a small batch, no other thread is asked. How many threads there are is known to nothing durable.

mod admit;
mod keyed;
mod pool;
mod shard;
mod size;

use std::sync::Arc;

use crate::decode::SlotDecoder;
use crate::event::{Generation, Offset, RecordBatch};
use crate::language::span::Span;
use crate::language::typed::{FaultAction, FaultClass};
use crate::plan::{Fault, Plan};
use crate::runtime::core::{Folded, add};
use crate::state::{Counters, DeadLetter, RowChange, Snapshot};

pub(crate) use admit::record_hash;
pub(crate) use pool::{FoldPool, Panicked, message};
#[cfg(test)]
pub(crate) use size::ROW_BYTES_MAX;

use keyed::KeyedChunk;
use shard::{Folding, Shard, ShardResult};

/// Batches with fewer records are folded by one thread: waking others would cost more.
const SHARED_RECORDS_MIN: usize = 256;

/// Tells where a place in the source files is, as `file:line:column`.
pub type Locate = Arc<dyn Fn(Span) -> Option<String> + Send + Sync>;

/// Who owns a key: by no hash that a sender of keys can know; in tests by one that repeats.
#[cfg(not(test))]
type KeyHasher = std::hash::RandomState;
#[cfg(test)]
type KeyHasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// A plan with all that folding by it needs, shared by the threads.
pub(crate) struct FoldProgram {
    plan: Arc<Plan>,
    generation: Generation,
    decoder: SlotDecoder,
    /// By program: the wire name of its type.
    wire_names: Vec<Arc<str>>,
    /// The fields whose values can be of any size.
    growable: Vec<usize>,
    hasher: KeyHasher,
    locate: Locate,
}

/// Why folding cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error("a row could not be read: {0}")]
    Unreadable(String),
}

/// What folds the batches of one projection, and its rows.
pub(crate) struct Folder {
    program: Arc<FoldProgram>,
    pool: Arc<FoldPool>,
    shards: Vec<Shard>,
    spare: Vec<KeyedChunk>,
    snapshot: Arc<dyn Snapshot>,
    hot_bytes_max: u64,
}

impl FoldProgram {
    pub fn new(plan: Arc<Plan>, generation: Generation, locate: Locate) -> FoldProgram {
        let projection = &plan.projection;
        let mut wire_names: Vec<Arc<str>> = projection.programs.iter().map(|program| program.event.clone()).collect();
        for (wire, program) in projection.topics.iter().flat_map(|topic| &topic.programs) {
            wire_names[*program] = wire.clone();
        }
        let state = projection.state.iter().enumerate();
        let growable = state.filter(|(_, field)| size::can_grow(&field.ty)).map(|(index, _)| index).collect();
        let decoder = SlotDecoder::new(projection);
        FoldProgram { generation, decoder, wire_names, growable, hasher: KeyHasher::default(), locate, plan }
    }

    fn action(&self, class: FaultClass) -> &FaultAction {
        let on_error = &self.plan.projection.on_error;
        match class {
            FaultClass::Decode => &on_error.decode,
            FaultClass::Eval => &on_error.eval,
            FaultClass::Key => &on_error.key,
            FaultClass::Sink => unreachable!("no document is made here"),
        }
    }

    fn stops(&self, class: FaultClass) -> bool {
        *self.action(class) == FaultAction::Fail
    }
}

impl Folder {
    pub fn new(
        program: FoldProgram,
        pool: Arc<FoldPool>,
        snapshot: Arc<dyn Snapshot>,
        hot_bytes_max: u64,
        shards: usize,
    ) -> Folder {
        let shards = (0..shards.max(1)).map(|_| Shard::default()).collect();
        Folder { program: Arc::new(program), pool, shards, spare: Vec::new(), snapshot, hot_bytes_max }
    }

    /// Folds what is admitted of a batch; gives the batch back with its memory.
    pub fn fold(
        &mut self,
        batch: RecordBatch,
        admission: &[Option<(Offset, Offset)>],
        careful: bool,
    ) -> Result<(Folded, RecordBatch), FoldError> {
        let admit::Admitted { batch, lasts } = admit::admit(batch, admission);
        let mut folded = Folded {
            positions: batch.positions.clone(),
            ends: batch.ends.iter().map(|(input, _)| *input).collect(),
            lasts,
            ..Folded::default()
        };
        let batch = Arc::new(batch);
        let chunks = Arc::new(self.decode(&batch)?);
        for chunk in chunks.iter() {
            let filtered = chunk.filtered;
            add(&mut folded.counts, Counters { filtered, dropped: chunk.chunk.counts.dropped, ..Counters::default() });
        }
        let faults = chunks.iter().flat_map(|chunk| chunk.chunk.faults.iter().chain(&chunk.faults));
        let faults: Vec<_> = faults.cloned().collect();
        self.judge(&batch, faults, &mut folded);
        if folded.stops.is_empty() {
            self.fold_rows(&batch, &chunks, careful, &mut folded)?;
        }
        self.spare = Arc::into_inner(chunks).expect("every thread gave its part back");
        let batch = Arc::into_inner(batch).expect("every thread gave its part back");
        let hot_bytes_max = self.hot_bytes_max / self.shards.len() as u64;
        for shard in &mut self.shards {
            shard.evict(hot_bytes_max);
            let (rows, bytes) = shard.dirty();
            folded.dirty_rows += rows;
            folded.dirty_bytes += bytes;
        }
        Ok((folded, batch))
    }

    /// Phase one. The chunks are in the order of their ranges.
    fn decode(&mut self, batch: &Arc<RecordBatch>) -> Result<Vec<KeyedChunk>, FoldError> {
        let (len, shards) = (batch.len(), self.shards.len());
        let width = if len < SHARED_RECORDS_MIN { 1 } else { self.pool.width() };
        let part = |index: usize| len * index / width..len * (index + 1) / width;
        let parts: Vec<_> = (0..width)
            .map(|index| {
                let chunk = self.spare.pop().unwrap_or_default();
                (self.program.clone(), batch.clone(), part(index), chunk)
            })
            .collect();
        let chunks = self.pool.run(parts, move |(program, batch, range, mut chunk)| {
            chunk.fill(&program, &batch, range, shards);
            chunk
        })?;
        Ok(chunks)
    }

    /// Phase two.
    fn fold_rows(
        &mut self,
        batch: &Arc<RecordBatch>,
        chunks: &Arc<Vec<KeyedChunk>>,
        careful: bool,
        folded: &mut Folded,
    ) -> Result<(), FoldError> {
        let shared = batch.len() >= SHARED_RECORDS_MIN && self.pool.width() > 1;
        let results = if shared {
            self.fold_shared(batch, chunks, careful)?
        } else {
            let Folder { program, snapshot, shards, .. } = self;
            let folding = Folding { program, batch, snapshot: &**snapshot, careful };
            shards.iter_mut().enumerate().map(|(index, shard)| shard.fold(&folding, chunks, index)).collect()
        };
        let mut faults = Vec::new();
        for result in results {
            if let Some(error) = result.error {
                return Err(FoldError::Unreadable(error));
            }
            let (done, filtered) = (result.folded, result.filtered);
            add(&mut folded.counts, Counters { folded: done, filtered, ..Counters::default() });
            folded.oversized |= result.oversized;
            faults.extend(result.faults);
        }
        self.judge(batch, faults, folded);
        Ok(())
    }

    fn fold_shared(
        &mut self,
        batch: &Arc<RecordBatch>,
        chunks: &Arc<Vec<KeyedChunk>>,
        careful: bool,
    ) -> Result<Vec<ShardResult>, FoldError> {
        let shards = std::mem::take(&mut self.shards).into_iter().enumerate();
        let shared =
            |(index, shard)| (index, shard, self.program.clone(), batch.clone(), chunks.clone(), self.snapshot.clone());
        let parts = shards.map(shared).collect();
        let done = self.pool.run(parts, move |(index, mut shard, program, batch, chunks, snapshot)| {
            let folding = Folding { program: &program, batch: &batch, snapshot: &*snapshot, careful };
            let result = shard.fold(&folding, &chunks, index);
            (shard, result)
        })?;
        let (shards, results) = done.into_iter().unzip();
        self.shards = shards;
        Ok(results)
    }

    /// Does with each fault what `on_error` says of its class.
    fn judge(&self, batch: &RecordBatch, mut faults: Vec<(u32, Box<Fault>)>, folded: &mut Folded) {
        faults.sort_by_key(|(record, _)| *record);
        let mut skipped = 0;
        for (index, fault) in &faults {
            let record = batch.record(*index as usize);
            folded.faults.push((fault.class, fault.to_string()));
            match self.program.action(fault.class) {
                FaultAction::Fail => {
                    if !folded.stops.iter().any(|(input, ..)| *input == record.input) {
                        let why = self.describe_stop(fault, batch, *index);
                        folded.stops.push((record.input, record.offset, why));
                    }
                }
                FaultAction::Skip => {
                    skipped += 1;
                    folded.counts.skipped += 1;
                }
                FaultAction::DeadLetter(to) => {
                    folded.counts.dead_letters += 1;
                    folded.dead_letters.push(self.dead_letter(fault, batch, *index, to));
                }
            }
        }
        let skip = |(_, fault): &&(u32, Box<Fault>)| *self.program.action(fault.class) == FaultAction::Skip;
        if let Some((index, fault)) = faults.iter().find(skip) {
            let first = self.describe(fault, batch, *index);
            tracing::warn!(projection = %self.program.plan.projection.name, skipped, first, "events were skipped");
        }
    }

    /// A fault that stops its partition, with what can be done about it.
    fn describe_stop(&self, fault: &Fault, batch: &RecordBatch, index: u32) -> String {
        let record = batch.record(index as usize);
        let (name, place) = (&self.program.plan.projection.name, record.source);
        let event = self.describe(fault, batch, index);
        format!("{event}\n  to go on without this event: `projector skip {name} {place}@{}`", record.offset)
    }

    /// A fault as shown to people.
    fn describe(&self, fault: &Fault, batch: &RecordBatch, index: u32) -> String {
        let record = batch.record(index as usize);
        let mut text = format!("{fault}\n  event {} offset {}", record.source, record.offset);
        if let Some(at) = fault.span.and_then(|span| (self.program.locate)(span)) {
            text.push_str(&format!("\n  at {at}"));
        }
        text
    }

    fn dead_letter(&self, fault: &Fault, batch: &RecordBatch, index: u32, to: &Arc<str>) -> DeadLetter {
        let record = batch.record(index as usize);
        let class = match fault.class {
            FaultClass::Decode => "decode",
            FaultClass::Eval => "eval",
            FaultClass::Key => "key",
            FaultClass::Sink => "sink",
        };
        DeadLetter {
            partition: record.source.clone(),
            offset: record.offset,
            time: record.time,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            to: to.clone(),
            class: class.into(),
            code: fault.code.into(),
            message: fault.message.clone(),
            at: fault.span.and_then(|span| (self.program.locate)(span)),
        }
    }

    /// Encodes the rows that changed since the last checkpoint, and lists their keys for the sinks. The fold may go on at once.
    pub fn freeze(&mut self) -> Result<(Vec<Arc<str>>, Vec<RowChange>), FoldError> {
        let (dirty, _) = self.shards.iter().map(|shard| shard.dirty()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let encoded: Vec<Vec<RowChange>> = if (dirty as usize) < SHARED_RECORDS_MIN {
            let left_out = usize::from(mutant!(CutWithoutAShard) && self.shards.len() > 1);
            self.shards.iter_mut().skip(left_out).map(|shard| shard.freeze(&self.program)).collect()
        } else {
            let shards = std::mem::take(&mut self.shards).into_iter();
            let parts = shards.map(|shard| (shard, self.program.clone())).collect();
            let done = self.pool.run(parts, |(mut shard, program): (Shard, Arc<FoldProgram>)| {
                let changes = shard.freeze(&program);
                (shard, changes)
            })?;
            let (shards, encoded) = done.into_iter().unzip();
            self.shards = shards;
            encoded
        };
        let changes: Vec<RowChange> = encoded.into_iter().flatten().collect();
        let keys = if self.program.plan.projection.sinks.is_empty() {
            Vec::new()
        } else {
            changes.iter().map(|change| change.key.clone()).collect()
        };
        Ok((keys, changes))
    }

    /// The checkpoint in flight is synced, and `snapshot` shows it.
    pub fn release(&mut self, snapshot: Arc<dyn Snapshot>) {
        self.snapshot = snapshot;
        let hot_bytes_max = self.hot_bytes_max / self.shards.len() as u64;
        for shard in &mut self.shards {
            shard.release();
            shard.evict(hot_bytes_max);
        }
    }

    /// About how much memory the hot rows take.
    pub fn hot_bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// Forgets what was folded since the last checkpoint.
    pub fn forget(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.forget());
    }
}
