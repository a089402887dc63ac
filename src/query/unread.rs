//! Statements that the servers know and the parser does not: `TABLE t`, `INTERVAL '1:30'
//! MINUTE_SECOND`, `TRIM(LEADING FROM x)`, `CAST(x AS CHAR CHARACTER SET latin1)` and the like.
//!
//! They can be gathered without a tree. Every logical table whose name is a word of the text is
//! fetched whole, and what must not run is told by words: a statement that starts as a reading one
//! and has none of the words by which one does more, no variable, and no name before a parenthesis
//! that is not the servers' own. What is wrong with it otherwise, the scratch server says before
//! anything is fetched.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::tokenizer::{Token, Word};

use super::Refusal;
use super::gather::{Fetch, Needed, is_word, refuse_function};
use crate::topology::{Spread, Topology};

/// Words of statements that do more than read, or read more than the tables. Some are functions as
/// well.
const REFUSED: &[&str] = &[
    "alter",
    "call",
    "create",
    "current_role",
    "current_user",
    "delete",
    "do",
    "drop",
    "execute",
    "grant",
    "handler",
    "into",
    "load",
    "lock",
    "match",
    "outfile",
    "partition",
    "prepare",
    "procedure",
    "share",
    "system_time",
    "truncate",
    "unlock",
    "update",
];

/// Words before a parenthesis that are no functions.
const NO_FUNCTIONS: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "binary",
    "bit",
    "by",
    "case",
    "char",
    "collate",
    "columns",
    "date",
    "datetime",
    "decimal",
    "desc",
    "distinct",
    "distinctrow",
    "div",
    "double",
    "else",
    "except",
    "exists",
    "float",
    "for",
    "from",
    "having",
    "in",
    "index",
    "int",
    "integer",
    "intersect",
    "interval",
    "is",
    "join",
    "key",
    "lateral",
    "like",
    "limit",
    "mod",
    "nchar",
    "nested",
    "not",
    "numeric",
    "on",
    "or",
    "over",
    "real",
    "regexp",
    "rlike",
    "row",
    "select",
    "signed",
    "some",
    "straight_join",
    "then",
    "time",
    "union",
    "unsigned",
    "using",
    "values",
    "varchar",
    "when",
    "where",
    "window",
    "xor",
    "year",
];

/// The servers' own schemas.
const SYSTEM: &[&str] = &["information_schema", "mysql", "performance_schema", "sys"];

/// What a statement that cannot be parsed is fetched for it.
///
/// # Errors
/// It may do more than read, or read what is not the cluster's.
pub(super) fn fetches(
    tokens: &[(Token, Range<usize>)],
    topology: &Topology,
) -> Result<Vec<Fetch>, Refusal> {
    let word = |index: usize| -> Option<&Word> {
        match tokens.get(index) {
            Some((Token::Word(word), _)) => Some(word),
            _ => None,
        }
    };
    let is = |index: usize, token: &Token| tokens.get(index).is_some_and(|(at, _)| at == token);
    let not_understood =
        |what: String| Refusal::Inexact(format!("the statement is not understood: {what}"));
    let begin = tokens.iter().find(|(token, _)| *token != Token::LParen);
    let reads = begin.is_some_and(|(token, _)| {
        ["SELECT", "WITH", "TABLE", "VALUES"]
            .iter()
            .any(|word| is_word(token, word))
    });
    if !reads {
        return Err(Refusal::Unsafe(
            "only SELECT is answered: this tool reads".to_owned(),
        ));
    }
    let standing: BTreeSet<String> = (0..tokens.len())
        .filter(|index| !is(index + 1, &Token::Period))
        .filter_map(word)
        .map(|word| word.value.to_lowercase())
        .collect();
    let mut named = BTreeSet::new();
    for (index, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::SemiColon => {
                return Err(Refusal::Unsafe(
                    "one statement at a time, please".to_owned(),
                ));
            }
            Token::AtSign | Token::Assignment | Token::Placeholder(_) => {
                return Err(Refusal::Inexact(
                    "variables and parameters are a session's own".to_owned(),
                ));
            }
            _ => {}
        }
        let Some(found) = word(index) else {
            continue;
        };
        let lower = found.value.to_lowercase();
        let bare = found.quote_style.is_none();
        let after_point = index > 0 && is(index - 1, &Token::Period);
        let called = is(index + 1, &Token::LParen);
        if bare && found.value.starts_with('@') {
            return Err(Refusal::Inexact(
                "variables and parameters are a session's own".to_owned(),
            ));
        }
        let of_window = lower == "partition"
            && tokens
                .get(index + 1)
                .is_some_and(|(token, _)| is_word(token, "BY"));
        if bare && !after_point && !of_window && REFUSED.contains(&lower.as_str()) {
            return Err(Refusal::Unsafe(format!(
                "{} is refused in a statement that is not understood otherwise",
                found.value
            )));
        }
        if called && !(bare && !after_point && NO_FUNCTIONS.contains(&lower.as_str())) {
            if after_point || !bare {
                return Err(Refusal::Unsafe(format!(
                    "the function {}() is not known",
                    found.value
                )));
            }
            refuse_function(&found.value)?;
        }
        // A schema, a table or an alias.
        if is(index + 1, &Token::Period) && !after_point {
            let is_cluster = found.value == topology.cluster;
            let foreign = SYSTEM.contains(&lower.as_str())
                || topology
                    .schemas
                    .iter()
                    .any(|schema| schema.name.as_str().eq_ignore_ascii_case(&lower));
            if foreign || !(is_cluster || standing.contains(&lower)) {
                return Err(not_understood(format!(
                    "`{}` is neither the cluster nor a table of the statement",
                    found.value
                )));
            }
        }
        let of_cluster = index >= 2
            && after_point
            && word(index - 2).is_some_and(|schema| schema.value == topology.cluster);
        if !after_point || of_cluster {
            named.insert(found.value.as_str());
        }
    }
    Ok(topology
        .tables
        .values()
        .filter(|table| named.contains(table.name.as_str()))
        .map(|table| {
            let all: Vec<_> = topology.places(table).collect();
            Fetch {
                table: table.name.to_string(),
                columns: Needed::All,
                filter: None,
                of: all.len(),
                places: match table.spread {
                    Spread::Broadcast => all.into_iter().take(1).collect(),
                    _ => all,
                },
                compared: BTreeSet::new(),
            }
        })
        .collect())
}
