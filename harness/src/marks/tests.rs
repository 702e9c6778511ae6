//! Tests of the marker: on handmade observations, and on what the first seeds come to.

use std::sync::Arc;

use vivarium_core::api::{ConnectResponse, EventKind, Op, Reply, Request, Response, WatchedEvent};
use vivarium_core::entry::{Body, Command, Entry, Write as Ask};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Epoch, Origin, PeerId, SessionId, WriteSeq, Zxid};
use vivarium_core::io::{Input, Lane, LookingReason, Note, Output, Write};
use vivarium_core::record::{FileName, Resume};
use vivarium_core::recovery::{Damage, Recovered, Recovery, Remedy};
use vivarium_core::replica::PeerMessage;
use vivarium_core::time::{Instant, Now, Timestamp};
use vivarium_sim::{NodeIndex, Observation, Observer, Schedule};

use super::*;

const SESSION: SessionId = SessionId(77);
const CONN: ConnId = ConnId(1);

/// A marker that is told what a test says, by a node's own step each.
struct Told {
    marker: Marker,
    seqs: [u64; 8],
}

impl Told {
    fn new() -> Told {
        let mut told = Told { marker: Marker::new(), seqs: [0; 8] };
        let schedule = Schedule { nodes: 3, ..Schedule::draw(0) };
        told.observe(&Observation::Started { schedule: &schedule });
        for node in 0..3 {
            told.marker.nodes[node].up = true;
            told.marker.nodes[node].lives = 1;
        }
        told
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        self.marker.observe(0, observation).expect("a marker never objects");
    }

    fn input(&mut self, node: NodeIndex, input: Input) {
        let now = Now { mono: Instant(0), wall: Timestamp(0) };
        self.observe(&Observation::Input { node, now, input: &input });
    }

    fn hears(&mut self, node: NodeIndex, from: u8, message: PeerMessage) {
        self.input(node, Input::Peer { from: PeerId(from), message });
    }

    fn output(&mut self, node: NodeIndex, output: Output) {
        self.observe(&Observation::Output { node, output: &output });
    }

    fn note(&mut self, node: NodeIndex, note: Note) {
        self.input(node, Input::Wake);
        self.output(node, Output::Note(note));
    }

    fn writes(&mut self, node: NodeIndex, write: Write) {
        self.input(node, Input::Wake);
        self.seqs[node] += 1;
        let seq = WriteSeq(self.seqs[node]);
        self.output(node, Output::Write { lane: Lane::Log, seq, write });
    }

    fn appends(&mut self, node: NodeIndex, entries: &[(Zxid, Body)]) {
        for (zxid, body) in entries {
            self.writes(node, Write::Append(entry(*zxid, body.clone())));
        }
    }

    fn durable(&mut self, node: NodeIndex, zxid: Zxid) {
        let write = Write::Append(entry(zxid, Body::Opening));
        self.observe(&Observation::Durable { node, write: &write });
    }

    fn leads(&mut self, node: NodeIndex, epoch: u32, last: Zxid) {
        self.note(node, Note::Elected { epoch: Epoch(epoch), last });
        self.appends(node, &[(z(epoch, 0), Body::Opening)]);
    }

    fn has(&self, mark: Mark) -> bool {
        self.marker.marks().contains(mark)
    }
}

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn origin(number: u64) -> Origin {
    Origin { peer: PeerId(1), stream: 9, number }
}

fn entry(zxid: Zxid, body: Body) -> Arc<Entry> {
    Arc::new(Entry { zxid, time: Timestamp(0), origin: origin(zxid.0), body })
}

fn request(owner: Origin, write: Ask) -> Body {
    Body::Command(Command::Request { session: SESSION, owner, ids: Arc::new([]), write })
}

fn delete() -> Ask {
    Ask::Delete { path: "/a".into(), version: -1 }
}

fn begin_session() -> Body {
    Body::Command(Command::CreateSession { session: SESSION, password: [1; 16], timeout_ms: 100 })
}

fn attach() -> Body {
    Body::Command(Command::Attach { session: SESSION, password: [1; 16], timeout_ms: 100 })
}

fn expire(owner: Origin) -> Body {
    Body::Command(Command::Expire { session: SESSION, owner })
}

