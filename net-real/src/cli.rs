//! The command line of `vivarium`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{dev, logging, serve};

/// How the process ends. The numbers are a promise to scripts and supervisors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: did what was asked, which for a server includes ending on SIGTERM.
    Clean,
    /// 1: something went wrong while running; the log says what.
    Fault,
    /// 2: the arguments or the configuration are wrong.
    Usage,
    /// 3: the data directory cannot be used.
    Data,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Fault => 1,
            Exit::Usage => 2,
            Exit::Data => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[derive(Parser, Debug)]
#[command(
    name = "vivarium",
    version,
    about = "A coordination service that speaks the ZooKeeper client protocol",
    arg_required_else_help = true,
    after_help = "\
Examples:
  vivarium serve                        one server on 127.0.0.1:2181, data in ./vivarium-data
  vivarium serve --config zoo.cfg       a server as ZooKeeper's configuration file describes it
  vivarium dev                          three servers on this machine, gone on Ctrl-C

Exit codes: 0 clean end, 1 fault at run time, 2 wrong arguments or configuration, 3 data directory not usable."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run one server
    Serve(ServeArgs),
    /// Run a throw-away ensemble on this machine
    Dev(DevArgs),
}

/// Arguments of `vivarium serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vivarium serve
  vivarium serve --port 12181 --data-dir /var/tmp/coordination
  vivarium serve --config /etc/zookeeper/zoo.cfg
  RUST_LOG=debug vivarium serve

The server ends in good order on SIGTERM or Ctrl-C: a leader hands over first. A second signal ends it at once.
Is it up?  echo srvr | nc 127.0.0.1 2181")]
pub struct ServeArgs {
    /// ZooKeeper's configuration file (zoo.cfg); a dataDir/myid file beside it says which server.N this is
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where data is kept; wins over dataDir and dataLogDir of the configuration [default: ./vivarium-data]
    #[arg(long, short, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients connect; wins over clientPort of the configuration; 0 for any free port [default: 2181]
    #[arg(long, short, value_name = "PORT")]
    pub port: Option<u16>,
    /// What to log: error, warn, info, debug or trace [default: RUST_LOG, or info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Count this server as a voter although its data directory is empty: to form a cluster without all its servers,
    /// or to go on with what is left after a majority has lost its data for good. Committed data that only the lost
    /// disks held is gone then
    #[arg(long)]
    pub vote_empty: bool,
    /// End in good order when standard input is closed
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Arguments of `vivarium dev`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vivarium dev
  vivarium dev --nodes 5 --base-port 12181
  vivarium dev --dir ./ensemble         keep the data, and go on with it the next time

All servers end with Ctrl-C, and also when this process dies in any other way. Without --dir nothing is left behind.")]
pub struct DevArgs {
    /// How many servers
    #[arg(long, short, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
    /// First client port; the others follow it [default: 2181, or any that are free]
    #[arg(long, short = 'p', value_name = "PORT")]
    pub base_port: Option<u16>,
    /// Where to keep data, configuration and logs [default: a temporary directory, removed at the end]
    #[arg(long, short, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What the servers log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match cli.command {
        Command::Serve(arguments) => {
            if let Err(why) = logging::init(arguments.log_level.as_deref()) {
                eprintln!("error: {why}");
                Exit::Usage
            } else {
                serve::serve(&arguments)
            }
        }
        Command::Dev(arguments) => dev::dev(&arguments),
    };
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
