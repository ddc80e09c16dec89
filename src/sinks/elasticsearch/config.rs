//! What the configuration and the `.proj` file say → where documents go, and under which names.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use crate::language::typed::{Expr, Into, OptionValue, Projection};
use crate::sinks::SinkError;
use crate::value::json::{self, DecimalStyle, Style};
use crate::value::{Type, Value};

/// A cluster, and how to speak to it. INVARIANT: it is never shown, since it holds secrets.
#[derive(Clone)]
pub struct ElasticsearchOptions {
    pub url: String,
    pub access: Access,
    /// PEM: who else is trusted to vouch for the server.
    pub ca: Option<PathBuf>,
    /// PEM: the certificate and its key that the client shows.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Bodies of requests are compressed.
    pub compress: bool,
}

/// How the client says who it is.
#[derive(Clone)]
pub enum Access {
    Open,
    Password {
        username: String,
        password: String,
    },
    /// `id:secret`, or both encoded as the server shows them.
    ApiKey(String),
}

impl ElasticsearchOptions {
    /// A cluster that asks for nothing.
    pub fn at(url: &str) -> ElasticsearchOptions {
        ElasticsearchOptions {
            url: url.to_owned(),
            access: Access::Open,
            ca: None,
            client_certificate: None,
            compress: false,
        }
    }
}

/// The index of a sink as its file wants it.
pub(super) struct IndexOptions {
    /// The name that readers use: an alias, or an index that a person made.
    pub name: String,
    /// One more alias.
    pub alias: Option<String>,
    pub routing: Option<Expr>,
    /// Types of the target's own, by field.
    pub mappings: Map<String, Json>,
    pub settings: Map<String, Json>,
    /// Documents of somebody else are taken over.
    pub adopt: bool,
}

/// The index that is made when there is none: generations of a projection differ in the number.
pub(super) fn physical_name(name: &str) -> String {
    format!("{name}__g1")
}

/// The settings of an index that is made: what the file says, and how long deleted documents are remembered.
///
/// A write that was given up on may still arrive. It must find the version of whatever was done since, a delete too.
pub(super) fn settings(own: &Map<String, Json>) -> Json {
    let mut settings = own.clone();
    let within = settings.get("index").is_some_and(|index| index.get("gc_deletes").is_some());
    if !within && !settings.contains_key("gc_deletes") && !settings.contains_key("index.gc_deletes") {
        settings.insert("index.gc_deletes".into(), json!("15m"));
    }
    Json::Object(settings)
}

impl IndexOptions {
    pub fn of(projection: &Projection, sink: &Into) -> Result<IndexOptions, SinkError> {
        let options = &sink.options;
        let name = options.place.as_deref().unwrap_or(&projection.name).to_owned();
        let mut found = IndexOptions {
            name,
            alias: None,
            routing: None,
            mappings: Map::new(),
            settings: Map::new(),
            adopt: options.adopt,
        };
        for option in &options.all {
            match (&*option.name, &option.value) {
                ("alias", OptionValue::Constant(Value::Text(alias))) => found.alias = Some(alias.as_str().to_owned()),
                ("routing", OptionValue::Expr(expr)) => found.routing = Some(expr.clone()),
                ("mappings", value) => found.mappings = block("mappings", value)?,
                ("settings", value) => found.settings = block("settings", value)?,
                _ => {}
            }
        }
        for name in std::iter::once(&found.name).chain(&found.alias) {
            valid_name(name)?;
        }
        Ok(found)
    }
}

/// The server's own rules, so that a name is never taken for a pattern, or for several.
fn valid_name(name: &str) -> Result<(), SinkError> {
    let starts = name.starts_with(['-', '_', '+', '.']);
    let holds = name.chars().find(|c| "\\/*?\"<>|,#: ".contains(*c) || c.is_uppercase() || c.is_control());
    let wrong = match holds {
        _ if name.is_empty() => "it is empty".to_owned(),
        Some(c) => format!("it holds `{}`", c.escape_default()),
        None if starts => "it begins with what names of indexes do not begin with".to_owned(),
        None if name.len() > 200 => "it is longer than 200 bytes".to_owned(),
        None => return Ok(()),
    };
    Err(SinkError { reason: format!("`{name}` is no name for an index: {wrong}") })
}

