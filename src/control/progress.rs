//! Statuses → what a person sees of a run: one line that is drawn again on a terminal, plain lines elsewhere, a summary.
//!
//! Texts are made here from statuses and times that come as arguments; where they are written is the caller's business.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::state::Counters;

const BAR_CELLS: u64 = 20;

/// How a run goes, against where it began.
pub(super) struct Progress {
    /// Of each projection when the run began: its state may be older than this run.
    before: Vec<Counters>,
    /// Events of all projections, and when, at the last look.
    last: (u64, Duration),
    rate: u64,
    last_line: String,
}

impl Progress {
    /// `before` has the counters of each projection's state, in the order of the statuses to come.
    pub fn new(before: Vec<Counters>) -> Progress {
        Progress { before, last: (0, Duration::ZERO), rate: 0, last_line: String::new() }
    }

    /// One line about all projections; `elapsed` since the start.
    pub fn line(&mut self, statuses: &[Arc<ProjectionStatus>], elapsed: Duration) -> String {
        let events: u64 = statuses.iter().zip(&self.before).map(|(status, before)| since(status, *before)).sum();
        let (last_events, last_time) = self.last;
        let pause = elapsed.saturating_sub(last_time);
        if pause >= Duration::from_millis(500) {
            self.rate = per_second(events - last_events.min(events), pause);
            self.last = (events, elapsed);
        }
        let behind: Option<u64> = statuses.iter().flat_map(|s| &s.partitions).map(|p| p.lag_events()).sum();
        let owed: u64 = statuses.iter().flat_map(|status| &status.sinks).map(|sink| sink.owed).sum();
        let mut line = String::new();
        if let Some(behind) = behind.filter(|behind| *behind > 0 && events > 0) {
            line.push_str(&bar(events, behind));
        }
        write!(line, "{} events, {}/s", grouped(events), grouped(self.rate)).expect("a string takes all");
        match behind {
            // What has not started yet does not know its ends.
            Some(0) if statuses.iter().any(|status| status.run_state == RunState::Starting) => {}
            Some(0) => line.push_str(", caught up"),
            Some(behind) => write!(line, ", {} behind", grouped(behind)).expect("a string takes all"),
            None => {}
        }
        if owed > 0 {
            write!(line, ", {} documents owed", grouped(owed)).expect("a string takes all");
        }
        for status in statuses {
            match status.run_state {
                RunState::Stopped(_) => write!(line, "; {} is stopped", status.name).expect("a string takes all"),
                RunState::Starting => write!(line, "; {} is starting", status.name).expect("a string takes all"),
                RunState::Running | RunState::Finished => {}
            }
        }
        line
    }

    /// The line, if it says something that the last one did not.
    pub fn changed_line(&mut self, statuses: &[Arc<ProjectionStatus>], elapsed: Duration) -> Option<String> {
        let line = self.line(statuses, elapsed);
        if line == self.last_line {
            return None;
        }
        self.last_line.clone_from(&line);
        Some(line)
    }

    /// What became of each projection; `rows` counts what it holds.
    pub fn summary(&self, statuses: &[Arc<ProjectionStatus>], rows: &[String], elapsed: Duration) -> String {
        let mut text = String::new();
        for ((status, before), rows) in statuses.iter().zip(&self.before).zip(rows) {
            let events = since(status, *before);
            let folded = status.counters.folded - before.folded.min(status.counters.folded);
            let letters = status.counters.dead_letters - before.dead_letters.min(status.counters.dead_letters);
            writeln!(
                text,
                "{}: {} events read, {} folded, {} rows, {} dead letters, {}/s",
                status.name,
                grouped(events),
                grouped(folded),
                rows,
                grouped(letters),
                grouped(per_second(events, elapsed)),
            )
            .expect("a string takes all that is written");
        }
        text
    }
}

/// All events that were passed since `before`.
fn since(status: &ProjectionStatus, before: Counters) -> u64 {
    let all = |c: Counters| c.folded + c.filtered + c.dropped + c.skipped + c.dead_letters;
    all(status.counters).saturating_sub(all(before))
}

fn per_second(events: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1) as u64;
    events.saturating_mul(1000) / millis
}

fn bar(done: u64, left: u64) -> String {
    let cells = (u128::from(done) * u128::from(BAR_CELLS) / (u128::from(done) + u128::from(left))) as usize;
    let percent = u128::from(done) * 100 / (u128::from(done) + u128::from(left));
    format!("[{}{}] {percent:>2} %  ", "=".repeat(cells), " ".repeat(BAR_CELLS as usize - cells))
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, TopicPartition, Version};
    use crate::runtime::progress::PartitionStatus;

    fn status(folded: u64, next: i64, end: i64) -> Arc<ProjectionStatus> {
        Arc::new(ProjectionStatus {
            name: "accounts".into(),
            run_state: RunState::Running,
            version: Version(1),
            partitions: vec![PartitionStatus {
                partition: TopicPartition { topic: "bank".into(), partition: 0 },
                next_offset: Offset(next),
                beginning: None,
                end: Some(Offset(end)),
                caught_up: next == end,
                stopped: None,
            }],
            sinks: vec![],
            counters: Counters { folded, ..Counters::default() },
            checkpoint_at: None,
        })
    }

    #[test]
    fn progress_counts_from_where_the_run_began() {
        let mut progress = Progress::new(vec![Counters { folded: 1_000, ..Counters::default() }]);
        let line = progress.line(&[status(3_000, 3_000, 5_000)], Duration::from_secs(2));
        assert_eq!(line, "[==========          ] 50 %  2,000 events, 1,000/s, 2,000 behind");
        let line = progress.changed_line(&[status(5_000, 5_000, 5_000)], Duration::from_secs(3));
        assert_eq!(line.unwrap(), "4,000 events, 2,000/s, caught up");
        let last = progress.changed_line(&[status(5_000, 5_000, 5_000)], Duration::from_millis(3_100));
        assert_eq!(last, None);
        assert_eq!(
            progress.summary(&[status(5_000, 5_000, 5_000)], &["17".into()], Duration::from_secs(4)),
            "accounts: 4,000 events read, 4,000 folded, 17 rows, 0 dead letters, 1,000/s\n"
        );
    }

    #[test]
    fn what_has_not_started_has_not_caught_up() {
        let mut starting = (*status(0, 0, 0)).clone();
        (starting.run_state, starting.partitions) = (RunState::Starting, vec![]);
        let line = Progress::new(vec![Counters::default()]).line(&[Arc::new(starting)], Duration::from_secs(1));
        assert_eq!(line, "0 events, 0/s; accounts is starting");
    }

    #[test]
    fn thousands_are_grouped() {
        let shown: Vec<_> = [0, 999, 1_000, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
