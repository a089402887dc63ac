//! Many statements in one run of `shardctl query`: the interactive shell, and the statements of
//! standard input.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::{CompletionType, Config, Editor};
use tokio::sync::{mpsc, oneshot};

use super::Outcome;
use super::statement::{How, Session};
use crate::error::{Class, Error, Result};
use crate::query::statements::{First, all, first, is_blank};
use crate::topology::Topology;

/// What the prompt says before the first line of a statement, and before its further ones.
const PROMPTS: [&str; 2] = ["shardctl> ", "       -> "];

/// Statements that the history keeps.
const HISTORY_MAX: usize = 2_000;

/// Files that can read each other by `source`, so that one that reads itself ends.
const SOURCES_MAX: u8 = 8;

/// Bytes of a text of statements at the most.
const TEXT_BYTES_MAX: u64 = 64 << 20;

const COMMANDS: &str = "\
Statements end with ; or, for a line for each column, with \\G.
  \\d                the logical tables (SHOW TABLES)
  \\d TABLE          a table's columns (DESCRIBE TABLE)
  \\explain SQL;     how a statement would be answered
  \\analyze SQL;     what each shard took for it, and its server's own plan
  \\timing           tell how long statements take, or not
  source FILE       run the statements of a file
  \\q                leave (quit, exit, Ctrl-D)
Ctrl-C ends the running statement, on the servers as well; Tab completes.";

/// What comes after a statement or a command.
enum Then {
    Go(Outcome),
    Leave,
}

