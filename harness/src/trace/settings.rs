//! Settings as `key=value` pairs: only those that differ from the default are written, and the others are what the
//! default says. Values are JSON; times of the core, which are numbers of nanoseconds, are written as times.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vivarium_sim::times;

/// Keys of the core's limits that are durations in nanoseconds.
const DURATIONS: [&str; 5] = ["tick", "heartbeat", "silence", "sync", "election"];

/// The pairs in which `value` differs from `default`, each with a space before it.
pub fn differences<T: Serialize>(value: &T, default: &T) -> String {
    let (value, default) = (object(value), object(default));
    let mut text = String::new();
    for (key, value) in &value {
        if default.get(key) != Some(value) {
            text.push_str(&format!(" {key}={}", write(key, value)));
        }
    }
    text
}

/// The default, changed by pairs.
///
/// # Errors
/// Which pair is wrong, and what is wanted.
pub fn apply<T: Serialize + DeserializeOwned>(pairs: &str, default: &T) -> Result<T> {
    let mut settings = object(default);
    for pair in pairs.split_whitespace() {
        let (key, value) =
            pair.split_once('=').with_context(|| format!("`key=value` is wanted, not `{pair}`"))?;
        if !settings.contains_key(key) {
            let known: Vec<&str> = settings.keys().map(String::as_str).collect();
            bail!("`{key}` is not known; there are {}", known.join(", "));
        }
        let value = read(key, value).with_context(|| format!("`{pair}`"))?;
        settings.insert(key.to_owned(), value);
    }
    serde_json::from_value(Value::Object(settings)).map_err(|error| anyhow!("{error}"))
}

fn object<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("settings are structs of plain data, not {other:?}"),
    }
}

fn write(key: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if DURATIONS.contains(&key) => {
            times::format(number.as_u64().expect("a duration is not negative"))
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn read(key: &str, text: &str) -> Result<Value> {
    if DURATIONS.contains(&key) {
        return Ok(times::parse(text).map_err(|error| anyhow!(error))?.into());
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    if text.contains(',') {
        let items = text.split(',').map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        return Ok(Value::Array(items.context("a list of numbers with commas is wanted")?));
    }
    ensure!(!text.is_empty(), "a value is wanted");
    Ok(Value::String(text.to_owned()))
}
