//! The physical tables that can hold an answer, from the WHERE of a statement.
//!
//! A condition narrows the tables only where the server's own comparison says that no row
//! elsewhere can meet it. In doubt all tables are asked, which is slower and never wrong:
//!
//! - A text key under a collation that takes different texts for equal (case, accents, or trailing
//!   spaces under PAD SPACE) may have equal rows on other shards. `LIKE` without wildcards compares
//!   character by character, so under a `_bin` collation it narrows where `=` does not. Where the
//!   topology vouches for keys without trailing spaces, `=` narrows there as well.
//! - A literal of another type than the key is compared after a conversion. It narrows only where
//!   the conversion keeps it the same value: `'17'` and `17.0` against an integer.

use std::collections::BTreeSet;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::routing::Router;
use crate::rows::key::{KeyType, KeyValue};

/// Physical tables by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// Any of them.
    All,
    /// These only.
    Some(BTreeSet<u32>),
}

impl Tables {
    /// Those that are in both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Tables::All, tables) | (tables, Tables::All) => tables,
            (Tables::Some(a), Tables::Some(b)) => {
                Tables::Some(a.intersection(&b).copied().collect())
            }
        }
    }

    /// Those that are in either.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Tables::Some(a), Tables::Some(b)) => Tables::Some(a.union(&b).copied().collect()),
            _ => Tables::All,
        }
    }
}

/// A column of a table that is split.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The table's router.
    pub router: &'a Router,
    /// The column's name.
    pub column: &'a str,
    /// Whether no key of the table ends in a space.
    pub no_trailing_spaces: bool,
}

/// The tables whose columns are looked at: one, or several that are split alike.
pub struct Scope<'a> {
    /// The column that an identifier means, if it is one of theirs.
    pub find: &'a dyn Fn(&Expr) -> Option<Found<'a>>,
}

impl Scope<'_> {
    /// The tables that can hold rows that meet the condition.
    pub fn tables(&self, condition: &Expr) -> Tables {
        match condition {
            Expr::Nested(inner) => self.tables(inner),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And => self.tables(left).and(self.tables(right)),
                BinaryOperator::Or => self.tables(left).or(self.tables(right)),
                BinaryOperator::Eq | BinaryOperator::Spaceship => {
                    self.equal(left, right).and(self.equal(right, left))
                }
                BinaryOperator::Lt | BinaryOperator::LtEq => self
                    .between(left, None, Some(right))
                    .and(self.between(right, Some(left), None)),
                BinaryOperator::Gt | BinaryOperator::GtEq => self
                    .between(left, Some(right), None)
                    .and(self.between(right, None, Some(left))),
                _ => Tables::All,
            },
            Expr::InList {
                expr,
                list,
                negated: false,
            } => list
                .iter()
                .map(|value| self.equal(expr, value))
                .reduce(Tables::or)
                .unwrap_or(Tables::All),
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => self.between(expr, Some(low), Some(high)),
            Expr::Like {
                negated: false,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like(expr, pattern),
            _ => Tables::All,
        }
    }

    /// The column that the expression is.
    fn column(&self, expr: &Expr) -> Option<Found<'_>> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            expr => (self.find)(expr),
        }
    }

    fn equal(&self, column: &Expr, value: &Expr) -> Tables {
        let Some(found) = self.column(column) else {
            return Tables::All;
        };
        let Some(kind) = found.router.key_type(found.column) else {
            return Tables::All;
        };
        literal(value)
            .and_then(|literal| equal_key(kind, &literal, found.no_trailing_spaces))
            .map_or(Tables::All, |key| with(found, &key))
    }

    fn between(&self, column: &Expr, low: Option<&Expr>, high: Option<&Expr>) -> Tables {
        let Some(found) = self.column(column) else {
            return Tables::All;
        };
        // The bounds are taken as included whether they are or not: that asks a shard too many at
        // the most. A bound that is no integer leaves its side open.
        let bound = |expr: Option<&Expr>| match expr.and_then(literal) {
            Some(Literal::Number(text)) => text.parse().ok(),
            _ => None,
        };
        let (low, high) = (bound(low), bound(high));
        if low.is_none() && high.is_none() {
            return Tables::All;
        }
        found
            .router
            .tables_between(found.column, low, high)
            .map_or(Tables::All, |tables| {
                Tables::Some(tables.into_iter().collect())
            })
    }

    fn like(&self, column: &Expr, pattern: &Expr) -> Tables {
        let Some(found) = self.column(column) else {
            return Tables::All;
        };
        match (found.router.key_type(found.column), literal(pattern)) {
            (
                Some(KeyType::Text {
                    collation: Some(collation),
                    trims: false,
                }),
                Some(Literal::Text(text)),
            ) if collation.ends_with("_bin") && !text.contains(['%', '_', '\\']) => {
                with(found, &KeyValue::Text(text))
            }
            _ => Tables::All,
        }
    }
}

