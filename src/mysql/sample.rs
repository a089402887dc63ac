//! Reading one column of a table as a stream, for the keys in it.

use mysql_async::Value;
use mysql_async::prelude::Queryable;

use super::measure::unreadable;
use super::server::Server;
use crate::error::Result;
use crate::names::{SchemaName, TableName, quote};
use crate::rows::cell::Cell;
use crate::schema::{ColumnType, TableDef};

/// What to read.
#[derive(Debug, Clone)]
pub struct KeyQuery {
    /// The schema.
    pub schema: SchemaName,
    /// The table.
    pub table: TableName,
    /// The key's column.
    pub column: String,
    /// An expression for the bytes of a row; where there is none, they are not read.
    pub bytes: Option<String>,
    /// Each row is taken with this chance; all rows where it is `None`. And the number from which
    /// the server's own generator starts.
    pub chance: Option<(f64, u64)>,
}

impl KeyQuery {
    /// The statement.
    pub fn sql(&self) -> String {
        let bytes = match &self.bytes {
            Some(expression) => format!(", {expression}"),
            None => String::new(),
        };
        let chance = match self.chance {
            // The generator gives a number of its own for each row.
            Some((chance, seed)) => format!(" WHERE RAND({seed}) < {chance:.9}"),
            None => String::new(),
        };
        format!(
            "SELECT {}{bytes} FROM {}.{}{chance}",
            quote(&self.column),
            self.schema.quoted(),
            self.table.quoted()
        )
    }
}

/// An expression for the bytes of the values of a row of this table: the lengths of those that
/// vary, and `fixed` bytes for all else.
pub fn row_bytes_sql(table: &TableDef, fixed: u64) -> String {
    let varying = table.columns.iter().filter(|column| {
        matches!(
            column.kind,
            ColumnType::Char { .. }
                | ColumnType::Varchar { .. }
                | ColumnType::Text { .. }
                | ColumnType::Varbinary { .. }
                | ColumnType::Blob { .. }
                | ColumnType::Json
        )
    });
    let mut sql = fixed.to_string();
    for column in varying {
        sql.push_str(&format!(
            " + COALESCE(OCTET_LENGTH({}), 0)",
            column.name.quoted()
        ));
    }
    sql
}

/// Streams the keys over one connection: `each` hears of every row, its key and its bytes, until it
/// says stop.
///
/// The rows are read as they are this moment, uncommitted ones among them: a view of the past that
/// is held for the length of a full scan would keep the server from purging what others delete.
///
/// # Errors
/// The server refuses the statement, or the connection breaks.
pub async fn keys<F>(
    server: &Server,
    query: &KeyQuery,
    mut each: impl FnMut(Cell, u64) -> F + Send,
) -> Result<()>
where
    F: Future<Output = bool> + Send,
{
    let what = format!(
        "{} of {}.{}",
        quote(&query.column),
        query.schema.quoted(),
        query.table.quoted()
    );
    let failed =
        |cause: mysql_async::Error| server.explain(&format!("could not read {what}"), &cause);
    let mut conn = server.conn().await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .map_err(failed)?;
    // Asked for no row first: who may not read the table is told so while the connection can still
    // say what account it is.
    let probe = format!("{} LIMIT 0", query.sql());
    if let Err(cause) = conn.query_drop(probe).await {
        return Err(unreadable(server, &mut conn, (&query.schema, &what), &cause).await);
    }
    let mut answer = conn.query_iter(query.sql()).await.map_err(failed)?;
    while let Some(row) = answer.next().await.map_err(failed)? {
        let mut values = row.unwrap_raw().into_iter().map(|value| match value {
            // Text answers have nothing but bytes and NULL in them.
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        });
        let key = values.next().flatten();
        let bytes = values
            .next()
            .flatten()
            .and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok())
            .unwrap_or(0);
        if !each(key, bytes).await {
            break;
        }
    }
    Ok(())
}
