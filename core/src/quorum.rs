//! Majorities of a set of voters.

use crate::ids::{PeerId, Zxid};

/// The voters of the ensemble. More than half of them is a quorum, so any two quorums share a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Voters(Vec<PeerId>);

/// A set of voters that have said yes to something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ballot(Vec<PeerId>);

impl Voters {
    /// # Panics
    /// When there are none, or one is named twice.
    pub fn new(mut voters: Vec<PeerId>) -> Voters {
        assert!(!voters.is_empty(), "an ensemble has at least one voter");
        voters.sort_unstable();
        assert!(voters.windows(2).all(|pair| pair[0] != pair[1]), "a voter is named twice: {voters:?}");
        Voters(voters)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.0.iter().copied()
    }

    /// Whether `peer` votes.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.0.binary_search(&peer).is_ok()
    }

    /// How many voters there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest number of voters that is a quorum.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether those on the ballot are a quorum.
    pub fn won(&self, ballot: &Ballot) -> bool {
        self.0.iter().filter(|voter| ballot.0.contains(voter)).count() >= self.majority()
    }

    /// The newest zxid that a quorum has reached, given how far each voter has.
    pub fn reached_by_quorum(&self, reached: impl Fn(PeerId) -> Zxid) -> Zxid {
        self.nth_highest(|voter| reached(voter).0).map(Zxid).expect("an ensemble has at least one voter")
    }

    /// The highest number that a quorum has reached, given how far each voter has.
    pub fn nth_highest(&self, reached: impl Fn(PeerId) -> u64) -> Option<u64> {
        // Asked at each acknowledgement: an ensemble is small, and a table for the largest one takes longer to clear
        // than to use.
        const FEW: usize = 8;
        let mut few = [0; FEW];
        let mut many;
        let numbers = if self.0.len() <= FEW {
            &mut few[..self.0.len()]
        } else {
            many = vec![0; self.0.len()];
            &mut many[..]
        };
        for (index, voter) in self.0.iter().enumerate() {
            // Each finds its place among those before it, the highest first.
            let number = reached(*voter);
            let mut place = index;
            while place > 0 && numbers[place - 1] < number {
                numbers[place] = numbers[place - 1];
                place -= 1;
            }
            numbers[place] = number;
        }
        numbers.get(self.majority() - 1).copied()
    }
}

impl Ballot {
    /// A ballot with one yes.
    pub fn of(peer: PeerId) -> Ballot {
        Ballot(vec![peer])
    }

    /// Whether a voter has said yes.
    pub fn has(&self, peer: PeerId) -> bool {
        self.0.contains(&peer)
    }

    /// Counts a yes; a second one of the same voter changes nothing.
    pub fn add(&mut self, peer: PeerId) {
        if !self.0.contains(&peer) {
            self.0.push(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(n: u8) -> Voters {
        Voters::new((1..=n).map(PeerId).collect())
    }

    /// Any two quorums share a member: all pairs of ballots of up to five voters.
    #[test]
    fn any_two_quorums_intersect() {
        for n in 1..=5u8 {
            let voters = voters(n);
            let ballot = |mask: u32| Ballot((1..=n).filter(|i| mask >> i & 1 == 1).map(PeerId).collect());
            for a in (0..1u32 << (n + 1)).step_by(2) {
                for b in (0..1u32 << (n + 1)).step_by(2) {
                    if voters.won(&ballot(a)) && voters.won(&ballot(b)) {
                        assert_ne!(a & b, 0, "{n} voters: {a:b} and {b:b}");
                    }
                }
            }
        }
    }

    /// The clever function against a slow one: a zxid is reached by a quorum when enough voters are at or past it.
    #[test]
    fn reached_by_quorum_is_the_newest_zxid_that_a_quorum_has() {
        for n in 1..=5u8 {
            let voters = voters(n);
            for code in 0..4u64.pow(u32::from(n)) {
                let at = |peer: PeerId| Zxid(code / 4u64.pow(u32::from(peer.0) - 1) % 4);
                let slow = (0..4)
                    .rev()
                    .map(Zxid)
                    .find(|z| voters.iter().filter(|v| at(*v) >= *z).count() * 2 > usize::from(n))
                    .expect("all voters have reached zero");
                assert_eq!(voters.reached_by_quorum(at), slow);
            }
        }
    }

    #[test]
    fn strangers_do_not_count() {
        let mut ballot = Ballot::of(PeerId(1));
        ballot.add(PeerId(9));
        ballot.add(PeerId(1));
        assert!(!voters(3).won(&ballot));
        ballot.add(PeerId(3));
        assert!(voters(3).won(&ballot));
    }
}
