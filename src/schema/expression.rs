//! Expressions in one normal form, so that what was written and what each server prints of it
//! can be compared as text.
//!
//! MySQL prints every operator in parentheses and a charset before every string, MariaDB neither.
//! Both replace some functions by synonyms and push NOT inwards. The normal form has lower case,
//! no backticks, no introducers, one name for each function, NOT where the servers put it, and
//! parentheses exactly where one operator stands below another, so that a grouping that matters
//! stays a difference. It is for comparing and showing and is never sent to a server.

use super::tokens::{Kind, Token, flat, literal, piece};

/// Deeper nesting than this is kept as flat text: the parser recurses.
const DEPTH_MAX: u32 = 64;

/// The normal form of the expression these tokens are. What is not understood is kept as flat
/// text, so that at least layout and case do not count.
pub(super) fn normal(tokens: &[Token]) -> String {
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
    };
    match parser.expression(0) {
        Some(node) if parser.at == tokens.len() => node.text,
        _ => flat(tokens),
    }
}

/// A subexpression in its normal form.
struct Node {
    text: String,
    /// The outermost operator; empty where the text is closed in itself.
    operator: &'static str,
    /// Its operands, where [`negated`] needs them: of AND, OR, NOT and the comparisons.
    operands: Vec<Node>,
}

impl Node {
    fn closed(text: impl Into<String>) -> Self {
        Self::open(text, "")
    }

    fn open(text: impl Into<String>, operator: &'static str) -> Self {
        Self {
            text: text.into(),
            operator,
            operands: Vec::new(),
        }
    }

    /// The text as an operand of `parent`. AND and OR are chains: how they were nested in
    /// themselves does not matter, and MySQL prints them flat.
    fn below(&self, parent: &str) -> String {
        let chain = self.operator == parent && matches!(parent, "and" | "or");
        if self.operator.is_empty() || chain {
            self.text.clone()
        } else {
            format!("({})", self.text)
        }
    }
}

fn joined(left: Node, operator: &'static str, right: Node) -> Node {
    Node {
        text: format!(
            "{} {operator} {}",
            left.below(operator),
            right.below(operator)
        ),
        operator,
        operands: vec![left, right],
    }
}

/// NOT, pushed inwards as both servers do; in SQL's three-valued logic all of these are exact.
fn negated(node: Node) -> Node {
    let flipped = match node.operator {
        "and" => "or",
        "or" => "and",
        "=" => "<>",
        "<>" => "=",
        "<" => ">=",
        ">=" => "<",
        ">" => "<=",
        "<=" => ">",
        "is null" => "is not null",
        "is not null" => "is null",
        // MySQL prints NOT of a value as a comparison with zero.
        "" => return joined(Node::closed("0"), "=", node),
        _ => "not",
    };
    let mut operands = node.operands.into_iter();
    match (node.operator, operands.next(), operands.next()) {
        ("and" | "or", Some(left), Some(right)) => joined(negated(left), flipped, negated(right)),
        ("not", Some(inner), _) => inner,
        ("is null" | "is not null", Some(inner), _) => postfix(inner, flipped),
        (_, Some(left), Some(right)) if flipped != "not" => joined(left, flipped, right),
        (operator, left, right) => Node {
            text: format!("not ({})", node.text),
            operator: "not",
            operands: vec![Node {
                text: node.text,
                operator,
                operands: left.into_iter().chain(right).collect(),
            }],
        },
    }
}

fn postfix(inner: Node, operator: &'static str) -> Node {
    Node {
        text: format!("{} {operator}", inner.below(operator)),
        operator,
        operands: vec![inner],
    }
}

/// Binding powers, after the MySQL reference manual's "Operator Precedence" with `||` as OR.
const NOT: u8 = 4;
const COMPARISON: u8 = 5;
const PREDICATE: u8 = 6;
const BIT_OR: u8 = 7;
const ADD: u8 = 10;
const MULTIPLY: u8 = 11;
const UNARY: u8 = 13;

