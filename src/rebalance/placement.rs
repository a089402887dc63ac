//! Where each schema should lie: even over the instances, with the fewest moves.

use std::collections::BTreeMap;

use crate::names::InstanceName;

/// Places the schemas evenly over `instances`, moving as few as an even placement allows.
///
/// `placement` is the instance of each schema now, by shard number; `instances` are those that
/// may hold schemas afterwards. The answer is the instance of each schema afterwards.
///
/// - No two instances differ by more than one schema.
/// - A schema moves only where its instance is not among `instances` or holds more than its share.
/// - The instances that hold the most keep the larger share where the schemas do not divide.
/// - The same input gives the same answer: among equals the one named first, and of the schemas
///   of an instance those with the highest numbers leave.
///
/// With no instances there is nowhere to place anything, and the placement stays.
pub fn spread_evenly(placement: &[InstanceName], instances: &[InstanceName]) -> Vec<InstanceName> {
    if instances.is_empty() {
        return placement.to_vec();
    }
    let share = placement.len() / instances.len();
    let larger_shares = placement.len() % instances.len();
    let mut held: BTreeMap<&InstanceName, usize> =
        instances.iter().map(|instance| (instance, 0)).collect();
    for instance in placement {
        if let Some(count) = held.get_mut(instance) {
            *count += 1;
        }
    }

    // The larger shares go to those that hold the most: whoever is above the share anyway keeps
    // one schema that would have to move otherwise.
    let mut by_load: Vec<&InstanceName> = instances.iter().collect();
    by_load.sort_by_key(|instance| std::cmp::Reverse(held[instance]));
    let wanted: BTreeMap<&InstanceName, usize> = by_load
        .iter()
        .enumerate()
        .map(|(rank, instance)| (*instance, share + usize::from(rank < larger_shares)))
        .collect();

    let mut kept: BTreeMap<&InstanceName, usize> = BTreeMap::new();
    let mut after: Vec<Option<InstanceName>> = placement
        .iter()
        .map(|instance| {
            let limit = wanted.get(instance)?;
            let count = kept.entry(instance).or_default();
            (*count < *limit).then(|| {
                *count += 1;
                instance.clone()
            })
        })
        .collect();

    let mut free = instances.iter().flat_map(|instance| {
        let have = kept.get(instance).copied().unwrap_or_default();
        std::iter::repeat_n(instance, wanted[instance] - have)
    });
    for place in &mut after {
        if place.is_none() {
            // The shares add up to the schemas, so there is a free place for each that leaves.
            *place = free.next().cloned();
        }
    }
    after
        .into_iter()
        .zip(placement)
        .map(|(after, before)| after.unwrap_or_else(|| before.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<InstanceName> {
        text.chars()
            .map(|c| InstanceName::new(c.to_string()).unwrap())
            .collect()
    }

    fn check(before: &str, instances: &str, after: &str) {
        let got: String = spread_evenly(&names(before), &names(instances))
            .iter()
            .map(InstanceName::as_str)
            .collect();
        assert_eq!(got, after, "{before} over {instances}");
    }

    #[test]
    fn a_new_instance_takes_its_share_and_nothing_else_moves() {
        check("aaaabbbb", "abc", "aaacbbbc");
        check("aaaaaaaabbbbbbbb", "abc", "aaaaaaccbbbbbccc");
        check("ab", "abc", "ab");
        check("aabb", "abcd", "acbd");
    }

    #[test]
    fn a_drained_instance_gives_all_it_has() {
        check("aaabbbccc", "ab", "aaabbbaab");
        check("aaaa", "b", "bbbb");
    }

    #[test]
    fn an_even_placement_stays() {
        check("abab", "ab", "abab");
        check("aab", "ab", "aab");
        check("", "ab", "");
        check("ab", "", "ab");
    }

    /// The fewest moves possible, counted over every way to deal the larger shares.
    fn fewest_moves(placement: &[InstanceName], instances: &[InstanceName]) -> usize {
        let n = instances.len();
        let share = placement.len() / n;
        let larger = placement.len() % n;
        (0u32..1 << n)
            .filter(|mask| mask.count_ones() as usize == larger)
            .map(|mask| {
                let stay: usize = instances
                    .iter()
                    .enumerate()
                    .map(|(index, instance)| {
                        let held = placement.iter().filter(|name| *name == instance).count();
                        held.min(share + (mask >> index & 1) as usize)
                    })
                    .sum();
                placement.len() - stay
            })
            .min()
            .unwrap()
    }

    proptest! {
        #[test]
        fn the_result_is_even_and_no_schema_moves_unless_it_must(
            before in "[a-f]{0,40}",
            instances in proptest::sample::subsequence(vec!['a','b','c','d','e','f'], 1..=6),
        ) {
            let placement = names(&before);
            let instances = names(&instances.iter().collect::<String>());
            let after = spread_evenly(&placement, &instances);
            let counts: Vec<usize> = instances
                .iter()
                .map(|instance| after.iter().filter(|name| *name == instance).count())
                .collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), placement.len());
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            let moved = after.iter().zip(&placement).filter(|(a, b)| a != b).count();
            prop_assert_eq!(moved, fewest_moves(&placement, &instances));
        }
    }
}
