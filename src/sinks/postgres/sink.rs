//! The sink: sessions, who writes, and the one question at a time that is not a batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::claim;
use super::columns::Table;
use super::config::PostgresConnection;
use super::encode::{self, Item, Shown};
use super::health::{Session, Shape, Unready};
use super::request::{Fate, Owner, Request};
use super::retry::{self, Class};
use crate::event::{TargetId, Version};
use crate::plan::Plan;
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget, ProcessId};
use crate::sinks::meter::Meter;
use crate::sinks::pace::Limits;
use crate::sinks::{DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument, Sweeper};

/// A thousand rows a transaction: larger ones gain nothing, and hold their locks longer.
const LIMITS: Limits = Limits { items_max: 1000, bytes_max: 4 << 20, requests_max: 4 };

/// The fence of who has lost the claim: no batch passes it.
const NO_FENCE: i64 = -1;

/// Documents of a projection in a table.
pub struct PostgresSink {
    connection: PostgresConnection,
    table: Table,
    limits: Limits,
    meter: Meter,
    /// The table as it was looked at last.
    shape: Mutex<Option<Arc<Shape>>>,
    /// Sessions for batches: as many as there were batches at once.
    idle: Mutex<Vec<Session>>,
    /// For claims and sweeps; apart, so that they never wait for a batch.
    control: tokio::sync::Mutex<Option<Session>>,
    /// For readers, one at a time.
    reading: tokio::sync::Mutex<Option<Session>>,
    holding: tokio::sync::Mutex<Holding>,
    /// A commit was sent, and nobody knows what became of it.
    unsure: AtomicBool,
    /// Below this block of the table the sweep of this floor has been.
    swept: Mutex<(Version, u32)>,
}

/// The claim that this sink has made, or has tried to make.
#[derive(Default)]
struct Holding {
    owner: Option<(ProcessId, TargetId)>,
    /// `None`: it has to be raised before anything is sent.
    fence: Option<i64>,
}

impl PostgresSink {
    /// The sink of a plan; an error when its options do not make a table. Connects when it is first asked for something.
    pub fn new(plan: &Plan, index: usize, connection: PostgresConnection) -> Result<PostgresSink, String> {
        let into = &plan.projection.sinks[index];
        Ok(PostgresSink {
            connection,
            table: Table::of(&plan.projection, into)?,
            limits: LIMITS,
            meter: Meter::default(),
            shape: Mutex::default(),
            idle: Mutex::default(),
            control: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            holding: tokio::sync::Mutex::default(),
            unsure: AtomicBool::new(false),
            swept: Mutex::default(),
        })
    }

    async fn open(&self) -> Result<Session, Unready> {
        let shape = self.shape.lock().expect("nothing panics while it holds the shape").clone();
        let session = Session::open(&self.connection, &self.table, shape).await;
        match &session {
            Ok(session) => *self.shape.lock().expect("as above") = Some(session.shape.clone()),
            Err(Unready::Server(error)) if retry::is_of_shape(error) => self.forget(),
            Err(_) => {}
        }
        session
    }

    /// The table is to be looked at again.
    fn forget(&self) {
        *self.shape.lock().expect("nothing panics while it holds the shape") = None;
        self.idle.lock().expect("nothing panics while it holds the sessions").clear();
    }

