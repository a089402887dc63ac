//! A statement that every shard computes its part of.
//!
//! It is planned in two steps. The first cuts the statement into what the shards compute and what
//! is merged, and makes a probe: a statement that returns no rows but tells the kind of each
//! column. With those kinds the second step decides how each key is compared: text by its server's
//! own weights, numbers as numbers; or that it cannot be merged exactly.
//!
//! Rows, distinct rows and groups that lie whole in one place each, for they name the shard key,
//! are computed by the servers, whatever they are made of, and only put in order here
//! (`whole`). Groups that lie over several places are put together
//! (`grouped`).

use sqlparser::ast::{Expr, GroupByExpr, LimitClause, OrderBySort, SelectItem, Value};

use super::Refusal;
use super::grouped::Grouped;
use super::items::{Cut, What};
use super::merge::Merge;
use super::parse::Parsed;
use super::tables::Reads;
use super::template::Template;
use super::whole::Whole;
use crate::rows::cell::{Column, Kind, Padding};

/// A scatter before the kinds of its columns are known.
#[derive(Debug, Clone)]
pub struct Scatter {
    /// Returns no rows; its columns are the select list's, then those that are only needed to
    /// merge.
    pub probe: Template,
    shape: Shape,
    /// What the probe asks: the select list, and what stands behind it.
    probed: Vec<String>,
    /// How many of these are the select list's.
    visible: usize,
    /// Whether the select list has a wildcard, so that its columns are not counted by items.
    wildcard: bool,
    frame: Frame,
    /// The tables and joins of FROM.
    tables: String,
}

#[derive(Debug, Clone)]
enum Shape {
    Whole(Whole),
    Grouped(Grouped),
}

/// What stands around the select list of each statement to a shard.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// An optimizer hint and the modifiers, DISTINCT not included.
    pub modifiers: String,
    /// From FROM to GROUP BY.
    pub body: String,
    pub limit: Option<u64>,
    pub offset: u64,
}

impl Frame {
    pub fn statement(&self, list: &[String], tail: &str) -> Template {
        Template::new(format!(
            "SELECT{} {} {}{tail}",
            self.modifiers,
            list.join(", "),
            self.body
        ))
    }
}

/// What is to be executed once the kinds are known.
#[derive(Debug, Clone)]
pub struct Scattered {
    /// What each physical table is asked.
    pub statement: Template,
    /// How the answers become one.
    pub merge: Merge,
    /// The columns of the answer.
    pub columns: Vec<Column>,
}

