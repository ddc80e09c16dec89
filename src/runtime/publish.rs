//! Owed keys → documents → a sink's answers.
//!
//! Rows are read only through a synced snapshot, so a sink never sees what a crash could take back. What is written for a
//! key is decided by its row alone: a document when there is one and it is a member of the sink, else a delete; deleting
//! what is absent is a success. A request becomes bounded batches: one thread renders the next while as many as the sink's
//! pace allows are under way. What the pace leaves no time for is not tried, and stays owed: by then it may have changed.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::event::{Generation, Version};
use crate::language::typed::Into;
use crate::plan::eval::{self, Scratch};
use crate::plan::{Fault, Plan, render};
use crate::runtime::core::{Answer, Cut, WALK_ROWS_MAX, Work};
use crate::sinks::claim::{Claim, ClaimMove};
use crate::sinks::pace::{self, Limits, Pace, Room};
use crate::sinks::{DocumentBody, DocumentPage, DocumentSink, DocumentWrite, Outcome, RowView, SinkError};
use crate::state::{Snapshot, StoreError, StoredRow, rows};

/// How long a sink may take for one batch.
const BATCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one request goes on beginning batches: what comes after it is read from a newer snapshot.
const REQUEST_TIME: Duration = Duration::from_secs(1);
/// How long it may take to read or move a claim.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);
/// A step of a walk ends after this many bytes of rows.
const WALK_BYTES_MAX: usize = 8 << 20;

/// What to write, and from what.
pub(crate) struct PublishRequest {
    pub plan: Arc<Plan>,
    pub generation: Generation,
    /// Index of the sink in the plan.
    pub sink: usize,
    pub version: Version,
    pub work: Work,
    /// Nothing is sent from then on, nor waited for.
    pub until: Option<Instant>,
    /// Of the checkpoint of that version.
    pub snapshot: Arc<dyn Snapshot>,
}

/// A request, read and rendered.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub writes: Vec<DocumentWrite>,
    /// Answers that are known without asking the sink.
    pub known: Vec<(Arc<str>, Outcome)>,
    /// The keys of those writes that are deletes.
    pub deleted: Vec<Arc<str>>,
    pub walked_to: Option<Arc<str>>,
}

/// The rows of a request: `None` for a key without one.
struct Found {
    rows: Vec<(Arc<str>, Option<StoredRow>)>,
    walked_to: Option<Arc<str>>,
}

/// Of a page of the target's documents, those that a sweep writes anew or deletes, and where it goes on.
pub(crate) fn swept(page: &DocumentPage, floor: Version) -> (Vec<Arc<str>>, Option<Arc<str>>) {
    let older = page.documents.iter().filter(|(_, document)| document.version < floor);
    (older.map(|(key, _)| key.clone()).collect(), page.next.clone())
}

/// Reads and renders what a request asks for; of a sweep, the documents that were listed for it. Blocks on the store. `each`
/// is given every key in turn, with what is to be written for it or the answer that is known already; it may break off.
fn render(
    request: &PublishRequest,
    mut each: impl FnMut(Arc<str>, Result<DocumentWrite, Outcome>) -> ControlFlow<()>,
) -> Result<Option<Arc<str>>, StoreError> {
    let Found { rows, walked_to } = find(request)?;
    let mut scratch = Scratch::default();
    for (key, stored) in rows {
        if mutant!(DeleteNotSent) && stored.as_ref().is_none_or(|stored| stored.row.is_none()) {
            if each(key, Err(Outcome::Ok)).is_break() {
                break;
            }
            continue;
        }
        let write = document(request, &key, stored, &mut scratch).map_err(|reason| Outcome::Poison { reason });
        if each(key, write).is_break() {
            break;
        }
    }
    Ok(walked_to)
}

