//! A request over HTTP → its answer, or what is known of one that has none.
//!
//! Nothing is tried twice here. What matters of a failure is whether the server may have done what it was asked to: only a
//! connection that was never made says that it has not.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use serde_json::Value;

use crate::sinks::SinkError;
use crate::sinks::elasticsearch::config::{Access, ElasticsearchOptions};

/// An answer is never waited for longer than that, whatever the deadline.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// A server, and how to speak to it.
pub(super) struct Client {
    transport: Transport,
    /// Where it is, for messages: without a password, for there is none in it.
    url: String,
}

/// What a request says.
pub(super) enum Body {
    Nothing,
    Json(Value),
    /// One JSON text a line.
    Lines(Vec<u8>),
}

/// What the server says.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server has not heard of it.
    NotSent(String),
    /// Nobody knows what it has done, or will do.
    Unanswered(String),
}

impl Client {
    pub fn new(options: &ElasticsearchOptions) -> Result<Client, SinkError> {
        let wrong = |what: String| SinkError { reason: what };
        let url =
            Url::parse(&options.url).map_err(|error| wrong(format!("`{}` is no address: {error}", options.url)))?;
        let mut builder =
            TransportBuilder::new(SingleNodeConnectionPool::new(url)).request_body_compression(options.compress);
        if let Some(path) = &options.ca {
            let trusted = Certificate::from_pem(&pem(path)?);
            let trusted = trusted.map_err(|error| wrong(format!("`{}`: {}", path.display(), causes(&error))))?;
            builder = builder.cert_validation(CertificateValidation::Full(trusted));
        }
        if let Some((certificate, key)) = &options.client_certificate {
            let mut both = pem(certificate)?;
            both.push(b'\n');
            both.extend(pem(key)?);
            builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(both)));
        }
        let transport = builder.build().map_err(|error| wrong(format!("the client cannot be made: {error}")))?;
        // The client keeps its certificate; these go with each request beside it.
        match &options.access {
            Access::Open => {}
            Access::Password { username, password } => {
                transport.set_auth(Credentials::Basic(username.clone(), password.clone()));
            }
            Access::ApiKey(key) => transport.set_auth(match key.split_once(':') {
                Some((id, secret)) => Credentials::ApiKey(id.to_owned(), secret.to_owned()),
                None => Credentials::EncodedApiKey(key.clone()),
            }),
        }
        Ok(Client { transport, url: options.url.trim_end_matches('/').to_owned() })
    }

    /// Asks, and waits for the whole answer until the deadline.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let wait = deadline.saturating_duration_since(Instant::now()).min(ANSWER_WAIT_MAX);
        let late = || Failure::Unanswered(format!("{} did not answer in time", self.url));
        let asked = async {
            let (kind, body) = match body {
                Body::Nothing => (None, None),
                Body::Json(json) => (Some("application/json"), Some(json.to_string().into_bytes())),
                Body::Lines(lines) => (Some("application/x-ndjson"), Some(lines)),
            };
            let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            let headers = HeaderMap::from_iter(kind);
            let sent = self.transport.send(method, path, headers, Some(query), body, None).await;
            let response = sent.map_err(|error| self.failure(&error))?;
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
            let status = response.status_code().as_u16();
            let body = response.bytes().await.map_err(|error| {
                Failure::Unanswered(format!("the answer of {} broke off: {}", self.url, causes(&error)))
            })?;
            Ok(Reply { status, retry_after, body: body.into() })
        };
        // Dropped, a request closes its connection, and is done all the same if it had been sent.
        tokio::time::timeout(wait, asked).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asks for JSON; an answer that says no is an error, but 404 is nothing.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
        deadline: Instant,
    ) -> Result<Option<Value>, SinkError> {
        let reply = self.ask(method, path, query, body, deadline).await.map_err(Failure::into_error)?;
        match reply.status {
            200..300 => Ok(Some(self.read(&reply.body)?)),
            404 => Ok(None),
            _ => Err(SinkError { reason: self.refusal(&reply) }),
        }
    }

    /// An answer as JSON.
    pub fn read<'b, T: serde::Deserialize<'b>>(&self, body: &'b [u8]) -> Result<T, SinkError> {
        let wrong = |error| SinkError { reason: format!("{} answers what no Elasticsearch does: {error}", self.url) };
        serde_json::from_slice(body).map_err(wrong)
    }

    /// What an answer says that says no.
    pub fn refusal(&self, reply: &Reply) -> String {
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let said = json["error"]["reason"].as_str().or(json["error"].as_str()).unwrap_or("no reason is given");
        let help = match reply.status {
            401 => "; look at `api_key`, or `username` and `password`, of the connection",
            403 => "; the user or key needs more rights, or the index is closed for writing",
            _ => "",
        };
        format!("{} answers {}: {said}{help}", self.url, reply.status)
    }

    fn failure(&self, error: &elasticsearch::Error) -> Failure {
        let text = format!("{}: {}", self.url, causes(error));
        if never_connected(error) { Failure::NotSent(text) } else { Failure::Unanswered(text) }
    }
}

impl Failure {
    pub fn into_error(self) -> SinkError {
        let (Failure::NotSent(reason) | Failure::Unanswered(reason)) = self;
        SinkError { reason }
    }
}

fn pem(path: &std::path::Path) -> Result<Vec<u8>, SinkError> {
    std::fs::read(path).map_err(|error| SinkError { reason: format!("`{}` cannot be read: {error}", path.display()) })
}

/// An error with all that caused it. Each of them says its own part only.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in chain(error) {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

/// Whether the error is one of making the connection.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        let refused = cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
        // What the client under this one says; its kinds cannot be asked for through the client.
        refused || cause.to_string() == "client error (Connect)"
    })
}

/// A name as a part of a path.
pub(super) fn segment(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("orders-v1__g1"), "orders-v1__g1");
        assert_eq!(segment("a/b%ö"), "a%2Fb%25%C3%B6");
    }

    #[tokio::test]
    async fn only_a_connection_that_was_never_made_is_known_to_have_done_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::new(&ElasticsearchOptions::at(&url)).unwrap();
        let ask = || client.ask(Method::Get, "/", &[], Body::Nothing, Instant::now() + Duration::from_secs(60));
        let closing = std::thread::spawn(move || {
            use std::io::Read;
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 100]);
            drop(stream);
            listener
        });
        assert!(matches!(ask().await, Err(Failure::Unanswered(_))));
        drop(closing.join().unwrap());
        let refused = ask().await;
        assert!(matches!(&refused, Err(Failure::NotSent(why)) if why.contains("127.0.0.1")), "{refused:?}");
    }
}
