//! `plan` as a program: its files, its page, and that no input makes it panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;

const TABLES: &str = "\
CREATE TABLE member (
  memberId bigint unsigned NOT NULL,
  nickname varchar(64) NOT NULL,
  PRIMARY KEY (memberId)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `a<b&\"c` (
  memberId bigint unsigned NOT NULL,
  body longtext NOT NULL,
  PRIMARY KEY (memberId)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
";

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHARDCTL_")) {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// stdout of a run that must succeed.
fn shardctl(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// stderr of a run that must fail for a usage error.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_file_of_estimates_says_the_same_as_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("estimates.yaml"),
        "start: 2016-01-01\nhorizon: 3y\nrows_per_year: [13M, 15M]\nstart_rows: 26M\ngrowth: 20%\n\
         row_bytes: 200\nlimits:\n  disk_per_instance: 60G\n  headroom: 20%\n\
         tables:\n  member: 1\n  member_address: 1.4\n  orders: 40M\n",
    )
    .unwrap();
    let flags = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--start",
            "2016-01-01",
            "--years",
            "3",
            "--rows-per-year",
            "13M,15M",
            "--start-rows",
            "26M",
            "--growth",
            "20%",
            "--row-bytes",
            "200",
            "--disk-per-instance",
            "60G",
            "--headroom",
            "20",
            "--table",
            "member=1",
            "--table",
            "member_address=1.4",
            "--table",
            "orders=40M",
        ],
    );
    let file = shardctl(
        folder,
        &["plan", "-o", "json", "--estimates", "estimates.yaml"],
    );
    assert_eq!(file, flags);
    // A flag counts before the file.
    let both = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--estimates",
            "estimates.yaml",
            "--instances",
            "8",
        ],
    );
    let both: serde_json::Value = serde_json::from_str(&both).unwrap();
    assert_eq!(both["plan"]["estimate"]["instances"], 8);
    assert_eq!(
        both["plan"]["estimate"]["tables"][1]["rows_per_year"][0],
        18_200_000
    );
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("estimates.yaml"),
        "rows_per_year: -40M\nlimits: { headrom: 20% }\n",
    )
    .unwrap();
    insta::assert_snapshot!(refused(folder, &["plan", "--estimates", "estimates.yaml"]), @r"
    error: the file of estimates has a problem
      where:  estimates.yaml:2:11: unknown key `headrom`; did you mean `headroom`?
                  limits: { headrom: 20% }
                            ^
    ");
    std::fs::write(
        folder.join("estimates.yaml"),
        "rows_per_year: -40M\nhorizon: 500\ntables:\n  login: { per: member, ratio: 2 }\n",
    )
    .unwrap();
    insta::assert_snapshot!(refused(folder, &["plan", "--estimates", "estimates.yaml"]), @r"
    error: the file of estimates has 3 problems
      where:  estimates.yaml:1:16: rows_per_year: `-40M` is less than nothing; write 40M, 5_000_000, 1.5B, 250k or 1e6
                  rows_per_year: -40M
                                 ^
              estimates.yaml:2:10: horizon: `500` is more than the 100 years that can be planned
                  horizon: 500
                           ^
              estimates.yaml:4:17: per: no table `member` is given before this one
                    login: { per: member, ratio: 2 }
                                  ^
    ");
    std::fs::write(
        folder.join("estimates.yaml"),
        "rows_per_year: 40M\ntables:\n  login: { per: member, ratio: 2 }\n  member: 1\n",
    )
    .unwrap();
    insta::assert_snapshot!(refused(folder, &["plan", "--estimates", "estimates.yaml"]), @r"
    error: the file of estimates has a problem
      where:  estimates.yaml:3:17: per: no table `member` is given before this one
                    login: { per: member, ratio: 2 }
                                  ^
    ");
    std::fs::write(
        folder.join("bad.sql"),
        "SET x = 1;\nCREATE TABLE a (\n  k int,,\n);",
    )
    .unwrap();
    std::fs::write(folder.join("none.sql"), "SELECT 1;").unwrap();
    std::fs::write(folder.join("bytes.sql"), [0xff, 0xfe, 0x00]).unwrap();
    let tables = |file| refused(folder, &["plan", "--rows-per-year", "1M", "--tables", file]);
    insta::assert_snapshot!(tables("bad.sql"), @r"
    error: a table's definition cannot be read
      where:  bad.sql:3:9
      cause:  expected a column, a key or a constraint, found `,`
      next:   write it as SHOW CREATE TABLE prints it, or leave it out
    ");
    insta::assert_snapshot!(tables("none.sql"), @r"
    error: there is no CREATE TABLE in the file
      where:  none.sql
      next:   take a dump of the definitions: mysqldump --no-data SCHEMA
    ");
    insta::assert_snapshot!(tables("bytes.sql"), @r"
    error: could not read the SQL file
      where:  bytes.sql
      cause:  stream did not contain valid UTF-8
      next:   name a file that is there and can be read
    ");
    insta::assert_snapshot!(tables("missing.yaml"), @r"
    error: could not read the topology file
      where:  missing.yaml
      cause:  No such file or directory (os error 2)
      next:   name a file that is there and can be read
    ");
}

#[test]
fn an_sql_file_gives_the_bytes_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tables.sql"), TABLES).unwrap();
    let shown = shardctl(
        folder,
        &[
            "plan",
            "--tables",
            "tables.sql",
            "--rows-per-year",
            "10M",
            "--table",
            "member=1",
            "--table",
            "a<b&\"c=0.1",
            "--start",
            "2016-01-01",
            "--page-fill",
            "94",
        ],
    );
    insta::assert_snapshot!(shown, @r#"
    2 tables, 11M rows in the first year, from 2016-01-01: 22M rows and 2.4 GiB after 2 years
    +--------+-----------------+---------------+-----------+--------------+--------------------+
    | table  | rows            | after 2 years | row bytes | with indexes | size after 2 years |
    +==========================================================================================+
    | member | 10M rows a year |    20,000,000 |        51 |           63 |            1.2 GiB |
    | a<b&"c | 1M rows a year  |     2,000,000 |       540 |          664 |            1.2 GiB |
    +--------+-----------------+---------------+-----------+--------------+--------------------+
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    |    | instances | schemas | tables each | tables | rows/table | size/table | rows/instance | size/instance | idle |
    +==================================================================================================================+
    | => |         2 |      16 |           1 |     16 |  1,250,000 |   79.2 MiB |    11,000,000 |       1.2 GiB | 75 % |
    |    |         2 |      32 |           1 |     32 |    625,000 |   39.6 MiB |    11,000,000 |       1.2 GiB | 87 % |
    |    |         2 |      64 |           1 |     64 |    312,500 |   19.8 MiB |    11,000,000 |       1.2 GiB | 93 % |
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    +----+-----------+---------+-------------+-------------------------+-------------------------------------+-----------+
    |    | instances | schemas | tables each | lasts until             | next split                          | takes     |
    +====================================================================================================================+
    | => |         2 |      16 |           1 | 2024-01-01 (8.0 years)  | to 32 schemas: 44M rows, 4.8 GiB    | 2 minutes |
    |    |         2 |      32 |           1 | 2032-01-01 (16.0 years) | to 64 schemas: 88M rows, 9.6 GiB    | 4 minutes |
    |    |         2 |      64 |           1 | 2048-01-01 (32.0 years) | to 128 schemas: 176M rows, 19.3 GiB | 7 minutes |
    +----+-----------+---------+-------------+-------------------------+-------------------------------------+-----------+
    recommended: 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2024-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2024-01-01 each schema is split in two, 32 in all: 44M rows move (4.8 GiB, 2 minutes at 50.0 MiB a second), and it lasts until 2032-01-01.
    for 5 years, 55M rows: 16 schemas of one table on 2 instances: the smallest layout that lasts 5 years; it meets its first limit, rows per table, on 2024-01-01.
    note: bytes are by the DDL, pages taken as 94 % full; texts are taken as half as long as they may be up to 20 characters, and an eighth of what they may be above that; one character in four as a long one; TEXT, BLOB and JSON as 512 bytes; one in five nullable values as NULL
    "#);
    let full = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--tables",
            "tables.sql",
            "--rows-per-year",
            "10M",
            "--page-fill",
            "94",
        ],
    );
    let half = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--tables",
            "tables.sql",
            "--rows-per-year",
            "10M",
            "--page-fill",
            "50",
        ],
    );
    let bytes = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        json["plan"]["bytes_at_horizon"].as_f64().unwrap()
    };
    assert!((1.8..1.95).contains(&(bytes(&half) / bytes(&full))));
}

#[test]
fn the_layout_that_is_written_is_the_one_that_is_recommended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let user_center = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.yaml");
    let json = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--rows-per-year",
            "40M",
            "--years",
            "5",
            "--tables",
            user_center.to_str().unwrap(),
            "--disk-per-instance",
            "100G",
            "--write",
            "new.yaml",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let plan = &json["plan"];
    let best = &plan["candidates"][plan["recommended"].as_u64().unwrap() as usize];
    assert_eq!(best["lasts"], true);
    let steps = shardctl(
        folder,
        &["create", "--dry-run", "--offline", "-t", "new.yaml"],
    );
    let tables = steps.matches("CREATE TABLE").count() as u64;
    assert_eq!(tables, 6 * best["tables"].as_u64().unwrap());
    assert_eq!(
        steps.matches("CREATE DATABASE").count() as u64,
        best["schemas"].as_u64().unwrap()
    );
    let text = std::fs::read_to_string(folder.join("new.yaml")).unwrap();
    let instances = text.matches("host: ").count() as u64;
    assert_eq!(instances, best["instances"].as_u64().unwrap());
    // The comment tells why.
    assert!(text.starts_with("# 6 tables"), "{text}");
}

