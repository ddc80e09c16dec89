//! A process: a core, a fold and a reader that do what they do in production, with the scheduler in the place of threads.
//!
//! What threads would do side by side (read, fold, write the store, publish) are steps here, and any of them may come
//! next. Each answers through the inbox, as in production.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::event::{Generation, Offset, RecordBatch, TopicPartition, Version};
use crate::plan::Plan;
use crate::runtime::Ended;
use crate::runtime::core::{Action, Answer, ClaimRequest, Core, Input, TargetTraits, WALK_ROWS_MAX, Work};
use crate::runtime::fold::{FoldPool, FoldProgram, Folder};
use crate::runtime::publish::{PublishRequest, deadline, prepare, show, swept};
use crate::runtime::reader::{Command, News, Reader, ReaderSpec};
use crate::runtime::start::{StartOptions, core_facts};
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};
use crate::sinks::{DocumentWrite, Outcome, RowView};
use crate::sources::memory::{Interleaving, MemoryLog};
use crate::state::{CheckpointBatch, MemoryStore, RowChange, Snapshot, Store, StoredRow};

use super::laws::{Broken, Law};
use super::schedule::Setup;
use super::subject::{CACHE, SINKS, TOPIC};
use super::target::Target;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The id of the process that was started as the `number`th; ids are far apart, since targets are named after them.
pub(super) fn process_id(number: u32) -> ProcessId {
    ProcessId(u128::from(number) << 64)
}

/// What happened outside the fold's thread.
pub(super) enum Message {
    News(News),
    Synced(Version, Arc<dyn Snapshot>),
    CommitFailed(String),
    Answered(Answer),
    ClaimRead { sink: usize, result: Result<Option<Claim>, String> },
    ClaimMoved { sink: usize, result: Result<ClaimMove, String> },
    Retry,
    Skip(TopicPartition, Offset),
    Stop,
}

/// A request of the core on its way through its batches.
pub(super) struct Publishing {
    pub sink: usize,
    pub version: Version,
    until: Option<Instant>,
    /// Not read and rendered yet.
    pub request: Option<PublishRequest>,
    /// Batches that were not sent yet; one is sent after another is answered.
    pub left: VecDeque<Vec<DocumentWrite>>,
    pub outcomes: Vec<(Arc<str>, Outcome)>,
    deleted: Vec<Arc<str>>,
    walked_to: Option<Arc<str>>,
    /// A batch is on the network.
    pub sent: bool,
}

/// Documents to send, and by when they must be answered.
pub(super) struct Batch {
    pub writes: Vec<DocumentWrite>,
    pub deadline: Instant,
}

pub(super) struct Process {
    /// Grows with every start.
    pub number: u32,
    pub disk: usize,
    pub store: Arc<MemoryStore>,
    pub core: Core,
    pub folder: Folder,
    pub view: Arc<View>,
    pub ended: Option<Ended>,
    pub publishing: Vec<Publishing>,
    /// Claim calls that are to be made.
    pub calls: Vec<(usize, ClaimRequest)>,
    /// It stands still.
    pub is_frozen: bool,
    plan: Arc<Plan>,
    generation: Generation,
    snapshot: Arc<dyn Snapshot>,
    reader: Reader,
    /// When the reader turns again; never when it has failed.
    next_turn: Option<Instant>,
    /// The reader found nothing at this count of changes of the log.
    idle_at: Option<u64>,
    pub inbox: VecDeque<Message>,
    batches: VecDeque<(u32, RecordBatch)>,
    current: Option<RecordBatch>,
    frozen: Vec<RowChange>,
    to_commit: Option<Box<CheckpointBatch>>,
    committing: bool,
    /// Some row changed since the last cut.
    dirty: bool,
    reading: usize,
    fed_at: Instant,
}

