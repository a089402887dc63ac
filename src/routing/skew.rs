//! How evenly the shard functions spread real keys.
//!
//! A [`Tally`] hears every key once and answers for each function over each [`Layout`]. What it
//! holds does not grow with the keys:
//!
//! - Every function but `range` takes one number of the key modulo the tables, T: the key itself
//!   (`mod`), its absolute value (`drds_hash`, `drds_uni_hash`; the Java hash of a text) or its
//!   CRC-32. So the keys are counted by that number modulo a common multiple of the layouts' T, and
//!   each layout is folded from these counts at the end: `(x mod L) mod T = x mod T` where T
//!   divides L, and `(h div G) mod t` needs no more of h than `h mod (G t)`.
//! - The biggest keys are found by [`Frequent`], which states its error.
//! - `range` needs bounds before it can count. They are the quantiles of a bounded random sample;
//!   the other half of the sample is counted between them, for bounds judged by the keys that they
//!   were made of are always even.
//!
//! All of it depends on the keys and their order alone, never on how they were cut into chunks.

use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::str::FromStr;

use serde::Serialize;

use super::functions::{self, FunctionError};
use crate::rows::key::{KeyError, KeyType, KeyValue};
use crate::topology::ShardFunction;

/// Bytes of the longest key that is taken: the longest that InnoDB can index, so that no longer one
/// can be looked up by.
pub const KEY_BYTES_MAX: usize = 3_072;

/// Tables that a layout can have here.
pub const TABLES_MAX: u32 = 1_048_576;

/// Layouts that are counted together need a common multiple below this, or tables of their own.
const COMMON_MAX: u64 = 65_536;

/// Keys that [`Frequent`] keeps. Its error is at most two keys in so many.
pub const FREQUENT_MAX: usize = 16_384;

/// Keys kept for the bounds of ranges.
const QUANTILE_KEYS: usize = 65_536;

/// Keys that are called big, at most.
const BIGGEST_MAX: usize = 10;

/// Above this the fullest shard is called too full.
pub const UNEVEN: f64 = 1.25;

/// With fewer keys to a part than this, chance alone makes parts uneven.
const KEYS_PER_PART_MIN: u64 = 100;

/// A share of the keys in one class of remainders that makes it a pattern.
const PATTERN_SHARE: f64 = 0.9;

/// The chance that an interval misses, over all shards of a candidate together.
const MISSES: f64 = 0.05;

/// How many schemas and tables keys are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Layout {
    /// Schemas, that is shards.
    pub schemas: u32,
    /// Physical tables in each.
    pub tables_per_schema: u32,
}

impl Layout {
    /// So many schemas of so many tables; `None` where that is none or more than [`TABLES_MAX`].
    pub fn new(schemas: u32, tables_per_schema: u32) -> Option<Self> {
        let tables = schemas.checked_mul(tables_per_schema)?;
        (1..=TABLES_MAX).contains(&tables).then_some(Self {
            schemas,
            tables_per_schema,
        })
    }

    /// Physical tables in all.
    pub fn tables(self) -> u32 {
        self.schemas * self.tables_per_schema
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tables_per_schema {
            1 => write!(f, "{}", self.schemas),
            tables => write!(f, "{}x{tables}", self.schemas),
        }
    }
}

impl FromStr for Layout {
    type Err = String;

    /// `16`, or `16x4` for sixteen schemas of four tables.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "`{text}` is no number of shards; write 16, or 16x4 for four tables in each, at \
                 most {TABLES_MAX} tables in all"
            )
        };
        let (schemas, tables) = text.split_once('x').unwrap_or((text, "1"));
        let number = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse().ok(),
            false => None,
        };
        number(schemas)
            .zip(number(tables))
            .and_then(|(schemas, tables)| Self::new(schemas, tables))
            .ok_or_else(form)
    }
}

/// The shard functions that can be tried. `range` has no bounds here: it gets them from the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Function {
    /// Mathematical modulo.
    Mod,
    /// CRC-32 of the text.
    Crc32,
    /// DRDS HASH.
    DrdsHash,
    /// DRDS UNI_HASH.
    DrdsUniHash,
    /// Ranges of equal shares of these keys.
    Range,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 5] = [
        Function::Mod,
        Function::Crc32,
        Function::DrdsHash,
        Function::DrdsUniHash,
        Function::Range,
    ];

    /// The name in `topology.yaml`.
    pub fn name(self) -> &'static str {
        self.shard_function().name()
    }

    /// The one that a topology names.
    pub fn of(function: &ShardFunction) -> Self {
        match function {
            ShardFunction::Mod => Function::Mod,
            ShardFunction::Crc32 => Function::Crc32,
            ShardFunction::DrdsHash => Function::DrdsHash,
            ShardFunction::DrdsUniHash => Function::DrdsUniHash,
            ShardFunction::Range { .. } => Function::Range,
        }
    }

    /// Whether it is defined for keys of this type.
    pub fn takes(self, kind: &KeyType) -> bool {
        functions::takes(&self.shard_function(), kind)
    }

    fn shard_function(self) -> ShardFunction {
        match self {
            Function::Mod => ShardFunction::Mod,
            Function::Crc32 => ShardFunction::Crc32,
            Function::DrdsHash => ShardFunction::DrdsHash,
            Function::DrdsUniHash => ShardFunction::DrdsUniHash,
            Function::Range => ShardFunction::Range { bounds: Vec::new() },
        }
    }
}

