//! `shardctl plan`.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

pub(super) use super::plan_file::write_atomically;
use super::plan_file::{file_text, refuse_existing, write};
use super::plan_from::{self, FromArgs};
use super::plan_sample::{self, SampleArgs};
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::report::measured::PlanParts;
use crate::report::plan::{PlanReport, TableRow};
use crate::report::plan_page::page;
use crate::report::skew::SkewReport;
use crate::schema::TableDef;
use crate::schema::script::create_tables;
use crate::schema::size::{GUESS, Pages, RANDOM_FILL, Unknown, row_size};
use crate::topology::file::parse;
use crate::topology::plan::amount::{
    Growth, Percent, Period, TableShare, Yearly, day, headroom, whole,
};
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::plan::{
    Estimate, Estimates, KnownTable, PageFill, Plan, parse_estimates, plan,
};
use crate::topology::{Spread, Topology};

/// Plan a topology from capacity estimates
///
/// Shows layouts side by side, when each is full and what its next split costs, and recommends
/// one. Counts are written 40M, 5_000_000 or 1.5B, sizes 500G or 1.5TiB. Nothing is
/// connected to but for --from and --sample.
///
/// The estimates are for one table that stands for all, or for each by name: --table member=1
/// --table member_address=1.4 are rows for each row of the entity that --rows-per-year is of, and
/// --table orders=40M are rows a year of its own. The same can stand in a file (--estimates): its
/// keys are the flags' names, the limits under `limits:` without their `max`; a flag counts before
/// the file.
///
/// The exit code is 1 where no layout lasts as long as is asked for, and 3 where some of what --from
/// names could not be measured.
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// Rows that come in the first year; of several years one after another: 40M,60M,90M
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true)]
    rows_per_year: Option<Yearly>,
    /// A table's rows for each of --rows-per-year (member_address=1.4), or its own a year
    /// (orders=40M); can be repeated
    #[arg(long = "table", value_name = "NAME=RATIO", allow_hyphen_values = true)]
    table: Vec<TableShare>,
    /// How many more rows each further year brings: 20%, or +8M [default: 0]
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    growth: Option<Growth>,
    /// Rows that are there already [default: 0]
    #[arg(
        long,
        value_name = "ROWS",
        alias = "existing-rows",
        allow_hyphen_values = true
    )]
    start_rows: Option<Count>,
    /// How long rows are kept: 3y, 90d [default: for ever]
    #[arg(long, value_name = "PERIOD", allow_hyphen_values = true)]
    retention: Option<Period>,
    /// How far to plan ahead: 5, 5y or 60mo [default: 2]
    #[arg(
        long,
        value_name = "PERIOD",
        visible_alias = "horizon",
        allow_hyphen_values = true
    )]
    years: Option<Period>,
    /// Day the first year starts [default: today]
    #[arg(long, value_name = "DATE", value_parser = day, allow_hyphen_values = true)]
    start: Option<Date>,
    /// Read estimates from this file; flags count before it
    #[arg(long, value_name = "FILE")]
    estimates: Option<PathBuf>,
    /// Tables of this topology or SQL file: bytes of their rows by their DDL; --write keeps a
    /// topology's cluster, instances and tables [default: the file of -t, where that is said
    /// without --from]
    #[arg(long, value_name = "FILE")]
    tables: Option<PathBuf>,
    /// Bytes of a row with its share of the indexes
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    row_bytes: Option<Size>,
    /// How full pages are, for bytes by the DDL: 50 worst, 69 keys in random order, 94 rebuilt
    /// [default: 69]
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    page_fill: Option<PageFill>,
    /// Servers to start with [default: 2]
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    instances: Option<u32>,
    /// Schemas in all [default: eight to an instance, and its doubles]
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    schemas: Option<u32>,
    /// Rows that a physical table should not pass [default: 5M]
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true)]
    max_rows_per_table: Option<Count>,
    /// Bytes that a physical table should not pass, with its indexes
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_bytes_per_table: Option<Size>,
    /// Disk of each instance for data and indexes
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    disk_per_instance: Option<Size>,
    /// Schemas that an instance should not pass
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    max_schemas_per_instance: Option<u32>,
    /// Physical tables that an instance should not pass
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_tables_per_instance: Option<Count>,
    /// Share of rows, bytes and disk that is to stay free [default: 0]
    #[arg(long, value_name = "PERCENT", value_parser = headroom, allow_hyphen_values = true)]
    headroom: Option<Percent>,
    /// Bytes that a split or move copies in a second [default: 50M]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    move_rate: Option<Size>,
    /// Records that a user has in the largest table [default: 3 where no table is named]
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    records_per_user: Option<u32>,
    /// Write the recommended layout as a topology file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Write the plan as a page for a browser or a printer
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// With --write and --report: replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    live: FromArgs,
    #[command(flatten)]
    sample: SampleArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// The estimates make no sense, a file cannot be read or written, or what is to be measured cannot
