//! The servers, their schemas, and what they hold.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use nix::fcntl::{FallocateFlags, fallocate};
use secrecy::ExposeSecret;
use shardctl::sandbox::{Engine, Guarded, Home, Options};
use tempfile::TempDir;

use crate::record::{Found, SHARDS, Table};
use crate::writers::Stats;

pub const INSTANCES: [&str; 3] = ["rds-1", "rds-2", "rds-3"];
pub const CONTROL: &str = "rds-1";
/// Size of the file systems that can be filled: a server's own files and as much again.
const DISK_MIB: u64 = 900;

/// For each shard the number of its instance.
pub type Placement = [usize; SHARDS as usize];

const TABLES: &str = "\
tables:
  member:
    shard_key: id
    function: mod
    name: member_{:02}
    assume: [global_keys]
    ddl: |
      CREATE TABLE member (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        account VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
        note VARCHAR(300) DEFAULT NULL,
        at DATETIME(3) NOT NULL,
        PRIMARY KEY (id), UNIQUE KEY by_account (account), KEY by_at (at)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  login:
    shard_key: id
    function: mod
    name: login_{:02}
    ddl: |
      CREATE TABLE login (
        id BIGINT NOT NULL,
        name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
        counter INT NOT NULL,
        PRIMARY KEY (name, id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  orders:
    shard_key: member_id
    function: mod
    name: orders_{:02}
    assume: [global_keys]
    ddl: |
      CREATE TABLE orders (
        order_no BIGINT NOT NULL,
        member_id BIGINT NOT NULL,
        amount DECIMAL(12,2) NOT NULL,
        slip VARCHAR(40) CHARACTER SET latin1 NOT NULL,
        PRIMARY KEY (order_no), UNIQUE KEY by_slip (slip), KEY by_member (member_id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  ledger:
    shard_key: id
    function: mod
    name: ledger_{:02}
    ddl: |
      CREATE TABLE ledger (
        id BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        PRIMARY KEY (id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
";

fn topology(placement: &Placement) -> String {
    let mut text = "version: 1\ncluster: chaos\ninstances:\n".to_owned();
    for (index, name) in INSTANCES.iter().enumerate() {
        // --sandbox knows the real addresses.
        text.push_str(&format!(
            "  {name}: {{ host: 127.0.0.1, port: {} }}\n",
            index + 1
        ));
    }
    text.push_str(&format!(
        "control: {CONTROL}\nschemas:\n  name: shop_{{:02}}\n  count: {SHARDS}\n  on:\n"
    ));
    for (index, name) in INSTANCES.iter().enumerate() {
        let shards: Vec<String> = (0..SHARDS as usize)
            .filter(|shard| placement[*shard] == index)
            .map(|shard| shard.to_string())
            .collect();
        text.push_str(&format!("    {name}: {}\n", shards.join(",")));
    }
    text + TABLES
}

pub struct Fleet {
    pub engine: Engine,
    // Dropped before the folder of its files.
    pub sandbox: Guarded,
    dir: TempDir,
    tool: PathBuf,
    /// The instances whose files lie on a file system of their own.
    pub small_disks: bool,
    pub placement: Placement,
}

impl Fleet {
    pub async fn new(engine: Engine, tool: &Path, small_disks: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            name: format!("chaos-{}", std::process::id()),
            engine: Some(engine),
            instances: INSTANCES.len() as u32,
            buffer_pool_mb: 48,
            ..Options::default()
        };
        let guard = tool.to_owned();
        let sandbox = tokio::task::spawn_blocking(move || {
            Home::from_env()
                .and_then(|home| home.up_guarded(&options, &guard))
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .await
        .unwrap();
        let fleet = Self {
            engine,
            sandbox,
            dir,
            tool: tool.to_owned(),
            small_disks,
            placement: [0, 0, 1, 1, 2, 2],
        };
        if small_disks {
            for name in INSTANCES {
                fleet.put_on_small_disk(name);
            }
        }
        fleet.write_topology("topology.yaml", &fleet.placement);
        let created = fleet.command(&["create"]).output().unwrap();
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        for name in INSTANCES {
            let mut conn = fleet.root(name).await;
            for user in ["app", "judge"] {
                for sql in [
                    format!("CREATE USER {user}@localhost IDENTIFIED BY '{user}'"),
                    format!("GRANT ALL ON *.* TO {user}@localhost"),
                ] {
                    conn.query_drop(sql).await.unwrap();
                }
            }
        }
        for shard in 0..SHARDS {
            let mut conn = fleet.conn(INSTANCES[fleet.placement[shard as usize]]).await;
            let table = Table::Ledger.physical(shard);
            conn.query_drop(format!("INSERT INTO {table} VALUES ({shard}, 0)"))
                .await
                .unwrap();
        }
        fleet
    }

    /// Moves a server's data to a file system that is small enough to be filled.
    fn put_on_small_disk(&self, name: &str) {
        let datadir = &self.sandbox.instance(name).unwrap().datadir;
        self.sandbox
            .stop(name)
            .unwrap_or_else(|error| panic!("{error}"));
        let aside = datadir.with_extension("aside");
        fs::rename(datadir, &aside).unwrap();
        fs::create_dir(datadir).unwrap();
        let option = format!("size={DISK_MIB}m,mode=0700");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &option, "tmpfs", path(datadir)],
        );
        run("cp", &["-a", &format!("{}/.", path(&aside)), path(datadir)]);
        fs::remove_dir_all(&aside).unwrap();
        self.sandbox
            .start(name)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Fills an instance's disk to the last byte.
    pub fn fill(&self, name: &str) {
        let ballast = self.ballast(name);
        let file = fs::File::create(ballast).unwrap();
        let (mut size, mut at) = (64 << 20, 0);
        while size > 0 {
            match fallocate(file.as_fd(), FallocateFlags::empty(), at, size) {
                Ok(()) => at += size,
                Err(_) => size /= 2,
            }
        }
    }

    pub fn relieve(&self, name: &str) {
        let _ = fs::remove_file(self.ballast(name));
    }

    fn ballast(&self, name: &str) -> PathBuf {
        self.sandbox.instance(name).unwrap().datadir.join("ballast")
    }

    /// Starts the servers that are not running.
    pub fn revive(&self) {
        for name in INSTANCES {
            self.relieve_if(name);
            if self.sandbox.pid(name).unwrap().is_none() {
                self.sandbox
                    .start(name)
                    .unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn relieve_if(&self, name: &str) {
        if self.small_disks {
            self.relieve(name);
        }
    }

    pub fn write_topology(&self, name: &str, placement: &Placement) -> String {
        let file = self.dir.path().join(name);
        fs::write(&file, topology(placement)).unwrap();
        file.display().to_string()
    }

    pub fn record(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command
            .args(["--sandbox", self.sandbox.name(), "--topology"])
            .arg(self.dir.path().join("topology.yaml"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    async fn root(&self, name: &str) -> Conn {
        let password = self
            .sandbox
            .password()
            .unwrap_or_else(|error| panic!("{error}"));
        self.connect(name, self.sandbox.user(), password.expose_secret())
            .await
    }

    /// A connection that is neither the tool's nor an application's.
    pub async fn conn(&self, name: &str) -> Conn {
        self.connect(name, "judge", "judge").await
    }

    async fn connect(&self, name: &str, user: &str, password: &str) -> Conn {
        let options = OptsBuilder::default()
            .socket(self.sandbox.instance(name).unwrap().socket.to_str())
            .user(Some(user))
            .pass(Some(password));
        let patience = Duration::from_secs(20);
        let conn = tokio::time::timeout(patience, Conn::new(options)).await;
        conn.unwrap_or_else(|_| panic!("{name} does not answer"))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Ends every connection of a user to an instance, if it answers.
    pub async fn cut(&self, name: &str, user: &str) -> u64 {
        let options = OptsBuilder::default()
            .socket(self.sandbox.instance(name).unwrap().socket.to_str())
            .user(Some("judge"))
            .pass(Some("judge"));
        let Ok(Ok(mut conn)) =
            tokio::time::timeout(Duration::from_secs(2), Conn::new(options)).await
        else {
            return 0;
        };
        let ids: Vec<u64> = conn
            .exec(
                "SELECT id FROM information_schema.processlist WHERE user = ?",
                (user,),
            )
            .await
            .unwrap_or_default();
        let mut cut = 0;
        for id in ids {
            cut += u64::from(
                conn.query_drop(format!("KILL CONNECTION {id}"))
                    .await
                    .is_ok(),
            );
        }
        cut
    }

    /// What the tool's connections are at, for a run that does not end.
    pub async fn connections(&self) -> String {
        let mut text = String::new();
        for name in INSTANCES {
            let mut conn = self.conn(name).await;
            let rows: Vec<String> = conn
                .query(
                    "SELECT CONCAT_WS(', ', id, command, time, state, LEFT(info, 200)) \
                     FROM information_schema.processlist WHERE user <> 'judge'",
                )
                .await
                .unwrap_or_default();
            for row in rows {
                text.push_str(&format!("      {name}: {row}\n"));
            }
        }
        text
    }

    /// The newest job: its id, its phase, and whether something is left to do.
    pub async fn job(&self) -> Option<(String, String, bool)> {
        let mut conn = self.conn(CONTROL).await;
        let sql = "SELECT id, phase, is_open FROM _shardctl.job ORDER BY created DESC LIMIT 1";
        match conn.query_first(sql).await {
            Ok(row) => row,
            // The first job has not come as far as making the table.
            Err(mysql_async::Error::Server(error)) if [1146, 1049].contains(&error.code) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Every row of every table that an application can see, and whatever else is in the way.
    pub async fn contents(&self) -> (Vec<Found>, Vec<String>) {
        let (mut found, mut trouble) = (Vec::new(), Vec::new());
        let mut there: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in INSTANCES {
            let mut conn = self.conn(name).await;
            conn.query_drop("SET NAMES utf8mb4").await.unwrap();
            let tables: Vec<(String, String)> = conn
                .query(
                    "SELECT table_schema, table_name FROM information_schema.tables \
                     WHERE table_schema LIKE 'shop\\_%'",
                )
                .await
                .unwrap();
            for (schema, table) in tables {
                let of = Table::ALL.into_iter().find(|known| {
                    table
                        .strip_prefix(known.name())
                        .is_some_and(|rest| rest.starts_with('_'))
                });
                let shard: Option<u64> = schema.strip_prefix("shop_").and_then(|n| n.parse().ok());
                let (Some(of), Some(shard)) = (of, shard) else {
                    trouble.push(format!("`{schema}`.`{table}` is left on {name}"));
                    continue;
                };
                there
                    .entry(format!("{schema}.{table}"))
                    .or_default()
                    .push(name);
                if INSTANCES[self.placement[shard as usize]] != name {
                    trouble.push(format!("`{schema}`.`{table}` is on {name}"));
                }
                let (shard_key, key, rest) = of.columns();
                let sql = format!(
                    "SELECT {shard_key} MOD {SHARDS}, CONCAT({key}), CONCAT({rest}) FROM {schema}.{table}"
                );
                let rows: Vec<(u64, String, String)> = conn.query(&sql).await.unwrap();
                found.extend(rows.into_iter().map(|(belongs, key, row)| Found {
                    instance: name.to_owned(),
                    place: (shard, of, key),
                    row,
                    belongs,
                }));
            }
        }
        for (table, on) in there.iter().filter(|(_, on)| on.len() > 1) {
            trouble.push(format!("{table} is on {}", on.join(" and ")));
        }
        let wanted = SHARDS as usize * Table::ALL.len();
        if there.len() != wanted {
            trouble.push(format!("{} tables are there, not {wanted}", there.len()));
        }
        (found, trouble)
    }
}

/// Takes the small file systems away, so that the sandbox can be removed.
impl Drop for Fleet {
    fn drop(&mut self) {
        for name in INSTANCES.iter().filter(|_| self.small_disks) {
            let _ = self.sandbox.kill(name);
            let datadir = &self.sandbox.instance(name).unwrap().datadir;
            let _ = Command::new("umount").args(["-l", path(datadir)]).status();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// The process of the writers, from outside.
pub struct Writers {
    child: Child,
    answers: mpsc::Receiver<String>,
}

impl Writers {
    pub fn start(fleet: &Fleet, seed: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["writers", "--seed", &seed.to_string(), "--record"])
            .arg(fleet.record());
        for name in INSTANCES {
            command
                .arg("--socket")
                .arg(&fleet.sandbox.instance(name).unwrap().socket);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, answers }
    }

    fn tell(&mut self, order: &str) -> Result<(), String> {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        writeln!(stdin, "{order}").map_err(|error| format!("the writers have ended: {error}"))
    }

    pub fn go_on(&mut self) -> Result<(), String> {
        self.tell("write")
    }

    /// Waits until each has committed on every shard once more and stands still.
    pub fn stand(&mut self) -> Result<Stats, String> {
        self.tell("stand")?;
        match self.answers.recv_timeout(Duration::from_secs(120)) {
            Ok(line) => Ok(serde_json::from_str(&line).unwrap()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err("a writer cannot write to a shard for two minutes".to_owned())
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err("the writers have ended".to_owned()),
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