#[test]
fn entries_of_a_dead_epoch_come_alive_under_a_new_leader() {
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.appends(0, &[(z(1, 1), begin_session())]);
    told.observe(&Observation::Ended { node: 0 });
    assert!(told.has(Mark::LeaderCrashedWithProposals) && told.has(Mark::LeadLostUnestablished));
    // Another has that entry, uncommitted, and wins with it.
    told.appends(1, &[(z(1, 0), Body::Opening), (z(1, 1), begin_session())]);
    told.leads(1, 3, z(1, 1));
    assert!(told.has(Mark::ElectedWithUncommitted) && told.has(Mark::EpochSkipped));
    assert!(!told.has(Mark::OlderEpochCommitted));
    told.note(1, Note::Established { epoch: Epoch(3), committed: z(3, 0) });
    told.note(1, Note::Applied { zxid: z(1, 0), digest: 0 });
    assert!(told.has(Mark::OlderEpochCommitted) && told.has(Mark::UnseenCommitSurvives));
    assert!(told.has(Mark::LeadersDiskLast), "none of it was said to be durable");
    assert!(!told.has(Mark::TwoLeaders) && !told.has(Mark::EstablishedLate));
}

#[test]
fn a_cut_tells_what_it_takes() {
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.appends(0, &[(z(1, 1), begin_session())]);
    told.durable(0, z(1, 0));
    told.writes(0, Write::Truncate { to: z(1, 0) });
    let own = [Mark::TruncateOwnProposals, Mark::TruncateUnsynced];
    let other = [Mark::TruncateDurable, Mark::TruncateAcknowledged, Mark::TruncateTwoEpochs];
    assert!(own.iter().all(|mark| told.has(*mark)) && !other.iter().any(|mark| told.has(*mark)));
    // It crashes before the cut is on the disk.
    told.observe(&Observation::Ended { node: 0 });
    assert!(told.has(Mark::CrashTruncateUnsynced) && told.has(Mark::CrashLostWrites));

    let mut told = Told::new();
    told.appends(2, &[(z(1, 0), Body::Opening), (z(2, 0), Body::Opening)]);
    told.durable(2, z(2, 0));
    told.marker.nodes[2].acked = z(2, 0);
    told.writes(2, Write::Truncate { to: Zxid::ZERO });
    assert!(other.iter().all(|mark| told.has(*mark)) && !told.has(Mark::TruncateUnsynced));
    assert!(!told.has(Mark::TruncateOwnProposals));
}

#[test]
fn two_leaders_and_one_that_was_late() {
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.note(0, Note::Established { epoch: Epoch(1), committed: z(1, 0) });
    told.leads(1, 2, z(1, 0));
    assert!(!told.has(Mark::TwoLeaders), "the second is not established yet");
    told.note(1, Note::Established { epoch: Epoch(2), committed: z(2, 0) });
    assert!(told.has(Mark::TwoLeaders) && !told.has(Mark::EstablishedLate));
    told.appends(0, &[(z(1, 1), begin_session())]);
    told.note(0, Note::Looking { why: LookingReason::QuorumLost });
    assert!(told.has(Mark::QuorumLost) && told.has(Mark::DeposedWithProposals));
    told.leads(2, 4, z(2, 0));
    told.leads(0, 3, z(2, 0));
    told.note(2, Note::Established { epoch: Epoch(4), committed: z(4, 0) });
    told.note(0, Note::Established { epoch: Epoch(3), committed: z(3, 0) });
    assert!(told.has(Mark::EstablishedLate));
}

#[test]
fn an_expiry_races_with_a_return() {
    let owner = origin(z(1, 1).0);
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.appends(0, &[(z(1, 1), begin_session())]);
    told.note(0, Note::Applied { zxid: z(1, 0), digest: 0 });
    told.note(0, Note::Applied { zxid: z(1, 1), digest: 0 });
    told.appends(0, &[(z(1, 2), attach()), (z(1, 3), expire(owner))]);
    assert!(told.has(Mark::ExpiryAfterReattach) && !told.has(Mark::ReattachAfterExpiry));
    told.note(0, Note::Applied { zxid: z(1, 2), digest: 0 });
    told.note(0, Note::Applied { zxid: z(1, 3), digest: 0 });
    assert!(!told.has(Mark::ExpiryDidNothing), "its end may yet be told");
    told.input(0, Input::Wake);
    assert!(told.has(Mark::ExpiryDidNothing));

    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.appends(0, &[(z(1, 1), begin_session()), (z(1, 2), expire(owner)), (z(1, 3), attach())]);
    assert!(told.has(Mark::ReattachAfterExpiry) && !told.has(Mark::ExpiryAfterReattach));
    for counter in 0..=2 {
        told.note(0, Note::Applied { zxid: z(1, counter), digest: 0 });
    }
    told.output(0, Output::Note(Note::SessionEnded { session: SESSION, expired: true }));
    told.input(0, Input::Wake);
    assert!(told.has(Mark::SessionExpired) && !told.has(Mark::ExpiryDidNothing));
}

