//! The tables of `_shardctl`: jobs, the shard map and the lease.
//!
//! The control instance has all of them; every other instance has the shard map, for the routers
//! to read, and the progress of copies into it. The texts in them are written and read by
//! `journal`.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts};

use super::server::{Server, server_code};
use super::state;
use crate::error::{Error, Result};

/// The schema of the tool's own tables, on every instance.
pub const SCHEMA: &str = "_shardctl";

/// `ER_NO_SUCH_TABLE` and `ER_BAD_DB_ERROR`: the tables are not there yet.
const NOT_THERE: [u16; 2] = [1146, 1049];

/// A version of the shard map as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRow {
    /// Counted from 1.
    pub version: u64,
    /// The topology's text.
    pub topology: String,
    /// The job that committed it; `None` for one that was adopted.
    pub job: Option<String>,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// The job's id.
    pub id: String,
    /// Its kind, for people who look into the table.
    pub kind: String,
    /// Its phase, likewise.
    pub phase: String,
    /// Whether something is left to do.
    pub open: bool,
    /// The record.
    pub record: String,
    /// When it was saved last, in UTC. Ignored when saving.
    pub updated: String,
}

/// Who holds the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The holder as it named itself.
    pub holder: String,
    /// Since when, in UTC.
    pub since: String,
    /// Seconds until it expires unless it is renewed.
    pub expires_s: i64,
}

/// Creates the tables that are missing. On the control instance those of the jobs too.
///
/// # Errors
/// The server refuses.
pub async fn create_tables(server: &Server, conn: &mut Conn, control: bool) -> Result<()> {
    let mut statements = vec![
        format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.shard_map (\
             version BIGINT UNSIGNED NOT NULL PRIMARY KEY, \
             topology LONGTEXT NOT NULL, \
             job VARCHAR(32) NULL, \
             committed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.copy_progress (\
             hidden VARCHAR(64) NOT NULL PRIMARY KEY, \
             job VARCHAR(32) NOT NULL, \
             epoch BIGINT UNSIGNED NOT NULL, \
             copied BIGINT UNSIGNED NOT NULL, \
             last_key LONGTEXT NULL, \
             done TINYINT NOT NULL, \
             saves BIGINT UNSIGNED NOT NULL DEFAULT 0) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.{}",
            super::live::PROGRESS_TABLE
        ),
    ];
    if control {
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.job (\
             id VARCHAR(32) NOT NULL PRIMARY KEY, \
             kind VARCHAR(64) NOT NULL, \
             phase VARCHAR(32) NOT NULL, \
             is_open TINYINT NOT NULL, \
             record LONGTEXT NOT NULL, \
             created TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), \
             updated TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ));
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.lease (\
             one TINYINT NOT NULL PRIMARY KEY, \
             epoch BIGINT UNSIGNED NOT NULL, \
             holder VARCHAR(512) NOT NULL, \
             since TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), \
             expires TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ));
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.asked_for (\
             job VARCHAR(32) NOT NULL PRIMARY KEY, \
             since TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ));
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.fill (\
             one TINYINT NOT NULL PRIMARY KEY, \
             what VARCHAR(512) NOT NULL, \
             since TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) \
             ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        ));
        statements.push(format!(
            "INSERT IGNORE INTO {SCHEMA}.lease (one, epoch, holder) VALUES (1, 0, '')"
        ));
    }
    for statement in statements {
        let Err(cause) = conn.query_drop(statement).await else {
            continue;
        };
        let error = server.explain("could not create the tool's own tables", &cause);
        if !server_code(&cause).is_some_and(|code| state::REFUSED.contains(&code)) {
            return Err(error);
        }
        let account = state::account(conn).await;
        return Err(error.next(format!(
            "on {}: GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{SCHEMA}`.* TO {}",
            server.name(),
            account.as_deref().unwrap_or("the user")
        )));
    }
    Ok(())
}

