//! What of a schedule can be edited without knowing what it means: whom a fault hits, how long it lasts, which servers
//! there are. Whoever makes failing schedules smaller works with these.
//!
//! A new kind of fault has to say here what of it is a duration and what names a server.

use crate::choice::{Act, Choice, What};
use crate::schedule::{Choices, Fault, FaultKind, Link, Schedule, Target};
use crate::{NodeIndex, Time};

impl FaultKind {
    /// Whom it hits, where it hits one.
    pub fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            FaultKind::Crash { target, .. }
            | FaultKind::CrashInStep { target, .. }
            | FaultKind::Pause { target, .. }
            | FaultKind::Stall { target, .. }
            | FaultKind::Isolate { target, .. }
            | FaultKind::WallJump { target, .. }
            | FaultKind::MonoJump { target, .. }
            | FaultKind::SlowDisk { target, .. }
            | FaultKind::Wipe { target, .. }
            | FaultKind::Rot { target, .. }
            | FaultKind::SyncFails { target, .. }
            | FaultKind::FullDisk { target, .. }
            | FaultKind::CrashInBoot { target, .. }
            | FaultKind::Retire { target, .. }
            | FaultKind::Disconnect { target } => Some(target),
            FaultKind::CrashAll { .. }
            | FaultKind::Ambush { .. }
            | FaultKind::CrashTogether { .. }
            | FaultKind::Partition { .. }
            | FaultKind::CutLinks { .. }
            | FaultKind::Flap { .. }
            | FaultKind::Stagger { .. }
            | FaultKind::HoldBack { .. }
            | FaultKind::SlowLink { .. } => None,
        }
    }

    /// Its durations: the shorter the simpler.
    pub fn times_mut(&mut self) -> Vec<&mut Time> {
        match self {
            FaultKind::Crash { down, .. }
            | FaultKind::CrashInStep { down, .. }
            | FaultKind::Ambush { down, .. }
            | FaultKind::CrashAll { down }
            | FaultKind::CrashTogether { down, .. }
            | FaultKind::Wipe { down, .. }
            | FaultKind::Rot { down, .. }
            | FaultKind::SyncFails { down, .. }
            | FaultKind::CrashInBoot { down, .. }
            | FaultKind::Retire { down, .. } => vec![down],
            FaultKind::Pause { length, .. }
            | FaultKind::Stall { length, .. }
            | FaultKind::Partition { length, .. }
            | FaultKind::CutLinks { length, .. }
            | FaultKind::Flap { length, .. }
            | FaultKind::FullDisk { length, .. }
            | FaultKind::Isolate { length, .. } => vec![length],
            FaultKind::Stagger { apart, length, .. } => vec![apart, length],
            FaultKind::MonoJump { by, .. } => vec![by],
            FaultKind::SlowLink { extra, length, .. } | FaultKind::SlowDisk { extra, length, .. } => {
                vec![extra, length]
            }
            FaultKind::WallJump { .. } | FaultKind::Disconnect { .. } | FaultKind::HoldBack { .. } => {
                Vec::new()
            }
        }
    }

    /// Faults that do less of the same: fewer links, fewer servers, fewer times.
    pub fn plainer(&self) -> Vec<FaultKind> {
        let fewer_bits = |bits: u8| {
            (0..8).map(move |bit| bits & !(1 << bit)).filter(move |less| *less != bits && *less != 0)
        };
        match self {
            FaultKind::CutLinks { links, length } if links.len() > 1 => (0..links.len())
                .map(|gone| {
                    let mut links = links.clone();
                    links.remove(gone);
                    FaultKind::CutLinks { links, length: *length }
                })
                .collect(),
            FaultKind::Flap { side, both, length, times } => {
                let mut plainer = vec![FaultKind::Partition { side: *side, both: *both, length: *length }];
                if *times > 1 {
                    plainer.push(FaultKind::Flap {
                        side: *side,
                        both: *both,
                        length: *length,
                        times: times - 1,
                    });
                }
                plainer
            }
            FaultKind::CrashTogether { nodes, power, down } if nodes.count_ones() == 1 => {
                let target = Target::Node(nodes.trailing_zeros() as usize);
                vec![FaultKind::Crash { target, power: *power, down: *down }]
            }
            FaultKind::CrashTogether { nodes, power, down } => fewer_bits(*nodes)
                .map(|nodes| FaultKind::CrashTogether { nodes, power: *power, down: *down })
                .collect(),
            FaultKind::Stall { target, length, order } => {
                let mut plainer = vec![FaultKind::Pause { target: *target, length: *length }];
                if order.len() > 1 {
                    plainer.extend((0..order.len()).map(|gone| {
                        let mut order = order.clone();
                        order.remove(gone);
                        FaultKind::Stall { target: *target, length: *length, order }
                    }));
                }
                plainer
            }
            FaultKind::HoldBack { nodes } => {
                fewer_bits(*nodes).map(|nodes| FaultKind::HoldBack { nodes }).collect()
            }
            FaultKind::Partition { side, both: true, length } => {
                vec![FaultKind::Partition { side: *side, both: false, length: *length }]
            }
            FaultKind::Isolate { target, both: true, length } => {
                vec![FaultKind::Isolate { target: *target, both: false, length: *length }]
            }
            FaultKind::Crash { target, power: true, down } => {
                vec![FaultKind::Crash { target: *target, power: false, down: *down }]
            }
            _ => Vec::new(),
        }
    }

    /// How long it goes on: 0 for what is over at once.
    pub fn length(&self) -> Time {
        let mut kind = self.clone();
        kind.times_mut().into_iter().map(|time| *time).max().unwrap_or(0)
    }
}

