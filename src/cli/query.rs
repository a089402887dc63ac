//! `shardctl query`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::gathered::{self, Asked, GatherArgs};
use super::rebalance::fencing_job;
use super::{Context, Outcome};
use crate::error::{Class, Error, Result};
use crate::journal;
use crate::mysql::Servers;
use crate::names::InstanceName;
use crate::query::Refusal;
use crate::query::gather::{Gather, gather};
use crate::query::merge::Merge;
use crate::query::parameters::bind;
use crate::query::plan::{Plan, Way, plan};
use crate::query::scatter::Scattered;
use crate::report::answer::AnswerWriter;
use crate::report::explain::{ExplainReport, ExplainShard};
use crate::rows::cell::{Column, Row};
use crate::run::interrupt::Requests;
use crate::run::query::{Fleet, QueryOptions, Running, Sink, connections, refuse, refuse_to_merge};
use crate::topology::Topology;

/// Answer a SELECT over logical tables as one server would
///
/// A statement that names a shard key is answered by one shard. Any other is computed by all of
/// them and merged: filters, joins on the shard key and with broadcast tables, GROUP BY, HAVING,
/// COUNT, SUM, AVG, MIN, MAX and their DISTINCT, expressions over them, ORDER BY, LIMIT. For what
/// cannot be merged exactly (joins on other keys, subqueries, windows, unions), the rows and columns
/// it needs are gathered on a scratch server of the same engine, where the statement runs as it is.
/// What cannot be answered exactly at all is refused with the reason. Times are in UTC.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  shardctl query \"SELECT * FROM member WHERE memberId = 100000001\"
  shardctl query \"SELECT status, COUNT(*) FROM member GROUP BY status ORDER BY 2 DESC\"
  shardctl query \"SELECT * FROM member_address WHERE memberId = ?\" --param 100000001
  shardctl query \"SELECT c.* FROM member m JOIN member_company c USING (memberId) LIMIT 9\"
  shardctl query --by-shard \"SELECT COUNT(*) FROM member\"
  shardctl query -o csv -f report.sql")]
pub struct QueryArgs {
    /// The statement; - reads it from standard input
    #[arg(required_unless_present = "file")]
    sql: Option<String>,
    /// Read the statement from this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// A value for a `?` of the statement, in their order: a number where it looks like one, else a
    /// text; number:17, text:17 and null say which (can be repeated)
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    params: Vec<String>,
    /// Show how it would be answered, and do not run it
    #[arg(long)]
    explain: bool,
    /// Run it on each shard as written and show the answers side by side, unmerged
    #[arg(long, conflicts_with = "explain")]
    by_shard: bool,
    /// Find the shards through an index table where the statement names its key: the answer is then
    /// as right as that table, and a row that it lacks is not found
    #[arg(long, conflicts_with = "by_shard")]
    trust_index: bool,
    /// Refuse to ask more shards than this
    #[arg(long, value_name = "N")]
    max_shards: Option<usize>,
    /// Refuse an answer of more rows
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max_rows: u64,
    /// End the statements after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    gather: GatherArgs,
}

/// Prints an answer as its rows come.
pub(super) struct Printer(AnswerWriter<std::io::BufWriter<std::io::Stdout>>);

impl Printer {
    /// In the format that was asked for.
    pub(super) fn new(cx: &Context) -> Self {
        Self(AnswerWriter::new(
            std::io::BufWriter::new(std::io::stdout()),
            cx.out.format,
            cx.out.view,
        ))
    }

    /// Prints what stands behind the rows, and tells how many there were and how long it took.
    pub(super) fn finish(self, cx: &Context, start: Instant) -> Result<()> {
        let rows = self.0.rows();
        self.0.finish()?;
        cx.note(&format!(
            "{rows} {} in {:.0} ms",
            if rows == 1 { "row" } else { "rows" },
            start.elapsed().as_secs_f64() * 1000.0
        ));
        Ok(())
    }
}

impl Sink for Printer {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.0.columns(columns)
    }

    fn row(&mut self, row: Row) -> Result<()> {
        self.0.row(&row)
    }
}

