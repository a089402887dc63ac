//! The servers of a fleet and the connections to them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use indexmap::IndexMap;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts};

use super::credentials::Credentials;
use crate::error::{Error, Result};
use crate::names::InstanceName;
use crate::topology::Endpoint;

/// Session settings of every connection, set again whenever the pool resets one.
///
/// UTC and a fixed charset, so that the same value has the same text everywhere; a strict mode
/// that still takes the zero dates an old fleet holds; a lock wait that ends (a day or a year by
/// default) before an operator would give up.
pub const SESSION: &str = "SET NAMES utf8mb4, time_zone='+00:00', \
     sql_mode='STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', \
     lock_wait_timeout=10, wait_timeout=28800";

/// How long connecting and logging in may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that was given back is taken to be as it was: long enough for the next step
/// of a command, too short for a server to go and come back.
const SPARE_FOR: Duration = Duration::from_secs(1);

/// The two families of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Oracle MySQL and its close relatives (Percona Server).
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Flavour::Mysql => "MySQL",
            Flavour::Mariadb => "MariaDB",
        })
    }
}

/// One instance, reached and logged into. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    name: InstanceName,
    endpoint: Endpoint,
    pool: Pool,
    flavour: Flavour,
    version: String,
    /// An open connection that was given back as it was, and when.
    spare: Mutex<Option<(Instant, Conn)>>,
}

impl Inner {
    /// The spare connection, unless it may have been closed by now.
    fn take_spare(&self) -> Option<Conn> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, conn) = spare.take()?;
        (since.elapsed() < SPARE_FOR).then_some(conn)
    }
}

impl fmt::Debug for Inner {
    // The pool's options hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.endpoint)
    }
}

impl Server {
    /// Connects to an instance and learns what it is. At most `connections_max` connections are
    /// held at once; a further [`Server::conn`] waits for one to come back.
    ///
    /// # Errors
    /// The server cannot be reached within ten seconds, or refuses the login.
    pub async fn connect(
        name: InstanceName,
        endpoint: Endpoint,
        credentials: &Credentials,
        connections_max: usize,
    ) -> Result<Self> {
        Self::connect_keeping(name, endpoint, credentials, connections_max, 0).await
    }

    /// As [`Server::connect`], and so many connections are kept open when they come back.
    async fn connect_keeping(
        name: InstanceName,
        endpoint: Endpoint,
        credentials: &Credentials,
        connections_max: usize,
        connections_kept: usize,
    ) -> Result<Self> {
        let login = credentials.login(&name)?;
        let constraints = PoolConstraints::new(connections_kept, connections_max.max(1))
            .ok_or_else(|| Error::usage("an instance needs at least one connection"))?;
        let builder = OptsBuilder::default()
            .user(Some(&login.user))
            .pass(login.exposed_password())
            .ssl_opts(login.ssl_opts())
            // The driver would leave TCP for the unix socket on localhost, another path than the
            // one the topology names.
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .setup(vec![SESSION])
            .pool_opts(PoolOpts::default().with_constraints(constraints));
        let builder = match &endpoint {
            Endpoint::Tcp { host, port } => builder.ip_or_hostname(host.clone()).tcp_port(*port),
            Endpoint::Socket(path) => builder.socket(Some(path.display().to_string())),
        };
        let pool = Pool::new(Opts::from(builder));
        let place = format!("instance {name} ({endpoint})");
        let mut conn = timed_conn(&pool)
            .await
            .map_err(|cause| connect_error(&place, &login.user, cause))?;
        let version: Option<String> = conn
            .query_first("SELECT VERSION()")
            .await
            .map_err(|cause| explain("could not read the server's version", &place, &cause))?;
        let version = version.unwrap_or_default();
        let flavour = if version.contains("MariaDB") {
            Flavour::Mariadb
        } else {
            Flavour::Mysql
        };
        tracing::info!(instance = %name, %endpoint, %version, "connected");
        Ok(Self(Arc::new(Inner {
            name,
            endpoint,
            pool,
            flavour,
            version,
            // The first step of the command goes on with it.
            spare: Mutex::new(Some((Instant::now(), conn))),
        })))
    }

