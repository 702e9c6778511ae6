//! The list of known bugs that the rules come from, by name, and the README's table of what became of each.

use anyhow::{Context, Result, bail, ensure};

/// The entries, by the component of ZAB or of the service that they are about. `ZK` are ZOOKEEPER-nnnn, other capitals
/// are other projects' issues; `GEN` are rules of the protocol without one single report.
pub const ENTRIES: [&str; 67] = [
    // Election and discovery.
    "ZK-1732",
    "ZK-3109",
    "ZK-131",
    "ZK-261",
    "ZK-1419",
    "GEN-36",
    "ZK-1343",
    "ZK-1270",
    "ZK-1653",
    "ZK-582a",
    "GEN-30",
    "GEN-05",
    // Synchronization.
    "ZK-1154",
    "ZK-2678",
    "TLA-2",
    "ZK-1489",
    "ZK-4394",
    "ZK-2845",
    "ZK-3104",
    "ZK-2355",
    "TLA-3",
    "NEBULA-2483",
    "ZK-3911",
    "ZK-4712",
    "ZK-2418",
    // Broadcast and commit.
    "GEN-12",
    "GEN-13",
    "GEN-32",
    "GEN-28",
    "ZK-108",
    "ZK-1863",
    "GEN-01",
    "GEN-09",
    "GEN-11",
    // Disk and snapshots.
    "ZK-2247",
    "ZK-3231",
    "BRAFT-119",
    "GEN-02",
    "GEN-26",
    "GEN-03",
    "ZK-2325",
    "ZK-3082",
    "ZK-3144",
    // Sessions and ephemerals.
    "CH-121361",
    "ZK-2926",
    "ZK-417",
    "ZK-3471",
    "ZK-1366",
    "GEN-16",
    "CH-65198",
    "GEN-33",
    // Watches.
    "ZK-4475",
    "ZK-1412",
    "ETCD-8411",
    "GEN-20",
    "GEN-18",
    // Multi, sequential names, ACLs, reads.
    "ZK-3127",
    "ZK-1624",
    "ZK-1046",
    "GEN-22",
    "ZK-3306",
    "ETCD-20418",
    "GEN-34",
    // Reconfiguration and observers.
    "ZK-3829",
    "ZK-2212",
    "OPENRAFT-1808",
    "ZK-764",
];

/// What a rule's `entry` may say besides: a bug that this project itself once had, or one of neither kind.
pub const OTHERS: [&str; 2] = ["own", "other"];

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There are rules.
    Planted,
    /// There is no such thing here that could be wrong.
    NotApplicable,
    /// It can be planted, and nobody could tell.
    Equivalent,
}

/// Reads the table of `harness/bugs/README.md`: rows of an entry, a verdict, and what there is to say.
///
/// # Errors
/// Names the row that is none.
pub fn verdicts(readme: &str) -> Result<Vec<(&str, Verdict)>> {
    let mut verdicts = Vec::new();
    for row in readme.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [entry, verdict, argument] = cells[..] else { bail!("not three cells: {row}") };
        let entry = ENTRIES.into_iter().find(|known| *known == entry);
        let entry = entry.with_context(|| format!("not in the list of entries: {row}"))?;
        ensure!(!argument.is_empty(), "no argument: {row}");
        let verdict = match verdict {
            "rule" => Verdict::Planted,
            "not applicable" => Verdict::NotApplicable,
            "equivalent" => Verdict::Equivalent,
            other => bail!("`rule`, `not applicable` or `equivalent`, not {other:?}: {row}"),
        };
        verdicts.push((entry, verdict));
    }
    Ok(verdicts)
}