/// All that a request asks for, at once.
pub(crate) fn prepare(request: &PublishRequest) -> Result<Prepared, StoreError> {
    let mut prepared = Prepared::default();
    let walked_to = render(request, |key, rendered| {
        match rendered {
            Ok(write) => {
                if matches!(write.body, DocumentBody::Delete) {
                    prepared.deleted.push(key);
                }
                prepared.writes.push(write);
            }
            Err(known) => prepared.known.push((key, known)),
        }
        ControlFlow::Continue(())
    })?;
    Ok(Prepared { walked_to, ..prepared })
}

/// What the sink is to hold for a key; an error when there can be no such document.
fn document(
    request: &PublishRequest,
    key: &Arc<str>,
    stored: Option<StoredRow>,
    scratch: &mut Scratch,
) -> Result<DocumentWrite, String> {
    let projection = &request.plan.projection;
    let sink: &Into = &projection.sinks[request.sink];
    let write = |body, time| DocumentWrite { key: key.clone(), version: request.version, body, time };
    let Some(bytes) = stored.and_then(|stored| stored.row) else { return Ok(write(DocumentBody::Delete, None)) };
    let row = rows::decode(&bytes, &projection.state).map_err(|error| error.to_string())?;
    let fault = |fault: Box<Fault>| fault.to_string();
    if !eval::member(sink, projection, key, &row, scratch).map_err(fault)? && !mutant!(MembershipIgnored) {
        return Ok(write(DocumentBody::Delete, None));
    }
    let mut body = Vec::new();
    render::document(projection, sink, key, &row, request.version, scratch, &mut body).map_err(fault)?;
    Ok(write(DocumentBody::Document(body.into()), row.time))
}

