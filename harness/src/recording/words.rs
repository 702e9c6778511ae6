//! A line of words for everything that happens, and what it is about: sessions, paths, zxids.
//!
//! The words are for reading; whoever needs a figure takes it from the detail, which is complete but for long bytes.

use vivarium_core::api::{
    ConnectRequest, ConnectResponse, Create, MultiOp, Op, Reply, Request, Response, WatchedEvent,
};
use vivarium_core::entry::{Body, Command, Entry, Write as ClientWrite};
use vivarium_core::ids::Zxid;
use vivarium_core::io::{Note, Write};
use vivarium_core::replica::PeerMessage;

/// Details longer than this are cut: a batch of a thousand entries is no reading matter.
const DETAIL_CHARS_MAX: usize = 4000;

/// Something in words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    pub text: String,
    pub detail: String,
    pub sessions: Vec<i64>,
    pub paths: Vec<String>,
    pub zxids: Option<(u64, u64)>,
}

impl Told {
    /// Words that say it all.
    pub fn plain(text: impl Into<String>) -> Told {
        Told { text: text.into(), ..Told::default() }
    }

    /// Words, and the whole thing.
    pub fn of(text: impl Into<String>, whole: &impl std::fmt::Debug) -> Told {
        Told { text: text.into(), detail: cut(format!("{whole:?}")), ..Told::default() }
    }

    fn at(mut self, zxid: Zxid) -> Told {
        self.widen(zxid.0);
        self
    }

    fn widen(&mut self, zxid: u64) {
        let (first, last) = self.zxids.unwrap_or((zxid, zxid));
        self.zxids = Some((first.min(zxid), last.max(zxid)));
    }

    fn path(&mut self, path: &str) {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }

