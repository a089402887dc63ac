//! The tables of a statement: which logical tables its names mean, and which of their rows can meet.
//!
//! Rows of one place (a physical table, and those of the same number of tables that are split
//! alike) can be joined by the servers themselves. Each SELECT is looked at by itself:
//!
//! - Tables that are joined on their shard keys, and are split alike, are one *class*: a row of
//!   their join lies whole in one place. For an outer join the condition that says so must be its
//!   own; for an inner one it can stand in WHERE. A row's keys that are not NULL are all of its
//!   place, so any of them may be joined on.
//! - A broadcast table is everywhere, so it can be joined to anything, but not be the side of an
//!   outer join whose rows are kept: each place would give those without a partner again.
//! - A subquery whose tables are joined to those around it on the shard keys is of their class.
//!
//! Where each class has one place, and those are on one instance, the whole answer is there. Where
//! there is one class, each place has a part of the answer.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Visit, Visitor,
};

use super::Refusal;
use super::functions::{Nature, nature};
use super::keys::{Found, Scope, Tables, equal_is_same};
use super::parse::Parsed;
use super::template::hole;
use crate::names::quote;
use crate::routing::Router;
use crate::rows::key::KeyType;
use crate::topology::{Assumption, LogicalTable, Spread, Topology};

/// A logical table where a statement names it.
#[derive(Debug, Clone)]
pub struct Use<'t> {
    /// The table.
    pub table: &'t LogicalTable,
    /// Its router; a broadcast table has none.
    pub router: Option<Router>,
    /// Its name in the text, with the schema before it.
    pub range: Range<usize>,
    /// What qualifies its columns.
    pub qualifier: String,
    /// Whether that is an alias.
    pub aliased: bool,
    /// Whether an outer join can make its columns NULL.
    pub nullable: bool,
    /// The SELECT that names it.
    block: usize,
}

impl Use<'_> {
    fn trusts_ends(&self) -> bool {
        self.table
            .assumptions
            .contains(&Assumption::NoTrailingSpaces)
    }

    /// The split and the layout are the same, and equal keys are the same key.
    fn is_split_like(&self, other: &Use<'_>) -> bool {
        let (Some(a), Some(b)) = (self.table.spread.split(), other.table.spread.split()) else {
            return false;
        };
        let (Some(x), Some(y)) = (&self.router, &other.router) else {
            return false;
        };
        let alike = |kind: &KeyType, other: &KeyType| {
            let same = match (kind, other) {
                (KeyType::Integer { .. }, KeyType::Integer { .. }) => true,
                (kind, other) => kind == other,
            };
            same && equal_is_same(kind, self.trusts_ends())
        };
        let second = match (&a.table, &b.table) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.function == b.function
                    && x.table_key_type()
                        .zip(y.table_key_type())
                        .is_some_and(|(a, b)| alike(a, b))
            }
            _ => false,
        };
        self.table.tables_per_schema == other.table.tables_per_schema
            && self.trusts_ends() == other.trusts_ends()
            && a.schema.function == b.schema.function
            && alike(x.schema_key_type(), y.schema_key_type())
            && second
    }
}

/// Tables whose rows of one place are joined there.
#[derive(Debug, Clone)]
struct Class {
    /// The physical tables that can hold rows of an answer.
    pin: Tables,
    /// The table around the SELECT whose place is this one's as well.
    bound: Option<usize>,
}

/// One SELECT.
#[derive(Debug, Clone)]
struct Block {
    outer: Option<usize>,
    uses: Vec<usize>,
    /// Whether FROM has something that is no table.
    opaque: bool,
    /// Why its tables are no single class.
    apart: Option<String>,
    /// Whether it stands in a select list, so that a column can be named after its text.
    listed: bool,
}

/// All tables of a statement.
#[derive(Debug, Clone)]
pub struct Reads<'t> {
    /// Each use, in the order of the holes.
    pub uses: Vec<Use<'t>>,
    blocks: Vec<Block>,
    classes: Vec<Class>,
    /// The class of each use; broadcast tables have none.
    class_of: Vec<Option<usize>>,
}

