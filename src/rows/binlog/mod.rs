//! Reading a server's binary log: bodies of events to row changes and transactions.
//!
//! The transport gives events one by one, with their checksums verified and taken off; here their
//! bodies are decoded ([`Decoder`]) and joined to transactions ([`Transactions`]). The decoder is
//! ours because the driver's loses information: MEDIUMINT's sign, fractions of negative times, the
//! year 0000, values inside JSON, MariaDB's compressed columns and events.
//!
//! # What the log has
//!
//! Sources: MySQL's `libs/mysql/binlog/event/*.h`, MariaDB's `sql/log_event.h` and the page
//! "Replication Protocol" of its manual; all of it was also seen on MySQL 9.7 and MariaDB 10.11.
//!
//! | | MySQL | MariaDB |
//! |---|---|---|
//! | a transaction begins with | GTID 33, tagged 42 or anonymous 34, then the statement BEGIN | GTID 162, no BEGIN |
//! | DDL | GTID, the statement | GTID with the flag "standalone", the statement |
//! | a transaction ends with | XID 16, or the statement COMMIT (no transactional table in it) | the same |
//! | rows | TABLE_MAP 19, then 30, 31, 32 (version 2) | TABLE_MAP 19, then 23, 24, 25 (version 1) |
//! | compressed | the whole transaction in TRANSACTION_PAYLOAD 40; its events have no positions and no checksums | each event: 165 to 171 |
//! | signedness of integers | in the table map's optional part | nowhere, by default |
//!
//! Every event type that is not known here stops the tail, except those that both servers mark as
//! ignorable and those listed in [`Decoder::decode`], which are known to hold no rows.
//!
//! # What the log has not
//!
//! Rows that a foreign key's cascade changes are not in the log of MariaDB, nor of MySQL before
//! 9.6: tables with such keys must be refused before. A statement in statement format that reaches
//! a watched table only through a view, trigger or routine of another schema is seen on MySQL, which
//! lists the schemas that it changed; MariaDB's log does not say.

mod bytes;
mod column;
mod inflate;
mod json;
mod query;
mod transaction;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use self::bytes::{Bytes, Malformed, Read};
use self::column::Codec;
use self::query::{Named, Statement};
pub use self::transaction::{Item, Limits, Rename, Transactions};
use super::change::{Row, RowChange};
use super::position::Gtid;
use super::shape::TableShape;
use super::value::Value;

/// Why the log cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An event is not what its format says.
    Malformed,
    /// An event of a type not known here.
    UnknownEvent,
    /// A row image without all columns.
    PartialImage,
    /// Changes of a table came as a statement.
    StatementFormat,
    /// A table's definition changed, or it was emptied or dropped.
    Definition,
    /// An XA transaction was prepared: whether its rows will count is not known.
    XaPrepared,
    /// Changed rows were taken back inside the log.
    RolledBack,
    /// The server lost events.
    Incident,
}

/// Why the log cannot be followed, and which event it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BinlogError {
    /// Why, for the program.
    pub reason: Reason,
    /// Why, for people.
    pub text: String,
}

impl BinlogError {
    fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// What can be done.
    pub fn advice(&self) -> &'static str {
        match self.reason {
            Reason::Malformed => {
                "report this; begin the job again after the server's log is known to be good"
            }
            Reason::UnknownEvent => "report this; a newer version may know it",
            Reason::PartialImage => {
                "set binlog_row_image=FULL and binlog_row_value_options='' for every session, then begin again"
            }
            Reason::StatementFormat => "set binlog_format=ROW for every session, then begin again",
            Reason::Definition => "finish the change of the tables, then begin again",
            Reason::XaPrepared => "end the XA transactions on these tables, then begin again",
            Reason::RolledBack => {
                "keep transactional and other tables apart in the application's transactions, then begin again"
            }
            Reason::Incident => "see the server's error log, then begin again",
        }
    }
}

/// An event's header, without what only the transport needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u16,
    /// When it was written, in seconds since 1970.
    pub timestamp_s: u32,
    /// The server on which its transaction was first executed.
    pub server_id: u32,
    /// Its bytes, header and checksum included.
    pub size: u32,
    /// The end of the event in its file, the low 32 bits; 0 where it has none.
    pub end: u32,
}

