//! `shardctl plan`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::civil::Date;

use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::names::{InstanceName, NamePattern, SchemaName, TableName};
use crate::report::plan::PlanReport;
use crate::topology::file::{parse, render};
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::plan::{Candidate, Estimate, plan};
use crate::topology::{Endpoint, LogicalTable, Schema, Spread, Topology};

/// Plan a topology from capacity estimates
///
/// Shows layouts side by side, when each is full, and recommends one. Counts are written 40M,
/// 5_000_000 or 1.5B. Nothing is connected to.
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// Rows that the largest table gets in the first year
    #[arg(long, value_name = "ROWS")]
    rows_per_year: Count,
    /// Years to plan for
    #[arg(long, value_name = "YEARS", default_value_t = 2)]
    years: u32,
    /// Rows that a physical table should not pass
    #[arg(long, value_name = "ROWS", default_value = "5M")]
    max_rows_per_table: Count,
    /// Servers to start with
    #[arg(long, value_name = "N", default_value_t = 2)]
    instances: u32,
    /// Schemas in all [default: eight to an instance, and its doubles]
    #[arg(long, value_name = "N")]
    schemas: Option<u32>,
    /// Rows that are there already
    #[arg(long, value_name = "ROWS", default_value = "0")]
    existing_rows: Count,
    /// By how many percent each year brings more rows than the one before
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent, allow_hyphen_values = true)]
    growth: u32,
    /// Bytes of a row with its share of the indexes
    #[arg(long, value_name = "SIZE")]
    row_bytes: Option<Size>,
    /// Disk of each instance for data and indexes
    #[arg(long, value_name = "SIZE", requires = "row_bytes")]
    disk_per_instance: Option<Size>,
    /// Records that a user has in the largest table
    #[arg(long, value_name = "N", default_value_t = 3)]
    records_per_user: u32,
    /// Day the first year starts [default: today]
    #[arg(long, value_name = "DATE")]
    start: Option<Date>,
    /// Write the recommended layout as a topology file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// With --write: take cluster, instances and tables from this topology file
    #[arg(long, value_name = "FILE", requires = "write")]
    tables: Option<PathBuf>,
    /// With --write: replace the file if it is there
    #[arg(long, requires = "write")]
    force: bool,
}

/// `20`, `20%` or `7.5%` as hundredths of a percent.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.trim().trim_end_matches('%').trim();
    if number.starts_with('-') {
        return Err("rows that become fewer need no plan; growth is 0 or more".to_owned());
    }
    let value: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a percentage; write 20 or 7.5%"))?;
    if !value.is_finite() || value > 10_000.0 {
        return Err(format!(
            "`{text}` is not a growth that can be planned; at most 10000 %"
        ));
    }
    Ok((value * 100.0).round() as u32)
}

/// Runs the subcommand.
///
/// # Errors
/// The estimates make no sense, or the file cannot be written.
pub async fn run(cx: &mut Context, args: PlanArgs) -> Result<Outcome> {
    let estimate = Estimate {
        rows_per_year: args.rows_per_year.0,
        existing_rows: args.existing_rows.0,
        growth_basis_points: args.growth,
        years: args.years,
        rows_per_table_max: args.max_rows_per_table.0,
        instances: args.instances,
        schemas: args.schemas,
        row_bytes: args.row_bytes.map(|size| size.0),
        disk_per_instance: args.disk_per_instance.map(|size| size.0),
        records_per_user: args.records_per_user,
        start: args
            .start
            .unwrap_or_else(|| jiff::ZonedDateTime::now().date()),
    };
    let failed = |fault| Error::usage("no plan can be made").cause(fault);
    let made = plan(&estimate).map_err(failed)?;
    let two_years = match args.years {
        2 => None,
        _ => {
            let two = Estimate {
                years: 2,
                ..estimate.clone()
            };
            Some(Box::new(plan(&two).map_err(failed)?))
        }
    };
    // What can fail early fails before anything is printed.
    let written = args
        .write
        .as_deref()
        .map(|path| write(path, &args, made.best()))
        .transpose()?;
    cx.out.show(&PlanReport {
        plan: made,
        two_years,
    })?;
    if let (Some(()), Some(path)) = (written, &args.write) {
        cx.note(&format!("wrote {}", path.display()));
    }
    Ok(Outcome::Clean)
}

