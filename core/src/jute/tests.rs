//! The wire format against packets captured from ZooKeeper 3.9.5 (appendix A of the protocol), round trips over every
//! record, and decoders against bytes that nobody sane sends.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::api::*;
use crate::error::ErrorCode;
use crate::ids::{SessionId, Zxid};

/// Bytes of a hex dump; white space does not count.
fn hex(dump: &str) -> Vec<u8> {
    let digits: Vec<u8> = dump
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).expect("below 16"))
        .collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The body of the one packet that `bytes` is.
fn body(bytes: &[u8]) -> &[u8] {
    let (length, body) = bytes.split_first_chunk::<4>().expect("a length");
    assert_eq!(u32::from_be_bytes(*length) as usize, body.len(), "the length is that of the body");
    body
}

fn blob(text: &str) -> Data {
    Some(Blob::new(text.as_bytes()))
}

fn create(path: &str, data: Data, flags: i32, stat: bool) -> Create {
    Create { path: path.into(), data, acl: Some(Acl::open()), flags, stat }
}

#[track_caller]
fn check_request(xid: i32, op: Op, dump: &str) {
    let request = Request { xid, op };
    let captured = hex(dump);
    assert_eq!(decode_request(body(&captured)), Ok(request.clone()));
    let mut encoded = Vec::new();
    encode_request(&request, &mut encoded);
    assert_eq!(encoded, captured);
}

#[track_caller]
fn check_reply(xid: i32, zxid: i64, kind: ReplyKind, result: Result<Response, ErrorCode>, dump: &str) {
    let reply = Reply { xid, zxid, result };
    let captured = hex(dump);
    assert_eq!(decode_reply(body(&captured), kind), Ok(reply.clone()));
    let mut encoded = Vec::new();
    encode_reply(&reply, &mut encoded);
    assert_eq!(encoded, captured);
}

/// The Stat of A.3.
const STAT_3: &str =
    "0000000000000002 0000000000000002 000001a1fd3c41d4 000001a1fd3c41d4 00000000 00000000 00000000
    0000000000000000 00000001 00000000 0000000000000002";

fn stat_3() -> Stat {
    Stat {
        czxid: Zxid(2),
        mzxid: Zxid(2),
        ctime: 0x1a1_fd3c_41d4,
        mtime: 0x1a1_fd3c_41d4,
        data_length: 1,
        pzxid: Zxid(2),
        ..Stat::default()
    }
}

#[test]
fn a1_handshake() {
    let captured = hex(
        "0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010 00000000000000000000000000000000 00",
    );
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 10_000,
        session: SessionId(0),
        password: Some(Blob::new(&[0; 16])),
        read_only: Some(false),
    };
    assert_eq!(decode_connect(body(&captured)), Ok(request.clone()));
    let mut encoded = Vec::new();
    encode_connect(&request, &mut encoded);
    assert_eq!(encoded, captured);

    let captured =
        hex("00000025 00000000 00002710 0100002372490000 00000010 5d768ab526259d4203c15167df289e8f 00");
    let response = ConnectResponse {
        timeout_ms: 10_000,
        session: SessionId(0x0100_0023_7249_0000),
        password: hex("5d768ab526259d4203c15167df289e8f").try_into().expect("16 bytes"),
        read_only: Some(false),
    };
    assert_eq!(decode_connect_response(body(&captured)), Ok(response.clone()));
    let mut encoded = Vec::new();
    encode_connect_response(&response, &mut encoded);
    assert_eq!(encoded, captured);
}

#[test]
fn a_client_without_the_read_only_flag_is_answered_without_it() {
    let request = hex(
        "0000002c 00000000 0000000000000007 00002710 0000000000000000 00000010 00000000000000000000000000000000",
    );
    assert_eq!(decode_connect(body(&request)).expect("whole").read_only, None);
    let mut encoded = Vec::new();
    let response =
        ConnectResponse { timeout_ms: 0, session: SessionId(0), password: [0; 16], read_only: None };
    encode_connect_response(&response, &mut encoded);
    assert_eq!(body(&encoded).len(), 36);
    assert_eq!(decode_connect_response(body(&encoded)), Ok(response));
}

