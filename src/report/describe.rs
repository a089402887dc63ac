//! What the topology itself answers: SHOW TABLES, DESCRIBE, SHOW CREATE TABLE.

use crate::error::{Error, Result};
use crate::rows::cell::{Column, Kind, Padding, Row};
use crate::schema::{ColumnType, IndexKind};
use crate::topology::{LogicalTable, Spread, Topology};

/// A question that the topology answers without a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// Which logical tables there are.
    Tables,
    /// A table's columns.
    Columns(String),
    /// A table's statement.
    Statement(String),
}

/// The question in a statement, where it is one of these.
pub fn described(sql: &str) -> Option<Described> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let upper: Vec<String> = words.iter().map(|word| word.to_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let name = || {
        let name = words.last().copied().unwrap_or_default();
        name.trim_matches('`').to_owned()
    };
    match upper.as_slice() {
        ["SHOW", "TABLES"] | ["SHOW", "FULL", "TABLES"] => Some(Described::Tables),
        ["DESCRIBE" | "DESC" | "EXPLAIN", _]
        | ["SHOW", "COLUMNS" | "FIELDS", "FROM" | "IN", _]
        | ["SHOW", "FULL", "COLUMNS" | "FIELDS", "FROM" | "IN", _] => {
            Some(Described::Columns(name()))
        }
        ["SHOW", "CREATE", "TABLE", _] => Some(Described::Statement(name())),
        _ => None,
    }
}

/// The answer as columns and rows.
///
/// # Errors
/// There is no such table.
pub fn describe(topology: &Topology, asked: &Described) -> Result<(Vec<Column>, Vec<Row>)> {
    Ok(match asked {
        Described::Tables => (
            columns(&["Table", "Kind", "Split by", "Physical tables"]),
            topology
                .tables
                .values()
                .map(|table| {
                    row([
                        table.name.to_string(),
                        kind(table),
                        split_by(table),
                        topology.places(table).count().to_string(),
                    ])
                })
                .collect(),
        ),
        Described::Columns(name) => (
            columns(&["Field", "Type", "Null", "Key", "Default", "Extra", "Splits"]),
            of_table(find(topology, name)?),
        ),
        Described::Statement(name) => {
            let table = find(topology, name)?;
            (
                columns(&["Table", "Create Table"]),
                vec![row([table.name.to_string(), table.ddl.trim().to_owned()])],
            )
        }
    })
}

fn find<'a>(topology: &'a Topology, name: &str) -> Result<&'a LogicalTable> {
    let mut tables = topology.tables.values();
    tables
        .find(|table| table.name.as_str() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = topology.tables.keys().map(|name| name.as_str()).collect();
            Error::usage(format!("there is no logical table `{name}`"))
                .next(format!("there are: {}", names.join(", ")))
        })
}

fn kind(table: &LogicalTable) -> String {
    match &table.spread {
        Spread::Sharded(_) => "sharded".to_owned(),
        Spread::IndexTable { base, .. } => format!("index table of {base}"),
        Spread::Broadcast => "broadcast".to_owned(),
    }
}

fn split_by(table: &LogicalTable) -> String {
    let Some(split) = table.spread.split() else {
        return String::new();
    };
    let rules = std::iter::once(&split.schema).chain(&split.table);
    let rules: Vec<String> = rules
        .map(|rule| format!("{}({})", rule.function.name(), rule.column))
        .collect();
    rules.join(", ")
}

