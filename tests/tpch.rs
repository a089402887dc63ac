//! All 22 queries of TPC-H on sixteen shards, answered as by one server, through the program itself
//! and within its limits.
//!
//! The rows come from the public generator `tpchgen`, and so does the text of the queries; their
//! parameters are the ones of the specification's validation runs (chapter 2.4). orders and lineitem
//! are split by the order, customer by the customer, part and partsupp by the part, supplier by the
//! supplier; nation and region are everywhere.
//!
//! `SHARDCTL_TPCH_SCALE=0.1` is the scale factor of `make tpch`: 866,602 rows. Without it the rows
//! are a tenth of these, so that `make test` stays quick.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};
use shardctl::routing::Router;
use shardctl::rows::key::KeyValue;
use shardctl::topology::file::parse;
use shardctl::topology::{LogicalTable, Spread, Topology};
use support::{Guarded, on_each_engine};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen::q_and_a::queries::query;

/// The scale factor at which each query has rows to compare.
const FULL_SCALE: f64 = 0.1;

/// The schema with all rows.
const ONE: &str = "tpch_one";

struct Table {
    name: &'static str,
    shard_key: Option<&'static str>,
    columns: &'static str,
    /// Indexes that the one server gets: it joins on these columns.
    indexes: &'static [&'static str],
}

const TABLES: [Table; 8] = [
    Table {
        name: "region",
        shard_key: None,
        columns: "r_regionkey int NOT NULL, r_name char(25) NOT NULL, r_comment varchar(152) NOT NULL, \
                  PRIMARY KEY (r_regionkey)",
        indexes: &[],
    },
    Table {
        name: "nation",
        shard_key: None,
        columns: "n_nationkey int NOT NULL, n_name char(25) NOT NULL, n_regionkey int NOT NULL, \
                  n_comment varchar(152) NOT NULL, PRIMARY KEY (n_nationkey)",
        indexes: &[],
    },
    Table {
        name: "supplier",
        shard_key: Some("s_suppkey"),
        columns: "s_suppkey int NOT NULL, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL, \
                  s_nationkey int NOT NULL, s_phone char(15) NOT NULL, \
                  s_acctbal decimal(15,2) NOT NULL, s_comment varchar(101) NOT NULL, \
                  PRIMARY KEY (s_suppkey)",
        indexes: &["s_nationkey"],
    },
    Table {
        name: "customer",
        shard_key: Some("c_custkey"),
        columns: "c_custkey int NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, \
                  c_nationkey int NOT NULL, c_phone char(15) NOT NULL, \
                  c_acctbal decimal(15,2) NOT NULL, c_mktsegment char(10) NOT NULL, \
                  c_comment varchar(117) NOT NULL, PRIMARY KEY (c_custkey)",
        indexes: &["c_nationkey"],
    },
    Table {
        name: "part",
        shard_key: Some("p_partkey"),
        columns: "p_partkey int NOT NULL, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, \
                  p_brand char(10) NOT NULL, p_type varchar(25) NOT NULL, p_size int NOT NULL, \
                  p_container char(10) NOT NULL, p_retailprice decimal(15,2) NOT NULL, \
                  p_comment varchar(23) NOT NULL, PRIMARY KEY (p_partkey)",
        indexes: &[],
    },
    Table {
        name: "partsupp",
        shard_key: Some("ps_partkey"),
        columns: "ps_partkey int NOT NULL, ps_suppkey int NOT NULL, ps_availqty int NOT NULL, \
                  ps_supplycost decimal(15,2) NOT NULL, ps_comment varchar(199) NOT NULL, \
                  PRIMARY KEY (ps_partkey, ps_suppkey)",
        indexes: &["ps_suppkey"],
    },
    Table {
        name: "orders",
        shard_key: Some("o_orderkey"),
        columns: "o_orderkey bigint NOT NULL, o_custkey int NOT NULL, o_orderstatus char(1) NOT NULL, \
                  o_totalprice decimal(15,2) NOT NULL, o_orderdate date NOT NULL, \
                  o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL, \
                  o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL, \
                  PRIMARY KEY (o_orderkey)",
        indexes: &["o_custkey"],
    },
    Table {
        name: "lineitem",
        shard_key: Some("l_orderkey"),
        columns: "l_orderkey bigint NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, \
                  l_linenumber int NOT NULL, l_quantity decimal(15,2) NOT NULL, \
                  l_extendedprice decimal(15,2) NOT NULL, l_discount decimal(15,2) NOT NULL, \
                  l_tax decimal(15,2) NOT NULL, l_returnflag char(1) NOT NULL, \
                  l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, \
                  l_commitdate date NOT NULL, l_receiptdate date NOT NULL, \
                  l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, \
                  l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber)",
        indexes: &["l_partkey, l_suppkey", "l_suppkey"],
    },
];

