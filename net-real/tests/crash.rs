//! Servers die all the time, and nothing that was acknowledged is lost.
//!
//! Six writers, each with one session, write to an ensemble of three while servers are killed with SIGKILL, frozen,
//! and restarted: one, two, or all three. Each writer keeps a ledger of what was acknowledged. When the deaths are
//! over, every entry of every ledger must be found on every server, no session may have been lost, and the three
//! trees must be equal, down to the last field of each Stat, at equal zxids.
//!
//! `VIVARIUM_CRASH_SECONDS` says how long (10 by default); `VIVARIUM_CRASH_SEED` repeats the choices of a run, though
//! not, of course, the timing of real processes.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use support::client::{Client, Failure, Result, Ticket, creation};
use support::ensemble::Ensemble;
use support::walk::walk;
use support::{PATIENCE, eventually};
use vivarium_core::api::{MultiOp, MultiResult};
use vivarium_core::error::ErrorCode;

const WRITERS: u64 = 6;
/// How long a writer waits for an answer before it tries another server: some are frozen.
const SILENCE: Duration = Duration::from_secs(1);
/// Nodes a writer keeps before it deletes as many as it creates: the trees have to be walked in the end.
const KEPT_MAX: usize = 400;

#[test]
fn nothing_acknowledged_is_lost_when_servers_are_killed() {
    let seconds = number_from("VIVARIUM_CRASH_SECONDS").unwrap_or(10);
    let seed = number_from("VIVARIUM_CRASH_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.expect("it is after 1970").as_nanos() as u64
    });
    println!("VIVARIUM_CRASH_SEED={seed} VIVARIUM_CRASH_SECONDS={seconds}");

    let mut ensemble = Ensemble::start(3);
    let addresses: Vec<_> = ensemble.nodes.iter().map(|node| node.address).collect();
    prepare(addresses[0]).expect("an ensemble at rest can be written to");
    let acknowledged = AtomicU64::new(0);
    let done = AtomicBool::new(false);

    let ledgers: Vec<Ledger> = std::thread::scope(|scope| {
        // Also when the thread of deaths panics: the writers must end, or the panic would wait for them for ever.
        let end = EndsWriters(&done);
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (addresses, acknowledged, done) = (&addresses, &acknowledged, &done);
                scope.spawn(move || {
                    let dice = Dice(seed ^ (number + 1) << 32);
                    Writer::new(number, addresses, dice, acknowledged, done).run()
                })
            })
            .collect();
        let deaths = reap(&mut ensemble, &acknowledged, Dice(seed), Duration::from_secs(seconds));
        println!("{deaths} deaths and freezes, {} writes acknowledged", acknowledged.load(Ordering::Relaxed));
        drop(end);
        writers.into_iter().map(|writer| writer.join().expect("the writer is content")).collect()
    });

    check_ledgers(&addresses, &ledgers);
    check_equality(&ensemble);
}

/// The first nodes, which every writer needs.
fn prepare(address: SocketAddr) -> Result<()> {
    let mut client = Client::connect(address)?;
    client.create("/seq", b"", 0)?;
    client.create("/w", b"", 0)?;
    for number in 0..WRITERS {
        client.create(&format!("/w/{number}"), b"", 0)?;
        client.create(&format!("/register-{number}"), b"0", 0)?;
    }
    client.close()
}