/// The binary operator a token is: its normal name and its binding power.
fn binary(token: &Token) -> Option<(&'static str, u8)> {
    let text = match token.kind {
        Kind::Symbol | Kind::Word => token.text.to_ascii_lowercase(),
        _ => return None,
    };
    Some(match text.as_str() {
        "||" | "or" => ("or", 1),
        "xor" => ("xor", 2),
        "&&" | "and" => ("and", 3),
        "=" => ("=", COMPARISON),
        "<=>" => ("<=>", COMPARISON),
        "<" => ("<", COMPARISON),
        "<=" => ("<=", COMPARISON),
        ">" => (">", COMPARISON),
        ">=" => (">=", COMPARISON),
        "<>" | "!=" => ("<>", COMPARISON),
        "|" => ("|", BIT_OR),
        "&" => ("&", 8),
        "<<" => ("<<", 9),
        ">>" => (">>", 9),
        "+" => ("+", ADD),
        "-" => ("-", ADD),
        "*" => ("*", MULTIPLY),
        "/" => ("/", MULTIPLY),
        "%" | "mod" => ("%", MULTIPLY),
        "div" => ("div", MULTIPLY),
        "^" => ("^", 12),
        _ => return None,
    })
}

/// The one name for functions that have several.
fn function_name(name: &str) -> &str {
    match name {
        "lcase" => "lower",
        "ucase" => "upper",
        "substring" | "mid" => "substr",
        "now" | "localtime" | "localtimestamp" => "current_timestamp",
        "curdate" => "current_date",
        "curtime" => "current_time",
        "character_length" => "char_length",
        "octet_length" => "length",
        "power" => "pow",
        "ceil" => "ceiling",
        "day" => "dayofmonth",
        "adddate" => "date_add",
        "subdate" => "date_sub",
        _ => name,
    }
}

/// Functions of the time that stand without parentheses too.
fn is_bare(name: &str) -> bool {
    ["current_timestamp", "current_date", "current_time"].contains(&name)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
}

