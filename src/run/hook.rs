//! Commands of the user's that a job runs on its way: for routers that have to be told.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Result};
use crate::rebalance::protocol::{Job, Way};

/// What a hook is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Writers are refused, on the way to the targets or back.
    Fence(Way),
    /// The targets serve.
    Switch,
    /// The sources serve again.
    Rollback,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Moment::Fence(_) => "on-fence",
            Moment::Switch => "on-switch",
            Moment::Rollback => "on-rollback",
        }
    }

    fn command(self, job: &Job) -> Option<&String> {
        match self {
            Moment::Fence(_) => job.hooks.on_fence.as_ref(),
            Moment::Switch => job.hooks.on_switch.as_ref(),
            Moment::Rollback => job.hooks.on_rollback.as_ref(),
        }
    }
}

/// Runs the job's hook for this moment, if it has one, with what it is about in the environment.
/// `note` hears each line of what it says.
///
/// # Errors
/// It cannot be run, fails, or takes longer than it may.
pub async fn run(job: &Job, moment: Moment, limit: Duration, note: &dyn Fn(&str)) -> Result<()> {
    let Some(command) = moment.command(job) else {
        return Ok(());
    };
    let name = moment.name();
    let failed = |cause: String| {
        Error::stopped(format!("the hook --{name} has failed"))
            .cause(cause)
            .next(format!("see why `{command}` fails"))
    };
    let io = |cause: std::io::Error| failed(cause.to_string());
    let (old, new) = match moment {
        Moment::Fence(Way::Forward) | Moment::Switch => (&job.topology_before, &job.topology_after),
        Moment::Fence(Way::Back) | Moment::Rollback => (&job.topology_after, &job.topology_before),
    };
    let (old, new) = (written(old).map_err(io)?, written(new).map_err(io)?);
    let running = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("SHARDCTL_HOOK", name)
        .env("SHARDCTL_JOB", &job.id)
        .env("SHARDCTL_OLD_TOPOLOGY", old.path())
        .env("SHARDCTL_NEW_TOPOLOGY", new.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limit, running)
        .await
        .map_err(|_| failed(format!("it has not ended within {} s", limit.as_secs())))?
        .map_err(io)?;
    for said in [&output.stdout, &output.stderr] {
        for line in String::from_utf8_lossy(said).lines() {
            note(&format!("{name}: {line}"));
        }
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(format!("`{command}` ended with {}", output.status))),
    }
}

fn written(topology: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("topology-")
        .suffix(".yaml")
        .tempfile()?;
    file.write_all(topology.as_bytes())?;
    Ok(file)
}