#[test]
fn a_new_session_may_come_without_a_password() {
    let request = hex("0000001c 00000000 0000000000000000 00002710 0000000000000000 ffffffff");
    assert_eq!(decode_connect(body(&request)).expect("whole").password, None);
}

#[test]
fn a2_create() {
    check_request(
        1,
        Op::Create(create("/a", blob("x"), 0, false)),
        "00000032 00000001 00000001 00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64
         00000006 616e796f6e65 00000000",
    );
    check_reply(
        1,
        2,
        ReplyKind::Path,
        Ok(Response::Path("/a".into())),
        "00000016 00000001 0000000000000002 00000000 00000002 2f61",
    );
}

#[test]
fn a3_get_data() {
    check_request(
        2,
        Op::GetData { path: "/a".into(), watch: true },
        "0000000f 00000002 00000004 00000002 2f61 01",
    );
    check_reply(
        2,
        2,
        ReplyKind::Data,
        Ok(Response::Data(blob("x"), stat_3())),
        &format!("00000059 00000002 0000000000000002 00000000 00000001 78 {STAT_3}"),
    );
}

#[test]
fn a4_exists_on_a_missing_node() {
    check_request(
        3,
        Op::Exists { path: "/b".into(), watch: true },
        "0000000f 00000003 00000003 00000002 2f62 01",
    );
    check_reply(3, 2, ReplyKind::Stat, Err(ErrorCode::NoNode), "00000010 00000003 0000000000000002 ffffff9b");
}

#[test]
fn a5_set_data_and_its_notification() {
    check_request(
        4,
        Op::SetData { path: "/a".into(), data: blob("yz"), version: 0 },
        "00000018 00000004 00000005 00000002 2f61 00000002 797a 00000000",
    );
    let captured = hex("0000001e ffffffff 0000000000000003 00000000 00000003 00000003 00000002 2f61");
    let event = WatchedEvent { kind: EventKind::NodeDataChanged, path: "/a".into(), zxid: 3 };
    assert_eq!(decode_event(body(&captured)), Ok(event.clone()));
    let mut encoded = Vec::new();
    encode_event(&event, &mut encoded);
    assert_eq!(encoded, captured);
    let stat = Stat { version: 1, mzxid: Zxid(3), data_length: 2, ..stat_3() };
    check_reply(
        4,
        3,
        ReplyKind::Stat,
        Ok(Response::Stat(stat)),
        "00000054 00000004 0000000000000003 00000000
         0000000000000002 0000000000000003 000001a1fd3c41d4 000001a1fd3c41d4 00000001 00000000 00000000
         0000000000000000 00000002 00000000 0000000000000002",
    );
}

#[test]
fn a6_create2() {
    check_request(
        5,
        Op::Create(create("/s-", None, 2, true)),
        "00000032 00000005 0000000f 00000003 2f732d ffffffff 00000001 0000001f 00000005 776f726c64
         00000006 616e796f6e65 00000002",
    );
    check_reply(
        5,
        4,
        ReplyKind::PathStat,
        Ok(Response::PathStat("/s-0000000001".into(), stat_3())),
        &format!("00000065 00000005 0000000000000004 00000000 0000000d 2f732d30303030303030303031 {STAT_3}"),
    );
}

#[test]
fn a7_multi() {
    check_request(
        6,
        Op::Multi(vec![
            MultiOp::Create(create("/m", blob(""), 0, false)),
            MultiOp::Check { path: "/a".into(), version: 1 },
            MultiOp::SetData { path: "/a".into(), data: blob("q"), version: 1 },
            MultiOp::Delete { path: "/m".into(), version: 0 },
        ]),
        "00000081 00000006 0000000e
         00000001 00 ffffffff 00000002 2f6d 00000000 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65
         00000000
         0000000d 00 ffffffff 00000002 2f61 00000001
         00000005 00 ffffffff 00000002 2f61 00000001 71 00000001
         00000002 00 ffffffff 00000002 2f6d 00000000
         ffffffff 01 ffffffff",
    );
    check_reply(
        6,
        5,
        ReplyKind::Multi,
        Ok(Response::Multi(vec![
            MultiResult::Create("/m".into()),
            MultiResult::Check,
            MultiResult::SetData(stat_3()),
            MultiResult::Delete,
        ])),
        &format!(
            "00000087 00000006 0000000000000005 00000000
             00000001 00 00000000 00000002 2f6d
             0000000d 00 00000000
             00000005 00 00000000 {STAT_3}
             00000002 00 00000000
             ffffffff 01 ffffffff"
        ),
    );
}

