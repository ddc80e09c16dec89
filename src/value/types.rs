//! The types of the language, as the checker settles them.

use std::sync::Arc;

/// A type after checking. Type variables never leave the checker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    Bool,
    /// A checked 64-bit integer.
    Int,
    /// An exact decimal; with `Some(s)` it holds exactly `s` places.
    Decimal(Option<u8>),
    /// A finite 64-bit float.
    Float,
    /// Text; with `Some(n)` at most `n` characters, checked where it is stored or decoded.
    String(Option<u32>),
    Timestamp,
    Date,
    Duration,
    Uuid,
    Bytes,
    /// JSON that is passed through as its bytes.
    Json,
    List(Arc<Type>),
    Set(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Record(Arc<RecordType>),
    Enum(Arc<EnumType>),
    /// `T?`. INVARIANT: never nested.
    Optional(Arc<Type>),
    /// The type of a bare `none`, before it meets another.
    None,
}

/// Fields in the order they were written: the order in which documents show them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordType {
    /// The declared name, if it has one. Names are aliases: two records are one type when their fields agree.
    pub name: Option<Arc<str>>,
    pub fields: Vec<RecordField>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordField {
    pub name: Arc<str>,
    pub ty: Type,
}

/// An enum: members by index, each with the text that stands for it outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnumType {
    pub name: Arc<str>,
    /// (member name, wire text), in declaration order; a value holds the index.
    pub members: Vec<(Arc<str>, Arc<str>)>,
}

impl Type {
    /// `T?` for a `T`; an optional stays as it is.
    pub fn optional(self) -> Type {
        match self {
            Type::Optional(_) | Type::None => self,
            other => Type::Optional(Arc::new(other)),
        }
    }

    /// The `T` of a `T?`, or the type itself.
    pub fn required(&self) -> &Type {
        match self {
            Type::Optional(inner) => inner,
            other => other,
        }
    }

    pub fn is_optional(&self) -> bool {
        matches!(self, Type::Optional(_) | Type::None)
    }
}
