//! What a query over all shards costs its servers, in connections and statements: counted, for these
//! do not depend on what else the machine does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::prelude::Queryable;
use support::{Sandbox, on_each_engine};

/// What both servers have counted.
async fn counted(sandbox: &Sandbox, what: &str) -> u64 {
    let mut all = 0;
    for instance in ["rds-1", "rds-2"] {
        let mut conn = support::conn(sandbox, instance).await;
        let show = format!("SHOW GLOBAL STATUS LIKE '{what}'");
        let (_, count): (String, u64) = conn.query_first(show).await.unwrap().unwrap();
        all += count;
        conn.disconnect().await.unwrap();
    }
    all
}

on_each_engine! {
    /// The sixteen shards are asked at once, each on a connection of its own. All questions before
    /// that, for the version, the shard map and the columns, share one, or a distant server would
    /// be waited for again and again.
    async fn a_scatter_opens_a_connection_for_each_shard_and_one_more(engine) {
        let servers = support::servers(engine, 2).await;
        let created = support::shardctl(&servers, &["create"]);
        assert!(created.status.success(), "{created:?}");
        let before = counted(&servers, "Connections").await;
        let answer = support::shardctl(&servers, &["query", "-o", "tsv", "SELECT COUNT(*) AS n FROM member"]);
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "n\n0\n", "{answer:?}");
        // Ours: the one of each server that counts the end.
        let opened = counted(&servers, "Connections").await - before - 2;
        assert_eq!(opened, 17);
    }
}
