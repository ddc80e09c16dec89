//! Owed keys → documents → a sink's answers.
//!
//! Rows are read only through a synced snapshot, so a sink never sees what a crash could take back. What is written for a
//! key is decided by its row alone: a document when there is one and it is a member of the sink, else a delete; deleting
//! what is absent is a success. One request may become several bounded batches, written one after another.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Generation, Version};
use crate::language::typed::Into;
use crate::plan::eval::{self, Scratch};
use crate::plan::{Fault, Plan, render};
use crate::runtime::core::{Answer, WALK_ROWS_MAX, Work};
use crate::sinks::claim::{Claim, ClaimMove};
use crate::sinks::{DocumentBody, DocumentPage, DocumentSink, DocumentWrite, Outcome, RowView, SinkError};
use crate::state::{Snapshot, StoreError, StoredRow, rows};

/// How long a sink may take for one batch.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to read or move a claim.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);
/// How many documents one batch holds at most, and after how many bytes it is closed.
const BATCH_ITEMS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 1 << 20;

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
#[derive(Debug)]
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

/// Reads and renders what a request asks for; of a sweep, the documents that were listed for it. Blocks on the store.
pub(crate) fn prepare(request: &PublishRequest) -> Result<Prepared, StoreError> {
    let Found { rows, walked_to } = find(request)?;
    let writes = Vec::with_capacity(rows.len());
    let mut prepared = Prepared { writes, known: Vec::new(), deleted: Vec::new(), walked_to };
    let mut scratch = Scratch::default();
    for (key, stored) in rows {
        if mutant!(DeleteNotSent) && stored.as_ref().is_none_or(|stored| stored.row.is_none()) {
            prepared.known.push((key, Outcome::Ok));
            continue;
        }
        match body(request, &key, stored, &mut scratch) {
            Ok(body) => {
                if matches!(body, DocumentBody::Delete) {
                    prepared.deleted.push(key.clone());
                }
                prepared.writes.push(DocumentWrite { key, version: request.version, body });
            }
            Err(reason) => prepared.known.push((key, Outcome::Poison { reason })),
        }
    }
    Ok(prepared)
}

