//! Measuring a live database for a plan.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;

use crate::error::{Error, Result};
use crate::mysql::measure::{Found, count, created, created_by_ids, definition, tables};
use crate::mysql::{Conn, Server};
use crate::names::SchemaName;
use crate::schema::TableDef;
use crate::schema::parse::parse_create_table;
use crate::schema::size::{Pages, Unknown, row_size};
use crate::topology::measured::{
    AutoIncrement, Created, Growth, History, Measured, MeasuredTable, counting_key,
    creation_column, growth_by_history, growth_by_ids, is_date, is_indexed, logical_name,
};

/// Rows of a table that is read whole for its growth without being asked to with `--exact`.
const SCANNED_ROWS_MAX: u64 = 100_000;

/// What is to be measured, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The schemas of each server.
    pub schemas: Vec<(Server, Vec<SchemaName>)>,
    /// The logical tables that are known, by schema and physical table. A copy that stands for
    /// others is named once.
    pub known: HashMap<(String, String), String>,
    /// Whether only known tables count.
    pub known_only: bool,
    /// Whether to count rows.
    pub exact: bool,
    /// The creation-time column, where it was named.
    pub created: Option<String>,
    /// Earlier measurements.
    pub history: History,
    /// The day to measure back from.
    pub as_of: Date,
}

/// A logical table on its way.
#[derive(Default)]
struct Gathered {
    physical: Vec<(usize, Found)>,
}