    /// The instance's name in the topology.
    pub fn name(&self) -> &InstanceName {
        &self.0.name
    }

    /// How it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Which family of server it is.
    pub fn flavour(&self) -> Flavour {
        self.0.flavour
    }

    /// The version as the server says it, `10.11.14-MariaDB-log`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// `instance rds-1 (127.0.0.1:3306)`, for errors.
    pub fn place(&self) -> String {
        format!("instance {} ({})", self.0.name, self.0.endpoint)
    }

    /// A connection with the tool's session settings.
    ///
    /// # Errors
    /// The server cannot be reached any more, or refuses.
    pub async fn conn(&self) -> Result<Conn> {
        if let Some(conn) = self.0.take_spare() {
            return Ok(conn);
        }
        timed_conn(&self.0.pool)
            .await
            .map_err(|cause| connect_error(&self.place(), "", cause))
    }

    /// Gives a connection back whose session is as [`Server::conn`] gave it: no setting was changed
    /// and no transaction is open. The next step of a command gets it, without the round trips of a
    /// new one.
    pub fn give_back(&self, conn: Conn) {
        let mut spare = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = Some((Instant::now(), conn));
    }

    /// An error of the driver on this instance in our words.
    pub fn explain(&self, what: &str, cause: &mysql_async::Error) -> Error {
        explain(what, &self.place(), cause)
    }

    /// Closes the idle connections.
    pub async fn disconnect(&self) {
        drop(self.0.take_spare());
        // A connection that fails to say goodbye is closed all the same.
        // And a pool whose count is off after a task was cut short would wait for ever.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), self.0.pool.clone().disconnect()).await;
    }
}

enum ConnectFailure {
    TimedOut,
    Driver(mysql_async::Error),
}

async fn timed_conn(pool: &Pool) -> Result<Conn, ConnectFailure> {
    match tokio::time::timeout(CONNECT_TIMEOUT, pool.get_conn()).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(cause)) => Err(ConnectFailure::Driver(cause)),
        Err(_) => Err(ConnectFailure::TimedOut),
    }
}

fn connect_error(place: &str, user: &str, failure: ConnectFailure) -> Error {
    let cause = match failure {
        ConnectFailure::TimedOut => {
            return Error::server("could not connect")
                .at(place)
                .cause(format!(
                    "no answer within {} seconds",
                    CONNECT_TIMEOUT.as_secs()
                ))
                .next("check the address, the port and what lies between");
        }
        ConnectFailure::Driver(cause) => cause,
    };
    let error = explain("could not connect", place, &cause);
    match server_code(&cause) {
        Some(1045) => error.next(format!(
            "check the user{} and the password in ~/.my.cnf, --defaults-file or SHARDCTL_PASSWORD; \
             a user with REQUIRE SSL is refused in the same words: set ssl-mode=REQUIRED",
            if user.is_empty() {
                String::new()
            } else {
                format!(" `{user}`")
            }
        )),
        Some(_) => error,
        None => error.next("check that the server runs and that the address is right"),
    }
}

/// The server's own error number, where it was the server that refused.
pub fn server_code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// A driver error in our words, with the server's code and text as the cause.
pub fn explain(what: &str, place: &str, cause: &mysql_async::Error) -> Error {
    match cause {
        mysql_async::Error::Server(server) => Error::server(what)
            .at(place)
            .cause(format!("{} (error {})", server.message, server.code)),
        mysql_async::Error::Io(io) => Error::server(what)
            .at(place)
            .cause(format!("the connection failed: {io}")),
        mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => {
            Error::server(what)
                .at(place)
                .cause("TLS was asked for, and the server offers none")
        }
        other => Error::server(what).at(place).cause(other),
    }
}

/// The servers of a topology.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    servers: IndexMap<InstanceName, Server>,
    unreached: IndexMap<InstanceName, Error>,
}

