//! What a person writes and what each server prints of it is one table; what differs is found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use shardctl::schema::TableDef;
use shardctl::schema::compare::differences;
use shardctl::schema::parse::parse_create_table;
use shardctl::schema::render::with_name;
use support::{Engine, on_each_engine};

/// Statements that both servers take.
const BOTH: &[&str] = &[
    // Types and their other names.
    "CREATE TABLE t (a tinyint(1), b smallint(5) unsigned, c mediumint, d int(11) NOT NULL, \
     e bigint(20) unsigned NOT NULL DEFAULT 7, f integer zerofill, g int1, h middleint, i bool DEFAULT true)",
    "CREATE TABLE t (a decimal, b dec(5), c numeric(12,4) unsigned DEFAULT 1.5, d fixed(3,1) NOT NULL \
     DEFAULT '-0.50', e decimal(65,30), f decimal(0), g decimal(10,2) DEFAULT 0)",
    "CREATE TABLE t (a float, b float(20), c float(30), d double precision, e real unsigned, \
     f double DEFAULT 1e10, g float DEFAULT -1.5, h float(7,2), i double(9,3) NOT NULL DEFAULT 0)",
    "CREATE TABLE t (a bit, b bit(64) DEFAULT b'101', c bit(1) NOT NULL DEFAULT b'0')",
    "CREATE TABLE t (a char, b char(10) NOT NULL DEFAULT 'x', c character varying(20), d nchar(3), \
     e national varchar(7), f varchar(20) DEFAULT 'it''s \\\\ \"q\"', g long, h tinytext, i mediumtext, j longtext)",
    "CREATE TABLE t (a binary, b binary(16) NOT NULL, c varbinary(64), d tinyblob, e blob, f mediumblob, \
     g longblob, h char(4) byte, i blob(100), j text(100), k text(10), \
     l text(60) CHARACTER SET latin1, m binary(4) DEFAULT 'ab', n text(70000))",
    "CREATE TABLE t (a date DEFAULT '2020-01-01', b time, c time(3) DEFAULT '10:00:00', d year, e year(4), \
     f datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), g datetime DEFAULT '2020-01-01', \
     h datetime(3) NOT NULL DEFAULT '2020-01-01 00:00:00')",
    "CREATE TABLE t (a timestamp NOT NULL DEFAULT NOW() ON UPDATE NOW(), b timestamp NULL, \
     c timestamp NULL DEFAULT localtime, d timestamp(3) DEFAULT current_timestamp(3))",
    "CREATE TABLE t (a enum('a','b','c''d','e,f') NOT NULL DEFAULT 'a', b set('x','y') DEFAULT 'x,y', \
     c enum('ü','中') CHARACTER SET utf8mb4)",
    "CREATE TABLE t (a json, b json NOT NULL, c int, CHECK (json_valid(b)))",
    "CREATE TABLE t (a geometry, b point NOT NULL, c polygon, d geometrycollection, SPATIAL KEY (b))",
    "CREATE TABLE t (id serial, v int)",
    // Charsets.
    "CREATE TABLE t (a varchar(9), b varchar(9) COLLATE utf8mb4_bin, c varchar(9) CHARACTER SET latin1, \
     d text CHARACTER SET latin1 COLLATE latin1_bin, e char(3) CHARACTER SET ascii) \
     DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
    "CREATE TABLE t (a varchar(9), b varchar(9) CHARACTER SET utf8mb4) DEFAULT CHARSET=latin1",
    "CREATE TABLE t (a varchar(9), b varchar(5) COLLATE latin1_swedish_ci, c enum('a')) COLLATE=latin1_german1_ci",
    "CREATE TABLE t (a varchar(9) CHARACTER SET utf8, b text CHARACTER SET utf8 COLLATE utf8_bin) CHARSET=utf8",
    "CREATE TABLE t (a varchar(9) BINARY, b char(3) ASCII, c char(3) CHARACTER SET latin1 BINARY) CHARSET utf8mb4",
    "CREATE TABLE t (a varchar(9) CHARACTER SET binary, b char(3) CHARACTER SET binary, c text CHARACTER SET binary)",
    // Defaults.
    "CREATE TABLE t (a int DEFAULT NULL, b int NOT NULL DEFAULT '5', c varchar(9) DEFAULT 5, d int DEFAULT -1, \
     e tinyint DEFAULT FALSE, f bigint DEFAULT 0x10, g varchar(9) DEFAULT '')",
    "CREATE TABLE t (a varchar(36) DEFAULT (uuid()), b int DEFAULT (1 + 2), c datetime DEFAULT (now() + interval 1 day), \
     d varchar(20) DEFAULT (concat('a', 'b c')), e text DEFAULT ('x'))",
    // Keys.
    "CREATE TABLE t (id int PRIMARY KEY, a varchar(50) UNIQUE, b text)",
    "CREATE TABLE t (id int NOT NULL, a varchar(50), b text, c int, PRIMARY KEY (id, c), KEY (a), KEY k1 (b(10), a(50)), \
     UNIQUE (a, id), CONSTRAINT u UNIQUE KEY v (c), INDEX k2 USING BTREE (c, a) COMMENT 'it''s', FULLTEXT KEY ft (b))",
    "CREATE TABLE t (id int NOT NULL, a int, b int, KEY k (a DESC, b ASC), KEY l (b DESC), PRIMARY KEY (id DESC))",
    "CREATE TABLE t (`select` int, `a``b` int, `C d` int, PRIMARY KEY USING BTREE (`SELECT`), KEY `k ``` (`a``b`, `C D`))",
    "CREATE TABLE t (id int AUTO_INCREMENT, v int NOT NULL, PRIMARY KEY (v, id), KEY (id)) AUTO_INCREMENT=100",
    // Generated columns and checks.
    "CREATE TABLE t (a int, b varchar(20), c int AS (a * 2 + 1) VIRTUAL, d int GENERATED ALWAYS AS ((a + 1) * 2) STORED, \
     e varchar(60) AS (concat(b, ' ', 'x y')) STORED, f varchar(20) AS (lcase(b)), KEY (f))",
    "CREATE TABLE t (a int, b int, c varchar(10), CHECK (a > 0 AND (b < 10 OR b = 20)), CHECK (c <> ''), \
     CONSTRAINT c1 CHECK (a != b), d int CHECK (d BETWEEN 1 AND 5), e int CHECK (e IN (1,2,3)))",
    "CREATE TABLE t (a int, b varchar(10), CHECK (a IS NOT NULL OR b LIKE 'x%'), CHECK (NOT (a = 1 AND b = 'y')), \
     CHECK (length(b) > 2), CHECK (a MOD 2 = 0), CHECK (a - 1 - 2 > -5), CHECK (NOT json_valid(b)), CHECK (b NOT LIKE 'q_' AND NOT b IN ('a', 'b c')), CHECK (CASE WHEN a > 1 THEN b ELSE 'z' END <> 'q'))",
    "CREATE TABLE t (doc json, v varchar(20) AS (json_unquote(json_extract(doc, '$.a'))) VIRTUAL, \
     d date AS (cast(json_extract(doc, '$.d') AS date)) STORED, KEY (v))",
    "CREATE TABLE t (a datetime, b date AS (cast(a AS date)) STORED, y int AS (year(a)) STORED, \
     n datetime AS (date_add(a, interval 1 day)) STORED, c char(5) AS (cast(y AS char(5))) STORED, \
     v varchar(9), s varchar(3) AS (substring(v, 1, 3)) STORED, i int AS (if(y > 5, 1, 0)) STORED)",
    // Foreign keys.
    "CREATE TABLE t (id int PRIMARY KEY, parent int, other int, KEY o (other), \
     CONSTRAINT fk_p FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL, \
     FOREIGN KEY (other) REFERENCES parent (id))",
    "CREATE TABLE t (id int PRIMARY KEY, parent int, FOREIGN KEY idx_name (parent) REFERENCES parent (id) ON DELETE RESTRICT)",
    // Options.
    "CREATE TABLE t (a int COMMENT 'it''s \"a\"\\n中') ENGINE=innodb ROW_FORMAT=dynamic STATS_PERSISTENT=1 COMMENT='c''d' \
     AVG_ROW_LENGTH=100, MAX_ROWS=1000 CHARACTER SET = utf8mb4",
    "CREATE TABLE t (a int) ENGINE MyISAM CHECKSUM=1 DELAY_KEY_WRITE=1 PACK_KEYS=1",
    // Partitions.
    "CREATE TABLE t (id int NOT NULL, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 4",
    "CREATE TABLE t (id int NOT NULL, d date NOT NULL, PRIMARY KEY (id, d)) PARTITION BY RANGE (to_days(d)) \
     (PARTITION p0 VALUES LESS THAN (737791) COMMENT = 'old', PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE t (id int NOT NULL, d date NOT NULL) PARTITION BY RANGE COLUMNS (d) \
     (PARTITION p0 VALUES LESS THAN ('2020-01-01'), PARTITION p1 VALUES LESS THAN (MAXVALUE))",
    "CREATE TABLE t (id int NOT NULL, v int) PARTITION BY LIST (v) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 \
     (PARTITION `a` VALUES IN (1,2,NULL), PARTITION b VALUES IN (3))",
    "CREATE TABLE t (id int NOT NULL PRIMARY KEY) PARTITION BY KEY () PARTITIONS 2",
    // Layout and comments.
    "create table if not exists T(# x\n`id`\nint -- y\n,/* a int, */b int/**/);",
];

