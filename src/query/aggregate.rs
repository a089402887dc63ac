//! Aggregates: what the shards compute of one, and how the parts become the whole.

use sqlparser::tokenizer::Token;

use super::Refusal;
use super::items::{Cut, RawCall};
use super::merge::Aggregate;
use super::scatter::comparable;
use crate::rows::cell::{Column, Kind};

/// An aggregate whose parts can be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub function: Merged,
    /// As written, for the probe and for messages.
    pub text: String,
    /// What stands between the parentheses, DISTINCT included.
    pub argument: String,
    /// The arguments of DISTINCT where values that are equal can lie on several shards.
    pub distinct: Option<Vec<String>>,
    /// Whether equal values of DISTINCT lie in one place: that is only so while the shards' groups
    /// are those of the statement.
    by_place: bool,
}

/// An expression that the shards give and group by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    /// The cell of its value.
    pub value: usize,
    /// The cell it is compared by, and what that one holds.
    pub key: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl Call {
    pub fn new(cut: &Cut<'_>, raw: &RawCall) -> Result<Self, Refusal> {
        let function = match raw.name.as_str() {
            "count" => Merged::Count,
            "sum" => Merged::Sum,
            "avg" => Merged::Avg,
            "min" => Merged::Min,
            "max" => Merged::Max,
            other => {
                return Err(Refusal::Inexact(format!(
                    "{other}() over shards is not merged"
                )));
            }
        };
        let text = cut.text(&raw.range);
        let argument = cut.text(&raw.inside);
        let tokens = cut.parsed.tokens_of(&raw.inside);
        let first_word = match tokens.first() {
            Some((Token::Word(word), _)) if word.quote_style.is_none() => {
                word.value.to_ascii_uppercase()
            }
            _ => String::new(),
        };
        let extreme = matches!(function, Merged::Min | Merged::Max);
        let mut distinct = None;
        let mut by_place = false;
        if first_word == "DISTINCT" && !extreme {
            // Each argument of its own.
            let mut arguments = Vec::new();
            let (mut depth, mut start) = (0, tokens[0].1.end);
            for (token, range) in &tokens[1..] {
                match token {
                    Token::LParen => depth += 1,
                    Token::RParen => depth -= 1,
                    Token::Comma if depth == 0 => {
                        arguments.push(start..range.start);
                        start = range.end;
                    }
                    _ => {}
                }
            }
            arguments.push(start..raw.inside.end);
            let key = |range: &std::ops::Range<usize>| {
                let text = cut.parsed.sql[range.clone()].trim().replace('`', "");
                let parts: Vec<_> = text
                    .split('.')
                    .map(|name| sqlparser::ast::Ident::new(name.trim()))
                    .collect();
                match parts.as_slice() {
                    [name] => sqlparser::ast::Expr::Identifier(name.clone()),
                    _ => sqlparser::ast::Expr::CompoundIdentifier(parts),
                }
            };
            let columns: Vec<_> = arguments.iter().map(key).collect();
            by_place = function == Merged::Count
                && cut.reads.fix_place(&columns.iter().collect::<Vec<_>>());
            distinct = Some(
                arguments
                    .iter()
                    .map(|range| cut.text(range).trim().to_owned())
                    .collect(),
            );
        }
        Ok(Self {
            function,
            text,
            argument,
            distinct,
            by_place,
        })
    }

    /// Counts of distinct keys add up, as long as none of the other aggregates makes the shards'
    /// groups smaller.
    pub fn add_up(calls: &mut [Call]) {
        if calls
            .iter()
            .all(|call| call.distinct.is_none() || call.by_place)
        {
            for call in calls {
                call.distinct = None;
            }
        }
    }

    /// Whether digits of a quotient could be in it that MariaDB knows and does not show.
    pub fn has_quotient(&self) -> bool {
        self.argument.contains('/')
    }

    /// What the shards compute, put behind `list`, and how the parts become one. `column` is that
    /// of the whole, `distinct` are the cells of its distinct arguments.
    pub fn merge(
        &self,
        column: &Column,
        list: &mut Vec<String>,
        distinct: &[Fetched],
    ) -> Result<Aggregate, Refusal> {
        let argument = &self.argument;
        let exact = |name: &str| match column.kind {
            // MariaDB keeps digits of a quotient that a shard's part no longer has.
            _ if self.has_quotient() => Err(Refusal::Inexact(format!(
                "{name}({argument}) adds quotients, whose hidden digits a shard's part loses"
            ))),
            // So many that the servers cut some off.
            Kind::Decimal if column.scale >= 30 => Err(Refusal::Inexact(format!(
                "{name}({argument}) has more digits than the servers keep"
            ))),
            Kind::Integer | Kind::Decimal => Ok(()),
            _ => Err(Refusal::Inexact(format!(
                "{name}({argument}) adds floating point numbers, whose sum depends on their order"
            ))),
        };
        let keys: Vec<(usize, Kind)> = distinct.iter().map(|one| (one.key, one.kind)).collect();
        let value = distinct.first().map_or(0, |one| one.value);
        let mut fetch = |text: String| {
            list.push(text);
            list.len() - 1
        };
        Ok(match (self.function, &self.distinct) {
            (Merged::Count, Some(_)) => Aggregate::DistinctCount { keys },
            (Merged::Sum, Some(_)) => {
                exact("SUM")?;
                Aggregate::DistinctSum {
                    keys,
                    cell: value,
                    scale: column.scale,
                }
            }
            (Merged::Avg, Some(_)) => {
                exact("AVG")?;
                // MySQL divides with further digits here and MariaDB does not: where the digits
                // fill their words of nine, it rounds and the other cuts.
                if column.scale.is_multiple_of(9) {
                    return Err(Refusal::Inexact(format!(
                        "{} has digits that the servers round in different ways",
                        self.text
                    )));
                }
                Aggregate::DistinctAverage {
                    keys,
                    cell: value,
                    scale: column.scale,
                }
            }
            (Merged::Count, None) => Aggregate::Sum {
                cell: fetch(format!("COUNT({argument})")),
                scale: 0,
                empty_is_zero: true,
            },
            (Merged::Sum, None) => {
                exact("SUM")?;
                Aggregate::Sum {
                    cell: fetch(format!("SUM({argument})")),
                    scale: column.scale,
                    empty_is_zero: false,
                }
            }
            (Merged::Avg, None) => {
                exact("AVG")?;
                Aggregate::Average {
                    sum: fetch(format!("SUM({argument})")),
                    count: fetch(format!("COUNT({argument})")),
                    scale: column.scale,
                }
            }
            (Merged::Min | Merged::Max, _) => {
                let name = if self.function == Merged::Min {
                    "MIN"
                } else {
                    "MAX"
                };
                let call = format!("{name}({argument})");
                let (compared, kind) = match column.kind {
                    Kind::Enum => {
                        return Err(Refusal::Inexact(format!(
                            "{call} of an ENUM or SET over shards is not merged"
                        )));
                    }
                    Kind::Double => (call.clone(), Kind::Double),
                    _ => comparable(&call, column, true)?,
                };
                let cell = fetch(call.clone());
                let by = if compared == call {
                    cell
                } else {
                    fetch(compared)
                };
                Aggregate::Extreme {
                    cell,
                    by,
                    kind,
                    greatest: self.function == Merged::Max,
                }
            }
        })
    }
}
