//! What an expression is checked in: where it stands, which names it sees, what is known to be there.

use std::sync::Arc;

use crate::language::ast::Name;
use crate::language::check::Globals;
use crate::language::check::facts::{Fact, Facts};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Ty};
use crate::language::span::{FileId, Span};
use crate::language::typed::{Expr, ExprKind, Slot};
use crate::value::Value;

/// An expression and its type, as far as it is known in this pass.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub expr: Expr,
    pub ty: Ty,
}

/// Where an expression stands: it decides which names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    Filter,
    Key,
    Aggregate,
    Handler,
    /// `as`, `when`.
    Document,
    Option,
    Constant,
    Function,
    Test,
}

impl Where {
    pub fn sees_payload(self) -> bool {
        matches!(self, Where::Filter | Where::Key | Where::Aggregate | Where::Handler)
    }

    pub fn sees_state(self) -> bool {
        matches!(self, Where::Handler | Where::Document | Where::Option)
    }

    /// The words for messages.
    pub fn words(self) -> &'static str {
        match self {
            Where::Filter => "`where`",
            Where::Key => "`key`",
            Where::Aggregate => "an aggregate",
            Where::Handler => "a handler",
            Where::Document => "a document",
            Where::Option => "an option of a sink",
            Where::Constant => "a constant",
            Where::Function => "a function",
            Where::Test => "a test",
        }
    }
}

/// A field of the row, as handlers see it.
#[derive(Debug, Clone)]
pub(crate) struct StateInfo {
    pub name: Name,
    pub ty: Ty,
    pub default: Option<Value<'static>>,
    /// Fed by an aggregate: no handler may assign it.
    pub aggregate: bool,
    /// Index in the row.
    pub index: usize,
}

/// A part of the key, as handlers and documents see it.
#[derive(Debug, Clone)]
pub(crate) struct KeyInfo {
    pub name: Name,
    pub ty: Ty,
}

/// The shape of one event type.
#[derive(Debug, Clone)]
pub(crate) struct EventShape {
    /// As messages call it.
    pub name: Arc<str>,
    pub wire: Arc<str>,
    /// A record, or an open variable in the first pass over an undeclared event.
    pub payload: Ty,
    /// The declared fields with a default.
    pub defaults: Vec<(Arc<str>, Value<'static>)>,
    /// Paths of scalars that are keys and nothing else.
    pub keys_only: Vec<Vec<Arc<str>>>,
    /// The declared fields and where they stand; empty for an event shaped by use.
    pub fields: Vec<(Arc<str>, Span)>,
    pub declared: bool,
    /// Some clause wants it.
    pub wanted: bool,
}

/// What `.` is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'c> {
    None,
    Tombstone,
    Event(&'c EventShape),
}

#[derive(Debug, Clone)]
pub(crate) struct LocalInfo {
    pub name: Arc<str>,
    pub ty: Ty,
    pub local: usize,
}

/// The surroundings of a run of expressions that share slots and locals.
pub(crate) struct Context<'c, 'a> {
    pub globals: &'c mut Globals<'a>,
    pub inference: &'c mut Inference,
    /// The first pass only gathers demands: it says nothing and its trees are thrown away.
    pub inferring: bool,
    pub file: FileId,
    pub place: Where,
    pub state: &'c [StateInfo],
    pub key: &'c [KeyInfo],
    pub payload: Payload<'c>,
    /// All event shapes of the projection, for messages of clauses that hold for every event.
    pub events: &'c [EventShape],
    pub slots: Vec<Slot>,
    pub locals: Vec<LocalInfo>,
    /// Locals below this one belong to the caller of a function.
    pub visible_from: usize,
    pub locals_used: usize,
    /// What is known here; `None` after the event has ended.
    pub facts: Option<Facts>,
    pub depth: usize,
    pub inlined: usize,
}

/// Deeper expressions, functions put in their place included, are refused: evaluation recurses.
const DEPTH_MAX: usize = 256;

impl<'c, 'a> Context<'c, 'a> {
    pub fn new(
        globals: &'c mut Globals<'a>,
        inference: &'c mut Inference,
        file: FileId,
        place: Where,
    ) -> Context<'c, 'a> {
        Context {
            globals,
            inference,
            inferring: false,
            file,
            place,
            state: &[],
            key: &[],
            payload: Payload::None,
            events: &[],
            slots: Vec::new(),
            locals: Vec::new(),
            visible_from: 0,
            locals_used: 0,
            facts: Some(Facts::default()),
            depth: 0,
            inlined: 0,
        }
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        if !self.inferring {
            self.globals.report(diagnostic);
        }
    }

    /// Says what is wrong and stands for it.
    pub fn wrong(&mut self, diagnostic: Diagnostic) -> Checked {
        let span = diagnostic.span();
        self.report(diagnostic);
        error_at(span)
    }

