//! `CREATE TABLE` text to [`TableDef`].
//!
//! A parser of its own, for a statement parser has to understand all of a statement or none of it.
//! Here what decides where a row goes and whether two tables are alike (columns, types, keys,
//! options) is understood, and whatever else the two servers print (expressions, partitions,
//! attributes of engines) is kept as normalised text, to be compared but not interpreted.

use super::expression::normal;
use super::tokens::{Kind, Token, flat, piece, place, tokenize};
use super::{
    Collation, Column, ColumnType, Generated, Index, IndexKind, KeyPart, TableDef, TableOptions,
};
use crate::names::{ColumnName, TableName};

/// A `CREATE TABLE` statement that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct DdlError {
    /// Line within the text, counted from 1.
    pub line: u32,
    /// Column within the line in characters, counted from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// How deep parentheses may nest.
const DEPTH_MAX: u32 = 200;

/// Reads one `CREATE TABLE` statement, as a person writes it or as `SHOW CREATE TABLE` prints it.
///
/// # Errors
/// The text is not one such statement, with the place of the first thing that does not fit.
pub fn parse_create_table(sql: &str) -> Result<TableDef, DdlError> {
    let tokens = tokenize(sql)?;
    let mut parser = Parser {
        sql,
        tokens: &tokens,
        at: 0,
        pending: Pending::default(),
        key_columns: Vec::new(),
    };
    parser.create_table()
}

/// Byte offsets of the parts of a statement that [`super::render`] replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameSpan {
    /// Start of the table's name, schema included.
    pub start: usize,
    /// End of it.
    pub end: usize,
}

/// Where the table's name stands in a statement.
pub(super) fn name_span(sql: &str) -> Result<NameSpan, DdlError> {
    let tokens = tokenize(sql)?;
    let mut parser = Parser {
        sql,
        tokens: &tokens,
        at: 0,
        pending: Pending::default(),
        key_columns: Vec::new(),
    };
    parser.head()?;
    let start = parser.peek().start;
    parser.table_name()?;
    let end = parser.tokens[parser.at - 1].end;
    Ok(NameSpan { start, end })
}

struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    at: usize,
    pending: Pending,
    /// The columns that keys name, where they stand.
    key_columns: Vec<Token>,
}

/// What a column's text says and only the table's charset can resolve.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    /// `TEXT(n)`: the smallest type that holds so many characters.
    text_chars: Option<u32>,
    /// The attribute BINARY: the charset's binary collation.
    binary: bool,
}

/// What the body of the parentheses has given so far.
#[derive(Default)]
struct Body {
    columns: Vec<Column>,
    primary_key: Vec<KeyPart>,
    indexes: Vec<Index>,
    constraints: Vec<String>,
    constraint_names: Vec<String>,
    references: Vec<String>,
    /// By column.
    pending: Vec<Pending>,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn wrong<T>(&self, token: &Token, message: impl Into<String>) -> Result<T, DdlError> {
        let (line, column) = place(self.sql, token.start);
        Err(DdlError {
            line,
            column,
            message: message.into(),
        })
    }

    fn expected<T>(&self, what: &str) -> Result<T, DdlError> {
        let token = self.peek();
        let found = match token.kind {
            Kind::End => "the end of the statement".to_owned(),
            _ => format!("`{}`", &self.sql[token.start..token.end]),
        };
        self.wrong(token, format!("expected {what}, found {found}"))
    }

    fn accept(&mut self, keyword: &str) -> bool {
        let found = self.peek().is(keyword);
        if found {
            self.next();
        }
        found
    }

    fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek().is_symbol(symbol);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<(), DdlError> {
        if self.accept(keyword) {
            Ok(())
        } else {
            self.expected(keyword)
        }
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), DdlError> {
        if self.accept_symbol(symbol) {
            Ok(())
        } else {
            self.expected(&format!("`{symbol}`"))
        }
    }

    /// A name, quoted or not.
    fn name(&mut self, what: &str) -> Result<Token, DdlError> {
        match self.peek().kind {
            Kind::Word | Kind::Quoted => Ok(self.next()),
            _ => self.expected(what),
        }
    }

    /// A small number, such as a length.
    fn number(&mut self) -> Result<u32, DdlError> {
        let token = self.peek().clone();
        match (token.kind == Kind::Number)
            .then(|| token.text.parse().ok())
            .flatten()
        {
            Some(number) => {
                self.next();
                Ok(number)
            }
            None => self.expected("a number"),
        }
    }

    /// `(n)`, if it is there.
    fn length(&mut self) -> Result<Option<u32>, DdlError> {
        if !self.accept_symbol("(") {
            return Ok(None);
        }
        let number = self.number()?;
        self.expect_symbol(")")?;
        Ok(Some(number))
    }

    fn text(&mut self, what: &str) -> Result<String, DdlError> {
        match self.peek().kind {
            Kind::Text => Ok(self.next().text),
            _ => self.expected(what),
        }
    }

