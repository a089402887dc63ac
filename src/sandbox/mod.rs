//! Real local servers from the installed binaries: for the demo, for trials, for the tests.
//!
//! A sandbox is one private folder with some servers in it. What is true of it:
//!
//! - The folder and the one above it have mode 0700 and are ours. `root@localhost` has a random
//!   password, which stands in the option file `client.cnf` (0600) of the folder and nowhere else.
//! - Servers listen on unix sockets in the folder, and where asked on a loopback port.
//! - Data folders are copies of a template, made once for each server version in the cache, so
//!   that servers are ready in seconds.
//! - One process at a time changes a sandbox: it holds a file lock, which ends with it.
//! - Whatever the tool was killed at, `list` shows what is left and `down` removes it: servers are
//!   found by the data folder in their arguments, never by a recorded process id.
//! - With a guard ([`Home::up_guarded`]) nothing is left at all once the owner is gone, also after
//!   `kill -9`.
//! - One that is kept warm ([`Home::warm`]) is removed by its keeper when it has not been used for
//!   a while; nobody loses it while they use it.
//!
//! All functions block: async callers put them into `spawn_blocking`.

mod engine;
mod folder;
mod guard;
mod server;
mod template;
mod warm;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names::InstanceName;
use crate::topology::Endpoint;
pub use engine::{Engine, Installation};
use folder::{Lock, Manifest};
pub use guard::{Guarded, guard};
use server::StartFailure;
pub use warm::{InUse, keeper};

/// The name of a sandbox where none is given.
pub const DEFAULT_NAME: &str = "default";

/// Most instances of one sandbox: more is a slip of the finger.
pub const INSTANCES_MAX: u32 = 64;

/// How long to wait for another shardctl that changes the same sandbox.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may take to shut down before it is ended.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The file with the login, in the sandbox's folder.
const CLIENT_FILE: &str = "client.cnf";

/// The user of the servers.
const USER: &str = "root";

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// For nothing on the disk (`innodb_flush_log_at_trx_commit=2`, `sync_binlog=0`): a killed
    /// server loses nothing, a crashed machine may lose the last second.
    #[default]
    Fast,
    /// For the disk, as the servers do by default (both settings 1).
    Safe,
}

/// What a sandbox is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its name: a-z, 0-9, `-` and `_`.
    pub name: String,
    /// The family of server; the installed one where none is named, see [`Installation::find`].
    pub engine: Option<Engine>,
    /// How many servers, named `rds-1`, `rds-2` and so on.
    pub instances: u32,
    /// Listen on a loopback port as well as on the socket.
    pub tcp: bool,
    /// What a commit waits for.
    pub durability: Durability,
    /// InnoDB buffer pool of each server in MiB.
    pub buffer_pool_mb: u32,
    /// Further arguments of each server, `--gtid-mode=OFF`. They come last, so they win.
    pub server_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: DEFAULT_NAME.to_owned(),
            engine: None,
            instances: 2,
            tcp: false,
            durability: Durability::Fast,
            buffer_pool_mb: 128,
            server_args: Vec::new(),
        }
    }
}

/// One server of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `rds-1`
    pub name: InstanceName,
    /// Its unix socket.
    pub socket: PathBuf,
    /// Its port on 127.0.0.1, where the sandbox has ports.
    pub port: Option<u16>,
    /// Its random, distinct `server_id`.
    pub server_id: u32,
    /// Its data folder.
    pub datadir: PathBuf,
}

impl Instance {
    /// How it is reached: by its port where it has one, else by its socket.
    pub fn endpoint(&self) -> Endpoint {
        match self.port {
            Some(port) => Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
            },
            None => Endpoint::Socket(self.socket.clone()),
        }
    }
}

/// How a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All instances run.
    Running,
    /// Some run.
    Partly,
    /// None runs; the data is there.
    Stopped,
    /// Another process starts, changes or removes it right now.
    Busy,
    /// Left half made or half removed by a process that was killed: only `down` is of use.
    Broken,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Running => "running",
            State::Partly => "partly",
            State::Stopped => "stopped",
            State::Busy => "busy",
            State::Broken => "broken",
        })
    }
}

/// A sandbox as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxInfo {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// The family of server, where the manifest can be read.
    pub engine: Option<Engine>,
    /// The exact version of the servers, likewise.
    pub version: Option<String>,
    /// Its folder.
    pub dir: PathBuf,
    /// The option file with the login, to be given as `--defaults-file`.
    pub client_file: PathBuf,
    /// Its servers.
    pub instances: Vec<InstanceInfo>,
}

