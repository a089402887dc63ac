//! What `check` found: for a person in a few lines, for CI as JSON, JUnit and annotations.
//!
//! A [`CheckReport`] is a list of checks, a check a list of cases (one logical table, one
//! instance), a case a list of findings. Everything that is printed comes from these.

pub mod annotations;
pub mod junit;

use std::fmt;

use serde::Serialize;

use super::{Report, View, bytes, count};
use crate::topology::capacity::{Basis, Capacity, Full, Gauge, Source, Verdict, What};
use crate::topology::file::places::LineColumn;

/// Lines that a person gets of one check; the others are counted.
const FINDINGS_SHOWN_MAX: usize = 20;

/// The checks, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The file is sound.
    File,
    /// Nothing in it is legal and bites all the same.
    Routing,
    /// The servers are there, and in the state that the file takes for granted.
    Live,
    /// Schemas and tables are as the file wants them.
    Drift,
    /// Capacity holds long enough.
    Capacity,
}

impl Check {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Check::File => "file",
            Check::Routing => "routing",
            Check::Live => "live",
            Check::Drift => "drift",
            Check::Capacity => "capacity",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    Ok,
    /// Worth knowing.
    Note,
    /// Worth a look; the exit code stays 0.
    Warning,
    /// The answer is no.
    Failure,
    /// It could not be looked at.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Failure => "FAILED",
            Level::Error => "ERROR",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind it is, a word that scripts can rely on: `table_differs`.
    pub rule: String,
    /// How bad it is.
    pub level: Level,
    /// What is the matter, in a sentence.
    pub message: String,
    /// The logical table, where it is of one.
    pub table: Option<String>,
    /// Instances, schemas and tables that it is about, each `instance/schema.table`, all of them.
    pub places: Vec<String>,
    /// Where in the topology file to look.
    pub at: Option<LineColumn>,
    /// What to do.
    pub next: Option<String>,
}

impl Finding {
    /// A finding without places.
    pub fn new(rule: impl Into<String>, level: Level, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            level,
            message: message.into(),
            table: None,
            places: Vec::new(),
            at: None,
            next: None,
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// What: a logical table, an instance, the placement.
    pub name: String,
    /// Why it was not checked at all.
    pub skipped: Option<String>,
    /// What was found; empty where all is well.
    pub findings: Vec<Finding>,
}

impl Case {
    /// A case in which all is well so far.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            skipped: None,
            findings: Vec::new(),
        }
    }

    /// How it stands.
    pub fn level(&self) -> Level {
        let levels = self.findings.iter().map(|finding| finding.level);
        levels.max().unwrap_or(Level::Ok)
    }
}

/// One check and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRun {
    /// Which.
    pub check: Check,
    /// How it stands.
    pub level: Level,
    /// Whether nothing of it could be looked at.
    pub skipped: bool,
    /// What was checked, in a line.
    pub summary: String,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// What it is made of.
    pub cases: Vec<Case>,
}

impl CheckRun {
    /// A check of these cases.
    pub fn new(check: Check, summary: impl Into<String>, took_ms: u64, cases: Vec<Case>) -> Self {
        Self {
            check,
            level: cases.iter().map(Case::level).max().unwrap_or(Level::Ok),
            skipped: false,
            summary: summary.into(),
            took_ms,
            cases,
        }
    }

    /// The same, of which nothing could be looked at.
    #[must_use]
    pub fn skipped(mut self) -> Self {
        self.skipped = true;
        self
    }

    /// Everything it found.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.cases.iter().flat_map(|case| &case.findings)
    }
}

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The cluster; empty where the file could not be read so far.
    pub cluster: String,
    /// The topology file, as it was named.
    pub topology: String,
    /// The exit code.
    pub exit_code: u8,
    /// The checks that ran, in order.
    pub checks: Vec<CheckRun>,
    /// Instances that were not reached.
    pub not_reached: Vec<String>,
    /// The figures of the capacity check, where it ran.
    pub capacity: Option<Capacity>,
    /// Whether notes are printed for a person too.
    #[serde(skip)]
    pub shows_notes: bool,
}

impl CheckReport {
    /// How it stands in all.
    pub fn level(&self) -> Level {
        self.checks
            .iter()
            .map(|run| run.level)
            .max()
            .unwrap_or(Level::Ok)
    }

    /// Everything that was found, with its check.
    pub fn findings(&self) -> impl Iterator<Item = (Check, &Finding)> {
        self.checks
            .iter()
            .flat_map(|run| run.findings().map(|finding| (run.check, finding)))
    }

    fn count(&self, level: Level) -> usize {
        self.findings()
            .filter(|(_, finding)| finding.level == level)
            .count()
    }

