//! `into …` → a sink: its kind, its document, its options by the table of the kind.

use std::sync::Arc;
use std::time::Duration;

use crate::language::ast::{self, ExprKind as E, OptionEntry, OptionValue, StringPart};
use crate::language::check::Globals;
use crate::language::check::context::{Checked, Context, Where};
use crate::language::check::document::DocumentField;
use crate::language::check::event_program::Surroundings;
use crate::language::check::topic::{option_twice, text, word};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Ty};
use crate::language::resolve::{SourceDecl, suggest};
use crate::language::span::Span;
use crate::language::typed::{self, OptionClass, SinkKind, SinkOption, SinkOptions};
use crate::value::json::DecimalStyle;
use crate::value::{Type, Value};

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Text,
    Bool,
    Int,
    Duration,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Text over key and state.
    Expr,
    /// Over the key alone.
    KeyExpr,
    /// One to three of them.
    KeyExprs,
    /// The document's id: over the key, different for different keys.
    Id,
    /// Options of the target's own, as they are.
    Block,
    TextList,
    Topic,
}

use OptionClass::{Identity, Mapping, Tuning};

/// How many levels a partition key has at most.
const LEVELS_MAX: usize = 3;

/// Where a bound of a block is kept.
enum Bound<'o> {
    Count(&'o mut Option<u64>),
    Time(&'o mut Option<Duration>),
}

type Row = (&'static str, OptionClass, Takes);

const COMMON: &[Row] = &[
    ("name", Identity, Takes::Text),
    ("omit_none", Mapping, Takes::Bool),
    ("decimals", Mapping, Takes::OneOf(&["string", "number", "scaled_float"])),
    ("ints", Mapping, Takes::OneOf(&["number", "string"])),
    ("batch", Tuning, Takes::Block),
    ("budget", Tuning, Takes::Block),
    ("adopt", Tuning, Takes::Bool),
];

/// How a target takes decimals unless it is told otherwise: as numbers where it keeps every digit of them.
fn decimals_of(kind: SinkKind) -> DecimalStyle {
    match kind {
        SinkKind::Elasticsearch => DecimalStyle::ScaledNumbers,
        SinkKind::Postgres => DecimalStyle::Numbers,
        SinkKind::Cosmos | SinkKind::Cache | SinkKind::Redis | SinkKind::Topic => DecimalStyle::Text,
    }
}

/// The options of each kind; the required one first.
fn table(kind: SinkKind) -> (Option<&'static str>, &'static [Row]) {
    match kind {
        SinkKind::Cosmos => (
            Some("container"),
            &[
                ("container", Identity, Takes::Text),
                ("database", Identity, Takes::Text),
                ("partition_key", Identity, Takes::KeyExprs),
                ("throughput", Tuning, Takes::Int),
                ("ttl", Mapping, Takes::Duration),
            ],
        ),
        SinkKind::Elasticsearch => (
            Some("index"),
            &[
                ("index", Identity, Takes::Text),
                ("id", Identity, Takes::Id),
                ("routing", Identity, Takes::KeyExpr),
                ("mappings", Mapping, Takes::Block),
                ("settings", Mapping, Takes::Block),
                ("alias", Identity, Takes::Text),
            ],
        ),
        SinkKind::Cache => (None, &[("ttl", Mapping, Takes::Duration), ("max_items", Tuning, Takes::Int)]),
        SinkKind::Redis => (
            None,
            &[
                ("kind", Mapping, Takes::OneOf(&["hash", "set", "sorted_set", "json"])),
                ("key", Identity, Takes::Expr),
                ("member", Mapping, Takes::Expr),
                ("score", Mapping, Takes::Expr),
                ("ttl", Mapping, Takes::Duration),
            ],
        ),
        SinkKind::Postgres => (
            Some("table"),
            &[
                ("table", Identity, Takes::Text),
                ("primary_key", Identity, Takes::TextList),
                ("create", Tuning, Takes::Bool),
                ("columns", Mapping, Takes::Block),
            ],
        ),
        SinkKind::Topic => (
            Some("topic"),
            &[
                ("topic", Identity, Takes::Topic),
                ("key", Mapping, Takes::Expr),
                ("headers", Mapping, Takes::Block),
                ("compression", Tuning, Takes::Text),
                ("linger", Tuning, Takes::Duration),
            ],
        ),
    }
}

const KINDS: &[(&str, SinkKind)] = &[
    ("cosmos", SinkKind::Cosmos),
    ("elasticsearch", SinkKind::Elasticsearch),
    ("cache", SinkKind::Cache),
    ("redis", SinkKind::Redis),
    ("postgres", SinkKind::Postgres),
    ("topic", SinkKind::Topic),
];

impl Globals<'_> {
    pub fn sinks(&mut self, surroundings: &Surroundings, inference: &mut Inference) -> Vec<typed::Into> {
        let mut sinks: Vec<typed::Into> = Vec::new();
        for declared in &surroundings.clauses.sinks {
            let Some(sink) = self.sink(declared, surroundings, inference) else { continue };
            if let Some(other) = sinks.iter().find(|other| other.name == sink.name) {
                let message = format!("two sinks of this projection are called `{}`", sink.name);
                let diagnostic = Diagnostic::error(codes::SINK_TWICE, message, declared.sink.span, "called so too")
                    .with_label(other.span, "called so");
                self.report(diagnostic.with_help("name one of them: `{ name: \"other\" }`"));
            }
            sinks.push(sink);
        }
        sinks
    }

    fn sink(
        &mut self,
        declared: &ast::Into,
        surroundings: &Surroundings,
        inference: &mut Inference,
    ) -> Option<typed::Into> {
        let word = &*declared.sink.text;
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) else {
            let message = format!("there is no sink `{word}`");
            let help = suggest(word, "sinks", KINDS.iter().map(|(name, _)| *name));
            let diagnostic = Diagnostic::error(codes::UNKNOWN_SINK, message, declared.sink.span, "not known");
            self.report(Diagnostic { help, ..diagnostic });
            return None;
        };
        let mut context = Context::new(self, inference, surroundings.clauses.file, Where::Document);
        context.inferring = surroundings.inferring;
        context.state = surroundings.state;
        context.key = surroundings.key;
        context.events = &surroundings.sources.shapes;
        let when = declared.when.as_ref().map(|when| context.membership_of(when));
        let fields = match &declared.document {
            Some(document) => context.document(document),
            None => context.default_document(declared.span),
        };
        context.place = Where::Option;
        let mut options = context.options(*kind, declared);
        if *kind == SinkKind::Cosmos {
            context.cosmos_id(declared, &fields, &mut options);
            context.cosmos_partition(declared, &fields, &options);
        }
        if *kind == SinkKind::Redis {
            context.redis(declared, &mut options);
        }
        let connection: Arc<str> = declared.via.as_ref().map_or(word.into(), |via| via.text.clone());
        let name = options.all.iter().find(|option| &*option.name == "name").and_then(|option| match &option.value {
            typed::OptionValue::Constant(Value::Text(text)) => Some(Arc::from(text.as_str())),
            _ => None,
        });
        Some(typed::Into {
            kind: *kind,
            name: name.unwrap_or_else(|| connection.clone()),
            connection,
            when,
            document: fields.into_iter().map(|field| (field.name, field.expr)).collect(),
            locals: context.locals_used,
            options,
            span: declared.span,
        })
    }
}

