//! Two definitions of a table, by meaning.
//!
//! What the servers spell differently or fill in by themselves is no difference: display widths,
//! the charset a collation implies, defaults nobody wrote, names the server chose, the order of
//! indexes.

use std::fmt;

use super::tokens::literal;
use super::{Collation, Column, ColumnType, Index, IndexKind, KeyPart, TableDef};

/// One way in which a table is not as wanted. Displays as a phrase: `lacks index ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A wanted column is not there.
    ColumnMissing(String),
    /// A column is there that nobody wants.
    ColumnExtra(String),
    /// A column is not as wanted.
    Column {
        /// Its name.
        column: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The columns are the wanted ones in another order.
    ColumnOrder,
    /// The primary key is another.
    PrimaryKey {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A wanted index is not there.
    IndexMissing(String),
    /// An index is there that nobody wants.
    IndexExtra(String),
    /// A foreign key or check is not there.
    ConstraintMissing(String),
    /// A foreign key or check is there that nobody wants.
    ConstraintExtra(String),
    /// An option of the table is not as wanted.
    Option {
        /// Its name.
        option: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::ColumnMissing(column) => write!(f, "lacks column {column}"),
            Difference::ColumnExtra(column) => write!(f, "has a further column {column}"),
            Difference::Column {
                column,
                found,
                wanted,
            } => write!(f, "column `{column}`: found {found}, wanted {wanted}"),
            Difference::ColumnOrder => write!(f, "has its columns in another order"),
            Difference::PrimaryKey { found, wanted } => {
                write!(f, "its primary key is {found}, wanted {wanted}")
            }
            Difference::IndexMissing(index) => write!(f, "lacks {index}"),
            Difference::IndexExtra(index) => write!(f, "has a further {index}"),
            Difference::ConstraintMissing(text) => write!(f, "lacks the constraint {text}"),
            Difference::ConstraintExtra(text) => write!(f, "has a further constraint {text}"),
            Difference::Option {
                option,
                found,
                wanted,
            } => write!(f, "{option} is {found}, wanted {wanted}"),
        }
    }
}

/// How `found` differs from `wanted`; empty where they mean the same. The table's name does not
/// count.
pub fn differences(wanted: &TableDef, found: &TableDef) -> Vec<Difference> {
    let mut out = Vec::new();
    columns(wanted, found, &mut out);
    if key(wanted, &wanted.primary_key) != key(found, &found.primary_key) {
        out.push(Difference::PrimaryKey {
            found: key_text(&found.primary_key),
            wanted: key_text(&wanted.primary_key),
        });
    }
    indexes(wanted, found, &mut out);
    constraints(wanted, found, &mut out);
    options(wanted, found, &mut out);
    out
}

fn columns(wanted: &TableDef, found: &TableDef, out: &mut Vec<Difference>) {
    for column in &wanted.columns {
        let Some(there) = found.column(column.name.as_str()) else {
            out.push(Difference::ColumnMissing(describe(column)));
            continue;
        };
        let (mut wants, mut finds) = (Vec::new(), Vec::new());
        for (want, find) in aspects(column, there, wanted, found) {
            wants.push(want);
            finds.push(find);
        }
        if !wants.is_empty() {
            out.push(Difference::Column {
                column: column.name.to_string(),
                found: finds.join(", "),
                wanted: wants.join(", "),
            });
        }
    }
    for column in &found.columns {
        if wanted.column(column.name.as_str()).is_none() {
            out.push(Difference::ColumnExtra(describe(column)));
        }
    }
    if out.is_empty() {
        let names = |def: &TableDef| -> Vec<String> {
            let lower = |column: &Column| column.name.as_str().to_lowercase();
            def.columns.iter().map(lower).collect()
        };
        if names(wanted) != names(found) {
            out.push(Difference::ColumnOrder);
        }
    }
}

