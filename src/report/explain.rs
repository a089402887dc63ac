//! How a statement would be answered.

use serde::Serialize;

use super::{Report, View};

/// What `query --explain` shows.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainReport {
    /// The logical table.
    pub table: String,
    /// `one shard`, or `scatter and merge`.
    pub way: &'static str,
    /// Why this way.
    pub reason: String,
    /// How the answers are merged; nothing for one shard.
    pub merge: Option<String>,
    /// What each physical table is asked.
    pub shards: Vec<ExplainShard>,
}

/// One physical table's part.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainShard {
    /// Instance, schema and table.
    pub place: String,
    /// What it is asked.
    pub sql: String,
}

impl Report for ExplainReport {
    fn text(&self, _: &View) -> String {
        let mut text = format!(
            "way:     {} ({} of `{}`)\nbecause: {}",
            self.way,
            match self.shards.len() {
                1 => "1 table".to_owned(),
                n => format!("{n} tables"),
            },
            self.table,
            self.reason
        );
        if let Some(merge) = &self.merge {
            text.push_str(&format!("\nmerge:   {merge}"));
        }
        // The statements differ in the table's name only.
        if let Some(first) = self.shards.first() {
            text.push_str(&format!("\nasked:   {}", first.sql));
        }
        let places: Vec<&str> = self
            .shards
            .iter()
            .map(|shard| shard.place.as_str())
            .collect();
        let more = places.len().saturating_sub(4);
        text.push_str(&format!(
            "\nof:      {}",
            places[..places.len() - more].join(", ")
        ));
        if more > 0 {
            text.push_str(&format!(
                " and {more} more (all of them with --output json)"
            ));
        }
        text
    }
}