impl Context<'_, '_> {
    fn options(&mut self, kind: SinkKind, declared: &ast::Into) -> SinkOptions {
        let mut options = SinkOptions { decimals: decimals_of(kind), ..SinkOptions::default() };
        let (required, own) = table(kind);
        for (index, option) in declared.options.iter().enumerate() {
            if declared.options[..index].iter().any(|other| other.name.text == option.name.text) {
                self.report(option_twice(option));
                continue;
            }
            let row = own.iter().chain(COMMON).find(|(name, ..)| *name == &*option.name.text);
            let Some((name, class, takes)) = row else {
                self.unknown_option(kind, option, own);
                continue;
            };
            if let Some(value) = self.option(*takes, option) {
                self.bounds(kind, option, &value, &mut options);
                self.keep(name, &value, &mut options);
                options.all.push(SinkOption { name: (*name).into(), class: *class, value });
            }
        }
        if let Some(required) = required
            && !declared.options.iter().any(|option| &*option.name.text == required)
        {
            let message = format!("`into {}` needs `{required}`", declared.sink.text);
            let diagnostic =
                Diagnostic::error(codes::OPTION_MISSING, message, declared.sink.span, format!("no `{required}`"));
            let example = if required == "topic" { "events".into() } else { "\"…\"".to_owned() };
            self.report(
                diagnostic.with_help(format!("write `into {} {{ {required}: {example} }}`", declared.sink.text)),
            );
        }
        options
    }

