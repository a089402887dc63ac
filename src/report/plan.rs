//! A plan as tables with its reason.

use serde::Serialize;

use super::{Report, View, bytes, count, right_align};
use crate::names::TableName;
use crate::topology::plan::amount::Growth;
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::plan::{
    Candidate, Estimate, LimitState, Load, Plan, SplitKind, TableEstimate,
};

/// What `plan` shows.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// The plan.
    pub plan: Plan,
    /// The same for two years, or for five where two were asked for.
    pub beside: Option<Box<Plan>>,
    /// What a row of each table takes; empty where the tables are not known.
    pub rows: Vec<TableRow>,
    /// What was taken for granted where nothing was given.
    pub assumptions: Vec<String>,
}

/// Bytes of an average row of a table, by its definition.
#[derive(Debug, Clone, Serialize)]
pub struct TableRow {
    /// The logical table.
    pub table: TableName,
    /// The row itself.
    pub record_bytes: u64,
    /// On the disk with its indexes, with pages as full as the plan takes them to be.
    pub disk_bytes: u64,
    /// On the disk with its indexes, where keys arrive in order or the table was rebuilt.
    pub full_pages_bytes: u64,
    /// On the disk with its indexes, where keys arrive in the worst order.
    pub half_full_pages_bytes: u64,
}

/// Text in rows and columns, for whichever face shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// The columns of numbers.
    pub(super) numbers: Vec<usize>,
}

impl Grid {
    /// Adds a column.
    fn column(&mut self, header: &str, is_number: bool, cells: Vec<String>) {
        if is_number {
            self.numbers.push(self.header.len());
        }
        self.header.push(header.to_owned());
        self.rows
            .resize_with(cells.len().max(self.rows.len()), Vec::new);
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.push(cell);
        }
    }

    /// Those of the columns, in their order.
    fn of(&self, columns: impl Fn(usize) -> bool) -> Grid {
        let kept: Vec<usize> = (0..self.header.len()).filter(|at| columns(*at)).collect();
        let pick = |cells: &[String]| {
            kept.iter()
                .filter_map(|at| cells.get(*at).cloned())
                .collect()
        };
        Grid {
            header: pick(&self.header),
            rows: self.rows.iter().map(|row| pick(row)).collect(),
            numbers: (0..kept.len())
                .filter(|at| self.numbers.contains(&kept[*at]))
                .collect(),
        }
    }

    fn text(&self, view: &View) -> String {
        let mut table = view.table(&self.header);
        for row in &self.rows {
            table.add_row(row);
        }
        right_align(&mut table, &self.numbers);
        table.to_string()
    }
}

impl Report for PlanReport {
    fn text(&self, view: &View) -> String {
        let plan = &self.plan;
        let mut text = format!("{}\n", summary(plan));
        if let Some(tables) = tables(self) {
            text.push_str(&format!("{}\n", tables.text(view)));
        }
        let grids: Vec<String> = candidates(plan, "=>")
            .iter()
            .map(|grid| grid.text(view))
            .collect();
        text.push_str(&grids.join("\n"));
        text.push_str(&format!("\nrecommended: {} {}", plan.reason, plan.later));
        if let Some(other) = &self.beside {
            text.push_str(&format!("\n{}", beside(other)));
        }
        if let Some(limits) = limits(plan) {
            text.push_str(&format!(
                "\n\nlimits of the recommended layout:\n{}",
                limits.text(view)
            ));
        }
        for note in plan.notes.iter().chain(&self.assumptions) {
            text.push_str(&format!("\nnote: {note}"));
        }
        text
    }
}

/// The first column that is about time.
const LASTS_UNTIL: &str = "lasts until";

/// `one row`, `40M rows`.
pub(super) fn rows(number: u64) -> String {
    match number {
        1 => "one row".to_owned(),
        n => format!("{} rows", Count(n)),
    }
}

