//! A simulated world for the core: network, disks, clocks, clients and their disasters, from one seed, on one thread.
//!
//! ```text
//!   choice     what differs from a faultless world: the body of a schedule that is listed, not drawn
//!   decision   every random decision: a pure function of the seed and of what the decision is about
//!   edit       what of a schedule can be changed without knowing what it means
//!   schedule   the odds, the limits and the faults of one run, drawn from the seed, then editable
//!   queue      what happens when; the world jumps from event to event, nothing ticks
//!   network disk clock client/    the parts of the world
//!   world      one run: boots nodes, carries out what they want, breaks things, heals, demands progress
//!   observe    what a checker is told
//! ```
//!
//! The same seed gives the same run on every machine: no hash map's order, no floating point, no clock. Nothing here
//! knows what is right; that is the observers' business, except for progress, which only the world can demand.
//!
//! # What costs what
//!
//! `harness speed` measures; callgrind counts instructions, which do not depend on who else uses the machine. An event
//! takes about 2,500 of them before anybody checks it, spread thin. By what they are for:
//!
//! ```text
//!   the nodes' steps                43 %   executing entries 9, messages of peers 8, snapshots 7, clients' requests 4
//!   what steps want done            13 %   most of it for messages: half their luck, half moving them
//!   starting and crashing           12 %   recovery 6, restoring snapshots 3, writes that become bytes 3
//!   planning and handing out events 13 %   the queue 6
//!   drawing decisions                5 %   1.35 for an event
//!   clients                          6 %
//!   disks                            5 %   only as long as they run
//! ```
//!
//! What has helped, and what to keep in mind:
//! * No ticks. A node that is idle costs its heartbeats; nine of ten events need no look at the wakes.
//! * Messages are plain data. One event in so many makes the round trip through its codec.
//! * What is looked at for nothing is paid at every event: 30 instructions are one per cent of everything.
//! * Events and outputs have 128 bytes: to move one takes 16 instructions, and several moves lie between a node that says
//!   something and the node that hears it. So events are looked at where they wait, and outputs are taken apart behind a
//!   call: inlined, they are first moved in pieces. Boxes would cost more than they save.
//! * Nothing becomes bytes before somebody reads them, and recovery reads little more than headers of what is old.
//! * Formatting, and iterators over characters, cost more than what is done with their result.
//! * Snapshots are small here and taken every few entries, so their encoder is as hot as the rest of the core.
//! * LTO over everything with one codegen unit is no faster than thin LTO; profile-guided builds have not been tried.
//! * A fork shares what is large: pages of trees, indexes, logs, what disks hold, what clients remember. The first change
//!   after it copies the page that is changed. What is left is many small maps; every node of one is an allocation.

#![forbid(unsafe_code)]
#![allow(
    clippy::wrong_self_convention,
    reason = "methods are named for where a message goes: to_server, to_client"
)]

pub mod choice;
pub mod client;
pub mod clock;
pub mod decision;
pub mod disk;
pub mod edit;
pub mod fold;
pub mod network;
pub mod observe;
pub mod queue;
pub mod schedule;
pub mod times;
pub mod world;

pub use choice::Choice;
pub use observe::{Happening, Observation, Observer, Violation};
pub use schedule::Schedule;
pub use world::{Memory, Report, Verdict, World};

/// Simulated time: nanoseconds since the run began. The nodes never see it, only their own clocks.
pub type Time = u64;

/// A server, by its place among the voters: 0, 1, 2, ...
pub type NodeIndex = usize;

/// A client, by its place in the schedule; probes of the heal phase come after.
pub type ClientIndex = usize;

/// Something that happened in a run, by its place: the first is 1. 0 is the beginning, which has no cause.
pub type EventId = u64;

/// One millisecond of simulated time.
pub const MS: Time = 1_000_000;

/// One microsecond of simulated time.
pub const US: Time = 1_000;
