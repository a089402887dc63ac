//! What a schema holds that is about to move: its tables, their columns and keys, and what could
//! not move with it.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::server::Server;
use crate::error::{Error, Result};
use crate::names::{SchemaName, TableName, quote};

/// A schema as preflight sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaFacts {
    /// Default charset; `None` where there is no such schema.
    pub charset: Option<String>,
    /// Default collation.
    pub collation: Option<String>,
    /// Base tables.
    pub tables: Vec<TableFacts>,
    /// What cannot be moved: views, triggers, routines, events, foreign keys, each in words.
    pub fixtures: Vec<String>,
}

/// A table as preflight sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Its name.
    pub name: String,
    /// Its storage engine.
    pub engine: String,
    /// Its columns and key, or why it cannot be copied.
    pub shape: std::result::Result<Shape, String>,
}

/// Columns and key of a table, as far as copying and comparing need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The columns that hold data of their own: generated ones are left out.
    pub columns: Vec<ColumnShape>,
    /// The primary key: indexes into `columns`, in key order; never empty.
    pub key: Vec<usize>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// The type's word, lower case: `varchar`, `bigint`.
    pub kind: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Charset and collation of a text column.
    pub collation: Option<(String, String)>,
    /// Characters or bytes at most, of strings.
    pub length_max: Option<u64>,
}

impl ColumnShape {
    /// The name between backticks.
    pub fn quoted(&self) -> String {
        quote(&self.name)
    }
}

/// Reads what the schema holds.
///
/// # Errors
/// The server cannot be asked.
pub async fn look(server: &Server, conn: &mut Conn, schema: &SchemaName) -> Result<SchemaFacts> {
    let failed = |cause| server.explain(&format!("could not read the schema `{schema}`"), &cause);
    let name = schema.as_str();
    let defaults: Option<(String, String)> = conn
        .exec_first(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
            (name,),
        )
        .await
        .map_err(failed)?;
    let Some((charset, collation)) = defaults else {
        return Ok(SchemaFacts::default());
    };
    let mut facts = SchemaFacts {
        charset: Some(charset),
        collation: Some(collation),
        ..SchemaFacts::default()
    };
    let tables: Vec<(String, String, Option<String>)> = conn
        .exec(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME",
            (name,),
        )
        .await
        .map_err(failed)?;
    for (table, kind, engine) in tables {
        if kind == "BASE TABLE" {
            facts.tables.push(TableFacts {
                shape: read_shape(server, conn, name, &table).await?,
                name: table,
                engine: engine.unwrap_or_default(),
            });
        } else {
            facts
                .fixtures
                .push(format!("{} `{table}`", kind.to_lowercase()));
        }
    }
    for (what, sql) in [
        (
            "trigger",
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? ORDER BY 1",
        ),
        (
            "routine",
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? ORDER BY 1",
        ),
        (
            "event",
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 1",
        ),
        (
            "foreign key",
            "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = ? ORDER BY 1",
        ),
        (
            "foreign key from another schema",
            "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA \
             ORDER BY 1",
        ),
    ] {
        let found: Vec<String> = conn.exec(sql, (name,)).await.map_err(failed)?;
        for item in found {
            facts.fixtures.push(format!("{what} `{item}`"));
        }
    }
    Ok(facts)
}

/// Columns and key of a table that passed preflight.
///
/// # Errors
/// The server cannot be asked, or the table has changed since and cannot be copied.
pub async fn shape(
    server: &Server,
    conn: &mut Conn,
    schema: &SchemaName,
    table: &TableName,
) -> Result<Shape> {
    read_shape(server, conn, schema.as_str(), table.as_str())
        .await?
        .map_err(|reason| {
            Error::server(format!("table `{schema}`.`{table}` cannot be copied"))
                .at(server.place())
                .cause(reason)
        })
}

type ColumnRow = (
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<String>,
);

async fn read_shape(
    server: &Server,
    conn: &mut Conn,
    schema: &str,
    table: &str,
) -> Result<std::result::Result<Shape, String>> {
    let failed = |cause| {
        server.explain(
            &format!("could not read the columns of `{schema}`.`{table}`"),
            &cause,
        )
    };
    let rows: Vec<ColumnRow> = conn
        .exec(
            "SELECT COLUMN_NAME, DATA_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME, \
             CHARACTER_MAXIMUM_LENGTH, GENERATION_EXPRESSION \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             ORDER BY ORDINAL_POSITION",
            (schema, table),
        )
        .await
        .map_err(failed)?;
    let parts: Vec<(Option<String>, Option<u64>)> = conn
        .exec(
            "SELECT COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' \
             ORDER BY SEQ_IN_INDEX",
            (schema, table),
        )
        .await
        .map_err(failed)?;
    let columns: Vec<ColumnShape> = rows
        .into_iter()
        .filter(|row| row.6.as_deref().unwrap_or_default().is_empty())
        .map(
            |(name, kind, nullable, charset, collation, length_max, _)| ColumnShape {
                name,
                kind: kind.to_lowercase(),
                nullable: nullable == "YES",
                collation: charset.zip(collation),
                length_max,
            },
        )
        .collect();
    if parts.is_empty() {
        return Ok(Err("it has no primary key".to_owned()));
    }
    let mut key = Vec::new();
    for (name, prefix) in parts {
        let Some(index) = columns
            .iter()
            .position(|column| Some(&column.name) == name.as_ref())
        else {
            return Ok(Err("its primary key has a generated column".to_owned()));
        };
        let column = &columns[index];
        if prefix.is_some() {
            return Ok(Err(format!(
                "its primary key holds a prefix of `{}` only",
                column.name
            )));
        }
        if !super::copy::can_be_key(&column.kind) {
            return Ok(Err(format!(
                "its primary key has `{}` of type {}, which has no exact order to copy along",
                column.name, column.kind
            )));
        }
        key.push(index);
    }
    Ok(Ok(Shape { columns, key }))
}
