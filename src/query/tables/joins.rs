//! Which rows of joined tables meet: in one place, or not.

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, ObjectNamePart, Select,
    SelectItem, TableFactor, TableWithJoins,
};

use super::walk::{conjuncts, has_aggregate};
use super::{Class, Kind, Node, Rows, Tree, Walk, unknown_shape};
use crate::query::Refusal;
use crate::query::keys::{Found, Scope, Tables};

impl Walk<'_, '_> {
    /// The tables of FROM joined, and whether all joins are inner ones.
    pub(super) fn from(
        &mut self,
        select: &Select,
        block: usize,
        wheres: &[&Expr],
    ) -> Result<(Option<Tree>, bool), Refusal> {
        let mut next = self.found.blocks[block].uses.clone();
        next.reverse();
        let mut whole: Option<Tree> = None;
        let mut inner = true;
        for from in &select.from {
            let tree = self.joined(from, block, wheres, &mut next, &mut inner)?;
            whole = match (whole, tree) {
                (None, tree) => tree,
                (Some(left), None) => Some(left),
                (Some(left), Some(right)) => {
                    Some(self.join(left, right, Kind::Inner, None, block, wheres))
                }
            };
        }
        Ok((whole, inner))
    }

    fn joined(
        &mut self,
        from: &TableWithJoins,
        block: usize,
        wheres: &[&Expr],
        next: &mut Vec<usize>,
        inner: &mut bool,
    ) -> Result<Option<Tree>, Refusal> {
        let mut whole = self.factor(&from.relation, block, wheres, next, inner)?;
        for join in &from.joins {
            let right = self.factor(&join.relation, block, wheres, next, inner)?;
            let kind = match &join.join_operator {
                JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::CrossJoin(_)
                | JoinOperator::StraightJoin(_) => Kind::Inner,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Kind::Left,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Kind::Right,
                _ => return Err(unknown_shape("a join that is not MySQL")),
            };
            *inner &= kind == Kind::Inner;
            whole = match (whole, right) {
                (Some(left), Some(right)) => {
                    Some(self.join(left, right, kind, constraint(join), block, wheres))
                }
                (left, right) => left.or(right),
            };
        }
        Ok(whole)
    }

