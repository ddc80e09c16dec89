//! Names in a `.proj` file → connections of the configuration: a decision from what both say, before anything is opened.
//!
//! A name without a connection is an error that says which section to add. The one exception is `into cache`: a cache in the
//! process has no address and leaves no choice, so it is bound by itself. Nothing else ever is.

use std::sync::Arc;

use crate::control::config::{Config, Connection};
use crate::language::typed::{Into, Projection, SinkKind};
use crate::sinks::{cosmos, postgres, redis};

/// What a projection reads from and writes into.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The connection's name, for messages and metrics.
    pub source_name: String,
    pub source: Connection,
    /// In the order of the projection's sinks.
    pub sinks: Vec<Connection>,
}

/// Why a projection cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    #[error(
        "topic `{topic}` has no source: add [connections.{name}] with `kind = \"log\"` or `kind = \"kafka\"` to {file}"
    )]
    NoSource { topic: String, name: String, file: String },
    #[error("topic `{topic}` could be read from {}: say which with `default = \"…\"` in [topics] of {file}, or with `via:` at the topic", .names.join(", "))]
    ManySources { topic: String, names: Vec<String>, file: String },
    #[error("topic `{topic}` is bound to [connections.{name}] of {file}, and `kind = \"{kind}\"` is no source")]
    NotASource { topic: String, name: String, kind: &'static str, file: String },
    #[error(
        "`{projection}` reads from {first} and from {second}: all topics of a projection must come from one connection"
    )]
    TwoSources { projection: String, first: String, second: String },
    #[error(
        "`into {word}` of `{projection}` has no binding: add [connections.{name}] to {file}; with `kind = \"embedded\"` it needs nothing else"
    )]
    NoSink { word: &'static str, projection: String, name: String, file: String },
    #[error(
        "`into {word}` of `{projection}` is bound to [connections.{name}] of {file}, and `kind = \"{kind}\"` is a source"
    )]
    NotASink { word: &'static str, projection: String, name: String, kind: &'static str, file: String },
    #[error(
        "`into {word}` of `{projection}` is bound to [connections.{name}] of {file}, and `kind = \"{kind}\"` takes `into {kind}` only"
    )]
    OtherSink { word: &'static str, projection: String, name: String, kind: &'static str, file: String },
    #[error("`into {word}` of `{projection}`: {what}")]
    Options { word: &'static str, projection: String, what: String },
    #[error("`into topic` of `{projection}` is not supported yet")]
    TopicSink { projection: String },
}

/// Binds a projection.
pub fn bind(config: &Config, projection: &Projection) -> Result<Binding, BindingError> {
    let mut found: Option<String> = None;
    for topic in &projection.topics {
        let (name, _) = source(config, &topic.name, topic.via.as_deref())?;
        match &found {
            Some(first) if *first != name => {
                return Err(BindingError::TwoSources {
                    projection: projection.name.to_string(),
                    first: format!("[connections.{first}]"),
                    second: format!("[connections.{name}]"),
                });
            }
            _ => found = Some(name),
        }
    }
    let source_name = found.expect("a checked projection reads at least one topic");
    let sinks = projection.sinks.iter().map(|sink| sink_of(config, projection, sink)).collect::<Result<_, _>>()?;
    Ok(Binding { source: config.connections[&source_name].clone(), source_name, sinks })
}

/// The connection, with its name, that a topic is read from: `via`, else the default, else the only source there is.
pub fn source(config: &Config, topic: &str, via: Option<&str>) -> Result<(String, Connection), BindingError> {
    let (file, topic) = (config.file.display().to_string(), topic.to_owned());
    let name = match via.or(config.topics_default.as_deref()) {
        Some(name) => name.to_owned(),
        None => {
            let sources = config.connections.iter().filter(|(_, connection)| connection.is_source());
            let mut names: Vec<String> = sources.map(|(name, _)| name.clone()).collect();
            match names.len() {
                1 => names.remove(0),
                0 => return Err(BindingError::NoSource { topic, name: "events".into(), file }),
                _ => return Err(BindingError::ManySources { topic, names, file }),
            }
        }
    };
    match config.connections.get(&name) {
        None => Err(BindingError::NoSource { topic, name, file }),
        Some(connection) if connection.is_source() => Ok((name, connection.clone())),
        Some(connection) => Err(BindingError::NotASource { topic, name, kind: connection.kind(), file }),
    }
}

fn sink_of(config: &Config, whole: &Projection, sink: &Into) -> Result<Connection, BindingError> {
    let (name, projection) = (sink.connection.to_string(), whole.name.to_string());
    let (word, file) = (sink.kind.word(), config.file.display().to_string());
    match config.connections.get(&name) {
        _ if sink.kind == SinkKind::Topic => Err(BindingError::TopicSink { projection }),
        Some(connection @ (Connection::Embedded { .. } | Connection::Cache)) => Ok(connection.clone()),
        Some(target) if target.kind() == word => match check(target, whole, sink) {
            Ok(()) => Ok(target.clone()),
            Err(what) => Err(BindingError::Options { word, projection, what }),
        },
        Some(other) if !other.is_source() => {
            Err(BindingError::OtherSink { word, projection, name, kind: other.kind(), file })
        }
        Some(source) => Err(BindingError::NotASink { word, projection, name, kind: source.kind(), file }),
        None if sink.kind == SinkKind::Cache && name == word => Ok(Connection::Cache),
        None => Err(BindingError::NoSink { word, projection, name, file }),
    }
}

/// Whether the options of a sink make sense for its target.
fn check(target: &Connection, projection: &Projection, sink: &Into) -> Result<(), String> {
    match target {
        Connection::Cosmos(account) => cosmos::check(projection, sink, account),
        Connection::Postgres(_) => postgres::check(projection, sink),
        Connection::Redis(server) => redis::check(sink, server.cluster),
        _ => Ok(()),
    }
}

/// The topics of a projection, as the log names them.
pub fn log_topics(projection: &Projection) -> Vec<Arc<str>> {
    projection.topics.iter().map(|topic| topic.log_name.clone()).collect()
}