#[test]
fn a_request_of_the_old_connection_comes_after_the_move() {
    let owner = origin(z(1, 1).0);
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.appends(0, &[(z(1, 1), begin_session()), (z(1, 2), request(owner, delete()))]);
    assert!(!told.has(Mark::MovedWithRequestInFlight));
    told.appends(0, &[(z(1, 3), attach())]);
    assert!(told.has(Mark::MovedWithRequestInFlight) && !told.has(Mark::RequestAfterMove));
    told.appends(0, &[(z(1, 4), request(owner, delete()))]);
    assert!(told.has(Mark::RequestAfterMove) && !told.has(Mark::RequestAfterEnd));
    told.appends(0, &[(z(1, 5), request(origin(z(1, 3).0), Ask::Close))]);
    assert!(told.has(Mark::DeleteBeforeClose) && !told.has(Mark::EphemeralBeforeClose));
    told.appends(0, &[(z(1, 6), request(origin(z(1, 3).0), delete()))]);
    assert!(told.has(Mark::RequestAfterEnd));
}

#[test]
fn an_epoch_is_rolled_with_a_request_waiting() {
    let mut told = Told::new();
    told.leads(0, 1, Zxid::ZERO);
    told.note(0, Note::Established { epoch: Epoch(1), committed: z(1, 0) });
    let forward = || PeerMessage::Forward { epoch: Epoch(1), stream: 5, first: 1, commands: Vec::new() };
    told.hears(0, 2, forward());
    assert!(!told.has(Mark::RequestDuringRoll));
    told.note(0, Note::Rolling { epoch: Epoch(2), admitting: false });
    told.hears(0, 2, forward());
    assert!(told.has(Mark::RequestDuringRoll) && !told.has(Mark::EpochRolled));
    told.appends(0, &[(z(2, 0), Body::Opening)]);
    assert!(told.has(Mark::EpochRolled) && told.has(Mark::RollWithUncommitted));
    assert!(!told.has(Mark::EpochRolledTwice) && !told.has(Mark::RollGivenUp));
    told.note(0, Note::Rolling { epoch: Epoch(3), admitting: false });
    told.observe(&Observation::Ended { node: 0 });
    assert!(told.has(Mark::RollGivenUp));
}

#[test]
fn messages_that_come_out_of_turn() {
    let mut told = Told::new();
    told.note(1, Note::Following { leader: PeerId(1), epoch: Epoch(1) });
    let propose = |epoch, previous, counters: &[u32]| PeerMessage::Propose {
        epoch: Epoch(epoch),
        previous,
        entries: counters.iter().map(|counter| entry(z(1, *counter), Body::Opening)).collect(),
        committed: Zxid::ZERO,
    };
    told.hears(1, 1, propose(1, z(1, 4), &[5]));
    assert!(told.has(Mark::ProposeAhead) && !told.has(Mark::ProposeRepeated));
    told.appends(1, &[(z(1, 0), Body::Opening), (z(1, 1), begin_session())]);
    told.hears(1, 1, propose(1, z(1, 0), &[1]));
    assert!(told.has(Mark::ProposeRepeated) && !told.has(Mark::ProposeOverlapping));
    told.hears(1, 1, propose(1, z(1, 0), &[1, 2]));
    assert!(told.has(Mark::ProposeOverlapping) && !told.has(Mark::ProposeOfOldEpoch));
    told.hears(1, 1, PeerMessage::Commit { epoch: Epoch(1), upto: z(1, 1) });
    assert!(!told.has(Mark::CommitAhead));
    told.hears(1, 1, PeerMessage::Commit { epoch: Epoch(1), upto: z(1, 2) });
    assert!(told.has(Mark::CommitAhead) && !told.has(Mark::CommitOfOldEpoch));
    told.note(1, Note::Following { leader: PeerId(3), epoch: Epoch(2) });
    told.hears(1, 1, propose(1, z(1, 0), &[1]));
    told.hears(1, 1, PeerMessage::Commit { epoch: Epoch(1), upto: z(1, 2) });
    assert!(told.has(Mark::ProposeOfOldEpoch) && told.has(Mark::CommitOfOldEpoch));
}

