//! `shardctl fill`.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::rebalance::no_open_job;
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::fill::members::Members;
use crate::journal;
use crate::report::fill::FillReport;
use crate::run::fill::{FillOptions, fill};

/// Rows that a member brings on average, for the progress bar only.
const ROWS_PER_MEMBER: f64 = 9.1;

/// Fill an empty user center with generated members
///
/// For trials and load tests: realistic members, addresses, accounts, verifications and companies,
/// each row placed by the shard functions and counted afterwards. The same seed gives the same rows.
#[derive(clap::Args, Debug)]
pub struct FillArgs {
    /// How many members
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    members: u64,
    /// Seed of the generator
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time at which the last member registers
    #[arg(long, value_name = "DATE", default_value = "2026-01-01")]
    until: jiff::civil::Date,
    /// Connections that write to each instance
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    writers: u64,
}

/// Runs the subcommand.
///
/// # Errors
/// The topology is not a user center, the tables are not empty, or a server refuses.
pub async fn run(cx: &mut Context, args: FillArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    let writers =
        usize::try_from(args.writers).map_err(|_| Error::usage("--writers is too large"))?;
    let servers = cx.connect(&topology.instances, writers + 1).await?;
    journal::check_in_force(servers.get(&topology.control)?, &topology).await?;
    no_open_job(servers.get(&topology.control)?).await?;
    let members = Members::new(args.seed, args.members, args.until.at(0, 0, 0, 0));
    let bar = match cx.shows_progress() {
        true => ProgressBar::new((args.members as f64 * ROWS_PER_MEMBER) as u64).with_style(
            ProgressStyle::with_template("{bar:40} {human_pos} rows, {per_sec}, {eta} to go")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        false => ProgressBar::hidden(),
    };
    let options = FillOptions {
        writers,
        // One thread makes rows several times as fast as two servers take them, and each further
        // one would hold a batch for every physical table.
        generators: 1,
    };
    let start = Instant::now();
    let filled = fill(&topology, &servers, members, options, &|rows| bar.inc(rows)).await?;
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    servers.disconnect().await;
    cx.out.show(&FillReport {
        members: args.members,
        rows: filled
            .rows
            .into_iter()
            .map(|(table, rows)| (table.to_owned(), rows))
            .collect(),
        seconds: elapsed.as_secs_f64(),
    })?;
    Ok(Outcome::Clean)
}
