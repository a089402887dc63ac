//! Job after job, each with its faults, and the comparison behind each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::rebalance::protocol::{Owner, Phase};

use crate::RunArgs;
use crate::faults::{Fault, Way, points};
use crate::fleet::{CONTROL, Fleet, INSTANCES, Placement, Writers};
use crate::record::{Findings, Record, SHARDS, compare};
use crate::writers::Stats;

/// How long one run of the tool may take, a server's death and a full disk included.
const PATIENCE: Duration = Duration::from_secs(180);
/// Runs of a job without a fault, after which it has to be over.
const QUIET_RUNS: u32 = 4;

/// How a job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Done,
    /// The source's copy is kept for a while, and dropped.
    Kept,
    Cancelled,
    RolledBack,
}

/// A run of the tool.
struct Step {
    args: Vec<String>,
    way: Way,
    /// It goes on until someone ends it, or wants the job.
    lasts: bool,
}

impl Step {
    fn new(args: &[&str], way: Way) -> Self {
        Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            way,
            lasts: false,
        }
    }
}

#[derive(Default)]
struct Counts {
    jobs: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    kills: u64,
    tool_kills: u64,
    server_kills: u64,
    cut: u64,
    refused_operators: u64,
    points: BTreeSet<(Way, &'static str)>,
    missed: BTreeMap<&'static str, u64>,
    compared: u64,
}

struct Run {
    fleet: Fleet,
    writers: Writers,
    record: Record,
    random: ChaCha8Rng,
    only: Option<String>,
    counts: Counts,
    stats: Stats,
    /// The next pause point of each way.
    turn: BTreeMap<Way, usize>,
    /// How long a job takes that nobody disturbs.
    usual: Duration,
    /// A run that waits for a person, until another one wants its job.
    waiting: Option<(Child, Vec<String>)>,
    /// What was done to the job at hand, for the case that something is wrong.
    history: Vec<String>,
}

#[tokio::main]
pub async fn run(args: RunArgs) -> ExitCode {
    let seed = args.seed.unwrap_or_default();
    let began = Instant::now();
    let small_disks = std::env::var("CHAOS_SMALL_DISKS").is_ok_and(|text| text == "yes");
    println!(
        "chaos on {}: seed {seed}, {} kills wanted",
        args.engine, args.kills
    );
    let fleet = Fleet::new(args.engine, &args.tool, small_disks).await;
    let mut run = Run {
        writers: Writers::start(&fleet, seed),
        record: Record::new(&fleet.record()),
        random: ChaCha8Rng::seed_from_u64(seed),
        only: args.only.clone(),
        counts: Counts::default(),
        stats: Stats::default(),
        turn: BTreeMap::new(),
        usual: Duration::from_millis(800),
        waiting: None,
        history: Vec::new(),
        fleet,
    };
    let started = Instant::now();
    let mut wrong = run.settle().await.err();
    let mut said = Instant::now();
    while wrong.is_none() && run.counts.kills < args.kills {
        if args
            .seconds
            .is_some_and(|seconds| began.elapsed().as_secs() >= seconds)
        {
            break;
        }
        run.history.clear();
        wrong = run.job().await.err();
        if said.elapsed() > Duration::from_secs(30) {
            said = Instant::now();
            let counts = &run.counts;
            let jobs: u64 = counts.jobs.values().sum();
            println!(
                "  {} kills, {jobs} jobs, {} writes acknowledged, {} s",
                counts.kills,
                run.record.acknowledged,
                started.elapsed().as_secs()
            );
        }
    }
    let clean = run.tell(seed, wrong, started.elapsed());
    if clean {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("CHAOS_KEEP").is_some() {
        println!("kept for looking: {}", run.fleet.sandbox.dir().display());
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    }
    ExitCode::FAILURE
}

/// What is wrong, with the rows that are.
struct Wrong {
    what: String,
    findings: Findings,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self {
            what,
            findings: Findings::default(),
        }
    }
}

type Checked<T> = Result<T, Wrong>;

impl Run {
    /// The writers stand still and every row is compared; then they go on.
    async fn settle(&mut self) -> Checked<()> {
        let stats = self.writers.stand()?;
        self.stats.add(&stats);
        self.record.catch_up();
        let (found, trouble) = self.fleet.contents().await;
        self.counts.compared += found.len() as u64;
        let findings = compare(&self.record.rows, found);
        if !findings.is_empty() || !trouble.is_empty() {
            return Err(Wrong {
                what: match trouble.is_empty() {
                    true => "rows are not as they were acknowledged".to_owned(),
                    false => trouble.join("\n"),
                },
                findings,
            });
        }
        self.writers.go_on()?;
        Ok(())
    }

