//! Keys from a server, a file or stdin into a tally.
//!
//! What reads and what counts are two threads with a short queue between them, so that neither
//! waits for the other for long and memory stays small. The order of the keys is kept, so the
//! answer is the same however they were cut into batches.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::io::{BufRead, Read};
use std::rc::Rc;

use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::mysql::Server;
use crate::mysql::sample::{KeyQuery, keys};
use crate::report::counted;
use crate::routing::skew::{KEY_BYTES_MAX, Key, ReadError, Reader, Tally, scrambled};
use crate::rows::key::KeyType;

/// Keys of a batch on its way to the counting thread.
const BATCH_KEYS: usize = 4_096;

/// Batches that wait at most.
const BATCHES: usize = 8;

/// Keys of which a file's sample of a stated size can consist: each is held in memory.
pub const SAMPLE_ROWS_MAX: u64 = 5_000_000;

/// Keys between two calls of the observer.
const REPORT_EVERY: u64 = 65_536;

/// Keys behind one another, without a piece of memory for each.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where each key ends, whether it is NULL, and the bytes of its row.
    keys: Vec<(usize, bool, u64)>,
}

/// Counts the keys of a live table. `seen` hears how many were counted.
///
/// # Errors
/// The server refuses, or a key is longer than any can be.
pub async fn table(
    server: &Server,
    query: &KeyQuery,
    kind: KeyType,
    mut tally: Tally,
    seen: impl Fn(u64) + Send + 'static,
) -> Result<Tally> {
    let (send, mut receive) = mpsc::channel::<Batch>(BATCHES);
    let counting = tokio::task::spawn_blocking(move || -> Result<Tally, ReadError> {
        let mut reader = Reader::new(kind);
        while let Some(batch) = receive.blocking_recv() {
            let mut start = 0;
            for (end, is_null, bytes) in batch.keys {
                let key = match is_null {
                    true => Key::Null,
                    false => reader.read(&batch.bytes[start..end], true)?,
                };
                tally.add(key, bytes);
                start = end;
            }
            seen(tally.keys());
        }
        Ok(tally)
    });
    let mut batch = Batch::default();
    let read = keys(server, query, |key, bytes| {
        if let Some(key) = &key {
            batch.bytes.extend_from_slice(key);
        }
        batch.keys.push((batch.bytes.len(), key.is_none(), bytes));
        let full = (batch.keys.len() >= BATCH_KEYS).then(|| std::mem::take(&mut batch));
        let send = &send;
        async move {
            match full {
                // Whoever counts has ended: what ended it is said below.
                Some(full) => send.send(full).await.is_ok(),
                None => true,
            }
        }
    })
    .await;
    let _ = send.send(batch).await;
    drop(send);
    let counted = counting
        .await
        .map_err(|cause| Error::unknown("the keys could not be counted").cause(cause))?;
    read?;
    counted.map_err(|fault| {
        Error::usage(format!(
            "column `{}` holds what cannot be a shard key",
            query.column
        ))
        .at(format!(
            "{}, `{}`.`{}`",
            server.place(),
            query.schema,
            query.table
        ))
        .cause(fault)
    })
}

/// How keys of a file are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// All of them.
    All,
    /// Each with this chance.
    Chance(f64),
    /// So many of them, each set of as many as likely as another.
    Rows(u64),
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A key on each line.
    Lines,
    /// CSV with a header that has this column.
    Named(String),
    /// CSV without a header; the column of this number, from 1.
    Numbered(usize),
}

/// A file of keys and how to read it.
#[derive(Debug, Clone)]
pub struct FileQuery {
    /// What it is called in errors: its path, or stdin.
    pub name: String,
    /// How its lines are cut.
    pub form: Form,
    /// The keys' type; by the first key where it is `None`: BIGINT if it is an integer, and
    /// VARCHAR if not.
    pub kind: Option<KeyType>,
    /// Which keys are taken.
    pub choice: Choice,
    /// Where the choice starts from.
    pub seed: u64,
}

/// What a file has given.
#[derive(Debug)]
pub struct FileTally {
    /// The counts.
    pub tally: Tally,
    /// Keys in the file, those not taken included.
    pub rows: u64,
    /// Lines without a key, which were left out.
    pub blank_lines: u64,
}

