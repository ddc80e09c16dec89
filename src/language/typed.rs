//! The typed program: what `check` proves and the plan is made from. Names are slots here, types are settled,
//! and every (projection, event type) has a program of its own.
//!
//! This is the one intermediate form: the evaluator walks these trees, `explain` prints them, the hashes are taken of
//! their normal form. Spans stay for run-time faults; they are no part of any hash.

use std::sync::Arc;
use std::time::Duration;

use crate::language::span::Span;
use crate::value::json::DecimalStyle;
use crate::value::{Type, Value};

/// All that the given files declare, checked.
#[derive(Debug, Clone)]
pub struct Program {
    pub projections: Vec<Projection>,
    pub tests: Vec<Test>,
}

/// A checked projection.
#[derive(Debug, Clone)]
pub struct Projection {
    pub name: Arc<str>,
    pub span: Span,
    /// In the order of `from`.
    pub topics: Vec<Topic>,
    /// The parts of the key, in order, with their settled types.
    pub key: Vec<KeyPart>,
    /// The fields of the row, hidden ones (for `avg`) last.
    pub state: Vec<StateField>,
    /// One per (topic, event type) that some clause of the projection wants.
    pub programs: Vec<EventProgram>,
    pub sinks: Vec<Into>,
    pub on_error: OnError,
}

#[derive(Debug, Clone)]
pub struct KeyPart {
    pub name: Arc<str>,
    pub ty: Type,
}

#[derive(Debug, Clone)]
pub struct StateField {
    pub name: Arc<str>,
    pub ty: Type,
    /// The constant a fresh row starts from. `None`: the field has no default, every handler that can create the row sets
    /// it (definite assignment), and a fresh row holds `Value::None` there until then.
    pub default: Option<Value<'static>>,
    /// Part of the row only, never of a document: the sum and count behind an `avg`.
    pub hidden: bool,
}

/// A source topic as this projection reads it.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The name in the `.proj` file.
    pub name: Arc<str>,
    /// The name in the log.
    pub log_name: Arc<str>,
    /// `via: "other"`: the connection to read it from.
    pub via: Option<Arc<str>>,
    pub event_type: EventTypeFrom,
    pub unknown: Unknown,
    /// (wire name, index into [`Projection::programs`]) of each wanted type.
    pub programs: Vec<(Arc<str>, usize)>,
    /// Every wire name the topic declares, wanted or not.
    pub declared: Vec<Arc<str>>,
    /// The program that `on topic.tombstone` runs.
    pub tombstone: Option<usize>,
}

/// Where the type of an event stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventTypeFrom {
    Header(Arc<str>),
    /// A top-level field of the JSON value.
    Field(Arc<str>),
    /// The topic has one type of event: `single(Event)`, or neither `type:` nor `events:`. The only entry of
    /// [`Topic::programs`], if it is wanted, is its program.
    Single,
}

/// What to do with an event of a type the topic does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    Drop,
    Fail,
}

/// What one type of event does to a row of one projection.
///
/// Order at run time: slots are filled (fault class *decode*), `filter` decides, `key` is evaluated (class *key*), then
/// `body` runs (class *eval*).
#[derive(Debug, Clone)]
pub struct EventProgram {
    /// Index into [`Projection::topics`].
    pub topic: usize,
    /// The event's name in the file; `tombstone` for the program of tombstones; the topic's name for an anonymous event.
    pub event: Arc<str>,
    /// The payload fields this program uses.
    pub slots: Vec<Slot>,
    /// How many fields the event declares, when it does: for `explain`.
    pub declared_fields: Option<usize>,
    pub filter: Option<Expr>,
    /// One per [`Projection::key`].
    pub key: Vec<Expr>,
    /// Aggregates, then handlers in file order.
    pub body: Vec<Stmt>,
    /// How many locals an evaluation needs.
    pub locals: usize,
}

