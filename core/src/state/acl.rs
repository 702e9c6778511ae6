//! Access control: what an ACL list becomes when it is stored, what it allows, what it shows, and one shared copy of
//! each distinct list. Who a connection is (auth packets, the superuser's password) is not decided here.

use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{Acl, Id, perms};
use crate::error::ErrorCode;
use crate::hash::{hash64, words64};

/// Turns the list of a create or a setACL into the one to store: section 8.3 of the protocol.
///
/// # Errors
/// `InvalidAcl` when the list is null, empty or comes to nothing, or an entry is not one that its scheme accepts.
pub(super) fn fix_up<'a>(list: Option<&'a [Acl]>, ids: &[Id]) -> Result<Cow<'a, [Acl]>, ErrorCode> {
    let list = list.filter(|list| !list.is_empty()).ok_or(ErrorCode::InvalidAcl)?;
    let stored_as_given =
        |(index, acl): (usize, &Acl)| acl.id.scheme != "auth" && !list[..index].contains(acl);
    if list.iter().enumerate().all(stored_as_given) {
        return if list.iter().all(|acl| is_valid(&acl.id)) {
            Ok(Cow::Borrowed(list))
        } else {
            Err(ErrorCode::InvalidAcl)
        };
    }
    let mut stored = Vec::new();
    for (index, acl) in list.iter().enumerate() {
        if list[..index].contains(acl) {
            continue;
        }
        if acl.id.scheme == "auth" {
            let before = stored.len();
            let known = ids.iter().filter(|id| proves_identity(id));
            stored.extend(known.map(|id| Acl { perms: acl.perms, id: id.clone() }));
            if stored.len() == before {
                return Err(ErrorCode::InvalidAcl);
            }
        } else if is_valid(&acl.id) {
            stored.push(acl.clone());
        } else {
            return Err(ErrorCode::InvalidAcl);
        }
    }
    Ok(Cow::Owned(stored))
}

/// Whether `ids` hold any of the permission bits `wanted` under `acl`: section 8.4.
pub(super) fn allows(acl: &[Acl], wanted: i32, ids: &[Id]) -> bool {
    acl.is_empty() || is_super(ids) || acl.iter().any(|acl| acl.perms & wanted != 0 && is_met(&acl.id, ids))
}

/// The list as a caller may see it: without ADMIN, digest hashes are hidden. Section 8.5.
pub(super) fn shown(acl: &Arc<[Acl]>, ids: &[Id]) -> Arc<[Acl]> {
    if allows(acl, perms::ADMIN, ids) || acl.iter().all(|acl| acl.id.scheme != "digest") {
        return acl.clone();
    }
    let hide = |acl: &Acl| {
        let mut acl = acl.clone();
        if acl.id.scheme == "digest" {
            let user = acl.id.id.split(':').next().unwrap_or_default();
            acl.id.id = format!("{user}:x");
        }
        acl
    };
    acl.iter().map(hide).collect()
}

/// A list in [`AclTable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AclId(u32);

/// Every distinct list in use, once, with the number of nodes that have it.
#[derive(Clone, Debug, Default)]
pub(super) struct AclTable {
    lists: Vec<Shared>,
    free: Vec<AclId>,
    ids: BTreeMap<Arc<[Acl]>, AclId>,
    /// The one that was asked for last: most nodes have the list of the node before.
    last: usize,
}

#[derive(Clone, Debug)]
struct Shared {
    list: Arc<[Acl]>,
    hash: u64,
    users: u64,
}

impl AclTable {
    /// Counts one more user of a list.
    pub(super) fn intern(&mut self, list: &[Acl]) -> AclId {
        if let Some(shared) = self.lists.get_mut(self.last)
            && shared.users > 0
            && *shared.list == *list
        {
            shared.users += 1;
            return AclId(self.last as u32);
        }
        let id = self.find_or_add(list);
        self.last = id.0 as usize;
        id
    }

