//! The effective configuration as the `conf` four-letter word prints it (section 11.1 of the protocol).

use std::fmt;

use super::Config;

/// Bytes on the disk, for `dataDirSize` and `dataLogSize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectorySizes {
    /// Of the snapshots.
    pub data: u64,
    /// Of the log.
    pub log: u64,
}

/// Prints a configuration: the keys and the order are ZooKeeper's, the directories our own.
#[derive(Clone, Copy, Debug)]
pub struct Conf<'a> {
    config: &'a Config,
    sizes: DirectorySizes,
}

impl Config {
    /// What `conf` answers.
    pub fn conf(&self, sizes: DirectorySizes) -> Conf<'_> {
        Conf { config: self, sizes }
    }

    /// The servers as `/zookeeper/config` lists them: lines without one at the end. Empty for a server alone.
    pub fn membership(&self) -> String {
        let lines: Vec<String> = self
            .servers
            .iter()
            .map(|(id, server)| {
                // As ZooKeeper has it, the second port is never missing; without one the first stands in.
                let election = server.election_port.unwrap_or(server.peer.port);
                let client = if *id == self.id {
                    Some(self.client.to_string())
                } else {
                    server.client.as_ref().map(ToString::to_string)
                };
                let client = client.map_or(String::new(), |client| format!(";{client}"));
                format!("server.{id}={}:{election}:participant{client}", server.peer)
            })
            .collect();
        lines.join("\n")
    }
}

impl fmt::Display for Conf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conf { config, sizes } = self;
        writeln!(f, "clientPort={}", config.client.port)?;
        writeln!(f, "secureClientPort=-1")?;
        writeln!(f, "dataDir={}", config.data_dir.display())?;
        writeln!(f, "dataDirSize={}", sizes.data)?;
        writeln!(f, "dataLogDir={}", config.log_dir.display())?;
        writeln!(f, "dataLogSize={}", sizes.log)?;
        writeln!(f, "tickTime={}", config.tick_ms)?;
        writeln!(f, "maxClientCnxns={}", config.connections_per_address_max)?;
        writeln!(f, "minSessionTimeout={}", config.session_timeout_min_ms)?;
        writeln!(f, "maxSessionTimeout={}", config.session_timeout_max_ms)?;
        let backlog = config.client_backlog.map_or(-1, i64::from);
        writeln!(f, "clientPortListenBacklog={backlog}")?;
        writeln!(f, "serverId={}", config.id)?;
        let Some(own) = config.own_server() else {
            return Ok(());
        };
        writeln!(f, "initLimit={}", config.init_limit)?;
        writeln!(f, "syncLimit={}", config.sync_limit)?;
        writeln!(f, "electionAlg=3")?;
        writeln!(f, "electionPort={}", own.election_port.unwrap_or(own.peer.port))?;
        writeln!(f, "quorumPort={}", own.peer.port)?;
        writeln!(f, "peerType=0")?;
        write!(f, "membership: \n{}", config.membership())
    }
}
