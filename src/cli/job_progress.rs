//! The progress of a job on stderr: bars where a person watches, else a line now and then, or JSON.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::Context;
use crate::names::TableName;
use crate::rebalance::protocol::{Effect, Job, Phase};
use crate::report::progress::{ProgressReport, TableProgress, TableTotal};
use crate::run::live::Lag;
use crate::run::rebalance::Observer;

/// Bars of tables that are shown at once; those whose rows moved last.
const BARS_MAX: usize = 8;
/// What a rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// Bars on a terminal, lines elsewhere
    #[default]
    Auto,
    /// A line for each phase, and every ten seconds
    Lines,
    /// A JSON object for each phase, and every second
    Json,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Bars,
    Lines,
    Json,
    Nothing,
}

/// Shows how a job goes on, until [`Progress::done`].
pub struct Progress {
    way: Way,
    state: Arc<Mutex<State>>,
    bars: Bars,
    ticker: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    job: String,
    phase: Option<Phase>,
    began: Option<Instant>,
    total: Option<u64>,
    totals: IndexMap<TableName, TableTotal>,
    rows: IndexMap<TableName, u64>,
    /// Rows at moments of the last seconds.
    recent: VecDeque<(Instant, u64)>,
    lags: Vec<Lag>,
}

impl State {
    fn report(&mut self) -> Option<ProgressReport> {
        let (phase, began) = (self.phase?, self.began?);
        let now = Instant::now();
        let rows: u64 = self.rows.values().sum();
        self.recent.push_back((now, rows));
        while self.recent.len() > 2 && now - self.recent[1].0 >= RATE_OVER {
            self.recent.pop_front();
        }
        let (from, before) = self.recent[0];
        let passed = (now - from).as_secs_f64();
        let rows_s = match passed > 0.0 {
            true => ((rows - before) as f64 / passed) as u64,
            false => 0,
        };
        let (all_rows, all_bytes) = self.totals.values().fold((0, 0), |(rows, bytes), table| {
            (rows + table.rows, bytes + table.bytes)
        });
        let bytes_of_row = all_bytes as f64 / all_rows.max(1) as f64;
        let left = self.total.map(|total| total.saturating_sub(rows));
        Some(ProgressReport {
            job: self.job.clone(),
            phase,
            elapsed_s: (now - began).as_secs(),
            rows,
            rows_total: self.total,
            rows_s,
            bytes_s: (rows_s as f64 * bytes_of_row) as u64,
            eta_s: left.and_then(|left| left.checked_div(rows_s)),
            lag_s: self.lags.iter().filter_map(Lag::seconds).max(),
            tables: self
                .rows
                .iter()
                .filter_map(|(hidden, rows)| {
                    let table = self.totals.get(hidden)?;
                    Some(TableProgress {
                        schema: table.schema.clone(),
                        table: table.table.clone(),
                        rows: *rows,
                        rows_total: table.rows,
                    })
                })
                .collect(),
        })
    }
}

/// The job's own bar, and those of the tables that rows are copied of.
#[derive(Clone)]
struct Bars {
    all: MultiProgress,
    job: ProgressBar,
    tables: Arc<Mutex<IndexMap<TableName, ProgressBar>>>,
}

