//! A leader leads as long as it hears a quorum, and no longer: also one that is not established yet, whose voters may have
//! left for another. And it listens to the stay of a follower that this has named last, whatever late messages of earlier
//! stays have said in between.
//!
//! Silence is counted in the leader's own heartbeats, so that neither its clock nor a time in which its process stood still
//! can be held against it.

use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::io::Note;
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_core::time::{Duration, Instant, Now};
use vivarium_sim::world::{node_index, peer_id};
use vivarium_sim::{NodeIndex, Schedule, Violation};

use super::violation;

/// Who leads, and whom it hears.
#[derive(Clone, Debug, Default)]
pub struct Reigns {
    nodes: Vec<Node>,
    heartbeat: Duration,
    silence: Duration,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Of the present step.
    now: Instant,
    /// While it leads.
    reign: Option<Reign>,
}

#[derive(Clone, Debug)]
struct Reign {
    /// The last heartbeat: its number and time.
    round: u64,
    beat: Instant,
    /// How long each node has said nothing that a follower says.
    silent: Vec<Duration>,
    /// The epoch that it leads now, and the stay that each follower has named last in it; 0 for none.
    epoch: Epoch,
    named: Vec<u64>,
    /// Where the entries end that each follower was sent last, and how often it was sent some again in this stay since the
    /// last heartbeat.
    sent: Vec<Zxid>,
    rewound: Vec<u32>,
}

/// Heartbeats that a leader may send beyond the time of silence: the count begins with one, and a process that stands
/// still for less than two is not seen to.
const BEATS_MORE: u64 = 2;
/// How often a leader may begin to send a follower some entries again, between two heartbeats.
const REWOUND_MAX: u32 = 8;

