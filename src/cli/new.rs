//! `projector new DIR`: writes a small project that runs at once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder to make; it must be new or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// The files of the project.
const FILES: [(&str, &str); 5] = [
    ("projector.toml", include_str!("new/projector.toml")),
    ("projections/account_summary.proj", include_str!("new/account_summary.proj")),
    ("events/transactions/0.jsonl", include_str!("new/transactions.jsonl")),
    ("README.md", include_str!("new/README.md")),
    (".gitignore", ".projector/\nread-models/\n"),
];

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    if !is_free(folder).map_err(|error| unwritable(folder, error))? {
        return Err(Failure::usage(format!("{} is not empty", folder.display())));
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        write(&path, text).map_err(|error| unwritable(&path, error))?;
    }
    let shown = folder.display();
    let mut out = io::stdout().lock();
    writeln!(out, "made {shown}; now:")?;
    writeln!(out, "  cd {shown}")?;
    writeln!(out, "  projector test projections")?;
    writeln!(out, "  projector run projections")?;
    writeln!(out, "  curl http://127.0.0.1:7070/v1/projections/account_summary/documents")?;
    Ok(Exit::Done)
}

/// Whether a folder is not there yet, or has nothing in it.
fn is_free(folder: &Path) -> io::Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::usage(format!("{} cannot be written: {error}", path.display()))
}
