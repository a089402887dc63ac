//! A sandbox that is started when somebody needs a server, and ends when nobody has for a while.
//!
//! Who uses it holds a shared lock on a file beside its folder, and leaves the time there when it
//! goes. A keeper, a process of this program, looks whether that time is long ago; then it takes
//! the lock for itself, so that nobody can begin to use the sandbox, and removes it. A keeper that
//! was killed is replaced by whoever uses the sandbox next.

use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::folder::{self, Lock, Manifest};
use super::{Home, Installation, LOCK_PATIENCE, Options, Sandbox};
use crate::error::{Error, Result};

/// How often a sandbox is opened or made before we give up: others make and remove it meanwhile.
const ATTEMPTS: u32 = 5;

/// A sandbox that is not removed as long as this value lives.
#[derive(Debug)]
pub struct InUse {
    sandbox: Sandbox,
    /// Shared lock and time of the last use.
    used: File,
}

impl Deref for InUse {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // If the time cannot be written, the sandbox ends early: it is made again when needed.
        let _ = self.used.set_modified(SystemTime::now());
    }
}

impl Home {
    /// The sandbox of this name, made now if it is not there or cannot be used, to be removed when
    /// nobody has used it for `idle`. `exe` is the shardctl program.
    ///
    /// # Errors
    /// No server is installed, or it does not start.
    pub fn warm(&self, options: &Options, idle: Duration, exe: &Path) -> Result<InUse> {
        folder::check_name(&options.name)?;
        let used = open(&beside(&self.base, &options.name, "used"))?;
        used.lock_shared()
            .and_then(|()| used.set_modified(SystemTime::now()))
            .map_err(|cause| folder::io_error("could not lock", &self.base, cause))?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.open_or_make(options) {
                Ok(sandbox) => {
                    keep(&self.base, sandbox.dir(), &options.name, idle, exe)?;
                    return Ok(InUse { sandbox, used });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::server("the scratch server did not start")))
    }

    fn open_or_make(&self, options: &Options) -> Result<Sandbox> {
        if !self.dir(&options.name).exists() {
            return self.up(options);
        }
        // Another process may be making it.
        drop(Lock::take(&self.base, &options.name, LOCK_PATIENCE)?);
        let usable = self.open(&options.name).and_then(|sandbox| {
            let installed = Installation::find(options.engine)?;
            let whole = sandbox.version() == installed.version;
            let mut running = true;
            for instance in sandbox.instances() {
                running &= sandbox.pid(instance.name.as_str())?.is_some();
            }
            Ok((whole && running).then_some(sandbox))
        });
        if let Ok(Some(sandbox)) = usable {
            return Ok(sandbox);
        }
        // Left by a restart of the machine, an upgrade or a killed start. Its data is nobody's.
        let lock = Lock::take(&self.base, &options.name, LOCK_PATIENCE)?;
        let unusable = match self.open(&options.name) {
            Ok(sandbox) => {
                let mut stopped = false;
                for instance in sandbox.instances() {
                    stopped |= sandbox.pid(instance.name.as_str())?.is_none();
                }
                stopped || sandbox.version() != Installation::find(options.engine)?.version
            }
            Err(_) => {
                Manifest::read(&self.dir(&options.name)).map_or(true, |manifest| !manifest.complete)
            }
        };
        if unusable {
            self.wipe(&options.name, &lock)?;
        }
        drop(lock);
        self.up(options)
    }
}

fn beside(base: &Path, name: &str, what: &str) -> PathBuf {
    base.join(format!(".{name}.{what}"))
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|cause| folder::io_error("could not open", path, cause))
}

/// Sees to it that there is a keeper.
fn keep(base: &Path, dir: &Path, name: &str, idle: Duration, exe: &Path) -> Result<()> {
    let post = open(&beside(base, name, "keeper"))?;
    match post.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(cause)) => {
            return Err(folder::io_error("could not lock", base, cause));
        }
        // The keeper takes it for itself.
        Ok(()) => drop(post),
    }
    Command::new(exe)
        .args(["sandbox", "keeper"])
        .arg(dir)
        .arg(idle.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is not for it.
        .process_group(0)
        .current_dir("/")
        .spawn()
        .map(drop)
        .map_err(|cause| {
            Error::server("could not start the scratch server's keeper")
                .at(exe.display().to_string())
                .cause(cause)
        })
}

/// The keeper itself, what `shardctl sandbox keeper DIR SECONDS` runs: removes the sandbox of this
/// folder when nobody has used it for so long, or ends when it is gone.
///
/// # Errors
/// The folder is no sandbox's, or something cannot be removed.
pub fn keeper(dir: &Path, idle: Duration) -> Result<()> {
    let (Some(base), Some(name)) = (dir.parent(), dir.file_name().and_then(|n| n.to_str())) else {
        return Err(Error::usage("this is no sandbox's folder").at(dir.display().to_string()));
    };
    let home = Home::at(base)?;
    let post = open(&beside(base, name, "keeper"))?;
    if post.try_lock().is_err() {
        return Ok(());
    }
    let used = beside(base, name, "used");
    let left = || {
        let since = std::fs::metadata(&used)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok())
            .unwrap_or_default();
        idle.saturating_sub(since)
    };
    loop {
        // Not too long at once, for `sandbox down` may have removed it.
        std::thread::sleep(left().clamp(Duration::from_millis(200), Duration::from_secs(5)));
        if !dir.exists() {
            return Ok(());
        }
        if !left().is_zero() {
            continue;
        }
        let file = open(&used)?;
        // Somebody uses it where it cannot be had; the time may have changed just before.
        if file.try_lock().is_ok() && left().is_zero() {
            return home.down(name);
        }
    }
}
