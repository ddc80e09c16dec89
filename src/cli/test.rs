//! `projector test PATH...`: runs the test blocks of the files in memory.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::check::counted;
use crate::cli::{Exit, Failure};
use crate::control::files;
use crate::language::compile;
use crate::language::files::Sources;
use crate::language::render;
use crate::language::span::Span;
use crate::language::typed;
use crate::testing::blocks::{self, Difference, Tests};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// .proj files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only the tests whose name, or whose projection's name, contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How to print the outcome
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Of the orders that are drawn when `given any_order` has too many to try all
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
}

/// A test that was run.
struct Outcome<'t> {
    test: &'t typed::Test,
    projection: &'t str,
    result: Result<(), Box<blocks::Failure>>,
    took: Duration,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = files::read(&arguments.paths).map_err(Failure::usage)?;
    let (program, diagnostics) = compile(&loaded);
    let Some(program) = program else {
        eprint!("{}", render::render(&diagnostics, &loaded.sources, std::io::stderr().is_terminal()));
        return Err(Failure::new(Exit::FilesWrong, "the files are wrong, so no test was run"));
    };
    let tests = Tests::of(&program, arguments.seed);
    let wanted = |test: &&typed::Test| {
        let projection = &program.projections[test.projection].name;
        arguments.filter.as_ref().is_none_or(|text| test.name.contains(text) || projection.contains(text))
    };
    let mut report = Report::new(arguments.format, &loaded.sources);
    for test in program.tests.iter().filter(wanted) {
        let started = Instant::now();
        let result = tests.run(test);
        let projection = &program.projections[test.projection].name;
        report.add(Outcome { test, projection, result, took: started.elapsed() })?;
    }
    report.finish(program.tests.len())
}

/// What is printed: at once for people, at the end for tools.
struct Report<'t> {
    format: Format,
    sources: &'t Sources,
    outcomes: Vec<Outcome<'t>>,
}

impl<'t> Report<'t> {
    fn new(format: Format, sources: &'t Sources) -> Report<'t> {
        Report { format, sources, outcomes: Vec::new() }
    }

    fn add(&mut self, outcome: Outcome<'t>) -> Result<(), Failure> {
        if self.format == Format::Text {
            let mut out = std::io::stdout().lock();
            match &outcome.result {
                Ok(()) => writeln!(out, "ok    {}", outcome.test.name)?,
                Err(failure) => write!(out, "{}", self.failed(&outcome, failure))?,
            }
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    fn finish(self, all: usize) -> Result<Exit, Failure> {
        let failed = self.outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Json => writeln!(out, "{:#}", self.json())?,
            Format::Junit => write!(out, "{}", self.junit())?,
            Format::Text => {
                let left_out = all - self.outcomes.len();
                let filtered = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
                writeln!(out, "{} passed, {failed} failed{filtered}", counted(self.outcomes.len() - failed, "test"))?;
            }
        }
        Ok(if failed == 0 { Exit::Done } else { Exit::FilesWrong })
    }

    /// The name, the place, and what was expected and is there.
    fn failed(&self, outcome: &Outcome<'_>, failure: &blocks::Failure) -> String {
        let mut text = format!("FAIL  {}\n", outcome.test.name);
        for line in self.explained(failure) {
            text.push_str(&format!("      {line}\n"));
        }
        text
    }

    fn explained(&self, failure: &blocks::Failure) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.sources.place(failure.span), failure.message)];
        let width = failure.differences.iter().map(|difference| difference.path.len()).max().unwrap_or(0);
        for Difference { path, expected, got } in &failure.differences {
            let expected = expected.as_deref().unwrap_or("nothing");
            let got = got.as_deref().unwrap_or("nothing");
            let path = if path.is_empty() { "it" } else { path };
            lines.push(format!("  {path:width$}  expected {expected}, got {got}"));
        }
        if let Some((fails, holds)) = &failure.orders {
            lines.push("in this order:".to_owned());
            lines.extend(fails.iter().map(|span| self.event(*span)));
            lines.push("and not in this one:".to_owned());
            lines.extend(holds.iter().map(|span| self.event(*span)));
        }
        lines.extend(failure.faults.iter().map(|fault| format!("a fault was met: {fault}")));
        lines
    }

    /// An event as the file has it, on one line.
    fn event(&self, span: Span) -> String {
        const SHOWN_MAX: usize = 90;
        let words: Vec<&str> = self.sources.text(span).split_whitespace().collect();
        let line = words.join(" ");
        let shown: String = line.chars().take(SHOWN_MAX).collect();
        let more = if shown.len() < line.len() { "…" } else { "" };
        format!("  line {}: {shown}{more}", self.sources.place(span).line)
    }

    fn json(&self) -> serde_json::Value {
        let tests = self.outcomes.iter().map(|outcome| {
            let place = self.sources.place(outcome.test.span);
            let failure = outcome.result.as_ref().err().map(|failure| {
                let place = self.sources.place(failure.span);
                let differences = failure.differences.iter().map(|difference| {
                    json!({ "path": difference.path, "expected": difference.expected, "got": difference.got })
                });
                json!({
                    "file": place.file,
                    "line": place.line,
                    "message": failure.message,
                    "differences": differences.collect::<Vec<_>>(),
                    "faults": failure.faults,
                })
            });
            json!({
                "name": &*outcome.test.name,
                "projection": outcome.projection,
                "file": place.file,
                "line": place.line,
                "passed": outcome.result.is_ok(),
                "seconds": outcome.took.as_secs_f64(),
                "failure": failure,
            })
        });
        tests.collect()
    }

    fn junit(&self) -> String {
        let failed = self.outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"projector\" tests=\"{}\" failures=\"{failed}\">\n",
            self.outcomes.len()
        );
        for outcome in &self.outcomes {
            let (name, class) = (escaped(&outcome.test.name), escaped(outcome.projection));
            let seconds = outcome.took.as_secs_f64();
            text.push_str(&format!("<testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.6}\""));
            match &outcome.result {
                Ok(()) => text.push_str("/>\n"),
                Err(failure) => {
                    let message = escaped(&failure.message);
                    let body = escaped(&self.explained(failure).join("\n"));
                    text.push_str(&format!(">\n<failure message=\"{message}\">{body}</failure>\n</testcase>\n"));
                }
            }
        }
        text.push_str("</testsuite>\n</testsuites>\n");
        text
    }
}

/// Text as XML holds it; characters that XML cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_holds_any_text() {
        assert_eq!(escaped("a<b> & \"c\"\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}");
    }
}
