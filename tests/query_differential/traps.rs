//! Statements that are easily answered wrongly, and those that shards cannot answer each for itself.

/// A statement, whether its order leaves no ties, and columns of which any variant may stand for a
/// group.
pub type Trap = (&'static str, bool, &'static [usize]);

/// Statements that look like what they are not.
pub const TRAPS: &[Trap] = &[
    (
        "SELECT id FROM t WHERE id = 5 || id = 7 ORDER BY id",
        true,
        &[],
    ),
    ("SELECT id FROM t WHERE id = '5'", true, &[]),
    ("SELECT id FROM t WHERE id = '5x'", true, &[]),
    ("SELECT id FROM t WHERE id = 5.0", true, &[]),
    ("SELECT id FROM t WHERE id = 5.5", true, &[]),
    ("SELECT id FROM t WHERE id = 5e0", true, &[]),
    ("SELECT id FROM t WHERE id IN (1, NULL)", true, &[]),
    ("SELECT id FROM t WHERE id <=> 3", true, &[]),
    ("SELECT id FROM t WHERE id = NULL", true, &[]),
    ("SELECT id FROM t WHERE id = -17", true, &[]),
    ("SELECT id FROM t WHERE - -17 = id", true, &[]),
    ("SELECT id FROM t WHERE (id) = (17)", true, &[]),
    (
        "SELECT id FROM t WHERE id = 17 AND id = 33 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE NOT id = 3 ORDER BY id LIMIT 7",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 3 IS NULL ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 7 AND 1 OR n = 2 ORDER BY id",
        true,
        &[],
    ),
    ("SELECT COUNT(*) FROM t WHERE BINARY id = 7", true, &[]),
    ("SELECT id FROM t ORDER BY id LIMIT 0", true, &[]),
    (
        "SELECT COUNT(*), SUM(n), AVG(n), MIN(n) FROM t WHERE n > 1000",
        true,
        &[],
    ),
    (
        "SELECT n, COUNT(*) FROM t WHERE n > 1000 GROUP BY n",
        true,
        &[],
    ),
    ("SELECT AVG(d5), SUM(d5) / 1 FROM t WHERE id = 5", true, &[]),
    ("SELECT AVG(d5) FROM t", true, &[]),
    ("SELECT MIN(ci), MAX(np) FROM t", true, &[0, 1]),
    ("SELECT COUNT(DISTINCT id) FROM t", true, &[]),
    ("SELECT e, id FROM t ORDER BY e DESC, id LIMIT 9", true, &[]),
    ("SELECT tm, id FROM t ORDER BY tm, id LIMIT 40", true, &[]),
    (
        "SELECT b, y, f, id FROM t ORDER BY b, y DESC, f, id LIMIT 40",
        true,
        &[],
    ),
    ("SELECT f, id FROM t ORDER BY f, id", true, &[]),
    (
        "SELECT x.id AS `from` FROM t AS x WHERE x.n = 3 ORDER BY `from` DESC",
        true,
        &[],
    ),
    (
        "SELECT t.id, `t`.`ci` FROM `t` WHERE t.id > 500 ORDER BY t.id",
        true,
        &[],
    ),
    (
        "SELECT /* GROUP BY */ id, ' ORDER BY x LIMIT 3' FROM t WHERE ci <> 'FROM u' ORDER BY id LIMIT 5",
        true,
        &[],
    ),
    ("SELECT t.* FROM t ORDER BY id DESC LIMIT 3;", true, &[]),
    (
        "SELECT n AS id, id AS n FROM t ORDER BY n LIMIT 20",
        true,
        &[],
    ),
    (
        "SELECT n + 1, count(*) FROM t GROUP BY n + 1 ORDER BY count(*) DESC, n + 1",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*) FROM t WHERE ts < NOW() AND dt < CURDATE()",
        true,
        &[],
    ),
    ("SELECT DISTINCT e, s FROM t ORDER BY s, e DESC", true, &[]),
    ("SELECT j, id FROM t ORDER BY j, id", true, &[]),
    (
        "SELECT n, MAX(e), MIN(s) FROM t GROUP BY n ORDER BY n",
        true,
        &[],
    ),
    ("SELECT id FROM t HAVING id = 5", true, &[]),
    ("SELECT SUM(n) FROM t GROUP BY ci ORDER BY ci", true, &[]),
    ("SELECT ci, SUM(n) FROM u GROUP BY 1 ORDER BY 1", true, &[0]),
    (
        "SELECT IF(n > 0, 'p', 'm') AS sign, COUNT(*) FROM u GROUP BY sign ORDER BY sign",
        true,
        &[],
    ),
    (
        "SELECT EXTRACT(YEAR FROM dt), COUNT(*) FROM u GROUP BY EXTRACT(YEAR FROM dt) ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT k FROM u WHERE k BETWEEN 3 AND 9 ORDER BY k",
        true,
        &[],
    ),
    (
        "SELECT n % 3 AS n, COUNT(*) FROM t GROUP BY n ORDER BY COUNT(*)",
        false,
        &[],
    ),
    (
        "SELECT n AS y, COUNT(*) FROM t GROUP BY y, n ORDER BY n",
        false,
        &[],
    ),
    ("SELECT n * 2 AS x, id FROM t ORDER BY x + 1, id", true, &[]),
    ("SELECT -n AS n, id FROM t ORDER BY n, id", true, &[]),
    ("SELECT -n AS n, id FROM t ORDER BY n + 0, id", true, &[]),
    ("SELECT -n AS n, id FROM t ORDER BY t.n, id", true, &[]),
    ("SELECT 5, COUNT(*) FROM t GROUP BY 1", true, &[]),
    (
        "SELECT 2 AS two, n, COUNT(*) FROM t GROUP BY two, n ORDER BY n",
        true,
        &[],
    ),
    (
        "SELECT 'x', n, COUNT(*) FROM t GROUP BY 1, 2 ORDER BY 2",
        true,
        &[],
    ),
    ("SELECT DISTINCT 7, e FROM t ORDER BY e", true, &[]),
    ("SELECT DISTINCT NULL, e FROM t ORDER BY e", true, &[]),
    (
        "SELECT n AS 'it''s', id FROM t ORDER BY n, id LIMIT 20",
        true,
        &[],
    ),
    (
        "SELECT n + 1 AS `a``b`, id FROM t ORDER BY `a``b`, id LIMIT 20",
        true,
        &[],
    ),
    (
        "SELECT n \"q\", COUNT(*) FROM t GROUP BY 1 ORDER BY n",
        true,
        &[],
    ),
    (
        "SELECT n + 1 /* one */ AS x /* two */, COUNT(*) FROM t GROUP BY x ORDER BY x",
        true,
        &[],
    ),
    (
        "SELECT COUNT(ci = 'it''s' OR n = 3 || NULL), SUM(bin = 'a''b'), SUM(!n + 1), SUM(- -n) FROM t",
        true,
        &[],
    ),
    (
        "SELECT SUM(ci LIKE 'a\\'b'), SUM(ci LIKE '%\\'%'), SUM(n ^ 3 & 7), SUM(n DIV 2) FROM t",
        true,
        &[],
    ),
    (
        "SELECT SUM(y), SUM(b), MIN(b), MAX(b), SUM(NULL), COUNT(NULL), MIN(NULL) FROM t",
        true,
        &[],
    ),
    ("SELECT SUM(tm) FROM t", true, &[]),
    ("SELECT SUM(dt), AVG(ts) FROM t", true, &[]),
    ("SELECT AVG(y), AVG(b) FROM t", true, &[]),
    ("SELECT MIN(f), MAX(f), MIN(db), MAX(db) FROM t", true, &[]),
    (
        "SELECT MIN(tm), MAX(tm), MIN(ts), MIN(vb), MAX(vb), MIN(c), MAX(l1) FROM t",
        true,
        &[5, 6],
    ),
    (
        "SELECT n, MAX(bin), MIN(bin) FROM t GROUP BY n ORDER BY MAX(bin) DESC, n",
        true,
        &[1, 2],
    ),
    (
        "SELECT s, e, COUNT(*), SUM(d2), AVG(d5) FROM t GROUP BY s, e ORDER BY SUM(d2) DESC, e, s",
        true,
        &[],
    ),
    (
        "SELECT UNIX_TIMESTAMP() > 0, id FROM t ORDER BY id LIMIT 3",
        true,
        &[],
    ),
    (
        "SELECT NOW(), CURDATE(), UTC_TIMESTAMP, UNIX_TIMESTAMP(), LOCALTIME, id FROM t ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT CAST('10:00' AS DATETIME), CAST(tm AS DATE), id FROM t ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT DISTINCT UTC_DATE, UNIX_TIMESTAMP() - UNIX_TIMESTAMP() FROM t",
        true,
        &[],
    ),
    (
        "SELECT id FROM t ORDER BY n IS NULL, n DESC, id LIMIT 5, 40",
        true,
        &[],
    ),
    (
        "SELECT id FROM t ORDER BY RIGHT(bin, 1), CASE e WHEN 'a' THEN 2 ELSE 1 END, id",
        true,
        &[],
    ),
    (
        "SELECT id, n FROM t ORDER BY 2 DESC, 1 LIMIT 30 OFFSET 7",
        true,
        &[],
    ),
    (
        "SELECT id FROM t ORDER BY id LIMIT 230, 18446744073709551615",
        true,
        &[],
    ),
    ("SELECT id FROM t WHERE id BETWEEN 100 AND 50", true, &[]),
    (
        "SELECT id FROM t WHERE 5 <= id AND id < 9 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id BETWEEN 4.5 AND 9.5 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id > 3 AND id <= '9' ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id IN (5, '7', 9.0, 11.5, 0x0d) ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 0x05 OR id = b'111' ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = TRUE OR id = '007' ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id NOT IN (5, 7) AND id BETWEEN 1 AND 9 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id BETWEEN 1 AND 9 IN (0) ORDER BY id LIMIT 9",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE (id, n) = (5, n) ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE CASE WHEN id = 5 THEN 1 ELSE n = 3 END ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 5 IS NOT TRUE AND id < 20 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id - 5 = 0 OR -id = 3 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE ID = 5 OR t.ID = 7 ORDER BY Id",
        true,
        &[],
    ),
    (
        "SELECT k FROM u WHERE k = -17 OR k IN (-1, -2) ORDER BY k",
        true,
        &[],
    ),
    (
        "SELECT /*+ NO_ICP(t) */ DISTINCT e FROM t ORDER BY e",
        true,
        &[],
    ),
    ("SELECT /* DISTINCTROW */ e FROM t", false, &[]),
    ("SELECT DISTINCTROW e FROM t", false, &[]),
    ("SELECT SQL_NO_CACHE ALL e FROM t", false, &[]),
    (
        "SELECT n FROM t USE INDEX (PRIMARY) WHERE id > 5",
        false,
        &[],
    ),
    (
        "SELECT n, COUNT(*) FROM t IGNORE INDEX FOR GROUP BY (PRIMARY) GROUP BY n",
        false,
        &[],
    ),
    ("SELECT j, COUNT(*) FROM t GROUP BY j", false, &[]),
    (
        "SELECT id, (SELECT COUNT(*) FROM tt WHERE tid = id) FROM t ORDER BY 2 DESC, 1 LIMIT 9",
        true,
        &[],
    ),
    (
        "SELECT id, (SELECT MAX(no) FROM `tt` WHERE tid = id) + 1 FROM t WHERE id = 5",
        true,
        &[],
    ),
    // Every table has one place.
    (
        "SELECT (SELECT n FROM t WHERE id = 5), (SELECT n FROM t WHERE id = 7)",
        true,
        &[],
    ),
    (
        "SELECT n FROM t WHERE id = 5 UNION SELECT n FROM t WHERE id = 7 ORDER BY 1",
        true,
        &[],
    ),
    (
        "WITH x AS (SELECT n, ci FROM t WHERE id = 5) SELECT x.n, y.n FROM x JOIN x AS y",
        true,
        &[],
    ),
    (
        "SELECT x.n, tt.no FROM (SELECT * FROM t WHERE id = 5) AS x JOIN tt ON tt.tid = 5 ORDER BY 2",
        true,
        &[],
    ),
    (
        "SELECT a.id, b.k FROM t a JOIN u b ON a.n < b.n WHERE a.id = 5 AND b.k = 5",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*) FROM t a, u b WHERE a.id = 5 AND b.k = 5 AND a.id = b.k",
        true,
        &[],
    ),
    (
        "SELECT a.n FROM t a LEFT JOIN tt b ON b.tid = a.id WHERE a.id = 5 AND NOT EXISTS (SELECT 1 FROM tt c WHERE c.tid = a.id AND c.no > b.no)",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*) FROM bc a JOIN bc b ON a.grp = b.grp",
        true,
        &[],
    ),
    (
        "SELECT RANK() OVER (ORDER BY n), id FROM t WHERE id IN (5, 5) ORDER BY 1, 2",
        true,
        &[],
    ),
    (
        "SELECT 't', COUNT(*), MAX(dt) FROM t UNION ALL SELECT 'uu', COUNT(*), MIN(dt) FROM uu UNION ALL SELECT 'one', n, NULL FROM t WHERE id = 5",
        true,
        &[],
    ),
    (
        "SELECT NULL AS x, SUM(n) AS y FROM t UNION ALL SELECT ci, COUNT(*) FROM u WHERE k = 5 GROUP BY ci UNION ALL SELECT label, code FROM bc WHERE code = 3",
        true,
        &[],
    ),
    (
        "SELECT id, ci FROM t WHERE id < 50 UNION ALL SELECT k, ci FROM u WHERE k > 200 UNION ALL SELECT no, ci FROM tt",
        false,
        &[],
    ),
    (
        "SELECT e, COUNT(*) FROM t GROUP BY e UNION ALL SELECT e, COUNT(*) FROM u GROUP BY e",
        false,
        &[],
    ),
    (
        "SELECT n FROM t WHERE n IS NULL UNION ALL SELECT n FROM u WHERE n IS NULL LIMIT 40, 20",
        true,
        &[],
    ),
    // Joins.
    (
        "SELECT COUNT(*) FROM t JOIN tt ON (id) = (tid) AND (t.n > 3 OR tt.n > 3)",
        true,
        &[],
    ),
    ("SELECT COUNT(*) FROM (t JOIN tt ON id = tid)", true, &[]),
    (
        "SELECT COUNT(*) FROM t, tt, bc WHERE bc.code = tt.n AND tid = id",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*), COUNT(b.k) FROM u AS a LEFT JOIN u b USING (k) LEFT JOIN u c USING (k)",
        true,
        &[],
    ),
    (
        "SELECT * FROM u a RIGHT JOIN u b USING (k) ORDER BY k LIMIT 20",
        true,
        &[],
    ),
    (
        "SELECT k, COUNT(*), COUNT(DISTINCT k) FROM u a JOIN u b USING (k) GROUP BY k ORDER BY k",
        true,
        &[],
    ),
    (
        "SELECT COUNT(DISTINCT k), COUNT(*) FROM u a LEFT JOIN u b USING (k)",
        true,
        &[],
    ),
    (
        "SELECT k, b.n FROM u a RIGHT JOIN u b USING (k) WHERE k IN (5, 7, 8) ORDER BY k",
        true,
        &[],
    ),
    ("SELECT COUNT(*) FROM t NATURAL JOIN bc", true, &[]),
    (
        "SELECT t.*, bc.* FROM t JOIN bc ON bc.code = t.n ORDER BY t.id, bc.code LIMIT 30",
        true,
        &[],
    ),
    (
        "SELECT id FROM t JOIN (tt JOIN bc ON bc.code = tt.n) ON id = tid ORDER BY id, tt.no",
        true,
        &[],
    ),
    (
        "SELECT a.id FROM t AS a STRAIGHT_JOIN tt AS b WHERE b.tid = a.id AND a.id = 5 ORDER BY b.no",
        true,
        &[],
    ),
    (
        "SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id AND a.id IN (5, 7, 9) ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT a.id, b.id FROM t a LEFT JOIN t b ON a.id = b.id AND b.id IN (5, 7, 9) ORDER BY 2 DESC, 1 LIMIT 9",
        true,
        &[],
    ),
    (
        "SELECT a.id FROM t a LEFT JOIN tt b ON a.id = b.tid WHERE b.tid IS NULL ORDER BY a.id",
        true,
        &[],
    ),
    (
        "SELECT DISTINCT * FROM t ORDER BY id DESC LIMIT 7",
        true,
        &[],
    ),
    (
        "SELECT tid FROM tt GROUP BY 1 HAVING COUNT(*) > 1 ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT tid AS x, GROUP_CONCAT(DISTINCT no ORDER BY no), GROUP_CONCAT(n ORDER BY no) FROM tt GROUP BY x ORDER BY x",
        true,
        &[],
    ),
    ("SELECT COUNT(*) FROM tt HAVING COUNT(*) > 5", true, &[]),
    ("SELECT COUNT(*) FROM tt HAVING COUNT(*) < 5", true, &[]),
    (
        "SELECT COUNT(DISTINCT n), SUM(DISTINCT n), AVG(DISTINCT n) FROM t WHERE n > 1000",
        true,
        &[],
    ),
    (
        "SELECT COUNT(DISTINCT id), COUNT(DISTINCT id, n), COUNT(DISTINCT ci) FROM t",
        true,
        &[],
    ),
    (
        "SELECT *, n AS m FROM t ORDER BY m DESC, id LIMIT 5",
        true,
        &[],
    ),
    (
        "SELECT SUM(n) > '5x', SUM(n) = '7.0', MAX(dt) > 20120101, MAX(tm) > '99', MIN(ts) < '2020-1-9' FROM t",
        true,
        &[],
    ),
];

