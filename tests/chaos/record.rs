//! What the writers have been promised: a file of the transactions that they began and of those
//! that were acknowledged, and what is there if every promise is kept.
//!
//! One line is one write to the file, made by the writers' own process: it is there whatever
//! happens to the tool, to the servers or to the run that compares.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Shards of the fleet.
pub const SHARDS: u64 = 6;
/// Writers, each with rows of its own on every shard.
pub const WRITERS: u64 = 4;

/// A row of a logical table, by the text of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Key id, a unique account.
    Member,
    /// Key (name, id): text under a collation that ignores case.
    Login,
    /// Key order_no, split by member_id: a row whose member changes moves to another shard.
    Orders,
    /// The number of each writer's last transaction on each shard, and how many there were of all.
    Ledger,
}

impl Table {
    pub const ALL: [Table; 4] = [Table::Member, Table::Login, Table::Orders, Table::Ledger];

    pub fn name(self) -> &'static str {
        match self {
            Table::Member => "member",
            Table::Login => "login",
            Table::Orders => "orders",
            Table::Ledger => "ledger",
        }
    }

    pub fn physical(self, shard: u64) -> String {
        format!("shop_{shard:02}.{}_{shard:02}", self.name())
    }

    /// Shard key, key and the other columns, each as text.
    pub fn columns(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Table::Member => ("id", "id", "CONCAT_WS('|', account, IFNULL(note, '~'), at)"),
            Table::Login => ("id", "CONCAT_WS('|', name, id)", "counter"),
            Table::Orders => (
                "member_id",
                "order_no",
                "CONCAT_WS('|', member_id, amount, slip)",
            ),
            Table::Ledger => ("id", "id", "seq"),
        }
    }
}

/// One row as a transaction leaves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    pub table: Table,
    pub key: String,
    pub row: Option<String>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It is about to be tried, perhaps more than once, until it is committed.
    Begun,
    /// The server has acknowledged its commit.
    Acknowledged,
    /// The connection was lost; a look at the ledger showed it committed.
    Seen,
}

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    pub mark: Mark,
    pub writer: u64,
    pub shard: u64,
    pub seq: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// Where a row is to be found: its shard, its table and its key.
pub type Place = (u64, Table, String);

/// The ledger's id of a writer on a shard; that of all writers together is the shard.
pub fn ledger_id(writer: u64, shard: u64) -> u64 {
    (writer + 1) * SHARDS + shard
}

/// The file, read as far as it is written.
pub struct Record {
    path: PathBuf,
    read: u64,
    open: BTreeMap<(u64, u64), Line>,
    pub rows: BTreeMap<Place, String>,
    pub acknowledged: u64,
    pub seen: u64,
}

impl Record {
    pub fn new(path: &Path) -> Self {
        let mut rows = BTreeMap::new();
        for shard in 0..SHARDS {
            rows.insert((shard, Table::Ledger, shard.to_string()), "0".to_owned());
        }
        Self {
            path: path.to_owned(),
            read: 0,
            open: BTreeMap::new(),
            rows,
            acknowledged: 0,
            seen: 0,
        }
    }

    /// Reads what was written since, while the writers stand still with nothing in doubt.
    pub fn catch_up(&mut self) {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut reader = BufReader::new(file);
        let mut text = String::new();
        loop {
            text.clear();
            let bytes = reader.read_line(&mut text).unwrap();
            if !text.ends_with('\n') {
                break;
            }
            self.read += bytes as u64;
            self.take(serde_json::from_str(&text).unwrap());
        }
        assert!(
            self.open.is_empty(),
            "a transaction is in doubt: {:?}",
            self.open
        );
    }

    fn take(&mut self, line: Line) {
        let of = (line.writer, line.shard);
        if line.mark == Mark::Begun {
            assert!(
                self.open.insert(of, line).is_none(),
                "one transaction at a time"
            );
            return;
        }
        match line.mark {
            Mark::Seen => self.seen += 1,
            _ => self.acknowledged += 1,
        }
        let begun = self.open.remove(&of).unwrap();
        assert_eq!(begun.seq, line.seq);
        let shard = begun.shard;
        for change in begun.changes {
            let place = (shard, change.table, change.key);
            match change.row {
                Some(row) => self.rows.insert(place, row),
                None => self.rows.remove(&place),
            };
        }
        let own = ledger_id(begun.writer, shard).to_string();
        self.rows
            .insert((shard, Table::Ledger, own), begun.seq.to_string());
        let all = (shard, Table::Ledger, shard.to_string());
        let count: u64 = self.rows[&all].parse().unwrap();
        self.rows.insert(all, (count + 1).to_string());
    }
}

/// What is wrong with the rows that were found.
#[derive(Debug, Default)]
pub struct Findings {
    pub losses: Vec<String>,
    pub doubles: Vec<String>,
    pub misplaced: Vec<String>,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.losses.is_empty() && self.doubles.is_empty() && self.misplaced.is_empty()
    }
}

/// A row as it was found: on which instance, in which shard's table, and the shard that its key
/// belongs to.
pub struct Found {
    pub instance: String,
    pub place: Place,
    pub row: String,
    pub belongs: u64,
}

/// Compares every promised row with what is there: content, place, once.
pub fn compare(rows: &BTreeMap<Place, String>, found: Vec<Found>) -> Findings {
    let mut findings = Findings::default();
    let mut seen: BTreeMap<Place, Vec<Found>> = BTreeMap::new();
    for one in found {
        if one.belongs != one.place.0 {
            findings.misplaced.push(format!(
                "{:?} on {} belongs to shard {}",
                one.place, one.instance, one.belongs
            ));
        }
        seen.entry(one.place.clone()).or_default().push(one);
    }
    for (place, row) in rows {
        match seen.remove(place) {
            None => findings
                .losses
                .push(format!("{place:?} `{row}` is nowhere")),
            Some(all) => {
                if all.len() > 1 {
                    let on: Vec<&str> = all.iter().map(|one| one.instance.as_str()).collect();
                    findings
                        .doubles
                        .push(format!("{place:?} is on {}", on.join(" and ")));
                }
                for one in all.iter().filter(|one| one.row != *row) {
                    findings.losses.push(format!(
                        "{place:?} is `{}` on {}, and was acknowledged as `{row}`",
                        one.row, one.instance
                    ));
                }
            }
        }
    }
    for (place, all) in seen {
        for one in all {
            findings.doubles.push(format!(
                "{place:?} `{}` on {} was deleted, or never written there",
                one.row, one.instance
            ));
        }
    }
    findings
}
