//! `shardctl create`.

use indicatif::{ProgressBar, ProgressStyle};

use super::rebalance::no_open_job;
use super::{Context, Outcome};
use crate::error::Result;
use crate::journal;
use crate::mysql::Servers;
use crate::report::create::CreateReport;
use crate::run::create;
use crate::run::owner::{Flags, Owner};
use crate::topology::Topology;

/// Connections to each instance: four statements run at once, beside the journal's and the
/// lease's renewal.
const CONNECTIONS_MAX: usize = 6;

/// Create the schemas and tables that the servers lack
///
/// What exists is compared with the topology and never altered: a table that differs is reported
/// as drift, with exit code 1. A run that failed half way is completed by a second one. The first
/// run writes version 1 of the shard map, which routers read, into `_shardctl` on every instance.
#[derive(clap::Args, Debug)]
pub struct CreateArgs {
    /// Print the SQL and run nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: do not connect, print what a fleet with nothing on it needs
    #[arg(long, requires = "dry_run")]
    offline: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// The topology is bad, a server cannot be reached, or a statement is refused.
pub async fn run(cx: &mut Context, args: CreateArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    for warning in topology.warnings() {
        cx.note(&format!("warning: {warning}"));
    }
    if args.offline {
        let plan = create::from_nothing(&topology)?;
        cx.out.show(&create::report(plan, true, None))?;
        return Ok(Outcome::Clean);
    }
    let servers = cx.connect(&topology.instances, CONNECTIONS_MAX).await?;
    let made = if args.dry_run {
        make(cx, &topology, &servers, None).await
    } else {
        let owner = Owner::take(servers.get(&topology.control)?).await?;
        let made = make(cx, &topology, &servers, Some(&owner.flags)).await;
        owner.close().await;
        made
    };
    servers.disconnect().await;
    let report = made?;
    cx.out.show(&report)?;
    Ok(if report.drift.is_empty() {
        Outcome::Clean
    } else {
        Outcome::No
    })
}

/// Without an owner's flags nothing is created.
async fn make(
    cx: &Context,
    topology: &Topology,
    servers: &Servers,
    flags: Option<&Flags>,
) -> Result<CreateReport> {
    let control = servers.get(&topology.control)?;
    let version = journal::check_in_force(control, topology).await?;
    // Tables that a job has fenced are not missing.
    no_open_job(control).await?;
    let plan = create::look(topology, servers).await?;
    let Some(flags) = flags else {
        return Ok(create::report(plan, true, version));
    };
    let bar = match cx.shows_progress() {
        true => ProgressBar::new(plan.steps.len() as u64).with_style(
            ProgressStyle::with_template("creating {bar:40} {pos}/{len}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        false => ProgressBar::hidden(),
    };
    let executed = create::execute(servers, &plan, flags, &|_| bar.inc(1)).await;
    bar.finish_and_clear();
    executed?;
    let version = journal::extend(servers, topology).await?;
    Ok(create::report(plan, false, Some(version)))
}
