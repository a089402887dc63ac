//! A private schema on a scratch server: tables made like the shards', filled with what was read
//! from them, and the statement that runs there.
//!
//! Rows travel as copies do ([`copy`](super::copy)): in the binary protocol, text as the bytes it
//! is stored as, ENUM and SET as numbers.
//!
//! A schema belongs to the connection that holds the lock of its name. The server gives the lock
//! free when that connection is gone, however it died: so a schema whose lock is free is an
//! orphan's, and whoever comes next drops it.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use super::copy::{TableCopy, read_expression, send_bulk, send_inserts, send_load_data};
use super::moving::{ColumnShape, Shape};
use super::query::{self, Reading, ask, session};
use super::server::{Flavour, Server};
use crate::error::{Error, Result};
use crate::names::{SchemaName, TableName, quote, quote_text};
use crate::rows::cell::Kind;
use crate::topology::PhysicalTable;

/// How the names of scratch schemas begin.
pub const PREFIX: &str = "_shardctl_q_";

/// Rows of one batch.
const BATCH_ROWS_MAX: usize = 5_000;

/// What is read in place of JSON that its text does not give back. No JSON.
const NO_TEXT: &str = "shardctl: no text";

/// Characters of a text that an index of ours holds.
const INDEX_CHARS_MAX: u64 = 100;

/// Settings of a session or a server that a statement's result can depend on. They are taken from
/// the shards; not every server has all of them.
const SETTINGS: &[&str] = &[
    "block_encryption_mode",
    "character_set_collations",
    "collation_connection",
    "cte_max_recursion_depth",
    "default_regex_flags",
    "default_week_format",
    "div_precision_increment",
    "group_concat_max_len",
    "lc_time_names",
    "max_recursive_iterations",
    "old_mode",
    "sql_mode",
    "time_zone",
    "windowing_use_high_precision",
];

/// Settings that must be the same on both servers, for a session cannot change them.
const FIXED: &[&str] = &["lower_case_table_names"];

/// Settings that decide what is a word; a server has them from its start.
const WORDS: &[&str] = &[
    "ft_boolean_syntax",
    "innodb_ft_enable_stopword",
    "innodb_ft_max_token_size",
    "innodb_ft_min_token_size",
    "innodb_ft_server_stopword_table",
    "ngram_token_size",
];

/// A column of a shard's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchColumn {
    shape: ColumnShape,
    /// The type as the server says it, and what belongs to it.
    definition: String,
    invisible: bool,
}

impl ScratchColumn {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.shape.name
    }

    /// The expression it is read by.
    ///
    /// MySQL's JSON can hold decimals, dates and bytes, which its functions put there and which its
    /// text does not tell from doubles and strings. JSON travels as text, so the shard compares the
    /// value with what its text gives, and says so where they differ.
    pub fn read(&self) -> String {
        if self.shape.kind != "json" {
            return read_expression(&self.shape);
        }
        let json = self.shape.quoted();
        let text = format!("CAST({json} AS CHAR)");
        let again = format!("CAST({text} AS JSON)");
        format!(
            "IF({json} IS NULL OR ({json} = {again} AND {text} = CAST({again} AS CHAR)), {text}, \
             '{NO_TEXT}')"
        )
    }

    fn index_part(&self) -> Option<String> {
        let quoted = self.shape.quoted();
        let text = matches!(
            self.shape.kind.as_str(),
            "char" | "varchar" | "binary" | "varbinary"
        );
        match self.shape.kind.as_str() {
            _ if text => Some(match self.shape.length_max {
                Some(length) if length > INDEX_CHARS_MAX => {
                    format!("{quoted}({INDEX_CHARS_MAX})")
                }
                _ => quoted,
            }),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "date"
            | "datetime" | "timestamp" | "time" | "year" | "enum" | "set" | "bit" | "uuid" => {
                Some(quoted)
            }
            _ => None,
        }
    }
}

