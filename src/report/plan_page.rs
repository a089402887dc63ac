//! A plan as one page for a browser or a printer: no script, nothing that is loaded from elsewhere.
//!
//! Curves are SVG written here: straight lines, a grid and labels are all there is to them. Colours
//! are CSS variables, so that one drawing serves light, dark and paper; lines differ by their
//! strokes as well, for whoever sees or prints no colours.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::{ToSpan, Unit};

use super::plan::{Grid, PlanReport, beside, candidates, limits_of, summary, tables};
use super::{bytes, count};
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::plan::{Candidate, Curve, LimitKind, Plan};

/// How evenly real keys spread over shards, to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SkewBars {
    /// What spreads and how: `member by drds_hash(memberId), 16 shards`.
    pub title: String,
    /// What the bars count: `keys`, `rows`.
    pub unit: String,
    /// A bar for each shard, in the order of the shards.
    pub bars: Vec<SkewBar>,
    /// What the function has no place for: it is in no bar, and the others say little without it.
    pub nowhere: u64,
    /// Why the function cannot be taken for these keys.
    pub fault: Option<String>,
    /// What to know: the largest over the mean, the biggest keys, warnings.
    pub notes: Vec<String>,
}

/// One shard's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkewBar {
    /// The shard: `0`.
    pub label: String,
    /// How much it has.
    pub value: u64,
    /// Between which it is, where only a sample was looked at.
    pub interval: Option<(u64, u64)>,
}

/// Width and height of a drawing, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;

/// Where the plot is within it.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 724.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 262.0;

/// Lines of a chart, each with its own stroke.
const LINES_MAX: usize = 5;

/// The whole page.
pub fn page(report: &PlanReport, skew: &[SkewBars], warnings: &[String]) -> String {
    let plan = &report.plan;
    let mut body = String::new();
    let best = plan.best();
    let title = format!("Capacity plan from {}", plan.estimate.start);
    push(
        &mut body,
        &format!(
            "<header><h1>{}</h1><p class=\"lead\">{}</p></header>\n",
            escape(&title),
            sentence(&summary(plan)),
        ),
    );
    push(
        &mut body,
        &format!(
            "<section class=\"answer\"><h2>Recommended</h2><p><strong>{}</strong></p><p>{}</p>{}{}</section>\n",
            sentence(&plan.reason),
            sentence(&plan.later),
            facts(plan, best),
            report
                .beside
                .as_deref()
                .map_or_else(String::new, |other| format!(
                    "<p class=\"beside\">{}</p>",
                    sentence(&beside(other))
                )),
        ),
    );
    push(&mut body, "<section><h2>When it is full</h2>\n");
    for curve in &plan.curves {
        push(&mut body, &curve_figure(plan, curve));
    }
    push(&mut body, "</section>\n<section><h2>Candidates</h2>\n");
    for grid in candidates(plan, "\u{25b6}") {
        push(&mut body, &table(&grid, Some(plan.recommended)));
    }
    push(
        &mut body,
        "<p class=\"small\">idle: of the room, what stands empty at the horizon.</p></section>\n",
    );
    push(
        &mut body,
        "<section><h2>Limits of the recommended layout</h2>\n",
    );
    push(&mut body, &table(&limits_of(&plan.estimate, best), None));
    push(&mut body, "</section>\n");
    if let Some(grid) = tables(report) {
        push(&mut body, "<section><h2>Tables</h2>\n");
        push(&mut body, &table(&grid, None));
        push(&mut body, "</section>\n");
    }
    if !skew.is_empty() {
        push(&mut body, "<section><h2>How evenly real keys spread</h2>\n");
        for warning in warnings {
            push(
                &mut body,
                &format!("<p class=\"fault\">{}</p>\n", escape(warning)),
            );
        }
        for bars in skew {
            push(&mut body, &skew_figure(bars));
        }
        push(&mut body, "</section>\n");
    }
    let notes: Vec<&String> = plan.notes.iter().chain(&report.assumptions).collect();
    if !notes.is_empty() {
        push(
            &mut body,
            "<section><h2>What was taken for granted</h2><ul>\n",
        );
        for note in notes {
            push(&mut body, &format!("<li>{}</li>\n", escape(note)));
        }
        push(&mut body, "</ul></section>\n");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&title)
    )
}

