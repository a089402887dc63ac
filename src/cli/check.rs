//! `shardctl check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::plan::write_atomically;
use super::{Context, Outcome, parse_topology, topology_text};
use crate::error::{Class, Error, Result};
use crate::mysql::Servers;
use crate::report::Format;
use crate::report::check::annotations::{Format as Annotations, annotations};
use crate::report::check::junit::junit;
use crate::report::check::{Case, Check, CheckReport, CheckRun, Finding, Level};
use crate::run::check::{CONNECTIONS_MAX, Checked, History, Options, check, file_run, routing_run};
use crate::topology::Topology;
use crate::topology::capacity::{Horizon, Limits, Stated, Thresholds};
use crate::topology::file::Problems;
use crate::topology::file::places::{LineColumn, places};
use crate::topology::plan::quantity::{Count, Size};

/// Check the file, the servers and the capacity: a gate for CI
///
/// The file is always checked, and everything wrong in it is reported at once. --routing looks for
/// what is legal in it and bites all the same, and needs no server either. --live asks the servers
/// for their state, --drift compares every schema and table with the file, --capacity measures rows
/// and bytes and says which shard is full first and when. Without any of the four all of them run.
/// A server that cannot be reached or read is reported with exit code 3, and the rest is checked
/// all the same.
///
/// Growth is the difference between two measurements, which are kept on the control instance or in
/// a file; until there are two, a day apart, it is unknown, or as --rows-per-year says.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Measure rows and bytes: what is full first, and when
    #[arg(long)]
    capacity: bool,
    /// Compare every schema and table with the file
    #[arg(long)]
    drift: bool,
    /// Look for routing traps in the file; needs no server
    #[arg(long)]
    routing: bool,
    /// Look at the servers' state: shard map, jobs, settings that differ, keys that leave shards empty
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    capacity_args: CapacityArgs,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "For CI")]
    junit: Option<PathBuf>,
    /// Mark the findings in the topology file, as this CI system shows them
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "For CI")]
    annotations: Option<Annotations>,
    /// Write the annotations to this file; gitlab and sarif need it, github and azure read stdout
    #[arg(
        long,
        value_name = "FILE",
        requires = "annotations",
        help_heading = "For CI"
    )]
    annotations_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Capacity")]