impl Process {
    /// Starts on a disk; `Err` when the start is refused.
    pub fn start(
        setup: &Setup,
        plan: &Arc<Plan>,
        log: &MemoryLog,
        (number, disk): (u32, usize),
        store: Arc<MemoryStore>,
        ends: bool,
        now: Instant,
    ) -> Result<Process, Ended> {
        let snapshot = store.snapshot();
        let seed = setup.seed.wrapping_add(u64::from(number));
        let options = StartOptions {
            process: process_id(number),
            accept_loss: false,
            start_timeout: START_TIMEOUT,
            checkpoint_interval: setup.checkpoint_interval,
            until_caught_up: ends,
            shutdown_timeout: Duration::from_secs(10),
            dirty_bytes_max: setup.hot_bytes_max,
            seed,
        };
        let targets = SINKS.map(|sink| match sink {
            CACHE => TargetTraits { volatile: true, view: true, ..TargetTraits::default() },
            _ => TargetTraits {
                claimed: Some(setup.shared),
                late_for: setup.late_for,
                remembers: setup.remembers,
                ..TargetTraits::default()
            },
        });
        let facts = core_facts(&*store, &*snapshot, plan, &targets, options).expect("memory can be read")?;
        let generation = facts.core.generation;
        let stored = facts.stored.map(|state| state.next_offsets).unwrap_or_default();
        let program = FoldProgram::new(plan.clone(), generation, Arc::new(|_| None));
        let pool = Arc::new(FoldPool::start(1).expect("no thread is started"));
        let folder = Folder::new(program, pool, snapshot.clone(), setup.hot_bytes_max, setup.shards);
        let reads = ReaderSpec {
            source: Box::new(log.source(&[TOPIC.into()], Interleaving::Seeded(seed))),
            projection: plan.projection.name.clone(),
            stored,
            batch_bytes_max: setup.batch_bytes_max,
            start_timeout: START_TIMEOUT,
            poll_wait: Duration::ZERO,
        };
        Ok(Process {
            number,
            disk,
            store,
            core: Core::new(facts.core),
            folder,
            view: Arc::new(View { generation, seen: Mutex::default() }),
            ended: None,
            publishing: Vec::new(),
            calls: Vec::new(),
            is_frozen: false,
            plan: plan.clone(),
            generation,
            snapshot,
            reader: Reader::new(reads, now),
            next_turn: Some(now),
            idle_at: None,
            inbox: VecDeque::new(),
            batches: VecDeque::new(),
            current: None,
            frozen: Vec::new(),
            to_commit: None,
            committing: false,
            dirty: false,
            reading: 0,
            fed_at: now,
        })
    }

    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// It is live and does not stand still.
    pub fn runs(&self) -> bool {
        self.is_live() && !self.is_frozen
    }

    pub fn batches_held(&self) -> usize {
        self.reading
    }

    /// Whether some row lies in memory alone, or in a checkpoint that is not synced.
    pub fn holds_unsynced(&self) -> bool {
        self.committing || self.dirty
    }

    pub fn may_turn(&self, now: Instant, log_changes: u64) -> bool {
        self.next_turn.is_some_and(|at| at <= now) && self.idle_at != Some(log_changes)
    }

    /// The reader reads once. Says whether something came of it.
    pub fn turn(&mut self, now: Instant, log_changes: u64) -> bool {
        let turn = self.reader.turn(now);
        self.next_turn = turn.next_at;
        self.idle_at = (turn.news.is_empty() && turn.next_at.is_some_and(|at| at <= now)).then_some(log_changes);
        let tells = turn.news.iter().any(|news| !matches!(news, News::Ends(_)));
        for news in turn.news {
            self.reading += usize::from(matches!(news, News::Read { .. }));
            self.inbox.push_back(Message::News(news));
        }
        tells
    }

    /// Whether the fold's thread has something to do.
    pub fn may_work(&self, now: Instant) -> bool {
        !self.inbox.is_empty() || self.may_fold() || self.core.wake_at(now).is_some_and(|at| at <= now)
    }

    fn may_fold(&self) -> bool {
        !self.batches.is_empty() && self.core.may_fold()
    }

    /// When something is due by time alone, after now.
    pub fn wake_at(&self, now: Instant, looks: bool) -> Option<Instant> {
        let core = self.core.wake_at(now).filter(|at| *at > now);
        let turn = self.next_turn.filter(|at| looks && *at > now);
        core.into_iter().chain(turn).min()
    }

    /// The reader may look for new partitions and ends again.
    pub fn time_passes(&mut self) {
        self.idle_at = None;
    }

