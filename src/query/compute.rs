//! Expressions over groups and aggregates: `SUM(a) / COUNT(*)`, `HAVING COUNT(*) > 1`.
//!
//! They are not computed here but by a server, in the end, from the merged aggregates: each is
//! given to it as a value of the very type that it has on one server (CAST), so that scale,
//! rounding and overflow are the server's own. Only types that can be given so take part: integers,
//! DECIMAL, dates and times.
//!
//! The servers compute with more digits of an average than they show, and than `/` gives. Such a
//! number can be given to a server, but not with the type of an average: it takes part only where
//! its type does not matter, that is where it is compared or rounded.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart,
    Value, visit_expressions,
};
use sqlparser::tokenizer::Token;

use super::Refusal;
use super::aggregate::{Call, Merged};
use super::grouped::Grouped;
use super::items::{Cut, Item, Part, aliased};
use super::merge::{Computed, Given, GivenBy};
use super::parse::keyword;
use crate::rows::cell::{Column, Kind};

/// Stands on both sides of the name of an aggregate's value, until its type is known.
const CALL: char = '\u{10FFFC}';

/// How deep aliases may stand for expressions with aliases.
const DEPTH_MAX: usize = 8;

/// An expression over groups and aggregates.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    /// Its text, with a name for each input.
    text: String,
    inputs: Vec<Input>,
}

/// What an expression is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// An expression of the groups.
    Slot(usize),
    /// An aggregate.
    Call(usize),
    /// An average with all digits that the servers compute with.
    Average(usize),
}

impl Input {
    fn name(self) -> String {
        match self {
            Input::Slot(index) => format!("_shardctl_g{index}"),
            Input::Call(index) => format!("_shardctl_a{index}"),
            Input::Average(index) => format!("_shardctl_d{index}"),
        }
    }
}

impl Sketch {
    pub fn new(
        cut: &Cut<'_>,
        grouped: &mut Grouped,
        part: &Part,
        items: &[Item],
    ) -> Result<Self, Refusal> {
        let mut sketch = Self {
            text: String::new(),
            inputs: Vec::new(),
        };
        sketch.text = sketch.compile(cut, grouped, part, items, false, 0)?;
        Ok(sketch)
    }

    fn input(&mut self, input: Input) -> String {
        if !self.inputs.contains(&input) {
            self.inputs.push(input);
        }
        input.name()
    }

    fn compile(
        &mut self,
        cut: &Cut<'_>,
        grouped: &mut Grouped,
        part: &Part,
        items: &[Item],
        compared: bool,
        depth: usize,
    ) -> Result<String, Refusal> {
        let mut digits_free = operands(cut, &part.expr);
        if compared {
            digits_free.insert(part.range.start);
        }
        let refuse = |why: &str| Err(Refusal::Inexact(format!("`{}` {why}", part.text)));
        if depth > DEPTH_MAX {
            return refuse("has aliases that stand for one another");
        }
        if let Some(index) = slot(grouped, &cut.canonical(part)) {
            return Ok(self.input(Input::Slot(index)));
        }
        let subquery = cut.parsed.tokens_of(&part.range).iter().any(|(token, _)| {
            matches!(token, Token::Word(_))
                && keyword(token).is_some_and(|word| {
                    use sqlparser::keywords::Keyword::{OVER, SELECT, WITH};
                    [SELECT, WITH, OVER].contains(&word)
                })
        });
        if subquery {
            return refuse("has a subquery beside an aggregate");
        }
        // What is put in place of a piece of the text.
        let mut pieces: Vec<(Range<usize>, String)> = Vec::new();
        let calls = cut.calls(&part.range);
        for raw in &calls {
            let call = Call::new(cut, raw)?;
            if call.has_quotient() {
                return refuse("has a quotient in an aggregate, whose hidden digits are lost");
            }
            let average = call.function == Merged::Avg;
            if average && (call.distinct.is_some() || !digits_free.contains(&raw.range.start)) {
                return refuse(
                    "computes with an average, of which the servers know more digits than they \
                     show; it can be compared and rounded",
                );
            }
            let index = grouped.add_call(call);
            // Marked, for a value of an aggregate is no column: the servers compare columns with
            // constants in ways of their own.
            let text = format!(
                "{CALL}{}{CALL}",
                self.input(match average {
                    true => Input::Average(index),
                    false => Input::Call(index),
                })
            );
            pieces.push((raw.range.clone(), text));
        }
        for (range, name) in cut.names(part)? {
            let inside = |call: &super::items::RawCall| {
                call.range.start <= range.start && range.end <= call.range.end
            };
            if calls.iter().any(inside) {
                continue;
            }
            let expr = match name.as_slice() {
                [column] => Expr::Identifier(Ident::new(column)),
                names => Expr::CompoundIdentifier(names.iter().map(Ident::new).collect()),
            };
            let found = slot(grouped, &cut.canonical_of(&expr, &cut.text(&range)));
            let alias = match name.as_slice() {
                [name] => aliased(items, name).and_then(|index| items[index].part.as_ref()),
                _ => None,
            };
            let text = match (found, alias) {
                (Some(index), None) => self.input(Input::Slot(index)),
                (Some(index), Some(item)) if slot(grouped, &cut.canonical(item)) == Some(index) => {
                    self.input(Input::Slot(index))
                }
                (None, Some(item)) if !cut.reads.has_column(&name[0]) => {
                    let compared = digits_free.contains(&range.start);
                    // Stored in between or not, a quotient has other digits.
                    if item.text.contains('/') && !compared {
                        return refuse("computes with the alias of a quotient");
                    }
                    let text = self.compile(cut, grouped, item, items, compared, depth + 1)?;
                    format!("({text})")
                }
                (_, Some(_)) => {
                    return refuse("has a name that is a column's as well as an alias");
                }
                (None, None) => {
                    return refuse(
                        "has a column that is neither grouped by nor an aggregate; it is any \
                         row's of the group",
                    );
                }
            };
            pieces.push((range, text));
        }
        pieces.sort_by_key(|(range, _)| range.start);
        let mut text = String::new();
        let mut at = part.range.start;
        for (range, piece) in pieces {
            text.push_str(&cut.parsed.sql[at..range.start]);
            text.push_str(&piece);
            at = range.end;
        }
        text.push_str(&cut.parsed.sql[at..part.range.end]);
        Ok(text)
    }