fn of_table(table: &LogicalTable) -> Vec<Row> {
    let split = table.spread.split();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    table
        .def
        .columns
        .iter()
        .map(|column| {
            let name = column.name.as_str();
            let first = |parts: &[crate::schema::KeyPart]| {
                parts.first().is_some_and(|part| part.column == name)
            };
            let indexes = &table.def.indexes;
            let key = if table.def.primary_key.iter().any(|part| part.column == name) {
                "PRI"
            } else if indexes.iter().any(|index| {
                index.kind == IndexKind::Unique && index.parts.len() == 1 && first(&index.parts)
            }) {
                "UNI"
            } else if indexes.iter().any(|index| first(&index.parts)) {
                "MUL"
            } else {
                ""
            };
            let mut extra = Vec::new();
            if column.auto_increment {
                extra.push("auto_increment".to_owned());
            }
            if let Some(on_update) = &column.on_update {
                extra.push(format!("on update {on_update}"));
            }
            if let Some(generated) = &column.generated {
                let how = if generated.stored {
                    "STORED"
                } else {
                    "VIRTUAL"
                };
                extra.push(format!("{how} GENERATED"));
            }
            let splits: Vec<&str> = split
                .into_iter()
                .flat_map(|split| {
                    let table = split.table.iter().map(|rule| ("table", rule));
                    std::iter::once(("schema", &split.schema)).chain(table)
                })
                .filter(|(_, rule)| rule.column.as_str() == name)
                .map(|(what, _)| what)
                .collect();
            vec![
                text(name),
                text(&type_name(&column.kind)),
                text(if column.nullable { "YES" } else { "NO" }),
                text(key),
                column.default.as_deref().and_then(text),
                text(&extra.join(" ")),
                text(&splits.join(", ")),
            ]
        })
        .collect()
}

fn type_name(kind: &ColumnType) -> String {
    let signed = |name: &str, unsigned: &bool| match unsigned {
        true => format!("{name} unsigned"),
        false => name.to_owned(),
    };
    let fraction = |name: &str, digits: &u8| match digits {
        0 => name.to_owned(),
        digits => format!("{name}({digits})"),
    };
    let prefix = |bytes: &u8| match bytes {
        1 => "tiny",
        3 => "medium",
        4 => "long",
        _ => "",
    };
    let list = |name: &str, values: &[String]| {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("'{}'", value.replace('\'', "''")))
            .collect();
        format!("{name}({})", values.join(","))
    };
    match kind {
        ColumnType::Integer { bytes, unsigned } => signed(
            match bytes {
                1 => "tinyint",
                2 => "smallint",
                3 => "mediumint",
                4 => "int",
                _ => "bigint",
            },
            unsigned,
        ),
        ColumnType::Decimal {
            precision,
            scale,
            unsigned,
        } => signed(&format!("decimal({precision},{scale})"), unsigned),
        ColumnType::Float { unsigned } => signed("float", unsigned),
        ColumnType::Double { unsigned } => signed("double", unsigned),
        ColumnType::Bit { bits } => format!("bit({bits})"),
        ColumnType::Char { chars, .. } => format!("char({chars})"),
        ColumnType::Varchar { chars, .. } => format!("varchar({chars})"),
        ColumnType::Text { length_bytes, .. } => format!("{}text", prefix(length_bytes)),
        ColumnType::Binary { bytes } => format!("binary({bytes})"),
        ColumnType::Varbinary { bytes } => format!("varbinary({bytes})"),
        ColumnType::Blob { length_bytes } => format!("{}blob", prefix(length_bytes)),
        ColumnType::Enum { values, .. } => list("enum", values),
        ColumnType::Set { values, .. } => list("set", values),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time { fraction: digits } => fraction("time", digits),
        ColumnType::Datetime { fraction: digits } => fraction("datetime", digits),
        ColumnType::Timestamp { fraction: digits } => fraction("timestamp", digits),
        ColumnType::Year => "year".to_owned(),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Other(name) => name.clone(),
    }
}

fn columns(names: &[&str]) -> Vec<Column> {
    names
        .iter()
        .map(|name| Column {
            name: (*name).to_owned(),
            kind: Kind::Text,
            scale: 0,
            cast: None,
            padding: Padding::No,
        })
        .collect()
}

fn row<const N: usize>(cells: [String; N]) -> Row {
    cells
        .into_iter()
        .map(|cell| Some(cell.into_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_statements() {
        let check = |sql: &str, expected: Option<Described>| {
            assert_eq!(described(sql), expected, "{sql}");
        };
        check("show  tables", Some(Described::Tables));
        check(
            "DESC `member`",
            Some(Described::Columns("member".to_owned())),
        );
        check(
            "show columns from t",
            Some(Described::Columns("t".to_owned())),
        );
        check(
            "SHOW CREATE TABLE t",
            Some(Described::Statement("t".to_owned())),
        );
        check("SELECT 1", None);
        check("EXPLAIN SELECT 1", None);
    }
}
