//! `state { … }` → the fields of the row: constants they start from, aggregates that keep them.

use crate::language::ast::{self, Argument, ExprKind, Name};
use crate::language::check::Globals;
use crate::language::check::context::StateInfo;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Ty};
use crate::language::span::{FileId, Span};
use crate::language::typed;
use crate::value::{Decimal, Type, Value};

/// The aggregates there are; those the design has for later.
pub(crate) const AGGREGATES: &[&str] = &["count", "sum", "min", "max", "first", "last", "avg"];
const LATER: &[&str] = &["collect", "distinct", "top", "bottom", "histogram", "approx_distinct"];

/// An aggregate as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AggregateUse<'a> {
    pub name: &'a Name,
    pub argument: Option<&'a ast::Expr>,
    pub span: Span,
}

/// A state field as declared.
#[derive(Debug, Clone)]
pub(crate) struct FieldDecl<'a> {
    pub name: &'a Name,
    /// The written type.
    pub ty: Option<Ty>,
    pub default: Option<Value<'static>>,
    pub aggregate: Option<AggregateUse<'a>>,
}

impl<'a> Globals<'a> {
    pub fn state_fields(&mut self, fields: &'a [ast::StateField], file: FileId) -> Vec<FieldDecl<'a>> {
        let mut read: Vec<FieldDecl<'a>> = Vec::new();
        for field in fields {
            self.refuse_attributes(&field.attributes);
            self.check_row_name(&field.name);
            if let Some(first) = read.iter().find(|other| other.name.text == field.name.text) {
                let message = format!("state field `{}` is declared twice", field.name.text);
                self.report(
                    Diagnostic::error(codes::DECLARED_TWICE, message, field.name.span, "again here")
                        .with_label(first.name.span, "declared first here")
                        .with_help("give one of them another name"),
                );
                continue;
            }
            let ty = field.ty.as_ref().map(|ty| self.type_of(ty, file));
            let checked = self.state_field(field, ty, file);
            read.push(checked);
        }
        read
    }

    fn state_field(&mut self, field: &'a ast::StateField, ty: Option<Ty>, file: FileId) -> FieldDecl<'a> {
        let mut checked = FieldDecl { name: &field.name, ty, default: None, aggregate: None };
        match &field.init {
            None if checked.ty.is_none() => {
                let message = format!("`{}` has neither a type nor a value", field.name.text);
                self.report(
                    Diagnostic::error(codes::STATE_FIELD, message, field.name.span, "what is it?")
                        .with_help(format!("write `{}: int = 0`, or `{} = count()`", field.name.text, field.name.text)),
                );
                checked.ty = Some(Ty::Error);
            }
            None => {
                if checked.ty.as_ref().is_some_and(Ty::is_optional) {
                    checked.default = Some(Value::None);
                }
            }
            Some(init) => match aggregate_call(init) {
                Some((name, arguments)) => checked.aggregate = self.aggregate(name, arguments, init.span),
                None => self.default(&mut checked, init, file),
            },
        }
        if checked.aggregate.is_none() && checked.ty.is_none() {
            checked.ty = Some(Ty::Error);
        }
        checked
    }

    fn default(&mut self, field: &mut FieldDecl<'a>, init: &ast::Expr, file: FileId) {
        let Some((value, ty)) = self.evaluate(init, field.ty.as_ref(), file) else {
            field.ty.get_or_insert(Ty::Error);
            return;
        };
        let vague = field.ty.is_none()
            && (matches!(ty, Ty::None | Ty::Record(_)) || matches!(&ty, Ty::List(element) if **element == Ty::Never));
        if vague {
            let message = format!("the type of `{}` cannot be told from this value", field.name.text);
            self.report(
                Diagnostic::error(codes::STATE_FIELD, message, init.span, "of what type?")
                    .with_help(format!("write the type: `{}: list<string> = []`", field.name.text)),
            );
        }
        field.default = Some(value);
        field.ty.get_or_insert(ty);
    }

    fn aggregate(&mut self, name: &'a Name, arguments: &'a [Argument], span: Span) -> Option<AggregateUse<'a>> {
        let word = &*name.text;
        if LATER.contains(&word) {
            self.refuse(codes::NO_AGGREGATE, &format!("aggregate `{word}` is not supported yet"), name.span);
            return None;
        }
        for label in arguments.iter().filter_map(|argument| argument.name.as_ref()) {
            match &*label.text {
                "when" => {
                    self.refuse(codes::NO_AGGREGATE_WHEN, "`when:` of an aggregate is not supported yet", label.span)
                }
                "by" => self.refuse(codes::NO_AGGREGATE_BY, "`by:` of an aggregate is not supported yet", label.span),
                other => {
                    let message = format!("`{word}` has no argument named `{other}`");
                    self.report(Diagnostic::error(codes::ARGUMENTS, message, label.span, "not known"));
                }
            }
        }
        let plain: Vec<&Argument> = arguments.iter().filter(|argument| argument.name.is_none()).collect();
        let argument = match (word, plain.as_slice()) {
            ("count", []) => None,
            ("count", [first, ..]) => {
                let message = "`count` takes no argument: it counts events";
                let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, first.value.span, "not needed");
                self.report(diagnostic.with_help("write `count()`"));
                None
            }
            (_, [only]) => Some(&only.value),
            _ => {
                let message = format!("`{word}` takes one argument");
                let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, span, format!("{} given", plain.len()));
                self.report(diagnostic.with_help(format!("write `{word}(.field)`")));
                return None;
            }
        };
        Some(AggregateUse { name, argument, span })
    }
}

