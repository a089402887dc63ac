use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BIGINT: KeyType = KeyType::Integer {
    bytes: 8,
    unsigned: false,
};
const DECIMAL: KeyType = KeyType::Integer {
    bytes: 16,
    unsigned: false,
};
const VARCHAR: KeyType = KeyType::Text {
    collation: None,
    trims: false,
};

fn layouts(texts: &[&str]) -> Vec<Layout> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn borrowed(key: &KeyValue) -> Key<'_> {
    match key {
        KeyValue::Null => Key::Null,
        KeyValue::Integer(number) => Key::Integer(*number),
        KeyValue::Text(text) => Key::Text(text),
        KeyValue::Binary(bytes) => Key::Binary(bytes),
    }
}

fn tallied(kind: KeyType, shards: &[&str], keys: impl IntoIterator<Item = KeyValue>) -> Skew {
    let mut tally = Tally::new(kind, &Function::ALL, &layouts(shards));
    for key in keys {
        tally.add(borrowed(&key), 0);
    }
    tally.finish(Population::default())
}

fn integers(numbers: impl IntoIterator<Item = i128>) -> impl Iterator<Item = KeyValue> {
    numbers.into_iter().map(KeyValue::Integer)
}

fn found<'a>(skew: &'a Skew, function: Function, layout: &str) -> &'a Candidate {
    let layout: Layout = layout.parse().unwrap();
    skew.candidates
        .iter()
        .find(|one| one.function == function && one.layout() == layout)
        .unwrap()
}

/// The schema by the functions that the router calls.
fn schema(function: Function, kind: &KeyType, key: &KeyValue, layout: Layout) -> Option<u32> {
    let per_schema = layout.tables_per_schema;
    let is_text = matches!(kind, KeyType::Text { .. });
    match function {
        Function::Mod => functions::modulo(key, layout.tables()).map(|n| n / per_schema),
        Function::Crc32 => functions::crc32(key, layout.tables()).map(|n| n / per_schema),
        Function::DrdsHash => {
            functions::drds_hash(key, is_text, layout.tables()).map(|n| n / per_schema)
        }
        Function::DrdsUniHash => {
            functions::drds_uni_hash(key, layout.schemas, per_schema).map(|(schema, _)| schema)
        }
        Function::Range => unreachable!("has bounds of its own"),
    }
    .ok()
}

fn check_against_the_functions(kind: &KeyType, shards: &[&str], keys: &[KeyValue]) {
    let skew = tallied(kind.clone(), shards, keys.iter().cloned());
    assert_eq!(skew.keys, keys.len() as u64);
    for candidate in &skew.candidates {
        let placed: u64 = candidate.shards.iter().map(|shard| shard.keys).sum();
        assert_eq!(placed + candidate.unplaced, skew.keys, "{candidate:?}");
        if candidate.function == Function::Range {
            continue;
        }
        let mut expected = vec![0u64; candidate.schemas as usize];
        for key in keys {
            if let Some(schema) = schema(candidate.function, kind, key, candidate.layout()) {
                expected[schema as usize] += 1;
            }
        }
        let counted: Vec<u64> = candidate.shards.iter().map(|shard| shard.keys).collect();
        assert_eq!(
            counted,
            expected,
            "{:?} {}",
            candidate.function,
            candidate.layout()
        );
    }
}

const SHARDS: &[&str] = &["1", "3", "7", "16", "16x8", "3x5", "64", "509", "521x2"];