/// The newest version of the shard map on this instance; `None` where there is none yet.
///
/// # Errors
/// The server cannot be asked.
pub async fn shard_map(server: &Server, conn: &mut Conn) -> Result<Option<MapRow>> {
    let row: std::result::Result<Option<(u64, String, Option<String>)>, _> = conn
        .query_first(format!(
            "SELECT version, topology, job FROM {SCHEMA}.shard_map ORDER BY version DESC LIMIT 1"
        ))
        .await;
    match row {
        Ok(row) => Ok(row.map(|(version, topology, job)| MapRow {
            version,
            topology,
            job,
        })),
        Err(cause) if is_not_there(&cause) => Ok(None),
        Err(cause) => Err(server.explain("could not read the shard map", &cause)),
    }
}

fn is_not_there(cause: &mysql_async::Error) -> bool {
    server_code(cause).is_some_and(|code| NOT_THERE.contains(&code))
}

/// Writes a version of the shard map; one that is there stays.
///
/// # Errors
/// The server refuses, or has another text under this version.
pub async fn write_map(server: &Server, conn: &mut Conn, map: &MapRow) -> Result<()> {
    let failed = |cause| server.explain("could not write the shard map", &cause);
    conn.exec_drop(
        format!("INSERT IGNORE INTO {SCHEMA}.shard_map (version, topology, job) VALUES (?, ?, ?)"),
        (map.version, &map.topology, &map.job),
    )
    .await
    .map_err(failed)?;
    let there: Option<String> = conn
        .exec_first(
            format!("SELECT topology FROM {SCHEMA}.shard_map WHERE version = ?"),
            (map.version,),
        )
        .await
        .map_err(failed)?;
    if there.as_ref() == Some(&map.topology) {
        return Ok(());
    }
    Err(Error::unknown(format!(
        "version {} of the shard map is another one here",
        map.version
    ))
    .at(server.place())
    .next("compare `_shardctl.shard_map` of this instance with the control instance's"))
}

/// Takes the lease if it is free, expired, or `may_take` says of its holder that it is gone.
/// The new epoch, or who holds it.
///
/// # Errors
/// The server cannot be asked.
pub async fn take_lease(
    server: &Server,
    conn: &mut Conn,
    holder: &str,
    ttl_s: u32,
    may_take: impl FnOnce(&LeaseRow) -> bool,
) -> Result<std::result::Result<u64, LeaseRow>> {
    let failed = |cause| server.explain("could not take the lease", &cause);
    let mut tx = conn
        .start_transaction(TxOpts::default())
        .await
        .map_err(failed)?;
    // A row lock: two that come at once are one after the other here, and a commit of an earlier
    // holder that is still under way ends before we read.
    let row: Option<(u64, String, String, i64)> = tx
        .query_first(format!(
            "SELECT epoch, holder, CAST(since AS CHAR), \
             TIMESTAMPDIFF(SECOND, CURRENT_TIMESTAMP(6), expires) \
             FROM {SCHEMA}.lease WHERE one = 1 FOR UPDATE"
        ))
        .await
        .map_err(failed)?;
    let Some((epoch, held_by, since, expires_s)) = row else {
        return Err(Error::unknown("the lease's row is gone")
            .at(server.place())
            .next("see who changed `_shardctl.lease`"));
    };
    let lease = LeaseRow {
        holder: held_by,
        since,
        expires_s,
    };
    if !lease.holder.is_empty() && lease.expires_s > 0 && !may_take(&lease) {
        tx.rollback().await.map_err(failed)?;
        return Ok(Err(lease));
    }
    let epoch = epoch + 1;
    tx.exec_drop(
        format!(
            "UPDATE {SCHEMA}.lease SET epoch = ?, holder = ?, since = CURRENT_TIMESTAMP(6), \
             expires = CURRENT_TIMESTAMP(6) + INTERVAL ? SECOND WHERE one = 1"
        ),
        (epoch, holder, ttl_s),
    )
    .await
    .map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(Ok(epoch))
}

