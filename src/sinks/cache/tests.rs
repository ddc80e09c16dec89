//! The cache over a store in memory, with a renderer that shows its row and a clock moved by hand.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::runtime::Runtime;

use super::*;
use crate::plan::{Fingerprint, Hashes};
use crate::state::{CheckpointBatch, Counters, MemoryStore, PlanRecord, RowChange, Store};

const NAME: &str = "accounts";
const SECOND: i64 = 1_000_000;

/// A cache, the store it looks into, and the numbers it is tested by.
struct Bench {
    store: MemoryStore,
    cache: Cache,
    version: u64,
    now: Arc<AtomicI64>,
    rendered: Arc<AtomicUsize>,
}

/// `text` as a row; one that begins with `-` has no document, one with `@n` is from second n.
fn render(row: &StoredRow, version: Version) -> Option<Rendered> {
    let text = String::from_utf8(row.row.as_ref()?.to_vec()).unwrap();
    if text.starts_with('-') {
        return None;
    }
    let time = text.split_once('@').map(|(_, seconds)| EventTime(seconds.parse::<i64>().unwrap() * SECOND));
    Some(Rendered { body: format!("{{\"row\":\"{text}\",\"v\":{version}}}").into_bytes().into(), time })
}

impl Bench {
    fn new(ttl: Option<Duration>, max_items: Option<u64>) -> Bench {
        let (now, rendered) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (clock, count) = (now.clone(), rendered.clone());
        let options = SinkOptions { ttl, max_items, ..SinkOptions::default() };
        let counted: Render = Box::new(move |_, row, version| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(render(row, version))
        });
        let clock: Clock = Box::new(move || clock.load(Ordering::Relaxed));
        let cache = Cache::with(ProjectionName(NAME.into()), &options, counted, clock);
        Bench { store: MemoryStore::new(), cache, version: 0, now, rendered }
    }

    /// A checkpoint with these rows, which the cache is not told of.
    fn commit(&mut self, rows: &[(&str, Option<&str>)]) -> Arc<dyn Snapshot> {
        self.version += 1;
        let none = Fingerprint([0; 32]);
        let hashes = Hashes { source: none, layout: none, fold: none, emit: none, options: none };
        let change = |(key, row): &(&str, Option<&str>)| RowChange {
            key: (*key).into(),
            row: row.map(|row| row.as_bytes().into()),
        };
        let batch = CheckpointBatch {
            projection: ProjectionName(NAME.into()),
            generation: Generation(1),
            version: Version(self.version),
            rows: rows.iter().map(change).collect(),
            next_offsets: vec![],
            sinks: vec![],
            gone_sinks: vec![],
            keep_changes: false,
            settled_by_all: Version(self.version),
            dead_letters: vec![],
            plan: Some(PlanRecord { hashes, semantics: 1, text: "".into() }),
            counters: Counters::default(),
        };
        self.store.commit(&[batch]).unwrap()
    }

    fn change(&mut self, rows: &[(&str, Option<&str>)]) {
        let snapshot = self.commit(rows);
        let keys: Vec<Arc<str>> = rows.iter().map(|(key, _)| (*key).into()).collect();
        self.cache.changed(&keys, Version(self.version), snapshot);
    }

    fn read(&self, key: &str) -> Option<String> {
        let document = Runtime::new().unwrap().block_on(self.cache.read(key)).unwrap()?;
        Some(String::from_utf8(document.body.to_vec()).unwrap())
    }

    /// Keys, and where to go on.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
        let page = Runtime::new().unwrap().block_on(self.cache_list(prefix, after, limit));
        (page.documents.iter().map(|(key, _)| key.to_string()).collect(), page.next.map(|key| key.to_string()))
    }

    async fn cache_list(&self, prefix: &str, after: Option<&str>, limit: usize) -> DocumentPage {
        self.cache.list(prefix, after, limit).await.unwrap()
    }
}

