//! A table as data: what a `CREATE TABLE` statement or a server says of it.

pub mod compare;
mod expression;
pub mod parse;
pub mod render;
pub mod script;
pub mod size;
mod tokens;

use serde::Serialize;

use crate::names::{ColumnName, TableName};

/// A table's definition. The order of `columns` is the table's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDef {
    /// The name in the statement.
    pub name: TableName,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The primary key's columns, in key order; empty where there is none.
    pub primary_key: Vec<KeyPart>,
    /// Every other index, in the statement's order.
    pub indexes: Vec<Index>,
    /// Foreign keys and checks, each as normalised text.
    pub constraints: Vec<String>,
    /// The names given to foreign keys and checks. MySQL has one list of them for a whole schema
    /// (MariaDB of foreign keys only), so that a second physical table cannot have them.
    pub constraint_names: Vec<String>,
    /// The tables that foreign keys refer to, as written and without a schema.
    pub references: Vec<String>,
    /// Engine, charset and the like.
    pub options: TableOptions,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The column's name.
    pub name: ColumnName,
    /// The column's type, with the table's default charset and collation filled in.
    pub kind: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The default as normalised SQL text; `None` where there is none written.
    pub default: Option<String>,
    /// `ON UPDATE CURRENT_TIMESTAMP`, as normalised text.
    pub on_update: Option<String>,
    /// Whether it is `AUTO_INCREMENT`.
    pub auto_increment: bool,
    /// The expression of a generated column.
    pub generated: Option<Generated>,
    /// The comment; empty where there is none.
    pub comment: String,
    /// What else changes what the column holds or shows, in order: `invisible`, `zerofill`,
    /// `compressed`, `srid 4326`, `(7,2)` of FLOAT(7,2).
    pub attributes: Vec<String>,
}

/// How a generated column comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// The expression as normalised text.
    pub expression: String,
    /// Stored in the row (or only computed on read).
    pub stored: bool,
}

/// A column's type as far as placing, comparing and sizing rows need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// TINYINT (1 byte) to BIGINT (8 bytes). Display widths do not count.
    Integer {
        /// Bytes stored: 1, 2, 3, 4 or 8.
        bytes: u8,
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// DECIMAL.
    Decimal {
        /// Digits in all, 1 to 65.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// FLOAT.
    Float {
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// DOUBLE.
    Double {
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// BIT.
    Bit {
        /// Bits, 1 to 64.
        bits: u8,
    },
    /// CHAR.
    Char {
        /// Characters.
        chars: u32,
        /// Its charset and collation.
        collation: Collation,
    },
    /// VARCHAR.
    Varchar {
        /// Characters at most.
        chars: u32,
        /// Its charset and collation.
        collation: Collation,
    },
    /// TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT.
    Text {
        /// Bytes of the length prefix: 1, 2, 3 or 4.
        length_bytes: u8,
        /// Its charset and collation.
        collation: Collation,
    },
    /// BINARY.
    Binary {
        /// Bytes.
        bytes: u32,
    },
    /// VARBINARY.
    Varbinary {
        /// Bytes at most.
        bytes: u32,
    },
    /// TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB.
    Blob {
        /// Bytes of the length prefix: 1, 2, 3 or 4.
        length_bytes: u8,
    },
    /// ENUM.
    Enum {
        /// The values, in order.
        values: Vec<String>,
        /// Its charset and collation.
        collation: Collation,
    },
    /// SET.
    Set {
        /// The members, in order.
        values: Vec<String>,
        /// Its charset and collation.
        collation: Collation,
    },
    /// DATE.
    Date,
    /// TIME.
    Time {
        /// Digits of a second's fraction, 0 to 6.
        fraction: u8,
    },
    /// DATETIME.
    Datetime {
        /// Digits of a second's fraction, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP.
    Timestamp {
        /// Digits of a second's fraction, 0 to 6.
        fraction: u8,
    },
    /// YEAR.
    Year,
    /// JSON (on MariaDB LONGTEXT with a check).
    Json,
    /// Any other type, in lower case: spatial types, UUID, INET6, VECTOR.
    Other(String),
}

/// A charset and a collation; `None` is the server's or the schema's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Collation {
    /// The charset's name, lower case (`utf8` is `utf8mb3`).
    pub charset: Option<String>,
    /// The collation's name, lower case.
    pub name: Option<String>,
}

/// A column in a key, or an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPart {
    /// The column's name, or the expression's normalised text in parentheses.
    pub column: String,
    /// Characters or bytes of a prefix key.
    pub prefix: Option<u32>,
    /// Whether it is DESC.
    pub descending: bool,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// The name; `None` where the statement leaves it to the server.
    pub name: Option<String>,
    /// What kind it is.
    pub kind: IndexKind,
    /// Its parts, in order.
    pub parts: Vec<KeyPart>,
    /// What changes its use: `invisible` (MariaDB: IGNORED), `with parser ngram`.
    pub attributes: Vec<String>,
}

/// The kinds of secondary index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// KEY, INDEX.
    Plain,
    /// UNIQUE.
    Unique,
    /// FULLTEXT.
    Fulltext,
    /// SPATIAL.
    Spatial,
}

/// Options behind the column list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TableOptions {
    /// The storage engine, in the servers' own spelling (`InnoDB`).
    pub engine: Option<String>,
    /// The default charset and collation.
    pub collation: Collation,
    /// The comment; empty where there is none.
    pub comment: String,
    /// ROW_FORMAT, upper case.
    pub row_format: Option<String>,
    /// Any other option but AUTO_INCREMENT, `NAME=value`, in order of the name.
    pub other: Vec<(String, String)>,
}

impl ColumnType {
    /// The charset and collation of a text type.
    pub fn collation(&self) -> Option<&Collation> {
        match self {
            ColumnType::Char { collation, .. }
            | ColumnType::Varchar { collation, .. }
            | ColumnType::Text { collation, .. }
            | ColumnType::Enum { collation, .. }
            | ColumnType::Set { collation, .. } => Some(collation),
            _ => None,
        }
    }
}

impl TableDef {
    /// The column of this name, whatever its case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.is(name))
    }

    /// The keys that make a row unique: the primary key first, then each unique index.
    pub fn unique_keys(&self) -> impl Iterator<Item = &[KeyPart]> {
        let primary = Some(self.primary_key.as_slice()).filter(|parts| !parts.is_empty());
        let unique = self
            .indexes
            .iter()
            .filter(|index| index.kind == IndexKind::Unique)
            .map(|index| index.parts.as_slice());
        primary.into_iter().chain(unique)
    }
}