impl What {
    /// Its durations: the shorter the simpler.
    pub fn times_mut(&mut self) -> Vec<&mut Time> {
        match self {
            What::Message { luck, .. } => {
                let mut times = Vec::new();
                if luck.late > 0 {
                    times.push(&mut luck.late);
                }
                times.extend(luck.again.as_mut());
                times
            }
            What::Sync { extra, .. } => vec![extra],
            What::Client { act: Act::Silence(length) | Act::Away(length), .. } => vec![length],
            What::Client { act: Act::Repeat { every, .. }, .. } => vec![every],
            What::Client { .. } => Vec::new(),
        }
    }
}

impl Schedule {
    /// The choices that it lists; none where they are drawn.
    pub fn listed(&self) -> &[Choice] {
        match &self.choices {
            Choices::Drawn => &[],
            Choices::Listed(choices) => choices,
        }
    }

    /// How many decisions of it differ from a faultless world's: faults, and listed choices.
    pub fn decisions(&self) -> usize {
        self.faults.len() + self.listed().len()
    }

    /// The same without a server: those after it take its place, and what was about it is left out.
    pub fn without_node(&self, gone: NodeIndex) -> Schedule {
        let moved = |node: NodeIndex| match node.cmp(&gone) {
            std::cmp::Ordering::Less => Some(node),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(node - 1),
        };
        let mut schedule = self.clone();
        schedule.nodes -= 1;
        schedule.clocks.remove(gone);
        schedule.move_nodes(&moved);
        schedule
    }

    /// The same with other names for the servers: the one in place `n` goes to place `places[n]`.
    ///
    /// # Panics
    /// When these are not all places.
    pub fn with_nodes_at(&self, places: &[NodeIndex]) -> Schedule {
        let mut schedule = self.clone();
        for (node, place) in places.iter().enumerate() {
            schedule.clocks[*place] = self.clocks[node];
        }
        schedule.move_nodes(&|node| places.get(node).copied());
        schedule
    }

    /// The servers that faults and choices name, by the time at which they first do.
    pub fn nodes_named(&self) -> Vec<NodeIndex> {
        let named = std::cell::RefCell::new(Vec::new());
        let note = |node| {
            let mut named = named.borrow_mut();
            if !named.contains(&node) {
                named.push(node);
            }
            Some(node)
        };
        let mut faults = self.faults.iter().peekable();
        for choice in self.listed() {
            while let Some(fault) = faults.next_if(|fault| fault.at <= choice.at) {
                fault_moved(fault, &note);
            }
            choice_moved(choice, &note);
        }
        faults.for_each(|fault| drop(fault_moved(fault, &note)));
        named.into_inner()
    }

