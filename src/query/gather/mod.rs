//! The third way: what a statement needs of each logical table, so that the statement itself can
//! run, as it was written, on a scratch server that holds just that.
//!
//! The scratch server is of the same engine, so what the statement means is its own business. Ours
//! is to give it tables on which it means the same:
//!
//! - *Tables.* Every name in a FROM clause, at any depth, is a common table expression that is
//!   visible there or a logical table; anything else is refused. Where it could be either, the
//!   table is fetched too.
//! - *Columns.* A column that is used is named, somewhere in the text: so a table gets each column
//!   whose name is a word of the statement, or that stands behind a name this table goes by. A
//!   column that is left out is no word of the statement, so leaving it out changes neither what
//!   another name means nor whether it is ambiguous. Where columns are used without their names,
//!   by `*` and by NATURAL joins, all are fetched.
//! - *Rows.* A reference's rows are narrowed by conditions that no row of an answer can fail:
//!   conjuncts of WHERE and of inner joins' ON, where the table is on no side that an outer join
//!   fills with NULL; and conjuncts of a LEFT JOIN's ON for its right side. Only conditions over
//!   the columns of that one reference count, and only of a form that can neither fail nor differ
//!   from server to server ([`pushed`](super::pushed)). A table that is referred to more than once
//!   is fetched by the OR of its references' conditions. Full-text search ranks a row by the words
//!   of all: where there is any, all rows are fetched.
//!
//! The same walk refuses what a gathered statement must not do: lock, write, assign, sleep, call
//! functions that are not known to be the servers' own. What the statement asks the session or the
//! server about itself is a shard's to answer ([`Ask`]).

mod fetches;
mod narrow;
mod resolve;
mod safety;
mod session;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{Expr, Statement, Visit};
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::Tokenizer;

pub(in crate::query) use self::safety::refuse_function;
pub use self::session::Ask;
use self::session::asks;
pub(in crate::query) use self::words::is_word;
use self::words::{Words, index_hints};
use super::dialect::Mysql;
use super::parse::{admitted, line_starts, refuse_settings, significant};
use super::{Refusal, unread};
use crate::names::quote;
use crate::topology::{LogicalTable, PhysicalTable, Place, Topology};

/// What is fetched, and the statement that runs on it.
#[derive(Debug, Clone)]
pub struct Gather {
    /// The statement, without a trailing semicolon.
    sql: String,
    /// What is put in its place when it runs: where the cluster's name is written as a schema, and
    /// index hints, which name indexes that a scratch table does not have.
    edits: Vec<(Range<usize>, Edit)>,
    /// The cluster, by whose name tables can be qualified.
    cluster: String,
    /// What is fetched, one for each logical table.
    pub fetches: Vec<Fetch>,
    /// What a shard's session is asked about itself, by the number of the variable that holds the
    /// answer.
    pub asks: Vec<Ask>,
    /// Whether the tables need the shards' full-text indexes.
    pub full_text: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Schema,
    /// The variable with an answer of a shard's session.
    Answer(usize),
    Nothing,
}

/// What is fetched of a logical table.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Its name.
    pub table: String,
    /// Which of its columns.
    pub columns: Needed,
    /// The condition on its rows, over columns qualified by the table's name.
    pub filter: Option<String>,
    /// The physical tables that are read.
    pub places: Vec<Place>,
    /// How many physical tables it has, of which `places` are some.
    pub of: usize,
    /// Columns that are compared with other tables' columns: worth an index.
    pub compared: BTreeSet<String>,
}

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// All of them.
    All,
    /// Those with these names, which are in lower case. Not all of them are columns.
    Named(BTreeSet<String>),
}

impl Needed {
    /// Whether a column of this name is needed.
    pub fn has(&self, column: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Named(names) => names.contains(&column.to_lowercase()),
        }
    }
}

impl Fetch {
    /// What a physical table is asked for these expressions over its columns.
    pub fn sql(&self, physical: &PhysicalTable, expressions: &[String]) -> String {
        let filter = match &self.filter {
            Some(filter) => format!(" WHERE {filter}"),
            None => String::new(),
        };
        format!(
            "SELECT {} FROM {} AS {}{filter}",
            expressions.join(", "),
            physical.quoted(),
            quote(&self.table)
        )
    }
}

impl Gather {
    /// The statement as it was written.
    pub fn written(&self) -> &str {
        &self.sql
    }

    /// The statement for a schema that holds the fetched tables under their logical names.
    pub fn statement(&self, schema: &str) -> String {
        let mut sql = self.sql.clone();
        for (range, edit) in self.edits.iter().rev() {
            let text = match edit {
                Edit::Nothing => String::new(),
                Edit::Answer(number) => Ask::variable(*number),
                Edit::Schema if sql[range.clone()].starts_with('`') => quote(schema),
                Edit::Schema => schema.to_owned(),
            };
            sql.replace_range(range.clone(), &text);
        }
        sql
    }

    /// A result column's name as the statement that was written gives it: an expression's name is
    /// its text, in which the schema's name or a variable of ours may stand.
    pub fn column_name(&self, name: &str, schema: &str) -> String {
        let mut name = match self.edits.iter().any(|(_, edit)| *edit == Edit::Schema) {
            true => name.replace(schema, &self.cluster),
            false => name.to_owned(),
        };
        // The last first: the number of one can begin with that of another.
        for (number, ask) in self.asks.iter().enumerate().rev() {
            name = name.replace(&Ask::variable(number), &ask.written);
        }
        name
    }
}

