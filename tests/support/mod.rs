//! Real servers for tests.
//!
//! ```ignore
//! mod support;
//! use support::{Engine, on_each_engine};
//!
//! on_each_engine! {
//!     /// Becomes two tests: rows_arrive::mysql and rows_arrive::mariadb.
//!     async fn rows_arrive(engine) {
//!         let sandbox = support::shared(engine, 2).await;     // rds-1 and rds-2
//!         let schema = support::fresh_schema("arrive");       // a name no other test has
//!         let mut conn = support::conn(&sandbox, "rds-1").await;
//!         conn.query_drop(format!("CREATE DATABASE {schema}")).await.unwrap();
//!         let output = support::shardctl(&sandbox, &["status"]);
//!     }
//! }
//! ```
//!
//! - [`shared`]: one sandbox for each engine in a test binary, grown when a test wants more
//!   instances than it has. Fast. For tests that keep to schemas of their own ([`fresh_schema`])
//!   and neither stop servers nor change global settings.
//! - [`servers`]: servers of the test's own, which it may kill, restart and configure.
//! - [`fleet`]: servers of the test's own with a topology, and the program run on them.
//! - [`shop`]: a small fleet with a topology file, asked through the program.
//! - [`writers`]: applications that write to a fleet and know what was acknowledged.
//! - [`world`]: a fleet and one schema with the same rows, to compare answers.
//! - [`watchdog`]: ends a test binary that hangs, and says what was running.
//! - [`is_installed`] and [`on_each_engine`]: an engine that is not installed is said aloud on
//!   stderr, and is a failure where the environment says `CI=true`.
//!
//! Every sandbox is guarded: nothing is left when the test binary ends or is killed.

#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "each test binary uses a part of this"
)]

pub mod fleet;
pub mod shop;
pub mod watchdog;
pub mod world;
pub mod writers;

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use mysql_async::{Conn, OptsBuilder};
use secrecy::ExposeSecret;
pub use shardctl::sandbox::{Durability, Engine, Guarded, Home, Options, Sandbox};

/// The program under test.
pub const SHARDCTL: &str = env!("CARGO_BIN_EXE_shardctl");

/// Whether the engine is installed; if not, says so where nobody can miss it.
///
/// # Panics
/// It is not installed and this is CI, where everything is to be tested.
pub fn is_installed(engine: Engine) -> bool {
    let error = match shardctl::sandbox::Installation::find(Some(engine)) {
        Ok(installation) => {
            eprintln!("on {installation}");
            return true;
        }
        Err(error) => error,
    };
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{engine} is to be tested here: {error}");
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Not eprintln: the test runner hides that of a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {test}: no {engine} here; run `make setup`"
    );
    false
}

/// Runs a test's body on this engine, or skips it aloud.
pub fn run<F: Future<Output = ()>>(engine: Engine, body: impl FnOnce(Engine) -> F) {
    if !is_installed(engine) {
        return;
    }
    let _watched = watchdog::watch();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(body(engine));
}

/// Makes each `async fn name(engine) { .. }` two tests, `name::mysql` and `name::mariadb`.
macro_rules! on_each_engine {
    ($($(#[$doc:meta])* async fn $name:ident($engine:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of the file")]
            use super::*;

            async fn body($engine: $crate::support::Engine) $body

            #[test]
            fn mysql() {
                $crate::support::run($crate::support::Engine::Mysql, body);
            }

            #[test]
            fn mariadb() {
                $crate::support::run($crate::support::Engine::Mariadb, body);
            }
        }
    )*};
}
pub(crate) use on_each_engine;

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

/// A schema name that no other test and no other run has.
pub fn fresh_schema(prefix: &str) -> String {
    format!("{prefix}_{}", unique().replace('-', "_"))
}

/// Options with a name that no other test has, in the user's own sandbox folder: so that the
/// program under test finds it by `--sandbox`.
pub fn options(engine: Engine, instances: u32) -> Options {
    Options {
        name: format!("test-{}", unique()),
        engine: Some(engine),
        instances,
        buffer_pool_mb: 64,
        ..Options::default()
    }
}

/// Servers of the test's own, `rds-1` to `rds-n`, removed when the value is dropped.
pub async fn servers(engine: Engine, instances: u32) -> Guarded {
    servers_with(options(engine, instances)).await
}

/// The same with other options; start from [`options`].
pub async fn servers_with(options: Options) -> Guarded {
    tokio::task::spawn_blocking(move || {
        Home::from_env()
            .and_then(|home| home.up_guarded(&options, Path::new(SHARDCTL)))
            .unwrap_or_else(|error| panic!("{error}"))
    })
    .await
    .expect("servers")
}

/// The sandbox that the tests of this binary share, with at least so many instances.
pub async fn shared(engine: Engine, instances: u32) -> Sandbox {
    static SHARED: [OnceLock<Mutex<Guarded>>; 2] = [OnceLock::new(), OnceLock::new()];
    let slot = match engine {
        Engine::Mysql => &SHARED[0],
        Engine::Mariadb => &SHARED[1],
    };
    tokio::task::spawn_blocking(move || {
        let shared = slot.get_or_init(|| {
            Home::from_env()
                .and_then(|home| home.up_guarded(&options(engine, instances), Path::new(SHARDCTL)))
                .map(Mutex::new)
                .unwrap_or_else(|error| panic!("{error}"))
        });
        // A test that failed while it waited here has not changed anything.
        let mut shared = shared.lock().unwrap_or_else(|error| error.into_inner());
        while (shared.instances().len() as u32) < instances {
            if let Err(error) = shared.add_instance() {
                panic!("{error}");
            }
        }
        Sandbox::clone(&shared)
    })
    .await
    .expect("servers")
}

/// A connection of the driver's own to an instance, as root and with the server's default
/// settings.
pub async fn conn(sandbox: &Sandbox, instance: &str) -> Conn {
    let instance = sandbox
        .instance(instance)
        .unwrap_or_else(|error| panic!("{error}"));
    let password = sandbox.password().unwrap_or_else(|error| panic!("{error}"));
    let options = OptsBuilder::default()
        .socket(instance.socket.to_str())
        .user(Some(sandbox.user()))
        .pass(Some(password.expose_secret()));
    Conn::new(options)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", instance.name))
}

/// Runs the program under test on a sandbox's servers.
pub fn shardctl(sandbox: &Sandbox, args: &[&str]) -> Output {
    Command::new(SHARDCTL)
        .args(["--sandbox", sandbox.name()])
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{SHARDCTL}: {error}"))
}
