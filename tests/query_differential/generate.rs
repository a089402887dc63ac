//! Statements of the shapes that shards answer each for itself, at random.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{COLUMNS, gathered};

/// A generated statement and how it may be compared.
pub struct Generated {
    pub sql: String,
    /// Whether ORDER BY leaves no ties.
    pub total: bool,
    /// Whether LIMIT picks among rows that it does not order.
    pub window: bool,
    /// Columns of which any variant may stand for a group.
    pub loose: Vec<usize>,
}

/// A statement of any shape.
pub fn generate(rng: &mut ChaCha8Rng) -> Generated {
    match rng.random_range(0..24) {
        0..8 => one_table(rng),
        8..12 => expressions(rng),
        12..14 => distinct_values(rng),
        14..16 => joins(rng),
        16..18 => whole_groups(rng),
        18..20 => subqueries(rng),
        _ => gathered::generate(rng),
    }
}

pub(crate) fn pick(rng: &mut ChaCha8Rng, list: &[&str]) -> String {
    list[rng.random_range(0..list.len())].to_owned()
}

/// Some of the list, in its order, at least one.
fn some<'a>(rng: &mut ChaCha8Rng, list: &[&'a str], most: usize) -> Vec<&'a str> {
    let mut chosen: Vec<&str> = (0..rng.random_range(1..=most))
        .map(|_| list[rng.random_range(0..list.len())])
        .collect();
    chosen.dedup();
    chosen
}

pub(crate) fn window(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..5) {
        0 => format!(" LIMIT {}", rng.random_range(0..30)),
        1 => format!(
            " LIMIT {}, {}",
            rng.random_range(0..9),
            rng.random_range(1..30)
        ),
        2 => format!(
            " LIMIT {} OFFSET {}",
            rng.random_range(1..9),
            rng.random_range(0..20)
        ),
        _ => String::new(),
    }
}

/// A condition on a table of this qualifier.
pub(crate) fn plain_condition(rng: &mut ChaCha8Rng, table: &str) -> String {
    let number = rng.random_range(-15..15);
    match rng.random_range(0..8) {
        0 => format!("{table}.n > {number}"),
        1 => format!("{table}.e = 'a'"),
        2 => format!("{table}.ci LIKE 'a%'"),
        3 => format!("{table}.d2 < {number}"),
        4 => format!("{table}.y BETWEEN 1992 AND 1996"),
        5 => format!("NOT {table}.n = {number}"),
        6 => format!("{table}.bin IS NOT NULL"),
        _ => format!("({table}.n < {number} OR {table}.s = 'x')"),
    }
}

const GROUPS: [&str; 12] = [
    "e",
    "n",
    "y",
    "ci",
    "np",
    "dt",
    "n % 3",
    "s",
    "b",
    "d2",
    "LEFT(bin, 1)",
    "n IS NULL",
];

const AGGREGATES: [&str; 22] = [
    "COUNT(*)",
    "COUNT(n)",
    "SUM(n)",
    "SUM(d2)",
    "AVG(n)",
    "AVG(d5)",
    "MIN(n)",
    "MAX(d2)",
    "MAX(dt)",
    "MIN(ts)",
    "MAX(tm)",
    "MAX(big)",
    "MIN(y)",
    "SUM(b)",
    "SUM(n > 0)",
    "COUNT(DISTINCT n)",
    "COUNT(DISTINCT ci)",
    "SUM(DISTINCT n)",
    "AVG(DISTINCT d2)",
    "SUM(d2 * d5)",
    "MAX(vb)",
    "MIN(ci)",
];

