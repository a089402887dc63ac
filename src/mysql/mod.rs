//! Everything that speaks to a server; the only importer of `mysql_async`.
//!
//! Every connection of the tool has the same session settings ([`server::SESSION`]), for a
//! setting that holds on some connections only is how similar tools changed data silently.

pub mod audit;
pub mod bulk;
pub mod checksum;
pub mod control;
pub mod copy;
pub mod credentials;
pub mod fence;
pub mod history;
pub mod inspect;
pub mod live;
pub mod marker;
pub mod measure;
pub mod moving;
pub mod option_file;
pub mod query;
pub mod row;
pub mod sample;
pub mod scratch;
pub mod server;
pub mod state;
pub mod tail;
pub mod write;

pub use mysql_async::Conn;
pub use server::{Flavour, Server, Servers};
