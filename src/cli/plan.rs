//! `shardctl plan`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::civil::Date;

use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::names::{InstanceName, NamePattern, SchemaName, TableName};
use crate::report::plan::{PlanReport, TableRow};
use crate::schema::size::{Pages, Unknown, row_size};
use crate::topology::file::{PHYSICAL_TABLES_MAX, parse, render};
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::plan::{Candidate, Estimate, Plan, plan, years};
use crate::topology::{Endpoint, LogicalTable, Schema, Spread, Topology};

/// Growth of a year that is still an estimate, in hundredths of a percent.
const GROWTH_BASIS_POINTS_MAX: u32 = 1_000_000;

/// The servers' own port: the first made-up instance has it.
const FIRST_PORT: u16 = 3306;

/// What stands in place of tables that are not known.
const EXAMPLE_TABLE: &str = "\
# No tables yet. Put `tables:` and yours in place of the line above, such as:
#
# tables:
#   orders:
#     shard_key: buyerId
#     function: drds_hash
#     name: orders_{:02}
#     ddl: |
#       CREATE TABLE orders (
#         buyerId   bigint unsigned NOT NULL,
#         orderId   bigint unsigned NOT NULL,
#         createdAt datetime(3)     NOT NULL,
#         PRIMARY KEY (buyerId, orderId)
#       ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
";

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
    /// Show the bytes of a row of each table of this topology file; --write keeps its cluster,
    /// instances and tables
    #[arg(long, value_name = "FILE")]
    tables: Option<PathBuf>,
    /// With --write: replace the file if it is there
    #[arg(long, requires = "write")]
    force: bool,
}

/// `20`, `20%` or `7.5%` as hundredths of a percent: exactly, or not at all.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.trim();
    let number = number.strip_suffix('%').unwrap_or(number).trim_end();
    if number.starts_with('-') {
        return Err("rows that become fewer need no plan; growth is 0 or more".to_owned());
    }
    let form = || format!("`{text}` is not a percentage; write 20 or 7.5%");
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(form()),
        Some(parts) => parts,
        None => (number, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(form());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 2 {
        return Err(format!(
            "`{text}` is too fine; growth has at most two decimals"
        ));
    }
    let hundredths = format!("{fraction:0<2}");
    whole
        .parse::<u32>()
        .ok()
        .zip(hundredths.parse::<u32>().ok())
        .and_then(|(whole, hundredths)| whole.checked_mul(100)?.checked_add(hundredths))
        .filter(|points| *points <= GROWTH_BASIS_POINTS_MAX)
        .ok_or_else(|| {
            format!(
                "`{text}` is not a growth that can be planned; at most {} %",
                GROWTH_BASIS_POINTS_MAX / 100
            )
        })
}

/// Runs the subcommand.
///
/// # Errors
/// The estimates make no sense, or the file cannot be written.
pub async fn run(cx: &mut Context, args: PlanArgs) -> Result<Outcome> {
    let from = args.tables.as_deref().map(read).transpose()?;
    let rows = from.as_ref().map(table_rows).unwrap_or_default();
    let estimate = Estimate {
        rows_per_year: args.rows_per_year.0,
        existing_rows: args.existing_rows.0,
        growth_basis_points: args.growth,
        years: args.years,
        rows_per_table_max: args.max_rows_per_table.0,
        instances: args.instances,
        schemas: args.schemas,
        row_bytes: args.row_bytes.map(|size| size.0),
        record_bytes: rows.iter().map(|row| row.record_bytes).max(),
        disk_per_instance: args.disk_per_instance.map(|size| size.0),
        records_per_user: args.records_per_user,
        start: args
            .start
            .unwrap_or_else(|| jiff::ZonedDateTime::now().date()),
    };
    let failed = |fault| Error::usage("no plan can be made").cause(fault);
    let made = plan(&estimate).map_err(failed)?;
    // Beside the plan asked for, not in its way: it may start too close to the calendar's end.
    let two_years = match args.years {
        2 => None,
        _ => plan(&Estimate {
            years: 2,
            ..estimate.clone()
        })
        .ok()
        .map(Box::new),
    };
    // What can fail early fails before anything is printed.
    let written = args
        .write
        .as_deref()
        .map(|path| write(path, args.force, from, &made))
        .transpose()?;
    cx.out.show(&PlanReport {
        plan: made,
        two_years,
        rows,
    })?;
    if let (Some(()), Some(path)) = (written, &args.write) {
        cx.note(&format!("wrote {}", path.display()));
    }
    Ok(Outcome::Clean)
}

/// What a row of each table takes, by its definition.
fn table_rows(topology: &Topology) -> Vec<TableRow> {
    topology
        .tables
        .values()
        .map(|table| {
            let size = |pages| row_size(&table.def, &Unknown, pages);
            let full = size(Pages::Full);
            TableRow {
                table: table.name.clone(),
                record_bytes: full.record.ceil() as u64,
                full_pages_bytes: full.total(),
                half_full_pages_bytes: size(Pages::Half).total(),
            }
        })
        .collect()
}