const COMPUTED: [&str; 38] = [
    "SUM(n) / COUNT(*)",
    "SUM(d2) / COUNT(*)",
    "COUNT(*) + 1",
    "MAX(n) - MIN(n)",
    "IF(COUNT(*) > 3, 'many', 'few')",
    "COALESCE(SUM(n), 0)",
    "ROUND(AVG(d2), 1)",
    "ROUND(AVG(n), 2)",
    "AVG(n) > AVG(d2)",
    "AVG(d5) BETWEEN 0 AND SUM(n)",
    "IF(AVG(n) >= 0.5, 1, 2)",
    "SUM(d2) * 2",
    "MAX(big) - MIN(big)",
    "COUNT(*) / 3",
    "CONCAT(COUNT(*), '/', SUM(n))",
    "DATEDIFF(MAX(dt), MIN(dt))",
    "YEAR(MAX(ts)) + MONTH(MIN(dt))",
    "100 * SUM(n > 0) / COUNT(*)",
    "ROUND(100 * SUM(n > 0) / COUNT(*), 2)",
    "SUM(n) DIV 3",
    "SUM(n) % 7",
    "-SUM(d2)",
    "NOT COUNT(*)",
    "SUM(DISTINCT n) + COUNT(DISTINCT ci)",
    "COUNT(DISTINCT n) / COUNT(n)",
    "TIMEDIFF(MAX(tm), MIN(tm))",
    "MAX(ts) - INTERVAL 1 DAY",
    "CASE WHEN SUM(n) > 0 THEN 'p' WHEN SUM(n) < 0 THEN 'm' ELSE NULL END",
    "SUM(n) IS NULL",
    "GREATEST(MAX(n), COUNT(*))",
    "NULLIF(COUNT(*), 1)",
    "SQRT(COUNT(*))",
    "SUM(n) / COUNT(*) / 3",
    "(SUM(n) + SUM(d2)) / (COUNT(n) + 1)",
    "FORMAT(SUM(d2), 1)",
    "MAX(n) BETWEEN 3 AND 9",
    "COUNT(*) & 1",
    "7",
];

const HAVING: [&str; 22] = [
    "COUNT(*) > 3",
    "COUNT(*) BETWEEN 2 AND 9",
    "SUM(n) > 5",
    "AVG(n) < 2",
    "AVG(d2) = 0 OR MIN(n) < -5",
    "MAX(dt) > '2012-06-01'",
    "MIN(ts) < '2020-01-03 10:00'",
    "MIN(n) IS NULL",
    "SUM(d2) / COUNT(*) > 1",
    "x > 2",
    "x IS NOT NULL AND COUNT(*) > 1",
    "NOT x",
    "COUNT(DISTINCT n) > 2",
    "MAX(big) > 18446744070000000000",
    "SUM(n) IN (1, 2, 3, -1, -2)",
    "SUM(n > 0) = SUM(n < 0)",
    "COUNT(n) = 0 XOR MAX(n) > 3",
    "COUNT(*)",
    "NULL",
    "MAX(tm) > '100:00'",
    "AVG(n) > 0.3333",
    "ROUND(AVG(d5), 2) < 0",
];

/// Expressions over aggregates, HAVING, and ORDER BY what is not selected.
fn expressions(rng: &mut ChaCha8Rng) -> Generated {
    let table = pick(rng, &["t", "u", "tt", "uu"]);
    let texts = ["ci", "np", "LEFT(bin, 1)"];
    let groups = match rng.random_range(0..5) {
        0 => Vec::new(),
        1..4 => vec![pick(rng, &GROUPS)],
        _ => vec![pick(rng, &GROUPS[..6]), pick(rng, &GROUPS[6..])],
    };
    let mut loose: Vec<usize> = (0..groups.len())
        .filter(|index| texts.contains(&groups[*index].as_str()))
        .collect();
    let first = match rng.random_bool(0.7) {
        true => pick(rng, &COMPUTED),
        false => pick(rng, &AGGREGATES),
    };
    let second = pick(rng, &AGGREGATES);
    for (number, text) in [&first, &second].into_iter().enumerate() {
        if text.contains("(ci)") {
            loose.push(groups.len() + number);
        }
    }
    let mut list = groups.clone();
    list.push(format!("{first} AS x"));
    list.push(second);
    let list = list.join(", ");
    let filter = match rng.random_range(0..3) {
        0 => format!(" WHERE {}", plain_condition(rng, &table)),
        _ => String::new(),
    };
    let by = match groups.is_empty() {
        true => String::new(),
        false => format!(" GROUP BY {}", groups.join(", ")),
    };
    let having = match rng.random_bool(0.6) {
        true => format!(" HAVING {}", pick(rng, &HAVING)),
        false => String::new(),
    };
    let keys = groups.join(", ");
    let order = match (groups.is_empty(), rng.random_range(0..6)) {
        (true, _) | (_, 0) => String::new(),
        (_, 1) => format!(" ORDER BY COUNT(*) DESC, {keys}"),
        (_, 2) => format!(" ORDER BY SUM(n) / COUNT(*), {keys}"),
        (_, 3) => format!(" ORDER BY MAX(d2) DESC, {keys}"),
        (_, 4) => format!(" ORDER BY COUNT(*) * 2 + 1, {keys}"),
        _ => format!(" ORDER BY {keys}"),
    };
    let total = !order.is_empty() || groups.is_empty();
    let limit = if total { window(rng) } else { String::new() };
    Generated {
        sql: format!("SELECT {list} FROM {table}{filter}{by}{having}{order}{limit}"),
        total,
        window: false,
        loose,
    }
}