/// What is wanted and what was found, for each aspect of a column in which they differ.
fn aspects(
    wanted: &Column,
    found: &Column,
    want: &TableDef,
    have: &TableDef,
) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut aspect = |same: bool, describe: &dyn Fn(&Column) -> String| {
        if !same {
            out.push((describe(wanted), describe(found)));
        }
    };
    aspect(strip(&wanted.kind) == strip(&found.kind), &|column| {
        type_text(&column.kind)
    });
    aspect(same_collation(wanted, found, want, have), &|column| {
        collation_text(&column.kind).unwrap_or_else(|| "the default collation".to_owned())
    });
    aspect(wanted.nullable == found.nullable, &|column| {
        if column.nullable { "null" } else { "not null" }.to_owned()
    });
    aspect(
        default_value(wanted) == default_value(found),
        &|column| match &column.default {
            Some(default) => format!("default {default}"),
            None => "no default".to_owned(),
        },
    );
    aspect(
        wanted.on_update == found.on_update,
        &|column| match &column.on_update {
            Some(text) => format!("on update {text}"),
            None => "no on update".to_owned(),
        },
    );
    aspect(wanted.auto_increment == found.auto_increment, &|column| {
        if column.auto_increment {
            "auto_increment"
        } else {
            "no auto_increment"
        }
        .to_owned()
    });
    aspect(
        wanted.attributes == found.attributes,
        &|column| match column.attributes.as_slice() {
            [] => "no further attribute".to_owned(),
            attributes => attributes.join(" "),
        },
    );
    aspect(wanted.generated == found.generated, &|column| {
        generated_text(column).unwrap_or_else(|| "not generated".to_owned())
    });
    aspect(
        wanted.comment == found.comment,
        &|column| match column.comment.as_str() {
            "" => "no comment".to_owned(),
            text => format!("comment '{text}'"),
        },
    );
    out
}

/// The value of a column's default, as far as servers that print it differently agree: MySQL
/// prints numbers in quotes, both print them with all digits of the column's scale, times with
/// all digits of their fraction, and bytes padded.
fn default_value(column: &Column) -> Option<String> {
    let text = column.default.as_deref()?;
    let quoted = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        // One literal, and not an operator between two.
        .filter(|inside| !inside.replace("''", "").contains('\''));
    let value = quoted.unwrap_or(text);
    let plain = match &column.kind {
        ColumnType::Integer { .. }
        | ColumnType::Decimal { .. }
        | ColumnType::Float { .. }
        | ColumnType::Double { .. }
        | ColumnType::Bit { .. }
        | ColumnType::Year => number(value),
        ColumnType::Date
        | ColumnType::Time { .. }
        | ColumnType::Datetime { .. }
        | ColumnType::Timestamp { .. } => Some(moment(value)),
        ColumnType::Binary { .. } if quoted.is_some() => {
            Some(value.trim_end_matches('\0').to_owned())
        }
        // `DEFAULT 5` of a text column is printed as '5'.
        _ => quoted.map(str::to_owned).or_else(|| number(value)),
    };
    Some(plain.unwrap_or_else(|| text.to_owned()))
}

/// A date or time in one spelling: without zeros behind the second and without a midnight.
fn moment(text: &str) -> String {
    let typed = ["date '", "time '", "timestamp '"]
        .into_iter()
        .find_map(|prefix| text.strip_prefix(prefix)?.strip_suffix('\''));
    let text = typed.unwrap_or(text);
    let text = match text.rsplit_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            match fraction.trim_end_matches('0') {
                "" => whole.to_owned(),
                fraction => format!("{whole}.{fraction}"),
            }
        }
        _ => text.to_owned(),
    };
    match text.strip_suffix(" 00:00:00") {
        Some(date) => date.to_owned(),
        None => text,
    }
}

