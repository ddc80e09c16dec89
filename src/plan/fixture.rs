//! A projection built by hand, for the tests of this room: balances of accounts, folded from deposits and withdrawals.

use std::sync::Arc;

use crate::event::batch::NewRecord;
use crate::event::{EventTime, Offset, RecordBatch, TopicPartition};
use crate::language::span::Span;
use crate::language::typed::*;
use crate::plan::eval::EventView;
use crate::value::{Decimal, RecordField, RecordType, Slot as Filled, SlotBuffer, Type, Value};

pub fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

pub fn constant(value: Value<'static>, ty: Type) -> Expr {
    expr(ExprKind::Constant(value), ty)
}

pub fn int(value: i64) -> Expr {
    constant(Value::Int(value), Type::Int)
}

pub fn decimal(text: &str) -> Expr {
    constant(Value::Decimal(Decimal::parse(text).unwrap()), Type::Decimal(None))
}

pub fn text(text: &str) -> Expr {
    constant(Value::text(text), Type::String(None))
}

pub fn slot(index: usize, ty: Type) -> Expr {
    expr(ExprKind::Slot(index), ty)
}

pub fn state(index: usize, ty: Type) -> Expr {
    expr(ExprKind::State(index), ty)
}

pub fn local(index: usize, ty: Type) -> Expr {
    expr(ExprKind::Local(index), ty)
}

pub fn binary(op: BinaryOp, left: Expr, right: Expr, ty: Type) -> Expr {
    expr(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty)
}

pub fn and(left: Expr, right: Expr) -> Expr {
    expr(ExprKind::And(Box::new(left), Box::new(right)), Type::Bool)
}

pub fn call(function: Function, arguments: Vec<Expr>, ty: Type) -> Expr {
    expr(ExprKind::Call { function, arguments }, ty)
}

pub fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: Span::default() }
}

pub fn assign(field: usize, steps: Vec<PlaceStep>, ty: Type, op: AssignOp, value: Expr) -> Stmt {
    stmt(StmtKind::Assign { place: Place { field, steps, ty, span: Span::default() }, op, value })
}

pub fn record(fields: &[(&str, Type)]) -> Type {
    let fields = fields.iter().map(|(name, ty)| RecordField { name: (*name).into(), ty: ty.clone() }).collect();
    Type::Record(Arc::new(RecordType { name: None, fields }))
}

pub const MONEY: Type = Type::Decimal(Some(2));
pub const TEXT: Type = Type::String(None);

/// Fields of the row, by index.
pub const BALANCE: usize = 0;
pub const COUNT: usize = 1;
pub const BY_CHANNEL: usize = 2;
pub const UPDATED: usize = 3;
pub const BIGGEST: usize = 4;
pub const HOLDS: usize = 5;

/// Slots of every event, by index.
pub const ACCOUNT: usize = 0;
pub const AMOUNT: usize = 1;
pub const CURRENCY: usize = 2;
pub const CHANNEL: usize = 3;
pub const AT: usize = 4;

pub fn by_channel() -> Type {
    Type::Map(Arc::new(TEXT), Arc::new(MONEY))
}

/// `map<string, { amount: decimal(2), note: string? }>`.
pub fn holds() -> Type {
    Type::Map(Arc::new(TEXT), Arc::new(record(&[("amount", MONEY), ("note", TEXT.optional())])))
}

fn field(name: &str, ty: Type, default: Option<Value<'static>>) -> StateField {
    StateField { name: name.into(), ty, default, hidden: false }
}

fn program(event: &str, body: Vec<Stmt>) -> EventProgram {
    let slot = |name: &str, ty: Type| Slot {
        path: vec![name.into()],
        ty,
        optional_at: vec![false],
        default: None,
        text_or_int: false,
        span: Span::default(),
    };
    EventProgram {
        topic: 0,
        event: event.into(),
        slots: vec![
            slot("account_id", TEXT),
            slot("amount", MONEY),
            slot("currency", TEXT),
            slot("channel", TEXT),
            slot("at", Type::Timestamp),
        ],
        declared_fields: Some(7),
        filter: None,
        key: vec![self::slot(ACCOUNT, TEXT)],
        body,
        locals: 2,
    }
}

