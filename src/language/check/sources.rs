//! `from` and `on` → the event types a projection has, and which handlers each of them runs.

use std::sync::Arc;

use crate::language::ast::{self, EventPattern, Name, StmtKind};
use crate::language::check::Globals;
use crate::language::check::context::EventShape;
use crate::language::check::topic::{TopicInfo, shape_by_use};
use crate::language::codes;
use crate::language::diagnostic::{Diagnostic, near};
use crate::language::infer::{Inference, Ty};
use crate::language::resolve::{SourceDecl, TypeDecl, suggest};
use crate::language::span::{FileId, Span};
use crate::language::typed::EventTypeFrom;

/// One event type of one topic.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Index into [`Sources::topics`].
    pub topic: usize,
    /// Index into [`Sources::shapes`]; `None` for tombstones.
    pub shape: Option<usize>,
    /// Indexes of the handlers it runs, in file order.
    pub handlers: Vec<usize>,
    /// It is one of the topic's types, or named by a handler; an event that no clause wants has no program.
    pub wanted: bool,
}

/// All event types of a projection.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    pub topics: Vec<TopicInfo<'a>>,
    pub shapes: Vec<EventShape>,
    pub units: Vec<Unit>,
}

impl<'a> Globals<'a> {
    /// Finds the event types of a projection. Shapes of undeclared events are open: `inference` gathers their uses.
    pub fn sources(
        &mut self,
        from: &'a [Name],
        handlers: &[&'a ast::On],
        aggregates: bool,
        inference: &mut Inference,
        file: FileId,
    ) -> Sources<'a> {
        let mut sources = Sources::default();
        for name in from {
            self.source_topic(name, &mut sources, file);
        }
        for topic in 0..sources.topics.len() {
            for event in sources.topics[topic].events.clone() {
                let shape = self.event(event);
                self.check_wire(&sources, topic, &shape, event.name.span);
                sources.add(topic, shape);
            }
            for name in sources.topics[topic].undeclared.clone() {
                sources.add(topic, open_shape(name.text.clone(), inference));
            }
        }
        for (index, handler) in handlers.iter().enumerate() {
            for pattern in &handler.events {
                self.handled(pattern, index, &mut sources, inference, file);
            }
        }
        for topic in 0..sources.topics.len() {
            let named = sources.units.iter().any(|unit| unit.topic == topic && unit.shape.is_some());
            if !named && aggregates {
                // Every event of the topic, whatever its type: one shape, by use.
                let name = sources.topics[topic].name.text.clone();
                sources.topics[topic].event_type = Some(EventTypeFrom::Single);
                sources.add(topic, open_shape(name, inference));
            }
        }
        for unit in &mut sources.units {
            let skips = !unit.handlers.is_empty() && unit.handlers.iter().all(|handler| only_skips(handlers[*handler]));
            unit.wanted = (!unit.handlers.is_empty() || (aggregates && unit.shape.is_some())) && !skips;
            if let Some(shape) = unit.shape {
                sources.shapes[shape].wanted = unit.wanted;
            }
        }
        self.warn_unhandled(&sources, aggregates, from);
        sources
    }

    fn source_topic(&mut self, name: &'a Name, sources: &mut Sources<'a>, file: FileId) {
        match self.names.scope(file).sources.get(&*name.text).copied() {
            Some(SourceDecl::Topic(topic)) => {
                if sources.topics.iter().any(|other| other.name.text == name.text) {
                    let message = format!("`{}` is read twice", name.text);
                    let diagnostic = Diagnostic::error(codes::DECLARED_TWICE, message, name.span, "again here");
                    return self.report(diagnostic.with_help("take one of them out"));
                }
                let topic = self.topic(topic);
                sources.topics.push(topic);
            }
            Some(SourceDecl::Projection(_)) => {
                self.refuse(
                    codes::NO_PROJECTION_SOURCE,
                    "reading from another projection is not supported yet",
                    name.span,
                );
            }
            None => {
                let topics = self.names.scope(file).sources.iter();
                let topics = topics.filter(|(_, decl)| matches!(decl, SourceDecl::Topic(_))).map(|(name, _)| *name);
                let help = suggest(&name.text, "topics here", topics)
                    .unwrap_or_else(|| format!("declare it: topic {} = \"name.in.the.log\"", name.text));
                let message = format!("there is no topic `{}`", name.text);
                self.report(Diagnostic::error(codes::UNKNOWN_TOPIC, message, name.span, "not found").with_help(help));
            }
        }
    }

