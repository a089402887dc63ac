//! Following a server's binary log.
//!
//! The driver is the transport; events are decoded by [`crate::rows::binlog`]. What the transport
//! itself has to know (seen on MySQL 9.7 and MariaDB 10.11):
//!
//! - MariaDB sends its own events only to who says that it knows them
//!   (`@mariadb_slave_capability=4`); else it sends changed ones, and ends at an XA transaction.
//! - MySQL starts by GTIDs with a command of its own; MariaDB takes them from the variable
//!   `@slave_connect_state`.
//! - The first event is a ROTATE made for the stream. It comes before the stream says that events
//!   have checksums, so the driver leaves its checksum on the end of the file name; only MariaDB
//!   sends one.
//! - The driver does not verify checksums; this does, for each event that has one.
//! - A heartbeat comes when there is nothing new. Silence beyond several of them is a lost
//!   connection, also where no packet ever says so.
//! - Two streams with one server id end each other: each stream has a random one.
//! - Where a transaction is compressed (MySQL), the driver uncompresses it as a whole: that much
//!   memory it takes, beside the pieces of [`Limits`].
//!
//! A stream needs the privilege REPLICATION SLAVE; the position REPLICATION CLIENT (MySQL) or BINLOG
//! MONITOR (MariaDB).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Row, Sid};
use rand::RngExt;

use super::server::{Flavour, Server, server_code};
use crate::error::{Error, Result};
use crate::rows::binlog::{BinlogError, Header, Item, Limits, Rename, Transactions};
use crate::rows::position::{Gtids, Position};
use crate::rows::shape::{ColumnShape, TableShape};

/// `ER_MASTER_FATAL_ERROR_READING_BINLOG`: whatever the server has against a position.
const FATAL_READING_BINLOG: u16 = 1236;
/// `ER_PARSE_ERROR`.
const PARSE_ERROR: u16 = 1064;
/// Server ids of replicas are 32 bits; small ones are what people give their servers.
const SERVER_ID_MIN: u32 = 1 << 30;

/// From where to follow a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// From a file and offset, the end of a transaction. The position's GTIDs are carried on.
    Position(Position),
    /// From behind these transactions. The file and offset are learned from the stream.
    Gtids(Gtids),
}

/// What to follow and how.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// The tables whose changes are wanted.
    pub tables: Vec<Arc<TableShape>>,
    /// Renamings of theirs that the job itself does, see [`Item::Renamed`].
    pub renames: Vec<Rename>,
    /// How large a piece of a transaction may be.
    pub limits: Limits,
    /// How often the server speaks when it has nothing to say.
    pub heartbeat: Duration,
    /// How many times in a row a lost connection is made again, with growing pauses, before
    /// giving up.
    pub reconnects_max: u32,
    /// The server that is expected, see [`identity`]; whichever it is, where none is given.
    pub identity: Option<String>,
    /// End where the log ends, instead of waiting for more.
    pub stop_at_end: bool,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            renames: Vec::new(),
            limits: Limits::default(),
            heartbeat: Duration::from_secs(2),
            reconnects_max: 8,
            identity: None,
            stop_at_end: false,
        }
    }
}

/// A server's log being followed.
pub struct Tail {
    server: Server,
    options: TailOptions,
    identity: String,
    start: Start,
    transactions: Transactions,
    stream: Option<BinlogStream>,
    connection_id: u32,
    /// Whether a format description came on this connection: events before it may have a checksum
    /// of which the driver does not know.
    has_format: bool,
    /// Whether this connection gave a real event, so that the next loss is a new one.
    has_events: bool,
    failures: u32,
    is_ended: bool,
    counts: Counts,
}

/// What has come, for figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Their bytes; those of compressed transactions count once compressed and once not.
    pub bytes: u64,
    /// Connections made.
    pub connections: u64,
}

