//! `shardctl status`.

use std::time::Duration;

use super::{Context, Outcome};
use crate::error::Result;
use crate::mysql::Servers;
use crate::run::status::{StatusOptions, status};

/// Connections to each instance: reading sizes needs one, and one more while counting.
const CONNECTIONS_MAX: usize = 2;

/// Show instances, schemas, rows, bytes and the fill against the limit
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// Count the rows instead of taking the servers' estimates
    #[arg(long)]
    exact: bool,
    /// Rows a physical table should not pass
    #[arg(long, value_name = "ROWS", default_value_t = 5_000_000)]
    max_rows_per_table: u64,
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// Runs the subcommand.
///
/// # Errors
/// The topology is bad, or a server that was reached cannot be asked. An instance that cannot be
/// reached is in the report, and makes the exit code 3.
pub async fn run(cx: &mut Context, args: StatusArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    let credentials = cx.credentials()?;
    let options = StatusOptions {
        exact: args.exact,
        rows_per_table_max: args.max_rows_per_table,
    };
    loop {
        let (servers, failed) =
            Servers::try_connect(&topology.instances, &credentials, CONNECTIONS_MAX).await;
        let report = status(&topology, &servers, &failed, options).await?;
        servers.disconnect().await;
        if args.watch.is_some() && cx.out.view.width.is_some() {
            // Home and clear, so that the table stays in place.
            print!("\x1b[H\x1b[2J");
        }
        cx.out.show(&report)?;
        let Some(seconds) = args.watch else {
            return match failed.into_iter().next() {
                Some((_, error)) => Err(error),
                None => Ok(Outcome::Clean),
            };
        };
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}