/// Aggregates of different values.
fn distinct_values(rng: &mut ChaCha8Rng) -> Generated {
    let (table, key) =
        [("t", "id"), ("u", "k"), ("tt", "tid"), ("uu", "uk")][rng.random_range(0..4)];
    let of_key = format!("COUNT(DISTINCT {key})");
    let list = [
        "COUNT(DISTINCT n)",
        "COUNT(DISTINCT ci)",
        "COUNT(DISTINCT np)",
        "COUNT(DISTINCT bin)",
        "COUNT(DISTINCT l1)",
        "COUNT(DISTINCT c)",
        "COUNT(DISTINCT vb)",
        "COUNT(DISTINCT dt)",
        "COUNT(DISTINCT tm)",
        "COUNT(DISTINCT b)",
        "COUNT(DISTINCT y)",
        "COUNT(DISTINCT d5)",
        "COUNT(DISTINCT e, s)",
        "COUNT(DISTINCT n, ci)",
        "COUNT(DISTINCT n % 4)",
        "COUNT(DISTINCT IF(n > 0, ci, np))",
        "COUNT(DISTINCT CONCAT(e, ',', s))",
        "SUM(DISTINCT n)",
        "SUM(DISTINCT d2)",
        "SUM(DISTINCT n * 2)",
        "AVG(DISTINCT n)",
        "AVG(DISTINCT d2)",
        "COUNT(*)",
        "SUM(n)",
        "MAX(DISTINCT n)",
        "AVG(d2)",
        of_key.as_str(),
    ];
    let chosen = some(rng, &list, 3).join(", ");
    let filter = match rng.random_range(0..3) {
        0 => format!(" WHERE {}", plain_condition(rng, table)),
        1 => " WHERE n > 1000".to_owned(),
        _ => String::new(),
    };
    let group = match rng.random_range(0..3) {
        0 => None,
        _ => Some(pick(rng, &["e", "n", "y", "n % 3", "dt"])),
    };
    let sql = match &group {
        None => format!("SELECT {chosen} FROM {table}{filter}"),
        Some(group) => {
            format!(
                "SELECT {group}, {chosen} FROM {table}{filter} GROUP BY {group} ORDER BY 2 DESC, 1"
            )
        }
    };
    Generated {
        sql,
        total: true,
        window: false,
        loose: Vec::new(),
    }
}

