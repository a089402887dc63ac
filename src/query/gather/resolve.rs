//! What the names in FROM clauses mean: the walk over a statement.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, Visitor,
};

use super::{Factor, From, Level, Named, Reference, Walk, address};
use crate::query::{Refusal, no_table};
use crate::topology::{LogicalTable, Topology};

impl<'a> Walk<'a> {
    pub(super) fn new(topology: &'a Topology) -> Self {
        Self {
            topology,
            references: Vec::new(),
            visible: Vec::new(),
            expressions: BTreeMap::new(),
            existence: BTreeSet::new(),
            compared: Vec::new(),
            qualified: false,
            goes_by_cluster: false,
            relations_seen: 0,
            relations_resolved: 0,
            asked: 0,
            full_text: false,
        }
    }

    fn enter(&mut self, query: &Query) -> Result<(), Refusal> {
        if !query.locks.is_empty() {
            return Err(Refusal::Unsafe(
                "locking reads are refused: FOR UPDATE, FOR SHARE".to_owned(),
            ));
        }
        if query.fetch.is_some()
            || query.for_clause.is_some()
            || query.format_clause.is_some()
            || query.settings.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(Refusal::Inexact(
                "the statement has a clause that the servers do not have".to_owned(),
            ));
        }
        let around = match self.expressions.remove(&address(query)) {
            Some(visible) => visible,
            None => self
                .visible
                .last()
                .map(|level| level.ctes.clone())
                .unwrap_or_default(),
        };
        let mut ctes = around;
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = cte.alias.name.value.clone();
                // Itself is visible in a recursive one. What comes later is visible on one of the
                // servers only: there the table is fetched too.
                let mut inside = ctes.clone();
                if with.recursive {
                    inside.push(name.clone());
                }
                self.expressions.insert(address(&*cte.query), inside);
                ctes.push(name);
            }
        }
        self.visible.push(Level { ctes });
        self.body(&query.body)
    }

    /// What stands in a query beside SELECTs and queries, which are visited by themselves.
    fn body(&mut self, body: &SetExpr) -> Result<(), Refusal> {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Table(table) => {
                let name = table.table_name.as_deref().unwrap_or_default();
                if let Named::Table(table) = self.named(table.schema_name.as_deref(), name)? {
                    self.refer(table, name, true);
                }
                Ok(())
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Refusal::Unsafe(
                    "only SELECT is answered: this tool reads".to_owned(),
                ))
            }
        }
    }

    fn refer(&mut self, table: &'a LogicalTable, exposed: &str, all: bool) -> usize {
        self.references.push(Reference {
            table,
            exposed: exposed.to_owned(),
            all,
            filter: None,
            places: None,
        });
        self.references.len() - 1
    }

    fn named(&self, schema: Option<&str>, name: &str) -> Result<Named<'a>, Refusal> {
        if let Some(schema) = schema
            && schema != self.topology.cluster
        {
            return Err(Refusal::Unknown(format!(
                "`{schema}` is not the cluster; write `{}` or nothing before the table's name",
                self.topology.cluster
            )));
        }
        let table = self
            .topology
            .tables
            .values()
            .find(|table| table.name.as_str() == name);
        if schema.is_none()
            && let Some(level) = self.visible.last()
        {
            if level.ctes.iter().any(|cte| cte == name) {
                return Ok(Named::Other);
            }
            // The servers differ in whether these are one name.
            if table.is_none() && level.ctes.iter().any(|cte| cte.eq_ignore_ascii_case(name)) {
                return Ok(Named::Other);
            }
            if table.is_none() && self.expressions_follow(name) {
                return Ok(Named::Other);
            }
        }
        if schema.is_none() && name.eq_ignore_ascii_case("dual") {
            return Ok(Named::Other);
        }
        table
            .map(Named::Table)
            .ok_or_else(|| no_table(name, self.topology))
    }

    /// Whether an expression of WITH that has not been visited yet sees this name: it comes later.
    fn expressions_follow(&self, name: &str) -> bool {
        self.expressions
            .values()
            .any(|visible| visible.iter().any(|cte| cte == name))
    }

    fn select(&mut self, select: &Select) -> Result<(), Refusal> {
        if select.into.is_some() {
            return Err(Refusal::Unsafe(
                "INTO is refused: this tool reads".to_owned(),
            ));
        }
        let first = self.references.len();
        let mut from = From::default();
        for joined in &select.from {
            self.joined(joined, &mut from)?;
        }
        let exists = self.existence.remove(&address(select));
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) if !exists => {
                    for reference in &mut self.references[first..] {
                        reference.all = true;
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(Refusal::Inexact(
                            "the statement has an expression that the servers do not have"
                                .to_owned(),
                        ));
                    };
                    let last = identifiers(name).last().copied().unwrap_or_default();
                    for reference in &mut self.references[first..] {
                        reference.all |= reference.exposed.eq_ignore_ascii_case(last);
                    }
                }
                _ => {}
            }
        }
        self.narrow(select, &from);
        Ok(())
    }

    fn joined<'e>(
        &mut self,
        joined: &'e TableWithJoins,
        from: &mut From<'e>,
    ) -> Result<(), Refusal> {
        let start = from.factors.len();
        self.factor(&joined.relation, from)?;
        for join in &joined.joins {
            let right = from.factors.len();
            self.factor(&join.relation, from)?;
            let end = from.factors.len();
            let constraint = match &join.join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::CrossJoin(constraint)
                | JoinOperator::StraightJoin(constraint) => {
                    if let JoinConstraint::On(condition) = constraint {
                        from.inner.push(condition);
                    }
                    constraint
                }
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                    for factor in &mut from.factors[right..] {
                        factor.nullable = true;
                    }
                    if let JoinConstraint::On(condition) = constraint
                        && end == right + 1
                    {
                        from.left.push((right, condition));
                    }
                    constraint
                }
                JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                    for factor in &mut from.factors[start..right] {
                        factor.nullable = true;
                    }
                    constraint
                }
                _ => {
                    return Err(Refusal::Inexact(
                        "the statement has a join that the servers do not have".to_owned(),
                    ));
                }
            };
            if let JoinConstraint::Using(columns) = constraint {
                for column in columns {
                    if let Some(name) = identifiers(column).last() {
                        self.compared.push((None, name.to_lowercase()));
                    }
                }
            }
        }
        Ok(())
    }

    fn factor<'e>(&mut self, factor: &'e TableFactor, from: &mut From<'e>) -> Result<(), Refusal> {
        let foreign = || {
            Err(Refusal::Inexact(
                "the statement reads from something that the servers do not have".to_owned(),
            ))
        };
        let (exposed, reference) = match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                version,
                partitions,
                sample,
                ..
            } => {
                if args.is_some() || version.is_some() || sample.is_some() {
                    return foreign();
                }
                if !partitions.is_empty() {
                    return Err(Refusal::Inexact(
                        "a PARTITION clause names parts that only the shards' tables have"
                            .to_owned(),
                    ));
                }
                self.relations_resolved += 1;
                let parts = identifiers(name);
                let (schema, table) = match parts.as_slice() {
                    [table] => (None, *table),
                    [schema, table] => (Some(*schema), *table),
                    _ => return Err(Refusal::Unknown(format!("`{name}` is no table's name"))),
                };
                let exposed = alias
                    .as_ref()
                    .map_or(table, |alias| alias.name.value.as_str());
                self.qualified |= schema.is_some();
                // Else a server may take the name for a later expression of WITH.
                let certain = schema.is_some() || !self.expressions_follow(table);
                match self.named(schema, table)? {
                    Named::Table(table) => {
                        let reference = self.refer(table, exposed, false);
                        (exposed.to_owned(), certain.then_some(reference))
                    }
                    Named::Other => (exposed.to_owned(), None),
                }
            }
            TableFactor::Derived { alias, .. } | TableFactor::JsonTable { alias, .. } => (
                alias
                    .as_ref()
                    .map(|alias| alias.name.value.clone())
                    .unwrap_or_default(),
                None,
            ),
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => return self.joined(table_with_joins, from),
            _ => return foreign(),
        };
        self.goes_by_cluster |= exposed.eq_ignore_ascii_case(&self.topology.cluster);
        from.factors.push(Factor {
            exposed,
            reference,
            nullable: false,
        });
        Ok(())
    }
}

impl Visitor for Walk<'_> {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        flow(self.enter(query))
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Refusal> {
        self.visible.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        flow(self.select(select))
    }

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<Refusal> {
        self.relations_seen += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        flow(self.expression(expr))
    }
}

fn flow(result: Result<(), Refusal>) -> ControlFlow<Refusal> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(refusal) => ControlFlow::Break(refusal),
    }
}

fn identifiers(name: &ObjectName) -> Vec<&str> {
    name.0
        .iter()
        .filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(ident.value.as_str()),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}