    /// What a server is asked in the end. `shown` are the columns of those that are items.
    pub fn finish<'c>(
        sketches: &[Sketch],
        having: Option<usize>,
        shown: Vec<(usize, Column)>,
        column_of: impl Fn(&Input) -> &'c Column,
        cell_of: impl Fn(usize) -> usize,
        slot_text: impl Fn(usize) -> String,
    ) -> Result<Computed, Refusal> {
        let mut given: Vec<Given> = Vec::new();
        for input in sketches.iter().flat_map(|sketch| &sketch.inputs) {
            let name = input.name();
            if given.iter().any(|known| known.name == name) {
                continue;
            }
            if let Input::Slot(index) = input
                && slot_text(*index).contains('/')
            {
                return Err(Refusal::Inexact(format!(
                    "`{}` is a quotient, whose hidden digits are lost over shards",
                    slot_text(*index)
                )));
            }
            let cast = match input {
                // Digits come in words of nine.
                Input::Average(_) if column_of(input).kind == Kind::Decimal => {
                    let words = column_of(input).scale.div_ceil(9) * 9;
                    (words <= 27).then(|| format!("DECIMAL(65,{words})"))
                }
                Input::Average(_) => None,
                input => column_of(input).cast.clone(),
            };
            let cast = cast.ok_or_else(|| {
                Refusal::Inexact(
                    "an expression over groups computes with numbers, dates and times only"
                        .to_owned(),
                )
            })?;
            given.push(Given {
                name,
                cast,
                by: match input {
                    Input::Slot(index) => GivenBy::Cell(cell_of(*index)),
                    Input::Call(index) => GivenBy::Aggregate(*index),
                    Input::Average(index) => GivenBy::Average(*index),
                },
            });
        }
        let typed = |text: &str| {
            let mut whole = String::new();
            for (index, part) in text.split(CALL).enumerate() {
                let cast = given.iter().find(|given| given.name == part);
                match cast.filter(|_| index % 2 == 1) {
                    Some(Given { name, cast, .. }) => {
                        whole.push_str(&format!("CAST({name} AS {cast})"));
                    }
                    None => whole.push_str(part),
                }
            }
            whole
        };
        let expressions = sketches.iter().map(|sketch| typed(&sketch.text)).collect();
        Ok(Computed {
            given,
            expressions,
            having,
            shown,
        })
    }
}

/// Where the operands of comparisons start, and what is rounded to a given number of digits.
fn operands(cut: &Cut<'_>, expr: &Expr) -> BTreeSet<usize> {
    fn start(cut: &Cut<'_>, expr: &Expr) -> Option<usize> {
        let ident = match expr {
            Expr::Nested(inner) => return start(cut, inner),
            Expr::Identifier(ident) => ident,
            Expr::Function(call) => match call.name.0.first() {
                Some(ObjectNamePart::Identifier(ident)) => ident,
                _ => return None,
            },
            _ => return None,
        };
        cut.parsed.range(ident).map(|range| range.start)
    }
    let mut found = BTreeSet::new();
    let _ = visit_expressions(expr, |part| {
        match part {
            Expr::BinaryOp {
                left,
                op:
                    BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq
                    | BinaryOperator::Spaceship,
                right,
            } => found.extend([left, right].iter().filter_map(|side| start(cut, side))),
            Expr::Between {
                expr, low, high, ..
            } => found.extend([expr, low, high].iter().filter_map(|side| start(cut, side))),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => found.extend(start(cut, inner)),
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("round") => {
                if let FunctionArguments::List(list) = &call.args
                    && let [
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)),
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(digits))),
                    ] = list.args.as_slice()
                    && matches!(&digits.value, Value::Number(digits, _) if digits.len() == 1 && digits.as_str() <= "4")
                {
                    found.extend(start(cut, value));
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn slot(grouped: &Grouped, canonical: &str) -> Option<usize> {
    grouped
        .slots
        .iter()
        .position(|slot| slot.canonical == canonical)
}
