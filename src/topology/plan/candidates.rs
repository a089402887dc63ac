//! The layouts side by side: how long each lasts, what ends it, and what its next split costs.

use jiff::civil::Date;
use serde::Serialize;

use super::growth::Series;
use super::limits::{Gauge, LimitKind, Volume};
use super::quantity::{Count, Size};
use super::{Estimate, INSTANCES_MAX, PlanError, SCHEMAS_MAX, SCHEMAS_PER_INSTANCE};

/// Tables per schema that a candidate can have.
const TABLES_PER_SCHEMA_MAX: u32 = 16_384;

/// One layout and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Servers.
    pub instances: u32,
    /// Schemas in all.
    pub schemas: u32,
    /// Physical tables of a logical table in each schema.
    pub tables_per_schema: u32,
    /// Physical tables of a logical table in all.
    pub tables: u64,
    /// Rows that a logical table holds at the limit of rows.
    pub capacity: u64,
    /// At the start.
    pub now: Load,
    /// At the horizon.
    pub at_horizon: Load,
    /// Every limit, and when it is met: first those of the plan's curves, in their order.
    pub limits: Vec<LimitState>,
    /// The limit that is met first.
    pub first_limit: Option<LimitKind>,
    /// The day on which it is met; before that day none is. `None` beyond a hundred years.
    pub lasts_until: Option<Date>,
    /// Days until then.
    pub days: Option<u32>,
    /// Whether it lasts until the horizon.
    pub lasts: bool,
    /// Of the room for rows, what stands empty at the horizon, in hundredths of a percent.
    pub idle_rows_basis_points: u32,
    /// Of the disks, what stands empty at the horizon, where their size is known.
    pub idle_disk_basis_points: Option<u32>,
    /// What has to be done when the first limit is met; `None` where none is within a hundred
    /// years.
    pub next_split: Option<NextSplit>,
    /// The numbers of instances, from the one it starts with, over which its schemas spread
    /// evenly: it grows to each by moving whole schemas, without splitting a table.
    pub instance_counts: Vec<u32>,
    /// Instances it can grow to that way at most.
    pub instances_max: u32,
}

/// What the fullest table and instance hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Rows of a physical table of the largest logical table.
    pub rows_per_table: u64,
    /// Bytes of the largest physical table, where the size of rows is known.
    pub bytes_per_table: Option<u64>,
    /// Rows of an instance, all tables together.
    pub rows_per_instance: u64,
    /// Bytes of an instance, where the size of rows is known.
    pub bytes_per_instance: Option<u64>,
}

/// A limit of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitState {
    /// Which.
    pub limit: LimitKind,
    /// The tables it is of, where not of all: those with large rows have a lower one.
    pub tables: Vec<crate::names::TableName>,
    /// What it allows.
    pub most: u64,
    /// The same less the headroom: where that is reached it is met. (Schemas and tables of an
    /// instance do not grow: they may be as many as allowed.)
    pub counted: u64,
    /// What counts against it at the start.
    pub now: u64,
    /// What counts against it at the horizon.
    pub at_horizon: u64,
    /// The first day it is met; `None` where it is not within a hundred years.
    pub met: Option<Date>,
}

/// The step that the first limit calls for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextSplit {
    /// The day it is due: the first limit is met.
    pub due: Date,
    /// What it is.
    pub kind: SplitKind,
    /// Instances after it.
    pub instances: u32,
    /// Schemas after it.
    pub schemas: u32,
    /// Rows of all tables that it moves.
    pub rows: u64,
    /// Bytes that it moves, where the size of rows is known.
    pub bytes: Option<u64>,
    /// Minutes that takes at the estimate's rate, rounded up.
    pub minutes: Option<u64>,
    /// The day on which the next limit is met after it.
    pub lasts_until: Option<Date>,
}

/// What relieves a layout. Either way half of the rows move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// The instances are full: twice the instances, half of the schemas move as they are.
    MoveSchemas,
    /// The tables are full, or no schema is left to move: twice the schemas, half of the rows of
    /// each go to the new one. More servers alone would leave the tables as full as they are.
    SplitSchemas,
}

/// The size of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    instances: u32,
    schemas: u32,
    tables_per_schema: u32,
}

