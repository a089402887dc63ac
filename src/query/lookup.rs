//! Finding the shards of a statement through an index table.
//!
//! Where WHERE names a key of an index table, that table's own shards know the shard keys of the
//! rows, in one round trip more. The answer is then as right as the index table: a row that it
//! lacks is not found. So this is done only where it is asked for.

use std::collections::BTreeSet;

use sqlparser::ast::{BinaryOperator, Expr, Value};

use super::Refusal;
use super::keys::{Found, Scope, Tables};
use super::plan::{At, Plan, Read, Way, numbered};
use super::tables::{Reads, conjuncts};
use super::template::{Template, hole};
use crate::names::{TableName, quote};
use crate::routing::Router;
use crate::rows::cell::Row;
use crate::topology::{Assumption, LogicalTable, Spread, Topology};

/// A question to an index table.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The index table.
    pub table: TableName,
    /// The question, as a plan of its own: its rows are shard keys.
    pub plan: Box<Plan>,
}

/// The question that tells the shards of a statement; `None` where no index table can.
pub(super) fn lookup(
    reads: &Reads<'_>,
    condition: Option<&Expr>,
    topology: &Topology,
) -> Option<Lookup> {
    let [used] = reads.uses.as_slice() else {
        return None;
    };
    let split = used
        .table
        .spread
        .split()
        .filter(|split| split.table.is_none())?;
    let mut conditions = Vec::new();
    conjuncts(condition?, &mut conditions);
    topology.tables.values().find_map(|index| {
        let Spread::IndexTable { base, split: own } = &index.spread else {
            return None;
        };
        let key = own.schema.column.as_str();
        // The same column in both, or a condition would not mean the same.
        let same = |column: &str| {
            let (a, b) = (used.table.def.column(column), index.def.column(column));
            a.zip(b).is_some_and(|(a, b)| a.kind == b.kind)
        };
        if *base != used.table.name || !same(key) || !same(split.schema.column.as_str()) {
            return None;
        }
        let router = Router::new(topology, index).ok()?;
        let find = |expr: &Expr| -> Option<Found<'_>> {
            let (_, column) = reads.use_of(expr)?;
            router.schema_column().is(&column).then_some(Found {
                router: &router,
                column: router.schema_column().as_str(),
                no_trailing_spaces: index.assumptions.contains(&Assumption::NoTrailingSpaces),
            })
        };
        let scope = Scope { find: &find };
        conditions.iter().find_map(|condition| {
            let text = condition_text(condition, key)?;
            let Tables::Some(numbers) = scope.tables(condition) else {
                return None;
            };
            let shards: usize = numbers.len();
            (shards > 0 && shards < topology.places(index).count()).then(|| {
                let statement = Template::new(format!(
                    "SELECT DISTINCT {} FROM {} WHERE {text}",
                    quote(split.schema.column.as_str()),
                    hole(0, index.name.as_str(), false),
                ));
                Lookup {
                    table: index.name.clone(),
                    plan: Box::new(question(index, &numbers, statement)),
                }
            })
        })
    })
}

fn question(index: &LogicalTable, numbers: &BTreeSet<u32>, statement: Template) -> Plan {
    Plan {
        table: index.name.to_string(),
        places: numbers
            .iter()
            .map(|number| numbered(*number, index.tables_per_schema))
            .collect(),
        way: Way::One {
            statement: statement.clone(),
        },
        reason: "its key is in the statement".to_owned(),
        as_written: statement,
        reads: vec![Read {
            table: index.name.clone(),
            at: At::Place,
        }],
        lookup: None,
    }
}

/// `key = literal` and `key IN (literals)` as text.
fn condition_text(condition: &Expr, key: &str) -> Option<String> {
    let literal = |expr: &Expr| match expr {
        Expr::Value(value)
            if matches!(
                value.value,
                Value::Number(..) | Value::SingleQuotedString(_)
            ) =>
        {
            Some(expr.to_string())
        }
        _ => None,
    };
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => {
            let value = literal(right).or_else(|| literal(left))?;
            Some(format!("{} = {value}", quote(key)))
        }
        Expr::InList {
            list,
            negated: false,
            ..
        } => {
            let values = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            Some(format!("{} IN ({})", quote(key), values.join(", ")))
        }
        _ => None,
    }
}

impl Plan {
    /// The plan for the shards of the keys that an index table gave.
    ///
    /// # Errors
    /// A key has no place.
    pub fn narrowed(mut self, keys: &[Row], topology: &Topology) -> Result<Self, Refusal> {
        let Some(lookup) = self.lookup.take() else {
            return Ok(self);
        };
        let unknown = |what: String| Refusal::Unknown(what);
        let table = topology
            .tables
            .values()
            .find(|table| table.name.as_str() == self.table)
            .ok_or_else(|| unknown(format!("there is no logical table `{}`", self.table)))?;
        let router = Router::new(topology, table).map_err(|fault| unknown(fault.to_string()))?;
        let mut numbers = BTreeSet::new();
        for cell in keys.iter().filter_map(|row| row.first()?.as_ref()) {
            let text = String::from_utf8_lossy(cell);
            let key = router
                .schema_key_type()
                .parse(&text)
                .map_err(|fault| unknown(fault.to_string()))?;
            let place = router
                .place(&key, None)
                .map_err(|fault| unknown(fault.to_string()))?;
            numbers.insert(place.table);
        }
        let all = self.places.len();
        let mut kept = self.places.clone();
        kept.retain(|place| numbers.contains(&place.table));
        // No row anywhere, and any table says so.
        if kept.is_empty() {
            kept = self.places[..1].to_vec();
        }
        self.places = kept;
        self.reason = format!(
            "the index table `{}` names {}, which {} {} of {all} tables",
            lookup.table,
            match keys.len() {
                1 => "1 shard key".to_owned(),
                count => format!("{count} shard keys"),
            },
            if keys.len() == 1 { "leaves" } else { "leave" },
            self.places.len()
        );
        if self.places.len() == 1 {
            self.way = Way::One {
                statement: self.as_written.clone(),
            };
        }
        Ok(self)
    }
}
