//! Paths of znodes: which ones are legal, and how they come apart.
//!
//! A legal path is what section 5 of the protocol lets a client create. Nothing here normalizes, folds case or bounds a
//! length: two paths are the same node exactly when their bytes are equal. Whether a node exists is the tree's
//! business. Reads never validate a path, so every helper here takes any string at all.

use crate::error::ErrorCode;

/// The root.
pub const ROOT: &str = "/";
/// The reserved subtree.
pub const ZOOKEEPER: &str = "/zookeeper";
/// Where quotas are kept.
pub const QUOTA: &str = "/zookeeper/quota";
/// The ensemble's configuration.
pub const CONFIG: &str = "/zookeeper/config";

/// Whether a node may be created at `path`: `BadArguments` when it may not.
///
/// The rules: it begins with `/`; it does not end with one unless it is the root; no component is empty, `.` or `..`; no
/// control character (U+0000 to U+001F, U+007F to U+009F), no surrogate and so no character beyond U+FFFF, none of
/// private use up to U+F8FF, none of U+FFF0 to U+FFFF.
pub fn validate(path: &str) -> Result<(), ErrorCode> {
    if path == ROOT {
        return Ok(());
    }
    let Some(below_root) = path.strip_prefix('/') else {
        return Err(ErrorCode::BadArguments);
    };
    if !path.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) && !path.chars().all(is_legal) {
        return Err(ErrorCode::BadArguments);
    }
    // Bytes, not `split` of the text, which searches for a character: several times as long for short names.
    for component in below_root.as_bytes().split(|byte| *byte == b'/') {
        if matches!(component, b"" | b"." | b"..") {
            return Err(ErrorCode::BadArguments);
        }
    }
    Ok(())
}

/// The path of the parent and the name in it: `/a/b` is `b` in `/a`, `/a` is `a` in `/`. `None` for the root and for what
/// has no `/`, so that climbing from any path ends.
pub fn parent_and_name(path: &str) -> Option<(&str, &str)> {
    if path == ROOT { None } else { split_last(path) }
}

/// As [`parent_and_name`], with the root taken for a nameless node in the root: where a sequential node created at `/`
/// goes. `None` only for what has no `/`.
pub fn split_last(path: &str) -> Option<(&str, &str)> {
    let slash = path.rfind('/')?;
    let parent = if slash == 0 { ROOT } else { &path[..slash] };
    Some((parent, &path[slash + 1..]))
}

/// The path of the node `name` in `parent`.
pub fn join(parent: &str, name: &str) -> String {
    let separator = if parent == ROOT { "" } else { "/" };
    format!("{parent}{separator}{name}")
}

