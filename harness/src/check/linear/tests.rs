//! Histories made by hand, and many small ones beside a twin that tries every order.

use vivarium_core::api::{Acl, Blob, Create, MultiOp};
use vivarium_sim::decision::Draw;

use super::tree::{Tree, agrees};
use super::*;

type History = Vec<(SessionId, Vec<Invocation>)>;

fn invocation(asked: u32, answer: Option<(u32, Outcome)>, op: Op) -> Invocation {
    Invocation { asked, answer, what: What::Op(op), hint: i64::MAX }
}

fn create(path: &str, flags: i32) -> Op {
    let acl = Some(Acl::open());
    Op::Create(Create { path: path.into(), data: None, acl, flags, stat: false })
}

fn set(path: &str, version: i32) -> Op {
    Op::SetData { path: path.into(), data: Some(Blob::new(b"x")), version }
}

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: false }
}

fn children(path: &str) -> Op {
    Op::GetChildren { path: path.into(), watch: false, stat: false }
}

fn made(path: &str) -> Outcome {
    Ok(Response::Path(path.into()))
}

fn names(names: &[&str]) -> Outcome {
    Ok(Response::Children(names.iter().map(ToString::to_string).collect()))
}

/// Each session's invocations, its end included.
fn judge(sessions: Vec<Vec<Invocation>>) -> Verdict {
    search(&history(sessions), 10_000)
}

fn history(sessions: Vec<Vec<Invocation>>) -> History {
    let end = || Invocation { asked: 0, answer: None, what: What::Expire, hint: i64::MAX };
    let ended = |(index, mut invocations): (usize, Vec<Invocation>)| {
        invocations.push(end());
        (SessionId(index as i64 + 1), invocations)
    };
    sessions.into_iter().enumerate().map(ended).collect()
}

#[track_caller]
fn explained(sessions: Vec<Vec<Invocation>>) {
    assert_eq!(judge(sessions), Verdict::Explained);
}

#[track_caller]
fn impossible(sessions: Vec<Vec<Invocation>>) {
    assert!(matches!(judge(sessions), Verdict::Impossible(_)));
}

#[test]
fn writes_one_after_the_other() {
    let second = |answer| invocation(3, Some((4, answer)), create("/a", 0));
    let first = || invocation(1, Some((2, made("/a"))), create("/a", 0));
    explained(vec![vec![first()], vec![second(Err(ErrorCode::NodeExists))]]);
    impossible(vec![vec![first()], vec![second(made("/a"))]]);
}

#[test]
fn writes_that_overlap_may_be_turned_around() {
    let one = |answer| invocation(1, Some((3, answer)), create("/a", 0));
    let other = |answer| invocation(2, Some((4, answer)), create("/a", 0));
    let exists = || Err(ErrorCode::NodeExists);
    explained(vec![vec![one(made("/a"))], vec![other(exists())]]);
    explained(vec![vec![one(exists())], vec![other(made("/a"))]]);
    impossible(vec![vec![one(made("/a"))], vec![other(made("/a"))]]);
    impossible(vec![vec![one(exists())], vec![other(exists())]]);
}

#[test]
fn a_lost_update() {
    let versioned = |version| {
        Ok(Response::Stat(vivarium_core::api::Stat { version, data_length: 1, ..Default::default() }))
    };
    let first = || invocation(1, Some((2, made("/a"))), create("/a", 0));
    let write = |asked, version| invocation(asked, Some((asked + 2, versioned(version))), set("/a", -1));
    explained(vec![vec![first(), write(3, 1)], vec![write(4, 2)]]);
    impossible(vec![vec![first(), write(3, 1)], vec![write(4, 1)]]);
}

#[test]
fn reads_may_be_stale_but_not_after_a_sync_nor_backwards() {
    let write = || vec![invocation(1, Some((2, made("/a"))), create("/a", 0))];
    let read = |asked, answer| invocation(asked, Some((asked + 1, answer)), children("/"));
    let old = || names(&["zookeeper"]);
    let new = || names(&["a", "zookeeper"]);
    let sync = |asked| {
        let answer = Some((asked + 1, Ok(Response::Sync(None))));
        invocation(asked, answer, Op::Sync { path: None })
    };
    explained(vec![write(), vec![read(5, old()), read(7, new())]]);
    impossible(vec![write(), vec![read(5, new()), read(7, old())]]);
    impossible(vec![write(), vec![sync(3), read(5, old())]]);
    explained(vec![write(), vec![read(3, old()), sync(5), read(7, new())]]);
    // Not of the future, either.
    impossible(vec![vec![invocation(9, Some((10, made("/a"))), create("/a", 0))], vec![read(5, new())]]);
    // Nor behind the session's own writes.
    impossible(vec![[write(), vec![read(5, old())]].concat()]);
}

