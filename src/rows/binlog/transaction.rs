//! Events to transactions: begin, changes, commit with the position behind it.
//!
//! What the consumer sees of a transaction with watched rows is one [`Item::Begin`], any number of
//! [`Item::Changes`] in the order of the log, and one [`Item::Commit`]. Large transactions come in
//! pieces as they are read, so nothing but the commit says that its rows are to be kept. A
//! transaction without watched rows is an [`Item::Passed`]. What the servers log is committed on
//! them already, except in two cases, both of which stop the tail where watched rows are concerned: a
//! prepared XA transaction, and a transaction that was rolled back but is in the log because it
//! wrote to a table that cannot roll back.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::Arc;

use super::query::{classify, first_words};
use super::{ARTIFICIAL, BinlogError, Decoder, Event, Header, Named, Reason, Statement};
use crate::rows::change::RowChange;
use crate::rows::position::{Gtid, Position};
use crate::rows::shape::TableShape;

/// A renaming that the job itself does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rename {
    /// The schema, which stays.
    pub schema: String,
    /// The name before.
    pub from: String,
    /// The name after.
    pub to: String,
}

/// What happened on the source, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A transaction with watched rows begins.
    Begin {
        /// Its id, where it has one.
        gtid: Option<Gtid>,
        /// When it was written, in seconds since 1970, by the source's clock.
        timestamp_s: u32,
        /// The end of an event of it: behind every position before the transaction, and not behind
        /// its own.
        place: Position,
    },
    /// Some of its changes.
    Changes(Vec<RowChange>),
    /// It is committed: all of its changes have been given.
    Commit {
        /// The position behind it.
        position: Position,
        /// When its end was written, in seconds since 1970, by the source's clock.
        timestamp_s: u32,
    },
    /// Something without watched rows.
    Passed {
        /// The position behind it.
        position: Position,
    },
    /// Tables were renamed, all as the job was told to expect, here or back.
    Renamed {
        /// What was renamed, as it happened.
        renames: Vec<Rename>,
        /// The position behind it.
        position: Position,
    },
    /// The server has nothing new.
    Idle {
        /// The position behind what was read last. Where reading began by GTIDs, it is not known
        /// before the first transaction.
        position: Option<Position>,
    },
}

/// How large a piece of a transaction may be before it is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Changes.
    pub rows_max: usize,
    /// Bytes of values, about; one event may pass it.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_max: 1_000,
            bytes_max: 1 << 20,
        }
    }
}

/// Joins events to transactions and makes the checks that need more than one event.
#[derive(Debug)]
pub struct Transactions {
    decoder: Decoder,
    schemas: HashSet<String>,
    tables: HashSet<(String, String)>,
    renames: HashSet<Rename>,
    limits: Limits,
    position: Position,
    /// Whether the position is the end of a transaction, and not only the file that is read from
    /// when reading began by GTIDs.
    is_placed: bool,
    /// The end of the last event in the file, inside a transaction too.
    seen: u64,
    open: Option<Open>,
    payload: Option<Payload>,
    replay: Option<Replay>,
    batch: Vec<RowChange>,
    batch_bytes: usize,
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Open {
    gtid: Option<Gtid>,
    timestamp_s: u32,
    /// Whether an event of its own will end it; if not, its only statement does.
    is_ended: bool,
    is_shown: bool,
    /// Watched rows so far, and how many of them have become items.
    rows: u64,
    given: u64,
}

/// A compressed transaction whose events are coming.
#[derive(Debug)]
struct Payload {
    end: u64,
    left: u64,
}

/// A transaction that was given in part when the connection was lost, and comes again.
#[derive(Debug)]
struct Replay {
    gtid: Option<Gtid>,
    given: u64,
}

fn lower(schema: &str, table: &str) -> (String, String) {
    (schema.to_lowercase(), table.to_lowercase())
}

impl Transactions {
    /// Starts behind `position`, which is the end of a transaction.
    ///
    /// A renaming of watched tables that is in `renames`, or undoes one of them, is given as
    /// [`Item::Renamed`]; every other one is an error.
    pub fn new(
        tables: Vec<Arc<TableShape>>,
        renames: Vec<Rename>,
        limits: Limits,
        position: Position,
    ) -> Self {
        // A server with lower_case_table_names has names in statements as they were written.
        Self {
            schemas: tables.iter().map(|t| t.schema.to_lowercase()).collect(),
            tables: tables.iter().map(|t| lower(&t.schema, &t.table)).collect(),
            decoder: Decoder::new(tables),
            renames: renames.into_iter().collect(),
            limits,
            seen: position.offset,
            is_placed: !position.file.is_empty(),
            position,
            open: None,
            payload: None,
            replay: None,
            batch: Vec::new(),
            batch_bytes: 0,
            items: VecDeque::new(),
        }
    }

