//! The way a statement is answered.

use std::collections::BTreeSet;

use super::Refusal;
use super::functions::Nature;
use super::keys::Tables;
use super::lookup::{Lookup, lookup};
use super::parse::{Parsed, parse};
use super::scatter::{Scatter, scatter};
use super::tables::{Reads, find};
use super::template::{Template, can_have_holes};
use super::union::{Union, union};
use crate::names::{ShardId, TableName};
use crate::routing::Router;
use crate::rows::key::KeyType;
use crate::topology::{PhysicalTable, Place, Topology};

/// How a statement is answered.
#[derive(Debug, Clone)]
pub enum Way {
    /// One place has the whole answer; its rows are passed on.
    One {
        /// What it is asked.
        statement: Template,
    },
    /// All places compute their part, and the parts are merged.
    Scatter(Box<Scatter>),
    /// Several statements' answers, one after the other.
    Union(Union),
    /// The places' answers cannot be merged exactly; they can only be shown side by side.
    Apart(Refusal),
}

/// A planned statement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The logical table; of several the first that is split.
    pub table: String,
    /// Its physical tables that are asked.
    pub places: Vec<Place>,
    /// How they are asked.
    pub way: Way,
    /// Why this way, for `--explain`.
    pub reason: String,
    /// The statement for each table as it was written, for `--by-shard`.
    pub as_written: Template,
    /// The tables of the statement, in the order of its holes.
    pub reads: Vec<Read>,
    /// What an index table can be asked to leave fewer of the places.
    pub lookup: Option<Lookup>,
}

/// A table that a statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The logical table.
    pub table: TableName,
    /// Which of its physical tables.
    pub at: At,
}

/// Which physical table is read where a place is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The one of the place's number: the tables are split alike.
    Place,
    /// The one of the place's schema: a broadcast table.
    Schema,
    /// This one, on the same instance.
    Table(u32),
}

impl Plan {
    /// The plan for these shards only; nothing where none of them has what the statement reads.
    #[must_use]
    pub fn on_shards(mut self, wanted: &BTreeSet<ShardId>, topology: &Topology) -> Option<Self> {
        if self.reads.iter().all(|read| read.at == At::Schema) {
            // Any schema has all of it.
            let table = topology.tables.get(&self.reads.first()?.table)?;
            self.places = topology
                .places_in(table, *wanted.first()?)
                .take(1)
                .collect();
            return Some(self);
        }
        let elsewhere = self.reads.iter().any(|read| match read.at {
            At::Table(number) => topology.tables.get(&read.table).is_none_or(|table| {
                !wanted.contains(&numbered(number, table.tables_per_schema).shard)
            }),
            At::Place | At::Schema => false,
        });
        self.places.retain(|place| wanted.contains(&place.shard));
        if let Way::Union(union) = &mut self.way {
            let plans = std::mem::take(&mut union.plans).into_iter();
            union.plans = plans
                .map(|plan| plan.on_shards(wanted, topology))
                .collect::<Option<_>>()?;
        }
        (!elsewhere && !self.places.is_empty()).then_some(self)
    }

    /// The physical tables that stand in the holes of a statement for a place.
    pub fn physical(&self, topology: &Topology, place: Place) -> Vec<PhysicalTable> {
        self.reads
            .iter()
            .filter_map(|read| {
                let table = topology.tables.get(&read.table)?;
                let place = match read.at {
                    At::Place => place,
                    At::Schema => topology.places_in(table, place.shard).next()?,
                    At::Table(number) => numbered(number, table.tables_per_schema),
                };
                Some(topology.physical(table, place))
            })
            .collect()
    }
}

pub(super) fn numbered(table: u32, per_schema: u32) -> Place {
    Place {
        shard: ShardId(table / per_schema),
        table,
    }
}