/// A used payload field: a typed place that decoding fills.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Path of keys from the top of the value; empty for the whole value (`.`).
    pub path: Vec<Arc<str>>,
    /// A missing or null field is `None` if this is optional, else a fault unless there is a default. For a path of more
    /// than one key `optional_at[i]` says whether a missing or null value at `path[..=i]` yields `none` (`?.`) or a fault.
    pub ty: Type,
    pub optional_at: Vec<bool>,
    pub default: Option<Value<'static>>,
    /// A key of an undeclared event, and nothing else: an integer is welcome too, and stands for its digits.
    pub text_or_int: bool,
    /// Where the field is used first, for faults.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum StmtKind {
    /// A state field fed by an aggregate. A `none` argument is skipped (but counted by `count`, which has no argument).
    Aggregate {
        field: usize,
        aggregate: Aggregate,
        argument: Option<Expr>,
    },
    /// `on X if e { … }` and `if e { … } else { … }` both.
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    Match {
        subject: Expr,
        arms: Vec<StmtArm>,
    },
    Let {
        local: usize,
        value: Expr,
    },
    /// `place op value`; the operator's arithmetic is typed by the place.
    Assign {
        place: Place,
        op: AssignOp,
        value: Expr,
    },
    Remove {
        place: Place,
    },
    /// The event ends; the row is gone.
    Delete,
    /// The event ends; what its earlier statements did is undone.
    Skip,
    /// Marks that a handler's block was entered, so that a row exists even if its statements change nothing.
    /// Check puts it first in every handler (inside the handler's `if`).
    Touch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    Count,
    Sum,
    Min,
    Max,
    First,
    Last,
    /// `field` shows `sum / count`; both stand in hidden fields.
    Avg {
        sum: usize,
        count: usize,
    },
}

#[derive(Debug, Clone)]
pub struct StmtArm {
    pub patterns: Vec<Pattern>,
    pub guard: Option<Expr>,
    pub body: Vec<Stmt>,
}

#[derive(Debug, Clone)]
pub struct Arm {
    pub patterns: Vec<Pattern>,
    pub guard: Option<Expr>,
    pub value: Expr,
}

