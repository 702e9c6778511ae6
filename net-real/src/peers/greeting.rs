//! How two servers introduce themselves before any other word is spoken.
//!
//! The dialer says a [`Hello`], the other answers with a [`Verdict`]; both are the bodies of ordinary peer packets and
//! their layout never changes, only grows at the end, so that servers of different versions can still tell each other
//! why they do not go together. All numbers are little-endian.
//!
//! ```text
//! hello:   "VIVARIUM" version:u16 cluster:u64 from:u8 to:u8 count:u8 member:u8 x count
//! verdict: "VIVARIUM" version:u16 cluster:u64 code:u8 (0 welcome, 1 refused) reason: UTF-8
//! ```

use vivarium_core::ids::PeerId;

use crate::strangers::PEER_MAGIC;

/// Version of what follows the greeting: the layout of peer messages.
pub const VERSION: u16 = 1;
/// The longest body of a greeting.
pub const GREETING_BYTES: usize = 2_048;

/// The first packet of the dialer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Its [`VERSION`].
    pub version: u16,
    /// Its cluster; 0 when it belongs to none yet.
    pub cluster: u64,
    /// Who it is.
    pub from: PeerId,
    /// Whom it means to speak to.
    pub to: PeerId,
    /// All voters by its configuration, ascending.
    pub members: Vec<PeerId>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The answerer's [`VERSION`].
    pub version: u16,
    /// The answerer's cluster; 0 when it belongs to none yet.
    pub cluster: u64,
    /// Why it does not go together, in words for the dialer's log.
    pub refused: Option<String>,
}

impl Hello {
    /// Appends the layout above.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PEER_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.cluster.to_le_bytes());
        out.extend_from_slice(&[self.from.0, self.to.0]);
        out.push(u8::try_from(self.members.len()).expect("there are at most 255 server ids"));
        out.extend(self.members.iter().map(|member| member.0));
    }

    /// Reads it; `None` when the bytes are no hello.
    pub fn decode(bytes: &[u8]) -> Option<Hello> {
        let bytes = bytes.strip_prefix(PEER_MAGIC.as_slice())?;
        let (version, bytes) = bytes.split_first_chunk::<2>()?;
        let (cluster, bytes) = bytes.split_first_chunk::<8>()?;
        let (&[from, to, count], bytes) = bytes.split_first_chunk::<3>()?;
        let members = bytes.get(..usize::from(count))?.iter().map(|&id| PeerId(id)).collect();
        Some(Hello {
            version: u16::from_le_bytes(*version),
            cluster: u64::from_le_bytes(*cluster),
            from: PeerId(from),
            to: PeerId(to),
            members,
        })
    }

    /// Whether the server that `ours` describes goes together with this dialer; if not, why, for both logs.
    pub fn judge(&self, ours: &Hello) -> Result<(), String> {
        if self.version != ours.version {
            return Err(format!(
                "it speaks version {} of the protocol between servers, this one version {}; run the same release on all",
                self.version, ours.version
            ));
        }
        if self.to != ours.from {
            return Err(format!(
                "it looks for server {}, and this is server {}; compare the server.N lines and the myid files",
                self.to, ours.from
            ));
        }
        if self.from == ours.from || !ours.members.contains(&self.from) {
            return Err(format!(
                "it says it is server {}, which is {}; compare the server.N lines and the myid files",
                self.from,
                if self.from == ours.from {
                    "this server's own id"
                } else {
                    "not in this server's configuration"
                }
            ));
        }
        if self.members != ours.members {
            return Err(format!(
                "its configuration names servers {}, this one's {}; make the server.N lines the same everywhere",
                list(&self.members),
                list(&ours.members)
            ));
        }
        if self.cluster != 0 && ours.cluster != 0 && self.cluster != ours.cluster {
            return Err(format!(
                "it holds data of cluster {:016x}, this server of cluster {:016x}; one of them has the data directory or the addresses of another ensemble",
                self.cluster, ours.cluster
            ));
        }
        Ok(())
    }
}

impl Verdict {
    /// Appends the layout above.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PEER_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.cluster.to_le_bytes());
        out.push(u8::from(self.refused.is_some()));
        out.extend_from_slice(self.refused.as_deref().unwrap_or_default().as_bytes());
    }

    /// Reads it; `None` when the bytes are no verdict.
    pub fn decode(bytes: &[u8]) -> Option<Verdict> {
        let bytes = bytes.strip_prefix(PEER_MAGIC.as_slice())?;
        let (version, bytes) = bytes.split_first_chunk::<2>()?;
        let (cluster, bytes) = bytes.split_first_chunk::<8>()?;
        let (&code, reason) = bytes.split_first()?;
        Some(Verdict {
            version: u16::from_le_bytes(*version),
            cluster: u64::from_le_bytes(*cluster),
            refused: (code != 0).then(|| String::from_utf8_lossy(reason).into_owned()),
        })
    }
}

fn list(members: &[PeerId]) -> String {
    members.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(from: u8, to: u8) -> Hello {
        let members = vec![PeerId(1), PeerId(2), PeerId(3)];
        Hello { version: VERSION, cluster: 7, from: PeerId(from), to: PeerId(to), members }
    }

    #[test]
    fn greetings_survive_the_wire_and_nothing_shorter_does() {
        let mut bytes = Vec::new();
        hello(1, 2).encode(&mut bytes);
        assert_eq!(Hello::decode(&bytes), Some(hello(1, 2)));
        for end in 0..bytes.len() {
            assert_eq!(Hello::decode(&bytes[..end]), None);
        }
        for refused in [None, Some("no".to_owned())] {
            let verdict = Verdict { version: 1, cluster: 9, refused };
            let mut bytes = Vec::new();
            verdict.encode(&mut bytes);
            assert_eq!(Verdict::decode(&bytes), Some(verdict));
        }
    }

    #[test]
    fn strangers_are_refused_with_the_reason() {
        let ours = hello(2, 0);
        assert_eq!(hello(1, 2).judge(&ours), Ok(()));
        assert_eq!(Hello { cluster: 0, ..hello(1, 2) }.judge(&ours), Ok(()));
        assert!(hello(1, 3).judge(&ours).unwrap_err().contains("looks for server 3"));
        assert!(hello(2, 2).judge(&ours).unwrap_err().contains("own id"));
        assert!(hello(9, 2).judge(&ours).unwrap_err().contains("not in this server's configuration"));
        assert!(Hello { cluster: 8, ..hello(1, 2) }.judge(&ours).unwrap_err().contains("cluster"));
        assert!(Hello { version: 2, ..hello(1, 2) }.judge(&ours).unwrap_err().contains("version 2"));
        let fewer = Hello { members: vec![PeerId(1), PeerId(2)], ..hello(1, 2) };
        assert!(fewer.judge(&ours).unwrap_err().contains("1,2"));
    }
}
