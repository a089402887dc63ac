//! Places in a server's log.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The end of a transaction in a server's log, from where reading can go on.
///
/// Its text is `binlog.000012:4567`, and where the GTIDs are known, `/mysql/` or `/mariadb/` and
/// them behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The log file, without its folder.
    pub file: String,
    /// Bytes from the file's beginning.
    pub offset: u64,
    /// What has been executed up to here, where that is known exactly.
    pub gtids: Option<Gtids>,
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position in a log")]
pub struct PositionError(pub String);

impl Position {
    /// A position without GTIDs.
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self {
            file: file.into(),
            offset,
            gtids: None,
        }
    }

    /// Which of two positions of one server's log is further on; `None` where their files have
    /// different base names, so that they are of different logs.
    ///
    /// Files are ordered by number: behind `binlog.999999` comes `binlog.1000000`.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.file == other.file {
            return Some(self.offset.cmp(&other.offset));
        }
        let (ours, our_number) = numbered(&self.file)?;
        let (theirs, their_number) = numbered(&other.file)?;
        (ours == theirs).then(|| {
            our_number
                .cmp(&their_number)
                .then(self.offset.cmp(&other.offset))
        })
    }

    /// Whether everything up to the other position of the same log is before this one.
    pub fn is_at_least(&self, other: &Self) -> bool {
        self.compare(other).is_some_and(Ordering::is_ge)
    }
}

fn numbered(file: &str) -> Option<(&str, u64)> {
    let (base, number) = file.rsplit_once('.')?;
    Some((base, number.parse().ok()?))
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)?;
        match &self.gtids {
            Some(gtids) => write!(f, "/{}/{gtids}", gtids.family()),
            None => Ok(()),
        }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let bad = || PositionError(text.to_owned());
        let (place, gtids) = match text.split_once('/') {
            Some((place, rest)) => {
                let (family, set) = rest.split_once('/').ok_or_else(bad)?;
                let gtids = match family {
                    "mysql" => Gtids::mysql(set),
                    "mariadb" => Gtids::mariadb(set),
                    _ => return Err(bad()),
                };
                (place, Some(gtids?))
            }
            None => (text, None),
        };
        let (file, offset) = place.rsplit_once(':').ok_or_else(bad)?;
        if file.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            file: file.to_owned(),
            offset: offset.parse().map_err(|_| bad())?,
            gtids,
        })
    }
}

impl TryFrom<String> for Position {
    type Error = PositionError;

    fn try_from(text: String) -> Result<Self, PositionError> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

/// One transaction's global id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtid {
    /// MySQL: the server's UUID, a tag (empty for most) and a number.
    Mysql {
        /// The source's UUID.
        uuid: [u8; 16],
        /// The tag.
        tag: String,
        /// The number, from 1.
        number: u64,
    },
    /// MariaDB: `domain-server-sequence`.
    Mariadb {
        /// The domain.
        domain: u32,
        /// The server.
        server: u32,
        /// The number.
        sequence: u64,
    },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::Mysql { uuid, tag, number } if tag.is_empty() => {
                write!(f, "{}:{number}", uuid_text(uuid))
            }
            Gtid::Mysql { uuid, tag, number } => {
                write!(f, "{}:{tag}:{number}", uuid_text(uuid))
            }
            Gtid::Mariadb {
                domain,
                server,
                sequence,
            } => write!(f, "{domain}-{server}-{sequence}"),
        }
    }
}

/// A UUID's bytes in the usual form.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut uuid = [0; 16];
    for (index, byte) in uuid.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(uuid)
}

/// Inclusive ranges of numbers, ascending, with a gap between any two.
type Ranges = Vec<(u64, u64)>;

/// What a server has executed, by global ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtids {
    /// MySQL: ranges of numbers for each UUID and tag.
    Mysql(BTreeMap<([u8; 16], String), Ranges>),
    /// MariaDB: the last server and sequence of each domain.
    Mariadb(BTreeMap<u32, (u32, u64)>),
}

