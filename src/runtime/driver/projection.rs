//! One projection's own thread: feeds its core with what happened and does what the core says.
//!
//! Folding is done here (with the pool's threads); everything that may wait is elsewhere: reading, writing, publishing.
//! They all answer through one channel, so what happens to a projection happens in one order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::event::{Generation, Offset, RecordBatch, TopicPartition, Version};
use crate::plan::Plan;
use crate::runtime::core::{Action, ClaimRequest, Core, Ended, Input, Report, Work};
use crate::runtime::driver::writer::WriteRequest;
use crate::runtime::fold::{FoldError, Folder};
use crate::runtime::progress::ProjectionStatus;
use crate::runtime::publish::{PublishRequest, move_claim, publish, read_claim};
use crate::runtime::reader::{Command, News};
use crate::sinks::DocumentSink;
use crate::sinks::meter::Meter;
use crate::sinks::pace::Pace;
use crate::state::{RowChange, Snapshot};

/// Under load the shown status is replaced no more often than this.
const STATUS_PAUSE: Duration = Duration::from_millis(50);

/// What happened outside the projection's thread.
pub(super) enum Message {
    /// From the reader.
    News(News),
    /// For the core as it is.
    Heard(Input),
    /// What the checkpoint made visible is read through from now on.
    Synced { version: Version, snapshot: Arc<dyn Snapshot> },
    /// Answered with why it may not be.
    Skip { partition: TopicPartition, offset: Offset, answer: oneshot::Sender<Result<(), String>> },
}

/// A projection with all it acts through.
pub(super) struct ProjectionDriver {
    pub core: Core,
    pub folder: Folder,
    pub plan: Arc<Plan>,
    pub generation: Generation,
    pub sinks: Vec<Arc<dyn DocumentSink>>,
    /// In the order of the sinks.
    pub paces: Vec<Arc<Mutex<Pace>>>,
    pub snapshot: Arc<dyn Snapshot>,
    pub messages: Receiver<Message>,
    /// To itself, for those who answer.
    pub replies: Sender<Message>,
    pub reader: Sender<Command>,
    pub writer: Sender<WriteRequest>,
    pub tokio: Handle,
    pub status: watch::Sender<Arc<ProjectionStatus>>,
}

/// What the thread holds between two messages.
struct Held {
    /// Read, and not folded yet.
    batches: VecDeque<(u32, RecordBatch)>,
    /// The batch the core was just told of.
    current: Option<RecordBatch>,
    /// Encoded for the checkpoint the core is about to send.
    frozen: Vec<RowChange>,
    checkpoint_at: Option<SystemTime>,
    shown_at: Option<Instant>,
    ended: Option<Ended>,
}

impl ProjectionDriver {
    /// Runs until the projection has ended.
    pub fn run(mut self) -> Ended {
        let mut held = Held {
            batches: VecDeque::new(),
            current: None,
            frozen: Vec::new(),
            checkpoint_at: None,
            shown_at: None,
            ended: None,
        };
        self.feed(Input::Start, &mut held);
        while held.ended.is_none() {
            match self.next_message(&mut held) {
                Some(message) => self.take(message, &mut held),
                None if self.may_fold(&held) => self.fold_next(&mut held),
                None => self.feed(Input::Tick, &mut held),
            }
        }
        self.show(&mut held);
        held.ended.expect("the loop ended with it")
    }

    fn may_fold(&self, held: &Held) -> bool {
        !held.batches.is_empty() && self.core.may_fold()
    }

