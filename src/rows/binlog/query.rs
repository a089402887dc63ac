//! What the statements in the log mean for the watched tables.
//!
//! With row format the log still has statements: the ends of transactions, DDL, and the DML of
//! sessions that set `binlog_format=STATEMENT`, which both servers let any session with the
//! privilege do. They are looked at by their first words and by the names at the places where
//! their grammar has table names; nothing here has to understand the rest.

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub schema: Option<String>,
    pub table: String,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    Commit,
    Rollback,
    /// `ROLLBACK TO SAVEPOINT`: takes back a part of the transaction.
    RollbackTo,
    XaStart,
    /// The second phase of an XA transaction: its rows were logged when it was prepared.
    XaFinish,
    /// Says nothing about rows or tables' definitions.
    Harmless,
    Rename(Vec<(Named, Named)>),
    /// Changes the definition of these tables, or empties them.
    Ddl(Vec<Named>),
    DropSchema(String),
    /// Changes rows by itself, or is not known here: what it may touch is judged by every name in
    /// it.
    Names(Vec<Named>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word or a name; `quoted` ones are no keywords.
    Word {
        text: String,
        quoted: bool,
    },
    Mark(char),
    /// A text or a number.
    Literal,
}

/// Cuts a statement into tokens. The contents of `/*! */` and `/*M! */` are part of it, for the
/// server ran them. `"x"` may be a name (ANSI_QUOTES), so it is one.
fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '`' | '"' => {
                let (text, behind) = quoted(after, first);
                tokens.push(Token::Word { text, quoted: true });
                behind
            }
            '\'' => {
                tokens.push(Token::Literal);
                quoted(after, first).1
            }
            '#' => line_end(after),
            '-' if after.starts_with("- ")
                || after.starts_with("-\t")
                || after.starts_with("-\n") =>
            {
                line_end(after)
            }
            '/' if after.starts_with("*!") || after.starts_with("*M!") => {
                let inside = after.trim_start_matches(['*', 'M', '!']);
                inside.trim_start_matches(|c: char| c.is_ascii_digit())
            }
            '/' if after.starts_with('*') => {
                after[1..].split_once("*/").map_or("", |(_, behind)| behind)
            }
            '*' if after.starts_with('/') => &after[1..],
            first if first.is_whitespace() => after,
            first if is_word(first) => {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                tokens.push(match word.chars().all(|c| c.is_ascii_digit()) {
                    true => Token::Literal,
                    false => Token::Word {
                        text: word.to_owned(),
                        quoted: false,
                    },
                });
                behind
            }
            other => {
                tokens.push(Token::Mark(other));
                after
            }
        };
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn line_end(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, behind)| behind)
}

/// The text up to the closing mark, and what is behind it. A doubled mark is one; a backslash
/// escapes in texts, not in names.
fn quoted(text: &str, mark: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && mark != '`' {
            if let Some((_, escaped)) = chars.next() {
                out.push(escaped);
            }
        } else if c != mark {
            out.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == mark) {
            chars.next();
            out.push(mark);
        } else {
            return (out, &text[at + mark.len_utf8()..]);
        }
    }
    (out, "")
}

struct Tokens<'a>(&'a [Token]);

impl Tokens<'_> {
    fn is_word(&self, words: &[&str]) -> bool {
        keyword(self.0.first())
            .is_some_and(|word| words.iter().any(|w| word.eq_ignore_ascii_case(w)))
    }

    /// Passes one of these words, if it is the next.
    fn pass(&mut self, words: &[&str]) -> bool {
        let there = self.is_word(words);
        if there {
            self.0 = &self.0[1..];
        }
        there
    }

    fn pass_all(&mut self, words: &[&str]) {
        while self.pass(words) {}
    }

    fn pass_mark(&mut self, mark: char) -> bool {
        let there = self.0.first() == Some(&Token::Mark(mark));
        if there {
            self.0 = &self.0[1..];
        }
        there
    }

    /// Passes everything up to one of these words and the word, if it comes.
    fn seek(&mut self, words: &[&str]) -> bool {
        while !self.0.is_empty() {
            if self.pass(words) {
                return true;
            }
            self.0 = &self.0[1..];
        }
        false
    }

    fn word(&mut self) -> Option<String> {
        let (first, rest) = self.0.split_first()?;
        let Token::Word { text, .. } = first else {
            return None;
        };
        self.0 = rest;
        Some(text.clone())
    }

    /// `table` or `schema.table`.
    fn name(&mut self) -> Option<Named> {
        let first = self.word()?;
        if self.pass_mark('.')
            && let Some(table) = self.word()
        {
            return Some(Named {
                schema: Some(first),
                table,
            });
        }
        Some(Named {
            schema: None,
            table: first,
        })
    }

    fn names(&mut self) -> Vec<Named> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.pass_mark(',') {
                break;
            }
        }
        names
    }

    /// Every name in the rest, as a table's, a schema's and both.
    fn all_names(&mut self) -> Vec<Named> {
        let mut names = Vec::new();
        while !self.0.is_empty() {
            match self.name() {
                Some(name) => names.push(name),
                None => self.0 = &self.0[1..],
            }
        }
        names
    }
}

