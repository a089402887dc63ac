use std::cmp::Ordering;

use bigdecimal::num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

const BIGINT: KeyType = KeyType::Integer {
    bytes: 8,
    unsigned: false,
};
const BIGINT_UNSIGNED: KeyType = KeyType::Integer {
    bytes: 8,
    unsigned: true,
};
const VARBINARY: KeyType = KeyType::Binary { padded_to: None };

fn varchar() -> KeyType {
    KeyType::Text {
        collation: Some("utf8mb4_bin".to_owned()),
        trims: false,
    }
}

fn rule(kind: KeyType, function: ShardFunction) -> Rule {
    Rule {
        column: ColumnName::new("k").unwrap(),
        kind,
        function,
    }
}

fn router(schemas: u32, tables_per_schema: u32, kind: KeyType, function: ShardFunction) -> Router {
    Router {
        schemas,
        tables_per_schema,
        schema: rule(kind, function),
        table: None,
    }
}

fn int(number: impl Into<i128>) -> KeyValue {
    KeyValue::Integer(number.into())
}

fn text(text: &str) -> KeyValue {
    KeyValue::Text(text.to_owned())
}

/// Schema and table of a key, as pairs are written in the published documents.
fn at(router: &Router, key: &KeyValue) -> (u32, u32) {
    let place = router.place(key, None).unwrap();
    (place.shard.0, place.table)
}

#[test]
fn places_are_those_of_the_named_systems() {
    let drds = |schemas, tables, kind| router(schemas, tables, kind, ShardFunction::DrdsHash);
    // Published.
    let wide = drds(64, 16, BIGINT);
    assert_eq!([1, 17].map(|n| at(&wide, &int(n))), [(0, 1), (1, 17)]);
    let wide = drds(64, 16, varchar());
    assert_eq!(
        ["1", "17"].map(|key| at(&wide, &text(key))),
        [(3, 49), (34, 550)]
    );
    let odd = drds(341, 3, varchar());
    assert_eq!(at(&odd, &text("08:5d:dd:50:30:12")), (0, 2));
    // Computed; those of texts by a Java virtual machine too.
    let deep = drds(16, 8, BIGINT);
    assert_eq!(
        [17, 1001, -17].map(|n| at(&deep, &int(n))),
        [(2, 17), (13, 105), (2, 17)]
    );
    let deep = drds(16, 8, varchar());
    assert_eq!(
        ["Alice", "alice", "中文", "é", "😀a"].map(|key| at(&deep, &text(key))),
        [(12, 96), (0, 0), (15, 122), (13, 105), (11, 94)]
    );
    let uni = router(16, 8, BIGINT, ShardFunction::DrdsUniHash);
    assert_eq!(
        [17, 129, 1001].map(|n| at(&uni, &int(n))),
        [(1, 9), (1, 8), (9, 78)]
    );
}

#[test]
fn a_function_refuses_types_it_is_not_defined_for() {
    let range = || ShardFunction::Range { bounds: vec![] };
    for (function, kind, takes) in [
        (ShardFunction::Mod, BIGINT_UNSIGNED, true),
        (ShardFunction::Mod, varchar(), true),
        (ShardFunction::Mod, VARBINARY, false),
        (ShardFunction::Crc32, VARBINARY, true),
        (ShardFunction::DrdsHash, varchar(), true),
        (ShardFunction::DrdsHash, VARBINARY, false),
        (ShardFunction::DrdsUniHash, BIGINT, true),
        (ShardFunction::DrdsUniHash, varchar(), true),
        (ShardFunction::DrdsUniHash, BIGINT_UNSIGNED, false),
        (ShardFunction::DrdsUniHash, VARBINARY, false),
        (range(), BIGINT_UNSIGNED, true),
        (range(), varchar(), false),
    ] {
        assert_eq!(
            functions::takes(&function, &kind),
            takes,
            "{} {kind}",
            function.name()
        );
    }
}

