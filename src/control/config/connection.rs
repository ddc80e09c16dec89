//! `[connections.NAME]`: a real system behind a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::control::config::section::Section;
use crate::control::config::{ConfigError, Secret};
use crate::language::diagnostic::near;

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
    /// A kind this release knows by name only: it is refused when a file uses it.
    Unbuilt {
        kind: &'static str,
    },
}

/// A Kafka cluster, and how to speak to it.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    pub brokers: String,
    pub group: String,
    /// Properties of librdkafka, passed through. Any of them may be a password.
    pub options: BTreeMap<String, Secret>,
}

/// The kinds to come, with the keys they will take: a file that names them is checked as far as it can be.
const UNBUILT: [(&str, &[&str]); 4] = [
    ("cosmos", &["endpoint", "key", "credential", "database"]),
    ("elasticsearch", &["url", "api_key", "username", "password"]),
    ("redis", &["url"]),
    ("postgres", &["url"]),
];

const BUILT: [&str; 5] = ["log", "kafka", "memory", "embedded", "cache"];

impl Connection {
    /// The word after `kind =`.
    pub fn kind(&self) -> &'static str {
        match self {
            Connection::Log { .. } => "log",
            Connection::Kafka(_) => "kafka",
            Connection::Memory => "memory",
            Connection::Embedded { .. } => "embedded",
            Connection::Cache => "cache",
            Connection::Unbuilt { kind } => kind,
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
        other => {
            let Some((kind, keys)) = UNBUILT.iter().find(|(kind, _)| *kind == other) else {
                return Err(unknown_kind(&section, other));
            };
            for key in *keys {
                section.secret(key)?;
            }
            Connection::Unbuilt { kind }
        }
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

fn unknown_kind(section: &Section<'_>, kind: &str) -> ConfigError {
    let known = || BUILT.into_iter().chain(UNBUILT.iter().map(|(kind, _)| *kind));
    let help = match near(kind, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known().collect::<Vec<_>>().join(", ")),
    };
    section.wrong_key("kind", format!("unknown kind `{kind}`; {help}"))
}