    /// The position behind the last whole transaction, if it is known, see [`Item::Idle`].
    pub fn position(&self) -> Option<&Position> {
        self.is_placed.then_some(&self.position)
    }

    /// The end of the event that was read last: where an error is.
    pub fn seen(&self) -> (&str, u64) {
        (&self.position.file, self.seen)
    }

    /// Whether the last event was in the middle of a transaction.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What happened next, if it is known already.
    pub fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// The connection was lost: events come again from [`Self::position`]. What was given of an
    /// open transaction is not given again.
    pub fn restart(&mut self) {
        self.batch.clear();
        self.batch_bytes = 0;
        self.payload = None;
        self.seen = self.position.offset;
        self.decoder.maps.clear();
        if let Some(open) = self.open.take()
            && open.is_shown
        {
            // Lost again before it came as far as before: the rest of the earlier count stays.
            let rest = self.replay.take().map_or(0, |replay| replay.given);
            self.replay = Some(Replay {
                gtid: open.gtid,
                given: open.given + rest,
            });
        }
    }

    /// Takes the next event, whose body comes without header and checksum.
    ///
    /// # Errors
    /// The log cannot be followed any further. Nothing may be taken after that.
    pub fn event(&mut self, header: &Header, body: &[u8]) -> Result<(), BinlogError> {
        let event = self.decoder.decode(header, body)?;
        let end = self.end_of(header, &event)?;
        match event {
            Event::Rotate {
                file,
                offset,
                is_real,
            } => {
                // A file that ends without saying where it goes on was cut off by a crash.
                if is_real || file != self.position.file {
                    self.no_open_transaction("the log file ends")?;
                    self.position.file = file;
                    self.position.offset = offset;
                    self.seen = offset;
                }
            }
            Event::Gtid { gtid, is_ended } => {
                self.no_open_transaction("another transaction begins")?;
                if let Some(replay) = &self.replay
                    && replay.gtid != gtid
                {
                    return Err(malformed(
                        "the transaction that was being read is not where it was",
                    ));
                }
                self.open = Some(Open {
                    gtid,
                    timestamp_s: header.timestamp_s,
                    is_ended: is_ended.unwrap_or_default(),
                    is_shown: false,
                    rows: 0,
                    given: 0,
                });
            }
            Event::Query {
                schema,
                changed,
                sql,
            } => self.statement(header, end, &schema, changed.as_deref(), &sql)?,
            Event::Rows(changes) => self.rows(header, changes)?,
            Event::Xid => self.commit(header, end)?,
            Event::XaPrepare { is_committed } => {
                if !is_committed
                    && let Some(open) = &self.open
                    && open.rows > 0
                {
                    return Err(BinlogError::new(
                        Reason::XaPrepared,
                        "an XA transaction with rows of watched tables was prepared",
                    ));
                }
                self.commit(header, end)?;
            }
            Event::Payload { bytes } => self.payload = Some(Payload { end, left: bytes }),
            Event::Heartbeat => {
                if self.open.is_none() {
                    self.items.push_back(Item::Idle {
                        position: self.position().cloned(),
                    });
                }
            }
            Event::Nothing => {}
        }
        Ok(())
    }

