//! Runs schedules, checks them, replays them and counts them.
//!
//! ```text
//!   check/   observers that know what is right: a reference model of the service, and a checker for each property
//!   run      one schedule under all checkers, panics included
//!   hunt/    many seeds, on all cores of one machine or of many; merge joins what they found
//!   build    what this binary is made of
//!   replay   one seed or one trace file again, told event by event
//!   recording/  a run as data: all events with their causes, and the `*.trace` files that hold them
//!   causes/  from when on a failure was to come: its probability over time
//!   explain/ a failure in text
//!   to_test/ a schedule as a Rust test
//!   shrink/  from a failing schedule to a handful of decisions
//!   trace    the trace files of `traces/`: one for each bug that a schedule once found
//!   speed/   how fast all this is
//!   subject  which schedule a verb is about: by file, or by seed
//!   marks/   what schedules have come to: named points, and how often each is hit
//!   cover    runs schedules and counts marks
//!   tell     a readable line for each event
//!   bugs/    known bugs planted one at a time, and how long the hunt takes to find each
//!   step/    a walk through a run, event by event
//!   diff     where two runs part
//!   view/    a recording as a page: the space-time diagram
//!   cli      the verbs of the command line; what a verb takes stands beside what it does
//!   numbers  numbers as people read them
//!   end      how a command ends: the exit codes
//! ```

#![forbid(unsafe_code)]

pub mod bugs;
pub mod build;
pub mod causes;
pub mod check;
pub mod cli;
pub mod cover;
pub mod diff;
pub mod end;
pub mod explain;
pub mod hunt;
pub mod marks;
pub mod numbers;
pub mod recording;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod speed;
pub mod step;
pub mod subject;
pub mod tell;
pub mod to_test;
pub mod trace;
pub mod view;
