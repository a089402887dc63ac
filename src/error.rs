//! One error for people: what happened, where, the cause, what is true now, what to do next.

use std::fmt;
use std::process::ExitCode;

/// What an error means to the caller; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The arguments or a file are wrong: exit code 2.
    Usage,
    /// A server could not be reached or refused: exit code 3.
    Server,
    /// Stopped safely, nothing is half done, can be resumed: exit code 4.
    Stopped,
    /// The state is unknown, look before acting: exit code 5.
    Unknown,
    /// The answer is no (rows differ, a limit is passed): exit code 1.
    No,
    /// Whoever read the output has seen enough (`| head`), which is no failure: exit code 0, and
    /// nothing is said.
    Closed,
}

impl Class {
    /// The process exit code of an error of this class.
    pub fn code(self) -> u8 {
        match self {
            Class::Closed => 0,
            Class::No => 1,
            Class::Usage => 2,
            Class::Server => 3,
            Class::Stopped => 4,
            Class::Unknown => 5,
        }
    }
}

/// An error as the user reads it. Built by [`Error::usage`] and its siblings and completed with
/// [`Error::at`], [`Error::cause`], [`Error::now`] and [`Error::next`].
///
/// It never holds a secret: what goes into it is printed and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    class: Class,
    what: String,
    place: Option<String>,
    cause: Option<String>,
    now: Option<String>,
    next: Option<String>,
    /// Whether the way was refused rather than what was asked.
    other_way: bool,
}

impl Error {
    /// An error of the given class that says what happened.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            class,
            what: what.into(),
            place: None,
            cause: None,
            now: None,
            next: None,
            other_way: false,
        }))
    }

    /// The arguments or a file are wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Class::Usage, what)
    }

    /// A server could not be reached or refused.
    pub fn server(what: impl Into<String>) -> Self {
        Self::new(Class::Server, what)
    }

    /// Stopped safely; can be resumed.
    pub fn stopped(what: impl Into<String>) -> Self {
        Self::new(Class::Stopped, what)
    }

    /// The state is unknown.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::new(Class::Unknown, what)
    }

    /// The answer is no.
    pub fn no(what: impl Into<String>) -> Self {
        Self::new(Class::No, what)
    }

    /// Standard output cannot be written to: closed by its reader, or broken.
    pub fn output(cause: &std::io::Error) -> Self {
        let class = match cause.kind() {
            std::io::ErrorKind::BrokenPipe => Class::Closed,
            _ => Class::Stopped,
        };
        Self::new(class, "could not write to standard output").cause(cause)
    }

    /// Where it happened: instance, schema, table, file and line.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// Why it happened, in the words of whoever refused.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What is true now.
    #[must_use]
    pub fn now(mut self, now: impl Into<String>) -> Self {
        self.0.now = Some(now.into());
        self
    }

    /// What to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next = Some(next.into());
        self
    }

    /// The same error with another class, for a caller that knows more about what is left behind.
    #[must_use]
    pub fn class_is(mut self, class: Class) -> Self {
        self.0.class = class;
        self
    }

    /// What the error means to the caller.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The same error of a way that gave up: another could lead to what was asked.
    #[must_use]
    pub fn of_this_way(mut self) -> Self {
        self.0.other_way = true;
        self
    }

    /// Whether another way could lead to what was asked.
    pub fn has_other_way(&self) -> bool {
        self.0.other_way
    }

    /// What happened, without the rest.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do next, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.0.next.as_deref()
    }

    /// What happened and why, on one line, for a cell of a table.
    pub fn summary(&self) -> String {
        match &self.0.cause {
            Some(cause) => format!("{}: {}", self.0.what, cause.replace('\n', " ")),
            None => self.0.what.clone(),
        }
    }

    /// Whether the error names this object, by what happened, where or why.
    pub fn names(&self, object: &str) -> bool {
        let parts = [
            Some(&self.0.what),
            self.0.place.as_ref(),
            self.0.cause.as_ref(),
        ];
        parts
            .into_iter()
            .flatten()
            .any(|text| text.contains(object))
    }

    /// The process exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.0.class.code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        write!(f, "{}", parts.what)?;
        for (label, text) in [
            ("where:", &parts.place),
            ("cause:", &parts.cause),
            ("now:  ", &parts.now),
            ("next: ", &parts.next),
        ] {
            if let Some(text) = text {
                // Further lines of a text are indented so that the labels stay a column.
                let text = text.trim_end().replace('\n', "\n          ");
                write!(f, "\n  {label}  {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Shorthand for results that carry an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_only_the_parts_it_has() {
        let error = Error::server("could not fence writes on schema `shop_03`")
            .at("instance db-eu-2 (10.0.4.7:3306)")
            .now("the source still owns every row")
            .next("grant the privilege\nthen resume");
        insta::assert_snapshot!(error, @r"
        could not fence writes on schema `shop_03`
          where:  instance db-eu-2 (10.0.4.7:3306)
          now:    the source still owns every row
          next:   grant the privilege
                  then resume
        ");
        assert_eq!(error.class().code(), 3);
    }
}
