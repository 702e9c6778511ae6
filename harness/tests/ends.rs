//! How the `harness` command ends: each exit code, what is said with it, and what is left on disk.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{folder, harness, json, run};

#[test]
fn nothing_broken_is_0() {
    let (code, out, err) = run(harness().args(["hunt", "--seeds", "12", "--double-check", "100", "--json"]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("12 schedules, 0 failures") && out.contains("12 run twice, 0 not deterministic"),
        "{out}"
    );
    let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    assert_eq!((last["schedules"].as_u64(), last["exit"]["code"].as_u64()), (Some(12), Some(0)));
    assert!(
        !out.contains('\r') && !out.contains('\u{1b}') && err.is_empty(),
        "no terminal, no drawing: {out:?} {err:?}"
    );
    let (code, out, _) = run(harness().args(["check-determinism", "3", "--runs", "3"]));
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_broken_property_is_1_and_can_be_run_again() {
    let out = folder("broken");
    let (code, text, _) = run(harness()
        .args(["hunt", "--seeds", "6", "--sabotage", "forged-data", "--failures", "100", "--out"])
        .arg(&out));
    assert_eq!(code, 1, "{text}");
    for wanted in
        ["  property  \"reads\"", "  seen      ", "  expected  ", "  smallest  seed ", "  replay    "]
    {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    let latest = out.join("latest");
    let record = json(&latest.join("run.json"));
    assert_eq!(
        (record["exit"]["code"].as_u64(), record["exit"]["reason"].as_str()),
        (Some(1), Some("complete"))
    );
    let failures = std::fs::read_to_string(latest.join("failures.jsonl")).expect("failures");
    assert_eq!(failures.lines().count() as u64, record["totals"]["failures"].as_u64().expect("a count"));
    assert!(
        std::fs::read_to_string(latest.join("junit.xml"))
            .expect("JUnit")
            .contains("name=\"reads\">\n      <failure")
    );

    assert!(text.contains("  minimal   ") && text.contains("            | format"), "{text}");

    // The command that it tells shows the same failure, and so does the file.
    let replay = text.lines().find_map(|line| line.strip_prefix("  replay    ")).expect("a command");
    let words: Vec<&str> = replay.split(' ').skip_while(|word| *word != "replay").collect();
    let (code, shown, _) = run(harness().args(&words));
    assert!(code == 1 && shown.contains("property \"reads\" is broken"), "{shown}");
    // So do the verbs that look at a run: the same world, with the same thing wrong.
    let named: Vec<&str> = words[1..].iter().copied().filter(|word| *word != "--verbose").collect();
    assert!(named.contains(&"--seed") && named.contains(&"--sabotage"), "{named:?}");
    for verb in ["record", "view"] {
        let file = out.join(verb);
        let (code, shown, err) = run(harness().arg(verb).args(&named).arg("-o").arg(&file));
        assert!(code == 0 && shown.contains("\"reads\" is broken at event "), "{verb}: {shown}{err}");
    }
    let (_, shown, err) = run(harness().arg("show").arg(out.join("record")).args(["--json", "--count", "0"]));
    let header: serde_json::Value = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{shown}{err}"));
    let (schedule, again) = (header["schedule"].as_str(), header["replay"].as_str());
    assert!(schedule.is_some_and(|text| text.ends_with("drawn\nsabotage forged-data\n")), "{header}");
    assert!(again.is_some_and(|text| text.ends_with("--sabotage forged-data --verbose")), "{header}");
    let (code, shown, err) = run(harness().arg("step").args(&named).stdin(Stdio::null()));
    assert!(code == 0 && shown.contains("\"reads\" is broken"), "{shown}{err}");
    let mut examples = 0;
    for entry in std::fs::read_dir(latest.join("fail")).expect("examples") {
        let (code, shown, err) =
            run(harness().arg("replay").arg(entry.expect("a folder").path().join("orig.sched")));
        assert!(code == 0 && shown.contains("broken, as expected"), "{shown}{err}");
        examples += 1;
    }
    assert_eq!(Some(examples), record["totals"]["signatures"].as_u64());
}

#[test]
fn not_all_run_is_2() {
    let (code, out, _) = run(harness().args(["hunt", "--seeds", "1000000", "--time", "0"]));
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("ended early: time was up"), "{out}");
    // Without a number to reach, the time is what was asked.
    let (code, out, _) = run(harness().args(["hunt", "--time", "1s"]));
    assert_eq!(code, 0, "{out}");
}

#[test]
fn an_interrupted_hunt_tells_what_it_ran_and_loses_nothing() {
    let out = folder("interrupted");
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut command = harness();
        command.args([
            "hunt",
            "--seeds",
            "1000000",
            "--sabotage",
            "mute",
            "--failures",
            "1000000",
            "--json",
            "--out",
        ]);
        let mut child = command.arg(&out).stdout(Stdio::piped()).spawn().expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // Once something has failed it is in the middle of its work.
        let said = lines
            .find(|line| line.as_ref().expect("text").contains("is broken"))
            .expect("a failure")
            .expect("text");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(child.id() as i32).expect("a process"),
            signal,
        )
        .expect("it runs");
        let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
        let code = child.wait().expect("it ends").code();
        assert_eq!(code, Some(1), "{said}\n{rest:#?}");
        assert!(rest.iter().any(|line| line.contains("it was interrupted")), "{rest:#?}");
        let record = json(&out.join("latest/run.json"));
        assert_eq!(record["exit"]["reason"], "interrupted");
        let (start, end) = (record["ran"]["start"].as_u64().unwrap(), record["ran"]["end"].as_u64().unwrap());
        assert_eq!(end - start, record["totals"]["schedules"].as_u64().unwrap());
        assert!(end > start && end < 1_000_000);
        let failures = std::fs::read_to_string(out.join("latest/failures.jsonl")).expect("failures");
        assert_eq!(failures.lines().count() as u64, record["totals"]["failures"].as_u64().unwrap());
    }
}

