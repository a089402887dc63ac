//! Renaming, creating and dropping the tables of a moving schema.
//!
//! All of it goes through one connection to each instance, which holds a lock of the server
//! ([`Guard`]). A process that lost the lease but not its connections could otherwise still rename
//! something after another process took over: the newcomer takes the lock first, and with it the
//! old connection is dead and its last statement over.

use std::collections::BTreeSet;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::marker;
use super::server::{Server, server_code};
use crate::error::{Error, Result};
use crate::names::{SchemaName, TableName, quote};

/// Seconds that one attempt to rename waits for open transactions. While it waits, new statements
/// on the table queue behind it, so it is short; the pauses between let them pass.
const FENCE_WAIT_S: u32 = 2;
/// Attempts to rename before giving up.
const FENCE_ATTEMPTS: u32 = 8;
/// Seconds that the connection may have nothing to do: what the servers allow at most.
const IDLE_MAX_S: u32 = 31_536_000;
/// Between two attempts.
const FENCE_PAUSE: Duration = Duration::from_millis(700);

/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`: someone uses the table, try again.
const BUSY: [u16; 2] = [1205, 1213];

/// A table that changes its name within its schema.
#[derive(Debug, Clone, Copy)]
pub struct Rename<'a> {
    /// The schema.
    pub schema: &'a SchemaName,
    /// The name before.
    pub from: &'a TableName,
    /// The name after.
    pub to: &'a TableName,
}

/// The one connection through which a job changes what exists on an instance.
#[derive(Debug)]
pub struct Guard {
    server: Server,
    conn: Conn,
}

impl Guard {
    /// Takes the cluster's lock on an instance. Whoever holds it has lost the lease, which the
    /// caller holds, so its connection is ended.
    ///
    /// # Errors
    /// The server cannot be asked, or the lock's holder cannot be ended.
    pub async fn take(server: &Server, cluster: &str) -> Result<Self> {
        let failed = |cause| server.explain("could not take the job's lock", &cause);
        // The servers limit such names to 64 characters.
        let name: String = format!("shardctl:{cluster}").chars().take(64).collect();
        let mut conn = server.conn().await?;
        let mut taken: Option<i64> = conn
            .exec_first("SELECT GET_LOCK(?, 3)", (&name,))
            .await
            .map_err(failed)?;
        if taken != Some(1) {
            let holder: Option<Option<u64>> = conn
                .exec_first("SELECT IS_USED_LOCK(?)", (&name,))
                .await
                .map_err(failed)?;
            if let Some(Some(holder)) = holder {
                // It may have gone in between; what counts is whether we get the lock now.
                let _ = conn.query_drop(format!("KILL {holder}")).await;
            }
            taken = conn
                .exec_first("SELECT GET_LOCK(?, 15)", (&name,))
                .await
                .map_err(failed)?;
            if taken != Some(1) {
                return Err(Error::server("could not take the job's lock")
                    .at(server.place())
                    .cause(format!(
                        "connection {} of a run that lost its lease holds it and does not end",
                        holder.flatten().unwrap_or_default()
                    ))
                    .next("end that connection, then resume the job"));
            }
        }
        // It may have nothing to do for as long as a copy takes.
        conn.query_drop(format!(
            "SET SESSION lock_wait_timeout = {FENCE_WAIT_S}, wait_timeout = {IDLE_MAX_S}"
        ))
        .await
        .map_err(failed)?;
        Ok(Self {
            server: server.clone(),
            conn,
        })
    }

    /// Whether its connection, and with it the lock, is still there.
    pub async fn is_alive(&mut self) -> bool {
        self.conn.ping().await.is_ok()
    }

    /// The instance.
    pub fn server(&self) -> &Server {
        &self.server
    }

    async fn run(&mut self, what: &str, sql: &str) -> Result<()> {
        tracing::debug!(instance = %self.server.name(), sql, "changes");
        self.conn
            .query_drop(sql)
            .await
            .map_err(|cause| self.server.explain(what, &cause))
    }

    /// The base tables and views that these schemas have, each with its schema; none of a schema
    /// that is not there.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn names<'a>(
        &mut self,
        schemas: impl IntoIterator<Item = &'a SchemaName>,
    ) -> Result<BTreeSet<(String, String)>> {
        let schemas: Vec<&str> = schemas.into_iter().map(SchemaName::as_str).collect();
        if schemas.is_empty() {
            return Ok(BTreeSet::new());
        }
        let marks = vec!["?"; schemas.len()].join(", ");
        let names: Vec<(String, String)> = self
            .conn
            .exec(
                format!(
                    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA IN ({marks})"
                ),
                schemas,
            )
            .await
            .map_err(|cause| self.server.explain("could not list the tables", &cause))?;
        Ok(names.into_iter().collect())
    }

    async fn has_table(&mut self, schema: &SchemaName, table: &TableName) -> Result<bool> {
        let names = self.names([schema]).await?;
        Ok(names.contains(&(schema.to_string(), table.to_string())))
    }

    /// Renames tables within their schemas, all at one stroke; those that carry the new name
    /// already stay. Waits for open transactions on them, within limits; `waiting` hears of each
    /// pause. `what` says in a word what it is for.
    ///
    /// # Errors
    /// Someone holds the tables for too long, a table is there under both names or neither, or
    /// the server refuses. Nothing was renamed then.
    pub async fn rename(
        &mut self,
        what: &str,
        renames: &[Rename<'_>],
        waiting: &(dyn Fn(&str) + Sync),
    ) -> Result<()> {
        let schemas: BTreeSet<&SchemaName> = renames.iter().map(|rename| rename.schema).collect();
        let listed: Vec<String> = schemas.iter().map(|schema| format!("`{schema}`")).collect();
        let listed = listed.join(", ");
        let names = self.names(schemas).await?;
        let has = |schema: &SchemaName, table: &TableName| {
            names.contains(&(schema.to_string(), table.to_string()))
        };
        let mut pairs = Vec::new();
        for Rename { schema, from, to } in renames {
            match (has(schema, from), has(schema, to)) {
                (true, false) => pairs.push(format!(
                    "{0}.{1} TO {0}.{2}",
                    schema.quoted(),
                    from.quoted(),
                    to.quoted()
                )),
                (false, true) => {}
                (there, _) => {
                    let what = if there {
                        format!("table `{schema}`.`{from}` and its other name `{to}` both exist")
                    } else {
                        format!("table `{schema}`.`{from}` is gone, under both of its names")
                    };
                    return Err(Error::unknown(what).at(self.server.place()).next(format!(
                        "see who made or dropped it; its other name is `{to}`"
                    )));
                }
            }
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let sql = format!("RENAME TABLE {}", pairs.join(", "));
        tracing::debug!(instance = %self.server.name(), sql, "renames");
        for attempt in 1.. {
            let Err(cause) = self.conn.query_drop(&sql).await else {
                break;
            };
            let busy = server_code(&cause).is_some_and(|code| BUSY.contains(&code));
            if !busy {
                return Err(self
                    .server
                    .explain(&format!("could not {what} {listed}"), &cause));
            }
            let who = self.open_transactions().await;
            if attempt == FENCE_ATTEMPTS {
                return Err(Error::stopped(format!("could not {what} {listed}"))
                    .at(self.server.place())
                    .cause(format!(
                        "its tables are in use after {FENCE_ATTEMPTS} attempts of {FENCE_WAIT_S} s each; {who}"
                    )));
            }
            waiting(&format!("waiting for the tables of {listed}: {who}"));
            tokio::time::sleep(FENCE_PAUSE).await;
        }
        Ok(())
    }

    /// Who has transactions open, in words: they are the ones a rename waits for.
    async fn open_transactions(&mut self) -> String {
        let rows: std::result::Result<Vec<(u64, String, String, i64)>, _> = self
            .conn
            .query(
                "SELECT p.ID, p.USER, p.HOST, TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) \
                 FROM information_schema.INNODB_TRX t \
                 JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
                 WHERE p.ID <> CONNECTION_ID() ORDER BY t.trx_started LIMIT 5",
            )
            .await;
        match rows {
            Ok(rows) if !rows.is_empty() => {
                let list: Vec<String> = rows
                    .into_iter()
                    .map(|(id, user, host, seconds)| {
                        format!("connection {id} ({user}@{host}, {seconds} s)")
                    })
                    .collect();
                format!("open transactions: {}", list.join(", "))
            }
            // Without PROCESS the list is not shown; the rename's own error is enough.
            _ => "no open transaction can be seen (the privilege PROCESS shows them)".to_owned(),
        }
    }

    /// Whether the schema exists.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn has_schema(&mut self, schema: &SchemaName) -> Result<bool> {
        let found: Option<u8> = self
            .conn
            .exec_first(
                "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
                (schema.as_str(),),
            )
            .await
            .map_err(|cause| self.server.explain("could not look for the schema", &cause))?;
        Ok(found.is_some())
    }

    /// Runs a `CREATE SCHEMA IF NOT EXISTS`.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_schema(&mut self, sql: &str) -> Result<()> {
        self.run("could not create the target schema", sql).await
    }

    /// Creates a table from what `SHOW CREATE TABLE` printed for a table of the same name, unless
    /// it is there.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_table(&mut self, schema: &SchemaName, show_create: &str) -> Result<()> {
        let Some(rest) = show_create.strip_prefix("CREATE TABLE ") else {
            return Err(Error::server("the definition of a table is not one")
                .at(self.server.place())
                .cause(show_create.chars().take(60).collect::<String>()));
        };
        self.run(
            "could not choose the target schema",
            &format!("USE {}", schema.quoted()),
        )
        .await?;
        self.run(
            &format!("could not create a table in `{schema}`"),
            &format!("CREATE TABLE IF NOT EXISTS {rest}"),
        )
        .await
    }

    /// Creates a table as [`Guard::create_table`] does, without its secondary indexes: a copy is
    /// faster without, and rows of different moments would meet in a unique one. A table that
    /// counts its ids by a secondary index keeps them all.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_bare_table(
        &mut self,
        schema: &SchemaName,
        table: &TableName,
        show_create: &str,
    ) -> Result<()> {
        if self.has_table(schema, table).await? {
            return Ok(());
        }
        let mut lines: Vec<&str> = show_create.lines().collect();
        if !counts_by_secondary_index(show_create) {
            lines.retain(|line| secondary_index(line).is_none());
        }
        let mut sql = String::new();
        for (index, line) in lines.iter().enumerate() {
            let closes = lines
                .get(index + 1)
                .is_some_and(|next| next.starts_with(')'));
            sql.push_str(if closes {
                line.trim_end_matches(',')
            } else {
                line
            });
            sql.push('\n');
        }
        self.create_table(schema, sql.trim_end()).await
    }

    /// Gives a table the secondary indexes of the definition that it lacks. Whether it lacked any.
    ///
    /// # Errors
    /// The server refuses; rows that clash in a unique index are named by it.
    pub async fn build_indexes(
        &mut self,
        schema: &SchemaName,
        table: &TableName,
        wanted: &str,
        there: &str,
    ) -> Result<bool> {
        let have: BTreeSet<&str> = there
            .lines()
            .filter_map(secondary_index)
            .map(|(name, _)| name)
            .collect();
        let lacking: Vec<&str> = wanted
            .lines()
            .filter_map(secondary_index)
            .filter(|(name, _)| !have.contains(name))
            .map(|(_, line)| line)
            .collect();
        // InnoDB builds one FULLTEXT index at a time (MySQL error 1795).
        let (fulltext, others): (Vec<&str>, Vec<&str>) = lacking
            .iter()
            .partition(|line| line.starts_with("FULLTEXT"));
        let steps = (!others.is_empty())
            .then_some(others)
            .into_iter()
            .chain(fulltext.into_iter().map(|line| vec![line]));
        for step in steps {
            let adds: Vec<String> = step.iter().map(|line| format!("ADD {line}")).collect();
            let what = format!("could not build the indexes of `{schema}`.`{table}`");
            let sql = format!(
                "ALTER TABLE {}.{} {}",
                schema.quoted(),
                table.quoted(),
                adds.join(", ")
            );
            self.run(&what, &sql).await?;
        }
        Ok(!lacking.is_empty())
    }

    /// Lets a table count its ids on from here.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn count_from(
        &mut self,
        schema: &SchemaName,
        table: &TableName,
        next: u64,
    ) -> Result<()> {
        self.run(
            &format!("could not set the counter of `{schema}`.`{table}`"),
            &format!(
                "ALTER TABLE {}.{} AUTO_INCREMENT = {next}",
                schema.quoted(),
                table.quoted()
            ),
        )
        .await
    }

    /// Drops these tables, where they are there.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn drop_tables(&mut self, schema: &SchemaName, tables: &[TableName]) -> Result<()> {
        let names = self.names([schema]).await?;
        let there: Vec<String> = tables
            .iter()
            .filter(|table| names.contains(&(schema.to_string(), table.to_string())))
            .map(|table| format!("{}.{}", schema.quoted(), table.quoted()))
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        self.run(
            &format!("could not drop the kept tables of `{schema}`"),
            &format!("DROP TABLE {}", there.join(", ")),
        )
        .await
    }

    /// Drops the schema if nothing at all is in it. Whether it is gone.
    ///
    /// # Errors
    /// The server cannot be asked, or refuses.
    pub async fn drop_schema_if_empty(&mut self, schema: &SchemaName) -> Result<bool> {
        if !self.has_schema(schema).await? {
            return Ok(true);
        }
        let inside: Option<i64> = self
            .conn
            .exec_first(
                "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?) \
                 + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?) \
                 + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?)",
                (schema.as_str(), schema.as_str(), schema.as_str()),
            )
            .await
            .map_err(|cause| {
                self.server
                    .explain("could not look into the schema", &cause)
            })?;
        if inside != Some(0) {
            return Ok(false);
        }
        self.run(
            &format!("could not drop the empty schema `{schema}`"),
            &format!("DROP SCHEMA {}", quote(schema.as_str())),
        )
        .await?;
        Ok(true)
    }

    /// Forgets the progress of a job's copies and streams.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn forget_progress(&mut self, job: &str) -> Result<()> {
        let mut tables = vec!["copy_progress", "stream_progress"];
        let own: SchemaName = super::control::SCHEMA
            .parse()
            .map_err(|cause| Error::unknown("the tool's own schema has no name").cause(cause))?;
        let there = self.names([&own]).await?;
        let markers = [marker::MARKER, marker::SEEN];
        tables.extend(
            markers
                .into_iter()
                .filter(|table| there.contains(&(own.to_string(), (*table).to_owned()))),
        );
        for table in tables {
            self.forget(table, "job = ?", job).await?;
        }
        Ok(())
    }

    /// Forgets how far the logs of the targets were applied here, before it is begun.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn forget_way_back(&mut self, job: &str) -> Result<()> {
        self.forget("stream_progress", "job = ? AND stream LIKE 'back %'", job)
            .await
    }

    async fn forget(&mut self, table: &str, condition: &str, job: &str) -> Result<()> {
        let sql = format!(
            "DELETE FROM {}.{table} WHERE {condition}",
            super::control::SCHEMA
        );
        self.conn.exec_drop(sql, (job,)).await.map_err(|cause| {
            self.server
                .explain("could not clear the progress of a job", &cause)
        })
    }

    /// Gives the lock back.
    pub async fn release(mut self) {
        // A connection that is gone has given it back already.
        let _ = self.conn.query_drop("DO RELEASE_ALL_LOCKS()").await;
    }
}

/// The name and the definition of a secondary index, where a line of `SHOW CREATE TABLE` is one.
/// Both servers print one to a line, and line breaks in comments as `\n`.
fn secondary_index(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().trim_end_matches(',');
    let rest = ["KEY `", "UNIQUE KEY `", "FULLTEXT KEY `", "SPATIAL KEY `"]
        .iter()
        .find_map(|start| line.strip_prefix(start))?;
    // A backtick in a name is doubled.
    let mut end = 0;
    let bytes = rest.as_bytes();
    while end < bytes.len() {
        if bytes[end] == b'`' {
            if bytes.get(end + 1) != Some(&b'`') {
                return Some((&rest[..end], line));
            }
            end += 1;
        }
        end += 1;
    }
    None
}

