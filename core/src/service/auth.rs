//! Who a client is: its address, and what it proves with auth packets (sections 8.2 and 8.6 of the protocol).
//!
//! What identities allow is the state's business.

use core::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::api::Id;

/// The identity that comes with a connection. An IPv4 address is one, also when the socket speaks IPv6.
pub(super) fn address_id(address: IpAddr) -> Id {
    Id { scheme: "ip".into(), id: address.to_canonical().to_string() }
}

/// The identities that an auth packet proves; `None` when it is refused.
pub(super) fn authenticate(
    scheme: Option<&str>,
    token: Option<&[u8]>,
    super_digest: Option<&str>,
) -> Option<Vec<Id>> {
    let token = token?;
    match scheme? {
        "digest" => Some(digest(token, super_digest)),
        // The address is known without it.
        "ip" => Some(Vec::new()),
        _ => None,
    }
}

/// Adds identities to those of a connection; one it has already stays one.
pub(super) fn add(ids: &mut Arc<[Id]>, proven: Vec<Id>) {
    for id in proven {
        if !ids.contains(&id) {
            *ids = ids.iter().cloned().chain([id]).collect();
        }
    }
}

/// `user:base64(sha1(user:password))`. All of the token is hashed, and the user is what precedes its first colon:
/// everything, when there is none.
fn digest(token: &[u8], super_digest: Option<&str>) -> Vec<Id> {
    let user = token.split(|byte| *byte == b':').next().unwrap_or_default();
    let mut encoded = [0; 28];
    STANDARD.encode_slice(Sha1::digest(token), &mut encoded).expect("20 bytes become 28");
    let encoded = str::from_utf8(&encoded).expect("base64 is text");
    let id = [&String::from_utf8_lossy(user), ":", encoded].concat();
    let mut ids = Vec::with_capacity(2);
    if super_digest == Some(id.as_str()) {
        ids.push(Id { scheme: "super".into(), id: String::new() });
    }
    ids.push(Id { scheme: "digest".into(), id });
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(scheme: &str, token: &[u8], super_digest: Option<&str>) -> Option<Vec<(String, String)>> {
        let ids = authenticate(Some(scheme), Some(token), super_digest)?;
        Some(ids.into_iter().map(|id| (id.scheme, id.id)).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(scheme, id)| (scheme.to_string(), id.to_string())).collect())
    }

    #[test]
    fn digests_are_zookeepers() {
        let bob = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=";
        let user1 = "user1:+owfoSBn/am19roBPzR1/MfCblE=";
        assert_eq!(proven("digest", b"bob:pw", None), pairs(&[("digest", bob)]));
        assert_eq!(proven("digest", b"user1:12345", None), pairs(&[("digest", user1)]));
    }

    #[test]
    fn the_user_ends_at_the_first_colon_and_all_is_hashed() {
        let id = |token: &[u8]| proven("digest", token, None).expect("any token will do")[0].1.clone();
        assert!(id(b"a:b:c").starts_with("a:"));
        assert_ne!(id(b"a:b:c"), id(b"a:b"));
        assert!(id(b"alone").starts_with("alone:"));
        assert!(id(b"").starts_with(':'));
        assert!(id(b"\xff:x").starts_with('\u{fffd}'));
    }

    #[test]
    fn the_superuser_is_told_by_the_whole_digest() {
        let bob = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=";
        assert_eq!(proven("digest", b"bob:pw", Some(bob)), pairs(&[("super", ""), ("digest", bob)]));
        assert_eq!(proven("digest", b"bob:PW", Some(bob)).map(|ids| ids.len()), Some(1));
        let other_user = "super:ikIaKsbtGweaHnb/jKn7OHqbunM=";
        assert_eq!(proven("digest", b"bob:pw", Some(other_user)), pairs(&[("digest", bob)]));
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        assert_eq!(proven("ip", b"10.0.0.1", None), pairs(&[]));
        for scheme in ["world", "auth", "super", "x509", "sasl", "Digest", "", "none"] {
            assert_eq!(proven(scheme, b"bob:pw", None), None, "{scheme}");
        }
        assert_eq!(authenticate(None, Some(b"bob:pw"), None), None);
        assert_eq!(authenticate(Some("digest"), None, None), None);
    }

    #[test]
    fn an_identity_is_held_once() {
        let mut ids: Arc<[Id]> = [address_id([10, 0, 0, 1].into())].into();
        for _ in 0..2 {
            add(&mut ids, digest(b"bob:pw", None));
        }
        add(&mut ids, digest(b"eve:pw", None));
        assert_eq!(ids.iter().map(|id| id.scheme.as_str()).collect::<Vec<_>>(), ["ip", "digest", "digest"]);
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        let id = |address: &str| address_id(address.parse().expect("a literal address")).id;
        assert_eq!(id("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(id("10.1.2.3"), "10.1.2.3");
        assert_eq!(id("::1"), "::1");
    }
}
