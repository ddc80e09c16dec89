//! A name → the index behind it, found, checked, or made; and the one alias by which it is written and read.
//!
//! There is an index `orders__g1` behind an alias `orders`, which readers use and which hides what is no document; or an index
//! or alias of that name that a person made, which is checked and used as it is. Either way documents go through an alias of
//! our own, `orders__g1__W_<uuid>`, which ends with the index. So nothing is ever written to another index that took the
//! place of a deleted one: neither to one that the server makes by itself at a write (even a delete makes one; `require_alias`
//! does not hold for deletes, but no index can have a name with a capital letter), nor to one that somebody else makes under
//! the same name.

use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use serde_json::{Map, Value as Json, json};

use crate::language::typed::Projection;
use crate::sinks::SinkError;
use crate::sinks::elasticsearch::config::{IndexOptions, physical_name, settings};
use crate::sinks::elasticsearch::mapping::{self, Product};
use crate::sinks::elasticsearch::request::{Body, Client, segment};
use crate::sinks::elasticsearch::sink::LATE;

/// An index that can be written.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// Its own name, for messages.
    pub physical: String,
    /// Ends with it.
    pub alias: String,
    /// Which of all indexes that ever had its name.
    pub uuid: String,
}

/// Looks for an index.
pub(super) struct Finder<'f> {
    pub client: &'f Client,
    pub options: &'f IndexOptions,
    pub projection: &'f Projection,
    /// Of the sink in the projection.
    pub sink: usize,
    pub deadline: Instant,
}