fn scale() -> f64 {
    std::env::var("SHARDCTL_TPCH_SCALE").map_or(0.01, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("SHARDCTL_TPCH_SCALE: {error}"))
    })
}

/// The statement of this number, with the parameters of the validation run.
fn statement(number: i32, scale: f64) -> String {
    let fraction = format!("{:.10}", 0.0001 / scale);
    let parameters: &[&str] = match number {
        1 => &["90"],
        2 => &["15", "BRASS", "EUROPE"],
        3 => &["BUILDING", "1995-03-15"],
        4 => &["1993-07-01"],
        5 => &["ASIA", "1994-01-01"],
        6 => &["1994-01-01", "0.06", "24"],
        7 => &["FRANCE", "GERMANY"],
        8 => &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
        9 => &["green"],
        10 => &["1993-10-01"],
        11 => &["GERMANY", &fraction],
        12 => &["MAIL", "SHIP", "1994-01-01"],
        13 => &["special", "requests"],
        14 => &["1995-09-01"],
        15 => &["1996-01-01"],
        16 => &[
            "Brand#45",
            "MEDIUM POLISHED",
            "49",
            "14",
            "23",
            "45",
            "19",
            "3",
            "36",
            "9",
        ],
        17 => &["Brand#23", "MED BOX"],
        18 => &["300"],
        19 => &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
        20 => &["forest", "1994-01-01", "CANADA"],
        21 => &["SAUDI ARABIA"],
        22 => &["13", "31", "23", "29", "30", "18", "17"],
        _ => panic!("there is no query {number}"),
    };
    let mut sql = query(number).unwrap().trim().to_owned();
    // What the servers write otherwise than the standard, and how many rows are wanted (2.1.2.9).
    let changes: &[(&str, &str)] = match number {
        1 => &[("day (3)", "day")],
        2 => &[("p_partkey;", "p_partkey limit 100;")],
        3 => &[("o_orderdate;", "o_orderdate limit 10;")],
        10 => &[("revenue desc;", "revenue desc limit 20;")],
        // MariaDB 10.11 has no names of columns behind a derived table's.
        13 => &[
            ("count(o_orderkey)", "count(o_orderkey) as c_count"),
            (" (c_custkey, c_count)", ""),
        ],
        // Appendix B allows a common table expression for the view.
        15 => &[
            (
                "create view revenue:s (supplier_no, total_revenue) as",
                "with revenue (supplier_no, total_revenue) as (",
            ),
            ("l_suppkey;", "l_suppkey)"),
            ("revenue:s", "revenue"),
            ("drop view revenue;", ""),
        ],
        18 => &[("o_orderdate;", "o_orderdate limit 100;")],
        21 => &[("s_name;", "s_name limit 100;")],
        _ => &[],
    };
    for (from, to) in changes {
        assert!(sql.contains(from), "query {number} has no `{from}`");
        sql = sql.replace(from, to);
    }
    // From the last one, for `:1` begins `:10` as well.
    for (index, value) in parameters.iter().enumerate().rev() {
        let name = format!(":{}", index + 1);
        assert!(sql.contains(&name), "query {number} has no {name}");
        sql = sql.replace(&name, value);
    }
    assert!(
        !sql.contains(":1"),
        "query {number} lacks a parameter: {sql}"
    );
    sql.trim_end().trim_end_matches(';').to_owned()
}

struct World {
    servers: Guarded,
    topology: Topology,
    folder: tempfile::TempDir,
    scale: f64,
}