/// A key as it is counted, without a copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// NULL.
    Null,
    /// An integer of any type.
    Integer(i128),
    /// Text.
    Text(&'a str),
    /// Bytes, padded where the type pads.
    Binary(&'a [u8]),
}

/// A text that cannot be taken as a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not of the key's type.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Longer than any key.
    #[error("{0} bytes are more than the {KEY_BYTES_MAX} that a key can have")]
    TooLong(usize),
    /// Bytes that are no text.
    #[error("byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// Nothing where an integer is to be.
    #[error("there is no key")]
    Empty,
}

/// Reads keys of one type from what a server or a file has written.
#[derive(Debug, Clone)]
pub struct Reader {
    kind: KeyType,
    bounds: Option<(i128, i128)>,
    padded: Vec<u8>,
}

impl Reader {
    /// A reader of keys of this type.
    pub fn new(kind: KeyType) -> Self {
        Self {
            bounds: kind.bounds(),
            kind,
            padded: Vec::new(),
        }
    }

    /// The type.
    pub fn kind(&self) -> &KeyType {
        &self.kind
    }

    /// Reads a key. In a file binary keys are written as `0x1f2e`; a server sends the bytes, and
    /// there `is_raw` holds.
    ///
    /// # Errors
    /// It is no key of this type.
    pub fn read<'a>(&'a mut self, bytes: &'a [u8], is_raw: bool) -> Result<Key<'a>, ReadError> {
        if bytes.len() > KEY_BYTES_MAX {
            return Err(ReadError::TooLong(bytes.len()));
        }
        if let Some((low, high)) = self.bounds {
            if let Some(number) = short_integer(bytes)
                && number >= low
                && number <= high
            {
                return Ok(Key::Integer(number));
            }
            return match self.kind.parse(utf8(bytes)?) {
                Ok(KeyValue::Integer(number)) => Ok(Key::Integer(number)),
                Ok(_) => Err(ReadError::Empty),
                Err(_) if bytes.is_empty() => Err(ReadError::Empty),
                Err(fault) => Err(fault.into()),
            };
        }
        match &self.kind {
            KeyType::Text { trims: true, .. } => Ok(Key::Text(utf8(bytes)?.trim_end_matches(' '))),
            KeyType::Text { trims: false, .. } | KeyType::Integer { .. } => {
                Ok(Key::Text(utf8(bytes)?))
            }
            KeyType::Binary { .. } => {
                let value = match is_raw {
                    true => self.kind.binary(bytes.to_vec())?,
                    false => match utf8(bytes) {
                        Ok(text) => self.kind.parse(text)?,
                        Err(_) => self.kind.binary(bytes.to_vec())?,
                    },
                };
                if let KeyValue::Binary(value) = value {
                    self.padded = value;
                }
                Ok(Key::Binary(&self.padded))
            }
        }
    }
}

/// Integers of up to 18 digits, as most are, in a few instructions a digit.
fn short_integer(bytes: &[u8]) -> Option<i128> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut number: i64 = 0;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = number * 10 + i64::from(value);
    }
    Some(i128::from(if negative { -number } else { number }))
}

fn utf8(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|fault| ReadError::NotUtf8(fault.valid_up_to() + 1))
}

/// The most frequent keys of a stream, in bounded memory (the method of Misra and Gries, made
/// cheap by taking the median off at once as in Apache DataSketches).
///
/// At most `capacity` keys are kept, each with a count. When one more comes, the median m of the
/// counts is taken off all of them, those that have no more than m go, and m is added to the error
/// e. So a key's true count is between its count and its count plus e, and a key that occurs more
/// than e times is kept. Each time at least half of the counts lose m, and no more can be lost than
/// came: e is at most 2 n / capacity after n keys.
#[derive(Debug, Clone)]
pub struct Frequent<K> {
    counts: HashMap<K, u64, BuildHasherDefault<DefaultHasher>>,
    capacity: usize,
    error: u64,
}

impl<K: Hash + Eq + Ord + Clone> Frequent<K> {
    /// Keeps at most so many keys.
    pub fn new(capacity: usize) -> Self {
        Self {
            counts: HashMap::default(),
            capacity: capacity.max(2),
            error: 0,
        }
    }

    /// A key has come so many times.
    pub fn add<Q>(&mut self, key: &Q, times: u64)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(count) = self.counts.get_mut(key) {
            *count += times;
            return;
        }
        if self.counts.len() >= self.capacity {
            self.purge();
        }
        self.counts.insert(key.to_owned(), times);
    }

    fn purge(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.error += median;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    /// By how much a count can be too low, and how often a key that is not kept can have come.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The keys with their least counts, the biggest first.
    pub fn biggest(&self, most: usize) -> Vec<(K, u64)> {
        let mut all: Vec<(K, u64)> = self
            .counts
            .iter()
            .map(|(key, count)| (key.clone(), *count))
            .collect();
        all.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        all.truncate(most);
        all
    }

    /// How many keys are kept: all that there were, where the error is 0.
    pub fn kept(&self) -> usize {
        self.counts.len()
    }
}

/// Rows and bytes of a class of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    rows: u64,
    bytes: u64,
}