/// `if .amount > 0 and .currency == "NOK" { balance += …  count += 1  biggest = max  updated = .at }`.
pub fn deposit() -> Stmt {
    let amount = || slot(AMOUNT, MONEY);
    let condition = and(
        binary(BinaryOp::Greater, amount(), decimal("0"), Type::Bool),
        binary(BinaryOp::Equal, slot(CURRENCY, TEXT), text("NOK"), Type::Bool),
    );
    let biggest = expr(ExprKind::Coalesce(Box::new(state(BIGGEST, MONEY.optional())), Box::new(amount())), MONEY);
    stmt(StmtKind::If {
        condition,
        then: vec![
            stmt(StmtKind::Touch),
            assign(BALANCE, vec![], MONEY, AssignOp::Add, amount()),
            assign(COUNT, vec![], Type::Int, AssignOp::Add, int(1)),
            assign(
                BIGGEST,
                vec![],
                MONEY.optional(),
                AssignOp::Set,
                call(Function::MaxOf, vec![biggest, amount()], MONEY),
            ),
            assign(UPDATED, vec![], Type::Timestamp, AssignOp::Set, slot(AT, Type::Timestamp)),
        ],
        otherwise: vec![],
    })
}

/// `by_channel[.channel] += .amount`.
pub fn add_to_channel() -> Stmt {
    let key = PlaceStep::Entry(slot(CHANNEL, TEXT));
    assign(BY_CHANNEL, vec![key], MONEY, AssignOp::Add, slot(AMOUNT, MONEY))
}

/// A projection whose one event, `Deposited`, runs this body.
pub fn projection(body: Vec<Stmt>) -> Projection {
    let document = [("balance", BALANCE), ("count", COUNT), ("by_channel", BY_CHANNEL), ("updated", UPDATED)];
    let state_fields = vec![
        field("balance", MONEY, Some(Value::Decimal(Decimal::new(0, 2)))),
        field("count", Type::Int, Some(Value::Int(0))),
        field("by_channel", by_channel(), Some(Value::map([]))),
        field("updated", Type::Timestamp, None),
        field("biggest", MONEY.optional(), Some(Value::None)),
        field("holds", holds(), Some(Value::map([]))),
    ];
    let key = expr(ExprKind::Key(0), TEXT);
    let shown = document.map(|(name, index)| (name.into(), state(index, state_fields[index].ty.clone())));
    let sink = Into {
        kind: SinkKind::Cosmos,
        name: "cosmos".into(),
        connection: "cosmos".into(),
        when: Some(binary(BinaryOp::Greater, state(COUNT, Type::Int), int(0), Type::Bool)),
        document: [("account_id".into(), key)].into_iter().chain(shown).collect(),
        locals: 0,
        options: SinkOptions {
            all: vec![
                SinkOption {
                    name: "container".into(),
                    class: OptionClass::Identity,
                    value: OptionValue::Constant(Value::text("Accounts")),
                },
                SinkOption {
                    name: "batch".into(),
                    class: OptionClass::Tuning,
                    value: OptionValue::Block(vec![("max_items".into(), OptionValue::Constant(Value::Int(100)))]),
                },
            ],
            ..SinkOptions::default()
        },
        span: Span::default(),
    };
    Projection {
        name: "accounts".into(),
        span: Span::default(),
        topics: vec![Topic {
            name: "transactions".into(),
            log_name: "bank.transactions".into(),
            via: None,
            event_type: EventTypeFrom::Header("type".into()),
            unknown: Unknown::Drop,
            programs: vec![("Deposited".into(), 0)],
            declared: vec!["Deposited".into(), "Viewed".into()],
            tombstone: None,
        }],
        key: vec![KeyPart { name: "account_id".into(), ty: TEXT }],
        state: state_fields,
        programs: vec![program("Deposited", body)],
        sinks: vec![sink],
        on_error: OnError {
            decode: FaultAction::DeadLetter("projector.dead".into()),
            eval: FaultAction::Fail,
            key: FaultAction::Fail,
            sink: SinkFaultAction { retry: None, then: FaultAction::Fail },
        },
    }
}

/// A decoded event.
pub struct Event {
    batch: RecordBatch,
    slots: Vec<Filled>,
    buffer: SlotBuffer,
}

impl Event {
    pub fn new(amount: &str, currency: &str, channel: &str, at: i64) -> Event {
        let mut batch = RecordBatch::default();
        batch.inputs = Arc::new(vec![TopicPartition { topic: "bank.transactions".into(), partition: 3 }]);
        let new = NewRecord { time: Some(EventTime(at)), key: Some(b"a1"), value: Some(b"{}"), malformed: None };
        batch.push(0, Offset(7), new, [(&b"type"[..], &b"Deposited"[..])]);
        let mut buffer = SlotBuffer::default();
        let slots = vec![
            buffer.push_text("a1"),
            Filled::Decimal(Decimal::parse(amount).unwrap()),
            buffer.push_text(currency),
            buffer.push_text(channel),
            Filled::Timestamp(at),
        ];
        Event { batch, slots, buffer }
    }

    pub fn view(&self) -> EventView<'_> {
        EventView { record: self.batch.record(0), event_type: "Deposited", slots: &self.slots, buffer: &self.buffer }
    }
}
