//! The verdicts on damage, one by one: what is refused and with which words, and what is passed over in silence, with
//! a remark, or with an older snapshot.

use super::*;

const FIRST: FileName = FileName::Segment(1);

/// Segments 1, 2, ... as runs of a process leave them: each goes on where the one before it ended, and begins with what
/// recovery had to say.
fn runs(writes: &[&[Write]]) -> Files {
    let mut files = Files::new();
    let mut resume = Resume::FRESH;
    for (number, writes) in (1..).zip(writes) {
        let mut encoder = LogEncoder::new(IDENTITY, resume);
        let mut bytes = Vec::new();
        encoder.begin_segment(number, &mut bytes);
        for write in *writes {
            let number = encoder.encode(write, &mut bytes);
            encoder.synced(number);
        }
        files.insert(FileName::Segment(number), bytes);
        resume = recover_files(&files, true).expect("nothing is damaged yet").resume;
    }
    files
}

/// Three runs: entries 1:0 and 1:1, then 1:2, then 1:3.
fn three_runs() -> Files {
    let promise = Write::Promise { epoch: Epoch(1), candidate: PeerId(2) };
    runs(&[&[promise, append(1, 0), append(1, 1)], &[append(1, 2)], &[append(1, 3)]])
}

fn bytes(files: &mut Files, file: FileName) -> &mut Vec<u8> {
    files.get_mut(&file).expect("it was put there")
}

fn ends(recovery: &Recovery) -> Vec<Zxid> {
    recovery.recovered.entries.iter().map(|entry| entry.zxid).collect()
}

#[track_caller]
fn refused(files: &Files, file: FileName, said: &str) -> Damage {
    let damage = recover_files(files, true).expect_err("it is damaged");
    assert_eq!(damage.file, file, "{damage}");
    assert!(damage.what.contains(said), "{said:?} in {:?}", damage.what);
    assert!(damage.to_string().starts_with(&format!("{file} at byte {}: ", damage.offset)), "{damage}");
    damage
}

/// A start is interrupted when it has begun segment 3, whose header is torn; the next one finds that segment, which
/// serves nothing, begins segment 4 and is interrupted before it has deleted 3. What is found then is a damaged header
/// in the middle of the log, and nothing is lost.
#[test]
fn an_empty_segment_with_a_torn_header_after_an_interrupted_start_is_passed_over() {
    let before = runs(&[&[append(1, 0), append(1, 1)], &[append(1, 2)]]);
    let whole = recover_files(&before, true).expect("whole");
    let mut header = Vec::new();
    LogEncoder::new(IDENTITY, whole.resume).begin_segment(3, &mut header);
    for cut in (0..SEGMENT_HEADER_BYTES).step_by(8) {
        // Preallocated or not: what never reached the disk reads as zeros.
        for length in [cut, SEGMENT_HEADER_BYTES, 3 * SEGMENT_HEADER_BYTES] {
            let mut torn = header[..cut].to_vec();
            torn.resize(length, 0);
            if torn.get(..80) == Some(&header[..80]) {
                continue;
            }
            let mut files = before.clone();
            files.insert(FileName::Segment(3), torn);
            let again = recover_files(&files, true).expect("its header was never durable");
            assert_eq!((again.next_segment, &again.garbage[..]), (4, &[FileName::Segment(3)][..]));
            let mut encoder = LogEncoder::new(IDENTITY, again.resume);
            let mut next = Vec::new();
            encoder.begin_segment(4, &mut next);
            for written in [false, true] {
                if written {
                    encoder.encode(&append(1, 3), &mut next);
                }
                files.insert(FileName::Segment(4), next.clone());
                let third = recover_files(&files, true).expect("segment 4 goes on after segment 2");
                assert!(third.garbage.contains(&FileName::Segment(3)), "{:?}", third.garbage);
                assert!(third.remarks.is_empty(), "nothing is wrong: {:?}", third.remarks);
                let last = if written { zxid(1, 3) } else { zxid(1, 2) };
                assert_eq!(ends(&third).last(), Some(&last), "cut at {cut} of {length} bytes");
                assert_eq!(third.segments.iter().map(|(number, _)| *number).next(), Some(1));
            }
        }
    }
}

