//! Transactions from events made by hand: what no server was brought to send.

use super::*;
use crate::rows::shape::ColumnShape;
use crate::rows::value::Value;

struct Log {
    transactions: Transactions,
    end: u32,
}

fn table() -> Arc<TableShape> {
    Arc::new(TableShape {
        schema: "shop".to_owned(),
        table: "member".to_owned(),
        columns: vec![ColumnShape {
            name: "id".to_owned(),
            kind: "int".to_owned(),
            declared: "int".to_owned(),
            ..ColumnShape::default()
        }],
        key: vec![0],
    })
}

fn limits() -> Limits {
    Limits {
        rows_max: 2,
        bytes_max: 1 << 20,
    }
}

impl Log {
    fn new() -> Self {
        let position = Position::new("binlog.000001", 4);
        Self {
            transactions: Transactions::new(vec![table()], Vec::new(), limits(), position),
            end: 4,
        }
    }

    fn event(&mut self, kind: u8, body: &[u8]) -> Result<(), BinlogError> {
        self.end += 100;
        let end = self.end;
        self.event_with(kind, 0, end, body)
    }

    fn event_with(
        &mut self,
        kind: u8,
        flags: u16,
        end: u32,
        body: &[u8],
    ) -> Result<(), BinlogError> {
        let header = Header {
            kind,
            flags,
            timestamp_s: 7,
            server_id: 5,
            size: 100,
            end,
        };
        self.transactions.event(&header, body)
    }

    /// MySQL's anonymous transaction of these ids, without its end.
    fn insert(&mut self, ids: &[i32]) -> Result<(), BinlogError> {
        self.event(34, &[0; 25])?;
        self.query("BEGIN")?;
        self.event(19, &table_map())?;
        for id in ids {
            self.event(30, &write(*id))?;
        }
        Ok(())
    }

    fn query(&mut self, sql: &str) -> Result<(), BinlogError> {
        let mut body = vec![0; 8];
        body.extend([4, 0, 0, 0, 0]);
        body.extend(b"shop\0");
        body.extend(sql.as_bytes());
        self.event(2, &body)
    }

    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(item) = self.transactions.pop() {
            told.push(match item {
                Item::Begin { .. } => "begin".to_owned(),
                Item::Changes(changes) => {
                    let ids: Vec<String> = changes
                        .iter()
                        .map(|change| match change.after.as_ref().map(|row| &row[0]) {
                            Some(Value::Int(id)) => id.to_string(),
                            other => format!("{other:?}"),
                        })
                        .collect();
                    ids.join(" ")
                }
                Item::Commit { position, .. } => format!("commit {position}"),
                Item::Passed { position } => format!("passed {position}"),
                other => format!("{other:?}"),
            });
        }
        told
    }
}

fn table_map() -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0];
    body.extend(b"\x04shop\0\x06member\0");
    body.extend([1, 3, 0, 1]);
    body
}

fn write(id: i32) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0];
    body.extend(id.to_le_bytes());
    body
}

#[test]
fn a_transaction_is_given_in_pieces_and_ends_with_its_position() {
    let mut log = Log::new();
    log.insert(&[1, 2, 3]).unwrap();
    assert_eq!(log.told(), ["begin", "1 2"]);
    log.event(16, &[0; 8]).unwrap();
    assert_eq!(log.told(), ["3", "commit binlog.000001:704"]);
    log.query("CREATE TABLE x (id INT)").unwrap();
    assert_eq!(log.told(), ["passed binlog.000001:804"]);
}

#[test]
fn what_was_given_before_a_connection_was_lost_is_not_given_again() {
    for lost_after in 0..=5 {
        let mut log = Log::new();
        log.insert(&[1, 2, 3, 4, 5][..lost_after]).unwrap();
        let mut told = log.told();
        // Twice, the second time before it came as far.
        for _ in 0..2 {
            log.transactions.restart();
            log.end = 4;
            log.insert(&[1, 2, 3, 4, 5][..lost_after.min(1)]).unwrap();
            told.extend(log.told());
        }
        log.transactions.restart();
        log.end = 4;
        log.insert(&[1, 2, 3, 4, 5]).unwrap();
        log.event(16, &[0; 8]).unwrap();
        told.extend(log.told());
        assert_eq!(told.pop().unwrap(), "commit binlog.000001:904");
        assert_eq!(told.join(" "), "begin 1 2 3 4 5", "lost after {lost_after}");
    }
}

#[test]
fn a_transaction_that_is_shorter_the_second_time_stops() {
    let mut log = Log::new();
    log.insert(&[1, 2, 3, 4]).unwrap();
    log.transactions.restart();
    log.insert(&[1, 2]).unwrap();
    let error = log.event(16, &[0; 8]).unwrap_err();
    assert_eq!(error.reason, Reason::Malformed, "{error}");
}

#[test]
fn a_transaction_that_was_cut_off_stops() {
    let mut log = Log::new();
    log.insert(&[1]).unwrap();
    let error = log
        .event(4, b"\x04\0\0\0\0\0\0\0binlog.000002")
        .unwrap_err();
    assert_eq!(error.reason, Reason::RolledBack, "{error}");
    // The server came back with another file, without an end of this one.
    let mut log = Log::new();
    log.insert(&[1]).unwrap();
    let next = b"\x04\0\0\0\0\0\0\0binlog.000002";
    let error = log.event_with(4, 0x20, 0, next).unwrap_err();
    assert_eq!(error.reason, Reason::RolledBack, "{error}");
    let mut log = Log::new();
    log.insert(&[1]).unwrap();
    let error = log.event(34, &[0; 25]).unwrap_err();
    assert_eq!(error.reason, Reason::RolledBack, "{error}");
}

