//! The choices of a run: every decision that differs from what a faultless world would do by default.
//!
//! A run that is drawn from a seed makes them as it goes and can tell them ([`crate::World::recording`]); a schedule
//! may also list them, and then these are made and no others. That is what makes a failing run editable: leave a choice
//! out and the rest stays as it was, because a choice is found by what it is about and when, never by how many came
//! before it in the run.
//!
//! What is no choice is weather: latencies, how long a sync takes, what a crash leaves of unsynced writes, how late a
//! process wakes. It is a function of the seed and of what it is about, or, where a schedule asks for even weather, the
//! least there is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vivarium_core::api::Op;
use vivarium_core::io::Lane;
use vivarium_core::replica::PeerMessage;

use crate::{ClientIndex, NodeIndex, Time};

/// A choice, and when it is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// When: simulated time.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What is chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum What {
    /// A message between servers is lost, late or doubled: the `nth` of its kind on this link within the time bucket.
    Message { from: NodeIndex, to: NodeIndex, kind: MessageKind, nth: u32, luck: Luck },
    /// A sync takes longer: the `nth` of this lane within the time bucket.
    Sync { node: NodeIndex, lane: Lane, nth: u32, extra: Time },
    /// A client does something.
    Client { client: ClientIndex, act: Act },
}

/// What becomes of a message, other than that it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Luck {
    /// It does not arrive.
    pub lost: bool,
    /// It is later than others by this.
    pub late: Time,
    /// It arrives once more, so long after the first time.
    pub again: Option<Time>,
    /// It arrives damaged. Its checksum tells, so it counts for nothing and ends the connection.
    pub corrupt: bool,
}

/// What a client does of its own will.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Sends a request, as soon as it is in session.
    Ask(Op),
    /// Sends the same request so many times, one `every` so long: short for as many single ones.
    Repeat {
        /// What it asks.
        op: Op,
        /// How many times; at most [`REPEATS_MAX`].
        times: u32,
        /// The time from one to the next.
        #[serde(with = "crate::times")]
        every: Time,
    },
    /// Closes its connection and comes back later.
    Drop,
    /// Goes to another server while the old connection lives on.
    Move,
    /// Sends nothing for so long, not even pings.
    Silence(#[serde(with = "crate::times")] Time),
    /// Closes its connection and comes back after so long.
    Away(#[serde(with = "crate::times")] Time),
    /// Shows a wrong password when it connects next.
    Impersonate,
    /// Closes its connection and comes back with a session that it had before this one.
    Haunt,
}

/// The same request is not sent more often than this by one [`Act::Repeat`]: a run ends long before.
pub const REPEATS_MAX: u32 = 100_000;

/// A kind of message between servers, by its place in [`MessageKind::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct MessageKind(pub u8);

impl MessageKind {
    /// The names of all kinds; a kind keeps its place for good, since it is part of the key of a message's luck.
    pub const NAMES: [&'static str; 19] = [
        "PreVote",
        "PreVoteReply",
        "NewEpoch",
        "Refused",
        "Vow",
        "Heartbeat",
        "Alive",
        "Position",
        "Truncate",
        "Propose",
        "Commit",
        "SnapshotChunk",
        "SnapshotReceived",
        "Forward",
        "Barrier",
        "BarrierPassed",
        "Heard",
        "HandOver",
        "Form",
    ];

    /// The kind of a message.
    pub fn of(message: &PeerMessage) -> MessageKind {
        MessageKind(match message {
            PeerMessage::PreVote { .. } => 0,
            PeerMessage::PreVoteReply { .. } => 1,
            PeerMessage::NewEpoch { .. } => 2,
            PeerMessage::Refused { .. } => 3,
            PeerMessage::Vow(_) => 4,
            PeerMessage::Heartbeat { .. } => 5,
            PeerMessage::Alive { .. } => 6,
            PeerMessage::Position { .. } => 7,
            PeerMessage::Truncate { .. } => 8,
            PeerMessage::Propose { .. } => 9,
            PeerMessage::Commit { .. } => 10,
            PeerMessage::SnapshotChunk { .. } => 11,
            PeerMessage::SnapshotReceived { .. } => 12,
            PeerMessage::Forward { .. } => 13,
            PeerMessage::Barrier { .. } => 14,
            PeerMessage::BarrierPassed { .. } => 15,
            PeerMessage::Heard { .. } => 16,
            PeerMessage::HandOver { .. } => 17,
            PeerMessage::Form { .. } => 18,
        })
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<MessageKind> {
        let place = MessageKind::NAMES.iter().position(|known| *known == name)?;
        Some(MessageKind(place as u8))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        MessageKind::NAMES.get(usize::from(self.0)).copied().unwrap_or("?")
    }
}

/// Listed choices, found by what they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    messages: BTreeMap<(usize, usize, MessageKind, u32, u32), Luck>,
    syncs: BTreeMap<(NodeIndex, Lane, u32, u32), Time>,
}

impl Listed {
    /// An index of the choices that are not a client's. Of two about the same thing the later one counts.
    pub(crate) fn new(choices: &[Choice]) -> Listed {
        let mut listed = Listed::default();
        let mut by_time: Vec<&Choice> = choices.iter().collect();
        by_time.sort_by_key(|choice| choice.at);
        for Choice { at, what } in by_time {
            let bucket = crate::decision::bucket(*at);
            match what {
                What::Message { from, to, kind, nth, luck } => {
                    listed.messages.insert((*from, *to, *kind, bucket, *nth), *luck);
                }
                What::Sync { node, lane, nth, extra } => {
                    listed.syncs.insert((*node, *lane, bucket, *nth), *extra);
                }
                What::Client { .. } => {}
            }
        }
        listed
    }

    /// The luck of a message.
    pub(crate) fn luck(&self, from: NodeIndex, to: NodeIndex, kind: MessageKind, at: Time, nth: u32) -> Luck {
        let key = (from, to, kind, crate::decision::bucket(at), nth);
        self.messages.get(&key).copied().unwrap_or_default()
    }

    /// How much longer a sync takes.
    pub(crate) fn sync_extra(&self, node: NodeIndex, lane: Lane, at: Time, nth: u32) -> Time {
        self.syncs.get(&(node, lane, crate::decision::bucket(at), nth)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MS;

    #[test]
    fn a_listed_choice_is_found_by_its_time_bucket_and_place_in_it() {
        let luck = Luck { lost: true, ..Luck::default() };
        let kind = MessageKind::named("Propose").expect("a kind of this name");
        let listed = Listed::new(&[Choice {
            at: 17 * MS,
            what: What::Message { from: 0, to: 2, kind, nth: 1, luck },
        }]);
        assert_eq!(listed.luck(0, 2, kind, 20 * MS, 1), luck);
        assert_eq!(listed.luck(0, 2, kind, 20 * MS, 0), Luck::default());
        assert_eq!(listed.luck(0, 2, kind, 24 * MS, 1), Luck::default());
        assert_eq!(listed.luck(2, 0, kind, 20 * MS, 1), Luck::default());
    }

    #[test]
    fn names_are_found_again() {
        for (place, name) in MessageKind::NAMES.iter().enumerate() {
            assert_eq!(MessageKind::named(name), Some(MessageKind(place as u8)));
        }
        assert_eq!(MessageKind::named("propose"), None);
    }
}
