//! `test "…" { … }` → records for the log and documents to expect, both typed by the program.
//!
//! What is given becomes the JSON a producer would write; what is expected becomes the JSON the sink would. So a
//! timestamp is compared as a timestamp, and a decimal as its exact text.

use std::sync::Arc;

use crate::language::ast::{self, EventPattern, ExprKind as E, GivenKind, ItemKind, Name, RecordPart, StepKind};
use crate::language::check::Globals;
use crate::language::check::constant::{fold, parse_scalar};
use crate::language::check::context::{Context, EventShape, Where};
use crate::language::check::projection::CheckedProjection;
use crate::language::check::topic::text;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Ty};
use crate::language::resolve::suggest;
use crate::language::span::{FileId, Span};
use crate::language::typed::{self, EventTypeFrom, Expect, ExpectDocument, ExpectRow, FaultClass, GivenEvent};
use crate::value::json::{self, DecimalStyle, Style};
use crate::value::{Value, key};

/// The clock of a test starts at 2026-01-01T00:00:00Z, in microseconds.
const TEST_START: i64 = 1_767_225_600_000_000;

/// How JSON of a test is written.
#[derive(Debug, Clone, Copy)]
struct Wire {
    style: Style,
    /// Fields that are not listed are left out, at every depth.
    partial: bool,
    /// Fields that the type does not know are welcome: no clause uses them.
    open: bool,
}

impl<'a> Globals<'a> {
    /// All tests of all files.
    pub fn tests(
        &mut self,
        files: &'a [ast::File],
        projections: &[(&'a ast::Projection, Option<CheckedProjection>)],
    ) -> Vec<typed::Test> {
        let mut tests = Vec::new();
        for file in files {
            for item in &file.items {
                if let ItemKind::Test(test) = &item.kind {
                    self.refuse_attributes(&item.attributes);
                    if let Some((index, projection)) = self.tested(test, file.id, projections) {
                        tests.push(self.test(test, index, projection, file.id));
                    }
                }
            }
        }
        tests
    }

    /// The projection a test is for, and its index among those that are right.
    fn tested<'p>(
        &mut self,
        test: &ast::Test,
        file: FileId,
        projections: &'p [(&'a ast::Projection, Option<CheckedProjection>)],
    ) -> Option<(usize, &'p CheckedProjection)> {
        let position = match &test.projection {
            Some(name) => {
                let found = projections.iter().position(|(declared, _)| declared.name.text == name.text);
                if found.is_none() {
                    let message = format!("there is no projection `{}`", name.text);
                    let help = suggest(&name.text, "projections", projections.iter().map(|(p, _)| &*p.name.text));
                    let diagnostic = Diagnostic::error(codes::TEST_PROJECTION, message, name.span, "not found");
                    self.report(Diagnostic { help, ..diagnostic });
                }
                found?
            }
            None => {
                let own = projections.iter().enumerate().filter(|(_, (declared, _))| declared.name.span.file == file);
                let own: Vec<usize> = own.map(|(index, _)| index).collect();
                let [only] = own.as_slice() else {
                    let message = "it is not clear which projection this test is for";
                    let diagnostic = Diagnostic::error(codes::TEST_PROJECTION, message, test.name.span, "which one?");
                    self.report(diagnostic.with_help("write `test \"…\" for projection { … }`"));
                    return None;
                };
                *only
            }
        };
        let index = projections[..position].iter().filter(|(_, checked)| checked.is_some()).count();
        projections[position].1.as_ref().map(|checked| (index, checked))
    }

    fn test(&mut self, test: &ast::Test, projection: usize, checked: &CheckedProjection, file: FileId) -> typed::Test {
        let mut inference = Inference::default();
        let context = Context::new(self, &mut inference, file, Where::Test);
        let mut reader = Reader { context, projection: checked };
        let steps = test.steps.iter().filter_map(|step| {
            let kind = reader.step(step)?;
            Some(typed::Step { kind, span: step.span })
        });
        let steps = steps.collect();
        typed::Test { name: test.name.value.as_str().into(), projection, steps, span: test.name.span }
    }
}

/// Reads the steps of one test.
struct Reader<'p, 'c, 'a> {
    context: Context<'c, 'a>,
    projection: &'p CheckedProjection,
}

/// What `@{ … }` says about a record.
#[derive(Debug, Default)]
struct About {
    key: Option<String>,
    headers: Vec<(String, String)>,
    timestamp: Option<i64>,
}

