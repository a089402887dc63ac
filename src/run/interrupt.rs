//! Being asked to end: Ctrl-C in the terminal, SIGTERM from a service manager, SIGHUP from a
//! terminal that went away. All three mean the same: stop at the next safe place and say what is
//! true then.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the program to end.
#[derive(Debug)]
pub struct Requests {
    signals: [Option<Signal>; 3],
    last: Option<&'static str>,
}

impl Requests {
    /// Listens from now on: the signals no longer end the process by themselves.
    pub fn listen() -> Self {
        // A signal that cannot be listened to keeps its default, which ends the process.
        Self {
            signals: [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ]
            .map(|kind| signal(kind).ok()),
            last: None,
        }
    }

    /// Forgets a Ctrl-C that came before now.
    pub fn forget_interrupts(&mut self) {
        self.signals[0] = signal(SignalKind::interrupt()).ok();
    }

    /// Waits for the next request; its name for people.
    pub async fn next(&mut self) -> &'static str {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let name = tokio::select! {
            () = received(interrupt) => "Ctrl-C",
            () = received(terminate) => "SIGTERM",
            () = received(hangup) => "SIGHUP",
        };
        self.last = Some(name);
        name
    }

    /// The last request that came, by its name.
    pub fn last(&self) -> Option<&'static str> {
        self.last
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
