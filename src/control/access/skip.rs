//! An event given up in a store that no engine holds: the offset of its partition moves by one, in a checkpoint of its own.

use crate::control::access::{AccessError, unknown};
use crate::event::{Offset, ProjectionName, RecordPlace, Version};
use crate::state::{CheckpointBatch, Counters, NextOffset, ProjectionState, Store};

/// Moves a partition past `place`, if that is where it is to go on.
pub(super) fn skip(store: &dyn Store, projection: &ProjectionName, place: &RecordPlace) -> Result<(), AccessError> {
    let state = store.snapshot().projection(projection)?.ok_or_else(|| unknown(&projection.0))?;
    let next = passed(&state, projection, place).map_err(AccessError::Refused)?;
    let counters = Counters { skipped: state.counters.skipped + 1, ..state.counters };
    let batch = CheckpointBatch {
        projection: projection.clone(),
        generation: state.generation,
        version: state.version.next_checkpoint(),
        rows: Vec::new(),
        next_offsets: vec![(place.partition.clone(), next)],
        sinks: Vec::new(),
        gone_sinks: Vec::new(),
        // Whatever sinks are owed stays owed: with these two nothing of it is dropped.
        keep_changes: true,
        settled_by_all: Version(0),
        dead_letters: Vec::new(),
        plan: None,
        counters,
    };
    store.commit(&[batch])?;
    Ok(())
}

/// Where the partition goes on after the event, or why it is not there. The hash of the record before stays, so that the
/// log is still known again.
fn passed(state: &ProjectionState, projection: &ProjectionName, place: &RecordPlace) -> Result<NextOffset, String> {
    let RecordPlace { partition, offset } = place;
    match state.next_offsets.iter().find(|(known, _)| known == partition) {
        Some((_, next)) if next.offset == *offset => Ok(NextOffset { offset: Offset(offset.0 + 1), ..*next }),
        Some((_, next)) => {
            let next = RecordPlace { offset: next.offset, ..place.clone() };
            Err(format!("`{projection}` goes on at {next}: only the event that comes next can be skipped, not {place}"))
        }
        None => Err(format!("`{projection}` has read no partition {partition}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventTime, TopicPartition};
    use crate::plan::{Fingerprint, Hashes};
    use crate::state::{MemoryStore, PlanRecord, RowChange, SinkRecord};

    fn place(partition: i32, offset: i64) -> RecordPlace {
        RecordPlace { partition: TopicPartition { topic: "bank".into(), partition }, offset: Offset(offset) }
    }

    /// A projection whose sink is owed two keys, one of them deleted.
    fn store(name: &ProjectionName) -> MemoryStore {
        let store = MemoryStore::new();
        let generation = store.new_generation(name).unwrap();
        let hash = Fingerprint([0; 32]);
        let hashes = Hashes { source: hash, layout: hash, fold: hash, emit: hash, options: hash };
        let next = NextOffset { offset: Offset(3), time: Some(EventTime(8)), last: Some((Offset(2), [5; 16])) };
        let batch = |version, rows| CheckpointBatch {
            projection: name.clone(),
            generation,
            version: Version(version),
            rows,
            next_offsets: vec![(place(0, 3).partition, next), (place(1, 3).partition, next)],
            sinks: vec![("cosmos".into(), SinkRecord::default())],
            gone_sinks: Vec::new(),
            keep_changes: true,
            settled_by_all: Version(0),
            dead_letters: Vec::new(),
            plan: Some(PlanRecord { hashes, semantics: 1, text: "".into() }),
            counters: Counters { folded: 6, skipped: 1, ..Counters::default() },
        };
        let row = |key: &str, row: Option<&[u8]>| RowChange { key: key.into(), row: row.map(Into::into) };
        store.commit(&[batch(7, vec![row("a", Some(b"1")), row("b", Some(b"1"))])]).unwrap();
        store.commit(&[batch(8, vec![row("b", None)])]).unwrap();
        store
    }

    #[test]
    fn only_the_event_that_comes_next_is_skipped_and_only_once() {
        let name = ProjectionName("accounts".into());
        let store = store(&name);
        let refused = |place: RecordPlace| skip(&store, &name, &place).unwrap_err().to_string();
        assert!(refused(place(0, 2)).contains("goes on at bank/0@3"), "{}", refused(place(0, 2)));
        assert!(refused(place(0, 4)).contains("not bank/0@4"));
        assert!(refused(place(2, 3)).contains("has read no partition bank/2"));
        let nobody = skip(&store, &ProjectionName("others".into()), &place(0, 3)).unwrap_err();
        assert!(matches!(nobody, AccessError::NotFound(_)), "{nobody}");
        assert_eq!(store.snapshot().projection(&name).unwrap().unwrap().version, Version(8));

        skip(&store, &name, &place(0, 3)).unwrap();
        assert!(refused(place(0, 3)).contains("goes on at bank/0@4"));
    }

    #[test]
    fn a_skip_moves_one_offset_counts_one_and_keeps_what_sinks_are_owed() {
        let name = ProjectionName("accounts".into());
        let store = store(&name);
        let before = store.snapshot().projection(&name).unwrap().unwrap();
        skip(&store, &name, &place(1, 3)).unwrap();
        let snapshot = store.crash().snapshot();
        let after = snapshot.projection(&name).unwrap().unwrap();
        assert_eq!(after.version, Version(9));
        assert_eq!(after.counters, Counters { skipped: 2, ..before.counters });
        assert_eq!(after.next_offsets[0], before.next_offsets[0]);
        assert_eq!(after.next_offsets[1].1, NextOffset { offset: Offset(4), ..before.next_offsets[1].1 });
        assert_eq!((after.sinks, after.plan), (before.sinks, before.plan));
        let owed = snapshot.changed_since(after.generation, Version(0), 9).unwrap().unwrap();
        assert_eq!(owed, ["a", "b"].map(std::sync::Arc::<str>::from));
        assert!(snapshot.row(after.generation, "b").unwrap().is_some_and(|row| row.row.is_none()), "the tombstone");
    }
}
