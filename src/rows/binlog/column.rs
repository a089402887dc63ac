//! How a column's values are stored in a row event, and reading them.
//!
//! Sources: MySQL's `libs/mysql/binlog/event/rows_event.h` (the table of column types and their
//! metadata), `mysys/my_time.cc` (`my_time_packed_from_binary` and its siblings), `strings/decimal.cc`
//! (`bin2decimal`); MariaDB's `sql/field.cc` and `sql/field_comp.cc`, `plugin/type_uuid/sql_type_uuid.h`
//! (the log has UUIDs in the order of their text, not of their storage).

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::bytes::{Bytes, Read};
use super::{inflate, json};
use crate::rows::position::uuid_text;
use crate::rows::shape::ColumnShape;
use crate::rows::value::Value;

/// How one column's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Integer {
        bytes: u8,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Year,
    Date,
    /// Digits behind the second; none for the form before fractions existed.
    Timestamp {
        fraction: Option<u8>,
    },
    Datetime {
        fraction: Option<u8>,
    },
    Time {
        fraction: Option<u8>,
    },
    /// Bytes behind a length.
    String {
        length_bytes: u8,
        compressed: bool,
    },
    /// BINARY: the log leaves out trailing zero bytes.
    Padded {
        length_bytes: u8,
        to: usize,
    },
    Uuid {
        length_bytes: u8,
    },
    Inet6 {
        length_bytes: u8,
    },
    Inet4 {
        length_bytes: u8,
    },
    Bits {
        bytes: u8,
    },
    /// ENUM's index and SET's bits.
    Members {
        bytes: u8,
    },
    Json {
        length_bytes: u8,
    },
}

impl Codec {
    /// The codec of a column whose type in the log is `kind`; its metadata is read.
    ///
    /// # Errors
    /// The type is unknown, or not the column's: the table was another then.
    pub fn read(column: &ColumnShape, kind: u8, metadata: &mut Bytes<'_>) -> Read<Self> {
        let unsigned = column.unsigned;
        let word = column.kind.as_str();
        let (codec, fits) = match kind {
            1 => (Codec::Integer { bytes: 1, unsigned }, word == "tinyint"),
            2 => (Codec::Integer { bytes: 2, unsigned }, word == "smallint"),
            9 => (Codec::Integer { bytes: 3, unsigned }, word == "mediumint"),
            3 => (Codec::Integer { bytes: 4, unsigned }, word == "int"),
            8 => (Codec::Integer { bytes: 8, unsigned }, word == "bigint"),
            4 => {
                metadata.u8()?;
                (Codec::Float, word == "float")
            }
            5 => {
                metadata.u8()?;
                (Codec::Double, word == "double")
            }
            246 => {
                let (precision, scale) = (metadata.u8()?, metadata.u8()?);
                // Both servers end at 65 digits; the fraction has its own, lower end.
                if precision > 65 || scale > precision {
                    return Err(format!("DECIMAL({precision}, {scale}) does not exist").into());
                }
                (Codec::Decimal { precision, scale }, word == "decimal")
            }
            13 => (Codec::Year, word == "year"),
            10 | 14 => (Codec::Date, word == "date"),
            7 | 11 | 12 => {
                // MariaDB's form of before MySQL 5.6, without the width of the fraction.
                if column.fraction > 0 {
                    return Err(format!(
                        "{} has the old format with a fraction, which the log does not describe; \
                         ALTER TABLE ... FORCE with mysql56_temporal_format=ON makes it new",
                        column.declared
                    )
                    .into());
                }
                match kind {
                    7 => (Codec::Timestamp { fraction: None }, word == "timestamp"),
                    11 => (Codec::Time { fraction: None }, word == "time"),
                    _ => (Codec::Datetime { fraction: None }, word == "datetime"),
                }
            }
            17..=19 => {
                let fraction = metadata.u8()?;
                if fraction > 6 {
                    return Err(format!("a time with {fraction} digits does not exist").into());
                }
                let fraction = Some(fraction);
                match kind {
                    17 => (Codec::Timestamp { fraction }, word == "timestamp"),
                    18 => (Codec::Datetime { fraction }, word == "datetime"),
                    _ => (Codec::Time { fraction }, word == "time"),
                }
            }
            15 | 253 | 141 => {
                let length_bytes = length_bytes(metadata.le(2)?);
                let compressed = kind == 141;
                (
                    Codec::String {
                        length_bytes,
                        compressed,
                    },
                    matches!(word, "varchar" | "varbinary" | "vector"),
                )
            }
            16 => {
                let (bits, bytes) = (metadata.u8()?, metadata.u8()?);
                if bits > 7 || bytes > 8 || (bytes == 8 && bits > 0) {
                    return Err("a BIT of so many bits does not exist".into());
                }
                let bytes = bytes + u8::from(bits > 0);
                (Codec::Bits { bytes }, word == "bit")
            }
            247 | 248 => {
                metadata.u8()?;
                members(kind, metadata.u8()?, word)?
            }
            254 => Self::fixed_string(column, metadata.u8()?, metadata.u8()?)?,
            140 | 249..=252 | 255 => {
                let length_bytes = blob_length_bytes(metadata)?;
                let compressed = kind == 140;
                let fits = match kind {
                    255 => is_spatial(word),
                    _ => word.ends_with("text") || word.ends_with("blob"),
                };
                (
                    Codec::String {
                        length_bytes,
                        compressed,
                    },
                    fits,
                )
            }
            242 => {
                let length_bytes = blob_length_bytes(metadata)?;
                (
                    Codec::String {
                        length_bytes,
                        compressed: false,
                    },
                    word == "vector",
                )
            }
            245 => {
                let length_bytes = blob_length_bytes(metadata)?;
                (Codec::Json { length_bytes }, word == "json")
            }
            other => return Err(format!("its type in the log is the unknown {other}").into()),
        };
        if !fits {
            return Err(format!(
                "it is {} now, and of type {kind} in the log: the table was changed",
                column.declared
            )
            .into());
        }
        Ok(codec)
    }

