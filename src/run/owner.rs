//! A run that owns the cluster: it holds the lease, renews it, and listens for being asked to end.
//!
//! Whatever changes the cluster does so as owner, so two runs side by side cannot meet: the second
//! is told who runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::interrupt::Requests;
use crate::error::{Class, Error, Result};
use crate::journal::{self, Journal, LEASE_S};
use crate::mysql::Server;
use crate::rebalance::protocol::{Job, Phase};

/// How long a run that only waits may take to hand its job over.
const HANDS_OVER_WITHIN: Duration = Duration::from_secs(10);

/// Why a run has to stop at the next safe place.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// 0, or the index behind one of a signal's name in [`SIGNALS`].
    asked: Arc<AtomicU8>,
    lease_lost: Arc<AtomicBool>,
}

const SIGNALS: [&str; 3] = ["Ctrl-C", "SIGTERM", "SIGHUP"];

impl Flags {
    /// Whether nothing speaks against going on.
    pub fn go_on(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == 0 && !self.lease_lost.load(Ordering::Relaxed)
    }

    /// Whether a person, and nothing else, speaks against it.
    pub fn is_asked_to_end(&self) -> bool {
        self.asked.load(Ordering::Relaxed) != 0 && !self.lease_lost.load(Ordering::Relaxed)
    }

    /// The same as an error that says why not.
    ///
    /// # Errors
    /// The lease is lost, or someone asked the program to end.
    pub fn check(&self) -> Result<()> {
        if self.lease_lost.load(Ordering::Relaxed) {
            return Err(Error::stopped("the lease could not be renewed in time"));
        }
        match self.asked.load(Ordering::Relaxed) {
            0 => Ok(()),
            asked => {
                let signal = SIGNALS.get(usize::from(asked) - 1).unwrap_or(&"a signal");
                Err(Error::stopped(format!("stopped by {signal}")))
            }
        }
    }
}

/// The lease, renewed until [`Owner::close`].
#[derive(Debug)]
pub struct Owner {
    /// The journal that the lease opens.
    pub journal: Journal,
    /// Why to stop.
    pub flags: Flags,
    tasks: [JoinHandle<()>; 2],
}

impl Owner {
    /// Takes the lease.
    ///
    /// # Errors
    /// Another run owns the cluster: who and since when. Or the control instance refuses.
    pub async fn take(control: &Server) -> Result<Self> {
        let journal = Journal::open(control, &holder_name(), is_gone).await?;
        let flags = Flags::default();
        let tasks = [listen(&flags), renew(&flags, &journal)];
        Ok(Self {
            journal,
            flags,
            tasks,
        })
    }

    /// Takes the lease for a job; where a run holds it that only waits for a person to decide, that
    /// is asked to hand the job over.
    ///
    /// # Errors
    /// As [`Owner::take`].
    pub async fn take_over(control: &Server, job: &Job) -> Result<Self> {
        let waits = matches!(job.phase, Phase::Watch | Phase::Ready);
        let asked = Instant::now();
        loop {
            match Self::take(control).await {
                Err(error)
                    if waits
                        && error.class() == Class::Stopped
                        && asked.elapsed() < HANDS_OVER_WITHIN =>
                {
                    journal::ask_for(control, &job.id).await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                taken => return taken,
            }
        }
    }

    /// Gives the lease back.
    pub async fn close(self) {
        for task in self.tasks {
            task.abort();
        }
        self.journal.close().await;
    }
}

fn listen(flags: &Flags) -> JoinHandle<()> {
    let asked = flags.asked.clone();
    let mut requests = Requests::listen();
    tokio::spawn(async move {
        let signal = requests.next().await;
        let index = SIGNALS.iter().position(|name| *name == signal);
        asked.store(index.unwrap_or_default() as u8 + 1, Ordering::Relaxed);
        eprintln!("stopping at the next safe place; once more ends at once");
        requests.next().await;
        // As if killed, which every run stands: what it did can be gone on with or taken back.
        eprintln!("error: ended at once\n  next:   see `shardctl job list`, and run it again");
        std::process::exit(4);
    })
}

fn renew(flags: &Flags, journal: &Journal) -> JoinHandle<()> {
    let lost = flags.lease_lost.clone();
    let (control, epoch) = (journal.control().clone(), journal.epoch());
    tokio::spawn(async move {
        let mut failures = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(u64::from(LEASE_S) / 6)).await;
            match journal::renew(&control, epoch).await {
                Ok(true) => failures = 0,
                Ok(false) => lost.store(true, Ordering::Relaxed),
                Err(_) => failures += 1,
            }
            // Well before it expires: whoever takes it then finds us stopped.
            if failures >= 3 {
                lost.store(true, Ordering::Relaxed);
            }
        }
    })
}

/// How this process names itself to others: host and process for people, and behind ` @ ` what
/// tells a later run on the same machine that this process is gone.
pub fn holder_name() -> String {
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let pid = std::process::id();
    format!("process {pid} on {host} @ {} {pid}", machine())
}

/// This boot of this machine and this namespace of processes; empty where that cannot be told.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid")
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    if boot.is_empty() || space.is_empty() {
        return String::new();
    }
    format!("{} {space}", boot.trim())
}

/// Whether the holder of this name was a process of this machine that is gone. In doubt it is not.
pub fn is_gone(holder: &str) -> bool {
    let Some((machine_of_holder, pid)) = holder
        .split_once(" @ ")
        .and_then(|(_, token)| token.rsplit_once(' '))
    else {
        return false;
    };
    let Ok(pid) = pid.parse::<i32>() else {
        return false;
    };
    let here = machine();
    !here.is_empty()
        && here == machine_of_holder
        && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None)
            == Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_process_of_this_machine_is_known_as_gone_and_no_other() {
        assert!(!is_gone(&holder_name()), "we are alive");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let gone = format!("x @ {} {}", machine(), child.id());
        assert!(is_gone(&gone));
        assert!(!is_gone(&format!("x @ elsewhere {}", child.id())));
        assert!(!is_gone("someone"));
    }
}
