//! Making what is left simpler: fewer servers and clients, plain settings, no weather, short and round times.
//!
//! Every candidate is simpler than what it comes from by construction, so that all this comes to an end.

use vivarium_core::api::{Acl, Blob, Data, MultiOp, Op};
use vivarium_core::limits::Limits;
use vivarium_core::time::Duration;
use vivarium_sim::choice::{Act, What};
use vivarium_sim::clock::Clock;
use vivarium_sim::schedule::{Choices, ClientPlan, DiskOdds, NetworkOdds, Target};
use vivarium_sim::{MS, NodeIndex, Schedule, Time, US};

use super::search::Search;

/// Takes away what plays no part in a schedule that lists its choices: the odds of drawing them.
pub fn drop_odds(search: &mut Search<'_>) {
    let mut schedule = Schedule::clone(&search.best());
    for plan in &mut schedule.clients {
        *plan = ClientPlan {
            start: plan.start,
            timeout_ms: plan.timeout_ms,
            dies: plan.dies,
            old: plan.old,
            ..ClientPlan::default()
        };
    }
    let (network, disk) = (schedule.network, schedule.disk);
    schedule.network = NetworkOdds {
        slow_permille: 0,
        slow_mean: 0,
        loss_permille: 0,
        duplicate_permille: 0,
        corrupt_permille: 0,
        stray_kinds: 0,
        stray_permille: 0,
        stray_max: 0,
        ..network
    };
    schedule.disk = DiskOdds { slow_permille: 0, slow_mean: 0, ..disk };
    search.adopt(schedule);
}

/// Names the server that each fault hit, instead of saying how it is to be found.
pub fn name_targets(search: &mut Search<'_>, hit: &[Option<NodeIndex>]) {
    let mut schedule = Schedule::clone(&search.best());
    for (fault, hit) in schedule.faults.iter_mut().zip(hit) {
        if let (Some(target), Some(node)) = (fault.kind.target_mut(), hit) {
            *target = Target::Node(*node);
        }
    }
    search.adopt(schedule);
}

/// Even weather.
pub fn calm_weather(search: &mut Search<'_>) -> bool {
    let base = search.best();
    !base.even && search.adopt(Schedule { even: true, seed: 0, ..Schedule::clone(&base) })
}

/// Fewer servers: three or fewer, if that will do.
pub fn drop_nodes(search: &mut Search<'_>) {
    loop {
        let base = search.best();
        let count = if base.nodes > 1 { base.nodes } else { 0 };
        if search.adopt_first(count, &|place| Some(base.without_node(base.nodes - 1 - place))).is_none() {
            return;
        }
    }
}

/// Fewer clients; where one is needed only to keep another's place, it dies at once.
pub fn drop_clients(search: &mut Search<'_>) {
    loop {
        let base = search.best();
        let count = base.clients.len();
        if search.adopt_first(count, &|place| Some(base.without_client(count - 1 - place))).is_none() {
            break;
        }
    }
    for client in 0..search.best().clients.len() {
        let mut schedule = Schedule::clone(&search.best());
        let choices = schedule.listed().len();
        if let Choices::Listed(listed) = &mut schedule.choices {
            listed.retain(
                |choice| !matches!(choice.what, What::Client { client: other, .. } if other == client),
            );
        }
        if schedule.listed().len() == choices && schedule.clients[client].dies != Some(0) {
            let old = schedule.clients[client].old;
            schedule.clients[client] = ClientPlan { dies: Some(0), old, ..ClientPlan::default() };
            search.adopt(schedule);
        }
    }
}

/// The limits of a plain schedule: large where small ones are drawn to reach corners, and quick elections.
fn plain_limits() -> Limits {
    Limits {
        tick: Duration::millis(100),
        heartbeat: Duration::millis(20),
        silence: Duration::millis(100),
        sync: Duration::millis(500),
        election: Duration::millis(30),
        session_timeout_min_ms: 200,
        session_timeout_max_ms: 2000,
        ..Limits::default()
    }
}