    /// CHAR and what looks like it. The first byte is the real type, two of whose bits are used for
    /// lengths above 255 (`Field_string::do_save_field_metadata`).
    fn fixed_string(column: &ColumnShape, first: u8, second: u8) -> Read<(Self, bool)> {
        let (real, length) = match first & 0x30 {
            0x30 => (first, u64::from(second)),
            high => (
                first | 0x30,
                u64::from(second) | u64::from(high ^ 0x30) << 4,
            ),
        };
        let word = column.kind.as_str();
        if real != 254 {
            return members(real, second, word);
        }
        let length_bytes = length_bytes(length);
        Ok(match word {
            "uuid" => (Codec::Uuid { length_bytes }, true),
            "inet6" => (Codec::Inet6 { length_bytes }, true),
            "inet4" => (Codec::Inet4 { length_bytes }, true),
            "binary" => {
                let to = column.bytes_max.unwrap_or_default();
                let to = usize::try_from(to).unwrap_or(usize::MAX);
                if to > 255 {
                    return Err(format!("BINARY({to}) does not exist").into());
                }
                (Codec::Padded { length_bytes, to }, true)
            }
            _ => (
                Codec::String {
                    length_bytes,
                    compressed: false,
                },
                word == "char",
            ),
        })
    }

    /// Reads one value that is not NULL.
    pub fn value(self, bytes: &mut Bytes<'_>) -> Read<Value> {
        Ok(match self {
            Codec::Integer {
                bytes: count,
                unsigned,
            } => {
                let number = bytes.le(count.into())?;
                match unsigned {
                    true => Value::UInt(number),
                    false => Value::Int(signed(number, count)),
                }
            }
            Codec::Float => {
                let bits = u32::try_from(bytes.le(4)?).unwrap_or_default();
                Value::Double(f64::from(f32::from_bits(bits)))
            }
            Codec::Double => Value::Double(f64::from_bits(bytes.le(8)?)),
            Codec::Decimal { precision, scale } => {
                let mut text = String::with_capacity(usize::from(precision) + 3);
                decimal(&mut text, bytes, precision, scale)?;
                Value::Text(text)
            }
            // 0 is the year 0000, which is not 1900.
            Codec::Year => Value::UInt(match bytes.u8()? {
                0 => 0,
                year => 1900 + u64::from(year),
            }),
            Codec::Date => {
                let packed = bytes.le(3)?;
                let mut text = String::with_capacity(10);
                date(&mut text, packed >> 9, packed >> 5 & 15, packed & 31);
                Value::Text(text)
            }
            Codec::Timestamp { fraction } => Value::Text(timestamp(bytes, fraction)?),
            Codec::Datetime {
                fraction: Some(digits),
            } => {
                let packed = signed(bytes.be(5)?, 8) - 0x80_0000_0000;
                let micros = read_fraction(bytes, digits)?;
                let mut text = String::with_capacity(26);
                date_of_packed(&mut text, packed)?;
                text.push(' ');
                clock(&mut text, low(packed, 17), 5)?;
                push_fraction(&mut text, micros, digits);
                Value::Text(text)
            }
            Codec::Datetime { fraction: None } => {
                let number = bytes.le(8)?;
                let (day, time) = (number / 1_000_000, number % 1_000_000);
                if day > 99_991_231 {
                    return Err(format!("the date {day} does not exist").into());
                }
                let mut text = String::with_capacity(19);
                date(&mut text, day / 10_000, day / 100 % 100, day % 100);
                text.push(' ');
                hms(&mut text, time / 10_000, time / 100 % 100, time % 100);
                Value::Text(text)
            }
            Codec::Time {
                fraction: Some(digits),
            } => Value::Text(time(bytes, digits)?),
            Codec::Time { fraction: None } => {
                let number = signed(bytes.le(3)?, 3);
                let time = number.unsigned_abs();
                let mut text = String::with_capacity(10);
                if number < 0 {
                    text.push('-');
                }
                hms(&mut text, time / 10_000, time / 100 % 100, time % 100);
                Value::Text(text)
            }
            Codec::String {
                length_bytes,
                compressed,
            } => {
                let stored = string(bytes, length_bytes)?;
                Value::Bytes(match compressed {
                    true => inflate::column(stored)?,
                    false => stored.to_vec(),
                })
            }
            Codec::Padded { length_bytes, to } => Value::Bytes(padded(bytes, length_bytes, to)?),
            Codec::Uuid { length_bytes } => Value::Text(uuid_text(&fixed(bytes, length_bytes)?)),
            Codec::Inet6 { length_bytes } => {
                let address = Ipv6Addr::from(fixed::<16>(bytes, length_bytes)?);
                Value::Text(address.to_string())
            }
            Codec::Inet4 { length_bytes } => {
                let address = Ipv4Addr::from(fixed::<4>(bytes, length_bytes)?);
                Value::Text(address.to_string())
            }
            Codec::Bits { bytes: count } => Value::UInt(bytes.be(count.into())?),
            Codec::Members { bytes: count } => Value::UInt(bytes.le(count.into())?),
            Codec::Json { length_bytes } => Value::Text(json::text(string(bytes, length_bytes)?)?),
        })
    }
}

