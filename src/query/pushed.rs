//! Conditions that a shard can be asked in place of the server that the statement runs on.
//!
//! Such a condition must mean the same on both, and must not fail where the statement itself would
//! not have come to it: so only comparisons of columns with constants, and a few functions that
//! never fail. It is written anew from the tree with every operator in parentheses, so that neither
//! precedence nor a comment can change it; a literal is written as it was.

use sqlparser::ast::{
    BinaryOperator, DataType, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, TypedString, UnaryOperator, Value,
};

/// Finds columns.
pub trait Columns {
    /// Which member of the FROM clause has the column for certain, and the column as it is written
    /// for the shard.
    fn find(&self, qualifier: Option<&Ident>, column: &Ident) -> Option<(usize, String)>;
}

/// The parts of a condition that must all be met.
pub fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Nested(inner) => conjuncts(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

/// A condition over one member of the FROM clause as a shard can be asked it, and that member.
/// `None` where it is over several or none, or of another form than is known to be safe.
pub fn render(condition: &Expr, columns: &dyn Columns) -> Option<(usize, String)> {
    let mut rendering = Rendering {
        columns,
        member: None,
    };
    let text = rendering.expression(condition)?;
    Some((rendering.member?, text))
}

struct Rendering<'a> {
    columns: &'a dyn Columns,
    member: Option<usize>,
}

impl Rendering<'_> {
    fn column(&mut self, qualifier: Option<&Ident>, column: &Ident) -> Option<String> {
        let (member, text) = self.columns.find(qualifier, column)?;
        match self.member {
            Some(known) if known != member => None,
            _ => {
                self.member = Some(member);
                Some(text)
            }
        }
    }

    fn expression(&mut self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Nested(inner) => self.expression(inner),
            Expr::Identifier(ident) if !ident.value.starts_with('@') => self.column(None, ident),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => self.column(Some(table), column),
                _ => None,
            },
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => date(typed),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => match expr.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::Number(text, false) => Some(format!("-{text}")),
                    _ => None,
                },
                _ => None,
            },
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Some(format!("(NOT {})", self.expression(expr)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.expression(inner)?)),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.expression(inner)?)),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let expr = self.expression(expr)?;
                let list: Vec<String> = list
                    .iter()
                    .map(|item| self.expression(item))
                    .collect::<Option<_>>()?;
                let not = if *negated { "NOT " } else { "" };
                Some(format!("({expr} {not}IN ({}))", list.join(", ")))
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } if is_operand(low) && is_operand(high) => {
                let (expr, low, high) = (
                    self.expression(expr)?,
                    self.expression(low)?,
                    self.expression(high)?,
                );
                let not = if *negated { "NOT " } else { "" };
                Some(format!("({expr} {not}BETWEEN {low} AND {high})"))
            }
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => {
                let (expr, pattern) = (self.expression(expr)?, self.expression(pattern)?);
                let not = if *negated { "NOT " } else { "" };
                Some(format!("({expr} {not}LIKE {pattern})"))
            }
            Expr::Function(function) => self.function(function),
            _ => None,
        }
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<String> {
        use BinaryOperator as Op;
        // Of numbers a sum can be too large, which is an error: of dates it is NULL.
        if let (Op::Plus | Op::Minus, Expr::Interval(interval)) = (op, right) {
            let unit = match interval.leading_field.as_ref()? {
                DateTimeField::Year => "YEAR",
                DateTimeField::Month => "MONTH",
                DateTimeField::Week(None) => "WEEK",
                DateTimeField::Day => "DAY",
                DateTimeField::Hour => "HOUR",
                DateTimeField::Minute => "MINUTE",
                DateTimeField::Second => "SECOND",
                _ => return None,
            };
            if interval.leading_precision.is_some() || interval.last_field.is_some() {
                return None;
            }
            let left = self.expression(left)?;
            let amount = match interval.value.as_ref() {
                Expr::Value(value) => literal(&value.value)?,
                _ => return None,
            };
            return Some(format!("({left} {op} INTERVAL {amount} {unit})"));
        }
        let op = match op {
            Op::Eq => "=",
            Op::NotEq => "<>",
            Op::Lt => "<",
            Op::LtEq => "<=",
            Op::Gt => ">",
            Op::GtEq => ">=",
            Op::Spaceship => "<=>",
            Op::And => "AND",
            Op::Or => "OR",
            Op::Xor => "XOR",
            _ => return None,
        };
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        Some(format!("({left} {op} {right})"))
    }

    fn function(&mut self, function: &Function) -> Option<String> {
        // What these are given they compute, or they are NULL.
        const SAFE: &[&str] = &[
            "char_length",
            "coalesce",
            "curdate",
            "current_date",
            "current_timestamp",
            "date",
            "day",
            "hour",
            "ifnull",
            "length",
            "lower",
            "month",
            "now",
            "trim",
            "upper",
            "utc_date",
            "utc_timestamp",
            "year",
        ];
        let name = function.name.to_string().to_ascii_lowercase();
        if !SAFE.contains(&name.as_str())
            || function.over.is_some()
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
        {
            return None;
        }
        let args = match &function.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::List(list)
                if list.clauses.is_empty()
                    && !matches!(
                        list.duplicate_treatment,
                        Some(DuplicateTreatment::Distinct | DuplicateTreatment::All)
                    ) =>
            {
                list.args
                    .iter()
                    .map(|arg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expression(expr),
                        _ => None,
                    })
                    .collect::<Option<Vec<String>>>()?
            }
            _ => return None,
        };
        Some(format!(
            "{}({})",
            name.to_ascii_uppercase(),
            args.join(", ")
        ))
    }
}

/// What binds tighter than every comparison, whoever reads it.
fn is_operand(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            matches!(op, BinaryOperator::Plus | BinaryOperator::Minus)
                && is_operand(left)
                && matches!(right.as_ref(), Expr::Interval(_))
        }
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Minus,
        Expr::Nested(_)
        | Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Function(_) => true,
        _ => false,
    }
}

/// `DATE '1995-03-15'`, as it was written. A date that there is not is an error, which one server
/// finds before it looks at a row, and so does the one that the statement runs on.
fn date(typed: &TypedString) -> Option<String> {
    match (&typed.data_type, &typed.value.value) {
        (DataType::Date, Value::SingleQuotedString(text)) if !typed.uses_odbc_syntax => {
            Some(format!("DATE '{text}'"))
        }
        _ => None,
    }
}

/// A literal as it was written: the parser was told to leave escapes alone.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::Number(text, false) => Some(text.clone()),
        Value::SingleQuotedString(text) => Some(format!("'{text}'")),
        Value::DoubleQuotedString(text) => Some(format!("\"{text}\"")),
        Value::Boolean(true) => Some("TRUE".to_owned()),
        Value::Boolean(false) => Some("FALSE".to_owned()),
        Value::Null => Some("NULL".to_owned()),
        _ => None,
    }
}
