//! Which snapshots and segments may be deleted: a decision about names, so that a simulated disk and a real one
//! take the same.

use crate::ids::Zxid;
use crate::record::FileName;

/// What is not needed to start from any of the `retain` newest snapshots.
///
/// `snapshots` are those that are whole; `segments` are (number, where the history ended before it), ascending. The
/// segment that spans the oldest snapshot kept is kept, and all after it; the last one always is.
pub fn purgeable(snapshots: &[Zxid], segments: &[(u64, Zxid)], retain: usize) -> Vec<FileName> {
    assert!(retain > 0, "without a snapshot the log cannot be purged");
    let mut newest_first = snapshots.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let Some(&oldest_kept) = newest_first.get(retain.min(newest_first.len()).wrapping_sub(1)) else {
        return Vec::new();
    };
    // With fewer snapshots than wanted, the log is still kept from its beginning: it is the last resort.
    let needed_from = if newest_first.len() < retain {
        0
    } else {
        segments.iter().rposition(|(_, last)| *last <= oldest_kept).unwrap_or(0)
    };
    let old_snapshots = newest_first.iter().skip(retain).map(|zxid| FileName::Snapshot(*zxid));
    let old_segments = segments[..needed_from].iter().map(|(number, _)| FileName::Segment(*number));
    // Snapshots first: a crash in between must not leave a snapshot whose log is gone, which looks like one that
    // could be used.
    old_snapshots.chain(old_segments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENTS: [(u64, Zxid); 4] = [(1, Zxid(0)), (2, Zxid(10)), (4, Zxid(20)), (5, Zxid(30))];

    #[test]
    fn the_segment_that_spans_the_oldest_kept_snapshot_stays() {
        let purge = |snapshots: &[u64], retain| {
            let snapshots: Vec<Zxid> = snapshots.iter().map(|zxid| Zxid(*zxid)).collect();
            purgeable(&snapshots, &SEGMENTS, retain).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(purge(&[], 3), [""; 0]);
        assert_eq!(purge(&[15, 25], 3), [""; 0]);
        assert_eq!(purge(&[15, 25, 35], 3), ["log-0000000001"]);
        assert_eq!(purge(&[20, 25, 35], 3), ["log-0000000001", "log-0000000002"]);
        assert_eq!(
            purge(&[35, 5, 19, 25, 30], 3),
            ["snapshot-0000000000000013", "snapshot-0000000000000005", "log-0000000001", "log-0000000002"]
        );
        assert_eq!(purge(&[99], 1), ["log-0000000001", "log-0000000002", "log-0000000004"]);
    }
}
