//! From a column's type to a key's.

use super::key::KeyType;
use crate::schema::{Column, ColumnType};

/// Digits of a DECIMAL that always fit a key's integer.
const DECIMAL_DIGITS_MAX: u8 = 38;

impl KeyType {
    /// The key type of a column; `None` where a column of this type cannot be a shard key.
    pub fn of(column: &Column) -> Option<KeyType> {
        Some(match &column.kind {
            ColumnType::Integer { bytes, unsigned } => KeyType::Integer {
                bytes: *bytes,
                unsigned: *unsigned,
            },
            ColumnType::Decimal {
                precision,
                scale: 0,
                unsigned,
            } if *precision <= DECIMAL_DIGITS_MAX => KeyType::Integer {
                bytes: 16,
                unsigned: *unsigned,
            },
            ColumnType::Char { collation, .. } => KeyType::Text {
                collation: collation.name.clone(),
                trims: true,
            },
            ColumnType::Varchar { collation, .. } | ColumnType::Text { collation, .. } => {
                KeyType::Text {
                    collation: collation.name.clone(),
                    trims: false,
                }
            }
            ColumnType::Binary { bytes } => KeyType::Binary {
                padded_to: Some(*bytes),
            },
            ColumnType::Varbinary { .. } | ColumnType::Blob { .. } => {
                KeyType::Binary { padded_to: None }
            }
            _ => return None,
        })
    }
}
