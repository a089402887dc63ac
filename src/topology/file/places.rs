//! Where things stand in a topology file that has been read already: for messages about the
//! meaning of a sound file, which want to point at a line too.

use std::collections::HashMap;

use super::{Entries, Placed, Spanned, TableEntry, TopologyFile};
use crate::names::{InstanceName, TableName};

/// A line and a column in characters, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LineColumn {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// Something in the file that a message can point at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spot {
    /// The name of the cluster.
    Cluster,
    /// The placement of the schemas.
    Placement,
    /// An instance.
    Instance(InstanceName),
    /// A logical table.
    Table(TableName),
    /// A logical table's shard key.
    ShardKey(TableName),
    /// A logical table's second key; its shard key where it has none.
    TableKey(TableName),
    /// A logical table's DDL.
    Ddl(TableName),
}

/// The places of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(HashMap<Spot, LineColumn>);

impl Places {
    /// Where it stands; `None` where it is not written.
    pub fn of(&self, spot: &Spot) -> Option<LineColumn> {
        self.0.get(spot).copied()
    }
}

/// The places in the text of a topology file; none where it cannot be read.
pub fn places(text: &str) -> Places {
    let options = serde_yaml::options! {
        with_snippet: false,
    };
    let Ok(file) = serde_yaml::from_str_with_options::<TopologyFile>(text, options) else {
        return Places::default();
    };
    let mut places = HashMap::new();
    let mut note = |spot: Spot, placed: &dyn Placed| {
        let at = placed.at();
        places.insert(
            spot,
            LineColumn {
                line: at.0,
                column: at.1,
            },
        );
    };
    note(Spot::Cluster, &file.cluster);
    note(Spot::Placement, &file.schemas.value.on);
    for (key, _) in &file.instances.value.0 {
        if let Ok(name) = InstanceName::new(key.value.as_str()) {
            note(Spot::Instance(name), key);
        }
    }
    tables(&file.tables, &mut note);
    Places(places)
}

fn tables(entries: &Entries<Spanned<TableEntry>>, note: &mut dyn FnMut(Spot, &dyn Placed)) {
    for (key, entry) in &entries.0 {
        let Ok(name) = TableName::new(key.value.as_str()) else {
            continue;
        };
        let entry = &entry.value;
        if let Some(shard_key) = &entry.shard_key {
            note(Spot::ShardKey(name.clone()), shard_key);
            note(
                Spot::TableKey(name.clone()),
                entry.table_key.as_ref().unwrap_or(shard_key),
            );
        }
        note(Spot::Ddl(name.clone()), &entry.ddl);
        note(Spot::Table(name), key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text() {
        let text = include_str!("../../../topology.yaml");
        let places = places(text);
        let line = |spot: &Spot| {
            let place = places.of(spot).unwrap();
            let line = text.lines().nth(place.line as usize - 1).unwrap();
            line.chars()
                .skip(place.column as usize - 1)
                .collect::<String>()
        };
        let table = |name: &str| TableName::new(name).unwrap();
        assert_eq!(line(&Spot::Table(table("member"))), "member:");
        assert_eq!(
            line(&Spot::ShardKey(table("member_login_account_memberAccount"))),
            "memberAccount"
        );
        assert!(line(&Spot::Instance(InstanceName::new("rds-2").unwrap())).starts_with("rds-2:"));
        assert_eq!(line(&Spot::Cluster), "user_center");
        assert_eq!(super::places("no: topology"), Places::default());
    }
}
