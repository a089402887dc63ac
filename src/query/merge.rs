//! The shards' rows become the rows of one server.
//!
//! Rows that are only ordered are merged as they come, holding one row of each stream. Groups are
//! held in memory, up to a number of them.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, Zero};

use crate::rows::cell::{Cell, Kind, NotANumber, Row, Sortable};

/// Groups that are held at once. A group is some hundred bytes, so this is some hundred MiB at the
/// most.
pub const GROUPS_MAX: usize = 1_000_000;

/// How answers become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Rows are passed on, in the order of the keys if there are any.
    Rows {
        /// What they are ordered by.
        keys: Vec<Key>,
        /// Cells of a row that belong to the answer; keys follow them.
        visible: usize,
        /// Rows to give at the most.
        limit: Option<u64>,
        /// Rows to leave out first.
        offset: u64,
    },
    /// Rows of one group become one.
    Grouped {
        /// Whether there is exactly one group, even of no rows.
        one_group: bool,
        /// Cells that make the group, in comparable form.
        keys: Vec<(usize, Kind)>,
        /// The aggregates.
        aggregates: Vec<Aggregate>,
        /// The columns of the answer.
        outputs: Vec<Output>,
        /// What the groups are ordered by, and whether descending.
        order: Vec<(Source, Kind, bool)>,
        /// Groups to give at the most.
        limit: Option<u64>,
        /// Groups to leave out first.
        offset: u64,
    },
}

/// A cell to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which cell.
    pub cell: usize,
    /// What it holds.
    pub kind: Kind,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// How parts of an aggregate become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// The parts are added.
    Sum {
        /// The part's cell.
        cell: usize,
        /// Digits behind the point of the answer.
        scale: u8,
        /// A count of nothing is 0; a sum of nothing is NULL.
        empty_is_zero: bool,
    },
    /// Sums and counts are added, then divided.
    Average {
        /// The cell of the part's sum.
        sum: usize,
        /// The cell of the part's count.
        count: usize,
        /// Digits behind the point of the answer.
        scale: u8,
    },
    /// The least or the greatest.
    Extreme {
        /// The cell of the value.
        cell: usize,
        /// The cell it is compared by.
        by: usize,
        /// What that one holds.
        kind: Kind,
        /// The greatest rather than the least.
        greatest: bool,
    },
}

/// A column of a grouped answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A cell of the group.
    Group {
        /// Which cell of the first row of the group.
        cell: usize,
    },
    /// An aggregate.
    Aggregate {
        /// Which one.
        index: usize,
    },
}

/// What groups are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A cell of the group.
    Group {
        /// Which cell.
        cell: usize,
    },
    /// An aggregate.
    Aggregate {
        /// Which one.
        index: usize,
    },
}

/// Why a merge stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A cell was not what its column said.
    #[error(transparent)]
    Cell(#[from] NotANumber),
    /// More groups than are held.
    #[error("there are more than {GROUPS_MAX} groups; narrow the statement")]
    TooManyGroups,
    /// A text that the server would not look at as a whole.
    #[error(
        "a value to order by is longer than the servers look at (max_sort_length); rows that \
         differ behind that are in no order there; order by LEFT(..., 250)"
    )]
    LongKey,
    /// A text whose end the servers take for something else in one place than in another.
    #[error(
        "a text ends in characters without weight behind spaces, in NUL characters, or in \
         characters that equal a space; the servers do not group and order such texts as they \
         compare them; take HEX(...) of it"
    )]
    OddEnd,
}

/// Bytes of a text or of its weights that the servers order by: `max_sort_length`, which the
/// sessions set to 1024, less what may be taken for the length of a BLOB. Not all collations are
/// cut there on MySQL.
pub const ORDERED_BYTES_MAX: usize = 1024 - 8;

/// A value to group or to order by.
fn key(kind: Kind, cell: &Cell) -> Result<Sortable, MergeError> {
    match Sortable::new(kind, cell)? {
        Sortable::Weights(weights, filling) if filling.ends(&weights) => Err(MergeError::OddEnd),
        key => Ok(key),
    }
}

