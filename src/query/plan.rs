//! The way a statement is answered, and what each physical table is asked.
//!
//! A scatter is planned in two steps. The first cuts the statement into what the shards compute and
//! what is merged, and makes a probe: a statement that returns no rows but tells the kind of each
//! column. With those kinds the second step decides how each key is compared: text by its server's
//! own weights, numbers as numbers; or that it cannot be merged exactly.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, LimitClause, OrderByKind, OrderBySort, SelectItem, Value, visit_expressions,
};

use super::Refusal;
use super::functions::Nature;
use super::keys::{Scope, Tables};
use super::merge::{Aggregate, Key, Merge, Output, Source};
use super::parse::{Parsed, ends_in_line_comment, parse};
use crate::names::quote;
use crate::routing::Router;
use crate::rows::cell::{Column, Kind, Padding};
use crate::rows::key::KeyType;
use crate::schema::ColumnType;
use crate::topology::{Assumption, LogicalTable, PhysicalTable, Place, Spread, Topology};

/// A statement with a hole for the physical table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    /// The statement for one physical table.
    pub fn sql(&self, table: &PhysicalTable) -> String {
        format!("{}{}{}", self.before, table.quoted(), self.after)
    }
}

/// How a statement is answered.
#[derive(Debug, Clone)]
pub enum Way {
    /// One physical table has the whole answer; its rows are passed on.
    One {
        /// What it is asked.
        statement: Template,
    },
    /// All tables compute their part, and the parts are merged.
    Scatter(Box<Scatter>),
    /// The tables' answers cannot be merged exactly; they can only be shown side by side.
    Apart(Refusal),
}

/// A planned statement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The logical table.
    pub table: String,
    /// The physical tables that are asked.
    pub places: Vec<Place>,
    /// How they are asked.
    pub way: Way,
    /// Why this way, for `--explain`.
    pub reason: String,
    /// The statement for each table as it was written, for `--by-shard`.
    pub as_written: Template,
}

/// A scatter before the kinds of its columns are known.
#[derive(Debug, Clone)]
pub struct Scatter {
    /// Returns no rows; its columns are the select list's, then the keys'.
    pub probe: Template,
    shape: Shape,
    items: Vec<Item>,
    /// Expressions fetched beside the items: keys that are not among them.
    extra: Vec<String>,
    order: Vec<Order>,
    limit: Option<u64>,
    offset: u64,
    /// `SELECT` and what stands before the first item, DISTINCT not included.
    modifiers: String,
    /// From FROM to the table's name, and from behind it to GROUP BY.
    body: (String, String),
    /// Whether the select list has a wildcard, so that its columns are not counted by items.
    wildcard: bool,
    /// The name that columns are qualified by, quoted.
    qualifier: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rows,
    Grouped,
}

