//! Java's properties format, as `java.util.Properties` reads it: what a `zoo.cfg` is written in.
//!
//! Not here: what the keys mean.

/// One key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Escapes undone.
    pub key: String,
    /// Escapes undone, and white space trimmed at both ends, as ZooKeeper does.
    pub value: String,
}

/// The text of a file. One that is not UTF-8 is Latin-1, which is what Java takes every properties file for.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// All entries, in the order of the file, repeated keys included.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    // A lone carriage return ends a line too: Java has it from before Unix.
    let text = text.replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).enumerate();
    while let Some((index, first)) = lines.next() {
        let mut logical = first.trim_start_matches(BLANK).to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        // An odd number of backslashes at the end joins the next line, whatever that looks like.
        while logical.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start_matches(BLANK)),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        entries.push(Entry { line: index + 1, key: unescape(key), value: unescape(value).trim().to_owned() });
    }
    entries
}

/// White space within a line.
const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

/// The key ends at the first `=`, `:` or blank that is not escaped; one `=` or `:` among the blanks after it is skipped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|character: char| {
        let ends = !escaped && (matches!(character, '=' | ':') || BLANK.contains(&character));
        escaped = !escaped && character == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANK);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANK))
}

/// Undoes escapes. A backslash before a character that needs none is dropped.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            None => {}
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                plain.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let pairs = pairs(text);
        assert_eq!(pairs.len(), 1, "{pairs:?}");
        pairs.into_iter().next().expect("one pair")
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn separators() {
        for text in ["a=b", "a:b", "a b", "a = b", "a\t:\tb", "  a=b  ", "a=b\r", "a  b"] {
            assert_eq!(one(text), pair("a", "b"), "{text:?}");
        }
        assert_eq!(one("a"), pair("a", ""));
        assert_eq!(one("a="), pair("a", ""));
        assert_eq!(one("a==b"), pair("a", "=b"));
        assert_eq!(one("server.1=h:2888:3888;2181"), pair("server.1", "h:2888:3888;2181"));
        assert_eq!(one("a\\=b=c"), pair("a=b", "c"));
    }

    #[test]
    fn comments_and_empty_lines() {
        assert_eq!(pairs("# a=b\n\n  ! c=d\n   \n"), vec![]);
        assert_eq!(one("a=b # not a comment"), pair("a", "b # not a comment"));
    }

    #[test]
    fn continuation() {
        assert_eq!(one("a=b,\\\n   c"), pair("a", "b,c"));
        assert_eq!(one("a=b\\\n# c"), pair("a", "b# c"));
        assert_eq!(pairs("a=b\\\\\nc=d"), vec![pair("a", "b\\"), pair("c", "d")]);
        assert_eq!(one("a=b\\"), pair("a", "b"));
    }

    #[test]
    fn escapes() {
        assert_eq!(one("a=\\u0041\\tb\\\\c\\d"), pair("a", "A\tb\\cd"));
        assert_eq!(one("a=\\u00"), pair("a", "\u{fffd}"));
    }

    #[test]
    fn lines_are_numbered() {
        let entries = parse("# one\na=1\nb=2\\\n3\nc=4\n");
        let lines: Vec<usize> = entries.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [2, 3, 5]);
        let windows = parse("a=1\r\nb=2\r\nc=3");
        let lines: Vec<usize> = windows.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn encodings() {
        assert_eq!(text("é".as_bytes()), "é");
        assert_eq!(text(&[0xe9]), "é");
        assert_eq!(text("\u{feff}a".as_bytes()), "a");
    }
}
