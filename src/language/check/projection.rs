//! `projection … { … }` → a typed projection, in two passes: gather what uses demand of undeclared shapes, then check.

use crate::language::ast::{self, ClauseKind, EventPattern, ExprKind, KeyPart, Name};
use crate::language::check::Globals;
use crate::language::check::chain::{Step, take_apart};
use crate::language::check::context::{EventShape, KeyInfo, StateInfo};
use crate::language::check::event_program::{Found, Surroundings, check_program};
use crate::language::check::sources::Sources;
use crate::language::check::state::{FieldDecl, open_fields, row};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Conflict, Inference, Ty};
use crate::language::span::FileId;
use crate::language::typed::{self, EventTypeFrom, Projection};

/// The clauses of a projection, by kind.
pub(crate) struct Clauses<'a> {
    pub file: FileId,
    pub name: &'a Name,
    pub from: &'a [Name],
    pub filter: Option<&'a ast::Expr>,
    pub key: &'a [KeyPart],
    pub state: Vec<FieldDecl<'a>>,
    pub handlers: Vec<&'a ast::On>,
    pub sinks: Vec<&'a ast::Into>,
    pub on_error: &'a [(Name, ast::ErrorAction)],
}

/// A checked projection, with what its tests need to know.
pub(crate) struct CheckedProjection {
    pub typed: Projection,
    pub shapes: Vec<EventShape>,
    /// (topic, shape) of every event type, wanted or not.
    pub events: Vec<(usize, usize)>,
    pub key: Vec<KeyInfo>,
}

impl<'a> Globals<'a> {
    /// Checks a projection. `None` when it is so wrong that it has no shape.
    pub fn projection(&mut self, projection: &'a ast::Projection) -> Option<CheckedProjection> {
        let clauses = self.clauses(projection)?;
        let aggregates = clauses.state.iter().any(|field| field.aggregate.is_some());
        let mut inference = Inference::default();
        let mut sources = self.sources(clauses.from, &clauses.handlers, aggregates, &mut inference, clauses.file);
        let state = open_fields(&clauses.state, &mut inference);
        let key = self.open_key(&clauses, &mut inference);
        let (found, _) = self.pass(&clauses, &sources, &state, &key, true, &mut inference);
        for conflict in inference.take_conflicts() {
            self.report(disagree(conflict, &sources));
        }
        let state = self.settled_state(state, &clauses, &found, &mut inference);
        let key = self.settled_key(key, &clauses, &found, &mut inference);
        for shape in sources.shapes.iter_mut().filter(|shape| !shape.declared) {
            shape.keys_only = inference.keys_only(&shape.payload);
            shape.payload = inference.settle(&shape.payload);
        }
        let mut settled = Inference::default();
        let (found, sinks) = self.pass(&clauses, &sources, &state, &key, false, &mut settled);
        self.warn_order(&clauses, &sources);
        let on_error = self.on_error(clauses.on_error, clauses.file);
        let topics = topics(&sources);
        let events = sources.units.iter().filter_map(|unit| unit.shape.map(|shape| (unit.topic, shape))).collect();
        Some(CheckedProjection {
            typed: Projection {
                name: clauses.name.text.clone(),
                span: clauses.name.span,
                topics,
                key: key
                    .iter()
                    .map(|part| typed::KeyPart { name: part.name.text.clone(), ty: part.ty.settled() })
                    .collect(),
                state: row(&clauses.state, &state),
                programs: found.into_iter().map(|found| found.program).collect(),
                sinks,
                on_error,
            },
            shapes: sources.shapes,
            events,
            key,
        })
    }

    /// One pass over all event types and sinks.
    fn pass(
        &mut self,
        clauses: &Clauses<'a>,
        sources: &Sources<'a>,
        state: &[StateInfo],
        key: &[KeyInfo],
        inferring: bool,
        inference: &mut Inference,
    ) -> (Vec<Found>, Vec<typed::Into>) {
        let surroundings = Surroundings { clauses, sources, state, key, inferring };
        let wanted = sources.units.iter().filter(|unit| unit.wanted);
        let found = wanted.map(|unit| check_program(self, inference, &surroundings, unit)).collect();
        let sinks = self.sinks(&surroundings, inference);
        (found, sinks)
    }

