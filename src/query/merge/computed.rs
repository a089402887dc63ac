//! Expressions over merged groups, which a server computes.

use super::MergeError;
use crate::rows::cell::{Column, Row};

/// Groups that a server is given in one statement.
pub const GIVEN_ROWS: usize = 256;

/// What a server computes of the groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// What it is given of each group.
    pub given: Vec<Given>,
    /// The expressions, over the names of what is given.
    pub expressions: Vec<String>,
    /// Which of them is HAVING: a group that it is not true for is left out.
    pub having: Option<usize>,
    /// The columns that some of them must have, by their number.
    pub shown: Vec<(usize, Column)>,
}

/// A value that is given to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The name it has in the expressions.
    pub name: String,
    /// The type it has, as CAST writes it.
    pub cast: String,
    /// Where it comes from.
    pub by: GivenBy,
}

/// Where a value that is given comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBy {
    /// A cell of the group.
    Cell(usize),
    /// An aggregate.
    Aggregate(usize),
    /// An average with all its digits.
    Average(usize),
}

impl Computed {
    /// The statement that computes the expressions of these rows. Its answer has the row's number,
    /// then the expressions.
    ///
    /// # Errors
    /// A value cannot be given as what it is.
    pub fn statement(&self, rows: &[Row]) -> Result<String, MergeError> {
        let list: Vec<String> = self
            .expressions
            .iter()
            .enumerate()
            .map(|(number, text)| match self.having == Some(number) {
                true => format!("({text}) IS TRUE"),
                false => format!("({text})"),
            })
            .collect();
        let mut sql = format!("SELECT _shardctl_row, {} FROM (", list.join(", "));
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                sql.push_str(" UNION ALL ");
            }
            sql.push_str(&format!("SELECT {number} AS _shardctl_row"));
            for (given, cell) in self.given.iter().zip(row) {
                let value = match cell {
                    None => "NULL".to_owned(),
                    Some(bytes) => {
                        let text = String::from_utf8_lossy(bytes);
                        let dates = given.cast.starts_with("DATE");
                        let plain = text
                            .chars()
                            .all(|c| c.is_ascii_digit() || "+-.: ".contains(c));
                        if !plain || (dates && (text.starts_with("0000") || text.contains("-00"))) {
                            return Err(MergeError::NoDate(text.into_owned()));
                        }
                        format!("'{text}'")
                    }
                };
                sql.push_str(&format!(
                    ", CAST({value} AS {}) AS {}",
                    given.cast, given.name
                ));
            }
        }
        sql.push_str(") AS _shardctl_groups");
        Ok(sql)
    }
}
