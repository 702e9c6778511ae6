//! Rule files: a bug written down as small edits of the core's sources.
//!
//! ```text
//! entry ZK-1154
//! title A DIFF for a follower whose last entry the leader never had
//! breaks prefix-agreement agreement
//! canary
//!
//! Prose: what is planted, and what comes of it.
//!
//! file core/src/replica/sync.rs
//! <<<
//!     if log.contains(last) {
//! ===
//!     if planted!() || log.contains(last) {
//! >>>
//! ```
//!
//! `breaks` lists the properties that may rightly be the first to notice. `canary` is for rules that the gate runs. The
//! old text has to occur exactly once in the file as the rules before it (by name) have left it; the new text keeps the
//! right behaviour beside the wrong one and asks `planted!()` which of them it is to be. Applying them is `plant`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// The word that a rule's text asks with.
pub const QUESTION: &str = "planted!()";

/// A bug that can be planted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The file's name without its ending.
    pub name: String,
    /// The entry of the list of known bugs; or `own`, of this project; or `other`.
    pub entry: String,
    /// In a few words.
    pub title: String,
    /// Properties that may rightly be the first to notice it.
    pub breaks: Vec<String>,
    /// Whether the gate hunts for it.
    pub canary: bool,
    /// What is planted, and what comes of it.
    pub prose: String,
    /// In the order in which they apply.
    pub edits: Vec<Edit>,
}

/// A change to one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// Path from the top of the sources.
    pub file: String,
    /// The line of the rule's file at which it begins.
    pub line: usize,
    /// What is there.
    pub old: String,
    /// What is to be there instead.
    pub new: String,
}

impl Rule {
    /// Reads a rule's text.
    ///
    /// # Errors
    /// Names the line and what was expected there.
    pub fn parse(name: &str, text: &str) -> Result<Rule> {
        let mut rule = Rule {
            name: name.to_owned(),
            entry: String::new(),
            title: String::new(),
            breaks: Vec::new(),
            canary: false,
            prose: String::new(),
            edits: Vec::new(),
        };
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        for (number, line) in lines.by_ref() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" => break,
                "entry" => rule.entry = rest.trim().to_owned(),
                "title" => rule.title = rest.trim().to_owned(),
                "breaks" => rule.breaks.extend(rest.split_whitespace().map(str::to_owned)),
                "canary" => rule.canary = true,
                _ => bail!("line {number}: expected `entry`, `title`, `breaks` or `canary`, found {line:?}"),
            }
        }
        let mut file = None;
        while let Some((number, line)) = lines.next() {
            if let Some(path) = line.strip_prefix("file ") {
                file = Some(path.trim().to_owned());
            } else if line == "<<<" {
                let file = file.clone().with_context(|| format!("line {number}: an edit without a file"))?;
                let old = block(&mut lines, "===", number)?;
                let new = block(&mut lines, ">>>", number)?;
                ensure!(!old.is_empty(), "line {number}: the text to replace is empty");
                ensure!(
                    file.starts_with("core/src/") && file.ends_with(".rs"),
                    "line {number}: {file} is no source of the core: bugs are planted there and nowhere else"
                );
                rule.edits.push(Edit { file, line: number, old, new });
            } else if file.is_none() {
                rule.prose.push_str(line);
                rule.prose.push('\n');
            } else {
                ensure!(line.is_empty(), "line {number}: expected `file PATH` or `<<<`, found {line:?}");
            }
        }
        rule.prose = rule.prose.trim().to_owned();
        ensure!(!rule.entry.is_empty(), "no `entry`");
        ensure!(!rule.title.is_empty(), "no `title`");
        ensure!(!rule.breaks.is_empty(), "no `breaks`: the properties that may notice it");
        ensure!(!rule.prose.is_empty(), "no prose that says what is planted");
        ensure!(!rule.edits.is_empty(), "no edits");
        ensure!(
            rule.edits.iter().any(|edit| edit.new.contains(QUESTION)),
            "no new text asks `{QUESTION}`: the bug would be there always"
        );
        Ok(rule)
    }

    /// All rules of a folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read; or names the first file that is no rule, the line, and why.
    pub fn read_all(folder: &Path) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        let entries = std::fs::read_dir(folder).with_context(|| format!("rules in {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != "rule") {
                continue;
            }
            let name =
                path.file_stem().and_then(|stem| stem.to_str()).context("a rule's name is plain text")?;
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            rules.push(Rule::parse(name, &text).with_context(|| path.display().to_string())?);
        }
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rules)
    }
}

/// The lines up to the one that ends the block.
fn block<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, end: &str, begun: usize) -> Result<String> {
    let mut text = Vec::new();
    for (_, line) in lines {
        if line == end {
            return Ok(text.join("\n"));
        }
        text.push(line);
    }
    bail!("line {begun}: the edit that begins here has no `{end}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "entry GEN-01\ntitle Quorum off by one\nbreaks one-leader agreement\n\nHalf is enough.\n\nfile \
                        core/src/quorum.rs\n<<<\n        a\n===\n        if planted!() { b } else { a }\n>>>\n";

    #[test]
    fn a_rule_is_read_whole() {
        let rule = Rule::parse("GEN-01", GOOD).expect("a good rule");
        assert_eq!((rule.entry.as_str(), rule.canary), ("GEN-01", false));
        assert_eq!(rule.breaks, ["one-leader", "agreement"]);
        assert_eq!(rule.prose, "Half is enough.");
        assert_eq!(rule.edits[0].old, "        a");
        assert_eq!(rule.edits[0].new, "        if planted!() { b } else { a }");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let complaint = |text: &str| format!("{:#}", Rule::parse("x", text).expect_err("a bad rule"));
        assert!(complaint(&GOOD.replace("breaks", "brakes")).contains("line 3"));
        assert!(complaint(&GOOD.replace("===", "==")).contains("line 8"));
        assert!(complaint(&GOOD.replace("core/src", "sim/src")).contains("no source of the core"));
        assert!(complaint(&GOOD.replace("planted!()", "true")).contains("always"));
        assert!(complaint(&GOOD.replace("Half is enough.", "")).contains("prose"));
    }
}
