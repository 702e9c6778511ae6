//! Which four-letter words are answered: `4lw.commands.whitelist`.

use std::collections::BTreeSet;
use std::fmt;

/// Every word there is (section 11.1 of the protocol).
pub const WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", "stmk", "wchc", "wchp", "wchs",
];

/// Answered unless the file says otherwise: those that change nothing and cost little. ZooKeeper answers `srvr` alone,
/// and every monitoring guide begins with how to change that.
pub const WORDS_BY_DEFAULT: [&str; 10] =
    ["conf", "cons", "dirs", "envi", "isro", "mntr", "ruok", "srvr", "stat", "wchs"];

/// The words that are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words(BTreeSet<&'static str>);

impl Words {
    /// Parses a list: words with commas between, or `*` for all. The words that do not exist come back beside it.
    pub fn parse(list: &str) -> (Words, Vec<String>) {
        let mut words = BTreeSet::new();
        let mut unknown = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match WORDS.iter().find(|word| **word == item) {
                Some(word) => {
                    words.insert(*word);
                }
                None if item == "*" => words.extend(WORDS),
                None => unknown.push(item.to_owned()),
            }
        }
        (Words(words), unknown)
    }

    /// Whether `word` is answered.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

impl Default for Words {
    /// [`WORDS_BY_DEFAULT`].
    fn default() -> Words {
        Words(WORDS_BY_DEFAULT.into_iter().collect())
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().copied().collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let (words, unknown) = Words::parse("srvr, ruok ,,nope");
        assert_eq!(words.to_string(), "ruok, srvr");
        assert_eq!(unknown, ["nope"]);
        let (all, unknown) = Words::parse("*");
        assert!(WORDS.iter().all(|word| all.contains(word)));
        assert!(unknown.is_empty());
        assert_eq!(Words::parse("").0.to_string(), "");
        assert!(Words::default().contains("mntr"));
        assert!(!Words::default().contains("dump"));
        assert!(WORDS_BY_DEFAULT.iter().all(|word| WORDS.contains(word)));
    }
}