impl Tail {
    /// Connects and asks for the log.
    ///
    /// # Errors
    /// The server cannot be reached, is not the expected one, refuses, or no longer has the log
    /// from there on. What the server has against a position may also come with the first
    /// [`Tail::next`].
    pub async fn open(server: &Server, start: Start, options: TailOptions) -> Result<Self> {
        let mut conn = server.conn().await?;
        let identity = identity(server, &mut conn).await?;
        drop(conn);
        let position = match &start {
            Start::Position(position) => position.clone(),
            Start::Gtids(gtids) => Position {
                file: String::new(),
                offset: 4,
                gtids: Some(gtids.clone()),
            },
        };
        let transactions = Transactions::new(
            options.tables.clone(),
            options.renames.clone(),
            options.limits,
            position,
        );
        let mut tail = Self {
            server: server.clone(),
            identity: options.identity.clone().unwrap_or_else(|| identity.clone()),
            options,
            start,
            transactions,
            stream: None,
            connection_id: 0,
            has_format: false,
            has_events: false,
            failures: 0,
            is_ended: false,
            counts: Counts::default(),
        };
        tail.connect().await?;
        Ok(tail)
    }

    /// Which server it is: to be given as [`TailOptions::identity`] when going on later.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The server's id of the stream's connection.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// What has come so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The position behind the last whole transaction that was read; not known before the first
    /// one where reading began by GTIDs.
    pub fn position(&self) -> Option<&Position> {
        self.transactions.position()
    }

