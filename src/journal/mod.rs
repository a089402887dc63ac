//! The journal: jobs, the shard map's history and the lease, on the control instance.
//!
//! One job owns the cluster at a time, through a lease with an epoch. The epoch grows whenever the
//! lease is taken, and each save compares it in its own transaction, so a run that lost the lease
//! cannot save any more. [`adopt`] writes the first version of the shard map.

pub mod capacity;

use crate::error::{Error, Result};
use crate::mysql::control::{self, JobRow, LeaseRow, MapRow};
use crate::mysql::{Conn, Server, Servers};
use crate::rebalance::protocol::{FORMAT, Job, Way};
use crate::topology::file::{parse, render};
use crate::topology::{Endpoint, Topology};

/// Seconds that a lease lasts unless it is renewed.
pub const LEASE_S: u32 = 20;

/// A version of the shard map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    /// Counted from 1.
    pub version: u64,
    /// The topology in force.
    pub topology: Topology,
    /// Its text as it is stored.
    pub text: String,
}

/// The shard map in force; `None` where none was ever written.
///
/// # Errors
/// The control instance cannot be asked, or holds a text that is no topology.
pub async fn shard_map(control: &Server) -> Result<Option<ShardMap>> {
    let mut conn = control.conn().await?;
    let row = control::shard_map(control, &mut conn).await?;
    control.give_back(conn);
    let Some(row) = row else {
        return Ok(None);
    };
    let topology = parse(&row.topology).map_err(|problems| {
        problems.into_error(
            &format!(
                "version {} of the shard map on {}",
                row.version,
                control.name()
            ),
            &row.topology,
        )
    })?;
    Ok(Some(ShardMap {
        version: row.version,
        topology,
        text: row.topology,
    }))
}

/// The shard map in force. Where there is none yet, the topology becomes version 1, on the
/// control instance first and then on every other.
///
/// # Errors
/// An instance cannot be asked or refuses.
pub async fn adopt(servers: &Servers, topology: &Topology) -> Result<ShardMap> {
    let control = servers.get(&topology.control)?;
    let mut conn = control.conn().await?;
    control::create_tables(control, &mut conn, true).await?;
    if control::shard_map(control, &mut conn).await?.is_none() {
        let first = MapRow {
            version: 1,
            topology: render(topology),
            job: None,
        };
        control::write_map(control, &mut conn, &first).await?;
    }
    let map = shard_map(control)
        .await?
        .ok_or_else(|| Error::unknown("the shard map is gone right after it was written"))?;
    publish(servers, map.version, &map.text, None).await?;
    Ok(map)
}

/// The version of the shard map in force once the file's tables are in it: a new one where the
/// file has tables that the map does not know, for a move would otherwise leave them behind. To be
/// called under the lease, with a file that is in force.
///
/// # Errors
/// An instance cannot be asked or refuses.
pub async fn extend(servers: &Servers, file: &Topology) -> Result<u64> {
    let map = adopt(servers, file).await?;
    let mut wanted = map.topology.clone();
    let known = wanted.tables.len();
    for (name, table) in &file.tables {
        wanted
            .tables
            .entry(name.clone())
            .or_insert_with(|| table.clone());
    }
    if wanted.tables.len() == known {
        return Ok(map.version);
    }
    let control = servers.get(&file.control)?;
    let mut conn = control.conn().await?;
    let next = MapRow {
        version: map.version + 1,
        topology: render(&wanted),
        job: None,
    };
    control::write_map(control, &mut conn, &next).await?;
    publish(servers, next.version, &next.topology, None).await?;
    Ok(next.version)
}

/// Writes a version of the shard map on every instance.
///
/// # Errors
/// An instance cannot be asked or refuses.
pub async fn publish(
    servers: &Servers,
    version: u64,
    topology: &str,
    job: Option<&str>,
) -> Result<()> {
    let map = MapRow {
        version,
        topology: topology.to_owned(),
        job: job.map(str::to_owned),
    };
    for server in servers.iter() {
        let mut conn = server.conn().await?;
        control::create_tables(server, &mut conn, false).await?;
        control::write_map(server, &mut conn, &map).await?;
    }
    Ok(())
}

