//! What is legal in a topology and bites all the same: tables that stay empty, keys that two
//! tables place apart, values that the server and the router do not take for the same.
//!
//! Everything here is found from the file alone, but [`step`], which looks at keys of a live
//! table.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Router;
use crate::names::TableName;
use crate::rows::key::{KeyType, KeyValue};
use crate::topology::file::places::Spot;
use crate::topology::{Assumption, KeyRule, LogicalTable, ShardFunction, Spread, Topology};

/// Keys with which two tables are compared: small, large, and on both sides of what fits 31 bits.
const PROBES: [i64; 12] = [
    0,
    1,
    2,
    7,
    16,
    17,
    1_001,
    65_535,
    100_000_007,
    2_147_483_647,
    2_147_483_648,
    9_999_999_999,
];

/// How much a trap matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Worth a look: right in some fleets.
    Warning,
    /// Wrong.
    Failure,
}

/// One trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// Its name in reports.
    pub rule: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// The logical table; `None` where it is about the placement.
    pub table: Option<TableName>,
    /// Where in the file to look.
    pub spot: Spot,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub next: Option<&'static str>,
}

/// Every trap in a topology that is sound and can be routed, in the order of its tables.
pub fn traps(topology: &Topology) -> Vec<Trap> {
    let mut found: Vec<Trap> = topology
        .cautions()
        .into_iter()
        .map(|(table, message)| Trap {
            rule: match table {
                Some(_) => "auto_increment",
                None => "uneven_placement",
            },
            weight: Weight::Warning,
            spot: table.clone().map_or(Spot::Placement, Spot::Ddl),
            next: match table {
                Some(_) => Some("take ids from a sequence service"),
                None => Some("take a count of schemas that the count of instances divides"),
            },
            table,
            message,
        })
        .collect();
    for table in topology.tables.values() {
        let mut say = |rule, weight, spot, message, next| {
            found.push(Trap {
                rule,
                weight,
                table: Some(table.name.clone()),
                spot,
                message,
                next,
            });
        };
        one_hash_for_both(topology, table, &mut say);
        keys(table, &mut say);
        index_table(topology, table, &mut say);
        apart(topology, table, &mut say);
    }
    found
}

type Say<'a> = dyn FnMut(&'static str, Weight, Spot, String, Option<&'static str>) + 'a;

/// What a function makes of a key before it divides: two functions of one family agree modulo
/// whatever both are taken by.
#[derive(PartialEq, Eq)]
enum Family {
    Value,
    Java,
    Crc,
    Order,
}

fn family(rule: &KeyRule, kind: &KeyType) -> Family {
    match (&rule.function, kind) {
        (ShardFunction::Crc32, _) => Family::Crc,
        (ShardFunction::Range { .. }, _) => Family::Order,
        (ShardFunction::DrdsHash | ShardFunction::DrdsUniHash, KeyType::Text { .. }) => {
            Family::Java
        }
        _ => Family::Value,
    }
}

fn key_type(table: &LogicalTable, rule: &KeyRule) -> Option<KeyType> {
    table.def.column(rule.column.as_str()).and_then(KeyType::of)
}

/// The key that chooses the schema chooses the table too, by the same hash: of the tables of a
/// schema most can never get a row.
fn one_hash_for_both(topology: &Topology, table: &LogicalTable, say: &mut Say<'_>) {
    let Some(split) = table.spread.split() else {
        return;
    };
    let Some(second) = &split.table else { return };
    if !second.column.is(split.schema.column.as_str()) {
        return;
    }
    let Some(kind) = key_type(table, second) else {
        return;
    };
    let (first, of_table) = (family(&split.schema, &kind), family(second, &kind));
    if first != of_table {
        return;
    }
    let (schemas, tables) = (topology.shard_count(), table.tables_per_schema);
    let all = u64::from(schemas) * u64::from(tables);
    let used = match (&split.schema.function, &second.function) {
        (ShardFunction::Range { bounds: outer }, ShardFunction::Range { bounds: inner }) => {
            overlaps(outer, inner)
        }
        // x mod G and x mod t: as many pairs as the least common multiple.
        _ => all / u64::from(gcd(u128::from(schemas), u128::from(tables)) as u32),
    };
    if used < all {
        say(
            "one_hash_for_both_keys",
            Weight::Failure,
            Spot::TableKey(table.name.clone()),
            format!(
                "`{}` of `{}` chooses the schema and the table by the same hash: {} of its {all} \
                 physical tables can never get a row",
                second.column,
                table.name,
                all - used
            ),
            Some("leave table_key out: the one key then spreads over all tables"),
        );
    }
}