    /// The end of an event in its file: inside a compressed transaction, that of the whole.
    fn end_of(&mut self, header: &Header, event: &Event) -> Result<u64, BinlogError> {
        if let Some(payload) = &mut self.payload {
            if payload.left > 0 {
                // Events of the file have an end; those of a compressed transaction have none.
                if header.end != 0 {
                    return Err(malformed(
                        "a compressed transaction could not be uncompressed",
                    ));
                }
                payload.left = payload
                    .left
                    .checked_sub(header.size.into())
                    .ok_or_else(|| malformed("a compressed transaction is longer than it says"))?;
                return Ok(payload.end);
            }
            if self.open.is_some() {
                return Err(malformed("a compressed transaction has no end"));
            }
            self.payload = None;
        }
        let is_place = header.end != 0
            && header.flags & ARTIFICIAL == 0
            // The format description repeats the file's beginning.
            && header.kind != 15
            && !matches!(event, Event::Rotate { .. } | Event::Heartbeat);
        if is_place {
            // The header has the low 32 bits only.
            let end = self.seen & !0xffff_ffff | u64::from(header.end);
            self.seen = if end < self.seen {
                end + (1 << 32)
            } else {
                end
            };
        }
        Ok(self.seen)
    }

    /// A transaction that ends without an end event was cut off, by a crash of the source.
    fn no_open_transaction(&mut self, what: &str) -> Result<(), BinlogError> {
        match self.open.take() {
            Some(open) if open.rows > 0 => Err(BinlogError::new(
                Reason::RolledBack,
                format!("{what} before the end of a transaction with rows of watched tables"),
            )),
            _ => Ok(()),
        }
    }

