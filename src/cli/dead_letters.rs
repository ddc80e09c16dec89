//! `projector dead-letters ls|show|redrive`: what was set aside, why, and documents among it written again.

use std::io::Write;

use crate::cli::{Exit, Failure, Global};
use crate::control::access::Access;
use crate::serve::dead_letters::{Bytes, DeadLetterReport};
use crate::serve::redrive::{RedriveOrder, Redriven};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the dead letters of a projection, oldest first, one a line
    Ls {
        /// The projection
        name: String,
        /// Only those with a greater number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u64,
        /// How to print them; json is one object a line
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Write documents again that a sink had given up on, as their rows are now
    ///
    /// Mend what refused them first (a mapping, a column): what is refused again becomes a dead letter again. Dead letters
    /// stay where they are, as a record; writing a document twice changes nothing.
    Redrive {
        /// The projection
        name: String,
        /// Only this dead letter, by its number
        number: Option<u64>,
        /// Only those of this sink
        #[arg(long)]
        sink: Option<String>,
    },
    /// Show one dead letter whole, with its key, headers and value
    Show {
        /// The projection
        name: String,
        /// Its number, as `ls` shows it
        number: u64,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The engine answers pages of at most this many.
const PAGE_MAX: u64 = 1000;

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let access = Access::open(&config)?;
    let mut out = std::io::stdout().lock();
    match &arguments.action {
        Action::Ls { name, after, limit, format } => {
            let (mut after, mut left) = (*after, *limit);
            while left > 0 {
                let page = access.dead_letters(name, after, left.min(PAGE_MAX) as usize)?;
                for letter in &page.dead_letters {
                    writeln!(out, "{}", if *format == Format::Json { json(letter) } else { line(letter) })?;
                }
                let Some(next) = page.next else { break };
                left -= page.dead_letters.len() as u64;
                after = next;
            }
        }
        Action::Redrive { name, number, sink } => {
            let order = RedriveOrder { sink: sink.clone(), number: *number };
            let Redriven { documents, events } = access.redrive(name, &order)?;
            let kept = if events == 0 { String::new() } else { format!("; {events} dead letters are events") };
            eprintln!(
                "{name}: {documents} documents are owed again{kept}: `projector status` shows what became of them"
            );
        }
        Action::Show { name, number, format } => {
            let letter = access.dead_letter(name, *number)?;
            let text = if *format == Format::Json { json(&letter) + "\n" } else { whole(&letter) };
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(Exit::Done)
}

fn json(letter: &DeadLetterReport) -> String {
    serde_json::to_string(letter).expect("a dead letter is plain data")
}

fn line(letter: &DeadLetterReport) -> String {
    let DeadLetterReport { number, topic, partition, offset, class, code, message, .. } = letter;
    let message = message.replace('\n', " ");
    format!("{number}\t{topic}/{partition}@{offset}\t{class}\t{code}\t{message}")
}

fn whole(letter: &DeadLetterReport) -> String {
    let mut lines = vec![
        format!("dead letter {}", letter.number),
        format!("  event    {}/{}@{}", letter.topic, letter.partition, letter.offset),
        format!("  time     {}", letter.time.as_deref().unwrap_or("none")),
        format!("  fault    {} {}: {}", letter.class, letter.code, letter.message),
        format!("  at       {}", letter.at.as_deref().unwrap_or("none")),
        format!("  meant for {}", letter.to),
        format!("  key      {}", shown(letter.key.as_ref())),
    ];
    for (name, value) in &letter.headers {
        lines.push(format!("  header   {}: {}", shown(Some(name)), shown(Some(value))));
    }
    lines.push(format!("  value    {}\n", shown(letter.value.as_ref())));
    lines.join("\n")
}

fn shown(bytes: Option<&Bytes>) -> &str {
    match bytes {
        None => "none",
        Some(Bytes::Text(text)) => text,
        Some(Bytes::Hex { hex }) => hex,
    }
}