impl World {
    async fn create(engine: support::Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = support::options(engine, 2);
        options.buffer_pool_mb = 256;
        // The last one wins, and lets the servers read the files of rows.
        options.server_args = vec![format!("--secure-file-priv={}", folder.path().display())];
        let servers = support::servers_with(options).await;
        let mut text = "version: 1\ncluster: tpch\ninstances:\n  rds-1: { host: x, port: 1 }\n  \
                        rds-2: { host: x, port: 2 }\nquery: {scratch: rds-2}\nschemas:\n  \
                        name: tpch_{:02}\n  count: 16\n  on:\n    rds-1: 0-7\n    rds-2: 8-15\n\
                        tables:\n"
            .to_owned();
        for table in &TABLES {
            let spread = match table.shard_key {
                Some(key) => format!("shard_key: {key}\n    function: drds_hash"),
                None => "broadcast: true".to_owned(),
            };
            text.push_str(&format!(
                "  {0}:\n    {spread}\n    ddl: CREATE TABLE {0} ({1})\n",
                table.name, table.columns
            ));
        }
        std::fs::write(folder.path().join("topology.yaml"), &text).unwrap();
        let topology = parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let world = Self {
            servers,
            topology,
            folder,
            scale: scale(),
        };
        world.shardctl(&["create"]);
        let mut one = support::conn(&world.servers, "rds-1").await;
        run(
            &mut one,
            &format!("CREATE DATABASE {ONE} CHARACTER SET utf8mb4"),
        )
        .await;
        world
    }

    /// What the program prints, and what it says beside that.
    fn shardctl(&self, args: &[&str]) -> (String, String) {
        let topology = self.folder.path().join("topology.yaml");
        let mut all = vec!["-t", topology.to_str().unwrap()];
        all.extend(args);
        let output = support::shardctl(&self.servers, &all);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (told, said) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{}\n{said}", args.join(" "));
        (told, said)
    }