fn find(request: &PublishRequest) -> Result<Found, StoreError> {
    let PublishRequest { snapshot, generation, .. } = request;
    match &request.work {
        Work::Keys(keys) => {
            let row = |key: &Arc<str>| Ok((key.clone(), snapshot.row(*generation, key)?));
            Ok(Found { rows: keys.iter().map(row).collect::<Result<_, _>>()?, walked_to: None })
        }
        Work::Sweep { .. } => unreachable!("a sweep is listed first"),
        Work::Rows { after, floor } => {
            let mut found = Found { rows: Vec::new(), walked_to: None };
            let (mut looked_at, mut bytes) = (0, 0);
            snapshot.rows(*generation, "", after.as_deref(), &mut |key, row| {
                looked_at += 1;
                if mutant!(WalkSkipsRow) && looked_at == 1 && after.is_some() {
                    return ControlFlow::Continue(());
                }
                let key: Arc<str> = key.into();
                if row.changed > *floor {
                    bytes += row.row.as_ref().map_or(0, |row| row.len());
                    found.rows.push((key.clone(), Some(row)));
                }
                if looked_at == WALK_ROWS_MAX || bytes >= WALK_BYTES_MAX {
                    found.walked_to = Some(key);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            Ok(found)
        }
    }
}

/// Fills a sink that makes its documents itself from the next rows of the walk.
pub(crate) fn show(request: &PublishRequest, view: &dyn RowView) -> Result<Prepared, StoreError> {
    let (version, snapshot) = (request.version, request.snapshot.clone());
    let Found { rows, walked_to } = find(request)?;
    let known = rows.iter().map(|(key, _)| (key.clone(), Outcome::Ok)).collect();
    let there =
        |(key, stored): (Arc<str>, Option<StoredRow>)| Some((key, stored.filter(|stored| stored.row.is_some())?));
    let rows: Vec<_> = rows.into_iter().filter_map(there).collect();
    view.fill(&rows, version, snapshot);
    Ok(Prepared { writes: Vec::new(), known, deleted: Vec::new(), walked_to })
}

/// Writes what a request asks for and returns the sink's answer.
pub(crate) async fn publish(request: PublishRequest, sink: Arc<dyn DocumentSink>, pace: Arc<Mutex<Pace>>) -> Answer {
    let (index, version) = (request.sink, request.version);
    let answer = match (&request.work, sink.row_view()) {
        (Work::Sweep { after, floor }, _) => sweep(&request, after.clone(), *floor, &*sink, &pace).await,
        (_, Some(_)) => fill(request, sink.clone()).await,
        _ => Sending::new(&*sink, &pace, request.until).send(request, None).await,
    };
    answer.unwrap_or_else(|reason| Answer { sink: index, version, unreadable: Some(reason), ..Answer::default() })
}

/// Fills a view from the next rows of the walk.
async fn fill(request: PublishRequest, sink: Arc<dyn DocumentSink>) -> Result<Answer, String> {
    let (index, version) = (request.sink, request.version);
    let reading = tokio::task::spawn_blocking(move || match sink.row_view() {
        Some(view) => show(&request, view),
        None => unreachable!("it was one a moment ago"),
    });
    let Prepared { known, walked_to, .. } = read(reading).await?;
    Ok(Answer { sink: index, version, outcomes: known, walked_to, ..Answer::default() })
}

/// Sweeps the next documents of the target: those that are older than the filling are deleted, or written anew.
async fn sweep(
    request: &PublishRequest,
    after: Option<Arc<str>>,
    floor: Version,
    sink: &dyn DocumentSink,
    pace: &Mutex<Pace>,
) -> Result<Answer, String> {
    let PublishRequest { sink: index, version, until, .. } = *request;
    let deadline = deadline(Instant::now(), until).ok_or("the claim of the target is too old to send on")?;
    if let Some(sweeper) = sink.sweeper() {
        let more = in_time(deadline, sweeper.sweep(floor, version, WALK_ROWS_MAX, deadline)).await?;
        // There is no key to go on after: what was deleted is not found again.
        let walked_to = more.then(|| Arc::from(""));
        return Ok(Answer { sink: index, version, walked_to, ..Answer::default() });
    }
    let page = in_time(deadline, sink.list("", after.as_deref(), WALK_ROWS_MAX)).await?;
    let (keys, next) = swept(&page, floor);
    let request = PublishRequest {
        plan: request.plan.clone(),
        snapshot: request.snapshot.clone(),
        work: Work::Keys(keys),
        ..*request
    };
    Sending::new(sink, pace, until).send(request, next).await
}

/// What is rendered and goes out together, and the answers known already; in key order.
#[derive(Default)]
struct Batch {
    writes: Vec<DocumentWrite>,
    known: Vec<(Arc<str>, Outcome)>,
    bytes: usize,
    /// The last key of it.
    through: Option<Arc<str>>,
}

impl Batch {
    /// Whether nothing more may be put to it.
    fn is_full(&self, limits: Limits, more: usize) -> bool {
        let items = self.writes.len();
        items >= limits.items_max || (items > 0 && self.bytes + more > limits.bytes_max)
    }

    fn push(&mut self, key: Arc<str>, rendered: Result<DocumentWrite, Outcome>) {
        match rendered {
            Ok(write) => {
                self.bytes += size(&write);
                self.writes.push(write);
            }
            Err(known) => self.known.push((key.clone(), known)),
        }
        self.through = Some(key);
    }
}

fn size(write: &DocumentWrite) -> usize {
    match &write.body {
        DocumentBody::Document(body) => body.len(),
        DocumentBody::Delete => 0,
    }
}

/// Renders a request into batches, until it is done or nobody takes them any more.
fn render_batches(
    request: &PublishRequest,
    limits: Limits,
    batches: &mpsc::Sender<Batch>,
) -> Result<Option<Arc<str>>, StoreError> {
    let mut batch = Batch::default();
    let give = |batch: Batch| match batches.blocking_send(batch) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let mut gone = false;
    let walked_to = render(request, |key, rendered| {
        let more = rendered.as_ref().map_or(0, size);
        if batch.is_full(limits, more) {
            let full = std::mem::take(&mut batch);
            gone = give(full).is_break();
        }
        batch.push(key, rendered);
        if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if !gone && batch.through.is_some() {
        // Who does not take it has cut the request short.
        let _ = give(batch);
    }
    Ok(walked_to)
}

/// A request on its way to the target.
struct Sending<'s> {
    sink: &'s dyn DocumentSink,
    pace: &'s Mutex<Pace>,
    until: Option<Instant>,
    answer: Answer,
    /// Batches with which the target was not reached, as places among the outcomes.
    away: Vec<Range<usize>>,
}

/// Whether the next batch may begin.
enum Next {
    Begin,
    Wait(Instant),
    Answered,
    /// Not within this request.
    Cut(Instant),
}

impl<'s> Sending<'s> {
    fn new(sink: &'s dyn DocumentSink, pace: &'s Mutex<Pace>, until: Option<Instant>) -> Sending<'s> {
        Sending { sink, pace, until, answer: Answer::default(), away: Vec::new() }
    }

    fn pace(&self) -> std::sync::MutexGuard<'s, Pace> {
        self.pace.lock().expect("nothing panics while it holds the pace")
    }

    /// Renders and sends a request. `swept_to`: where the sweep goes on that it is a step of.
    async fn send(mut self, request: PublishRequest, swept_to: Option<Arc<str>>) -> Result<Answer, String> {
        (self.answer.sink, self.answer.version) = (request.sink, request.version);
        let ends = Instant::now() + REQUEST_TIME;
        let limits = {
            let pace = self.pace();
            Limits { items_max: pace.items_max(), ..pace.limits() }
        };
        let (batches, mut rendered) = mpsc::channel(1);
        let rendering = tokio::task::spawn_blocking(move || render_batches(&request, limits, &batches));
        let mut under_way = FuturesUnordered::new();
        let (mut tried_to, mut cut) = (None, None);
        let mut open = true;
        while open || !under_way.is_empty() {
            let next = if open { self.next(ends) } else { Next::Answered };
            match next {
                Next::Cut(at) => {
                    cut = Some(at);
                    open = false;
                    rendered.close();
                }
                Next::Begin => tokio::select! {
                    biased;
                    Some((began, keys, outcomes)) = under_way.next() => self.ended(began, keys, outcomes),
                    batch = rendered.recv() => match batch {
                        Some(batch) => {
                            tried_to = batch.through.clone().or(tried_to);
                            self.answer.outcomes.extend(batch.known);
                            under_way.extend(self.begin(batch.writes));
                        }
                        None => open = false,
                    },
                },
                Next::Wait(at) => tokio::select! {
                    Some((began, keys, outcomes)) = under_way.next() => self.ended(began, keys, outcomes),
                    () = tokio::time::sleep_until(at.into()) => {}
                },
                Next::Answered => {
                    if let Some((began, keys, outcomes)) = under_way.next().await {
                        self.ended(began, keys, outcomes);
                    }
                }
            }
        }
        drop(under_way);
        // What was rendered and not begun is not tried.
        while rendered.recv().await.is_some() {}
        let walked_to = read(rendering).await?;
        self.answer.walked_to = walked_to.or(swept_to);
        self.excuse_away();
        self.answer.cut = cut.map(|wait_until| Cut { after: tried_to, wait_until });
        Ok(self.answer)
    }

    /// A target that goes away in the middle has said nothing about the items of the rest: no attempt of theirs is counted. One
    /// that is away altogether is the core's to wait for.
    fn excuse_away(&mut self) {
        let is_done = |(_, outcome): &(Arc<str>, Outcome)| matches!(outcome, Outcome::Ok | Outcome::Duplicate);
        if !self.answer.outcomes.iter().any(is_done) {
            return;
        }
        for place in self.away.drain(..).flatten() {
            let (_, outcome) = &mut self.answer.outcomes[place];
            if let Outcome::Retry { reason } = outcome {
                *outcome = Outcome::Busy { reason: std::mem::take(reason), after: None };
            }
        }
    }

    fn next(&self, ends: Instant) -> Next {
        let now = Instant::now();
        let charged = self.sink.meter().map_or(0, |meter| meter.read().charge_milli);
        match self.pace().room(now, charged) {
            _ if now >= ends => Next::Cut(now),
            Room::Now => Next::Begin,
            Room::At(at) if at < ends => Next::Wait(at),
            Room::At(at) => Next::Cut(at),
            Room::Answered => Next::Answered,
        }
    }

    /// Sends one batch; the answer of one that may not be sent any more is known.
    fn begin(
        &mut self,
        batch: Vec<DocumentWrite>,
    ) -> Option<impl Future<Output = (Instant, Vec<Written>, Vec<Outcome>)> + use<'s>> {
        let now = Instant::now();
        let written: Vec<Written> = batch.iter().map(Written::of).collect();
        if written.is_empty() {
            return None;
        }
        let Some(deadline) = deadline(now, self.until) else {
            let stale = || Outcome::Retry { reason: "the claim of the target was not confirmed in time".into() };
            self.answer.outcomes.extend(written.into_iter().map(|written| (written.key, stale())));
            return None;
        };
        self.pace().began(now, written.len());
        let sink = self.sink;
        Some(async move { (now, written, sink.write(batch, deadline).await) })
    }

    /// Takes the answer of a batch in.
    fn ended(&mut self, began: Instant, written: Vec<Written>, outcomes: Vec<Outcome>) {
        let mut ended = pace::Ended { began, done: 0, busy: 0, after: None };
        let first = self.answer.outcomes.len();
        let away = outcomes.len() > 1 && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. }));
        let unanswered = std::iter::repeat_with(|| Outcome::Unanswered { reason: "the target did not answer".into() });
        for (Written { key, document }, outcome) in written.into_iter().zip(outcomes.into_iter().chain(unanswered)) {
            match (&outcome, document) {
                (Outcome::Ok | Outcome::Duplicate, document) => {
                    ended.done += 1;
                    if document.is_none() {
                        self.answer.deleted.push(key.clone());
                    }
                }
                (Outcome::Busy { after, .. }, _) => {
                    ended.busy += 1;
                    ended.after = ended.after.max(*after);
                }
                (Outcome::Poison { .. }, Some(document)) => self.answer.unwritable.push((key.clone(), document)),
                _ => {}
            }
            self.answer.outcomes.push((key, outcome));
        }
        if away {
            let end = self.answer.outcomes.len();
            self.away.push(first..end);
        }
        self.pace().ended(Instant::now(), ended);
    }
}

