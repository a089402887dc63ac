//! Statements of the shapes that are gathered, at random: joins off the key, subqueries, windows,
//! common table expressions, sets of rows, aggregates that are not merged.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::generate::{Generated, pick, plain_condition, window};

/// A table, its shard key, and what makes its rows unique.
const TABLES: [(&str, &str, &str); 4] = [
    ("t", "id", "id"),
    ("u", "k", "k"),
    ("tt", "tid", "no"),
    ("uu", "uk", "m"),
];

fn table(rng: &mut ChaCha8Rng) -> (&'static str, &'static str, &'static str) {
    TABLES[rng.random_range(0..TABLES.len())]
}

fn in_total_order(sql: String) -> Generated {
    Generated {
        sql,
        total: true,
        window: false,
        loose: Vec::new(),
    }
}

fn in_any_order(sql: String, loose: &[usize]) -> Generated {
    Generated {
        sql,
        total: false,
        window: false,
        loose: loose.to_vec(),
    }
}

/// A statement of any of these shapes.
pub fn generate(rng: &mut ChaCha8Rng) -> Generated {
    match rng.random_range(0..8) {
        0 | 1 => joins(rng),
        2 => windows(rng),
        3 => sets(rng),
        4 => expressions_of_with(rng),
        5 => subqueries(rng),
        6 => derived(rng),
        _ => aggregates(rng),
    }
}

fn filter(rng: &mut ChaCha8Rng, table: &str) -> String {
    match rng.random_bool(0.6) {
        true => format!(" WHERE {}", plain_condition(rng, table)),
        false => String::new(),
    }
}

/// Off the key, or on keys that are split otherwise.
fn joins(rng: &mut ChaCha8Rng) -> Generated {
    let ((x, kx, ux), (y, ky, uy)) = (table(rng), table(rng));
    let on = match rng.random_range(0..8) {
        0 | 1 => format!("a.{kx} = b.{ky}"),
        2 => "a.n = b.n AND a.e = b.e".to_owned(),
        3 => "a.ci = b.ci AND a.n = b.n".to_owned(),
        4 => "a.d2 = b.d2".to_owned(),
        5 => format!("a.n = b.{ky}"),
        6 => "a.dt = b.dt AND a.s <=> b.s".to_owned(),
        _ => format!("a.bin = b.np COLLATE utf8mb4_bin AND a.{kx} < b.{ky} + 100"),
    };
    let more = match rng.random_range(0..3) {
        0 => {
            let of = pick(rng, &["a", "b"]);
            format!(" AND {}", plain_condition(rng, &of))
        }
        _ => String::new(),
    };
    let join = pick(rng, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "STRAIGHT_JOIN"]);
    let mut from = format!("{x} a {join} {y} b ON {on}{more}");
    match rng.random_range(0..5) {
        0 => from.push_str(" LEFT JOIN bc ON bc.code = b.n"),
        1 => from.push_str(&format!(" JOIN t c ON c.id = b.{ky} AND c.n IS NOT NULL")),
        _ => {}
    }
    let mut wheres = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        let of = pick(rng, &["a", "b"]);
        let key = if of == "a" { kx } else { ky };
        let number = rng.random_range(-20..300);
        wheres.push(match rng.random_range(0..6) {
            0 => format!("{of}.{key} = {number}"),
            1 => format!("{of}.{key} IN ({number}, {}, 5, 1029)", number + 8),
            2 => format!("{of}.{key} BETWEEN {number} AND {}", number + 90),
            3 => format!("{of}.{key} IS NULL"),
            _ => plain_condition(rng, &of),
        });
    }
    let filter = match wheres.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wheres.join(" AND ")),
    };
    match rng.random_range(0..5) {
        0 => in_any_order(
            format!("SELECT a.{kx}, b.{ky}, a.ci, b.big, a.d5 + b.d2 FROM {from}{filter}"),
            &[],
        ),
        1 => in_total_order(format!(
            "SELECT COUNT(*), SUM(a.d2), AVG(b.n), MIN(b.ts), MAX(a.big), COUNT(DISTINCT b.{ky}) FROM {from}{filter}"
        )),
        2 => in_any_order(
            format!(
                "SELECT a.e, b.y, COUNT(*) AS w, MAX(b.dt), SUM(b.n) FROM {from}{filter} GROUP BY a.e, b.y HAVING w > 1"
            ),
            &[],
        ),
        3 => in_any_order(
            format!("SELECT DISTINCT a.n, b.e, b.d2 FROM {from}{filter}"),
            &[],
        ),
        _ => {
            let limit = window(rng);
            let of_bc = if from.contains("bc.code") {
                ", bc.code"
            } else {
                ""
            };
            in_total_order(format!(
                "SELECT a.{kx}, b.{uy}, a.vb, b.j FROM {from}{filter} ORDER BY b.tm DESC, a.{kx}, a.{ux}, b.{ky}, b.{uy}{of_bc}{limit}"
            ))
        }
    }
}

