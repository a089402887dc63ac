//! What tells a merged answer from one server's only with unusual rows: control characters behind
//! spaces, long texts, rounded numbers, settings and tables that are not alike on all shards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::prelude::Queryable;
use shardctl::query::Refusal;
use shardctl::query::plan::{Way, plan};
use shardctl::run::modes;
use shardctl::topology::file::parse;
use support::world::{How, Outcome, Table, World, connect};
use support::{Engine, Sandbox, on_each_engine};

/// A table split over four schemas on two servers, and the same rows in one schema.
///
/// `columns` are those beside the shard key `id`; each row is the text of their values.
async fn world(sandbox: Sandbox, columns: &str, rows: &[String]) -> World {
    let table = Table {
        name: "t",
        spread: "shard_key: id; function: mod",
        body: format!("(id bigint NOT NULL PRIMARY KEY, {columns}) DEFAULT CHARSET=utf8mb4"),
    };
    let world = World::create(sandbox, "traps", 4, &[table]).await;
    let rows: Vec<(i64, String)> = (0..)
        .zip(rows)
        .map(|(id, values)| (id, format!("({id}, {values})")))
        .collect();
    world.insert("t", &rows).await;
    world
}

async fn answered(world: &World, sql: &str) -> usize {
    match world.ask(sql).await {
        Outcome::Answered(answer) => answer.rows.len(),
        Outcome::Refused(why) | Outcome::Failed(why) => panic!("{sql}\n{why}"),
    }
}

/// Texts that differ in spaces and control characters at their end, each on several shards.
fn endings(ends: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    for stem in ["", "a", "A", "b", "a b"] {
        for end in ends {
            texts.push(format!("'{stem}{end}'"));
        }
    }
    // Equal texts lie on different shards, and so do neighbours in the order.
    let again = texts.clone();
    texts.push("NULL".to_owned());
    texts.extend(again);
    texts
}

/// Columns of these collations, each with the same text.
async fn texts(sandbox: Sandbox, collations: &[&str], texts: &[String]) -> World {
    let defs: Vec<String> = collations
        .iter()
        .map(|collation| {
            let charset = collation.split('_').next().unwrap();
            format!("x_{collation} varchar(20) CHARACTER SET {charset} COLLATE {collation}")
        })
        .collect();
    let rows: Vec<String> = texts
        .iter()
        .map(|text| vec![text.as_str(); collations.len()].join(", "))
        .collect();
    world(sandbox, &defs.join(", "), &rows).await
}

const PADDED: [&str; 12] = [
    "utf8mb4_general_ci",
    "utf8mb4_unicode_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_bin",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
    "latin1_bin",
    "latin1_german2_ci",
    "gbk_chinese_ci",
    "big5_bin",
    "utf16_general_ci",
    "ascii_general_ci",
];

fn unpadded(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Mysql => &[
            "utf8mb4_0900_ai_ci",
            "utf8mb4_0900_as_cs",
            "utf8mb4_0900_bin",
        ],
        Engine::Mariadb => &[
            "utf8mb4_general_nopad_ci",
            "utf8mb4_nopad_bin",
            "latin1_swedish_nopad_ci",
            "utf8mb4_uca1400_nopad_ai_ci",
            "utf8mb4_uca1400_nopad_as_cs",
        ],
    }
}

