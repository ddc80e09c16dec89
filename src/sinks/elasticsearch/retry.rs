//! What the server says of a bulk request → what became of each of its items.
//!
//! A bulk that failed in part is answered with 200: every item is read. Statuses decide, not the names of exceptions, which
//! differ between products.

use serde::Deserialize;

use crate::event::Version;
use crate::sinks::Outcome;
use crate::sinks::conflict::{Conflict, classify};
use crate::sinks::elasticsearch::request::Reply;

/// The answer to a bulk request, item by item.
#[derive(Debug, Deserialize)]
pub(super) struct BulkReply {
    #[serde(default)]
    items: Vec<Item>,
}

/// One entry, under the name of its action.
#[derive(Debug, Deserialize)]
struct Item {
    #[serde(alias = "delete", alias = "create")]
    index: ItemReply,
}

#[derive(Debug, Deserialize)]
pub(super) struct ItemReply {
    pub status: u16,
    error: Option<Cause>,
}

#[derive(Debug, Default, Deserialize)]
struct Cause {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
    caused_by: Option<Box<Cause>>,
}

/// What is known of one item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Outcome(Outcome),
    /// Something is there that is not older; which version, the answer does not say.
    Conflict,
    /// There is no such index any more.
    Gone,
}

/// What is known of a request that was not done as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All of its items ended so.
    Outcome(Outcome),
    /// It is too large, or one of its items spoils it: in smaller pieces it may be done.
    Whole(String),
    Gone,
}

impl BulkReply {
    /// The items, if the answer has as many as were sent.
    pub fn items(self, sent: usize) -> Option<Vec<ItemReply>> {
        (self.items.len() == sent).then(|| self.items.into_iter().map(|item| item.index).collect())
    }
}

impl ItemReply {
    pub fn is_done(&self) -> bool {
        self.error.is_none() && (self.status < 300 || self.status == 404)
    }

    pub fn text(&self) -> String {
        let Some(error) = &self.error else { return format!("status {}", self.status) };
        let mut text = error.reason.clone().unwrap_or_else(|| error.kind.clone());
        let causes = std::iter::successors(error.caused_by.as_deref(), |cause| cause.caused_by.as_deref());
        for reason in causes.filter_map(|cause| cause.reason.as_deref()) {
            text.push_str(": ");
            text.push_str(reason);
        }
        text
    }

    /// What became of an item that was sent with this version.
    pub fn judge(&self, ours: Version, index: &str) -> Judged {
        let reason = || self.text();
        Judged::Outcome(match self.status {
            // Deleting what is absent leaves a version behind, and is done.
            _ if self.is_done() => Outcome::Ok,
            404 => return Judged::Gone,
            // No index has a name such as our alias: this is how a bulk of deletes learns that the alias is gone.
            400 if self.kind() == "invalid_index_name_exception" => return Judged::Gone,
            409 => match self.stored() {
                Some(stored) => met(stored, ours),
                None => return Judged::Conflict,
            },
            429 => Outcome::Busy { reason: reason(), after: None },
            // No fault of the document.
            400 if self.kind() == "index_closed_exception" => Outcome::Retry { reason: reason() },
            400 => Outcome::Poison { reason: self.explained(index) },
            // The shard was waited for in vain; or the index takes no writes for now.
            503 | 401 | 403 => Outcome::Retry { reason: reason() },
            _ => Outcome::Unanswered { reason: reason() },
        })
    }

    fn kind(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.kind)
    }

    /// The version that is there, as a conflict tells it; it may be one that a delete left behind.
    fn stored(&self) -> Option<Version> {
        let (_, rest) = self.error.as_ref()?.reason.as_ref()?.rsplit_once("current version [")?;
        rest.split_once(']')?.0.parse().ok().map(Version)
    }

    /// Why this document can never be written, and what to do.
    fn explained(&self, index: &str) -> String {
        let text = self.text();
        let help = match self.kind() {
            "strict_dynamic_mapping_exception" => {
                format!("`{index}` takes only the fields of its mapping: add the field there, or leave it out of `as`")
            }
            "mapper_parsing_exception" | "document_parsing_exception" => {
                format!(
                    "the mapping of `{index}` does not take this value: give the field another type with `mappings: {{ … }}` and an index of a new name, or make the value fit in `as`"
                )
            }
            _ if text.contains("immense term") => {
                "a text of more than 32766 bytes is no single term: map the field as `text`, or give it `ignore_above`"
                    .to_owned()
            }
            _ => format!("`{index}` does not take it, however often it is sent"),
        };
        format!("{text}; {help}")
    }
}

/// What a version that is there means for a write of ours.
pub(super) fn met(stored: Version, ours: Version) -> Outcome {
    match classify(Some(stored), ours) {
        Conflict::Duplicate => Outcome::Duplicate,
        Conflict::Retry => Outcome::Retry { reason: format!("it was at version {stored} for a moment") },
        Conflict::Foreign => {
            let reason = format!("it holds version {stored}, above {ours}, which somebody else wrote");
            Outcome::Foreign { reason, stored: Some(stored) }
        }
    }
}