    fn find_or_add(&mut self, list: &[Acl]) -> AclId {
        if let Some(&id) = self.ids.get(list) {
            self.lists[id.0 as usize].users += 1;
            return id;
        }
        let list: Arc<[Acl]> = list.into();
        let shared = Shared { hash: hash_of(&list), list: list.clone(), users: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.lists[id.0 as usize] = shared;
                id
            }
            None => {
                self.lists.push(shared);
                AclId(u32::try_from(self.lists.len() - 1).expect("there are fewer lists than nodes"))
            }
        };
        self.ids.insert(list, id);
        id
    }

    /// Counts one user less; a list without users is forgotten.
    pub(super) fn release(&mut self, id: AclId) {
        let shared = &mut self.lists[id.0 as usize];
        shared.users -= 1;
        if shared.users == 0 {
            let list = std::mem::take(&mut shared.list);
            assert_eq!(self.ids.remove(&list), Some(id), "a list is found under its content");
            self.free.push(id);
        }
    }

    pub(super) fn get(&self, id: AclId) -> &Arc<[Acl]> {
        &self.lists[id.0 as usize].list
    }

    pub(super) fn hash(&self, id: AclId) -> u64 {
        self.lists[id.0 as usize].hash
    }

    /// Number of distinct lists in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// A list's part in the digest.
pub(super) fn hash_of(list: &[Acl]) -> u64 {
    list.iter().fold(list.len() as u64, |hash, acl| {
        let scheme = hash64(0, acl.id.scheme.as_bytes());
        let id = hash64(0, acl.id.id.as_bytes());
        words64(hash, [acl.perms as u64, scheme, id])
    })
}

fn is_super(ids: &[Id]) -> bool {
    ids.iter().any(|id| id.scheme == "super")
}

/// Whether an entry's scheme accepts its id. Schemes that no one can prove here (sasl, x509) are refused rather than
/// stored as locks without a key, and so is `super`.
fn is_valid(id: &Id) -> bool {
    match id.scheme.as_str() {
        "world" => id.id == "anyone",
        // Empty parts at the end do not count, as in ZooKeeper: `user:` is refused.
        "digest" => id.id.trim_end_matches(':').split(':').count() == 2,
        "ip" => Network::parse(&id.id).is_some(),
        _ => false,
    }
}

/// Whether `auth` in an ACL stands for this identity of a connection: an address proves nothing, and `super` is never
/// stored.
fn proves_identity(id: &Id) -> bool {
    !matches!(id.scheme.as_str(), "ip" | "world" | "super")
}

fn is_met(wanted: &Id, ids: &[Id]) -> bool {
    match wanted.scheme.as_str() {
        "world" => wanted.id == "anyone",
        "ip" => Network::parse(&wanted.id).is_some_and(|network| {
            let addresses = ids.iter().filter(|id| id.scheme == "ip");
            addresses.flat_map(|id| id.id.parse()).any(|address| network.holds(address))
        }),
        _ => ids.contains(wanted),
    }
}

