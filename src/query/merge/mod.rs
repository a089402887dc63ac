//! The shards' rows become the rows of one server.
//!
//! Rows that are only ordered are merged as they come, holding one row of each stream. Groups are
//! held in memory, up to a number of them; expressions over them are computed by a server at the
//! end.

mod computed;
mod groups;
mod ordered;

pub use computed::{Computed, GIVEN_ROWS, Given, GivenBy};
pub use groups::Groups;
pub use ordered::Ordered;

use crate::rows::cell::{Cell, Kind, NotANumber, Sortable};

/// Groups that are held at once. A group is some hundred bytes, so this is some hundred MiB at the
/// most.
pub const GROUPS_MAX: usize = 1_000_000;

/// Distinct values of aggregates that are held at once, over all groups.
pub const DISTINCT_MAX: usize = 2_000_000;

/// Bytes of the groups' first rows and of the distinct values that are held at once, about.
pub const GROUPS_BYTES_MAX: usize = 512 << 20;

/// Digits of a DECIMAL; the servers cut a longer one.
const DIGITS_MAX: u64 = 65;

/// How answers become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Rows are passed on, in the order of the keys if there are any.
    Rows {
        /// What they are ordered by.
        keys: Vec<Key>,
        /// Cells of a row that belong to the answer; keys follow them.
        visible: usize,
        /// Rows to give at the most.
        limit: Option<u64>,
        /// Rows to leave out first.
        offset: u64,
    },
    /// Rows of one group become one.
    Grouped {
        /// Whether there is exactly one group, even of no rows.
        one_group: bool,
        /// Cells that make the group, in comparable form.
        keys: Vec<(usize, Kind)>,
        /// The aggregates.
        aggregates: Vec<Aggregate>,
        /// The columns of the answer.
        outputs: Vec<Output>,
        /// What the groups are ordered by, and whether descending.
        order: Vec<(Output, Kind, bool)>,
        /// Expressions that a server computes when the groups are complete.
        computed: Option<Computed>,
        /// Groups to give at the most.
        limit: Option<u64>,
        /// Groups to leave out first.
        offset: u64,
    },
}

impl Merge {
    /// Whether rows may have been given before one is met that cannot be merged.
    pub fn can_refuse_late(&self) -> bool {
        match self {
            // Texts and bytes can be longer than the servers order by, or end oddly.
            Merge::Rows { keys, .. } => keys.iter().any(|key| {
                !matches!(
                    key.kind,
                    Kind::Integer
                        | Kind::Decimal
                        | Kind::Enum
                        | Kind::Float
                        | Kind::Double
                        | Kind::Date
                        | Kind::Time
                        | Kind::Null
                )
            }),
            // Nothing is given before all groups are complete.
            Merge::Grouped { .. } => false,
        }
    }
}

/// A cell to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which cell.
    pub cell: usize,
    /// What it holds.
    pub kind: Kind,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// How parts of an aggregate become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// The parts are added.
    Sum {
        /// The part's cell.
        cell: usize,
        /// Digits behind the point of the answer.
        scale: u8,
        /// A count of nothing is 0; a sum of nothing is NULL.
        empty_is_zero: bool,
    },
    /// Sums and counts are added, then divided.
    Average {
        /// The cell of the part's sum.
        sum: usize,
        /// The cell of the part's count.
        count: usize,
        /// Digits behind the point of the answer.
        scale: u8,
    },
    /// Different values are counted.
    DistinctCount {
        /// The cells of a value, in comparable form; one that has a NULL does not count.
        keys: Vec<(usize, Kind)>,
    },
    /// Different values are added.
    DistinctSum {
        /// The value in comparable form.
        keys: Vec<(usize, Kind)>,
        /// The value.
        cell: usize,
        /// Digits behind the point of the answer.
        scale: u8,
    },
    /// Different values are added, and divided by their number.
    DistinctAverage {
        /// The value in comparable form.
        keys: Vec<(usize, Kind)>,
        /// The value.
        cell: usize,
        /// Digits behind the point of the answer.
        scale: u8,
    },
    /// The least or the greatest.
    Extreme {
        /// The cell of the value.
        cell: usize,
        /// The cell it is compared by.
        by: usize,
        /// What that one holds.
        kind: Kind,
        /// The greatest rather than the least.
        greatest: bool,
    },
}

/// A column of a grouped answer, or what groups are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A cell of the group.
    Group {
        /// Which cell of the first row of the group.
        cell: usize,
    },
    /// An aggregate.
    Aggregate {
        /// Which one.
        index: usize,
    },
    /// An expression that a server computed.
    Computed {
        /// Which one.
        index: usize,
    },
}

/// Why a merge stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A cell was not what its column said.
    #[error(transparent)]
    Cell(#[from] NotANumber),
    /// More groups than are held.
    #[error("there are more than {GROUPS_MAX} groups; narrow the statement")]
    TooManyGroups,
    /// More different values than are held.
    #[error(
        "there are more than {DISTINCT_MAX} different values to count or to add; narrow the \
         statement"
    )]
    TooManyValues,
    /// More bytes of groups and values than are held.
    #[error(
        "the groups and different values take more than {} MiB; narrow the statement",
        GROUPS_BYTES_MAX >> 20
    )]
    TooManyBytes,
    /// A sum that the servers would cut.
    #[error("a sum has more than {DIGITS_MAX} digits; the servers cut such a number")]
    TooLong,
    /// A value that cannot be given to a server as it is.
    #[error("the value {0} cannot be computed with; it is no date of the calendar")]
    NoDate(String),
    /// A text that the server would not look at as a whole.
    #[error(
        "a value to order by is longer than the servers look at (max_sort_length); rows that \
         differ behind that are in no order there; order by LEFT(..., 250)"
    )]
    LongKey,
    /// A text whose end the servers take for something else in one place than in another.
    #[error(
        "a text ends in characters without weight behind spaces, in NUL characters, or in \
         characters that equal a space; the servers do not group and order such texts as they \
         compare them; take HEX(...) of it"
    )]
    OddEnd,
}

/// Bytes of a text or of its weights that the servers order by: `max_sort_length`, which the
/// sessions set to 1024, less what may be taken for the length of a BLOB. Not all collations are
/// cut there on MySQL.
pub const ORDERED_BYTES_MAX: usize = 1024 - 8;

/// A value to group or to order by.
fn key(kind: Kind, cell: &Cell) -> Result<Sortable, MergeError> {
    match Sortable::new(kind, cell)? {
        Sortable::Weights(weights, filling) if filling.ends(&weights) => Err(MergeError::OddEnd),
        key => Ok(key),
    }
}

/// Refuses a key that has more bytes than the servers order by.
fn ordered(key: Sortable) -> Result<Sortable, MergeError> {
    match &key {
        Sortable::Bytes(bytes) | Sortable::Weights(bytes, _) if bytes.len() > ORDERED_BYTES_MAX => {
            Err(MergeError::LongKey)
        }
        _ => Ok(key),
    }
}
