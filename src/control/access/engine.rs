//! A running engine, asked over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::Body;
use ureq::http::Response;

use crate::control::access::{AccessError, DocumentQuery};
use crate::control::config::{HttpConfig, Secret};
use crate::event::RecordPlace;
use crate::serve::backup::{BackupOrder, BackupProgress, BackupReport};
use crate::serve::dead_letters::DeadLetterPage;
use crate::serve::redrive::{RedriveOrder, Redriven};
use crate::serve::report::ProjectionReport;
use crate::serve::steering::SkipOrder;

/// How long the engine may take to answer: it waits for an offset for at most a minute.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// How often it is asked how far something is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

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

    /// Has the engine write a backup; `watch` hears now and then how far it is.
    pub fn back_up(
        &self,
        name: &str,
        directory: &Path,
        watch: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport, AccessError> {
        let path = format!("/v1/projections/{}/backup", encoded(name));
        let order = BackupOrder { directory: directory.to_owned() };
        std::thread::scope(|scope| {
            let (answered, answer) = mpsc::channel();
            // The answer comes when the file is whole, however long that takes.
            let (path, order) = (&path, &order);
            scope.spawn(move || drop(answered.send(self.post::<_, BackupReport>(path, order, None))));
            loop {
                match answer.recv_timeout(PROGRESS_INTERVAL) {
                    Ok(made) => return made,
                    Err(RecvTimeoutError::Timeout) => {
                        if let Ok(progress) = self.json(path) {
                            watch(progress);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(self.unreachable("the thread that asked is gone".into()));
                    }
                }
            }
        })
    }

    pub fn retry(&self, name: &str) -> Result<(), AccessError> {
        let path = format!("/v1/projections/{}/retry", encoded(name));
        self.post::<_, Value>(&path, &json!({}), Some(ANSWER_MAX)).map(drop)
    }

    pub fn redrive(&self, name: &str, order: &RedriveOrder) -> Result<Redriven, AccessError> {
        let path = format!("/v1/projections/{}/redrive", encoded(name));
        self.post(&path, order, Some(ANSWER_MAX))
    }

    pub fn skip(&self, name: &str, event: &RecordPlace) -> Result<(), AccessError> {
        let path = format!("/v1/projections/{}/skip", encoded(name));
        self.post::<_, Value>(&path, &SkipOrder::from(event), Some(ANSWER_MAX)).map(drop)
    }

    fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        answer_max: Option<Duration>,
    ) -> Result<T, AccessError> {
        let body = serde_json::to_string(body).expect("a request is plain data");
        let request = agent(answer_max).post(self.url(path)).header("content-type", "application/json");
        let response = match self.bearer() {
            Some(token) => request.header("authorization", token).send(body),
            None => request.send(body),
        };
        self.parse(&self.answer(response)?)
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, AccessError> {
        self.parse(&self.ask(path)?)
    }

    fn parse<T: DeserializeOwned>(&self, body: &str) -> Result<T, AccessError> {
        serde_json::from_str(body).map_err(|error| self.unreachable(format!("it answers otherwise: {error}")))
    }

    fn ask(&self, path: &str) -> Result<String, AccessError> {
        let request = agent(Some(ANSWER_MAX)).get(self.url(path));
        let response = match self.bearer() {
            Some(token) => request.header("authorization", token).call(),
            None => request.call(),
        };
        self.answer(response)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()))
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<String, AccessError> {
        let mut response = response.map_err(|error| self.unreachable(error.to_string()))?;
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

fn agent(answer_max: Option<Duration>) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(answer_max).build().into()
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