/// Runs the statements of standard input up to the first that fails, or with `force` all of them.
///
/// # Errors
/// A statement failed: the first one's error.
pub(super) async fn batch(session: &mut Session<'_>, how: How, force: bool) -> Result<Outcome> {
    let read = tokio::task::spawn_blocking(|| read_text(std::io::stdin(), "standard input"));
    let text = tokio::select! {
        text = read => text.unwrap_or_else(|cause| {
            Err(Error::stopped("could not read standard input").cause(cause))
        })?,
        signal = session.ended.next() => {
            return Err(Error::stopped(format!("stopped by {signal}"))
                .now("no statement was run"));
        }
    };
    let statements = all(&text);
    if statements.is_empty() {
        return Err(Error::usage("there is no statement")
            .next("give one, a file with -f, or several on standard input"));
    }
    let mut shell = Shell { session, how };
    let mut worst = Outcome::Clean;
    let (mut failed, mut first_error): (u64, Option<Error>) = (0, None);
    for one in statements {
        match shell.one(one, 0).await {
            Ok(Then::Go(outcome)) => worst = worst.or(outcome),
            Ok(Then::Leave) => break,
            // What ended the run itself ends the rest as well.
            Err(error) if !force || matches!(error.class(), Class::Stopped | Class::Closed) => {
                return Err(error);
            }
            Err(error) => {
                eprintln!("error: {error}");
                failed += 1;
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => Ok(worst),
        Some(error) => Err(Error::new(
            error.class(),
            format!(
                "{} failed; the exit code is the first one's",
                crate::report::counted(failed, "statement")
            ),
        )),
    }
}

/// Asks for statements in the terminal until the person leaves.
///
/// # Errors
/// The terminal cannot be used, or the process was asked to end.
pub(super) async fn interactive(session: &mut Session<'_>, how: How) -> Result<Outcome> {
    let mut lines = Lines::start(Words::of(&session.topology), history(session));
    session.cx.note(&format!(
        "{} logical tables on {} instances; \\h tells the commands",
        session.topology.tables.len(),
        session.topology.instances.len()
    ));
    let mut shell = Shell { session, how };
    let mut text = String::new();
    loop {
        let line = tokio::select! {
            line = lines.next(is_blank(&text)) => line?,
            signal = ended(shell.session) => {
                lines.restore();
                return Err(Error::stopped(format!("stopped by {signal}")).now("no statement ran"));
            }
        };
        match line {
            Line::Text(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Line::Dropped => text.clear(),
            Line::End => return Ok(Outcome::Clean),
        }
        while let Some((one, used)) = first(&text) {
            lines.remember(text[..used].trim());
            text.drain(..used);
            if matches!(&one, First::Statement { sql, .. } if is_blank(sql)) {
                continue;
            }
            shell.session.ended.forget_interrupts();
            match shell.one(one, 0).await {
                Ok(Then::Go(_)) => {}
                Ok(Then::Leave) => return Ok(Outcome::Clean),
                Err(error) if error.class() == Class::Closed => return Err(error),
                Err(error) if shell.session.ended.last().is_some_and(|by| by != "Ctrl-C") => {
                    return Err(error);
                }
                Err(error) => {
                    eprintln!("error: {error}");
                    // What stood behind it on the line was written for after it.
                    text.clear();
                }
            }
        }
    }
}

/// Waits for a request to end that is no Ctrl-C: at the prompt that only drops what was typed.
async fn ended(session: &mut Session<'_>) -> &'static str {
    loop {
        match session.ended.next().await {
            "Ctrl-C" => {}
            signal => return signal,
        }
    }
}

struct Shell<'s, 'a> {
    session: &'s mut Session<'a>,
    how: How,
}

impl Shell<'_, '_> {
    async fn one(&mut self, one: First, sources: u8) -> Result<Then> {
        match one {
            First::Statement { sql, vertical } => {
                let mut how = How {
                    vertical,
                    ..self.how
                };
                let mut sql = sql.as_str();
                if let Some(explained) = sql.strip_prefix("\\explain") {
                    how.explain = true;
                    sql = explained.trim_start();
                } else if let Some(analyzed) = sql.strip_prefix("\\analyze") {
                    how.analyze = true;
                    sql = analyzed.trim_start();
                }
                self.session.answer(sql, how).await.map(Then::Go)
            }
            First::Command(line) => self.command(&line, sources).await,
        }
    }

    async fn command(&mut self, line: &str, sources: u8) -> Result<Then> {
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        match (word.to_ascii_lowercase().as_str(), rest) {
            ("\\q" | "quit" | "exit", "") => Ok(Then::Leave),
            ("\\h" | "\\?" | "help", "") => {
                self.session.cx.out.line(COMMANDS)?;
                Ok(Then::Go(Outcome::Clean))
            }
            ("\\timing", "") => {
                self.how.timing = !self.how.timing;
                let state = if self.how.timing { "on" } else { "off" };
                self.session.cx.note(&format!("timing is {state}"));
                Ok(Then::Go(Outcome::Clean))
            }
            ("\\d", "") => self.statement("SHOW TABLES").await,
            ("\\d", table) => self.statement(&format!("DESCRIBE {table}")).await,
            ("source" | "\\.", file) if !file.is_empty() => {
                Box::pin(self.source(Path::new(file), sources)).await
            }
            _ => Err(Error::usage(format!("the shell has no command `{line}`"))
                .next("\\h tells the commands")),
        }
    }

    async fn statement(&mut self, sql: &str) -> Result<Then> {
        self.session.answer(sql, self.how).await.map(Then::Go)
    }

    /// Runs a file's statements up to the first that fails.
    async fn source(&mut self, path: &Path, sources: u8) -> Result<Then> {
        let shown = path.display().to_string();
        if sources >= SOURCES_MAX {
            return Err(Error::usage(format!(
                "more than {SOURCES_MAX} files read each other by source"
            ))
            .at(shown));
        }
        let file = std::fs::File::open(path).map_err(|cause| {
            Error::usage("could not read the statements")
                .at(shown.clone())
                .cause(cause)
        })?;
        let mut worst = Outcome::Clean;
        for one in all(&read_text(file, &shown)?) {
            match self.one(one, sources + 1).await? {
                Then::Go(outcome) => worst = worst.or(outcome),
                Then::Leave => return Ok(Then::Leave),
            }
        }
        Ok(Then::Go(worst))
    }
}

fn read_text(from: impl Read, name: &str) -> Result<String> {
    let failed = |cause: &dyn std::fmt::Display| {
        Error::usage("could not read the statements")
            .at(name)
            .cause(cause)
    };
    let mut text = String::new();
    let read = from.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > TEXT_BYTES_MAX => Err(failed(&format!(
            "there are more than {} MiB of them",
            TEXT_BYTES_MAX >> 20
        ))),
        Ok(_) => Ok(text),
        Err(cause) => Err(failed(&cause)),
    }
}

/// The file of the history, made private before anything is written to it; nothing where there is
/// no place for it, for a shell without a history is a shell.
fn history(session: &Session<'_>) -> Option<PathBuf> {
    let made = state_dir().and_then(|dir| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .ok()?;
        let path = dir.join("query_history");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .ok()?;
        // One that is there already may be open to others.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        file.set_permissions(private).ok()?;
        Some(path)
    });
    if made.is_none() {
        session
            .cx
            .note("there is no folder for a history; set HOME or XDG_STATE_HOME");
    }
    made
}

/// Where programs keep what should outlive them and is no setting (XDG Base Directory
/// Specification, `$XDG_STATE_HOME`).
fn state_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/state")))
        .map(|state| state.join("shardctl"))
}

/// A line that was typed.
enum Line {
    Text(String),
    /// Ctrl-C: what was typed is not wanted.
    Dropped,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// What the editor's thread is asked.
enum Ask {
    Line {
        prompt: &'static str,
        answer: oneshot::Sender<Result<Line>>,
    },
    Remember(String),
}

/// The line editor on a thread of its own: it waits for keys, and nothing else may wait for it.
struct Lines {
    asks: mpsc::UnboundedSender<Ask>,
    terminal: Option<nix::sys::termios::Termios>,
}

impl Lines {
    fn start(words: Words, history: Option<PathBuf>) -> Self {
        let terminal = nix::sys::termios::tcgetattr(std::io::stdin()).ok();
        let (asks, asked) = mpsc::unbounded_channel();
        std::thread::spawn(move || edit(words, history, asked));
        Self { asks, terminal }
    }

    async fn next(&mut self, first: bool) -> Result<Line> {
        let gone = || Error::stopped("the terminal cannot be read any more");
        let (answer, line) = oneshot::channel();
        let prompt = PROMPTS[usize::from(!first)];
        self.asks
            .send(Ask::Line { prompt, answer })
            .map_err(|_| gone())?;
        line.await.unwrap_or_else(|_| Err(gone()))
    }

    fn remember(&self, statement: &str) {
        if holds_password(statement) {
            return;
        }
        // A history that is not kept is no reason to stop.
        let _ = self.asks.send(Ask::Remember(statement.to_owned()));
    }

    /// The terminal as it was: the editor's thread may still be waiting for a key.
    fn restore(&self) {
        if let Some(before) = &self.terminal {
            let now = nix::sys::termios::SetArg::TCSANOW;
            let _ = nix::sys::termios::tcsetattr(std::io::stdin(), now, before);
        }
    }
}

/// Whether a statement may hold a password, as the servers' own client sees it: such are not kept,
/// though none of them is answered here.
fn holds_password(statement: &str) -> bool {
    let statement = statement.to_ascii_uppercase();
    ["IDENTIFIED", "PASSWORD"]
        .iter()
        .any(|word| statement.contains(word))
}

fn edit(words: Words, history: Option<PathBuf>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        // What begins with a space is not kept, as in a shell.
        .history_ignore_space(true)
        .max_history_size(HISTORY_MAX)
        .map(|config| config.build())
        .unwrap_or_default();
    let mut editor = Editor::<Words, rustyline::history::DefaultHistory>::with_config(config);
    if let Ok(editor) = &mut editor {
        editor.set_helper(Some(words));
        if let Some(path) = &history {
            let _ = editor.load_history(path);
        }
    }
    while let Some(ask) = asked.blocking_recv() {
        match (ask, &mut editor) {
            (Ask::Line { prompt, answer }, Ok(editor)) => {
                let line = match editor.readline(prompt) {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Interrupted) => Ok(Line::Dropped),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(cause) => Err(Error::stopped("could not read a line").cause(cause)),
                };
                let _ = answer.send(line);
            }
            (Ask::Remember(statement), Ok(editor)) => {
                let added = editor.add_history_entry(statement).unwrap_or(false);
                if let (true, Some(path)) = (added, &history) {
                    let _ = editor.append_history(path);
                }
            }
            (Ask::Line { answer, .. }, Err(cause)) => {
                let cause = cause.to_string();
                let _ = answer.send(Err(Error::usage("could not use the terminal").cause(cause)));
            }
            (Ask::Remember(_), Err(_)) => {}
        }
    }
}

/// What Tab can complete.
struct Words {
    /// Logical tables with their columns.
    tables: Vec<(String, Vec<String>)>,
}

/// Words of statements that are worth a Tab.
const KEYWORDS: [&str; 43] = [
    "AND", "AS", "ASC", "AVG", "BETWEEN", "BY", "CASE", "COUNT", "DESC", "DESCRIBE", "DISTINCT",
    "ELSE", "END", "EXISTS", "FROM", "GROUP", "HAVING", "IN", "INNER", "INTERVAL", "IS", "JOIN",
    "LEFT", "LIKE", "LIMIT", "MAX", "MIN", "NOT", "NULL", "OFFSET", "ON", "OR", "ORDER", "SELECT",
    "SHOW", "SUM", "TABLES", "THEN", "UNION", "USING", "WHEN", "WHERE", "WITH",
];

impl Words {
    fn of(topology: &Topology) -> Self {
        let tables = topology.tables.values().map(|table| {
            let columns = table.def.columns.iter();
            (
                table.name.to_string(),
                columns.map(|column| column.name.to_string()).collect(),
            )
        });
        Self {
            tables: tables.collect(),
        }
    }

    /// Where the word before the cursor begins, and what it can become: tables, columns (of the
    /// tables that the line names, else of all) and keywords in the case that was begun.
    fn complete(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let typed = line.get(..cursor).unwrap_or(line);
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let start = typed
            .char_indices()
            .rev()
            .take_while(|(_, c)| is_word(*c))
            .last()
            .map_or(typed.len(), |(at, _)| at);
        let word = &typed[start..];
        let qualified = typed[..start].ends_with('.');
        let named: BTreeSet<&str> = line.split(|c| !is_word(c)).collect();
        let any_named = self
            .tables
            .iter()
            .any(|(table, _)| named.contains(table.as_str()) && table != word);
        let mut found = BTreeSet::new();
        let mut offer = |candidate: &str| {
            let begun = candidate.get(..word.len());
            if begun.is_some_and(|begun| begun.eq_ignore_ascii_case(word)) {
                found.insert(candidate.to_owned());
            }
        };
        for (table, columns) in &self.tables {
            if !qualified {
                offer(table);
            }
            if !any_named || named.contains(table.as_str()) {
                columns.iter().for_each(|column| offer(column));
            }
        }
        if !word.is_empty() && !qualified {
            let lower = word.chars().all(|c| !c.is_uppercase());
            for keyword in KEYWORDS {
                match lower {
                    true => offer(&keyword.to_lowercase()),
                    false => offer(keyword),
                }
            }
        }
        (start, found.into_iter().collect())
    }
}

impl rustyline::completion::Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(Words::complete(self, line, pos))
    }
}

