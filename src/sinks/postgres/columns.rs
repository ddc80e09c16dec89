//! A document's fields → the columns of its table, and which of them are the primary key.
//!
//! A document that is deleted has no row of the fold any more, so the primary key comes from the key alone: each of its
//! columns shows one part of the key, and together they show all of it. Everything here is known from the file.

use std::fmt::Write;
use std::sync::Arc;

use crate::language::typed::{Expr, ExprKind, Into, KeyPart, OptionValue, Projection};
use crate::value::json::Style;
use crate::value::{Type, Value};

/// The column that says whose document a row is, and the one with its version.
pub(super) const PROJECTION_COLUMN: &str = "_proj_p";
pub(super) const VERSION_COLUMN: &str = "_proj_v";
/// Longer names are cut by the server.
const NAME_BYTES_MAX: usize = 63;

/// A table, as the file describes it.
#[derive(Debug)]
pub(super) struct Table {
    pub schema: Option<String>,
    pub name: String,
    /// One per field of the document, in its order.
    pub columns: Vec<Column>,
    pub primary_key: Vec<PrimaryKeyColumn>,
    /// The parts of the key, to read a key text by.
    pub key: Vec<KeyPart>,
    pub create: bool,
    /// Takes over rows that another projection wrote.
    pub adopt: bool,
    pub projection: Arc<str>,
    pub sink: Arc<str>,
    pub style: Style,
}

#[derive(Debug)]
pub(super) struct Column {
    pub name: Arc<str>,
    /// Of the field.
    pub ty: Type,
    /// What it is made as, when it is made.
    pub sql: String,
    /// The type stands in the option `columns`.
    pub is_chosen: bool,
}

#[derive(Debug)]
pub(super) struct PrimaryKeyColumn {
    /// Index into [`Table::columns`].
    pub column: usize,
    /// The part of the key that it shows.
    pub part: usize,
}

impl Table {
    /// The table of a sink, or what is wrong with its options.
    pub fn of(projection: &Projection, sink: &Into) -> Result<Table, String> {
        let place = sink.options.place.as_deref().unwrap_or_default();
        let (schema, name) = match place.split_once('.') {
            Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
            None => (None, place.to_owned()),
        };
        for name in schema.iter().chain([&name]) {
            check_name("table", name)?;
        }
        let chosen = chosen_types(sink)?;
        if let Some((field, _)) = chosen.iter().find(|(field, _)| !sink.document.iter().any(|(name, _)| name == field))
        {
            return Err(format!("`columns` names `{field}`, and the document has no such field"));
        }
        let columns = sink.document.iter().map(|(name, expr)| column(name, expr, &chosen));
        let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
        let primary_key = primary_key(projection, sink, &columns)?;
        let style = Style {
            decimals: sink.options.decimals,
            ints_as_text: sink.options.ints_as_text,
            ints_exact: true,
            omit_none: sink.options.omit_none,
        };
        Ok(Table {
            schema,
            name,
            columns,
            primary_key,
            key: projection.key.clone(),
            create: flag(sink, "create"),
            adopt: sink.options.adopt,
            projection: projection.name.clone(),
            sink: sink.name.clone(),
            style,
        })
    }

    /// As it is called in the file, quoted.
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }

    /// The statement that makes it.
    pub fn create_table(&self) -> String {
        let mut ddl = format!("CREATE TABLE IF NOT EXISTS {} (\n", self.quoted());
        for column in &self.columns {
            let _ = writeln!(ddl, "  {},", column.definition());
        }
        let _ = writeln!(ddl, "  {} text NOT NULL,", quote(PROJECTION_COLUMN));
        let _ = writeln!(ddl, "  {} bigint NOT NULL,", quote(VERSION_COLUMN));
        let _ = write!(ddl, "  PRIMARY KEY ({})\n);", self.primary_key_names().join(", "));
        ddl
    }

    /// The columns of the primary key, quoted.
    pub fn primary_key_names(&self) -> Vec<String> {
        self.primary_key.iter().map(|key| quote(&self.columns[key.column].name)).collect()
    }
}

impl Column {
    /// As `CREATE TABLE` has it.
    pub fn definition(&self) -> String {
        let null = if self.ty.is_optional() { "" } else { " NOT NULL" };
        format!("{} {}{null}", quote(&self.name), self.sql)
    }

    /// Whether a column of this type, as the server prints it, holds every value of the field.
    pub fn accepts(&self, actual: &str) -> bool {
        let element = |ty: &Type| match ty.required() {
            Type::List(element) if is_scalar(element) => {
                actual.strip_suffix("[]").map(|actual| (element.required().clone(), actual))
            }
            _ => None,
        };
        match element(&self.ty) {
            Some((element, actual)) => scalar_accepts(&element, actual),
            None => scalar_accepts(self.ty.required(), actual),
        }
    }
}