impl Cell {
    fn add(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// Counts by a number of the key modulo a common multiple of some layouts' tables.
#[derive(Debug, Clone)]
struct Group {
    modulus: u32,
    /// By the key.
    plain: Option<Vec<Cell>>,
    /// By its absolute value, or a text's Java hash code's.
    absolute: Option<Vec<Cell>>,
    /// By its CRC-32.
    crc: Option<Vec<Cell>>,
}

/// Keys that `mod` has no place for.
#[derive(Debug, Clone, Default)]
struct NotIntegers {
    rows: u64,
    first: String,
}

/// What every key has in common.
#[derive(Debug, Clone, Copy)]
struct Integers {
    first: i128,
    least: i128,
    greatest: i128,
    /// The greatest common divisor of all distances from the first; 0 before there is one.
    step: u128,
}

#[derive(Debug, Clone)]
enum Biggest {
    Integers(Frequent<i128>),
    Bytes(Frequent<Vec<u8>>),
}

/// A bounded random sample of the keys for the bounds of ranges: those with the least priorities.
#[derive(Debug, Clone, Default)]
struct Quantiles(BinaryHeap<(u64, i128)>);

impl Quantiles {
    fn add(&mut self, index: u64, key: i128) {
        let priority = scrambled(index);
        if self.0.len() < QUANTILE_KEYS {
            self.0.push((priority, key));
        } else if let Some(mut worst) = self.0.peek_mut()
            && priority < worst.0
        {
            *worst = (priority, key);
        }
    }
}

/// A number that says nothing about `index` any more (SplitMix64's output function): the same in
/// every run, so that a sample can be taken again.
pub fn scrambled(index: u64) -> u64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Counts keys for every function and layout at once.
#[derive(Debug, Clone)]
pub struct Tally {
    kind: KeyType,
    functions: Vec<Function>,
    layouts: Vec<Layout>,
    groups: Vec<Group>,
    group_of: Vec<usize>,
    all: Cell,
    nulls: Cell,
    not_integers: NotIntegers,
    integers: Option<Integers>,
    biggest: Biggest,
    quantiles: Option<Quantiles>,
}

impl Tally {
    /// Counts for these functions, as far as they are defined for the type, and these layouts.
    pub fn new(kind: KeyType, functions: &[Function], layouts: &[Layout]) -> Self {
        let mut functions: Vec<Function> = functions
            .iter()
            .copied()
            .filter(|function| function.takes(&kind))
            .collect();
        functions.sort();
        functions.dedup();
        let mut layouts = layouts.to_vec();
        layouts.sort_by_key(|layout| (layout.tables(), layout.schemas));
        layouts.dedup();
        let mut moduli: Vec<u32> = Vec::new();
        let mut group_of = Vec::new();
        for layout in &layouts {
            let tables = layout.tables();
            let joined = moduli.iter().enumerate().find_map(|(at, modulus)| {
                let common = least_common_multiple(*modulus, tables);
                let limit = COMMON_MAX.max((*modulus).max(tables).into());
                (common <= limit).then_some((at, common as u32))
            });
            match joined {
                Some((at, common)) => {
                    moduli[at] = common;
                    group_of.push(at);
                }
                None => {
                    group_of.push(moduli.len());
                    moduli.push(tables);
                }
            }
        }
        let has = |wanted: &[Function]| wanted.iter().any(|one| functions.contains(one));
        let groups = moduli
            .into_iter()
            .map(|modulus| {
                let cells = |wanted: &[Function]| {
                    has(wanted).then(|| vec![Cell::default(); modulus as usize])
                };
                Group {
                    modulus,
                    plain: cells(&[Function::Mod]),
                    absolute: cells(&[Function::DrdsHash, Function::DrdsUniHash]),
                    crc: cells(&[Function::Crc32]),
                }
            })
            .collect();
        let is_integer = matches!(kind, KeyType::Integer { .. });
        Self {
            biggest: match is_integer {
                true => Biggest::Integers(Frequent::new(FREQUENT_MAX)),
                false => Biggest::Bytes(Frequent::new(FREQUENT_MAX)),
            },
            quantiles: (is_integer && has(&[Function::Range])).then(Quantiles::default),
            kind,
            functions,
            layouts,
            groups,
            group_of,
            all: Cell::default(),
            nulls: Cell::default(),
            not_integers: NotIntegers::default(),
            integers: None,
        }
    }

    /// Keys so far.
    pub fn keys(&self) -> u64 {
        self.all.rows
    }

    /// A row with this key and so many bytes.
    pub fn add(&mut self, key: Key<'_>, bytes: u64) {
        let index = self.all.rows;
        self.all.add(1, bytes);
        match key {
            Key::Null => self.nulls.add(1, bytes),
            Key::Integer(number) => self.add_integer(index, number, bytes),
            Key::Text(text) => {
                if let Biggest::Bytes(biggest) = &mut self.biggest {
                    biggest.add(text.as_bytes(), 1);
                }
                self.add_text(text, bytes);
            }
            Key::Binary(value) => {
                if let Biggest::Bytes(biggest) = &mut self.biggest {
                    biggest.add(value, 1);
                }
                let hash = crc32fast::hash(value);
                for group in &mut self.groups {
                    if let Some(cells) = &mut group.crc {
                        cells[(hash % group.modulus) as usize].add(1, bytes);
                    }
                }
            }
        }
    }

    fn add_integer(&mut self, index: u64, number: i128, bytes: u64) {
        match &mut self.integers {
            None => {
                self.integers = Some(Integers {
                    first: number,
                    least: number,
                    greatest: number,
                    step: 0,
                });
            }
            Some(seen) => {
                seen.least = seen.least.min(number);
                seen.greatest = seen.greatest.max(number);
                if seen.step != 1 {
                    seen.step = divisor(seen.step, number.abs_diff(seen.first));
                }
            }
        }
        if let Biggest::Integers(biggest) = &mut self.biggest {
            biggest.add(&number, 1);
        }
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.add(index, number);
        }
        let has_crc = self.groups.first().is_some_and(|group| group.crc.is_some());
        let crc = match has_crc {
            true => crc32fast::hash(functions::decimal(number, &mut [0; 40])),
            false => 0,
        };
        // Division by 128 bits is many times slower than by 64.
        let small = i64::try_from(number).ok();
        for group in &mut self.groups {
            let modulus = group.modulus;
            let rest = match small {
                Some(small) => (small.unsigned_abs() % u64::from(modulus)) as u32,
                None => (number.unsigned_abs() % u128::from(modulus)) as u32,
            };
            if let Some(cells) = &mut group.plain {
                let rest = match number < 0 && rest > 0 {
                    true => modulus - rest,
                    false => rest,
                };
                cells[rest as usize].add(1, bytes);
            }
            if let Some(cells) = &mut group.absolute {
                cells[rest as usize].add(1, bytes);
            }
            if let Some(cells) = &mut group.crc {
                cells[(crc % modulus) as usize].add(1, bytes);
            }
        }
    }

    fn add_text(&mut self, text: &str, bytes: u64) {
        let java = functions::java_hash_code(text).unsigned_abs();
        let crc = crc32fast::hash(text.as_bytes());
        for group in &mut self.groups {
            if let Some(cells) = &mut group.absolute {
                cells[(java % group.modulus) as usize].add(1, bytes);
            }
            if let Some(cells) = &mut group.crc {
                cells[(crc % group.modulus) as usize].add(1, bytes);
            }
        }
        if self.groups.iter().all(|group| group.plain.is_none()) {
            return;
        }
        // The function itself, for what it makes of signs and of digits without end is its rule.
        let key = KeyValue::Text(text.to_owned());
        let mut is_integer = true;
        for group in &mut self.groups {
            let Some(cells) = &mut group.plain else {
                continue;
            };
            match functions::modulo(&key, group.modulus) {
                Ok(rest) => cells[rest as usize].add(1, bytes),
                Err(_) => is_integer = false,
            }
        }
        if !is_integer {
            if self.not_integers.rows == 0 {
                self.not_integers.first = text.to_owned();
            }
            self.not_integers.rows += 1;
        }
    }

    /// What the keys have shown.
    pub fn finish(self, population: Population) -> Skew {
        let scale = match (population.rows, self.all.rows) {
            (Some(rows), keys @ 1..) if population.is_sample => rows as f64 / keys as f64,
            _ => 1.0,
        };
        let mut candidates = Vec::new();
        for (layout, group) in self.layouts.iter().zip(&self.group_of) {
            for function in &self.functions {
                let candidate = match function {
                    Function::Range => self.range(*layout, population, scale),
                    _ => Some(self.hashed(
                        *function,
                        *layout,
                        &self.groups[*group],
                        population,
                        scale,
                    )),
                };
                candidates.extend(candidate);
            }
        }
        let (biggest, error, kept) = self.biggest_keys(population);
        let distinct = Distinct {
            // Keys were let go when one more came than can be kept.
            keys: if error == 0 { kept } else { FREQUENT_MAX } as u64,
            is_exact: error == 0,
        };
        let mut skew = Skew {
            key_type: self.kind.to_string(),
            keys: self.all.rows,
            nulls: self.nulls.rows,
            rows: (self.all.rows as f64 * scale).round() as u64,
            is_sample: population.is_sample,
            distinct,
            least: self.integers.map(|seen| seen.least.to_string()),
            greatest: self.integers.map(|seen| seen.greatest.to_string()),
            step: self
                .integers
                .map(|seen| seen.step)
                .filter(|step| *step > 1)
                .map(|step| step.to_string()),
            biggest,
            biggest_error: error,
            candidates,
            warnings: Vec::new(),
        };
        skew.warnings = warnings(&skew);
        skew
    }

    fn biggest_keys(&self, population: Population) -> (Vec<BigKey>, u64, usize) {
        let keys = self.all.rows.max(1) as f64;
        let big = |key: String, rows: u64, error: u64| BigKey {
            key,
            keys_least: rows,
            keys_most: rows + error,
            share: rows as f64 / keys,
            share_low: population
                .interval(rows, self.all.rows, MISSES)
                .map(|(low, _)| low),
            share_high: population
                .interval((rows + error).min(self.all.rows), self.all.rows, MISSES)
                .map(|(_, high)| high),
        };
        // What comes once is not big, and what comes no more often than the error is not known to
        // be bigger than what was let go.
        let is_big = |rows: u64, error: u64| rows > 1 && rows > error;
        match &self.biggest {
            Biggest::Integers(frequent) => (
                frequent
                    .biggest(BIGGEST_MAX)
                    .into_iter()
                    .filter(|(_, rows)| is_big(*rows, frequent.error()))
                    .map(|(key, rows)| big(key.to_string(), rows, frequent.error()))
                    .collect(),
                frequent.error(),
                frequent.kept(),
            ),
            Biggest::Bytes(frequent) => (
                frequent
                    .biggest(BIGGEST_MAX)
                    .into_iter()
                    .filter(|(_, rows)| is_big(*rows, frequent.error()))
                    .map(|(key, rows)| big(self.shown(&key), rows, frequent.error()))
                    .collect(),
                frequent.error(),
                frequent.kept(),
            ),
        }
    }

    fn shown(&self, key: &[u8]) -> String {
        match &self.kind {
            KeyType::Binary { .. } => {
                let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("0x{digits}")
            }
            _ => String::from_utf8_lossy(key).into_owned(),
        }
    }

    fn hashed(
        &self,
        function: Function,
        layout: Layout,
        group: &Group,
        population: Population,
        scale: f64,
    ) -> Candidate {
        let tables = layout.tables();
        let cells = match function {
            Function::Mod => &group.plain,
            Function::Crc32 => &group.crc,
            _ => &group.absolute,
        };
        let mut counts = vec![Cell::default(); tables as usize];
        let place = |rest: u32| match function {
            Function::DrdsUniHash => {
                let schema = rest % layout.schemas;
                let table = (rest / layout.schemas) % layout.tables_per_schema;
                schema * layout.tables_per_schema + table
            }
            _ => rest,
        };
        for (residue, cell) in cells.iter().flatten().enumerate() {
            let rest = (residue % tables as usize) as u32;
            counts[place(rest) as usize].add(cell.rows, cell.bytes);
        }
        let mut unplaced = match function {
            Function::Mod => self.not_integers.rows,
            _ => 0,
        };
        let mut fault = (unplaced > 0)
            .then(|| FunctionError::NotInteger(self.not_integers.first.clone()).to_string());
        if self.nulls.rows > 0 {
            if function == Function::DrdsHash {
                let is_text = matches!(self.kind, KeyType::Text { .. });
                if let Ok(table) = functions::drds_hash(&KeyValue::Null, is_text, tables) {
                    counts[table as usize].add(self.nulls.rows, self.nulls.bytes);
                }
            } else {
                unplaced += self.nulls.rows;
                fault = fault.or(Some(FunctionError::Null(function.name()).to_string()));
            }
        }
        let pattern = match function {
            Function::Crc32 => None,
            _ if matches!(self.kind, KeyType::Integer { .. }) => pattern(&counts, |number| {
                match function {
                    // Back from the table to the remainder.
                    Function::DrdsUniHash => {
                        number / layout.tables_per_schema
                            + layout.schemas * (number % layout.tables_per_schema)
                    }
                    _ => number,
                }
            }),
            _ => None,
        };
        let mut candidate = self.candidate(function, layout, &counts, population, scale);
        candidate.unplaced = unplaced;
        candidate.fault = fault;
        candidate.pattern = pattern;
        candidate
    }

    fn range(&self, layout: Layout, population: Population, scale: f64) -> Option<Candidate> {
        // A range gives the schema only.
        if layout.tables_per_schema > 1 {
            return None;
        }
        let mut drawn: Vec<(u64, i128)> = self.quantiles.as_ref()?.0.iter().copied().collect();
        drawn.sort_unstable();
        let is_all = drawn.len() as u64 == self.all.rows - self.nulls.rows;
        let (makers, judges): (Vec<i128>, Vec<i128>) = match is_all {
            true => (
                drawn.iter().map(|(_, key)| *key).collect(),
                drawn.iter().map(|(_, key)| *key).collect(),
            ),
            false => (
                drawn.iter().step_by(2).map(|(_, key)| *key).collect(),
                drawn
                    .iter()
                    .skip(1)
                    .step_by(2)
                    .map(|(_, key)| *key)
                    .collect(),
            ),
        };
        let mut makers = makers;
        makers.sort_unstable();
        let parts = layout.schemas as usize;
        let mut bounds: Vec<i128> = (1..parts)
            .filter_map(|part| makers.get(part * makers.len() / parts).copied())
            .collect();
        bounds.dedup();
        let enough = bounds.len() + 1 == parts;
        let mut counts = vec![Cell::default(); parts];
        for key in &judges {
            let part = bounds.partition_point(|bound| bound <= key);
            counts[part].rows += 1;
        }
        // Shares of the judges stand for shares of all keys.
        let factor = match (is_all, judges.len()) {
            (true, _) | (_, 0) => 1.0,
            (false, judges) => (self.all.rows - self.nulls.rows) as f64 / judges as f64,
        };
        let bytes_each = self.all.bytes as f64 / self.all.rows.max(1) as f64;
        for cell in &mut counts {
            cell.bytes = (cell.rows as f64 * bytes_each) as u64;
        }
        let sampled = Population {
            rows: population.rows.or(Some(self.all.rows)),
            is_sample: population.is_sample || !is_all,
            ..population
        };
        let mut candidate =
            self.candidate(Function::Range, layout, &counts, sampled, scale * factor);
        candidate.bounds = bounds.iter().map(i128::to_string).collect();
        candidate.unplaced = self.nulls.rows;
        candidate.fault = match (enough, self.nulls.rows) {
            (false, _) => Some(format!(
                "these keys have too few values for {parts} ranges of equal shares"
            )),
            (true, 1..) => Some(FunctionError::Null("range").to_string()),
            (true, 0) => None,
        };
        Some(candidate)
    }

    fn candidate(
        &self,
        function: Function,
        layout: Layout,
        tables: &[Cell],
        population: Population,
        scale: f64,
    ) -> Candidate {
        let per_schema = layout.tables_per_schema as usize;
        let schemas: Vec<Cell> = tables
            .chunks(per_schema)
            .map(|tables| {
                tables.iter().fold(Cell::default(), |mut sum, cell| {
                    sum.add(cell.rows, cell.bytes);
                    sum
                })
            })
            .collect();
        let total: u64 = schemas.iter().map(|cell| cell.rows).sum();
        // At a level that holds for all shards together (Bonferroni).
        let misses = MISSES / schemas.len() as f64;
        let interval = |rows: u64| population.interval(rows, total, misses);
        let shards: Vec<Shard> = schemas
            .iter()
            .map(|cell| {
                let interval = interval(cell.rows);
                let rows = (cell.rows as f64 * scale).round() as u64;
                Shard {
                    keys: cell.rows,
                    rows,
                    bytes: match (cell.bytes, population.row_bytes) {
                        (0, Some(each)) => Some((rows as f64 * each) as u64),
                        (0, None) if self.all.bytes == 0 => None,
                        (bytes, _) => Some((bytes as f64 * scale) as u64),
                    },
                    share: part(cell.rows, total),
                    share_low: interval.map(|(low, _)| low),
                    share_high: interval.map(|(_, high)| high),
                }
            })
            .collect();
        let parts = f64::from(layout.schemas);
        let fullest = |of: fn(&Shard) -> Option<f64>| {
            shards
                .iter()
                .filter_map(of)
                .reduce(f64::max)
                .map(|share| share * parts)
        };
        let (max_over_mean, coefficient) = spread(&schemas);
        let (table_max_over_mean, _) = spread(tables);
        let table_misses = MISSES / tables.len() as f64;
        let table_max_over_mean_high = tables
            .iter()
            .filter_map(|cell| population.interval(cell.rows, total, table_misses))
            .map(|(_, high)| high)
            .reduce(f64::max)
            .map(|share| share * tables.len() as f64);
        Candidate {
            function,
            schemas: layout.schemas,
            tables_per_schema: layout.tables_per_schema,
            max_over_mean,
            // The fullest of several is never below their mean.
            max_over_mean_low: fullest(|shard| shard.share_low).map(|low| low.max(1.0)),
            max_over_mean_high: fullest(|shard| shard.share_high),
            coefficient,
            table_max_over_mean,
            table_max_over_mean_high,
            empty: schemas.iter().filter(|cell| cell.rows == 0).count() as u32,
            empty_tables: tables.iter().filter(|cell| cell.rows == 0).count() as u32,
            unplaced: 0,
            fault: None,
            pattern: None,
            bounds: Vec::new(),
            shards,
        }
    }
}

/// The largest divisor of the number of tables by which nine keys in ten leave one remainder.
fn pattern(counts: &[Cell], remainder: impl Fn(u32) -> u32) -> Option<Pattern> {
    let total: u64 = counts.iter().map(|cell| cell.rows).sum();
    let tables = counts.len() as u32;
    if total < 2 {
        return None;
    }
    (2..=tables)
        .rev()
        .filter(|divisor| tables.is_multiple_of(*divisor))
        .find_map(|divisor| {
            let mut classes = vec![0u64; divisor as usize];
            for (number, cell) in counts.iter().enumerate() {
                classes[(remainder(number as u32) % divisor) as usize] += cell.rows;
            }
            let (remainder, rows) = classes
                .into_iter()
                .enumerate()
                .max_by_key(|(number, rows)| (*rows, std::cmp::Reverse(*number)))?;
            let share = part(rows, total);
            (share >= PATTERN_SHARE).then_some(Pattern {
                divisor,
                remainder: remainder as u32,
                share,
            })
        })
}

/// The fullest over the mean, and the coefficient of variation.
fn spread(cells: &[Cell]) -> (f64, f64) {
    let total: u64 = cells.iter().map(|cell| cell.rows).sum();
    let most = cells.iter().map(|cell| cell.rows).max().unwrap_or(0);
    if total == 0 {
        return (1.0, 0.0);
    }
    let mean = total as f64 / cells.len() as f64;
    let variance = cells
        .iter()
        .map(|cell| (cell.rows as f64 - mean).powi(2))
        .sum::<f64>()
        / cells.len() as f64;
    (most as f64 / mean, variance.sqrt() / mean)
}

fn part(rows: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => rows as f64 / total as f64,
    }
}

