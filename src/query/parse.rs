//! Text to a statement that only reads: its syntax tree, its tokens, and, where it is one SELECT, the
//! pieces of its text.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SetExpr, Statement, Visit,
    Visitor,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::Refusal;
use super::dialect::Mysql;
use super::functions::{Nature, nature};

/// A statement that only reads.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The text, without a trailing semicolon.
    pub sql: String,
    /// The tree of the whole.
    pub query: Query,
    /// Each function called, with what it is.
    pub functions: Vec<(String, Nature)>,
    /// The tokens that count, with their byte ranges.
    pub tokens: Vec<(Token, Range<usize>)>,
    /// Whether there is a window function.
    pub windows: bool,
    /// The parts of a statement that is one SELECT; or why its parts cannot be told, which no
    /// matter where one shard has the whole answer.
    pub plain: Result<Plain, Refusal>,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

/// A statement that is one SELECT.
#[derive(Debug, Clone)]
pub struct Plain {
    /// Its tree.
    pub select: Select,
    /// Where its pieces stand in the text.
    pub pieces: Pieces,
}

/// Byte ranges of the clauses, keywords not included.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    /// An optimizer hint behind SELECT, which is written as a comment.
    pub hint: Option<String>,
    /// The words between SELECT and the first item, in capitals: DISTINCT and other modifiers.
    pub modifiers: Vec<String>,
    /// Each item of the select list.
    pub items: Vec<Range<usize>>,
    /// The same, as if their last word were an alias, with or without AS before it.
    pub items_unaliased: Vec<Range<usize>>,
    /// Where FROM starts.
    pub from: usize,
    /// The tables and joins of FROM.
    pub tables: Range<usize>,
    /// The end of everything before GROUP BY, HAVING, ORDER BY and LIMIT.
    pub body_end: usize,
    /// Each expression of GROUP BY.
    pub group_by: Vec<Range<usize>>,
    /// The condition of HAVING.
    pub having: Option<Range<usize>>,
    /// Each expression of ORDER BY, its direction not included.
    pub order_by: Vec<Range<usize>>,
}

impl Parsed {
    /// Where a name of the tree stands in the text; `None` where the tree does not say.
    pub fn range(&self, ident: &Ident) -> Option<Range<usize>> {
        if ident.span.start.line == 0 {
            return None;
        }
        let range = offset(&self.sql, &self.lines, ident.span.start)
            ..offset(&self.sql, &self.lines, ident.span.end);
        // Never trusted blindly: what stands there must be the name.
        let text = self.sql.get(range.clone())?;
        let bare = text.trim_matches(['`', '"', '\'']);
        (bare == ident.value || text.contains("``")).then_some(range)
    }

    /// The tokens of a piece of the text.
    pub fn tokens_of(&self, range: &Range<usize>) -> &[(Token, Range<usize>)] {
        let first = self
            .tokens
            .partition_point(|(_, token)| token.start < range.start);
        let last = self
            .tokens
            .partition_point(|(_, token)| token.end <= range.end);
        self.tokens.get(first..last).unwrap_or_default()
    }
}

/// Reads a statement.
///
/// # Errors
/// It is not one statement that only reads.
pub fn parse(sql: &str) -> Result<Parsed, Refusal> {
    let sql = admitted(sql)?;
    let dialect = Mysql::default();
    let syntax = |message: String| Refusal::Syntax {
        message: message.trim_start_matches("sql parser error: ").to_owned(),
    };
    let statements = Parser::new(&dialect)
        .with_options(ParserOptions::new().with_unescape(false))
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|fault| syntax(fault.to_string()))?;
    let query = match statements.as_slice() {
        [Statement::Query(query)] => (**query).clone(),
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
    let (functions, windows) = functions(&query)?;
    let all_tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|fault| syntax(fault.to_string()))?;
    refuse_settings(&all_tokens)?;
    let lines = line_starts(sql);
    let tokens = significant(sql, &lines, &all_tokens);
    let plain = plain(sql, &all_tokens, &tokens, &query);
    Ok(Parsed {
        sql: sql.to_owned(),
        query,
        functions,
        tokens,
        windows,
        plain,
        lines,
    })
}

/// The statement's text without its end, where it may be parsed at all: what a server might run and
/// the parser takes for a comment is refused before anyone looks at the rest.
pub(super) fn admitted(sql: &str) -> Result<&str, Refusal> {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    if sql.is_empty() {
        return Err(Refusal::Syntax {
            message: "the statement is empty".to_owned(),
        });
    }
    refuse_shown(sql)?;
    if sql.contains("/*!") || sql.contains("/*M!") {
        return Err(Refusal::Unsafe(
            "version comments are code on some servers only; write the statement without them"
                .to_owned(),
        ));
    }
    Ok(sql)
}