/// Statements that only MySQL takes.
const MYSQL: &[&str] = &[
    "CREATE TABLE t (a int, b int INVISIBLE DEFAULT 3, KEY k (a) INVISIBLE)",
    "CREATE TABLE t (a varchar(20), b json, KEY f ((lower(a))), KEY g ((a + 1) DESC, a), \
     UNIQUE KEY h ((cast(b->>'$.x' AS char(20)))))",
    "CREATE TABLE t (b json, KEY m ((cast(b->'$.tags' AS unsigned array))))",
    "CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 1) NOT ENFORCED)",
    "CREATE TABLE t (p point NOT NULL SRID 4326, v vector(3), SPATIAL KEY (p))",
    "CREATE TABLE t (a varchar(9) COLLATE utf8mb4_0900_as_cs, b varchar(9)) COLLATE utf8mb4_0900_ai_ci",
    "CREATE TABLE t (a int, b varchar(20) AS (a REGEXP '^x'), c varchar(20) AS (b->>'$.y'))",
    "CREATE TABLE t (a int, b int /*!50606 STORAGE DISK */ /*!50606 COLUMN_FORMAT DYNAMIC */ DEFAULT NULL)",
    "CREATE TABLE t (a int) ENGINE=InnoDB ENCRYPTION='N' AUTOEXTEND_SIZE=4M",
];