    fn idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().expect("nothing panics while it holds the sessions");
        std::iter::from_fn(|| idle.pop()).find(|session| self.is_of_use(session))
    }

    /// It is open, and was made for the table as it was looked at last.
    fn is_of_use(&self, session: &Session) -> bool {
        let shape = self.shape.lock().expect("nothing panics while it holds the shape");
        !session.client.is_closed() && shape.as_ref().is_some_and(|shape| Arc::ptr_eq(shape, &session.shape))
    }

    async fn write_batch(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> Vec<Outcome> {
        let prepared = tokio::time::timeout_at(deadline.into(), async {
            let owner = self.owner().await?;
            Ok((
                owner,
                match self.idle() {
                    Some(session) => session,
                    None => self.open().await?,
                },
            ))
        });
        let (owner, session) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(unready)) => return vec![unreached(&unready); batch.len()],
            Err(_) => return vec![unreached(&Unready::Wrong("the server did not answer in time".into())); batch.len()],
        };
        let encoded: Vec<Result<Item<'_>, String>> =
            batch.iter().map(|write| encode::item(&self.table, &session.shape.types, write)).collect();
        let mut poison = Vec::new();
        let mut items = Vec::new();
        for (index, item) in encoded.into_iter().enumerate() {
            match item {
                Ok(item) => items.push(item),
                Err(reason) => poison.push((index, Outcome::Poison { reason })),
            }
        }
        let request = Request {
            table: &self.table,
            session: &session,
            owner,
            deadline,
            meter: &self.meter,
            unsure: &self.unsure,
        };
        let (mut outcomes, fate) =
            if items.is_empty() { (Vec::new(), Fate::Keep) } else { request.write(&items).await };
        poison.into_iter().for_each(|(index, outcome)| outcomes.insert(index, outcome));
        match fate {
            Fate::Keep => self.idle.lock().expect("nothing panics while it holds the sessions").push(session),
            Fate::Drop => {}
            Fate::LookAgain => self.forget(),
        }
        outcomes
    }

    /// Who the batch is written for. After a commit without an answer the fence is raised first: then it is done, or never.
    async fn owner(&self) -> Result<Option<Owner>, Unready> {
        let mut holding = self.holding.lock().await;
        if self.unsure.swap(false, Ordering::SeqCst) {
            holding.fence = None;
        }
        let Some(owner) = holding.owner else { return Ok(None) };
        let fence = match holding.fence {
            Some(fence) => fence,
            None => {
                let raised = self.control(async |session| {
                    Ok(claim::raise_fence(&session.client, &session.shape.claim, owner).await?)
                });
                holding.fence = raised.await?;
                holding.fence.unwrap_or(NO_FENCE)
            }
        };
        Ok(Some(Owner { process: owner.0, target: owner.1, fence }))
    }

    /// Asks something on the session for claims; one that failed is not used again, whatever state it is in.
    async fn control<T>(&self, ask: impl AsyncFnOnce(&Session) -> Result<T, Unready>) -> Result<T, Unready> {
        self.ask(&self.control, ask).await
    }

    async fn ask<T>(
        &self,
        place: &tokio::sync::Mutex<Option<Session>>,
        ask: impl AsyncFnOnce(&Session) -> Result<T, Unready>,
    ) -> Result<T, Unready> {
        let mut place = place.lock().await;
        // Taken out: if this future is dropped, the session is as well.
        let session = match place.take().filter(|session| self.is_of_use(session)) {
            Some(session) => session,
            None => self.open().await?,
        };
        match ask(&session).await {
            Ok(answer) => {
                *place = Some(session);
                Ok(answer)
            }
            Err(unready) => {
                if matches!(&unready, Unready::Server(error) if retry::is_of_shape(error)) {
                    self.forget();
                }
                Err(unready)
            }
        }
    }

    async fn read_row(&self, key: &str) -> Result<Option<StoredDocument>, Unready> {
        self.ask(&self.reading, async |session| {
            let types = &session.shape.types;
            let Ok(key) = encode::key(&self.table, types, key) else { return Ok(None) };
            let parameters: Vec<&(dyn ToSql + Sync)> = key.iter().map(|part| part as _).collect();
            let row = match session.client.query_opt(&session.shape.read, &parameters).await {
                Err(error) if retry::is_value(&error) => return Ok(None),
                row => row?,
            };
            let Some(row) = row else { return Ok(None) };
            let cells = types.iter().enumerate().map(|(at, ty)| shown(&row, at, ty)).collect::<Result<_, _>>()?;
            let (whose, stored): (String, i64) = (row.try_get(types.len())?, row.try_get(types.len() + 1)?);
            let version = Version(stored.cast_unsigned());
            let body = encode::document(&self.table, types, cells, (&whose, version));
            Ok(Some(StoredDocument { version, body: body.into() }))
        })
        .await
    }

    async fn put_claim(&self, from: Option<Claim>, to: Claim) -> Result<ClaimMove, Unready> {
        let mut holding = self.holding.lock().await;
        let before = holding.owner;
        let is_new = before != Some((to.process, to.target)) || from.is_none_or(|from| from.epoch != to.epoch);
        if is_new {
            // Before it is known what becomes of the move: if its answer is lost, the claim may well be ours.
            *holding = Holding { owner: Some((to.process, to.target)), fence: None };
        }
        let moved =
            self.control(async |session| Ok(claim::put(&session.client, &session.shape.claim, from, to).await?));
        match moved.await? {
            (ClaimMove::Moved, fence) => {
                holding.fence = Some(fence).filter(|_| is_new).or(holding.fence);
                Ok(ClaimMove::Moved)
            }
            (found, _) => {
                if is_new {
                    *holding = Holding { owner: before, fence: None };
                }
                Ok(found)
            }
        }
    }

    async fn sweep_rows(&self, floor: Version, limit: usize) -> Result<bool, Unready> {
        let from = {
            let mut swept = self.swept.lock().expect("nothing panics while it holds the place");
            if swept.0 != floor {
                *swept = (floor, 0);
            }
            swept.1
        };
        let owner = self.owner().await?;
        let (deleted, last) = self
            .control(async |session| {
                let refused = |reason: &str| Unready::Wrong(reason.to_owned());
                session.client.batch_execute("BEGIN").await?;
                let held = session.client.query_opt(&session.guard, &[]).await?;
                let held = held.as_ref().map_or(Ok(None), claim::held)?;
                let claimed = held.map(|held| (held.claim.process, held.claim.target));
                if owner.is_some_and(|owner| claimed != Some((owner.process, owner.target))) {
                    return Err(refused("the claim of the table is not ours any more"));
                }
                let (below, most, from) = (floor.0.cast_signed(), limit as i64, format!("({from},0)"));
                let row = session.client.query_one(&session.shape.sweep, &[&below, &most, &from]).await?;
                let found: (i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
                session.client.batch_execute("COMMIT").await?;
                Ok(found)
            })
            .await?;
        let block = last.and_then(|place| place.trim_matches(['(', ')']).split(',').next()?.parse().ok());
        let is_more = deleted >= limit as i64;
        let mut swept = self.swept.lock().expect("nothing panics while it holds the place");
        *swept = (floor, if is_more { block.unwrap_or(0) } else { 0 });
        Ok(is_more)
    }
}

