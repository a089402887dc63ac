//! UNION ALL: the answers of its SELECTs, one after the other.
//!
//! Each is planned by itself, so that one may be a count over all shards and the next a row of one.
//! The servers give the columns of a union a type that holds the values of all; here they must be
//! of types whose values are written alike, so that there is nothing to convert.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::Refusal;
use super::functions::Nature;
use super::parse::{Parsed, keyword};
use super::plan::{Plan, Way, plan};
use super::scatter::limit;
use crate::rows::cell::{Column, Kind};
use crate::topology::Topology;

/// The SELECTs of a UNION ALL.
#[derive(Debug, Clone)]
pub struct Union {
    /// Each planned by itself.
    pub plans: Vec<Plan>,
    /// Rows to give at the most.
    pub limit: Option<u64>,
    /// Rows to leave out first.
    pub offset: u64,
}

/// Plans a UNION ALL; `None` where the statement is something else.
pub(super) fn union(parsed: &Parsed, topology: &Topology) -> Result<Option<Union>, Refusal> {
    let Some((pieces, limited)) = pieces(parsed) else {
        return Ok(None);
    };
    if let Some((name, _)) = parsed
        .functions
        .iter()
        .find(|(_, nature)| *nature == Nature::Server)
    {
        return Err(Refusal::Inexact(format!(
            "{name}() gives another value on each shard"
        )));
    }
    let plans = pieces
        .into_iter()
        .map(|piece| {
            let planned = plan(&parsed.sql[piece], topology)?;
            match planned.way {
                Way::Apart(refusal) => Err(refusal),
                _ => Ok(planned),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (limit, offset) = match limited {
        true => limit(parsed)?,
        false => (None, 0),
    };
    Ok(Some(Union {
        plans,
        limit,
        offset,
    }))
}

/// The SELECTs, and whether there is a LIMIT behind them; `None` where there is more than that.
fn pieces(parsed: &Parsed) -> Option<(Vec<Range<usize>>, bool)> {
    let tokens = &parsed.tokens;
    let mut pieces = Vec::new();
    let (mut depth, mut start, mut at) = (0, 0, 0);
    let mut end = parsed.sql.len();
    let mut limited = false;
    while let Some((token, range)) = tokens.get(at) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            token if depth == 0 => match keyword(token) {
                Some(Keyword::UNION) => {
                    let all = tokens.get(at + 1).map(|(token, _)| keyword(token));
                    if all != Some(Some(Keyword::ALL)) {
                        return None;
                    }
                    pieces.push(start..range.start);
                    at += 1;
                    start = tokens[at].1.end;
                }
                // Behind the last SELECT these are of the whole.
                Some(Keyword::LIMIT) => {
                    end = range.start;
                    limited = true;
                }
                Some(Keyword::ORDER | Keyword::WITH | Keyword::EXCEPT | Keyword::INTERSECT) => {
                    return None;
                }
                _ => {}
            },
            _ => {}
        }
        at += 1;
    }
    if pieces.is_empty() {
        return None;
    }
    pieces.push(start..end);
    let starts_with_select = |piece: &Range<usize>| {
        let first = parsed.tokens_of(piece).first();
        first.is_some_and(|(token, _)| keyword(token) == Some(Keyword::SELECT))
    };
    (pieces.iter().all(starts_with_select)
        && pieces
            .iter()
            .all(|piece| !parsed.sql[piece.clone()].trim().is_empty()))
    .then_some((pieces, limited))
}

/// The columns of a union of answers with these columns.
///
/// # Errors
/// There are not as many in each, or values of their types are written in different ways.
pub fn columns_of(all: &[Vec<Column>]) -> Result<Vec<Column>, Refusal> {
    let Some((first, others)) = all.split_first() else {
        return Ok(Vec::new());
    };
    let mut columns = first.clone();
    for other in others {
        if other.len() != columns.len() {
            return Err(Refusal::Syntax {
                message: "the SELECTs of the UNION have different numbers of columns".to_owned(),
            });
        }
        for (column, other) in columns.iter_mut().zip(other) {
            if column.kind == Kind::Null {
                *column = Column {
                    name: column.name.clone(),
                    ..other.clone()
                };
                continue;
            }
            let whole = |column: &Column| {
                column.cast.is_some()
                    && (column.kind == Kind::Integer
                        || (column.kind == Kind::Decimal && column.scale == 0))
            };
            let alike = match (column.kind, other.kind) {
                (_, Kind::Null) => true,
                (Kind::Text, Kind::Text) | (Kind::Enum, Kind::Enum) => true,
                (Kind::Decimal, Kind::Decimal) => column.scale == other.scale,
                (Kind::Date, Kind::Date) | (Kind::Time, Kind::Time) => {
                    column.cast.is_some() && column.cast == other.cast
                }
                _ => whole(column) && whole(other),
            };
            if !alike {
                return Err(Refusal::Inexact(format!(
                    "the column `{}` has different types in the SELECTs of the UNION, or one \
                     whose values a union changes",
                    column.name
                )));
            }
        }
    }
    Ok(columns)
}