fn divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        // Most of the time the step is known already and divides at once.
        (a, b) = (b, a % b);
    }
    a
}

fn least_common_multiple(a: u32, b: u32) -> u64 {
    let divisor = divisor(a.into(), b.into()).max(1) as u64;
    u64::from(a) / divisor * u64::from(b)
}

/// The standard normal distribution's quantile, right to 4.5e-4 (Abramowitz and Stegun 26.2.23).
fn normal_quantile(probability: f64) -> f64 {
    let tail = (1.0 - probability).clamp(1e-300, 0.5);
    let t = (-2.0 * tail.ln()).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

/// What the keys were taken from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Population {
    /// Rows there are, where that is known.
    pub rows: Option<u64>,
    /// Whether the keys are a random sample of them.
    pub is_sample: bool,
    /// Bytes of an average row, where known and the rows were not measured one by one.
    pub row_bytes: Option<f64>,
}

impl Population {
    /// Between what a share of all rows lies, where `part` of `total` keys of a sample have it: by
    /// Wilson's interval, which misses with this chance, with the correction for what part of a
    /// finite table the sample is. `None` where the keys are no sample.
    fn interval(&self, part: u64, total: u64, misses: f64) -> Option<(f64, f64)> {
        if !self.is_sample || total == 0 {
            return None;
        }
        let p = part as f64 / total as f64;
        let n = match self.rows {
            Some(all) if all > total => {
                total as f64 * (all as f64 - 1.0).max(1.0) / (all - total) as f64
            }
            Some(_) => return Some((p, p)),
            None => total as f64,
        };
        let z = normal_quantile(1.0 - misses / 2.0);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        // Exactly at the ends, where rounding would leave the share itself out.
        Some(((middle - half).clamp(0.0, p), (middle + half).clamp(p, 1.0)))
    }
}