/// Tables split alike, and broadcast tables.
fn joins(rng: &mut ChaCha8Rng) -> Generated {
    let (a, b) = [("t", "tt"), ("u", "uu")][rng.random_range(0..2)];
    let (ka, kb) = if a == "t" { ("id", "tid") } else { ("k", "uk") };
    let unique = if a == "t" { "b.no" } else { "b.m" };
    let on = pick(
        rng,
        &[
            "a.{ka} = b.{kb}",
            "b.{kb} = a.{ka}",
            "(a.{ka}) = b.{kb} AND 1",
        ],
    )
    .replace("{ka}", ka)
    .replace("{kb}", kb);
    let more = match rng.random_range(0..3) {
        0 => format!(" AND {}", plain_condition(rng, "b")),
        _ => String::new(),
    };
    let mut wheres = Vec::new();
    let from = match rng.random_range(0..9) {
        0 => format!("{a} AS a JOIN {b} AS b ON {on}{more}"),
        1 => format!("{a} a LEFT JOIN {b} b ON {on}{more}"),
        2 => format!("{b} b RIGHT OUTER JOIN {a} a ON {on}{more}"),
        3 => {
            wheres.push(on);
            format!("{a} a, {b} b")
        }
        4 => format!("bc JOIN {a} a ON a.n = bc.code INNER JOIN {b} b ON {on}"),
        5 => format!("{a} a LEFT JOIN bc ON bc.code = a.n JOIN {b} AS b ON {on}"),
        6 => format!("{a} a LEFT JOIN ({b} b JOIN bc ON bc.code = b.n) ON {on}"),
        7 => {
            wheres.push(on);
            format!("{a} a CROSS JOIN bc STRAIGHT_JOIN {b} b ON bc.code = b.n")
        }
        _ => format!("{a} a JOIN {b} b ON {on} JOIN {a} c ON c.{ka} = b.{kb}"),
    };
    for _ in 0..rng.random_range(0..3) {
        let of = pick(rng, &["a", "b"]);
        let condition = match rng.random_range(0..4) {
            0 => format!("a.{ka} BETWEEN 100 AND {}", rng.random_range(90..300)),
            1 => format!("b.{kb} IN (5, 7, 9, {})", rng.random_range(0..500)),
            2 => format!("a.{ka} = {}", rng.random_range(0..500)),
            _ => plain_condition(rng, &of),
        };
        wheres.push(condition);
    }
    let filter = match wheres.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wheres.join(" AND ")),
    };
    let (sql, total) = match rng.random_range(0..6) {
        0 => (
            format!("SELECT a.{ka}, a.ci, b.n, {unique} FROM {from}{filter}"),
            false,
        ),
        1 => (
            format!(
                "SELECT a.{ka}, b.d2 + a.d2 AS x, a.dt FROM {from}{filter} ORDER BY a.{ka} DESC, b.n, {unique}, x{}",
                window(rng)
            ),
            true,
        ),
        2 => (
            format!(
                "SELECT COUNT(*), SUM(a.n), MAX(b.d2), COUNT(DISTINCT b.n) FROM {from}{filter}"
            ),
            true,
        ),
        3 => (
            format!(
                "SELECT a.e, COUNT(*) AS cnt, AVG(b.n) FROM {from}{filter} GROUP BY a.e HAVING cnt > 1 ORDER BY a.e"
            ),
            true,
        ),
        4 => (
            format!(
                "SELECT a.{ka}, COUNT(b.n), GROUP_CONCAT(b.n ORDER BY b.n), SUM(b.d2) / COUNT(*) FROM {from}{filter} \
                 GROUP BY a.{ka} ORDER BY COUNT(b.n) DESC, a.{ka}{}",
                window(rng)
            ),
            true,
        ),
        _ => (format!("SELECT a.*, b.n + 1 FROM {from}{filter}"), false),
    };
    Generated {
        sql,
        total,
        window: false,
        loose: Vec::new(),
    }
}

