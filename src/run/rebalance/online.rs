//! The effects of an online move.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{DIFFERENCES_MAX, Run, tables};
use crate::error::{Error, Result};
use crate::mysql::checksum::Reads;
use crate::mysql::copy::{self, TableCopy};
use crate::mysql::fence::{counter, counts_by_secondary_index, has_unique_index, without_counter};
use crate::mysql::{Server, Servers, checksum, inspect, live, marker, moving, tail};
use crate::names::{InstanceName, TableName};
use crate::rebalance::moves::Move;
use crate::rebalance::protocol::{
    Effect, Event, Evidence, Job, SchemaMove, Suspects, TableMove, Way,
};
use crate::run::hook::Moment;
use crate::run::live::{Live, position_of, positions};

/// How long writers may be refused before the source is opened again.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a row may take on the stream back that shows that it works.
const MARKER_DEADLINE: Duration = Duration::from_secs(10);
/// How often a run that waits for a person looks whether another wants the job.
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// Rows of one table that may differ under load and be looked at again; more is no lag.
const SUSPECTS_MAX: usize = 2_000;
/// Times that they are looked at again before the fence.
const LOOKS: u32 = 3;

/// What would stop an online move later.
///
/// # Errors
/// A server cannot be asked.
pub(super) async fn problems(
    servers: &Servers,
    moves: &[Move],
    goes_back: bool,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut sources: Vec<&InstanceName> = moves.iter().map(|at| &at.from).collect();
    if goes_back {
        // Their log is what a way back is made of.
        sources.extend(moves.iter().map(|at| &at.to));
    }
    sources.sort();
    sources.dedup();
    for instance in sources {
        let server = servers.get(instance)?;
        let mut conn = server.conn().await?;
        problems.extend(
            tail::unfit_settings(server, &mut conn)
                .await?
                .into_iter()
                .map(|problem| format!("{instance}: {problem}")),
        );
    }
    for at in moves {
        let server = servers.get(&at.from)?;
        let mut conn = server.conn().await?;
        let facts = moving::look(server, &mut conn, &at.schema).await?;
        for table in facts.tables {
            let place = format!("`{}`.`{}`", at.schema, table.name);
            let schema = at.schema.as_str();
            if let Err(error) = tail::table_shape(server, &mut conn, schema, &table.name).await {
                problems.push(format!("{place}: {}", error.summary()));
            }
            let sql = inspect::show_create_table(server, &mut conn, schema, &table.name).await?;
            let sql = sql.unwrap_or_default();
            if counts_by_secondary_index(&sql) && has_unique_index(&sql) {
                problems.push(format!(
                    "{place} counts its ids by a secondary index and has a unique one: it cannot be \
                     copied while it is written to"
                ));
            }
        }
    }
    Ok(problems)
}

