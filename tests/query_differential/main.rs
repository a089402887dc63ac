//! The shards answer as one server: generated and hand-written statements, on four shards and on one
//! schema that holds the same rows, compared in full.
//!
//! `SHARDCTL_QUERIES=50000` runs more statements, `SHARDCTL_SEED=7` others; both are printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod gathered;
mod generate;
#[path = "../support/mod.rs"]
mod support;
mod traps;

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use generate::{Generated, generate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::rows::cell::{Cell, Row};
use support::world::{How, Outcome, Table, World, show};
use support::{Engine, on_each_engine};
use traps::{APART, SHAPES, TRAPS, Trap};

/// Statements that are compared at once; each takes up to five connections to an instance.
const AT_ONCE: usize = 4;

/// Schemas, on two instances. Each statement on all of them takes a session of each.
const SHARDS: u32 = 4;

/// A shard that has no rows.
const EMPTY: [u32; 1] = [2];

/// Rows of each table.
const ROWS: i64 = 300;

fn columns(engine: Engine) -> String {
    let no_pad = match engine {
        Engine::Mysql => "utf8mb4_0900_ai_ci",
        Engine::Mariadb => "utf8mb4_general_nopad_ci",
    };
    format!(
        "n int, big bigint unsigned, d2 decimal(14,2), d5 decimal(20,5), f float, db double, \
         ci varchar(20) COLLATE utf8mb4_general_ci, bin varchar(20) COLLATE utf8mb4_bin, \
         l1 varchar(20) CHARACTER SET latin1, np varchar(20) COLLATE {no_pad}, c char(8), \
         vb varbinary(8), dt date, ts datetime(3), tm time(2), y year, b bit(10), \
         e enum('b','a','c'), s set('x','y'), j json"
    )
}

const COLUMNS: [&str; 20] = [
    "n", "big", "d2", "d5", "f", "db", "ci", "bin", "l1", "np", "c", "vb", "dt", "ts", "tm", "y",
    "b", "e", "s", "j",
];

async fn world(engine: Engine) -> World {
    let sandbox = support::shared(engine, 2).await;
    let columns = columns(engine);
    let body = |key: &str| {
        format!("({key} bigint NOT NULL, {columns}, PRIMARY KEY ({key})) DEFAULT CHARSET=utf8mb4")
    };
    let tables = [
        Table {
            name: "t",
            spread: "shard_key: id; function: drds_hash",
            body: body("id"),
        },
        Table {
            name: "u",
            spread: "shard_key: k; function: mod; tables_per_schema: 2",
            body: body("k"),
        },
        // Several rows of a key; split as t is.
        Table {
            name: "tt",
            spread: "shard_key: tid; function: drds_hash",
            body: format!(
                "(tid bigint NOT NULL, no int NOT NULL, {columns}, PRIMARY KEY (tid, no)) \
                 DEFAULT CHARSET=utf8mb4"
            ),
        },
        // Split as u is.
        Table {
            name: "uu",
            spread: "shard_key: uk; function: mod; tables_per_schema: 2",
            body: format!(
                "(uk int unsigned NOT NULL, m int NOT NULL, {columns}, PRIMARY KEY (uk, m)) \
                 DEFAULT CHARSET=utf8mb4"
            ),
        },
        Table {
            name: "bc",
            spread: "broadcast: true",
            body: "(code int NOT NULL PRIMARY KEY, label varchar(20) COLLATE utf8mb4_general_ci, \
                   grp int) DEFAULT CHARSET=utf8mb4"
                .to_owned(),
        },
    ];
    let world = World::create(sandbox, "diff", SHARDS, &tables).await;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for name in ["t", "u", "tt", "uu"] {
        let mut rows = Vec::new();
        for number in 0..ROWS {
            // Half of the rows in one shard; one stays empty.
            let key = match number % 2 {
                0 => number * 32 + 1029,
                _ => number - 100,
            };
            let key = match name {
                "tt" => key / 3 * 3 + if number % 2 == 0 { 0 } else { number % 5 },
                "uu" => key.abs() % 700,
                _ => key,
            };
            if EMPTY.contains(&world.shard(name, key)) {
                continue;
            }
            let values: Vec<String> = COLUMNS
                .iter()
                .map(|column| value(&mut rng, column))
                .collect();
            let own = match name {
                "tt" | "uu" => format!("{number}, "),
                _ => String::new(),
            };
            rows.push((key, format!("({key}, {own}{})", values.join(", "))));
        }
        world.insert(name, &rows).await;
    }
    let rows: Vec<(i64, String)> = (-20..25)
        .map(|code| {
            let label = ["'alpha'", "'Beta'", "NULL", "'zeta '"][code as usize % 4];
            (code, format!("({code}, {label}, {})", code % 5))
        })
        .collect();
    world.insert("bc", &rows).await;
    world
}

/// A value as an SQL literal.
fn value(rng: &mut ChaCha8Rng, column: &str) -> String {
    if rng.random_bool(0.15) {
        return "NULL".to_owned();
    }
    let text = |rng: &mut ChaCha8Rng| {
        let words = [
            "alpha",
            "Alpha",
            "ALPHA",
            "alpha ",
            "beta",
            "béta",
            "BETA",
            "gamma  ",
            "",
            " ",
            "Zeta",
            "zeta",
            "e",
            "é",
            "É",
            "a'b",
            "a-b",
            "ab",
            "10",
            "9",
            "alpha\n",
            "alpha\t",
            "alpha \u{1}",
        ];
        words[rng.random_range(0..words.len())].to_owned()
    };
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match column {
        "n" => rng.random_range(-20..20).to_string(),
        "big" => (u64::MAX - rng.random_range(0..6u64) * 1_000_000_007).to_string(),
        "d2" => format!(
            "{}.{:02}",
            rng.random_range(-99..99),
            rng.random_range(0..100)
        ),
        "d5" => format!(
            "{}.{:05}",
            rng.random_range(-9..9),
            rng.random_range(0..100_000)
        ),
        "f" => format!("{}", f64::from(rng.random_range(-1000..1000)) / 3.0),
        "db" => format!("{:e}", f64::from(rng.random_range(-1000..1000)) / 7.0),
        "vb" => {
            ["''", "0x00", "0x0000", "0x61", "0x6100", "0xff"][rng.random_range(0..6)].to_owned()
        }
        "dt" => format!(
            "'20{:02}-{:02}-{:02}'",
            rng.random_range(10..14),
            rng.random_range(1..13),
            rng.random_range(1..29)
        ),
        "ts" => format!(
            "'2020-01-{:02} {:02}:00:00.{:03}'",
            rng.random_range(1..9),
            rng.random_range(0..24),
            rng.random_range(0..1000)
        ),
        "tm" => format!(
            "'{}{}:{:02}:{:02}.{:02}'",
            if rng.random_bool(0.3) { "-" } else { "" },
            rng.random_range(0..300),
            rng.random_range(0..60),
            rng.random_range(0..60),
            rng.random_range(0..100)
        ),
        "y" => rng.random_range(1990..2000).to_string(),
        "b" => format!("b'{:b}'", rng.random_range(0..1024)),
        "e" => ["'a'", "'b'", "'c'"][rng.random_range(0..3)].to_owned(),
        "s" => ["''", "'x'", "'y'", "'x,y'"][rng.random_range(0..4)].to_owned(),
        "j" => format!("'{{\"k\": {}}}'", rng.random_range(0..5)),
        _ => quoted(&text(rng)),
    }
}

/// Compares the two answers. `total` says that ORDER BY leaves no ties; `window` that LIMIT
/// picks among rows it does not order; `loose` are columns of which any variant may stand for
/// a group.
///
/// # Errors
/// They differ: how; or the fleet does not answer.
async fn compare(world: &World, one: &Generated) -> Result<How, String> {
    let Generated {
        sql,
        total,
        window,
        loose,
    } = one;
    let expected = world
        .expected(sql)
        .await
        .map_err(|error| format!("one server refuses: {error}"))?;
    let (how, found) = world.answer(sql).await;
    let found = found.map_err(|error| format!("{how:?}: {error}"))?;
    if found.names != expected.names {
        return Err(format!(
            "{how:?}: columns {:?}, not {:?}",
            found.names, expected.names
        ));
    }
    let normal = |rows: &[Row]| {
        let mut rows: Vec<Row> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .enumerate()
                    .map(|(index, cell)| match loose.contains(&index) {
                        true => plain(cell),
                        false => cell.clone(),
                    })
                    .collect()
            })
            .collect();
        if !*total {
            rows.sort();
        }
        rows
    };
    let (found, expected) = (normal(&found.rows), normal(&expected.rows));
    let (many, few) = (expected.len(), found.len());
    if !*window || *total {
        for (a, b) in found.iter().zip(&expected) {
            if a != b {
                let (a, b) = (show(a), show(b));
                return Err(format!(
                    "{how:?}: {few} rows, of {many}, with\n  {a:?}\nnot\n  {b:?}"
                ));
            }
        }
    }
    match few == many {
        true => Ok(how),
        false => Err(format!("{how:?}: {few} rows, not {many}")),
    }
}

