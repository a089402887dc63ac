//! Values between the driver's form and ours.
//!
//! What a prepared SELECT reads and what the log says of the same row are the same values, so that a
//! row of a chunk and a change of it can be compared ([`crate::rows::change::Row`] says which form
//! each type has).

use mysql_async::Value as Driver;

use crate::rows::shape::{ColumnShape, TableShape};
use crate::rows::value::Value;

/// What a prepared SELECT lists to read a table's rows, generated columns too. The session has
/// `SET NAMES binary`.
pub fn select_list(shape: &TableShape) -> String {
    let columns: Vec<String> = shape.columns.iter().map(ColumnShape::selected).collect();
    columns.join(", ")
}

/// A value that a prepared SELECT of [`select_list`] read.
pub fn value_of(column: &ColumnShape, value: Driver) -> Value {
    match value {
        Driver::NULL => Value::Null,
        Driver::Int(number) if column.unsigned => Value::UInt(number.cast_unsigned()),
        Driver::Int(number) => match column.kind.as_str() {
            "enum" | "set" | "bit" | "year" => Value::UInt(number.cast_unsigned()),
            _ => Value::Int(number),
        },
        Driver::UInt(number) => Value::UInt(number),
        Driver::Float(number) => Value::Double(f64::from(number)),
        Driver::Double(number) => Value::Double(number),
        Driver::Bytes(bytes) => match column.kind.as_str() {
            "decimal" | "json" | "uuid" | "inet6" | "inet4" => {
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => Value::Bytes(bytes),
        },
        Driver::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            Value::Text(match column.kind.as_str() {
                "date" => date,
                _ => format!(
                    "{date} {hour:02}:{minute:02}:{second:02}{}",
                    fraction(micros, column.fraction)
                ),
            })
        }
        Driver::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let hours = days.saturating_mul(24).saturating_add(hours.into());
            let sign = if is_negative { "-" } else { "" };
            Value::Text(format!(
                "{sign}{hours:02}:{minutes:02}:{seconds:02}{}",
                fraction(micros, column.fraction)
            ))
        }
    }
}

fn fraction(micros: u32, digits: u8) -> String {
    let digits = usize::from(digits.min(6));
    match digits {
        0 => String::new(),
        _ => {
            let all = format!(".{micros:06}");
            all.get(..=digits).unwrap_or_default().to_owned()
        }
    }
}

/// The value as a parameter of a prepared statement, see [`ColumnShape::placeholder`].
pub fn parameter(value: &Value) -> Driver {
    match value {
        Value::Null => Driver::NULL,
        Value::Int(number) => Driver::Int(*number),
        Value::UInt(number) => Driver::UInt(*number),
        Value::Double(number) => Driver::Double(*number),
        Value::Text(text) => Driver::Bytes(text.clone().into_bytes()),
        Value::Bytes(bytes) => Driver::Bytes(bytes.clone()),
    }
}