/// What is remembered of a write under way.
struct Written {
    key: Arc<str>,
    /// `None` for a delete.
    document: Option<Arc<[u8]>>,
}

impl Written {
    fn of(write: &DocumentWrite) -> Written {
        let document = match &write.body {
            DocumentBody::Document(body) => Some(body.clone()),
            DocumentBody::Delete => None,
        };
        Written { key: write.key.clone(), document }
    }
}

async fn read<T>(reading: tokio::task::JoinHandle<Result<T, StoreError>>) -> Result<T, String> {
    match reading.await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// By when a batch that is sent now must be answered; `None` when it may not be sent any more.
pub(crate) fn deadline(now: Instant, until: Option<Instant>) -> Option<Instant> {
    let deadline = now + BATCH_TIMEOUT;
    match until {
        Some(until) if until <= now && !mutant!(StaleSender) => None,
        Some(until) => Some(deadline.min(until)),
        None => Some(deadline),
    }
}

/// Asks for a sink's claim.
pub(crate) async fn read_claim(sink: &dyn DocumentSink) -> Result<Option<Claim>, String> {
    let claimed = sink.claimed().expect("only claims that are kept are asked for");
    in_time(Instant::now() + CLAIM_TIMEOUT, claimed.read_claim()).await
}

/// Moves a sink's claim.
pub(crate) async fn move_claim(sink: &dyn DocumentSink, from: Option<Claim>, to: Claim) -> Result<ClaimMove, String> {
    let claimed = sink.claimed().expect("only claims that are kept are asked for");
    in_time(Instant::now() + CLAIM_TIMEOUT, claimed.move_claim(from, to)).await
}

async fn in_time<T>(deadline: Instant, asked: impl Future<Output = Result<T, SinkError>>) -> Result<T, String> {
    match tokio::time::timeout_at(deadline.into(), asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the target did not answer in time".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::sinks::SinkFuture;
    use crate::sinks::StoredDocument;
    use crate::sinks::pace::Budget;
    use crate::state::{MemoryStore, Store};
    use crate::testing::sinks::plan;

    /// A target that answers each batch as it was told.
    struct Told(Mutex<VecDeque<Outcome>>);

    impl DocumentSink for Told {
        fn write(&self, batch: Vec<DocumentWrite>, _: Instant) -> SinkFuture<'_, Vec<Outcome>> {
            let outcome = self.0.lock().unwrap().pop_front().expect("it was told enough");
            Box::pin(std::future::ready(vec![outcome; batch.len()]))
        }

        fn read<'a>(&'a self, _: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn is_volatile(&self) -> bool {
            false
        }
    }

    /// What becomes of six keys without rows, two in a batch.
    async fn publish_six(told: Vec<Outcome>) -> Answer {
        let store = MemoryStore::new();
        let work = Work::Keys((0..6).map(|n| format!("k{n}").into()).collect());
        let request = PublishRequest {
            plan: plan("elasticsearch { index: \"notes\" }"),
            generation: Generation(1),
            sink: 0,
            version: Version(7),
            work,
            until: None,
            snapshot: store.snapshot(),
        };
        let limits = Limits { items_max: 2, bytes_max: 1000, requests_max: 1 };
        let pace = Arc::new(Mutex::new(Pace::new(limits, Budget::default())));
        publish(request, Arc::new(Told(Mutex::new(told.into()))), pace).await
    }

    fn away() -> Outcome {
        Outcome::Retry { reason: "away".into() }
    }

    fn outcomes(answer: &Answer) -> Vec<Outcome> {
        answer.outcomes.iter().map(|(_, outcome)| outcome.clone()).collect()
    }

    #[tokio::test]
    async fn a_target_that_goes_away_in_the_middle_costs_no_attempts() {
        let answer = publish_six(vec![Outcome::Ok, away(), away()]).await;
        let excused = Outcome::Busy { reason: "away".into(), after: None };
        assert_eq!(outcomes(&answer), [vec![Outcome::Ok; 2], vec![excused; 4]].concat());
        assert_eq!(answer.deleted.len(), 2, "what has no row is deleted");
        // One that is away altogether is waited for as a whole.
        assert_eq!(outcomes(&publish_six(vec![away(); 3]).await), vec![away(); 6]);
    }

    #[tokio::test]
    async fn what_a_busy_target_leaves_no_time_for_is_not_tried() {
        let after = Some(Duration::from_secs(9));
        let busy = Outcome::Busy { reason: "429".into(), after };
        let answer = publish_six(vec![Outcome::Ok, busy.clone()]).await;
        assert_eq!(outcomes(&answer), [vec![Outcome::Ok; 2], vec![busy; 2]].concat());
        let cut = answer.cut.expect("two keys are left");
        assert_eq!(cut.after.as_deref(), Some("k3"));
        assert!(cut.wait_until > Instant::now() + Duration::from_secs(5));
    }

    fn write(index: usize, size: usize) -> DocumentWrite {
        let body = DocumentBody::Document(vec![b' '; size].into());
        DocumentWrite { key: format!("{index:04}").into(), version: Version(1), body, time: None }
    }

    /// The sizes of the batches that writes of these sizes become.
    fn batches(limits: Limits, sizes: &[usize]) -> Vec<usize> {
        let (mut batch, mut cut) = (Batch::default(), Vec::new());
        for (index, size) in sizes.iter().enumerate() {
            if batch.is_full(limits, *size) {
                cut.push(std::mem::take(&mut batch).writes.len());
            }
            let write = write(index, *size);
            batch.push(write.key.clone(), Ok(write));
        }
        cut.push(batch.writes.len());
        cut
    }

    #[test]
    fn batches_are_bounded() {
        let limits = Limits { items_max: 256, bytes_max: 1000, requests_max: 1 };
        assert_eq!(batches(limits, &[1; 600]), [256, 256, 88]);
        assert_eq!(batches(limits, &[500, 500, 1, 1001]), [2, 1, 1], "a larger document goes alone");
    }
}