/// Runs the subcommand.
///
/// # Errors
/// The statement is refused, a server fails, or the answer is larger than allowed.
pub async fn run(cx: &mut Context, args: QueryArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    let sql = bind(&statement(&args)?, &args.params).map_err(|refusal| refuse(&refusal))?;
    let planned = match plan(&sql, &topology) {
        Ok(planned) => planned,
        Err(refusal) if args.by_shard || args.gather.no_gather => return Err(refuse(&refusal)),
        Err(refusal) => {
            let gather =
                gather(&sql, &topology).map_err(|other| refuse(clearer(&refusal, &other)))?;
            if gather.fetches.is_empty() && matches!(refusal, Refusal::Syntax { .. }) {
                return Err(refuse(&refusal));
            }
            return gathered::run(cx, asked(&args), &topology, &gather, &refusal).await;
        }
    };
    let lookup = match args.trust_index {
        true => planned.lookup.clone(),
        false => None,
    };
    if let (Way::Apart(refusal), false, None) = (&planned.way, args.by_shard, &lookup) {
        refuse_many(&planned, args.max_shards)?;
        let gather = gather_instead(&args, &sql, &topology, refusal)?;
        return gathered::run(cx, asked(&args), &topology, &gather, refusal).await;
    }
    if lookup.is_none() {
        refuse_many(&planned, args.max_shards)?;
    }
    let mut instances = topology.instances.clone();
    let looked_up = lookup.iter().flat_map(|lookup| &lookup.plan.places);
    let used: BTreeSet<&InstanceName> = planned
        .places
        .iter()
        .chain(looked_up)
        .map(|place| &topology.schema(place.shard).instance)
        .collect();
    instances.retain(|name, _| used.contains(name));
    let note = |planned: &Plan, cx: &Context| {
        if planned.places.len() > 1 && !args.explain {
            cx.note(&format!(
                "asking {} tables on {} instances ({})",
                planned.places.len(),
                instances.len(),
                planned.reason
            ));
        }
    };
    if lookup.is_none() {
        note(&planned, cx);
    }
    if args.by_shard && matches!(planned.way, Way::Union(_)) {
        return Err(Error::usage("--by-shard takes a single SELECT"));
    }
    if args.explain && matches!(planned.way, Way::One { .. }) {
        cx.out.show(&explain(&topology, &planned, None)?)?;
        return Ok(Outcome::Clean);
    }
    let servers = cx
        .connect(&instances, connections(&topology, &planned))
        .await?;
    in_force(&topology, &servers).await?;
    let fleet = Fleet {
        topology: &topology,
        servers: &servers,
        running: Running::default(),
        options: QueryOptions {
            timeout: Duration::from_secs(args.timeout),
            rows_max: args.max_rows,
            clock_us: jiff::Timestamp::now().as_microsecond(),
        },
    };
    let planned = match &lookup {
        None => planned,
        Some(lookup) => {
            let narrowed = fleet.look_up(planned).await?;
            refuse_many(&narrowed, args.max_shards)?;
            if args.explain {
                cx.out.show(&explain(&topology, &lookup.plan, None)?)?;
            }
            note(&narrowed, cx);
            narrowed
        }
    };
    let scattered = match args.by_shard {
        true => None,
        false => match fleet.decide(&planned).await? {
            Ok(scattered) => scattered,
            Err(refusal) => {
                let gather = gather_instead(&args, &sql, &topology, &refusal)?;
                servers.disconnect().await;
                return gathered::run(cx, asked(&args), &topology, &gather, &refusal).await;
            }
        },
    };
    if args.explain {
        let plans = match &planned.way {
            Way::Union(union) => union.plans.iter().collect(),
            _ => vec![&planned],
        };
        for plan in plans {
            let scattered = fleet.finish(plan).await?;
            cx.out
                .show(&explain(&topology, plan, scattered.as_ref())?)?;
        }
        servers.disconnect().await;
        return Ok(Outcome::Clean);
    }
    let start = Instant::now();
    let mut printer = Printer::new(cx);
    let mut ended = Requests::listen();
    let answer = {
        let work = async {
            match args.by_shard {
                true => fleet.run_by_shard(&planned, &mut printer).await,
                false => {
                    fleet
                        .run_decided(&planned, scattered.as_ref(), &mut printer)
                        .await
                }
            }
        };
        tokio::select! {
            answer = work => answer,
            signal = ended.next() => Err(Error::stopped(format!("stopped by {signal}"))
                .now("the statements were ended on the servers as well")),
            // The servers end it first; this is for one that does not answer at all.
            () = tokio::time::sleep(Duration::from_secs(args.timeout + 5)) => {
                Err(Error::server(format!("no answer within {} seconds", args.timeout))
                    .next("give it longer with --timeout"))
            }
        }
    };
    if let Err(error) = answer {
        fleet.running.kill().await;
        return Err(hint(&topology, &servers, error).await);
    }
    printer.finish(cx, start)?;
    servers.disconnect().await;
    Ok(Outcome::Clean)
}

/// What a gathered statement is to know of the flags.
fn asked(args: &QueryArgs) -> Asked<'_> {
    Asked {
        gather: &args.gather,
        explain: args.explain,
        max_shards: args.max_shards,
        rows_max: args.max_rows,
        timeout: Duration::from_secs(args.timeout),
    }
}

/// The third way for a statement that the shards cannot answer merged.
fn gather_instead(
    args: &QueryArgs,
    sql: &str,
    topology: &Topology,
    refusal: &Refusal,
) -> Result<Gather> {
    if args.gather.no_gather {
        return Err(refuse_to_merge(refusal));
    }
    gather(sql, topology).map_err(|other| refuse_to_merge(clearer(refusal, &other)))
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
pub(super) async fn in_force(topology: &Topology, servers: &Servers) -> Result<()> {
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

fn statement(args: &QueryArgs) -> Result<String> {
    match (&args.file, args.sql.as_deref()) {
        (Some(path), _) => std::fs::read_to_string(path).map_err(|cause| {
            Error::usage("could not read the statement")
                .at(path.display().to_string())
                .cause(cause)
        }),
        (None, Some("-")) => {
            let mut sql = String::new();
            std::io::stdin()
                .read_to_string(&mut sql)
                .map_err(|cause| Error::usage("could not read the statement").cause(cause))?;
            Ok(sql)
        }
        (None, sql) => Ok(sql.unwrap_or_default().to_owned()),
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
