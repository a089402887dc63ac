//! One statement of `shardctl query`, from its text to its printed answer: the one path of the
//! command line, the shell and a text of many statements.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::gathered::{self, Asked, ScratchServer};
use super::progress::{Aside, Progress};
use super::query::QueryArgs;
use super::rebalance::fencing_job;
use super::{Context, Outcome, analyze};
use crate::error::{Class, Error, Result};
use crate::journal;
use crate::mysql::Servers;
use crate::mysql::credentials::Credentials;
use crate::names::InstanceName;
use crate::query::Refusal;
use crate::query::gather::{Gather, gather};
use crate::query::merge::Merge;
use crate::query::plan::{Plan, Way, plan};
use crate::query::scatter::Scattered;
use crate::report::Format;
use crate::report::analyze::AnalyzeReport;
use crate::report::answer::{self, AnswerWriter};
use crate::report::describe::{describe, described};
use crate::report::explain::{ExplainReport, ExplainShard};
use crate::rows::cell::{Column, Row};
use crate::run::interrupt::Requests;
use crate::run::modes;
use crate::run::query::{
    CONNECTIONS_MAX, Fleet, Missing, MissingTable, QueryOptions, Running, Sink, at_once, refuse,
    refuse_to_merge,
};
use crate::run::snapshots::Snapshots;
use crate::run::timings::Timings;
use crate::topology::{Endpoint, Spread, Topology};

/// Connections to each instance that a shell keeps open between its statements: as many as a
/// scatter whose order does not matter uses.
const CONNECTIONS_KEPT: usize = 8;

/// Prints an answer as its rows come, or only counts them.
pub(super) struct Printer {
    writer: AnswerWriter<std::io::BufWriter<std::io::Stdout>>,
    /// Rows that were counted and not printed; nothing where they are printed.
    counted: Option<u64>,
    /// Ended by the first thing that is printed to the same terminal.
    progress: Option<Progress>,
    streams: bool,
}

impl Printer {
    /// In the format that was asked for. `timings` are what tells how far it is.
    pub(super) fn new(cx: &Context, how: How, timings: Option<&Timings>) -> Self {
        let format = match how.vertical {
            true => Format::Vertical,
            false => cx.out.format,
        };
        Self {
            writer: AnswerWriter::new(
                std::io::BufWriter::new(std::io::stdout()),
                format,
                cx.out.view,
            ),
            counted: how.analyze.then_some(0),
            progress: timings.and_then(|timings| Progress::of(cx, timings)),
            streams: format != Format::Table && std::io::stdout().is_terminal(),
        }
    }

    /// What the answer is without.
    fn missing(&mut self, tables: &[MissingTable]) {
        let missing = tables.iter().map(|table| answer::Missing {
            table: table.place.clone(),
            error: table.error.summary(),
        });
        self.writer.missing(missing.collect());
    }

    /// For what is to be told while it prints.
    pub(super) fn aside(&self) -> Aside {
        Aside::of(self.progress.as_ref())
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.counted.unwrap_or_else(|| self.writer.rows())
    }

    /// Prints what stands behind the rows, and tells how many there were and how long it took.
    pub(super) fn finish(self, cx: &Context, how: How, start: Instant) -> Result<()> {
        drop(self.progress);
        let rows = self.writer.rows();
        self.writer.finish()?;
        let rows = format!("{rows} {}", if rows == 1 { "row" } else { "rows" });
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        cx.note(&match how.timing {
            true => format!("{rows} in {ms:.0} ms"),
            false => rows,
        });
        Ok(())
    }
}

impl Sink for Printer {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        match self.counted {
            Some(_) => Ok(()),
            None => self.writer.columns(columns),
        }
    }

    fn row(&mut self, row: Row) -> Result<()> {
        if let Some(rows) = &mut self.counted {
            *rows += 1;
            return Ok(());
        }
        if self.streams {
            self.progress = None;
        }
        self.writer.row(&row)
    }
}

/// How one statement is answered, where statements of one session differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Show the way, and do not run it.
    pub(super) explain: bool,
    /// Run it, and show what it took in place of its rows.
    pub(super) analyze: bool,
    /// A line for each column, whatever the session's format.
    pub(super) vertical: bool,
    /// Tell how long it took.
    pub(super) timing: bool,
}

