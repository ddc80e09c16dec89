//! Who may write a table: a row of `projector_claims` beside it, and the lock that every batch takes on it.
//!
//! A batch locks the row FOR KEY SHARE, which lets other batches and signs of life pass. Who takes the claim locks it FOR
//! UPDATE: it waits for batches under way, and those that come later see the new owner. The row names the table by its oid
//! and its file, so that a table that was dropped, restored or truncated has no claim; VACUUM FULL and rewriting ALTER TABLE
//! look the same, and the table is filled once more. It also names the timeline of the server: a standby that was promoted
//! may lack what was acknowledged since the last sign of life, and has no claim either.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::columns::{Table, literal};
use crate::event::{Epoch, TargetId, Version};
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};
use crate::state::{Place, StoreId};

pub(super) const TABLE: &str = "projector_claims";

/// The statement that makes the table of claims.
pub(super) fn create_table(claims: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {claims} (\n  table_name text NOT NULL,\n  projection text NOT NULL,\n  \
         sink text NOT NULL,\n  table_oid bigint NOT NULL,\n  table_file bigint NOT NULL,\n  timeline text NOT NULL,\n  store uuid NOT NULL,\n  \
         place bigint NOT NULL,\n  process uuid NOT NULL,\n  epoch bigint NOT NULL,\n  published bigint NOT NULL,\n  \
         beat bigint NOT NULL,\n  target uuid NOT NULL,\n  fence bigint NOT NULL,\n  \
         PRIMARY KEY (table_name, projection, sink)\n);"
    )
}

/// A claim with its fence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub claim: Claim,
    pub fence: i64,
}

/// The SQL for the claim of one table.
#[derive(Debug)]
pub(super) struct Sql {
    select: String,
    /// Reads the claim and keeps others from taking it until the transaction ends.
    pub guard: String,
    insert: String,
    update: String,
    raise: String,
}

impl Sql {
    /// `timeline` is an expression for what counts the promotions of the server.
    pub fn new(table: &Table, relation: &str, claims: &str, timeline: &str) -> Sql {
        let name = literal(relation);
        let identity = [
            format!("to_regclass({name})::oid::bigint"),
            format!("coalesce(pg_relation_filenode(to_regclass({name})), 0)::bigint"),
            timeline.to_owned(),
        ];
        let [oid, file, timeline] = &identity;
        let keys = [&*table.name, &*table.projection, &*table.sink].map(literal);
        let key = format!("table_name = {} AND projection = {} AND sink = {}", keys[0], keys[1], keys[2]);
        let select = format!(
            "SELECT store::text, place, process::text, epoch, published, beat, target::text, fence, \
             table_oid = {oid} AND table_file = {file} AND timeline = {timeline} FROM {claims} WHERE {key}"
        );
        let columns = "store, place, process, epoch, published, beat, target, table_oid, table_file, timeline, fence";
        let values = format!(
            "$1::text::uuid, $2::bigint, $3::text::uuid, $4::bigint, $5::bigint, $6::bigint, $7::text::uuid, {}",
            identity.join(", ")
        );
        Sql {
            guard: format!("{select} FOR KEY SHARE"),
            insert: format!(
                "INSERT INTO {claims} (table_name, projection, sink, {columns}) VALUES ({}, {values}, $8::bigint) \
                 ON CONFLICT DO NOTHING RETURNING fence",
                keys.join(", ")
            ),
            update: format!(
                "UPDATE {claims} SET ({columns}) = ROW({values}, fence + $8::bigint) WHERE {key} RETURNING fence"
            ),
            raise: format!("UPDATE {claims} SET fence = fence + 1 WHERE {key} RETURNING fence"),
            select,
        }
    }
}

