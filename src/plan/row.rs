//! A row: the folded state of one key, one value per state field.

use crate::language::typed::StateField;
use crate::value::Value;

/// The folded state of one key, in the order of the projection's state fields.
#[derive(Debug, Clone)]
pub struct Row {
    pub fields: Box<[Value<'static>]>,
}

impl Row {
    /// What a key starts from: the defaults, and `none` where there is none.
    pub fn fresh(fields: &[StateField]) -> Row {
        Row { fields: fields.iter().map(|f| f.default.clone().unwrap_or(Value::None)).collect() }
    }
}