/// The same picture with records that were durable once: the next segment tells that there were some.
#[test]
fn a_segment_that_reads_as_zeros_and_was_not_empty_is_missed() {
    let mut files = three_runs();
    bytes(&mut files, FileName::Segment(2)).fill(0);
    let damage = refused(&files, FIRST, "record 4 is damaged, and records up to 4 were durable");
    assert_eq!((damage.after, damage.remedy), (zxid(1, 1), Remedy::CopyAnew));
    files.remove(&FileName::Segment(2));
    refused(&files, FIRST, "record 4 is damaged, and records up to 4 were durable");
    // A snapshot of all of it makes up for that.
    files.insert(FileName::Snapshot(zxid(1, 2)), snapshot_file(zxid(1, 2)));
    assert_eq!(ends(&recover_files(&files, true).expect("segment 2 is not needed")), [zxid(1, 3)]);
}

#[test]
fn a_damaged_header_before_records_is_refused_wherever_it_stands() {
    for number in 1..=3 {
        let mut files = three_runs();
        bytes(&mut files, FileName::Segment(number))[20] ^= 1;
        let damage = refused(&files, FileName::Segment(number), "its header is damaged");
        assert_eq!((damage.offset, damage.remedy), (0, Remedy::CopyAnew));
    }
    // One that was only just begun behind it does not hide it.
    let mut files = runs(&[&[append(1, 0)]]);
    bytes(&mut files, FIRST)[20] ^= 1;
    files.insert(FileName::Segment(2), vec![0; SEGMENT_HEADER_BYTES]);
    refused(&files, FIRST, "its header is damaged");
}

#[test]
fn a_damaged_header_that_a_snapshot_covers_is_remarked_upon() {
    let mut files = three_runs();
    bytes(&mut files, FIRST)[20] ^= 1;
    files.insert(FileName::Snapshot(zxid(1, 1)), snapshot_file(zxid(1, 1)));
    let recovery = recover_files(&files, true).expect("segment 1 is not needed");
    assert_eq!(ends(&recovery), [zxid(1, 2), zxid(1, 3)]);
    assert_eq!(recovery.remarks, ["log-0000000001 is damaged, but not needed: its header is damaged"]);
    assert_eq!(recovery.garbage, [FIRST]);
    assert_eq!(recovery.recovered.promised, Epoch(1), "the headers behind it carry the promise");
}

#[test]
fn a_durable_record_that_is_damaged_is_refused_on_the_word_of_the_next_segment() {
    // The last record of segment 1: no other record of the segment knows that it was durable.
    let mut files = three_runs();
    let segment = bytes(&mut files, FIRST);
    let end = segment.len();
    segment[end - 12] ^= 1;
    let damage = refused(&files, FIRST, "record 3 is damaged, and records up to 3 were durable");
    assert_eq!(damage.after, zxid(1, 0));
    assert!(damage.offset > SEGMENT_HEADER_BYTES as u64 && damage.offset < end as u64);
    // Cut off, it is missed just as well.
    bytes(&mut files, FIRST).truncate(damage.offset as usize);
    refused(&files, FIRST, "record 3 is damaged, and records up to 3 were durable");
    // Even a header that is torn says that what precedes it was durable.
    let mut files = runs(&[&[append(1, 0)]]);
    bytes(&mut files, FIRST)[SEGMENT_HEADER_BYTES + 40] ^= 1;
    files.insert(FileName::Segment(2), vec![0; 100]);
    refused(&files, FIRST, "record 1 is damaged, and was durable when the next segment was begun");
}

#[test]
fn a_header_that_does_not_go_on_where_the_log_ends_is_refused() {
    let mut files = runs(&[&[append(1, 0)]]);
    let resume = recover_files(&files, true).expect("whole").resume;
    let mut second = Vec::new();
    LogEncoder::new(IDENTITY, Resume { last: zxid(1, 7), ..resume }).begin_segment(2, &mut second);
    files.insert(FileName::Segment(2), second);
    let said = format!("it follows zxid {}, but the log before it ends at {}", zxid(1, 7), zxid(1, 0));
    refused(&files, FileName::Segment(2), &said);
}

