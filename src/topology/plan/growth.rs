//! How many rows and bytes there are on each day.
//!
//! Rows come year by year, evenly within a year, counted in whole rows. Rows older than the
//! retention are gone; those that are there from the start are taken to be of all ages up to it, so
//! that they leave evenly. Everything is worked out day by day up to [`YEARS_MAX`] years or the end
//! of the calendar, in exact integers: a date that is said is the first day of which it is true.

use jiff::ToSpan;
use jiff::civil::Date;

use super::TableEstimate;
use super::amount::{Growth, YEARS_MAX};

/// The days that are looked at.
pub(super) struct Calendar {
    start: Date,
    /// The day on which each year begins, counted from the start; of the last one the end too.
    years: Vec<u32>,
}

impl Calendar {
    pub(super) fn new(start: Date) -> Self {
        let years = (0..=YEARS_MAX)
            .map_while(|year| start.checked_add(i64::from(year).years()).ok())
            .map(|date| days_between(start, date))
            .collect();
        Self { start, years }
    }

    /// The last day.
    pub(super) fn end(&self) -> u32 {
        self.years.last().copied().unwrap_or(0)
    }

    pub(super) fn date(&self, day: u32) -> Date {
        // Within the calendar: `day` is at most `end`.
        self.start
            .checked_add(i64::from(day).days())
            .unwrap_or(Date::MAX)
    }

    /// The day of a date; of one beyond the last day, the last.
    pub(super) fn day(&self, date: Date) -> u32 {
        days_between(self.start, date).min(self.end())
    }
}

pub(super) fn days_between(from: Date, to: Date) -> u32 {
    let days = from.until(to).map(|span| span.get_days()).unwrap_or(0);
    u32::try_from(days).unwrap_or(0)
}

/// An amount on each day, from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series(Vec<u128>);

impl Series {
    pub(super) fn nothing(calendar: &Calendar) -> Self {
        Self(vec![0; calendar.end() as usize + 1])
    }

    pub(super) fn at(&self, day: u32) -> u128 {
        self.0.get(day as usize).copied().unwrap_or(0)
    }

    /// Adds so many times another.
    pub(super) fn add(&mut self, other: &Series, times: u64) {
        for (sum, amount) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.saturating_add(amount.saturating_mul(times.into()));
        }
    }

    /// On each day the larger of both, of which the other is so many times as large.
    pub(super) fn at_least(&mut self, other: &Series, times: u64) {
        for (most, amount) in self.0.iter_mut().zip(&other.0) {
            *most = (*most).max(amount.saturating_mul(times.into()));
        }
    }

    /// The most there has been up to each day: it never falls.
    pub(super) fn highest(&self) -> Series {
        let mut most = 0;
        Series(
            self.0
                .iter()
                .map(|amount| {
                    most = most.max(*amount);
                    most
                })
                .collect(),
        )
    }

    /// The first day on which there is so much, of a series that never falls.
    pub(super) fn first_day(&self, amount: u128) -> Option<u32> {
        let day = self.0.partition_point(|there| *there < amount);
        (day < self.0.len()).then_some(day as u32)
    }
}

/// Parts of a row that are counted within: whole ones on every day of a year of 365 days and of
/// one of 366. So the difference of two days is exact, and more rows a year never round to fewer.
const PARTS: u128 = 365 * 366;

/// The rows of a table on each day.
pub(super) fn rows(table: &TableEstimate, calendar: &Calendar) -> Series {
    let arrived = arrived(table, calendar);
    let started = u128::from(table.start_rows);
    let kept = table
        .retention
        .and_then(|retention| retention.after(calendar.start))
        .map(|date| days_between(calendar.start, date).max(1));
    let on = |day: usize| {
        let (gone, old) = match kept {
            None => (0, started),
            Some(kept) => {
                let left = u128::from(kept).saturating_sub(day as u128);
                (
                    day.checked_sub(kept as usize).map_or(0, |day| arrived[day]),
                    (started * left).div_ceil(kept.into()),
                )
            }
        };
        whole(arrived[day] - gone).saturating_add(old)
    };
    Series((0..arrived.len()).map(on).collect())
}