    /// `CREATE TABLE [IF NOT EXISTS]`.
    fn head(&mut self) -> Result<(), DdlError> {
        self.expect("CREATE")?;
        if self.peek().is("TEMPORARY") {
            let token = self.peek().clone();
            return self.wrong(&token, "a temporary table cannot be part of a topology");
        }
        if self.peek().is("OR") {
            let token = self.peek().clone();
            return self.wrong(
                &token,
                "OR REPLACE would drop a table; it is not taken here",
            );
        }
        self.expect("TABLE")?;
        if self.accept("IF") {
            self.expect("NOT")?;
            self.expect("EXISTS")?;
        }
        Ok(())
    }

    /// `[schema.]table`: the table's part.
    fn table_name(&mut self) -> Result<Token, DdlError> {
        let first = self.name("the table's name")?;
        if self.accept_symbol(".") {
            return self.name("the table's name");
        }
        Ok(first)
    }

    fn create_table(&mut self) -> Result<TableDef, DdlError> {
        self.head()?;
        let name = self.table_name()?;
        let table_name = TableName::new(name.text.as_str());
        let table_name = table_name.or_else(|fault| self.wrong(&name, fault.to_string()))?;
        if self.peek().is("LIKE") || self.peek().is("SELECT") || self.peek().is("AS") {
            let token = self.peek().clone();
            return self.wrong(&token, "the columns must be written out");
        }
        self.expect_symbol("(")?;
        let mut body = Body::default();
        loop {
            self.item(&mut body)?;
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        let options = self.options()?;
        self.accept_symbol(";");
        if self.peek().kind != Kind::End {
            return self.expected("the end of the statement");
        }
        if body.columns.is_empty() {
            return self.wrong(&name, format!("`{table_name}` has no column"));
        }
        self.finish(table_name, body, options)
    }

    /// What the statement leaves to be concluded: key columns are NOT NULL, text columns without a
    /// charset of their own have the table's.
    fn finish(
        &self,
        name: TableName,
        body: Body,
        options: TableOptions,
    ) -> Result<TableDef, DdlError> {
        let mut columns = body.columns;
        for part in &body.primary_key {
            match columns.iter_mut().find(|c| c.name.is(&part.column)) {
                Some(column) => column.nullable = false,
                None if part.column.starts_with('(') => {}
                None => {
                    return self.wrong(
                        self.key_column(&part.column),
                        format!(
                            "the primary key names `{}`, which is no column",
                            part.column
                        ),
                    );
                }
            }
        }
        for index in &body.indexes {
            for part in &index.parts {
                let known = part.column.starts_with('(')
                    || columns.iter().any(|column| column.name.is(&part.column));
                if !known {
                    return self.wrong(
                        self.key_column(&part.column),
                        format!("an index names `{}`, which is no column", part.column),
                    );
                }
            }
        }
        for (column, pending) in columns.iter_mut().zip(&body.pending) {
            resolve(&mut column.kind, *pending, &options.collation);
        }
        Ok(TableDef {
            name,
            columns,
            primary_key: body.primary_key,
            indexes: body.indexes,
            constraints: body.constraints,
            constraint_names: body.constraint_names,
            references: body.references,
            options,
        })
    }

    /// Where a key names this column.
    fn key_column(&self, name: &str) -> &Token {
        self.key_columns
            .iter()
            .find(|token| token.text == name)
            .unwrap_or_else(|| self.peek())
    }

    fn item(&mut self, body: &mut Body) -> Result<(), DdlError> {
        let first = self.peek().clone();
        if first.kind == Kind::Word {
            let named = first.is("CONSTRAINT");
            if named {
                self.next();
            }
            let keyword = self.peek().text.to_ascii_uppercase();
            let own_name = named && !is_constraint_keyword(&keyword);
            let name = if own_name {
                Some(self.name("the constraint's name")?.text)
            } else {
                None
            };
            match self.peek().text.to_ascii_uppercase().as_str() {
                "PRIMARY" => {
                    self.next();
                    self.expect("KEY")?;
                    self.index_type()?;
                    body.primary_key = self.key_parts()?;
                    self.index_options()?;
                    return Ok(());
                }
                "UNIQUE" => return self.index(body, IndexKind::Unique, name),
                "KEY" | "INDEX" if !named => return self.index(body, IndexKind::Plain, None),
                "FULLTEXT" if !named => return self.index(body, IndexKind::Fulltext, None),
                "SPATIAL" if !named => return self.index(body, IndexKind::Spatial, None),
                "FOREIGN" => {
                    body.constraint_names.extend(name);
                    return self.foreign_key(body);
                }
                "CHECK" => {
                    self.next();
                    body.constraint_names.extend(name);
                    let check = self.check()?;
                    body.constraints.push(check);
                    return Ok(());
                }
                "PERIOD" if self.peek_at(1).is("FOR") => {
                    body.constraints.push(self.rest_of_item()?);
                    return Ok(());
                }
                _ if named => return self.expected("PRIMARY KEY, UNIQUE, FOREIGN KEY or CHECK"),
                _ => {}
            }
        }
        self.column(body)
    }

    /// `CHECK`'s expression and whether it is in force, behind the keyword.
    fn check(&mut self) -> Result<String, DdlError> {
        let mut check = format!("check {}", self.group()?);
        if self.peek().is("NOT") && self.peek_at(1).is("ENFORCED") {
            self.next();
            self.next();
            check.push_str(" not enforced");
        } else {
            self.accept("ENFORCED");
        }
        Ok(check)
    }

    fn foreign_key(&mut self, body: &mut Body) -> Result<(), DdlError> {
        self.expect("FOREIGN")?;
        self.expect("KEY")?;
        if !self.peek().is_symbol("(") {
            // The name of the index below it, not of the constraint.
            self.name("the foreign key's columns")?;
        }
        let columns = self.names()?;
        self.expect("REFERENCES")?;
        let table = self.table_name()?.text;
        let mut text = format!(
            "foreign key ({columns}) references {} ({})",
            table.to_lowercase(),
            self.names()?
        );
        body.references.push(table);
        loop {
            if self.accept("MATCH") {
                // Parsed and ignored by both servers.
                self.name("FULL, PARTIAL or SIMPLE")?;
            } else if self.accept("ON") {
                let event = self.name("DELETE or UPDATE")?.text.to_lowercase();
                let mut action = self.name("an action")?.text.to_lowercase();
                if action == "set" || action == "no" {
                    let rest = self.name("the action's second word")?;
                    action = format!("{action} {}", rest.text.to_lowercase());
                }
                // What InnoDB does without a word; MariaDB does not print it.
                if !["restrict", "no action"].contains(&action.as_str()) {
                    text.push_str(&format!(" on {event} {action}"));
                }
            } else {
                break;
            }
        }
        body.constraints.push(text);
        Ok(())
    }

    /// Names in parentheses, in lower case.
    fn names(&mut self) -> Result<String, DdlError> {
        self.expect_symbol("(")?;
        let mut names = Vec::new();
        loop {
            names.push(self.name("a column")?.text.to_lowercase());
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        Ok(names.join(", "))
    }

    fn index(
        &mut self,
        body: &mut Body,
        kind: IndexKind,
        constraint: Option<String>,
    ) -> Result<(), DdlError> {
        self.next();
        let _ = self.accept("KEY") || self.accept("INDEX");
        let name = match self.peek().kind {
            Kind::Word if self.peek().is("USING") => None,
            Kind::Word | Kind::Quoted => Some(self.next().text),
            _ => None,
        };
        self.index_type()?;
        let parts = self.key_parts()?;
        let attributes = self.index_options()?;
        body.indexes.push(Index {
            name: name.or(constraint),
            kind,
            parts,
            attributes,
        });
        Ok(())
    }

    fn index_type(&mut self) -> Result<(), DdlError> {
        if self.accept("USING") {
            self.name("BTREE or HASH")?;
        }
        Ok(())
    }

    fn key_parts(&mut self) -> Result<Vec<KeyPart>, DdlError> {
        self.expect_symbol("(")?;
        let mut parts = Vec::new();
        loop {
            let column = if self.peek().is_symbol("(") {
                self.group()?
            } else {
                let column = self.name("a column")?;
                self.key_columns.push(column.clone());
                column.text
            };
            let prefix = self.length()?;
            let descending = self.accept("DESC");
            if !descending {
                self.accept("ASC");
            }
            parts.push(KeyPart {
                column,
                prefix,
                descending,
            });
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        Ok(parts)
    }

    /// Options behind an index. Those that change what queries get out of it are given back; kind
    /// of tree, comment and block size are passed over.
    fn index_options(&mut self) -> Result<Vec<String>, DdlError> {
        let mut attributes = Vec::new();
        loop {
            if self.accept("USING") {
                self.name("BTREE or HASH")?;
            } else if self.accept("COMMENT") {
                self.text("the index's comment")?;
            } else if self.accept("KEY_BLOCK_SIZE") {
                self.accept_symbol("=");
                self.number()?;
            } else if self.accept("WITH") {
                self.expect("PARSER")?;
                let parser = self.name("the parser's name")?.text.to_lowercase();
                attributes.push(format!("with parser {parser}"));
            } else if self.accept("NOT") {
                self.expect("IGNORED")?;
            } else if self.accept("INVISIBLE") || self.accept("IGNORED") {
                // MySQL's word and MariaDB's for an index the optimizer leaves alone.
                attributes.push("invisible".to_owned());
            } else if self.accept("VISIBLE") {
            } else if self.peek().kind == Kind::Word && self.peek_at(1).is_symbol("=") {
                self.next();
                self.next();
                self.next();
            } else {
                return Ok(attributes);
            }
        }
    }

    fn column(&mut self, body: &mut Body) -> Result<(), DdlError> {
        let token = self.name("a column, a key or a constraint")?;
        let name = ColumnName::new(token.text.as_str());
        let name = name.or_else(|fault| self.wrong(&token, fault.to_string()))?;
        if body
            .columns
            .iter()
            .any(|column| column.name.is(name.as_str()))
        {
            return self.wrong(&token, format!("the column `{name}` is there twice"));
        }
        self.pending = Pending::default();
        let type_start = self.at;
        let serial = self.accept("SERIAL");
        let kind = if serial {
            ColumnType::Integer {
                bytes: 8,
                unsigned: true,
            }
        } else {
            self.column_type()?
        };
        let mut column = Column {
            name,
            kind,
            nullable: !serial,
            default: None,
            on_update: None,
            auto_increment: serial,
            generated: None,
            comment: String::new(),
            attributes: Vec::new(),
        };
        if self.tokens[type_start..self.at]
            .iter()
            .any(|token| token.is("ZEROFILL"))
        {
            column.attributes.push("zerofill".to_owned());
        }
        if serial {
            body.indexes.push(single(&column, IndexKind::Unique));
        }
        if matches!(
            column.kind,
            ColumnType::Float { .. } | ColumnType::Double { .. }
        ) && let [open, digits, comma, scale, ..] =
            &self.tokens[(type_start + 1).min(self.tokens.len())..]
            && open.is_symbol("(")
            && comma.is_symbol(",")
        {
            // FLOAT(7,2) rounds what it is given.
            column
                .attributes
                .push(format!("({},{})", digits.text, scale.text));
        }
        self.attributes(&mut column, body)?;
        column.attributes.sort();
        body.columns.push(column);
        body.pending.push(self.pending);
        Ok(())
    }

    fn attributes(&mut self, column: &mut Column, body: &mut Body) -> Result<(), DdlError> {
        loop {
            if self.accept("NOT") {
                if self.accept("NULL") {
                    column.nullable = false;
                } else {
                    return self.expected("NULL");
                }
            } else if self.accept("NULL") {
                column.nullable = true;
            } else if self.accept("DEFAULT") {
                column.default = Some(self.expression()?).filter(|text| text != "null");
            } else if self.accept("ON") {
                self.expect("UPDATE")?;
                column.on_update = Some(self.expression()?);
            } else if self.accept("AUTO_INCREMENT") {
                column.auto_increment = true;
            } else if self.accept("COMMENT") {
                column.comment = self.text("the column's comment")?;
            } else if self.accept("PRIMARY") {
                self.expect("KEY")?;
                body.primary_key = vec![part(column)];
            } else if self.accept("UNIQUE") {
                self.accept("KEY");
                body.indexes.push(single(column, IndexKind::Unique));
            } else if self.accept("KEY") {
                body.primary_key = vec![part(column)];
            } else if self.accept("CHARACTER") {
                self.expect("SET")?;
                self.charset(&mut column.kind)?;
            } else if self.accept("CHARSET") {
                self.charset(&mut column.kind)?;
            } else if self.accept("COLLATE") {
                let token = self.peek().clone();
                let name = self.name_or_text("the collation")?;
                match collation_of(&mut column.kind) {
                    Some(collation) => collation.name = Some(collation_name(&name)),
                    None => return self.wrong(&token, "a collation needs a text column"),
                }
            } else if self.peek().is("GENERATED") || self.peek().is("AS") {
                self.generated(column)?;
            } else if self.accept("CONSTRAINT") {
                if !self.peek().is("CHECK") {
                    let name = self.name("the constraint's name")?;
                    body.constraint_names.push(name.text);
                }
            } else if self.accept("CHECK") {
                let check = self.check()?;
                let name = column.name.as_str().to_lowercase();
                let long = matches!(
                    column.kind,
                    ColumnType::Text {
                        length_bytes: 4,
                        ..
                    }
                );
                // MariaDB's JSON is LONGTEXT with this check.
                if long && check == format!("check (json_valid({name}))") {
                    column.kind = ColumnType::Json;
                } else {
                    body.constraints.push(check);
                }
            } else if self.peek().is("REFERENCES") {
                let token = self.peek().clone();
                return self.wrong(
                    &token,
                    "InnoDB ignores a REFERENCES behind a column; write FOREIGN KEY",
                );
            } else if self.accept("UNSIGNED") {
                set_unsigned(&mut column.kind);
            } else if self.accept("BINARY") {
                self.pending.binary = true;
            } else if self.accept("ASCII") {
                self.set_charset(&mut column.kind, "latin1");
            } else if self.accept("UNICODE") {
                self.set_charset(&mut column.kind, "ucs2");
            } else if self.accept("INVISIBLE") {
                column.attributes.push("invisible".to_owned());
            } else if self.accept("VISIBLE") || self.accept("SIGNED") {
                // What it is anyway.
            } else if self.accept("SRID") {
                let srid = self.number()?;
                column.attributes.push(format!("srid {srid}"));
            } else if self.accept("REF_SYSTEM_ID") {
                // MariaDB takes it and does not print it.
                self.accept_symbol("=");
                self.number()?;
            } else if self.accept("COLUMN_FORMAT") || self.accept("STORAGE") {
                self.name("the format")?;
            } else if self.accept("COMPRESSED") {
                if self.accept_symbol("=") {
                    self.name("the algorithm")?;
                }
                column.attributes.push("compressed".to_owned());
            } else if self.peek().is("WITHOUT") || self.peek().is("WITH") {
                let without = self.next().is("WITHOUT");
                self.expect("SYSTEM")?;
                self.expect("VERSIONING")?;
                if without {
                    column
                        .attributes
                        .push("without system versioning".to_owned());
                }
            } else if self.peek().is_symbol(",") || self.peek().is_symbol(")") {
                return Ok(());
            } else {
                return self.expected("an attribute of the column, `,` or `)`");
            }
        }
    }

    fn generated(&mut self, column: &mut Column) -> Result<(), DdlError> {
        if self.accept("GENERATED") {
            self.expect("ALWAYS")?;
        }
        self.expect("AS")?;
        // MariaDB's system-versioning columns: `AS ROW START`.
        if self.accept("ROW") {
            let which = self.name("START or END")?.text.to_lowercase();
            column.generated = Some(Generated {
                expression: format!("row {which}"),
                stored: true,
            });
            return Ok(());
        }
        let expression = self.inside_group()?;
        let stored = self.accept("STORED") || self.accept("PERSISTENT");
        if !stored {
            self.accept("VIRTUAL");
        }
        column.generated = Some(Generated { expression, stored });
        Ok(())
    }

    fn name_or_text(&mut self, what: &str) -> Result<String, DdlError> {
        match self.peek().kind {
            Kind::Word | Kind::Quoted | Kind::Text => Ok(self.next().text),
            _ => self.expected(what),
        }
    }

    fn charset(&mut self, kind: &mut ColumnType) -> Result<(), DdlError> {
        let token = self.peek().clone();
        let name = charset_name(&self.name_or_text("the charset")?);
        match (collation_of(kind), name.as_str()) {
            (Some(collation), _) => collation.charset = Some(name),
            (None, _) => return self.wrong(&token, "a charset needs a text column"),
        }
        Ok(())
    }

    fn set_charset(&self, kind: &mut ColumnType, charset: &str) {
        if let Some(collation) = collation_of(kind) {
            collation.charset = Some(charset.to_owned());
        }
    }

    fn column_type(&mut self) -> Result<ColumnType, DdlError> {
        let mut token = self.name("the column's type")?;
        let mut word = token.text.to_ascii_lowercase();
        let mut text: fn() -> Collation = Collation::default;
        let national = || Collation {
            charset: Some("utf8mb3".to_owned()),
            name: None,
        };
        if word == "national" {
            token = self.name("CHAR or VARCHAR")?;
            word = token.text.to_ascii_lowercase();
            text = national;
        } else if ["nchar", "nvarchar"].contains(&word.as_str()) {
            text = national;
        }
        let kind = match word.as_str() {
            "tinyint" | "int1" => return self.integer(1),
            "smallint" | "int2" => return self.integer(2),
            "mediumint" | "int3" | "middleint" => return self.integer(3),
            "int" | "integer" | "int4" => return self.integer(4),
            "bigint" | "int8" => return self.integer(8),
            "bool" | "boolean" => ColumnType::Integer {
                bytes: 1,
                unsigned: false,
            },
            "decimal" | "numeric" | "dec" | "fixed" => return self.decimal(),
            "float" | "float4" => return self.float(),
            "double" | "real" | "float8" => {
                self.accept("PRECISION");
                self.skip_group()?;
                ColumnType::Double {
                    unsigned: self.signs(),
                }
            }
            "bit" => ColumnType::Bit {
                bits: self.length()?.unwrap_or(1).min(64) as u8,
            },
            "char" | "character" | "nchar" => {
                let varying = self.accept("VARYING");
                let chars = self.length()?;
                match (varying, chars) {
                    (true, None) => return self.expected("the length of the VARCHAR"),
                    (true, Some(chars)) => ColumnType::Varchar {
                        chars,
                        collation: text(),
                    },
                    (false, chars) => self.char_or_binary(chars.unwrap_or(1), text()),
                }
            }
            "varchar" | "nvarchar" | "varcharacter" => match self.length()? {
                None => return self.expected("the length of the VARCHAR"),
                Some(chars) => ColumnType::Varchar {
                    chars,
                    collation: text(),
                },
            },
            "tinytext" => text_type(1),
            "text" => {
                self.pending.text_chars = self.length()?;
                text_type(2)
            }
            "mediumtext" => text_type(3),
            "longtext" => text_type(4),
            "long" => {
                self.accept("VARCHAR");
                text_type(3)
            }
            "binary" => ColumnType::Binary {
                bytes: self.length()?.unwrap_or(1),
            },
            "varbinary" => match self.length()? {
                None => return self.expected("the length of the VARBINARY"),
                Some(bytes) => ColumnType::Varbinary { bytes },
            },
            "tinyblob" => ColumnType::Blob { length_bytes: 1 },
            "blob" => {
                let bytes = self.length()?.map(u64::from);
                ColumnType::Blob {
                    length_bytes: bytes.map_or(2, length_bytes),
                }
            }
            "mediumblob" => ColumnType::Blob { length_bytes: 3 },
            "longblob" => ColumnType::Blob { length_bytes: 4 },
            "enum" => ColumnType::Enum {
                values: self.values()?,
                collation: text(),
            },
            "set" => ColumnType::Set {
                values: self.values()?,
                collation: text(),
            },
            "date" => ColumnType::Date,
            "time" => ColumnType::Time {
                fraction: self.fraction()?,
            },
            "datetime" => ColumnType::Datetime {
                fraction: self.fraction()?,
            },
            "timestamp" => ColumnType::Timestamp {
                fraction: self.fraction()?,
            },
            "year" => {
                self.length()?;
                ColumnType::Year
            }
            "json" => ColumnType::Json,
            _ if token.kind == Kind::Quoted => {
                return self.wrong(&token, "expected the column's type, found a quoted name");
            }
            "uuid" | "inet4" | "inet6" | "geometry" | "point" | "linestring" | "polygon"
            | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
            | "xmltype" => ColumnType::Other(word),
            // MySQL's own name for it.
            "geomcollection" => ColumnType::Other("geometrycollection".to_owned()),
            "vector" => {
                let length = self.length()?;
                ColumnType::Other(length.map_or(word.clone(), |n| format!("{word}({n})")))
            }
            _ => return self.wrong(&token, format!("unknown column type `{}`", token.text)),
        };
        Ok(kind)
    }

    /// `CHAR(10) BYTE` is BINARY(10).
    fn char_or_binary(&mut self, chars: u32, collation: Collation) -> ColumnType {
        if self.accept("BYTE") {
            ColumnType::Binary { bytes: chars }
        } else {
            ColumnType::Char { chars, collation }
        }
    }

    fn integer(&mut self, bytes: u8) -> Result<ColumnType, DdlError> {
        self.length()?;
        Ok(ColumnType::Integer {
            bytes,
            unsigned: self.signs(),
        })
    }

    fn decimal(&mut self) -> Result<ColumnType, DdlError> {
        let at = self.peek().clone();
        let (mut precision, mut scale) = (10, 0);
        if self.accept_symbol("(") {
            precision = self.number()?;
            if self.accept_symbol(",") {
                scale = self.number()?;
            }
            self.expect_symbol(")")?;
        }
        if precision > 65 || scale > 38 || scale > precision {
            return self.wrong(&at, format!("DECIMAL({precision},{scale}) is out of range"));
        }
        // DECIMAL(0) is DECIMAL(10).
        let precision = if precision == 0 { 10 } else { precision };
        Ok(ColumnType::Decimal {
            precision: precision as u8,
            scale: scale as u8,
            unsigned: self.signs(),
        })
    }

    fn float(&mut self) -> Result<ColumnType, DdlError> {
        // FLOAT(25) and above is a DOUBLE.
        let double = self.peek().is_symbol("(")
            && self.peek_at(2).is_symbol(")")
            && self
                .peek_at(1)
                .text
                .parse::<u32>()
                .is_ok_and(|bits| bits > 24);
        self.skip_group()?;
        let unsigned = self.signs();
        Ok(if double {
            ColumnType::Double { unsigned }
        } else {
            ColumnType::Float { unsigned }
        })
    }

    fn skip_group(&mut self) -> Result<(), DdlError> {
        if self.peek().is_symbol("(") {
            self.group()?;
        }
        Ok(())
    }

    /// UNSIGNED and ZEROFILL, in any order; a zero-filled number is unsigned.
    fn signs(&mut self) -> bool {
        let mut unsigned = false;
        loop {
            if self.accept("UNSIGNED") || self.accept("ZEROFILL") {
                unsigned = true;
            } else if !self.accept("SIGNED") {
                return unsigned;
            }
        }
    }

    fn fraction(&mut self) -> Result<u8, DdlError> {
        let at = self.peek().clone();
        match self.length()?.unwrap_or(0) {
            digits @ 0..=6 => Ok(digits as u8),
            digits => self.wrong(&at, format!("{digits} digits of a fraction; at most 6")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, DdlError> {
        self.expect_symbol("(")?;
        let mut values = Vec::new();
        loop {
            values.push(self.text("a value in quotes")?);
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

    /// A default or `ON UPDATE` value, normalised: a literal, a function call, or an expression in
    /// parentheses. The parentheses do not count: MariaDB leaves out what MySQL prints.
    fn expression(&mut self) -> Result<String, DdlError> {
        if self.peek().is_symbol("(") {
            return self.inside_group();
        }
        let start = self.at;
        while self.peek().is_symbol("-") || self.peek().is_symbol("+") {
            self.next();
        }
        let token = self.peek().clone();
        match token.kind {
            Kind::Text | Kind::Number | Kind::Literal => {
                self.next();
            }
            Kind::Word => {
                self.next();
                let introduced = matches!(self.peek().kind, Kind::Text | Kind::Literal);
                let typed = ["date", "time", "timestamp"].contains(&piece(&token).as_str());
                if introduced && (token.text.starts_with('_') || typed) {
                    self.next();
                } else {
                    self.skip_group()?;
                }
            }
            _ => return self.expected("a value"),
        }
        Ok(normal(&self.tokens[start..self.at]))
    }

    /// The expression in a pair of parentheses in its normal form, the parentheses included.
    fn group(&mut self) -> Result<String, DdlError> {
        Ok(format!("({})", self.inside_group()?))
    }

    /// The same without the parentheses.
    fn inside_group(&mut self) -> Result<String, DdlError> {
        let open = self.peek().clone();
        self.expect_symbol("(")?;
        let start = self.at;
        let mut depth = 1;
        while depth > 0 {
            let token = self.next();
            match token.kind {
                Kind::End => return self.wrong(&open, "this parenthesis is not closed"),
                Kind::Symbol if token.text == "(" => depth += 1,
                Kind::Symbol if token.text == ")" => depth -= 1,
                _ => {}
            }
            if depth > DEPTH_MAX {
                return self.wrong(&open, "these parentheses nest too deep");
            }
        }
        Ok(normal(&self.tokens[start..self.at - 1]))
    }

    /// The rest of an item of the list, up to its comma or the closing parenthesis.
    fn rest_of_item(&mut self) -> Result<String, DdlError> {
        let start = self.at;
        loop {
            let token = self.peek();
            if token.kind == Kind::End || token.is_symbol(",") || token.is_symbol(")") {
                return Ok(flat(&self.tokens[start..self.at]));
            }
            if token.is_symbol("(") {
                self.skip_group()?;
            } else {
                self.next();
            }
        }
    }

    fn options(&mut self) -> Result<TableOptions, DdlError> {
        let mut options = TableOptions::default();
        loop {
            self.accept_symbol(",");
            self.accept("DEFAULT");
            let token = self.peek().clone();
            match token.kind {
                // MariaDB prints the options of engines between backticks.
                Kind::Word | Kind::Quoted => {}
                _ => break,
            }
            let word = token.text.to_ascii_uppercase();
            match word.as_str() {
                "CHARACTER" | "CHARSET" => {
                    self.next();
                    if word == "CHARACTER" {
                        self.expect("SET")?;
                    }
                    self.accept_symbol("=");
                    let name = self.name_or_text("the charset")?;
                    options.collation.charset = Some(charset_name(&name));
                }
                "COLLATE" => {
                    self.next();
                    self.accept_symbol("=");
                    let name = self.name_or_text("the collation")?;
                    options.collation.name = Some(collation_name(&name));
                }
                "PARTITION" => {
                    let mut text = Vec::new();
                    while self.peek().kind != Kind::End && !self.peek().is_symbol(";") {
                        text.push(self.next());
                    }
                    options.other.push((word, partitions(&text)));
                }
                "WITH" => {
                    self.next();
                    self.expect("SYSTEM")?;
                    self.expect("VERSIONING")?;
                    options
                        .other
                        .push(("SYSTEM_VERSIONING".to_owned(), "1".to_owned()));
                }
                "SELECT" | "AS" | "IGNORE" | "REPLACE" => {
                    return self.wrong(&token, "the columns must be written out, not selected");
                }
                _ => self.option(word, &mut options)?,
            }
        }
        complete(&mut options.collation);
        options.other.sort();
        Ok(options)
    }

    fn option(&mut self, word: String, options: &mut TableOptions) -> Result<(), DdlError> {
        self.next();
        let mut name = word;
        // `DATA DIRECTORY`, `INDEX DIRECTORY`.
        if self.peek().is("DIRECTORY") {
            self.next();
            name.push_str(" DIRECTORY");
        }
        self.accept_symbol("=");
        let token = self.peek().clone();
        let value = match token.kind {
            Kind::Word | Kind::Quoted | Kind::Text | Kind::Number => self.next().text,
            Kind::Symbol if token.text == "(" => self.group()?,
            _ => return self.expected(&format!("the value of {name}")),
        };
        match name.as_str() {
            "ENGINE" => options.engine = Some(engine_name(&value)),
            "COMMENT" => options.comment = value,
            "ROW_FORMAT" => options.row_format = Some(value.to_ascii_uppercase()),
            // Where a counter stands is not what a table is.
            "AUTO_INCREMENT" => {}
            _ => options.other.push((name, value.to_lowercase())),
        }
        Ok(())
    }
}

fn is_constraint_keyword(word: &str) -> bool {
    ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].contains(&word)
}

fn part(column: &Column) -> KeyPart {
    KeyPart {
        column: column.name.as_str().to_owned(),
        prefix: None,
        descending: false,
    }
}

fn single(column: &Column, kind: IndexKind) -> Index {
    Index {
        name: None,
        kind,
        parts: vec![part(column)],
        attributes: Vec::new(),
    }
}

fn text_type(length_bytes: u8) -> ColumnType {
    ColumnType::Text {
        length_bytes,
        collation: Collation::default(),
    }
}

fn set_unsigned(kind: &mut ColumnType) {
    match kind {
        ColumnType::Integer { unsigned, .. }
        | ColumnType::Decimal { unsigned, .. }
        | ColumnType::Float { unsigned }
        | ColumnType::Double { unsigned } => *unsigned = true,
        _ => {}
    }
}

/// The collation of a text column.
fn collation_of(kind: &mut ColumnType) -> Option<&mut Collation> {
    match kind {
        ColumnType::Char { collation, .. }
        | ColumnType::Varchar { collation, .. }
        | ColumnType::Text { collation, .. }
        | ColumnType::Enum { collation, .. }
        | ColumnType::Set { collation, .. } => Some(collation),
        _ => None,
    }
}

/// A collation names its charset: `utf8mb4_bin`.
fn complete(collation: &mut Collation) {
    if collation.charset.is_none()
        && let Some(name) = &collation.name
    {
        let charset = name.split('_').next().unwrap_or(name);
        // MariaDB's `uca1400_ai_ci` and the like stand for more than one charset.
        if charset != "uca1400" {
            collation.charset = Some(charset_name(charset));
        }
    }
}

fn charset_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "utf8" {
        "utf8mb3".to_owned()
    } else {
        name
    }
}

fn collation_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8_") {
        Some(rest) => format!("utf8mb3_{rest}"),
        None => name,
    }
}

fn engine_name(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "innodb" => "InnoDB".to_owned(),
        "myisam" => "MyISAM".to_owned(),
        _ => name.to_owned(),
    }
}

/// Partitions in one spelling: the engine, which is the table's, and `=` are left out, and the
/// values of a list partition are in order, for the server sorts them.
fn partitions(tokens: &[Token]) -> String {
    let mut kept = Vec::new();
    let mut rest = tokens
        .iter()
        .filter(|token| !token.is_symbol("="))
        .peekable();
    while let Some(token) = rest.next() {
        if token.is("ENGINE") {
            rest.next();
        } else if !(token.is("STORAGE") && rest.peek().is_some_and(|next| next.is("ENGINE"))) {
            kept.push(token.clone());
        }
    }
    let mut at = 0;
    while at + 1 < kept.len() {
        if kept[at].is("IN") && kept[at + 1].is_symbol("(") {
            let start = at + 2;
            let end = kept[start..].iter().position(|token| token.is_symbol(")"));
            let end = end.map_or(kept.len(), |length| start + length);
            // `((1, 2), (3, 4))` of LIST COLUMNS stays as it is.
            if !kept[start..end].iter().any(|token| token.is_symbol("(")) {
                let mut values: Vec<Vec<Token>> = kept[start..end]
                    .split(|token| token.is_symbol(","))
                    .map(<[Token]>::to_vec)
                    .collect();
                values.sort_by_key(|value| flat(value));
                let comma = Token {
                    kind: Kind::Symbol,
                    text: ",".to_owned(),
                    start: 0,
                    end: 0,
                };
                kept.splice(start..end, values.join(&comma));
            }
        }
        at += 1;
    }
    flat(&kept)
        .replace("(maxvalue)", "maxvalue")
        .replace("less than maxvalue", "less than(maxvalue)")
}

/// Bytes of the length prefix of the smallest TEXT or BLOB that holds so many bytes.
fn length_bytes(bytes: u64) -> u8 {
    match bytes {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        0x1_0000..=0xFF_FFFF => 3,
        _ => 4,
    }
}

/// Bytes of a charset's longest character; a charset that is left to the server counts as utf8mb4.
fn character_bytes(charset: Option<&str>) -> u64 {
    match charset {
        None | Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030") => 4,
        Some("utf8mb3" | "ujis" | "eucjpms") => 3,
        Some("ucs2" | "sjis" | "cp932" | "gbk" | "gb2312" | "big5" | "euckr") => 2,
        Some(_) => 1,
    }
}

/// What only the charset decides: the collation of a text column that has none of its own, the
/// size of `TEXT(n)`, and that text of the charset `binary` is bytes.
fn resolve(kind: &mut ColumnType, pending: Pending, table: &Collation) {
    let Some(collation) = collation_of(kind) else {
        return;
    };
    if collation.charset.is_none() && collation.name.is_none() {
        *collation = table.clone();
    } else {
        complete(collation);
    }
    if pending.binary
        && let Some(charset) = &collation.charset
    {
        collation.name = Some(format!("{charset}_bin"));
    }
    let charset = collation.charset.clone();
    if let (
        ColumnType::Text {
            length_bytes: size, ..
        },
        Some(chars),
    ) = (&mut *kind, pending.text_chars)
    {
        *size = length_bytes(u64::from(chars) * character_bytes(charset.as_deref()));
    }
    if charset.as_deref() == Some("binary") {
        *kind = match *kind {
            ColumnType::Char { chars, .. } => ColumnType::Binary { bytes: chars },
            ColumnType::Varchar { chars, .. } => ColumnType::Varbinary { bytes: chars },
            ColumnType::Text { length_bytes, .. } => ColumnType::Blob { length_bytes },
            _ => return,
        };
    }
}

#[cfg(test)]
mod tests;
