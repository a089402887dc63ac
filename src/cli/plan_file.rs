//! The files that `plan` writes: the recommended layout as a topology, and its page.

use std::io::Write as _;
use std::path::Path;

use indexmap::IndexMap;

use crate::error::{Error, Result};
use crate::names::{InstanceName, NamePattern, SchemaName, TableName};
use crate::topology::capacity::Thresholds;
use crate::topology::file::{PHYSICAL_TABLES_MAX, parse, render};
use crate::topology::plan::{Candidate, Limits, Plan, ROWS_PER_TABLE};
use crate::topology::{Endpoint, LogicalTable, Schema, Spread, Topology};

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

/// Refuses to write where something is, before anything is done.
pub(super) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    match path.exists() && !force {
        true => Err(exists(path)),
        false => Ok(()),
    }
}

fn exists(path: &Path) -> Error {
    Error::usage("the file is there already")
        .at(path.display().to_string())
        .now("nothing was written")
        .next("say --force to replace it")
}

/// Writes a new file, or with `force` in place of one that is there.
pub(super) fn write(path: &Path, force: bool, text: &str) -> Result<()> {
    if force {
        return write_atomically(path, text);
    }
    // Someone may have written the file since it was looked for.
    prepared(path, text)?
        .persist_noclobber(path)
        .map(|_| ())
        .map_err(|fault| match fault.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => could_not_write(path, &fault.error),
        })
}

/// The recommended layout as a topology file that reads back.
pub(super) fn file_text(from: Option<Topology>, plan: &Plan) -> Result<String> {
    let layout = plan.best();
    let instances = layout.instances;
    let known = from.as_ref().map_or(0, |from| from.instances.len());
    let topology = topology(from, instances, layout, &plan.estimate.limits)?;
    let mut text = format!(
        "# {}.\n# {}\n# {}\n",
        crate::report::plan::summary(plan),
        plan.reason,
        plan.later
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
fn topology(
    from: Option<Topology>,
    instances: u32,
    layout: &Candidate,
    limits: &Limits,
) -> Result<Topology> {
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
    let (cluster, control, known, pattern, tables, check) = match from {
        Some(from) => (
            from.cluster,
            Some(from.control),
            from.instances,
            from.schema_pattern,
            from.tables,
            from.check,
        ),
        None => (
            "my_cluster".to_owned(),
            None,
            IndexMap::new(),
            NamePattern::new("my_cluster_{:02}").map_err(|fault| bad(&fault))?,
            IndexMap::new(),
            Thresholds::default(),
        ),
    };
    let check = planned(check, limits);
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
        scratch: None,
        check,
    })
}

/// What the fleet is to be held to: what it was planned for. A limit that is the default where the
/// file says none needs no word.
fn planned(mut check: Thresholds, limits: &Limits) -> Thresholds {
    if limits.rows_per_table != check.rows_per_table.unwrap_or(ROWS_PER_TABLE) {
        check.rows_per_table = Some(limits.rows_per_table);
    }
    check.bytes_per_instance = limits.disk_per_instance.or(check.bytes_per_instance);
    check
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
    use crate::topology::plan::amount::Period;
    use crate::topology::plan::{Estimate, Estimates, INSTANCES_MAX, plan};

    fn estimate(instances: u32, schemas: Option<u32>, years: u32) -> Estimate {
        Estimates {
            rows_per_year: Some("40M".parse().unwrap()),
            horizon: Some(Period::years(years).unwrap()),
            instances: Some(instances),
            schemas,
            ..Estimates::default()
        }
        .resolve(&[], jiff::civil::date(2016, 1, 1))
        .unwrap()
    }

    fn planned(instances: u32, schemas: Option<u32>, years: u32) -> Plan {
        plan(&estimate(instances, schemas, years)).unwrap()
    }

    fn user_center() -> Topology {
        parse(include_str!("../../topology.yaml")).unwrap()
    }

    #[test]
    fn a_file_without_tables_reads_back_and_shows_how_to_add_one() {
        let text = file_text(None, &planned(2, None, 2)).unwrap();
        insta::assert_snapshot!(text, @r#"
        # 40M rows a year, from 2016-01-01: 80M records after 2 years, about 26.7M users at 3 records each.
        # 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01.
        # It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 40M rows move, and it lasts until 2020-01-01.
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
            limits: Limits {
                rows_per_table: 10,
                ..Limits::default()
            },
            ..estimate(2, Some(16_384), 2)
        })
        .unwrap();
        assert_eq!(
            file_text(Some(user_center()), &deep).unwrap_err().what(),
            "8388608 physical tables are more than the 1000000 that a topology file can have"
        );
    }

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        let text = file_text(None, &planned(2, None, 2)).unwrap();
        std::fs::write(&path, "mine").unwrap();
        for refused in [refuse_existing(&path, false), write(&path, false, &text)] {
            assert_eq!(refused.unwrap_err().what(), "the file is there already");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        write(&path, true, &text).unwrap();
        assert!(parse(&std::fs::read_to_string(&path).unwrap()).is_ok());
        std::fs::remove_file(&path).unwrap();
        write(&path, false, &text).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
