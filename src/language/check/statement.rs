//! Statements of handlers → typed statements; what each does to what is known.

use crate::language::ast::{self, AssignOp, StmtKind};
use crate::language::check::branch::Cases;
use crate::language::check::context::{Checked, Context};
use crate::language::check::facts::{Facts, says};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::resolve::suggest;
use crate::language::span::Span;
use crate::language::typed::{self, Place, PlaceStep, Stmt};

/// A place, and whether the last step was an entry of a map.
struct CheckedPlace {
    place: Place,
    ty: Ty,
    is_entry: bool,
}

impl Context<'_, '_> {
    /// The statements of a block; its local names end with it.
    pub fn block(&mut self, block: &ast::Block) -> Vec<Stmt> {
        if self.depth >= BLOCK_DEPTH_MAX {
            let diagnostic =
                Diagnostic::error(codes::TOO_DEEP, "these blocks are nested too deep", block.span, "too deep");
            self.report(diagnostic.with_help("make the handler flatter"));
            return Vec::new();
        }
        self.depth += 1;
        let locals = self.locals.len();
        let mut statements = Vec::new();
        let mut ended: Option<Span> = None;
        for statement in &block.statements {
            if self.facts.is_none()
                && let Some(by) = ended.take()
            {
                let message = "nothing gets here: the event ended before";
                self.report(
                    Diagnostic::error(codes::UNREACHABLE, message, statement.span, "never runs")
                        .with_label(by, "the event ends here")
                        .with_help("take it out, or put a condition on the statement before"),
                );
            }
            self.statement(statement, &mut statements);
            if self.facts.is_none() && ended.is_none() {
                ended = Some(statement.span);
            }
        }
        self.locals.truncate(locals);
        self.depth -= 1;
        statements
    }

    fn statement(&mut self, statement: &ast::Stmt, out: &mut Vec<Stmt>) {
        let span = statement.span;
        let kind = match &statement.kind {
            StmtKind::Let(binding) => {
                let value = self.let_value(binding);
                let local = self.declare(&binding.name, value.ty.clone());
                typed::StmtKind::Let { local, value: value.expr }
            }
            StmtKind::Delete(condition) => self.ending(typed::StmtKind::Delete, condition.as_ref(), span),
            StmtKind::Skip(condition) => self.ending(typed::StmtKind::Skip, condition.as_ref(), span),
            StmtKind::Remove(place) => match self.remove(place) {
                Some(kind) => kind,
                None => return,
            },
            StmtKind::If { condition, then, otherwise } => self.if_statement(condition, then, otherwise.as_ref()),
            StmtKind::Match { subject, arms } => self.match_statement(subject, arms, span),
            StmtKind::Assign { place, op, op_span, value } => match self.assign(place, *op, *op_span, value) {
                Some(kind) => kind,
                None => return,
            },
        };
        out.push(Stmt { kind, span });
    }

    /// `delete [if e]`, `skip [if e]`: nothing after it runs for this event.
    fn ending(&mut self, kind: typed::StmtKind, condition: Option<&ast::Expr>, span: Span) -> typed::StmtKind {
        let Some(condition) = condition else {
            self.facts = None;
            return kind;
        };
        let checked = self.condition(condition);
        let says = says(self, condition);
        self.facts = self.facts.take().map(|facts| facts.with(&says.when_false));
        let then = vec![Stmt { kind, span }];
        typed::StmtKind::If { condition: checked.expr, then, otherwise: Vec::new() }
    }

    fn if_statement(
        &mut self,
        condition: &ast::Expr,
        then: &ast::Block,
        otherwise: Option<&ast::Block>,
    ) -> typed::StmtKind {
        let checked = self.condition(condition);
        let says = says(self, condition);
        let before = self.facts.clone();
        self.facts = before.clone().map(|facts| facts.with(&says.when_true));
        let then = self.block(then);
        let after_then = self.facts.take();
        self.facts = before.map(|facts| facts.with(&says.when_false));
        let otherwise = otherwise.map(|block| self.block(block)).unwrap_or_default();
        let after_otherwise = self.facts.take();
        self.meet_facts(vec![after_then, after_otherwise]);
        typed::StmtKind::If { condition: checked.expr, then, otherwise }
    }

    fn match_statement(&mut self, subject_expr: &ast::Expr, arms: &[ast::StmtArm], span: Span) -> typed::StmtKind {
        let subject = self.expr(subject_expr, None);
        let mut cases = Cases::default();
        let before = self.facts.clone();
        let mut checked = Vec::new();
        let mut ways: Vec<Option<Facts>> = Vec::new();
        for arm in arms {
            let locals = self.locals.len();
            let patterns = self.patterns(&arm.patterns, &subject, &cases);
            self.facts = before.clone().map(|facts| facts.with(&self.arm_facts(subject_expr, &arm.patterns, &cases)));
            let guard = arm.guard.as_ref().map(|guard| self.guard(guard));
            cases.add(&patterns, guard.is_some());
            let body = self.block(&arm.body);
            ways.push(self.facts.take());
            self.locals.truncate(locals);
            checked.push(typed::StmtArm { patterns, guard: guard.map(|guard| guard.expr), body });
        }
        self.check_exhaustive(&subject, &cases, span);
        self.meet_facts(ways);
        typed::StmtKind::Match { subject: subject.expr, arms: checked }
    }