fn any_integer() -> impl Strategy<Value = i128> {
    prop_oneof![
        -300i128..300,
        any::<i64>().prop_map(i128::from),
        any::<u64>().prop_map(i128::from),
        any::<i128>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn integers_fall_where_the_functions_put_them(keys in prop::collection::vec(prop::option::weighted(0.95, any_integer()), 0..200)) {
        let keys: Vec<KeyValue> = keys.into_iter().map(|key| key.map_or(KeyValue::Null, KeyValue::Integer)).collect();
        check_against_the_functions(&DECIMAL, SHARDS, &keys);
        let small: Vec<KeyValue> = keys.into_iter().filter(|key| !matches!(key, KeyValue::Integer(n) if i64::try_from(*n).is_err())).collect();
        check_against_the_functions(&BIGINT, SHARDS, &small);
    }

    #[test]
    fn texts_fall_where_the_functions_put_them(keys in prop::collection::vec(prop::option::weighted(0.95, "\\PC{0,12}|[+-]?[0-9]{0,30}"), 0..200)) {
        let keys: Vec<KeyValue> = keys.into_iter().map(|key| key.map_or(KeyValue::Null, KeyValue::Text)).collect();
        check_against_the_functions(&VARCHAR, SHARDS, &keys);
    }

    #[test]
    fn bytes_fall_where_crc32_puts_them(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..100)) {
        let keys: Vec<KeyValue> = keys.into_iter().map(KeyValue::Binary).collect();
        check_against_the_functions(&KeyType::Binary { padded_to: None }, SHARDS, &keys);
    }

    /// The guarantee that is stated beside the biggest keys.
    #[test]
    fn a_frequent_key_is_kept_and_its_count_is_within_the_error(keys in prop::collection::vec((0u16..200).prop_map(|n| n * n / 200), 0..4_000), capacity in 2usize..60) {
        let mut frequent = Frequent::new(capacity);
        let mut truth: BTreeMap<u16, u64> = BTreeMap::new();
        for key in &keys {
            frequent.add(key, 1);
            *truth.entry(*key).or_default() += 1;
        }
        let error = frequent.error();
        prop_assert!(frequent.kept() <= capacity);
        prop_assert!(error * capacity as u64 <= 2 * keys.len() as u64, "error {error}");
        let kept: BTreeMap<u16, u64> = frequent.biggest(usize::MAX).into_iter().collect();
        for (key, times) in truth {
            let count = kept.get(&key).copied().unwrap_or(0);
            prop_assert!(count <= times && times <= count + error, "{key}: {times} not in {count} + {error}");
        }
    }

    #[test]
    fn a_key_is_read_as_the_key_model_reads_it(text in "\\PC{0,20}|[+-]?[0-9]{1,45}| *[0-9]{1,3} *") {
        for kind in [BIGINT, DECIMAL, VARCHAR, KeyType::Integer { bytes: 1, unsigned: true }, KeyType::Text { collation: None, trims: true }, KeyType::Binary { padded_to: Some(8) }, KeyType::Binary { padded_to: None }] {
            let mut reader = Reader::new(kind.clone());
            let read = reader.read(text.as_bytes(), false);
            match kind.parse(&text) {
                Ok(value) => prop_assert_eq!(read, Ok(borrowed(&value))),
                Err(fault) => prop_assert!(read == Err(ReadError::Key(fault)) || (text.is_empty() && read == Err(ReadError::Empty))),
            }
        }
    }

    #[test]
    fn ranges_hold_every_key_once(keys in prop::collection::vec(any_integer(), 0..300), parts in 1u32..20) {
        let shards = parts.to_string();
        let skew = tallied(DECIMAL, &[&shards], integers(keys.iter().copied()));
        let range = found(&skew, Function::Range, &shards);
        prop_assert_eq!(range.shards.iter().map(|shard| shard.keys).sum::<u64>(), keys.len() as u64);
        let bounds: Vec<i128> = range.bounds.iter().map(|bound| bound.parse().unwrap()).collect();
        prop_assert!(bounds.is_sorted());
        for (part, shard) in range.shards.iter().enumerate() {
            let expected = keys.iter().filter(|key| functions::range(&KeyValue::Integer(**key), &bounds) == Ok(part as u32)).count();
            prop_assert_eq!(shard.keys, expected as u64);
        }
    }
}