    /// Runs `inner` one level deeper, unless that is too deep.
    pub fn deeper(&mut self, span: Span, inner: impl FnOnce(&mut Self) -> Checked) -> Checked {
        if self.depth >= DEPTH_MAX {
            let message = "this expression is nested too deep";
            return self.wrong(
                Diagnostic::error(codes::TOO_DEEP, message, span, format!("more than {DEPTH_MAX} levels"))
                    .with_help("give parts of it names with `let`"),
            );
        }
        self.depth += 1;
        let checked = inner(self);
        self.depth -= 1;
        checked
    }

    pub fn new_local(&mut self) -> usize {
        self.locals_used += 1;
        self.locals_used - 1
    }

    /// Declares a local name. A name that means something here already is an error.
    pub fn declare(&mut self, name: &Name, ty: Ty) -> usize {
        let local = self.new_local();
        self.declare_as(name, ty, local);
        local
    }

    pub fn declare_as(&mut self, name: &Name, ty: Ty, local: usize) {
        if &*name.text != "_" {
            self.check_shadowing(name);
        }
        self.locals.push(LocalInfo { name: name.text.clone(), ty, local });
    }

    pub fn local(&self, name: &str) -> Option<&LocalInfo> {
        self.locals[self.visible_from..].iter().rev().find(|local| &*local.name == name)
    }

    fn check_shadowing(&mut self, name: &Name) {
        let word = &*name.text;
        let sees_state = self.place.sees_state();
        let what = if self.local(word).is_some() {
            "a local name"
        } else if sees_state && self.state.iter().any(|field| &*field.name.text == word) {
            "a state field"
        } else if sees_state && self.key.iter().any(|part| &*part.name.text == word) {
            "part of the key"
        } else if self.globals.names.scope(self.file).values.contains_key(word) {
            "declared in this file"
        } else {
            return self.globals.check_own_word(name);
        };
        self.report(shadowed(name, what));
    }

    /// Whether a fact holds here. Everything holds where nothing gets.
    pub fn knows(&self, fact: &Fact) -> bool {
        self.facts.as_ref().is_none_or(|facts| facts.present.contains(fact))
    }

    /// A node; its type is settled as far as it is known.
    pub fn node(&self, kind: ExprKind, ty: Ty, span: Span) -> Checked {
        let settled = self.inference.known(&ty).settled();
        Checked { expr: Expr { kind, ty: settled, span }, ty }
    }

    pub fn constant(&self, value: Value<'static>, ty: Ty, span: Span) -> Checked {
        self.node(ExprKind::Constant(value), ty, span)
    }

    /// How a message calls an expression.
    pub fn describe(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Slot(slot) => self.slots.get(*slot).map(|slot| format!("`.{}`", slot.path.join("."))),
            ExprKind::State(index) => {
                self.state.iter().find(|field| field.index == *index).map(|field| format!("`{}`", field.name.text))
            }
            ExprKind::Key(index) => self.key.get(*index).map(|part| format!("`{}`", part.name.text)),
            ExprKind::Local(local) => {
                self.locals.iter().find(|info| info.local == *local).map(|info| format!("`{}`", info.name))
            }
            _ => None,
        }
        .unwrap_or_else(|| "this".into())
    }
}

impl Checked {
    /// The same value seen as another type.
    pub fn retyped(mut self, ty: Ty) -> Checked {
        if !matches!(ty, Ty::Var(_)) {
            self.expr.ty = ty.settled();
        }
        self.ty = ty;
        self
    }

    pub fn as_constant(&self) -> Option<&Value<'static>> {
        match &self.expr.kind {
            ExprKind::Constant(value) => Some(value),
            _ => None,
        }
    }
}

impl Globals<'_> {
    /// Names of the language itself are nobody else's.
    pub fn check_own_word(&mut self, name: &Name) {
        if matches!(&*name.text, "event" | "exists" | "prev" | "window") {
            self.report(shadowed(name, "a word of the language"));
        }
    }

    /// A field or a key part has a name of its own.
    pub fn check_row_name(&mut self, name: &Name) {
        match self.names.scope(name.span.file).values.contains_key(&*name.text) {
            true => self.report(shadowed(name, "declared in this file")),
            false => self.check_own_word(name),
        }
    }
}

fn shadowed(name: &Name, what: &str) -> Diagnostic {
    let message = format!("`{}` has a meaning here already", name.text);
    Diagnostic::error(codes::SHADOWED, message, name.span, format!("it is {what}"))
        .with_help(format!("choose another name, such as `this_{}`", name.text))
}

/// Stands for an expression with a mistake in it.
pub(crate) fn error_at(span: Span) -> Checked {
    let expr = Expr { kind: ExprKind::Constant(Value::None), ty: crate::value::Type::None, span };
    Checked { expr, ty: Ty::Error }
}