/// The columns of each of these tables of one instance, in their order.
///
/// # Errors
/// The server cannot be asked, or a table is not there.
pub async fn columns(
    server: &Server,
    conn: &mut Conn,
    tables: &[PhysicalTable],
) -> Result<BTreeMap<PhysicalTable, Vec<ScratchColumn>>> {
    let failed = |cause| server.explain("could not read the tables' columns", &cause);
    let mut found: BTreeMap<(String, String), Vec<ScratchColumn>> = BTreeMap::new();
    let wanted: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "(TABLE_SCHEMA={} AND TABLE_NAME={})",
                quote_text(table.schema.as_str()),
                quote_text(table.table.as_str())
            )
        })
        .collect();
    // One schema at a time would be a round trip each; one condition of thousands of names would
    // pass what the servers read in one piece.
    for part in wanted.chunks(200) {
        let rows: Vec<Row> = conn
            .query(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, \
                 CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, EXTRA, CHARACTER_MAXIMUM_LENGTH \
                 FROM information_schema.COLUMNS WHERE {} \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
                part.join(" OR ")
            ))
            .await
            .map_err(failed)?;
        for row in rows {
            let mut row = row;
            let mut text = |index: usize| {
                row.take::<Option<String>, _>(index)
                    .flatten()
                    .unwrap_or_default()
            };
            let key = (text(0), text(1));
            let (name, kind, full) = (text(2), text(3).to_lowercase(), text(4));
            let (charset, collation, nullable) = (text(5), text(6), text(7) == "YES");
            let extra = text(8).to_uppercase();
            let length_max = row.take::<Option<u64>, _>(9).flatten();
            let mut definition = without_comments(&full);
            if !charset.is_empty() {
                definition.push_str(&format!(" CHARACTER SET {charset} COLLATE {collation}"));
            }
            definition.push_str(if nullable { " NULL" } else { " NOT NULL" });
            found.entry(key).or_default().push(ScratchColumn {
                shape: ColumnShape {
                    name,
                    kind,
                    nullable,
                    collation: (!charset.is_empty()).then_some((charset, collation)),
                    length_max,
                },
                definition,
                invisible: extra.contains("INVISIBLE"),
            });
        }
    }
    if server.flavour() == Flavour::Mariadb {
        mark_json(server, conn, &wanted, &mut found).await?;
    }
    tables
        .iter()
        .map(|table| {
            let key = (table.schema.to_string(), table.table.to_string());
            match found.remove(&key) {
                Some(columns) => Ok((table.clone(), columns)),
                None => Err(Error::server(format!("there is no table {table}")).at(server.place())),
            }
        })
        .collect()
}

/// MariaDB's JSON is a text with a check, by which functions know it for JSON.
async fn mark_json(
    server: &Server,
    conn: &mut Conn,
    wanted: &[String],
    found: &mut BTreeMap<(String, String), Vec<ScratchColumn>>,
) -> Result<()> {
    for part in wanted.chunks(200) {
        let conditions = part
            .join(" OR ")
            .replace("TABLE_SCHEMA", "CONSTRAINT_SCHEMA");
        let rows: Vec<(String, String, String)> = conn
            .query(format!(
                "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE \
                 FROM information_schema.CHECK_CONSTRAINTS WHERE {conditions}"
            ))
            .await
            .map_err(|cause| server.explain("could not read the tables' checks", &cause))?;
        for (schema, table, check) in rows {
            let Some(columns) = found.get_mut(&(schema, table)) else {
                continue;
            };
            for column in columns {
                let quoted = column.shape.quoted();
                if check == format!("json_valid({quoted})") {
                    column.definition.push_str(&format!(" CHECK ({check})"));
                }
            }
        }
    }
    Ok(())
}

/// `varchar(9) /*M!100301 COMPRESSED*/` without what is said in comments.
fn without_comments(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(start) = out.find("/*") {
        // Members of an ENUM can hold anything.
        if out[..start].contains('\'') {
            break;
        }
        let end = out[start..]
            .find("*/")
            .map_or(out.len(), |at| start + at + 2);
        out.replace_range(start..end, "");
    }
    out.trim_end().to_owned()
}

