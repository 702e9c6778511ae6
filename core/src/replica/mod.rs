//! The left tower: who leads, and what the order is. It never looks inside an entry.

mod journal;
mod message;

pub use journal::{Durable, Vow};
pub use message::PeerMessage;
