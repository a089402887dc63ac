//! MySQL option files (`~/.my.cnf`), as far as a client needs them.
//!
//! The syntax is the one of the servers' own clients (MySQL reference manual, "Using Option
//! Files"): groups in brackets, `name=value`, `#` and `;` comments, quotes around a value,
//! escapes `\b \t \n \r \\ \s`, `!include` and `!includedir`. Dashes and underscores in names are
//! alike.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How deep `!include` may nest before it is taken for a circle.
const INCLUDE_DEPTH_MAX: u32 = 10;

/// The options of one or more files: the last value of a name within a group wins.
///
/// Values can be passwords, so there is no `Debug` for them.
#[derive(Default, Clone)]
pub struct OptionFile {
    groups: HashMap<String, HashMap<String, String>>,
}

impl std::fmt::Debug for OptionFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OptionFile")
            .field("groups", &self.groups.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl OptionFile {
    /// Reads a file and what it includes.
    ///
    /// # Errors
    /// The file cannot be read, others can write it, or a line cannot be understood. The text of
    /// a line is never in the error: it can be a password.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = Self::default();
        file.read_into(path, 0)?;
        Ok(file)
    }

    /// The value of an option in the first of these groups that has it.
    pub fn get(&self, groups: &[&str], option: &str) -> Option<&str> {
        groups
            .iter()
            .find_map(|group| self.groups.get(*group)?.get(option))
            .map(String::as_str)
    }

    fn read_into(&mut self, path: &Path, depth: u32) -> Result<()> {
        let failed = |cause: &dyn std::fmt::Display| {
            Error::usage("could not read the option file")
                .at(path.display().to_string())
                .cause(cause)
        };
        if depth > INCLUDE_DEPTH_MAX {
            return Err(failed(&"its !include lines go round in a circle"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        self.refuse_if_open(path)?;
        self.parse(&text, path, depth)
    }

    /// The servers' clients ignore a file that anyone can write; here that is an error, since a
    /// file silently ignored sends the DBA looking in the wrong place.
    #[cfg(unix)]
    fn refuse_if_open(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)
            .map(|meta| meta.permissions().mode())
            .unwrap_or(0);
        if mode & 0o002 != 0 {
            return Err(Error::usage("the option file can be written by anyone")
                .at(path.display().to_string())
                .next(format!("chmod 600 {}", path.display())));
        }
        Ok(())
    }

    fn parse(&mut self, text: &str, path: &Path, depth: u32) -> Result<()> {
        let mut group: Option<String> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let at_line =
                |what: &str| Error::usage(what).at(format!("{}:{}", path.display(), index + 1));
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = line.strip_prefix('!') {
                self.include(directive, path, depth)
                    .map_err(|error| match error {
                        Some(error) => error,
                        None => at_line("unknown directive; there are !include and !includedir"),
                    })?;
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest
                    .split_once(']')
                    .map(|(name, _)| name.trim())
                    .ok_or_else(|| at_line("a group without its closing bracket"))?;
                group = Some(name.to_owned());
                continue;
            }
            let Some(group) = &group else {
                return Err(at_line("an option before the first [group]"));
            };
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name.trim(), unquote(value.trim())),
                None => (line, String::new()),
            };
            self.groups
                .entry(group.clone())
                .or_default()
                .insert(name.replace('_', "-"), value);
        }
        Ok(())
    }

    /// `Err(None)` is a directive that does not exist.
    fn include(&mut self, directive: &str, from: &Path, depth: u32) -> Result<(), Option<Error>> {
        let base = from.parent().unwrap_or(Path::new("."));
        if let Some(dir) = directive.strip_prefix("includedir ") {
            let dir = base.join(dir.trim());
            let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
                .map_err(|error| {
                    Some(
                        Error::usage("could not read the folder of an !includedir")
                            .at(dir.display().to_string())
                            .cause(error),
                    )
                })?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|ext| ext == "cnf"))
                .collect();
            files.sort();
            for file in files {
                self.read_into(&file, depth + 1)?;
            }
            Ok(())
        } else if let Some(file) = directive.strip_prefix("include ") {
            Ok(self.read_into(&base.join(file.trim()), depth + 1)?)
        } else {
            Err(None)
        }
    }
}

/// Takes the quotes off and resolves the escapes. A `#` ends an unquoted value.
fn unquote(value: &str) -> String {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = match quote {
        Some(quote) => {
            let rest = &value[1..];
            rest.rfind(quote).map_or(rest, |end| &rest[..end])
        }
        None => value.split('#').next().unwrap_or_default().trim_end(),
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('s') => out.push(' '),
            Some('\\') => out.push('\\'),
            // Anything else stays as it is, backslash included, as the servers' clients do.
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<OptionFile> {
        let mut file = OptionFile::default();
        file.parse(text, Path::new("/etc/my.cnf"), 0)?;
        Ok(file)
    }

    #[test]
    fn values_are_read_as_the_servers_clients_read_them() {
        let file = parse(
            "# comment\n[client]\nuser = app\npassword=\"p#a'ss\\n\"\nssl_ca=/x # note\nskip-ssl\n\
             [shardctl_rds-1]\nuser='other'\n",
        )
        .unwrap();
        assert_eq!(file.get(&["client"], "user"), Some("app"));
        assert_eq!(file.get(&["client"], "password"), Some("p#a'ss\n"));
        assert_eq!(file.get(&["client"], "ssl-ca"), Some("/x"));
        assert_eq!(file.get(&["client"], "skip-ssl"), Some(""));
        assert_eq!(
            file.get(&["shardctl_rds-1", "client"], "user"),
            Some("other")
        );
        assert_eq!(file.get(&["shardctl_rds-2"], "user"), None);
    }

    #[test]
    fn a_bad_line_is_named_by_number_and_never_by_text() {
        let error = parse("password=secret\n").unwrap_err().to_string();
        assert!(error.contains("/etc/my.cnf:1"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn passwords_are_not_in_the_debug_form() {
        let file = parse("[client]\npassword=secret\n").unwrap();
        assert!(!format!("{file:?}").contains("secret"));
    }

    #[test]
    fn an_include_circle_ends_in_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cnf");
        std::fs::write(&path, "!include a.cnf\n").unwrap();
        let error = OptionFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("circle"), "{error}");
    }
}
