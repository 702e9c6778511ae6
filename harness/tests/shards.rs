//! A hunt cut into parts, as the systems that run many processes would start them, and joined again.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

use support::{folder, harness, json, run};

const HUNT: [&str; 10] =
    ["hunt", "--seeds", "20..53", "--double-check", "10", "--jobs", "1", "--shrink", "0", "--out"];

/// Starts all processes at once, each with its own environment, and gives their exit codes.
fn start_all(out: &Path, options: &[&str], environments: &[Vec<(&str, String)>]) -> Vec<i32> {
    let children: Vec<Child> = environments
        .iter()
        .map(|environment| {
            let mut command = harness();
            command.args(HUNT).arg(out).args(options).envs(environment.iter().cloned());
            command.stdout(Stdio::null()).spawn().expect("the binary")
        })
        .collect();
    let wait = |mut child: Child| child.wait().expect("it ends").code().expect("it was not killed");
    children.into_iter().map(wait).collect()
}

/// The joined record, and the exit code of joining.
fn merged(out: &Path, options: &[&str]) -> (i32, serde_json::Value, String) {
    let (code, text, err) = run(harness().arg("merge").arg(out).args(options).arg("--json"));
    let last = text.lines().last().unwrap_or_default();
    let value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}{err}"));
    (code, value, text)
}

/// All seeds once: by their ranges, which have to fit together, and by their number.
fn assert_whole(merged: &serde_json::Value, shards: usize) {
    assert_eq!(merged["totals"]["schedules"], 33);
    assert_eq!(merged["shards"].as_array().expect("shards").len(), shards);
    for key in ["gaps", "overlaps", "notes"] {
        assert_eq!(merged[key], serde_json::json!([]), "{key}");
    }
    let mut next = 20;
    for shard in merged["shards"].as_array().expect("shards") {
        assert_eq!(shard["ran"]["start"], next, "{merged:#}");
        next = shard["ran"]["end"].as_u64().expect("a seed");
    }
    assert_eq!(next, 53);
}

#[test]
fn each_system_runs_all_seeds_once() {
    let kubernetes: Vec<_> = (0..4)
        .map(|index| vec![("JOB_COMPLETION_INDEX", index.to_string()), ("HARNESS_SHARDS", "4".into())])
        .collect();
    let slurm: Vec<_> = (7..12)
        .map(|task: u32| {
            vec![
                ("SLURM_ARRAY_JOB_ID", "4242".into()),
                ("SLURM_ARRAY_TASK_ID", task.to_string()),
                ("SLURM_ARRAY_TASK_MIN", "7".into()),
                ("SLURM_ARRAY_TASK_MAX", "11".into()),
                ("SLURM_ARRAY_TASK_STEP", "1".into()),
                ("SLURM_ARRAY_TASK_COUNT", "5".into()),
            ]
        })
        .collect();
    let github: Vec<_> = (0..3)
        .map(|index| {
            let index = [("HARNESS_SHARD_INDEX", index.to_string()), ("HARNESS_SHARDS", "3".into())];
            [&index[..], &[("CI", "true".into())]].concat()
        })
        .collect();
    for (name, environments) in [("kubernetes", kubernetes), ("slurm", slurm), ("github", github)] {
        let out = folder(name);
        let codes = start_all(&out, &[], &environments);
        assert!(codes.iter().all(|code| *code == 0), "{name}: {codes:?}");
        let (code, merged, text) = merged(&out, &[]);
        assert_eq!(code, 0, "{name}: {text}");
        assert_whole(&merged, environments.len());
    }
}

