//! What servers owe each other.

use super::*;

#[test]
fn a_right_run_is_not_objected_to() {
    let mut stage = Stage::connected();
    stage.watch_fires();
    stage.answer(CONN, 2, zxid(2), Ok(Response::Path("/a".into())));
    stage.ask(CONN, 3, Op::Sync { path: None });
    stage.answer(CONN, 3, zxid(2), Ok(Response::Sync(None)));
    stage.expect_clean();
}

#[test]
fn two_leaders_of_an_epoch() {
    let mut stage = Stage::serving();
    stage.note(1, Note::Elected { epoch: Epoch(1), last: zxid(1) });
    stage.expect("one-leader");
}

#[test]
fn an_epoch_led_twice_by_the_same_node() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 0 });
    stage.note(0, Note::Elected { epoch: Epoch(1), last: zxid(1) });
    stage.expect("one-leader");
}

#[test]
fn a_leader_without_what_is_committed() {
    let mut stage = Stage::serving();
    let third = idle(2);
    (0..2).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
    stage.note(2, Note::Elected { epoch: Epoch(2), last: zxid(1) });
    stage.expect("leader-completeness");
}

#[test]
fn two_entries_with_one_zxid() {
    let mut stage = Stage::serving();
    stage.append(0, &request(2, Change::Close));
    stage.append(1, &request(2, Change::Create(create("/a"))));
    stage.expect("agreement");
}

#[test]
fn a_gap_in_an_epoch() {
    let mut stage = Stage::serving();
    stage.append(0, &request(3, Change::Close));
    stage.expect("no-gaps");
}

#[test]
fn executed_with_only_one_copy_on_disk() {
    let mut stage = Stage::serving();
    let third = idle(2);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.apply(0, zxid(2), 2);
    stage.expect("durable-on-quorum");
}

#[test]
fn executed_by_a_leader_that_is_not_established() {
    let mut stage = Stage::serving();
    let third = idle(2);
    (0..3).for_each(|node| stage.append(node, &third));
    stage.note(1, Note::Elected { epoch: Epoch(2), last: zxid(2) });
    stage.apply(1, zxid(2), 2);
    stage.expect("opening-commits-first");
}

#[test]
fn executed_in_another_order() {
    let mut stage = Stage::serving();
    for counter in [2, 3] {
        let entry = idle(counter);
        (0..3).for_each(|node| stage.append(node, &entry));
    }
    stage.apply(0, zxid(2), 1);
    stage.apply(1, zxid(3), 1);
    stage.expect("prefix-agreement");
}

#[test]
fn executed_without_having_been_proposed() {
    let mut stage = Stage::serving();
    stage.apply(0, zxid(2), 2);
    stage.expect("integrity");
}

#[test]
fn another_state_after_the_same_entries() {
    let mut stage = Stage::serving();
    let third = idle(2);
    (0..3).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
    stage.apply(1, zxid(2), 99);
    stage.expect("same-state");
}

#[test]
fn promised_before_it_is_durable() {
    let mut stage = Stage::serving();
    let third = idle(2);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(1), member: true });
    stage.expect_clean();
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(2), member: true });
    stage.expect("durable-first");
}

#[test]
fn an_epoch_promised_before_that_is_durable() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let (epoch, candidate) = (Epoch(2), PeerId(3));
    stage.vow(1, Vow::AckEpoch { epoch, candidate, last: zxid(1), blank: None });
    stage.expect("durable-first");
}

#[test]
fn a_blank_disk_that_counts_itself() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    stage.see(&Observation::Wiped { node: 1 });
    stage.see(&Observation::Booted { node: 1, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let vow = |blank| Vow::AckEpoch { epoch: Epoch(2), candidate: PeerId(3), last: Zxid::ZERO, blank };
    stage.vow(1, vow(Some(7)));
    stage.expect_clean();
    stage.vow(1, vow(None));
    stage.expect("durable-first");
}

#[test]
fn executed_with_a_copy_on_a_blank_disk() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    stage.see(&Observation::Wiped { node: 1 });
    stage.see(&Observation::Booted { node: 1, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
    stage.expect_clean();
    let promise = Write::Promise { epoch: Epoch(1), candidate: PeerId(1) };
    stage.write(1, promise.clone());
    stage.durable(1, &promise);
    let third = idle(2);
    (0..2).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
    stage.expect("durable-on-quorum");
}

#[test]
fn an_epoch_promised_to_two() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
    stage.expect("writes-fit");
}

#[test]
fn a_reset_before_the_snapshot_is_durable() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Chunk { zxid: zxid(1), index: 0, bytes: [].into(), last: true });
    stage.write(1, Write::Reset { base: zxid(1) });
    stage.expect("writes-fit");
}