/// A text without what collations leave out: case, accents, control characters, trailing spaces.
fn plain(cell: &Cell) -> Cell {
    cell.as_ref().map(|bytes| {
        String::from_utf8_lossy(bytes)
            .replace(|c: char| c.is_control(), "")
            .trim_end_matches(' ')
            .to_lowercase()
            .replace(['é', 'É'], "e")
            .into_bytes()
    })
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

/// The statement of this number of a run: of its own seed, so that it is made again alone.
fn numbered(seed: u64, number: u64) -> Generated {
    generate(&mut ChaCha8Rng::seed_from_u64(
        seed.wrapping_shl(32) | number,
    ))
}

/// Compares all of them, several at once: most of the time each waits for a server. Gives how many
/// came by each way, and what is wrong.
async fn compare_all(
    world: &World,
    statements: Vec<(String, Generated)>,
) -> (BTreeMap<How, usize>, Vec<String>) {
    let (mut ways, mut wrong) = (BTreeMap::new(), Vec::new());
    let mut outcomes = stream::iter(&statements)
        .map(|(name, one)| async move { (name, one, compare(world, one).await) })
        .buffer_unordered(AT_ONCE);
    while let Some((name, one, outcome)) = outcomes.next().await {
        match outcome {
            Ok(how) => *ways.entry(how).or_default() += 1,
            Err(what) => wrong.push(format!("{name}: {}\n{what}\n", one.sql)),
        }
    }
    (ways, wrong)
}

on_each_engine! {
    async fn generated_statements_are_answered_as_by_one_server(engine) {
        let world = world(engine).await;
        let (count, seed) = (setting("SHARDCTL_QUERIES", 5_000), setting("SHARDCTL_SEED", 1));
        let statements = (0..count).map(|number| (format!("{seed} {number}"), numbered(seed, number))).collect();
        let (ways, wrong) = compare_all(&world, statements).await;
        println!("seed {seed}: {count} statements, {ways:?}");
        assert!(wrong.is_empty(), "add their seeds and numbers to failed.txt:\n{}", wrong.join("\n"));
        // Else nothing of what this test is for has been tried.
        for (how, least) in [(How::One, 40), (How::Merged, 2), (How::Gathered, 8)] {
            let found = ways.get(&how).copied().unwrap_or_default() as u64;
            assert!(found * least >= count, "{ways:?}");
        }
    }

    /// Those that were answered wrongly once, or not at all, stay right.
    async fn statements_that_failed_once_are_answered_as_by_one_server(engine) {
        let world = world(engine).await;
        let lines = include_str!("failed.txt").lines().filter(|line| !line.starts_with('#'));
        let mut statements = Vec::new();
        for line in lines {
            let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
            let [seed, number] = numbers.as_slice() else {
                panic!("failed.txt has a line that is no seed and number: {line}");
            };
            statements.push((line.to_owned(), numbered(*seed, *number)));
        }
        let count = statements.len();
        let (ways, wrong) = compare_all(&world, statements).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(count > 0 && ways.values().sum::<usize>() == count);
    }

    async fn known_traps_are_answered_as_by_one_server(engine) {
        let world = world(engine).await;
        let named = |traps: &[Trap]| {
            let generated = |(sql, total, loose): &Trap| Generated {
                sql: (*sql).to_owned(),
                total: *total,
                window: false,
                loose: loose.to_vec(),
            };
            traps.iter().map(|trap| ("a trap".to_owned(), generated(trap))).collect()
        };
        let (ways, wrong) = compare_all(&world, named(TRAPS)).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // JSON has an order of its own on one of the servers; HAVING, and what one server answers
        // with any row's value.
        assert!(ways.get(&How::Gathered).copied().unwrap_or_default() <= 12, "too many are gathered: {ways:?}");
        let (_, wrong) = compare_all(&world, named(SHAPES)).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn what_cannot_be_merged_exactly_is_refused(engine) {
        let world = world(engine).await;
        for (sql, reason) in APART {
            match world.ask(sql).await {
                Outcome::Refused(why) => assert!(why.contains(reason), "{sql}: {why}"),
                Outcome::Failed(why) => panic!("{sql}: {why}"),
                Outcome::Answered(_) => panic!("merged: {sql}"),
            }
        }
    }
}
