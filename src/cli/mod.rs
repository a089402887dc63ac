//! The command line: one file per subcommand, the flags they share, and what a subcommand gets to
//! work with.

mod analyze;
pub mod check;
pub mod create;
pub mod demo;
pub mod fill;
mod gathered;
pub mod job;
mod job_progress;
pub mod plan;
mod plan_file;
mod plan_from;
mod plan_sample;
mod progress;
pub mod query;
pub mod rebalance;
pub mod route;
pub mod sandbox;
mod shell;
mod statement;
pub mod status;
pub mod verify;

use std::io::{IsTerminal, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use indexmap::IndexMap;
use secrecy::SecretString;

use crate::error::{Class, Error, Result};
use crate::mysql::Servers;
use crate::mysql::credentials::{CredentialSource, Credentials};
use crate::names::InstanceName;
use crate::report::{Format, Out, View};
use crate::run::interrupt::Requests;
use crate::sandbox::Home;
use crate::topology::{self, Endpoint, Topology};

/// Plan, create, fill, rebalance, query and verify a sharded MySQL or MariaDB fleet
#[derive(Parser, Debug)]
#[command(name = "shardctl", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  the answer is no: drift, a limit passed, rows differ
  2  usage, or a bad file
  3  a server could not be reached, or refused
  4  stopped safely, can be resumed
  5  state unknown, look before acting";

#[derive(Subcommand, Debug)]
enum Command {
    Plan(Box<plan::PlanArgs>),
    Check(check::CheckArgs),
    Create(create::CreateArgs),
    Fill(fill::FillArgs),
    Status(status::StatusArgs),
    Query(query::QueryArgs),
    Route(route::RouteArgs),
    Rebalance(rebalance::RebalanceArgs),
    Job(job::JobArgs),
    Verify(verify::VerifyArgs),
    Sandbox(sandbox::SandboxArgs),
    Demo(demo::DemoArgs),
}

/// Flags that every subcommand takes.
#[derive(Args, Debug, Clone, Default)]
pub struct GlobalArgs {
    /// Topology file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "SHARDCTL_TOPOLOGY",
        default_value = "topology.yaml",
        help_heading = "Global options"
    )]
    pub topology: PathBuf,
    /// Whether the command line says so, not the environment or the default.
    #[arg(skip)]
    pub topology_is_named: bool,
    /// How results are printed
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    pub output: Format,
    /// Read credentials from this MySQL option file only
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub defaults_file: Option<PathBuf>,
    /// User to log in as
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub user: Option<String>,
    /// Ask for the password
    #[arg(short = 'p', long, global = true, help_heading = "Global options")]
    pub ask_password: bool,
    /// Use the servers of this sandbox in place of the topology's addresses
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "SHARDCTL_SANDBOX",
        help_heading = "Global options"
    )]
    pub sandbox: Option<String>,
    /// Log what is done to stderr (repeat for more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// No progress and no notes on stderr
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

/// What a subcommand has come to, where it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: exit code 0.
    Clean,
    /// The answer is no; what was printed says why: exit code 1.
    No,
    /// The answer is without what could not be reached; what was printed names it: exit code 3.
    Partial,
}

impl Outcome {
    /// The worse of two.
    pub(crate) fn or(self, other: Self) -> Self {
        match self {
            Outcome::Clean => other,
            worse => worse,
        }
    }
}

/// What a subcommand works with.
#[derive(Debug)]
pub struct Context {
    /// The shared flags.
    pub global: GlobalArgs,
    /// Where results go.
    pub out: Out,
}

impl Context {
    /// The topology of `--topology`, with the addresses of `--sandbox` put in.
    ///
    /// # Errors
    /// The file cannot be read or has problems; the sandbox does not have an instance of it.
    pub fn topology(&self) -> Result<Topology> {
        self.at_sandbox(read_topology(&self.global.topology)?)
    }

    /// The topology with the addresses of `--sandbox`, where that is given.
    ///
    /// # Errors
    /// The sandbox does not have an instance of it.
    pub fn at_sandbox(&self, mut topology: Topology) -> Result<Topology> {
        if let Some(name) = &self.global.sandbox {
            let sandbox = Home::from_env()?.open(name)?;
            for (instance, endpoint) in &mut topology.instances {
                *endpoint = sandbox.instance(instance.as_str())?.endpoint();
            }
        }
        Ok(topology)
    }

    /// The credentials that flags, environment and option files give; with `--sandbox`, its own.
    ///
    /// # Errors
    /// An option file cannot be read, or no password can be asked for.
    pub fn credentials(&self) -> Result<Credentials> {
        let password = if self.global.ask_password {
            let typed = rpassword::prompt_password("Password: ").map_err(|cause| {
                Error::usage("could not ask for the password")
                    .cause(cause)
                    .next("put it into an option file (--defaults-file) or SHARDCTL_PASSWORD")
            })?;
            Some(SecretString::from(typed))
        } else {
            None
        };
        let defaults_file = match (&self.global.defaults_file, &self.global.sandbox) {
            (None, Some(name)) => Some(Home::from_env()?.open(name)?.client_file()),
            (named, _) => named.clone(),
        };
        Credentials::read(CredentialSource {
            defaults_file,
            user: self.global.user.clone(),
            password,
        })
    }

