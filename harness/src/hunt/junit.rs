//! JUnit's XML: a test case for each property, not for each seed, which no CI system could show.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::findings::{Finding, Findings};
use super::properties::PROPERTIES;
use super::record::Record;
use super::tell;

/// The whole document.
pub fn xml(record: &Record, findings: &Findings) -> String {
    let mut cases: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    if record.totals.schedules > 0 {
        cases.extend(PROPERTIES.iter().map(|name| (*name, Vec::new())));
    }
    for finding in findings.ranked() {
        cases.entry(&finding.smallest.property).or_default().push(finding);
    }
    let failed = cases.values().filter(|findings| !findings.is_empty()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, time) = (cases.len(), format!("{:.3}", record.totals.seconds));
    let _ =
        writeln!(text, "<testsuites name=\"hunt\" tests=\"{tests}\" failures=\"{failed}\" time=\"{time}\">");
    let _ = writeln!(
        text,
        "  <testsuite name=\"hunt {}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" \
         timestamp=\"{}\" time=\"{time}\">",
        escape(&record.run),
        record.started.trim_end_matches('Z'),
    );
    let _ = writeln!(text, "    <properties>");
    for (name, value) in [
        ("commit", record.build.commit.clone().unwrap_or_else(|| "unknown".into())),
        ("seeds", format!("{}..{}", record.ran.start, record.ran.end)),
        ("schedules", record.totals.schedules.to_string()),
        ("shard", record.options.shard.to_string()),
    ] {
        let _ = writeln!(text, "      <property name=\"{name}\" value=\"{}\"/>", escape(&value));
    }
    let _ = writeln!(text, "    </properties>");
    for (property, findings) in &cases {
        let name = escape(property);
        if findings.is_empty() {
            let _ = writeln!(text, "    <testcase classname=\"vivarium.hunt\" name=\"{name}\"/>");
            continue;
        }
        let seeds: u64 = findings.iter().map(|finding| finding.seeds).sum();
        let message = format!("{}: broken by {seeds} seeds", findings[0].smallest.meaning);
        let body: Vec<String> = findings.iter().map(|finding| tell::finding(finding)).collect();
        let _ = writeln!(
            text,
            "    <testcase classname=\"vivarium.hunt\" name=\"{name}\">\n      <failure type=\"{name}\" \
             message=\"{}\">{}</failure>\n    </testcase>",
            escape(&message),
            escape(&body.join("\n\n")),
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// What may stand in XML. Control characters may not, in any spelling.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_the_document() {
        assert_eq!(escape("a<b & \"c\">\u{0}\n"), "a&lt;b &amp; &quot;c&quot;&gt;\u{fffd}\n");
    }
}