#[test]
fn failures_of_all_shards_are_joined_by_signature() {
    let (apart, whole) = (folder("apart"), folder("whole"));
    let sabotage = ["--sabotage", "swapped-replies", "--failures", "1000"];
    let shards: Vec<_> = (0..3)
        .map(|index: u32| vec![("HARNESS_SHARD_INDEX", index.to_string()), ("HARNESS_SHARDS", "3".into())])
        .collect();
    assert_eq!(start_all(&apart, &sabotage, &shards), [1, 1, 1]);
    assert_eq!(start_all(&whole, &sabotage, &[vec![]]), [1]);
    let joined = folder("joined");
    let joined_argument = joined.to_str().expect("a path of text");
    let (code, from_apart, text) = merged(&apart, &["-o", joined_argument]);
    assert_eq!(code, 1, "{text}");
    let (code, from_whole, _) = merged(&whole, &[]);
    assert_eq!(code, 1);
    // Three shards and a single process come to the same: the same findings with the same smallest examples.
    assert!(!from_apart["findings"].as_array().expect("findings").is_empty());
    assert_eq!(from_apart["findings"], from_whole["findings"]);
    for key in
        ["schedules", "failures", "first_failing_seed", "double_checked", "events", "signatures", "marks_hit"]
    {
        assert_eq!(from_apart["totals"][key], from_whole["totals"][key], "{key}");
    }
    let seeds = |folder: &Path| -> BTreeSet<u64> {
        let text = std::fs::read_to_string(folder.join("latest/failures.jsonl")).expect("failures");
        let parse = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        text.lines().map(|line| parse(line)["seed"].as_u64().expect("a seed")).collect()
    };
    assert_eq!(seeds(&joined), seeds(&whole));
    let (marks, marks_whole) = (joined.join("latest/coverage.json"), whole.join("latest/coverage.json"));
    assert_eq!(json(&marks), json(&marks_whole));
    assert!(json(&marks)["marks"].as_object().is_some_and(|marks| marks.len() > 10));
    assert_eq!(json(&joined.join("latest/merge.json"))["gaps"], serde_json::json!([]));
    assert!(joined.join("latest/junit.xml").is_file() && joined.join("latest/fail").is_dir());
}

#[test]
fn what_is_missing_and_what_does_not_fit_is_told() {
    let out = folder("missing");
    let shard = |index: u32| vec![("HARNESS_SHARD_INDEX", index.to_string()), ("HARNESS_SHARDS", "3".into())];
    assert_eq!(start_all(&out, &[], &[shard(0), shard(2)]), [0, 0]);
    let (code, value, text) = merged(&out, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("no results of shard 2 of 3") && text.contains("seeds 31..42 were not run"),
        "{text}"
    );
    assert_eq!(value["gaps"], serde_json::json!([{"start": 31, "end": 42}]));

    // Tried again, after it had been killed: the longer one counts.
    assert_eq!(start_all(&out, &["--time", "0"], &[shard(1)]), [2]);
    let (code, _, err) = run(harness().arg("merge").arg(&out));
    assert!(code == 64 && err.contains("time limit is 0 s") && err.contains("--force"), "{err}");
    assert_eq!(start_all(&out, &[], &[shard(1)]), [0]);
    let (code, value, text) = merged(&out, &["--force"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("shard 2/3 ran more than once"), "{text}");
    assert_eq!((&value["totals"]["schedules"], &value["gaps"]), (&33.into(), &serde_json::json!([])));
}

#[test]
fn half_written_results_are_read_as_far_as_they_go_and_broken_ones_are_refused() {
    let out = folder("killed");
    let options = ["--sabotage", "early-sync", "--failures", "1000"];
    assert_eq!(start_all(&out, &options, &[vec![]]), [1]);
    let (run_json, failures) = (out.join("latest/run.json"), out.join("latest/failures.jsonl"));
    // As a process leaves it that is killed while it writes.
    let mut record = json(&run_json);
    record["exit"] = serde_json::Value::Null;
    std::fs::write(&run_json, record.to_string()).expect("writable");
    let text = std::fs::read_to_string(&failures).expect("failures");
    std::fs::write(&failures, &text[..text.len() - 20]).expect("writable");
    let (code, value, told) = merged(&out, &[]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("it was killed, or still runs"), "{told}");
    let seeds: u64 = value["findings"]
        .as_array()
        .expect("some")
        .iter()
        .map(|one| one["seeds"].as_u64().expect("a count"))
        .sum();
    assert_eq!(seeds + 1, text.lines().count() as u64);

    std::fs::write(&failures, format!("what?\n{text}")).expect("writable");
    let (code, _, err) = run(harness().arg("merge").arg(&out));
    assert!(code == 70 && err.contains("failures.jsonl, line 1"), "{err}");
    std::fs::write(&run_json, "{}").expect("writable");
    let (code, _, err) = run(harness().arg("merge").arg(&out));
    assert!(code == 70 && err.contains("run.json is not what"), "{err}");
}