/// Measures. `seen` hears of each physical table.
///
/// # Errors
/// A server cannot be asked, a schema is not there or has no tables, the user may not read one, or
/// no table has the column that was named.
pub async fn measure(wanted: &Wanted, seen: impl Fn(&str)) -> Result<Measured> {
    let mut conns: Vec<(Server, Conn)> = Vec::new();
    let mut found: Vec<(usize, Found)> = Vec::new();
    let mut schemas = Vec::new();
    for (server, names) in &wanted.schemas {
        let mut conn = server.conn().await?;
        for schema in names {
            schemas.push(format!("{}/{schema}", server.name()));
            let here = tables(server, &mut conn, schema).await?;
            found.extend(here.into_iter().map(|table| (conns.len(), table)));
        }
        conns.push((server.clone(), conn));
    }
    let names: Vec<String> = found.iter().map(|(_, table)| table.table.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut logical: BTreeMap<String, Gathered> = BTreeMap::new();
    for (at, table) in found {
        let place = (table.schema.to_string(), table.table.clone());
        let name = match wanted.known.get(&place) {
            Some(name) => name.clone(),
            None if wanted.known_only => continue,
            None => logical_name(&table.table, &names).to_owned(),
        };
        let gathered = logical.entry(name).or_default();
        gathered.physical.push((at, table));
    }
    if logical.is_empty() {
        return Err(Error::usage("there are no tables to plan for")
            .at(schemas.join(", "))
            .next("a user sees only the tables that it has a right on"));
    }
    let mut measured = Vec::new();
    let mut has_column = wanted.created.is_none();
    for (name, gathered) in logical {
        let table = one(wanted, &mut conns, name, gathered, &mut has_column, &seen).await?;
        measured.push(table);
    }
    if let (false, Some(column)) = (has_column, &wanted.created) {
        return Err(
            Error::usage(format!("no table has a column `{column}` that holds dates"))
                .at(schemas.join(", ")),
        );
    }
    Ok(Measured {
        schemas,
        as_of: wanted.as_of,
        is_exact: wanted.exact,
        tables: measured,
    })
}

async fn one(
    wanted: &Wanted,
    conns: &mut [(Server, Conn)],
    name: String,
    mut gathered: Gathered,
    has_column: &mut bool,
    seen: &impl Fn(&str),
) -> Result<MeasuredTable> {
    let Some((first, example)) = gathered.physical.first() else {
        return Err(Error::unknown("a table without tables").at(name));
    };
    let (server, conn) = &mut conns[*first];
    let sql = definition(server, conn, example).await?;
    // What our parser does not know has no columns to go by, and sizes and ids all the same.
    let def = parse_create_table(&sql).ok();
    for (at, table) in &mut gathered.physical {
        seen(&table.table);
        if wanted.exact {
            let (server, conn) = &mut conns[*at];
            table.rows = count(server, conn, table).await?;
        }
    }
    let sum = |of: fn(&Found) -> u64| {
        gathered
            .physical
            .iter()
            .map(|(_, table)| of(table))
            .fold(0, u64::saturating_add)
    };
    let mut measured = MeasuredTable {
        name,
        physical_tables: gathered.physical.len() as u32,
        rows: sum(|table| table.rows),
        data_bytes: sum(|table| table.data_bytes),
        index_bytes: sum(|table| table.index_bytes),
        row_bytes: None,
        record_bytes: None,
        row_bytes_by_definition: false,
        growth: Growth::unknown(""),
    };
    measured.set_row_bytes(def.as_ref().map(|def| {
        let size = row_size(def, &Unknown, Pages::Full);
        (size.total(), size.record.ceil() as u64)
    }));
    let column = def
        .as_ref()
        .and_then(|def| column_of(wanted, def, has_column));
    measured.growth = growth(
        wanted,
        conns,
        &gathered.physical,
        def.as_ref(),
        column.as_deref(),
        measured.rows,
    )
    .await?;
    Ok(measured)
}

fn column_of(wanted: &Wanted, def: &TableDef, has_column: &mut bool) -> Option<String> {
    if let Some(named) = &wanted.created
        && let Some(column) = def.column(named)
        && is_date(&column.kind)
    {
        *has_column = true;
        return Some(column.name.to_string());
    }
    creation_column(def).map(str::to_owned)
}

/// The surest growth that can be had: by a creation-time column, by ids, by stored history.
async fn growth(
    wanted: &Wanted,
    conns: &mut [(Server, Conn)],
    physical: &[(usize, Found)],
    def: Option<&TableDef>,
    column: Option<&str>,
    rows: u64,
) -> Result<Growth> {
    let as_of = wanted.as_of;
    let mut reasons = Vec::new();
    if let (Some(def), Some(column)) = (def, column) {
        let can_count = wanted.exact || is_indexed(def, column);
        let mut all: Option<Created> = None;
        let mut refused = false;
        for (at, table) in physical {
            let (server, conn) = &mut conns[*at];
            let one = if can_count || table.rows <= SCANNED_ROWS_MAX {
                created(server, conn, table, column, as_of).await?
            } else if let Some(id) = counting_key(def) {
                created_by_ids(server, conn, table, column, id, as_of).await?
            } else {
                refused = true;
                break;
            };
            all = Some(match all {
                None => one,
                Some(all) => all.and(one),
            });
        }
        match all {
            Some(all) if !refused => {
                let growth = all.growth(as_of);
                if growth.rows_per_year.is_some() {
                    return Ok(growth);
                }
                reasons.push(growth.from);
            }
            _ => reasons.push(format!(
                "`{column}` has no index, and the table is too large to be read whole unasked: \
                 say --exact"
            )),
        }
    }
    let ids: Vec<AutoIncrement> = physical
        .iter()
        .filter_map(|(_, table)| table.auto_increment)
        .collect();
    let mut by_ids = None;
    if !ids.is_empty() && ids.len() == physical.len() {
        let growth = growth_by_ids(&ids, as_of);
        match growth.rows_per_year {
            Some(_) => by_ids = Some(growth),
            None => reasons.push(growth.from),
        }
    }
    if let Some(growth) = by_ids {
        return Ok(growth);
    }
    let places: Vec<(String, String)> = physical
        .iter()
        .map(|(_, table)| (table.schema.to_string(), table.table.clone()))
        .collect();
    if let Some(earlier) = wanted.history.oldest(&places) {
        let growth = growth_by_history(earlier, rows, as_of);
        match growth.rows_per_year {
            Some(_) => return Ok(growth),
            None => reasons.push(growth.from),
        }
    }
    Ok(Growth::unknown(match reasons.is_empty() {
        true => "no creation-time column, no AUTO_INCREMENT, no stored history".to_owned(),
        false => reasons.join("; "),
    }))
}
