//! The third way: what a statement needs of each logical table, so that the statement itself can
//! run, as it was written, on a scratch server that holds just that.
//!
//! The scratch server is of the same engine, so what the statement means is its own business. Ours
//! is to give it tables on which it means the same:
//!
//! - *Tables.* Every name in a FROM clause, at any depth, is a common table expression that is
//!   visible there or a logical table; anything else is refused. Where it could be either, the
//!   table is fetched too.
//! - *Columns.* A column that is used is named, somewhere in the text: so a table gets each column
//!   whose name is a word of the statement, or that stands behind a name this table goes by. A
//!   column that is left out is no word of the statement, so leaving it out changes neither what
//!   another name means nor whether it is ambiguous. Where columns are used without their names,
//!   by `*` and by NATURAL joins, all are fetched.
//! - *Rows.* A reference's rows are narrowed by conditions that no row of an answer can fail:
//!   conjuncts of WHERE and of inner joins' ON, where the table is on no side that an outer join
//!   fills with NULL; and conjuncts of a LEFT JOIN's ON for its right side. Only conditions over
//!   the columns of that one reference count, and only of a form that can neither fail nor differ
//!   from server to server ([`pushed`](super::pushed)). A table that is referred to more than once
//!   is fetched by the OR of its references' conditions.
//!
//! The same walk refuses what a gathered statement must not do: lock, write, assign, sleep, call
//! functions that are not known to be the servers' own, ask the session or the server about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor,
    TableWithJoins, Value, Visit, Visitor,
};
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::Refusal;
use super::dialect::Mysql;
use super::functions::{Nature, nature};
use super::keys::{Found, Scope, Tables};
use super::parse::{line_starts, refuse_settings, significant};
use super::pushed::{Columns, conjuncts, render};
use super::unread;
use crate::names::quote;
use crate::routing::Router;
use crate::topology::{Assumption, LogicalTable, PhysicalTable, Place, Spread, Topology};

/// What is fetched, and the statement that runs on it.
#[derive(Debug, Clone)]
pub struct Gather {
    /// The statement, without a trailing semicolon.
    sql: String,
    /// What is put in its place when it runs: where the cluster's name is written as a schema, and
    /// index hints, which name indexes that a scratch table does not have.
    edits: Vec<(Range<usize>, Edit)>,
    /// The cluster, by whose name tables can be qualified.
    cluster: String,
    /// What is fetched, one for each logical table.
    pub fetches: Vec<Fetch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Schema,
    Nothing,
}

/// What is fetched of a logical table.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Its name.
    pub table: String,
    /// Which of its columns.
    pub columns: Needed,
    /// The condition on its rows, over columns qualified by the table's name.
    pub filter: Option<String>,
    /// The physical tables that are read.
    pub places: Vec<Place>,
    /// How many physical tables it has, of which `places` are some.
    pub of: usize,
    /// Columns that are compared with other tables' columns: worth an index.
    pub compared: BTreeSet<String>,
}

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// All of them.
    All,
    /// Those with these names, which are in lower case. Not all of them are columns.
    Named(BTreeSet<String>),
}

impl Needed {
    /// Whether a column of this name is needed.
    pub fn has(&self, column: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Named(names) => names.contains(&column.to_lowercase()),
        }
    }
}

impl Fetch {
    /// What a physical table is asked for these expressions over its columns.
    pub fn sql(&self, physical: &PhysicalTable, expressions: &[String]) -> String {
        let filter = match &self.filter {
            Some(filter) => format!(" WHERE {filter}"),
            None => String::new(),
        };
        format!(
            "SELECT {} FROM {} AS {}{filter}",
            expressions.join(", "),
            physical.quoted(),
            quote(&self.table)
        )
    }
}

impl Gather {
    /// The statement for a schema that holds the fetched tables under their logical names.
    pub fn statement(&self, schema: &str) -> String {
        let mut sql = self.sql.clone();
        for (range, edit) in self.edits.iter().rev() {
            let text = match edit {
                Edit::Nothing => String::new(),
                Edit::Schema if sql[range.clone()].starts_with('`') => quote(schema),
                Edit::Schema => schema.to_owned(),
            };
            sql.replace_range(range.clone(), &text);
        }
        sql
    }

