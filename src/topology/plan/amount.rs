//! Periods, ratios, percentages and growth as people write them: `5y`, `60mo`, `1.4`, `20%`, `+8M`.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::quantity::{Count, is_in_thousands};
use crate::names::TableName;

/// Years that a plan can look ahead.
pub const YEARS_MAX: u32 = 100;

/// Growth of a year that is still an estimate, in percent.
const GROWTH_MAX: u32 = 10_000;

/// Rows for each row of another table above which a ratio is a slip.
const RATIO_MAX: u64 = 1_000;

/// A text that is no amount. The message names the forms that are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmountError(String);

fn wrong<T>(message: impl Into<String>) -> Result<T, AmountError> {
    Err(AmountError(message.into()))
}

/// A whole number, `16`.
///
/// # Errors
/// It is not one.
pub fn whole(text: &str) -> Result<u32, AmountError> {
    text.trim().parse().or_else(|_| {
        wrong(format!(
            "`{text}` is not a whole number that can be planned; write 1, 2 or 16"
        ))
    })
}

/// A day, `2016-01-31`.
///
/// # Errors
/// There is no such day.
pub fn day(text: &str) -> Result<Date, AmountError> {
    text.trim().parse().or_else(|_| {
        wrong(format!(
            "`{text}` is not a day of the calendar; write 2016-01-31"
        ))
    })
}

/// The share that is to stay free: less than all.
///
/// # Errors
/// It is no percentage, or nothing is left.
pub fn headroom(text: &str) -> Result<Percent, AmountError> {
    match text.parse::<Percent>()? {
        percent if percent.0 < 10_000 => Ok(percent),
        _ => wrong(format!("`{text}` leaves no room at all; write 20 or 7.5%")),
    }
}

/// A share or a growth, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Percent {
    /// What is left of a whole after this share of it, rounded down.
    pub fn taken_from(self, whole: u64) -> u64 {
        let left = 10_000u128.saturating_sub(self.0.into());
        // At most the whole.
        (u128::from(whole) * left / 10_000) as u64
    }
}

impl FromStr for Percent {
    type Err = AmountError;

    /// `20`, `20%` or `7.5%`: exactly, or not at all.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let number = text.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        if number.starts_with('-') {
            return wrong(format!(
                "`{text}` is less than nothing; write 0, 20 or 7.5%"
            ));
        }
        match decimal(number, 2) {
            Decimal::Value(hundredths) => match u32::try_from(hundredths) {
                Ok(hundredths) => Ok(Self(hundredths)),
                Err(_) => wrong(format!("`{text}` is too large a percentage")),
            },
            Decimal::TooFine => wrong(format!(
                "`{text}` is too fine; a percentage has at most two decimals"
            )),
            Decimal::TooLarge => wrong(format!("`{text}` is too large a percentage")),
            Decimal::None => wrong(format!("`{text}` is not a percentage; write 20 or 7.5%")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", decimal_text(self.0.into(), 2))
    }
}

/// Rows for each row of something else, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Ratio(pub u64);

impl Ratio {
    /// One for one.
    pub const ONE: Ratio = Ratio(1_000_000);

    /// So many times a count, rounded up; `None` where it cannot be counted.
    pub fn times(self, count: u64) -> Option<u64> {
        let scaled = u128::from(count) * u128::from(self.0);
        u64::try_from(scaled.div_ceil(1_000_000)).ok()
    }
}

impl FromStr for Ratio {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let number = text.trim();
        if number.starts_with('-') {
            return wrong(format!(
                "`{text}` is less than nothing; a ratio is 0 or more"
            ));
        }
        match decimal(number, 6) {
            Decimal::Value(millionths) if millionths <= RATIO_MAX * 1_000_000 => {
                Ok(Self(millionths))
            }
            Decimal::Value(_) | Decimal::TooLarge => wrong(format!(
                "`{text}` rows for each row are more than the {RATIO_MAX} that a ratio can be; \
                 write rows a year with their unit: 50k or 40M"
            )),
            Decimal::TooFine => wrong(format!(
                "`{text}` is too fine; a ratio has at most six decimals"
            )),
            Decimal::None => wrong(format!("`{text}` is not a ratio; write 1, 1.4 or 0.09")),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal_text(self.0, 6))
    }
}

