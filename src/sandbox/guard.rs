//! The guard: a process that outlives the owner of a sandbox for as long as removing it takes.
//!
//! The guard's stdin is a pipe whose other end only the owner holds. The kernel closes that end
//! when the owner is gone, by whatever death, and the guard reads the end of the stream: no signal
//! handler, no polling of process ids. A byte before the end means that the sandbox is to stay.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Home, Sandbox};
use crate::error::{Error, Result};

/// The arguments, before the folder, that make shardctl a guard.
const COMMAND: [&str; 2] = ["sandbox", "guard"];

/// What a guard says once it reads its stdin.
const READY: &[u8] = b"ready\n";

/// The byte that sends the guard home.
const KEEP: u8 = b'k';

/// A sandbox that is removed when this value is dropped, and also when this process dies first.
#[derive(Debug)]
pub struct Guarded {
    sandbox: Sandbox,
    guarding: Guarding,
}

impl Guarded {
    pub(super) fn new(sandbox: Sandbox, guarding: Guarding) -> Self {
        Self { sandbox, guarding }
    }

    /// Ends the servers and removes the folder.
    ///
    /// # Errors
    /// Something cannot be removed; the guard tries once more.
    pub fn down(self) -> Result<()> {
        // The guard finds nothing to do when it is dropped afterwards.
        self.sandbox.clone().down()
    }

    /// Sends the guard home: the sandbox stays when this process ends.
    ///
    /// # Errors
    /// The guard is gone.
    pub fn keep(mut self) -> Result<Sandbox> {
        let told = match self.guarding.child.stdin.as_mut() {
            Some(pipe) => pipe.write_all(&[KEEP]),
            None => Ok(()),
        };
        told.map_err(|cause| {
            Error::unknown("the sandbox's guard is gone")
                .at(self.sandbox.dir().display().to_string())
                .cause(cause)
        })?;
        Ok(self.sandbox.clone())
    }
}

impl Deref for Guarded {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}

/// The owner's side of a guard.
#[derive(Debug)]
pub(super) struct Guarding {
    child: Child,
    /// Held so that the guard's stdout stays a pipe.
    _stdout: ChildStdout,
}

impl Drop for Guarding {
    fn drop(&mut self) {
        // Its end of stream; then wait, so that all is gone when we go on.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Starts the guard of a sandbox's folder.
pub(super) fn start(exe: &Path, dir: &Path) -> Result<Guarding> {
    let failed = |cause: String| {
        Error::server("could not start the sandbox's guard")
            .at(exe.display().to_string())
            .cause(cause)
    };
    let exe = std::fs::canonicalize(exe).map_err(|cause| failed(cause.to_string()))?;
    let mut child = Command::new(&exe)
        .args(COMMAND)
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Whoever reads the owner's stderr would wait for the guard's end.
        .stderr(Stdio::null())
        // Ctrl-C in the terminal ends the owner, and the guard cleans up after it.
        .process_group(0)
        .current_dir("/")
        .spawn()
        .map_err(|cause| failed(cause.to_string()))?;
    // Told once it reads: a program that knows no guard would end here, and nothing would guard.
    let mut said = [0; READY.len()];
    let stdout = child.stdout.take();
    let answer = stdout.map(|mut pipe| pipe.read_exact(&mut said).map(|()| pipe));
    match answer {
        Some(Ok(pipe)) if said == READY => Ok(Guarding {
            child,
            _stdout: pipe,
        }),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            Err(failed("it did not say that it is ready".to_owned()))
        }
    }
}

/// The guard itself, what `shardctl sandbox guard DIR` runs: waits until the owner is gone, then
/// removes the sandbox of this folder.
///
/// # Errors
/// The folder is no sandbox's, or something cannot be removed. Nobody may be there to read it, so
/// it is also written to `guard.log` in the folder.
pub fn guard(dir: &Path) -> Result<()> {
    let (Some(base), Some(name)) = (dir.parent(), dir.file_name().and_then(|n| n.to_str())) else {
        return Err(Error::usage("this is no sandbox's folder").at(dir.display().to_string()));
    };
    let home = Home::at(base)?;
    let mut stdout = std::io::stdout();
    // An owner that died already leaves a pipe nobody reads; the stream below has its end then.
    let _ = stdout.write_all(READY).and_then(|()| stdout.flush());
    let mut said = Vec::new();
    // An unreadable stdin is no owner either.
    let _ = std::io::stdin().read_to_end(&mut said);
    if said.contains(&KEEP) || !dir.exists() {
        return Ok(());
    }
    home.down(name).inspect_err(|error| {
        let _ = std::fs::write(dir.join("guard.log"), format!("{error}\n"));
    })
}