/// The rows that have come up to each day, in [`PARTS`].
fn arrived(table: &TableEstimate, calendar: &Calendar) -> Vec<u128> {
    let mut days = Vec::with_capacity(calendar.end() as usize + 1);
    let mut before: u128 = 0;
    let mut brings: u128 = 0;
    for (year, edges) in calendar.years.windows(2).enumerate() {
        let length = edges[1] - edges[0];
        brings = in_year(table, year, brings);
        let a_day = brings.saturating_mul(PARTS / u128::from(length));
        for day in 0..u128::from(length) {
            days.push(before.saturating_add(a_day.saturating_mul(day)));
        }
        before = before.saturating_add(brings.saturating_mul(PARTS));
    }
    days.push(before);
    days
}

/// Whole rows. Division of 128 bits is slow and rarely needed.
fn whole(parts: u128) -> u128 {
    match u64::try_from(parts) {
        Ok(parts) => u128::from(parts / PARTS as u64),
        Err(_) => parts / PARTS,
    }
}

/// Rows that a year brings, counted from 0, rounded down; `last` is what the year before brought.
fn in_year(table: &TableEstimate, year: usize, last: u128) -> u128 {
    match (table.rows_per_year.get(year), table.growth) {
        (Some(rows), _) => u128::from(*rows),
        (None, Growth::Compound(percent)) => {
            last.saturating_mul(10_000 + u128::from(percent.0)) / 10_000
        }
        (None, Growth::Linear(rows)) => last.saturating_add(rows.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::amount::{Percent, Period};
    use super::*;

    fn table(rows_per_year: &[u64], growth: Growth) -> TableEstimate {
        TableEstimate {
            rows_per_year: rows_per_year.to_vec(),
            growth,
            ..TableEstimate::default()
        }
    }

    /// The rows at the end of each of the first years.
    fn years(table: &TableEstimate) -> Vec<u128> {
        let calendar = Calendar::new(jiff::civil::date(2016, 1, 1));
        let rows = rows(table, &calendar);
        (0..5).map(|year| rows.at(calendar.years[year])).collect()
    }

    #[test]
    fn rows_grow_by_share_by_number_or_as_listed() {
        assert_eq!(years(&table(&[100], Growth::NONE)), [0, 100, 200, 300, 400]);
        assert_eq!(
            years(&table(&[100], Growth::Compound(Percent(5_000)))),
            [0, 100, 250, 475, 812]
        );
        assert_eq!(
            years(&table(&[100], Growth::Linear(10))),
            [0, 100, 210, 330, 460]
        );
        assert_eq!(
            years(&table(&[100, 50, 200], Growth::NONE)),
            [0, 100, 150, 350, 550]
        );
    }

    #[test]
    fn rows_older_than_the_retention_are_gone() {
        let kept = TableEstimate {
            start_rows: 90,
            retention: Some("2y".parse::<Period>().unwrap()),
            ..table(&[100], Growth::NONE)
        };
        // 2016 is a day longer than half of both years.
        assert_eq!(years(&kept), [90, 145, 200, 200, 200]);
    }

    #[test]
    fn days_end_with_the_calendar() {
        let calendar = Calendar::new(Date::MAX);
        assert_eq!(calendar.end(), 0);
        assert_eq!(rows(&table(&[5], Growth::NONE), &calendar).at(0), 0);
        let calendar = Calendar::new(jiff::civil::date(9990, 1, 1));
        assert_eq!(calendar.date(calendar.end()).to_string(), "9999-01-01");
    }

    proptest! {
        #[test]
        fn more_of_anything_is_never_less_rows(
            rows_per_year in prop::collection::vec(0u64..1_000_000_000, 1..4),
            start_rows in 0u64..1_000_000_000, growth in 0u32..5_000, more in 0u64..1_000_000,
            months in prop::option::of(1u32..50),
        ) {
            let calendar = Calendar::new(jiff::civil::date(2020, 2, 29));
            let retention = months.map(|months| format!("{months}mo").parse::<Period>().unwrap());
            let less = TableEstimate {
                rows_per_year: rows_per_year.clone(), start_rows, retention,
                growth: Growth::Compound(Percent(growth)), ..TableEstimate::default()
            };
            let larger = [
                TableEstimate { start_rows: start_rows + more, ..less.clone() },
                TableEstimate { growth: Growth::Compound(Percent(growth + more as u32 % 100)), ..less.clone() },
                TableEstimate { retention: None, ..less.clone() },
                TableEstimate { rows_per_year: rows_per_year.iter().map(|rows| rows + more).collect(), ..less.clone() },
            ];
            let few = rows(&less, &calendar);
            for many in larger.iter().map(|table| rows(table, &calendar)) {
                for day in (0..calendar.end()).step_by(97) {
                    prop_assert!(many.at(day) >= few.at(day));
                }
            }
        }
    }
}
