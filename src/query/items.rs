//! The select list, and what the names in the other clauses mean.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Expr, Function, OrderByExpr, OrderByKind, Query, SelectItem, Value, Visit, Visitor, WindowType,
    visit_expressions,
};
use sqlparser::tokenizer::Token;

use super::Refusal;
use super::functions::{Nature, nature};
use super::parse::{Parsed, Plain};
use super::tables::Reads;
use crate::schema::ColumnType;

/// A statement that is one SELECT, with its tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a> {
    pub parsed: &'a Parsed,
    pub plain: &'a Plain,
    pub reads: &'a Reads<'a>,
}

/// An item of the select list.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The item as written, its alias included, with holes for tables.
    pub text: String,
    /// The expression alone; nothing for a wildcard.
    pub part: Option<Part>,
    /// The alias.
    pub alias: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// No aggregate is in it.
    Plain,
    Wildcard,
    /// An aggregate and nothing else.
    Aggregate,
    /// An expression over aggregates.
    Computed,
}

/// An expression of the statement.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub expr: Expr,
    pub range: Range<usize>,
    /// Its text, with holes for tables.
    pub text: String,
}

/// A name of a column or an alias: where it stands, and its parts.
pub(super) type Name = (Range<usize>, Vec<String>);

/// A call of an aggregate, not inside of a subquery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawCall {
    /// In small letters.
    pub name: String,
    pub range: Range<usize>,
    /// What stands between the parentheses.
    pub inside: Range<usize>,
    /// Whether it is a window function.
    pub window: bool,
}