/// What SHOW tells is of one server, but for what is told of the tables, which the topology knows
/// and which is answered from it.
fn refuse_shown(sql: &str) -> Result<(), Refusal> {
    let first = sql.split_whitespace().next().unwrap_or_default();
    match ["SHOW", "DESCRIBE", "DESC"]
        .iter()
        .find(|word| word.eq_ignore_ascii_case(first))
    {
        None => Ok(()),
        Some(_) => Err(Refusal::Inexact(
            "of what the servers show, that of the tables is answered: SHOW TABLES, SHOW COLUMNS \
             FROM t, DESCRIBE t and SHOW CREATE TABLE t, without LIKE and WHERE; the rest is one \
             server's own"
                .to_owned(),
        )),
    }
}

/// Optimizer hints can change the session's settings, which the tool has set: the timeout, or the
/// number of rows that each shard gives.
pub(super) fn refuse_settings(tokens: &[TokenWithSpan]) -> Result<(), Refusal> {
    let changes = tokens.iter().any(|token| match &token.token {
        Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.starts_with('+') => {
            let hint = comment.to_ascii_uppercase();
            hint.contains("SET_VAR") || hint.contains("MAX_EXECUTION_TIME")
        }
        _ => false,
    });
    if changes {
        return Err(Refusal::Unsafe(
            "the hints SET_VAR and MAX_EXECUTION_TIME are refused: they change the session's \
             settings; give a time with --timeout"
                .to_owned(),
        ));
    }
    Ok(())
}

fn plain(
    sql: &str,
    all: &[TokenWithSpan],
    tokens: &[(Token, Range<usize>)],
    query: &Query,
) -> Result<Plain, Refusal> {
    let inexact = |what: &str| Err(Refusal::Inexact(what.to_owned()));
    let SetExpr::Select(select) = query.body.as_ref() else {
        return inexact("UNION, EXCEPT, INTERSECT and VALUES over shards are not merged");
    };
    if query.with.is_some() {
        return inexact("WITH over shards is not merged");
    }
    if query.fetch.is_some() || query.for_clause.is_some() || query.format_clause.is_some() {
        return inexact("the statement has a clause that the servers do not have");
    }
    if !select.named_window.is_empty() || select.qualify.is_some() {
        return inexact("named windows over shards are not merged");
    }
    if matches!(&select.distinct, Some(Distinct::On(_))) {
        return inexact("DISTINCT ON is not MySQL");
    }
    match &select.group_by {
        GroupByExpr::Expressions(_, modifiers) if modifiers.is_empty() => {}
        _ => return inexact("GROUP BY ... WITH ROLLUP over shards is not merged"),
    }
    if let Some(order) = &query.order_by
        && !matches!(order.kind, OrderByKind::Expressions(_))
    {
        return inexact("ORDER BY ALL is not MySQL");
    }
    let line_comment = all.iter().any(|token| {
        matches!(
            token.token,
            Token::Whitespace(Whitespace::SingleLineComment { .. })
        )
    });
    if line_comment {
        return inexact("write the statement without -- and # comments");
    }
    Ok(Plain {
        select: (**select).clone(),
        pieces: pieces(sql, tokens)?,
    })
}