/// Groups, distinct rows and windows that name the shard key.
fn whole_groups(rng: &mut ChaCha8Rng) -> Generated {
    let filter = match rng.random_range(0..2) {
        0 => format!(" WHERE {}", plain_condition(rng, "tt")),
        _ => String::new(),
    };
    let limit = window(rng);
    let order = pick(
        rng,
        &[
            "tid",
            "COUNT(*) DESC, tid",
            "MAX(ci), tid",
            "cnt, tid DESC",
            "SUM(d2) / COUNT(*), tid",
            "AVG(n) * 2, tid",
        ],
    );
    let having = match rng.random_bool(0.5) {
        true => format!(
            " HAVING {}",
            pick(
                rng,
                &["COUNT(*) > 1", "cnt > 1 AND SUM(n) > 0", "MAX(n) > 3"]
            )
        ),
        false => String::new(),
    };
    let (sql, total) = match rng.random_range(0..6) {
        0 => (
            format!(
                "SELECT tid, COUNT(*) AS cnt, GROUP_CONCAT(no ORDER BY no DESC SEPARATOR '-'), BIT_OR(n) FROM tt{filter} \
                 GROUP BY tid{having} ORDER BY {order}{limit}"
            ),
            true,
        ),
        1 => (
            format!(
                "SELECT COUNT(DISTINCT n) AS cnt, AVG(d5) + 1, tid % 7 FROM tt{filter} GROUP BY tid, n % 2{having}"
            ),
            false,
        ),
        2 => (
            format!(
                "SELECT tid, no, ROW_NUMBER() OVER (PARTITION BY tid ORDER BY no) AS r, \
                 SUM(n) OVER (PARTITION BY tid), LAG(n, 1) OVER (PARTITION BY tid ORDER BY no) \
                 FROM tt{filter} ORDER BY {} tid, no{limit}",
                pick(rng, &["", "r DESC,", "n,"])
            ),
            true,
        ),
        3 => (
            format!("SELECT DISTINCT tid, n % 2 AS p FROM tt{filter} ORDER BY p DESC, tid{limit}"),
            true,
        ),
        4 => (
            format!("SELECT n, id, ci, COUNT(*), MAX(d2) FROM t GROUP BY id ORDER BY n, id{limit}"),
            true,
        ),
        _ => (
            format!(
                "SELECT tid, no, n AS m FROM tt{filter} HAVING m > 3 OR no < 5 ORDER BY m, tid, no{limit}"
            ),
            true,
        ),
    };
    Generated {
        sql,
        total,
        window: false,
        loose: Vec::new(),
    }
}

/// Subqueries on tables split alike and on broadcast tables.
fn subqueries(rng: &mut ChaCha8Rng) -> Generated {
    let inner = plain_condition(rng, "tt");
    let outer = plain_condition(rng, "t");
    let condition = match rng.random_range(0..9) {
        0 => format!("EXISTS (SELECT 1 FROM tt WHERE tt.tid = t.id AND {inner})"),
        1 => format!("NOT EXISTS (SELECT * FROM tt WHERE id = tid AND {inner})"),
        2 => format!("id IN (SELECT tid FROM tt WHERE {inner})"),
        3 => "t.n > (SELECT AVG(x.n) FROM tt AS x WHERE x.tid = t.id)".to_owned(),
        4 => "n IN (SELECT code FROM bc WHERE grp = 2)".to_owned(),
        5 => "n NOT IN (SELECT code FROM bc WHERE grp = 2)".to_owned(),
        6 => format!("(SELECT COUNT(*) FROM tt WHERE tid = t.id AND {inner}) > 1"),
        7 => "EXISTS (SELECT 1 FROM tt JOIN bc ON bc.code = tt.n WHERE tt.tid = t.id AND bc.grp > 2)".to_owned(),
        _ => "EXISTS (SELECT 1 FROM tt WHERE tt.tid = t.id AND EXISTS (SELECT 1 FROM t AS o WHERE o.id = tt.tid AND o.n = tt.n))".to_owned(),
    };
    let filter = match rng.random_range(0..3) {
        0 => format!("{condition} AND {outer}"),
        1 if !condition.contains("id IN") => format!("{condition} OR {outer}"),
        _ => condition,
    };
    let (sql, total) = match rng.random_range(0..4) {
        0 => (
            format!("SELECT COUNT(*), SUM(n) FROM t WHERE {filter}"),
            true,
        ),
        1 => (
            format!("SELECT e, COUNT(*) FROM t WHERE {filter} GROUP BY e ORDER BY 2, 1"),
            true,
        ),
        2 => (
            format!(
                "SELECT id, (SELECT COUNT(*) FROM tt WHERE tt.tid = t.id) AS c, \
                 (SELECT label FROM bc WHERE bc.code = t.n) AS l FROM t WHERE {filter} ORDER BY c DESC, id{}",
                window(rng)
            ),
            true,
        ),
        _ => (
            format!(
                "SELECT id, ci FROM t WHERE {filter} ORDER BY id{}",
                window(rng)
            ),
            true,
        ),
    };
    Generated {
        sql,
        total,
        window: false,
        loose: Vec::new(),
    }
}

