//! What a reader types.

use anyhow::{Result, bail};

use super::condition::Condition;

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// So many events on,
    Next(u64),
    /// or back.
    Back(u64),
    /// To this event.
    Goto(Place),
    /// To the next, or the last, event that meets this.
    Find { condition: Condition, back: bool },
    /// On to the next event that meets one of the conditions of `break`.
    Go,
    /// Remember a condition; without one, tell them.
    Break(Option<Condition>),
    /// Forget one of them.
    Delete(usize),
    /// The event, whole.
    Show,
    /// The events around.
    List(u64),
    /// Every node's state.
    State,
    /// What one node holds: its tree and its sessions.
    Node(u8),
    /// Two nodes side by side.
    Diff(u8, u8),
    /// The chain of causes that leads here.
    Why,
    /// What there is to type.
    Help,
    /// The end.
    Quit,
}

/// Where to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The event of this number.
    Event(u64),
    /// Where a property was found broken.
    Violation,
    /// The last event.
    End,
}

/// What `help` says.
pub const HELP: &str = "\
  n [K]          on by one event, or K; Enter repeats
  p [K]          back by one event, or K
  g EVENT        to an event; also `g violation` and `g end`
  / CONDITION    on to the next event that meets it; `? CONDITION` goes back
  break COND     remember a condition; `c` goes on to the next event that meets one; `break` tells them
  delete N       forget the Nth of them
  show           the event, whole
  list [K]       K events before and after
  state          every node: role, epoch, log, what it has committed and executed
  state NODE     what a node holds: its tree and its sessions
  diff A B       two nodes side by side: what differs
  why            the chain of causes that leads here
  q              the end

  A condition is node=1, client=0, disk=1, kind=receive, session=0x2a, path=/a, zxid=2:7, fate (something happened
  to it on its way), or words of the event; several are joined by &&.";

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// What is not understood, and what is wanted.
    pub fn parse(text: &str) -> Result<Command> {
        let (word, rest) = match text.split_once(char::is_whitespace) {
            Some((word, rest)) => (word, rest.trim()),
            None => match text.chars().next() {
                Some(sign @ ('/' | '?')) if text.len() > 1 => {
                    (&text[..sign.len_utf8()], &text[sign.len_utf8()..])
                }
                _ => (text, ""),
            },
        };
        Ok(match word {
            "n" | "next" => Command::Next(count(rest, 1)?),
            "p" | "prev" | "back" => Command::Back(count(rest, 1)?),
            "g" | "goto" => Command::Goto(place(rest)?),
            "/" | "find" => Command::Find { condition: Condition::parse(rest)?, back: false },
            "?" => Command::Find { condition: Condition::parse(rest)?, back: true },
            "c" | "continue" => Command::Go,
            "b" | "break" if rest.is_empty() => Command::Break(None),
            "b" | "break" => Command::Break(Some(Condition::parse(rest)?)),
            "delete" => Command::Delete(number(rest)?),
            "show" => Command::Show,
            "l" | "list" => Command::List(count(rest, 5)?),
            "s" | "state" if rest.is_empty() => Command::State,
            "s" | "state" => Command::Node(server(rest)?),
            "diff" => match rest.split_once(char::is_whitespace) {
                Some((one, other)) => Command::Diff(server(one)?, server(other.trim())?),
                None => bail!("`diff A B` is wanted: two servers"),
            },
            "w" | "why" => Command::Why,
            "h" | "help" => Command::Help,
            "q" | "quit" | "exit" => Command::Quit,
            other => bail!("`{other}` is not known; `help` tells what there is"),
        })
    }
}

fn count(text: &str, default: u64) -> Result<u64> {
    if text.is_empty() { Ok(default) } else { number(text) }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow::anyhow!("a number is wanted, not `{text}`"))
}

fn server(text: &str) -> Result<u8> {
    let name: u8 = number(text.trim_start_matches('n'))?;
    match name.checked_sub(1) {
        Some(place) => Ok(place),
        None => bail!("servers are counted from 1"),
    }
}

fn place(text: &str) -> Result<Place> {
    Ok(match text {
        "violation" => Place::Violation,
        "end" => Place::End,
        event => Place::Event(number(event.trim_start_matches('#'))?),
    })
}
