//! An epoch is promised to a log at least as new as the promiser's: each time that the promise is said, for it is said
//! again when it is asked for again, and the promiser may have followed another leader meanwhile.
//!
//! Whether a promise is durable, and kept, is `disks`' business; whether a leader has all that is committed, `order`'s.

use std::collections::BTreeMap;

use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_sim::Violation;

use super::violation;

/// What candidates have asked for, and with which log at best.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    asked: BTreeMap<(Epoch, PeerId), Zxid>,
}

impl Promises {
    /// A node says something to another.
    pub(super) fn said(
        &mut self,
        from: PeerId,
        to: PeerId,
        message: &PeerMessage,
    ) -> Result<(), Box<Violation>> {
        match message {
            PeerMessage::NewEpoch { epoch, last } => {
                let best = self.asked.entry((*epoch, from)).or_insert(*last);
                *best = (*best).max(*last);
                Ok(())
            }
            PeerMessage::Vow(vow) => match vow.get() {
                Vow::AckEpoch { epoch, last, .. } => self.promised(from, to, *epoch, *last),
                Vow::Ack { .. } | Vow::Positioned { .. } => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn promised(&self, from: PeerId, to: PeerId, epoch: Epoch, last: Zxid) -> Result<(), Box<Violation>> {
        let Some(best) = self.asked.get(&(epoch, to)).filter(|best| last > **best) else { return Ok(()) };
        violation(
            "promise-fits",
            "an epoch is promised only to one who asked for it with a log at least as new as the promiser's",
            format!("node {from}, whose log ends at {last:?}, promises {epoch:?} to node {to}"),
            format!("no promise: that one has asked with a log that ends at {best:?}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_promised_to_no_older_log() {
        let mut promises = Promises::default();
        let (one, two) = (PeerId(1), PeerId(2));
        let asks = |promises: &mut Promises, last| {
            let message = PeerMessage::NewEpoch { epoch: Epoch(2), last: Zxid(last) };
            promises.said(one, two, &message).is_ok()
        };
        assert!(asks(&mut promises, 7) && asks(&mut promises, 5));
        assert_eq!(promises.promised(two, one, Epoch(2), Zxid(7)), Ok(()));
        let broken = promises.promised(two, one, Epoch(2), Zxid(8)).expect_err("8 is newer than 7");
        assert_eq!(broken.property, "promise-fits");
    }
}
