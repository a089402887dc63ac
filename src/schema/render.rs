//! A `CREATE TABLE` statement under another name.

use super::parse::{DdlError, name_span};
use crate::names::quote;

/// The statement with the table's name replaced by `name` in `schema`, quoted; the rest of the
/// text untouched.
///
/// # Errors
/// The text does not start as a `CREATE TABLE` statement does.
pub fn with_name(sql: &str, name: &str, schema: Option<&str>) -> Result<String, DdlError> {
    let span = name_span(sql)?;
    let name = match schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(name)),
        None => quote(name),
    };
    Ok(format!("{}{name}{}", &sql[..span.start], &sql[span.end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_changes() {
        let check = |sql: &str, expected: &str| {
            assert_eq!(with_name(sql, "m_03", Some("s`x")).unwrap(), expected);
        };
        check(
            "CREATE TABLE member (\n  member int -- member\n)",
            "CREATE TABLE `s``x`.`m_03` (\n  member int -- member\n)",
        );
        check(
            "create table if not exists `db` . `mem``ber`(a int)",
            "create table if not exists `s``x`.`m_03`(a int)",
        );
    }
}