    /// Makes the rows of all tables and puts them into the shards and the one server.
    async fn fill(&self) {
        let scale = self.scale;
        let start = Instant::now();
        let rows = [
            self.table("region", RegionGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("nation", NationGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("supplier", SupplierGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("customer", CustomerGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("part", PartGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("partsupp", PartSuppGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("orders", OrderGenerator::new(scale, 1, 1).iter())
                .await,
            self.table("lineitem", LineItemGenerator::new(scale, 1, 1).iter())
                .await,
        ];
        let all: u64 = rows.iter().sum();
        println!(
            "scale factor {scale}: {all} rows in {:.1} s, {rows:?}",
            start.elapsed().as_secs_f64()
        );
        if scale == FULL_SCALE {
            assert_eq!(all, 866_602);
        }
    }

    async fn table(&self, name: &str, rows: impl Iterator<Item = impl Display>) -> u64 {
        let logical = self.logical(name);
        let router = match logical.spread {
            Spread::Broadcast => None,
            _ => Some(Router::new(&self.topology, logical).unwrap()),
        };
        let mut files: BTreeMap<u32, (PathBuf, BufWriter<File>)> = BTreeMap::new();
        let mut file_of = |shard: u32, line: &str| {
            let (_, file) = files.entry(shard).or_insert_with(|| {
                let path = self.folder.path().join(format!("{name}-{shard}"));
                let file = BufWriter::new(File::create(&path).unwrap());
                (path, file)
            });
            writeln!(file, "{line}").unwrap();
        };
        let mut count = 0;
        for row in rows {
            let line = row.to_string();
            let shard = match &router {
                // The first column is the shard key.
                Some(router) => {
                    let key = line.split('|').next().unwrap().parse::<i64>().unwrap();
                    let key = KeyValue::Integer(key.into());
                    router.place(&key, None).unwrap().shard.0
                }
                None => 0,
            };
            file_of(shard, &line);
            count += 1;
        }
        let mut paths = BTreeMap::new();
        for (shard, (path, mut file)) in files {
            file.flush().unwrap();
            // The server may be another user.
            use std::os::unix::fs::PermissionsExt;
            let readable = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, readable).unwrap();
            paths.insert(shard, path);
        }
        self.load(logical, &paths).await;
        count
    }

    /// Both instances and the one server load at once.
    async fn load(&self, logical: &LogicalTable, paths: &BTreeMap<u32, PathBuf>) {
        let name = logical.name.as_str();
        let broadcast = matches!(logical.spread, Spread::Broadcast);
        let of_instance = |instance: &str| -> Vec<(String, &Path)> {
            let places = self.topology.places(logical);
            places
                .map(|place| (self.topology.physical(logical, place), place.shard.0))
                .filter(|(physical, _)| physical.instance.as_str() == instance)
                .filter_map(|(physical, shard)| {
                    let shard = if broadcast { 0 } else { shard };
                    Some((physical.quoted(), paths.get(&shard)?.as_path()))
                })
                .collect()
        };
        let table = TABLES.iter().find(|table| table.name == name).unwrap();
        let one = async {
            let mut conn = support::conn(&self.servers, "rds-1").await;
            run(
                &mut conn,
                &format!("CREATE TABLE {ONE}.{name} ({})", table.columns),
            )
            .await;
            let to = format!("{ONE}.{name}");
            load_all(
                &mut conn,
                paths.values().map(|path| (to.clone(), path.as_path())),
            )
            .await;
            let indexes: Vec<String> = table
                .indexes
                .iter()
                .map(|columns| format!("ADD INDEX ({columns})"))
                .collect();
            if !indexes.is_empty() {
                run(
                    &mut conn,
                    &format!("ALTER TABLE {to} {}", indexes.join(", ")),
                )
                .await;
            }
            run(&mut conn, &format!("ANALYZE TABLE {to}")).await;
        };
        let shards = async |instance: &str| {
            let mut conn = support::conn(&self.servers, instance).await;
            load_all(&mut conn, of_instance(instance).into_iter()).await;
        };
        tokio::join!(one, shards("rds-1"), shards("rds-2"));
        for path in paths.values() {
            std::fs::remove_file(path).unwrap();
        }
    }

    fn logical(&self, name: &str) -> &LogicalTable {
        let mut tables = self.topology.tables.values();
        tables.find(|table| table.name.as_str() == name).unwrap()
    }

    /// The one server's answer, as a client prints it in batch mode.
    async fn expected(&self, sql: &str) -> String {
        let mut conn = support::conn(&self.servers, "rds-1").await;
        run(&mut conn, &format!("USE {ONE}")).await;
        let mut answer = conn
            .query_iter(sql)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let columns = answer.columns().unwrap();
        let names: Vec<_> = columns
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect();
        let mut text = names.join("\t");
        text.push('\n');
        while let Some(row) = answer.next().await.unwrap() {
            let cells = row.unwrap_raw().into_iter().map(|value| match value {
                Some(Value::Bytes(bytes)) => {
                    let text = String::from_utf8(bytes).unwrap();
                    assert!(
                        !text.contains(['\t', '\n', '\\']),
                        "this text would be escaped: {text}"
                    );
                    text
                }
                _ => "NULL".to_owned(),
            });
            text.push_str(&cells.collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
        text
    }
}

async fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
}

async fn load_all<'a>(conn: &mut Conn, files: impl Iterator<Item = (String, &'a Path)>) {
    for (table, path) in files {
        // A line ends in the sign that ends its fields.
        let sql = format!(
            "LOAD DATA INFILE '{}' INTO TABLE {table} CHARACTER SET utf8mb4 \
             FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'",
            path.display()
        );
        run(conn, &sql).await;
    }
}

on_each_engine! {
    async fn tpch_on_sixteen_shards_is_answered_as_by_one_server(engine) {
        let world = World::create(engine).await;
        world.fill().await;
        let mut wrong = Vec::new();
        let mut empty = Vec::new();
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        for number in 1..=22 {
            let sql = statement(number, world.scale);
            let start = Instant::now();
            let expected = world.expected(&sql).await;
            let one = start.elapsed();
            let start = Instant::now();
            // A loaded machine with a debug build is slow; the limits on rows and bytes are not raised.
            let (found, said) = world.shardctl(&["query", "--timeout", "600", "-o", "tsv", &sql]);
            let fleet = start.elapsed();
            (ours, theirs) = (ours + fleet, theirs + one);
            let rows = expected.lines().count() - 1;
            let told: Vec<&str> = said.lines().collect();
            println!(
                "query {number}: {rows} rows, {:.2} s, one server {:.2} s; {}",
                fleet.as_secs_f64(),
                one.as_secs_f64(),
                told.join("; ")
            );
            if found != expected {
                wrong.push(format!("query {number}\n{found}not\n{expected}"));
            }
            // A sum over nothing is a row of NULL.
            if expected.lines().skip(1).all(|line| line.split('\t').all(|cell| cell == "NULL")) {
                empty.push(number);
            }
        }
        println!("all 22: {:.1} s, one server {:.1} s", ours.as_secs_f64(), theirs.as_secs_f64());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        if world.scale >= FULL_SCALE {
            assert!(empty.is_empty(), "the queries {empty:?} have no rows to compare");
        }
    }
}