/// How keys are spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skew {
    /// The key's type in SQL words.
    pub key_type: String,
    /// Keys that were looked at.
    pub keys: u64,
    /// Those that are NULL.
    pub nulls: u64,
    /// Rows that they stand for: as many, or more where they are a sample.
    pub rows: u64,
    /// Whether the keys are a random sample.
    pub is_sample: bool,
    /// How many different ones.
    pub distinct: Distinct,
    /// The least of integer keys.
    pub least: Option<String>,
    /// The greatest of integer keys.
    pub greatest: Option<String>,
    /// What all distances between integer keys are multiples of, where it is more than 1.
    pub step: Option<String>,
    /// The keys with the most rows, the biggest first; empty where none stands out.
    pub biggest: Vec<BigKey>,
    /// By how many the counts of `biggest` can be too low, and how often a key that is not in it
    /// can occur unseen.
    pub biggest_error: u64,
    /// Every function over every layout, by the number of tables.
    pub candidates: Vec<Candidate>,
    /// What to know.
    pub warnings: Vec<String>,
}

/// How many different keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Distinct {
    /// So many at least.
    pub keys: u64,
    /// And no more.
    pub is_exact: bool,
}

/// A key with many rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BigKey {
    /// The key.
    pub key: String,
    /// It occurs at least so often among the keys looked at,
    pub keys_least: u64,
    /// and at most so often.
    pub keys_most: u64,
    /// Its share of the keys, at least.
    pub share: f64,
    /// Its share of all rows is at least this with 95 % confidence, where the keys are a sample.
    pub share_low: Option<f64>,
    /// It is at most this.
    pub share_high: Option<f64>,
}

