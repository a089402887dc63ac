//! `shardctl verify`.

use indicatif::{ProgressBar, ProgressStyle};

use super::rebalance::no_fenced_tables;
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::journal;
use crate::names::TableName;
use crate::run::verify::{VerifyOptions, verify};

/// Check that every row is in its shard and index tables equal what they index
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// Check this logical table only (can be repeated)
    #[arg(long, value_name = "NAME")]
    table: Vec<TableName>,
    /// Physical tables read at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
}

/// Runs the subcommand.
///
/// # Errors
/// A server cannot be asked, or a table of the topology is not there.
pub async fn run(cx: &mut Context, args: VerifyArgs) -> Result<Outcome> {
    let file = cx.topology()?;
    let workers = args.workers as usize;
    let mut control = file.instances.clone();
    control.retain(|name, _| *name == file.control);
    let first = cx.connect(&control, 1).await?;
    let map = journal::shard_map(first.get(&file.control)?).await?;
    no_fenced_tables(first.get(&file.control)?).await?;
    first.disconnect().await;
    // The rows are where the shard map says; the file says how to reach it.
    let topology = match map {
        Some(map) if map.topology.cluster != file.cluster => {
            return Err(Error::usage(format!(
                "{} holds the shard map of the cluster `{}`, and the file is of `{}`",
                file.control, map.topology.cluster, file.cluster
            )));
        }
        Some(map) => journal::with_addresses(map.topology, &file),
        None => file,
    };
    let servers = cx.connect(&topology.instances, workers + 1).await?;
    let bar = match cx.shows_progress() {
        true => ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template("{spinner} verifying: {human_pos} rows, {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        ),
        false => ProgressBar::hidden(),
    };
    let report = verify(
        &topology,
        &servers,
        &args.table,
        VerifyOptions { workers },
        &|rows| bar.inc(rows),
    )
    .await;
    bar.finish_and_clear();
    let report = report?;
    servers.disconnect().await;
    cx.out.show(&report)?;
    Ok(if report.faults == 0 {
        Outcome::Clean
    } else {
        Outcome::No
    })
}