fn block(name: &str, value: &OptionValue) -> Result<Map<String, Json>, SinkError> {
    match constant(name, value)? {
        Json::Object(block) => Ok(block),
        _ => Err(SinkError { reason: format!("`{name}` takes a block") }),
    }
}

/// A block of the target's own options as JSON.
fn constant(name: &str, value: &OptionValue) -> Result<Json, SinkError> {
    Ok(match value {
        OptionValue::Block(entries) => {
            let entries = entries.iter().map(|(name, value)| Ok((name.to_string(), constant(name, value)?)));
            Json::Object(entries.collect::<Result<_, SinkError>>()?)
        }
        OptionValue::List(items) => {
            Json::Array(items.iter().map(|item| constant(name, item)).collect::<Result<_, _>>()?)
        }
        OptionValue::Constant(value) => scalar(value),
        OptionValue::Expr(_) => {
            let reason = format!("`{name}` must be a constant: it holds for the whole index");
            return Err(SinkError { reason });
        }
    })
}

fn scalar(value: &Value<'_>) -> Json {
    let ty = match value {
        Value::Decimal(_) => Type::Decimal(None),
        Value::Float(_) => Type::Float,
        // As the server writes durations.
        Value::Duration(micros) => return json!(format!("{}ms", micros / 1000)),
        Value::Text(_) => Type::String(None),
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        _ => return Json::Null,
    };
    let style = Style { decimals: DecimalStyle::Numbers, ints_exact: true, ..Style::default() };
    let mut text = Vec::new();
    json::write(value, &ty, style, &mut text).expect("integers of any size are written");
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sinks::plan;

    fn options(into: &str) -> Result<IndexOptions, String> {
        let plan = plan(&format!("elasticsearch {{ {into} }}"));
        IndexOptions::of(&plan.projection, &plan.projection.sinks[0]).map_err(|error| error.reason)
    }

    #[test]
    fn options_are_taken_as_they_are() {
        let options = options(
            "index: \"notes\" alias: \"all\" routing: k mappings: { n: \"keyword\" } \
             settings: { number_of_shards: 3, refresh_interval: 30s, analysis: { filter: [\"a\", \"b\"], factor: 1.5 } }",
        );
        let options = options.unwrap();
        assert_eq!((options.name.as_str(), options.alias.as_deref()), ("notes", Some("all")));
        assert!(options.routing.is_some());
        assert_eq!(Json::Object(options.mappings), json!({"n": "keyword"}));
        assert_eq!(
            settings(&options.settings),
            json!({
                "number_of_shards": 3,
                "refresh_interval": "30000ms",
                "analysis": {"filter": ["a", "b"], "factor": 1.5},
                "index.gc_deletes": "15m",
            })
        );
    }

    #[test]
    fn how_long_deletes_are_remembered_may_be_said() {
        for own in
            [json!({"gc_deletes": "1h"}), json!({"index.gc_deletes": "1h"}), json!({"index": {"gc_deletes": "1h"}})]
        {
            assert_eq!(settings(own.as_object().unwrap()), own);
        }
    }

    #[test]
    fn names_that_mean_more_than_one_index_are_refused() {
        for name in ["a*", "a,b", "Notes", "-a", "_all", "..", "a b", "a?"] {
            let error = options(&format!("index: \"{name}\"")).err();
            assert!(error.as_ref().is_some_and(|error| error.contains("is no name for an index")), "{name}: {error:?}");
        }
        assert!(options("index: \"a\" alias: \"b*\"").is_err());
    }

    #[test]
    fn what_holds_for_the_index_does_not_differ_by_document() {
        assert!(options("index: \"a\" mappings: { n: k }").err().unwrap().contains("must be a constant"));
    }
}
