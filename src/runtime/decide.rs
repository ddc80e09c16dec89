//! Facts already read → what to do: pure decisions about starting.
//!
//! The program a checkpoint was made by is compared with the one that is to run; what differs decides what an edit needs.

use std::fmt::Write;

use crate::event::{Offset, Version};
use crate::plan::{Hashes, Plan, SEMANTICS};
use crate::sinks::claim::{Claim, ProcessId};
use crate::sources::OffsetRange;
use crate::state::{NextOffset, Place, PlanRecord, SinkRecord, StoreId};

/// How a projection starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// The store knows nothing of it.
    First,
    /// From its last checkpoint; the program's text is stored anew when only options differ.
    GoOn { store_plan: bool },
    /// From its last checkpoint, and every row is owed to every sink: documents look different now.
    EmitAgain,
    /// The rows were folded by another meaning.
    Refuse(String),
}

/// Decides how a projection starts, from the program its last checkpoint was made by.
pub(crate) fn decide_start(stored: Option<&PlanRecord>, plan: &Plan) -> Start {
    let Some(stored) = stored else { return Start::First };
    let name = &plan.projection.name;
    if stored.semantics != SEMANTICS {
        return Start::Refuse(format!(
            "P0801: the state of `{name}` was made by a release with other semantics ({}, this one has {SEMANTICS}); \
             `projector drop {name}` removes its state, so that it starts anew",
            stored.semantics
        ));
    }
    let changed = changed_parts(&stored.hashes, &plan.hashes);
    if !changed.is_empty() {
        return Start::Refuse(refusal(name, &changed, &stored.text, &plan.text));
    }
    if stored.hashes.emit != plan.hashes.emit {
        return Start::EmitAgain;
    }
    Start::GoOn { store_plan: stored.hashes.options != plan.hashes.options || stored.text != plan.text }
}

/// The parts whose change needs a replay.
fn changed_parts(stored: &Hashes, ours: &Hashes) -> Vec<&'static str> {
    let parts = [
        ("source", stored.source != ours.source),
        ("layout", stored.layout != ours.layout),
        ("fold", stored.fold != ours.fold),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect()
}

fn refusal(name: &str, changed: &[&str], stored: &str, ours: &str) -> String {
    let mut why = format!("P0801: the {} of `{name}` changed since its last checkpoint\n", changed.join(" and the "));
    why.push_str(&diff(stored, ours));
    let _ = write!(why, "its rows were folded by the old meaning: put the file back, or remove its state with ");
    let _ = write!(why, "`projector drop {name}`, so that it starts anew");
    why
}

/// How many lines of a difference are shown.
const DIFF_LINES_MAX: usize = 16;
/// Texts with more lines than this (between their common ends) are not compared line by line.
const DIFF_COMPARE_MAX: usize = 2_000;

/// The lines that differ, those that went with `-` and those that came with `+`.
fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let lines = if old.len().max(new.len()) > DIFF_COMPARE_MAX {
        old.iter().map(|line| ('-', *line)).chain(new.iter().map(|line| ('+', *line))).collect()
    } else {
        differing_lines(old, new)
    };
    let mut text = String::new();
    for (sign, line) in lines.iter().take(DIFF_LINES_MAX) {
        let _ = writeln!(text, "  {sign} {}", line.trim_end());
    }
    if lines.len() > DIFF_LINES_MAX {
        let _ = writeln!(text, "  and {} more lines", lines.len() - DIFF_LINES_MAX);
    }
    text
}

/// By the longest common subsequence.
fn differing_lines<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(char, &'t str)> {
    let width = new.len() + 1;
    let mut common = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines
}

/// Who wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Us {
    pub store: StoreId,
    pub place: Place,
    pub process: ProcessId,
}

/// Whether the holder of a claim may be alive beside us. Who held it from our own directory is not: its lock is ours.
pub(crate) fn may_be_alive(claim: &Claim, us: &Us) -> bool {
    let ours = claim.process == us.process || (claim.store == us.store && claim.place == us.place);
    claim.process != ProcessId::NOBODY && !ours && !mutant!(ClaimNotWatched)
}

/// How a target is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// It was never written to by anybody: every row is owed.
    First,
    /// It holds what we wrote, as far as `settled` says.
    GoOn,
    /// Nobody knows what it holds: nothing is sent until the fold has passed what may have been published, then every row
    /// is written, then every document that is older is swept away.
    Refill,
}