fn length_bytes(bytes_max: u64) -> u8 {
    if bytes_max < 256 { 1 } else { 2 }
}

fn blob_length_bytes(metadata: &mut Bytes<'_>) -> Read<u8> {
    match metadata.u8()? {
        bytes @ 1..=4 => Ok(bytes),
        other => Err(format!("a length of {other} bytes does not exist").into()),
    }
}

fn members(real: u8, bytes: u8, word: &str) -> Read<(Codec, bool)> {
    let fits = match real {
        247 => word == "enum" && matches!(bytes, 1 | 2),
        248 => word == "set" && matches!(bytes, 1..=8),
        other => return Err(format!("its type in the log is the unknown {other}").into()),
    };
    Ok((Codec::Members { bytes }, fits))
}

fn is_spatial(word: &str) -> bool {
    matches!(
        word,
        "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
    )
}

fn string<'a>(bytes: &mut Bytes<'a>, length_bytes: u8) -> Read<&'a [u8]> {
    let length = bytes.le(length_bytes.into())?;
    bytes.take_u64(length)
}

fn padded(bytes: &mut Bytes<'_>, length_bytes: u8, to: usize) -> Read<Vec<u8>> {
    let stored = string(bytes, length_bytes)?;
    if stored.len() > to {
        return Err(format!("it has {} bytes of at most {to}", stored.len()).into());
    }
    let mut value = vec![0; to];
    value[..stored.len()].copy_from_slice(stored);
    Ok(value)
}

