//! Which servers are installed, and how they are run.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cache_dir;
use crate::error::{Error, Result};

/// A family of server that a sandbox can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Oracle MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Engine {
    /// Both, in the order in which they are looked for.
    pub const ALL: [Engine; 2] = [Engine::Mysql, Engine::Mariadb];

    /// The name in flags and files: `mysql`, `mariadb`.
    pub fn as_str(self) -> &'static str {
        match self {
            Engine::Mysql => "mysql",
            Engine::Mariadb => "mariadb",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Mysql => "MySQL",
            Engine::Mariadb => "MariaDB",
        })
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no engine; write mysql or mariadb"))
    }
}

/// A server program that was found and has told its version.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The family.
    pub engine: Engine,
    /// The exact version as the program says it, `10.11.14-MariaDB-0+deb12u2`.
    pub version: String,
    /// The server program. An unpacked one is not executed itself but by its own loader.
    pub program: PathBuf,
    /// The folder of an unpacked, not installed MySQL, which runs by its own loader.
    root: Option<PathBuf>,
}

/// Folders that hold servers and are not in every user's `PATH`.
const MORE_FOLDERS: [&str; 4] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/libexec",
];

impl Installation {
    /// Finds the server of this family, or where none is named, the one that is installed.
    ///
    /// MySQL is looked for in `SHARDCTL_MYSQLD`, then as `mysqld` in `PATH` and `/usr/sbin`, then
    /// as the private copy of `scripts/install-mysql.sh` (`SHARDCTL_MYSQL_ROOT`, else
    /// `~/.cache/shardctl/mysql`); MariaDB in `SHARDCTL_MARIADBD`, then as `mariadbd` or `mysqld`.
    /// With no family named: a MySQL of the system, else MariaDB, else the private MySQL, so that
    /// the server an administrator has installed comes before the one fetched for the tests.
    ///
    /// # Errors
    /// There is none, or the one an environment variable names does not run.
    pub fn find(engine: Option<Engine>) -> Result<Self> {
        let found = match engine {
            Some(Engine::Mysql) => match Self::system_mysql()? {
                Some(found) => Some(found),
                None => Self::private_mysql()?,
            },
            Some(Engine::Mariadb) => Self::system_mariadb()?,
            None => match Self::system_mysql()? {
                Some(found) => Some(found),
                None => match Self::system_mariadb()? {
                    Some(found) => Some(found),
                    None => Self::private_mysql()?,
                },
            },
        };
        found.ok_or_else(|| match engine {
            Some(Engine::Mysql) => Error::usage("no MySQL server is installed")
                .cause("no mysqld in PATH or /usr/sbin, and no private copy")
                .next(
                    "run scripts/install-mysql.sh, which leaves the system as it is,\n\
                     or name a mysqld with SHARDCTL_MYSQLD",
                ),
            Some(Engine::Mariadb) => Error::usage("no MariaDB server is installed")
                .cause("no mariadbd in PATH or /usr/sbin")
                .next(
                    "apt-get install mariadb-server-core mariadb-client-core,\n\
                     or name a mariadbd with SHARDCTL_MARIADBD",
                ),
            None => Error::usage("no MySQL or MariaDB server is installed")
                .cause("no mysqld or mariadbd in PATH or /usr/sbin")
                .next(
                    "apt-get install mariadb-server-core mariadb-client-core,\n\
                     or run scripts/install-mysql.sh",
                ),
        })
    }

    fn system_mysql() -> Result<Option<Self>> {
        Self::on_system(Engine::Mysql, "SHARDCTL_MYSQLD", &["mysqld"])
    }

    fn system_mariadb() -> Result<Option<Self>> {
        Self::on_system(
            Engine::Mariadb,
            "SHARDCTL_MARIADBD",
            &["mariadbd", "mysqld"],
        )
    }

    fn on_system(engine: Engine, variable: &str, names: &[&str]) -> Result<Option<Self>> {
        if let Some(named) = std::env::var_os(variable) {
            let installation = Self::asked(PathBuf::from(named), None)
                .map_err(|error| error.at(format!("environment variable {variable}")))?;
            if installation.engine != engine {
                return Err(
                    Error::usage(format!("{variable} names no {engine} server")).cause(format!(
                        "{} says it is {} {}",
                        installation.program.display(),
                        installation.engine,
                        installation.version
                    )),
                );
            }
            return Ok(Some(installation));
        }
        // What does not run, or is the other family under this name (Debian links mysqld to
        // mariadbd), is passed over: a later folder may have the right one.
        Ok(names
            .iter()
            .flat_map(|name| programs(name))
            .filter_map(|program| Self::asked(program, None).ok())
            .find(|installation| installation.engine == engine))
    }

