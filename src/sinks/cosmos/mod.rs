//! `into cosmos`: documents → a container of Azure Cosmos DB.
//!
//! Cosmos DB knows no version of ours, only ETags that change with every write. So a document is made with *create*, or put in the
//! place of what we wrote last with *replace* and `If-Match`, and nothing is ever written without one of the two. Where that is
//! refused, one point read shows the version that is there (`_proj.v`), the one rule of [`conflict`](super::conflict) says what
//! it means, and the write is tried once more with the ETag just read. An older process that wakes up finds ETags it does not
//! know and versions above its own: it changes nothing.
//!
//! There is no bulk request. What shares a partition key goes together in a transactional batch; the rest is sent side by
//! side. Nothing here waits or sends again by itself: 429 goes back to the publisher, which paces, and what the SDK would retry
//! is turned off as far as it can be. It sends once more by itself when a connection breaks under a request, which the guards
//! make harmless. Claims lie in the container too, as documents without `_proj`.

mod batch;
mod claim;
mod config;
mod container;
mod encode;
mod etags;
mod partition;
mod request;
mod retry;
mod sink;
mod sweep;
#[cfg(test)]
mod tests;

pub use config::{Access, Account};
pub use sink::{CosmosSink, check};
