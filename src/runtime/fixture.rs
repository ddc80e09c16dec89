//! A projection for the runtime's own tests, built by hand, with a second implementation of it to compare with.
//!
//! ```proj
//! projection accounts {
//!   from bank                                  // type: header("type")
//!   where .amount != 0                         // Deposited only
//!   key .account
//!   state { total: int = 0, count: int = 0, mixed: int = 0, note: string? }
//!   on Deposited { if .amount == 13 { skip }  total += .amount  count += 1  mixed = (mixed * 31 + .amount) % 1000003  note = .note }
//!   on Closed { delete }
//!   into cosmos when total >= 0 as { account, total, count, mixed, note } { ints: "string" }
//!   into cache as { total } { ints: "string" }
//! }
//! ```
//! `mixed` depends on the order of an account's events; a total that does not fit is a fault of class eval.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::EventTime;
use crate::language::span::Span;
use crate::language::typed::*;
use crate::plan::{Plan, lower};
use crate::sources::memory::MemoryRecord;
use crate::value::{Type, Value};

pub(crate) const TOPIC: &str = "bank.log";
const NONE: Span = Span { file: crate::language::span::FileId(0), start: 0, end: 0 };

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: NONE }
}

fn int(value: i64) -> Expr {
    expr(ExprKind::Constant(Value::Int(value)), Type::Int)
}

fn slot(index: usize, ty: Type) -> Expr {
    expr(ExprKind::Slot(index), ty)
}

fn state(index: usize, ty: Type) -> Expr {
    expr(ExprKind::State(index), ty)
}

fn binary(op: BinaryOp, left: Expr, right: Expr, ty: Type) -> Expr {
    expr(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty)
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: NONE }
}

fn assign(field: usize, ty: Type, op: AssignOp, value: Expr) -> Stmt {
    stmt(StmtKind::Assign { place: Place { field, steps: Vec::new(), ty, span: NONE }, op, value })
}

fn field(name: &str, ty: Type, default: Option<Value<'static>>) -> StateField {
    StateField { name: name.into(), ty, default, hidden: false }
}

fn used(name: &str, ty: Type) -> Slot {
    let optional_at = vec![ty.is_optional()];
    Slot { path: vec![name.into()], ty, optional_at, default: None, text_or_int: false, span: NONE }
}

fn text() -> Type {
    Type::String(None)
}

fn deposited() -> EventProgram {
    let amount = || slot(1, Type::Int);
    let unlucky = binary(BinaryOp::Equal, amount(), int(13), Type::Bool);
    let mixed = binary(BinaryOp::Multiply, state(2, Type::Int), int(31), Type::Int);
    let mixed = binary(BinaryOp::Add, mixed, amount(), Type::Int);
    let mixed = binary(BinaryOp::Remainder, mixed, int(1_000_003), Type::Int);
    EventProgram {
        topic: 0,
        event: "Deposited".into(),
        slots: vec![used("account", text()), used("amount", Type::Int), used("note", text().optional())],
        declared_fields: None,
        filter: Some(binary(BinaryOp::NotEqual, amount(), int(0), Type::Bool)),
        key: vec![slot(0, text())],
        body: vec![
            stmt(StmtKind::Touch),
            stmt(StmtKind::If { condition: unlucky, then: vec![stmt(StmtKind::Skip)], otherwise: Vec::new() }),
            assign(1, Type::Int, AssignOp::Add, int(1)),
            assign(0, Type::Int, AssignOp::Add, amount()),
            assign(2, Type::Int, AssignOp::Set, mixed),
            assign(3, text().optional(), AssignOp::Set, slot(2, text().optional())),
        ],
        locals: 0,
    }
}

fn closed() -> EventProgram {
    EventProgram {
        topic: 0,
        event: "Closed".into(),
        slots: vec![used("account", text())],
        declared_fields: None,
        filter: None,
        key: vec![slot(0, text())],
        body: vec![stmt(StmtKind::Touch), stmt(StmtKind::Delete)],
        locals: 0,
    }
}

fn sink(kind: SinkKind, name: &str, when: Option<Expr>, document: Vec<(Arc<str>, Expr)>) -> Into {
    Into {
        kind,
        name: name.into(),
        connection: name.into(),
        when,
        document,
        locals: 0,
        // Totals go past 2^53.
        options: SinkOptions { ints_as_text: true, ..SinkOptions::default() },
        span: NONE,
    }
}

