//! Reading trace files. They come from people too: each mistake is told with its line and what was wanted there.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use vivarium_core::io::Lane;
use vivarium_sim::choice::{Act, Luck, MessageKind, REPEATS_MAX, What};
use vivarium_sim::schedule::{Choices, ClientPlan, DiskOdds, Fault, NetworkOdds, Sabotage};
use vivarium_sim::{Choice, Schedule, Time, times};

use super::print::notation;
use super::settings::apply;
use super::{FORMAT, Trace};
use crate::end::Incompatible;

/// No more servers than this.
const NODES_MAX: usize = vivarium_sim::network::NODES_MAX;
/// No more clients than this: each has an address of its own.
const CLIENTS_MAX: usize = 60;

/// The world's own misdeeds by name.
const SABOTAGES: [(&str, Sabotage); 5] = [
    ("early-sync", Sabotage::EarlySync),
    ("swapped-replies", Sabotage::SwappedReplies),
    ("lost-notifications", Sabotage::LostNotifications),
    ("forged-data", Sabotage::ForgedData),
    ("mute", Sabotage::Mute),
];

/// The name of a misdeed.
pub(super) fn sabotage_name(kind: Sabotage) -> &'static str {
    SABOTAGES.iter().find(|(_, known)| *known == kind).map_or("?", |(name, _)| name)
}

/// What has been read so far.
struct Reader {
    story: Vec<String>,
    format: Option<u32>,
    expect: Option<Option<String>>,
    hash: Option<u64>,
    seed: Option<u64>,
    drawn: bool,
    schedule: Schedule,
    choices: Vec<Choice>,
}

impl Trace {
    /// Reads a trace file's text.
    ///
    /// # Errors
    /// Which line is wrong, how, and what is wanted.
    pub fn parse(text: &str) -> Result<Trace> {
        let mut reader = Reader {
            story: Vec::new(),
            format: None,
            expect: None,
            hash: None,
            seed: None,
            drawn: false,
            schedule: Schedule::plain(0),
            choices: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(story) = line.strip_prefix('#') {
                reader.story.push(story.strip_prefix(' ').unwrap_or(story).to_owned());
            } else if !line.is_empty() {
                reader.line(line).with_context(|| format!("line {}: {}", number + 1, shortened(line)))?;
            }
        }
        reader.end()
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(timed) = line.strip_prefix('@') {
            ensure!(
                !self.drawn,
                "`drawn` says that all choices are drawn from the seed; leave one of the two out"
            );
            let (at, what) = split(timed);
            return self.timed(time(at)?, what);
        }
        let (word, rest) = split(line);
        if self.format.is_none() {
            ensure!(word == "format", "`format {FORMAT}` is wanted before all else");
            let format = number(rest)?;
            let wanted =
                || Incompatible(format!("format {FORMAT} is wanted; record the run again for another"));
            ensure!(format == FORMAT, wanted());
            self.format = Some(format);
            return Ok(());
        }
        match word {
            "expect" => {
                self.expect = Some(match split(rest) {
                    ("clean", "") => None,
                    ("violation", property) if !property.is_empty() => Some(property.to_owned()),
                    _ => bail!("`expect clean` or `expect violation PROPERTY` is wanted"),
                });
            }
            "hash" => {
                let hash = u64::from_str_radix(rest, 16).context("16 hexadecimal digits are wanted")?;
                self.hash = Some(hash);
            }
            "seed" => self.seed = Some(number(rest)?),
            "drawn" => self.draw(rest)?,
            other => self.setting(other, rest)?,
        }
        Ok(())
    }

    fn draw(&mut self, rest: &str) -> Result<()> {
        ensure!(rest.is_empty(), "nothing is wanted behind `drawn`");
        ensure!(
            self.choices.is_empty() && self.schedule.faults.is_empty(),
            "`drawn` stands before all choices"
        );
        let seed = self.seed.context("`seed` is wanted before `drawn`")?;
        self.schedule = Schedule { sabotage: self.schedule.sabotage, ..Schedule::draw(seed) };
        self.drawn = true;
        Ok(())
    }

