//! A partition that may be another log than the one that was read → the same, or lost.
//!
//! A log may become another one while it is read: a topic is deleted and made again, a file is replaced. So whenever there
//! is reason to doubt a partition (the source says so, an offset or a topic is gone, the log ends before what was read) it
//! is closed, the last record it delivered is read again and compared, and only the same one opens it again.

use std::time::{Duration, Instant};

use crate::event::{Offset, TopicPartition};
use crate::runtime::decide::{LogFacts, decide_offset};
use crate::runtime::reader::{News, Reader};
use crate::runtime::start::look_up;
use crate::sources::{OffsetRange, SourceError};
use crate::state::NextOffset;

/// How long what was read may take to be there again: clusters forget topics for a moment, and who writes a file anew has
/// emptied it first.
const GONE_PAUSE: Duration = Duration::from_secs(5);
/// How often that is looked at.
const DOUBT_PAUSE: Duration = Duration::from_millis(500);

/// A partition that may be another log now.
pub(super) struct Doubt {
    pub partition: TopicPartition,
    pub next: Offset,
    /// It is another log, unless the same records are in it.
    remade: bool,
    since: Instant,
    pub look_at: Instant,
}

impl Reader {
    /// Closes partitions until they are compared.
    pub(super) fn doubt(&mut self, now: Instant, remade: Option<&str>, which: impl Fn(&TopicPartition) -> bool) {
        let open = self.open.extract_if(.., |(open, _)| which(open));
        // Where it is to be opened counts more than where it was.
        let places: Vec<_> = open.chain(self.unopened.extract_if(.., |(unopened, _)| which(unopened))).collect();
        for (partition, next) in places {
            self.source.close(&partition);
            self.doubts.retain(|doubt| doubt.partition != partition);
            self.doubts.push(Doubt { partition, next, remade: false, since: now, look_at: now });
        }
        for doubt in self.doubts.iter_mut().filter(|doubt| remade == Some(&*doubt.partition.topic)) {
            doubt.remade = true;
        }
    }

    /// Whether a look gives reason to doubt a partition that is read.
    pub(super) fn is_doubtful(&mut self, partition: &TopicPartition, range: OffsetRange) -> Result<bool, SourceError> {
        let Some((_, next)) = self.open.iter().find(|(open, _)| open == partition) else { return Ok(false) };
        if range.end < *next {
            return Ok(true);
        }
        let last = self.lasts.get(partition).copied();
        if last.is_none() || self.source.tells_remade() {
            return Ok(false);
        }
        let (_, found) = look_up(&mut *self.source, partition, last)?;
        Ok(found.is_some_and(|found| last.is_some_and(|(_, hash)| hash != found)))
    }

    /// What is to be opened and still is the log that was read. The log may have become another one since it was found, while
    /// claims were watched: so it is compared once more, just before.
    pub(super) fn proven(&mut self, now: Instant) -> Result<Vec<(TopicPartition, Offset)>, SourceError> {
        let lasts = &self.lasts;
        let known: Vec<_> = self.unopened.extract_if(.., |(unopened, _)| lasts.contains_key(unopened)).collect();
        let mut proven = std::mem::take(&mut self.unopened);
        for (partition, next) in known {
            self.doubts.push(Doubt { partition, next, remade: false, since: now, look_at: now });
        }
        let settled = self.settle(now);
        proven.append(&mut self.unopened);
        settled.map(|()| proven.clone()).inspect_err(|_| self.unopened.append(&mut proven))
    }

    /// Compares what is in doubt: the same log is opened again where it was, another one is lost.
    pub(super) fn settle(&mut self, now: Instant) -> Result<(), SourceError> {
        let mut index = 0;
        while index < self.doubts.len() {
            let Some(compared) = self.compare(index, now)? else {
                index += 1;
                continue;
            };
            let Doubt { partition, next, .. } = self.doubts.remove(index);
            match compared {
                Ok(()) => self.unopened.push((partition, next)),
                Err(why) => self.news.push(News::Lost { partition, why }),
            }
        }
        Ok(())
    }

    /// Whether a partition in doubt still is the log that was read; `None` while that cannot be said.
    fn compare(&mut self, index: usize, now: Instant) -> Result<Option<Result<(), String>>, SourceError> {
        let doubt = &mut self.doubts[index];
        if doubt.look_at > now {
            return Ok(None);
        }
        let last = self.lasts.get(&doubt.partition).copied();
        // A log that ends before what was read of it is another one, wherever it is to be read from now.
        let read_to = last.map_or(doubt.next, |(offset, _)| doubt.next.max(Offset(offset.0 + 1)));
        let (range, found) = match look_up(&mut *self.source, &doubt.partition, last) {
            Ok((range, found)) => (Some(range), found),
            Err(SourceError::UnknownTopic { .. } | SourceError::UnknownPartition { .. }) => (None, None),
            Err(error) => return Err(error),
        };
        if range.is_none_or(|range| range.end < read_to) && now < doubt.since + GONE_PAUSE {
            doubt.look_at = now + DOUBT_PAUSE;
            return Ok(None);
        }
        let at = |offset| LogFacts { stored: Some(NextOffset { offset, time: None, last }), range, found };
        let decided = decide_offset(at(doubt.next), false).and_then(|_| decide_offset(at(read_to), false));
        let decided = decided.map(|_| ()).map_err(|missing| missing.what);
        let unproven = doubt.remade && found.is_none() && range.is_some_and(|range| doubt.next > range.beginning);
        Ok(Some(match decided {
            Ok(()) if unproven => Err("the topic was deleted and made again: this is another log".into()),
            decided => decided,
        }))
    }
}