on_each_engine! {
    async fn text_ends_order_and_group_as_on_one_server(engine) {
        let mut collations = PADDED.to_vec();
        collations.extend(unpadded(engine));
        if engine == Engine::Mariadb {
            // The server's own columns say that these are unicode_ci.
            collations.push("utf8mb4_uca1400_ai_ci");
        }
        let ends = ["", " ", "  ", "\\t", " \\t", "\\t ", "  \\n", "          \\n", "!", " !", "\\Z"];
        let sandbox = support::shared(engine, 2).await;
        let world = texts(sandbox, &collations, &endings(&ends)).await;
        for name in collations.iter().map(|collation| format!("x_{collation}")) {
            world.same(&format!("SELECT id, {name} FROM t ORDER BY {name}, id")).await;
            world.same(&format!("SELECT * FROM t ORDER BY {name} DESC, id LIMIT 7, 20")).await;
            world.same(&format!("SELECT COUNT(*), MIN(id) AS i FROM t GROUP BY {name} ORDER BY i")).await;
            world.same(&format!("SELECT COUNT(*) FROM t GROUP BY {name} ORDER BY {name}")).await;
            world.same(&format!("SELECT CONCAT({name}, 'x'), id FROM t ORDER BY 1, 2")).await;
            world.same(&format!("SELECT COUNT(*) FROM t WHERE {name} > 'a' OR {name} IS NULL")).await;
            world.same(&format!("SELECT COUNT(DISTINCT {name}), COUNT(DISTINCT LEFT({name}, 1), id % 3) FROM t")).await;
        }
    }

    async fn text_ends_that_the_servers_read_two_ways_are_refused_or_the_same(engine) {
        let mut collations = PADDED.to_vec();
        collations.extend(unpadded(engine));
        let sandbox = support::shared(engine, 2).await;
        let world = texts(sandbox, &collations, &endings(&["", "\\0", " \\0", " \\0 ", "\\0\\0"])).await;
        let mut refused = 0;
        for name in collations.iter().map(|collation| format!("x_{collation}")) {
            for sql in [
                format!("SELECT id FROM t ORDER BY {name}, id"),
                format!("SELECT COUNT(*), MIN(id) AS i FROM t GROUP BY {name} ORDER BY i"),
                format!("SELECT COUNT(*) FROM t GROUP BY {name} ORDER BY {name}"),
            ] {
                match world.ask(&sql).await {
                    Outcome::Answered(_) => world.same(&sql).await,
                    Outcome::Refused(error) | Outcome::Failed(error) => {
                        assert!(error.contains("a text ends in"), "{sql}\n{error}");
                        refused += 1;
                    }
                }
            }
        }
        println!("refused: {refused} of {}", collations.len() * 3);
        assert!(0 < refused && refused < collations.len() * 2, "{refused}");
    }

    async fn collations_of_several_levels_are_refused(engine) {
        let collation = match engine {
            Engine::Mysql => "latin2_czech_cs",
            Engine::Mariadb => "utf8mb4_uca1400_as_cs",
        };
        let sandbox = support::shared(engine, 2).await;
        let world = texts(sandbox, &[collation], &endings(&["", "\\t"])).await;
        world.refused(&format!("SELECT id FROM t ORDER BY x_{collation}"), "several levels").await;
        world.refused(&format!("SELECT DISTINCT x_{collation} FROM t"), "several levels").await;
        world.same(&format!("SELECT COUNT(x_{collation}) FROM t")).await;
    }

    async fn long_texts_order_as_on_one_server_or_are_refused(engine) {
        // Equal up to behind what MariaDB looks at, and against the order of id behind it.
        let rows: Vec<String> = (0..12)
            .map(|id| {
                let text = format!("concat(repeat('x', 3000), {})", 99 - id);
                format!("{text}, {text}, {text}, repeat('y', {})", id % 5)
            })
            .collect();
        let sandbox = support::shared(engine, 2).await;
        let columns = "txt text, vc varchar(4000) COLLATE utf8mb4_bin, bl blob, short text";
        let world = world(sandbox, columns, &rows).await;
        for name in ["txt", "vc", "bl"] {
            world.refused(&format!("SELECT id FROM t ORDER BY {name}, id"), "max_sort_length").await;
            let sql = format!("SELECT {name}, COUNT(*) FROM t GROUP BY {name} ORDER BY {name} LIMIT 3");
            world.refused(&sql, "max_sort_length").await;
            // What is compared and not ordered is compared as a whole.
            world.same(&format!("SELECT COUNT(*), MIN(id) AS i FROM t GROUP BY {name} ORDER BY i")).await;
            world.same(&format!("SELECT MIN({name}), MAX({name}) FROM t")).await;
            world.same(&format!("SELECT COUNT(DISTINCT {name}) FROM t")).await;
        }
        world.same("SELECT id FROM t ORDER BY short, id").await;
        world.same("SELECT id FROM t ORDER BY LEFT(txt, 250), id").await;
    }

    /// The texts that cannot be merged are the last ones: nothing was given by then, and a scratch
    /// server answers.
    async fn what_is_refused_at_the_last_row_is_gathered(engine) {
        let rows: Vec<String> = (0..400)
            .map(|id| match id {
                390.. => format!("concat(repeat('z', 3000), {})", 990 - id),
                _ => format!("'{:03}'", id * 7 % 400),
            })
            .collect();
        let sandbox = support::shared(engine, 2).await;
        let world = world(sandbox, "vc varchar(4000) COLLATE utf8mb4_bin", &rows).await;
        for sql in [
            "SELECT id, LEFT(vc, 9) FROM t ORDER BY vc, id",
            "SELECT vc, COUNT(*) AS c FROM t WHERE id > 380 GROUP BY vc ORDER BY c, vc LIMIT 3",
            "SELECT vc, COUNT(*) FROM t GROUP BY vc ORDER BY vc DESC LIMIT 20, 3",
        ] {
            let (how, answer) = world.answer(sql).await;
            let answer = answer.unwrap_or_else(|error| panic!("{sql}\n{error}"));
            assert_eq!(how, How::Gathered, "{sql}");
            let expected = world.expected(sql).await.unwrap();
            // MariaDB itself does not look behind so many bytes; the statements leave no ties there.
            if engine == Engine::Mysql {
                assert!(answer.rows == expected.rows, "{sql}");
            }
            assert_eq!(answer.rows.len(), expected.rows.len(), "{sql}");
        }
        // One that can be answered to its end is merged all the same.
        let (how, answer) = world.answer("SELECT id FROM t WHERE id < 390 ORDER BY vc, id").await;
        assert_eq!((how, answer.unwrap().rows.len()), (How::Merged, 390));
    }

    /// What the servers' clients mean by a statement is what it is answered as, or it is refused.
    async fn the_servers_sql_mode_is_heeded(engine) {
        let rows: Vec<String> = (0..8).map(|id| format!("{id}, 'x'")).collect();
        let sandbox = support::servers(engine, 2).await;
        let world = world(Sandbox::clone(&sandbox), "n int unsigned, c varchar(9)", &rows).await;
        let set = async |instance: &str, modes: &str| {
            let mut conn = support::conn(&sandbox, instance).await;
            conn.query_drop(format!("SET GLOBAL sql_mode = '{modes}'")).await.unwrap();
        };
        let check = async |sql: &str| match modes::check(&world.servers, sql).await {
            Ok(()) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        };
        let texts = "SELECT \"c\" FROM t";
        let pipes = "SELECT c || n FROM t";
        let plain = "SELECT c FROM t WHERE n - 9 < 0";
        for instance in ["rds-1", "rds-2"] {
            set(instance, "STRICT_ALL_TABLES").await;
        }
        assert_eq!(check(texts).await, "nothing");
        world.refused("SELECT SUM(n - 5) FROM t", "out of range").await;
        // They differ: no one server answers so.
        set("rds-2", "STRICT_ALL_TABLES,ANSI_QUOTES").await;
        let differ = check(plain).await;
        assert!(differ.contains("not set up alike") && differ.contains("ANSI_QUOTES"), "{differ}");
        set("rds-1", "ANSI_QUOTES").await;
        assert!(check(texts).await.contains("ANSI_QUOTES"));
        assert_eq!(check(pipes).await, "nothing");
        for instance in ["rds-1", "rds-2"] {
            set(instance, "PIPES_AS_CONCAT,NO_UNSIGNED_SUBTRACTION").await;
        }
        assert!(check(pipes).await.contains("PIPES_AS_CONCAT"));
        assert_eq!(check(texts).await, "nothing");
        // Nor may they differ in what this statement's answer depends on.
        let mut conn = support::conn(&sandbox, "rds-2").await;
        conn.query_drop("SET GLOBAL default_week_format = 3").await.unwrap();
        // A session has what it began with.
        let anew = connect(&world.topology, &world.sandbox).await;
        let week = modes::check(&anew, "SELECT WEEK(c) FROM t").await.unwrap_err().to_string();
        assert!(week.contains("default_week_format is 3 there and 0 on"), "{week}");
        modes::check(&anew, "SELECT YEAR(c) FROM t").await.unwrap();
        conn.query_drop("SET GLOBAL default_week_format = 0").await.unwrap();
        // A mode that changes values is taken over, whichever way a statement goes.
        for sql in ["SELECT MIN(n - 5), COUNT(*) FROM t", "SELECT MIN(a.n - 5), COUNT(*) FROM t a, t b WHERE b.n = 3"] {
            let (_, answer) = world.answer(sql).await;
            let answer = answer.unwrap_or_else(|error| panic!("{sql}\n{error}"));
            assert_eq!(answer.rows, [[Some(b"-5".to_vec()), Some(b"8".to_vec())]], "{sql}");
        }
    }

    async fn rounded_doubles_order_by_their_value(engine) {
        // 0.1 + 0.2 is more than 0.3, and both are shown as 0.30.
        let rows: Vec<String> = (0..8)
            .map(|id| if id % 2 == 0 { "0.1, 0.2" } else { "0.3, 0" }.to_owned())
            .collect();
        let sandbox = support::shared(engine, 2).await;
        let world = world(sandbox, "a double(10,2), b double(10,2)", &rows).await;
        world.same("SELECT a + b AS x, id FROM t ORDER BY x, id").await;
        world.same("SELECT id FROM t ORDER BY a + b DESC, id").await;
        world.same("SELECT ROUND(a / 3, 3) AS x, id FROM t ORDER BY x DESC, id").await;
    }

    async fn the_servers_own_settings_do_not_cut_the_answer(engine) {
        let rows: Vec<String> = (0..40).map(|id| format!("{}", id % 10)).collect();
        let sandbox = support::servers(engine, 2).await;
        for instance in ["rds-1", "rds-2"] {
            let mut conn = support::conn(&sandbox, instance).await;
            conn.query_drop("SET GLOBAL sql_select_limit = 3").await.unwrap();
            conn.query_drop("SET GLOBAL max_sort_length = 64").await.unwrap();
        }
        let world = world(Sandbox::clone(&sandbox), "n int", &rows).await;
        assert_eq!(answered(&world, "SELECT n, COUNT(*) FROM t GROUP BY n").await, 10);
        assert_eq!(answered(&world, "SELECT id FROM t").await, 40);
        assert_eq!(answered(&world, "SELECT id FROM t WHERE id = 5").await, 1);
    }

    async fn shards_whose_tables_differ_are_not_merged(engine) {
        let rows: Vec<String> = (0..8).map(|id| format!("{id}, 'x'")).collect();
        let sandbox = support::shared(engine, 2).await;
        let world = world(sandbox, "n int, c varchar(9)", &rows).await;
        world.same("SELECT * FROM t ORDER BY id").await;
        let table = world.topology.tables.values().next().unwrap();
        let last = world.topology.places(table).last().unwrap();
        let physical = world.topology.physical(table, last);
        let mut conn = support::conn(&world.sandbox, physical.instance.as_str()).await;
        // The same columns in another order: only their names tell.
        conn.query_drop(format!("ALTER TABLE {} MODIFY c varchar(9) AFTER id", physical.quoted()))
            .await
            .unwrap();
        world.refused("SELECT * FROM t", "tables differ").await;
        world.refused("SELECT * FROM t ORDER BY id LIMIT 2", "tables differ").await;
        // The first rows are there long before the last shard has answered.
        world.refused("SELECT * FROM t LIMIT 1", "tables differ").await;
        world.same("SELECT id, n, c FROM t ORDER BY id").await;
        conn.query_drop(format!(
            "ALTER TABLE {} MODIFY c varchar(9) COLLATE utf8mb4_bin AFTER n",
            physical.quoted()
        ))
        .await
        .unwrap();
        world.same("SELECT n, id FROM t ORDER BY id").await;
        world.refused("SELECT id FROM t ORDER BY c, id", "another collation").await;
        world.refused("SELECT COUNT(DISTINCT c) FROM t", "another collation").await;
        conn.query_drop(format!("ALTER TABLE {} MODIFY n varchar(9)", physical.quoted()))
            .await
            .unwrap();
        world.refused("SELECT n, id FROM t ORDER BY n, id", "tables differ").await;
        world.refused("SELECT n, COUNT(*) FROM t GROUP BY n", "tables differ").await;
    }

    async fn an_index_table_finds_the_shards_where_it_is_trusted(engine) {
        let body = |key: &str| {
            format!("(id bigint NOT NULL, code bigint NOT NULL, n int, PRIMARY KEY ({key}))")
        };
        let tables = [
            Table {
                name: "acc",
                spread: "shard_key: id; function: mod; assume: [global_keys]",
                body: body("id, code"),
            },
            Table {
                name: "acc_by_code",
                spread: "index_of: acc; shard_key: code; function: mod; assume: [global_keys]",
                body: body("code, id"),
            },
        ];
        let world = World::create(support::shared(engine, 2).await, "lookup", 16, &tables).await;
        let row = |id: i64| format!("({id}, {}, {})", id / 3 * 7, id % 5);
        let rows: Vec<(i64, String)> = (0..90).map(|id| (id, row(id))).collect();
        world.insert("acc", &rows).await;
        // The rows of one code are missing.
        let by_code: Vec<(i64, String)> = (0..90)
            .filter(|id| id / 3 != 20)
            .map(|id| (id / 3 * 7, row(id)))
            .collect();
        world.insert("acc_by_code", &by_code).await;
        let check = async |sql: &str, asked: usize| {
            let (places, answer) = world.trusting(sql).await;
            assert_eq!(places, asked, "{sql}");
            assert_eq!(answer.rows, world.expected(sql).await.unwrap().rows, "{sql}");
        };
        check("SELECT id, n FROM acc WHERE code = 14 ORDER BY id", 3).await;
        check("SELECT COUNT(*), SUM(n) FROM acc AS a WHERE a.code IN (14, 21) AND n > 1", 6).await;
        check("SELECT COUNT(*) FROM acc WHERE code = 14 AND id IN (6, 9)", 1).await;
        // Nothing is found anywhere.
        check("SELECT id FROM acc WHERE code = 15", 1).await;
        // What an index table cannot be asked goes to all.
        check("SELECT COUNT(*) FROM acc WHERE code > 14", 16).await;
        check("SELECT COUNT(*) FROM acc WHERE code = 14 OR n = 3", 16).await;
        check("SELECT COUNT(*) FROM acc WHERE n = 3", 16).await;
        // A row that it lacks is not found, and only where it is trusted.
        let (_, answer) = world.trusting("SELECT id FROM acc WHERE code = 140").await;
        assert_eq!(answer.rows.len(), 0);
        world.same("SELECT id FROM acc WHERE code = 140 ORDER BY id").await;
    }
}