/// An item of the select list.
#[derive(Debug, Clone)]
struct Item {
    /// The item as written, its alias included.
    text: String,
    /// The expression alone.
    expression: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// Passed through; for grouped shapes one of the group's expressions.
    Plain,
    Wildcard,
    Aggregate {
        function: Function1,
        argument: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function1 {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// What an ORDER BY entry is.
#[derive(Debug, Clone)]
struct Order {
    key: OrderKey,
    descending: bool,
    /// The expression as it was written: the shards understand it as one server would.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderKey {
    Item(usize),
    Extra(usize),
}

/// What is to be executed once the kinds are known.
#[derive(Debug, Clone)]
pub struct Scattered {
    /// What each physical table is asked.
    pub statement: Template,
    /// How the answers become one.
    pub merge: Merge,
    /// The columns of the answer.
    pub columns: Vec<Column>,
}

/// Plans a statement.
///
/// # Errors
/// It cannot be read, does more than read, names what is not there, or cannot be answered exactly.
pub fn plan(sql: &str, topology: &Topology) -> Result<Plan, Refusal> {
    let parsed = parse(sql)?;
    let table = find_table(&parsed, topology)?;
    let whole = template(
        &parsed,
        &parsed.sql[..parsed.pieces.table.start],
        &parsed.sql[parsed.pieces.table.end..],
    );
    let make = |places: Vec<Place>, way: Way, reason: String| Plan {
        table: table.name.to_string(),
        places,
        way,
        reason,
        as_written: whole.clone(),
    };
    let one = || Way::One {
        statement: whole.clone(),
    };
    if let Spread::Broadcast = table.spread {
        let first: Vec<Place> = topology.places(table).take(1).collect();
        let reason = format!(
            "`{}` is a broadcast table: any schema has all of it",
            table.name
        );
        return Ok(make(first, one(), reason));
    }
    let router =
        Router::new(topology, table).map_err(|fault| Refusal::Unknown(fault.to_string()))?;
    let all: Vec<Place> = topology.places(table).collect();
    let qualifier = parsed.alias.as_deref().unwrap_or(&parsed.table);
    let scope = Scope {
        router: &router,
        qualifier,
        no_trailing_spaces: table.assumptions.contains(&Assumption::NoTrailingSpaces),
    };
    let narrowed = parsed
        .select
        .selection
        .as_ref()
        .map_or(Tables::All, |condition| scope.tables(condition));
    let (places, reason) = match &narrowed {
        Tables::All => (all.clone(), why_all(&parsed, &router)),
        Tables::Some(numbers) => {
            let places: Vec<Place> = all
                .iter()
                .copied()
                .filter(|place| numbers.contains(&place.table))
                .collect();
            let reason = format!(
                "the shard key `{}` leaves {} of {} tables",
                router.schema_column(),
                places.len(),
                all.len()
            );
            // A condition that no row can meet still has an answer: any one table gives it.
            (
                if places.is_empty() {
                    all[..1].to_vec()
                } else {
                    places
                },
                reason,
            )
        }
    };
    if places.len() == 1 {
        return Ok(make(places, one(), reason));
    }
    let of_the_server = parsed
        .functions
        .iter()
        .find(|(_, nature)| *nature == Nature::Server);
    let scattered = match of_the_server {
        Some((name, _)) => Err(Refusal::Inexact(format!(
            "{name}() gives another value on each shard; name a shard key so that one answers"
        ))),
        None => scatter(&parsed, table, &router),
    };
    let way = match scattered {
        Ok(scatter) => Way::Scatter(Box::new(scatter)),
        Err(refusal) => Way::Apart(refusal),
    };
    Ok(make(places, way, reason))
}

fn why_all(parsed: &Parsed, router: &Router) -> String {
    let column = router.schema_column();
    let mentioned = parsed.select.selection.as_ref().is_some_and(|condition| {
        condition
            .to_string()
            .to_lowercase()
            .contains(&column.as_str().to_lowercase())
    });
    match (mentioned, router.schema_key_type()) {
        (false, _) => format!("no condition on the shard key `{column}`"),
        (true, KeyType::Text { collation, .. }) => format!(
            "`{column}` compares by {}, which takes different texts for equal (letters' case or \
             trailing spaces), and those can be on other shards",
            collation.as_deref().unwrap_or("the default collation")
        ),
        (true, _) => format!("the conditions on the shard key `{column}` do not name its values"),
    }
}

fn find_table<'a>(parsed: &Parsed, topology: &'a Topology) -> Result<&'a LogicalTable, Refusal> {
    if let Some(schema) = &parsed.schema
        && *schema != topology.cluster
    {
        return Err(Refusal::Unknown(format!(
            "`{schema}` is not the cluster; write `{}` or nothing before the table's name",
            topology.cluster
        )));
    }
    topology
        .tables
        .values()
        .find(|table| table.name.as_str() == parsed.table)
        .ok_or_else(|| {
            let names: Vec<&str> = topology.tables.keys().map(|name| name.as_str()).collect();
            Refusal::Unknown(format!(
                "there is no logical table `{}`; there are: {}",
                parsed.table,
                names.join(", ")
            ))
        })
}

/// A statement with the table's name taken out; a table without an alias gets its logical name as
/// one, so that columns qualified by it still mean it.
fn template(parsed: &Parsed, before: &str, after: &str) -> Template {
    let alias = match parsed.alias {
        Some(_) => String::new(),
        None => format!(" AS {}", quote(&parsed.table)),
    };
    Template {
        before: before.to_owned(),
        after: format!("{alias}{after}"),
    }
}

fn scatter(parsed: &Parsed, table: &LogicalTable, router: &Router) -> Result<Scatter, Refusal> {
    let inexact = |what: String| Refusal::Inexact(what);
    if parsed.select.having.is_some() {
        return Err(inexact("HAVING over shards is not answered yet".to_owned()));
    }
    if ends_in_line_comment(&parsed.sql) {
        return Err(inexact(
            "write the statement without -- and # comments".to_owned(),
        ));
    }
    let modifiers = &parsed.pieces.modifiers;
    let has = |word: &str| modifiers.iter().any(|modifier| modifier == word);
    if has("SQL_CALC_FOUND_ROWS") {
        return Err(inexact(
            "SQL_CALC_FOUND_ROWS counts one server's rows".to_owned(),
        ));
    }
    // Not by the tree, which takes ALL for a kind of DISTINCT.
    let distinct = has("DISTINCT") || has("DISTINCTROW");
    let group: &[Expr] = match &parsed.select.group_by {
        GroupByExpr::Expressions(list, _) => list,
        GroupByExpr::All(_) => &[],
    };
    let items = items(parsed, table, router)?;
    let aggregates = items
        .iter()
        .any(|item| matches!(item.what, What::Aggregate { .. }));
    let in_functions = parsed
        .functions
        .iter()
        .filter(|(_, nature)| *nature == Nature::Aggregate)
        .count();
    let as_items = items
        .iter()
        .filter(|item| matches!(item.what, What::Aggregate { .. }))
        .count();
    let grouped = distinct || aggregates || !group.is_empty();
    if distinct && (aggregates || !group.is_empty()) {
        return Err(inexact(
            "DISTINCT over groups is not answered yet".to_owned(),
        ));
    }
    let wildcard = items.iter().any(|item| item.what == What::Wildcard);
    if grouped && wildcard {
        return Err(inexact(
            "name the columns: * cannot be grouped or made distinct over shards".to_owned(),
        ));
    }
    let mut extra = Vec::new();
    let mut positions = Vec::new();
    if !group.is_empty() {
        positions = grouped_by(parsed, table, group, &items, &mut extra)?;
    } else if aggregates && items.iter().any(|item| item.what == What::Plain) {
        return Err(inexact(
            "a column beside an aggregate without GROUP BY is any row's; it cannot be answered \
             exactly"
                .to_owned(),
        ));
    }
    let order = order(parsed, table, &items, grouped, &mut extra)?;
    // Aggregates in ORDER BY that are items are counted twice.
    let known = order.iter().filter(|order| match order.key {
        OrderKey::Item(index) => matches!(items[index].what, What::Aggregate { .. }),
        OrderKey::Extra(_) => false,
    });
    if in_functions > as_items + known.count() {
        return Err(inexact(
            "an aggregate inside an expression is not answered yet; select the aggregates alone"
                .to_owned(),
        ));
    }
    let (limit, offset) = limit(parsed)?;
    let body_before = &parsed.sql[parsed.pieces.from..parsed.pieces.table.start];
    let body = template(
        parsed,
        body_before,
        &parsed.sql[parsed.pieces.table.end..parsed.pieces.body_end],
    );
    let all_items: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
    let all_items = all_items.join(", ");
    let extras: String = extra.iter().map(|text| format!(", {text}")).collect();
    // By position: a name could be a column's as well as an alias.
    let group_text = match positions.is_empty() {
        true => String::new(),
        false => format!(" GROUP BY {}", positions.join(", ")),
    };
    let kept: String = parsed
        .pieces
        .hint
        .iter()
        .chain(modifiers)
        .filter(|word| !["DISTINCT", "DISTINCTROW"].contains(&word.as_str()))
        .map(|word| format!(" {word}"))
        .collect();
    Ok(Scatter {
        probe: Template {
            before: format!("SELECT{kept} {all_items}{extras} {}", body.before),
            after: format!("{}{group_text} LIMIT 0", body.after),
        },
        shape: if grouped { Shape::Grouped } else { Shape::Rows },
        items,
        extra,
        order,
        limit,
        offset,
        modifiers: kept,
        body: (body.before, body.after),
        wildcard,
        qualifier: quote(parsed.alias.as_deref().unwrap_or(&parsed.table)),
    })
}

/// The items of the select list with what each is.
fn items(parsed: &Parsed, table: &LogicalTable, router: &Router) -> Result<Vec<Item>, Refusal> {
    let list = &parsed.select.projection;
    if list.len() != parsed.pieces.items.len() {
        return Err(Refusal::Syntax {
            message: "the select list could not be told apart".to_owned(),
        });
    }
    list.iter()
        .zip(&parsed.pieces.items)
        .zip(&parsed.pieces.items_unaliased)
        .map(|((item, range), unaliased)| {
            let text = parsed.sql[range.clone()].to_owned();
            let (expr, expression) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, text.clone()),
                SelectItem::ExprWithAlias { expr, .. } => {
                    (expr, parsed.sql[unaliased.clone()].to_owned())
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    return Ok(Item {
                        expression: text.clone(),
                        text,
                        what: What::Wildcard,
                    });
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Refusal::Inexact("several aliases are not MySQL".to_owned()));
                }
            };
            let what = match expr {
                Expr::Function(function) => aggregate(function, &expression, table, router)?,
                _ => None,
            };
            Ok(Item {
                text,
                expression,
                what: what.unwrap_or(What::Plain),
            })
        })
        .collect()
}