    /// What happened next; `None` at the log's end, where [`TailOptions::stop_at_end`] says to end
    /// there. A lost connection is made again, and nothing is given twice or left out by that.
    ///
    /// Dropping the returned future loses nothing but the connection, at worst.
    ///
    /// # Errors
    /// The log cannot be followed any further, or the server is not reached again.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.transactions.pop() {
                return Ok(Some(item));
            }
            if self.is_ended {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.reconnect().await?;
                continue;
            };
            let silence_max = self.options.heartbeat * 5 + Duration::from_secs(5);
            let asked = Instant::now();
            let lost = match tokio::time::timeout(silence_max, stream.next()).await {
                Ok(Some(Ok(event))) => {
                    // By GTIDs, MySQL also sends heartbeats for transactions that it leaves out:
                    // only one that had to be waited for means that there is nothing new.
                    let is_heartbeat = matches!(event.header().event_type_raw(), 27 | 41);
                    if !is_heartbeat || asked.elapsed() >= self.options.heartbeat / 2 {
                        self.event(&event)?;
                    }
                    continue;
                }
                Ok(None) if self.options.stop_at_end => {
                    self.is_ended = true;
                    self.no_rest()?;
                    continue;
                }
                Ok(None) => "the server ended the stream".to_owned(),
                Ok(Some(Err(cause))) => {
                    if server_code(&cause) == Some(FATAL_READING_BINLOG) && !is_shutdown(&cause) {
                        return Err(self.refused(&cause));
                    }
                    cause.to_string()
                }
                Err(_) => format!("nothing came for {} s", silence_max.as_secs()),
            };
            tracing::debug!(
                place = self.server.place(),
                lost,
                "the log's stream was lost"
            );
            self.lose();
        }
    }

    /// At the log's end no transaction can be open: it would have been cut off.
    fn no_rest(&self) -> Result<()> {
        match self.transactions.is_open() {
            true => Err(self.stop(
                "the log ends in the middle of a transaction",
                "look into the server's error log",
            )),
            false => Ok(()),
        }
    }

    fn lose(&mut self) {
        self.stream = None;
        self.transactions.restart();
    }

    async fn reconnect(&mut self) -> Result<()> {
        if std::mem::take(&mut self.has_events) {
            self.failures = 0;
        }
        loop {
            self.failures += 1;
            // The first time at once: a connection that was cut is mostly there again.
            let pause = Duration::from_millis(100) * (1 << self.failures.min(6)) / 2;
            if self.failures > 1 {
                tokio::time::sleep(pause).await;
            }
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(error) if self.failures > self.options.reconnects_max => {
                    return Err(error.now(self.read_so_far()));
                }
                // Another server than before will not turn into the right one.
                Err(error) if error.class() == crate::error::Class::Unknown => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the log's stream could not be made again");
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let server = self.server.clone();
        let failed = |cause| server.explain("could not follow the log", &cause);
        // Not of the pool, for it never goes back: it is closed when the stream is dropped.
        let opts = server.conn().await?.opts().clone();
        let connected = tokio::time::timeout(Duration::from_secs(10), Conn::new(opts)).await;
        let mut conn = connected
            .map_err(|_| {
                Error::server("could not connect")
                    .at(server.place())
                    .cause("no answer within 10 seconds")
            })?
            .map_err(failed)?;
        let identity = identity(&server, &mut conn).await?;
        if identity != self.identity {
            return Err(Error::unknown("this is not the server whose log was followed")
                .at(server.place())
                .cause(format!("it is {identity}, and was {}", self.identity))
                .now("its log has other positions, so reading cannot go on")
                .next("if the address was moved to another server, cancel the job and begin again"));
        }
        let period = self.options.heartbeat.as_nanos();
        for statement in [
            "SET @mariadb_slave_capability=4".to_owned(),
            format!("SET @master_heartbeat_period={period}, @source_heartbeat_period={period}"),
        ] {
            conn.query_drop(statement).await.map_err(failed)?;
        }
        self.connection_id = conn.id();
        let id = rand::rng().random_range(SERVER_ID_MIN..u32::MAX);
        let mut request = BinlogStreamRequest::new(id);
        if self.options.stop_at_end {
            request = request.with_non_blocking();
        }
        let file;
        match self.place()? {
            Start::Position(position) => {
                file = position.file;
                request = request
                    .with_filename(file.as_bytes())
                    .with_pos(position.offset);
            }
            Start::Gtids(gtids @ Gtids::Mysql(_)) => {
                let mut pieces = Vec::new();
                for piece in gtids.pieces() {
                    let piece: Sid<'_> = piece.parse().map_err(|cause| {
                        Error::unknown("a set of GTIDs cannot be sent").cause(cause)
                    })?;
                    pieces.push(piece);
                }
                request = request.with_gtid().with_pos(4).with_gtid_set(pieces);
            }
            Start::Gtids(gtids @ Gtids::Mariadb(_)) => {
                conn.exec_drop("SET @slave_connect_state=?", (gtids.to_string(),))
                    .await
                    .map_err(failed)?;
                request = request.with_pos(4);
            }
        }
        let stream = conn.get_binlog_stream(request).await.map_err(failed)?;
        self.stream = Some(stream);
        self.has_format = false;
        self.counts.connections += 1;
        Ok(())
    }

    /// From where to read now: the end of the last transaction, by file and offset where the
    /// protocol can say it.
    fn place(&self) -> Result<Start> {
        let Some(position) = self.transactions.position() else {
            return Ok(self.start.clone());
        };
        // The command has 32 bits for it.
        if u32::try_from(position.offset).is_ok() {
            return Ok(Start::Position(position.clone()));
        }
        match &position.gtids {
            Some(gtids) => Ok(Start::Gtids(gtids.clone())),
            None => Err(self.stop(
                "the position is behind 4 GiB in its file, which only GTIDs can tell the server",
                "begin again; with GTIDs, or smaller transactions",
            )),
        }
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        let raw = event.header();
        let header = Header {
            kind: raw.event_type_raw(),
            flags: raw.flags_raw(),
            timestamp_s: raw.timestamp(),
            server_id: raw.server_id(),
            size: raw.event_size(),
            end: raw.log_pos(),
        };
        self.counts.events += 1;
        self.counts.bytes += u64::from(header.size);
        let mut body = event.data();
        match header.kind {
            // ROTATE
            4 if !self.has_format => {
                body = without_checksum(&header, body);
                // By GTIDs, the offset is not the one that is read from: it is learned from the
                // first event.
            }
            // FORMAT_DESCRIPTION
            15 => self.has_format = true,
            _ => {}
        }
        self.verify(event, &header)?;
        if self.has_format && !matches!(header.kind, 4 | 15 | 27 | 41) {
            self.has_events = true;
        }
        self.transactions
            .event(&header, body)
            .map_err(|error| self.fatal(&error))
    }

    fn verify(&self, event: &Event, header: &Header) -> Result<()> {
        // Inside a compressed transaction events have none (and no place); the whole has one.
        let is_inner = header.end == 0 && self.transactions.is_open();
        let algorithm = event.footer().get_checksum_alg().ok().flatten();
        if is_inner || algorithm != Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32) {
            return Ok(());
        }
        let Some(sent) = event.checksum() else {
            return Ok(());
        };
        let computed = event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32);
        if u32::from_le_bytes(sent) == computed {
            return Ok(());
        }
        Err(self.stop(
            &format!("an event of type {} is damaged: its checksum is wrong", header.kind),
            "check the server's disk and memory; see `mysqlbinlog --verify-binlog-checksum` on the file",
        ))
    }

    fn where_it_is(&self) -> String {
        let (file, offset) = self.transactions.seen();
        format!("{}, log {file}:{offset}", self.server.place())
    }

    fn stop(&self, cause: &str, next: &str) -> Error {
        Error::stopped("the log cannot be followed any further")
            .at(self.where_it_is())
            .cause(cause)
            .now(self.read_so_far())
            .next(next)
    }

    fn read_so_far(&self) -> String {
        match self.transactions.position() {
            Some(position) => format!(
                "changes were read up to {}:{}; none was left out",
                position.file, position.offset
            ),
            None => "no changes were read".to_owned(),
        }
    }

    fn fatal(&self, error: &BinlogError) -> Error {
        self.stop(&error.text, error.advice())
    }

    /// What the server says against a position, all under one number.
    fn refused(&self, cause: &mysql_async::Error) -> Error {
        let text = match cause {
            mysql_async::Error::Server(server) => server.message.clone(),
            other => other.to_string(),
        };
        let lower = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let (cause, next) = if has(&[
            "purged",
            "could not find first log",
            "not in the master's binlog",
            "not exist in the binlog",
        ]) {
            (
                format!("the server no longer has its log from there on: {text}"),
                "begin the job again; keep the log for longer than a job takes (binlog_expire_logs_seconds)",
            )
        } else if has(&[
            "max_allowed_packet",
            "truncated",
            "> file size",
            "impossible position",
            "bogus data",
            "event read from binlog",
        ]) {
            (
                // MySQL reads the length of an event from the middle of one, and finds it too large.
                format!("the position is not the end of an event in this log: {text}"),
                "begin the job again",
            )
        } else {
            (
                format!("{text} (error {FATAL_READING_BINLOG})"),
                "see the server's error log",
            )
        };
        self.stop(&cause, next)
    }

    /// Ends the stream.
    pub async fn close(mut self) {
        if let Some(stream) = self.stream.take() {
            // What fails to say goodbye is closed all the same.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.close()).await;
        }
    }
}