/// Shapes that similar tools are known to answer wrongly or not at all: DISTINCT or windows under
/// LIMIT, sums over subqueries, LIMIT with an offset in parts, and words that end a statement early.
pub const SHAPES: &[Trap] = &[
    ("SELECT DISTINCT n FROM t ORDER BY n LIMIT 5", true, &[]),
    (
        "SELECT DISTINCT tid, n % 2 FROM tt ORDER BY 1, 2 LIMIT 3, 7",
        true,
        &[],
    ),
    (
        "SELECT SUM(x) FROM (SELECT n AS x FROM t ORDER BY id LIMIT 50) z",
        true,
        &[],
    ),
    (
        "SELECT SUM(c), MAX(c) FROM (SELECT COUNT(*) AS c FROM t GROUP BY e) z",
        true,
        &[],
    ),
    ("SELECT id FROM t ORDER BY id LIMIT 5, 3", true, &[]),
    (
        "(SELECT id FROM t ORDER BY id LIMIT 3) UNION ALL (SELECT k FROM u ORDER BY k LIMIT 3)",
        false,
        &[],
    ),
    ("SELECT COUNT(*) FROM t LIMIT 1 OFFSET 1", true, &[]),
    ("SELECT COUNT(*) FROM t LIMIT 0", true, &[]),
    (
        "SELECT n, COUNT(*) FROM t GROUP BY n ORDER BY NULL",
        false,
        &[],
    ),
    ("SELECT COUNT(*) FROM t HAVING 0", true, &[]),
    (
        "SELECT a.id, (SELECT b.n FROM tt b WHERE b.tid = a.id ORDER BY b.no LIMIT 1) FROM t a ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*) OVER (), id FROM t WHERE id < 60 ORDER BY id LIMIT 3",
        true,
        &[],
    ),
    (
        "SELECT id, ROW_NUMBER() OVER (ORDER BY id) FROM t ORDER BY id LIMIT 3, 4",
        true,
        &[],
    ),
    (
        "SELECT MAX(id) FROM t WHERE id < (SELECT MAX(id) FROM t)",
        true,
        &[],
    ),
    (
        "SELECT e, SUM(n) FROM t GROUP BY e HAVING SUM(n) > (SELECT AVG(n) FROM u) ORDER BY e",
        true,
        &[],
    ),
    (
        "SELECT t.id FROM t WHERE (t.id, t.n) IN (SELECT k, n FROM u) ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT t.id FROM t JOIN u ON t.id = u.k WHERE t.id = 5",
        true,
        &[],
    ),
    (
        "SELECT t.id, u.k FROM t LEFT JOIN u ON t.id = u.k WHERE t.id IN (5, 7, 9) ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT t.id FROM t WHERE id = 5 UNION SELECT k FROM u WHERE k = 5 ORDER BY 1",
        true,
        &[],
    ),
    (
        "SELECT COUNT(*) FROM t WHERE EXISTS (SELECT 1 FROM u LIMIT 1)",
        true,
        &[],
    ),
    (
        "SELECT COUNT(DISTINCT t.e), COUNT(DISTINCT u.e) FROM t JOIN u ON t.n = u.n",
        true,
        &[],
    ),
    ("SELECT id FROM t -- the end", false, &[]),
    ("SELECT id FROM t # the end", false, &[]),
    ("SELECT 5--3, id FROM t WHERE id < 9 ORDER BY id", true, &[]),
    (
        "SELECT 'a' 'b', id FROM t WHERE id < 9 ORDER BY 2",
        true,
        &[],
    ),
    (
        "SELECT N'x', x'41', 0x41, b'1', id FROM t WHERE id < 9 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT `id`, t.`n` `x y` FROM t WHERE `id` < 9 ORDER BY `x y`, id",
        true,
        &[],
    ),
    (
        "SELECT id, n AS `order` FROM t ORDER BY `order`, id LIMIT 5",
        true,
        &[],
    ),
    (
        "SELECT SUM(n), e FROM t GROUP BY 2 ORDER BY 1, 2",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id BETWEEN 5 AND 9 AND id NOT BETWEEN 6 AND 7 ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 5 OR (id = 7 AND n IS NULL) OR id IN (9) ORDER BY id",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id = 18446744073709551615",
        true,
        &[],
    ),
    (
        "SELECT id FROM t WHERE id > -9223372036854775808 AND id < 5 ORDER BY id",
        true,
        &[],
    ),
    ("SELECT uk FROM uu WHERE uk = -1", true, &[]),
    (
        "SELECT COUNT(*) FROM tt WHERE tid = (SELECT MIN(id) FROM t WHERE id > 5)",
        true,
        &[],
    ),
    (
        "SELECT GROUP_CONCAT(DISTINCT e ORDER BY e SEPARATOR '') FROM t",
        true,
        &[],
    ),
    (
        "SELECT e, n, SUM(d2) FROM t GROUP BY e, n WITH ROLLUP",
        false,
        &[],
    ),
    (
        "SELECT MIN(n) FROM t WHERE id = 5 AND n > 1000000",
        true,
        &[],
    ),
    (
        "SELECT BIT_AND(n), BIT_OR(n), BIT_XOR(n) FROM t WHERE n > 1000",
        true,
        &[],
    ),
    ("SELECT AVG(n) FROM t GROUP BY id % 1", true, &[]),
    (
        "SELECT id FROM t ORDER BY (SELECT COUNT(*) FROM u WHERE u.n = t.n), id LIMIT 9",
        true,
        &[],
    ),
];

