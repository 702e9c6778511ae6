use vivarium_harness::run::Runner;
use vivarium_harness::trace::Trace;
use vivarium_sim::Verdict;

#[test]
fn forged_data() {
    let schedule = r#"
format 2
expect violation reads
seed 0
nodes 1
chaos 100ms
weather even
limits election=30ms heartbeat=20ms session_timeout_max_ms=2000 session_timeout_min_ms=200 silence=100ms sync=500ms tick=100ms
client 0
sabotage forged-data
@0ms client 0 asks GetData(path:"/",watch:false)
"#;
    let trace = Trace::parse(schedule).expect("a schedule");
    let report = Runner::default().run(&trace.schedule, &mut ());
    let Verdict::Broken(violation) = &report.verdict else {
        panic!("every property holds: is the bug fixed?");
    };
    assert_eq!(violation.property, "reads", "{violation:?}");
}