/// A server that shuts down ends its streams with the same error number as for a bad position.
fn is_shutdown(cause: &mysql_async::Error) -> bool {
    match cause {
        mysql_async::Error::Server(server) => {
            let text = server.message.to_lowercase();
            text.contains("shutdown") || text.contains("killed") || text.contains("interrupted")
        }
        _ => false,
    }
}

/// The body of the stream's first event without the checksum that the driver could not know of:
/// it is one if it is that of the rest.
fn without_checksum<'a>(header: &Header, body: &'a [u8]) -> &'a [u8] {
    let Some((rest, checksum)) = body.split_last_chunk::<4>() else {
        return body;
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.timestamp_s.to_le_bytes());
    hasher.update(&[header.kind]);
    hasher.update(&header.server_id.to_le_bytes());
    hasher.update(&header.size.to_le_bytes());
    hasher.update(&header.end.to_le_bytes());
    hasher.update(&header.flags.to_le_bytes());
    hasher.update(rest);
    match hasher.finalize() == u32::from_le_bytes(*checksum) {
        true => rest,
        false => body,
    }
}

/// Which server this is, in a text that no other has: MySQL's UUID, MariaDB's server id (it has no
/// other lasting mark).
///
/// # Errors
/// The server cannot be asked.
pub async fn identity(server: &Server, conn: &mut Conn) -> Result<String> {
    let (what, sql) = match server.flavour() {
        Flavour::Mysql => ("server_uuid", "SELECT @@server_uuid"),
        Flavour::Mariadb => ("server_id", "SELECT CAST(@@server_id AS CHAR)"),
    };
    let value: Option<String> = conn
        .query_first(sql)
        .await
        .map_err(|cause| server.explain("could not ask which server it is", &cause))?;
    Ok(format!("{what} {}", value.unwrap_or_default()))
}

