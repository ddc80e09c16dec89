//! Types, expressions and statements as canonical text.
//!
//! The text says what a program means and nothing of how it was written: state by name, payload by path, key parts by
//! number, locals by the order they are bound in. Types stand where the meaning hangs on them. It is the text that the
//! hashes are taken of, so a change here is a change of every program: `SEMANTICS` must grow with it.

mod terms;

use std::fmt::Write;

use crate::language::typed::{
    Aggregate, BinaryOp, Conversion, EventProgram, Expr, ExprKind, OptionValue, Pattern, Place, PlaceStep, Projection,
    Stmt, StmtArm, StmtKind,
};
use crate::value::Type;

use terms::{binary_text, envelope_text, function_text};
pub(super) use terms::{constant_text, optional_text, path_text, quoted, type_text};

/// Prints parts of one program (or of one sink's expressions).
pub(in crate::plan) struct Printer<'p> {
    projection: &'p Projection,
    program: Option<&'p EventProgram>,
    /// Locals in the order they are bound.
    locals: Vec<usize>,
    pub out: String,
}

impl<'p> Printer<'p> {
    pub fn new(projection: &'p Projection, program: Option<&'p EventProgram>) -> Printer<'p> {
        Printer { projection, program, locals: Vec::new(), out: String::new() }
    }

    /// The text of one expression.
    pub fn expression(projection: &'p Projection, program: Option<&'p EventProgram>, expr: &Expr) -> String {
        let mut printer = Printer::new(projection, program);
        printer.expr(expr);
        printer.out
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn format(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to a string cannot fail");
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.out.extend(std::iter::repeat_n("  ", depth));
        self.push(text);
    }

    pub fn block(&mut self, statements: &[Stmt], depth: usize) {
        statements.iter().for_each(|statement| self.statement(statement, depth));
    }

    fn statement(&mut self, statement: &Stmt, depth: usize) {
        match &statement.kind {
            StmtKind::Aggregate { field, aggregate, argument } => self.aggregate(*field, *aggregate, argument, depth),
            StmtKind::If { condition, then, otherwise } => {
                self.line(depth, "if ");
                self.expr(condition);
                self.push("\n");
                self.block(then, depth + 1);
                if !otherwise.is_empty() {
                    self.line(depth, "else\n");
                    self.block(otherwise, depth + 1);
                }
            }
            StmtKind::Match { subject, arms } => self.match_statement(subject, arms, depth),
            StmtKind::Let { local, value } => {
                self.line(depth, "let ");
                self.bind(*local);
                self.push(" = ");
                self.expr(value);
                self.push("\n");
            }
            StmtKind::Assign { place, op, value } => {
                self.line(depth, "");
                self.place(place);
                self.format(format_args!(" {} ", op.text()));
                self.expr(value);
                self.push("\n");
            }
            StmtKind::Remove { place } => {
                self.line(depth, "remove ");
                self.place(place);
                self.push("\n");
            }
            StmtKind::Delete => self.line(depth, "delete\n"),
            StmtKind::Skip => self.line(depth, "skip\n"),
            StmtKind::Touch => self.line(depth, "touch\n"),
        }
    }

    fn aggregate(&mut self, field: usize, aggregate: Aggregate, argument: &Option<Expr>, depth: usize) {
        self.line(depth, "");
        self.state(field);
        let name = match aggregate {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::First => "first",
            Aggregate::Last => "last",
            Aggregate::Avg { .. } => "avg",
        };
        self.format(format_args!(" = {name}("));
        argument.iter().for_each(|expr| self.expr(expr));
        if let Aggregate::Avg { sum, count } = aggregate {
            self.push(") over ");
            self.state(sum);
            self.push(", ");
            self.state(count);
            self.push("\n");
        } else {
            self.push(")\n");
        }
    }

    fn match_statement(&mut self, subject: &Expr, arms: &[StmtArm], depth: usize) {
        self.line(depth, "match ");
        self.expr(subject);
        self.push("\n");
        for arm in arms {
            self.line(depth + 1, "");
            self.patterns(&arm.patterns, &arm.guard, &subject.ty);
            self.push("\n");
            self.block(&arm.body, depth + 2);
        }
    }

    fn place(&mut self, place: &Place) {
        self.state(place.field);
        for step in &place.steps {
            match step {
                PlaceStep::Field(index) => self.format(format_args!(".{index}")),
                PlaceStep::Entry(key) => {
                    self.push("[");
                    self.expr(key);
                    self.push("]");
                }
            }
        }
    }

    fn state(&mut self, field: usize) {
        let name = &self.projection.state[field].name;
        self.out.push_str(name);
    }

    fn bind(&mut self, local: usize) {
        self.locals.retain(|bound| *bound != local);
        self.locals.push(local);
        self.local(local);
    }

    /// A local is known by how many were bound before it. One bound again is another one.
    fn local(&mut self, local: usize) {
        let number = self.locals.iter().position(|bound| *bound == local);
        match number {
            Some(number) => self.format(format_args!("%{number}")),
            None => self.push("%?"),
        }
    }

    fn slot(&mut self, index: usize) {
        let Some(slot) = self.program.and_then(|program| program.slots.get(index)) else {
            return self.push(".?");
        };
        self.out.push('.');
        self.out.push_str(&path_text(&slot.path));
        // Two uses of one path with different types are two slots.
        let same_path = |other: &&crate::language::typed::Slot| other.path == slot.path;
        if self.program.is_some_and(|program| program.slots.iter().filter(same_path).count() > 1) {
            let ty = type_text(&slot.ty);
            self.format(format_args!(":{ty}{}", optional_text(&slot.optional_at)));
        }
    }

    fn list(&mut self, exprs: &[Expr]) {
        for (index, expr) in exprs.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.expr(expr);
        }
    }

    fn infix(&mut self, left: &Expr, op: &str, right: &Expr) {
        self.push("(");
        self.expr(left);
        self.format(format_args!(" {op} "));
        self.expr(right);
        self.push(")");
    }

    pub fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Constant(value) => self.out.push_str(&constant_text(value, &expr.ty)),
            ExprKind::Slot(index) => self.slot(*index),
            ExprKind::Envelope(envelope) => self.push(envelope_text(*envelope)),
            ExprKind::Key(index) => self.format(format_args!("key[{index}]")),
            ExprKind::State(index) => self.state(*index),
            ExprKind::Local(index) => self.local(*index),
            ExprKind::Exists => self.push("exists"),
            ExprKind::Negate(inner) => {
                self.push("-");
                self.expr(inner);
            }
            ExprKind::Not(inner) => {
                self.push("not ");
                self.expr(inner);
            }
            ExprKind::And(left, right) => self.infix(left, "and", right),
            ExprKind::Or(left, right) => self.infix(left, "or", right),
            ExprKind::Binary { op, left, right } => {
                self.infix(left, binary_text(*op), right);
                // Two dates have a difference in days or as a duration.
                if matches!(op, BinaryOp::Subtract) && matches!(left.ty.required(), Type::Date) {
                    self.annotate(&expr.ty);
                }
            }
            ExprKind::Coalesce(left, right) => self.infix(left, "??", right),
            ExprKind::Unwrap(inner) => {
                self.expr(inner);
                self.push("!");
            }
            ExprKind::Field { base, index } => {
                self.expr(base);
                let name = match base.ty.required() {
                    Type::Record(record) => record.fields.get(*index).map_or("?", |field| &field.name),
                    _ => "?",
                };
                self.format(format_args!(".{name}"));
            }
            ExprKind::Index { base, index } => {
                self.expr(base);
                self.push("[");
                self.expr(index);
                self.push("]");
            }
            _ => self.compound(expr),
        }
    }

    fn compound(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Chain { base, local, rest } => {
                self.push("(");
                self.expr(base);
                self.push(" ?. ");
                self.bind(*local);
                self.push(" => ");
                self.expr(rest);
                self.push(")");
            }
            ExprKind::If { condition, then, otherwise } => {
                self.push("if ");
                self.expr(condition);
                self.push(" { ");
                self.expr(then);
                self.push(" } else { ");
                self.expr(otherwise);
                self.push(" }");
            }
            ExprKind::Match { subject, arms } => {
                self.push("match ");
                self.expr(subject);
                self.push(" {");
                for arm in arms {
                    self.push(" ");
                    self.patterns(&arm.patterns, &arm.guard, &subject.ty);
                    self.push(" ");
                    self.expr(&arm.value);
                    self.push(",");
                }
                self.push(" }");
            }
            ExprKind::Let { local, value, body } => {
                self.push("(let ");
                // The value cannot see the name it gets.
                self.expr(value);
                self.push(" as ");
                self.bind(*local);
                self.push(" in ");
                self.expr(body);
                self.push(")");
            }
            ExprKind::Lambda { parameters, body } => {
                self.push("(");
                for (index, parameter) in parameters.iter().enumerate() {
                    self.push(if index > 0 { ", " } else { "" });
                    self.bind(*parameter);
                }
                self.push(") => ");
                self.expr(body);
            }
            _ => self.collection(expr),
        }
    }

    fn collection(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Record(fields) => self.record(fields, &expr.ty),
            ExprKind::List(items) => {
                self.push("[");
                self.list(items);
                self.push("]");
            }
            ExprKind::Set(items) => {
                self.push("set{");
                self.list(items);
                self.push("}");
            }
            ExprKind::Map(entries) => {
                self.push("map{");
                for (key, value) in entries {
                    self.expr(key);
                    self.push(" => ");
                    self.expr(value);
                    self.push(", ");
                }
                self.push("}");
            }
            ExprKind::Interpolate(parts) => {
                self.push("text(");
                for part in parts {
                    self.expr(part);
                    self.annotate(&part.ty);
                    self.push(", ");
                }
                self.push(")");
            }
            ExprKind::Convert { conversion, value } => {
                self.push(match conversion {
                    Conversion::IntToDecimal => "decimal(",
                    Conversion::DecimalToScale(_) | Conversion::TextToLength(_) => "exact(",
                    Conversion::DecimalToPlain => "plain(",
                    Conversion::Reshape => "reshape(",
                });
                self.expr(value);
                if *conversion == Conversion::Reshape {
                    self.annotate(&value.ty);
                }
                self.push(")");
                self.annotate(&expr.ty);
            }
            ExprKind::Call { function, arguments } => {
                self.out.push_str(&function_text(*function));
                self.push("(");
                for (index, argument) in arguments.iter().enumerate() {
                    self.push(if index > 0 { ", " } else { "" });
                    self.expr(argument);
                }
                self.push(")");
                self.annotate(&expr.ty);
            }
            _ => unreachable!("all other expressions are printed before"),
        }
    }

    fn record(&mut self, fields: &[Expr], ty: &Type) {
        self.push("{");
        for (index, field) in fields.iter().enumerate() {
            let name = match ty.required() {
                Type::Record(record) => record.fields.get(index).map_or("?", |field| &field.name),
                _ => "?",
            };
            self.push(if index > 0 { ", " } else { "" });
            self.out.push_str(name);
            self.push(": ");
            self.expr(field);
        }
        self.push("}");
    }

    fn annotate(&mut self, ty: &Type) {
        self.push(":");
        self.out.push_str(&type_text(ty));
    }

    fn patterns(&mut self, patterns: &[Pattern], guard: &Option<Expr>, subject: &Type) {
        for (index, pattern) in patterns.iter().enumerate() {
            self.push(if index > 0 { " | " } else { "" });
            match pattern {
                Pattern::Any => self.push("_"),
                Pattern::Bind(local) => self.bind(*local),
                Pattern::Constant(value) => self.out.push_str(&constant_text(value, subject)),
            }
        }
        if let Some(guard) = guard {
            self.push(" if ");
            self.expr(guard);
        }
        self.push(" =>");
    }

    pub fn option(&mut self, value: &OptionValue) {
        match value {
            OptionValue::Constant(value) => self.out.push_str(&constant_text(value, &Type::None)),
            OptionValue::Expr(expr) => {
                self.expr(expr);
                self.annotate(&expr.ty);
            }
            OptionValue::Block(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                self.push("{");
                for (index, (name, value)) in entries.into_iter().enumerate() {
                    self.push(if index > 0 { ", " } else { "" });
                    self.format(format_args!("{name}: "));
                    self.option(value);
                }
                self.push("}");
            }
            OptionValue::List(values) => {
                self.push("[");
                for (index, value) in values.iter().enumerate() {
                    self.push(if index > 0 { ", " } else { "" });
                    self.option(value);
                }
                self.push("]");
            }
        }
    }
}
