//! What `--analyze` asks after a statement has run: the servers' own plans.

use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::mysql::Servers;
use crate::mysql::query::{self, Reading};
use crate::report::analyze::AnalyzedShard;
use crate::run::query::Running;
use crate::run::timings::{Timed, Timings};

/// Plans that are asked for at once.
const AT_ONCE: usize = 16;

/// What each table took, with the plan of its server. A server that gives none is no failure: what
/// was measured is told all the same, and why there is no plan.
pub(super) async fn shards(
    timings: &Timings,
    servers: &Servers,
    reading: Reading,
    running: &Running,
) -> Vec<AnalyzedShard> {
    stream::iter(timings.all().into_iter().map(|timed| async move {
        let explained = explain(&timed, servers, reading, running).await;
        let (explain, error) = match explained {
            Ok(lines) => (lines, None),
            Err(error) => (Vec::new(), Some(error.summary())),
        };
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
        AnalyzedShard {
            place: timed.physical.to_string(),
            statement: timed.statement + 1,
            sql: timed.sql,
            first_row_ms: timed.first.map(ms),
            ms: ms(timed.total),
            slow: false,
            rows: timed.rows,
            bytes: timed.bytes,
            plan: None,
            differs: false,
            explain,
            error,
        }
    }))
    .buffered(AT_ONCE)
    .collect()
    .await
}

async fn explain(
    timed: &Timed,
    servers: &Servers,
    reading: Reading,
    running: &Running,
) -> Result<Vec<Map<String, Value>>> {
    let server = servers.get(&timed.physical.instance)?;
    let mut conn = query::session(server, reading).await?;
    running.started(server, &conn);
    let answer = query::explain(server, &mut conn, &timed.sql).await;
    running.ended(server, conn.id());
    let (columns, rows) = answer?;
    let lines = rows.into_iter().map(|row| {
        let values = row.into_iter().map(|cell| match cell {
            Some(text) => Value::from(String::from_utf8_lossy(&text).into_owned()),
            None => Value::Null,
        });
        let names = columns.iter().map(|column| column.name.clone());
        names.zip(values).collect()
    });
    Ok(lines.collect())
}
