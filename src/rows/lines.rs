//! Rows as the text that `LOAD DATA` reads: fields split by tabs, `\N` for NULL.

use super::value::Value;

/// Rows as lines of text, in UTF-8 but for values that are bytes, which are as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    rows: u64,
}

impl Lines {
    /// Adds a row.
    pub fn push(&mut self, row: &[Value]) {
        use std::io::Write;
        let out = &mut self.text;
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            match value {
                Value::Null => out.extend_from_slice(b"\\N"),
                // Writing into a Vec cannot fail.
                Value::Int(number) => drop(write!(out, "{number}")),
                Value::UInt(number) => drop(write!(out, "{number}")),
                Value::Double(number) => drop(write!(out, "{number:e}")),
                Value::Text(text) => escape(out, text.as_bytes()),
                Value::Bytes(bytes) => escape(out, bytes),
            }
        }
        out.push(b'\n');
        self.rows += 1;
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes of the text.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The text.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

/// Writes bytes so that none of them ends a field or a line.
pub fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut plain = bytes;
    while let Some(at) = plain.iter().position(|byte| short(*byte).is_some()) {
        let (before, behind) = plain.split_at(at);
        out.extend_from_slice(before);
        let Some((special, rest)) = behind.split_first() else {
            return;
        };
        out.push(b'\\');
        out.extend(short(*special));
        plain = rest;
    }
    out.extend_from_slice(plain);
}

/// The letter that stands for a byte behind a backslash, where it needs one.
fn short(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        0 => Some(b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_split_a_line_is_escaped() {
        let mut lines = Lines::default();
        lines.push(&[
            Value::Text("x\ty\\z\n\0\r中".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Null,
            Value::Int(-5),
        ]);
        lines.push(&[Value::Double(0.1), Value::Text(String::new())]);
        assert_eq!(lines.rows(), 2);
        assert_eq!(
            lines.into_text(),
            b"x\\ty\\\\z\\n\\0\\r\xe4\xb8\xad\t\\0\xff\t\\N\t-5\n1e-1\t\n"
        );
    }
}