#[test]
fn two_runs_of_a_seed_that_differ_are_3() {
    let (code, out, _) = run(harness().args(["hunt", "--seeds", "2", "--double-check", "100", "--fickle"]));
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("\"determinism\" is broken") && out.contains("check-determinism "), "{out}");
    let (code, out, _) = run(harness().args(["check-determinism", "0", "--fickle"]));
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("run 1 and run 2 differ") && out.contains("observations are the same"), "{out}");
}

#[test]
fn nothing_to_run_is_4() {
    for arguments in [
        &["hunt", "--seeds", "5..5"][..],
        &["hunt", "--seeds", "1", "--shard", "1/2"],
        &["hashes", "--seeds", "0"],
    ] {
        let (code, out, err) = run(harness().args(arguments));
        assert_eq!(code, 4, "{arguments:?}: {out}{err}");
    }
    let (code, out, err) = run(harness().arg("merge").arg(folder("empty")));
    assert_eq!(code, 4, "{out}{err}");
}

#[test]
fn what_another_build_wrote_is_5() {
    let path = folder("other-format").join("old.sched");
    std::fs::write(&path, "format 1\nexpect clean\nseed 7\n").expect("a writable folder");
    let (code, out, err) = run(harness().arg("replay").arg(&path));
    assert_eq!(code, 5, "{out}{err}");
    assert!(
        err.contains("old.sched") && err.contains("line 1") && err.contains("record the run again"),
        "{err}"
    );
}

#[test]
fn wrong_usage_is_64_and_says_what_is_wanted() {
    for (arguments, wanted) in [
        (&["hunt", "--shard", "3/2"][..], "1 <= K <= N"),
        (&["hunt", "--shard", "0/2"], "1 <= K <= N"),
        (&["hunt", "--seeds", "9..5"], "ends before it begins"),
        (&["hunt", "--seeds", "1..5", "--from", "3"], "leave --from out"),
        (&["hunt", "--time", "soon"], "the unit is s, m or h"),
        (&["hunt", "--profile", "weekly"], "smoke"),
        (&["check-determinism", "1", "--runs", "1"], "2.."),
        (&["replay", "nowhere.sched"], "nowhere.sched"),
        (&["fly"], "unrecognized"),
        (&[], "Usage"),
    ] {
        let (code, out, err) = run(harness().args(arguments));
        assert_eq!(code, 64, "{arguments:?}: {out}{err}");
        assert!(err.contains(wanted), "{arguments:?}: {wanted} in {err}");
    }
    let (code, _, err) = run(harness().arg("hunt").env("JOB_COMPLETION_INDEX", "2"));
    assert!(code == 64 && err.contains("HARNESS_SHARDS is not: set it"), "{err}");
}