    /// One turn of the fold's thread.
    pub fn work(&mut self, now: Instant) -> Result<&'static str, Broken> {
        if let Some(message) = self.inbox.pop_front() {
            return self.take(now, message);
        }
        if self.may_fold() && self.core.wake_at(now).is_none_or(|at| at > now) {
            let (rewinds, batch) = self.batches.pop_front().expect("there is one");
            let inputs = batch.inputs.clone();
            self.current = Some(batch);
            self.feed(now, Input::Read { rewinds, inputs })?;
            return Ok("folds");
        }
        self.feed(now, Input::Tick)?;
        Ok("ticks")
    }

    fn take(&mut self, now: Instant, message: Message) -> Result<&'static str, Broken> {
        let (input, what) = match message {
            Message::News(News::Read { rewinds, batch }) => {
                self.batches.push_back((rewinds, batch));
                return Ok("takes a batch");
            }
            Message::News(News::Found(found)) => (Input::Opened(found), "finds partitions"),
            Message::News(News::Ends(ends)) => (Input::Ends(ends), ""),
            Message::News(News::Lost { partition, why }) => (Input::Lost { partition, why }, "loses a partition"),
            Message::News(News::Failed(ended)) => (Input::Failed(ended), "hears that its source failed"),
            Message::Synced(version, snapshot) => {
                self.snapshot = snapshot;
                self.committing = false;
                (Input::Synced(version), "hears of the sync")
            }
            Message::CommitFailed(why) => (Input::CommitFailed(why), "hears that the commit failed"),
            Message::Answered(answer) => (Input::Answer(answer), "takes an answer"),
            Message::ClaimRead { sink, result } => (Input::ClaimRead { sink, result }, "has read a claim"),
            Message::ClaimMoved { sink, result } => (Input::ClaimMoved { sink, result }, "has moved a claim"),
            Message::Retry => (Input::Retry, "tries again what stopped"),
            Message::Skip(partition, offset) => (Input::Skip { partition, offset }, "skips an event"),
            Message::Stop => (Input::Stop, "is told to stop"),
        };
        self.feed(now, input)?;
        Ok(what)
    }

    pub fn feed(&mut self, now: Instant, input: Input) -> Result<(), Broken> {
        self.fed_at = now;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.core.step(now, input) {
                inputs.extend(self.act(action)?);
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<Option<Input>, Broken> {
        match action {
            Action::Open(starts) => self.command(Command::Open(starts)),
            Action::Close(partition) => self.command(Command::Close(partition)),
            Action::Tell(offsets) => self.command(Command::Tell(offsets)),
            Action::Fold { admission, careful } => {
                let batch = self.current.take().expect("the core was told of it");
                let (folded, batch) = self.folder.fold(batch, &admission, careful).expect("nothing panics");
                self.recycle(batch);
                self.dirty = folded.dirty_rows > 0;
                return Ok(Some(Input::Folded(folded)));
            }
            Action::Discard => {
                let batch = self.current.take().expect("the core was told of it");
                self.recycle(batch);
            }
            Action::Reread { rewinds, starts } => self.command(Command::Rewind { rewinds, starts }),
            Action::Rewind { rewinds, starts } => {
                self.folder.forget();
                self.dirty = false;
                self.command(Command::Rewind { rewinds, starts });
            }
            Action::Freeze => {
                let (keys, rows) = self.folder.freeze().expect("nothing panics");
                self.frozen = rows;
                self.dirty = false;
                return Ok(Some(Input::Frozen(keys)));
            }
            Action::Checkpoint(mut batch) => {
                batch.rows = std::mem::take(&mut self.frozen);
                if self.to_commit.replace(batch).is_some() || std::mem::replace(&mut self.committing, true) {
                    return Err(Broken::new(Law::Bounds, "two checkpoints are in flight".into()));
                }
            }
            Action::Release => self.folder.release(self.snapshot.clone()),
            Action::Show { version, keys } => self.view.changed(&keys, version, self.snapshot.clone()),
            Action::Publish { sink, version, work, until } => {
                if self.publishing.iter().any(|publishing| publishing.sink == sink) {
                    return Err(Broken::new(Law::Bounds, format!("sink {sink} has two requests in flight")));
                }
                let (plan, generation, snapshot) = (self.plan.clone(), self.generation, self.snapshot.clone());
                self.publishing.push(Publishing {
                    sink,
                    version,
                    until,
                    request: Some(PublishRequest { plan, generation, sink, version, work, until, snapshot }),
                    left: VecDeque::new(),
                    outcomes: Vec::new(),
                    deleted: Vec::new(),
                    walked_to: None,
                    sent: false,
                });
            }
            Action::Look(partitions) => self.command(Command::Look(partitions)),
            Action::Claim { sink, request } => self.calls.push((sink, request)),
            Action::Report(_) => {}
            Action::Exit(ended) => self.ended = Some(ended),
        }
        Ok(None)
    }

    fn command(&mut self, command: Command) {
        self.reader.command(command);
        self.idle_at = None;
        // A command ends the reader's wait.
        self.next_turn = self.next_turn.map(|at| at.min(self.fed_at));
    }

    fn recycle(&mut self, batch: RecordBatch) {
        self.reading -= 1;
        self.command(Command::Recycle(batch));
    }

    pub fn may_commit(&self) -> bool {
        self.to_commit.is_some()
    }

    /// The store's thread writes what waits.
    pub fn commit(&mut self) -> Version {
        let batch = self.to_commit.take().expect("it may commit");
        let version = batch.version;
        self.inbox.push_back(match self.store.commit(&[*batch]) {
            Ok(snapshot) => Message::Synced(version, snapshot),
            Err(error) => Message::CommitFailed(error.to_string()),
        });
        version
    }

    /// A request that may go on: (its place, its sink).
    pub fn may_send(&self) -> impl Iterator<Item = usize> {
        let waits = |(index, publishing): (usize, &Publishing)| (!publishing.sent).then_some(index);
        self.publishing.iter().enumerate().filter_map(waits)
    }

    /// A request goes on: it is rendered, then sent batch by batch, then answered. Returns a batch to send.
    pub fn send(&mut self, index: usize, now: Instant, items_max: usize, target: &Target) -> Option<Batch> {
        let view = self.view.clone();
        let publishing = &mut self.publishing[index];
        if let Some(mut request) = publishing.request.take() {
            let mut swept_to = None;
            if let Work::Sweep { after, floor } = &request.work {
                if target.down {
                    self.answer(index, Some("the target is away".into()));
                    return None;
                }
                let (keys, next) = swept(&target.page(after.as_deref(), WALK_ROWS_MAX), *floor);
                (request.work, swept_to) = (Work::Keys(keys), next);
            }
            let read = if request.sink == CACHE { show(&request, &*view) } else { prepare(&request) };
            let prepared = read.expect("memory can be read");
            publishing.outcomes = prepared.known;
            publishing.deleted = prepared.deleted;
            publishing.walked_to = prepared.walked_to.or(swept_to);
            publishing.left = prepared.writes.chunks(items_max).map(<[_]>::to_vec).collect();
        }
        while let Some(writes) = publishing.left.pop_front() {
            if let Some(deadline) = deadline(now, publishing.until) {
                publishing.sent = true;
                return Some(Batch { writes, deadline });
            }
            let stale = |write: &DocumentWrite| (write.key.clone(), Outcome::Retry { reason: "stale".into() });
            publishing.outcomes.extend(writes.iter().map(stale));
        }
        self.answer(index, None);
        None
    }

    fn answer(&mut self, index: usize, unreadable: Option<String>) {
        let Publishing { sink, version, outcomes, deleted, walked_to, .. } = self.publishing.remove(index);
        let answer = Answer { sink, version, outcomes, deleted, walked_to, unreadable, ..Answer::default() };
        self.inbox.push_back(Message::Answered(answer));
    }

    /// A batch was answered.
    pub fn answered(&mut self, sink: usize, outcomes: Vec<(Arc<str>, Outcome)>) {
        if let Some(publishing) = self.publishing.iter_mut().find(|publishing| publishing.sink == sink) {
            publishing.sent = false;
            publishing.outcomes.extend(outcomes);
        }
    }
}

/// A view of the rows as the cache is one: it reads the newest snapshot it was shown, and holds what it has read.
pub(super) struct View {
    generation: Generation,
    seen: Mutex<Held>,
}

#[derive(Default)]
pub(super) struct Held {
    pub newest: Version,
    pub held: BTreeMap<Arc<str>, Option<Arc<[u8]>>>,
}

impl View {
    pub fn seen(&self) -> MutexGuard<'_, Held> {
        self.seen.lock().expect("nothing panics while it is held")
    }
}

impl RowView for View {
    fn changed(&self, keys: &[Arc<str>], version: Version, _snapshot: Arc<dyn Snapshot>) {
        let mut seen = self.seen();
        seen.newest = seen.newest.max(version);
        keys.iter().for_each(|key| drop(seen.held.remove(key)));
    }

    fn fill(&self, rows: &[(Arc<str>, StoredRow)], version: Version, snapshot: Arc<dyn Snapshot>) {
        let mut seen = self.seen();
        seen.newest = seen.newest.max(version);
        if seen.newest == version {
            let row = |key: &str| snapshot.row(self.generation, key).expect("memory can be read");
            let held = rows.iter().map(|(key, _)| (key.clone(), row(key).and_then(|stored| stored.row)));
            seen.held.extend(held);
        }
    }
}
