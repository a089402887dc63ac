//! Sandboxes on real servers: what they promise when all goes well, and when the tool is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};
use secrecy::ExposeSecret;
use shardctl::sandbox::State;
use support::{Engine, Home, Options, SHARDCTL, conn, on_each_engine};
use tempfile::TempDir;

/// A folder for sandboxes of one test's own, with a short path for the sockets.
struct Place {
    home: Home,
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sbx")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .unwrap();
        let home = Home::at(dir.path()).unwrap();
        Self { home, dir }
    }

    /// Whatever is left in it.
    fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn processes(&self) -> Vec<i32> {
        processes_naming(self.dir.path())
    }

    fn state(&self, name: &str) -> Option<State> {
        let list = self.home.list().unwrap();
        let found = list.into_iter().find(|sandbox| sandbox.name == name);
        found.map(|sandbox| sandbox.state)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half way leaves no servers either.
        for sandbox in self.home.list().unwrap_or_default() {
            let _ = self.home.down(&sandbox.name);
        }
    }
}

/// The living processes that name this folder anywhere in their arguments, servers and guards
/// alike. One that has ended and waits for its parent has no arguments any more.
fn processes_naming(dir: &Path) -> Vec<i32> {
    let dir = dir.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            let line = fs::read(path.join("cmdline")).ok()?;
            String::from_utf8_lossy(&line).contains(dir).then_some(pid)
        })
        .collect()
}

fn options(name: &str, engine: Engine, instances: u32) -> Options {
    Options {
        name: name.to_owned(),
        engine: Some(engine),
        instances,
        buffer_pool_mb: 32,
        ..Options::default()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 60 seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn variables(conn: &mut Conn, names: &[&str]) -> Vec<String> {
    let columns: Vec<String> = names.iter().map(|name| format!("@@{name}")).collect();
    let row: Row = conn
        .query_first(format!("SELECT {}", columns.join(", ")))
        .await
        .unwrap()
        .unwrap();
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => other.as_sql(true),
        })
        .collect()
}

