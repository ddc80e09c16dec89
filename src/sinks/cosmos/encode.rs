//! Keys and documents ↔ what Cosmos DB stores: an id, a partition key, JSON with a `ttl`; and the way back.
//!
//! A partition key is taken from the same JSON that stands in the document, so that the two cannot differ. What the service adds
//! to a document (`_rid`, `_etag`, …) is taken off again when it is read.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_data_cosmos::PartitionKey;
use azure_data_cosmos::models::PartitionKeyValue;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{EventTime, Version};
use crate::plan::eval::Scratch;
use crate::plan::{Plan, render};
use crate::sinks::cosmos::partition::{self, Level};
use crate::value::json::{self, Style};

/// What an id may take, in bytes.
const ID_BYTES_MAX: usize = 1023;
/// The most that `ttl` can say, in seconds.
const TTL_MAX: i64 = i32::MAX as i64;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Where a document lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub id: String,
    pub partition: PartitionKey,
}

/// Makes places and bodies for one sink.
pub struct Encoder {
    plan: Arc<Plan>,
    sink: usize,
    pub levels: Vec<Level>,
    ttl: Option<Duration>,
}

impl Encoder {
    pub fn new(plan: Arc<Plan>, sink: usize) -> Result<Encoder, String> {
        let levels = partition::levels(&plan.projection, &plan.projection.sinks[sink])?;
        let ttl = plan.projection.sinks[sink].options.ttl;
        Ok(Encoder { plan, sink, levels, ttl })
    }

    pub fn has_ttl(&self) -> bool {
        self.ttl.is_some()
    }

    /// Whether every document has a partition of its own.
    pub fn is_by_id(&self) -> bool {
        self.levels.iter().all(Level::is_id)
    }

    /// Where the document of a key lies, or why there can be none.
    pub fn place(&self, key: &str) -> Result<Place, String> {
        SCRATCH.with_borrow_mut(|scratch| {
            let (projection, sink) = (&self.plan.projection, &self.plan.projection.sinks[self.sink]);
            let id = render::cosmos_document_id(projection, sink, key, scratch).map_err(|fault| fault.to_string())?;
            if id.is_empty() || id.len() > ID_BYTES_MAX {
                return Err(format!("the id has {} bytes, and Cosmos DB takes 1 to {ID_BYTES_MAX}", id.len()));
            }
            let values = self.levels.iter().map(|level| self.value(level, &id, key, scratch));
            let values: Vec<PartitionKeyValue> = values.collect::<Result<_, _>>()?;
            let partition = PartitionKey::try_from(values).map_err(|error| error.to_string())?;
            Ok(Place { id, partition })
        })
    }

    fn value(&self, level: &Level, id: &str, key: &str, scratch: &mut Scratch) -> Result<PartitionKeyValue, String> {
        let Some(expr) = &level.value else { return Ok(id.to_owned().into()) };
        let (projection, sink) = (&self.plan.projection, &self.plan.projection.sinks[self.sink]);
        let value = render::of_key(projection, sink, expr, key, scratch).map_err(|fault| fault.to_string())?;
        let options = &sink.options;
        let style = Style { decimals: options.decimals, ints_as_text: options.ints_as_text, ..Style::default() };
        let mut written = Vec::new();
        json::write(&value, &expr.ty, style, &mut written)
            .map_err(|json::IntTooLarge(int)| format!("{int} in the partition key is past 2^53"))?;
        let value: serde_json::Value = serde_json::from_slice(&written).map_err(|error| error.to_string())?;
        partition_part(&value)
    }

    /// The body as it is sent.
    pub fn body(&self, body: &[u8], time: Option<EventTime>, now: i64) -> Result<Box<RawValue>, String> {
        let body = match self.ttl {
            Some(ttl) => Cow::Owned(with_ttl(body, seconds_left(ttl, time, now))),
            None => Cow::Borrowed(body),
        };
        let text = String::from_utf8(body.into_owned()).map_err(|error| error.to_string())?;
        RawValue::from_string(text).map_err(|error| error.to_string())
    }

    /// A stored document without what Cosmos DB, or our `ttl`, has put to it.
    pub fn stored(&self, body: &[u8]) -> Result<Arc<[u8]>, String> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let ours = |name: &str| {
            !matches!(name, "_rid" | "_self" | "_etag" | "_ts" | "_attachments")
                && (name != "ttl" || self.ttl.is_none())
        };
        let mut out = vec![b'{'];
        for (name, value) in fields.iter().filter(|(name, _)| ours(name)) {
            if out.len() > 1 {
                out.push(b',');
            }
            json::write_text(name, &mut out);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Ok(out.into())
    }
}

/// A scalar of a document as a part of a partition key.
pub fn partition_part(value: &serde_json::Value) -> Result<PartitionKeyValue, String> {
    match value {
        serde_json::Value::String(text) => Ok(text.into()),
        serde_json::Value::Bool(value) => Ok((*value).into()),
        serde_json::Value::Null => Ok(PartitionKeyValue::NULL),
        serde_json::Value::Number(number) => {
            let number = number.as_f64().ok_or_else(|| format!("{number} is no double"))?;
            PartitionKeyValue::try_from(number).map_err(|error| error.to_string())
        }
        other => Err(format!("{other} cannot be a partition key")),
    }
}

/// How long a document has to live, in whole seconds, at least one.
fn seconds_left(ttl: Duration, time: Option<EventTime>, now: i64) -> i64 {
    let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    let ends = time.map_or(now, |EventTime(time)| time).saturating_add(ttl);
    ends.saturating_sub(now).div_euclid(1_000_000).clamp(1, TTL_MAX)
}

/// A document, which ends with `}`, with one field more.
fn with_ttl(body: &[u8], seconds: i64) -> Vec<u8> {
    let mut out = body.strip_suffix(b"}").unwrap_or(body).to_vec();
    out.extend_from_slice(format!(",\"ttl\":{seconds}}}").as_bytes());
    out
}

/// What `_proj` of a stored document says.
#[derive(Debug, PartialEq, Eq)]
pub struct Mark {
    pub projection: Option<String>,
    pub version: Option<Version>,
}

impl Mark {
    pub fn of(body: &[u8]) -> Mark {
        let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let mark = &document["_proj"];
        Mark { projection: mark["p"].as_str().map(str::to_owned), version: version(&mark["v"]) }
    }
}

/// A number that Cosmos DB keeps as a double, and may write as one.
fn version(number: &serde_json::Value) -> Option<Version> {
    const MAX: f64 = (1u64 << 53) as f64;
    let whole = |number: f64| (number.fract() == 0.0 && (0.0..=MAX).contains(&number)).then_some(number as u64);
    number.as_u64().or_else(|| number.as_f64().and_then(whole)).map(Version)
}

/// Escapes what an id must not hold.
pub fn escaped(id: &str) -> String {
    id.replace('/', "%2F").replace('\\', "%5C").replace('?', "%3F").replace('#', "%23")
}

/// The fields of an object, in their order and as they are written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
