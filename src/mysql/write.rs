//! Statements that change something.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::server::Server;
use crate::error::Result;

/// Runs one statement without an answer.
///
/// # Errors
/// The server refuses it; `what` says what could not be done.
pub async fn run(server: &Server, conn: &mut Conn, what: &str, sql: &str) -> Result<()> {
    tracing::debug!(instance = %server.name(), sql, "changes");
    conn.query_drop(sql)
        .await
        .map_err(|cause| server.explain(what, &cause))
}
