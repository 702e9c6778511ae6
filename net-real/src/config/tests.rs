//! Whole files: every key, good and bad, and what they come to together.

use std::io;
use std::path::{Path, PathBuf};

use vivarium_core::ids::PeerId;
use vivarium_core::limits::Limits;
use vivarium_core::time::Duration as CoreDuration;

use super::*;

fn parse_with(text: &str, my_id: io::Result<&str>) -> Result<Loaded, ConfigError> {
    let my_id = my_id.map(str::to_owned).map_err(|error| error.kind());
    parse::parse(Path::new("zoo.cfg"), text, |path| {
        assert_eq!(path, Path::new("/data/myid"));
        my_id.clone().map(String::into_bytes).map_err(io::Error::from)
    })
}

/// A file that is fine, with some lines more.
fn with(lines: &str) -> Result<Loaded, ConfigError> {
    let text = format!("dataDir=/data\nclientPort=2181\n{lines}");
    parse::parse(Path::new("zoo.cfg"), &text, |_| panic!("a server alone needs no myid"))
}

/// What some lines come to that are fine.
#[track_caller]
fn good(lines: &str) -> Config {
    let loaded = with(lines).expect("a good file");
    assert_eq!(loaded.warnings, Vec::<String>::new());
    loaded.config
}

/// A line, the third of the file, that ends the start.
#[track_caller]
fn bad(line: &str, message: &str) {
    let error = with(line).expect_err("a bad file").to_string();
    assert!(error.starts_with("zoo.cfg:3: "), "{error}");
    assert!(error.contains(message), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// A line that is warned of.
#[track_caller]
fn warned(line: &str, message: &str) -> Config {
    let loaded = with(line).expect("a good file");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].starts_with("zoo.cfg:3: "), "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains(message), "{:?}", loaded.warnings);
    loaded.config
}

#[test]
fn the_smallest_file() {
    let config = good("");
    let expected = Config {
        client: ClientListen { host: None, port: 2181 },
        tick_ms: 3_000,
        session_timeout_min_ms: 6_000,
        session_timeout_max_ms: 60_000,
        ..Config::default_single("/data")
    };
    assert_eq!(config, expected);
    assert_eq!(config.voters(), [PeerId(1)]);
    assert_eq!(config.own_server(), None);
}

#[test]
fn the_sample_file() {
    let text = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
        dataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n";
    let loaded = parse::parse(Path::new("zoo.cfg"), text, |_| panic!("not read")).expect("a good file");
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.limits(), Limits::default());
}

#[test]
fn served_without_a_file() {
    let config = Config::default_single("./vivarium-data");
    assert_eq!(config.limits(), Limits::default());
    assert_eq!(config.client.to_string(), "127.0.0.1:2181");
    assert_eq!(config.log_dir, PathBuf::from("./vivarium-data"));
}

#[test]
fn directories() {
    assert_eq!(good("dataLogDir=/log").log_dir, PathBuf::from("/log"));
    assert_eq!(good("dataLogDir=./log").log_dir, PathBuf::from("./log"));
    assert_eq!(good("").log_dir, PathBuf::from("/data"));
    assert_eq!(warned("dataLogDir=log", "relative").log_dir, PathBuf::from("log"));
    bad("dataLogDir=", "dataLogDir = \"\": the path of a directory is wanted");
    let error = parse_with("clientPort=2181", Ok("1")).expect_err("no dataDir").to_string();
    assert_eq!(error, "zoo.cfg: dataDir is missing: the directory for the server's data");
    let error = parse_with("dataDir=", Ok("1")).expect_err("no dataDir").to_string();
    assert_eq!(error, "zoo.cfg:1: dataDir = \"\": the path of a directory is wanted");
}