/// Whether the table's AUTO_INCREMENT column is not the first one of its primary key, so that it
/// cannot be without its secondary index.
pub fn counts_by_secondary_index(show_create: &str) -> bool {
    let counter = show_create
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with('`') && line.contains(" AUTO_INCREMENT"))
        .and_then(|line| line.get(1..)?.split('`').next());
    let Some(counter) = counter else {
        return false;
    };
    !show_create.lines().any(|line| {
        line.trim()
            .starts_with(&format!("PRIMARY KEY (`{counter}`"))
    })
}

/// Whether the definition has a unique index besides the primary key.
pub fn has_unique_index(show_create: &str) -> bool {
    show_create
        .lines()
        .any(|line| line.trim().starts_with("UNIQUE KEY `"))
}

/// The counter of a definition; `None` where it prints none.
pub fn counter(show_create: &str) -> Option<u64> {
    let options = show_create.lines().find(|line| line.starts_with(')'))?;
    let (_, rest) = options.split_once(" AUTO_INCREMENT=")?;
    rest.split(' ').next()?.parse().ok()
}

/// The definition without its counter.
pub fn without_counter(show_create: &str) -> String {
    match counter(show_create) {
        Some(next) => show_create.replacen(&format!(" AUTO_INCREMENT={next}"), "", 1),
        None => show_create.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `t` (
  `id` bigint NOT NULL AUTO_INCREMENT COMMENT 'KEY `x`, really',
  `a``b` varchar(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u``1` (`a``b`),
  KEY `k` (`a``b`(3)) USING BTREE COMMENT 'one, two'
) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4";

    #[test]
    fn indexes_are_found_by_their_lines() {
        let found: Vec<_> = TABLE.lines().filter_map(secondary_index).collect();
        assert_eq!(
            found,
            [
                ("u``1", "UNIQUE KEY `u``1` (`a``b`)"),
                ("k", "KEY `k` (`a``b`(3)) USING BTREE COMMENT 'one, two'"),
            ]
        );
        assert!(has_unique_index(TABLE));
    }

    #[test]
    fn the_counter_and_its_index_are_known() {
        assert_eq!(counter(TABLE), Some(17));
        assert!(without_counter(TABLE).ends_with(") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"));
        assert!(!counts_by_secondary_index(TABLE));
        let other = TABLE.replace("PRIMARY KEY (`id`)", "PRIMARY KEY (`a``b`,`id`)");
        assert!(counts_by_secondary_index(&other));
    }
}
