//! Writes → the lines of a bulk request: for each its action, and its document as one line.
//!
//! Every action has the version of its document as an external one: the server does it only if what it has is lower. That
//! needs whole documents; a partial update takes no version.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::event::Version;
use crate::language::typed::Expr;
use crate::plan::eval::Scratch;
use crate::plan::{Plan, render};
use crate::sinks::elasticsearch::claim::CLAIM_PREFIX;
use crate::sinks::{DocumentBody, DocumentWrite};
use crate::value::text;

/// What the server takes.
const ID_BYTES_MAX: usize = 512;

/// Where a document is in its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub id: String,
    pub routing: Option<String>,
}

/// Finds the address of a key.
pub(super) struct Addresses {
    pub plan: Arc<Plan>,
    /// Of the sink in the plan.
    pub sink: usize,
    pub routing: Option<Expr>,
}

impl Addresses {
    /// The address of a key; an error when there can be no such document.
    pub fn of(&self, key: &str, scratch: &mut Scratch) -> Result<Address, String> {
        let projection = &self.plan.projection;
        let sink = &projection.sinks[self.sink];
        let id = render::document_id(projection, sink, key, scratch).map_err(|fault| fault.to_string())?;
        if id.is_empty() {
            return Err("its id is empty, and the server takes none".into());
        }
        if id.len() > ID_BYTES_MAX {
            let bytes = id.len();
            return Err(format!("its id has {bytes} bytes, and the server takes {ID_BYTES_MAX}; make a shorter `id`"));
        }
        if id.starts_with(CLAIM_PREFIX) {
            return Err(format!("its id begins with `{CLAIM_PREFIX}`, as those do that say who writes the index"));
        }
        let routing = match &self.routing {
            None => None,
            Some(expr) => {
                let value = render::of_key(projection, sink, expr, key, scratch).map_err(|fault| fault.to_string())?;
                let routing = text::of(&value, &expr.ty);
                Some(routing).filter(|routing| !value.is_none() && !routing.is_empty())
            }
        };
        Ok(Address { id, routing })
    }
}

/// A bulk request that can be cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    lines: Vec<u8>,
    /// Where the lines of each item end.
    ends: Vec<usize>,
}

impl Bulk {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The lines of some items.
    pub fn lines(&self, items: std::ops::Range<usize>) -> &[u8] {
        let start = if items.start == 0 { 0 } else { self.ends[items.start - 1] };
        &self.lines[start..self.ends[items.end - 1]]
    }

    pub fn push(&mut self, address: &Address, write: &DocumentWrite) {
        match &write.body {
            DocumentBody::Document(body) => self.put(address, write.version, body),
            DocumentBody::Delete => self.delete(address, write.version),
        }
    }

    fn put(&mut self, address: &Address, version: Version, document: &[u8]) {
        self.action("index", address, version);
        let start = self.lines.len();
        self.lines.extend_from_slice(document);
        // Within its strings JSON has no line breaks; those of JSON that is passed through are as good as spaces.
        for byte in &mut self.lines[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.lines.push(b'\n');
        self.ends.push(self.lines.len());
    }

    pub fn delete(&mut self, address: &Address, version: Version) {
        self.action("delete", address, version);
        self.ends.push(self.lines.len());
    }

    fn action(&mut self, action: &str, address: &Address, version: Version) {
        let mut parameters = json!({"_id": address.id, "version": version.0, "version_type": "external"});
        if let Some(routing) = &address.routing {
            parameters["routing"] = Json::from(routing.as_str());
        }
        let line = format!("{{\"{action}\":{parameters}}}\n");
        self.lines.extend_from_slice(line.as_bytes());
    }
}

/// Asks for documents by their addresses.
pub(super) fn get<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Json {
    let asked = addresses.into_iter().map(|Address { id, routing }| match routing {
        Some(routing) => json!({"_id": id, "routing": routing}),
        None => json!({"_id": id}),
    });
    json!({"docs": asked.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sinks::{delete, plan, put};

    fn addresses(into: &str) -> Addresses {
        let plan = plan(&format!("elasticsearch {{ index: \"n\" {into} }}"));
        let options = super::super::config::IndexOptions::of(&plan.projection, &plan.projection.sinks[0]).ok().unwrap();
        Addresses { plan, sink: 0, routing: options.routing }
    }

    #[test]
    fn actions_carry_version_and_routing() {
        let addresses = addresses("id: \"n-${k}\" routing: k");
        let mut bulk = Bulk::default();
        for write in [put("a", 7, "{\"x\":\n[1,\r\n2]}"), delete("b\"", 8)] {
            let address = addresses.of(&write.key, &mut Scratch::default()).unwrap();
            bulk.push(&address, &write);
        }
        let put = "{\"index\":{\"_id\":\"n-a\",\"routing\":\"a\",\"version\":7,\"version_type\":\"external\"}}\n{\"x\": [1,  2]}\n";
        let delete =
            "{\"delete\":{\"_id\":\"n-b\\\"\",\"routing\":\"b\\\"\",\"version\":8,\"version_type\":\"external\"}}\n";
        assert_eq!(std::str::from_utf8(bulk.lines(0..2)).unwrap(), format!("{put}{delete}"));
        assert_eq!(std::str::from_utf8(bulk.lines(0..1)).unwrap(), put);
        assert_eq!(std::str::from_utf8(bulk.lines(1..2)).unwrap(), delete);
    }

    #[test]
    fn an_id_that_the_server_does_not_take_is_known_beforehand() {
        let addresses = addresses("");
        let of = |key: &str| addresses.of(key, &mut Scratch::default());
        assert!(of(&"ö".repeat(256)).is_ok());
        assert!(of(&"ö".repeat(257)).unwrap_err().contains("514 bytes"));
        assert!(of("").unwrap_err().contains("empty"));
        assert!(of(&format!("{CLAIM_PREFIX}x")).is_err());
    }
}
