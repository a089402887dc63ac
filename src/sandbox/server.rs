//! One server process: its arguments, its start, its end.
//!
//! Processes are known by their `--datadir=` argument, which names a folder of ours, and never by
//! a recorded process id: after a crash or a reboot that id may be anybody's.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid};
use secrecy::{ExposeSecret, SecretString};

use super::engine::{Engine, Installation};
use super::folder::{Manifest, io_error, remove_file, write_private};
use super::{Durability, Instance};
use crate::error::{Error, Result};

/// How long a server may take to answer. Seconds are usual; crash recovery on a busy machine is
/// what it is for.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Lines of the error log that a failed start shows.
const LOG_LINES: usize = 15;

/// Redo log of each server in MiB: enough for a bulk load, little enough for many servers.
const REDO_MB: u32 = 96;

/// A server process that was found alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    /// When it was started, in clock ticks since boot: with the pid, this names one process.
    ticks: u64,
    pub datadir: PathBuf,
}

/// The servers of ours whose data folder lies in this folder.
pub(super) fn processes_in(dir: &Path) -> Result<Vec<Process>> {
    let proc = Path::new("/proc");
    let entries = fs::read_dir(proc).map_err(|cause| io_error("could not read", proc, cause))?;
    let me = geteuid().as_raw();
    Ok(entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            if entry.metadata().ok()?.uid() != me {
                return None;
            }
            // Empty for a process that has ended and waits to be collected.
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let datadir = line
                .split(|byte| *byte == 0)
                .find_map(|arg| arg.strip_prefix(b"--datadir="))
                .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))?;
            if !datadir.starts_with(dir) {
                return None;
            }
            let ticks = started(pid)?;
            Some(Process {
                pid,
                ticks,
                datadir,
            })
        })
        .collect())
}

/// The start of a living process in clock ticks since boot; fields of proc_pid_stat(5).
///
/// A killed server is a zombie as soon as its first thread has ended, while others still hold its
/// files and its port: it has ended when no thread is left.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The state is field 3, the number of threads field 20, the start field 22.
    let (state, threads, ticks) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    let threads: u32 = threads.parse().ok()?;
    if matches!(*state, "Z" | "X") && threads <= 1 {
        return None;
    }
    ticks.parse().ok()
}

impl Process {
    /// Whether it is still this process, with its files and sockets.
    fn lives(&self) -> bool {
        let pid = Pid::from_raw(self.pid);
        if started(self.pid) == Some(self.ticks) {
            return true;
        }
        // Where it was a child of ours, collect it.
        let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        false
    }

    fn signal(&self, signal: Signal) {
        if self.lives() {
            // It may end between the look and the signal; then there is nothing to do.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.lives() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Ends it at once, as a crash would.
    pub(super) fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        if self.wait(Duration::from_secs(30)) {
            return Ok(());
        }
        Err(Error::unknown("a server does not end")
            .at(format!("process {}", self.pid))
            .cause("it was killed and is still there after 30 seconds")
            .next("see what it waits for (ps, dmesg), then try again"))
    }

    /// Lets it shut down, and ends it where that takes too long.
    pub(super) fn stop(&self, patience: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM);
        if self.wait(patience) {
            return Ok(());
        }
        self.kill()
    }
}

/// Ends every server in this folder at once, also those that start while we look.
pub(super) fn kill_all(dir: &Path) -> Result<()> {
    loop {
        let found = processes_in(dir)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            process.signal(Signal::SIGKILL);
        }
        for process in &found {
            process.kill()?;
        }
    }
}

/// What a start has failed of.
pub(super) enum StartFailure {
    /// The port was free when it was chosen and is no longer.
    PortTaken,
    /// Anything else.
    Other(Error),
}

impl From<Error> for StartFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The folder of an instance's own files, in the sandbox's folder.
pub(super) fn instance_dir(dir: &Path, instance: &Instance) -> PathBuf {
    dir.join(instance.name.as_str())
}

/// Starts a server and waits until it greets. With `password`, this is its first start, which
/// sets the login up.
pub(super) fn start(
    installation: &Installation,
    dir: &Path,
    manifest: &Manifest,
    instance: &Instance,
    password: Option<&SecretString>,
) -> Result<(), StartFailure> {
    let own = instance_dir(dir, instance);
    let log = own.join("error.log");
    let init = own.join("init.sql");
    let place = format!("instance {}", instance.name);
    let failed = |cause: std::io::Error| {
        Error::server("could not start a server")
            .at(place.clone())
            .cause(cause)
    };

    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(failed)?;
    let log_start = out.seek(SeekFrom::End(0)).map_err(failed)?;

    // A killed server leaves them, and MySQL does not start where the process id in the lock file
    // is somebody's by now. The caller has seen that no server of ours runs on this folder.
    remove_file(&instance.socket)?;
    remove_file(&instance.socket.with_extension("sock.lock"))?;

    let mut command = installation.command()?;
    command.args(arguments(installation, dir, manifest, instance));
    if let Some(password) = password {
        let sql = init_sql(installation.engine, manifest.tcp, password);
        // Read by the server before it lets anybody in; mode 0600, and gone afterwards.
        write_private(&init, sql.as_bytes())?;
        let mut option = OsString::from("--init-file=");
        option.push(&init);
        command.arg(option);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out)
        // Ctrl-C in the terminal is for the tool, which then ends its servers in order.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let answer = wait_ready(&mut child, &instance.socket);
    if password.is_some() {
        remove_file(&init)?;
    }
    let Err(cause) = answer else {
        return Ok(());
    };
    // Still there where it did not answer in time.
    let _ = child.kill();
    let _ = child.wait();
    let mut tail = log_tail(&log, log_start);
    if tail.contains("Address already in use") {
        return Err(StartFailure::PortTaken);
    }
    if let Some(password) = password {
        tail = tail.replace(password.expose_secret(), "***");
    }
    Err(StartFailure::Other(
        Error::server("a server did not start")
            .at(format!("{place} ({installation})"))
            .cause(format!("{cause}; its log ends with\n{tail}")),
    ))
}

