//! What a plan promises, on the case it starts from and on any estimate.

use proptest::prelude::*;

use super::amount::Yearly;
use super::*;

fn estimate() -> Estimate {
    Estimate {
        start: jiff::civil::date(2016, 1, 1),
        horizon: Period::years(2).unwrap(),
        tables: vec![TableEstimate {
            rows_per_year: vec![40_000_000],
            ..TableEstimate::default()
        }],
        broadcast_tables: 0,
        instances: 2,
        schemas: None,
        limits: Limits::default(),
        records_per_user: Some(3),
        move_bytes_per_second: MOVE_RATE,
    }
}

/// The same with a change.
fn with(change: impl FnOnce(&mut Estimate)) -> Estimate {
    let mut changed = estimate();
    change(&mut changed);
    changed
}

fn years(count: u32) -> Period {
    Period::years(count).unwrap()
}

fn best(estimate: &Estimate) -> (u32, u32, u32, Option<String>) {
    let plan = plan(estimate).unwrap();
    let best = plan.best();
    let until = best.lasts_until.map(|date| date.to_string());
    (best.instances, best.schemas, best.tables_per_schema, until)
}

#[test]
fn the_2016_answer_is_the_two_year_answer() {
    let plan = plan(&estimate()).unwrap();
    assert_eq!(plan.rows_at_horizon, 80_000_000);
    assert_eq!(plan.users_at_horizon, Some(26_666_666));
    assert_eq!(best(&estimate()), (2, 16, 1, Some("2018-01-01".into())));
    let best = plan.best();
    assert_eq!(best.at_horizon.rows_per_table, 5_000_000);
    assert_eq!(
        (best.capacity, best.idle_rows_basis_points),
        (80_000_000, 0)
    );
}

#[test]
fn five_years_need_four_tables_in_each_schema() {
    let five = with(|e| e.horizon = years(5));
    assert_eq!(best(&five), (2, 16, 4, Some("2024-01-01".into())));
    let plan = plan(&five).unwrap();
    let sixteen = plan.candidates.iter().find(|c| c.tables == 16).unwrap();
    assert_eq!(
        (sixteen.lasts, sixteen.lasts_until.unwrap().to_string()),
        (false, "2018-01-01".to_owned())
    );
    assert_eq!(plan.best().idle_rows_basis_points, 3_750);
    // Sixty months are five years.
    let months = with(|e| e.horizon = "60mo".parse().unwrap());
    assert_eq!(best(&months), best(&five));
}

#[test]
fn large_rows_lower_the_limit_of_their_table() {
    let large = with(|e| {
        e.limits.rows_per_table = 50_000_000;
        e.tables[0].row_bytes = Some(5_000);
    });
    assert_eq!(best(&large), (2, 16, 1, Some("2018-01-01".into())));
    assert_eq!(
        plan(&large).unwrap().tables[0].rows_per_table_max,
        5_000_000
    );
    // It is the row that counts, not its share of the indexes.
    let narrow = with(|e| {
        *e = large.clone();
        e.tables[0].record_bytes = Some(3_000);
    });
    assert_eq!(
        plan(&narrow).unwrap().tables[0].rows_per_table_max,
        50_000_000
    );
    // Beside it a table of small rows keeps its own limit.
    let both = with(|e| {
        *e = large.clone();
        e.tables[0].name = Some(TableName::new("document").unwrap());
        e.tables.push(TableEstimate {
            name: Some(TableName::new("member").unwrap()),
            rows_per_year: vec![100_000_000],
            row_bytes: Some(200),
            ..TableEstimate::default()
        });
    });
    let plan = plan(&both).unwrap();
    let limits: Vec<_> = plan
        .best()
        .limits
        .iter()
        .map(|l| {
            (
                l.tables[0].as_str().to_owned(),
                l.most,
                l.met.unwrap().to_string(),
            )
        })
        .collect();
    assert_eq!(
        limits,
        [
            ("member".to_owned(), 50_000_000, "2024-01-01".to_owned()),
            ("document".to_owned(), 5_000_000, "2018-01-01".to_owned())
        ]
    );
    assert!(plan.notes[0].contains("in `document`"), "{}", plan.notes[0]);
}

