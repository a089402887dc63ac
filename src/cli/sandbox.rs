//! `shardctl sandbox`: real local servers for trials.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::report::{Report, View, right_align};
use crate::run::interrupt::Requests;
use crate::sandbox::{self, DEFAULT_NAME, Durability, Engine, Home, Options, SandboxInfo, State};

/// Start and remove real local servers
#[derive(Args, Debug)]
pub struct SandboxArgs {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Subcommand, Debug)]
enum SandboxCommand {
    Up(UpArgs),
    /// Start one more server in a running sandbox
    Add(NameArgs),
    /// Start a server of a sandbox that was stopped or has died
    Start(ServerArgs),
    /// Stop a server of a sandbox and keep its data
    Stop(StopArgs),
    /// End the servers of a sandbox and remove it with its data
    Down(DownArgs),
    /// Show the sandboxes of this user, also broken ones
    #[command(visible_alias = "ls")]
    List,
    /// Remove a sandbox when the process that holds stdin is gone
    #[command(hide = true)]
    Guard {
        dir: PathBuf,
    },
    /// Remove a sandbox when it has not been used for so many seconds
    #[command(hide = true)]
    Keeper {
        dir: PathBuf,
        idle: u64,
    },
}

/// Start servers from the installed mysqld or mariadbd
#[derive(Args, Debug)]
struct UpArgs {
    #[command(flatten)]
    name: NameArgs,
    /// How many servers, named rds-1, rds-2 and so on
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(sandbox::INSTANCES_MAX)))]
    instances: u32,
    /// Family of server, mysql or mariadb [default: the one that is installed]
    #[arg(short, long, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// Listen on ports of 127.0.0.1 as well as on unix sockets
    #[arg(long)]
    tcp: bool,
    /// Write each commit to the disk before it is answered
    #[arg(long)]
    safe: bool,
    /// InnoDB buffer pool of each server in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(5..=1_048_576))]
    buffer_pool_mb: u32,
    /// Further argument of each server (can be repeated)
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    server_arg: Vec<String>,
}

#[derive(Args, Debug)]
struct NameArgs {
    /// Name of the sandbox [default: that of --sandbox, else `default`]
    name: Option<String>,
}

impl NameArgs {
    fn resolved(self, global: Option<&str>) -> String {
        let named = self.name.or_else(|| global.map(str::to_owned));
        named.unwrap_or_else(|| DEFAULT_NAME.to_owned())
    }
}

#[derive(Args, Debug)]
struct ServerArgs {
    /// The server, rds-1 for example
    instance: String,
    #[command(flatten)]
    name: NameArgs,
}

#[derive(Args, Debug)]
struct StopArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Kill it, as a crash would
    #[arg(long)]
    kill: bool,
}

#[derive(Args, Debug)]
struct DownArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Remove all sandboxes of this user
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// The sandboxes, as they are printed.
#[derive(Serialize)]
struct Sandboxes {
    sandboxes: Vec<SandboxInfo>,
}

impl Report for Sandboxes {
    fn text(&self, view: &View) -> String {
        if self.sandboxes.is_empty() {
            return "no sandbox".to_owned();
        }
        let mut table = view.table(["sandbox", "state", "engine", "instance", "pid", "address"]);
        for sandbox in &self.sandboxes {
            let engine = match (sandbox.engine, &sandbox.version) {
                (Some(engine), Some(version)) => format!("{engine} {version}"),
                _ => "-".to_owned(),
            };
            let mut first = [sandbox.name.clone(), sandbox.state.to_string(), engine];
            if sandbox.instances.is_empty() {
                let [name, state, engine] = first;
                let dir = sandbox.dir.display().to_string();
                table.add_row([name, state, engine, "-".into(), "-".into(), dir]);
                continue;
            }
            for server in &sandbox.instances {
                let [name, state, engine] = std::mem::take(&mut first);
                let pid = server.pid.map_or("-".to_owned(), |pid| pid.to_string());
                let address = server.instance.endpoint().to_string();
                table.add_row([
                    name,
                    state,
                    engine,
                    server.instance.name.to_string(),
                    pid,
                    address,
                ]);
            }
        }
        right_align(&mut table, &[4]);
        table.to_string()
    }
}