/// What an aggregate call is; `None` for any other function.
fn aggregate(
    function: &Function,
    text: &str,
    table: &LogicalTable,
    router: &Router,
) -> Result<Option<What>, Refusal> {
    let name = function.name.to_string().to_ascii_lowercase();
    let kind = match name.as_str() {
        "count" => Function1::Count,
        "sum" => Function1::Sum,
        "avg" => Function1::Avg,
        "min" => Function1::Min,
        "max" => Function1::Max,
        other => {
            return match super::functions::nature(other) {
                Some(Nature::Aggregate) => Err(Refusal::Inexact(format!(
                    "{other}() over shards is not answered yet"
                ))),
                _ => Ok(None),
            };
        }
    };
    let FunctionArguments::List(list) = &function.args else {
        return Err(Refusal::Inexact(format!("{name}() without arguments")));
    };
    if !list.clauses.is_empty() || function.filter.is_some() {
        return Err(Refusal::Inexact(format!(
            "{name}() with clauses is not answered"
        )));
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    // As it was written, DISTINCT included.
    let argument = text
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'))
        .map_or(text, |(inside, _)| inside)
        .to_owned();
    if distinct && matches!(kind, Function1::Count | Function1::Sum | Function1::Avg) {
        // Values that are equal lie in one shard where the shard key is one of them.
        let on_key = matches!(kind, Function1::Count)
            && matches!(router.schema_key_type(), KeyType::Integer { .. })
            && router.table_column().is_none()
            && list.args.iter().any(|arg| is_column(arg, table, router));
        if !on_key {
            return Err(Refusal::Inexact(format!(
                "{name}(DISTINCT ...) over shards is not answered yet, but for COUNT(DISTINCT {})",
                router.schema_column()
            )));
        }
    }
    Ok(Some(What::Aggregate {
        function: kind,
        argument,
    }))
}

fn is_column(arg: &FunctionArg, table: &LogicalTable, router: &Router) -> bool {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
        return false;
    };
    let name = match expr {
        Expr::Identifier(ident) => &ident.value,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(last) => &last.value,
            None => return false,
        },
        _ => return false,
    };
    router.schema_column().is(name) && table.def.column(name).is_some()
}

