//! MySQL's binary JSON to text.
//!
//! The format is described in MySQL's `sql-common/json_binary.h`. The text is what the server itself
//! prints (`CAST(column AS CHAR)`), but for the choice between `0.0000001` and `1e-7`, so storing it
//! gives the same document, with the losses that every dump by text has: an unsigned number that
//! fits becomes a signed one, and dates, times and blobs become strings, all of which print the
//! same; a DECIMAL becomes a DOUBLE, which prints without zeros at its end (1.50 as 1.5), and which
//! a comparison of texts therefore finds.

use std::fmt::Write as _;

use base64::Engine as _;

use super::bytes::{Bytes, Malformed, Read};
use super::column;

/// The servers refuse deeper documents (`JSON_DOCUMENT_MAX_DEPTH`).
const DEPTH_MAX: usize = 100;

/// The document as text. No bytes at all stand for JSON's null: what a NOT NULL column holds where
/// `INSERT IGNORE` gave it nothing.
pub(super) fn text(stored: &[u8]) -> Read<String> {
    let mut bytes = Bytes(stored);
    let mut writer = Writer {
        out: String::with_capacity(stored.len() + stored.len() / 2),
        budget: stored.len() + 1,
    };
    if bytes.is_empty() {
        writer.out.push_str("null");
    } else {
        let kind = bytes.u8()?;
        writer.value(kind, bytes.rest(), 0)?;
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    /// Values and bytes of strings that may still come. In a document of the server no two values
    /// share bytes, so it never has more than its length; one whose offsets point to the same bytes
    /// again and again would write text without end.
    budget: usize,
}

impl Writer {
    fn spend(&mut self, count: usize) -> Read<()> {
        self.budget = self
            .budget
            .checked_sub(count)
            .ok_or("its values share bytes")?;
        Ok(())
    }

    fn value(&mut self, kind: u8, stored: &[u8], depth: usize) -> Read<()> {
        self.spend(1)?;
        let mut bytes = Bytes(stored);
        // Writing into a String cannot fail.
        let _ = match kind {
            0..=3 => return self.container(kind, stored, depth),
            4 => match bytes.u8()? {
                0 => self.out.write_str("null"),
                1 => self.out.write_str("true"),
                2 => self.out.write_str("false"),
                other => return Err(format!("it has the unknown literal {other}").into()),
            },
            5 => write!(self.out, "{}", column::signed(bytes.le(2)?, 2)),
            6 => write!(self.out, "{}", bytes.le(2)?),
            7 => write!(self.out, "{}", column::signed(bytes.le(4)?, 4)),
            8 => write!(self.out, "{}", bytes.le(4)?),
            9 => write!(self.out, "{}", column::signed(bytes.le(8)?, 8)),
            10 => write!(self.out, "{}", bytes.le(8)?),
            11 => {
                let number = f64::from_bits(bytes.le(8)?);
                if !number.is_finite() {
                    return Err("it has a number that is none".into());
                }
                // The shortest text that reads back as the same number, with a point or exponent.
                write!(self.out, "{number:?}")
            }
            12 => {
                let length = length(&mut bytes)?;
                self.spend(length)?;
                let string = bytes.take(length)?;
                return self.string(string);
            }
            15 => {
                let kind = bytes.u8()?;
                let length = length(&mut bytes)?;
                self.spend(length)?;
                return self.opaque(kind, bytes.take(length)?);
            }
            other => return Err(format!("it has the unknown type {other}").into()),
        };
        Ok(())
    }

    /// Objects and arrays: count and size, for objects an entry for each key (offset, length), an
    /// entry for each value (type, and the value itself or its offset), then keys and values.
    fn container(&mut self, kind: u8, stored: &[u8], depth: usize) -> Read<()> {
        if depth >= DEPTH_MAX {
            return Err("it is nested too deep".into());
        }
        let is_object = kind < 2;
        let width = if kind & 1 == 0 { 2 } else { 4 };
        let mut bytes = Bytes(stored);
        let count = bytes.le(width)?;
        let size = usize::try_from(bytes.le(width)?).unwrap_or(usize::MAX);
        let stored = stored
            .get(..size)
            .ok_or("an object or array passes its end")?;
        let mut keys = Bytes(bytes.rest());
        if is_object {
            bytes.take_u64(count.saturating_mul(width as u64 + 2))?;
        }
        self.out.push(if is_object { '{' } else { '[' });
        for index in 0..count {
            if index > 0 {
                self.out.push_str(", ");
            }
            if is_object {
                let offset = keys.le(width)?;
                let length = usize::try_from(keys.le(2)?).unwrap_or(usize::MAX);
                self.spend(length)?;
                self.string(
                    behind(stored, offset)?
                        .get(..length)
                        .ok_or("a key passes its end")?,
                )?;
                self.out.push_str(": ");
            }
            let kind = bytes.u8()?;
            let entry = bytes.take(width)?;
            // What fits into the entry stands in it.
            let inlined = matches!(kind, 4..=6) || (width == 4 && matches!(kind, 7 | 8));
            let value = match inlined {
                true => entry,
                false => behind(stored, Bytes(entry).le(width)?)?,
            };
            self.value(kind, value, depth + 1)?;
        }
        self.out.push(if is_object { '}' } else { ']' });
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Read<()> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Malformed::from("it has a string that is not utf8mb4"))?;
        let text = serde_json::to_string(text).map_err(|cause| cause.to_string())?;
        self.out.push_str(&text);
        Ok(())
    }

    /// A value of a type that JSON has not, as the server prints it.
    fn opaque(&mut self, kind: u8, stored: &[u8]) -> Read<()> {
        let mut bytes = Bytes(stored);
        match kind {
            246 => {
                let (precision, scale) = (bytes.u8()?, bytes.u8()?);
                column::decimal(&mut self.out, &mut bytes, precision, scale)
            }
            7 | 10 | 12 => {
                let packed = column::signed(bytes.le(8)?, 8);
                let (date, micros) = (packed >> 24, packed & 0xff_ffff);
                self.out.push('"');
                column::date_of_packed(&mut self.out, date)?;
                if kind != 10 {
                    self.out.push(' ');
                    column::clock(&mut self.out, column::low(date, 17), 5)?;
                    column::push_fraction(&mut self.out, column::low(micros, 24), 6);
                }
                self.out.push('"');
                Ok(())
            }
            11 => {
                let packed = column::signed(bytes.le(8)?, 8);
                let time = packed.unsigned_abs();
                self.out.push('"');
                if packed < 0 {
                    self.out.push('-');
                }
                column::clock(&mut self.out, time >> 24, 10)?;
                column::push_fraction(&mut self.out, time & 0xff_ffff, 6);
                self.out.push('"');
                Ok(())
            }
            _ => {
                let text = base64::engine::general_purpose::STANDARD.encode(stored);
                // Writing into a String cannot fail.
                let _ = write!(self.out, "\"base64:type{kind}:{text}\"");
                Ok(())
            }
        }
    }
}