    fn remove(&mut self, place: &ast::Place) -> Option<typed::StmtKind> {
        let checked = self.place(place)?;
        if !checked.is_entry {
            let diagnostic =
                Diagnostic::error(codes::BAD_PLACE, "`remove` takes an entry out of a map", place.span, "not an entry");
            self.report(diagnostic.with_help(match checked.ty.required() {
                Ty::Map(..) => "name the entry: `remove m[key]`",
                Ty::Set(_) => "write `s = s.without(x)` for a set",
                _ => "set the field to `none`, if it is optional",
            }));
            return None;
        }
        self.assigned(checked.place.field, false);
        Some(typed::StmtKind::Remove { place: checked.place })
    }

    fn assign(
        &mut self,
        place: &ast::Place,
        op: AssignOp,
        op_span: Span,
        value: &ast::Expr,
    ) -> Option<typed::StmtKind> {
        let Some(checked) = self.place(place) else {
            // The value may have mistakes of its own.
            self.expr(value, None);
            return None;
        };
        let CheckedPlace { place, ty, is_entry } = checked;
        let value = match op {
            AssignOp::Set => self.expr_as(value, &ty),
            AssignOp::Fill => {
                if !ty.is_optional() && !is_entry && !matches!(ty, Ty::Var(_)) {
                    let diagnostic =
                        Diagnostic::warning(codes::NEVER_NONE, "this is never `none`", op_span, "does nothing");
                    self.report(diagnostic.with_help("write `=`, or make the field optional"));
                }
                self.expr_as(value, &ty.required().clone())
            }
            AssignOp::Add | AssignOp::Subtract | AssignOp::Multiply => self.operand(&ty, op, op_span, value)?,
        };
        let reads = op != AssignOp::Set && place.steps.is_empty();
        if reads {
            self.check_set_before(place.field, place.span);
        }
        let whole = place.steps.is_empty() && op == AssignOp::Set;
        self.assigned(place.field, whole);
        Some(typed::StmtKind::Assign { place, op, value: value.expr })
    }

    /// The value of `place op= value`: a number that goes with the place. The result, not the value, must fit the place.
    fn operand(&mut self, place: &Ty, op: AssignOp, op_span: Span, value: &ast::Expr) -> Option<Checked> {
        let place = self.inference.known(place);
        let value = self.expr(value, Some(&place));
        let ty = self.inference.known(&value.ty);
        if ty.is_error() || place.is_error() {
            return None;
        }
        let want = match (&place, &ty) {
            (Ty::Var(_), _) | (_, Ty::Var(_)) => {
                self.need(&place, crate::language::infer::Need::WholeLiteral, op_span);
                place.clone()
            }
            (Ty::Optional(_), _) => {
                let message = format!("`{}` may be missing here, and a missing number has no sum", op.text());
                let diagnostic =
                    Diagnostic::error(codes::MAY_BE_MISSING, message, op_span, format!("this is `{place}`"));
                self.report(diagnostic.with_help("give the field a default, or write `x = (x ?? 0) + …`"));
                return None;
            }
            (_, Ty::Optional(_)) => {
                self.may_be_missing(value, &place);
                return None;
            }
            (Ty::Int, Ty::Int) | (Ty::Float, Ty::Float) | (Ty::Decimal(_), Ty::Decimal(_)) => ty.clone(),
            (Ty::Float, Ty::Int) => Ty::Float,
            (Ty::Decimal(_), Ty::Int) => Ty::Decimal(Some(0)),
            (Ty::Duration, Ty::Duration) if op != AssignOp::Multiply => ty.clone(),
            (Ty::Timestamp | Ty::Date, Ty::Duration) if op != AssignOp::Multiply => ty.clone(),
            _ => {
                let message = format!("`{}` does not go with `{place}` and `{ty}`", op.text());
                let diagnostic =
                    Diagnostic::error(codes::OPERANDS, message, value.expr.span, format!("this is `{ty}`"));
                self.report(diagnostic.with_help(match place {
                    Ty::Text(_) => "write `x = x ++ …` for text",
                    Ty::List(_) => "write `x = x.append(…)` for a list",
                    Ty::Set(_) => "write `x = x.add(…)` for a set",
                    _ => "use a number of the field's type",
                }));
                return None;
            }
        };
        Some(self.coerce(value, &want))
    }

