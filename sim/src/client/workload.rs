//! What clients ask for: every operation that the core knows, on few enough paths that they meet.

use std::sync::Arc;

use vivarium_core::api::{Acl, Blob, Create, Data, Id, MultiOp, Op, perms};

use crate::decision::Draw;

/// Kinds of requests in a client's mix: `Ask` has one for each.
pub const OPS: usize = 13;

/// Kinds of requests.
/// The one that makes nodes.
pub const CREATE: usize = 0;
const EPHEMERAL: usize = 1;
/// The one that makes sequential nodes.
pub const SEQUENTIAL: usize = 2;
const DELETE: usize = 3;
const SET_DATA: usize = 4;
/// The one that reads data.
pub const GET_DATA: usize = 5;
const EXISTS: usize = 6;
const CHILDREN: usize = 7;
/// The one that catches up.
pub const SYNC: usize = 8;
const MULTI: usize = 9;
const ACL: usize = 10;
const AUTH: usize = 11;
const ODD: usize = 12;
const _: () = assert!(ODD + 1 == OPS);

/// Paths that everybody uses.
const PATHS: [&str; 9] = ["/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/c/x", "/a/x/p", "/"];
/// Where ephemerals live.
const EPHEMERALS: [&str; 4] = ["/e", "/a/e", "/b/e", "/a/x/e"];
/// What sequential nodes begin with.
const PREFIXES: [&str; 4] = ["/s-", "/a/s-", "/b/", "/a/x/s-"];
/// Paths that should not be.
const ODD_PATHS: [&str; 10] = [
    "",
    "a",
    "/a/",
    "/a//x",
    "/nowhere//x",
    "/a/./x",
    "/zookeeper",
    "/zookeeper/config",
    "/e/child",
    "/\u{1}",
];

/// The digest identities that clients take, with their passwords. The second is the superuser's where there is one.
pub const USERS: [(&str, &str); 2] =
    [("bob:pw", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="), ("user1:12345", "user1:+owfoSBn/am19roBPzR1/MfCblE=")];

/// What a client remembers from one request to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Sequential nodes that it made. Shared with clones until one side changes them.
    pub made: Arc<Vec<String>>,
    /// Data it has written, to write something new each time.
    pub written: u64,
}

/// What a client may set a watch with, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Habits<'a> {
    /// The mix.
    pub mix: &'a [u32; OPS],
    /// Reads in a thousand that set a watch.
    pub watch_permille: u32,
    /// Who asks: marks what it writes.
    pub client: usize,
}

/// The next request.
pub fn draw(habits: Habits<'_>, memory: &mut Memory, draw: &mut Draw) -> Op {
    let watch = draw.permille(habits.watch_permille);
    match draw.weighted(habits.mix) {
        CREATE => Op::Create(create(PATHS, 0, habits.client, memory, draw)),
        EPHEMERAL => Op::Create(create(EPHEMERALS, 1, habits.client, memory, draw)),
        SEQUENTIAL => {
            let flags = if draw.one_in(2) { 3 } else { 2 };
            Op::Create(create(PREFIXES, flags, habits.client, memory, draw))
        }
        DELETE => Op::Delete { path: target(memory, draw, true), version: version(draw) },
        SET_DATA => Op::SetData {
            path: target(memory, draw, false),
            data: data(habits.client, memory, draw),
            version: version(draw),
        },
        GET_DATA => Op::GetData { path: target(memory, draw, false), watch },
        EXISTS => Op::Exists { path: target(memory, draw, false), watch },
        CHILDREN => Op::GetChildren { path: draw.pick(&PATHS).to_string(), watch, stat: draw.one_in(2) },
        SYNC => Op::Sync { path: (!draw.one_in(10)).then(|| draw.pick(&PATHS).to_string()) },
        MULTI => multi(habits.client, memory, draw),
        ACL => match draw.one_in(2) {
            true => Op::GetAcl { path: target(memory, draw, false) },
            false => Op::SetAcl { path: target(memory, draw, false), acl: acl(draw), version: version(draw) },
        },
        AUTH => {
            let (token, _) = draw.pick(&USERS);
            auth(token)
        }
        ODD => odd(draw, watch),
        other => unreachable!("weighted() stays within the {OPS} kinds, not {other}"),
    }
}

/// An auth packet of the digest scheme.
pub fn auth(token: &str) -> Op {
    Op::Auth { scheme: Some("digest".into()), token: Some(Blob::new(token.as_bytes())) }
}

fn create<const N: usize>(
    paths: [&str; N],
    flags: i32,
    client: usize,
    memory: &mut Memory,
    draw: &mut Draw,
) -> Create {
    Create {
        path: draw.pick(&paths).to_string(),
        data: data(client, memory, draw),
        acl: if draw.one_in(8) { acl(draw) } else { Some(Acl::open()) },
        flags,
        stat: draw.one_in(2),
    }
}