/// One function over one layout.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The function.
    pub function: Function,
    /// Schemas, that is shards.
    pub schemas: u32,
    /// Physical tables in each.
    pub tables_per_schema: u32,
    /// Rows of the fullest shard over the mean of all shards.
    pub max_over_mean: f64,
    /// It is at least this, for all rows that a sample stands for, with 95 % confidence.
    pub max_over_mean_low: Option<f64>,
    /// It is at most this.
    pub max_over_mean_high: Option<f64>,
    /// Standard deviation of the shards' rows over their mean.
    pub coefficient: f64,
    /// Rows of the fullest physical table over the mean of all.
    pub table_max_over_mean: f64,
    /// It is at most this, for all rows that a sample stands for, with 95 % confidence.
    pub table_max_over_mean_high: Option<f64>,
    /// Shards without a row.
    pub empty: u32,
    /// Physical tables without a row.
    pub empty_tables: u32,
    /// Keys that the function has no place for; they are in no shard.
    pub unplaced: u64,
    /// Why the function cannot be taken for these keys.
    pub fault: Option<String>,
    /// A remainder that most keys share.
    pub pattern: Option<Pattern>,
    /// The bounds of ranges.
    pub bounds: Vec<String>,
    /// The shards, by number.
    pub shards: Vec<Shard>,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shard {
    /// Keys that fell on it.
    pub keys: u64,
    /// Rows that they stand for.
    pub rows: u64,
    /// Bytes of these rows, where known.
    pub bytes: Option<u64>,
    /// Its share of the keys.
    pub share: f64,
    /// Its share of all rows is at least this, where the keys are a sample, and all shards'
    /// intervals hold together with 95 % confidence.
    pub share_low: Option<f64>,
    /// It is at most this.
    pub share_high: Option<f64>,
}

