//! The SQL of a sink, written once for a table whose types are known.
//!
//! Each column of a batch is one parameter, an array of texts; the version another. The server casts. No plan here looks at
//! more than the keys it is given: the session forbids scans, since a plan may be made while the table is still empty.

use std::fmt::Write;

use super::columns::{PROJECTION_COLUMN, Table, VERSION_COLUMN, literal, quote};

/// Of the transaction that asks, as rows carry it.
const OUR_XMIN: &str = "txid_current() & 4294967295";

/// Writes rows whose version is lower than ours. `$1…$n` are the columns, then the versions.
pub(super) fn upsert(table: &Table, relation: &str, types: &[String]) -> String {
    let names: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
    let [p, v] = [quote(PROJECTION_COLUMN), quote(VERSION_COLUMN)];
    let mut sql = format!("INSERT INTO {relation} AS t ({}, {p}, {v}) SELECT ", names.join(", "));
    for (index, ty) in types.iter().enumerate() {
        let _ = write!(sql, "x.c{index}::{ty}, ");
    }
    let _ = write!(sql, "{}, x.v FROM {} ", literal(&table.projection), unnest(types.len()));
    let _ = write!(sql, "ON CONFLICT ({}) DO UPDATE SET ", table.primary_key_names().join(", "));
    for (index, name) in names.iter().enumerate() {
        if !table.primary_key.iter().any(|key| key.column == index) {
            let _ = write!(sql, "{name} = excluded.{name}, ");
        }
    }
    let _ = write!(sql, "{p} = excluded.{p}, {v} = excluded.{v} WHERE t.{v} < excluded.{v}{}", ours(table));
    sql
}

/// Deletes rows by key whose version is lower than ours.
pub(super) fn delete(table: &Table, relation: &str, types: &[String]) -> String {
    let v = quote(VERSION_COLUMN);
    let (keys, matches) = (unnest(table.primary_key.len()), matches(table, types));
    format!("DELETE FROM {relation} AS t USING {keys} WHERE {matches} AND t.{v} < x.v{}", ours(table))
}

/// The rows of keys: which of the asked it is, whose, its version, and whether this transaction wrote it.
pub(super) fn stored(table: &Table, relation: &str, types: &[String]) -> String {
    let [p, v] = [quote(PROJECTION_COLUMN), quote(VERSION_COLUMN)];
    let (keys, matches) = (unnest(table.primary_key.len()), matches(table, types));
    format!(
        "SELECT x.v, t.{p}, t.{v}, t.xmin::text::bigint = ({OUR_XMIN}) FROM {relation} AS t JOIN {keys} ON {matches}"
    )
}

/// A row by its key (`$1…` are texts), each column as text or as an array of texts, then `_proj`.
pub(super) fn read(table: &Table, relation: &str, types: &[String]) -> String {
    let mut sql = String::from("SELECT ");
    for (column, ty) in table.columns.iter().zip(types) {
        let array = if ty.ends_with("[]") { "[]" } else { "" };
        let _ = write!(sql, "t.{}::text{array}, ", quote(&column.name));
    }
    let _ = write!(sql, "t.{}, t.{} FROM {relation} AS t WHERE ", quote(PROJECTION_COLUMN), quote(VERSION_COLUMN));
    let parts = table.primary_key_names().into_iter().zip(&table.primary_key).enumerate();
    let parts = parts.map(|(at, (name, key))| format!("t.{name} = ${}::text::{}", at + 1, types[key.column]));
    sql.push_str(&parts.collect::<Vec<_>>().join(" AND "));
    sql
}

/// Deletes up to `$2` rows of this projection with a version below `$1`, from block `$3` on; shows where they lay.
pub(super) fn sweep(table: &Table, relation: &str) -> String {
    let [p, v] = [quote(PROJECTION_COLUMN), quote(VERSION_COLUMN)];
    let old = format!("{p} = {} AND {v} < $1", literal(&table.projection));
    format!(
        "WITH old AS (SELECT ctid AS place FROM {relation} WHERE {old} AND ctid >= $3::text::tid LIMIT $2), \
         gone AS (DELETE FROM {relation} WHERE ctid = ANY (ARRAY(SELECT place FROM old)) AND {old}) \
         SELECT count(*), max(place)::text FROM old"
    )
}

fn unnest(columns: usize) -> String {
    let parameters: Vec<String> = (1..=columns).map(|n| format!("${n}::text[]")).collect();
    let names: Vec<String> = (0..columns).map(|n| format!("c{n}")).collect();
    let version = columns + 1;
    format!("unnest({}, ${version}::bigint[]) AS x({}, v)", parameters.join(", "), names.join(", "))
}

/// `x.c0`, `x.c1` … are the primary key here.
fn matches(table: &Table, types: &[String]) -> String {
    let names = table.primary_key_names().into_iter().zip(&table.primary_key).enumerate();
    let parts = names.map(|(at, (name, key))| format!("t.{name} = x.c{at}::{}", types[key.column]));
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Rows of another projection are not touched, unless the file says so.
fn ours(table: &Table) -> String {
    match table.adopt {
        true => String::new(),
        false => format!(" AND t.{} = {}", quote(PROJECTION_COLUMN), literal(&table.projection)),
    }
}