impl Run<'_> {
    async fn live(&self, job: &Job, way: Way) -> Result<&Live> {
        let (cell, places) = match way {
            Way::Forward => (&self.live, &job.positions),
            Way::Back => (&self.back, &job.back_from),
        };
        let epoch = self.journal.epoch();
        cell.get_or_try_init(|| async {
            let live = Live::start(self.servers, job, way, places, epoch).await?;
            for lag in live.lags() {
                self.observer.follows(lag);
            }
            Ok(live)
        })
        .await
    }

    pub(super) async fn read_positions(&self, job: &Job, way: Way) -> Result<Event> {
        self.observer.begins(job, Effect::ReadPositions(way), None);
        if way == Way::Back {
            for instance in job.instances() {
                let server = self.servers.get(&instance)?;
                let mut conn = server.conn().await?;
                marker::create_tables(server, &mut conn).await?;
                // Of an earlier try: the log from there on may be gone.
                let mut guard = self.guard(&instance).await?;
                guard.forget_way_back(&job.id).await?;
            }
        }
        let positions = positions(self.servers, job, way).await?;
        Ok(Event::Located { positions })
    }

    /// Whether a row comes by the stream back.
    pub(super) async fn try_back(&self, job: &Job) -> Result<Event> {
        self.observer.begins(job, Effect::TryBack, None);
        self.see_marker(job).await?;
        Ok(Event::Tried)
    }

    async fn see_marker(&self, job: &Job) -> Result<()> {
        let began = Instant::now();
        let live = self.live(job, Way::Back).await?;
        let go_on = || began.elapsed() < MARKER_DEADLINE;
        if !live.try_markers(self.servers, job, &go_on).await? {
            return Err(Error::stopped(
                "a row that was written on a target did not come back to its source",
            )
            .cause(format!("it was waited for {} s", MARKER_DEADLINE.as_secs())));
        }
        self.back_is_tried.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The last look before the point of no return.
    pub(super) async fn before_commit(&self, job: &Job, way: Way) -> Result<Event> {
        self.observer.begins(job, Effect::CommitShardMap(way), None);
        if way == Way::Forward && job.has_way_back() {
            match self.back_is_tried.load(Ordering::Relaxed) {
                true => self.live(job, Way::Back).await?.check()?,
                false => self.see_marker(job).await?,
            }
        }
        Ok(Event::Committed)
    }

    /// Applies the sources' log until a person says what to do with the job.
    pub(super) async fn keep_up(&self, job: &Job) -> Result<()> {
        self.observer.begins(job, Effect::KeepUp, None);
        self.keep(job, Way::Forward).await
    }

    /// Applies the targets' log, likewise.
    pub(super) async fn keep_back(&self, job: &Job) -> Result<()> {
        self.observer.begins(job, Effect::KeepBack, None);
        self.keep(job, Way::Back).await
    }

    async fn keep(&self, job: &Job, way: Way) -> Result<()> {
        self.journal.has_handed_over(&job.id).await?;
        let live = self.live(job, way).await?;
        while self.flags.go_on() {
            live.check()?;
            if self.journal.is_asked_for(&job.id).await? {
                self.journal.has_handed_over(&job.id).await?;
                self.observer
                    .note("another run asked for the job and has it now");
                return Ok(());
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
        match self.flags.is_asked_to_end() {
            true => Ok(()),
            false => self.flags.check(),
        }
    }

    pub(super) async fn copy_live(&self, job: &Job) -> Result<Event> {
        let total = self.rows_estimated(job).await?;
        self.observer.begins(job, Effect::CopyLive, Some(total));
        for schema in &job.moves {
            self.create_bare(schema).await?;
        }
        // All of them before the first change of the log is applied, not each when its turn comes.
        for (schema, table) in tables(job) {
            let target = self.servers.get(&schema.at.to)?;
            copy::claim(target, &self.table_copy(job, schema, table)).await?;
        }
        let live = self.live(job, Way::Forward).await?;
        let work = tables(job).map(|(schema, table)| self.copy_one_live(job, live, schema, table));
        let complete: Vec<bool> = stream::iter(work)
            .buffer_unordered(job.workers as usize)
            .try_collect()
            .await?;
        if complete.contains(&false) {
            live.check()?;
            self.flags.check()?;
        }
        Ok(Event::Copied)
    }

    /// The hidden tables, defined as the source's are, whatever name those carry at present.
    async fn create_bare(&self, schema: &SchemaMove) -> Result<()> {
        let source = self.servers.get(&schema.at.from)?;
        let mut target = self.guard(&schema.at.to).await?;
        for table in &schema.tables {
            let sql = self.definition(source, schema, table, &table.table).await?;
            let from = format!("CREATE TABLE {}", table.table.quoted());
            let Some(rest) = sql.strip_prefix(&from) else {
                return Err(
                    Error::server("the definition of a table is not one").at(source.place())
                );
            };
            let sql = format!("CREATE TABLE {}{rest}", table.hidden.quoted());
            target
                .create_bare_table(&schema.at.schema, &table.hidden, &sql)
                .await?;
        }
        Ok(())
    }

    async fn definition(
        &self,
        server: &Server,
        schema: &SchemaMove,
        table: &TableMove,
        name: &TableName,
    ) -> Result<String> {
        let mut conn = server.conn().await?;
        let found =
            inspect::show_create_table(server, &mut conn, schema.at.schema.as_str(), name.as_str())
                .await?;
        found.ok_or_else(|| {
            Error::unknown(format!(
                "the table `{}`.`{}` is gone",
                schema.at.schema, table.table
            ))
            .at(server.place())
        })
    }

    async fn copy_one_live(
        &self,
        job: &Job,
        live: &Live,
        schema: &SchemaMove,
        table: &TableMove,
    ) -> Result<bool> {
        let go_on = || self.flags.go_on() && live.check().is_ok();
        if !go_on() {
            return Ok(false);
        }
        let (source, target) = (
            self.servers.get(&schema.at.from)?,
            self.servers.get(&schema.at.to)?,
        );
        let mut conn = source.conn().await?;
        let shape = moving::shape(source, &mut conn, &schema.at.schema, &table.table).await?;
        drop(conn);
        let copy = self.table_copy(job, schema, table);
        live::copy_table(
            source,
            target,
            live.table(&table.hidden)?,
            &copy,
            &shape,
            &|rows| {
                self.observer.advances(&table.hidden, rows);
                self.points.part(Effect::CopyLive);
                go_on()
            },
        )
        .await
    }

    fn table_copy(&self, job: &Job, schema: &SchemaMove, table: &TableMove) -> TableCopy {
        TableCopy {
            job: job.id.clone(),
            epoch: self.journal.epoch(),
            schema: schema.at.schema.clone(),
            hidden: table.hidden.clone(),
        }
    }

    /// Whether to go on, for whatever waits for the log.
    fn wants_on(&self) -> impl Fn() -> bool + Sync + '_ {
        || self.flags.go_on()
    }

    pub(super) async fn build_indexes(&self, job: &Job) -> Result<Event> {
        self.observer.begins(job, Effect::BuildIndexes, None);
        let live = self.live(job, Way::Forward).await?;
        // Then the rows of a table are those of one moment, in which no unique value came twice.
        if !live.catch_up(&self.wants_on()).await? {
            self.flags.check()?;
        }
        for (schema, table) in tables(job) {
            let (source, target) = (
                self.servers.get(&schema.at.from)?,
                self.servers.get(&schema.at.to)?,
            );
            let wanted = self.definition(source, schema, table, &table.table).await?;
            let there = self
                .definition(target, schema, table, &table.hidden)
                .await?;
            // The log waits between two of its transactions.
            let gate = live.table(&table.hidden)?.gate.lock().await;
            let mut guard = self.guard(&schema.at.to).await?;
            guard
                .build_indexes(&schema.at.schema, &table.hidden, &wanted, &there)
                .await?;
            drop(guard);
            drop(gate);
            self.points.part(Effect::BuildIndexes);
            live.check()?;
            self.flags.check()?;
        }
        Ok(Event::Indexed)
    }

    pub(super) async fn compare_live(&self, job: &Job, way: Way) -> Result<Event> {
        let total = self.rows_estimated(job).await?;
        self.observer
            .begins(job, Effect::CompareLive(way), Some(total));
        let live = self.live(job, way).await?;
        // A log that nobody has applied for a while would be told as differences.
        if !live.catch_up(&self.wants_on()).await? {
            self.flags.check()?;
        }
        let work =
            tables(job).map(|(schema, table)| self.compare_one_live(live, way, schema, table));
        let compared: Vec<Compared> = stream::iter(work)
            .buffered(job.workers as usize)
            .try_collect()
            .await?;
        if compared.iter().any(|one| !one.complete) {
            live.check()?;
            self.flags.check()?;
        }
        let mut suspects = Vec::new();
        let mut differences = Vec::new();
        let mut evidence = Vec::new();
        for (one, (_, table)) in compared.into_iter().zip(tables(job)) {
            differences.extend(one.differences);
            evidence.push(one.evidence);
            if !one.suspects.is_empty() {
                suspects.push(Suspects {
                    hidden: table.hidden.clone(),
                    keys: one.suspects,
                });
            }
        }
        if !differences.is_empty() {
            return Ok(Event::Different { differences });
        }
        let mut evidence = evidence.into_iter();
        let evidence = job
            .moves
            .iter()
            .map(|schema| evidence.by_ref().take(schema.tables.len()).collect())
            .collect();
        Ok(Event::Alike { evidence, suspects })
    }

    async fn compare_one_live(
        &self,
        live: &Live,
        way: Way,
        schema: &SchemaMove,
        table: &TableMove,
    ) -> Result<Compared> {
        let (source, target) = (
            self.servers.get(way.from(&schema.at))?,
            self.servers.get(way.to(&schema.at))?,
        );
        let name = &schema.at.schema;
        let place = format!("`{name}`.`{}`", table.table);
        let mut conn = source.conn().await?;
        let shape = moving::shape(source, &mut conn, name, &table.table).await?;
        drop(conn);
        let sides = ((source, &table.table), (target, &table.hidden));
        let compared = checksum::compare(
            sides.0,
            sides.1,
            name,
            &shape,
            SUSPECTS_MAX,
            Reads::Locking,
            &|rows| {
                self.observer.advances(&table.hidden, rows);
                self.points.part(Effect::CompareLive(way));
                self.flags.go_on() && live.check().is_ok()
            },
        )
        .await?;
        let mut one = Compared {
            evidence: Evidence {
                rows: compared.rows,
                checksum: compared.checksum.to_string(),
            },
            suspects: compared.keys,
            differences: Vec::new(),
            complete: compared.complete,
        };
        let named = |text: &String| format!("{place}: the row {text}");
        if one.suspects.len() >= SUSPECTS_MAX {
            one.differences
                .extend(compared.differences.iter().take(DIFFERENCES_MAX).map(named));
            return Ok(one);
        }
        for _ in 0..LOOKS {
            if one.suspects.is_empty() || !live.catch_up(&self.wants_on()).await? {
                break;
            }
            let again = checksum::compare_again(
                sides.0,
                sides.1,
                name,
                &shape,
                &one.suspects,
                Reads::Locking,
            )
            .await?;
            one.suspects = again.into_iter().map(|(key, _)| key).collect();
        }
        if source.version() == target.version() {
            let ours = self.definition(source, schema, table, &table.table).await?;
            let theirs = self
                .definition(target, schema, table, &table.hidden)
                .await?;
            let ours = ours.replacen(&table.table.quoted(), &table.hidden.quoted(), 1);
            if without_counter(&ours) != without_counter(&theirs) {
                one.differences
                    .push(format!("{place}: the definitions differ"));
            }
        }
        Ok(one)
    }

    pub(super) async fn fence_live(&self, job: &Job, way: Way) -> Result<Event> {
        // The log is near its end before the writers are refused, for they wait for the rest of it.
        let live = self.live(job, way).await?;
        if !live.catch_up(&self.wants_on()).await? {
            self.flags.check()?;
        }
        self.fence(job, way).await?;
        // Read behind the last renaming: behind every change of what was renamed.
        let positions = positions(self.servers, job, way).await?;
        Ok(Event::FencedAt { positions })
    }

    pub(super) async fn drain_log(&self, job: &Job, way: Way) -> Result<Event> {
        self.observer.begins(job, Effect::DrainLog(way), None);
        let began = Instant::now();
        let live = self.live(job, way).await?;
        let mut ends = Vec::new();
        let fenced_at = match way {
            Way::Forward => &job.fenced_at,
            Way::Back => &job.back_fenced_at,
        };
        for place in fenced_at {
            ends.push((place.instance.clone(), position_of(place)?));
        }
        let in_time = || began.elapsed() < DRAIN_DEADLINE;
        let (reached, ()) = futures_util::future::try_join(
            live.reach(&ends, &in_time),
            self.hook(job, Moment::Fence(way), DRAIN_DEADLINE),
        )
        .await?;
        if !reached {
            return Ok(Event::TooSlow);
        }
        let mut differences = self.unexpected_at(job).await?;
        let suspects: BTreeMap<&TableName, &Suspects> = job
            .suspects
            .iter()
            .map(|suspects| (&suspects.hidden, suspects))
            .collect();
        let work = tables(job).map(|(schema, table)| {
            self.settle(way, schema, table, suspects.get(&table.hidden).copied())
        });
        // Writers wait for the last of them.
        let settled: Vec<Vec<String>> = stream::iter(work)
            .buffered(job.workers as usize)
            .try_collect()
            .await?;
        differences.extend(settled.into_iter().flatten());
        Ok(match differences.is_empty() {
            true => Event::Drained,
            false => Event::Different { differences },
        })
    }

    /// The last looks at a table behind the fence: at the rows that differed under load, which are
    /// named if they still do, and at its counter.
    async fn settle(
        &self,
        way: Way,
        schema: &SchemaMove,
        table: &TableMove,
        suspects: Option<&Suspects>,
    ) -> Result<Vec<String>> {
        let (source, target) = (
            self.servers.get(way.from(&schema.at))?,
            self.servers.get(way.to(&schema.at))?,
        );
        let name = &schema.at.schema;
        let mut differences = Vec::new();
        if let Some(suspects) = suspects {
            let mut conn = source.conn().await?;
            let shape = moving::shape(source, &mut conn, name, &table.hidden).await?;
            drop(conn);
            let again = checksum::compare_again(
                (source, &table.hidden),
                (target, &table.hidden),
                name,
                &shape,
                &suspects.keys,
                Reads::Plain,
            )
            .await?;
            let named = again.into_iter().take(DIFFERENCES_MAX);
            differences
                .extend(named.map(|(_, row)| format!("`{name}`.`{}`: the row {row}", table.table)));
        }
        // Ids that were given out on the one side and deleted are not given out again.
        let ours = self
            .definition(source, schema, table, &table.hidden)
            .await?;
        if let Some(next) = counter(&ours) {
            let theirs = self
                .definition(target, schema, table, &table.hidden)
                .await?;
            if counter(&theirs).unwrap_or_default() < next {
                let mut guard = self.guard(way.to(&schema.at)).await?;
                guard.count_from(name, &table.hidden, next).await?;
            }
        }
        Ok(differences)
    }

    async fn unexpected_at(&self, job: &Job) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for schema in &job.moves {
            for instance in [&schema.at.from, &schema.at.to] {
                all.extend(self.unexpected(instance, schema).await?);
            }
        }
        Ok(all)
    }
}

/// What comparing one table came to.
struct Compared {
    evidence: Evidence,
    suspects: Vec<Vec<String>>,
    differences: Vec<String>,
    complete: bool,
}
