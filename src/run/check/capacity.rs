//! Rows and bytes as they are now and as they were, and what that says of the days to come.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use super::{CONNECTIONS_MAX, Fleet, History, error_finding, grant, ms};
use crate::error::{Error, Result};
use crate::journal::capacity as history;
use crate::mysql::state::{self, Presence};
use crate::mysql::{Server, control, inspect};
use crate::names::quote;
use crate::report::check::{
    Case, Check, CheckRun, Finding, Level, capacity_summary, gauge_sentence, level_of,
};
use crate::report::count;
use crate::topology::capacity::{
    Basis, Capacity, FORMAT, Gauge, Size, Snapshot, Taken, Verdict, What, baseline, capacity,
};
use crate::topology::drift::list;
use crate::topology::file::places::Spot;

/// A second measurement within this time of the last is not kept: it would say the same.
const KEEP_EVERY_S: i64 = 3_600;

/// The measurements in a file; none where there is no such file yet.
///
/// # Errors
/// It cannot be read, or holds something else.
pub(super) fn read_file(path: &Path, cluster: &str) -> Result<Vec<Snapshot>> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => history::decode_lines(&text, cluster, &shown),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::usage("could not read the history")
            .at(shown)
            .cause(cause)),
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let cut_off =
        std::fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    let start = if cut_off { "\n" } else { "" };
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    file.sync_all()
}

/// What an instance has told.
struct Measured {
    /// Sizes by schema and table.
    sizes: BTreeMap<(String, String), Size>,
    /// The tables that could not be counted for want of rights.
    refused: Vec<(String, String)>,
    /// The account that lacks them.
    account: Option<String>,
}

/// The statement that gives the right to count these tables.
fn select_grant(refused: &[(String, String)], account: Option<&str>) -> Option<String> {
    let (schema, table) = refused.first()?;
    Some(format!(
        "GRANT SELECT ON {}.{} TO {}{}",
        quote(schema),
        quote(table),
        account.unwrap_or("the user"),
        match refused.len() {
            1 => "",
            _ => ", and likewise on the others",
        }
    ))
}