/// Statements that only MariaDB takes.
const MARIADB: &[&str] = &[
    "CREATE TABLE t (a uuid DEFAULT uuid(), b inet6, c inet4, d varchar(99) COMPRESSED, e int INVISIBLE, KEY k (a) IGNORED)",
    "CREATE TABLE t (a int, b int AS (a + 1) PERSISTENT, c int DEFAULT (a * 2)) PAGE_COMPRESSED=1",
    "CREATE TABLE t (a int) ENGINE=Aria PAGE_CHECKSUM=1 TRANSACTIONAL=1",
    "CREATE TABLE t (a int) WITH SYSTEM VERSIONING",
    "CREATE TABLE t (a varchar(9) COLLATE utf8mb4_nopad_bin, b varchar(9)) COLLATE utf8mb4_uca1400_ai_ci",
    "CREATE TABLE t (p point REF_SYSTEM_ID=4326 NOT NULL)",
];

/// The table that each of [`PLANTED`] changes.
const PLAIN: &str = "CREATE TABLE t (id bigint unsigned NOT NULL, status tinyint unsigned NOT NULL DEFAULT 0, \
    name varchar(20) COLLATE utf8mb4_bin DEFAULT 'a b', price decimal(10,2) DEFAULT 1.5, \
    at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), \
    total int AS (status * (2 + 1)) STORED COMMENT 'sum', kind enum('a','b'), doc json, \
    parent int, PRIMARY KEY (id), KEY k (status, name(5)), UNIQUE u (name, id), \
    CONSTRAINT c CHECK ((status < 9 OR price > 0) AND parent > 0), \
    CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent (id)) ENGINE=InnoDB CHARSET=utf8mb4 \
    STATS_PERSISTENT=1 COMMENT='x'";

