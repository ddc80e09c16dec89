//! A batch as one transaction, and what became of each of its documents.
//!
//! ORDER: the claim is locked, rows are written and deleted, what was refused is read; only then is COMMIT sent. So whatever
//! fails before has surely not been done, and only a commit without an answer leaves anything open. A value that the server
//! refuses undoes its transaction: the batch is halved until what is left is the document at fault, and the rest is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::claim;
use super::columns::Table;
use super::encode::Item;
use super::health::Session;
use super::retry::{self, Class};
use crate::event::{Epoch, TargetId, Version};
use crate::sinks::Outcome;
use crate::sinks::claim::ProcessId;
use crate::sinks::conflict::{Conflict, classify};
use crate::sinks::meter::Meter;

/// Transactions of one batch at most: some ten bad documents among a thousand are found with them, the others next time.
const TRANSACTIONS_MAX: usize = 256;

/// Who this sink writes for, as far as it knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub process: ProcessId,
    pub target: TargetId,
    pub fence: i64,
}

/// What has become of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    Drop,
    /// The table has to be looked at again.
    LookAgain,
}

/// A batch on its way.
pub(super) struct Request<'r> {
    pub table: &'r Table,
    pub session: &'r Session,
    pub owner: Option<Owner>,
    pub deadline: Instant,
    pub meter: &'r Meter,
    /// Set when nobody knows what became of a commit.
    pub unsure: &'r AtomicBool,
}

/// Why a transaction was not committed, or may not have been.
enum Failure {
    /// Some document of it can never be written, or some key be asked for.
    Data {
        reason: String,
        is_value: bool,
    },
    /// Surely not done.
    Undone(Outcome, Fate),
    Unanswered(String),
}