#[test]
fn trouble_of_its_own_is_70_and_says_where() {
    let file = folder("trouble").join("a-file");
    std::fs::write(&file, "").expect("a writable folder");
    let (code, out, err) = run(harness().args(["hunt", "--seeds", "5", "--out"]).arg(file.join("below")));
    assert!(code == 70 && err.contains("cannot make the folder") && err.contains("a-file"), "{out}{err}");
    assert!(!out.contains("schedules"), "it finds out before it works, not after: {out}");
    let (code, _, err) = run(harness().arg("merge").arg(file.join("below")));
    assert!(code == 70 && err.contains("cannot read"), "{err}");

    // A full disk: what was found is still told, and the code does not say that all is well.
    let (code, out, err) = run(harness().args(["hunt", "--seeds", "3", "--junit", "/dev/full"]));
    assert_eq!(code, 70, "{err}");
    assert!(err.contains("/dev/full") && err.contains("No space left"), "{err}");
    assert!(out.contains("3 schedules, 0 failures"), "{out}");
}

#[test]
fn a_corpus_holds_or_is_expected_to_fail() {
    let traces = folder("corpus");
    let (code, out, _) = run(harness().args(["corpus", "run"]).arg(&traces));
    assert!(code == 4 && out.contains("0 trace files"), "{out}");
    let (code, out, err) = run(harness().arg("corpus").arg(traces.join("nowhere")));
    assert!(code == 64 && err.contains("cannot read the directory"), "{out}{err}");

    // One that holds, and one that is said to hold and does not.
    let holds = "format 2\nexpect clean\nseed 7\ndrawn\n";
    std::fs::write(traces.join("holds.sched"), holds).expect("a writable folder");
    for arguments in [&["corpus"][..], &["corpus", "run"]] {
        let (code, out, err) = run(harness().args(arguments).arg(&traces));
        assert!(code == 0 && out.contains("1 trace files"), "{out}{err}");
    }
    let (code, out, _) = run(harness().args(["corpus", "run", "--expect-fail"]).arg(&traces));
    assert!(code == 1 && out.contains("fixed? move") && out.contains("holds.sched"), "{out}");
    std::fs::write(traces.join("holds.sched"), format!("{holds}sabotage mute\n")).expect("a writable folder");
    let (code, out, _) = run(harness().args(["corpus", "run"]).arg(&traces));
    assert!(code == 1 && out.contains("\"progress\" is broken"), "{out}");
    let (code, out, _) = run(harness().args(["corpus", "run", "--expect-fail"]).arg(&traces));
    assert!(code == 0 && out.contains("known, and still so"), "{out}");
    let (code, out, _) = run(harness().args(["replay", "--expect-fail"]).arg(traces.join("holds.sched")));
    assert!(code == 0, "{out}");
}

#[test]
fn junit_has_a_case_for_each_property() {
    let path = folder("junit").join("junit.xml");
    let (code, out, _) = run(harness().args(["hunt", "--seeds", "2", "--junit"]).arg(&path));
    assert_eq!(code, 0, "{out}");
    let xml = std::fs::read_to_string(&path).expect("JUnit's file");
    let cases = xml.matches("<testcase ").count();
    assert!(xml.contains(&format!("tests=\"{cases}\" failures=\"0\"")) && cases > 20, "{xml}");
    assert!(
        xml.contains("name=\"writes-linearizable\"/>") && xml.contains("name=\"determinism\"/>"),
        "{xml}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_complaint() {
    for arguments in [&["replay", "--seed", "1", "--verbose"][..], &["cover", "--seeds", "3"]] {
        let mut child = harness()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built with the tests");
        // Closed before a word of it is read.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