fn keyword(token: Option<&Token>) -> Option<&str> {
    match token {
        Some(Token::Word {
            text,
            quoted: false,
        }) => Some(text),
        _ => None,
    }
}

/// What CREATE, ALTER and DROP make, change and drop, beside tables.
const OBJECTS: &[&str] = &[
    "TABLE",
    "TABLES",
    "INDEX",
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "USER",
    "ROLE",
    "DATABASE",
    "SCHEMA",
    "SERVER",
    "SEQUENCE",
    "TABLESPACE",
    "LOGFILE",
    "PACKAGE",
    "RESOURCE",
    "INSTANCE",
    "LIBRARY",
    "REFERENCE",
];

/// What the statement is.
pub(super) fn classify(sql: &str) -> Statement {
    let all = tokens(sql);
    let mut all = Tokens(&all);
    // MariaDB logs `SET STATEMENT variable = value FOR statement` with what it is for.
    if all.is_word(&["SET"]) && Tokens(&all.0[1..]).is_word(&["STATEMENT"]) && !all.seek(&["FOR"]) {
        return Statement::Harmless;
    }
    let all = all.0;
    let mut tokens = Tokens(all);
    let Some(head) = keyword(all.first()).map(str::to_ascii_uppercase) else {
        return Statement::Names(tokens.all_names());
    };
    tokens.0 = &all[1..];
    match head.as_str() {
        "BEGIN" => Statement::Begin,
        "START" if tokens.is_word(&["TRANSACTION"]) => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => match tokens.seek(&["TO"]) {
            true => Statement::RollbackTo,
            false => Statement::Rollback,
        },
        "XA" if tokens.is_word(&["START", "BEGIN"]) => Statement::XaStart,
        "XA" if tokens.is_word(&["COMMIT", "ROLLBACK"]) => Statement::XaFinish,
        "XA" | "SAVEPOINT" | "RELEASE" | "GRANT" | "REVOKE" | "SET" | "FLUSH" | "ANALYZE"
        | "OPTIMIZE" | "CHECK" | "INSTALL" | "UNINSTALL" | "USE" => Statement::Harmless,
        "TRUNCATE" => {
            tokens.pass(&["TABLE"]);
            Statement::Ddl(tokens.names())
        }
        "RENAME" if tokens.pass(&["TABLE", "TABLES"]) => {
            tokens.pass_all(&["IF", "EXISTS"]);
            let mut pairs = Vec::new();
            while let Some(from) = tokens.name() {
                // MariaDB: how long to wait stands behind the old name.
                if tokens.pass(&["WAIT"]) {
                    tokens.0 = tokens.0.get(1..).unwrap_or_default();
                }
                tokens.pass(&["NOWAIT"]);
                if !tokens.pass(&["TO"]) {
                    return Statement::Names(Tokens(all).all_names());
                }
                let Some(to) = tokens.name() else {
                    return Statement::Names(Tokens(all).all_names());
                };
                pairs.push((from, to));
                if !tokens.pass_mark(',') {
                    break;
                }
            }
            Statement::Rename(pairs)
        }
        "RENAME" => Statement::Harmless,
        "CREATE" | "ALTER" | "DROP" => definition(&head, all, tokens),
        // Also what is not known here.
        _ => Statement::Names(Tokens(all).all_names()),
    }
}

fn definition(head: &str, all: &[Token], mut tokens: Tokens<'_>) -> Statement {
    let unknown = || Statement::Names(Tokens(all).all_names());
    let object = loop {
        match keyword(tokens.0.first()) {
            Some(word) if OBJECTS.iter().any(|o| word.eq_ignore_ascii_case(o)) => {
                let object = word.to_ascii_uppercase();
                tokens.0 = &tokens.0[1..];
                break object;
            }
            _ if tokens.0.is_empty() => return unknown(),
            _ => tokens.0 = &tokens.0[1..],
        }
    };
    match object.as_str() {
        "TABLE" | "TABLES" | "SEQUENCE" => {
            tokens.pass_all(&["IF", "NOT", "EXISTS"]);
            if head == "DROP" {
                return Statement::Ddl(tokens.names());
            }
            let mut names: Vec<Named> = tokens.name().into_iter().collect();
            if head == "ALTER" {
                // The other tables that an ALTER can touch.
                while tokens.seek(&["RENAME", "WITH", "CONVERT"]) {
                    tokens.pass(&["TO", "AS", "TABLE"]);
                    if !tokens.is_word(&["COLUMN", "INDEX", "KEY", "PARTITION", "CHARACTER"]) {
                        names.extend(tokens.name());
                    }
                }
            }
            Statement::Ddl(names)
        }
        "INDEX" | "TRIGGER" if head != "DROP" || object == "INDEX" => match tokens.seek(&["ON"]) {
            true => Statement::Ddl(tokens.name().into_iter().collect()),
            false => unknown(),
        },
        "DATABASE" | "SCHEMA" if head == "DROP" => {
            tokens.pass_all(&["IF", "EXISTS"]);
            tokens.word().map_or_else(unknown, Statement::DropSchema)
        }
        _ => Statement::Harmless,
    }
}

