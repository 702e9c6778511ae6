//! Who is alive: when each session was last heard from, and when its time is up (section 7.4 of the protocol).
//!
//! A leader keeps the time of every session; the other servers only note whom they have heard, for their report to
//! it. A session is overdue at the first tick after its timeout, never before its timeout and never more than a tick
//! after. Time is monotonic, always: a wall clock that jumps expires nobody (ZOOKEEPER-1366). Nor does a monotonic one
//! that leaps, or a process that stood still: a leader looks at least twice a tick, and what it finds to have passed
//! beyond a tick since it looked last is held against no client, who may have spoken all the while.
//!
//! Hearing from a session is the common case by far, so it only notes the time. The deadline that a session is armed
//! with is looked at again when it has come, and moved if the session was heard meanwhile.

use std::collections::BTreeMap;

use crate::ids::SessionId;
use crate::time::{Duration, Instant};

/// The signs of life that this server has seen or was told of.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    tick: Duration,
    /// A leader's.
    timers: Option<Timers>,
    /// Counts reports, from 1: a connection that was heard in this round is in `heard` already.
    round: u64,
    /// Heard in this round. One per connection at most.
    heard: Vec<SessionId>,
}

#[derive(Clone, Debug)]
struct Timers {
    /// When it looked last.
    looked: Instant,
    sessions: BTreeMap<SessionId, Timer>,
    /// Sessions by the tick at which to look at them. One that is armed with another tick by now is passed over.
    ticks: BTreeMap<Instant, Vec<SessionId>>,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    heard: Instant,
    timeout: Duration,
    armed: Instant,
}

impl Liveness {
    /// Keeps nobody's time. Deadlines are multiples of `tick`.
    pub(super) fn new(tick: Duration) -> Liveness {
        assert!(tick > Duration(0), "tickTime is the unit of expiry");
        Liveness { tick, timers: None, round: 1, heard: Vec::new() }
    }

    /// Keeps the time of these sessions and those to come: each has its full timeout from now, since nobody knows
    /// what the last leader has heard.
    pub(super) fn start(&mut self, now: Instant, sessions: impl Iterator<Item = (SessionId, Duration)>) {
        self.stop();
        self.timers = Some(Timers { looked: now, sessions: BTreeMap::new(), ticks: BTreeMap::new() });
        for (session, timeout) in sessions {
            self.begin(now, session, timeout);
        }
    }

    /// Keeps nobody's time any more, and forgets whom it heard.
    pub(super) fn stop(&mut self) {
        self.timers = None;
        self.round += 1;
        self.heard.clear();
    }

    /// A session began, or moved and has a new timeout.
    pub(super) fn begin(&mut self, now: Instant, session: SessionId, timeout: Duration) {
        let Some(timers) = &mut self.timers else { return };
        if timers.sessions.is_empty() {
            // Nobody had to look until now.
            timers.looked = now;
        }
        let deadline = after(now + timeout, self.tick);
        match timers.sessions.get_mut(&session) {
            // Looked at soon enough, and found to be heard.
            Some(timer) if timer.armed <= deadline => {
                timer.heard = now;
                timer.timeout = timeout;
            }
            Some(_) | None => {
                timers.sessions.insert(session, Timer { heard: now, timeout, armed: deadline });
                timers.ticks.entry(deadline).or_default().push(session);
            }
        }
    }

    /// A session ended.
    pub(super) fn end(&mut self, session: SessionId) {
        if let Some(timers) = &mut self.timers {
            timers.sessions.remove(&session);
        }
    }

    /// A session was heard from, here or at a follower. Nothing at a follower.
    pub(super) fn touch(&mut self, now: Instant, session: SessionId) {
        let Some(timers) = &mut self.timers else { return };
        if let Some(timer) = timers.sessions.get_mut(&session) {
            timer.heard = now;
        }
    }

    /// A connection of this server was heard from; `round` is the one in which it was heard last.
    pub(super) fn heard_here(&mut self, now: Instant, session: SessionId, round: &mut u64) {
        if self.timers.is_some() {
            self.touch(now, session);
        } else if *round != self.round {
            *round = self.round;
            self.heard.push(session);
        }
    }

    /// Ends a round: adds whom it heard to `sessions`.
    pub(super) fn take_heard(&mut self, sessions: &mut Vec<SessionId>) {
        sessions.append(&mut self.heard);
        self.round += 1;
    }

    /// The sessions whose time is up. Each is named again a tick or two later, unless it has ended or was heard.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<SessionId> {
        let mut overdue = Vec::new();
        let Some(timers) = &mut self.timers else { return overdue };
        timers.forgive(now, self.tick);
        while let Some(entry) = timers.ticks.first_entry()
            && *entry.key() <= now
        {
            let (tick, sessions) = entry.remove_entry();
            for session in sessions {
                let Some(timer) = timers.sessions.get_mut(&session) else { continue };
                if timer.armed != tick {
                    continue;
                }
                timer.armed = after(timer.heard + timer.timeout, self.tick);
                if timer.armed <= now {
                    overdue.push(session);
                    timer.armed = after(now + self.tick, self.tick);
                }
                assert!(timer.armed > now);
                timers.ticks.entry(timer.armed).or_default().push(session);
            }
        }
        overdue
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timers = self.timers.as_ref()?;
        let (first, _) = timers.ticks.first_key_value()?;
        Some((*first).min(timers.looked + half(self.tick)))
    }
}

impl Timers {
    /// Takes out of everybody's silence the time that nobody here could have heard anything in.
    fn forgive(&mut self, now: Instant, tick: Duration) {
        let passed = now - self.looked;
        self.looked = now;
        if passed > tick {
            let deaf = Duration(passed.0 - half(tick).0);
            for timer in self.sessions.values_mut() {
                timer.heard = (timer.heard + deaf).min(now);
            }
        }
    }
}

fn half(tick: Duration) -> Duration {
    Duration((tick.0 / 2).max(1))
}

/// The first tick after an instant.
fn after(instant: Instant, tick: Duration) -> Instant {
    Instant((instant.0 / tick.0).saturating_add(1).saturating_mul(tick.0))
}