/// The version of the shard map in force, if there is one, after a check that the topology file
/// places every schema as that does. A file from before a move would have tables created, or rows
/// looked for, where they no longer belong.
///
/// # Errors
/// The file is not in force, or the control instance cannot be asked.
pub async fn check_in_force(control: &Server, file: &Topology) -> Result<Option<u64>> {
    let Some(map) = shard_map(control).await? else {
        return Ok(None);
    };
    if map.topology.cluster != file.cluster {
        return Err(Error::usage(format!(
            "{} is the control instance of the cluster `{}`, and the file is of `{}`",
            control.name(),
            map.topology.cluster,
            file.cluster
        ))
        .now("nothing was changed")
        .next("an instance holds the shard map of one cluster: keep the clusters on instances of their own"));
    }
    let other_rule = file.tables.values().find(|table| {
        let known = map.topology.tables.get(&table.name);
        known.is_some_and(|known| !known.is_spread_as(table))
    });
    if map.topology.schemas == file.schemas {
        let Some(table) = other_rule else {
            return Ok(Some(map.version));
        };
        return Err(Error::usage("the topology file is not the shard map in force")
            .at(format!("version {} on {}", map.version, control.name()))
            .cause(format!(
                "the file spreads `{}` in another way: by another key, function, number of tables or \
                 names",
                table.name
            ))
            .now("nothing was changed")
            .next("write the one in force with `shardctl status --write FILE`"));
    }
    let differs = map
        .topology
        .schemas
        .iter()
        .zip(&file.schemas)
        .find(|(in_force, file)| in_force != file);
    Err(Error::usage("the topology file is not the shard map in force")
        .at(format!("version {} on {}", map.version, control.name()))
        .cause(match differs {
            Some((in_force, file)) => format!(
                "{} lies on {}, and the file has {} on {}",
                in_force.name, in_force.instance, file.name, file.instance
            ),
            None => format!(
                "{} schemas are in force, and the file has {}",
                map.topology.schemas.len(),
                file.schemas.len()
            ),
        })
        .now("nothing was changed")
        .next("write the one in force with `shardctl status --write FILE`, or move to the file's with `shardctl rebalance --to FILE`"))
}

/// The topology with the addresses that these instances have in another one: the file given on
/// the command line knows best how an instance is reached from here.
#[must_use]
pub fn with_addresses(mut topology: Topology, known: &Topology) -> Topology {
    for (name, endpoint) in &mut topology.instances {
        if let Some(address) = known.instances.get(name) {
            let address: &Endpoint = address;
            *endpoint = address.clone();
        }
    }
    topology
}

/// A job with when it was saved last, in UTC.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The job.
    pub job: Job,
    /// When it was saved.
    pub updated: String,
}

/// Every job, the newest first.
///
/// # Errors
/// The control instance cannot be asked, or a record cannot be read.
pub async fn jobs(control: &Server) -> Result<Vec<Saved>> {
    let mut conn = control.conn().await?;
    control::jobs(control, &mut conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Saved {
                job: decode(control, &row)?,
                updated: row.updated,
            })
        })
        .collect()
}

/// The job of this id, or of an id that begins so if only one does.
///
/// # Errors
/// There is none, or more than one.
pub async fn job(control: &Server, id: &str) -> Result<Saved> {
    let mut jobs = jobs(control).await?;
    if let Some(index) = jobs.iter().position(|saved| saved.job.id == id) {
        return Ok(jobs.swap_remove(index));
    }
    jobs.retain(|saved| saved.job.id.starts_with(id));
    match jobs.len() {
        1 => Ok(jobs.remove(0)),
        0 => Err(Error::usage(format!("there is no job `{id}`"))
            .at(control.place())
            .next("see `shardctl job list`")),
        _ => Err(
            Error::usage(format!("more than one job begins with `{id}`"))
                .next("see `shardctl job list`"),
        ),
    }
}

fn decode(control: &Server, row: &JobRow) -> Result<Job> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let broken = |cause: &dyn std::fmt::Display| {
        Error::unknown(format!("the record of job {} cannot be read", row.id))
            .at(control.place())
            .cause(cause)
    };
    let version: Version = serde_json::from_str(&row.record).map_err(|cause| broken(&cause))?;
    if version.format != FORMAT {
        return Err(broken(&format!(
            "it has format {}, and this shardctl knows {FORMAT}",
            version.format
        ))
        .next("use the version of shardctl that started it"));
    }
    serde_json::from_str(&row.record).map_err(|cause| broken(&cause))
}

/// The journal, with the lease in hand.
#[derive(Debug)]
pub struct Journal {
    control: Server,
    conn: Conn,
    epoch: u64,
}

