//! `[connections.NAME]`: a real system behind a name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::control::config::section::Section;
use crate::control::config::{ConfigError, Secret};
use crate::language::diagnostic::near;
use crate::sinks::cosmos;
use crate::sinks::postgres::PostgresConnection;

/// A real system. Sources and sinks stand in one list, since files name both the same way.
#[derive(Debug, Clone)]
pub enum Connection {
    /// An event log directory.
    Log {
        path: PathBuf,
    },
    Kafka(KafkaConnection),
    /// A source in memory: for tests.
    Memory,
    /// The embedded document store; without a path it lies below the state directory.
    Embedded {
        path: Option<PathBuf>,
    },
    /// The cache of the process.
    Cache,
    Cosmos(cosmos::Account),
    Elasticsearch(ElasticsearchConnection),
    Postgres(PostgresConnection),
    Redis(RedisConnection),
}

/// A Kafka cluster, and how to speak to it.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    pub brokers: String,
    pub group: String,
    /// Properties of librdkafka, passed through. Any of them may be a password.
    pub options: BTreeMap<String, Secret>,
}

/// A cluster of Elasticsearch or OpenSearch, and how to speak to it.
#[derive(Debug, Clone)]
pub struct ElasticsearchConnection {
    pub url: String,
    /// `id:secret`, or both encoded as the server shows them.
    pub api_key: Option<Secret>,
    pub password: Option<(String, Secret)>,
    pub ca: Option<PathBuf>,
    /// A certificate and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    pub compress: bool,
}

/// A Redis, or a Redis Cluster, and how to speak to it.
#[derive(Debug, Clone)]
pub struct RedisConnection {
    /// It may hold a user and a password.
    pub url: Secret,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// The URL names one node of a cluster.
    pub cluster: bool,
    pub ca: Option<PathBuf>,
    /// A certificate and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

const KINDS: [&str; 9] =
    ["log", "kafka", "memory", "embedded", "cache", "cosmos", "elasticsearch", "postgres", "redis"];

impl Connection {
    /// The word after `kind =`.
    pub fn kind(&self) -> &'static str {
        match self {
            Connection::Log { .. } => "log",
            Connection::Kafka(_) => "kafka",
            Connection::Memory => "memory",
            Connection::Embedded { .. } => "embedded",
            Connection::Cache => "cache",
            Connection::Cosmos(_) => "cosmos",
            Connection::Elasticsearch(_) => "elasticsearch",
            Connection::Postgres(_) => "postgres",
            Connection::Redis(_) => "redis",
        }
    }

    /// Whether topics can be read from it.
    pub fn is_source(&self) -> bool {
        matches!(self, Connection::Log { .. } | Connection::Kafka(_) | Connection::Memory)
    }
}

/// Reads one connection.
pub(super) fn read(mut section: Section<'_>) -> Result<Connection, ConfigError> {
    let kind = section.required("kind")?;
    let connection = match kind.as_str() {
        "log" => {
            let path = section.required("path")?;
            Connection::Log { path: section.relative(&path) }
        }
        "kafka" => Connection::Kafka(read_kafka(&mut section)?),
        "memory" => Connection::Memory,
        "embedded" => Connection::Embedded { path: section.path("path")? },
        "cache" => Connection::Cache,
        "cosmos" => Connection::Cosmos(read_cosmos(&mut section)?),
        "elasticsearch" => Connection::Elasticsearch(read_elasticsearch(&mut section)?),
        "postgres" => Connection::Postgres(read_postgres(&mut section)?),
        "redis" => Connection::Redis(read_redis(&mut section)?),
        other => return Err(unknown_kind(&section, other)),
    };
    section.finish()?;
    Ok(connection)
}

fn read_kafka(section: &mut Section<'_>) -> Result<KafkaConnection, ConfigError> {
    let brokers = section.required("brokers")?;
    let group = section.text("group")?.unwrap_or_else(|| "projector".into());
    let mut options = BTreeMap::new();
    if let Some(mut properties) = section.section("options")? {
        options = properties.rest()?;
    }
    Ok(KafkaConnection { brokers, group, options })
}

fn read_cosmos(section: &mut Section<'_>) -> Result<cosmos::Account, ConfigError> {
    let endpoint = section.required("endpoint")?;
    let is_here =
        ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|here| endpoint.starts_with(here));
    if !endpoint.starts_with("https://") && !is_here {
        let what = "`endpoint` must begin with `https://`; `http://` is for an emulator on this machine only".into();
        return Err(section.wrong_key("endpoint", what));
    }
    let (database, region) = (section.text("database")?, section.text("region")?);
    Ok(cosmos::Account { endpoint, database, region, access: read_cosmos_access(section)? })
}