    fn unknown_option(&mut self, kind: SinkKind, option: &OptionEntry, own: &[Row]) {
        let word = &*option.name.text;
        let message = format!("this sink has no option `{word}`");
        let diagnostic = Diagnostic::error(codes::UNKNOWN_OPTION, message, option.name.span, "not known");
        let help = match (kind, word) {
            (SinkKind::Cosmos, "id") => Some("name it in the document: `as { id: … }`".to_owned()),
            _ => suggest(word, "options", own.iter().chain(COMMON).map(|(name, ..)| *name)),
        };
        self.report(Diagnostic { help, ..diagnostic });
    }

    fn option(&mut self, takes: Takes, option: &OptionEntry) -> Option<typed::OptionValue> {
        let name = &*option.name.text;
        let value = match (&option.value, takes) {
            (OptionValue::Block(entries), Takes::Block) => return self.option_block(entries),
            (OptionValue::Expr(value), Takes::Block) if matches!(value.kind, E::Record(_)) => {
                return self.option_record(value);
            }
            (OptionValue::Expr(value), _) => value,
            (OptionValue::Types(_) | OptionValue::Block(_), _) => {
                self.wrong_value(name, takes, option.span);
                return None;
            }
        };
        let constant = |context: &mut Self, ty: &Ty| {
            let place = std::mem::replace(&mut context.place, Where::Constant);
            let checked = context.expr(value, Some(ty));
            context.place = place;
            let fits = checked.ty == *ty;
            let found = super::constant::fold(&checked.expr).filter(|_| fits);
            if found.is_none() && !checked.ty.is_error() {
                context.wrong_value(name, takes, value.span);
            }
            found.map(typed::OptionValue::Constant)
        };
        match takes {
            Takes::Text => constant(self, &Ty::TEXT),
            Takes::Bool => constant(self, &Ty::Bool),
            Takes::Int => constant(self, &Ty::Int).filter(|value| self.is_positive(value, value_span(option))),
            Takes::Duration => {
                constant(self, &Ty::Duration).filter(|value| self.is_positive(value, value_span(option)))
            }
            Takes::OneOf(words) => match text(value) {
                Some(text) if words.contains(&text.as_str()) => Some(typed::OptionValue::Constant(Value::text(text))),
                _ => {
                    self.wrong_value(name, takes, value.span);
                    None
                }
            },
            Takes::Expr => {
                let checked = self.expr(value, None);
                (!checked.ty.is_error()).then_some(typed::OptionValue::Expr(checked.expr))
            }
            Takes::KeyExpr => self.key_expr(value, option).map(typed::OptionValue::Expr),
            Takes::KeyExprs => self.key_exprs(value, option),
            Takes::Id => self.id_expr(value).map(typed::OptionValue::Expr),
            Takes::TextList => self.text_list(value, name),
            Takes::Topic => self.topic_option(value),
            Takes::Block => {
                self.wrong_value(name, takes, value.span);
                None
            }
        }
    }