    fn placement(&mut self) -> Placement {
        loop {
            let mut wanted = self.fleet.placement;
            for _ in 0..self.random.random_range(1..=3) {
                let shard = self.random.random_range(0..SHARDS as usize);
                wanted[shard] = self.random.random_range(0..INSTANCES.len());
            }
            let all = (0..INSTANCES.len()).all(|instance| wanted.contains(&instance));
            if all && wanted != self.fleet.placement {
                return wanted;
            }
        }
    }

    async fn job(&mut self) -> Checked<()> {
        let wanted = self.placement();
        let file = self.fleet.write_topology("wanted.yaml", &wanted);
        let ending = match self.random.random_range(0..100) {
            0..30 => Ending::Done,
            30..42 => Ending::Kept,
            42..67 => Ending::Cancelled,
            _ => Ending::RolledBack,
        };
        let is_kept = matches!(ending, Ending::Kept | Ending::RolledBack);
        let is_offline = ending != Ending::RolledBack && self.random.random_ratio(1, 10);
        let is_manual = !is_offline && self.random.random_ratio(1, 8);
        let workers = ["1", "2", "4"][self.random.random_range(0..3)];
        let mut start = Step::new(
            &["rebalance", "--to", &file, "--yes", "--workers", workers],
            match (is_offline, is_kept) {
                (true, _) => Way::Offline,
                (false, true) => Way::Kept,
                (false, false) => Way::Forward,
            },
        );
        if is_kept {
            start.args.push("--keep-source".to_owned());
            start.lasts = !is_offline && self.random.random_bool(0.5);
            if !start.lasts {
                start.args.push("--no-watch".to_owned());
            }
        }
        if is_offline {
            start.args.push("--offline".to_owned());
        }
        if is_manual {
            start
                .args
                .extend(["--cutover".to_owned(), "manual".to_owned()]);
            start.lasts = true;
        }
        self.history.push(format!(
            "placement {:?} -> {wanted:?}, {ending:?}: {:?}",
            self.fleet.placement, start.args
        ));
        let before = self.fleet.job().await.map(|(id, _, _)| id);
        let faults = self.random.random_range(0..=4);
        let (mut attempt, mut quiet) = (0, 0);
        let phase = loop {
            let now = self.fleet.job().await;
            let own = now.filter(|(id, _, _)| Some(id) != before.as_ref());
            let step = match &own {
                None => Step {
                    args: start.args.clone(),
                    ..start
                },
                Some((_, phase, false)) => break phase.clone(),
                Some((id, phase, true)) => {
                    let phase: Phase = serde_json::from_value(phase.as_str().into()).unwrap();
                    self.next(id, phase, ending, start.way, attempt < faults)
                }
            };
            let fault = match attempt < faults {
                true => self.fault(step.way, step.lasts),
                // Nothing can be taken back that went through.
                false if attempt == 0 && ending == Ending::Cancelled => Fault::Kill(0.6),
                false => Fault::Nothing,
            };
            let began = Instant::now();
            let ended = self.attempt(&step, &fault).await?;
            if fault == Fault::Nothing && !step.lasts {
                quiet += 1;
                if quiet > QUIET_RUNS {
                    return Err("the job does not come to an end".to_owned().into());
                }
                if attempt == 0 && ended.is_some_and(|status| status.success()) {
                    self.usual = (self.usual * 3 + began.elapsed()) / 4;
                }
            }
            attempt += 1;
        };
        self.dismiss().await?;
        *self.counts.jobs.entry(phase.clone()).or_default() += 1;
        if phase == "done" {
            self.fleet.placement = wanted;
        }
        self.settle().await?;
        if self.random.random_ratio(1, 12) {
            self.audit()?;
        }
        Ok(())
    }

