//! Is the server there, and is the table what the documents need: sessions, and the comparison that comes before the first.
//!
//! A table that differs is refused with what differs and the statement that would mend it; it is never altered. With
//! `create: true` a table that is missing is made, and the table of claims beside it; else the statements are shown.

use std::fmt::Write;
use std::sync::Arc;

use tokio::task::AbortHandle;
use tokio_postgres::{Client, Error, Statement};

use super::columns::{Column, PROJECTION_COLUMN, Table, VERSION_COLUMN, quote};

use super::config::PostgresConnection;
use super::retry::Class;
use super::{claim, retry, statement};

/// What every session is told. What is left of an abandoned transaction may block others for ten seconds, not longer; plans
/// look keys up, whatever the server believes of a table that was empty a moment ago; and what was acknowledged is kept
/// over a crash of the server, whatever its default.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
     SET bytea_output = 'hex'; SET extra_float_digits = 1; SET standard_conforming_strings = on; \
     SET client_min_messages = error; SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET jit = off; SET plan_cache_mode = force_generic_plan; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET default_transaction_isolation = 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// The first release that can do all that is asked of it.
const RELEASE_MIN: i32 = 140_000;

/// Why a session or a table is not to be had.
#[derive(Debug)]
pub(super) enum Unready {
    /// The server said so, or was not reached.
    Server(Error),
    /// A person has to do something.
    Wrong(String),
}

impl Unready {
    pub fn reason(&self) -> String {
        match self {
            Unready::Server(error) => retry::text(error),
            Unready::Wrong(reason) => reason.clone(),
        }
    }
}

impl From<Error> for Unready {
    fn from(error: Error) -> Unready {
        Unready::Server(error)
    }
}

/// A table that was looked at, and the SQL for it.
#[derive(Debug)]
pub(super) struct Shape {
    /// The type of each column, as the server calls it, without its limits.
    pub types: Vec<String>,
    upsert: String,
    delete: String,
    stored: String,
    pub read: String,
    pub sweep: String,
    pub claim: claim::Sql,
}

/// A connection that can write; its task ends with it.
pub(super) struct Session {
    pub client: Client,
    pub shape: Arc<Shape>,
    pub upsert: Statement,
    pub delete: Statement,
    pub stored: Statement,
    pub guard: Statement,
    _task: Ends,
}

/// Closes a connection when it is dropped, whatever it waits for.
pub(super) struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a connection and tells it what every session is told.
pub(super) async fn connect(connection: &PostgresConnection) -> Result<(Client, Ends), Unready> {
    let config = connection.driver_config().map_err(Unready::Wrong)?;
    let (client, task) = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
        let (client, driver) = config.connect(tokio_postgres::NoTls).await?;
        (client, tokio::spawn(async move { drop(driver.await) }))
    } else {
        let (client, driver) = config.connect(connection.tls().map_err(Unready::Wrong)?).await?;
        (client, tokio::spawn(async move { drop(driver.await) }))
    };
    let ends = Ends(task.abort_handle());
    client.batch_execute(SETTINGS).await?;
    Ok((client, ends))
}

impl Session {
    /// Opens a session for a table; the table is looked at when it was not.
    pub async fn open(
        connection: &PostgresConnection,
        table: &Table,
        shape: Option<Arc<Shape>>,
    ) -> Result<Session, Unready> {
        let (client, task) = connect(connection).await?;
        let shape = match shape {
            Some(shape) => shape,
            None => Arc::new(look(&client, table).await?),
        };
        let (upsert, delete) = (client.prepare(&shape.upsert).await?, client.prepare(&shape.delete).await?);
        let (stored, guard) = (client.prepare(&shape.stored).await?, client.prepare(&shape.claim.guard).await?);
        Ok(Session { client, shape, upsert, delete, stored, guard, _task: task })
    }
}

/// Looks at the table, which is made first if it is missing and may be.
async fn look(client: &Client, table: &Table) -> Result<Shape, Unready> {
    let release = client.query_one("SELECT current_setting('server_version_num')::int4", &[]).await?;
    if release.try_get::<_, i32>(0)? < RELEASE_MIN {
        return Err(Unready::Wrong("the server is older than PostgreSQL 14, which is needed".into()));
    }
    let schema = match schema_of(client, table).await? {
        Some(schema) => schema,
        None if table.create => {
            create(client, &table.create_table()).await?;
            let schema = schema_of(client, table).await?;
            schema.ok_or_else(|| Unready::Wrong(format!("the table {} was dropped again at once", table.quoted())))?
        }
        None => return Err(missing(client, table).await?),
    };
    let relation = format!("{}.{}", quote(&schema), quote(&table.name));
    let types = columns(client, table, &relation).await?;
    let claims = format!("{}.{}", quote(&schema), quote(claim::TABLE));
    if !is_there(client, &claims).await? {
        if !table.create {
            return Err(Unready::Wrong(format!(
                "the table of claims {claims} is missing; make it with:\n{}",
                claim::create_table(&claims)
            )));
        }
        create(client, &claim::create_table(&claims)).await?;
    }
    Ok(Shape {
        upsert: statement::upsert(table, &relation, &types),
        delete: statement::delete(table, &relation, &types),
        stored: statement::stored(table, &relation, &types),
        read: statement::read(table, &relation, &types),
        sweep: statement::sweep(table, &relation),
        claim: claim::Sql::new(table, &relation, &claims, timeline(client).await?),
        types,
    })
}

