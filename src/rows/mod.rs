//! Rows as values: typed keys.

pub mod key;
mod key_type;
pub mod value;