enum Decimal {
    Value(u64),
    TooFine,
    TooLarge,
    None,
}

/// `7.5` with two decimals is 750.
fn decimal(number: &str, decimals: usize) -> Decimal {
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Decimal::None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Decimal::None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals {
        return Decimal::TooFine;
    }
    match format!("{whole}{fraction:0<decimals$}").parse() {
        Ok(value) => Decimal::Value(value),
        Err(_) => Decimal::TooLarge,
    }
}

fn decimal_text(value: u64, decimals: usize) -> String {
    let unit = 10u64.pow(decimals as u32);
    match value % unit {
        0 => (value / unit).to_string(),
        fraction => {
            let fraction = format!("{fraction:0decimals$}");
            format!("{}.{}", value / unit, fraction.trim_end_matches('0'))
        }
    }
}

/// How many more rows each year brings than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Growth {
    /// By this share of what the year before brought.
    #[serde(rename = "compound_basis_points")]
    Compound(Percent),
    /// By this many rows.
    #[serde(rename = "linear_rows")]
    Linear(u64),
}

impl Growth {
    /// Each year brings what the one before brought.
    pub const NONE: Growth = Growth::Compound(Percent(0));
}

impl FromStr for Growth {
    type Err = AmountError;

    /// `20%`, or `+8M`: a bare number is a percentage.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let number = text.trim();
        if number.starts_with('-') {
            return wrong(format!(
                "`{text}`: rows that become fewer need no plan; growth is 0 or more, and rows that \
                 are deleted are a retention"
            ));
        }
        if let Some(rows) = number.strip_prefix('+').filter(|_| !number.ends_with('%')) {
            return match rows.parse::<Count>() {
                // `+5` is far more often five percent than five rows.
                Ok(Count(rows)) if rows < 1_000 => wrong(format!(
                    "`{text}` may be rows or percent; write {rows}% or at least +1k rows"
                )),
                Ok(Count(rows)) => Ok(Growth::Linear(rows)),
                Err(fault) => wrong(fault.to_string()),
            };
        }
        let percent: Percent = number.strip_prefix('+').unwrap_or(number).parse()?;
        if percent.0 > GROWTH_MAX * 100 {
            return wrong(format!(
                "`{text}` is not a growth that can be planned; at most {GROWTH_MAX} %"
            ));
        }
        Ok(Growth::Compound(percent))
    }
}

/// A length of time by the calendar: at least one unit, at most [`YEARS_MAX`] years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Period {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Years,
    Months,
    Weeks,
    Days,
}

impl Period {
    /// So many years.
    ///
    /// # Errors
    /// None, or more than [`YEARS_MAX`].
    pub fn years(count: u32) -> Result<Self, AmountError> {
        Self::new(count.into(), Unit::Years, &count.to_string())
    }

    fn new(count: u64, unit: Unit, text: &str) -> Result<Self, AmountError> {
        let a_year = match unit {
            Unit::Years => 1,
            Unit::Months => 12,
            Unit::Weeks => 52,
            Unit::Days => 365,
        };
        match u32::try_from(count) {
            Ok(0) => wrong(format!("`{text}` is no time at all; write 2, 5y or 60mo")),
            Ok(count) if count <= YEARS_MAX * a_year => Ok(Self { count, unit }),
            _ => wrong(format!(
                "`{text}` is more than the {YEARS_MAX} years that can be planned"
            )),
        }
    }

    /// The day on which it is over; `None` beyond the calendar.
    pub fn after(self, start: Date) -> Option<Date> {
        // Bounded by `new`.
        let count = i64::from(self.count);
        let span = match self.unit {
            Unit::Years => count.years(),
            Unit::Months => count.months(),
            Unit::Weeks => count.weeks(),
            Unit::Days => count.days(),
        };
        start.checked_add(span).ok()
    }