/// What was planned for, in a sentence.
pub(crate) fn summary(plan: &Plan) -> String {
    let estimate = &plan.estimate;
    let size = match plan.bytes_at_horizon {
        Some(size) => format!(" and {}", bytes(size)),
        None => String::new(),
    };
    let there = match plan.rows_now {
        0 => String::new(),
        there => format!(", {} there already", Count(there)),
    };
    if let [table] = estimate.tables.as_slice()
        && table.name.is_none()
    {
        let mut text = format!(
            "{}{there}, from {}: {}{size} after {}",
            arrivals(table),
            estimate.start,
            match plan.rows_at_horizon {
                1 => "one record".to_owned(),
                n => format!("{} records", Count(n)),
            },
            estimate.horizon,
        );
        text.push_str(&users(plan, ", about "));
        if plan.users_at_horizon.is_some_and(|users| users > 0) {
            text.push_str(&match estimate.records_per_user {
                Some(1) => " at one record each".to_owned(),
                records => format!(" at {} records each", records.unwrap_or_default()),
            });
        }
        return text;
    }
    let first_year: u128 = estimate
        .tables
        .iter()
        .filter_map(|table| table.rows_per_year.first())
        .map(|rows| u128::from(*rows))
        .sum();
    format!(
        "{}, {} in the first year{there}, from {}: {}{size} after {}{}",
        match estimate.tables.len() {
            1 => "one table".to_owned(),
            n => format!("{n} tables"),
        },
        rows(u64::try_from(first_year).unwrap_or(u64::MAX)),
        estimate.start,
        rows(plan.rows_at_horizon),
        estimate.horizon,
        users(plan, ", about "),
    )
}

fn users(plan: &Plan, before: &str) -> String {
    match plan.users_at_horizon {
        None | Some(0) => String::new(),
        Some(1) => format!("{before}one user"),
        Some(users) => format!("{before}{} users", Count(users)),
    }
}

/// The same estimates for another horizon, in a line.
pub(super) fn beside(plan: &Plan) -> String {
    format!(
        "for {}, {}{}: {}",
        plan.estimate.horizon,
        rows(plan.rows_at_horizon),
        users(plan, " of about "),
        plan.reason
    )
}

/// `40M rows a year, 20 % more each year`.
fn arrivals(table: &TableEstimate) -> String {
    let mut text = match table.rows_per_year.as_slice() {
        [] | [0] => "no new rows".to_owned(),
        [a_year] => format!("{} a year", rows(*a_year)),
        years => {
            let years: Vec<String> = years.iter().map(|rows| Count(*rows).to_string()).collect();
            format!(
                "{} rows in the first {} years",
                years.join(", "),
                years.len()
            )
        }
    };
    let then = if table.rows_per_year.len() > 1 {
        ", then"
    } else {
        ","
    };
    match table.growth {
        Growth::Compound(percent) if percent.0 > 0 => {
            text.push_str(&format!("{then} {percent} more each year"));
        }
        Growth::Linear(rows) if rows > 0 => {
            text.push_str(&format!("{then} {} more each year", Count(rows)));
        }
        Growth::Compound(_) | Growth::Linear(_) => {}
    }
    if let Some(kept) = table.retention {
        text.push_str(&format!(", kept {kept}"));
    }
    text
}

