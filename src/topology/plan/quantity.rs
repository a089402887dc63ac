//! Counts and sizes as people write them: `40M`, `5_000_000`, `1.5B`, `500G`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A text that is no count or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with one of the units.
    #[error("`{text}` is not a {what}; write {forms}")]
    Form {
        /// The text.
        text: String,
        /// Count or size.
        what: &'static str,
        /// The forms that are taken.
        forms: &'static str,
    },
    /// Less than nothing.
    #[error("`{text}` is less than nothing; write {forms}")]
    Negative {
        /// The text.
        text: String,
        /// The forms that are taken.
        forms: &'static str,
    },
    /// Another flag stands where the number should.
    #[error("the {what} is missing; write {forms}")]
    Missing {
        /// Count or size.
        what: &'static str,
        /// The forms that are taken.
        forms: &'static str,
    },
    /// Not a whole number after the unit is applied.
    #[error("`{0}` is not a whole number")]
    Fraction(String),
    /// More than 64 bits hold.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

const COUNT_FORMS: &str = "40M, 5_000_000, 1.5B, 250k or 1e6";
const SIZE_FORMS: &str = "500G, 1.5TiB, 200MB or a number of bytes";

/// A count of rows: `40M` is 40,000,000; k, M, B (or G) and T are powers of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Count(pub u64);

/// A size in bytes: K, M, G and T, with or without `B` or `iB`, are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Size(pub u64);

impl FromStr for Count {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, "count", COUNT_FORMS, |unit| match unit {
            "" => Some(1),
            "k" | "K" => Some(1_000),
            "m" | "M" => Some(1_000_000),
            "b" | "B" | "g" | "G" => Some(1_000_000_000),
            "t" | "T" => Some(1_000_000_000_000),
            _ => None,
        })
        .map(Self)
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, "size", SIZE_FORMS, |unit| {
            let unit = unit.to_ascii_uppercase();
            let unit = unit
                .strip_suffix("IB")
                .or(unit.strip_suffix('B'))
                .unwrap_or(&unit);
            match unit {
                "" => Some(1),
                "K" => Some(1 << 10),
                "M" => Some(1 << 20),
                "G" => Some(1 << 30),
                "T" => Some(1 << 40),
                _ => None,
            }
        })
        .map(Self)
    }
}

