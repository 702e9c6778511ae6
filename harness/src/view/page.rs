//! The page: its parts put into one file, with the data compressed in it.

use std::io::Write;

use anyhow::Result;
use base64::Engine as _;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::data::data;
use crate::recording::Recording;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");

/// The scripts, in the order in which they build on each other.
const SCRIPTS: &[&str] = &[
    include_str!("page/notation.js"),
    include_str!("page/model.js"),
    include_str!("page/causality.js"),
    include_str!("page/filter.js"),
    include_str!("page/layout.js"),
    include_str!("page/palette.js"),
    include_str!("page/diagram.js"),
    include_str!("page/minimap.js"),
    include_str!("page/sidebar.js"),
    include_str!("page/card.js"),
    include_str!("page/app.js"),
];

/// A page that shows one recording, or two side by side.
///
/// # Errors
/// When the data cannot be encoded.
pub(super) fn page(recordings: &[Recording]) -> Result<String> {
    let names: Vec<&str> = recordings.iter().map(|recording| recording.header.name.as_str()).collect();
    let script = format!("(() => {{\n\"use strict\";\n{}\n}})();", SCRIPTS.join("\n"));
    let mut page = String::new();
    let mut rest = FRAME;
    // One pass over the frame, so that nothing in the data can be taken for a place to fill.
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        match place {
            "title" => page.push_str(&escape(&names.join(" and "))),
            "style" => page.push_str(STYLE),
            "script" => page.push_str(&script),
            "data" => page.push_str(&packed(&data(recordings))?),
            other => unreachable!("the page has no place for {other}"),
        }
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

fn packed(data: &serde_json::Value) -> Result<String> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::new(6));
    serde_json::to_writer(&mut packer, data)?;
    packer.flush()?;
    Ok(base64::engine::general_purpose::STANDARD.encode(packer.finish()?))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::source::Source;

    #[test]
    fn a_page_is_one_file_that_asks_for_no_other() {
        let mut recording = Source::Seed(3, None).recording().unwrap();
        recording.header.name = "<b>&{{data}}".into();
        let page = page(&[recording]).unwrap();
        assert!(page.contains("&lt;b&gt;&amp;{{data}}"), "names are text");
        for foreign in ["http://", "https://", "src=", "@import", "url(", "<link rel=\"stylesheet\""] {
            assert!(!page.contains(foreign), "the page contains {foreign}");
        }
        assert_eq!(page.matches("</script>").count(), 2, "nothing in the scripts ends them early");
    }

    #[test]
    fn the_data_is_unpacked_as_it_was_packed() {
        use std::io::Read;
        let value = serde_json::json!({ "a": [1, 2, 3], "b": "ä</script>" });
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed(&value).unwrap()).unwrap();
        let mut text = String::new();
        flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