#[test]
fn a8_multi_that_failed() {
    check_reply(
        7,
        6,
        ReplyKind::Multi,
        Ok(Response::Multi(vec![
            MultiResult::Error(None),
            MultiResult::Error(Some(ErrorCode::NoNode)),
            MultiResult::Error(Some(ErrorCode::RuntimeInconsistency)),
        ])),
        "00000040 00000007 0000000000000006 00000000
         ffffffff 00 00000000 00000000
         ffffffff 00 ffffff9b ffffff9b
         ffffffff 00 fffffffe fffffffe
         ffffffff 01 ffffffff",
    );
}

#[test]
fn a10_ping_and_auth() {
    check_request(PING_XID, Op::Ping, "00000008 fffffffe 0000000b");
    check_reply(
        PING_XID,
        6,
        ReplyKind::Empty,
        Ok(Response::Empty),
        "00000010 fffffffe 0000000000000006 00000000",
    );
    check_request(
        -4,
        Op::Auth { scheme: Some("digest".into()), token: blob("bob:pw") },
        "00000020 fffffffc 00000064 00000000 00000006 646967657374 00000006 626f623a7077",
    );
    check_reply(-4, 0, ReplyKind::Empty, Ok(Response::Empty), "00000010 fffffffc 0000000000000000 00000000");
}

#[test]
fn a10_notification_made_by_set_watches() {
    let captured = hex("0000001e ffffffff ffffffffffffffff 00000000 00000003 00000003 00000002 2f61");
    let event = WatchedEvent { kind: EventKind::NodeDataChanged, path: "/a".into(), zxid: -1 };
    assert_eq!(decode_event(body(&captured)), Ok(event));
}

#[test]
fn set_watches() {
    check_request(
        -8,
        Op::SetWatches { relative_zxid: 1, data: vec!["/a".into()], exist: vec![], child: vec![] },
        "00000022 fffffff8 00000065 0000000000000001 00000001 00000002 2f61 00000000 00000000",
    );
    let null_list = hex("fffffff8 00000065 0000000000000001 ffffffff 00000000 00000000");
    assert_eq!(decode_request(&null_list).expect("a header").op, Op::Malformed { write: false });
}

#[test]
fn a13_delete_of_the_root() {
    check_reply(
        15,
        7,
        ReplyKind::Empty,
        Err(ErrorCode::BadArguments),
        "00000010 0000000f 0000000000000007 fffffff8",
    );
}

#[test]
fn a14_close() {
    check_request(16, Op::CloseSession, "00000008 00000010 fffffff5");
    check_reply(16, 8, ReplyKind::Empty, Ok(Response::Empty), "00000010 00000010 0000000000000008 00000000");
}

#[test]
fn a_header_cut_short_is_an_error() {
    for length in 0..8 {
        assert!(decode_request(&[0; 8][..length]).is_err());
    }
}

#[track_caller]
fn check_op(dump: &str, op: Op) {
    assert_eq!(decode_request(&hex(dump)), Ok(Request { xid: 1, op }));
}

#[test]
fn a_record_cut_short_is_malformed() {
    let whole = hex("00000001 00000005 00000002 2f61 00000002 797a 00000000");
    assert!(matches!(decode_request(&whole).expect("a header").op, Op::SetData { .. }));
    for length in 8..whole.len() {
        let op = decode_request(&whole[..length]).expect("a header").op;
        assert_eq!(op, Op::Malformed { write: true }, "{length} bytes");
    }
    check_op("00000001 00000004 00000002 2f61", Op::Malformed { write: false });
}

#[test]
fn bytes_left_over_are_ignored() {
    check_op("00000001 00000006 00000002 2f61 ffff", Op::GetAcl { path: "/a".into() });
}

