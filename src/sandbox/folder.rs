//! The folders of sandboxes: where they are, who may enter, who holds one, what is in one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::{Durability, Instance};
use crate::error::{Error, Result};

/// Longest name of a sandbox in characters. Short, for the paths of the sockets.
const NAME_CHARS_MAX: usize = 32;

/// Longest path of a unix socket in bytes: `sun_path` of unix(7) less its final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The manifest in a sandbox's folder.
const MANIFEST: &str = "sandbox.json";

/// What the folder of a sandbox says about it. Process ids are not in it: a recorded one may long
/// belong to another process, so they are looked up by the data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Version of this file's form.
    pub form: u32,
    pub name: String,
    pub engine: Engine,
    /// The exact version of the server program.
    pub version: String,
    /// Set once all instances have started; before that, the sandbox is half made.
    pub complete: bool,
    pub tcp: bool,
    pub durability: Durability,
    pub buffer_pool_mb: u32,
    pub server_args: Vec<String>,
    pub instances: Vec<Instance>,
}

/// The form of [`Manifest`] that is written and read.
pub(super) const FORM: u32 = 1;

impl Manifest {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let broken = |cause: String| {
            Error::unknown("the sandbox is not whole")
                .at(path.display().to_string())
                .cause(cause)
                .next("remove it with `shardctl sandbox down`")
        };
        let text = fs::read_to_string(&path).map_err(|cause| broken(cause.to_string()))?;
        let manifest: Self =
            serde_json::from_str(&text).map_err(|cause| broken(cause.to_string()))?;
        if manifest.form != FORM {
            return Err(broken(format!(
                "it was written in form {} by another version of shardctl",
                manifest.form
            )));
        }
        Ok(manifest)
    }

    /// Written under another name and renamed: a reader sees the old or the new one, whole.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let text = serde_json::to_string_pretty(self)
            .map_err(|cause| io_error("could not write", &path, cause))?;
        write_private(&path, text.as_bytes())
    }

    /// Without it the folder counts as broken, which is what a folder is while it is removed.
    pub(super) fn remove(dir: &Path) -> Result<()> {
        remove_file(&dir.join(MANIFEST))
    }
}

/// Writes a file that nobody else can read, at once or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |cause| io_error("could not write", path, cause);
    let folder = path.parent().unwrap_or(Path::new("."));
    // Its files have mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(io_error("could not remove", path, cause))
        }
        _ => Ok(()),
    }
}

pub(super) fn io_error(what: &str, path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::usage(what)
        .at(path.display().to_string())
        .cause(cause)
}

/// The folder that sandboxes are kept in when nothing else is said.
///
/// Not `$XDG_RUNTIME_DIR`, though it is short and private: it is a memory file system of a tenth
/// of the memory, made for sockets, and a sandbox holds data.
pub(super) fn default_base() -> PathBuf {
    match std::env::var_os("SHARDCTL_SANDBOX_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(format!("/tmp/shardctl-{}", geteuid())),
    }
}

/// Makes the folder if it is missing, and refuses one that others could reach into.
pub(super) fn private_dir(dir: &Path) -> Result<()> {
    let failed = |cause| io_error("could not make the folder", dir, cause);
    match DirBuilder::new().recursive(false).mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
        Err(cause) => return Err(failed(cause)),
    }
    // Not following a link: in a folder that all may write to, another user can lay one.
    let meta = fs::symlink_metadata(dir).map_err(failed)?;
    let refused = |cause: String| {
        Error::usage("the folder for sandboxes is not safe")
            .at(dir.display().to_string())
            .cause(cause)
            .next("remove it, or name another with SHARDCTL_SANDBOX_DIR")
    };
    if !meta.is_dir() {
        return Err(refused("it is not a folder".to_owned()));
    }
    if meta.uid() != geteuid().as_raw() {
        return Err(refused(format!("it belongs to user id {}", meta.uid())));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refused(format!(
            "others may enter it: its mode is {mode:04o}, not 0700"
        )));
    }
    Ok(())
}

