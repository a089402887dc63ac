//! How fast `fill` writes, beside `LOAD DATA` of the same rows from files on the server with the
//! same number of connections. Prints the ratio of each round and the median.
//!
//! `SHARDCTL_MEMBERS=500000` fills more. Both engines, where they are installed.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use mysql_async::prelude::Queryable;
use shardctl::fill::members::Members;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::{Server, Servers};
use shardctl::run::fill::{FillOptions, fill};
use shardctl::run::owner::Flags;
use shardctl::sandbox::{Engine, Home, Installation, Options};
use shardctl::topology::file::parse;
use shardctl::topology::{PhysicalTable, Topology};

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 2;

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let members = std::env::var("SHARDCTL_MEMBERS").map_or(200_000, |text| text.parse().unwrap());
    for engine in [Engine::Mariadb, Engine::Mysql] {
        match Installation::find(Some(engine)) {
            Ok(installation) => measure(engine, &installation.to_string(), members).await,
            Err(_) => println!("{engine}: not installed, NOT MEASURED"),
        }
    }
}

async fn measure(engine: Engine, installation: &str, members: u64) {
    let files = tempfile::tempdir().unwrap();
    let options = Options {
        name: format!("bench-{}", std::process::id()),
        engine: Some(engine),
        // The last one wins, and lets the server read and write this folder.
        server_args: vec![format!("--secure-file-priv={}", files.path().display())],
        ..Options::default()
    };
    let exe = Path::new(env!("CARGO_BIN_EXE_shardctl"));
    let sandbox = Home::from_env().unwrap().up_guarded(&options, exe).unwrap();
    let mut topology = parse(include_str!("../topology.yaml")).unwrap();
    topology.instances = sandbox.endpoints();
    let credentials = Credentials::read(CredentialSource {
        defaults_file: Some(sandbox.client_file()),
        ..CredentialSource::default()
    })
    .unwrap();
    let servers = Servers::connect(&topology.instances, &credentials, CONNECTIONS + 1)
        .await
        .unwrap();
    let plan = shardctl::run::create::look(&topology, &servers)
        .await
        .unwrap();
    shardctl::run::create::execute(&servers, &plan, &Flags::default(), &|_| {})
        .await
        .unwrap();
    let generated = Members::new(1, members, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
    println!(
        "{installation}, {members} members, {CONNECTIONS} connections to each of two instances"
    );
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        let filled = fill(
            &topology,
            &servers,
            generated,
            FillOptions {
                writers: CONNECTIONS,
                generators: 1,
                again: false,
            },
            &Flags::default(),
            &|_| {},
        )
        .await
        .unwrap();
        let ours = start.elapsed().as_secs_f64();
        let rows: u64 = filled.rows.iter().map(|(_, rows)| rows).sum();
        if round == 1 {
            each(&topology, &servers, files.path(), |table, file| {
                format!("SELECT * FROM {table} INTO OUTFILE '{file}' CHARACTER SET binary")
            })
            .await;
        }
        empty(&topology, &servers, files.path()).await;
        let start = Instant::now();
        each(&topology, &servers, files.path(), |table, file| {
            format!("LOAD DATA INFILE '{file}' INTO TABLE {table} CHARACTER SET binary")
        })
        .await;
        let load = start.elapsed().as_secs_f64();
        empty(&topology, &servers, files.path()).await;
        let ratio = load / ours;
        println!(
            "  round {round}: fill {:.0} rows/s, LOAD DATA {:.0} rows/s, ratio {ratio:.2}",
            rows as f64 / ours,
            rows as f64 / load
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "  median ratio {:.2} (aim: at least 0.8)",
        ratios[ROUNDS / 2]
    );
    servers.disconnect().await;
    sandbox.down().unwrap();
}

async fn empty(topology: &Topology, servers: &Servers, files: &Path) {
    each(topology, servers, files, |table, _| {
        format!("TRUNCATE TABLE {table}")
    })
    .await;
}

/// Runs a statement for each physical table, as many at once as `fill` has connections.
async fn each(
    topology: &Topology,
    servers: &Servers,
    files: &Path,
    sql: impl Fn(&str, &str) -> String,
) {
    let mut by_instance: BTreeMap<String, Vec<PhysicalTable>> = BTreeMap::new();
    for table in topology.tables.values() {
        for place in topology.places(table) {
            let physical = topology.physical(table, place);
            by_instance
                .entry(physical.instance.to_string())
                .or_default()
                .push(physical);
        }
    }
    let mut running = Vec::new();
    for tables in by_instance.into_values() {
        let server: Server = servers.get(&tables[0].instance).unwrap().clone();
        for worker in 0..CONNECTIONS {
            let own: Vec<String> = tables
                .iter()
                .skip(worker)
                .step_by(CONNECTIONS)
                .map(|table| {
                    let file = files.join(table.table.as_str());
                    sql(&table.quoted(), &file.display().to_string())
                })
                .collect();
            let server = server.clone();
            running.push(tokio::spawn(async move {
                let mut conn = server.conn().await.unwrap();
                for sql in own {
                    conn.query_drop(sql).await.unwrap();
                }
            }));
        }
    }
    for task in running {
        task.await.unwrap();
    }
}
