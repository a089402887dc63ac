//! Fills the user center with generated members.
//!
//! Generators run on threads of their own, route each row and gather a batch for each physical
//! table; writers, a few connections to each instance, send the batches as they fill. What is held
//! in memory is one batch for each physical table and the few that wait for a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{join_all, try_join_all};
use tokio::sync::mpsc;

use super::owner::Flags;
use crate::error::{Error, Result};
use crate::fill::members::{Members, TABLES};
use crate::mysql::bulk::{self, Batch, BulkWay};
use crate::mysql::{Server, Servers, control, inspect, write};
use crate::names::{ColumnName, InstanceName};
use crate::routing::Router;
use crate::rows::key::{KeyType, KeyValue};
use crate::rows::value::Value;
use crate::schema::Column;
use crate::topology::{PhysicalTable, Topology};

/// Rows of a batch. Large enough that the servers' cost of a statement does not count, small
/// enough that a batch for each of some hundred physical tables fits in memory.
const BATCH_ROWS: u64 = 4_000;

/// Batches that may wait for each instance.
const WAITING_BATCHES: usize = 4;

/// Members that one thread generates in one go.
const BLOCK_MEMBERS: u64 = 2_000;

/// How to fill.
#[derive(Debug, Clone, Copy)]
pub struct FillOptions {
    /// Connections that write to each instance.
    pub writers: usize,
    /// Threads that generate rows.
    pub generators: usize,
    /// Empty the tables first, if a fill of them was interrupted.
    pub again: bool,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Rows by logical table, in the order of [`TABLES`].
    pub rows: Vec<(&'static str, u64)>,
}

/// A generated table, ready to be routed.
struct Target {
    router: Router,
    key_index: usize,
    columns: Vec<Column>,
    /// Physical tables by number.
    physical: Vec<PhysicalTable>,
}

/// Rows for one physical table.
struct Parcel {
    /// The table's number in [`TABLES`].
    table: usize,
    /// The physical table's number.
    place: u32,
    batch: Batch,
}

/// Where an instance's rows go, and how each of [`TABLES`] is written there.
struct Outlet {
    ways: Vec<BulkWay>,
    sender: mpsc::Sender<Parcel>,
}

/// Fills the tables. `progress` hears of rows written. Afterwards the rows of every physical
/// table are counted.
///
/// # Errors
/// The topology is not the user center, the tables are not there or not empty, a server refuses,
/// someone asked the program to end, or a count is not what was written. What was written stays,
/// and is known as of an interrupted fill: a fill with [`FillOptions::again`] empties the tables.
pub async fn fill(
    topology: &Topology,
    servers: &Servers,
    members: Members,
    options: FillOptions,
    flags: &Flags,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Filled> {
    let targets = Arc::new(targets(topology)?);
    let control = servers.get(&topology.control)?;
    let mut conn = control.conn().await?;
    control::create_tables(control, &mut conn, true).await?;
    let open = control::open_fill(control, &mut conn).await?;
    match (options.again, &open) {
        (true, None) => {
            return Err(Error::usage("no fill was interrupted here")
                .cause("tables are emptied only if an interrupted fill found them empty")
                .now("nothing was changed"));
        }
        (true, Some(_)) => empty(&targets, servers).await?,
        (false, _) => {}
    }
    refuse_unless_empty(&targets, servers, open.as_ref()).await?;
    let what = format!("{} members", members.count());
    control::begin_fill(control, &mut conn, &what).await?;
    drop(conn);

    let mut outlets: BTreeMap<InstanceName, Outlet> = BTreeMap::new();
    let mut receivers = Vec::new();
    for server in servers.iter() {
        let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
        let ways = ways(&targets, server).await?;
        outlets.insert(server.name().clone(), Outlet { ways, sender });
        receivers.push((server, Arc::new(tokio::sync::Mutex::new(receiver))));
    }
    let outlets = Arc::new(outlets);

    let next = Arc::new(AtomicU64::new(0));
    let generators: Vec<_> = (0..options.generators.max(1))
        .map(|_| {
            let (targets, next, outlets) = (targets.clone(), next.clone(), outlets.clone());
            let flags = flags.clone();
            tokio::task::spawn_blocking(move || {
                generate(&targets, members, &next, &outlets, &flags)
            })
        })
        .collect();
    // The channels close when the last generator is done.
    drop(outlets);

    let written = Mutex::new(BTreeMap::<(usize, u32), u64>::new());
    let writers = receivers.iter().flat_map(|(server, receiver)| {
        let (targets, written) = (&targets, &written);
        (0..options.writers.max(1)).map(move |_| async move {
            let answer = write_batches(server, targets, receiver, written, progress).await;
            if answer.is_err() {
                // Generators that wait for room in the channel are let go.
                receiver.lock().await.close();
            }
            answer
        })
    });
    let answers = join_all(writers).await;
    let mut routed = Ok(());
    for generator in generators {
        match generator.await {
            Ok(answer) => routed = routed.and(answer),
            Err(cause) => {
                return Err(Error::unknown("a generator of rows broke off").cause(cause));
            }
        }
    }
    let written = written
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let ended = answers
        .into_iter()
        .fold(Ok(()), Result::and)
        .and(routed)
        .and(flags.check());
    if let Err(error) = ended {
        let rows: u64 = written.values().sum();
        return Err(error
            .now(format!(
                "the tables are filled in part: {rows} rows were acknowledged and stay"
            ))
            .next("`shardctl fill --again` empties these tables and fills them anew"));
    }
    count(&targets, servers, &written).await?;
    let mut conn = control.conn().await?;
    control::end_fill(control, &mut conn).await?;
    drop(conn);
    let rows = TABLES
        .iter()
        .enumerate()
        .map(|(index, table)| {
            let own = written.iter().filter(|((table, _), _)| *table == index);
            (table.table, own.map(|(_, rows)| rows).sum())
        })
        .collect();
    Ok(Filled { rows })
}

fn targets(topology: &Topology) -> Result<Vec<Target>> {
    TABLES
        .iter()
        .map(|spec| {
            let not_user_center = |what: String| {
                Error::usage("the topology is not the user center that members can be made for")
                    .cause(what)
                    .next("`shardctl fill` makes the tables of the user center only")
            };
            let table = topology
                .tables
                .values()
                .find(|table| table.name.as_str() == spec.table)
                .ok_or_else(|| not_user_center(format!("there is no table `{}`", spec.table)))?;
            let router = Router::new(topology, table).map_err(|fault| {
                Error::usage(format!("`{}` cannot be routed", spec.table)).cause(fault)
            })?;
            let mut columns = Vec::new();
            for name in spec.columns {
                let column = table.def.column(name).ok_or_else(|| {
                    not_user_center(format!("`{}` has no column `{name}`", spec.table))
                })?;
                columns.push(column.clone());
            }
            let key_index = columns
                .iter()
                .position(|column| router.schema_column().is(column.name.as_str()))
                .ok_or_else(|| {
                    not_user_center(format!(
                        "`{}` is split by `{}`",
                        spec.table,
                        router.schema_column()
                    ))
                })?;
            let physical = topology
                .places(table)
                .map(|place| topology.physical(table, place))
                .collect();
            Ok(Target {
                router,
                key_index,
                columns,
                physical,
            })
        })
        .collect()
}

async fn refuse_unless_empty(
    targets: &[Target],
    servers: &Servers,
    open: Option<&(String, String)>,
) -> Result<()> {
    each_table(targets, servers, |rows, table| {
        if rows == 0 {
            return Ok(());
        }
        let error = Error::usage(format!("{table} has {rows} rows already"))
            .cause("fill works on empty tables: generated ids would meet those that are there")
            .now("nothing was written");
        Err(match open {
            Some((what, since)) => error.next(format!(
                "`shardctl fill --again` empties the tables: a fill of {what} began on empty ones \
                 at {since} UTC and was interrupted"
            )),
            None => error,
        })
    })
    .await
}

/// Empties every table that fill writes, all instances at once.
async fn empty(targets: &[Target], servers: &Servers) -> Result<()> {
    try_join_all(servers.iter().map(|server| async move {
        let mut conn = server.conn().await?;
        for table in tables_on(targets, server) {
            let sql = format!("TRUNCATE TABLE {}", table.quoted());
            write::run(server, &mut conn, &format!("could not empty {table}"), &sql).await?;
        }
        Ok::<(), Error>(())
    }))
    .await
    .map(|_| ())
}

fn tables_on<'a>(
    targets: &'a [Target],
    server: &Server,
) -> impl Iterator<Item = &'a PhysicalTable> {
    let name = server.name().clone();
    targets
        .iter()
        .flat_map(|target| &target.physical)
        .filter(move |table| table.instance == name)
}

