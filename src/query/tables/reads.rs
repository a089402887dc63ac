//! What is asked of a statement's tables: their text, what a column is of, and where rows lie.

use std::ops::Range;

use sqlparser::ast::{Expr, Ident, SelectItem};

use super::{Block, Reads, Use};
use crate::names::quote;
use crate::query::Refusal;
use crate::query::keys::{Tables, equal_is_same};
use crate::query::parse::Parsed;
use crate::query::template::hole;

impl<'t> Reads<'t> {
    /// The text of a range with holes for its tables.
    pub fn text(&self, parsed: &Parsed, range: &Range<usize>) -> String {
        let mut text = String::new();
        let mut at = range.start;
        let mut order: Vec<usize> = (0..self.uses.len()).collect();
        order.sort_by_key(|number| self.uses[*number].range.start);
        for number in order {
            let used = &self.uses[number];
            if used.range.start < at || used.range.end > range.end {
                continue;
            }
            text.push_str(&parsed.sql[at..used.range.start]);
            text.push_str(&hole(number, used.table.name.as_str(), used.aliased));
            at = used.range.end;
        }
        text.push_str(&parsed.sql[at..range.end]);
        text
    }

    /// Whether there is a subquery in a select list.
    pub fn has_listed(&self) -> bool {
        self.blocks.iter().any(|block| block.listed)
    }

    /// The text of a range with holes for its tables. A column without an alias is named after its
    /// text by the servers, which is another where a table's name was replaced in it: it is given
    /// the name it had.
    pub fn named(&self, parsed: &Parsed, range: &Range<usize>) -> String {
        let text = self.text(parsed, range);
        let written = &parsed.sql[range.clone()];
        match text == written {
            true => text,
            false => format!("{text} AS {}", quote(written)),
        }
    }

    /// The whole statement with holes for its tables.
    ///
    /// # Errors
    /// A column's name would change.
    pub fn whole(&self, parsed: &Parsed) -> Result<String, Refusal> {
        let Ok(plain) = &parsed.plain else {
            return match self.has_listed() {
                true => Err(Refusal::Inexact(
                    "a subquery in a select list is answered in a single SELECT only".to_owned(),
                )),
                false => Ok(self.text(parsed, &(0..parsed.sql.len()))),
            };
        };
        let mut text = String::new();
        let mut at = 0;
        for (item, range) in plain.select.projection.iter().zip(&plain.pieces.items) {
            if matches!(item, SelectItem::UnnamedExpr(_)) {
                text.push_str(&self.text(parsed, &(at..range.start)));
                text.push_str(&self.named(parsed, range));
                at = range.end;
            }
        }
        text.push_str(&self.text(parsed, &(at..parsed.sql.len())));
        Ok(text)
    }

