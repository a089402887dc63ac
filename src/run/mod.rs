//! Loops that join decisions to servers.

pub mod status;