struct CapacityArgs {
    /// Count the rows instead of taking the servers' estimates
    #[arg(long)]
    exact: bool,
    /// How long the capacity must hold: 12mo, 2y, 6w or 90d [default: the file's, or 12mo]
    #[arg(long, value_name = "TIME")]
    horizon: Option<Horizon>,
    /// What is full sooner is warned of [default: the horizon]
    #[arg(long, value_name = "TIME")]
    warn: Option<Horizon>,
    /// What is full sooner is a failure [default: the horizon]
    #[arg(long, value_name = "TIME")]
    fail: Option<Horizon>,
    /// Rows that a physical table should not pass [default: the file's, or 5M]
    #[arg(long, value_name = "ROWS")]
    max_rows_per_table: Option<Count>,
    /// Bytes that the schemas of an instance should not pass [default: the file's, or any]
    #[arg(long, value_name = "SIZE")]
    max_bytes_per_instance: Option<Size>,
    /// Growth where it was not measured: rows a year of all sharded tables, or of one (can be
    /// repeated)
    #[arg(long, value_name = "[TABLE=]ROWS")]
    rows_per_year: Vec<Stated>,
    /// Keep measurements in this file of JSON lines, not on the control instance
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Do not keep this measurement
    #[arg(long)]
    no_record: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// The arguments are wrong, or the file is: then it is in the report as well. What could not be
/// reached or read is in the report, and makes the exit code 3.
pub async fn run(cx: &mut Context, args: CheckArgs) -> Result<Outcome> {
    let started = Instant::now();
    let checks = checks(&args);
    let flags = thresholds(&args.capacity_args)?;
    outputs(cx, &args)?;
    let text = topology_text(&cx.global.topology)?;
    let path = cx.global.topology.display().to_string();
    let topology = match parse_topology(&text) {
        Ok(topology) => topology,
        Err(problems) => {
            let report = bad_file(&path, &problems, started);
            // A person reads them in the error, each with its line.
            if cx.out.format == Format::Json {
                cx.out.show(&report)?;
            }
            publish(cx, &args, &report)?;
            return Err(problems.into_error(&path, &text));
        }
    };
    let limits = limits(&flags, &topology.check)?;
    stated(&args.capacity_args.rows_per_year, &topology)?;
    let places = places(&text);
    let mut runs = vec![file_run(&topology, &path, started)];
    if checks.contains(&Check::Routing) {
        runs.push(routing_run(&topology, &places));
    }
    let mut failed = Vec::new();
    let mut checked = Checked::default();
    let asks_servers = [Check::Live, Check::Drift, Check::Capacity]
        .iter()
        .any(|check| checks.contains(check));
    if asks_servers {
        let topology = cx.at_sandbox(topology.clone())?;
        let credentials = cx.credentials()?;
        let servers;
        (servers, failed) =
            Servers::try_connect(&topology.instances, &credentials, CONNECTIONS_MAX).await;
        let options = Options {
            checks,
            exact: args.capacity_args.exact,
            limits,
            stated: args.capacity_args.rows_per_year.clone(),
            history: match &args.capacity_args.history {
                Some(path) => History::File(path.clone()),
                None => History::Control,
            },
            keeps: !args.capacity_args.no_record,
            now: jiff::Timestamp::now(),
        };
        let answer = check(&topology, &places, &servers, &failed, &options).await;
        servers.disconnect().await;
        checked = answer?;
    }
    runs.extend(checked.runs);
    let mut report = CheckReport {
        cluster: topology.cluster.clone(),
        topology: path,
        exit_code: 0,
        checks: runs,
        not_reached: failed.iter().map(|(name, _)| name.to_string()).collect(),
        capacity: checked.capacity,
        shows_notes: cx.global.verbose > 0,
    };
    report.exit_code = match report.level() {
        Level::Error => Class::Server.code(),
        Level::Failure => Class::No.code(),
        Level::Ok | Level::Note | Level::Warning => 0,
    };
    cx.out.show(&report)?;
    publish(cx, &args, &report)?;
    match report.level() {
        Level::Error => Err(incomplete(&report)),
        Level::Failure => Ok(Outcome::No),
        Level::Ok | Level::Note | Level::Warning => Ok(Outcome::Clean),
    }
}

/// The error of a check that could not look at everything.
fn incomplete(report: &CheckReport) -> Error {
    let what = match report.not_reached.as_slice() {
        [] => "some of the fleet could not be looked at".to_owned(),
        [one] => format!("instance {one} was not reached"),
        several => format!("instances {} were not reached", several.join(", ")),
    };
    let failures = report
        .findings()
        .filter(|(_, finding)| finding.level == Level::Failure)
        .count();
    let rest = match failures {
        0 => "the rest was checked, and has no failure".to_owned(),
        1 => "the rest was checked, and has 1 failure".to_owned(),
        n => format!("the rest was checked, and has {n} failures"),
    };
    Error::server(what).now(rest)
}

fn checks(args: &CheckArgs) -> BTreeSet<Check> {
    let asked: BTreeSet<Check> = [
        (args.routing, Check::Routing),
        (args.live, Check::Live),
        (args.drift, Check::Drift),
        (args.capacity, Check::Capacity),
    ]
    .into_iter()
    .filter_map(|(asked, check)| asked.then_some(check))
    .collect();
    if asked.is_empty() {
        return BTreeSet::from([Check::Routing, Check::Live, Check::Drift, Check::Capacity]);
    }
    asked
}

/// What the flags say of the limits.
fn thresholds(args: &CapacityArgs) -> Result<Thresholds> {
    if args.max_rows_per_table.is_some_and(|rows| rows.0 == 0) {
        return Err(Error::usage(
            "a table must hold at least one row: --max-rows-per-table is 0",
        ));
    }
    if args.max_bytes_per_instance.is_some_and(|size| size.0 == 0) {
        return Err(Error::usage(
            "an instance must hold something: --max-bytes-per-instance is 0",
        ));
    }
    Ok(Thresholds {
        horizon: args.horizon,
        warn: args.warn,
        fail: args.fail,
        rows_per_table: args.max_rows_per_table.map(|rows| rows.0),
        bytes_per_instance: args.max_bytes_per_instance.map(|size| size.0),
    })
}

/// The limits of the flags, and of the file what they do not say.
fn limits(flags: &Thresholds, file: &Thresholds) -> Result<Limits> {
    flags.clone().or(file).limits().map_err(|fault| {
        let named = |name: &str, flag: Option<Horizon>, time: Horizon| match flag {
            Some(_) => format!("--{name} {time}"),
            None => format!("{name} {time}"),
        };
        Error::usage(format!(
            "{} is sooner than {}: nothing would ever be warned of",
            named("warn", flags.warn, fault.warn),
            named("fail", flags.fail, fault.fail),
        ))
        .next("give --warn the longer time")
    })
}

/// Growth is stated of tables that there are, and of all the others once.
fn stated(stated: &[Stated], topology: &Topology) -> Result<()> {
    let mut seen = BTreeSet::new();
    for said in stated {
        if let Some(name) = &said.table
            && !topology.tables.contains_key(name)
        {
            let names: Vec<String> = topology.tables.keys().map(ToString::to_string).collect();
            return Err(
                Error::usage(format!("--rows-per-year: there is no table `{name}`"))
                    .next(format!("there are: {}", names.join(", "))),
            );
        }
        if !seen.insert(&said.table) {
            let of = match &said.table {
                Some(name) => format!("of `{name}`"),
                None => "of all tables".to_owned(),
            };
            return Err(Error::usage(format!("--rows-per-year is said twice {of}")));
        }
    }
    Ok(())
}

/// What cannot be written is said before the long work.
fn outputs(cx: &Context, args: &CheckArgs) -> Result<()> {
    cx.out.can_show()?;
    let format = args.annotations;
    if format.is_some_and(Annotations::is_file) && args.annotations_file.is_none() {
        return Err(
            Error::usage("annotations of this format are a file of their own")
                .next("name it with --annotations-file FILE"),
        );
    }
    if format.is_some() && args.annotations_file.is_none() && cx.out.format == Format::Json {
        return Err(
            Error::usage("annotations would stand between the lines of the JSON")
                .next("name a file with --annotations-file FILE, or take --output table"),
        );
    }
    for path in [&args.junit, &args.annotations_file].into_iter().flatten() {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::usage("there is no folder to write the results into")
                .at(path.display().to_string()));
        }
    }
    Ok(())
}

fn publish(cx: &Context, args: &CheckArgs, report: &CheckReport) -> Result<()> {
    if let Some(path) = &args.junit {
        write_atomically(path, &junit(report))?;
    }
    let Some(format) = args.annotations else {
        return Ok(());
    };
    let text = annotations(report, format);
    match &args.annotations_file {
        Some(path) => write_atomically(path, &text),
        None if text.is_empty() => Ok(()),
        None => cx.out.line(text.trim_end()),
    }
}

fn bad_file(path: &str, problems: &Problems, started: Instant) -> CheckReport {
    let mut case = Case::new(path);
    for problem in problems.iter() {
        let at = (problem.line > 0).then_some(LineColumn {
            line: problem.line,
            column: problem.column,
        });
        case.findings.push(Finding {
            at,
            ..Finding::new("bad_file", Level::Failure, problem.message.as_str())
        });
    }
    let summary = match case.findings.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    CheckReport {
        cluster: String::new(),
        topology: path.to_owned(),
        exit_code: Class::Usage.code(),
        checks: vec![CheckRun::new(Check::File, summary, took_ms, vec![case])],
        not_reached: Vec::new(),
        capacity: None,
        shows_notes: true,
    }
}