impl Shape {
    /// Physical tables of a logical table.
    fn tables(self) -> u64 {
        u64::from(self.schemas) * u64::from(self.tables_per_schema)
    }

    /// Over how many the total of a limit is spread.
    fn parts(self, limit: LimitKind) -> u64 {
        match limit.is_of_tables() {
            true => self.tables(),
            false => self.instances.into(),
        }
    }
}

/// Makes the candidates.
pub(super) struct Layouts<'a> {
    pub(super) estimate: &'a Estimate,
    pub(super) volume: &'a Volume,
    /// The day of the horizon.
    pub(super) horizon: u32,
}

impl Layouts<'_> {
    /// The candidates worth showing, and the index of the recommended one.
    pub(super) fn candidates(&self) -> Result<(Vec<Candidate>, usize), PlanError> {
        let first = self.estimate.instances;
        let bases = self.schema_counts()?;
        let mut all = Vec::new();
        let mut instances = first;
        // Twice the servers as long as it is they who are full.
        loop {
            let before = all.len();
            for schemas in self.schemas_on(instances, &bases) {
                self.of_schemas(instances, schemas, &mut all)?;
            }
            let of_these = &all[before..];
            if of_these.is_empty() || of_these.iter().any(|candidate: &Candidate| candidate.lasts) {
                break;
            }
            match instances.checked_mul(2) {
                Some(twice) if twice <= INSTANCES_MAX => instances = twice,
                _ => break,
            }
        }
        let best = recommended(&all).clone();
        // What is far too small or far too large says nothing. With fewer servers the same layout
        // shows what more of them buy.
        all.retain(|candidate| match candidate.instances == best.instances {
            true => {
                let near =
                    candidate.tables * 2 >= best.tables && candidate.tables <= best.tables * 4;
                let plain = candidate.tables_per_schema == 1 && candidate.instances == first;
                *candidate == best || near || plain
            }
            false => candidate.instances < best.instances && candidate.tables == best.tables,
        });
        all.sort_by_key(|c| (c.instances, c.tables, c.schemas));
        let index = all.iter().position(|c| *c == best).unwrap_or(0);
        Ok((all, index))
    }

    /// The numbers of schemas to look at: the given one, or eight to an instance and its doubles.
    fn schema_counts(&self) -> Result<Vec<u32>, PlanError> {
        let instances = self.estimate.instances;
        if let Some(schemas) = self.estimate.schemas {
            if schemas == 0 {
                return Err(PlanError::NoSchemas);
            }
            if schemas > SCHEMAS_MAX {
                return Err(PlanError::TooManySchemas(schemas.into()));
            }
            if !schemas.is_multiple_of(instances) {
                return Err(PlanError::Uneven { schemas, instances });
            }
            return Ok(vec![schemas]);
        }
        let each = match self.estimate.limits.schemas_per_instance {
            Some(most) if most < SCHEMAS_PER_INSTANCE => 1 << most.max(1).ilog2(),
            _ => SCHEMAS_PER_INSTANCE,
        };
        // At most 8 x 4096.
        let base = instances * each;
        Ok([1, 2, 4]
            .into_iter()
            .map(|factor| base * factor)
            .filter(|schemas| *schemas <= SCHEMAS_MAX)
            .collect())
    }

    /// Those of them that spread evenly over so many instances.
    fn schemas_on(&self, instances: u32, bases: &[u32]) -> Vec<u32> {
        let even: Vec<u32> = bases
            .iter()
            .copied()
            .filter(|schemas| schemas.is_multiple_of(instances))
            .collect();
        match (even.is_empty(), self.estimate.schemas) {
            (true, None) => vec![instances],
            _ => even,
        }
    }

    /// One size too small shows what the next buys; the first whose tables last ends the row.
    fn of_schemas(
        &self,
        instances: u32,
        schemas: u32,
        all: &mut Vec<Candidate>,
    ) -> Result<(), PlanError> {
        let mut tables_per_schema = 1;
        loop {
            let shape = Shape {
                instances,
                schemas,
                tables_per_schema,
            };
            all.push(self.candidate(shape));
            let full = self.volume.gauges.iter().find(|gauge| {
                let met = self.met(gauge, shape);
                gauge.kind.is_of_tables() && met.is_some_and(|day| day < self.horizon)
            });
            let Some(gauge) = full else { return Ok(()) };
            if tables_per_schema >= TABLES_PER_SCHEMA_MAX {
                return Err(self.too_many_tables(gauge));
            }
            tables_per_schema *= 2;
        }
    }

    fn too_many_tables(&self, gauge: &Gauge) -> PlanError {
        let text = |amount: u128| {
            let amount = u64::try_from(amount).unwrap_or(u64::MAX);
            match gauge.kind.is_bytes() {
                true => Size(amount).to_string(),
                false if amount == 1 => "one row".to_owned(),
                false => format!("{} rows", Count(amount)),
            }
        };
        PlanError::TooManyTables {
            amount: text(gauge.total.at(self.horizon)),
            limit: text(gauge.counted.into()),
        }
    }

    /// The first day on which a layout meets a limit.
    fn met(&self, gauge: &Gauge, shape: Shape) -> Option<u32> {
        let room = u128::from(gauge.counted) * u128::from(shape.parts(gauge.kind));
        gauge.highest.first_day(room)
    }

    /// Physical tables of all logical tables on one instance.
    fn tables_on_instance(&self, shape: Shape) -> u64 {
        let split = self.estimate.tables.len() as u64 * u64::from(shape.tables_per_schema);
        u64::from(shape.schemas / shape.instances)
            * (split + u64::from(self.estimate.broadcast_tables))
    }

    fn limits(&self, shape: Shape) -> Vec<LimitState> {
        let date = |day| self.volume.calendar.date(day);
        let mut states: Vec<LimitState> = self
            .volume
            .gauges
            .iter()
            .map(|gauge| {
                let part = |day| share(&gauge.total, day, shape.parts(gauge.kind));
                LimitState {
                    limit: gauge.kind,
                    tables: gauge.tables.clone(),
                    most: gauge.limit,
                    counted: gauge.counted,
                    now: part(0),
                    at_horizon: part(self.horizon),
                    met: self.met(gauge, shape).map(date),
                }
            })
            .collect();
        let limits = &self.estimate.limits;
        let schemas = u64::from(shape.schemas / shape.instances);
        for (limit, most, there) in [
            (
                LimitKind::SchemasPerInstance,
                limits.schemas_per_instance.map(u64::from),
                schemas,
            ),
            (
                LimitKind::TablesPerInstance,
                limits.tables_per_instance,
                self.tables_on_instance(shape),
            ),
        ] {
            if let Some(most) = most {
                states.push(LimitState {
                    limit,
                    tables: Vec::new(),
                    most,
                    counted: most,
                    now: there,
                    at_horizon: there,
                    met: (there > most).then(|| date(0)),
                });
            }
        }
        states
    }

    fn load(&self, shape: Shape, day: u32) -> Load {
        let volume = self.volume;
        let instances = u64::from(shape.instances);
        Load {
            rows_per_table: share(&volume.most_rows, day, shape.tables()),
            bytes_per_table: (volume.most_bytes.as_ref())
                .map(|bytes| share(bytes, day, shape.tables())),
            rows_per_instance: share(&volume.rows, day, instances),
            bytes_per_instance: volume
                .bytes
                .as_ref()
                .map(|bytes| share(bytes, day, instances)),
        }
    }

    fn candidate(&self, shape: Shape) -> Candidate {
        let limits = self.limits(shape);
        let first = first_met(&limits);
        let horizon = self.volume.calendar.date(self.horizon);
        // The limit of rows is there always, before any lower one of large rows.
        let capacity = limits
            .iter()
            .find(|state| state.limit == LimitKind::RowsPerTable)
            .map_or(0, |state| state.counted.saturating_mul(shape.tables()));
        let empty = |limit: LimitKind| {
            limits
                .iter()
                .filter(|state| state.limit == limit)
                .map(|state| idle(state.at_horizon, state.counted))
                .min()
        };
        Candidate {
            instances: shape.instances,
            schemas: shape.schemas,
            tables_per_schema: shape.tables_per_schema,
            tables: shape.tables(),
            capacity,
            now: self.load(shape, 0),
            at_horizon: self.load(shape, self.horizon),
            first_limit: first.map(|(limit, _)| limit),
            lasts_until: first.map(|(_, date)| date),
            days: first.map(|(_, date)| self.volume.calendar.day(date)),
            lasts: first.is_none_or(|(_, date)| date >= horizon),
            idle_rows_basis_points: empty(LimitKind::RowsPerTable).unwrap_or(0),
            idle_disk_basis_points: empty(LimitKind::DiskPerInstance),
            next_split: first.map(|(_, due)| self.next_split(shape, &limits, due)),
            instance_counts: divisors(shape.schemas, shape.instances),
            instances_max: shape.schemas,
            limits,
        }
    }

    fn next_split(&self, shape: Shape, limits: &[LimitState], due: Date) -> NextSplit {
        let day = self.volume.calendar.day(due);
        let is_met = |of_tables| {
            limits.iter().any(|state| {
                state.limit.is_of_tables() == of_tables && state.met.is_some_and(|met| met <= due)
            })
        };
        let twice = shape.instances.saturating_mul(2);
        let can_move = shape.schemas.is_multiple_of(twice);
        let kind = match can_move && !is_met(true) {
            true => SplitKind::MoveSchemas,
            false => SplitKind::SplitSchemas,
        };
        let after = Shape {
            instances: match is_met(false) {
                true => twice,
                false => shape.instances,
            },
            schemas: match kind {
                SplitKind::MoveSchemas => shape.schemas,
                SplitKind::SplitSchemas => shape.schemas.saturating_mul(2),
            },
            ..shape
        };
        let half = |series: &Series| share(series, day, 2);
        let bytes = self.volume.bytes.as_ref().map(half);
        NextSplit {
            due,
            kind,
            instances: after.instances,
            schemas: after.schemas,
            rows: half(&self.volume.rows),
            bytes,
            minutes: bytes.map(|bytes| {
                let seconds = bytes.div_ceil(self.estimate.move_bytes_per_second.max(1));
                seconds.div_ceil(60)
            }),
            lasts_until: first_met(&self.limits(after)).map(|(_, date)| date),
        }
    }
}