/// One thing about the settings that is made plain.
type Setting = fn(&mut Schedule);

const SETTINGS: &[Setting] = &[
    |s| s.limits = plain_limits(),
    |s| s.clocks.iter_mut().for_each(|clock| *clock = Clock::default()),
    |s| s.shuffle_permille = 0,
    |s| s.wake_lag = 0,
    |s| s.superuser = false,
    |s| s.network = NetworkOdds::default(),
    |s| s.network.ordered = true,
    |s| s.network.partition_loses = true,
    |s| s.network.latency_min = NetworkOdds::default().latency_min,
    |s| s.network.latency_mean = NetworkOdds::default().latency_mean,
    |s| s.disk = DiskOdds::default(),
    |s| s.disk.told_mean = 0,
    |s| s.disk.sync_min = DiskOdds::default().sync_min,
    |s| s.disk.sync_mean = DiskOdds::default().sync_mean,
    |s| {
        let plain = plain_limits();
        let Limits { snapshot_entries, log_window_entries_max, append_entries_max, counter_max, .. } =
            s.limits;
        s.limits =
            Limits { snapshot_entries, log_window_entries_max, append_entries_max, counter_max, ..plain };
    },
    |s| {
        let (plain, small) = (plain_limits(), s.limits.clone());
        s.limits.tick = plain.tick;
        s.limits.heartbeat = plain.heartbeat;
        s.limits.silence = plain.silence;
        s.limits.sync = plain.sync;
        s.limits.election = plain.election;
        s.limits.session_timeout_min_ms = plain.session_timeout_min_ms;
        s.limits.session_timeout_max_ms = plain.session_timeout_max_ms;
        debug_assert_eq!(s.limits.counter_max, small.counter_max);
    },
    |s| s.limits.snapshot_entries = plain_limits().snapshot_entries,
    |s| s.limits.snapshot_bytes = plain_limits().snapshot_bytes,
    |s| s.limits.snapshot_chunk_bytes = plain_limits().snapshot_chunk_bytes,
    |s| s.limits.snapshot_chunks_in_flight_max = plain_limits().snapshot_chunks_in_flight_max,
    |s| s.limits.log_window_entries_max = plain_limits().log_window_entries_max,
    |s| s.limits.log_window_bytes_max = plain_limits().log_window_bytes_max,
    |s| s.limits.follower_in_flight_bytes_max = plain_limits().follower_in_flight_bytes_max,
    |s| s.limits.append_entries_max = plain_limits().append_entries_max,
    |s| s.limits.counter_max = plain_limits().counter_max,
    |s| s.limits.proposals_max = plain_limits().proposals_max,
    |s| s.clients.iter_mut().for_each(|plan| plan.start = 0),
    |s| s.clients.iter_mut().for_each(|plan| plan.old = false),
    |s| s.clients.iter_mut().for_each(|plan| plan.timeout_ms = 1000),
];

/// Plain settings, one after the other. `only_first`: the ones that take whole groups, no details.
pub fn plain_settings(search: &mut Search<'_>) {
    let mut from = 0;
    // What was refused once may do after others were made plain: but one round is nearly always enough.
    while from < SETTINGS.len() {
        let base = search.best();
        let adopted = search.adopt_first(SETTINGS.len() - from, &|place| {
            let mut schedule = Schedule::clone(&base);
            SETTINGS[from + place](&mut schedule);
            (!same_settings(&schedule, &base)).then_some(schedule)
        });
        match adopted {
            Some(place) => from += place + 1,
            None => break,
        }
    }
    for node in 0..search.best().nodes {
        let base = search.best();
        if base.clocks[node] != Clock::default() {
            let mut schedule = Schedule::clone(&base);
            schedule.clocks[node] = Clock::default();
            search.adopt(schedule);
        }
    }
    for client in 0..search.best().clients.len() {
        let base = search.best();
        if base.clients[client].dies.is_some_and(|dies| dies > 0) {
            let mut schedule = Schedule::clone(&base);
            schedule.clients[client].dies = None;
            search.adopt(schedule);
        }
    }
}

