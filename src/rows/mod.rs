//! Rows as values: typed keys.

pub mod key;