const STYLE: &str = include_str!("plan_page.css");

fn push(out: &mut String, text: &str) {
    out.push_str(text);
}

/// Text that means itself in HTML and SVG, in attributes too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text whose dates are not broken at the end of a line.
fn sentence(text: &str) -> String {
    text.split(' ')
        .map(
            |word| match word.bytes().filter(|byte| *byte == b'-').count() {
                0 => escape(word),
                _ => format!("<span class=\"whole\">{}</span>", escape(word)),
            },
        )
        .collect::<Vec<_>>()
        .join(" ")
}

/// The recommended layout in a few numbers.
fn facts(plan: &Plan, best: &Candidate) -> String {
    let mut facts = vec![
        ("instances", best.instances.to_string()),
        ("schemas", best.schemas.to_string()),
        ("tables in each", best.tables_per_schema.to_string()),
        (
            "rows per table then",
            Count(best.at_horizon.rows_per_table).to_string(),
        ),
    ];
    if let Some(size) = best.at_horizon.bytes_per_instance {
        facts.push(("per instance then", bytes(size)));
    }
    facts.push((
        "lasts until",
        best.lasts_until
            .map_or_else(|| "over 100 years".to_owned(), |date| date.to_string()),
    ));
    facts.push(("horizon", plan.horizon.to_string()));
    let list: String = facts
        .iter()
        .map(|(name, value)| {
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>",
                escape(name),
                escape(value)
            )
        })
        .collect();
    format!("<dl class=\"facts\">{list}</dl>")
}