/// The statement's first words, for people. No more, for what follows may be data.
pub(super) fn first_words(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().take(5).collect();
    let text = words.join(" ");
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None if sql.split_whitespace().nth(5).is_some() => format!("{text} ..."),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(text: &str) -> Named {
        match text.split_once('.') {
            Some((schema, table)) => Named {
                schema: Some(schema.to_owned()),
                table: table.to_owned(),
            },
            None => Named {
                schema: None,
                table: text.to_owned(),
            },
        }
    }

    #[track_caller]
    fn ddl(sql: &str, names: &[&str]) {
        assert_eq!(
            classify(sql),
            Statement::Ddl(names.iter().map(|name| named(name)).collect()),
            "{sql}"
        );
    }

    #[test]
    fn the_tables_that_ddl_touches_are_named() {
        ddl("CREATE TABLE IF NOT EXISTS `a``b` (member INT)", &["a`b"]);
        ddl("create or replace table s.t select * from x", &["s.t"]);
        ddl(
            "DROP TABLE IF EXISTS `s`.`a`,b /* generated by server */",
            &["s.a", "b"],
        );
        ddl("DROP TEMPORARY TABLE IF EXISTS x", &["x"]);
        ddl(
            "ALTER TABLE a ADD COLUMN b INT, RENAME TO s.c",
            &["a", "s.c"],
        );
        ddl("ALTER ONLINE IGNORE TABLE a RENAME COLUMN x TO y", &["a"]);
        ddl(
            "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b",
            &["a", "b"],
        );
        ddl("/* x */ TRUNCATE TABLE \"a\"", &["a"]);
        ddl("TRUNCATE a", &["a"]);
        ddl("CREATE UNIQUE INDEX i ON s.t (c)", &["s.t"]);
        ddl("DROP INDEX i ON t", &["t"]);
        ddl(
            "CREATE DEFINER=`r`@`%` TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            &["t"],
        );
        ddl("ALTER /*!99999 x */ TABLE t FORCE", &["t"]);
        ddl(
            "SET STATEMENT lock_wait_timeout=5, sql_mode='' FOR ALTER TABLE t ADD x INT",
            &["t"],
        );
        assert_eq!(
            classify("DROP DATABASE IF EXISTS `shop`"),
            Statement::DropSchema("shop".to_owned())
        );
        assert_eq!(
            classify("rename table a WAIT 5 TO s.b, `c` to d"),
            Statement::Rename(vec![(named("a"), named("s.b")), (named("c"), named("d"))])
        );
    }

    #[test]
    fn ends_of_transactions_are_told_apart() {
        for (sql, statement) in [
            ("BEGIN", Statement::Begin),
            ("COMMIT", Statement::Commit),
            ("ROLLBACK", Statement::Rollback),
            ("ROLLBACK TO `a`", Statement::RollbackTo),
            ("SAVEPOINT `a`", Statement::Harmless),
            ("XA START X'61',X'',1", Statement::XaStart),
            ("XA END X'61',X'',1", Statement::Harmless),
            ("XA COMMIT X'61',X'',1", Statement::XaFinish),
            ("GRANT SELECT ON shop.member TO x", Statement::Harmless),
            ("CREATE VIEW v AS SELECT * FROM member", Statement::Harmless),
            ("CREATE DATABASE x", Statement::Harmless),
            ("DROP TRIGGER t", Statement::Harmless),
        ] {
            assert_eq!(classify(sql), statement, "{sql}");
        }
    }

    #[test]
    fn dml_is_known_by_every_name_in_it() {
        assert_eq!(
            classify("-- a\nINSERT INTO s.t (`c`) SELECT 'member', 5 -- x"),
            Statement::Names(vec![
                named("INSERT"),
                named("INTO"),
                named("s.t"),
                named("c"),
                named("SELECT")
            ])
        );
        assert_eq!(
            first_words("UPDATE member\n SET name = 'secret' WHERE 1"),
            "UPDATE member SET name = ..."
        );
    }

    proptest! {
        #[test]
        fn any_text_is_classified(sql in "[-A-Za-z `'\"/*!#.,()\\\\\n;é0-9]{0,80}") {
            let _ = classify(&sql);
            let _ = first_words(&sql);
        }

        #[test]
        fn any_ddl_is_classified(words in proptest::collection::vec(
            prop_oneof![Just("ALTER"), Just("RENAME"), Just("TABLE"), Just("TO"), Just("WITH"), Just("`a`"), Just("."), Just(","), Just("WAIT"), Just("ON"), Just("DROP"), Just("INDEX"), Just("CREATE"), Just("b")], 0..12)) {
            let _ = classify(&words.join(" "));
        }
    }
}
