//! Loops that join decisions to servers.

pub mod check;
pub mod create;
pub mod fill;
pub mod gather;
mod held;
pub mod hook;
pub mod interrupt;
pub mod live;
pub mod measure;
pub mod modes;
pub mod owner;
pub mod query;
pub mod rebalance;
pub mod sample;
pub mod snapshots;
pub mod status;
pub mod timings;
pub mod union;
pub mod verify;
