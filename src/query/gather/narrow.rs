//! Which rows of a table can matter, and which places have them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Select, UnaryOperator, Value, visit_expressions_mut,
};

use super::{Factor, From, Reference, Walk};
use crate::query::keys::{Found, Scope, Tables};
use crate::query::pushed::{Columns, conjuncts, render};
use crate::routing::Router;
use crate::schema::ColumnType;
use crate::topology::Assumption;

impl Walk<'_> {
    /// Narrows the rows of the SELECT's tables.
    pub(super) fn narrow(&mut self, select: &Select, from: &From<'_>) {
        let factors = FactorColumns {
            factors: &from.factors,
            references: &self.references,
        };
        let carried = carried(select, from, &factors);
        let mut found: BTreeMap<usize, Vec<(String, &Expr)>> = BTreeMap::new();
        for (factor, condition) in &carried {
            if let Some((at, text)) = render(condition, &factors)
                && at == *factor
            {
                found.entry(at).or_default().push((text, condition));
            }
        }
        let everywhere = select.selection.iter().chain(from.inner.iter().copied());
        for conjunct in everywhere.flat_map(conjuncts) {
            if let Some((factor, text)) = render(conjunct, &factors)
                && !from.factors[factor].nullable
            {
                found.entry(factor).or_default().push((text, conjunct));
            }
        }
        for (right, condition) in &from.left {
            for conjunct in conjuncts(condition) {
                if let Some((factor, text)) = render(conjunct, &factors)
                    && factor == *right
                {
                    found.entry(factor).or_default().push((text, conjunct));
                }
            }
        }
        for (factor, conditions) in found {
            let Some(index) = from.factors[factor].reference else {
                continue;
            };
            let places = self.places(index, &conditions);
            let texts: Vec<String> = conditions.into_iter().map(|(text, _)| text).collect();
            let reference = &mut self.references[index];
            reference.filter = Some(texts.join(" AND "));
            reference.places = places;
        }
    }

    /// The physical tables that have rows which meet all conditions.
    fn places(&self, index: usize, conditions: &[(String, &Expr)]) -> Option<BTreeSet<u32>> {
        let reference = &self.references[index];
        let router = Router::new(self.topology, reference.table).ok()?;
        let no_trailing_spaces = reference
            .table
            .assumptions
            .contains(&Assumption::NoTrailingSpaces);
        let find = |expr: &Expr| -> Option<Found<'_>> {
            let name = column_of(expr, &reference.exposed)?;
            let keys = [Some(router.schema_column()), router.table_column()];
            let column = keys.into_iter().flatten().find(|key| key.is(name))?;
            Some(Found {
                router: &router,
                column: column.as_str(),
                no_trailing_spaces,
            })
        };
        let scope = Scope { find: &find };
        let mut places: Option<BTreeSet<u32>> = None;
        for (_, condition) in conditions {
            if let Tables::Some(tables) = scope.tables(condition) {
                places = Some(match places {
                    Some(known) => known.intersection(&tables).copied().collect(),
                    None => tables,
                });
            }
        }
        places
    }
}

/// A column of a member of the FROM clause.
type At = (usize, String);

/// Conditions on one table's integer that hold for another's as well, for the two are equal: of
/// `a.x = b.y AND a.x = 17` that `b.y = 17`, with the member each is on.
///
/// Only integers, compared with integers: they compare by value, whatever their width and sign.
/// The condition must be one that every row of the answer meets. The equality must be one as well,
/// or that of a LEFT JOIN: then no row of its right side that fails the condition is joined to a
/// row that is left.
fn carried(
    select: &Select,
    from: &From<'_>,
    factors: &FactorColumns<'_, '_>,
) -> Vec<(usize, Expr)> {
    let everywhere: Vec<&Expr> = select
        .selection
        .iter()
        .chain(from.inner.iter().copied())
        .flat_map(conjuncts)
        .collect();
    let kept = |at: &At| !from.factors[at.0].nullable;
    // From, to.
    let mut equal: Vec<(At, At)> = Vec::new();
    for condition in &everywhere {
        if let Some((a, b)) = factors.equal(condition)
            && kept(&a)
            && kept(&b)
        {
            equal.extend([(a.clone(), b.clone()), (b, a)]);
        }
    }
    for (right, condition) in &from.left {
        for (a, b) in conjuncts(condition)
            .into_iter()
            .filter_map(|c| factors.equal(c))
        {
            for (a, b) in [(a.clone(), b.clone()), (b, a)] {
                if b.0 == *right && kept(&a) {
                    equal.push((a, b));
                }
            }
        }
    }
    let mut carried = Vec::new();
    for condition in everywhere {
        let mut of = None;
        if !factors.is_over_integers(condition, &mut of) {
            continue;
        }
        let Some(start) = of.filter(kept) else {
            continue;
        };
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(at) = reached.get(next).cloned() {
            next += 1;
            for (_, to) in equal.iter().filter(|(a, _)| *a == at) {
                if !reached.contains(to) {
                    reached.push(to.clone());
                }
            }
        }
        for (factor, column) in &reached[1..] {
            let mut other = condition.clone();
            let _ = visit_expressions_mut(&mut other, |expr| {
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    *expr = Expr::CompoundIdentifier(vec![
                        Ident::new(&from.factors[*factor].exposed),
                        Ident::new(column),
                    ]);
                }
                ControlFlow::<()>::Continue(())
            });
            carried.push((*factor, other));
        }
    }
    carried
}