fn windows(rng: &mut ChaCha8Rng) -> Generated {
    let (x, key, unique) = table(rng);
    let order = pick(rng, &["n", "d2 DESC", "ci", "dt, e", "big", "tm DESC"]);
    let whole = format!("{order}, {key}, {unique}");
    let part = pick(
        rng,
        &[
            "",
            "PARTITION BY e ",
            "PARTITION BY n % 4 ",
            "PARTITION BY y ",
        ],
    );
    let over = pick(
        rng,
        &[
            "ROW_NUMBER() OVER w",
            "SUM(d2) OVER w",
            "AVG(n) OVER w",
            "LAG(n, 2) OVER w",
            "LEAD(dt) OVER w",
            "FIRST_VALUE(bin) OVER w",
            "NTILE(5) OVER w",
            "COUNT(*) OVER w",
            "SUM(n) OVER ({p}ORDER BY {o} ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
            "RANK() OVER ({p}ORDER BY {k})",
            "DENSE_RANK() OVER ({p}ORDER BY {k})",
            "MAX(d5) OVER ({p})",
            "CUME_DIST() OVER w",
        ],
    )
    .replace("{p}", &part)
    .replace("{o}", &whole)
    .replace("{k}", &order);
    let filter = filter(rng, x);
    let limit = window(rng);
    match rng.random_range(0..3) {
        0 => in_total_order(format!(
            "SELECT * FROM (SELECT {key}, {unique} AS q, n, {over} AS r FROM {x}{filter} WINDOW w AS ({part}ORDER BY {whole})) z WHERE z.r > 1 ORDER BY z.{key}, z.q{limit}"
        )),
        1 => in_any_order(
            format!(
                "SELECT e, COUNT(*), SUM(COUNT(*)) OVER (ORDER BY e), RANK() OVER (ORDER BY COUNT(*)) FROM {x}{filter} GROUP BY e"
            ),
            &[],
        ),
        _ => in_total_order(format!(
            "SELECT {key}, n, {over} FROM {x}{filter} WINDOW w AS ({part}ORDER BY {whole}) ORDER BY {key}, {unique}{limit}"
        )),
    }
}