#[test]
fn what_cannot_be_routed_says_so() {
    let refused = |table: &str, expected: &str| {
        let text = format!(
            "version: 1\ncluster: c\ninstances: {{a: {{host: x}}}}\nschemas: {{name: 's_{{}}', count: 4, on: {{a: 0-3}}}}\ntables:\n  t: {table}\n"
        );
        let topology = crate::topology::file::parse(&text);
        let faults = check(&topology.unwrap_or_else(|problems| panic!("{problems}")));
        assert_eq!(faults[0].1.to_string(), expected);
    };
    refused(
        "{shard_key: k, function: mod, ddl: 'CREATE TABLE t (k double NOT NULL PRIMARY KEY)'}",
        "column `k` of `t` has a type that cannot be a shard key",
    );
    refused(
        "{shard_key: k, function: drds_uni_hash, ddl: 'CREATE TABLE t (k bigint unsigned NOT NULL PRIMARY KEY)'}",
        "drds_uni_hash is not defined for BIGINT UNSIGNED, the type of `k` of `t`",
    );
    refused(
        "{shard_key: k, function: range, bounds: [1, 2], ddl: 'CREATE TABLE t (k int NOT NULL PRIMARY KEY)'}",
        "2 bounds give 3 parts, and there are 4 schemas",
    );
    refused(
        "{shard_key: k, function: range, bounds: [1, 2, 3], tables_per_schema: 2, ddl: 'CREATE TABLE t (k int NOT NULL PRIMARY KEY)'}",
        "range gives the schema only; `t` has several tables in each and no table_key",
    );
}

#[test]
fn only_the_rules_that_say_so_place_null() {
    for function in [
        ShardFunction::Mod,
        ShardFunction::Crc32,
        ShardFunction::DrdsHash,
        ShardFunction::DrdsUniHash,
        ShardFunction::Range { bounds: vec![7] },
    ] {
        let placed = function.places_null();
        let router = router(2, 1, BIGINT, function.clone());
        let place = router.place(&KeyValue::Null, None);
        assert_eq!(place.is_ok(), placed, "{}", function.name());
    }
}

#[test]
fn short_intervals_of_keys_narrow_under_any_function() {
    let router = router(16, 1, BIGINT, ShardFunction::DrdsHash);
    let between = |low, high| router.tables_between("K", low, high);
    assert_eq!(between(Some(17), Some(19)), Some(vec![1, 2, 3]));
    assert_eq!(between(Some(-1), Some(1)), Some(vec![0, 1]));
    assert_eq!(between(Some(19), Some(17)), Some(vec![]));
    // The column holds nothing above.
    let top = i128::from(i64::MAX);
    assert_eq!(between(Some(top - 1), None), Some(vec![14, 15]));
    assert_eq!(between(Some(top + 1), None), Some(vec![]));
    assert_eq!(between(Some(0), Some(100_000)), None);
    assert_eq!(between(Some(0), None), None);
    assert_eq!(router.tables_between("other", Some(1), Some(1)), None);
}

fn schemas() -> impl Strategy<Value = u32> {
    1u32..70
}

fn tables() -> impl Strategy<Value = u32> {
    1u32..9
}

/// Integers where carries and signs change, and any others.
fn bigint() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -300i64..300,
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1]),
    ]
}

fn sorted(bounds: BTreeSet<i64>) -> Vec<i128> {
    bounds.into_iter().map(i128::from).collect()
}

/// Any layout with a function and a key that it takes.
fn layout_and_key() -> impl Strategy<Value = (Router, KeyValue)> {
    let numbers = prop::sample::select(vec![
        ShardFunction::Mod,
        ShardFunction::Crc32,
        ShardFunction::DrdsHash,
        ShardFunction::DrdsUniHash,
    ]);
    let texts = prop::sample::select(vec![
        ShardFunction::Crc32,
        ShardFunction::DrdsHash,
        ShardFunction::DrdsUniHash,
    ]);
    prop_oneof![
        (schemas(), tables(), numbers, bigint())
            .prop_map(|(g, t, function, key)| (router(g, t, BIGINT, function), int(key))),
        (schemas(), tables(), texts, any::<String>())
            .prop_map(|(g, t, function, key)| (router(g, t, varchar(), function), text(&key))),
        (schemas(), tables(), "[-+]?[0-9]{1,60}")
            .prop_map(|(g, t, key)| (router(g, t, varchar(), ShardFunction::Mod), text(&key))),
        (schemas(), tables(), any::<Vec<u8>>()).prop_map(|(g, t, key)| (
            router(g, t, VARBINARY, ShardFunction::Crc32),
            KeyValue::Binary(key)
        )),
        (prop::collection::btree_set(any::<i64>(), 0..40), bigint()).prop_map(|(bounds, key)| {
            let bounds = sorted(bounds);
            let g = bounds.len() as u32 + 1;
            (
                router(g, 1, BIGINT, ShardFunction::Range { bounds }),
                int(key),
            )
        }),
    ]
}

/// The same functions, slowly and over numbers of any size.
mod model {
    use super::*;

    pub fn modulo(number: &BigInt, parts: u32) -> u32 {
        let n = BigInt::from(parts);
        u32::try_from((number % &n + &n) % &n).unwrap()
    }