/// Prolongs the lease. `false`: another holds it by now.
///
/// # Errors
/// The server cannot be asked.
pub async fn renew_lease(server: &Server, conn: &mut Conn, epoch: u64, ttl_s: u32) -> Result<bool> {
    conn.exec_drop(
        format!(
            "UPDATE {SCHEMA}.lease SET expires = CURRENT_TIMESTAMP(6) + INTERVAL ? SECOND \
             WHERE one = 1 AND epoch = ?"
        ),
        (ttl_s, epoch),
    )
    .await
    .map_err(|cause| server.explain("could not renew the lease", &cause))?;
    // The microseconds make a renewal change the row, so one that is ours always counts.
    Ok(conn.affected_rows() == 1)
}

/// Gives the lease back, if it is still ours.
///
/// # Errors
/// The server cannot be asked.
pub async fn release_lease(server: &Server, conn: &mut Conn, epoch: u64) -> Result<()> {
    conn.exec_drop(
        format!(
            "UPDATE {SCHEMA}.lease SET holder = '', expires = CURRENT_TIMESTAMP(6) \
             WHERE one = 1 AND epoch = ?"
        ),
        (epoch,),
    )
    .await
    .map_err(|cause| server.explain("could not give the lease back", &cause))
}

/// Saves a job, and with it a version of the shard map, in one transaction that holds the lease.
/// `false`: the lease is another's by now, and nothing was saved.
///
/// # Errors
/// The server refused, or the answer to the commit was lost: then look before acting.
pub async fn save_job(
    server: &Server,
    conn: &mut Conn,
    epoch: u64,
    job: &JobRow,
    map: Option<&MapRow>,
) -> Result<bool> {
    let failed = |cause| server.explain("could not save the job", &cause);
    let mut tx = conn
        .start_transaction(TxOpts::default())
        .await
        .map_err(failed)?;
    let current: Option<u64> = tx
        .query_first(format!(
            "SELECT epoch FROM {SCHEMA}.lease WHERE one = 1 FOR UPDATE"
        ))
        .await
        .map_err(failed)?;
    if current != Some(epoch) {
        tx.rollback().await.map_err(failed)?;
        return Ok(false);
    }
    tx.exec_drop(
        format!(
            "INSERT INTO {SCHEMA}.job (id, kind, phase, is_open, record) VALUES (?, ?, ?, ?, ?) \
             ON DUPLICATE KEY UPDATE phase = VALUES(phase), is_open = VALUES(is_open), \
             record = VALUES(record)"
        ),
        (&job.id, &job.kind, &job.phase, job.open, &job.record),
    )
    .await
    .map_err(failed)?;
    if let Some(map) = map {
        // A plain insert: a version that is there already is a clash, not ours to pass over.
        tx.exec_drop(
            format!("INSERT INTO {SCHEMA}.shard_map (version, topology, job) VALUES (?, ?, ?)"),
            (map.version, &map.topology, &map.job),
        )
        .await
        .map_err(failed)?;
    }
    tx.commit().await.map_err(|cause| {
        server
            .explain(
                "the answer to saving the job was lost: it may be saved or not",
                &cause,
            )
            .class_is(crate::error::Class::Unknown)
    })?;
    Ok(true)
}

type JobColumns = (String, String, String, bool, String, String);

/// Every job, the newest first.
///
/// # Errors
/// The server cannot be asked.
pub async fn jobs(server: &Server, conn: &mut Conn) -> Result<Vec<JobRow>> {
    let rows: std::result::Result<Vec<JobColumns>, _> = conn
        .query(format!(
            "SELECT id, kind, phase, is_open, record, CAST(updated AS CHAR) \
             FROM {SCHEMA}.job ORDER BY created DESC, id"
        ))
        .await;
    match rows {
        Ok(rows) => Ok(rows
            .into_iter()
            .map(|(id, kind, phase, open, record, updated)| JobRow {
                id,
                kind,
                phase,
                open,
                record,
                updated,
            })
            .collect()),
        Err(cause) if is_not_there(&cause) => Ok(Vec::new()),
        Err(cause) => Err(server.explain("could not read the jobs", &cause)),
    }
}

