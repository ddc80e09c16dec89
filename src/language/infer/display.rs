//! Types as an author writes them.

use std::fmt;

use crate::language::infer::Ty;

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Error | Ty::Var(_) => f.write_str("something unknown"),
            Ty::None => f.write_str("none"),
            Ty::Never => f.write_str("nothing"),
            Ty::Bool => f.write_str("bool"),
            Ty::Int => f.write_str("int"),
            Ty::Decimal(None) => f.write_str("decimal"),
            Ty::Decimal(Some(scale)) => write!(f, "decimal({scale})"),
            Ty::Float => f.write_str("float"),
            Ty::Text(None) => f.write_str("string"),
            Ty::Text(Some(length)) => write!(f, "string({length})"),
            Ty::Timestamp => f.write_str("timestamp"),
            Ty::Date => f.write_str("date"),
            Ty::Duration => f.write_str("duration"),
            Ty::Uuid => f.write_str("uuid"),
            Ty::Bytes => f.write_str("bytes"),
            Ty::Json => f.write_str("json"),
            Ty::List(element) => write!(f, "list<{element}>"),
            Ty::Set(element) => write!(f, "set<{element}>"),
            Ty::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Ty::Record(record) => match &record.name {
                Some(name) => f.write_str(name),
                None => write_fields(f, &record.fields),
            },
            Ty::Enum(members) => f.write_str(&members.name),
            Ty::Optional(inner) => write!(f, "{inner}?"),
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[(std::sync::Arc<str>, Ty)]) -> fmt::Result {
    f.write_str("{")?;
    for (index, (name, ty)) in fields.iter().enumerate() {
        let comma = if index == 0 { " " } else { ", " };
        write!(f, "{comma}{name}: {ty}")?;
    }
    f.write_str(if fields.is_empty() { "}" } else { " }" })
}