    fn check_set_before(&mut self, index: usize, span: Span) {
        let Some(field) = self.state.iter().find(|field| field.index == index) else { return };
        let known = self.facts.as_ref().is_none_or(|facts| facts.assigned.contains(&index));
        if field.default.is_some() || field.ty.is_optional() || known || self.knows(&super::facts::Fact::Exists) {
            return;
        }
        let (name, declared) = (field.name.text.clone(), field.name.span);
        let message = format!("`{name}` has no value yet when this event is the first of its key");
        self.report(
            Diagnostic::error(codes::READ_BEFORE_SET, message, span, "changed here")
                .with_label(declared, "has no default")
                .with_help(format!("give it a default, as in `{name}: … = 0`")),
        );
    }

    fn assigned(&mut self, field: usize, whole: bool) {
        if let Some(facts) = &mut self.facts {
            facts.assign(field, whole);
        }
    }

    fn place(&mut self, place: &ast::Place) -> Option<CheckedPlace> {
        let word = &*place.root.text;
        let Some(field) = self.state.iter().find(|field| &*field.name.text == word).cloned() else {
            self.no_such_place(&place.root);
            return None;
        };
        if field.aggregate {
            let message = format!("`{word}` is kept by an aggregate, so no handler sets it");
            self.report(
                Diagnostic::error(codes::BAD_PLACE, message, place.root.span, "set here")
                    .with_label(field.name.span, "kept by its aggregate")
                    .with_help("give it a plain default instead, and set it in every handler"),
            );
            return None;
        }
        let mut ty = field.ty.clone();
        let mut steps = Vec::new();
        let mut is_entry = false;
        for step in &place.steps {
            let (step, next) = self.place_step(step, &ty, place.span)?;
            is_entry = matches!(step, PlaceStep::Entry(_));
            steps.push(step);
            ty = next;
        }
        let settled = self.inference.known(&ty).settled();
        Some(CheckedPlace { place: Place { field: field.index, steps, ty: settled, span: place.span }, ty, is_entry })
    }

    fn place_step(&mut self, step: &ast::PlaceStep, ty: &Ty, span: Span) -> Option<(PlaceStep, Ty)> {
        let ty = self.inference.known(ty);
        let diagnostic = match (step, &ty) {
            (_, Ty::Error) => return None,
            (ast::PlaceStep::Index(index), Ty::Map(key, value)) => {
                let index = self.expr_as(index, key);
                if index.ty.is_error() {
                    return None;
                }
                return Some((PlaceStep::Entry(index.expr), (**value).clone()));
            }
            (ast::PlaceStep::Field(name), Ty::Record(record)) => match record.field(&name.text) {
                Some((index, field)) => return Some((PlaceStep::Field(index), field.clone())),
                None => {
                    let message = format!("`{ty}` has no field `{}`", name.text);
                    let help = suggest(&name.text, "fields", record.names());
                    let diagnostic = Diagnostic::error(codes::NO_FIELD, message, name.span, "not found");
                    Diagnostic { help, ..diagnostic }
                }
            },
            (_, Ty::Optional(_)) => {
                let message = "this may be missing, so nothing inside it can be set";
                Diagnostic::error(codes::MAY_BE_MISSING, message, span, format!("goes into a `{ty}`"))
                    .with_help("set the whole field, as in `x = { … }`")
            }
            (ast::PlaceStep::Index(index), _) => {
                let message = format!("only entries of maps are set, and this is `{ty}`");
                let help = match ty {
                    Ty::List(_) => "make a new list, as in `x = x.append(…)` or `x = x.map(…)`",
                    _ => "declare the field as a `map<…, …>`",
                };
                Diagnostic::error(codes::BAD_PLACE, message, index.span, "not an entry").with_help(help)
            }
            (ast::PlaceStep::Field(name), _) => {
                let message = format!("`{ty}` has no fields");
                Diagnostic::error(codes::NO_FIELD, message, name.span, "not found").with_help("set the whole field")
            }
        };
        self.report(diagnostic);
        None
    }

    fn no_such_place(&mut self, name: &ast::Name) {
        let word = &*name.text;
        let (message, help) = if self.key.iter().any(|part| &*part.name.text == word) {
            let message = format!("`{word}` is part of the key, which never changes");
            (message, Some("keep another value in a state field".to_owned()))
        } else if self.local(word).is_some() {
            (format!("`{word}` is a local name, which never changes"), Some("set a state field".to_owned()))
        } else {
            let fields = self.state.iter().filter(|field| !field.aggregate).map(|field| &*field.name.text);
            let help =
                suggest(word, "state fields", fields).unwrap_or_else(|| format!("declare it: state {{ {word}: … }}"));
            (format!("there is no state field `{word}`"), Some(help))
        };
        let diagnostic = Diagnostic::error(codes::BAD_PLACE, message, name.span, "cannot be set");
        self.report(Diagnostic { help, ..diagnostic });
    }
}

/// Blocks within blocks: more than this is refused.
const BLOCK_DEPTH_MAX: usize = 200;
