//! Watches: the stories of sections 6.2 to 6.5 of the protocol, and random ones beside a list of watches in a row.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use vivarium_core::api::{Acl, EventKind, Id, WatchedEvent, perms};
use vivarium_core::ids::{ConnId, Zxid};
use vivarium_core::state::{Change, State, WatchKind, WatchTable};

use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
use WatchKind::{Child, Data};

const ZXID: Zxid = Zxid(1 << 32 | 5);

fn anyone() -> Arc<[Acl]> {
    Acl::open().into()
}

fn only_ann() -> Arc<[Acl]> {
    [Acl { perms: perms::READ, id: ann() }].into()
}

fn ann() -> Id {
    Id { scheme: "digest".into(), id: "ann:1".into() }
}

fn change(kind: EventKind, path: &str) -> Change {
    let parent_acl = matches!(kind, NodeCreated | NodeDeleted).then(anyone);
    Change { kind, path: path.into(), acl: anyone(), parent_acl }
}

/// Connection 1 is ann's; the others are nobody's.
fn fire(table: &mut WatchTable, change: &Change) -> Vec<(u64, EventKind, String)> {
    let ann = [ann()];
    let ids = |conn: ConnId| if conn == ConnId(1) { &ann[..] } else { &[] };
    let mut events = Vec::new();
    table.fire(change, ZXID, &State::new(), ids, &mut events);
    let seen = |(conn, event): (ConnId, WatchedEvent)| {
        assert_eq!(event.zxid, ZXID.wire());
        (conn.0, event.kind, event.path.to_string())
    };
    events.into_iter().map(seen).collect()
}

fn table(watches: &[(u64, WatchKind, &str)]) -> WatchTable {
    let mut table = WatchTable::default();
    for &(conn, kind, path) in watches {
        table.add(ConnId(conn), kind, path);
    }
    table
}

#[test]
fn a_creation_is_told_to_the_node_and_then_to_the_parent() {
    let mut table = table(&[(3, Data, "/p/n"), (2, Data, "/p/n"), (1, Child, "/p"), (4, Data, "/p")]);
    let events = fire(&mut table, &change(NodeCreated, "/p/n"));
    assert_eq!(
        events,
        [
            (2, NodeCreated, "/p/n".into()),
            (3, NodeCreated, "/p/n".into()),
            (1, NodeChildrenChanged, "/p".into()),
        ]
    );
    assert_eq!(fire(&mut table, &change(NodeCreated, "/p/n")), []);
    assert_eq!((table.count(), table.summary()), (1, (1, 1, 1)));
}

#[test]
fn the_parent_of_a_node_at_the_top_is_the_root() {
    let mut table = table(&[(1, Child, "/"), (1, Child, ""), (1, Data, "/")]);
    assert_eq!(fire(&mut table, &change(NodeCreated, "/n")), [(1, NodeChildrenChanged, "/".into())]);
}

#[test]
fn trap_21_a_deletion_is_told_once() {
    let mut table = table(&[
        (1, Data, "/p/n"),
        (1, Child, "/p/n"),
        (2, Child, "/p/n"),
        (1, Child, "/p"),
        (3, Child, "/p"),
    ]);
    let events = fire(&mut table, &change(NodeDeleted, "/p/n"));
    assert_eq!(
        events,
        [
            (1, NodeDeleted, "/p/n".into()),
            (2, NodeDeleted, "/p/n".into()),
            (1, NodeChildrenChanged, "/p".into()),
            (3, NodeChildrenChanged, "/p".into()),
        ]
    );
    assert_eq!((table.count(), table.summary()), (0, (0, 0, 0)));
}

#[test]
fn a_change_of_data_leaves_child_watches_alone() {
    let mut table = table(&[(1, Data, "/p/n"), (1, Child, "/p/n"), (1, Child, "/p"), (1, Data, "/p")]);
    let events = fire(&mut table, &change(NodeDataChanged, "/p/n"));
    assert_eq!(events, [(1, NodeDataChanged, "/p/n".into())]);
    assert_eq!((table.count(), table.summary()), (3, (1, 1, 1)));
}

#[test]
fn trap_18_what_may_not_be_read_is_not_told_and_the_watch_is_spent() {
    let mut table = table(&[(1, Data, "/p/n"), (2, Data, "/p/n"), (2, Child, "/p/n"), (2, Child, "/p")]);
    let hidden = Change { acl: only_ann(), ..change(NodeDeleted, "/p/n") };
    let events = fire(&mut table, &hidden);
    assert_eq!(events, [(1, NodeDeleted, "/p/n".into()), (2, NodeChildrenChanged, "/p".into())]);
    assert_eq!(table.count(), 0);
}

