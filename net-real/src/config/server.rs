//! Addresses, and the `server.N` lines of an ensemble (section 10.1 of the protocol).
//!
//! Names stay names: they are resolved at each dial, never here, so that a host may move while the server runs.

use std::fmt;

/// A host, by name or number, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// 0 asks the system for any free one, where that makes sense.
    pub port: u16,
}

/// One voter of the ensemble.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Where the other servers reach it: the first port of the line.
    pub peer: HostPort,
    /// The second port, which ZooKeeper elects its leaders on. Nothing listens there; tools expect to see it.
    pub election_port: Option<u16>,
    /// Where clients reach it, if the line says so. No host: all interfaces.
    pub client: Option<ClientListen>,
}

/// Where clients are listened for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientListen {
    /// `None` is every interface, of IPv4 and IPv6 alike where the machine has both.
    pub host: Option<String>,
    /// 0 asks the system for any free one.
    pub port: u16,
}

/// What a `server.N` line is expected to look like, for messages.
pub const SERVER_FORM: &str = "host:2888:3888[:participant][;[address:]2181], IPv6 addresses in brackets";

/// Parses the value of a `server.N` line. What is accepted without effect goes to `warn`.
pub fn parse_server(value: &str, mut warn: impl FnMut(String)) -> Result<Server, String> {
    let mut parts = value.split(';').map(str::trim);
    let addresses = parts.next().unwrap_or_default();
    let client = parts.next().unwrap_or_default();
    let secure = parts.next().unwrap_or_default();
    if parts.next().is_some() {
        return Err(format!("too many ';': {SERVER_FORM}"));
    }
    let mut addresses = addresses.split('|').map(str::trim);
    let (peer, election_port, mut role) = parse_address(addresses.next().unwrap_or_default())?;
    for other in addresses {
        let (other, _, other_role) = parse_address(other)?;
        role = role.or(other_role);
        warn(format!(
            "several addresses of one server are not supported yet: {peer} is used, {other} is not"
        ));
    }
    match role.map(str::to_ascii_lowercase).as_deref() {
        None | Some("participant") => {}
        Some("observer") => {
            return Err("observers are not supported yet: make it a participant or take the line out".into());
        }
        Some(other) => return Err(format!("{other:?} is not a role: participant is the only one")),
    }
    let client = match client {
        "" if !secure.is_empty() => {
            return Err("TLS is not supported yet, and the line names no plain client port".into());
        }
        "" => None,
        text => Some(parse_client(text)?),
    };
    if !secure.is_empty() {
        warn(format!("TLS is not supported yet: nothing listens on the secure client port {secure}"));
    }
    Ok(Server { peer, election_port, client })
}

/// A peer address: host, first port, second port, role.
fn parse_address(text: &str) -> Result<(HostPort, Option<u16>, Option<&str>), String> {
    let (host, rest) = split_host(text)?;
    let mut fields = rest.split(':').map(str::trim);
    let port = fields.next().unwrap_or_default();
    let peer = HostPort { host: host.to_owned(), port: parse_port(port, 1)? };
    let second = fields.next();
    let third = fields.next();
    if fields.next().is_some() {
        return Err(format!("too many ':': {SERVER_FORM}"));
    }
    // host:2888:participant, with the second port left out, can be told by its first letter.
    match (second, third) {
        (Some(role), None) if role.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((peer, None, Some(role)))
        }
        (second, role) => Ok((peer, second.map(|port| parse_port(port, 1)).transpose()?, role)),
    }
}

/// `[address:]port`.
fn parse_client(text: &str) -> Result<ClientListen, String> {
    if text.contains(':') {
        let (host, port) = split_host(text)?;
        Ok(ClientListen { host: Some(host.to_owned()), port: parse_port(port, 0)? })
    } else {
        Ok(ClientListen { host: None, port: parse_port(text, 0)? })
    }
}

