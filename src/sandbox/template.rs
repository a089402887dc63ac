//! Initialised data folders, made once for each server version and copied for each instance.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cache_dir;
use super::engine::{Engine, Installation};
use super::folder::{io_error, remove_dir, remove_file};
use super::server::data_args;
use crate::error::{Error, Result};

/// Counts up when the way a template is made changes, so that old ones are not used.
const FORM: u32 = 1;

/// The template of this server, made now if there is none.
///
/// # Errors
/// The cache cannot be written, or the server cannot make a data folder.
pub(super) fn template(installation: &Installation) -> Result<PathBuf> {
    let folder = cache_dir()?.join("templates");
    let key = key(installation);
    let done = folder.join(&key);
    if done.is_dir() {
        return Ok(done);
    }
    let failed = |cause| io_error("could not make a template", &folder, cause);
    // Private: MySQL puts the keys of its certificates into a data folder.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(failed)?;
    // Another process may be making it: then wait, and use what it made. The lock's file stays.
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join(format!("{key}.lock")))
        .map_err(failed)?;
    lock.lock().map_err(failed)?;
    if done.is_dir() {
        return Ok(done);
    }
    // Made under another name, so that the real one is always whole. We hold the lock, so what has
    // the other name is the rest of a process that died.
    let work = folder.join(format!("{key}.part"));
    remove_dir(&work)?;
    DirBuilder::new()
        .mode(0o700)
        .create(&work)
        .map_err(failed)?;
    let data = work.join("data");
    initialise(installation, &data, &work.join("log"))?;
    // The server's UUID: each copy must draw its own.
    remove_file(&data.join("auto.cnf"))?;
    fs::rename(&data, &done).map_err(failed)?;
    remove_dir(&work)?;
    Ok(done)
}

fn key(installation: &Installation) -> String {
    let version: String = installation
        .version
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("{}-{version}-{FORM}", installation.engine.as_str())
}

fn initialise(installation: &Installation, data: &Path, log: &Path) -> Result<()> {
    let mut datadir = OsString::from("--datadir=");
    datadir.push(data);
    let mut command = match installation.engine {
        Engine::Mysql => {
            let mut command = installation.command()?;
            command
                .arg("--no-defaults")
                .args(installation.place_args())
                // The smallest; a start makes it as large as wanted.
                .arg("--loose-innodb-redo-log-capacity=8M")
                .arg("--initialize-insecure");
            command
        }
        Engine::Mariadb => {
            let mut command = Command::new(installation.install_db()?);
            command
                .arg("--no-defaults")
                .arg("--auth-root-authentication-method=normal")
                .arg("--skip-test-db")
                .arg("--skip-name-resolve")
                .arg("--innodb-log-file-size=4M");
            command
        }
    };
    let failed = |cause: String| {
        Error::server(format!("{installation} could not make a data folder"))
            .at(data.display().to_string())
            .cause(cause)
    };
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(|cause| failed(cause.to_string()))?;
    let err = out.try_clone().map_err(|cause| failed(cause.to_string()))?;
    let status = command
        .args(data_args(installation.engine))
        .arg(datadir)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|cause| failed(cause.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    Err(failed(format!("it ended with {status}; it said\n{text}")))
}