#[test]
fn a_committed_entry_is_cut() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Truncate { to: zxid(0) });
    stage.expect("committed-stays");
}

#[test]
fn a_restart_that_forgets_an_entry_or_a_promise() {
    let all = [
        entry(0, Body::Opening),
        entry(1, Body::Command(Command::Expire { session: SESSION, owner: OWNER })),
    ];
    for (entries, promised, candidate) in [
        (&all[..1], Epoch(2), Some(PeerId(3))),
        (&all[..], Epoch(1), None),
        (&all[..], Epoch(2), Some(PeerId(2))),
    ] {
        let mut stage = Stage::serving();
        stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
        stage.see(&Observation::Ended { node: 1 });
        stage.expect_clean();
        stage.see(&Observation::Booted {
            node: 1,
            recovery: &found(Zxid::ZERO, entries, promised, candidate),
        });
        stage.expect("recovery");
    }
}

#[test]
fn a_reset_that_drops_what_is_committed() {
    let mut stage = Stage::serving();
    stage.everywhere(&request(2, Change::Close));
    stage.expect("exactly-once");

    let mut stage = Stage::serving();
    let chunk = Write::Chunk { zxid: zxid(0), index: 0, bytes: [].into(), last: true };
    stage.write(1, chunk.clone());
    stage.durable(1, &chunk);
    stage.write(1, Write::Reset { base: zxid(0) });
    stage.expect("committed-stays");
}

#[test]
fn a_snapshot_of_what_nobody_has_executed() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Chunk { zxid: zxid(2), index: 0, bytes: [].into(), last: true });
    stage.expect("writes-fit");
}

#[test]
fn an_entry_of_an_epoch_that_is_not_promised() {
    let mut stage = Stage::serving();
    stage.write(0, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
    let opening = Arc::new(Entry { zxid: Epoch(2).opening(), ..(*entry(0, Body::Opening)).clone() });
    stage.write(0, Write::Append(opening.clone()));
    stage.expect_clean();
    stage.write(1, Write::Append(opening));
    stage.expect("writes-fit");
}

#[test]
fn a_candidate_that_asks_before_its_own_promise_is_durable() {
    let mut stage = Stage::serving();
    let promise = Write::Promise { epoch: Epoch(2), candidate: PeerId(2) };
    let ask =
        || Output::Send { to: PeerId(1), message: PeerMessage::NewEpoch { epoch: Epoch(2), last: zxid(1) } };
    stage.durable(1, &promise);
    stage.output(1, ask());
    stage.expect_clean();
    stage.write(2, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.output(2, ask());
    stage.expect("durable-first");
}

#[test]
fn an_older_leader_followed_after_a_promise() {
    let alive = |to| Output::Send {
        to,
        message: PeerMessage::Alive { epoch: Epoch(1), round: 1, membership: Membership::Member },
    };
    let lead =
        || Output::Send { to: PeerId(1), message: PeerMessage::Commit { epoch: Epoch(1), upto: Zxid::ZERO } };
    for message in [alive(PeerId(1)), lead()] {
        let mut stage = Stage::serving();
        stage.output(1, message.clone());
        stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
        // To the very candidate it is fine: a leader may open its next epoch without an election.
        stage.output(1, alive(PeerId(3)));
        stage.expect_clean();
        stage.output(1, message);
        stage.expect("promise-kept");
    }
}

#[test]
fn an_acknowledgement_after_a_promise() {
    let mut stage = Stage::serving();
    stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(1), member: true });
    stage.expect("promise-kept");
}