/// The first step.
pub(super) fn scatter(parsed: &Parsed, reads: &Reads<'_>) -> Result<Scatter, Refusal> {
    let plain = parsed.plain.as_ref().map_err(Clone::clone)?;
    let cut = Cut {
        parsed,
        plain,
        reads,
    };
    let inexact = |what: &str| Err(Refusal::Inexact(what.to_owned()));
    let modifiers = &plain.pieces.modifiers;
    let has = |word: &str| modifiers.iter().any(|modifier| modifier == word);
    if has("SQL_CALC_FOUND_ROWS") {
        return inexact("SQL_CALC_FOUND_ROWS counts one server's rows");
    }
    // Not by the tree, which takes ALL for a kind of DISTINCT.
    let distinct = has("DISTINCT") || has("DISTINCTROW");
    let list: &[Expr] = match &plain.select.group_by {
        GroupByExpr::Expressions(list, _) => list,
        GroupByExpr::All(_) => &[],
    };
    let group = cut.group_by(list)?;
    let items = cut.items()?;
    let order = cut.order_by()?;
    let having = cut.having();
    let has_calls =
        |range: &std::ops::Range<usize>| cut.calls(range).iter().any(|call| !call.window);
    let aggregates = items
        .iter()
        .any(|item| matches!(item.what, What::Aggregate | What::Computed))
        || having.as_ref().is_some_and(|part| has_calls(&part.range))
        || order.iter().any(|(_, part)| has_calls(&part.range));
    if distinct && (aggregates || !group.is_empty()) {
        return inexact("DISTINCT over groups is not merged");
    }
    if parsed.windows {
        if distinct || aggregates || !group.is_empty() {
            return inexact("window functions over groups are not merged");
        }
        if !cut.windows_keep_places() {
            return inexact(
                "a window function over shards is merged only where it is partitioned by the \
                 shard key",
            );
        }
    }
    let (limit, offset) = limit(parsed)?;
    let hint = plain.pieces.hint.iter();
    let words: String = hint
        .chain(modifiers)
        .filter(|word| !["DISTINCT", "DISTINCTROW"].contains(&word.as_str()))
        .map(|word| format!(" {word}"))
        .collect();
    let frame = Frame {
        modifiers: words,
        body: cut.text(&(plain.pieces.from..plain.pieces.body_end)),
        limit,
        offset,
    };
    // The expressions of the groups, positions and aliases resolved.
    let means = |part: &super::items::Part| {
        cut.find_item(part, &items)
            .and_then(|index| items[index].part.as_ref())
            .map_or_else(|| part.expr.clone(), |part| part.expr.clone())
    };
    let named: Vec<Expr> = match (distinct, group.is_empty()) {
        (true, _) => items
            .iter()
            .filter_map(|item| item.part.as_ref())
            .map(|part| part.expr.clone())
            .collect(),
        (false, false) => group
            .iter()
            .map(|part| match cut.is_own_column(part) {
                true => part.expr.clone(),
                false => means(part),
            })
            .collect(),
        (false, true) => Vec::new(),
    };
    let star = plain
        .select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_)));
    let fixed = match distinct && star {
        true => reads.has_place(),
        false => reads.fix_place(&named.iter().collect::<Vec<_>>()),
    };
    let grouped = distinct || aggregates || !group.is_empty();
    let directions: Vec<(bool, super::items::Part)> = order
        .into_iter()
        .map(|(entry, part)| (matches!(entry.options.sort, Some(OrderBySort::Desc)), part))
        .collect();
    let wildcard = items.iter().any(|item| item.what == What::Wildcard);
    let visible: Vec<String> = items.iter().map(|item| item.text.clone()).collect();
    let (shape, extra, probe_tail) = if !grouped || fixed {
        let whole = Whole::new(&cut, &items, &group, having.as_ref(), &directions, distinct)?;
        let (extra, tail) = (whole.probed(), whole.probe_tail());
        (Shape::Whole(whole), extra, tail)
    } else {
        if wildcard {
            return inexact("name the columns: * cannot be grouped or made distinct over shards");
        }
        let grouped = Grouped::new(&cut, &items, &group, having.as_ref(), &directions)?;
        let (extra, tail) = (grouped.probed(), grouped.probe_tail());
        (Shape::Grouped(grouped), extra, tail)
    };
    let expressions: Vec<String> = items
        .iter()
        .map(|item| {
            item.part
                .as_ref()
                .map_or_else(|| item.text.clone(), |part| part.text.clone())
        })
        .chain(extra.iter().cloned())
        .collect();
    let list: Vec<String> = visible.iter().cloned().chain(extra).collect();
    Ok(Scatter {
        probe: frame.statement(&list, &format!("{probe_tail} LIMIT 0")),
        shape,
        probed: expressions,
        visible: visible.len(),
        wildcard,
        frame,
        tables: cut.text(&plain.pieces.tables),
    })
}

impl Scatter {
    /// Whether a text is grouped or ordered by, so that its collation must be known.
    pub fn compares_text(&self, probed: &[Column]) -> bool {
        let text = |column: &Column| column.kind == Kind::Text;
        match &self.shape {
            Shape::Whole(whole) if !whole.is_ordered() => false,
            // Behind a wildcard items are not counted; one column too many does no harm.
            Shape::Whole(_) | Shape::Grouped(_) => probed.iter().any(text),
        }
    }

    /// Gives the columns of the probe what [`Scatter::collations`] told of them.
    pub fn know_paddings(&self, probed: &mut [Column], paddings: &[Padding]) {
        let first = match self.wildcard {
            true => probed.len().saturating_sub(self.extra()),
            false => 0,
        };
        for (column, padding) in probed.iter_mut().skip(first).zip(paddings) {
            column.padding = *padding;
        }
    }

    fn extra(&self) -> usize {
        self.probed.len() - self.visible
    }