/// The call of an aggregate, if that is what an initialiser is.
fn aggregate_call(init: &ast::Expr) -> Option<(&Name, &[Argument])> {
    let ExprKind::Call { callee, arguments } = &init.kind else { return None };
    let ExprKind::Name(name) = &callee.kind else { return None };
    let known = AGGREGATES.contains(&&*name.text) || LATER.contains(&&*name.text);
    known.then_some((name, arguments))
}

/// The fields as handlers see them, types filled in by variables where use tells.
pub(crate) fn open_fields(fields: &[FieldDecl], inference: &mut Inference) -> Vec<StateInfo> {
    let field = |(index, field): (usize, &FieldDecl)| StateInfo {
        name: field.name.clone(),
        ty: match (&field.ty, field.aggregate.map(|aggregate| &*aggregate.name.text)) {
            (Some(ty), _) => ty.clone(),
            (None, Some("count")) => Ty::Int,
            (None, Some("avg")) => Ty::DECIMAL,
            (None, _) => inference.fresh(format!("`{}`", field.name.text)),
        },
        default: field.default.clone(),
        aggregate: field.aggregate.is_some(),
        index,
    };
    fields.iter().enumerate().map(field).collect()
}

/// The row: the fields, then the hidden ones behind each `avg`.
pub(crate) fn row(fields: &[FieldDecl], infos: &[StateInfo]) -> Vec<typed::StateField> {
    let mut row: Vec<typed::StateField> = Vec::new();
    for (field, info) in fields.iter().zip(infos) {
        let ty = info.ty.settled();
        let default = match field.aggregate.map(|aggregate| &*aggregate.name.text) {
            Some("count" | "sum") => zero(&ty),
            _ if ty.is_optional() && field.default.is_none() => Some(Value::None),
            _ => field.default.clone(),
        };
        row.push(typed::StateField { name: field.name.text.clone(), ty, default, hidden: false });
    }
    for field in fields.iter().filter(|field| is_avg(field)) {
        let hidden = |part: &str, ty: Type| typed::StateField {
            name: format!("{}.{part}", field.name.text).into(),
            default: zero(&ty),
            ty,
            hidden: true,
        };
        row.push(hidden("sum", Type::Decimal(None)));
        row.push(hidden("count", Type::Int));
    }
    row
}

/// Where the hidden sum and count of an `avg` stand in the row.
pub(crate) fn hidden_of(fields: &[FieldDecl], index: usize) -> (usize, usize) {
    let before = fields[..index].iter().filter(|field| is_avg(field)).count();
    (fields.len() + 2 * before, fields.len() + 2 * before + 1)
}

fn is_avg(field: &FieldDecl) -> bool {
    field.aggregate.is_some_and(|aggregate| &*aggregate.name.text == "avg")
}

fn zero(ty: &Type) -> Option<Value<'static>> {
    Some(match ty.required() {
        Type::Int => Value::Int(0),
        Type::Decimal(scale) => Value::Decimal(Decimal::from_parts(0, scale.unwrap_or(0))?),
        Type::Float => Value::Float(0.0),
        Type::Duration => Value::Duration(0),
        _ => return None,
    })
}
