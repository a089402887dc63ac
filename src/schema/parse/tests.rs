use proptest::prelude::*;

use super::*;
use crate::schema::compare::{differences, type_text};

fn parse(sql: &str) -> TableDef {
    parse_create_table(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

/// The types of the columns, in SQL words.
fn types(columns: &str) -> Vec<String> {
    let def = parse(&format!("CREATE TABLE t ({columns})"));
    def.columns
        .iter()
        .map(|column| type_text(&column.kind))
        .collect()
}

fn refused(sql: &str, expected: &str) {
    assert_eq!(parse_create_table(sql).unwrap_err().to_string(), expected);
}

#[test]
fn types_are_read_whatever_their_spelling() {
    assert_eq!(
        types(
            "a INTEGER(11), b int4 unsigned zerofill, c BOOL, d numeric, e dec(5,2) unsigned, \
             f double precision, g float(30), h character varying(10), i char byte, j long, \
             k year(4), l timestamp(3), m enum('a','b''c'), n nvarchar(3), o bit"
        ),
        [
            "int",
            "int unsigned",
            "tinyint",
            "decimal(10,0)",
            "decimal(5,2) unsigned",
            "double",
            "double",
            "varchar(10)",
            "binary(1)",
            "mediumtext",
            "year",
            "timestamp(3)",
            "enum('a','b''c')",
            "varchar(3)",
            "bit(1)",
        ]
    );
}

#[test]
fn keys_are_read_wherever_they_stand() {
    let def = parse(
        "CREATE TABLE t (id SERIAL, a int UNIQUE, b varchar(9) PRIMARY KEY, KEY k (a DESC, b(3)), \
         CONSTRAINT u UNIQUE (a, b), UNIQUE INDEX v (b), FULLTEXT (b), KEY f ((lower(b))))",
    );
    assert_eq!(def.primary_key[0].column, "b");
    assert!(!def.column("B").unwrap().nullable);
    let names: Vec<Option<&str>> = def.indexes.iter().map(|i| i.name.as_deref()).collect();
    assert_eq!(
        names,
        [None, None, Some("k"), Some("u"), Some("v"), None, Some("f")]
    );
    assert_eq!(def.indexes[2].parts[1].prefix, Some(3));
    assert!(def.indexes[2].parts[0].descending);
    assert_eq!(def.indexes[6].parts[0].column, "(lower(b))");
    assert_eq!(def.unique_keys().count(), 5);
}

#[test]
fn charsets_come_from_the_column_then_the_table() {
    let def = parse(
        "CREATE TABLE t (a varchar(9), b varchar(9) COLLATE latin1_bin, c text CHARACTER SET utf8) \
         DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
    );
    let collation = |name: &str| match &def.column(name).unwrap().kind {
        ColumnType::Varchar { collation, .. } | ColumnType::Text { collation, .. } => {
            (collation.charset.clone().unwrap(), collation.name.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        collation("a"),
        ("utf8mb4".into(), Some("utf8mb4_unicode_ci".into()))
    );
    assert_eq!(collation("b"), ("latin1".into(), Some("latin1_bin".into())));
    assert_eq!(collation("c"), ("utf8mb3".into(), None));
}

#[test]
fn a_comment_is_not_code_and_a_version_comment_is() {
    let def = parse(
        "CREATE TABLE t ( -- Generated\n a int COMMENT 'GENERATED ALWAYS, it''s', /*/ c int, */ # x\n \
         b int /* c int, */ /*!80023 INVISIBLE */) /*!50100 PARTITION BY HASH (a) PARTITIONS 4 */",
    );
    assert_eq!(def.columns.len(), 2);
    assert_eq!(def.columns[0].comment, "GENERATED ALWAYS, it's");
    assert!(def.columns[0].generated.is_none());
    assert_eq!(def.options.other[0].0, "PARTITION");
}

#[test]
fn what_the_two_servers_print_for_one_statement_is_one_table() {
    let wanted = parse(
        "CREATE TABLE t (id bigint unsigned NOT NULL, status tinyint NOT NULL DEFAULT 0, \
         name varchar(50) DEFAULT NULL, doc json, at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP \
         ON UPDATE CURRENT_TIMESTAMP, price decimal(10,2) NOT NULL DEFAULT 0.00, \
         full_name varchar(20) GENERATED ALWAYS AS (concat(name, 'x')) VIRTUAL, \
         PRIMARY KEY (id), KEY (name), UNIQUE KEY u (status, id)) \
         ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='members'",
    );
    let mysql = parse(
        "CREATE TABLE `t_00` (\n  `id` bigint unsigned NOT NULL,\n  `status` tinyint NOT NULL DEFAULT \
         '0',\n  `name` varchar(50) DEFAULT NULL,\n  `doc` json DEFAULT NULL,\n  `at` timestamp NOT \
         NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,\n  `price` decimal(10,2) NOT \
         NULL DEFAULT '0.00',\n  `full_name` varchar(20) GENERATED ALWAYS AS \
         (concat(`name`,_utf8mb4'x')) VIRTUAL,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` \
         (`status`,`id`),\n  KEY `name` (`name`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 \
         COLLATE=utf8mb4_0900_ai_ci COMMENT='members'",
    );
    let mariadb = parse(
        "CREATE TABLE `t_00` (\n  `id` bigint(20) unsigned NOT NULL,\n  `status` tinyint(4) NOT NULL \
         DEFAULT 0,\n  `name` varchar(50) DEFAULT NULL,\n  `doc` longtext CHARACTER SET utf8mb4 \
         COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`doc`)),\n  `at` timestamp NOT NULL \
         DEFAULT current_timestamp() ON UPDATE current_timestamp(),\n  `price` decimal(10,2) NOT \
         NULL DEFAULT 0.00,\n  `full_name` varchar(20) GENERATED ALWAYS AS (concat(`name`,'x')) \
         VIRTUAL,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`status`,`id`),\n  KEY `name` \
         (`name`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci \
         COMMENT='members'",
    );
    assert_eq!(differences(&wanted, &mysql), []);
    assert_eq!(differences(&wanted, &mariadb), []);
}

#[test]
fn each_difference_is_said_in_words() {
    let check = |wanted: &str, found: &str, expected: &[&str]| {
        let table = |body: &str| parse(&format!("CREATE TABLE t ({body})"));
        let said: Vec<String> = differences(&table(wanted), &table(found))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said, expected);
    };
    check("a int, b int", "a int", &["lacks column `b` int"]);
    check(
        "a int",
        "a int, b text NOT NULL",
        &["has a further column `b` text not null"],
    );
    check(
        "a int unsigned",
        "a int",
        &["column `a`: found int, wanted int unsigned"],
    );
    check(
        "a int DEFAULT 1",
        "a int",
        &["column `a`: found no default, wanted default 1"],
    );
    check(
        "a int, b int",
        "b int, a int",
        &["has its columns in another order"],
    );
    check(
        "a int PRIMARY KEY",
        "a int NOT NULL",
        &["its primary key is none, wanted (a)"],
    );
    check(
        "a int, KEY i (a)",
        "a int, UNIQUE KEY i (a)",
        &["lacks index `i` (a)", "has a further unique index `i` (a)"],
    );
    check(
        "a varchar(9) COLLATE utf8mb4_bin",
        "a varchar(9) CHARACTER SET utf8mb4",
        &["column `a`: found charset utf8mb4, wanted collate utf8mb4_bin"],
    );
    check(
        "a int, CHECK (a > 0)",
        "a int",
        &["lacks the constraint check (a > 0)"],
    );
}

#[test]
fn options_count_where_they_are_wanted() {
    let check = |wanted: &str, found: &str, expected: &[&str]| {
        let table = |options: &str| parse(&format!("CREATE TABLE t (a int) {options}"));
        let said: Vec<String> = differences(&table(wanted), &table(found))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said, expected, "{wanted} / {found}");
    };
    check(
        "ENGINE=innodb",
        "ENGINE=Aria",
        &["engine is Aria, wanted InnoDB"],
    );
    check(
        "",
        "ENGINE=Aria ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 COMMENT='x'",
        &[],
    );
    check(
        "ROW_FORMAT=compressed KEY_BLOCK_SIZE=8",
        "",
        &[
            "row format is not set, wanted COMPRESSED",
            "key_block_size is not set, wanted 8",
        ],
    );
    check("", "AUTO_INCREMENT=5 DEFAULT CHARSET=latin1", &[]);
    check(
        "",
        "PARTITION BY HASH (a) PARTITIONS 4",
        &["partition is partition by hash(a) partitions 4, wanted not set"],
    );
    check(
        "PARTITION BY LIST (a) (PARTITION p VALUES IN (3,1))",
        "/*!50100 PARTITION BY LIST (`a`)\n(PARTITION p VALUES IN (1,3) ENGINE = InnoDB) */",
        &[],
    );
    check(
        "PARTITION BY LIST (a) (PARTITION p VALUES IN (1,2))",
        "PARTITION BY LIST (a) (PARTITION p VALUES IN (12))",
        &[
            "partition is partition by list(a)(partition p values in(12)), \
           wanted partition by list(a)(partition p values in(1, 2))",
        ],
    );
}

#[test]
fn names_that_belong_to_the_schema_are_known() {
    let def = parse(
        "CREATE TABLE t (a int CONSTRAINT c1 CHECK (a > 0), CHECK (a < 9), CONSTRAINT u UNIQUE (a), \
         CONSTRAINT f FOREIGN KEY i (a) REFERENCES Other (id) ON DELETE NO ACTION ON UPDATE CASCADE)",
    );
    assert_eq!(def.constraint_names, ["c1", "f"]);
    assert_eq!(def.references, ["Other"]);
    assert_eq!(
        def.constraints,
        [
            "check (a > 0)",
            "check (a < 9)",
            "foreign key (a) references other (id) on update cascade"
        ]
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    refused(
        "",
        "line 1, column 1: expected CREATE, found the end of the statement",
    );
    refused(
        "CREATE VIEW v",
        "line 1, column 8: expected TABLE, found `VIEW`",
    );
    refused(
        "CREATE TABLE t LIKE u",
        "line 1, column 16: the columns must be written out",
    );
    refused(
        "CREATE TABLE t (a int) SELECT 1",
        "line 1, column 24: the columns must be written out, not selected",
    );
    refused(
        "CREATE TABLE t (a int); DROP TABLE t",
        "line 1, column 25: expected the end of the statement, found `DROP`",
    );
    refused(
        "CREATE TABLE t (\n  a strnig\n)",
        "line 2, column 5: unknown column type `strnig`",
    );
    refused(
        "CREATE TABLE t (a int, a text)",
        "line 1, column 24: the column `a` is there twice",
    );
    refused(
        "CREATE TABLE t (a varchar)",
        "line 1, column 26: expected the length of the VARCHAR, found `)`",
    );
    refused(
        "CREATE TABLE t (a int COMMENT 'x)",
        "line 1, column 31: the quote that starts here is not closed",
    );
    refused(
        "CREATE TABLE t (a int, PRIMARY KEY (b))",
        "line 1, column 37: the primary key names `b`, which is no column",
    );
    refused(
        "CREATE TEMPORARY TABLE t (a int)",
        "line 1, column 8: a temporary table cannot be part of a topology",
    );
}

const SAMPLE: &str = "CREATE TABLE IF NOT EXISTS `t` (\n  `id` bigint(20) unsigned NOT NULL DEFAULT 0x1F COMMENT 'x''y\\n',\n  v varchar(9) CHARACTER SET utf8 COLLATE utf8_bin AS (concat(`id`, \"é\")) STORED,\n  CONSTRAINT c CHECK (`id` > 1.5e3), KEY k ((lower(v)) DESC, v(3)) USING BTREE COMMENT 'i'\n) ENGINE=InnoDB /*!50100 PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (6)) */";

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        let _ = parse_create_table(&text);
        let _ = parse_create_table(&format!("CREATE TABLE t ({text}"));
    }

    #[test]
    fn no_change_to_a_statement_makes_the_parser_panic(
        start in 0usize..SAMPLE.len(), length in 0usize..20, insert in "[ -~\u{e9}\u{4e2d}]{0,4}"
    ) {
        let mut text = SAMPLE.to_owned();
        let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = ((start + length).min(text.len())..=text.len())
            .find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.replace_range(start..end, &insert);
        if let Err(error) = parse_create_table(&text) {
            prop_assert!(error.line as usize <= text.lines().count().max(1) + 1);
        }
    }
}

#[test]
fn the_sample_of_the_properties_is_good() {
    parse(SAMPLE);
}