#[test]
fn disks_ask_for_more_instances_and_headroom_for_more_of_everything() {
    // 80M rows of 1000 bytes on two disks of 35 GB: full after 70M.
    let disk = with(|e| {
        e.tables[0].row_bytes = Some(1_000);
        e.limits.disk_per_instance = Some(35_000_000_000);
    });
    assert_eq!(best(&disk), (4, 16, 1, Some("2018-01-01".into())));
    let plan_ = plan(&disk).unwrap();
    let two = plan_.candidates.iter().find(|c| c.instances == 2).unwrap();
    assert_eq!(two.first_limit, Some(LimitKind::DiskPerInstance));
    assert_eq!(two.lasts_until.unwrap().to_string(), "2017-10-02");
    let split = two.next_split.as_ref().unwrap();
    assert_eq!(
        (
            split.kind,
            split.instances,
            split.rows,
            split.bytes,
            split.minutes
        ),
        (
            SplitKind::MoveSchemas,
            4,
            35_013_699,
            Some(35_013_698_500),
            Some(12)
        )
    );
    assert_eq!(split.lasts_until.unwrap().to_string(), "2018-01-01");
    let headroom = with(|e| e.limits.headroom_basis_points = Percent(2_000));
    assert_eq!(best(&headroom), (2, 16, 2, Some("2019-03-15".into())));
}

#[test]
fn tables_per_instance_and_schemas_per_instance_bound_a_layout() {
    let name = |name: &str| Some(TableName::new(name).unwrap());
    let tables = with(|e| {
        e.tables[0].name = name("a");
        for other in ["b", "c"] {
            e.tables.push(TableEstimate {
                name: name(other),
                ..e.tables[0].clone()
            });
        }
        e.broadcast_tables = 1;
        // Eight schemas of three tables and a broadcast table: 32.
        e.limits.tables_per_instance = Some(32);
    });
    assert_eq!(best(&tables).0, 2);
    let fewer = with(|e| {
        *e = tables.clone();
        e.limits.tables_per_instance = Some(31);
    });
    assert_eq!(best(&fewer).0, 4);
    let schemas = with(|e| e.limits.schemas_per_instance = Some(5));
    assert_eq!(best(&schemas), (2, 8, 2, Some("2018-01-01".into())));
    // Given schemas that are too many: none is right, and the reason says so.
    let given = with(|e| {
        e.limits.schemas_per_instance = Some(1);
        e.schemas = Some(6);
    });
    let plan = plan(&given).unwrap();
    assert!(!plan.best().lasts);
    assert!(
        plan.reason
            .contains("this one passes schemas per instance from the start"),
        "{}",
        plan.reason
    );
}

#[test]
fn retention_ends_growth() {
    let kept = with(|e| {
        e.horizon = years(10);
        e.tables[0].retention = Some("365d".parse().unwrap());
    });
    assert_eq!(best(&kept), (2, 16, 1, None));
    let plan = plan(&kept).unwrap();
    assert_eq!(plan.rows_at_horizon, 40_000_000);
    assert!(plan.best().next_split.is_none());
}

#[test]
fn tables_that_are_full_from_the_start_do_not_last() {
    let full = with(|e| {
        e.tables[0].rows_per_year = vec![0];
        e.tables[0].start_rows = 80_000_000;
        e.schemas = Some(16);
    });
    assert_eq!(best(&full), (2, 16, 2, None));
}

#[test]
fn only_counts_that_spread_evenly_are_grown_to() {
    let check = |instances, schemas, expected: &[u32]| {
        let even = with(|e| (e.instances, e.schemas) = (instances, Some(schemas)));
        assert_eq!(plan(&even).unwrap().best().instance_counts, expected);
    };
    check(2, 16, &[2, 4, 8, 16]);
    check(2, 12, &[2, 3, 4, 6, 12]);
    check(3, 24, &[3, 4, 6, 8, 12, 24]);
    check(16, 16, &[16]);
    check(1, 1, &[1]);
}