/// What statements share: the topology, the flags and the connections.
pub(super) struct Session<'a> {
    pub(super) cx: &'a Context,
    pub(super) args: &'a QueryArgs,
    pub(super) topology: Topology,
    /// The requests to end; one that comes between two statements is found by the next.
    pub(super) ended: Requests,
    credentials: Option<Credentials>,
    servers: Servers,
    scratch: Option<ScratchServer>,
    kept: usize,
}

/// What became of a statement that the shards were to answer.
enum Done {
    Answered(Printer),
    Explained,
    Analyzed(AnalyzeReport),
    /// They cannot; it is gathered instead.
    Apart(Refusal),
}

impl<'a> Session<'a> {
    /// A session; connections are made when a statement needs them and, where more statements are
    /// to come, kept.
    pub(super) fn new(
        cx: &'a Context,
        args: &'a QueryArgs,
        topology: Topology,
        more_to_come: bool,
    ) -> Self {
        Self {
            cx,
            args,
            topology,
            ended: Requests::listen(),
            credentials: None,
            servers: Servers::default(),
            scratch: None,
            kept: if more_to_come { CONNECTIONS_KEPT } else { 0 },
        }
    }

    /// Says goodbye to the servers.
    pub(super) async fn close(&self) {
        self.servers.disconnect().await;
        if let Some(scratch) = &self.scratch {
            scratch.disconnect().await;
        }
    }

    /// Answers a statement on standard output.
    ///
    /// # Errors
    /// It is refused, a server fails, the answer is larger than allowed, or it was asked to end:
    /// then it is ended on the servers as well.
    pub(super) async fn answer(&mut self, sql: &str, how: How) -> Result<Outcome> {
        let (sql, how) = asked_for(sql, how);
        if let Some(asked) = described(sql) {
            let start = Instant::now();
            let mut printer = Printer::new(self.cx, how, None);
            let (columns, rows) = describe(&self.topology, &asked)?;
            printer.columns(&columns)?;
            rows.into_iter().try_for_each(|row| printer.row(row))?;
            printer.finish(self.cx, how, start)?;
            return Ok(Outcome::Clean);
        }
        let planned = match plan(sql, &self.topology) {
            Ok(planned) => planned,
            Err(refusal) if self.args.by_shard || self.args.gather.no_gather => {
                return Err(refuse(&refusal));
            }
            Err(refusal) => {
                let gather = gather(sql, &self.topology)
                    .map_err(|other| refuse(clearer(&refusal, &other)))?;
                if gather.fetches.is_empty() && matches!(refusal, Refusal::Syntax { .. }) {
                    return Err(refuse(&refusal));
                }
                return self.gathered(how, &gather, &refusal).await;
            }
        };
        let planned = self.on_shards(planned)?;
        let lookup = self.args.trust_index && planned.lookup.is_some();
        if !lookup {
            refuse_many(&planned, self.args.max_shards)?;
        }
        if let (Way::Apart(refusal), false, false) = (&planned.way, self.args.by_shard, lookup) {
            let gather = self.gather_instead(sql, refusal)?;
            return self.gathered(how, &gather, refusal).await;
        }
        if self.args.by_shard && matches!(planned.way, Way::Union(_)) {
            return Err(Error::usage("--by-shard takes a single SELECT"));
        }
        if how.explain && !lookup && matches!(planned.way, Way::One { .. }) {
            self.cx
                .out
                .show(&explain(&self.topology, &planned, None)?)?;
            return Ok(Outcome::Clean);
        }
        let used = planned
            .places
            .iter()
            .chain(planned.lookup.iter().flat_map(|lookup| &lookup.plan.places))
            .map(|place| self.topology.schema(place.shard).instance.clone())
            .collect();
        let servers = self.connect(&used).await?;
        // Side by side it is each server's own answer that is wanted.
        if !self.args.by_shard {
            self.means_the_same(&servers, sql).await?;
        }
        let start = Instant::now();
        let running = Running::default();
        let timings = Timings::default();
        let missing = match self.args.partial {
            true => Missing::allowed(),
            false => Missing::default(),
        };
        let fleet = Fleet {
            topology: &self.topology,
            servers: &servers,
            running: running.clone(),
            missing: missing.clone(),
            snapshots: Snapshots::default(),
            timings: timings.clone(),
            options: QueryOptions {
                timeout: Duration::from_secs(self.args.timeout),
                rows_max: self.args.max_rows,
                clock_us: jiff::Timestamp::now().as_microsecond(),
            },
        };
        let done = tokio::select! {
            done = ask(self.cx, self.args, &fleet, planned, how) => done,
            signal = self.ended.next() => Err(Error::stopped(format!("stopped by {signal}"))
                .now("the statements were ended on the servers as well")),
            // The servers end it first; this is for one that does not answer at all.
            () = tokio::time::sleep(Duration::from_secs(self.args.timeout + 5)) => {
                Err(Error::server(format!("no answer within {} seconds", self.args.timeout))
                    .next("give it longer with --timeout"))
            }
        };
        match done {
            Ok(Done::Answered(mut printer)) => {
                if let Some(lost) = missing.tables() {
                    printer.missing(&lost);
                }
                printer.finish(self.cx, how, start)?;
                return Ok(told(&missing));
            }
            Ok(Done::Analyzed(report)) => {
                self.cx.out.show(&report)?;
                return Ok(told(&missing));
            }
            Ok(Done::Explained) => {}
            Ok(Done::Apart(refusal)) => {
                let gather = self.gather_instead(sql, &refusal)?;
                return self.gathered(how, &gather, &refusal).await;
            }
            // A merge that gave up has shown nothing.
            Err(error) if error.has_other_way() && self.can_gather() => {
                running.kill().await;
                let refusal = Refusal::Inexact(error.summary());
                let gather = self.gather_instead(sql, &refusal)?;
                return self.gathered(how, &gather, &refusal).await;
            }
            Err(error) => {
                running.kill().await;
                return Err(hint(&self.topology, &servers, error).await);
            }
        }
        Ok(Outcome::Clean)
    }

