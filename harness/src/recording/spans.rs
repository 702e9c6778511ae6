//! What lasts: processes that are down or stand still, links that are cut, disks that are slow.

use vivarium_sim::schedule::{FaultKind, Link};
use vivarium_sim::{NodeIndex, Time};

use super::{EventId, Span, SpanKind};

/// Spans, some of them not yet over.
#[derive(Debug, Default)]
pub(super) struct Spans {
    nodes: NodeIndex,
    heals_at: Time,
    all: Vec<Span>,
    /// Where the span is during which a node is down.
    down: Vec<Option<usize>>,
}

impl Spans {
    /// For so many nodes; what faults break is mended at `heals_at`.
    pub fn new(nodes: NodeIndex, heals_at: Time) -> Spans {
        Spans { nodes, heals_at, all: Vec::new(), down: vec![None; nodes] }
    }

    /// A fault begins.
    pub fn fault(&mut self, at: Time, event: EventId, kind: &FaultKind, node: Option<NodeIndex>) {
        match *kind {
            FaultKind::Pause { length, .. } | FaultKind::Stall { length, .. } => {
                self.hit(at, event, SpanKind::Paused, node, length);
            }
            FaultKind::SlowDisk { length, .. } => self.hit(at, event, SpanKind::SlowDisk, node, length),
            FaultKind::Partition { side, both, length } => {
                self.cut(at, event, length, |from, to| is_between(side, both, from, to));
            }
            FaultKind::Flap { side, both, length, times } => {
                let turns = (0..Time::from(times)).map(|turn| at.saturating_add(2 * length * turn));
                for at in turns.take_while(|turn| *turn == at || *turn < self.heals_at).collect::<Vec<_>>() {
                    self.cut(at, event, length, |from, to| is_between(side, both, from, to));
                }
            }
            FaultKind::Isolate { both, length, .. } => {
                self.cut(at, event, length, |from, to| Some(to) == node || (both && Some(from) == node));
            }
            FaultKind::CutLinks { ref links, length } => {
                self.cut(at, event, length, |from, to| links.contains(&Link(from, to)));
            }
            FaultKind::Stagger { apart, ref back, length } => {
                for node in 0..self.nodes {
                    let place = back.iter().position(|name| usize::from(*name) == node + 1).unwrap_or(0);
                    let from = self.until(at, apart * node as Time);
                    let until = self.until(at, apart * (self.nodes + place) as Time + length);
                    self.cut(from, event, until - from, |a, b| a == node || b == node);
                }
            }
            FaultKind::SlowLink { link: Link(from, to), length, .. } => {
                self.add(at, event, SpanKind::SlowLink, Vec::new(), vec![(small(from), small(to))], length);
            }
            _ => {}
        }
    }

    fn hit(&mut self, at: Time, event: EventId, kind: SpanKind, node: Option<NodeIndex>, length: Time) {
        self.add(at, event, kind, node.into_iter().map(small).collect(), Vec::new(), length);
    }

    fn cut(&mut self, at: Time, event: EventId, length: Time, is_cut: impl Fn(NodeIndex, NodeIndex) -> bool) {
        let all = (0..self.nodes).flat_map(|from| (0..self.nodes).map(move |to| (from, to)));
        let links = all.filter(|(from, to)| from != to && is_cut(*from, *to));
        let links = links.map(|(from, to)| (small(from), small(to))).collect();
        self.add(at, event, SpanKind::Cut, Vec::new(), links, length);
    }

    fn add(
        &mut self,
        from: Time,
        event: EventId,
        kind: SpanKind,
        nodes: Vec<u8>,
        links: Vec<(u8, u8)>,
        length: Time,
    ) {
        let until = self.until(from, length);
        self.all.push(Span { kind, event, from, until, nodes, links });
    }

    /// When something of this length ends: never later than all faults do.
    fn until(&self, at: Time, length: Time) -> Time {
        at.saturating_add(length).min(self.heals_at.max(at))
    }

