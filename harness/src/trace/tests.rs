//! What is written is read; what cannot be read is told with its line.

use super::*;
use crate::run::{Runner, listed};

#[test]
fn what_is_written_is_read_and_runs_the_same() {
    let mut runner = Runner::default();
    for seed in 0..60 {
        let drawn = Schedule::draw(seed);
        let (report, choices) = runner.record(&drawn, &mut ());
        let mut trace = Trace::of(listed(&drawn, choices), &report);
        trace.story = vec!["A story.".into(), String::new(), "Of two parts.".into()];
        let text = trace.to_string();
        let read = Trace::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
        assert_eq!(read.to_string(), text, "seed {seed}");
        assert_eq!(read.schedule.choices, trace.schedule.choices, "seed {seed}");
        assert_eq!(read.schedule.faults, trace.schedule.faults, "seed {seed}");
        assert_eq!(runner.run(&read.schedule, &mut ()), report, "seed {seed}");
    }
}

#[test]
fn a_list_that_is_not_in_order_runs_as_its_text_does() {
    use vivarium_sim::schedule::Choices;
    let mut runner = Runner::default();
    let mut different = 0;
    for seed in 0..10 {
        let drawn = Schedule::draw(seed);
        let (_, mut choices) = runner.record(&drawn, &mut ());
        // As rounding times leaves it.
        for (place, choice) in choices.iter_mut().enumerate() {
            choice.at += place as u64 % 7 * 3 * vivarium_sim::MS;
        }
        let schedule = Schedule { choices: Choices::Listed(choices), ..drawn };
        let report = runner.run(&schedule, &mut ());
        let read =
            Trace::parse(&Trace::of(schedule.clone(), &report).to_string()).expect("it was written just now");
        different += u32::from(read.schedule.choices != schedule.choices);
        assert_eq!(runner.run(&read.schedule, &mut ()), report, "seed {seed}");
    }
    assert!(different > 5, "most lists were out of order, not {different}");
}

#[test]
fn what_is_repeated_runs_as_if_it_stood_there_so_often() {
    let head = "format 2\nexpect clean\nseed 1\nclient 0\n";
    let request = "SetData(path:\"/\",data:\"x\",version:-1)";
    let repeated = format!("{head}@100ms client 0 repeats=3 every=2.5ms {request}\n");
    let single: String =
        ["100ms", "102.5ms", "105ms"].map(|at| format!("@{at} client 0 asks {request}\n")).concat();
    let [repeated, single] =
        [repeated, format!("{head}{single}")].map(|text| Trace::parse(&text).expect("it is a trace"));
    assert_eq!((repeated.schedule.decisions(), single.schedule.decisions()), (1, 3));
    let again = Trace::parse(&repeated.to_string()).expect("it was written just now");
    assert_eq!(again.schedule.choices, repeated.schedule.choices);
    let mut runner = Runner::default();
    let (report, recorded) = runner.record(&repeated.schedule, &mut ());
    assert_eq!(report, runner.run(&single.schedule, &mut ()));
    assert_eq!(recorded, single.schedule.listed());
}

#[test]
fn a_drawn_trace_is_its_seed() {
    let trace =
        Trace::parse("# x\nformat 2\nexpect violation progress\nseed 7\ndrawn\nsabotage mute\n").unwrap();
    assert_eq!(trace.expect.as_deref(), Some("progress"));
    assert_eq!(trace.schedule.faults, Schedule::draw(7).faults);
    assert_eq!(Trace::parse(&trace.to_string()).unwrap().to_string(), trace.to_string());
}

#[test]
fn a_plain_world_needs_few_words() {
    let trace = Trace::parse("format 2\nexpect clean\nseed 1\n").unwrap();
    assert_eq!(trace.schedule.nodes, 3);
    assert!(trace.schedule.even);
    assert_eq!(Runner::default().run(&trace.schedule, &mut ()).verdict, Verdict::Clean);
}

#[test]
fn what_is_not_understood_is_refused_with_its_line_and_what_is_wanted() {
    let head = "format 2\nexpect clean\nseed 1\nclient 0\n";
    for (line, complaint) in [
        ("frobnicate 3", "there are format, expect"),
        ("nodes 9", "1 to 8 servers"),
        ("nodes many", "a number is wanted"),
        ("chaos 5", "a time like 2.5ms"),
        ("limits tick=fast", "a time like"),
        ("limits speed=3", "there are"),
        ("clock 4 drift_ppm=3", "the servers are 1 to 3"),
        ("client 5", "client 1 is wanted"),
        ("weather fine", "`weather even`"),
        ("hash xyz", "hexadecimal"),
        ("sabotage all", "early-sync"),
        ("@5ms", "`fault`, `message`"),
        ("@5 fault CrashAll(down:\"5ms\")", "a time like"),
        ("@5ms fault CrashSome(down:\"5ms\")", "at column"),
        ("@5ms fault CrashAll(down:\"5\")", "a time like"),
        ("@5ms fault Crash(target:Node(0),power:true,down:\"5ms\")", "numbered from 1"),
        ("@5ms message 1>1 Propose#0 lost", "for another server"),
        ("@5ms message 1>2 Prose#0 lost", "the kinds of messages are"),
        ("@5ms message 1>2 Propose lost", "`KIND#N`"),
        ("@5ms message 1>2 Propose#0", "`lost`"),
        ("@5ms sync 1 Tape#0 late=1ms", "the lanes are"),
        ("@5ms client 1 drops", "not announced"),
        ("@5ms client 0 jumps", "`asks OP`"),
        ("@5ms client 0 repeats=0 every=1ms Ping", "1 to 100000 times"),
        ("@5ms client 0 repeats=3 Ping", "`repeats=N every=TIME OP`"),
        ("@5ms client 0 repeats=3 every=1 Ping", "a time like"),
        ("@5ms client 0 asks Delete(path:\"/a\")", "at column"),
    ] {
        let error = format!("{:#}", Trace::parse(&format!("{head}{line}\n")).unwrap_err());
        assert!(error.contains("line 5") && error.contains(complaint), "{line:?} gave {error:?}");
    }
    for (text, complaint) in [
        ("", "empty"),
        ("seed 7\nexpect clean", "`format 2`"),
        ("format 1\nseed 7", "format 2 is wanted"),
        ("format 2\nexpect clean", "seed"),
        ("format 2\nseed 7", "expect"),
        (
            "format 2\nexpect clean\nseed 7\ndrawn\n@5ms fault CrashAll(down:\"5ms\")",
            "leave one of the two out",
        ),
    ] {
        let error = format!("{:#}", Trace::parse(text).unwrap_err());
        assert!(error.contains(complaint), "{text:?} gave {error:?}");
    }
}
