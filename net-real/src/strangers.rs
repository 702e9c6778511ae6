//! Telling what speaks to a port when it is not a ZooKeeper client.
//!
//! A probe, a browser or a TLS client on the wrong port is common, and "length 1195725856" helps nobody find it.

/// What a connection's first bytes look like, in words for a log line; `None` when they could be anything.
pub fn recognise(bytes: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8]; 9] =
        [b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI "];
    match bytes {
        [0x16, 3, ..] => Some("a TLS client; this port speaks plain text"),
        _ if HTTP.iter().any(|word| bytes.starts_with(word)) => Some("an HTTP client, a browser or a probe"),
        _ if bytes.starts_with(b"SSH-") => Some("an SSH client"),
        _ if bytes.starts_with(PEER_MAGIC) => {
            Some("a Vivarium server; its server.N line names the client port instead of the first peer port")
        }
        _ if bytes.starts_with(b"PROXY") || bytes.starts_with(b"\r\n\r\n") => {
            Some("a load balancer that sends a PROXY header, which is not supported")
        }
        _ if bytes.starts_with(b"*") && bytes.get(2) == Some(&b'\r') => Some("a Redis client"),
        _ if bytes.starts_with(&[0xff, 0xf4, 0xff, 0xfd]) => Some("a telnet that was interrupted"),
        _ => None,
    }
}

/// The first bytes of a connection between peers, after its packet's header.
pub const PEER_MAGIC: &[u8; 8] = b"VIVARIUM";

#[cfg(test)]
mod tests {
    use super::recognise;

    #[test]
    fn strangers_are_told_apart() {
        assert!(recognise(b"GET / HTTP/1.1").unwrap().contains("HTTP"));
        assert!(recognise(&[0x16, 3, 1, 2, 0]).unwrap().contains("TLS"));
        assert!(recognise(b"SSH-2.0-OpenSSH").unwrap().contains("SSH"));
        assert_eq!(recognise(&[0, 0, 0, 45]), None);
        assert_eq!(recognise(b"G"), None);
    }
}