    fn setting(&mut self, word: &str, rest: &str) -> Result<()> {
        let schedule = &mut self.schedule;
        match word {
            "nodes" => {
                let nodes: usize = number(rest)?;
                ensure!((1..=NODES_MAX).contains(&nodes), "1 to {NODES_MAX} servers are possible");
                schedule.nodes = nodes;
                schedule.clocks.resize(nodes, vivarium_sim::clock::Clock::default());
            }
            "chaos" => schedule.chaos = time(rest)?,
            "weather" => {
                schedule.even = match rest {
                    "even" => true,
                    "seeded" => false,
                    _ => bail!("`weather even` or `weather seeded` is wanted"),
                }
            }
            "limits" => schedule.limits = apply(rest, &schedule.limits)?,
            "network" => schedule.network = apply(rest, &NetworkOdds::default())?,
            "disk" => schedule.disk = apply(rest, &DiskOdds::default())?,
            "clock" => {
                let (node, pairs) = split(rest);
                let node = server(node, schedule.nodes)?;
                schedule.clocks[node] = apply(pairs, &schedule.clocks[node])?;
            }
            "superuser" => schedule.superuser = true,
            "shuffle" => schedule.shuffle_permille = number(rest)?,
            "wake-lag" => schedule.wake_lag = time(rest)?,
            "events-max" => schedule.events_max = number(rest)?,
            "client" => {
                let (name, pairs) = split(rest);
                let client: usize = number(name)?;
                let next = schedule.clients.len();
                ensure!(client == next, "client {next} is wanted: they are numbered from 0 without gaps");
                ensure!(client < CLIENTS_MAX, "at most {CLIENTS_MAX} clients are possible");
                schedule.clients.push(apply(pairs, &ClientPlan::default())?);
            }
            "sabotage" => {
                let known = SABOTAGES.iter().find(|(name, _)| *name == rest);
                let names = SABOTAGES.map(|(name, _)| name).join(", ");
                schedule.sabotage = Some(known.with_context(|| format!("one of {names} is wanted"))?.1);
            }
            other => bail!(
                "`{other}` is not known; there are format, expect, hash, seed, drawn, nodes, chaos, weather, limits, \
                 network, disk, clock, superuser, shuffle, wake-lag, events-max, client, sabotage, and @TIME"
            ),
        }
        Ok(())
    }

    fn timed(&mut self, at: Time, line: &str) -> Result<()> {
        let (word, rest) = split(line);
        let nodes = self.schedule.nodes;
        let what = match word {
            "fault" => {
                let kind = notated(rest)?;
                self.schedule.faults.push(Fault { at, kind });
                return Ok(());
            }
            "message" => message(rest, nodes)?,
            "sync" => sync(rest, nodes)?,
            "client" => client(rest, self.schedule.clients.len())?,
            other => bail!("`fault`, `message`, `sync` or `client` is wanted behind the time, not `{other}`"),
        };
        self.choices.push(Choice { at, what });
        Ok(())
    }

    fn end(mut self) -> Result<Trace> {
        ensure!(self.format.is_some(), "it is empty; `format {FORMAT}` is wanted");
        let expect = self.expect.context("no `expect clean` or `expect violation PROPERTY`")?;
        self.schedule.seed = self.seed.context("no `seed N`")?;
        if !self.drawn {
            self.choices.sort_by_key(|choice| choice.at);
            self.schedule.faults.sort_by_key(|fault| fault.at);
            self.schedule.choices = Choices::Listed(self.choices);
        }
        Ok(Trace { story: self.story, schedule: self.schedule, drawn: self.drawn, expect, hash: self.hash })
    }
}

