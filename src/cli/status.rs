//! `shardctl status`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan::write_atomically;
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::journal;
use crate::mysql::Servers;
use crate::run::interrupt::Requests;
use crate::run::status::{StatusOptions, status};
use crate::topology::Topology;
use crate::topology::plan::quantity::Count;

/// Connections to each instance: reading sizes needs one, and one more while counting.
const CONNECTIONS_MAX: usize = 2;

/// Show instances, schemas, rows, bytes and the fill against the limit
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// Count the rows instead of taking the servers' estimates
    #[arg(long)]
    exact: bool,
    /// Rows a physical table should not pass
    #[arg(long, value_name = "ROWS", default_value = "5M")]
    max_rows_per_table: Count,
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// Write the topology of the shard map in force to this file and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    write: Option<PathBuf>,
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
        rows_per_table_max: args.max_rows_per_table.0,
    };
    if let Some(path) = &args.write {
        return write(cx, &topology, path).await;
    }
    let mut ended = Requests::listen();
    loop {
        let (servers, failed) =
            Servers::try_connect(&topology.instances, &credentials, CONNECTIONS_MAX).await;
        let report = status(&topology, &servers, &failed, options).await?;
        servers.disconnect().await;
        if args.watch.is_some() && cx.out.view.width.is_some() {
            // Home and clear, so that the table stays in place.
            let _ = write!(std::io::stdout(), "\x1b[H\x1b[2J");
        }
        cx.out.show(&report)?;
        let Some(seconds) = args.watch else {
            return match failed.into_iter().next() {
                Some((_, error)) => Err(error),
                None => Ok(Outcome::Clean),
            };
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            // Watching ends so, and no other way.
            _ = ended.next() => return Ok(Outcome::Clean),
        }
    }
}

async fn write(cx: &Context, topology: &Topology, path: &Path) -> Result<Outcome> {
    let mut control = topology.instances.clone();
    control.retain(|name, _| *name == topology.control);
    let servers = cx.connect(&control, CONNECTIONS_MAX).await?;
    let map = journal::shard_map(servers.get(&topology.control)?).await?;
    servers.disconnect().await;
    let map = map.ok_or_else(|| {
        Error::usage("there is no shard map yet").next("`shardctl create` writes the first one")
    })?;
    write_atomically(path, &map.text)?;
    cx.note(&format!(
        "wrote version {} of the shard map to {}",
        map.version,
        path.display()
    ));
    Ok(Outcome::Clean)
}
