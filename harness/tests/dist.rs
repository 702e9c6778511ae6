//! The files for other machines do what they say: what stands in them is run here, in the environment that the system
//! they are for would set, and joined.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{folder, harness, run};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// All documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    use serde::Deserialize;
    let text = std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

fn strings(value: &Value) -> Vec<String> {
    let texts =
        value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned());
    texts.collect()
}

/// Joins what lies in a folder: the exit code, and the last line.
fn merge(results: &Path) -> (i32, Value) {
    let (code, out, err) = run(harness().arg("merge").arg(results).arg("--json"));
    let last = out.lines().last().unwrap_or_default();
    (code, serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

#[test]
fn the_kubernetes_job_runs_every_seed_once() {
    let documents = yaml("harness/dist/kubernetes-job.yaml");
    let job = documents.iter().find(|document| document["kind"] == "Job").expect("a job");
    let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    assert_eq!((&job["apiVersion"], &spec["completionMode"]), (&"batch/v1".into(), &"Indexed".into()));
    // A pod that restarts in place would keep its index and lose its folder's name.
    assert_eq!(pod["restartPolicy"], "Never");
    let container = &pod["containers"][0];
    for rule in spec["podFailurePolicy"]["rules"].as_array().expect("rules") {
        if let Some(exits) = rule.get("onExitCodes") {
            assert_eq!(exits["containerName"], container["name"]);
        }
    }
    let (volume, mount) = (&pod["volumes"][0], &container["volumeMounts"][0]);
    assert_eq!(volume["name"], mount["name"]);
    let claim =
        documents.iter().find(|document| document["kind"] == "PersistentVolumeClaim").expect("a claim");
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"]);

    let completions = spec["completions"].as_u64().expect("a number");
    let environment: Vec<(String, String)> = container["env"]
        .as_array()
        .expect("variables")
        .iter()
        .map(|one| {
            (one["name"].as_str().expect("a name").into(), one["value"].as_str().expect("a text").into())
        })
        .collect();
    assert!(environment.contains(&("HARNESS_SHARDS".into(), completions.to_string())), "{environment:?}");

    let results = folder("kubernetes-job");
    assert_eq!(strings(&container["command"]), ["harness"]);
    let place = mount["mountPath"].as_str().expect("a path");
    let own = results.to_str().expect("a path of text");
    let arguments: Vec<String> =
        strings(&container["args"]).iter().map(|text| text.replace(place, own)).collect();
    let pods: Vec<_> = (0..completions)
        .map(|index| {
            let mut pod = harness();
            pod.args(&arguments).args(["--seeds", "24", "--jobs", "1"]).envs(environment.clone());
            pod.env("JOB_COMPLETION_INDEX", index.to_string())
                .stdout(Stdio::null())
                .spawn()
                .expect("the binary")
        })
        .collect();
    for mut pod in pods {
        assert!(pod.wait().expect("it ends").success());
    }
    let (code, merged) = merge(&results);
    assert_eq!((code, &merged["totals"]["schedules"]), (0, &24.into()), "{merged:#}");
    assert_eq!(merged["shards"].as_array().map(Vec::len), Some(completions as usize));
}

#[test]
fn the_slurm_array_runs_every_seed_once() {
    let script = top().join("harness/dist/slurm-array.sh");
    let results = folder("slurm-array");
    // 0, 2, 4, 6: as --array=0-6:2 numbers its tasks.
    let tasks: Vec<_> = (0..4)
        .map(|task: u32| {
            let mut command = harness_through("bash");
            command.arg(&script).args(["--seeds", "10..30", "--profile", "nightly"]);
            command.env("HARNESS", env!("CARGO_BIN_EXE_harness")).env("RESULTS", &results);
            command.env("SLURM_CPUS_PER_TASK", "1").env("SLURM_ARRAY_JOB_ID", "4242");
            command.env("SLURM_ARRAY_TASK_ID", (2 * task).to_string()).env("SLURM_ARRAY_TASK_COUNT", "4");
            command.env("SLURM_ARRAY_TASK_MIN", "0").env("SLURM_ARRAY_TASK_MAX", "6");
            command.env("SLURM_ARRAY_TASK_STEP", "2").stdout(Stdio::null()).spawn().expect("bash")
        })
        .collect();
    for mut task in tasks {
        assert!(task.wait().expect("it ends").success());
    }
    let (code, merged) = merge(&results);
    assert_eq!(
        (code, &merged["totals"]["schedules"], &merged["gaps"]),
        (0, &20.into(), &Value::Array(vec![]))
    );
    let (code, out, err) = run(harness_through("bash").arg(&script));
    assert!(code != 0 && err.contains("sbatch --array=1-N"), "{out}{err}");
}

/// Another program, in the same plain environment.
fn harness_through(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, value) in harness().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn the_nightly_workflow_hunts_on_every_shard_and_joins() {
    let workflow = &yaml(".github/workflows/nightly.yml")[0];
    let jobs = &workflow["jobs"];
    let step = |job: &str, name: &str| -> Value {
        let steps = jobs[job]["steps"].as_array().expect("steps");
        steps
            .iter()
            .find(|step| step["name"] == name)
            .unwrap_or_else(|| panic!("{job} has no {name}"))
            .clone()
    };
    let hunt = step("hunt", "Hunt");
    assert_eq!(hunt["env"]["HARNESS_SHARD_INDEX"], "${{ strategy.job-index }}");
    assert_eq!(hunt["env"]["HARNESS_SHARDS"], "${{ strategy.job-total }}");
    assert_eq!(jobs["hunt"]["strategy"]["fail-fast"], false);
    assert_eq!((&jobs["hunt"]["needs"], &jobs["merge"]["needs"]), (&"build".into(), &"hunt".into()));
    // The results are wanted most when something has failed.
    assert_eq!(jobs["merge"]["if"], "always()");

    let machines = folder("nightly");
    let count = jobs["hunt"]["strategy"]["matrix"]["shard"].as_array().expect("a matrix").len();
    let machine = |name: &str| {
        let machine = machines.join(name);
        std::fs::create_dir_all(&machine).expect("a writable folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_harness"), machine.join("harness")).expect("a link");
        machine
    };
    let script = |step: &Value, machine: &Path| {
        let text = step["run"].as_str().expect("a script").replace("chmod +x harness", "");
        let mut command = harness_through("bash");
        command.args(["-euo", "pipefail", "-c", &text]).current_dir(machine).env("CI", "true");
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", machine.join("summary.md"));
        command
    };
    let first = (1_u64 << 40).to_string();
    let running: Vec<_> = (0..count)
        .map(|index| {
            let mut command = script(&hunt, &machine(&format!("machine-{index}")));
            command.env("HARNESS_SHARD_INDEX", index.to_string()).env("HARNESS_SHARDS", count.to_string());
            command.env("TIME", "1s").env("FROM", &first).stdout(Stdio::null()).spawn().expect("bash")
        })
        .collect();
    for mut one in running {
        assert!(one.wait().expect("it ends").success());
    }
    // What uploading and downloading of artefacts makes of it: a folder for each machine's results.
    let merging = machine("merging");
    std::fs::create_dir(merging.join("shards")).expect("a writable folder");
    for index in 0..count {
        let to = merging.join(format!("shards/results-{index}"));
        std::fs::rename(machines.join(format!("machine-{index}/results")), to).expect("results");
    }
    let (code, out, err) = run(&mut script(&step("merge", "Join"), &merging));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("shard ")).count(), count, "{out}");
    assert!(out.contains("::group::hunt: every property held"), "{out}");
    assert!(merging.join("junit.xml").is_file() && merging.join("joined/latest/run.json").is_file());
    let summary = std::fs::read_to_string(merging.join("summary.md")).expect("a summary");
    assert!(summary.starts_with("### Hunt: every property held"), "{summary}");
}

#[test]
fn the_workflow_for_changes_runs_the_gate() {
    let workflow = &yaml(".github/workflows/ci.yml")[0];
    let steps = workflow["jobs"]["gate"]["steps"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["run"] == ".ci/run"));
    assert!(top().join(".ci/run").is_file());
}