/// The end of the server's log now.
///
/// MariaDB tells the GTIDs of exactly that place. MySQL does not (a transaction may be in the log
/// and not yet among the executed ones), so there the position has none: start by
/// [`executed_gtids`] to have positions with GTIDs.
///
/// # Errors
/// The server cannot be asked, or writes no log.
pub async fn current_position(server: &Server, conn: &mut Conn) -> Result<Position> {
    let failed = |cause| server.explain("could not read the log's position", &cause);
    let mut answer = Err(());
    if server.flavour() == Flavour::Mysql {
        // New in 8.2; the old form is gone in 8.4.
        answer = match conn.query_first("SHOW BINARY LOG STATUS").await {
            Ok(row) => Ok(row),
            Err(cause) if server_code(&cause) == Some(PARSE_ERROR) => Err(()),
            Err(cause) => return Err(failed(cause)),
        };
    }
    let row: Option<Row> = match answer {
        Ok(row) => row,
        Err(()) => conn
            .query_first("SHOW MASTER STATUS")
            .await
            .map_err(failed)?,
    };
    let place = row.and_then(|row| Some((row.get::<String, _>(0)?, row.get::<u64, _>(1)?)));
    let Some((file, offset)) = place else {
        return Err(Error::server("the server writes no binary log")
            .at(server.place())
            .next("start it with log_bin and binlog_format=ROW"));
    };
    let mut position = Position::new(file, offset);
    if server.flavour() == Flavour::Mariadb {
        let gtids: Option<Option<String>> = conn
            .exec_first(
                "SELECT BINLOG_GTID_POS(?, ?)",
                (&position.file, position.offset),
            )
            .await
            .map_err(failed)?;
        position.gtids = gtids
            .flatten()
            .map(|text| Gtids::mariadb(&text))
            .transpose()
            .map_err(|cause| unreadable(server, &cause))?;
    }
    Ok(position)
}

/// What the server has executed, by GTIDs. On MySQL without GTIDs the set is empty.
///
/// # Errors
/// The server cannot be asked.
pub async fn executed_gtids(server: &Server, conn: &mut Conn) -> Result<Gtids> {
    let sql = match server.flavour() {
        Flavour::Mysql => "SELECT @@GLOBAL.gtid_executed",
        Flavour::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos",
    };
    let text: Option<String> = conn
        .query_first(sql)
        .await
        .map_err(|cause| server.explain("could not read the executed GTIDs", &cause))?;
    let text = text.unwrap_or_default();
    match server.flavour() {
        Flavour::Mysql => Gtids::mysql(&text),
        Flavour::Mariadb => Gtids::mariadb(&text),
    }
    .map_err(|cause| unreadable(server, &cause))
}