/// An expression for what counts the promotions of the server, where it says so.
async fn timeline(client: &Client) -> Result<&'static str, Unready> {
    const TIMELINE: &str = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
    match client.simple_query(&format!("SELECT {TIMELINE}")).await {
        Ok(_) => Ok(TIMELINE),
        // Services that keep their log elsewhere do not show it, and lose nothing when they fail over.
        Err(error) if retry::classify(&error) != Class::Broken => Ok("''"),
        Err(error) => Err(error.into()),
    }
}

/// Two processes that make it together run into each other, and then it is there.
async fn create(client: &Client, ddl: &str) -> Result<(), Unready> {
    match client.batch_execute(ddl).await {
        Err(error) if error.code().is_some_and(|code| ["23505", "42P07", "42710"].contains(&code.code())) => Ok(()),
        done => Ok(done?),
    }
}

async fn is_there(client: &Client, relation: &str) -> Result<bool, Error> {
    let found = client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&relation]).await?;
    found.try_get(0)
}

/// The schema that the table is in; an error when it is no table to write documents to.
async fn schema_of(client: &Client, table: &Table) -> Result<Option<String>, Unready> {
    let asked = "SELECT n.nspname::text, c.relkind::text, c.relpersistence::text FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)";
    let quoted = table.quoted();
    let Some(found) = client.query_opt(asked, &[&quoted]).await? else { return Ok(None) };
    let (kind, persistence): (String, String) = (found.try_get(1)?, found.try_get(2)?);
    if kind != "r" {
        return Err(Unready::Wrong(format!("{quoted} is no ordinary table: documents cannot be kept in it")));
    }
    if persistence != "p" {
        return Err(Unready::Wrong(format!(
            "the table {quoted} loses its rows when the server crashes: make it last with `ALTER TABLE {quoted} SET LOGGED`"
        )));
    }
    Ok(Some(found.try_get(0)?))
}

async fn missing(client: &Client, table: &Table) -> Result<Unready, Error> {
    let schema = match &table.schema {
        Some(schema) => schema.clone(),
        None => client.query_one("SELECT coalesce(current_schema, 'public')::text", &[]).await?.try_get(0)?,
    };
    let claims = format!("{}.{}", quote(&schema), quote(claim::TABLE));
    Ok(Unready::Wrong(format!(
        "there is no table {}; write `create: true`, or make it with:\n{}\n{}",
        table.quoted(),
        table.create_table(),
        claim::create_table(&claims)
    )))
}

/// A column as the server has it.
struct Actual {
    name: String,
    /// With its limits.
    full: String,
    /// As it is cast to.
    bare: String,
    not_null: bool,
    /// A value is put there when none is given.
    filled: bool,
    generated: bool,
    /// Of the type that the file chose for it, if it did.
    chosen: Option<bool>,
}

/// Compares the columns with the document's; returns their types.
async fn columns(client: &Client, table: &Table, relation: &str) -> Result<Vec<String>, Unready> {
    let chosen: Vec<String> = table.columns.iter().filter(|column| column.is_chosen).map(|c| c.sql.clone()).collect();
    let names: Vec<&str> = table.columns.iter().filter(|column| column.is_chosen).map(|column| &*column.name).collect();
    let asked = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid::regtype::text, \
                 a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', \
                 (SELECT to_regtype(x.ty) = a.atttypid FROM unnest($2::text[], $3::text[]) AS x(name, ty) \
                  WHERE x.name = a.attname) \
                 FROM pg_attribute a WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = client.query(asked, &[&relation, &names, &chosen]).await?;
    let actual = rows.iter().map(|row| {
        Ok::<_, Error>(Actual {
            name: row.try_get(0)?,
            full: row.try_get(1)?,
            bare: row.try_get(2)?,
            not_null: row.try_get(3)?,
            filled: row.try_get(4)?,
            generated: row.try_get(5)?,
            chosen: row.try_get(6)?,
        })
    });
    let actual: Vec<Actual> = actual.collect::<Result<_, _>>()?;
    let mut differences = differences(table, &actual);
    if differences.is_empty() {
        differences.extend(key_difference(client, table, relation).await?);
    }
    if !differences.is_empty() {
        let mut text = format!("the table {relation} is not what the documents need:");
        for Difference { what, mend } in differences {
            let _ = write!(text, "\n  {what}: ALTER TABLE {relation} {mend};");
        }
        return Err(Unready::Wrong(text));
    }
    let bare = |name: &str| actual.iter().find(|actual| actual.name == name).map(|actual| actual.bare.clone());
    Ok(table.columns.iter().filter_map(|column| bare(&column.name)).collect())
}