/// Each logical table; none where one stands for all.
pub(super) fn tables(report: &PlanReport) -> Option<Grid> {
    let plan = &report.plan;
    let estimate = &plan.estimate;
    if estimate.tables.iter().all(|table| table.name.is_none()) {
        return None;
    }
    let each = |cell: &dyn Fn(usize, &TableEstimate) -> String| -> Vec<String> {
        let cells = estimate.tables.iter().enumerate();
        cells.map(|(index, table)| cell(index, table)).collect()
    };
    let mut grid = Grid::default();
    let name = |table: &TableEstimate| table.name.as_ref().map_or("", TableName::as_str).to_owned();
    grid.column("table", false, each(&|_, table| name(table)));
    grid.column("rows", false, each(&|_, table| arrivals(table)));
    if plan.rows_now > 0 {
        let now = each(&|index, _| count(plan.tables[index].rows_now));
        grid.column("now", true, now);
    }
    let after = format!("after {}", estimate.horizon);
    let then = each(&|index, _| count(plan.tables[index].rows_at_horizon));
    grid.column(&after, true, then);
    if !report.rows.is_empty() {
        let record = |table: &TableEstimate| {
            let row = report
                .rows
                .iter()
                .find(|row| table.name.as_ref() == Some(&row.table));
            row.map_or_else(String::new, |row| count(row.record_bytes))
        };
        grid.column("row bytes", true, each(&|_, table| record(table)));
    }
    if estimate
        .tables
        .iter()
        .any(|table| table.row_bytes.is_some())
    {
        let row = each(&|_, table| table.row_bytes.map_or_else(String::new, count));
        grid.column("with indexes", true, row);
        let size = each(&|index, _| optional_bytes(plan.tables[index].bytes_at_horizon));
        grid.column(&format!("size {after}"), true, size);
    }
    Some(grid)
}

fn optional_bytes(size: Option<u64>) -> String {
    size.map_or_else(String::new, bytes)
}

/// Whether there is more than the one limit of rows to tell apart.
fn has_more_limits(plan: &Plan) -> bool {
    plan.best().limits.len() > 1 || plan.estimate.limits.headroom_basis_points.0 > 0
}

/// The candidates as one table, or where that would be too wide to read as two: what each holds,
/// and when it is full. The recommended one has the mark.
pub(super) fn candidates(plan: &Plan, mark: &str) -> Vec<Grid> {
    /// Which layout it is: the mark, instances, schemas, tables of each.
    const LAYOUT: usize = 4;
    let grid = all_of_candidates(plan, mark);
    let times = grid.header.iter().position(|header| header == LASTS_UNTIL);
    match times {
        Some(times) if plan.bytes_at_horizon.is_some() => vec![
            grid.of(|at| at < times),
            grid.of(|at| at < LAYOUT || at >= times),
        ],
        _ => vec![grid],
    }
}

fn all_of_candidates(plan: &Plan, mark: &str) -> Grid {
    let all = &plan.candidates;
    let each = |cell: &dyn Fn(&Candidate) -> String| all.iter().map(cell).collect::<Vec<_>>();
    // What is there now, before what will be, where something is.
    let load = |part: &dyn Fn(&Load) -> Option<String>| {
        each(&|candidate| {
            let then = part(&candidate.at_horizon).unwrap_or_default();
            match part(&candidate.now).filter(|_| plan.rows_now > 0) {
                Some(now) => format!("{now} -> {then}"),
                None => then,
            }
        })
    };
    let mut grid = Grid::default();
    let marks = (0..all.len()).map(|index| match index == plan.recommended {
        true => mark.to_owned(),
        false => String::new(),
    });
    grid.column("", false, marks.collect());
    grid.column("instances", true, each(&|c| c.instances.to_string()));
    grid.column("schemas", true, each(&|c| c.schemas.to_string()));
    grid.column(
        "tables each",
        true,
        each(&|c| c.tables_per_schema.to_string()),
    );
    grid.column("tables", true, each(&|c| c.tables.to_string()));
    grid.column(
        "rows/table",
        true,
        load(&|load| Some(count(load.rows_per_table))),
    );
    if plan.bytes_at_horizon.is_some() {
        let size = load(&|load| load.bytes_per_table.map(bytes));
        grid.column("size/table", true, size);
    }
    let on_instance = load(&|load| Some(count(load.rows_per_instance)));
    grid.column("rows/instance", true, on_instance);
    if plan.bytes_at_horizon.is_some() {
        let size = load(&|load| load.bytes_per_instance.map(bytes));
        grid.column("size/instance", true, size);
    }
    grid.column("idle", false, each(&idle));
    grid.column(LASTS_UNTIL, false, each(&lasts_until));
    if has_more_limits(plan) {
        let first = each(&|c| c.first_limit.map_or("", |limit| limit.words()).to_owned());
        grid.column("first limit", false, first);
    }
    // The limits of a candidate are in the order of the plan's curves, and others behind them.
    if plan.curves.len() > 1 {
        for (index, curve) in plan.curves.iter().enumerate() {
            let met = each(&|c| c.limits.get(index).map_or_else(String::new, met_on));
            grid.column(&format!("{} met", curve.limit.words()), false, met);
        }
    }
    grid.column("next split", false, each(&next_split));
    if plan.bytes_at_horizon.is_some() {
        grid.column("takes", false, each(&takes));
    }
    grid
}