impl Reader<'_, '_, '_> {
    fn step(&mut self, step: &ast::Step) -> Option<typed::StepKind> {
        match &step.kind {
            StepKind::Given { any_order, topic, events } => {
                let topic = match topic {
                    Some(name) => Some(self.topic(name)?),
                    None => None,
                };
                let events = events.iter().filter_map(|event| self.given(event, topic)).collect();
                Some(typed::StepKind::Given { any_order: *any_order, events })
            }
            StepKind::Advance(value) => {
                self.context.globals.refuse(codes::NO_ADVANCE, "`advance` is not supported yet", value.span);
                None
            }
            StepKind::Restart => Some(typed::StepKind::Restart),
            StepKind::Redeliver(count) => {
                Some(typed::StepKind::Redeliver(usize::try_from(*count).unwrap_or(usize::MAX)))
            }
            StepKind::Expect { exactly, sink, rows } => self.expect(*exactly, sink.as_ref(), rows, step.span),
            StepKind::ExpectError { class, text } => self.expect_error(class, text.as_ref()),
            StepKind::ExpectSnapshot { .. } => {
                self.context.globals.refuse(codes::NO_SNAPSHOT, "`expect snapshot` is not supported yet", step.span);
                None
            }
        }
    }

    fn topic(&mut self, name: &Name) -> Option<usize> {
        let topics = &self.projection.typed.topics;
        let found = topics.iter().position(|topic| topic.name == name.text);
        if found.is_none() {
            let message = format!("this projection does not read `{}`", name.text);
            let help = suggest(&name.text, "its topics", topics.iter().map(|topic| &*topic.name));
            let diagnostic = Diagnostic::error(codes::TEST_EVENT, message, name.span, "not after its `from`");
            self.context.report(Diagnostic { help, ..diagnostic });
        }
        found
    }

    fn given(&mut self, given: &ast::Given, topic: Option<usize>) -> Option<GivenEvent> {
        let about = match &given.at {
            Some(at) => self.about(at)?,
            None => About::default(),
        };
        let mut event = GivenEvent {
            topic: 0,
            key: about.key,
            headers: about.headers,
            timestamp: Some(about.timestamp.unwrap_or(TEST_START)),
            value: None,
            span: given.span,
        };
        match &given.kind {
            GivenKind::Event { event: pattern, value } => {
                let (on, shape) = self.named_event(pattern, topic)?;
                event.topic = on;
                self.write_event(&mut event, shape, value)?;
            }
            GivenKind::Anonymous(value) => {
                let on = self.only_topic(topic, given.span)?;
                event.topic = on;
                let shape = self.anonymous_shape(on, given.span)?;
                self.write_event(&mut event, shape, value)?;
            }
            GivenKind::Tombstone(of) => {
                event.topic = self.only_topic(topic, given.span)?;
                event.key = Some(self.plain_text(of)?);
            }
            GivenKind::Raw(raw) => {
                event.topic = self.only_topic(topic, given.span)?;
                event.value = Some(raw.value.clone().into_bytes());
            }
        }
        Some(event)
    }

    /// `@2m`, `@t"…"`, `@{ key: …, headers: { … }, timestamp: t"…" }`.
    fn about(&mut self, at: &ast::Expr) -> Option<About> {
        let mut about = About::default();
        match &at.kind {
            E::Duration(micros) => about.timestamp = Some(TEST_START.saturating_add(*micros)),
            E::Timestamp(_) => about.timestamp = Some(self.timestamp(at)?),
            E::Record(parts) => {
                for part in parts {
                    let RecordPart::Field { name, value } = part else { continue };
                    match (&*name.text, &value.kind) {
                        ("key", _) => about.key = Some(self.plain_text(value)?),
                        ("timestamp", _) => about.timestamp = Some(self.timestamp(value)?),
                        ("headers", E::Record(headers)) => {
                            for header in headers {
                                let RecordPart::Field { name, value } = header else { continue };
                                about.headers.push((name.text.to_string(), self.plain_text(value)?));
                            }
                        }
                        _ => {
                            let message = format!("a record of the log has no `{}` here", name.text);
                            let diagnostic = Diagnostic::error(codes::TEST_EVENT, message, name.span, "not known");
                            self.context
                                .report(diagnostic.with_help("there are `key`, `headers { … }` and `timestamp`"));
                            return None;
                        }
                    }
                }
            }
            _ => {
                let diagnostic =
                    Diagnostic::error(codes::TEST_EVENT, "`@` says when, or with what key", at.span, "not this");
                self.context.report(diagnostic.with_help("write `@2m`, `@t\"…\"` or `@{ key: \"…\" }`"));
                return None;
            }
        }
        Some(about)
    }

    fn timestamp(&mut self, value: &ast::Expr) -> Option<i64> {
        let checked = self.context.expr_as(value, &Ty::Timestamp);
        match fold(&checked.expr) {
            Some(Value::Timestamp(micros)) if !checked.ty.is_error() => Some(micros),
            _ => None,
        }
    }

    /// The text of a scalar: a key, a header.
    fn plain_text(&mut self, value: &ast::Expr) -> Option<String> {
        let checked = self.context.expr(value, None);
        if checked.ty.is_error() {
            return None;
        }
        match fold(&checked.expr) {
            Some(value) if checked.ty.is_scalar() => Some(crate::value::text::of(&value, &checked.ty.settled())),
            _ => {
                let diagnostic =
                    Diagnostic::error(codes::TEST_VALUE, "this is plain text", value.span, "not plain text");
                self.context.report(diagnostic.with_help("write text in quotes"));
                None
            }
        }
    }

    fn only_topic(&mut self, topic: Option<usize>, span: Span) -> Option<usize> {
        if topic.is_some() || self.projection.typed.topics.len() == 1 {
            return Some(topic.unwrap_or(0));
        }
        let diagnostic =
            Diagnostic::error(codes::TEST_EVENT, "it is not clear which topic this is for", span, "which one?");
        self.context.report(diagnostic.with_help("write `given topic { … }`"));
        None
    }

    /// The event's topic and shape.
    fn named_event(&mut self, pattern: &EventPattern, topic: Option<usize>) -> Option<(usize, usize)> {
        let (word, span) = match pattern {
            EventPattern::Event(name) => (name.text.to_string(), name.span),
            EventPattern::Wire(wire) => (wire.value.clone(), wire.span),
            EventPattern::Any(span) => ("*".to_owned(), *span),
            EventPattern::Change { topic, change } => (format!("{}.{}", topic.text, change.text), change.span),
        };
        let shapes = &self.projection.shapes;
        let names = |shape: &EventShape| match pattern {
            EventPattern::Wire(_) => *shape.wire == *word,
            _ => *shape.name == *word,
        };
        let among = |on: usize| topic.is_none_or(|topic| topic == on);
        let found: Vec<(usize, usize)> =
            self.projection.events.iter().copied().filter(|(on, shape)| among(*on) && names(&shapes[*shape])).collect();
        match found.as_slice() {
            [only] => Some(*only),
            [] => {
                let message = format!("this projection reads no event `{word}`");
                let help = suggest(&word, "its events", shapes.iter().map(|shape| &*shape.name));
                let diagnostic = Diagnostic::error(codes::TEST_EVENT, message, span, "not found");
                self.context.report(Diagnostic { help, ..diagnostic });
                None
            }
            _ => {
                let message = format!("`{word}` is in several topics");
                let diagnostic = Diagnostic::error(codes::TEST_EVENT, message, span, "in which one?");
                self.context.report(diagnostic.with_help("write `given topic { … }`"));
                None
            }
        }
    }

    /// The one shape of a topic whose events have no names.
    fn anonymous_shape(&mut self, topic: usize, span: Span) -> Option<usize> {
        let declared = &self.projection.typed.topics[topic];
        if declared.event_type == EventTypeFrom::Single {
            let mut shapes = self.projection.events.iter().filter(|(on, _)| *on == topic);
            if let Some((_, shape)) = shapes.next() {
                return Some(*shape);
            }
        }
        let message = format!("events of topic `{}` have names", declared.name);
        let diagnostic = Diagnostic::error(codes::TEST_EVENT, message, span, "which event is it?");
        self.context.report(diagnostic.with_help("write its name first: `Name { … }`"));
        None
    }

    /// The JSON of an event, with its type where the topic has it.
    fn write_event(&mut self, event: &mut GivenEvent, shape: usize, value: &ast::Expr) -> Option<()> {
        let shape = self.projection.shapes[shape].clone();
        let mut json = Vec::new();
        let E::Record(parts) = &value.kind else {
            self.wrong_value(value.span, "an event is a record", "write `{ field: value }`");
            return None;
        };
        let mut first = Vec::new();
        match &self.projection.typed.topics[event.topic].event_type {
            EventTypeFrom::Header(name) => {
                if !event.headers.iter().any(|(header, _)| **header == **name) {
                    event.headers.push((name.to_string(), shape.wire.to_string()));
                }
            }
            EventTypeFrom::Field(name) => {
                let given =
                    parts.iter().any(|p| matches!(p, RecordPart::Field { name: field, .. } if field.text == *name));
                if !given {
                    first.push((name.clone(), shape.wire.clone()));
                }
            }
            EventTypeFrom::Single => {}
        }
        let style = Style { decimals: DecimalStyle::Numbers, ints_exact: true, ..Style::default() };
        let wire = Wire { style, partial: !shape.declared, open: !shape.declared };
        let skipped = &shape.defaults;
        self.object(
            parts,
            &shape.payload,
            wire,
            value.span,
            &first,
            &|name| skipped.iter().any(|(field, _)| &**field == name),
            &mut json,
        )?;
        event.value = Some(json);
        Some(())
    }

    /// A record as JSON; false fields were reported.
    #[expect(clippy::too_many_arguments, reason = "one recursive writer; the arguments are its surroundings")]
    fn object(
        &mut self,
        parts: &[RecordPart],
        ty: &Ty,
        wire: Wire,
        span: Span,
        first: &[(Arc<str>, Arc<str>)],
        may_miss: &dyn Fn(&str) -> bool,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.push(b'{');
        for (name, value) in first {
            member(name, out);
            json::write_text(value, out);
        }
        let mut right = true;
        let mut given: Vec<&str> = Vec::new();
        for part in parts {
            let RecordPart::Field { name, value } = part else {
                self.wrong_value(span, "a record of a test is written out", "name the fields");
                return None;
            };
            if given.contains(&&*name.text) {
                self.context.globals.field_twice(name);
            }
            given.push(&name.text);
            let field = match ty {
                Ty::Record(record) => match record.field(&name.text) {
                    Some((_, ty)) => ty.clone(),
                    None if wire.open => Ty::Json,
                    None => {
                        self.no_such_field(ty, record.names(), name);
                        right = false;
                        continue;
                    }
                },
                Ty::Map(_, value) => (**value).clone(),
                _ => Ty::Json,
            };
            member(&name.text, out);
            right &= self.value(value, &field, wire, out).is_some();
        }
        out.push(b'}');
        if let (Ty::Record(record), false) = (ty, wire.partial) {
            for (name, ty) in record.fields.iter().filter(|(name, ty)| !ty.is_optional() && !may_miss(name)) {
                if !given.contains(&&**name) {
                    let message = format!("`{name}` is missing");
                    let diagnostic = Diagnostic::error(codes::TEST_VALUE, message, span, format!("no `{name}` here"));
                    self.context.report(diagnostic.with_help(format!("add `{name}: …`, of type `{ty}`")));
                    right = false;
                }
            }
        }
        right.then_some(())
    }

    fn no_such_field<'n>(&mut self, ty: &Ty, fields: impl Iterator<Item = &'n str>, name: &Name) {
        let what = match ty {
            Ty::Record(record) if record.name.is_some() => format!("`{ty}`"),
            _ => "the document".into(),
        };
        let message = format!("{what} has no field `{}`", name.text);
        let help = suggest(&name.text, "fields", fields);
        let diagnostic = Diagnostic::error(codes::TEST_VALUE, message, name.span, "not found");
        self.context.report(Diagnostic { help, ..diagnostic });
    }

    fn value(&mut self, value: &ast::Expr, ty: &Ty, wire: Wire, out: &mut Vec<u8>) -> Option<()> {
        match (&value.kind, ty.required()) {
            (E::Bracketed(inner), _) => self.value(inner, ty, wire, out),
            (E::Record(parts), inner @ (Ty::Record(_) | Ty::Map(..) | Ty::Json | Ty::Var(_))) => {
                self.object(parts, inner, wire, value.span, &[], &|_| false, out)
            }
            (E::Record(parts), Ty::Set(_)) if parts.is_empty() => {
                out.extend_from_slice(b"[]");
                Some(())
            }
            (E::List(items), inner @ (Ty::List(_) | Ty::Set(_) | Ty::Json | Ty::Var(_))) => {
                let element = match inner {
                    Ty::List(element) | Ty::Set(element) => (**element).clone(),
                    _ => Ty::Json,
                };
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(item, &element, wire, out)?;
                }
                out.push(b']');
                Some(())
            }
            (E::String(_), inner) if !matches!(inner, Ty::Text(_) | Ty::Json | Ty::Var(_)) => {
                self.quoted(value, inner, wire, out)
            }
            (_, Ty::Json | Ty::Var(_)) => self.plain(value, None, wire, out),
            _ => self.plain(value, Some(ty), wire, out),
        }
    }

    /// Text for a value that comes as text: a uuid, a time, a decimal, an enum.
    fn quoted(&mut self, value: &ast::Expr, ty: &Ty, wire: Wire, out: &mut Vec<u8>) -> Option<()> {
        let written = text(value)?;
        match parse_scalar(&written, ty) {
            Some(parsed) if ty.is_scalar() => self.write(&parsed, ty, wire, value.span, out),
            _ => {
                let message = format!("\"{written}\" is no `{ty}`");
                self.wrong_value(value.span, &message, &format!("write a value of type `{ty}`"));
                None
            }
        }
    }

    fn plain(&mut self, value: &ast::Expr, ty: Option<&Ty>, wire: Wire, out: &mut Vec<u8>) -> Option<()> {
        let checked = match ty {
            Some(ty) => self.context.expr_as(value, ty),
            None => self.context.expr(value, None),
        };
        if checked.ty.is_error() {
            return None;
        }
        let Some(folded) = fold(&checked.expr) else {
            self.wrong_value(value.span, "a test is made of plain values", "write the value itself");
            return None;
        };
        let wire = if ty.is_none() {
            Wire { style: Style { decimals: DecimalStyle::Numbers, ..wire.style }, ..wire }
        } else {
            wire
        };
        self.write(&folded, &checked.ty.clone(), wire, value.span, out)
    }

    fn write(&mut self, value: &Value<'static>, ty: &Ty, wire: Wire, span: Span, out: &mut Vec<u8>) -> Option<()> {
        match json::write(value, &ty.settled(), wire.style, out) {
            Ok(()) => Some(()),
            Err(json::IntTooLarge(int)) => {
                self.wrong_value(
                    span,
                    &format!("`{int}` is in no document of this sink: it is more than a double holds exactly"),
                    "expect a sink fault instead, or give the sink `ints: \"string\"`",
                );
                None
            }
        }
    }

    fn wrong_value(&mut self, span: Span, message: &str, help: &str) {
        self.context.report(Diagnostic::error(codes::TEST_VALUE, message, span, "not this").with_help(help));
    }

    fn expect(
        &mut self,
        exactly: bool,
        sink: Option<&Name>,
        rows: &[ast::ExpectRow],
        span: Span,
    ) -> Option<typed::StepKind> {
        let sink = self.sink(sink, span)?;
        let rows = rows.iter().filter_map(|row| {
            let key = self.row_key(&row.key)?;
            let document = match &row.document {
                ast::ExpectedDocument::Fields(fields) => ExpectDocument::Fields(self.fields(fields, sink)?),
                ast::ExpectedDocument::Deleted => ExpectDocument::Deleted,
                ast::ExpectedDocument::None => ExpectDocument::None,
            };
            Some(ExpectRow { key, document, span: row.span })
        });
        let rows = rows.collect();
        Some(typed::StepKind::Expect(Expect { exactly, sink, rows }))
    }

    /// The sink by its name, by its connection or by its kind; without a word the first.
    fn sink(&mut self, name: Option<&Name>, span: Span) -> Option<usize> {
        let sinks = &self.projection.typed.sinks;
        let Some(name) = name else {
            if sinks.is_empty() {
                let message = "this projection has no sink to look into";
                let diagnostic = Diagnostic::error(codes::TEST_SINK, message, span, "nothing to expect");
                self.context.report(diagnostic.with_help("add `into cache` to the projection"));
                return None;
            }
            return Some(0);
        };
        let found = sinks.iter().position(|sink| sink.name == name.text).or_else(|| {
            let of_kind = |sink: &&typed::Into| sink.connection == name.text || kind_word(sink.kind) == &*name.text;
            let mut of_kind = sinks.iter().enumerate().filter(|(_, sink)| of_kind(sink));
            let first = of_kind.next().map(|(index, _)| index);
            first.filter(|_| of_kind.next().is_none())
        });
        if found.is_none() {
            let message = format!("this projection has no sink `{}`", name.text);
            let help = suggest(&name.text, "its sinks", sinks.iter().map(|sink| &*sink.name));
            let diagnostic = Diagnostic::error(codes::TEST_SINK, message, name.span, "not found");
            self.context.report(Diagnostic { help, ..diagnostic });
        }
        found
    }

    /// The key text: of one part, or of a list of parts; a text stands for a whole composite key.
    fn row_key(&mut self, value: &ast::Expr) -> Option<String> {
        let parts: Vec<Ty> = self.projection.key.iter().map(|part| part.ty.clone()).collect();
        let written: Vec<&ast::Expr> = match &value.kind {
            E::List(items) => items.iter().collect(),
            _ if parts.len() > 1 => return self.plain_text(value),
            _ => vec![value],
        };
        if written.len() != parts.len() {
            let message = format!("the key has {} parts, and these are {}", parts.len(), written.len());
            self.wrong_value(value.span, &message, "give one value for each part");
            return None;
        }
        let mut values = Vec::new();
        for (written, ty) in written.into_iter().zip(&parts) {
            values.push(self.key_value(written, ty)?);
        }
        let types: Vec<_> = parts.iter().map(Ty::settled).collect();
        let mut out = String::new();
        key::write_key(&values, &types, &mut out);
        Some(out)
    }

    fn key_value(&mut self, written: &ast::Expr, ty: &Ty) -> Option<Value<'static>> {
        if let (Some(text), false) = (text(written), matches!(ty, Ty::Text(_))) {
            let parsed = parse_scalar(&text, ty);
            if parsed.is_none() {
                self.wrong_value(
                    written.span,
                    &format!("\"{text}\" is no `{ty}`, which the key is"),
                    "write such a key",
                );
            }
            return parsed;
        }
        let checked = self.context.expr_as(written, ty);
        if checked.ty.is_error() {
            return None;
        }
        let folded = fold(&checked.expr);
        if folded.is_none() {
            self.wrong_value(written.span, "a key of a test is a plain value", "write the value itself");
        }
        folded
    }

    /// The expected fields, as the sink would write them.
    fn fields(&mut self, fields: &ast::Expr, sink: usize) -> Option<serde_json::Map<String, serde_json::Value>> {
        let E::Record(parts) = &fields.kind else {
            self.wrong_value(fields.span, "a document is a record", "write `{ field: value }`");
            return None;
        };
        let sink = &self.projection.typed.sinks[sink];
        let style = Style {
            decimals: sink.options.decimals,
            ints_as_text: sink.options.ints_as_text,
            ints_exact: false,
            omit_none: sink.options.omit_none,
        };
        let mut types: Vec<(Arc<str>, Ty)> =
            sink.document.iter().map(|(name, expr)| (name.clone(), Ty::of(&expr.ty))).collect();
        if sink.kind == typed::SinkKind::Cosmos && !types.iter().any(|(name, _)| &**name == "id") {
            // The engine gives such a document its id.
            types.push(("id".into(), Ty::TEXT));
        }
        let ty = Ty::record(types);
        let mut json = Vec::new();
        let wire = Wire { style, partial: true, open: false };
        self.object(parts, &ty, wire, fields.span, &[], &|_| true, &mut json)?;
        match serde_json::from_slice(&json) {
            Ok(serde_json::Value::Object(fields)) => Some(fields),
            _ => None,
        }
    }

    fn expect_error(&mut self, class: &Name, text: Option<&ast::Text>) -> Option<typed::StepKind> {
        let known = match &*class.text {
            "decode" => FaultClass::Decode,
            "eval" => FaultClass::Eval,
            "key" => FaultClass::Key,
            "sink" => FaultClass::Sink,
            "late" => {
                self.context.globals.refuse(codes::NO_LATE, "late events are not supported yet", class.span);
                return None;
            }
            other => {
                let message = format!("there is no class of fault `{other}`");
                let help = suggest(other, "classes", ["decode", "eval", "key", "sink"]);
                let diagnostic = Diagnostic::error(codes::ERROR_ACTION, message, class.span, "not known");
                self.context.report(Diagnostic { help, ..diagnostic });
                return None;
            }
        };
        Some(typed::StepKind::ExpectError { class: known, text: text.map(|text| text.value.clone()) })
    }
}

fn member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    json::write_text(name, out);
    out.push(b':');
}

fn kind_word(kind: typed::SinkKind) -> &'static str {
    match kind {
        typed::SinkKind::Cosmos => "cosmos",
        typed::SinkKind::Elasticsearch => "elasticsearch",
        typed::SinkKind::Cache => "cache",
        typed::SinkKind::Redis => "redis",
        typed::SinkKind::Postgres => "postgres",
        typed::SinkKind::Topic => "topic",
    }
}
