//! Who may ask: the token of requests, when one is configured (`Authorization: Bearer …`), and no page of another site.
//!
//! A browser sends whatever a page tells it to, to this machine too. A request that changes something must be JSON, which a
//! page of another site may not send unasked; and without a token it must be addressed to this machine by its own name or
//! number, so that a page whose name was pointed here (DNS rebinding) is refused as well.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
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
            return ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
        }
        _ => {}
    }
    if !request.method().is_safe() {
        if !is_json(request.headers()) {
            let why = "the request needs `Content-Type: application/json`";
            return Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response();
        }
        if served.token.is_none() && !is_for_us(request.headers()) {
            let why = "without a token, the request needs `localhost` or an address as its `Host`";
            return Refusal::new(StatusCode::FORBIDDEN, why).into_response();
        }
    }
    next.run(request).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn is_for_us(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}
