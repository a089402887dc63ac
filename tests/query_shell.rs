//! Many statements in one run of `query`: from standard input, and typed in a terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use support::on_each_engine;
use support::shop::{Shop, shown};

/// How long anything typed may take to be answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program in a terminal of its own.
struct Terminal {
    child: Child,
    keys: std::fs::File,
    screen: Receiver<Vec<u8>>,
    /// What has not been waited for yet.
    unread: String,
}

impl Terminal {
    fn start(shop: &Shop, args: &[&str]) -> Self {
        let size = nix::pty::Winsize {
            ws_row: 24,
            ws_col: 150,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let program = shop.command(args);
        // setsid makes it the controlling terminal, so that Ctrl-C is a signal.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(program.get_current_dir().unwrap())
            // One that lines can be edited in: on a dumb one there is no Tab and no history.
            .env("TERM", "xterm")
            .stdin(Stdio::from(pty.slave.try_clone().unwrap()))
            .stdout(Stdio::from(pty.slave.try_clone().unwrap()))
            .stderr(Stdio::from(pty.slave));
        for (name, value) in program.get_envs() {
            command.env(name, value.unwrap());
        }
        let child = command.spawn().unwrap();
        // The parent's ends of the terminal would keep it open.
        drop(command);
        let keys = std::fs::File::from(pty.master);
        let mut from = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            screen,
            unread: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    /// Reads on to this text; what stood before it.
    fn sees(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.find(text) {
                let before = self.unread[..at].to_owned();
                self.unread.drain(..at + text.len());
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} never came; there is: {}", self.unread),
            }
        }
    }

