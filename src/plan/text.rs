//! The canonical text of a projection, in five sections: what the hashes are taken of, and what a checkpoint keeps.
//!
//! What has no order in the language is sorted (topics, events, slots, state, sinks, options); names that only the author
//! sees (locals, key parts, events, declared types) are left out. A field of an event that nothing uses has no line.

use std::sync::Arc;

use crate::language::typed::{
    EventProgram, EventTypeFrom, FaultAction, Into, OptionClass, Projection, SinkOption, Slot, Topic, Unknown,
};
use crate::plan::print::{Printer, constant_text, optional_text, path_text, quoted, type_text};

/// The text of each part.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub source: String,
    pub layout: String,
    pub fold: String,
    pub emit: String,
    pub options: String,
}

impl Sections {
    pub fn of(projection: &Projection) -> Sections {
        let mut sections = Sections { layout: layout(projection), ..Sections::default() };
        let key: Vec<_> = projection.key.iter().map(|part| type_text(&part.ty)).collect();
        sections.source = format!("key {}\n", key.join(", "));
        let mut topics: Vec<&Topic> = projection.topics.iter().collect();
        topics.sort_by(|a, b| (&a.log_name, &a.via).cmp(&(&b.log_name, &b.via)));
        topics.into_iter().for_each(|topic| sections.topic(topic, projection));
        let mut sinks: Vec<&Into> = projection.sinks.iter().collect();
        sinks.sort_by(|a, b| a.name.cmp(&b.name));
        sinks.into_iter().for_each(|sink| sections.sink(sink, projection));
        sections.options.push_str(&on_error(projection));
        sections
    }

    /// All sections under their names.
    pub fn join(&self, name: &str) -> String {
        let Sections { source, layout, fold, emit, options } = self;
        format!(
            "projection {name}\n[source]\n{source}[layout]\n{layout}[fold]\n{fold}[emit]\n{emit}[options]\n{options}"
        )
    }

    fn topic(&mut self, topic: &Topic, projection: &Projection) {
        self.source.push_str(&format!("topic {}", quoted(&topic.log_name)));
        if let Some(via) = &topic.via {
            self.source.push_str(&format!(" via {}", quoted(via)));
        }
        self.source.push_str(&match &topic.event_type {
            EventTypeFrom::Header(name) => format!(" type header {}\n", quoted(name)),
            EventTypeFrom::Field(name) => format!(" type field {}\n", quoted(name)),
            EventTypeFrom::Single => " type single\n".to_owned(),
        });
        if topic.unknown == Unknown::Fail {
            let mut declared: Vec<_> = topic.declared.iter().map(|name| quoted(name)).collect();
            declared.sort();
            self.source.push_str(&format!("  only {}\n", declared.join(", ")));
        }
        for (event, program) in events(topic) {
            self.program(&format!("{} {event}", quoted(&topic.log_name)), &projection.programs[program], projection);
        }
    }

    fn program(&mut self, title: &str, program: &EventProgram, projection: &Projection) {
        self.source.push_str(&format!("on {title}\n"));
        let mut slots: Vec<_> = program.slots.iter().map(slot).collect();
        slots.sort();
        self.source.extend(slots);
        if let Some(filter) = &program.filter {
            let filter = Printer::expression(projection, Some(program), filter);
            self.source.push_str(&format!("  where {filter}\n"));
        }
        for expr in &program.key {
            let key = Printer::expression(projection, Some(program), expr);
            self.source.push_str(&format!("  key {key}\n"));
        }
        let mut printer = Printer::new(projection, Some(program));
        printer.block(&program.body, 1);
        self.fold.push_str(&format!("on {title}\n{}", printer.out));
    }

    fn sink(&mut self, sink: &Into, projection: &Projection) {
        let title = format!("into {} {:?} via {}\n", quoted(&sink.name), sink.kind, quoted(&sink.connection));
        self.emit.push_str(&title.to_lowercase());
        let mut printer = Printer::new(projection, None);
        if let Some(when) = &sink.when {
            printer.out.push_str("  when ");
            printer.expr(when);
            printer.out.push('\n');
        }
        for (name, expr) in &sink.document {
            printer.out.push_str(&format!("  {}: {} = ", path_text(std::slice::from_ref(name)), type_text(&expr.ty)));
            printer.expr(expr);
            printer.out.push('\n');
        }
        self.emit.push_str(&printer.out);
        self.emit.push_str(&options(sink, projection, |class| class != OptionClass::Tuning));
        let tuning = options(sink, projection, |class| class == OptionClass::Tuning);
        if !tuning.is_empty() {
            self.options.push_str(&format!("into {}\n{tuning}", quoted(&sink.name)));
        }
    }
}

/// The events of a topic that a program is for, by wire name; tombstones last.
pub(super) fn events(topic: &Topic) -> Vec<(String, usize)> {
    let mut events: Vec<_> = match topic.event_type {
        EventTypeFrom::Single => topic.programs.iter().map(|(_, program)| ("single".to_owned(), *program)).collect(),
        _ => topic.programs.iter().map(|(wire, program)| (quoted(wire), *program)).collect(),
    };
    events.sort();
    events.extend(topic.tombstone.map(|program| ("tombstone".to_owned(), program)));
    events
}

fn slot(slot: &Slot) -> String {
    let default = slot.default.as_ref().map(|value| format!(" = {}", constant_text(value, &slot.ty)));
    let optional = optional_text(&slot.optional_at);
    let or_int = if slot.text_or_int { "|int" } else { "" };
    let (path, ty) = (path_text(&slot.path), type_text(&slot.ty));
    format!("  .{path}: {ty}{or_int}{optional}{}\n", default.unwrap_or_default())
}

fn layout(projection: &Projection) -> String {
    let field = |field: &crate::language::typed::StateField| {
        let default = field.default.as_ref().map(|value| format!(" = {}", constant_text(value, &field.ty)));
        format!(
            "{}: {}{}\n",
            path_text(std::slice::from_ref(&field.name)),
            type_text(&field.ty),
            default.unwrap_or_default()
        )
    };
    projection.state.iter().map(field).collect()
}

/// A sink's options of some classes, by name.
fn options(sink: &Into, projection: &Projection, wanted: impl Fn(OptionClass) -> bool) -> String {
    let mut chosen: Vec<&SinkOption> = sink.options.all.iter().filter(|option| wanted(option.class)).collect();
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    let line = |option: &SinkOption| {
        let mut printer = Printer::new(projection, None);
        printer.option(&option.value);
        let class = format!("{:?}", option.class).to_lowercase();
        format!("  {class} {} = {}\n", option.name, printer.out)
    };
    chosen.into_iter().map(line).collect()
}

fn on_error(projection: &Projection) -> String {
    let on_error = &projection.on_error;
    let mut text = String::from("on_error\n");
    for (class, action) in [("decode", &on_error.decode), ("eval", &on_error.eval), ("key", &on_error.key)] {
        text.push_str(&format!("  {class}: {}\n", action_text(action)));
    }
    let retry = on_error.sink.retry.map(|(max, backoff)| format!("retry({max}, {backoff:?}) then "));
    text.push_str(&format!("  sink: {}{}\n", retry.unwrap_or_default(), action_text(&on_error.sink.then)));
    text
}

pub(super) fn action_text(action: &FaultAction) -> String {
    match action {
        FaultAction::Fail => "fail".to_owned(),
        FaultAction::Skip => "skip".to_owned(),
        FaultAction::DeadLetter(topic) => format!("dead_letter({})", quoted(topic as &Arc<str>)),
    }
}