/// How many pairs of parts of two range functions have a key in common.
fn overlaps(outer: &[i128], inner: &[i128]) -> u64 {
    let mut cuts: BTreeSet<i128> = outer.iter().copied().collect();
    cuts.extend(inner);
    // Between two neighbouring cuts both functions stay in one part.
    cuts.len() as u64 + 1
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What the types and collations of the keys bring.
fn keys(table: &LogicalTable, say: &mut Say<'_>) {
    let Some(split) = table.spread.split() else {
        return;
    };
    let name = &table.name;
    for assumption in &table.assumptions {
        say(
            "assumed",
            Weight::Note,
            Spot::Table(name.clone()),
            format!(
                "`{name}` assumes {}: the file vouches for it, no server does",
                assumption.name()
            ),
            None,
        );
    }
    let rules = [
        (Some(&split.schema), Spot::ShardKey(name.clone())),
        (split.table.as_ref(), Spot::TableKey(name.clone())),
    ];
    for (rule, spot) in rules {
        let Some(rule) = rule else { continue };
        let column = &rule.column;
        let function = rule.function.name();
        let Some(definition) = table.def.column(column.as_str()) else {
            continue;
        };
        if definition.nullable && rule.function.places_null() {
            say(
                "null_key",
                Weight::Warning,
                spot.clone(),
                format!(
                    "`{column}` of `{name}` can be NULL, and {function} has one place for all such \
                     rows"
                ),
                Some("make the column NOT NULL"),
            );
        }
        if let ShardFunction::Range { .. } = rule.function {
            say(
                "open_range",
                Weight::Note,
                spot.clone(),
                format!(
                    "`{name}` is split by ranges of `{column}`: keys that ascend all go to the last part"
                ),
                None,
            );
        }
        let Some(KeyType::Text { collation, trims }) = KeyType::of(definition) else {
            continue;
        };
        if matches!(rule.function, ShardFunction::Mod) {
            say(
                "mod_of_text",
                Weight::Warning,
                spot.clone(),
                format!(
                    "`{column}` of `{name}` is text, and mod has no place for a text that is not \
                     an integer"
                ),
                Some("give the column an integer type, or take a hash of the text"),
            );
        } else {
            say(
                "number_literal",
                Weight::Note,
                spot.clone(),
                format!(
                    "`{column}` of `{name}` is text: a statement that compares it with a number \
                     literal has another place to a router, which hashes the literal's own type"
                ),
                Some("write the literal in quotes"),
            );
        }
        let pads = collation.as_deref().is_none_or(|name| {
            name != "binary" && !name.contains("nopad") && !name.contains("_0900_")
        });
        let vouched = [Assumption::NoTrailingSpaces, Assumption::OneSpelling]
            .iter()
            .any(|assumption| table.assumptions.contains(assumption));
        if pads && !trims && rule.function.tells_case() && !vouched {
            say(
                "trailing_spaces",
                Weight::Warning,
                spot,
                format!(
                    "'a' and 'a ' are one value of `{column}` of `{name}` to the server (a PAD \
                     SPACE collation) and two places to {function}"
                ),
                Some(
                    "take a NO PAD collation, or say `assume: [no_trailing_spaces]` where no value \
                     ends in a space",
                ),
            );
        }
    }
}

/// An index table is for finding the row's shard: it must have the base's shard key.
fn index_table(topology: &Topology, table: &LogicalTable, say: &mut Say<'_>) {
    let Spread::IndexTable { base, .. } = &table.spread else {
        return;
    };
    let Some(split) = topology
        .tables
        .get(base)
        .and_then(|base| base.spread.split())
    else {
        return;
    };
    let key = &split.schema.column;
    if table.def.column(key.as_str()).is_none() {
        say(
            "index_without_shard_key",
            Weight::Warning,
            Spot::Ddl(table.name.clone()),
            format!(
                "index table `{}` lacks `{key}`, the shard key of its base `{base}`: it cannot \
                 tell in which shard a row of the base is",
                table.name
            ),
            Some("add the column to the index table"),
        );
    }
}

/// Two tables with a shard key of the same name that place a key apart: rows that belong together
/// are not found together. Said once for a table, against the first one that has the key.
fn apart(topology: &Topology, table: &LogicalTable, say: &mut Say<'_>) {
    let Some(split) = table.spread.split() else {
        return;
    };
    let column = &split.schema.column;
    let first = topology.tables.values().find(|other| {
        other
            .spread
            .split()
            .is_some_and(|other| other.schema.column.is(column.as_str()))
    });
    let Some(first) = first.filter(|first| first.name != table.name) else {
        return;
    };
    let (Ok(here), Ok(there)) = (Router::new(topology, table), Router::new(topology, first)) else {
        return;
    };
    let Some(key) = PROBES.into_iter().find(|key| {
        let shard = |router: &Router| {
            let value = probe(*key, router.schema_key_type())?;
            router.shard(&value).ok()
        };
        match (shard(&here), shard(&there)) {
            (Some(here), Some(there)) => here != there,
            _ => false,
        }
    }) else {
        return;
    };
    say(
        "keys_apart",
        Weight::Warning,
        Spot::ShardKey(table.name.clone()),
        format!(
            "`{}` and `{}` are both split by `{column}` and place it apart ({key} for one): rows \
             that belong together lie in different schemas",
            first.name, table.name
        ),
        Some("give both the same type, function and tables per schema"),
    );
}

/// The key as a value of this type; `None` where the type cannot have it.
fn probe(key: i64, kind: &KeyType) -> Option<KeyValue> {
    Some(match kind {
        KeyType::Integer { .. } => {
            let (least, greatest) = kind.bounds()?;
            let key = i128::from(key);
            (least..=greatest)
                .contains(&key)
                .then_some(KeyValue::Integer(key))?
        }
        KeyType::Text { .. } => KeyValue::Text(key.to_string()),
        KeyType::Binary { .. } => return None,
    })
}

/// Physical tables whose numbers are looked at in [`step`]; with more the answer is not worth the
/// time.
const STEP_TABLES_MAX: u64 = 65_536;

/// Keys that it takes to believe that a step is no chance.
const STEP_KEYS_MIN: usize = 64;

/// Whether these keys of a live table all lie a step apart that leaves physical tables empty: ids
/// of a sequence that counts in sixteens, under a function that divides by sixteen.
pub fn step(topology: &Topology, table: &LogicalTable, keys: &[i128]) -> Option<Trap> {
    let function = &table.spread.split()?.schema.function;
    // The others mix the key, or put neighbours together on purpose.
    let divides = matches!(
        function,
        ShardFunction::Mod | ShardFunction::DrdsHash | ShardFunction::DrdsUniHash
    );
    let router = Router::new(topology, table).ok()?;
    if !divides || router.table_column().is_some() || keys.len() < STEP_KEYS_MIN {
        return None;
    }
    let first = *keys.first()?;
    let step = keys
        .iter()
        .fold(0, |step, key| gcd(step, key.abs_diff(first)));
    let all = u64::from(topology.shard_count()) * u64::from(table.tables_per_schema);
    if step < 2 || all > STEP_TABLES_MAX {
        return None;
    }
    let step_signed = i128::try_from(step).ok()?;
    let mut used = BTreeSet::new();
    // As many steps as there are tables come back to where they began, whatever the step is.
    for number in 0..all * 2 {
        let key = step_signed
            .checked_mul(i128::from(number))
            .and_then(|far| far.checked_add(first))?;
        used.insert(router.place(&KeyValue::Integer(key), None).ok()?.table);
    }
    let unused = all - used.len() as u64;
    let column = &table.spread.split()?.schema.column;
    (unused > 0).then(|| Trap {
        rule: "sequence_step",
        weight: Weight::Warning,
        table: Some(table.name.clone()),
        spot: Spot::ShardKey(table.name.clone()),
        message: format!(
            "all {} keys that were looked at in `{column}` of `{}` lie a multiple of {step} apart: \
             {unused} of its {all} physical tables get no rows",
            keys.len(),
            table.name
        ),
        next: Some("count in ones, or take a function that mixes the key, such as crc32"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topology::file::parse;

    fn topology(schemas: u32, tables: &str) -> Topology {
        let text = format!(
            "version: 1\ncluster: c\ninstances:\n  a: {{ host: a }}\n  b: {{ host: b }}\nschemas:\n  name: s_{{:02}}\n  count: {schemas}\n  on:\n    a: 0-{}\n    b: {}-{}\ntables:\n{tables}",
            schemas / 2 - 1,
            schemas / 2,
            schemas - 1
        );
        parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn check(tables: &str, expected: &[(&str, &str)]) {
        let found = traps(&topology(16, tables));
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|trap| (trap.rule, trap.message.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_user_center_has_no_trap_that_warns() {
        let topology = parse(include_str!("../../topology.yaml")).unwrap();
        let found = traps(&topology);
        assert!(
            found.iter().all(|trap| trap.weight == Weight::Note),
            "{found:?}"
        );
        let rules: Vec<&str> = found.iter().map(|trap| trap.rule).collect();
        assert_eq!(rules, ["assumed", "number_literal"]);
    }

    #[test]
    fn one_hash_for_schema_and_table_leaves_tables_empty() {
        check(
            "  t: { shard_key: id, function: drds_hash, table_key: id, table_function: mod, tables_per_schema: 8, ddl: 'CREATE TABLE t (id bigint unsigned primary key)' }\n",
            &[(
                "one_hash_for_both_keys",
                "`id` of `t` chooses the schema and the table by the same hash: 112 of its 128 physical tables can never get a row",
            )],
        );
        // Without a common factor, and with another hash, all tables are reached.
        check(
            "  t: { shard_key: id, function: mod, table_key: id, table_function: mod, tables_per_schema: 5, ddl: 'CREATE TABLE t (id bigint primary key)' }\n",
            &[],
        );
        check(
            "  t: { shard_key: id, function: mod, table_key: id, table_function: crc32, tables_per_schema: 8, ddl: 'CREATE TABLE t (id bigint primary key)' }\n",
            &[],
        );
    }

    #[test]
    fn what_a_key_brings_is_said() {
        check(
            "  t: { shard_key: k, function: drds_hash, assume: [global_keys], ddl: 'CREATE TABLE t (id bigint auto_increment primary key, k varchar(9) collate utf8mb4_bin)' }\n",
            &[
                (
                    "auto_increment",
                    "`id` of `t` is AUTO_INCREMENT: each physical table counts for itself, so ids meet",
                ),
                (
                    "assumed",
                    "`t` assumes global_keys: the file vouches for it, no server does",
                ),
                (
                    "null_key",
                    "`k` of `t` can be NULL, and drds_hash has one place for all such rows",
                ),
                (
                    "number_literal",
                    "`k` of `t` is text: a statement that compares it with a number literal has another place to a router, which hashes the literal's own type",
                ),
                (
                    "trailing_spaces",
                    "'a' and 'a ' are one value of `k` of `t` to the server (a PAD SPACE collation) and two places to drds_hash",
                ),
            ],
        );
        check(
            "  t: { shard_key: k, function: mod, ddl: 'CREATE TABLE t (k varchar(9) collate utf8mb4_bin primary key)' }\n",
            &[(
                "mod_of_text",
                "`k` of `t` is text, and mod has no place for a text that is not an integer",
            )],
        );
    }

    #[test]
    fn tables_that_place_a_key_apart_are_named() {
        let with = |second: &str| {
            format!(
                "  a: {{ shard_key: id, function: drds_hash, ddl: 'CREATE TABLE a (id bigint unsigned primary key)' }}\n  b: {{ shard_key: id, {second} }}\n"
            )
        };
        check(
            &with(
                "function: drds_hash, ddl: 'CREATE TABLE b (id char(20) collate utf8mb4_bin primary key)'",
            ),
            &[
                (
                    "number_literal",
                    "`id` of `b` is text: a statement that compares it with a number literal has another place to a router, which hashes the literal's own type",
                ),
                (
                    "keys_apart",
                    "`a` and `b` are both split by `id` and place it apart (16 for one): rows that belong together lie in different schemas",
                ),
            ],
        );
        check(
            &with("function: mod, ddl: 'CREATE TABLE b (id int unsigned primary key)'"),
            &[],
        );
        check(
            &with(
                "function: drds_hash, tables_per_schema: 4, ddl: 'CREATE TABLE b (id bigint unsigned primary key)'",
            ),
            &[(
                "keys_apart",
                "`a` and `b` are both split by `id` and place it apart (1 for one): rows that belong together lie in different schemas",
            )],
        );
    }

    #[test]
    fn an_index_table_needs_the_shard_key_of_its_base() {
        check(
            "  a: { shard_key: id, function: drds_hash, ddl: 'CREATE TABLE a (id bigint primary key, x int)' }\n  b: { index_of: a, shard_key: x, function: mod, ddl: 'CREATE TABLE b (x int primary key)' }\n",
            &[(
                "index_without_shard_key",
                "index table `b` lacks `id`, the shard key of its base `a`: it cannot tell in which shard a row of the base is",
            )],
        );
    }

    #[test]
    fn a_sequence_that_shares_a_factor_with_the_tables_is_caught() {
        let topology = topology(
            16,
            "  t: { shard_key: id, function: mod, ddl: 'CREATE TABLE t (id bigint primary key)' }\n  c: { shard_key: id, function: crc32, ddl: 'CREATE TABLE c (id bigint primary key)' }\n",
        );
        let message = |table: &str, keys: Vec<i128>| {
            step(
                &topology,
                &topology.tables[&TableName::new(table).unwrap()],
                &keys,
            )
            .map(|trap| trap.message)
        };
        let by = |step: i128| (0..100).map(|n| 7 + n * step).collect::<Vec<i128>>();
        assert_eq!(
            message("t", by(24)).unwrap(),
            "all 100 keys that were looked at in `id` of `t` lie a multiple of 24 apart: 14 of its 16 physical tables get no rows"
        );
        assert_eq!(message("t", by(1)), None);
        assert_eq!(message("t", by(15)), None);
        assert_eq!(message("c", by(16)), None);
        assert_eq!(message("t", vec![1, 17]), None);
    }

    proptest! {
        #[test]
        fn the_tables_said_to_stay_empty_are_those_no_key_reaches(schemas in 1..10u32, tables in 2..9u32, uni in any::<bool>()) {
            let schemas = schemas * 2;
            let function = if uni { "drds_uni_hash" } else { "mod" };
            let topology = topology(schemas, &format!("  t: {{ shard_key: id, function: {function}, table_key: id, table_function: drds_hash, tables_per_schema: {tables}, ddl: 'CREATE TABLE t (id bigint primary key)' }}\n"));
            let table = &topology.tables[0];
            let router = Router::new(&topology, table).unwrap();
            let used: BTreeSet<u32> = (0..2000)
                .map(|id| { let key = KeyValue::Integer(id); router.place(&key, Some(&key)).unwrap().table })
                .collect();
            let all = schemas * tables;
            let said = traps(&topology).into_iter().find(|trap| trap.rule == "one_hash_for_both_keys");
            match said {
                None => prop_assert_eq!(used.len() as u32, all),
                Some(trap) => {
                    let expected = format!("{} of its {all} ", all - used.len() as u32);
                    prop_assert!(trap.message.contains(&expected), "{}", trap.message);
                }
            }
        }

        #[test]
        fn a_step_says_how_many_tables_stay_empty(step_by in 1..200i128, first in 0..1000i128, schemas in 1..17u32) {
            let topology = topology(schemas * 2, "  t: { shard_key: id, function: drds_hash, tables_per_schema: 3, ddl: 'CREATE TABLE t (id bigint primary key)' }\n");
            let table = &topology.tables[0];
            let router = Router::new(&topology, table).unwrap();
            let keys: Vec<i128> = (0..3000).map(|n| first + n * step_by).collect();
            let used: BTreeSet<u32> = keys.iter().map(|key| router.place(&KeyValue::Integer(*key), None).unwrap().table).collect();
            let unused = schemas as usize * 6 - used.len();
            match step(&topology, table, &keys) {
                None => prop_assert_eq!(unused, 0),
                Some(trap) => prop_assert!(trap.message.contains(&format!("apart: {unused} of")), "{} {}", unused, trap.message),
            }
        }
    }
}
