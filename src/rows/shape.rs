//! A table's columns as `information_schema` tells them: what the log itself leaves out.

use std::fmt::Write as _;

use super::value::Value;
use crate::names::{quote, quote_text};

/// A table as far as its rows in the log need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// The schema, as stored.
    pub schema: String,
    /// The table, as stored.
    pub table: String,
    /// All columns in the table's order, generated and invisible ones too: the log has them all.
    pub columns: Vec<ColumnShape>,
    /// The primary key: indexes into `columns`, in key order; empty where there is none.
    pub key: Vec<usize>,
}

impl TableShape {
    /// Schema and table between backticks.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }

    /// The columns that hold data of their own, with their indexes: what is written to a target.
    pub fn written(&self) -> impl Iterator<Item = (usize, &ColumnShape)> {
        let columns = self.columns.iter().enumerate();
        columns.filter(|(_, column)| !column.generated)
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// The type's word in lower case, `DATA_TYPE`: `varchar`, `bigint`.
    pub kind: String,
    /// The whole type, `COLUMN_TYPE`: `bigint(20) unsigned`, `time /* mariadb-5.3 */`.
    pub declared: String,
    /// Whether its integers are unsigned. The log of MariaDB does not say.
    pub unsigned: bool,
    /// Charset of a text column.
    pub charset: Option<String>,
    /// Collation of a text column.
    pub collation: Option<String>,
    /// Whether it is computed from other columns, stored or not.
    pub generated: bool,
    /// Bytes at most, of strings: what BINARY is padded to.
    pub bytes_max: Option<u64>,
    /// Digits behind the second, of times.
    pub fraction: u8,
}

impl ColumnShape {
    /// The name between backticks.
    pub fn quoted(&self) -> String {
        quote(&self.name)
    }

    /// What stands for its value in a prepared statement of a session with `SET NAMES binary`.
    ///
    /// JSON takes text only, and these MariaDB types would take bytes for their internal form.
    pub fn placeholder(&self) -> &'static str {
        match self.kind.as_str() {
            "json" | "uuid" | "inet6" | "inet4" => "CONVERT(? USING utf8mb4)",
            _ => "?",
        }
    }

    /// What reads it in a prepared statement so that its value comes as the log has it: members of
    /// ENUM and SET by number (two texts of theirs may look alike), BIT as a number.
    pub fn selected(&self) -> String {
        match self.kind.as_str() {
            "enum" | "set" | "bit" | "year" => format!("CAST({} AS UNSIGNED)", self.quoted()),
            _ => self.quoted(),
        }
    }

    /// The value as a literal that means exactly it in a comparison with this column, whatever the
    /// session's charset.
    pub fn literal(&self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Double(number) => format!("{number:e}"),
            // A decimal's text is its literal.
            Value::Text(text) if self.kind == "decimal" => text.clone(),
            Value::Text(text) => quote_text(text),
            Value::Bytes(bytes) => {
                let mut hex = String::with_capacity(bytes.len() * 2 + 3);
                hex.push_str("X'");
                for byte in bytes {
                    // Writing into a String cannot fail.
                    let _ = write!(hex, "{byte:02X}");
                }
                hex.push('\'');
                match (&self.charset, &self.collation) {
                    (Some(charset), Some(collation)) => {
                        format!("_{charset} {hex} COLLATE {collation}")
                    }
                    _ => hex,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_means_exactly_the_value() {
        let column = |kind: &str, text: Option<(&str, &str)>| ColumnShape {
            kind: kind.to_owned(),
            charset: text.map(|(charset, _)| charset.to_owned()),
            collation: text.map(|(_, collation)| collation.to_owned()),
            ..ColumnShape::default()
        };
        let text = column("varchar", Some(("latin1", "latin1_bin")));
        for (column, value, literal) in [
            (
                &text,
                Value::Bytes(b"a'\xe9".to_vec()),
                "_latin1 X'6127E9' COLLATE latin1_bin",
            ),
            (&column("varbinary", None), Value::Bytes(vec![0]), "X'00'"),
            (
                &column("decimal", None),
                Value::Text("-1.50".to_owned()),
                "-1.50",
            ),
            (
                &column("datetime", None),
                Value::Text("2024-01-02 03:04:05".to_owned()),
                "'2024-01-02 03:04:05'",
            ),
            (
                &column("bigint", None),
                Value::UInt(u64::MAX),
                "18446744073709551615",
            ),
        ] {
            assert_eq!(column.literal(&value), literal);
        }
    }
}
