//! What a statement asks the session or the server about itself: `USER()`, `@@version`.
//!
//! The scratch server's own answer would be about the scratch server. So a shard's session is asked
//! instead, and a variable of the scratch session that holds its answer stands in the statement:
//! one value for the whole statement, as on one server. What the shards must agree on is refused
//! where they do not.

use std::ops::Range;

use sqlparser::ast::{Expr, Function, FunctionArguments};
use sqlparser::tokenizer::Token;

use super::Edit;
use crate::names::quote_text;

/// Functions that can also be written without parentheses.
const BARE: &[&str] = &["current_role", "current_user"];

/// Functions about the session that have no arguments.
const FUNCTIONS: &[&str] = &[
    "connection_id",
    "current_role",
    "current_user",
    "database",
    "schema",
    "session_user",
    "system_user",
    "user",
    "version",
];

/// Words before the name of a variable.
const SCOPES: &[&str] = &["@@global", "@@local", "@@session"];

/// What a shard's session is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The expression.
    pub sql: String,
    /// Whether all shards must answer the same. Else the first one's answer is taken, as one
    /// server has one.
    pub alike: bool,
    /// As it is written in the statement.
    pub written: String,
}

impl Ask {
    /// The variable that stands for the answer.
    pub fn variable(number: usize) -> String {
        format!("@_shardctl_{number}")
    }
}

/// Whether an expression asks the session about itself, in a form that [`asks`] finds.
pub(super) fn is_ask(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => is_function(function),
        Expr::Identifier(ident) if ident.quote_style.is_none() => {
            is_variable(&ident.value) || BARE.contains(&ident.value.to_ascii_lowercase().as_str())
        }
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [scope, name] => {
                SCOPES.contains(&scope.value.to_ascii_lowercase().as_str())
                    && name.quote_style.is_none()
                    && is_plain(&name.value)
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_function(function: &Function) -> bool {
    let none = match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => list.args.is_empty() && list.clauses.is_empty(),
        FunctionArguments::Subquery(_) => false,
    };
    let name = function.name.to_string().to_ascii_lowercase();
    none && function.over.is_none() && FUNCTIONS.contains(&name.as_str())
}

/// `@@version`, and not a scope alone.
fn is_variable(word: &str) -> bool {
    word.strip_prefix("@@").is_some_and(is_plain)
        && !SCOPES.contains(&word.to_ascii_lowercase().as_str())
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What is asked, and where in the text the answers stand.
pub(super) fn asks(
    sql: &str,
    tokens: &[(Token, Range<usize>)],
    cluster: &str,
) -> (Vec<Ask>, Vec<(Range<usize>, Edit)>) {
    let is = |index: usize, token: &Token| tokens.get(index).is_some_and(|(at, _)| at == token);
    let bare = |index: usize| match tokens.get(index) {
        Some((Token::Word(word), _)) if word.quote_style.is_none() => Some(word.value.as_str()),
        _ => None,
    };
    let (mut asks, mut edits) = (Vec::new(), Vec::new());
    for (index, (_, range)) in tokens.iter().enumerate() {
        let Some(word) = bare(index) else { continue };
        if index > 0 && is(index - 1, &Token::Period) {
            continue;
        }
        let lower = word.to_ascii_lowercase();
        let called = is(index + 1, &Token::LParen) && is(index + 2, &Token::RParen);
        let scoped = SCOPES.contains(&lower.as_str())
            && is(index + 1, &Token::Period)
            && bare(index + 2).is_some_and(is_plain);
        let last = if scoped || (called && FUNCTIONS.contains(&lower.as_str())) {
            index + 2
        } else if is_variable(word)
            || (BARE.contains(&lower.as_str())
                && !is(index + 1, &Token::LParen)
                && !is(index + 1, &Token::Period))
        {
            index
        } else {
            continue;
        };
        let whole = range.start..tokens[last].1.end;
        let written = sql[whole.clone()].to_owned();
        let ask = match lower.as_str() {
            "database" | "schema" => Ask {
                sql: quote_text(cluster),
                alike: true,
                written,
            },
            // Each server sees its own number and, maybe, another host of the client.
            "connection_id" | "current_role" | "current_user" | "session_user" | "system_user"
            | "user" => Ask {
                sql: written.clone(),
                alike: false,
                written,
            },
            _ => Ask {
                sql: written.clone(),
                alike: true,
                written,
            },
        };
        edits.push((whole, Edit::Answer(asks.len())));
        asks.push(ask);
    }
    (asks, edits)
}