on_each_engine! {
    async fn up_gives_distinct_servers_with_a_full_row_log(engine) {
        let place = Place::new();
        let sandbox = place.home.up(&options("a", engine, 2)).unwrap();
        let names: Vec<&str> = sandbox.instances().iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["rds-1", "rds-2"]);
        assert_eq!(place.state("a"), Some(State::Running));

        let mut ids = HashSet::new();
        let mut uuids = HashSet::new();
        for name in names {
            let mut conn = conn(&sandbox, name).await;
            let found = variables(&mut conn, &[
                "log_bin", "binlog_format", "binlog_row_image", "local_infile", "skip_networking",
                "time_zone", "innodb_buffer_pool_size",
            ]).await;
            assert_eq!(found, ["1", "ROW", "FULL", "1", "1", "+00:00", "33554432"]);
            let id = variables(&mut conn, &["server_id"]).await.remove(0);
            assert_eq!(id, sandbox.instance(name).unwrap().server_id.to_string());
            ids.insert(id);
            if engine == Engine::Mysql {
                uuids.extend(variables(&mut conn, &["server_uuid"]).await);
                assert_eq!(variables(&mut conn, &["gtid_mode"]).await, ["ON"]);
            }
        }
        assert_eq!(ids.len(), 2);
        assert_eq!(uuids.len(), if engine == Engine::Mysql { 2 } else { 0 });

        sandbox.down().unwrap();
        assert_eq!(place.entries(), [""; 0]);
        assert_eq!(place.processes(), [0; 0]);
        assert_eq!(place.state("a"), None);
    }

    async fn only_root_with_the_password_gets_in(engine) {
        let place = Place::new();
        let tcp = Options { tcp: true, ..options("a", engine, 1) };
        let sandbox = place.home.up(&tcp).unwrap();
        let instance = sandbox.instance("rds-1").unwrap();
        let password = sandbox.password().unwrap();

        let mut found: Vec<String> = conn(&sandbox, "rds-1").await
            .query("SELECT CONCAT(User, '@', Host) FROM mysql.user \
                    WHERE User NOT LIKE 'mysql.%' AND User <> 'mariadb.sys'")
            .await.unwrap();
        found.sort();
        assert_eq!(found, ["root@127.0.0.1", "root@localhost"]);

        let socket = OptsBuilder::default().socket(instance.socket.to_str());
        let port = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(instance.port.unwrap())
            .prefer_socket(false);
        for way in [socket, port] {
            for user in ["root", ""] {
                let without = Conn::new(way.clone().user(Some(user))).await;
                assert!(without.is_err(), "{user:?} gets in without a password");
            }
            Conn::new(way.user(Some("root")).pass(Some(password.expose_secret()))).await.unwrap();
        }
    }

    async fn the_password_is_in_one_private_file_only(engine) {
        let place = Place::new();
        let sandbox = place.home.up(&options("a", engine, 1)).unwrap();
        let password = sandbox.password().unwrap().expose_secret().to_owned();
        assert_eq!(password.len(), 32);

        let mut holders = Vec::new();
        let mut waiting = vec![sandbox.dir().to_owned()];
        while let Some(path) = waiting.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if meta.is_file() {
                let bytes = fs::read(&path).unwrap();
                if bytes.windows(password.len()).any(|window| window == password.as_bytes()) {
                    holders.push(path);
                }
            }
        }
        assert_eq!(holders, [sandbox.client_file()]);
        assert_eq!(fs::metadata(sandbox.client_file()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(sandbox.dir()).unwrap().mode() & 0o777, 0o700);
        for pid in place.processes() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(!String::from_utf8_lossy(&line).contains(&password));
        }
        assert!(!format!("{sandbox:?}").contains(&password));
    }

    async fn two_sandboxes_run_side_by_side(engine) {
        let place = Place::new();
        let tcp = |name| Options { tcp: true, ..options(name, engine, 2) };
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| place.home.up(&tcp("a")).unwrap());
            let second = scope.spawn(|| place.home.up(&tcp("b")).unwrap());
            (first.join().unwrap(), second.join().unwrap())
        });
        let ports: HashSet<u16> = [&first, &second].iter()
            .flat_map(|sandbox| sandbox.instances())
            .map(|instance| instance.port.unwrap())
            .collect();
        assert_eq!(ports.len(), 4);

        let taken = place.home.up(&options("a", engine, 1)).unwrap_err();
        assert_eq!(taken.what(), "there is a sandbox `a` already");

        first.down().unwrap();
        assert_eq!(place.state("a"), None);
        assert_eq!(place.state("b"), Some(State::Running));
        conn(&second, "rds-2").await.query_drop("SELECT 1").await.unwrap();
    }

    async fn a_killed_server_comes_back_with_its_data(engine) {
        let place = Place::new();
        let sandbox = place.home.up(&options("a", engine, 2)).unwrap();
        let mut session = conn(&sandbox, "rds-1").await;
        session.query_drop("CREATE DATABASE d").await.unwrap();
        session.query_drop("CREATE TABLE d.t (id INT PRIMARY KEY)").await.unwrap();
        session.query_drop("INSERT INTO d.t VALUES (1), (2)").await.unwrap();
        let before = sandbox.pid("rds-1").unwrap().unwrap();

        for graceful in [false, true] {
            if graceful {
                sandbox.stop("rds-1").unwrap();
            } else {
                sandbox.kill("rds-1").unwrap();
            }
            assert_eq!(sandbox.pid("rds-1").unwrap(), None);
            assert_eq!(place.state("a"), Some(State::Partly));
            assert!(session.query_drop("SELECT 1").await.is_err());
            conn(&sandbox, "rds-2").await.query_drop("SELECT 1").await.unwrap();

            sandbox.start("rds-1").unwrap();
            session = conn(&sandbox, "rds-1").await;
            let rows: Vec<i32> = session.query("SELECT id FROM d.t ORDER BY id").await.unwrap();
            assert_eq!(rows, [1, 2]);
        }
        assert_ne!(sandbox.pid("rds-1").unwrap().unwrap(), before);
        assert_eq!(place.state("a"), Some(State::Running));
        // On one that runs, no more than a look.
        let pid = sandbox.pid("rds-2").unwrap();
        sandbox.start("rds-2").unwrap();
        assert_eq!(sandbox.pid("rds-2").unwrap(), pid);
    }

    async fn a_server_is_added_to_a_running_sandbox(engine) {
        let place = Place::new();
        let mut sandbox = place.home.up(&options("a", engine, 1)).unwrap();
        // What a maker that was killed while adding has left.
        fs::create_dir_all(sandbox.dir().join("rds-2/data/half")).unwrap();
        assert_eq!(sandbox.add_instance().unwrap().as_str(), "rds-2");
        conn(&sandbox, "rds-2").await.query_drop("SELECT 1").await.unwrap();
        let again = place.home.open("a").unwrap();
        assert_eq!(again.instances(), sandbox.instances());
        assert_ne!(again.instances()[0].server_id, again.instances()[1].server_id);
    }

    async fn a_failed_start_shows_the_servers_own_words_and_leaves_nothing(engine) {
        let place = Place::new();
        let bad = Options {
            server_args: vec!["--no-such-setting=1".to_owned()],
            ..options("a", engine, 2)
        };
        let error = place.home.up(&bad).unwrap_err().to_string();
        assert!(error.starts_with("a server did not start"), "{error}");
        assert!(error.contains("no-such-setting"), "{error}");
        assert!(error.contains("nothing was left behind"), "{error}");
        assert_eq!(place.entries(), [""; 0]);
        assert_eq!(place.processes(), [0; 0]);
    }

    async fn a_dropped_guard_removes_the_sandbox_and_a_kept_one_stays(engine) {
        let place = Place::new();
        let shardctl = Path::new(SHARDCTL);
        let guarded = place.home.up_guarded(&options("a", engine, 1), shardctl).unwrap();
        conn(&guarded, "rds-1").await.query_drop("SELECT 1").await.unwrap();
        drop(guarded);
        assert_eq!(place.entries(), [""; 0]);
        assert_eq!(place.processes(), [0; 0]);

        let guarded = place.home.up(&options("b", engine, 1)).unwrap().guarded(shardctl).unwrap();
        let kept = guarded.keep().unwrap();
        assert_eq!(place.state("b"), Some(State::Running));
        assert_eq!(place.processes().len(), 1, "the server and no guard");

        let guarded = kept.guarded(shardctl).unwrap();
        guarded.down().unwrap();
        assert_eq!(place.entries(), [""; 0]);
        assert_eq!(place.processes(), [0; 0]);
    }

    async fn after_kill_9_of_the_owner_no_process_and_no_folder_is_left(engine) {
        let place = Place::new();
        let mut owner = Owner::start(&place, engine);
        owner.wait_for("up");
        assert_eq!(place.state("owned"), Some(State::Running));
        assert_eq!(place.processes().len(), 3, "two servers and the guard");
        owner.kill();
        wait_until("all is removed", || place.entries().is_empty());
        wait_until("all have ended", || place.processes().is_empty());
    }

    async fn an_owner_killed_at_any_moment_of_the_start_leaves_nothing(engine) {
        let place = Place::new();
        for delay_ms in [0, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
            let mut owner = Owner::start(&place, engine);
            wait_until("it has begun", || !place.entries().is_empty());
            std::thread::sleep(Duration::from_millis(delay_ms));
            owner.kill();
            // In the first moment there is no guard yet, nor a server: what is left is shown.
            wait_until("all is removed", || {
                let rest = place.home.list().unwrap();
                match rest.first() {
                    None => place.entries().is_empty(),
                    Some(rest) => {
                        rest.state == State::Broken
                            && place.processes().is_empty()
                            && place.home.down("owned").is_ok()
                    }
                }
            });
            wait_until("all have ended", || place.processes().is_empty());
        }
    }

    async fn what_an_unguarded_up_leaves_when_killed_is_listed_and_removed(engine) {
        let place = Place::new();
        let mut owner = Owner::start_unguarded(&place, engine);
        wait_until("a server starts", || {
            place.dir.path().join("owned/rds-1/error.log").exists()
        });
        assert_eq!(place.state("owned"), Some(State::Busy));
        owner.kill();
        assert_eq!(place.state("owned"), Some(State::Broken));
        assert_eq!(
            place.home.open("owned").unwrap_err().what(),
            "sandbox `owned` is half made"
        );
        place.home.down("owned").unwrap();
        assert_eq!(place.entries(), [""; 0]);
        wait_until("all have ended", || place.processes().is_empty());
    }

    async fn down_needs_no_manifest_and_spares_processes_of_others(engine) {
        let place = Place::new();
        let sandbox = place.home.up(&options("a", engine, 1)).unwrap();
        // It names the data folder, but not as its own.
        let mut other = Command::new("sh")
            .args(["-c", "echo started; read line", "sh"])
            .arg(&sandbox.instances()[0].datadir)
            .arg(format!("x--datadir={}", sandbox.instances()[0].datadir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(other.stdout.take().unwrap()).read_line(&mut said).unwrap();
        // A server of a sandbox beside it whose name starts alike.
        let beside = place.home.up(&options("a-b", engine, 1)).unwrap();

        for manifest in ["{\"form\":1,\"pid\":1", "", "{}"] {
            fs::write(sandbox.dir().join("sandbox.json"), manifest).unwrap();
            assert_eq!(place.state("a"), Some(State::Broken));
        }
        place.home.down("a").unwrap();
        assert!(!sandbox.dir().exists());
        assert_eq!(other.try_wait().unwrap(), None, "the other process was ended");
        assert!(beside.pid("rds-1").unwrap().is_some());
        drop(other.stdin.take());
        other.wait().unwrap();
    }

    async fn a_port_taken_since_is_said_and_given_back_is_used_again(engine) {
        let place = Place::new();
        let tcp = Options { tcp: true, ..options("a", engine, 1) };
        let sandbox = place.home.up(&tcp).unwrap();
        let port = sandbox.instances()[0].port.unwrap();
        sandbox.kill("rds-1").unwrap();
        let taker = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let error = sandbox.start("rds-1").unwrap_err().to_string();
        assert!(error.contains(&format!("another process has taken port {port}")), "{error}");
        assert_eq!(place.processes(), [0; 0]);
        drop(taker);
        sandbox.start("rds-1").unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    async fn two_that_need_the_same_template_at_once_make_one(engine) {
        let place = Place::new();
        let cache = tempfile::tempdir().unwrap();
        let found = shardctl::sandbox::Installation::find(Some(engine)).unwrap();
        // The private MySQL is in the cache that we leave.
        let root = found.program.ancestors().nth(3).unwrap();
        let up = |name: &str| {
            let mut command = Command::new(SHARDCTL);
            command
                .args(["sandbox", "up", name, "-n", "1", "-e", engine.as_str()])
                .env("SHARDCTL_SANDBOX_DIR", place.dir.path())
                .env("XDG_CACHE_HOME", cache.path())
                .stdout(Stdio::null());
            if root.join("usr/sbin/mysqld").exists() && root != Path::new("/") {
                command.env("SHARDCTL_MYSQL_ROOT", root);
            }
            command.spawn().unwrap()
        };
        for mut child in ["a", "b"].map(up) {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(place.state("a"), Some(State::Running));
        assert_eq!(place.state("b"), Some(State::Running));
        let entries = fs::read_dir(cache.path().join("shardctl/templates")).unwrap();
        let names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let (files, dirs): (Vec<_>, Vec<_>) = names.into_iter().partition(|path| path.is_file());
        assert_eq!((files.len(), dirs.len()), (1, 1), "a lock and a template");
        assert!(!dirs[0].join("auto.cnf").exists(), "each server draws its own UUID");
    }

    async fn the_command_line_tells_the_same(engine) {
        let place = Place::new();
        let run = |args: &[&str]| {
            let output = Command::new(SHARDCTL)
                .args(args)
                .env("SHARDCTL_SANDBOX_DIR", place.dir.path())
                .output()
                .unwrap();
            let out = String::from_utf8(output.stdout).unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            (output.status.code(), out, err)
        };
        let engine = engine.as_str();
        let (code, out, err) = run(&["sandbox", "up", "t", "-n", "1", "-e", engine, "-o", "json"]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["sandboxes"][0]["state"], "running");
        assert_eq!(json["sandboxes"][0]["instances"][0]["name"], "rds-1");

        let (code, out, _) = run(&["sandbox", "list"]);
        assert_eq!(code, Some(0));
        assert!(out.contains("rds-1.sock"), "{out}");
        let (code, _, err) = run(&["sandbox", "up", "t"]);
        assert_eq!(code, Some(2));
        assert!(err.contains("there is a sandbox `t` already"), "{err}");
        for (stop, start) in [
            (&["sandbox", "stop", "rds-1", "t"][..], &["sandbox", "start", "rds-1", "t"][..]),
            (&["sandbox", "stop", "rds-1", "t", "--kill"], &["sandbox", "start", "rds-1", "t"]),
        ] {
            let (code, out, err) = run(&[stop, &["-o", "json"]].concat());
            assert_eq!(code, Some(0), "{err}");
            let json: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(json["sandboxes"][0]["instances"][0]["pid"], serde_json::Value::Null);
            let (code, out, err) = run(&[start, &["-o", "json"]].concat());
            assert_eq!(code, Some(0), "{err}");
            let json: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert!(json["sandboxes"][0]["instances"][0]["pid"].is_number(), "{out}");
        }
        let (code, out, _) = run(&["sandbox", "down", "t"]);
        assert_eq!((code, out.as_str()), (Some(0), "no sandbox\n"));
        let (code, _, err) = run(&["sandbox", "down", "t"]);
        assert_eq!(code, Some(2));
        assert!(err.contains("there is no sandbox `t`"), "{err}");
        assert_eq!(place.entries(), [""; 0]);
    }
}

/// This test binary once more, as the owner of a sandbox, to be killed.
struct Owner {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Owner {
    fn start(place: &Place, engine: Engine) -> Self {
        Self::start_as(place, engine, "guarded")
    }

    fn start_unguarded(place: &Place, engine: Engine) -> Self {
        Self::start_as(place, engine, "unguarded")
    }

    fn start_as(place: &Place, engine: Engine, how: &str) -> Self {
        // Otherwise the owner could be killed while it makes the template.
        static TEMPLATES: [OnceLock<()>; 2] = [OnceLock::new(), OnceLock::new()];
        TEMPLATES[usize::from(engine == Engine::Mysql)].get_or_init(|| {
            place
                .home
                .up(&options("first", engine, 1))
                .unwrap()
                .down()
                .unwrap();
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "owner", "--nocapture"])
            .env("SHARDCTL_TEST_OWNER", how)
            .env("SHARDCTL_TEST_ENGINE", engine.as_str())
            .env("SHARDCTL_TEST_BASE", place.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            // The test runner writes on the same line.
            if line.trim_end().ends_with(word) {
                return;
            }
            line.clear();
        }
        panic!("the owner ended without saying {word:?}");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Not a test but what [`Owner`] runs: does nothing unless the environment asks.
#[test]
fn owner() {
    let Ok(how) = std::env::var("SHARDCTL_TEST_OWNER") else {
        return;
    };
    let engine = std::env::var("SHARDCTL_TEST_ENGINE")
        .unwrap()
        .parse()
        .unwrap();
    let base = PathBuf::from(std::env::var_os("SHARDCTL_TEST_BASE").unwrap());
    let home = Home::at(&base).unwrap();
    let options = options("owned", engine, 2);
    if how == "unguarded" {
        home.up(&options).unwrap();
    } else {
        let _guarded = home.up_guarded(&options, Path::new(SHARDCTL)).unwrap();
        println!("up");
        std::io::stdout().flush().unwrap();
        // Until killed.
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

#[test]
fn a_folder_that_others_may_enter_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = Home::at(dir.path()).unwrap_err();
    assert_eq!(error.what(), "the folder for sandboxes is not safe");
}

#[test]
fn a_path_too_long_for_sockets_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    // Too long with any name, and with this one.
    let hopeless = dir.path().join("x".repeat(90));
    let error = Home::at(&hopeless).unwrap_err();
    assert_eq!(
        error.what(),
        "the path of the sandbox's sockets is too long"
    );
    assert!(!hopeless.exists());

    let base = dir.path().join("x".repeat(60));
    let home = Home::at(&base).unwrap();
    let name = "n".repeat(32);
    for engine in Engine::ALL
        .into_iter()
        .filter(|engine| support::is_installed(*engine))
    {
        let error = home.up(&options(&name, engine, 1)).unwrap_err();
        assert_eq!(
            error.what(),
            "the path of the sandbox's sockets is too long"
        );
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
    }
}

#[test]
fn a_program_that_is_no_guard_is_noticed() {
    let place = Place::new();
    for engine in Engine::ALL
        .into_iter()
        .filter(|engine| support::is_installed(*engine))
    {
        let answer = place
            .home
            .up_guarded(&options("a", engine, 1), Path::new("/bin/true"));
        assert_eq!(
            answer.unwrap_err().what(),
            "could not start the sandbox's guard"
        );
        assert_eq!(place.entries(), [""; 0]);
    }
}
