//! The tokens of a DDL text, with their places.
//!
//! Comments are passed over; the inside of a version comment (`/*!50100 ... */`, `/*M! ... */`) is
//! code, as it is to the servers.

use super::parse::DdlError;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted word: a keyword or a name.
    Word,
    /// A name in backticks; the text is without them.
    Quoted,
    /// A string literal; the text is its value.
    Text,
    /// A number, as written.
    Number,
    /// A hexadecimal or bit literal, as written.
    Literal,
    /// Any other character or operator.
    Symbol,
    /// The end of the text.
    End,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text: see [`Kind`].
    pub text: String,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
}

impl Token {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is this symbol.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// Line and column, both counted from 1, of a byte offset.
pub fn place(sql: &str, offset: usize) -> (u32, u32) {
    let before = &sql[..offset.min(sql.len())];
    let line = before.matches('\n').count() as u32 + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() as u32 + 1)
}

/// The operators of more than one character, longest first.
const OPERATORS: [&str; 12] = [
    "<=>", "->>", "<=", ">=", "<>", "!=", "||", "&&", "<<", ">>", "->", ":=",
];

/// Splits a text into tokens; the last one is [`Kind::End`].
///
/// # Errors
/// A quote or a comment is not closed.
pub fn tokenize(sql: &str) -> Result<Vec<Token>, DdlError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '#' || is_dash_comment(rest) {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*!") || rest.starts_with("/*M!") {
            // The version number, if any, belongs to the comment's opening.
            let opening = if rest.starts_with("/*!") { 3 } else { 4 };
            let digits = rest[opening..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            at += opening + digits;
        } else if rest.starts_with("*/") {
            at += 2;
        } else if let Some(inside) = rest.strip_prefix("/*") {
            // The search starts behind the opening: `/*/` does not close itself.
            let end = inside
                .find("*/")
                .ok_or_else(|| unclosed(sql, at, "comment"))?;
            at += end + 4;
        } else if matches!(c, '`' | '\'' | '"') {
            let (text, length) = quoted(rest, c).ok_or_else(|| unclosed(sql, at, "quote"))?;
            at += length;
            // Double quotes hold a string: ANSI_QUOTES is off in the tool's sessions.
            let kind = if c == '`' { Kind::Quoted } else { Kind::Text };
            tokens.push(token(kind, text, start, at));
        } else if c.is_ascii_digit()
            || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let length = number_length(rest);
            let kind = if is_name(c) && rest[length..].starts_with(is_name) {
                // `0x1F`, `0b01`, or a name that starts with digits.
                let whole = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                at += whole;
                let literal = rest.starts_with("0x") || rest.starts_with("0b");
                if literal { Kind::Literal } else { Kind::Word }
            } else {
                at += length;
                Kind::Number
            };
            tokens.push(token(kind, sql[start..at].to_owned(), start, at));
        } else if matches!(c, 'n' | 'N') && rest[1..].starts_with('\'') {
            let (text, length) =
                quoted(&rest[1..], '\'').ok_or_else(|| unclosed(sql, at, "quote"))?;
            at += 1 + length;
            tokens.push(token(Kind::Text, text, start, at));
        } else if matches!(c, 'x' | 'X' | 'b' | 'B') && rest[1..].starts_with('\'') {
            let (text, length) =
                quoted(&rest[1..], '\'').ok_or_else(|| unclosed(sql, at, "quote"))?;
            at += 1 + length;
            let text = format!("{}'{text}'", c.to_ascii_lowercase());
            tokens.push(token(Kind::Literal, text, start, at));
        } else if is_name(c) || c == '@' {
            let length = rest[c.len_utf8()..]
                .find(|c| !is_name(c) && c != '@')
                .map_or(rest.len(), |length| length + c.len_utf8());
            at += length;
            tokens.push(token(Kind::Word, sql[start..at].to_owned(), start, at));
        } else {
            let operator = OPERATORS.iter().find(|text| rest.starts_with(**text));
            at += operator.map_or(c.len_utf8(), |text| text.len());
            tokens.push(token(Kind::Symbol, sql[start..at].to_owned(), start, at));
        }
    }
    tokens.push(token(Kind::End, String::new(), sql.len(), sql.len()));
    Ok(tokens)
}

/// A token in its one spelling: words and names in lower case and without backticks, texts in
/// single quotes.
pub fn piece(token: &Token) -> String {
    match token.kind {
        Kind::Word | Kind::Quoted | Kind::Number | Kind::Literal => token.text.to_lowercase(),
        Kind::Text => literal(&token.text),
        Kind::Symbol | Kind::End => token.text.clone(),
    }
}

/// A text as a string literal in its one spelling. For comparing and showing only: it is not
/// escaped as a server may want it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Tokens as text with one spelling, so that layout, case and backticks do not count.
pub fn flat(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        let tight =
            matches!(token.text.as_str(), "(" | ")" | "," | ".") && token.kind == Kind::Symbol;
        if !(out.is_empty() || tight || out.ends_with(['(', '.'])) {
            out.push(' ');
        }
        out.push_str(&piece(token));
    }
    out
}

fn token(kind: Kind, text: String, start: usize, end: usize) -> Token {
    Token {
        kind,
        text,
        start,
        end,
    }
}

/// `--` starts a comment only before a space or the line's end (MySQL reference manual,
/// "Comments").
fn is_dash_comment(rest: &str) -> bool {
    rest.strip_prefix("--")
        .is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c as u32 > 0x7F
}

fn number_length(rest: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(rest);
    if rest[length..].starts_with('.') {
        length += 1 + digits(&rest[length + 1..]);
    }
    let exponent = &rest[length..];
    if exponent.starts_with(['e', 'E']) {
        let sign = usize::from(exponent[1..].starts_with(['+', '-']));
        let digits = digits(&exponent[1 + sign..]);
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    length
}

/// The value of a quoted text and its whole length; `None` where it is not closed.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    value.push(quote);
                    chars.next();
                }
                _ => return Some((value, at + c.len_utf8())),
            }
        } else if c == '\\' && quote != '`' {
            let (_, escaped) = chars.next()?;
            // These two keep their backslash: it is for LIKE (reference manual, "String Literals").
            if matches!(escaped, '%' | '_') {
                value.push('\\');
            }
            value.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                'b' => '\u{8}',
                'Z' => '\u{1a}',
                other => other,
            });
        } else {
            value.push(c);
        }
    }
    None
}

fn unclosed(sql: &str, offset: usize, what: &str) -> DdlError {
    let (line, column) = place(sql, offset);
    DdlError {
        line,
        column,
        message: format!("the {what} that starts here is not closed"),
    }
}
