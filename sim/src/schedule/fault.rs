//! What can go wrong, and whom it hits.

use serde::{Deserialize, Serialize};
use vivarium_core::entry::{Body, Command};
use vivarium_core::io::{Note, Output, Write};

use crate::disk::Rot;
use crate::{NodeIndex, Time};

/// Something that goes wrong at some time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Time,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FaultKind {
    /// A process ends at once and starts again after `down`. `power`: so silently that nobody is told.
    Crash {
        target: Target,
        power: bool,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A process ends in the middle of carrying out its next step that has more than one output.
    CrashInStep {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// What befalls the next process that comes to this moment. It is down, or stands still, for so long.
    Ambush {
        moment: Moment,
        blow: Blow,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// The power of all goes.
    CrashAll {
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A process stands still, then finds all that happened meanwhile.
    Pause {
        target: Target,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A process stands still, and reads when it runs on what has come meanwhile from one sender after the other: first
    /// from those that `order` leaves out, and then in its order; 0 stands for all clients.
    Stall {
        target: Target,
        #[serde(with = "crate::times")]
        length: Time,
        order: Vec<u8>,
    },
    /// When the faults end, these servers stay cut off until the others serve, who have to do that without them. Nothing,
    /// where the others are no quorum whose disks can be relied on.
    HoldBack {
        #[serde(with = "sides")]
        nodes: u8,
    },
    /// Bit `n` of `side` says on which side node `n` is. Messages to (or, `both`, between) the sides do not arrive.
    Partition {
        #[serde(with = "sides")]
        side: u8,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// The target hears nobody, or, `both`, neither hears nor is heard.
    Isolate {
        target: Target,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// These links carry nothing, each in one direction: neither side is whole.
    CutLinks {
        links: Vec<Link>,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A partition that comes and goes: `times` times cut for `length`, then whole for as long.
    Flap {
        #[serde(with = "sides")]
        side: u8,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
        times: u32,
    },
    /// Servers are cut off one after the other, `apart` each, and come back in the order of `back`, as long apart.
    Stagger {
        #[serde(with = "crate::times")]
        apart: Time,
        back: Vec<u8>,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// Messages of a link take this much longer.
    SlowLink {
        link: Link,
        #[serde(with = "crate::times")]
        extra: Time,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// Several processes end at once. `power`: so silently that nobody is told.
    CrashTogether {
        #[serde(with = "sides")]
        nodes: u8,
        power: bool,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's monotonic clock leaps ahead.
    MonoJump {
        target: Target,
        #[serde(with = "crate::times")]
        by: Time,
    },
    /// A node's wall clock jumps.
    WallJump { target: Target, by_ms: i64 },
    /// A node's syncs take this much longer.
    SlowDisk {
        target: Target,
        #[serde(with = "crate::times")]
        extra: Time,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A node's power goes, and when it comes back its disk is a new one, empty. A plain power cut while so many disks
    /// are not members' or not whole that the others are no quorum.
    Wipe {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's power goes, and what was durable on its disk is damaged. Where recovery refuses the disk, the node gets
    /// an empty one. A plain power cut under the same condition as for `Wipe`.
    Rot {
        target: Target,
        rot: Rot,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// The next sync of a node fails: its process ends, and what was not synced is in doubt.
    SyncFails {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's disk is full for so long: its process ends with the next sync, and does not get up before there is room.
    FullDisk {
        target: Target,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A node crashes, and its process so many times again before it has done what recovery told it to do.
    CrashInBoot {
        target: Target,
        times: u32,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node is asked to end; it starts again after `down`.
    Retire {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's transport to another breaks for a moment.
    Disconnect { target: Target },
}

/// What an ambush does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Blow {
    /// It ends when all that follows from the moment is sent, and before any of what it wrote is synced.
    Crash,
    /// It ends in the midst of what follows from it.
    CrashWithin,
    /// It stands still once all that follows from it is sent.
    Pause,
}

/// A moment at which it is worst for a process to fail: it has just put this out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Moment {
    /// The write of a promise.
    Promise,
    /// The write of an epoch's opening entry.
    Opening,
    /// The write of a cut of its log.
    Truncate,
    /// The write of its log's new beginning, after a leader's state.
    Reset,
    /// The write of a snapshot's last piece.
    Snapshot,
    /// The write of the end of a session that was not heard of.
    Expiry,
    /// That it is established as leader.
    Established,
    /// That it is in sync with its leader.
    InSync,
    /// That it opens a new epoch without an election.
    Rolling,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 9] = [
        Moment::Promise,
        Moment::Opening,
        Moment::Truncate,
        Moment::Reset,
        Moment::Snapshot,
        Moment::Expiry,
        Moment::Established,
        Moment::InSync,
        Moment::Rolling,
    ];

    /// Whether this output is it.
    pub fn is(self, output: &Output) -> bool {
        match (self, output) {
            (Moment::Promise, Output::Write { write: Write::Promise { .. }, .. })
            | (Moment::Truncate, Output::Write { write: Write::Truncate { .. }, .. })
            | (Moment::Reset, Output::Write { write: Write::Reset { .. }, .. })
            | (Moment::Snapshot, Output::Write { write: Write::Chunk { last: true, .. }, .. })
            | (Moment::Established, Output::Note(Note::Established { .. }))
            | (Moment::InSync, Output::Note(Note::InSync { .. }))
            | (Moment::Rolling, Output::Note(Note::Rolling { .. })) => true,
            (Moment::Opening, Output::Write { write: Write::Append(entry), .. }) => {
                matches!(entry.body, Body::Opening)
            }
            (Moment::Expiry, Output::Write { write: Write::Append(entry), .. }) => {
                matches!(entry.body, Body::Command(Command::Expire { .. }))
            }
            _ => false,
        }
    }
}

/// A link between servers, in one direction, counted from 1 where people read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link(
    /// From here
    #[serde(with = "one_based")]
    pub NodeIndex,
    /// to there.
    #[serde(with = "one_based")]
    pub NodeIndex,
);

/// Whom a fault hits, found out when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// This one.
    Node(#[serde(with = "one_based")] NodeIndex),
    /// One that leads; else any.
    Leader,
    /// One that has writes on their way to the disk; else any.
    Writer,
}

/// Servers are counted from 1 where people read it, as their names are.
mod one_based {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(node: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*node as u64 + 1)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        match usize::deserialize(deserializer)? {
            number @ 1..=8 => Ok(number - 1),
            other => Err(serde::de::Error::custom(format!("server {other}: they are numbered from 1 to 8"))),
        }
    }
}

/// The servers of one side of a partition, as the list of their names.
mod sides {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(side: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<u8> = (0..8).filter(|bit| side >> bit & 1 == 1).map(|bit| bit + 1).collect();
        names.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let mut side = 0;
        for name in Vec::<u8>::deserialize(deserializer)? {
            if !(1..=8).contains(&name) {
                return Err(serde::de::Error::custom(format!(
                    "server {name}: they are numbered from 1 to 8"
                )));
            }
            side |= 1 << (name - 1);
        }
        Ok(side)
    }
}