    fn check_wire(&mut self, sources: &Sources, topic: usize, shape: &EventShape, span: Span) {
        let same = sources.of(topic).any(|other| other.wire == shape.wire);
        if same {
            let message = format!("two events of topic `{}` come as `{}`", sources.topics[topic].name.text, shape.wire);
            let diagnostic = Diagnostic::error(codes::DECLARED_TWICE, message, span, "same name outside");
            self.report(diagnostic.with_help("give one of them another name outside: `event X = \"…\"`"));
        }
    }

    fn handled(
        &mut self,
        pattern: &'a EventPattern,
        handler: usize,
        sources: &mut Sources<'a>,
        inference: &mut Inference,
        file: FileId,
    ) {
        match pattern {
            EventPattern::Any(span) => self.refuse(codes::NO_ON_ANY, "`on *` is not supported yet", *span),
            EventPattern::Event(name) => {
                if !sources.handle(handler, |shape| shape.name == name.text) {
                    self.unlisted(name, &name.text, handler, sources, inference, file);
                }
            }
            EventPattern::Wire(wire) => {
                if !sources.handle(handler, |shape| *shape.wire == *wire.value) {
                    let name = Name { text: wire.value.as_str().into(), span: wire.span };
                    self.unlisted(&name, &wire.value, handler, sources, inference, file);
                }
            }
            EventPattern::Change { topic, change } => self.change(topic, change, handler, sources),
        }
    }

    /// A handler of an event that no topic lists.
    fn unlisted(
        &mut self,
        name: &Name,
        wire: &str,
        handler: usize,
        sources: &mut Sources<'a>,
        inference: &mut Inference,
        file: FileId,
    ) {
        let declared = match self.names.scope(file).types.get(&*name.text).copied() {
            Some(TypeDecl::Event(event)) => Some(event),
            _ => None,
        };
        let listed = sources.shapes.iter().flat_map(|shape| [&shape.name, &shape.wire]);
        let listed: Vec<String> = listed.map(ToString::to_string).collect();
        let similar = near(&name.text, listed.iter().map(String::as_str)).map(str::to_owned);
        let named =
            |topic: &&TopicInfo| matches!(topic.event_type, Some(EventTypeFrom::Header(_) | EventTypeFrom::Field(_)));
        let unlisted = |topic: &&TopicInfo| named(topic) && topic.events.is_empty() && topic.undeclared.is_empty();
        let candidates: Vec<usize> = match sources.topics.iter().filter(unlisted).count() {
            0 if declared.is_none() => sources.positions(named),
            _ => sources.positions(unlisted),
        };
        let topic = match (candidates.as_slice(), similar) {
            ([topic], None) => *topic,
            (_, similar) => return self.no_such_event(name, declared, similar, &candidates, sources),
        };
        let shape = match declared {
            Some(event) => self.event(event),
            None => {
                self.report(shape_by_use(name, wire));
                EventShape { wire: wire.into(), ..open_shape(name.text.clone(), inference) }
            }
        };
        sources.add(topic, shape);
        let last = sources.units.len() - 1;
        sources.units[last].handlers.push(handler);
    }

    fn no_such_event(
        &mut self,
        name: &Name,
        declared: Option<&ast::Event>,
        similar: Option<String>,
        candidates: &[usize],
        sources: &Sources,
    ) {
        let missing = |topic: &TopicInfo| topic.missing.contains(&name.text);
        if sources.topics.is_empty() || sources.topics.iter().any(missing) {
            // The topic is what is wrong, and that was said.
            return;
        }
        let (message, help) = match (declared, similar) {
            (_, Some(similar)) => (
                format!("no topic of this projection has an event `{}`", name.text),
                format!("did you mean `{similar}`?"),
            ),
            (Some(_), None) => (
                format!("event `{}` is in no topic of this projection", name.text),
                format!("list it in the topic: `events: …, {}`, or read another topic", name.text),
            ),
            (None, None) if candidates.len() > 1 => (
                format!("it is not clear which topic has event `{}`", name.text),
                "list it in the `events:` of its topic".to_owned(),
            ),
            (None, None) => (
                format!(
                    "event `{}` cannot be told from others: the topic does not say where the type stands",
                    name.text
                ),
                "say so in the topic: `type: header(\"type\")` or `type: field(\"type\")`".to_owned(),
            ),
        };
        let diagnostic = Diagnostic::error(codes::UNKNOWN_EVENT, message, name.span, "not found");
        self.report(diagnostic.with_help(help));
    }