async fn count(
    targets: &[Target],
    servers: &Servers,
    written: &BTreeMap<(usize, u32), u64>,
) -> Result<()> {
    let mut wanted: BTreeMap<&PhysicalTable, u64> = BTreeMap::new();
    for ((table, place), rows) in written {
        wanted.insert(&targets[*table].physical[*place as usize], *rows);
    }
    each_table(targets, servers, |rows, table| {
        let sent = wanted.get(table).copied().unwrap_or_default();
        if rows == sent {
            Ok(())
        } else {
            Err(
                Error::unknown(format!("{table} has {rows} rows, and {sent} were written"))
                    .cause("another client wrote to it, or rows were lost"),
            )
        }
    })
    .await
}

/// Counts every physical table, all instances at once.
async fn each_table(
    targets: &[Target],
    servers: &Servers,
    check: impl Fn(u64, &PhysicalTable) -> Result<()>,
) -> Result<()> {
    let check = &check;
    try_join_all(servers.iter().map(|server| async move {
        let mut conn = server.conn().await?;
        for table in tables_on(targets, server) {
            let rows = inspect::count_rows(server, &mut conn, &table.schema, &table.table).await?;
            check(rows, table)?;
        }
        Ok::<(), Error>(())
    }))
    .await
    .map(|_| ())
}