impl Finder<'_> {
    /// The index, fit to take the documents; `None` when there is none and it is not to be made.
    pub async fn find(&self, make: bool) -> Result<Option<Index>, SinkError> {
        if let Some(found) = self.look().await? {
            return self.fit(found).await.map(Some);
        }
        if !make {
            return Ok(None);
        }
        self.make().await?;
        match self.look().await? {
            Some(found) => self.fit(found).await.map(Some),
            None => Err(self.wrong(format!(
                "there is an index `{}` without the alias `{}`; add the alias to it, or delete it",
                physical_name(&self.options.name),
                self.options.name
            ))),
        }
    }

    /// What is behind the name: one index, with all that is known of it.
    async fn look(&self) -> Result<Option<(String, Json)>, SinkError> {
        let name = &self.options.name;
        let Some(found) = self.ask(Method::Get, &segment(name), &[("flat_settings", "true")], None).await? else {
            return Ok(None);
        };
        let Json::Object(found) = found else { return Ok(None) };
        let written = |found: &Json| found["aliases"][name]["is_write_index"] == true;
        let only = found.len() == 1;
        let mut candidates = found.into_iter().filter(|(_, index)| only || written(index));
        match candidates.next() {
            Some(index) => Ok(Some(index)),
            None => Err(self.wrong("several indexes have this alias, and none of them is its write index".into())),
        }
    }

    async fn make(&self) -> Result<(), SinkError> {
        let IndexOptions { name, alias, .. } = self.options;
        let mut aliases = Map::new();
        aliases.insert(name.clone(), json!({"is_write_index": true, "filter": documents_only()}));
        if let Some(alias) = alias {
            aliases.insert(alias.clone(), json!({"filter": documents_only()}));
        }
        let body = json!({
            "settings": settings(&self.options.settings),
            "mappings": {
                "dynamic": "strict",
                "_meta": {"projector": {"made": true}},
                "properties": self.properties().await?,
            },
            "aliases": aliases,
        });
        let path = segment(&physical_name(name));
        let reply = self.client.ask(Method::Put, &path, &[], Body::Json(body), self.deadline).await;
        let reply = reply.map_err(|failure| failure.into_error())?;
        match reply.status {
            200..300 => Ok(()),
            // Two may make it at once.
            400 if String::from_utf8_lossy(&reply.body).contains("resource_already_exists_exception") => Ok(()),
            _ => Err(self.wrong(format!("it cannot be made: {}", self.client.refusal(&reply)))),
        }
    }

    /// Sees to it that an index takes the documents and has our alias.
    async fn fit(&self, (physical, found): (String, Json)) -> Result<Index, SinkError> {
        self.fit_settings(&found["settings"])?;
        self.fit_mapping(&physical, &found["mappings"]).await?;
        let uuid = found["settings"]["index.uuid"].as_str().unwrap_or_default().to_owned();
        let alias = format!("{physical}__W_{uuid}");
        let wanted = self.options.alias.as_ref().map(|alias| (alias, json!({"filter": documents_only()})));
        let mut actions = Vec::new();
        for (alias, extra) in wanted.into_iter().chain([(&alias, json!({}))]) {
            if found["aliases"].get(alias).is_none() && *alias != physical {
                let mut add = json!({"index": physical, "alias": alias});
                add.as_object_mut().expect("it was made so").extend(extra.as_object().cloned().unwrap_or_default());
                actions.push(json!({"add": add}));
            }
        }
        if !actions.is_empty() {
            self.ask(Method::Post, "_aliases", &[], Some(json!({"actions": actions}))).await?;
        }
        Ok(Index { physical, alias, uuid })
    }

    fn fit_settings(&self, settings: &Json) -> Result<(), SinkError> {
        if settings["index.translog.durability"].as_str().is_some_and(|text| text.eq_ignore_ascii_case("async")) {
            return Err(self.wrong(
                "it forgets what it has said is written when its server crashes; set index.translog.durability to \
                 `request`"
                    .into(),
            ));
        }
        let remembered = settings["index.gc_deletes"].as_str().and_then(time);
        if remembered.is_some_and(|remembered| remembered < LATE) {
            return Err(self.wrong(format!(
                "it forgets deleted documents within {} s, and a write from before may arrive later; set \
                 index.gc_deletes to `15m`",
                LATE.as_secs()
            )));
        }
        Ok(())
    }

    async fn fit_mapping(&self, physical: &str, found: &Json) -> Result<(), SinkError> {
        let wanted = self.properties().await?;
        let there = &found["properties"];
        let mut differences = mapping::conflicts(&wanted, there);
        let missing = mapping::missing(&wanted, there);
        let is_ours = !found["_meta"]["projector"].is_null();
        if is_ours && differences.is_empty() && !missing.is_empty() {
            // A field more disturbs nobody.
            let path = format!("{}/_mapping", segment(physical));
            return self.ask(Method::Put, &path, &[], Some(json!({"properties": missing}))).await.map(drop);
        }
        if !is_ours {
            differences.extend(mapping::names(&missing, there).iter().map(|name| format!("`{name}` is missing there")));
        }
        if differences.is_empty() {
            return Ok(());
        }
        let add = Json::Object(missing);
        let help = match (is_ours, add.as_object().is_some_and(|add| !add.is_empty())) {
            (false, true) => format!("put {add} to the properties of its mapping, or name another index"),
            _ => "say its types with `mappings: { … }`, or name another index, which is filled anew".into(),
        };
        Err(self.wrong(format!("`{physical}` does not take these documents: {}; {help}", differences.join(", "))))
    }

    async fn properties(&self) -> Result<Map<String, Json>, SinkError> {
        let product = match self.ask(Method::Get, "", &[], None).await? {
            Some(server) if server["version"]["distribution"] == "opensearch" => Product::OpenSearch,
            _ => Product::Elasticsearch,
        };
        mapping::properties(&self.projection.sinks[self.sink], &self.options.mappings, product)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Json>,
    ) -> Result<Option<Json>, SinkError> {
        let body = body.map_or(Body::Nothing, Body::Json);
        self.client.json(method, path, query, body, self.deadline).await
    }

    fn wrong(&self, what: String) -> SinkError {
        SinkError { reason: format!("index `{}`: {what}", self.options.name) }
    }
}

/// Hides claims: they have no version.
fn documents_only() -> Json {
    json!({"exists": {"field": "_proj.v"}})
}

/// A time as settings have it; `None` when it is in words of the server's own.
fn time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 86400),
        "" | "micros" | "nanos" => Duration::ZERO,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_settings_are_read() {
        for (text, seconds) in [("15m", 900), ("60s", 60), ("1500ms", 1), ("1h", 3600), ("2d", 172_800), ("0", 0)] {
            assert_eq!(time(text).map(|time| time.as_secs()), Some(seconds), "{text}");
        }
        assert_eq!(time("soon"), None);
    }
}