/// Kills, freezes and restarts until the time is over; gives how often. Between two blows the writers must get
/// something done, so that the ensemble is seen to recover from each.
fn reap(ensemble: &mut Ensemble, acknowledged: &AtomicU64, mut dice: Dice, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut blows = 0;
    while Instant::now() < end {
        await_writes(acknowledged, 20 + dice.below(300));
        blows += 1;
        let first = dice.below(3) as usize;
        let second = (first + 1 + dice.below(2) as usize) % 3;
        match dice.below(8) {
            // A majority is left: it must go on alone.
            0..=2 => {
                ensemble.nodes[first].kill();
                await_writes(acknowledged, dice.below(200));
                ensemble.nodes[first].start();
            }
            // It is back before the others have got over it.
            3 => {
                ensemble.nodes[first].kill();
                ensemble.nodes[first].start();
            }
            4 => {
                ensemble.nodes[first].kill();
                ensemble.nodes[second].kill();
                ensemble.nodes[second].start();
                await_writes(acknowledged, dice.below(200));
                ensemble.nodes[first].start();
            }
            5 => {
                ensemble.nodes.iter_mut().for_each(|node| node.kill());
                ensemble.nodes.iter_mut().for_each(|node| node.start());
            }
            // A leader that stops without dying, and comes back believing that it leads.
            6 => {
                let leader = ensemble.leader();
                ensemble.nodes[leader].signal(Signal::STOP);
                await_writes(acknowledged, 20 + dice.below(100));
                ensemble.nodes[leader].signal(Signal::CONT);
            }
            _ => {
                let leader = ensemble.leader();
                ensemble.nodes[leader].kill();
                await_writes(acknowledged, dice.below(50));
                ensemble.nodes[leader].start();
            }
        }
        for node in &mut ensemble.nodes {
            assert!(node.runs(), "server {} has ended by itself; see {}", node.id, node.log.display());
        }
    }
    ensemble.wait_until_serving();
    await_writes(acknowledged, 100);
    blows
}

fn await_writes(acknowledged: &AtomicU64, more: u64) {
    let goal = acknowledged.load(Ordering::Relaxed) + more;
    let what = format!("{more} more writes are acknowledged");
    eventually(&what, || (acknowledged.load(Ordering::Relaxed) >= goal).then_some(()));
}

/// What one writer was told, and so expects to find.
#[derive(Default)]
struct Ledger {
    present: BTreeMap<String, Vec<u8>>,
    absent: BTreeSet<String>,
    /// Sequential nodes: their data names the writer and the number of the operation.
    sequential: BTreeMap<String, Vec<u8>>,
    register: Register,
    ephemeral: String,
    session: i64,
}

/// One node, changed by compare-and-set alone.
#[derive(Default)]
struct Register {
    path: String,
    /// As last acknowledged or read after a `sync`.
    version: i32,
    data: Vec<u8>,
    /// What was sent and not answered.
    attempt: Option<Vec<u8>>,
}

struct Writer<'a> {
    number: u64,
    addresses: &'a [SocketAddr],
    dice: Dice,
    acknowledged: &'a AtomicU64,
    done: &'a AtomicBool,
    ticket: Ticket,
    ledger: Ledger,
}