fn write(path: &Path, force: bool, from: Option<Topology>, plan: &Plan) -> Result<()> {
    let exists = || {
        Error::usage("the file is there already")
            .at(path.display().to_string())
            .now("nothing was written")
            .next("say --force to replace it")
    };
    if path.exists() && !force {
        return Err(exists());
    }
    let text = file_text(from, plan)?;
    if force {
        return write_atomically(path, &text);
    }
    // Someone may have written the file since it was looked for.
    let failed = |cause: &dyn std::fmt::Display| could_not_write(path, cause);
    prepared(path, &text)?
        .persist_noclobber(path)
        .map(|_| ())
        .map_err(|fault| match fault.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => failed(&fault.error),
        })
}

/// The recommended layout as a topology file that reads back.
fn file_text(from: Option<Topology>, plan: &Plan) -> Result<String> {
    let layout = plan.best();
    let instances = plan.estimate.instances;
    let known = from.as_ref().map_or(0, |from| from.instances.len());
    let topology = topology(from, instances, layout)?;
    let mut text = format!(
        "# Planned for {} rows a year from {}, {}:\n# {}\n",
        Count(plan.estimate.rows_per_year),
        plan.estimate.start,
        years(plan.estimate.years),
        plan.reason.replace(". ", ".\n# ")
    );
    if known < instances as usize {
        let new: Vec<&str> = topology
            .instances
            .keys()
            .skip(known)
            .map(InstanceName::as_str)
            .collect();
        text.push_str(&match new.as_slice() {
            [first, .., last] => {
                format!("# Put in the addresses of the instances, {first} to {last}.\n")
            }
            _ => format!("# Put in the address of the instance {}.\n", new.concat()),
        });
    }
    text.push_str(&render(&topology));
    if topology.tables.is_empty() {
        text.push_str(EXAMPLE_TABLE);
    }
    // What is written must read back.
    parse(&text).map_err(|problems| {
        Error::usage("the layout does not fit the tables")
            .at(problems.to_string())
            .now("nothing was written")
    })?;
    Ok(text)
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
    prepared(path, text)?
        .persist(path)
        .map(|_| ())
        .map_err(|fault| could_not_write(path, &fault.error))
}

/// The text on the disk under a passing name, beside where it belongs.
fn prepared(path: &Path, text: &str) -> Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |cause: std::io::Error| could_not_write(path, &cause);
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    Ok(file)
}

fn could_not_write(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::usage("could not write the file")
        .at(path.display().to_string())
        .cause(cause)
}