/// What a table lacks, and what `ALTER TABLE` does about it.
struct Difference {
    what: String,
    mend: String,
}

impl Difference {
    fn new(what: String, mend: String) -> Difference {
        Difference { what, mend }
    }
}

fn differences(table: &Table, actual: &[Actual]) -> Vec<Difference> {
    let there = |name: &str| actual.iter().find(|actual| actual.name == name);
    let fields = table.columns.iter().flat_map(|column| match there(&column.name) {
        Some(actual) => field_differences(table, column, actual),
        // Rows that are there have no value for it.
        None => vec![missing_column(&column.name, &column.sql)],
    });
    let marks = [(PROJECTION_COLUMN, "text", "''"), (VERSION_COLUMN, "bigint", "0")];
    let marks = marks.into_iter().filter_map(|(name, ty, default)| match there(name) {
        Some(actual) => mark_difference(name, ty, actual),
        // Rows that are there were written by nobody we know, in the lowest version.
        None => Some(missing_column(name, &format!("{ty} NOT NULL DEFAULT {default}"))),
    });
    let is_ours = |actual: &&Actual| {
        table.columns.iter().any(|column| *column.name == *actual.name)
            || [PROJECTION_COLUMN, VERSION_COLUMN].contains(&&*actual.name)
    };
    let others = actual.iter().filter(|actual| !is_ours(actual) && actual.not_null && !actual.filled);
    let others = others.filter(|actual| !actual.generated).map(|actual| {
        let name = quote(&actual.name);
        let what = format!("the column {name} allows no NULL, and no field fills it");
        Difference::new(what, format!("ALTER COLUMN {name} DROP NOT NULL"))
    });
    fields.chain(marks).chain(others).collect()
}

fn missing_column(name: &str, definition: &str) -> Difference {
    let name = quote(name);
    Difference::new(format!("the column {name} is missing"), format!("ADD COLUMN {name} {definition}"))
}

fn field_differences(table: &Table, column: &Column, actual: &Actual) -> Vec<Difference> {
    let (name, mut found) = (quote(&column.name), Vec::new());
    if actual.generated {
        let what = format!("the column {name} is reckoned by the server");
        found.push(Difference::new(what, format!("ALTER COLUMN {name} DROP EXPRESSION")));
    } else if !actual.chosen.unwrap_or_else(|| column.accepts(&actual.full)) {
        let (is, must) = (&actual.full, &column.sql);
        let what = format!("the column {name} is `{is}`, and must be `{must}`");
        found.push(Difference::new(what, format!("ALTER COLUMN {name} TYPE {must} USING {name}::{must}")));
    }
    let is_key = table.primary_key.iter().any(|key| *table.columns[key.column].name == *column.name);
    if actual.not_null && column.ty.is_optional() && !is_key {
        let what = format!("the column {name} allows no NULL, and the field may be `none`");
        found.push(Difference::new(what, format!("ALTER COLUMN {name} DROP NOT NULL")));
    }
    found
}

fn mark_difference(name: &str, ty: &str, actual: &Actual) -> Option<Difference> {
    let (name, is) = (quote(name), &actual.full);
    if is != ty {
        let what = format!("the column {name} is `{is}`, and must be `{ty}`");
        return Some(Difference::new(what, format!("ALTER COLUMN {name} TYPE {ty}")));
    }
    let may_be_null =
        || Difference::new(format!("the column {name} may be NULL"), format!("ALTER COLUMN {name} SET NOT NULL"));
    (!actual.not_null).then(may_be_null)
}

/// Rows are found by a unique index over exactly the columns of the key, which tells all texts apart.
async fn key_difference(client: &Client, table: &Table, relation: &str) -> Result<Option<Difference>, Unready> {
    let names: Vec<&str> = table.primary_key.iter().map(|key| &*table.columns[key.column].name).collect();
    let asked = "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass($1::text) AND i.indisunique \
                 AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
                 AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_attribute a \
                      WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) \
                     = (SELECT array_agg(n ORDER BY n) FROM unnest($2::text[]) AS n)), \
                 (SELECT min(a.attname::text) FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation \
                  WHERE a.attrelid = to_regclass($1::text) AND a.attname = ANY ($2::text[]) AND NOT c.collisdeterministic)";
    let found = client.query_one(asked, &[&relation, &names]).await?;
    let (has_index, loose): (bool, Option<String>) = (found.try_get(0)?, found.try_get(1)?);
    let columns = table.primary_key_names().join(", ");
    if !has_index {
        let what = format!("there is no primary key or unique index over ({columns})");
        return Ok(Some(Difference { what, mend: format!("ADD UNIQUE ({columns})") }));
    }
    Ok(loose.map(|name| Difference {
        what: format!("the collation of {} takes different texts for the same", quote(&name)),
        mend: format!("ALTER COLUMN {} TYPE text COLLATE {}", quote(&name), quote("C")),
    }))
}
