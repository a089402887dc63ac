//! How keys spread, as tables with warnings.

use serde::Serialize;

use super::plan_page::{SkewBar, SkewBars};
use super::{Report, View, bytes, count, counted, right_align};
use crate::routing::skew::{Candidate, Shard, Skew, percent};

/// What `plan --sample` shows. A page can draw bars from [`Skew::candidates`]: each has its shards
/// with rows, share and interval.
#[derive(Debug, Clone, Serialize)]
pub struct SkewReport {
    /// Where the keys are from, in words.
    pub source: String,
    /// How they were taken, in words.
    pub taken: String,
    /// What they have shown.
    #[serde(flatten)]
    pub skew: Skew,
    /// `--max-skew`.
    pub skew_max: Option<f64>,
    /// The candidates that exceed it, or cannot be taken for these keys. Of a sample what counts is
    /// the upper end of the interval.
    pub exceeding: Vec<String>,
}

impl SkewReport {
    /// The report, with the candidates that exceed `skew_max`.
    pub fn new(source: String, taken: String, skew: Skew, skew_max: Option<f64>) -> Self {
        let exceeding = skew_max.map_or_else(Vec::new, |most| {
            let over = |one: &&Candidate| one.fault.is_some() || one.exceeds(most);
            let named = |one: &Candidate| match one.exceeds_by_interval_only(most) {
                true if one.fault.is_none() => {
                    format!("{} (up to {:.3})", title(one), one.skew_at_most())
                }
                _ => title(one),
            };
            skew.candidates.iter().filter(over).map(named).collect()
        });
        Self {
            source,
            taken,
            skew,
            skew_max,
            exceeding,
        }
    }
}

impl SkewReport {
    /// The candidates as bars for a page.
    pub fn bars(&self) -> Vec<SkewBars> {
        // Shares are of the rows that have a place.
        let bars = |one: &Candidate| {
            let placed = one.shards.iter().map(|shard| shard.rows).sum::<u64>() as f64;
            let bar = |(number, shard): (usize, &Shard)| SkewBar {
                label: number.to_string(),
                value: shard.rows,
                interval: shard
                    .share_low
                    .zip(shard.share_high)
                    .map(|(low, high)| ((low * placed) as u64, (high * placed).ceil() as u64)),
            };
            one.shards.iter().enumerate().map(bar).collect()
        };
        self.skew
            .candidates
            .iter()
            .map(|one| SkewBars {
                title: format!(
                    "{} by {}, {}",
                    self.source,
                    one.function.name(),
                    match (one.schemas, one.tables_per_schema) {
                        (1, 1) => "one shard".to_owned(),
                        (shards, 1) => format!("{shards} shards"),
                        (1, tables) => format!("one shard of {tables} tables"),
                        (shards, tables) => format!("{shards} shards of {tables} tables each"),
                    }
                ),
                unit: "rows".to_owned(),
                bars: bars(one),
                nowhere: (one.unplaced as f64 * self.scale()).round() as u64,
                fault: one.fault.clone(),
                // How evenly the rest spreads is no comfort.
                notes: match one.fault {
                    Some(_) => Vec::new(),
                    None => vec![largest(one)],
                },
            })
            .collect()
    }

    /// Rows that a key stands for.
    fn scale(&self) -> f64 {
        self.skew.rows as f64 / self.skew.keys.max(1) as f64
    }
}

/// The fullest shard, and the fullest table where a shard has several.
fn largest(one: &Candidate) -> String {
    let mut text = format!("the largest over the mean: {:.3}", one.max_over_mean);
    if let (Some(low), Some(high)) = (one.max_over_mean_low, one.max_over_mean_high) {
        text.push_str(&format!(" ({low:.3} to {high:.3} with 95 % confidence)"));
    }
    if one.tables_per_schema > 1 {
        text.push_str(&format!("; of the tables: {:.3}", one.table_max_over_mean));
    }
    text
}

impl SkewReport {
    /// What the page says of the keys besides.
    pub fn warnings(&self) -> &[String] {
        &self.skew.warnings
    }
}

fn title(candidate: &Candidate) -> String {
    format!("{} over {}", candidate.function.name(), candidate.layout())
}