#[test]
fn said_to_be_committed_with_only_one_copy_on_disk() {
    let mut stage = Stage::serving();
    stage.append(0, &idle(2));
    let commit = PeerMessage::Commit { epoch: Epoch(1), upto: zxid(2) };
    stage.output(0, Output::Send { to: PeerId(2), message: commit });
    stage.expect("durable-on-quorum");
}

#[test]
fn an_epoch_opened_without_what_is_committed() {
    let mut stage = Stage::serving();
    stage.durable(2, &Write::Truncate { to: zxid(0) });
    stage.see(&Observation::Ended { node: 2 });
    stage.see(&Observation::Booted {
        node: 2,
        recovery: &found(Zxid::ZERO, &[entry(0, Body::Opening)], Epoch(1), Some(PeerId(1))),
    });
    stage.expect_clean();
    stage.write(2, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let opening = Arc::new(Entry { zxid: Epoch(2).opening(), ..(*entry(0, Body::Opening)).clone() });
    stage.write(2, Write::Append(opening));
    stage.expect("leader-completeness");
}

#[test]
fn a_disk_that_gives_back_another_entry() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    let other = entry(1, Body::Command(Command::Expire { session: SESSION, owner: OWNER }));
    let entries = [entry(0, Body::Opening), other];
    stage.see(&Observation::Booted {
        node: 1,
        recovery: &found(Zxid::ZERO, &entries, Epoch(1), Some(PeerId(1))),
    });
    stage.expect("agreement");
}

#[test]
fn a_snapshot_that_restores_another_state() {
    let mut state = vivarium_core::state::State::new();
    for counter in [0, 1] {
        let body = if counter == 0 { Body::Opening } else { session_entry() };
        state.apply(&entry(counter, body), &mut Vec::new());
    }
    let digest = state.digest();
    let mut bytes = Vec::new();
    let freeze = state.freeze();
    let (chunk, last) = state.next_chunk(freeze, usize::MAX);
    assert!(last);
    bytes.push(chunk);
    for (digest, property) in [(digest, None), (digest ^ 1, Some("recovery-state"))] {
        let mut stage = Stage::elected();
        let session = entry(1, session_entry());
        (0..3).for_each(|node| stage.append(node, &session));
        stage.apply(0, zxid(1), digest);
        stage.durable(1, &Write::Chunk { zxid: zxid(1), index: 0, bytes: [].into(), last: true });
        stage.see(&Observation::Ended { node: 1 });
        let mut recovery = found(zxid(1), &[], Epoch(1), Some(PeerId(1)));
        recovery.recovered.snapshot = Some((zxid(1), bytes.clone()));
        stage.see(&Observation::Booted { node: 1, recovery: &recovery });
        let boot = Boot {
            id: PeerId(2),
            voters: (1..=3).map(PeerId).collect(),
            limits: Limits::default(),
            super_digest: None,
            seed: 1,
            recovered: recovery.recovered,
        };
        let machine = vivarium_core::Node::boot(boot).unwrap();
        stage.expect_clean();
        stage.see(&Observation::Stepped { node: 1, machine: &machine });
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn a_leader_on_its_way_out_that_is_elected_once_more_and_leads_on() {
    for hands_over in [true, false] {
        let mut stage = Stage::serving();
        let now = Now { mono: Default::default(), wall: Timestamp(0) };
        stage.see(&Observation::Input { node: 0, now, input: &Input::Retire });
        stage.note(0, Note::HandedOver { to: PeerId(2) });
        stage.note(0, Note::Looking { why: LookingReason::HandOver });
        stage.note(0, Note::Established { epoch: Epoch(1), committed: zxid(1) });
        if hands_over {
            stage.note(0, Note::HandedOver { to: PeerId(3) });
            stage.note(0, Note::Looking { why: LookingReason::HandOver });
        }
        stage.expect_clean();
        stage.see(&Observation::Input { node: 0, now, input: &Input::Wake });
        if hands_over { stage.expect_clean() } else { stage.expect("hand-over") }
    }
}
