//! Why a source could not be read.

use std::sync::Arc;

use crate::event::{Offset, TopicPartition};
use crate::sources::OffsetRange;

/// Why a source could not be read. `Unavailable` heals by waiting; `UnknownTopic`, `OffsetOutOfRange` and `Doubtful` are a
/// reason to compare what was read with what is there; the others need a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("topic `{topic}` does not exist in {source_name}{}", listed(known))]
    UnknownTopic {
        topic: String,
        source_name: String,
        /// The topics that are there, as far as they are known.
        known: Vec<String>,
    },
    #[error("partition {partition} does not exist in {source_name}")]
    UnknownPartition { partition: TopicPartition, source_name: String },
    #[error("{source_name} cannot be reached: {reason}")]
    Unavailable { source_name: String, reason: String },
    #[error("{partition} no longer holds offset {wanted}: it holds {} to {}", range.beginning, range.end)]
    OffsetOutOfRange { partition: TopicPartition, wanted: Offset, range: OffsetRange },
    /// What is read now may be another log than what was read before. `poll` has delivered nothing: everything open is to be
    /// compared, and opened again where the delivered records end.
    #[error("{source_name} may hold another log now: {reason}")]
    Doubtful {
        source_name: String,
        /// The topic that was made again, when that is certain.
        remade: Option<Arc<str>>,
        reason: String,
    },
    #[error("{what}")]
    Io { what: String, source: std::io::Error },
    #[error("{source_name} refused: {reason}")]
    Refused { source_name: String, reason: String },
}

fn listed(known: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    if known.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = known.iter().take(SHOWN_MAX).map(|topic| format!("`{topic}`")).collect();
    let more = if known.len() > SHOWN_MAX { ", …" } else { "" };
    format!("; it has {}{more}", shown.join(", "))
}
