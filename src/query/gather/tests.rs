use super::*;
use crate::topology::file::parse;

const TOPOLOGY: &str = "\
version: 1
cluster: shop
instances: {a: {host: x}}
schemas: {name: 's_{}', count: 4, on: {a: 0-3}}
tables:
  member:
    shard_key: id
    function: drds_hash
    ddl: CREATE TABLE member (id bigint NOT NULL PRIMARY KEY, name varchar(9), level int, at datetime)
  buy:
    shard_key: member_id
    function: drds_hash
    ddl: CREATE TABLE buy (member_id bigint NOT NULL, nr int NOT NULL, goods int, price decimal(9,2), PRIMARY KEY (member_id, nr))
  goods:
    broadcast: true
    ddl: CREATE TABLE goods (id int NOT NULL PRIMARY KEY, name varchar(9))
";

fn topology() -> Topology {
    parse(TOPOLOGY).unwrap()
}

/// What is fetched, a line for each table.
fn fetched(sql: &str) -> String {
    let topology = topology();
    let gather = gather(sql, &topology).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
    let lines: Vec<String> = gather
        .fetches
        .iter()
        .map(|fetch| {
            let def = &topology
                .tables
                .values()
                .find(|table| table.name.as_str() == fetch.table)
                .unwrap()
                .def;
            let columns: Vec<&str> = def
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|name| fetch.columns.has(name))
                .collect();
            let filter = fetch.filter.as_deref().unwrap_or("all").replace('`', "");
            let places: Vec<String> = fetch
                .places
                .iter()
                .map(|place| place.table.to_string())
                .collect();
            format!(
                "{}({}) {filter} of {}",
                fetch.table,
                columns.join(" "),
                places.join(" ")
            )
        })
        .collect();
    lines.join("\n")
}

fn refused(sql: &str) -> String {
    match gather(sql, &topology()) {
        Ok(_) => panic!("{sql} is not refused"),
        Err(refusal) => format!("{refusal:?}"),
    }
}

#[test]
fn only_columns_that_are_named_are_fetched() {
    for (sql, expected) in [
        (
            "SELECT m.name FROM member m JOIN buy USING (id)",
            "member(id name) all of 0 1 2 3\nbuy() all of 0 1 2 3",
        ),
        (
            "SELECT m.name, price FROM member m JOIN buy b ON b.member_id = m.id",
            "member(id name) all of 0 1 2 3\nbuy(member_id price) all of 0 1 2 3",
        ),
        (
            "SELECT b.* FROM member m JOIN buy b ON m.level = b.nr",
            "member(level) all of 0 1 2 3\nbuy(member_id nr goods price) all of 0 1 2 3",
        ),
        (
            "SELECT level FROM member NATURAL JOIN goods",
            "member(id name level at) all of 0 1 2 3\ngoods(id name) all of 0",
        ),
        (
            "SELECT MEMBER.ID FROM member AS MEMBER, (SELECT nr FROM buy) x",
            "member(id) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        (
            "SELECT id FROM member WHERE EXISTS (SELECT * FROM buy WHERE nr = level)",
            "member(id level) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        (
            "WITH member AS (SELECT goods FROM buy) SELECT * FROM member",
            "buy(goods) all of 0 1 2 3",
        ),
        (
            "WITH member AS (SELECT id FROM member) SELECT * FROM member, shop.member m2",
            "member(id name level at) all of 0 1 2 3",
        ),
    ] {
        assert_eq!(fetched(sql), expected, "{sql}");
    }
}

