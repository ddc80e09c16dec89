//! `GET /v1/projections` and `/v1/projections/{name}`: statuses.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::event::ProjectionName;
use crate::serve::answer::Refusal;
use crate::serve::report::ProjectionReport;
use crate::serve::{Served, ServedProjection};

#[derive(Serialize)]
pub(super) struct All {
    projections: Vec<ProjectionReport>,
}

pub(super) async fn all(State(served): State<Arc<Served>>) -> Result<Json<All>, Refusal> {
    let projections =
        served.projections.iter().map(|projection| report(&served, projection)).collect::<Result<_, _>>()?;
    Ok(Json(All { projections }))
}

pub(super) async fn one(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ProjectionReport>, Refusal> {
    let Path(name) = name?;
    Ok(Json(report(&served, served.projection(&name)?)?))
}

fn report(served: &Served, projection: &ServedProjection) -> Result<ProjectionReport, Refusal> {
    let status = projection.status.borrow().clone();
    let name = ProjectionName(projection.name().clone());
    let snapshot = served.store.snapshot();
    let (stored, backup) = (snapshot.projection(&name)?, snapshot.last_backup(&name)?);
    Ok(ProjectionReport::running(&status, stored.as_ref(), SystemTime::now()).with_backup(backup, SystemTime::now()))
}