    fn verdict(&self) -> String {
        let mut parts = Vec::new();
        for (level, one, many) in [
            (
                Level::Error,
                "thing could not be checked",
                "things could not be checked",
            ),
            (Level::Failure, "failure", "failures"),
            (Level::Warning, "warning", "warnings"),
        ] {
            match self.count(level) {
                0 => {}
                1 => parts.push(format!("1 {one}")),
                n => parts.push(format!("{n} {many}")),
            }
        }
        let notes = self.count(Level::Note);
        let unshown = if notes > 0 && !self.shows_notes {
            let plural = if notes == 1 { "note" } else { "notes" };
            format!(" ({notes} {plural}: -v shows them)")
        } else {
            String::new()
        };
        match parts.as_slice() {
            [] => format!("all is well{unshown}"),
            parts => format!("{}{unshown}", parts.join(", ")),
        }
    }
}

impl Report for CheckReport {
    fn text(&self, _: &View) -> String {
        let mut text = format!("{}: {}", self.topology, self.verdict());
        for run in &self.checks {
            let word = match run.level {
                Level::Ok | Level::Note if run.skipped => "skipped",
                Level::Note => Level::Ok.word(),
                level => level.word(),
            };
            text.push_str(&format!(
                "\n  {:<8}  {word:<7}  {}",
                run.check.name(),
                run.summary
            ));
            let mut shown: Vec<&Finding> = run
                .findings()
                .filter(|finding| finding.level > Level::Note || self.shows_notes)
                .collect();
            // The worst first, in the order found.
            shown.sort_by_key(|finding| std::cmp::Reverse(finding.level));
            for finding in shown.iter().take(FINDINGS_SHOWN_MAX) {
                text.push_str(&format!(
                    "\n    {:<7}  {}",
                    finding.level.word(),
                    finding.message
                ));
                if let Some(at) = finding.at {
                    text.push_str(&format!(" ({}:{}:{})", self.topology, at.line, at.column));
                }
                if let Some(next) = &finding.next {
                    text.push_str(&format!("\n             {next}"));
                }
            }
            if shown.len() > FINDINGS_SHOWN_MAX {
                text.push_str(&format!(
                    "\n    and {} more: -o json has all of them",
                    shown.len() - FINDINGS_SHOWN_MAX
                ));
            }
        }
        text
    }
}

/// A rate or a count of what a gauge measures.
fn amount(what: &What, number: u64) -> String {
    match what {
        What::Rows { .. } => format!("{} rows", count(number)),
        What::Bytes { .. } => bytes(number),
    }
}

/// What is there, of what may be.
fn share(gauge: &Gauge) -> String {
    let limit = amount(&gauge.what, gauge.limit);
    match gauge.what {
        What::Rows { .. } => format!("{} of {limit}", count(gauge.now)),
        What::Bytes { .. } => format!("{} of {limit}", bytes(gauge.now)),
    }
}

/// A gauge in a sentence: how full, how fast, and when it is over.
pub fn gauge_sentence(gauge: &Gauge, exact: bool) -> String {
    let what = &gauge.what;
    let about = if exact { "" } else { "~" };
    let fill = gauge.fill_basis_points();
    let now = format!(
        "{about}{} ({}.{:02} %)",
        share(gauge),
        fill / 100,
        fill % 100
    );
    let rate = match (gauge.per_year, gauge.source) {
        (Some(rate), source) => {
            let said = if source == Source::Stated {
                " as stated"
            } else {
                ""
            };
            let sign = if rate < 0 { "-" } else { "+" };
            format!(", {sign}{} a year{said}", amount(what, rate.unsigned_abs()))
        }
        (None, _) => String::new(),
    };
    match gauge.full {
        Full::Now => format!("{what} is full: {now}{rate}"),
        Full::On(day) => format!("{what} is full on {day}: {now}{rate}"),
        Full::Never => format!("{what} does not fill: {now}{rate}"),
        Full::Unknown => format!("{what} holds {now}; how it grows is not known"),
    }
}

/// The capacity check in a line: what is full first and when, and what that rests on.
pub fn capacity_summary(capacity: &Capacity) -> String {
    let Some(first) = capacity.gauges.first() else {
        return "nothing to measure".to_owned();
    };
    let rows = if capacity.exact {
        "rows counted"
    } else {
        "rows estimated by the servers"
    };
    let basis = match &capacity.basis {
        Basis::Since {
            taken_at,
            days,
            exact,
        } => {
            let how = if capacity.exact && !exact {
                ", estimated then"
            } else {
                ""
            };
            let day = taken_at.to_string();
            let day = day.split('T').next().unwrap_or_default();
            format!("growth since {day} ({days} days{how})")
        }
        Basis::None { why } => {
            let stated = capacity
                .gauges
                .iter()
                .any(|gauge| gauge.source == Source::Stated);
            if stated {
                format!("growth as stated ({why})")
            } else {
                format!("growth unknown: {why}")
            }
        }
    };
    let fill = first.fill_basis_points();
    let fill = format!("{}.{:02} %", fill / 100, fill % 100);
    let head = match first.full {
        Full::Now => format!("{} is full ({fill})", first.what),
        Full::On(day) => format!("first full: {} on {day}, now {fill}", first.what),
        Full::Never => format!(
            "nothing fills within 100 years; fullest: {} ({fill})",
            first.what
        ),
        Full::Unknown => format!("fullest: {} ({fill})", first.what),
    };
    format!("{head}; {rows}, {basis}")
}

