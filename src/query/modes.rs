//! What a server's own `sql_mode` would make of a statement.
//!
//! The tool's sessions have a mode of their own, so that a statement is read in one way everywhere.
//! Where the fleet is set up so that its clients' statements mean something else, that is either
//! taken over ([`TAKEN`], done by the sessions themselves) or the statement is refused: a text in
//! double quotes that the application writes for a column's name must not be compared as a text.

use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::Refusal;
use super::dialect::Mysql;

/// Modes that change values and not how a statement is read: a reading session has those of its
/// server.
pub const TAKEN: &[&str] = &[
    "NO_UNSIGNED_SUBTRACTION",
    "TIME_ROUND_FRACTIONAL",
    "TIME_TRUNCATE_FRACTIONAL",
];

/// Modes under which a statement with a certain piece in it is another one.
const READING: &[&str] = &[
    "ANSI_QUOTES",
    "HIGH_NOT_PRECEDENCE",
    "NO_BACKSLASH_ESCAPES",
    "PIPES_AS_CONCAT",
    "REAL_AS_FLOAT",
];

/// Modes under which any statement can be another one.
const ANY: &[&str] = &["EMPTY_STRING_IS_NULL", "ORACLE", "PAD_CHAR_TO_FULL_LENGTH"];

/// Settings of a session that begin with the server's own, and the words of a statement by which
/// its answer can depend on them; without words every statement's can.
const SETTINGS: &[(&str, &[&str])] = &[
    ("character_set_collations", &[]),
    ("collation_connection", &[]),
    ("default_regex_flags", &["REGEXP", "RLIKE"]),
    ("default_week_format", &["WEEK"]),
    ("div_precision_increment", &["AVG", "/"]),
    (
        "group_concat_max_len",
        &["GROUP_CONCAT", "JSON_ARRAYAGG", "JSON_OBJECTAGG"],
    ),
    (
        "lc_time_names",
        &["DATE_FORMAT", "DAYNAME", "MONTHNAME", "STR_TO_DATE"],
    ),
    ("old_mode", &[]),
];

/// Whether a statement's answer can depend on a setting.
pub fn depends(sql: &str, setting: &str) -> bool {
    let sql = sql.to_ascii_uppercase();
    SETTINGS.iter().any(|(name, words)| {
        *name == setting && (words.is_empty() || words.iter().any(|word| sql.contains(word)))
    })
}

/// The modes of this list, `A,B,C` as the servers write it, that a statement's meaning can depend
/// on.
pub fn that_matter(modes: &str) -> Vec<&'static str> {
    TAKEN
        .iter()
        .chain(READING)
        .chain(ANY)
        .filter(|mode| {
            modes
                .split(',')
                .any(|set| set.trim().eq_ignore_ascii_case(mode))
        })
        .copied()
        .collect()
}

