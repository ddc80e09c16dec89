//! PostgreSQL: one row per document, in a table with a column per field.
//!
//! A batch is one short transaction: it locks the claim of the table, writes the rows whose version is lower than ours by
//! `INSERT … SELECT FROM unnest … ON CONFLICT DO UPDATE … WHERE`, deletes the others by key and version, and commits. So
//! a process that has lost the claim changes nothing at all, and what was refused is read in the same transaction.
//!
//! Nothing can be done late: the claim holds a *fence*, a number that every batch compares under a lock. After a commit
//! whose answer was lost the fence is raised before anything else is sent; raising it waits for batches that hold the lock,
//! and those that come after it find another number and change nothing. A new owner's claim does the same to the old one.
//! Therefore deletes need to leave nothing behind.
//!
//! The table is made or compared with the types of the document before the first claim is read; it is never altered.

mod claim;
mod columns;
mod config;
mod encode;
mod health;
mod request;
mod retry;
mod sink;
mod statement;

pub use config::PostgresConnection;
pub use sink::PostgresSink;

/// Whether documents of this sink can be rows of a table: what is wrong with its options, if anything.
pub fn check(
    projection: &crate::language::typed::Projection,
    sink: &crate::language::typed::Into,
) -> Result<(), String> {
    columns::Table::of(projection, sink).map(drop)
}
