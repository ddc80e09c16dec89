//! A running engine, asked over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::control::access::{AccessError, DocumentQuery};
use crate::control::config::{HttpConfig, Secret};
use crate::serve::dead_letters::DeadLetterPage;
use crate::serve::report::ProjectionReport;

/// How long the engine may take to answer: it waits for an offset for at most a minute.
const ANSWER_MAX: Duration = Duration::from_secs(70);

/// The engine at the configured address.
pub(super) struct EngineClient {
    address: SocketAddr,
    token: Option<Secret>,
}

#[derive(Deserialize)]
struct Projections {
    projections: Vec<ProjectionReport>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl EngineClient {
    pub fn new(http: &HttpConfig) -> EngineClient {
        let mut address = http.listen;
        // Listening on all addresses includes this one.
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        EngineClient { address, token: http.token.clone() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether something listens there.
    pub fn answers(&self) -> bool {
        self.address.port() != 0 && TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).is_ok()
    }

    pub fn projections(&self) -> Result<Vec<ProjectionReport>, AccessError> {
        Ok(self.json::<Projections>("/v1/projections")?.projections)
    }

    pub fn dead_letters(&self, name: &str, after: u64, limit: usize) -> Result<DeadLetterPage, AccessError> {
        let name = encoded(name);
        self.json(&format!("/v1/projections/{name}/dead-letters?after={after}&limit={limit}"))
    }

    /// A document, as its bytes.
    pub fn document(&self, name: &str, key: &str, query: DocumentQuery<'_>) -> Result<String, AccessError> {
        let mut path = format!("/v1/projections/{}/documents/{}", encoded(name), encoded(key));
        let mut separator = '?';
        for (parameter, value) in [("sink", query.sink), ("wait", query.wait), ("timeout", query.timeout)] {
            if let Some(value) = value {
                path.push_str(&format!("{separator}{parameter}={}", encoded(value)));
                separator = '&';
            }
        }
        self.ask(&path)
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, AccessError> {
        serde_json::from_str(&self.ask(path)?)
            .map_err(|error| self.unreachable(format!("it answers otherwise: {error}")))
    }

    fn ask(&self, path: &str) -> Result<String, AccessError> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX)).build();
        let mut request = ureq::Agent::from(config).get(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        let mut response = request.call().map_err(|error| self.unreachable(error.to_string()))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_string();
        let body = body.map_err(|error| self.unreachable(error.to_string()))?;
        if status == 200 {
            return Ok(body);
        }
        let Ok(Refusal { error }) = serde_json::from_str(&body) else {
            return Err(self.unreachable(format!("what answers there, with {status}, is no engine")));
        };
        Err(match status {
            404 => AccessError::NotFound(error),
            504 => AccessError::TimedOut(error),
            _ => AccessError::Refused(error),
        })
    }

    fn unreachable(&self, reason: String) -> AccessError {
        AccessError::Unreachable { address: self.address.to_string(), reason }
    }
}

/// Percent-encodes all but what stands for itself in every part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_text_is_encoded_whole() {
        assert_eq!(encoded("a|b%7C/ü.1"), "a%7Cb%257C%2F%C3%BC.1");
    }
}