impl Bars {
    fn new(are_shown: bool) -> Self {
        let all = match are_shown {
            true => MultiProgress::new(),
            false => MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()),
        };
        Self {
            job: all.add(ProgressBar::new_spinner()),
            all,
            tables: Arc::default(),
        }
    }

    fn advance(&self, table: &TableTotal, rows: u64) {
        let mut tables = locked(&self.tables);
        // The last one is the one that moved last.
        let bar = match tables.shift_remove(&table.hidden) {
            Some(bar) => bar,
            None => {
                if tables.len() >= BARS_MAX
                    && let Some((_, idle)) = tables.shift_remove_index(0)
                {
                    idle.finish_and_clear();
                    self.all.remove(&idle);
                }
                let bar = self.all.add(ProgressBar::new(table.rows));
                if let Ok(style) =
                    ProgressStyle::with_template("  {msg:32} [{bar:30}] {human_pos}/~{human_len}")
                {
                    bar.set_style(style);
                }
                bar.set_message(format!("{}.{}", table.schema, table.table));
                bar
            }
        };
        bar.inc(rows);
        tables.insert(table.hidden.clone(), bar);
    }

    fn clear(&self) {
        for bar in std::mem::take(&mut *locked(&self.tables)).into_values() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// As the person wants it.
    pub fn new(cx: &Context, mode: ProgressMode) -> Self {
        let way = match mode {
            ProgressMode::None => Way::Nothing,
            ProgressMode::Json => Way::Json,
            _ if cx.global.quiet => Way::Nothing,
            ProgressMode::Auto if cx.shows_progress() => Way::Bars,
            ProgressMode::Auto | ProgressMode::Lines => Way::Lines,
        };
        let state: Arc<Mutex<State>> = Arc::default();
        let bars = Bars::new(way == Way::Bars);
        Self {
            way,
            ticker: tokio::spawn(tick(way, state.clone(), bars.clone())),
            state,
            bars,
        }
    }

    /// Takes the bars away.
    pub fn done(&self) {
        self.ticker.abort();
        self.bars.clear();
        self.bars.job.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

async fn tick(way: Way, state: Arc<Mutex<State>>, bars: Bars) {
    let pause = match way {
        Way::Bars => Duration::from_millis(200),
        Way::Json => Duration::from_secs(1),
        Way::Lines => Duration::from_secs(10),
        Way::Nothing => return,
    };
    loop {
        tokio::time::sleep(pause).await;
        let report = locked(&state).report();
        if let Some(report) = report {
            show(way, &report, &bars);
        }
    }
}

fn show(way: Way, report: &ProgressReport, bars: &Bars) {
    match way {
        Way::Bars => {
            bars.job.set_message(report.line());
            bars.job.tick();
        }
        Way::Lines => eprintln!("{}", report.line()),
        // A report has nothing that JSON does not.
        Way::Json => eprintln!("{}", serde_json::to_string(report).unwrap_or_default()),
        Way::Nothing => {}
    }
}

impl Observer for Progress {
    fn begins(&self, job: &Job, _: Effect, total: Option<u64>) {
        let mut state = locked(&self.state);
        let is_new = state.phase != Some(job.phase);
        state.job.clone_from(&job.id);
        state.phase = Some(job.phase);
        state.began = Some(Instant::now());
        state.total = total;
        state.rows.clear();
        state.recent.clear();
        let report = state.report();
        drop(state);
        self.bars.clear();
        let Some(report) = report.filter(|_| is_new) else {
            return;
        };
        match self.way {
            // What is not known yet is not told.
            Way::Lines => eprintln!("job {}: {}", report.job, report.phase),
            way => show(way, &report, &self.bars),
        }
    }

    fn expects(&self, tables: Vec<TableTotal>) {
        let tables = tables
            .into_iter()
            .map(|table| (table.hidden.clone(), table));
        locked(&self.state).totals = tables.collect();
    }

    fn advances(&self, table: &TableName, rows: u64) {
        let mut state = locked(&self.state);
        *state.rows.entry(table.clone()).or_default() += rows;
        if self.way == Way::Bars
            && let Some(total) = state.totals.get(table)
        {
            self.bars.advance(total, rows);
        }
    }

    fn follows(&self, lag: Lag) {
        locked(&self.state).lags.push(lag);
    }

    fn note(&self, text: &str) {
        match self.way {
            Way::Bars => {
                // Where the bars cannot be drawn around it, the next redraw mends that.
                let _ = self.bars.all.println(text);
            }
            Way::Lines => eprintln!("{text}"),
            Way::Json => eprintln!("{}", serde_json::json!({ "note": text })),
            Way::Nothing => {}
        }
    }
}
