//! `on_error { … }` → what each class of fault leads to.

use std::time::Duration;

use crate::language::ast::{self, Argument, ErrorActionKind, ExprKind, Name};
use crate::language::check::Globals;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::resolve::{SourceDecl, suggest};
use crate::language::span::{FileId, Span};
use crate::language::typed::{FaultAction, OnError, SinkFaultAction};

/// Without a word about it, an answer about an item is tried again this often, so far apart.
const RETRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_secs(1);

impl Globals<'_> {
    pub fn on_error(&mut self, entries: &[(Name, ast::ErrorAction)], file: FileId) -> OnError {
        let mut actions = OnError {
            decode: FaultAction::Fail,
            eval: FaultAction::Fail,
            key: FaultAction::Fail,
            sink: SinkFaultAction { retry: Some((RETRIES, BACKOFF)), then: FaultAction::Fail },
        };
        for (index, (class, action)) in entries.iter().enumerate() {
            if entries[..index].iter().any(|(other, _)| other.text == class.text) {
                let message = format!("`{}` is given twice", class.text);
                let diagnostic = Diagnostic::error(codes::OPTION_TWICE, message, class.span, "again here");
                self.report(diagnostic.with_help("take one of them out"));
            }
            match &*class.text {
                "decode" => actions.decode = self.action(action, file),
                "eval" => actions.eval = self.action(action, file),
                "key" => actions.key = self.action(action, file),
                "sink" => actions.sink = self.sink_action(action, file),
                "late" => self.refuse(codes::NO_LATE, "late events are not supported yet", class.span),
                other => {
                    let message = format!("there is no class of fault `{other}`");
                    let help = suggest(other, "classes", ["decode", "eval", "key", "sink"]);
                    let diagnostic = Diagnostic::error(codes::ERROR_ACTION, message, class.span, "not known");
                    self.report(Diagnostic { help, ..diagnostic });
                }
            }
        }
        actions
    }

    fn action(&mut self, action: &ast::ErrorAction, file: FileId) -> FaultAction {
        match &action.kind {
            ErrorActionKind::Fail(arguments) => {
                if let Some(first) = arguments.first() {
                    self.refuse(codes::NO_FAIL_SCOPE, "`fail(…)` with a scope is not supported yet", first.value.span);
                }
                FaultAction::Fail
            }
            ErrorActionKind::Skip => FaultAction::Skip,
            ErrorActionKind::DeadLetter(topic) => self.dead_letter(topic, file),
            ErrorActionKind::Retry { .. } => {
                let message = "only what a sink answers can be tried again; an event stays as it is";
                let diagnostic = Diagnostic::error(codes::ERROR_ACTION, message, action.span, "not here");
                self.report(diagnostic.with_help("use `fail`, `skip` or `dead_letter(topic)`"));
                FaultAction::Fail
            }
        }
    }

    fn sink_action(&mut self, action: &ast::ErrorAction, file: FileId) -> SinkFaultAction {
        let ErrorActionKind::Retry { arguments, then } = &action.kind else {
            return SinkFaultAction { retry: None, then: self.action(action, file) };
        };
        let (mut max, mut backoff) = (RETRIES, BACKOFF);
        for argument in arguments {
            let name = argument.name.as_ref().map(|name| &*name.text);
            match (name, &argument.value.kind) {
                (Some("max"), ExprKind::Int(digits)) => match digits.parse() {
                    Ok(value) => max = value,
                    Err(_) => self.retry_argument(argument, action.span),
                },
                (Some("backoff"), ExprKind::Duration(micros)) if *micros > 0 => {
                    backoff = Duration::from_micros(micros.unsigned_abs());
                }
                _ => self.retry_argument(argument, action.span),
            }
        }
        let then = then.as_ref().map_or(FaultAction::Fail, |then| self.action(then, file));
        SinkFaultAction { retry: Some((max, backoff)), then }
    }

    fn retry_argument(&mut self, argument: &Argument, span: Span) {
        let message = "`retry` takes `max`, a number, and `backoff`, a duration";
        self.report(
            Diagnostic::error(codes::ERROR_ACTION, message, argument.value.span, "not this")
                .with_label(span, "")
                .with_help("write `retry(max: 5, backoff: 1s) then fail`"),
        );
    }

    fn dead_letter(&mut self, topic: &Name, file: FileId) -> FaultAction {
        let scope = self.names.scope(file);
        match scope.sources.get(&*topic.text) {
            Some(SourceDecl::Topic(decl)) => FaultAction::DeadLetter(decl.log_name.value.as_str().into()),
            _ => {
                let topics = scope.sources.iter().filter(|(_, decl)| matches!(decl, SourceDecl::Topic(_)));
                let help = suggest(&topic.text, "topics here", topics.map(|(name, _)| *name))
                    .unwrap_or_else(|| format!("declare it: topic {} = \"dead.letters\"", topic.text));
                let message = format!("there is no topic `{}`", topic.text);
                let diagnostic = Diagnostic::error(codes::UNKNOWN_TOPIC, message, topic.span, "not found");
                self.report(diagnostic.with_help(help));
                FaultAction::Fail
            }
        }
    }
}