#[test]
fn full_tables_are_split_and_full_disks_are_shared_out() {
    let split = |estimate: &Estimate| {
        let plan = plan(estimate).unwrap();
        let split = plan.candidates[0].next_split.clone().unwrap();
        (
            split.kind,
            split.instances,
            split.schemas,
            split.due.to_string(),
        )
    };
    assert_eq!(
        split(&estimate()),
        (SplitKind::SplitSchemas, 2, 32, "2018-01-01".to_owned())
    );
    let disk = with(|e| {
        e.tables[0].row_bytes = Some(1_000);
        e.limits.disk_per_instance = Some(20_000_000_000);
        e.horizon = years(1);
    });
    assert_eq!(
        split(&disk),
        (SplitKind::MoveSchemas, 4, 16, "2017-01-01".to_owned())
    );
    // Servers with a schema each have none to give away: both are doubled.
    let single = with(|e| {
        *e = disk.clone();
        (e.instances, e.schemas) = (2, Some(2));
    });
    assert_eq!(
        split(&single),
        (SplitKind::SplitSchemas, 2, 4, "2016-04-02".to_owned())
    );
}

#[test]
fn the_sentences_name_the_limit_that_is_met_first() {
    let said = |change: &dyn Fn(&mut Estimate)| {
        let plan = plan(&with(change)).unwrap();
        format!("{} {}", plan.reason, plan.later)
    };
    insta::assert_snapshot!(said(&|_| ()), @"16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 40M rows move, and it lasts until 2020-01-01.");
    insta::assert_snapshot!(said(&|e| {
        e.tables[0].row_bytes = Some(1_000);
        e.limits.disk_per_instance = Some(35_000_000_000);
    }), @"16 schemas of one table on 4 instances: the smallest layout that lasts 2 years (2 instances would meet disk per instance on 2017-10-02); it meets its first limit, rows per table, on 2018-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 40M rows move (37.3 GiB, 13 minutes at 50.0 MiB a second), and it lasts until 2019-07-03.");
    insta::assert_snapshot!(said(&|e| {
        (e.instances, e.schemas, e.horizon) = (1, Some(1), years(1));
        e.tables[0].rows_per_year = vec![10];
    }), @"one schema of one table on one instance: the smallest layout that lasts one year, and no limit is met in a hundred years. It holds 5M rows of a logical table in one physical table and cannot grow by moving whole schemas.");
    insta::assert_snapshot!(said(&|e| {
        (e.instances, e.schemas) = (1, Some(5040));
    }), @"5040 schemas of one table on one instance: the smallest layout that lasts 2 years, and no limit is met in a hundred years. It holds 25.2B rows of a logical table in 5040 physical tables and grows to 2, 3, 4, 5 ... 5040 instances by moving whole schemas.");
    insta::assert_snapshot!(said(&|e| {
        e.schemas = Some(2);
        e.tables[0].row_bytes = Some(1_000);
        e.limits.disk_per_instance = Some(20_000_000_000);
    }), @"2 schemas of 4 tables on 2 instances: no layout within the limits lasts 2 years; this one lasts longest and meets rows per table on 2017-01-01. It holds 40M rows of a logical table in 8 physical tables and cannot grow by moving whole schemas; on 2017-01-01 each schema is split in two, 4 in all: 20M rows move (18.6 GiB, 7 minutes at 50.0 MiB a second), and it lasts until 2018-01-01.");
}

/// Every number in the advice makes a layout that is planned, of powers of two where it is new.
#[test]
fn the_advice_on_uneven_schemas_can_be_followed() {
    let advice = |instances: u32, schemas: u32| {
        let estimate = with(|e| (e.instances, e.schemas) = (instances, Some(schemas)));
        plan(&estimate).unwrap_err().advice()
    };
    insta::assert_snapshot!(advice(3, 16), @"take 2 instances, or 4 instances");
    insta::assert_snapshot!(advice(4, 10), @"take 2 instances, or 16 schemas");
    insta::assert_snapshot!(advice(8, 1), @"take one instance, or 8 schemas");
    insta::assert_snapshot!(advice(5, 12), @"take 4 instances, or 8 instances with 16 schemas");
    for (instances, schemas) in (1..=40u32).flat_map(|i| (1..=40u32).map(move |s| (i, s))) {
        if schemas.is_multiple_of(instances) {
            continue;
        }
        let text = advice(instances, schemas).replace("one instance", "1 instance");
        for one in text.strip_prefix("take ").unwrap().split(", or ") {
            let words: Vec<&str> = one.split(' ').collect();
            let number = |noun: &str| {
                let at = words.iter().position(|word| word.starts_with(noun))?;
                words[at - 1].parse::<u32>().ok()
            };
            let instances = number("instance").unwrap_or(instances);
            let schemas = number("schema").unwrap_or(schemas);
            assert!(schemas.is_multiple_of(instances), "{text}");
        }
    }
}

