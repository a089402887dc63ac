//! Which rows of a table the log has touched while a chunk of it is on its way.
//!
//! A chunk is read by a locking read and written a moment later. A row whose change comes by the
//! log in between may be older in the chunk than what the log has made of it on the target, or be
//! deleted there already: the chunk leaves it out, for the log has it. A change that came before
//! the chunk's read began needs no memory: a locking read that starts after a change arrived waits
//! for the transaction that made it and sees it.

use std::collections::HashSet;

use super::change::Row;
use super::shape::TableShape;
use super::value::Value;

/// A primary key by the bytes its values are stored as. Equality is all that is asked of it, so it
/// serves for text under any collation: each spelling that a row ever had is in its images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// The key of these values, in key order.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            let (tag, body): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(number) => (1, &number.to_le_bytes()),
                Value::UInt(number) => (2, &number.to_le_bytes()),
                Value::Double(number) => (3, &number.to_bits().to_le_bytes()),
                Value::Text(text) => (4, text.as_bytes()),
                Value::Bytes(bytes) => (5, bytes),
            };
            bytes.push(tag);
            // With its length, so that no two lists of values run into the same bytes.
            bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
            bytes.extend_from_slice(body);
        }
        Self(bytes)
    }

    /// The key of a row of this table.
    pub fn of(shape: &TableShape, row: &Row) -> Self {
        Self::new(shape.key.iter().filter_map(|index| row.get(*index)))
    }
}

/// The keys that the log has touched since a chunk began; nothing is kept where none is under way.
#[derive(Debug, Default)]
pub struct Touched {
    recorded: Option<HashSet<RowKey>>,
}

impl Touched {
    /// A chunk is about to be read.
    pub fn begin(&mut self) {
        self.recorded = Some(HashSet::new());
    }

    /// The log has a change of this key.
    pub fn arrive(&mut self, key: impl FnOnce() -> RowKey) {
        if let Some(recorded) = &mut self.recorded {
            recorded.insert(key());
        }
    }

    /// The chunk is decided: what was touched since it began. Called while nothing of the log can
    /// be applied to the table.
    pub fn end(&mut self) -> HashSet<RowKey> {
        self.recorded.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_any_value_are_different_keys() {
        let keys = [
            vec![Value::Text("ab".to_owned()), Value::Text("c".to_owned())],
            vec![Value::Text("a".to_owned()), Value::Text("bc".to_owned())],
            vec![Value::Bytes(b"ab".to_vec()), Value::Text("c".to_owned())],
            vec![Value::Int(1)],
            vec![Value::UInt(1)],
            vec![Value::Null],
            vec![Value::Null, Value::Null],
        ];
        let distinct: HashSet<RowKey> = keys.iter().map(RowKey::new).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn only_what_arrives_while_a_chunk_is_under_way_is_kept() {
        let key = |n| RowKey::new(&[Value::Int(n)]);
        let mut touched = Touched::default();
        touched.arrive(|| key(1));
        touched.begin();
        touched.arrive(|| key(2));
        touched.arrive(|| key(2));
        assert_eq!(touched.end(), HashSet::from([key(2)]));
        touched.arrive(|| key(3));
        touched.begin();
        assert!(touched.end().is_empty());
    }
}