    /// A statement of one row with the collation of each column of the probe, in order; of those
    /// behind a wildcard, which has an unknown number of them, only. It has its row in an empty
    /// table as well.
    pub fn collations(&self) -> Template {
        let known = match self.wildcard {
            true => &self.probed[self.visible..],
            false => &self.probed[..],
        };
        let list: Vec<String> = known
            .iter()
            .map(|text| format!("COLLATION({text})"))
            .collect();
        // A row of its own, so that there is a statement where there is nothing to ask.
        let list = match list.is_empty() {
            true => "'binary'".to_owned(),
            false => list.join(", "),
        };
        Template::new(format!(
            "SELECT {list} FROM (SELECT 1 AS _shardctl_one) AS _shardctl LEFT JOIN ({}) ON FALSE",
            self.tables
        ))
    }

    /// The second step: with the columns of the probe, what is asked and how it is merged.
    ///
    /// # Errors
    /// A key or an aggregate of these kinds cannot be merged exactly.
    pub fn finish(&self, probed: &[Column]) -> Result<Scattered, Refusal> {
        let visible = probed
            .len()
            .checked_sub(self.extra())
            .filter(|visible| self.wildcard || *visible == self.visible)
            .ok_or_else(|| {
                Refusal::Inexact("the server gave other columns than were asked for".to_owned())
            })?;
        match &self.shape {
            Shape::Whole(whole) => whole.finish(&self.frame, probed, visible),
            Shape::Grouped(grouped) => grouped.finish(&self.frame, probed, visible),
        }
    }
}

/// LIMIT and OFFSET of the whole statement.
pub(super) fn limit(parsed: &Parsed) -> Result<(Option<u64>, u64), Refusal> {
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse::<u64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let bad = || Refusal::Syntax {
        message: "LIMIT takes whole numbers".to_owned(),
    };
    match &parsed.query.limit_clause {
        None => Ok((None, 0)),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => Ok((
            Some(number(limit).ok_or_else(bad)?),
            number(offset).ok_or_else(bad)?,
        )),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) => {
            if !limit_by.is_empty() {
                return Err(bad());
            }
            let limit = limit
                .as_ref()
                .map(|limit| number(limit).ok_or_else(bad))
                .transpose()?;
            let offset = match offset {
                Some(offset) => number(&offset.value).ok_or_else(bad)?,
                None => 0,
            };
            Ok((limit, offset))
        }
    }
}

/// How a key is fetched so that it can be compared.
pub(super) fn comparable(
    expression: &str,
    column: &Column,
    ordering: bool,
) -> Result<(String, Kind), Refusal> {
    let refuse = |why: &str| Err(Refusal::Inexact(format!("`{expression}` {why}")));
    Ok(match column.kind {
        Kind::Text => match column.padding {
            Padding::No => (format!("WEIGHT_STRING({expression})"), Kind::Binary),
            Padding::Sorted(filling) => (
                format!("WEIGHT_STRING({expression})"),
                Kind::Weights(filling),
            ),
            Padding::Space(filling) => (
                format!("WEIGHT_STRING(RTRIM({expression}))"),
                Kind::Weights(filling),
            ),
            Padding::Levels => {
                return refuse(
                    "has a collation of several levels that takes no count of trailing spaces; \
                     its weights cannot be compared over shards",
                );
            }
        },
        Kind::Enum => (format!("({expression}) + 0"), Kind::Enum),
        // As bytes on one server, and as digits where MariaDB computed it: MIN(bit).
        Kind::Bit => (format!("({expression}) + 0"), Kind::Decimal),
        // The text of a FLOAT is rounded, and that of a DOUBLE(10,2) or of a sum of such is as
        // well; computed with a constant that has no fixed digits it is exact.
        Kind::Float | Kind::Double if ordering => (format!("({expression}) + 0e0"), Kind::Double),
        Kind::Float | Kind::Double => {
            return refuse("is a floating point number; equal ones cannot be told over shards");
        }
        Kind::Json | Kind::Other => {
            return refuse("has a type that cannot be ordered or grouped over shards");
        }
        kind => (expression.to_owned(), kind),
    })
}
