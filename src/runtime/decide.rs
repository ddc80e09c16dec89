//! Facts already read → what to do: pure decisions about starting.
//!
//! The program a checkpoint was made by is compared with the one that is to run; what differs decides what an edit needs.

use std::fmt::Write;

use crate::event::Offset;
use crate::plan::{Hashes, Plan, SEMANTICS};
use crate::sources::OffsetRange;
use crate::state::{NextOffset, PlanRecord};

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

/// Where a partition is read from, or what is missing there.
///
/// `found` is the hash of the record that now lies where the last one passed was: none is no evidence, since topics are
/// compacted.
pub(crate) fn decide_offset(
    stored: Option<NextOffset>,
    range: Option<OffsetRange>,
    found: Option<[u8; 16]>,
) -> Result<NextOffset, String> {
    let Some(range) = range else { return Err("the partition is no longer there".into()) };
    let Some(stored) = stored else { return Ok(NextOffset { offset: range.beginning, time: None, last: None }) };
    let next = stored.offset;
    if next < range.beginning {
        let last_missing = Offset(range.beginning.0 - 1);
        return Err(format!("offsets {next} to {last_missing} were not folded yet and are no longer in the log"));
    }
    if next > range.end {
        return Err(format!(
            "offset {next} is past the end of the log, {}: this is another log, or it was cut short",
            range.end
        ));
    }
    match (stored.last, found) {
        (Some((offset, hash)), Some(found)) if hash != found => {
            Err(format!("another record lies at offset {offset} than the one that was folded: this is another log"))
        }
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: NextOffset = NextOffset { offset: Offset(10), time: None, last: Some((Offset(9), [1; 16])) };

    fn range(beginning: i64, end: i64) -> Option<OffsetRange> {
        Some(OffsetRange { beginning: Offset(beginning), end: Offset(end) })
    }

    #[test]
    fn offsets_are_kept_only_in_the_same_log() {
        assert_eq!(decide_offset(None, range(3, 8), None).map(|n| n.offset), Ok(Offset(3)));
        assert_eq!(decide_offset(Some(NEXT), range(10, 10), None), Ok(NEXT));
        assert_eq!(decide_offset(Some(NEXT), range(0, 12), Some([1; 16])), Ok(NEXT));
        let missing = decide_offset(Some(NEXT), range(12, 20), None).expect_err("records are missing");
        assert!(missing.contains("10 to 11"), "{missing}");
        let short = decide_offset(Some(NEXT), range(0, 9), None).expect_err("the log is shorter");
        assert!(short.contains("past the end"), "{short}");
        let other = decide_offset(Some(NEXT), range(0, 12), Some([2; 16])).expect_err("another record");
        assert!(other.contains("offset 9"), "{other}");
        assert!(decide_offset(Some(NEXT), None, None).is_err());
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