#[test]
fn messages_that_are_lost_or_doubled() {
    let mut told = Told::new();
    let message = PeerMessage::Commit { epoch: Epoch(1), upto: z(1, 2) };
    let unlucky = |arrives, again| Observation::Unlucky { from: 0, to: 1, message: &message, arrives, again };
    told.observe(&unlucky(Some(5), None));
    assert!(!told.has(Mark::CommitLost) && !told.has(Mark::CommitDoubled), "it was only late");
    told.observe(&unlucky(Some(5), Some(6)));
    assert!(!told.has(Mark::CommitLost) && told.has(Mark::CommitDoubled));
    told.observe(&unlucky(None, None));
    assert!(told.has(Mark::CommitLost) && !told.has(Mark::ProposeLost));
}

#[test]
fn a_crash_between_two_writes_of_a_step() {
    let mut told = Told::new();
    told.input(0, Input::Wake);
    for seq in 1..=2 {
        let write = Write::Append(entry(z(1, seq), begin_session()));
        told.output(0, Output::Write { lane: Lane::Log, seq: WriteSeq(u64::from(seq)), write });
    }
    let mut lucky = Told { marker: std::mem::take(&mut told.marker), seqs: [0; 8] };
    lucky.durable(0, z(1, 1));
    lucky.observe(&Observation::Ended { node: 0 });
    assert!(lucky.has(Mark::CrashTornStep) && lucky.has(Mark::CrashKeptUntold));
    assert!(lucky.has(Mark::CrashLostWrites) && !lucky.has(Mark::CrashPromiseUnsynced));
    assert!(!lucky.has(Mark::CrashInStepWithSend), "it sent nothing");
}

#[test]
fn a_client_reads_from_a_server_behind_and_is_told_of_its_own_write() {
    let mut told = Told::new();
    told.marker.committed = z(1, 9);
    let ask = |op| Request { xid: 3, op };
    let exists = || Op::Exists { path: "/a".into(), watch: true };
    told.observe(&Observation::Sent { client: 0, conn: CONN, request: &ask(exists()) });
    told.input(0, Input::Request { conn: CONN, request: ask(exists()) });
    let reply =
        |zxid: Zxid, result| Output::Reply { conn: CONN, reply: Reply { xid: 3, zxid: zxid.wire(), result } };
    told.output(0, reply(z(1, 8), Err(ErrorCode::NoNode)));
    assert!(told.has(Mark::ReadBehind) && told.has(Mark::NoNode) && !told.has(Mark::WatchByOwnWrite));

    let set = || Op::SetData { path: "/a".into(), data: None, version: -1 };
    told.observe(&Observation::Sent { client: 0, conn: CONN, request: &ask(set()) });
    told.input(0, Input::Request { conn: CONN, request: ask(set()) });
    let event = WatchedEvent { kind: EventKind::NodeDataChanged, path: "/a".into(), zxid: z(1, 10).wire() };
    told.output(0, Output::Event { conn: CONN, event: event.clone() });
    told.output(0, reply(z(1, 10), Ok(Response::Empty)));
    assert!(told.has(Mark::WatchByOwnWrite));
    assert!(!told.has(Mark::WatchData), "it has not arrived at the client");
    told.observe(&Observation::Notified { client: 0, conn: CONN, event: &event });
    assert!(told.has(Mark::WatchData));
    told.observe(&Observation::Lost { client: 0, conn: CONN });
    assert!(told.has(Mark::WatchesDropped) && !told.has(Mark::LeftWithRequests));
    let response = ConnectResponse { timeout_ms: 9, session: SESSION, password: [1; 16], read_only: None };
    told.output(0, Output::Connected { conn: CONN, response });
    assert!(told.has(Mark::ClientLeftInHandshake));
}

