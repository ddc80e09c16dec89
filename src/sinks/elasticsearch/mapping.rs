//! The types of a document → the mapping of its index; and what keeps an index that is there from taking such documents.
//!
//! A mapping says how a value is searched; the document that is given back is the text that was written, digit for digit. It
//! is strict: a field that the file does not declare is refused, never guessed at.
//!
//! - text is `text` with a `keyword` beside it, as tools for these servers expect it: words are found in the one, sorting and
//!   exact filters use the other. A part of the key, which is an id, is `keyword` alone.
//! - `decimal(s)` is `scaled_float`, which is exact as far as 64 bits go; a decimal without a scale is `keyword`.
//! - a timestamp is `date`, which compares by milliseconds: `date_nanos` knows no time before 1970 or after 2262.
//! - a map has keys that nobody knows beforehand: all of it is one field (`flattened`; in OpenSearch `flat_object`).
//! - what is `json` is kept and not searched.

use serde_json::{Map, Value as Json, json};

use crate::language::typed::{Expr, ExprKind, Into};
use crate::sinks::SinkError;
use crate::value::Type;
use crate::value::json::DecimalStyle;

/// The field that holds a claim; the server keeps it and does not look into it.
pub(super) const CLAIM_FIELD: &str = "_claim";
/// Longer text is found by its words only: 8191 characters of four bytes are what the server takes for one term.
const TERM_CHARS_MAX: u32 = 8191;
/// Decimals with more places are compared as doubles: 64 bits would leave no digits before the point.
const SCALE_MAX: u8 = 15;

/// Who made the server: they differ in the type for maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

/// The fields of a sink's documents with their types, those that every document has included.
pub(super) fn properties(
    sink: &Into,
    own: &Map<String, Json>,
    product: Product,
) -> Result<Map<String, Json>, SinkError> {
    let types = Types { decimals: sink.options.decimals, ints_as_text: sink.options.ints_as_text, product };
    let mut properties: Map<String, Json> =
        sink.document.iter().map(|(name, expr)| (name.to_string(), types.of_field(expr))).collect();
    for (name, over) in own {
        let Some(derived) = properties.get_mut(name) else {
            let reason = format!("`mappings` names `{name}`, and the document has no such field");
            return Err(SinkError { reason });
        };
        *derived = overridden(derived.take(), over);
    }
    properties.insert("_proj".into(), json!({"properties": {"p": {"type": "keyword"}, "v": {"type": "long"}}}));
    properties.insert(CLAIM_FIELD.into(), json!({"type": "object", "enabled": false}));
    Ok(properties)
}

/// How a sink writes its values.
struct Types {
    decimals: DecimalStyle,
    ints_as_text: bool,
    product: Product,
}

impl Types {
    fn of_field(&self, expr: &Expr) -> Json {
        match (&expr.kind, expr.ty.required()) {
            (ExprKind::Key(_), Type::String(_)) => keyword(),
            (_, ty) => self.of(ty),
        }
    }

    fn of(&self, ty: &Type) -> Json {
        match ty.required() {
            Type::Bool => json!({"type": "boolean"}),
            Type::Int if self.ints_as_text => keyword(),
            Type::Int => json!({"type": "long"}),
            Type::Float => json!({"type": "double"}),
            Type::Decimal(places) => self.decimal(*places),
            Type::String(_) => json!({"type": "text", "fields": {"keyword": keyword()}}),
            Type::Timestamp => json!({"type": "date"}),
            Type::Date => json!({"type": "date", "format": "strict_date"}),
            Type::Duration | Type::Uuid | Type::Enum(_) => keyword(),
            Type::Bytes => json!({"type": "binary"}),
            // An array needs no type of its own.
            Type::List(element) | Type::Set(element) => self.of(element),
            Type::Map(..) => match self.product {
                Product::Elasticsearch => json!({"type": "flattened", "ignore_above": TERM_CHARS_MAX}),
                Product::OpenSearch => json!({"type": "flat_object"}),
            },
            Type::Record(record) => {
                let fields = record.fields.iter().map(|field| (field.name.to_string(), self.of(&field.ty)));
                json!({"properties": fields.collect::<Map<_, _>>()})
            }
            Type::Json | Type::None | Type::Optional(_) => json!({"type": "object", "enabled": false}),
        }
    }

    fn decimal(&self, places: Option<u8>) -> Json {
        match (self.decimals, places) {
            (DecimalStyle::Text, _) | (DecimalStyle::ScaledNumbers, None) => keyword(),
            (_, Some(places)) if places <= SCALE_MAX => {
                json!({"type": "scaled_float", "scaling_factor": 10f64.powi(places.into())})
            }
            _ => json!({"type": "double"}),
        }
    }
}

fn keyword() -> Json {
    json!({"type": "keyword", "ignore_above": TERM_CHARS_MAX})
}