fn same_settings(one: &Schedule, two: &Schedule) -> bool {
    one.limits == two.limits
        && one.clocks == two.clocks
        && one.shuffle_permille == two.shuffle_permille
        && one.wake_lag == two.wake_lag
        && one.superuser == two.superuser
        && one.network == two.network
        && one.disk == two.disk
        && one.clients == two.clients
}

/// All faults end earlier: right after the last decision, or not long after the violation.
pub fn heal_earlier(search: &mut Search<'_>) {
    let base = search.best();
    let last = quiet_from(&base);
    let after_violation = ceil(search.report().at + 1, 100 * MS);
    let mut wanted = vec![ceil(last + 1, 100 * MS), ceil(last + 300 * MS, 100 * MS)];
    wanted.extend([1, 2, 3].map(|quarters| ceil(base.chaos * quarters / 4, 100 * MS)));
    wanted.push(after_violation);
    wanted.retain(|chaos| *chaos < base.chaos);
    wanted.sort();
    wanted.dedup();
    search.adopt_first(wanted.len(), &|place| {
        Some(Schedule { chaos: wanted[place], ..Schedule::clone(&base) })
    });
}

/// When the last decision is over.
pub fn quiet_from(schedule: &Schedule) -> Time {
    let choices = schedule.listed().iter().map(|choice| match choice.what {
        What::Client { act: Act::Repeat { times, every, .. }, .. } => choice.at + Time::from(times) * every,
        _ => choice.at,
    });
    schedule.faults.iter().map(|fault| fault.at + fault.kind.length()).chain(choices).max().unwrap_or(0)
}

/// The next multiple of a unit.
pub fn ceil(time: Time, unit: Time) -> Time {
    time.div_ceil(unit) * unit
}

/// Nothing happens for long between two decisions: all that comes later comes earlier.
pub fn close_gaps(search: &mut Search<'_>) {
    /// The width of a time bucket: a shift by a multiple of it keeps messages' places in theirs.
    const BUCKET: Time = 8 * MS;
    let times = |schedule: &Schedule| {
        let mut times: Vec<Time> = schedule.faults.iter().map(|fault| fault.at).collect();
        times.extend(schedule.listed().iter().map(|choice| choice.at));
        times.sort();
        times.dedup();
        times
    };
    for place in 0..times(&search.best()).len() {
        let base = search.best();
        let times = times(&base);
        let Some(&at) = times.get(place) else { return };
        let before = if place == 0 { 0 } else { times[place - 1] };
        let gap = at - before;
        let mut shifts: Vec<Time> = [20 * MS, 100 * MS, 200 * MS, 400 * MS, gap / 2]
            .iter()
            .filter(|left| **left < gap)
            .map(|left| (gap - left) / BUCKET * BUCKET)
            .filter(|shift| *shift > 0)
            .collect();
        shifts.dedup();
        search.adopt_first(shifts.len(), &|chosen| {
            let mut schedule = Schedule::clone(&base);
            let shift = shifts[chosen];
            for fault in schedule.faults.iter_mut().filter(|fault| fault.at >= at) {
                fault.at -= shift;
            }
            if let Choices::Listed(choices) = &mut schedule.choices {
                for choice in choices.iter_mut().filter(|choice| choice.at >= at) {
                    choice.at -= shift;
                }
            }
            schedule.chaos = schedule.chaos.saturating_sub(shift).max(100 * MS);
            Some(schedule)
        });
    }
}

