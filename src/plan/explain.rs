//! A plan for people: the pipeline of one projection, operator by operator, as `projector explain` prints it.

use std::fmt::Write;
use std::sync::Arc;

use crate::language::typed::{
    EventProgram, EventTypeFrom, Into, OptionClass, OptionValue, Projection, Stmt, StmtKind, Topic, Unknown,
};
use crate::plan::print::{Printer, constant_text, path_text, type_text};
use crate::plan::text::{action_text, events};
use crate::plan::{Fingerprint, Plan};
use crate::value::{Type, Value, text};

/// The width of the column of names.
const NAME_WIDTH: usize = 10;

/// The pipeline of a projection.
pub fn explain(plan: &Plan) -> String {
    let projection = &plan.projection;
    let mut steps = Steps { out: title(plan), number: 0 };
    let topics: Vec<_> = projection.topics.iter().map(|topic| topic.log_name.to_string()).collect();
    steps.step("source", &topics.join(", "));
    projection.topics.iter().for_each(|topic| steps.step("type", &types(topic, projection)));
    steps.table("decode", projection.topics.iter().flat_map(|topic| decode(topic, projection)));
    steps.table("where", filters(projection));
    let key: Vec<_> = projection.key.iter().map(|part| format!("{}: {}", part.name, type_text(&part.ty))).collect();
    steps.step("key", &key.join(", "));
    steps.step("fold", &fold(projection));
    steps.table(
        "state",
        projection.state.iter().filter(|field| !field.hidden).map(|field| {
            let default = field.default.as_ref().map(|value| format!(" = {}", shown(value, &field.ty)));
            format!("{}: {}{}", field.name, type_text(&field.ty), default.unwrap_or_default())
        }),
    );
    for sink in &projection.sinks {
        steps.step("emit", &emit(sink, projection));
        steps.step("sink", &target(sink));
    }
    steps.step("on_error", &on_error(projection));
    steps.out
}

/// The name and the first bytes of the hashes.
fn title(plan: &Plan) -> String {
    let short =
        |Fingerprint(bytes): Fingerprint| format!("{:02x}{:02x}{:02x}{:02x}", bytes[0], bytes[1], bytes[2], bytes[3]);
    let hashes = plan.hashes;
    format!(
        "{}   source {}  layout {}  fold {}  emit {}  options {}\n",
        plan.projection.name,
        short(hashes.source),
        short(hashes.layout),
        short(hashes.fold),
        short(hashes.emit),
        short(hashes.options)
    )
}

struct Steps {
    out: String,
    number: usize,
}

impl Steps {
    /// A numbered line: `2 type      header "type": …`.
    fn step(&mut self, name: &str, text: &str) {
        self.number += 1;
        let number = self.number;
        writeln!(self.out, "{number:>2} {name:NAME_WIDTH$}{text}").expect("writing to a string cannot fail");
    }

    /// A numbered line and more below it, if there is anything to say.
    fn table(&mut self, name: &str, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            if index == 0 {
                self.step(name, &line);
            } else {
                writeln!(self.out, "   {:NAME_WIDTH$}{line}", "").expect("writing to a string cannot fail");
            }
        }
    }
}

/// Where the type stands, how many are kept, and which are dropped.
fn types(topic: &Topic, projection: &Projection) -> String {
    let place = match &topic.event_type {
        EventTypeFrom::Header(name) => format!("header {name:?}"),
        EventTypeFrom::Field(name) => format!("field {name:?}"),
        EventTypeFrom::Single => return format!("{}: one type", topic.log_name),
    };
    let kept = topic.programs.len();
    let dropped: Vec<&str> = topic
        .declared
        .iter()
        .filter(|name| !topic.programs.iter().any(|(wanted, _)| wanted == *name))
        .map(|name| &**name)
        .collect();
    let mut text = format!("{place}: {kept} of {} types kept", kept + dropped.len());
    if projection.topics.len() > 1 {
        text.insert_str(0, &format!("{}: ", topic.log_name));
    }
    if !dropped.is_empty() {
        text.push_str(&format!("; {} dropped before decode ({})", dropped.len(), dropped.join(", ")));
    }
    if topic.unknown == Unknown::Fail {
        text.push_str("; any other is a fault");
    }
    text
}