/// Plans a statement.
///
/// # Errors
/// It cannot be read, does more than read, names what is not there, or cannot be answered exactly.
pub fn plan(sql: &str, topology: &Topology) -> Result<Plan, Refusal> {
    let parsed = parse(sql)?;
    if !can_have_holes(&parsed.sql) {
        return Err(Refusal::Unsafe(
            "the statement has a private character that this tool uses itself".to_owned(),
        ));
    }
    let reads = find(&parsed, topology)?;
    let Some(first) = reads.uses.first() else {
        return Err(Refusal::Unknown("the statement names no table".to_owned()));
    };
    let whole = Template::new(reads.whole(&parsed)?);
    let lead = reads.lead().unwrap_or(first);
    let make = |places: Vec<Place>, way: Way, reason: String| Plan {
        table: lead.table.name.to_string(),
        places,
        way,
        reason,
        as_written: whole.clone(),
        lookup: None,
        reads: reads
            .uses
            .iter()
            .map(|used| Read {
                table: used.table.name.clone(),
                at: match used.router {
                    Some(_) => At::Place,
                    None => At::Schema,
                },
            })
            .collect(),
    };
    let one = || Way::One {
        statement: whole.clone(),
    };
    let Some(router) = &lead.router else {
        let first: Vec<Place> = topology.places(lead.table).take(1).collect();
        let reason = match reads.uses.len() {
            1 => format!(
                "`{}` is a broadcast table: any schema has all of it",
                lead.table.name
            ),
            _ => "these are broadcast tables: any schema has all of them".to_owned(),
        };
        return Ok(make(first, one(), reason));
    };
    let all: Vec<Place> = topology.places(lead.table).collect();
    if let Some((place, at)) = in_one_place(&reads, topology) {
        let reason = leaves(router, 1, all.len());
        let mut planned = make(vec![place], one(), reason);
        for (read, at) in planned.reads.iter_mut().zip(at) {
            read.at = at;
        }
        return Ok(planned);
    }
    if let Err(refusal) = &parsed.plain {
        let union = union(&parsed, topology)?.ok_or_else(|| refusal.clone())?;
        let shards: BTreeSet<ShardId> = union
            .plans
            .iter()
            .flat_map(|planned| &planned.places)
            .map(|place| place.shard)
            .collect();
        let places = shards
            .into_iter()
            .filter_map(|shard| topology.places_in(lead.table, shard).next())
            .collect();
        let reason = "each SELECT of the UNION ALL is answered by itself".to_owned();
        return Ok(make(places, Way::Union(union), reason));
    }
    let (places, reason) = match reads.spread()? {
        Tables::All => (all.clone(), why_all(&parsed, router)),
        Tables::Some(numbers) => {
            let places: Vec<Place> = all
                .iter()
                .copied()
                .filter(|place| numbers.contains(&place.table))
                .collect();
            let reason = leaves(router, places.len(), all.len());
            // A condition that no row can meet still has an answer: any one table gives it.
            match places.is_empty() {
                true => (all[..1].to_vec(), reason),
                false => (places, reason),
            }
        }
    };
    if places.len() == 1 {
        return Ok(make(places, one(), reason));
    }
    let of_the_server = parsed
        .functions
        .iter()
        .find(|(_, nature)| *nature == Nature::Server);
    let scattered = match of_the_server {
        Some((name, _)) => Err(Refusal::Inexact(format!(
            "{name}() gives another value on each shard; name a shard key so that one answers"
        ))),
        None => scatter(&parsed, &reads),
    };
    let way = match scattered {
        Ok(scatter) => Way::Scatter(Box::new(scatter)),
        Err(refusal) => Way::Apart(refusal),
    };
    let mut planned = make(places, way, reason);
    if let Ok(plain) = &parsed.plain {
        planned.lookup = lookup(&reads, plain.select.selection.as_ref(), topology);
    }
    Ok(planned)
}

fn leaves(router: &Router, some: usize, all: usize) -> String {
    format!(
        "the shard key `{}` leaves {some} of {all} tables",
        router.schema_column()
    )
}

/// The place that has all rows the statement reads, with which table of it each use is: every
/// table has one place, and those are on one instance.
fn in_one_place(reads: &Reads<'_>, topology: &Topology) -> Option<(Place, Vec<At>)> {
    let pinned = reads.all_pinned()?;
    let placed: Vec<Option<Place>> = reads
        .uses
        .iter()
        .zip(&pinned)
        .map(|(used, number)| number.map(|number| numbered(number, used.table.tables_per_schema)))
        .collect();
    let instances: BTreeSet<_> = placed
        .iter()
        .flatten()
        .map(|place| &topology.schema(place.shard).instance)
        .collect();
    let first = placed.iter().flatten().next().copied()?;
    (instances.len() == 1).then(|| {
        let at = placed
            .iter()
            .map(|place| match place {
                None => At::Schema,
                Some(place) if *place == first => At::Place,
                Some(place) => At::Table(place.table),
            })
            .collect();
        (first, at)
    })
}

fn why_all(parsed: &Parsed, router: &Router) -> String {
    let column = router.schema_column();
    let selection = match &parsed.plain {
        Ok(plain) => plain.select.selection.as_ref(),
        Err(_) => None,
    };
    let mentioned = selection.is_some_and(|condition| {
        condition
            .to_string()
            .to_lowercase()
            .contains(&column.as_str().to_lowercase())
    });
    match (mentioned, router.schema_key_type()) {
        (false, _) => format!("no condition on the shard key `{column}`"),
        (true, KeyType::Text { collation, .. }) => format!(
            "`{column}` compares by {}, which takes different texts for equal (letters' case or \
             trailing spaces), and those can be on other shards",
            collation.as_deref().unwrap_or("the default collation")
        ),
        (true, _) => format!("the conditions on the shard key `{column}` do not name its values"),
    }
}