    fn is_positive(&mut self, value: &typed::OptionValue, span: Span) -> bool {
        let positive = match value {
            typed::OptionValue::Constant(Value::Int(value) | Value::Duration(value)) => *value > 0,
            _ => true,
        };
        if !positive {
            let diagnostic =
                Diagnostic::error(codes::OPTION_VALUE, "this is more than zero", span, "not more than zero");
            self.report(diagnostic.with_help("leave the option out"));
        }
        positive
    }

    fn wrong_value(&mut self, name: &str, takes: Takes, span: Span) {
        let what = match takes {
            Takes::Text => "a text in quotes".to_owned(),
            Takes::Bool => "`true` or `false`".into(),
            Takes::Int => "a whole number".into(),
            Takes::Duration => "a duration, as in `24h`".into(),
            Takes::OneOf(words) => format!("one of \"{}\"", words.join("\", \"")),
            Takes::Expr | Takes::KeyExpr | Takes::Id => "an expression".into(),
            Takes::KeyExprs => format!("an expression, or a list of one to {LEVELS_MAX}"),
            Takes::Block => "a block, as in `{ max_items: 100 }`".into(),
            Takes::TextList => "a list of texts".into(),
            Takes::Topic => "the name of a topic".into(),
        };
        let message = format!("`{name}` takes {what}");
        let diagnostic = Diagnostic::error(codes::OPTION_VALUE, message, span, "not this");
        self.report(diagnostic.with_help(format!("write `{name}: …` with {what}")));
    }

    /// `batch` and `budget`: blocks of known bounds, each more than zero.
    fn bounds(&mut self, kind: SinkKind, option: &OptionEntry, value: &typed::OptionValue, options: &mut SinkOptions) {
        let typed::OptionValue::Block(entries) = value else { return };
        let (batch, budget) = (&mut options.batch, &mut options.budget);
        let mut bounds: Vec<(&str, Takes, Bound<'_>)> = match &*option.name.text {
            "batch" => vec![
                ("max_items", Takes::Int, Bound::Count(&mut batch.items_max)),
                ("max_bytes", Takes::Int, Bound::Count(&mut batch.bytes_max)),
                ("max_wait", Takes::Duration, Bound::Time(&mut batch.wait_max)),
            ],
            "budget" if kind == SinkKind::Cosmos => vec![
                ("documents_per_s", Takes::Int, Bound::Count(&mut budget.documents_per_s)),
                ("request_units_per_s", Takes::Int, Bound::Count(&mut budget.charge_per_s)),
            ],
            "budget" => vec![("documents_per_s", Takes::Int, Bound::Count(&mut budget.documents_per_s))],
            _ => return,
        };
        for (name, value) in entries {
            let known: Vec<&'static str> = bounds.iter().map(|(known, ..)| *known).collect();
            let Some((_, takes, bound)) = bounds.iter_mut().find(|(known, ..)| *known == &**name) else {
                let message = format!("`{}` has no bound `{name}`", option.name.text);
                let diagnostic = Diagnostic::error(codes::UNKNOWN_OPTION, message, option.span, "not known");
                self.report(Diagnostic { help: suggest(name, "bounds", known), ..diagnostic });
                continue;
            };
            match (bound, value) {
                (Bound::Count(bound), typed::OptionValue::Constant(Value::Int(count))) if *count > 0 => {
                    **bound = Some(count.unsigned_abs());
                }
                (Bound::Time(bound), typed::OptionValue::Constant(Value::Duration(micros))) if *micros > 0 => {
                    **bound = Some(Duration::from_micros(micros.unsigned_abs()));
                }
                _ => {
                    let takes = *takes;
                    self.wrong_value(name, takes, option.span);
                }
            }
        }
    }