#[test]
fn rows_are_narrowed_by_what_no_row_of_the_answer_can_fail() {
    for (sql, expected) in [
        (
            "SELECT m.id FROM member m JOIN buy b ON m.level = b.nr AND b.goods = 3 \
             WHERE m.id = 6 AND (m.name LIKE 'a%' OR m.level IS NULL)",
            "member(id name level) (member.id = 6) AND ((member.name LIKE 'a%') OR \
             (member.level IS NULL)) of 2\n\
             buy(nr goods) (buy.goods = 3) of 0 1 2 3",
        ),
        // Through no side that can be NULL; but a left join's own condition on its right.
        (
            "SELECT m.id FROM member m LEFT JOIN buy b ON m.id = b.member_id AND b.nr = 1 \
             AND m.level = 2 WHERE b.price > 3",
            "member(id level) all of 0 1 2 3\n\
             buy(member_id nr price) (buy.nr = 1) of 0 1 2 3",
        ),
        (
            "SELECT m.id FROM member m RIGHT JOIN buy b ON m.id = b.member_id \
             WHERE m.level = 2 AND b.nr = 2",
            "member(id level) all of 0 1 2 3\nbuy(member_id nr) (buy.nr = 2) of 0 1 2 3",
        ),
        // Where rows are ranked by all rows' words, not at all.
        (
            "SELECT 1 FROM member m, buy b WHERE MATCH (name) AGAINST ('x') AND m.id = 6 AND b.nr = 1",
            "member(id name) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        // By all references, or not at all.
        (
            "SELECT x.id FROM member x JOIN member y ON x.level = y.level \
             WHERE x.id = 1 AND y.id = 2",
            "member(id level) ((member.id = 1)) OR ((member.id = 2)) of 1 2",
        ),
        (
            "SELECT x.id FROM member x JOIN member y ON x.level = y.level WHERE x.id = 1",
            "member(id level) all of 0 1 2 3",
        ),
        // Not by what is of two tables, of a table whose columns are not known, or asks more.
        (
            "SELECT 1 FROM member, (SELECT * FROM buy) b WHERE level = 1",
            "member(level) all of 0 1 2 3\nbuy(member_id nr goods price) all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m JOIN goods g WHERE m.level = g.id AND RAND() < m.level \
             AND m.level IN (SELECT nr FROM buy WHERE member_id = m.id AND nr > 1) AND name = 'x'",
            "member(id name level) all of 0 1 2 3\n\
             buy(member_id nr goods) (buy.nr > 1) of 0 1 2 3\n\
             goods(id name) all of 0",
        ),
        (
            "SELECT 1 FROM member m, buy b WHERE m.id = 1 || b.nr = 1",
            "member(id) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m, buy b WHERE m.at > NOW() - INTERVAL 7 DAY AND DATE(m.at) < '2024-01-01'",
            "member(at) (member.at > (NOW() - INTERVAL 7 DAY)) AND (DATE(member.at) < '2024-01-01') of 0 1 2 3\n\
             buy() all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m, buy b WHERE m.at >= DATE '2024-01-01' \
             AND m.at BETWEEN date '2024-01-01' AND DATE '2024-01-01' + INTERVAL '3' MONTH",
            "member(at) (member.at >= DATE '2024-01-01') \
             AND (member.at BETWEEN DATE '2024-01-01' AND (DATE '2024-01-01' + INTERVAL '3' MONTH)) of 0 1 2 3\n\
             buy() all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m WHERE m.id = 1 AND m.id = 2 UNION SELECT 2 FROM member WHERE id = 7",
            "member(id) ((member.id = 1) AND (member.id = 2)) OR ((member.id = 7)) of 3",
        ),
    ] {
        assert_eq!(fetched(sql), expected, "{sql}");
    }
}

#[test]
fn what_would_do_more_than_compute_from_the_tables_is_refused() {
    for (sql, why) in [
        (
            "SELECT 1 FROM (SELECT id FROM member FOR UPDATE) x",
            "locking",
        ),
        ("SELECT id FROM member UNION SELECT 1 INTO @x", ""),
        ("SELECT SLEEP(1) FROM member JOIN buy", "SLEEP() is refused"),
        (
            "SELECT id FROM member WHERE id IN (SELECT GET_LOCK('a', 1))",
            "GET_LOCK() is refused",
        ),
        ("SELECT my_own(id) FROM member", "my_own() is not known"),
        ("SELECT shop.my_own(id) FROM member", "is not known"),
        ("SELECT `sleep`(1) FROM member", "is not known"),
        ("SELECT * FROM mysql.user", "`mysql` is not the cluster"),
        (
            "SELECT mysql.user.host FROM member",
            "`mysql` is not the cluster",
        ),
        (
            "SELECT * FROM member JOIN nowhere",
            "there is no logical table `nowhere`",
        ),
        ("SELECT @x := id FROM member", ""),
        (
            "SELECT id FROM member WHERE MATCH (name) AGAINST ('+a \"b c\"' IN BOOLEAN MODE)",
            "phrases",
        ),
        ("SELECT @x, id FROM member", "is a variable"),
        ("SELECT @@x.y.z FROM member", ""),
        ("SELECT USER(1) FROM member", "tells about the session"),
        (
            "SELECT LAST_INSERT_ID() FROM member",
            "tells about the session",
        ),
        ("SELECT FOUND_ROWS()", "tells about the session"),
        ("DELETE FROM member", "only SELECT"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT /*!50000 1 */", "version comments"),
        (
            "SELECT /*+ SET_VAR(sql_mode='') */ id FROM member",
            "SET_VAR",
        ),
        ("SELECT id FROM member PARTITION (p0)", "PARTITION"),
        (
            "SELECT id FROM shop.member JOIN buy AS shop",
            "another alias",
        ),
        ("SELECT LOAD_FILE('/etc/passwd')", "LOAD_FILE() is refused"),
    ] {
        let refusal = refused(sql);
        assert!(refusal.contains(why), "{sql}: {refusal}");
    }
}

#[test]
fn only_the_schemas_name_is_replaced() {
    let gather = gather(
        "SELECT shop.member.id, 'shop.x', `shop`.m2.name AS shop FROM shop.member, \
         `shop` . member m2 FORCE INDEX (PRIMARY)",
        &topology(),
    )
    .unwrap();
    assert_eq!(
        gather.statement("q"),
        "SELECT q.member.id, 'shop.x', `q`.m2.name AS shop FROM q.member, `q` . member m2 "
    );
    assert_eq!(
        gather.column_name("q.member.id + 1", "q"),
        "shop.member.id + 1"
    );
}

#[test]
fn statements_the_parser_cannot_read_are_gathered_whole_or_refused_by_their_words() {
    let all = "member(id name level at) all of 0 1 2 3";
    for sql in [
        "TABLE member",
        "SELECT id FROM member WHERE at > NOW() - INTERVAL '1:30' MINUTE_SECOND",
        "SELECT TRIM(LEADING FROM name), m.id MOD 3 FROM shop.member m",
        "SELECT CAST(name AS CHAR(3) CHARACTER SET latin1), ROW_NUMBER() OVER (PARTITION BY id) FROM member",
    ] {
        assert_eq!(fetched(sql), all, "{sql}");
    }
    for (sql, why) in [
        (
            "SELECT id FROM member LOCK IN SHARE MODE",
            "LOCK is refused",
        ),
        (
            "SELECT TRIM(LEADING FROM name) INTO OUTFILE 'x' FROM member",
            "INTO is refused",
        ),
        (
            "SELECT TRIM(LEADING FROM SLEEP(3)) FROM member",
            "SLEEP() is refused",
        ),
        (
            "SELECT TRIM(LEADING FROM x.f(3)) FROM member x",
            "f() is not known",
        ),
        (
            "SELECT TRIM(LEADING FROM my_own(3)) FROM member",
            "my_own() is not known",
        ),
        (
            "SELECT TRIM(LEADING FROM host) FROM mysql.user",
            "neither the cluster",
        ),
        (
            "SELECT TRIM(LEADING FROM name) FROM s_0.member s_0",
            "neither the cluster",
        ),
        ("SELECT TRIM(LEADING FROM @x) FROM member", "variable"),
        (
            "SELECT TRIM(LEADING FROM name) FROM member; DROP TABLE member",
            "one statement",
        ),
        ("TRUNCATE member PARTITION p", "only SELECT"),
    ] {
        let refusal = refused(sql);
        assert!(refusal.contains(why), "{sql}: {refusal}");
    }
}

#[test]
fn what_is_asked_of_the_session_is_a_shards_to_answer() {
    let sql = "SELECT USER(), CURRENT_USER, current_user ( ), @@version, @@session.sql_mode, t.user, \
               'USER()', `user` AS version, DATABASE() FROM shop.member t";
    let gather = gather(sql, &topology()).unwrap();
    assert_eq!(
        gather.statement("q"),
        "SELECT @_shardctl_0, @_shardctl_1, @_shardctl_2, @_shardctl_3, @_shardctl_4, t.user, \
         'USER()', `user` AS version, @_shardctl_5 FROM q.member t"
    );
    let asked: Vec<(&str, bool)> = gather
        .asks
        .iter()
        .map(|ask| (ask.sql.as_str(), ask.alike))
        .collect();
    assert_eq!(
        asked,
        [
            ("USER()", false),
            ("CURRENT_USER", false),
            ("current_user ( )", false),
            ("@@version", true),
            ("@@session.sql_mode", true),
            ("'shop'", true)
        ]
    );
    assert_eq!(gather.column_name("@_shardctl_3", "q"), "@@version");
}

#[test]
fn conditions_on_integers_are_carried_over_equal_columns() {
    for (sql, expected) in [
        (
            "SELECT m.name FROM member m JOIN buy b ON m.id = b.goods WHERE m.id = 6",
            "member(id name) (member.id = 6) of 2\nbuy(goods) (buy.goods = 6) of 0 1 2 3",
        ),
        (
            "SELECT m.name FROM member m JOIN buy b ON m.level = b.member_id WHERE m.level IN (1, 2)",
            "member(name level) (member.level IN (1, 2)) of 0 1 2 3\n\
             buy(member_id) (buy.member_id IN (1, 2)) of 1 2",
        ),
        (
            "SELECT 1 FROM member m, buy b, goods g WHERE m.id = b.nr AND g.id = b.nr AND 3 >= g.id",
            "member(id) (3 >= member.id) of 0 1 2 3\nbuy(nr goods) (3 >= buy.nr) of 0 1 2 3\n\
             goods(id) (3 >= goods.id) of 0",
        ),
        // To the right side of a left join, and not back.
        (
            "SELECT 1 FROM member m LEFT JOIN buy b ON m.level = b.member_id WHERE m.level = 2",
            "member(level) (member.level = 2) of 0 1 2 3\nbuy(member_id) (buy.member_id = 2) of 2",
        ),
        (
            "SELECT 1 FROM member m LEFT JOIN buy b ON m.level = b.member_id AND b.member_id = 2",
            "member(level) all of 0 1 2 3\nbuy(member_id) (buy.member_id = 2) of 2",
        ),
        (
            "SELECT 1 FROM member m RIGHT JOIN buy b ON m.level = b.nr WHERE m.level = 2",
            "member(level) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        // Not of what is no integer, is not equal, or can be no row.
        (
            "SELECT 1 FROM member m JOIN goods g ON m.name = g.name WHERE m.name = 'a'",
            "member(name) (member.name = 'a') of 0 1 2 3\ngoods(name) all of 0",
        ),
        (
            "SELECT 1 FROM member m JOIN buy b ON m.level = b.nr OR m.id = 1 WHERE m.level = 2",
            "member(id level) (member.level = 2) of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m JOIN buy b ON m.level = b.price WHERE m.level = 2",
            "member(level) (member.level = 2) of 0 1 2 3\nbuy(price) all of 0 1 2 3",
        ),
        (
            "SELECT 1 FROM member m JOIN buy b ON m.level = b.nr WHERE m.level = '2'",
            "member(level) (member.level = '2') of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
        ),
    ] {
        assert_eq!(fetched(sql), expected, "{sql}");
    }
}
