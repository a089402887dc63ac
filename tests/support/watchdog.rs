//! Ends a test binary of which a test hangs, and says what was running then.
//!
//! A hang says nothing by itself: whoever runs the tests waits for the end of an hour and sees an
//! unfinished line. What a test waits for is mostly a process, or a server that waits for room on
//! the disk (MySQL and MariaDB wait for that without an end), so both are printed.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longer than the longest test takes on a slow machine, shorter than anyone waits for all.
const TEST_LASTS_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// The test is watched until this is dropped.
#[derive(Debug)]
pub struct Watched {
    _ended: Sender<()>,
}

/// Watches the test that runs on this thread.
pub fn watch() -> Watched {
    let (sender, ended) = channel();
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    std::thread::spawn(move || bark(&test, &ended, TEST_LASTS_AT_MOST));
    Watched { _ended: sender }
}

fn bark(test: &str, ended: &Receiver<()>, limit: Duration) {
    if ended.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    // Not eprintln: the test runner keeps that back until the test ends, which it does not.
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "HUNG {test}: not done after {} s", limit.as_secs());
    for command in [
        &["df", "-h", "/", "/tmp"][..],
        &[
            "ps",
            "-eo",
            "pid,ppid,etimes,stat,wchan:20,args",
            "--width",
            "160",
        ],
    ] {
        if let Ok(output) = std::process::Command::new(command[0])
            .args(&command[1..])
            .output()
        {
            let _ = stderr.write_all(&output.stdout);
        }
    }
    // Servers are guarded: they end with this process.
    std::process::exit(101);
}
