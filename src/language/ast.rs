//! The tree that parsing builds: what was written, with a span on every node. Nothing is resolved here.

use std::sync::Arc;

use crate::language::span::{FileId, Span};

/// A name as written (backticks taken off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: Arc<str>,
    pub span: Span,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub struct File {
    pub id: FileId,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub docs: Vec<Name>,
    pub attributes: Vec<Attribute>,
    pub kind: ItemKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Attribute {
    pub name: Name,
    pub arguments: Vec<Argument>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ItemKind {
    Import { path: Text },
    Param(Param),
    Const { name: Name, ty: Option<TypeExpr>, value: Expr },
    Enum { name: Name, variants: Vec<Variant> },
    Record { name: Name, fields: Vec<Field> },
    Event(Event),
    Topic { name: Name, log_name: Text, options: Vec<OptionEntry> },
    Fn { name: Name, parameters: Vec<(Name, TypeExpr)>, result: TypeExpr, body: Body },
    Projection(Projection),
    Test(Test),
}

/// A string literal used as a name or a path; interpolation in it is an error of parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Param {
    pub name: Name,
    pub ty: TypeExpr,
    pub default: Option<Expr>,
    pub from: Option<(Name, Text)>,
}

#[derive(Debug, Clone)]
pub struct Variant {
    pub name: Name,
    pub wire: Option<Text>,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: Name,
    pub ty: TypeExpr,
    pub default: Option<Expr>,
    pub attributes: Vec<Attribute>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub name: Name,
    pub version: Option<Name>,
    pub wire: Option<Text>,
    pub fields: Vec<Field>,
    /// `from registry("…")` / `from file("…")`.
    pub from: Option<Expr>,
    pub upcasts: Vec<Upcast>,
}

#[derive(Debug, Clone)]
pub struct Upcast {
    pub version: Name,
    pub fields: Vec<Field>,
    pub value: Expr,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct TypeExpr {
    pub kind: TypeExprKind,
    pub optional: bool,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum TypeExprKind {
    /// `decimal(2)`: the primitive's word and its argument.
    Primitive {
        name: Name,
        argument: Option<u64>,
    },
    /// `list<T>`, `set<T>`, `map<K, V>`: the word and its arguments, as many as were written.
    Generic {
        name: Name,
        arguments: Vec<TypeExpr>,
    },
    Record(Vec<Field>),
    Named(Name),
}

/// `key: value` in a block of options.
#[derive(Debug, Clone)]
pub struct OptionEntry {
    pub name: Name,
    pub value: OptionValue,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum OptionValue {
    Block(Vec<OptionEntry>),
    /// `events: A, B` (one name alone is an [`OptionValue::Expr`] of a type name).
    Types(Vec<Name>),
    Expr(Expr),
}

#[derive(Debug, Clone)]
pub struct Projection {
    pub name: Name,
    pub clauses: Vec<Clause>,
}

#[derive(Debug, Clone)]
pub struct Clause {
    pub kind: ClauseKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ClauseKind {
    From(Vec<Name>),
    Where(Expr),
    Key(Vec<KeyPart>),
    Dedupe { by: Expr, within: Expr },
    Window(Span),
    Lookup { name: Name },
    State(Vec<StateField>),
    On(On),
    Let(Let),
    Emit { when: Option<Expr> },
    Into(Into),
    OnError(Vec<(Name, ErrorAction)>),
    Replay(Vec<OptionEntry>),
}

#[derive(Debug, Clone)]
pub struct KeyPart {
    pub name: Option<Name>,
    pub ty: Option<TypeExpr>,
    pub value: Expr,
}

#[derive(Debug, Clone)]
pub struct StateField {
    pub name: Name,
    pub ty: Option<TypeExpr>,
    pub init: Option<Expr>,
    pub attributes: Vec<Attribute>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct On {
    pub events: Vec<EventPattern>,
    pub each: Option<(Name, Expr)>,
    pub key: Option<Expr>,
    pub condition: Option<Expr>,
    pub body: Block,
}

#[derive(Debug, Clone)]
pub enum EventPattern {
    Any(Span),
    Wire(Text),
    Event(Name),
    /// `topic.created`, `topic.tombstone`.
    Change {
        topic: Name,
        change: Name,
    },
}

#[derive(Debug, Clone)]
pub struct Into {
    pub sink: Name,
    pub via: Option<Name>,
    pub when: Option<Expr>,
    /// The fields of `as { … }`: always an [`ExprKind::Record`].
    pub document: Option<Expr>,
    pub options: Vec<OptionEntry>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct ErrorAction {
    pub kind: ErrorActionKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ErrorActionKind {
    Fail(Vec<Argument>),
    Skip,
    DeadLetter(Name),
    Retry { arguments: Vec<Argument>, then: Option<Box<ErrorAction>> },
}

#[derive(Debug, Clone)]
pub struct Block {
    pub statements: Vec<Stmt>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum StmtKind {
    Let(Let),
    Delete(Option<Expr>),
    Skip(Option<Expr>),
    Remove(Place),
    /// `else if` is an `otherwise` of one `if`.
    If {
        condition: Expr,
        then: Block,
        otherwise: Option<Block>,
    },
    Match {
        subject: Expr,
        arms: Vec<StmtArm>,
    },
    Assign {
        place: Place,
        op: AssignOp,
        op_span: Span,
        value: Expr,
    },
}

pub use crate::language::typed::AssignOp;

#[derive(Debug, Clone)]
pub struct StmtArm {
    pub patterns: Vec<Pattern>,
    pub guard: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Let {
    pub name: Name,
    pub ty: Option<TypeExpr>,
    pub value: Expr,
}

#[derive(Debug, Clone)]
pub struct Place {
    pub root: Name,
    pub steps: Vec<PlaceStep>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum PlaceStep {
    Field(Name),
    Index(Expr),
}

#[derive(Debug, Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExprKind {
    None,
    Bool(bool),
    /// Digits, underscores taken out; it may not fit (check says so).
    Int(String),
    Decimal(String),
    Float(String),
    /// Microseconds.
    Duration(i64),
    /// The text between the quotes; check reads it.
    Timestamp(String),
    Date(String),
    /// Parts of a string; a plain one has at most one [`StringPart::Text`].
    String(Vec<StringPart>),
    /// `.` (no name) or `.field`.
    Payload(Option<Name>),
    /// A lower-case name: state, key, local, const, function, `event`…
    Name(Name),
    /// An upper-case name: enum (before `.member`), or an event in options.
    TypeName(Name),
    Field {
        base: Box<Expr>,
        name: Name,
    },
    /// `base?.name`.
    OptionalField {
        base: Box<Expr>,
        name: Name,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `f(a)` and `x.f(a)`: the callee is then a [`ExprKind::Field`] (or [`ExprKind::OptionalField`]).
    Call {
        callee: Box<Expr>,
        arguments: Vec<Argument>,
    },
    Unwrap(Box<Expr>),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Binary {
        op: BinaryOp,
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
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
    Record(Vec<RecordPart>),
    List(Vec<Expr>),
    /// Only as an argument of a call.
    Lambda {
        parameters: Vec<Name>,
        body: Box<Body>,
    },
    /// `( e )`, kept so that a rule about missing brackets can see them.
    Bracketed(Box<Expr>),
    /// Stands where parsing failed and went on; it was reported already.
    Error,
}

/// `{ let a = 1  b }`, or one expression.
#[derive(Debug, Clone)]
pub struct Body {
    pub lets: Vec<Let>,
    pub value: Expr,
}

#[derive(Debug, Clone)]
pub enum StringPart {
    Text(String),
    Expr(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Concat,
    Coalesce,
    And,
    Or,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Debug, Clone)]
pub struct Argument {
    /// `name: value`.
    pub name: Option<Name>,
    pub value: Expr,
}

#[derive(Debug, Clone)]
pub struct Arm {
    pub patterns: Vec<Pattern>,
    pub guard: Option<Expr>,
    pub value: Expr,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Pattern {
    pub kind: PatternKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum PatternKind {
    Any,
    /// A literal, or `-` and a literal.
    Literal(Expr),
    /// `Enum.member`, or an upper-case name alone.
    Member {
        ty: Name,
        member: Option<Name>,
    },
    Bind(Name),
}

#[derive(Debug, Clone)]
pub enum RecordPart {
    Spread(Expr),
    /// `name: value`; `name` alone has the name as its value. A quoted string or backticks may be the name.
    Field {
        name: Name,
        value: Expr,
    },
}

#[derive(Debug, Clone)]
pub struct Test {
    pub name: Text,
    pub projection: Option<Name>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub kind: StepKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum StepKind {
    Given { any_order: bool, topic: Option<Name>, events: Vec<Given> },
    Advance(Expr),
    Restart,
    Redeliver(u64),
    Expect { exactly: bool, sink: Option<Name>, rows: Vec<ExpectRow> },
    ExpectError { class: Name, text: Option<Text> },
    ExpectSnapshot { name: Option<Text> },
}

#[derive(Debug, Clone)]
pub struct Given {
    /// `@2m`, `@t"…"`, `@{ key: … }`.
    pub at: Option<Expr>,
    pub kind: GivenKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum GivenKind {
    Event { event: EventPattern, value: Expr },
    Anonymous(Expr),
    Tombstone(Expr),
    Raw(Text),
}

#[derive(Debug, Clone)]
pub struct ExpectRow {
    pub key: Expr,
    pub document: ExpectedDocument,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExpectedDocument {
    Fields(Expr),
    Deleted,
    None,
}
