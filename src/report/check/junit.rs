//! JUnit XML: a `testsuite` for each check, a `testcase` for each thing checked.
//!
//! The elements and attributes are those that Jenkins, GitLab, Azure and the GitHub actions for
//! test reports read alike: `testsuites/testsuite/testcase` with `failure`, `error`, `skipped` and
//! `system-out`. One `failure` or `error` to a case, for some readers refuse a second: it holds
//! the messages of all.

use std::fmt::Write as _;

use super::{Case, CheckReport, CheckRun, Finding, Level};

/// The report as a JUnit file.
pub fn junit(report: &CheckReport) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let runs = &report.checks;
    let total = |count: fn(&CheckRun) -> usize| runs.iter().map(count).sum::<usize>();
    let _ = writeln!(
        out,
        "<testsuites name=\"shardctl check\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
         skipped=\"{}\" time=\"{}\">",
        total(|run| run.cases.len()),
        total(|run| with(run, Level::Failure)),
        total(|run| with(run, Level::Error)),
        total(skipped),
        seconds(runs.iter().map(|run| run.took_ms).sum())
    );
    for run in runs {
        suite(&mut out, report, run);
    }
    out.push_str("</testsuites>\n");
    out
}

/// Cases of a check that stand at this level.
fn with(run: &CheckRun, level: Level) -> usize {
    run.cases
        .iter()
        .filter(|case| case.level() == level)
        .count()
}

/// A case that has an answer all the same is not counted as skipped.
fn is_skipped(case: &Case) -> bool {
    case.skipped.is_some() && case.level() < Level::Failure
}

fn skipped(run: &CheckRun) -> usize {
    run.cases.iter().filter(|case| is_skipped(case)).count()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn suite(out: &mut String, report: &CheckReport, run: &CheckRun) {
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" \
         time=\"{}\">",
        run.check.name(),
        run.cases.len(),
        with(run, Level::Failure),
        with(run, Level::Error),
        skipped(run),
        seconds(run.took_ms)
    );
    for case in &run.cases {
        let _ = write!(
            out,
            "    <testcase classname=\"shardctl.{}\" name=\"{}\" file=\"{}\" time=\"0.000\"",
            run.check.name(),
            escape(&case.name),
            escape(&report.topology)
        );
        let body = body(report, case);
        if body.is_empty() {
            out.push_str("/>\n");
        } else {
            let _ = write!(out, ">\n{body}    </testcase>\n");
        }
    }
    out.push_str("  </testsuite>\n");
}

fn body(report: &CheckReport, case: &Case) -> String {
    let mut out = String::new();
    let level = case.level();
    let of = |wanted: fn(Level) -> bool| -> Vec<&Finding> {
        case.findings
            .iter()
            .filter(|finding| wanted(finding.level))
            .collect()
    };
    let bad = of(|level| level >= Level::Failure);
    if let Some(first) = bad.iter().max_by_key(|finding| finding.level) {
        let element = if level == Level::Error {
            "error"
        } else {
            "failure"
        };
        let _ = writeln!(
            out,
            "      <{element} type=\"{}\" message=\"{}\">{}</{element}>",
            escape(&first.rule),
            escape(&first.message),
            escape(&lines(report, &bad))
        );
    } else if let Some(why) = &case.skipped {
        let _ = writeln!(out, "      <skipped message=\"{}\"/>", escape(why));
    }
    let rest = of(|level| level < Level::Failure);
    if !rest.is_empty() {
        let _ = writeln!(
            out,
            "      <system-out>{}</system-out>",
            escape(&lines(report, &rest))
        );
    }
    out
}

fn lines(report: &CheckReport, findings: &[&Finding]) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!("{}: {}", finding.level.word(), finding.message));
        if let Some(at) = finding.at {
            lines.push(format!(
                "  at {}:{}:{}",
                report.topology, at.line, at.column
            ));
        }
        lines.extend(finding.places.iter().map(|place| format!("  {place}")));
        lines.extend(finding.next.iter().map(|next| format!("  next: {next}")));
    }
    lines.join("\n")
}

/// Text as XML 1.0 can hold it: what is no character of XML (most control characters) becomes the
/// replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => {
                // As they are, an attribute would make blanks of them.
                let _ = write!(out, "&#{};", c as u32);
            }
            c if (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::check::tests::example;

    #[test]
    fn every_case_is_there_with_its_fate() {
        insta::assert_snapshot!(junit(&example()), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="shardctl check" tests="6" failures="1" errors="1" skipped="1" time="0.052">
          <testsuite name="file" tests="1" failures="0" errors="0" skipped="0" time="0.001">
            <testcase classname="shardctl.file" name="topology.yaml" file="ops/topology.yaml" time="0.000"/>
          </testsuite>
          <testsuite name="live" tests="2" failures="0" errors="1" skipped="0" time="0.012">
            <testcase classname="shardctl.live" name="rds-1" file="ops/topology.yaml" time="0.000"/>
            <testcase classname="shardctl.live" name="rds-2" file="ops/topology.yaml" time="0.000">
              <error type="not_reached" message="instance rds-2 (db:3307): could not connect">ERROR: instance rds-2 (db:3307): could not connect</error>
            </testcase>
          </testsuite>
          <testsuite name="drift" tests="2" failures="1" errors="0" skipped="1" time="0.034">
            <testcase classname="shardctl.drift" name="member" file="ops/topology.yaml" time="0.000">
              <failure type="table_differs" message="15 of 16 agree, user_center_07.member_07 lacks &lt;index&gt; `a` &amp; &quot;b&quot;, 100%&#10;�">FAILED: 15 of 16 agree, user_center_07.member_07 lacks &lt;index&gt; `a` &amp; &quot;b&quot;, 100%&#10;�&#10;  at ops/topology.yaml:27:3&#10;  rds-1/user_center_07.member_07&#10;  next: ALTER the table</failure>
            </testcase>
            <testcase classname="shardctl.drift" name="member_company" file="ops/topology.yaml" time="0.000">
              <skipped message="rds-2 was not reached"/>
            </testcase>
          </testsuite>
          <testsuite name="capacity" tests="1" failures="0" errors="0" skipped="0" time="0.005">
            <testcase classname="shardctl.capacity" name="member" file="ops/topology.yaml" time="0.000">
              <system-out>warning: full soon</system-out>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