fn unreadable(server: &Server, cause: &dyn std::fmt::Display) -> Error {
    Error::server("the server's GTIDs cannot be read")
        .at(server.place())
        .cause(cause)
}

/// What in a server's settings keeps its log from being followed, each in words.
///
/// # Errors
/// The server cannot be asked.
pub async fn unfit_settings(server: &Server, conn: &mut Conn) -> Result<Vec<String>> {
    let rows: Vec<(String, String)> = conn
        .query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
             ('log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_value_options')",
        )
        .await
        .map_err(|cause| server.explain("could not read the log's settings", &cause))?;
    let mut unfit = Vec::new();
    for (name, value) in rows {
        let wanted = match name.as_str() {
            "log_bin" => "ON",
            "binlog_format" => "ROW",
            "binlog_row_image" => "FULL",
            _ => "",
        };
        if !value.eq_ignore_ascii_case(wanted) {
            unfit.push(format!("{name} is `{value}`, and should be `{wanted}`"));
        }
    }
    Ok(unfit)
}

/// The shape of a table, as it is now.
///
/// # Errors
/// The server cannot be asked, there is no such table, or its rows in the log cannot be followed.
pub async fn table_shape(
    server: &Server,
    conn: &mut Conn,
    schema: &str,
    table: &str,
) -> Result<TableShape> {
    let place = format!("`{schema}`.`{table}`");
    let failed = |cause| server.explain(&format!("could not read the columns of {place}"), &cause);
    let refuse = |cause: &str| {
        Error::server(format!("the log of {place} cannot be followed"))
            .at(server.place())
            .cause(cause)
    };
    let kind: Option<String> = conn
        .exec_first(
            "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
            (schema, table),
        )
        .await
        .map_err(failed)?;
    match kind.as_deref() {
        Some("BASE TABLE") => {}
        // Its rows come with two hidden columns, and old versions of rows beside the new.
        Some("SYSTEM VERSIONED") => return Err(refuse("it is system-versioned")),
        Some(_) => return Err(refuse("it is no base table")),
        None => return Err(refuse("there is no such table")),
    }
    let rows: Vec<Row> = conn
        .exec(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
             CHARACTER_OCTET_LENGTH, DATETIME_PRECISION, GENERATION_EXPRESSION \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             ORDER BY ORDINAL_POSITION",
            (schema, table),
        )
        .await
        .map_err(failed)?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let text = |index: usize| row.get::<Option<String>, _>(index).flatten();
        let number = |index: usize| row.get::<Option<u64>, _>(index).flatten();
        let declared = text(2).unwrap_or_default();
        columns.push(ColumnShape {
            name: text(0).unwrap_or_default(),
            kind: text(1).unwrap_or_default().to_lowercase(),
            unsigned: declared.to_lowercase().contains(" unsigned"),
            declared,
            charset: text(3),
            collation: text(4),
            generated: text(7).is_some_and(|expression| !expression.is_empty()),
            bytes_max: number(5),
            fraction: u8::try_from(number(6).unwrap_or_default()).unwrap_or_default(),
        });
    }
    let parts: Vec<(String, Option<u64>)> = conn
        .exec(
            "SELECT COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' \
             ORDER BY SEQ_IN_INDEX",
            (schema, table),
        )
        .await
        .map_err(failed)?;
    let mut key = Vec::new();
    for (name, prefix) in parts {
        if prefix.is_some() {
            return Err(refuse(&format!(
                "its primary key holds a prefix of `{name}` only"
            )));
        }
        let index = columns.iter().position(|column| column.name == name);
        key.push(index.ok_or_else(|| refuse("its primary key has a column that it has not"))?);
    }
    Ok(TableShape {
        schema: schema.to_owned(),
        table: table.to_owned(),
        columns,
        key,
    })
}
