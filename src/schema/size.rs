//! Bytes of a row on the disk, from its table's definition.
//!
//! What InnoDB makes of a row, in its default row format (DYNAMIC, 16 KiB pages), from the manual's
//! chapters "InnoDB Row Formats", "The Physical Structure of an InnoDB Index" and "Data Type Storage
//! Requirements", the same on both servers:
//!
//! - A clustered record has 5 bytes of header, 6 of transaction id, 7 of roll pointer, a bit for
//!   each nullable column, a length byte or two for each column of varying length, and the values.
//!   Without a primary key or a unique key over NOT NULL columns it has a row id of 6 bytes.
//! - A secondary record has the header, the key's columns and those of the primary key that are not
//!   among them.
//! - A page of 16,384 bytes has 16,252 for records and the directory, of which there is a slot of
//!   2 bytes for each 4 to 8 records. Keys that arrive in order, and rebuilt tables, fill pages to
//!   15/16; with keys in any other order pages are from 1/2 to 15/16 full.
//! - A value that makes a row larger than half a page lies on pages of its own, with 20 bytes left
//!   in the row.
//! - A segment that grows keeps one page in eight in reserve (`innodb_segment_reserve_factor`,
//!   12.5 %; fixed on MariaDB). What the servers report as `DATA_LENGTH` and `INDEX_LENGTH` counts
//!   it, and so does the disk.
//!
//! What a definition cannot say is given: how long texts are and how many values are NULL by a
//! [`Lengths`], measured on real rows, or the stated guess of [`GUESS`]; and in which order keys
//! arrive by [`Pages`], for the same definition takes almost twice the room when they come in the
//! worst one. Two or three rows of a member that come together, out of order among themselves, are
//! enough for that.

use serde::Serialize;

use super::{Collation, Column, ColumnType, Index, IndexKind, KeyPart, TableDef};

/// Bytes of a page that hold records: without the file header and trailer (38 + 8), the page
/// header with its segments (56), the infimum and supremum (26) and their two slots (4).
const PAGE_USABLE: f64 = 16_252.0;

/// Bytes of a page.
const PAGE: f64 = 16_384.0;

/// A row larger than this has its longest values moved to pages of their own.
const ROW_IN_PAGE_MAX: f64 = 8_126.0;

/// What is left in the row of a value that lies elsewhere.
const POINTER: f64 = 20.0;

/// Bytes of a page of such a value that hold it.
const OVERFLOW_USABLE: f64 = 16_338.0;

const RECORD_HEADER: f64 = 5.0;
const TRANSACTION_ID: f64 = 6.0;
const ROLL_POINTER: f64 = 7.0;
const ROW_ID: f64 = 6.0;

/// A slot of 2 bytes to 6 records on average.
const DIRECTORY: f64 = 2.0 / 6.0;

/// The page number in a record that points to a page below.
const CHILD_PAGE: f64 = 4.0;

/// Of the pages that a segment has, those it uses.
const SEGMENT_USED: f64 = 1.0 - 0.125;

/// Bytes that a row takes on the disk on average, with its share of pages that are not full.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RowSize {
    /// The row itself as it lies in the clustered index, values on pages of their own included:
    /// what the rule on large rows is about.
    pub record: f64,
    /// Its share of the clustered index, `DATA_LENGTH` by rows.
    pub data: f64,
    /// Its share of the secondary indexes, `INDEX_LENGTH` by rows.
    pub indexes: f64,
}

impl RowSize {
    /// Data and indexes, rounded up to whole bytes.
    pub fn total(&self) -> u64 {
        // Definitions are bounded (65,535 bytes to a row, 4 GiB to a value, 64 indexes).
        (self.data + self.indexes).ceil() as u64
    }
}

/// How full the pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// 15/16: the keys of every index arrive in order, or the table was rebuilt.
    Full,
    /// 1/2: they arrive in the worst order. No table stays above this.
    Half,
    /// This many percent. Keys that arrive in random order fill a tree to ln 2, 69 % (A. Yao, "On
    /// random 2-3 trees", 1978).
    Percent(u8),
}

/// Percent to which pages are full where nothing is known of the order in which keys arrive.
pub const RANDOM_FILL: u8 = 69;

impl Pages {
    fn fill(self) -> f64 {
        match self {
            Pages::Full => 15.0 / 16.0,
            Pages::Half => 0.5,
            Pages::Percent(percent) => f64::from(percent.clamp(1, 100)) / 100.0,
        }
    }
}

/// How a column is filled, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filled {
    /// Bytes of a value that is not NULL, as stored.
    pub bytes: f64,
    /// Share of the rows that are NULL, 0 to 1.
    pub nulls: f64,
}

