//! The coordination service as one deterministic state machine.
//!
//! Nothing here knows a clock, a socket, a file, a thread or an ambient source of randomness: [`Node::step`]
//! is told one thing at a time ([`io::Input`]) and answers with a list of effects ([`io::Outputs`]). The
//! simulator and the production server drive the very same code.
//!
//! ```text
//!            io.rs      the boundary: Input, Output, Now
//!            node.rs    the only file that knows both towers, with snapshots.rs at its side
//!   replica/  who leads, what is the order     service/  connections, FIFO per session, liveness
//!                                              state/    the tree, ACLs, sessions, watches
//!   log quorum timers record recovery encoding hash   mechanisms that know no protocol
//!   api entry ids path time error limits       words
//!   jute/     the client wire format, for drivers; nothing else in this crate names it
//! ```
//!
//! The left tower orders entries and never looks inside one; the right tower executes entries and never asks
//! how they were ordered.

#![forbid(unsafe_code)]

pub mod api;
pub mod encoding;
pub mod entry;
pub mod error;
pub mod hash;
pub mod ids;
pub mod io;
pub mod jute;
pub mod limits;
pub mod log;
pub mod node;
pub mod path;
pub mod quorum;
pub mod record;
pub mod recovery;
pub mod replica;
pub mod service;
pub mod snapshots;
pub mod state;
pub mod time;
pub mod timers;

pub use node::Node;
