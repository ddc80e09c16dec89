//! What an answer of Cosmos DB means for a write: the one place that reads status codes.
//!
//! The question behind every code is whether the write was surely not done. The service says so with 429, 449, 410 and 503; it
//! does not with 408, other 5xx, or silence. The SDK sends a request once more by itself when its connection broke, so an answer
//! is about the second try: while a first one may be under way, what is refused is only unanswered.

use std::time::Duration;

use azure_data_cosmos::CosmosError;
use azure_data_cosmos::diagnostics::DiagnosticsContext;

use crate::sinks::Outcome;

/// The sub-status of a 404 that is about the replica, not about the document.
const READ_SESSION_NOT_AVAILABLE: u16 = 1002;

/// Why a request did not do what it was to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404: no such document, or no such container.
    Absent,
    /// 409: there is a document already.
    Exists,
    /// 412: the document is not the one that the ETag names.
    Changed,
    /// It is settled with this.
    Settled(Outcome),
}

/// What an error says, taken out of the SDK's types.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub sub_status: Option<u16>,
    /// The service said it, not the client.
    pub is_from_service: bool,
    /// Some try of the request may still be under way, or done.
    pub is_open: bool,
    pub after: Option<Duration>,
    pub message: String,
}

impl Answer {
    pub fn of(error: &CosmosError) -> Answer {
        let status = error.status();
        let response = error.response();
        Answer {
            status: u16::from(status.status_code()),
            sub_status: status.sub_status().map(|sub| sub.value()),
            is_from_service: response.is_some(),
            is_open: error.diagnostics().is_none_or(|diagnostics| is_open(&diagnostics)),
            after: response.and_then(|response| response.headers().retry_after_ms).map(Duration::from_millis),
            message: response
                .and_then(|response| service_message(response.body().clone().single().ok()?.as_ref()))
                .unwrap_or_else(|| error.to_string()),
        }
    }
}

impl Answer {
    /// What was asked for does not exist.
    pub fn is_absent(&self) -> bool {
        self.is_from_service && self.status == 404 && self.sub_status != Some(READ_SESSION_NOT_AVAILABLE)
    }
}

/// Whether a try was sent and not answered.
fn is_open(diagnostics: &DiagnosticsContext) -> bool {
    diagnostics.requests().iter().any(|request| {
        let unanswered = request.error().is_some() || request.timed_out();
        let broken = request.failed_transport_shards().iter().any(|shard| shard.request_sent().may_have_been_sent());
        broken || (unanswered && request.request_sent().may_have_been_sent())
    })
}

/// `message` of the service's JSON, its first line.
fn service_message(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let line = body["message"].as_str()?.lines().next()?.trim();
    Some(line.chars().take(300).collect())
}

/// Judges an answer to a write.
pub fn judge(answer: Answer) -> Refusal {
    let Answer { status, sub_status, is_from_service, is_open, after, message } = answer;
    let settled = |outcome| Refusal::Settled(outcome);
    let code = sub_status.map_or(status.to_string(), |sub| format!("{status}/{sub}"));
    let reason = format!("Cosmos DB answers {code}: {message}");
    if !is_from_service {
        let reason = format!("Cosmos DB was not reached: {message}");
        return settled(if is_open { Outcome::Unanswered { reason } } else { Outcome::Retry { reason } });
    }
    match status {
        // A replica that lags behind our session: the document may well be there.
        404 if sub_status == Some(READ_SESSION_NOT_AVAILABLE) => settled(Outcome::Retry { reason }),
        404 => Refusal::Absent,
        409 => Refusal::Exists,
        412 => Refusal::Changed,
        400 | 413 => settled(Outcome::Poison { reason }),
        _ if is_open => settled(Outcome::Unanswered { reason }),
        429 | 503 => settled(Outcome::Busy { reason, after }),
        410 | 449 => settled(Outcome::Retry { reason }),
        401 | 403 => settled(Outcome::Retry { reason: format!("{reason}; {}", let_in(status)) }),
        _ => settled(Outcome::Unanswered { reason }),
    }
}

/// What to do about an account that does not let us in.
pub fn let_in(status: u16) -> &'static str {
    match status {
        401 => "check `key` or `credential` of the connection",
        _ => "the credential needs the role `Cosmos DB Built-in Data Contributor` for this container",
    }
}
