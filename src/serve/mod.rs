//! HTTP over statuses, snapshots and sinks: what a running engine shows of itself and of its documents.
//!
//! Every answer is read from what is synced: statuses come from the core, documents from the sinks, dead letters from a
//! snapshot. Errors are JSON, `{"error": "…"}`. What is asked by POST (a backup, `retry`, `skip`) is passed on to those who do
//! it; nothing here changes anything by itself.

mod answer;
mod auth;
pub mod backup;
mod changes;
pub mod dead_letters;
mod documents;
mod health;
mod metrics;
mod projections;
pub mod redrive;
pub mod report;
pub mod steering;
#[cfg(test)]
mod tests;
mod wait;

use std::future::Future;
use std::sync::{Arc, Weak};

use axum::middleware;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::plan::Plan;
use crate::runtime::Engine;
use crate::runtime::progress::ProjectionStatus;
use crate::serve::backup::Backups;
use crate::sinks::DocumentSink;
use crate::state::Store;

/// All that is served.
pub struct Served {
    pub projections: Vec<ServedProjection>,
    pub store: Arc<dyn Store>,
    /// Those that are being written.
    pub backups: Backups,
    /// What runs them, until it stops.
    pub engine: Weak<Engine>,
    /// The hash of the token that a request must carry, when there is one.
    pub token: Option<blake3::Hash>,
}

/// A running projection, as it is served.
pub struct ServedProjection {
    pub plan: Arc<Plan>,
    pub status: watch::Receiver<Arc<ProjectionStatus>>,
    /// In the order of the plan's sinks.
    pub sinks: Vec<Arc<dyn DocumentSink>>,
}

impl ServedProjection {
    pub fn name(&self) -> &Arc<str> {
        &self.plan.projection.name
    }
}

impl Served {
    fn projection(&self, name: &str) -> Result<&ServedProjection, answer::Refusal> {
        let found = self.projections.iter().find(|projection| &**projection.name() == name);
        found.ok_or_else(|| answer::Refusal::not_found(format!("no projection `{name}` runs here")))
    }
}

/// Answers requests until `stop` is ready; then finishes those under way.
pub async fn serve(
    listener: TcpListener,
    served: Arc<Served>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (ends, ending) = watch::channel(false);
    let router = router(served).layer(Extension(changes::Ending(ending)));
    let stop = async move {
        stop.await;
        ends.send_replace(true);
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

fn router(served: Arc<Served>) -> Router {
    let guarded = Router::new()
        .route("/v1/projections", get(projections::all))
        .route("/v1/projections/{name}", get(projections::one))
        .route("/v1/projections/{name}/documents", get(documents::list))
        .route("/v1/projections/{name}/documents/{key}", get(documents::one))
        .route("/v1/projections/{name}/changes", get(changes::follow))
        .route("/v1/projections/{name}/dead-letters", get(dead_letters::list))
        .route("/v1/projections/{name}/dead-letters/{number}", get(dead_letters::one))
        .route("/v1/projections/{name}/backup", get(backup::progress).post(backup::make))
        .route("/v1/projections/{name}/redrive", post(redrive::redrive))
        .route("/v1/projections/{name}/retry", post(steering::retry))
        .route("/v1/projections/{name}/skip", post(steering::skip))
        .route("/metrics", get(metrics::all))
        .route_layer(middleware::from_fn_with_state(served.clone(), auth::check));
    // Those who ask whether we live have no token to give.
    let open = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    guarded
        .merge(open)
        .fallback(answer::no_such_page)
        .method_not_allowed_fallback(answer::no_such_method)
        .with_state(served)
}
