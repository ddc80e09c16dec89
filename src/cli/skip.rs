//! `projector skip NAME TOPIC/PARTITION@OFFSET`: gives up the event that a partition has stopped at.

use crate::cli::{Exit, Failure, Global};
use crate::control::access::Access;
use crate::event::RecordPlace;

/// What `--help` says below the arguments.
const HELP: &str = "\
The event is not folded, and counts as skipped; the partition goes on after it. That changes the
documents for good: mending the .proj file keeps the event, `on_error` sets such events aside by rule.

Only the event that the partition has stopped at can be skipped: with any other offset nothing is
done, and the answer says where the partition stands. So a skip that is repeated skips once.
Works while an engine runs, and on the state directory when none does.";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// The event, as `projector status` names it
    #[arg(value_name = "TOPIC/PARTITION@OFFSET", value_parser = place)]
    event: RecordPlace,
}

fn place(text: &str) -> Result<RecordPlace, String> {
    RecordPlace::parse(text)
        .ok_or_else(|| "an event is named TOPIC/PARTITION@OFFSET, such as bank.transactions/0@17".into())
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let Arguments { name, event } = arguments;
    Access::open(&config)?.skip(name, event)?;
    eprintln!("skipped {event}: {name} goes on after it");
    Ok(Exit::Done)
}
