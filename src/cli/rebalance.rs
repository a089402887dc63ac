//! `shardctl rebalance`.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::job_progress::{Progress, ProgressMode};
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::journal;
use crate::mysql::{Server, Servers};
use crate::names::InstanceName;
use crate::rebalance::moves::{add_instances, drain, moves};
use crate::rebalance::protocol::{Event, Hooks, Job, Owner as Side, Phase};
use crate::report::rebalance::{JobReport, MoveLine, MovesReport};
use crate::run::owner::Owner;
use crate::run::rebalance::{
    CONNECTIONS_BESIDES_WORKERS, Choices, Plan, new_job, preflight, run as run_job,
};
use crate::sandbox::Home;
use crate::topology::file::render;
use crate::topology::{Endpoint, Topology};

/// Move schemas between instances, from the shard map in force to a wanted topology
///
/// The application goes on writing: rows are copied beside it, its log is followed, and writes are
/// refused for the moment of the switch only. --offline refuses them from before the copy instead,
/// and needs no log. What would stop the move later is said before it starts.
///
/// Commands given as hooks are run by the shell, with SHARDCTL_HOOK, SHARDCTL_JOB and the files
/// SHARDCTL_OLD_TOPOLOGY and SHARDCTL_NEW_TOPOLOGY in their environment; what they say is shown on
/// stderr. A resumed job runs one again that a killed run was in.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("wanted").required(true))]
pub struct RebalanceArgs {
    /// Reach the topology of this file
    #[arg(long, value_name = "FILE", group = "wanted")]
    to: Option<PathBuf>,
    /// Add an instance and spread the schemas evenly with the fewest moves (can be repeated); with
    /// --sandbox the name alone is enough
    #[arg(long, value_name = "NAME=HOST:PORT", group = "wanted")]
    add_instance: Vec<String>,
    /// Move every schema off an instance and take it out of the topology
    #[arg(long, value_name = "NAME", group = "wanted")]
    drain: Option<InstanceName>,
    /// Refuse writes to the moving schemas from before their copy until the switch
    #[arg(long)]
    offline: bool,
    /// Show the moves and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on without asking
    #[arg(long)]
    yes: bool,
    /// Keep the source's fenced copy until `shardctl job finish`; what is written to the target flows
    /// back to it, so that `shardctl job rollback` loses nothing (not with --offline)
    #[arg(long)]
    keep_source: bool,
    /// Switch as soon as all is copied and compared, or when `shardctl job cutover` says so
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Cutover::Auto, conflicts_with = "offline")]
    cutover: Cutover,
    /// End after the switch instead of keeping the rows flowing back; `shardctl job resume` does that
    #[arg(long)]
    no_watch: bool,
    /// Run this command once writers are refused; if it fails, nothing is switched and they are let in
    #[arg(long, value_name = "COMMAND")]
    on_fence: Option<String>,
    /// Run this command once the target serves
    #[arg(long, value_name = "COMMAND")]
    on_switch: Option<String>,
    /// Run this command once the source serves again
    #[arg(long, value_name = "COMMAND", requires = "keep_source")]
    on_rollback: Option<String>,
    /// Tables copied or compared at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// How progress is shown on stderr
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: ProgressMode,
    /// Write the new topology to this file once it is in force
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// When the switch is made.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Cutover {
    Auto,
    Manual,
}

