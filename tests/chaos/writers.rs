//! The applications: a process of its own that writes through the whole run and notes in a file
//! what it began and what was acknowledged.
//!
//! A transaction touches several tables of one shard and always the ledger first, so that after a
//! lost connection a locking look at the ledger says whether it was committed. A transaction that
//! was rolled back is tried again until it is through: the application of a shard never gives up.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::record::{Change, Line, Mark, SHARDS, Table, WRITERS, ledger_id};

/// Members that each writer begins with on each shard.
const MEMBERS: u64 = 150;
/// Rows of a kind that a writer keeps on a shard, at most.
const ROWS_MAX: usize = 220;

/// How the process is called, and what it is told: a line on stdin, answered by one on stdout.
#[derive(clap::Args, Debug)]
pub struct WritersArgs {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    record: PathBuf,
    /// The socket of each instance
    #[arg(long)]
    socket: Vec<PathBuf>,
}

/// What the writers did since they were asked last.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Stats {
    pub committed: u64,
    /// Transactions that found their table gone: fenced or moved.
    pub refused: u64,
    /// The longest time from such a refusal to the commit, without those in which a server was away.
    pub longest_refusal_ms: u64,
    /// Connections lost with a transaction in doubt.
    pub in_doubt: u64,
}

impl Stats {
    pub fn add(&mut self, other: &Stats) {
        self.committed += other.committed;
        self.refused += other.refused;
        self.longest_refusal_ms = self.longest_refusal_ms.max(other.longest_refusal_ms);
        self.in_doubt += other.in_doubt;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Write,
    /// Commit once more on every shard, then stand still.
    Stand(u64),
}

#[tokio::main(flavor = "current_thread")]
pub async fn write(args: WritersArgs) {
    let record = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&args.record)
        .unwrap();
    let (orders, listener) = watch::channel(Order::Stand(0));
    let (stands, mut standing) = mpsc::channel::<Stats>(WRITERS as usize);
    for number in 0..WRITERS {
        let writer = Writer {
            number,
            random: ChaCha8Rng::seed_from_u64(args.seed ^ (number << 32)),
            record: record.try_clone().unwrap(),
            app: App {
                sockets: args.socket.clone().into(),
                conns: BTreeMap::new(),
                homes: [0; SHARDS as usize],
            },
            shards: Default::default(),
            seqs: [0; SHARDS as usize],
            next: 1,
            stats: Stats::default(),
        };
        tokio::spawn(writer.run(listener.clone(), stands.clone()));
    }
    let (lines, mut commands) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
        // Whoever started us is gone.
        std::process::exit(0);
    });
    let mut count = 0;
    while let Some(command) = commands.recv().await {
        if command == "write" {
            orders.send_replace(Order::Write);
            continue;
        }
        count += 1;
        orders.send_replace(Order::Stand(count));
        let mut all = Stats::default();
        for _ in 0..WRITERS {
            all.add(&standing.recv().await.unwrap());
        }
        println!("{}", serde_json::to_string(&all).unwrap());
    }
}

/// The way to the shards: an application that asks the next instance where a table is not.
struct App {
    sockets: Arc<[PathBuf]>,
    conns: BTreeMap<usize, Conn>,
    homes: [usize; SHARDS as usize],
}

/// How a try ended.
enum Ended {
    Committed,
    /// Rolled back, for certain.
    RolledBack,
    /// No such table here.
    Elsewhere,
    /// The connection is lost: nobody knows.
    Lost,
    Trouble(String),
}

impl App {
    async fn conn(&mut self, shard: u64) -> Option<&mut Conn> {
        let home = self.homes[shard as usize];
        if !self.conns.contains_key(&home) {
            let options = OptsBuilder::default()
                .socket(self.sockets[home].to_str())
                .user(Some("app"))
                .pass(Some("app"))
                .setup(vec![
                    "SET NAMES utf8mb4",
                    "SET SESSION innodb_lock_wait_timeout = 3, lock_wait_timeout = 5",
                ]);
            let conn = tokio::time::timeout(Duration::from_secs(5), Conn::new(options)).await;
            self.conns.insert(home, conn.ok()?.ok()?);
        }
        self.conns.get_mut(&home)
    }

