use std::fs::OpenOptions;
use std::io::Write;

use tempfile::TempDir;

use super::*;

const BUDGET: PollBudget = PollBudget { records_max: 1000, bytes_max: 1 << 20, wait: Duration::ZERO };

struct Log {
    folder: TempDir,
}

impl Log {
    fn new(files: &[(&str, &str)]) -> Log {
        let log = Log { folder: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(file, text)| log.append(file, text));
        log
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn source(&self) -> LogSource {
        LogSource::new("events", self.folder.path(), vec!["t".into()])
    }

    fn opened(&self, start: i64) -> LogSource {
        let mut source = self.source();
        let starts: Vec<_> = source.partitions().unwrap().into_iter().map(|p| (p, Offset(start))).collect();
        source.open(&starts).unwrap();
        source
    }
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition }
}

fn poll(source: &mut LogSource) -> RecordBatch {
    let mut batch = RecordBatch::default();
    source.poll(BUDGET, &mut batch).unwrap();
    batch
}

fn values(batch: &RecordBatch) -> Vec<(i64, String)> {
    let text = |value: Option<&[u8]>| value.map_or("-".into(), |value| String::from_utf8(value.to_vec()).unwrap());
    batch.iter().map(|record| (record.offset.0, text(record.value))).collect()
}

#[test]
fn lines_are_records_and_a_half_line_waits() {
    let log = Log::new(&[(
        "t/0.jsonl",
        "{\"key\": \"a\", \"value\": {\"x\":1}, \"headers\": {\"type\": \"X\"}}\n{\"value\": null}\n{\"val",
    )]);
    let mut source = log.opened(0);
    let batch = poll(&mut source);
    assert_eq!(values(&batch), [(0, "{\"x\":1}".into()), (1, "-".into())]);
    assert_eq!(batch.record(0).key, Some(&b"a"[..]));
    assert_eq!(batch.record(0).headers.last("type"), Some(&b"X"[..]));
    assert_eq!((batch.positions.clone(), batch.ends.clone()), (vec![(0, Offset(2))], vec![(0, Offset(2))]));
    assert_eq!(source.range(&at(0)).unwrap(), OffsetRange { beginning: Offset(0), end: Offset(2) });
    assert!(poll(&mut source).is_empty());
    log.append("t/0.jsonl", "ue\": 3}\n");
    let batch = poll(&mut source);
    assert_eq!(values(&batch), [(2, "3".into())]);
    assert_eq!(batch.ends, [(0, Offset(3))]);
    assert_eq!(source.range(&at(0)).unwrap().end, Offset(3));
}

#[test]
fn a_line_that_is_no_envelope_is_a_malformed_record_at_its_offset() {
    let log = Log::new(&[("t/0.jsonl", "{\"value\": 0}\nnonsense\n\n{\"value\": 3}\n")]);
    let batch = poll(&mut log.opened(0));
    let malformed: Vec<bool> = batch.iter().map(|record| record.malformed.is_some()).collect();
    assert_eq!(malformed, [false, true, true, false]);
    assert_eq!(batch.record(1).value, Some(&b"nonsense"[..]));
    assert_eq!(batch.record(3).offset, Offset(3));
}

#[test]
fn reading_starts_at_any_offset_and_keeps_to_its_budget() {
    let text: String = (0..5000).map(|n| format!("{{\"value\": \"{}{n}\"}}\n", "x".repeat(n % 700))).collect();
    let log = Log::new(&[("t/0.jsonl", &text), ("t/1.jsonl", "")]);
    for start in [0, 1, 2999, 4999, 5000] {
        let mut source = log.opened(0);
        source.open(&[(at(0), Offset(start))]).unwrap();
        let (mut next, mut batch) = (start, RecordBatch::default());
        while next < 5000 {
            source.poll(PollBudget { records_max: 333, ..BUDGET }, &mut batch).unwrap();
            assert!(!batch.is_empty() && batch.len() <= 333);
            for record in batch.iter() {
                assert_eq!(record.offset.0, next);
                assert!(
                    std::str::from_utf8(record.value.unwrap()).unwrap().trim_matches(['"', 'x']) == next.to_string()
                );
                next += 1;
            }
        }
        source.poll(BUDGET, &mut batch).unwrap();
        assert!(batch.is_empty());
    }
    assert_eq!(values(&log.source().record_at(&at(0), Offset(700)).unwrap()), [(700, "\"700\"".into())]);
    assert!(log.source().record_at(&at(0), Offset(5000)).unwrap().is_empty());
}

#[test]
fn an_offset_outside_the_file_is_an_error() {
    let log = Log::new(&[("t/0.jsonl", "{\"value\": 0}\n")]);
    let error = log.source().open(&[(at(0), Offset(2))]).unwrap_err();
    let SourceError::OffsetOutOfRange { wanted, range, .. } = error else { panic!("{error}") };
    assert_eq!((wanted, range.end), (Offset(2), Offset(1)));
}

/// What is done to the log's folder, and its name.
type Way<'w> = (&'w str, &'w dyn Fn(&Path));