impl RebalanceArgs {
    fn choices(&self) -> Choices {
        Choices {
            keep_source: self.keep_source,
            waits_for_cutover: self.cutover == Cutover::Manual,
            workers: self.workers,
            offline: self.offline,
            hooks: Hooks {
                on_fence: self.on_fence.clone(),
                on_switch: self.on_switch.clone(),
                on_rollback: self.on_rollback.clone(),
            },
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// The wanted topology is bad or needs more than moves, preflight finds problems, a server
/// refuses, or the run is stopped: the error says how to go on.
pub async fn run(cx: &mut Context, args: RebalanceArgs) -> Result<Outcome> {
    let file = cx.topology()?;
    let workers = args.workers as usize;
    let control = file.control.clone();
    // The shard map, not the file, says what is in force; the file says how to reach it.
    let first = cx
        .connect(&only(&file, &control), CONNECTIONS_BESIDES_WORKERS)
        .await?;
    let map = journal::shard_map(first.get(&control)?).await?;
    no_open_job(first.get(&control)?).await?;
    first.disconnect().await;
    let in_force = match &map {
        Some(map) => journal::with_addresses(map.topology.clone(), &file),
        None => file.clone(),
    };
    let wanted = wanted(cx, &args, &in_force, &file)?;
    let moved = moves(&in_force, &wanted).map_err(|reasons| {
        Error::usage("the wanted topology needs more than moving schemas, which is not offered yet")
            .cause(reasons.join("\n"))
            .now("nothing was changed")
    })?;

    let mut instances = in_force.instances.clone();
    instances.extend(wanted.instances.clone());
    let servers = cx
        .connect(&instances, workers * 2 + CONNECTIONS_BESIDES_WORKERS)
        .await?;
    let (version, text) = match &map {
        Some(map) => (map.version, map.text.clone()),
        None => (1, render(&in_force)),
    };
    let plan = preflight(
        &servers,
        &in_force,
        (version, text),
        &wanted,
        moved,
        &args.choices(),
    )
    .await?;
    let report = report(&plan, map.map(|map| map.version));
    if args.dry_run || plan.moves.is_empty() {
        cx.out.show(&report)?;
        servers.disconnect().await;
        return Ok(Outcome::Clean);
    }
    if let Some(path) = &args.write {
        // What can fail early fails before the long work.
        check_writable(path)?;
    }
    cx.note(&crate::report::Report::text(&report, &cx.out.view));
    cx.confirm(
        &format!(
            "Move {}? {}",
            crate::report::counted(plan.moves.len() as u64, "schema"),
            match args.offline {
                true => "Writes to what moves are refused from before the copy until the switch.",
                false => "Writes to what moves are refused for a moment, once all is copied.",
            }
        ),
        args.yes,
    )?;

    let owner = Owner::take(servers.get(&control)?).await?;
    let started = start(&servers, &in_force, plan, &args).await;
    let job = match started {
        Ok(job) => job,
        Err(error) => {
            owner.close().await;
            return Err(error);
        }
    };
    cx.note(&format!("job {}", job.id));
    let observer = Progress::new(cx, args.progress);
    let job = run_job(
        &servers,
        &in_force.cluster,
        owner,
        job,
        Event::Resumed,
        &observer,
    )
    .await;
    observer.done();
    let job = job?;
    let outcome = finish(cx, &job)?;
    let is_switched = job.phase.owner() == Side::Target;
    if args.write.is_none() && args.to.is_none() && is_switched {
        say_the_file_is_old(cx);
    }
    if let Some(path) = args.write.filter(|_| is_switched) {
        std::fs::write(&path, render(&wanted)).map_err(|cause| {
            Error::usage("could not write the new topology")
                .at(path.display().to_string())
                .cause(cause)
                .now("the move is done and the shard map is in force")
        })?;
    }
    if job.phase == Phase::Watch && job.has_way_back() && !args.no_watch {
        watch(cx, &servers, &in_force, &job, args.progress).await?;
    }
    servers.disconnect().await;
    Ok(outcome)
}

/// Keeps what is written to the targets flowing back, until a person wants the run to end or
/// another run wants the job.
///
/// # Errors
/// The log cannot be followed any further, or a server refuses.
pub(super) async fn watch(
    cx: &Context,
    servers: &Servers,
    topology: &Topology,
    job: &Job,
    progress: ProgressMode,
) -> Result<()> {
    cx.note("writes flow back to the source now; Ctrl-C ends that, and the job can be resumed");
    let control = servers.get(&topology.control)?;
    let owner = Owner::take(control).await?;
    // As another run has left it, if there was one in between.
    let job = match journal::job(control, &job.id).await {
        Ok(saved) => saved.job,
        Err(error) => {
            owner.close().await;
            return Err(error);
        }
    };
    if job.phase != Phase::Watch {
        owner.close().await;
        return Ok(());
    }
    let observer = Progress::new(cx, progress);
    let cluster = &topology.cluster;
    let watched = run_job(servers, cluster, owner, job, Event::Resumed, &observer).await;
    observer.done();
    watched.map(drop)
}

/// Refuses while a job is not over.
///
/// # Errors
/// There is one: the error names it and says how to go on.
pub(super) async fn no_open_job(control: &Server) -> Result<()> {
    refuse_open_job(control, |phase| !phase.is_over()).await
}

/// Refuses while a job holds tables fenced: they can be neither read nor told from missing ones.
///
/// # Errors
/// There is one: the error names it and says how to go on.
pub(super) async fn no_fenced_tables(control: &Server) -> Result<()> {
    refuse_open_job(control, Phase::hides_tables).await
}

async fn refuse_open_job(control: &Server, in_the_way: impl Fn(Phase) -> bool) -> Result<()> {
    let Some(job) = open_job(control, in_the_way).await? else {
        return Ok(());
    };
    let (id, phase) = (&job.id, job.phase);
    // A job that runs at this moment is told of by the lease's holder.
    let holder = journal::holder(control).await?;
    Err(Error::stopped(format!("job {id} is not over"))
        .cause(match holder {
            Some(holder) => format!("it is in phase {phase}; {holder} owns the cluster"),
            None => format!("it is in phase {phase}, and nobody runs it"),
        })
        .now(phase.truth())
        .next(job.way_on()))
}

/// The job that holds tables fenced, if there is one.
pub(super) async fn fencing_job(control: &Server) -> Result<Option<Job>> {
    open_job(control, Phase::hides_tables).await
}

async fn open_job(control: &Server, in_the_way: impl Fn(Phase) -> bool) -> Result<Option<Job>> {
    let jobs = journal::jobs(control).await?;
    Ok(jobs
        .into_iter()
        .map(|saved| saved.job)
        .find(|job| in_the_way(job.phase)))
}

/// The first shard map where there is none, and the job, both under the lease.
async fn start(
    servers: &Servers,
    in_force: &Topology,
    plan: Plan,
    args: &RebalanceArgs,
) -> Result<Job> {
    no_open_job(servers.get(&in_force.control)?).await?;
    let map = journal::adopt(servers, in_force).await?;
    if map.version != plan.map.0 {
        return Err(
            Error::stopped("the shard map has changed while this was planned")
                .now("nothing was changed")
                .next("run it again"),
        );
    }
    new_job(plan, args.choices())
}

/// Shows what a job came to.
///
/// # Errors
/// stdout cannot be written to.
pub fn finish(cx: &Context, job: &Job) -> Result<Outcome> {
    cx.out
        .show(&JobReport::new(job, &jiff::Timestamp::now().to_string()))?;
    let id = &job.id;
    let waits = matches!(job.phase, Phase::Verify | Phase::LiveVerify | Phase::Watch);
    if waits && !(job.differences.is_empty() && job.hindrance.is_none()) {
        let what = match (&job.hindrance, job.differences.is_empty()) {
            (Some(reason), true) => reason,
            _ => "source and target differ",
        };
        cx.note(&match job.phase {
            Phase::Watch => format!(
                "{what}, nothing was switched back: `shardctl job rollback {id}` tries again"
            ),
            _ => format!(
                "{what}, nothing was switched: `shardctl job cancel {id}` takes it back, `shardctl \
                 job resume {id}` compares again"
            ),
        });
        return Ok(Outcome::No);
    }
    match job.phase {
        Phase::Watch if job.has_way_back() => cx.note(&format!(
            "the source's copy is kept under hidden names until `shardctl job finish {id}`; `shardctl \
             job rollback {id}` goes back to it with all that is written until then, for which the \
             targets' logs are needed: they flow back while this run or `shardctl job resume {id}` is \
             there"
        )),
        Phase::Watch => cx.note(&format!(
            "the source's copy is kept under hidden names until `shardctl job finish {id}`; it gets \
             no writes, so going back to it would lose what was written since"
        )),
        Phase::Ready => cx.note(&format!(
            "all is copied; `shardctl job cutover {id}` switches, and `shardctl job resume {id}` keeps \
             the target caught up until then"
        )),
        Phase::Returned => cx.note(&format!(
            "the source serves again; the target's copy is kept under hidden names until `shardctl \
             job finish {id}`"
        )),
        _ => {}
    }
    Ok(Outcome::Clean)
}

fn only(topology: &Topology, instance: &InstanceName) -> IndexMap<InstanceName, Endpoint> {
    topology
        .instances
        .iter()
        .filter(|(name, _)| *name == instance)
        .map(|(name, endpoint)| (name.clone(), endpoint.clone()))
        .collect()
}

fn wanted(
    cx: &Context,
    args: &RebalanceArgs,
    in_force: &Topology,
    file: &Topology,
) -> Result<Topology> {
    if let Some(path) = &args.to {
        let wanted = super::read_topology(path)?;
        let mut wanted = journal::with_addresses(wanted, file);
        if let Some(name) = &cx.global.sandbox {
            let sandbox = Home::from_env()?.open(name)?;
            for (instance, endpoint) in &mut wanted.instances {
                *endpoint = sandbox.instance(instance.as_str())?.endpoint();
            }
        }
        return Ok(wanted);
    }
    if let Some(drained) = &args.drain {
        return drain(in_force, drained).map_err(Error::usage);
    }
    let mut added = IndexMap::new();
    for text in &args.add_instance {
        let (name, endpoint) = added_instance(cx, text)?;
        if added.insert(name, endpoint).is_some() {
            return Err(Error::usage(format!("`{text}` is added twice")));
        }
    }
    add_instances(in_force, &added).map_err(Error::usage)
}

fn added_instance(cx: &Context, text: &str) -> Result<(InstanceName, Endpoint)> {
    let bad = |cause: String| {
        Error::usage(format!("`{text}` does not name an instance"))
            .cause(cause)
            .next("write NAME=HOST:PORT or NAME=/path/to/socket")
    };
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name, Some(address)),
        None => (text, None),
    };
    let name: InstanceName = name.parse().map_err(|cause| bad(format!("{cause}")))?;
    let endpoint = match (address, &cx.global.sandbox) {
        (Some(address), _) => endpoint(address).map_err(bad)?,
        (None, Some(sandbox)) => Home::from_env()?
            .open(sandbox)?
            .instance(name.as_str())?
            .endpoint(),
        (None, None) => return Err(bad("it has no address".to_owned())),
    };
    Ok((name, endpoint))
}

fn endpoint(text: &str) -> std::result::Result<Endpoint, String> {
    if text.starts_with('/') {
        return Ok(Endpoint::Socket(text.into()));
    }
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("`{text}` has no port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(format!("`{text}` has no host"));
    }
    match port.parse() {
        Ok(port) if port > 0 => Ok(Endpoint::Tcp {
            host: host.to_owned(),
            port,
        }),
        _ => Err(format!("`{port}` is no port")),
    }
}

/// Says that the topology file has another placement than the shard map in force.
pub(super) fn say_the_file_is_old(cx: &Context) {
    cx.note(&format!(
        "{} is not the shard map in force any more: `shardctl status --write FILE` writes that",
        cx.global.topology.display()
    ));
}

/// Nothing is left of the trial: a run that is stopped would leave an empty file, which no topology
/// is.
fn check_writable(path: &Path) -> Result<()> {
    let is_new = !path.exists();
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|_| match is_new {
            true => std::fs::remove_file(path),
            false => Ok(()),
        })
        .map_err(|cause| {
            Error::usage("cannot write the new topology there")
                .at(path.display().to_string())
                .cause(cause)
                .now("nothing was changed")
        })
}

fn report(plan: &Plan, shard_map_version: Option<u64>) -> MovesReport {
    let mut names: Vec<InstanceName> = plan.before.instances.keys().cloned().collect();
    names.extend(
        plan.after
            .instances
            .keys()
            .filter(|name| !plan.before.instances.contains_key(*name))
            .cloned(),
    );
    MovesReport {
        shard_map_version,
        moves: plan
            .moves
            .iter()
            .zip(&plan.sizes)
            .map(|(schema, (rows, bytes))| MoveLine {
                shard: schema.at.shard,
                schema: schema.at.schema.clone(),
                from: schema.at.from.clone(),
                to: schema.at.to.clone(),
                tables: schema.tables.len() as u64,
                rows: *rows,
                bytes: *bytes,
            })
            .collect(),
        placement: names
            .into_iter()
            .map(|name| {
                let before = plan.before.shards_on(&name).len() as u64;
                let after = plan.after.shards_on(&name).len() as u64;
                (name, before, after)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("db1.example:3306", "db1.example:3306"),
            ("[::1]:3307", "[::1]:3307"),
            ("/run/mysqld.sock", "/run/mysqld.sock"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), shown);
        }
        for text in ["db1", ":3306", "db1:", "db1:0", "db1:70000"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
