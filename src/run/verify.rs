//! The audit of a fleet: every row in its shard, no primary key twice, index tables equal to what
//! they index, broadcast tables equal everywhere.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::mysql::audit::{self, KeyColumn};
use crate::mysql::copy::Key;
use crate::mysql::moving::{self, Shape};
use crate::mysql::{Server, Servers, control, inspect};
use crate::names::TableName;
use crate::report::verify::{InterruptedFill, TableVerdict, VerifyReport};
use crate::routing::Router;
use crate::rows::key::{KeyType, KeyValue};
use crate::schema::parse::parse_create_table;
use crate::topology::{Assumption, LogicalTable, PhysicalTable, Place, Spread, Topology};

/// Faults named for each table; the rest is counted.
const NAMED_MAX: usize = 20;

/// Parts that a differing comparison is looked at in, which bounds the memory.
const PARTS: u32 = 64;

/// How `verify` works.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Physical tables read at once.
    pub workers: usize,
}

/// Faults of a table: the first ones named, all counted.
#[derive(Debug, Default)]
struct Faults {
    named: Vec<String>,
    count: u64,
}

impl Faults {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(text());
        }
    }
}

/// Audits these tables of the fleet, or all. `done` hears of each physical table read, with its
/// rows.
///
/// # Errors
/// A server cannot be asked, or a table of the topology is not there.
pub async fn verify(
    topology: &Topology,
    servers: &Servers,
    only: &[TableName],
    options: VerifyOptions,
    done: &(dyn Fn(u64) + Sync),
) -> Result<VerifyReport> {
    for name in only {
        if !topology.tables.contains_key(name) {
            return Err(Error::usage(format!(
                "`{name}` is no table of the topology"
            )));
        }
    }
    let control = servers.get(&topology.control)?;
    let mut conn = control.conn().await?;
    let open = control::open_fill(control, &mut conn).await?;
    drop(conn);
    let mut tables = Vec::new();
    for table in topology.tables.values() {
        if !only.is_empty() && !only.contains(&table.name) {
            continue;
        }
        let audit = Audit {
            topology,
            servers,
            table,
            options,
            done,
        };
        let mut verdict = match &table.spread {
            Spread::Broadcast => audit.broadcast().await?,
            Spread::Sharded(_) | Spread::IndexTable { .. } => audit.placement().await?,
        };
        if let Spread::IndexTable { base, .. } = &table.spread {
            let faults = audit.index(base).await?;
            verdict.checks = format!("{}, same rows as {base}", verdict.checks);
            verdict.faults += faults.count;
            verdict.named.extend(faults.named);
        }
        tables.push(verdict);
    }
    Ok(VerifyReport {
        rows: tables.iter().map(|table| table.rows).sum(),
        faults: tables.iter().map(|table| table.faults).sum(),
        tables,
        interrupted_fill: open.map(|(what, since)| InterruptedFill { what, since }),
    })
}

struct Audit<'a> {
    topology: &'a Topology,
    servers: &'a Servers,
    table: &'a LogicalTable,
    options: VerifyOptions,
    done: &'a (dyn Fn(u64) + Sync),
}

