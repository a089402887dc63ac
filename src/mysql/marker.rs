//! A row that shows that a stream works: written on one side, it comes by the log to the other.
//!
//! It takes the way of every other row: the log has it in [`MARKER`], and it is written to [`SEEN`],
//! on each instance that the stream is applied to.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::control::SCHEMA;
use super::server::Server;
use crate::error::Result;

/// The table that a marker is written to, of `_shardctl`.
pub const MARKER: &str = "marker";
/// The table that it arrives in, of `_shardctl` too.
pub const SEEN: &str = "marker_seen";

/// Creates both tables where they are not there. A table that is there is not so much as named: in
/// the log that would be a change of its definition.
///
/// # Errors
/// The server refuses.
pub async fn create_tables(server: &Server, conn: &mut Conn) -> Result<()> {
    let failed = |cause| server.explain("could not create the marker's tables", &cause);
    for table in [MARKER, SEEN] {
        let there: Option<u8> = conn
            .exec_first(
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                (SCHEMA, table),
            )
            .await
            .map_err(failed)?;
        if there.is_none() {
            conn.query_drop(format!(
                "CREATE TABLE {SCHEMA}.{table} (\
                 job VARCHAR(32) NOT NULL, \
                 instance VARCHAR(64) NOT NULL, \
                 mark BIGINT UNSIGNED NOT NULL, \
                 PRIMARY KEY (job, instance)) \
                 ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
            ))
            .await
            .map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes a marker.
///
/// # Errors
/// The server refuses.
pub async fn write(server: &Server, conn: &mut Conn, job: &str, mark: u64) -> Result<()> {
    conn.exec_drop(
        format!(
            "INSERT INTO {SCHEMA}.{MARKER} (job, instance, mark) VALUES (?, ?, ?) \
             ON DUPLICATE KEY UPDATE mark = VALUES(mark)"
        ),
        (job, server.name().as_str(), mark),
    )
    .await
    .map_err(|cause| server.explain("could not write a marker", &cause))
}

/// Whether the marker that was written on `from` is here.
///
/// # Errors
/// The server cannot be asked.
pub async fn is_seen(
    server: &Server,
    conn: &mut Conn,
    job: &str,
    from: &Server,
    mark: u64,
) -> Result<bool> {
    let found: Option<u64> = conn
        .exec_first(
            format!("SELECT mark FROM {SCHEMA}.{SEEN} WHERE job = ? AND instance = ?"),
            (job, from.name().as_str()),
        )
        .await
        .map_err(|cause| server.explain("could not look for a marker", &cause))?;
    Ok(found == Some(mark))
}
