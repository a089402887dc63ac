//! The answer of a query in every format.
//!
//! | format | NULL | bytes | numbers |
//! |---|---|---|---|
//! | table, vertical | `NULL` | `0x1f2e` | as the server writes them |
//! | csv (RFC 4180) | empty, without quotes (an empty text has them) | `0x1f2e` | as the server writes them |
//! | tsv (the servers' batch mode) | `NULL` | raw, escaped | as the server writes them |
//! | json, ndjson | `null` | base64 | integers and doubles as numbers; decimals as strings, for a JSON number is read as a double by many |

use std::io::Write;

use base64::Engine as _;
use serde_json::{Map, Value};

use super::{Format, View};
use crate::error::{Error, Result};
use crate::rows::cell::{Cell, Column, Kind, Row};

/// Writes an answer as its rows come. A table needs all rows before it knows its widths; every
/// other format writes each row at once.
pub struct AnswerWriter<W: Write> {
    out: W,
    format: Format,
    view: View,
    columns: Vec<Column>,
    table: Vec<Vec<String>>,
    rows: u64,
    missing: Option<Vec<Missing>>,
}

/// A physical table whose rows are not in an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Instance, schema and table.
    pub table: String,
    /// Why.
    pub error: String,
}

impl<W: Write> AnswerWriter<W> {
    /// A writer in this format.
    pub fn new(out: W, format: Format, view: View) -> Self {
        Self {
            out,
            format,
            view,
            columns: Vec::new(),
            table: Vec::new(),
            rows: 0,
            missing: None,
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The columns, once, before the rows.
    ///
    /// # Errors
    /// They cannot be written, or two have one name where names must differ.
    pub fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.columns = columns.to_vec();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        match self.format {
            Format::Table | Format::Vertical => Ok(()),
            Format::Csv => {
                let names: Vec<Cell> = names
                    .iter()
                    .map(|name| Some(name.as_bytes().to_vec()))
                    .collect();
                self.csv(&names)
            }
            Format::Tsv => {
                let escaped: Vec<Vec<u8>> =
                    names.iter().map(|name| escape(name.as_bytes())).collect();
                self.tsv(&escaped)
            }
            Format::Ndjson => {
                let mut seen = std::collections::HashSet::new();
                match names.iter().find(|name| !seen.insert(**name)) {
                    Some(twice) => Err(Error::usage(format!(
                        "two columns are called `{twice}`, and an object has one value for a name"
                    ))
                    .next("give them aliases, or take --output json")),
                    None => Ok(()),
                }
            }
            Format::Json => {
                let head = serde_json::to_string(columns)
                    .map_err(|cause| Error::usage("could not write JSON").cause(cause))?;
                self.write(format!("{{\"columns\":{head},\n\"rows\":[").as_bytes())
            }
        }
    }

    /// A row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, row: &Row) -> Result<()> {
        self.rows += 1;
        match self.format {
            Format::Table => {
                let cells = self
                    .cells(row)
                    .map(|(column, cell)| text(column, cell))
                    .collect();
                self.table.push(cells);
                Ok(())
            }
            Format::Vertical => {
                let width = self
                    .columns
                    .iter()
                    .map(|c| c.name.chars().count())
                    .max()
                    .unwrap_or(0);
                let mut lines = format!("{0} {1}. row {0}\n", "*".repeat(27), self.rows);
                for (column, cell) in self.cells(row) {
                    lines.push_str(&format!(
                        "{:>width$}: {}\n",
                        column.name,
                        text(column, cell)
                    ));
                }
                self.write(lines.as_bytes())
            }
            Format::Csv => {
                let fields: Vec<Cell> = self
                    .cells(row)
                    .map(|(column, cell)| cell.as_ref().map(|_| text(column, cell).into_bytes()))
                    .collect();
                self.csv(&fields)
            }
            Format::Tsv => {
                let fields: Vec<Vec<u8>> = row
                    .iter()
                    .map(|cell| match cell {
                        None => b"NULL".to_vec(),
                        Some(bytes) => escape(bytes),
                    })
                    .collect();
                self.tsv(&fields)
            }
            Format::Json => {
                let values: Vec<Value> = self.cells(row).map(|(c, cell)| json(c, cell)).collect();
                let comma = if self.rows == 1 { "\n" } else { ",\n" };
                self.write(format!("{comma}{}", Value::from(values)).as_bytes())
            }
            Format::Ndjson => {
                let object: Map<String, Value> = self
                    .cells(row)
                    .map(|(column, cell)| (column.name.clone(), json(column, cell)))
                    .collect();
                self.write(format!("{}\n", Value::Object(object)).as_bytes())
            }
        }
    }

    /// What the answer is without, for the end of a JSON document: nothing may be in the list, and
    /// without a list nothing could have been.
    pub fn missing(&mut self, missing: Vec<Missing>) {
        self.missing = Some(missing);
    }