impl Gtids {
    /// Reads a set as MySQL prints it (`@@gtid_executed`): `uuid:1-5:8:tag:1-2,uuid:1`.
    ///
    /// # Errors
    /// It is no such set.
    pub fn mysql(text: &str) -> Result<Self, PositionError> {
        let bad = || PositionError(text.to_owned());
        let mut sets: BTreeMap<([u8; 16], String), Ranges> = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let uuid = fields.next().and_then(uuid_bytes).ok_or_else(bad)?;
            let mut tag = String::new();
            for field in fields {
                // A tag begins with a letter or an underscore, a range with a digit.
                if field.starts_with(|c: char| c.is_ascii_digit()) {
                    let (low, high) = field.split_once('-').unwrap_or((field, field));
                    let low: u64 = low.parse().map_err(|_| bad())?;
                    let high: u64 = high.parse().map_err(|_| bad())?;
                    if low == 0 || high < low {
                        return Err(bad());
                    }
                    insert(sets.entry((uuid, tag.clone())).or_default(), low, high);
                } else if field.is_empty() {
                    return Err(bad());
                } else {
                    field.clone_into(&mut tag);
                }
            }
        }
        Ok(Self::Mysql(sets))
    }

    /// Reads a position as MariaDB prints it (`@@gtid_binlog_pos`): `0-1-5,1-2-7`.
    ///
    /// # Errors
    /// It is no such position.
    pub fn mariadb(text: &str) -> Result<Self, PositionError> {
        let bad = || PositionError(text.to_owned());
        let mut domains = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let fields: Vec<&str> = part.split('-').collect();
            let [domain, server, sequence] = fields[..] else {
                return Err(bad());
            };
            domains.insert(
                domain.parse().map_err(|_| bad())?,
                (
                    server.parse().map_err(|_| bad())?,
                    sequence.parse().map_err(|_| bad())?,
                ),
            );
        }
        Ok(Self::Mariadb(domains))
    }

    /// Adds a transaction. One of the other family of servers is left out.
    pub fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (Self::Mysql(sets), Gtid::Mysql { uuid, tag, number }) => {
                // Almost always there already: no new key for each transaction.
                if let Some(ranges) = sets.get_mut(&(*uuid, tag.clone())) {
                    insert(ranges, *number, *number);
                } else {
                    sets.insert((*uuid, tag.clone()), vec![(*number, *number)]);
                }
            }
            (
                Self::Mariadb(domains),
                Gtid::Mariadb {
                    domain,
                    server,
                    sequence,
                },
            ) => {
                domains.insert(*domain, (*server, *sequence));
            }
            (Self::Mysql(_), Gtid::Mariadb { .. }) | (Self::Mariadb(_), Gtid::Mysql { .. }) => {}
        }
    }

    fn family(&self) -> &'static str {
        match self {
            Gtids::Mysql(_) => "mysql",
            Gtids::Mariadb(_) => "mariadb",
        }
    }

    /// MySQL's set in pieces of one UUID and one tag each, `uuid:1-5:8` and `uuid:tag:1-2`.
    pub fn pieces(&self) -> Vec<String> {
        match self {
            Gtids::Mysql(sets) => sets
                .iter()
                .map(|((uuid, tag), ranges)| {
                    let mut piece = uuid_text(uuid);
                    if !tag.is_empty() {
                        piece.push(':');
                        piece.push_str(tag);
                    }
                    push_ranges(&mut piece, ranges);
                    piece
                })
                .collect(),
            Gtids::Mariadb(domains) => domains
                .iter()
                .map(|(domain, (server, sequence))| format!("{domain}-{server}-{sequence}"))
                .collect(),
        }
    }
}

fn push_ranges(text: &mut String, ranges: &[(u64, u64)]) {
    for (low, high) in ranges {
        // Writing into a String cannot fail.
        let _ = match low == high {
            true => write!(text, ":{low}"),
            false => write!(text, ":{low}-{high}"),
        };
    }
}

fn insert(ranges: &mut Ranges, low: u64, high: u64) {
    // The usual case: the next number.
    if let Some(last) = ranges.last_mut()
        && low == last.1.saturating_add(1)
    {
        last.1 = high;
        return;
    }
    ranges.push((low, high));
    ranges.sort_unstable();
    let mut merged: Ranges = Vec::with_capacity(ranges.len());
    for (low, high) in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    *ranges = merged;
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces().join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn files_are_ordered_by_number_and_other_logs_not_at_all() {
        let at = |file: &str, offset| Position::new(file, offset);
        assert!(at("binlog.1000000", 4).is_at_least(&at("binlog.999999", 500)));
        assert!(!at("binlog.000002", 5).is_at_least(&at("binlog.000002", 6)));
        assert!(at("binlog.000002", 6).is_at_least(&at("binlog.000002", 6)));
        assert_eq!(at("other.000009", 4).compare(&at("binlog.000001", 4)), None);
        assert!(!at("other.000009", 4).is_at_least(&at("binlog.000001", 4)));
    }

    #[test]
    fn a_position_is_its_text() {
        for text in [
            "binlog.000012:4567",
            "db-1-bin.000001:4",
            "binlog.000012:4567/mariadb/0-1-5,1-2-7",
            "binlog.000012:4567/mariadb/",
            &format!("b.1:5000000000/mysql/{A}:1-5:8,{A}:tag:1-2"),
        ] {
            let position: Position = text.parse().unwrap();
            assert_eq!(position.to_string(), text);
        }
        for text in [
            "",
            "binlog",
            ":4",
            "b.1:x",
            "b.1:4/other/1",
            "b.1:4/mysql/x:1",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_set_of_mysql_with_tags_is_split_at_each_tag() {
        let set = Gtids::mysql(&format!("{A}:1-629:700:foo:1-3,\n{A}:800")).unwrap();
        assert_eq!(
            set.pieces(),
            [format!("{A}:1-629:700:800"), format!("{A}:foo:1-3")]
        );
        assert_eq!(Gtids::mysql("").unwrap().to_string(), "");
        assert!(Gtids::mysql(&format!("{A}:5-4")).is_err());
        assert!(Gtids::mariadb("0-1").is_err());
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_added_in_any_order(numbers in proptest::collection::vec(1u64..40, 0..60)) {
            let mut set = Gtids::mysql("").unwrap();
            let mut expected = std::collections::BTreeSet::new();
            let uuid = uuid_bytes(A).unwrap();
            for number in &numbers {
                set.add(&Gtid::Mysql { uuid, tag: String::new(), number: *number });
                expected.insert(*number);
            }
            let Gtids::Mysql(sets) = &set else { unreachable!() };
            let held: Vec<u64> = sets.values().flatten().flat_map(|(low, high)| *low..=*high).collect();
            prop_assert_eq!(held, expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Gtids::mysql(&set.to_string()).unwrap(), set);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<Position>();
            let _ = Gtids::mysql(&text);
            let _ = Gtids::mariadb(&text);
        }
    }
}