    /// Whether it is this many years, also where it is written in months.
    pub fn is_years(self, years: u32) -> bool {
        match self.unit {
            Unit::Years => self.count == years,
            Unit::Months => self.count == years * 12,
            Unit::Weeks | Unit::Days => false,
        }
    }
}

impl Period {
    /// For programs: months where it is counted by the calendar, days where it is not.
    fn months_or_days(self) -> (Option<u32>, Option<u32>) {
        // Bounded by `new`.
        match self.unit {
            Unit::Years => (Some(self.count * 12), None),
            Unit::Months => (Some(self.count), None),
            Unit::Weeks => (None, Some(self.count * 7)),
            Unit::Days => (None, Some(self.count)),
        }
    }
}

/// Writes `horizon` in words, and `horizon_months` or `horizon_days` beside it.
pub(super) fn horizon<S: Serializer>(period: &Period, serializer: S) -> Result<S::Ok, S::Error> {
    let (months, days) = period.months_or_days();
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("horizon", period)?;
    map.serialize_entry("horizon_months", &months)?;
    map.serialize_entry("horizon_days", &days)?;
    map.end()
}

/// Writes `retention` in words, and `retention_months` or `retention_days` beside it.
pub(super) fn retention<S: Serializer>(
    period: &Option<Period>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (months, days) = period.map_or((None, None), Period::months_or_days);
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("retention", period)?;
    map.serialize_entry("retention_months", &months)?;
    map.serialize_entry("retention_days", &days)?;
    map.end()
}

impl FromStr for Period {
    type Err = AmountError;

    /// A bare number is years.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return wrong(format!(
                "`{text}` is less than nothing; write 2, 5y or 60mo"
            ));
        }
        let split = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "y" | "year" | "years" => Unit::Years,
            "mo" | "month" | "months" => Unit::Months,
            "w" | "week" | "weeks" => Unit::Weeks,
            "d" | "day" | "days" => Unit::Days,
            _ => {
                return wrong(format!(
                    "`{text}` is not a length of time; write 2, 5y, 18mo, 26w or 90d"
                ));
            }
        };
        if number.is_empty() {
            return wrong(format!(
                "`{text}` is not a length of time; write 2, 5y, 18mo, 26w or 90d"
            ));
        }
        // Digits only: what does not fit is too long.
        Self::new(number.parse().unwrap_or(u64::MAX), unit, text)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Years => "year",
            Unit::Months => "month",
            Unit::Weeks => "week",
            Unit::Days => "day",
        };
        match self.count {
            1 => write!(f, "one {unit}"),
            n => write!(f, "{n} {unit}s"),
        }
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

/// Rows of the first years, one after another: `40M`, or `40M,60M,90M`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Yearly(pub Vec<u64>);

impl FromStr for Yearly {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let part = |part: &str| match part.parse::<Count>() {
            Ok(Count(rows)) => Ok(rows),
            Err(fault) => wrong(fault.to_string()),
        };
        // `5,000,000` is one number, as it is everywhere else.
        if is_in_thousands(text.trim()) {
            return Ok(Self(vec![part(text)?]));
        }
        let years: Vec<u64> = text.split(',').map(part).collect::<Result<_, _>>()?;
        if years.len() > YEARS_MAX as usize {
            return wrong(format!(
                "{} years are more than the {YEARS_MAX} that can be planned",
                years.len()
            ));
        }
        Ok(Self(years))
    }
}

/// How many rows a table gets: for each row of the entity, or by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// For each row of the entity that the rows a year are of.
    Ratio(Ratio),
    /// Rows a year.
    Rows(Yearly),
}

/// A table and its share: `member_address=1.4`, `orders=40M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShare {
    /// The logical table.
    pub table: TableName,
    /// Its share.
    pub share: Share,
}

