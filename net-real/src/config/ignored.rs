//! Keys that a `zoo.cfg` may have and that mean nothing here, and those that may not be ignored.

/// What becomes of a key that `parse.rs` has no use for.
pub enum Effect {
    /// It asks for what is done anyway.
    Done,
    /// It does nothing, for this reason.
    Nothing(String),
    /// Starting without what it asks for would be worse than not starting.
    Refused(String),
}

/// What ignoring `key` comes to.
pub fn effect(key: &str, value: &str) -> Effect {
    let is = |wanted: &str| value.eq_ignore_ascii_case(wanted);
    match key {
        "sessionRequireClientSASLAuth" | "enforce.auth.enabled" if is("true") => Effect::Refused(
            "mandatory authentication of clients is not supported yet: without it anybody may connect".into(),
        ),
        "sslQuorum" if is("true") => Effect::Refused(
            "TLS between servers is not supported yet: without it their traffic is readable".into(),
        ),
        "quorum.auth.enableSasl" | "quorum.auth.serverRequireSasl" | "quorum.auth.learnerRequireSasl"
            if is("true") =>
        {
            Effect::Refused(
                "authentication between servers is not supported yet: without it anybody may join".into(),
            )
        }
        "DigestAuthenticationProvider.digestAlg" if is("SHA1") || is("SHA-1") => Effect::Done,
        "DigestAuthenticationProvider.digestAlg" => {
            Effect::Refused("only SHA1 is supported: no digest in an ACL would match with another".into())
        }
        "dynamicConfigFile" => Effect::Refused(
            "a file of its own for the servers is not supported yet: put its server.N lines into this file"
                .into(),
        ),
        "peerType" if is("observer") => Effect::Refused("observers are not supported yet".into()),
        "peerType" if is("participant") => Effect::Done,
        "electionAlg" if is("3") => Effect::Done,
        "forceSync" if is("yes") => Effect::Done,
        "forceSync" => Effect::Nothing("every write is synced before it is acknowledged".into()),
        "leaderServes" if is("yes") => Effect::Done,
        _ if key.starts_with("group.") => Effect::Refused(
            "groups are not supported yet: a majority of all servers would decide instead".into(),
        ),
        _ if key.starts_with("weight.") && value != "1" => {
            Effect::Refused("weights are not supported yet: every server counts once".into())
        }
        _ if key.starts_with("weight.") => Effect::Done,
        // Features that are off unless asked for: to say so is to ask for what is done.
        _ if KNOWN.contains(&key) && is("false") => Effect::Done,
        _ if KNOWN.contains(&key) || KNOWN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {
            Effect::Nothing("not used by this server".into())
        }
        _ => Effect::Nothing(match closest(key) {
            Some(known) => format!("no such key; did you mean {known}?"),
            None => "no such key".into(),
        }),
    }
}

/// The known key that `key` is most likely a slip of.
fn closest(key: &str) -> Option<&'static str> {
    let lower = key.to_ascii_lowercase();
    super::parse::KEYS
        .iter()
        .chain(&KNOWN)
        .map(|known| (distance(&lower, &known.to_ascii_lowercase()), *known))
        .min()
        .filter(|(distance, known)| *distance <= 2.min(known.len() / 3))
        .map(|(_, known)| known)
}

/// Single-character edits between two words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

/// Families of keys of ZooKeeper.
const KNOWN_PREFIXES: [&str; 14] = [
    "admin.",
    "audit.",
    "authProvider.",
    "commitProcessor.",
    "connection_throttle_",
    "jvm.pause.monitor",
    "kerberos.",
    "messageTracker.",
    "metricsProvider.",
    "netty.",
    "quorum.auth.",
    "request_",
    "ssl.",
    "superUser",
];

/// Other keys of ZooKeeper that do nothing here.
const KNOWN: [&str; 84] = [
    "preAllocSize",
    "DigestAuthenticationProvider.enabled",
    "IPAuthenticationProvider.usexforwardedfor",
    "X509AuthenticationProvider.superUser",
    "allowSaslFailedClients",
    "bitHashCacheSize",
    "client.certReload",
    "client.portUnification",
    "clientTcpKeepAlive",
    "closeSessionTxn.enabled",
    "cnxTimeout",
    "connectToLearnerMasterLimit",
    "datadir.autocreate",
    "db.autocreate",
    "digest.enabled",
    "electionAlg",
    "electionPortBindRetry",
    "emulate353TTLNodes",
    "enableEagerACLCheck",
    "enforce.auth.enabled",
    "enforce.auth.schemes",
    "enforceQuota",
    "ensembleAuthName",
    "extendedTypesEnabled",
    "fastleader.maxNotificationInterval",
    "fastleader.minNotificationInterval",
    "fips-mode",
    "flushDelay",
    "follower.nodelay",
    "forceSnapshotSync",
    "forceSync",
    "fsync.warningthresholdms",
    "jute.maxbuffer.extrasize",
    "largeRequestMaxBytes",
    "largeRequestThreshold",
    "leader.closeSocketAsync",
    "leader.maxConcurrentDiffSyncs",
    "leader.maxConcurrentSnapSyncs",
    "leader.maxTimeToWaitForEpoch",
    "leader.nodelay",
    "leaderServes",
    "learner.asyncSending",
    "learner.closeSocketAsync",
    "letAnySaslUserDoX",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "maxBatchSize",
    "maxGetChildrenResponseCacheSize",
    "maxInProcessingDeadWatchers",
    "maxResponseCacheSize",
    "maxWriteQueuePollTime",
    "multiAddress.enabled",
    "multiAddress.reachabilityCheckEnabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "nio.directBufferBytes",
    "nio.numSelectorThreads",
    "nio.numWorkerThreads",
    "nio.sessionlessCnxnTimeout",
    "nio.shutdownTimeout",
    "observer.election.DelayMs",
    "observer.reconnectDelayMs",
    "observerMasterPort",
    "oraclePath",
    "peerType",
    "portUnification",
    "quorum.cnxn.threads.size",
    "quorumCnxnTimeoutMs",
    "readonlymode.enabled",
    "reconfigEnabled",
    "secureClientPort",
    "secureClientPortAddress",
    "serializeLastProcessedZxid.enabled",
    "serverCnxnFactory",
    "skipACL",
    "snapshot.compression.method",
    "snapshot.trust.empty",
    "snapshotSizeFactor",
    "sslQuorum",
    "sslQuorumReloadCertFiles",
    "syncEnabled",
    "tcpKeepAlive",
    "throttled_op_wait_time",
    "txnLogSizeLimitInKb",
    "watchManagerName",
];