    /// Connects to these instances, at most `connections_max` connections each.
    ///
    /// # Errors
    /// The credentials cannot be read, or an instance cannot be reached.
    pub async fn connect(
        &self,
        instances: &IndexMap<InstanceName, Endpoint>,
        connections_max: usize,
    ) -> Result<Servers> {
        Servers::connect(instances, &self.credentials()?, connections_max).await
    }

    /// Tells the person something on stderr, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.global.quiet {
            eprintln!("{text}");
        }
    }

    /// Whether progress bars make sense: a person watches stderr.
    pub fn shows_progress(&self) -> bool {
        !self.global.quiet && std::io::stderr().is_terminal()
    }

    /// Asks a yes-no question on the terminal. `yes` is the flag that answers it.
    ///
    /// # Errors
    /// There is no terminal to ask on, or the answer is no.
    pub fn confirm(&self, question: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Error::usage(question)
                .cause("there is no terminal to ask on")
                .next("say --yes to go on without asking"));
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|cause| Error::usage("could not read the answer").cause(cause))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Error::stopped("not confirmed").now("nothing was changed")),
        }
    }
}

/// Bytes of a topology file, at most: anything larger is some other file.
const TOPOLOGY_BYTES_MAX: u64 = 16 << 20;

/// Reads and checks a topology file.
///
/// # Errors
/// It cannot be read, or has problems: all of them, each with its place.
pub fn read_topology(path: &Path) -> Result<Topology> {
    let (text, shown) = (topology_text(path)?, path.display().to_string());
    parse_topology(&text).map_err(|problems| problems.into_error(&shown, &text))
}

/// The topology of a text, if it is sound and can be routed.
fn parse_topology(text: &str) -> std::result::Result<Topology, topology::file::Problems> {
    topology::file::parse_with(text, |topology| {
        crate::routing::check(topology)
            .into_iter()
            .map(|(table, fault)| (table, fault.to_string()))
            .collect()
    })
}

fn topology_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(TOPOLOGY_BYTES_MAX + 1).read_to_string(&mut text));
    let failed = |cause: String| {
        Error::usage("could not read the topology file")
            .at(path.display().to_string())
            .cause(cause)
            .next("name it with --topology FILE, or write one with `shardctl plan --write`")
    };
    match read {
        Ok(bytes) if bytes as u64 > TOPOLOGY_BYTES_MAX => Err(failed(format!(
            "it has more than {} MiB, so it is another file",
            TOPOLOGY_BYTES_MAX >> 20
        ))),
        Ok(_) => Ok(text),
        Err(cause) => Err(failed(cause.to_string())),
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.global.topology_is_named =
            matches.value_source("topology") == Some(ValueSource::CommandLine);
        Ok(cli)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; anything else is a usage error.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    log_to_stderr(cli.global.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start: {error}");
            return ExitCode::from(5);
        }
    };
    let outcome = runtime.block_on(run(cli));
    // A thread that starts a server is not waited for: its guard outlives us and cleans up.
    runtime.shutdown_background();
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Partial) => ExitCode::from(Class::Server.code()),
        Err(error) if error.class() == Class::Closed => error.exit_code(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<Outcome> {
    let width = std::io::stdout()
        .is_terminal()
        .then(|| comfy_table::Table::new().width())
        .flatten();
    let cx = &mut Context {
        out: Out {
            format: cli.global.output,
            view: View { width },
        },
        global: cli.global,
    };
    if cli.command.ends_by_itself() {
        return dispatch(cx, cli.command).await;
    }
    let mut ended = Requests::listen();
    tokio::select! {
        outcome = dispatch(cx, cli.command) => outcome,
        signal = ended.next() => Err(Error::stopped(format!("stopped by {signal}"))
            .now("nothing was changed on the servers of the topology")),
    }
}

impl Command {
    /// Whether the subcommand listens to signals itself, for it has something to bring to an end.
    fn ends_by_itself(&self) -> bool {
        match self {
            Command::Create(_)
            | Command::Fill(_)
            | Command::Status(_)
            | Command::Query(_)
            | Command::Rebalance(_)
            | Command::Job(_)
            | Command::Sandbox(_)
            | Command::Demo(_) => true,
            Command::Plan(_) | Command::Check(_) | Command::Route(_) | Command::Verify(_) => false,
        }
    }
}

async fn dispatch(cx: &mut Context, command: Command) -> Result<Outcome> {
    match command {
        Command::Plan(args) => plan::run(cx, *args).await,
        Command::Check(args) => check::run(cx, args).await,
        Command::Create(args) => create::run(cx, args).await,
        Command::Route(args) => route::run(cx, args).await,
        Command::Fill(args) => fill::run(cx, args).await,
        Command::Query(args) => query::run(cx, args).await,
        Command::Status(args) => status::run(cx, args).await,
        Command::Demo(args) => demo::run(cx, args).await,
        Command::Rebalance(args) => rebalance::run(cx, args).await,
        Command::Verify(args) => verify::run(cx, args).await,
        Command::Job(args) => job::run(cx, args).await,
        Command::Sandbox(args) => sandbox::run(cx, args).await,
    }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "shardctl=info",
        2 => "shardctl=debug",
        _ => "shardctl=trace",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    // A second subscriber in one process (tests) is no reason to fail.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