/// The server was not reached, or there is no table to write to: nothing was sent.
fn unreached(unready: &Unready) -> Outcome {
    let reason = unready.reason();
    match unready {
        Unready::Server(error) if retry::classify(error) == Class::Busy => Outcome::Busy { reason, after: None },
        _ => Outcome::Retry { reason },
    }
}

fn shown(row: &Row, at: usize, ty: &str) -> Result<Shown, tokio_postgres::Error> {
    Ok(if ty.ends_with("[]") {
        row.try_get::<_, Option<Vec<Option<String>>>>(at)?.map_or(Shown::Null, Shown::Array)
    } else {
        row.try_get::<_, Option<String>>(at)?.map_or(Shown::Null, Shown::Scalar)
    })
}

async fn answered<T>(asked: impl Future<Output = Result<T, Unready>>) -> Result<T, SinkError> {
    asked.await.map_err(|unready| SinkError { reason: unready.reason() })
}

impl DocumentSink for PostgresSink {
    fn write(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        Box::pin(self.write_batch(batch, deadline))
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        Box::pin(answered(self.read_row(key)))
    }

    fn sweeper(&self) -> Option<&dyn Sweeper> {
        Some(self)
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn claimed(&self) -> Option<&dyn ClaimedTarget> {
        Some(self)
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }

    /// A deleted row leaves nothing, and nothing has to be left: see `late_for`.
    fn remembers_deletes(&self) -> bool {
        false
    }

    /// Nothing is done late. A transaction whose COMMIT was not sent is undone; one whose COMMIT was sent and not answered
    /// is over, or can never be, before the next batch is sent, because the fence is raised in between; and one of a sender
    /// that died is over before the next owner has the claim.
    fn late_for(&self) -> Duration {
        Duration::ZERO
    }
}

impl Sweeper for PostgresSink {
    fn sweep(
        &self,
        floor: Version,
        _version: Version,
        limit: usize,
        deadline: Instant,
    ) -> SinkFuture<'_, Result<bool, SinkError>> {
        Box::pin(async move {
            let swept = tokio::time::timeout_at(deadline.into(), answered(self.sweep_rows(floor, limit))).await;
            swept.unwrap_or_else(|_| Err(SinkError { reason: "the server did not answer in time".into() }))
        })
    }
}

impl ClaimedTarget for PostgresSink {
    fn is_shared(&self) -> bool {
        true
    }

    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>> {
        Box::pin(answered(async {
            let held = self.control(async |session| Ok(claim::read(&session.client, &session.shape.claim).await?));
            Ok(held.await?.map(|held| held.claim))
        }))
    }

    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>> {
        Box::pin(answered(self.put_claim(from, to)))
    }
}
