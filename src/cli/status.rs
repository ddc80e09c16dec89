//! `projector status`: every projection, from the engine that runs or from the state directory.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use crate::cli::{Exit, Failure, Global};
use crate::control::access::Access;
use crate::control::config::Config;
use crate::serve::report::{MeterReport, PartitionReport, ProjectionReport, SinkReport};

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Empties a terminal and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print it again every second, until interrupted
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    loop {
        print(&config, arguments.format, arguments.watch)?;
        if !arguments.watch {
            return Ok(Exit::Done);
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn print(config: &Config, format: Format, over: bool) -> Result<(), Failure> {
    let reports = Access::open(config)?.projections()?;
    let mut out = std::io::stdout().lock();
    if over && out.is_terminal() {
        out.write_all(CLEAR.as_bytes())?;
    }
    let text = match format {
        Format::Text if reports.is_empty() => {
            eprintln!("no projection has state in {} yet", config.state.dir.display());
            return Ok(());
        }
        Format::Text => reports.iter().map(describe).collect::<Vec<_>>().join("\n"),
        Format::Json => {
            let all = serde_json::json!({ "projections": reports });
            serde_json::to_string_pretty(&all).expect("reports are plain data") + "\n"
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// A projection as a few indented lines.
fn describe(report: &ProjectionReport) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all that is written");
    let state = report.state.replace('_', " ");
    line(match &report.reason {
        Some(reason) => format!("{}  {state}: {reason}", report.name),
        None => format!("{}  {state}", report.name),
    });
    let generation = report.generation.map_or("-".into(), |generation| generation.to_string());
    let age = report.checkpoint_age_ms.map_or(String::new(), |age| format!(", synced {} ago", seconds(age)));
    line(format!("  generation {generation}, version {}{age}", report.version));
    let events = report.events;
    line(format!(
        "  events      {} folded, {} filtered, {} dropped, {} skipped, {} dead letters",
        events.folded, events.filtered, events.dropped, events.skipped, events.dead_letters
    ));
    for text in backup_lines(report) {
        line(text);
    }
    for partition in &report.partitions {
        let lag = match (partition.lag_events, partition.lag_seconds) {
            (Some(0), _) => ", at the end".into(),
            (Some(events), Some(seconds)) => format!(", {events} behind ({seconds} s)"),
            (Some(events), None) => format!(", {events} behind"),
            (None, _) => String::new(),
        };
        let headroom = match (partition.beginning, partition.retention_headroom_events) {
            (Some(beginning), Some(headroom)) if beginning > 0 => format!(", {headroom} ahead of retention"),
            _ => String::new(),
        };
        let PartitionReport { topic, partition: number, next_offset, .. } = partition;
        line(format!("  partition   {topic}/{number} next {next_offset}{lag}{headroom}"));
        if let Some(fault) = &partition.stopped {
            line(format!("    stopped: {}", fault.trim_end().replace('\n', "\n    ")));
        }
    }
    for sink in &report.sinks {
        let state = match (sink.stopped, sink.filled, sink.owed) {
            (true, _, _) => "stopped".into(),
            (_, false, _) => "being filled".into(),
            (_, _, Some(owed)) => owed_keys(owed, sink),
            (_, _, None) => format!("settled up to version {}", sink.settled),
        };
        let trouble = sink.trouble.as_ref().map_or(String::new(), |trouble| format!(": {trouble}"));
        line(format!("  sink        {} {state}{trouble}", sink.name));
        if let Some(metered) = sink.metered.filter(|metered| metered.requests > 0) {
            line(format!("    {}", done(&metered)));
        }
    }
    let stopped = report.partitions.iter().any(|partition| partition.stopped.is_some());
    if stopped || report.sinks.iter().any(|sink| sink.stopped) {
        line(format!("  `projector retry {}` tries again what has stopped", report.name));
    }
    text
}

/// How much a sink is owed, and since when.
fn owed_keys(owed: u64, sink: &SinkReport) -> String {
    let what = match (sink.walks, owed) {
        (true, _) => "owed too many keys to count, found by a walk over the rows".to_owned(),
        (false, 1) => "owed 1 key".to_owned(),
        (false, owed) => format!("owed {owed} keys"),
    };
    let since = sink.owed_for_ms.filter(|ms| *ms >= 1000 && (owed > 0 || sink.walks));
    since.map_or(what.clone(), |ms| format!("{what} for {}", rough(ms / 1000)))
}

/// What a sink did in this process.
fn done(metered: &MeterReport) -> String {
    let MeterReport { requests, documents, bytes, throttled, charge } = metered;
    let mut text = format!("{documents} documents in {requests} requests, {bytes} bytes");
    if *throttled > 0 {
        write!(text, ", throttled {throttled} times").expect("a string takes all that is written");
    }
    if *charge > 0.0 {
        write!(text, ", charged {charge:.1} RU").expect("a string takes all that is written");
    }
    text
}

/// When the last backup was made, and whether one is all that lost state could be had back from.
fn backup_lines(report: &ProjectionReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(at), Some(age)) = (&report.backup_at, report.backup_age_s) {
        lines.push(format!("  backup      {at}, {} ago", rough(age)));
    }
    if report.state_cannot_be_rebuilt == Some(true) {
        let hint = match report.backup_at {
            Some(_) => "what comes after its backup is lost with the state".to_owned(),
            None => format!("`projector backup {} DIRECTORY` keeps it", report.name),
        };
        lines.push(format!("  the log no longer holds all events, so this state could not be rebuilt from it: {hint}"));
    }
    lines
}

/// An age in its largest unit.
fn rough(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