/// A server as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceInfo {
    /// What it was made as.
    #[serde(flatten)]
    pub instance: Instance,
    /// Its process, where it runs.
    pub pid: Option<i32>,
}

/// The folder where shardctl keeps what can be made again: `$XDG_CACHE_HOME/shardctl`, else
/// `~/.cache/shardctl`.
fn cache_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map(|cache| cache.join("shardctl"))
        .ok_or_else(|| Error::usage("there is no cache folder").next("set HOME or XDG_CACHE_HOME"))
}

/// The folder that holds the sandboxes of one user, one folder each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    base: PathBuf,
}

impl Home {
    /// The folder of `SHARDCTL_SANDBOX_DIR`, else `/tmp/shardctl-UID`; made if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or others could reach into it.
    pub fn from_env() -> Result<Self> {
        Self::at(&folder::default_base())
    }

    /// This folder; made if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or others could reach into it.
    pub fn at(base: &Path) -> Result<Self> {
        // Before anything is made: no sandbox could be in it.
        folder::check_socket(&base.join("a").join("rds-1.sock"))?;
        folder::private_dir(base)?;
        // Servers are known by their path, which must be the same from every working directory.
        let base = fs::canonicalize(base)
            .map_err(|cause| folder::io_error("could not read the folder", base, cause))?;
        Ok(Self { base })
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Makes a sandbox and starts its servers, all at once. If one does not start, nothing is left.
    ///
    /// # Errors
    /// No server is installed, the name is taken, or a server does not start: its log's last lines
    /// are in the error.
    pub fn up(&self, options: &Options) -> Result<Sandbox> {
        let (mut sandbox, lock) = self.create(options)?;
        sandbox.launch(&lock)?;
        Ok(sandbox)
    }

    /// As [`Home::up`], with a guard that removes the sandbox when this process is gone, however
    /// it died. `exe` is the shardctl program: the guard is a process of it.
    ///
    /// # Errors
    /// As [`Home::up`]; or the guard does not start.
    pub fn up_guarded(&self, options: &Options, exe: &Path) -> Result<Guarded> {
        let (mut sandbox, lock) = self.create(options)?;
        // Before the servers: we can be killed while they start.
        let guarding = match guard::start(exe, &sandbox.dir) {
            Ok(guarding) => guarding,
            Err(error) => return Err(sandbox.give_up(&lock, error)),
        };
        let launched = sandbox.launch(&lock);
        // Before the guard may be dropped, which waits for it, and it for the lock.
        drop(lock);
        launched?;
        Ok(Guarded::new(sandbox, guarding))
    }

    /// The folder, the login and the manifest of a new sandbox, without servers.
    fn create(&self, options: &Options) -> Result<(Sandbox, Lock)> {
        folder::check_name(&options.name)?;
        if !(1..=INSTANCES_MAX).contains(&options.instances) {
            return Err(Error::usage(format!(
                "a sandbox has 1 to {INSTANCES_MAX} instances, not {}",
                options.instances
            )));
        }
        let installation = Installation::find(options.engine)?;
        let dir = self.dir(&options.name);
        let lock = Lock::take(&self.base, &options.name, LOCK_PATIENCE)?;
        if dir.exists() {
            return Err(
                Error::usage(format!("there is a sandbox `{}` already", options.name))
                    .at(dir.display().to_string())
                    .next(
                        "remove it with `shardctl sandbox down`, or give the new one another name",
                    ),
            );
        }
        let mut sandbox = Sandbox {
            base: self.base.clone(),
            dir,
            manifest: Manifest {
                form: folder::FORM,
                name: options.name.clone(),
                engine: installation.engine,
                version: installation.version,
                complete: false,
                tcp: options.tcp,
                durability: options.durability,
                buffer_pool_mb: options.buffer_pool_mb.max(5),
                server_args: options.server_args.clone(),
                instances: Vec::new(),
            },
        };
        for _ in 0..options.instances {
            let instance = sandbox.next_instance()?;
            folder::check_socket(&instance.socket)?;
            sandbox.manifest.instances.push(instance);
        }
        folder::private_dir(&sandbox.dir)?;
        let written = random_password().and_then(|password| {
            sandbox.manifest.write(&sandbox.dir)?;
            let text = format!("[client]\nuser={USER}\npassword={password}\n");
            folder::write_private(&sandbox.client_file(), text.as_bytes())
        });
        match written {
            Ok(()) => Ok((sandbox, lock)),
            Err(error) => Err(sandbox.give_up(&lock, error)),
        }
    }

    /// A sandbox that is there.
    ///
    /// # Errors
    /// There is none of this name, or it is broken.
    pub fn open(&self, name: &str) -> Result<Sandbox> {
        folder::check_name(name)?;
        let dir = self.dir(name);
        if !dir.is_dir() {
            return Err(self.missing(name));
        }
        let manifest = Manifest::read(&dir)?;
        if !manifest.complete {
            return Err(Error::unknown(format!("sandbox `{name}` is half made"))
                .at(dir.display().to_string())
                .cause("its start has not ended, or was killed")
                .next(format!(
                    "wait for it, or remove it with `shardctl sandbox down {name}`"
                )));
        }
        Ok(Sandbox {
            base: self.base.clone(),
            dir,
            manifest,
        })
    }

    fn missing(&self, name: &str) -> Error {
        let error = Error::usage(format!("there is no sandbox `{name}`"))
            .at(self.base.display().to_string());
        let names = folder::names(&self.base).unwrap_or_default();
        if names.is_empty() {
            error.next("make one with `shardctl sandbox up`")
        } else {
            error.next(format!("there is: {}", names.join(", ")))
        }
    }

    /// Ends the servers of a sandbox and removes it with its data, whatever state it is in.
    ///
    /// # Errors
    /// There is none of this name, another process holds it, or something cannot be removed.
    pub fn down(&self, name: &str) -> Result<()> {
        folder::check_name(name)?;
        if !self.dir(name).is_dir() {
            return Err(self.missing(name));
        }
        let lock = Lock::take(&self.base, name, LOCK_PATIENCE)?;
        self.wipe(name, &lock)
    }

    /// The servers are killed, not shut down: what they would write is removed in the next moment.
    fn wipe(&self, name: &str, _held: &Lock) -> Result<()> {
        let dir = self.dir(name);
        if !dir.exists() {
            // Another `down` had the lock before us.
            return Ok(());
        }
        Manifest::remove(&dir)?;
        server::kill_all(&dir)?;
        folder::remove_dir(&dir)?;
        // One that was being started by a killed process may have shown up since.
        server::kill_all(&dir)?;
        folder::remove_dir(&dir)
    }

    /// All sandboxes in this folder by name, also broken ones.
    ///
    /// # Errors
    /// The folder or the processes of the machine cannot be read.
    pub fn list(&self) -> Result<Vec<SandboxInfo>> {
        folder::names(&self.base)?
            .iter()
            .map(|name| self.info(name))
            .collect()
    }

    fn info(&self, name: &str) -> Result<SandboxInfo> {
        let dir = self.dir(name);
        let busy = Lock::try_take(&self.base, name)?.is_none();
        let manifest = Manifest::read(&dir).ok();
        let processes = server::processes_in(&dir)?;
        let instances: Vec<InstanceInfo> = manifest
            .iter()
            .flat_map(|manifest| &manifest.instances)
            .map(|instance| InstanceInfo {
                instance: instance.clone(),
                pid: processes
                    .iter()
                    .find(|process| process.datadir == instance.datadir)
                    .map(|process| process.pid),
            })
            .collect();
        let running = instances.iter().filter(|i| i.pid.is_some()).count();
        let state = match &manifest {
            _ if busy => State::Busy,
            Some(manifest) if manifest.complete => match running {
                0 => State::Stopped,
                n if n == instances.len() => State::Running,
                _ => State::Partly,
            },
            _ => State::Broken,
        };
        Ok(SandboxInfo {
            name: name.to_owned(),
            state,
            engine: manifest.as_ref().map(|manifest| manifest.engine),
            version: manifest.map(|manifest| manifest.version),
            client_file: dir.join(CLIENT_FILE),
            dir,
            instances,
        })
    }
}

/// A sandbox whose servers have been started. Dropping it changes nothing: the servers run on.
#[derive(Debug, Clone)]
pub struct Sandbox {
    base: PathBuf,
    dir: PathBuf,
    manifest: Manifest,
}

impl Sandbox {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The family of its servers.
    pub fn engine(&self) -> Engine {
        self.manifest.engine
    }