/// `1>2 Propose#0 lost late=3ms again=1ms`
fn message(line: &str, nodes: usize) -> Result<What> {
    let (link, rest) = split(line);
    let (from, to) = link.split_once('>').context("`FROM>TO` is wanted, as 1>2")?;
    let (from, to) = (server(from, nodes)?, server(to, nodes)?);
    ensure!(from != to, "a message is for another server");
    let (which, fate) = split(rest);
    let (kind, nth) = which.split_once('#').context("`KIND#N` is wanted, as Propose#0")?;
    let kind = MessageKind::named(kind)
        .with_context(|| format!("the kinds of messages are {}", MessageKind::NAMES.join(", ")))?;
    let mut luck = Luck::default();
    for word in fate.split_whitespace() {
        match word.split_once('=') {
            None if word == "lost" => luck.lost = true,
            None if word == "corrupt" => luck.corrupt = true,
            Some(("late", length)) => luck.late = time(length)?,
            Some(("again", after)) => luck.again = Some(time(after)?),
            _ => bail!("`lost`, `corrupt`, `late=TIME` or `again=TIME` is wanted, not `{word}`"),
        }
    }
    ensure!(luck != Luck::default(), "`lost`, `corrupt`, `late=TIME` or `again=TIME` is wanted");
    Ok(What::Message { from, to, kind, nth: number(nth)?, luck })
}

/// `1 Log#0 late=3ms`
fn sync(line: &str, nodes: usize) -> Result<What> {
    let (node, rest) = split(line);
    let (which, late) = split(rest);
    let (lane, nth) = which.split_once('#').context("`LANE#N` is wanted, as Log#0")?;
    let lane = match lane {
        "Log" => Lane::Log,
        "Snapshot" => Lane::Snapshot,
        _ => bail!("the lanes are Log and Snapshot"),
    };
    let extra = time(late.strip_prefix("late=").context("`late=TIME` is wanted")?)?;
    Ok(What::Sync { node: server(node, nodes)?, lane, nth: number(nth)?, extra })
}

/// `0 asks Ping`, `0 drops`, ...
fn client(line: &str, clients: usize) -> Result<What> {
    let (name, rest) = split(line);
    let client: usize = number(name)?;
    ensure!(client < clients, "client {client} is not announced by a line `client {client}` above");
    let (verb, rest) = split(rest);
    let act = match verb {
        "asks" => Act::Ask(notated(rest)?),
        "drops" => Act::Drop,
        "haunts" => Act::Haunt,
        "moves" => Act::Move,
        "impersonates" => Act::Impersonate,
        _ => match verb.split_once('=') {
            Some(("silent", length)) => Act::Silence(time(length)?),
            Some(("away", length)) => Act::Away(time(length)?),
            Some(("repeats", count)) => repeat(count, rest)?,
            _ => bail!(
                "`asks OP`, `repeats=N every=TIME OP`, `drops`, `moves`, `silent=TIME`, `away=TIME`, `haunts` or \
                 `impersonates` is wanted"
            ),
        },
    };
    Ok(What::Client { client, act })
}

/// `50` and `every=1ms Ping`
fn repeat(count: &str, rest: &str) -> Result<Act> {
    let times = number(count)?;
    ensure!((1..=REPEATS_MAX).contains(&times), "1 to {REPEATS_MAX} times are possible");
    let (every, op) = split(rest);
    let every = every.strip_prefix("every=").context("`repeats=N every=TIME OP` is wanted")?;
    Ok(Act::Repeat { op: notated(op)?, times, every: time(every)? })
}

fn notated<T: DeserializeOwned>(text: &str) -> Result<T> {
    notation()
        .from_str(text)
        .map_err(|error| anyhow!("at column {} of `{}`: {}", column(&error), shortened(text), error.code))
}

fn column(error: &ron::error::SpannedError) -> usize {
    error.span.start.col
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow!("a number is wanted, not `{}`", shortened(text)))
}

fn time(text: &str) -> Result<Time> {
    times::parse(text).map_err(|error| anyhow!(error))
}

fn server(text: &str, nodes: usize) -> Result<usize> {
    let name: usize = number(text)?;
    ensure!((1..=nodes).contains(&name), "the servers are 1 to {nodes}, and `nodes N` stands above them");
    Ok(name - 1)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