    fn rows(&mut self, header: &Header, mut changes: Vec<RowChange>) -> Result<(), BinlogError> {
        let Some(open) = &mut self.open else {
            return Err(malformed(
                "rows came outside a transaction: the position is not the end of one",
            ));
        };
        if let Some(replay) = &mut self.replay {
            let again = usize::try_from(replay.given)
                .unwrap_or(usize::MAX)
                .min(changes.len());
            replay.given -= again as u64;
            open.given += again as u64;
            open.rows += again as u64;
            open.is_shown = true;
            changes.drain(..again);
            if replay.given == 0 {
                self.replay = None;
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        if !open.is_shown {
            open.is_shown = true;
            self.items.push_back(Item::Begin {
                gtid: open.gtid.clone(),
                timestamp_s: header.timestamp_s.max(open.timestamp_s),
                place: Position::new(self.position.file.clone(), self.seen),
            });
        }
        open.rows += changes.len() as u64;
        self.batch_bytes += changes.iter().map(RowChange::size).sum::<usize>();
        self.batch.append(&mut changes);
        if self.batch.len() >= self.limits.rows_max || self.batch_bytes >= self.limits.bytes_max {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            if let Some(open) = &mut self.open {
                open.given += self.batch.len() as u64;
            }
            self.batch_bytes = 0;
            self.items
                .push_back(Item::Changes(mem::take(&mut self.batch)));
        }
    }

    /// The transaction is over, and the position behind it.
    fn end(&mut self, end: u64) -> Result<Option<Open>, BinlogError> {
        if self
            .payload
            .as_ref()
            .is_some_and(|payload| payload.left > 0)
        {
            return Err(malformed("a compressed transaction goes on behind its end"));
        }
        if self.replay.is_some() {
            return Err(malformed(
                "the transaction that was being read is shorter than it was",
            ));
        }
        self.flush();
        let open = self.open.take();
        self.decoder.end_transaction();
        self.position.offset = end;
        self.is_placed = true;
        if let (Some(gtids), Some(gtid)) = (
            &mut self.position.gtids,
            open.as_ref().and_then(|open| open.gtid.as_ref()),
        ) {
            gtids.add(gtid);
        }
        Ok(open)
    }

    fn commit(&mut self, header: &Header, end: u64) -> Result<(), BinlogError> {
        let open = self.end(end)?;
        let position = self.position.clone();
        self.items.push_back(match open {
            Some(open) if open.is_shown => Item::Commit {
                position,
                timestamp_s: header.timestamp_s,
            },
            _ => Item::Passed { position },
        });
        Ok(())
    }

    fn statement(
        &mut self,
        header: &Header,
        end: u64,
        schema: &str,
        changed: Option<&[String]>,
        sql: &str,
    ) -> Result<(), BinlogError> {
        let rows = self.open.as_ref().map_or(0, |open| open.rows);
        let definition = |names: &str| {
            BinlogError::new(
                Reason::Definition,
                format!(
                    "the definition of {names} was changed: {}",
                    first_words(sql)
                ),
            )
        };
        match classify(sql) {
            Statement::Begin | Statement::XaStart => {
                let open = self.open.get_or_insert(Open {
                    gtid: None,
                    timestamp_s: header.timestamp_s,
                    is_ended: true,
                    is_shown: false,
                    rows: 0,
                    given: 0,
                });
                open.is_ended = true;
                return Ok(());
            }
            Statement::Commit | Statement::XaFinish => return self.commit(header, end),
            Statement::Rollback | Statement::RollbackTo if rows > 0 => {
                return Err(BinlogError::new(
                    Reason::RolledBack,
                    format!(
                        "rows of watched tables were taken back in the log ({}), because their \
                         transaction also changed a table that cannot roll back",
                        first_words(sql)
                    ),
                ));
            }
            Statement::Rollback => return self.commit(header, end),
            Statement::RollbackTo | Statement::Harmless => {}
            Statement::Rename(pairs) => {
                if let Some(renames) = self.expected(schema, &pairs, &definition)? {
                    self.end(end)?;
                    self.items.push_back(Item::Renamed {
                        renames,
                        position: self.position.clone(),
                    });
                    return Ok(());
                }
            }
            Statement::Ddl(names) => {
                if let Some(name) = names.iter().find(|name| self.is_watched(schema, name)) {
                    return Err(definition(&shown(schema, name)));
                }
            }
            Statement::DropSchema(dropped) => {
                if self.schemas.contains(&dropped.to_lowercase()) {
                    return Err(definition(&format!("schema `{dropped}`")));
                }
            }
            Statement::Names(names) => {
                let is_ours = |schema: &str| self.schemas.contains(&schema.to_lowercase());
                let touched = match changed {
                    Some(schemas) => schemas.iter().any(|schema| is_ours(schema)),
                    None => {
                        is_ours(schema)
                            || names
                                .iter()
                                .any(|name| name.schema.as_deref().is_some_and(is_ours))
                    }
                };
                if touched {
                    return Err(BinlogError::new(
                        Reason::StatementFormat,
                        format!(
                            "a statement that may change rows of watched schemas came as a statement: {} \
                             (in schema `{schema}`)",
                            first_words(sql)
                        ),
                    ));
                }
            }
        }
        match &self.open {
            Some(open) if open.is_ended => Ok(()),
            // DDL, which is a transaction of its own.
            _ => self.commit(header, end),
        }
    }

    fn is_watched(&self, schema: &str, name: &Named) -> bool {
        let schema = name.schema.as_deref().unwrap_or(schema);
        self.tables.contains(&lower(schema, &name.table))
    }

    /// The renamings, if they are of watched tables and all of those are expected.
    fn expected(
        &self,
        schema: &str,
        pairs: &[(Named, Named)],
        definition: &dyn Fn(&str) -> BinlogError,
    ) -> Result<Option<Vec<Rename>>, BinlogError> {
        let mut expected = Vec::new();
        for (from, to) in pairs {
            let old = from.schema.as_deref().unwrap_or(schema);
            let new = to.schema.as_deref().unwrap_or(schema);
            let rename = |from: &Named, to: &Named| Rename {
                schema: old.to_owned(),
                from: from.table.clone(),
                to: to.table.clone(),
            };
            let happened = rename(from, to);
            let is_known = old == new
                && (self.renames.contains(&happened) || self.renames.contains(&rename(to, from)));
            if is_known {
                expected.push(happened);
            } else {
                for name in [from, to] {
                    if self.is_watched(schema, name) {
                        return Err(definition(&shown(schema, name)));
                    }
                }
            }
        }
        Ok((!expected.is_empty()).then_some(expected))
    }
}

fn shown(schema: &str, name: &Named) -> String {
    let schema = name.schema.as_deref().unwrap_or(schema);
    format!(
        "{}.{}",
        crate::names::quote(schema),
        crate::names::quote(&name.table)
    )
}

fn malformed(text: &str) -> BinlogError {
    BinlogError::new(Reason::Malformed, text)
}

#[cfg(test)]
mod tests;