#[test]
fn what_depends_on_a_shard_is_told_from_what_does_not() {
    let text = "version: 1\ncluster: traps\ninstances:\n  a: { host: x, port: 1 }\nschemas:\n  \
                name: traps_{}\n  count: 4\n  on:\n    a: 0-3\ntables:\n  t:\n    shard_key: id\n    \
                function: mod\n    ddl: CREATE TABLE t (id bigint NOT NULL PRIMARY KEY, c text)\n";
    let topology = parse(text).unwrap();
    let apart = |sql: &str, reason: &str| match plan(sql, &topology).unwrap().way {
        Way::Apart(refusal) => assert!(refusal.to_string().contains(reason), "{sql}: {refusal}"),
        other => panic!("{sql}: {other:?}"),
    };
    // Even where the key names the shard: the words are weighed by all rows.
    let sql = "SELECT MATCH(c) AGAINST ('x') FROM t WHERE id = 5";
    let refusal = plan(sql, &topology).unwrap_err();
    assert!(matches!(refusal, Refusal::Inexact(_)), "{refusal}");
    apart(
        "SELECT CURRENT_USER, id FROM t",
        "another value on each shard",
    );
    apart(
        "SELECT id FROM t WHERE c = current_role",
        "another value on each shard",
    );
    assert!(matches!(
        plan("SELECT CURRENT_USER FROM t WHERE id = 5", &topology)
            .unwrap()
            .way,
        Way::One { .. }
    ));
    for hint in [
        "SELECT /*+ SET_VAR(sql_select_limit = 1) */ id FROM t",
        "SELECT /*+ max_execution_time(0) */ id FROM t WHERE id = 5",
    ] {
        let refusal = plan(hint, &topology).unwrap_err();
        assert!(matches!(refusal, Refusal::Unsafe(_)), "{hint}: {refusal}");
    }
    assert!(plan("SELECT /*+ NO_ICP(t) */ id FROM t", &topology).is_ok());
    assert!(plan("SELECT '/*+ SET_VAR(x=1) */' FROM t", &topology).is_ok());
}