/// What the sink is to hold for a key; an error when there can be no such document.
fn body(
    request: &PublishRequest,
    key: &str,
    stored: Option<StoredRow>,
    scratch: &mut Scratch,
) -> Result<DocumentBody, String> {
    let projection = &request.plan.projection;
    let sink: &Into = &projection.sinks[request.sink];
    let Some(bytes) = stored.and_then(|stored| stored.row) else { return Ok(DocumentBody::Delete) };
    let row = rows::decode(&bytes, &projection.state).map_err(|error| error.to_string())?;
    let fault = |fault: Box<Fault>| fault.to_string();
    if !eval::member(sink, projection, key, &row, scratch).map_err(fault)? && !mutant!(MembershipIgnored) {
        return Ok(DocumentBody::Delete);
    }
    let mut document = Vec::new();
    render::document(projection, sink, key, &row, request.version, scratch, &mut document).map_err(fault)?;
    Ok(DocumentBody::Document(document.into()))
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
            let mut looked_at = 0;
            snapshot.rows(*generation, "", after.as_deref(), &mut |key, row| {
                looked_at += 1;
                if mutant!(WalkSkipsRow) && looked_at == 1 && after.is_some() {
                    return ControlFlow::Continue(());
                }
                let key: Arc<str> = key.into();
                if row.changed > *floor {
                    found.rows.push((key.clone(), Some(row)));
                }
                if looked_at == WALK_ROWS_MAX {
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
pub(crate) async fn publish(mut request: PublishRequest, sink: Arc<dyn DocumentSink>) -> Answer {
    let (index, version, until) = (request.sink, request.version, request.until);
    let mut swept_to = None;
    if let Work::Sweep { after, floor } = &request.work {
        let Some(deadline) = deadline(Instant::now(), until) else {
            return unreadable(index, version, "the claim of the target is too old to send on".into());
        };
        let listing = tokio::time::timeout_at(deadline.into(), sink.list("", after.as_deref(), WALK_ROWS_MAX));
        let listed = listing.await.unwrap_or_else(|_| Err(SinkError { reason: "the target did not answer".into() }));
        match listed {
            Ok(page) => {
                let (keys, next) = swept(&page, *floor);
                (request.work, swept_to) = (Work::Keys(keys), next);
            }
            Err(error) => return unreadable(index, version, error.to_string()),
        }
    }
    let reader = sink.clone();
    let reading = tokio::task::spawn_blocking(move || match reader.row_view() {
        Some(view) => show(&request, view),
        None => prepare(&request),
    });
    let prepared = match reading.await {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(error)) => return unreadable(index, version, error.to_string()),
        Err(error) => return unreadable(index, version, error.to_string()),
    };
    let mut outcomes = prepared.known;
    for batch in batches(prepared.writes) {
        let keys: Vec<_> = batch.iter().map(|write| write.key.clone()).collect();
        let Some(deadline) = deadline(Instant::now(), until) else {
            let stale = || Outcome::Retry { reason: "the claim of the target was not confirmed in time".into() };
            outcomes.extend(keys.into_iter().map(|key| (key, stale())));
            continue;
        };
        let answers = sink.write(batch, deadline).await;
        let unanswered = std::iter::repeat_with(|| Outcome::Unanswered { reason: "the target did not answer".into() });
        outcomes.extend(keys.into_iter().zip(answers.into_iter().chain(unanswered)));
    }
    let (deleted, walked_to) = (prepared.deleted, prepared.walked_to.or(swept_to));
    Answer { sink: index, version, outcomes, deleted, walked_to, unreadable: None }
}

/// By when a batch that is sent now must be answered; `None` when it may not be sent any more.
pub(crate) fn deadline(now: Instant, until: Option<Instant>) -> Option<Instant> {
    let deadline = now + REQUEST_TIMEOUT;
    match until {
        Some(until) if until <= now && !mutant!(StaleSender) => None,
        Some(until) => Some(deadline.min(until)),
        None => Some(deadline),
    }
}

/// Asks for a sink's claim.
pub(crate) async fn read_claim(sink: &dyn DocumentSink) -> Result<Option<Claim>, String> {
    let claimed = sink.claimed().expect("only claims that are kept are asked for");
    in_time(claimed.read_claim()).await
}

/// Moves a sink's claim.
pub(crate) async fn move_claim(sink: &dyn DocumentSink, from: Option<Claim>, to: Claim) -> Result<ClaimMove, String> {
    let claimed = sink.claimed().expect("only claims that are kept are asked for");
    in_time(claimed.move_claim(from, to)).await
}

async fn in_time<T>(asked: impl Future<Output = Result<T, SinkError>>) -> Result<T, String> {
    match tokio::time::timeout(CLAIM_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the target did not answer within {} s", CLAIM_TIMEOUT.as_secs())),
    }
}

fn unreadable(sink: usize, version: Version, reason: String) -> Answer {
    Answer { sink, version, unreadable: Some(reason), ..Answer::default() }
}

/// Cuts writes into batches bounded by items and bytes.
fn batches(writes: Vec<DocumentWrite>) -> Vec<Vec<DocumentWrite>> {
    let mut batches: Vec<Vec<DocumentWrite>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let size = match &write.body {
            DocumentBody::Document(body) => body.len(),
            DocumentBody::Delete => 0,
        };
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_ITEMS_MAX && bytes + size <= BATCH_BYTES_MAX => batch.push(write),
            _ => {
                bytes = 0;
                batches.push(vec![write]);
            }
        }
        bytes += size;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_keep_the_order() {
        let write = |index: usize, size: usize| DocumentWrite {
            key: format!("{index:04}").into(),
            version: Version(1),
            body: DocumentBody::Document(vec![b' '; size].into()),
        };
        let sizes = |writes: Vec<DocumentWrite>| batches(writes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..600).map(|index| write(index, 10)).collect()), [256, 256, 88]);
        let large = BATCH_BYTES_MAX / 2;
        assert_eq!(sizes(vec![write(0, large), write(1, large), write(2, 1), write(3, 2 * large + 1)]), [2, 1, 1]);
        let keys: Vec<_> = batches((0..600).map(|index| write(index, 1)).collect()).concat();
        assert!(keys.is_sorted_by_key(|write| write.key.clone()));
    }
}