/// One spelling of an expression: spaces, case of unquoted words, backticks and the table's
/// qualifier do not count.
fn spelling(text: &str, qualifier: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut quote: Option<char> = None;
    while let Some(c) = chars.next() {
        match quote {
            Some(open) => {
                out.push(c);
                if c == '\\' {
                    out.extend(chars.next());
                } else if c == open {
                    quote = None;
                }
            }
            None if matches!(c, '\'' | '"') => {
                quote = Some(c);
                out.push(c);
            }
            None if c == '`' => {}
            None if c.is_whitespace() => {
                // Between two words a space tells them apart.
                let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                while chars.peek().is_some_and(|c| c.is_whitespace()) {
                    chars.next();
                }
                if word(out.chars().last()) && word(chars.peek().copied()) {
                    out.push(' ');
                }
            }
            None => out.extend(c.to_lowercase()),
        }
    }
    let prefix = format!("{}.", qualifier.to_lowercase());
    match out.strip_prefix(&prefix) {
        Some(column)
            if column
                .chars()
                .all(|c| c.is_alphanumeric() || c == '_' || c == '$') =>
        {
            column.to_owned()
        }
        _ => out,
    }
}

/// Every plain item must be one of the group's expressions; expressions that are no item are
/// fetched beside them. Gives the positions of the group's expressions among both.
fn grouped_by(
    parsed: &Parsed,
    table: &LogicalTable,
    group: &[Expr],
    items: &[Item],
    extra: &mut Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let qualifier = parsed.alias.as_deref().unwrap_or(&parsed.table);
    let mut covered = BTreeSet::new();
    let mut positions = Vec::new();
    for (expr, range) in group.iter().zip(&parsed.pieces.group_by) {
        let text = &parsed.sql[range.clone()];
        // A column of the table comes before an alias of the same name, unlike in ORDER BY.
        let is_column =
            matches!(expr, Expr::Identifier(ident) if table.def.column(&ident.value).is_some());
        let found = match is_column {
            true => same_expression(parsed, text, items),
            false => find_item(parsed, expr, text, items),
        };
        match found {
            Some(index) if items[index].what == What::Plain => {
                covered.insert(index);
                positions.push((index + 1).to_string());
            }
            Some(_) => {
                return Err(Refusal::Inexact(
                    "GROUP BY an aggregate is not MySQL".to_owned(),
                ));
            }
            None if is_position(expr) => {
                return Err(Refusal::Unknown(format!(
                    "there is no column {text} to group by"
                )));
            }
            None => {
                refuse_aliases_inside(parsed, table, expr, text)?;
                extra.push(text.to_owned());
                positions.push((items.len() + extra.len()).to_string());
            }
        }
    }
    // The same expression can be selected twice.
    let texts: BTreeSet<String> = covered
        .iter()
        .map(|index| spelling(&items[*index].expression, qualifier))
        .collect();
    for (index, item) in items.iter().enumerate() {
        let same = texts.contains(&spelling(&item.expression, qualifier));
        if item.what == What::Plain && !covered.contains(&index) && !same {
            return Err(Refusal::Inexact(format!(
                "`{}` is neither grouped by nor an aggregate; it is any row's of the group",
                item.expression
            )));
        }
    }
    Ok(positions)
}

