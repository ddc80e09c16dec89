//! Documents ↔ what Redis keeps of them: a text, the fields of a hash, a member with or without a score.
//!
//! A field of a hash is text without quotes, a number or a word as JSON has them, or, when it is a list or a record, JSON. A
//! Redis hash knows no null: what is none is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Version;
use crate::language::typed::{Into, SinkKind, SinkOptions};
use crate::plan::Plan;
use crate::plan::eval::Scratch;
use crate::plan::render;
use crate::sinks::{DocumentBody, DocumentWrite};
use crate::value::Type;
use crate::value::json::{DecimalStyle, write_text};

/// What `_proj` is called in a hash.
const MARK: &str = "_proj";

/// A write, as the script takes it.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub key_text: Arc<str>,
    pub version: Version,
    /// The key it goes to; a delete finds out what there is.
    pub key: Option<String>,
    pub put: Put,
    /// When it expires, in milliseconds.
    pub expiry: Expiry,
}

#[derive(Debug, PartialEq)]
pub(super) enum Put {
    Text(Arc<[u8]>),
    Fields(Vec<(String, String)>),
    Member(String),
    Scored(String, String),
    Delete,
    /// A delete of what is older than this.
    Sweep(Version),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    /// Since 1970.
    At(i64),
    /// From when it is written: for rows whose events carry no time.
    In(u64),
}

/// Where the member of a set goes, as it is rendered.
#[derive(Debug, Deserialize)]
struct Membership {
    key: String,
    member: String,
    score: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Marked {
    #[serde(rename = "_proj")]
    mark: Mark,
}

#[derive(Debug, Deserialize)]
struct Mark {
    p: String,
    v: u64,
}

/// The key of a document that has one of its own.
pub(super) fn document_key(plan: &Plan, sink: &Into, prefix: &str, key_text: &str) -> Result<String, String> {
    match &sink.options.id {
        None => Ok(format!("{prefix}{key_text}")),
        Some(_) => render::document_id(&plan.projection, sink, key_text, &mut Scratch::default())
            .map_err(|fault| fault.to_string()),
    }
}

/// The key of the set that a row has its member in, when that does not depend on the row.
pub(super) fn set_key(plan: &Plan, sink: &Into, key_text: &str) -> Result<String, String> {
    let scratch = &mut Scratch::default();
    render::redis_set_of(&plan.projection, sink, key_text, scratch).map_err(|fault| fault.to_string())
}

/// A write as the script takes it. `slotted`: a delete has to name the key, too.
pub(super) fn item(
    plan: &Plan,
    sink: &Into,
    prefix: &str,
    slotted: bool,
    write: &DocumentWrite,
) -> Result<Item, String> {
    let kind = sink.options.redis_kind();
    let item = |key, put, expiry| Item { key_text: write.key.clone(), version: write.version, key, put, expiry };
    let body = match &write.body {
        DocumentBody::Document(body) => body,
        DocumentBody::Delete => {
            let key = match slotted {
                true if kind.is_member() => Some(set_key(plan, sink, &write.key)?),
                true => Some(document_key(plan, sink, prefix, &write.key)?),
                false => None,
            };
            return Ok(item(key, Put::Delete, Expiry::Never));
        }
    };
    if kind.is_member() {
        let Membership { key, member, score } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let put = match score {
            Some(score) => Put::Scored(member, score.get().to_owned()),
            None => Put::Member(member),
        };
        return Ok(item(Some(key), put, Expiry::Never));
    }
    let key = document_key(plan, sink, prefix, &write.key)?;
    let put = match kind {
        crate::language::typed::RedisKind::Hash => Put::Fields(fields(sink, body)?),
        _ => Put::Text(body.clone()),
    };
    Ok(item(Some(key), put, expiry(sink, write)))
}

fn expiry(sink: &Into, write: &DocumentWrite) -> Expiry {
    let Some(ttl) = sink.options.ttl else { return Expiry::Never };
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(1 << 50);
    match write.time {
        Some(time) => Expiry::At(time.0.div_euclid(1000).saturating_add_unsigned(ttl_ms).min(1 << 52)),
        None => Expiry::In(ttl_ms),
    }
}

fn fields(sink: &Into, body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let parsed: BTreeMap<String, &RawValue> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut fields = Vec::with_capacity(parsed.len());
    for (name, value) in parsed {
        let ty = sink.document.iter().find(|(field, _)| **field == *name).map(|(_, expr)| &expr.ty);
        let text = match value.get() {
            "null" => continue,
            quoted if ty.is_some_and(|ty| is_quoted(ty, &sink.options)) => {
                serde_json::from_str(quoted).map_err(|error| error.to_string())?
            }
            json => json.to_owned(),
        };
        fields.push((name, text));
    }
    Ok(fields)
}

/// Whether values of a type are JSON strings.
fn is_quoted(ty: &Type, options: &SinkOptions) -> bool {
    match ty.required() {
        Type::String(_) | Type::Enum(_) | Type::Timestamp | Type::Date | Type::Duration | Type::Uuid | Type::Bytes => {
            true
        }
        Type::Int => options.ints_as_text,
        Type::Decimal(places) => match options.decimals {
            DecimalStyle::Text => true,
            DecimalStyle::ScaledNumbers => places.is_none(),
            DecimalStyle::Numbers => false,
        },
        _ => false,
    }
}

/// The document of a hash, as it was rendered. None when these are not the fields of one.
pub(super) fn document_of_fields(sink: &Into, fields: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    debug_assert_eq!(sink.kind, SinkKind::Redis);
    let mut out = vec![b'{'];
    for (name, expr) in &sink.document {
        let value = fields.get(&**name);
        if value.is_none() && sink.options.omit_none {
            continue;
        }
        write_text(name, &mut out);
        out.push(b':');
        match value {
            Some(text) if is_quoted(&expr.ty, &sink.options) => write_text(text, &mut out),
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
    }
    out.extend_from_slice(format!("\"{MARK}\":{}}}", fields.get(MARK)?).as_bytes());
    Some(out)
}

/// The document of a member.
pub(super) fn document_of_member(
    projection: &str,
    version: Version,
    (key, member): (&str, &str),
    score: Option<f64>,
) -> Vec<u8> {
    let mut out = b"{\"key\":".to_vec();
    write_text(key, &mut out);
    out.extend_from_slice(b",\"member\":");
    write_text(member, &mut out);
    if let Some(score) = score {
        out.extend_from_slice(format!(",\"score\":{score}").as_bytes());
    }
    out.extend_from_slice(b",\"_proj\":{\"p\":");
    write_text(projection, &mut out);
    out.extend_from_slice(format!(",\"v\":{version}}}}}").as_bytes());
    out
}

/// The version in a document of this projection; none when it is not one.
pub(super) fn version_of(projection: &str, document: &[u8]) -> Option<Version> {
    let Marked { mark } = serde_json::from_slice(document).ok()?;
    (mark.p == projection).then_some(Version(mark.v))
}

/// What the script keeps of a document: its version, and its key and member if it is one of a set.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'e> {
    pub version: Version,
    pub is_there: bool,
    pub member: Option<(&'e str, &'e str)>,
}

pub(super) fn entry(text: &str) -> Option<Entry<'_>> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (version, place) = text.split_at(digits);
    let version = Version(version.parse().ok()?);
    let member = match place.chars().next() {
        Some('s' | 'z') => {
            let (length, rest) = place[1..].split_once(':')?;
            Some(rest.split_at_checked(length.parse().ok()?)?)
        }
        _ => None,
    };
    Some(Entry { version, is_there: !place.is_empty(), member })
}
