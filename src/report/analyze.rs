//! What a statement took on each shard, and how each shard's server went about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Report, View, bytes, count, counted, right_align};

/// What `query --analyze` shows. The statement ran; its rows are not shown.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzeReport {
    /// As in [`super::explain::ExplainReport`], or `gather`.
    pub way: &'static str,
    /// Why this way.
    pub reason: String,
    /// How the answers are merged; nothing where they are not.
    pub merge: Option<String>,
    /// Rows of the whole answer.
    pub rows: u64,
    /// From the asking to the last row of the answer, in milliseconds.
    pub ms: f64,
    /// What each table took, in the order of the statements and of the tables.
    pub shards: Vec<AnalyzedShard>,
    /// The servers' plans that differ, the one of most tables first for each statement.
    pub plans: Vec<AnalyzedPlan>,
}

/// One physical table's part.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzedShard {
    /// Instance, schema and table.
    pub place: String,
    /// Which of a union's SELECTs, or of a gathered statement's tables, from 1.
    pub statement: usize,
    /// What it was asked.
    pub sql: String,
    /// From the asking to the first row, in milliseconds; nothing where there was none.
    pub first_row_ms: Option<f64>,
    /// From the asking to the last row, in milliseconds.
    pub ms: f64,
    /// Whether it took much longer than the middle one of its statement.
    pub slow: bool,
    /// Rows that came.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// The number of its plan in [`AnalyzeReport::plans`], from 1; nothing where the server gave
    /// none.
    pub plan: Option<usize>,
    /// Whether its plan is another than that of most tables.
    pub differs: bool,
    /// The server's own EXPLAIN, a line for each step.
    pub explain: Vec<Map<String, Value>>,
    /// Why there is none.
    pub error: Option<String>,
}

/// A plan of servers, with the numbers of the first table that has it.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzedPlan {
    /// Its number, from 1.
    pub plan: usize,
    /// The statement that it is for, from 1.
    pub statement: usize,
    /// How many tables have it.
    pub tables: usize,
    /// Of how many.
    pub of: usize,
    /// Columns of EXPLAIN in which it differs from that of most tables; `steps` where it has more
    /// or fewer lines.
    pub differs_in: Vec<String>,
    /// EXPLAIN of the first table that has it.
    pub explain: Vec<Map<String, Value>>,
}

/// Numbers of a server about its data, which differ though the plan is the same.
const ESTIMATES: [&str; 4] = ["rows", "filtered", "r_rows", "r_filtered"];

/// A table is slow if it took so many times as long as the middle one.
const SLOW_TIMES: f64 = 2.0;

/// And at least so much longer, in milliseconds: less than that is noise.
const SLOW_MS: f64 = 10.0;

impl AnalyzeReport {
    /// The same with its plans numbered, and marked what differs and what is slow: `plan`, `differs`
    /// and `slow` of the shards and the report's own `plans` are set here.
    #[must_use]
    pub fn compared(mut self) -> Self {
        let statements: BTreeSet<usize> = self.shards.iter().map(|shard| shard.statement).collect();
        for statement in statements {
            self.compare_plans(statement);
            self.find_slow(statement);
        }
        self
    }

    fn compare_plans(&mut self, statement: usize) {
        let own =
            |shard: &&mut AnalyzedShard| shard.statement == statement && !shard.explain.is_empty();
        // Plans in the order of the tables that have them first.
        let mut kinds: Vec<(Vec<Map<String, Value>>, usize)> = Vec::new();
        for shard in self.shards.iter_mut().filter(own) {
            let shape = shape(&shard.explain);
            match kinds.iter_mut().find(|(known, _)| *known == shape) {
                Some((_, tables)) => *tables += 1,
                None => kinds.push((shape, 1)),
            }
        }
        let of = kinds.iter().map(|(_, tables)| tables).sum();
        // Of equally many the first: the sort is stable.
        kinds.sort_by_key(|(_, tables)| std::cmp::Reverse(*tables));
        let Some((usual, _)) = kinds.first().cloned() else {
            return;
        };
        let before = self.plans.len();
        for shard in self.shards.iter_mut().filter(own) {
            let shape = shape(&shard.explain);
            let number = kinds.iter().position(|(known, _)| *known == shape);
            shard.plan = number.map(|number| before + number + 1);
            shard.differs = number != Some(0);
        }
        for (number, (shape, tables)) in kinds.iter().enumerate() {
            let plan = before + number + 1;
            let first = self.shards.iter().find(|shard| shard.plan == Some(plan));
            self.plans.push(AnalyzedPlan {
                plan,
                statement,
                tables: *tables,
                of,
                differs_in: differs_in(&usual, shape),
                explain: first.map(|shard| shard.explain.clone()).unwrap_or_default(),
            });
        }
    }