/// Tells how a column of varying length is filled; `None` where it is not known.
pub trait Lengths {
    /// How this column is filled.
    fn filled(&self, column: &Column) -> Option<Filled>;
}

impl<F: Fn(&Column) -> Option<Filled>> Lengths for F {
    fn filled(&self, column: &Column) -> Option<Filled> {
        self(column)
    }
}

/// Nothing is known: see [`GUESS`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

impl Lengths for Unknown {
    fn filled(&self, _: &Column) -> Option<Filled> {
        None
    }
}

/// What is taken of a column where nothing is known, in words for a report.
pub const GUESS: &str = "texts are taken as half as long as they may be up to 20 characters, and an \
                         eighth of what they may be above that; one character in four as a long \
                         one; TEXT, BLOB and JSON as 512 bytes; one in five nullable values as NULL";

/// Share of the values of a nullable column that are taken as NULL.
const NULLS: f64 = 0.2;

/// Bytes that a value of a type without a declared length is taken to have.
const LONG_VALUE: f64 = 512.0;

/// Bytes that a type this tool does not know is taken to have (UUID and INET6 have 16).
const OTHER_VALUE: f64 = 16.0;

/// Bytes of an average row of this table.
pub fn row_size(table: &TableDef, lengths: &dyn Lengths, pages: Pages) -> RowSize {
    let stored = || {
        let virtual_column = |c: &&Column| c.generated.as_ref().is_some_and(|g| !g.stored);
        table.columns.iter().filter(move |c| !virtual_column(c))
    };
    let mut fields: Vec<Field> = stored().map(|column| field(column, lengths)).collect();
    let clustered = clustered_key(table);
    let mut record = RECORD_HEADER
        + TRANSACTION_ID
        + ROLL_POINTER
        + if clustered.is_some() { 0.0 } else { ROW_ID }
        + null_bytes(stored().filter(|column| column.nullable).count())
        + fields.iter().map(Field::bytes).sum::<f64>();
    let overflow = overflow(&mut record, &mut fields);

    let key: Vec<KeyPart> = clustered.map(<[KeyPart]>::to_vec).unwrap_or_default();
    let key_bytes = match clustered {
        Some(parts) => key_bytes(table, parts, lengths),
        None => ROW_ID,
    };
    let indexes = table
        .indexes
        .iter()
        .filter(|index| clustered != Some(index.parts.as_slice()))
        .map(|index| index_size(table, index, &key, key_bytes, lengths, pages.fill()))
        // Not sum(): that of nothing is -0.
        .fold(0.0, |sum, bytes| sum + bytes);
    RowSize {
        record: record + overflow,
        data: tree(record, key_bytes, pages.fill()) + overflow / SEGMENT_USED,
        indexes,
    }
}

/// Share of a row in a B-tree: its place in a leaf, and its part of the pages above.
fn tree(record: f64, key: f64, fill: f64) -> f64 {
    let leaf = (record + DIRECTORY) / (PAGE_USABLE * fill);
    // Each page above has one record for each page below.
    let fan_out = (PAGE_USABLE * fill) / (RECORD_HEADER + key + CHILD_PAGE + DIRECTORY);
    let above = leaf / (fan_out - 1.0).max(1.0);
    (leaf + above) * PAGE / SEGMENT_USED
}

fn index_size(
    table: &TableDef,
    index: &Index,
    clustered: &[KeyPart],
    clustered_bytes: f64,
    lengths: &dyn Lengths,
    fill: f64,
) -> f64 {
    match index.kind {
        // An entry for each word is beyond a definition; the text's own size is a fair measure.
        IndexKind::Fulltext => key_bytes(table, &index.parts, lengths),
        // A bounding box of four doubles.
        IndexKind::Spatial => tree(RECORD_HEADER + 32.0 + clustered_bytes, 32.0, fill),
        IndexKind::Plain | IndexKind::Unique => {
            let is_in = |part: &KeyPart| {
                let same = |other: &&KeyPart| other.column.eq_ignore_ascii_case(&part.column);
                // A prefix does not hold the whole column: it is added once more.
                index
                    .parts
                    .iter()
                    .find(same)
                    .is_some_and(|p| p.prefix.is_none())
            };
            let added: Vec<KeyPart> = clustered.iter().filter(|p| !is_in(p)).cloned().collect();
            let added = match clustered {
                [] => ROW_ID,
                _ => key_bytes(table, &added, lengths),
            };
            let nullable = index
                .parts
                .iter()
                .filter(|part| {
                    table
                        .column(&part.column)
                        .is_none_or(|column| column.nullable)
                })
                .count();
            let key = null_bytes(nullable) + key_bytes(table, &index.parts, lengths) + added;
            tree(RECORD_HEADER + key, key, fill)
        }
    }
}

