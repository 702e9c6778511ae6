//! `mntr`: one metric in a line, under ZooKeeper's names, which dashboards and alert rules use.
//!
//! Only what this server counts is printed; a name with a made-up number would be worse than none.

use super::report::{peer_state, put, version};
use super::{View, mode};
use vivarium_core::node::Role;

pub(super) fn mntr(view: &View<'_>, text: &mut String) {
    let (status, stats) = (view.status, view.stats);
    put!(text, "zk_version\t{}", version());
    put!(text, "zk_server_state\t{}", mode(view));
    if !view.config.servers.is_empty() {
        put!(text, "zk_peer_state\t{}", peer_state(view));
    }
    put!(text, "zk_ephemerals_count\t{}", status.ephemeral_count);
    put!(text, "zk_num_alive_connections\t{}", view.clients.len());
    put!(text, "zk_avg_latency\t{}", stats.latency.avg_ms());
    put!(text, "zk_outstanding_requests\t{}", status.outstanding);
    put!(text, "zk_znode_count\t{}", status.node_count);
    put!(text, "zk_global_sessions\t{}", status.session_count);
    let (smallest, largest, last) = match stats.reply_bytes {
        Some((min, max, last)) => (min as i64, max as i64, last as i64),
        None => (-1, -1, -1),
    };
    put!(text, "zk_last_client_response_size\t{last}");
    put!(text, "zk_packets_sent\t{}", stats.sent);
    put!(text, "zk_packets_received\t{}", stats.received);
    put!(text, "zk_max_client_response_size\t{largest}");
    put!(text, "zk_connection_drop_count\t{}", stats.closed);
    put!(text, "zk_connection_drop_probability\t0.0");
    put!(text, "zk_watch_count\t{}", status.watch_count);
    put!(text, "zk_min_latency\t{}", stats.latency.min_ms());
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match files {
        Some(max) => put!(text, "zk_max_file_descriptor_count\t{max}"),
        None => put!(text, "zk_max_file_descriptor_count\t{}", i64::MAX),
    }
    put!(text, "zk_approximate_data_size\t{}", status.data_size);
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // The listing itself holds one.
        put!(text, "zk_open_file_descriptor_count\t{}", files.count().saturating_sub(1));
    }
    put!(text, "zk_local_sessions\t0");
    put!(text, "zk_uptime\t{}", view.uptime_ms);
    put!(text, "zk_max_latency\t{}", stats.latency.max_ms());
    put!(text, "zk_min_client_response_size\t{smallest}");
    if !view.config.servers.is_empty() {
        put!(text, "zk_quorum_size\t{}", view.config.servers.len());
    }
    if let Role::Leading { .. } = status.role
        && !view.config.servers.is_empty()
    {
        let (known, synced) = status.followers;
        put!(text, "zk_learners\t{known}");
        put!(text, "zk_synced_followers\t{synced}");
        put!(text, "zk_synced_non_voting_followers\t0");
        put!(text, "zk_synced_observers\t0");
        put!(text, "zk_pending_syncs\t{}", known.saturating_sub(synced));
        if let Some(leading_ms) = view.leading_ms {
            put!(text, "zk_leader_uptime\t{leading_ms}");
        }
    }
    put!(text, "zk_peers_connected\t{}", view.reachable);
    put!(text, "zk_bad_packets\t{}", stats.bad_packets);
}
