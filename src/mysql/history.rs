//! The measurements of capacity that are kept on the control instance. The records in them are
//! written and read by `journal`.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::control::SCHEMA;
use super::server::{Server, server_code};
use crate::error::Result;

/// `ER_NO_SUCH_TABLE` and `ER_BAD_DB_ERROR`.
const NOT_THERE: [u16; 2] = [1146, 1049];

/// A measurement as it is stored, without its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: u64,
    /// The cluster.
    pub cluster: String,
    /// When it was taken, as an instant in text.
    pub taken_at: String,
    /// Whether rows were counted.
    pub exact: bool,
}

/// The measurements of a cluster; `None` where none was ever kept.
///
/// # Errors
/// The server cannot be asked, or the user may not read them.
pub async fn kept(server: &Server, conn: &mut Conn, cluster: &str) -> Result<Option<Vec<Kept>>> {
    let rows: std::result::Result<Vec<(u64, String, String, bool)>, _> = conn
        .exec(
            format!(
                "SELECT id, cluster, taken_at, is_exact FROM {SCHEMA}.capacity_history \
                 WHERE cluster = ? ORDER BY id"
            ),
            (cluster,),
        )
        .await;
    match rows {
        Ok(rows) => Ok(Some(
            rows.into_iter()
                .map(|(id, cluster, taken_at, exact)| Kept {
                    id,
                    cluster,
                    taken_at,
                    exact,
                })
                .collect(),
        )),
        Err(cause) if server_code(&cause).is_some_and(|code| NOT_THERE.contains(&code)) => Ok(None),
        Err(cause) => Err(server.explain("could not read the history of capacity", &cause)),
    }
}

/// The record of a measurement; `None` where it is gone.
///
/// # Errors
/// The server cannot be asked.
pub async fn record(server: &Server, conn: &mut Conn, id: u64) -> Result<Option<String>> {
    conn.exec_first(
        format!("SELECT record FROM {SCHEMA}.capacity_history WHERE id = ?"),
        (id,),
    )
    .await
    .map_err(|cause| server.explain("could not read the history of capacity", &cause))
}

/// Keeps a measurement, in a table that is made if it is missing.
///
/// # Errors
/// The server refuses.
pub async fn keep(
    server: &Server,
    conn: &mut Conn,
    kept: &Kept,
    format: u32,
    record: &str,
) -> Result<()> {
    let failed = |cause| server.explain("could not keep the measurement of capacity", &cause);
    conn.query_drop(format!(
        "CREATE TABLE IF NOT EXISTS {SCHEMA}.capacity_history (\
         id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, \
         cluster VARCHAR(255) NOT NULL, \
         taken_at VARCHAR(40) NOT NULL, \
         is_exact TINYINT NOT NULL, \
         format INT UNSIGNED NOT NULL, \
         record LONGTEXT NOT NULL) \
         ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    ))
    .await
    .map_err(failed)?;
    conn.exec_drop(
        format!(
            "INSERT INTO {SCHEMA}.capacity_history (cluster, taken_at, is_exact, format, record) \
             VALUES (?, ?, ?, ?, ?)"
        ),
        (&kept.cluster, &kept.taken_at, kept.exact, format, record),
    )
    .await
    .map_err(failed)
}