/// The definitions of a table's full-text indexes over these of its columns.
///
/// # Errors
/// The server cannot be asked, or the table is of an engine that ranks rows in a way of its own.
pub async fn full_text_indexes(
    server: &Server,
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[ScratchColumn],
) -> Result<Vec<String>> {
    let shown: Option<(String, String)> = conn
        .query_first(format!("SHOW CREATE TABLE {}", table.quoted()))
        .await
        .map_err(|cause| server.explain("could not read a table's indexes", &cause))?;
    let (_, shown) = shown.unwrap_or_default();
    let indexes: Vec<String> = shown
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| line.starts_with("FULLTEXT KEY "))
        // The parser of words stands in a comment that the servers read.
        .map(|line| line.replace("/*!50100 ", "").replace(" */", ""))
        .filter(|line| {
            let list = line
                .split_once('(')
                .and_then(|(_, rest)| rest.rsplit_once(')'));
            list.is_some_and(|(list, _)| {
                list.split(',').all(|name| {
                    columns
                        .iter()
                        .any(|column| column.shape.quoted() == name.trim())
                })
            })
        })
        .collect();
    if !indexes.is_empty() && !shown.contains("ENGINE=InnoDB") {
        return Err(
            Error::usage("full-text search is answered of InnoDB tables only")
                .at(format!("{} {table}", server.place())),
        );
    }
    Ok(indexes)
}

/// The settings of a session on this server that results depend on; with `words` those that
/// full-text search does as well.
///
/// # Errors
/// The server cannot be asked.
pub async fn settings(
    server: &Server,
    conn: &mut Conn,
    words: bool,
) -> Result<BTreeMap<String, String>> {
    let names: Vec<String> = SETTINGS
        .iter()
        .chain(FIXED)
        .chain(WORDS.iter().filter(|_| words))
        .map(|name| format!("'{name}'"))
        .collect();
    let rows: Vec<(String, String)> = conn
        .query(format!(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ({})",
            names.join(", ")
        ))
        .await
        .map_err(|cause| server.explain("could not read the session's settings", &cause))?;
    Ok(rows
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect())
}

/// The default charset and collation of a schema.
///
/// # Errors
/// The server cannot be asked, or the schema is not there.
pub async fn defaults(
    server: &Server,
    conn: &mut Conn,
    schema: &SchemaName,
) -> Result<(String, String)> {
    let found: Option<(String, String)> = conn
        .exec_first(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
            (schema.as_str(),),
        )
        .await
        .map_err(|cause| server.explain("could not read a schema's defaults", &cause))?;
    found.ok_or_else(|| Error::server(format!("there is no schema `{schema}`")).at(server.place()))
}

/// A reading session that is ready to open a snapshot, and gives text as the bytes it is stored as.
///
/// # Errors
/// The server cannot be reached, or refuses a setting.
pub async fn before_snapshot(server: &Server, reading: Reading) -> Result<Conn> {
    let mut conn = query::before_snapshot(server, reading).await?;
    conn.query_drop("SET SESSION character_set_results=NULL, net_write_timeout=600")
        .await
        .map_err(|cause| server.explain("could not prepare a snapshot", &cause))?;
    Ok(conn)
}

