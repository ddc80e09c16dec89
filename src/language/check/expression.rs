//! Expressions → typed trees: literals, names, records, lists, interpolation; the rest by kind in the files beside.

use crate::language::ast::{self, Name, RecordPart, StringPart};
use crate::language::check::context::{Checked, Context, Where, error_at};
use crate::language::check::facts::Fact;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{RecordTy, Ty};
use crate::language::resolve::{ValueDecl, suggest};
use crate::language::span::Span;
use crate::language::typed::{Expr, ExprKind};
use crate::value::{Decimal, Value, date, timestamp};

use std::sync::Arc;

impl Context<'_, '_> {
    /// Checks an expression where a `want` is needed.
    pub fn expr_as(&mut self, expr: &ast::Expr, want: &Ty) -> Checked {
        let checked = self.expr(expr, Some(want));
        self.coerce(checked, want)
    }

    /// Checks an expression. `want` is a hint for literals that have no type of their own.
    pub fn expr(&mut self, expr: &ast::Expr, want: Option<&Ty>) -> Checked {
        self.deeper(expr.span, |context| context.expr_kind(expr, want))
    }

    fn expr_kind(&mut self, expr: &ast::Expr, want: Option<&Ty>) -> Checked {
        use ast::ExprKind as E;
        let span = expr.span;
        match &expr.kind {
            E::None => self.constant(Value::None, Ty::None, span),
            E::Bool(value) => self.constant(Value::Bool(*value), Ty::Bool, span),
            E::Int(digits) => self.int(digits, span),
            E::Decimal(text) => self.decimal(text, span),
            E::Float(text) => self.float(text, span),
            E::Duration(micros) => self.constant(Value::Duration(*micros), Ty::Duration, span),
            E::Timestamp(text) => self.timestamp(text, span),
            E::Date(text) => self.date(text, span),
            E::String(parts) => self.string(parts, span),
            E::Name(name) => self.name(name),
            E::Payload(_) | E::TypeName(_) => self.chain(expr),
            E::Field { .. } | E::OptionalField { .. } | E::Index { .. } | E::Unwrap(_) => self.chain(expr),
            E::Call { callee, arguments } => match &callee.kind {
                E::Name(name) => self.call(name, arguments, span),
                E::Field { .. } | E::OptionalField { .. } => self.chain(expr),
                _ => self.not_callable(callee.span),
            },
            E::Negate(inner) => self.negate(inner, span),
            E::Not(inner) => {
                let inner = self.condition(inner);
                self.node(ExprKind::Not(Box::new(inner.expr)), Ty::Bool, span)
            }
            E::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, want, span),
            E::If { condition, then, otherwise } => self.if_else(condition, then, otherwise, want, span),
            E::Match { subject, arms } => self.match_value(subject, arms, want, span),
            E::Record(parts) => self.record(parts, want, span),
            E::List(items) => self.list(items, want, span),
            E::Lambda { .. } => {
                let diagnostic =
                    Diagnostic::error(codes::LAMBDA_NOT_HERE, "a lambda is only an argument", span, "not here");
                self.wrong(diagnostic.with_help("give it to a function such as `.map(…)`"))
            }
            E::Bracketed(inner) => self.expr(inner, want),
            E::Error => error_at(span),
        }
    }

    /// Checks a condition: a `bool`.
    pub fn condition(&mut self, expr: &ast::Expr) -> Checked {
        self.expr_as(expr, &Ty::Bool)
    }

    fn not_callable(&mut self, span: Span) -> Checked {
        let diagnostic =
            Diagnostic::error(codes::NO_FUNCTION_NAMED, "only functions are called", span, "not a function");
        self.wrong(diagnostic.with_help("take the brackets away"))
    }

    fn int(&mut self, digits: &str, span: Span) -> Checked {
        match digits.parse() {
            Ok(value) => self.constant(Value::Int(value), Ty::Int, span),
            Err(_) => self.bad_literal(span, "an int has at most 64 bits", "use a decimal, as in `1.0`"),
        }
    }

    fn decimal(&mut self, text: &str, span: Span) -> Checked {
        let places = text.split_once('.').map_or(0, |(_, places)| places.len());
        match (Decimal::parse(text), u8::try_from(places)) {
            (Ok(value), Ok(places)) => {
                let value = value.rescale(places).unwrap_or(value);
                self.constant(Value::Decimal(value), Ty::Decimal(Some(places)), span)
            }
            _ => self.bad_literal(span, "a decimal has at most 38 digits, 28 of them after the point", "shorten it"),
        }
    }

    fn float(&mut self, text: &str, span: Span) -> Checked {
        match text.trim_end_matches('f').parse::<f64>() {
            Ok(value) if value.is_finite() => self.constant(Value::Float(value), Ty::Float, span),
            _ => self.bad_literal(span, "this float is too large", "a float reaches about 1.8e308"),
        }
    }

    fn timestamp(&mut self, text: &str, span: Span) -> Checked {
        match timestamp::parse(text) {
            Some(micros) => self.constant(Value::Timestamp(micros), Ty::Timestamp, span),
            None => self.bad_literal(span, "this is no timestamp", "write t\"2026-01-31T10:00:00Z\""),
        }
    }

    fn date(&mut self, text: &str, span: Span) -> Checked {
        match date::parse(text) {
            Some(days) => self.constant(Value::Date(days), Ty::Date, span),
            None => self.bad_literal(span, "this is no date", "write d\"2026-01-31\""),
        }
    }

    fn bad_literal(&mut self, span: Span, message: &str, help: &str) -> Checked {
        self.wrong(Diagnostic::error(codes::BAD_LITERAL, message, span, "this value").with_help(help))
    }

    fn string(&mut self, parts: &[StringPart], span: Span) -> Checked {
        if parts.iter().all(|part| matches!(part, StringPart::Text(_))) {
            let texts = parts.iter().filter_map(|part| match part {
                StringPart::Text(text) => Some(text.as_str()),
                StringPart::Expr(_) => None,
            });
            return self.constant(Value::text(texts.collect::<String>()), Ty::TEXT, span);
        }
        let mut pieces = Vec::new();
        for part in parts {
            pieces.push(match part {
                StringPart::Text(text) => self.constant(Value::text(text.as_str()), Ty::TEXT, span).expr,
                StringPart::Expr(expr) => self.interpolated(expr),
            });
        }
        self.node(ExprKind::Interpolate(pieces), Ty::TEXT, span)
    }

    fn interpolated(&mut self, expr: &ast::Expr) -> Expr {
        let part = self.expr(expr, None);
        match self.inference.known(&part.ty) {
            ty if ty.is_scalar() => {
                // Whatever is put into text without another use is read as text.
                if let Ty::Var(_) = ty {
                    self.inference.use_as_key(&ty);
                }
                part.expr
            }
            Ty::Optional(_) | Ty::None => self.may_be_missing(part, &Ty::TEXT).expr,
            ty => {
                let message = format!("`{ty}` cannot stand in text");
                let diagnostic = Diagnostic::error(codes::MISMATCH, message, part.expr.span, format!("this is `{ty}`"));
                let help = match ty {
                    Ty::List(_) => "join it first: `.join(\", \")`",
                    _ => "name the part of it that is meant",
                };
                self.wrong(diagnostic.with_help(help)).expr
            }
        }
    }

    /// A lower-case name.
    fn name(&mut self, name: &Name) -> Checked {
        let (word, span) = (&*name.text, name.span);
        if let Some(local) = self.local(word) {
            let (local, ty) = (local.local, local.ty.clone());
            let known = self.facts.is_some() && self.knows(&Fact::Local(local, Vec::new()));
            let ty = if known { ty.required().clone() } else { ty };
            return self.node(ExprKind::Local(local), ty, span);
        }
        if word == "exists" && self.place == Where::Handler {
            return self.node(ExprKind::Exists, Ty::Bool, span);
        }
        if self.place.sees_state() {
            if let Some(field) = self.state.iter().position(|field| &*field.name.text == word) {
                return self.state_field(field, span);
            }
            if let Some(part) = self.key.iter().position(|part| &*part.name.text == word) {
                let ty = self.key[part].ty.clone();
                return self.node(ExprKind::Key(part), ty, span);
            }
        }
        match self.globals.names.scope(self.file).values.get(word).copied() {
            Some(ValueDecl::Const { name, .. }) => match self.globals.constant(name) {
                Some((value, ty)) => self.constant(value, ty, span),
                None => error_at(span),
            },
            Some(ValueDecl::Fn(_)) => {
                let message = format!("`{word}` is a function");
                let diagnostic = Diagnostic::error(codes::UNKNOWN_NAME, message, span, "a value is needed here");
                self.wrong(diagnostic.with_help(format!("call it: `{word}(…)`")))
            }
            Some(ValueDecl::Param(_)) => error_at(span),
            None => self.unknown_name(name),
        }
    }

    fn state_field(&mut self, position: usize, span: Span) -> Checked {
        let field = &self.state[position];
        let (index, ty) = (field.index, field.ty.clone());
        let kind = ExprKind::State(index);
        let reached = self.facts.is_some();
        if reached && self.knows(&Fact::State(index, Vec::new())) {
            return self.node(kind, ty.required().clone(), span);
        }
        let assigned = self.facts.as_ref().is_none_or(|facts| facts.assigned.contains(&index));
        let unset = field.default.is_none() && !ty.is_optional() && !assigned && !self.knows(&Fact::Exists);
        if self.place == Where::Handler && unset && !matches!(ty, Ty::Var(_)) {
            let (name, declared) = (field.name.text.clone(), field.name.span);
            let message = format!("`{name}` has no value yet when this event is the first of its key");
            self.report(
                Diagnostic::error(codes::READ_BEFORE_SET, message, span, "read here")
                    .with_label(declared, "has no default")
                    .with_help("put `skip if not exists` before it, or give the field a default"),
            );
        }
        self.node(kind, ty, span)
    }

    fn unknown_name(&mut self, name: &Name) -> Checked {
        let (word, span) = (&*name.text, name.span);
        if let Some(replacement) = not_deterministic(word) {
            return self.not_deterministic(word, span, replacement);
        }
        if word == "prev" {
            return self.not_yet(codes::NO_PREV, "`prev` is not supported yet", span);
        }
        if word == "window" {
            return self.not_yet(codes::NO_WINDOW, "`window` is not supported yet", span);
        }
        let message = format!("there is no `{word}` here");
        let diagnostic = Diagnostic::error(codes::UNKNOWN_NAME, message, span, "not found");
        let hidden =
            self.state.iter().any(|field| &*field.name.text == word) || self.key.iter().any(|k| &*k.name.text == word);
        if hidden {
            let message = format!("{} does not see the state", self.place.words());
            let help = match self.place {
                Where::Function => "pass it to the function as an argument".to_owned(),
                _ => format!("a field of the event is written `.{word}`"),
            };
            return self.wrong(Diagnostic { message, code: codes::STATE_NOT_HERE, ..diagnostic }.with_help(help));
        }
        if self.place.sees_payload() && self.events.iter().any(|event| event.fields.iter().any(|(f, _)| &**f == word)) {
            return self.wrong(diagnostic.with_help(format!("a field of the event is written `.{word}`")));
        }
        let candidates: Vec<String> = self.visible_names();
        let help = suggest(word, "names here", candidates.iter().map(String::as_str));
        self.wrong(Diagnostic { help, ..diagnostic })
    }

    fn visible_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.locals[self.visible_from..].iter().map(|local| local.name.to_string()).collect();
        if self.place.sees_state() {
            names.extend(self.state.iter().map(|field| field.name.text.to_string()));
            names.extend(self.key.iter().map(|part| part.name.text.to_string()));
        }
        let values = self.globals.names.scope(self.file).values.iter();
        names.extend(
            values.filter(|(_, decl)| matches!(decl, ValueDecl::Const { .. })).map(|(name, _)| (*name).to_owned()),
        );
        names
    }

    pub fn not_deterministic(&mut self, word: &str, span: Span, replacement: &str) -> Checked {
        let message = format!("`{word}` would give another result on replay");
        self.wrong(
            Diagnostic::error(codes::NOT_DETERMINISTIC, message, span, "folds see only the event")
                .with_help(replacement),
        )
    }

    /// `{ a: 1, b, ..c }`, or the empty set or map.
    fn record(&mut self, parts: &[RecordPart], want: Option<&Ty>, span: Span) -> Checked {
        let want = want.map(|want| self.inference.known(want).required().clone());
        match &want {
            Some(ty @ Ty::Map(key, value)) => return self.map(parts, key, value, ty, span),
            Some(ty @ Ty::Set(_)) if parts.is_empty() => return self.node(ExprKind::Set(Vec::new()), ty.clone(), span),
            _ => {}
        }
        let wanted = match &want {
            Some(Ty::Record(record)) => Some(record.clone()),
            _ => None,
        };
        let mut lets = Vec::new();
        let mut fields: Vec<(Name, Checked)> = Vec::new();
        for part in parts {
            match part {
                RecordPart::Field { name, value } => {
                    let want = wanted.as_ref().and_then(|record| record.field(&name.text)).map(|(_, ty)| ty.clone());
                    let value = match &want {
                        Some(want) => self.expr_as(value, want),
                        None => self.expr(value, None),
                    };
                    self.put_field(&mut fields, name, value);
                }
                RecordPart::Spread(expr) => self.spread(expr, &mut fields, &mut lets),
            }
        }
        let record = match wanted {
            Some(record) => self.ordered(fields, &record, span),
            None => self.as_written(fields, span),
        };
        lets.into_iter().rev().fold(record, |body, (local, value): (usize, Checked)| {
            let ty = body.ty.clone();
            self.node(ExprKind::Let { local, value: Box::new(value.expr), body: Box::new(body.expr) }, ty, span)
        })
    }

    /// A later field takes the place of a spread one; written twice it is a mistake.
    fn put_field(&mut self, fields: &mut Vec<(Name, Checked)>, name: &Name, value: Checked) {
        match fields.iter().position(|(known, _)| known.text == name.text) {
            Some(at) if fields[at].0.span.file == name.span.file && is_spread(&fields[at].1) => fields[at].1 = value,
            Some(_) => self.report(twice(name)),
            None => fields.push((name.clone(), value)),
        }
    }

    fn spread(&mut self, expr: &ast::Expr, fields: &mut Vec<(Name, Checked)>, lets: &mut Vec<(usize, Checked)>) {
        let value = self.expr(expr, None);
        let record = match self.inference.known(&value.ty) {
            Ty::Record(record) => record,
            Ty::Error => return,
            ty => {
                let message = format!("only a record can be spread, and this is `{ty}`");
                self.report(
                    Diagnostic::error(codes::MISMATCH, message, expr.span, "not a record")
                        .with_help("name the fields one by one"),
                );
                return;
            }
        };
        let local = self.new_local();
        for (index, (name, ty)) in record.fields.iter().enumerate() {
            let base = Box::new(self.node(ExprKind::Local(local), value.ty.clone(), expr.span).expr);
            let field = self.node(ExprKind::Field { base, index }, ty.clone(), expr.span);
            let name = Name { text: name.clone(), span: expr.span };
            match fields.iter().position(|(known, _)| known.text == name.text) {
                Some(at) => fields[at].1 = field,
                None => fields.push((name, field)),
            }
        }
        lets.push((local, value));
    }

    fn as_written(&mut self, fields: Vec<(Name, Checked)>, span: Span) -> Checked {
        let types = fields.iter().map(|(name, value)| (name.text.clone(), value.ty.clone())).collect();
        let values = fields.into_iter().map(|(_, value)| value.expr).collect();
        self.node(ExprKind::Record(values), Ty::record(types), span)
    }

    /// The fields in the order of the wanted record; those that are missing must be optional.
    fn ordered(&mut self, mut fields: Vec<(Name, Checked)>, record: &Arc<RecordTy>, span: Span) -> Checked {
        let mut values = Vec::new();
        let mut wrong = false;
        for (name, ty) in &record.fields {
            match fields.iter().position(|(known, _)| known.text == *name) {
                Some(at) => {
                    let (_, value) = fields.remove(at);
                    values.push(self.coerce(value, ty).expr);
                }
                None if ty.is_optional() => values.push(self.constant(Value::None, ty.clone(), span).expr),
                None => {
                    let message = format!("`{name}` is missing from this `{}`", Ty::Record(record.clone()));
                    self.report(
                        Diagnostic::error(codes::RECORD_FIELDS, message, span, format!("no `{name}` here"))
                            .with_help(format!("add `{name}: …`, of type `{ty}`")),
                    );
                    wrong = true;
                }
            }
        }
        for (name, value) in &fields {
            if value.ty.is_error() {
                continue;
            }
            let message = format!("`{}` has no field `{}`", Ty::Record(record.clone()), name.text);
            let diagnostic = Diagnostic::error(codes::RECORD_FIELDS, message, name.span, "not found");
            let help = suggest(&name.text, "fields", record.names());
            self.report(Diagnostic { help, ..diagnostic });
            wrong = true;
        }
        if wrong {
            return error_at(span);
        }
        self.node(ExprKind::Record(values), Ty::Record(record.clone()), span)
    }

    /// `{ other: 1 }` where a map is needed: the names are keys.
    fn map(&mut self, parts: &[RecordPart], key: &Ty, value: &Ty, ty: &Ty, span: Span) -> Checked {
        let mut entries = Vec::new();
        for part in parts {
            match part {
                RecordPart::Field { name, value: expr } => {
                    let Some(key) = self.globals.key_from_name(name, key) else { continue };
                    let key = self.constant(key, ty.clone(), name.span).expr;
                    let value = self.expr_as(expr, value);
                    entries.push((key, value.expr));
                }
                RecordPart::Spread(expr) => {
                    let diagnostic = Diagnostic::error(codes::MISMATCH, "a map is not spread", expr.span, "not here");
                    self.report(diagnostic.with_help("join two maps with `.merge(…)`"));
                }
            }
        }
        self.node(ExprKind::Map(entries), ty.clone(), span)
    }

    fn list(&mut self, items: &[ast::Expr], want: Option<&Ty>, span: Span) -> Checked {
        let want = want.map(|want| self.inference.known(want).required().clone());
        if let Some(Ty::Set(element)) = &want {
            let items = items.iter().map(|item| self.expr_as(item, element).expr).collect();
            return self.node(ExprKind::Set(items), Ty::Set(element.clone()), span);
        }
        let hint = match &want {
            Some(Ty::List(element)) if !matches!(self.inference.known(element), Ty::Never) => Some((**element).clone()),
            _ => None,
        };
        if let Some(element) = hint {
            let items = items.iter().map(|item| self.expr_as(item, &element).expr).collect();
            return self.node(ExprKind::List(items), Ty::list(element), span);
        }
        let checked: Vec<Checked> = items.iter().map(|item| self.expr(item, None)).collect();
        let mut element = Ty::Never;
        for item in &checked {
            element = match self.join(&element, &item.ty, item.expr.span) {
                Some(joined) => joined,
                None => {
                    let message =
                        format!("a list holds values of one type, and this is `{}` after `{element}`", item.ty);
                    let diagnostic =
                        Diagnostic::error(codes::BRANCHES, message, item.expr.span, format!("this is `{}`", item.ty));
                    return self.wrong(diagnostic.with_help("make all elements one type"));
                }
            };
        }
        let items = checked.into_iter().map(|item| self.coerce(item, &element).expr).collect();
        self.node(ExprKind::List(items), Ty::list(element), span)
    }
}

fn is_spread(value: &Checked) -> bool {
    matches!(&value.expr.kind, ExprKind::Field { base, .. } if matches!(base.kind, ExprKind::Local(_)))
}

fn twice(name: &Name) -> Diagnostic {
    let message = format!("field `{}` is there twice", name.text);
    Diagnostic::error(codes::DECLARED_TWICE, message, name.span, "again here").with_help("take one of them out")
}

/// What to use in place of a name that would not replay.
pub(crate) fn not_deterministic(word: &str) -> Option<&'static str> {
    Some(match word {
        "now" | "today" | "current_timestamp" | "clock" => {
            "use `event.timestamp` (when it was written) or a field such as `.at`"
        }
        "random" | "rand" | "uuid_v4" | "new_uuid" => "use `event.id`, which is the same on every replay",
        "env" | "getenv" => "put what differs between environments into projector.toml",
        "http" | "fetch" | "query" => "project the other data from its own topic",
        _ => return None,
    })
}