/// be.
pub async fn run(cx: &mut Context, args: PlanArgs) -> Result<Outcome> {
    // What can fail early fails before anything is read.
    cx.out.can_show()?;
    for path in args.write.iter().chain(&args.report) {
        refuse_existing(path, args.force)?;
    }
    let estimates = match &args.estimates {
        Some(path) => given(&args).or(read_estimates(path)?),
        None => given(&args),
    };
    let live = plan_from::measure(cx, &args.live, estimates.start).await?;
    let estimates = match &live {
        Some(live) => plan_from::estimates(cx, live, estimates)?,
        None if args.sample.is_alone(&estimates) => {
            return plan_sample::run(cx, &args.sample, args.row_bytes).await;
        }
        None => estimates,
    };
    // A topology that was named for nothing else is that of the tables.
    let named = cx.global.topology_is_named && !args.live.is_asked();
    let tables = args
        .tables
        .as_deref()
        .or(named.then_some(cx.global.topology.as_path()));
    let from = tables.map(read_tables).transpose()?;
    let fill = estimates.page_fill.unwrap_or(RANDOM_FILL);
    let rows: Vec<TableRow> = from.as_ref().map_or_else(Vec::new, |from| from.rows(fill));
    let known = from
        .as_ref()
        .map_or_else(Vec::new, |from| from.known(&rows));
    let today = jiff::ZonedDateTime::now().date();
    let estimate = estimates.resolve(&known, today).map_err(|fault| {
        let advice = fault.advice();
        no_plan(&fault).next(advice)
    })?;
    let made = plan(&estimate).map_err(|fault| no_plan(&fault).next(fault.advice()))?;
    let report = PlanReport {
        beside: beside(&estimate),
        assumptions: assumptions(&estimates, &rows, fill),
        rows,
        plan: made,
    };
    let layouts = report.plan.candidates.iter();
    let layouts: Vec<_> = layouts
        .map(|one| (one.schemas, one.tables_per_schema))
        .collect();
    let skew = plan_sample::sample(cx, &args.sample, &layouts, estimates.row_bytes).await?;
    let outcome = match report.plan.best().lasts {
        true => plan_sample::outcome(skew.as_ref()),
        false => Outcome::No,
    };
    // A file of a part of the fleet would be taken for one of all of it.
    let missing = live.as_ref().and_then(|live| {
        plan_from::incomplete(
            live,
            "the plan takes what is missing to be as full as the rest; no file was written",
        )
    });
    let written = match missing {
        Some(_) => Vec::new(),
        None => write_files(&args, from, &report, skew.as_ref())?,
    };
    cx.out.show(&PlanParts {
        measured: live,
        plan: Some(report),
        skew,
    })?;
    for note in written {
        cx.note(&note);
    }
    match missing {
        Some(missing) => Err(missing),
        None => Ok(outcome),
    }
}

fn no_plan(fault: &dyn std::fmt::Display) -> Error {
    Error::usage("no plan can be made").cause(fault)
}

/// Two years are the published rule's horizon; beside two, five show what comes. Beside the plan
/// asked for, not in its way: it may start too close to the calendar's end.
fn beside(estimate: &Estimate) -> Option<Box<Plan>> {
    let years = if estimate.horizon.is_years(2) { 5 } else { 2 };
    let other = Estimate {
        horizon: Period::years(years).ok()?,
        ..estimate.clone()
    };
    plan(&other).ok().map(Box::new)
}

fn assumptions(estimates: &Estimates, rows: &[TableRow], fill: u8) -> Vec<String> {
    let mut assumptions = Vec::new();
    if !rows.is_empty() && estimates.tables.is_empty() {
        assumptions.push(
            "each table is taken to have as many rows as the largest; --table NAME=RATIO says \
             otherwise"
                .to_owned(),
        );
    }
    if !rows.is_empty() && estimates.row_bytes.is_none() {
        assumptions.push(format!(
            "bytes are by the DDL, pages taken as {fill} % full; {GUESS}"
        ));
    }
    assumptions
}

/// The files that were asked for; tells of each.
fn write_files(
    args: &PlanArgs,
    from: Option<Known>,
    report: &PlanReport,
    skew: Option<&SkewReport>,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if let Some(path) = &args.write {
        let topology = match from {
            Some(Known::Topology(topology)) => Some(*topology),
            Some(Known::Script(_)) => {
                notes.push(format!(
                    "{} has no tables: the SQL file does not say what they are split by",
                    path.display()
                ));
                None
            }
            None => None,
        };
        write(path, args.force, &file_text(topology, &report.plan)?)?;
        notes.push(format!("wrote {}", path.display()));
    }
    if let Some(path) = &args.report {
        let bars = skew.map_or_else(Vec::new, SkewReport::bars);
        let warnings = skew.map_or(&[][..], SkewReport::warnings);
        write(path, args.force, &page(report, &bars, warnings))?;
        notes.push(format!("wrote {}", path.display()));
    }
    Ok(notes)
}