#[derive(Debug, Clone)]
pub enum Pattern {
    Any,
    Bind(usize),
    /// Equal to this constant; `Value::None` matches `none`; enum members are constants.
    Constant(Value<'static>),
}

/// What an assignment changes.
#[derive(Debug, Clone)]
pub struct Place {
    /// Index into [`Projection::state`].
    pub field: usize,
    pub steps: Vec<PlaceStep>,
    /// The type of the place after all steps.
    pub ty: Type,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum PlaceStep {
    /// A field of a record.
    Field(usize),
    /// An entry of a map. As the last step of `=` and `op=` it is made when absent (a missing number counts as 0);
    /// before a further step an absent entry is `R0104`.
    Entry(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssignOp {
    Set,
    Add,
    Subtract,
    Multiply,
    /// `??=`: only when the place is `none`.
    Fill,
}

impl AssignOp {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            AssignOp::Set => "=",
            AssignOp::Add => "+=",
            AssignOp::Subtract => "-=",
            AssignOp::Multiply => "*=",
            AssignOp::Fill => "??=",
        }
    }
}

/// An expression, its type settled.
#[derive(Debug, Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExprKind {
    Constant(Value<'static>),
    /// Index into [`EventProgram::slots`].
    Slot(usize),
    Envelope(Envelope),
    /// Index into [`Projection::key`].
    Key(usize),
    /// Index into [`Projection::state`].
    State(usize),
    Local(usize),
    /// Whether the row was there before this event.
    Exists,
    Negate(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// Both sides have one type, but for `/` and comparisons with an optional side (`T? == T`).
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `a ?? b`.
    Coalesce(Box<Expr>, Box<Expr>),
    /// `a!`: fault `R0104` when it is none.
    Unwrap(Box<Expr>),
    /// A record's field by position.
    Field {
        base: Box<Expr>,
        index: usize,
    },
    /// `base?.rest`: none if `base` is, else `rest`, which reads the value of `base` from `local`.
    Chain {
        base: Box<Expr>,
        local: usize,
        rest: Box<Expr>,
    },
    /// `m[k]` of a map or `l[i]` of a list: optional.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Match {
        subject: Box<Expr>,
        arms: Vec<Arm>,
    },
    /// `let` in a lambda, or a parameter of an inlined `fn`: `value` is evaluated once.
    Let {
        local: usize,
        value: Box<Expr>,
        body: Box<Expr>,
    },
    /// In the order of the record type's fields; spreads are already taken apart.
    Record(Vec<Expr>),
    List(Vec<Expr>),
    Set(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// `"text ${e}"`: the parts are joined; each part is a scalar (printed as in a document, without quotes).
    Interpolate(Vec<Expr>),
    /// A conversion the checker put there; see [`Conversion`].
    Convert {
        conversion: Conversion,
        value: Box<Expr>,
    },
    /// A library function; a lambda among the arguments is an [`ExprKind::Lambda`].
    Call {
        function: Function,
        arguments: Vec<Expr>,
    },
    /// Only as an argument of a call. Parameters are locals.
    Lambda {
        parameters: Vec<usize>,
        body: Box<Expr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `string?`, the record key as UTF-8.
    Key,
    Timestamp,
    Offset,
    Partition,
    Topic,
    Type,
    /// `topic-partition-offset`.
    Id,
    /// `event.headers["h"]`: index into nothing; the name follows in [`ExprKind::Call`] with [`Function::Header`].
    Headers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    /// Decimal, rounded half-even at 12 places; none when the divisor is 0.
    Divide,
    /// `%`, as `mod`.
    Remainder,
    /// `++` of text or lists.
    Concat,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `x in list|set|map` (keys).
    In,
    NotIn,
}

/// Implicit conversions, made explicit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    IntToDecimal,
    /// To `decimal(s)` from a decimal of another or no scale: exact, or fault `R0102`.
    DecimalToScale(u8),
    /// To plain decimal: only the type changes, trailing zeros go when printed.
    DecimalToPlain,
    /// To `string(n)`: fault `R0107` when longer.
    TextToLength(u32),
    /// A record into another field order or a wider optionality: `fields[i]` of the source for each target field is found
    /// by name from the types of the two ends; applied to elements of lists and values of maps as well.
    Reshape,
}

pub use crate::language::library::Function;

/// `into …`.
#[derive(Debug, Clone)]
pub struct Into {
    pub kind: SinkKind,
    /// How tests, `?sink=` and messages call it: `name`, else the connection after `via`, else the kind.
    pub name: Arc<str>,
    /// The connection in `projector.toml`: what follows `via`, else the kind's word.
    pub connection: Arc<str>,
    /// Whether the document exists in this sink. Over key and state.
    pub when: Option<Expr>,
    /// The document's fields, in order. Without `as`: key parts and visible state.
    pub document: Vec<(Arc<str>, Expr)>,
    /// How many locals `when`, `document` and option expressions need.
    pub locals: usize,
    pub options: SinkOptions,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkKind {
    Cosmos,
    Elasticsearch,
    Cache,
    Redis,
    Postgres,
    Topic,
}

impl SinkKind {
    /// The word after `into`.
    pub fn word(self) -> &'static str {
        match self {
            SinkKind::Cosmos => "cosmos",
            SinkKind::Elasticsearch => "elasticsearch",
            SinkKind::Cache => "cache",
            SinkKind::Redis => "redis",
            SinkKind::Postgres => "postgres",
            SinkKind::Topic => "topic",
        }
    }
}

/// Options after checking. What only a kind built later reads stays in `rest`.
#[derive(Debug, Clone, Default)]
pub struct SinkOptions {
    pub omit_none: bool,
    /// What the kind of sink takes, or the option `decimals`.
    pub decimals: DecimalStyle,
    /// `ints: "string"`.
    pub ints_as_text: bool,
    /// `id` of the document: text over the key. `None`: the key text.
    pub id: Option<Expr>,
    pub ttl: Option<Duration>,
    /// Cache: how many documents at most.
    pub max_items: Option<u64>,
    /// Takes over documents that somebody else wrote.
    pub adopt: bool,
    pub batch: BatchOptions,
    pub budget: BudgetOptions,
    /// The place's own name: container, index, table.
    pub place: Option<Arc<str>>,
    /// Every option, in file order, with its class: for hashes, `explain` and the sinks to come.
    pub all: Vec<SinkOption>,
}

impl SinkOptions {
    /// The value of an option.
    fn option(&self, name: &str) -> Option<&OptionValue> {
        self.all.iter().find(|option| &*option.name == name).map(|option| &option.value)
    }

    /// An option that is an expression.
    pub fn expr(&self, name: &str) -> Option<&Expr> {
        match self.option(name) {
            Some(OptionValue::Expr(expr)) => Some(expr),
            _ => None,
        }
    }

    /// `kind` of a Redis sink.
    pub fn redis_kind(&self) -> RedisKind {
        match self.option("kind") {
            Some(OptionValue::Constant(Value::Text(kind))) => RedisKind::of(kind.as_str()),
            _ => RedisKind::Json,
        }
    }
}

/// What Redis keeps of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisKind {
    /// Its text, under a key of its own.
    Json,
    /// Its fields, under a key of its own.
    Hash,
    /// A member of a set that other documents have members in.
    Set,
    /// A member with a score.
    SortedSet,
}

impl RedisKind {
    /// By the word that the option takes.
    pub fn of(word: &str) -> RedisKind {
        match word {
            "hash" => RedisKind::Hash,
            "set" => RedisKind::Set,
            "sorted_set" => RedisKind::SortedSet,
            _ => RedisKind::Json,
        }
    }

