//! Rows as values: typed keys, values to write, cells that were read, changes from a log.

pub mod binlog;
pub mod cell;
pub mod change;
pub mod key;
mod key_type;
pub mod lines;
pub mod position;
pub mod shape;
pub mod touched;
pub mod value;
