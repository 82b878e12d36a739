//! JSON in one form only, so that a signature is over bytes that everybody can make again.
//! Not all of RFC 8785: keys are ASCII and numbers whole and below 2^53, for which both agree.

use std::fmt::Write;

use serde_json::Value;

/// The largest number that every reader of JSON holds exactly.
const NUMBER_MAX: u64 = 1 << 53;

/// The one form: keys in order, no space, no line break; none if a number does not fit.
pub(super) fn written(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Some(text)
}

/// Reads a file that is the one form and a line break; none if it is anything else.
pub(super) fn read(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let form = written(&value)?;
    (text.strip_suffix('\n') == Some(&form)).then_some(value)
}

fn write(value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(yes) => text.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => {
            let number = number.as_u64().filter(|number| *number <= NUMBER_MAX)?;
            write!(text, "{number}").ok()?;
        }
        Value::String(string) => text.push_str(&quoted(string)),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            // Sorted here, too: whether the map keeps its order is somebody else's choice.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            text.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(key));
                text.push(':');
                write(value, text)?;
            }
            text.push('}');
        }
    }
    Some(())
}

fn quoted(string: &str) -> String {
    serde_json::to_string(string).expect("a string is JSON")
}