/// Short and round times, for each decision that is left.
pub fn round_times(search: &mut Search<'_>) {
    for place in 0..search.best().faults.len() {
        let lengths = search.best().faults[place].kind.clone().times_mut().len();
        for length in 0..lengths {
            shrink_time(search, &|schedule| schedule.faults[place].kind.times_mut().remove(length));
        }
        round_time(search, &|schedule| &mut schedule.faults[place].at);
    }
    for place in 0..search.best().listed().len() {
        let lengths = search.best().listed()[place].what.clone().times_mut().len();
        for length in 0..lengths {
            shrink_time(search, &|schedule| listed(schedule, place).what.times_mut().remove(length));
        }
        round_time(search, &|schedule| &mut listed(schedule, place).at);
    }
    sort(search);
}

/// Faults that do less of the same.
pub fn plain_faults(search: &mut Search<'_>) {
    for place in 0..search.best().faults.len() {
        loop {
            let base = search.best();
            let plainer = base.faults[place].kind.plainer();
            let adopted = search.adopt_first(plainer.len(), &|chosen| {
                let mut schedule = Schedule::clone(&base);
                schedule.faults[place].kind = plainer[chosen].clone();
                Some(schedule)
            });
            if adopted.is_none() {
                break;
            }
        }
    }
}

/// Choices and faults by time: rounding may have put two in another order.
fn sort(search: &mut Search<'_>) {
    let base = search.best();
    let sorted =
        base.listed().is_sorted_by_key(|choice| choice.at) && base.faults.is_sorted_by_key(|fault| fault.at);
    if sorted {
        return;
    }
    let mut schedule = Schedule::clone(&base);
    schedule.faults.sort_by_key(|fault| fault.at);
    if let Choices::Listed(choices) = &mut schedule.choices {
        choices.sort_by_key(|choice| choice.at);
    }
    search.adopt(schedule);
}

fn listed(schedule: &mut Schedule, place: usize) -> &mut vivarium_sim::Choice {
    match &mut schedule.choices {
        Choices::Listed(choices) => &mut choices[place],
        Choices::Drawn => unreachable!("a schedule that is made smaller lists its choices"),
    }
}

type Access<'a> = &'a (dyn Fn(&mut Schedule) -> &mut Time + Sync);

/// A shorter and rounder duration: the first of a few that will do.
fn shrink_time(search: &mut Search<'_>, access: Access<'_>) {
    let base = search.best();
    let now = *access(&mut Schedule::clone(&base));
    let mut wanted: Vec<Time> = [US, MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS].to_vec();
    wanted.extend([now / 2 / MS * MS, now * 3 / 4 / MS * MS, now / (10 * MS) * (10 * MS), now / MS * MS]);
    wanted.retain(|time| *time > 0 && *time < now);
    wanted.sort();
    wanted.dedup();
    search.adopt_first(wanted.len(), &|place| {
        let mut schedule = Schedule::clone(&base);
        *access(&mut schedule) = wanted[place];
        Some(schedule)
    });
}

/// A moment that is a multiple of as large a unit as will do.
fn round_time(search: &mut Search<'_>, access: Access<'_>) {
    let base = search.best();
    let now = *access(&mut Schedule::clone(&base));
    let mut wanted: Vec<Time> = Vec::new();
    for unit in [100 * MS, 50 * MS, 10 * MS, 5 * MS, MS, 100 * US] {
        if now.is_multiple_of(unit) {
            break;
        }
        wanted.push(now / unit * unit);
        wanted.push(now / unit * unit + unit);
    }
    search.adopt_first(wanted.len(), &|place| {
        let mut schedule = Schedule::clone(&base);
        *access(&mut schedule) = wanted[place];
        Some(schedule)
    });
}