/// Refuses a key that has more bytes than the servers order by.
fn ordered(key: Sortable) -> Result<Sortable, MergeError> {
    match &key {
        Sortable::Bytes(bytes) | Sortable::Weights(bytes, _) if bytes.len() > ORDERED_BYTES_MAX => {
            Err(MergeError::LongKey)
        }
        _ => Ok(key),
    }
}

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
                let value = self::key(key.kind, &row[key.cell])?;
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

/// Gathers groups.
#[derive(Debug)]
pub struct Groups {
    keys: Vec<(usize, Kind)>,
    aggregates: Vec<Aggregate>,
    index: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    first: Row,
    states: Vec<State>,
}

#[derive(Debug, Clone)]
enum State {
    Sum(Option<BigDecimal>),
    Average(Option<BigDecimal>, BigDecimal),
    Extreme(Option<(Sortable, Cell, Cell)>),
}

fn number(cell: &Cell) -> Result<Option<BigDecimal>, NotANumber> {
    cell.as_ref()
        .map(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            BigDecimal::from_str(&text).map_err(|_| NotANumber(text.into_owned()))
        })
        .transpose()
}

impl State {
    fn new(aggregate: &Aggregate) -> Self {
        match aggregate {
            Aggregate::Sum { .. } => State::Sum(None),
            Aggregate::Average { .. } => State::Average(None, BigDecimal::from(0)),
            Aggregate::Extreme { .. } => State::Extreme(None),
        }
    }

    fn add(&mut self, aggregate: &Aggregate, row: &Row) -> Result<(), NotANumber> {
        match (self, aggregate) {
            (State::Sum(sum), Aggregate::Sum { cell, .. }) => add(sum, number(&row[*cell])?),
            (
                State::Average(sum, count),
                Aggregate::Average {
                    sum: s, count: c, ..
                },
            ) => {
                add(sum, number(&row[*s])?);
                *count += number(&row[*c])?.unwrap_or_default();
            }
            (
                State::Extreme(best),
                Aggregate::Extreme {
                    cell,
                    by,
                    kind,
                    greatest,
                },
            ) => {
                let value = Sortable::new(*kind, &row[*by])?;
                if value == Sortable::Null {
                    return Ok(());
                }
                let better = best.as_ref().is_none_or(|(known, ..)| {
                    let order = value.order(known);
                    order
                        == if *greatest {
                            Ordering::Greater
                        } else {
                            Ordering::Less
                        }
                });
                if better {
                    *best = Some((value, row[*cell].clone(), row[*by].clone()));
                }
            }
            // Made from the aggregate itself.
            _ => {}
        }
        Ok(())
    }

    /// The value as the server would write it.
    fn cell(&self, aggregate: &Aggregate) -> Cell {
        let text = |number: BigDecimal| Some(number.to_plain_string().into_bytes());
        match (self, aggregate) {
            (
                State::Sum(sum),
                Aggregate::Sum {
                    scale,
                    empty_is_zero,
                    ..
                },
            ) => match sum {
                Some(sum) => text(sum.with_scale(i64::from(*scale))),
                None if *empty_is_zero => Some(b"0".to_vec()),
                None => None,
            },
            (State::Average(Some(sum), count), Aggregate::Average { scale, .. }) => {
                if count.is_zero() {
                    return None;
                }
                text(average(sum, count, *scale))
            }
            (State::Extreme(Some((_, cell, _))), _) => cell.clone(),
            _ => None,
        }
    }

    /// The value to compare by.
    fn sortable(&self, aggregate: &Aggregate, kind: Kind) -> Result<Sortable, NotANumber> {
        match self {
            State::Extreme(Some((value, ..))) => Ok(value.clone()),
            _ => Sortable::new(kind, &self.cell(aggregate)),
        }
    }
}

fn add(sum: &mut Option<BigDecimal>, part: Option<BigDecimal>) {
    if let Some(part) = part {
        *sum = Some(match sum.take() {
            Some(sum) => sum + part,
            None => part,
        });
    }
}