fn fixed<const BYTES: usize>(bytes: &mut Bytes<'_>, length_bytes: u8) -> Read<[u8; BYTES]> {
    let stored = string(bytes, length_bytes)?;
    let mut value = [0; BYTES];
    value
        .get_mut(..stored.len())
        .ok_or("it is longer than its type")?
        .copy_from_slice(stored);
    Ok(value)
}

/// The sign of an integer of so many bytes.
pub(super) fn signed(number: u64, bytes: u8) -> i64 {
    let unused = 64 - 8 * u32::from(bytes.clamp(1, 8));
    (number << unused).cast_signed() >> unused
}

/// The lowest bits of a number, which is not negative.
pub(super) fn low(number: i64, bits: u32) -> u64 {
    number.unsigned_abs() & ((1 << bits) - 1)
}

fn two(text: &mut String, number: u64) {
    if number < 100 {
        text.push(char::from(b'0' + (number / 10) as u8));
        text.push(char::from(b'0' + (number % 10) as u8));
    } else {
        // Writing into a String cannot fail.
        let _ = write!(text, "{number}");
    }
}

fn date(text: &mut String, year: u64, month: u64, day: u64) {
    if year < 10_000 {
        two(text, year / 100);
        two(text, year % 100);
    } else {
        // Writing into a String cannot fail.
        let _ = write!(text, "{year}");
    }
    text.push('-');
    two(text, month);
    text.push('-');
    two(text, day);
}

fn hms(text: &mut String, hours: u64, minutes: u64, seconds: u64) {
    two(text, hours);
    text.push(':');
    two(text, minutes);
    text.push(':');
    two(text, seconds);
}

/// Year, month and day of a packed date and time: `((year * 13 + month) << 5 | day) << 17 | clock`.
pub(super) fn date_of_packed(text: &mut String, packed: i64) -> Read<()> {
    let day = u64::try_from(packed >> 17).map_err(|_| "a date is negative")?;
    let month = day >> 5;
    date(text, month / 13, month % 13, day & 31);
    Ok(())
}

/// Hours, minutes and seconds, six bits each but for the hours.
pub(super) fn clock(text: &mut String, packed: u64, hour_bits: u32) -> Read<()> {
    let hours = packed >> 12;
    if hours >> hour_bits > 0 {
        return Err("a time has too many hours".into());
    }
    hms(text, hours, packed >> 6 & 63, packed & 63);
    Ok(())
}

/// Microseconds: two digits a byte, so an odd last digit is stored as a ten.
fn read_fraction(bytes: &mut Bytes<'_>, digits: u8) -> Read<u64> {
    let count = digits.div_ceil(2);
    Ok(micros(bytes.be(count.into())?, count))
}

fn micros(stored: u64, bytes: u8) -> u64 {
    stored
        * match bytes {
            1 => 10_000,
            2 => 100,
            _ => 1,
        }
}

pub(super) fn push_fraction(text: &mut String, micros: u64, digits: u8) {
    if digits > 0 {
        text.push('.');
        let mut unit = 100_000;
        for _ in 0..digits.min(6) {
            text.push(char::from(b'0' + (micros / unit % 10) as u8));
            unit /= 10;
        }
    }
}

