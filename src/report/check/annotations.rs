//! Findings as the CI systems show them beside the lines of a file.
//!
//! - `github`: workflow commands (`::error file=..,line=..::..`), which the runner reads from what
//!   a step prints.
//! - `azure`: logging commands (`##vso[task.logissue ..]`), likewise.
//! - `gitlab`: a Code Quality report, a JSON file that a job keeps as an artifact.
//! - `sarif`: SARIF 2.1.0, which code scanning services read.
//!
//! Notes are left out of the first two: a runner shows ten of each kind in a step.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Check, CheckReport, Finding, Level};

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// GitHub workflow commands
    Github,
    /// GitLab Code Quality report
    Gitlab,
    /// Azure Pipelines logging commands
    Azure,
    /// SARIF 2.1.0
    Sarif,
}

impl Format {
    /// Whether it is a file of its own (lines among what a step prints if not).
    pub fn is_file(self) -> bool {
        matches!(self, Format::Gitlab | Format::Sarif)
    }
}

/// The findings in this format; ends with a line break unless it is empty.
pub fn annotations(report: &CheckReport, format: Format) -> String {
    match format {
        Format::Github => lines(report, github),
        Format::Azure => lines(report, azure),
        Format::Gitlab => file(&gitlab(report)),
        Format::Sarif => file(&sarif(report)),
    }
}

fn file(value: &Value) -> String {
    format!("{value:#}\n")
}

fn lines(report: &CheckReport, line: fn(&str, Check, &Finding) -> String) -> String {
    let mut out = String::new();
    for (check, finding) in report.findings() {
        if finding.level >= Level::Warning {
            let _ = writeln!(out, "{}", line(&report.topology, check, finding));
        }
    }
    out
}

fn message(finding: &Finding) -> String {
    match &finding.next {
        Some(next) => format!("{}\n{next}", finding.message),
        None => finding.message.clone(),
    }
}

/// `%`, CR and LF are escaped in a value, `:` and `,` in a property too.
fn github(path: &str, check: Check, finding: &Finding) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let command = match finding.level {
        Level::Ok | Level::Note => "notice",
        Level::Warning => "warning",
        Level::Failure | Level::Error => "error",
    };
    let place = finding.at.map_or_else(String::new, |at| {
        format!(",line={},col={}", at.line, at.column)
    });
    format!(
        "::{command} file={}{place},title={}::{}",
        property(path),
        property(&format!("shardctl {check}: {}", finding.rule)),
        data(&message(finding))
    )
}