    /// What stands behind the rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<()> {
        match self.format {
            Format::Table => {
                let mut table = self.view.table(self.columns.iter().map(|c| c.name.clone()));
                for row in std::mem::take(&mut self.table) {
                    table.add_row(row);
                }
                let numbers: Vec<usize> = self
                    .columns
                    .iter()
                    .enumerate()
                    .filter(|(_, column)| column.kind.is_number())
                    .map(|(index, _)| index)
                    .collect();
                super::right_align(&mut table, &numbers);
                self.write(format!("{table}\n").as_bytes())?;
            }
            Format::Json => match &self.missing {
                None => self.write(b"\n]}\n")?,
                Some(missing) => {
                    let missing = serde_json::to_string(missing)
                        .map_err(|cause| Error::usage("could not write JSON").cause(cause))?;
                    self.write(format!("\n],\n\"missing\":{missing}}}\n").as_bytes())?;
                }
            },
            _ => {}
        }
        self.out.flush().map_err(|cause| Error::output(&cause))
    }

    fn cells<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a Column, &'a Cell)> {
        self.columns.iter().zip(row)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|cause| Error::output(&cause))
    }

    /// RFC 4180, in which NULL and an empty text are told apart by the quotes. Only a record of
    /// nothing but NULL has quotes: without them it would read as no record at all.
    fn csv(&mut self, fields: &[Cell]) -> Result<()> {
        let mut line = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            match field {
                None if fields.len() == 1 => line.extend_from_slice(b"\"\""),
                None => {}
                Some(text) if needs_quotes(text) => {
                    line.push(b'"');
                    for byte in text {
                        if *byte == b'"' {
                            line.push(b'"');
                        }
                        line.push(*byte);
                    }
                    line.push(b'"');
                }
                Some(text) => line.extend_from_slice(text),
            }
        }
        line.extend_from_slice(b"\r\n");
        self.write(&line)
    }

    fn tsv(&mut self, fields: &[Vec<u8>]) -> Result<()> {
        let mut line = fields.join(&b'\t');
        line.push(b'\n');
        self.write(&line)
    }
}

fn needs_quotes(text: &[u8]) -> bool {
    text.is_empty()
        || text
            .iter()
            .any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
}

/// The batch mode's escapes (MySQL reference manual, "mysql Client Options", `--batch`).
fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            other => out.push(*other),
        }
    }
    out
}

/// A cell for a person.
fn text(column: &Column, cell: &Cell) -> String {
    match cell {
        None => "NULL".to_owned(),
        Some(bytes) if column.kind.is_bytes() => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{digits}")
        }
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn json(column: &Column, cell: &Cell) -> Value {
    let Some(bytes) = cell else {
        return Value::Null;
    };
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match column.kind {
        kind if kind.is_bytes() => {
            Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Kind::Integer => {
            // ZEROFILL and YEAR have zeros before them, which a JSON number must not have.
            let text = text();
            let unsigned = text.parse::<u64>().map(Value::from);
            let signed = || text.parse::<i64>().map(Value::from);
            unsigned
                .or_else(|_| signed())
                .unwrap_or_else(|_| Value::from(text.clone()))
        }
        Kind::Float | Kind::Double => {
            let text = text();
            serde_json::from_str(&text).unwrap_or(Value::from(text))
        }
        _ => Value::from(text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::cell::Padding;

    fn written(format: Format) -> String {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
            scale: 0,
            cast: None,
            padding: Padding::No,
        };
        let columns = [
            column("id", Kind::Integer),
            column("price", Kind::Decimal),
            column("token", Kind::Binary),
            column("note", Kind::Text),
        ];
        let cell = |bytes: &[u8]| Some(bytes.to_vec());
        let mut out = Vec::new();
        let mut writer = AnswerWriter::new(&mut out, format, View::default());
        writer.columns(&columns).unwrap();
        let rows = [
            vec![
                cell(b"18446744073709551615"),
                cell(b"1.50"),
                cell(&[0, 255]),
                cell(b"a\t\"b\",\nc\\"),
            ],
            vec![cell(b"-1"), None, None, cell("中".as_bytes())],
        ];
        for row in &rows {
            writer.row(row).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn csv_tells_null_from_an_empty_text() {
        let mut out = Vec::new();
        let mut writer = AnswerWriter::new(&mut out, Format::Csv, View::default());
        let cell = |text: &str| Some(text.as_bytes().to_vec());
        for row in [
            vec![None, cell("")],
            vec![cell("a\rb"), cell(" c ")],
            vec![None],
            vec![cell("")],
        ] {
            writer.csv(&row).unwrap();
        }
        drop(writer);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            ",\"\"\r\n\"a\rb\", c \r\n\"\"\r\n\"\"\r\n"
        );
    }

    #[test]
    fn each_format_keeps_every_value() {
        insta::assert_snapshot!(written(Format::Ndjson), @r#"
        {"id":18446744073709551615,"price":"1.50","token":"AP8=","note":"a\t\"b\",\nc\\"}
        {"id":-1,"price":null,"token":null,"note":"中"}
        "#);
        assert_eq!(
            written(Format::Csv),
            "id,price,token,note\r\n18446744073709551615,1.50,0x00ff,\"a\t\"\"b\"\",\nc\\\"\r\n-1,,,中\r\n"
        );
        assert_eq!(
            written(Format::Tsv),
            "id\tprice\ttoken\tnote\n18446744073709551615\t1.50\t\\0\u{fffd}\ta\\t\"b\",\\nc\\\\\n-1\tNULL\tNULL\t中\n"
        );
        let json: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(json["rows"][0][0], u64::MAX);
        assert_eq!(json["columns"][1]["kind"], "decimal");
        insta::assert_snapshot!(written(Format::Vertical), @r#"
        *************************** 1. row ***************************
           id: 18446744073709551615
        price: 1.50
        token: 0x00ff
         note: a	"b",
        c\
        *************************** 2. row ***************************
           id: -1
        price: NULL
        token: NULL
         note: 中
        "#);
    }
}
