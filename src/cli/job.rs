//! `shardctl job`: list, status, resume, cutover, cancel, rollback, finish, report.

use super::job_progress::{Progress, ProgressMode};
use super::rebalance::{finish, watch};
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::journal::{self, Journal, Saved};
use crate::mysql::Servers;
use crate::names::InstanceName;
use crate::rebalance::protocol::{Event, Job, Owner as Side, Phase, step};
use crate::report::rebalance::{JobEvidence, JobReport, JobsReport};
use crate::run::owner::Owner;
use crate::run::rebalance::{CONNECTIONS_BESIDES_WORKERS, refused, run as run_job};
use crate::topology::Topology;
use crate::topology::file::parse;

/// Look after the jobs that move data
#[derive(clap::Args, Debug)]
pub struct JobArgs {
    /// How progress is shown on stderr
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value_t)]
    progress: ProgressMode,
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
    Resume(OnArgs),
    /// Switch now, where a job waits for that
    Cutover(CutoverArgs),
    /// Take a job back: possible until its shard map is committed
    Cancel(CancelArgs),
    /// Go back to the source after the switch, with all that was written since
    Rollback(RollbackArgs),
    /// Drop the copy that a move, or its way back, has kept
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
struct OnArgs {
    /// The job's id, or its beginning
    id: String,
    /// End after the switch instead of keeping the rows flowing back
    #[arg(long)]
    no_watch: bool,
}

#[derive(clap::Args, Debug)]
struct CutoverArgs {
    #[command(flatten)]
    on: OnArgs,
    /// Go on without asking
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
struct RollbackArgs {
    /// The job's id, or its beginning
    id: String,
    /// Leave out the comparison of both sides, which takes as long as that before the switch
    #[arg(long)]
    no_compare: bool,
    /// Go on without asking
    #[arg(long)]
    yes: bool,
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
    let progress = args.progress;
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
        JobCommand::Resume(args) => {
            let job = journal::job(server, &args.id).await?.job;
            go_on(
                cx,
                &file,
                &servers,
                &job,
                Event::Resumed,
                !args.no_watch,
                progress,
            )
            .await?
        }
        JobCommand::Cutover(args) => {
            let job = journal::job(server, &args.on.id).await?.job;
            let event = Event::CutoverRequested;
            step(&job, event.clone()).map_err(|misplaced| refused(&job, &misplaced))?;
            cx.confirm(
                &format!(
                    "Switch to what job {} has copied? Writes to it are refused for a moment.",
                    job.id
                ),
                args.yes,
            )?;
            go_on(
                cx,
                &file,
                &servers,
                &job,
                event,
                !args.on.no_watch,
                progress,
            )
            .await?
        }
        JobCommand::Rollback(args) => {
            let job = journal::job(server, &args.id).await?.job;
            let event = Event::RollbackRequested {
                compare: !args.no_compare,
            };
            step(&job, event.clone()).map_err(|misplaced| {
                let error = refused(&job, &misplaced);
                match job.phase == Phase::Watch {
                    true => error.cause("nothing flows back: it was moved with --offline"),
                    false => error,
                }
            })?;
            cx.confirm(
                &format!(
                    "Go back to the source of job {}? Writes to what it moved are refused for a \
                     moment.",
                    job.id
                ),
                args.yes,
            )?;
            go_on(cx, &file, &servers, &job, event, false, progress).await?
        }
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
            let question = match job.phase.owner() {
                Side::Source => format!(
                    "Take job {} back? The source serves again, then what was copied is dropped.",
                    job.id
                ),
                Side::Target => format!("Leave the rows of job {} with the target?", job.id),
            };
            cx.confirm(&question, args.yes)?;
            go_on(cx, &file, &servers, &job, event, false, progress).await?
        }
        JobCommand::Finish(args) => {
            let job = journal::job(server, &args.id).await?.job;
            step(&job, Event::FinishRequested).map_err(|misplaced| refused(&job, &misplaced))?;
            let side = match job.phase.owner() {
                Side::Source => "target",
                Side::Target => "source",
            };
            cx.confirm(
                &format!("Drop the {side}'s copy that job {} kept?", job.id),
                args.yes,
            )?;
            go_on(
                cx,
                &file,
                &servers,
                &job,
                Event::FinishRequested,
                false,
                progress,
            )
            .await?
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
    job: &Job,
    event: Event,
    watches: bool,
    progress: ProgressMode,
) -> Result<Outcome> {
    let resumes = event == Event::Resumed;
    if resumes && job.phase == Phase::Watch && !watches {
        return finish(cx, job);
    }
    let owner = Owner::take_over(control.get(&file.control)?, job).await?;
    // Read under the lease: whoever ran it before saves nothing any more.
    let (servers, job) = match prepare(cx, file, &owner.journal, &job.id).await {
        Ok(prepared) => prepared,
        Err(error) => {
            owner.close().await;
            return Err(error);
        }
    };
    let was_watching = job.phase == Phase::Watch;
    let observer = Progress::new(cx, progress);
    let done = run_job(&servers, &file.cluster, owner, job, event, &observer).await;
    observer.done();
    let done = done?;
    let outcome = finish(cx, &done)?;
    if done.phase == Phase::Watch && done.has_way_back() && watches && !was_watching {
        watch(cx, &servers, file, &done, progress).await?;
    }
    servers.disconnect().await;
    Ok(outcome)
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
