//! Which bug is planted; 0 for none. The copy of the sources that has the bugs carries this file in its core; the
//! sources themselves only test it.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Plants a bug, before anything runs: by its rule's name in whatever case, or by its number, which is the name's place
/// in `names`, from 1. An empty text and 0 plant nothing.
///
/// # Errors
/// When no rule is called that, with those that are called something like it.
pub fn set(wanted: &str, names: &[&str]) -> Result<(), String> {
    NUMBER.store(number(wanted.trim(), names)?, Relaxed);
    Ok(())
}

/// Whether this bug is planted.
#[inline(always)]
pub fn is(number: u32) -> bool {
    NUMBER.load(Relaxed) == number
}

fn number(wanted: &str, names: &[&str]) -> Result<u32, String> {
    if wanted.is_empty() {
        return Ok(0);
    }
    if let Ok(number) = wanted.parse::<u32>() {
        return match number as usize <= names.len() {
            true => Ok(number),
            false => Err(format!(
                "there is no rule {number}: they have the numbers 1 to {}, and 0 is for none",
                names.len()
            )),
        };
    }
    let called = |name: &&str| name.eq_ignore_ascii_case(wanted);
    if let Some(place) = names.iter().position(called) {
        return Ok(place as u32 + 1);
    }
    let alike = |name: &&&str| name.to_ascii_lowercase().contains(&wanted.to_ascii_lowercase());
    let alike: Vec<&str> = names.iter().filter(alike).copied().collect();
    let hint = match alike.is_empty() {
        true => "`harness bugs --list` says which there are".to_owned(),
        false => format!("there is {}", alike.join(", ")),
    };
    Err(format!("no rule is named {wanted:?}; {hint}"))
}
