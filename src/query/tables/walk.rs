//! The walk over a statement: its SELECTs, their tables and their subqueries.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, GroupByExpr, JoinConstraint, ObjectNamePart,
    Query, Select, SetExpr, TableFactor, Visit, Visitor,
};

use super::joins::constraint;
use super::{Block, Common, Use, Walk, unknown_shape};
use crate::query::functions::{Nature, nature};
use crate::query::{Refusal, no_table};
use crate::routing::Router;
use crate::topology::{LogicalTable, Spread};

/// The conjuncts of a condition.
pub(in crate::query) fn conjuncts<'e>(expr: &'e Expr, into: &mut Vec<&'e Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, into),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        other => into.push(other),
    }
}

/// The subqueries of a part of a statement, not those inside of them.
fn subqueries(part: &impl Visit) -> Vec<Query> {
    struct Collect {
        depth: usize,
        queries: Vec<Query>,
    }
    impl Visitor for Collect {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if self.depth == 0 {
                self.queries.push(query.clone());
            }
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
    }
    let mut collect = Collect {
        depth: 0,
        queries: Vec::new(),
    };
    let _ = part.visit(&mut collect);
    collect.queries
}

/// The aggregates of a part of a statement, not those of its subqueries.
fn aggregates(part: &impl Visit, into: &mut Vec<Function>) {
    struct Collect<'a> {
        depth: usize,
        calls: &'a mut Vec<Function>,
    }
    impl Visitor for Collect<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let (Expr::Function(call), 0) = (expr, self.depth)
                && nature(&call.name.to_string()) == Some(Nature::Aggregate)
            {
                self.calls.push(call.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let _ = part.visit(&mut Collect {
        depth: 0,
        calls: into,
    });
}

pub(super) fn has_aggregate(part: &impl Visit) -> bool {
    let mut calls = Vec::new();
    aggregates(part, &mut calls);
    !calls.is_empty()
}

/// The columns that the arguments of a call name.
fn columns_of(arguments: &FunctionArguments, into: &mut Vec<Expr>) {
    struct Collect<'a>(&'a mut Vec<Expr>);
    impl Visitor for Collect<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                self.0.push(expr.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let _ = arguments.visit(&mut Collect(into));
}

impl<'t> Walk<'_, 't> {
    /// `member` is the expression of `member IN (query)`, where that must be true.
    pub(super) fn query(
        &mut self,
        query: &Query,
        outer: Option<usize>,
        member: Option<&Expr>,
        common: &Common,
    ) -> Result<(), Refusal> {
        let mut common = common.clone();
        if let Some(with) = &query.with {
            for table in &with.cte_tables {
                // A recursive one can name itself.
                if with.recursive {
                    common.insert(table.alias.name.value.to_lowercase());
                }
                self.query(&table.query, None, None, &common)?;
                common.insert(table.alias.name.value.to_lowercase());
            }
        }
        let first = self.found.blocks.len();
        // A part of the values is not all of them.
        let member = member.filter(|_| query.limit_clause.is_none());
        self.body(&query.body, outer, member, &common)?;
        // ORDER BY and LIMIT are of the SELECT before them, or of a union of several.
        if let Some(order) = &query.order_by
            && self.found.blocks.len() > first
        {
            self.nested(&subqueries(order), first, &[], &common)?;
        }
        Ok(())
    }

    fn body(
        &mut self,
        body: &SetExpr,
        outer: Option<usize>,
        member: Option<&Expr>,
        common: &Common,
    ) -> Result<(), Refusal> {
        match body {
            SetExpr::Select(select) => self.select(select, outer, member, common),
            SetExpr::Query(query) => self.query(query, outer, None, common),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, outer, None, common)?;
                self.body(right, outer, None, common)
            }
            SetExpr::Values(values) => match subqueries(values).is_empty() {
                true => Ok(()),
                false => Err(unknown_shape("VALUES with subqueries")),
            },
            SetExpr::Table(_) => Err(unknown_shape("TABLE")),
            _ => Err(Refusal::Unsafe(
                "only SELECT is answered: this tool reads".to_owned(),
            )),
        }
    }

    fn select(
        &mut self,
        select: &Select,
        outer: Option<usize>,
        member: Option<&Expr>,
        common: &Common,
    ) -> Result<(), Refusal> {
        let number = self.found.blocks.len();
        self.found.blocks.push(Block {
            outer,
            uses: Vec::new(),
            opaque: false,
            apart: None,
            listed: false,
        });
        for from in &select.from {
            self.register(&from.relation, number, common)?;
            for join in &from.joins {
                self.register(&join.relation, number, common)?;
            }
        }
        let mut wheres = Vec::new();
        if let Some(condition) = &select.selection {
            conjuncts(condition, &mut wheres);
        }
        let (tree, inner) = self.from(select, number, &wheres)?;
        // Conditions that every row of the answer meets.
        let mut must = wheres.clone();
        if inner {
            for join in select.from.iter().flat_map(|from| &from.joins) {
                if let Some(JoinConstraint::On(on)) = constraint(join) {
                    conjuncts(on, &mut must);
                }
            }
        }
        if let Some(tree) = tree {
            self.classes(number, tree, &must, member, select);
        }
        if outer.is_some() && self.aggregates_further_out(select, number) {
            self.found.blocks[number].apart =
                Some("a subquery has an aggregate over a table around it".to_owned());
        }
        // The subqueries of its expressions.
        let members: Vec<(&Expr, &Query)> = wheres
            .iter()
            .filter_map(|condition| match condition {
                Expr::InSubquery {
                    expr,
                    subquery,
                    negated: false,
                } => Some((expr.as_ref(), subquery.as_ref())),
                _ => None,
            })
            .collect();
        let listed = self.found.blocks.len();
        self.nested(&subqueries(&select.projection), number, &[], common)?;
        for block in &mut self.found.blocks[listed..] {
            block.listed = true;
        }
        let mut all = subqueries(&select.selection);
        all.extend(subqueries(&select.having));
        if let GroupByExpr::Expressions(list, _) = &select.group_by {
            all.extend(subqueries(list));
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(JoinConstraint::On(on)) = constraint(join) {
                all.extend(subqueries(on));
            }
        }
        self.nested(&all, number, &members, common)
    }

    /// Whether an aggregate could belong to a SELECT around this one: its columns are not of this.
    fn aggregates_further_out(&self, select: &Select, block: usize) -> bool {
        let mut calls = Vec::new();
        aggregates(&select.projection, &mut calls);
        aggregates(&select.having, &mut calls);
        calls.iter().any(|call| {
            let mut columns = Vec::new();
            columns_of(&call.args, &mut columns);
            columns.iter().any(|column| {
                self.found
                    .resolve_in(column, &self.found.blocks[block])
                    .is_none()
            })
        })
    }

    fn nested(
        &mut self,
        queries: &[Query],
        block: usize,
        members: &[(&Expr, &Query)],
        common: &Common,
    ) -> Result<(), Refusal> {
        for query in queries {
            // The same subquery elsewhere could be one whose being false or NULL is told apart.
            let twice = queries.iter().filter(|other| *other == query).count() > 1;
            let member = members
                .iter()
                .find(|(_, other)| *other == query && !twice)
                .map(|(expr, _)| *expr);
            self.query(query, Some(block), member, common)?;
        }
        Ok(())
    }

    /// Notes the tables of FROM; joins are looked at when all are known.
    fn register(
        &mut self,
        factor: &TableFactor,
        block: usize,
        common: &Common,
    ) -> Result<(), Refusal> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                partitions,
                version: None,
                sample: None,
                ..
            } => {
                let parts: Vec<_> = name
                    .0
                    .iter()
                    .filter_map(|part| match part {
                        ObjectNamePart::Identifier(ident) => Some(ident),
                        ObjectNamePart::Function(_) => None,
                    })
                    .collect();
                let (schema, table) = match parts.as_slice() {
                    [table] => (None, *table),
                    [schema, table] => (Some(*schema), *table),
                    _ => return Err(Refusal::Unknown(format!("`{name}` is no table's name"))),
                };
                if schema.is_none() && common.contains(&table.value.to_lowercase()) {
                    self.common += 1;
                    self.found.blocks[block].opaque = true;
                    return Ok(());
                }
                if !partitions.is_empty() {
                    return Err(unknown_shape("a PARTITION clause"));
                }
                let (alias, columns) = match alias {
                    Some(alias) => (Some(alias.name.value.clone()), alias.columns.len()),
                    None => (None, 0),
                };
                if columns > 0 {
                    return Err(unknown_shape("a table alias with columns"));
                }
                let logical =
                    self.look_up(schema.map(|schema| schema.value.as_str()), &table.value)?;
                let first = schema.unwrap_or(table);
                let range = self
                    .parsed
                    .range(first)
                    .zip(self.parsed.range(table))
                    .map(|(first, last)| first.start..last.end)
                    .ok_or_else(|| Refusal::Syntax {
                        message: format!("`{name}` could not be found in the text"),
                    })?;
                let router = match logical.spread {
                    Spread::Broadcast => None,
                    _ => Some(
                        Router::new(self.topology, logical)
                            .map_err(|fault| Refusal::Unknown(fault.to_string()))?,
                    ),
                };
                let number = self.found.uses.len();
                self.found.uses.push(Use {
                    table: logical,
                    router,
                    range,
                    aliased: alias.is_some(),
                    qualifier: alias.unwrap_or_else(|| table.value.clone()),
                    nullable: false,
                    block,
                });
                self.found.class_of.push(None);
                self.found.blocks[block].uses.push(number);
                Ok(())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => {
                self.register(&table_with_joins.relation, block, common)?;
                for join in &table_with_joins.joins {
                    self.register(&join.relation, block, common)?;
                }
                Ok(())
            }
            TableFactor::Derived {
                lateral, subquery, ..
            } => {
                self.found.blocks[block].opaque = true;
                let outer = lateral.then_some(block);
                self.query(subquery, outer, None, common)
            }
            _ => Err(unknown_shape("what stands in FROM")),
        }
    }

    fn look_up(&self, schema: Option<&str>, name: &str) -> Result<&'t LogicalTable, Refusal> {
        if let Some(schema) = schema
            && schema != self.topology.cluster
        {
            return Err(Refusal::Unknown(format!(
                "`{schema}` is not the cluster; write `{}` or nothing before the table's name",
                self.topology.cluster
            )));
        }
        self.topology
            .tables
            .values()
            .find(|table| table.name.as_str() == name)
            .ok_or_else(|| no_table(name, self.topology))
    }
}