#[test]
fn nonsense_is_refused_with_what_to_do() {
    let refused = |change: &dyn Fn(&mut Estimate)| {
        let fault = plan(&with(change)).unwrap_err();
        format!("{fault}; {}", fault.advice())
    };
    insta::assert_snapshot!(refused(&|e| e.tables[0].rows_per_year = vec![0]), @"there are no rows to plan for: none are there and none come; say how many come with --rows-per-year 40M, or how many are there with --start-rows");
    insta::assert_snapshot!(refused(&|e| e.tables.clear()), @"there are no rows to plan for: none are there and none come; say how many come with --rows-per-year 40M, or how many are there with --start-rows");
    insta::assert_snapshot!(refused(&|e| e.limits.rows_per_table = 0), @"the limit of rows per table is 0: nothing fits; raise --max-rows-per-table, or lower --headroom");
    insta::assert_snapshot!(refused(&|e| {
        (e.limits.rows_per_table, e.limits.headroom_basis_points) = (1, Percent(5_000));
    }), @"of the limit of rows per table, 1, nothing is left with 50 % headroom; raise --max-rows-per-table, or lower --headroom");
    insta::assert_snapshot!(refused(&|e| e.tables[0].row_bytes = Some(0)), @"a row has at least one byte; give what a row takes with its indexes, or leave it out");
    insta::assert_snapshot!(refused(&|e| e.limits.disk_per_instance = Some(1)), @"disk per instance is a limit, and the bytes of a row are not known; give --row-bytes, or --tables FILE to have them computed from the DDL");
    insta::assert_snapshot!(refused(&|e| e.instances = 0), @"a layout has at least one instance; say --instances 1 or more");
    insta::assert_snapshot!(refused(&|e| e.schemas = Some(0)), @"a layout has at least one schema; say --schemas 16, or leave it out to see eight to an instance and its doubles");
    insta::assert_snapshot!(refused(&|e| e.move_bytes_per_second = 0), @"a move copies at least one byte a second; say --move-rate 50M or what your network has");
    insta::assert_snapshot!(refused(&|e| e.records_per_user = Some(0)), @"a user has at least one record; say --records-per-user 1 or more");
    insta::assert_snapshot!(refused(&|e| e.limits.schemas_per_instance = Some(0)), @"an instance has at least one schema; say --max-schemas-per-instance 8 or leave it out");
    insta::assert_snapshot!(refused(&|e| e.limits.tables_per_instance = Some(0)), @"the limit of tables per instance is 0: nothing fits; raise --max-tables-per-instance, or lower --headroom");
    insta::assert_snapshot!(refused(&|e| {
        (e.start, e.horizon) = (jiff::civil::date(9990, 1, 1), years(50));
    }), @"9990-01-01 and 50 years more are beyond the end of the calendar; start earlier, or look less far ahead");
    insta::assert_snapshot!(refused(&|e| (e.instances, e.schemas) = (17, Some(16))), @"16 schemas do not spread evenly over 17 instances; take 16 instances, or 32 instances with 32 schemas");
    insta::assert_snapshot!(refused(&|e| e.instances = u32::MAX), @"4294967295 instances are more than the 4096 that can be planned; plan clusters of at most 4096 instances apart");
    insta::assert_snapshot!(refused(&|e| e.schemas = Some(65_538)), @"65538 schemas are more than the 65536 that can be planned; take at most 65536 schemas");
    insta::assert_snapshot!(refused(&|e| {
        e.tables[0].growth = Growth::Compound(Percent(1_000_000));
        e.horizon = years(100);
    }), @"the rows after 100 years are too many to count; look less far ahead, or at slower growth");
    insta::assert_snapshot!(refused(&|e| {
        e.tables[0].rows_per_year = vec![u64::MAX / 4];
        e.limits.rows_per_table = 1;
    }), @"9223372T rows at one row to a table need more tables than can be laid out; raise the limit of a table, or look less far ahead");
    insta::assert_snapshot!(refused(&|e| {
        e.tables[0].rows_per_year = vec![1 << 60];
        e.tables[0].row_bytes = Some(1_000);
    }), @"the bytes after 2 years are too many to count; look less far ahead, or at slower growth");
}

