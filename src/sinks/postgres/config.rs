//! `[connections.NAME] kind = "postgres"`: the server, and how to be sure that it is the one.
//!
//! `sslmode` in the URL is read here, since a mode that encrypts without looking whom it speaks to protects from nobody:
//! with TLS the certificate and the name are always verified, by `ca` or by what the system trusts. Without `sslmode` a
//! server on the same machine is spoken to in the clear, any other by TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::control::config::Secret;

/// How long a server may take to let a session in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may go without an answer of the network.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(20);

/// A server, as the configuration has it.
#[derive(Debug, Clone)]
pub struct PostgresConnection {
    /// `postgres://user:password@host/database?sslmode=…`: may hold a password.
    pub url: Secret,
    pub password: Option<Secret>,
    /// Certificates to trust, in PEM; without it what the system trusts.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and its key, in PEM.
    pub certificate: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
}

impl PostgresConnection {
    /// A server that needs no more than its URL.
    pub fn new(url: &str) -> PostgresConnection {
        PostgresConnection {
            url: Secret::new(url.to_owned()),
            password: None,
            ca: None,
            certificate: None,
            private_key: None,
        }
    }

    /// What the driver is given; an error says what is wrong with the URL, and nothing of what is in it.
    pub fn driver_config(&self) -> Result<Config, String> {
        let (url, mode) = without_mode(self.url.reveal());
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("`url` is no address of a PostgreSQL server, such as postgres://user@host/database{cause}")
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("`url` names no host: write postgres://user@host/database".into());
        }
        let tls = match mode.as_deref() {
            None => !config.get_hosts().iter().all(is_here),
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => {
                return Err("`sslmode` is `disable`, or `require` (or `verify-full`, which is the same here: the \
                            certificate and the name are always verified)"
                    .into());
            }
        };
        config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(NETWORK_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("projector");
        }
        // Of several hosts, the one that can be written.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(config)
    }

    /// How TLS is spoken. Reads the files each time, since certificates are renewed.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(self.roots()?);
        let config = match (&self.certificate, &self.private_key) {
            (Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(|error| error.to_string())?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let certificates = match &self.ca {
            Some(ca) => certificates(ca)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err("there is no certificate to trust: name a file in PEM with `ca`".into());
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, &error))?;
    read.collect::<Result<_, _>>().map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{} cannot be read as PEM: {error}", file.display())
}

/// Whether bytes for this host stay on the machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
    }
}

/// The URL without `sslmode`, and what it said.
fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (modes, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with("sslmode="));
    let mode = modes.last().map(|pair| pair["sslmode=".len()..].to_owned());
    let query = others.join("&");
    (if query.is_empty() { address.to_owned() } else { format!("{address}?{query}") }, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<SslMode, String> {
        PostgresConnection::new(url).driver_config().map(|config| config.get_ssl_mode())
    }

    #[test]
    fn other_machines_are_spoken_to_by_tls() {
        assert_eq!(mode("postgres://u@127.0.0.1:5432/d"), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://u@localhost/d"), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://u@localhost,db.example.com/d"), Ok(SslMode::Require));
        assert_eq!(mode("postgres://u@db.example.com/d"), Ok(SslMode::Require));
        assert_eq!(mode("postgres://u@db.example.com/d?sslmode=disable"), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://u@localhost/d?connect_timeout=3&sslmode=verify-full"), Ok(SslMode::Require));
        assert!(mode("postgres://u@localhost/d?sslmode=prefer").is_err_and(|why| why.contains("`disable`")));
    }

    #[test]
    fn nothing_that_is_secret_is_shown() {
        let connection = PostgresConnection {
            password: Some(Secret::new("hunter2".into())),
            ..PostgresConnection::new("postgres://u:hunter3@localhost:port/d")
        };
        let why = connection.driver_config().expect_err("it has no port");
        for shown in [why, format!("{connection:?}")] {
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }

    #[test]
    fn a_password_of_its_own_counts() {
        let connection = PostgresConnection {
            password: Some(Secret::new("hunter2".into())),
            ..PostgresConnection::new("postgres://u@localhost/d")
        };
        assert_eq!(connection.driver_config().unwrap().get_password(), Some(&b"hunter2"[..]));
    }
}
