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
    /// The line that is drawn; `None` once it is gone for good.
    line: Arc<Mutex<Option<ProgressBar>>>,
}

impl Progress {
    /// Of what these timings measure; nothing where no person watches.
    pub(super) fn of(cx: &Context, timings: &Timings) -> Option<Self> {
        if !cx.shows_progress() {
            return None;
        }
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        let line = Arc::new(Mutex::new(Some(bar)));
        let (timings, drawn) = (timings.clone(), line.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            loop {
                match &*lock(&drawn) {
                    Some(line) => {
                        line.set_message(words(timings.far()));
                        line.tick();
                    }
                    None => return,
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Some(Self { task, line })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = lock(&self.line).take() {
            line.finish_and_clear();
        }
        self.task.abort();
    }
}

fn lock(line: &Mutex<Option<ProgressBar>>) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
    line.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn words(far: Far) -> String {
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
        assert_eq!(
            words(far),
            "3 of 16 tables have answered: 12,345 rows, 3.0 MiB"
        );
    }
}