    fn find_slow(&mut self, statement: usize) {
        let mut times: Vec<f64> = self
            .shards
            .iter()
            .filter(|shard| shard.statement == statement)
            .map(|shard| shard.ms)
            .collect();
        times.sort_by(f64::total_cmp);
        // Of two the faster one: with the slower in the middle, nothing is ever slow.
        let Some(middle) = times.get(times.len().saturating_sub(1) / 2).copied() else {
            return;
        };
        let limit = (middle * SLOW_TIMES).max(middle + SLOW_MS);
        for shard in &mut self.shards {
            if shard.statement == statement {
                shard.slow = shard.ms > limit;
            }
        }
    }
}

fn shape(explain: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let mut shape = explain.to_vec();
    for line in &mut shape {
        line.retain(|column, _| !ESTIMATES.contains(&column.as_str()));
    }
    shape
}

fn differs_in(usual: &[Map<String, Value>], other: &[Map<String, Value>]) -> Vec<String> {
    if usual.len() != other.len() {
        return vec!["steps".to_owned()];
    }
    let mut columns: Vec<String> = Vec::new();
    for (usual, other) in usual.iter().zip(other) {
        for column in usual.keys().chain(other.keys()) {
            if usual.get(column) != other.get(column) && !columns.contains(column) {
                columns.push(column.clone());
            }
        }
    }
    columns
}

impl Report for AnalyzeReport {
    fn text(&self, view: &View) -> String {
        let mut text = format!(
            "way:     {} ({})\nbecause: {}",
            self.way,
            counted(self.shards.len() as u64, "table"),
            self.reason
        );
        if let Some(merge) = &self.merge {
            text.push_str(&format!("\nmerge:   {merge}"));
        }
        text.push_str(&format!(
            "\nanswer:  {} in {:.1} ms\n",
            counted(self.rows, "row"),
            self.ms
        ));
        text.push_str(&self.table_of_shards(view));
        let statements: BTreeSet<usize> = self.plans.iter().map(|plan| plan.statement).collect();
        let mut seen: BTreeMap<usize, bool> = BTreeMap::new();
        for plan in &self.plans {
            let of = match statements.len() {
                1 => String::new(),
                _ => format!(" of statement {}", plan.statement),
            };
            text.push_str(&format!(
                "\nplan {}{of}: {} of {}",
                plan.plan,
                plan.tables,
                counted(plan.of as u64, "table")
            ));
            if seen.insert(plan.statement, true).is_some() {
                text.push_str(&format!(", DIFFERS in {}", plan.differs_in.join(", ")));
            }
            text.push('\n');
            let own = self
                .plans
                .iter()
                .filter(|other| other.statement == plan.statement);
            let lines: Vec<&Map<String, Value>> = own.flat_map(|plan| &plan.explain).collect();
            text.push_str(&explain_table(view, &plan.explain, &lines));
        }
        for shard in &self.shards {
            if let Some(error) = &shard.error {
                text.push_str(&format!("\nno plan of {}: {error}", shard.place));
            }
        }
        text
    }
}

impl AnalyzeReport {
    fn table_of_shards(&self, view: &View) -> String {
        let several = self.shards.iter().any(|shard| shard.statement > 1);
        let mut header = vec!["table"];
        if several {
            header.push("of");
        }
        header.extend(["ms", "first row", "rows", "bytes", "plan", ""]);
        let numbers: Vec<usize> = (1..header.len() - 1).collect();
        let mut table = view.table(header);
        for shard in &self.shards {
            let mut cells = vec![shard.place.clone()];
            if several {
                cells.push(shard.statement.to_string());
            }
            let marks = [(shard.slow, "SLOW"), (shard.differs, "DIFFERS")];
            let marks = marks.into_iter().filter(|(is, _)| *is);
            cells.extend([
                format!("{:.1}", shard.ms),
                shard
                    .first_row_ms
                    .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")),
                count(shard.rows),
                bytes(shard.bytes),
                shard
                    .plan
                    .map_or_else(|| "-".to_owned(), |plan| plan.to_string()),
                marks.map(|(_, mark)| mark).collect::<Vec<_>>().join(", "),
            ]);
            table.add_row(cells);
        }
        right_align(&mut table, &numbers);
        table.to_string()
    }
}