    fn private_mysql() -> Result<Option<Self>> {
        let named = std::env::var_os("SHARDCTL_MYSQL_ROOT");
        let root = match &named {
            Some(root) => PathBuf::from(root),
            None => cache_dir()?.join("mysql"),
        };
        let program = root.join("usr/sbin/mysqld");
        if named.is_none() && !program.is_file() {
            return Ok(None);
        }
        Self::asked(program, Some(root)).map(Some)
    }

    /// Asks the program what it is.
    fn asked(program: PathBuf, root: Option<PathBuf>) -> Result<Self> {
        let mut installation = Self {
            engine: Engine::Mysql,
            version: String::new(),
            program,
            root,
        };
        let failed = |cause: String| {
            Error::usage("could not run the server program")
                .at(installation.program.display().to_string())
                .cause(cause)
        };
        let output = installation
            .command()?
            .arg("--no-defaults")
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| failed(cause.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)`
        let version = text.split_once("Ver ").and_then(|(_, rest)| {
            rest.split_whitespace()
                .next()
                .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        });
        let Some(version) = version.map(str::to_owned) else {
            return Err(failed(format!(
                "it does not tell its version: {}{}",
                text.trim(),
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        };
        if text.contains("MariaDB") {
            installation.engine = Engine::Mariadb;
        }
        installation.version = version;
        Ok(installation)
    }

    /// The command that runs the server, with what its place needs and nothing else.
    ///
    /// An unpacked MySQL brings its own C library, so its own loader must start it.
    pub(super) fn command(&self) -> Result<Command> {
        let Some(root) = &self.root else {
            return Ok(Command::new(&self.program));
        };
        let mut command = Command::new(loader(root)?);
        command
            .arg("--library-path")
            .arg(library_path(root))
            .arg(&self.program);
        Ok(command)
    }

    /// Arguments that tell an unpacked MySQL where its parts are.
    pub(super) fn place_args(&self) -> Vec<OsString> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        let option = |name: &str, path: PathBuf| {
            let mut text = OsString::from(name);
            text.push(path);
            text
        };
        vec![
            option("--basedir=", root.join("usr")),
            option("--lc-messages-dir=", root.join("usr/share/mysql")),
            option("--plugin-dir=", root.join("usr/lib/mysql/plugin")),
        ]
    }

    /// MariaDB's script that fills a new data folder.
    pub(super) fn install_db(&self) -> Result<PathBuf> {
        let names = ["mariadb-install-db", "mysql_install_db"];
        let beside = self.program.parent().map(|folder| {
            [
                folder.to_owned(),
                folder.join("../bin"),
                folder.join("../scripts"),
            ]
        });
        beside
            .into_iter()
            .flatten()
            .flat_map(|folder| names.map(|name| folder.join(name)))
            .chain(names.iter().flat_map(|name| programs(name)))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                Error::usage("mariadb-install-db was not found")
                    .at(self.program.display().to_string())
                    .next("install the whole of mariadb-server-core")
            })
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.engine, self.version)
    }
}

/// The files of this name in `PATH` and in [`MORE_FOLDERS`].
fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .collect();
    let name = name.to_owned();
    folders
        .into_iter()
        .map(move |folder| folder.join(&name))
        .filter(|path| path.is_file())
}

fn loader(root: &Path) -> Result<PathBuf> {
    ["usr/lib64", "usr/lib", "lib64", "lib"]
        .iter()
        .flat_map(|folder| entries(&root.join(folder)))
        .find(|path| {
            let name = path.file_name().map(OsStr::to_string_lossy);
            name.is_some_and(|name| name.starts_with("ld-linux"))
        })
        .ok_or_else(|| {
            Error::usage("the private MySQL has no loader")
                .at(root.display().to_string())
                .next("remove the folder and run scripts/install-mysql.sh again")
        })
}

fn library_path(root: &Path) -> OsString {
    let mut text = OsString::new();
    let folders = ["usr/lib", "lib"]
        .iter()
        .flat_map(|folder| entries(&root.join(folder)))
        .filter(|path| path.to_string_lossy().contains("-linux-gnu") && path.is_dir());
    for folder in folders {
        if !text.is_empty() {
            text.push(":");
        }
        text.push(folder);
    }
    text
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    paths
}