fn timestamp(bytes: &mut Bytes<'_>, fraction: Option<u8>) -> Read<String> {
    let (seconds, micros) = match fraction {
        None => (bytes.le(4)?, 0),
        Some(digits) => (bytes.be(4)?, read_fraction(bytes, digits)?),
    };
    let digits = fraction.unwrap_or_default();
    let mut text = String::with_capacity(26);
    if seconds == 0 && micros == 0 {
        // The zero date. The first second of 1970 is outside the type.
        text.push_str("0000-00-00 00:00:00");
    } else {
        let at = Timestamp::from_second(seconds.cast_signed())
            .map_err(|_| format!("{seconds} seconds are no timestamp"))?;
        let at = Offset::UTC.to_datetime(at);
        let number = |number: i8| u64::from(number.unsigned_abs());
        date(
            &mut text,
            u64::from(at.year().unsigned_abs()),
            number(at.month()),
            number(at.day()),
        );
        text.push(' ');
        hms(
            &mut text,
            number(at.hour()),
            number(at.minute()),
            number(at.second()),
        );
    }
    push_fraction(&mut text, micros, digits);
    Ok(text)
}

/// TIME: one big-endian integer, clock and fraction together, with an offset that makes it
/// positive. The fraction of a negative time counts backwards, so the sign is taken off first.
fn time(bytes: &mut Bytes<'_>, digits: u8) -> Read<String> {
    let fraction_bytes = digits.div_ceil(2);
    let fraction_bits = 8 * u32::from(fraction_bytes);
    let stored = bytes.be(3 + usize::from(fraction_bytes))?.cast_signed();
    let packed = stored - (0x80_0000 << fraction_bits);
    let time = packed.unsigned_abs();
    let mut text = String::with_capacity(17);
    if packed < 0 {
        text.push('-');
    }
    clock(&mut text, time >> fraction_bits, 10)?;
    let fraction = time & ((1 << fraction_bits) - 1);
    push_fraction(&mut text, micros(fraction, fraction_bytes), digits);
    Ok(text)
}

