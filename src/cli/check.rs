//! `projector check PATH...`: says everything that is wrong with the files, and nothing else.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use crate::cli::{Exit, Failure};
use crate::control::files;
use crate::language::compile;
use crate::language::diagnostic::Diagnostic;
use crate::language::render;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// .proj files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people, on stderr
    Text,
    /// An array, on stdout
    Json,
    /// SARIF 2.1.0 for code scanners, on stdout
    Sarif,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = files::read(&arguments.paths).map_err(Failure::usage)?;
    let (program, diagnostics) = compile(&loaded);
    let sources = &loaded.sources;
    let mut out = std::io::stdout().lock();
    match arguments.format {
        Format::Json => writeln!(out, "{:#}", render::json(&diagnostics, sources))?,
        Format::Sarif => writeln!(out, "{:#}", render::sarif(&diagnostics, sources))?,
        Format::Text => {
            eprint!("{}", render::render(&diagnostics, sources, std::io::stderr().is_terminal()));
            match &program {
                Some(program) => {
                    let projections = counted(program.projections.len(), "projection");
                    writeln!(out, "ok: {projections}, {}", counted(program.tests.len(), "test"))?;
                }
                None => {
                    let errors = diagnostics.iter().filter(|diagnostic| Diagnostic::is_error(diagnostic)).count();
                    let warnings = diagnostics.len() - errors;
                    let and = if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
                    eprintln!("{}{and}", counted(errors, "error"));
                }
            }
        }
    }
    Ok(if program.is_some() { Exit::Done } else { Exit::FilesWrong })
}

/// `1 projection`, `2 projections`.
pub(super) fn counted(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}