/// Decides about a target from its claim and from what our last checkpoint, of version `synced`, knows of it.
pub(crate) fn decide_target(stored: SinkRecord, synced: Version, claim: Option<&Claim>, us: &Us) -> Target {
    let Some(claim) = claim else {
        // Without a claim there are no documents of ours; if there were some, the target forgot them, perhaps not all.
        return if stored.settled == Version(0) { Target::First } else { Target::Refill };
    };
    // A claim that was moved less often than when we settled lies in a target that was put back; one that says more than we
    // know was moved by who went on where we did not: our state is an old copy.
    // What was published since the last beat only our own directory knows, or a holder who gave the claim up.
    let exact = claim.place == us.place || claim.process == ProcessId::NOBODY;
    let as_we_left_it = claim.beat >= stored.beat && claim.published <= synced && exact;
    let same = claim.store == us.store && (stored.target == Some(claim.target) || mutant!(TargetIdIgnored));
    if claim.process == us.process || (same && claim.epoch <= synced.epoch() && as_we_left_it) {
        Target::GoOn
    } else {
        Target::Refill
    }
}

/// Where a partition of the log stands against what was folded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogFacts {
    /// What the last checkpoint covers.
    pub stored: Option<NextOffset>,
    /// What the log holds; `None` when the partition is no longer there.
    pub range: Option<OffsetRange>,
    /// The hash of the record that now lies where the last one passed was: none is no evidence, since topics are compacted.
    pub found: Option<[u8; 16]>,
}

/// What is missing in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub what: String,
    /// Where a person who accepts the loss goes on; `None` when there is nothing to read.
    pub beginning: Option<Offset>,
}

