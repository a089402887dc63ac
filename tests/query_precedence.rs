//! Expressions mean to the parser what they mean to the servers: generated ones are put in
//! parentheses as their syntax tree says, and a server must give both spellings the same value.
//!
//! `SHARDCTL_EXPRESSIONS=50000` tries more, `SHARDCTL_SEED=7` others; both are printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::query::dialect::Mysql;
use sqlparser::ast::{DataType, Expr, UnaryOperator};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use support::on_each_engine;

/// Expressions that a server computes in one statement.
const AT_ONCE: usize = 50;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

/// Writes expressions without parentheses wherever the servers' grammar lets it.
///
/// The grammar is layered: arithmetic, then at most one IN, BETWEEN, LIKE or REGEXP, then
/// comparisons and IS, then NOT and the logical operators. Left out are what only one server takes,
/// such as an operator behind IS TRUE, and two shapes that the parser reads otherwise or not at all:
/// `1 REGEXP NULL`, and a BETWEEN whose upper bound is itself an IN, BETWEEN or LIKE: `1 BETWEEN 0 AND 2 IN (3)`.
struct Writer {
    rng: ChaCha8Rng,
    depth: u32,
}

impl Writer {
    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn pick(&mut self, list: &[&str]) -> String {
        list[self.rng.random_range(0..list.len())].to_owned()
    }

    fn operand(&mut self) -> String {
        let mut text = String::new();
        while self.chance(0.2) {
            text.push_str(&self.pick(&["- ", "! ", "~ ", "BINARY "]));
        }
        if self.depth < 1 && self.chance(0.06) {
            self.depth += 1;
            let inner = self.expression();
            self.depth -= 1;
            text.push_str(&format!("({inner})"));
        } else {
            text.push_str(&self.pick(&["0", "1", "1", "2", "3", "5", "7", "12", "NULL"]));
        }
        text
    }

    fn arithmetic(&mut self) -> String {
        let mut text = self.operand();
        while self.chance(0.4) {
            let op = self.pick(&["|", "&", "<<", ">>", "+", "-", "*", "/", "DIV", "%", "^"]);
            text = format!("{text} {op} {}", self.operand());
        }
        text
    }

    fn predicate(&mut self) -> String {
        let text = self.arithmetic();
        if !self.chance(0.3) {
            return text;
        }
        let not = self.pick(&["", "NOT "]);
        match self.rng.random_range(0..4) {
            0 => format!("{text} {not}IN ({}, {})", self.arithmetic(), self.in_list()),
            1 => format!(
                "{text} {not}BETWEEN {} AND {}",
                self.arithmetic(),
                self.arithmetic()
            ),
            2 => format!("{text} {not}LIKE {}", self.operand()),
            _ => format!("{text} {not}REGEXP {}", self.pick(&["0", "1", "2"])),
        }
    }

    fn in_list(&mut self) -> String {
        self.depth += 1;
        let text = if self.depth < 2 && self.chance(0.3) {
            self.expression()
        } else {
            self.operand()
        };
        self.depth -= 1;
        text
    }

    fn comparison(&mut self) -> String {
        let mut text = self.predicate();
        while self.chance(0.35) {
            text = if self.chance(0.2) {
                format!("{text} IS {}NULL", self.pick(&["", "NOT "]))
            } else if self.chance(0.1) {
                return format!("{text} IS {}", self.pick(&["TRUE", "NOT FALSE"]));
            } else {
                let op = self.pick(&["=", "<", "<=", ">", ">=", "<>", "!=", "<=>"]);
                format!("{text} {op} {}", self.predicate())
            };
        }
        text
    }

    fn negated(&mut self) -> String {
        let mut text = String::new();
        while self.chance(0.2) {
            text.push_str("NOT ");
        }
        text + &self.comparison()
    }

    fn expression(&mut self) -> String {
        let mut text = self.negated();
        while self.chance(0.45) {
            let op = self.pick(&["OR", "||", "XOR", "AND", "&&"]);
            text = format!("{text} {op} {}", self.negated());
        }
        text
    }
}

/// The tree of an expression, or what the parser has against it.
fn parsed(text: &str) -> Result<Expr, String> {
    let dialect = Mysql::default();
    let mut parser = Parser::new(&dialect)
        .try_with_sql(text)
        .map_err(|error| error.to_string())?;
    let expr = parser.parse_expr().map_err(|error| error.to_string())?;
    match &parser.peek_token_ref().token {
        Token::EOF => Ok(expr),
        token => Err(format!("stopped at {token}")),
    }
}