/// Counts the keys of a file. `tally` is asked for once the type is known.
///
/// # Errors
/// The file cannot be read, is empty, or a line holds no key of the type: which one.
pub fn file(
    input: &mut dyn BufRead,
    query: &FileQuery,
    tally: impl FnOnce(KeyType) -> Result<Tally>,
    seen: impl Fn(u64),
) -> Result<FileTally> {
    let mut counting = Counting {
        query,
        make: Some(tally),
        reader: None,
        tally: None,
        rows: 0,
        blank_lines: 0,
        drawn: Drawn::default(),
        seen,
    };
    match &query.form {
        Form::Lines => lines(input, query, &mut counting)?,
        Form::Named(_) | Form::Numbered(_) => records(input, query, &mut counting)?,
    }
    counting.finish()
}

struct Counting<'a, M, S> {
    query: &'a FileQuery,
    make: Option<M>,
    reader: Option<Reader>,
    tally: Option<Tally>,
    rows: u64,
    blank_lines: u64,
    drawn: Drawn,
    seen: S,
}

/// A sample of a stated size: the keys with the least priorities, with their places in the file.
#[derive(Debug, Default)]
struct Drawn(BinaryHeap<(u64, u64, Option<Vec<u8>>)>);

/// How a line of a file says NULL, as the servers' own exports do.
const NULL: &[u8] = b"\\N";