#[test]
fn client_ports() {
    let config = parse_with("dataDir=/data", Ok("1")).expect("a good file");
    assert_eq!(config.config.client, ClientListen { host: None, port: 2181 });
    assert!(config.warnings[0].contains("clientPort is not set"));
    let config = parse_with("dataDir=/data\nclientPort=0", Ok("1")).expect("a good file").config;
    assert_eq!(config.client.port, 0);
    for wrong in ["65536", "-1", "x", "", "2181x"] {
        let error = parse_with(&format!("dataDir=/data\nclientPort={wrong}"), Ok("1")).expect_err("wrong");
        let text = format!("zoo.cfg:2: clientPort = {wrong:?}: a number from 0 to 65535 (port) is wanted");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn client_addresses() {
    let host = |line| good(line).client.host;
    assert_eq!(host("clientPortAddress=10.0.0.1").as_deref(), Some("10.0.0.1"));
    assert_eq!(host("clientPortAddress=zoo1.example").as_deref(), Some("zoo1.example"));
    assert_eq!(host("clientPortAddress=::1").as_deref(), Some("::1"));
    assert_eq!(host("clientPortAddress=[::1]").as_deref(), Some("::1"));
    bad("clientPortAddress=10.0.0.1:2181", "without a port");
    bad("clientPortAddress=", "without a port");
    assert_eq!(good("clientPortListenBacklog=128").client_backlog, Some(128));
    assert_eq!(good("clientPortListenBacklog=-1").client_backlog, None);
    bad("clientPortListenBacklog=many", "a number from -1 to 65535");
}

#[test]
fn ticks_and_what_they_bound() {
    let config = good("tickTime=2000\ninitLimit=20\nsyncLimit=10");
    assert_eq!((config.tick_ms, config.init_limit, config.sync_limit), (2_000, 20, 10));
    assert_eq!(config.limits(), Limits::default());
    bad("tickTime=0", "tickTime = \"0\": a number from 1 to 3600000 (ms) is wanted");
    bad("tickTime=2s", "tickTime = \"2s\"");
    bad("initLimit=0", "a number from 1 to 10000 (ticks)");
    bad("syncLimit=-5", "a number from 1 to 10000 (ticks)");

    let limits = good("tickTime=50\ninitLimit=10\nsyncLimit=4").limits();
    assert_eq!(limits.tick, CoreDuration::millis(50));
    assert_eq!(limits.silence, CoreDuration::millis(200));
    assert_eq!(limits.heartbeat, CoreDuration::millis(40));
    assert_eq!(limits.sync, CoreDuration::millis(500));
    assert_eq!((limits.session_timeout_min_ms, limits.session_timeout_max_ms), (100, 1_000));
}

#[test]
fn a_heartbeat_is_a_fifth_of_the_silence_at_most() {
    for tick_ms in [1, 7, 100, 2_000, 3_600_000] {
        for sync_limit in [1, 5, 10_000] {
            let config = Config { tick_ms, sync_limit, ..Config::default_single("d") };
            let limits = config.limits();
            assert!(limits.heartbeat.0 > 0);
            assert!(limits.heartbeat.0 * 5 <= limits.silence.0, "{limits:?}");
            assert!(limits.silence <= Limits::default().silence);
            assert!(limits.sync <= Limits::default().sync);
            assert!(limits.election <= limits.silence);
        }
    }
}

#[test]
fn session_timeouts() {
    let config = good("minSessionTimeout=1000\nmaxSessionTimeout=120000");
    assert_eq!((config.session_timeout_min_ms, config.session_timeout_max_ms), (1_000, 120_000));
    let limits = config.limits();
    assert_eq!((limits.session_timeout_min_ms, limits.session_timeout_max_ms), (1_000, 120_000));
    let config = good("minSessionTimeout=-1\nmaxSessionTimeout=-1\ntickTime=1000");
    assert_eq!((config.session_timeout_min_ms, config.session_timeout_max_ms), (2_000, 20_000));
    bad("minSessionTimeout=0", "or -1 for the default");
    bad("maxSessionTimeout=forever", "or -1 for the default");
    bad("minSessionTimeout=60001", "is above maxSessionTimeout (60000 ms");
    bad("maxSessionTimeout=5999", "minSessionTimeout (6000 ms, 2 ticks unless set) is above");
}

#[test]
fn bounds() {
    assert_eq!(good("maxClientCnxns=0").connections_per_address_max, 0);
    assert_eq!(good("").connections_per_address_max, 60);
    bad("maxClientCnxns=-1", "0 for no bound");
    assert_eq!(good("maxCnxns=5000").connections_max, 5_000);
    bad("maxCnxns=lots", "0 for no bound");
    assert_eq!(good("jute.maxbuffer=4194304").packet_bytes_max, 4 << 20);
    assert_eq!(good("jute.maxbuffer=0x400000").packet_bytes_max, 4 << 20);
    assert_eq!(good("").packet_bytes_max, 1_048_575);
    bad("jute.maxbuffer=1M", "a number from 1024 to 1073741824 (bytes)");
    bad("jute.maxbuffer=0", "a number from 1024");
    assert_eq!(good("globalOutstandingLimit=1000").limits().proposals_max, 1_000);
    bad("globalOutstandingLimit=0", "a number from 1 to");
}

#[test]
fn storage() {
    assert_eq!(good("snapCount=500").limits().snapshot_entries, 500);
    bad("snapCount=1", "a number from 2 to");
    assert_eq!(good("snapSizeLimitInKb=1024").limits().snapshot_bytes, 1 << 20);
    assert_eq!(good("snapSizeLimitInKb=-1").limits().snapshot_bytes, u64::MAX);
    bad("snapSizeLimitInKb=1G", "KiB, 0 or -1 for no bound");
    assert_eq!(good("commitLogCount=700").limits().log_window_entries_max, 700);
    bad("commitLogCount=0", "a number from 1");
    warned("preAllocSize=1024", "preAllocSize has no effect");
}

#[test]
fn purging() {
    assert!(good("").purge);
    assert!(!good("autopurge.purgeInterval=0").purge);
    for on in ["24", "90m", "500 ms", "30s", "2d"] {
        assert!(good(&format!("autopurge.purgeInterval={on}")).purge);
    }
    bad("autopurge.purgeInterval=-1", "hours are wanted");
    bad("autopurge.purgeInterval=1w", "hours are wanted");
    bad("autopurge.purgeInterval=", "hours are wanted");
    assert_eq!(good("autopurge.snapRetainCount=10").snapshots_retained, 10);
    assert_eq!(warned("autopurge.snapRetainCount=1", "3 are kept at least").snapshots_retained, 3);
    bad("autopurge.snapRetainCount=all", "(snapshots)");
}

#[test]
fn four_letter_words() {
    assert!(good("").words.contains("mntr"));
    assert!(!good("").words.contains("wchp"));
    let words = good("4lw.commands.whitelist=stat, ruok").words;
    assert!(words.contains("stat") && words.contains("ruok") && !words.contains("mntr"));
    assert!(good("4lw.commands.whitelist=*").words.contains("wchp"));
    assert!(good("zookeeper.4lw.commands.whitelist=*").words.contains("wchp"));
    assert!(warned("4lw.commands.whitelist=stat,conff", "there is no word \"conff\"").words.contains("stat"));
}

#[test]
fn super_digest() {
    let digest = "super:+owfoSBn/am19roBPzR1/MfCblE=";
    let config = good(&format!("DigestAuthenticationProvider.superDigest={digest}"));
    assert_eq!(config.super_digest, Some(SuperDigest(digest.into())));
    assert!(!format!("{config:?}").contains("owfo"), "a log does not show it");
    for wrong in ["super:secret", "+owfoSBn/am19roBPzR1/MfCblE=", ":+owfoSBn/am19roBPzR1/MfCblE="] {
        let line = format!("DigestAuthenticationProvider.superDigest={wrong}");
        bad(&line, "user:base64(sha1(user:password)) is wanted");
        assert!(!with(&line).expect_err("wrong").to_string().contains(wrong), "an error does not show it");
    }
}

#[test]
fn booleans() {
    assert!(good("quorumListenOnAllIPs=TRUE").peer_listen_all);
    assert!(!good("quorumListenOnAllIPs=false").peer_listen_all);
    bad("quorumListenOnAllIPs=yes", "true or false is wanted");
    bad("standaloneEnabled=1", "true or false is wanted");
}

const THREE: &str = "dataDir=/data\nclientPort=2181\nserver.1=zoo1:2888:3888\nserver.2=zoo2:2888:3888\n\
    server.3=zoo3:2888:3888\n";

#[test]
fn an_ensemble() {
    let loaded = parse_with(THREE, Ok("2\n")).expect("a good file");
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    assert_eq!(config.id, PeerId(2));
    assert_eq!(config.voters(), [PeerId(1), PeerId(2), PeerId(3)]);
    assert_eq!(config.own_server().expect("a line").peer.to_string(), "zoo2:2888");
    assert_eq!(config.client, ClientListen { host: None, port: 2181 });
}

#[test]
fn clients_of_an_ensemble() {
    let text = "dataDir=/data\nserver.1=zoo1:2888:3888;10.0.0.1:2191\nserver.2=zoo2:2888:3888;2192\nserver.3=zoo3:2888:3888\n";
    let client = |id, more: &str| {
        parse_with(&format!("{text}{more}"), Ok(id)).map(|loaded| loaded.config.client.to_string())
    };
    assert_eq!(client("1", "").expect("a good file"), "10.0.0.1:2191");
    assert_eq!(client("2", "").expect("a good file"), "0.0.0.0:2192");
    assert_eq!(client("3", "clientPort=2193").expect("a good file"), "0.0.0.0:2193");
    assert_eq!(client("1", "clientPort=2191").expect("a good file"), "10.0.0.1:2191");
    assert_eq!(
        client("2", "clientPort=2181").expect_err("two ports").to_string(),
        "zoo.cfg:5: clientPort = 2181, and server.2 says 2192: take one out or make them agree"
    );
}

#[test]
fn my_id() {
    let error = |my_id| parse_with(THREE, my_id).expect_err("a bad myid").to_string();
    assert_eq!(
        error(Err(io::ErrorKind::NotFound.into())),
        "/data/myid: the file is missing: write the number of this server into it, one of 1, 2, 3, such as with: \
         echo 1 > /data/myid"
    );
    assert_eq!(
        error(Err(io::ErrorKind::PermissionDenied.into())),
        "/data/myid: cannot be read: permission denied"
    );
    assert_eq!(
        error(Ok("4")),
        "/data/myid: says that this is server 4, and zoo.cfg has no server.4 line; it has 1, 2, 3"
    );
    for garbage in ["", "one", "0", "256", "1 2"] {
        assert_eq!(
            error(Ok(garbage)),
            format!("/data/myid: {garbage:?} is not the number of a server, from 1 to 255")
        );
    }
}

#[test]
fn one_server_line() {
    let line = "server.7=zoo7:2888:3888;10.0.0.7:2187";
    let config = parse_with(&format!("dataDir=/data\n{line}"), Err(io::ErrorKind::NotFound.into()))
        .expect("alone")
        .config;
    assert_eq!((config.id, config.voters()), (PeerId(7), vec![PeerId(7)]));
    assert_eq!(config.client.to_string(), "10.0.0.7:2187");
    assert_eq!(config.own_server(), None);

    let text = format!("dataDir=/data\nstandaloneEnabled=false\n{line}");
    assert!(parse_with(&text, Err(io::ErrorKind::NotFound.into())).is_err());
    let config = parse_with(&text, Ok("7")).expect("an ensemble of one").config;
    assert_eq!(config.client.to_string(), "10.0.0.7:2187");
    assert!(config.own_server().is_some());
    bad("standaloneEnabled=false", "needs server.N lines");
}

#[test]
fn server_lines() {
    bad("server.0=a:1:2", "server.0: the number of a server is from 1 to 255");
    bad("server.256=a:1:2", "from 1 to 255");
    bad("server.x=a:1:2", "from 1 to 255");
    bad("server.1=a", "server.1 = \"a\": a port is missing");
    bad("server.1=a:1:2:observer", "observers are not supported yet");
    let error = with("server.1=a:1:2\nserver.2=a:1:2").expect_err("twice").to_string();
    assert_eq!(error, "zoo.cfg:4: server.2 = \"a:1:2\": line 3 has a server at the same a:1");
    let error = with("server.1=a:1:2\nserver.01=b:1:2").expect_err("twice").to_string();
    assert!(error.contains("line 3 is about server 1 already"), "{error}");
    warned("server.1=a:1:2|b:1:2", "server.1: several addresses");
    let two = "dataDir=/data\nclientPort=1\nserver.1=a:1:2\nserver.2=b:1:2";
    let loaded = parse_with(two, Ok("1")).expect("a good file");
    assert!(loaded.warnings[0].contains("two servers survive the loss of neither"));
}

#[test]
fn keys_without_effect() {
    warned("skipACL=yes", "skipACL has no effect");
    warned("forceSync=no", "every write is synced");
    warned("admin.serverPort=8080", "not used by this server");
    warned("ssl.keyStore.location=/x", "not used by this server");
    warned("ticktime=2000", "no such key; did you mean tickTime?");
    warned("autopurge.snapRetainCuont=5", "did you mean autopurge.snapRetainCount?");
    warned("colour=blue", "colour has no effect: no such key");
    warned("secureClientPort=2281", "secureClientPort has no effect");
    for asks_for_what_is_done in [
        "electionAlg=3",
        "peerType=participant",
        "leaderServes=yes",
        "reconfigEnabled=false",
        "weight.1=1",
        "sslQuorum=false",
        "DigestAuthenticationProvider.digestAlg=SHA1",
    ] {
        good(asks_for_what_is_done);
    }
}

#[test]
fn what_may_not_be_ignored() {
    bad("sessionRequireClientSASLAuth=true", "anybody may connect");
    bad("enforce.auth.enabled=true", "anybody may connect");
    bad("sslQuorum=true", "TLS between servers is not supported yet");
    bad("quorum.auth.enableSasl=true", "anybody may join");
    bad("DigestAuthenticationProvider.digestAlg=SHA-256", "only SHA1 is supported");
    bad("dynamicConfigFile=/x", "put its server.N lines into this file");
    bad("peerType=observer", "observers are not supported yet");
    bad("group.1=1:2:3", "groups are not supported yet");
    bad("weight.1=2", "weights are not supported yet");
    let error = parse_with("dataDir=/data\nsecureClientPort=2281", Ok("1")).expect_err("no port").to_string();
    assert!(error.contains("secureClientPort without clientPort"), "{error}");
}

#[test]
fn a_key_that_comes_twice() {
    let config = warned("clientPort=2182", "clientPort replaces the one on line 2");
    assert_eq!(config.client.port, 2182);
    let loaded = with("tickTime=x\ntickTime=2000").expect("the last one counts");
    assert_eq!(loaded.config.tick_ms, 2_000);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "tickTime=0\nserver.1=a\n\nsyncLimit=x\n";
    let error = parse_with(text, Ok("1")).expect_err("a bad file").to_string();
    let lines: Vec<&str> = error.lines().map(|line| &line[..10]).collect();
    assert_eq!(lines, ["zoo.cfg:1:", "zoo.cfg:2:", "zoo.cfg:4:", "zoo.cfg: d"], "{error}");
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("/no/such/zoo.cfg")).expect_err("no file").to_string();
    assert!(error.starts_with("cannot read the configuration /no/such/zoo.cfg: "), "{error}");
}

#[test]
fn the_word_conf() {
    let sizes = DirectorySizes { data: 10, log: 20 };
    let alone = "clientPort=2181\nsecureClientPort=-1\ndataDir=/data\ndataDirSize=10\ndataLogDir=/data\ndataLogSize=20\n\
        tickTime=3000\nmaxClientCnxns=60\nminSessionTimeout=6000\nmaxSessionTimeout=60000\n\
        clientPortListenBacklog=-1\nserverId=1\n";
    assert_eq!(good("").conf(sizes).to_string(), alone);
    let config = parse_with(THREE, Ok("1")).expect("a good file").config;
    let text = format!(
        "{alone}initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\nmembership: \n\
         server.1=zoo1:2888:3888:participant;0.0.0.0:2181\nserver.2=zoo2:2888:3888:participant\n\
         server.3=zoo3:2888:3888:participant"
    );
    assert_eq!(config.conf(sizes).to_string(), text);
}

#[test]
fn every_key_is_known() {
    for key in parse::KEYS {
        let text = format!("{key}=");
        let parsed = parse::parse(Path::new("zoo.cfg"), &text, |_| panic!("not read"));
        let said = match parsed {
            Ok(loaded) => loaded.warnings.join("\n"),
            Err(error) => error.to_string(),
        };
        assert!(!said.contains("has no effect"), "{said}");
    }
}
