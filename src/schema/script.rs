//! The tables that a file of SQL statements creates: a schema dump, say.

use super::TableDef;
use super::parse::{DdlError, parse_create_table};
use super::tokens::{place, tokenize};

/// Reads every `CREATE TABLE` of a text; other statements, temporary tables and
/// `CREATE TABLE ... LIKE` among them, are passed over.
///
/// # Errors
/// One of them cannot be read; the place is one within the whole text.
pub fn create_tables(sql: &str) -> Result<Vec<TableDef>, DdlError> {
    let tokens = tokenize(sql)?;
    let mut tables = Vec::new();
    for statement in tokens.split(|token| token.is_symbol(";")) {
        let is_table = matches!(
            statement,
            [create, table, ..] if create.is("create") && table.is("table")
        );
        let is_copy = statement
            .iter()
            .take_while(|token| !token.is_symbol("("))
            .any(|token| token.is("like"));
        let (Some(first), Some(last)) = (statement.first(), statement.last()) else {
            continue;
        };
        if !is_table || is_copy {
            continue;
        }
        let table = parse_create_table(&sql[first.start..last.end]).map_err(|fault| {
            let (line, column) = place(sql, first.start);
            DdlError {
                line: line + fault.line - 1,
                column: match fault.line {
                    1 => column + fault.column - 1,
                    _ => fault.column,
                },
                message: fault.message,
            }
        })?;
        tables.push(table);
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(sql: &str) -> Vec<String> {
        let tables = create_tables(sql).unwrap();
        tables.iter().map(|table| table.name.to_string()).collect()
    }

    #[test]
    fn the_tables_of_a_dump_are_read_and_nothing_else() {
        assert_eq!(
            names(
                "-- a dump; of two\n/*!40101 SET NAMES utf8mb4 */;\nDROP TABLE IF EXISTS `a`;\n\
                 CREATE TABLE `a` (k int NOT NULL COMMENT 'x;y', PRIMARY KEY (k)) ENGINE=InnoDB;\n\
                 INSERT INTO a VALUES (1),(2);\nCREATE TEMPORARY TABLE t (k int);\n\
                 CREATE TABLE c LIKE a;\nCREATE VIEW v AS SELECT 1;\n\
                 create table b (k int not null, primary key (k))"
            ),
            ["a", "b"]
        );
        assert!(names("").is_empty());
    }

    #[test]
    fn a_fault_is_placed_within_the_file() {
        let fault =
            create_tables("SET a = 1;\n  CREATE TABLE a (k int);\nCREATE TABLE b (\n  k wat(,\n);")
                .unwrap_err();
        assert_eq!(fault.line, 4, "{fault}");
        let fault = create_tables("SET a = 1; CREATE TABLE (k int)").unwrap_err();
        assert!(fault.line == 1 && fault.column > 11, "{fault}");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(
            text in "\\PC{0,40}|(create table |[ab(),;`'\"*/#-]|int| not null|primary key|\n){0,30}",
        ) {
            if let Err(fault) = create_tables(&text) {
                prop_assert!(fault.line as usize <= text.lines().count().max(1) + 1);
            }
        }
    }
}
