//! Groups.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, Zero};

use super::{
    Aggregate, Computed, DIGITS_MAX, DISTINCT_MAX, GROUPS_BYTES_MAX, GROUPS_MAX, GivenBy,
    MergeError, Output, ordered,
};
use crate::rows::cell::{Cell, Kind, NotANumber, Row, Sortable};

/// Gathers groups.
#[derive(Debug)]
pub struct Groups {
    keys: Vec<(usize, Kind)>,
    aggregates: Vec<Aggregate>,
    index: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
    /// Different values that are held, in all groups.
    values: usize,
    /// Bytes of the groups and of those values, about.
    bytes: usize,
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
    Distinct(HashSet<Vec<u8>>, Option<BigDecimal>),
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
            Aggregate::DistinctCount { .. }
            | Aggregate::DistinctSum { .. }
            | Aggregate::DistinctAverage { .. } => State::Distinct(HashSet::new(), None),
        }
    }

    /// Takes a part, and gives how many more values are held.
    fn add(&mut self, aggregate: &Aggregate, row: &Row) -> Result<usize, MergeError> {
        match (self, aggregate) {
            (
                State::Distinct(seen, sum),
                Aggregate::DistinctCount { keys }
                | Aggregate::DistinctSum { keys, .. }
                | Aggregate::DistinctAverage { keys, .. },
            ) => {
                let mut key = Vec::new();
                for (cell, kind) in keys {
                    let value = super::key(*kind, &row[*cell])?;
                    if value == Sortable::Null {
                        return Ok(0);
                    }
                    value.key(&mut key);
                }
                if !seen.insert(key) {
                    return Ok(0);
                }
                if let Aggregate::DistinctSum { cell, .. }
                | Aggregate::DistinctAverage { cell, .. } = aggregate
                {
                    add(sum, number(&row[*cell])?);
                }
                return Ok(1);
            }
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
                    return Ok(0);
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
        Ok(0)
    }

    /// The value as the server would write it.
    fn cell(&self, aggregate: &Aggregate) -> Result<Cell, MergeError> {
        let text = |number: BigDecimal| {
            if number.digits() > DIGITS_MAX {
                return Err(MergeError::TooLong);
            }
            Ok(Some(number.to_plain_string().into_bytes()))
        };
        match (self, aggregate) {
            (State::Distinct(seen, _), Aggregate::DistinctCount { .. }) => {
                text(BigDecimal::from(seen.len() as u64))
            }
            (State::Distinct(_, Some(sum)), Aggregate::DistinctSum { scale, .. }) => {
                text(sum.with_scale(i64::from(*scale)))
            }
            (State::Distinct(seen, Some(sum)), Aggregate::DistinctAverage { scale, .. }) => {
                text(average(sum, &BigDecimal::from(seen.len() as u64), *scale))
            }
            (
                State::Sum(sum),
                Aggregate::Sum {
                    scale,
                    empty_is_zero,
                    ..
                },
            ) => match sum {
                Some(sum) => text(sum.with_scale(i64::from(*scale))),
                None if *empty_is_zero => Ok(Some(b"0".to_vec())),
                None => Ok(None),
            },
            (State::Average(Some(sum), count), Aggregate::Average { scale, .. }) => {
                if count.is_zero() {
                    return Ok(None);
                }
                text(average(sum, count, *scale))
            }
            (State::Extreme(Some((_, cell, _))), _) => Ok(cell.clone()),
            _ => Ok(None),
        }
    }

    /// An average with all digits that the servers compute with, or those that it is shown with.
    fn quotient(&self, aggregate: &Aggregate, shown: bool) -> Cell {
        let (sum, count, scale) = match (self, aggregate) {
            (State::Average(Some(sum), count), Aggregate::Average { scale, .. }) => {
                (sum, count.clone(), *scale)
            }
            _ => return None,
        };
        (!count.is_zero()).then(|| {
            let all = quotient(sum, &count, scale);
            let digits = all.fractional_digit_count();
            let number = match shown {
                true => average(sum, &count, scale).with_scale(digits),
                false => all,
            };
            number.to_plain_string().into_bytes()
        })
    }

    /// The value to compare by.
    fn sortable(&self, aggregate: &Aggregate, kind: Kind) -> Result<Sortable, MergeError> {
        match self {
            State::Extreme(Some((value, ..))) => Ok(value.clone()),
            _ => Ok(Sortable::new(kind, &self.cell(aggregate)?)?),
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
    quotient(sum, count, scale).with_scale_round(i64::from(scale), RoundingMode::HalfUp)
}

/// The same before it is rounded: the servers compute with this.
fn quotient(sum: &BigDecimal, count: &BigDecimal, scale: u8) -> BigDecimal {
    let words = i64::from(scale.div_ceil(9)) * 9;
    // As integers: the division of the decimal type has a precision of its own.
    let shifted = sum * BigDecimal::new(1.into(), -words);
    let (dividend, _) = shifted
        .with_scale_round(0, RoundingMode::Down)
        .into_bigint_and_exponent();
    let (divisor, _) = count.with_scale(0).into_bigint_and_exponent();
    BigDecimal::new(dividend / divisor, words)
}

impl Groups {
    /// Groups by these cells.
    pub fn new(keys: &[(usize, Kind)], aggregates: &[Aggregate]) -> Self {
        Self {
            keys: keys.to_vec(),
            aggregates: aggregates.to_vec(),
            index: HashMap::new(),
            groups: Vec::new(),
            values: 0,
            bytes: 0,
        }
    }

    /// Takes a shard's row.
    ///
    /// # Errors
    /// A cell is not what its column says, or there are too many groups.
    pub fn add(&mut self, row: Row) -> Result<(), MergeError> {
        let size = || row.iter().flatten().map(Vec::len).sum::<usize>();
        let mut key = Vec::new();
        for (cell, kind) in &self.keys {
            super::key(*kind, &row[*cell])?.key(&mut key);
        }
        let index = match self.index.get(&key) {
            Some(index) => *index,
            None => {
                if self.groups.len() >= GROUPS_MAX {
                    return Err(MergeError::TooManyGroups);
                }
                self.bytes += key.len() + size();
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
            let more = state.add(aggregate, &row)?;
            self.values += more;
            self.bytes += more * size();
        }
        if self.bytes > GROUPS_BYTES_MAX {
            return Err(MergeError::TooManyBytes);
        }
        if self.values > DISTINCT_MAX {
            return Err(MergeError::TooManyValues);
        }
        Ok(())
    }

    /// There is one group even of no rows: a statement without GROUP BY has one row.
    pub fn have_one(&mut self) {
        if self.groups.is_empty() {
            self.groups.push(Group {
                states: self.aggregates.iter().map(State::new).collect(),
                first: Vec::new(),
            });
        }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What a server is given of the groups to compute with: averages with all their digits, or
    /// with those that are shown.
    ///
    /// # Errors
    /// A sum is longer than the servers' numbers.
    pub fn given(&self, computed: &Computed, shown: bool) -> Result<Vec<Row>, MergeError> {
        self.groups
            .iter()
            .map(|group| {
                computed
                    .given
                    .iter()
                    .map(|given| match given.by {
                        GivenBy::Cell(cell) => Ok(group.first.get(cell).cloned().flatten()),
                        GivenBy::Aggregate(index) => {
                            group.states[index].cell(&self.aggregates[index])
                        }
                        GivenBy::Average(index) => {
                            Ok(group.states[index].quotient(&self.aggregates[index], shown))
                        }
                    })
                    .collect()
            })
            .collect()
    }

    /// The groups as rows of the answer. `computed` has, for each group, what a server computed,
    /// or nothing where HAVING leaves it out; and the kinds of what it computed.
    ///
    /// # Errors
    /// A cell is not what its column says, or a key is longer than the servers look at.
    pub fn finish(
        self,
        outputs: &[Output],
        order: &[(Output, Kind, bool)],
        computed: Option<(Vec<Option<Row>>, Vec<Kind>)>,
        limit: Option<u64>,
        offset: u64,
    ) -> Result<Vec<Row>, MergeError> {
        let aggregates = &self.aggregates;
        let (values, kinds) = match computed {
            Some((values, kinds)) => (Some(values), kinds),
            None => (None, Vec::new()),
        };
        let mut rows = Vec::with_capacity(self.groups.len());
        for (number, group) in self.groups.iter().enumerate() {
            let own: &[Cell] = match &values {
                None => &[],
                Some(values) => match values.get(number) {
                    Some(Some(row)) => row,
                    _ => continue,
                },
            };
            let keys = order
                .iter()
                .map(|(source, kind, descending)| {
                    let value = match source {
                        Output::Group { cell } => Sortable::new(*kind, &group.first[*cell])?,
                        Output::Aggregate { index } => {
                            group.states[*index].sortable(&aggregates[*index], *kind)?
                        }
                        Output::Computed { index } => Sortable::new(
                            kinds.get(*index).copied().unwrap_or(Kind::Null),
                            &own[*index],
                        )?,
                    };
                    Ok((ordered(value)?, *descending))
                })
                .collect::<Result<Vec<_>, MergeError>>()?;
            let row: Row = outputs
                .iter()
                .map(|output| match output {
                    Output::Group { cell } => Ok(group.first[*cell].clone()),
                    Output::Aggregate { index } => group.states[*index].cell(&aggregates[*index]),
                    Output::Computed { index } => Ok(own[*index].clone()),
                })
                .collect::<Result<_, MergeError>>()?;
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
}