#[test]
fn what_was_not_answered_happened_once_or_never() {
    let lost = || invocation(1, None, create("/s-", 2));
    let read = |asked, answer| invocation(asked, Some((asked + 1, answer)), children("/"));
    let none = || names(&["zookeeper"]);
    let one = || names(&["s-0000000000", "zookeeper"]);
    let two = || names(&["s-0000000000", "s-0000000001", "zookeeper"]);
    explained(vec![vec![lost()], vec![read(3, none()), read(5, one())]]);
    explained(vec![vec![lost()], vec![read(3, none()), read(5, none())]]);
    impossible(vec![vec![lost()], vec![read(3, two())]]);
    // In its place in the session: not after what the session did later.
    let later = || invocation(3, Some((4, made("/b"))), create("/b", 0));
    let both = || names(&["b", "s-0000000000", "zookeeper"]);
    let only = || names(&["b", "zookeeper"]);
    explained(vec![vec![lost(), later()], vec![read(5, both())]]);
    explained(vec![vec![lost(), later()], vec![read(5, only())]]);
    impossible(vec![vec![lost(), later()], vec![read(5, only()), read(7, both())]]);
}

#[test]
fn ephemerals_go_with_their_session_and_all_at_once() {
    let make = |asked, path: &str| invocation(asked, Some((asked + 1, made(path))), create(path, 1));
    let session = || vec![make(1, "/e"), make(3, "/f")];
    let read = |asked, answer: &[&str]| invocation(asked, Some((asked + 1, names(answer))), children("/"));
    let both = ["e", "f", "zookeeper"];
    explained(vec![session(), vec![read(5, &both), read(7, &["zookeeper"])]]);
    impossible(vec![session(), vec![read(5, &both), read(7, &["e", "zookeeper"])]]);
    // Not while the session goes on.
    let on = invocation(9, Some((10, Err(ErrorCode::NodeExists))), create("/e", 0));
    impossible(vec![[session(), vec![on]].concat(), vec![read(5, &both), read(7, &["zookeeper"])]]);
}

#[test]
fn a_multi_is_all_or_nothing() {
    let item = |path: &str| match create(path, 0) {
        Op::Create(create) => MultiOp::Create(create),
        _ => unreachable!(),
    };
    let multi = || invocation(1, None, Op::Multi(vec![item("/a"), item("/b")]));
    let read = |answer: &[&str]| invocation(2, Some((3, names(answer))), children("/"));
    explained(vec![vec![multi()], vec![read(&["a", "b", "zookeeper"])]]);
    explained(vec![vec![multi()], vec![read(&["zookeeper"])]]);
    impossible(vec![vec![multi()], vec![read(&["a", "zookeeper"])]]);
}

#[test]
fn a_search_gives_up() {
    let sessions: Vec<_> = (0..12)
        .map(|i| vec![invocation(1, Some((100, made(&format!("/{i}")))), create(&format!("/{i}"), 0))])
        .collect();
    assert_eq!(search(&history(sessions), 3), Verdict::Undetermined);
}

/// Every order of every choice of the unanswered, tried one by one.
fn brute(history: &History) -> bool {
    fn extend(history: &History, next: &mut Vec<usize>, order: &mut Vec<(usize, usize)>) -> bool {
        let done = |(session, (_, all)): (usize, &(SessionId, Vec<Invocation>))| {
            all[next[session]..].iter().all(|invocation| invocation.answer.is_none())
        };
        if history.iter().enumerate().all(done) && fits(history, order) {
            return true;
        }
        for session in 0..history.len() {
            let all = &history[session].1;
            for (index, invocation) in all.iter().enumerate().skip(next[session]) {
                let before = std::mem::replace(&mut next[session], index + 1);
                order.push((session, index));
                let found = extend(history, next, order);
                order.pop();
                next[session] = before;
                if found {
                    return true;
                }
                if invocation.answer.is_some() {
                    break;
                }
            }
        }
        false
    }
    extend(history, &mut vec![0; history.len()], &mut Vec::new())
}