#[test]
fn the_largest_layouts_are_planned_at_once() {
    let wide = with(|e| e.instances = INSTANCES_MAX);
    assert_eq!(best(&wide).1, 32_768);
}

fn growths() -> impl Strategy<Value = Growth> {
    prop_oneof![
        (0u32..10_000).prop_map(|points| Growth::Compound(Percent(points))),
        (0u64..50_000_000).prop_map(Growth::Linear),
    ]
}

fn table_estimates() -> impl Strategy<Value = TableEstimate> {
    (
        prop::collection::vec(0u64..200_000_000, 1..4),
        0u64..500_000_000,
        growths(),
        prop::option::of(1u32..60),
        1u64..3_000,
    )
        .prop_map(
            |(rows_per_year, start_rows, growth, months, row_bytes)| TableEstimate {
                name: None,
                start_rows,
                rows_per_year,
                growth,
                retention: months.map(|months| format!("{months}mo").parse().unwrap()),
                row_bytes: Some(row_bytes),
                record_bytes: None,
            },
        )
}

fn estimates() -> impl Strategy<Value = Estimate> {
    (
        prop::collection::vec(table_estimates(), 1..4),
        1u32..8,
        1u32..5,
        100_000u64..50_000_000,
        prop::option::of(1u64 << 30..1 << 42),
        prop::option::of(1u64 << 28..1 << 36),
        (
            0u32..9_000,
            prop::option::of(1u32..40),
            prop::option::of(1u64..5_000),
        ),
    )
        .prop_map(
            |(tables, ahead, instances, rows, disk, bytes, (headroom, schemas, most))| Estimate {
                tables,
                horizon: years(ahead),
                instances,
                limits: Limits {
                    rows_per_table: rows,
                    bytes_per_table: bytes,
                    disk_per_instance: disk,
                    schemas_per_instance: schemas,
                    tables_per_instance: most,
                    headroom_basis_points: Percent(headroom),
                },
                ..estimate()
            },
        )
}