/// Runs the subcommand.
///
/// # Errors
/// See [`Home`]: no server is installed, a name is taken or missing, a server does not start.
pub async fn run(cx: &mut Context, args: SandboxArgs) -> Result<Outcome> {
    let named = cx.global.sandbox.clone();
    let name = move |own: NameArgs| own.resolved(named.as_deref());
    // Starting and ending servers blocks; a thread of its own keeps the runtime free.
    let answer = match args.command {
        SandboxCommand::Guard { dir } => {
            blocking(move || sandbox::guard(&dir)).await?;
            return Ok(Outcome::Clean);
        }
        SandboxCommand::Keeper { dir, idle } => {
            blocking(move || sandbox::keeper(&dir, Duration::from_secs(idle))).await?;
            return Ok(Outcome::Clean);
        }
        SandboxCommand::Up(args) => blocking(move || up(args, name)).await?,
        SandboxCommand::Add(args) => blocking(move || add(&name(args))).await?,
        SandboxCommand::Start(args) => {
            blocking(move || start(&args.instance, &name(args.name))).await?
        }
        SandboxCommand::Stop(args) => {
            blocking(move || stop(&args.server.instance, &name(args.server.name), args.kill))
                .await?
        }
        SandboxCommand::Down(args) => blocking(move || down(&name(args.name), args.all)).await?,
        SandboxCommand::List => blocking(|| Home::from_env()?.list()).await?,
    };
    cx.out.show(&Sandboxes { sandboxes: answer })?;
    Ok(Outcome::Clean)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let mut ended = Requests::listen();
    let done = tokio::select! {
        done = tokio::task::spawn_blocking(work) => done,
        signal = ended.next() => {
            return Err(Error::stopped(format!("stopped by {signal}"))
                .now("a sandbox that was being started is removed"));
        }
    };
    match done {
        Ok(answer) => answer,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::stopped("the program is ending")),
        },
    }
}

/// Guarded until it stands, so that an `up` that is interrupted leaves nothing.
fn up(args: UpArgs, name: impl FnOnce(NameArgs) -> String) -> Result<Vec<SandboxInfo>> {
    let options = Options {
        name: name(args.name),
        engine: args.engine,
        instances: args.instances,
        tcp: args.tcp,
        durability: if args.safe {
            Durability::Safe
        } else {
            Durability::Fast
        },
        buffer_pool_mb: args.buffer_pool_mb,
        server_args: args.server_arg,
    };
    let exe = std::env::current_exe()
        .map_err(|cause| Error::server("could not find this program").cause(cause))?;
    let home = Home::from_env()?;
    home.up_guarded(&options, &exe)?.keep()?;
    one(&home, &options.name)
}

fn add(name: &str) -> Result<Vec<SandboxInfo>> {
    let home = Home::from_env()?;
    home.open(name)?.add_instance()?;
    one(&home, name)
}

fn start(instance: &str, name: &str) -> Result<Vec<SandboxInfo>> {
    let home = Home::from_env()?;
    home.open(name)?.start(instance)?;
    one(&home, name)
}

fn stop(instance: &str, name: &str, kill: bool) -> Result<Vec<SandboxInfo>> {
    let home = Home::from_env()?;
    let sandbox = home.open(name)?;
    if kill {
        sandbox.kill(instance)?;
    } else {
        sandbox.stop(instance)?;
    }
    one(&home, name)
}

fn down(name: &str, all: bool) -> Result<Vec<SandboxInfo>> {
    let home = Home::from_env()?;
    if all {
        for sandbox in home.list()? {
            // One that is being removed by another process may be gone by now.
            if sandbox.state != State::Busy || sandbox.dir.exists() {
                home.down(&sandbox.name)?;
            }
        }
    } else {
        home.down(name)?;
    }
    home.list()
}

fn one(home: &Home, name: &str) -> Result<Vec<SandboxInfo>> {
    let mut all = home.list()?;
    all.retain(|sandbox| sandbox.name == name);
    Ok(all)
}