#[test]
fn null_and_empty_are_told_apart() {
    let set = |data| Op::SetData { path: "/a".into(), data, version: -1 };
    check_op("00000001 00000005 00000002 2f61 ffffffff ffffffff", set(None));
    check_op("00000001 00000005 00000002 2f61 00000000 ffffffff", set(blob("")));
    check_op("00000001 00000009 ffffffff", Op::Sync { path: None });
    check_op("00000001 00000009 00000000", Op::Sync { path: Some(String::new()) });
    check_op("00000001 00000004 ffffffff 00", Op::Malformed { write: false });
    check_op("00000001 00000004 00000000 00", Op::GetData { path: String::new(), watch: false });
    let create = |acl| Op::Create(Create { path: "/a".into(), data: None, acl, flags: 0, stat: false });
    check_op("00000001 00000001 00000002 2f61 ffffffff ffffffff 00000000", create(None));
    check_op("00000001 00000001 00000002 2f61 ffffffff 00000000 00000000", create(Some(vec![])));
}

#[test]
fn a_null_scheme_is_an_acl_that_cannot_be_and_a_null_id_is_malformed() {
    let acl = vec![Acl { perms: 1, id: Id { scheme: String::new(), id: "x".into() } }];
    check_op(
        "00000001 00000007 00000002 2f61 00000001 00000001 ffffffff 00000001 78 00000000",
        Op::SetAcl { path: "/a".into(), acl: Some(acl), version: 0 },
    );
    check_op(
        "00000001 00000007 00000002 2f61 00000001 00000001 00000001 78 ffffffff 00000000",
        Op::Malformed { write: true },
    );
}

/// As kazoo sends `CREATOR_ALL_ACL`.
#[test]
fn a_null_id_with_the_scheme_auth_is_the_empty_one() {
    let acl = vec![Acl { perms: 31, id: Id { scheme: "auth".into(), id: String::new() } }];
    check_op(
        "00000001 00000007 00000002 2f61 00000001 0000001f 00000004 61757468 ffffffff 00000000",
        Op::SetAcl { path: "/a".into(), acl: Some(acl), version: 0 },
    );
}

#[test]
fn lengths_below_minus_one_are_malformed() {
    check_op("00000001 00000004 fffffffe 00", Op::Malformed { write: false });
    check_op("00000001 00000004 80000000 00", Op::Malformed { write: false });
    check_op("00000001 00000007 00000002 2f61 fffffffe 00000000", Op::Malformed { write: true });
}

#[test]
fn a_vector_that_claims_to_be_huge_is_not_believed() {
    check_op("00000001 00000007 00000002 2f61 7fffffff 00000000", Op::Malformed { write: true });
    check_op("00000001 00000065 0000000000000000 7fffffff", Op::Malformed { write: false });
}

#[test]
fn any_byte_but_zero_is_true() {
    check_op("00000001 00000004 00000002 2f61 7f", Op::GetData { path: "/a".into(), watch: true });
}

#[test]
fn malformed_utf8_is_replaced() {
    check_op("00000001 00000006 00000003 2f61ff", Op::GetAcl { path: "/a\u{fffd}".into() });
}

#[test]
fn codes_that_no_client_may_send() {
    for code in [0, 10, 13, 16, 23, 99, 103, 999, -1, -10] {
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend_from_slice(&i32::to_be_bytes(code));
        assert_eq!(decode_request(&bytes).expect("a header").op, Op::Unknown { code });
    }
}

#[test]
fn create_flags_are_judged_only_in_a_multi() {
    let flags_99 = "00000002 2f61 ffffffff ffffffff 00000063";
    let alone = Create { path: "/a".into(), data: None, acl: None, flags: 99, stat: false };
    check_op(&format!("00000001 00000001 {flags_99}"), Op::Create(alone));
    check_op(
        &format!("00000001 0000000e 00000001 00 ffffffff {flags_99} ffffffff 01 ffffffff"),
        Op::Malformed { write: true },
    );
}

#[test]
fn what_a_multi_may_not_be() {
    check_op("00000001 0000000e ffffffff 01 ffffffff", Op::Multi(vec![]));
    check_op("00000001 0000000e", Op::Malformed { write: true });
    // An exists; then a delete without the item that ends a multi; then an item of type -1 that is not the last.
    check_op("00000001 0000000e 00000003 00 ffffffff 00000002 2f61 00", Op::Malformed { write: true });
    check_op("00000001 0000000e 00000002 00 ffffffff 00000002 2f61 00000000", Op::Malformed { write: true });
    check_op("00000001 0000000e ffffffff 00 ffffffff", Op::Malformed { write: true });
}