/// The item that an expression of GROUP BY or ORDER BY means: its position, its alias, or the same
/// expression.
fn find_item(parsed: &Parsed, expr: &Expr, text: &str, items: &[Item]) -> Option<usize> {
    if let Expr::Value(value) = expr
        && let Value::Number(number, _) = &value.value
    {
        let position: usize = number.parse().ok()?;
        return position.checked_sub(1).filter(|index| *index < items.len());
    }
    if let Expr::Identifier(ident) = expr {
        let by_alias = parsed.select.projection.iter().position(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                alias.value.eq_ignore_ascii_case(&ident.value)
            }
            _ => false,
        });
        if by_alias.is_some() {
            return by_alias;
        }
    }
    same_expression(parsed, text, items)
}

fn same_expression(parsed: &Parsed, text: &str, items: &[Item]) -> Option<usize> {
    let qualifier = parsed.alias.as_deref().unwrap_or(&parsed.table);
    let wanted = spelling(text, qualifier);
    items.iter().position(|item| {
        item.what != What::Wildcard && spelling(&item.expression, qualifier) == wanted
    })
}

/// Whether a column of an ENUM or SET type is in the item.
fn has_enum(item: &SelectItem, table: &LogicalTable) -> bool {
    let is_enum = |name: &str| {
        table.def.column(name).is_some_and(|column| {
            matches!(
                column.kind,
                ColumnType::Enum { .. } | ColumnType::Set { .. }
            )
        })
    };
    visit_expressions(item, |part| {
        let name = match part {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match name {
            Some(ident) if is_enum(&ident.value) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })
    .is_break()
}

fn is_position(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

/// An expression that is fetched beside the items stands in the select list, where no alias is
/// known. A column comes before an alias of the same name there as well as in ORDER BY.
fn refuse_aliases_inside(
    parsed: &Parsed,
    table: &LogicalTable,
    expr: &Expr,
    text: &str,
) -> Result<(), Refusal> {
    let is_alias = |name: &str| {
        table.def.column(name).is_none()
            && parsed.select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. }
                    if alias.value.eq_ignore_ascii_case(name))
            })
    };
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(ident) if is_alias(&ident.value) => {
            ControlFlow::Break(ident.value.clone())
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(alias) => Err(Refusal::Inexact(format!(
            "`{text}`: the alias `{alias}` inside an expression is not answered; write what it \
             stands for"
        ))),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn order(
    parsed: &Parsed,
    table: &LogicalTable,
    items: &[Item],
    grouped: bool,
    extra: &mut Vec<String>,
) -> Result<Vec<Order>, Refusal> {
    let Some(order_by) = &parsed.query.order_by else {
        return Ok(Vec::new());
    };
    let OrderByKind::Expressions(list) = &order_by.kind else {
        return Ok(Vec::new());
    };
    if list.len() != parsed.pieces.order_by.len() {
        return Err(Refusal::Syntax {
            message: "ORDER BY could not be told apart".to_owned(),
        });
    }
    let has_wildcard = items.iter().any(|item| item.what == What::Wildcard);
    list.iter()
        .zip(&parsed.pieces.order_by)
        .map(|(entry, range)| {
            if entry.options.nulls_first.is_some() {
                return Err(Refusal::Inexact(
                    "NULLS FIRST and LAST are not MySQL".to_owned(),
                ));
            }
            let text = &parsed.sql[range.clone()];
            let is_position = is_position(&entry.expr);
            if is_position && has_wildcard {
                return Err(Refusal::Inexact(
                    "ORDER BY a position behind * is not answered; name the column".to_owned(),
                ));
            }
            let descending = matches!(entry.options.sort, Some(OrderBySort::Desc));
            let key = match find_item(parsed, &entry.expr, text, items) {
                Some(index) => OrderKey::Item(index),
                None if is_position => {
                    return Err(Refusal::Unknown(format!(
                        "there is no column {text} to order by"
                    )));
                }
                None => {
                    let qualifier = parsed.alias.as_deref().unwrap_or(&parsed.table);
                    let same = extra
                        .iter()
                        .position(|known| spelling(known, qualifier) == spelling(text, qualifier));
                    match same {
                        Some(index) => OrderKey::Extra(index),
                        None if grouped => {
                            return Err(Refusal::Inexact(format!(
                                "ORDER BY {text}: select it, or group by it"
                            )));
                        }
                        None => {
                            refuse_aliases_inside(parsed, table, &entry.expr, text)?;
                            extra.push(text.to_owned());
                            OrderKey::Extra(extra.len() - 1)
                        }
                    }
                }
            };
            if let OrderKey::Item(index) = key
                && matches!(items[index].what, What::Aggregate { function, .. }
                    if matches!(function, Function1::Min | Function1::Max))
                && parsed
                    .select
                    .projection
                    .get(index)
                    .is_some_and(|item| has_enum(item, table))
            {
                return Err(Refusal::Inexact(format!(
                    "ORDER BY {text}: the servers find the least and the greatest ENUM or SET by \
                     its text, and order them by number"
                )));
            }
            Ok(Order {
                key,
                descending,
                text: text.to_owned(),
            })
        })
        .collect()
}

fn limit(parsed: &Parsed) -> Result<(Option<u64>, u64), Refusal> {
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse::<u64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let bad = || Refusal::Syntax {
        message: "LIMIT takes whole numbers".to_owned(),
    };
    match &parsed.query.limit_clause {
        None => Ok((None, 0)),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => Ok((
            Some(number(limit).ok_or_else(bad)?),
            number(offset).ok_or_else(bad)?,
        )),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) => {
            if !limit_by.is_empty() {
                return Err(bad());
            }
            let limit = limit
                .as_ref()
                .map(|limit| number(limit).ok_or_else(bad))
                .transpose()?;
            let offset = match offset {
                Some(offset) => number(&offset.value).ok_or_else(bad)?,
                None => 0,
            };
            Ok((limit, offset))
        }
    }
}