#[test]
fn the_parents_acl_decides_on_its_children() {
    let mut table = table(&[(2, Data, "/p/n"), (1, Child, "/p"), (2, Child, "/p")]);
    let hidden = Change { parent_acl: Some(only_ann()), ..change(NodeCreated, "/p/n") };
    let events = fire(&mut table, &hidden);
    assert_eq!(events, [(2, NodeCreated, "/p/n".into()), (1, NodeChildrenChanged, "/p".into())]);
    assert_eq!(table.count(), 0);
}

#[test]
fn trap_24_and_46_watches_end_with_their_connection_and_are_counted_by_table() {
    let mut table = table(&[
        (1, Data, "/a"),
        (1, Data, "/a"),
        (1, Data, "/b"),
        (2, Data, "/b"),
        (3, Child, "/b"),
        (1, Child, "/c"),
    ]);
    assert_eq!((table.count(), table.summary()), (5, (2, 2, 3)));
    table.remove(ConnId(1));
    assert_eq!((table.count(), table.summary()), (2, (1, 1, 1)));
    assert_eq!(fire(&mut table, &change(NodeDataChanged, "/a")), []);
    assert_eq!(fire(&mut table, &change(NodeDataChanged, "/b")), [(2, NodeDataChanged, "/b".into())]);
    table.remove(ConnId(7));
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, WatchKind, &'static str),
    Remove(u64),
    Fire(Change),
}

fn steps() -> impl Strategy<Value = Step> {
    let path = || select(vec!["/", "/a", "/a/b", "/a/b/c", "/a/bc", "/b"]);
    let acl = || select(vec![anyone(), only_ann()]);
    let kind = select(vec![NodeCreated, NodeDeleted, NodeDataChanged]);
    prop_oneof![
        8 => (1..6u64, select(vec![Data, Child]), path()).prop_map(|(conn, kind, path)| Step::Add(conn, kind, path)),
        1 => (1..6u64).prop_map(Step::Remove),
        4 => (kind, path(), acl(), acl()).prop_map(|(kind, path, acl, parent)| {
            // The root is neither created nor deleted.
            let kind = if path == "/" { NodeDataChanged } else { kind };
            let parent_acl = (kind != NodeDataChanged).then_some(parent);
            Step::Fire(Change { kind, path: path.into(), acl, parent_acl })
        }),
    ]
}

proptest! {
    #[test]
    fn the_tables_do_what_a_list_would(steps in vec(steps(), 1..80)) {
        let mut table = WatchTable::default();
        // By table, path and connection.
        let mut list: BTreeSet<(WatchKind, &str, u64)> = BTreeSet::new();
        for step in &steps {
            match step {
                Step::Add(conn, kind, path) => {
                    table.add(ConnId(*conn), *kind, path);
                    list.insert((*kind, path, *conn));
                }
                Step::Remove(conn) => {
                    table.remove(ConnId(*conn));
                    list.retain(|(_, _, other)| other != conn);
                }
                Step::Fire(change) => {
                    let path = &*change.path;
                    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
                    let mut fired = vec![(Data, path, change.kind, change.acl.clone())];
                    if change.kind == NodeDeleted {
                        fired.push((Child, path, NodeDeleted, change.acl.clone()));
                    }
                    if let Some(acl) = &change.parent_acl {
                        fired.push((Child, parent, NodeChildrenChanged, acl.clone()));
                    }
                    let mut expected = Vec::new();
                    for (table, path, event, acl) in fired {
                        for conn in 1..6 {
                            let told = list.remove(&(table, path, conn))
                                && (conn == 1 || *acl == *anyone())
                                && !expected.contains(&(conn, event, path.to_string()));
                            if told {
                                expected.push((conn, event, path.to_string()));
                            }
                        }
                    }
                    prop_assert_eq!(fire(&mut table, change), expected);
                }
            }
            let data: Vec<_> = list.iter().filter(|(kind, ..)| *kind == Data).collect();
            let conns: BTreeSet<_> = data.iter().map(|(_, _, conn)| conn).collect();
            let paths: BTreeSet<_> = data.iter().map(|(_, path, _)| path).collect();
            prop_assert_eq!(table.summary(), (conns.len(), paths.len(), data.len()));
            prop_assert_eq!(table.count(), list.len());
        }
    }
}
