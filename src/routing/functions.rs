//! The arithmetic of the shard functions.
//!
//! A fleet that runs behind a router keeps its rows where that router put them, so each function
//! gives exactly the place the named system gives. The vectors in the tests marked published are
//! from those systems' own tests or documents; the others are computed from the rule.

use crate::rows::key::{KeyType, KeyValue};
use crate::topology::ShardFunction;

/// Why a value has no place under a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// NULL, where the function gives it no place.
    #[error("NULL has no place under {0}")]
    Null(&'static str),
    /// A value the function is not defined for.
    #[error("{function} is not defined for {value}")]
    Undefined {
        /// The function's name.
        function: &'static str,
        /// What kind of value it was.
        value: &'static str,
    },
    /// A text that is not an integer, under a function of integers.
    #[error("`{0}` is not an integer")]
    NotInteger(String),
}

fn undefined(function: &'static str, key: &KeyValue) -> FunctionError {
    match key {
        KeyValue::Null => FunctionError::Null(function),
        KeyValue::Integer(_) => FunctionError::Undefined {
            function,
            value: "an integer",
        },
        KeyValue::Text(_) => FunctionError::Undefined {
            function,
            value: "text",
        },
        KeyValue::Binary(_) => FunctionError::Undefined {
            function,
            value: "bytes",
        },
    }
}

/// Whether the function is defined for keys of this type.
pub fn takes(function: &ShardFunction, kind: &KeyType) -> bool {
    match (function, kind) {
        (ShardFunction::Crc32, _) => true,
        (ShardFunction::Mod | ShardFunction::DrdsHash, KeyType::Binary { .. }) => false,
        (ShardFunction::Mod | ShardFunction::DrdsHash, _) => true,
        // UNI_HASH is 64-bit signed arithmetic: what it makes of larger numbers is not published.
        (ShardFunction::DrdsUniHash, KeyType::Integer { bytes, unsigned }) => {
            *bytes < 8 || (*bytes == 8 && !unsigned)
        }
        (ShardFunction::DrdsUniHash, KeyType::Text { .. }) => true,
        (ShardFunction::DrdsUniHash, KeyType::Binary { .. }) => false,
        (ShardFunction::Range { .. }, kind) => matches!(kind, KeyType::Integer { .. }),
    }
}

/// `mod`: the mathematical modulo, never negative (ShardingSphere's MOD). Decimal text of any
/// length is read as an integer.
///
/// # Errors
/// NULL, bytes, or text that is not an integer.
pub fn modulo(key: &KeyValue, parts: u32) -> Result<u32, FunctionError> {
    let n = i128::from(parts);
    match key {
        KeyValue::Integer(number) => Ok(number.rem_euclid(n) as u32),
        KeyValue::Text(text) => {
            let (negative, digits) = match text.as_bytes() {
                [b'-', digits @ ..] => (true, digits),
                [b'+', digits @ ..] => (false, digits),
                digits => (false, digits),
            };
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(FunctionError::NotInteger(text.clone()));
            }
            let rest = digits.iter().fold(0u64, |rest, digit| {
                (rest * 10 + u64::from(digit - b'0')) % u64::from(parts)
            });
            Ok(match (negative, rest) {
                (true, 1..) => parts - rest as u32,
                _ => rest as u32,
            })
        }
        other => Err(undefined("mod", other)),
    }
}

/// `crc32`: CRC-32 (IEEE) of the value's text in UTF-8, or of its bytes, modulo the parts: what
/// `CRC32()` gives on the server.
///
/// # Errors
/// NULL.
pub fn crc32(key: &KeyValue, parts: u32) -> Result<u32, FunctionError> {
    let hash = match key {
        KeyValue::Integer(number) => {
            let mut digits = [0u8; 40];
            crc32fast::hash(decimal(*number, &mut digits))
        }
        KeyValue::Text(text) => crc32fast::hash(text.as_bytes()),
        KeyValue::Binary(bytes) => crc32fast::hash(bytes),
        KeyValue::Null => return Err(FunctionError::Null("crc32")),
    };
    Ok(hash % parts)
}

