//! A table's columns as `information_schema` tells them: what the log itself leaves out.

use crate::names::quote;

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
}
