//! `shardctl fill`.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::rebalance::no_open_job;
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::fill::members::Members;
use crate::journal;
use crate::mysql::Servers;
use crate::report::fill::FillReport;
use crate::run::fill::{FillOptions, fill};
use crate::run::owner::{Flags, Owner};
use crate::topology::Topology;
use crate::topology::plan::quantity::Count;

/// Connections to an instance beside the writers': the journal's, the lease's renewal and one for
/// looking.
const CONNECTIONS_BESIDES_WRITERS: usize = 3;

/// Members at the most: further ids would meet.
const MEMBERS_MAX: u64 = 1_000_000_000;

/// Rows that a member brings on average, for the progress bar only.
const ROWS_PER_MEMBER: f64 = 9.1;

/// Fill an empty user center with generated members
///
/// For trials and load tests: realistic members, addresses, accounts, verifications and companies,
/// each row placed by the shard functions and counted afterwards. The same seed gives the same rows.
#[derive(clap::Args, Debug)]
pub struct FillArgs {
    /// How many members
    #[arg(long, value_name = "N", default_value = "200K")]
    members: Count,
    /// Seed of the generator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time at which the last member registers
    #[arg(long, value_name = "DATE", default_value = "2026-01-01")]
    until: jiff::civil::Date,
    /// Connections that write to each instance
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    writers: u64,
    /// Empty the tables first, if a fill of them was interrupted
    #[arg(long)]
    again: bool,
    /// With --again: go on without asking
    #[arg(long, requires = "again")]
    yes: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// The topology is not a user center, the tables are not empty, or a server refuses.
pub async fn run(cx: &mut Context, args: FillArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    if !(1..=MEMBERS_MAX).contains(&args.members.0) {
        return Err(Error::usage(format!("--members takes 1 to {MEMBERS_MAX}")));
    }
    let writers =
        usize::try_from(args.writers).map_err(|_| Error::usage("--writers is too large"))?;
    if args.again {
        cx.confirm(
            "Empty the tables that the interrupted fill found empty, and fill them anew?",
            args.yes,
        )?;
    }
    let servers = cx
        .connect(&topology.instances, writers + CONNECTIONS_BESIDES_WRITERS)
        .await?;
    let control = servers.get(&topology.control)?;
    let owner = Owner::take(control).await?;
    let filled = filled(cx, &args, &topology, &servers, &owner.flags).await;
    owner.close().await;
    servers.disconnect().await;
    cx.out.show(&filled?)?;
    Ok(Outcome::Clean)
}

async fn filled(
    cx: &Context,
    args: &FillArgs,
    topology: &Topology,
    servers: &Servers,
    flags: &Flags,
) -> Result<FillReport> {
    let control = servers.get(&topology.control)?;
    journal::check_in_force(control, topology).await?;
    no_open_job(control).await?;
    let members = Members::new(args.seed, args.members.0, args.until.at(0, 0, 0, 0));
    let bar = match cx.shows_progress() {
        true => ProgressBar::new((args.members.0 as f64 * ROWS_PER_MEMBER) as u64).with_style(
            ProgressStyle::with_template("{bar:40} {human_pos} rows, {per_sec}, {eta} to go")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        false => ProgressBar::hidden(),
    };
    let options = FillOptions {
        writers: args.writers as usize,
        // One thread makes rows several times as fast as two servers take them, and each further
        // one would hold a batch for every physical table.
        generators: 1,
        again: args.again,
    };
    let start = Instant::now();
    let filled = fill(topology, servers, members, options, flags, &|rows| {
        bar.inc(rows)
    })
    .await;
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    let filled = filled?;
    Ok(FillReport {
        members: args.members.0,
        rows: filled
            .rows
            .into_iter()
            .map(|(table, rows)| (table.to_owned(), rows))
            .collect(),
        seconds: elapsed.as_secs_f64(),
    })
}