    /// Whether documents are members of something that has other members.
    pub fn is_member(self) -> bool {
        matches!(self, RedisKind::Set | RedisKind::SortedSet)
    }
}

/// `batch: { max_items: 100, max_bytes: 1000000, max_wait: 1s }`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchOptions {
    pub items_max: Option<u64>,
    pub bytes_max: Option<u64>,
    /// How long changes are gathered before they are sent, unless there are `items_max` sooner.
    pub wait_max: Option<Duration>,
}

/// `budget: { documents_per_s: 500, request_units_per_s: 400 }`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BudgetOptions {
    pub documents_per_s: Option<u64>,
    /// In the target's own unit: request units of Cosmos DB.
    pub charge_per_s: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct SinkOption {
    pub name: Arc<str>,
    pub class: OptionClass,
    pub value: OptionValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionClass {
    Identity,
    Mapping,
    Tuning,
}

#[derive(Debug, Clone)]
pub enum OptionValue {
    Constant(Value<'static>),
    /// An expression over the key (and, where the sink allows it, state).
    Expr(Expr),
    Block(Vec<(Arc<str>, OptionValue)>),
    List(Vec<OptionValue>),
}

/// What to do with a fault, per class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnError {
    pub decode: FaultAction,
    pub eval: FaultAction,
    pub key: FaultAction,
    pub sink: SinkFaultAction,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FaultAction {
    /// The partition stops and says why.
    Fail,
    /// Counted and logged, always.
    Skip,
    /// Set aside with its reason, under the log name of this topic.
    DeadLetter(Arc<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFaultAction {
    /// `retry(max: n, backoff: d) then`: how often an answer about the item is tried again first.
    pub retry: Option<(u32, Duration)>,
    pub then: FaultAction,
}

/// A `test` block, typed and ready to run.
#[derive(Debug, Clone)]
pub struct Test {
    pub name: Arc<str>,
    /// Index into [`Program::projections`]; a test without `for` belongs to the file's only projection.
    pub projection: usize,
    pub steps: Vec<Step>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub kind: StepKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum StepKind {
    Given {
        any_order: bool,
        events: Vec<GivenEvent>,
    },
    /// Memory is dropped; the engine starts again from its last checkpoint.
    Restart,
    /// The source delivers the last `n` events again.
    Redeliver(usize),
    Expect(Expect),
    /// A fault of this class happened, with this in its message.
    ExpectError {
        class: FaultClass,
        text: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    Decode,
    Eval,
    Key,
    Sink,
}

/// A record to put into the log of a test.
#[derive(Debug, Clone)]
pub struct GivenEvent {
    /// Index into the projection's topics.
    pub topic: usize,
    pub key: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Microseconds since 1970.
    pub timestamp: Option<i64>,
    /// The value as it would come over the wire; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Expect {
    /// All documents and all fields, not only those listed.
    pub exactly: bool,
    /// Index into [`Projection::sinks`].
    pub sink: usize,
    pub rows: Vec<ExpectRow>,
}

#[derive(Debug, Clone)]
pub struct ExpectRow {
    /// The key text.
    pub key: String,
    pub document: ExpectDocument,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExpectDocument {
    /// Fields as the sink would write them (typed by the document's types, then rendered). Records compare by the listed
    /// fields, at every depth, unless `exactly`; lists element by element.
    Fields(serde_json::Map<String, serde_json::Value>),
    /// Was there, is not any more.
    Deleted,
    /// Not in the sink.
    None,
}