    /// How an open job goes on; with faults to come, also by ways about.
    fn next(
        &mut self,
        id: &str,
        phase: Phase,
        ending: Ending,
        start: Way,
        may_tarry: bool,
    ) -> Step {
        let tarries = may_tarry && self.random.random_bool(0.4);
        let job = |words: &[&str], way| {
            let args: Vec<&str> = [&["job"], words].concat();
            Step::new(&args, way)
        };
        let lasting = |mut step: Step| {
            step.lasts = true;
            step
        };
        match phase {
            Phase::Watch if tarries => lasting(job(&["resume", id], Way::Back)),
            Phase::Watch if ending == Ending::RolledBack => match self.random.random_bool(0.5) {
                true => job(&["rollback", id, "--yes"], Way::Back),
                false => job(&["rollback", id, "--yes", "--no-compare"], Way::Back),
            },
            Phase::Watch => job(&["finish", id, "--yes"], Way::Finish),
            Phase::Finish => job(&["resume", id], Way::Finish),
            Phase::Returned | Phase::ClearBack => job(&["finish", id, "--yes"], Way::Return),
            Phase::Undo | Phase::Clear => job(&["resume", id], Way::Cancel),
            _ if phase.can_cancel() && phase.owner() == Owner::Target => match tarries {
                true => job(&["cancel", id, "--yes"], Way::CancelBack),
                false => job(&["resume", id], Way::Back),
            },
            _ if phase.can_cancel() && ending == Ending::Cancelled => {
                job(&["cancel", id, "--yes"], Way::Cancel)
            }
            Phase::Ready if tarries => lasting(job(&["resume", id, "--no-watch"], start)),
            Phase::Ready => job(&["cutover", id, "--yes", "--no-watch"], start),
            // A job that is to be told when to switch waits again.
            _ => lasting(job(&["resume", id, "--no-watch"], start)),
        }
    }

    fn fault(&mut self, way: Way, lasts: bool) -> Fault {
        if self.only.is_none() && self.random.random_bool(0.5) {
            let all = points(way);
            let turn = self.turn.entry(way).or_default();
            *turn += 1;
            return Fault::Point(all[(*turn - 1) % all.len()]);
        }
        loop {
            let fault = Fault::any(&mut self.random, self.fleet.small_disks);
            let is_wanted = self
                .only
                .as_ref()
                .is_none_or(|word| fault.word().contains(word));
            if is_wanted && (!lasts || fault.suits_who_waits()) {
                return fault;
            }
        }
    }

