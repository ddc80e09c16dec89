//! Writes of many sinks → synced batches: one thread, which takes all that waits as one batch with one sync.
//!
//! It writes in the order in which writes were sent, so a write that its sender gave up on is never done after a later one.
//! Claims are moved by the same thread in the same order: a move and its comparison cannot be parted, and no write that was
//! sent before a move is done after it.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::event::Version;
use crate::sinks::claim::{Claim, ClaimMove};
use crate::sinks::conflict::{Conflict, classify};
use crate::sinks::embedded::database::{Documents, SinkId, document_key};
use crate::sinks::{DocumentBody, DocumentWrite, Outcome, SinkError};
use crate::state::{KEY_BYTES_MAX, StoreError};

/// How many batches may wait; a sender beyond waits itself.
const WAITING_MAX: usize = 64;
/// How many documents share a sync at most; a single batch may be larger.
const GROUP_MAX: usize = 20_000;
/// How many deleted documents are remembered. A write that is older than so many deletes has long been answered.
const DELETED_MAX: usize = 100_000;

/// The thread that writes, and the way to it.
pub struct WriterThread {
    sender: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Request {
    Write(Writes),
    Move(Move),
}

struct Writes {
    sink: SinkId,
    batch: Vec<DocumentWrite>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

struct Move {
    sink: SinkId,
    from: Option<Claim>,
    to: Claim,
    answer: oneshot::Sender<Result<ClaimMove, StoreError>>,
}

impl WriterThread {
    pub fn spawn(documents: Arc<Documents>) -> Result<WriterThread, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = Writer { documents: documents.clone(), deleted: VecDeque::new() };
        let thread = thread::Builder::new().name("embedded-writer".into()).spawn(move || writer.run(receiver));
        let thread = thread.map_err(|error| documents.write_failed(error.into()))?;
        Ok(WriterThread { sender: Some(sender), thread: Mutex::new(Some(thread)) })
    }

    /// Sends a batch and waits for its outcomes, until the deadline.
    pub fn write(
        &self,
        sink: SinkId,
        batch: Vec<DocumentWrite>,
        deadline: Instant,
    ) -> impl Future<Output = Vec<Outcome>> + Send + 'static {
        let sender = self.sender.clone().expect("taken only when dropped");
        async move {
            let len = batch.len();
            let (answer, answered) = oneshot::channel();
            let sent = async {
                sender.send(Request::Write(Writes { sink, batch, answer })).await.ok()?;
                answered.await.ok()
            };
            match tokio::time::timeout_at(deadline.into(), sent).await {
                Ok(Some(outcomes)) => outcomes,
                Ok(None) => vec![Outcome::Unanswered { reason: "the embedded store has stopped".into() }; len],
                Err(_) => vec![Outcome::Unanswered { reason: "the embedded store took too long".into() }; len],
            }
        }
    }

    /// Sends a move and waits for what became of it.
    pub fn move_claim(
        &self,
        sink: SinkId,
        from: Option<Claim>,
        to: Claim,
    ) -> impl Future<Output = Result<ClaimMove, SinkError>> + Send + 'static {
        let sender = self.sender.clone().expect("taken only when dropped");
        async move {
            let (answer, answered) = oneshot::channel();
            let stopped = || SinkError { reason: "the embedded store has stopped".into() };
            sender.send(Request::Move(Move { sink, from, to, answer })).await.map_err(|_| stopped())?;
            let moved = answered.await.map_err(|_| stopped())?;
            moved.map_err(|error| SinkError { reason: reason(&error) })
        }
    }
}

impl Drop for WriterThread {
    /// Writes what was sent, so that the directory is free when the last sink is gone.
    fn drop(&mut self) {
        self.sender = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of the embedded store panicked");
        }
    }
}

/// A group that was not written, as far as is known.
struct Failed {
    error: StoreError,
    done: Done,
}

enum Done {
    No,
    /// The commit failed after it may have reached the disk.
    Maybe,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed { error, done: Done::No }
    }
}

