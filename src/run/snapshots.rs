//! Consistent snapshots that are opened together, and the statements that are read in them.
//!
//! A snapshot of InnoDB is one server's. So one is opened on each connection that a statement will
//! use, all at the same moment as far as a client can: every connection stands ready before the
//! first is told to begin. How far apart they can be at most is measured, for no client can make it
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::error::{Error, Result};
use crate::mysql::query::{self, Reading};
use crate::mysql::{Conn, Servers};
use crate::names::InstanceName;

/// Connections with an open snapshot, each used by one statement at a time; or none, and statements
/// read in sessions of their own.
#[derive(Debug, Clone, Default)]
pub struct Snapshots(Option<Arc<Mutex<Open>>>);

/// Those of each instance that no statement uses.
type Open = BTreeMap<InstanceName, Vec<Conn>>;

impl Snapshots {
    /// Opens so many on each of the instances; and how far apart they are at the most.
    ///
    /// # Errors
    /// A server cannot be reached, or refuses.
    pub async fn open(
        servers: &Servers,
        wanted: &BTreeMap<InstanceName, usize>,
        reading: Reading,
    ) -> Result<(Self, Duration)> {
        let mut all = Vec::new();
        for (name, count) in wanted {
            let server = servers.get(name)?;
            all.extend(std::iter::repeat_n(server, *count));
        }
        let mut ready = try_join_all(all.into_iter().map(|server| async move {
            let conn = query::before_snapshot(server, reading).await?;
            Ok::<_, Error>((server, conn))
        }))
        .await?;
        // Each is opened between its own asking and its answer, so all lie between the first
        // asking and the last answer.
        let start = Instant::now();
        try_join_all(
            ready
                .iter_mut()
                .map(|(server, conn)| query::open_snapshot(server, conn)),
        )
        .await?;
        let spread = start.elapsed();
        let mut open = Open::new();
        for (server, conn) in ready {
            open.entry(server.name().clone()).or_default().push(conn);
        }
        Ok((Self(Some(Arc::new(Mutex::new(open)))), spread))
    }

    /// A connection of this instance's; nothing where the statements need none.
    pub(super) fn take(&self, instance: &InstanceName) -> Option<Result<Conn>> {
        let mut open = self
            .0
            .as_ref()?
            .lock()
            .unwrap_or_else(|lock| lock.into_inner());
        let conn = open.get_mut(instance).and_then(Vec::pop);
        Some(
            conn.ok_or_else(|| Error::stopped(format!("instance {instance} has no snapshot left"))),
        )
    }

    /// Another statement can be read in it.
    pub(super) fn give_back(&self, instance: &InstanceName, conn: Conn) {
        if let Some(open) = &self.0 {
            let mut open = open.lock().unwrap_or_else(|lock| lock.into_inner());
            open.entry(instance.clone()).or_default().push(conn);
        }
    }
}