    /// The first use of a table that is split.
    pub fn lead(&self) -> Option<&Use<'t>> {
        self.uses.iter().find(|used| used.router.is_some())
    }

    /// The uses of the outermost SELECT.
    pub fn top(&self) -> impl Iterator<Item = &Use<'t>> {
        self.uses.iter().filter(|used| used.block == 0)
    }

    /// Whether the outermost SELECT has columns of this name.
    pub fn has_column(&self, name: &str) -> bool {
        self.top().any(|used| used.table.def.column(name).is_some())
    }

    /// The use in the outermost SELECT that a column is of.
    pub fn use_of(&self, expr: &Expr) -> Option<(&Use<'t>, String)> {
        let (number, column) = self.resolve_in(expr, self.blocks.first()?)?;
        Some((&self.uses[number], column))
    }

    pub(super) fn resolve_in(&self, expr: &Expr, block: &Block) -> Option<(usize, String)> {
        self.resolve_among(expr, &block.uses, block.opaque)
    }

    pub(super) fn resolve_among(
        &self,
        expr: &Expr,
        uses: &[usize],
        opaque: bool,
    ) -> Option<(usize, String)> {
        match expr {
            Expr::Nested(inner) => self.resolve_among(inner, uses, opaque),
            Expr::Identifier(ident) if !opaque => {
                let having: Vec<usize> = uses
                    .iter()
                    .copied()
                    .filter(|number| self.uses[*number].table.def.column(&ident.value).is_some())
                    .collect();
                let found = match having.as_slice() {
                    [number] => Some(*number),
                    // The servers take such a name only where USING has made it one column: it has
                    // the value of the side whose rows are kept.
                    several => {
                        let keys = several.iter().all(|number| {
                            let router = self.uses[*number].router.as_ref();
                            router.is_some_and(|router| router.schema_column().is(&ident.value))
                        });
                        let mut kept = several.iter().copied();
                        kept.find(|number| keys && !self.uses[*number].nullable)
                    }
                };
                found.map(|number| (number, ident.value.clone()))
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => {
                    let mut named = uses.iter().filter(|number| {
                        self.uses[**number]
                            .qualifier
                            .eq_ignore_ascii_case(&table.value)
                    });
                    match (named.next(), named.next()) {
                        (Some(number), None) => Some((*number, column.value.clone())),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The use that a column is of, from a SELECT outwards.
    pub(super) fn resolve(&self, expr: &Expr, block: usize) -> Option<(usize, String)> {
        let mut at = Some(block);
        while let Some(number) = at {
            let block = &self.blocks[number];
            if let Some(found) = self.resolve_in(expr, block) {
                return Some(found);
            }
            // A name that this SELECT could have as well is not looked for further out.
            let stays = match expr {
                Expr::Identifier(ident) => {
                    block.opaque
                        || block
                            .uses
                            .iter()
                            .any(|used| self.uses[*used].table.def.column(&ident.value).is_some())
                }
                Expr::CompoundIdentifier(parts) => {
                    block.opaque
                        || parts.first().is_none_or(|table| {
                            block.uses.iter().any(|used| {
                                self.uses[*used]
                                    .qualifier
                                    .eq_ignore_ascii_case(&table.value)
                            })
                        })
                }
                _ => true,
            };
            if stays {
                return None;
            }
            at = block.outer;
        }
        None
    }

    /// The one place of a class that has one.
    fn pinned(&self, class: usize) -> Option<u32> {
        let class = &self.classes[class];
        if let Some(bound) = class.bound {
            return self.pinned(self.class_of[bound]?);
        }
        match &class.pin {
            Tables::Some(tables) if tables.len() == 1 => tables.first().copied(),
            _ => None,
        }
    }

    /// The place of each use, by number, where each has one place; a broadcast table has none of
    /// its own.
    pub fn all_pinned(&self) -> Option<Vec<Option<u32>>> {
        self.class_of
            .iter()
            .map(|class| match class {
                None => Some(None),
                Some(class) => self.pinned(*class).map(Some),
            })
            .collect()
    }

    /// The physical tables that can hold an answer, where each place has its part of it.
    ///
    /// # Errors
    /// Rows of different places meet.
    pub fn spread(&self) -> Result<&Tables, Refusal> {
        let inexact = |what: String| Err(Refusal::Inexact(what));
        let top = &self.blocks[0];
        if top.opaque {
            return inexact("derived tables over shards are not merged".to_owned());
        }
        let Some(home) = top.uses.iter().find_map(|used| self.class_of[*used]) else {
            return inexact("only a subquery reads a table that is split".to_owned());
        };
        if let Some(why) = self.blocks.iter().find_map(|block| block.apart.as_ref()) {
            return inexact(why.clone());
        }
        for (number, used) in self.uses.iter().enumerate() {
            let Some(mut class) = self.class_of[number] else {
                continue;
            };
            // Outwards, from table to table.
            while class != home {
                match self.classes[class].bound.and_then(|at| self.class_of[at]) {
                    Some(outer) => class = outer,
                    None => {
                        return inexact(format!(
                            "the subquery on `{}` is not joined to the tables around it on the \
                             shard key, so it reads rows of other shards",
                            used.table.name
                        ));
                    }
                }
            }
        }
        Ok(&self.classes[home].pin)
    }

    /// Whether rows that are equal in all columns of the outermost SELECT are of one place.
    pub fn has_place(&self) -> bool {
        let keys: Vec<Expr> = self
            .top()
            .filter_map(|used| {
                let router = used.router.as_ref()?;
                Some((&used.qualifier, router))
            })
            .flat_map(|(qualifier, router)| {
                [Some(router.schema_column()), router.table_column()]
                    .into_iter()
                    .flatten()
                    .map(move |column| {
                        Expr::CompoundIdentifier(vec![
                            Ident::new(qualifier),
                            Ident::new(column.as_str()),
                        ])
                    })
            })
            .collect();
        self.fix_place(&keys.iter().collect::<Vec<_>>())
    }

    /// Whether rows that are equal in these columns of the outermost SELECT are of one place.
    pub fn fix_place(&self, columns: &[&Expr]) -> bool {
        let named: Vec<(&Use<'_>, String)> = columns
            .iter()
            .filter_map(|expr| self.use_of(expr))
            .filter(|(used, _)| !used.nullable)
            .collect();
        named.iter().any(|(used, name)| {
            let Some(router) = &used.router else {
                return false;
            };
            let second = match (router.table_column(), router.table_key_type()) {
                (Some(column), Some(kind)) => {
                    equal_is_same(kind, used.trusts_ends())
                        && named.iter().any(|(other, name)| {
                            other.qualifier == used.qualifier && column.is(name)
                        })
                }
                _ => true,
            };
            router.schema_column().is(name)
                && equal_is_same(router.schema_key_type(), used.trusts_ends())
                && second
        })
    }
}