/// One of `key` and `credential`, with what that credential needs.
fn read_cosmos_access(section: &mut Section<'_>) -> Result<cosmos::Access, ConfigError> {
    let hidden = |secret: Secret| azure_core::credentials::Secret::new(secret.reveal().to_owned());
    let (key, credential) = (section.secret("key")?, section.text("credential")?);
    let credential = match (key, credential) {
        (Some(key), None) => return Ok(cosmos::Access::Key(hidden(key))),
        (None, Some(credential)) => credential,
        (Some(_), Some(_)) => {
            return Err(section.wrong_key("credential", "`key` and `credential` exclude each other: give one".into()));
        }
        (None, None) => {
            let what = "an account needs `key`, or `credential = \"workload_identity\"` or another one".into();
            return Err(section.wrong_key("endpoint", what));
        }
    };
    Ok(match credential.as_str() {
        "workload_identity" => {
            let (tenant_id, client_id) = (section.text("tenant_id")?, section.text("client_id")?);
            cosmos::Access::WorkloadIdentity { tenant_id, client_id }
        }
        "managed_identity" => cosmos::Access::ManagedIdentity { client_id: section.text("client_id")? },
        "client_secret" => {
            let (tenant_id, client_id) = (section.required("tenant_id")?, section.required("client_id")?);
            let Some(client_secret) = section.secret("client_secret")?.map(hidden) else {
                let what = "`credential = \"client_secret\"` needs `client_secret`".into();
                return Err(section.wrong_key("credential", what));
            };
            cosmos::Access::ClientSecret { tenant_id, client_id, client_secret }
        }
        "developer_tools" => cosmos::Access::DeveloperTools,
        other => {
            let known = cosmos::Access::CREDENTIALS;
            let help = match near(other, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            return Err(section.wrong_key("credential", format!("unknown credential `{other}`; {help}")));
        }
    })
}

fn read_elasticsearch(section: &mut Section<'_>) -> Result<ElasticsearchConnection, ConfigError> {
    let url = section.required("url")?;
    let wrong = |key, what: &str| Err(section.wrong_key(key, what.to_owned()));
    let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return wrong("url", "`url` must begin with `https://` or `http://`");
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return wrong("url", "`url` is shown in messages; put its user into `username` and `password`");
    }
    let api_key = section.secret("api_key")?;
    let (username, password) = (section.text("username")?, section.secret("password")?);
    let pair = "`username` and `password` stand together";
    let password = match (username, password) {
        (Some(_), Some(_)) if api_key.is_some() => {
            return Err(section.wrong_key("api_key", "one of `api_key` and `username` is enough".into()));
        }
        (Some(username), Some(password)) => Some((username, password)),
        (Some(_), None) => return Err(section.wrong_key("username", pair.into())),
        (None, Some(_)) => return Err(section.wrong_key("password", pair.into())),
        (None, None) => None,
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if url.starts_with("http://") && !here && (api_key.is_some() || password.is_some()) {
        let what = "a key or a password goes to another machine by `https://` only";
        return Err(section.wrong_key("url", what.into()));
    }
    if api_key.as_ref().is_some_and(|key| !key.reveal().bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(section.wrong_key("api_key", "`api_key` holds what no key holds: spaces, or a line break".into()));
    }
    let ca = section.path("ca")?;
    let client_certificate = match (section.path("client_certificate")?, section.path("client_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(section.wrong_key("client_certificate", "it needs its `client_key`".into())),
        (None, Some(_)) => return Err(section.wrong_key("client_key", "it needs its `client_certificate`".into())),
    };
    let compress = match section.text("compression")?.as_deref() {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(_) => return Err(section.wrong_key("compression", "`compression` is `gzip` or `none`".into())),
    };
    Ok(ElasticsearchConnection { url, api_key, password, ca, client_certificate, compress })
}

fn read_postgres(section: &mut Section<'_>) -> Result<PostgresConnection, ConfigError> {
    let connection = PostgresConnection {
        url: Secret::new(section.required("url")?),
        password: section.secret("password")?,
        ca: section.path("ca")?,
        certificate: section.path("client_certificate")?,
        private_key: section.path("client_key")?,
    };
    if connection.certificate.is_some() != connection.private_key.is_some() {
        let (given, other) = if connection.certificate.is_some() {
            ("client_certificate", "client_key")
        } else {
            ("client_key", "client_certificate")
        };
        return Err(section.wrong_key(given, format!("`{given}` goes with `{other}`, and there is none")));
    }
    match connection.driver_config() {
        Ok(_) => Ok(connection),
        Err(what) => Err(section.wrong_key("url", what)),
    }
}

fn read_redis(section: &mut Section<'_>) -> Result<RedisConnection, ConfigError> {
    let url = section.required("url")?;
    crate::sinks::redis::check_url(&url).map_err(|what| section.wrong_key("url", what.into()))?;
    let (username, password) = (section.text("username")?, section.secret("password")?);
    let cluster = section.flag("cluster")?.unwrap_or(false);
    let ca = section.path("ca")?;
    let client_certificate = match (section.path("client_certificate")?, section.path("client_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(section.wrong_key("client_certificate", "it needs its `client_key`".into())),
        (None, Some(_)) => return Err(section.wrong_key("client_key", "it needs its `client_certificate`".into())),
    };
    let tls = ca.is_some() || client_certificate.is_some();
    if tls && !url.starts_with("rediss://") {
        return Err(section.wrong_key("url", "certificates are for TLS: write `rediss://` in `url`".into()));
    }
    Ok(RedisConnection { url: Secret::new(url), username, password, cluster, ca, client_certificate })
}

fn unknown_kind(section: &Section<'_>, kind: &str) -> ConfigError {
    let help = match near(kind, KINDS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", KINDS.join(", ")),
    };
    section.wrong_key("kind", format!("unknown kind `{kind}`; {help}"))
}