/// What the flags say.
fn given(args: &PlanArgs) -> Estimates {
    let mut given = Estimates {
        start: args.start,
        horizon: args.years,
        instances: args.instances,
        schemas: args.schemas,
        rows_per_year: args.rows_per_year.clone(),
        start_rows: args.start_rows.map(|rows| rows.0),
        growth: args.growth,
        retention: args.retention,
        row_bytes: args.row_bytes.map(|size| size.0),
        records_per_user: args.records_per_user,
        move_rate: args.move_rate.map(|size| size.0),
        page_fill: args.page_fill.map(|fill| fill.0),
        rows_per_table: args.max_rows_per_table.map(|rows| rows.0),
        bytes_per_table: args.max_bytes_per_table.map(|size| size.0),
        disk_per_instance: args.disk_per_instance.map(|size| size.0),
        schemas_per_instance: args.max_schemas_per_instance,
        tables_per_instance: args.max_tables_per_instance.map(|tables| tables.0),
        headroom: args.headroom,
        ..Estimates::default()
    };
    for share in &args.table {
        given.add_share(share.clone());
    }
    given
}

/// Where the tables' definitions come from.
enum Known {
    Topology(Box<Topology>),
    Script(Vec<TableDef>),
}

impl Known {
    /// The definitions of the tables that are split, by name, and what else is known of them.
    fn definitions(&self) -> Vec<(&TableDef, KnownTable)> {
        let known = |name: &crate::names::TableName, spread: Option<&Spread>| KnownTable {
            name: name.clone(),
            index_of: match spread {
                Some(Spread::IndexTable { base, .. }) => Some(base.clone()),
                _ => None,
            },
            broadcast: matches!(spread, Some(Spread::Broadcast)),
            row_bytes: 0,
            record_bytes: 0,
        };
        match self {
            Known::Topology(topology) => topology
                .tables
                .values()
                .map(|table| (&table.def, known(&table.name, Some(&table.spread))))
                .collect(),
            Known::Script(tables) => tables
                .iter()
                .map(|table| (table, known(&table.name, None)))
                .collect(),
        }
    }

    /// What a row of each split table takes, by its definition.
    fn rows(&self, fill: u8) -> Vec<TableRow> {
        self.definitions()
            .into_iter()
            .filter(|(_, known)| !known.broadcast)
            .map(|(def, known)| {
                let size = |pages| row_size(def, &Unknown, pages);
                let full = size(Pages::Full);
                TableRow {
                    table: known.name,
                    record_bytes: full.record.ceil() as u64,
                    disk_bytes: size(Pages::Percent(fill)).total(),
                    full_pages_bytes: full.total(),
                    half_full_pages_bytes: size(Pages::Half).total(),
                }
            })
            .collect()
    }

    fn known(&self, rows: &[TableRow]) -> Vec<KnownTable> {
        self.definitions()
            .into_iter()
            .map(|(_, mut known)| {
                if let Some(row) = rows.iter().find(|row| row.table == known.name) {
                    (known.row_bytes, known.record_bytes) = (row.disk_bytes, row.record_bytes);
                }
                known
            })
            .collect()
    }
}

fn read_text(what: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|cause| {
        Error::usage(format!("could not read the {what}"))
            .at(path.display().to_string())
            .cause(cause)
            .next("name a file that is there and can be read")
    })
}

fn read_estimates(path: &Path) -> Result<Estimates> {
    let text = read_text("file of estimates", path)?;
    parse_estimates(&text).map_err(|problems| {
        problems.into_error_of("file of estimates", &path.display().to_string(), &text)
    })
}

/// A topology, or the `CREATE TABLE` statements of an SQL file, by its ending.
fn read_tables(path: &Path) -> Result<Known> {
    let is_sql = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("sql"));
    if !is_sql {
        let text = read_text("topology file", path)?;
        return match parse(&text) {
            Ok(topology) => Ok(Known::Topology(Box::new(topology))),
            Err(problems) => Err(problems.into_error(&path.display().to_string(), &text)),
        };
    }
    let text = read_text("SQL file", path)?;
    let tables = create_tables(&text).map_err(|fault| {
        Error::usage("a table's definition cannot be read")
            .at(format!(
                "{}:{}:{}",
                path.display(),
                fault.line,
                fault.column
            ))
            .cause(fault.message)
            .next("write it as SHOW CREATE TABLE prints it, or leave it out")
    })?;
    if tables.is_empty() {
        return Err(Error::usage("there is no CREATE TABLE in the file")
            .at(path.display().to_string())
            .next("take a dump of the definitions: mysqldump --no-data SCHEMA"));
    }
    for (index, table) in tables.iter().enumerate() {
        if tables[..index]
            .iter()
            .any(|before| before.name == table.name)
        {
            return Err(Error::usage(format!("`{}` is there twice", table.name))
                .at(path.display().to_string())
                .next("leave one of them"));
        }
    }
    Ok(Known::Script(tables))
}