/// The key that InnoDB clusters by: the primary key, or the first unique key without NULL.
fn clustered_key(table: &TableDef) -> Option<&[KeyPart]> {
    if !table.primary_key.is_empty() {
        return Some(&table.primary_key);
    }
    table.unique_keys().find(|parts| {
        parts.iter().all(|part| {
            part.prefix.is_none() && table.column(&part.column).is_some_and(|c| !c.nullable)
        })
    })
}

fn key_bytes(table: &TableDef, parts: &[KeyPart], lengths: &dyn Lengths) -> f64 {
    parts
        .iter()
        .map(|part| match table.column(&part.column) {
            Some(column) => {
                let field = field(column, lengths);
                match part.prefix {
                    Some(prefix) => field.at_most(f64::from(prefix) * bytes_max_per_char(column)),
                    None => field.bytes(),
                }
            }
            // An expression: its result's type is not in the definition.
            None => OTHER_VALUE,
        })
        .sum()
}

/// A bit for each nullable column, in whole bytes.
fn null_bytes(columns: usize) -> f64 {
    columns.div_ceil(8) as f64
}

/// A column in a record.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// Bytes of a value that is not NULL.
    value: f64,
    /// Bytes that say its length.
    prefix: f64,
    /// Share of rows that have a value: NULL takes a bit only.
    present: f64,
    /// Whether it can lie on pages of its own.
    movable: bool,
}

impl Field {
    fn bytes(&self) -> f64 {
        (self.value + self.prefix) * self.present
    }

    fn at_most(&self, bytes: f64) -> f64 {
        (self.value.min(bytes) + self.prefix) * self.present
    }
}

/// Moves the longest values out of a record that is too large; gives the bytes of their pages.
fn overflow(record: &mut f64, fields: &mut [Field]) -> f64 {
    let mut pages = 0.0;
    while *record > ROW_IN_PAGE_MAX {
        let longest = fields
            .iter_mut()
            .filter(|field| field.movable && field.value > 2.0 * POINTER)
            .max_by(|a, b| a.bytes().total_cmp(&b.bytes()));
        let Some(field) = longest else { break };
        *record -= (field.value - POINTER) * field.present;
        pages += (field.value / OVERFLOW_USABLE).ceil() * field.present;
        field.movable = false;
    }
    pages * PAGE
}

fn field(column: &Column, lengths: &dyn Lengths) -> Field {
    let filled = lengths.filled(column);
    let present = match (column.nullable, filled) {
        (false, _) => 1.0,
        (true, Some(filled)) => 1.0 - filled.nulls.clamp(0.0, 1.0),
        (true, None) => 1.0 - NULLS,
    };
    let fixed = |bytes: f64| Field {
        value: bytes,
        prefix: 0.0,
        present,
        movable: false,
    };
    let known = filled.map(|filled| filled.bytes.max(0.0));
    // One byte says a length up to 127, or any where none can pass 255; else two.
    let varying = |guess: f64, least: f64, most: f64| {
        let value = known.unwrap_or(guess).clamp(least.min(most), most);
        let prefix = if most <= 255.0 || value <= 127.0 {
            1.0
        } else {
            2.0
        };
        Field {
            value,
            prefix,
            present,
            movable: true,
        }
    };
    match &column.kind {
        ColumnType::Integer { bytes, .. } => fixed(f64::from(*bytes)),
        ColumnType::Decimal {
            precision, scale, ..
        } => fixed(decimal_bytes(*precision, *scale)),
        ColumnType::Float { .. } => fixed(4.0),
        ColumnType::Double { .. } => fixed(8.0),
        ColumnType::Bit { bits } => fixed(f64::from(bits.div_ceil(8))),
        ColumnType::Char { chars, collation } => {
            let (least, most) = char_bytes(collation);
            let chars = f64::from(*chars);
            match least == most {
                true => fixed(chars * most),
                // Trailing spaces are cut as far as one byte for each character is left.
                false => varying(chars, chars, chars * most),
            }
        }
        ColumnType::Varchar { chars, collation } => {
            let most = f64::from(*chars) * char_bytes(collation).1;
            varying(guessed_chars(*chars) * average_char(collation), 0.0, most)
        }
        ColumnType::Binary { bytes } => fixed(f64::from(*bytes)),
        ColumnType::Varbinary { bytes } => varying(guessed_chars(*bytes), 0.0, f64::from(*bytes)),
        ColumnType::Text { length_bytes, .. } | ColumnType::Blob { length_bytes } => {
            let most = 256f64.powi(i32::from(*length_bytes)) - 1.0;
            varying(LONG_VALUE.min(most / 2.0), 0.0, most)
        }
        ColumnType::Json => varying(LONG_VALUE, 0.0, 256f64.powi(4) - 1.0),
        ColumnType::Enum { values, .. } => fixed(if values.len() < 256 { 1.0 } else { 2.0 }),
        ColumnType::Set { values, .. } => fixed(match values.len().div_ceil(8) {
            bytes @ 0..=4 => bytes.max(1) as f64,
            _ => 8.0,
        }),
        ColumnType::Date => fixed(3.0),
        ColumnType::Time { fraction } => fixed(3.0 + fraction_bytes(*fraction)),
        ColumnType::Datetime { fraction } => fixed(5.0 + fraction_bytes(*fraction)),
        ColumnType::Timestamp { fraction } => fixed(4.0 + fraction_bytes(*fraction)),
        ColumnType::Year => fixed(1.0),
        ColumnType::Other(_) => fixed(known.unwrap_or(OTHER_VALUE)),
    }
}

