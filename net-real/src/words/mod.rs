//! The four-letter words: what an operator or a probe asks with `echo srvr | nc host 2181`.
//!
//! A word is looked for in the first four bytes of a connection and nowhere else (section 1.3 of the protocol); the
//! answer is text, in ZooKeeper's exact shape, since scripts and agents take it apart. Answering changes nothing but
//! counters, and only `crst` and `srst` those.

mod metrics;
mod report;

use crate::clients::Clients;
use crate::config::Config;
use crate::stats::Stats;
use vivarium_core::ids::ConnId;
use vivarium_core::node::{Role, Status};

pub use report::version;

/// A word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// Settings.
    Conf,
    /// Connections in detail.
    Cons,
    /// Forget connections' counters.
    Crst,
    /// Sizes of the directories.
    Dirs,
    /// The process's environment.
    Envi,
    /// The trace mask, which does nothing here.
    Gtmk,
    /// Whether writes are served.
    Isro,
    /// Metrics.
    Mntr,
    /// Whether the process lives; not whether it serves.
    Ruok,
    /// Forget the server's counters.
    Srst,
    /// The server.
    Srvr,
    /// The server and its connections.
    Stat,
    /// Watches, in numbers.
    Wchs,
    /// One that ZooKeeper has and this server has not.
    Missing(&'static str),
}

/// What the words tell about.
#[derive(Debug)]
pub struct View<'a> {
    /// The node.
    pub status: &'a Status,
    /// Whether it serves clients.
    pub serves: bool,
    /// The driver's counters.
    pub stats: &'a Stats,
    /// The clients.
    pub clients: &'a Clients,
    /// The connection that asks.
    pub asker: ConnId,
    /// What was configured.
    pub config: &'a Config,
    /// Since the process started, ms.
    pub uptime_ms: u64,
    /// Since this server began to lead, ms.
    pub leading_ms: Option<u64>,
    /// Peers that can be sent to.
    pub reachable: usize,
}

impl Word {
    /// The word that a connection's first four bytes are, if they are one.
    pub fn find(bytes: [u8; 4]) -> Option<Word> {
        Some(match &bytes {
            b"conf" => Word::Conf,
            b"cons" => Word::Cons,
            b"crst" => Word::Crst,
            b"dirs" => Word::Dirs,
            b"dump" => Word::Missing("dump"),
            b"envi" => Word::Envi,
            b"gtmk" => Word::Gtmk,
            b"hash" => Word::Missing("hash"),
            b"isro" => Word::Isro,
            b"mntr" => Word::Mntr,
            b"ruok" => Word::Ruok,
            b"srst" => Word::Srst,
            b"srvr" => Word::Srvr,
            b"stat" => Word::Stat,
            b"stmk" => Word::Missing("stmk"),
            b"wchc" => Word::Missing("wchc"),
            b"wchp" => Word::Missing("wchp"),
            b"wchs" => Word::Wchs,
            _ => return None,
        })
    }

    /// The word itself.
    pub fn name(self) -> &'static str {
        match self {
            Word::Conf => "conf",
            Word::Cons => "cons",
            Word::Crst => "crst",
            Word::Dirs => "dirs",
            Word::Envi => "envi",
            Word::Gtmk => "gtmk",
            Word::Isro => "isro",
            Word::Mntr => "mntr",
            Word::Ruok => "ruok",
            Word::Srst => "srst",
            Word::Srvr => "srvr",
            Word::Stat => "stat",
            Word::Wchs => "wchs",
            Word::Missing(name) => name,
        }
    }

    fn needs_serving(self) -> bool {
        !matches!(self, Word::Ruok | Word::Envi | Word::Isro | Word::Gtmk | Word::Missing(_))
    }

    /// Appends the answer.
    pub fn answer(self, view: &View<'_>, out: &mut Vec<u8>) {
        let mut text = String::new();
        if !view.config.words.contains(self.name()) {
            text = format!("{} is not executed because it is not in the whitelist.\n", self.name());
        } else if self.needs_serving() && !view.serves {
            text.push_str("This ZooKeeper instance is not currently serving requests\n");
        } else {
            match self {
                Word::Conf => report::conf(view, &mut text),
                Word::Cons => report::cons(view, &mut text),
                Word::Crst => text.push_str("Connection stats reset.\n"),
                Word::Dirs => report::dirs(view, &mut text),
                Word::Envi => report::envi(&mut text),
                Word::Gtmk => text.push_str("306"),
                Word::Isro => text.push_str(if view.serves { "rw" } else { "null" }),
                Word::Mntr => metrics::mntr(view, &mut text),
                Word::Ruok => text.push_str("imok"),
                Word::Srst => text.push_str("Server stats reset.\n"),
                Word::Srvr => report::srvr(view, &mut text),
                Word::Stat => report::stat(view, &mut text),
                Word::Wchs => report::wchs(view, &mut text),
                Word::Missing(name) => {
                    text = format!("{name} is not executed because this server does not have it.\n");
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
}

/// `standalone`, `leader` or `follower`, as `srvr` has it. Only asked of a server that serves.
fn mode(view: &View<'_>) -> &'static str {
    match view.status.role {
        Role::Leading { .. } if view.config.servers.is_empty() => "standalone",
        Role::Leading { .. } => "leader",
        Role::Following { .. } => "follower",
        Role::Looking => "looking",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_by_their_bytes() {
        for name in ["conf", "cons", "ruok", "srvr", "wchp", "stmk", "hash"] {
            let word = Word::find(name.as_bytes().try_into().unwrap()).unwrap();
            assert_eq!(word.name(), name);
        }
        assert_eq!(Word::find(*b"GET "), None);
        assert_eq!(Word::find([0, 0, 0, 45]), None);
    }
}