/// Statements whose parts cannot be merged, and why.
pub const APART: &[(&str, &str)] = &[
    (
        "SELECT n % 3 AS y, COUNT(*) FROM t GROUP BY y",
        "neither grouped by nor an aggregate",
    ),
    (
        "SELECT id % 2 AS n, n AS m FROM t GROUP BY n",
        "neither grouped by nor an aggregate",
    ),
    (
        "SELECT GROUP_CONCAT(ci) FROM t",
        "group_concat() over shards",
    ),
    ("SELECT SUM(db) FROM t", "floating point"),
    ("SELECT SUM(DISTINCT db) FROM t", "floating point"),
    (
        "SELECT n, ci FROM t GROUP BY n",
        "neither grouped by nor an aggregate",
    ),
    (
        "SELECT n, COUNT(*) FROM t",
        "neither grouped by nor an aggregate",
    ),
    (
        "SELECT n FROM t GROUP BY n HAVING y > 3",
        "neither grouped by nor an aggregate",
    ),
    ("SELECT RAND() FROM t", "another value on each shard"),
    ("SELECT SUM(db) / COUNT(n) FROM t", "floating point"),
    (
        "SELECT CONCAT(MAX(ci), 'x') FROM t",
        "numbers, dates and times only",
    ),
    (
        "SELECT ci FROM t GROUP BY ci HAVING ci LIKE 'a%'",
        "numbers, dates and times only",
    ),
    ("SELECT MAX(n / 3) * 3 FROM t", "hidden digits"),
    ("SELECT AVG(DISTINCT d5) FROM t", "round in different ways"),
    ("SELECT AVG(n) * 3 FROM t", "more digits than they show"),
    ("SELECT CONCAT(AVG(n)) FROM t", "more digits than they show"),
    (
        "SELECT n, AVG(d2) AS x FROM t GROUP BY n ORDER BY x + 1",
        "more digits than they show",
    ),
    ("SELECT n FROM t GROUP BY n WITH ROLLUP", "ROLLUP"),
    ("SELECT n FROM t UNION SELECT n FROM u", "UNION"),
    (
        "SELECT n FROM t UNION ALL SELECT d2 FROM u",
        "different types in the SELECTs",
    ),
    (
        "SELECT d2 FROM t UNION ALL SELECT d5 FROM u",
        "different types in the SELECTs",
    ),
    (
        "SELECT ts FROM t UNION ALL SELECT dt FROM u",
        "different types in the SELECTs",
    ),
    (
        "SELECT n FROM t UNION ALL SELECT n FROM u ORDER BY n",
        "UNION",
    ),
    (
        "SELECT n FROM t UNION ALL SELECT n FROM u UNION SELECT n FROM t",
        "UNION",
    ),
    (
        "SELECT n FROM t WHERE n IN (SELECT n FROM u)",
        "reads rows of other shards",
    ),
    (
        "SELECT n FROM t WHERE id IN (SELECT k FROM u)",
        "reads rows of other shards",
    ),
    (
        "SELECT n FROM t WHERE id NOT IN (SELECT tid FROM tt)",
        "reads rows of other shards",
    ),
    (
        "SELECT n FROM t WHERE n > 3 OR id IN (SELECT tid FROM tt)",
        "reads rows of other shards",
    ),
    (
        "SELECT id IN (SELECT tid FROM tt) FROM t",
        "reads rows of other shards",
    ),
    (
        "SELECT n FROM t WHERE id IN (SELECT MAX(tid) FROM tt)",
        "reads rows of other shards",
    ),
    (
        "SELECT (SELECT MAX(t.n) FROM tt WHERE tid = id) FROM t",
        "an aggregate over a table around",
    ),
    (
        "SELECT t.n FROM t JOIN tt ON t.n = tt.n",
        "not joined on shard keys",
    ),
    (
        "SELECT t.n FROM t JOIN u ON t.id = u.k",
        "not joined on shard keys",
    ),
    ("SELECT t.n FROM t, tt", "not joined on shard keys"),
    (
        "SELECT t.n FROM t LEFT JOIN tt ON t.n = tt.n WHERE t.id = tt.tid",
        "not joined on shard keys",
    ),
    (
        "SELECT t.n FROM t JOIN tt ON t.id = tt.tid OR t.n = 1",
        "not joined on shard keys",
    ),
    (
        "SELECT t.n FROM t JOIN tt ON NOT t.id = tt.tid",
        "not joined on shard keys",
    ),
    (
        "SELECT t.n FROM t JOIN tt ON t.id = tt.tid + 0",
        "not joined on shard keys",
    ),
    (
        "SELECT bc.code FROM bc LEFT JOIN t ON t.n = bc.code",
        "once for each shard",
    ),
    (
        "SELECT bc.code FROM t RIGHT JOIN bc ON t.n = bc.code",
        "once for each shard",
    ),
    ("SELECT * FROM (SELECT n FROM t) AS x", "derived tables"),
    ("SELECT ROW_NUMBER() OVER (ORDER BY n) FROM t", "window"),
    ("SELECT SUM(n) OVER (PARTITION BY n) FROM t", "window"),
    (
        "SELECT tt.tid, COUNT(*), STD(n) FROM tt GROUP BY tt.tid",
        "floating point",
    ),
    (
        "SELECT b.tid, GROUP_CONCAT(b.n) FROM t a LEFT JOIN tt b ON a.id = b.tid GROUP BY b.tid",
        "group_concat()",
    ),
    (
        "SELECT tid, ci, COUNT(*) FROM tt GROUP BY tid",
        "neither grouped by nor an aggregate",
    ),
    ("SELECT f, COUNT(*) FROM t GROUP BY f", "floating point"),
    (
        "SELECT n, MIN(e) AS a FROM t GROUP BY n ORDER BY a, n",
        "by number",
    ),
];