fn column(name: &Arc<str>, expr: &Expr, chosen: &[(Arc<str>, String)]) -> Result<Column, String> {
    check_name("column", name)?;
    if [PROJECTION_COLUMN, VERSION_COLUMN].contains(&&**name) {
        return Err(format!("a field may not be called `{name}`: the column of that name is the engine's own"));
    }
    let chosen = chosen.iter().find(|(field, _)| field == name).map(|(_, sql)| sql.clone());
    let is_chosen = chosen.is_some();
    Ok(Column { name: name.clone(), ty: expr.ty.clone(), sql: chosen.unwrap_or_else(|| sql_type(&expr.ty)), is_chosen })
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(format!("`{name}` is no name for a {what}: names have 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn option<'o>(sink: &'o Into, name: &str) -> Option<&'o OptionValue> {
    sink.options.all.iter().find(|option| &*option.name == name).map(|option| &option.value)
}

fn flag(sink: &Into, name: &str) -> bool {
    matches!(option(sink, name), Some(OptionValue::Constant(Value::Bool(true))))
}

/// `columns: { field: "type" }`.
fn chosen_types(sink: &Into) -> Result<Vec<(Arc<str>, String)>, String> {
    let Some(OptionValue::Block(entries)) = option(sink, "columns") else { return Ok(Vec::new()) };
    let chosen = |(field, value): &(Arc<str>, OptionValue)| match value {
        OptionValue::Constant(Value::Text(sql)) if is_type_name(sql.as_str()) => {
            Ok((field.clone(), sql.as_str().to_owned()))
        }
        _ => {
            Err(format!("`columns` takes a column's type in quotes, and `{field}` has none: write `{field}: \"text\"`"))
        }
    };
    entries.iter().map(chosen).collect()
}

/// A type as PostgreSQL writes them; nothing that could end the statement it is put in.
fn is_type_name(sql: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_ .,()[]".contains(c);
    !sql.trim().is_empty() && sql.chars().all(fits)
}

fn primary_key(projection: &Projection, sink: &Into, columns: &[Column]) -> Result<Vec<PrimaryKeyColumn>, String> {
    let names: Vec<Arc<str>> = match option(sink, "primary_key") {
        Some(OptionValue::List(names)) => names.iter().filter_map(text).collect(),
        _ => projection.key.iter().map(|part| part.name.clone()).collect(),
    };
    let mut key = Vec::new();
    for name in &names {
        let Some(column) = columns.iter().position(|column| column.name == *name) else {
            return Err(format!(
                "the primary key needs a column `{name}`, and the document has no such field: put it into `as`, or name \
                 the fields that show the key with `primary_key: [\"…\"]`"
            ));
        };
        let Some(part) = key_part(&sink.document[column].1) else {
            return Err(format!(
                "`{name}` cannot be in the primary key: a deleted row is known by its key alone, and `{name}` is not a \
                 part of the key"
            ));
        };
        key.push(PrimaryKeyColumn { column, part });
    }
    let shown = |part: usize| key.iter().any(|column| column.part == part);
    match (0..projection.key.len()).find(|part| !shown(*part)) {
        Some(part) => Err(format!(
            "two rows could get the same primary key: no column of it shows `{}`, which is a part of the key",
            projection.key[part].name
        )),
        None => Ok(key),
    }
}

fn text(value: &OptionValue) -> Option<Arc<str>> {
    match value {
        OptionValue::Constant(Value::Text(text)) => Some(text.as_str().into()),
        _ => None,
    }
}

/// The part of the key that a field shows, whole.
fn key_part(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Key(part) => Some(*part),
        ExprKind::Interpolate(parts) => match parts.as_slice() {
            [only] => key_part(only),
            _ => None,
        },
        ExprKind::Call { function: crate::language::typed::Function::TextOf, arguments } => {
            match arguments.as_slice() {
                [only] => key_part(only),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_scalar(ty: &Type) -> bool {
    !matches!(ty.required(), Type::List(_) | Type::Set(_) | Type::Map(..) | Type::Record(_) | Type::Json | Type::None)
}

/// The type of a column that is made for a field.
fn sql_type(ty: &Type) -> String {
    match ty.required() {
        Type::Bool => "boolean".into(),
        Type::Int => "bigint".into(),
        Type::Decimal(Some(places)) => format!("numeric(38,{places})"),
        Type::Decimal(None) => "numeric".into(),
        Type::Float => "double precision".into(),
        Type::String(_) | Type::Enum(_) | Type::None | Type::Optional(_) => "text".into(),
        Type::Timestamp => "timestamp with time zone".into(),
        Type::Date => "date".into(),
        Type::Duration => "interval".into(),
        Type::Uuid => "uuid".into(),
        Type::Bytes => "bytea".into(),
        Type::List(element) if is_scalar(element) => format!("{}[]", sql_type(element)),
        Type::List(_) | Type::Set(_) | Type::Map(..) | Type::Record(_) | Type::Json => "jsonb".into(),
    }
}

fn scalar_accepts(ty: &Type, actual: &str) -> bool {
    match ty {
        Type::Int => ["bigint", "numeric"].contains(&actual),
        // A scale that is too small would round, silently.
        Type::Decimal(Some(places)) => {
            actual == "numeric" || numeric_scale(actual).is_some_and(|scale| scale >= u32::from(*places))
        }
        Type::String(Some(longest)) => is_text(actual) || varchar(actual).is_some_and(|length| length >= *longest),
        Type::String(None) | Type::Enum(_) => is_text(actual),
        Type::Duration => ["interval", "text"].contains(&actual),
        Type::Json => ["jsonb", "json"].contains(&actual),
        other => sql_type(other) == actual,
    }
}

fn is_text(actual: &str) -> bool {
    ["text", "character varying"].contains(&actual)
}

fn numeric_scale(actual: &str) -> Option<u32> {
    actual.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?.1.parse().ok()
}

fn varchar(actual: &str) -> Option<u32> {
    actual.strip_prefix("character varying(")?.strip_suffix(')')?.parse().ok()
}

/// A name as SQL has it, whatever it is.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub(super) fn literal(text: &str) -> String {
    // With standard_conforming_strings, which every session here sets.
    format!("'{}'", text.replace('\'', "''"))
}