/// The values of a statement's one row as literals.
///
/// # Errors
/// The server refuses the statement.
pub async fn literals(server: &Server, conn: &mut Conn, sql: &str) -> Result<Vec<String>> {
    let (columns, rows) = ask(server, conn, sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    Ok(columns
        .iter()
        .zip(row)
        .map(|(column, cell)| match (cell, column.kind) {
            (None, _) => "NULL".to_owned(),
            (Some(bytes), Kind::Integer | Kind::Decimal | Kind::Float | Kind::Double) => {
                String::from_utf8_lossy(&bytes).into_owned()
            }
            (Some(bytes), _) => quote_text(&String::from_utf8_lossy(&bytes)),
        })
        .collect())
}

/// About how many rows a statement reads, as the server thinks.
///
/// # Errors
/// The server refuses the statement.
pub async fn estimate(server: &Server, conn: &mut Conn, sql: &str) -> Result<u64> {
    let explain = match server.flavour() {
        Flavour::Mysql => "EXPLAIN FORMAT=TRADITIONAL",
        Flavour::Mariadb => "EXPLAIN",
    };
    let row: Option<Row> = conn
        .query_first(format!("{explain} {sql}"))
        .await
        .map_err(|cause| {
            let error = server.explain("a shard refused what it was to be asked", &cause);
            query::with_statement(error, sql, &cause)
        })?;
    Ok(row
        .and_then(|row| row.get_opt::<Option<u64>, _>("rows"))
        .and_then(std::result::Result::ok)
        .flatten()
        .unwrap_or(0))
}

/// Rows on their way.
#[derive(Debug)]
pub struct Batch {
    rows: Vec<Vec<Value>>,
    /// Bytes of their values, about.
    pub bytes: u64,
}

impl Batch {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows.len() as u64
    }
}

/// Reads a statement's rows in batches, each given to `take`, until it says stop.
///
/// # Errors
/// The server refuses the statement, or the connection breaks.
pub async fn read<F>(
    server: &Server,
    conn: &mut Conn,
    sql: &str,
    bytes_max: u64,
    mut take: impl FnMut(Batch) -> F + Send,
) -> Result<()>
where
    F: Future<Output = bool> + Send,
{
    let failed = |cause| {
        let error = server.explain("a shard could not be read", &cause);
        query::with_statement(error, sql, &cause)
    };
    let mut answer = conn.exec_iter(sql, ()).await.map_err(failed)?;
    let mut batch = Batch {
        rows: Vec::new(),
        bytes: 0,
    };
    loop {
        let next: Option<Row> = answer.next().await.map_err(failed)?;
        let done = next.is_none();
        if let Some(row) = next {
            let values = row.unwrap();
            if values
                .iter()
                .any(|value| matches!(value, Value::Bytes(bytes) if bytes == NO_TEXT.as_bytes()))
            {
                return Err(Error::usage("a JSON value cannot be gathered")
                    .at(server.place())
                    .cause(
                        "it holds a decimal, a date or bytes, which its text does not tell from a \
                         double or a string",
                    )
                    .next("leave the column out of the statement"));
            }
            batch.bytes += values.iter().map(size).sum::<u64>();
            batch.rows.push(values);
        }
        let full = batch.rows.len() >= BATCH_ROWS_MAX || batch.bytes >= bytes_max;
        if (full || done) && !batch.rows.is_empty() {
            let whole = std::mem::replace(
                &mut batch,
                Batch {
                    rows: Vec::new(),
                    bytes: 0,
                },
            );
            if !take(whole).await {
                return Ok(());
            }
        }
        if done {
            return Ok(());
        }
    }
}

fn size(value: &Value) -> u64 {
    match value {
        Value::NULL => 1,
        Value::Bytes(bytes) => bytes.len() as u64 + 2,
        _ => 8,
    }
}

/// A table of a scratch schema.
#[derive(Debug, Clone)]
pub struct ScratchTable {
    copy: TableCopy,
    shape: Shape,
    columns: Vec<ScratchColumn>,
    has_enum: bool,
}

/// A schema of our own on a scratch server.
#[derive(Debug)]
pub struct Scratch {
    server: Server,
    name: SchemaName,
    /// Holds the lock by which the schema is known to be in use.
    keeper: Conn,
    load_data: bool,
    bytes_max: u64,
    /// Whether what is written goes to the server's log, and so to its replicas.
    logs: bool,
}

/// Keeps a session's changes out of the server's log.
const UNLOGGED: &str = "SET SESSION sql_log_bin=0";