    /// The next thing that happened. Without one: at once when there is a batch to fold, else when time has passed.
    fn next_message(&mut self, held: &mut Held) -> Option<Message> {
        if let Ok(message) = self.messages.try_recv() {
            return Some(message);
        }
        let may_fold = self.may_fold(held);
        if !may_fold || held.shown_at.is_none_or(|at| at.elapsed() >= STATUS_PAUSE) {
            self.show(held);
        }
        let now = Instant::now();
        if may_fold {
            // What is due by time is not put off by a full log.
            if self.core.wake_at(now).is_some_and(|at| at <= now) {
                self.feed(Input::Tick, held);
            }
            return None;
        }
        match self.core.wake_at(now) {
            Some(at) => match self.messages.recv_timeout(at.saturating_duration_since(now)) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("it holds a sender itself"),
            },
            None => self.messages.recv().ok(),
        }
    }

    fn take(&mut self, message: Message, held: &mut Held) {
        let input = match message {
            Message::News(News::Read { rewinds, batch }) => return held.batches.push_back((rewinds, batch)),
            Message::News(News::Found(found)) => Input::Opened(found),
            Message::News(News::Ends(ends)) => Input::Ends(ends),
            Message::News(News::Lost { partition, why }) => Input::Lost { partition, why },
            Message::News(News::Failed(ended)) => Input::Failed(ended),
            Message::Heard(input) => input,
            Message::Synced { version, snapshot } => {
                self.snapshot = snapshot;
                held.checkpoint_at = Some(SystemTime::now());
                Input::Synced(version)
            }
            Message::Skip { partition, offset, answer } => {
                let may = self.core.may_skip(&partition, offset);
                let refused = may.is_err();
                let _ = answer.send(may); // who asked may be gone
                if refused {
                    return;
                }
                Input::Skip { partition, offset }
            }
        };
        self.feed(input, held);
    }

    fn fold_next(&mut self, held: &mut Held) {
        let Some((rewinds, batch)) = held.batches.pop_front() else { return };
        let inputs = batch.inputs.clone();
        held.current = Some(batch);
        self.feed(Input::Read { rewinds, inputs }, held);
    }

    /// Tells the core what happened, does what it says, and tells it what became of that.
    fn feed(&mut self, input: Input, held: &mut Held) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.core.step(Instant::now(), input) {
                match self.act(action, held) {
                    Ok(result) => inputs.extend(result),
                    Err(FoldError::Panicked(panicked)) => {
                        inputs.push_back(Input::Failed(Ended::Panicked(panicked.to_string())));
                    }
                    Err(error) => inputs.push_back(Input::Failed(Ended::Faulted(error.to_string()))),
                }
            }
        }
    }

    fn act(&mut self, action: Action, held: &mut Held) -> Result<Option<Input>, FoldError> {
        match action {
            Action::Open(starts) => self.tell_reader(Command::Open(starts)),
            Action::Close(partition) => self.tell_reader(Command::Close(partition)),
            Action::Tell(offsets) => self.tell_reader(Command::Tell(offsets)),
            Action::Look(partitions) => self.tell_reader(Command::Look(partitions)),
            Action::Claim { sink, request } => self.claim(sink, request),
            Action::Fold { admission, careful } => {
                let batch = held.current.take().expect("the core was told of it");
                let (folded, batch) = self.folder.fold(batch, &admission, careful)?;
                self.tell_reader(Command::Recycle(batch));
                return Ok(Some(Input::Folded(folded)));
            }
            Action::Discard => {
                let batch = held.current.take().expect("the core was told of it");
                self.tell_reader(Command::Recycle(batch));
            }
            Action::Reread { rewinds, starts } => self.tell_reader(Command::Rewind { rewinds, starts }),
            Action::Rewind { rewinds, starts } => {
                self.folder.forget();
                self.tell_reader(Command::Rewind { rewinds, starts });
            }
            Action::Freeze => {
                let (keys, rows) = self.folder.freeze()?;
                held.frozen = rows;
                return Ok(Some(Input::Frozen(keys)));
            }
            Action::Checkpoint(mut batch) => {
                batch.rows = std::mem::take(&mut held.frozen);
                let request = WriteRequest { batch, reply: self.replies.clone() };
                if self.writer.send(request).is_err() {
                    return Ok(Some(Input::CommitFailed("the store writer is gone".into())));
                }
            }
            Action::Release => self.folder.release(self.snapshot.clone()),
            Action::Show { version, keys } => {
                for view in self.sinks.iter().filter_map(|sink| sink.row_view()) {
                    view.changed(&keys, version, self.snapshot.clone());
                }
            }
            Action::Publish { sink, version, work, until } => self.publish(sink, version, work, until),
            Action::Report(report) => self.report(report),
            Action::Exit(ended) => held.ended = Some(ended),
        }
        Ok(None)
    }

    fn tell_reader(&self, command: Command) {
        // A reader that has failed said so before it went.
        let _ = self.reader.send(command);
    }

    fn publish(&self, sink: usize, version: Version, work: Work, until: Option<Instant>) {
        let request = PublishRequest {
            plan: self.plan.clone(),
            generation: self.generation,
            sink,
            version,
            work,
            until,
            snapshot: self.snapshot.clone(),
        };
        let (target, replies) = (self.sinks[sink].clone(), self.replies.clone());
        let pace = self.paces[sink].clone();
        self.tokio.spawn(async move {
            let answer = publish(request, target, pace).await;
            let _ = replies.send(Message::Heard(Input::Answer(answer))); // nobody waits once the projection has ended
        });
    }

    fn claim(&self, sink: usize, request: ClaimRequest) {
        let (target, replies) = (self.sinks[sink].clone(), self.replies.clone());
        self.tokio.spawn(async move {
            let heard = match request {
                ClaimRequest::Read => Input::ClaimRead { sink, result: read_claim(&*target).await },
                ClaimRequest::Move { from, to } => {
                    Input::ClaimMoved { sink, result: move_claim(&*target, from, to).await }
                }
            };
            let _ = replies.send(Message::Heard(heard)); // nobody waits once the projection has ended
        });
    }

    fn report(&self, report: Report) {
        let projection = &*self.plan.projection.name;
        match report {
            Report::PartitionStopped { partition, offset, why } => {
                tracing::error!(projection, %partition, %offset, why, "a partition stopped");
            }
            Report::LossAccepted { partition, what } => {
                tracing::warn!(projection, %partition, what, "records are missing; going on without them");
            }
            Report::SinkStopped { sink, why } => tracing::error!(projection, %sink, why, "a sink stopped"),
            Report::Unwritable { sink, key, reason } => {
                tracing::warn!(projection, %sink, %key, reason, "a document was given up on");
            }
            Report::CaughtUp => tracing::info!(projection, "caught up"),
        }
    }

    fn show(&self, held: &mut Held) {
        held.shown_at = Some(Instant::now());
        let mut status = self.core.status(held.checkpoint_at, held.ended.as_ref());
        for (shown, sink) in status.sinks.iter_mut().zip(&self.sinks) {
            shown.metered = sink.meter().map(Meter::read);
        }
        self.status.send_replace(Arc::new(status));
    }
}
