//! The token of requests, when one is configured: `Authorization: Bearer …`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::Served;
use crate::serve::answer::Refusal;

pub(super) async fn check(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    match &served.token {
        // Hashes compare in constant time; the texts would tell how much of a guess was right.
        Some(token) if given.map(|given| blake3::hash(given.as_bytes())) != Some(*token) => {
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "the request needs `Authorization: Bearer TOKEN`");
            ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
        }
        _ => next.run(request).await,
    }
}
