//! How fast a log is followed: rows and bytes a second from a real server to decoded changes, and
//! how long the server took to write the same, with the peak of memory.
//!
//! `SHARDCTL_ROWS=2000000` writes more. Both engines, where they are installed.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mysql_async::prelude::Queryable;
use shardctl::mysql::Server;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::tail::{Start, Tail, TailOptions, current_position, table_shape};
use shardctl::rows::binlog::Item;
use shardctl::sandbox::{Engine, Home, Installation, Options};

const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let rows: u64 = std::env::var("SHARDCTL_ROWS").map_or(500_000, |text| text.parse().unwrap());
    for engine in [Engine::Mariadb, Engine::Mysql] {
        match Installation::find(Some(engine)) {
            Ok(installation) => measure(engine, &installation.to_string(), rows).await,
            Err(_) => println!("{engine}: not installed, NOT MEASURED"),
        }
    }
}

async fn measure(engine: Engine, installation: &str, rows: u64) {
    let options = Options {
        name: format!("bench-{}", std::process::id()),
        engine: Some(engine),
        instances: 1,
        ..Options::default()
    };
    let exe = Path::new(env!("CARGO_BIN_EXE_shardctl"));
    let sandbox = Home::from_env().unwrap().up_guarded(&options, exe).unwrap();
    let credentials = Credentials::read(CredentialSource {
        defaults_file: Some(sandbox.client_file()),
        ..CredentialSource::default()
    })
    .unwrap();
    let instance = sandbox.instance("rds-1").unwrap();
    let server = Server::connect(instance.name.clone(), instance.endpoint(), &credentials, 4)
        .await
        .unwrap();
    let mut conn = server.conn().await.unwrap();
    for sql in [
        "CREATE DATABASE bench",
        "CREATE TABLE bench.member (id BIGINT PRIMARY KEY, account VARCHAR(40), email VARCHAR(60), \
         balance DECIMAL(18,2), created DATETIME(3), state TINYINT, note VARCHAR(100), KEY (account))",
        match engine {
            Engine::Mysql => "SET SESSION cte_max_recursion_depth = 100000000",
            Engine::Mariadb => "SET SESSION max_recursive_iterations = 100000000",
        },
    ] {
        conn.query_drop(sql).await.unwrap();
    }
    let start = current_position(&server, &mut conn).await.unwrap();
    let began = Instant::now();
    // Transactions of a thousand rows.
    for first in (0..rows).step_by(1_000) {
        conn.query_drop(format!(
            "INSERT INTO bench.member WITH RECURSIVE n AS (SELECT {first} AS i UNION ALL \
             SELECT i + 1 FROM n WHERE i < {}) SELECT i, CONCAT('account-', i), \
             CONCAT('someone.', i, '@example.org'), i * 1.25, \
             TIMESTAMP('2024-01-01') + INTERVAL i SECOND, i % 5, REPEAT('n', 40) FROM n",
            first + 999
        ))
        .await
        .unwrap();
    }
    let written = began.elapsed().as_secs_f64();
    let shape = table_shape(&server, &mut conn, "bench", "member")
        .await
        .unwrap();
    let options = TailOptions {
        tables: vec![Arc::new(shape)],
        stop_at_end: true,
        ..TailOptions::default()
    };
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut tail = Tail::open(&server, Start::Position(start.clone()), options.clone())
            .await
            .unwrap();
        let mut changes = 0;
        while let Some(item) = tail.next().await.unwrap() {
            if let Item::Changes(batch) = item {
                changes += batch.len() as u64;
            }
        }
        assert_eq!(changes, rows);
        let seconds = began.elapsed().as_secs_f64();
        let counts = tail.counts();
        rates.push((
            changes as f64 / seconds,
            counts.bytes as f64 / 1e6 / seconds,
            counts.events as f64 / seconds,
            written / seconds,
        ));
        tail.close().await;
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (rows_s, mb_s, events_s, ratio) = rates[ROUNDS / 2];
    println!(
        "{installation}: {rows} rows followed at {:.0} thousand rows/s, {mb_s:.0} MB/s, {:.0} thousand events/s, \
         {ratio:.1} times as fast as one connection wrote them; peak memory {} MiB",
        rows_s / 1e3,
        events_s / 1e3,
        peak_mib()
    );
    server.disconnect().await;
}

/// The most memory that this process ever had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
