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
        /// Bytes stored: 1, 2, 3, 4 or 8.
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