impl Scratch {
    /// Makes a schema, after schemas that killed runs have left were dropped. `id` is not used by
    /// any other.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn make(server: &Server, id: &str, defaults: &(String, String)) -> Result<Self> {
        let failed = |cause| {
            server
                .explain("could not make a schema on the scratch server", &cause)
                .next(format!(
                    "the user needs all rights on `{}%`, or name another server with --scratch",
                    PREFIX.replace('_', "\\_")
                ))
        };
        let mut keeper = server.conn().await?;
        // Not everybody may say so; then replicas see the schema come and go.
        let logs = keeper.query_drop(UNLOGGED).await.is_err();
        sweep(server, &mut keeper).await?;
        let name = SchemaName::new(format!("{PREFIX}{id}"))
            .map_err(|cause| Error::usage("no name for a scratch schema").cause(cause))?;
        // The lock first: there is no moment in which the schema is there and nobody's.
        let taken: Option<Option<u8>> = keeper
            .exec_first("SELECT GET_LOCK(?, 0)", (name.as_str(),))
            .await
            .map_err(failed)?;
        if taken.flatten() != Some(1) {
            return Err(Error::server("another run has this scratch schema")
                .at(server.place())
                .cause(&name));
        }
        let (charset, collation) = defaults;
        keeper
            .query_drop(format!(
                "CREATE DATABASE {} CHARACTER SET {charset} COLLATE {collation}",
                name.quoted()
            ))
            .await
            .map_err(failed)?;
        let limits: Option<(u64, u8)> = keeper
            .query_first("SELECT @@max_allowed_packet, @@GLOBAL.local_infile")
            .await
            .map_err(failed)?;
        let (packet, local_infile) = limits.unwrap_or((1 << 20, 0));
        Ok(Self {
            server: server.clone(),
            name,
            keeper,
            load_data: server.flavour() == Flavour::Mysql && local_infile == 1,
            // The driver would split a batch that passes one packet, and tells the parameters'
            // types with the first part only.
            bytes_max: packet / 3,
            logs,
        })
    }

    /// Its name.
    pub fn name(&self) -> &SchemaName {
        &self.name
    }

    /// The server it is on.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Bytes of a batch at the most.
    pub fn batch_bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Makes a table with these columns. `whole` says that they are all that the shards' has;
    /// `indexes` are definitions of indexes.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn table(
        &mut self,
        name: &str,
        columns: Vec<ScratchColumn>,
        whole: bool,
        indexes: &[String],
    ) -> Result<ScratchTable> {
        let mut definitions: Vec<String> = columns
            .iter()
            .map(|column| {
                // `*` leaves it out. A table cannot have such columns only, and without `*` nothing
                // tells them.
                let invisible = if whole && column.invisible {
                    " INVISIBLE"
                } else {
                    ""
                };
                format!("{} {}{invisible}", column.shape.quoted(), column.definition)
            })
            .collect();
        definitions.extend_from_slice(indexes);
        let table = TableName::new(name)
            .map_err(|cause| Error::usage("no name for a table").cause(cause))?;
        let sql = format!(
            "CREATE TABLE {}.{} ({}) ENGINE=InnoDB",
            self.name.quoted(),
            table.quoted(),
            definitions.join(", ")
        );
        self.keeper.query_drop(&sql).await.map_err(|cause| {
            self.server
                .explain("could not make a table on the scratch server", &cause)
                .now(format!("the statement was: {sql}"))
        })?;
        Ok(ScratchTable {
            copy: TableCopy {
                job: String::new(),
                epoch: 0,
                schema: self.name.clone(),
                hidden: table,
            },
            has_enum: columns.iter().any(|column| column.shape.kind == "enum"),
            shape: Shape {
                columns: columns.iter().map(|column| column.shape.clone()).collect(),
                key: Vec::new(),
            },
            columns,
        })
    }

    /// A connection that writes rows.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn writer(&self) -> Result<Writer> {
        let mut conn = self.server.conn().await?;
        // A server can be set up to wait for a COMMIT, and the rows would be seen by nobody.
        let settings = [
            "SET NAMES binary, foreign_key_checks=0, autocommit=1",
            UNLOGGED,
        ];
        let count = if self.logs { 1 } else { 2 };
        for sql in settings.iter().take(count) {
            conn.query_drop(*sql)
                .await
                .map_err(|cause| self.server.explain("could not prepare to write", &cause))?;
        }
        Ok(Writer {
            server: self.server.clone(),
            conn,
            load_data: self.load_data,
            strict: true,
        })
    }

    /// Indexes the columns of a filled table that are compared with others, and lets the server
    /// count its rows: without, a join of large tables would read one for each row of the other.
    ///
    /// # Errors
    /// None: a statement is right without them, only slower.
    pub async fn index(&mut self, table: &ScratchTable, names: impl Fn(&str) -> bool) {
        let parts: Vec<String> = table
            .columns
            .iter()
            .filter(|column| names(column.name()))
            .filter_map(ScratchColumn::index_part)
            .map(|part| format!("ADD INDEX ({part})"))
            .collect();
        let quoted = format!("{}.{}", self.name.quoted(), table.copy.hidden.quoted());
        let mut statements = Vec::new();
        if !parts.is_empty() {
            statements.push(format!("ALTER TABLE {quoted} {}", parts.join(", ")));
        }
        statements.push(format!("ANALYZE TABLE {quoted}"));
        for sql in statements {
            if let Err(cause) = self.keeper.query_drop(&sql).await {
                tracing::debug!("{sql}: {cause}");
            }
        }
    }

    /// A session for the statement, with the settings of a session on the shards. Its transaction
    /// is begun by [`Scratch::begin`].
    ///
    /// # Errors
    /// The server cannot be reached, refuses a setting, or has one that cannot be changed.
    pub async fn session(
        &self,
        reading: Reading,
        settings: &BTreeMap<String, String>,
    ) -> Result<Conn> {
        let mut conn = session(&self.server, reading).await?;
        let words = WORDS.iter().any(|name| settings.contains_key(*name));
        let own = self::settings(&self.server, &mut conn, words).await?;
        let differs = |name: &str| own.get(name) != settings.get(name);
        let refused = |name: &str| {
            let value = |of: &BTreeMap<String, String>| {
                of.get(name)
                    .cloned()
                    .unwrap_or_else(|| "nothing".to_owned())
            };
            Error::usage("the scratch server is not set up like the shards")
                .at(self.server.place())
                .cause(format!(
                    "{name} is {} there and {} on the shards",
                    value(&own),
                    value(settings)
                ))
                .next("set it alike, or name another server with --scratch")
        };
        let fixed = FIXED.iter().chain(WORDS.iter().filter(|_| words));
        if let Some(name) = fixed.into_iter().find(|name| differs(name)) {
            return Err(refused(name));
        }
        let changes: Vec<String> = SETTINGS
            .iter()
            .filter(|name| differs(name))
            .filter_map(|name| {
                let value = settings.get(*name)?;
                let number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                Some(match number {
                    true => format!("{name}={value}"),
                    false => format!("{name}={}", quote_text(value)),
                })
            })
            .collect();
        // Outside of a transaction, which begins when the rows are there.
        let mut statements = vec!["COMMIT".to_owned(), format!("USE {}", self.name.quoted())];
        if !changes.is_empty() {
            statements.push(format!("SET SESSION {}", changes.join(", ")));
        }
        for sql in statements {
            conn.query_drop(&sql).await.map_err(|cause| {
                self.server
                    .explain("could not set up a session like the shards'", &cause)
                    .now(format!("the statement was: {sql}"))
            })?;
        }
        Ok(conn)
    }

    /// Gives a variable of the session this literal.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn set(&self, conn: &mut Conn, variable: &str, literal: &str) -> Result<()> {
        conn.query_drop(format!("SET {variable} = {literal}"))
            .await
            .map_err(|cause| self.server.explain("could not set a variable", &cause))
    }

    /// Lets the server look whether it knows all that the statement names, before any row is
    /// fetched for it.
    ///
    /// # Errors
    /// It refuses the statement.
    pub async fn check(&self, conn: &mut Conn, sql: &str) -> Result<()> {
        let prepared = conn
            .prep(sql)
            .await
            .map_err(|cause| self.server.explain("the statement was refused", &cause))?;
        conn.close(prepared)
            .await
            .map_err(|cause| self.server.explain("the statement was refused", &cause))
    }

    /// Begins the transaction in which the statement runs: it sees every row that was written.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn begin(&self, conn: &mut Conn) -> Result<()> {
        conn.query_drop("START TRANSACTION READ ONLY")
            .await
            .map_err(|cause| {
                self.server
                    .explain("could not prepare a reading session", &cause)
            })
    }

    /// Drops the schema.
    ///
    /// # Errors
    /// The server refuses or is gone; the next run drops it.
    pub async fn remove(self) -> Result<()> {
        // A run that was interrupted may have left the keeper within a statement, whose answer it
        // would take for that of the next one.
        let mut conn = self.server.conn().await?;
        if !self.logs {
            let _ = conn.query_drop(UNLOGGED).await;
        }
        conn.query_drop(format!("DROP DATABASE IF EXISTS {}", self.name.quoted()))
            .await
            .map_err(|cause| {
                self.server
                    .explain("could not drop the scratch schema", &cause)
                    .now("the next gathered statement drops it")
            })?;
        let _ = conn.disconnect().await;
        // With the connection the lock goes, which the pool would keep.
        let _ = self.keeper.disconnect().await;
        Ok(())
    }
}