    /// One run of the tool with what happens to it. Its servers run when this is over. `None` where
    /// the run lasts on, for whoever wants its job.
    async fn attempt(&mut self, step: &Step, fault: &Fault) -> Checked<Option<ExitStatus>> {
        let (args, way) = (&step.args, step.way);
        *self.counts.faults.entry(fault.word()).or_default() += 1;
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.fleet.command(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Fault::Point(point) = fault {
            command.env("SHARDCTL_STOP_AT", point);
        }
        let mut child = command.spawn().unwrap();
        let extra = self.disturb(&mut child, fault).await?;
        // It has its servers again before it is waited for.
        self.fleet.revive();
        if step.lasts && !self.comes_to_wait(&mut child).await? {
            if self.random.random_bool(0.5) {
                self.history
                    .push(format!("{args:?} with {fault:?} is left to wait\n{extra}"));
                self.dismiss().await?;
                self.waiting = Some((child, args.clone()));
                return Ok(None);
            }
            let way_out = [Signal::SIGINT, Signal::SIGKILL][self.random.random_range(0..2)];
            signal(&child, way_out);
        }
        let output = self.ended(child, args, fault).await?;
        self.dismiss().await?;
        self.fleet.revive();
        self.history.push(format!(
            "{args:?} with {fault:?}: {}\n{}{extra}",
            output.status,
            indented(&output.stderr)
        ));
        let killed = output.status.signal() == Some(Signal::SIGKILL as i32);
        if killed {
            self.counts.kills += 1;
            self.counts.tool_kills += 1;
        }
        if let Fault::Point(point) = fault {
            match killed {
                true => {
                    self.counts.points.insert((way, point));
                }
                false => *self.counts.missed.entry(point).or_default() += 1,
            }
        }
        let allowed: &[i32] = match fault {
            // A drain that took too long on a busy machine.
            Fault::Nothing | Fault::Point(_) | Fault::Kill(_) | Fault::CutWriters { .. } => &[0, 4],
            _ => &[0, 3, 4, 5],
        };
        // Taken back to before the fence, for something was in the way: tried again, and not a
        // difference between rows.
        let is_hindered = output.status.code() == Some(1)
            && String::from_utf8_lossy(&output.stdout).contains("not switched: ");
        match output.status.code() {
            Some(code) if !is_hindered && !allowed.contains(&code) => Err(format!(
                "{args:?} ended with {code} under {fault:?}\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
            _ => Ok(Some(output.status)),
        }
    }

    /// Whether the run has ended; `false` once it waits for a person.
    async fn comes_to_wait(&mut self, child: &mut Child) -> Checked<bool> {
        let until = Instant::now() + PATIENCE;
        loop {
            if child.try_wait().unwrap().is_some() {
                return Ok(true);
            }
            if let Some((_, phase, true)) = self.fleet.job().await
                && ["watch", "ready"].contains(&phase.as_str())
            {
                // Time for writes that flow back.
                let patience = self.usual.mul_f64(self.random.random_range(0.1..0.6));
                tokio::time::sleep(patience).await;
                return Ok(child.try_wait().unwrap().is_some());
            }
            if Instant::now() > until {
                signal(child, Signal::SIGKILL);
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The run that was left to wait has handed its job over, and ends.
    async fn dismiss(&mut self) -> Checked<()> {
        let Some((child, args)) = self.waiting.take() else {
            return Ok(());
        };
        let output = self.ended(child, &args, &Fault::Nothing).await?;
        self.history.push(format!(
            "{args:?}, left to wait: {}\n{}",
            output.status,
            indented(&output.stderr)
        ));
        match output.status.code() {
            Some(0 | 3 | 4 | 5) => Ok(()),
            _ => Err(format!("{args:?}, left to wait, ended with {}", output.status).into()),
        }
    }

    /// Does to a run what the fault says. What there is to tell of it.
    async fn disturb(&mut self, child: &mut Child, fault: &Fault) -> Checked<String> {
        let usual = self.usual;
        let moment = |after: &f64| tokio::time::sleep(usual.mul_f64(*after));
        let fleet = &self.fleet;
        match fault {
            Fault::Nothing | Fault::Point(_) => {}
            Fault::Kill(after) => {
                moment(after).await;
                let _ = child.kill();
            }
            Fault::Server {
                instance,
                after,
                down_ms,
            } => {
                moment(after).await;
                fleet
                    .sandbox
                    .kill(instance)
                    .unwrap_or_else(|error| panic!("{error}"));
                tokio::time::sleep(Duration::from_millis(*down_ms)).await;
                fleet
                    .sandbox
                    .start(instance)
                    .unwrap_or_else(|error| panic!("{error}"));
                self.counts.kills += 1;
                self.counts.server_kills += 1;
            }
            Fault::Both { instance, after } => {
                moment(after).await;
                let _ = child.kill();
                fleet
                    .sandbox
                    .kill(instance)
                    .unwrap_or_else(|error| panic!("{error}"));
                self.counts.kills += 1;
                self.counts.server_kills += 1;
            }
            Fault::Cut {
                instance,
                after,
                times,
            } => {
                for _ in 0..*times {
                    moment(&(after / f64::from(*times))).await;
                    self.counts.cut += fleet.cut(instance, fleet.sandbox.user()).await;
                }
            }
            Fault::CutWriters { instance, after } => {
                moment(after).await;
                fleet.cut(instance, "app").await;
            }
            Fault::Second { after } => {
                moment(after).await;
                return self.second(child).await;
            }
            Fault::Sleeper { after } => {
                moment(after).await;
                return self.sleeper(child).await;
            }
            Fault::Full {
                instance,
                after,
                ms,
            } => {
                moment(after).await;
                fleet.fill(instance);
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                fleet.relieve(instance);
            }
            Fault::Signal { after } => {
                moment(after).await;
                signal(child, Signal::SIGINT);
            }
        }
        Ok(String::new())
    }

    /// Another operator, who has to be refused and told who is there while the first one runs.
    async fn second(&mut self, child: &mut Child) -> Checked<String> {
        let Some((id, _, true)) = self.fleet.job().await else {
            return Ok(String::new());
        };
        let output = output(self.fleet.command(&["job", "resume", &id, "--no-watch"])).await?;
        let told = String::from_utf8_lossy(&output.stderr);
        let holder = format!("process {}", child.id());
        if output.status.code() == Some(4) && told.contains("owns the cluster") {
            if !told.contains(&holder) {
                return Err(format!("a second operator is not told of {holder}:\n{told}").into());
            }
            self.counts.refused_operators += 1;
            return Ok(format!("    the second was refused by {holder}\n"));
        }
        // Let in only where the first had given its lease back.
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        match child.try_wait().unwrap() {
            Some(_) => Ok(format!(
                "    the second came after the first: {}\n",
                output.status
            )),
            None => Err(format!(
                "two operators run: the second ended with {}\n{told}",
                output.status
            )
            .into()),
        }
    }

    /// The process sleeps past its lease; its connections are gone when it wakes up.
    async fn sleeper(&mut self, child: &mut Child) -> Checked<String> {
        signal(child, Signal::SIGSTOP);
        let mut told = String::new();
        if let Some((id, _, true)) = self.fleet.job().await {
            let mut conn = self.fleet.conn(CONTROL).await;
            let sql = "UPDATE _shardctl.lease SET expires = CURRENT_TIMESTAMP(6) - INTERVAL 1 SECOND \
                       WHERE holder <> ''";
            conn.query_drop(sql).await.unwrap();
            for name in INSTANCES {
                self.counts.cut += self.fleet.cut(name, self.fleet.sandbox.user()).await;
            }
            let mut other = self.fleet.command(&["job", "resume", &id, "--no-watch"]);
            let mut other = other
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // It wakes up while the other one works, or behind it.
            let patience = self.usual.mul_f64(self.random.random_range(0.0..1.2));
            let until = Instant::now() + patience;
            while other.try_wait().unwrap().is_none() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            signal(child, Signal::SIGCONT);
            let ended = self
                .ended(other, &["the other".to_owned()], &Fault::Nothing)
                .await?;
            if !matches!(ended.status.code(), Some(0 | 3 | 4)) {
                return Err(format!(
                    "who took over ended with {}\n{}",
                    ended.status,
                    indented(&ended.stderr)
                )
                .into());
            }
            told = format!(
                "    who took over: {}\n{}",
                ended.status,
                indented(&ended.stderr)
            );
        }
        signal(child, Signal::SIGCONT);
        Ok(told)
    }

    /// Waits for the end of a run; one that never ends is something to tell.
    async fn ended(&self, mut child: Child, args: &[String], fault: &Fault) -> Checked<Output> {
        let pid = Pid::from_raw(child.id() as i32);
        let until = Instant::now() + PATIENCE;
        let wait = tokio::task::spawn_blocking(move || {
            // What is asked is answered with no: nobody is there.
            drop(child.stdin.take());
            child.wait_with_output().unwrap()
        });
        tokio::pin!(wait);
        match tokio::time::timeout_at(until.into(), &mut wait).await {
            Ok(output) => Ok(output.unwrap()),
            Err(_) => {
                let at_it = self.fleet.connections().await;
                let _ = kill(pid, Signal::SIGKILL);
                let output = wait.await.unwrap();
                Err(format!(
                    "{args:?} under {fault:?} hangs since {} s\n{}{at_it}",
                    PATIENCE.as_secs(),
                    indented(&output.stderr)
                )
                .into())
            }
        }
    }

    /// The tool's own look at every row.
    fn audit(&mut self) -> Checked<()> {
        let output = self.fleet.command(&["verify"]).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "`shardctl verify` says {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }

    /// Prints what came of the run; whether all is well.
    fn tell(&self, seed: u64, wrong: Option<Wrong>, took: Duration) -> bool {
        let counts = &self.counts;
        let none = Findings::default();
        let findings = wrong.as_ref().map_or(&none, |wrong| &wrong.findings);
        let jobs: Vec<String> = counts
            .jobs
            .iter()
            .map(|(phase, count)| format!("{count} {phase}"))
            .collect();
        let faults: Vec<String> = counts
            .faults
            .iter()
            .map(|(word, count)| format!("{word} {count}"))
            .collect();
        let missed: Vec<String> = counts
            .missed
            .iter()
            .map(|(point, count)| format!("{point} ({count})"))
            .collect();
        println!(
            "chaos on {} {}: seed {seed}, {} kills ({} of the tool, {} of servers) in {:.0} s, {:.0} a minute\n  \
             jobs: {}\n  faults: {}\n  pause points killed at: {}; not reached: {}\n  \
             connections of the tool cut: {}; second operators refused: {}\n  \
             writes acknowledged: {}; in doubt {}, of which {} were committed; refused {}, for {} ms at most\n  \
             rows compared: {}\n  losses: {}, doubles: {}, misplaced: {}",
            self.fleet.engine,
            self.fleet.sandbox.version(),
            counts.kills,
            counts.tool_kills,
            counts.server_kills,
            took.as_secs_f64(),
            counts.kills as f64 * 60.0 / took.as_secs_f64(),
            jobs.join(", "),
            faults.join(", "),
            counts.points.len(),
            if missed.is_empty() {
                "none".to_owned()
            } else {
                missed.join(", ")
            },
            counts.cut,
            counts.refused_operators,
            self.record.acknowledged,
            self.stats.in_doubt,
            self.record.seen,
            self.stats.refused,
            self.stats.longest_refusal_ms,
            counts.compared,
            findings.losses.len(),
            findings.doubles.len(),
            findings.misplaced.len(),
        );
        let Some(wrong) = &wrong else {
            let _ = std::io::stdout().flush();
            return true;
        };
        println!("FAILED: {}", wrong.what);
        for (word, list) in [
            ("lost", &findings.losses),
            ("double", &findings.doubles),
            ("misplaced", &findings.misplaced),
        ] {
            for line in list.iter().take(10) {
                println!("  {word}: {line}");
            }
        }
        println!("the job's history:");
        for line in &self.history {
            println!("  {line}");
        }
        let _ = std::io::stdout().flush();
        false
    }
}

fn signal(child: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(child.id() as i32), signal);
}

async fn output(mut command: std::process::Command) -> Checked<Output> {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .map_err(|error| error.to_string().into())
}

fn indented(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().map(|line| format!("      {line}\n")).collect()
}
