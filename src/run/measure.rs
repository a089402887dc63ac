//! Measuring a live database for a plan.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;

use crate::error::{Class, Error, Result};
use crate::mysql::measure::{Found, count, created, created_by_ids, definition, tables};
use crate::mysql::{Conn, Server};
use crate::names::{InstanceName, SchemaName};
use crate::schema::TableDef;
use crate::schema::parse::parse_create_table;
use crate::schema::size::{Pages, Unknown, row_size};
use crate::topology::measured::{
    AutoIncrement, Created, Growth, History, Measured, MeasuredTable, Missing, counting_key,
    creation_column, growth_by_history, growth_by_ids, is_date, is_indexed, logical_name,
};

/// Rows of a table that is read whole for its growth without being asked to with `--exact`.
const SCANNED_ROWS_MAX: u64 = 100_000;

/// What is to be measured, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The schemas of each server.
    pub schemas: Vec<(Server, Vec<SchemaName>)>,
    /// The same of those that were not reached, and why.
    pub unreached: Vec<(InstanceName, Vec<SchemaName>, Error)>,
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
    /// Physical tables that could not be measured.
    missing: u32,
}

/// What could not be measured so far. The rest is measured all the same.
#[derive(Default)]
struct Lost {
    missing: Vec<Missing>,
    /// The first fault: where nothing else was found it is the answer.
    first: Option<Error>,
}

impl Lost {
    /// Takes the fault of a server; any other ends the measurement.
    fn add(&mut self, place: String, fault: Error) -> Result<()> {
        if fault.class() != Class::Server {
            return Err(fault);
        }
        self.missing.push(Missing {
            place,
            why: fault.summary(),
            next: fault.advice().map(str::to_owned),
        });
        self.first.get_or_insert(fault);
        Ok(())
    }
}

/// Measures. `seen` hears of each physical table. What a server refuses, or one that was not
/// reached has, is told in the answer.
///
/// # Errors
/// Nothing at all could be measured; a schema has no tables; or no table has the column that was
/// named.
pub async fn measure(wanted: &Wanted, seen: impl Fn(&str)) -> Result<Measured> {
    let mut conns: Vec<(Server, Conn)> = Vec::new();
    let mut found: Vec<(usize, Found)> = Vec::new();
    let mut schemas = Vec::new();
    let mut lost = Lost::default();
    let mut unread: Vec<&SchemaName> = Vec::new();
    for (instance, names, fault) in &wanted.unreached {
        lost.add(instance.to_string(), fault.clone())?;
        unread.extend(names);
    }
    for (server, names) in &wanted.schemas {
        let mut conn = match server.conn().await {
            Ok(conn) => conn,
            Err(fault) => {
                lost.add(server.name().to_string(), fault)?;
                unread.extend(names);
                continue;
            }
        };
        for schema in names {
            let place = format!("{}/{schema}", server.name());
            match tables(server, &mut conn, schema).await {
                Ok(here) => found.extend(here.into_iter().map(|table| (conns.len(), table))),
                Err(fault) => {
                    lost.add(place, fault)?;
                    unread.push(schema);
                    continue;
                }
            }
            schemas.push(place);
        }
        conns.push((server.clone(), conn));
    }
    if let (true, Some(first)) = (schemas.is_empty(), &lost.first) {
        return Err(first.clone());
    }
    let names: Vec<String> = found.iter().map(|(_, table)| table.table.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut logical: BTreeMap<String, Gathered> = BTreeMap::new();
    // The tables of a schema that was not read are known only where a topology has it.
    let is_open = unread.iter().any(|schema| {
        let mut known = wanted.known.keys();
        !known.any(|(known, _)| known == schema.as_str())
    });
    let here: HashSet<(&str, &str)> = found
        .iter()
        .map(|(_, table)| (table.schema.as_str(), table.table.as_str()))
        .collect();
    for ((schema, table), name) in &wanted.known {
        let is_unread = unread.iter().any(|unread| unread.as_str() == schema);
        let is_wanted = wanted.known_only
            || is_unread
            || found
                .iter()
                .any(|(_, found)| found.schema.as_str() == schema);
        if !is_wanted || here.contains(&(schema.as_str(), table.as_str())) {
            continue;
        }
        logical.entry(name.clone()).or_default().missing += 1;
        if !is_unread {
            lost.missing.push(Missing {
                place: format!("{schema}.{table}"),
                why: "it is not there, or the user has no right on it".to_owned(),
                next: None,
            });
        }
    }
    lost.missing.sort_by(|a, b| a.place.cmp(&b.place));
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
    let mut unmeasured = Vec::new();
    let mut has_column = wanted.created.is_none();
    for (name, gathered) in logical {
        let mut look = Look {
            wanted,
            conns: &mut conns,
            lost: &mut lost,
            has_column: &mut has_column,
        };
        match look.one(&name, gathered, &seen).await? {
            Some(table) => measured.push(table),
            None => unmeasured.push(name),
        }
    }
    if let (true, Some(first)) = (measured.is_empty(), lost.first) {
        return Err(first);
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
        missing: lost.missing,
        unmeasured,
        is_open,
    })
}

/// What looking at one logical table takes.
struct Look<'a> {
    wanted: &'a Wanted,
    conns: &'a mut [(Server, Conn)],
    lost: &'a mut Lost,
    has_column: &'a mut bool,
}

impl Look<'_> {
    /// Measures a logical table; `None` where none of its physical tables can be.
    async fn one(
        &mut self,
        name: &str,
        gathered: Gathered,
        seen: &impl Fn(&str),
    ) -> Result<Option<MeasuredTable>> {
        let mut sql = None;
        let mut physical = Vec::new();
        let mut missing = gathered.missing;
        for (at, mut table) in gathered.physical {
            seen(&table.table);
            let (server, conn) = &mut self.conns[at];
            match read(server, conn, &mut table, sql.is_none(), self.wanted.exact).await {
                Ok(definition) => {
                    sql = sql.or(definition);
                    physical.push((at, table));
                }
                Err(fault) => {
                    let place = format!("{}/{}.{}", server.name(), table.schema, table.table);
                    self.lost.add(place, fault)?;
                    missing += 1;
                }
            }
        }
        if physical.is_empty() {
            return Ok(None);
        }
        // What our parser does not know has no columns to go by, and sizes and ids all the same.
        let def = sql.and_then(|sql| parse_create_table(&sql).ok());
        let sum = |of: fn(&Found) -> u64| {
            physical
                .iter()
                .map(|(_, table)| of(table))
                .fold(0, u64::saturating_add)
        };
        let mut measured = MeasuredTable {
            name: name.to_owned(),
            physical_tables: physical.len() as u32,
            physical_tables_missing: missing,
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
            .and_then(|def| column_of(self.wanted, def, self.has_column));
        let found = growth(
            self.wanted,
            self.conns,
            &physical,
            def.as_ref(),
            column.as_deref(),
            measured.rows,
        );
        measured.growth = match found.await {
            Ok(growth) => growth,
            Err(fault) => {
                let why = fault.summary();
                self.lost.add(name.to_owned(), fault)?;
                Growth::unknown(why)
            }
        };
        Ok(Some(measured))
    }
}

/// Reads what is asked for of a physical table: its definition, and its rows counted.
async fn read(
    server: &Server,
    conn: &mut Conn,
    table: &mut Found,
    defined: bool,
    exact: bool,
) -> Result<Option<String>> {
    let sql = match defined {
        true => Some(definition(server, conn, table).await?),
        false => None,
    };
    if exact {
        table.rows = count(server, conn, table).await?;
    }
    Ok(sql)
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