/// The lines of a plan, in the columns in which something stands in it or one to compare it with:
/// the others only make those narrow.
fn explain_table(
    view: &View,
    explain: &[Map<String, Value>],
    compared: &[&Map<String, Value>],
) -> String {
    let Some(first) = explain.first() else {
        return String::new();
    };
    let shown: Vec<&String> = first
        .keys()
        .filter(|column| {
            compared
                .iter()
                .any(|line| line.get(*column).is_some_and(|value| !value.is_null()))
        })
        .collect();
    let mut table = view.table(shown.iter().map(|column| column.as_str()));
    for line in explain {
        table.add_row(shown.iter().map(|column| match line.get(*column) {
            Some(Value::String(text)) => text.clone(),
            _ => "-".to_owned(),
        }));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: usize, ms: f64, key: Option<&str>, rows: &str) -> AnalyzedShard {
        let text = |text: &str| Value::from(text);
        let line = [
            ("id", text("1")),
            ("table", text("member")),
            ("key", key.map_or(Value::Null, text)),
            ("rows", text(rows)),
        ];
        AnalyzedShard {
            place: format!("rds-1/uc_{number:02}.member"),
            statement: 1,
            sql: "SELECT 1".to_owned(),
            first_row_ms: (number > 0).then_some(ms / 2.0),
            ms,
            slow: false,
            rows: 1000,
            bytes: 2048,
            plan: None,
            differs: false,
            explain: vec![line.map(|(k, v)| (k.to_owned(), v)).into_iter().collect()],
            error: None,
        }
    }

    #[test]
    fn the_shard_that_is_slow_and_the_one_that_reads_otherwise_are_marked() {
        let report = AnalyzeReport {
            way: "scatter and merge",
            reason: "no condition on the shard key `id`".to_owned(),
            merge: None,
            rows: 3000,
            ms: 45.25,
            shards: vec![
                shard(0, 4.0, None, "10"),
                shard(1, 3.0, Some("name"), "20"),
                shard(2, 44.0, Some("name"), "3000"),
            ],
            plans: Vec::new(),
        }
        .compared();
        insta::assert_snapshot!(report.text(&View::default()), @r"
        way:     scatter and merge (3 tables)
        because: no condition on the shard key `id`
        answer:  3,000 rows in 45.2 ms
        +--------------------+------+-----------+-------+---------+------+---------+
        | table              |   ms | first row |  rows |   bytes | plan |         |
        +==========================================================================+
        | rds-1/uc_00.member |  4.0 |         - | 1,000 | 2.0 KiB |    2 | DIFFERS |
        | rds-1/uc_01.member |  3.0 |       1.5 | 1,000 | 2.0 KiB |    1 |         |
        | rds-1/uc_02.member | 44.0 |      22.0 | 1,000 | 2.0 KiB |    1 | SLOW    |
        +--------------------+------+-----------+-------+---------+------+---------+
        plan 1: 2 of 3 tables
        +----+--------+------+------+
        | id | table  | key  | rows |
        +===========================+
        | 1  | member | name | 20   |
        +----+--------+------+------+
        plan 2: 1 of 3 tables, DIFFERS in key
        +----+--------+-----+------+
        | id | table  | key | rows |
        +==========================+
        | 1  | member | -   | 10   |
        +----+--------+-----+------+
        ");
        assert_eq!(report.plans[0].tables, 2);
        assert_eq!(report.plans[1].differs_in, ["key"]);
    }

    #[test]
    fn statements_are_compared_each_for_itself() {
        let report = AnalyzeReport {
            way: "one after the other",
            reason: String::new(),
            merge: None,
            rows: 0,
            ms: 1.0,
            shards: vec![
                shard(0, 100.0, None, "1"),
                AnalyzedShard {
                    statement: 2,
                    ..shard(1, 3.0, Some("name"), "1")
                },
            ],
            plans: Vec::new(),
        }
        .compared();
        assert!(
            report
                .shards
                .iter()
                .all(|shard| !shard.differs && !shard.slow)
        );
        assert_eq!(report.shards[1].plan, Some(2));
    }
}
