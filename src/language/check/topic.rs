//! `topic … { … }` → where its events stand and how their types are told.

use std::sync::Arc;

use crate::language::ast::{self, ExprKind, Name, OptionEntry, OptionValue, StringPart};
use crate::language::check::Globals;
use crate::language::check::chain::{Step, take_apart};
use crate::language::codes;
use crate::language::diagnostic::{Diagnostic, near};
use crate::language::resolve::{TopicDecl, TypeDecl, suggest};
use crate::language::typed::{EventTypeFrom, Unknown};

/// A topic as declared.
#[derive(Debug, Clone)]
pub(crate) struct TopicInfo<'a> {
    pub name: &'a Name,
    pub log_name: Arc<str>,
    pub via: Option<Arc<str>>,
    /// `None` when it has neither `type:` nor `single(…)`.
    pub event_type: Option<EventTypeFrom>,
    pub unknown: Unknown,
    /// The events it lists, or its single one.
    pub events: Vec<&'a ast::Event>,
    /// Names it lists that no one declares: their shape comes from use.
    pub undeclared: Vec<&'a Name>,
    /// Names it lists that are no events; that was said.
    pub missing: Vec<Arc<str>>,
    /// The payload path that producers use as the record's key.
    pub keyed_by: Option<Vec<Arc<str>>>,
}

const OPTIONS: &[&str] = &["format", "type", "events", "unknown", "via", "keyed_by"];
const LATER: &[&str] =
    &["envelope", "of", "decimals", "schema", "table", "watermark", "decode", "version", "partitions", "compression"];