    /// A result column's name as the statement that was written gives it: an expression's name is
    /// its text, in which the schema's name may stand.
    pub fn column_name(&self, name: &str, schema: &str) -> String {
        match self.edits.iter().any(|(_, edit)| *edit == Edit::Schema) {
            true => name.replace(schema, &self.cluster),
            false => name.to_owned(),
        }
    }
}

/// Finds out what a statement needs.
///
/// # Errors
/// It cannot be read, does more than read, names what is not there, or asks the session or the
/// server about itself.
pub fn gather(sql: &str, topology: &Topology) -> Result<Gather, Refusal> {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    if sql.contains("/*!") || sql.contains("/*M!") {
        return Err(Refusal::Unsafe(
            "version comments are code on some servers only; write the statement without them"
                .to_owned(),
        ));
    }
    let dialect = Mysql::default();
    let syntax = |message: String| Refusal::Syntax {
        message: message.trim_start_matches("sql parser error: ").to_owned(),
    };
    let located = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|fault| syntax(fault.to_string()))?;
    refuse_settings(&located)?;
    let tokens = significant(sql, &line_starts(sql), &located);
    let words = Words::new(&tokens);
    let parsed = Parser::new(&dialect)
        .with_options(ParserOptions::new().with_unescape(false))
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    let make = |fetches: Vec<Fetch>, goes_by_cluster: bool| {
        let mut edits = words.schemas(&topology.cluster, goes_by_cluster);
        edits.extend(index_hints(&tokens).map(|range| (range, Edit::Nothing)));
        edits.sort_by_key(|(range, _)| range.start);
        Gather {
            sql: sql.to_owned(),
            edits,
            cluster: topology.cluster.clone(),
            fetches,
        }
    };
    let statements = match parsed {
        Ok(statements) => statements,
        Err(fault) => {
            return match unread::fetches(&tokens, topology) {
                Ok(fetches) if !words.stands(&topology.cluster) => Ok(make(fetches, false)),
                Ok(_) => Err(syntax(fault.to_string())),
                Err(refusal) => Err(refusal),
            };
        }
    };
    let query = match statements.as_slice() {
        [Statement::Query(query)] => query,
        [_] => {
            return Err(Refusal::Unsafe(
                "only SELECT is answered: this tool reads".to_owned(),
            ));
        }
        _ => {
            return Err(Refusal::Unsafe(
                "one statement at a time, please".to_owned(),
            ));
        }
    };
    let mut walk = Walk::new(topology);
    if let ControlFlow::Break(refusal) = query.visit(&mut walk) {
        return Err(refusal);
    }
    if walk.relations_seen != walk.relations_resolved {
        return Err(Refusal::Inexact(
            "the statement names tables in a place that is not understood".to_owned(),
        ));
    }
    if tokens.iter().any(|(token, _)| is_word(token, "NATURAL")) {
        for reference in &mut walk.references {
            reference.all = true;
        }
    }
    if walk.qualified && walk.goes_by_cluster {
        return Err(Refusal::Inexact(format!(
            "`{}` is the cluster and the name of a table here; use another alias",
            topology.cluster
        )));
    }
    let fetches = walk.fetches(&words)?;
    Ok(make(fetches, walk.goes_by_cluster))
}

/// A table in a FROM clause.
struct Reference<'a> {
    table: &'a LogicalTable,
    /// The name its columns are qualified by.
    exposed: String,
    /// Whether columns are used without being named.
    all: bool,
    /// The conditions that its rows must meet, and the physical tables that have such rows.
    filter: Option<String>,
    places: Option<BTreeSet<u32>>,
}

/// A column that is compared with another: its qualifier and its name, in lower case.
type Compared = (Option<String>, String);

struct Walk<'a> {
    topology: &'a Topology,
    references: Vec<Reference<'a>>,
    /// The common table expressions that are visible, for each query that is being visited.
    visible: Vec<Level>,
    /// The queries that are expressions of WITH in a query that is being visited, by address, with
    /// what is visible in them.
    expressions: BTreeMap<usize, Vec<String>>,
    /// SELECTs whose list does not matter, by address.
    existence: BTreeSet<usize>,
    compared: Vec<Compared>,
    /// Whether a table is written with the cluster as its schema.
    qualified: bool,
    /// Whether anything in a FROM clause has the cluster's name.
    goes_by_cluster: bool,
    relations_seen: usize,
    relations_resolved: usize,
}

struct Level {
    ctes: Vec<String>,
}

fn address<T>(item: &T) -> usize {
    std::ptr::from_ref(item).addr()
}

