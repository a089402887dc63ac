//! MySQL's operator precedence, which the parser does not have by itself.
//!
//! The parser reads `||` as concatenation, binds XOR tighter than comparisons and BINARY weaker,
//! and gives BETWEEN, IN and LIKE the precedence of comparisons. A statement routed by such a tree
//! goes to the wrong shards. The order here is the one of the MySQL reference manual, "Operator
//! Precedence", which MariaDB shares; a test compares it with real servers, operator by operator.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Statement, UnaryOperator};
use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

const OR: u8 = 5;
const XOR: u8 = 7;
const AND: u8 = 10;
const COMPARISON: u8 = 17;
const MEMBERSHIP: u8 = 20;
const BIT_OR: u8 = 21;
const BIT_AND: u8 = 23;
const SHIFT: u8 = 26;
const BIT_XOR: u8 = 45;
const UNARY: u8 = 46;

/// MySQL's dialect with MySQL's precedence. `||` is OR: `PIPES_AS_CONCAT` is off in the tool's
/// sessions.
#[derive(Debug, Default)]
pub struct Mysql {
    base: MySqlDialect,
}

/// Hands methods on to the parser's own dialect of MySQL.
macro_rules! forward {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool { self.base.$method() })*
    };
}

impl Dialect for Mysql {
    fn dialect(&self) -> TypeId {
        self.base.dialect()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.base.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.base.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.base.is_delimited_identifier_start(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.base.identifier_quote_style(identifier)
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        self.base.parse_statement(parser)
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser) -> bool {
        self.base.is_table_factor_alias(explicit, kw, parser)
    }

    forward!(
        supports_string_literal_backslash_escape,
        supports_string_literal_concatenation,
        ignores_wildcard_escapes,
        supports_numeric_prefix,
        supports_bitwise_shift_operators,
        supports_multiline_comment_hints,
        require_interval_qualifier,
        supports_limit_comma,
        supports_create_table_select,
        supports_insert_set,
        supports_user_host_grantee,
        supports_table_hints,
        requires_single_line_comment_whitespace,
        supports_match_against,
        supports_select_modifiers,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_update_order_by,
        supports_data_type_signed_suffix,
        supports_cross_join_constraint,
        supports_double_ampersand_operator,
        supports_binary_kw_as_cast,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
    );

    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if parser.peek_token_ref().token == Token::StringConcat {
            parser.next_token();
            return Some(
                parser
                    .parse_subexpr(precedence)
                    .map(|right| Expr::BinaryOp {
                        left: Box::new(left.clone()),
                        op: BinaryOperator::Or,
                        right: Box::new(right),
                    }),
            );
        }
        self.base.parse_infix(parser, left, precedence)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let op = match &parser.peek_token_ref().token {
            Token::ExclamationMark => UnaryOperator::BangNot,
            Token::Tilde => UnaryOperator::BitwiseNot,
            Token::Minus => UnaryOperator::Minus,
            Token::Word(word) if word.keyword == Keyword::BINARY && word.quote_style.is_none() => {
                // A column can be called so.
                let next = &parser.peek_nth_token_ref(1).token;
                if matches!(
                    next,
                    Token::Period | Token::Comma | Token::RParen | Token::EOF
                ) {
                    return None;
                }
                parser.next_token();
                return Some(parser.parse_subexpr(UNARY).map(|expr| Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(expr),
                    data_type: DataType::Binary(None),
                    format: None,
                }));
            }
            _ => return None,
        };
        parser.next_token();
        Some(parser.parse_subexpr(UNARY).map(|expr| Expr::UnaryOp {
            op,
            expr: Box::new(expr),
        }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let membership = |keyword: Keyword| {
            matches!(
                keyword,
                Keyword::IN | Keyword::BETWEEN | Keyword::LIKE | Keyword::RLIKE | Keyword::REGEXP
            )
        };
        Some(Ok(match &parser.peek_token_ref().token {
            Token::StringConcat => OR,
            Token::Overlap => AND,
            Token::Eq
            | Token::Lt
            | Token::LtEq
            | Token::Neq
            | Token::Gt
            | Token::GtEq
            | Token::Spaceship => COMPARISON,
            Token::Word(word) if word.keyword == Keyword::XOR => XOR,
            Token::Word(word) if word.keyword == Keyword::IS => COMPARISON,
            Token::Word(word) if membership(word.keyword) => MEMBERSHIP,
            Token::Word(word) if word.keyword == Keyword::MEMBER => MEMBERSHIP,
            Token::Word(word) if word.keyword == Keyword::NOT => {
                match &parser.peek_nth_token_ref(1).token {
                    Token::Word(word) if membership(word.keyword) => MEMBERSHIP,
                    _ => return None,
                }
            }
            Token::Pipe => BIT_OR,
            Token::Ampersand => BIT_AND,
            Token::ShiftLeft | Token::ShiftRight => SHIFT,
            Token::Caret => BIT_XOR,
            _ => return None,
        }))
    }
}
