//! Rows as values: typed keys, values to write, cells that were read.

pub mod cell;
pub mod key;
mod key_type;
pub mod value;