/// Checks a sandbox's name: it becomes a folder.
pub(super) fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts_well && name.len() <= NAME_CHARS_MAX && name.chars().all(good) {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{name}` cannot be the name of a sandbox")).next(format!(
            "use a-z, 0-9, - and _, at most {NAME_CHARS_MAX} characters, first a letter or digit"
        )),
    )
}

/// Checks that the path of a socket is one the system takes.
pub(super) fn check_socket(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    Err(
        Error::usage("the path of the sandbox's sockets is too long")
            .at(path.display().to_string())
            .cause(format!(
                "{bytes} bytes, and a unix socket's path has at most {SOCKET_PATH_BYTES_MAX}"
            ))
            .next("name a shorter folder with SHARDCTL_SANDBOX_DIR"),
    )
}

/// One process at a time changes a sandbox: it holds this. Ends with the process, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    fn path(base: &Path, name: &str) -> PathBuf {
        // A name cannot start with a dot, so that this is never a sandbox's folder.
        base.join(format!(".{name}.lock"))
    }

    /// Takes the lock, or says nothing where another process has it.
    pub(super) fn try_take(base: &Path, name: &str) -> Result<Option<Self>> {
        let path = Self::path(base, name);
        let failed = |cause: std::io::Error| io_error("could not lock the sandbox", &path, cause);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(cause)) => return Err(failed(cause)),
            }
            // The holder before us may have removed the file after we opened it: then our lock is
            // on a file nobody else will ever see.
            let ours = file.metadata().map_err(failed)?;
            match fs::metadata(&path) {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {
                    return Ok(Some(Self { file, path }));
                }
                _ => {}
            }
        }
    }

    /// Takes the lock, waiting for another holder to end.
    ///
    /// # Errors
    /// It is still held after the deadline.
    pub(super) fn take(base: &Path, name: &str, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = Self::try_take(base, name)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Error::stopped(format!("sandbox `{name}` is in use"))
                    .cause("another shardctl starts, changes or removes it")
                    .next("try again when that has ended"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while held, see the check in `try_take`. A file left behind does no harm.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The names of the sandboxes in this folder, whole or not.
pub(super) fn names(base: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(io_error("could not read the folder", base, cause)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_dir = entry.file_type().ok()?.is_dir();
            (is_dir && check_name(&name).is_ok()).then_some(name)
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Removes a folder whose servers have ended. Their last file may appear while we are at it, so a
/// folder that has become non-empty again is gone over once more.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    let mut last = None;
    for _ in 0..5 {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(cause) if cause.kind() == ErrorKind::NotFound && !dir.exists() => return Ok(()),
            Err(cause) => last = Some(cause),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    match last {
        Some(cause) => Err(io_error("could not remove the folder", dir, cause)),
        None => Ok(()),
    }
}

/// Copies a folder with all that is in it. The bytes are shared where the file system can do so.
pub(super) fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: std::io::Error| io_error("could not copy the template", &path, cause)
    };
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed(&source))?.is_dir() {
            copy_dir(&source, &target)?;
        } else {
            // std's copy asks the kernel for a reflink first.
            fs::copy(&source, &target).map_err(failed(&source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["default", "a", "t-1_x", "0"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            ".x",
            "-x",
            "A",
            "ä",
            "a b",
            &"x".repeat(33),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_others_can_reach_into_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        private_dir(&own).unwrap();
        private_dir(&own).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);

        fs::set_permissions(&own, fs::Permissions::from_mode(0o750)).unwrap();
        insta::with_settings!({filters => vec![(r"where:.*", "where: ...")]}, {
            insta::assert_snapshot!(private_dir(&own).unwrap_err(), @r"
            the folder for sandboxes is not safe
              where: ...
              cause:  others may enter it: its mode is 0750, not 0700
              next:   remove it, or name another with SHARDCTL_SANDBOX_DIR
            ");
        });

        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("link");
        symlink(&own, &link).unwrap();
        assert!(private_dir(&link).is_err());
    }

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::try_take(dir.path(), "a").unwrap().unwrap();
        assert!(Lock::try_take(dir.path(), "a").unwrap().is_none());
        assert!(Lock::try_take(dir.path(), "b").unwrap().is_some());
        let error = Lock::take(dir.path(), "a", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.what(), "sandbox `a` is in use");
        drop(first);
        drop(Lock::try_take(dir.path(), "a").unwrap().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn many_takers_never_hold_a_lock_together() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..15 {
                        let patience = Duration::from_secs(60);
                        let lock = Lock::take(dir.path(), "a", patience).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