/// How a key is fetched so that it can be compared.
fn comparable(
    expression: &str,
    column: &Column,
    ordering: bool,
) -> Result<(String, Kind), Refusal> {
    let refuse = |why: &str| Err(Refusal::Inexact(format!("`{expression}` {why}")));
    Ok(match column.kind {
        Kind::Text => match column.padding {
            Padding::No => (format!("WEIGHT_STRING({expression})"), Kind::Binary),
            Padding::Sorted(filling) => (
                format!("WEIGHT_STRING({expression})"),
                Kind::Weights(filling),
            ),
            Padding::Space(filling) => (
                format!("WEIGHT_STRING(RTRIM({expression}))"),
                Kind::Weights(filling),
            ),
            Padding::Levels => {
                return refuse(
                    "has a collation of several levels that takes no count of trailing spaces; \
                     its weights cannot be compared over shards",
                );
            }
        },
        Kind::Enum => (format!("({expression}) + 0"), Kind::Enum),
        // As bytes on one server, and as digits where MariaDB computed it: MIN(bit).
        Kind::Bit => (format!("({expression}) + 0"), Kind::Decimal),
        // The text of a FLOAT is rounded, and that of a DOUBLE(10,2) or of a sum of such is as
        // well; computed with a constant that has no fixed digits it is exact.
        Kind::Float | Kind::Double if ordering => (format!("({expression}) + 0e0"), Kind::Double),
        Kind::Float | Kind::Double => {
            return refuse("is a floating point number; equal ones cannot be told over shards");
        }
        Kind::Json | Kind::Other => {
            return refuse("has a type that cannot be ordered or grouped over shards");
        }
        kind => (expression.to_owned(), kind),
    })
}

impl Scatter {
    /// Whether a text is grouped or ordered by, so that its collation must be known.
    pub fn compares_text(&self, probed: &[Column]) -> bool {
        let text = |column: &Column| column.kind == Kind::Text;
        match self.shape {
            Shape::Rows if self.order.is_empty() => false,
            // Behind a wildcard items are not counted; one column too many does no harm.
            Shape::Rows | Shape::Grouped => probed.iter().any(text),
        }
    }

