//! What lasts: processes that are down or stand still, links that are cut, disks that are slow.

use vivarium_sim::network::link_bit;
use vivarium_sim::schedule::FaultKind;
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
        let hit = |kind, length: Time| (kind, length, node.into_iter().collect(), Vec::new());
        let cut = |length: Time, is_cut: &dyn Fn(NodeIndex, NodeIndex) -> bool| {
            (SpanKind::Cut, length, Vec::new(), self.links(is_cut))
        };
        let (span, length, nodes, links): (_, _, Vec<NodeIndex>, _) = match *kind {
            FaultKind::Pause { length, .. } => hit(SpanKind::Paused, length),
            FaultKind::SlowDisk { length, .. } => hit(SpanKind::SlowDisk, length),
            FaultKind::Partition { side, both, length } => cut(length, &|from, to| {
                let (from, to) = (side >> from & 1, side >> to & 1);
                from != to && (both || from == 0)
            }),
            FaultKind::Isolate { both, length, .. } => {
                cut(length, &|from, to| Some(to) == node || (both && Some(from) == node))
            }
            _ => return,
        };
        self.all.push(Span {
            kind: span,
            event,
            from: at,
            until: at.saturating_add(length).min(self.heals_at.max(at)),
            nodes: nodes.into_iter().map(small).collect(),
            links,
            text: format!("{kind:?}"),
        });
    }

    fn links(&self, is_cut: &dyn Fn(NodeIndex, NodeIndex) -> bool) -> Vec<(u8, u8)> {
        let mut seen = 0u64;
        let mut links = Vec::new();
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                if from != to && is_cut(from, to) && seen & link_bit(from, to) == 0 {
                    seen |= link_bit(from, to);
                    links.push((small(from), small(to)));
                }
            }
        }
        links
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
            text: "no process runs".into(),
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
