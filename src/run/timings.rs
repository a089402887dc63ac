//! What each physical table's part of an answer took: for `--analyze`, and for the progress of a
//! long one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::topology::PhysicalTable;

/// What the parts of one answer take. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Timings(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    statements: AtomicUsize,
    expected: AtomicUsize,
    parts: Mutex<Vec<Arc<Clock>>>,
}

#[derive(Debug)]
struct Clock {
    statement: usize,
    physical: PhysicalTable,
    sql: String,
    start: Instant,
    first: OnceLock<Duration>,
    end: OnceLock<Duration>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// What one physical table's part took.
#[derive(Debug, Clone)]
pub struct Timed {
    /// Which of a union's SELECTs, or of a gathered statement's tables, from 0.
    pub statement: usize,
    /// The table.
    pub physical: PhysicalTable,
    /// What it was asked.
    pub sql: String,
    /// From the asking to the first row or batch of rows; nothing where there was none.
    pub first: Option<Duration>,
    /// From the asking to the end of the rows, waiting for slower shards and for us included.
    pub total: Duration,
    /// Rows that came.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Far {
    /// Tables that are to answer, as far as is known.
    pub tables: usize,
    /// Those that have answered.
    pub answered: usize,
    /// Rows that came.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// Measures one part until it is dropped.
#[derive(Debug)]
pub struct Timer(Arc<Clock>);

impl Timings {
    /// The number of a statement that asks so many tables.
    pub fn statement(&self, tables: usize) -> usize {
        self.0.expected.fetch_add(tables, Ordering::Relaxed);
        self.0.statements.fetch_add(1, Ordering::Relaxed)
    }

    /// Measures from now on what a table is asked.
    pub fn start(&self, statement: usize, physical: &PhysicalTable, sql: &str) -> Timer {
        let clock = Arc::new(Clock {
            statement,
            physical: physical.clone(),
            sql: sql.to_owned(),
            start: Instant::now(),
            first: OnceLock::new(),
            end: OnceLock::new(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        self.parts().push(clock.clone());
        Timer(clock)
    }

    /// All parts, in the order of the statements and of the tables.
    pub fn all(&self) -> Vec<Timed> {
        let mut all: Vec<Timed> = self.parts().iter().map(|clock| clock.timed()).collect();
        all.sort_by(|a, b| {
            let key = |timed: &Timed| (timed.statement, timed.physical.clone());
            key(a).cmp(&key(b))
        });
        all
    }

    /// How far it is by now.
    pub fn far(&self) -> Far {
        let parts = self.parts();
        let mut far = Far {
            tables: self.0.expected.load(Ordering::Relaxed),
            ..Far::default()
        };
        for clock in parts.iter() {
            far.answered += usize::from(clock.end.get().is_some());
            far.rows += clock.rows.load(Ordering::Relaxed);
            far.bytes += clock.bytes.load(Ordering::Relaxed);
        }
        far
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Clock>>> {
        self.0
            .parts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock {
    fn timed(&self) -> Timed {
        Timed {
            statement: self.statement,
            physical: self.physical.clone(),
            sql: self.sql.clone(),
            first: self.first.get().copied(),
            total: self
                .end
                .get()
                .copied()
                .unwrap_or_else(|| self.start.elapsed()),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Timer {
    /// These came.
    pub fn came(&self, rows: u64, bytes: u64) {
        let clock = &self.0;
        clock.first.get_or_init(|| clock.start.elapsed());
        clock.rows.fetch_add(rows, Ordering::Relaxed);
        clock.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // Dropped is ended: read to its end, or not wanted any further.
        let _ = self.0.end.set(self.0.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{InstanceName, SchemaName, TableName};

    #[test]
    fn parts_are_told_in_the_order_of_tables_and_end_when_they_are_dropped() {
        let timings = Timings::default();
        let table = |schema: &str| PhysicalTable {
            instance: InstanceName::new("rds-1").unwrap(),
            schema: SchemaName::new(schema).unwrap(),
            table: TableName::new("member").unwrap(),
        };
        let statement = timings.statement(2);
        let late = timings.start(statement, &table("uc_01"), "SELECT 2");
        let early = timings.start(statement, &table("uc_00"), "SELECT 1");
        late.came(3, 30);
        late.came(1, 10);
        drop(early);
        let far = Far {
            tables: 2,
            answered: 1,
            rows: 4,
            bytes: 40,
        };
        assert_eq!(timings.far(), far);
        let all = timings.all();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].sql.as_str(), all[0].rows), ("SELECT 1", 0));
        assert!(all[0].first.is_none());
        assert!(all[1].first.is_some_and(|first| first <= all[1].total));
    }
}
