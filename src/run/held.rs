//! Rows that are held back until the whole answer is known to be right.
//!
//! Some answers can be refused at their last row: a text that the servers do not order as they
//! compare it. What was shown by then would be a wrong answer, and the statement could not be
//! gathered instead. So their rows wait: the first of them in memory, the rest in a file that has no
//! name and is gone with the program.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use super::query::Sink;
use crate::error::{Error, Result};
use crate::rows::cell::{Cell, Column, Row};

/// Bytes of rows that wait in memory.
const MEMORY_BYTES: usize = 8 << 20;

/// What stands for the length of a cell that is NULL.
const NULL: u64 = u64::MAX;

/// An answer that waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    columns: Vec<Column>,
    /// The first rows, and about how many bytes they are.
    rows: Vec<Row>,
    bytes: usize,
    /// The rows behind them, and how many they are.
    file: Option<BufWriter<File>>,
    filed: u64,
}

impl Held {
    /// Gives all of it on.
    pub(super) fn give(self, sink: &mut dyn Sink) -> Result<()> {
        sink.columns(&self.columns)?;
        for row in self.rows {
            sink.row(row)?;
        }
        let Some(file) = self.file else {
            return Ok(());
        };
        let mut file = file
            .into_inner()
            .map_err(|cause| failed(&cause.into_error()))?;
        file.seek(SeekFrom::Start(0))
            .map_err(|cause| failed(&cause))?;
        let mut file = BufReader::new(file);
        for _ in 0..self.filed {
            sink.row(read(&mut file, self.columns.len()).map_err(|cause| failed(&cause))?)?;
        }
        Ok(())
    }
}

impl Sink for Held {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: Row) -> Result<()> {
        let bytes: usize = row.iter().map(size).sum();
        if self.file.is_none() && self.bytes + bytes <= MEMORY_BYTES {
            self.bytes += bytes;
            self.rows.push(row);
            return Ok(());
        }
        let mut write = || {
            if self.file.is_none() {
                self.file = Some(BufWriter::new(tempfile::tempfile()?));
            }
            match &mut self.file {
                Some(file) => write(file, &row),
                None => Ok(()),
            }
        };
        write().map_err(|cause| failed(&cause))?;
        self.filed += 1;
        Ok(())
    }
}

/// Bytes that a cell takes in memory, about.
fn size(cell: &Cell) -> usize {
    size_of::<Cell>() + cell.as_ref().map_or(0, Vec::len)
}

fn failed(cause: &std::io::Error) -> Error {
    Error::server("could not hold the answer in a temporary file")
        .cause(cause)
        .next("TMPDIR names a folder with more room")
}

fn write(file: &mut impl Write, row: &Row) -> std::io::Result<()> {
    for cell in row {
        match cell {
            None => file.write_all(&NULL.to_le_bytes())?,
            Some(bytes) => {
                file.write_all(&(bytes.len() as u64).to_le_bytes())?;
                file.write_all(bytes)?;
            }
        }
    }
    Ok(())
}

fn read(file: &mut impl Read, cells: usize) -> std::io::Result<Row> {
    let mut row = Row::with_capacity(cells);
    for _ in 0..cells {
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        row.push(match usize::try_from(length) {
            Ok(length) if length as u64 != NULL => {
                let mut bytes = vec![0; length];
                file.read_exact(&mut bytes)?;
                Some(bytes)
            }
            _ => None,
        });
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Taken(Vec<Row>);

    impl Sink for Taken {
        fn columns(&mut self, _: &[Column]) -> Result<()> {
            Ok(())
        }

        fn row(&mut self, row: Row) -> Result<()> {
            self.0.push(row);
            Ok(())
        }
    }

    #[test]
    fn rows_come_back_in_their_order_from_memory_and_from_the_file() {
        use crate::rows::cell::{Kind, Padding};
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::Text,
            scale: 0,
            cast: None,
            padding: Padding::No,
        };
        let rows: Vec<Row> = (0..40u8)
            .map(|number| match number % 3 {
                0 => vec![None, Some(vec![number; 1 << 20])],
                1 => vec![Some(Vec::new()), None],
                _ => vec![Some(vec![number]), Some(b"\0\xff".to_vec())],
            })
            .collect();
        let mut held = Held::default();
        held.columns(&[column("a"), column("b")]).unwrap();
        for row in &rows {
            held.row(row.clone()).unwrap();
        }
        assert!(
            held.filed > 10 && held.rows.len() > 7,
            "{} in the file",
            held.filed
        );
        let mut taken = Taken::default();
        held.give(&mut taken).unwrap();
        assert_eq!(taken.0, rows);
    }
}
