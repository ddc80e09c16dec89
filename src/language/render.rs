//! Diagnostics → text for people, JSON for tools, SARIF for code scanners.

use std::fmt::{self, Display};
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use serde_json::{Value as Json, json};

use crate::language::codes;
use crate::language::diagnostic::{Diagnostic, Severity};
use crate::language::files::Sources;
use crate::language::span::{FileId, Span};

/// How wide rendered text is.
const WIDTH: usize = 120;

/// Shows each diagnostic with its place, its labels under the words they are about, and its fix.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let mut shown = String::new();
        let report = Report::new(diagnostic, sources);
        match handler.render_report(&mut shown, &report) {
            Ok(()) => text.push_str(&format!("{}\n", shown.trim_start_matches('\n'))),
            // A span outside its file cannot be drawn; the words are still true.
            Err(fmt::Error) => text.push_str(&format!("{}\n", line(diagnostic, sources))),
        }
    }
    text
}

/// One line: place, severity, code, message.
pub fn line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = sources.place(diagnostic.span());
    format!("{place}: {}[{}]: {}", word(diagnostic.severity), diagnostic.code, diagnostic.message)
}

/// The diagnostics as a JSON array.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> Json {
    let label = |(span, text): &(Span, String)| {
        let mut label = region(*span, sources);
        label["label"] = json!(text);
        label
    };
    let all = diagnostics.iter().map(|diagnostic| {
        let mut object = region(diagnostic.span(), sources);
        object["code"] = json!(diagnostic.code);
        object["severity"] = json!(word(diagnostic.severity));
        object["message"] = json!(diagnostic.message);
        object["help"] = json!(diagnostic.help);
        object["note"] = json!(diagnostic.note);
        object["labels"] = diagnostic.labels.iter().map(label).collect();
        object
    });
    all.collect()
}

fn region(span: Span, sources: &Sources) -> Json {
    let place = sources.place(span);
    json!({
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
    })
}