impl Servers {
    /// Connects to all instances at once. Answers for each, so that a caller can go on with those
    /// that were reached.
    pub async fn try_connect(
        instances: &IndexMap<InstanceName, Endpoint>,
        credentials: &Credentials,
        connections_max: usize,
    ) -> (Self, Vec<(InstanceName, Error)>) {
        let answers = join_all(instances.iter().map(|(name, endpoint)| async {
            let server =
                Server::connect(name.clone(), endpoint.clone(), credentials, connections_max);
            (name.clone(), server.await)
        }))
        .await;
        let mut servers = IndexMap::new();
        let mut failed = Vec::new();
        for (name, answer) in answers {
            match answer {
                Ok(server) => {
                    servers.insert(name, server);
                }
                Err(error) => failed.push((name, error)),
            }
        }
        let unreached = failed.iter().cloned().collect();
        (Self { servers, unreached }, failed)
    }

    /// Connects to all instances at once.
    ///
    /// # Errors
    /// One of them cannot be reached: the first one's error, which says how many others failed.
    pub async fn connect(
        instances: &IndexMap<InstanceName, Endpoint>,
        credentials: &Credentials,
        connections_max: usize,
    ) -> Result<Self> {
        let (servers, mut failed) =
            Self::try_connect(instances, credentials, connections_max).await;
        if failed.is_empty() {
            return Ok(servers);
        }
        let (_, error) = failed.remove(0);
        Err(and_others(error, failed.iter().map(|(name, _)| name)))
    }

    /// Connects to those of these instances that are not connected yet, or were not reached before,
    /// and keeps `connections_kept` connections to each open between statements.
    pub async fn reach(
        &mut self,
        instances: &IndexMap<InstanceName, Endpoint>,
        credentials: &Credentials,
        connections_max: usize,
        connections_kept: usize,
    ) {
        let missing = instances
            .iter()
            .filter(|(name, _)| !self.servers.contains_key(*name));
        let answers = join_all(missing.map(|(name, endpoint)| async {
            let server = Server::connect_keeping(
                name.clone(),
                endpoint.clone(),
                credentials,
                connections_max,
                connections_kept,
            );
            (name.clone(), server.await)
        }))
        .await;
        for (name, answer) in answers {
            self.unreached.shift_remove(&name);
            match answer {
                Ok(server) => {
                    self.servers.insert(name, server);
                }
                Err(error) => {
                    self.unreached.insert(name, error);
                }
            }
        }
    }

    /// Those of these instances only, reached or not.
    #[must_use]
    pub fn only(&self, instances: &IndexMap<InstanceName, Endpoint>) -> Self {
        let mut only = self.clone();
        only.servers.retain(|name, _| instances.contains_key(name));
        only.unreached
            .retain(|name, _| instances.contains_key(name));
        only
    }

    /// The server of an instance.
    ///
    /// # Errors
    /// The instance was not reached: why. Or it is not in the topology.
    pub fn get(&self, instance: &InstanceName) -> Result<&Server> {
        if let Some(error) = self.unreached.get(instance) {
            return Err(error.clone());
        }
        self.servers
            .get(instance)
            .ok_or_else(|| Error::server(format!("instance {instance} is not connected")))
    }

    /// Whether every instance was reached.
    ///
    /// # Errors
    /// One was not: why.
    pub fn all_reached(&self) -> Result<()> {
        match self.unreached.values().next() {
            None => Ok(()),
            Some(error) => Err(and_others(error.clone(), self.unreached.keys().skip(1))),
        }
    }

    /// All servers that were reached, in the topology's order.
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Closes all idle connections.
    pub async fn disconnect(&self) {
        join_all(self.iter().map(Server::disconnect)).await;
    }
}

/// The error of the first instance that was not reached, which names the others.
fn and_others<'a>(error: Error, others: impl Iterator<Item = &'a InstanceName>) -> Error {
    let others: Vec<&str> = others.map(InstanceName::as_str).collect();
    if others.is_empty() {
        return error;
    }
    error.now(format!("also not reached: {}", others.join(", ")))
}