/// Whether an order explains what was seen.
fn fits(history: &History, order: &[(usize, usize)]) -> bool {
    let at = |(session, index): (usize, usize)| &history[session].1[index];
    for (place, later) in order.iter().enumerate() {
        let answered = at(*later).answer.as_ref().map_or(u32::MAX, |(at, _)| *at);
        for earlier in &order[..place] {
            let is_read = matches!(
                at(*earlier).what,
                What::Op(Op::Exists { .. } | Op::GetData { .. } | Op::GetChildren { .. })
            );
            if !is_read && answered < at(*earlier).asked {
                return false;
            }
        }
    }
    let mut tree = Tree::new();
    order.iter().all(|place| {
        let Invocation { answer, what, .. } = at(*place);
        let (after, outcome) = tree.after(history[place.0].0, what);
        tree = after.unwrap_or_else(|| tree.clone());
        answer.as_ref().is_none_or(|(_, seen)| agrees(seen, &outcome))
    })
}

/// A few clients on a few paths, executed one by one in some order, with reads now and then of an older tree; some of
/// the answers are lost, and now and then one is forged.
fn draw_history(draw: &mut Draw, forge: bool) -> History {
    let sessions = draw.between(2, 3) as usize;
    let mut made: Vec<Vec<Invocation>> = vec![Vec::new(); sessions];
    let mut busy = vec![0; sessions];
    let mut trees = vec![Tree::new()];
    for step in 0..draw.between(2, 6) as u32 {
        let session = draw.below(sessions as u64) as usize;
        let op = match draw.below(8) {
            0 => create("/a", 0),
            1 => create("/a", 1),
            2 => create("/s-", 2),
            3 => Op::Delete { path: "/a".into(), version: if draw.one_in(2) { -1 } else { 0 } },
            4 => set("/a", -1),
            5 => Op::Sync { path: None },
            6 => children("/"),
            _ => exists("/a"),
        };
        let id = SessionId(session as i64 + 1);
        let stale = draw.below(3) as usize * usize::from(matches!(op, Op::Exists { .. }));
        let tree = &trees[trees.len() - 1 - stale.min(trees.len() - 1)];
        let (after, mut outcome) = tree.after(id, &What::Op(op.clone()));
        trees.extend(after);
        if forge && draw.one_in(4) {
            outcome = if draw.one_in(2) { Err(ErrorCode::NoNode) } else { made_of(draw) };
        }
        // Around the moment at which it happens, and after what its session asked before.
        let moment = 10 * step + 10;
        let asked = (moment - draw.below(10) as u32).max(busy[session] + 1);
        let answered = moment + 1 + draw.below(15) as u32;
        busy[session] = busy[session].max(asked);
        let last =
            made[session].iter().filter_map(|i: &Invocation| i.answer.as_ref()).map(|(at, _)| *at).max();
        let answered = answered.max(last.unwrap_or(0) + 1).max(asked + 1);
        let answer = (!draw.one_in(5)).then_some((answered, outcome));
        made[session].push(invocation(asked, answer, op));
    }
    for invocations in &mut made {
        invocations.retain(|invocation| match &invocation.what {
            What::Op(op) => invocation.answer.is_some() || changes(op),
            What::Expire => true,
        });
    }
    history(made)
}

fn made_of(draw: &mut Draw) -> Outcome {
    match draw.below(3) {
        0 => made("/a"),
        1 => made("/s-0000000000"),
        _ => names(&["a", "zookeeper"]),
    }
}

#[test]
fn it_says_what_trying_every_order_says() {
    let mut counts = [0, 0];
    for word in 0..4000 {
        let history = draw_history(&mut Draw::new(word), word % 2 == 1);
        let found = search(&history, 1_000_000);
        let expected = brute(&history);
        assert_eq!(found == Verdict::Explained, expected, "{word}: {found:?}\n{history:#?}");
        counts[usize::from(expected)] += 1;
    }
    println!("{} impossible, {} explained", counts[0], counts[1]);
    assert!(counts[0] > 500 && counts[1] > 500, "{counts:?}");
}