/// What stands empty at the horizon: of the room for rows, and of the disks.
fn idle(candidate: &Candidate) -> String {
    let percent = |points: u32| format!("{} %", points / 100);
    match candidate.idle_disk_basis_points {
        Some(disk) => format!(
            "{} rows, {} disk",
            percent(candidate.idle_rows_basis_points),
            percent(disk)
        ),
        None => percent(candidate.idle_rows_basis_points),
    }
}

/// The date, how far off it is, and whether that is before the horizon.
fn lasts_until(candidate: &Candidate) -> String {
    match (candidate.lasts_until, candidate.days) {
        (Some(date), Some(days)) => format!(
            "{date} ({:.1} years{})",
            f64::from(days) / 365.25,
            if candidate.lasts { "" } else { ", too short" }
        ),
        _ => "over 100 years".to_owned(),
    }
}

fn next_split(candidate: &Candidate) -> String {
    let Some(split) = &candidate.next_split else {
        return "none".to_owned();
    };
    let to = match split.kind {
        SplitKind::MoveSchemas => format!("to {} instances", split.instances),
        SplitKind::SplitSchemas => format!("to {} schemas", split.schemas),
    };
    match split.bytes {
        Some(size) => format!("{to}: {}, {}", rows(split.rows), bytes(size)),
        None => format!("{to}: {}", rows(split.rows)),
    }
}

fn takes(candidate: &Candidate) -> String {
    candidate
        .next_split
        .as_ref()
        .and_then(|split| split.minutes)
        .map_or_else(String::new, crate::topology::plan::duration)
}

/// The limits of the recommended layout; none where there is only that of rows.
pub(super) fn limits(plan: &Plan) -> Option<Grid> {
    has_more_limits(plan).then(|| limits_of(&plan.estimate, plan.best()))
}

pub(super) fn limits_of(estimate: &Estimate, candidate: &Candidate) -> Grid {
    let each = |cell: &dyn Fn(&LimitState) -> String| {
        candidate.limits.iter().map(cell).collect::<Vec<_>>()
    };
    let amount = |state: &LimitState, amount: u64| match state.limit.is_bytes() {
        true => Size(amount).to_string(),
        false => count(amount),
    };
    let mut grid = Grid::default();
    grid.column(
        "limit",
        false,
        each(&|state| match state.tables.as_slice() {
            [] => state.limit.words().to_owned(),
            tables => {
                let names: Vec<&str> = tables.iter().map(TableName::as_str).collect();
                format!("{} of {}", state.limit.words(), names.join(", "))
            }
        }),
    );
    grid.column("at most", true, each(&|state| amount(state, state.most)));
    let headroom = estimate.limits.headroom_basis_points;
    if headroom.0 > 0 {
        let counted = each(&|state| amount(state, state.counted));
        grid.column(&format!("less {headroom}"), true, counted);
    }
    grid.column("now", true, each(&|state| amount(state, state.now)));
    let then = each(&|state| amount(state, state.at_horizon));
    grid.column(&format!("after {}", estimate.horizon), true, then);
    grid.column("met on", false, each(&met_on));
    grid
}

fn met_on(state: &LimitState) -> String {
    match state.met {
        Some(date) => date.to_string(),
        None => "not in 100 years".to_owned(),
    }
}