/// How bad a verdict is.
pub fn level_of(verdict: Verdict) -> Level {
    match verdict {
        Verdict::Holds => Level::Ok,
        Verdict::Warned => Level::Warning,
        Verdict::Breached => Level::Failure,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with something of each kind, and with what needs escaping.
    pub(in crate::report) fn example() -> CheckReport {
        let mut drift = Case::new("member");
        drift.findings.push(Finding {
            table: Some("member".to_owned()),
            places: vec!["rds-1/user_center_07.member_07".to_owned()],
            at: Some(LineColumn {
                line: 27,
                column: 3,
            }),
            next: Some("ALTER the table".to_owned()),
            ..Finding::new(
                "table_differs",
                Level::Failure,
                "15 of 16 agree, user_center_07.member_07 lacks <index> `a` & \"b\", 100%\n\u{1}",
            )
        });
        let mut down = Case::new("rds-2");
        down.findings.push(Finding::new(
            "not_reached",
            Level::Error,
            "instance rds-2 (db:3307): could not connect",
        ));
        let mut warned = Case::new("member");
        warned
            .findings
            .push(Finding::new("full_soon", Level::Warning, "full soon"));
        let mut skipped = Case::new("member_company");
        skipped.skipped = Some("rds-2 was not reached".to_owned());
        let checks = vec![
            CheckRun::new(
                Check::File,
                "16 schemas",
                1,
                vec![Case::new("topology.yaml")],
            ),
            CheckRun::new(
                Check::Live,
                "1 of 2 instances reached",
                12,
                vec![Case::new("rds-1"), down],
            ),
            CheckRun::new(
                Check::Drift,
                "15 of 16 tables agree",
                34,
                vec![drift, skipped],
            ),
            CheckRun::new(Check::Capacity, "first full: x", 5, vec![warned]),
        ];
        CheckReport {
            cluster: "user_center".to_owned(),
            topology: "ops/topology.yaml".to_owned(),
            exit_code: 3,
            checks,
            not_reached: vec!["rds-2".to_owned()],
            capacity: None,
            shows_notes: false,
        }
    }

    #[test]
    fn a_gauge_says_how_full_how_fast_and_when() {
        let mut gauge = Gauge {
            what: What::Bytes {
                instance: crate::names::InstanceName::new("rds-1").unwrap(),
            },
            now: 3 << 30,
            limit: 4 << 30,
            per_year: Some(1 << 30),
            source: Source::Stated,
            full: Full::On(jiff::civil::date(2027, 11, 24)),
            verdict: Verdict::Warned,
        };
        insta::assert_snapshot!(gauge_sentence(&gauge, true), @"the disk of rds-1 is full on 2027-11-24: 3.0 GiB of 4.0 GiB (75.00 %), +1.0 GiB a year as stated");
        gauge.what = What::Rows {
            logical: crate::names::TableName::new("member").unwrap(),
            table: crate::topology::PhysicalTable {
                instance: crate::names::InstanceName::new("rds-1").unwrap(),
                schema: crate::names::SchemaName::new("s_00").unwrap(),
                table: crate::names::TableName::new("member_00").unwrap(),
            },
        };
        (gauge.now, gauge.limit) = (40_000, 5_000_000);
        (gauge.per_year, gauge.source, gauge.full) = (Some(-12), Source::Measured, Full::Never);
        insta::assert_snapshot!(gauge_sentence(&gauge, false), @"s_00.member_00 does not fill: ~40,000 of 5,000,000 rows (0.80 %), -12 rows a year");
        (gauge.per_year, gauge.source, gauge.full) = (None, Source::Unknown, Full::Unknown);
        insta::assert_snapshot!(gauge_sentence(&gauge, true), @"s_00.member_00 holds 40,000 of 5,000,000 rows (0.80 %); how it grows is not known");
    }

    #[test]
    fn a_person_reads_the_worst_first() {
        insta::assert_snapshot!(example().text(&View::default()).replace('\u{1}', "<1>"), @r#"
        ops/topology.yaml: 1 thing could not be checked, 1 failure, 1 warning
          file      ok       16 schemas
          live      ERROR    1 of 2 instances reached
            ERROR    instance rds-2 (db:3307): could not connect
          drift     FAILED   15 of 16 tables agree
            FAILED   15 of 16 agree, user_center_07.member_07 lacks <index> `a` & "b", 100%
        <1> (ops/topology.yaml:27:3)
                     ALTER the table
          capacity  warning  first full: x
            warning  full soon
        "#);
    }
}
