//! Old documents, found in the record of versions and deleted by the script, each only if its version is still old.
//!
//! A sweep walks the record with `HSCAN` and remembers where it is. Should the process end in between, the next begins anew:
//! what was deleted is not found again.

use std::sync::Arc;
use std::time::Instant;

use crate::event::Version;
use crate::sinks::redis::RedisSink;
use crate::sinks::redis::encode::{self, Expiry, Item, Put};
use crate::sinks::redis::request::Open;
use crate::sinks::redis::sink::answered;
use crate::sinks::{Outcome, SinkError, SinkFuture, Sweeper};

/// How much of the record is looked at in one request.
const SCANNED: usize = 1000;

/// Where a sweep is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    floor: Version,
    part: u16,
    /// As the server gave it; 0 at the beginning.
    at: u64,
}

impl RedisSink {
    /// Deletes what is old in the next piece of the record; says whether that was the last.
    async fn sweep_on(
        &self,
        open: &Open,
        cursor: &mut Cursor,
        (floor, version): (Version, Version),
        limit: &mut usize,
        deadline: Instant,
    ) -> Result<bool, SinkError> {
        let error = |error: redis::RedisError| SinkError { reason: error.to_string() };
        let mut command = redis::cmd("HSCAN");
        command.arg(self.names.guard(cursor.part).versions).arg(cursor.at).arg("COUNT").arg(SCANNED);
        let answer = open.ask(command).await.map_err(error)?;
        let (next, entries): (u64, Vec<(String, String)>) =
            redis::from_redis_value(answer).map_err(|parsing| SinkError { reason: parsing.to_string() })?;
        let mut old = entries
            .into_iter()
            .filter(|(_, entry)| encode::entry(entry).is_some_and(|entry| entry.is_there && entry.version < floor));
        let delete = |(key_text, _): (String, String)| Item {
            key_text: Arc::from(key_text),
            version,
            key: None,
            put: Put::Sweep(floor),
            expiry: Expiry::Never,
        };
        let items: Vec<Item> = old.by_ref().take(*limit).map(delete).collect();
        let is_done = old.next().is_none();
        *limit -= items.len();
        for items in items.chunks(64) {
            self.sweep_items(open, cursor.part, items, deadline).await?;
        }
        if is_done {
            (cursor.at, cursor.part) = if next == 0 { (0, cursor.part + 1) } else { (next, cursor.part) };
        }
        Ok(cursor.part == self.names.parts())
    }

    async fn sweep_items(&self, open: &Open, part: u16, items: &[Item], deadline: Instant) -> Result<(), SinkError> {
        let Some(first) = items.first() else { return Ok(()) };
        let call = self.call(part, first.version.epoch().0, items, self.latest(open, deadline));
        let (sent, keys) = (Instant::now(), items.iter().map(|item| &*item.key_text).collect::<Vec<_>>());
        let answer = open.run(&[call]).await.remove(0);
        for outcome in answered(open, sent, &keys, answer) {
            match outcome {
                // What has a higher version was written anew meanwhile.
                Outcome::Ok | Outcome::Duplicate | Outcome::Foreign { stored: Some(_), .. } => {}
                Outcome::Retry { reason }
                | Outcome::Busy { reason, .. }
                | Outcome::Unanswered { reason }
                | Outcome::Poison { reason }
                | Outcome::Foreign { reason, .. } => return Err(SinkError { reason }),
            }
        }
        Ok(())
    }
}

impl Sweeper for RedisSink {
    fn sweep(
        &self,
        floor: Version,
        version: Version,
        limit: usize,
        deadline: Instant,
    ) -> SinkFuture<'_, Result<bool, SinkError>> {
        Box::pin(async move {
            let open = self.opened(deadline).await.map_err(|reason| SinkError { reason })?;
            let mut cursor = self.cursor.lock().await;
            if cursor.floor != floor {
                *cursor = Cursor { floor, ..Cursor::default() };
            }
            let mut limit = limit;
            // Half of the time that is left, so that a step which has begun ends in time.
            let enough = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
            while limit > 0 && Instant::now() < enough {
                let step = self.sweep_on(&open, &mut cursor, (floor, version), &mut limit, deadline);
                let is_over = self.in_time(&open, step).await?;
                if is_over {
                    *cursor = Cursor::default();
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}