/// A change to [`PLAIN`] on the server and what is to be said of it.
type Planted = (&'static str, &'static [&'static str]);

const PLANTED: &[Planted] = &[
    ("COMMENT 'y'", &["comment is y, wanted x"]),
    ("AUTO_INCREMENT 100", &[]),
    ("STATS_PERSISTENT=0", &["stats_persistent is 0, wanted 1"]),
    ("DROP KEY k", &["lacks index `k` (status, name(5))"]),
    (
        "DROP KEY k, ADD KEY k (status, name(6))",
        &[
            "lacks index `k` (status, name(5))",
            "has a further index `k` (status, name(6))",
        ],
    ),
    (
        "DROP KEY u, ADD KEY u (name, id)",
        &[
            "lacks unique index `u` (name, id)",
            "has a further index `u` (name, id)",
        ],
    ),
    (
        "ADD KEY further (id, status)",
        &["has a further index `further` (id, status)"],
    ),
    (
        "DROP PRIMARY KEY, ADD PRIMARY KEY (id, status)",
        &["its primary key is (id, status), wanted (id)"],
    ),
    (
        "DROP PRIMARY KEY",
        &["its primary key is none, wanted (id)"],
    ),
    ("ADD further date", &["has a further column `further` date"]),
    ("DROP kind", &["lacks column `kind` enum('a','b')"]),
    (
        "MODIFY kind enum('a','b') FIRST",
        &["has its columns in another order"],
    ),
    (
        "MODIFY kind enum('b','a')",
        &["column `kind`: found enum('b','a'), wanted enum('a','b')"],
    ),
    (
        "MODIFY id bigint NOT NULL",
        &["column `id`: found bigint, wanted bigint unsigned"],
    ),
    (
        "MODIFY id bigint unsigned NOT NULL AUTO_INCREMENT",
        &["column `id`: found auto_increment, wanted no auto_increment"],
    ),
    (
        "MODIFY name varchar(20) COLLATE utf8mb4_unicode_ci DEFAULT 'a b'",
        &["column `name`: found collate utf8mb4_unicode_ci, wanted collate utf8mb4_bin"],
    ),
    (
        "MODIFY name varchar(20) COLLATE utf8mb4_bin DEFAULT 'ab'",
        &["column `name`: found default 'ab', wanted default 'a b'"],
    ),
    (
        "MODIFY name varchar(20) COLLATE utf8mb4_bin NOT NULL DEFAULT 'a b'",
        &["column `name`: found not null, wanted null"],
    ),
    (
        "MODIFY price decimal(10,3) DEFAULT 1.5",
        &["column `price`: found decimal(10,3), wanted decimal(10,2)"],
    ),
    (
        "MODIFY price decimal(10,2)",
        &["column `price`: found no default, wanted default 1.5"],
    ),
    (
        "MODIFY at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)",
        &["column `at`: found no on update, wanted on update current_timestamp(3)"],
    ),
    (
        "MODIFY total int AS (status * 2 + 1) STORED COMMENT 'sum'",
        &[
            "column `total`: found as ((status * 2) + 1) stored, wanted as (status * (2 + 1)) stored",
        ],
    ),
    (
        "MODIFY parent int COMMENT 'y'",
        &["column `parent`: found comment 'y', wanted no comment"],
    ),
    (
        "MODIFY price decimal(10,2) zerofill DEFAULT 1.5",
        &["column `price`: found decimal(10,2) unsigned, zerofill, \
           wanted decimal(10,2), no further attribute"],
    ),
    (
        "MODIFY doc longtext",
        &["column `doc`: found longtext, wanted json"],
    ),
    (
        "DROP CONSTRAINT c",
        &["lacks the constraint check (((status < 9) or (price > 0)) and (parent > 0))"],
    ),
    (
        "DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (status < 9 OR price > 0 AND parent > 0)",
        &[
            "lacks the constraint check (((status < 9) or (price > 0)) and (parent > 0))",
            "has a further constraint check ((status < 9) or ((price > 0) and (parent > 0)))",
        ],
    ),
    (
        "DROP FOREIGN KEY fk",
        &["lacks the constraint foreign key (parent) references parent (id)"],
    ),
];

const PLANTED_MYSQL: &[Planted] = &[
    (
        "MODIFY name varchar(20) DEFAULT 'a b'",
        &["column `name`: found collate utf8mb4_0900_ai_ci, wanted collate utf8mb4_bin"],
    ),
    (
        "ALTER INDEX k INVISIBLE",
        &[
            "lacks index `k` (status, name(5))",
            "has a further index `k` (status, name(5)) invisible",
        ],
    ),
    (
        "ALTER COLUMN kind SET INVISIBLE",
        &["column `kind`: found invisible, wanted no further attribute"],
    ),
    (
        "ALTER CHECK c NOT ENFORCED",
        &[
            "lacks the constraint check (((status < 9) or (price > 0)) and (parent > 0))",
            "has a further constraint check (((status < 9) or (price > 0)) and (parent > 0)) not enforced",
        ],
    ),
    (
        "CONVERT TO CHARACTER SET latin1",
        &[
            "column `name`: found collate latin1_swedish_ci, wanted collate utf8mb4_bin",
            "column `kind`: found charset latin1, wanted charset utf8mb4",
            "charset is latin1, wanted utf8mb4",
        ],
    ),
];

const PLANTED_MARIADB: &[Planted] = &[
    (
        "MODIFY name varchar(20) DEFAULT 'a b'",
        &["column `name`: found collate utf8mb4_general_ci, wanted collate utf8mb4_bin"],
    ),
    (
        "ALTER KEY k IGNORED",
        &[
            "lacks index `k` (status, name(5))",
            "has a further index `k` (status, name(5)) invisible",
        ],
    ),
    (
        "ADD SYSTEM VERSIONING",
        &["system versioning is 1, wanted not set"],
    ),
];

/// A schema of the test's own with a table that foreign keys can name.
async fn schema(conn: &mut Conn, prefix: &str) -> String {
    let schema = support::fresh_schema(prefix);
    for sql in [
        format!("CREATE DATABASE {schema} DEFAULT CHARACTER SET utf8mb4"),
        format!("CREATE TABLE {schema}.parent (id int PRIMARY KEY)"),
    ] {
        conn.query_drop(sql).await.unwrap();
    }
    schema
}

/// Creates the table and reads it back; `Err` says which part failed.
async fn found(
    conn: &mut Conn,
    schema: &str,
    number: usize,
    sql: &str,
) -> Result<TableDef, String> {
    let name = format!("t_{number}");
    let physical = with_name(sql, &name, Some(schema)).map_err(|error| error.to_string())?;
    conn.query_drop(&physical)
        .await
        .map_err(|error| error.to_string())?;
    let row: Option<(String, String)> = conn
        .query_first(format!("SHOW CREATE TABLE {schema}.{name}"))
        .await
        .map_err(|error| error.to_string())?;
    let printed = row.unwrap().1;
    parse_create_table(&printed).map_err(|error| format!("{error}\n{printed}"))
}

on_each_engine! {
    async fn what_was_written_and_what_the_server_prints_is_one_table(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = schema(&mut conn, "ddl").await;
        let own = if engine == Engine::Mysql { MYSQL } else { MARIADB };
        let mut wrong = Vec::new();
        for (number, sql) in BOTH.iter().chain(own).enumerate() {
            let wanted = match parse_create_table(sql) {
                Ok(wanted) => wanted,
                Err(error) => {
                    wrong.push(format!("{sql}\n  {error}"));
                    continue;
                }
            };
            match found(&mut conn, &schema, number, sql).await {
                Ok(found) => {
                    for difference in differences(&wanted, &found) {
                        wrong.push(format!("{sql}\n  {difference}"));
                    }
                }
                Err(error) => wrong.push(format!("{sql}\n  {error}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn each_planted_difference_is_found_and_nothing_else(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = schema(&mut conn, "drift").await;
        let own = if engine == Engine::Mysql { PLANTED_MYSQL } else { PLANTED_MARIADB };
        let mut wrong = Vec::new();
        for (number, (alter, expected)) in PLANTED.iter().chain(own).enumerate() {
            let wanted = parse_create_table(PLAIN).unwrap();
            let table = format!("{schema}.t_{number}");
            found(&mut conn, &schema, number, PLAIN).await.unwrap();
            if let Err(error) = conn.query_drop(format!("ALTER TABLE {table} {alter}")).await {
                wrong.push(format!("{alter}\n  {error}"));
                conn.query_drop(format!("DROP TABLE {table}")).await.unwrap();
                continue;
            }
            let row: Option<(String, String)> =
                conn.query_first(format!("SHOW CREATE TABLE {table}")).await.unwrap();
            let found = parse_create_table(&row.unwrap().1).unwrap();
            // The names of its constraints are the schema's, not the table's.
            conn.query_drop(format!("DROP TABLE {table}")).await.unwrap();
            let said: Vec<String> =
                differences(&wanted, &found).iter().map(ToString::to_string).collect();
            if said != *expected {
                wrong.push(format!("{alter}\n  {said:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