#[test]
fn packets_are_appended() {
    let mut out = vec![9];
    let reply = Reply { xid: 1, zxid: 2, result: Ok(Response::Empty) };
    encode_reply(&reply, &mut out);
    encode_reply(&reply, &mut out);
    assert_eq!(out.len(), 1 + 2 * 20);
    assert_eq!(decode_reply(body(&out[21..]), ReplyKind::Empty), Ok(reply));
}

#[test]
fn an_event_is_not_just_any_packet() {
    let reply = hex("00000001 0000000000000002 00000000 00000001 00000003 00000002 2f61");
    assert_eq!(decode_event(&reply), Err(DecodeError::Event { xid: 1, kind: 1 }));
    let unknown_kind = hex("ffffffff 0000000000000002 00000000 00000005 00000003 00000002 2f61");
    assert_eq!(decode_event(&unknown_kind), Err(DecodeError::Event { xid: -1, kind: 5 }));
}

#[test]
fn a_password_is_of_sixteen_bytes() {
    let response = hex("00000000 00002710 0100002372490000 00000002 5d76 00");
    assert_eq!(decode_connect_response(&response), Err(DecodeError::Password(2)));
}

#[test]
fn error_codes_and_their_numbers() {
    for error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(error));
    }
    assert_eq!(ErrorCode::from_code(0), None);
    let unknown = hex("00000001 0000000000000002 ffffff00");
    assert_eq!(decode_reply(&unknown, ReplyKind::Empty), Err(DecodeError::Error(-256)));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z/]{0,12}", ".{0,8}"]
}

fn data() -> impl Strategy<Value = Data> {
    of(vec(any::<u8>(), 0..40).prop_map(|bytes| Blob::new(&bytes)))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let entry =
        (any::<i32>(), text(), text()).prop_map(|(perms, scheme, id)| Acl { perms, id: Id { scheme, id } });
    vec(entry, 0..4)
}

fn creation(flags: impl Strategy<Value = i32>) -> impl Strategy<Value = Create> {
    (text(), data(), of(acl()), flags, any::<bool>()).prop_map(|(path, data, acl, flags, stat)| Create {
        path,
        data,
        acl,
        flags,
        stat,
    })
}