/// A remainder that most keys share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pattern {
    /// Divided by this,
    pub divisor: u32,
    /// they leave this;
    pub remainder: u32,
    /// so many of them.
    pub share: f64,
}

impl Candidate {
    /// Its layout.
    pub fn layout(&self) -> Layout {
        Layout {
            schemas: self.schemas,
            tables_per_schema: self.tables_per_schema,
        }
    }

    /// How many times the mean the fullest shard or table has; of a sample the most that it can be
    /// with 95 % confidence, for a gate must not pass by luck.
    pub fn skew_at_most(&self) -> f64 {
        let shard = self.max_over_mean_high.unwrap_or(self.max_over_mean);
        let table = self
            .table_max_over_mean_high
            .unwrap_or(self.table_max_over_mean);
        shard.max(table)
    }

    /// Whether the fullest shard or table may be fuller than this many times the mean.
    pub fn exceeds(&self, skew_max: f64) -> bool {
        self.skew_at_most() > skew_max
    }

    /// How many times the mean the fullest shard or table of the keys themselves has.
    fn skew_seen(&self) -> f64 {
        self.max_over_mean.max(self.table_max_over_mean)
    }

    /// Whether it is only the interval of a sample that exceeds.
    pub fn exceeds_by_interval_only(&self, skew_max: f64) -> bool {
        self.exceeds(skew_max) && self.skew_seen() <= skew_max
    }
}

