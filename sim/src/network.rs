//! What becomes of a message between servers: latency, loss, duplication, reordering, partitions.

use crate::Time;
use crate::choice::{Luck, MessageKind};
use crate::decision::Draw;
use crate::schedule::NetworkOdds;

/// No more servers than this.
pub const NODES_MAX: usize = 8;

/// The links between servers.
#[derive(Clone, Debug)]
pub struct Network {
    odds: NetworkOdds,
    /// How many partitions cut a link, and until when the longest lasts.
    cuts: [u8; NODES_MAX * NODES_MAX],
    cut_until: [Time; NODES_MAX * NODES_MAX],
    /// When the last message of an ordered link arrives.
    last: [Time; NODES_MAX * NODES_MAX],
    /// How much longer messages of a link take.
    extra: [Time; NODES_MAX * NODES_MAX],
}

/// The lateness of what strays spans so many powers of two.
const STRAY_HALVES: u64 = 8;
/// More partitions than ever cut a link at once.
const HELD: u8 = 128;

/// When a message arrives: never, once, or twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// When it arrives, if it does.
    pub first: Option<Time>,
    /// When it arrives once more.
    pub again: Option<Time>,
}

/// The bit of a link in a set of links.
pub fn link_bit(from: usize, to: usize) -> u64 {
    1 << (from * NODES_MAX + to)
}

impl Network {
    /// All links whole.
    pub fn new(odds: NetworkOdds) -> Network {
        let links = NODES_MAX * NODES_MAX;
        assert!(links == 64, "a set of links is a u64");
        Network { odds, cuts: [0; 64], cut_until: [0; 64], last: [0; 64], extra: [0; 64] }
    }

    /// Cuts links until mended; `until` is when that will be.
    pub fn cut(&mut self, links: u64, until: Time) {
        for link in bits(links) {
            self.cuts[link] += 1;
            self.cut_until[link] = self.cut_until[link].max(until);
        }
    }

    /// Makes a link slower from now on by this; 0 for as fast as it was.
    pub fn slow(&mut self, from: usize, to: usize, extra: Time) {
        self.extra[from * NODES_MAX + to] = extra;
    }

    /// Ends one partition.
    pub fn mend(&mut self, links: u64) {
        for link in bits(links) {
            self.cuts[link] = self.cuts[link].saturating_sub(1);
        }
    }

    /// Ends all partitions and all bad luck: from now on links are what TCP makes of them.
    pub fn heal(&mut self) {
        self.odds.ordered = true;
        self.cuts = [0; 64];
        self.cut_until = [0; 64];
        self.odds.loss_permille = 0;
        self.odds.duplicate_permille = 0;
        self.odds.corrupt_permille = 0;
        self.odds.stray_permille = 0;
        self.extra = [0; 64];
        self.odds.slow_permille = 0;
    }

    /// Cuts links until [`Network::heal`]: what is sent over them is lost.
    pub fn hold(&mut self, links: u64) {
        self.odds.partition_loses = true;
        for link in bits(links) {
            self.cuts[link] = HELD;
        }
    }