/// The servers' division: digits behind the point come in words of nine; the quotient is cut at
/// the word that holds the scale, and that is rounded half away from zero
/// (`decimal_div_remainder` and `Item_sum_avg` in both servers' sources).
fn average(sum: &BigDecimal, count: &BigDecimal, scale: u8) -> BigDecimal {
    let scale = i64::from(scale);
    let words = (scale + 8) / 9 * 9;
    // As integers: the division of the decimal type has a precision of its own.
    let shifted = sum * BigDecimal::new(1.into(), -words);
    let (dividend, _) = shifted
        .with_scale_round(0, RoundingMode::Down)
        .into_bigint_and_exponent();
    let (divisor, _) = count.with_scale(0).into_bigint_and_exponent();
    BigDecimal::new(dividend / divisor, words).with_scale_round(scale, RoundingMode::HalfUp)
}

impl Groups {
    /// Groups by these cells.
    pub fn new(keys: &[(usize, Kind)], aggregates: &[Aggregate]) -> Self {
        Self {
            keys: keys.to_vec(),
            aggregates: aggregates.to_vec(),
            index: HashMap::new(),
            groups: Vec::new(),
        }
    }

    /// Takes a shard's row.
    ///
    /// # Errors
    /// A cell is not what its column says, or there are too many groups.
    pub fn add(&mut self, row: Row) -> Result<(), MergeError> {
        let mut key = Vec::new();
        for (cell, kind) in &self.keys {
            self::key(*kind, &row[*cell])?.key(&mut key);
        }
        let index = match self.index.get(&key) {
            Some(index) => *index,
            None => {
                if self.groups.len() >= GROUPS_MAX {
                    return Err(MergeError::TooManyGroups);
                }
                self.index.insert(key, self.groups.len());
                self.groups.push(Group {
                    states: self.aggregates.iter().map(State::new).collect(),
                    first: row.clone(),
                });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[index];
        for (state, aggregate) in group.states.iter_mut().zip(&self.aggregates) {
            state.add(aggregate, &row)?;
        }
        Ok(())
    }

    /// The groups as rows of the answer.
    ///
    /// # Errors
    /// A cell is not what its column says, or a key is longer than the servers look at.
    pub fn finish(
        self,
        outputs: &[Output],
        order: &[(Source, Kind, bool)],
        limit: Option<u64>,
        offset: u64,
    ) -> Result<Vec<Row>, MergeError> {
        let aggregates = &self.aggregates;
        let mut rows = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let keys = order
                .iter()
                .map(|(source, kind, descending)| {
                    let value = match source {
                        Source::Group { cell } => Sortable::new(*kind, &group.first[*cell])?,
                        Source::Aggregate { index } => {
                            group.states[*index].sortable(&aggregates[*index], *kind)?
                        }
                    };
                    Ok((ordered(value)?, *descending))
                })
                .collect::<Result<Vec<_>, MergeError>>()?;
            let row: Row = outputs
                .iter()
                .map(|output| match output {
                    Output::Group { cell } => group.first[*cell].clone(),
                    Output::Aggregate { index } => group.states[*index].cell(&aggregates[*index]),
                })
                .collect();
            rows.push((keys, row));
        }
        rows.sort_by(|(a, _), (b, _)| {
            for ((a, descending), (b, _)) in a.iter().zip(b) {
                let order = if *descending { b.order(a) } else { a.order(b) };
                if order != Ordering::Equal {
                    return order;
                }
            }
            Ordering::Equal
        });
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(rows
            .into_iter()
            .map(|(_, row)| row)
            .skip(offset)
            .take(limit)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::cell::Filling;

    fn decimal(text: &str) -> BigDecimal {
        BigDecimal::from_str(text).unwrap()
    }

    #[test]
    fn averages_have_the_servers_digits() {
        let check = |sum: &str, count: &str, scale: u8, expected: &str| {
            assert_eq!(
                average(&decimal(sum), &decimal(count), scale).to_plain_string(),
                expected
            );
        };
        check("10", "4", 4, "2.5000");
        check("1", "3", 4, "0.3333");
        check("2", "3", 4, "0.6667");
        check("-2", "3", 4, "-0.6667");
        check("0.00", "7", 6, "0.000000");
        check(
            "123456789012345678901234567890.12",
            "7",
            6,
            "17636684144620811271604938270.017143",
        );
        // Nine digits fill a word: the server cuts there, and has nothing left to round by.
        check("2", "3", 9, "0.666666666");
    }

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
