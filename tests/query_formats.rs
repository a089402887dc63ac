//! Types and names of an answer's columns are the server's own in every output format.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Command;

use mysql_async::prelude::Queryable;
use support::shop::{Shop, shown};
use support::{Engine, on_each_engine};

/// A table with a column of every kind that is printed in a way of its own.
const EVERY: &str = "CREATE TABLE every (id bigint NOT NULL PRIMARY KEY, big bigint unsigned, \
     price decimal(10,3), padded int(6) unsigned zerofill, yes tinyint(1), on_day date, at datetime(3), \
     long_time time, year_of year, flags bit(10), token varbinary(8), fixed binary(3), blob_of blob, \
     note varchar(40), kind enum('a','b'), real_of double, single float, doc json) \
     DEFAULT CHARSET=utf8mb4";

const ROWS: [&str; 3] = [
    "(1, 18446744073709551615, 1.5, 42, 1, '0000-00-00', '2024-02-29 23:59:59.5', '-838:59:59', 2024, \
     b'1000000001', 0x00ff, 0x61, 0x0a5c, 'a\\t\"b\",\\nc\\\\', 'b', 0.1, 1.25, '{\"k\": [1]}')",
    "(5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL)",
    "(9, 0, -0.001, 0, 0, '2024-00-00', '0000-00-00 00:00:00', '00:00:00', 0, b'0', '', '', '', '', \
     'a', -1e30, 0, '\"\"')",
];

async fn shop(engine: Engine) -> Shop {
    let shop = Shop::open(engine).await;
    let file = shop.path("topology.yaml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(
        "  every:\n    shard_key: id\n    function: mod\n    name: every\n    ddl: |\n      ",
    );
    text.push_str(EVERY);
    text.push('\n');
    std::fs::write(file, text).unwrap();
    for shard in 0..4 {
        let mut conn = support::conn(&shop.sandbox, shop.instance(shard)).await;
        conn.query_drop(format!("USE {}", shop.schema(shard)))
            .await
            .unwrap();
        conn.query_drop(EVERY).await.unwrap();
        if shard == 1 {
            conn.query_drop("SET sql_mode='', NAMES utf8mb4")
                .await
                .unwrap();
            for row in ROWS {
                conn.query_drop(format!("INSERT INTO every VALUES {row}"))
                    .await
                    .unwrap();
            }
        }
    }
    shop
}