impl<M: FnOnce(KeyType) -> Result<Tally>, S: Fn(u64)> Counting<'_, M, S> {
    fn bad(&self, line: u64, fault: &dyn std::fmt::Display) -> Error {
        let error = Error::usage("a line holds no key of the stated type")
            .at(format!("{}, line {line}", self.query.name))
            .cause(fault);
        match (&self.query.kind, &self.reader) {
            (None, Some(reader)) => error.next(format!(
                "the first key was taken to say that all are {}; say --key-type if they are not",
                reader.kind()
            )),
            _ => error,
        }
    }

    fn key(&mut self, line: u64, bytes: &[u8]) -> Result<()> {
        let index = self.rows;
        self.rows += 1;
        if self.rows.is_multiple_of(REPORT_EVERY) {
            (self.seen)(self.rows);
        }
        if self.reader.is_none() {
            self.start(line, bytes)?;
        }
        let (Some(reader), Some(tally)) = (&mut self.reader, &mut self.tally) else {
            return Err(Error::unknown("the keys' type was not settled"));
        };
        // Every line is looked at, taken or not: a bad one is bad on every run.
        let key = match bytes {
            NULL => Key::Null,
            _ => match reader.read(bytes, false) {
                Ok(Key::Text(text)) if text.contains('\0') => {
                    return Err(self.bad(line, &"it holds a NUL byte: this is no list of keys"));
                }
                Ok(key) => key,
                Err(fault) => return Err(self.bad(line, &fault)),
            },
        };
        let priority = scrambled(index ^ self.query.seed.rotate_left(32));
        match self.query.choice {
            Choice::All => tally.add(key, 0),
            Choice::Chance(chance) => {
                if (priority as f64) < chance * u64::MAX as f64 {
                    tally.add(key, 0);
                }
            }
            Choice::Rows(rows) => {
                let heap = &mut self.drawn.0;
                let owned = || (bytes != NULL).then(|| bytes.to_vec());
                if (heap.len() as u64) < rows {
                    heap.push((priority, index, owned()));
                } else if let Some(mut worst) = heap.peek_mut()
                    && priority < worst.0
                {
                    *worst = (priority, index, owned());
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, line: u64, bytes: &[u8]) -> Result<()> {
        let kind = match &self.query.kind {
            Some(kind) => kind.clone(),
            None => {
                let bigint = KeyType::Integer {
                    bytes: 8,
                    unsigned: false,
                };
                let varchar = KeyType::Text {
                    collation: None,
                    trims: false,
                };
                match Reader::new(bigint.clone()).read(bytes, false) {
                    Ok(_) => bigint,
                    Err(_) => varchar,
                }
            }
        };
        let make = self.make.take().ok_or_else(|| {
            Error::unknown("the keys' type was settled twice").at(line.to_string())
        })?;
        self.tally = Some(make(kind.clone())?);
        self.reader = Some(Reader::new(kind));
        Ok(())
    }

    fn finish(self) -> Result<FileTally> {
        let empty = || {
            Error::usage("there are no keys in the file")
                .at(self.query.name.clone())
                .next("one key a line, or CSV with --sample-column")
        };
        let (Some(mut reader), Some(mut tally)) = (self.reader, self.tally) else {
            return Err(empty());
        };
        // In the file's order, as if the others had not been there.
        let mut drawn = self.drawn.0.into_vec();
        drawn.sort_unstable_by_key(|(_, index, _)| *index);
        for (_, _, bytes) in drawn {
            match bytes {
                None => tally.add(Key::Null, 0),
                Some(bytes) => {
                    // It was read before.
                    let key = reader
                        .read(&bytes, false)
                        .map_err(|fault| Error::unknown("a key changed").cause(fault))?;
                    tally.add(key, 0);
                }
            }
        }
        Ok(FileTally {
            tally,
            rows: self.rows,
            blank_lines: self.blank_lines,
        })
    }
}

fn unreadable(query: &FileQuery, cause: &dyn std::fmt::Display) -> Error {
    Error::usage("could not read the keys")
        .at(query.name.clone())
        .cause(cause)
}

/// The mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn lines<M: FnOnce(KeyType) -> Result<Tally>, S: Fn(u64)>(
    input: &mut dyn BufRead,
    query: &FileQuery,
    counting: &mut Counting<'_, M, S>,
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut line: u64 = 0;
    loop {
        buffer.clear();
        line += 1;
        // A file without line breaks must not fill the memory.
        let limit = KEY_BYTES_MAX as u64 + 8;
        let read = input
            .take(limit)
            .read_until(b'\n', &mut buffer)
            .map_err(|cause| unreadable(query, &cause))?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == limit && buffer.last() != Some(&b'\n') {
            let fault = format!("it is longer than the {KEY_BYTES_MAX} bytes that a key can have");
            return Err(counting.bad(line, &fault));
        }
        let mut key = buffer.as_slice();
        if line == 1 {
            key = key.strip_prefix(BYTE_ORDER_MARK).unwrap_or(key);
        }
        key = key.strip_suffix(b"\n").unwrap_or(key);
        key = key.strip_suffix(b"\r").unwrap_or(key);
        // Most files end in one, and a text of nothing is no key that anyone has on purpose; CSV
        // can say it: `""`.
        match key.is_empty() {
            true => counting.blank_lines += 1,
            false => counting.key(line, key)?,
        }
    }
}

fn records<M: FnOnce(KeyType) -> Result<Tally>, S: Fn(u64)>(
    input: &mut dyn BufRead,
    query: &FileQuery,
    counting: &mut Counting<'_, M, S>,
) -> Result<()> {
    let has_header = matches!(query.form, Form::Named(_));
    let left = Rc::new(Cell::new(RECORD_BYTES_MAX));
    let input = Records {
        input: input.chain(END_MARK),
        left: left.clone(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(has_header)
        .flexible(true)
        .from_reader(input);
    let column = match &query.form {
        Form::Named(name) => {
            let header = reader
                .byte_headers()
                .map_err(|cause| unreadable(query, &cause))?;
            if is_end(header) {
                return Ok(());
            }
            if is_unclosed(header) {
                return Err(counting.bad(1, &UNCLOSED));
            }
            let names: Vec<String> = header
                .iter()
                .map(|field| String::from_utf8_lossy(field).trim().to_owned())
                .collect();
            names
                .iter()
                .position(|field| field.to_lowercase() == name.to_lowercase())
                .ok_or_else(|| {
                    let mut listed = names.join(", ");
                    if listed.chars().count() > 200 {
                        listed = listed.chars().take(200).chain(" ...".chars()).collect();
                    }
                    Error::usage(format!("the header has no column `{name}`"))
                        .at(format!("{}, line 1", query.name))
                        .cause(format!("it has: {}", listed.escape_debug()))
                })?
        }
        Form::Numbered(number) => number - 1,
        Form::Lines => 0,
    };
    let mut record = csv::ByteRecord::new();
    let mut ended = false;
    loop {
        left.set(RECORD_BYTES_MAX);
        // The reader's own, for an error says it only at times.
        let at = reader.position().line();
        let more = reader
            .read_byte_record(&mut record)
            .map_err(|cause| counting.bad(at, &cause))?;
        if !more {
            return Ok(());
        }
        let line = record.position().map_or(at, csv::Position::line);
        if is_unclosed(&record) {
            return Err(counting.bad(line, &UNCLOSED));
        }
        // Behind our own mark there is nothing; behind one that is the file's there is ours.
        if ended {
            return Err(counting.bad(at - 1, &"it holds a NUL byte: this is no list of keys"));
        }
        ended = is_end(&record);
        if ended {
            continue;
        }
        match record.get(column) {
            Some(field) => counting.key(line, field)?,
            None => {
                let fault = format!(
                    "it has {}, and the key is in column {}",
                    counted(record.len() as u64, "column"),
                    column + 1
                );
                return Err(counting.bad(line, &fault));
            }
        }
    }
}

/// What is put behind a CSV file: a record of its own. The reader takes the end of the file for
/// the end of a quote; where one is open, the mark is within it.
const END_MARK: &[u8] = b"\n\0\n";

fn is_end(record: &csv::ByteRecord) -> bool {
    record.len() == 1 && record.get(0) == Some(b"\0")
}

const UNCLOSED: &str = "a quote that opens in it is never closed";

fn is_unclosed(record: &csv::ByteRecord) -> bool {
    let last = record.iter().next_back();
    last.is_some_and(|field| field.ends_with(END_MARK))
}

/// Bytes of one record: a quote that is not closed must not read a whole file into memory.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// Input that may give so many bytes until `left` is set again.
struct Records<R> {
    input: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64).ok_or_else(|| {
            std::io::Error::other(format!(
                "it is longer than {} MiB; is a quote not closed?",
                RECORD_BYTES_MAX >> 20
            ))
        })?;
        self.left.set(left);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;
    use crate::routing::skew::{Function, Layout, Population, Skew};

    fn query(form: Form, choice: Choice) -> FileQuery {
        FileQuery {
            name: "keys.txt".to_owned(),
            form,
            kind: None,
            choice,
            seed: 1,
        }
    }

    fn count(text: &[u8], buffer: usize, query: &FileQuery) -> Result<Skew> {
        let layouts = [16, 64].map(|schemas| Layout::new(schemas, 1).unwrap());
        let counted = file(
            &mut BufReader::with_capacity(buffer, text),
            query,
            |kind| Ok(Tally::new(kind, &Function::ALL, &layouts)),
            |_| (),
        )?;
        Ok(counted.tally.finish(Population {
            rows: Some(counted.rows),
            is_sample: query.choice != Choice::All,
            row_bytes: None,
        }))
    }

    fn refused(text: &[u8], query: &FileQuery) -> String {
        count(text, 64, query).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_line() {
        let lines = query(Form::Lines, Choice::All);
        insta::assert_snapshot!(refused(b"", &lines), @r"
        there are no keys in the file
          where:  keys.txt
          next:   one key a line, or CSV with --sample-column
        ");
        insta::assert_snapshot!(refused(b"1\r\n2\r\nthree\r\n", &lines), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 3
          cause:  `three` is not an integer
          next:   the first key was taken to say that all are BIGINT; say --key-type if they are not
        ");
        insta::assert_snapshot!(refused(b"1\n \n2\n", &lines), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 2
          cause:  ` ` is not an integer
          next:   the first key was taken to say that all are BIGINT; say --key-type if they are not
        ");
        insta::assert_snapshot!(refused(b"\n\n", &lines), @r"
        there are no keys in the file
          where:  keys.txt
          next:   one key a line, or CSV with --sample-column
        ");
        insta::assert_snapshot!(refused(b"a\n\xff\xfe\n", &lines), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 2
          cause:  byte 1 is not UTF-8
          next:   the first key was taken to say that all are VARCHAR; say --key-type if they are not
        ");
        insta::assert_snapshot!(refused(b"\x7fELF\x02\x01\x01\x00\n", &lines), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 1
          cause:  it holds a NUL byte: this is no list of keys
          next:   the first key was taken to say that all are VARCHAR; say --key-type if they are not
        ");
        insta::assert_snapshot!(refused(&[b'1'; 1_000_000], &lines), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 1
          cause:  it is longer than the 3072 bytes that a key can have
        ");
        insta::assert_snapshot!(refused(b"170141183460469231731687303715884105728\n1\n", &FileQuery { kind: Some(KeyType::Integer { bytes: 8, unsigned: true }), ..lines }), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 1
          cause:  170141183460469231731687303715884105728 is outside BIGINT UNSIGNED, which holds 0 to 18446744073709551615
        ");
        insta::assert_snapshot!(refused(b"id,name\n1,a\n", &query(Form::Named("memberId".to_owned()), Choice::All)), @r"
        the header has no column `memberId`
          where:  keys.txt, line 1
          cause:  it has: id, name
        ");
        insta::assert_snapshot!(refused(b"1,a\n2,b\n3\n", &query(Form::Numbered(2), Choice::All)), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 3
          cause:  it has 1 column, and the key is in column 2
          next:   the first key was taken to say that all are VARCHAR; say --key-type if they are not
        ");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_refused() {
        let named = query(Form::Named("id".to_owned()), Choice::All);
        insta::assert_snapshot!(refused(b"id,name\n1,a\n2,\"b\n3,c\n", &named), @r"
        a line holds no key of the stated type
          where:  keys.txt, line 3
          cause:  a quote that opens in it is never closed
          next:   the first key was taken to say that all are BIGINT; say --key-type if they are not
        ");
        for text in ["\"id\n1\n2\n", "id\n\"1", "id\n1\n\""] {
            let error = refused(text.as_bytes(), &named);
            assert!(error.contains("never closed"), "{text:?}: {error}");
        }
        // Closed at the very end, with and without a line break, is closed.
        for text in ["id\n\"1\"", "id\n\"1\"\n", "id\r\n\"1\"\r\n\r\n"] {
            let skew = count(text.as_bytes(), 3, &named).unwrap();
            assert_eq!(skew.keys, 1, "{text:?}");
        }
        // Nothing of the file is taken for the mark behind it.
        let error = refused(b"id\n1\n\0\n2\n", &named);
        assert!(error.contains("NUL byte"), "{error}");
        // And not all of a large file is read into memory for it.
        let mut text = b"id\n\"".to_vec();
        text.resize(RECORD_BYTES_MAX as usize + 100_000, b'1');
        let error = refused(&text, &named);
        assert!(error.contains("it is longer than 64 MiB"), "{error}");
    }

    #[test]
    fn blank_lines_are_no_keys() {
        for kind in ["1\n\n2\r\n\r\n", "a\n\nb\n\n"] {
            let lines = query(Form::Lines, Choice::All);
            let counted = file(
                &mut BufReader::new(kind.as_bytes()),
                &lines,
                |kind| Ok(Tally::new(kind, &Function::ALL, &[])),
                |_| (),
            )
            .unwrap();
            assert_eq!((counted.rows, counted.blank_lines), (2, 2), "{kind:?}");
        }
    }

    #[test]
    fn lines_and_columns_of_the_same_keys_count_alike() {
        let lines = b"\xef\xbb\xbf1\n22\r\n\\N\n-333".as_slice();
        let csv = b"name,ID\n\"a,\nb\",1\nx,22\nx,\\N\nx,-333\n".as_slice();
        let one = count(lines, 8, &query(Form::Lines, Choice::All)).unwrap();
        let other = count(csv, 8, &query(Form::Named("id".to_owned()), Choice::All)).unwrap();
        assert_eq!((one.keys, one.nulls), (4, 1));
        assert_eq!(one, other);
    }

    #[test]
    fn a_sample_of_a_stated_size_has_it_and_is_the_same_again() {
        let text: String = (0..10_000).map(|n| format!("{n}\n")).collect();
        let drawn =
            |rows| count(text.as_bytes(), 64, &query(Form::Lines, Choice::Rows(rows))).unwrap();
        let skew = drawn(500);
        assert_eq!((skew.keys, skew.rows), (500, 10_000));
        assert_eq!(skew, drawn(500));
        assert_eq!(drawn(20_000).keys, 10_000);
        let tenth = count(
            text.as_bytes(),
            64,
            &query(Form::Lines, Choice::Chance(0.1)),
        )
        .unwrap();
        assert!((850..1150).contains(&tenth.keys), "{}", tenth.keys);
        assert_eq!(tenth.rows, 10_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn junk_is_counted_or_refused_and_chunks_do_not_matter(text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), Just(b','), Just(b'"'), any::<u8>()], 0..400), buffer in 1usize..50) {
            for form in [Form::Lines, Form::Numbered(1), Form::Named("1".to_owned())] {
                for choice in [Choice::All, Choice::Chance(0.5), Choice::Rows(3)] {
                    let query = query(form.clone(), choice);
                    let whole = count(&text, 1 << 16, &query);
                    prop_assert_eq!(&whole, &count(&text, buffer, &query));
                    if let Ok(skew) = whole {
                        for candidate in &skew.candidates {
                            prop_assert_eq!(candidate.shards.iter().map(|shard| shard.keys).sum::<u64>() + candidate.unplaced, skew.keys);
                        }
                    }
                }
            }
        }
    }
}
