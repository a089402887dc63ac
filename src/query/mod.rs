//! A SELECT over a logical table: statement to plan to merged answer.
//!
//! | stage | file | from | to |
//! |---|---|---|---|
//! | split | [`statements`] | text of many statements | one after the other |
//! | parse | [`parse`] | text | syntax tree, tokens, pieces of the text |
//! | tables | [`tables`] | names | logical tables, and which of their rows can meet |
//! | route | [`keys`] | conditions | the physical tables that can hold an answer |
//! | plan | [`plan`] | all of these | a way, and what each place is asked |
//! | lookup | [`lookup`] | a key of an index table | a question for the shards of the rows |
//! | scatter | `scatter`, `whole`, `grouped`, `compute` | one SELECT | its parts, and how they are merged |
//! | union | [`union`] | a UNION ALL | a plan for each of its SELECTs |
//! | merge | [`merge`] | the shards' rows | the rows of one server |
//! | modes | [`modes`] | the servers' sql_mode | whether the statement means the same under it |
//! | gather | [`gather`], [`pushed`] | text that cannot be merged | what is fetched, for it to run on a scratch server |
//!
//! Statements are analysed as a tree and rewritten as text: what a person wrote goes to the servers
//! as written, with the table's name replaced, so that names and meanings of columns stay the
//! server's own. What cannot be answered exactly is refused with the reason.

mod aggregate;
mod compute;
pub mod dialect;
pub mod functions;
pub mod gather;
mod grouped;
mod items;
pub mod keys;
pub mod lookup;
pub mod merge;
pub mod modes;
pub mod parameters;
pub mod parse;
pub mod plan;
pub mod pushed;
pub mod scatter;
pub mod statements;
pub mod tables;
pub mod template;
pub mod union;
mod unread;
mod whole;

/// That the topology has no logical table of this name.
fn no_table(name: &str, topology: &crate::topology::Topology) -> Refusal {
    let names: Vec<&str> = topology.tables.keys().map(|name| name.as_str()).collect();
    Refusal::Unknown(format!(
        "there is no logical table `{name}`; there are: {}",
        names.join(", ")
    ))
}

/// Why a statement is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text cannot be read.
    #[error("{message}")]
    Syntax {
        /// What is wrong, with line and column.
        message: String,
    },
    /// Not a statement that only reads.
    #[error("{0}")]
    Unsafe(String),
    /// A table or column that the topology does not have.
    #[error("{0}")]
    Unknown(String),
    /// A shape whose merged answer would not be provably the one a single server gives.
    #[error("{0}")]
    Inexact(String),
}
