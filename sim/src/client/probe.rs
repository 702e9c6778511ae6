//! A client that comes when all faults have ended, and does one of each thing that a healthy server must do.

use vivarium_core::api::{Acl, Create, Op};

use super::Client;
use crate::NodeIndex;

/// A client of the heal phase, which proves that one server serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The server it insists on.
    pub node: NodeIndex,
    /// How many of its steps have succeeded: connect, create, sync, read, close.
    pub steps: u8,
}

/// Steps of a probe.
pub const PROBE_STEPS: u8 = 5;

impl Probe {
    /// What it asks next.
    pub(super) fn op(self) -> Op {
        match self.steps {
            1 => Op::Create(Create {
                path: "/zookeeper/probe-".into(),
                data: None,
                acl: Some(Acl::open()),
                flags: 2,
                stat: true,
            }),
            2 => Op::Sync { path: Some("/".into()) },
            3 => Op::Exists { path: "/zookeeper".into(), watch: false },
            _ => Op::CloseSession,
        }
    }
}

impl Client {
    /// How far a probe has come.
    pub fn progress(&self) -> Option<Probe> {
        self.probe
    }

    /// It has come one step further than this.
    pub(super) fn advance_probe(&mut self, from: u8) {
        if let Some(probe) = &mut self.probe
            && probe.steps == from
        {
            probe.steps += 1;
        }
    }
}