    fn factor(
        &mut self,
        factor: &TableFactor,
        block: usize,
        wheres: &[&Expr],
        next: &mut Vec<usize>,
        inner: &mut bool,
    ) -> Result<Option<Tree>, Refusal> {
        Ok(match factor {
            TableFactor::Table { name, .. } => {
                // A common table expression is no use of a table.
                let is_next = next.last().is_some_and(|number| {
                    let used = &self.found.uses[*number];
                    name.0.last().is_some_and(|part| match part {
                        ObjectNamePart::Identifier(ident) => self
                            .parsed
                            .range(ident)
                            .is_some_and(|range| used.range.end == range.end),
                        ObjectNamePart::Function(_) => false,
                    })
                });
                match is_next.then(|| next.pop()).flatten() {
                    Some(number) => Some(Tree {
                        uses: vec![number],
                        rows: match self.found.uses[number].router {
                            Some(_) => Rows::Split,
                            None => Rows::Everywhere,
                        },
                    }),
                    None => None,
                }
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.joined(table_with_joins, block, wheres, next, inner)?,
            _ => None,
        })
    }

    fn join(
        &mut self,
        left: Tree,
        right: Tree,
        kind: Kind,
        constraint: Option<&JoinConstraint>,
        block: usize,
        wheres: &[&Expr],
    ) -> Tree {
        let loses = match kind {
            Kind::Inner => &[][..],
            Kind::Left => &right.uses,
            Kind::Right => &left.uses,
        };
        for number in loses {
            self.found.uses[*number].nullable = true;
        }
        let names = |tree: &Tree| {
            let number = tree.uses.last().copied().unwrap_or_default();
            self.found.uses[number].table.name.to_string()
        };
        let rows = match (&left.rows, &right.rows) {
            (Rows::Apart(why), _) | (_, Rows::Apart(why)) => Rows::Apart(why.clone()),
            (Rows::Everywhere, Rows::Everywhere) => Rows::Everywhere,
            (Rows::Split, Rows::Everywhere) if kind != Kind::Right => Rows::Split,
            (Rows::Everywhere, Rows::Split) if kind != Kind::Left => Rows::Split,
            (Rows::Split, Rows::Split) => {
                match self.are_linked(&left, &right, kind, constraint, block, wheres) {
                    true => Rows::Split,
                    false => Rows::Apart(format!(
                        "`{}` and `{}` are not joined on shard keys that split them alike, so \
                         rows of different shards meet",
                        names(&left),
                        names(&right)
                    )),
                }
            }
            _ => Rows::Apart(
                "an outer join that keeps the rows of a broadcast table would give them once for \
                 each shard"
                    .to_owned(),
            ),
        };
        let mut uses = left.uses;
        uses.extend(right.uses);
        Tree { uses, rows }
    }

    /// Whether a condition makes the keys of the two sides equal.
    fn are_linked(
        &self,
        left: &Tree,
        right: &Tree,
        kind: Kind,
        constraint: Option<&JoinConstraint>,
        block: usize,
        wheres: &[&Expr],
    ) -> bool {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let both: Vec<usize> = left.uses.iter().chain(&right.uses).copied().collect();
        let opaque = self.found.blocks[block].opaque;
        match constraint {
            Some(JoinConstraint::On(on)) => {
                let mut all = Vec::new();
                conjuncts(on, &mut all);
                for condition in all {
                    pairs.extend(self.pair(condition, |expr| {
                        self.found.resolve_among(expr, &both, opaque)
                    }));
                }
            }
            Some(JoinConstraint::Using(columns)) => {
                for column in columns {
                    let name = column.to_string().replace('`', "");
                    let keyed = |tree: &Tree| -> Vec<Node> {
                        let having = tree.uses.iter().filter(|number| {
                            self.found.uses[**number].table.def.column(&name).is_some()
                        });
                        // One that is no key could be the one that is meant.
                        having
                            .map(|number| self.node(*number, &name))
                            .collect::<Option<Vec<_>>>()
                            .unwrap_or_default()
                    };
                    for a in keyed(left) {
                        for b in keyed(right) {
                            pairs.push((a, b));
                        }
                    }
                }
            }
            _ => {}
        }
        if kind == Kind::Inner {
            for condition in wheres {
                pairs.extend(self.pair(condition, |expr| {
                    self.found.resolve_in(expr, &self.found.blocks[block])
                }));
            }
        }
        pairs.retain(|(a, b)| self.found.uses[a.0].is_split_like(&self.found.uses[b.0]));
        right.uses.iter().any(|number| {
            let Some(router) = &self.found.uses[*number].router else {
                return false;
            };
            let reaches = |second: bool| {
                let mut seen = vec![(*number, second)];
                let mut at = 0;
                while let Some(node) = seen.get(at).copied() {
                    at += 1;
                    for (a, b) in &pairs {
                        for (from, to) in [(a, b), (b, a)] {
                            if *from == node && !seen.contains(to) {
                                seen.push(*to);
                            }
                        }
                    }
                }
                seen.iter().any(|(number, _)| left.uses.contains(number))
            };
            reaches(false) && (router.table_column().is_none() || reaches(true))
        })
    }

    /// The key that a column of a use is.
    fn node(&self, number: usize, column: &str) -> Option<Node> {
        let router = self.found.uses[number].router.as_ref()?;
        if router.schema_column().is(column) {
            return Some((number, false));
        }
        router
            .table_column()
            .filter(|name| name.is(column))
            .map(|_| (number, true))
    }

    /// The two keys that a condition makes equal.
    fn pair(
        &self,
        condition: &Expr,
        resolve: impl Fn(&Expr) -> Option<(usize, String)>,
    ) -> Option<(Node, Node)> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = condition
        else {
            return None;
        };
        let node = |expr: &Expr| {
            let (number, column) = resolve(expr)?;
            self.node(number, &column)
        };
        let (a, b) = (node(left)?, node(right)?);
        (a.1 == b.1).then_some((a, b))
    }

