//! Which events to stop at: `node=2 && kind=receive`, `path=/a`, or any words of the line.

use anyhow::{Result, bail};

use crate::recording::{Event, Kind, Lane};

/// What an event has to meet: all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Term {
    Lane(Lane),
    Kind(Kind),
    Session(i64),
    Path(String),
    Zxid(u64),
    Fate,
    Words(String),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is not understood, and what is wanted.
    pub fn parse(text: &str) -> Result<Condition> {
        let terms = text.split("&&").map(|term| term_of(term.trim())).collect::<Result<Vec<_>>>()?;
        Ok(Condition { text: text.to_owned(), terms })
    }

    /// Whether an event meets it.
    pub fn holds(&self, event: &Event) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Lane(lane) => event.lane == *lane,
            Term::Kind(kind) => event.kind == *kind,
            Term::Session(session) => event.sessions.contains(session),
            Term::Path(path) => event.paths.iter().any(|known| known == path),
            Term::Zxid(zxid) => event.zxids.is_some_and(|(first, last)| (first..=last).contains(zxid)),
            Term::Fate => event.fate.is_some(),
            Term::Words(words) => event.text.to_lowercase().contains(words),
        })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn term_of(term: &str) -> Result<Term> {
    let Some((key, value)) = term.split_once('=') else {
        return match term {
            "" => bail!(
                "a condition is wanted: node=1, client=0, disk=1, kind=receive, session=0x.., path=/a, zxid=2:7, fate, or words of the event; joined by &&"
            ),
            "fate" => Ok(Term::Fate),
            words => Ok(Term::Words(words.to_lowercase())),
        };
    };
    let number = |what: &str| -> Result<u64> {
        value.parse().map_err(|_| anyhow::anyhow!("{what} is wanted after `{key}=`, not `{value}`"))
    };
    Ok(match key.trim() {
        "node" | "disk" => {
            let name = number("a server, counted from 1,")?;
            let Some(place) = name.checked_sub(1).and_then(|place| u8::try_from(place).ok()) else {
                bail!("servers are counted from 1");
            };
            if key.trim() == "node" { Term::Lane(Lane::Node(place)) } else { Term::Lane(Lane::Disk(place)) }
        }
        "client" => Term::Lane(Lane::Client(u32::try_from(number("a client, counted from 0,")?)?)),
        "kind" => match Kind::ALL.iter().find(|kind| kind.name() == value) {
            Some(kind) => Term::Kind(*kind),
            None => bail!("the kinds are {}", Kind::ALL.map(Kind::name).join(", ")),
        },
        "session" => match i64::from_str_radix(value.trim_start_matches("0x"), 16) {
            Ok(session) => Term::Session(session),
            Err(_) => bail!("a session is wanted in hexadecimal, as session=0x2a, not `{value}`"),
        },
        "path" => Term::Path(value.to_owned()),
        "zxid" => Term::Zxid(zxid(value)?),
        other => {
            bail!("`{other}` is not known; there are node, client, disk, kind, session, path, zxid and fate")
        }
    })
}

/// `2:7`, or all of it in hexadecimal.
fn zxid(text: &str) -> Result<u64> {
    let read = match text.split_once(':') {
        Some((epoch, counter)) => epoch.parse::<u32>().ok().zip(counter.parse::<u32>().ok()),
        None => {
            let whole = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
            whole.map(|zxid| ((zxid >> 32) as u32, zxid as u32))
        }
    };
    match read {
        Some((epoch, counter)) => Ok(u64::from(epoch) << 32 | u64::from(counter)),
        None => bail!("a zxid is wanted, as zxid=2:7 or zxid=0x200000007, not `{text}`"),
    }
}
