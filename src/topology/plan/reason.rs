//! Why a layout is recommended, and how it goes on from there, each in a sentence.

use super::Estimate;
use super::candidates::{Candidate, SplitKind};
use super::quantity::{Count, Size};

/// Why this one.
pub(super) fn reason(estimate: &Estimate, candidates: &[Candidate], index: usize) -> String {
    let best = &candidates[index];
    let layout = layout(best);
    let horizon = estimate.horizon;
    let Some((limit, until)) = best.first_limit.zip(best.lasts_until) else {
        return format!(
            "{layout}: the smallest layout that lasts {horizon}, and no limit is met in a hundred \
             years."
        );
    };
    if !best.lasts {
        let then = match best.days {
            Some(0) => format!("this one passes {} from the start", limit.words()),
            _ => format!(
                "this one lasts longest and meets {} on {until}",
                limit.words()
            ),
        };
        return format!("{layout}: no layout within the limits lasts {horizon}; {then}.");
    }
    let fewer = candidates
        .iter()
        .filter(|other| other.instances < best.instances)
        .max_by_key(|other| (other.instances, other.days));
    let why = match fewer.and_then(|other| Some((other, other.first_limit?, other.lasts_until?))) {
        Some((other, limit, date)) => format!(
            " ({} would meet {} on {date})",
            instances(other.instances),
            limit.words()
        ),
        None => String::new(),
    };
    format!(
        "{layout}: the smallest layout that lasts {horizon}{why}; it meets its first limit, {}, on \
         {until}.",
        limit.words()
    )
}

/// What comes next.
pub(super) fn later(estimate: &Estimate, best: &Candidate) -> String {
    let mut text = format!(
        "It holds {} of a logical table in {} and {}",
        rows(best.capacity),
        match best.tables {
            1 => "one physical table".to_owned(),
            n => format!("{n} physical tables"),
        },
        match best.instance_counts.as_slice() {
            [] | [_] => "cannot grow by moving whole schemas".to_owned(),
            [_, counts @ ..] => format!(
                "grows to {} instances by moving whole schemas",
                enumerate(counts)
            ),
        }
    );
    if let Some(split) = &best.next_split {
        let what = match split.kind {
            SplitKind::MoveSchemas => format!(
                "half of the schemas move to as many new instances, {} in all",
                split.instances
            ),
            SplitKind::SplitSchemas => {
                format!("each schema is split in two, {} in all", split.schemas)
            }
        };
        let cost = match (split.bytes, split.minutes) {
            (Some(bytes), Some(minutes)) => format!(
                " ({}, {} at {} a second)",
                Size(bytes),
                duration(minutes),
                Size(estimate.move_bytes_per_second)
            ),
            _ => String::new(),
        };
        let lasts = match split.lasts_until {
            Some(date) if date > split.due => format!(", and it lasts until {date}"),
            Some(_) => ", which is not enough".to_owned(),
            None => ", and it lasts more than a hundred years".to_owned(),
        };
        text.push_str(&format!(
            "; on {} {what}: {} move{}{cost}{lasts}",
            split.due,
            rows(split.rows),
            if split.rows == 1 { "s" } else { "" },
        ));
    }
    text.push('.');
    text
}

/// `16 schemas of one table on 2 instances`.
fn layout(candidate: &Candidate) -> String {
    format!(
        "{} of {} on {}",
        match candidate.schemas {
            1 => "one schema".to_owned(),
            n => format!("{n} schemas"),
        },
        match candidate.tables_per_schema {
            1 => "one table".to_owned(),
            n => format!("{n} tables"),
        },
        instances(candidate.instances)
    )
}

fn instances(count: u32) -> String {
    match count {
        1 => "one instance".to_owned(),
        n => format!("{n} instances"),
    }
}

fn rows(count: u64) -> String {
    match count {
        1 => "one row".to_owned(),
        n => format!("{} rows", Count(n)),
    }
}

/// `12 minutes`, `3.5 hours`, `4.2 days`.
pub(crate) fn duration(minutes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = (u128::from(minutes) * 10).div_ceil(u128::from(unit));
        match tenths % 10 {
            0 => format!("{}", tenths / 10),
            tenth => format!("{}.{tenth}", tenths / 10),
        }
    };
    match minutes {
        0 | 1 => "a minute".to_owned(),
        2..=90 => format!("{minutes} minutes"),
        91..=4_320 => format!("{} hours", tenths(60)),
        _ => format!("{} days", tenths(1_440)),
    }
}

/// `4, 8 or 16`; of a long list the first few and the last.
fn enumerate(counts: &[u32]) -> String {
    let text = |counts: &[u32]| {
        let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
        counts.join(", ")
    };
    match counts {
        [.., last] if counts.len() > 6 => format!("{} ... {last}", text(&counts[..4])),
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", text(first)),
        _ => text(counts),
    }
}
