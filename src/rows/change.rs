//! What happened to a row.

use std::sync::Arc;

use super::shape::TableShape;
use super::value::Value;

/// A row's values, one for each column of its table's shape, generated ones too.
///
/// One form for each type, whichever way a row came: integers as [`Value::Int`], unsigned ones,
/// YEAR, BIT, ENUM and SET as [`Value::UInt`] (the member's number, the bits), FLOAT and DOUBLE as
/// [`Value::Double`] (a FLOAT is one exactly), DECIMAL, dates and times, UUID, INET4, INET6 and
/// MySQL's JSON as [`Value::Text`], every other string as [`Value::Bytes`] in the column's charset.
/// Written through prepared parameters (see [`super::shape::ColumnShape::placeholder`]) by a session
/// with `SET NAMES binary`, `time_zone='+00:00'` and the tool's `sql_mode`, each is stored as it was.
pub type Row = Vec<Value>;

/// A change of one row, with its images.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange {
    /// The table, as it was when tailing began.
    pub table: Arc<TableShape>,
    /// The row before; none for an insert.
    pub before: Option<Row>,
    /// The row after; none for a delete.
    pub after: Option<Row>,
}

impl RowChange {
    /// The bytes its values take, about.
    pub fn size(&self) -> usize {
        let rows = self.before.iter().chain(&self.after);
        rows.flatten().map(value_size).sum()
    }
}

fn value_size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Null | Value::Int(_) | Value::UInt(_) | Value::Double(_) => 0,
        }
}