    /// The servers of these instances.
    async fn connect(&mut self, used: &BTreeSet<InstanceName>) -> Result<Servers> {
        let instances: IndexMap<InstanceName, Endpoint> = self
            .topology
            .instances
            .iter()
            .filter(|(name, _)| used.contains(*name))
            .map(|(name, endpoint)| (name.clone(), endpoint.clone()))
            .collect();
        // A password that is asked for is asked for once.
        let credentials = match self.credentials.take() {
            Some(known) => known,
            None => self.cx.credentials()?,
        };
        let reached = self
            .servers
            .reach(&instances, &credentials, CONNECTIONS_MAX + 1, self.kept);
        let stopped = tokio::select! {
            () = reached => None,
            signal = self.ended.next() => Some(signal),
        };
        self.credentials = Some(credentials);
        if let Some(signal) = stopped {
            return Err(Error::stopped(format!("stopped by {signal}")).now("no statement ran"));
        }
        let servers = self.servers.only(&instances);
        if !self.args.partial || servers.iter().next().is_none() {
            servers.all_reached()?;
        }
        in_force(&self.topology, &servers).await?;
        Ok(servers)
    }

    /// Whether a statement may be gathered that the shards have begun to answer.
    fn can_gather(&self) -> bool {
        let args = self.args;
        !args.gather.no_gather && !args.by_shard && !args.partial && args.shards.is_none()
    }

    /// Refuses a statement that the servers' clients mean otherwise. Of servers that fail
    /// `--partial` hears when they are asked.
    async fn means_the_same(&self, servers: &Servers, sql: &str) -> Result<()> {
        match modes::check(servers, sql).await {
            Err(error) if self.args.partial && error.class() != Class::Usage => Ok(()),
            checked => checked,
        }
    }

    /// The plan for the shards of `--shards`.
    fn on_shards(&self, planned: Plan) -> Result<Plan> {
        let Some(list) = &self.args.shards else {
            return Ok(planned);
        };
        let wanted = list.of(self.topology.shard_count())?;
        let (all, table) = (planned.places.len(), planned.table.clone());
        let asked: BTreeSet<u32> = planned.places.iter().map(|place| place.shard.0).collect();
        let on_some = planned.on_shards(&wanted, &self.topology).ok_or_else(|| {
            let asked: Vec<String> = asked.iter().map(u32::to_string).collect();
            Error::usage("--shards leaves out what the statement asks")
                .cause(format!("it asks shard {}", asked.join(", ")))
        })?;
        if on_some.places.len() < all && !matches!(on_some.way, Way::Apart(_)) {
            self.cx.note(&format!(
                "only shards {} of 0-{}: this is partial knowledge of `{table}`",
                list.text,
                self.topology.shard_count().saturating_sub(1)
            ));
        }
        Ok(on_some)
    }