    /// `on topic.tombstone`.
    fn change(&mut self, topic: &Name, change: &Name, handler: usize, sources: &mut Sources<'a>) {
        let Some(index) = sources.topics.iter().position(|known| known.name.text == topic.text) else {
            let message = format!("this projection does not read `{}`", topic.text);
            let help = suggest(&topic.text, "its topics", sources.topics.iter().map(|topic| &*topic.name.text));
            let diagnostic = Diagnostic::error(codes::UNKNOWN_TOPIC, message, topic.span, "not after `from`");
            return self.report(Diagnostic { help, ..diagnostic });
        };
        match &*change.text {
            "tombstone" => match sources.units.iter().position(|unit| unit.topic == index && unit.shape.is_none()) {
                Some(unit) => sources.units[unit].handlers.push(handler),
                None => {
                    sources.units.push(Unit { topic: index, shape: None, handlers: vec![handler], wanted: true });
                }
            },
            "created" | "updated" | "deleted" | "snapshot" => {
                let message = format!("`on {}.{}` is not supported yet", topic.text, change.text);
                self.refuse(codes::NO_FORMAT, &message, change.span);
            }
            other => {
                let message = format!("a topic has no `{other}`");
                let diagnostic = Diagnostic::error(codes::UNKNOWN_EVENT, message, change.span, "not known");
                self.report(diagnostic.with_help(format!("write `on {}.tombstone`", topic.text)));
            }
        }
    }

    fn warn_unhandled(&mut self, sources: &Sources, aggregates: bool, from: &[Name]) {
        if aggregates || self.has_errors() {
            return;
        }
        for (index, topic) in sources.topics.iter().enumerate() {
            let units = sources.units.iter().filter(|unit| unit.topic == index && unit.handlers.is_empty());
            let names: Vec<&str> =
                units.filter_map(|unit| unit.shape).map(|shape| &*sources.shapes[shape].name).collect();
            let handled = sources.units.iter().any(|unit| unit.topic == index && !unit.handlers.is_empty());
            let span = from.iter().find(|name| name.text == topic.name.text).map_or(topic.name.span, |name| name.span);
            if names.is_empty() && !handled {
                let message = format!("topic `{}` is read, and nothing is done with its events", topic.name.text);
                self.report(
                    Diagnostic::warning(codes::UNHANDLED, message, span, "read here")
                        .with_help("handle its events with `on …`, or do not read it"),
                );
            } else if !names.is_empty() {
                let message = format!("no handler wants `{}` of topic `{}`", names.join("`, `"), topic.name.text);
                self.report(
                    Diagnostic::warning(codes::UNHANDLED, message, span, "these events are dropped")
                        .with_help(format!("say that it is meant:  on {} {{ skip }}", names.join(" | "))),
                );
            }
        }
    }
}

impl<'a> Sources<'a> {
    fn add(&mut self, topic: usize, shape: EventShape) {
        self.shapes.push(shape);
        let shape = Some(self.shapes.len() - 1);
        self.units.push(Unit { topic, shape, handlers: Vec::new(), wanted: false });
    }

    fn of(&self, topic: usize) -> impl Iterator<Item = &EventShape> {
        let units = self.units.iter().filter(move |unit| unit.topic == topic);
        units.filter_map(|unit| unit.shape).map(|shape| &self.shapes[shape])
    }

    fn positions(&self, which: impl Fn(&&TopicInfo<'a>) -> bool) -> Vec<usize> {
        self.topics.iter().enumerate().filter(|(_, topic)| which(topic)).map(|(index, _)| index).collect()
    }

    /// Gives a handler to all events that it names. Returns whether there is one.
    fn handle(&mut self, handler: usize, names: impl Fn(&EventShape) -> bool) -> bool {
        let mut found = false;
        for unit in &mut self.units {
            let Some(shape) = unit.shape else { continue };
            if names(&self.shapes[shape]) {
                found = true;
                if !unit.handlers.contains(&handler) {
                    unit.handlers.push(handler);
                }
            }
        }
        found
    }
}

fn open_shape(name: Arc<str>, inference: &mut Inference) -> EventShape {
    let payload: Ty = inference.open("");
    EventShape {
        wire: name.clone(),
        name,
        payload,
        defaults: Vec::new(),
        keys_only: Vec::new(),
        fields: Vec::new(),
        declared: false,
        wanted: false,
    }
}

/// `on X { skip }`: the event is known and not wanted.
fn only_skips(handler: &ast::On) -> bool {
    handler.condition.is_none()
        && matches!(handler.body.statements.as_slice(), [only] if matches!(only.kind, StmtKind::Skip(None)))
}
