//! The order, told as stories: `scripts/*.txt` drive voters by hand, message by message and sync by sync.
//!
//! A script is prose (`#`), commands (`>`), and what they print. `REWRITE=1 cargo test -p vivarium-core --test
//! replica_scripts` writes the printed lines anew; read the diff before believing it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use vivarium_core::entry::{Ask, Command, SharedEntry, Submission};
use vivarium_core::ids::{Epoch, Origin, PeerId, SessionId, WriteSeq, Zxid};
use vivarium_core::io::{Lane, Note, Output, Outputs, Write};
use vivarium_core::limits::Limits;
use vivarium_core::replica::{History, PeerMessage, Place, Replica, Vow};
use vivarium_core::time::{Duration, Instant, Now, Timestamp};

#[test]
fn scripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the scripts' folder")
        .map(|entry| entry.expect("a script").path())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let actual = run(&text);
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, actual).expect("a writable script");
        } else {
            assert_eq!(text, actual, "{} (REWRITE=1 to accept)", path.display());
        }
    }
}

/// Runs a script and returns it with what its commands print.
fn run(text: &str) -> String {
    let mut result = String::new();
    let mut world = World::default();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(result, "{line}").expect("a string takes all");
            world.command(command);
            result.push_str(&std::mem::take(&mut world.printed));
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(result, "{line}").expect("a string takes all");
        }
    }
    result
}

#[derive(Default)]
struct World {
    now: u64,
    limits: Limits,
    voters: Vec<PeerId>,
    nodes: BTreeMap<PeerId, Replica>,
    disks: BTreeMap<PeerId, Disk>,
    links: BTreeMap<(PeerId, PeerId), VecDeque<PeerMessage>>,
    cut: Vec<(PeerId, PeerId)>,
    numbers: BTreeMap<(PeerId, u64), u64>,
    boots: u64,
    verbose: bool,
    printed: String,
}

/// What would survive, and what is still on its way.
#[derive(Default)]
struct Disk {
    promised: Epoch,
    member: bool,
    candidate: Option<PeerId>,
    base: Zxid,
    entries: Vec<SharedEntry>,
    pending: [VecDeque<(WriteSeq, Write)>; 2],
}

impl Disk {
    fn persist(&mut self, write: Write) {
        match write {
            Write::Append(entry) => {
                self.promised = self.promised.max(entry.zxid.epoch());
                self.entries.push(entry);
            }
            Write::Promise { epoch, candidate } => (self.promised, self.candidate) = (epoch, Some(candidate)),
            Write::Truncate { to } => self.entries.retain(|entry| entry.zxid <= to),
            Write::Reset { base } => {
                self.base = base;
                self.entries.clear();
            }
            Write::Join => self.member = true,
            Write::Chunk { .. } => {}
        }
    }
}