/// Drops the schemas of runs that are gone.
async fn sweep(server: &Server, conn: &mut Conn) -> Result<()> {
    let failed = |cause| server.explain("could not look for scratch schemas", &cause);
    let left: Vec<String> = conn
        .query(format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA \
             WHERE SCHEMA_NAME LIKE '{}%' AND IS_FREE_LOCK(SCHEMA_NAME) = 1",
            PREFIX.replace('_', "\\_")
        ))
        .await
        .map_err(failed)?;
    for name in left {
        conn.query_drop(format!("DROP DATABASE IF EXISTS {}", quote(&name)))
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Writes rows into the tables of a scratch schema.
#[derive(Debug)]
pub struct Writer {
    server: Server,
    conn: Conn,
    load_data: bool,
    strict: bool,
}

impl Writer {
    /// The connection's number on its server.
    pub fn id(&self) -> u32 {
        self.conn.id()
    }

    /// Writes rows as they were read.
    ///
    /// # Errors
    /// The server did not take each of them as it was.
    pub async fn write(&mut self, table: &ScratchTable, batch: Batch) -> Result<()> {
        let place = format!("{}", table.copy.hidden);
        let failed = |server: &Server, cause: &mysql_async::Error| {
            server
                .explain("could not write rows on the scratch server", cause)
                .now(format!("they were to go into `{place}`"))
        };
        // An ENUM can hold the error value, index 0, which no strict session takes.
        if table.has_enum && self.strict {
            self.conn
                .query_drop(
                    "SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,\
                     NO_ENGINE_SUBSTITUTION'",
                )
                .await
                .map_err(|cause| failed(&self.server, &cause))?;
            self.strict = false;
        }
        let (copy, shape, rows) = (&table.copy, &table.shape, &batch.rows);
        let sent = match self.server.flavour() {
            Flavour::Mariadb => send_bulk(&mut self.conn, copy, shape, false, rows).await,
            Flavour::Mysql if self.load_data && !table.has_enum => {
                send_load_data(&mut self.conn, copy, shape, rows).await
            }
            Flavour::Mysql => send_inserts(&mut self.conn, copy, shape, false, rows).await,
        };
        let taken = sent.map_err(|cause| failed(&self.server, &cause))?;
        if taken == Some(batch.rows()) {
            return Ok(());
        }
        Err(
            Error::server("rows were not taken as they were read on the scratch server")
                .at(self.server.place())
                .cause(format!("into `{place}`")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::without_comments;

    #[test]
    fn a_type_is_kept_without_its_comments() {
        assert_eq!(
            without_comments("varchar(9) /*M!100301 COMPRESSED*/"),
            "varchar(9)"
        );
        assert_eq!(without_comments("enum('/*x*/')"), "enum('/*x*/')");
    }
}