#[test]
fn files_are_written_once_or_by_force_and_none_where_the_plan_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let args = [
        "plan",
        "--rows-per-year",
        "40M",
        "--write",
        "a.yaml",
        "--report",
        "a.html",
    ];
    shardctl(folder, &args);
    insta::assert_snapshot!(refused(folder, &args), @r"
    error: the file is there already
      where:  a.yaml
      now:    nothing was written
      next:   say --force to replace it
    ");
    shardctl(folder, &[&args[..], &["--force"]].concat());
    refused(
        folder,
        &[
            "plan",
            "--rows-per-year",
            "0",
            "--write",
            "b.yaml",
            "--report",
            "b.html",
        ],
    );
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
    let nowhere = refused(
        folder,
        &["plan", "--rows-per-year", "1", "--report", "no/such/a.html"],
    );
    assert!(nowhere.contains("could not write the file"), "{nowhere}");
}

/// Every tag that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let (tag, after) = rest.split_once('>').unwrap();
        rest = after;
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if tag.starts_with('!') || tag.ends_with('/') || ["meta", "br"].contains(&name) {
            continue;
        }
        match tag.starts_with('/') {
            false => open.push(name),
            true => assert_eq!(open.pop(), Some(name), "before {after:.60}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_stands_alone_and_says_what_the_tables_say() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tables.sql"), TABLES).unwrap();
    let json = shardctl(
        folder,
        &[
            "plan",
            "-o",
            "json",
            "--tables",
            "tables.sql",
            "--rows-per-year",
            "40M",
            "--start-rows",
            "10M",
            "--table",
            "member=1",
            "--table",
            "a<b&\"c=0.01",
            "--start",
            "2016-01-01",
            "--disk-per-instance",
            "50G",
            "--headroom",
            "10",
            "--report",
            "plan.html",
        ],
    );
    let page = std::fs::read_to_string(folder.join("plan.html")).unwrap();
    assert_balanced(&page);
    for outside in [
        "http", "<script", "src=", "href=", "url(", "@import", "<link", "NaN", "inf,",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("a&lt;b&amp;&quot;c") && !page.contains("a<b"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let plan = &json["plan"];
    let candidates = plan["candidates"].as_array().unwrap();
    for candidate in candidates {
        let cell = format!("<td class=\"number\">{}</td>", candidate["tables"]);
        assert!(page.contains(&cell), "{cell}");
    }
    // What each holds, and when it is full.
    assert_eq!(page.matches("<tr class=\"best\">").count(), 2);
    // A curve for each limit that something grows towards, its limits and the horizon in it.
    let curves = plan["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 2);
    assert_eq!(page.matches("<figure>").count(), curves.len());
    for line in ["limit", "headroom", "horizon"] {
        assert_eq!(
            page.matches(&format!("<line class=\"{line}\"")).count(),
            curves.len()
        );
    }
    let best = &candidates[plan["recommended"].as_u64().unwrap() as usize];
    let until = best["lasts_until"].as_str().unwrap();
    assert!(page.contains(&format!("<dd>{until}</dd>")));
    assert!(page.contains(&format!("full on {until}")));
}

/// stdout of a run that must end with this exit code, and stderr.
fn ended(folder: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = run(folder, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}: {stdout}{stderr}"
    );
    (stdout, stderr)
}

#[test]
fn a_plan_in_which_nothing_lasts_says_no() {
    let folder = tempfile::tempdir().unwrap();
    let args = |limit| {
        [
            "plan",
            "--rows-per-year",
            "40M",
            "--row-bytes",
            "1000",
            "--schemas",
            "2",
            "--disk-per-instance",
            limit,
            "--write",
            "t.yaml",
            "--force",
        ]
    };
    let (shown, _) = ended(folder.path(), &args("20G"), 1);
    assert!(
        shown.contains("no layout within the limits lasts 2 years"),
        "{shown}"
    );
    // The best there is is written all the same, and its first lines say so.
    let text = std::fs::read_to_string(folder.path().join("t.yaml")).unwrap();
    assert!(
        text.contains("no layout within the limits lasts 2 years"),
        "{text}"
    );
    ended(folder.path(), &args("200G"), 0);
    // What it was planned for is what the fleet is checked for.
    let text = std::fs::read_to_string(folder.path().join("t.yaml")).unwrap();
    assert!(
        text.contains("check:\n  bytes_per_instance: 214748364800\n"),
        "{text}"
    );
}

#[test]
fn periods_are_words_for_people_and_numbers_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let estimate = |years: &str, retention: &str| {
        let args = [
            "plan",
            "-o",
            "json",
            "--rows-per-year",
            "1M",
            "--start",
            "2016-01-01",
            "--years",
            years,
            "--retention",
            retention,
        ];
        let json: serde_json::Value =
            serde_json::from_str(&shardctl(folder.path(), &args)).unwrap();
        let plan = &json["plan"];
        let (all, table) = (&plan["estimate"], &plan["estimate"]["tables"][0]);
        format!(
            "{} {} {} = {} {}; {} {} {}",
            all["horizon"],
            all["horizon_months"],
            all["horizon_days"],
            plan["horizon"],
            plan["horizon_days"],
            table["retention"],
            table["retention_months"],
            table["retention_days"]
        )
    };
    insta::assert_snapshot!(estimate("2", "90d"), @r#""2 years" 24 null = "2018-01-01" 731; "90 days" null 90"#);
    insta::assert_snapshot!(estimate("30w", "18mo"), @r#""30 weeks" null 210 = "2016-07-29" 210; "18 months" 18 null"#);
}

#[test]
fn nothing_is_written_where_nothing_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "plan",
        "-o",
        "csv",
        "--rows-per-year",
        "40M",
        "--write",
        "t.yaml",
        "--report",
        "t.html",
    ];
    insta::assert_snapshot!(refused(folder.path(), &args), @r"
    error: this output format is for the rows of a query
      next:   take --output table or --output json
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_topology_that_is_named_has_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.yaml");
    std::fs::copy(&topology, folder.path().join("topology.yaml")).unwrap();
    let plan = |flag: &[&str]| {
        let args = [
            &["plan", "--rows-per-year", "40M", "--start", "2016-01-01"],
            flag,
        ]
        .concat();
        shardctl(folder.path(), &args)
    };
    assert_eq!(
        plan(&["-t", "topology.yaml"]),
        plan(&["--tables", "topology.yaml"])
    );
    // One that merely lies there is not meant.
    assert!(plan(&[]).starts_with("40M rows a year"), "{}", plan(&[]));
    let missing = ended(
        folder.path(),
        &["plan", "--rows-per-year", "1M", "-t", "no.yaml"],
        2,
    )
    .1;
    assert!(
        missing.contains("could not read the topology file"),
        "{missing}"
    );
}

#[test]
fn large_rows_lower_the_limit_as_the_published_rule_says() {
    let folder = tempfile::tempdir().unwrap();
    let wide: String = (0..17)
        .map(|n| format!("c{n} binary(255) NOT NULL, "))
        .collect();
    let ddl = format!("CREATE TABLE a (id bigint NOT NULL, {wide}PRIMARY KEY (id));");
    std::fs::write(folder.path().join("a.sql"), ddl).unwrap();
    let plan = |limit: &str| {
        let args = [
            "plan",
            "-o",
            "json",
            "--rows-per-year",
            "1M",
            "--tables",
            "a.sql",
            "--max-rows-per-table",
            limit,
        ];
        let json: serde_json::Value =
            serde_json::from_str(&shardctl(folder.path(), &args)).unwrap();
        let plan = &json["plan"];
        format!(
            "{}; {}",
            plan["tables"][0]["rows_per_table_max"], plan["notes"][0]
        )
    };
    insta::assert_snapshot!(plan("50M"), @r#"5000000; "rows of more than 4096 bytes in `a`: at most 5M to a table, by the published rule""#);
    insta::assert_snapshot!(plan("5M"), @r#"5000000; "rows of more than 4096 bytes in `a`: at most 5M to a table, by the published rule; the limit is no higher""#);
    insta::assert_snapshot!(plan("2M"), @r#"2000000; "rows of more than 4096 bytes in `a`: at most 5M to a table, by the published rule; the limit is no higher""#);
}

#[test]
fn a_page_tells_its_skew_bars_apart_and_shows_what_has_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let keys: String = (0..4_000)
        .map(|n| {
            if n % 4 == 0 {
                format!("{n}\n")
            } else {
                format!("user{n}\n")
            }
        })
        .collect();
    std::fs::write(folder.path().join("keys.txt"), keys).unwrap();
    let page = |how: &[&str]| {
        let args = [
            "plan",
            "--rows-per-year",
            "100M",
            "--sample",
            "keys.txt",
            "--key-type",
            "varchar(64)",
            "--force",
            "--report",
            "p.html",
        ];
        shardctl(folder.path(), &[&args[..], how].concat());
        std::fs::read_to_string(folder.path().join("p.html")).unwrap()
    };
    // The line of an interval goes through the top of its bar, whatever has no place.
    let sampled = page(&["--sample-rows", "3000"]);
    let number = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse::<f64>().unwrap()
    };
    let mut lines = 0;
    for bar in sampled.split("<rect class=\"bar").skip(1) {
        if let Some((bar, line)) = bar.split_once("<line class=\"interval\"") {
            let (low, top, high) = (number(line, "y1"), number(bar, "y"), number(line, "y2"));
            assert!(low + 0.1 >= top && top >= high - 0.1, "{bar}{line:.90}");
            lines += 1;
        }
    }
    assert!(lines > 100, "{lines}");
    let page = page(&[]);
    assert_balanced(&page);
    let captions: Vec<&str> = page
        .split("<figcaption>")
        .skip(1)
        .map(|rest| rest.split("</figcaption>").next().unwrap())
        .filter(|caption| caption.contains("keys.txt"))
        .collect();
    let different: std::collections::BTreeSet<&&str> = captions.iter().collect();
    assert!(captions.len() >= 8, "{captions:?}");
    assert_eq!(captions.len(), different.len(), "{captions:?}");
    // `mod` has no place for a word: that is said, and is a bar above all others.
    for figure in page.split("<figure>").skip(1) {
        let figure = figure.split("</figure>").next().unwrap();
        let unfit = figure.contains("keys.txt by mod");
        assert_eq!(figure.contains("unfit for these keys: "), unfit, "{figure}");
        assert_eq!(
            figure.contains("<title>none: 3,000 rows</title>"),
            unfit,
            "{figure}"
        );
        assert_eq!(figure.contains("bar unfit"), unfit, "{figure}");
        assert!(
            !unfit || !figure.contains("largest over the mean"),
            "{figure}"
        );
    }
}

#[test]
fn the_gate_on_skew_goes_by_the_interval_of_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let keys: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("keys.txt"), keys).unwrap();
    let gate = |how: &[&str], code| {
        let args = [
            "plan",
            "--sample",
            "keys.txt",
            "--functions",
            "mod",
            "--max-skew",
            "1.3",
        ];
        let args = [&args[..], &["--shards", "16"], how].concat();
        ended(folder.path(), &args, code).0
    };
    let all = gate(&[], 0);
    assert!(
        all.ends_with("no candidate exceeds --max-skew 1.3\n"),
        "{all}"
    );
    // So few keys look even by chance: what they stand for may be far from it.
    let few = gate(&["--sample-rows", "2000"], 1);
    assert!(few.contains("FAILED: mod over 16 (up to "), "{few}");
    assert!(
        few.contains("note: of a sample the upper end of the interval counts"),
        "{few}"
    );
    let many = gate(&["--sample-rows", "50000"], 0);
    assert!(many.contains("no candidate exceeds"), "{many}");
}