/// Rows on a day, by another way than the plan's: in floating point, from the sum of the years.
fn rows_on(table: &TableEstimate, start: Date, date: Date) -> f64 {
    let arrived = |date: Date| {
        let (mut rows, mut brings, mut first) = (0.0, 0.0, start);
        for year in 0i64.. {
            brings = match (table.rows_per_year.get(year as usize), table.growth) {
                (Some(rows), _) => *rows as f64,
                (None, Growth::Compound(percent)) => {
                    brings * (1.0 + f64::from(percent.0) / 10_000.0)
                }
                (None, Growth::Linear(rows)) => brings + rows as f64,
            };
            let next = start
                .checked_add(jiff::Span::new().years(year + 1))
                .unwrap();
            if date < next {
                let part = f64::from(growth::days_between(first, date));
                return rows + brings * part / f64::from(growth::days_between(first, next));
            }
            rows += brings;
            first = next;
        }
        rows
    };
    let there = table.start_rows as f64;
    let Some(kept) = table.retention else {
        return there + arrived(date);
    };
    let kept = growth::days_between(start, kept.after(start).unwrap());
    let day = growth::days_between(start, date);
    let before = date
        .checked_sub(jiff::Span::new().days(i64::from(kept)))
        .unwrap();
    let gone = if day > kept { arrived(before) } else { 0.0 };
    let left = f64::from(kept.saturating_sub(day)) / f64::from(kept);
    arrived(date) - gone + there * left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_recommended_layout_satisfies_every_limit_until_its_date(estimate in estimates()) {
        let Ok(plan) = plan(&estimate) else { return Ok(()) };
        let best = plan.best();
        let limits = &estimate.limits;
        let room = |limit: u64| limit as f64 * (1.0 - f64::from(limits.headroom_basis_points.0) / 10_000.0);
        prop_assert!(best.schemas.is_multiple_of(best.instances));
        let fits = |date: Date| {
            let of = |table: &TableEstimate| rows_on(table, estimate.start, date);
            let (tables, instances) = (best.tables as f64, f64::from(best.instances));
            // What is counted in floating point may differ in the last row.
            let within = |amount: f64, room: f64| amount <= room * (1.0 + 1e-9) + 3_000.0;
            estimate.tables.iter().all(|table| within(of(table), room(limits.rows_per_table) * tables))
                && estimate.tables.iter().all(|table| limits.bytes_per_table.is_none_or(|most| {
                    within(of(table) * table.row_bytes.unwrap() as f64, room(most) * tables)
                }))
                && limits.disk_per_instance.is_none_or(|disk| {
                    let bytes: f64 = estimate.tables.iter().map(|t| of(t) * t.row_bytes.unwrap() as f64).sum();
                    within(bytes, room(disk) * instances)
                })
        };
        let first = estimate.start;
        let end = best.lasts_until.unwrap_or(jiff::civil::date(2115, 12, 31));
        if best.lasts {
            prop_assert!(best.lasts_until.is_none_or(|date| date >= plan.horizon));
            let each = u64::from(best.schemas / best.instances);
            prop_assert!(limits.schemas_per_instance.is_none_or(|most| each <= u64::from(most)));
            let on_one = each * u64::from(best.tables_per_schema) * estimate.tables.len() as u64;
            prop_assert!(limits.tables_per_instance.is_none_or(|most| on_one <= most));
        }
        let days = growth::days_between(first, end);
        for day in (0..days).step_by(days as usize / 40 + 1).chain(days.checked_sub(1)) {
            let date = first.checked_add(jiff::Span::new().days(i64::from(day))).unwrap();
            prop_assert!(fits(date), "{date} of {end}");
        }
    }

    #[test]
    fn a_date_is_the_first_day_on_which_its_limit_is_met(estimate in estimates()) {
        let Ok(plan) = plan(&estimate) else { return Ok(()) };
        let volume = Volume::of(&estimate, plan.horizon).unwrap();
        for candidate in &plan.candidates {
            for (gauge, state) in volume.gauges.iter().zip(&candidate.limits) {
                let parts = if gauge.kind.is_of_tables() { candidate.tables } else { candidate.instances.into() };
                let room = u128::from(gauge.counted) * u128::from(parts);
                match state.met {
                    None => prop_assert!((0..=volume.calendar.end()).all(|day| gauge.total.at(day) < room)),
                    Some(met) => {
                        let met = volume.calendar.day(met);
                        prop_assert!(gauge.total.at(met) >= room);
                        prop_assert!((0..met).all(|day| gauge.total.at(day) < room));
                    }
                }
            }
            prop_assert_eq!(candidate.lasts_until, candidate.limits.iter().filter_map(|l| l.met).min());
        }
    }

    #[test]
    fn more_rows_never_need_fewer_tables_nor_buy_time(estimate in estimates(), table in 0usize..4, more in 0u64..100_000_000, kind in 0u32..4) {
        let mut larger = estimate.clone();
        let count = larger.tables.len();
        let table = &mut larger.tables[table % count];
        match (kind, table.growth) {
            (0, _) => table.rows_per_year.iter_mut().for_each(|rows| *rows += more),
            (1, _) => table.start_rows += more,
            (2, _) => table.retention = None,
            (_, Growth::Compound(Percent(points))) => table.growth = Growth::Compound(Percent(points + more as u32 % 3_000)),
            (_, Growth::Linear(rows)) => table.growth = Growth::Linear(rows + more),
        }
        if let (Ok(a), Ok(b)) = (plan(&estimate), plan(&larger)) {
            if a.best().lasts && b.best().lasts {
                prop_assert!(b.best().tables >= a.best().tables, "{:?} {:?}", a.reason, b.reason);
                prop_assert!(b.best().instances >= a.best().instances);
            }
            // The same layout is full no later.
            for one in &a.candidates {
                let same = b.candidates.iter().find(|c| (c.instances, c.schemas, c.tables_per_schema) == (one.instances, one.schemas, one.tables_per_schema));
                let days = |candidate: &Candidate| candidate.days.unwrap_or(u32::MAX);
                if let Some(same) = same {
                    prop_assert!(days(same) <= days(one));
                }
            }
        }
    }

    #[test]
    fn the_tables_add_up_to_the_totals(estimate in estimates()) {
        let Ok(plan) = plan(&estimate) else { return Ok(()) };
        let sum = |of: &dyn Fn(&Outlook) -> u64| plan.tables.iter().map(of).sum::<u64>();
        prop_assert_eq!(sum(&|t| t.rows_now), plan.rows_now);
        prop_assert_eq!(sum(&|t| t.rows_at_horizon), plan.rows_at_horizon);
        prop_assert_eq!(Some(sum(&|t| t.bytes_at_horizon.unwrap())), plan.bytes_at_horizon);
        let most = plan.tables.iter().map(|t| t.rows_at_horizon).max().unwrap();
        for candidate in &plan.candidates {
            prop_assert_eq!(candidate.tables, u64::from(candidate.schemas) * u64::from(candidate.tables_per_schema));
            // The fullest has its share rounded up, so that all of them hold what there is.
            let (fullest, tables) = (candidate.at_horizon.rows_per_table, candidate.tables);
            prop_assert!(fullest * tables >= most && (fullest.max(1) - 1) * tables < most.max(1));
            let (fullest, instances) = (candidate.at_horizon.rows_per_instance, u64::from(candidate.instances));
            prop_assert!(fullest * instances >= plan.rows_at_horizon);
        }
    }

    #[test]
    fn any_estimate_is_answered(
        rows_per_year in prop::collection::vec(any::<u64>(), 0..4), start_rows in any::<u64>(),
        growth in prop_oneof![any::<u32>().prop_map(|p| Growth::Compound(Percent(p))), any::<u64>().prop_map(Growth::Linear)],
        months in prop::option::of(1u32..1_200), row in prop::option::of(any::<u64>()), days in 1u32..36_500,
        instances in prop_oneof![0u32..9, any::<u32>()], schemas in prop::option::of(prop_oneof![0u32..70, any::<u32>()]),
        limits in (any::<u64>(), prop::option::of(any::<u64>()), prop::option::of(any::<u64>()), prop::option::of(any::<u32>()), prop::option::of(any::<u64>()), any::<u32>()),
        rest in (any::<u64>(), prop::option::of(any::<u32>()), any::<u32>(), -9_999i16..=9_999),
    ) {
        let (rows_per_table, bytes_per_table, disk_per_instance, schemas_per_instance, tables_per_instance, headroom) = limits;
        let (move_bytes_per_second, records_per_user, broadcast_tables, year) = rest;
        let _ = plan(&Estimate {
            start: jiff::civil::date(year, 2, 28),
            horizon: format!("{days}d").parse().unwrap(),
            tables: vec![TableEstimate {
                name: None, start_rows, rows_per_year, growth, row_bytes: row, record_bytes: None,
                retention: months.map(|months| format!("{months}mo").parse().unwrap()),
            }],
            broadcast_tables, instances, schemas, records_per_user, move_bytes_per_second,
            limits: Limits {
                rows_per_table, bytes_per_table, disk_per_instance, schemas_per_instance,
                tables_per_instance, headroom_basis_points: Percent(headroom),
            },
        });
    }
}

#[test]
fn a_list_by_year_comes_as_listed() {
    let Yearly(rows) = "40M,60M,90M".parse().unwrap();
    let listed = with(|e| {
        e.tables[0].rows_per_year = rows;
        e.horizon = years(3);
    });
    assert_eq!(plan(&listed).unwrap().rows_at_horizon, 190_000_000);
}