fn sets(rng: &mut ChaCha8Rng) -> Generated {
    let column = pick(
        rng,
        &[
            "n", "d2", "e", "dt", "bin", "big", "y", "ci", "tm", "d5", "vb",
        ],
    );
    let one = |rng: &mut ChaCha8Rng| {
        let (x, ..) = table(rng);
        format!("SELECT {column} FROM {x}{}", filter(rng, x))
    };
    let op = |rng: &mut ChaCha8Rng| pick(rng, &["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
    let mut sql = format!("{} {} {}", one(rng), op(rng), one(rng));
    if rng.random_bool(0.4) {
        sql = format!("{sql} {} {}", op(rng), one(rng));
    }
    // Of equal texts any can stand for all.
    let text = ["bin", "ci"].contains(&column.as_str());
    let loose: &[usize] = if text { &[0] } else { &[] };
    match rng.random_range(0..4) {
        0 => in_total_order(format!(
            "SELECT COUNT(*), MIN(z.{column}) IS NULL FROM ({sql}) z"
        )),
        1 if !text => in_total_order(format!("{sql} ORDER BY {column}{}", window(rng))),
        _ => in_any_order(sql, loose),
    }
}

fn expressions_of_with(rng: &mut ChaCha8Rng) -> Generated {
    let ((x, kx, _), (y, ky, uy)) = (table(rng), table(rng));
    let (fx, fy) = (filter(rng, x), plain_condition(rng, y));
    match rng.random_range(0..6) {
        0 => in_any_order(
            format!(
                "WITH q AS (SELECT n, COUNT(*) AS c, MAX(d2) AS d FROM {x}{fx} GROUP BY n) \
                 SELECT q.n, q.c, q.d, {y}.{ky}, {y}.{uy} FROM q JOIN {y} ON {y}.n = q.n WHERE {fy}"
            ),
            &[],
        ),
        1 => in_any_order(
            format!(
                "WITH q AS (SELECT * FROM {x}{fx}), r AS (SELECT e, AVG(d2) AS a FROM q GROUP BY e) \
                 SELECT q.{kx}, q.n, r.a FROM q JOIN r ON q.e = r.e WHERE q.d2 > r.a"
            ),
            &[],
        ),
        2 => in_any_order(
            format!(
                "WITH RECURSIVE c AS (SELECT -20 AS i UNION ALL SELECT i + 1 FROM c WHERE i < 20) \
                 SELECT c.i, COUNT({y}.{ky}), SUM({y}.d2) FROM c LEFT JOIN {y} ON {y}.n = c.i AND {fy} GROUP BY c.i"
            ),
            &[],
        ),
        3 => in_any_order(
            format!(
                "WITH RECURSIVE c AS (SELECT {ky} AS i, n, 0 AS depth FROM {y} WHERE {fy} AND {ky} < 40 \
                 UNION SELECT {x}.{kx}, {x}.n, depth + 1 FROM c JOIN {x} ON {x}.{kx} = c.n + 20 WHERE depth < 4) \
                 SELECT i, n, depth FROM c"
            ),
            &[],
        ),
        4 => in_any_order(
            format!(
                "WITH {x} AS (SELECT {ky} AS a, n FROM {y} WHERE {fy}) SELECT o.a, p.n FROM {x} o JOIN {x} p ON o.a = p.a"
            ),
            &[],
        ),
        _ => in_total_order(format!(
            "SELECT z.c, (WITH q AS (SELECT n FROM {y} WHERE {fy}) SELECT COUNT(*) FROM q WHERE q.n < z.c) \
             FROM (SELECT DISTINCT n AS c FROM {x}{fx}) z ORDER BY z.c"
        )),
    }
}

fn subqueries(rng: &mut ChaCha8Rng) -> Generated {
    let ((x, kx, ux), (y, ky, _)) = (table(rng), table(rng));
    let inner = plain_condition(rng, "b");
    let number: u32 = rng.random_range(0..5);
    let condition = match rng.random_range(0..9) {
        0 => format!("a.n IN (SELECT b.n FROM {y} b WHERE {inner})"),
        1 => format!("a.n NOT IN (SELECT b.n FROM {y} b WHERE {inner})"),
        2 => format!("EXISTS (SELECT * FROM {y} b WHERE b.n = a.n AND {inner})"),
        3 => {
            format!("NOT EXISTS (SELECT 1 FROM {y} b WHERE b.d2 > a.d2 AND b.e = a.e AND {inner})")
        }
        4 => format!("a.d2 > (SELECT AVG(b.d2) FROM {y} b WHERE {inner})"),
        5 => format!("a.n > ANY (SELECT b.n FROM {y} b WHERE b.{ky} < 30 AND {inner})"),
        6 => format!("a.n >= ALL (SELECT b.n FROM {y} b WHERE b.n IS NOT NULL AND b.{ky} < 9)"),
        7 => format!("(a.n, a.e) IN (SELECT b.n, b.e FROM {y} b WHERE {inner})"),
        _ => format!(
            "(SELECT COUNT(DISTINCT b.ci) FROM {y} b WHERE b.y = a.y) > {}",
            number
        ),
    };
    let outer = plain_condition(rng, "a");
    let glue = pick(rng, &["AND", "OR", "XOR"]);
    match rng.random_range(0..4) {
        0 => in_total_order(format!(
            "SELECT COUNT(*), SUM(a.d2), MAX(a.{kx}) FROM {x} a WHERE {condition} {glue} {outer}"
        )),
        1 => in_any_order(
            format!(
                "SELECT a.n, (SELECT MAX(b.d2) FROM {y} b WHERE b.n = a.n AND {inner}) AS m, COUNT(*) \
                 FROM {x} a WHERE {condition} GROUP BY a.n"
            ),
            &[],
        ),
        2 => in_any_order(
            format!("SELECT {condition} AS w, COUNT(*) FROM {x} a WHERE {outer} GROUP BY w"),
            &[],
        ),
        _ => in_total_order(format!(
            "SELECT a.{kx}, a.ci FROM {x} a WHERE {condition} {glue} {outer} ORDER BY a.{kx} DESC, a.{ux}{}",
            window(rng)
        )),
    }
}

fn derived(rng: &mut ChaCha8Rng) -> Generated {
    let ((x, kx, ux), (y, ky, _)) = (table(rng), table(rng));
    let (fx, fy) = (filter(rng, x), filter(rng, y));
    match rng.random_range(0..4) {
        0 => in_any_order(
            format!(
                "SELECT p.e, p.c, q.c FROM (SELECT e, COUNT(*) AS c FROM {x}{fx} GROUP BY e) p \
                 LEFT JOIN (SELECT e, COUNT(*) AS c FROM {y}{fy} GROUP BY e) q ON p.e <=> q.e"
            ),
            &[],
        ),
        1 => in_total_order(format!(
            "SELECT MAX(z.c), MIN(z.s), COUNT(*) FROM (SELECT n, COUNT(*) AS c, SUM(d5) AS s FROM {x}{fx} GROUP BY n) z"
        )),
        2 => in_total_order(format!(
            "SELECT COUNT(*), SUM(z.n) FROM (SELECT {kx}, n FROM {x}{fx} ORDER BY {kx}, {ux} LIMIT 7) z JOIN {y} ON {y}.n >= z.n"
        )),
        _ => in_any_order(
            format!(
                "SELECT z.{ky} + 1 AS w, z.l FROM (SELECT {ky}, LENGTH(ci) AS l, n FROM {y}{fy}) z WHERE z.l > 3 OR z.n < 0"
            ),
            &[],
        ),
    }
}

fn aggregates(rng: &mut ChaCha8Rng) -> Generated {
    let (x, key, unique) = table(rng);
    let filter = filter(rng, x);
    let aggregate = pick(
        rng,
        &[
            "GROUP_CONCAT({k} ORDER BY {k}, {q} SEPARATOR '|')",
            "GROUP_CONCAT(DISTINCT n ORDER BY n DESC)",
            "ROUND(STDDEV_POP(n), 5)",
            "ROUND(VAR_SAMP(d2), 5)",
            "BIT_XOR(n)",
            "BIT_AND(big)",
            "BIT_OR(b)",
            "COUNT(DISTINCT ci, n)",
            "MAX(e)",
            "MIN(s)",
            "COUNT(DISTINCT d2) * AVG(n)",
        ],
    )
    .replace("{k}", key)
    .replace("{q}", unique);
    let group = pick(rng, &["e", "n", "y", "n % 3", "dt", "d2", "LENGTH(bin)"]);
    match rng.random_range(0..5) {
        0 => in_any_order(
            format!(
                "SELECT {group}, COUNT(*), SUM(d2), {aggregate} FROM {x}{filter} GROUP BY {group} WITH ROLLUP"
            ),
            &[],
        ),
        1 => in_any_order(
            format!(
                "SELECT e, y, COUNT(*), MIN(dt) FROM {x}{filter} GROUP BY e, y WITH ROLLUP HAVING COUNT(*) > 2"
            ),
            &[],
        ),
        2 => in_any_order(
            format!("SELECT {group} AS g, {aggregate} FROM {x}{filter} GROUP BY {group}"),
            &[],
        ),
        3 => in_total_order(format!("SELECT {aggregate} FROM {x}{filter}")),
        _ => in_any_order(
            format!(
                "SELECT {group} AS g, JSON_LENGTH(JSON_ARRAYAGG(n)), COUNT(*) FROM {x}{filter} GROUP BY g"
            ),
            &[],
        ),
    }
}