    /// What is gathered, from the shards of `--shards` only.
    fn gather_on_shards(&self, mut gather: Gather) -> Result<Gather> {
        let Some(list) = &self.args.shards else {
            return Ok(gather);
        };
        let wanted = list.of(self.topology.shard_count())?;
        let mut partial = Vec::new();
        for fetch in &mut gather.fetches {
            let mut tables = self.topology.tables.values();
            let table = tables.find(|table| table.name.as_str() == fetch.table);
            if table.is_some_and(|table| table.spread == Spread::Broadcast) {
                // Any schema has all of it.
                continue;
            }
            let all = fetch.places.len();
            fetch.places.retain(|place| wanted.contains(&place.shard));
            if fetch.places.is_empty() && all > 0 {
                return Err(Error::usage("--shards leaves out what the statement asks")
                    .cause(format!("nothing of `{}` would be read", fetch.table)));
            }
            if fetch.places.len() < all {
                partial.push(format!("`{}`", fetch.table));
            }
        }
        if !partial.is_empty() {
            self.cx.note(&format!(
                "only shards {} of 0-{}: this is partial knowledge of {}",
                list.text,
                self.topology.shard_count().saturating_sub(1),
                partial.join(", ")
            ));
        }
        Ok(gather)
    }

    /// The third way.
    async fn gathered(&mut self, how: How, gather: &Gather, refusal: &Refusal) -> Result<Outcome> {
        if self.args.partial {
            return Err(Error::usage(
                "--partial is for statements that shards answer, and this one is gathered from all",
            )
            .cause(refusal)
            .next("name the shards that are to be read with --shards"));
        }
        let gather = &self.gather_on_shards(gather.clone())?;
        let asked = Asked {
            gather: &self.args.gather,
            how,
            max_shards: self.args.max_shards,
            snapshot: self.args.snapshot,
            rows_max: self.args.max_rows,
            timeout: Duration::from_secs(self.args.timeout),
        };
        gathered::limit(asked, gather, refusal)?;
        let used = crate::run::gather::instances(&self.topology, gather);
        let servers = self.connect(&used).await?;
        self.means_the_same(&servers, gather.written()).await?;
        gathered::run(
            self.cx,
            asked,
            &self.topology,
            &servers,
            gathered::Statement { gather, refusal },
            &mut self.scratch,
            &mut self.ended,
        )
        .await
    }

    /// The third way for a statement that the shards cannot answer merged.
    fn gather_instead(&self, sql: &str, refusal: &Refusal) -> Result<Gather> {
        if self.args.gather.no_gather {
            return Err(refuse_to_merge(refusal));
        }
        gather(sql, &self.topology).map_err(|other| refuse_to_merge(clearer(refusal, &other)))
    }
}

/// EXPLAIN and ANALYZE of a statement ask how it is answered, as the flags of those names do.
fn asked_for(sql: &str, how: How) -> (&str, How) {
    fn after<'a>(sql: &'a str, word: &str) -> Option<&'a str> {
        let sql = sql.trim_start();
        let begun = sql.get(..word.len())?.eq_ignore_ascii_case(word);
        let rest = &sql[word.len()..];
        (begun && rest.starts_with(|c: char| c.is_whitespace() || c == '(')).then_some(rest)
    }
    let is_statement = |sql: &str| {
        sql.trim_start().starts_with('(')
            || ["SELECT", "WITH", "TABLE", "VALUES"]
                .iter()
                .any(|word| after(sql, word).is_some())
    };
    let analyzed = after(sql, "EXPLAIN")
        .and_then(|rest| after(rest, "ANALYZE"))
        .or_else(|| after(sql, "ANALYZE"));
    match (analyzed, after(sql, "EXPLAIN")) {
        (Some(rest), _) if is_statement(rest) => (
            rest,
            How {
                analyze: true,
                explain: false,
                ..how
            },
        ),
        (_, Some(rest)) if is_statement(rest) => (
            rest,
            How {
                explain: true,
                analyze: false,
                ..how
            },
        ),
        _ => (sql, how),
    }
}

/// Tells what the answer is without, if anything.
fn told(missing: &Missing) -> Outcome {
    let lost = missing.tables().unwrap_or_default();
    for table in &lost {
        // Not a note: whoever wants no notes must hear of it all the same.
        eprintln!("missing: {}: {}", table.place, table.error.summary());
    }
    match lost.is_empty() {
        true => Outcome::Clean,
        false => Outcome::Partial,
    }
}

