//! Names of instances, schemas, tables and columns; naming patterns; quoting.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest identifier both servers accept, in characters (MySQL reference manual, "Identifier
/// Length Limits"; the same in MariaDB).
pub const IDENTIFIER_CHARS_MAX: usize = 64;

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An empty name.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than the servers accept.
    #[error("`{0}` has more than {IDENTIFIER_CHARS_MAX} characters")]
    TooLong(String),
    /// A character the servers or this tool cannot keep in a name.
    #[error("`{name}` has the character {character:?}, which a name cannot hold")]
    Character {
        /// The name as written.
        name: String,
        /// The first character at fault.
        character: char,
    },
    /// Trailing space: the servers refuse it.
    #[error("`{0}` ends in a space, which the servers refuse")]
    TrailingSpace(String),
}

fn check_identifier(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().count() > IDENTIFIER_CHARS_MAX {
        return Err(NameError::TooLong(text.to_owned()));
    }
    // NUL and characters outside the Basic Multilingual Plane are refused by both servers.
    if let Some(character) = text.chars().find(|c| c.is_control() || *c as u32 > 0xFFFF) {
        return Err(NameError::Character {
            name: text.to_owned(),
            character,
        });
    }
    if text.ends_with(' ') {
        return Err(NameError::TrailingSpace(text.to_owned()));
    }
    Ok(())
}

/// The name between backticks, safe to put into a statement.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as an SQL string literal that means the same under every `sql_mode`.
///
/// A backslash is an escape or not depending on `NO_BACKSLASH_ESCAPES`, so a text that holds one
/// is written as a hexadecimal literal with its charset named.
pub fn quote_text(text: &str) -> String {
    if text.contains('\\') || text.contains('\0') {
        let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
        format!("_utf8mb4 0x{hex}")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks the text and takes it as a name.
            ///
            /// # Errors
            /// The text is empty, too long, or holds characters the servers refuse.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check_identifier(&text)?;
                Ok(Self(text))
            }

            /// The name as written, not quoted.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name between backticks, for use in a statement.
            pub fn quoted(&self) -> String {
                quote(&self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// An instance: one server of the fleet, as the topology calls it.
    InstanceName
);
name!(
    /// A schema: one database on an instance.
    SchemaName
);
name!(
    /// A table, logical (`member`) or physical (`member_03`).
    TableName
);
name!(
    /// A column. The servers compare column names without case: use [`ColumnName::is`].
    ColumnName
);

impl ColumnName {
    /// Whether this and `other` are one column to the servers, which ignore case here.
    pub fn is(&self, other: &str) -> bool {
        self.0.to_lowercase() == other.to_lowercase()
    }
}

/// A shard: one schema's share of the keys. Its number is the schema's index in the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u32);

impl ShardId {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A pattern that cannot name anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More than one placeholder.
    #[error("`{0}` has more than one placeholder")]
    TwoPlaceholders(String),
    /// Braces that are not a placeholder.
    #[error("`{0}` has braces that are no placeholder; write {{}} or {{:04}}")]
    Braces(String),
    /// The text around the placeholder cannot be part of a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// How a row of schemas or physical tables is named: `user_center_{:02}`, `member_{}`, or a fixed
/// text where there is one of it only (or one in each schema).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    before: String,
    /// Digits of the number, at least; `None` where the pattern is a fixed text.
    width: Option<usize>,
    after: String,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The braces are not one `{}` or `{:0N}`, or the text around them cannot be part of a name.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let braces = || PatternError::Braces(text.to_owned());
        let pattern = match text.split_once('{') {
            None if text.contains('}') => return Err(braces()),
            None => Self {
                before: text.to_owned(),
                width: None,
                after: String::new(),
            },
            Some((before, rest)) => {
                let (inside, after) = rest.split_once('}').ok_or_else(braces)?;
                if after.contains('{') {
                    return Err(PatternError::TwoPlaceholders(text.to_owned()));
                }
                if before.contains('}') || after.contains('}') {
                    return Err(braces());
                }
                let width = match inside {
                    "" => 1,
                    _ => inside
                        .strip_prefix(":0")
                        .and_then(|digits| digits.parse().ok())
                        .filter(|width| (1..=10).contains(width))
                        .ok_or_else(braces)?,
                };
                Self {
                    before: before.to_owned(),
                    width: Some(width),
                    after: after.to_owned(),
                }
            }
        };
        check_identifier(&pattern.name(0))?;
        Ok(pattern)
    }

    /// Whether the pattern gives another name for each number.
    pub fn is_numbered(&self) -> bool {
        self.width.is_some()
    }

    /// The name with this number in it.
    pub fn name(&self, number: u32) -> String {
        match self.width {
            None => self.before.clone(),
            Some(width) => format!("{}{number:0width$}{}", self.before, self.after),
        }
    }

    /// The number that `name` has under this pattern, if it is one of its names.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.width?;
        let digits = name
            .strip_prefix(self.before.as_str())?
            .strip_suffix(self.after.as_str())?;
        let number = digits.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width {
            None => write!(f, "{}", self.before),
            Some(1) => write!(f, "{}{{}}{}", self.before, self.after),
            Some(width) => write!(f, "{}{{:0{width}}}{}", self.before, self.after),
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(&text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> String {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_doubles_the_quote() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(quote_text("it's"), "'it''s'");
        assert_eq!(quote_text("a\\b"), "_utf8mb4 0x615c62");
    }

    #[test]
    fn names_the_servers_refuse_are_refused() {
        assert_eq!(SchemaName::new(""), Err(NameError::Empty));
        assert!(matches!(
            SchemaName::new("x".repeat(65)),
            Err(NameError::TooLong(_))
        ));
        assert!(matches!(
            SchemaName::new("a\0"),
            Err(NameError::Character { .. })
        ));
        assert!(matches!(
            SchemaName::new("a "),
            Err(NameError::TrailingSpace(_))
        ));
        assert!(SchemaName::new("中文").is_ok());
    }

    #[test]
    fn a_pattern_and_its_numbers_are_inverse() {
        for (text, number, name) in [
            ("user_center_{:02}", 7, "user_center_07"),
            ("user_center_{:02}", 107, "user_center_107"),
            ("member_{:04}", 7, "member_0007"),
            ("p{}s", 12, "p12s"),
        ] {
            let pattern = NamePattern::new(text).unwrap();
            assert_eq!(pattern.name(number), name);
            assert_eq!(pattern.number(name), Some(number));
            assert_eq!(pattern.to_string(), text);
        }
        let pattern = NamePattern::new("member_{:04}").unwrap();
        assert_eq!(pattern.number("member_007"), None);
        assert_eq!(pattern.number("member_00007"), None);
        assert_eq!(NamePattern::new("member").unwrap().number("member"), None);
    }

    #[test]
    fn bad_patterns_are_refused() {
        for text in ["a{", "a}", "a{:}", "a{x}", "a{:00}", "a{:099}", ""] {
            assert!(NamePattern::new(text).is_err(), "{text}");
        }
        assert!(matches!(
            NamePattern::new("a{}{}"),
            Err(PatternError::TwoPlaceholders(_))
        ));
    }
}