struct Writer {
    documents: Arc<Documents>,
    /// Deleted documents that are remembered, oldest first.
    deleted: VecDeque<(Vec<u8>, Version)>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut next = requests.blocking_recv();
        while let Some(request) = next.take() {
            match request {
                Request::Move(request) => {
                    let moved = self.move_claim(&request);
                    // Who asked may have been stopped.
                    let _ = request.answer.send(moved);
                }
                Request::Write(first) => {
                    let mut len = first.batch.len();
                    let mut group = vec![first];
                    while len < GROUP_MAX && next.is_none() {
                        match requests.try_recv() {
                            Ok(Request::Write(more)) => {
                                len += more.batch.len();
                                group.push(more);
                            }
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.answer(group, len);
                }
            }
            next = next.or_else(|| requests.blocking_recv());
        }
    }

    /// Writes a group and answers each of its requests.
    fn answer(&mut self, group: Vec<Writes>, len: usize) {
        let outcomes = self.write(&group, len).unwrap_or_else(|failed| {
            let reason = reason(&failed.error);
            tracing::error!(reason, "documents were not written");
            let outcome = match failed.done {
                Done::No => Outcome::Retry { reason },
                Done::Maybe => Outcome::Unanswered { reason },
            };
            group.iter().map(|request| vec![outcome.clone(); request.batch.len()]).collect()
        });
        for (request, outcomes) in group.into_iter().zip(outcomes) {
            // Nobody waits for an answer past its deadline.
            let _ = request.answer.send(outcomes);
        }
    }

    /// Puts a claim in the place of the one expected, if that is there.
    fn move_claim(&self, request: &Move) -> Result<ClaimMove, StoreError> {
        let there = self.documents.claim(request.sink)?;
        let published = match (&there, &request.from) {
            (None, None) => request.to.published,
            // Writes may have raised it after the mover read it, and what was written stays written.
            (Some(there), Some(from)) if there.is_same_move(from) => request.to.published.max(there.published),
            _ => return Ok(ClaimMove::Found(there)),
        };
        let mut out = self.documents.batch(1);
        self.documents.put_claim(&mut out, request.sink, &Claim { published, ..request.to });
        out.commit().map_err(|error| self.documents.write_failed(error))?;
        Ok(ClaimMove::Moved)
    }

    /// Writes a group with one sync; returns the outcomes of each of its requests.
    fn write(&mut self, group: &[Writes], len: usize) -> Result<Vec<Vec<Outcome>>, Failed> {
        let mut out = self.documents.batch(2 * len);
        let mut written: HashMap<Vec<u8>, Version> = HashMap::with_capacity(len);
        let mut published: HashMap<SinkId, Version> = HashMap::new();
        let mut deleted = Vec::new();
        let mut outcomes = Vec::with_capacity(group.len());
        for request in group {
            let mut of_request = Vec::with_capacity(request.batch.len());
            for write in &request.batch {
                if write.key.len() > KEY_BYTES_MAX {
                    let reason = format!("its key is longer than {KEY_BYTES_MAX} bytes");
                    of_request.push(Outcome::Poison { reason });
                    continue;
                }
                let key = document_key(request.sink, &write.key);
                let stored = match written.get(&key) {
                    Some(version) => Some(*version),
                    None => self.documents.version(&key)?,
                };
                if let Some(refused) = refusal(stored, write.version) {
                    of_request.push(refused);
                    continue;
                }
                match &write.body {
                    DocumentBody::Document(body) => self.documents.put(&mut out, &key, write.version, body),
                    DocumentBody::Delete => {
                        self.documents.delete(&mut out, &key, write.version);
                        deleted.push((key.clone(), write.version));
                    }
                }
                written.insert(key, write.version);
                let highest = published.entry(request.sink).or_default();
                *highest = write.version.max(*highest);
                of_request.push(Outcome::Ok);
            }
            outcomes.push(of_request);
        }
        self.raise_claims(&mut out, published)?;
        self.forget_oldest(&mut out, &written, deleted.len())?;
        let done = |error| Failed { error: self.documents.write_failed(error), done: Done::Maybe };
        out.commit().map_err(done)?;
        self.deleted.extend(deleted);
        Ok(outcomes)
    }

    /// Lets the claims of these sinks say how high the versions go that this batch writes.
    fn raise_claims(
        &self,
        out: &mut fjall::OwnedWriteBatch,
        published: HashMap<SinkId, Version>,
    ) -> Result<(), StoreError> {
        for (sink, published) in published {
            if let Some(claim) = self.documents.claim(sink)?
                && claim.published < published
            {
                self.documents.put_claim(out, sink, &Claim { published, ..claim });
            }
        }
        Ok(())
    }

    /// Makes room for `more` deleted documents among those that are remembered.
    fn forget_oldest(
        &mut self,
        out: &mut fjall::OwnedWriteBatch,
        written: &HashMap<Vec<u8>, Version>,
        more: usize,
    ) -> Result<(), StoreError> {
        while self.deleted.len() + more > DELETED_MAX
            && let Some((key, version)) = self.deleted.pop_front()
        {
            // A document that was written since has another version, or is about to.
            if !written.contains_key(&key) && self.documents.version(&key)? == Some(version) {
                self.documents.forget(out, &key);
            }
        }
        Ok(())
    }
}

/// The outcome of a write that is not to be done, by the version that is there.
fn refusal(stored: Option<Version>, ours: Version) -> Option<Outcome> {
    // Absent is free to be written; what is there was written here, so it has a version.
    match classify(Some(stored?), ours) {
        Conflict::Retry => None,
        Conflict::Duplicate => Some(Outcome::Duplicate),
        Conflict::Foreign => {
            let reason = format!("it holds version {}, above {ours}, which somebody else wrote", stored?);
            Some(Outcome::Foreign { reason, stored })
        }
    }
}

/// An error with what caused it, in one line.
pub fn reason(error: &StoreError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