fn table(grid: &Grid, marked: Option<usize>) -> String {
    let class = |column: usize| match grid.numbers.contains(&column) {
        true => " class=\"number\"",
        false => "",
    };
    let mut out = String::from("<div class=\"wide\"><table><thead><tr>");
    for (column, header) in grid.header.iter().enumerate() {
        let _ = write!(out, "<th{}>{}</th>", class(column), escape(header));
    }
    out.push_str("</tr></thead><tbody>\n");
    for (index, row) in grid.rows.iter().enumerate() {
        out.push_str(if marked == Some(index) {
            "<tr class=\"best\">"
        } else {
            "<tr>"
        });
        for (column, cell) in row.iter().enumerate() {
            // What is there now, and below it what will be.
            let cell = match cell.split_once(" -> ") {
                Some((now, then)) => format!(
                    "<span class=\"now\">{} &rarr;</span><br>{}",
                    escape(now),
                    escape(then)
                ),
                None => sentence(cell),
            };
            let _ = write!(out, "<td{}>{cell}</td>", class(column));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A line of a chart: the candidates that share a limit's total over so many parts.
struct Line {
    parts: u64,
    name: String,
    met: Option<Date>,
    is_best: bool,
}

fn lines(plan: &Plan, curve: &Curve) -> Vec<Line> {
    let parts = |candidate: &Candidate| match curve.limit.is_of_tables() {
        true => candidate.tables,
        false => candidate.instances.into(),
    };
    let best = parts(plan.best());
    let counts: BTreeSet<u64> = plan.candidates.iter().map(parts).collect();
    // The nearest below and above the recommended say most.
    let mut counts: Vec<u64> = counts.into_iter().collect();
    counts.sort_by_key(|count| (count.max(&best) / count.min(&best).max(&1), *count));
    counts.truncate(LINES_MAX);
    counts.sort_unstable();
    counts
        .into_iter()
        .map(|count| {
            let met = plan
                .candidates
                .iter()
                .filter(|candidate| parts(candidate) == count)
                .flat_map(|candidate| &candidate.limits)
                .find(|state| state.limit == curve.limit && state.tables == curve.tables)
                .and_then(|state| state.met);
            let what = if curve.limit.is_of_tables() {
                "table"
            } else {
                "instance"
            };
            let each = if curve.limit.is_of_tables() {
                " of each"
            } else {
                ""
            };
            Line {
                parts: count,
                name: match count {
                    1 => format!("one {what}{each}"),
                    n => format!("{n} {what}s{each}"),
                },
                met,
                is_best: count == best,
            }
        })
        .collect()
}

/// From amounts and dates to places in the drawing.
struct Scale {
    start: Date,
    days: f64,
    most: f64,
}

impl Scale {
    fn x(&self, date: Date) -> f64 {
        let days = self
            .start
            .until((Unit::Day, date))
            .map_or(0, |span| span.get_days());
        LEFT + (RIGHT - LEFT) * (f64::from(days) / self.days).clamp(0.0, 1.0)
    }

    fn y(&self, amount: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * amount / self.most
    }
}

fn curve_figure(plan: &Plan, curve: &Curve) -> String {
    let lines = lines(plan, curve);
    let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else {
        return String::new();
    };
    let days = first
        .date
        .until((Unit::Day, last.date))
        .map_or(0, |span| span.get_days());
    let highest = curve
        .points
        .iter()
        .map(|point| point.total)
        .max()
        .unwrap_or(0);
    let least_parts = lines
        .iter()
        .map(|line| line.parts)
        .min()
        .unwrap_or(1)
        .max(1);
    let limit = curve.most as f64;
    // The limit is always seen; what goes far above it says no more than that it does.
    let most = (highest as f64 / least_parts as f64).clamp(limit, limit * 1.3) * 1.05;
    let scale = Scale {
        start: first.date,
        days: f64::from(days.max(1)),
        most: most.max(1.0),
    };
    let of = match curve.tables.as_slice() {
        [] => String::new(),
        tables => {
            let names: Vec<&str> = tables.iter().map(AsRef::as_ref).collect();
            format!(" of {}", names.join(", "))
        }
    };
    let title = format!("{}{of}", capital(curve.limit.words()));
    let mut svg = drawing(&title);
    grid(&mut svg, &scale, curve.limit, last.date);
    limit_lines(&mut svg, &scale, curve);
    mark_horizon(&mut svg, &scale, plan.horizon);
    let mut key = String::new();
    for (index, line) in lines.iter().enumerate() {
        let class = format!(
            "line line{index}{}",
            if line.is_best { " best" } else { "" }
        );
        let points: String = curve
            .points
            .iter()
            .map(|point| {
                let amount = point.total as f64 / line.parts as f64;
                format!("{:.1},{:.1} ", scale.x(point.date), scale.y(amount))
            })
            .collect();
        // What leaves the plot is cut off: an inner drawing hides what is outside of it.
        let _ = write!(
            svg,
            "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" viewBox=\"{LEFT} {TOP} {} {}\">\
             <polyline class=\"{class}\" points=\"{}\"/></svg>",
            RIGHT - LEFT,
            BOTTOM - TOP,
            RIGHT - LEFT,
            BOTTOM - TOP,
            points.trim_end()
        );
        if let Some(met) = line.met.filter(|met| *met <= last.date) {
            let _ = write!(
                svg,
                "<circle class=\"dot line{index}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{} on {met}</title></circle>",
                scale.x(met),
                scale.y(curve.counted as f64),
                escape(&line.name)
            );
        }
        let _ = write!(
            key,
            "<li{}><svg class=\"swatch\" viewBox=\"0 0 34 10\" aria-hidden=\"true\">\
             <line class=\"{class}\" x1=\"1\" y1=\"5\" x2=\"33\" y2=\"5\"/></svg>{}: {}</li>",
            if line.is_best { " class=\"best\"" } else { "" },
            escape(&line.name),
            match line.met {
                Some(met) => format!("full on {met}"),
                None => "not full in 100 years".to_owned(),
            }
        );
    }
    limit_labels(&mut svg, &scale, curve);
    svg.push_str("</svg>");
    format!(
        "<figure><figcaption>{}</figcaption>{svg}<ul class=\"key\">{key}</ul></figure>\n",
        escape(&title)
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

fn drawing(title: &str) -> String {
    format!(
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"><title>{}</title>",
        escape(title)
    )
}

/// Lines and labels behind the curves.
fn grid(svg: &mut String, scale: &Scale, limit: LimitKind, end: Date) {
    for amount in ticks(scale.most, limit.is_bytes()) {
        let y = scale.y(amount as f64);
        let label = match limit.is_bytes() {
            // Whole numbers of a unit: the ticks were chosen so.
            true => Size(amount).to_string().replace(".0 ", " "),
            false => Count(amount).to_string(),
        };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
             <text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            escape(&label)
        );
    }
    for date in dates(scale, end) {
        let x = scale.x(date);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{BOTTOM}\" x2=\"{x:.1}\" y2=\"{}\"/>\
             <text class=\"label\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 5.0,
            BOTTOM + 20.0,
            date.strftime("%Y-%m")
        );
    }
}

/// Four to eight round numbers from 0 on.
fn ticks(most: f64, in_bytes: bool) -> Vec<u64> {
    let unit = match in_bytes {
        true => {
            let units = [1u64 << 50, 1 << 40, 1 << 30, 1 << 20, 1 << 10];
            units
                .into_iter()
                .find(|unit| most >= *unit as f64)
                .unwrap_or(1)
        }
        false => 1,
    };
    let in_units = most / unit as f64;
    let step = (0..20)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)))
        .find(|step| in_units / step <= 6.0)
        .unwrap_or(in_units);
    let step = step.max(1.0);
    (0..=(in_units / step) as u64)
        .map(|tick| ((tick as f64 * step) as u64).saturating_mul(unit))
        .collect()
}

