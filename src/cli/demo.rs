//! `shardctl demo`: the whole story on real local servers.
//!
//! Each step is a command that the reader could type, run by this very program, with its real
//! output. The sandbox is guarded, so nothing is left behind however this process ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tokio::process::Command;

use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::fill::members::{FIRST_MEMBER_ID, Members};
use crate::report::Format;
use crate::run::interrupt::Requests;
use crate::sandbox::{Engine, Guarded, Home, Options};

/// The user center, as the repository has it.
const TOPOLOGY: &str = include_str!("../../topology.yaml");

/// Tell the whole story on real local servers: plan, create, fill, query, move, verify
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// How many members the user center gets
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    members: u64,
    /// Family of server, mysql or mariadb [default: the one that is installed]
    #[arg(short, long, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// Leave the servers running at the end
    #[arg(long)]
    keep: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// A server does not start, or a step fails. Nothing is left behind.
pub async fn run(cx: &mut Context, args: DemoArgs) -> Result<Outcome> {
    if cx.global.output != Format::Table {
        return Err(
            Error::usage("the demo is a story for people, and has one form")
                .next("each command that it shows takes --output by itself"),
        );
    }
    let exe = std::env::current_exe()
        .map_err(|cause| Error::usage("could not find the program itself").cause(cause))?;
    let mut demo = Demo {
        exe,
        dir: PathBuf::from("."),
        sandbox: match args.keep {
            true => "demo".to_owned(),
            false => format!("demo-{}", std::process::id()),
        },
        steps: 0,
        quiet: cx.global.quiet,
    };
    let start = Instant::now();
    let mut ended = Requests::listen();
    let told = tokio::select! {
        told = demo.tell(&args) => told,
        // Dropping the story drops the sandbox's guard, which removes all.
        signal = ended.next() => {
            Err(Error::stopped(format!("stopped by {signal}"))
                .now("the demo's servers and data are removed"))
        }
    };
    match told {
        Ok(guarded) if args.keep => {
            let sandbox = guarded.keep()?;
            demo.say(&format!(
                "\nThe servers are left running. Go on with:\n\n  export SHARDCTL_SANDBOX={}\n  \
                 export SHARDCTL_TOPOLOGY={}\n  shardctl status\n  mariadb --defaults-file={} \
                 --socket={}\n  shardctl sandbox down {}",
                sandbox.name(),
                demo.dir.join("topology.yaml").display(),
                sandbox.client_file().display(),
                sandbox
                    .instances()
                    .first()
                    .map(|instance| instance.socket.display().to_string())
                    .unwrap_or_default(),
                sandbox.name(),
            ));
        }
        Ok(guarded) => {
            guarded.down()?;
            demo.say(&format!(
                "\nAll of it took {:.0} seconds. The servers and their data are gone again.\n\n\
                 Next: run it with --keep and look around; write your own topology.yaml and start \
                 with\n`shardctl create --dry-run`; README.md tells how to point shardctl at your \
                 own servers.",
                start.elapsed().as_secs_f64()
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(Outcome::Clean)
}

struct Demo {
    exe: PathBuf,
    dir: PathBuf,
    sandbox: String,
    steps: u32,
    quiet: bool,
}

impl Demo {
    fn say(&self, text: &str) {
        if !self.quiet {
            // A reader that has gone away does not end the story: the servers must be removed.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    fn step(&mut self, title: &str) {
        self.steps += 1;
        self.say(&format!("\n{}. {title}\n", self.steps));
    }

    async fn tell(&mut self, args: &DemoArgs) -> Result<Guarded> {
        self.say(
            "The user center: one router, two instances, sixteen schemas, memberId as the shard key.",
        );

        self.step("How large must it be? 40 million rows a year, five million to a table");
        self.shardctl(&[
            "plan",
            "--rows-per-year",
            "40M",
            "--years",
            "2",
            "--max-rows-per-table",
            "5M",
            "--instances",
            "2",
        ])
        .await?;

        self.step("Two real servers, then the sixteen schemas with their tables");
        let mut guarded = self.start_servers(args.engine).await?;
        // In the sandbox's own folder, which goes with it however this ends.
        self.dir = guarded.dir().to_owned();
        std::fs::write(self.dir.join("topology.yaml"), TOPOLOGY)
            .map_err(|cause| Error::usage("could not write the demo's topology").cause(cause))?;
        self.shardctl(&["create"]).await?;

        self.step("Members, with their addresses, accounts, verifications and companies");
        let members = args.members.to_string();
        self.shardctl(&["fill", "--members", &members]).await?;

        self.step("What is where");
        self.shardctl(&["status"]).await?;
        // The same seed as `fill` has by default: this member is there.
        let number = args.members / 3;
        let until = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        let account = Members::new(1, args.members, until).user_name(number);
        let id = FIRST_MEMBER_ID + number;
        self.shardctl(&[
            "route",
            &format!("memberId={id}"),
            &format!("memberAccount={account}"),
            "--table",
            "member",
            "--table",
            "member_login_account_memberAccount",
        ])
        .await?;

        self.step("One shard answers where the key is given; the account's row knows the member");
        self.shardctl(&[
            "query",
            &format!(
                "SELECT memberAccount, memberId, accountType FROM \
                 member_login_account_memberAccount WHERE memberAccount = '{account}'"
            ),
        ])
        .await?;
        self.shardctl(&[
            "query",
            &format!(
                "SELECT memberId, realName, mobile, status, balance FROM member WHERE memberId = \
                 {id}"
            ),
        ])
        .await?;

        self.step("All shards answer as one server would");
        self.shardctl(&[
            "query",
            "SELECT status, COUNT(*) AS members, AVG(balance) AS average, MAX(registeredAt) AS \
             latest FROM member GROUP BY status ORDER BY members DESC",
        ])
        .await?;
        self.shardctl(&[
            "query",
            "SELECT memberId, nickname, registeredAt FROM member ORDER BY registeredAt DESC LIMIT 5",
        ])
        .await?;
        self.shardctl(&[
            "query",
            "--explain",
            "SELECT city, COUNT(*) FROM member_address GROUP BY city ORDER BY 2 DESC LIMIT 3",
        ])
        .await?;
        self.shardctl(&[
            "query",
            "SELECT m.level, COUNT(*) AS withoutCompany FROM member m LEFT JOIN member_company c \
             USING (memberId) WHERE c.memberId IS NULL GROUP BY m.level ORDER BY m.level",
        ])
        .await?;

        self.step("The servers against the file: what CI asks every night");
        self.shardctl(&["check", "--rows-per-year", "40M"]).await?;

        self.step("A third server: the schemas spread over all three, then every row is checked");
        guarded = self.add_server(guarded).await?;
        self.shardctl(&[
            "rebalance",
            "--add-instance",
            "rds-3",
            "--yes",
            "--write",
            "topology.yaml",
        ])
        .await?;
        self.shardctl(&["status"]).await?;
        self.shardctl(&["verify"]).await?;
        Ok(guarded)
    }

    async fn start_servers(&self, engine: Option<Engine>) -> Result<Guarded> {
        self.say(&format!(
            "$ shardctl sandbox up {} --instances 2",
            self.sandbox
        ));
        let (exe, name) = (self.exe.clone(), self.sandbox.clone());
        let guarded = blocking(move || {
            let options = Options {
                name,
                engine,
                ..Options::default()
            };
            Home::from_env()?.up_guarded(&options, &exe)
        })
        .await?;
        self.say(&format!(
            "{} servers run: {} {}\n",
            guarded.instances().len(),
            guarded.engine(),
            guarded.version()
        ));
        Ok(guarded)
    }

    async fn add_server(&self, mut guarded: Guarded) -> Result<Guarded> {
        self.say(&format!("$ shardctl sandbox add {}", self.sandbox));
        let (guarded, added) = blocking(move || {
            let added = guarded.add_instance()?;
            Ok((guarded, added))
        })
        .await?;
        self.say(&format!("{added} runs\n"));
        Ok(guarded)
    }

    /// Runs a command of this program as the reader would type it.
    async fn shardctl(&self, args: &[&str]) -> Result<()> {
        let shown: Vec<String> = args.iter().map(|arg| shell_word(arg)).collect();
        self.say(&format!("$ shardctl {}", shown.join(" ")));
        let mut command = Command::new(&self.exe);
        command
            .args(args)
            .current_dir(&self.dir)
            .env("SHARDCTL_SANDBOX", &self.sandbox)
            .env("SHARDCTL_TOPOLOGY", Path::new("topology.yaml"))
            .stdin(Stdio::null());
        if self.quiet {
            command.stdout(Stdio::null());
        }
        // The servers of the story are removed with it, so a step that is cut short harms nothing.
        let status = command
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|cause| Error::unknown("could not run a step").cause(cause))?;
        self.say("");
        ended(status, &shown)
    }
}

fn ended(status: ExitStatus, shown: &[String]) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::unknown(format!(
        "a step of the demo failed: shardctl {}",
        shown.join(" ")
    ))
    .cause(status)
    .now("the demo's servers and data are removed"))
}

/// Work that waits for processes and files, off the threads that run the program.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::unknown("a step of the demo broke off").cause(cause))?
}

/// An argument as it would be typed.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains('\'') {
        format!("\"{text}\"")
    } else {
        format!("'{text}'")
    }
}