    /// Gives the columns of the probe what [`Scatter::collations`] told of them.
    pub fn know_paddings(&self, probed: &mut [Column], paddings: &[Padding]) {
        let first = match self.wildcard {
            true => probed.len().saturating_sub(self.extra.len()),
            false => 0,
        };
        for (column, padding) in probed.iter_mut().skip(first).zip(paddings) {
            column.padding = *padding;
        }
    }

    /// A statement of one row with the collation of each column of the probe, in order; of those
    /// behind a wildcard, which has an unknown number of them, only. It has its row in an empty
    /// table as well.
    pub fn collations(&self) -> Template {
        let items = self.items.iter().map(|item| &item.expression);
        let known = items.filter(|_| !self.wildcard).chain(&self.extra);
        let list: Vec<String> = known.map(|text| format!("COLLATION({text})")).collect();
        // A row of its own, so that there is a statement where there is nothing to ask.
        let list = match list.is_empty() {
            true => "'binary'".to_owned(),
            false => list.join(", "),
        };
        Template {
            before: format!(
                "SELECT {list} FROM (SELECT 1 AS _shardctl_one) AS _shardctl LEFT JOIN "
            ),
            after: format!(" AS {} ON FALSE", self.qualifier),
        }
    }

    /// The second step: with the columns of the probe, what is asked and how it is merged.
    ///
    /// # Errors
    /// A key or an aggregate of these kinds cannot be merged exactly.
    pub fn finish(&self, probed: &[Column]) -> Result<Scattered, Refusal> {
        let visible = probed.len().checked_sub(self.extra.len()).ok_or_else(|| {
            Refusal::Inexact("the server gave fewer columns than were asked for".to_owned())
        })?;
        match self.shape {
            Shape::Rows => self.finish_rows(probed, visible),
            Shape::Grouped => self.finish_grouped(probed, visible),
        }
    }

