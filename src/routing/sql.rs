//! The place of a row as SQL, so that a server finds misplaced rows without sending any.
//!
//! The expressions mean the same on MySQL and MariaDB, under every `sql_mode`, for negative and
//! for UNSIGNED numbers; `tests/routing_sql.rs` holds them against the functions on both.

use std::fmt::Write as _;

use super::{Router, Rule};
use crate::rows::key::KeyType;
use crate::topology::ShardFunction;

impl Router {
    /// An SQL expression over the key columns that gives the number of the physical table a row
    /// belongs into; NULL where the key is NULL and has no place. `None` where the server cannot
    /// compute the function.
    pub fn table_sql(&self) -> Option<String> {
        let per_schema = self.tables_per_schema;
        match (&self.table, &self.schema.function) {
            (Some(rule), _) => Some(format!(
                "({}) * {per_schema} + ({})",
                self.schema.part_sql(self.schemas)?,
                rule.part_sql(per_schema)?
            )),
            (None, ShardFunction::DrdsUniHash) => {
                let schema = self.schema.part_sql(self.schemas)?;
                let column = self.schema.column.quoted();
                // DIV and MOD both truncate, so the absolute value can come last, where nothing
                // overflows: ABS() of the least BIGINT is an error, and on MySQL so is DIV 1.
                let rounds = match self.schemas {
                    1 => column,
                    schemas => format!("({column} DIV {schemas})"),
                };
                Some(format!(
                    "({schema}) * {per_schema} + ABS({rounds} MOD {per_schema})"
                ))
            }
            (None, ShardFunction::Range { .. }) => self.schema.part_sql(self.schemas),
            (None, _) => self.schema.part_sql(self.schemas * per_schema),
        }
    }
}

impl Rule {
    /// The part of the key among `parts` parts.
    fn part_sql(&self, parts: u32) -> Option<String> {
        let column = self.column.quoted();
        Some(match (&self.function, &self.kind) {
            (ShardFunction::Mod, KeyType::Integer { .. }) => {
                format!("({column} MOD {parts} + {parts}) MOD {parts}")
            }
            // The sum takes the zeros off that ZEROFILL would put before the digits.
            (ShardFunction::Crc32, KeyType::Integer { .. }) => {
                format!("CRC32(CONVERT({column} + 0 USING utf8mb4)) MOD {parts}")
            }
            // CRC32() takes the bytes of the column's own charset. A CHAR has trailing spaces
            // where the session's sql_mode has PAD_CHAR_TO_FULL_LENGTH.
            (ShardFunction::Crc32, KeyType::Text { trims: true, .. }) => {
                format!("CRC32(CONVERT(RTRIM({column}) USING utf8mb4)) MOD {parts}")
            }
            (ShardFunction::Crc32, KeyType::Text { trims: false, .. }) => {
                format!("CRC32(CONVERT({column} USING utf8mb4)) MOD {parts}")
            }
            (ShardFunction::Crc32, KeyType::Binary { .. }) => {
                format!("CRC32({column}) MOD {parts}")
            }
            (ShardFunction::DrdsHash, KeyType::Integer { .. }) => {
                format!("COALESCE(ABS({column} MOD {parts}), 0)")
            }
            (ShardFunction::DrdsUniHash, KeyType::Integer { .. }) => {
                format!("ABS({column} MOD {parts})")
            }
            (ShardFunction::Range { bounds }, KeyType::Integer { .. }) => {
                let mut sql = format!("CASE WHEN {column} IS NULL THEN NULL");
                for (part, bound) in bounds.iter().enumerate() {
                    let _ = write!(sql, " WHEN {column} < {bound} THEN {part}");
                }
                let _ = write!(sql, " ELSE {} END", bounds.len());
                sql
            }
            // A decimal text can have more digits than any number of the servers; Java's hash code
            // goes over UTF-16, character by character.
            (
                ShardFunction::Mod
                | ShardFunction::DrdsHash
                | ShardFunction::DrdsUniHash
                | ShardFunction::Range { .. },
                _,
            ) => return None,
        })
    }
}