    fn forget(&mut self, shard: u64) {
        self.conns.remove(&self.homes[shard as usize]);
    }

    fn next(&mut self, shard: u64) {
        let home = &mut self.homes[shard as usize];
        *home = (*home + 1) % self.sockets.len();
    }

    async fn transaction(&mut self, shard: u64, statements: &[String]) -> Ended {
        let Some(conn) = self.conn(shard).await else {
            return Ended::Lost;
        };
        let ran = async {
            conn.query_drop("START TRANSACTION").await?;
            for sql in statements {
                conn.query_drop(sql).await?;
            }
            conn.query_drop("COMMIT").await
        };
        let Err(error) = ran.await else {
            return Ended::Committed;
        };
        let code = match &error {
            mysql_async::Error::Server(error) => error.code,
            _ => 0,
        };
        let ended = match code {
            1146 | 1049 => Ended::Elsewhere,
            1213 | 1205 => Ended::RolledBack,
            // Duplicate key, bad statement, value that does not fit: rows are not as they were left.
            1054 | 1062 | 1064 | 1264 | 1366 | 1406 | 1364 => {
                Ended::Trouble(format!("{error} to {statements:?}"))
            }
            _ => Ended::Lost,
        };
        if matches!(ended, Ended::Lost) || conn.query_drop("ROLLBACK").await.is_err() {
            self.forget(shard);
        }
        ended
    }

