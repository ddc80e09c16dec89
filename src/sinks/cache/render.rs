//! Stored row → document, by the plan: what the cache shows of a key.

use std::cell::RefCell;
use std::sync::Arc;

use crate::event::Version;
use crate::language::typed::FaultAction;
use crate::plan::eval::{Scratch, member};
use crate::plan::{Fault, Plan, render};
use crate::sinks::SinkError;
use crate::sinks::cache::{Render, Rendered};
use crate::state::StoredRow;
use crate::state::rows::{self, RowError};

thread_local! {
    /// Each thread that serves documents keeps its memory and its compiled patterns.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Debug, thiserror::Error)]
enum RenderError {
    #[error(transparent)]
    Row(#[from] RowError),
    #[error(transparent)]
    Fault(Box<Fault>),
}

/// The renderer of sink number `sink`.
///
/// A fault in `as` or `when` is the reader's answer, unless `on_error` says that such a document is left out.
pub(super) fn renderer(plan: Arc<Plan>, sink: usize) -> Render {
    Box::new(move |key, row, version| {
        let rendered = SCRATCH.with_borrow_mut(|scratch| rendered(&plan, sink, key, row, version, scratch));
        let left_out = plan.projection.on_error.sink.then != FaultAction::Fail;
        match rendered {
            Err(RenderError::Fault(_)) if left_out => Ok(None),
            other => other.map_err(|error| SinkError { reason: error.to_string() }),
        }
    })
}

fn rendered(
    plan: &Plan,
    sink: usize,
    key: &str,
    row: &StoredRow,
    version: Version,
    scratch: &mut Scratch,
) -> Result<Option<Rendered>, RenderError> {
    let Some(bytes) = &row.row else { return Ok(None) };
    let (projection, sink) = (&plan.projection, &plan.projection.sinks[sink]);
    let row = rows::decode(bytes, &projection.state)?;
    if !member(sink, projection, key, &row, scratch).map_err(RenderError::Fault)? {
        return Ok(None);
    }
    let mut body = Vec::new();
    render::document(projection, sink, key, &row, version, scratch, &mut body).map_err(RenderError::Fault)?;
    Ok(Some(Rendered { body: body.into(), time: row.time }))
}