/// Azure escapes the same in its own way, and ends its properties with `;` and `]`.
fn azure(path: &str, _: Check, finding: &Finding) -> String {
    let data = |text: &str| {
        text.replace('%', "%AZP25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(';', "%3B").replace(']', "%5D");
    let kind = match finding.level {
        Level::Ok | Level::Note | Level::Warning => "warning",
        Level::Failure | Level::Error => "error",
    };
    let place = finding.at.map_or_else(String::new, |at| {
        format!("linenumber={};columnnumber={};", at.line, at.column)
    });
    format!(
        "##vso[task.logissue type={kind};sourcepath={};{place}code={};]{}",
        property(path),
        property(&finding.rule),
        data(&message(finding))
    )
}

/// Each finding once: the same fingerprint tells two runs that it is the same finding, so it
/// holds what the finding is about and no number that changes from day to day.
fn gitlab(report: &CheckReport) -> Value {
    let mut seen = std::collections::HashMap::new();
    let issues = report
        .findings()
        .map(|(check, finding)| {
            let identity = format!(
                "{}\0{check}\0{}\0{}\0{}",
                report.topology,
                finding.rule,
                finding.table.as_deref().unwrap_or_default(),
                finding.places.join("\0")
            );
            let times = seen.entry(identity.clone()).or_insert(0u32);
            *times += 1;
            let severity = match finding.level {
                Level::Ok | Level::Note => "info",
                Level::Warning => "minor",
                Level::Failure => "critical",
                Level::Error => "blocker",
            };
            json!({
                "description": message(finding),
                "check_name": format!("shardctl/{check}/{}", finding.rule),
                "fingerprint": fingerprint(&format!("{identity}\0{times}")),
                "severity": severity,
                "location": {
                    "path": report.topology,
                    "lines": { "begin": finding.at.map_or(1, |at| at.line.max(1)) },
                },
            })
        })
        .collect();
    Value::Array(issues)
}

/// 64 bits of FNV-1a twice, with another start: equal texts must meet, and no one attacks this.
fn fingerprint(text: &str) -> String {
    let hash = |start: u64| {
        text.bytes().fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    format!(
        "{:016x}{:016x}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x8422_2325_cbf2_9ce4)
    )
}

fn sarif(report: &CheckReport) -> Value {
    let mut rules: Vec<&str> = report
        .findings()
        .map(|(_, finding)| finding.rule.as_str())
        .collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.iter().map(|rule| json!({ "id": rule })).collect();
    let results: Vec<Value> = report
        .findings()
        .map(|(_, finding)| {
            let level = match finding.level {
                Level::Ok | Level::Note => "note",
                Level::Warning => "warning",
                Level::Failure | Level::Error => "error",
            };
            let mut place = json!({ "artifactLocation": { "uri": report.topology } });
            if let Some(at) = finding.at {
                place["region"] =
                    json!({ "startLine": at.line.max(1), "startColumn": at.column.max(1) });
            }
            json!({
                "ruleId": finding.rule,
                "level": level,
                "message": { "text": message(finding) },
                "locations": [{ "physicalLocation": place }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "shardctl", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::check::tests::example;

    #[test]
    fn commands_are_one_escaped_line_each() {
        insta::assert_snapshot!(annotations(&example(), Format::Github).replace('\u{1}', "<1>"), @r#"
        ::error file=ops/topology.yaml,title=shardctl live%3A not_reached::instance rds-2 (db:3307): could not connect
        ::error file=ops/topology.yaml,line=27,col=3,title=shardctl drift%3A table_differs::15 of 16 agree, user_center_07.member_07 lacks <index> `a` & "b", 100%25%0A<1>%0AALTER the table
        ::warning file=ops/topology.yaml,title=shardctl capacity%3A full_soon::full soon
        "#);
        insta::assert_snapshot!(annotations(&example(), Format::Azure).replace('\u{1}', "<1>"), @r#"
        ##vso[task.logissue type=error;sourcepath=ops/topology.yaml;code=not_reached;]instance rds-2 (db:3307): could not connect
        ##vso[task.logissue type=error;sourcepath=ops/topology.yaml;linenumber=27;columnnumber=3;code=table_differs;]15 of 16 agree, user_center_07.member_07 lacks <index> `a` & "b", 100%AZP25%0A<1>%0AALTER the table
        ##vso[task.logissue type=warning;sourcepath=ops/topology.yaml;code=full_soon;]full soon
        "#);
    }

    #[test]
    fn reports_have_what_their_readers_ask_for() {
        let gitlab: Value = serde_json::from_str(&annotations(&example(), Format::Gitlab)).unwrap();
        let issues = gitlab.as_array().unwrap();
        assert_eq!(issues.len(), 3);
        let mut prints: Vec<&str> = issues
            .iter()
            .map(|issue| issue["fingerprint"].as_str().unwrap())
            .collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), 3);
        assert_eq!(issues[1]["check_name"], "shardctl/drift/table_differs");
        assert_eq!(issues[1]["severity"], "critical");
        assert_eq!(
            issues[1]["location"],
            json!({"path": "ops/topology.yaml", "lines": {"begin": 27}})
        );
        assert_eq!(issues[0]["location"]["lines"]["begin"], 1);

        let sarif: Value = serde_json::from_str(&annotations(&example(), Format::Sarif)).unwrap();
        assert_eq!(sarif["version"], "2.1.0");
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(
            results[1]["locations"][0]["physicalLocation"]["region"],
            json!({"startLine": 27, "startColumn": 3})
        );
        assert_eq!(results[1]["ruleId"], "table_differs");
    }
}
