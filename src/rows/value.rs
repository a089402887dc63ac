//! A column's value on its way to a server.

/// One value. Temporal values travel as their SQL text, decimals as their digits: both servers
/// read them exactly, and neither passes through a floating point number.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A double.
    Double(f64),
    /// Text, and everything that is written as text: decimals, dates, times, JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}