impl Journal {
    /// Takes the lease. `is_gone` says of a holder's name that its process is certainly dead.
    ///
    /// # Errors
    /// Another run holds the lease: the error says who and since when. Or the control instance
    /// refuses.
    pub async fn open(
        control: &Server,
        holder: &str,
        is_gone: impl FnOnce(&str) -> bool,
    ) -> Result<Self> {
        let mut conn = control.conn().await?;
        control::create_tables(control, &mut conn, true).await?;
        let taken = control::take_lease(control, &mut conn, holder, LEASE_S, |lease| {
            is_gone(&lease.holder)
        })
        .await?;
        match taken {
            Ok(epoch) => Ok(Self {
                control: control.clone(),
                conn,
                epoch,
            }),
            Err(lease) => Err(held(control, &lease)),
        }
    }

    /// The lease's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The control instance.
    pub fn control(&self) -> &Server {
        &self.control
    }

    /// Saves the job.
    ///
    /// # Errors
    /// Another run took the lease, or the control instance refuses.
    pub async fn save(&mut self, job: &Job) -> Result<()> {
        self.save_with(job, None).await
    }

    /// The point of no return, this way or back: commits the shard map of the job and the job in
    /// one transaction.
    ///
    /// # Errors
    /// As [`Journal::save`]. Where the answer was lost the error is of class unknown, and the job
    /// read again says which it is.
    pub async fn commit(&mut self, job: &Job, way: Way) -> Result<()> {
        let (version, topology) = job.map(way);
        let map = MapRow {
            version,
            topology: topology.to_owned(),
            job: Some(job.id.clone()),
        };
        self.save_with(job, Some(&map)).await
    }

    async fn save_with(&mut self, job: &Job, map: Option<&MapRow>) -> Result<()> {
        let row = JobRow {
            id: job.id.clone(),
            kind: job.kind.name().to_owned(),
            phase: job.phase.name().to_owned(),
            open: !job.phase.is_over(),
            record: serde_json::to_string(job)
                .map_err(|cause| Error::unknown("the job has no record").cause(cause))?,
            updated: String::new(),
        };
        if control::save_job(&self.control, &mut self.conn, self.epoch, &row, map).await? {
            return Ok(());
        }
        Err(self.lost().await)
    }

    async fn lost(&mut self) -> Error {
        match control::lease(&self.control, &mut self.conn).await {
            Ok(Some(lease)) => held(&self.control, &lease),
            _ => Error::stopped("another run of shardctl took the lease meanwhile")
                .next("see `shardctl job list`"),
        }
    }

    /// Whether someone has asked who runs this job to hand it over.
    ///
    /// # Errors
    /// The control instance cannot be asked.
    pub async fn is_asked_for(&self, job: &str) -> Result<bool> {
        let mut conn = self.control.conn().await?;
        control::is_asked_for(&self.control, &mut conn, job).await
    }

    /// Forgets that someone has asked.
    ///
    /// # Errors
    /// The control instance refuses.
    pub async fn has_handed_over(&self, job: &str) -> Result<()> {
        let mut conn = self.control.conn().await?;
        control::forget_asking(&self.control, &mut conn, job).await
    }

    /// Gives the lease back.
    pub async fn close(mut self) {
        // If this fails the lease expires by itself.
        if let Err(error) = control::release_lease(&self.control, &mut self.conn, self.epoch).await
        {
            tracing::info!(%error, "lease not given back");
        }
    }
}

fn held(control: &Server, lease: &LeaseRow) -> Error {
    Error::stopped("another run of shardctl owns the cluster")
        .at(control.place())
        .cause(format!(
            "{} holds the lease since {} UTC, and for {} s more unless it is renewed",
            lease.holder.split(" @ ").next().unwrap_or_default(),
            lease.since,
            lease.expires_s.max(0)
        ))
        .now("nothing was changed by this run")
        .next("wait for it, or end it: its job can then be resumed")
}

/// Asks who runs this job to hand it over, which it does where it only waits for a person.
///
/// # Errors
/// The control instance refuses.
pub async fn ask_for(control: &Server, job: &str) -> Result<()> {
    let mut conn = control.conn().await?;
    control::ask_for(control, &mut conn, job).await
}

/// Prolongs a lease on a connection of its own. `false`: another holds it by now.
///
/// # Errors
/// The control instance cannot be asked.
pub async fn renew(control: &Server, epoch: u64) -> Result<bool> {
    let mut conn = control.conn().await?;
    control::renew_lease(control, &mut conn, epoch, LEASE_S).await
}

/// Who holds the lease, in words; `None` where it is free.
///
/// # Errors
/// The control instance cannot be asked.
pub async fn holder(control: &Server) -> Result<Option<String>> {
    let mut conn = control.conn().await?;
    Ok(control::lease(control, &mut conn).await?.map(|lease| {
        lease
            .holder
            .split(" @ ")
            .next()
            .unwrap_or_default()
            .to_owned()
    }))
}
