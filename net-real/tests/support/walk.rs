//! The whole tree as one server shows it, for comparing servers.

use std::collections::BTreeMap;

use vivarium_core::api::{Acl, Data, Stat};

use super::client::{Client, Result};

/// Everything a client can learn about a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Its data.
    pub data: Data,
    /// Its metadata, all eleven fields.
    pub stat: Stat,
    /// Its access control list.
    pub acl: Vec<Acl>,
}

/// Reads every node below and including the root. The tree must be at rest.
pub fn walk(client: &mut Client) -> Result<BTreeMap<String, Seen>> {
    let mut tree = BTreeMap::new();
    let mut open = vec![String::from("/")];
    while let Some(path) = open.pop() {
        let (names, _) = client.children(&path)?;
        for name in names {
            open.push(if path == "/" { format!("/{name}") } else { format!("{path}/{name}") });
        }
        let (data, stat) = client.get(&path)?;
        let acl = client.acl(&path)?;
        tree.insert(path, Seen { data, stat, acl });
    }
    Ok(tree)
}