/// Refuses a statement that a server with these modes would read otherwise than this tool.
///
/// # Errors
/// It has the piece that one of the modes is about; or the mode is about every statement.
pub fn refuse(modes: &[&str], sql: &str) -> Result<(), Refusal> {
    let has = |mode: &str| modes.contains(&mode);
    if let Some(mode) = ANY.iter().find(|mode| has(mode)) {
        return Err(Refusal::Inexact(format!(
            "the servers have {mode} in their sql_mode, by which a statement's texts mean something \
             else than in this tool's sessions"
        )));
    }
    if !READING.iter().any(|mode| has(mode)) {
        return Ok(());
    }
    let dialect = Mysql::default();
    // What cannot be cut into tokens is refused as a statement.
    let Ok(tokens) = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize()
    else {
        return Ok(());
    };
    let tokens: Vec<&Token> = tokens
        .iter()
        .filter(|token| {
            !matches!(
                token,
                Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab)
            )
        })
        .collect();
    let word = |index: Option<usize>, names: &[&str]| {
        matches!(index.and_then(|at| tokens.get(at)), Some(Token::Word(word))
            if word.quote_style.is_none()
                && names.iter().any(|name| word.value.eq_ignore_ascii_case(name)))
    };
    let found = |mode: &str| {
        tokens.iter().enumerate().any(|(at, token)| match mode {
            "ANSI_QUOTES" => matches!(token, Token::DoubleQuotedString(_)),
            "PIPES_AS_CONCAT" => **token == Token::StringConcat,
            "NO_BACKSLASH_ESCAPES" => match token {
                Token::SingleQuotedString(text)
                | Token::DoubleQuotedString(text)
                | Token::NationalStringLiteral(text) => text.contains('\\'),
                // Without an escape character of its own LIKE has none there.
                _ => word(Some(at), &["LIKE"]),
            },
            "REAL_AS_FLOAT" => word(Some(at), &["REAL"]),
            // `a NOT IN (b)` and `a IS NOT NULL` are the same; `NOT a = b` is not.
            _ => {
                word(Some(at), &["NOT"])
                    && !word(at.checked_sub(1), &["IS"])
                    && !word(
                        Some(at + 1),
                        &["BETWEEN", "EXISTS", "IN", "LIKE", "REGEXP", "RLIKE"],
                    )
            }
        })
    };
    match READING.iter().find(|mode| has(mode) && found(mode)) {
        None => Ok(()),
        Some(mode) => Err(Refusal::Inexact(format!(
            "the servers have {mode} in their sql_mode, by which this statement means something \
             else to their clients than here; write it without {}",
            match *mode {
                "ANSI_QUOTES" => "double quotes: `name` or 'text'",
                "PIPES_AS_CONCAT" => "||: OR or CONCAT()",
                "NO_BACKSLASH_ESCAPES" => "backslashes in texts and without LIKE",
                "REAL_AS_FLOAT" => "REAL: FLOAT or DOUBLE",
                _ => "NOT before an operand: with NOT (...) = ... as (NOT (...)) = ...",
            }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_matters_where_the_statement_has_its_words() {
        for (sql, setting, expected) in [
            ("SELECT week(dt) FROM t", "default_week_format", true),
            ("SELECT year(dt) FROM t", "default_week_format", false),
            ("SELECT n / 3 FROM t", "div_precision_increment", true),
            ("SELECT n FROM t", "collation_connection", true),
            ("SELECT n FROM t", "max_connections", false),
        ] {
            assert_eq!(depends(sql, setting), expected, "{sql}: {setting}");
        }
    }

    #[test]
    fn a_statement_is_refused_where_a_mode_makes_it_another_one() {
        for (modes, sql, refused) in [
            (
                "STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY",
                "SELECT \"a\" || 'b\\n', NOT a = b",
                false,
            ),
            ("ANSI_QUOTES", "SELECT \"a\" FROM t", true),
            (
                "ANSI_QUOTES",
                "SELECT 'a \"b\"', `c` /* \"d\" */ FROM t",
                false,
            ),
            (
                "STRICT_ALL_TABLES,PIPES_AS_CONCAT",
                "SELECT a || b FROM t",
                true,
            ),
            ("PIPES_AS_CONCAT", "SELECT a OR b, '||' FROM t", false),
            ("NO_BACKSLASH_ESCAPES", "SELECT 'a\\nb' FROM t", true),
            (
                "NO_BACKSLASH_ESCAPES",
                "SELECT a FROM t WHERE a LIKE 'b'",
                true,
            ),
            (
                "NO_BACKSLASH_ESCAPES",
                "SELECT 'a''b', `c\\d` FROM t",
                false,
            ),
            (
                "HIGH_NOT_PRECEDENCE",
                "SELECT a FROM t WHERE NOT a = b",
                true,
            ),
            (
                "HIGH_NOT_PRECEDENCE",
                "SELECT a FROM t WHERE a IS NOT NULL AND b NOT IN (1) AND NOT EXISTS (SELECT 1)",
                false,
            ),
            ("REAL_AS_FLOAT", "SELECT CAST(a AS REAL) FROM t", true),
            ("REAL_AS_FLOAT", "SELECT a FROM t", false),
            ("PAD_CHAR_TO_FULL_LENGTH", "SELECT 1 FROM t", true),
            (
                "NO_UNSIGNED_SUBTRACTION,IGNORE_SPACE",
                "SELECT \"a\" || b - 1 FROM t",
                false,
            ),
        ] {
            let found = refuse(&that_matter(modes), sql);
            assert_eq!(found.is_err(), refused, "{modes}: {sql}: {found:?}");
        }
    }
}