fn write(path: &Path, args: &PlanArgs, layout: &Candidate) -> Result<()> {
    if path.exists() && !args.force {
        return Err(Error::usage("the file is there already")
            .at(path.display().to_string())
            .now("nothing was written")
            .next("say --force to replace it"));
    }
    let from = args.tables.as_deref().map(read).transpose()?;
    let topology = topology(from, args.instances, layout)?;
    let text = render(&topology);
    // What is written must read back.
    parse(&text).map_err(|problems| {
        Error::usage("the layout does not fit the tables")
            .at(problems.to_string())
            .now("nothing was written")
    })?;
    write_atomically(path, &text)
}

fn read(path: &Path) -> Result<Topology> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Error::usage("could not read the topology file")
            .at(path.display().to_string())
            .cause(cause)
    })?;
    parse(&text).map_err(|problems| problems.into_error(&path.display().to_string(), &text))
}

/// A file appears whole or not at all.
pub(super) fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |cause: &dyn std::fmt::Display| {
        Error::usage("could not write the file")
            .at(path.display().to_string())
            .cause(cause)
    };
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(|cause| failed(&cause))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|cause| failed(&cause))?;
    file.persist(path).map_err(|cause| failed(&cause.error))?;
    Ok(())
}

/// The layout with the tables of a topology, or with none.
fn topology(from: Option<Topology>, instances: u32, layout: &Candidate) -> Result<Topology> {
    let bad = |fault: &dyn std::fmt::Display| Error::usage("a name cannot be made").cause(fault);
    let names: Vec<InstanceName> = (1..=instances)
        .map(|number| InstanceName::new(format!("rds-{number}")).map_err(|fault| bad(&fault)))
        .collect::<Result<_>>()?;
    let placeholder = |number: usize| Endpoint::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 3306 + number as u16,
    };
    let endpoints: IndexMap<InstanceName, Endpoint> = match &from {
        Some(from) if from.instances.len() == names.len() => from.instances.clone(),
        _ => names
            .into_iter()
            .enumerate()
            .map(|(number, name)| (name, placeholder(number)))
            .collect(),
    };
    let (cluster, control, pattern, tables) = match from {
        Some(from) => (
            from.cluster,
            Some(from.control),
            from.schema_pattern,
            from.tables,
        ),
        None => (
            "my_cluster".to_owned(),
            None,
            NamePattern::new("my_cluster_{:02}").map_err(|fault| bad(&fault))?,
            IndexMap::new(),
        ),
    };
    let each = layout.schemas as usize / endpoints.len();
    let schemas = (0..layout.schemas)
        .map(|number| {
            let instance = endpoints
                .get_index(number as usize / each)
                .map(|(name, _)| name.clone())
                .ok_or_else(|| bad(&"more schemas than instances hold"))?;
            let name = SchemaName::new(pattern.name(number)).map_err(|fault| bad(&fault))?;
            Ok(Schema { name, instance })
        })
        .collect::<Result<Vec<_>>>()?;
    let tables = tables
        .into_iter()
        .map(|(name, table)| Ok((name, resized(table, layout)?)))
        .collect::<Result<_>>()?;
    let first = endpoints.keys().next().cloned();
    Ok(Topology {
        cluster,
        control: control
            .filter(|control| endpoints.contains_key(control))
            .or(first)
            .ok_or_else(|| bad(&"no instance"))?,
        instances: endpoints,
        schema_pattern: pattern,
        schemas,
        tables,
    })
}

/// The table with as many physical tables as the layout has.
fn resized(table: LogicalTable, layout: &Candidate) -> Result<LogicalTable> {
    if matches!(table.spread, Spread::Broadcast) {
        return Ok(table);
    }
    let bad = |fault: &dyn std::fmt::Display| {
        Error::usage(format!("the tables of `{}` cannot be named", table.name)).cause(fault)
    };
    let pattern = match table.pattern.is_numbered() || layout.tables_per_schema == 1 {
        true => table.pattern.clone(),
        false => NamePattern::new(&format!("{}_{{:04}}", table.name)).map_err(|f| bad(&f))?,
    };
    let physical = (0..layout.schemas * layout.tables_per_schema)
        .map(|number| TableName::new(pattern.name(number)).map_err(|fault| bad(&fault)))
        .collect::<Result<_>>()?;
    Ok(LogicalTable {
        pattern,
        physical,
        tables_per_schema: layout.tables_per_schema,
        ..table
    })
}
