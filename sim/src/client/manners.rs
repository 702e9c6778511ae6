//! What a client does of its own will beside asking: it drops connections, moves, falls silent, stays away, and comes back as
//! somebody whom it was before.

use vivarium_core::api::Op;

use super::{Action, Client, Phase};
use crate::Time;
use crate::choice::Act;
use crate::decision::{Decisions, Draw};

impl Client {
    /// Bad manners, if the odds say so.
    pub(super) fn misbehaviour(&self, draw: &mut Draw) -> Option<Act> {
        let plan = &self.plan;
        let odds = [
            plan.drop_permille,
            plan.move_permille,
            plan.silence_permille,
            plan.close_permille,
            plan.away_permille,
            if self.former.is_some() { plan.haunt_permille } else { 0 },
        ];
        let [drop, moves, silence, close, away, haunt] = odds;
        let idle = 1000 - odds.iter().sum::<u32>().min(1000);
        match draw.weighted(&[drop, moves, silence, close, away, haunt, idle]) {
            0 => Some(Act::Drop),
            1 => Some(Act::Move),
            2 => Some(Act::Silence(self.timeout / 2 + draw.below(self.timeout + 1))),
            3 => Some(Act::Ask(Op::CloseSession)),
            // Just before the session would end, or just after.
            4 => Some(Act::Away(self.timeout * draw.between(90, 110) / 100)),
            5 => Some(Act::Haunt),
            _ => None,
        }
    }

    /// Does one thing.
    pub(super) fn follow(
        &mut self,
        act: Act,
        now: Time,
        decisions: &mut Decisions,
        actions: &mut Vec<Action>,
    ) {
        match act {
            Act::Ask(op) => self.number(now, op, actions),
            Act::Drop => {
                actions.push(Action::Close);
                self.lost(now, decisions);
            }
            Act::Move => {
                actions.push(Action::Abandon);
                self.pending.clear();
                self.connect(now, decisions, actions);
            }
            Act::Silence(length) => {
                if let Phase::Ready { silent_until, .. } = &mut self.phase {
                    *silent_until = now + length;
                }
            }
            Act::Away(length) => {
                actions.push(Action::Close);
                self.lost(now, decisions);
                self.phase = Phase::Waiting { until: now + length };
            }
            Act::Haunt => {
                actions.push(Action::Close);
                self.lost(now, decisions);
                self.haunting = self.former.is_some();
            }
            Act::Repeat { .. } | Act::Impersonate => unreachable!("a script keeps these apart"),
        }
    }
}