/// Nine digits take four bytes, before the point and behind it; what is left over fewer.
fn decimal_bytes(precision: u8, scale: u8) -> f64 {
    const LEFT_OVER: [u32; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    let side = |digits: u8| u32::from(digits / 9) * 4 + LEFT_OVER[usize::from(digits % 9)];
    f64::from(side(precision.saturating_sub(scale)) + side(scale))
}

fn fraction_bytes(digits: u8) -> f64 {
    f64::from(digits.div_ceil(2))
}

fn guessed_chars(most: u32) -> f64 {
    let short = most.min(20);
    f64::from(short) / 2.0 + f64::from(most - short) / 8.0
}

/// Bytes of the shortest and of the longest character of a charset. The servers' default, where
/// none is named, is taken to be utf8mb4, as it is on MySQL and on MariaDB since 11.6.
fn char_bytes(collation: &Collation) -> (f64, f64) {
    let charset = collation.charset.as_deref().or_else(|| {
        let name = collation.name.as_deref()?;
        name.split('_').next()
    });
    match charset.unwrap_or("utf8mb4") {
        "utf8mb4" | "gb18030" => (1.0, 4.0),
        "utf8mb3" | "utf8" | "eucjpms" | "ujis" => (1.0, 3.0),
        "gbk" | "gb2312" | "big5" | "sjis" | "cp932" | "euckr" => (1.0, 2.0),
        "utf16" | "utf16le" => (2.0, 4.0),
        "ucs2" => (2.0, 2.0),
        "utf32" => (4.0, 4.0),
        _ => (1.0, 1.0),
    }
}

/// One character in four is a long one, of three bytes at most: longer ones are rare.
fn average_char(collation: &Collation) -> f64 {
    let (least, most) = char_bytes(collation);
    least + (most.min(3.0).max(least) - least) / 4.0
}

fn bytes_max_per_char(column: &Column) -> f64 {
    column.kind.collation().map_or(1.0, |c| char_bytes(c).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::parse::parse_create_table;

    fn table(body: &str) -> TableDef {
        parse_create_table(&format!("CREATE TABLE t ({body}) DEFAULT CHARSET=utf8mb4")).unwrap()
    }

    /// The record of a table with this column beside a BIGINT key, less what has nothing to do
    /// with the column: header, transaction id, roll pointer and key are 26 bytes.
    fn column_bytes(column: &str, filled: Option<Filled>) -> f64 {
        let table = table(&format!("k bigint NOT NULL, c {column}, PRIMARY KEY (k)"));
        row_size(&table, &|_: &Column| filled, Pages::Full).record - 26.0
    }

    #[test]
    fn types_take_what_the_manual_says() {
        for (column, bytes) in [
            ("tinyint NOT NULL", 1.0),
            ("mediumint NOT NULL", 3.0),
            ("int unsigned NOT NULL", 4.0),
            ("decimal(14,2) NOT NULL", 7.0),
            ("decimal(20,6) NOT NULL", 10.0),
            ("bit(9) NOT NULL", 2.0),
            ("date NOT NULL", 3.0),
            ("datetime NOT NULL", 5.0),
            ("datetime(3) NOT NULL", 7.0),
            ("timestamp(6) NOT NULL", 7.0),
            ("time NOT NULL", 3.0),
            ("year NOT NULL", 1.0),
            ("binary(16) NOT NULL", 16.0),
            ("enum('a','b') NOT NULL", 1.0),
            ("set('a','b','c') NOT NULL", 1.0),
            ("char(10) CHARACTER SET latin1 NOT NULL", 10.0),
            // Of varying length under a charset of several bytes: a length byte.
            ("char(10) NOT NULL", 11.0),
            // Half of 20 characters of 1.5 bytes, and the length byte.
            ("varchar(20) NOT NULL", 16.0),
            ("varchar(20) CHARACTER SET ascii NOT NULL", 11.0),
            // A byte for the NULL bit, a value in four of five rows.
            ("int NULL", 1.0 + 0.8 * 4.0),
            ("int GENERATED ALWAYS AS (k + 1) VIRTUAL", 0.0),
        ] {
            let found = column_bytes(column, None);
            assert!(
                (found - bytes).abs() < 1e-9,
                "{column}: {found}, not {bytes}"
            );
        }
    }

    #[test]
    fn measured_lengths_count_where_the_definition_leaves_them_open() {
        let filled = |bytes, nulls| Some(Filled { bytes, nulls });
        let check = |column: &str, filled, expected: f64| {
            let found = column_bytes(column, filled);
            assert!((found - expected).abs() < 1e-9, "{column}: {found}");
        };
        check("varchar(255) NOT NULL", filled(100.0, 0.0), 101.0);
        // More than 127 bytes of more than 255: two length bytes.
        check("varchar(255) NOT NULL", filled(130.0, 0.0), 132.0);
        check("varchar(60) NOT NULL", filled(130.0, 0.0), 131.0);
        check("varchar(255) NULL", filled(100.0, 0.5), 51.5);
        // A definition's bounds hold against a wrong measure.
        check("varchar(10) NOT NULL", filled(1e9, 0.0), 41.0);
        check("int NOT NULL", filled(100.0, 0.0), 4.0);
        check("char(10) NOT NULL", filled(3.0, 0.0), 11.0);
    }

    #[test]
    fn values_too_long_for_a_page_lie_on_their_own() {
        let filled = Some(Filled {
            bytes: 20_000.0,
            nulls: 0.0,
        });
        // Twenty bytes and two of length in the row, two pages beside it.
        assert_eq!(
            column_bytes("longtext NOT NULL", filled),
            22.0 + 2.0 * 16_384.0
        );
    }

    #[test]
    fn a_secondary_index_holds_the_primary_key() {
        let indexes = |text: &str| row_size(&table(text), &Unknown, Pages::Full).indexes;
        let narrow = indexes("k bigint NOT NULL, c int NOT NULL, PRIMARY KEY (k), KEY (c)");
        let wide = indexes(
            "k bigint NOT NULL, l bigint NOT NULL, c int NOT NULL, PRIMARY KEY (k, l), KEY (c)",
        );
        let inside = indexes("k bigint NOT NULL, c int NOT NULL, PRIMARY KEY (k), KEY (c, k)");
        assert!(wide > narrow + 8.0, "{wide} {narrow}");
        assert!((inside - narrow).abs() < 1e-9);
        assert!(indexes("k bigint NOT NULL, c int NOT NULL, PRIMARY KEY (k)") == 0.0);
    }

    #[test]
    fn half_full_pages_take_almost_twice_the_room() {
        let table = table("k bigint NOT NULL, c int NOT NULL, PRIMARY KEY (k), KEY (c)");
        let size = |pages| row_size(&table, &Unknown, pages);
        let (full, half) = (size(Pages::Full), size(Pages::Half));
        assert_eq!(full.record, half.record);
        for times in [half.data / full.data, half.indexes / full.indexes] {
            assert!((1.87..1.90).contains(&times), "{times}");
        }
    }

    #[test]
    fn without_a_primary_key_there_is_a_row_id_or_a_unique_key() {
        let size = |text: &str| row_size(&table(text), &Unknown, Pages::Full);
        assert_eq!(size("k bigint NOT NULL").record, 32.0);
        let unique = size("k bigint NOT NULL, UNIQUE KEY (k)");
        assert_eq!((unique.record, unique.indexes), (26.0, 0.0));
        let nullable = size("k bigint NULL, UNIQUE KEY (k)");
        assert!(nullable.indexes > 0.0);
    }

    proptest! {
        #[test]
        fn longer_values_never_take_less(short in 0.0f64..40_000.0, more in 0.0f64..40_000.0) {
            let bytes = |bytes| column_bytes("longtext NOT NULL", Some(Filled { bytes, nulls: 0.0 }));
            prop_assert!(bytes(short) <= bytes(short + more) + 1e-6);
        }
    }
}