/// Waits for the greeting. The servers listen early and greet once the init file is done.
fn wait_ready(child: &mut Child, socket: &Path) -> Result<(), String> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Err(cause) => return Err(format!("it cannot be waited for: {cause}")),
        }
        if greets(socket) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "it did not answer within {} seconds",
                START_PATIENCE.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a server answers with a greeting: a packet of the classic protocol, number 0, that
/// starts with protocol version 10. An error packet there starts with 0xff.
pub(super) fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let mut head = [0; 5];
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head[3] == 0
        && head[4] == 10
}

fn log_tail(log: &Path, from: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        // What cannot be read is not shown; the path is in the folder for who wants to look.
        let _ = file.seek(SeekFrom::Start(from));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Settings that a data folder is made with and that do not change afterwards.
pub(super) fn data_args(engine: Engine) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    if geteuid().is_root() {
        // The servers refuse to run as root unless told so.
        args.push("--user=root".into());
    }
    if engine == Engine::Mysql {
        args.push("--secure-file-priv=NULL".into());
    }
    args
}

fn arguments(
    installation: &Installation,
    dir: &Path,
    manifest: &Manifest,
    instance: &Instance,
) -> Vec<OsString> {
    let path = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    // It must come first.
    let mut args: Vec<OsString> = vec!["--no-defaults".into()];
    args.extend(installation.place_args());
    args.extend(data_args(installation.engine));
    args.push(path("--datadir=", &instance.datadir));
    args.push(path("--socket=", &instance.socket));
    // Temporary files of its own, so that a killed server leaves none elsewhere.
    args.push(path("--tmpdir=", &instance_dir(dir, instance).join("tmp")));
    args.push(path(
        "--pid-file=",
        &instance_dir(dir, instance).join("pid"),
    ));
    let mut texts = vec![
        format!("--server-id={}", instance.server_id),
        "--log-bin=binlog".to_owned(),
        "--binlog-row-image=FULL".to_owned(),
        "--local-infile=ON".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--default-time-zone=+00:00".to_owned(),
        "--character-set-server=utf8mb4".to_owned(),
        "--max-connections=500".to_owned(),
        "--max-allowed-packet=64M".to_owned(),
        format!("--innodb-buffer-pool-size={}M", manifest.buffer_pool_mb),
    ];
    match installation.engine {
        Engine::Mysql => {
            texts.push("--mysqlx=OFF".to_owned());
            // Loose: older than MySQL 8.0.30 has no such setting.
            texts.push(format!("--loose-innodb-redo-log-capacity={REDO_MB}M"));
        }
        Engine::Mariadb => {
            // Its default is MIXED. MySQL's is ROW, and naming it is deprecated there.
            texts.push("--binlog-format=ROW".to_owned());
            texts.push(format!("--innodb-log-file-size={REDO_MB}M"));
        }
    }
    let (flush, sync) = match manifest.durability {
        Durability::Fast => (2, 0),
        Durability::Safe => (1, 1),
    };
    texts.push(format!("--innodb-flush-log-at-trx-commit={flush}"));
    texts.push(format!("--sync-binlog={sync}"));
    match instance.port {
        Some(port) => {
            texts.push("--bind-address=127.0.0.1".to_owned());
            texts.push(format!("--port={port}"));
        }
        None => texts.push("--skip-networking".to_owned()),
    }
    args.extend(texts.into_iter().map(OsString::from));
    args.extend(manifest.server_args.iter().map(OsString::from));
    args
}

/// The first statements of a server: nobody but root with the password gets in.
///
/// Not written to the log, so that each instance's log starts with the user's own work. One
/// statement a line, as the servers want it.
fn init_sql(engine: Engine, tcp: bool, password: &SecretString) -> String {
    // Letters and digits only, see `random_password`.
    let password = password.expose_secret();
    let mut sql = String::from("SET sql_log_bin=0;\n");
    if engine == Engine::Mariadb {
        // The install script makes roots of several hosts, and anonymous users, without password.
        sql.push_str(
            "DELETE FROM mysql.global_priv WHERE User NOT IN ('mariadb.sys') \
             AND NOT (User='root' AND Host='localhost');\nFLUSH PRIVILEGES;\n",
        );
    }
    sql.push_str(&format!(
        "ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
    ));
    if tcp {
        // Without name lookup, loopback is not localhost.
        sql.push_str(&format!(
            "CREATE USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        ));
    }
    sql
}