fn behind(stored: &[u8], offset: u64) -> Read<&[u8]> {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| stored.get(offset..))
        .ok_or(Malformed::from("an offset passes its end"))
}

/// Seven bits a byte, the lowest first, the high bit set on all but the last.
fn length(bytes: &mut Bytes<'_>) -> Read<usize> {
    let mut length: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8()?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| "a length is too large".into());
        }
    }
    Err("a length has too many bytes".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_printed_as_the_server_prints_it() {
        // {"a": [1, -2, true, null, "x"]} as MySQL 9.7 stores it.
        let array = [
            2,
            5,
            0,
            25 - 2,
            0,
            5,
            1,
            0,
            5,
            0xfe,
            0xff,
            4,
            1,
            0,
            4,
            0,
            0,
            12,
            19,
            0,
        ];
        let mut array: Vec<u8> = array[1..].to_vec();
        array.extend([1, b'x']);
        array[2] = array.len() as u8;
        let mut object = vec![0, 1, 0, 0, 0, 11, 0, 1, 0, 2, 12, 0, b'a'];
        object.extend(&array);
        object[3] = object.len() as u8 - 1;
        assert_eq!(text(&object).unwrap(), r#"{"a": [1, -2, true, null, "x"]}"#);
        assert_eq!(text(&[]).unwrap(), "null");
    }

    #[test]
    fn a_document_whose_values_share_bytes_is_refused() {
        // An array of many elements that are all the same array.
        let mut bytes = vec![2];
        let count: u16 = 60;
        bytes.extend(count.to_le_bytes());
        bytes.extend(200u16.to_le_bytes());
        for _ in 0..count {
            bytes.extend([2, 0, 0]);
        }
        bytes.resize(202, 0);
        assert!(text(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = text(&bytes);
        }

        #[test]
        fn any_containers_are_read_or_refused(mut bytes in proptest::collection::vec(0u8..16, 0..80)) {
            if let Some(kind) = bytes.first_mut() {
                *kind &= 3;
            }
            let _ = text(&bytes);
        }
    }
}