    /// The number of the writer's last transaction on the shard, once nothing is on its way.
    async fn last(&mut self, writer: u64, shard: u64) -> u64 {
        let id = ledger_id(writer, shard);
        let sql = format!(
            "SELECT seq FROM {} WHERE id = {id} FOR UPDATE",
            Table::Ledger.physical(shard)
        );
        loop {
            if let Some(conn) = self.conn(shard).await {
                match conn.query_first::<u64, _>(&sql).await {
                    Ok(seq) => return seq.unwrap_or_default(),
                    Err(mysql_async::Error::Server(error))
                        if [1146, 1049].contains(&error.code) =>
                    {
                        self.next(shard);
                    }
                    Err(_) => self.forget(shard),
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Shard {
    members: BTreeMap<u64, (String, Option<String>)>,
    logins: BTreeMap<(String, u64), i64>,
    orders: BTreeMap<u64, (u64, u64)>,
}

/// A transaction in the making: statements, and what they leave.
struct Work {
    shard: u64,
    after: Shard,
    statements: Vec<String>,
    changes: Vec<Change>,
}

impl Work {
    fn member(&mut self, id: u64, row: Option<(String, Option<String>)>) {
        self.changes.push(Change {
            table: Table::Member,
            key: id.to_string(),
            row: row.as_ref().map(|(account, note)| {
                format!("{account}|{}|{AT}", note.as_deref().unwrap_or("~"))
            }),
        });
        match row {
            Some(row) => self.after.members.insert(id, row),
            None => self.after.members.remove(&id),
        };
    }

    fn login(&mut self, name: &str, id: u64, counter: Option<i64>) {
        self.changes.push(Change {
            table: Table::Login,
            key: format!("{name}|{id}"),
            row: counter.map(|counter| counter.to_string()),
        });
        match counter {
            Some(counter) => self.after.logins.insert((name.to_owned(), id), counter),
            None => self.after.logins.remove(&(name.to_owned(), id)),
        };
    }

    fn order(&mut self, order: u64, row: Option<(u64, u64)>) {
        self.changes.push(Change {
            table: Table::Orders,
            key: order.to_string(),
            row: row.map(|(member, cents)| format!("{member}|{}|slip-{order}", amount(cents))),
        });
        match row {
            Some(row) => self.after.orders.insert(order, row),
            None => self.after.orders.remove(&order),
        };
    }

    fn sql(&mut self, sql: String) {
        self.statements.push(sql);
    }
}

const AT: &str = "2024-02-29 12:34:56.789";

fn amount(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

struct Writer {
    number: u64,
    random: ChaCha8Rng,
    record: File,
    app: App,
    shards: [Shard; SHARDS as usize],
    seqs: [u64; SHARDS as usize],
    /// The next number of a value that was never used before.
    next: u64,
    stats: Stats,
}

impl Writer {
    async fn run(mut self, mut orders: watch::Receiver<Order>, stands: mpsc::Sender<Stats>) {
        let mut stood = 0;
        for shard in 0..SHARDS {
            let work = self.beginning(shard);
            self.commit(work).await;
        }
        loop {
            let order = *orders.borrow_and_update();
            match order {
                Order::Stand(count) if count > stood => {
                    for shard in 0..SHARDS {
                        let work = self.work(shard);
                        self.commit(work).await;
                    }
                    stood = count;
                    let stats = std::mem::take(&mut self.stats);
                    stands.send(stats).await.unwrap();
                }
                Order::Stand(_) => orders.changed().await.unwrap(),
                Order::Write => {
                    self.write().await;
                    let pause = self.random.random_range(0..6);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
    }

    fn work(&self, shard: u64) -> Work {
        Work {
            shard,
            after: self.shards[shard as usize].clone(),
            statements: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn note(&mut self, line: &Line) {
        let mut text = serde_json::to_string(line).unwrap();
        text.push('\n');
        self.record.write_all(text.as_bytes()).unwrap();
    }

    /// Commits this, however often it has to be tried.
    async fn commit(&mut self, work: Work) {
        let shard = work.shard;
        let seq = self.seqs[shard as usize] + 1;
        let mut line = Line {
            mark: Mark::Begun,
            writer: self.number,
            shard,
            seq,
            changes: work.changes,
        };
        self.note(&line);
        let ledger = Table::Ledger.physical(shard);
        let own = ledger_id(self.number, shard);
        let mut statements = vec![match seq {
            1 => format!("INSERT INTO {ledger} VALUES ({own}, 1)"),
            _ => format!("UPDATE {ledger} SET seq = {seq} WHERE id = {own}"),
        }];
        statements.extend(work.statements);
        // The row that all writers share comes last, for it is held until the commit.
        statements.push(format!(
            "UPDATE {ledger} SET seq = seq + 1 WHERE id = {shard}"
        ));
        let mut refused_since: Option<Instant> = None;
        let mut was_away = false;
        let mark = loop {
            match self.app.transaction(shard, &statements).await {
                Ended::Committed => break Mark::Acknowledged,
                Ended::RolledBack => {}
                Ended::Elsewhere => {
                    self.stats.refused += 1;
                    refused_since.get_or_insert_with(Instant::now);
                    self.app.next(shard);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ended::Lost => {
                    was_away = true;
                    self.stats.in_doubt += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if self.app.last(self.number, shard).await == seq {
                        break Mark::Seen;
                    }
                }
                Ended::Trouble(text) => {
                    // Nothing that comes after would mean anything.
                    eprintln!("a writer was told: {text}");
                    std::process::exit(1);
                }
            }
        };
        if let Some(since) = refused_since.filter(|_| !was_away) {
            let ms = since.elapsed().as_millis() as u64;
            self.stats.longest_refusal_ms = self.stats.longest_refusal_ms.max(ms);
        }
        self.stats.committed += 1;
        self.seqs[shard as usize] = seq;
        self.shards[shard as usize] = work.after;
        line.mark = mark;
        line.changes = Vec::new();
        self.note(&line);
    }

    /// An id of this writer on this shard.
    fn id(&self, number: u64, shard: u64) -> u64 {
        (number * WRITERS + self.number) * SHARDS + shard
    }

    fn any_id(&mut self, numbers: std::ops::Range<u64>, shard: u64) -> u64 {
        let number = self.random.random_range(numbers);
        self.id(number, shard)
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next * WRITERS + self.number
    }

    fn beginning(&mut self, shard: u64) -> Work {
        let mut work = self.work(shard);
        let mut values = Vec::new();
        for number in 1..=MEMBERS {
            // Spread over the key's range, with room between for what comes later.
            let id = self.id(number * 50, shard);
            let account = format!("a{id}");
            values.push(format!("({id}, '{account}', NULL, '{AT}')"));
            work.member(id, Some((account, None)));
        }
        let table = Table::Member.physical(shard);
        work.sql(format!("INSERT INTO {table} VALUES {}", values.join(", ")));
        work
    }

    /// A transaction of one to five changes on a shard; or an order that moves to another shard,
    /// which is two.
    async fn write(&mut self) {
        let shard = self.random.random_range(0..SHARDS);
        if self.random.random_ratio(1, 6) {
            return self.move_order(shard).await;
        }
        let mut work = self.work(shard);
        for _ in 0..self.random.random_range(1..=5) {
            self.change(&mut work);
        }
        self.commit(work).await;
    }

    /// The member of an order changes, and with it the shard: inserted there, deleted here.
    async fn move_order(&mut self, shard: u64) {
        let orders = &self.shards[shard as usize].orders;
        let Some(order) = self.pick(orders.keys().copied()) else {
            return;
        };
        let cents = orders[&order].1;
        let other = (shard + self.random.random_range(1..SHARDS)) % SHARDS;
        let member = self.any_id(0..1_000, other);
        let mut arrival = self.work(other);
        let table = Table::Orders.physical(other);
        arrival.sql(format!(
            "INSERT INTO {table} VALUES ({order}, {member}, {}, 'slip-{order}')",
            amount(cents)
        ));
        arrival.order(order, Some((member, cents)));
        let mut departure = self.work(shard);
        let table = Table::Orders.physical(shard);
        departure.sql(format!("DELETE FROM {table} WHERE order_no = {order}"));
        departure.order(order, None);
        let (first, second) = match self.random.random_bool(0.5) {
            true => (arrival, departure),
            false => (departure, arrival),
        };
        self.commit(first).await;
        self.commit(second).await;
    }

    fn pick<T>(&self, keys: impl Iterator<Item = T>) -> Option<T> {
        let mut keys: Vec<T> = keys.collect();
        if keys.is_empty() {
            return None;
        }
        // A generator of its own, so that a shared look is enough.
        let index = ChaCha8Rng::seed_from_u64(self.next ^ self.seqs.iter().sum::<u64>())
            .random_range(0..keys.len());
        Some(keys.swap_remove(index))
    }

    fn change(&mut self, work: &mut Work) {
        let shard = work.shard;
        let member = Table::Member.physical(shard);
        let login = Table::Login.physical(shard);
        let orders = Table::Orders.physical(shard);
        let ids: Vec<u64> = work.after.members.keys().copied().collect();
        let any = |random: &mut ChaCha8Rng| ids[random.random_range(0..ids.len())];
        match self.random.random_range(0..12) {
            0 | 1 if ids.len() < ROWS_MAX => {
                let id = self.any_id(1..60 * MEMBERS, shard);
                if !work.after.members.contains_key(&id) {
                    let account = format!("w{}", self.fresh());
                    work.sql(format!(
                        "INSERT INTO {member} VALUES ({id}, '{account}', 'nëw', '{AT}')"
                    ));
                    work.member(id, Some((account, Some("nëw".to_owned()))));
                }
            }
            2 => {
                let id = any(&mut self.random);
                let note = format!("n{}", self.random.random::<u32>());
                work.sql(format!(
                    "UPDATE {member} SET note = '{note}' WHERE id = {id}"
                ));
                let account = work.after.members[&id].0.clone();
                work.member(id, Some((account, Some(note))));
            }
            3 if ids.len() > 60 => {
                let id = any(&mut self.random);
                work.sql(format!("DELETE FROM {member} WHERE id = {id}"));
                work.member(id, None);
            }
            4 => {
                // A unique value goes on to another row, with a deletion and an insert.
                let id = any(&mut self.random);
                let heir = self.any_id(1..60 * MEMBERS, shard);
                if !work.after.members.contains_key(&heir) {
                    let account = work.after.members[&id].0.clone();
                    work.sql(format!("DELETE FROM {member} WHERE id = {id}"));
                    work.sql(format!(
                        "INSERT INTO {member} VALUES ({heir}, '{account}', 'heir', '{AT}')"
                    ));
                    work.member(id, None);
                    work.member(heir, Some((account, Some("heir".to_owned()))));
                }
            }
            5 | 6 => {
                // Two or three rows exchange a unique value.
                let mut round: Vec<u64> = (0..3).map(|_| any(&mut self.random)).collect();
                round.sort_unstable();
                round.dedup();
                if round.len() > 1 {
                    let rows: Vec<_> = round
                        .iter()
                        .map(|id| work.after.members[id].clone())
                        .collect();
                    let spare = format!("spare{}", self.fresh());
                    let last = round.len() - 1;
                    work.sql(format!(
                        "UPDATE {member} SET account = '{spare}' WHERE id = {}",
                        round[last]
                    ));
                    for index in 0..round.len() {
                        // Each takes the account of the one behind it, which is free by then.
                        let at = last - index;
                        let (from, id) =
                            ((at + last) % round.len(), round[(at + last) % round.len()]);
                        let account = &rows[at].0;
                        work.sql(format!(
                            "UPDATE {member} SET account = '{account}' WHERE id = {id}"
                        ));
                        work.member(id, Some((account.clone(), rows[from].1.clone())));
                    }
                }
            }
            7 => {
                // The primary key changes its spelling under a collation that does not see that.
                let keys = work.after.logins.keys().cloned();
                if let Some((name, id)) = self.pick(keys) {
                    let other = match name.starts_with('N') {
                        true => name.to_lowercase(),
                        false => name.to_uppercase(),
                    };
                    work.sql(format!(
                        "UPDATE {login} SET name = '{other}', counter = counter + 1 \
                         WHERE name = '{name}' AND id = {id}"
                    ));
                    let counter = work.after.logins[&(name.clone(), id)];
                    work.login(&name, id, None);
                    work.login(&other, id, Some(counter + 1));
                }
            }
            8 => {
                let id = self.any_id(0..12, shard);
                let name = format!("näme{}", self.random.random_range(0..5));
                let mut keys = work.after.logins.keys();
                match keys
                    .find(|(n, i)| *i == id && n.to_lowercase() == name)
                    .cloned()
                {
                    None => {
                        work.sql(format!("INSERT INTO {login} VALUES ({id}, '{name}', 1)"));
                        work.login(&name, id, Some(1));
                    }
                    Some((name, id)) => {
                        work.sql(format!(
                            "DELETE FROM {login} WHERE name = '{name}' AND id = {id}"
                        ));
                        work.login(&name, id, None);
                    }
                }
            }
            9 => {
                let keys: Vec<_> = work.after.logins.keys().take(3).cloned().collect();
                for (name, id) in keys {
                    work.sql(format!(
                        "UPDATE {login} SET counter = counter + 1 WHERE name = '{name}' AND id = {id}"
                    ));
                    let counter = work.after.logins[&(name.clone(), id)];
                    work.login(&name, id, Some(counter + 1));
                }
            }
            10 if work.after.orders.len() < ROWS_MAX => {
                let order = self.fresh();
                let owner = self.any_id(0..1_000, shard);
                let cents = self.random.random_range(1..1_000_000);
                work.sql(format!(
                    "INSERT INTO {orders} VALUES ({order}, {owner}, {}, 'slip-{order}')",
                    amount(cents)
                ));
                work.order(order, Some((owner, cents)));
            }
            _ => {
                let keys = work.after.orders.keys().copied();
                if let Some(order) = self.pick(keys) {
                    let (owner, cents) = work.after.orders[&order];
                    work.sql(format!(
                        "UPDATE {orders} SET amount = amount + 0.01 WHERE order_no = {order}"
                    ));
                    work.order(order, Some((owner, cents + 1)));
                }
            }
        }
    }
}