/// The decimal text of a number, without allocating.
pub(super) fn decimal(number: i128, buffer: &mut [u8; 40]) -> &[u8] {
    let mut at = buffer.len();
    let mut large = number.unsigned_abs();
    // Division by 128 bits is many times slower, and few keys are that large.
    while large > u128::from(u64::MAX) {
        at -= 1;
        buffer[at] = b'0' + (large % 10) as u8;
        large /= 10;
    }
    let mut rest = large as u64;
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

/// Java's `String.hashCode`: s\[0\]*31^(n-1) + ... + s\[n-1\] over UTF-16 code units, in 32-bit signed
/// arithmetic that wraps (Java SE API, `java.lang.String`).
pub fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// The hash that the DRDS functions start from: the integer itself, or the text's Java hash code.
fn drds_value(key: &KeyValue, function: &'static str) -> Result<i128, FunctionError> {
    match key {
        KeyValue::Integer(number) => Ok(*number),
        KeyValue::Text(text) => Ok(i128::from(java_hash_code(text))),
        KeyValue::Null | KeyValue::Binary(_) => Err(undefined(function, key)),
    }
}

/// `drds_hash` (DRDS / PolarDB-X HASH): the remainder, truncated as in Java, and then its absolute
/// value. Over all physical tables where one key gives schema and table. NULL is 0 for a number
/// and counts as the text "0" for a text.
///
/// # Errors
/// Bytes.
pub fn drds_hash(key: &KeyValue, text_key: bool, parts: u32) -> Result<u32, FunctionError> {
    let value = match key {
        KeyValue::Null if text_key => i128::from(java_hash_code("0")),
        KeyValue::Null => 0,
        key => drds_value(key, "drds_hash")?,
    };
    Ok((value % i128::from(parts)).unsigned_abs() as u32)
}

/// `drds_uni_hash` (DRDS / PolarDB-X UNI_HASH): the absolute value h; the schema is h mod the
/// schemas, the table in it (h div the schemas) mod its tables. Gives both.
///
/// # Errors
/// NULL, for which no rule is published, or bytes.
pub fn drds_uni_hash(
    key: &KeyValue,
    schemas: u32,
    tables_per_schema: u32,
) -> Result<(u32, u32), FunctionError> {
    let h = drds_value(key, "drds_uni_hash")?.unsigned_abs();
    let schema = h % u128::from(schemas);
    let table = (h / u128::from(schemas)) % u128::from(tables_per_schema);
    Ok((schema as u32, table as u32))
}

/// `range`: the number of bounds at or below the value; closed-open parts.
///
/// # Errors
/// Anything but an integer.
pub fn range(key: &KeyValue, bounds: &[i128]) -> Result<u32, FunctionError> {
    match key {
        KeyValue::Integer(number) => Ok(bounds.partition_point(|bound| bound <= number) as u32),
        other => Err(undefined("range", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i128) -> KeyValue {
        KeyValue::Integer(number)
    }

    fn text(text: &str) -> KeyValue {
        KeyValue::Text(text.to_owned())
    }

    #[test]
    fn modulo_is_mathematical() {
        // Published.
        assert_eq!(modulo(&int(17), 16), Ok(1));
        assert_eq!(modulo(&text("12345678910111213141516"), 16), Ok(12));
        // Computed.
        assert_eq!(modulo(&int(-1), 16), Ok(15));
        assert_eq!(modulo(&text("-1"), 16), Ok(15));
        assert_eq!(modulo(&text("-16"), 16), Ok(0));
        assert!(modulo(&text(""), 16).is_err());
        assert!(modulo(&text("1x"), 16).is_err());
        assert!(modulo(&KeyValue::Null, 16).is_err());
    }

    #[test]
    fn drds_hash_of_integers() {
        let table = |number, parts| drds_hash(&int(number), false, parts).unwrap();
        // Published, 64 schemas of 16 tables: tables 1 and 17.
        assert_eq!((table(1, 1024), table(17, 1024)), (1, 17));
        // Computed.
        assert_eq!([17, 1001, -17].map(|n| table(n, 128)), [17, 105, 17]);
        assert_eq!([1001, -17, 9_999_999_999].map(|n| table(n, 16)), [9, 1, 15]);
        assert_eq!(drds_hash(&KeyValue::Null, false, 16), Ok(0));
    }

    #[test]
    fn drds_hash_of_text() {
        let table = |key, parts| drds_hash(&text(key), true, parts).unwrap();
        // Published.
        assert_eq!((table("1", 1024), table("17", 1024)), (49, 550));
        assert_eq!(java_hash_code("08:5d:dd:50:30:12"), i32::MIN);
        assert_eq!(table("08:5d:dd:50:30:12", 1023), 2);
        // Computed.
        let keys = ["alice@example.com", "13800138000", "member1001", "中文"];
        assert_eq!(keys.map(|key| table(key, 16)), [13, 0, 6, 10]);
        assert_eq!((table("Alice", 128), table("alice", 128)), (96, 0));
        assert_eq!(
            drds_hash(&KeyValue::Null, true, 1024),
            drds_hash(&text("0"), true, 1024)
        );
        assert_eq!(java_hash_code("0"), 48);
    }

    #[test]
    fn drds_uni_hash_places_schema_first() {
        let place = |number| {
            let (schema, table) = drds_uni_hash(&int(number), 16, 8).unwrap();
            (schema, schema * 8 + table)
        };
        // Computed.
        assert_eq!([17, 129, 1001].map(place), [(1, 9), (1, 8), (9, 78)]);
    }

    #[test]
    fn crc32_is_what_the_server_computes() {
        // The check value of CRC-32 (IEEE), which every implementation publishes.
        assert_eq!(crc32(&text("123456789"), u32::MAX), Ok(0xCBF4_3926));
        assert_eq!(crc32(&int(123_456_789), u32::MAX), Ok(0xCBF4_3926));
        assert_eq!(
            crc32(&KeyValue::Binary(b"123456789".to_vec()), u32::MAX),
            Ok(0xCBF4_3926)
        );
        assert_eq!(crc32(&int(-5), 16), crc32(&text("-5"), 16));
        assert!(crc32(&KeyValue::Null, 16).is_err());
    }

    #[test]
    fn range_parts_are_closed_open() {
        let part = |number| range(&int(number), &[10, 20]).unwrap();
        assert_eq!(
            [i128::MIN, 9, 10, 19, 20, i128::MAX].map(part),
            [0, 0, 1, 1, 2, 2]
        );
        assert!(range(&text("5"), &[10]).is_err());
    }
}