impl World {
    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["nodes", n, ref settings @ ..] => {
                self.limits = Limits { heartbeat: Duration::millis(100), ..Limits::default() };
                let mut blank = false;
                for setting in settings {
                    if *setting == "blank" {
                        blank = true;
                        continue;
                    }
                    let (key, value) = setting.split_once('=').expect("key=value");
                    match key {
                        "counter_max" => self.limits.counter_max = value.parse().expect("a number"),
                        "window" => self.limits.log_window_entries_max = value.parse().expect("a number"),
                        "in_flight" => {
                            self.limits.follower_in_flight_bytes_max = value.parse().expect("bytes");
                        }
                        _ => panic!("unknown setting {key}"),
                    }
                }
                self.voters = (1..=n.parse().expect("a number")).map(PeerId).collect();
                for peer in self.voters.clone() {
                    self.disks.insert(peer, Disk { member: !blank, ..Disk::default() });
                    self.boot(peer);
                }
            }
            ["verbose", on] => self.verbose = on == "on",
            ["time", ms] => {
                // In small steps: a wake that comes late says that the node itself stood still.
                for _ in 0..ms.parse::<u64>().expect("milliseconds") / 10 {
                    self.now += 10;
                    for peer in self.voters.clone() {
                        self.with(peer, |node, now, out| node.wake(now, out));
                    }
                }
            }
            ["run", ms] => {
                // Time, with everything delivered and synced at once.
                for _ in 0..ms.parse::<u64>().expect("milliseconds") / 10 {
                    self.command("time 10");
                    self.settle();
                }
            }
            ["pause", ms] => self.now += ms.parse::<u64>().expect("milliseconds"),
            ["away", n, ms] => {
                for _ in 0..ms.parse::<u64>().expect("milliseconds") / 10 {
                    self.now += 10;
                    for other in self.voters.clone().into_iter().filter(|other| *other != peer(n)) {
                        self.with(other, |node, now, out| node.wake(now, out));
                    }
                }
            }
            ["elect", n] => {
                // Only this one's election timer is looked at.
                for _ in 0..20 {
                    self.now += 10;
                    self.with(peer(n), |node, now, out| node.wake(now, out));
                }
                self.settle();
            }
            ["wake", n] => self.with(peer(n), |node, now, out| node.wake(now, out)),
            ["sync", n] => self.sync(peer(n)),
            ["settle"] => self.settle(),
            ["deliver", link] => {
                let (from, to) = parse_link(link);
                for message in self.links.remove(&(from, to)).unwrap_or_default() {
                    self.deliver(from, to, message);
                }
            }
            ["swap", link] => {
                // The first two change places.
                let queue = self.links.entry(parse_link(link)).or_default();
                queue.swap(0, 1);
            }
            ["drop", link] => drop(self.links.remove(&parse_link(link))),
            ["double", link] => {
                let queue = self.links.entry(parse_link(link)).or_default();
                queue.extend(queue.clone());
            }
            ["cut", n] => {
                for other in self.voters.clone() {
                    for link in [(peer(n), other), (other, peer(n))] {
                        self.cut.push(link);
                        self.links.remove(&link);
                    }
                }
            }
            ["heal"] => self.cut.clear(),
            ["submit", n, count] => {
                for _ in 0..count.parse().expect("a number") {
                    self.submit(peer(n));
                }
            }
            ["barrier", n] => self.barrier(peer(n)),
            ["retire", n] => self.with(peer(n), |node, now, out| node.retire(now, out)),
            ["gone", n, of] => self.with(peer(n), |node, now, out| node.peer_gone(now, peer(of), out)),
            ["crash", n] => {
                self.nodes.remove(&peer(n));
                self.disks.get_mut(&peer(n)).expect("a node").pending = Default::default();
                self.links.retain(|(from, to), _| *from != peer(n) && *to != peer(n));
            }
            ["restart", n] => self.boot(peer(n)),
            ["wipe", n] => drop(self.disks.insert(peer(n), Disk::default())),
            ["status"] => self.status(),
            _ => panic!("unknown command: {line}"),
        }
    }

    fn boot(&mut self, peer: PeerId) {
        self.boots += 1;
        let disk = &self.disks[&peer];
        let history = History {
            promised: disk.promised,
            candidate: disk.candidate,
            member: disk.member,
            base: disk.base,
            entries: disk.entries.clone(),
        };
        let node = Replica::boot(peer, self.voters.clone(), self.limits.clone(), self.boots, history);
        self.nodes.insert(peer, node);
    }

    fn with(&mut self, peer: PeerId, f: impl FnOnce(&mut Replica, Now, &mut Outputs)) {
        let now = Now { mono: Instant(self.now * 1_000_000), wall: Timestamp(self.now as i64) };
        let Some(node) = self.nodes.get_mut(&peer) else { return };
        let mut out = Outputs::default();
        f(node, now, &mut out);
        while let Some(entry) = node.deliver() {
            if self.verbose {
                writeln!(self.printed, "  {peer:?} executes {:?}", entry.zxid).expect("a string takes all");
            }
        }
        while let Some(number) = node.passed_barrier() {
            writeln!(self.printed, "  {peer:?} passes barrier {number}").expect("a string takes all");
        }
        node.trim(now);
        for output in out.list {
            self.carry_out(peer, output);
        }
    }

    fn carry_out(&mut self, peer: PeerId, output: Output) {
        match output {
            Output::Send { to, message } => {
                if self.verbose {
                    writeln!(self.printed, "  {peer:?} -> {to:?} {}", describe(&message))
                        .expect("a string takes all");
                }
                if !self.cut.contains(&(peer, to)) && self.nodes.contains_key(&to) {
                    self.links.entry((peer, to)).or_default().push_back(message);
                }
            }
            Output::Write { lane, seq, write } => {
                let disk = self.disks.get_mut(&peer).expect("every node has a disk");
                disk.pending[lane as usize].push_back((seq, write));
            }
            Output::Note(note) => {
                writeln!(self.printed, "  {peer:?} {}", describe_note(&note)).expect("a string")
            }
            other => writeln!(self.printed, "  {peer:?} {other:?}").expect("a string takes all"),
        }
    }

    fn sync(&mut self, peer: PeerId) {
        for lane in [Lane::Log, Lane::Snapshot] {
            let disk = self.disks.get_mut(&peer).expect("every node has a disk");
            let mut upto = None;
            while let Some((seq, write)) = disk.pending[lane as usize].pop_front() {
                disk.persist(write);
                upto = Some(seq);
            }
            if let Some(upto) = upto {
                self.with(peer, |node, now, out| node.synced(now, lane, upto, out));
            }
        }
    }

    fn deliver(&mut self, from: PeerId, to: PeerId, message: PeerMessage) {
        self.with(to, |node, now, out| node.receive(now, from, message, out));
    }

    /// Delivers and syncs until nothing moves.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let links: Vec<_> =
                self.links.iter().filter(|(_, queue)| !queue.is_empty()).map(|(l, _)| *l).collect();
            let busy = self.disks.values().any(|disk| disk.pending.iter().any(|lane| !lane.is_empty()));
            if links.is_empty() && !busy {
                return;
            }
            for (from, to) in links {
                for message in self.links.remove(&(from, to)).unwrap_or_default() {
                    self.deliver(from, to, message);
                }
            }
            for peer in self.voters.clone() {
                self.sync(peer);
            }
        }
        panic!("the ensemble talks without end");
    }

    fn ask(&mut self, peer: PeerId, ask: Ask) {
        let (Place::Follower { stream } | Place::Leader { stream }) = self.nodes[&peer].place() else {
            writeln!(self.printed, "  {peer:?} does not serve").expect("a string takes all");
            return;
        };
        let number = self.numbers.entry((peer, stream)).or_default();
        *number += 1;
        let submission = Submission { number: *number, ask };
        self.with(peer, |node, now, out| node.submit(now, [submission].into_iter(), out));
    }

    fn submit(&mut self, peer: PeerId) {
        let owner = Origin { peer, stream: 0, number: 0 };
        self.ask(peer, Ask::Command(Command::Expire { session: SessionId(1), owner }));
    }

    fn barrier(&mut self, peer: PeerId) {
        self.ask(peer, Ask::Barrier);
    }

    fn status(&mut self) {
        for (peer, node) in &self.nodes {
            let place = match node.place() {
                Place::Nowhere if node.leads() => "leads, not established",
                Place::Nowhere if node.leader().is_some() => "follows, not in sync",
                Place::Nowhere => "looks for a leader",
                Place::Follower { .. } => "follows",
                Place::Leader { .. } => "leads",
            };
            let (epoch, last, committed) = (node.epoch(), node.last(), node.committed());
            writeln!(
                self.printed,
                "  {peer:?} {place} in {epoch:?}: log to {last:?}, committed to {committed:?}"
            )
            .expect("a string takes all");
        }
    }
}

