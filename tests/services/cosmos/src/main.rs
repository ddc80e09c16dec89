//! Serves the Cosmos SDK's in-memory emulator over HTTP/1.1 and h2c on loopback: each request is handed to it as it came.
//!
//! `cosmos-emulator PORT [--throttle] [--advertise PORT]` prints `listening` once it answers. With `--throttle` a container
//! refuses what is over its request units, as the service does. Clients follow the address in the account's document, so one
//! that is to come through a proxy needs `--advertise` with the proxy's port. Nothing is kept, and any key is right.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use azure_core::http::headers::{HeaderName, HeaderValue};
use azure_core::http::{Method, Request as EmulatorRequest, Url};
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The largest request the service takes is 2 MB; what is over it is for the emulator to refuse.
const BODY_BYTES_MAX: usize = 8 << 20;

struct Account {
    emulator: InMemoryEmulatorHttpClient,
    /// The address in the account's document, by which the emulator knows its region.
    advertised: Url,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("a port is missing")?.parse()?;
    let (mut throttle, mut advertised_port) = (false, port);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--throttle" => throttle = true,
            "--advertise" => advertised_port = arguments.next().ok_or("`--advertise` needs a port")?.parse()?,
            other => return Err(format!("`{other}` is not an argument of this program").into()),
        }
    }
    let advertised = Url::parse(&format!("http://127.0.0.1:{advertised_port}/"))?;
    let config = VirtualAccountConfig::new(vec![VirtualRegion::new("East US", advertised.clone())])?
        .with_consistency(ConsistencyLevel::Session)
        .with_throttling_enabled(throttle);
    let account = Arc::new(Account { emulator: InMemoryEmulatorHttpClient::new(config), advertised });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening");
    axum::serve(listener, Router::new().fallback(answer).with_state(account)).await?;
    Ok(())
}

async fn answer(State(account): State<Arc<Account>>, request: Request<Body>) -> Response<Body> {
    match forward(&account, request).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = Response::new(Body::from(error.to_string()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

async fn forward(account: &Account, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let mut url = account.advertised.clone();
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    let mut inner = EmulatorRequest::new(url, method(parts.method.as_str())?);
    for (name, value) in &parts.headers {
        let value = value.to_str()?.to_owned();
        inner.headers_mut().insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value));
    }
    inner.set_body(to_bytes(body, BODY_BYTES_MAX).await?.to_vec());

    let answer = account.emulator.execute_request(&inner).await?.try_into_raw_response().await?;
    let mut response = Response::builder().status(u16::from(answer.status()));
    for (name, value) in answer.headers().iter() {
        // Those belong to this connection.
        if !matches!(name.as_str(), "content-length" | "transfer-encoding") {
            response = response.header(name.as_str(), value.as_str());
        }
    }
    Ok(response.body(Body::from(answer.body().as_ref().to_vec()))?)
}

fn method(name: &str) -> Result<Method, Failure> {
    Ok(match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "HEAD" => Method::Head,
        other => return Err(format!("the emulator knows no method `{other}`").into()),
    })
}