#[test]
fn keys_with_a_common_factor_are_bad_under_mod_and_are_said_to_be() {
    // Ids from a sequence that counts in steps of sixteen, as two-master fleets and some id
    // services do.
    let skew = tallied(
        BIGINT,
        &["16", "64"],
        integers((0..20_000).map(|n| 7 + n * 16)),
    );
    assert_eq!(skew.step.as_deref(), Some("16"));
    let bad = found(&skew, Function::Mod, "16");
    assert_eq!((bad.empty, bad.max_over_mean), (15, 16.0));
    assert_eq!(
        bad.pattern,
        Some(Pattern {
            divisor: 16,
            remainder: 7,
            share: 1.0
        })
    );
    assert_eq!(found(&skew, Function::Mod, "64").empty, 60);
    assert!(found(&skew, Function::Crc32, "16").max_over_mean < UNEVEN);
    assert_eq!(
        skew.evenest(Layout::new(16, 1).unwrap()).unwrap().function,
        Function::Crc32
    );
    insta::assert_snapshot!(skew.warnings.join("\n"), @r"
    mod, drds_hash, drds_uni_hash over 16: 100.0 % of the keys leave 7 divided by 16: 1 of 16 tables take them
    mod, drds_hash, drds_uni_hash over 64: 100.0 % of the keys leave 7 divided by 16: 4 of 64 tables take them
    range: the bounds fit the keys of today; where keys ascend, every new row goes to the last shard
    ");
}

#[test]
fn a_stray_key_does_not_hide_a_pattern() {
    let keys = (0..20_000).map(|n| if n % 50 == 0 { n * 8 + 3 } else { n * 8 });
    let skew = tallied(BIGINT, &["16"], integers(keys));
    assert_eq!(skew.step, None);
    let pattern = found(&skew, Function::Mod, "16").pattern.unwrap();
    assert_eq!((pattern.divisor, pattern.remainder), (8, 0));
    assert!((pattern.share - 0.98).abs() < 1e-9);
}

#[test]
fn consecutive_keys_are_even_under_every_function() {
    let skew = tallied(BIGINT, &["16", "32", "16x4"], integers(1..=64_000));
    for candidate in &skew.candidates {
        assert!(candidate.max_over_mean < 1.1, "{candidate:?}");
        assert_eq!((candidate.empty, candidate.unplaced), (0, 0));
        assert_eq!(candidate.pattern, None);
    }
    assert_eq!(skew.warnings.len(), 1, "{:?}", skew.warnings);
}

#[test]
fn a_hot_key_is_named_with_its_share() {
    let keys = (0..100_000).map(|n| if n % 10 < 3 { 1001 } else { n });
    let skew = tallied(BIGINT, &["2", "16", "64"], integers(keys));
    let hot = &skew.biggest[0];
    assert_eq!(hot.key, "1001");
    assert!(
        hot.keys_least <= 30_000 && 30_000 <= hot.keys_most,
        "{hot:?}"
    );
    assert!(skew.biggest_error <= 2 * 100_000 / FREQUENT_MAX as u64);
    assert!(
        skew.warnings[0].starts_with("key `1001` alone has 30.0 % of the rows"),
        "{:?}",
        skew.warnings
    );
    assert!(skew.warnings[0].contains("(6.2 % with 16, 64)"));
}

#[test]
fn few_keys_nulls_and_texts_that_are_no_integers_are_said() {
    let texts = (0..5_000).map(|n| match n % 5 {
        0 => KeyValue::Null,
        n => KeyValue::Text(format!("shop-{n}")),
    });
    let skew = tallied(VARCHAR, &["16"], texts);
    insta::assert_snapshot!(skew.warnings.join("\n"), @r"
    key `shop-1` alone has 20.0 % of the rows, more than the fair share of a table (6.2 % with 16): no function splits one key
    key `shop-2` alone has 20.0 % of the rows, more than the fair share of a table (6.2 % with 16): no function splits one key
    key `shop-3` alone has 20.0 % of the rows, more than the fair share of a table (6.2 % with 16): no function splits one key
    key `shop-4` alone has 20.0 % of the rows, more than the fair share of a table (6.2 % with 16): no function splits one key
    there are only 4 different keys: 16 leaves tables empty whatever the function
    mod over 16: `shop-1` is not an integer (5000 keys have no place)
    crc32 over 16: NULL has no place under crc32 (1000 keys have no place)
    drds_hash over 16: 11 of 16 tables stay empty
    drds_uni_hash over 16: NULL has no place under drds_uni_hash (1000 keys have no place)
    ");
}

#[test]
fn the_interval_of_a_sample_holds_the_truth() {
    // A table whose shards are truly uneven: a third of the rows is of keys that are 0 mod 16.
    let row = |n: u64| match scrambled(n) % 3 {
        0 => i128::from(n * 16),
        _ => i128::from(n),
    };
    let rows = 200_000u64;
    let truth = tallied(BIGINT, &["16"], integers((0..rows).map(row)));
    let truth = found(&truth, Function::Mod, "16");
    let mut missed = 0;
    for seed in 0..40u64 {
        let mut tally = Tally::new(BIGINT, &[Function::Mod], &layouts(&["16"]));
        for n in 0..rows {
            if scrambled(n ^ (seed << 32)) % 100 < 5 {
                tally.add(Key::Integer(row(n)), 0);
            }
        }
        let drawn = tally.finish(Population {
            rows: Some(rows),
            is_sample: true,
            row_bytes: Some(100.0),
        });
        let drawn = found(&drawn, Function::Mod, "16");
        let holds = drawn
            .shards
            .iter()
            .zip(&truth.shards)
            .all(|(drawn, truth)| {
                drawn.share_low.unwrap() <= truth.share && truth.share <= drawn.share_high.unwrap()
            });
        missed += u32::from(!holds);
        assert!(drawn.max_over_mean_low.unwrap() <= drawn.max_over_mean);
        assert!(drawn.max_over_mean <= drawn.max_over_mean_high.unwrap());
        assert_eq!(drawn.shards[3].bytes.unwrap(), drawn.shards[3].rows * 100);
    }
    // One in twenty is expected.
    assert!(missed <= 6, "{missed} of 40 intervals missed");
}

#[test]
fn a_range_is_judged_by_other_keys_than_it_was_made_of() {
    let rows = 400_000;
    let skew = tallied(BIGINT, &["16"], integers((0..rows).map(|n| n * n)));
    let range = found(&skew, Function::Range, "16");
    assert!(
        range.max_over_mean > 1.0 && range.max_over_mean < 1.15,
        "{range:?}"
    );
    assert!(range.max_over_mean_high.is_some());
    let whole: u64 = range.shards.iter().map(|shard| shard.rows).sum();
    assert!(whole.abs_diff(rows as u64) < 100, "{whole}");
}

#[test]
fn layouts_are_read_and_bounded() {
    assert_eq!("16x4".parse(), Ok(Layout::new(16, 4).unwrap()));
    assert_eq!("16".parse::<Layout>().unwrap().to_string(), "16");
    for text in [
        "",
        "0",
        "x",
        "16x",
        "16x0",
        "+4",
        "-1",
        "1.5",
        "99999999999",
        "65536x65536",
        "1048577",
    ] {
        assert!(text.parse::<Layout>().is_err(), "{text}");
    }
}

#[test]
fn quantiles_of_the_normal_distribution_are_right() {
    for (probability, quantile) in [(0.975, 1.959_964), (0.995, 2.575_829), (0.999_9, 3.719_016)] {
        assert!((normal_quantile(probability) - quantile).abs() < 5e-4);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let mut reader = Reader::new(BIGINT);
    let shown = |fault: Result<Key<'_>, ReadError>| fault.unwrap_err().to_string();
    assert_eq!(shown(reader.read(b"", false)), "there is no key");
    assert_eq!(shown(reader.read(b"12a", false)), "`12a` is not an integer");
    assert_eq!(shown(reader.read(b"1\xff", false)), "byte 2 is not UTF-8");
    assert_eq!(
        shown(reader.read(&[b'1'; 4_000], false)),
        "4000 bytes are more than the 3072 that a key can have"
    );
}