impl Fleet<'_> {
    pub(super) async fn capacity(
        &self,
        from_file: Option<Vec<Snapshot>>,
    ) -> (CheckRun, Option<Capacity>) {
        let started = Instant::now();
        let mut general = Case::new("measurement");
        let now = self.measure(&mut general).await;
        let options = self.options;
        if now.tables.values().all(BTreeMap::is_empty) {
            let summary = "nothing could be measured";
            let run = CheckRun::new(Check::Capacity, summary, ms(started), vec![general]);
            return (run.skipped(), None);
        }
        let refused = match &options.history {
            History::Control => self.history_refused(&mut general).await,
            History::File(_) => false,
        };
        let (basis, last) = if refused {
            (Err("the user may not read the history".to_owned()), None)
        } else {
            self.basis(from_file, &now, &mut general).await
        };
        let today = options
            .now
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .date();
        let found = capacity(
            self.topology,
            &now,
            basis.as_ref().map_err(Clone::clone),
            &options.stated,
            &options.limits,
            today,
        );
        if !refused {
            self.keep(&now, last, &mut general).await;
        }
        if let Basis::None { why } = &found.basis {
            general.findings.push(Finding::new(
                "growth_unknown",
                Level::Note,
                format!("growth cannot be measured yet: {why}"),
            ));
        }
        let mut cases = vec![general];
        for table in self.topology.tables.values() {
            let mut case = Case::new(table.name.as_str());
            let own: Vec<&Gauge> = found
                .gauges
                .iter()
                .filter(|gauge| matches!(&gauge.what, What::Rows { logical, .. } if *logical == table.name))
                .collect();
            if own.is_empty() {
                case.skipped = Some("none of its physical tables was measured".to_owned());
            }
            case.findings.extend(self.gauge_findings(&own, &found));
            for unlike in found
                .unlike
                .iter()
                .filter(|unlike| unlike.logical == table.name)
            {
                let place = format!("{}.{}", unlike.table.schema, unlike.table.table);
                let about = if found.exact { "" } else { "about " };
                let rows = count(unlike.value.unsigned_abs());
                let median = count(unlike.median.unsigned_abs());
                let message = if unlike.growth {
                    let sign = if unlike.value < 0 { "-" } else { "+" };
                    let sign_median = if unlike.median < 0 { "-" } else { "+" };
                    format!(
                        "{}: {place} grows unlike the others: {sign}{rows} rows a year, where the \
                         median is {sign_median}{median}",
                        table.name
                    )
                } else {
                    format!(
                        "{}: {place} is filled unlike the others: {about}{rows} rows, where the \
                         median is {median}",
                        table.name
                    )
                };
                case.findings.push(Finding {
                    table: Some(table.name.to_string()),
                    places: vec![unlike.table.to_string()],
                    at: self.places.of(&Spot::ShardKey(table.name.clone())),
                    ..Finding::new(
                        if unlike.growth {
                            "grows_unlike"
                        } else {
                            "filled_unlike"
                        },
                        Level::Warning,
                        message,
                    )
                });
            }
            cases.push(case);
        }
        let disks: Vec<&Gauge> = found
            .gauges
            .iter()
            .filter(|gauge| matches!(gauge.what, What::Bytes { .. }))
            .collect();
        if !disks.is_empty() {
            let mut case = Case::new("disks");
            for gauge in disks {
                case.findings.extend(self.gauge_findings(&[gauge], &found));
            }
            cases.push(case);
        }
        let mut summary = capacity_summary(&found);
        if !self.failed.is_empty() {
            summary.push_str(&format!(" ({})", self.reached()));
        }
        let run = CheckRun::new(Check::Capacity, summary, ms(started), cases);
        (run, Some(found))
    }

    /// One finding for the breaches and one for the warnings among these, which are sorted.
    fn gauge_findings(&self, gauges: &[&Gauge], capacity: &Capacity) -> Vec<Finding> {
        let limits = &self.options.limits;
        [
            (Verdict::Breached, "full", limits.fail),
            (Verdict::Warned, "full_soon", limits.warn),
        ]
        .into_iter()
        .filter_map(|(verdict, rule, horizon)| {
            let own: Vec<&&Gauge> = gauges
                .iter()
                .filter(|gauge| gauge.verdict == verdict)
                .collect();
            let first = own.first()?;
            let table = match &first.what {
                What::Rows { logical, .. } => Some(logical),
                What::Bytes { .. } => None,
            };
            let prefix = table.map(|name| format!("{name}: ")).unwrap_or_default();
            let more = match own.len() - 1 {
                0 => String::new(),
                more => format!("; {more} more within {horizon}"),
            };
            Some(Finding {
                table: table.map(ToString::to_string),
                places: own
                    .iter()
                    .map(|gauge| match &gauge.what {
                        What::Rows { table, .. } => table.to_string(),
                        What::Bytes { instance } => instance.to_string(),
                    })
                    .collect(),
                at: table.and_then(|name| self.places.of(&Spot::Table(name.clone()))),
                ..Finding::new(
                    rule,
                    level_of(verdict),
                    format!("{prefix}{}{more}", gauge_sentence(first, capacity.exact)),
                )
            })
        })
        .collect()
    }

    /// What every physical table of the topology holds, as far as it can be read.
    async fn measure(&self, case: &mut Case) -> Snapshot {
        let mut now = Snapshot {
            format: FORMAT,
            cluster: self.topology.cluster.clone(),
            taken_at: self.options.now,
            exact: self.options.exact,
            tables: BTreeMap::new(),
        };
        for (name, answer) in self.ask(|server| self.sizes(server)).await {
            match answer {
                Ok(found) => {
                    for ((schema, table), size) in found.sizes {
                        now.tables.entry(schema).or_default().insert(table, size);
                    }
                    let refused: Vec<String> = found
                        .refused
                        .iter()
                        .map(|(schema, table)| format!("{schema}.{table}"))
                        .collect();
                    if !refused.is_empty() {
                        case.findings.push(Finding {
                            places: refused
                                .iter()
                                .map(|table| format!("{name}/{table}"))
                                .collect(),
                            next: select_grant(&found.refused, found.account.as_deref()),
                            ..Finding::new(
                                "not_measured",
                                Level::Error,
                                format!(
                                    "{} on {name} cannot be measured with the user's rights",
                                    list(&refused)
                                ),
                            )
                        });
                    }
                }
                Err(error) => case.findings.push(error_finding("not_measured", &error)),
            }
        }
        now
    }

    async fn sizes(&self, server: &Server) -> Result<Measured> {
        let topology = self.topology;
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        let mut schemas = Vec::new();
        for shard in topology.shards_on(server.name()) {
            let schema = &topology.schema(shard).name;
            schemas.push(schema.clone());
            for table in topology.tables.values() {
                for place in topology.places_in(table, shard) {
                    wanted.insert((
                        schema.to_string(),
                        table.physical[place.table as usize].to_string(),
                    ));
                }
            }
        }
        let mut sizes = inspect::table_sizes(server, &schemas).await?;
        sizes.retain(|name, _| wanted.contains(name));
        let mut refused = Vec::new();
        let mut conn = server.conn().await?;
        for (schema, table) in wanted.iter().filter(|name| !sizes.contains_key(*name)) {
            // Missing is what `drift` says; not to be seen is what hides how full it is.
            if state::table(server, &mut conn, schema, table).await? == Presence::Refused {
                refused.push((schema.clone(), table.clone()));
            }
        }
        let account = state::account(&mut conn).await;
        drop(conn);
        let mut found = BTreeMap::new();
        if !self.options.exact {
            for (name, size) in sizes {
                let bytes = size.data_bytes.saturating_add(size.index_bytes);
                found.insert(
                    name,
                    Size {
                        rows: size.rows,
                        bytes,
                    },
                );
            }
            return Ok(Measured {
                sizes: found,
                refused,
                account,
            });
        }
        let answers: Vec<_> = stream::iter(sizes)
            .map(|((schema, table), size)| async move {
                let mut conn = server.conn().await?;
                let rows = state::rows(server, &mut conn, &schema, &table).await?;
                Ok::<_, Error>(((schema, table), size, rows))
            })
            .buffer_unordered(CONNECTIONS_MAX)
            .collect()
            .await;
        for answer in answers {
            let (name, size, rows) = answer?;
            let bytes = size.data_bytes.saturating_add(size.index_bytes);
            match rows {
                Some(rows) => {
                    found.insert(name, Size { rows, bytes });
                }
                None => refused.push(name),
            }
        }
        refused.sort();
        Ok(Measured {
            sizes: found,
            refused,
            account,
        })
    }

    /// Whether the user has no rights on the history; then that is said.
    async fn history_refused(&self, case: &mut Case) -> bool {
        let Ok(control) = self.servers.get(&self.topology.control) else {
            return false;
        };
        let Ok(mut conn) = control.conn().await else {
            return false;
        };
        let presence = state::table(control, &mut conn, control::SCHEMA, "capacity_history").await;
        let refused = matches!(presence, Ok(Presence::Refused));
        if refused {
            let account = state::account(&mut conn).await;
            case.findings.push(Finding {
                next: Some(format!(
                    "{}, or name a file with --history FILE",
                    grant("CREATE, SELECT, INSERT", account.as_deref())
                )),
                ..Finding::new(
                    "history_unread",
                    Level::Warning,
                    format!(
                        "the history of capacity on {} cannot be read with the user's rights",
                        control.name()
                    ),
                )
            });
        }
        refused
    }

    /// The measurement that growth is taken from, and when the last of the same kind was taken.
    async fn basis(
        &self,
        from_file: Option<Vec<Snapshot>>,
        now: &Snapshot,
        case: &mut Case,
    ) -> (std::result::Result<Snapshot, String>, Option<Timestamp>) {
        let last = |taken: &[Taken]| {
            taken
                .iter()
                .filter(|taken| taken.exact == now.exact && taken.at <= now.taken_at)
                .map(|taken| taken.at)
                .max()
        };
        if let Some(mut snapshots) = from_file {
            let taken: Vec<Taken> = snapshots
                .iter()
                .map(|snapshot| Taken {
                    at: snapshot.taken_at,
                    exact: snapshot.exact,
                })
                .collect();
            let basis = baseline(&taken, now.taken_at, now.exact);
            return (
                basis.map(|index| snapshots.swap_remove(index)),
                last(&taken),
            );
        }
        let control = match self.servers.get(&self.topology.control) {
            Ok(control) => control,
            Err(_) => return (Err("the control instance was not reached".to_owned()), None),
        };
        let mut unread = |error: &Error| {
            case.findings.push(Finding {
                next: Some("name a file with --history FILE".to_owned()),
                ..Finding::new("history_unread", Level::Warning, error.summary())
            });
            "the history could not be read".to_owned()
        };
        let kept = match history::kept(control, &self.topology.cluster).await {
            Ok(kept) => kept.unwrap_or_default(),
            Err(error) => return (Err(unread(&error)), None),
        };
        let taken: Vec<Taken> = kept.iter().map(|(_, taken)| *taken).collect();
        let basis = match baseline(&taken, now.taken_at, now.exact) {
            Ok(index) => match history::load(control, kept[index].0).await {
                Ok(snapshot) => Ok(snapshot),
                Err(error) => Err(unread(&error)),
            },
            Err(why) => Err(why),
        };
        (basis, last(&taken))
    }

    /// Keeps the measurement, if it is whole and the last one is not of this hour.
    async fn keep(&self, now: &Snapshot, last: Option<Timestamp>, case: &mut Case) {
        if !self.options.keeps {
            return;
        }
        let whole = self.failed.is_empty() && case.level() < Level::Error;
        if !whole {
            case.findings.push(Finding::new(
                "not_kept",
                Level::Note,
                "the measurement is not kept: it is not of the whole fleet",
            ));
            return;
        }
        if last.is_some_and(|last| now.taken_at.duration_since(last).as_secs() < KEEP_EVERY_S) {
            return;
        }
        let answer = match &self.options.history {
            History::File(path) => history::encode(now).and_then(|line| {
                append(path, &line).map_err(|cause| {
                    Error::usage("could not keep the measurement")
                        .at(path.display().to_string())
                        .cause(cause)
                })
            }),
            History::Control => self.keep_on_control(now).await,
        };
        if let Err(error) = answer {
            case.findings.push(Finding {
                next: Some(
                    "GRANT CREATE, SELECT, INSERT ON `_shardctl`.* to the user, name a file with \
                     --history FILE, or say --no-record"
                        .to_owned(),
                ),
                ..Finding::new("not_kept", Level::Warning, error.summary())
            });
        }
    }

    async fn keep_on_control(&self, now: &Snapshot) -> Result<()> {
        let control = self.servers.get(&self.topology.control)?;
        let mut conn = control.conn().await?;
        // A check makes no schema on a server that is none of shardctl's yet.
        let ours = control::shard_map(control, &mut conn).await?;
        drop(conn);
        if ours.is_none() {
            return Err(Error::usage(format!(
                "there is no `_shardctl` on {} to keep the measurement in",
                control.name()
            )));
        }
        history::keep(control, now).await
    }
}