    fn ends(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("it does not end; there is: {}", self.unread);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A statement that takes very long on every shard: 10 x 3^17 rows.
fn long() -> String {
    let regions: Vec<String> = (0..17).map(|n| format!("JOIN region long_{n}")).collect();
    // Looked at row by row: MySQL can count a join without conditions in no time.
    let codes: Vec<String> = (0..17).map(|n| format!("long_{n}.code")).collect();
    format!(
        "SELECT COUNT(*) FROM member {} WHERE {} >= 0;",
        regions.join(" "),
        codes.join(" + ")
    )
}

on_each_engine! {
    async fn statements_of_standard_input_are_answered_in_turn(engine) {
        let shop = Shop::open(engine).await;
        let text = "SELECT COUNT(*) AS c FROM member; -- all; of them\n\
                    SELECT name FROM member WHERE id = 7\\G\nSHOW TABLES;\nDESCRIBE region\n;\
                    SELECT 'a;b' AS t FROM region WHERE code = 1";
        let output = shop.run_with(&["query", "-q", "-o", "csv"], text);
        assert_eq!(
            shown(&output),
            "exit code 0\nc\r\n40\r\n*************************** 1. row \
             ***************************\nname: m07\nTable,Kind,Split by,Physical \
             tables\r\nmember,sharded,mod(id),4\r\nregion,broadcast,\"\",4\r\nField,Type,Null,Key,\
             Default,Extra,Splits\r\ncode,int,NO,PRI,,\"\",\"\"\r\nlabel,varchar(10),YES,\"\",,\"\",\"\"\r\n\
             t\r\na;b\r\n--\n"
        );
    }

    async fn the_first_error_ends_standard_input_unless_forced(engine) {
        let shop = Shop::open(engine).await;
        let text = "SELECT nosuch FROM member WHERE id = 1; SELECT COUNT(*) AS c FROM member; DELETE FROM member;";
        let stopped = shop.run_with(&["query", "-q", "-o", "csv"], text);
        assert_eq!(stopped.status.code(), Some(3), "{}", shown(&stopped));
        assert!(stopped.stdout.is_empty(), "{}", shown(&stopped));
        let forced = shop.run_with(&["query", "-q", "-o", "csv", "--force"], text);
        assert_eq!(forced.status.code(), Some(3), "{}", shown(&forced));
        assert_eq!(String::from_utf8_lossy(&forced.stdout), "c\r\n40\r\n");
        let errors = String::from_utf8_lossy(&forced.stderr).into_owned();
        assert!(errors.contains("2 statements failed"), "{errors}");
        assert!(errors.contains("only SELECT is answered"), "{errors}");
    }

    async fn a_shell_answers_and_goes_on_after_errors(engine) {
        let shop = Shop::open(engine).await;
        std::fs::write(shop.path("more.sql"), "SELECT 'from a file' AS f FROM member WHERE id = 1;\n").unwrap();
        let mut terminal = Terminal::start(&shop, &["query"]);
        terminal.sees("shardctl> ");
        terminal.types("SELECT COUNT(*) AS many\r");
        terminal.sees("       -> ");
        terminal.types("FROM member;\r");
        terminal.sees(" 40 |");
        terminal.sees("1 row in ");
        terminal.sees("shardctl> ");
        terminal.types("SELECT nosuch FROM member WHERE id = 1;\r");
        terminal.sees("error: ");
        terminal.sees("shardctl> ");
        terminal.types("\\timing\r");
        terminal.sees("timing is off");
        terminal.types("SELECT name FROM member WHERE id = 7\\G\r");
        terminal.sees("name: m07");
        let after = terminal.sees("shardctl> ");
        assert!(after.contains("1 row") && !after.contains(" ms"), "{after}");
        terminal.types("\\explain SELECT name FROM member WHERE id = 7;\r");
        terminal.sees("way:     one shard");
        terminal.sees("shardctl> ");
        terminal.types("\\analyze SELECT COUNT(*) FROM member;\r");
        terminal.sees("answer:  1 row in ");
        terminal.sees("plan 1: 4 of 4 tables");
        terminal.sees("shardctl> ");
        terminal.types("\\d region\r");
        terminal.sees("varchar(10)");
        terminal.sees("shardctl> ");
        terminal.types("source more.sql\r");
        terminal.sees("from a file");
        terminal.sees("shardctl> ");
        terminal.types("\\nosuch\r");
        terminal.sees("the shell has no command `\\nosuch`");
        // At the prompt it is a key, before that a signal.
        terminal.sees("shardctl> ");
        terminal.types("SELECT 'dropped'\x03");
        terminal.sees("shardctl> ");
        terminal.types("SELECT 1 + 40 AS na");
        terminal.types(" FROM memb\t WHERE id = 5;\r");
        terminal.sees("| 41");
        terminal.types("\\q\r");
        assert_eq!(terminal.ends(), 0);

        let history = shop.path("state/shardctl/query_history");
        let kept = std::fs::read_to_string(&history).unwrap();
        assert!(kept.contains("SELECT COUNT(*) AS many"), "{kept}");
        assert!(!kept.contains("dropped"), "{kept}");
        let mode = std::fs::metadata(&history).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut again = Terminal::start(&shop, &["query"]);
        again.sees("shardctl> ");
        // Up to \q, the unknown command is before it.
        again.types("\x1b[A\x1b[A");
        again.sees("FROM member WHERE id = 5");
        again.types("\x03");
        again.sees("shardctl> ");
        again.types("\x04");
        assert_eq!(again.ends(), 0);
    }

    async fn ctrl_c_ends_the_statement_on_the_servers_and_not_the_shell(engine) {
        let shop = Shop::open(engine).await;
        let mut terminal = Terminal::start(&shop, &["query"]);
        terminal.sees("shardctl> ");
        // Connections are kept: the same ones answer before and after.
        terminal.types("SELECT COUNT(*) AS c FROM member;\r");
        terminal.sees("| 40");
        terminal.sees("shardctl> ");
        let connected = connections(&shop).await;
        assert!(connected.iter().any(|(_, statement)| statement.is_none()), "{connected:?}");
        terminal.types(&format!("{}\r", long()));
        let deadline = Instant::now() + PATIENCE;
        while long_ones(&shop).await < 4 {
            assert!(Instant::now() < deadline, "it never ran");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Who waits is told how far it is.
        terminal.sees("0 of 4 tables have answered: 0 rows");
        terminal.types("\x03");
        terminal.sees("stopped by Ctrl-C");
        terminal.sees("shardctl> ");
        while long_ones(&shop).await > 0 {
            assert!(Instant::now() < deadline, "it still runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        terminal.types("SELECT COUNT(*) + 1 AS c FROM member;\r");
        terminal.sees("| 41");
        terminal.types("exit\r");
        assert_eq!(terminal.ends(), 0);
    }
}

/// Connections to the shop's servers with what they run.
async fn connections(shop: &Shop) -> Vec<(u64, Option<String>)> {
    let mut all = Vec::new();
    for instance in ["rds-1", "rds-2"] {
        let mut conn = support::conn(&shop.sandbox, instance).await;
        let rows: Vec<(u64, Option<String>)> = conn
            .query(
                "SELECT ID, INFO FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() \
                 AND COMMAND <> 'Daemon' AND USER <> 'event_scheduler'",
            )
            .await
            .unwrap();
        all.extend(rows);
    }
    all
}

/// How many of the long statement run on the shop's schemas.
async fn long_ones(shop: &Shop) -> usize {
    let all = connections(shop).await;
    all.iter()
        .filter_map(|(_, statement)| statement.as_deref())
        .filter(|statement| statement.contains("long_16") && statement.contains(&shop.prefix))
        .count()
}
