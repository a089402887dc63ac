//! Which rows of a table can matter, and which places have them.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Expr, Ident, Select};

use super::{Factor, From, Reference, Walk};
use crate::query::keys::{Found, Scope, Tables};
use crate::query::pushed::{Columns, conjuncts, render};
use crate::routing::Router;
use crate::topology::Assumption;

impl Walk<'_> {
    /// Narrows the rows of the SELECT's tables.
    pub(super) fn narrow(&mut self, select: &Select, from: &From<'_>) {
        let factors = FactorColumns {
            factors: &from.factors,
            references: &self.references,
        };
        let mut found: BTreeMap<usize, Vec<(String, &Expr)>> = BTreeMap::new();
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
