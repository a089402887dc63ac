//! The physical tables that can hold an answer, from the WHERE of a statement.
//!
//! A condition narrows the tables only where the server's own comparison says that no row
//! elsewhere can meet it. In doubt all tables are asked, which is slower and never wrong:
//!
//! - A text key under a collation that takes different texts for equal (case, accents, or trailing
//!   spaces under PAD SPACE) may have equal rows on other shards. `LIKE` without wildcards compares
//!   character by character, so under a `_bin` collation it narrows where `=` does not.
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
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Tables::All, tables) | (tables, Tables::All) => tables,
            (Tables::Some(a), Tables::Some(b)) => {
                Tables::Some(a.intersection(&b).copied().collect())
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Tables::Some(a), Tables::Some(b)) => Tables::Some(a.union(&b).copied().collect()),
            _ => Tables::All,
        }
    }
}

/// The table whose columns are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Its router.
    pub router: &'a Router,
    /// The name that qualifies its columns: the alias, or the table's own.
    pub qualifier: &'a str,
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

    /// The column of this table that the expression is.
    fn column<'e>(&self, expr: &'e Expr) -> Option<&'e str> {
        match expr {
            Expr::Identifier(ident) => Some(&ident.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if table.value.eq_ignore_ascii_case(self.qualifier) => {
                    Some(&column.value)
                }
                _ => None,
            },
            Expr::Nested(inner) => self.column(inner),
            _ => None,
        }
    }

    fn equal(&self, column: &Expr, value: &Expr) -> Tables {
        let Some(column) = self.column(column) else {
            return Tables::All;
        };
        let Some(kind) = self.router.key_type(column) else {
            return Tables::All;
        };
        literal(value)
            .and_then(|literal| equal_key(kind, &literal))
            .map_or(Tables::All, |key| self.with(column, &key))
    }

    fn with(&self, column: &str, key: &KeyValue) -> Tables {
        match self.router.tables_with(column, key) {
            Some(Ok(tables)) => Tables::Some(tables.into_iter().collect()),
            // A value without a place is on no shard that we know of.
            Some(Err(_)) | None => Tables::All,
        }
    }

    fn between(&self, column: &Expr, low: Option<&Expr>, high: Option<&Expr>) -> Tables {
        let Some(column) = self.column(column) else {
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
        self.router
            .tables_between(column, low, high)
            .map_or(Tables::All, |tables| {
                Tables::Some(tables.into_iter().collect())
            })
    }

    fn like(&self, column: &Expr, pattern: &Expr) -> Tables {
        let Some(column) = self.column(column) else {
            return Tables::All;
        };
        match (self.router.key_type(column), literal(pattern)) {
            (
                Some(KeyType::Text {
                    collation: Some(collation),
                    trims: false,
                }),
                Some(Literal::Text(text)),
            ) if collation.ends_with("_bin") && !text.contains(['%', '_', '\\']) => {
                self.with(column, &KeyValue::Text(text))
            }
            _ => Tables::All,
        }
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
fn equal_key(kind: &KeyType, literal: &Literal) -> Option<KeyValue> {
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
