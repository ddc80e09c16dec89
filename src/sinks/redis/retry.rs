//! What Redis answered instead of doing it → what becomes of the writes.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

use crate::event::Version;
use crate::sinks::Outcome;

/// How long a server that is busy is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// Why a call was not answered.
#[derive(Debug, Clone)]
pub(super) enum Failed {
    /// It was never sent.
    Unsent(String),
    /// Nobody knows.
    Unknown(String),
    /// The server does not know the script.
    NoScript,
    /// The server said so.
    Refused { code: String, reason: String },
}

impl Failed {
    pub fn of_server(error: &ServerError) -> Failed {
        Failed::refused(error.code(), error.details().unwrap_or_default())
    }

    fn refused(code: &str, detail: &str) -> Failed {
        match code {
            "NOSCRIPT" => Failed::NoScript,
            code => Failed::Refused { code: code.to_owned(), reason: format!("{code} {detail}").trim_end().to_owned() },
        }
    }

    /// Of a call that was handed to the connection.
    pub fn of(error: &RedisError) -> Failed {
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                Failed::refused(code, error.detail().unwrap_or_default())
            }
            // No node of the cluster was found for it.
            (ErrorKind::ClusterConnectionNotFound, _) => Failed::Unsent(error.to_string()),
            _ => Failed::Unknown(error.to_string()),
        }
    }

    /// Whether the connection is of no more use.
    pub fn ends_connection(&self) -> bool {
        match self {
            Failed::Unsent(_) | Failed::Unknown(_) => true,
            // After a failover, or a move of slots: what we are connected to is not what we want any more.
            Failed::Refused { code, .. } => {
                matches!(code.as_str(), "READONLY" | "MOVED" | "ASK" | "CLUSTERDOWN" | "NOAUTH")
            }
            Failed::NoScript => false,
        }
    }

    pub fn reason(&self) -> String {
        match self {
            Failed::Unsent(reason) | Failed::Unknown(reason) | Failed::Refused { reason, .. } => reason.clone(),
            Failed::NoScript => "the server has forgotten the script again".into(),
        }
    }

    /// What became of the writes of the call.
    pub fn outcome(&self) -> Outcome {
        let reason = self.reason();
        match self {
            Failed::Unsent(_) | Failed::NoScript => Outcome::Retry { reason },
            Failed::Unknown(_) => Outcome::Unanswered { reason },
            Failed::Refused { code, .. } => refused(code, reason),
        }
    }
}

/// What became of writes that an error with this code stands for.
fn refused(code: &str, reason: String) -> Outcome {
    match code {
        // It answers, and does nothing for now: it loads its data, runs a script, has no memory, cannot write its disk, or the
        // cluster is in the middle of something.
        "LOADING" | "BUSY" | "OOM" | "MISCONF" | "NOREPLICAS" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" => {
            Outcome::Busy { reason: explained(code, reason), after: Some(BUSY_PAUSE) }
        }
        "READONLY" | "MOVED" | "ASK" | "NOPERM" | "NOAUTH" | "WRONGPASS" | "CROSSSLOT" | "UNKILLABLE" => {
            Outcome::Retry { reason: explained(code, reason) }
        }
        "WRONGTYPE" => Outcome::Foreign { reason: explained(code, reason), stored: None },
        _ => Outcome::Unanswered { reason },
    }
}

fn explained(code: &str, reason: String) -> String {
    let why = match code {
        "OOM" => "Redis has reached its `maxmemory`",
        "MISCONF" => "Redis cannot write its own disk",
        "READONLY" => "this is a replica: `url` must lead to the master",
        "MOVED" | "CROSSSLOT" => {
            "this is a cluster, or slots have moved; a cluster needs `cluster = true` at the connection"
        }
        "NOPERM" => "the user may not run what the sink needs; its page in the documentation lists the rights",
        "WRONGTYPE" => "somebody else keeps a value of another type there",
        _ => return reason,
    };
    format!("{why} ({reason})")
}

/// What became of one item, by the word the script has for it.
pub(super) fn of_word(word: &str, key: &str) -> Outcome {
    let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
    match verb {
        "ok" => Outcome::Ok,
        "same" => Outcome::Duplicate,
        "above" => match rest.parse().ok().map(Version) {
            Some(stored) => Outcome::Foreign {
                reason: format!("the document of `{key}` has the version {stored}, which this process has not written"),
                stored: Some(stored),
            },
            None => Outcome::Unanswered { reason: format!("the script answered `{word}`") },
        },
        "held" => Outcome::Foreign {
            reason: format!(
                "where the document of `{key}` goes there is a {rest} that this sink has not written (or Redis has \
                 evicted the record of it)"
            ),
            stored: None,
        },
        "error" => {
            let (code, _) = rest.split_once(' ').unwrap_or((rest, ""));
            refused(code, format!("`{key}`: {rest}"))
        }
        _ => Outcome::Unanswered { reason: format!("the script answered `{word}`") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Outcome {
        Failed::refused(code, "as it says").outcome()
    }

    #[test]
    fn what_was_surely_not_done_may_be_sent_again() {
        for code in ["LOADING", "OOM", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "BUSY"] {
            assert!(matches!(server(code), Outcome::Busy { .. }), "{code}");
        }
        for code in ["READONLY", "MOVED", "ASK", "NOPERM"] {
            assert!(matches!(server(code), Outcome::Retry { .. }), "{code}");
        }
        assert!(matches!(Failed::Unsent("refused".into()).outcome(), Outcome::Retry { .. }));
    }

    #[test]
    fn what_nobody_knows_is_not_called_undone() {
        // An error in the middle of the script.
        assert!(matches!(server("ERR"), Outcome::Unanswered { .. }));
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(Failed::of(&lost).outcome(), Outcome::Unanswered { .. }));
    }

    #[test]
    fn words_of_the_script_are_outcomes() {
        assert_eq!(of_word("ok", "a"), Outcome::Ok);
        assert_eq!(of_word("same", "a"), Outcome::Duplicate);
        assert!(matches!(of_word("above 17", "a"), Outcome::Foreign { stored: Some(Version(17)), .. }));
        assert!(matches!(of_word("held list", "a"), Outcome::Foreign { stored: None, .. }));
        assert!(matches!(of_word("error WRONGTYPE Operation against", "a"), Outcome::Foreign { .. }));
        assert!(matches!(of_word("error OOM command not allowed", "a"), Outcome::Busy { .. }));
    }
}