/// The projection above with these policies.
pub(crate) fn projection(decode: FaultAction, eval: FaultAction) -> Projection {
    let key = || expr(ExprKind::Key(0), text());
    let solvent = binary(BinaryOp::GreaterOrEqual, state(0, Type::Int), int(0), Type::Bool);
    let document = vec![
        ("account".into(), key()),
        ("total".into(), state(0, Type::Int)),
        ("count".into(), state(1, Type::Int)),
        ("mixed".into(), state(2, Type::Int)),
        ("note".into(), state(3, text().optional())),
    ];
    Projection {
        name: "accounts".into(),
        span: NONE,
        topics: vec![Topic {
            name: "bank".into(),
            log_name: TOPIC.into(),
            via: None,
            event_type: EventTypeFrom::Header("type".into()),
            unknown: Unknown::Drop,
            programs: vec![("Deposited".into(), 0), ("Closed".into(), 1)],
            declared: vec!["Deposited".into(), "Closed".into(), "Renamed".into()],
            tombstone: None,
        }],
        key: vec![KeyPart { name: "account".into(), ty: text() }],
        state: vec![
            field("total", Type::Int, Some(Value::Int(0))),
            field("count", Type::Int, Some(Value::Int(0))),
            field("mixed", Type::Int, Some(Value::Int(0))),
            field("note", text().optional(), Some(Value::None)),
        ],
        programs: vec![deposited(), closed()],
        sinks: vec![
            sink(SinkKind::Cosmos, "cosmos", Some(solvent), document),
            sink(SinkKind::Cache, "cache", None, vec![("total".into(), state(0, Type::Int))]),
        ],
        on_error: OnError {
            decode,
            eval,
            key: FaultAction::Fail,
            sink: SinkFaultAction { retry: None, then: FaultAction::Fail },
        },
    }
}

/// The projection above with a second durable sink, `into search when count >= 2 as { total, note }`.
pub(crate) fn with_search(mut projection: Projection) -> Projection {
    let known = binary(BinaryOp::GreaterOrEqual, state(1, Type::Int), int(2), Type::Bool);
    let document = vec![("total".into(), state(0, Type::Int)), ("note".into(), state(3, text().optional()))];
    projection.sinks.push(sink(SinkKind::Elasticsearch, "search", Some(known), document));
    projection
}

pub(crate) fn plan(decode: FaultAction, eval: FaultAction) -> Arc<Plan> {
    Arc::new(lower(projection(decode, eval)))
}

/// What one record says.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    Deposited { account: u32, amount: i64, note: Option<String> },
    Closed { account: u32 },
    Malformed,
    Unwanted,
}

impl Given {
    pub fn record(&self, time: i64) -> MemoryRecord {
        let (ty, value) = match self {
            Given::Deposited { account, amount, note } => {
                let note = note.as_ref().map_or("null".to_owned(), |note| format!("\"{note}\""));
                ("Deposited", format!("{{\"account\":\"a{account}\",\"amount\":{amount},\"note\":{note}}}"))
            }
            Given::Closed { account } => ("Closed", format!("{{\"account\":\"a{account}\"}}")),
            Given::Malformed => ("Deposited", "{\"account\":\"a1\",\"amount\":".to_owned()),
            Given::Unwanted => ("Renamed", "{}".to_owned()),
        };
        MemoryRecord {
            value: Some(value.into_bytes()),
            headers: vec![(b"type".to_vec(), ty.as_bytes().to_vec())],
            time: Some(EventTime(time)),
            ..MemoryRecord::default()
        }
    }
}

/// An account as the second implementation has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Account {
    pub total: i64,
    pub count: i64,
    pub mixed: i64,
    pub note: Option<String>,
}

/// Why an event does not count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Faulted;

/// Folds one event.
pub(crate) fn fold(accounts: &mut BTreeMap<String, Account>, event: &Given) -> Result<(), Faulted> {
    match event {
        Given::Deposited { account, amount, note } if *amount != 0 && *amount != 13 => {
            let key = format!("a{account}");
            let before = accounts.get(&key).cloned().unwrap_or_default();
            let total = before.total.checked_add(*amount).ok_or(Faulted)?;
            let mixed = (before.mixed * 31).checked_add(*amount).ok_or(Faulted)? % 1_000_003;
            accounts.insert(key, Account { total, count: before.count + 1, mixed, note: note.clone() });
        }
        Given::Closed { account } => drop(accounts.remove(&format!("a{account}"))),
        Given::Malformed => return Err(Faulted),
        Given::Deposited { .. } | Given::Unwanted => {}
    }
    Ok(())
}

/// The accounts after these events, those that do not fit left out.
pub(crate) fn expected<'a>(events: impl IntoIterator<Item = &'a Given>) -> BTreeMap<String, Account> {
    let mut accounts = BTreeMap::new();
    for event in events {
        let _ = fold(&mut accounts, event); // a faulted event changes nothing
    }
    accounts
}

impl Account {
    /// The document in `search`, up to `_proj`; none when it is not a member.
    pub fn searched(&self) -> Option<String> {
        let note = self.note.as_ref().map_or("null".to_owned(), |note| format!("\"{note}\""));
        (self.count >= 2).then(|| format!("{{\"total\":\"{}\",\"note\":{note},", self.total))
    }

    /// The document in `cosmos`, up to `_proj`; none when it is not a member.
    pub fn document(&self, key: &str) -> Option<String> {
        let Account { total, count, mixed, note } = self;
        let note = note.as_ref().map_or("null".to_owned(), |note| format!("\"{note}\""));
        (*total >= 0).then(|| {
            format!(
                "{{\"id\":\"{key}\",\"account\":\"{key}\",\"total\":\"{total}\",\"count\":\"{count}\",\"mixed\":\"{mixed}\",\"note\":{note},"
            )
        })
    }
}

/// A document without `_proj`, which stands last.
pub(crate) fn without_mark(document: &[u8]) -> String {
    let text = String::from_utf8(document.to_vec()).expect("JSON is UTF-8");
    let mark = text.rfind("\"_proj\"").expect("every document has it");
    text[..mark].to_owned()
}