    /// Options that the engine itself reads.
    fn keep(&mut self, name: &str, value: &typed::OptionValue, options: &mut SinkOptions) {
        use typed::OptionValue::{Constant, Expr};
        match (name, value) {
            ("omit_none", Constant(Value::Bool(value))) => options.omit_none = *value,
            ("adopt", Constant(Value::Bool(value))) => options.adopt = *value,
            ("decimals", Constant(Value::Text(value))) => {
                options.decimals = match value.as_str() {
                    "number" => DecimalStyle::Numbers,
                    "scaled_float" => DecimalStyle::ScaledNumbers,
                    _ => DecimalStyle::Text,
                };
            }
            ("ints", Constant(Value::Text(value))) => options.ints_as_text = value.as_str() == "string",
            ("ttl", Constant(Value::Duration(micros))) => {
                options.ttl = Some(Duration::from_micros(micros.unsigned_abs()));
            }
            ("max_items", Constant(Value::Int(value))) => options.max_items = Some(value.unsigned_abs()),
            ("container" | "index" | "table" | "topic", Constant(Value::Text(value))) => {
                options.place = Some(value.as_str().into());
            }
            ("id", Expr(value)) => options.id = Some(value.clone()),
            _ => {}
        }
    }

    fn option_block(&mut self, entries: &[OptionEntry]) -> Option<typed::OptionValue> {
        let mut values = Vec::new();
        for entry in entries {
            let value = match &entry.value {
                OptionValue::Block(entries) => self.option_block(entries)?,
                OptionValue::Expr(value) => self.free_option(value)?,
                OptionValue::Types(names) => {
                    self.wrong_value(&entry.name.text, Takes::Text, names.first().map_or(entry.span, |name| name.span));
                    return None;
                }
            };
            values.push((entry.name.text.clone(), value));
        }
        Some(typed::OptionValue::Block(values))
    }

    fn option_record(&mut self, value: &ast::Expr) -> Option<typed::OptionValue> {
        let E::Record(parts) = &value.kind else { return None };
        let mut values = Vec::new();
        for part in parts {
            match part {
                ast::RecordPart::Field { name, value } => values.push((name.text.clone(), self.free_option(value)?)),
                ast::RecordPart::Spread(value) => {
                    self.wrong_value("…", Takes::Text, value.span);
                    return None;
                }
            }
        }
        Some(typed::OptionValue::Block(values))
    }