/// Finds out what a statement needs.
///
/// # Errors
/// It cannot be read, does more than read, names what is not there, or asks the session or the
/// server about itself.
pub fn gather(sql: &str, topology: &Topology) -> Result<Gather, Refusal> {
    let sql = admitted(sql)?;
    let dialect = Mysql::default();
    let syntax = |message: String| Refusal::Syntax {
        message: message.trim_start_matches("sql parser error: ").to_owned(),
    };
    let located = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|fault| syntax(fault.to_string()))?;
    refuse_settings(&located)?;
    let tokens = significant(sql, &line_starts(sql), &located);
    let words = Words::new(&tokens);
    let parsed = Parser::new(&dialect)
        .with_options(ParserOptions::new().with_unescape(false))
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    let (asks, answers) = asks(sql, &tokens, &topology.cluster);
    let asked = asks.len();
    let make = |fetches: Vec<Fetch>, goes_by_cluster: bool, full_text: bool| {
        let mut edits = words.schemas(&topology.cluster, goes_by_cluster);
        edits.extend(answers);
        edits.extend(index_hints(&tokens).map(|range| (range, Edit::Nothing)));
        edits.sort_by_key(|(range, _)| range.start);
        Gather {
            sql: sql.to_owned(),
            edits,
            cluster: topology.cluster.clone(),
            fetches,
            asks,
            full_text,
        }
    };
    let statements = match parsed {
        Ok(statements) => statements,
        Err(fault) => {
            return match unread::fetches(&tokens, topology) {
                Ok(fetches) if !words.stands(&topology.cluster) => Ok(make(fetches, false, false)),
                Ok(_) => Err(syntax(fault.to_string())),
                Err(refusal) => Err(refusal),
            };
        }
    };
    let query = match statements.as_slice() {
        [Statement::Query(query)] => query,
        [_] => {
            return Err(Refusal::Unsafe(
                "only SELECT is answered: this tool reads".to_owned(),
            ));
        }
        _ => {
            return Err(Refusal::Unsafe(
                "one statement at a time, please".to_owned(),
            ));
        }
    };
    let mut walk = Walk::new(topology);
    if let ControlFlow::Break(refusal) = query.visit(&mut walk) {
        return Err(refusal);
    }
    if walk.relations_seen != walk.relations_resolved {
        return Err(Refusal::Inexact(
            "the statement names tables in a place that is not understood".to_owned(),
        ));
    }
    if walk.asked != asked {
        return Err(Refusal::Inexact(
            "the statement asks the session about itself in a way that is not understood"
                .to_owned(),
        ));
    }
    if tokens.iter().any(|(token, _)| is_word(token, "NATURAL")) {
        for reference in &mut walk.references {
            reference.all = true;
        }
    }
    if walk.qualified && walk.goes_by_cluster {
        return Err(Refusal::Inexact(format!(
            "`{}` is the cluster and the name of a table here; use another alias",
            topology.cluster
        )));
    }
    let fetches = walk.fetches(&words)?;
    Ok(make(fetches, walk.goes_by_cluster, walk.full_text))
}

/// A table in a FROM clause.
struct Reference<'a> {
    table: &'a LogicalTable,
    /// The name its columns are qualified by.
    exposed: String,
    /// Whether columns are used without being named.
    all: bool,
    /// The conditions that its rows must meet, and the physical tables that have such rows.
    filter: Option<String>,
    places: Option<BTreeSet<u32>>,
}

/// A column that is compared with another: its qualifier and its name, in lower case.
type Compared = (Option<String>, String);

struct Walk<'a> {
    topology: &'a Topology,
    references: Vec<Reference<'a>>,
    /// The common table expressions that are visible, for each query that is being visited.
    visible: Vec<Level>,
    /// The queries that are expressions of WITH in a query that is being visited, by address, with
    /// what is visible in them.
    expressions: BTreeMap<usize, Vec<String>>,
    /// SELECTs whose list does not matter, by address.
    existence: BTreeSet<usize>,
    compared: Vec<Compared>,
    /// Whether a table is written with the cluster as its schema.
    qualified: bool,
    /// Whether anything in a FROM clause has the cluster's name.
    goes_by_cluster: bool,
    relations_seen: usize,
    relations_resolved: usize,
    /// How often the session is asked about itself.
    asked: usize,
    /// Whether rows are ranked by all rows' words.
    full_text: bool,
}

struct Level {
    ctes: Vec<String>,
}

fn address<T>(item: &T) -> usize {
    std::ptr::from_ref(item).addr()
}

/// A name in a FROM clause.
enum Named<'a> {
    Table(&'a LogicalTable),
    /// A common table expression, or nothing at all (DUAL).
    Other,
}

/// A member of a FROM clause.
struct Factor {
    exposed: String,
    /// Its reference, where it is a logical table for certain.
    reference: Option<usize>,
    /// Whether an outer join can fill it with NULL.
    nullable: bool,
}

/// The FROM clause of a SELECT.
#[derive(Default)]
struct From<'e> {
    factors: Vec<Factor>,
    /// Conditions of inner joins.
    inner: Vec<&'e Expr>,
    /// Conditions of left joins, with the right side where it is one factor.
    left: Vec<(usize, &'e Expr)>,
}

#[cfg(test)]
mod tests;