impl rustyline::hint::Hinter for Words {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Words {}
impl rustyline::validate::Validator for Words {}
impl rustyline::Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_password_is_not_kept() {
        for statement in [
            "CREATE USER a IDENTIFIED BY 'x'",
            "set password = 'x'",
            "ALTER USER a\nidentified with x",
        ] {
            assert!(holds_password(statement), "{statement}");
        }
        assert!(!holds_password("SELECT identity FROM member"));
    }

    #[test]
    fn tab_completes_tables_columns_and_keywords() {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let words = Words {
            tables: vec![
                ("member".to_owned(), columns(&["memberId", "nickname"])),
                ("member_address".to_owned(), columns(&["city", "memberId"])),
            ],
        };
        let check = |line: &str, start: usize, expected: &[&str]| {
            let found = words.complete(line, line.len());
            assert_eq!(found, (start, columns(expected)), "{line}");
        };
        check("sel", 0, &["select"]);
        check(
            "SELECT * FROM mem",
            14,
            &["member", "memberId", "member_address"],
        );
        check("SELECT * FROM member WHERE ni", 27, &["nickname"]);
        check("SELECT * FROM member WHERE ci", 27, &[]);
        check("SELECT * FROM member_address a WHERE a.c", 39, &["city"]);
        check("SELECT * FROM member WH", 21, &["WHEN", "WHERE"]);
        check("SELECT é", 7, &[]);
    }
}
