//! The examples of docs/diagnostics.md, each run on real servers and compared with what the page
//! shows. `SHARDCTL_UPDATE_DOCS=1` writes the page anew instead, from what MariaDB answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mysql_async::prelude::Queryable;
use shardctl::routing::Router;
use shardctl::rows::key::KeyValue;
use shardctl::topology::Topology;
use shardctl::topology::file::parse;
use support::{Engine, Guarded, on_each_engine};

const PAGE: &str = "docs/diagnostics.md";

/// A fleet of the page: its servers, and a folder with its topology file.
struct Fleet {
    servers: Guarded,
    topology: Topology,
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn create(engine: Engine, topology: &str) -> Self {
        let servers = support::servers(engine, 2).await;
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(topology).unwrap();
        // Not the user's own private scratch server.
        let text = format!("{text}\nquery: {{scratch: rds-2}}\n");
        std::fs::write(folder.path().join("topology.yaml"), &text).unwrap();
        let topology = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let fleet = Self {
            servers,
            topology,
            folder,
        };
        fleet.sh("shardctl create");
        fleet
    }

    /// What a shell command prints in the fleet's folder.
    fn sh(&self, command: &str) -> String {
        let program = Path::new(support::SHARDCTL).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", program.display()))
            .env("SHARDCTL_SANDBOX", self.servers.name())
            .env_remove("SHARDCTL_TOPOLOGY")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a statement on each physical table.
    async fn everywhere(&self, table: &str, sql: impl Fn(&str) -> String) {
        let logical = self.logical(table);
        for place in self.topology.places(logical) {
            let physical = self.topology.physical(logical, place);
            let mut conn = support::conn(&self.servers, physical.instance.as_str()).await;
            conn.query_drop(sql(&physical.quoted())).await.unwrap();
        }
    }

    /// Puts rows where their keys belong.
    async fn insert(&self, table: &str, rows: Vec<(u64, String)>) {
        let logical = self.logical(table);
        let router = Router::new(&self.topology, logical).unwrap();
        let mut by_table: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (key, row) in rows {
            let place = router.place(&KeyValue::Integer(key.into()), None).unwrap();
            let physical = self.topology.physical(logical, place);
            let at = (physical.instance.to_string(), physical.quoted());
            by_table.entry(at).or_default().push(row);
        }
        for ((instance, table), rows) in by_table {
            let mut conn = support::conn(&self.servers, &instance).await;
            let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
            conn.query_drop(sql)
                .await
                .unwrap_or_else(|error| panic!("{table}: {error}"));
        }
    }

    fn logical(&self, name: &str) -> &shardctl::topology::LogicalTable {
        let mut tables = self.topology.tables.values();
        tables.find(|table| table.name.as_str() == name).unwrap()
    }
}

/// 2,000 members, and what has gone wrong with a few of them.
async fn user_center(engine: Engine) -> Fleet {
    let fleet = Fleet::create(engine, "topology.yaml").await;
    fleet.sh("shardctl fill --members 2000");
    // Three without an account, and one who is gone while all the rest is there.
    for table in ["member_login_account", "member_login_account_memberAccount"] {
        fleet
            .everywhere(table, |at| {
                format!("DELETE FROM {at} WHERE memberId IN (100000007, 100000014, 100001242)")
            })
            .await;
    }
    fleet
        .everywhere("member", |at| {
            format!("DELETE FROM {at} WHERE memberId = 100000900")
        })
        .await;
    // One logs in with the name and the number of another, on another shard.
    let stolen = fleet.sh(
        "shardctl query -o tsv \"SELECT memberAccount FROM member_login_account \
         WHERE memberId = 100000016 AND accountType <> 2 ORDER BY accountType\"",
    );
    let rows = stolen.lines().skip(1).zip([1, 3]).map(|(name, kind)| {
        let row = format!("(100000017, {kind}, '{name}', NULL, 1, '2025-12-01', NULL)");
        (100_000_017, row)
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 2, "{stolen}");
    fleet.insert("member_login_account", rows).await;
    fleet
}

/// 2,000 orders of November 2025, one each 20 minutes, and a few that are not as they should be.
async fn order_center(engine: Engine) -> Fleet {
    let fleet = Fleet::create(engine, "tests/data/order_center.yaml").await;
    let (mut orders, mut by_seller) = (Vec::new(), Vec::new());
    let (mut items, mut payments) = (Vec::new(), Vec::new());
    for n in 0..2000u64 {
        let order = 500_000 + n;
        let buyer = 1000 + (n * n * 7 + n) % 240;
        let seller = 1 + (n * 13 + n / 7) % 30;
        let minutes = n * 20;
        let created = format!(
            "2025-11-{:02} {:02}:{:02}:00",
            1 + minutes / 1440,
            minutes / 60 % 24,
            minutes % 60
        );
        let status = [
            "new", "paid", "shipped", "done", "done", "done", "refunded", "done",
        ][(n % 8) as usize];
        let currency = ["CNY", "CNY", "CNY", "USD", "JPY"][(n % 5) as usize];
        let mut cents = 0;
        for line in 1..=1 + n % 3 {
            let (quantity, price) = (1 + (n + line) % 4, 995 + (n * 37 + line * 211) % 20_000);
            cents += quantity * price;
            // One order's last line is lost.
            if n != 1234 || line < 1 + n % 3 {
                items.push((
                    buyer,
                    format!(
                        "({buyer}, {order}, {line}, 'sku-{:03}', 'Thing {}', {quantity}, {})",
                        (n * 7 + line) % 50,
                        (n * 7 + line) % 50,
                        money(price)
                    ),
                ));
            }
        }
        let amount = money(cents);
        let paid = match status {
            "new" => "NULL".to_owned(),
            _ => format!("'{created}' + INTERVAL 5 MINUTE"),
        };
        // Another one was never paid.
        if status != "new" && n != 777 {
            let channel = ["card", "wallet", "wallet", "transfer"][(n / 3 % 4) as usize];
            payments.push((
                buyer,
                format!(
                    "({buyer}, {order}, {}, '{channel}', {amount}, {paid})",
                    900_000 + n
                ),
            ));
        }
        // And one is not in the index table.
        if n != 1500 {
            by_seller.push((
                seller,
                format!("({seller}, {order}, {buyer}, {amount}, '{created}')"),
            ));
        }
        orders.push((
            buyer,
            format!(
                "({order}, {buyer}, {seller}, '{status}', {amount}, '{currency}', NULL, '{created}', {paid})"
            ),
        ));
    }
    fleet.insert("orders", orders).await;
    fleet.insert("orders_sellerId", by_seller).await;
    fleet.insert("order_item", items).await;
    fleet.insert("payment", payments).await;
    fleet
        .everywhere("currency", |at| {
            format!("INSERT INTO {at} VALUES ('CNY', 'Renminbi', 2), ('USD', 'US dollar', 2), ('JPY', 'Yen', 0)")
        })
        .await;
    fleet
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The page with the output of each command as it is now, and how many commands there are.
fn rewritten(page: &str, run: impl Fn(&str, &str) -> String) -> (String, usize) {
    let (mut text, mut section, mut commands) = (String::new(), String::new(), 0);
    let mut lines = page.lines().peekable();
    let mut fenced = false;
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        if line.starts_with("```") {
            fenced = !fenced;
        }
        text.push_str(line);
        text.push('\n');
        let Some(command) = line.strip_prefix("$ ").filter(|_| fenced) else {
            continue;
        };
        let mut command = command.to_owned();
        // A statement can have several lines: the command ends with its last quote.
        while command.matches('"').count() % 2 == 1 {
            let next = lines.next().unwrap_or_else(|| panic!("no end: {command}"));
            command.push('\n');
            command.push_str(next);
            text.push_str(next);
            text.push('\n');
        }
        while lines
            .peek()
            .is_some_and(|next| !next.starts_with("$ ") && !next.starts_with("```"))
        {
            lines.next();
        }
        text.push_str(&run(&section, &command));
        commands += 1;
    }
    (text, commands)
}

on_each_engine! {
    async fn the_page_shows_what_the_commands_print(engine) {
        let (users, orders) = tokio::join!(user_center(engine), order_center(engine));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let page = std::fs::read_to_string(&path).unwrap();
        let (found, commands) = rewritten(&page, |section, command| match section {
            "User center" => users.sh(command),
            "Order center" => orders.sh(command),
            other => panic!("`{other}` is no fleet of the page: {command}"),
        });
        assert!(commands >= 15, "the page has {commands} commands");
        if std::env::var_os("SHARDCTL_UPDATE_DOCS").is_some() {
            if engine == Engine::Mariadb {
                std::fs::write(&path, found).unwrap();
            }
            return;
        }
        for (now, shown) in found.lines().zip(page.lines()) {
            assert_eq!(now, shown, "{PAGE} is not what the commands print");
        }
        assert_eq!(found.lines().count(), page.lines().count(), "{PAGE}");
    }
}
