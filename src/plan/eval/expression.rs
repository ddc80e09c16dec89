//! Expressions → values.

use std::cmp::Ordering;

use crate::language::codes;
use crate::language::typed::{Arm, BinaryOp, Conversion, Envelope, Expr, ExprKind, FaultClass, Pattern};
use crate::plan::eval::{Context, Regexes, arithmetic, convert};
use crate::plan::{Fault, functions, key};
use crate::value::{AsKey, Type, Value, text};

/// Evaluates expressions over one event, one row, or both.
pub(crate) struct Evaluator<'e, 'a> {
    pub context: &'e Context<'a>,
    pub state: &'e [Value<'static>],
    pub locals: &'e mut [Value<'a>],
    pub regexes: &'e mut Regexes,
}

pub(crate) type Evaluated<'a> = Result<Value<'a>, Box<Fault>>;

/// An operand that is only looked at: state is not copied for it.
enum Operand<'e, 'a> {
    State(&'e Value<'static>),
    Constant(&'a Value<'static>),
    Own(Value<'a>),
}

impl<'a> Operand<'_, 'a> {
    fn get<'s>(&'s self) -> &'s Value<'a> {
        match self {
            Operand::State(value) | Operand::Constant(value) => value,
            Operand::Own(value) => value,
        }
    }
}

