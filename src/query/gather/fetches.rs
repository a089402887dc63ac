//! What is fetched of each table that a statement refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::words::Words;
use super::{Fetch, Needed, Reference, Walk};
use crate::query::Refusal;
use crate::topology::{Place, Spread};

impl Walk<'_> {
    /// What is fetched of each table that is referred to.
    pub(super) fn fetches(&self, words: &Words) -> Result<Vec<Fetch>, Refusal> {
        let mut exposed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for reference in &self.references {
            let names = exposed.entry(reference.exposed.to_lowercase()).or_default();
            names.insert(reference.table.name.as_str());
        }
        let mut fetches = Vec::new();
        for table in self.topology.tables.values() {
            let name = table.name.as_str();
            let references: Vec<&Reference<'_>> = self
                .references
                .iter()
                .filter(|reference| reference.table.name == table.name)
                .collect();
            if references.is_empty() {
                continue;
            }
            let goes_by = |qualifier: &Option<String>| match qualifier {
                Some(qualifier) => exposed
                    .get(qualifier)
                    .is_some_and(|tables| tables.contains(name)),
                None => true,
            };
            let mut named: BTreeSet<String> = words
                .columns
                .iter()
                .filter(|(qualifier, _)| goes_by(qualifier))
                .map(|(_, column)| column.clone())
                .collect();
            // What does not look like a word may have been read as something else.
            let odd = table.def.columns.iter().map(|column| column.name.as_str());
            named.extend(odd.filter(|name| !plain(name)).map(str::to_lowercase));
            let columns = match references.iter().any(|reference| reference.all) {
                true => Needed::All,
                false => Needed::Named(named),
            };
            let filters: Option<BTreeSet<&str>> = references
                .iter()
                .map(|reference| reference.filter.as_deref().filter(|_| !self.full_text))
                .collect();
            let filter = filters.map(|filters| match filters.into_iter().collect::<Vec<_>>() {
                one if one.len() == 1 => one[0].to_owned(),
                several => format!("({})", several.join(") OR (")),
            });
            let narrowed: Option<Vec<&BTreeSet<u32>>> = references
                .iter()
                .map(|reference| reference.places.as_ref().filter(|_| !self.full_text))
                .collect();
            let all: Vec<Place> = self.topology.places(table).collect();
            let of = all.len();
            // One is read at the least: it tells what the columns are.
            let first = all.first().copied();
            let mut places: Vec<Place> = match (&table.spread, narrowed) {
                // All have the same rows.
                (Spread::Broadcast, _) => all.into_iter().take(1).collect(),
                (_, None) => all,
                (_, Some(numbers)) => all
                    .into_iter()
                    .filter(|place| numbers.iter().any(|set| set.contains(&place.table)))
                    .collect(),
            };
            if places.is_empty() {
                places.extend(first);
            }
            fetches.push(Fetch {
                table: name.to_owned(),
                columns,
                filter,
                places,
                of,
                compared: self
                    .compared
                    .iter()
                    .filter(|(qualifier, column)| {
                        goes_by(qualifier) && table.def.column(column).is_some()
                    })
                    .map(|(_, column)| column.clone())
                    .collect(),
            });
        }
        Ok(fetches)
    }
}

/// A name that can only be read as a word.
fn plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