fn answer(shop: &Shop, format: &str, sql: &str) -> String {
    let output = shop.run(&["query", "-q", "-o", format, sql]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

on_each_engine! {
    async fn every_kind_of_value_is_printed_as_the_server_has_it(engine) {
        let shop = shop(engine).await;
        // The same whether one shard answers or all of them do, merged or gathered.
        let one = "SELECT * FROM every WHERE id = 1";
        let all = "SELECT * FROM every ORDER BY id";
        let gathered = "SELECT * FROM every e WHERE id IN (SELECT id FROM every x) ORDER BY e.id";
        let vertical = answer(&shop, "vertical", one);
        insta::allow_duplicates! {
        insta::assert_snapshot!(vertical, @r#"
        *************************** 1. row ***************************
               id: 1
              big: 18446744073709551615
            price: 1.500
           padded: 000042
              yes: 1
           on_day: 0000-00-00
               at: 2024-02-29 23:59:59.500
        long_time: -838:59:59
          year_of: 2024
            flags: 0x0201
            token: 0x00ff
            fixed: 0x610000
          blob_of: 0x0a5c
             note: a	"b",
        c\
             kind: b
          real_of: 0.1
           single: 1.25
              doc: {"k": [1]}
        "#);
        }
        let csv = answer(&shop, "csv", all);
        let expected = "id,big,price,padded,yes,on_day,at,long_time,year_of,flags,token,fixed,blob_of,note,\
             kind,real_of,single,doc\r\n\
             1,18446744073709551615,1.500,000042,1,0000-00-00,2024-02-29 23:59:59.500,-838:59:59,2024,0x0201,\
             0x00ff,0x610000,0x0a5c,\"a\t\"\"b\"\",\nc\\\",b,0.1,1.25,\"{\"\"k\"\": [1]}\"\r\n\
             5,,,,,,,,,,,,,,,,,\r\n\
             9,0,-0.001,000000,0,2024-00-00,0000-00-00 00:00:00.000,00:00:00,0000,0x0000,0x,0x000000,0x,\"\",a,\
             -1e30,0,\"\"\"\"\"\"\r\n";
        assert_eq!(csv, expected);
        let tsv = shop.run(&["query", "-q", "-o", "tsv", all]).stdout;
        let json: serde_json::Value = serde_json::from_str(&answer(&shop, "json", all)).unwrap();
        let kinds: Vec<&str> = json["columns"].as_array().unwrap().iter().map(|c| c["kind"].as_str().unwrap()).collect();
        // MariaDB's JSON is a text to it.
        let doc = if engine == Engine::Mysql { "json" } else { "text" };
        assert_eq!(
            kinds,
            ["integer", "integer", "decimal", "integer", "integer", "date", "date", "time", "integer", "bit",
             "binary", "binary", "binary", "text", "enum", "double", "float", doc]
        );
        assert_eq!(
            json["rows"][0],
            serde_json::json!([1, u64::MAX, "1.500", 42, 1, "0000-00-00", "2024-02-29 23:59:59.500", "-838:59:59",
                2024, "AgE=", "AP8=", "YQAA", "Clw=", "a\t\"b\",\nc\\", "b", 0.1, 1.25, "{\"k\": [1]}"])
        );
        assert_eq!((&json["rows"][2][3], &json["rows"][2][8]), (&0.into(), &0.into()));
        assert!(json["rows"][1].as_array().unwrap().iter().skip(1).all(serde_json::Value::is_null), "{json}");
        for sql in [all, gathered] {
            let lines = answer(&shop, "ndjson", sql);
            for (line, row) in lines.lines().zip(json["rows"].as_array().unwrap()) {
                let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
                assert_eq!(&object.values().cloned().collect::<serde_json::Value>(), row, "{sql}");
            }
            assert_eq!(lines.lines().count(), 3, "{sql}");
            assert_eq!(answer(&shop, "csv", sql), expected, "{sql}");
            assert!(shop.run(&["query", "-q", "-o", "tsv", sql]).stdout == tsv, "{sql}");
        }
        let table = answer(&shop, "table", "SELECT big, price, on_day, flags, token, note FROM every WHERE id IN (5, 9) ORDER BY id");
        insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        +------+--------+------------+--------+-------+------+
        |  big |  price | on_day     | flags  | token | note |
        +====================================================+
        | NULL |   NULL | NULL       | NULL   | NULL  | NULL |
        |    0 | -0.001 | 2024-00-00 | 0x0000 | 0x    |      |
        +------+--------+------------+--------+-------+------+
        ");
        }
    }

    /// The servers' own client in batch mode, on one shard, writes the same bytes.
    async fn tsv_is_what_the_servers_client_writes(engine) {
        if engine == Engine::Mysql {
            // The form is the client's, whatever the server; that of MariaDB is installed.
            return;
        }
        let shop = shop(engine).await;
        let instance = shop.sandbox.instance("rds-1").unwrap();
        let client = Command::new("mariadb")
            .arg(format!("--defaults-file={}", shop.sandbox.client_file().display()))
            .arg(format!("--socket={}", instance.socket.display()))
            .args(["--batch", "--default-character-set=utf8mb4", "-e", "SELECT * FROM every ORDER BY id", &shop.schema(1)])
            .output()
            .unwrap();
        assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
        let ours = shop.run(&["query", "-q", "-o", "tsv", "SELECT * FROM every ORDER BY id"]);
        assert_eq!(String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&client.stdout));
        assert!(ours.stdout == client.stdout, "bytes that are no text differ");
    }

    async fn columns_have_the_servers_own_names(engine) {
        let shop = shop(engine).await;
        let sql = "SELECT COUNT(*), MAX( id ), id+1, 'x', NULL, `note` FROM every WHERE id = 1 GROUP BY id, note";
        let mut conn = support::conn(&shop.sandbox, "rds-1").await;
        conn.query_drop(format!("USE {}", shop.schema(1))).await.unwrap();
        let own = conn.query_iter(sql).await.unwrap();
        let names: Vec<String> = own.columns().unwrap().iter().map(|c| c.name_str().into_owned()).collect();
        drop(own);
        for spread in ["id = 1", "id > 0"] {
            let sql = sql.replace("id = 1", spread);
            let csv = answer(&shop, "csv", &sql);
            assert_eq!(csv.lines().next().unwrap(), names.join(","), "{sql}");
        }
    }
}