/// The diagnostics as a SARIF 2.1.0 log.
pub fn sarif(diagnostics: &[Diagnostic], sources: &Sources) -> Json {
    let mut used: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    used.sort_unstable();
    used.dedup();
    let rules: Vec<Json> = used
        .iter()
        .map(|code| json!({ "id": code, "shortDescription": { "text": codes::meaning(code).unwrap_or(code) } }))
        .collect();
    let results: Vec<Json> = diagnostics.iter().map(|diagnostic| sarif_result(diagnostic, sources)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "projector", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(diagnostic: &Diagnostic, sources: &Sources) -> Json {
    let location = |(span, text): &(Span, String)| {
        let place = sources.place(*span);
        json!({
            "physicalLocation": {
                "artifactLocation": { "uri": place.file },
                "region": {
                    "startLine": place.line,
                    "startColumn": place.column,
                    "endLine": place.end_line,
                    "endColumn": place.end_column,
                },
            },
            "message": { "text": text },
        })
    };
    let mut locations: Vec<Json> = diagnostic.labels.iter().map(location).collect();
    let related = locations.split_off(locations.len().min(1));
    let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}"));
    let text: String = std::iter::once(diagnostic.message.clone()).chain(help).collect();
    json!({
        "ruleId": diagnostic.code,
        "level": word(diagnostic.severity),
        "message": { "text": text },
        "locations": locations,
        "relatedLocations": related,
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A diagnostic as miette draws it: labels of one file under one text, those of other files as related reports.
#[derive(Debug)]
struct Report {
    message: String,
    code: Option<String>,
    severity: Option<miette::Severity>,
    help: Option<String>,
    labels: Vec<LabeledSpan>,
    source: Option<Drawn>,
    related: Vec<Report>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, sources: &Sources) -> Report {
        let main = diagnostic.span().file;
        let (here, elsewhere): (Vec<_>, Vec<_>) = diagnostic.labels.iter().partition(|(span, _)| span.file == main);
        let notes = diagnostic.note.iter().map(|note| format!("note: {note}"));
        let help: Vec<String> = diagnostic.help.iter().cloned().chain(notes).collect();
        Report {
            message: diagnostic.message.clone(),
            code: Some(format!("{}[{}]", word(diagnostic.severity), diagnostic.code)),
            severity: Some(match diagnostic.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            }),
            help: (!help.is_empty()).then(|| help.join("\n")),
            labels: here.into_iter().map(labelled).collect(),
            source: source(main, sources),
            related: elsewhere.into_iter().map(|label| Report::related(label, sources)).collect(),
        }
    }

    fn related(label: &(Span, String), sources: &Sources) -> Report {
        Report {
            message: label.1.clone(),
            code: None,
            severity: Some(miette::Severity::Advice),
            help: None,
            labels: vec![labelled(&(label.0, String::new()))],
            source: source(label.0.file, sources),
            related: Vec::new(),
        }
    }
}

fn labelled((span, text): &(Span, String)) -> LabeledSpan {
    let text = (!text.is_empty()).then(|| text.clone());
    LabeledSpan::new(text, span.start as usize, span.end.saturating_sub(span.start) as usize)
}

fn source(file: FileId, sources: &Sources) -> Option<Drawn> {
    sources.file(file).map(|file| Drawn { name: file.name.clone(), text: file.text.clone() })
}

/// A file as miette reads it. By itself miette counts columns in bytes.
#[derive(Debug)]
struct Drawn {
    name: String,
    text: Arc<str>,
}

impl SourceCode for Drawn {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, lines_before, lines_after)?;
        let bytes = contents.column();
        let line = self.text.get(span.offset().saturating_sub(bytes)..span.offset());
        let column = if lines_before == 0 { line.map_or(bytes, |line| line.chars().count()) } else { bytes };
        let (data, span) = (contents.data(), *contents.span());
        let (line, count) = (contents.line(), contents.line_count());
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, span, line, column, count)))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        self.severity
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let none = self.related.is_empty();
        (!none).then(|| Box::new(self.related.iter().map(|report| report as &dyn miette::Diagnostic)) as Box<_>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::parse::parse;

    fn two_files() -> (Sources, Diagnostic) {
        let mut sources = Sources::default();
        let file = sources.add("a.proj", "const a = 1\nconst b = \"å\" ++ .reason\n");
        let other = sources.add("shared/b.proj", "event X {\n  reason: string?\n}\n");
        let span = |file, start, end| Span { file, start, end };
        let diagnostic =
            Diagnostic::error(codes::SYNTAX, "`.reason` may be missing", span(file, 30, 37), "this is `string?`")
                .with_label(span(other, 20, 27), "declared optional here")
                .with_help(".reason ?? \"no reason\"")
                .with_note("events may lack it");
        (sources, diagnostic)
    }

    #[test]
    fn people_see_places_labels_and_a_fix() {
        let (sources, diagnostic) = two_files();
        let shown = render(std::slice::from_ref(&diagnostic), &sources, false);
        for words in [
            "error[P0001]",
            "`.reason` may be missing",
            "a.proj:2:18",
            "this is `string?`",
            "shared/b.proj:2:11",
            "no reason",
            "note: events",
        ] {
            assert!(shown.contains(words), "{words} in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'));
        assert!(render(std::slice::from_ref(&diagnostic), &sources, true).contains('\u{1b}'));
        assert_eq!(line(&diagnostic, &sources), "a.proj:2:18: error[P0001]: `.reason` may be missing");
    }

    #[test]
    fn tools_see_the_same() {
        let (sources, diagnostic) = two_files();
        let shown = json(std::slice::from_ref(&diagnostic), &sources);
        assert_eq!(shown[0]["line"], 2);
        assert_eq!(shown[0]["end_column"], 25);
        assert_eq!(shown[0]["labels"][1]["file"], "shared/b.proj");
        let log = sarif(&[diagnostic], &sources);
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "P0001");
        assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startColumn"], 18);
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "P0001");
    }

    #[test]
    fn places_at_the_edges_are_drawn() {
        for text in ["", "const x = ", "const x = \"å", "\n\n\n{", "\u{feff}]", "const x = (\t\r\n"] {
            let mut sources = Sources::default();
            let file = sources.add("a.proj", text);
            let (_, diagnostics) = parse(file, text);
            let shown = render(&diagnostics, &sources, false);
            assert!(diagnostics.is_empty() || shown.contains("a.proj"), "{text:?}: {shown}");
        }
    }
}