/// The path of a sequential node: ten digits. The counter is wider than ZooKeeper's, which sticks at 2^31 - 1: there are
/// more digits only after ten thousand million children.
pub fn sequential(prefix: &str, counter: i64) -> String {
    const DIGITS: usize = 10;
    // By hand: a formatter takes as long as all the rest of a create.
    let mut digits = [b'0'; DIGITS];
    let mut left = counter;
    for digit in digits.iter_mut().rev() {
        if left < 0 {
            break;
        }
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    if left != 0 {
        return format!("{prefix}{counter:010}");
    }
    let mut path = String::with_capacity(prefix.len() + DIGITS);
    path.push_str(prefix);
    path.push_str(str::from_utf8(&digits).expect("digits are text"));
    path
}

/// Whether it is one of the four nodes that no client may delete.
pub fn is_reserved(path: &str) -> bool {
    matches!(path, ROOT | ZOOKEEPER | QUOTA | CONFIG)
}

/// The rules are of UTF-16 units: one beyond U+FFFF is a pair of surrogates, and those are refused.
fn is_legal(character: char) -> bool {
    !matches!(
        character as u32,
        0x0000..=0x001f | 0x007f..=0x009f | 0xd800..=0xf8ff | 0xfff0..=0x0010_ffff
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rules as the protocol's table lists them, one after the other, on UTF-16 units.
    fn validate_slowly(path: &str) -> bool {
        let units: Vec<u16> = path.encode_utf16().collect();
        let slash = u16::from(b'/');
        if units.first() != Some(&slash) {
            return false;
        }
        if units.len() > 1 && units.last() == Some(&slash) {
            return false;
        }
        if path.contains("//") {
            return false;
        }
        for bad in [".", ".."] {
            if path.contains(&format!("/{bad}/")) || path.ends_with(&format!("/{bad}")) {
                return false;
            }
        }
        for unit in units {
            let control = unit <= 0x1f || (0x7f..=0x9f).contains(&unit);
            let surrogate_or_private = (0xd800..=0xf8ff).contains(&unit);
            if control || surrogate_or_private || unit >= 0xfff0 {
                return false;
            }
        }
        true
    }

    #[test]
    fn legal_paths() {
        for path in ["/", "/a", "/a/b", "/...", "/a.b/.c", "/ ", "/ä/ß", "/\u{fa00}", "/\u{ffef}", "/~"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn illegal_paths() {
        let paths = [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/\0",
            "/\u{1}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{ffff}",
            "/😀",
        ];
        for path in paths {
            assert_eq!(validate(path), Err(ErrorCode::BadArguments), "{path:?}");
        }
    }

    #[test]
    fn coming_apart() {
        assert_eq!(parent_and_name("/"), None);
        assert_eq!(parent_and_name(""), None);
        assert_eq!(parent_and_name("foo"), None);
        assert_eq!(parent_and_name("/a"), Some(("/", "a")));
        assert_eq!(parent_and_name("/a/b"), Some(("/a", "b")));
        assert_eq!(parent_and_name("/foo//b"), Some(("/foo/", "b")));
        assert_eq!(parent_and_name("/a/"), Some(("/a", "")));
        assert_eq!(split_last("/"), Some(("/", "")));
        assert_eq!(split_last("a/b"), Some(("a", "b")));
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
    }

    #[test]
    fn sequence_suffix() {
        assert_eq!(sequential("/s-", 1), "/s-0000000001");
        assert_eq!(sequential("/s-", i32::MAX.into()), "/s-2147483647");
        assert_eq!(sequential("/s-", 9_999_999_999), "/s-9999999999");
        assert_eq!(sequential("/s-", 10_000_000_000), "/s-10000000000");
        assert_eq!(sequential("", 0), "0000000000");
        for counter in [-1, -20, i64::MIN, i64::MAX, 1234567890] {
            assert_eq!(sequential("/s-", counter), format!("/s-{counter:010}"));
        }
        assert_eq!(sequential("/s-", i64::from(i32::MAX) + 1), "/s-2147483648");
    }

    proptest! {
        #[test]
        fn the_fast_check_agrees_with_the_slow_one(path in "[/.a\u{0}\u{1f} \u{7f}\u{80}\u{a0}é\u{d7ff}\u{e000}\u{f8ff}\u{f900}\u{ffef}\u{fff0}\u{ffff}😀]{0,12}") {
            prop_assert_eq!(validate(&path).is_ok(), validate_slowly(&path));
        }

        #[test]
        fn any_character_is_judged_alike(character in any::<char>()) {
            let path = format!("/a{character}");
            prop_assert_eq!(validate(&path).is_ok(), validate_slowly(&path));
        }

        #[test]
        fn mostly_dots_and_slashes(path in "/[/.a]{0,10}") {
            prop_assert_eq!(validate(&path).is_ok(), validate_slowly(&path));
        }

        #[test]
        fn a_legal_path_comes_apart_and_together(path in "(/[a-z.é]{1,4}){1,5}") {
            if validate(&path).is_ok() {
                let (parent, name) = parent_and_name(&path).expect("it is not the root");
                prop_assert_eq!(validate(parent), Ok(()));
                prop_assert!(!name.contains('/'));
                prop_assert_eq!(join(parent, name), path);
            }
        }
    }
}