fn with(found: Found<'_>, key: &KeyValue) -> Tables {
    match found.router.tables_with(found.column, key) {
        Some(Ok(tables)) => Tables::Some(tables.into_iter().collect()),
        // A value without a place is on no shard that we know of.
        Some(Err(_)) | None => Tables::All,
    }
}

/// Whether two values of a key are equal for the server only where they are the same value.
pub fn equal_is_same(kind: &KeyType, no_trailing_spaces: bool) -> bool {
    match kind {
        KeyType::Integer { .. } => true,
        KeyType::Text {
            collation: Some(collation),
            ..
        } => is_exact(collation) || (no_trailing_spaces && collation.ends_with("_bin")),
        KeyType::Binary { padded_to: None } => true,
        _ => false,
    }
}

/// A constant of the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    /// A number as written, with its sign.
    Number(String),
    /// The value of a string literal.
    Text(String),
}

fn literal(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Nested(inner) => literal(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match literal(expr)? {
            Literal::Number(text) => Some(Literal::Number(match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{text}"),
            })),
            Literal::Text(_) => None,
        },
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(Literal::Number(text.clone())),
            // The parser was told to leave escapes as they are written; a text that has any is not
            // worth the risk of reading them differently from the server.
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text)
                if !text.contains('\\') && !text.contains("''") && !text.contains("\"\"") =>
            {
                Some(Literal::Text(text.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The one key that equals the literal by the server's comparison, if there is only one.
fn equal_key(kind: &KeyType, literal: &Literal, no_trailing_spaces: bool) -> Option<KeyValue> {
    match (kind, literal) {
        (KeyType::Integer { .. }, Literal::Number(text)) => integer(text, kind),
        // The server compares an integer with a text as floating point numbers; up to fifteen
        // digits those are exact.
        (KeyType::Integer { .. }, Literal::Text(text))
            if text.len() <= 15
                && text.bytes().enumerate().all(|(at, b)| {
                    b.is_ascii_digit() || (at == 0 && b == b'-' && text.len() > 1)
                }) =>
        {
            integer(text, kind)
        }
        (
            KeyType::Text {
                collation: Some(collation),
                trims: false,
            },
            Literal::Text(text),
        ) if is_exact(collation) => Some(KeyValue::Text(text.clone())),
        // The server ignores spaces at the end of the literal too.
        (
            KeyType::Text {
                collation: Some(collation),
                ..
            },
            Literal::Text(text),
        ) if no_trailing_spaces && collation.ends_with("_bin") => {
            Some(KeyValue::Text(text.trim_end_matches(' ').to_owned()))
        }
        // Bytes equal bytes; the column's padding is part of its value on one server only.
        (KeyType::Binary { padded_to: None }, Literal::Text(text)) => {
            Some(KeyValue::Binary(text.as_bytes().to_vec()))
        }
        _ => None,
    }
}

/// Whether two texts are equal under the collation only where they are the same text.
fn is_exact(collation: &str) -> bool {
    collation == "utf8mb4_0900_bin" || (collation.ends_with("_nopad_bin"))
}

/// `17`, `-17`, `17.0`: the integer that a number literal equals.
fn integer(text: &str, kind: &KeyType) -> Option<KeyValue> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    kind.parse(whole).ok()
}

#[cfg(test)]
mod tests {
    use crate::query::plan::plan;
    use crate::topology::file::parse;

    const TOPOLOGY: &str = "\
version: 1
cluster: c
instances: {a: {host: x}}
schemas: {name: 's_{}', count: 16, on: {a: 0-15}}
tables:
  t:
    shard_key: id
    function: drds_hash
    ddl: CREATE TABLE t (id bigint NOT NULL PRIMARY KEY, name varchar(9))
  pads:
    shard_key: k
    function: drds_hash
    ddl: CREATE TABLE pads (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY)
  vouched:
    shard_key: k
    function: drds_hash
    assume: [no_trailing_spaces]
    ddl: CREATE TABLE vouched (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY)
  exact:
    shard_key: k
    function: drds_hash
    ddl: CREATE TABLE exact (k varchar(9) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY)
  loose:
    shard_key: k
    function: drds_hash
    assume: [one_spelling]
    ddl: CREATE TABLE loose (k varchar(9) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY)
  two:
    shard_key: a
    function: mod
    table_key: b
    table_function: mod
    tables_per_schema: 4
    ddl: CREATE TABLE two (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b))
  parts:
    shard_key: id
    function: range
    bounds: [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140]
    ddl: CREATE TABLE parts (id int NOT NULL PRIMARY KEY)
";

    /// The numbers of the tables that are asked.
    fn asked(sql: &str) -> Vec<u32> {
        let plan =
            plan(sql, &parse(TOPOLOGY).unwrap()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        plan.places.iter().map(|place| place.table).collect()
    }

    fn all(sql: &str) {
        assert_eq!(asked(sql).len(), 16, "{sql}");
    }

    #[test]
    fn integers_narrow_by_the_servers_comparison() {
        for (condition, tables) in [
            ("id = 17", &[1][..]),
            ("17 = id", &[1]),
            ("(id) = (17)", &[1]),
            ("id = -17", &[1]),
            ("id = 17.00", &[1]),
            ("id = '17'", &[1]),
            ("id <=> 17", &[1]),
            ("id IN (17, 18, 33)", &[1, 2]),
            ("id BETWEEN 17 AND 19", &[1, 2, 3]),
            ("id = 17 OR id = 18", &[1, 2]),
            ("id = 17 || t.id = 18", &[1, 2]),
            ("id = 17 AND name = 'x'", &[1]),
            ("id = 17 AND (id = 18 OR id = 33)", &[1]),
            // No row can meet it, and any table says so.
            ("id = 17 AND id = 18", &[0]),
        ] {
            assert_eq!(
                asked(&format!("SELECT * FROM t WHERE {condition}")),
                tables,
                "{condition}"
            );
        }
    }

    #[test]
    fn in_doubt_all_tables_are_asked() {
        for condition in [
            "1",
            "id > 17",
            "id <> 17",
            "NOT id = 17",
            "id NOT IN (17)",
            "id = 17 OR name = 'x'",
            "id = 17 XOR name = 'x'",
            "id = 17.5",
            "id = '17x'",
            "id = 1e1",
            "id = NULL",
            "id + 0 = 17",
            "id = 17 IS NULL",
            "id = 99999999999999999999",
            "x.id = 17",
            "id LIKE '17'",
            "BINARY id = 17",
            "id = 17 + 0",
        ] {
            all(&format!("SELECT name FROM t WHERE {condition}"));
        }
    }

    #[test]
    fn texts_narrow_only_where_equal_texts_are_the_same() {
        all("SELECT k FROM pads WHERE k = 'alice'");
        all("SELECT k FROM loose WHERE k = 'alice'");
        all("SELECT k FROM loose WHERE k LIKE 'alice'");
        all("SELECT k FROM pads WHERE k LIKE 'al%'");
        all("SELECT k FROM pads WHERE k LIKE 'al_ce'");
        all("SELECT k FROM exact WHERE k = 17");
        all("SELECT k FROM exact WHERE k = 'it\\'s'");
        let place = asked("SELECT k FROM exact WHERE k = 'alice'");
        assert_eq!(place.len(), 1);
        for sql in [
            "SELECT k FROM pads WHERE k LIKE 'alice'",
            "SELECT k FROM vouched WHERE k = 'alice'",
            "SELECT k FROM vouched WHERE k = 'alice  '",
            "SELECT k FROM vouched WHERE k IN ('alice')",
        ] {
            assert_eq!(asked(sql), place, "{sql}");
        }
    }

    #[test]
    fn two_keys_and_ranges_narrow_each_in_its_way() {
        assert_eq!(asked("SELECT * FROM two WHERE a = 3 AND b = 2"), [14]);
        assert_eq!(asked("SELECT * FROM two WHERE a = 3"), [12, 13, 14, 15]);
        assert_eq!(asked("SELECT a FROM two WHERE b = 2").len(), 16);
        assert_eq!(
            asked("SELECT * FROM parts WHERE id BETWEEN 15 AND 25"),
            [2, 3]
        );
        assert_eq!(asked("SELECT * FROM parts WHERE id < 5 AND id > 3"), [1]);
        assert_eq!(asked("SELECT * FROM parts WHERE id >= 140"), [15]);
        assert_eq!(asked("SELECT * FROM parts WHERE 135 < id"), [14, 15]);
        all("SELECT id FROM parts WHERE id > 'a'");
    }
}