    /// Whether a link is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts[from * NODES_MAX + to] > 0
    }

    /// How long a message takes if nothing happens to it.
    #[inline]
    pub fn latency(&self, draw: &mut Draw) -> Time {
        self.odds.latency_min + draw.skewed(self.odds.latency_mean)
    }

    /// The luck of a message of this kind, by the odds.
    #[inline]
    pub fn luck(&self, kind: MessageKind, draw: &mut Draw) -> Luck {
        let odds = &self.odds;
        let lost = draw.permille(odds.loss_permille);
        let doubled = draw.permille(odds.duplicate_permille);
        let late = if draw.permille(odds.slow_permille) { draw.skewed(odds.slow_mean) } else { 0 };
        let again = doubled.then(|| draw.skewed(4 * odds.latency_mean));
        let corrupt = draw.permille(odds.corrupt_permille);
        let mut luck = Luck { lost, late, again, corrupt };
        if odds.stray_kinds >> kind.0 & 1 == 1 && draw.permille(odds.stray_permille) {
            self.astray(&mut luck, draw);
        }
        luck
    }

    /// A message comes much later than those around it; where links keep order, a copy of it does.
    fn astray(&self, luck: &mut Luck, draw: &mut Draw) {
        let length = self.odds.stray_max >> draw.below(STRAY_HALVES);
        let length = draw.between(length / 2, length);
        if self.odds.ordered || draw.one_in(2) {
            luck.again = Some(length);
        } else {
            luck.late += length;
        }
    }

    /// What becomes of a message sent now, which takes so long and has this luck.
    #[inline]
    pub fn fate(&mut self, from: usize, to: usize, now: Time, latency: Time, luck: Luck) -> Fate {
        let link = from * NODES_MAX + to;
        let mut arrives = now + latency + luck.late + self.extra[link];
        if self.cuts[link] > 0 {
            if self.odds.partition_loses {
                return Fate::default();
            }
            arrives += self.cut_until[link].saturating_sub(now);
        }
        if luck.lost || luck.corrupt {
            return Fate::default();
        }
        if self.odds.ordered {
            arrives = arrives.max(self.last[link]);
            self.last[link] = arrives;
        }
        Fate { first: Some(arrives), again: luck.again.map(|after| arrives + after) }
    }
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let bit = set.trailing_zeros() as usize;
            set &= set - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: NetworkOdds = NetworkOdds {
        latency_min: 100,
        latency_mean: 1000,
        slow_permille: 100,
        slow_mean: 10_000,
        loss_permille: 0,
        duplicate_permille: 0,
        corrupt_permille: 0,
        stray_kinds: 0,
        stray_permille: 0,
        stray_max: 0,
        ordered: true,
        partition_loses: true,
    };

    #[test]
    fn an_ordered_link_keeps_order_and_others_do_not() {
        for ordered in [true, false] {
            let mut network = Network::new(NetworkOdds { ordered, ..ODDS });
            let mut draw = Draw::new(5);
            let times: Vec<_> = (0..500)
                .map(|i| {
                    {
                        let latency = network.latency(&mut draw);
                        let luck = network.luck(MessageKind(0), &mut draw);
                        network.fate(0, 1, i * 50, latency, luck)
                    }
                    .first
                    .expect("nothing is lost")
                })
                .collect();
            assert_eq!(times.is_sorted(), ordered);
        }
    }

    #[test]
    fn a_cut_link_is_cut_one_way_until_all_partitions_end() {
        let mut network = Network::new(ODDS);
        network.cut(link_bit(0, 1), 5000);
        network.cut(link_bit(0, 1) | link_bit(2, 1), 9000);
        assert_eq!(network.fate(0, 1, 10, 100, Luck::default()), Fate::default());
        assert!(network.fate(1, 0, 10, 100, Luck::default()).first.is_some());
        network.mend(link_bit(0, 1));
        assert!(network.is_cut(0, 1));
        network.mend(link_bit(0, 1) | link_bit(2, 1));
        assert!(network.fate(0, 1, 10, 100, Luck::default()).first.is_some());
    }

    #[test]
    fn a_partition_that_loses_nothing_delays() {
        let mut network = Network::new(NetworkOdds { partition_loses: false, ..ODDS });
        network.cut(link_bit(0, 1), 5_000_000);
        assert!(network.fate(0, 1, 10, 100, Luck::default()).first.expect("it arrives") > 5_000_000);
    }

    #[test]
    fn what_strays_is_late_where_links_do_not_keep_order_and_else_comes_twice() {
        let kind = MessageKind(3);
        for ordered in [true, false] {
            let odds = NetworkOdds {
                stray_kinds: 1 << 3,
                stray_permille: 1000,
                stray_max: 1 << 30,
                ordered,
                ..ODDS
            };
            let network = Network::new(NetworkOdds { slow_permille: 0, ..odds });
            let mut draw = Draw::new(5);
            let strays: Vec<Luck> = (0..200).map(|_| network.luck(kind, &mut draw)).collect();
            let late = strays.iter().filter(|luck| luck.late > 0).count();
            assert_eq!(strays.iter().filter(|luck| luck.again.is_some()).count(), 200 - late);
            assert_eq!(late == 0, ordered);
            let length = |luck: &Luck| luck.late + luck.again.unwrap_or(0);
            assert!(strays.iter().all(|luck| (1 << 22..=1 << 30).contains(&length(luck))));
            assert_eq!(network.luck(MessageKind(2), &mut draw), Luck::default());
        }
    }

    #[test]
    fn a_link_that_is_held_stays_cut_when_partitions_end_and_until_all_is_healed() {
        let mut network = Network::new(NetworkOdds { partition_loses: false, ..ODDS });
        network.hold(link_bit(0, 1));
        network.cut(link_bit(0, 1), 9000);
        network.mend(link_bit(0, 1));
        network.mend(link_bit(0, 1));
        assert_eq!(network.fate(0, 1, 10, 100, Luck::default()), Fate::default());
        network.heal();
        assert!(network.fate(0, 1, 10, 100, Luck::default()).first.is_some());
    }
}
