//! `.a.b` → a slot: the used path, typed by the event's shape.
//!
//! A path goes through records as far as it can and becomes one slot, so that decoding fills only what is used. What is
//! optional on the way makes the slot optional; whether the expression is, depends on `?.` and on what is known here.

use std::sync::Arc;

use crate::language::ast::Name;
use crate::language::check::chain::Step;
use crate::language::check::context::{Checked, Context, EventShape, Payload, Where, error_at};
use crate::language::check::facts::Fact;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::resolve::suggest;
use crate::language::span::Span;
use crate::language::typed::{ExprKind, Slot};

/// A payload path while it is walked.
struct Path {
    names: Vec<Arc<str>>,
    optional_at: Vec<bool>,
    ty: Ty,
    span: Span,
    /// A `?.` skips the rest of the chain when something before it is missing.
    skips: bool,
}

enum Progress {
    Taken,
    /// The step is no field of a record: it goes on from the slot's value.
    Stop,
    Wrong,
}

impl<'c> Context<'c, '_> {
    /// `.`, or `.name` and the steps after it.
    pub fn payload(&mut self, name: Option<&Name>, span: Span, steps: &[Step]) -> Checked {
        let Some(shape) = self.payload_shape(span) else { return error_at(span) };
        let mut path =
            Path { names: Vec::new(), optional_at: Vec::new(), ty: shape.payload.clone(), span, skips: false };
        let mut taken = 0;
        if let Some(name) = name {
            if !self.enter(&mut path, name, shape) {
                return error_at(span);
            }
            for step in steps {
                let Some((field, optional)) = step.as_field() else { break };
                match self.go_on(&mut path, field, optional, shape) {
                    Progress::Taken => taken += 1,
                    Progress::Stop => break,
                    Progress::Wrong => return error_at(field.span),
                }
            }
        }
        self.path_value(path, shape, &steps[taken..])
    }

    fn payload_shape(&mut self, span: Span) -> Option<&'c EventShape> {
        let diagnostic = match self.payload {
            Payload::Event(shape) if self.place.sees_payload() => return Some(shape),
            Payload::Tombstone => {
                Diagnostic::error(codes::PAYLOAD_NOT_HERE, "a tombstone has no payload", span, "nothing to read here")
                    .with_help("use `event.key`, `event.timestamp` or the state")
            }
            _ => {
                let message = format!("{} does not see the event", self.place.words());
                let help = match self.place {
                    Where::Function => "pass it to the function as an argument",
                    Where::Constant | Where::Test => "write the value itself",
                    _ => "keep what is needed in the state, and use the state field here",
                };
                Diagnostic::error(codes::PAYLOAD_NOT_HERE, message, span, "a field of the event").with_help(help)
            }
        };
        self.report(diagnostic);
        None
    }

    /// Goes on to a field of a record that may be optional.
    fn go_on(&mut self, path: &mut Path, name: &Name, optional: bool, shape: &EventShape) -> Progress {
        let here = self.inference.known(&path.ty);
        match &here {
            Ty::Optional(inner) if matches!(**inner, Ty::Record(_)) => {
                if self.knows(&Fact::Payload(path.names.clone())) {
                    path.ty = (**inner).clone();
                } else if optional {
                    path.ty = (**inner).clone();
                    path.skips = true;
                } else {
                    self.report(needs_question_mark(&path.names, name));
                    return Progress::Wrong;
                }
            }
            Ty::Var(_) if optional => {
                self.inference.allow_missing(&path.ty);
                path.skips = true;
            }
            Ty::Record(_) | Ty::Var(_) => {}
            _ => return Progress::Stop,
        }
        if self.enter(path, name, shape) { Progress::Taken } else { Progress::Wrong }
    }

    fn enter(&mut self, path: &mut Path, name: &Name, shape: &EventShape) -> bool {
        let found = match self.inference.known(&path.ty) {
            Ty::Record(record) => record.field(&name.text).map(|(_, ty)| ty.clone()),
            Ty::Var(var) => self.inference.field(var, &name.text, name.span),
            Ty::Error => return false,
            _ => None,
        };
        let Some(ty) = found else {
            let diagnostic = self.no_such_field(path, name, shape);
            self.report(diagnostic);
            return false;
        };
        path.optional_at.push(ty.is_optional());
        path.ty = ty;
        path.names.push(name.text.clone());
        path.span = path.span.to(name.span);
        true
    }

    fn path_value(&mut self, path: Path, shape: &EventShape, steps: &[Step]) -> Checked {
        let leaf = path.ty.clone();
        let slot = self.slot(&path, shape);
        let kind = ExprKind::Slot(slot);
        if self.knows(&Fact::Payload(path.names.clone())) && !path.names.is_empty() && self.facts.is_some() {
            let value = self.node(kind, leaf.required().clone(), path.span);
            return self.steps(value, steps);
        }
        if !path.skips {
            let value = self.node(kind, leaf, path.span);
            return self.steps(value, steps);
        }
        let base = self.node(kind, leaf.clone().optional(), path.span);
        if steps.is_empty() {
            return base;
        }
        self.chained(base, leaf, steps)
    }

    /// The slot of a path; one path has one slot.
    fn slot(&mut self, path: &Path, shape: &EventShape) -> usize {
        if let Some(known) = self.slots.iter().position(|slot| slot.path == path.names) {
            return known;
        }
        let default = match path.names.as_slice() {
            [name] => shape.defaults.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone()),
            _ => None,
        };
        let leaf = self.inference.known(&path.ty).settled();
        let missing = path.optional_at.iter().any(|optional| *optional);
        self.slots.push(Slot {
            path: path.names.clone(),
            ty: if missing { leaf.optional() } else { leaf },
            optional_at: path.optional_at.clone(),
            default,
            text_or_int: shape.keys_only.contains(&path.names),
            span: path.span,
        });
        self.slots.len() - 1
    }

    fn no_such_field(&self, path: &Path, name: &Name, shape: &EventShape) -> Diagnostic {
        let field = &name.text;
        let fields: Vec<String> = match self.inference.known(&path.ty) {
            Ty::Record(record) => record.names().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let elsewhere: Vec<&str> =
            self.wanted_events().filter(|event| has_field(event, field)).map(|e| &*e.name).collect();
        if path.names.is_empty() && self.place != Where::Handler && !elsewhere.is_empty() {
            return self.not_in_every_event(name, &elsewhere);
        }
        let message = if path.names.is_empty() {
            format!("event `{}` has no field `{field}`", shape.name)
        } else {
            format!("`.{}` of event `{}` has no field `{field}`", path.names.join("."), shape.name)
        };
        let diagnostic = Diagnostic::error(codes::NO_FIELD, message, name.span, "not found");
        let near = crate::language::diagnostic::near(field, fields.iter().map(String::as_str));
        match near {
            Some(near) => diagnostic.with_help(format!("did you mean `.{near}`?  (fields: {})", fields.join(", "))),
            None => match suggest(field, "fields", fields.iter().map(String::as_str)) {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic.with_help("the event declares no fields"),
            },
        }
    }

    fn wanted_events(&self) -> impl Iterator<Item = &'c EventShape> {
        self.events.iter().filter(|event| event.wanted)
    }

    fn not_in_every_event(&self, name: &Name, elsewhere: &[&str]) -> Diagnostic {
        let missing: Vec<&str> =
            self.wanted_events().filter(|event| !has_field(event, &name.text)).map(|event| &*event.name).collect();
        let clause = self.place.words();
        let message = format!(
            "{clause} must hold for every event of this projection, and `{}` has no `{}`",
            missing.first().unwrap_or(&"one"),
            name.text
        );
        let label = format!("exists in {}; not in {}", elsewhere.join(", "), missing.join(", "));
        Diagnostic::error(codes::NOT_IN_EVERY_EVENT, message, name.span, label).with_help(match self.place {
            Where::Filter => format!("move it to the handlers:  on {} if … {{ … }}", elsewhere.join(" | ")),
            _ => format!("set the field in handlers instead:  on {} {{ … }}", elsewhere.join(" | ")),
        })
    }
}

fn has_field(event: &EventShape, name: &str) -> bool {
    match &event.payload {
        Ty::Record(record) => record.field(name).is_some(),
        _ => !event.declared,
    }
}

fn needs_question_mark(names: &[Arc<str>], name: &Name) -> Diagnostic {
    let path = names.join(".");
    let message = format!("`.{path}` may be missing, so its `{}` may be too", name.text);
    Diagnostic::error(codes::MAY_BE_MISSING, message, name.span, "read from an optional record")
        .with_help(format!("write `.{path}?.{}`", name.text))
}