    /// The clients that choices name, by the time at which they first do.
    pub fn clients_named(&self) -> Vec<usize> {
        let mut named = Vec::new();
        for choice in self.listed() {
            if let What::Client { client, .. } = choice.what
                && !named.contains(&client)
            {
                named.push(client);
            }
        }
        named
    }

    /// The same with other names for the clients: the one in place `n` goes to place `places[n]`.
    ///
    /// # Panics
    /// When these are not all places.
    pub fn with_clients_at(&self, places: &[usize]) -> Schedule {
        let mut schedule = self.clone();
        for (client, place) in places.iter().enumerate() {
            schedule.clients[*place] = self.clients[client].clone();
        }
        if let Choices::Listed(choices) = &mut schedule.choices {
            for choice in choices {
                if let What::Client { client, .. } = &mut choice.what {
                    *client = places[*client];
                }
            }
        }
        schedule
    }

    /// Faults and choices with other servers; what is about one that has gone is left out.
    fn move_nodes(&mut self, moved: &impl Fn(NodeIndex) -> Option<NodeIndex>) {
        self.faults = self.faults.iter().filter_map(|fault| fault_moved(fault, moved)).collect();
        if let Choices::Listed(choices) = &mut self.choices {
            *choices = choices.iter().filter_map(|choice| choice_moved(choice, moved)).collect();
        }
    }

    /// The same without a client: those after it take its place.
    pub fn without_client(&self, gone: usize) -> Schedule {
        let mut schedule = self.clone();
        schedule.clients.remove(gone);
        if let Choices::Listed(choices) = &mut schedule.choices {
            choices.retain(|choice| !matches!(choice.what, What::Client { client, .. } if client == gone));
            for choice in choices {
                if let What::Client { client, .. } = &mut choice.what
                    && *client > gone
                {
                    *client -= 1;
                }
            }
        }
        schedule
    }
}

fn fault_moved(fault: &Fault, moved: &impl Fn(NodeIndex) -> Option<NodeIndex>) -> Option<Fault> {
    let mut fault = fault.clone();
    if let Some(Target::Node(node)) = fault.kind.target_mut() {
        *node = moved(*node)?;
    }
    match &mut fault.kind {
        FaultKind::Partition { side: set, .. }
        | FaultKind::Flap { side: set, .. }
        | FaultKind::CrashTogether { nodes: set, .. }
        | FaultKind::HoldBack { nodes: set } => {
            let bits = (0..8).filter(|bit| *set >> bit & 1 == 1);
            *set = bits.filter_map(moved).fold(0, |set, bit| set | 1 << bit);
        }
        FaultKind::CutLinks { links, .. } => {
            *links =
                links.iter().filter_map(|Link(from, to)| Some(Link(moved(*from)?, moved(*to)?))).collect();
        }
        FaultKind::SlowLink { link, .. } => *link = Link(moved(link.0)?, moved(link.1)?),
        FaultKind::Stagger { back, .. } => {
            let renamed = |name: &u8| Some(moved(usize::from(*name) - 1)? as u8 + 1);
            *back = back.iter().filter_map(renamed).collect();
        }
        FaultKind::Stall { order, .. } => {
            let renamed = |name: &u8| match name {
                0 => Some(0),
                name => Some(moved(usize::from(*name) - 1)? as u8 + 1),
            };
            *order = order.iter().filter_map(renamed).collect();
        }
        _ => {}
    }
    Some(fault)
}