fn one_table(rng: &mut ChaCha8Rng) -> Generated {
    let (table, key) = if rng.random_bool(0.7) {
        ("t", "id")
    } else {
        ("u", "k")
    };
    let condition = |rng: &mut ChaCha8Rng| -> String {
        let number = rng.random_range(-100..700);
        match rng.random_range(0..22) {
            13 => format!("{key} <=> {number} OR {key} = '{number}.0'"),
            14 => format!("NOT {key} BETWEEN {number} AND {}", number + 300),
            15 => format!("{key} IN ('{number}', {}.0, NULL)", number + 1),
            16 => format!("{number} < {key} && {key} < {}", number + 20),
            17 => format!("{key} % 16 = {} || ci LIKE '%a'", rng.random_range(0..16)),
            18 => format!("{key} = {number} = n > 0"),
            19 => format!("{key} - 1 = {number} OR -{key} = {number}"),
            20 => "tm BETWEEN '-10:00' AND '90:00' AND b & 3".to_owned(),
            0 => format!("{key} = {number}"),
            1 => format!("{key} IN ({number}, {}, 5)", number + 16),
            2 => format!("{key} = '{number}'"),
            3 => format!("{key} = {number}.0 OR n = 3"),
            4 => format!("{key} BETWEEN {number} AND {}", number + 40),
            5 => format!("n > {}", rng.random_range(-20..20)),
            6 => "ci = 'alpha'".to_owned(),
            7 => format!("NOT ({key} = {number})"),
            8 => "d2 IS NULL".to_owned(),
            9 => "bin LIKE 'a%'".to_owned(),
            10 => format!("{key} = {number} || n = 4"),
            11 => format!("{key} > {number} AND e <> 'a'"),
            12 => format!("{key} = {number} XOR n < 0"),
            _ => "ts >= '2020-01-04'".to_owned(),
        }
    };
    let filter = match rng.random_range(0..4) {
        0 => String::new(),
        1 => format!(" WHERE {} AND {}", condition(rng), condition(rng)),
        2 => format!(" WHERE {} OR {}", condition(rng), condition(rng)),
        _ => format!(" WHERE {}", condition(rng)),
    };
    let limit = match rng.random_range(0..5) {
        0 => format!(" LIMIT {}", rng.random_range(0..30)),
        1 => format!(
            " LIMIT {}, {}",
            rng.random_range(0..20),
            rng.random_range(1..30)
        ),
        2 => format!(
            " LIMIT {} OFFSET {}",
            rng.random_range(1..30),
            rng.random_range(0..20)
        ),
        _ => String::new(),
    };
    let direction = |rng: &mut ChaCha8Rng| pick(rng, &["", " ASC", " DESC"]);
    let texts = ["ci", "np", "l1", "c", "bin"];
    match rng.random_range(0..4) {
        // Rows in a total order.
        0 => {
            let columns: Vec<String> = (0..rng.random_range(1..5))
                .map(|_| pick(rng, &COLUMNS))
                .collect();
            let order = match rng.random_range(0..4) {
                0 => "1".to_owned(),
                1 => "n + 1".to_owned(),
                2 => pick(
                    rng,
                    &[
                        "upper(bin)",
                        "x",
                        "length(ci)",
                        "-d2",
                        "e = 'a'",
                        "n IS NULL",
                        "f * 2",
                        "ABS(n) % 7",
                    ],
                ),
                _ => pick(rng, &COLUMNS[..19]),
            };
            let (first, second) = (direction(rng), direction(rng));
            let list = columns.join(", ");
            let sql = format!(
                "SELECT {list}, n * 2 AS x, {key} FROM {table}{filter} ORDER BY {order}{first}, {key}{second}{limit}"
            );
            Generated {
                sql,
                total: true,
                window: false,
                loose: Vec::new(),
            }
        }
        // Rows in any order.
        1 => {
            let list = pick(
                rng,
                &[
                    "*",
                    "n, ci",
                    "concat(ci, '-', bin) AS both_of_them, d2 + 1",
                    "t1.*, t1.n + 1",
                    "e, s, b, vb, tm",
                    "ALL e, y",
                    "n AS y, y AS `n`, 'FROM' AS \"GROUP BY\"",
                    "CASE WHEN n > 0 THEN bin ELSE np END, NOT n, n || d2, n ^ 5",
                ],
            );
            let alias = if list.contains("t1") { " AS t1" } else { "" };
            Generated {
                sql: format!("SELECT {list} FROM {table}{alias}{filter}{limit}"),
                total: false,
                window: !limit.is_empty(),
                loose: Vec::new(),
            }
        }
        // Groups.
        2 => {
            let groups: Vec<String> = (0..rng.random_range(1..3))
                .map(|_| {
                    pick(
                        rng,
                        &[
                            "n",
                            "ci",
                            "np",
                            "l1",
                            "c",
                            "bin",
                            "e",
                            "s",
                            "y",
                            "dt",
                            "vb",
                            "b",
                            "d2",
                            "tm",
                            "n % 3",
                            "year(dt)",
                            "left(ci, 1)",
                            "big",
                        ],
                    )
                })
                .collect();
            let aggregate = pick(
                rng,
                &[
                    "COUNT(*)",
                    "COUNT(n)",
                    "SUM(n)",
                    "SUM(d2)",
                    "AVG(n)",
                    "AVG(d2)",
                    "AVG(d5)",
                    "MIN(n)",
                    "MAX(dt)",
                    "MAX(tm)",
                    "MIN(big)",
                    "SUM(big)",
                    "MAX(vb)",
                    "ROUND(SUM(db), 3)",
                    "MIN(y)",
                    "AVG(big)",
                    "MIN(e)",
                    "SUM(y)",
                    "SUM(b)",
                    "MAX(db)",
                    "MIN(f)",
                    "SUM(n > 0 || d2 < 0)",
                    "COUNT(n + NULL)",
                    "MAX(n DIV 2)",
                    "AVG(n / 3)",
                    "SUM(d2 * d5)",
                ],
            );
            let loose = (0..groups.len())
                .filter(|index| {
                    texts.contains(&groups[*index].as_str()) || groups[*index].contains("left")
                })
                .collect();
            let list = groups.join(", ");
            let positions: Vec<String> = (1..=groups.len()).map(|n| n.to_string()).collect();
            let positions = positions.join(", ");
            let order = match rng.random_range(0..4) {
                0 => format!(" ORDER BY {} DESC, {list}", groups.len() + 1),
                1 => format!(" ORDER BY {list}"),
                2 => format!(" ORDER BY a, {positions}"),
                _ => String::new(),
            };
            let by = pick(rng, &[list.as_str(), positions.as_str()]);
            let total = !order.is_empty();
            let limit = if total { limit } else { String::new() };
            Generated {
                sql: format!(
                    "SELECT {list}, {aggregate} AS a FROM {table}{filter} GROUP BY {by}{order}{limit}"
                ),
                total,
                window: false,
                loose,
            }
        }
        // One group, or distinct rows.
        _ => {
            if rng.random_bool(0.5) {
                let list = pick(
                    rng,
                    &[
                        "COUNT(*), SUM(n), AVG(d5), MIN(ts), MAX(d2)",
                        "COUNT(n), COUNT(*)",
                        "MAX(big), MIN(big)",
                        "AVG(n)",
                        "SUM(d5), AVG(d2)",
                        "MIN(tm), MAX(vb), MIN(b), MAX(y), MAX(f), MIN(db)",
                        "SUM(n = 1 XOR y > 1995), COUNT(NULLIF(e, 'a')), AVG(n * d5)",
                    ],
                );
                Generated {
                    sql: format!("SELECT {list} FROM {table}{filter}"),
                    total: true,
                    window: false,
                    loose: Vec::new(),
                }
            } else {
                let column = pick(
                    rng,
                    &["n", "ci", "np", "e", "d2", "tm", "y", "bin", "vb", "s"],
                );
                let order = direction(rng);
                let loose = if texts.contains(&column.as_str()) {
                    vec![0]
                } else {
                    Vec::new()
                };
                Generated {
                    sql: format!(
                        "SELECT DISTINCT {column} FROM {table}{filter} ORDER BY {column}{order}{limit}"
                    ),
                    total: true,
                    window: false,
                    loose,
                }
            }
        }
    }
}