impl<'a> Writer<'a> {
    fn new(
        number: u64,
        addresses: &'a [SocketAddr],
        dice: Dice,
        acknowledged: &'a AtomicU64,
        done: &'a AtomicBool,
    ) -> Writer<'a> {
        let register =
            Register { path: format!("/register-{number}"), data: b"0".to_vec(), ..Register::default() };
        let ledger = Ledger { register, ephemeral: format!("/w/{number}/here"), ..Ledger::default() };
        Writer { number, addresses, dice, acknowledged, done, ticket: Ticket::new(60_000), ledger }
    }

    /// Writes until told to stop. The session stays open, so that its ephemeral node can be looked for.
    fn run(mut self) -> Ledger {
        let mut place = self.number as usize % self.addresses.len();
        let mut count = 0;
        let mut patience: Option<Instant> = None;
        loop {
            if self.done.load(Ordering::Relaxed) {
                let since = *patience.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < PATIENCE, "writer {} finds no server to settle with", self.number);
            }
            match self.connection(place, &mut count) {
                Ok(()) => return self.ledger,
                Err(Failure::Lost(_)) => std::thread::sleep(Duration::from_millis(5)), // not to spin while one is down
                Err(failure) => {
                    panic!("writer {} with session {}: {failure}", self.number, self.ticket.session)
                }
            }
            place = self.dice.below(self.addresses.len() as u64) as usize;
        }
    }

    /// Attaches the session and works until told to stop, or until the connection breaks.
    fn connection(&mut self, place: usize, count: &mut u64) -> Result<()> {
        let mut client = Client::attach_within(self.addresses[place], &self.ticket, SILENCE)?;
        self.ticket = client.ticket.clone();
        self.ledger.session = client.ticket.session.0;
        let outcome = self.work(&mut client, count);
        self.ticket = client.ticket.clone();
        outcome
    }

    fn work(&mut self, client: &mut Client, count: &mut u64) -> Result<()> {
        self.settle_register(client)?;
        self.settle_ephemeral(client)?;
        while !self.done.load(Ordering::Relaxed) {
            *count += 1;
            let value = format!("{}.{count}", self.number).into_bytes();
            match self.dice.below(8) {
                0 | 1 => self.create(client, *count, &value)?,
                2 => self.delete(client)?,
                3 => self.replace(client, *count, &value)?,
                4 => self.append(client, &value)?,
                _ => self.set_register(client, &value)?,
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn create(&mut self, client: &mut Client, count: u64, value: &[u8]) -> Result<()> {
        if self.ledger.present.len() >= KEPT_MAX {
            return self.delete(client);
        }
        let path = format!("/w/{}/{count}", self.number);
        assert_eq!(client.create(&path, value, 0)?, path);
        self.ledger.present.insert(path, value.to_vec());
        Ok(())
    }

    /// From the moment it is sent until it is acknowledged, a deletion leaves a node in neither list.
    fn delete(&mut self, client: &mut Client) -> Result<()> {
        let Some((path, _)) = self.ledger.present.pop_first() else { return Ok(()) };
        client.delete(&path)?;
        self.ledger.absent.insert(path);
        Ok(())
    }

    /// A multi: one node for another, both or neither.
    fn replace(&mut self, client: &mut Client, count: u64, value: &[u8]) -> Result<()> {
        let Some((old, _)) = self.ledger.present.pop_first() else { return Ok(()) };
        let new = format!("/w/{}/{count}", self.number);
        let items = vec![
            MultiOp::Create(creation(&new, value, 0)),
            MultiOp::Delete { path: old.clone(), version: 0 },
        ];
        let results = client.multi(items)?;
        assert_eq!(results, [MultiResult::Create(new.clone()), MultiResult::Delete]);
        self.ledger.present.insert(new, value.to_vec());
        self.ledger.absent.insert(old);
        Ok(())
    }

    fn append(&mut self, client: &mut Client, value: &[u8]) -> Result<()> {
        if self.ledger.sequential.len() >= KEPT_MAX {
            let (path, _) = self.ledger.sequential.pop_first().expect("there are many");
            client.delete(&path)?;
            self.ledger.absent.insert(path);
            return Ok(());
        }
        let path = client.create("/seq/n-", value, 2)?;
        assert!(!self.ledger.absent.contains(&path), "{path} was given before");
        let before = self.ledger.sequential.insert(path.clone(), value.to_vec());
        assert_eq!(before, None, "{path} was given twice");
        Ok(())
    }

    /// Compare and set, and then the read back that must show it.
    fn set_register(&mut self, client: &mut Client, value: &[u8]) -> Result<()> {
        let register = &mut self.ledger.register;
        register.attempt = Some(value.to_vec());
        let stat = client.set(&register.path, value, register.version)?;
        assert_eq!(stat.version, register.version + 1);
        register.attempt = None;
        register.version = stat.version;
        register.data = value.to_vec();
        let (data, seen) = client.get(&register.path)?;
        assert_eq!((data.as_deref(), seen), (Some(value), stat), "a session reads what it wrote");
        Ok(())
    }

    /// Finds out whether a set whose answer was lost has happened: the version has risen by one, and the data is what
    /// was sent; or nothing has changed. It cannot happen later: the session has moved to this connection since.
    fn settle_register(&mut self, client: &mut Client) -> Result<()> {
        let register = &mut self.ledger.register;
        client.sync()?;
        let (data, stat) = client.get(&register.path)?;
        let data = data.expect("a register has data").to_vec();
        if stat.version == register.version {
            assert_eq!(data, register.data, "{} at version {}", register.path, stat.version);
        } else {
            assert_eq!(stat.version, register.version + 1, "{}", register.path);
            assert_eq!(
                Some(&data),
                register.attempt.as_ref(),
                "{} at version {}",
                register.path,
                stat.version
            );
        }
        register.attempt = None;
        register.version = stat.version;
        register.data = data;
        Ok(())
    }

    /// The session's ephemeral node is there from the first connection on.
    fn settle_ephemeral(&mut self, client: &mut Client) -> Result<()> {
        match client.create(&self.ledger.ephemeral, b"", 1) {
            Ok(_) | Err(Failure::Refused(ErrorCode::NodeExists)) => {}
            Err(failure) => return Err(failure),
        }
        let stat = client.exists(&self.ledger.ephemeral, false)?.expect("the ephemeral node was created");
        assert_eq!(stat.ephemeral_owner, self.ledger.session);
        Ok(())
    }
}

/// Every server shows what every writer was told.
fn check_ledgers(addresses: &[SocketAddr], ledgers: &[Ledger]) {
    for address in addresses {
        let mut client = Client::connect(*address).expect("the server serves");
        client.sync().expect("the server serves");
        let mut data_of = |path: &str| match client.get(path) {
            Ok((data, stat)) => Some((data.map(|data| data.to_vec()).unwrap_or_default(), stat)),
            Err(Failure::Refused(ErrorCode::NoNode)) => None,
            Err(failure) => panic!("{path} on {address}: {failure}"),
        };
        for ledger in ledgers {
            for (path, data) in ledger.present.iter().chain(&ledger.sequential) {
                let (found, _) =
                    data_of(path).unwrap_or_else(|| panic!("{path} was acknowledged, is not on {address}"));
                assert_eq!(&found, data, "{path} on {address}");
            }
            for path in &ledger.absent {
                assert!(data_of(path).is_none(), "{path} was deleted and is on {address}");
            }
            let Register { path, version, data, .. } = &ledger.register;
            let (found, stat) = data_of(path).expect("registers are never deleted");
            assert_eq!((&found, stat.version), (data, *version), "{path} on {address}");
            let (_, stat) =
                data_of(&ledger.ephemeral).expect("the session lives, so does its ephemeral node");
            assert_eq!(stat.ephemeral_owner, ledger.session);
        }
        client.close().expect("the server serves");
    }
}

/// The three servers show one tree at one zxid.
fn check_equality(ensemble: &Ensemble) {
    let mut walkers: Vec<_> =
        ensemble.nodes.iter().map(|node| Client::connect(node.address).expect("the server serves")).collect();
    let trees: Vec<_> = walkers
        .iter_mut()
        .map(|client| {
            client.sync().expect("the server serves");
            walk(client).expect("the server serves")
        })
        .collect();
    println!("{} nodes in the tree", trees[0].len());
    for (node, tree) in ensemble.nodes.iter().zip(&trees).skip(1) {
        for (path, seen) in tree {
            assert_eq!(Some(seen), trees[0].get(path), "{path} on server {} and on server 1", node.id);
        }
        assert_eq!(tree.len(), trees[0].len(), "server {} has fewer nodes than server 1", node.id);
    }
    for client in walkers {
        client.close().expect("the server serves");
    }
    eventually("all servers are at one zxid", || {
        let zxids: BTreeSet<_> = ensemble.nodes.iter().map(|node| node.srvr("Zxid")).collect();
        (zxids.len() == 1 && !zxids.contains(&None)).then_some(())
    });
    for word in ["zk_znode_count", "zk_ephemerals_count"] {
        let counts: BTreeSet<_> = ensemble.nodes.iter().map(|node| mntr(&node.four("mntr"), word)).collect();
        assert!(counts.len() == 1 && !counts.contains(&None), "{word} differs between servers: {counts:?}");
    }
}

/// One value of the answer to `mntr`.
fn mntr(answer: &Option<String>, key: &str) -> Option<String> {
    let line = answer.as_ref()?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'))?;
    Some(line.to_owned())
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Tells the writers to stop when it is dropped.
struct EndsWriters<'a>(&'a AtomicBool);

impl Drop for EndsWriters<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// SplitMix64: enough to choose by.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }
}