impl FromStr for TableShare {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let Some((name, amount)) = text.split_once('=') else {
            return wrong(format!(
                "`{text}` has no ratio; write member_address=1.4, or orders=40M for rows a year"
            ));
        };
        let table = match TableName::new(name.trim()) {
            Ok(table) => table,
            Err(fault) => return wrong(fault.to_string()),
        };
        let has_unit = amount.trim().ends_with(|c: char| c.is_ascii_alphabetic());
        let share = match has_unit || amount.contains(',') {
            true => Share::Rows(amount.parse()?),
            false => Share::Ratio(amount.parse()?),
        };
        Ok(Self { table, share })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages_are_read_exactly_or_refused() {
        for (text, hundredths) in [
            ("0", 0),
            ("20", 2_000),
            ("7.5%", 750),
            ("0.05 %", 5),
            ("12.500", 1_250),
        ] {
            assert_eq!(text.parse(), Ok(Percent(hundredths)), "{text}");
        }
        for text in [
            "",
            "%",
            "%%",
            "20%%",
            ".5",
            "1.",
            "1.2.3",
            "1e2",
            "nan",
            "inf",
            "-5",
            "0.001",
            "99999999999",
            "+5",
            "٣",
        ] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn growth_is_compound_or_linear() {
        for (text, growth) in [
            ("0", Growth::NONE),
            ("20%", Growth::Compound(Percent(2_000))),
            ("+20%", Growth::Compound(Percent(2_000))),
            ("10000", Growth::Compound(Percent(1_000_000))),
            ("+8M", Growth::Linear(8_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(growth), "{text}");
        }
        for text in ["-5", "+5", "+", "10000.01", "+-5", "8M"] {
            assert!(text.parse::<Growth>().is_err(), "{text}");
        }
    }

    #[test]
    fn periods_go_by_the_calendar() {
        let start = jiff::civil::date(2016, 2, 29);
        for (text, end, shown) in [
            ("2", "2018-02-28", "2 years"),
            ("1y", "2017-02-28", "one year"),
            ("60mo", "2021-02-28", "60 months"),
            ("18 months", "2017-08-29", "18 months"),
            ("90d", "2016-05-29", "90 days"),
            ("1w", "2016-03-07", "one week"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.after(start).unwrap().to_string(), end, "{text}");
            assert_eq!(period.to_string(), shown);
        }
        for text in [
            "",
            "0",
            "-1",
            "101",
            "1201mo",
            "1.5y",
            "y",
            "5 parsecs",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_years_is_told_from_thousands() {
        assert_eq!("40M".parse(), Ok(Yearly(vec![40_000_000])));
        assert_eq!("5,000,000".parse(), Ok(Yearly(vec![5_000_000])));
        assert_eq!(
            "40M,60M, 1.5M".parse(),
            Ok(Yearly(vec![40_000_000, 60_000_000, 1_500_000]))
        );
        assert!("40M,,60M".parse::<Yearly>().is_err());
        assert!("40M,-1".parse::<Yearly>().is_err());
    }

    #[test]
    fn a_table_has_a_ratio_or_rows() {
        let share = |text: &str| text.parse::<TableShare>().map(|table| table.share);
        assert_eq!(share("a=1.4"), Ok(Share::Ratio(Ratio(1_400_000))));
        assert_eq!(share("a=0"), Ok(Share::Ratio(Ratio(0))));
        assert_eq!(share("a=40M"), Ok(Share::Rows(Yearly(vec![40_000_000]))));
        assert_eq!(
            share("a=50000").unwrap_err().to_string(),
            "`50000` rows for each row are more than the 1000 that a ratio can be; write rows a \
             year with their unit: 50k or 40M"
        );
        for text in ["a", "=1", "a=", "a=x", "a=-1", "a=-1M", "a=0.1234567"] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!(Ratio(1_400_000).times(13_000_000), Some(18_200_000));
        assert_eq!(Ratio(1_400_000).times(1), Some(2));
        assert_eq!(Ratio(1_400_000).times(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}|[-+]?[0-9]{0,22}(\\.[0-9]{0,9})?(%|M|k|mo|y|d)?") {
            let _ = text.parse::<Percent>();
            let _ = text.parse::<Ratio>();
            let _ = text.parse::<Growth>();
            let _ = text.parse::<Yearly>();
            let _ = text.parse::<TableShare>();
            let _ = format!("t={text}").parse::<TableShare>();
            if let Ok(period) = text.parse::<Period>() {
                let _ = period.after(Date::MAX);
            }
        }
    }
}