/// A path that may well exist.
fn target(memory: &mut Memory, draw: &mut Draw, take: bool) -> String {
    if !memory.made.is_empty() && draw.one_in(if take { 2 } else { 4 }) {
        let index = draw.below(memory.made.len() as u64) as usize;
        return if take {
            Arc::make_mut(&mut memory.made).swap_remove(index)
        } else {
            memory.made[index].clone()
        };
    }
    if draw.one_in(4) { draw.pick(&EPHEMERALS).to_string() } else { draw.pick(&PATHS).to_string() }
}

fn data(client: usize, memory: &mut Memory, draw: &mut Draw) -> Data {
    memory.written += 1;
    match draw.below(20) {
        0 => None,
        1 => Some(Blob::new(b"")),
        2 => Some(Blob::new(&vec![client as u8; draw.between(100, 1500) as usize])),
        _ => Some(mark(client as u64, memory.written)),
    }
}

/// `client.written` in decimal digits. By hand: nearly every write carries one, and formatting costs more than what is
/// done with it.
fn mark(client: u64, written: u64) -> Blob {
    let mut text = [0; 41];
    let mut place = text.len();
    for (number, separator) in [(written, Some(b'.')), (client, None)] {
        let mut rest = number;
        loop {
            place -= 1;
            text[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if let Some(separator) = separator {
            place -= 1;
            text[place] = separator;
        }
    }
    Blob::new(&text[place..])
}

fn version(draw: &mut Draw) -> i32 {
    if draw.one_in(2) { -1 } else { draw.below(4) as i32 }
}

fn acl(draw: &mut Draw) -> Option<Vec<Acl>> {
    let entry =
        |perms, scheme: &str, id: &str| Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } };
    Some(match draw.below(12) {
        0 => return None,
        1 => vec![],
        2 => vec![entry(perms::READ, "world", "anyone")],
        3 => vec![entry(perms::ALL & !perms::READ, "world", "anyone")],
        4 => vec![entry(perms::ALL, "digest", USERS[0].1)],
        5 => vec![entry(perms::ALL, "digest", USERS[0].1), entry(perms::READ, "world", "anyone")],
        6 => vec![entry(perms::ALL, "auth", "")],
        7 => vec![entry(perms::ALL, "nobody", "knows")],
        8 => vec![entry(perms::ALL, "ip", "10.0.0.2"), entry(perms::READ | perms::ADMIN, "world", "anyone")],
        9 => vec![entry(perms::WRITE, "ip", "10.0.0.0/30"), entry(perms::CREATE, "world", "anyone")],
        10 => vec![entry(perms::ALL, "world", "someone")],
        _ => Acl::open(),
    })
}

fn multi(client: usize, memory: &mut Memory, draw: &mut Draw) -> Op {
    let count = draw.below(6);
    let items = (0..count)
        .map(|_| match draw.below(5) {
            0 => MultiOp::Create(create(PATHS, 0, client, memory, draw)),
            1 => {
                let flags = draw.between(1, 3) as i32;
                if flags == 1 {
                    MultiOp::Create(create(EPHEMERALS, flags, client, memory, draw))
                } else {
                    MultiOp::Create(create(PREFIXES, flags, client, memory, draw))
                }
            }
            2 => MultiOp::Delete { path: target(memory, draw, false), version: version(draw) },
            3 => MultiOp::SetData {
                path: target(memory, draw, false),
                data: data(client, memory, draw),
                version: version(draw),
            },
            _ => MultiOp::Check { path: target(memory, draw, false), version: version(draw) },
        })
        .collect();
    Op::Multi(items)
}

fn odd(draw: &mut Draw, watch: bool) -> Op {
    let path = draw.pick(&ODD_PATHS).to_string();
    match draw.below(12) {
        0 => Op::Malformed { write: true },
        1 => Op::Malformed { write: false },
        2 if draw.one_in(4) => Op::Unknown { code: 999 },
        3 if draw.one_in(2) => Op::Auth { scheme: Some("nonsense".into()), token: Some(Blob::new(b"x")) },
        4 => Op::Create(Create {
            path,
            data: None,
            acl: Some(Acl::open()),
            flags: draw.between(0, 9) as i32,
            stat: false,
        }),
        5 | 6 => {
            Op::Create(Create { path, data: None, acl: Some(Acl::open()), flags: 0, stat: draw.one_in(2) })
        }
        7 => Op::Delete { path, version: -1 },
        8 => Op::SetData { path, data: None, version: -1 },
        9 => Op::SetAcl { path, acl: Some(Acl::open()), version: -1 },
        10 => Op::Exists { path, watch },
        _ => Op::GetChildren { path, watch, stat: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_formatting_would_make_of_it() {
        for (client, written) in [(0, 0), (7, 10), (123, 9_999), (u64::MAX, u64::MAX)] {
            assert_eq!(mark(client, written), Blob::new(format!("{client}.{written}").as_bytes()));
        }
    }
}