impl Report for SkewReport {
    fn text(&self, view: &View) -> String {
        let skew = &self.skew;
        let distinct = match (skew.distinct.is_exact, skew.keys) {
            (_, 0) => String::new(),
            (true, _) => format!(", {} different", count(skew.distinct.keys)),
            (false, _) => format!(", more than {} different", count(skew.distinct.keys)),
        };
        let mut text = format!(
            "{} of {} ({}): {}{distinct}",
            counted(skew.keys, "key"),
            self.source,
            skew.key_type,
            self.taken
        );
        if let (Some(least), Some(greatest)) = (&skew.least, &skew.greatest) {
            text.push_str(&format!(", {least} to {greatest}"));
        }
        if let Some(step) = &skew.step {
            text.push_str(&format!(", in steps of {step}"));
        }
        text.push('\n');
        text.push_str(&candidates(skew, view));
        for layout in skew.layouts() {
            if let Some(best) = skew.evenest(layout) {
                text.push_str(&format!(
                    "\nevenest over {layout}: {} ({:.3})",
                    best.function.name(),
                    best.table_max_over_mean.max(best.max_over_mean)
                ));
            }
        }
        if !skew.biggest.is_empty() {
            text.push_str(&format!("\n\n{}", biggest(skew, view)));
            text.push_str(&match skew.biggest_error {
                0 => "\nthe counts are exact".to_owned(),
                error => format!(
                    "\na count can be {} too low; no key that is not shown has more rows than the \
                     least of these and {}",
                    count(error),
                    count(error)
                ),
            });
        } else if skew.keys > 0 {
            text.push_str(&match skew.biggest_error {
                0 => "\nno key comes twice".to_owned(),
                error => format!("\nno key has more than {} rows", count(2 * error)),
            });
        }
        if skew.is_sample {
            text.push_str(
                "\nnote: from a random sample; the intervals hold for all rows with 95 % confidence",
            );
        }
        for warning in &skew.warnings {
            text.push_str(&format!("\nwarning: {warning}"));
        }
        if let Some(most) = self.skew_max {
            text.push_str(&match self.exceeding.as_slice() {
                [] => format!("\nno candidate exceeds --max-skew {most}"),
                [one] => format!("\nFAILED: {one} exceeds --max-skew {most}"),
                over => format!("\nFAILED: {} exceed --max-skew {most}", over.join(", ")),
            });
            if skew
                .candidates
                .iter()
                .any(|one| one.exceeds_by_interval_only(most))
            {
                text.push_str(
                    "\nnote: of a sample the upper end of the interval counts; more keys make it \
                     narrower",
                );
            }
        }
        text
    }
}

fn candidates(skew: &Skew, view: &View) -> String {
    let with_bytes = skew
        .candidates
        .iter()
        .flat_map(|one| &one.shards)
        .any(|shard| shard.bytes.is_some());
    let with_tables = skew.candidates.iter().any(|one| one.tables_per_schema > 1);
    let with_interval = skew
        .candidates
        .iter()
        .any(|one| one.max_over_mean_high.is_some());
    let mut header = vec!["shards", "function", "rows/shard", "least", "most"];
    if with_bytes {
        header.push("largest");
    }
    header.push("max/mean");
    if with_interval {
        header.push("95 % interval");
    }
    if with_tables {
        header.push("max/mean of tables");
    }
    header.extend(["deviation", "empty"]);
    let mut table = view.table(header.clone());
    for one in &skew.candidates {
        let rows = || one.shards.iter().map(|shard| shard.rows);
        let mean = rows().sum::<u64>() / u64::from(one.schemas);
        let mut cells = vec![
            one.layout().to_string(),
            one.function.name().to_owned(),
            count(mean),
            count(rows().min().unwrap_or(0)),
            count(rows().max().unwrap_or(0)),
        ];
        if with_bytes {
            let most = one.shards.iter().filter_map(|shard| shard.bytes).max();
            cells.push(most.map_or_else(String::new, bytes));
        }
        cells.push(match &one.fault {
            Some(_) => "unfit".to_owned(),
            None => format!("{:.3}", one.max_over_mean),
        });
        if with_interval {
            cells.push(match (one.max_over_mean_low, one.max_over_mean_high) {
                (Some(low), Some(high)) if one.fault.is_none() => {
                    format!("{low:.3} to {high:.3}")
                }
                _ => String::new(),
            });
        }
        if with_tables {
            cells.push(match &one.fault {
                Some(_) => String::new(),
                None => format!("{:.3}", one.table_max_over_mean),
            });
        }
        cells.push(match &one.fault {
            Some(_) => String::new(),
            None => percent(one.coefficient),
        });
        cells.push(one.empty.to_string());
        table.add_row(cells);
    }
    let numbers: Vec<usize> = (0..header.len()).filter(|index| *index != 1).collect();
    right_align(&mut table, &numbers);
    table.to_string()
}

fn biggest(skew: &Skew, view: &View) -> String {
    let mut header = vec!["biggest keys", "rows", "share"];
    if skew.is_sample {
        header[1] = "rows in the sample";
        header.push("95 % interval");
    }
    let mut table = view.table(header);
    let percent = |share: f64| format!("{:.3} %", share * 100.0);
    for key in &skew.biggest {
        let mut cells = vec![
            // A text can hold what a terminal would obey.
            key.key.escape_debug().to_string(),
            count(key.keys_least),
            percent(key.share),
        ];
        if let (Some(low), Some(high)) = (key.share_low, key.share_high) {
            cells.push(format!("{} to {}", percent(low), percent(high)));
        }
        table.add_row(cells);
    }
    right_align(&mut table, &[1, 2, 3]);
    table.to_string()
}