/// Generates blocks of members until there are none left, or no one takes the rows any more.
fn generate(
    targets: &[Target],
    members: Members,
    next: &AtomicU64,
    outlets: &BTreeMap<InstanceName, Outlet>,
    flags: &Flags,
) -> Result<()> {
    // Every physical table's outlet and batch, by the table's number and the physical table's.
    let mut batches: Vec<Vec<(&Outlet, Batch)>> = Vec::new();
    for (table, target) in targets.iter().enumerate() {
        let own = target.physical.iter().map(|physical| {
            let outlet = outlets.get(&physical.instance).ok_or_else(|| {
                Error::unknown(format!("no rows can be sent to {}", physical.instance))
            })?;
            Ok((outlet, Batch::new(outlet.ways[table])))
        });
        batches.push(own.collect::<Result<_>>()?);
    }
    let send = |table: usize, place: usize, outlet: &Outlet, batch: &mut Batch| {
        let place = place as u32;
        let batch = batch.take();
        let sent = outlet.sender.blocking_send(Parcel {
            table,
            place,
            batch,
        });
        sent.is_ok()
    };
    loop {
        let first = next.fetch_add(BLOCK_MEMBERS, Ordering::Relaxed);
        if first >= members.count() {
            break;
        }
        if !flags.go_on() {
            return Ok(());
        }
        let last = (first + BLOCK_MEMBERS).min(members.count());
        let mut fault = None;
        for number in first..last {
            members.rows(number, &mut |table, row| {
                let target = &targets[table];
                let key = key_of(&row[target.key_index], target.router.schema_key_type());
                match target.router.place(&key, None) {
                    Ok(place) => batches[table][place.table as usize].1.push(row),
                    Err(error) => fault = Some(error),
                }
            });
        }
        if let Some(fault) = fault {
            return Err(Error::usage("a generated row has no place").cause(fault));
        }
        for (table, own) in batches.iter_mut().enumerate() {
            for (place, (outlet, batch)) in own.iter_mut().enumerate() {
                if batch.rows() >= BATCH_ROWS && !send(table, place, outlet, batch) {
                    // A writer failed and says why.
                    return Ok(());
                }
            }
        }
    }
    for (table, own) in batches.iter_mut().enumerate() {
        for (place, (outlet, batch)) in own.iter_mut().enumerate() {
            if batch.rows() > 0 && !send(table, place, outlet, batch) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How each of [`TABLES`] is written on a server.
async fn ways(targets: &[Target], server: &Server) -> Result<Vec<BulkWay>> {
    let mut conn = server.conn().await?;
    let way = bulk::way(server, &mut conn).await?;
    Ok(targets
        .iter()
        .map(|target| way.for_columns(server.flavour(), &target.columns))
        .collect())
}

/// A generated value as a key of the column's type.
fn key_of(value: &Value, kind: &KeyType) -> KeyValue {
    match (value, kind) {
        (Value::UInt(number), _) => KeyValue::Integer(i128::from(*number)),
        (Value::Int(number), _) => KeyValue::Integer(i128::from(*number)),
        (Value::Text(text), KeyType::Text { trims: true, .. }) => {
            KeyValue::Text(text.trim_end_matches(' ').to_owned())
        }
        (Value::Text(text), _) => KeyValue::Text(text.clone()),
        (Value::Bytes(bytes), _) => KeyValue::Binary(bytes.clone()),
        (Value::Null | Value::Double(_), _) => KeyValue::Null,
    }
}

async fn write_batches(
    server: &Server,
    targets: &[Target],
    receiver: &tokio::sync::Mutex<mpsc::Receiver<Parcel>>,
    written: &Mutex<BTreeMap<(usize, u32), u64>>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let mut conn = server.conn().await?;
    loop {
        let parcel = receiver.lock().await.recv().await;
        let Some(Parcel {
            table,
            place,
            batch,
        }) = parcel
        else {
            return Ok(());
        };
        let target = &targets[table];
        let physical = &target.physical[place as usize];
        let sent = batch.rows();
        let columns: Vec<ColumnName> = target.columns.iter().map(|c| c.name.clone()).collect();
        bulk::write_rows(server, &mut conn, physical, &columns, batch).await?;
        *written
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .entry((table, place))
            .or_default() += sent;
        progress(sent);
    }
}