/// Walks the whole statement: what does more than read is refused, functions are gathered.
fn functions(query: &Query) -> Result<(Vec<(String, Nature)>, bool), Refusal> {
    struct Walk {
        functions: Vec<(String, Nature)>,
        windows: bool,
    }
    impl Visitor for Walk {
        type Break = Refusal;

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
            if !query.locks.is_empty() {
                return ControlFlow::Break(Refusal::Unsafe(
                    "locking reads are refused: FOR UPDATE, FOR SHARE".to_owned(),
                ));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
            if select.into.is_some() {
                return ControlFlow::Break(Refusal::Unsafe(
                    "INTO is refused: this tool reads".to_owned(),
                ));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
            match expr {
                Expr::Function(function) => {
                    let name = function.name.to_string();
                    self.windows |= function.over.is_some();
                    match nature(&name) {
                        Some(Nature::Forbidden) => {
                            return ControlFlow::Break(Refusal::Unsafe(format!(
                                "{name}() is refused: it sleeps, locks or reads files"
                            )));
                        }
                        Some(nature) => self.functions.push((name.to_ascii_lowercase(), nature)),
                        None => {
                            return ControlFlow::Break(Refusal::Unsafe(format!(
                                "the function {name}() is not known; it may be one of your own, \
                                 and do more than read"
                            )));
                        }
                    }
                }
                Expr::MatchAgainst { .. } => {
                    return ControlFlow::Break(Refusal::Inexact(
                        "MATCH ... AGAINST ranks by each table's own statistics; over shards it is \
                         not answered yet"
                            .to_owned(),
                    ));
                }
                // Functions without parentheses, which the parser takes for columns.
                Expr::Identifier(ident)
                    if ident.quote_style.is_none()
                        && ["current_user", "current_role"]
                            .contains(&ident.value.to_ascii_lowercase().as_str()) =>
                {
                    self.functions
                        .push((ident.value.to_ascii_lowercase(), Nature::Server));
                }
                Expr::Identifier(ident) if ident.value.starts_with('@') => {
                    return ControlFlow::Break(Refusal::Inexact(format!(
                        "`{}` is a variable, and each shard has its own",
                        ident.value
                    )));
                }
                Expr::CompoundIdentifier(parts)
                    if parts
                        .first()
                        .is_some_and(|part| part.value.starts_with('@')) =>
                {
                    return ControlFlow::Break(Refusal::Inexact(
                        "variables are refused: each shard has its own".to_owned(),
                    ));
                }
                Expr::CompoundIdentifier(parts) if parts.len() > 2 => {
                    return ControlFlow::Break(Refusal::Inexact(
                        "write columns without the schema's name".to_owned(),
                    ));
                }
                Expr::Value(value)
                    if matches!(value.value, sqlparser::ast::Value::Placeholder(_)) =>
                {
                    return ControlFlow::Break(Refusal::Syntax {
                        message: "there is a `?` without a value; give one with --param".to_owned(),
                    });
                }
                Expr::BinaryOp {
                    op: sqlparser::ast::BinaryOperator::Assignment,
                    ..
                } => {
                    return ControlFlow::Break(Refusal::Unsafe(
                        "assignments are refused: this tool reads".to_owned(),
                    ));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut walk = Walk {
        functions: Vec::new(),
        windows: false,
    };
    match query.visit(&mut walk) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok((walk.functions, walk.windows)),
    }
}

/// The tokens that count, with their byte ranges.
pub(super) fn significant(
    sql: &str,
    lines: &[usize],
    tokens: &[TokenWithSpan],
) -> Vec<(Token, Range<usize>)> {
    tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .map(|token| {
            let range = offset(sql, lines, token.span.start)..offset(sql, lines, token.span.end);
            (token.token.clone(), range)
        })
        .collect()
}

/// The byte at which each line starts.
pub(super) fn line_starts(sql: &str) -> Vec<usize> {
    let mut lines = vec![0];
    lines.extend(sql.match_indices('\n').map(|(at, _)| at + 1));
    lines
}

/// Locations count characters in a line; the text is cut by bytes.
pub(super) fn offset(sql: &str, lines: &[usize], location: Location) -> usize {
    let start = lines
        .get((location.line as usize).saturating_sub(1))
        .copied()
        .unwrap_or(sql.len());
    let column = (location.column as usize).saturating_sub(1);
    sql[start..]
        .char_indices()
        .nth(column)
        .map_or(sql.len(), |(at, _)| start + at)
}

/// The keyword that a token is, where it is no name in quotes.
pub fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

fn pieces(sql: &str, tokens: &[(Token, Range<usize>)]) -> Result<Pieces, Refusal> {
    let mut pieces = Pieces {
        body_end: sql.len(),
        ..Pieces::default()
    };
    let unsplit = || Refusal::Syntax {
        message: "the clauses of the statement could not be told apart".to_owned(),
    };
    let mut at = 0;
    if tokens.first().map(|(token, _)| keyword(token)) != Some(Some(Keyword::SELECT)) {
        return Err(Refusal::Inexact(
            "a SELECT in parentheses is not answered; write it without".to_owned(),
        ));
    }
    at += 1;
    let modifiers_start = tokens[0].1.end;
    let is_modifier = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_none() => {
            let text = word.value.to_ascii_uppercase();
            [
                "DISTINCT",
                "ALL",
                "DISTINCTROW",
                "HIGH_PRIORITY",
                "STRAIGHT_JOIN",
                "SQL_SMALL_RESULT",
                "SQL_BIG_RESULT",
                "SQL_BUFFER_RESULT",
                "SQL_NO_CACHE",
                "SQL_CACHE",
                "SQL_CALC_FOUND_ROWS",
            ]
            .contains(&text.as_str())
        }
        _ => false,
    };
    let behind = tokens.get(at).map_or(sql.len(), |(_, range)| range.start);
    pieces.hint = sql[modifiers_start..behind]
        .trim()
        .split_once("*/")
        .filter(|(hint, _)| hint.starts_with("/*+"))
        .map(|(hint, _)| format!("{hint}*/"));
    while let Some((token, _)) = tokens.get(at)
        && is_modifier(token)
    {
        pieces
            .modifiers
            .push(token.to_string().to_ascii_uppercase());
        at += 1;
    }

    // The select list.
    let (items, next) = list(tokens, at, &[Keyword::FROM]);
    pieces.items = items.iter().map(|item| item.whole.clone()).collect();
    pieces.items_unaliased = items.into_iter().map(|item| item.unaliased).collect();
    at = next;
    let Some((_, from)) = tokens.get(at) else {
        return Err(Refusal::Unknown("the statement names no table".to_owned()));
    };
    pieces.from = from.start;
    at += 1;

    // The tables, and then up to GROUP BY, HAVING, ORDER BY or LIMIT.
    let first = tokens.get(at).ok_or_else(unsplit)?.1.start;
    let ends = [
        Keyword::GROUP,
        Keyword::HAVING,
        Keyword::ORDER,
        Keyword::LIMIT,
        Keyword::PROCEDURE,
    ];
    let with_where: Vec<Keyword> = ends.iter().copied().chain([Keyword::WHERE]).collect();
    at = skip(tokens, at, &with_where);
    pieces.tables = first
        ..at.checked_sub(1)
            .and_then(|last| tokens.get(last))
            .ok_or_else(unsplit)?
            .1
            .end;
    at = skip(tokens, at, &ends);
    pieces.body_end = tokens.get(at).map_or(sql.len(), |(_, range)| range.start);
    if tokens.get(at).map(|(token, _)| keyword(token)) == Some(Some(Keyword::GROUP)) {
        let (items, next) = list(
            tokens,
            at + 2,
            &[
                Keyword::HAVING,
                Keyword::ORDER,
                Keyword::LIMIT,
                Keyword::WITH,
            ],
        );
        pieces.group_by = items.into_iter().map(|item| item.expression).collect();
        at = next;
    }
    at = skip(
        tokens,
        at,
        &[Keyword::HAVING, Keyword::ORDER, Keyword::LIMIT],
    );
    if tokens.get(at).map(|(token, _)| keyword(token)) == Some(Some(Keyword::HAVING)) {
        let start = tokens.get(at + 1).ok_or_else(unsplit)?.1.start;
        at = skip(tokens, at, &[Keyword::ORDER, Keyword::LIMIT]);
        pieces.having = Some(start..tokens[at - 1].1.end);
    }
    if tokens.get(at).map(|(token, _)| keyword(token)) == Some(Some(Keyword::ORDER)) {
        let (items, _) = list(tokens, at + 2, &[Keyword::LIMIT]);
        pieces.order_by = items.into_iter().map(|item| item.expression).collect();
    }
    Ok(pieces)
}

/// One entry of a comma list.
struct Entry {
    whole: Range<usize>,
    /// Without ASC or DESC behind it.
    expression: Range<usize>,
    /// Without its last word, and without AS before that.
    unaliased: Range<usize>,
}

/// The entries of a comma list that ends before one of these keywords, and the token it ends at.
fn list(tokens: &[(Token, Range<usize>)], start: usize, ends: &[Keyword]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut at = start;
    loop {
        let first = at;
        at = skip_to(tokens, at, ends, true);
        if let (Some((_, from)), true) = (tokens.get(first), at > first) {
            let direction = keyword(&tokens[at - 1].0)
                .is_some_and(|word| matches!(word, Keyword::ASC | Keyword::DESC));
            let last = if direction && at > first + 1 {
                at - 2
            } else {
                at - 1
            };
            let named = match at.checked_sub(2).map(|before| keyword(&tokens[before].0)) {
                Some(Some(Keyword::AS)) => 3,
                _ => 2,
            };
            let unaliased = at.saturating_sub(named).max(first);
            entries.push(Entry {
                whole: from.start..tokens[at - 1].1.end,
                unaliased: from.start..tokens[unaliased].1.end,
                expression: from.start..tokens[last].1.end,
            });
        }
        if matches!(tokens.get(at), Some((Token::Comma, _))) {
            at += 1;
        } else {
            return (entries, at);
        }
    }
}

fn skip(tokens: &[(Token, Range<usize>)], at: usize, ends: &[Keyword]) -> usize {
    skip_to(tokens, at, ends, false)
}

/// The next token outside parentheses that is one of these keywords, or a comma where commas count.
fn skip_to(
    tokens: &[(Token, Range<usize>)],
    mut at: usize,
    ends: &[Keyword],
    commas: bool,
) -> usize {
    let mut depth = 0i32;
    while let Some((token, _)) = tokens.get(at) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 && commas => return at,
            // A name behind a point is a name, whatever it says; FOR GROUP BY and FOR ORDER BY are
            // parts of an index hint.
            other
                if depth == 0
                    && !at.checked_sub(1).is_some_and(|before| {
                        matches!(tokens[before].0, Token::Period)
                            || keyword(&tokens[before].0) == Some(Keyword::FOR)
                    })
                    && keyword(other).is_some_and(|word| ends.contains(&word)) =>
            {
                return at;
            }
            _ => {}
        }
        at += 1;
    }
    at
}
