//! Elasticsearch and OpenSearch: an index that holds a document for each key, searchable.
//!
//! Documents are written whole, in bulk, each under its own version (`version_type: external`): the server does not let a
//! version fall, whoever writes late, deleted documents included. A bulk is answered item by item. What is read back is
//! what was written, byte for byte.
//!
//! `request` speaks HTTP; `index` finds, checks or makes the index, with the mapping that `mapping` derives from the types;
//! `encode` writes the lines of a bulk and `retry` reads what became of them; `sink`, `claim` and `sweep` are what the
//! publisher is given. It knows nothing of queries: those who search ask the server.

mod claim;
mod config;
mod encode;
mod index;
mod mapping;
mod request;
mod retry;
mod sink;
mod sweep;

pub use config::{Access, ElasticsearchOptions};
pub use sink::ElasticsearchSink;