#[test]
fn a_source_of_keys_that_is_not_there_is_said_to_be_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |source| refused(folder.path(), &["plan", "--sample", source]);
    insta::assert_snapshot!(sample("/nonexistent"), @r"
    error: there is no file `/nonexistent`
      cause:  nor is it a live table: `/nonexistent` is not INSTANCE/SCHEMA.TABLE.COLUMN
      next:   write rds-1/SCHEMA.TABLE.COLUMN for an instance of the topology, or 10.0.0.7:3306/SCHEMA.TABLE.COLUMN, or /run/mysqld/mysqld.sock/SCHEMA.TABLE.COLUMN
    ");
    insta::assert_snapshot!(sample("/tmp/no/such/keys.txt"), @r"
    error: there is no file `/tmp/no/such/keys.txt`
      cause:  nor is it a live table: there is no socket `/tmp/no/such`
      next:   write INSTANCE/SCHEMA.TABLE.COLUMN for a live table, or - for stdin
    ");
    insta::assert_snapshot!(sample("data/keys.txt"), @r"
    error: there is no file `data/keys.txt`
      cause:  nor is it a live table: there is no instance `data`: there is no topology file topology.yaml
      next:   name the server by its address: HOST:PORT/SCHEMA.TABLE.COLUMN
    ");
    insta::assert_snapshot!(sample("keys.txt"), @r"
    error: there is no file `keys.txt`
      next:   write INSTANCE/SCHEMA.TABLE.COLUMN for a live table, or - for stdin
    ");
}

#[test]
fn a_plan_is_made_at_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let args = [
        "plan",
        "--rows-per-year",
        "40M",
        "--years",
        "10",
        "--growth",
        "20%",
        "--tables",
        "topology.yaml",
        "--disk-per-instance",
        "100G",
    ];
    // Unoptimised code takes many times as long; and one quick run is enough, for what slows the
    // others down is the machine.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 50 });
    let mut runs = (0..20).map(|_| {
        let start = Instant::now();
        shardctl(folder, &args);
        start.elapsed()
    });
    assert!(runs.any(|took| took < most), "never within {most:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_arguments_make_it_panic(
        values in prop::collection::vec((0usize..14, "(-?[0-9]{1,20}(\\.[0-9]{1,3})?(k|M|T|G|%|y|mo|d)?|[a-z]{0,3}=?-?[0-9.]{0,6}|\\PC{0,4}|2016-01-01|9999-12-31)"), 0..6),
    ) {
        const FLAGS: [&str; 14] = [
            "--rows-per-year", "--years", "--growth", "--start-rows", "--retention", "--start",
            "--row-bytes", "--instances", "--schemas", "--max-rows-per-table", "--headroom",
            "--table", "--disk-per-instance", "--max-tables-per-instance",
        ];
        let mut args = vec!["plan".to_owned(), "--rows-per-year=40M".to_owned()];
        for (flag, value) in &values {
            if value.contains('\0') {
                continue;
            }
            // The last of a flag counts, but clap refuses a second one.
            args.retain(|arg| !arg.starts_with(&format!("{}=", FLAGS[*flag])) || *flag == 11);
            args.push(format!("{}={value}", FLAGS[*flag]));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = run(Path::new("."), &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        prop_assert!(matches!(code, Some(0..=2)), "{args:?}: {stderr}");
        prop_assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        prop_assert_eq!(code != Some(2), stderr.is_empty(), "{:?}: {}", args, stderr);
    }
}