impl Skew {
    /// The candidate of a layout that spreads the keys best; the first of equals. Ranges are made
    /// to fit the keys and would always be it.
    pub fn evenest(&self, layout: Layout) -> Option<&Candidate> {
        self.candidates
            .iter()
            .filter(|one| one.layout() == layout && one.fault.is_none())
            .filter(|one| one.function != Function::Range)
            .min_by(|a, b| {
                (a.table_max_over_mean, a.max_over_mean)
                    .partial_cmp(&(b.table_max_over_mean, b.max_over_mean))
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
    }

    /// The layouts, as the candidates have them.
    pub fn layouts(&self) -> Vec<Layout> {
        let mut layouts: Vec<Layout> = self.candidates.iter().map(Candidate::layout).collect();
        layouts.dedup();
        layouts
    }
}

/// A share in percent, `6.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What speaks against a candidate.
fn fault(candidate: &Candidate, is_thin: bool) -> Option<String> {
    if let Some(fault) = &candidate.fault {
        let unplaced = match candidate.unplaced {
            0 => String::new(),
            1 => " (1 key has no place)".to_owned(),
            keys => format!(" ({keys} keys have no place)"),
        };
        return Some(format!("{fault}{unplaced}"));
    }
    if is_thin {
        return None;
    }
    let tables = candidate.layout().tables();
    if let Some(pattern) = candidate.pattern {
        return Some(format!(
            "{} of the keys leave {} divided by {}: {} of {tables} tables take them",
            percent(pattern.share),
            pattern.remainder,
            pattern.divisor,
            tables / pattern.divisor,
        ));
    }
    if candidate.empty_tables > 0 {
        return Some(format!(
            "{} of {tables} tables stay empty",
            candidate.empty_tables
        ));
    }
    // A warning is of what was seen: chance alone would warn of every small sample.
    (candidate.skew_seen() > UNEVEN).then(|| {
        format!(
            "the fullest table has {:.2} times the mean",
            candidate.table_max_over_mean.max(candidate.max_over_mean)
        )
    })
}

fn warnings(skew: &Skew) -> Vec<String> {
    let mut warnings = Vec::new();
    let layouts = skew.layouts();
    let list = |layouts: &[Layout]| -> String {
        let texts: Vec<String> = layouts.iter().map(Layout::to_string).collect();
        texts.join(", ")
    };
    for big in &skew.biggest {
        let over: Vec<Layout> = layouts
            .iter()
            .copied()
            .filter(|layout| layout.tables() > 1 && big.share > 1.0 / f64::from(layout.tables()))
            .collect();
        if let Some(first) = over.first() {
            warnings.push(format!(
                "key `{}` alone has {} of the rows, more than the fair share of a table ({} with \
                 {}): no function splits one key",
                big.key,
                percent(big.share),
                percent(1.0 / f64::from(first.tables())),
                list(&over),
            ));
        }
    }
    // A sample misses keys that are there.
    if skew.distinct.is_exact && !skew.is_sample {
        let wide: Vec<Layout> = layouts
            .iter()
            .copied()
            .filter(|layout| u64::from(layout.tables()) > skew.distinct.keys)
            .collect();
        if !wide.is_empty() && skew.keys > 0 {
            warnings.push(format!(
                "there are only {} different keys: {} leaves tables empty whatever the function",
                skew.distinct.keys,
                list(&wide)
            ));
        }
    }
    let thin: Vec<Layout> = layouts
        .iter()
        .copied()
        .filter(|layout| skew.keys < KEYS_PER_PART_MIN * u64::from(layout.tables()))
        .collect();
    if !thin.is_empty() {
        warnings.push(format!(
            "{} keys are few for {}: below {KEYS_PER_PART_MIN} to a table chance alone makes them \
             uneven",
            skew.keys,
            list(&thin)
        ));
    }
    // One line for all functions that fare alike.
    let mut alike: Vec<(Layout, String, Vec<&str>)> = Vec::new();
    for candidate in &skew.candidates {
        let layout = candidate.layout();
        let Some(text) = fault(candidate, thin.contains(&layout)) else {
            continue;
        };
        let name = candidate.function.name();
        match alike
            .iter_mut()
            .find(|(at, other, _)| *at == layout && *other == text)
        {
            Some((_, _, names)) => names.push(name),
            None => alike.push((layout, text, vec![name])),
        }
    }
    for (layout, text, names) in alike {
        warnings.push(format!("{} over {layout}: {text}", names.join(", ")));
    }
    if skew
        .candidates
        .iter()
        .any(|candidate| candidate.function == Function::Range)
    {
        warnings.push(
            "range: the bounds fit the keys of today; where keys ascend, every new row goes to \
             the last shard"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests;