fn choice_moved(choice: &Choice, moved: &impl Fn(NodeIndex) -> Option<NodeIndex>) -> Option<Choice> {
    let mut choice = choice.clone();
    match &mut choice.what {
        What::Message { from, to, .. } => {
            *from = moved(*from)?;
            *to = moved(*to)?;
        }
        What::Sync { node, .. } => *node = moved(*node)?,
        What::Client { .. } => {}
    }
    Some(choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::{Luck, MessageKind};

    #[test]
    fn without_a_node_the_others_keep_their_faults() {
        let mut schedule = Schedule { nodes: 3, ..Schedule::draw(1) };
        schedule.clocks.resize(3, schedule.clocks[0]);
        let fault = |kind| Fault { at: 5, kind };
        schedule.faults = vec![
            fault(FaultKind::Disconnect { target: Target::Node(0) }),
            fault(FaultKind::Disconnect { target: Target::Node(1) }),
            fault(FaultKind::Disconnect { target: Target::Node(2) }),
            fault(FaultKind::Disconnect { target: Target::Leader }),
            fault(FaultKind::Partition { side: 0b101, both: true, length: 7 }),
        ];
        let message = |from, to| Choice {
            at: 5,
            what: What::Message { from, to, kind: MessageKind(9), nth: 0, luck: Luck::default() },
        };
        schedule.choices = Choices::Listed(vec![message(0, 1), message(0, 2), message(2, 0)]);
        let smaller = schedule.without_node(1);
        assert_eq!((smaller.nodes, smaller.clocks.len()), (2, 2));
        assert_eq!(smaller.listed(), [message(0, 1), message(1, 0)]);
        let kinds: Vec<_> = smaller.faults.into_iter().map(|fault| fault.kind).collect();
        assert_eq!(
            kinds,
            [
                FaultKind::Disconnect { target: Target::Node(0) },
                FaultKind::Disconnect { target: Target::Node(1) },
                FaultKind::Disconnect { target: Target::Leader },
                FaultKind::Partition { side: 0b11, both: true, length: 7 },
            ]
        );
    }

    #[test]
    fn servers_and_clients_with_other_names_keep_what_is_about_them() {
        let mut schedule = Schedule::plain(1);
        schedule.clocks[2].wall_ms = 7;
        schedule.clients = vec![Default::default(); 2];
        schedule.clients[1].timeout_ms = 77;
        let link = Link(0, 2);
        schedule.faults = vec![
            Fault { at: 5, kind: FaultKind::Partition { side: 0b101, both: true, length: 7 } },
            Fault { at: 6, kind: FaultKind::CutLinks { links: vec![link], length: 7 } },
        ];
        let act = |client| Choice { at: 5, what: What::Client { client, act: Act::Drop } };
        let sync = |node| Choice {
            at: 5,
            what: What::Sync { node, lane: vivarium_core::io::Lane::Log, nth: 0, extra: 1 },
        };
        schedule.choices = Choices::Listed(vec![act(1), sync(2)]);
        let renamed = schedule.with_nodes_at(&[1, 2, 0]).with_clients_at(&[1, 0]);
        assert_eq!(renamed.clocks[0].wall_ms, 7);
        assert_eq!(renamed.clients[0].timeout_ms, 77);
        assert_eq!(renamed.listed(), [act(0), sync(0)]);
        let kinds: Vec<_> = renamed.faults.iter().map(|fault| fault.kind.clone()).collect();
        assert_eq!(
            kinds,
            [
                FaultKind::Partition { side: 0b011, both: true, length: 7 },
                FaultKind::CutLinks { links: vec![Link(1, 0)], length: 7 },
            ]
        );
        assert_eq!((renamed.nodes_named(), renamed.clients_named()), (vec![0, 1], vec![0]));
        assert_eq!(renamed.with_nodes_at(&[2, 0, 1]).with_clients_at(&[1, 0]).faults, schedule.faults);
    }

    #[test]
    fn without_a_client_the_others_keep_what_they_ask() {
        let mut schedule = Schedule::draw(1);
        schedule.clients = vec![schedule.clients[0].clone(); 3];
        let act = |client| Choice { at: 5, what: What::Client { client, act: Act::Drop } };
        schedule.choices = Choices::Listed(vec![act(0), act(1), act(2)]);
        let smaller = schedule.without_client(1);
        assert_eq!(smaller.clients.len(), 2);
        assert_eq!(smaller.listed(), [act(0), act(1)]);
        assert_eq!(smaller.decisions(), smaller.faults.len() + 2);
    }
}