#[test]
fn a_disk_that_went_bad_is_refused_or_does_without() {
    let snapshot = FileName::Snapshot(z(1, 5));
    let damage = |file, offset| Damage {
        file,
        offset,
        after: Zxid::ZERO,
        what: "it is damaged".into(),
        remedy: Remedy::CopyAnew,
    };
    let segment = FileName::Segment(3);
    for (damage, mark) in [
        (damage(segment, 4096), Mark::BootRefusedRecord),
        (damage(segment, 0), Mark::BootRefusedHeader),
        (damage(snapshot, 0), Mark::BootRefusedSnapshot),
    ] {
        let mut told = Told::new();
        told.observe(&Observation::Rotten { node: 1 });
        told.observe(&Observation::Refused { node: 1, damage: &damage });
        told.observe(&Observation::Wiped { node: 1 });
        assert!(told.has(mark));
        told.observe(&Observation::Booted { node: 1, recovery: &started_without(&[]) });
        assert!(!told.has(Mark::BootBesideDamage), "the disk is another by now");
    }

    let mut told = Told::new();
    told.note(1, Note::SnapshotDurable { zxid: z(1, 4) });
    told.note(1, Note::SnapshotDurable { zxid: z(1, 5) });
    told.observe(&Observation::Ended { node: 1 });
    told.observe(&Observation::Booted {
        node: 1,
        recovery: &started_without(&[FileName::Snapshot(z(1, 9))]),
    });
    assert!(!told.has(Mark::BootSnapshotWentBad), "that one was never finished");
    told.observe(&Observation::Rotten { node: 1 });
    told.observe(&Observation::Booted { node: 1, recovery: &started_without(&[snapshot]) });
    assert!(told.has(Mark::BootSnapshotWentBad) && told.has(Mark::BootBesideDamage));
}

/// What a process starts from that had no use for these files.
fn started_without(garbage: &[FileName]) -> Recovery {
    Recovery {
        recovered: Recovered { promised: Epoch(1), ..Recovered::default() },
        resume: Resume::FRESH,
        next_segment: 2,
        prelude: Vec::new(),
        torn: None,
        garbage: garbage.to_vec(),
        segments: Vec::new(),
        snapshots: Vec::new(),
        remarks: Vec::new(),
    }
}

#[test]
fn a_leader_that_hands_over_twice() {
    let mut told = Told::new();
    told.note(0, Note::HandedOver { to: PeerId(2) });
    told.observe(&Observation::Ended { node: 0 });
    told.note(0, Note::HandedOver { to: PeerId(2) });
    assert!(!told.has(Mark::HandedOverAgain), "another process, which was asked anew");
    told.note(0, Note::HandedOver { to: PeerId(3) });
    assert!(told.has(Mark::HandedOverAgain));
}

#[test]
fn the_next_run_begins_with_no_marks() {
    let (mut marker, mut runner) = (Marker::new(), crate::run::Runner::default());
    let mut seen = Vec::new();
    for seed in [1, 2, 1] {
        runner.run(&Schedule::draw(seed), &mut marker);
        seen.push(*marker.marks());
    }
    assert_eq!(seen[0], seen[2], "marks are a function of the run alone");
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn the_first_seeds_come_to_what_matters() {
    let counted = crate::cover::count(0, 300, 2);
    let coverage = counted.coverage;
    let seldom: Vec<Mark> = coverage.missing(1).collect();
    let common = [
        Mark::SyncDiff,
        Mark::SyncTruncate,
        Mark::SyncSnapshot,
        Mark::TruncateDurable,
        Mark::TruncateOwnProposals,
        Mark::LeftBehind,
        Mark::TransferInstalled,
        Mark::ElectedWithUncommitted,
        Mark::OlderEpochCommitted,
        Mark::OlderEpochLost,
        Mark::EpochPromisedInVain,
        Mark::TwoCandidatesOneEpoch,
        Mark::TwoLeaders,
        Mark::EpochRolledTwice,
        Mark::RollGivenUp,
        Mark::BootTornTail,
        Mark::BootPurgedLog,
        Mark::BootOlderSnapshot,
        Mark::BootUncommittedTail,
        Mark::CrashLostWrites,
        Mark::MultiDuringSnapshot,
        Mark::SessionDuringSnapshot,
        Mark::ExpiryAfterReattach,
        Mark::MovedWithRequestInFlight,
        Mark::RequestAfterMove,
        Mark::WatchByExpiry,
        Mark::RewatchChildren,
        Mark::MultiFailedLater,
        Mark::SequentialAfterDelete,
        Mark::ReadBehind,
    ];
    for mark in common {
        assert!(!seldom.contains(&mark), "{mark:?} is not hit by 300 schedules");
    }
    assert!(seldom.len() < Mark::COUNT / 10, "not hit by 300 schedules: {seldom:?}");
}