    pub(super) fn classes(
        &mut self,
        block: usize,
        tree: Tree,
        must: &[&Expr],
        member: Option<&Expr>,
        select: &Select,
    ) {
        let split: Vec<usize> = tree
            .uses
            .iter()
            .copied()
            .filter(|number| self.found.uses[*number].router.is_some())
            .collect();
        let groups: Vec<Vec<usize>> = match &tree.rows {
            Rows::Apart(why) => {
                self.found.blocks[block].apart = Some(why.clone());
                split.iter().map(|number| vec![*number]).collect()
            }
            _ if split.is_empty() => Vec::new(),
            _ => vec![split],
        };
        for group in groups {
            let pin = self.pin(block, &group, must);
            let bound = match self.found.blocks[block].apart {
                None => self.bound(block, &group, must, member, select),
                Some(_) => None,
            };
            for number in &group {
                self.found.class_of[*number] = Some(self.found.classes.len());
            }
            self.found.classes.push(Class { pin, bound });
        }
    }

    /// The physical tables of a group of uses that can hold rows of an answer.
    fn pin(&self, block: usize, group: &[usize], must: &[&Expr]) -> Tables {
        let find = |expr: &Expr| -> Option<Found<'_>> {
            let (number, column) = self.found.resolve_in(expr, &self.found.blocks[block])?;
            let used = &self.found.uses[number];
            let router = used.router.as_ref().filter(|_| group.contains(&number))?;
            // Its own name, so that it lives as long as the router.
            let name = [Some(router.schema_column()), router.table_column()]
                .into_iter()
                .flatten()
                .find(|name| name.is(&column))?;
            Some(Found {
                router,
                column: name.as_str(),
                no_trailing_spaces: used.trusts_ends(),
            })
        };
        let scope = Scope { find: &find };
        must.iter()
            .map(|condition| scope.tables(condition))
            .fold(Tables::All, Tables::and)
    }

    /// The table around a SELECT whose key is that of the rows it reads.
    fn bound(
        &self,
        block: usize,
        group: &[usize],
        must: &[&Expr],
        member: Option<&Expr>,
        select: &Select,
    ) -> Option<usize> {
        let outer = self.found.blocks[block].outer?;
        let mut pairs: Vec<(Node, Node)> = must
            .iter()
            .filter_map(|condition| self.pair(condition, |expr| self.found.resolve(expr, block)))
            .collect();
        if let (Some(member), [SelectItem::UnnamedExpr(item)]) =
            (member, select.projection.as_slice())
        {
            let grouped = match &select.group_by {
                GroupByExpr::Expressions(list, _) => !list.is_empty(),
                GroupByExpr::All(_) => true,
            };
            let found = self
                .found
                .resolve_in(item, &self.found.blocks[block])
                .zip(self.found.resolve(member, outer));
            let some = grouped || select.having.is_some() || has_aggregate(item);
            if let (Some(((a, x), (b, y))), false) = (found, some)
                && let (Some(a), Some(b)) = (self.node(a, &x), self.node(b, &y))
                && a.1 == b.1
            {
                pairs.push((a, b));
            }
        }
        // From each key of the group to a table further out.
        let outwards = |second: bool| -> Vec<usize> {
            pairs
                .iter()
                .flat_map(|(a, b)| [(*a, *b), (*b, *a)])
                .filter(|(a, b)| {
                    a.1 == second
                        && group.contains(&a.0)
                        && self.found.uses[b.0].block != block
                        && self.found.uses[a.0].is_split_like(&self.found.uses[b.0])
                })
                .map(|(_, b)| b.0)
                .collect()
        };
        let first = outwards(false);
        let has_second = self.found.uses[group[0]]
            .router
            .as_ref()
            .is_some_and(|router| router.table_column().is_some());
        match has_second {
            false => first.first().copied(),
            true => {
                let second = outwards(true);
                first.into_iter().find(|number| second.contains(number))
            }
        }
    }
}

pub(super) fn constraint(join: &Join) -> Option<&JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::StraightJoin(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint) => Some(constraint),
        _ => None,
    }
}