/// An address, or `address/bits`, of either family. An IPv4 address inside an IPv6 one is the IPv4 address.
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        if bits > width {
            return None;
        }
        match address.to_canonical() {
            IpAddr::V4(v4) if width == 128 && bits >= 96 => {
                Some(Network { address: v4.into(), bits: bits - 96 })
            }
            _ => Some(Network { address, bits }),
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let differs = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        self.bits <= differs.leading_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    fn acl(perms: i32, scheme: &str, name: &str) -> Acl {
        Acl { perms, id: id(scheme, name) }
    }

    #[test]
    fn fix_up_refuses_what_cannot_be_met() {
        for list in [
            None,
            Some(vec![]),
            Some(vec![acl(31, "world", "everyone")]),
            Some(vec![acl(31, "super", "")]),
            Some(vec![acl(31, "sasl", "bob")]),
            Some(vec![acl(31, "digest", "bob")]),
            Some(vec![acl(31, "digest", "bob:")]),
            Some(vec![acl(31, "digest", "a:b:c")]),
            Some(vec![acl(31, "ip", "10.0.0.256")]),
            Some(vec![acl(31, "ip", "10.0.0.0/33")]),
            Some(vec![acl(31, "ip", "10.0.0.0/-1")]),
            Some(vec![acl(31, "ip", "10.0.0.0/")]),
            Some(vec![acl(31, "auth", "")]),
            Some(vec![acl(31, "world", "anyone"), acl(1, "auth", "")]),
        ] {
            let ids = [id("ip", "10.0.0.1"), id("super", "")];
            assert_eq!(fix_up(list.as_deref(), &ids), Err(ErrorCode::InvalidAcl), "{list:?}");
        }
    }

    #[test]
    fn fix_up_expands_auth_and_drops_copies() {
        let ids = [id("ip", "10.0.0.1"), id("digest", "a:1"), id("digest", "b:2"), id("super", "")];
        let list = [acl(3, "auth", "ignored"), acl(1, "world", "anyone"), acl(1, "world", "anyone")];
        let stored = fix_up(Some(&list), &ids).expect("valid");
        assert_eq!(*stored, [acl(3, "digest", "a:1"), acl(3, "digest", "b:2"), acl(1, "world", "anyone")]);
    }

    #[test]
    fn perms_are_kept_as_given() {
        for perms in [0, 255, -1] {
            let list = [acl(perms, "world", "anyone")];
            assert_eq!(*fix_up(Some(&list), &[]).expect("valid"), list);
        }
    }

    #[test]
    fn networks() {
        for (wanted, address, met) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.0.0/16", "10.1.2.3", true),
            ("10.1.0.0/16", "10.2.2.3", false),
            ("10.1.0.0/15", "10.0.2.3", true),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::5", true),
            ("fd00::/8", "fe12::5", false),
            ("::1", "::1", true),
            ("::/0", "fe80::1", true),
            ("10.1.2.3", "::ffff:10.1.2.3", true),
            ("::ffff:10.1.0.0/112", "10.1.2.3", true),
            ("::ffff:10.1.0.0/112", "10.2.2.3", false),
            ("10.1.2.3", "not an address", false),
        ] {
            let list = [acl(1, "ip", wanted)];
            assert!(fix_up(Some(&list), &[]).is_ok(), "{wanted}");
            assert_eq!(allows(&list, perms::READ, &[id("ip", address)]), met, "{wanted} {address}");
        }
    }

    #[test]
    fn only_a_held_bit_counts_and_super_passes() {
        let list = [acl(perms::READ | perms::ADMIN, "digest", "a:1")];
        assert!(allows(&list, perms::READ, &[id("digest", "a:1")]));
        assert!(!allows(&list, perms::WRITE, &[id("digest", "a:1")]));
        assert!(!allows(&list, perms::READ, &[id("digest", "a:2")]));
        assert!(!allows(&list, perms::READ, &[]));
        assert!(allows(&list, perms::WRITE, &[id("super", "")]));
    }

    #[test]
    fn hashes_are_hidden_without_admin() {
        let list: Arc<[Acl]> =
            [acl(perms::ADMIN, "digest", "a:1"), acl(perms::READ, "world", "anyone")].into();
        assert_eq!(*shown(&list, &[]), [acl(perms::ADMIN, "digest", "a:x"), acl(1, "world", "anyone")]);
        assert_eq!(*shown(&list, &[id("digest", "a:1")]), *list);
    }

    #[test]
    fn lists_are_shared_and_forgotten() {
        let mut table = AclTable::default();
        let open = table.intern(&Acl::open());
        assert_eq!(table.intern(&Acl::open()), open);
        let other = table.intern(&[acl(1, "world", "anyone")]);
        assert_eq!(table.len(), 2);
        table.release(other);
        assert_eq!(table.len(), 1);
        assert_eq!(table.intern(&[acl(2, "world", "anyone")]), other);
        table.release(open);
        table.release(open);
        assert_eq!(table.len(), 1);
    }
}