    /// A process ends.
    pub fn ended(&mut self, at: Time, event: EventId, node: NodeIndex) {
        // A process that is gone does not stand still any more.
        for span in &mut self.all {
            if span.kind == SpanKind::Paused && span.nodes == [small(node)] && span.until > at {
                span.until = at;
            }
        }
        self.down[node] = Some(self.all.len());
        self.all.push(Span {
            kind: SpanKind::Down,
            event,
            from: at,
            until: Time::MAX,
            nodes: vec![small(node)],
            links: Vec::new(),
        });
    }

    /// A process starts.
    pub fn booted(&mut self, at: Time, node: NodeIndex) {
        if let Some(span) = self.down[node].take() {
            self.all[span].until = at;
        }
    }

    /// All of them, the run having ended at `at`.
    pub fn finish(mut self, at: Time) -> Vec<Span> {
        for span in &mut self.all {
            span.until = span.until.min(at.max(span.from));
        }
        self.all
    }
}

/// Whether a partition cuts a link: towards the side, or `both` ways.
fn is_between(side: u8, both: bool, from: NodeIndex, to: NodeIndex) -> bool {
    let (from, to) = (side >> from & 1, side >> to & 1);
    from != to && (both || from == 0)
}

fn small(node: NodeIndex) -> u8 {
    u8::try_from(node).expect("few servers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_sim::schedule::Target;

    #[test]
    fn a_partition_cuts_what_the_world_cuts() {
        let mut spans = Spans::new(3, 100);
        spans.fault(10, 1, &FaultKind::Partition { side: 0b001, both: false, length: 500 }, None);
        let target = Target::Node(2);
        spans.fault(20, 2, &FaultKind::Isolate { target, both: true, length: 30 }, Some(2));
        let spans = spans.finish(90);
        assert_eq!(spans[0].links, [(1, 0), (2, 0)], "messages to the first node do not arrive");
        assert_eq!((spans[0].from, spans[0].until), (10, 90));
        assert_eq!(spans[1].links, [(0, 2), (1, 2), (2, 0), (2, 1)]);
        assert_eq!(spans[1].until, 50);
    }

    #[test]
    fn what_flaps_and_what_is_staggered_comes_and_goes() {
        let mut spans = Spans::new(2, 100);
        spans.fault(10, 1, &FaultKind::Flap { side: 1, both: true, length: 20, times: 9 }, None);
        spans.fault(20, 2, &FaultKind::Stagger { apart: 5, back: vec![2, 1], length: 7 }, None);
        let slow = FaultKind::SlowLink { link: Link(1, 0), extra: 3, length: 30 };
        spans.fault(30, 3, &slow, None);
        let seen: Vec<_> = spans.finish(200).iter().map(|span| (span.kind, span.from, span.until)).collect();
        let cut = |from, until| (SpanKind::Cut, from, until);
        let flaps = [cut(10, 30), cut(50, 70), cut(90, 100)];
        let staggers = [cut(20, 42), cut(25, 37)];
        assert_eq!(seen[..3], flaps);
        assert_eq!(seen[3..5], staggers);
        assert_eq!(seen[5], (SpanKind::SlowLink, 30, 60));
    }

    #[test]
    fn a_process_that_ends_is_down_until_the_next_one_starts_and_paused_no_more() {
        let mut spans = Spans::new(2, 1000);
        spans.fault(10, 1, &FaultKind::Pause { target: Target::Node(1), length: 100 }, Some(1));
        spans.ended(40, 2, 1);
        spans.booted(70, 1);
        spans.ended(80, 3, 0);
        let spans = spans.finish(200);
        let seen: Vec<_> = spans.iter().map(|span| (span.kind, span.from, span.until)).collect();
        assert_eq!(seen, [(SpanKind::Paused, 10, 40), (SpanKind::Down, 40, 70), (SpanKind::Down, 80, 200)]);
    }
}
