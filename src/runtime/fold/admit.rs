//! A batch as it was read → the records that are to be folded, each once.
//!
//! A source may deliver a range again, and a partition may have to stop inside a batch. Both are rare: a batch that holds
//! only what is wanted passes as it is, after one look at its offsets; any other is copied without the rest, so that no
//! later phase has to know.

use crate::event::batch::NewRecord;
use crate::event::{Offset, Record, RecordBatch};
use crate::runtime::core::LastRecord;

/// Per input of a batch: the offsets to fold, or none.
pub(crate) type Admission = [Option<(Offset, Offset)>];

/// What is left of a batch, and the last record of each input in it.
pub(super) struct Admitted {
    pub batch: RecordBatch,
    pub lasts: Vec<LastRecord>,
}

/// Drops what is not admitted: records below the next offset of their partition (delivered again), records at or past its
/// stop, records of partitions that are not read. A gap is no fault: topics are compacted.
pub(super) fn admit(batch: RecordBatch, admission: &Admission) -> Admitted {
    let mut admission = admission.to_vec();
    let mut last: Vec<Option<usize>> = vec![None; admission.len()];
    let mut wanted = |batch: &RecordBatch, index: usize| {
        let (input, offset) = batch.place(index);
        let Some(Some((from, to))) = admission.get_mut(input as usize) else { return false };
        let wanted = offset >= *from && offset < *to;
        if wanted {
            *from = Offset(offset.0 + 1);
            last[input as usize] = Some(index);
        }
        wanted
    };
    let Some(refused) = (0..batch.len()).find(|index| !wanted(&batch, *index)) else {
        let lasts = last_records(&batch, &last);
        return Admitted { batch, lasts };
    };
    let mut copy = RecordBatch::default();
    copy.inputs.clone_from(&batch.inputs);
    copy.positions.clone_from(&batch.positions);
    copy.ends.clone_from(&batch.ends);
    for index in 0..batch.len() {
        if index < refused || (index > refused && wanted(&batch, index)) {
            push(&mut copy, batch.record(index));
        }
    }
    let mut last = vec![None; batch.inputs.len()];
    (0..copy.len()).for_each(|index| last[copy.place(index).0 as usize] = Some(index));
    let lasts = last_records(&copy, &last);
    Admitted { batch: copy, lasts }
}

fn push(batch: &mut RecordBatch, record: Record<'_>) {
    let Record { time, key, value, malformed, .. } = record;
    batch.push(record.input, record.offset, NewRecord { time, key, value, malformed }, record.headers.iter());
}

fn last_records(batch: &RecordBatch, last: &[Option<usize>]) -> Vec<LastRecord> {
    let last_record = |index: &usize| {
        let record = batch.record(*index);
        LastRecord { input: record.input, offset: record.offset, time: record.time, hash: record_hash(&record) }
    };
    last.iter().flatten().map(last_record).collect()
}

/// Key, value and headers of a record in 16 bytes: enough to know it again.
pub(crate) fn record_hash(record: &Record<'_>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: Option<&[u8]>| {
        // An absent part differs from an empty one, and no part runs into the next.
        hasher.update(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
        hasher.update(bytes.unwrap_or_default());
    };
    part(record.key);
    part(record.value);
    for (name, value) in record.headers.iter() {
        part(Some(name));
        part(Some(value));
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TopicPartition;

    const ALL: Offset = Offset(i64::MAX);

    fn batch(places: &[(u32, i64)]) -> RecordBatch {
        let tp = |partition| TopicPartition { topic: "t".into(), partition };
        let mut batch = RecordBatch::of(vec![tp(0), tp(1)]);
        for (input, offset) in places {
            let value = format!("{input}@{offset}");
            let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
            batch.push(*input, Offset(*offset), record, [(b"h".as_slice(), b"v".as_slice())]);
        }
        batch
    }

    fn places(batch: &RecordBatch) -> Vec<(u32, i64)> {
        (0..batch.len()).map(|index| batch.place(index)).map(|(input, offset)| (input, offset.0)).collect()
    }

    #[test]
    fn a_wanted_batch_passes_as_it_is() {
        let admission = [Some((Offset(3), ALL)), Some((Offset(0), ALL))];
        let admitted = admit(batch(&[(0, 3), (1, 5), (0, 4), (0, 9)]), &admission);
        assert_eq!(places(&admitted.batch), [(0, 3), (1, 5), (0, 4), (0, 9)]);
        let lasts: Vec<_> = admitted.lasts.iter().map(|last| (last.input, last.offset.0)).collect();
        assert_eq!(lasts, [(0, 9), (1, 5)]);
    }

    #[test]
    fn a_record_is_folded_once_and_not_past_a_stop() {
        let admission = [Some((Offset(3), Offset(6))), None];
        let again = batch(&[(0, 2), (0, 3), (1, 0), (0, 4), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7)]);
        let admitted = admit(again, &admission);
        assert_eq!(places(&admitted.batch), [(0, 3), (0, 4), (0, 5)]);
        assert_eq!(admitted.batch.record(2).value, Some(b"0@5".as_slice()));
        assert_eq!(admitted.batch.record(2).headers.last("h"), Some(b"v".as_slice()));
        assert_eq!(admitted.lasts[0].hash, record_hash(&admitted.batch.record(2)));
    }

    #[test]
    fn records_that_differ_hash_differently() {
        let hash = |key: Option<&[u8]>, value: Option<&[u8]>| {
            let mut batch = batch(&[]);
            batch.push(0, Offset(0), NewRecord { key, value, ..NewRecord::default() }, []);
            record_hash(&batch.record(0))
        };
        let all = [
            hash(None, None),
            hash(Some(b""), None),
            hash(None, Some(b"")),
            hash(Some(b"ab"), Some(b"c")),
            hash(Some(b"a"), Some(b"bc")),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }
}