/// A claim as it lies there; `None` when it is about another table than the one that is there now.
pub(super) fn held(row: &Row) -> Result<Option<Held>, Error> {
    let number = |text: String| u128::from_str_radix(&text.replace('-', ""), 16).unwrap_or_default();
    let holds: Option<bool> = row.try_get(8)?;
    if holds != Some(true) {
        return Ok(None);
    }
    let claim = Claim {
        store: StoreId(number(row.try_get(0)?)),
        place: Place(row.try_get::<_, i64>(1)?.cast_unsigned()),
        process: ProcessId(number(row.try_get(2)?)),
        epoch: Epoch(u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or(u32::MAX)),
        published: Version(row.try_get::<_, i64>(4)?.cast_unsigned()),
        beat: row.try_get::<_, i64>(5)?.cast_unsigned(),
        target: TargetId(number(row.try_get(6)?)),
    };
    Ok(Some(Held { claim, fence: row.try_get(7)? }))
}

/// Reads the claim.
pub(super) async fn read(client: &Client, sql: &Sql) -> Result<Option<Held>, Error> {
    match client.query_opt(&sql.select, &[]).await? {
        Some(row) => held(&row),
        None => Ok(None),
    }
}

/// Moves the claim, as one transaction; says what its fence is then.
pub(super) async fn put(client: &Client, sql: &Sql, from: Option<Claim>, to: Claim) -> Result<(ClaimMove, i64), Error> {
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '4s'").await?;
    // A sign of life passes by batches; whoever becomes another owner waits for them.
    let is_beat = from.is_some_and(|from| (from.process, from.epoch, from.target) == (to.process, to.epoch, to.target));
    let lock = if is_beat { "FOR NO KEY UPDATE" } else { "FOR UPDATE" };
    let row = client.query_opt(&format!("{} {lock}", sql.select), &[]).await?;
    let (is_row, found) = match &row {
        Some(row) => (true, held(row)?),
        None => (false, None),
    };
    let expected = match (&found, &from) {
        (None, None) => true,
        (Some(found), Some(from)) => found.claim.is_same_move(from),
        _ => false,
    };
    if !expected {
        client.batch_execute("ROLLBACK").await?;
        return Ok((ClaimMove::Found(found.map(|held| held.claim)), 0));
    }
    let values = values_of(&to, i64::from(!is_beat));
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
    let done = client.query_opt(if is_row { &sql.update } else { &sql.insert }, &values).await?;
    let Some(done) = done else {
        // Somebody made one at the same time.
        client.batch_execute("ROLLBACK").await?;
        let found = read(client, sql).await?;
        return Ok((ClaimMove::Found(found.map(|held| held.claim)), 0));
    };
    let fence = done.try_get(0)?;
    client.batch_execute("COMMIT").await?;
    Ok((ClaimMove::Moved, fence))
}

fn values_of(to: &Claim, rise: i64) -> [Box<dyn ToSql + Sync + Send>; 8] {
    let uuid = |number: u128| Box::new(format!("{number:032x}"));
    [
        uuid(to.store.0),
        Box::new(to.place.0.cast_signed()),
        uuid(to.process.0),
        Box::new(i64::from(to.epoch.0)),
        Box::new(to.published.0.cast_signed()),
        Box::new(to.beat.cast_signed()),
        uuid(to.target.0),
        Box::new(rise),
    ]
}

/// Raises the fence of a claim that is still this owner's: what was sent before changes nothing from here on, or is done.
pub(super) async fn raise_fence(
    client: &Client,
    sql: &Sql,
    owner: (ProcessId, TargetId),
) -> Result<Option<i64>, Error> {
    client.batch_execute("BEGIN").await?;
    let row = client.query_opt(&format!("{} FOR UPDATE", sql.select), &[]).await?;
    let found = row.as_ref().map_or(Ok(None), held)?;
    if found.is_none_or(|held| (held.claim.process, held.claim.target) != owner) {
        client.batch_execute("ROLLBACK").await?;
        return Ok(None);
    }
    let fence = client.query_one(&sql.raise, &[]).await?.try_get(0)?;
    client.batch_execute("COMMIT").await?;
    Ok(Some(fence))
}