/// The layout with the tables of a topology, or with none.
fn topology(from: Option<Topology>, instances: u32, layout: &Candidate) -> Result<Topology> {
    // Names are made for each table below: what the file's parser refuses is not made first.
    if layout.tables > PHYSICAL_TABLES_MAX {
        return Err(Error::usage(format!(
            "{} physical tables are more than the {PHYSICAL_TABLES_MAX} that a topology file can \
             have",
            layout.tables
        ))
        .now("nothing was written"));
    }
    let bad = |fault: &dyn std::fmt::Display| Error::usage("a name cannot be made").cause(fault);
    let (cluster, control, known, pattern, tables) = match from {
        Some(from) => (
            from.cluster,
            Some(from.control),
            from.instances,
            from.schema_pattern,
            from.tables,
        ),
        None => (
            "my_cluster".to_owned(),
            None,
            IndexMap::new(),
            NamePattern::new("my_cluster_{:02}").map_err(|fault| bad(&fault))?,
            IndexMap::new(),
        ),
    };
    let endpoints = endpoints(known, instances)?;
    let each = layout.schemas / instances;
    let schemas = (0..layout.schemas)
        .map(|number| {
            let instance = endpoints
                .get_index((number / each) as usize)
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

/// The instances that are known, as many as are wanted, and made-up ones for the rest.
fn endpoints(
    mut known: IndexMap<InstanceName, Endpoint>,
    instances: u32,
) -> Result<IndexMap<InstanceName, Endpoint>> {
    known.truncate(instances as usize);
    let mut number: u32 = 0;
    while known.len() < instances as usize {
        number += 1;
        let name = InstanceName::new(format!("rds-{number}"))
            .map_err(|fault| Error::usage("a name cannot be made").cause(fault))?;
        // This machine, so that a trial needs no editing. At most INSTANCES_MAX numbers are used
        // up by names that are known, and as many by new ones.
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: FIRST_PORT + number as u16 - 1,
        };
        known.entry(name).or_insert(endpoint);
    }
    Ok(known)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::plan::INSTANCES_MAX;

    fn planned(instances: u32, schemas: Option<u32>, years: u32) -> Plan {
        plan(&Estimate {
            rows_per_year: 40_000_000,
            existing_rows: 0,
            growth_basis_points: 0,
            years,
            rows_per_table_max: 5_000_000,
            instances,
            schemas,
            row_bytes: None,
            record_bytes: None,
            disk_per_instance: None,
            records_per_user: 3,
            start: jiff::civil::date(2016, 1, 1),
        })
        .unwrap()
    }

    fn user_center() -> Topology {
        parse(include_str!("../../topology.yaml")).unwrap()
    }

    #[test]
    fn a_file_without_tables_reads_back_and_shows_how_to_add_one() {
        let text = file_text(None, &planned(2, None, 2)).unwrap();
        insta::assert_snapshot!(text, @r#"
        # Planned for 40M rows a year from 2016-01-01, 2 years:
        # 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; full on 2018-01-01.
        # It holds 80M rows of each logical table in 16 physical tables.
        # It grows to 4, 8 or 16 instances by moving whole schemas; when it is full, each is split in two: 40M rows move.
        # Put in the addresses of the instances, rds-1 to rds-2.
        version: 1
        cluster: my_cluster
        instances:
          rds-1: { host: "127.0.0.1", port: 3306 }
          rds-2: { host: "127.0.0.1", port: 3307 }
        control: rds-1
        schemas:
          name: "my_cluster_{:02}"
          count: 16
          on:
            rds-1: "0-7"
            rds-2: "8-15"
        tables: {}
        # No tables yet. Put `tables:` and yours in place of the line above, such as:
        #
        # tables:
        #   orders:
        #     shard_key: buyerId
        #     function: drds_hash
        #     name: orders_{:02}
        #     ddl: |
        #       CREATE TABLE orders (
        #         buyerId   bigint unsigned NOT NULL,
        #         orderId   bigint unsigned NOT NULL,
        #         createdAt datetime(3)     NOT NULL,
        #         PRIMARY KEY (buyerId, orderId)
        #       ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
        "#);
        // Following the file's own advice gives a file that is accepted.
        let (before, example) = text.split_once("tables: {}\n").unwrap();
        let (_, example) = example.split_once("#\n").unwrap();
        let example: String = example
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap()))
            .collect();
        let topology = parse(&format!("{before}{example}")).unwrap();
        assert_eq!(topology.tables.len(), 1);
    }

    #[test]
    fn a_file_keeps_the_tables_and_servers_and_takes_the_layout() {
        let text = file_text(Some(user_center()), &planned(4, None, 5)).unwrap();
        let written = parse(&text).unwrap();
        let before = user_center();
        assert!(text.contains("# Put in the addresses of the instances, rds-3 to rds-4.\n"));
        assert_eq!(written.instances.len(), 4);
        assert_eq!(written.instances[0], before.instances[0]);
        assert_eq!(written.schemas.len(), 32);
        assert_eq!(written.schemas[8].instance.as_str(), "rds-2");
        assert_eq!(written.tables.len(), before.tables.len());
        for (table, was) in written.tables.values().zip(before.tables.values()) {
            assert_eq!(table.tables_per_schema, 2, "{}", table.name);
            assert_eq!(table.def, was.def);
            assert_eq!(table.spread, was.spread);
        }
    }

    #[test]
    fn servers_that_are_no_longer_needed_leave_and_control_moves() {
        let mut from = user_center();
        from.control = InstanceName::new("rds-2").unwrap();
        let text = file_text(Some(from), &planned(1, None, 2)).unwrap();
        let written = parse(&text).unwrap();
        assert_eq!(written.instances.len(), 1);
        assert_eq!(written.control.as_str(), "rds-1");
        assert!(!text.contains("Put in"));
    }

    #[test]
    fn the_largest_layouts_are_written_or_refused_at_once() {
        let wide = planned(INSTANCES_MAX, Some(INSTANCES_MAX), 2);
        assert!(file_text(None, &wide).is_ok());
        let deep = plan(&Estimate {
            rows_per_table_max: 10,
            ..planned(2, Some(16_384), 2).estimate
        })
        .unwrap();
        assert_eq!(
            file_text(Some(user_center()), &deep).unwrap_err().what(),
            "8388608 physical tables are more than the 1000000 that a topology file can have"
        );
    }

    #[test]
    fn growth_is_read_exactly_or_refused() {
        for (text, points) in [
            ("0", 0),
            ("20", 2_000),
            ("7.5%", 750),
            ("0.05 %", 5),
            ("12.500", 1_250),
            ("10000", 1_000_000),
        ] {
            assert_eq!(percent(text), Ok(points), "{text}");
        }
        for text in [
            "",
            "%",
            "%%",
            "20%%",
            ".5",
            "1.",
            "1.2.3",
            "1e2",
            "nan",
            "inf",
            "-5",
            "0.001",
            "10000.01",
            "99999999999",
            "+5",
            "٣",
        ] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        let made = planned(2, None, 2);
        std::fs::write(&path, "mine").unwrap();
        let refused = write(&path, false, None, &made).unwrap_err();
        assert_eq!(refused.what(), "the file is there already");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        write(&path, true, None, &made).unwrap();
        assert!(parse(&std::fs::read_to_string(&path).unwrap()).is_ok());
        std::fs::remove_file(&path).unwrap();
        write(&path, false, None, &made).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