/// At most eight dates, whole months apart.
fn dates(scale: &Scale, end: Date) -> Vec<Date> {
    let months = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600];
    let step = months
        .into_iter()
        .find(|step| scale.days / (f64::from(*step) * 30.4) <= 8.0)
        .unwrap_or(1_200);
    (0..9)
        .map_while(|tick| scale.start.checked_add((tick * step).months()).ok())
        .take_while(|date| *date <= end)
        .collect()
}

fn limit_lines(svg: &mut String, scale: &Scale, curve: &Curve) {
    let mut line = |class: &str, amount: u64| {
        let y = scale.y(amount as f64);
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>"
        );
    };
    line("limit", curve.most);
    if curve.counted < curve.most {
        line("headroom", curve.counted);
    }
}

/// On top of the curves, which they would be crossed by.
fn limit_labels(svg: &mut String, scale: &Scale, curve: &Curve) {
    let mut label = |class: &str, words: &str, amount: u64, down: f64| {
        let text = match curve.limit.is_bytes() {
            true => Size(amount).to_string().replace(".0 ", " "),
            false => Count(amount).to_string(),
        };
        let _ = write!(
            svg,
            "<text class=\"{class}\" x=\"{}\" y=\"{:.1}\">{words} {}</text>",
            LEFT + 6.0,
            scale.y(amount as f64) + down,
            escape(&text)
        );
    };
    label("limit", "limit", curve.most, -5.0);
    if curve.counted < curve.most {
        label("headroom", "less headroom", curve.counted, 15.0);
    }
}

fn mark_horizon(svg: &mut String, scale: &Scale, horizon: Date) {
    let x = scale.x(horizon);
    let _ = write!(
        svg,
        "<line class=\"horizon\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\"/>\
         <text class=\"horizon\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">horizon {horizon}</text>",
        TOP - 9.0
    );
}