fn multi_op() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        creation(0..=6).prop_map(MultiOp::Create),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| MultiOp::SetData {
            path,
            data,
            version
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn operation() -> impl Strategy<Value = Op> {
    let watched = || (text(), any::<bool>());
    let paths = || vec(text(), 0..4);
    prop_oneof![
        creation(any::<i32>()).prop_map(Op::Create),
        (text(), any::<i32>()).prop_map(|(path, version)| Op::Delete { path, version }),
        watched().prop_map(|(path, watch)| Op::Exists { path, watch }),
        watched().prop_map(|(path, watch)| Op::GetData { path, watch }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Op::SetData { path, data, version }),
        text().prop_map(|path| Op::GetAcl { path }),
        (text(), of(acl()), any::<i32>()).prop_map(|(path, acl, version)| Op::SetAcl { path, acl, version }),
        (watched(), any::<bool>()).prop_map(|((path, watch), stat)| Op::GetChildren { path, watch, stat }),
        of(text()).prop_map(|path| Op::Sync { path }),
        Just(Op::Ping),
        vec(multi_op(), 0..5).prop_map(Op::Multi),
        (of(text()), data()).prop_map(|(scheme, token)| Op::Auth { scheme, token }),
        (any::<i64>(), paths(), paths(), paths()).prop_map(|(relative_zxid, data, exist, child)| {
            Op::SetWatches { relative_zxid, data, exist, child }
        }),
        Just(Op::CloseSession),
        any::<bool>().prop_map(|write| Op::Malformed { write }),
        (200..i32::MAX).prop_map(|code| Op::Unknown { code }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    (any::<i32>(), operation()).prop_map(|(xid, op)| Request { xid, op })
}

fn stat() -> impl Strategy<Value = Stat> {
    let longs = (any::<u64>(), any::<u64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<u64>());
    let ints = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>());
    (longs, ints).prop_map(|(longs, ints)| Stat {
        czxid: Zxid(longs.0),
        mzxid: Zxid(longs.1),
        ctime: longs.2,
        mtime: longs.3,
        version: ints.0,
        cversion: ints.1,
        aversion: ints.2,
        ephemeral_owner: longs.4,
        data_length: ints.3,
        num_children: ints.4,
        pzxid: Zxid(longs.5),
    })
}

fn error() -> impl Strategy<Value = ErrorCode> {
    proptest::sample::select(&ErrorCode::ALL[..])
}

fn multi_result() -> impl Strategy<Value = MultiResult> {
    prop_oneof![
        text().prop_map(MultiResult::Create),
        (text(), stat()).prop_map(|(path, stat)| MultiResult::Create2(path, stat)),
        Just(MultiResult::Delete),
        stat().prop_map(MultiResult::SetData),
        Just(MultiResult::Check),
        of(error()).prop_map(MultiResult::Error),
    ]
}

/// A response, and the kind that a client has to expect to read it.
fn response() -> impl Strategy<Value = (ReplyKind, Response)> {
    prop_oneof![
        Just((ReplyKind::Empty, Response::Empty)),
        text().prop_map(|path| (ReplyKind::Path, Response::Path(path))),
        (text(), stat()).prop_map(|(path, stat)| (ReplyKind::PathStat, Response::PathStat(path, stat))),
        stat().prop_map(|stat| (ReplyKind::Stat, Response::Stat(stat))),
        (data(), stat()).prop_map(|(data, stat)| (ReplyKind::Data, Response::Data(data, stat))),
        vec(text(), 0..5).prop_map(|names| (ReplyKind::Children, Response::Children(names))),
        (vec(text(), 0..5), stat())
            .prop_map(|(names, stat)| (ReplyKind::ChildrenStat, Response::ChildrenStat(names, stat))),
        (acl(), stat()).prop_map(|(acl, stat)| (ReplyKind::Acl, Response::Acl(acl.into(), stat))),
        of(text()).prop_map(|path| (ReplyKind::Sync, Response::Sync(path))),
        vec(multi_result(), 0..5).prop_map(|results| (ReplyKind::Multi, Response::Multi(results))),
    ]
}

fn connect() -> impl Strategy<Value = ConnectRequest> {
    (any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), data(), of(any::<bool>())).prop_map(
        |(protocol_version, last_zxid_seen, timeout_ms, session, password, read_only)| ConnectRequest {
            protocol_version,
            last_zxid_seen,
            timeout_ms,
            session: SessionId(session),
            password,
            read_only,
        },
    )
}

fn connect_response() -> impl Strategy<Value = ConnectResponse> {
    (any::<i32>(), any::<i64>(), any::<[u8; 16]>(), of(any::<bool>())).prop_map(
        |(timeout_ms, session, password, read_only)| ConnectResponse {
            timeout_ms,
            session: SessionId(session),
            password,
            read_only,
        },
    )
}

fn event() -> impl Strategy<Value = WatchedEvent> {
    let kinds = [
        EventKind::NodeCreated,
        EventKind::NodeDeleted,
        EventKind::NodeDataChanged,
        EventKind::NodeChildrenChanged,
    ];
    (proptest::sample::select(kinds.to_vec()), text(), any::<i64>())
        .prop_map(|(kind, path, zxid)| WatchedEvent { kind, path: path.into(), zxid })
}

const KINDS: [ReplyKind; 10] = [
    ReplyKind::Empty,
    ReplyKind::Path,
    ReplyKind::PathStat,
    ReplyKind::Stat,
    ReplyKind::Data,
    ReplyKind::Children,
    ReplyKind::ChildrenStat,
    ReplyKind::Acl,
    ReplyKind::Sync,
    ReplyKind::Multi,
];

/// Every decoder on the same bytes. Whatever comes out of one must survive its own round trip: a decoder that reads
/// more than it was given, or makes up a value, does not.
fn decode_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(request) = decode_request(bytes) {
        let mut encoded = Vec::new();
        encode_request(&request, &mut encoded);
        prop_assert_eq!(decode_request(body(&encoded)), Ok(request));
    }
    if let Ok(connect) = decode_connect(bytes) {
        let mut encoded = Vec::new();
        encode_connect(&connect, &mut encoded);
        prop_assert_eq!(decode_connect(body(&encoded)), Ok(connect));
    }
    if let Ok(response) = decode_connect_response(bytes) {
        let mut encoded = Vec::new();
        encode_connect_response(&response, &mut encoded);
        prop_assert_eq!(decode_connect_response(body(&encoded)), Ok(response));
    }
    for kind in KINDS {
        if let Ok(reply) = decode_reply(bytes, kind) {
            let mut encoded = Vec::new();
            encode_reply(&reply, &mut encoded);
            prop_assert_eq!(decode_reply(body(&encoded), kind), Ok(reply));
        }
    }
    if let Ok(event) = decode_event(bytes) {
        let mut encoded = Vec::new();
        encode_event(&event, &mut encoded);
        prop_assert_eq!(decode_event(body(&encoded)), Ok(event));
    }
    Ok(())
}

