//! The real world for the core: sockets, files, clocks and signals; the `vivarium` binary.
//!
//! ```text
//!   cli.rs      the command line and exit codes        dev.rs       an ensemble on this machine
//!   serve.rs    from a configuration to a server       server/      the loop: sockets, disk and core in turns
//!   clients.rs  clients' sockets                       peers/       connections between servers
//!   words/      four-letter words                      frame.rs     packets out of bytes
//!   config/     zoo.cfg and myid                       storage/     the log and snapshots in files
//!   cluster.rs  which ensemble the data is of          bounds.rs    every bound of the driver
//!   logging, signals, clock, stats, strangers          what they say
//! ```
//!
//! One thread runs the sockets and the core, one each of the two lanes to the disk. Nothing here decides anything that a
//! client could see but the bounds of its connection: that is the core's business.

pub mod bounds;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod dev;
pub mod frame;
pub mod logging;
pub mod peers;
pub mod serve;
pub mod server;
pub mod signals;
pub mod stats;
pub mod storage;
pub mod strangers;
pub mod words;
