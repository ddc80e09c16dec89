//! `projector produce TOPIC [FILE|-]`: appends events to a topic, a line each.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cli::{Exit, Failure, Global};
use crate::control::produce::{Produce, ProduceError, produce};
use crate::event::EventTime;
use crate::sources::SourceError;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic, by its name in the log
    topic: String,
    /// Where the events are, one a line [default: standard input]
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Lines are bare values, keyed by this field; without it a line is `{"key", "value", "headers", "timestamp"}`
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// The connection to append to [default: the one that topics are read from]
    #[arg(long, value_name = "CONNECTION")]
    via: Option<String>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let lines: Box<dyn BufRead> = match arguments.file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened = File::open(file);
            let opened =
                opened.map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", file.display())))?;
            Box::new(BufReader::new(opened))
        }
        None => Box::new(io::stdin().lock()),
    };
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let what = Produce {
        topic: &arguments.topic,
        via: arguments.via.as_deref(),
        key_field: arguments.key.as_deref(),
        now: EventTime(since_epoch.as_micros() as i64),
    };
    let appended = produce(&config, what, lines).map_err(|error| Failure::new(exit_of(&error), error))?;
    eprintln!("{appended} events appended to `{}`", arguments.topic);
    Ok(Exit::Done)
}

fn exit_of(error: &ProduceError) -> Exit {
    match error {
        ProduceError::Line { .. } => Exit::FilesWrong,
        ProduceError::Source(SourceError::Unavailable { .. }) => Exit::Unreachable,
        _ => Exit::Usage,
    }
}
