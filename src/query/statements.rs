//! Several statements in one text: where each ends, and what is no statement but a command of the
//! shell's.

/// What stands first in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// A statement, without what ends it.
    Statement {
        /// Its text.
        sql: String,
        /// Whether `\G` ended it: a line for each column.
        vertical: bool,
    },
    /// A line that is a command by itself: `\timing`, `source FILE`.
    Command(String),
}

/// The first statement or command of a text and the bytes that it takes; nothing where the text
/// has no whole one yet.
///
/// Quotes, comments and backslashes are read as a session without ANSI_QUOTES and
/// NO_BACKSLASH_ESCAPES reads them, as all our sessions are.
pub fn first(text: &str) -> Option<(First, usize)> {
    let begin = text.len() - text.trim_start().len();
    let line_end = text[begin..]
        .find('\n')
        .map_or(text.len(), |end| begin + end);
    let line = text[begin..line_end].trim_end();
    if is_command(line) {
        // `source x;` is what hands are used to.
        let line = line.trim_end_matches(';').trim_end();
        let used = (line_end + 1).min(text.len());
        return Some((First::Command(line.to_owned()), used));
    }
    let bytes = text.as_bytes();
    // Where the statement begins is after comments of its own.
    let mut at = begin;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => at = after_quoted(bytes, at + 1, quote)?,
            b'#' => at = after_line(bytes, at),
            b'-' if bytes[at + 1..].starts_with(b"-")
                && bytes.get(at + 2).is_none_or(|b| *b <= b' ') =>
            {
                at = after_line(bytes, at);
            }
            b'/' if bytes[at + 1..].starts_with(b"*") => {
                at += 2 + text[at + 2..].find("*/")? + 2;
            }
            b';' => return Some((statement(&text[begin..at], false), at + 1)),
            b'\\'
                if matches!(bytes.get(at + 1), Some(b'G' | b'g'))
                    && bytes.get(at + 2).is_none_or(|b| *b <= b' ' || *b == b';') =>
            {
                let vertical = bytes[at + 1] == b'G';
                let end = at + 2 + usize::from(bytes.get(at + 2) == Some(&b';'));
                return Some((statement(&text[begin..at], vertical), end));
            }
            _ => at += 1,
        }
    }
    None
}

/// All statements and commands of a text; the last statement needs no end.
pub fn all(text: &str) -> Vec<First> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((next, used)) = first(rest) {
        found.push(next);
        rest = &rest[used..];
    }
    if !is_blank(rest) {
        found.push(statement(rest, false));
    }
    found.retain(|one| !matches!(one, First::Statement { sql, .. } if is_blank(sql)));
    found
}

/// Whether there is nothing in a text but space and comments.
pub fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with('#')
            || rest.strip_prefix("--").is_some_and(|after| {
                after
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_whitespace() || c.is_control())
            }) {
            rest.find('\n').map(|end| &rest[end..])
        } else if rest.starts_with("/*") && !rest.starts_with("/*!") && !rest.starts_with("/*M!") {
            rest.find("*/").map(|end| &rest[end + 2..])
        } else {
            return rest.is_empty();
        };
        match after {
            Some(after) => rest = after.trim_start(),
            None => return !rest.starts_with("/*"),
        }
    }
}

fn statement(text: &str, vertical: bool) -> First {
    First::Statement {
        sql: text.trim().to_owned(),
        vertical,
    }
}

/// A line of its own. `\explain` and `\analyze` are none: what they are for may go over many lines.
fn is_command(line: &str) -> bool {
    let word = line.split([' ', '\t', ';']).next().unwrap_or_default();
    if let Some(name) = word.strip_prefix('\\') {
        return !name.is_empty() && !matches!(name, "explain" | "analyze" | "G" | "g");
    }
    let alone = line[word.len()..].trim_end_matches(';').trim().is_empty();
    match word.to_ascii_lowercase().as_str() {
        "source" => !alone,
        "quit" | "exit" | "help" => alone,
        _ => false,
    }
}

/// After a quoted text; a quote in it is doubled or, but for a name, follows a backslash.
fn after_quoted(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote != b'`' => at += 2,
            // A doubled one begins another text at once, which ends where this one does.
            b if b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn after_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = all(text)
            .into_iter()
            .map(|one| match one {
                First::Statement {
                    sql,
                    vertical: true,
                } => format!("{sql} (vertical)"),
                First::Statement { sql, .. } => sql,
                First::Command(line) => format!("command {line}"),
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn statements_end_at_semicolons_that_are_no_text_and_no_comment() {
        check("SELECT 1; SELECT 2", &["SELECT 1", "SELECT 2"]);
        check(
            "SELECT 'a;b';;\n ;SELECT \"c;\"",
            &["SELECT 'a;b'", "SELECT \"c;\""],
        );
        check(
            "SELECT 'it''s;', 'a\\';b'; x",
            &["SELECT 'it''s;', 'a\\';b'", "x"],
        );
        check("SELECT `a;\\`; x", &["SELECT `a;\\`", "x"]);
        check("SELECT 1 -- a;b\n+1; x", &["SELECT 1 -- a;b\n+1", "x"]);
        check("SELECT 1--1; x", &["SELECT 1--1", "x"]);
        check("SELECT 1 # ;\n; /* ; */ x", &["SELECT 1 # ;", "/* ; */ x"]);
        check("-- nothing;\n# nothing\n/* ; */", &[]);
    }

    #[test]
    fn an_open_text_is_no_statement_yet() {
        for text in [
            "SELECT 'a;",
            "SELECT /* ;",
            "SELECT 1",
            "SELECT 'a\\'",
            "-- ;",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn the_shells_commands_are_lines() {
        check(
            "\\timing\nsource a b.sql;\nSELECT 1\\G SELECT 2\\g\n\\d member\n\\q",
            &[
                "command \\timing",
                "command source a b.sql",
                "SELECT 1 (vertical)",
                "SELECT 2",
                "command \\d member",
                "command \\q",
            ],
        );
        check(
            "\\explain SELECT 1\nFROM t; QUIT;\n",
            &["\\explain SELECT 1\nFROM t", "command QUIT"],
        );
        check("SELECT\nsource\nFROM t", &["SELECT\nsource\nFROM t"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_split_without_a_panic(text in "[a-z;'\"`\\\\/*#\n -é]{0,40}") {
            let mut rest = text.as_str();
            while let Some((_, used)) = first(rest) {
                proptest::prop_assert!(used > 0);
                rest = &rest[used..];
            }
            let _ = is_blank(&text);
        }
    }
}
