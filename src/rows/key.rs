//! The one value model for shard keys.
//!
//! A key is typed by the column's declared type, never by how a driver or a literal happened to
//! arrive, so that copied rows, log rows, generated rows and query literals route alike.

use serde::Serialize;

/// A shard key column's type, as far as routing needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// TINYINT to BIGINT, signed or not.
    Integer {
        /// Bytes stored: 1, 2, 3, 4 or 8; 16 stands for a DECIMAL without a fraction.
        bytes: u8,
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// CHAR, VARCHAR, TEXT.
    Text {
        /// The collation's name where the DDL or the server told it.
        collation: Option<String>,
        /// Whether trailing spaces are cut on reading (CHAR).
        trims: bool,
    },
    /// BINARY, VARBINARY, BLOB.
    Binary {
        /// BINARY(n) pads with zero bytes to n.
        padded_to: Option<u32>,
    },
}

/// A shard key's value, normalised for its [`KeyType`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyValue {
    /// NULL.
    Null,
    /// An integer of any column type.
    Integer(i128),
    /// Text, decoded to Unicode.
    Text(String),
    /// Bytes, padded where the type pads.
    Binary(Vec<u8>),
}

/// A text that is no key of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an integer.
    #[error("`{0}` is not an integer")]
    NotInteger(String),
    /// An integer that the column cannot hold.
    #[error("{text} is outside {kind}, which holds {low} to {high}")]
    OutOfRange {
        /// The integer as written.
        text: String,
        /// The type in SQL words.
        kind: String,
        /// The least value of the type.
        low: i128,
        /// The greatest value of the type.
        high: i128,
    },
    /// Not hexadecimal digits behind `0x`.
    #[error("`{0}` is not a hexadecimal value")]
    NotHexadecimal(String),
    /// More bytes than the column holds.
    #[error("{found} bytes are more than BINARY({holds}) holds")]
    TooLong {
        /// Bytes of the value.
        found: usize,
        /// Bytes of the column.
        holds: u32,
    },
}

impl KeyType {
    /// Reads a key from a text, such as a command's argument. Binary keys are written `0x1f2e` or
    /// as plain text.
    ///
    /// # Errors
    /// The text is no value of this type.
    pub fn parse(&self, text: &str) -> Result<KeyValue, KeyError> {
        match self {
            KeyType::Integer { .. } => {
                let (low, high) = self.bounds().unwrap_or((i128::MIN, i128::MAX));
                let trimmed = text.trim();
                let number: i128 = trimmed.parse().map_err(|_| {
                    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
                    let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                    match numeric {
                        true => self.out_of_range(trimmed, low, high),
                        false => KeyError::NotInteger(text.to_owned()),
                    }
                })?;
                if number < low || number > high {
                    return Err(self.out_of_range(trimmed, low, high));
                }
                Ok(KeyValue::Integer(number))
            }
            KeyType::Text { trims, .. } => Ok(KeyValue::Text(match trims {
                true => text.trim_end_matches(' ').to_owned(),
                false => text.to_owned(),
            })),
            KeyType::Binary { .. } => match text.strip_prefix("0x") {
                Some(digits) => self.binary(
                    unhex(digits).ok_or_else(|| KeyError::NotHexadecimal(text.to_owned()))?,
                ),
                None => self.binary(text.as_bytes().to_vec()),
            },
        }
    }

    /// A binary key from its bytes, padded where the type pads.
    ///
    /// # Errors
    /// There are more bytes than the column holds.
    pub fn binary(&self, mut bytes: Vec<u8>) -> Result<KeyValue, KeyError> {
        if let KeyType::Binary {
            padded_to: Some(length),
        } = self
        {
            if bytes.len() > *length as usize {
                return Err(KeyError::TooLong {
                    found: bytes.len(),
                    holds: *length,
                });
            }
            // The servers cut trailing zero bytes in the log and pad them on reading: only the
            // padded form may reach a hash.
            bytes.resize(*length as usize, 0);
        }
        Ok(KeyValue::Binary(bytes))
    }

    /// The least and the greatest value of an integer type.
    pub fn bounds(&self) -> Option<(i128, i128)> {
        let KeyType::Integer { bytes, unsigned } = self else {
            return None;
        };
        Some(match (bytes, unsigned) {
            (1..=8, true) => (0, (1 << (8 * u32::from(*bytes))) - 1),
            (1..=8, false) => {
                let half = 1i128 << (8 * u32::from(*bytes) - 1);
                (-half, half - 1)
            }
            (_, true) => (0, i128::MAX),
            (_, false) => (i128::MIN, i128::MAX),
        })
    }

    fn out_of_range(&self, text: &str, low: i128, high: i128) -> KeyError {
        KeyError::OutOfRange {
            text: text.to_owned(),
            kind: self.to_string(),
            low,
            high,
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyType::Integer { bytes, unsigned } => {
                let name = match bytes {
                    1 => "TINYINT",
                    2 => "SMALLINT",
                    3 => "MEDIUMINT",
                    4 => "INT",
                    8 => "BIGINT",
                    _ => "DECIMAL",
                };
                write!(f, "{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            KeyType::Text { trims: true, .. } => f.write_str("CHAR"),
            KeyType::Text { trims: false, .. } => f.write_str("VARCHAR"),
            KeyType::Binary {
                padded_to: Some(length),
            } => write!(f, "BINARY({length})"),
            KeyType::Binary { padded_to: None } => f.write_str("VARBINARY"),
        }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BIGINT: KeyType = KeyType::Integer {
        bytes: 8,
        unsigned: false,
    };

    #[test]
    fn integers_are_checked_against_the_column() {
        let tiny = KeyType::Integer {
            bytes: 1,
            unsigned: true,
        };
        assert_eq!(tiny.parse("255"), Ok(KeyValue::Integer(255)));
        assert_eq!(
            tiny.parse("256").unwrap_err().to_string(),
            "256 is outside TINYINT UNSIGNED, which holds 0 to 255"
        );
        assert!(matches!(
            BIGINT.parse("99999999999999999999999999999999999999999999"),
            Err(KeyError::OutOfRange { .. })
        ));
        assert_eq!(
            BIGINT.parse("12a").unwrap_err().to_string(),
            "`12a` is not an integer"
        );
        assert_eq!(
            BIGINT.parse("-9223372036854775808"),
            Ok(KeyValue::Integer(i64::MIN.into()))
        );
    }

    #[test]
    fn binary_keys_are_padded_as_the_server_pads_them() {
        let kind = KeyType::Binary { padded_to: Some(4) };
        assert_eq!(
            kind.parse("0xabcd"),
            Ok(KeyValue::Binary(vec![0xab, 0xcd, 0, 0]))
        );
        assert_eq!(kind.parse("ab"), Ok(KeyValue::Binary(vec![97, 98, 0, 0])));
        assert!(kind.parse("abcde").is_err());
        assert!(kind.parse("0xabc").is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_back(text in "\\PC{0,20}|-?[0-9]{1,50}", bytes in prop::sample::select(vec![1u8, 2, 3, 4, 8, 16]), unsigned: bool) {
            let kind = KeyType::Integer { bytes, unsigned };
            if let Ok(KeyValue::Integer(number)) = kind.parse(&text) {
                prop_assert_eq!(kind.parse(&number.to_string()), Ok(KeyValue::Integer(number)));
            }
            for kind in [KeyType::Text { collation: None, trims: true }, KeyType::Binary { padded_to: Some(8) }, KeyType::Binary { padded_to: None }] {
                let _ = kind.parse(&text);
            }
        }
    }
}
