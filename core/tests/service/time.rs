//! Who is alive: no session ends before its timeout, none outlives it by more than a tick.

use vivarium_core::api::{Acl, ConnectRequest, Op};
use vivarium_core::entry::{Ask, Command};
use vivarium_core::ids::SessionId;
use vivarium_core::io::CloseReason;
use vivarium_core::service::Standing;
use vivarium_core::time::{Duration, Instant, Timestamp};

use crate::world::{Client, Said, World, create_as, hello, short};

const MS: Duration = Duration::millis(1);
const TIMEOUT: Duration = Duration::millis(10_000);
const TICK: Duration = Duration::millis(2_000);

/// Lets time pass until the first expiry is submitted; how long that took.
fn until_expiry(world: &mut World) -> Duration {
    let start = world.now.mono;
    while world.pending.is_empty() {
        assert!(world.now.mono < start + Duration::millis(100_000), "no session is ever overdue");
        world.pass(MS);
    }
    world.now.mono - start
}

#[test]
fn a_silent_session_expires_within_a_tick_of_its_timeout() {
    for offset_ms in [0, 1, 543, 544, 545, 1_000, 1_999, 2_000] {
        let mut world = World::new(1);
        world.pass(Duration::millis(offset_ms));
        let client = world.client(0);
        let session = world.session(client);
        let took = until_expiry(&mut world);
        assert!(took > TIMEOUT && took <= Duration(TIMEOUT.0 + TICK.0), "{} ms", took.as_millis());
        assert_eq!(world.hear(client), [], "the desk asks, and does nothing on its own");
        world.settle();
        assert_eq!(world.hear(client), [Said::Close(CloseReason::SessionExpired)]);
        assert!(world.state.session(session).is_none());
        world.pass(Duration::millis(50_000));
        assert!(world.pending.is_empty());
        assert_eq!(world.desks[0].deadline(), None, "nothing is left to wait for");
    }
}

#[test]
fn every_packet_is_a_sign_of_life() {
    let mut world = World::new(1);
    let client = world.client(0);
    for _ in 0..20 {
        world.pass(Duration(TIMEOUT.0 - 1));
        world.ask(client, -2, Op::Ping);
        assert!(world.pending.is_empty());
    }
    assert!(until_expiry(&mut world) > TIMEOUT);
}

#[test]
fn followers_report_whom_they_heard_once_a_round() {
    let mut world = World::new(2);
    let (here, there, silent) = (world.client(0), world.client(1), world.client(1));
    let reported = |world: &mut World, desk: usize| {
        let mut sessions = Vec::new();
        world.desks[desk].take_heard(&mut sessions);
        sessions
    };
    for _ in 0..4 {
        world.pass(Duration::millis(4_000));
        for _ in 0..3 {
            world.ask(here, -2, Op::Ping);
            world.ask(there, -2, Op::Ping);
        }
        assert_eq!(reported(&mut world, 0), [], "the leader has noted its own");
        let sessions = reported(&mut world, 1);
        assert_eq!(sessions, [world.session(there)]);
        assert_eq!(reported(&mut world, 1), []);
        let now = world.now;
        world.desks[0].heard(now, &sessions);
    }
    let expired: Vec<_> = world.pending.iter().map(|(_, submission)| submission.ask.clone()).collect();
    let id = world.session(silent);
    let owner = world.state.session(id).expect("it is not executed yet").owner;
    assert_eq!(expired[0], Ask::Command(Command::Expire { session: id, owner }));
    world.settle();
    assert_eq!(short(&world.hear(silent)), ["SessionExpired"]);
    assert!(world.state.session(world.session(here)).is_some());
    assert!(world.state.session(world.session(there)).is_some());
}

#[test]
fn an_expiry_is_asked_again_only_while_the_session_is_there_and_silent() {
    let mut world = World::new(1);
    let client = world.client(0);
    until_expiry(&mut world);
    assert_eq!(world.pending.len(), 1);
    for _ in 0..3 {
        world.wake();
    }
    assert_eq!(world.pending.len(), 1, "waking more often asks for nothing more");
    world.pass(Duration(TICK.0 - 1));
    assert_eq!(world.pending.len(), 1);
    world.pass(Duration(TICK.0 + 1));
    assert_eq!(world.pending.len(), 2);
    world.settle();
    assert_eq!(short(&world.hear(client)), ["SessionExpired"]);
    world.pass(Duration(10 * TICK.0));
    assert!(world.pending.is_empty());
}