    fn clauses(&mut self, projection: &'a ast::Projection) -> Option<Clauses<'a>> {
        let file = projection.name.span.file;
        let mut clauses = Clauses {
            file,
            name: &projection.name,
            from: &[],
            filter: None,
            key: &[],
            state: Vec::new(),
            handlers: Vec::new(),
            sinks: Vec::new(),
            on_error: &[],
        };
        let mut seen: Vec<&'static str> = Vec::new();
        for clause in &projection.clauses {
            let word = match &clause.kind {
                ClauseKind::From(names) => {
                    clauses.from = names;
                    "from"
                }
                ClauseKind::Where(filter) => {
                    clauses.filter = Some(filter);
                    "where"
                }
                ClauseKind::Key(parts) => {
                    clauses.key = parts;
                    "key"
                }
                ClauseKind::State(fields) => {
                    if !seen.contains(&"state") {
                        clauses.state = self.state_fields(fields, file);
                    }
                    "state"
                }
                ClauseKind::OnError(entries) => {
                    clauses.on_error = entries;
                    "on_error"
                }
                ClauseKind::On(handler) => {
                    self.refuse_handler(handler);
                    clauses.handlers.push(handler);
                    continue;
                }
                ClauseKind::Into(sink) => {
                    clauses.sinks.push(sink);
                    continue;
                }
                other => {
                    self.refuse_clause(other, clause.span);
                    continue;
                }
            };
            if seen.contains(&word) {
                let message = format!("`{word}` stands here twice");
                let diagnostic = Diagnostic::error(codes::CLAUSE_TWICE, message, clause.span, "again here");
                self.report(diagnostic.with_help("put both into one clause"));
            }
            seen.push(word);
        }
        self.check_clauses(&clauses, &seen);
        let complete = ["from", "key", "state"].iter().all(|word| seen.contains(word));
        complete.then_some(clauses)
    }

    fn check_clauses(&mut self, clauses: &Clauses, seen: &[&str]) {
        let name = clauses.name;
        for (word, help) in [("from", "say what it reads: `from topic`"), ("key", "say what a row is for: `key .id`")] {
            if !seen.contains(&word) {
                let message = format!("projection `{}` has no `{word}`", name.text);
                self.report(Diagnostic::error(codes::CLAUSE_MISSING, message, name.span, "here").with_help(help));
            }
        }
        if !seen.contains(&"state") {
            let message = "projections without `state` are not supported yet";
            let diagnostic = Diagnostic::error(codes::NO_STATELESS, message, name.span, "has no `state`");
            self.report(diagnostic.with_help("keep what the documents show: `state { … }`"));
        }
        if clauses.sinks.is_empty() {
            let message = format!("projection `{}` has no `into`, so nothing shows what it keeps", name.text);
            let diagnostic = Diagnostic::warning(codes::NO_INTO, message, name.span, "here");
            self.report(diagnostic.with_help("add `into cache`, or another sink"));
        }
    }

    fn refuse_handler(&mut self, handler: &ast::On) {
        if let Some((_, each)) = &handler.each {
            self.refuse(codes::NO_EACH, "`each` is not supported yet", each.span);
        }
        // A tombstone's key is the record's: saying so changes nothing.
        let tombstones = handler
            .events
            .iter()
            .all(|event| matches!(event, EventPattern::Change { change, .. } if &*change.text == "tombstone"));
        if let Some(key) = handler.key.as_ref().filter(|key| !(tombstones && is_event_key(key))) {
            self.refuse(codes::NO_HANDLER_KEY, "a handler with its own key is not supported yet", key.span);
        }
    }

    fn refuse_clause(&mut self, clause: &ClauseKind, span: crate::language::span::Span) {
        let (code, message) = match clause {
            ClauseKind::Dedupe { .. } => (codes::NO_DEDUPE, "`dedupe` is not supported yet"),
            ClauseKind::Window(_) => (codes::NO_WINDOW, "`window` is not supported yet"),
            ClauseKind::Lookup { .. } => (codes::NO_LOOKUP, "`lookup` is not supported yet"),
            ClauseKind::Let(_) => (codes::NO_PROJECTION_LET, "`let` of a projection is not supported yet"),
            ClauseKind::Emit { .. } => (codes::NO_EMIT_FINAL, "`emit final` is not supported yet"),
            _ => (codes::NO_REPLAY, "`replay` is not supported yet"),
        };
        self.refuse(code, message, span);
    }

    fn open_key(&mut self, clauses: &Clauses, inference: &mut Inference) -> Vec<KeyInfo> {
        let mut key: Vec<KeyInfo> = Vec::new();
        for part in clauses.key {
            let name = match part.name.clone().or_else(|| key_name(&part.value)) {
                Some(name) => name,
                None => {
                    let message = "this part of the key needs a name";
                    let diagnostic = Diagnostic::error(codes::KEY_NAME, message, part.value.span, "how is it called?");
                    self.report(diagnostic.with_help("write `key name = …`"));
                    Name { text: format!("part {}", key.len() + 1).into(), span: part.value.span }
                }
            };
            self.check_row_name(&name);
            let twice = key.iter().any(|other| other.name.text == name.text);
            let field = clauses.state.iter().find(|field| field.name.text == name.text);
            if twice || field.is_some() {
                let message = format!("`{}` names two things of this projection", name.text);
                let diagnostic = Diagnostic::error(codes::DECLARED_TWICE, message, name.span, "part of the key");
                let diagnostic = match field {
                    Some(field) => diagnostic.with_label(field.name.span, "a state field too"),
                    None => diagnostic,
                };
                self.report(diagnostic.with_help("give it another name: `key other = …`"));
            }
            let ty = part.ty.as_ref().map(|ty| self.type_of(ty, clauses.file));
            if let Some(ty) = ty.as_ref().filter(|ty| !ty.is_scalar()) {
                let message = format!("a key is one word, and `{ty}` is not");
                let diagnostic = Diagnostic::error(codes::KEY_TYPE, message, name.span, format!("this is `{ty}`"));
                self.report(diagnostic.with_help("use a string, a number, a time, a uuid, a bool or an enum"));
            }
            let ty = ty.unwrap_or_else(|| inference.fresh(format!("`{}`", name.text)));
            key.push(KeyInfo { name, ty });
        }
        key
    }

    fn settled_state(
        &mut self,
        mut state: Vec<StateInfo>,
        clauses: &Clauses,
        found: &[Found],
        inference: &mut Inference,
    ) -> Vec<StateInfo> {
        for (index, field) in state.iter_mut().enumerate() {
            let Some(aggregate) = clauses.state[index].aggregate else { continue };
            let word = &*aggregate.name.text;
            let arguments: Vec<Ty> = found
                .iter()
                .filter_map(|found| found.aggregates[index].as_ref())
                .map(|ty| inference.settle(ty))
                .collect();
            let optional = arguments.iter().any(Ty::is_optional) && word != "sum";
            if clauses.state[index].ty.is_none() && word != "count" {
                let ty = if word == "avg" { Ty::DECIMAL } else { self.joined(&arguments, field, inference) };
                field.ty = if optional { ty.optional() } else { ty.required().clone() };
            }
        }
        state
    }

    /// The one type of what an aggregate takes from each event type.
    fn joined(&mut self, arguments: &[Ty], field: &StateInfo, inference: &mut Inference) -> Ty {
        let Some((first, rest)) = arguments.split_first() else { return Ty::Error };
        let mut ty = first.required().clone();
        for other in rest {
            let mut context =
                super::context::Context::new(self, inference, field.name.span.file, super::context::Where::Aggregate);
            match context.join(&ty, other.required(), field.name.span) {
                Some(joined) => ty = joined,
                None => {
                    let message =
                        format!("`{}` would be `{ty}` from one event and `{other}` from another", field.name.text);
                    let diagnostic = Diagnostic::error(codes::MISMATCH, message, field.name.span, "kept from both");
                    self.report(diagnostic.with_help("keep one field for each"));
                    return Ty::Error;
                }
            }
        }
        ty
    }

    fn settled_key(
        &mut self,
        mut key: Vec<KeyInfo>,
        clauses: &Clauses,
        found: &[Found],
        inference: &mut Inference,
    ) -> Vec<KeyInfo> {
        for (index, part) in key.iter_mut().enumerate() {
            if !matches!(part.ty, Ty::Var(_)) {
                part.ty = part.ty.required().clone();
                continue;
            }
            let given = found.iter().filter_map(|found| found.key.get(index)).map(|ty| inference.settle(ty));
            let given: Vec<Ty> = given.map(|ty| ty.required().clone()).collect();
            let mut ty = given.first().cloned().unwrap_or(Ty::TEXT);
            for other in &given[given.len().min(1)..] {
                let mut context =
                    super::context::Context::new(self, inference, clauses.file, super::context::Where::Key);
                match context.join(&ty, other, part.name.span) {
                    Some(joined) => ty = joined,
                    None => {
                        let message = format!("`{}` is `{ty}` in one event and `{other}` in another", part.name.text);
                        let span = clauses.key[index].value.span;
                        let diagnostic = Diagnostic::error(codes::KEY_TYPE, message, span, "the key is one type");
                        self.report(diagnostic.with_help("declare the field with one type in all events"));
                        ty = Ty::Error;
                    }
                }
            }
            part.ty = match ty {
                Ty::Text(_) => Ty::TEXT,
                Ty::Float | Ty::Json | Ty::Bytes => {
                    let message = format!("`{}` is `{ty}`, which is no key", part.name.text);
                    let diagnostic = Diagnostic::error(
                        codes::KEY_TYPE,
                        message,
                        clauses.key[index].value.span,
                        format!("this is `{ty}`"),
                    );
                    self.report(diagnostic.with_help("use a string, an int, a time, a uuid, a bool or an enum"));
                    Ty::Error
                }
                ty => ty,
            };
        }
        key
    }
}

/// The topics as they are read, with the programs of their event types.
fn topics(sources: &Sources) -> Vec<typed::Topic> {
    let mut topics: Vec<typed::Topic> = Vec::new();
    for topic in &sources.topics {
        topics.push(typed::Topic {
            name: topic.name.text.clone(),
            log_name: topic.log_name.clone(),
            via: topic.via.clone(),
            event_type: topic.event_type.clone().unwrap_or(EventTypeFrom::Single),
            unknown: topic.unknown,
            programs: Vec::new(),
            declared: Vec::new(),
            tombstone: None,
        });
    }
    let mut program = 0;
    for unit in &sources.units {
        let topic = &mut topics[unit.topic];
        let wire = unit.shape.map(|shape| sources.shapes[shape].wire.clone());
        topic.declared.extend(wire.clone());
        if !unit.wanted {
            continue;
        }
        match wire {
            Some(wire) => topic.programs.push((wire, program)),
            None => topic.tombstone = Some(program),
        }
        program += 1;
    }
    topics
}

/// Of `key .issue.id`: `id`.
fn key_name(value: &ast::Expr) -> Option<Name> {
    let (root, steps) = take_apart(value);
    let ExprKind::Payload(Some(first)) = &root.kind else { return None };
    match steps.last() {
        None => Some(first.clone()),
        Some(Step::Field { name, .. }) => Some((*name).clone()),
        Some(_) => None,
    }
}

fn is_event_key(key: &ast::Expr) -> bool {
    matches!(&key.kind, ExprKind::Field { base, name }
        if &*name.text == "key" && super::topic::word(base) == Some("event"))
}

fn disagree(conflict: Conflict, sources: &Sources) -> Diagnostic {
    let Conflict { path, first, first_type, second, second_type } = conflict;
    let message = format!("these two uses of `{path}` do not agree");
    let diagnostic = Diagnostic::error(codes::USES_DISAGREE, message, second, format!("used as {second_type} here"));
    let diagnostic = match first.filter(|first| *first != second) {
        Some(first) => diagnostic.with_label(first, format!("used as {first_type} here")),
        None => diagnostic,
    };
    let by_use = sources.shapes.iter().find(|shape| !shape.declared).map_or("it", |shape| &*shape.name);
    diagnostic
        .with_help(format!("convert one of them, as in \"${{{path}}}\", or declare the event"))
        .with_note(format!("`{by_use}` declares no fields, so types come from use"))
}