/// A part of what there is on a day, rounded up: the fullest.
fn share(series: &Series, day: u32, parts: u64) -> u64 {
    let part = series.at(day).div_ceil(u128::from(parts.max(1)));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// The limit that is met first; of several on one day the first of the list.
fn first_met(limits: &[LimitState]) -> Option<(LimitKind, Date)> {
    limits
        .iter()
        .filter_map(|state| Some((state.limit, state.met?)))
        .min_by_key(|(_, date)| *date)
}

/// The divisors of a number from the least on, ascending.
fn divisors(number: u32, least: u32) -> Vec<u32> {
    let low: Vec<u32> = (1..)
        .take_while(|divisor| u64::from(*divisor).pow(2) <= number.into())
        .filter(|divisor| number.is_multiple_of(*divisor))
        .collect();
    let high = low.iter().rev().map(|divisor| number / divisor);
    let mut all: Vec<u32> = low.iter().copied().chain(high).collect();
    // The root of a square is in both halves.
    all.dedup();
    all.retain(|divisor| *divisor >= least);
    all
}

/// What is empty of a room, in hundredths of a percent.
fn idle(used: u64, room: u64) -> u32 {
    let free = u128::from(room.saturating_sub(used)) * 10_000;
    // At most 10,000.
    (free / u128::from(room.max(1))) as u32
}

/// The smallest that lasts: fewest servers, then fewest tables, then fewest schemas, which is the
/// usual layout. Where none lasts until the horizon, the one that lasts longest.
fn recommended(candidates: &[Candidate]) -> &Candidate {
    let size = |candidate: &Candidate| (candidate.instances, candidate.tables, candidate.schemas);
    candidates
        .iter()
        .filter(|candidate| candidate.lasts)
        .min_by_key(|candidate| size(candidate))
        .or_else(|| {
            candidates.iter().min_by_key(|candidate| {
                let days = candidate.days.unwrap_or(u32::MAX);
                (u32::MAX - days, size(candidate))
            })
        })
        // There is one for the first number of instances always.
        .unwrap_or(&candidates[0])
}