/// What the file says of a field, over what its type says: the name of a type, or a block in the server's words. The fields
/// within are kept, and may have types of their own in the block.
fn overridden(derived: Json, over: &Json) -> Json {
    let block = match over {
        Json::String(name) => json!({"type": name}),
        other => other.clone(),
    };
    let Json::Object(mut block) = block else { return derived };
    if block.get("type").is_none_or(|ty| ty.as_str() == Some(kind(&derived))) {
        let Json::Object(mut merged) = derived else { return Json::Object(block) };
        let within = block.remove("properties");
        merged.extend(block);
        return fields_overridden(Json::Object(merged), within);
    }
    let has_fields = matches!(block.get("type").and_then(Json::as_str), Some("nested" | "object"));
    let within = block.remove("properties");
    if let Some(fields) = derived.get("properties").filter(|_| has_fields) {
        block.insert("properties".into(), fields.clone());
    }
    fields_overridden(Json::Object(block), within)
}

fn fields_overridden(mut derived: Json, within: Option<Json>) -> Json {
    if let Some(Json::Object(within)) = within {
        for (name, over) in within {
            let field = derived["properties"][&name].take();
            derived["properties"][name] = overridden(field, &over);
        }
    }
    derived
}

/// The type of a field; one with fields within needs not say it.
fn kind(mapped: &Json) -> &str {
    mapped["type"].as_str().unwrap_or(if mapped.is_object() { "object" } else { "" })
}

/// What is wanted and not there, as an addition to a mapping.
pub(super) fn missing(wanted: &Map<String, Json>, found: &Json) -> Map<String, Json> {
    let mut missing = Map::new();
    for (name, wanted) in wanted {
        match (&found[name], wanted["properties"].as_object()) {
            (Json::Null, _) => {
                missing.insert(name.clone(), wanted.clone());
            }
            (there, Some(within)) => {
                let within = self::missing(within, &there["properties"]);
                if !within.is_empty() {
                    missing.insert(name.clone(), json!({"type": kind(there), "properties": within}));
                }
            }
            _ => {}
        }
    }
    missing
}

/// The fields that are there with another type, each in a phrase.
pub(super) fn conflicts(wanted: &Map<String, Json>, found: &Json) -> Vec<String> {
    let mut conflicts = Vec::new();
    collect_conflicts("", wanted, found, &mut conflicts);
    conflicts
}

fn collect_conflicts(path: &str, wanted: &Map<String, Json>, found: &Json, conflicts: &mut Vec<String>) {
    for (name, wanted) in wanted {
        let there = &found[name];
        if there.is_null() {
            continue;
        }
        let path = format!("{path}{name}");
        let scale = |mapped: &Json| mapped["scaling_factor"].as_f64();
        let looked_into = |mapped: &Json| mapped["enabled"].as_bool() != Some(false);
        if kind(wanted) != kind(there) {
            conflicts.push(format!("`{path}` is `{}` there and `{}` here", kind(there), kind(wanted)));
        } else if scale(wanted) != scale(there) {
            let text = |mapped| scale(mapped).map_or("none".to_owned(), |factor| factor.to_string());
            conflicts.push(format!("`{path}` has a scaling factor of {} there and {} here", text(there), text(wanted)));
        } else if looked_into(wanted) != looked_into(there) {
            let word = |mapped| if looked_into(mapped) { "searched" } else { "kept only (`enabled: false`)" };
            conflicts.push(format!("`{path}` is {} there and {} here", word(there), word(wanted)));
        } else if let Some(within) = wanted["properties"].as_object() {
            collect_conflicts(&format!("{path}."), within, &there["properties"], conflicts);
        }
    }
}