/// A name in a FROM clause.
enum Named<'a> {
    Table(&'a LogicalTable),
    /// A common table expression, or nothing at all (DUAL).
    Other,
}

/// A member of a FROM clause.
struct Factor {
    exposed: String,
    /// Its reference, where it is a logical table for certain.
    reference: Option<usize>,
    /// Whether an outer join can fill it with NULL.
    nullable: bool,
}

/// The FROM clause of a SELECT.
#[derive(Default)]
struct From<'e> {
    factors: Vec<Factor>,
    /// Conditions of inner joins.
    inner: Vec<&'e Expr>,
    /// Conditions of left joins, with the right side where it is one factor.
    left: Vec<(usize, &'e Expr)>,
}

impl<'a> Walk<'a> {
    fn new(topology: &'a Topology) -> Self {
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
        table.map(Named::Table).ok_or_else(|| {
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

    /// Narrows the rows of the SELECT's tables.
    fn narrow(&mut self, select: &Select, from: &From<'_>) {
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

    fn expression(&mut self, expr: &Expr) -> Result<(), Refusal> {
        match expr {
            Expr::Function(function) => refuse_function(&function.name.to_string()),
            Expr::Exists { subquery, .. } => {
                if let SetExpr::Select(select) = subquery.body.as_ref() {
                    self.existence.insert(address(&**select));
                }
                Ok(())
            }
            Expr::MatchAgainst { .. } => Err(Refusal::Inexact(
                "MATCH ... AGAINST ranks by each table's own statistics and full-text index; over \
                 shards it is not answered"
                    .to_owned(),
            )),
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                if ident.value.starts_with('@') {
                    return Err(variable(&ident.value));
                }
                // Functions without parentheses, which the parser takes for columns.
                match ident.value.to_ascii_lowercase().as_str() {
                    name @ ("current_user" | "current_role") => refuse_function(name),
                    _ => Ok(()),
                }
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [first, ..] if first.value.starts_with('@') => Err(variable(&first.value)),
                [schema, _, _] if schema.value != self.topology.cluster => {
                    Err(Refusal::Unknown(format!(
                        "`{}` is not the cluster; write `{}` or nothing before the table's name",
                        schema.value, self.topology.cluster
                    )))
                }
                _ => Ok(()),
            },
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                Err(Refusal::Syntax {
                    message: "there are no parameters to put in".to_owned(),
                })
            }
            Expr::BinaryOp {
                op: BinaryOperator::Assignment,
                ..
            } => Err(Refusal::Unsafe(
                "assignments are refused: this tool reads".to_owned(),
            )),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => {
                if let (Some(left), Some(right)) = (column(left), column(right)) {
                    self.compared.extend([left, right]);
                }
                Ok(())
            }
            Expr::InSubquery { expr, subquery, .. } => {
                self.compared.extend(column(expr));
                if let SetExpr::Select(select) = subquery.body.as_ref()
                    && let Some(
                        SelectItem::UnnamedExpr(item)
                        | SelectItem::ExprWithAlias { expr: item, .. },
                    ) = select.projection.first()
                {
                    self.compared.extend(column(item));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is fetched of each table that is referred to.
    fn fetches(&self, words: &Words) -> Result<Vec<Fetch>, Refusal> {
        let mut exposed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for reference in &self.references {
            let names = exposed.entry(reference.exposed.to_lowercase()).or_default();
            names.insert(reference.table.name.as_str());
        }
        let mut fetches = Vec::new();
        for table in self.topology.tables.values() {
            let name = table.name.as_str();
            let references: Vec<&Reference<'_>> = self
                .references
                .iter()
                .filter(|reference| reference.table.name == table.name)
                .collect();
            if references.is_empty() {
                continue;
            }
            let goes_by = |qualifier: &Option<String>| match qualifier {
                Some(qualifier) => exposed
                    .get(qualifier)
                    .is_some_and(|tables| tables.contains(name)),
                None => true,
            };
            let mut named: BTreeSet<String> = words
                .columns
                .iter()
                .filter(|(qualifier, _)| goes_by(qualifier))
                .map(|(_, column)| column.clone())
                .collect();
            // What does not look like a word may have been read as something else.
            let odd = table.def.columns.iter().map(|column| column.name.as_str());
            named.extend(odd.filter(|name| !plain(name)).map(str::to_lowercase));
            let columns = match references.iter().any(|reference| reference.all) {
                true => Needed::All,
                false => Needed::Named(named),
            };
            let filters: Option<BTreeSet<&str>> = references
                .iter()
                .map(|reference| reference.filter.as_deref())
                .collect();
            let filter = filters.map(|filters| match filters.into_iter().collect::<Vec<_>>() {
                one if one.len() == 1 => one[0].to_owned(),
                several => format!("({})", several.join(") OR (")),
            });
            let narrowed: Option<Vec<&BTreeSet<u32>>> = references
                .iter()
                .map(|reference| reference.places.as_ref())
                .collect();
            let all: Vec<Place> = self.topology.places(table).collect();
            let of = all.len();
            // One is read at the least: it tells what the columns are.
            let first = all.first().copied();
            let mut places: Vec<Place> = match (&table.spread, narrowed) {
                // All have the same rows.
                (Spread::Broadcast, _) => all.into_iter().take(1).collect(),
                (_, None) => all,
                (_, Some(numbers)) => all
                    .into_iter()
                    .filter(|place| numbers.iter().any(|set| set.contains(&place.table)))
                    .collect(),
            };
            if places.is_empty() {
                places.extend(first);
            }
            fetches.push(Fetch {
                table: name.to_owned(),
                columns,
                filter,
                places,
                of,
                compared: self
                    .compared
                    .iter()
                    .filter(|(qualifier, column)| {
                        goes_by(qualifier) && table.def.column(column).is_some()
                    })
                    .map(|(_, column)| column.clone())
                    .collect(),
            });
        }
        Ok(fetches)
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

fn column(expr: &Expr) -> Option<Compared> {
    match expr {
        Expr::Identifier(ident) => Some((None, ident.value.to_lowercase())),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., table, column] => Some((
                Some(table.value.to_lowercase()),
                column.value.to_lowercase(),
            )),
            _ => None,
        },
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn variable(name: &str) -> Refusal {
    Refusal::Inexact(format!(
        "`{name}` is a variable: it is a server's or a session's own, and a gathered statement runs \
         on another server"
    ))
}

/// Refuses a function that is not the servers' own, does more than compute, or asks the session or
/// the server about itself.
pub(super) fn refuse_function(name: &str) -> Result<(), Refusal> {
    let lower = name.to_ascii_lowercase();
    match nature(name) {
        Some(Nature::Forbidden) => Err(Refusal::Unsafe(format!(
            "{name}() is refused: it sleeps, locks or reads files"
        ))),
        // Of these any value is as good as another.
        Some(Nature::Server)
            if ["rand", "random_bytes", "sysdate", "uuid", "uuid_short"]
                .contains(&lower.as_str()) =>
        {
            Ok(())
        }
        Some(Nature::Server) => Err(of_the_session(name)),
        Some(_) => Ok(()),
        None if ["charset", "coercibility", "collation"].contains(&lower.as_str()) => Ok(()),
        None if ["database", "schema"].contains(&lower.as_str()) => Err(of_the_session(name)),
        None if MORE.contains(&lower.as_str()) => Ok(()),
        None => Err(Refusal::Unsafe(format!(
            "the function {name}() is not known; it may be one of your own, and do more than read"
        ))),
    }
}

fn of_the_session(name: &str) -> Refusal {
    Refusal::Inexact(format!(
        "{name}() tells about the session or the server, and a gathered statement runs on another"
    ))
}

/// Functions of the servers that compute from their arguments only, beside those that the shards
/// can be asked ([`nature`]).
const MORE: &[&str] = &[
    "add_months",
    "aes_decrypt",
    "aes_encrypt",
    "any_value",
    "chr",
    "compress",
    "convert_tz",
    "crc32c",
    "cume_dist",
    "decode_oracle",
    "dense_rank",
    "extractvalue",
    "first_value",
    "format_bytes",
    "format_pico_time",
    "geometrycollection",
    "get_format",
    "grouping",
    "is_ipv4",
    "is_ipv4_compat",
    "is_ipv4_mapped",
    "is_ipv6",
    "is_uuid",
    "json_append",
    "json_array_append",
    "json_array_insert",
    "json_array_intersect",
    "json_compact",
    "json_detailed",
    "json_equals",
    "json_exists",
    "json_insert",
    "json_loose",
    "json_merge",
    "json_merge_patch",
    "json_merge_preserve",
    "json_normalize",
    "json_object_filter_keys",
    "json_object_to_array",
    "json_overlaps",
    "json_pretty",
    "json_query",
    "json_remove",
    "json_replace",
    "json_schema_valid",
    "json_schema_validation_report",
    "json_set",
    "json_storage_size",
    "json_table",
    "lag",
    "last_value",
    "lead",
    "length_oracle",
    "lengthb",
    "linestring",
    "make_set",
    "mbrcontains",
    "mbrcoveredby",
    "mbrcovers",
    "mbrdisjoint",
    "mbrequals",
    "mbrintersects",
    "mbroverlaps",
    "mbrtouches",
    "mbrwithin",
    "median",
    "multilinestring",
    "multipoint",
    "multipolygon",
    "natural_sort_key",
    "nth_value",
    "ntile",
    "nvl",
    "nvl2",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "point",
    "polygon",
    "rank",
    "regexp_instr",
    "regexp_like",
    "regexp_replace",
    "regexp_substr",
    "row",
    "row_number",
    "sformat",
    "st_area",
    "st_asbinary",
    "st_asgeojson",
    "st_astext",
    "st_aswkb",
    "st_aswkt",
    "st_buffer",
    "st_centroid",
    "st_contains",
    "st_convexhull",
    "st_crosses",
    "st_difference",
    "st_dimension",
    "st_disjoint",
    "st_distance",
    "st_distance_sphere",
    "st_endpoint",
    "st_envelope",
    "st_equals",
    "st_exteriorring",
    "st_geohash",
    "st_geometryn",
    "st_geometrytype",
    "st_geomfromgeojson",
    "st_geomfromtext",
    "st_geomfromwkb",
    "st_interiorringn",
    "st_intersection",
    "st_intersects",
    "st_isclosed",
    "st_isempty",
    "st_issimple",
    "st_isvalid",
    "st_latfromgeohash",
    "st_latitude",
    "st_length",
    "st_longfromgeohash",
    "st_longitude",
    "st_makeenvelope",
    "st_numgeometries",
    "st_numinteriorrings",
    "st_numpoints",
    "st_overlaps",
    "st_pointfromgeohash",
    "st_pointfromtext",
    "st_pointn",
    "st_polyfromtext",
    "st_simplify",
    "st_srid",
    "st_startpoint",
    "st_swapxy",
    "st_symdifference",
    "st_touches",
    "st_transform",
    "st_union",
    "st_validate",
    "st_within",
    "st_x",
    "st_y",
    "to_char",
    "uncompress",
    "uncompressed_length",
    "updatexml",
    "uuid_to_bin",
    "bin_to_uuid",
    "validate_password_strength",
];

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

pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found)
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// A name that can only be read as a word.
fn plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The words of a statement that can be names.
struct Words {
    /// Each with what it is qualified by, in lower case.
    columns: BTreeSet<Compared>,
    /// Names that have a point behind and none before them, with their places and of how many
    /// parts they are the first.
    first: Vec<(String, Range<usize>, usize)>,
    /// All of them.
    all: Vec<String>,
}

impl Words {
    fn new(tokens: &[(Token, Range<usize>)]) -> Self {
        let word = |index: usize| -> Option<&Word> {
            match tokens.get(index) {
                Some((Token::Word(word), _)) => Some(word),
                _ => None,
            }
        };
        let point = |index: usize| matches!(tokens.get(index), Some((Token::Period, _)));
        let mut columns = BTreeSet::new();
        let mut first = Vec::new();
        let mut all = Vec::new();
        for (index, (_, range)) in tokens.iter().enumerate() {
            let Some(found) = word(index) else {
                continue;
            };
            all.push(found.value.clone());
            let qualifier = match index {
                2.. if point(index - 1) => word(index - 2),
                _ => None,
            };
            columns.insert((
                qualifier.map(|word| word.value.to_lowercase()),
                found.value.to_lowercase(),
            ));
            if point(index + 1) && !(index > 0 && point(index - 1)) {
                let mut parts = 1;
                while point(index + 2 * parts - 1) {
                    parts += 1;
                }
                first.push((found.value.clone(), range.clone(), parts));
            }
        }
        Self {
            columns,
            first,
            all,
        }
    }

    /// Whether a name stands anywhere without a point behind it.
    fn stands(&self, name: &str) -> bool {
        let count = |of: &str| self.all.iter().filter(|word| *word == of).count();
        let first = self.first.iter().filter(|(word, _, _)| word == name);
        count(name) > first.count()
    }

    /// Where the cluster's name stands as a schema. It can be a table's as well: then two parts
    /// are a table and its column.
    fn schemas(&self, cluster: &str, is_table: bool) -> Vec<(Range<usize>, Edit)> {
        self.first
            .iter()
            .filter(|(name, _, parts)| name == cluster && (*parts > 2 || !is_table))
            .map(|(_, range, _)| (range.clone(), Edit::Schema))
            .collect()
    }
}

/// `FORCE INDEX FOR JOIN (a, b)`
fn index_hints(tokens: &[(Token, Range<usize>)]) -> impl Iterator<Item = Range<usize>> {
    let any = |index: usize, words: &[&str]| {
        tokens
            .get(index)
            .is_some_and(|(token, _)| words.iter().any(|word| is_word(token, word)))
    };
    let mut hints = Vec::new();
    for (index, (_, range)) in tokens.iter().enumerate() {
        if any(index, &["USE", "FORCE", "IGNORE"]) && any(index + 1, &["INDEX", "KEY"]) {
            let close = tokens[index..]
                .iter()
                .find(|(token, _)| *token == Token::RParen);
            if let Some((_, close)) = close {
                hints.push(range.start..close.end);
            }
        }
    }
    hints.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::file::parse;

    const TOPOLOGY: &str = "\
version: 1
cluster: shop
instances: {a: {host: x}}
schemas: {name: 's_{}', count: 4, on: {a: 0-3}}
tables:
  member:
    shard_key: id
    function: drds_hash
    ddl: CREATE TABLE member (id bigint NOT NULL PRIMARY KEY, name varchar(9), level int, at datetime)
  buy:
    shard_key: member_id
    function: drds_hash
    ddl: CREATE TABLE buy (member_id bigint NOT NULL, nr int NOT NULL, goods int, price decimal(9,2), PRIMARY KEY (member_id, nr))
  goods:
    broadcast: true
    ddl: CREATE TABLE goods (id int NOT NULL PRIMARY KEY, name varchar(9))
";

    fn topology() -> Topology {
        parse(TOPOLOGY).unwrap()
    }

    /// What is fetched, a line for each table.
    fn fetched(sql: &str) -> String {
        let topology = topology();
        let gather = gather(sql, &topology).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
        let lines: Vec<String> = gather
            .fetches
            .iter()
            .map(|fetch| {
                let def = &topology
                    .tables
                    .values()
                    .find(|table| table.name.as_str() == fetch.table)
                    .unwrap()
                    .def;
                let columns: Vec<&str> = def
                    .columns
                    .iter()
                    .map(|column| column.name.as_str())
                    .filter(|name| fetch.columns.has(name))
                    .collect();
                let filter = fetch.filter.as_deref().unwrap_or("all").replace('`', "");
                let places: Vec<String> = fetch
                    .places
                    .iter()
                    .map(|place| place.table.to_string())
                    .collect();
                format!(
                    "{}({}) {filter} of {}",
                    fetch.table,
                    columns.join(" "),
                    places.join(" ")
                )
            })
            .collect();
        lines.join("\n")
    }

    fn refused(sql: &str) -> String {
        match gather(sql, &topology()) {
            Ok(_) => panic!("{sql} is not refused"),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn only_columns_that_are_named_are_fetched() {
        for (sql, expected) in [
            (
                "SELECT m.name FROM member m JOIN buy USING (id)",
                "member(id name) all of 0 1 2 3\nbuy() all of 0 1 2 3",
            ),
            (
                "SELECT m.name, price FROM member m JOIN buy b ON b.member_id = m.id",
                "member(id name) all of 0 1 2 3\nbuy(member_id price) all of 0 1 2 3",
            ),
            (
                "SELECT b.* FROM member m JOIN buy b ON m.level = b.nr",
                "member(level) all of 0 1 2 3\nbuy(member_id nr goods price) all of 0 1 2 3",
            ),
            (
                "SELECT level FROM member NATURAL JOIN goods",
                "member(id name level at) all of 0 1 2 3\ngoods(id name) all of 0",
            ),
            (
                "SELECT MEMBER.ID FROM member AS MEMBER, (SELECT nr FROM buy) x",
                "member(id) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
            ),
            (
                "SELECT id FROM member WHERE EXISTS (SELECT * FROM buy WHERE nr = level)",
                "member(id level) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
            ),
            (
                "WITH member AS (SELECT goods FROM buy) SELECT * FROM member",
                "buy(goods) all of 0 1 2 3",
            ),
            (
                "WITH member AS (SELECT id FROM member) SELECT * FROM member, shop.member m2",
                "member(id name level at) all of 0 1 2 3",
            ),
        ] {
            assert_eq!(fetched(sql), expected, "{sql}");
        }
    }

    #[test]
    fn rows_are_narrowed_by_what_no_row_of_the_answer_can_fail() {
        for (sql, expected) in [
            (
                "SELECT m.id FROM member m JOIN buy b ON m.level = b.nr AND b.goods = 3 \
                 WHERE m.id = 6 AND (m.name LIKE 'a%' OR m.level IS NULL)",
                "member(id name level) (member.id = 6) AND ((member.name LIKE 'a%') OR \
                 (member.level IS NULL)) of 2\n\
                 buy(nr goods) (buy.goods = 3) of 0 1 2 3",
            ),
            // Through no side that can be NULL; but a left join's own condition on its right.
            (
                "SELECT m.id FROM member m LEFT JOIN buy b ON m.id = b.member_id AND b.nr = 1 \
                 AND m.level = 2 WHERE b.price > 3",
                "member(id level) all of 0 1 2 3\n\
                 buy(member_id nr price) (buy.nr = 1) of 0 1 2 3",
            ),
            (
                "SELECT m.id FROM member m RIGHT JOIN buy b ON m.id = b.member_id \
                 WHERE m.level = 2 AND b.nr = 2",
                "member(id level) all of 0 1 2 3\nbuy(member_id nr) (buy.nr = 2) of 0 1 2 3",
            ),
            // By all references, or not at all.
            (
                "SELECT x.id FROM member x JOIN member y ON x.level = y.level \
                 WHERE x.id = 1 AND y.id = 2",
                "member(id level) ((member.id = 1)) OR ((member.id = 2)) of 1 2",
            ),
            (
                "SELECT x.id FROM member x JOIN member y ON x.level = y.level WHERE x.id = 1",
                "member(id level) all of 0 1 2 3",
            ),
            // Not by what is of two tables, of a table whose columns are not known, or asks more.
            (
                "SELECT 1 FROM member, (SELECT * FROM buy) b WHERE level = 1",
                "member(level) all of 0 1 2 3\nbuy(member_id nr goods price) all of 0 1 2 3",
            ),
            (
                "SELECT 1 FROM member m JOIN goods g WHERE m.level = g.id AND RAND() < m.level \
                 AND m.level IN (SELECT nr FROM buy WHERE member_id = m.id AND nr > 1) AND name = 'x'",
                "member(id name level) all of 0 1 2 3\n\
                 buy(member_id nr goods) (buy.nr > 1) of 0 1 2 3\n\
                 goods(id name) all of 0",
            ),
            (
                "SELECT 1 FROM member m, buy b WHERE m.id = 1 || b.nr = 1",
                "member(id) all of 0 1 2 3\nbuy(nr) all of 0 1 2 3",
            ),
            (
                "SELECT 1 FROM member m, buy b WHERE m.at > NOW() - INTERVAL 7 DAY AND DATE(m.at) < '2024-01-01'",
                "member(at) (member.at > (NOW() - INTERVAL 7 DAY)) AND (DATE(member.at) < '2024-01-01') of 0 1 2 3\n\
                 buy() all of 0 1 2 3",
            ),
            (
                "SELECT 1 FROM member m WHERE m.id = 1 AND m.id = 2 UNION SELECT 2 FROM member WHERE id = 7",
                "member(id) ((member.id = 1) AND (member.id = 2)) OR ((member.id = 7)) of 3",
            ),
        ] {
            assert_eq!(fetched(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_would_do_more_than_compute_from_the_tables_is_refused() {
        for (sql, why) in [
            (
                "SELECT 1 FROM (SELECT id FROM member FOR UPDATE) x",
                "locking",
            ),
            ("SELECT id FROM member UNION SELECT 1 INTO @x", ""),
            ("SELECT SLEEP(1) FROM member JOIN buy", "SLEEP() is refused"),
            (
                "SELECT id FROM member WHERE id IN (SELECT GET_LOCK('a', 1))",
                "GET_LOCK() is refused",
            ),
            ("SELECT my_own(id) FROM member", "my_own() is not known"),
            ("SELECT shop.my_own(id) FROM member", "is not known"),
            ("SELECT `sleep`(1) FROM member", "is not known"),
            ("SELECT * FROM mysql.user", "`mysql` is not the cluster"),
            (
                "SELECT mysql.user.host FROM member",
                "`mysql` is not the cluster",
            ),
            (
                "SELECT * FROM member JOIN nowhere",
                "there is no logical table `nowhere`",
            ),
            ("SELECT @@version FROM member", "is a variable"),
            ("SELECT @x := id FROM member", ""),
            ("SELECT USER(), id FROM member", "tells about the session"),
            ("SELECT CURRENT_USER FROM member", "tells about the session"),
            ("SELECT DATABASE() FROM member", "tells about the session"),
            (
                "SELECT LAST_INSERT_ID() FROM member",
                "tells about the session",
            ),
            ("SELECT FOUND_ROWS()", "tells about the session"),
            ("SELECT VERSION()", "tells about the session"),
            ("DELETE FROM member", "only SELECT"),
            ("SELECT 1; SELECT 2", "one statement"),
            ("SELECT /*!50000 1 */", "version comments"),
            (
                "SELECT /*+ SET_VAR(sql_mode='') */ id FROM member",
                "SET_VAR",
            ),
            ("SELECT id FROM member PARTITION (p0)", "PARTITION"),
            (
                "SELECT id FROM shop.member JOIN buy AS shop",
                "another alias",
            ),
            ("SELECT LOAD_FILE('/etc/passwd')", "LOAD_FILE() is refused"),
            (
                "SELECT id FROM member WHERE MATCH (name) AGAINST ('x')",
                "MATCH",
            ),
        ] {
            let refusal = refused(sql);
            assert!(refusal.contains(why), "{sql}: {refusal}");
        }
    }

    #[test]
    fn only_the_schemas_name_is_replaced() {
        let gather = gather(
            "SELECT shop.member.id, 'shop.x', `shop`.m2.name AS shop FROM shop.member, \
             `shop` . member m2 FORCE INDEX (PRIMARY)",
            &topology(),
        )
        .unwrap();
        assert_eq!(
            gather.statement("q"),
            "SELECT q.member.id, 'shop.x', `q`.m2.name AS shop FROM q.member, `q` . member m2 "
        );
        assert_eq!(
            gather.column_name("q.member.id + 1", "q"),
            "shop.member.id + 1"
        );
    }

    #[test]
    fn statements_the_parser_cannot_read_are_gathered_whole_or_refused_by_their_words() {
        let all = "member(id name level at) all of 0 1 2 3";
        for sql in [
            "TABLE member",
            "SELECT id FROM member WHERE at > NOW() - INTERVAL '1:30' MINUTE_SECOND",
            "SELECT TRIM(LEADING FROM name), m.id MOD 3 FROM shop.member m",
            "SELECT CAST(name AS CHAR(3) CHARACTER SET latin1), ROW_NUMBER() OVER (PARTITION BY id) FROM member",
        ] {
            assert_eq!(fetched(sql), all, "{sql}");
        }
        for (sql, why) in [
            (
                "SELECT id FROM member LOCK IN SHARE MODE",
                "LOCK is refused",
            ),
            (
                "SELECT TRIM(LEADING FROM name) INTO OUTFILE 'x' FROM member",
                "INTO is refused",
            ),
            (
                "SELECT TRIM(LEADING FROM SLEEP(3)) FROM member",
                "SLEEP() is refused",
            ),
            (
                "SELECT TRIM(LEADING FROM x.f(3)) FROM member x",
                "f() is not known",
            ),
            (
                "SELECT TRIM(LEADING FROM my_own(3)) FROM member",
                "my_own() is not known",
            ),
            (
                "SELECT TRIM(LEADING FROM host) FROM mysql.user",
                "neither the cluster",
            ),
            (
                "SELECT TRIM(LEADING FROM name) FROM s_0.member s_0",
                "neither the cluster",
            ),
            ("SELECT TRIM(LEADING FROM @x) FROM member", "variable"),
            (
                "SELECT TRIM(LEADING FROM name) FROM member; DROP TABLE member",
                "one statement",
            ),
            ("TRUNCATE member PARTITION p", "only SELECT"),
        ] {
            let refusal = refused(sql);
            assert!(refusal.contains(why), "{sql}: {refusal}");
        }
    }
}