    /// A value in a block of the target's own options: a constant, a list or a block of them, else over key and state.
    fn free_option(&mut self, value: &ast::Expr) -> Option<typed::OptionValue> {
        match &value.kind {
            E::Record(_) => self.option_record(value),
            E::List(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.free_option(item)).collect();
                items.map(typed::OptionValue::List)
            }
            _ => {
                let checked = self.expr(value, None);
                if checked.ty.is_error() {
                    return None;
                }
                Some(match super::constant::fold(&checked.expr) {
                    Some(value) => typed::OptionValue::Constant(value),
                    None => typed::OptionValue::Expr(checked.expr),
                })
            }
        }
    }

    fn text_list(&mut self, value: &ast::Expr, name: &str) -> Option<typed::OptionValue> {
        let items = match &value.kind {
            E::List(items) => items.iter().map(text).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        match items {
            Some(items) => {
                let item = |item: String| typed::OptionValue::Constant(Value::text(item));
                Some(typed::OptionValue::List(items.into_iter().map(item).collect()))
            }
            None => {
                self.wrong_value(name, Takes::TextList, value.span);
                None
            }
        }
    }

    fn topic_option(&mut self, value: &ast::Expr) -> Option<typed::OptionValue> {
        let scope = self.globals.names.scope(self.file);
        let found = match word(value).map(|word| (word, scope.sources.get(word))) {
            Some((_, Some(SourceDecl::Topic(topic)))) => Ok(topic.log_name.value.clone()),
            Some((word, _)) => {
                let topics = scope.sources.iter().filter(|(_, decl)| matches!(decl, SourceDecl::Topic(_)));
                Err((
                    format!("there is no topic `{word}`"),
                    suggest(word, "topics here", topics.map(|(name, _)| *name)),
                ))
            }
            None => Err(("`topic` takes the name of a topic".into(), Some("declare it: topic events = \"…\"".into()))),
        };
        match found {
            Ok(name) => Some(typed::OptionValue::Constant(Value::text(name))),
            Err((message, help)) => {
                let diagnostic = Diagnostic::error(codes::UNKNOWN_TOPIC, message, value.span, "not found");
                self.report(Diagnostic { help, ..diagnostic });
                None
            }
        }
    }

    /// An option that must not change while a row lives: over the key alone.
    fn key_expr(&mut self, value: &ast::Expr, option: &OptionEntry) -> Option<typed::Expr> {
        let state = std::mem::take(&mut self.state);
        let checked = self.expr(value, None);
        self.state = state;
        if checked.ty.is_error() {
            return None;
        }
        if !checked.ty.is_scalar() {
            self.wrong_value(&option.name.text, Takes::Text, value.span);
            return None;
        }
        Some(checked.expr)
    }

    /// One such option, or a list of levels.
    fn key_exprs(&mut self, value: &ast::Expr, option: &OptionEntry) -> Option<typed::OptionValue> {
        let E::List(items) = &value.kind else { return self.key_expr(value, option).map(typed::OptionValue::Expr) };
        if items.is_empty() || items.len() > LEVELS_MAX {
            self.wrong_value(&option.name.text, Takes::KeyExprs, value.span);
            return None;
        }
        let levels: Option<Vec<_>> = items.iter().map(|item| self.key_expr(item, option)).collect();
        Some(typed::OptionValue::List(levels?.into_iter().map(typed::OptionValue::Expr).collect()))
    }

    /// An id: it must hold every part of the key, so that no two rows share it.
    fn id_expr(&mut self, value: &ast::Expr) -> Option<typed::Expr> {
        let parts = self.id_parts(value);
        let all = parts.is_some_and(|parts| (0..self.key.len()).all(|part| parts.contains(&part)));
        if !all {
            let names: Vec<String> = self.key.iter().map(|part| part.name.text.to_string()).collect();
            let template: Vec<String> = names.iter().map(|name| format!("${{{name}}}")).collect();
            let message = "two rows could get the same id here";
            let label = format!("does not hold every part of the key ({})", names.join(", "));
            let help = match names.as_slice() {
                [only] => format!("write `{only}`, `string({only})` or a template with it; or leave the id out"),
                _ => format!("write \"{}\", or leave the id out", template.join("|")),
            };
            self.report(Diagnostic::error(codes::ID_NOT_UNIQUE, message, value.span, label).with_help(help));
            return None;
        }
        if let Some(between) = runs_together(value) {
            let message = "two rows could get the same id here: nothing stands between two parts of the key";
            let label = "where does the first part end?";
            let diagnostic = Diagnostic::error(codes::ID_NOT_UNIQUE, message, between, label);
            self.report(diagnostic.with_help("put something between them, as in \"${a}|${b}\""));
            return None;
        }
        let checked = self.expr(value, None);
        self.as_text(checked)
    }

    fn as_text(&mut self, checked: Checked) -> Option<typed::Expr> {
        match &checked.ty {
            ty if ty.is_error() => None,
            Ty::Text(_) => Some(checked.expr),
            _ => {
                let span = checked.expr.span;
                Some(self.node(typed::ExprKind::Interpolate(vec![checked.expr]), Ty::TEXT, span).expr)
            }
        }
    }

    /// The parts of the key in `k`, `string(k)`, or a template of them; `None` for any other form.
    fn id_parts(&self, value: &ast::Expr) -> Option<Vec<usize>> {
        match &value.kind {
            E::Bracketed(inner) => self.id_parts(inner),
            E::Name(name) => Some(vec![self.key.iter().position(|part| part.name.text == name.text)?]),
            E::Call { callee, arguments } if word(callee) == Some("string") => match arguments.as_slice() {
                [only] => self.id_parts(&only.value),
                _ => None,
            },
            E::String(parts) => {
                let mut found = Vec::new();
                for part in parts {
                    if let StringPart::Expr(expr) = part {
                        found.extend(self.id_parts(expr)?);
                    }
                }
                Some(found)
            }
            _ => None,
        }
    }

    /// `into redis`: a document under a key of its own, or a member of a set.
    fn redis(&mut self, declared: &ast::Into, options: &mut SinkOptions) {
        let given = |name: &str| declared.options.iter().find(|option| &*option.name.text == name);
        let written = |name: &str| match given(name).map(|option| &option.value) {
            Some(OptionValue::Expr(value)) => Some(value),
            _ => None,
        };
        let kind = options.redis_kind();
        if !kind.is_member() {
            for option in ["member", "score"].into_iter().filter_map(given) {
                self.out_of_place(option, "documents of this kind have a key of their own; sets have members");
            }
            if let Some(key) = written("key") {
                options.id = self.id_expr(key);
            }
            return;
        }
        if let Some(option) = given("ttl") {
            self.out_of_place(option, "members of a set do not expire one by one");
        }
        if let Some(document) = &declared.document {
            let message = "a set holds members, not documents";
            let diagnostic =
                Diagnostic::error(codes::OPTION_VALUE, message, document.span, "nothing would be kept of it");
            self.report(diagnostic.with_help("leave `as` out; `member` says what is put into the set"));
        }
        match (kind, given("score")) {
            (typed::RedisKind::SortedSet, None) => {
                let message = "a sorted set needs `score`";
                let diagnostic = Diagnostic::error(codes::OPTION_MISSING, message, declared.sink.span, "no `score`");
                self.report(diagnostic.with_help("write `score: …` with the number to sort by"));
            }
            (typed::RedisKind::Set, Some(option)) => {
                self.out_of_place(option, "members of a plain set have no score: write `kind: \"sorted_set\"`");
            }
            _ => {}
        }
        self.redis_member(declared, written("key"), written("member"));
        for option in &mut options.all {
            let typed::OptionValue::Expr(expr) = &mut option.value else { continue };
            let name = option.name.clone();
            self.redis_value(&name, expr);
        }
    }

    /// `key`, `member` and `score` of a set are a text and a number.
    fn redis_value(&mut self, name: &str, expr: &typed::Expr) {
        let ty = &expr.ty;
        let (fits, wanted) = match name {
            "key" | "member" => (!ty.is_optional() && is_word(ty), "text that is always there"),
            "score" => (
                matches!(ty, Type::Int | Type::Decimal(_) | Type::Float),
                "an int, a decimal or a float that is always there",
            ),
            _ => return,
        };
        if !fits {
            let message = format!("`{name}` takes {wanted}");
            let diagnostic = Diagnostic::error(codes::OPTION_VALUE, message, expr.span, "not this");
            let help = match ty.is_optional() {
                true => "say what stands for a missing value with `??`",
                false => "name the field that is meant",
            };
            self.report(diagnostic.with_help(help));
        }
    }

    /// Two rows must not have one member: key and member together hold every part of the key.
    fn redis_member(&mut self, declared: &ast::Into, key: Option<&ast::Expr>, member: Option<&ast::Expr>) {
        let Some(member) = member else { return };
        let mut held = key.and_then(|key| self.id_parts(key)).unwrap_or_default();
        held.extend(self.id_parts(member).unwrap_or_default());
        if (0..self.key.len()).all(|part| held.contains(&part)) {
            return;
        }
        let names: Vec<String> = self.key.iter().map(|part| part.name.text.to_string()).collect();
        let message = "two rows could be the same member here";
        let label = format!("does not hold every part of the key ({})", names.join(", "));
        let diagnostic = Diagnostic::error(codes::ID_NOT_UNIQUE, message, member.span, label);
        let help = "put every part of the key into `member`, or those that `key` does not hold; what comes from the state \
                    belongs into `key`";
        let diagnostic = diagnostic.with_label(declared.sink.span, "one member for each row");
        self.report(diagnostic.with_help(help));
    }

    fn out_of_place(&mut self, option: &OptionEntry, why: &str) {
        let message = format!("`{}` does not belong here: {why}", option.name.text);
        let diagnostic = Diagnostic::error(codes::OPTION_VALUE, message, option.span, "not for this kind");
        self.report(diagnostic.with_help("leave it out"));
    }

    /// A partition key that is a part of the key stands in a field of the document: Cosmos DB reads it there. Of any other
    /// expression the same is looked at when the sink is bound.
    fn cosmos_partition(&mut self, declared: &ast::Into, fields: &[DocumentField], options: &SinkOptions) {
        let Some(option) = options.all.iter().find(|option| &*option.name == "partition_key") else { return };
        let levels = match &option.value {
            typed::OptionValue::List(levels) => &levels[..],
            one => std::slice::from_ref(one),
        };
        for level in levels {
            let typed::OptionValue::Expr(typed::Expr { kind: typed::ExprKind::Key(part), span, .. }) = level else {
                continue;
            };
            let holds =
                |field: &DocumentField| matches!(field.expr.kind, typed::ExprKind::Key(shown) if shown == *part);
            if !fields.iter().any(holds) {
                let name = self.key[*part].name.text.clone();
                let message = format!("no field of the document holds the partition key `{name}`");
                let diagnostic = Diagnostic::error(codes::PARTITION_KEY, message, *span, "stands in no field")
                    .with_label(declared.sink.span, "this document");
                self.report(diagnostic.with_help(format!("show it: `as {{ {name}, … }}`")));
            }
        }
    }

    /// A Cosmos document that names its `id`: a text that holds the whole key.
    fn cosmos_id(&mut self, declared: &ast::Into, fields: &[DocumentField], options: &mut SinkOptions) {
        let Some(field) = fields.iter().find(|field| &*field.name == "id") else { return };
        let written = declared.document.as_ref().and_then(|document| match &document.kind {
            E::Record(parts) => parts.iter().find_map(|part| match part {
                ast::RecordPart::Field { name, value } if &*name.text == "id" => Some(value),
                _ => None,
            }),
            _ => None,
        });
        if !matches!(field.ty, Ty::Text(_) | Ty::Error | Ty::Var(_)) {
            let span = written.map_or(declared.sink.span, |written| written.span);
            let message = format!("the `id` of a Cosmos document is text, and this is `{}`", field.ty);
            let diagnostic = Diagnostic::error(codes::ID_NOT_TEXT, message, span, format!("this is `{}`", field.ty));
            self.report(
                diagnostic.with_help("write `id: string(…)`, or leave `id` out and the engine makes it from the key"),
            );
            return;
        }
        options.id = match written {
            Some(written) => self.id_expr(written),
            // The default document: `id` is a part of the key, or a field of the state, which is no id.
            None if self.key.len() == 1 && &*self.key[0].name.text == "id" => Some(field.expr.clone()),
            None => {
                let message = "a field `id` of the default document would be the id of the Cosmos document";
                let diagnostic =
                    Diagnostic::error(codes::ID_NOT_UNIQUE, message, declared.sink.span, "shows all fields");
                self.report(diagnostic.with_help("name the fields with `as { … }`"));
                None
            }
        };
    }
}

/// Whether it prints as one word.
fn is_word(ty: &Type) -> bool {
    !matches!(
        ty,
        Type::List(_) | Type::Set(_) | Type::Map(..) | Type::Record(_) | Type::Bytes | Type::Json | Type::None
    )
}

fn value_span(option: &OptionEntry) -> Span {
    match &option.value {
        OptionValue::Expr(value) => value.span,
        _ => option.span,
    }
}

/// The second of two parts of a template that touch.
fn runs_together(value: &ast::Expr) -> Option<Span> {
    let E::String(parts) = &value.kind else { return None };
    parts.windows(2).find_map(|pair| match pair {
        [StringPart::Expr(_), StringPart::Expr(second)] => Some(second.span),
        _ => None,
    })
}