    /// The h of UNI_HASH.
    pub fn uni_hash(key: &KeyValue) -> BigInt {
        magnitude(&match key {
            KeyValue::Integer(number) => BigInt::from(*number),
            KeyValue::Text(text) => java_hash(text),
            other => panic!("{other:?}"),
        })
    }

    pub fn magnitude(number: &BigInt) -> BigInt {
        BigInt::from(number.magnitude().clone())
    }

    pub fn java_hash(text: &str) -> BigInt {
        let wide = text.encode_utf16().fold(BigInt::from(0), |hash, unit| {
            hash * BigInt::from(31) + BigInt::from(unit)
        });
        let low: BigInt = wide % (BigInt::from(1_u32) << 32);
        match low.cmp(&(BigInt::from(1_u32) << 31)) {
            Ordering::Less => low,
            _ => low - (BigInt::from(1_u32) << 32),
        }
    }

    /// Schema and table by the rule of one key.
    pub fn place(router: &Router, key: &KeyValue) -> Option<(u32, u32)> {
        let (g, t) = (router.schemas, router.tables_per_schema);
        let value = match (&router.schema.function, key) {
            (_, KeyValue::Integer(number)) => BigInt::from(*number),
            (ShardFunction::Mod, KeyValue::Text(text)) => text.parse().unwrap(),
            (_, KeyValue::Text(text)) => java_hash(text),
            _ => return None,
        };
        let table = match router.schema.function {
            ShardFunction::Mod => modulo(&value, g * t),
            ShardFunction::DrdsHash => {
                u32::try_from(magnitude(&(value % BigInt::from(g * t)))).unwrap()
            }
            ShardFunction::DrdsUniHash => {
                let h = magnitude(&value);
                modulo(&h, g) * t + modulo(&(h / BigInt::from(g)), t)
            }
            ShardFunction::Crc32 | ShardFunction::Range { .. } => return None,
        };
        Some((table / t, table))
    }
}