/// A number in one spelling: `-0.50` is `-0.5`, `1e3` is `1000`, `x'10'` is `16`. `None` where it
/// is none.
fn number(text: &str) -> Option<String> {
    let literal = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix('\'');
    if let Some(hex) = literal("x'").or_else(|| text.strip_prefix("0x")) {
        return Some(u128::from_str_radix(hex, 16).ok()?.to_string());
    }
    if let Some(bits) = literal("b'").or_else(|| text.strip_prefix("0b")) {
        return Some(u128::from_str_radix(bits, 2).ok()?.to_string());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = if digits.contains('e') {
        digits.parse::<f64>().ok()?.to_string()
    } else {
        digits.to_owned()
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Some(match fraction.trim_end_matches('0') {
        "" if whole == "0" => "0".to_owned(),
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

/// Text columns agree where neither's stated charset or collation contradicts the other's.
fn same_collation(wanted: &Column, found: &Column, want: &TableDef, have: &TableDef) -> bool {
    let (Some(a), Some(b)) = (wanted.kind.collation(), found.kind.collation()) else {
        return true;
    };
    let or = |own: &Collation, table: &TableDef| Collation {
        charset: own
            .charset
            .clone()
            .or(table.options.collation.charset.clone()),
        name: own.name.clone(),
    };
    let (a, b) = (or(a, want), or(b, have));
    // A server that leaves the collation out means the charset's default, and one that prints it
    // may print that default: only two stated ones can contradict.
    let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
    agree(&a.charset, &b.charset) && collations_agree(&a, &b)
}

fn collations_agree(wanted: &Collation, found: &Collation) -> bool {
    match (&wanted.name, &found.name) {
        (Some(a), Some(b)) => a == b,
        // Wanted a certain one, found the default of the charset.
        (Some(a), None) => is_default(a),
        // The DDL leaves it to the server.
        (None, _) => true,
    }
}

/// Whether a server that prints a charset without a collation can mean this one: `SHOW CREATE
/// TABLE` leaves out the charset's default.
fn is_default(name: &str) -> bool {
    name.ends_with("_general_ci")
        || name == "utf8mb4_0900_ai_ci"
        || name == "latin1_swedish_ci"
        || name == "binary"
}

fn strip(kind: &ColumnType) -> ColumnType {
    let mut kind = kind.clone();
    match &mut kind {
        ColumnType::Char { collation, .. }
        | ColumnType::Varchar { collation, .. }
        | ColumnType::Text { collation, .. }
        | ColumnType::Enum { collation, .. }
        | ColumnType::Set { collation, .. } => *collation = Collation::default(),
        _ => {}
    }
    kind
}

fn indexes(wanted: &TableDef, found: &TableDef, out: &mut Vec<Difference>) {
    let mut left: Vec<&Index> = found.indexes.iter().collect();
    for index in &wanted.indexes {
        let same = |there: &&Index| {
            let names = match (&index.name, &there.name) {
                (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                _ => true,
            };
            names
                && index.kind == there.kind
                && index.attributes == there.attributes
                && key(wanted, &index.parts) == key(found, &there.parts)
        };
        match left.iter().position(same) {
            Some(at) => {
                left.remove(at);
            }
            None => out.push(Difference::IndexMissing(index_text(index))),
        }
    }
    for index in left {
        // InnoDB makes an index for a foreign key that has none, and names it as it likes.
        let columns = bare_key(&index.parts);
        let for_foreign_key = wanted
            .constraints
            .iter()
            .any(|text| text.starts_with(&format!("foreign key {columns} ")));
        if !for_foreign_key {
            out.push(Difference::IndexExtra(index_text(index)));
        }
    }
}

/// The columns as a foreign key's text has them.
fn bare_key(parts: &[KeyPart]) -> String {
    let names: Vec<String> = parts
        .iter()
        .map(|part| part.column.to_lowercase())
        .collect();
    format!("({})", names.join(", "))
}

/// Each constraint has its partner on the other side; names do not count, for physical tables in
/// one schema cannot share them.
fn constraints(wanted: &TableDef, found: &TableDef, out: &mut Vec<Difference>) {
    let mut left: Vec<&String> = found.constraints.iter().collect();
    for text in &wanted.constraints {
        match left.iter().position(|there| *there == text) {
            Some(at) => {
                left.remove(at);
            }
            None => out.push(Difference::ConstraintMissing(text.clone())),
        }
    }
    let extra = left.into_iter().cloned();
    out.extend(extra.map(Difference::ConstraintExtra));
}

/// Options count only where they are wanted, but for what changes the table's nature.
fn options(wanted: &TableDef, found: &TableDef, out: &mut Vec<Difference>) {
    let mut option = |name: &str, want: &Option<String>, have: &Option<String>| {
        if let Some(want) = want
            && Some(want) != have.as_ref()
        {
            out.push(Difference::Option {
                option: name.to_owned(),
                found: have.clone().unwrap_or_else(|| "not set".to_owned()),
                wanted: want.clone(),
            });
        }
    };
    let (want, have) = (&wanted.options, &found.options);
    option("engine", &want.engine, &have.engine);
    option("row format", &want.row_format, &have.row_format);
    option("charset", &want.collation.charset, &have.collation.charset);
    if !collations_agree(&want.collation, &have.collation) {
        option("collation", &want.collation.name, &have.collation.name);
    }
    if !want.comment.is_empty() {
        option(
            "comment",
            &Some(want.comment.clone()),
            &Some(have.comment.clone()),
        );
    }
    let get = |list: &[(String, String)], option: &str| {
        let entry = list.iter().find(|(name, _)| name == option);
        entry.map(|(_, value)| value.clone())
    };
    for name in STORED_AS {
        let (a, b) = (get(&want.other, name), get(&have.other, name));
        option(&name.to_lowercase(), &a, &b);
    }
    for nature in ["PARTITION", "SYSTEM_VERSIONING"] {
        let (a, b) = (get(&want.other, nature), get(&have.other, nature));
        if a != b {
            out.push(Difference::Option {
                option: nature.to_lowercase().replace('_', " "),
                found: b.unwrap_or_else(|| "not set".to_owned()),
                wanted: a.unwrap_or_else(|| "not set".to_owned()),
            });
        }
    }
}

/// The options that change how rows are stored or planned for and that both servers print as they
/// were given; many others they drop or round.
const STORED_AS: [&str; 7] = [
    "COMPRESSION",
    "KEY_BLOCK_SIZE",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
];

/// A key's parts as they count in `def`: a prefix as long as the column is none, and the servers
/// drop it.
fn key(def: &TableDef, parts: &[KeyPart]) -> String {
    let parts: Vec<KeyPart> = parts
        .iter()
        .cloned()
        .map(|mut part| {
            let whole = match def.column(&part.column).map(|column| &column.kind) {
                Some(ColumnType::Char { chars, .. } | ColumnType::Varchar { chars, .. }) => *chars,
                Some(ColumnType::Binary { bytes } | ColumnType::Varbinary { bytes }) => *bytes,
                _ => u32::MAX,
            };
            part.prefix = part.prefix.filter(|prefix| *prefix < whole);
            part
        })
        .collect();
    key_text(&parts)
}

fn key_text(parts: &[KeyPart]) -> String {
    if parts.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = parts
        .iter()
        .map(|part| {
            let column = part.column.to_lowercase();
            let prefix = part.prefix.map(|n| format!("({n})")).unwrap_or_default();
            let order = if part.descending { " desc" } else { "" };
            format!("{column}{prefix}{order}")
        })
        .collect();
    format!("({})", texts.join(", "))
}

fn index_text(index: &Index) -> String {
    let kind = match index.kind {
        IndexKind::Plain => "index",
        IndexKind::Unique => "unique index",
        IndexKind::Fulltext => "fulltext index",
        IndexKind::Spatial => "spatial index",
    };
    let name = index
        .name
        .as_ref()
        .map(|n| format!("`{n}` "))
        .unwrap_or_default();
    let attributes: String = index.attributes.iter().map(|a| format!(" {a}")).collect();
    format!("{kind} {name}{}{attributes}", key_text(&index.parts))
}

/// A column in SQL words.
fn describe(column: &Column) -> String {
    let mut text = format!("`{}` {}", column.name, type_text(&column.kind));
    if !column.nullable {
        text.push_str(" not null");
    }
    if let Some(generated) = generated_text(column) {
        text.push_str(&format!(" {generated}"));
    }
    text
}

fn collation_text(kind: &ColumnType) -> Option<String> {
    let collation = kind.collation()?;
    match (&collation.name, &collation.charset) {
        (Some(name), _) => Some(format!("collate {name}")),
        (None, Some(charset)) => Some(format!("charset {charset}")),
        (None, None) => None,
    }
}

fn generated_text(column: &Column) -> Option<String> {
    column.generated.as_ref().map(|generated| {
        let kind = if generated.stored {
            "stored"
        } else {
            "virtual"
        };
        format!("as ({}) {kind}", generated.expression)
    })
}

/// A type in SQL words.
pub fn type_text(kind: &ColumnType) -> String {
    let unsigned = |yes: bool| if yes { " unsigned" } else { "" };
    let sized = |names: [&str; 4], length_bytes: u8| {
        names[usize::from(length_bytes.clamp(1, 4)) - 1].to_owned()
    };
    let fraction = |name: &str, digits: u8| match digits {
        0 => name.to_owned(),
        digits => format!("{name}({digits})"),
    };
    let list = |name: &str, values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
        format!("{name}({})", values.join(","))
    };
    match kind {
        ColumnType::Integer { bytes, unsigned: u } => {
            let name = match bytes {
                1 => "tinyint",
                2 => "smallint",
                3 => "mediumint",
                4 => "int",
                _ => "bigint",
            };
            format!("{name}{}", unsigned(*u))
        }
        ColumnType::Decimal {
            precision,
            scale,
            unsigned: u,
        } => format!("decimal({precision},{scale}){}", unsigned(*u)),
        ColumnType::Float { unsigned: u } => format!("float{}", unsigned(*u)),
        ColumnType::Double { unsigned: u } => format!("double{}", unsigned(*u)),
        ColumnType::Bit { bits } => format!("bit({bits})"),
        ColumnType::Char { chars, .. } => format!("char({chars})"),
        ColumnType::Varchar { chars, .. } => format!("varchar({chars})"),
        ColumnType::Text { length_bytes, .. } => sized(
            ["tinytext", "text", "mediumtext", "longtext"],
            *length_bytes,
        ),
        ColumnType::Binary { bytes } => format!("binary({bytes})"),
        ColumnType::Varbinary { bytes } => format!("varbinary({bytes})"),
        ColumnType::Blob { length_bytes } => sized(
            ["tinyblob", "blob", "mediumblob", "longblob"],
            *length_bytes,
        ),
        ColumnType::Enum { values, .. } => list("enum", values),
        ColumnType::Set { values, .. } => list("set", values),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time { fraction: digits } => fraction("time", *digits),
        ColumnType::Datetime { fraction: digits } => fraction("datetime", *digits),
        ColumnType::Timestamp { fraction: digits } => fraction("timestamp", *digits),
        ColumnType::Year => "year".to_owned(),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Other(name) => name.clone(),
    }
}
