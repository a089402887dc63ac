//! The crash run: writers of their own process write on every table while schemas move to and fro,
//! and everything is killed. After each job every acknowledged write is looked for: its content,
//! its place, and that it is there once.
//!
//! `make chaos KILLS=500 ENGINE=mysql SEED=7`; without arguments, as one of the tests, a short run
//! on each engine. The choices follow the seed; the moments of a kill follow the machine too.
//!
//! Where file systems may be mounted (root, or user namespaces), each server's data lies on a small
//! one that is filled now and then; where not, the run says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod fleet;
mod record;
mod run;
mod writers;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use shardctl::sandbox::{Engine, Installation};

/// Kills of the short run on each engine, and the seconds after which it begins no further job.
const SHORT: (u64, u64) = (25, 35);

#[derive(Parser)]
enum Args {
    /// Kill, resume and compare
    Run(RunArgs),
    /// The process that writes
    Writers(writers::WritersArgs),
}

/// What a run is to be.
#[derive(clap::Args, Clone)]
pub struct RunArgs {
    #[arg(long)]
    engine: Engine,
    /// Kills of the tool and of servers, at least
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// [default: another one each time]
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// Begin no further job after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Faults of one word alone, `cut` or `disk`
    #[arg(long)]
    only: Option<String>,
    /// The program under test
    #[arg(long, default_value = env!("CARGO_BIN_EXE_shardctl"))]
    tool: PathBuf,
    /// File systems can be mounted
    #[arg(long)]
    mounts: bool,
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn main() -> ExitCode {
    let first = std::env::args().nth(1);
    if !matches!(first.as_deref(), Some("run" | "writers")) {
        return as_a_test();
    }
    match Args::parse() {
        Args::Writers(args) => {
            writers::write(args);
            ExitCode::SUCCESS
        }
        Args::Run(args) if args.mounts => run::run(args),
        Args::Run(args) => apart(args),
    }
}

/// Called by `cargo test`, which passes a filter and options of the standard harness.
fn as_a_test() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        println!("chaos: test");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    if !filters.is_empty()
        && !filters
            .iter()
            .any(|filter| "chaos".contains(filter.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    let wanted = std::env::var("SHARDCTL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    for engine in [Engine::Mariadb, Engine::Mysql] {
        if let Err(error) = Installation::find(Some(engine)) {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "{engine} is to be tested here: {error}");
            println!("SKIPPED chaos: no {engine} here; run `make setup`");
            continue;
        }
        let code = apart(RunArgs {
            engine,
            kills: SHORT.0,
            seed: wanted,
            seconds: Some(SHORT.1),
            only: None,
            tool: env!("CARGO_BIN_EXE_shardctl").into(),
            mounts: false,
        });
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    ExitCode::SUCCESS
}

/// The run in a process of its own, in a mount namespace of its own where that can be had: whatever
/// it mounts is gone with it.
fn apart(args: RunArgs) -> ExitCode {
    let exe = std::env::current_exe().unwrap();
    let own: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["--mount"],
        false => &["--mount", "--map-root-user"],
    };
    let can_mount = Command::new("unshare")
        .args(own)
        .args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output()
        .is_ok_and(|output| output.status.success());
    let mut command = match can_mount {
        true => {
            let mut command = Command::new("unshare");
            command.args(own).arg(&exe);
            command
        }
        false => {
            println!("NO DISK IS FILLED: file systems cannot be mounted here");
            Command::new(&exe)
        }
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    command.args([
        "run",
        "--mounts",
        "--engine",
        &args.engine.to_string().to_lowercase(),
    ]);
    command.args([
        "--kills",
        &args.kills.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    command
        .arg("--tool")
        .arg(&args.tool)
        .env("CHAOS_SMALL_DISKS", if can_mount { "yes" } else { "no" });
    if let Some(seconds) = args.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    if let Some(only) = &args.only {
        command.args(["--only", only]);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => panic!("{error}"),
    }
}