/// `LOG_EVENT_ARTIFICIAL_F`: made for this stream, not in the file.
const ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_IGNORABLE_F`: who does not know the event may leave it out.
const IGNORABLE: u16 = 0x80;

/// What an event means.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Goes on in another file.
    Rotate {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// Whether it is in the log, and not made for the stream.
        is_real: bool,
    },
    /// A transaction begins.
    Gtid {
        /// Its id, where it has one.
        gtid: Option<Gtid>,
        /// MariaDB says whether an event of its own ends it.
        is_ended: Option<bool>,
    },
    /// A statement.
    Query {
        /// The schema it ran in.
        schema: String,
        /// The schemas it changed, where the server says so.
        changed: Option<Vec<String>>,
        /// The statement.
        sql: String,
    },
    /// Changes of a watched table.
    Rows(Vec<RowChange>),
    /// A transaction is committed.
    Xid,
    /// An XA transaction is prepared, or committed in one phase.
    XaPrepare {
        /// Whether it is committed.
        is_committed: bool,
    },
    /// A whole transaction, compressed: its events follow.
    Payload {
        /// Their bytes.
        bytes: u64,
    },
    /// The server has nothing new.
    Heartbeat,
    /// Nothing about rows.
    Nothing,
}

/// A table map: what the following row events are of.
#[derive(Debug)]
enum Mapped {
    Unwatched,
    Watched(Arc<Watched>),
}

#[derive(Debug)]
struct Watched {
    shape: Arc<TableShape>,
    codecs: Vec<Codec>,
    /// The event's body, to know it again: it comes before almost every row event.
    body: Vec<u8>,
}

/// Decodes the bodies of events.
#[derive(Debug)]
pub struct Decoder {
    watched: HashMap<(String, String), Arc<TableShape>>,
    maps: HashMap<u64, Mapped>,
}

/// The most table maps that are remembered: the servers send them again with each statement.
const MAPS_MAX: usize = 10_000;

/// The table id of MariaDB's and MySQL's empty row event that only ends a statement.
const DUMMY_TABLE: u64 = 0xff_ffff;

impl Decoder {
    /// A decoder that gives the changes of these tables.
    pub fn new(tables: impl IntoIterator<Item = Arc<TableShape>>) -> Self {
        let key = |table: &TableShape| (table.schema.clone(), table.table.clone());
        Self {
            watched: tables
                .into_iter()
                .map(|table| (key(&table), table))
                .collect(),
            maps: HashMap::new(),
        }
    }

    /// The tables whose changes it gives.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableShape>> {
        self.watched.values()
    }

    /// What an event means. Its body comes without header and checksum.
    ///
    /// # Errors
    /// It cannot be read, its type is unknown, or a row image lacks columns.
    pub fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Event, BinlogError> {
        let name = EventName(header.kind);
        let malformed = |cause: Malformed| {
            BinlogError::new(
                Reason::Malformed,
                format!("the event {name} cannot be read: {}", cause.0),
            )
        };
        match header.kind {
            2 => query_event(body, 13, false).map_err(malformed),
            // LOAD DATA as a statement: file id, two places in the text, how duplicates are handled.
            18 => query_event(body, 26, false).map_err(malformed),
            165 => query_event(body, 13, true).map_err(malformed),
            4 => rotate_event(header, body).map_err(malformed),
            33 | 34 => mysql_gtid(header.kind == 33, body).map_err(malformed),
            42 => tagged_gtid(body).map_err(malformed),
            162 => mariadb_gtid(header.server_id, body).map_err(malformed),
            19 => self.table_map(body),
            23..=25 | 30..=32 | 166..=171 => self.rows(name, body),
            16 => Ok(Event::Xid),
            38 => Ok(Event::XaPrepare {
                is_committed: Bytes(body).u8().map_err(malformed)? != 0,
            }),
            40 => payload(body).map_err(malformed),
            27 | 41 => Ok(Event::Heartbeat),
            39 => self.partial_update(name, body),
            26 => Err(BinlogError::new(
                Reason::Incident,
                "the server says that events may be missing from its log (INCIDENT)",
            )),
            // Stop, variables of a statement, its file, format, text of a statement, GTIDs before
            // this file, group replication's own; MariaDB's annotation, checkpoint, GTID list,
            // encryption.
            3 | 5 | 9 | 11 | 13 | 14 | 15 | 17 | 28 | 29 | 35..=37 | 160 | 161 | 163 | 164 => {
                Ok(Event::Nothing)
            }
            _ if header.flags & IGNORABLE != 0 => Ok(Event::Nothing),
            other => Err(BinlogError::new(
                Reason::UnknownEvent,
                format!("the log has an event of the unknown type {other}"),
            )),
        }
    }

    /// Forgets the table maps, which hold to the end of their transaction.
    fn end_transaction(&mut self) {
        if self.maps.len() > MAPS_MAX {
            self.maps.clear();
        }
    }

    fn table_map(&mut self, body: &[u8]) -> Result<Event, BinlogError> {
        let malformed = |cause: Malformed| {
            BinlogError::new(
                Reason::Malformed,
                format!("the event {} cannot be read: {}", EventName(19), cause.0),
            )
        };
        let mut bytes = Bytes(body);
        let id = bytes.le(6).map_err(malformed)?;
        if let Some(Mapped::Watched(known)) = self.maps.get(&id)
            && known.body == body
        {
            return Ok(Event::Nothing);
        }
        bytes.le(2).map_err(malformed)?;
        let schema = short_name(&mut bytes).map_err(malformed)?;
        let table = short_name(&mut bytes).map_err(malformed)?;
        let mapped = match self.watched.get(&(schema, table)) {
            None => Mapped::Unwatched,
            Some(shape) => Mapped::Watched(Arc::new(Watched {
                shape: Arc::clone(shape),
                codecs: codecs(shape, bytes)?,
                body: body.to_vec(),
            })),
        };
        self.maps.insert(id, mapped);
        Ok(Event::Nothing)
    }

    /// The table of a row event, if it is watched.
    fn mapped(&self, name: EventName, id: u64) -> Result<Option<&Arc<Watched>>, BinlogError> {
        match self.maps.get(&id) {
            Some(Mapped::Watched(table)) => Ok(Some(table)),
            Some(Mapped::Unwatched) => Ok(None),
            None if id == DUMMY_TABLE => Ok(None),
            None => Err(BinlogError::new(
                Reason::Malformed,
                format!("the event {name} is of table {id}, which no event before it names"),
            )),
        }
    }

    /// MySQL's updates with parts of JSON documents. Elsewhere they are no matter of ours.
    fn partial_update(&self, name: EventName, body: &[u8]) -> Result<Event, BinlogError> {
        let id = Bytes(body).le(6).map_err(|cause| {
            BinlogError::new(
                Reason::Malformed,
                format!("the event {name} cannot be read: {}", cause.0),
            )
        })?;
        match self.mapped(name, id)? {
            None => Ok(Event::Nothing),
            Some(table) => Err(BinlogError::new(
                Reason::PartialImage,
                format!(
                    "an update of {} came with parts of JSON documents only \
                     (binlog_row_value_options=PARTIAL_JSON)",
                    table.shape.quoted()
                ),
            )),
        }
    }

    fn rows(&self, name: EventName, body: &[u8]) -> Result<Event, BinlogError> {
        let event = |cause: Malformed| {
            BinlogError::new(
                Reason::Malformed,
                format!("the event {name} cannot be read: {}", cause.0),
            )
        };
        let mut bytes = Bytes(body);
        let id = bytes.le(6).map_err(event)?;
        let Some(table) = self.mapped(name, id)? else {
            return Ok(Event::Nothing);
        };
        let shape = &table.shape;
        let event = |cause: Malformed| {
            BinlogError::new(
                Reason::Malformed,
                format!(
                    "the event {name} of {} cannot be read: {}",
                    shape.quoted(),
                    cause.0
                ),
            )
        };
        let form = RowsForm::of(name.0);
        bytes.le(2).map_err(event)?;
        if form.has_extra {
            let extra = bytes.le(2).map_err(event)?;
            bytes.take_u64(extra.saturating_sub(2)).map_err(event)?;
        }
        let count = bytes.lenenc().map_err(event)?;
        if count != table.codecs.len() as u64 {
            return Err(event(
                format!(
                    "it has {count} columns and the table map {}",
                    table.codecs.len()
                )
                .into(),
            ));
        }
        for _ in 0..usize::from(form.has_before) + usize::from(form.has_after) {
            let present = bytes.take(table.codecs.len().div_ceil(8)).map_err(event)?;
            let is_full = (0..table.codecs.len()).all(|index| {
                present
                    .get(index / 8)
                    .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
            });
            if !is_full {
                return Err(BinlogError::new(
                    Reason::PartialImage,
                    format!(
                        "rows of {} came without all of their columns ({name}; binlog_row_image is not FULL \
                         in a session)",
                        shape.quoted()
                    ),
                ));
            }
        }
        let inflated;
        if form.is_compressed {
            inflated = inflate::event(bytes.rest()).map_err(event)?;
            bytes = Bytes(&inflated);
        }
        let mut changes = Vec::new();
        while !bytes.is_empty() {
            let mut image = |wanted: bool| -> Result<Option<Row>, BinlogError> {
                match wanted {
                    true => table.row(name, &mut bytes).map(Some),
                    false => Ok(None),
                }
            };
            let before = image(form.has_before)?;
            let after = image(form.has_after)?;
            changes.push(RowChange {
                table: Arc::clone(shape),
                before,
                after,
            });
        }
        Ok(Event::Rows(changes))
    }
}

impl Watched {
    fn row(&self, name: EventName, bytes: &mut Bytes<'_>) -> Result<Row, BinlogError> {
        let malformed = |place: String, cause: Malformed| {
            BinlogError::new(
                Reason::Malformed,
                format!("the event {name} of {place} cannot be read: {}", cause.0),
            )
        };
        let nulls = bytes
            .take(self.codecs.len().div_ceil(8))
            .map_err(|cause| malformed(self.shape.quoted(), cause))?;
        let mut row = Vec::with_capacity(self.codecs.len());
        for (index, codec) in self.codecs.iter().enumerate() {
            let is_null = nulls
                .get(index / 8)
                .is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            row.push(match is_null {
                true => Value::Null,
                false => codec
                    .value(bytes)
                    .map_err(|cause| malformed(column_place(&self.shape, index), cause))?,
            });
        }
        Ok(row)
    }
}

fn column_place(shape: &TableShape, index: usize) -> String {
    match shape.columns.get(index) {
        Some(column) => format!("{}, column {}", shape.quoted(), column.quoted()),
        None => shape.quoted(),
    }
}

/// Which parts a row event has.
struct RowsForm {
    has_extra: bool,
    has_before: bool,
    has_after: bool,
    is_compressed: bool,
}

impl RowsForm {
    fn of(kind: u8) -> Self {
        // Writes, updates and deletes come in threes.
        let (first, has_extra, is_compressed) = match kind {
            23..=25 => (23, false, false),
            30..=32 => (30, true, false),
            166..=168 => (166, false, true),
            _ => (169, true, true),
        };
        let which = kind.saturating_sub(first);
        Self {
            has_extra,
            has_before: which > 0,
            has_after: which < 2,
            is_compressed,
        }
    }
}

/// A name of at most 255 bytes behind its length, with a zero byte behind it.
fn short_name(bytes: &mut Bytes<'_>) -> Read<String> {
    let length = bytes.u8()?;
    let name = bytes.take(length.into())?;
    bytes.u8()?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn codecs(shape: &TableShape, mut bytes: Bytes<'_>) -> Result<Vec<Codec>, BinlogError> {
    let malformed = |place: String, cause: Malformed| {
        BinlogError::new(
            Reason::Malformed,
            format!(
                "the event {} of {place} cannot be read: {}",
                EventName(19),
                cause.0
            ),
        )
    };
    let table = |cause| malformed(shape.quoted(), cause);
    let count = bytes.lenenc().map_err(table)?;
    if count != shape.columns.len() as u64 {
        return Err(BinlogError::new(
            Reason::Definition,
            format!(
                "{} has {} columns now and {count} in the log: it was changed",
                shape.quoted(),
                shape.columns.len()
            ),
        ));
    }
    let kinds = bytes.take(shape.columns.len()).map_err(table)?;
    let length = bytes.lenenc().map_err(table)?;
    let mut metadata = Bytes(bytes.take_u64(length).map_err(table)?);
    let mut codecs = Vec::with_capacity(kinds.len());
    for (index, (kind, column)) in kinds.iter().zip(&shape.columns).enumerate() {
        codecs.push(
            Codec::read(column, *kind, &mut metadata)
                .map_err(|cause| malformed(column_place(shape, index), cause))?,
        );
    }
    if !metadata.is_empty() {
        return Err(table("its metadata is longer than its columns need".into()));
    }
    Ok(codecs)
}

fn rotate_event(header: &Header, body: &[u8]) -> Read<Event> {
    let mut bytes = Bytes(body);
    Ok(Event::Rotate {
        offset: bytes.le(8)?,
        file: String::from_utf8_lossy(bytes.rest()).into_owned(),
        is_real: header.end != 0 && header.flags & ARTIFICIAL == 0,
    })
}

fn query_event(body: &[u8], post_header: usize, is_compressed: bool) -> Read<Event> {
    let mut bytes = Bytes(body);
    let mut post = Bytes(bytes.take(post_header)?);
    post.take(8)?;
    let schema_length = post.u8()?;
    post.take(2)?;
    let status_length = post.le(2)?;
    let status = bytes.take_u64(status_length)?;
    let schema = bytes.take(schema_length.into())?;
    bytes.u8()?;
    let inflated;
    let sql = match is_compressed {
        true => {
            inflated = inflate::event(bytes.rest())?;
            &inflated[..]
        }
        false => bytes.rest(),
    };
    Ok(Event::Query {
        schema: String::from_utf8_lossy(schema).into_owned(),
        changed: changed_schemas(Bytes(status)).unwrap_or_default(),
        sql: String::from_utf8_lossy(sql).into_owned(),
    })
}

/// The schemas that a statement changed, which MySQL lists among the status variables of its
/// event (`Q_UPDATED_DB_NAMES`; `statement_events.h`). `None` where it lists none, or too many, or
/// where a variable before it is not known.
fn changed_schemas(mut status: Bytes<'_>) -> Read<Option<Vec<String>>> {
    while !status.is_empty() {
        match status.u8()? {
            // flags, time zone of months' names, charset of the schema
            0 | 10 => drop(status.take(4)?),
            1 | 9 | 17 => drop(status.take(8)?),
            3 => drop(status.take(4)?),
            4 => drop(status.take(6)?),
            7 | 8 | 18 => drop(status.take(2)?),
            16 | 19 | 20 => drop(status.take(1)?),
            13 | 128 => drop(status.take(3)?),
            5 | 6 => {
                let length = status.u8()?;
                status.take(length.into())?;
            }
            2 => {
                let length = status.u8()?;
                status.take(usize::from(length) + 1)?;
            }
            // The user and host that a definer's rights came from.
            11 => {
                for _ in 0..2 {
                    let length = status.u8()?;
                    status.take(length.into())?;
                }
            }
            12 => {
                let count = status.u8()?;
                // OVER_MAX_DBS_IN_EVENT_MTS: too many to list.
                if count == 254 {
                    return Ok(None);
                }
                let mut schemas = Vec::new();
                for _ in 0..count {
                    let rest = status.rest();
                    let end = rest
                        .iter()
                        .position(|byte| *byte == 0)
                        .ok_or("a name has no end")?;
                    let name = status.take(end)?;
                    schemas.push(String::from_utf8_lossy(name).into_owned());
                    status.u8()?;
                }
                return Ok(Some(schemas));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn mysql_gtid(has_gtid: bool, body: &[u8]) -> Read<Event> {
    let mut bytes = Bytes(body);
    bytes.u8()?;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(bytes.take(16)?);
    let number = bytes.le(8)?;
    Ok(Event::Gtid {
        gtid: has_gtid.then_some(Gtid::Mysql {
            uuid,
            tag: String::new(),
            number,
        }),
        is_ended: None,
    })
}

/// MySQL's event of transactions with a tag: fields behind their numbers, in the format of its
/// serialization library (`libs/mysql/serialization`, `control_events.h`). The first four are what
/// is wanted, and they come first.
fn tagged_gtid(body: &[u8]) -> Read<Event> {
    let mut bytes = Bytes(body);
    let version = bytes.varlen()?;
    // Version 1, as the writer's integers have it.
    if version != 1 {
        return Err(format!("its format has the unknown version {version}").into());
    }
    let _size = bytes.varlen()?;
    let _last_field = bytes.varlen()?;
    let mut uuid = None;
    let mut number = None;
    let mut tag = None;
    while tag.is_none() {
        match bytes.varlen()? {
            0 => drop(bytes.varlen()?),
            1 => {
                let mut read = [0; 16];
                for byte in &mut read {
                    *byte = u8::try_from(bytes.varlen()?).map_err(|_| "a UUID is none")?;
                }
                uuid = Some(read);
            }
            // Signed: the lowest bit is the sign.
            2 => number = Some(bytes.varlen()? >> 1),
            3 => {
                let length = bytes.varlen()?;
                let text = bytes.take_u64(length)?;
                tag = Some(String::from_utf8_lossy(text).into_owned());
            }
            other => return Err(format!("it has the unknown field {other}").into()),
        }
    }
    Ok(Event::Gtid {
        gtid: Some(Gtid::Mysql {
            uuid: uuid.ok_or("it has no UUID")?,
            tag: tag.unwrap_or_default(),
            number: number.ok_or("it has no number")?,
        }),
        is_ended: None,
    })
}

/// MariaDB's GTID event; the server's part of the id is in the event's header.
fn mariadb_gtid(server: u32, body: &[u8]) -> Read<Event> {
    let mut bytes = Bytes(body);
    let sequence = bytes.le(8)?;
    let domain = u32::try_from(bytes.le(4)?).unwrap_or_default();
    // FL_STANDALONE
    let standalone = bytes.u8()? & 1 != 0;
    Ok(Event::Gtid {
        gtid: Some(Gtid::Mariadb {
            domain,
            server,
            sequence,
        }),
        is_ended: Some(!standalone),
    })
}

/// MySQL's compressed transaction: fields of number, length and value; 0 ends them, 1 is the size
/// of what follows, 2 the method, 3 the bytes uncompressed (`Transaction_payload_event`).
fn payload(body: &[u8]) -> Read<Event> {
    let mut bytes = Bytes(body);
    let mut size = None;
    let mut uncompressed = None;
    loop {
        let field = bytes.lenenc()?;
        if field == 0 {
            break;
        }
        let length = bytes.lenenc()?;
        let mut value = Bytes(bytes.take_u64(length)?);
        match field {
            1 => size = Some(value.lenenc()?),
            3 => uncompressed = Some(value.lenenc()?),
            _ => {}
        }
    }
    let size = size.ok_or("it has no size")?;
    if bytes.rest().len() as u64 != size {
        return Err("it is not as long as it says".into());
    }
    Ok(Event::Payload {
        bytes: uncompressed.unwrap_or(size),
    })
}

/// An event's type, for people.
#[derive(Debug, Clone, Copy)]
struct EventName(u8);

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            2 => "QUERY",
            4 => "ROTATE",
            18 => "EXECUTE_LOAD_QUERY",
            19 => "TABLE_MAP",
            23 | 30 => "WRITE_ROWS",
            24 | 31 => "UPDATE_ROWS",
            25 | 32 => "DELETE_ROWS",
            33 | 34 | 42 | 162 => "GTID",
            38 => "XA_PREPARE",
            39 => "PARTIAL_UPDATE_ROWS",
            40 => "TRANSACTION_PAYLOAD",
            165 => "QUERY_COMPRESSED",
            166 | 169 => "WRITE_ROWS_COMPRESSED",
            167 | 170 => "UPDATE_ROWS_COMPRESSED",
            168 | 171 => "DELETE_ROWS_COMPRESSED",
            other => return write!(f, "{other}"),
        })
    }
}
