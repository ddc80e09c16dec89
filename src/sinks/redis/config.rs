//! What is known of a server before it is reached, and clients made from it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use crate::sinks::SinkError;
use crate::sinks::tls::choose_cryptography;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests have deadlines of their own; this only ends those whose sender has gone.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// How to reach a server or a cluster.
#[derive(Clone, Default)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`; it may hold a user and a password.
    pub url: String,
    pub username: Option<String>,
    pub password: Option<String>,
    /// The URL names one node of a cluster, which tells of the others.
    pub cluster: bool,
    /// PEM file of whom to trust, in place of the authorities that browsers trust.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate and the key to show to the server.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Without what is secret.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisOptions { cluster, ca, client, .. } = self;
        let out = &mut f.debug_struct("RedisOptions");
        out.field("address", &self.address()).field("cluster", cluster).field("ca", ca).field("client", client).finish()
    }
}

/// A client that has not connected yet.
pub(super) enum Unconnected {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// What is wrong with a URL, if something is. The URL is not repeated: it may hold a password.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let form = "`url` must be `redis://host:port` or, with TLS, `rediss://host:port`";
    match url.into_connection_info().map(|info| info.addr().clone()) {
        Ok(ConnectionAddr::Tcp(..)) => Ok(()),
        Ok(ConnectionAddr::TcpTls { insecure: false, .. }) => Ok(()),
        Ok(ConnectionAddr::TcpTls { .. }) => Err("`url` may not end in `#insecure`: name the authority with `ca`"),
        _ => Err(form),
    }
}

impl RedisOptions {
    /// Host and port, for messages.
    pub fn address(&self) -> String {
        let info = self.url.as_str().into_connection_info();
        info.map_or_else(|_| "an unknown address".into(), |info| info.addr().to_string())
    }

    pub(super) fn client(&self) -> Result<Unconnected, SinkError> {
        let wrong =
            |error: redis::RedisError| SinkError { reason: format!("{}: {}", self.address(), error.category()) };
        let info = self.info().map_err(wrong)?;
        let certificates = self.certificates()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            choose_cryptography();
        }
        if !self.cluster {
            let client = match certificates {
                Some(certificates) => Client::build_with_tls(info, certificates),
                None => Client::open(info),
            };
            return client.map(|client| Unconnected::Single(Box::new(client))).map_err(wrong);
        }
        // Sending again is for whoever knows what became of the first time.
        let builder = ClusterClientBuilder::new([info])
            .retries(0)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT);
        let builder = match certificates {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        };
        builder.build().map(|client| Unconnected::Cluster(Box::new(client))).map_err(wrong)
    }

    fn info(&self) -> Result<ConnectionInfo, redis::RedisError> {
        let info = self.url.as_str().into_connection_info()?;
        let mut login = info.redis_settings().clone();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        Ok(info.set_redis_settings(login))
    }

    fn certificates(&self) -> Result<Option<TlsCertificates>, SinkError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| SinkError { reason: format!("{}: {error}", path.display()) })
        };
        let root_cert = self.ca.as_deref().map(read).transpose()?;
        let client_tls = match &self.client {
            Some((cert, key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
            None => None,
        };
        Ok((root_cert.is_some() || client_tls.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_reached_safely_are_taken() {
        for url in ["redis://127.0.0.1:6379", "rediss://user:word@cache.example:6380", "redis://localhost/3"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in
            ["", "localhost:6379", "http://localhost", "redis+unix:///tmp/socket", "rediss://localhost/#insecure"]
        {
            assert!(check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = RedisOptions {
            url: "redis://ann:hidden@127.0.0.1:6379".into(),
            password: Some("hidden".into()),
            ..RedisOptions::default()
        };
        assert_eq!(options.address(), "127.0.0.1:6379");
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