/// Fewer repeats: what is asked again and again is asked less often, or once.
pub fn fewer_repeats(search: &mut Search<'_>) {
    for place in 0..search.best().listed().len() {
        let base = search.best();
        let What::Client { client, act: Act::Repeat { op, times, every } } = &base.listed()[place].what
        else {
            continue;
        };
        let mut wanted = vec![1, 2, 3, 5, 10, 20, 50, times / 2, times * 3 / 4, times.saturating_sub(1)];
        wanted.retain(|fewer| (1..*times).contains(fewer) || *fewer == 1);
        wanted.sort_unstable();
        wanted.dedup();
        search.adopt_first(wanted.len(), &|chosen| {
            let mut schedule = Schedule::clone(&base);
            let act = match wanted[chosen] {
                1 => Act::Ask(op.clone()),
                times => Act::Repeat { op: op.clone(), times, every: *every },
            };
            listed(&mut schedule, place).what = What::Client { client: *client, act };
            Some(schedule)
        });
    }
}

/// Requests without what plays no part: data, access control, watches, parts of a multi.
pub fn simplify_requests(search: &mut Search<'_>) {
    for place in 0..search.best().listed().len() {
        loop {
            let base = search.best();
            let What::Client { act: Act::Ask(op) | Act::Repeat { op, .. }, .. } = &base.listed()[place].what
            else {
                break;
            };
            let simpler = simpler_requests(op);
            let adopted = search.adopt_first(simpler.len(), &|chosen| {
                let mut schedule = Schedule::clone(&base);
                if let What::Client { act: Act::Ask(op) | Act::Repeat { op, .. }, .. } =
                    &mut listed(&mut schedule, place).what
                {
                    *op = simpler[chosen].clone();
                }
                Some(schedule)
            });
            if adopted.is_none() {
                break;
            }
        }
    }
}

fn simpler_requests(op: &Op) -> Vec<Op> {
    let mut simpler = Vec::new();
    match op {
        Op::Create(create) => {
            let mut candidate = |change: &dyn Fn(&mut vivarium_core::api::Create)| {
                let mut create = create.clone();
                change(&mut create);
                simpler.push(Op::Create(create));
            };
            candidate(&|create| {
                create.flags = 0;
                create.acl = Some(Acl::open());
                create.stat = false;
                create.data = None;
            });
            candidate(&|create| create.flags = 0);
            candidate(&|create| create.acl = Some(Acl::open()));
            candidate(&|create| create.stat = false);
            for data in simpler_data(&create.data) {
                candidate(&|create| create.data = data.clone());
            }
        }
        Op::Delete { path, version } if *version != -1 => {
            simpler.push(Op::Delete { path: path.clone(), version: -1 });
        }
        Op::SetData { path, data, version } => {
            simpler.push(Op::SetData { path: path.clone(), data: data.clone(), version: -1 });
            simpler.extend(simpler_data(data).into_iter().map(|data| Op::SetData {
                path: path.clone(),
                data,
                version: *version,
            }));
        }
        Op::SetAcl { path, acl, .. } => {
            simpler.push(Op::SetAcl { path: path.clone(), acl: acl.clone(), version: -1 });
            simpler.push(Op::SetAcl { path: path.clone(), acl: Some(Acl::open()), version: -1 });
        }
        Op::GetData { path, .. } => simpler.push(Op::GetData { path: path.clone(), watch: false }),
        Op::Exists { path, .. } => simpler.push(Op::Exists { path: path.clone(), watch: false }),
        Op::GetChildren { path, watch, .. } => {
            simpler.push(Op::GetChildren { path: path.clone(), watch: false, stat: false });
            simpler.push(Op::GetChildren { path: path.clone(), watch: *watch, stat: false });
        }
        Op::Multi(parts) => {
            for place in (0..parts.len()).rev() {
                let mut parts = parts.clone();
                parts.remove(place);
                simpler.push(Op::Multi(parts));
            }
            if let [MultiOp::Create(create)] = &parts[..] {
                simpler.push(Op::Create(create.clone()));
            }
        }
        _ => {}
    }
    simpler.retain(|candidate| candidate != op);
    simpler
}

fn simpler_data(data: &Data) -> Vec<Data> {
    match data {
        None => Vec::new(),
        Some(bytes) if bytes.len() > 1 => vec![None, Some(Blob::new(b"x"))],
        Some(_) => vec![None],
    }
}