/// The tree as text, with parentheses around everything that is made of parts.
fn spelled(expr: &Expr) -> String {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::Value(value) => value.to_string(),
        Expr::Nested(inner) => spelled(inner),
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::Not => format!("(NOT {})", spelled(expr)),
            op => format!("({op} {})", spelled(expr)),
        },
        Expr::BinaryOp { left, op, right } => {
            format!("({} {op} {})", spelled(left), spelled(right))
        }
        Expr::IsNull(inner) => format!("({} IS NULL)", spelled(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", spelled(inner)),
        Expr::IsTrue(inner) => format!("({} IS TRUE)", spelled(inner)),
        Expr::IsNotFalse(inner) => format!("({} IS NOT FALSE)", spelled(inner)),
        Expr::InList {
            expr,
            list,
            negated,
        } => {
            let list: Vec<String> = list.iter().map(spelled).collect();
            format!(
                "({} {}IN ({}))",
                spelled(expr),
                not(*negated),
                list.join(", ")
            )
        }
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } => format!(
            "({} {}BETWEEN {} AND {})",
            spelled(expr),
            not(*negated),
            spelled(low),
            spelled(high)
        ),
        Expr::Like {
            negated,
            expr,
            pattern,
            ..
        } => format!(
            "({} {}LIKE {})",
            spelled(expr),
            not(*negated),
            spelled(pattern)
        ),
        Expr::RLike {
            negated,
            expr,
            pattern,
            ..
        } => format!(
            "({} {}REGEXP {})",
            spelled(expr),
            not(*negated),
            spelled(pattern)
        ),
        Expr::Cast {
            expr,
            data_type: DataType::Binary(None),
            ..
        } => format!("(BINARY {})", spelled(expr)),
        other => panic!("not written by this test: {other:?}"),
    }
}

/// The values of these expressions as the server writes them.
async fn values(conn: &mut Conn, list: &[&str]) -> Result<Vec<Option<Vec<u8>>>, String> {
    let row: mysql_async::Row = conn
        .query_first(format!("SELECT {}", list.join(", ")))
        .await
        .map_err(|error| error.to_string())?
        .unwrap();
    Ok(row
        .unwrap_raw()
        .into_iter()
        .map(|value| match value {
            Some(mysql_async::Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
        .collect())
}

on_each_engine! {
    async fn expressions_are_read_as_the_servers_read_them(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let (count, seed) = (setting("SHARDCTL_EXPRESSIONS", 3000), setting("SHARDCTL_SEED", 1));
        let mut writer = Writer { rng: ChaCha8Rng::seed_from_u64(seed), depth: 0 };
        let pairs: Vec<(String, String)> = (0..count)
            .map(|_| {
                let text = writer.expression();
                let tree = parsed(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
                (text, spelled(&tree))
            })
            .collect();
        let mut without_value = 0;
        for pairs in pairs.chunks(AT_ONCE) {
            let plain: Vec<&str> = pairs.iter().map(|(plain, _)| plain.as_str()).collect();
            let spelled: Vec<&str> = pairs.iter().map(|(_, spelled)| spelled.as_str()).collect();
            if let (Ok(a), Ok(b)) = (values(&mut conn, &plain).await, values(&mut conn, &spelled).await) {
                for (((a, b), plain), spelled) in a.iter().zip(&b).zip(&plain).zip(&spelled) {
                    assert_eq!(a, b, "{plain}\nwas read as\n{spelled}");
                }
                continue;
            }
            // One of them has no value, such as a number that is too large.
            for (plain, spelled) in plain.iter().zip(&spelled) {
                let answers = (values(&mut conn, &[plain]).await, values(&mut conn, &[spelled]).await);
                match answers {
                    (Ok(a), Ok(b)) => assert_eq!(a, b, "{plain}\nwas read as\n{spelled}"),
                    (Err(error), Err(_)) => {
                        assert!(!error.contains("syntax"), "{plain}\n{error}");
                        without_value += 1;
                    }
                    (a, b) => panic!("{plain}\nwas read as\n{spelled}\n{a:?}\n{b:?}"),
                }
            }
        }
        println!("seed {seed}: {count} expressions are read alike, {without_value} of them have no value");
        assert!(without_value * 20 < count, "too few were compared: {without_value} of {count} have no value");
    }
}