impl Request<'_> {
    /// Writes the items; the outcomes are in their order.
    pub async fn write(&self, items: &[Item<'_>]) -> (Vec<Outcome>, Fate) {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; items.len()];
        let mut rest: Vec<_> = std::iter::once(0..items.len()).collect();
        let (mut fate, mut left) = (Fate::Keep, later("too many documents of the batch cannot be written"));
        for _ in 0..TRANSACTIONS_MAX {
            let Some(range) = rest.pop() else { break };
            match self.transaction(&items[range.clone()]).await {
                Ok(done) => outcomes.splice(range, done.into_iter().map(Some)).for_each(drop),
                Err(Failure::Data { reason, is_value }) if range.len() == 1 => {
                    // A key that cannot be asked for has no row.
                    let is_absent = is_value && items[range.start].cells.is_none();
                    outcomes[range.start] = Some(if is_absent { Outcome::Ok } else { Outcome::Poison { reason } });
                }
                Err(Failure::Data { .. }) => {
                    let middle = range.start + range.len() / 2;
                    rest.extend([middle..range.end, range.start..middle]);
                }
                Err(Failure::Undone(outcome, was)) => {
                    (left, fate) = (outcome.clone(), was);
                    outcomes[range].fill(Some(outcome));
                    break;
                }
                Err(Failure::Unanswered(reason)) => {
                    (left, fate) = (later(&reason), Fate::Drop);
                    outcomes[range].fill(Some(Outcome::Unanswered { reason }));
                    break;
                }
            }
        }
        (outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| left.clone())).collect(), fate)
    }

    async fn transaction(&self, items: &[Item<'_>]) -> Result<Vec<Outcome>, Failure> {
        let done = match self.in_time(self.statements(items)).await {
            Some(Ok(Ok(done))) => self.commit(done).await,
            // Whoever has emptied the table may have made it again.
            Some(Ok(Err(refused))) => Err(self.roll_back(Failure::Undone(refused, Fate::LookAgain)).await),
            Some(Err(error)) => Err(self.undone(&error).await),
            None => Err(Failure::Undone(later("the server did not answer in time"), Fate::Drop)),
        };
        let (count, busy) = match &done {
            Ok(done) => (done.iter().filter(|done| matches!(done, Outcome::Ok | Outcome::Duplicate)).count(), 0),
            Err(Failure::Undone(Outcome::Busy { .. }, _)) => (0, items.len()),
            Err(_) => (0, 0),
        };
        let cells = items.iter().filter_map(|item| item.cells.as_ref()).flatten().flatten();
        let bytes: usize = cells.map(|cell| cell.len()).sum();
        self.meter.request(count as u64, bytes as u64, busy as u64);
        done
    }

    /// All statements but the commit, sent at once; an outcome for all when the claim is not ours.
    async fn statements(&self, items: &[Item<'_>]) -> Result<Result<Vec<Outcome>, Outcome>, Error> {
        let Session { client, guard, .. } = self.session;
        let is_row = |index: &usize| items[*index].cells.is_some();
        let (rows, deletes): (Vec<usize>, Vec<usize>) = (0..items.len()).partition(is_row);
        let (begun, guarded, written, deleted) = futures_util::join!(
            client.batch_execute("BEGIN"),
            client.query_opt(guard, &[]),
            self.upsert(items, &rows),
            self.delete(items, &deletes),
        );
        begun?;
        let held = guarded?.as_ref().map_or(Ok(None), claim::held)?;
        let (written, deleted) = (written?, deleted?);
        let epoch = items.iter().map(|item| item.version.epoch()).min();
        if let Some(refused) = self.refusal(held, epoch) {
            return Ok(Err(refused));
        }
        let mut outcomes = vec![Outcome::Ok; items.len()];
        if written < rows.len() as u64 {
            self.refused(items, &rows, &mut outcomes).await?;
        }
        if deleted < deletes.len() as u64 {
            self.refused(items, &deletes, &mut outcomes).await?;
        }
        Ok(Ok(outcomes))
    }

    async fn upsert(&self, items: &[Item<'_>], rows: &[usize]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let cell =
            |index: &usize, column: usize| items[*index].cells.as_ref().and_then(|cells| cells[column].as_deref());
        let columns = 0..self.table.columns.len();
        let columns: Vec<Vec<Option<&str>>> =
            columns.map(|column| rows.iter().map(|row| cell(row, column)).collect()).collect();
        let versions: Vec<i64> = rows.iter().map(|row| items[*row].version.0.cast_signed()).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as _).collect();
        parameters.push(&versions);
        self.session.client.execute(&self.session.upsert, &parameters).await
    }

    async fn delete(&self, items: &[Item<'_>], deletes: &[usize]) -> Result<u64, Error> {
        if deletes.is_empty() {
            return Ok(0);
        }
        let keys = keys(self.table, items, deletes);
        let versions: Vec<i64> = deletes.iter().map(|delete| items[*delete].version.0.cast_signed()).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|column| column as _).collect();
        parameters.push(&versions);
        self.session.client.execute(&self.session.delete, &parameters).await
    }

    /// Reads what is there where not every row was written, and judges it.
    async fn refused(&self, items: &[Item<'_>], asked: &[usize], outcomes: &mut [Outcome]) -> Result<(), Error> {
        let keys = keys(self.table, items, asked);
        let places: Vec<i64> = asked.iter().map(|index| *index as i64).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|column| column as _).collect();
        parameters.push(&places);
        for index in asked {
            if items[*index].cells.is_some() {
                outcomes[*index] = later("the row was deleted at the same time");
            }
        }
        for row in self.session.client.query(&self.session.stored, &parameters).await? {
            let (place, whose, stored, is_written): (i64, String, i64, bool) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let index = usize::try_from(place).expect("it is one of those that were asked for");
            if !is_written {
                outcomes[index] = self.judge(&items[index], &whose, Version(stored.cast_unsigned()));
            } else {
                outcomes[index] = Outcome::Ok;
            }
        }
        Ok(())
    }

    fn judge(&self, item: &Item<'_>, whose: &str, stored: Version) -> Outcome {
        let key = item.key.join("|");
        if *whose != *self.table.projection && !self.table.adopt {
            let reason = format!("the row of `{key}` is of `{whose}`, in version {stored}");
            return Outcome::Foreign { reason, stored: Some(stored) };
        }
        match classify(Some(stored), item.version) {
            Conflict::Duplicate => Outcome::Duplicate,
            Conflict::Retry => later("the row was changed at the same time"),
            Conflict::Foreign => {
                let reason = format!("the row of `{key}` has version {stored}, which is above ours, {}", item.version);
                Outcome::Foreign { reason, stored: Some(stored) }
            }
        }
    }

    /// What all items are answered when the claim is another's.
    pub fn refusal(&self, held: Option<claim::Held>, epoch: Option<Epoch>) -> Option<Outcome> {
        match (held.map(|held| (held.claim, held.fence)), self.owner) {
            (None, None) => None,
            (None, Some(_)) => Some(later("the table was emptied or made again: its claim is gone")),
            (Some((claim, fence)), Some(owner)) if (claim.process, claim.target) == (owner.process, owner.target) => {
                (fence != owner.fence).then(|| later("an earlier request was not answered"))
            }
            (Some((claim, _)), None) if epoch.is_none_or(|epoch| claim.epoch <= epoch) => None,
            (Some((claim, _)), _) => {
                let reason = format!("another process has taken the table over, in epoch {}", claim.epoch.0);
                Some(Outcome::Foreign { reason, stored: None })
            }
        }
    }

    async fn commit<T>(&self, done: T) -> Result<T, Failure> {
        let mut sent = Sent { unsure: self.unsure, is_known: false };
        match self.in_time(self.session.client.batch_execute("COMMIT")).await {
            Some(Ok(())) => {
                sent.is_known = true;
                Ok(done)
            }
            Some(Err(error)) if retry::is_surely_undone(&error) => {
                sent.is_known = true;
                Err(self.undone(&error).await)
            }
            Some(Err(error)) => Err(Failure::Unanswered(retry::text(&error))),
            None => Err(Failure::Unanswered("the server did not answer to the commit in time".into())),
        }
    }

    /// A statement failed: nothing of the transaction is done.
    async fn undone(&self, error: &Error) -> Failure {
        let reason = retry::text(error);
        let failure = match retry::classify(error) {
            Class::Data => Failure::Data { reason, is_value: retry::is_value(error) },
            Class::Busy => Failure::Undone(Outcome::Busy { reason, after: None }, Fate::Keep),
            Class::Later => Failure::Undone(Outcome::Retry { reason }, Fate::Keep),
            Class::Shape => Failure::Undone(Outcome::Retry { reason }, Fate::LookAgain),
            Class::Broken => return Failure::Undone(Outcome::Retry { reason }, Fate::Drop),
        };
        self.roll_back(failure).await
    }

    async fn roll_back(&self, failure: Failure) -> Failure {
        match (self.in_time(self.session.client.batch_execute("ROLLBACK")).await, failure) {
            (Some(Ok(())), failure) => failure,
            (_, Failure::Undone(outcome, Fate::Keep)) => Failure::Undone(outcome, Fate::Drop),
            (_, Failure::Data { reason, .. }) => Failure::Undone(later(&reason), Fate::Drop),
            (_, failure) => failure,
        }
    }

    async fn in_time<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.deadline.into(), asked).await.ok()
    }
}

/// A commit on its way. Whoever gives it up leaves one behind that nobody knows of, be it by dropping the future.
struct Sent<'s> {
    unsure: &'s AtomicBool,
    is_known: bool,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.is_known {
            self.unsure.store(true, Ordering::SeqCst);
        }
    }
}

fn later(reason: &str) -> Outcome {
    Outcome::Retry { reason: reason.to_owned() }
}

/// The primary keys of these items, column by column.
fn keys<'i>(table: &Table, items: &'i [Item<'_>], asked: &[usize]) -> Vec<Vec<&'i str>> {
    let columns = 0..table.primary_key.len();
    columns.map(|column| asked.iter().map(|index| &*items[*index].key[column]).collect()).collect()
}