/// Where a partition is read from, or what is missing there. `rebuilt`: rows that were folded from it are lost, so it must be
/// there from its first record on.
pub(crate) fn decide_offset(log: LogFacts, rebuilt: bool) -> Result<NextOffset, Missing> {
    let Some(range) = log.range else {
        return Err(Missing { what: "the partition is no longer there".into(), beginning: None });
    };
    let missing = |what| Err(Missing { what, beginning: Some(range.beginning) });
    let Some(stored) = log.stored else {
        if rebuilt && range.beginning > Offset(0) {
            let last_missing = range.beginning.0 - 1;
            return missing(format!(
                "offsets 0 to {last_missing}, which its rows were folded from, are no longer in the log"
            ));
        }
        return Ok(NextOffset { offset: range.beginning, time: None, last: None });
    };
    let next = stored.offset;
    if next < range.beginning {
        let last_missing = Offset(range.beginning.0 - 1);
        return missing(format!("offsets {next} to {last_missing} were not folded yet and are no longer in the log"));
    }
    if next > range.end {
        let end = range.end;
        return missing(format!(
            "offset {next} is past the end of the log, {end}: this is another log, or it was cut short"
        ));
    }
    match (stored.last, log.found) {
        (Some((offset, hash)), Some(found)) if hash != found => {
            missing(format!("another record lies at offset {offset} than the one that was folded: this is another log"))
        }
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TargetId;

    const NEXT: NextOffset = NextOffset { offset: Offset(10), time: None, last: Some((Offset(9), [1; 16])) };

    fn range(beginning: i64, end: i64) -> Option<OffsetRange> {
        Some(OffsetRange { beginning: Offset(beginning), end: Offset(end) })
    }

    fn decide(
        stored: Option<NextOffset>,
        range: Option<OffsetRange>,
        found: Option<[u8; 16]>,
    ) -> Result<NextOffset, Missing> {
        decide_offset(LogFacts { stored, range, found }, false)
    }

    #[test]
    fn offsets_are_kept_only_in_the_same_log() {
        assert_eq!(decide(None, range(3, 8), None).map(|n| n.offset), Ok(Offset(3)));
        assert_eq!(decide(Some(NEXT), range(10, 10), None), Ok(NEXT));
        assert_eq!(decide(Some(NEXT), range(0, 12), Some([1; 16])), Ok(NEXT));
        let missing = decide(Some(NEXT), range(12, 20), None).expect_err("records are missing");
        assert!(missing.what.contains("10 to 11") && missing.beginning == Some(Offset(12)), "{missing:?}");
        let short = decide(Some(NEXT), range(0, 9), None).expect_err("the log is shorter");
        assert!(short.what.contains("past the end"), "{short:?}");
        let other = decide(Some(NEXT), range(0, 12), Some([2; 16])).expect_err("another record");
        assert!(other.what.contains("offset 9"), "{other:?}");
        assert_eq!(decide(Some(NEXT), None, None).expect_err("it is gone").beginning, None);
    }

    #[test]
    fn rows_are_folded_anew_only_from_the_first_record_on() {
        let rebuilt = |range| decide_offset(LogFacts { range, ..LogFacts::default() }, true);
        assert_eq!(rebuilt(range(0, 8)).map(|next| next.offset), Ok(Offset(0)));
        let cut = rebuilt(range(3, 8)).expect_err("three records are missing");
        assert!(cut.what.contains("0 to 2") && cut.beginning == Some(Offset(3)), "{cut:?}");
    }

    const US: Us = Us { store: StoreId(1), place: Place(1), process: ProcessId(1) };

    fn version(epoch: u64, number: u64) -> Version {
        Version(epoch << Version::CHECKPOINT_BITS | number)
    }

    /// As an earlier process of our directory left it.
    fn left(epoch: u64, number: u64) -> Claim {
        let published = version(epoch, number);
        let process = ProcessId(9);
        Claim {
            store: US.store,
            place: US.place,
            process,
            epoch: published.epoch(),
            published,
            beat: 7,
            target: TargetId(5),
        }
    }

    #[test]
    fn a_target_is_gone_on_with_only_as_it_was_left() {
        let stored = SinkRecord { settled: version(2, 4), target: Some(TargetId(5)), beat: 7 };
        let decide = |stored, claim: Option<Claim>| decide_target(stored, version(2, 6), claim.as_ref(), &US);
        assert_eq!(decide(SinkRecord::default(), None), Target::First);
        assert_eq!(decide(stored, None), Target::Refill, "it was emptied");
        for number in [4, 5, 6] {
            assert_eq!(decide(stored, Some(left(2, number))), Target::GoOn);
        }
        let beat = |beat| decide(stored, Some(Claim { beat, ..left(2, 5) }));
        assert_eq!((beat(8), beat(6)), (Target::GoOn, Target::Refill), "the target was put back");
        let copied = |process| decide(stored, Some(Claim { place: Place(2), process, ..left(2, 5) }));
        assert_eq!(copied(ProcessId::NOBODY), Target::GoOn, "a directory that was moved");
        assert_eq!(copied(ProcessId(9)), Target::Refill, "a copy may have fallen behind since the last beat");
        assert_eq!(decide(stored, Some(left(2, 7))), Target::Refill, "our state is an old copy");
        assert_eq!(decide(stored, Some(left(3, 0))), Target::Refill, "our state is an old copy");
        assert_eq!(decide(stored, Some(Claim { target: TargetId(6), ..left(2, 5) })), Target::Refill);
        assert_eq!(decide(stored, Some(Claim { store: StoreId(2), ..left(1, 5) })), Target::Refill);
        assert_eq!(decide(SinkRecord::default(), Some(left(2, 5))), Target::Refill, "it was not filled to the end");
        assert_eq!(decide(SinkRecord::default(), Some(Claim { process: US.process, ..left(2, 5) })), Target::GoOn);
    }

    #[test]
    fn the_holder_of_another_directory_may_be_alive() {
        let claim = left(2, 4);
        assert!(!may_be_alive(&claim, &US));
        assert!(may_be_alive(&Claim { place: Place(2), ..claim }, &US), "a copy of our directory");
        assert!(may_be_alive(&Claim { store: StoreId(2), ..claim }, &US));
        assert!(!may_be_alive(&Claim { store: StoreId(2), process: ProcessId::NOBODY, ..claim }, &US));
        assert!(!may_be_alive(&Claim { store: StoreId(2), process: US.process, ..claim }, &US));
    }

    #[test]
    fn a_diff_names_the_lines_that_changed() {
        let text = diff("state\n  n: int\n  a: int\nfold\n", "state\n  n: int\n  b: int\n  c: int\nfold\n");
        assert_eq!(text, "  -   a: int\n  +   b: int\n  +   c: int\n");
        assert_eq!(diff("a\nb\nc", "a\nx\nb\ny\nc"), "  + x\n  + y\n");
        let long: String = (0..40).map(|n| format!("{n}\n")).collect();
        assert!(diff("", &long).ends_with("and 24 more lines\n"));
    }
}