/// Bytes of a group of so many decimal digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// DECIMAL: groups of nine digits in four bytes, big-endian, the odd digits at the outer ends in
/// fewer; the first bit is set for positive numbers, and all bits of negative ones are inverted.
pub(super) fn decimal(
    text: &mut String,
    bytes: &mut Bytes<'_>,
    precision: u8,
    scale: u8,
) -> Read<()> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let whole = precision
        .checked_sub(scale)
        .ok_or("a decimal has more digits behind the point than digits")?;
    let groups = [
        (1, whole % 9),
        (whole / 9, 9),
        (scale / 9, 9),
        (1, scale % 9),
    ];
    let size = groups
        .iter()
        .map(|(count, digits)| count * GROUP_BYTES[*digits])
        .sum();
    let mut stored = [0u8; 64];
    let stored = stored
        .get_mut(..size)
        .ok_or("a decimal has too many digits")?;
    stored.copy_from_slice(bytes.take(size)?);
    let first = stored.first_mut().ok_or("a decimal has no digits")?;
    let negative = *first & 0x80 == 0;
    *first ^= 0x80;
    if negative {
        stored.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut stored = Bytes(stored);
    let start = text.len();
    if negative {
        text.push('-');
    }
    let mut begun = false;
    for (index, (count, digits)) in groups.into_iter().enumerate() {
        if index == 2 {
            if !begun {
                text.push('0');
            }
            if scale > 0 {
                text.push('.');
            }
            begun = true;
        }
        for _ in 0..count {
            if digits == 0 {
                continue;
            }
            let group = stored.be(GROUP_BYTES[digits])?;
            if group >= 10u64.pow(digits as u32) {
                return Err("a decimal has a group of too many digits".into());
            }
            // Writing into a String cannot fail.
            let _ = match (begun, group) {
                (true, _) => write!(text, "{group:0digits$}"),
                (false, 0) => continue,
                (false, _) => write!(text, "{group}"),
            };
            begun = true;
        }
    }
    // The servers have no negative zero; one that was stored by an old version is a zero.
    if negative && !text[start..].bytes().any(|c| (b'1'..=b'9').contains(&c)) {
        text.remove(start);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(kind: &str, unsigned: bool, bytes_max: Option<u64>) -> ColumnShape {
        ColumnShape {
            name: "c".to_owned(),
            kind: kind.to_owned(),
            declared: kind.to_owned(),
            unsigned,
            bytes_max,
            ..ColumnShape::default()
        }
    }

    fn read(column: &ColumnShape, kind: u8, metadata: &[u8], stored: &[u8]) -> Read<Value> {
        let mut metadata = Bytes(metadata);
        let codec = Codec::read(column, kind, &mut metadata)?;
        assert!(metadata.is_empty());
        let mut bytes = Bytes(stored);
        let value = codec.value(&mut bytes)?;
        assert!(bytes.is_empty(), "{value:?} leaves bytes");
        Ok(value)
    }

    #[test]
    fn values_are_what_they_were() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (kind, unsigned, code, metadata, stored, expected) in [
            (
                "mediumint",
                false,
                9,
                &[][..],
                &[0xff, 0xff, 0xff][..],
                Value::Int(-1),
            ),
            (
                "mediumint",
                true,
                9,
                &[],
                &[0xff, 0xff, 0xff],
                Value::UInt(0xff_ffff),
            ),
            (
                "int",
                true,
                3,
                &[],
                &[0xff; 4],
                Value::UInt(u32::MAX.into()),
            ),
            (
                "bigint",
                false,
                8,
                &[],
                &[0, 0, 0, 0, 0, 0, 0, 0x80],
                Value::Int(i64::MIN),
            ),
            ("year", false, 13, &[], &[0], Value::UInt(0)),
            ("year", false, 13, &[], &[1], Value::UInt(1901)),
            (
                "time",
                false,
                19,
                &[1],
                &[0x7f, 0xff, 0xfe, 0xf6],
                text("-00:00:01.1"),
            ),
            (
                "time",
                false,
                19,
                &[2],
                &[0x7f, 0xff, 0xff, 0xff],
                text("-00:00:00.01"),
            ),
            (
                "time",
                false,
                19,
                &[0],
                &[0x4b, 0x91, 0x05],
                text("-838:59:59"),
            ),
            (
                "time",
                false,
                11,
                &[],
                &[0xff, 0xff, 0xff],
                text("-00:00:01"),
            ),
            (
                "datetime",
                false,
                18,
                &[3],
                &[0x80, 0, 0, 0, 0, 0, 0],
                text("0000-00-00 00:00:00.000"),
            ),
            (
                "datetime",
                false,
                12,
                &[],
                &20240230235958u64.to_le_bytes(),
                text("2024-02-30 23:59:58"),
            ),
            (
                "timestamp",
                false,
                17,
                &[6],
                &[0, 0, 0, 0, 0, 0, 0],
                text("0000-00-00 00:00:00.000000"),
            ),
            (
                "timestamp",
                false,
                17,
                &[0],
                &[0x7f, 0xff, 0xff, 0xff],
                text("2038-01-19 03:14:07"),
            ),
            (
                "timestamp",
                false,
                17,
                &[1],
                &[0, 0, 0, 1, 90],
                text("1970-01-01 00:00:01.9"),
            ),
            (
                "decimal",
                false,
                246,
                &[14, 4],
                &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2],
                text("1234567890.1234"),
            ),
            (
                "decimal",
                false,
                246,
                &[14, 4],
                &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d],
                text("-1234567890.1234"),
            ),
            ("decimal", false, 246, &[2, 2], &[0x80 | 7], text("0.07")),
            ("bit", false, 16, &[1, 1], &[1, 2], Value::UInt(258)),
            ("enum", false, 254, &[247, 2], &[1, 1], Value::UInt(257)),
            (
                "binary",
                false,
                254,
                &[254, 4],
                &[1, 9],
                Value::Bytes(vec![9, 0, 0, 0]),
            ),
        ] {
            let column = shape(kind, unsigned, Some(4));
            assert_eq!(
                read(&column, code, metadata, stored),
                Ok(expected),
                "{kind} {stored:?}"
            );
        }
    }

    #[test]
    fn a_long_char_keeps_its_length_in_its_type() {
        // CHAR(255) of utf8mb4 has 1020 bytes, so two bytes of length.
        let column = shape("char", false, Some(1020));
        let metadata = [
            0xfe ^ ((1020u16 & 0x300) >> 4) as u8,
            (1020u16 & 0xff) as u8,
        ];
        assert_eq!(
            read(&column, 254, &metadata, &[1, 0, b'x']),
            Ok(Value::Bytes(b"x".to_vec()))
        );
    }

    #[test]
    fn a_type_that_is_not_the_columns_is_refused() {
        assert!(read(&shape("bigint", false, None), 3, &[], &[0; 4]).is_err());
        let old = ColumnShape {
            fraction: 3,
            ..shape("time", false, None)
        };
        assert!(read(&old, 11, &[], &[0; 3]).is_err());
    }

    const KINDS: &[(&str, &[u8])] = &[
        ("tinyint", &[1]),
        ("bigint", &[8]),
        ("float", &[4]),
        ("double", &[5]),
        ("decimal", &[246]),
        ("year", &[13]),
        ("date", &[10, 14]),
        ("timestamp", &[7, 17]),
        ("datetime", &[12, 18]),
        ("time", &[11, 19]),
        ("varchar", &[15, 253, 141]),
        ("bit", &[16]),
        ("enum", &[247, 254]),
        ("set", &[248, 254]),
        ("char", &[254]),
        ("binary", &[254]),
        ("uuid", &[254]),
        ("inet6", &[254]),
        ("inet4", &[254]),
        ("longtext", &[140, 249, 250, 251, 252]),
        ("geometry", &[255]),
        ("vector", &[242]),
        ("json", &[245]),
    ];

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_refused(
            which in 0..KINDS.len(),
            code in 0usize..8,
            metadata in proptest::collection::vec(any::<u8>(), 0..4),
            stored in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let (kind, codes) = KINDS[which];
            let column = shape(kind, false, Some(20));
            if let Ok(codec) = Codec::read(&column, codes[code % codes.len()], &mut Bytes(&metadata)) {
                let _ = codec.value(&mut Bytes(&stored));
            }
        }

        #[test]
        fn a_time_is_its_sign_clock_and_fraction(micros in -3_020_399_999_999i64..=3_020_399_999_999, digits in 0u8..=6) {
            let unit = 10i64.pow(u32::from(6 - digits));
            let micros = micros / unit * unit;
            let (whole, part) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
            let packed = ((whole / 3600) << 12) | ((whole / 60 % 60) << 6) | (whole % 60);
            let bytes = digits.div_ceil(2);
            let part = part / [1_000_000, 10_000, 100, 1][usize::from(bytes)];
            let number = packed << (8 * bytes) | part;
            let stored = (0x80_0000i64 << (8 * bytes)) + if micros < 0 { -number } else { number };
            let stored = stored.to_be_bytes();
            let Ok(Value::Text(text)) = read(&shape("time", false, None), 19, &[digits], &stored[5 - usize::from(bytes)..]) else {
                panic!("no time");
            };
            let sign = if micros < 0 { "-" } else { "" };
            let mut expected = format!("{sign}{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
            if digits > 0 {
                let digits = usize::from(digits);
                expected.push_str(&format!(".{:06}", micros.abs() % 1_000_000)[..=digits]);
            }
            prop_assert_eq!(text, expected);
        }
    }
}