impl Cut<'_> {
    pub fn text(&self, range: &Range<usize>) -> String {
        self.reads.text(self.parsed, range)
    }

    fn part(&self, expr: &Expr, range: &Range<usize>) -> Part {
        Part {
            expr: expr.clone(),
            range: range.clone(),
            text: self.text(range),
        }
    }

    /// The items of the select list with what each is.
    pub fn items(&self) -> Result<Vec<Item>, Refusal> {
        let list = &self.plain.select.projection;
        let pieces = &self.plain.pieces;
        if list.len() != pieces.items.len() {
            return Err(Refusal::Syntax {
                message: "the select list could not be told apart".to_owned(),
            });
        }
        list.iter()
            .zip(&pieces.items)
            .zip(&pieces.items_unaliased)
            .map(|((item, range), unaliased)| {
                let (part, alias) = match item {
                    SelectItem::UnnamedExpr(expr) => (Some(self.part(expr, range)), None),
                    SelectItem::ExprWithAlias { expr, alias } => {
                        (Some(self.part(expr, unaliased)), Some(alias.value.clone()))
                    }
                    SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => (None, None),
                    SelectItem::ExprWithAliases { .. } => {
                        return Err(Refusal::Inexact("several aliases are not MySQL".to_owned()));
                    }
                };
                let what = match &part {
                    None => What::Wildcard,
                    Some(part) => {
                        let calls = self.calls(&part.range);
                        match calls.iter().find(|call| !call.window) {
                            None => What::Plain,
                            Some(call) if call.range == part.range => What::Aggregate,
                            Some(_) => What::Computed,
                        }
                    }
                };
                Ok(Item {
                    text: match alias {
                        None if part.is_some() => self.reads.named(self.parsed, range),
                        _ => self.text(range),
                    },
                    part,
                    alias,
                    what,
                })
            })
            .collect()
    }

    /// The condition of HAVING.
    pub fn having(&self) -> Option<Part> {
        let condition = self.plain.select.having.as_ref()?;
        let range = self.plain.pieces.having.as_ref()?;
        Some(self.part(condition, range))
    }

    /// The expressions of GROUP BY as they are written.
    pub fn group_by(&self, list: &[Expr]) -> Result<Vec<Part>, Refusal> {
        let ranges = &self.plain.pieces.group_by;
        if list.len() != ranges.len() {
            return Err(Refusal::Syntax {
                message: "GROUP BY could not be told apart".to_owned(),
            });
        }
        Ok(list
            .iter()
            .zip(ranges)
            .map(|(expr, range)| self.part(expr, range))
            .collect())
    }

    /// The entries of ORDER BY as they are written, without their directions.
    pub fn order_by(&self) -> Result<Vec<(&OrderByExpr, Part)>, Refusal> {
        let Some(order_by) = &self.parsed.query.order_by else {
            return Ok(Vec::new());
        };
        let OrderByKind::Expressions(list) = &order_by.kind else {
            return Ok(Vec::new());
        };
        let ranges = &self.plain.pieces.order_by;
        if list.len() != ranges.len() {
            return Err(Refusal::Syntax {
                message: "ORDER BY could not be told apart".to_owned(),
            });
        }
        list.iter()
            .zip(ranges)
            .map(|(entry, range)| {
                if entry.options.nulls_first.is_some() {
                    return Err(Refusal::Inexact(
                        "NULLS FIRST and LAST are not MySQL".to_owned(),
                    ));
                }
                Ok((entry, self.part(&entry.expr, range)))
            })
            .collect()
    }

    /// The calls of aggregates in a piece of the text. Those of subqueries are their own.
    pub fn calls(&self, range: &Range<usize>) -> Vec<RawCall> {
        let tokens = self.parsed.tokens_of(range);
        let mut calls = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let opens = |at: usize| matches!(tokens.get(at), Some((Token::LParen, _)));
            let close = |open: usize| {
                let mut depth = 0;
                for (index, (token, _)) in tokens.iter().enumerate().skip(open) {
                    match token {
                        Token::LParen => depth += 1,
                        Token::RParen => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        return index;
                    }
                }
                tokens.len() - 1
            };
            let word = |at: usize| match tokens.get(at) {
                Some((Token::Word(word), _)) if word.quote_style.is_none() => {
                    Some(word.value.to_ascii_lowercase())
                }
                _ => None,
            };
            if opens(at) && word(at + 1).is_some_and(|word| word == "select" || word == "with") {
                at = close(at) + 1;
                continue;
            }
            let follows_point = at
                .checked_sub(1)
                .is_some_and(|before| matches!(tokens[before].0, Token::Period));
            if let Some(name) = word(at)
                && opens(at + 1)
                && !follows_point
                && matches!(nature(&name), Some(Nature::Aggregate | Nature::Window))
            {
                let end = close(at + 1);
                let window = word(end + 1).is_some_and(|word| word == "over");
                calls.push(RawCall {
                    name,
                    range: tokens[at].1.start..tokens[end].1.end,
                    inside: tokens[at + 1].1.end..tokens[end].1.start,
                    window,
                });
                at = end + 1;
                continue;
            }
            at += 1;
        }
        calls
    }

    /// One spelling of an expression, so that two that are the same are told.
    pub fn canonical(&self, part: &Part) -> String {
        self.canonical_of(&part.expr, &part.text)
    }

    pub fn canonical_of(&self, expr: &Expr, text: &str) -> String {
        if let Some((used, column)) = self.reads.use_of(expr)
            && used.table.def.column(&column).is_some()
        {
            return format!("column {} of {}", column.to_lowercase(), used.range.start);
        }
        let mut top = self.reads.top();
        let only = match (top.next(), top.next()) {
            (Some(used), None) => used.qualifier.as_str(),
            _ => "",
        };
        spelling(text, only)
    }

    /// Whether it is a column. In GROUP BY a column comes before an alias of the same name, unlike
    /// in ORDER BY.
    pub fn is_own_column(&self, part: &Part) -> bool {
        matches!(&part.expr, Expr::Identifier(ident) if self.reads.has_column(&ident.value))
    }

    /// The item that an expression of GROUP BY or ORDER BY means: its position, its alias, or the
    /// same expression.
    pub fn find_item(&self, part: &Part, items: &[Item]) -> Option<usize> {
        if let Expr::Value(value) = &part.expr
            && let Value::Number(number, _) = &value.value
        {
            let position: usize = number.parse().ok()?;
            return position.checked_sub(1).filter(|index| *index < items.len());
        }
        if let Expr::Identifier(ident) = &part.expr {
            let by_alias = aliased(items, &ident.value);
            if by_alias.is_some() {
                return by_alias;
            }
        }
        self.same_expression(part, items)
    }

    pub fn same_expression(&self, part: &Part, items: &[Item]) -> Option<usize> {
        let wanted = self.canonical(part);
        items.iter().position(|item| {
            item.part
                .as_ref()
                .is_some_and(|part| self.canonical(part) == wanted)
        })
    }

    /// The text of an expression for the select list, where no alias is known: what an alias
    /// stands for is put in its place. A column comes before an alias of the same name.
    pub fn without_aliases(&self, part: &Part, items: &[Item]) -> Result<String, Refusal> {
        let mut text = String::new();
        let mut at = part.range.start;
        for (range, ident) in self.names(part)? {
            let [name] = ident.as_slice() else { continue };
            if self.reads.has_column(name) {
                continue;
            }
            let Some(item) = aliased(items, name).and_then(|index| items[index].part.as_ref())
            else {
                continue;
            };
            text.push_str(&self.text(&(at..range.start)));
            text.push_str(&format!("({})", item.text));
            at = range.end;
        }
        text.push_str(&self.text(&(at..part.range.end)));
        Ok(text)
    }

    /// The names of columns and aliases in an expression, with where they stand, in the order of
    /// the text; those in subqueries are not among them.
    pub fn names(&self, part: &Part) -> Result<Vec<Name>, Refusal> {
        struct Collect {
            depth: usize,
            names: Vec<Vec<sqlparser::ast::Ident>>,
        }
        impl Visitor for Collect {
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
                match expr {
                    Expr::Identifier(ident) if self.depth == 0 => {
                        self.names.push(vec![ident.clone()]);
                    }
                    Expr::CompoundIdentifier(parts) if self.depth == 0 => {
                        self.names.push(parts.clone());
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            }
        }
        let mut collect = Collect {
            depth: 0,
            names: Vec::new(),
        };
        let _ = part.expr.visit(&mut collect);
        let mut names = collect
            .names
            .into_iter()
            .map(|idents| {
                let first = idents.first().and_then(|ident| self.parsed.range(ident));
                let last = idents.last().and_then(|ident| self.parsed.range(ident));
                let range = first
                    .zip(last)
                    .map(|(first, last)| first.start..last.end)
                    .filter(|range| part.range.start <= range.start && range.end <= part.range.end)
                    .ok_or_else(|| {
                        Refusal::Inexact(format!("the names in `{}` cannot be told", part.text))
                    })?;
                Ok((range, idents.into_iter().map(|ident| ident.value).collect()))
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        names.sort_by_key(|(range, _): &Name| range.start);
        Ok(names)
    }

    /// Whether every column outside of aggregates is one of the group's, or hangs on them: its
    /// table's primary key is among them.
    pub fn hangs_on(&self, part: &Part, group: &[Part], items: &[Item]) -> bool {
        let canon: BTreeSet<String> = group.iter().map(|part| self.canonical(part)).collect();
        let whole: Vec<usize> = self
            .reads
            .top()
            .filter(|used| {
                let key = &used.table.def.primary_key;
                !key.is_empty()
                    && key.iter().all(|column| {
                        column.prefix.is_none()
                            && group.iter().any(|part| {
                                self.reads.use_of(&part.expr).is_some_and(|(other, name)| {
                                    other.range == used.range
                                        && column.column.eq_ignore_ascii_case(&name)
                                })
                            })
                    })
            })
            .map(|used| used.range.start)
            .collect();
        self.hangs(part, &canon, &whole, items, 0)
    }

    fn hangs(
        &self,
        part: &Part,
        canon: &BTreeSet<String>,
        whole: &[usize],
        items: &[Item],
        depth: usize,
    ) -> bool {
        if canon.contains(&self.canonical(part)) {
            return true;
        }
        let calls = self.calls(&part.range);
        let Ok(names) = self.names(part) else {
            return false;
        };
        names.into_iter().all(|(range, name)| {
            if calls
                .iter()
                .any(|call| call.range.start <= range.start && range.end <= call.range.end)
            {
                return true;
            }
            let expr = match name.as_slice() {
                [column] => Expr::Identifier(sqlparser::ast::Ident::new(column)),
                [table, column] => Expr::CompoundIdentifier(vec![
                    sqlparser::ast::Ident::new(table),
                    sqlparser::ast::Ident::new(column),
                ]),
                _ => return false,
            };
            if canon.contains(&self.canonical_of(&expr, &self.text(&range))) {
                return true;
            }
            if let Some((used, _)) = self.reads.use_of(&expr) {
                return whole.contains(&used.range.start);
            }
            // An alias is as its item is.
            let item = match name.as_slice() {
                [alias] => aliased(items, alias).and_then(|index| items[index].part.as_ref()),
                _ => None,
            };
            item.is_some_and(|item| depth < 8 && self.hangs(item, canon, whole, items, depth + 1))
        })
    }

    /// Whether a column of an ENUM or SET type is in the expression.
    pub fn has_enum(&self, expr: &Expr) -> bool {
        visit_expressions(expr, |part| {
            let is_enum = self.reads.use_of(part).is_some_and(|(used, name)| {
                used.table.def.column(&name).is_some_and(|column| {
                    matches!(
                        column.kind,
                        ColumnType::Enum { .. } | ColumnType::Set { .. }
                    )
                })
            });
            match is_enum {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .is_break()
    }

    /// Whether the rows of each window are of one place: it is partitioned by the shard key.
    pub fn windows_keep_places(&self) -> bool {
        fn fixes(cut: &Cut<'_>, call: &Function) -> bool {
            match &call.over {
                None => true,
                Some(WindowType::NamedWindow(_)) => false,
                Some(WindowType::WindowSpec(window)) => {
                    let columns: Vec<&Expr> = window.partition_by.iter().collect();
                    window.window_name.is_none() && cut.reads.fix_place(&columns)
                }
            }
        }
        visit_expressions(&self.parsed.query, |expr| match expr {
            Expr::Function(call) if !fixes(self, call) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_continue()
    }
}

/// The item of this alias.
pub(super) fn aliased(items: &[Item], name: &str) -> Option<usize> {
    items.iter().position(|item| {
        item.alias
            .as_ref()
            .is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    })
}

pub(super) fn is_position(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

/// One spelling of an expression: spaces, case of unquoted words, backticks and the table's
/// qualifier do not count.
pub(super) fn spelling(text: &str, qualifier: &str) -> String {
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
            if !qualifier.is_empty()
                && column
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '_' || c == '$') =>
        {
            column.to_owned()
        }
        _ => out,
    }
}