    /// The exact version of its servers.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The option file with the login of all its servers.
    pub fn client_file(&self) -> PathBuf {
        self.dir.join(CLIENT_FILE)
    }

    /// Its servers, in the order they were made.
    pub fn instances(&self) -> &[Instance] {
        &self.manifest.instances
    }

    /// One server.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn instance(&self, name: &str) -> Result<&Instance> {
        self.manifest
            .instances
            .iter()
            .find(|instance| instance.name.as_str() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.instances().iter().map(|i| i.name.as_str()).collect();
                Error::usage(format!(
                    "sandbox `{}` has no instance `{name}`",
                    self.name()
                ))
                .next(format!("it has: {}", names.join(", ")))
            })
    }

    /// How each server is reached.
    pub fn endpoints(&self) -> IndexMap<InstanceName, Endpoint> {
        self.instances()
            .iter()
            .map(|instance| (instance.name.clone(), instance.endpoint()))
            .collect()
    }

    /// Starts one more server in the sandbox, `rds-3` after `rds-2`, and gives its name.
    ///
    /// # Errors
    /// The server does not start: the sandbox is as it was before.
    pub fn add_instance(&mut self) -> Result<InstanceName> {
        let lock = self.lock()?;
        // Another process may have added one since.
        self.manifest = Manifest::read(&self.dir)?;
        let instance = self.next_instance()?;
        folder::check_socket(&instance.socket)?;
        let name = instance.name.clone();
        let own = server::instance_dir(&self.dir, &instance);
        // The rest of one that was being added when its maker was killed.
        server::kill_all(&own)?;
        folder::remove_dir(&own)?;
        match self.first_start(&self.installation()?, instance) {
            Ok(instance) => {
                self.manifest.instances.push(instance);
                self.manifest.write(&self.dir)?;
                drop(lock);
                Ok(name)
            }
            Err(error) => match server::kill_all(&own).and_then(|()| folder::remove_dir(&own)) {
                Ok(()) => Err(error.now(format!("sandbox `{}` is as before", self.name()))),
                Err(_) => Err(error.now(format!("its rest is in {}", own.display()))),
            },
        }
    }

    /// Shuts a server down and waits until it has ended. Its data stays. One that does not run is
    /// left alone.
    ///
    /// # Errors
    /// There is no such instance, or its process does not end even when killed.
    pub fn stop(&self, instance: &str) -> Result<()> {
        match self.process(instance)? {
            Some(process) => process.stop(STOP_PATIENCE),
            None => Ok(()),
        }
    }

    /// Kills a server, as a crash would, and waits until it has ended. Its data stays.
    ///
    /// # Errors
    /// There is no such instance, or its process does not end.
    pub fn kill(&self, instance: &str) -> Result<()> {
        match self.process(instance)? {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts a server that was stopped or killed, on the same data, socket and port, and waits
    /// until it answers. One that runs is left alone.
    ///
    /// # Errors
    /// There is no such instance, or it does not start; a port that another process has taken
    /// since is said.
    pub fn start(&self, instance: &str) -> Result<()> {
        let _lock = self.lock()?;
        if self.process(instance)?.is_some() {
            return Ok(());
        }
        let instance = self.instance(instance)?;
        match server::start(
            &self.installation()?,
            &self.dir,
            &self.manifest,
            instance,
            None,
        ) {
            Ok(()) => Ok(()),
            Err(StartFailure::Other(error)) => Err(error),
            Err(StartFailure::PortTaken) => Err(Error::server("a server did not start")
                .at(format!("instance {}", instance.name))
                .cause(format!(
                    "another process has taken port {} since",
                    instance.port.unwrap_or_default()
                ))),
        }
    }

    /// The process of an instance, where it runs.
    ///
    /// # Errors
    /// There is no such instance, or the processes of the machine cannot be read.
    pub fn pid(&self, instance: &str) -> Result<Option<i32>> {
        Ok(self.process(instance)?.map(|process| process.pid))
    }

    fn process(&self, instance: &str) -> Result<Option<server::Process>> {
        let datadir = &self.instance(instance)?.datadir;
        Ok(server::processes_in(datadir)?.pop())
    }

    /// Ends the servers and removes the folder with all data.
    ///
    /// # Errors
    /// Another process holds it, or something cannot be removed.
    pub fn down(self) -> Result<()> {
        self.home().down(&self.manifest.name)
    }

    /// Puts a guard on a sandbox that already runs; see [`Home::up_guarded`].
    ///
    /// # Errors
    /// The guard does not start; the sandbox is as before.
    pub fn guarded(self, exe: &Path) -> Result<Guarded> {
        let guarding = guard::start(exe, &self.dir)?;
        Ok(Guarded::new(self, guarding))
    }

    fn home(&self) -> Home {
        Home {
            base: self.base.clone(),
        }
    }

    fn lock(&self) -> Result<Lock> {
        Lock::take(&self.base, self.name(), LOCK_PATIENCE)
    }

    /// The program the sandbox was made with: data folders do not take another version lightly.
    fn installation(&self) -> Result<Installation> {
        let found = Installation::find(Some(self.manifest.engine))?;
        if found.version != self.manifest.version {
            return Err(Error::usage("the installed server is not the sandbox's")
                .at(format!("sandbox `{}`", self.name()))
                .cause(format!(
                    "it was made with {} {}, and {} is installed now",
                    self.manifest.engine, self.manifest.version, found.version
                ))
                .next("remove the sandbox and make a new one"));
        }
        Ok(found)
    }

    /// The first starts of all instances, at once.
    fn launch(&mut self, lock: &Lock) -> Result<()> {
        match self.start_all() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(lock, error)),
        }
    }

    fn start_all(&mut self) -> Result<()> {
        let installation = self.installation()?;
        // Made before, once, and not by all threads together.
        template::template(&installation)?;
        let this = &*self;
        let answers: Vec<Result<Instance>> = std::thread::scope(|scope| {
            let threads: Vec<_> = this
                .manifest
                .instances
                .iter()
                .map(|instance| scope.spawn(|| this.first_start(&installation, instance.clone())))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        self.manifest.instances = answers.into_iter().collect::<Result<_>>()?;
        self.manifest.complete = true;
        self.manifest.write(&self.dir)
    }

    /// Removes a sandbox that has not come up, and gives the error that says why.
    fn give_up(&self, lock: &Lock, error: Error) -> Error {
        match self.home().wipe(self.name(), lock) {
            Ok(()) => error.now("nothing was left behind"),
            Err(_) => error.now(format!(
                "its rest is in {}; remove it with `shardctl sandbox down {}`",
                self.dir.display(),
                self.name()
            )),
        }
    }

    /// The instance that comes next: its number is one above the highest.
    fn next_instance(&self) -> Result<Instance> {
        let number = |instance: &Instance| -> Option<u32> {
            instance.name.as_str().strip_prefix("rds-")?.parse().ok()
        };
        let taken = &self.manifest.instances;
        let next = taken.iter().filter_map(number).max().unwrap_or(0) + 1;
        let name = InstanceName::new(format!("rds-{next}"))
            .map_err(|cause| Error::usage("no name for an instance").cause(cause))?;
        let server_ids: BTreeSet<u32> = taken.iter().map(|i| i.server_id).collect();
        let server_id = loop {
            let id = u32::from_le_bytes(random()?);
            // 0 means "no replication" to the servers.
            if id != 0 && !server_ids.contains(&id) {
                break id;
            }
        };
        Ok(Instance {
            socket: self.dir.join(format!("{name}.sock")),
            port: None,
            server_id,
            datadir: self.dir.join(name.as_str()).join("data"),
            name,
        })
    }

    /// Makes the instance's folder and starts it for the first time. Gives it with its port.
    fn first_start(&self, installation: &Installation, mut instance: Instance) -> Result<Instance> {
        let template = template::template(installation)?;
        let own = server::instance_dir(&self.dir, &instance);
        folder::private_dir(&own)?;
        folder::private_dir(&own.join("tmp"))?;
        folder::copy_dir(&template, &instance.datadir)?;
        let password = self.password()?;
        // The port can be taken by any process between our choice and the server's bind.
        for _ in 0..10 {
            if self.manifest.tcp {
                instance.port = Some(free_port()?);
            }
            let answer = server::start(
                installation,
                &self.dir,
                &self.manifest,
                &instance,
                Some(&password),
            );
            match answer {
                Ok(()) => return Ok(instance),
                Err(StartFailure::PortTaken) => {}
                Err(StartFailure::Other(error)) => return Err(error),
            }
        }
        Err(Error::server("a server did not start")
            .at(format!("instance {}", instance.name))
            .cause("every port that was free had been taken when the server came to it"))
    }

    /// The password of the servers' `root`.
    ///
    /// # Errors
    /// The option file cannot be read.
    pub fn password(&self) -> Result<SecretString> {
        let path = self.client_file();
        let failed = |cause: String| folder::io_error("could not read the login", &path, cause);
        let text = fs::read_to_string(&path).map_err(|cause| failed(cause.to_string()))?;
        text.lines()
            .find_map(|line| line.strip_prefix("password="))
            .map(|password| SecretString::from(password.to_owned()))
            .ok_or_else(|| failed("it has no password".to_owned()))
    }

    /// The user of the servers, who may do everything.
    pub fn user(&self) -> &'static str {
        USER
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|cause| Error::server("the system gives no random numbers").cause(cause))?;
    Ok(bytes)
}

/// 128 random bits in hexadecimal, which need no quoting in SQL and option files.
fn random_password() -> Result<String> {
    let bytes: [u8; 16] = random()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn free_port() -> Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|cause| Error::server("there is no free port on 127.0.0.1").cause(cause))
}