/// Who holds the lease; `None` where it is free.
///
/// # Errors
/// The server cannot be asked.
pub async fn lease(server: &Server, conn: &mut Conn) -> Result<Option<LeaseRow>> {
    let row: std::result::Result<Option<(String, String, i64)>, _> = conn
        .query_first(format!(
            "SELECT holder, CAST(since AS CHAR), \
             TIMESTAMPDIFF(SECOND, CURRENT_TIMESTAMP(6), expires) \
             FROM {SCHEMA}.lease WHERE one = 1 AND holder <> '' \
             AND expires > CURRENT_TIMESTAMP(6)"
        ))
        .await;
    match row {
        Ok(row) => Ok(row.map(|(holder, since, expires_s)| LeaseRow {
            holder,
            since,
            expires_s,
        })),
        Err(cause) if is_not_there(&cause) => Ok(None),
        Err(cause) => Err(server.explain("could not read the lease", &cause)),
    }
}

/// Records that someone asks for a job that another run has.
///
/// # Errors
/// The server refuses.
pub async fn ask_for(server: &Server, conn: &mut Conn, job: &str) -> Result<()> {
    conn.exec_drop(
        format!(
            "INSERT INTO {SCHEMA}.asked_for (job) VALUES (?) \
             ON DUPLICATE KEY UPDATE since = CURRENT_TIMESTAMP(6)"
        ),
        (job,),
    )
    .await
    .map_err(|cause| server.explain("could not ask for the job", &cause))
}

/// Whether someone does.
///
/// # Errors
/// The server cannot be asked.
pub async fn is_asked_for(server: &Server, conn: &mut Conn, job: &str) -> Result<bool> {
    let found: Option<u8> = conn
        .exec_first(
            format!("SELECT 1 FROM {SCHEMA}.asked_for WHERE job = ?"),
            (job,),
        )
        .await
        .map_err(|cause| server.explain("could not see whether the job is asked for", &cause))?;
    Ok(found.is_some())
}

/// Records that nobody does any more.
///
/// # Errors
/// The server refuses.
pub async fn forget_asking(server: &Server, conn: &mut Conn, job: &str) -> Result<()> {
    conn.exec_drop(
        format!("DELETE FROM {SCHEMA}.asked_for WHERE job = ?"),
        (job,),
    )
    .await
    .map_err(|cause| server.explain("could not record the handing over", &cause))
}

/// A fill that began on empty tables and has not ended: what it was, and since when in UTC.
///
/// # Errors
/// The server cannot be asked.
pub async fn open_fill(server: &Server, conn: &mut Conn) -> Result<Option<(String, String)>> {
    let row: std::result::Result<Option<(String, String)>, _> = conn
        .query_first(format!(
            "SELECT what, CAST(since AS CHAR) FROM {SCHEMA}.fill WHERE one = 1"
        ))
        .await;
    match row {
        Ok(row) => Ok(row),
        Err(cause) if is_not_there(&cause) => Ok(None),
        Err(cause) => Err(server.explain("could not look for an interrupted fill", &cause)),
    }
}

/// Records that a fill begins on empty tables.
///
/// # Errors
/// The server refuses.
pub async fn begin_fill(server: &Server, conn: &mut Conn, what: &str) -> Result<()> {
    conn.exec_drop(
        format!(
            "INSERT INTO {SCHEMA}.fill (one, what) VALUES (1, ?) \
             ON DUPLICATE KEY UPDATE what = VALUES(what), since = CURRENT_TIMESTAMP(6)"
        ),
        (what,),
    )
    .await
    .map_err(|cause| server.explain("could not record the fill", &cause))
}

/// Records that the fill has ended.
///
/// # Errors
/// The server refuses.
pub async fn end_fill(server: &Server, conn: &mut Conn) -> Result<()> {
    conn.query_drop(format!("DELETE FROM {SCHEMA}.fill WHERE one = 1"))
        .await
        .map_err(|cause| server.explain("could not record the fill's end", &cause))
}
