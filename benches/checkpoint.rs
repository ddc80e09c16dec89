//! What a checkpoint costs: rows into a synced store, new and updated, and what is left after a kill.
//!
//! `cargo bench --bench checkpoint`. Prints rows per second and microseconds of CPU per row for rounds of 200,000 rows of 96
//! bytes, then point reads, then the time a start takes after `kill -9`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::event::{Generation, ProjectionName, Version};
use projector::plan::{Fingerprint, Hashes};
use projector::state::{
    CheckpointBatch, Counters, DiskStore, DiskStoreOptions, PlanRecord, RowChange, Snapshot, Store,
};

const OPTIONS: DiskStoreOptions = DiskStoreOptions { cache_bytes: 64 << 20 };
const ROUND_ROWS: u64 = 200_000;
const ROW_BYTES: usize = 96;
const CHILD: &str = "PROJECTOR_BENCH_CHECKPOINT";

fn main() {
    let rows = std::env::var("ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(5_000_000);
    if let Some(dir) = std::env::var_os(CHILD) {
        return fill_until_killed(Path::new(&dir), rows);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let child = Command::new(std::env::current_exe().expect("this program")).env(CHILD, dir.path()).status();
    assert!(!child.expect("it starts").success(), "it kills itself");
    let start = Usage::now();
    let store = DiskStore::open(dir.path(), OPTIONS).expect("a whole prefix");
    start.report("open after a kill", None);
    let snapshot = store.snapshot();
    reads(&*snapshot, rows, "reads after the start");
}

fn fill_until_killed(dir: &Path, rows: u64) {
    let store = DiskStore::open(dir, OPTIONS).expect("a new store");
    let mut random = Random(7);
    let mut version = 0;
    let mut fill = Rounds::new("new rows, in random order");
    let rounds = rows / ROUND_ROWS;
    for round in 0..rounds {
        version += 1;
        fill.commit(&store, version, (0..ROUND_ROWS).map(|n| scatter(round * ROUND_ROWS + n)));
    }
    fill.report();
    reads(&*store.snapshot(), rows, "reads");
    let mut update = Rounds::new("updates of random rows");
    for _ in 0..rounds {
        version += 1;
        update.commit(&store, version, (0..ROUND_ROWS).map(|_| scatter(random.below(rows))));
    }
    update.report();
    let mut hot = Rounds::new("updates of the same rows");
    for _ in 0..rounds {
        version += 1;
        hot.commit(&store, version, (0..ROUND_ROWS).map(scatter));
    }
    hot.report();
    reads(&*store.snapshot(), rows, "reads");
    println!("{:<28} {} MiB on disk", "", du(dir) >> 20);
    let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
}

/// Spreads numbers over the keys, one to one.
fn scatter(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn key(n: u64) -> Arc<str> {
    format!("account-{n:016x}").into()
}

struct Rounds {
    name: &'static str,
    rows: u64,
    wall: Duration,
    slowest: Duration,
    cpu: Duration,
    in_writer: Duration,
}

impl Rounds {
    fn new(name: &'static str) -> Rounds {
        let zero = Duration::ZERO;
        Rounds { name, rows: 0, wall: zero, slowest: zero, cpu: zero, in_writer: zero }
    }

    fn commit(&mut self, store: &DiskStore, version: u64, keys: impl Iterator<Item = u64>) {
        let row = |n: u64| {
            let mut row = [0u8; ROW_BYTES];
            let mut random = Random(n ^ version);
            row[..40].fill_with(|| random.below(256) as u8);
            Arc::from(row)
        };
        let keys: std::collections::BTreeSet<u64> = keys.collect();
        let mut keys: Vec<u64> = keys.into_iter().collect();
        keys.sort_unstable_by_key(|n| n.rotate_left(20));
        let rows: Vec<RowChange> = keys.into_iter().map(|n| RowChange { key: key(n), row: Some(row(n)) }).collect();
        self.rows += rows.len() as u64;
        let batch = CheckpointBatch {
            projection: ProjectionName("accounts".into()),
            generation: Generation(1),
            version: Version(version),
            rows,
            next_offsets: Vec::new(),
            sinks: Vec::new(),
            gone_sinks: Vec::new(),
            keep_changes: true,
            settled_by_all: Version(version.saturating_sub(2)),
            dead_letters: Vec::new(),
            plan: (version == 1).then(plan),
            counters: Counters::default(),
        };
        let start = Usage::now();
        // A thread of its own, so that a profile tells the writer from this program.
        std::thread::scope(|scope| {
            let writer = std::thread::Builder::new().name("writer".into());
            let commit = || {
                store.commit(&[batch]).map(drop).expect("it commits");
                thread_cpu_time()
            };
            let writer = writer.spawn_scoped(scope, commit).expect("it starts");
            self.in_writer += writer.join().expect("it ends");
        });
        let (wall, cpu) = start.elapsed();
        self.wall += wall;
        self.slowest = self.slowest.max(wall);
        self.cpu += cpu;
    }

    fn report(&self) {
        println!(
            "{:<28} {:>9.0} rows/s  {:>5.2} us CPU a row, {:.2} in the writer  slowest round {:>5} ms  {:>4} MiB at most",
            self.name,
            self.rows as f64 / self.wall.as_secs_f64(),
            self.cpu.as_secs_f64() * 1e6 / self.rows as f64,
            self.in_writer.as_secs_f64() * 1e6 / self.rows as f64,
            self.slowest.as_millis(),
            peak_mib(),
        );
    }
}

fn reads(snapshot: &dyn Snapshot, rows: u64, name: &str) {
    let mut random = Random(9);
    for (what, found) in [("hit", true), ("miss", false)] {
        let keys: Vec<_> = (0..300_000)
            .map(|_| scatter(random.below(rows)))
            .map(|n| if found { key(n) } else { format!("{}x", key(n)).into() })
            .collect();
        let start = Usage::now();
        for key in &keys {
            assert_eq!(snapshot.row(Generation(1), key).expect("it reads").is_some(), found);
        }
        start.report(&format!("{name}, {what}"), Some(keys.len()));
    }
}

struct Usage {
    at: Instant,
    cpu: Duration,
}

impl Usage {
    fn now() -> Usage {
        Usage { at: Instant::now(), cpu: cpu_time() }
    }

    fn elapsed(&self) -> (Duration, Duration) {
        (self.at.elapsed(), cpu_time().saturating_sub(self.cpu))
    }

    fn report(&self, name: &str, of: Option<usize>) {
        let (wall, cpu) = self.elapsed();
        match of {
            Some(of) => println!("{name:<28} {:>9.0} a second", of as f64 / wall.as_secs_f64()),
            None => {
                println!("{name:<28} {} ms, {} ms CPU, {} MiB at most", wall.as_millis(), cpu.as_millis(), peak_mib())
            }
        }
    }
}

/// Of all threads of this process; in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |n: usize| stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(n)?.parse::<u64>().ok());
    Duration::from_millis(10 * (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)))
}

/// Of this thread.
fn thread_cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn du(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => du(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

fn plan() -> PlanRecord {
    let hash = Fingerprint([1; 32]);
    let hashes = Hashes { source: hash, layout: hash, fold: hash, emit: hash, options: hash };
    PlanRecord { hashes, semantics: 1, text: "plan".into() }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
