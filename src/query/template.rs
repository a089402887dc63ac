//! Statements with holes for physical tables.

use crate::names::quote;
use crate::topology::PhysicalTable;

/// Stands on both sides of the number of a hole: a private character that no statement needs.
const MARK: char = '\u{10FFFD}';

/// A statement with holes for the physical tables it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// Whether the text can be made a template: it has none of the marks of holes.
pub fn can_have_holes(sql: &str) -> bool {
    !sql.contains(MARK)
}

/// A hole for the table of this number. A table without an alias gets its logical name as one, so
/// that columns qualified by it still mean it.
pub fn hole(number: usize, name: &str, aliased: bool) -> String {
    match aliased {
        true => format!("{MARK}{number}{MARK}"),
        false => format!("{MARK}{number}{MARK} AS {}", quote(name)),
    }
}

impl Template {
    /// A statement whose tables are holes.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The same with a text behind it.
    pub fn followed_by(&self, text: &str) -> Self {
        Self(format!("{}{text}", self.0))
    }

    /// The statement for these physical tables, in the order of the holes' numbers.
    pub fn sql(&self, tables: &[PhysicalTable]) -> String {
        let mut sql = String::with_capacity(self.0.len() + 32);
        for (index, part) in self.0.split(MARK).enumerate() {
            // Every second part is a number.
            let table = match index % 2 {
                0 => None,
                _ => part
                    .parse()
                    .ok()
                    .and_then(|number: usize| tables.get(number)),
            };
            match table {
                Some(table) => sql.push_str(&table.quoted()),
                None => sql.push_str(part),
            }
        }
        sql
    }
}