/// Finds the tables of a statement.
///
/// # Errors
/// It names a table that the topology does not have, or its parts cannot be told.
pub fn find<'t>(parsed: &Parsed, topology: &'t Topology) -> Result<Reads<'t>, Refusal> {
    let mut walk = Walk {
        parsed,
        topology,
        found: Reads {
            uses: Vec::new(),
            blocks: Vec::new(),
            classes: Vec::new(),
            class_of: Vec::new(),
        },
        common: 0,
    };
    walk.query(&parsed.query, None, None, &BTreeSet::new())?;
    // Every name of a table must have been met, or a part of the statement would go to the servers
    // with a logical name in it.
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();

        fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    let _ = parsed.query.visit(&mut count);
    if count.0 != walk.found.uses.len() + walk.common {
        return Err(Refusal::Inexact(
            "the statement has tables in places that are not looked at".to_owned(),
        ));
    }
    Ok(walk.found)
}

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

    fn resolve_in(&self, expr: &Expr, block: &Block) -> Option<(usize, String)> {
        self.resolve_among(expr, &block.uses, block.opaque)
    }

    fn resolve_among(&self, expr: &Expr, uses: &[usize], opaque: bool) -> Option<(usize, String)> {
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
    fn resolve(&self, expr: &Expr, block: usize) -> Option<(usize, String)> {
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

/// What joined tables are to places.
#[derive(Debug, Clone)]
enum Rows {
    /// The same rows everywhere.
    Everywhere,
    /// Each row of one place.
    Split,
    /// Rows of different places meet.
    Apart(String),
}

#[derive(Debug)]
struct Tree {
    uses: Vec<usize>,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    /// The left side's rows are kept.
    Left,
    Right,
}

struct Walk<'a, 't> {
    parsed: &'a Parsed,
    topology: &'t Topology,
    found: Reads<'t>,
    /// Names of common table expressions that were met.
    common: usize,
}

/// The conjuncts of a condition.
pub(super) fn conjuncts<'e>(expr: &'e Expr, into: &mut Vec<&'e Expr>) {
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

fn has_aggregate(part: &impl Visit) -> bool {
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

fn unknown_shape(what: &str) -> Refusal {
    Refusal::Inexact(format!("{what} over shards is not answered"))
}

type Common = BTreeSet<String>;

impl<'t> Walk<'_, 't> {
    /// `member` is the expression of `member IN (query)`, where that must be true.
    fn query(
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
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .topology
                    .tables
                    .keys()
                    .map(|name| name.as_str())
                    .collect();
                Refusal::Unknown(format!(
                    "there is no logical table `{name}`; there are: {}",
                    names.join(", ")
                ))
            })
    }

    /// The tables of FROM joined, and whether all joins are inner ones.
    fn from(
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

    fn classes(
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

/// A use, and whether its second key is meant.
type Node = (usize, bool);

fn constraint(join: &Join) -> Option<&JoinConstraint> {
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

#[cfg(test)]
mod tests {
    use crate::query::plan::{Way, plan};
    use crate::topology::file::parse;

    const TOPOLOGY: &str = "\
version: 1
cluster: c
instances: {a: {host: x}, b: {host: y}}
schemas: {name: 's_{}', count: 16, on: {a: 0-7, b: 8-15}}
tables:
  a: {shard_key: id, function: drds_hash, ddl: 'CREATE TABLE a (id bigint NOT NULL PRIMARY KEY, n int)'}
  b: {shard_key: bid, function: drds_hash, ddl: 'CREATE TABLE b (bid int unsigned NOT NULL, no int NOT NULL, n int, PRIMARY KEY (bid, no))'}
  m: {shard_key: id, function: mod, ddl: 'CREATE TABLE m (id bigint NOT NULL PRIMARY KEY, n int)'}
  four: {shard_key: id, function: drds_hash, tables_per_schema: 4, ddl: 'CREATE TABLE four (id bigint NOT NULL PRIMARY KEY, n int)'}
  x: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE x (k varchar(9) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY, n int)'}
  y: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE y (k varchar(9) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY, n int)'}
  ci: {shard_key: k, function: drds_hash, assume: [one_spelling], ddl: 'CREATE TABLE ci (k varchar(9) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, n int)'}
  pads: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE pads (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, n int)'}
  sure: {shard_key: k, function: drds_hash, assume: [no_trailing_spaces], ddl: 'CREATE TABLE sure (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, n int)'}
  p: {shard_key: a, function: mod, table_key: b, table_function: mod, tables_per_schema: 2, ddl: 'CREATE TABLE p (a int NOT NULL, b int NOT NULL, n int, PRIMARY KEY (a, b))'}
  q: {shard_key: a, function: mod, table_key: b, table_function: mod, tables_per_schema: 2, ddl: 'CREATE TABLE q (a int NOT NULL, b int NOT NULL, n int, PRIMARY KEY (a, b))'}
  bc: {broadcast: true, ddl: 'CREATE TABLE bc (code int NOT NULL PRIMARY KEY, label varchar(9))'}
";

    /// The way and the number of places, or why there is none.
    fn way(sql: &str) -> String {
        let topology = parse(TOPOLOGY).unwrap_or_else(|problems| panic!("{problems}"));
        match plan(sql, &topology) {
            Err(refusal) => format!("refused: {refusal}"),
            Ok(planned) => match planned.way {
                Way::One { .. } => format!("one of {}", planned.places.len()),
                Way::Scatter(_) => format!("scatter over {}", planned.places.len()),
                Way::Union(_) => "union".to_owned(),
                Way::Apart(refusal) => format!("apart: {refusal}"),
            },
        }
    }

    fn check(sql: &str, expected: &str) {
        assert_eq!(way(sql), expected, "{sql}");
    }

    #[test]
    fn tables_are_joined_where_their_rows_meet() {
        check("SELECT a.n FROM a JOIN b ON id = bid", "scatter over 16");
        check(
            "SELECT a.n FROM a JOIN b ON a.id = b.bid AND a.n = b.n",
            "scatter over 16",
        );
        check("SELECT x.n FROM x JOIN y USING (k)", "scatter over 16");
        check("SELECT x.n FROM x JOIN y ON x.k = y.k", "scatter over 16");
        check(
            "SELECT s.n FROM sure s JOIN sure t ON s.k = t.k",
            "scatter over 16",
        );
        check(
            "SELECT p.n FROM p JOIN q ON p.a = q.a AND q.b = p.b",
            "scatter over 32",
        );
        check("SELECT p.n FROM p JOIN q USING (a, b)", "scatter over 32");
        check(
            "SELECT p.n FROM p JOIN q USING (a, b) WHERE a = 3",
            "scatter over 2",
        );
        check(
            "SELECT a.n FROM a, b, a c WHERE a.id = c.id AND c.id = b.bid",
            "scatter over 16",
        );
        for apart in [
            // Equal for the server, and not for the shard function; or split in other ways.
            "SELECT a.n FROM ci a JOIN ci b ON a.k = b.k",
            "SELECT a.n FROM pads a JOIN pads b ON a.k = b.k",
            "SELECT a.n FROM sure a JOIN pads b ON a.k = b.k",
            "SELECT a.n FROM a JOIN m ON a.id = m.id",
            "SELECT a.n FROM a JOIN four ON a.id = four.id",
            "SELECT p.n FROM p JOIN q ON p.a = q.a",
            "SELECT p.n FROM p JOIN q ON p.a = q.b AND p.b = q.a",
            "SELECT p.n FROM p JOIN q ON p.b = q.b",
            "SELECT a.n FROM a NATURAL JOIN m",
            "SELECT s.n FROM a s, a S WHERE s.id = S.id",
            "SELECT a.n FROM a JOIN b ON a.id = b.bid OR 1",
            "SELECT a.n FROM a JOIN b ON a.id <=> b.bid",
            // The condition is of the second outer join, and not of the first.
            "SELECT a.n FROM a LEFT JOIN b ON a.n = b.n LEFT JOIN a c ON c.id = a.id AND c.id = b.bid",
        ] {
            assert!(
                way(apart).contains("not joined on shard keys"),
                "{apart}: {}",
                way(apart)
            );
        }
    }

    #[test]
    fn one_place_has_all_where_each_table_is_pinned() {
        check(
            "SELECT * FROM a JOIN b ON id = bid WHERE id = 17",
            "one of 1",
        );
        check(
            "SELECT * FROM a LEFT JOIN b ON id = bid WHERE bid = 17",
            "one of 1",
        );
        check(
            "SELECT * FROM a JOIN b ON id = bid AND bid IN (17, 33)",
            "one of 1",
        );
        check(
            "SELECT * FROM a LEFT JOIN b ON id = bid AND id = 17",
            "scatter over 16",
        );
        check("SELECT k FROM x JOIN y USING (k) WHERE k = 'v'", "one of 1");
        check(
            "SELECT k FROM x LEFT JOIN y USING (k) WHERE k = 'v'",
            "one of 1",
        );
        check(
            "SELECT k FROM x RIGHT JOIN y USING (k) WHERE k = 'v'",
            "one of 1",
        );
        // 1 and 2 are on one instance, 1 and 9 are not.
        check("SELECT * FROM a, m WHERE a.id = 1 AND m.id = 2", "one of 1");
        let far = way("SELECT * FROM a, m WHERE a.id = 1 AND m.id = 9");
        assert!(far.contains("not joined"), "{far}");
        check(
            "SELECT id FROM a WHERE id = 1 UNION SELECT id FROM m WHERE id = 2",
            "one of 1",
        );
        check(
            "SELECT n FROM a WHERE id = 1 AND EXISTS (SELECT 1 FROM b WHERE bid = id)",
            "one of 1",
        );
        check(
            "SELECT n FROM a WHERE id = 1 AND n IN (SELECT n FROM b WHERE bid = 1)",
            "one of 1",
        );
        check(
            "WITH w AS (SELECT * FROM a WHERE id = 1) SELECT COUNT(*) FROM w, w v",
            "one of 1",
        );
        check(
            "SELECT * FROM (SELECT * FROM a WHERE id = 1) d WHERE d.id = 2",
            "one of 1",
        );
        let outside = way("SELECT * FROM (SELECT * FROM a) d WHERE d.id = 1");
        assert!(outside.contains("derived tables"), "{outside}");
        // A name that hides a table is none.
        let hidden = way("WITH a AS (SELECT 1 AS id) SELECT * FROM a WHERE id = 1");
        assert!(hidden.contains("names no table"), "{hidden}");
    }

    #[test]
    fn groups_are_whole_where_they_name_the_shard_key() {
        let whole = |sql: &str| check(sql, "scatter over 16");
        whole("SELECT bid, GROUP_CONCAT(n) FROM b GROUP BY bid");
        whole("SELECT n, GROUP_CONCAT(no) FROM b GROUP BY n, bid");
        whole("SELECT bid AS g, GROUP_CONCAT(no) FROM b GROUP BY g");
        whole("SELECT k, BIT_OR(n) FROM x GROUP BY k");
        whole("SELECT k, BIT_OR(x.n) FROM x JOIN y USING (k) GROUP BY k");
        whole("SELECT k, BIT_OR(n) FROM sure GROUP BY k");
        check("SELECT BIT_OR(n) FROM p GROUP BY a, b", "scatter over 32");
        for apart in [
            "SELECT k, BIT_OR(n) FROM ci GROUP BY k",
            "SELECT k, BIT_OR(n) FROM pads GROUP BY k",
            "SELECT BIT_OR(n) FROM p GROUP BY a",
            "SELECT BIT_OR(no) FROM b GROUP BY bid + 0",
            "SELECT BIT_OR(a.n) FROM a LEFT JOIN b ON id = bid GROUP BY bid",
            // The alias is not the key that it is named like, and the column comes before it.
            "SELECT n AS bid2, BIT_OR(no) FROM b GROUP BY bid2",
        ] {
            assert!(
                way(apart).contains("bit_or() over shards"),
                "{apart}: {}",
                way(apart)
            );
        }
    }
}
