use proptest::prelude::*;

use super::*;
use crate::schema::parse::parse_create_table;
use crate::topology::file::parse;

fn user_center() -> Topology {
    parse(include_str!("../../../topology.yaml")).unwrap()
}

/// Servers that have exactly what the topology wants.
fn as_wanted(topology: &Topology) -> BTreeMap<InstanceName, Looked> {
    let mut looked: BTreeMap<InstanceName, Looked> = BTreeMap::new();
    for shard in topology.shards() {
        let schema = topology.schema(shard);
        let found = &mut looked.entry(schema.instance.clone()).or_default().found;
        found.schemas.insert(schema.name.to_string());
        for table in topology.tables.values() {
            for place in topology.places_in(table, shard) {
                let physical = topology.physical(table, place);
                found.tables.insert(
                    (schema.name.to_string(), physical.table.to_string()),
                    Ok(table.def.clone()),
                );
            }
        }
    }
    looked
}

fn instance(name: &str) -> InstanceName {
    InstanceName::new(name).unwrap()
}

/// The sentences of what is found after this change to the servers.
fn check(change: impl FnOnce(&mut BTreeMap<InstanceName, Looked>), expected: &[&str]) {
    check_with(change, &[], expected);
}

fn check_with(
    change: impl FnOnce(&mut BTreeMap<InstanceName, Looked>),
    hidden: &[HiddenTable],
    expected: &[&str],
) {
    let topology = user_center();
    let mut looked = as_wanted(&topology);
    change(&mut looked);
    let sentences: Vec<String> = group(&drift(&topology, &looked, hidden))
        .iter()
        .map(|group| {
            let table = group.table.as_ref().map_or("-", |table| table.as_str());
            format!("{} {table}: {group}", group.kind.name())
        })
        .collect();
    assert_eq!(sentences, expected);
}

fn table(looked: &mut BTreeMap<InstanceName, Looked>, shard: u32, name: &str) -> TableChange {
    let home = if shard < 8 { "rds-1" } else { "rds-2" };
    let key = (format!("user_center_{shard:02}"), name.to_owned());
    let found = &mut looked.get_mut(&instance(home)).unwrap().found;
    TableChange {
        def: found.tables.remove(&key),
        key,
        home: instance(home),
    }
}

struct TableChange {
    def: Option<Result<crate::schema::TableDef, String>>,
    key: (String, String),
    home: InstanceName,
}

impl TableChange {
    fn put(
        self,
        looked: &mut BTreeMap<InstanceName, Looked>,
        change: impl FnOnce(&mut crate::schema::TableDef),
    ) {
        let mut def = self.def.unwrap().unwrap();
        change(&mut def);
        let found = &mut looked.get_mut(&self.home).unwrap().found;
        found.tables.insert(self.key, Ok(def));
    }
}

#[test]
fn servers_as_wanted_have_no_drift() {
    let topology = user_center();
    let drift = drift(&topology, &as_wanted(&topology), &[]);
    assert_eq!(drift.flaws, []);
    let all = Compared {
        agreeing: 16,
        looked_at: 16,
        wanted: 16,
    };
    assert!(drift.tables.values().all(|compared| *compared == all));
}

#[test]
fn one_of_sixteen_is_named() {
    check(
        |looked| {
            table(looked, 7, "member_07").put(looked, |def| {
                def.indexes.remove(0);
            });
        },
        &[
            "table_differs member: 15 of 16 agree, user_center_07.member_07 lacks index `idx_mobile` (mobile)",
        ],
    );
}

#[test]
fn many_that_say_the_same_are_one_group_and_all_are_each() {
    check(
        |looked| {
            for shard in 0..16 {
                table(looked, shard, &format!("member_{shard:02}")).put(looked, |def| {
                    def.indexes.remove(0);
                    if shard % 3 == 0 {
                        def.options.engine = Some("MyISAM".to_owned());
                    }
                });
            }
        },
        &[
            "table_differs member: 0 of 16 agree, engine is MyISAM, wanted InnoDB: user_center_00.member_00, user_center_03.member_03, user_center_06.member_06 and 3 more",
            "table_differs member: each of 16 lacks index `idx_mobile` (mobile)",
        ],
    );
}

#[test]
fn what_is_missing_extra_or_elsewhere_is_named() {
    check(
        |looked| {
            table(looked, 3, "member_03");
            let rds_1 = &mut looked.get_mut(&instance("rds-1")).unwrap().found;
            let def = parse_create_table("CREATE TABLE x (a int)").unwrap();
            for name in ["member_backup", "member_11", "_shardctl_7f2a01_3"] {
                rds_1.tables.insert(
                    ("user_center_05".to_owned(), name.to_owned()),
                    Ok(def.clone()),
                );
            }
            rds_1.schemas.insert("user_center_16".to_owned());
            rds_1.schemas.insert("user_center_1".to_owned());
            rds_1.schemas.insert("unrelated".to_owned());
        },
        &[
            "schema_extra -: user_center_16 is on rds-1, and the topology has 16 schemas only",
            "table_extra -: user_center_05.member_backup is not in the topology",
            "table_left_over -: user_center_05._shardctl_7f2a01_3 has a hidden name of shardctl's, and no open job knows it",
            "table_missing member: 15 of 16 agree, user_center_03.member_03 is missing",
            "table_misplaced member: user_center_05.member_11 belongs in user_center_11",
        ],
    );
}

