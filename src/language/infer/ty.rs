//! The types that checking works with, and the few questions it asks them.

use std::sync::Arc;

use crate::language::infer::Var;
use crate::value::{EnumType, RecordField, RecordType, Type};

/// A type as known so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    /// Something is wrong here and was said already; it fits everywhere, so that one mistake gives one message.
    Error,
    /// The type of a bare `none`.
    None,
    /// The element of an empty list: it becomes whatever is needed.
    Never,
    Bool,
    Int,
    Decimal(Option<u8>),
    Float,
    Text(Option<u32>),
    Timestamp,
    Date,
    Duration,
    Uuid,
    Bytes,
    Json,
    List(Arc<Ty>),
    Set(Arc<Ty>),
    Map(Arc<Ty>, Arc<Ty>),
    Record(Arc<RecordTy>),
    Enum(Arc<EnumType>),
    Optional(Arc<Ty>),
    Var(Var),
}

/// A record: a name for messages, and the fields.
#[derive(Debug, Clone)]
pub(crate) struct RecordTy {
    pub name: Option<Arc<str>>,
    pub fields: Vec<(Arc<str>, Ty)>,
}

/// Names are aliases: records are one type when their fields agree.
impl PartialEq for RecordTy {
    fn eq(&self, other: &RecordTy) -> bool {
        self.fields == other.fields
    }
}

impl RecordTy {
    pub fn field(&self, name: &str) -> Option<(usize, &Ty)> {
        self.fields.iter().enumerate().find(|(_, (field, _))| &**field == name).map(|(index, (_, ty))| (index, ty))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }
}

impl Ty {
    pub const TEXT: Ty = Ty::Text(None);
    pub const DECIMAL: Ty = Ty::Decimal(None);

    pub fn list(element: Ty) -> Ty {
        Ty::List(Arc::new(element))
    }

    pub fn set(element: Ty) -> Ty {
        Ty::Set(Arc::new(element))
    }

    pub fn map(key: Ty, value: Ty) -> Ty {
        Ty::Map(Arc::new(key), Arc::new(value))
    }

    pub fn record(fields: Vec<(Arc<str>, Ty)>) -> Ty {
        Ty::Record(Arc::new(RecordTy { name: None, fields }))
    }

    /// `T?` for a `T`; an optional stays as it is.
    pub fn optional(self) -> Ty {
        match self {
            Ty::Optional(_) | Ty::None | Ty::Error => self,
            other => Ty::Optional(Arc::new(other)),
        }
    }

    /// The `T` of a `T?`, or the type itself.
    pub fn required(&self) -> &Ty {
        match self {
            Ty::Optional(inner) => inner,
            other => other,
        }
    }

    pub fn is_optional(&self) -> bool {
        matches!(self, Ty::Optional(_) | Ty::None)
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Ty::Int | Ty::Decimal(_) | Ty::Float)
    }

    /// Whether the values have an order that an author may ask for.
    pub fn is_ordered(&self) -> bool {
        match self {
            Ty::Error | Ty::Never | Ty::Var(_) => true,
            Ty::Int | Ty::Decimal(_) | Ty::Float | Ty::Text(_) => true,
            Ty::Timestamp | Ty::Date | Ty::Duration | Ty::Uuid | Ty::Enum(_) | Ty::Bool => true,
            Ty::List(element) => element.is_ordered(),
            _ => false,
        }
    }

    /// Whether it prints as one word: what keys and `${…}` take.
    pub fn is_scalar(&self) -> bool {
        let composed = matches!(self, Ty::List(_) | Ty::Set(_) | Ty::Map(..) | Ty::Record(_) | Ty::Optional(_));
        !composed && !matches!(self, Ty::None | Ty::Never | Ty::Bytes | Ty::Json)
    }

    /// Whether something about the type is not known (any more).
    pub fn is_error(&self) -> bool {
        match self {
            Ty::Error => true,
            Ty::Optional(inner) | Ty::List(inner) | Ty::Set(inner) => inner.is_error(),
            Ty::Map(key, value) => key.is_error() || value.is_error(),
            _ => false,
        }
    }

    /// The type as the rest of the program sees it. What is still open is passed through as JSON.
    pub fn settled(&self) -> Type {
        match self {
            Ty::Error | Ty::None | Ty::Never => Type::None,
            Ty::Bool => Type::Bool,
            Ty::Int => Type::Int,
            Ty::Decimal(scale) => Type::Decimal(*scale),
            Ty::Float => Type::Float,
            Ty::Text(length) => Type::String(*length),
            Ty::Timestamp => Type::Timestamp,
            Ty::Date => Type::Date,
            Ty::Duration => Type::Duration,
            Ty::Uuid => Type::Uuid,
            Ty::Bytes => Type::Bytes,
            Ty::Json | Ty::Var(_) => Type::Json,
            Ty::List(element) => Type::List(Arc::new(element.settled())),
            Ty::Set(element) => Type::Set(Arc::new(element.settled())),
            Ty::Map(key, value) => Type::Map(Arc::new(key.settled()), Arc::new(value.settled())),
            Ty::Record(record) => Type::Record(Arc::new(settled_record(record))),
            Ty::Enum(members) => Type::Enum(members.clone()),
            Ty::Optional(inner) => inner.settled().optional(),
        }
    }

    /// The checker's form of a settled type.
    pub fn of(ty: &Type) -> Ty {
        match ty {
            Type::Bool => Ty::Bool,
            Type::Int => Ty::Int,
            Type::Decimal(scale) => Ty::Decimal(*scale),
            Type::Float => Ty::Float,
            Type::String(length) => Ty::Text(*length),
            Type::Timestamp => Ty::Timestamp,
            Type::Date => Ty::Date,
            Type::Duration => Ty::Duration,
            Type::Uuid => Ty::Uuid,
            Type::Bytes => Ty::Bytes,
            Type::Json => Ty::Json,
            Type::List(element) => Ty::list(Ty::of(element)),
            Type::Set(element) => Ty::set(Ty::of(element)),
            Type::Map(key, value) => Ty::map(Ty::of(key), Ty::of(value)),
            Type::Record(record) => Ty::Record(Arc::new(RecordTy {
                name: record.name.clone(),
                fields: record.fields.iter().map(|field| (field.name.clone(), Ty::of(&field.ty))).collect(),
            })),
            Type::Enum(members) => Ty::Enum(members.clone()),
            Type::Optional(inner) => Ty::of(inner).optional(),
            Type::None => Ty::None,
        }
    }
}

fn settled_record(record: &RecordTy) -> RecordType {
    let field = |(name, ty): &(Arc<str>, Ty)| RecordField { name: name.clone(), ty: ty.settled() };
    RecordType { name: record.name.clone(), fields: record.fields.iter().map(field).collect() }
}
