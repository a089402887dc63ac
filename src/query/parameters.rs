//! Values for the `?` of a statement.
//!
//! A value becomes a literal of its type, quoted here, so that nothing in it is ever read as SQL;
//! and the shard key is found in it as in a literal that was written.

use sqlparser::tokenizer::{Token, Tokenizer};

use super::Refusal;
use super::dialect::Mysql;
use super::parse::{line_starts, offset};

/// A value as it was given: `17`, `number:17`, `text:17`, `null`, or a text.
fn literal(given: &str) -> Result<String, Refusal> {
    if given.eq_ignore_ascii_case("null") {
        return Ok("NULL".to_owned());
    }
    if let Some(text) = given.strip_prefix("text:") {
        return Ok(quoted(text));
    }
    if let Some(number) = given.strip_prefix("number:") {
        return match is_number(number) {
            true => Ok(signed(number)),
            false => Err(Refusal::Syntax {
                message: format!("the parameter {given} is no number"),
            }),
        };
    }
    Ok(match is_number(given) {
        true => signed(given),
        false => quoted(given),
    })
}

/// Digits, at most one point among them, and a sign before them.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all(whole) && all(fraction)
}

/// In parentheses where there is a sign: two signs in a row begin a comment.
fn signed(number: &str) -> String {
    match number.starts_with('-') {
        true => format!("({number})"),
        false => number.to_owned(),
    }
}

/// The sessions read backslashes as escapes.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\0' => literal.push_str("\\0"),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// The statement with its `?` replaced by the values, in their order.
///
/// # Errors
/// There are more or fewer values than `?`, or one is not of the type it says.
pub fn bind(sql: &str, values: &[String]) -> Result<String, Refusal> {
    if values.is_empty() {
        return Ok(sql.to_owned());
    }
    let dialect = Mysql::default();
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|fault| Refusal::Syntax {
            message: fault.to_string(),
        })?;
    let lines = line_starts(sql);
    let mut bound = String::with_capacity(sql.len());
    let (mut at, mut used) = (0, 0);
    for token in &tokens {
        if !matches!(&token.token, Token::Placeholder(mark) if mark == "?") {
            continue;
        }
        let start = offset(sql, &lines, token.span.start);
        bound.push_str(&sql[at..start]);
        if let Some(value) = values.get(used) {
            bound.push_str(&literal(value)?);
        }
        used += 1;
        at = start + 1;
    }
    bound.push_str(&sql[at..]);
    match used == values.len() {
        true => Ok(bound),
        false => Err(Refusal::Syntax {
            message: format!(
                "the statement has {used} `?`, and {} parameters were given",
                values.len()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(sql: &str, values: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        bind(sql, &values).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
    }

    #[test]
    fn values_are_literals_of_their_type() {
        let check = |value: &str, literal: &str| {
            assert_eq!(bound("SELECT ?", &[value]), format!("SELECT {literal}"));
        };
        check("17", "17");
        check("-17.50", "(-17.50)");
        check("text:17", "'17'");
        check("number:017", "017");
        check("null", "NULL");
        check("text:null", "'null'");
        check("1e3", "'1e3'");
        check(".5", "'.5'");
        check("", "''");
        check("2024-01-01", "'2024-01-01'");
        check("it's", "'it''s'");
        check("' OR 1=1 -- ", "''' OR 1=1 -- '");
        check("\\' OR 1=1 -- ", "'\\\\'' OR 1=1 -- '");
        check("a\0b", "'a\\0b'");
    }

    #[test]
    fn only_placeholders_are_replaced() {
        assert_eq!(
            bound(
                "SELECT '?', `a?`, /* ? */ x\nFROM t WHERE é = 'é' AND a = ? AND b - ? > 0",
                &["x?", "-1"]
            ),
            "SELECT '?', `a?`, /* ? */ x\nFROM t WHERE é = 'é' AND a = 'x?' AND b - (-1) > 0"
        );
        let refused = |sql: &str, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
            bind(sql, &values).unwrap_err().to_string()
        };
        assert_eq!(
            refused("SELECT ?", &["1", "2"]),
            "the statement has 1 `?`, and 2 parameters were given"
        );
        assert_eq!(
            refused("SELECT ?", &["number:x"]),
            "the parameter number:x is no number"
        );
    }
}