proptest! {
    #[test]
    fn every_key_has_one_place_and_it_is_in_the_layout((router, key) in layout_and_key()) {
        let place = router.place(&key, None).unwrap();
        prop_assert!(place.table < router.schemas * router.tables_per_schema);
        prop_assert_eq!(place.shard.0, place.table / router.tables_per_schema);
        prop_assert_eq!(router.shard(&key), Ok(place.shard));
        prop_assert_eq!(router.tables_with("k", &key), Some(Ok(vec![place.table])));
    }

    #[test]
    fn two_keys_give_schema_and_table(
        (first, key) in layout_and_key(),
        (second, table_key) in layout_and_key(),
    ) {
        prop_assume!(!matches!(second.schema.function, ShardFunction::Range { .. }));
        let mut local = second.schema.clone();
        local.column = ColumnName::new("l").unwrap();
        let router = Router {
            tables_per_schema: second.tables_per_schema,
            table: Some(local),
            ..first
        };
        let place = router.place(&key, Some(&table_key)).unwrap();
        prop_assert!(place.table < router.schemas * router.tables_per_schema);
        prop_assert_eq!(place.shard.0, place.table / router.tables_per_schema);
        prop_assert_eq!(router.shard(&key), Ok(place.shard));
        let by_first = router.tables_with("k", &key).unwrap().unwrap();
        let by_second = router.tables_with("l", &table_key).unwrap().unwrap();
        let both: Vec<u32> = by_first.into_iter().filter(|t| by_second.contains(t)).collect();
        prop_assert_eq!(both, vec![place.table]);
        let needed = matches!(router.place(&key, None), Err(RouteError::NoTableKey(_)));
        prop_assert!(needed);
    }

    #[test]
    fn functions_agree_with_arithmetic_without_limits((router, key) in layout_and_key()) {
        if let Some(expected) = model::place(&router, &key) {
            prop_assert_eq!(at(&router, &key), expected);
        }
    }

    #[test]
    fn a_text_of_digits_routes_as_its_number_under_mod(
        g in schemas(), t in tables(), number in any::<i128>(),
    ) {
        let place = |kind, key: &KeyValue| at(&router(g, t, kind, ShardFunction::Mod), key);
        prop_assert_eq!(
            place(varchar(), &text(&number.to_string())),
            place(BIGINT, &int(number))
        );
    }

    /// A key stays in its shard s or goes to s + G, and what decides is the same arithmetic over
    /// twice as many parts.
    #[test]
    fn doubling_the_schemas_moves_just_the_keys_it_should((before, key) in layout_and_key()) {
        prop_assume!(!matches!(before.schema.function, ShardFunction::Range { .. }));
        let (g, t) = (before.schemas, before.tables_per_schema);
        let after = Router { schemas: 2 * g, ..before.clone() };
        let old = before.place(&key, None).unwrap();
        let new = after.place(&key, None).unwrap();
        if before.schema.function == ShardFunction::DrdsUniHash {
            // h = (..) x G + s and, in the doubled layout, h = (..) x 2G + s'.
            prop_assert_eq!(new.shard.0 % g, old.shard.0);
            let rounds = model::uni_hash(&key) / BigInt::from(g);
            let stays = model::modulo(&rounds, 2) == 0;
            prop_assert_eq!(new.shard == old.shard, stays);
            let local = model::modulo(&(rounds / BigInt::from(2)), t);
            prop_assert_eq!(new.table, new.shard.0 * t + local);
            if t == 1 && stays {
                prop_assert_eq!(new.table, old.table);
            }
        } else {
            let total = g * t;
            let value = after.schema.part(&key, 2 * total).unwrap();
            let stays = value < total;
            prop_assert_eq!(new.table, if stays { old.table } else { old.table + total });
            prop_assert_eq!(new.shard.0, if stays { old.shard.0 } else { old.shard.0 + g });
        }
    }

    #[test]
    fn doubling_under_a_second_key_moves_whole_rows_only_to_the_new_half(
        g in schemas(), t in tables(), key in bigint(), table_key in any::<String>(),
    ) {
        let before = Router {
            table: Some(rule(varchar(), ShardFunction::DrdsHash)),
            ..router(g, t, BIGINT, ShardFunction::DrdsUniHash)
        };
        let after = Router { schemas: 2 * g, ..before.clone() };
        let (key, table_key) = (int(key), text(&table_key));
        let old = before.place(&key, Some(&table_key)).unwrap();
        let new = after.place(&key, Some(&table_key)).unwrap();
        prop_assert!(new.table == old.table || new.table == old.table + g * t);
        prop_assert!(new.shard == old.shard || new.shard.0 == old.shard.0 + g);
    }

    #[test]
    fn more_tables_under_uni_hash_move_no_key_to_another_schema(
        g in schemas(), t in tables(), key in bigint(),
    ) {
        let shard = |t| router(g, t, BIGINT, ShardFunction::DrdsUniHash).shard(&int(key));
        prop_assert_eq!(shard(t), shard(2 * t));
    }

    #[test]
    fn range_keeps_the_order_of_keys(
        bounds in prop::collection::btree_set(-1000i64..1000, 0..40),
        a in -1100i64..1100,
        b in -1100i64..1100,
    ) {
        let rule = rule(BIGINT, ShardFunction::Range { bounds: sorted(bounds) });
        let part = |value: i64| rule.part(&int(value), 0).unwrap();
        prop_assert!(part(a.min(b)) <= part(a.max(b)));
    }

    /// A new bound splits one part; no other part loses or wins a key.
    #[test]
    fn a_new_bound_splits_just_its_own_part(
        bounds in prop::collection::btree_set(-1000i64..1000, 1..20),
        new in -1000i64..1000,
        key in -1100i64..1100,
    ) {
        prop_assume!(!bounds.contains(&new));
        let mut wider = bounds.clone();
        wider.insert(new);
        let range = |bounds| ShardFunction::Range { bounds: sorted(bounds) };
        let part = |function, value: i64| rule(BIGINT, function).part(&int(value), 0).unwrap();
        let (old, split) = (part(range(bounds.clone()), key), part(range(bounds), new));
        let now = part(range(wider), key);
        let goes_up = old > split || (old == split && key >= new);
        prop_assert_eq!(now, old + u32::from(goes_up));
    }

    #[test]
    fn no_key_between_two_bounds_is_missed(
        (router, key) in layout_and_key(), below in 0i128..800, above in 0i128..800,
    ) {
        let KeyValue::Integer(number) = key else { return Ok(()); };
        for (low, high) in [
            (Some(number - below), Some(number + above)),
            (Some(number - below), None),
            (None, Some(number + above)),
        ] {
            if let Some(tables) = router.tables_between("k", low, high) {
                prop_assert!(tables.contains(&router.place(&key, None).unwrap().table));
            }
        }
    }

    #[test]
    fn no_key_makes_a_function_panic((router, _) in layout_and_key(), (_, key) in layout_and_key()) {
        let _ = router.place(&key, Some(&key));
        let _ = router.place(&KeyValue::Null, None);
    }
}