#[test]
fn rows_that_are_taken_back_stop() {
    for sql in ["ROLLBACK", "ROLLBACK TO `s`"] {
        let mut log = Log::new();
        log.insert(&[1]).unwrap();
        let error = log.query(sql).unwrap_err();
        assert_eq!(error.reason, Reason::RolledBack, "{error}");
    }
}

#[test]
fn files_are_followed_and_offsets_go_beyond_32_bits() {
    let mut log = Log::new();
    log.event(4, b"\x04\0\0\0\0\0\0\0binlog.000002").unwrap();
    log.end = u32::MAX - 450;
    log.insert(&[1]).unwrap();
    // The fourth event ends behind 4 GiB: its header has the low bits only.
    log.event_with(16, 0, 49, &[0; 8]).unwrap();
    assert_eq!(
        log.told(),
        ["begin", "1", "commit binlog.000002:4294967345"]
    );
}

#[test]
fn a_rotation_made_for_the_stream_does_not_move_the_position() {
    let mut log = Log::new();
    log.insert(&[1]).unwrap();
    log.event(16, &[0; 8]).unwrap();
    log.told();
    log.event_with(4, 0x20, 0, b"\x04\0\0\0\0\0\0\0binlog.000001")
        .unwrap();
    log.event_with(27, 0, 600, b"binlog.000001").unwrap();
    assert_eq!(
        log.transactions.position().unwrap().to_string(),
        "binlog.000001:504"
    );
}

#[test]
fn events_that_are_not_known_stop_unless_they_say_that_they_may_be_left_out() {
    let mut log = Log::new();
    for kind in [1, 6, 7, 8, 10, 12, 20, 21, 22, 43, 100, 172, 255] {
        let error = log.event(kind, &[0; 40]).unwrap_err();
        assert_eq!(error.reason, Reason::UnknownEvent, "{kind}: {error}");
        log.event_with(kind, 0x80, 0, &[]).unwrap();
    }
    for kind in [3, 13, 14, 28, 29, 35, 36, 37, 160, 161, 163, 164] {
        log.event(kind, &[0; 40]).unwrap();
    }
    assert_eq!(log.event(26, &[0; 3]).unwrap_err().reason, Reason::Incident);
    log.insert(&[]).unwrap();
    let error = log.event(39, &write(1)).unwrap_err();
    assert_eq!(error.reason, Reason::PartialImage, "{error}");
    // Of another table it is no matter of ours.
    let mut other = table_map();
    other[0] = 2;
    other[9] = b'x';
    log.event(19, &other).unwrap();
    let mut update = write(1);
    update[0] = 2;
    log.event(39, &update).unwrap();
}

#[test]
fn a_compressed_transaction_ends_where_the_whole_ends() {
    // size 5, method zstd, 400 bytes uncompressed, and five bytes of it.
    let payload = [2, 1, 0, 3, 3, 0xfc, 0x90, 1, 1, 1, 5, 0, 1, 2, 3, 4, 5];
    let begin = |log: &mut Log| {
        log.event(34, &[0; 25]).unwrap();
        log.event(40, &payload).unwrap();
    };
    let inner = |log: &mut Log, kind: u8, body: &[u8]| log.event_with(kind, 0, 0, body);
    let sql = |sql: &str| {
        [
            &[0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0][..],
            b"shop\0",
            sql.as_bytes(),
        ]
        .concat()
    };
    let mut log = Log::new();
    begin(&mut log);
    inner(&mut log, 2, &sql("BEGIN")).unwrap();
    inner(&mut log, 19, &table_map()).unwrap();
    inner(&mut log, 30, &write(1)).unwrap();
    inner(&mut log, 16, &[0; 8]).unwrap();
    assert_eq!(log.told(), ["begin", "1", "commit binlog.000001:204"]);
    log.insert(&[2]).unwrap();
    log.event(16, &[0; 8]).unwrap();
    assert_eq!(log.told(), ["begin", "2", "commit binlog.000001:704"]);
    // The driver gives nothing of what it cannot uncompress.
    let mut log = Log::new();
    begin(&mut log);
    assert!(log.event(34, &[0; 25]).is_err());
    // Or less than it should.
    let mut log = Log::new();
    begin(&mut log);
    inner(&mut log, 2, &sql("BEGIN")).unwrap();
    assert!(inner(&mut log, 16, &[0; 8]).is_err());
}

#[test]
fn rows_without_a_table_map_or_a_transaction_stop() {
    let mut log = Log::new();
    assert!(log.event(30, &write(1)).is_err());
    let mut log = Log::new();
    log.event(19, &table_map()).unwrap();
    let error = log.event(30, &write(1)).unwrap_err();
    assert!(error.text.contains("outside a transaction"), "{error}");
    // The empty event that only ends a statement is of no table.
    let mut log = Log::new();
    log.event(30, &[0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0, 1, 0xff])
        .unwrap();
}

#[test]
fn an_error_names_event_table_and_column() {
    let mut log = Log::new();
    log.insert(&[]).unwrap();
    let mut short = write(1);
    short.pop();
    let error = log.event(30, &short).unwrap_err();
    insta::assert_snapshot!(error, @"the event WRITE_ROWS of `shop`.`member`, column `id` cannot be read: it ends too early");
}