impl<'a> Globals<'a> {
    /// Reads a topic's options.
    pub fn topic(&mut self, decl: TopicDecl<'a>) -> TopicInfo<'a> {
        let mut topic = TopicInfo {
            name: decl.name,
            log_name: decl.log_name.value.as_str().into(),
            via: None,
            event_type: None,
            unknown: Unknown::Drop,
            events: Vec::new(),
            undeclared: Vec::new(),
            missing: Vec::new(),
            keyed_by: None,
        };
        if topic.log_name.is_empty() || topic.log_name.contains(['/', '\\']) || topic.log_name.starts_with('.') {
            let diagnostic = Diagnostic::error(
                codes::TOPIC_OPTION,
                "this is no name of a topic",
                decl.log_name.span,
                "the name in the log",
            );
            self.report(diagnostic.with_help("use letters, digits, `.`, `_` and `-`"));
        }
        for (index, option) in decl.options.iter().enumerate() {
            if decl.options[..index].iter().any(|other| other.name.text == option.name.text) {
                self.report(option_twice(option));
                continue;
            }
            self.topic_option(&mut topic, option);
        }
        topic
    }

    fn topic_option(&mut self, topic: &mut TopicInfo<'a>, option: &'a OptionEntry) {
        let span = option.span;
        match (&*option.name.text, &option.value) {
            ("format", OptionValue::Expr(value)) => match word(value) {
                Some("json") => {}
                Some(other) => {
                    let message = format!("format `{other}` is not supported yet");
                    self.refuse(codes::NO_FORMAT, &message, value.span);
                }
                None => self.wrong_option(span, "`format` is one word", "write `format: json`"),
            },
            ("type", OptionValue::Expr(value)) => self.event_type(topic, value),
            ("events", OptionValue::Types(names)) => names.iter().for_each(|name| self.listed_event(topic, name)),
            ("events", OptionValue::Expr(ast::Expr { kind: ExprKind::TypeName(name), .. })) => {
                self.listed_event(topic, name);
            }
            ("unknown", OptionValue::Expr(value)) => match word(value) {
                Some("fail") => topic.unknown = Unknown::Fail,
                Some("drop") => topic.unknown = Unknown::Drop,
                _ => self.wrong_option(span, "`unknown` is `drop` or `fail`", "write `unknown: fail`"),
            },
            ("via", OptionValue::Expr(value)) => match text(value).or_else(|| word(value).map(str::to_owned)) {
                Some(name) => topic.via = Some(name.into()),
                None => self.wrong_option(span, "`via` names a connection", "write `via: \"other\"`"),
            },
            ("keyed_by", OptionValue::Expr(value)) => match payload_path(value) {
                Some(path) => topic.keyed_by = Some(path),
                None => self.wrong_option(span, "`keyed_by` is a field of the events", "write `keyed_by: .account_id`"),
            },
            (name, _) if LATER.contains(&name) => {
                let code = match name {
                    "schema" => codes::NO_SCHEMA,
                    "table" => codes::NO_LOOKUP,
                    "watermark" => codes::NO_WINDOW,
                    "version" => codes::NO_VERSIONS,
                    _ => codes::NO_FORMAT,
                };
                self.refuse(code, &format!("`{name}` of a topic is not supported yet"), option.name.span);
            }
            (name, _) if OPTIONS.contains(&name) => {
                let help = match name {
                    "events" => "write the names of events: `events: OrderPlaced, OrderShipped`",
                    _ => "write one value, without braces",
                };
                self.wrong_option(span, &format!("`{name}` takes another value"), help);
            }
            (name, _) => {
                let message = format!("a topic has no option `{name}`");
                let help = suggest(name, "options", OPTIONS.iter().copied());
                let diagnostic = Diagnostic::error(codes::TOPIC_OPTION, message, option.name.span, "not known");
                self.report(Diagnostic { help, ..diagnostic });
            }
        }
    }

    fn wrong_option(&mut self, span: crate::language::span::Span, message: &str, help: &str) {
        self.report(Diagnostic::error(codes::TOPIC_OPTION, message, span, "not this").with_help(help));
    }

    /// `header("h")`, `field("f")`, `single(Event)`.
    fn event_type(&mut self, topic: &mut TopicInfo<'a>, value: &'a ast::Expr) {
        let help = "write `type: header(\"type\")`, `type: field(\"type\")` or `type: single(Event)`";
        if word(value) == Some("record_name") {
            return self.refuse(codes::NO_FORMAT, "`type: record_name` is not supported yet", value.span);
        }
        let ExprKind::Call { callee, arguments } = &value.kind else {
            return self.wrong_option(value.span, "this does not say where the type stands", help);
        };
        match (word(callee), arguments.as_slice()) {
            (Some("header"), [name]) if text(&name.value).is_some() => {
                topic.event_type = text(&name.value).map(|name| EventTypeFrom::Header(name.into()));
            }
            (Some("field"), [name]) if text(&name.value).is_some() => {
                topic.event_type = text(&name.value).map(|name| EventTypeFrom::Field(name.into()));
            }
            (Some("single"), [ast::Argument { value: ast::Expr { kind: ExprKind::TypeName(name), .. }, .. }]) => {
                topic.event_type = Some(EventTypeFrom::Single);
                self.listed_event(topic, name);
            }
            _ => self.wrong_option(value.span, "this does not say where the type stands", help),
        }
    }

    fn listed_event(&mut self, topic: &mut TopicInfo<'a>, name: &'a Name) {
        let scope = self.names.scope(name.span.file);
        match scope.types.get(&*name.text).copied() {
            Some(TypeDecl::Event(event)) => {
                if topic.events.iter().any(|other| other.name.text == name.text) {
                    let message = format!("`{}` is listed twice", name.text);
                    let diagnostic = Diagnostic::error(codes::DECLARED_TWICE, message, name.span, "again here");
                    return self.report(diagnostic.with_help("take one of them out"));
                }
                topic.events.push(event);
            }
            Some(other) => {
                topic.missing.push(name.text.clone());
                let message = format!("`{}` is no event", name.text);
                self.report(
                    Diagnostic::error(codes::UNKNOWN_EVENT, message, name.span, "an event is needed here")
                        .with_label(other.name().span, "declared here")
                        .with_help(format!("declare `event {} {{ … }}`", name.text)),
                );
            }
            None => {
                let events = scope.types.values().filter(|decl| matches!(decl, TypeDecl::Event(_)));
                match near(&name.text, events.map(|decl| &*decl.name().text)).map(str::to_owned) {
                    Some(similar) => {
                        topic.missing.push(name.text.clone());
                        let message = format!("there is no event `{}`", name.text);
                        let diagnostic = Diagnostic::error(codes::UNKNOWN_EVENT, message, name.span, "not found");
                        self.report(diagnostic.with_help(format!("did you mean `{similar}`?")));
                    }
                    None => {
                        topic.undeclared.push(name);
                        self.report(shape_by_use(name, &name.text));
                    }
                }
            }
        }
    }
}

/// `Placed` is listed or handled, and not declared.
pub(crate) fn shape_by_use(name: &Name, wire: &str) -> Diagnostic {
    let message = format!("event `{}` is not declared, so its shape comes from use", name.text);
    let help = match name.text.starts_with(|first: char| first.is_ascii_uppercase()) {
        true => format!("declare it: event {} {{ … }}", name.text),
        false => format!("declare it: event Name = \"{wire}\" {{ … }}"),
    };
    Diagnostic::warning(codes::SHAPE_BY_USE, message, name.span, "not declared").with_help(help)
}

/// A bare lower-case word.
pub(crate) fn word(expr: &ast::Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(&name.text),
        _ => None,
    }
}

/// A plain text.
pub(crate) fn text(expr: &ast::Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::String(parts) => parts
            .iter()
            .map(|part| match part {
                StringPart::Text(text) => Some(text.as_str()),
                StringPart::Expr(_) => None,
            })
            .collect(),
        _ => None,
    }
}

/// `.a.b` as its names.
pub(crate) fn payload_path(expr: &ast::Expr) -> Option<Vec<Arc<str>>> {
    let (root, steps) = take_apart(expr);
    let ExprKind::Payload(Some(first)) = &root.kind else { return None };
    let rest = steps.iter().map(|step| match step {
        Step::Field { name, .. } => Some(name.text.clone()),
        _ => None,
    });
    std::iter::once(Some(first.text.clone())).chain(rest).collect()
}

pub(crate) fn option_twice(option: &OptionEntry) -> Diagnostic {
    let message = format!("`{}` is given twice", option.name.text);
    Diagnostic::error(codes::OPTION_TWICE, message, option.name.span, "again here").with_help("take one of them out")
}
