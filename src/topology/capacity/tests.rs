use proptest::prelude::*;

use super::*;
use crate::topology::file::parse;

fn user_center() -> Topology {
    parse(include_str!("../../../topology.yaml")).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-24T03:00:00Z";

fn today() -> Date {
    jiff::civil::date(2026, 11, 24)
}

/// Every physical table holds what this says of its logical name and number.
fn snapshot(at: &str, exact: bool, rows: impl Fn(&str, u32) -> u64) -> Snapshot {
    let topology = user_center();
    let mut tables: BTreeMap<String, BTreeMap<String, Size>> = BTreeMap::new();
    for table in topology.tables.values() {
        for place in topology.places(table) {
            let physical = topology.physical(table, place);
            let rows = rows(table.name.as_str(), place.table);
            tables
                .entry(physical.schema.to_string())
                .or_default()
                .insert(
                    physical.table.to_string(),
                    Size {
                        rows,
                        bytes: rows * 100,
                    },
                );
        }
    }
    Snapshot {
        format: FORMAT,
        cluster: "user_center".to_owned(),
        taken_at: time(at),
        exact,
        tables,
    }
}

fn limits(fail: &str, warn: &str) -> Limits {
    Limits {
        rows_per_table: 5_000_000,
        bytes_per_instance: None,
        fail: fail.parse().unwrap(),
        warn: warn.parse().unwrap(),
    }
}

#[test]
fn what_is_said_counts_before_what_the_file_says() {
    let time = |text: &str| Some(text.parse::<Horizon>().unwrap());
    let file = Thresholds {
        warn: time("18mo"),
        fail: time("6mo"),
        rows_per_table: Some(10_000_000),
        ..Thresholds::default()
    };
    let said = |flags: Thresholds| {
        let limits = flags.or(&file).limits().unwrap();
        format!("{} {} {}", limits.fail, limits.warn, limits.rows_per_table)
    };
    assert_eq!(said(Thresholds::default()), "6mo 18mo 10000000");
    let fail = Thresholds {
        fail: time("1y"),
        ..Thresholds::default()
    };
    assert_eq!(said(fail), "1y 18mo 10000000");
    // A horizon is what both are: it would be without effect beside the file's.
    let horizon = Thresholds {
        horizon: time("2y"),
        rows_per_table: Some(7),
        ..Thresholds::default()
    };
    assert_eq!(said(horizon), "2y 2y 7");
    let late = Thresholds {
        fail: time("2y"),
        ..Thresholds::default()
    };
    assert_eq!(
        late.or(&file).limits().unwrap_err().to_string(),
        "warn 18mo is sooner than fail 2y: nothing would ever be warned of"
    );
    assert_eq!(Thresholds::default().limits(), Ok(limits("12mo", "12mo")));
}

/// The published rule: at most five million rows where one is larger than 4 KB.
#[test]
fn large_rows_lower_the_limit_of_their_table_only() {
    let mut topology = user_center();
    for table in topology.tables.values_mut() {
        if table.name.as_str() == "member" {
            let ddl = "CREATE TABLE member (memberId bigint NOT NULL, a char(255) NOT NULL, \
                       b binary(255) NOT NULL, PRIMARY KEY (memberId)) CHARSET=latin1";
            let wide = (0..16).fold(ddl.to_owned(), |sql, n| {
                sql.replace(", b ", &format!(", c{n} binary(255) NOT NULL, b "))
            });
            table.def = crate::schema::parse::parse_create_table(&wide).unwrap();
        }
    }
    let now = snapshot(NOW, true, |_, _| 6_000_000);
    let held = |most| {
        let limits = Limits {
            rows_per_table: most,
            ..limits("12mo", "12mo")
        };
        let found = capacity(
            &topology,
            &now,
            Err("none".to_owned()),
            &[],
            &limits,
            today(),
        );
        let of = |name: &str| {
            let gauge = found.gauges.iter().find(|gauge| {
                matches!(&gauge.what, What::Rows { logical, .. } if logical.as_str() == name)
            });
            gauge.map(|gauge| (gauge.limit, gauge.verdict)).unwrap()
        };
        (of("member"), of("email_verify"))
    };
    assert_eq!(
        held(50_000_000),
        ((5_000_000, Verdict::Breached), (50_000_000, Verdict::Holds))
    );
    assert_eq!(held(4_000_000).0.0, 4_000_000);
}

#[test]
fn lengths_of_time_are_read_and_nonsense_is_refused() {
    let check = |text: &str, end: Date| {
        assert_eq!(text.parse::<Horizon>().unwrap().end(today()), end, "{text}");
    };
    check("12mo", jiff::civil::date(2027, 11, 24));
    check("2y", jiff::civil::date(2028, 11, 24));
    check("1w", jiff::civil::date(2026, 12, 1));
    check("7 days", jiff::civil::date(2026, 12, 1));
    for text in [
        "",
        "12",
        "mo",
        "12m",
        "-3mo",
        "1.5y",
        "twelve months",
        "12mo later",
    ] {
        assert_eq!(
            text.parse::<Horizon>(),
            Err(HorizonError::Form(text.to_owned()))
        );
    }
    assert_eq!(
        "0d".parse::<Horizon>().unwrap_err().to_string(),
        "`0d` is no time at all; it should be at least a day"
    );
    for text in ["101y", "99999999999999999999d", "36526d"] {
        assert_eq!(
            text.parse::<Horizon>(),
            Err(HorizonError::TooLong(text.to_owned()))
        );
    }
}

#[test]
fn measured_growth_gives_the_date_and_what_is_first() {
    let before = snapshot("2026-08-26T03:00:00Z", true, |_, _| 1_000_000);
    let now = snapshot(NOW, true, |table, number| match (table, number) {
        ("member", 3) => 2_500_000,
        _ => 1_200_000,
    });
    let found = capacity(
        &user_center(),
        &now,
        Ok(&before),
        &[],
        &limits("3mo", "12mo"),
        today(),
    );
    let first = &found.gauges[0];
    // 1.5M in 90 days: the 2.5M that are left last 150 days.
    assert_eq!(first.what.to_string(), "user_center_03.member_03");
    assert_eq!(first.full, Full::On(jiff::civil::date(2027, 4, 23)));
    assert_eq!(first.verdict, Verdict::Warned);
    assert_eq!(
        found.basis,
        Basis::Since {
            taken_at: before.taken_at,
            days: 90,
            exact: true
        }
    );
    // 0.2M in 90 days: 1,710 days.
    assert_eq!(
        found.gauges[1].full,
        Full::On(jiff::civil::date(2031, 7, 31))
    );
    let unlike: Vec<(String, bool)> = found
        .unlike
        .iter()
        .map(|unlike| (unlike.table.table.to_string(), unlike.growth))
        .collect();
    assert_eq!(
        unlike,
        [
            ("member_03".to_owned(), false),
            ("member_03".to_owned(), true)
        ]
    );
    let breach = capacity(
        &user_center(),
        &now,
        Ok(&before),
        &[],
        &limits("6mo", "12mo"),
        today(),
    );
    assert_eq!(breach.gauges[0].verdict, Verdict::Breached);
    assert_eq!(breach.gauges[1].verdict, Verdict::Holds);
}

#[test]
fn growth_is_unknown_at_first_and_can_be_stated() {
    let now = snapshot(NOW, false, |_, _| 100);
    let first = || Err("first measurement".to_owned());
    let limits = limits("3mo", "12mo");
    let found = capacity(&user_center(), &now, first(), &[], &limits, today());
    assert!(
        found
            .gauges
            .iter()
            .all(|gauge| gauge.full == Full::Unknown && gauge.source == Source::Unknown)
    );
    let all: Stated = "48M".parse().unwrap();
    let found = capacity(&user_center(), &now, first(), &[all], &limits, today());
    // 96 tables share it.
    assert!(
        found
            .gauges
            .iter()
            .all(|gauge| gauge.per_year == Some(500_000) && gauge.source == Source::Stated)
    );
    let one: Stated = "member=16M".parse().unwrap();
    let found = capacity(&user_center(), &now, first(), &[one], &limits, today());
    assert_eq!(found.gauges[0].per_year, Some(1_000_000));
    assert_eq!(
        found
            .gauges
            .iter()
            .filter(|gauge| gauge.per_year.is_some())
            .count(),
        16
    );
    for text in ["", "member=", "=5", "member=5=5", "x"] {
        assert!(text.parse::<Stated>().is_err(), "{text}");
    }
}

#[test]
fn the_2016_fleet_is_full_after_two_years() {
    let empty = snapshot(NOW, true, |_, _| 0);
    // 40 million rows a year in the sixteen physical tables of one logical table.
    let stated: Stated = "member=40M".parse().unwrap();
    let found = capacity(
        &user_center(),
        &empty,
        Err("first measurement".to_owned()),
        &[stated],
        &limits("3mo", "24mo"),
        today(),
    );
    assert_eq!(
        found.gauges[0].full,
        Full::On(jiff::civil::date(2028, 11, 23))
    );
}

#[test]
fn disks_fill_with_their_tables() {
    let before = snapshot("2026-05-24T03:00:00Z", true, |_, _| 10_000);
    let now = snapshot(NOW, true, |_, _| 20_000);
    let limits = Limits {
        bytes_per_instance: Some(48 * 20_000 * 100 * 2),
        ..limits("3mo", "12mo")
    };
    let found = capacity(&user_center(), &now, Ok(&before), &[], &limits, today());
    let disk = &found.gauges[0];
    assert_eq!(disk.what.to_string(), "the disk of rds-1");
    // Twice the rows in 184 days, and as many again in 368.
    assert_eq!(disk.full, Full::On(jiff::civil::date(2027, 11, 27)));
}

#[test]
fn a_measurement_to_compare_with_is_chosen_with_care() {
    let check = |history: &[(&str, bool)], exact: bool, expected: Result<usize, &str>| {
        let taken: Vec<Taken> = history
            .iter()
            .map(|(at, exact)| Taken {
                at: time(at),
                exact: *exact,
            })
            .collect();
        assert_eq!(
            baseline(&taken, time(NOW), exact),
            expected.map_err(str::to_owned)
        );
    };
    check(&[], true, Err("first measurement"));
    check(
        &[("2026-11-24T00:00:00Z", true)],
        true,
        Err("the history is 3 hours long, and growth needs a day"),
    );
    // From a clock that was wrong.
    check(
        &[("2027-11-24T00:00:00Z", true)],
        true,
        Err("first measurement"),
    );
    check(
        &[
            ("2026-01-01T00:00:00Z", true),
            ("2026-10-01T00:00:00Z", true),
        ],
        true,
        Ok(0),
    );
    check(
        &[
            ("2026-01-01T00:00:00Z", false),
            ("2026-10-01T00:00:00Z", true),
        ],
        true,
        Ok(1),
    );
    check(&[("2026-01-01T00:00:00Z", false)], true, Ok(0));
    // Estimates need a month, on either side.
    let needs =
        "the history is 29 days long, and growth needs 30 days of estimates, or a day of counts";
    check(&[("2026-10-25T12:00:00Z", true)], false, Err(needs));
    check(&[("2026-10-25T12:00:00Z", false)], true, Err(needs));
    check(&[("2026-10-25T02:00:00Z", false)], true, Ok(0));
    check(
        &[
            ("2026-10-25T12:00:00Z", false),
            ("2026-11-22T00:00:00Z", true),
        ],
        true,
        Ok(1),
    );
    // Too old, as long as there is a younger one.
    check(
        &[
            ("2020-01-01T00:00:00Z", true),
            ("2026-10-01T00:00:00Z", true),
        ],
        true,
        Ok(1),
    );
    check(
        &[
            ("2019-01-01T00:00:00Z", true),
            ("2020-10-01T00:00:00Z", true),
        ],
        true,
        Ok(1),
    );
}

#[test]
fn estimates_are_pooled_so_that_their_noise_is_no_alarm() {
    // Each estimate is off by up to a quarter, in turns up and down; the fleet grew by a fifth.
    let noisy = |rows: u64, number: u32, turn: u32| match (number + turn) % 4 {
        0 => rows * 5 / 4,
        1 => rows * 3 / 4,
        _ => rows,
    };
    let before = snapshot("2026-09-25T03:00:00Z", false, |_, number| {
        noisy(2_000_000, number, 0)
    });
    let now = snapshot(NOW, false, |_, number| noisy(2_400_000, number, 1));
    let found = capacity(
        &user_center(),
        &now,
        Ok(&before),
        &[],
        &limits("3mo", "12mo"),
        today(),
    );
    assert_eq!(found.unlike, []);
    // 0.4M in 60 days for a table of the mean size: about 2.4M a year, give or take its own size.
    for gauge in &found.gauges {
        let rate = gauge.per_year.unwrap();
        let expected = gauge.now as i64 * 365 / 60 / 6;
        assert!((rate - expected).abs() < expected / 50, "{rate} {expected}");
    }
    // The same from counts is a table that shrinks beside one that doubles.
    let (mut before, mut now) = (before, now);
    (before.exact, now.exact) = (true, true);
    let found = capacity(
        &user_center(),
        &now,
        Ok(&before),
        &[],
        &limits("3mo", "12mo"),
        today(),
    );
    assert!(found.gauges.iter().any(|gauge| gauge.per_year < Some(0)));
}

#[test]
fn what_chance_does_is_not_called_unlike() {
    // Sixteen tables of 10,000 rows by a good hash: a few hundred more or less.
    let even: Vec<f64> = (0..16)
        .map(|n| 10_000.0 + 200.0 * f64::from(n % 5) - 400.0)
        .collect();
    assert_eq!(unusual(&even, UNLIKE_RATIO).unwrap().1, [0usize; 0]);
    let few: Vec<f64> = (0..16).map(|n| f64::from(n % 6)).collect();
    assert_eq!(unusual(&few, UNLIKE_RATIO).unwrap().1, [0usize; 0]);
    let mut hot = even.clone();
    hot[7] = 30_000.0;
    hot[9] = 10.0;
    assert_eq!(unusual(&hot, UNLIKE_RATIO).unwrap().1, [7, 9]);
    // It shrinks where the others grow.
    hot[7] = -5_000.0;
    assert_eq!(unusual(&hot, UNLIKE_RATIO).unwrap().1, [7, 9]);
    assert_eq!(unusual(&[1.0, 1000.0, 1.0], UNLIKE_RATIO), None);
}

proptest! {
    #[test]
    fn a_table_that_is_fuller_than_the_limit_is_always_reported(
        rows in prop::collection::vec(0..12_000_000u64, 16),
        before in prop::option::of(prop::collection::vec(0..12_000_000u64, 16)),
        fail in 1..100u16,
    ) {
        let now = snapshot(NOW, true, |_, number| rows[number as usize]);
        let before = before.map(|before| snapshot("2026-01-01T00:00:00Z", true, |_, number| before[number as usize]));
        let limits = limits(&format!("{fail}y"), &format!("{fail}y"));
        let found = capacity(&user_center(), &now, before.as_ref().ok_or_else(|| "first measurement".to_owned()), &[], &limits, today());
        prop_assert_eq!(found.gauges.len(), 96);
        for gauge in &found.gauges {
            if gauge.now >= 5_000_000 {
                prop_assert_eq!((gauge.full, gauge.verdict), (Full::Now, Verdict::Breached));
            }
        }
        // And comes before everything else.
        let fulls: Vec<Full> = found.gauges.iter().map(|gauge| gauge.full).collect();
        prop_assert!(fulls.is_sorted());
        let same_date = found.gauges.windows(2).filter(|pair| pair[0].full == pair[1].full);
        for pair in same_date {
            prop_assert!(pair[0].now >= pair[1].now, "the fuller of two comes first");
        }
    }

    #[test]
    fn faster_growth_is_never_full_later(now in 0..5_000_000u64, slow in -1_000_000..1_000_000_000i64, more in 0..1_000_000_000i64) {
        let at = |rate: i64| full(now, 5_000_000, Some(rate), today());
        prop_assert!(at(slow + more) <= at(slow));
    }

    #[test]
    fn absurd_numbers_are_answered(now in any::<u64>(), limit in any::<u64>(), rate in any::<i64>()) {
        let _ = full(now, limit, Some(rate), today());
        let _ = full(now, limit, Some(rate), Date::MAX);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,12}|[0-9]{0,25} ?(d|w|mo|y|m)?") {
        if let Ok(horizon) = text.parse::<Horizon>() {
            prop_assert!(horizon.end(today()) > today());
            let _ = horizon.end(Date::MAX);
        }
        let _ = text.parse::<Stated>();
    }
}
