//! `shardctl job`: list, status, resume, cancel, finish, report.

use super::rebalance::{Progress, finish};
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::journal::{self, Journal, Saved};
use crate::mysql::Servers;
use crate::names::InstanceName;
use crate::rebalance::protocol::{Event, Job, step};
use crate::report::rebalance::{JobEvidence, JobReport, JobsReport};
use crate::run::owner::Owner;
use crate::run::rebalance::{CONNECTIONS_BESIDES_WORKERS, refused, run as run_job};
use crate::topology::Topology;
use crate::topology::file::parse;

/// Look after the jobs that move data
#[derive(clap::Args, Debug)]
pub struct JobArgs {
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(clap::Subcommand, Debug)]
enum JobCommand {
    /// List every job, the newest first
    List,
    /// Show where a job stands
    Status(IdArgs),
    /// Go on with a job that was stopped, from where it is
    Resume(IdArgs),
    /// Take a job back: possible until its shard map is committed
    Cancel(CancelArgs),
    /// Drop the source's copy that a finished move has kept
    Finish(FinishArgs),
    /// Print the evidence of a job: tables, rows, checksums
    Report(IdArgs),
}

#[derive(clap::Args, Debug)]
struct IdArgs {
    /// The job's id, or its beginning
    id: String,
}

#[derive(clap::Args, Debug)]
struct CancelArgs {
    /// The job's id, or its beginning
    id: String,
    /// Leave what was copied to this target where it is, for the target is lost (can be repeated)
    #[arg(long, value_name = "INSTANCE")]
    abandon: Vec<InstanceName>,
    /// Go on without asking
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
struct FinishArgs {
    /// The job's id, or its beginning
    id: String,
    /// Go on without asking
    #[arg(long)]
    yes: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// There is no such job, it cannot take the command in its phase, another run owns the cluster, or
/// a server refuses.
pub async fn run(cx: &mut Context, args: JobArgs) -> Result<Outcome> {
    let file = cx.topology()?;
    let mut control = file.clone();
    control.instances.retain(|name, _| *name == file.control);
    let servers = cx
        .connect(&control.instances, CONNECTIONS_BESIDES_WORKERS)
        .await?;
    let server = servers.get(&file.control)?;
    let outcome = match args.command {
        JobCommand::List => {
            let jobs = journal::jobs(server).await?;
            cx.out.show(&JobsReport {
                running: journal::holder(server).await?,
                jobs: jobs.iter().map(job_report).collect(),
            })?;
            Outcome::Clean
        }
        JobCommand::Status(args) => {
            let saved = journal::job(server, &args.id).await?;
            cx.out.show(&job_report(&saved))?;
            Outcome::Clean
        }
        JobCommand::Report(args) => {
            let saved = journal::job(server, &args.id).await?;
            cx.out.show(&JobEvidence(job_report(&saved)))?;
            Outcome::Clean
        }
        JobCommand::Resume(args) => go_on(cx, &file, &servers, &args.id, Event::Resumed).await?,
        JobCommand::Cancel(args) => {
            let job = journal::job(server, &args.id).await?.job;
            let targets = job.targets();
            if let Some(other) = args.abandon.iter().find(|name| !targets.contains(name)) {
                return Err(
                    Error::usage(format!("{other} is not a target of job {}", job.id))
                        .cause(format!("its targets are {}", list(&targets)))
                        .now(job.phase.truth()),
                );
            }
            let event = Event::CancelRequested {
                abandon: args.abandon,
            };
            // What cannot be done is said before it is asked about.
            step(&job, event.clone()).map_err(|misplaced| refused(&job, &misplaced))?;
            cx.confirm(
                &format!(
                    "Take job {} back? The source serves again, then what was copied is dropped.",
                    job.id
                ),
                args.yes,
            )?;
            go_on(cx, &file, &servers, &args.id, event).await?
        }
        JobCommand::Finish(args) => {
            let job = journal::job(server, &args.id).await?.job;
            step(&job, Event::FinishRequested).map_err(|misplaced| refused(&job, &misplaced))?;
            cx.confirm(
                &format!("Drop the source's copy that job {} kept?", job.id),
                args.yes,
            )?;
            go_on(cx, &file, &servers, &args.id, Event::FinishRequested).await?
        }
    };
    servers.disconnect().await;
    Ok(outcome)
}

fn job_report(saved: &Saved) -> JobReport {
    JobReport::new(&saved.job, &saved.updated)
}

async fn go_on(
    cx: &Context,
    file: &Topology,
    control: &Servers,
    id: &str,
    event: Event,
) -> Result<Outcome> {
    let owner = Owner::take(control.get(&file.control)?).await?;
    // Read under the lease: whoever ran it before saves nothing any more.
    match prepare(cx, file, &owner.journal, id).await {
        Ok((servers, job)) => {
            let observer = Progress::new(cx.shows_progress(), cx.global.quiet);
            let done = run_job(&servers, &file.cluster, owner, job, event, &observer).await;
            observer.done();
            let outcome = finish(cx, &done?)?;
            servers.disconnect().await;
            Ok(outcome)
        }
        Err(error) => {
            owner.close().await;
            Err(error)
        }
    }
}

/// The job and the servers of both its topologies.
async fn prepare(
    cx: &Context,
    file: &Topology,
    journal: &Journal,
    id: &str,
) -> Result<(Servers, Job)> {
    let job = journal::job(journal.control(), id).await?.job;
    let mut instances = indexmap::IndexMap::new();
    for text in [&job.topology_before, &job.topology_after] {
        let topology = parse(text).map_err(|_| {
            Error::unknown(format!(
                "a topology in the record of job {id} cannot be read"
            ))
        })?;
        instances.extend(journal::with_addresses(topology, file).instances);
    }
    let connections = job.workers as usize * 2 + CONNECTIONS_BESIDES_WORKERS;
    // An instance that is lost fails the effects that need it, and no others: a source can be
    // un-fenced without its target.
    let (servers, failed) = Servers::try_connect(&instances, &cx.credentials()?, connections).await;
    for (name, error) in failed {
        cx.note(&format!("{name} is not reached: {}", error.summary()));
    }
    Ok((servers, job))
}

fn list(names: &[InstanceName]) -> String {
    let names: Vec<&str> = names.iter().map(InstanceName::as_str).collect();
    names.join(", ")
}