/// The error of a reader that had read all when this was done to the file; a record of another file is lost by none of it.
fn disturbed(lines: &[&str], disturb: impl Fn(&Path)) -> SourceError {
    let log = Log::new(&[("t/0.jsonl", &lines.concat()), ("t/1.jsonl", "")]);
    let (mut source, mut batch, mut seen) = (log.opened(0), RecordBatch::default(), Vec::new());
    assert_eq!(poll(&mut source).len(), lines.len());
    disturb(log.folder.path());
    log.append("t/1.jsonl", "{\"value\": 9}\n");
    let mut polled = (0..9).map(|_| {
        source.poll(BUDGET, &mut batch)?;
        seen.extend(values(&batch));
        Ok(())
    });
    let error = polled.find_map(Result::err).expect("it is noticed");
    assert!(batch.is_empty());
    source.close(&at(0));
    seen.extend(values(&poll(&mut source)));
    assert_eq!(seen, [(0, "9".into())]);
    if source.open(&[(at(0), Offset(1))]).is_ok() {
        assert_eq!(values(&poll(&mut source))[0], (1, "6".into()), "opened again, it is what is there now");
    }
    error
}

#[test]
fn a_file_that_is_no_longer_what_was_read_is_not_read_on() {
    const FIVE: &str = "{\"value\": 5}\n{\"value\": 6}\n";
    let ways: [Way<'_>; 4] = [
        ("cut short", &|path| fs::write(path.join("t/0.jsonl"), FIVE).unwrap()),
        ("written over", &|path| fs::write(path.join("t/0.jsonl"), FIVE.to_owned() + FIVE + FIVE).unwrap()),
        ("replaced", &|path| {
            fs::write(path.join("new"), FIVE).unwrap();
            fs::rename(path.join("new"), path.join("t/0.jsonl")).unwrap();
        }),
        ("gone", &|path| fs::remove_file(path.join("t/0.jsonl")).unwrap()),
    ];
    for (way, disturb) in ways {
        let error = disturbed(&["{\"value\": 0}\n", "{\"value\": 1}\n", "{\"value\": 2}\n"], disturb);
        assert!(matches!(&error, SourceError::Doubtful { reason, .. } if reason.contains("0.jsonl")), "{way}: {error}");
    }
}

#[test]
fn partitions_are_the_numbered_files_and_may_be_added() {
    let log =
        Log::new(&[("t/0.jsonl", ""), ("t/10.jsonl", ""), ("t/2.jsonl", ""), ("t/02.jsonl", ""), ("t/x.txt", "")]);
    let mut source = log.source();
    let numbers = |source: &mut LogSource| -> Vec<i32> {
        source.partitions().unwrap().iter().map(|found| found.partition).collect()
    };
    assert_eq!(numbers(&mut source), [0, 2, 10]);
    log.append("t/3.jsonl", "");
    assert_eq!(numbers(&mut source), [0, 2, 3, 10]);
}

#[test]
fn an_unknown_topic_lists_those_that_are_there() {
    let log = Log::new(&[("orders/0.jsonl", ""), ("customers/0.jsonl", "")]);
    let error = log.source().partitions().unwrap_err().to_string();
    assert!(error.contains("`t`") && error.contains("it has `customers`, `orders`"), "{error}");
    let nowhere = LogSource::new("events", log.folder.path().join("no"), vec!["t".into()]).partitions().unwrap_err();
    assert!(matches!(nowhere, SourceError::Io { .. }), "{nowhere}");
}

#[test]
fn what_is_appended_is_read_back_by_key() {
    let log = Log::new(&[("t/0.jsonl", ""), ("t/1.jsonl", "{\"value\": 9}\n"), ("t/2.jsonl", "")]);
    let mut writer = LogWriter::open("events", log.folder.path(), "t").unwrap();
    for number in 0..100 {
        let value = number.to_string();
        let key = Some(format!("k{}", number % 10).into());
        writer.append(&Envelope { key, value: Some(value.as_bytes()), ..Envelope::default() }).unwrap();
    }
    writer.finish().unwrap();
    let batch = poll(&mut log.opened(0));
    assert_eq!(batch.len(), 101);
    for record in batch.iter().filter(|record| record.key.is_some()) {
        assert_eq!(record.source.partition as usize, crate::sources::partitioner::partition_of(record.key.unwrap(), 3));
    }
    let used: std::collections::BTreeSet<u32> = batch.iter().map(|record| record.input).collect();
    assert_eq!(used.len(), 3, "ten keys should use three partitions");
}

#[test]
fn a_writer_makes_a_first_partition_and_refuses_a_half_line() {
    let log = Log::new(&[("half/0.jsonl", "{\"val")]);
    let mut writer = LogWriter::open("events", log.folder.path(), "t").unwrap();
    writer.append(&Envelope { value: Some(b"1"), ..Envelope::default() }).unwrap();
    writer.finish().unwrap();
    assert_eq!(values(&poll(&mut log.opened(0))), [(0, "1".into())]);
    let error = LogWriter::open("events", log.folder.path(), "half").unwrap_err().to_string();
    assert!(error.contains("last line"), "{error}");
    assert!(LogWriter::open("events", log.folder.path(), "../t").is_err());
}
