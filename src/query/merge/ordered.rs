//! Ordered streams.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Key, MergeError, ordered};
use crate::rows::cell::{Row, Sortable};

/// Merges ordered streams: gives the least of the rows at their heads.
#[derive(Debug)]
pub struct Ordered {
    keys: Vec<Key>,
    heads: BinaryHeap<Head>,
}

#[derive(Debug)]
struct Head {
    keys: Vec<(Sortable, bool)>,
    stream: usize,
    row: Row,
}

impl Head {
    fn compare(&self, other: &Self) -> Ordering {
        for ((a, descending), (b, _)) in self.keys.iter().zip(&other.keys) {
            let order = if *descending { b.order(a) } else { a.order(b) };
            if order != Ordering::Equal {
                return order;
            }
        }
        // Equal rows come in the order of the shards, so that one run is like the next.
        self.stream.cmp(&other.stream)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest, and the least row is wanted.
        other.compare(self)
    }
}

impl Ordered {
    /// A merge by these keys.
    pub fn new(keys: &[Key]) -> Self {
        Self {
            keys: keys.to_vec(),
            heads: BinaryHeap::new(),
        }
    }

    /// The next row of a stream.
    ///
    /// # Errors
    /// A key is not what its column says, or longer than the servers look at.
    pub fn push(&mut self, stream: usize, row: Row) -> Result<(), MergeError> {
        let keys = self
            .keys
            .iter()
            .map(|key| {
                let value = super::key(key.kind, &row[key.cell])?;
                Ok((ordered(value)?, key.descending))
            })
            .collect::<Result<_, MergeError>>()?;
        self.heads.push(Head { keys, stream, row });
        Ok(())
    }

    /// The least row and the stream it came from, whose next row is to be pushed before the next
    /// call.
    pub fn pop(&mut self) -> Option<(usize, Row)> {
        self.heads.pop().map(|head| (head.stream, head.row))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Groups, ORDERED_BYTES_MAX};
    use super::*;
    use crate::rows::cell::{Filling, Kind};

    #[test]
    fn streams_merge_in_order_and_ties_by_shard() {
        let keys = [Key {
            cell: 0,
            kind: Kind::Integer,
            descending: true,
        }];
        let mut merge = Ordered::new(&keys);
        let row = |text: &str| vec![Some(text.as_bytes().to_vec())];
        for (stream, text) in [(0, "5"), (1, "9"), (2, "9")] {
            merge.push(stream, row(text)).unwrap();
        }
        merge.push(3, vec![None]).unwrap();
        let order: Vec<usize> =
            std::iter::from_fn(|| merge.pop().map(|(stream, _)| stream)).collect();
        assert_eq!(order, [1, 2, 0, 3]);
    }

    #[test]
    fn texts_the_servers_do_not_order_as_they_compare_are_refused() {
        let merge = |kind: Kind| {
            Ordered::new(&[Key {
                cell: 0,
                kind,
                descending: false,
            }])
        };
        let row = |bytes: &[u8]| vec![Some(bytes.to_vec())];
        let long = vec![b'a'; ORDERED_BYTES_MAX + 1];
        assert_eq!(merge(Kind::Binary).push(0, row(&long[1..])), Ok(()));
        assert_eq!(
            merge(Kind::Binary).push(0, row(&long)),
            Err(MergeError::LongKey)
        );
        let kind = Kind::Weights(Filling::of(b" ", false).unwrap());
        assert_eq!(merge(kind).push(0, row(b"a b")), Ok(()));
        assert_eq!(merge(kind).push(0, row(b"a ")), Err(MergeError::OddEnd));
        // Grouped as a whole, however long.
        let mut groups = Groups::new(&[(0, kind)], &[]);
        assert_eq!(groups.add(row(&long)), Ok(()));
        assert_eq!(groups.add(row(b"a ")), Err(MergeError::OddEnd));
    }
}