/// Asks the shards.
async fn ask(
    cx: &Context,
    args: &QueryArgs,
    fleet: &Fleet<'_>,
    planned: Plan,
    how: How,
) -> Result<Done> {
    let topology = fleet.topology;
    let planned = match (&planned.lookup, args.trust_index) {
        (Some(lookup), true) => {
            if how.explain {
                cx.out.show(&explain(topology, &lookup.plan, None)?)?;
            }
            let narrowed = fleet.look_up(planned).await?;
            let narrowed = match &args.shards {
                None => narrowed,
                Some(list) => narrowed
                    .on_shards(&list.of(topology.shard_count())?, topology)
                    .ok_or_else(|| Error::usage("--shards leaves out what the statement asks"))?,
            };
            refuse_many(&narrowed, args.max_shards)?;
            narrowed
        }
        _ => planned,
    };
    if planned.places.len() > 1 && !how.explain {
        let instances: BTreeSet<&InstanceName> = planned
            .places
            .iter()
            .map(|place| &topology.schema(place.shard).instance)
            .collect();
        cx.note(&format!(
            "asking {} tables on {} instances ({})",
            planned.places.len(),
            instances.len(),
            planned.reason
        ));
    }
    let mut printer = Printer::new(cx, how, Some(&fleet.timings));
    if args.by_shard {
        fleet.run_by_shard(&planned, &mut printer).await?;
        return Ok(Done::Answered(printer));
    }
    let scattered = match fleet.decide(&planned).await? {
        Ok(scattered) => scattered,
        Err(refusal) => return Ok(Done::Apart(refusal)),
    };
    if how.explain {
        let plans = match &planned.way {
            Way::Union(union) => union.plans.iter().collect(),
            _ => vec![&planned],
        };
        for plan in plans {
            let scattered = fleet.finish(plan).await?;
            cx.out.show(&explain(topology, plan, scattered.as_ref())?)?;
        }
        return Ok(Done::Explained);
    }
    let snapshots = match args.snapshot {
        false => Snapshots::default(),
        true => {
            let mut wanted = at_once(topology, &planned)?;
            if args.partial {
                wanted.retain(|instance, _| fleet.servers.get(instance).is_ok());
            }
            let count: usize = wanted.values().sum();
            let (open, spread) = Snapshots::open(fleet.servers, &wanted, fleet.reading()).await?;
            let note = format!(
                "{count} snapshots on {} instances, opened within {:.1} ms",
                wanted.len(),
                spread.as_secs_f64() * 1000.0
            );
            printer.aside().note(cx, &note);
            open
        }
    };
    let fleet = Fleet {
        snapshots,
        ..fleet.clone()
    };
    let start = Instant::now();
    fleet
        .run_decided(&planned, scattered.as_ref(), &mut printer)
        .await?;
    if how.analyze {
        let took = start.elapsed();
        let explained = explain(topology, &planned, scattered.as_ref())?;
        let rows = printer.rows();
        drop(printer);
        let report = AnalyzeReport {
            way: explained.way,
            reason: explained.reason,
            merge: explained.merge,
            rows,
            ms: took.as_secs_f64() * 1000.0,
            shards: analyze::shards(
                &fleet.timings,
                fleet.servers,
                fleet.reading(),
                &fleet.running,
            )
            .await,
            plans: Vec::new(),
        };
        return Ok(Done::Analyzed(report.compared()));
    }
    Ok(Done::Answered(printer))
}

/// Which of two refusals says what is wrong: that of a text that cannot be read, or names what is
/// not there, is the same for every way; else the last way's counts.
fn clearer<'a>(first: &'a Refusal, last: &'a Refusal) -> &'a Refusal {
    match first {
        Refusal::Syntax { .. } => first,
        _ => last,
    }
}

fn refuse_many(planned: &Plan, shards_max: Option<usize>) -> Result<()> {
    let shards: BTreeSet<u32> = planned.places.iter().map(|place| place.shard.0).collect();
    match shards_max {
        Some(max) if shards.len() > max => Err(Error::usage(format!(
            "the statement asks {} shards, and --max-shards allows {max}",
            shards.len()
        ))
        .cause(&planned.reason)),
        _ => Ok(()),
    }
}

/// Refuses a file that places keys otherwise than the shard map in force: it would look for rows
/// where they are not, and find none. Every instance has the map; a user who may not read it is
/// believed.
async fn in_force(topology: &Topology, servers: &Servers) -> Result<()> {
    let Some(server) = servers.iter().next() else {
        return Ok(());
    };
    match journal::check_in_force(server, topology).await {
        Err(stale) if stale.class() == Class::Usage => Err(stale),
        _ => Ok(()),
    }
}