/// Every method gives `None` where the text is not understood.
impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek()?.clone();
        self.at += 1;
        Some(token)
    }

    fn eat(&mut self, word: &str) -> Option<()> {
        self.peek()?.is(word).then(|| self.at += 1)
    }

    fn eat_symbol(&mut self, symbol: &str) -> Option<()> {
        self.peek()?.is_symbol(symbol).then(|| self.at += 1)
    }

    /// An expression of operators that bind more tightly than `power`.
    fn expression(&mut self, power: u8) -> Option<Node> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let node = self.operators(power);
        self.depth -= 1;
        node
    }

    fn operators(&mut self, power: u8) -> Option<Node> {
        let mut left = self.operand()?;
        while let Some(token) = self.peek() {
            if let Some((operator, own)) = binary(token) {
                if own <= power {
                    break;
                }
                self.at += 1;
                let right = self.expression(own)?;
                left = joined(left, operator, right);
            } else if token.is("collate") {
                self.at += 1;
                let collation = piece(&self.next()?);
                left = Node::open(
                    format!("{} collate {collation}", left.below("collate")),
                    "collate",
                );
            } else if token.is_symbol("->") || token.is_symbol("->>") {
                let unquote = token.is_symbol("->>");
                self.at += 1;
                let path = self.operand()?;
                let extract = format!("json_extract({},{})", left.text, path.text);
                left = Node::closed(if unquote {
                    format!("json_unquote({extract})")
                } else {
                    extract
                });
            } else if token.is("is") {
                if COMPARISON <= power {
                    break;
                }
                self.at += 1;
                let not = self.eat("not").is_some();
                let what = piece(&self.next()?);
                left = match (what.as_str(), not) {
                    ("null", false) => postfix(left, "is null"),
                    ("null", true) => postfix(left, "is not null"),
                    (_, false) => Node::open(format!("{} is {what}", left.below("is")), "is"),
                    (_, true) => Node::open(format!("{} is not {what}", left.below("is")), "is"),
                };
            } else if PREDICATE > power && self.is_predicate() {
                left = self.predicate(&left)?;
            } else {
                break;
            }
        }
        Some(left)
    }

    fn is_predicate(&self) -> bool {
        let ahead = usize::from(self.peek().is_some_and(|token| token.is("not")));
        let token = self.tokens.get(self.at + ahead);
        ["between", "in", "like", "regexp", "rlike"]
            .iter()
            .any(|word| token.is_some_and(|token| token.is(word)))
    }

    /// `[NOT] BETWEEN, IN, LIKE, REGEXP` behind `left`.
    fn predicate(&mut self, left: &Node) -> Option<Node> {
        let not = self.eat("not").is_some();
        let word = piece(&self.next()?);
        let subject = left.below("predicate");
        let node = match word.as_str() {
            "between" => {
                let low = self.expression(PREDICATE)?.below("predicate");
                self.eat("and")?;
                let high = self.expression(PREDICATE)?.below("predicate");
                Node::open(format!("{subject} between {low} and {high}"), "predicate")
            }
            "in" => {
                self.eat_symbol("(")?;
                Node::open(format!("{subject} in ({})", self.list()?), "predicate")
            }
            "like" => {
                let pattern = self.expression(PREDICATE)?.below("predicate");
                let escape = match self.eat("escape") {
                    Some(()) => format!(" escape {}", self.operand()?.text),
                    None => String::new(),
                };
                Node::open(format!("{subject} like {pattern}{escape}"), "predicate")
            }
            // MySQL prints the function, MariaDB the operator.
            _ => {
                let pattern = self.expression(PREDICATE)?.text;
                Node::closed(format!("regexp_like({},{pattern})", left.text))
            }
        };
        Some(if not { negated(node) } else { node })
    }

    /// Expressions up to and with the closing parenthesis.
    fn list(&mut self) -> Option<String> {
        let mut items = Vec::new();
        if self.eat_symbol(")").is_some() {
            return Some(String::new());
        }
        loop {
            items.push(self.expression(0)?.text);
            if self.eat_symbol(")").is_some() {
                return Some(items.join(","));
            }
            self.eat_symbol(",")?;
        }
    }

    /// The tokens up to the parenthesis that closes the one just read; steps over it.
    fn inside(&mut self) -> Option<&[Token]> {
        let start = self.at;
        let mut open = 1;
        while open > 0 {
            let token = self.peek()?;
            open += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
            self.at += 1;
        }
        Some(&self.tokens[start..self.at - 1])
    }

    fn operand(&mut self) -> Option<Node> {
        let token = self.next()?;
        match token.kind {
            Kind::Text => {
                // Adjacent strings are one string.
                let mut text = token.text;
                while self.peek().is_some_and(|next| next.kind == Kind::Text) {
                    text.push_str(&self.next()?.text);
                }
                Some(Node::closed(literal(&text)))
            }
            Kind::Number | Kind::Literal => Some(Node::closed(piece(&token))),
            Kind::Quoted => self.column(&token),
            Kind::Word => self.word(&token),
            Kind::Symbol => match token.text.as_str() {
                "(" => {
                    let node = self.expression(0)?;
                    if self.eat_symbol(",").is_some() {
                        let rest = self.list()?;
                        return Some(Node::closed(format!("row({},{rest})", node.text)));
                    }
                    self.eat_symbol(")")?;
                    Some(node)
                }
                "+" => self.expression(UNARY),
                "-" => {
                    let node = self.expression(UNARY)?;
                    let number = node.text.starts_with(|c: char| c.is_ascii_digit());
                    // A negative number is closed: -1.
                    let operator = if number && node.operator.is_empty() {
                        ""
                    } else {
                        "neg"
                    };
                    Some(Node::open(format!("-{}", node.below("neg")), operator))
                }
                "~" => {
                    let node = self.expression(UNARY)?;
                    Some(Node::open(format!("~{}", node.below("~")), "~"))
                }
                "!" => Some(negated(self.expression(UNARY)?)),
                _ => None,
            },
            Kind::End => None,
        }
    }

    /// A column, qualified or not: what may stand in front is the table itself.
    fn column(&mut self, first: &Token) -> Option<Node> {
        let mut text = piece(first);
        while self.eat_symbol(".").is_some() {
            text = piece(&self.next()?);
        }
        Some(Node::closed(text))
    }

    /// What starts with an unquoted word.
    fn word(&mut self, token: &Token) -> Option<Node> {
        let word = piece(token);
        let before_literal = self
            .peek()
            .is_some_and(|next| matches!(next.kind, Kind::Text | Kind::Literal));
        // `_utf8mb4'x'`: MySQL adds the introducer where nobody wrote it, so it cannot count.
        if word.starts_with('_') && before_literal {
            return self.operand();
        }
        match word.as_str() {
            "date" | "time" | "timestamp" if before_literal => {
                return Some(Node::closed(format!("{word} {}", self.operand()?.text)));
            }
            "not" => return Some(negated(self.expression(NOT)?)),
            "interval" => {
                let amount = self.expression(BIT_OR)?.below("interval");
                let unit = piece(&self.next()?);
                return Some(Node::closed(format!("interval {amount} {unit}")));
            }
            "case" => return self.case(),
            "true" => return Some(Node::closed("1")),
            "false" => return Some(Node::closed("0")),
            _ => {}
        }
        if self.eat_symbol("(").is_some() {
            return self.call(function_name(&word));
        }
        let bare = function_name(&word);
        if is_bare(bare) {
            return Some(Node::closed(bare));
        }
        self.column(token)
    }

    /// A function, behind its opening parenthesis.
    fn call(&mut self, name: &str) -> Option<Node> {
        let start = self.at;
        if matches!(name, "cast" | "convert") {
            let inside = self.inside()?;
            let text = cast(inside).unwrap_or_else(|| format!("{name}({})", flat(inside)));
            return Some(Node::closed(text));
        }
        if let Some(node) = self.call_as_operator(name) {
            return Some(node);
        }
        self.at = start;
        let mut arguments = match self.list() {
            Some(arguments) => arguments,
            // EXTRACT(YEAR FROM d), TRIM(BOTH ' ' FROM s) and whatever else has words inside.
            None => {
                self.at = start;
                flat(self.inside()?)
            }
        };
        if is_bare(name) {
            if arguments == "0" {
                arguments.clear();
            }
            if arguments.is_empty() {
                return Some(Node::closed(name));
            }
        }
        Some(Node::closed(format!("{name}({arguments})")))
    }

    /// The functions that a server prints as operators.
    fn call_as_operator(&mut self, name: &str) -> Option<Node> {
        let operator = match name {
            "mod" => "%",
            "date_add" => "+",
            "date_sub" => "-",
            _ => return None,
        };
        let left = self.expression(0)?;
        self.eat_symbol(",")?;
        let right = self.expression(0)?;
        self.eat_symbol(")")?;
        (name == "mod" || right.text.starts_with("interval "))
            .then(|| joined(left, operator, right))
    }

    fn case(&mut self) -> Option<Node> {
        let mut text = "case".to_owned();
        if !self.peek()?.is("when") {
            let subject = self.expression(0)?;
            text = format!("case {}", subject.below("case"));
        }
        while self.eat("when").is_some() {
            let when = self.expression(0)?.below("case");
            self.eat("then")?;
            let then = self.expression(0)?.below("case");
            text = format!("{text} when {when} then {then}");
        }
        if self.eat("else").is_some() {
            let other = self.expression(0)?.below("case");
            text = format!("{text} else {other}");
        }
        self.eat("end")?;
        Some(Node::closed(format!("{text} end")))
    }
}