    /// Takes note that it is about a session.
    pub fn session(&mut self, session: i64) {
        if session != 0 && !self.sessions.contains(&session) {
            self.sessions.push(session);
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.widen(entry.zxid.0);
        if let Body::Command(command) = &entry.body {
            self.command(command);
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::CreateSession { session, .. }
            | Command::Attach { session, .. }
            | Command::Expire { session, .. } => self.session(session.0),
            Command::Request { session, write, .. } => {
                self.session(session.0);
                match write {
                    ClientWrite::Create(create) => self.path(&create.path),
                    ClientWrite::Delete { path, .. }
                    | ClientWrite::SetData { path, .. }
                    | ClientWrite::SetAcl { path, .. } => self.path(path),
                    ClientWrite::Multi(items) => self.items(items),
                    _ => {}
                }
            }
            #[allow(unreachable_patterns, reason = "commands that come to be are named by their Debug form")]
            _ => {}
        }
    }

    fn items(&mut self, items: &[MultiOp]) {
        for item in items {
            match item {
                MultiOp::Create(create) => self.path(&create.path),
                MultiOp::Delete { path, .. }
                | MultiOp::SetData { path, .. }
                | MultiOp::Check { path, .. } => {
                    self.path(path);
                }
            }
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > DETAIL_CHARS_MAX {
        let mut end = DETAIL_CHARS_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// A message between servers.
pub(super) fn message(message: &PeerMessage) -> Told {
    let name = message.name();
    match message {
        PeerMessage::PreVote { epoch, last } => {
            Told::of(format!("{name} {epoch:?}, log ends {last:?}"), message).at(*last)
        }
        PeerMessage::PreVoteReply { epoch, granted, promised, .. } => {
            let says = if *granted { "yes" } else { "no" };
            Told::of(format!("{name} {epoch:?}: {says}, promised {promised:?}"), message)
        }
        PeerMessage::NewEpoch { epoch, last } => {
            Told::of(format!("{name} {epoch:?}, log ends {last:?}"), message).at(*last)
        }
        PeerMessage::Refused { epoch, promised } => {
            Told::of(format!("{name} {epoch:?}, promised {promised:?}"), message)
        }
        PeerMessage::Vow(vow) => {
            use vivarium_core::replica::Vow;
            match vow.get() {
                Vow::AckEpoch { epoch, last, blank, .. } => {
                    let blank = if blank.is_some() { ", blank disk" } else { "" };
                    Told::of(format!("{name} {epoch:?}, log ends {last:?}{blank}"), message).at(*last)
                }
                Vow::Ack { upto, member, .. } => {
                    let blank = if *member { "" } else { ", blank disk" };
                    Told::of(format!("{name} up to {upto:?}{blank}"), message).at(*upto)
                }
                Vow::Positioned { epoch, last, .. } => {
                    Told::of(format!("{name} in {epoch:?}, log ends {last:?}"), message).at(*last)
                }
            }
        }
        PeerMessage::Heartbeat { epoch, round, committed, .. } => {
            Told::of(format!("{name} {epoch:?} #{round}, committed {committed:?}"), message)
        }
        PeerMessage::Alive { epoch, round, .. } => Told::of(format!("{name} {epoch:?} #{round}"), message),
        PeerMessage::Position { epoch, last, .. } => {
            Told::of(format!("{name} in {epoch:?}, log ends {last:?}"), message).at(*last)
        }
        PeerMessage::Truncate { epoch, to } => {
            Told::of(format!("{name} to {to:?} in {epoch:?}"), message).at(*to)
        }
        PeerMessage::Propose { previous, entries, committed, .. } => {
            let range = match (entries.first(), entries.last()) {
                (Some(first), Some(last)) if first.zxid == last.zxid => format!("{:?}", first.zxid),
                (Some(first), Some(last)) => format!("{:?} to {:?}", first.zxid, last.zxid),
                _ => "nothing".into(),
            };
            let mut told =
                Told::of(format!("{name} {range} after {previous:?}, committed {committed:?}"), message);
            entries.iter().for_each(|entry| told.entry(entry));
            told
        }
        PeerMessage::Commit { upto, .. } => Told::of(format!("{name} up to {upto:?}"), message).at(*upto),
        PeerMessage::SnapshotChunk { epoch, zxid, index, bytes, last } => {
            let closing = if *last { ", the last" } else { "" };
            let mut told =
                Told::plain(format!("{name} {index} of {zxid:?}, {} bytes{closing}", bytes.len())).at(*zxid);
            told.detail = format!(
                "SnapshotChunk {{ epoch: {epoch:?}, zxid: {zxid:?}, index: {index}, bytes: {}, last: {last} }}",
                bytes.len()
            );
            told
        }
        PeerMessage::SnapshotReceived { zxid, next, .. } => {
            Told::of(format!("{name} of {zxid:?}, next {next}"), message).at(*zxid)
        }
        PeerMessage::Forward { first, commands, .. } => {
            let asks = match commands.as_slice() {
                [(_, command)] => self::command(command),
                many => format!("{} commands", many.len()),
            };
            let mut told = Told::of(format!("{name} #{first}: {asks}"), message);
            commands.iter().for_each(|(_, command)| told.command(command));
            told
        }
        PeerMessage::Barrier { number, .. } => Told::of(format!("{name} #{number}"), message),
        PeerMessage::BarrierPassed { number, zxid, .. } => {
            Told::of(format!("{name} #{number} at {zxid:?}"), message).at(*zxid)
        }
        PeerMessage::Heard { sessions, .. } => {
            let mut told = Told::of(format!("{name} {} sessions", sessions.len()), message);
            sessions.iter().for_each(|session| told.session(session.0));
            told
        }
        other => Told::of(name, other),
    }
}

/// What an entry asks for.
fn command(command: &Command) -> String {
    match command {
        Command::CreateSession { session, timeout_ms, .. } => {
            format!("new session {session:?}, {timeout_ms} ms")
        }
        Command::Attach { session, .. } => format!("attach session {session:?}"),
        Command::Expire { session, .. } => format!("expire session {session:?}"),
        Command::Request { write, .. } => match write {
            ClientWrite::Create(create) => self::create(create),
            ClientWrite::Delete { path, version } => format!("delete {path}{}", at_version(*version)),
            ClientWrite::SetData { path, data, version } => {
                format!("set {path} {}{}", self::data(data), at_version(*version))
            }
            ClientWrite::SetAcl { path, .. } => format!("set ACL of {path}"),
            ClientWrite::Multi(items) => multi(items),
            ClientWrite::Close => "close session".into(),
            ClientWrite::Fail(error) => format!("fails with {error:?}"),
            #[allow(unreachable_patterns, reason = "writes that come to be are named by their Debug form")]
            other => format!("{other:?}"),
        },
        #[allow(unreachable_patterns, reason = "commands that come to be are named by their Debug form")]
        other => format!("{other:?}"),
    }
}

fn create(create: &Create) -> String {
    let flags = match create.flags {
        0 => "",
        1 => " ephemeral",
        2 => " sequential",
        3 => " ephemeral sequential",
        _ => " with other flags",
    };
    format!("create {}{flags} {}", create.path, data(&create.data))
}

fn data(data: &vivarium_core::api::Data) -> String {
    match data {
        None => "null".into(),
        Some(blob) => format!("{blob:?}"),
    }
}

fn at_version(version: i32) -> String {
    if version == -1 { String::new() } else { format!(" at version {version}") }
}

fn multi(items: &[MultiOp]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|item| match item {
            MultiOp::Create(create) => self::create(create),
            MultiOp::Delete { path, .. } => format!("delete {path}"),
            MultiOp::SetData { path, .. } => format!("set {path}"),
            MultiOp::Check { path, version } => format!("check {path}{}", at_version(*version)),
        })
        .collect();
    format!("multi: {}", items.join("; "))
}

/// What a node writes.
pub(super) fn write(write: &Write) -> Told {
    match write {
        Write::Append(entry) => {
            let what = match &entry.body {
                Body::Opening => "the opening of its epoch".into(),
                Body::Command(command) => self::command(command),
            };
            let mut told = Told::of(format!("append {:?}: {what}", entry.zxid), write);
            told.entry(entry);
            told
        }
        Write::Promise { epoch, candidate } => Told::of(format!("promise {epoch:?} to {candidate:?}"), write),
        Write::Truncate { to } => Told::of(format!("truncate to {to:?}"), write).at(*to),
        Write::Reset { base } => Told::of(format!("reset to {base:?}"), write).at(*base),
        Write::Chunk { zxid, index, bytes, last } => {
            let closing = if *last { ", the last" } else { "" };
            Told::plain(format!("snapshot {zxid:?}, chunk {index}, {} bytes{closing}", bytes.len())).at(*zxid)
        }
        #[allow(unreachable_patterns, reason = "writes that come to be are named by their Debug form")]
        other => Told::of("write", other),
    }
}

/// What a node takes note of.
pub(super) fn note(note: &Note) -> Told {
    let (text, zxid, session) = match note {
        Note::PreVoting { epoch, last } => {
            (format!("asks who would follow into {epoch:?}"), Some(last), None)
        }
        Note::Candidate { epoch, last } => (format!("stands for {epoch:?}"), Some(last), None),
        Note::Elected { epoch, last } => (format!("elected to {epoch:?}"), Some(last), None),
        Note::Established { epoch, committed } => {
            (format!("leads {epoch:?}, established"), Some(committed), None)
        }
        Note::Following { leader, epoch } => (format!("follows {leader:?} in {epoch:?}"), None, None),
        Note::InSync { leader, epoch, last } => {
            (format!("in sync with {leader:?} in {epoch:?}"), Some(last), None)
        }
        Note::Looking { why } => (format!("looks for a leader: {why:?}"), None, None),
        Note::Synchronizing { follower, last, plan } => {
            (format!("brings {follower:?} up to date: {plan:?}"), Some(last), None)
        }
        Note::Truncated { from, to } => (format!("log cut from {from:?} to {to:?}"), Some(to), None),
        Note::SnapshotStarted { zxid } => (format!("snapshot {zxid:?} begun"), Some(zxid), None),
        Note::SnapshotDurable { zxid } => (format!("snapshot {zxid:?} durable"), Some(zxid), None),
        Note::SnapshotInstalled { zxid } => (format!("snapshot {zxid:?} installed"), Some(zxid), None),
        Note::Applied { zxid, .. } => (format!("executes {zxid:?}"), Some(zxid), None),
        Note::SessionCreated { session, timeout_ms } => {
            (format!("session {session:?} begins, {timeout_ms} ms"), None, Some(session))
        }
        Note::SessionAttached { session } => (format!("session {session:?} moves"), None, Some(session)),
        Note::SessionEnded { session, expired } => {
            let how = if *expired { "expires" } else { "is closed" };
            (format!("session {session:?} {how}"), None, Some(session))
        }
        Note::Refused { conn, session, why } => {
            (format!("refuses connection {}: {why:?}", conn.0), None, Some(session))
        }
        other => (format!("{other:?}"), None, None),
    };
    let mut told = Told::of(text, note);
    if let Some(zxid) = zxid {
        told.widen(zxid.0);
    }
    if let Some(session) = session {
        told.session(session.0);
    }
    told
}

/// A client's first packet.
pub(super) fn hello(hello: &ConnectRequest) -> Told {
    let session = match hello.session.0 {
        0 => "a new session".into(),
        _ => format!("session {:?}", hello.session),
    };
    let mut told = Told::of(
        format!("{session}, {} ms, has seen {:?}", hello.timeout_ms, zxid_seen(hello.last_zxid_seen)),
        hello,
    );
    told.session(hello.session.0);
    told
}

fn zxid_seen(wire: i64) -> Zxid {
    Zxid(wire as u64)
}

/// Its answer.
pub(super) fn welcome(response: &ConnectResponse) -> Told {
    let text = match response.session.0 {
        0 => "session refused".into(),
        _ => format!("session {:?}, {} ms", response.session, response.timeout_ms),
    };
    let mut told = Told::of(text, response);
    told.session(response.session.0);
    told
}

/// What an operation asks for.
pub fn asked(op: &Op) -> String {
    let text = request(&Request { xid: 0, op: op.clone() }).text;
    text.strip_prefix("#0 ").unwrap_or(&text).to_owned()
}

/// A request.
pub(super) fn request(request: &Request) -> Told {
    let watch = |watch: &bool| if *watch { ", watching" } else { "" };
    let mut told = Told::of(String::new(), request);
    let text = match &request.op {
        Op::Create(create) => {
            told.path(&create.path);
            self::create(create)
        }
        Op::Delete { path, version } => {
            told.path(path);
            format!("delete {path}{}", at_version(*version))
        }
        Op::Exists { path, watch: w } => {
            told.path(path);
            format!("exists {path}{}", watch(w))
        }
        Op::GetData { path, watch: w } => {
            told.path(path);
            format!("get {path}{}", watch(w))
        }
        Op::SetData { path, data, version } => {
            told.path(path);
            format!("set {path} {}{}", self::data(data), at_version(*version))
        }
        Op::GetAcl { path } => {
            told.path(path);
            format!("get ACL of {path}")
        }
        Op::SetAcl { path, .. } => {
            told.path(path);
            format!("set ACL of {path}")
        }
        Op::GetChildren { path, watch: w, .. } => {
            told.path(path);
            format!("children of {path}{}", watch(w))
        }
        Op::Sync { path } => format!("sync {}", path.as_deref().unwrap_or("null")),
        Op::Ping => "ping".into(),
        Op::Multi(items) => {
            told.items(items);
            multi(items)
        }
        Op::CloseSession => "close session".into(),
        Op::SetWatches { data, exist, child, .. } => {
            data.iter().chain(exist).chain(child).for_each(|path| told.path(path));
            format!("set {} watches", data.len() + exist.len() + child.len())
        }
        other => format!("{other:?}"),
    };
    told.text = format!("#{} {text}", request.xid);
    told
}

/// A reply.
pub(super) fn reply(reply: &Reply) -> Told {
    let text = match &reply.result {
        Err(error) => format!("{error:?}"),
        Ok(Response::Empty) => "done".into(),
        Ok(Response::Path(path)) => path.clone(),
        Ok(Response::PathStat(path, stat)) => format!("{path}, version {}", stat.version),
        Ok(Response::Stat(stat)) => format!("version {}, changed {:?}", stat.version, stat.mzxid),
        Ok(Response::Data(data, stat)) => format!("{}, version {}", self::data(data), stat.version),
        Ok(Response::Children(names) | Response::ChildrenStat(names, _)) => {
            format!("{} children", names.len())
        }
        Ok(Response::Sync(_)) => "synced".into(),
        Ok(Response::Multi(results)) => format!("{} results", results.len()),
        Ok(other) => format!("{other:?}"),
    };
    let mut told = Told::of(format!("#{} {text}, at {:?}", reply.xid, zxid_seen(reply.zxid)), reply);
    if let Ok(Response::Path(path) | Response::PathStat(path, _)) = &reply.result {
        told.path(path);
    }
    if reply.zxid > 0 {
        told.widen(reply.zxid as u64);
    }
    told
}

/// A notification.
pub(super) fn event(event: &WatchedEvent) -> Told {
    let mut told = Told::of(format!("{:?} {}", event.kind, event.path), event);
    told.path(&event.path);
    if event.zxid > 0 {
        told.widen(event.zxid as u64);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::ids::Epoch;

    #[test]
    fn what_something_is_about_can_be_filtered() {
        let told = request(&Request { xid: 7, op: Op::Delete { path: "/a/b".into(), version: 3 } });
        assert_eq!(told.text, "#7 delete /a/b at version 3");
        assert_eq!(told.paths, ["/a/b"]);
        let told = message(&PeerMessage::Commit { epoch: Epoch(5), upto: Zxid::new(Epoch(5), 9) });
        assert_eq!(told.text, "commit up to 5:9");
        assert_eq!(told.zxids, Some((0x5_0000_0009, 0x5_0000_0009)));
    }

    #[test]
    fn long_details_are_cut_between_characters() {
        let text = cut("ä".repeat(5000));
        assert!(text.ends_with(" ..."));
        assert!(text.len() <= DETAIL_CHARS_MAX + 4);
    }
}