#[test]
fn a_change_is_seen_by_the_next_reader_and_rendered_once() {
    let mut bench = Bench::new(None, None);
    bench.change(&[("a", Some("1")), ("b", Some("-"))]);
    assert_eq!(bench.rendered.load(Ordering::Relaxed), 0, "nobody has asked");
    for _ in 0..3 {
        assert_eq!(bench.read("a").unwrap(), r#"{"row":"1","v":1}"#);
    }
    assert_eq!(bench.rendered.load(Ordering::Relaxed), 1);
    assert_eq!((bench.read("b"), bench.read("c")), (None, None));

    bench.change(&[("a", Some("2"))]);
    assert_eq!(bench.read("a").unwrap(), r#"{"row":"2","v":2}"#);
    bench.change(&[("a", None)]);
    assert_eq!(bench.read("a"), None);
}

#[test]
fn nothing_is_shown_before_the_publisher_shows_it() {
    let mut bench = Bench::new(None, None);
    let runtime = Runtime::new().unwrap();
    assert!(runtime.block_on(bench.cache.read("a")).is_err(), "an empty answer would be a wrong one");
    bench.change(&[("a", Some("1"))]);
    bench.commit(&[("a", Some("2"))]);
    assert_eq!(bench.read("a").unwrap(), r#"{"row":"1","v":1}"#);
}

#[test]
fn filling_renders_while_there_is_room_and_the_rest_when_it_is_read() {
    let mut bench = Bench::new(None, Some(2));
    bench.commit(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    bench.version = 7;
    let snapshot = bench.commit(&[]);
    let mut rows = Vec::new();
    let walk = snapshot.rows(Generation(1), "", None, &mut |key, row| {
        rows.push((Arc::from(key), row));
        ControlFlow::Continue(())
    });
    walk.unwrap();
    bench.cache.fill(&rows, Version(8), snapshot);
    assert_eq!(bench.rendered.load(Ordering::Relaxed), 2);
    // Rows of before this process take its first version: `as` may have changed with the restart.
    assert_eq!(bench.read("a").unwrap(), r#"{"row":"1","v":8}"#);
    assert_eq!(bench.read("c").unwrap(), r#"{"row":"3","v":8}"#);
    assert_eq!(bench.rendered.load(Ordering::Relaxed), 3);
}

#[test]
fn a_document_expires_by_the_time_of_its_last_event() {
    let mut bench = Bench::new(Some(Duration::from_secs(60)), None);
    bench.now.store(100 * SECOND, Ordering::Relaxed);
    bench.change(&[("fresh", Some("x@99")), ("old", Some("x@39")), ("timeless", Some("x"))]);
    assert!(bench.read("fresh").is_some());
    assert_eq!(bench.read("old"), None);
    assert!(bench.read("timeless").is_some());
    assert_eq!(bench.list("", None, 10).0, ["fresh", "timeless"]);

    bench.now.store(159 * SECOND, Ordering::Relaxed);
    assert_eq!(bench.read("fresh"), None);
    assert!(bench.read("timeless").is_some());
    bench.now.store(160 * SECOND, Ordering::Relaxed);
    assert_eq!(bench.read("timeless"), None, "60 s after it was first made");
    assert_eq!(bench.list("", None, 10).0, Vec::<String>::new());
    bench.change(&[("fresh", Some("x@150"))]);
    assert!(bench.read("fresh").is_some());
}

#[test]
fn a_listing_walks_the_rows_in_key_order() {
    let mut bench = Bench::new(None, Some(1));
    bench.change(&[("b", Some("1")), ("a|2", Some("1")), ("a|1", Some("1")), ("a|0", Some("-")), ("c", None)]);
    assert_eq!(bench.list("", None, 10), (vec!["a|1".into(), "a|2".into(), "b".into()], None));
    let (keys, next) = bench.list("a|", None, 1);
    assert_eq!((keys, next.as_deref()), (vec!["a|1".into()], Some("a|1")));
    assert_eq!(bench.list("a|", Some("a|1"), 1), (vec!["a|2".into()], None));
}