impl Audit<'_> {
    fn verdict(&self, checks: &str, rows: u64, faults: Faults) -> TableVerdict {
        TableVerdict {
            table: self.table.name.clone(),
            checks: checks.to_owned(),
            rows,
            faults: faults.count,
            named: faults.named,
        }
    }

    async fn shape(&self, server: &Server, table: &PhysicalTable) -> Result<Shape> {
        let mut conn = server.conn().await?;
        moving::shape(server, &mut conn, &table.schema, &table.table).await
    }

    /// Every row is where the router sends its key.
    async fn placement(&self) -> Result<TableVerdict> {
        let table = self.table;
        let router = Router::new(self.topology, table)
            .map_err(|cause| Error::usage("a table cannot be routed").cause(cause))?;
        let mut columns: Vec<KeyColumn> = vec![(
            router.schema_column().clone(),
            router.schema_key_type().clone(),
        )];
        columns.extend(
            router
                .table_column()
                .cloned()
                .zip(router.table_key_type().cloned()),
        );
        // Where the primary key holds the shard keys, a row in its own place cannot have a twin
        // elsewhere: the same primary key routes to the same place.
        let placement_proves = columns.iter().all(|(name, _)| {
            let mut parts = table.def.primary_key.iter();
            parts.any(|part| name.is(&part.column))
        });
        let no_spaces = table.assumptions.contains(&Assumption::NoTrailingSpaces);
        // Where the rows' keys themselves need not be looked at, the servers count what is out of
        // place, and rows are sent only to be named.
        let counted = router
            .table_sql()
            .filter(|_| placement_proves && !no_spaces);
        let faults = Mutex::new(Faults::default());
        let seen: Mutex<HashMap<u64, Place>> = Mutex::default();
        let twins: Mutex<BTreeSet<u64>> = Mutex::default();
        let work = self.topology.places(table).map(|place| {
            let (router, columns, faults, seen, twins, counted) =
                (&router, &columns, &faults, &seen, &twins, &counted);
            async move {
                let physical = self.topology.physical(table, place);
                let server = self.servers.get(&physical.instance)?;
                // Both ways below read the keys as the topology declares them.
                if let Some(other) = self.other_key(server, &physical, columns).await? {
                    lock(faults).add(|| other);
                    return Ok(0);
                }
                if let Some(sql) = counted {
                    let (rows, misplaced) =
                        audit::count_misplaced(server, &physical, sql, place.table).await?;
                    if misplaced == 0 {
                        (self.done)(rows);
                        return Ok(rows);
                    }
                }
                let shape = self.shape(server, &physical).await?;
                let rows = audit::each_key(server, &physical, &shape, columns, &mut |key, name| {
                    let wanted = router.place(&key[0], key.get(1));
                    if wanted.as_ref().ok() != Some(&place) {
                        let fault = || {
                            let row = shown(&shape, &name());
                            match &wanted {
                                Ok(wanted) => format!(
                                    "{physical}: the row {row} belongs into {}",
                                    self.topology.physical(table, *wanted)
                                ),
                                Err(cause) => format!("{physical}: the row {row}: {cause}"),
                            }
                        };
                        lock(faults).add(fault);
                    }
                    let ends_in_space =
                        |key: &KeyValue| matches!(key, KeyValue::Text(text) if text.ends_with(' '));
                    if no_spaces && key.iter().any(ends_in_space) {
                        lock(faults).add(|| {
                            format!(
                                "{physical}: the key of the row {} ends in a space, and the \
                                 topology vouches that none does",
                                shown(&shape, &name())
                            )
                        });
                    }
                    if !placement_proves {
                        let hash = key_hash(&name());
                        match lock(seen).entry(hash) {
                            Entry::Vacant(entry) => {
                                entry.insert(place);
                            }
                            Entry::Occupied(_) => {
                                lock(twins).insert(hash);
                            }
                        }
                    }
                })
                .await?;
                (self.done)(rows);
                Ok::<u64, Error>(rows)
            }
        });
        let rows: Vec<u64> = stream::iter(work)
            .buffer_unordered(self.options.workers)
            .try_collect()
            .await?;
        let mut faults = into_inner(faults);
        let twins = into_inner(twins);
        if !twins.is_empty() {
            self.name_twins(&columns, &twins, &mut faults).await?;
        }
        Ok(self.verdict("placement", rows.iter().sum(), faults))
    }

    /// How the definition of a shard key differs from the topology's, if it does.
    async fn other_key(
        &self,
        server: &Server,
        table: &PhysicalTable,
        columns: &[KeyColumn],
    ) -> Result<Option<String>> {
        let mut conn = server.conn().await?;
        let (schema, name) = (table.schema.as_str(), table.table.as_str());
        let Some(sql) = inspect::show_create_table(server, &mut conn, schema, name).await? else {
            return Err(Error::server(format!("{table} is not there"))
                .at(server.place())
                .next("see `shardctl status`, and `shardctl job list` for a move under way"));
        };
        let found = parse_create_table(&sql).map_err(|fault| {
            Error::server(format!("the definition of {table} cannot be read"))
                .at(server.place())
                .cause(fault.message)
        })?;
        for (column, wanted) in columns {
            let there = found.column(column.as_str()).and_then(KeyType::of);
            if there.as_ref() != Some(wanted) {
                return Ok(Some(format!(
                    "{table}: the shard key `{column}` is {}, and the topology has {wanted}: \
                     its rows were not looked at",
                    there.map_or_else(|| "not there as a key".to_owned(), |kind| kind.to_string())
                )));
            }
        }
        Ok(None)
    }

    /// Looks again at the keys whose hashes came twice: equal hashes are not equal keys yet.
    async fn name_twins(
        &self,
        columns: &[KeyColumn],
        twins: &BTreeSet<u64>,
        faults: &mut Faults,
    ) -> Result<()> {
        let mut places: BTreeMap<Key, Vec<String>> = BTreeMap::new();
        let mut shape_of_all = None;
        for place in self.topology.places(self.table) {
            let physical = self.topology.physical(self.table, place);
            let server = self.servers.get(&physical.instance)?;
            let shape = self.shape(server, &physical).await?;
            audit::each_key(server, &physical, &shape, columns, &mut |_, name| {
                let key = name();
                if twins.contains(&key_hash(&key)) {
                    places.entry(key).or_default().push(physical.to_string());
                }
            })
            .await?;
            shape_of_all.get_or_insert(shape);
        }
        let Some(shape) = shape_of_all else {
            return Ok(());
        };
        for (key, places) in places.iter().filter(|(_, places)| places.len() > 1) {
            faults.add(|| {
                format!(
                    "the primary key {} is in more than one place: {}",
                    shown(&shape, key),
                    places.join(", ")
                )
            });
        }
        Ok(())
    }

    /// The same rows in every schema.
    async fn broadcast(&self) -> Result<TableVerdict> {
        let mut faults = Faults::default();
        let mut first: Option<(PhysicalTable, (u64, u128))> = None;
        let mut rows = 0;
        for shard in self.topology.shards() {
            for place in self.topology.places_in(self.table, shard) {
                let physical = self.topology.physical(self.table, place);
                let server = self.servers.get(&physical.instance)?;
                let shape = self.shape(server, &physical).await?;
                let sum = audit::sum(server, &physical, &shape, "").await?;
                rows += sum.0;
                (self.done)(sum.0);
                match &first {
                    None => first = Some((physical, sum)),
                    Some((other, expected)) if *expected != sum => faults.add(|| {
                        format!(
                            "{physical} with {} rows is not equal to {other} with {}",
                            sum.0, expected.0
                        )
                    }),
                    Some(_) => {}
                }
            }
        }
        Ok(self.verdict("equal copies", rows, faults))
    }

    /// The index table holds the rows of its base, all of them and no others.
    async fn index(&self, base: &TableName) -> Result<Faults> {
        let mut faults = Faults::default();
        let Some(base) = self.topology.tables.get(base) else {
            return Ok(faults);
        };
        let first = self
            .topology
            .places(self.table)
            .next()
            .map(|place| self.topology.physical(self.table, place));
        let Some(first) = first else {
            return Ok(faults);
        };
        // Both sides are hashed over the index table's columns, written alike: whether NULL is
        // allowed may differ between the two.
        let mut shape = self
            .shape(self.servers.get(&first.instance)?, &first)
            .await?;
        for column in &mut shape.columns {
            column.nullable = true;
        }
        // A row without a value for the other key has no place in the index table.
        let condition = self.table.spread.split().map_or_else(String::new, |split| {
            format!("{} IS NOT NULL", split.schema.column.quoted())
        });
        let whole = [self.table, base].map(|table| self.sums(table, &shape, &condition));
        let [ours, theirs] = whole;
        let (ours, theirs) = (ours.await?, theirs.await?);
        if ours == theirs {
            return Ok(faults);
        }
        for part in 0..PARTS {
            let index = self.part(self.table, &shape, &condition, part).await?;
            let rows = self.part(base, &shape, &condition, part).await?;
            for (row, (place, count)) in &index {
                let other = rows.get(row).map_or(0, |(_, count)| *count);
                if other < *count {
                    faults.add(|| {
                        format!(
                            "{place}: the row {} is not so in `{}`",
                            shown(&shape, &row.0),
                            base.name
                        )
                    });
                }
            }
            for (row, (place, count)) in &rows {
                let other = index.get(row).map_or(0, |(_, count)| *count);
                if other < *count {
                    faults.add(|| {
                        format!(
                            "{place}: the row {} is not so in the index table `{}`",
                            shown(&shape, &row.0),
                            self.table.name
                        )
                    });
                }
            }
        }
        if faults.count == 0 {
            faults.add(|| {
                format!(
                    "`{}` and `{}` differed ({} and {} rows) and were equal when looked at again: \
                     someone writes to them",
                    self.table.name, base.name, ours.0, theirs.0
                )
            });
        }
        Ok(faults)
    }

    async fn sums(
        &self,
        table: &LogicalTable,
        shape: &Shape,
        condition: &str,
    ) -> Result<(u64, u128)> {
        let work = self.topology.places(table).map(|place| async move {
            let physical = self.topology.physical(table, place);
            let server = self.servers.get(&physical.instance)?;
            audit::sum(server, &physical, shape, condition).await
        });
        stream::iter(work)
            .buffer_unordered(self.options.workers)
            .try_fold((0, 0), |(rows, sum), (more, hashes)| async move {
                Ok((rows + more, sum + hashes))
            })
            .await
    }

    /// How often each row is in a part of a table, and where.
    async fn part(
        &self,
        table: &LogicalTable,
        shape: &Shape,
        condition: &str,
        part: u32,
    ) -> Result<BTreeMap<(Key, u64), (PhysicalTable, u64)>> {
        let work = self.topology.places(table).map(|place| async move {
            let physical = self.topology.physical(table, place);
            let server = self.servers.get(&physical.instance)?;
            let rows = audit::hashes(server, &physical, shape, condition, (part, PARTS)).await?;
            Ok::<_, Error>((physical, rows))
        });
        let mut all = BTreeMap::new();
        let mut answers = stream::iter(work).buffer_unordered(self.options.workers);
        while let Some((physical, rows)) = answers.try_next().await? {
            for row in rows {
                all.entry(row).or_insert_with(|| (physical.clone(), 0)).1 += 1;
            }
        }
        Ok(all)
    }
}

/// Held for a moment by one stream of the one task, and never over a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn key_hash(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// `id = 5, name = 'x'`.
fn shown(shape: &Shape, key: &Key) -> String {
    crate::mysql::checksum::shown(shape, key)
}
