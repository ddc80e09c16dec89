//! The option `partition_key` → the fields of the document that hold it, and so the paths of the container.
//!
//! Cosmos DB takes a partition key out of the document, at paths that belong to the container for ever. So each value of the
//! option must stand in a field; without the option it is `/id`, which spreads best.

use std::sync::Arc;

use crate::language::typed::{Expr, ExprKind, Into, OptionValue, Projection};
use crate::plan;

/// One level of the partition key.
#[derive(Debug, Clone)]
pub struct Level {
    /// The field of the document that holds it.
    pub field: Arc<str>,
    /// `None`: the document's id.
    pub value: Option<Expr>,
}

impl Level {
    /// Where the container finds it in a document.
    pub fn path(&self) -> String {
        match self.field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            true => format!("/{}", self.field),
            false => format!("/\"{}\"", self.field.replace('"', "\\\"")),
        }
    }

    pub fn is_id(&self) -> bool {
        self.value.is_none()
    }
}

/// The levels of a sink's partition key, or what is missing.
pub fn levels(projection: &Projection, sink: &Into) -> Result<Vec<Level>, String> {
    let option = sink.options.all.iter().find(|option| &*option.name == "partition_key");
    let exprs: Vec<&Expr> = match option.map(|option| &option.value) {
        None => return Ok(vec![Level { field: "id".into(), value: None }]),
        Some(OptionValue::Expr(expr)) => vec![expr],
        Some(OptionValue::List(values)) => values.iter().filter_map(expr).collect(),
        Some(_) => Vec::new(),
    };
    exprs.into_iter().map(|expr| level(projection, sink, expr)).collect()
}

fn expr(value: &OptionValue) -> Option<&Expr> {
    match value {
        OptionValue::Expr(expr) => Some(expr),
        _ => None,
    }
}

fn level(projection: &Projection, sink: &Into, expr: &Expr) -> Result<Level, String> {
    let wanted = plan::expression(projection, expr);
    let mut fields =
        sink.document.iter().filter(|(_, field)| plan::expression(projection, field) == wanted).map(|(name, _)| name);
    let named = match &expr.kind {
        ExprKind::Key(part) => fields.clone().find(|name| **name == projection.key[*part].name),
        _ => None,
    };
    match named.or_else(|| fields.next()) {
        Some(name) if **name == *"id" => Ok(Level { field: name.clone(), value: None }),
        Some(name) => Ok(Level { field: name.clone(), value: Some(expr.clone()) }),
        None => Err(format!("no field of the document holds the partition key `{wanted}`: show it with `as {{ … }}`")),
    }
}
