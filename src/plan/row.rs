//! A row: the folded state of one key, one value per state field.

use crate::event::EventTime;
use crate::language::typed::StateField;
use crate::value::Value;

/// The folded state of one key, in the order of the projection's state fields.
#[derive(Debug, Clone)]
pub struct Row {
    pub fields: Box<[Value<'static>]>,
    /// The time of the event that changed it last: what `ttl` counts from. Set by whoever applies a fold, no part of it.
    pub time: Option<EventTime>,
}

impl Row {
    /// What a key starts from: the defaults, and `none` where there is none.
    pub fn fresh(fields: &[StateField]) -> Row {
        let fields = fields.iter().map(|f| f.default.clone().unwrap_or(Value::None)).collect();
        Row { fields, time: None }
    }
}