/// A table that is not there may have been moved away from where the file has it. Every instance
/// knows the shard map in force.
pub(super) async fn hint(topology: &Topology, servers: &Servers, error: Error) -> Error {
    if let Ok(control) = servers.get(&topology.control)
        && let Ok(Some(job)) = fencing_job(control).await
        && job
            .moves
            .iter()
            .any(|schema| error.names(schema.at.schema.as_str()))
    {
        return error
            .now(format!(
                "job {} moves this schema and is in phase {}: {}",
                job.id,
                job.phase,
                job.phase.truth()
            ))
            .next(job.way_on());
    }
    let Some(server) = servers.iter().next() else {
        return error;
    };
    match journal::check_in_force(server, topology).await {
        Err(stale) if stale.class() == Class::Usage => error.next(format!(
            "{}; write the one in force with `shardctl status --write FILE`",
            stale.what()
        )),
        _ => error,
    }
}

fn explain(
    topology: &Topology,
    plan: &Plan,
    scattered: Option<&Scattered>,
) -> Result<ExplainReport> {
    let table = topology
        .tables
        .values()
        .find(|table| table.name.as_str() == plan.table)
        .ok_or_else(|| Error::usage(format!("there is no table `{}`", plan.table)))?;
    let template = match (&plan.way, scattered) {
        (Way::Scatter(_), Some(scattered)) => &scattered.statement,
        _ => &plan.as_written,
    };
    Ok(ExplainReport {
        table: plan.table.clone(),
        way: match plan.way {
            Way::One { .. } => "one shard",
            Way::Scatter(_) => "scatter and merge",
            Way::Union(_) => "one after the other",
            Way::Apart(_) => "apart",
        },
        reason: plan.reason.clone(),
        merge: scattered.map(|scattered| merge_words(&scattered.merge)),
        shards: plan
            .places
            .iter()
            .map(|place| {
                let physical = topology.physical(table, *place);
                ExplainShard {
                    sql: template.sql(&plan.physical(topology, *place)),
                    place: physical.to_string(),
                }
            })
            .collect(),
    })
}

fn merge_words(merge: &Merge) -> String {
    let window = |limit: &Option<u64>, offset: &u64| match (limit, offset) {
        (None, _) => String::new(),
        (Some(limit), 0) => format!(", the first {limit}"),
        (Some(limit), offset) => format!(", {limit} after the first {offset}"),
    };
    match merge {
        Merge::Rows {
            keys,
            limit,
            offset,
            ..
        } => match keys.len() {
            0 => format!("rows as they come{}", window(limit, offset)),
            n => format!("sorted streams merged by {n} keys{}", window(limit, offset)),
        },
        Merge::Grouped {
            keys,
            aggregates,
            order,
            computed,
            limit,
            offset,
            ..
        } => format!(
            "groups by {} keys, {} aggregates{}{}{}",
            keys.len(),
            aggregates.len(),
            match computed {
                None => "",
                Some(computed) if computed.having.is_some() =>
                    ", HAVING and expressions over them by a server",
                Some(_) => ", expressions over them by a server",
            },
            if order.is_empty() { "" } else { ", sorted" },
            window(limit, offset)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_and_analyze_before_a_statement_ask_for_its_way() {
        let how = How {
            explain: false,
            analyze: false,
            vertical: false,
            timing: true,
        };
        let check = |sql: &str, rest: &str, explain, analyze| {
            let (found, how) = asked_for(sql, how);
            assert_eq!(
                (found.trim(), how.explain, how.analyze),
                (rest, explain, analyze)
            );
        };
        check("explain SELECT 1", "SELECT 1", true, false);
        check("EXPLAIN\n(SELECT 1)", "(SELECT 1)", true, false);
        check("EXPLAIN ANALYZE SELECT 1", "SELECT 1", false, true);
        check(
            "ANALYZE WITH a AS (SELECT 1) SELECT 1",
            "WITH a AS (SELECT 1) SELECT 1",
            false,
            true,
        );
        check("ANALYZE TABLE member", "TABLE member", false, true);
        check("EXPLAIN member", "EXPLAIN member", false, false);
        check(
            "EXPLAIN DELETE FROM member",
            "EXPLAIN DELETE FROM member",
            false,
            false,
        );
        check("SELECT 1", "SELECT 1", false, false);
    }
}
