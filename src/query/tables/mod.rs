//! The tables of a statement: which logical tables its names mean, and which of their rows can meet.
//!
//! Rows of one place (a physical table, and those of the same number of tables that are split
//! alike) can be joined by the servers themselves. Each SELECT is looked at by itself:
//!
//! - Tables that are joined on their shard keys, and are split alike, are one *class*: a row of
//!   their join lies whole in one place. For an outer join the condition that says so must be its
//!   own; for an inner one it can stand in WHERE. A row's keys that are not NULL are all of its
//!   place, so any of them may be joined on.
//! - A broadcast table is everywhere, so it can be joined to anything, but not be the side of an
//!   outer join whose rows are kept: each place would give those without a partner again.
//! - A subquery whose tables are joined to those around it on the shard keys is of their class.
//!
//! Where each class has one place, and those are on one instance, the whole answer is there. Where
//! there is one class, each place has a part of the answer.

mod joins;
mod reads;
mod walk;

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{ObjectName, Visit, Visitor};

pub(in crate::query) use self::walk::conjuncts;
use super::Refusal;
use super::keys::{Tables, equal_is_same};
use super::parse::Parsed;
use crate::routing::Router;
use crate::rows::key::KeyType;
use crate::topology::{Assumption, LogicalTable, Topology};

/// A logical table where a statement names it.
#[derive(Debug, Clone)]
pub struct Use<'t> {
    /// The table.
    pub table: &'t LogicalTable,
    /// Its router; a broadcast table has none.
    pub router: Option<Router>,
    /// Its name in the text, with the schema before it.
    pub range: Range<usize>,
    /// What qualifies its columns.
    pub qualifier: String,
    /// Whether that is an alias.
    pub aliased: bool,
    /// Whether an outer join can make its columns NULL.
    pub nullable: bool,
    /// The SELECT that names it.
    block: usize,
}

impl Use<'_> {
    fn trusts_ends(&self) -> bool {
        self.table
            .assumptions
            .contains(&Assumption::NoTrailingSpaces)
    }

    /// The split and the layout are the same, and equal keys are the same key.
    fn is_split_like(&self, other: &Use<'_>) -> bool {
        let (Some(a), Some(b)) = (self.table.spread.split(), other.table.spread.split()) else {
            return false;
        };
        let (Some(x), Some(y)) = (&self.router, &other.router) else {
            return false;
        };
        let alike = |kind: &KeyType, other: &KeyType| {
            let same = match (kind, other) {
                (KeyType::Integer { .. }, KeyType::Integer { .. }) => true,
                (kind, other) => kind == other,
            };
            same && equal_is_same(kind, self.trusts_ends())
        };
        let second = match (&a.table, &b.table) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.function == b.function
                    && x.table_key_type()
                        .zip(y.table_key_type())
                        .is_some_and(|(a, b)| alike(a, b))
            }
            _ => false,
        };
        self.table.tables_per_schema == other.table.tables_per_schema
            && self.trusts_ends() == other.trusts_ends()
            && a.schema.function == b.schema.function
            && alike(x.schema_key_type(), y.schema_key_type())
            && second
    }
}

/// Tables whose rows of one place are joined there.
#[derive(Debug, Clone)]
struct Class {
    /// The physical tables that can hold rows of an answer.
    pin: Tables,
    /// The table around the SELECT whose place is this one's as well.
    bound: Option<usize>,
}

/// One SELECT.
#[derive(Debug, Clone)]
struct Block {
    outer: Option<usize>,
    uses: Vec<usize>,
    /// Whether FROM has something that is no table.
    opaque: bool,
    /// Why its tables are no single class.
    apart: Option<String>,
    /// Whether it stands in a select list, so that a column can be named after its text.
    listed: bool,
}

/// All tables of a statement.
#[derive(Debug, Clone)]
pub struct Reads<'t> {
    /// Each use, in the order of the holes.
    pub uses: Vec<Use<'t>>,
    blocks: Vec<Block>,
    classes: Vec<Class>,
    /// The class of each use; broadcast tables have none.
    class_of: Vec<Option<usize>>,
}

/// Finds the tables of a statement.
///
/// # Errors
/// It names a table that the topology does not have, or its parts cannot be told.
pub fn find<'t>(parsed: &Parsed, topology: &'t Topology) -> Result<Reads<'t>, Refusal> {
    let mut walk = Walk {
        parsed,
        topology,
        found: Reads {
            uses: Vec::new(),
            blocks: Vec::new(),
            classes: Vec::new(),
            class_of: Vec::new(),
        },
        common: 0,
    };
    walk.query(&parsed.query, None, None, &BTreeSet::new())?;
    // Every name of a table must have been met, or a part of the statement would go to the servers
    // with a logical name in it.
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();

        fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    let _ = parsed.query.visit(&mut count);
    if count.0 != walk.found.uses.len() + walk.common {
        return Err(Refusal::Inexact(
            "the statement has tables in places that are not looked at".to_owned(),
        ));
    }
    Ok(walk.found)
}

/// What joined tables are to places.
#[derive(Debug, Clone)]
enum Rows {
    /// The same rows everywhere.
    Everywhere,
    /// Each row of one place.
    Split,
    /// Rows of different places meet.
    Apart(String),
}

#[derive(Debug)]
struct Tree {
    uses: Vec<usize>,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    /// The left side's rows are kept.
    Left,
    Right,
}

struct Walk<'a, 't> {
    parsed: &'a Parsed,
    topology: &'t Topology,
    found: Reads<'t>,
    /// Names of common table expressions that were met.
    common: usize,
}

type Common = BTreeSet<String>;

/// A use, and whether its second key is meant.
type Node = (usize, bool);

fn unknown_shape(what: &str) -> Refusal {
    Refusal::Inexact(format!("{what} over shards is not answered"))
}

#[cfg(test)]
mod tests;