/// `x AS type` or `x, type` in its normal form: the charset the server adds is left out.
fn cast(inside: &[Token]) -> Option<String> {
    let mut open = 0;
    let split = inside.iter().position(|token| {
        open += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
        open == 0 && (token.is("as") || token.is_symbol(","))
    })?;
    let (value, kind) = (&inside[..split], &inside[split + 1..]);
    let charset = kind
        .iter()
        .position(|token| token.is("charset") || token.is("character"));
    // CAST(x AS CHAR ARRAY) has its ARRAY behind the charset.
    let array = kind.last().is_some_and(|token| token.is("array"));
    let kept = &kind[..charset.unwrap_or(kind.len())];
    let array = if array && charset.is_some() {
        " array"
    } else {
        ""
    };
    Some(format!("cast({} as {}{array})", normal(value), flat(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tokens::tokenize;

    fn check(written: &str, expected: &str) {
        let tokens = tokenize(written).unwrap();
        let (_, tokens) = tokens.split_last().unwrap();
        assert_eq!(normal(tokens), expected, "{written}");
    }

    #[test]
    fn what_was_written_and_what_the_servers_print_is_one() {
        let same = |expected: &str, forms: &[&str]| {
            for form in forms {
                check(form, expected);
            }
        };
        same(
            "(a + b) * 2",
            &["(a+b)*2", "((`a` + `b`) * 2)", "(`a` + `b`) * 2"],
        );
        same("a + (b * 2)", &["a+b*2", "(`a` + (`b` * 2))"]);
        same(
            "(a > 0) and (b > 0) and (c > 0)",
            &[
                "a>0 AND b>0 && c>0",
                "((`a` > 0) and (`b` > 0) and (`c` > 0))",
                "a>0 and (b>0 and c>0)",
            ],
        );
        same(
            "concat(a,' ',b)",
            &["CONCAT(a, ' ', b)", "concat(`a`,_utf8mb4' ',`b`)"],
        );
        same("lower(a)", &["LCASE(`a`)", "lower(a)"]);
        same(
            "json_unquote(json_extract(doc,'$.a'))",
            &[
                "doc->>'$.a'",
                "json_unquote(json_extract(`doc`,_utf8mb4'$.a'))",
            ],
        );
        same(
            "a between 1 and 10",
            &["a BETWEEN 1 AND 10", "(`a` between 1 and 10)"],
        );
        same("a in (1,2)", &["`a` IN (1, 2)", "(`a` in (1,2))"]);
        same(
            "(a is not null) or (b = 1)",
            &["a IS NOT NULL OR b = 1", "((`a` is not null) or (`b` = 1))"],
        );
        same(
            "current_timestamp",
            &[
                "NOW()",
                "current_timestamp(0)",
                "CURRENT_TIMESTAMP",
                "localtime",
            ],
        );
        same("current_timestamp(6)", &["now(6)", "CURRENT_TIMESTAMP(6)"]);
        same("a % 16", &["mod(a, 16)", "a MOD 16", "(`a` % 16)"]);
        same(
            "a + interval 1 day",
            &["DATE_ADD(a, INTERVAL 1 DAY)", "(`a` + interval 1 day)"],
        );
        same(
            "cast(a as char(10))",
            &[
                "CAST(a AS CHAR(10))",
                "cast(`a` as char(10) charset utf8mb4)",
            ],
        );
        same(
            "regexp_like(a,'^x')",
            &["a REGEXP '^x'", "regexp_like(`a`,_utf8mb4'^x')"],
        );
        same("-1", &["-1", "-(1)", "(-1)"]);
        same(
            "'it''s'",
            &["'it''s'", "\"it's\"", "'it\\'s'", "'it' '''s'"],
        );
    }

    #[test]
    fn not_goes_inwards() {
        check("NOT (a = 1 AND b < 2)", "(a <> 1) or (b >= 2)");
        check("NOT NOT (a = 1)", "a = 1");
        check("NOT a IS NULL", "a is not null");
        check("a NOT LIKE 'x'", "not (a like 'x')");
        check("NOT (a LIKE 'x')", "not (a like 'x')");
        check("NOT (a NOT IN (1))", "a in (1)");
        check("NOT json_valid(a)", "0 = json_valid(a)");
        check("NOT (a <=> b)", "not (a <=> b)");
    }

    #[test]
    fn grouping_that_matters_is_kept() {
        check("a - (b - c)", "a - (b - c)");
        check("a - b - c", "(a - b) - c");
        check("(a or b) and c", "(a or b) and c");
        check("a or b and c", "a or (b and c)");
        check("concat('a b', c)", "concat('a b',c)");
        check("-(a + b)", "-(a + b)");
    }

    #[test]
    fn what_is_not_understood_is_kept_as_text() {
        check("EXTRACT( YEAR  FROM `d`)", "extract(year from d)");
        check("a ? b", "a ? b");
        check(&"(".repeat(500), &"(".repeat(500));
        let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
        check(&deep, &deep);
    }
}
