//! Loops that join decisions to servers.

pub mod create;
pub mod fill;
pub mod interrupt;
pub mod live;
pub mod owner;
pub mod query;
pub mod rebalance;
pub mod status;
pub mod union;
pub mod verify;
