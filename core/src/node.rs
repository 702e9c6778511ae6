//! The node: the only place that knows both towers.

use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::{Boot, Input, Outputs};
use crate::time::Now;

/// One server of the ensemble, as a state machine.
#[derive(Debug)]
pub struct Node {
    id: PeerId,
}

/// What a node is, seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// No leader.
    Looking,
    /// Follows, in sync or on the way.
    Following { leader: PeerId, in_sync: bool },
    /// Leads, serving or on the way.
    Leading { established: bool },
}

/// A node's vital signs, for operators' commands and for observers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// The epoch it has promised.
    pub epoch: Epoch,
    /// The last entry executed.
    pub applied: Zxid,
    /// The last entry known to be committed.
    pub committed: Zxid,
    /// The end of the log.
    pub last: Zxid,
    /// Nodes, as ZooKeeper counts them.
    pub node_count: u64,
    /// Ephemeral nodes.
    pub ephemeral_count: u64,
    /// Bytes of paths and data, about.
    pub data_size: u64,
    /// Open sessions of the whole ensemble.
    pub session_count: usize,
    /// Watches of this server's connections, both tables.
    pub watch_count: usize,
    /// Connections, paths and watches as `wchs` counts them.
    pub watch_summary: (usize, usize, usize),
    /// Requests admitted here and not answered.
    pub outstanding: usize,
    /// Followers known to this leader, and how many of them are in sync.
    pub followers: (usize, usize),
}

impl Node {
    /// Rebuilds the machine from what the disk gave back. Nothing is said until the first step.
    ///
    /// # Errors
    /// What is wrong with the snapshot's contents, when it cannot be read although its checksums hold.
    pub fn boot(boot: Boot) -> Result<Node, String> {
        Ok(Node { id: boot.id })
    }

    /// Tells the machine one thing. When this returns, all that follows from it is in `out`, and the machine is at
    /// rest: nothing to drain, no order in which to poll.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Outputs) {
        let _ = (now, input, out, self.id);
    }

    /// Vital signs. O(1).
    pub fn status(&self) -> Status {
        todo!()
    }

    /// Whether drivers should stop reading clients' sockets for now: too much is proposed and not committed.
    pub fn saturated(&self) -> bool {
        false
    }

    /// The replicated state, to look at.
    pub fn state(&self) -> &crate::state::State {
        todo!()
    }
}