/// What an answer means that is about the request as a whole.
pub(super) fn refused(reply: &Reply, reason: String) -> Refused {
    let says = |word: &str| String::from_utf8_lossy(&reply.body).contains(word);
    Refused::Outcome(match reply.status {
        429 => Outcome::Busy { reason, after: reply.retry_after },
        // Without the time it is a cluster that is starting, or has no master: away rather than busy.
        503 if reply.retry_after.is_some() => Outcome::Busy { reason, after: reply.retry_after },
        503 | 401 | 403 => Outcome::Retry { reason },
        404 => return Refused::Gone,
        400 if says("invalid_index_name_exception") => return Refused::Gone,
        413 => return Refused::Whole(reason),
        // One item is wrong as a request, and the server does not say which.
        400 if says("action_request_validation_exception") => return Refused::Whole(reason),
        400 => Outcome::Retry { reason },
        _ => Outcome::Unanswered { reason },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn item(json: &str) -> ItemReply {
        serde_json::from_str(json).unwrap()
    }

    fn judged(json: &str) -> Judged {
        item(json).judge(Version(5), "notes__g1")
    }

    fn conflict(stored: &str) -> String {
        format!(
            r#"{{"status":409,"error":{{"type":"version_conflict_engine_exception","reason":"[a current version [9]]: version conflict, current version [{stored}] is higher or equal to the one provided [5]"}}}}"#
        )
    }

    #[test]
    fn every_item_is_read() {
        let reply = r#"{"errors":true,"items":[{"index":{"status":201}},{"delete":{"status":404}},{"index":{"status":429,"error":{"type":"x","reason":"full"}}}]}"#;
        let items = serde_json::from_str::<BulkReply>(reply).unwrap().items(3).unwrap();
        let judged: Vec<_> = items.iter().map(|item| item.judge(Version(5), "n")).collect();
        let busy = Outcome::Busy { reason: "full".into(), after: None };
        assert_eq!(judged, [Outcome::Ok, Outcome::Ok, busy].map(Judged::Outcome));
        assert!(serde_json::from_str::<BulkReply>(reply).unwrap().items(2).is_none());
    }

    #[test]
    fn a_conflict_tells_the_version_that_is_there() {
        assert_eq!(judged(&conflict("5")), Judged::Outcome(Outcome::Duplicate));
        assert!(matches!(judged(&conflict("4")), Judged::Outcome(Outcome::Retry { .. })));
        let foreign = judged(&conflict("6"));
        assert!(matches!(foreign, Judged::Outcome(Outcome::Foreign { stored: Some(Version(6)), .. })), "{foreign:?}");
        let silent = r#"{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"no"}}"#;
        assert_eq!(judged(silent), Judged::Conflict);
    }

    #[test]
    fn an_index_that_is_gone_spoils_no_document() {
        for json in [
            r#"{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [n]"}}"#,
            r#"{"status":400,"error":{"type":"invalid_index_name_exception","reason":"must be lowercase"}}"#,
        ] {
            assert_eq!(judged(json), Judged::Gone);
        }
    }

    #[test]
    fn what_can_never_be_written_is_explained() {
        for (kind, reason, help) in [
            ("strict_dynamic_mapping_exception", "dynamic introduction of [f] is not allowed", "add the field there"),
            ("mapper_parsing_exception", "failed to parse field [f] of type [long]", "`mappings: { … }`"),
            ("illegal_argument_exception", "at least one immense term in field=f", "`ignore_above`"),
        ] {
            let json = format!(
                r#"{{"status":400,"error":{{"type":"{kind}","reason":"{reason}","caused_by":{{"type":"x","reason":"the cause"}}}}}}"#
            );
            let Judged::Outcome(Outcome::Poison { reason: said }) = judged(&json) else { panic!("{kind}") };
            assert!(said.starts_with(&format!("{reason}: the cause; ")) && said.contains(help), "{said}");
        }
    }

    #[test]
    fn what_may_have_been_done_is_not_taken_for_undone() {
        for (status, kind, is_retry) in
            [(503, "x", true), (403, "x", true), (400, "index_closed_exception", true), (500, "x", false)]
        {
            let judged = judged(&format!(r#"{{"status":{status},"error":{{"type":"{kind}","reason":"r"}}}}"#));
            assert_eq!(matches!(judged, Judged::Outcome(Outcome::Retry { .. })), is_retry, "{status}");
        }
    }

    #[test]
    fn a_request_is_refused_as_a_whole() {
        let after = Some(Duration::from_secs(3));
        let refused =
            |status, retry_after| super::refused(&Reply { status, retry_after, body: Vec::new() }, "r".into());
        assert_eq!(refused(429, None), Refused::Outcome(Outcome::Busy { reason: "r".into(), after: None }));
        assert_eq!(refused(503, after), Refused::Outcome(Outcome::Busy { reason: "r".into(), after }));
        assert_eq!(refused(503, None), Refused::Outcome(Outcome::Retry { reason: "r".into() }));
        assert_eq!(refused(413, None), Refused::Whole("r".into()));
        assert_eq!(refused(400, None), Refused::Outcome(Outcome::Retry { reason: "r".into() }));
        assert_eq!(refused(404, None), Refused::Gone);
        assert!(matches!(refused(502, None), Refused::Outcome(Outcome::Unanswered { .. })));
    }
}
