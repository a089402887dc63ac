//! shardctl: plan, create, fill, rebalance, query and verify a sharded MySQL or MariaDB fleet.
//!
//! # Map
//!
//! Decisions are at the bottom, effects above them, people on top; imports only ever point down.
//!
//! | module | what it holds | imports of ours |
//! |---|---|---|
//! | [`error`] | one error type for people: what, where, cause, now, next, exit code | nothing |
//! | [`names`] | names of instances, schemas and tables, naming patterns, quoting | nothing |
//! | [`schema`] | a table as data: parse `CREATE TABLE`, compare, render | `names` |
//! | [`topology`] | `topology.yaml`: parse, check, compare, plan | `names`, `schema` |
//! | [`rows`] | typed keys, values to write, cells that were read, changes and positions of a log | `names`, `schema` |
//! | [`routing`] | key to shard | `names`, `rows`, `schema`, `topology` |
//! | [`query`] | statement to plan to merged answer | all of these |
//! | [`rebalance`] | the job: moves, the protocol's `step`, verification | all of these but `query` |
//! | [`fill`] | generated rows for trials and load tests | `names`, `rows`, `schema`, `topology` |
//! | [`report`] | report structs to table, JSON, progress bars | decisions only |
//! | [`mysql`] | the only importer of `mysql_async`: connect, inspect, read, write, tail, fence | `names`, `schema`, `rows`, `topology` |
//! | [`sandbox`] | real local servers from the installed binaries | `names`, `topology` |
//! | [`journal`] | a job's record on the control instance: load, save, lease; the shard map | `topology`, `rebalance`, `mysql` |
//! | [`run`] | loops joining decisions to servers | all of the above |
//! | [`cli`] | one file per subcommand | anything |
//!
//! # Invariants
//!
//! - `error`, `names`, `schema`, `topology`, `rows`, `routing`, `query`, `rebalance`, `fill` and
//!   `report` know no tokio, no `mysql_async`, no clock, no randomness and no network: time, ids
//!   and seeds arrive as values. `tests/layers.rs` holds this.
//! - `mysql` alone imports `mysql_async`; `report` has never heard of `mysql`.
//! - stdout is the result, stderr is progress and notes.
//! - Nothing is dropped on an error path, and no secret reaches argv, logs, errors or files of ours.

pub mod cli;
pub mod error;
pub mod fill;
pub mod journal;
pub mod mysql;
pub mod names;
pub mod query;
pub mod rebalance;
pub mod report;
pub mod routing;
pub mod rows;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod topology;