impl<'e, 'a> Evaluator<'e, 'a> {
    // Leaves are the most of what is evaluated, and take none of the stack that operators need.
    #[inline]
    pub fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        Ok(match &expr.kind {
            ExprKind::Constant(value) => constant(value),
            ExprKind::Slot(index) => self.slot(*index),
            ExprKind::State(index) => self.state[*index].clone(),
            ExprKind::Local(index) => self.locals[*index].clone(),
            _ => return self.operator(expr),
        })
    }

    #[inline(never)]
    fn operator(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        Ok(match &expr.kind {
            ExprKind::Constant(_) | ExprKind::Slot(_) | ExprKind::State(_) | ExprKind::Local(_) => {
                return self.eval(expr);
            }
            ExprKind::Key(index) => self.key(*index),
            ExprKind::Envelope(envelope) => self.envelope(*envelope, expr)?,
            ExprKind::Exists | ExprKind::Not(_) | ExprKind::And(..) | ExprKind::Or(..) => Value::Bool(self.test(expr)?),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, expr)?,
            ExprKind::Negate(value) => self.negate(value, expr)?,
            ExprKind::Coalesce(left, right) => match self.eval(left)? {
                Value::None => self.eval(right)?,
                value => value,
            },
            ExprKind::Unwrap(value) => match self.eval(value)? {
                Value::None => return Err(self.absent(value)),
                present => present,
            },
            ExprKind::Field { base, index } => self.field(base, *index)?,
            ExprKind::Chain { base, local, rest } => match self.eval(base)? {
                Value::None => Value::None,
                present => {
                    self.locals[*local] = present;
                    self.eval(rest)?
                }
            },
            ExprKind::Index { base, index } => self.index(base, index)?,
            ExprKind::If { condition, then, otherwise } => {
                let branch = if self.test(condition)? { then } else { otherwise };
                self.eval(branch)?
            }
            ExprKind::Match { subject, arms } => self.matched(subject, arms)?,
            ExprKind::Let { local, value, body } => {
                self.locals[*local] = self.eval(value)?;
                self.eval(body)?
            }
            ExprKind::Record(fields) => Value::record(self.all(fields)?),
            ExprKind::List(items) => Value::list(self.all(items)?),
            ExprKind::Set(items) => Value::set(self.all(items)?),
            ExprKind::Map(entries) => self.map(entries)?,
            ExprKind::Interpolate(parts) => self.interpolate(parts)?,
            ExprKind::Convert { conversion, value } => self.convert(*conversion, value, expr)?,
            ExprKind::Call { function, arguments } => functions::call(self, *function, arguments, expr)?,
            ExprKind::Lambda { .. } => unreachable!("a lambda is only an argument"),
        })
    }

    /// A condition.
    pub fn test(&mut self, expr: &'a Expr) -> Result<bool, Box<Fault>> {
        match &expr.kind {
            ExprKind::And(left, right) => Ok(self.test(left)? && self.test(right)?),
            ExprKind::Or(left, right) => Ok(self.test(left)? || self.test(right)?),
            ExprKind::Not(inner) => Ok(!self.test(inner)?),
            ExprKind::Exists => Ok(self.context.exists),
            ExprKind::Binary { op, left, right } if is_comparison(*op) => self.compare(*op, left, right),
            _ => Ok(matches!(self.eval(expr)?, Value::Bool(true))),
        }
    }

    fn compare(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr) -> Result<bool, Box<Fault>> {
        if let Some(order) = self.plain_order(left, right)
            && let Some(holds) = holds(op, order)
        {
            return Ok(holds);
        }
        self.compare_values(op, left, right)
    }

    #[inline(never)]
    fn compare_values(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr) -> Result<bool, Box<Fault>> {
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        let (left, right) = (left.get(), right.get());
        Ok(match op {
            BinaryOp::Equal => left == right,
            BinaryOp::NotEqual => left != right,
            BinaryOp::Less => left < right,
            BinaryOp::LessOrEqual => left <= right,
            BinaryOp::Greater => left > right,
            BinaryOp::GreaterOrEqual => left >= right,
            BinaryOp::In => contains(right, left),
            BinaryOp::NotIn => !contains(right, left),
            _ => unreachable!("only comparisons come here"),
        })
    }

    fn operand(&mut self, expr: &'a Expr) -> Result<Operand<'e, 'a>, Box<Fault>> {
        Ok(match &expr.kind {
            ExprKind::State(index) => Operand::State(&self.state[*index]),
            ExprKind::Constant(value) => Operand::Constant(value),
            _ => Operand::Own(self.eval(expr)?),
        })
    }

    #[inline(never)]
    fn binary(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr, expr: &'a Expr) -> Evaluated<'a> {
        if is_comparison(op) {
            return Ok(Value::Bool(self.compare(op, left, right)?));
        }
        let (a, b) = (self.operand(left)?, self.operand(right)?);
        let (a, b) = (a.get(), b.get());
        let result = arithmetic::binary(op, a, b, &expr.ty);
        result.ok_or_else(|| self.overflow(expr, &format!("{} {} {}", shown(a), op_text(op), shown(b))))
    }

    #[inline(never)]
    fn negate(&mut self, value: &'a Expr, expr: &'a Expr) -> Evaluated<'a> {
        let value = self.eval(value)?;
        arithmetic::negate(&value).ok_or_else(|| self.overflow(expr, &format!("-{}", shown(&value))))
    }

    #[inline(never)]
    fn convert(&mut self, conversion: Conversion, value: &'a Expr, expr: &'a Expr) -> Evaluated<'a> {
        let from = &value.ty;
        let value = self.eval(value)?;
        let converted = convert::convert(value, conversion, from, &expr.ty);
        converted.map_err(|misfit| misfit.fault(self.context, expr.span))
    }

    #[inline]
    fn slot(&self, index: usize) -> Value<'a> {
        let view = self.context.view.expect("slots are read only with an event");
        view.buffer.value(view.slots[index])
    }

    #[inline(never)]
    fn key(&self, index: usize) -> Value<'a> {
        let part = &self.context.projection.key[index];
        key::part(self.context.key_text, index, &part.ty).expect("the engine wrote the key text from this type")
    }

    #[inline(never)]
    fn field(&mut self, base: &'a Expr, index: usize) -> Evaluated<'a> {
        let base = self.operand(base)?;
        Ok(match base.get() {
            Value::Record(fields) => fields[index].clone(),
            _ => Value::None,
        })
    }

    #[inline(never)]
    fn index(&mut self, base: &'a Expr, index: &'a Expr) -> Evaluated<'a> {
        let (base, index) = (self.operand(base)?, self.operand(index)?);
        let found = match (base.get(), index.get()) {
            (Value::Map(entries), key) => entries.get(key as &dyn AsKey),
            (Value::List(items), Value::Int(index)) => usize::try_from(*index).ok().and_then(|i| items.get(i)),
            _ => None,
        };
        Ok(found.cloned().unwrap_or(Value::None))
    }

    #[inline(never)]
    fn matched(&mut self, subject: &'a Expr, arms: &'a [Arm]) -> Evaluated<'a> {
        let subject = self.eval(subject)?;
        for arm in arms {
            if self.arm_matches(&subject, &arm.patterns, arm.guard.as_ref())? {
                return self.eval(&arm.value);
            }
        }
        unreachable!("check proves that some arm matches")
    }

    /// Whether one of the patterns matches and the guard holds; binds the pattern's name.
    pub fn arm_matches(
        &mut self,
        subject: &Value<'a>,
        patterns: &'a [Pattern],
        guard: Option<&'a Expr>,
    ) -> Result<bool, Box<Fault>> {
        let matched = patterns.iter().any(|pattern| match pattern {
            Pattern::Any => true,
            Pattern::Constant(constant) => constant == subject,
            Pattern::Bind(local) => {
                self.locals[*local] = subject.clone();
                true
            }
        });
        match guard {
            Some(guard) if matched => self.test(guard),
            _ => Ok(matched),
        }
    }

    #[inline(never)]
    fn all(&mut self, exprs: &'a [Expr]) -> Result<Vec<Value<'static>>, Box<Fault>> {
        exprs.iter().map(|expr| Ok(self.eval(expr)?.into_static())).collect()
    }

    #[inline(never)]
    fn map(&mut self, entries: &'a [(Expr, Expr)]) -> Evaluated<'a> {
        let entries = entries.iter().map(|(k, v)| Ok((self.eval(k)?.into_static(), self.eval(v)?.into_static())));
        Ok(Value::map(entries.collect::<Result<Vec<_>, Box<Fault>>>()?))
    }

    #[inline(never)]
    fn interpolate(&mut self, parts: &'a [Expr]) -> Evaluated<'a> {
        let mut joined = String::new();
        for part in parts {
            let value = self.operand(part)?;
            text::write(value.get(), &part.ty, &mut joined).expect("writing to a string cannot fail");
        }
        Ok(Value::text(joined))
    }

    #[inline(never)]
    fn envelope(&mut self, envelope: Envelope, expr: &'a Expr) -> Evaluated<'a> {
        let view = self.context.view.expect("the envelope is read only with an event");
        let record = view.record;
        Ok(match envelope {
            Envelope::Key => match record.key {
                None => Value::None,
                Some(key) => self.utf8(key, "the record's key", expr)?,
            },
            Envelope::Timestamp => match record.time {
                Some(time) => Value::Timestamp(time.0),
                None => {
                    return Err(self.undecoded(codes::MISSING_FIELD, "the record has no timestamp".to_owned(), expr));
                }
            },
            Envelope::Offset => Value::Int(record.offset.0),
            Envelope::Partition => Value::Int(i64::from(record.source.partition)),
            Envelope::Topic => Value::borrowed(&record.source.topic),
            Envelope::Type => Value::borrowed(view.event_type),
            Envelope::Id => {
                Value::text(format!("{}-{}-{}", record.source.topic, record.source.partition, record.offset))
            }
            Envelope::Headers => unreachable!("headers are read one by one"),
        })
    }

    /// The last header of that name.
    pub fn header(&mut self, name: &str, expr: &'a Expr) -> Evaluated<'a> {
        let view = self.context.view.expect("headers are read only with an event");
        match view.record.headers.last(name) {
            None => Ok(Value::None),
            Some(value) => self.utf8(value, &format!("the header `{name}`"), expr),
        }
    }

    fn utf8(&self, bytes: &'a [u8], what: &str, expr: &Expr) -> Evaluated<'a> {
        std::str::from_utf8(bytes)
            .map(Value::borrowed)
            .map_err(|_| self.undecoded(codes::WRONG_JSON_TYPE, format!("{what} is not UTF-8"), expr))
    }

    /// The envelope is decoded where it is used, so its faults are of that class.
    fn undecoded(&self, code: &'static str, message: String, expr: &Expr) -> Box<Fault> {
        let context = Context { class: FaultClass::Decode, ..*self.context };
        context.fault(code, expr.span, message)
    }

    #[cold]
    fn overflow(&self, expr: &Expr, what: &str) -> Box<Fault> {
        self.context.fault(codes::OVERFLOW, expr.span, format!("{what} does not fit {}", range_of(&expr.ty)))
    }

    /// `!` on what is not there.
    #[cold]
    fn absent(&self, expr: &Expr) -> Box<Fault> {
        let message = match self.name_of(expr) {
            Some(name) => format!("`!` on `{name}`, which is none"),
            None => "`!` on a value that is none".to_owned(),
        };
        self.context.fault(codes::ABSENT, expr.span, message)
    }

    /// What the author calls an expression, when it is a plain name.
    fn name_of(&self, expr: &Expr) -> Option<String> {
        match &expr.kind {
            ExprKind::Slot(index) => Some(format!(".{}", self.context.program?.slots.get(*index)?.path.join("."))),
            ExprKind::State(index) => Some(self.context.projection.state.get(*index)?.name.to_string()),
            ExprKind::Key(index) => Some(self.context.projection.key.get(*index)?.name.to_string()),
            ExprKind::Index { base, .. } => Some(format!("{}[…]", self.name_of(base)?)),
            _ => None,
        }
    }
}

/// A constant lives as long as the program: its text is borrowed.
fn constant<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Text(text) => Value::borrowed(text.as_str()),
        other => other.clone(),
    }
}

/// What an order means for a comparison.
fn holds(op: BinaryOp, order: Ordering) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => order.is_eq(),
        BinaryOp::NotEqual => order.is_ne(),
        BinaryOp::Less => order.is_lt(),
        BinaryOp::LessOrEqual => order.is_le(),
        BinaryOp::Greater => order.is_gt(),
        BinaryOp::GreaterOrEqual => order.is_ge(),
        _ => return None,
    })
}

fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp::{Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, NotEqual, NotIn};
    matches!(op, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual | In | NotIn)
}

/// Whether a list, a set, or the keys of a map hold a value.
pub(crate) fn contains(collection: &Value<'_>, value: &Value<'_>) -> bool {
    match collection {
        Value::List(items) => items.iter().any(|item| item == value),
        Value::Set(items) => items.contains(value as &dyn AsKey),
        Value::Map(entries) => entries.contains_key(value as &dyn AsKey),
        _ => false,
    }
}

/// A value as a message shows it, where no type is at hand.
pub(crate) fn shown(value: &Value<'_>) -> String {
    text::of(value, &Type::None)
}

fn op_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Remainder => "%",
        _ => "++",
    }
}

/// What a type holds, in words.
pub(crate) fn range_of(ty: &Type) -> &'static str {
    match ty.required() {
        Type::Int => "an int (64 bits)",
        Type::Decimal(_) => "a decimal (38 digits, 28 of them after the point)",
        Type::Float => "a float",
        Type::Timestamp => "a timestamp (years 0 to 9999)",
        Type::Date => "a date (years 0 to 9999)",
        Type::Duration => "a duration",
        _ => "its type",
    }
}
