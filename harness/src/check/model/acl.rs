//! Access control as section 8 describes it.

use std::sync::Arc;

use vivarium_core::api::{Acl, Id};
use vivarium_core::error::ErrorCode;

/// An ACL, and what of it goes for everybody, which is most often all that has to be known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct List {
    pub(super) entries: Arc<[Acl]>,
    everybody: i32,
}

impl List {
    pub(super) fn new(entries: Vec<Acl>) -> List {
        let anyone = Id::anyone();
        let everybody = match entries.is_empty() {
            true => -1,
            false => entries.iter().filter(|e| e.id == anyone).fold(0, |all, entry| all | entry.perms),
        };
        List { entries: entries.into(), everybody }
    }

    /// Whether someone with these identities has one of the permissions.
    pub(super) fn allows(&self, wanted: i32, ids: &[Id]) -> bool {
        self.everybody & wanted != 0 || may(&self.entries, wanted, ids)
    }
}

/// Whether someone with these identities has one of the permissions (section 8.4).
fn may(acl: &[Acl], wanted: i32, ids: &[Id]) -> bool {
    if acl.is_empty() || ids.iter().any(|id| id.scheme == "super") {
        return true;
    }
    for entry in acl {
        if entry.perms & wanted == 0 {
            continue;
        }
        if entry.id == Id::anyone() {
            return true;
        }
        for id in ids {
            let same = match entry.id.scheme.as_str() {
                "ip" => id.scheme == "ip" && in_network(&entry.id.id, &id.id),
                _ => *id == entry.id,
            };
            if same {
                return true;
            }
        }
    }
    false
}

/// The list that is stored for one that a client gave (section 8.3).
pub(super) fn fix(given: Option<&[Acl]>, ids: &[Id]) -> Result<List, ErrorCode> {
    let given = given.unwrap_or(&[]);
    let mut stored: Vec<Acl> = Vec::new();
    let mut seen: Vec<&Acl> = Vec::new();
    for entry in given {
        if seen.contains(&entry) {
            continue;
        }
        seen.push(entry);
        match entry.id.scheme.as_str() {
            "world" if entry.id.id == "anyone" => stored.push(entry.clone()),
            "digest" if entry.id.id.split(':').count() == 2 => stored.push(entry.clone()),
            "ip" if parse(&entry.id.id).is_some() => stored.push(entry.clone()),
            "auth" => {
                let before = stored.len();
                for id in ids.iter().filter(|id| id.scheme == "digest") {
                    stored.push(Acl { perms: entry.perms, id: id.clone() });
                }
                if stored.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if stored.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(List::new(stored)) }
}

/// An IPv4 network as (address, mask). The virtual clients know no other.
fn parse(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?),
        None => (text, 32),
    };
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
    Some((u32::from(address), mask))
}

fn in_network(network: &str, address: &str) -> bool {
    match (parse(network), parse(address)) {
        (Some((network, mask)), Some((address, _))) => network & mask == address & mask,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::api::perms;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }
    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn who_may() {
        let list = [acl(perms::WRITE, "ip", "10.0.0.0/30"), acl(perms::READ, "digest", "bob:x")];
        assert!(may(&list, perms::WRITE, &[id("ip", "10.0.0.3")]));
        assert!(!may(&list, perms::WRITE, &[id("ip", "10.0.0.4")]));
        assert!(!may(&list, perms::READ, &[id("ip", "10.0.0.3")]));
        assert!(may(&list, perms::READ, &[id("ip", "10.0.0.9"), id("digest", "bob:x")]));
        assert!(may(&list, perms::ADMIN, &[id("super", "")]));
        assert!(may(&[acl(perms::READ, "world", "anyone")], perms::READ, &[]));
    }

    #[test]
    fn what_is_stored() {
        let bob = id("digest", "bob:x");
        let stored = fix(Some(&[acl(31, "auth", ""), acl(31, "auth", "")]), &[id("ip", "10.0.0.1"), bob]);
        assert_eq!(stored.unwrap().entries[..], [acl(31, "digest", "bob:x")]);
        for bad in [None, Some(&[][..]), Some(&[acl(31, "auth", "")]), Some(&[acl(1, "world", "x")])] {
            assert_eq!(fix(bad, &[]), Err(ErrorCode::InvalidAcl), "{bad:?}");
        }
    }
}