proptest! {
    #[test]
    fn requests_survive(request in request(), tail in vec(any::<u8>(), 0..4)) {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        prop_assert_eq!(decode_request(body(&bytes)), Ok(request.clone()));
        // A record cut short on purpose takes what follows for its own bytes.
        if !matches!(request.op, Op::Malformed { .. }) {
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(decode_request(&bytes[4..]), Ok(request));
        }
    }

    #[test]
    fn replies_survive((kind, response) in response(), xid: i32, zxid: i64) {
        let reply = Reply { xid, zxid, result: Ok(response) };
        let mut bytes = Vec::new();
        encode_reply(&reply, &mut bytes);
        prop_assert_eq!(decode_reply(body(&bytes), kind), Ok(reply));
    }

    #[test]
    fn failures_have_no_body(error in error(), xid: i32, zxid: i64) {
        let reply = Reply { xid, zxid, result: Err(error) };
        let mut bytes = Vec::new();
        encode_reply(&reply, &mut bytes);
        prop_assert_eq!(bytes.len(), 20);
        for kind in KINDS {
            prop_assert_eq!(decode_reply(body(&bytes), kind), Ok(reply.clone()));
        }
    }

    #[test]
    fn handshakes_survive(request in connect(), response in connect_response()) {
        let mut bytes = Vec::new();
        encode_connect(&request, &mut bytes);
        prop_assert_eq!(decode_connect(body(&bytes)), Ok(request));
        bytes.clear();
        encode_connect_response(&response, &mut bytes);
        prop_assert_eq!(decode_connect_response(body(&bytes)), Ok(response));
    }

    #[test]
    fn events_survive(event in event()) {
        let mut bytes = Vec::new();
        encode_event(&event, &mut bytes);
        prop_assert_eq!(decode_event(body(&bytes)), Ok(event));
    }

    #[test]
    fn no_bytes_break_a_decoder(bytes in vec(any::<u8>(), 0..200)) {
        decode_all(&bytes)?;
    }

    /// Random bytes hardly ever get past a header: these begin with a known operation, and are small numbers mostly.
    #[test]
    fn no_likely_bytes_break_a_decoder(code in -11..110i32, rest in vec(prop_oneof![3 => Just(0u8), 1 => 0..4u8, 1 => any::<u8>()], 0..120)) {
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(&rest);
        decode_all(&bytes)?;
    }

    #[test]
    fn no_damaged_packet_breaks_a_decoder(
        request in request(),
        (_, response) in response(),
        event in event(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut packets = [Vec::new(), Vec::new(), Vec::new()];
        encode_request(&request, &mut packets[0]);
        encode_reply(&Reply { xid: 1, zxid: 1, result: Ok(response) }, &mut packets[1]);
        encode_event(&event, &mut packets[2]);
        for mut packet in packets {
            decode_all(&packet[4..4 + cut.index(packet.len() - 3)])?;
            for (at, byte) in &damage {
                let at = at.index(packet.len());
                packet[at] = *byte;
            }
            decode_all(&packet[4..])?;
        }
    }
}