fn skew_figure(skew: &SkewBars) -> String {
    let highest = skew
        .bars
        .iter()
        .map(|bar| {
            bar.interval
                .map_or(bar.value, |(_, high)| high.max(bar.value))
        })
        .max()
        .unwrap_or(0)
        .max(skew.nowhere);
    let total: u128 = skew.bars.iter().map(|bar| u128::from(bar.value)).sum();
    let mean = total as f64 / skew.bars.len().max(1) as f64;
    let scale = Scale {
        start: Date::ZERO,
        days: 1.0,
        most: (highest as f64 * 1.08).max(1.0),
    };
    let mut svg = drawing(&skew.title);
    for amount in ticks(scale.most, false) {
        let y = scale.y(amount as f64);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
             <text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            escape(&Count(amount).to_string())
        );
    }
    // What has no place has a bar of its own, or the others alone would look even.
    let lost = (skew.nowhere > 0).then(|| SkewBar {
        label: "none".to_owned(),
        value: skew.nowhere,
        interval: None,
    });
    let all: Vec<&SkewBar> = skew.bars.iter().chain(&lost).collect();
    let slot = (RIGHT - LEFT) / all.len().max(1) as f64;
    let width = (slot * 0.72).max(0.4);
    // Labels that would run into each other are left out.
    let longest = all
        .iter()
        .map(|bar| bar.label.chars().count())
        .max()
        .unwrap_or(1);
    let every = ((longest as f64 * 8.0 + 6.0) / slot).ceil().max(1.0) as usize;
    for (index, bar) in all.iter().enumerate() {
        let is_lost = index == skew.bars.len();
        let middle = LEFT + slot * (index as f64 + 0.5);
        let y = scale.y(bar.value as f64);
        let over = match (is_lost, &skew.fault) {
            (true, _) => " over",
            (false, Some(_)) => " unfit",
            (false, None) if bar.value as f64 > mean * 1.5 => " over",
            (false, None) => "",
        };
        let _ = write!(
            svg,
            "<rect class=\"bar{over}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
             <title>{}: {} {}</title></rect>",
            middle - width / 2.0,
            (BOTTOM - y).max(0.0),
            escape(&bar.label),
            count(bar.value),
            escape(&skew.unit)
        );
        if let Some((low, high)) = bar.interval {
            let _ = write!(
                svg,
                "<line class=\"interval\" x1=\"{middle:.1}\" y1=\"{:.1}\" x2=\"{middle:.1}\" y2=\"{:.1}\"/>",
                scale.y(low as f64),
                scale.y(high as f64)
            );
        }
        if index % every == 0 || is_lost {
            let _ = write!(
                svg,
                "<text class=\"label\" x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 18.0,
                escape(&bar.label)
            );
        }
    }
    let y = scale.y(mean);
    let _ = write!(
        svg,
        "<line class=\"mean\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
         <text class=\"mean\" x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">mean {}</text></svg>",
        TOP - 9.0,
        escape(&Count(mean.round() as u64).to_string())
    );
    let notes: String = skew
        .notes
        .iter()
        .map(|note| format!("<li>{}</li>", escape(note)))
        .collect();
    let fault = skew.fault.as_ref().map_or_else(String::new, |fault| {
        let lost = match skew.nowhere {
            0 => String::new(),
            lost => format!(" ({} {} have no place)", count(lost), skew.unit),
        };
        format!(
            "<p class=\"fault\">unfit for these keys: {}{}</p>",
            escape(fault),
            escape(&lost)
        )
    });
    format!(
        "<figure><figcaption>{}</figcaption>{fault}{svg}<ul class=\"notes\">{notes}</ul></figure>\n",
        escape(&format!("{}, {} per shard", skew.title, skew.unit))
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_means_itself() {
        assert_eq!(
            escape("<b a=\"1\" c='2'> & </b>"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt; &amp; &lt;/b&gt;"
        );
    }

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(
            ticks(6_500_000.0, false),
            [0, 2_000_000, 4_000_000, 6_000_000]
        );
        assert_eq!(ticks(1.0, false), [0, 1]);
        assert_eq!(
            ticks((500u64 << 30) as f64, true).last(),
            Some(&(500 << 30))
        );
    }

    fn skewed(bars: Vec<SkewBar>) -> SkewBars {
        SkewBars {
            title: "member by mod(memberId), <16> shards".to_owned(),
            unit: "keys".to_owned(),
            bars,
            nowhere: 0,
            fault: None,
            notes: vec!["4 & 5 have most".to_owned()],
        }
    }

    #[test]
    fn a_bar_stands_for_each_shard_and_those_far_above_the_mean_are_marked() {
        let bar = |label: u32, value| SkewBar {
            label: label.to_string(),
            value,
            interval: Some((value.saturating_sub(1), value + 1)),
        };
        let figure = skew_figure(&skewed(
            (0..16)
                .map(|n| bar(n, if n == 4 { 90 } else { 10 }))
                .collect(),
        ));
        assert_eq!(figure.matches("<rect").count(), 16);
        assert_eq!(figure.matches("class=\"bar over\"").count(), 1);
        assert!(figure.contains("&lt;16&gt; shards"));
        assert!(figure.contains("4 &amp; 5 have most"));
    }

    proptest! {
        #[test]
        fn any_bars_are_drawn_within_the_drawing(values in prop::collection::vec(any::<u64>(), 0..300)) {
            let bars = values.iter().map(|value| SkewBar { label: String::new(), value: *value, interval: None });
            let figure = skew_figure(&skewed(bars.collect()));
            prop_assert!(!figure.contains("NaN") && !figure.contains("inf"));
        }

        #[test]
        fn ticks_end_for_any_amount(most in 1.0f64..1e20) {
            for in_bytes in [false, true] {
                prop_assert!(ticks(most, in_bytes).len() <= 12);
            }
        }
    }
}
