//! The smallest names: who is named first is server 1, and client 0, where that makes no difference to the failure.

use super::search::Search;

/// More than this many ways to name all are not tried.
const WAYS_MAX: usize = 24;

/// Names servers and clients in the order in which they are first named, as far as it fails like that.
pub fn rename(search: &mut Search<'_>) {
    let base = search.best();
    let ways = smaller_names(base.nodes, &base.nodes_named());
    search.adopt_first(ways.len(), &|place| Some(base.with_nodes_at(&ways[place])));
    let base = search.best();
    let ways = smaller_names(base.clients.len(), &base.clients_named());
    search.adopt_first(ways.len(), &|place| Some(base.with_clients_at(&ways[place])));
}

/// Where to put each of so many, so that the names in this order are smaller than they are: the smallest first.
fn smaller_names(count: usize, named: &[usize]) -> Vec<Vec<usize>> {
    if count > 5 || named.iter().enumerate().all(|(nth, name)| nth == *name) {
        return Vec::new();
    }
    let mut ways = vec![Vec::new()];
    for _ in 0..count {
        ways = ways
            .iter()
            .flat_map(|way: &Vec<usize>| {
                let free = (0..count).filter(|place| !way.contains(place));
                free.map(|place| way.iter().copied().chain([place]).collect()).collect::<Vec<_>>()
            })
            .collect();
    }
    let names = |way: &[usize]| named.iter().map(|name| way[*name]).collect::<Vec<_>>();
    ways.retain(|way| names(way).as_slice() < named);
    ways.sort_by_key(|way| (names(way), way.clone()));
    ways.truncate(WAYS_MAX);
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_smaller_only() {
        assert!(smaller_names(3, &[]).is_empty());
        assert!(smaller_names(3, &[0, 1]).is_empty());
        assert_eq!(smaller_names(3, &[2]), [[1, 2, 0], [2, 1, 0], [0, 2, 1], [2, 0, 1]]);
        assert_eq!(smaller_names(2, &[1, 0]), [[1, 0]]);
    }
}