/// The column that an expression is, where it can be one of the table of this name.
fn column_of<'a>(expr: &'a Expr, exposed: &str) -> Option<&'a str> {
    match expr {
        Expr::Identifier(ident) => Some(&ident.value),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] if table.value.eq_ignore_ascii_case(exposed) => Some(&column.value),
            _ => None,
        },
        Expr::Nested(inner) => column_of(inner, exposed),
        _ => None,
    }
}

/// The columns of a FROM clause's members, for the conditions over them.
struct FactorColumns<'w, 'a> {
    factors: &'w [Factor],
    references: &'w [Reference<'a>],
}

impl FactorColumns<'_, '_> {
    fn has(&self, factor: &Factor, column: &str) -> bool {
        factor
            .reference
            .is_some_and(|index| self.references[index].table.def.column(column).is_some())
    }
}

impl FactorColumns<'_, '_> {
    /// The integer column that an expression is.
    fn integer(&self, expr: &Expr) -> Option<At> {
        let (qualifier, column) = match expr {
            Expr::Nested(inner) => return self.integer(inner),
            Expr::Identifier(ident) => (None, ident),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => (Some(table), column),
                _ => return None,
            },
            _ => return None,
        };
        let (factor, _) = self.find(qualifier, column)?;
        let table = self.references[self.factors[factor].reference?].table;
        let found = table.def.column(&column.value)?;
        matches!(found.kind, ColumnType::Integer { .. })
            .then(|| (factor, found.name.as_str().to_owned()))
    }

    /// The integer columns of two members that a condition makes equal.
    fn equal(&self, condition: &Expr) -> Option<(At, At)> {
        match condition {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => {
                let (a, b) = (self.integer(left)?, self.integer(right)?);
                (a.0 != b.0).then_some((a, b))
            }
            _ => None,
        }
    }

    /// Whether a condition compares one integer column with integers and does nothing else.
    fn is_over_integers(&self, condition: &Expr, of: &mut Option<At>) -> bool {
        use BinaryOperator as Op;
        match condition {
            Expr::Nested(inner) => self.is_over_integers(inner, of),
            Expr::BinaryOp { left, op, right } => match op {
                Op::Or | Op::And => {
                    self.is_over_integers(left, of) && self.is_over_integers(right, of)
                }
                Op::Eq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                    (self.is_it(left, of) && is_integer(right))
                        || (is_integer(left) && self.is_it(right, of))
                }
                _ => false,
            },
            Expr::InList {
                expr,
                list,
                negated: false,
            } => self.is_it(expr, of) && list.iter().all(is_integer),
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => self.is_it(expr, of) && is_integer(low) && is_integer(high),
            _ => false,
        }
    }

    /// Whether an expression is the column, or the first that is met.
    fn is_it(&self, expr: &Expr, of: &mut Option<At>) -> bool {
        match (self.integer(expr), &of) {
            (None, _) => false,
            (Some(found), Some(known)) => found == *known,
            (Some(found), None) => {
                *of = Some(found);
                true
            }
        }
    }
}

fn is_integer(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_integer(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => matches!(expr.as_ref(), Expr::Value(_)) && is_integer(expr),
        Expr::Value(value) => match &value.value {
            Value::Number(text, false) => {
                text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        },
        _ => false,
    }
}

impl Columns for FactorColumns<'_, '_> {
    fn find(&self, qualifier: Option<&Ident>, column: &Ident) -> Option<(usize, String)> {
        let found: Vec<usize> = match qualifier {
            Some(qualifier) => {
                let alike: Vec<usize> = (0..self.factors.len())
                    .filter(|at| {
                        self.factors[*at]
                            .exposed
                            .eq_ignore_ascii_case(&qualifier.value)
                    })
                    .collect();
                // Two that differ in case only are two names or one, as the server is set up.
                match alike.as_slice() {
                    [one] if self.factors[*one].exposed == qualifier.value => alike,
                    _ => return None,
                }
            }
            // Of a member whose columns are not known it could be as well.
            None if self.factors.iter().any(|factor| factor.reference.is_none()) => return None,
            None => (0..self.factors.len())
                .filter(|at| self.has(&self.factors[*at], &column.value))
                .collect(),
        };
        let [one] = found.as_slice() else {
            return None;
        };
        let factor = &self.factors[*one];
        let table = self.references[factor.reference?].table;
        let name = &table.def.column(&column.value)?.name;
        Some((*one, format!("{}.{}", table.name.quoted(), name.quoted())))
    }
}