/// The names of fields that are missing, those within by their path.
pub(super) fn names(missing: &Map<String, Json>, found: &Json) -> Vec<String> {
    let mut names = Vec::new();
    for (name, field) in missing {
        match field["properties"].as_object().filter(|_| found.get(name).is_some()) {
            Some(within) => {
                names.extend(self::names(within, &found[name]["properties"]).iter().map(|n| format!("{name}.{n}")));
            }
            None => names.push(name.clone()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::sinks::plan;
    use crate::value::{RecordField, RecordType};

    const TYPES: Types =
        Types { decimals: DecimalStyle::ScaledNumbers, ints_as_text: false, product: Product::Elasticsearch };

    fn record(fields: &[(&str, Type)]) -> Type {
        let field = |(name, ty): &(&str, Type)| RecordField { name: (*name).into(), ty: ty.clone() };
        Type::Record(Arc::new(RecordType { name: None, fields: fields.iter().map(field).collect() }))
    }

    fn fields(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn types_become_types() {
        let list = |ty| Type::List(Arc::new(ty));
        for (ty, wanted) in [
            (Type::Int.optional(), "long"),
            (Type::Float, "double"),
            (Type::Decimal(None), "keyword"),
            (Type::Decimal(Some(18)), "double"),
            (Type::Uuid, "keyword"),
            (Type::Duration, "keyword"),
            (list(list(Type::Bool)), "boolean"),
            (Type::Map(Arc::new(Type::Uuid), Arc::new(Type::Int)), "flattened"),
        ] {
            assert_eq!(TYPES.of(&ty)["type"], wanted, "{ty:?}");
        }
        assert_eq!(TYPES.of(&Type::Decimal(Some(2))), json!({"type": "scaled_float", "scaling_factor": 100.0}));
        let opensearch = Types { product: Product::OpenSearch, ..TYPES };
        assert_eq!(opensearch.of(&Type::Map(Arc::new(Type::Uuid), Arc::new(Type::Int)))["type"], "flat_object");
        let texts = Types { decimals: DecimalStyle::Text, ints_as_text: true, ..TYPES };
        assert_eq!((texts.of(&Type::Decimal(Some(2))), texts.of(&Type::Int)), (keyword(), keyword()));
        let lines = list(record(&[("sku", Type::String(None)), ("qty", Type::Int)]));
        assert_eq!(TYPES.of(&lines)["properties"]["qty"], json!({"type": "long"}));
        assert_eq!(TYPES.of(&lines)["properties"]["sku"]["fields"]["keyword"]["type"], "keyword");
    }

    #[test]
    fn a_key_is_a_keyword_and_every_document_has_its_mark() {
        let plan = plan("elasticsearch { index: \"n\" }");
        let mapped = properties(&plan.projection.sinks[0], &Map::new(), Product::OpenSearch).unwrap();
        assert_eq!((kind(&mapped["k"]), kind(&mapped["n"])), ("keyword", "text"));
        assert_eq!(mapped["_proj"]["properties"]["v"]["type"], "long");
        assert_eq!(mapped[CLAIM_FIELD]["enabled"], false);
        let own = fields(json!({"m": "keyword"}));
        let error = properties(&plan.projection.sinks[0], &own, Product::OpenSearch).unwrap_err();
        assert_eq!(error.reason, "`mappings` names `m`, and the document has no such field");
    }

    #[test]
    fn what_the_file_says_goes_over_the_types() {
        let text = || TYPES.of(&Type::String(None));
        assert_eq!(overridden(text(), &json!("keyword")), json!({"type": "keyword"}));
        assert_eq!(overridden(text(), &json!("text")), text());
        let analysed = overridden(text(), &json!({"analyzer": "norwegian"}));
        assert_eq!((&analysed["analyzer"], &analysed["fields"]), (&json!("norwegian"), &text()["fields"]));

        let lines = || TYPES.of(&record(&[("sku", Type::String(None)), ("qty", Type::Int)]));
        let nested = overridden(lines(), &json!("nested"));
        assert_eq!((&nested["type"], &nested["properties"]), (&json!("nested"), &lines()["properties"]));
        let within = overridden(lines(), &json!({"type": "nested", "properties": {"sku": "keyword"}}));
        assert_eq!(within["properties"], json!({"sku": {"type": "keyword"}, "qty": {"type": "long"}}));
        assert_eq!(overridden(lines(), &json!("flattened")), json!({"type": "flattened"}));
    }

    #[test]
    fn differences_are_named_by_their_path() {
        let wanted = fields(json!({
            "a": {"type": "long"},
            "b": {"type": "scaled_float", "scaling_factor": 100.0},
            "c": {"type": "nested", "properties": {"x": {"type": "keyword"}, "y": {"type": "date"}}},
            "d": {"type": "object", "enabled": false},
        }));
        let same = json!({
            "a": {"type": "long"},
            "b": {"type": "scaled_float", "scaling_factor": 100},
            "c": {"type": "nested", "properties": {"x": {"type": "keyword", "store": true}, "y": {"type": "date"}}},
            "d": {"type": "object", "enabled": false},
            "e": {"type": "ip"},
        });
        assert_eq!((conflicts(&wanted, &same), missing(&wanted, &same)), (vec![], Map::new()));
        let other = json!({
            "b": {"type": "scaled_float", "scaling_factor": 10},
            "c": {"type": "nested", "properties": {"x": {"type": "text"}}},
            "d": {"properties": {}},
        });
        assert_eq!(
            conflicts(&wanted, &other),
            [
                "`b` has a scaling factor of 10 there and 100 here",
                "`c.x` is `text` there and `keyword` here",
                "`d` is searched there and kept only (`enabled: false`) here",
            ]
        );
        let missing = missing(&wanted, &other);
        assert_eq!(missing["c"], json!({"type": "nested", "properties": {"y": {"type": "date"}}}));
        assert_eq!(names(&missing, &other), ["a", "c.y"]);
        let object = json!({"c": {"properties": {}}});
        assert_eq!(conflicts(&wanted, &object), ["`c` is `object` there and `nested` here"]);
    }
}