/// The host, and what follows the colon after it.
fn split_host(text: &str) -> Result<(&str, &str), String> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or("a '[' is not closed")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("{host:?} in brackets is not an IPv6 address"));
            }
            (host, rest.strip_prefix(':').ok_or_else(|| format!("a port is missing: {SERVER_FORM}"))?)
        }
        None => text.split_once(':').ok_or_else(|| format!("a port is missing: {SERVER_FORM}"))?,
    };
    let host = host.trim();
    if host.is_empty() {
        return Err(format!("the host is missing: {SERVER_FORM}"));
    }
    Ok((host, rest.trim()))
}

fn parse_port(text: &str, smallest: u16) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port >= smallest)
        .ok_or_else(|| format!("{text:?} is not a port from {smallest} to 65535: {SERVER_FORM}"))
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ClientListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.clone().unwrap_or_else(|| "0.0.0.0".into());
        HostPort { host, port: self.port }.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(value: &str) -> Server {
        let mut warnings = Vec::new();
        let server = parse_server(value, |text| warnings.push(text)).expect("a good line");
        assert_eq!(warnings, Vec::<String>::new());
        server
    }

    #[track_caller]
    fn bad(value: &str, message: &str) {
        let error = parse_server(value, |_| {}).expect_err("a bad line");
        assert!(error.contains(message), "{error}");
    }

    fn host_port(host: &str, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    #[test]
    fn every_form() {
        let plain = Server { peer: host_port("zoo1.example", 2888), election_port: Some(3888), client: None };
        assert_eq!(good("zoo1.example:2888:3888"), plain);
        assert_eq!(good(" zoo1.example : 2888 : 3888 "), plain);
        assert_eq!(good("zoo1.example:2888:3888:participant"), plain);
        assert_eq!(good("zoo1.example:2888:3888:PARTICIPANT"), plain);
        assert_eq!(good("zoo1.example:2888"), Server { election_port: None, ..plain.clone() });
        assert_eq!(good("zoo1.example:2888:participant"), Server { election_port: None, ..plain.clone() });
        let client = |host: Option<&str>| Some(ClientListen { host: host.map(Into::into), port: 2181 });
        assert_eq!(good("zoo1.example:2888:3888;2181").client, client(None));
        assert_eq!(good("zoo1.example:2888:3888:participant;2181").client, client(None));
        assert_eq!(good("zoo1.example:2888:3888;0.0.0.0:2181").client, client(Some("0.0.0.0")));
        assert_eq!(good("zoo1.example:2888:3888;[::]:2181").client, client(Some("::")));
        let six = good("[fe80::1]:2888:3888;[::1]:2181");
        assert_eq!(six.peer, host_port("fe80::1", 2888));
        assert_eq!(six.peer.to_string(), "[fe80::1]:2888");
        assert_eq!(six.client, client(Some("::1")));
    }

    #[test]
    fn accepted_with_a_warning() {
        let mut warnings = Vec::new();
        let server = parse_server("a:1:2|b:3:4:participant;2181;2281", |text| warnings.push(text)).unwrap();
        assert_eq!(server.peer, host_port("a", 1));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("b:3"));
        assert!(warnings[1].contains("2281"));
    }

    #[test]
    fn bad_lines() {
        bad("", "a port is missing");
        bad("host", "a port is missing");
        bad(":2888:3888", "the host is missing");
        bad("host:x:3888", "\"x\" is not a port");
        bad("host:0:3888", "\"0\" is not a port");
        bad("host:2888:65536", "\"65536\" is not a port");
        bad("host:2888:3888:voter", "\"voter\" is not a role");
        bad("host:2888:3888:observer;2181", "observers are not supported yet");
        bad("host:2888|b:1:2:observer", "observers are not supported yet");
        bad("host:2888:3888:participant:x", "too many ':'");
        bad("host:2888:3888;1;2;3", "too many ';'");
        bad("host:2888:3888;x", "\"x\" is not a port");
        bad("host:2888:3888;;2281", "TLS is not supported yet");
        bad("fe80::1:2888:3888", "is not a port");
        bad("[fe80::1:2888:3888", "not closed");
        bad("[host]:2888:3888", "not an IPv6 address");
        bad("[::1]", "a port is missing");
    }
}
