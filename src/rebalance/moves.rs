//! From two topologies to the schemas that move.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::placement::spread_evenly;
use crate::names::{InstanceName, SchemaName, ShardId};
use crate::topology::{Endpoint, Topology};

/// A schema that changes its instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// Its schema, which keeps its name.
    pub schema: SchemaName,
    /// The source.
    pub from: InstanceName,
    /// The target.
    pub to: InstanceName,
}

/// The moves that lead from the topology in force to the wanted one, in order of the shards.
///
/// # Errors
/// Every difference that is more than schemas changing their instance.
pub fn moves(in_force: &Topology, wanted: &Topology) -> Result<Vec<Move>, Vec<String>> {
    let mut refused = Vec::new();
    if in_force.cluster != wanted.cluster {
        refused.push(format!(
            "the cluster is `{}` in the wanted topology and `{}` in the one in force",
            wanted.cluster, in_force.cluster
        ));
    }
    if in_force.control != wanted.control {
        refused.push(format!(
            "the control instance changes from {} to {}: the jobs and the shard map's history lie there",
            in_force.control, wanted.control
        ));
    }
    if in_force.schemas.len() != wanted.schemas.len() {
        refused.push(format!(
            "the number of schemas changes from {} to {}: rows would change their shard",
            in_force.schemas.len(),
            wanted.schemas.len()
        ));
    } else if in_force.schema_pattern != wanted.schema_pattern {
        refused.push(format!(
            "the schemas' name changes from `{}` to `{}`",
            in_force.schema_pattern, wanted.schema_pattern
        ));
    }
    for (name, old) in &in_force.tables {
        let Some(new) = wanted.tables.get(name) else {
            refused.push(format!("table `{name}` is not in the wanted topology"));
            continue;
        };
        if old.tables_per_schema != new.tables_per_schema {
            refused.push(format!(
                "table `{name}`: the tables per schema change from {} to {}: rows would change their table",
                old.tables_per_schema, new.tables_per_schema
            ));
        } else if old.pattern != new.pattern {
            refused.push(format!(
                "table `{name}`: the physical tables' name changes from `{}` to `{}`",
                old.pattern, new.pattern
            ));
        }
        if old.spread != new.spread {
            refused.push(format!(
                "table `{name}`: the shard key or the shard function changes: rows would change their shard"
            ));
        }
        if old.def != new.def {
            refused.push(format!("table `{name}`: the definition changes"));
        }
    }
    for name in wanted.tables.keys() {
        if !in_force.tables.contains_key(name) {
            refused.push(format!("table `{name}` is new: `shardctl create` makes it"));
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    Ok(in_force
        .shards()
        .filter_map(|shard| {
            let (old, new) = (in_force.schema(shard), wanted.schema(shard));
            (old.instance != new.instance).then(|| Move {
                shard,
                schema: old.name.clone(),
                from: old.instance.clone(),
                to: new.instance.clone(),
            })
        })
        .collect())
}

/// The topology with these instances added and the schemas spread evenly over all.
///
/// # Errors
/// An instance of that name is there already, or two have one address.
pub fn add_instances(
    topology: &Topology,
    added: &IndexMap<InstanceName, Endpoint>,
) -> Result<Topology, String> {
    let mut after = topology.clone();
    for (name, endpoint) in added {
        if after.instances.contains_key(name) {
            return Err(format!("instance {name} is in the topology already"));
        }
        if let Some((other, _)) = after.instances.iter().find(|(_, have)| *have == endpoint) {
            return Err(format!(
                "instance {name} has the address of {other}: {endpoint}"
            ));
        }
        after.instances.insert(name.clone(), endpoint.clone());
    }
    let instances: Vec<InstanceName> = after.instances.keys().cloned().collect();
    place(&mut after, &instances);
    Ok(after)
}

/// The topology without schemas on this instance, and without the instance itself.
///
/// # Errors
/// There is no such instance, it is the last one, or it is the control instance.
pub fn drain(topology: &Topology, drained: &InstanceName) -> Result<Topology, String> {
    if !topology.instances.contains_key(drained) {
        return Err(format!("instance {drained} is not in the topology"));
    }
    if topology.control == *drained {
        return Err(format!(
            "instance {drained} is the control instance: the jobs and the shard map's history lie there"
        ));
    }
    let mut after = topology.clone();
    after.instances.shift_remove(drained);
    let instances: Vec<InstanceName> = after.instances.keys().cloned().collect();
    place(&mut after, &instances);
    Ok(after)
}

fn place(topology: &mut Topology, instances: &[InstanceName]) {
    let before: Vec<InstanceName> = topology
        .schemas
        .iter()
        .map(|schema| schema.instance.clone())
        .collect();
    let after = spread_evenly(&before, instances);
    for (schema, instance) in topology.schemas.iter_mut().zip(after) {
        schema.instance = instance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::file::parse;

    const FILE: &str = "\
version: 1
cluster: shop
instances:
  db-1: { host: 127.0.0.1, port: 3306 }
  db-2: { host: 127.0.0.1, port: 3307 }
control: db-1
schemas:
  name: shop_{:02}
  count: 8
  on:
    db-1: 0-3
    db-2: 4-7
tables:
  member:
    shard_key: id
    function: mod
    name: member_{:02}
    ddl: CREATE TABLE member (id BIGINT NOT NULL PRIMARY KEY)
";

    fn topology(text: &str) -> Topology {
        parse(text).unwrap_or_else(|problems| panic!("{}", problems.into_error("t", text)))
    }

    fn shown(moves: &[Move]) -> Vec<String> {
        moves
            .iter()
            .map(|m| format!("{} {} {} -> {}", m.shard, m.schema, m.from, m.to))
            .collect()
    }

    #[test]
    fn only_schemas_on_another_instance_move() {
        let before = topology(FILE);
        let after = topology(&FILE.replace("0-3", "0-2").replace("4-7", "3-7"));
        assert_eq!(
            shown(&moves(&before, &after).unwrap()),
            ["3 shop_03 db-1 -> db-2"]
        );
        assert_eq!(moves(&before, &before), Ok(Vec::new()));
    }

    #[test]
    fn what_is_more_than_a_move_is_refused_with_every_reason() {
        let before = topology(FILE);
        let after = topology(
            &FILE
                .replace("cluster: shop", "cluster: store")
                .replace("control: db-1", "control: db-2")
                .replace("count: 8", "count: 16")
                .replace("4-7", "4-15")
                .replace("function: mod", "function: crc32")
                .replace(
                    "name: member_{:02}",
                    "name: member_{:02}\n    tables_per_schema: 2",
                )
                .replace("id BIGINT NOT NULL", "id INT NOT NULL"),
        );
        let refused = moves(&before, &after).unwrap_err().join("\n");
        insta::assert_snapshot!(refused, @r"
        the cluster is `store` in the wanted topology and `shop` in the one in force
        the control instance changes from db-1 to db-2: the jobs and the shard map's history lie there
        the number of schemas changes from 8 to 16: rows would change their shard
        table `member`: the tables per schema change from 1 to 2: rows would change their table
        table `member`: the shard key or the shard function changes: rows would change their shard
        table `member`: the definition changes
        ");
    }

    #[test]
    fn an_added_instance_gets_its_share() {
        let before = topology(FILE);
        let added = IndexMap::from([(
            "db-3".parse().unwrap(),
            Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 3308,
            },
        )]);
        let after = add_instances(&before, &added).unwrap();
        assert_eq!(
            shown(&moves(&before, &after).unwrap()),
            ["3 shop_03 db-1 -> db-3", "7 shop_07 db-2 -> db-3"]
        );
        assert_eq!(
            add_instances(&after, &added).unwrap_err(),
            "instance db-3 is in the topology already"
        );
        let other = IndexMap::from([("db-4".parse().unwrap(), added[0].clone())]);
        assert_eq!(
            add_instances(&after, &other).unwrap_err(),
            "instance db-4 has the address of db-3: 127.0.0.1:3308"
        );
        let back = drain(&after, &"db-3".parse().unwrap()).unwrap();
        assert_eq!(
            shown(&moves(&after, &back).unwrap()),
            ["3 shop_03 db-3 -> db-1", "7 shop_07 db-3 -> db-2"]
        );
        assert!(drain(&after, &"db-1".parse().unwrap()).is_err());
        assert!(drain(&after, &"db-9".parse().unwrap()).is_err());
    }
}