#[test]
fn a_session_that_moved_in_time_outlives_its_expiry() {
    let mut world = World::new(2);
    let old = world.client(1);
    let session = world.session(old);
    world.answer(old, create_as("/mine", 1, Acl::open()));
    until_expiry(&mut world);
    let new = world.open(1, world.again(old));
    // The move is ordered before the expiry.
    world.happen(1);
    world.settle();
    assert_eq!(short(&world.hear(new)), ["connected"]);
    assert!(world.state.session(session).is_some());
    assert!(world.state.stat("/mine").is_some());
    assert!(until_expiry(&mut world) > TIMEOUT, "it has its full timeout again");
}

#[test]
fn a_move_brings_a_new_timeout_shorter_or_longer() {
    for (timeout_ms, low_ms, high_ms) in [(4_000, 4_000, 6_000), (40_000, 40_000, 42_000)] {
        let mut world = World::new(1);
        let old = world.client(0);
        world.open(0, ConnectRequest { timeout_ms, ..world.again(old) });
        world.settle();
        let took = until_expiry(&mut world);
        assert!(took > Duration::millis(low_ms) && took <= Duration::millis(high_ms));
    }
}

#[test]
fn a_refused_claim_is_no_sign_of_life() {
    let mut world = World::new(1);
    let client = world.client(0);
    let session = world.session(client);
    let start = world.now.mono;
    world.pass(Duration::millis(9_000));
    world.open(0, hello(session, Some(&[0; 16])));
    world.open(0, hello(session, None));
    world.settle();
    until_expiry(&mut world);
    assert!(world.now.mono - start <= Duration(TIMEOUT.0 + TICK.0));
}

#[test]
fn a_new_leader_gives_everybody_the_full_timeout() {
    let mut world = World::new(2);
    let clients: Vec<Client> = (0..3).map(|_| world.client(1)).collect();
    world.pass(Duration::millis(9_999));
    world.stand(0, Standing::Closed);
    assert_eq!(world.desks[0].deadline(), None);
    world.pass(Duration::millis(60_000));
    assert!(world.pending.is_empty(), "without a leader no session expires");
    let now = world.now;
    world.desks[1].keep_time(Some(now), &world.state);
    assert!(until_expiry(&mut world) > TIMEOUT);
    assert_eq!(world.pending.len(), 3);
    world.settle();
    for client in clients {
        assert_eq!(short(&world.hear(client)), ["SessionExpired"]);
    }
}

#[test]
fn a_follower_expires_nobody() {
    let mut world = World::new(1);
    world.client(0);
    world.desks[0].keep_time(None, &world.state);
    assert_eq!(world.desks[0].deadline(), None);
    world.now.mono = world.now.mono + Duration::millis(1_000_000);
    world.wake();
    assert!(world.pending.is_empty());
}

#[test]
fn the_wall_clock_expires_nobody() {
    let mut world = World::new(1);
    let client = world.client(0);
    for wall in [i64::MAX, 0, i64::MIN, 1 << 40] {
        world.now.wall = Timestamp(wall);
        world.pass(MS);
        world.wake();
        world.ask(client, -2, Op::Ping);
    }
    assert!(world.pending.is_empty());
    assert!(until_expiry(&mut world) > TIMEOUT);
}

#[test]
fn a_session_nobody_knows_is_not_kept() {
    let mut world = World::new(1);
    let now = world.now;
    world.desks[0].heard(now, &[SessionId(5)]);
    assert_eq!(world.desks[0].deadline(), None);
}

#[test]
fn time_that_leaps_ahead_is_held_against_nobody() {
    let mut world = World::new(1);
    for _ in 0..10 {
        world.client(0);
    }
    // A process that stood still, or a clock that leapt: nobody could be heard meanwhile.
    world.now.mono = Instant(world.now.mono.0 + Duration::millis(10_000_000).0);
    world.wake();
    assert_eq!(world.pending.len(), 0);
    let took = until_expiry(&mut world);
    assert!(
        took > Duration(TIMEOUT.0 - TICK.0) && took <= Duration(TIMEOUT.0 + TICK.0),
        "{} ms",
        took.as_millis()
    );
    assert_eq!(world.pending.len(), 10, "each is named once");
    world.settle();
    assert_eq!(world.state.sessions().count(), 0);
}