/// The fields decoded for each event.
fn decode(topic: &Topic, projection: &Projection) -> Vec<String> {
    let line = |(event, program): (String, usize)| {
        let program = &projection.programs[program];
        let mut fields: Vec<_> = program.slots.iter().map(|slot| field_text(&slot.path, &slot.ty)).collect();
        fields.sort();
        fields.dedup();
        let name =
            if event == "tombstone" { format!("{} tombstone", topic.log_name) } else { program.event.to_string() };
        let used = fields.len();
        match (used, program.declared_fields) {
            (0, None) => format!("json  {name}: nothing"),
            (0, Some(all)) => format!("json  {name}: nothing   (0 of {all} fields)"),
            (_, None) => format!("json  {name}: {}   ({used} fields)", fields.join(" ")),
            (_, Some(all)) => format!("json  {name}: {}   ({} of {all} fields)", fields.join(" "), roots(program)),
        }
    };
    events(topic).into_iter().map(line).collect()
}

/// How many top-level fields are used.
fn roots(program: &EventProgram) -> usize {
    let mut roots: Vec<_> = program.slots.iter().filter_map(|slot| slot.path.first()).collect();
    roots.sort();
    roots.dedup();
    roots.len()
}

/// `lines[].{sku qty price}`.
fn field_text(path: &[Arc<str>], ty: &Type) -> String {
    let name = if path.is_empty() { ".".to_owned() } else { path_text(path) };
    format!("{name}{}", shape(ty))
}

fn shape(ty: &Type) -> String {
    match ty.required() {
        Type::List(element) | Type::Set(element) => match shape(element) {
            inner if inner.is_empty() => "[]".to_owned(),
            inner => format!("[]{inner}"),
        },
        Type::Record(record) => {
            let fields: Vec<_> =
                record.fields.iter().map(|field| format!("{}{}", field.name, shape(&field.ty))).collect();
            format!(".{{{}}}", fields.join(" "))
        }
        _ => String::new(),
    }
}

/// `where`, once if all events share it.
fn filters(projection: &Projection) -> Vec<String> {
    let text = |program: &EventProgram| {
        program.filter.as_ref().map(|filter| Printer::expression(projection, Some(program), filter))
    };
    let mut filters: Vec<_> = projection.programs.iter().filter_map(text).collect();
    filters.dedup();
    filters
}

fn fold(projection: &Projection) -> String {
    let statements: usize = projection.programs.iter().map(|program| count(&program.body)).sum();
    let longest = projection.programs.iter().map(|program| count(&program.body)).max().unwrap_or(0);
    format!("{} programs, {statements} statements, longest {longest}", projection.programs.len())
}

/// Statements at every depth; what only marks that a handler ran is not one.
fn count(statements: &[Stmt]) -> usize {
    let one = |statement: &Stmt| match &statement.kind {
        StmtKind::Touch => 0,
        StmtKind::If { then, otherwise, .. } => 1 + count(then) + count(otherwise),
        StmtKind::Match { arms, .. } => 1 + arms.iter().map(|arm| count(&arm.body)).sum::<usize>(),
        _ => 1,
    };
    statements.iter().map(one).sum()
}

fn emit(sink: &Into, projection: &Projection) -> String {
    let fields: Vec<_> = sink.document.iter().map(|(name, _)| name.to_string()).collect();
    let when = sink.when.as_ref().map(|when| format!(", when {}", Printer::expression(projection, None, when)));
    format!("latest per key{}: {}", when.unwrap_or_default(), fields.join(" "))
}

fn target(sink: &Into) -> String {
    let kind = sink.kind.word();
    let mut text = kind.to_owned();
    if *sink.connection != *kind {
        text.push_str(&format!(" via {}", sink.connection));
    }
    if *sink.name != *sink.connection {
        text.push_str(&format!(" named {:?}", &*sink.name));
    }
    for option in &sink.options.all {
        let class = match option.class {
            OptionClass::Identity | OptionClass::Mapping => "",
            OptionClass::Tuning => " (tuning)",
        };
        if let OptionValue::Constant(value) = &option.value
            && *option.name != *"name"
        {
            text.push_str(&format!("  {} {}{class}", option.name, shown(value, &Type::None)));
        }
    }
    text
}

/// A constant as an author writes it.
fn shown(value: &Value<'_>, ty: &Type) -> String {
    match value {
        Value::Decimal(_) => text::of(value, ty),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Set(items) if items.is_empty() => "{}".to_owned(),
        _ => constant_text(value, ty),
    }
}

fn on_error(projection: &Projection) -> String {
    let on_error = &projection.on_error;
    let retry = on_error.sink.retry.map(|(max, backoff)| format!("retry {max} times from {backoff:?}, then "));
    format!(
        "decode {}, eval {}, key {}, sink {}{}",
        action_text(&on_error.decode),
        action_text(&on_error.eval),
        action_text(&on_error.key),
        retry.unwrap_or_default(),
        action_text(&on_error.sink.then)
    )
}
