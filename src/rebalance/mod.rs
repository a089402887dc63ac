//! Moving schemas between instances: which move, and the protocol that moves them.

pub mod apply;
pub mod moves;
pub mod placement;
pub mod protocol;
