//! How far a long answer is, on stderr, while a person waits for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use crate::report::{bytes, count};
use crate::run::timings::{Far, Timings};

/// An answer that comes sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Shows how far an answer is, from a while after it was asked for until it is dropped. Then the
/// line is gone at once, so that what is printed next stands on a line of its own.
pub(super) struct Progress {
    task: tokio::task::JoinHandle<()>,
    line: Shared,
}

/// The line that is drawn, where it is there yet.
#[derive(Default)]
struct Line {
    bar: Option<ProgressBar>,
    /// It must not come any more.
    gone: bool,
}

type Shared = Arc<Mutex<Line>>;

/// Prints notes beside the line.
pub(super) struct Aside(Option<Shared>);

impl Progress {
    /// Of what these timings measure; nothing where no person watches.
    pub(super) fn of(cx: &Context, timings: &Timings) -> Option<Self> {
        if !cx.shows_progress() {
            return None;
        }
        let line = Shared::default();
        let (timings, drawn) = (timings.clone(), line.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            while draw(&drawn, &timings) {
                tokio::time::sleep(EVERY).await;
            }
        });
        Some(Self { task, line })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        line.gone = true;
        if let Some(bar) = line.bar.take() {
            bar.finish_and_clear();
        }
        self.task.abort();
    }
}

impl Aside {
    /// Beside this progress, if there is one.
    pub(super) fn of(progress: Option<&Progress>) -> Self {
        Self(progress.map(|progress| progress.line.clone()))
    }

    /// Tells the person something, as [`Context::note`] does.
    pub(super) fn note(&self, cx: &Context, text: &str) {
        let line = self.0.as_deref().map(lock);
        match line.as_ref().and_then(|line| line.bar.as_ref()) {
            Some(bar) => bar.suspend(|| cx.note(text)),
            None => cx.note(text),
        }
    }
}

/// Draws the line; whether it is still wanted.
fn draw(line: &Mutex<Line>, timings: &Timings) -> bool {
    let mut line = lock(line);
    if line.gone {
        return false;
    }
    let bar = line.bar.get_or_insert_with(|| {
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        ProgressBar::new_spinner()
            .with_style(style)
            .with_elapsed(PATIENCE)
    });
    bar.set_message(words(timings.far()));
    bar.tick();
    true
}

fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn words(far: Far) -> String {
    if far.tables == 0 {
        // A gathered statement asks for the shape of the tables first.
        return "looking at the tables".to_owned();
    }
    format!(
        "{} of {} tables have answered: {} rows, {}",
        far.answered,
        far.tables,
        count(far.rows),
        bytes(far.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_tables_rows_and_bytes() {
        let far = Far {
            tables: 16,
            answered: 3,
            rows: 12_345,
            bytes: 3 << 20,
        };
        assert_eq!(words(Far::default()), "looking at the tables");
        assert_eq!(
            words(far),
            "3 of 16 tables have answered: 12,345 rows, 3.0 MiB"
        );
    }
}
