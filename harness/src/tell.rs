//! A readable line for each event: when, who, what.

use std::io::Write as _;

use vivarium_core::entry::Body;
use vivarium_core::io::{Input, Output, Write};
use vivarium_core::replica::PeerMessage;
use vivarium_sim::{Happening, MS, Observation, Observer, Time, Violation};

/// Tells everything on standard output.
#[derive(Debug)]
pub struct Teller {
    out: std::io::BufWriter<std::io::Stdout>,
}

impl Teller {
    /// One that has told nothing yet.
    pub fn new() -> Teller {
        Teller { out: std::io::BufWriter::new(std::io::stdout()) }
    }
}

impl Default for Teller {
    fn default() -> Teller {
        Teller::new()
    }
}

impl Observer for Teller {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        if matches!(observation, Observation::Stepped { .. }) {
            return Ok(());
        }
        let (who, what) = line(observation);
        // A reader that has gone away is no reason to stop the run.
        let _ = writeln!(self.out, "{:>5}.{:06} {who:>4} {what}", at / MS, at % MS);
        Ok(())
    }
}

/// Who it is about, and what happens.
pub fn line(observation: &Observation<'_>) -> (String, String) {
    let node = |node: &usize| format!("n{}", node + 1);
    let client = |client: &usize| format!("c{client}");
    match observation {
        Observation::Started { schedule } => {
            (String::new(), format!("{schedule:#?}").replace('\n', "\n                  "))
        }
        Observation::Booted { node: n, recovery } => (
            node(n),
            format!(
                "BOOT promised {:?} to {:?}, snapshot {:?}, {} entries{}",
                recovery.recovered.promised,
                recovery.recovered.candidate,
                recovery.recovered.snapshot.as_ref().map(|(zxid, _)| zxid),
                recovery.recovered.entries.len(),
                recovery.recovered.entries.last().map_or(String::new(), |e| format!(" to {:?}", e.zxid)),
            ),
        ),
        Observation::Refused { node: n, damage } => (node(n), format!("DOES NOT START {damage}")),
        Observation::Ended { node: n } => (node(n), "END".into()),
        Observation::Rotten { node: n } => (node(n), "DAMAGED DISK".into()),
        Observation::Wiped { node: n } => (node(n), "NEW DISK".into()),
        Observation::Input { node: n, input, .. } => (node(n), format!("<- {}", input_line(input))),
        Observation::Output { node: n, output } => (node(n), format!("   -> {}", output_line(output))),
        Observation::Stepped { node: n, machine } => (node(n), format!("{:?}", machine.status())),
        Observation::Durable { node: n, write } => (node(n), format!("durable {}", write_line(write))),
        Observation::Fault { kind, node: hit } => {
            (hit.as_ref().map(node).unwrap_or_default(), format!("FAULT {kind:?}"))
        }
        Observation::Connecting { client: c, conn, node: n, hello } => {
            (client(c), format!("{conn:?} to {} {hello:?}", node(n)))
        }
        Observation::Connected { client: c, conn, response } => (client(c), format!("{conn:?} {response:?}")),
        Observation::Sent { client: c, conn, request } => (client(c), format!("{conn:?} asks {request:?}")),
        Observation::Received { client: c, conn, reply } => (client(c), format!("{conn:?} {reply:?}")),
        Observation::Notified { client: c, conn, event } => (client(c), format!("{conn:?} {event:?}")),
        Observation::Lost { client: c, conn } => (client(c), format!("{conn:?} is gone")),
        Observation::Happening { id, cause, what } => {
            let what = match what {
                Happening::Event(_) => "",
                Happening::Node(_) => ", a node wakes",
                Happening::Client(_) => ", a client wakes",
            };
            (String::new(), format!("--- #{id}, caused by #{cause}{what}"))
        }
        Observation::Unlucky { from, to, message, arrives, again } => {
            let when =
                |time: &Option<Time>| time.map_or("never".into(), |at| format!("{}.{:06}", at / MS, at % MS));
            let again = again.map_or(String::new(), |at| format!(", and at {}", when(&Some(at))));
            (
                node(from),
                format!("LUCK to {} {}: arrives {}{again}", node(to), message_line(message), when(arrives)),
            )
        }
        Observation::Healed => (String::new(), "ALL FAULTS END".into()),
        Observation::Finished { .. } => (String::new(), "ALL AT REST".into()),
    }
}

fn input_line(input: &Input) -> String {
    match input {
        Input::Peer { from, message } => format!("{from:?} {}", message_line(message)),
        other => format!("{other:?}"),
    }
}

fn output_line(output: &Output) -> String {
    match output {
        Output::Send { to, message } => format!("{to:?} {}", message_line(message)),
        Output::Write { lane, seq, write } => format!("{lane:?} {seq:?} {}", write_line(write)),
        Output::Note(note) => format!("NOTE {note:?}"),
        other => format!("{other:?}"),
    }
}

fn message_line(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Propose { epoch, previous, entries, committed } => format!(
            "Propose {{ epoch: {epoch:?}, previous: {previous:?}, {:?}, committed: {committed:?} }}",
            entries.iter().map(|entry| entry.zxid).collect::<Vec<_>>()
        ),
        PeerMessage::SnapshotChunk { epoch, zxid, index, bytes, last } => format!(
            "SnapshotChunk {{ epoch: {epoch:?}, zxid: {zxid:?}, index: {index}, {} bytes, last: {last} }}",
            bytes.len()
        ),
        other => format!("{other:?}"),
    }
}

fn write_line(write: &Write) -> String {
    match write {
        Write::Append(entry) => match &entry.body {
            Body::Opening => format!("append {:?} opening", entry.zxid),
            Body::Command(command) => format!("append {:?} {:?} {command:?}", entry.zxid, entry.origin),
        },
        Write::Chunk { zxid, index, bytes, last } => {
            format!("chunk {index} of {zxid:?}, {} bytes{}", bytes.len(), if *last { ", last" } else { "" })
        }
        other => format!("{other:?}"),
    }
}
