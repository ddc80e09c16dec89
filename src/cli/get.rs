//! `projector get NAME KEY`: one document, from the engine that runs or from the embedded store.

use std::io::Write;

use crate::cli::{Exit, Failure, Global};
use crate::control::access::{Access, DocumentQuery};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// The key; the parts of a composite one are joined by `|`, and `|` and `%` inside a part are written %7C and %25
    key: String,
    /// The sink to read [default: the first of the file]
    #[arg(long)]
    sink: Option<String>,
    /// Wait until the sink shows this offset (needs a running engine)
    #[arg(long, value_name = "TOPIC/PARTITION@OFFSET")]
    wait: Option<String>,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "2s", requires = "wait")]
    timeout: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let query = DocumentQuery {
        sink: arguments.sink.as_deref(),
        wait: arguments.wait.as_deref(),
        timeout: arguments.wait.is_some().then_some(arguments.timeout.as_str()),
    };
    let document = Access::open(&config)?.document(&arguments.name, &arguments.key, query)?;
    let mut out = std::io::stdout().lock();
    out.write_all(document.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(Exit::Done)
}