#[test]
fn a_damaged_snapshot_gives_way_to_an_older_one_as_long_as_the_log_reaches_back() {
    let mut files = three_runs();
    for counter in [1, 2] {
        files.insert(FileName::Snapshot(zxid(1, counter)), snapshot_file(zxid(1, counter)));
    }
    let newest = FileName::Snapshot(zxid(1, 2));
    let length = files[&newest].len();
    for at in (0..76).chain(80..length - 4) {
        let mut files = files.clone();
        bytes(&mut files, newest)[at] ^= 0x10;
        match recover_files(&files, true) {
            Ok(recovery) => {
                let base = recovery.recovered.snapshot.as_ref().map(|(zxid, _)| *zxid);
                if base == Some(zxid(1, 2)) {
                    // What no checksum covers tells nothing either.
                    assert_eq!(recovery.remarks, [""; 0]);
                    continue;
                }
                assert_eq!((base, ends(&recovery)), (Some(zxid(1, 1)), vec![zxid(1, 2), zxid(1, 3)]));
                assert_eq!(
                    (&recovery.garbage[..], &recovery.snapshots[..]),
                    (&[newest][..], &[zxid(1, 1)][..])
                );
                let said = format!("{newest} is not usable: ");
                assert!(recovery.remarks.iter().all(|remark| remark.starts_with(&said)), "byte {at}");
            }
            Err(damage) => panic!("byte {at}: the older snapshot and the log make up for it: {damage}"),
        }
    }
    // Without the segments between the two there is no way from the older to the end of the log.
    bytes(&mut files, newest)[length / 2] ^= 0x10;
    files.remove(&FIRST);
    files.remove(&FileName::Segment(2));
    let damage = refused(&files, newest, "");
    assert_eq!((damage.after, damage.remedy), (zxid(1, 1), Remedy::CopyAnew));
    assert!(damage.to_string().contains("copies the state anew"), "{damage}");
}

#[test]
fn a_file_under_anothers_name_is_not_taken_for_it() {
    // A segment that was renamed, or written over by another: not this log.
    let mut files = three_runs();
    let third = files[&FileName::Segment(3)].clone();
    files.insert(FileName::Segment(2), third);
    let damage = refused(&files, FileName::Segment(2), "its header is that of log-0000000003");
    assert_eq!(damage.remedy, Remedy::RightOwner);
    assert!(damage.to_string().contains("Nothing was changed"), "{damage}");
    // A snapshot: no more than a damaged one, as long as another will do.
    let mut files = three_runs();
    files.insert(FileName::Snapshot(zxid(1, 2)), snapshot_file(zxid(1, 1)));
    let recovery = recover_files(&files, true).expect("the log is whole");
    assert_eq!((recovery.recovered.snapshot, recovery.garbage), (None, vec![FileName::Snapshot(zxid(1, 2))]));
    // Another server's is no reason to throw anything away.
    let mut other = Vec::new();
    let identity = Identity { node: PeerId(9), ..IDENTITY };
    SnapshotEncoder::begin(identity, zxid(1, 2), &mut other).finish(&mut other);
    files.insert(FileName::Snapshot(zxid(1, 2)), other);
    let damage = refused(&files, FileName::Snapshot(zxid(1, 2)), "it belongs to node 9");
    assert_eq!(damage.remedy, Remedy::RightOwner);
}

#[test]
fn a_file_that_cannot_be_read_is_the_disks_fault() {
    let files = three_runs();
    let names: Vec<String> = files.keys().map(ToString::to_string).collect();
    for bad in files.keys() {
        let found = Found { identity: IDENTITY, formatted: true, vouched: false, names: names.clone() };
        for first_bytes_too in [false, true] {
            let damage = recover(&found, &mut |file, limit| match file == *bad {
                true if first_bytes_too || limit > SEGMENT_HEADER_BYTES => {
                    Err("Input/output error".to_owned())
                }
                _ => Ok(files[&file][..files[&file].len().min(limit)].to_vec()),
            });
            let damage = damage.expect_err("it is needed");
            assert_eq!((damage.file, damage.remedy), (*bad, Remedy::CheckDisk));
            let said = damage.to_string();
            assert!(said.contains("cannot be read: Input/output error"), "{said}");
            assert!(said.contains("Check the disk and the file's permissions"), "{said}");
        }
    }
}

/// Checksums hold, and what the records say makes no log: no promise can be read out of that.
#[test]
fn records_that_contradict_each_other_are_refused() {
    let end = zxid(1, 1);
    for (write, said) in [
        (append(1, 1), format!("entry {end} follows entry {end}")),
        (append(1, 0), format!("entry {} follows entry {end}", zxid(1, 0))),
        (
            Write::Truncate { to: zxid(2, 0) },
            format!("the log is cut to {}, but ends at {end} already", zxid(2, 0)),
        ),
        (
            Write::Truncate { to: Zxid(zxid(1, 0).0 - 1) },
            format!("the log is cut to {}, which it does not contain", Zxid(zxid(1, 0).0 - 1)),
        ),
    ] {
        let sample = sample(&[&[append(1, 0), append(1, 1), write]]);
        let files = one_segment(sample.bytes.clone());
        let damage = refused(&files, FIRST, &said);
        assert_eq!(damage.offset, sample.ends[2] as u64);
        assert!(damage.after <= end, "{damage}");
    }
}
