//! What this server has asked of the order, and who waits for which answer.
//!
//! Numbers are given from 1 within a stream and answered once each: commands in the order in which they were asked,
//! barriers at any time. A stream's end forgets all of it.

use std::collections::VecDeque;

use crate::entry::{Ask, Submission};
use crate::ids::ConnId;

/// Submissions on their way out, and those that are not answered.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    open: bool,
    /// The number of the first slot.
    first: u64,
    /// A slot for each number from `first`; `None` when it is answered.
    asked: VecDeque<Option<Asked>>,
    /// The last command answered.
    delivered: u64,
    submissions: Vec<Submission>,
}

/// Who waits for a number, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// A request of a connection.
    Write(ConnId),
    /// A handshake: a session begins or moves.
    Session(ConnId),
    /// A `sync`.
    Barrier(ConnId),
    /// Nobody waits for an expiry; it has a number all the same.
    Expiry,
}

impl Outbox {
    /// Not in a stream.
    pub(super) fn new() -> Outbox {
        Outbox { open: false, first: 1, asked: VecDeque::new(), delivered: 0, submissions: Vec::new() }
    }

    /// Begins a stream.
    pub(super) fn restart(&mut self) {
        assert!(!self.open && self.asked.is_empty() && self.submissions.is_empty());
        self.open = true;
        self.first = 1;
        self.delivered = 0;
    }

    /// Ends the stream.
    pub(super) fn stop(&mut self) {
        self.open = false;
        self.asked.clear();
        self.submissions.clear();
    }

    /// Asks for something; returns its number.
    pub(super) fn submit(&mut self, asked: Asked, ask: Ask) -> u64 {
        assert!(self.open, "nothing is submitted outside a stream");
        assert_eq!(matches!(asked, Asked::Barrier(_)), matches!(ask, Ask::Barrier));
        let number = self.first + self.asked.len() as u64;
        self.asked.push_back(Some(asked));
        self.submissions.push(Submission { number, ask });
        number
    }

    /// A command of this stream was executed.
    ///
    /// # Panics
    /// When an earlier one of the stream comes after it: a session's writes would change places.
    pub(super) fn delivered(&mut self, number: u64) -> Option<Asked> {
        if !self.open {
            return None;
        }
        assert!(number > self.delivered, "command {number} comes after {}", self.delivered);
        self.delivered = number;
        Some(self.answer(number))
    }

    /// A barrier of this stream was passed.
    pub(super) fn passed(&mut self, number: u64) -> Option<Asked> {
        self.open.then(|| self.answer(number))
    }

    /// Whether anything has been asked since [`Outbox::submissions`] was last called.
    pub(super) fn has_submissions(&self) -> bool {
        !self.submissions.is_empty()
    }

    /// What has been asked since this was last called.
    pub(super) fn submissions(&mut self) -> std::vec::Drain<'_, Submission> {
        self.submissions.drain(..)
    }

    fn answer(&mut self, number: u64) -> Asked {
        let slot = number.checked_sub(self.first).and_then(|index| {
            let index = usize::try_from(index).ok()?;
            self.asked.get_mut(index)
        });
        let asked = slot.and_then(Option::take);
        let asked = asked.unwrap_or_else(|| panic!("number {number} was answered before, or never asked"));
        while let Some(None) = self.asked.front() {
            self.asked.pop_front();
            self.first += 1;
        }
        asked
    }
}
