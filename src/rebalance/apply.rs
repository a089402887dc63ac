//! Changes of the log as what to do on the target: for each row delete by key, then a plain insert.
//!
//! Images are full, so only the last state of a row in a batch counts, and a batch may be applied
//! again, from an older place in the log too: the end is the same. Never an upsert: on a second
//! unique key that would delete or merge a row that nobody changed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rows::change::{Row, RowChange};
use crate::rows::shape::TableShape;
use crate::rows::touched::RowKey;
use crate::rows::value::Value;

/// What a batch comes to in one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableBatch {
    /// The table, under the name that its source knows it by.
    pub table: Arc<TableShape>,
    /// Keys of all rows that were touched, each once: they are deleted first.
    pub deletes: Vec<Vec<Value>>,
    /// The rows that are there at the end: inserted then.
    pub inserts: Vec<Row>,
}

/// Joins changes in the order of the log, table by table in the order of their first change.
pub fn coalesce(changes: Vec<RowChange>) -> Vec<TableBatch> {
    #[derive(Default)]
    struct Table {
        order: Vec<(RowKey, Vec<Value>)>,
        last: HashMap<RowKey, Option<Row>>,
    }
    let mut tables: Vec<(Arc<TableShape>, Table)> = Vec::new();
    let mut index: HashMap<*const TableShape, usize> = HashMap::new();
    for change in changes {
        // The decoder gives every change of a table the same shape.
        let at = *index.entry(Arc::as_ptr(&change.table)).or_insert_with(|| {
            tables.push((change.table.clone(), Table::default()));
            tables.len() - 1
        });
        let (shape, table) = &mut tables[at];
        for (row, is_after) in [(change.before, false), (change.after, true)] {
            let Some(row) = row else { continue };
            let key = RowKey::of(shape, &row);
            if !table.last.contains_key(&key) {
                let values = shape
                    .key
                    .iter()
                    .filter_map(|index| row.get(*index).cloned());
                table.order.push((key.clone(), values.collect()));
            }
            table.last.insert(key, is_after.then_some(row));
        }
    }
    tables
        .into_iter()
        .map(|(shape, mut table)| {
            let mut batch = TableBatch {
                table: shape,
                deletes: Vec::with_capacity(table.order.len()),
                inserts: Vec::new(),
            };
            for (key, values) in table.order {
                batch.deletes.push(values);
                batch.inserts.extend(table.last.remove(&key).flatten());
            }
            batch
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rows::shape::ColumnShape;

    fn shape(name: &str) -> Arc<TableShape> {
        let column = |name: &str| ColumnShape {
            name: name.to_owned(),
            kind: "int".to_owned(),
            ..ColumnShape::default()
        };
        Arc::new(TableShape {
            schema: "s".to_owned(),
            table: name.to_owned(),
            columns: vec![column("v"), column("id")],
            key: vec![1],
        })
    }

    type Rows = BTreeMap<(String, i64), i64>;

    /// A log as a server would write it: each change fits the rows that are there.
    fn log(steps: &[(bool, u8, i64, i64)]) -> (Vec<RowChange>, Vec<Rows>) {
        let shapes = [shape("a"), shape("b")];
        let mut rows = Rows::new();
        let (mut changes, mut states) = (Vec::new(), vec![rows.clone()]);
        for (second, what, id, to) in steps {
            let table = shapes[usize::from(*second)].clone();
            let name = table.table.clone();
            let image = |id: i64, v: i64| vec![Value::Int(v), Value::Int(id)];
            let at = (name.clone(), *id);
            let old = rows.get(&at).copied();
            let change = match (what % 3, old) {
                (0, None) => {
                    rows.insert(at, *to);
                    (None, Some(image(*id, *to)))
                }
                (1, Some(v)) => {
                    rows.remove(&at);
                    (Some(image(*id, v)), None)
                }
                // The key changes too, where the new one is free.
                (2, Some(v)) if *to == *id || !rows.contains_key(&(name.clone(), *to)) => {
                    rows.remove(&at);
                    rows.insert((name, *to), v + 1);
                    (Some(image(*id, v)), Some(image(*to, v + 1)))
                }
                _ => continue,
            };
            changes.push(RowChange {
                table,
                before: change.0,
                after: change.1,
            });
            states.push(rows.clone());
        }
        (changes, states)
    }

    fn apply(rows: &mut Rows, batches: &[TableBatch]) {
        for batch in batches {
            let at = |value: &Value| match value {
                Value::Int(id) => (batch.table.table.clone(), *id),
                other => panic!("{other:?}"),
            };
            for key in &batch.deletes {
                rows.remove(&at(&key[0]));
            }
            for row in &batch.inserts {
                let Value::Int(v) = row[0] else { panic!() };
                let clash = rows.insert(at(&row[1]), v);
                assert_eq!(clash, None, "a plain insert meets no row");
            }
        }
    }

    proptest! {
        #[test]
        fn batches_of_any_size_end_where_the_log_does(
            steps in prop::collection::vec((any::<bool>(), any::<u8>(), 0..6i64, 0..6i64), 0..60),
            size in 1..20usize,
        ) {
            let (changes, states) = log(&steps);
            let mut rows = Rows::new();
            for batch in changes.chunks(size) {
                apply(&mut rows, &coalesce(batch.to_vec()));
            }
            prop_assert_eq!(&rows, states.last().unwrap());
        }

        #[test]
        fn applied_from_an_older_place_to_newer_rows_the_end_is_the_same(
            steps in prop::collection::vec((any::<bool>(), any::<u8>(), 0..6i64, 0..6i64), 1..60),
            from in any::<prop::sample::Index>(),
            seen in any::<prop::sample::Index>(),
            size in 1..20usize,
        ) {
            let (changes, states) = log(&steps);
            // The target has the rows of a later moment than the place the log is read from.
            let from = from.index(states.len());
            let seen = from + seen.index(states.len() - from);
            let mut rows = states[seen].clone();
            for batch in changes[from..].chunks(size) {
                apply(&mut rows, &coalesce(batch.to_vec()));
            }
            prop_assert_eq!(&rows, states.last().unwrap());
        }
    }
}
