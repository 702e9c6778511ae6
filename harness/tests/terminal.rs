//! What a hunt draws on a terminal: a real one as far as the program can tell, with a little screen behind it.

mod support;

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::harness;

const COLUMNS: usize = 80;

/// Both ends of a terminal: the one that sees the screen, and the one that programs write to.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has terminals");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let size = Winsize { ws_row: 24, ws_col: COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("a terminal has a size");
    let name = ptsname(&ours, Vec::new()).expect("it has a name");
    let name = name.to_str().expect("a plain name");
    let theirs = File::options().read(true).write(true).open(name).expect("it can be opened");
    (File::from(ours), theirs)
}

/// A screen as far as a hunt uses one: a cursor that goes up, down and to the left, and lines that are cleared.
#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
    column: usize,
    /// What it showed whenever the cursor was about to go up, to clear it or to write over it.
    frames: Vec<String>,
    /// All that was ever written to it.
    written: String,
}

impl Screen {
    fn show(&mut self, text: &str) {
        self.written.push_str(text);
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            match next {
                '\r' => self.column = 0,
                '\n' => self.down(1),
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "a control sequence");
                    let mut number = String::new();
                    let command = loop {
                        match rest.next().expect("a whole control sequence") {
                            digit if digit.is_ascii_digit() => number.push(digit),
                            command => break command,
                        }
                    };
                    self.obey(command, number.parse().unwrap_or(1));
                }
                next => self.put(next),
            }
        }
    }

    fn obey(&mut self, command: char, number: usize) {
        match command {
            'A' => {
                self.frames.push(self.text());
                self.row -= number;
            }
            'B' => self.down(number),
            'K' => {
                assert_eq!(number, 2, "the whole line");
                self.line().clear();
            }
            other => panic!("a hunt has no use for the control sequence {other:?} with {number}"),
        }
    }

    fn down(&mut self, rows: usize) {
        self.row += rows;
        self.line();
    }

    fn put(&mut self, next: char) {
        if self.column == COLUMNS {
            self.column = 0;
            self.down(1);
        }
        let column = self.column;
        let line = self.line();
        let mut chars: Vec<char> = line.chars().collect();
        chars.resize(chars.len().max(column + 1), ' ');
        chars[column] = next;
        *line = chars.into_iter().collect();
        self.column += 1;
    }

    fn line(&mut self) -> &mut String {
        let rows = self.lines.len().max(self.row + 1);
        self.lines.resize(rows, String::new());
        &mut self.lines[self.row]
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n").trim_end().to_owned()
    }
}

/// A hunt with its standard error on a terminal: what that has shown, and what went to standard output.
fn hunted(arguments: &[&str]) -> (Screen, String) {
    let (mut ours, theirs) = terminal();
    let mut command = harness();
    command.args(arguments).env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(theirs);
    let mut child = command.spawn().expect("the binary was built with the tests");
    // The only other holder of the terminal's far end: without this it would never end.
    drop(command);
    let mut results = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        results.read_to_string(&mut text).expect("it writes text");
        text
    });
    let (mut drawn, mut part) = (Vec::new(), [0; 4096]);
    // A terminal that nobody writes to any more ends with an error.
    while let Ok(1..) = ours.read(&mut part).inspect(|length| drawn.extend_from_slice(&part[..*length])) {}
    child.wait().expect("it ends");
    let mut screen = Screen::default();
    screen.show(std::str::from_utf8(&drawn).expect("it draws text"));
    (screen, reader.join().expect("a reader does not panic"))
}

#[test]
fn a_block_of_four_lines_is_drawn_in_place_and_taken_away() {
    let (screen, results) = hunted(&["hunt", "--seeds", "150", "--jobs", "1"]);
    assert_eq!(screen.text(), "", "nothing is left of it");
    assert!(results.contains("150 schedules, 0 failures") && !results.contains('\u{1b}'), "{results}");
    // Not all at once, or it would be no progress.
    let blocks: Vec<&String> = screen.frames.iter().filter(|frame| !frame.is_empty()).collect();
    assert!(blocks.len() > 3, "{blocks:#?}");
    for block in blocks {
        let begins = ["seeds      ", "simulated  ", "failures   no failures; coverage ", "slowest    seed "];
        assert_eq!(block.lines().count(), begins.len(), "{block}");
        for (line, begin) in block.lines().zip(begins) {
            assert!(line.starts_with(begin) && line.len() < COLUMNS, "{block}");
        }
        assert!(block.contains(" of 150 (") && block.contains(" left\n"), "{block}");
    }
}

#[test]
fn while_failures_are_made_small_the_screen_says_so() {
    let (screen, results) =
        hunted(&["hunt", "--seeds", "20", "--sabotage", "forged-data", "--failures", "1", "--shrink", "2s"]);
    assert_eq!(screen.text(), "", "nothing is left of it");
    assert!(results.contains("  minimal   "), "{results}");
    assert!(screen.written.contains("making failures small: 1 kind, 2.0 s at most"), "{}", screen.written);
}