fn peer(name: &str) -> PeerId {
    PeerId(name.parse().expect("a node's number"))
}

fn parse_link(link: &str) -> (PeerId, PeerId) {
    let (from, to) = link.split_once("->").expect("from->to");
    (peer(from), peer(to))
}

fn describe(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Vow(vow) => match *vow.get() {
            Vow::AckEpoch { epoch, last, blank, .. } => {
                format!(
                    "ack-epoch {epoch:?}, log to {last:?}{}",
                    if blank.is_some() { ", blank" } else { "" }
                )
            }
            Vow::Ack { upto, member, .. } => format!("ack {upto:?}{}", if member { "" } else { ", blank" }),
            Vow::Positioned { last, .. } => format!("positioned at {last:?}"),
        },
        PeerMessage::Propose { previous, entries, committed, .. } => {
            let zxids: Vec<_> = entries.iter().map(|entry| format!("{:?}", entry.zxid)).collect();
            format!("propose {previous:?} then [{}], committed {committed:?}", zxids.join(" "))
        }
        PeerMessage::Heartbeat { epoch, round, .. } => format!("heartbeat {round} of {epoch:?}"),
        PeerMessage::Forward { first, commands, .. } => {
            format!("forward {} from number {first}", commands.len())
        }
        PeerMessage::Position { last, .. } => format!("position {last:?}"),
        PeerMessage::Commit { upto, .. } => format!("commit {upto:?}"),
        PeerMessage::Truncate { to, .. } => format!("truncate to {to:?}"),
        PeerMessage::PreVote { epoch, last } => format!("pre-vote {epoch:?}, log to {last:?}"),
        PeerMessage::PreVoteReply { granted, promised, .. } => {
            format!("pre-vote-reply {}, promised {promised:?}", if *granted { "yes" } else { "no" })
        }
        PeerMessage::NewEpoch { epoch, last } => format!("new-epoch {epoch:?}, log to {last:?}"),
        PeerMessage::Refused { epoch, promised } => format!("refused {epoch:?}, promised {promised:?}"),
        other => other.name().to_string(),
    }
}

fn describe_note(note: &Note) -> String {
    format!("{note:?}")
}