    fn column_of<'a>(&self, key: OrderKey, probed: &'a [Column], visible: usize) -> &'a Column {
        match key {
            OrderKey::Item(index) => &probed[index],
            OrderKey::Extra(index) => &probed[visible + index],
        }
    }

    fn expression_of(&self, key: OrderKey) -> &str {
        match key {
            OrderKey::Item(index) => &self.items[index].expression,
            OrderKey::Extra(index) => &self.extra[index],
        }
    }

    fn finish_rows(&self, probed: &[Column], visible: usize) -> Result<Scattered, Refusal> {
        // Behind a wildcard an item's number is not its column's.
        let place = |key: OrderKey| match key {
            OrderKey::Item(_) if self.wildcard => None,
            key => Some(self.column_of(key, probed, visible)),
        };
        let mut list: Vec<String> = self.items.iter().map(|item| item.text.clone()).collect();
        let mut keys = Vec::new();
        let mut order = Vec::new();
        for entry in &self.order {
            let expression = self.expression_of(entry.key);
            let column = place(entry.key).ok_or_else(|| {
                Refusal::Inexact(
                    "ORDER BY an alias beside * is not answered; name the columns".to_owned(),
                )
            })?;
            let (text, kind) = comparable(expression, column, true)?;
            // Named apart, so that no name in ORDER BY can mean it.
            list.push(format!("{text} AS _shardctl_key_{}", keys.len()));
            keys.push(Key {
                cell: visible + keys.len(),
                kind,
                descending: entry.descending,
            });
            order.push(format!(
                "{}{}",
                entry.text,
                if entry.descending { " DESC" } else { "" }
            ));
        }
        let mut tail = String::new();
        if !order.is_empty() {
            tail.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        if let Some(limit) = self.limit {
            tail.push_str(&format!(" LIMIT {}", limit.saturating_add(self.offset)));
        }
        Ok(Scattered {
            statement: self.statement(&list, &tail),
            merge: Merge::Rows {
                keys,
                visible,
                limit: self.limit,
                offset: self.offset,
            },
            columns: probed[..visible].to_vec(),
        })
    }

    fn statement(&self, list: &[String], tail: &str) -> Template {
        Template {
            before: format!(
                "SELECT{} {} {}",
                self.modifiers,
                list.join(", "),
                self.body.0
            ),
            after: format!("{}{tail}", self.body.1),
        }
    }

    fn finish_grouped(&self, probed: &[Column], visible: usize) -> Result<Scattered, Refusal> {
        let mut list: Vec<String> = Vec::new();
        let mut group = Vec::new();
        let mut key_cells = Vec::new();
        let mut outputs = Vec::new();
        // Each plain item and each further expression: its value and its comparable form.
        let mut group_cells = vec![None; self.items.len() + self.extra.len()];
        let plain = self
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.what == What::Plain)
            .map(|(index, item)| (index, item.expression.as_str(), &probed[index]));
        let further = self.extra.iter().enumerate().map(|(index, text)| {
            (
                self.items.len() + index,
                text.as_str(),
                &probed[visible + index],
            )
        });
        for (number, expression, column) in plain.chain(further) {
            let (text, kind) = comparable(expression, column, false)?;
            let value = list.len();
            list.push(expression.to_owned());
            // By position: a constant would be taken for one.
            group.push(list.len().to_string());
            let cell = if text == expression {
                value
            } else {
                list.push(text);
                list.len() - 1
            };
            key_cells.push((cell, kind));
            group_cells[number] = Some((value, cell, kind));
        }
        let mut sources = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let column = &probed[index];
            match &item.what {
                What::Plain | What::Wildcard => {
                    let (value, ..) = group_cells[index].unwrap_or((0, 0, Kind::Other));
                    outputs.push(Output::Group { cell: value });
                }
                What::Aggregate { function, argument } => {
                    let source = self.aggregate(*function, argument, column, &mut list)?;
                    outputs.push(Output::Aggregate {
                        index: sources.len(),
                    });
                    sources.push(source);
                }
            }
        }
        let keys = self
            .order
            .iter()
            .map(|entry| {
                let (source, kind) = match entry.key {
                    OrderKey::Item(index) => match &outputs[index] {
                        Output::Group { .. } => {
                            let (_, cell, kind) = group_cells[index].unwrap_or((0, 0, Kind::Other));
                            (Source::Group { cell }, kind)
                        }
                        Output::Aggregate { index: number } => {
                            let kind = match probed[index].kind {
                                // Compared by the weights that were fetched beside it.
                                Kind::Text => Kind::Binary,
                                kind => kind,
                            };
                            (Source::Aggregate { index: *number }, kind)
                        }
                    },
                    OrderKey::Extra(index) => {
                        let (_, cell, kind) =
                            group_cells[self.items.len() + index].unwrap_or((0, 0, Kind::Other));
                        (Source::Group { cell }, kind)
                    }
                };
                (source, kind, entry.descending)
            })
            .collect();
        let tail = match group.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", group.join(", ")),
        };
        Ok(Scattered {
            statement: self.statement(&list, &tail),
            merge: Merge::Grouped {
                one_group: group.is_empty(),
                keys: key_cells,
                aggregates: sources,
                outputs,
                order: keys,
                limit: self.limit,
                offset: self.offset,
            },
            columns: probed[..visible].to_vec(),
        })
    }

    /// What the shards compute for an aggregate, and how the parts become one.
    fn aggregate(
        &self,
        function: Function1,
        argument: &str,
        column: &Column,
        list: &mut Vec<String>,
    ) -> Result<Aggregate, Refusal> {
        let mut fetch = |text: String| {
            list.push(text);
            list.len() - 1
        };
        let exact = |name: &str| match column.kind {
            // MariaDB keeps digits of a quotient that a shard's part no longer has.
            _ if argument.contains('/') => Err(Refusal::Inexact(format!(
                "{name}({argument}) adds quotients, whose hidden digits a shard's part loses"
            ))),
            Kind::Integer | Kind::Decimal => Ok(()),
            _ => Err(Refusal::Inexact(format!(
                "{name}({argument}) adds floating point numbers, whose sum depends on their order"
            ))),
        };
        Ok(match function {
            Function1::Count => Aggregate::Sum {
                cell: fetch(format!("COUNT({argument})")),
                scale: 0,
                empty_is_zero: true,
            },
            Function1::Sum => {
                exact("SUM")?;
                Aggregate::Sum {
                    cell: fetch(format!("SUM({argument})")),
                    scale: column.scale,
                    empty_is_zero: false,
                }
            }
            Function1::Avg => {
                exact("AVG")?;
                Aggregate::Average {
                    sum: fetch(format!("SUM({argument})")),
                    count: fetch(format!("COUNT({argument})")),
                    scale: column.scale,
                }
            }
            Function1::Min | Function1::Max => {
                let name = if function == Function1::Min {
                    "MIN"
                } else {
                    "MAX"
                };
                let call = format!("{name}({argument})");
                let (compared, kind) = match column.kind {
                    Kind::Enum => {
                        return Err(Refusal::Inexact(format!(
                            "{call} of an ENUM or SET over shards is not answered yet"
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
                    greatest: function == Function1::Max,
                }
            }
        })
    }
}