#[test]
fn a_schema_is_missing_misplaced_or_there_twice() {
    let remove = |looked: &mut BTreeMap<InstanceName, Looked>, schema: &str| {
        let found = &mut looked.get_mut(&instance("rds-1")).unwrap().found;
        found.schemas.remove(schema);
        found.tables.retain(|(of, _), _| of != schema);
    };
    check(
        |looked| {
            for schema in ["user_center_01", "user_center_02", "user_center_03"] {
                remove(looked, schema);
            }
            let rds_2 = &mut looked.get_mut(&instance("rds-2")).unwrap().found;
            rds_2.schemas.insert("user_center_02".to_owned());
            rds_2.schemas.insert("user_center_04".to_owned());
        },
        &[
            "schema_missing -: is missing on rds-1: user_center_01, user_center_03",
            "schema_misplaced -: user_center_02 lies on rds-2 and belongs on rds-1",
            "schema_twice -: user_center_04 lies on rds-2 as well as on rds-1, where it belongs",
        ],
    );
}

#[test]
fn an_instance_that_was_not_reached_is_not_called_empty() {
    check(
        |looked| {
            looked.remove(&instance("rds-2"));
        },
        &[],
    );
    let topology = user_center();
    let mut looked = as_wanted(&topology);
    looked.remove(&instance("rds-2"));
    let compared = drift(&topology, &looked, &[]).tables[&TableName::new("member").unwrap()];
    assert_eq!((compared.looked_at, compared.wanted), (8, 16));
}

#[test]
fn tables_of_an_open_job_are_no_drift() {
    let hidden = HiddenTable {
        job: "7f2a01".to_owned(),
        schema: SchemaName::new("user_center_02").unwrap(),
        hidden: TableName::new("_shardctl_7f2a01_0").unwrap(),
        table: TableName::new("member_02").unwrap(),
    };
    check_with(
        |looked| {
            let def = table(looked, 2, "member_02").def.unwrap();
            let key = ("user_center_02".to_owned(), "_shardctl_7f2a01_0".to_owned());
            let rds_1 = &mut looked.get_mut(&instance("rds-1")).unwrap().found;
            rds_1.tables.insert(key.clone(), def.clone());
            // And the target has begun.
            let rds_2 = &mut looked.get_mut(&instance("rds-2")).unwrap().found;
            rds_2.schemas.insert("user_center_02".to_owned());
            rds_2.tables.insert(key, def);
        },
        &[hidden],
        &[
            "table_hidden -: is a table that the open job 7f2a01 has hidden: user_center_02._shardctl_7f2a01_0, user_center_02._shardctl_7f2a01_0",
            "table_hidden member: 15 of 16 agree, user_center_02.member_02 is hidden by the open job 7f2a01",
        ],
    );
}

#[test]
fn what_the_user_may_not_see_is_not_called_missing() {
    check(
        |looked| {
            let rds_1 = looked.get_mut(&instance("rds-1")).unwrap();
            rds_1.found.schemas.remove("user_center_00");
            rds_1.refused_schemas.insert("user_center_00".to_owned());
            let key = ("user_center_01".to_owned(), "member_01".to_owned());
            rds_1.found.tables.remove(&key);
            rds_1.refused_tables.insert(key);
        },
        &[
            "schema_refused -: user_center_00 cannot be read with the user's rights",
            "table_refused member: user_center_01.member_01 cannot be read with the user's rights",
        ],
    );
}

proptest! {
    #[test]
    fn grouping_loses_nothing(flaws in prop::collection::vec((0..3u8, 0..3u8, 0..3u8, 0..40u32), 0..60)) {
        let kinds = [Kind::TableDiffers, Kind::TableMissing, Kind::SchemaTwice];
        let flaws: Vec<Flaw> = flaws
            .into_iter()
            .map(|(table, kind, phrase, place)| Flaw {
                table: (table > 0).then(|| TableName::new(format!("t{table}")).unwrap()),
                kind: kinds[kind as usize],
                phrase: format!("phrase {phrase}"),
                at: Spot {
                    instance: instance("rds-1"),
                    schema: format!("s{place}"),
                    table: Some(format!("t_{place}")),
                },
            })
            .collect();
        let drift = Drift { flaws: flaws.clone(), tables: IndexMap::new() };
        let groups = group(&drift);
        let mut back: Vec<Flaw> = groups
            .iter()
            .flat_map(|group| group.at.iter().map(|at| Flaw {
                table: group.table.clone(),
                kind: group.kind,
                phrase: group.phrase.clone(),
                at: at.clone(),
            }))
            .collect();
        let mut flaws = flaws;
        flaws.sort();
        back.sort();
        prop_assert_eq!(back, flaws);
        let mut keys: Vec<_> = groups.iter().map(|g| (g.table.clone(), g.kind, g.phrase.clone())).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), count, "two groups say the same");
    }

    /// Whatever is changed on one table of a fleet is in a group that names it.
    #[test]
    fn a_changed_table_is_always_found(shard in 0..16u32, what in 0..4u8) {
        let topology = user_center();
        let mut looked = as_wanted(&topology);
        let name = format!("member_{shard:02}");
        let change = table(&mut looked, shard, &name);
        match what {
            0 => {}
            1 => change.put(&mut looked, |def| { def.indexes.remove(0); }),
            2 => change.put(&mut looked, |def| { def.columns.remove(3); }),
            _ => change.put(&mut looked, |def| def.columns[1].nullable = true),
        }
        let groups = group(&drift(&topology, &looked, &[]));
        let named = groups.iter().any(|group| {
            group.at.iter().any(|at| at.table.as_deref() == Some(name.as_str()))
                && group.compared.unwrap().agreeing == 15
        });
        prop_assert!(named);
    }
}