impl Reigns {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.nodes.clear();
        self.nodes.resize_with(schedule.nodes, Node::default);
        self.heartbeat = schedule.limits.heartbeat;
        self.silence = schedule.limits.silence;
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = Node::default();
    }

    /// A node is about to be told something.
    pub(super) fn steps(&mut self, node: NodeIndex, now: Now) {
        self.nodes[node].now = now.mono;
    }

    /// By another node.
    pub(super) fn arrived(&mut self, node: NodeIndex, from: PeerId, message: &PeerMessage) {
        let Some(reign) = &mut self.nodes[node].reign else { return };
        if !is_of_a_follower(message) {
            return;
        }
        let from = node_index(from);
        reign.silent[from] = Duration(0);
        if let Some((epoch, stay)) = stay(message)
            && epoch == reign.epoch
            && std::mem::replace(&mut reign.named[from], stay) != stay
        {
            reign.rewound[from] = 0;
        }
    }

    /// A node says what it does.
    pub(super) fn note(&mut self, node: NodeIndex, note: &Note) {
        match note {
            Note::Elected { epoch, .. } => {
                let nodes = self.nodes.len();
                let (silent, named) = (vec![Duration(0); nodes], vec![0; nodes]);
                let (sent, rewound) = (vec![Zxid::ZERO; nodes], vec![0; nodes]);
                let state = &mut self.nodes[node];
                let (round, beat, epoch) = (0, state.now, *epoch);
                state.reign = Some(Reign { round, beat, silent, epoch, named, sent, rewound });
            }
            Note::Looking { .. } | Note::Following { .. } => self.nodes[node].reign = None,
            _ => {}
        }
    }

    /// A node says something to another.
    pub(super) fn sent(
        &mut self,
        node: NodeIndex,
        to: PeerId,
        message: &PeerMessage,
    ) -> Result<(), Box<Violation>> {
        match message {
            PeerMessage::Heartbeat { epoch, round, stream, .. } => {
                self.beats(node, *round)?;
                self.listens(node, to, *epoch, *stream)
            }
            PeerMessage::Propose { previous, entries, .. } => {
                let last = entries.last().map_or(*previous, |entry| entry.zxid);
                self.proposes(node, to, *previous, last)
            }
            // What follows on that is not the same again.
            PeerMessage::Truncate { .. } | PeerMessage::SnapshotChunk { .. } => {
                if let Some(reign) = &mut self.nodes[node].reign {
                    reign.rewound[node_index(to)] = 0;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn listens(
        &mut self,
        node: NodeIndex,
        to: PeerId,
        epoch: Epoch,
        stay: u64,
    ) -> Result<(), Box<Violation>> {
        let Some(reign) = &mut self.nodes[node].reign else { return Ok(()) };
        reign.epoch = epoch;
        reign.rewound[node_index(to)] = 0;
        let named = reign.named[node_index(to)];
        if named == stay {
            return Ok(());
        }
        violation(
            "stay-named",
            "a leader takes the commands of the stay that a follower has named last: those of another would be sent in vain",
            format!("node {} tells node {to} that it listens to its stay {stay:x}", peer_id(node)),
            format!("to its stay {named:x}, which it named last"),
        )
    }

    fn beats(&mut self, node: NodeIndex, round: u64) -> Result<(), Box<Violation>> {
        let (heartbeat, silence) = (self.heartbeat, self.silence);
        let most = Duration(silence.0 + BEATS_MORE * heartbeat.0);
        let Node { now, reign, .. } = &mut self.nodes[node];
        let Some(reign) = reign else { return Ok(()) };
        if reign.round == round {
            return Ok(());
        }
        let passed = *now - std::mem::replace(&mut reign.beat, *now);
        reign.round = round;
        if passed.0 * 2 >= heartbeat.0 * 3 {
            // It stood still, and may give the others another chance.
            reign.silent.fill(Duration(0));
            return Ok(());
        }
        for silent in &mut reign.silent {
            *silent = Duration(silent.0 + passed.0.min(heartbeat.0));
        }
        reign.silent[node] = Duration(0);
        let heard = reign.silent.iter().filter(|silent| **silent < most).count();
        if heard * 2 > reign.silent.len() {
            return Ok(());
        }
        let unheard: Vec<PeerId> =
            (0..reign.silent.len()).filter(|other| reign.silent[*other] >= most).map(peer_id).collect();
        violation(
            "quorum-heard",
            "whoever leads, or is about to, gives up when it hears no quorum for the time of silence",
            format!(
                "node {} sends heartbeat {round} and has not heard of {unheard:?} following it for {} ms or more",
                peer_id(node),
                most.as_millis()
            ),
            format!("it to give up after {} ms", silence.as_millis()),
        )
    }
}

impl Reigns {
    fn proposes(
        &mut self,
        node: NodeIndex,
        to: PeerId,
        previous: Zxid,
        last: Zxid,
    ) -> Result<(), Box<Violation>> {
        let Some(reign) = &mut self.nodes[node].reign else { return Ok(()) };
        let (sent, rewound) = (&mut reign.sent[node_index(to)], &mut reign.rewound[node_index(to)]);
        if previous >= std::mem::replace(sent, last) {
            return Ok(());
        }
        *rewound += 1;
        if *rewound <= REWOUND_MAX {
            return Ok(());
        }
        let rewound = *rewound;
        violation(
            "few-copies",
            "a leader that fills a gap fills those further on with it: what it sends again it sends a few times at most before \
             its next heartbeat",
            format!(
                "node {} sends node {to} again what comes after {previous:?}, {rewound} times by now",
                peer_id(node)
            ),
            format!("at most {REWOUND_MAX} times"),
        )
    }
}

/// Which stay of its sender, in which epoch, this names.
fn stay(message: &PeerMessage) -> Option<(Epoch, u64)> {
    match message {
        PeerMessage::Position { epoch, stream, .. } => Some((*epoch, *stream)),
        PeerMessage::Vow(vow) => match vow.get() {
            Vow::Positioned { epoch, stream, .. } => Some((*epoch, *stream)),
            Vow::Ack { .. } | Vow::AckEpoch { .. } => None,
        },
        _ => None,
    }
}

/// Whether this says that its sender follows, or promises to.
fn is_of_a_follower(message: &PeerMessage) -> bool {
    matches!(
        message,
        PeerMessage::Alive { .. }
            | PeerMessage::Position { .. }
            | PeerMessage::SnapshotReceived { .. }
            | PeerMessage::Vow(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Now {
        Now { mono: Instant(ms * MS), ..Now::default() }
    }

    fn leader() -> Reigns {
        let mut schedule = Schedule::plain(0);
        schedule.limits.heartbeat = Duration(10 * MS);
        schedule.limits.silence = Duration(40 * MS);
        let mut reigns = Reigns::default();
        reigns.begin(&schedule);
        reigns.steps(0, at(0));
        reigns.note(0, &Note::Elected { epoch: Epoch(1), last: Zxid::ZERO });
        reigns
    }

    /// Whether it may send its `round`-th heartbeat at this time.
    fn beats(reigns: &mut Reigns, ms: u64, round: u64) -> bool {
        beats_to(reigns, ms, round, 0).is_ok()
    }

    /// What may be broken when it says with that that it listens to this stay.
    fn beats_to(reigns: &mut Reigns, ms: u64, round: u64, stream: u64) -> Result<(), &'static str> {
        reigns.steps(0, at(ms));
        let message = PeerMessage::Heartbeat {
            epoch: Epoch(1),
            reign: 1,
            round,
            committed: Zxid::ZERO,
            sent: Zxid::ZERO,
            stream,
            forwarded: 0,
            checkpoint: None,
            admitted: None,
        };
        reigns.sent(0, peer_id(1), &message).map_err(|broken| broken.property)
    }

    #[test]
    fn a_leader_that_hears_nobody_may_not_go_on_for_long() {
        let mut reigns = leader();
        let last = (1..20).find(|round| !beats(&mut reigns, 10 * round, *round));
        assert_eq!(last, Some(6));
    }

    #[test]
    fn one_that_hears_one_of_two_followers_may() {
        let mut reigns = leader();
        for round in 1..30 {
            assert!(beats(&mut reigns, 10 * round, round));
            let message = PeerMessage::Position { epoch: Epoch(1), last: Zxid::ZERO, stream: 1 };
            reigns.arrived(0, peer_id(2), &message);
        }
    }

    #[test]
    fn the_stay_that_was_named_last_counts_if_it_was_named_in_this_epoch() {
        let mut reigns = leader();
        let names = |reigns: &mut Reigns, epoch, stream| {
            let message = PeerMessage::Position { epoch: Epoch(epoch), last: Zxid::ZERO, stream };
            reigns.arrived(0, peer_id(1), &message);
        };
        names(&mut reigns, 1, 7);
        assert_eq!(beats_to(&mut reigns, 10, 1, 7), Ok(()));
        names(&mut reigns, 0, 5);
        assert_eq!(beats_to(&mut reigns, 20, 2, 7), Ok(()));
        names(&mut reigns, 1, 6);
        assert_eq!(beats_to(&mut reigns, 30, 3, 6), Ok(()));
        names(&mut reigns, 1, 7);
        assert_eq!(beats_to(&mut reigns, 40, 4, 6), Err("stay-named"));
    }

    #[test]
    fn time_in_which_it_stood_still_does_not_count() {
        let mut reigns = leader();
        for round in 1..30 {
            assert!(beats(&mut reigns, 10 * round + round / 4 * 100, round));
        }
    }
}
