//! Types, expressions and statements as canonical text.
//!
//! The text says what a program means and nothing of how it was written: state by name, payload by path, key parts by
//! number, locals by the order they are bound in. Types stand where the meaning hangs on them. It is the text that the
//! hashes are taken of, so a change here is a change of every program: `SEMANTICS` must grow with it.

use std::fmt::Write;

use crate::language::typed::{
    Aggregate, AssignOp, BinaryOp, Conversion, Envelope, EventProgram, Expr, ExprKind, Function, OptionValue, Pattern,
    Place, PlaceStep, Projection, Stmt, StmtArm, StmtKind,
};
use crate::value::{Type, Value, json, text};

/// Prints parts of one program (or of one sink's expressions).
pub(super) struct Printer<'p> {
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
                self.format(format_args!(" {} ", assign_text(*op)));
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

/// `lines[].sku`, with names that are no words in quotes.
pub(super) fn path_text(path: &[std::sync::Arc<str>]) -> String {
    let is_word = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let shown = path.iter().map(|name| if is_word(name) { name.to_string() } else { quoted(name) });
    shown.collect::<Vec<_>>().join(".")
}

/// `?` at each step that may be absent, `.` at the others; nothing when none may.
pub(super) fn optional_text(optional_at: &[bool]) -> String {
    if optional_at.iter().any(|optional| *optional) {
        let marks: String = optional_at.iter().map(|optional| if *optional { '?' } else { '.' }).collect();
        return format!(" {marks}");
    }
    String::new()
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json::write_text(text, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// A type in canonical form: record fields in order, enums with their members, no declared names.
pub(super) fn type_text(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::Int => "int".into(),
        Type::Decimal(None) => "decimal".into(),
        Type::Decimal(Some(scale)) => format!("decimal({scale})"),
        Type::Float => "float".into(),
        Type::String(None) => "string".into(),
        Type::String(Some(length)) => format!("string({length})"),
        Type::Timestamp => "timestamp".into(),
        Type::Date => "date".into(),
        Type::Duration => "duration".into(),
        Type::Uuid => "uuid".into(),
        Type::Bytes => "bytes".into(),
        Type::Json => "json".into(),
        Type::List(element) => format!("list<{}>", type_text(element)),
        Type::Set(element) => format!("set<{}>", type_text(element)),
        Type::Map(key, value) => format!("map<{}, {}>", type_text(key), type_text(value)),
        Type::Record(record) => {
            let fields = record
                .fields
                .iter()
                .map(|field| format!("{}: {}", path_text(&[field.name.clone()]), type_text(&field.ty)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::Enum(ty) => {
            let members = ty
                .members
                .iter()
                .map(|(name, wire)| if name == wire { name.to_string() } else { format!("{name} = {}", quoted(wire)) });
            format!("enum({})", members.collect::<Vec<_>>().join(", "))
        }
        Type::Optional(inner) => format!("{}?", type_text(inner)),
        Type::None => "none".into(),
    }
}

/// A constant: text and times in quotes, decimals with their value, enums by wire text.
pub(super) fn constant_text(value: &Value<'_>, ty: &Type) -> String {
    let ty = ty.required();
    let all = |items: &mut dyn Iterator<Item = &Value<'static>>, element: &Type| -> String {
        items.map(|item| constant_text(item, element)).collect::<Vec<_>>().join(", ")
    };
    match (value, ty) {
        (Value::Text(text), _) => quoted(text.as_str()),
        (Value::Decimal(number), _) => format!("{number}d"),
        (Value::Float(_), _) => format!("{}f", text::of(value, ty)),
        (Value::Timestamp(_), _) => format!("t{}", quoted(&text::of(value, ty))),
        (Value::Date(_), _) => format!("d{}", quoted(&text::of(value, ty))),
        (Value::Enum(_), _) => format!("#{}", quoted(&text::of(value, ty))),
        (Value::Json(json), _) => format!("json {json}"),
        (Value::Bytes(bytes), _) => format!("bytes {bytes:?}"),
        (Value::List(items), Type::List(element)) => format!("[{}]", all(&mut items.iter(), element)),
        (Value::List(items), _) => format!("[{}]", all(&mut items.iter(), &Type::None)),
        (Value::Set(items), Type::Set(element)) => format!("set{{{}}}", all(&mut items.iter(), element)),
        (Value::Map(entries), Type::Map(key, element)) => {
            let entries =
                entries.iter().map(|(k, v)| format!("{} => {}", constant_text(k, key), constant_text(v, element)));
            format!("map{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        (Value::Record(values), Type::Record(record)) => {
            let fields = record.fields.iter().zip(values.iter());
            let fields = fields.map(|(field, value)| format!("{}: {}", field.name, constant_text(value, &field.ty)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        _ => text::of(value, ty),
    }
}

/// `SumList` → `sum_list`.
fn function_text(function: Function) -> String {
    let mut name = String::new();
    for c in format!("{function:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn assign_text(op: AssignOp) -> &'static str {
    match op {
        AssignOp::Set => "=",
        AssignOp::Add => "+=",
        AssignOp::Subtract => "-=",
        AssignOp::Multiply => "*=",
        AssignOp::Fill => "??=",
    }
}

fn binary_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Remainder => "%",
        BinaryOp::Concat => "++",
        BinaryOp::Equal => "==",
        BinaryOp::NotEqual => "!=",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterOrEqual => ">=",
        BinaryOp::In => "in",
        BinaryOp::NotIn => "not in",
    }
}

fn envelope_text(envelope: Envelope) -> &'static str {
    match envelope {
        Envelope::Key => "event.key",
        Envelope::Timestamp => "event.timestamp",
        Envelope::Offset => "event.offset",
        Envelope::Partition => "event.partition",
        Envelope::Topic => "event.topic",
        Envelope::Type => "event.type",
        Envelope::Id => "event.id",
        Envelope::Headers => "event.headers",
    }
}