/// Exact: the digits are read as an integer, the point and the exponent as powers of ten.
fn parse(
    text: &str,
    what: &'static str,
    forms: &'static str,
    unit: impl Fn(&str) -> Option<u64>,
) -> Result<u64, QuantityError> {
    let form = || QuantityError::Form {
        text: text.to_owned(),
        what,
        forms,
    };
    let trimmed = text.trim();
    if trimmed.starts_with("--") {
        return Err(QuantityError::Missing { what, forms });
    }
    if trimmed.starts_with('-') {
        return Err(QuantityError::Negative {
            text: text.to_owned(),
            forms,
        });
    }
    let split = trimmed
        .find(|c: char| !(c.is_ascii_digit() || c == '_' || c == ',' || c == '.'))
        .unwrap_or(trimmed.len());
    let (number, rest) = trimmed.split_at(split);
    let (exponent, rest) = match rest.strip_prefix(['e', 'E']) {
        Some(digits) => (digits.parse::<u32>().map_err(|_| form())?, ""),
        None => (0, rest),
    };
    let factor = unit(rest.trim()).ok_or_else(form)?;
    // `1,5M` is one and a half million to half of the world: a comma is taken only where it can
    // mean nothing but thousands.
    if number.contains(',') && !(rest.is_empty() && exponent == 0 && is_in_thousands(number)) {
        return Err(form());
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    if !starts(whole) || (number.contains('.') && !starts(fraction)) {
        return Err(form());
    }
    if fraction.contains(['.', ',', '_']) || exponent > 18 {
        return Err(if exponent > 18 {
            QuantityError::TooLarge(text.to_owned())
        } else {
            form()
        });
    }
    let too_large = || QuantityError::TooLarge(text.to_owned());
    let digits: String = whole
        .chars()
        .chain(fraction.chars())
        .filter(char::is_ascii_digit)
        .collect();
    let value: u128 = digits.parse().map_err(|_| too_large())?;
    let scaled = value
        .checked_mul(u128::from(factor))
        .and_then(|value| value.checked_mul(10u128.pow(exponent)))
        .ok_or_else(too_large)?;
    let divisor = 10u128
        .checked_pow(fraction.len() as u32)
        .ok_or_else(too_large)?;
    if scaled % divisor != 0 {
        return Err(QuantityError::Fraction(text.to_owned()));
    }
    u64::try_from(scaled / divisor).map_err(|_| too_large())
}

/// `1,234,567`.
pub(super) fn is_in_thousands(number: &str) -> bool {
    let mut groups = number.split(',');
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    groups
        .next()
        .is_some_and(|first| (1..=3).contains(&first.len()) && digits(first))
        && groups.all(|group| group.len() == 3 && digits(group))
}

impl fmt::Display for Count {
    /// Short where that loses nothing a reader needs: `40M`, `1.5B`, `12.3M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = [
            (1_000_000_000_000, "T"),
            (1_000_000_000, "B"),
            (1_000_000, "M"),
            (1_000, "k"),
        ]
        .into_iter()
        .find(|(unit, _)| self.0 >= *unit)
        .map_or_else(
            || self.0.to_string(),
            |(unit, suffix)| {
                let tenths = (u128::from(self.0) * 10 + u128::from(unit) / 2) / u128::from(unit);
                match tenths % 10 {
                    0 => format!("{}{suffix}", tenths / 10),
                    tenth => format!("{}.{tenth}{suffix}", tenths / 10),
                }
            },
        );
        f.pad(&text)
    }
}

impl fmt::Display for Size {
    /// In the binary unit that keeps it short, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        match unit {
            0 => f.pad(&format!("{} B", self.0)),
            _ => f.pad(&format!("{value:.1} {}", UNITS[unit])),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, count) in [
            ("40M", 40_000_000),
            ("5_000_000", 5_000_000),
            ("5,000,000", 5_000_000),
            ("1.5B", 1_500_000_000),
            ("250k", 250_000),
            ("1e6", 1_000_000),
            (" 7 ", 7),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Count(count)), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("500G", 500 << 30),
            ("1.5TiB", 3 << 39),
            ("200MB", 200 << 20),
            ("12", 12),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_that_are_taken() {
        for text in [
            "", "M", "-5", "4 0M", "40X", "1..5", "1.", ".5", "_5", "1e", "ten", "1.5.5M", "1,5M",
            "1,500M", "1,5", "1,5000", "1234,567", "1,,000", "1,000.5", "1,000e3",
        ] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
        assert_eq!(
            "4OM".parse::<Count>().unwrap_err().to_string(),
            "`4OM` is not a count; write 40M, 5_000_000, 1.5B, 250k or 1e6"
        );
        assert_eq!(
            "1.5".parse::<Count>(),
            Err(QuantityError::Fraction("1.5".into()))
        );
        assert_eq!(
            "99999999T".parse::<Count>(),
            Err(QuantityError::TooLarge("99999999T".into()))
        );
        assert_eq!(
            "1e19".parse::<Count>(),
            Err(QuantityError::TooLarge("1e19".into()))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}|[0-9._,]{0,30}[kMBTGe]{0,3}[0-9]{0,3}") {
            let _ = text.parse::<Count>();
            let _ = text.parse::<Size>();
        }

        #[test]
        fn what_is_shown_reads_back_within_its_rounding(count in any::<u64>()) {
            let shown = Count(count).to_string();
            if let Ok(Count(read)) = shown.parse::<Count>() {
                prop_assert!(read.abs_diff(count) <= count / 19, "{count} {shown} {read}");
            } else {
                prop_assert!(count > u64::MAX - u64::MAX / 19);
            }
        }
    }
}
