//! What an owner asks of the switch, read strictly from JSON or from the page's form, and the words for it.
//! Not here: whether it is allowed (`grant/`, the register).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::error::Error;
use super::terms::{Written, terms_json};
use crate::clock::Timestamp;
use crate::grant::{By, Consent, Customer, Mode, Scope, State, Terms};

/// The fields of a consent's JSON.
const FIELDS: [&str; 4] = ["mode", "scope", "until", "terms"];

/// A wish for the switch. `scope` is none only for [`Mode::Off`], where it does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where the switch is to stand.
    pub mode: Mode,
    /// How far.
    pub scope: Option<Scope>,
    /// None: until it is switched off.
    pub until: Option<Timestamp>,
    /// None: as they are.
    pub terms: Option<Terms>,
}

/// A JSON object with its fields in order, repeated ones included.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"mode\":\"off\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Wish {
    /// Reads `{"mode", "scope", "until", "terms"}`; anything else is refused by name.
    pub fn from_json(body: &[u8], now: Timestamp) -> Result<Wish, Error> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|error| {
            let hint = "Send an object such as {\"mode\":\"standing\",\"scope\":\"read\",\"until\":null}.";
            Error::client("not-json", format!("the body is not the JSON expected here: {error}"), hint)
        })?;
        let (mut mode, mut scope, mut until, mut terms) = (None, None, None, None);
        for (name, value) in fields {
            let slot = match name.as_str() {
                "mode" => &mut mode,
                "scope" => &mut scope,
                "until" => &mut until,
                "terms" => &mut terms,
                _ => return Err(unknown("field", &name, &FIELDS)),
            };
            if slot.replace(value).is_some() {
                let hint = "Send each field once.";
                return Err(Error::client("repeated-field", format!("field \"{name}\" is there twice"), hint));
            }
        }
        let terms = match terms {
            None | Some(Value::Null) => None,
            Some(terms) => Some(serde_json::from_value::<Written>(terms).map_err(not_terms)?.read()?),
        };
        let wish = Wish::new(
            &word("mode", mode)?.ok_or_else(|| missing("mode", "off, per-request, standing"))?,
            word("scope", scope)?.as_deref(),
            word("until", until)?.map(|text| timestamp("until", &text)).transpose()?,
            now,
        )?;
        Ok(Wish { terms, ..wish })
    }

    /// Checks the words and that they go together.
    pub fn new(mode: &str, scope: Option<&str>, until: Option<Timestamp>, now: Timestamp) -> Result<Wish, Error> {
        let mode = mode.parse().map_err(|_| unknown("mode", mode, Mode::WORDS))?;
        let scope = match scope {
            None => None,
            Some("read") => Some(Scope::Read),
            Some("write") => Some(Scope::Write),
            Some(other) => return Err(unknown("scope", other, &["read", "write"])),
        };
        match (mode, scope, until) {
            (Mode::Off, _, Some(_)) => {
                let hint = "Leave \"until\" out: off has no end; access stays off until you switch it on.";
                Err(Error::client("until-of-off", "\"until\" does not go with mode \"off\"", hint))
            }
            (Mode::Standing | Mode::PerRequest, None, _) => Err(missing("scope", "read, write")),
            (Mode::Standing | Mode::PerRequest, _, Some(until)) if until <= now => {
                let hint = "Give a time to come, or mode \"off\" to end access now.";
                Err(Error::client("until-past", format!("\"until\" is not later than now, {}", rfc3339(now)), hint))
            }
            (Mode::Off | Mode::Standing | Mode::PerRequest, _, _) => Ok(Wish { mode, scope, until, terms: None }),
        }
    }

    /// Whether this could let anybody in.
    pub fn widens(&self) -> bool {
        match self.mode {
            Mode::Off => false,
            Mode::PerRequest | Mode::Standing => true,
        }
    }
}

/// The choices of the form's "until when".
pub const SPANS: [(&str, &str, Duration); 4] = [
    ("2h", "for 2 hours", Duration::from_secs(2 * 3600)),
    ("8h", "for 8 hours", Duration::from_secs(8 * 3600)),
    ("1d", "for 24 hours", Duration::from_secs(24 * 3600)),
    ("7d", "for 7 days", Duration::from_secs(7 * 24 * 3600)),
];

/// The end chosen in the form: a span from now, the one in force, a time of its own, or none.
pub fn until_of_form(
    choice: &str,
    time: &str,
    current: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    if let Some((_, _, span)) = SPANS.iter().find(|(key, _, _)| *key == choice) {
        return Ok(Some(now.plus(*span)));
    }
    match choice {
        "open" => Ok(None),
        "kept" => Ok(current),
        "time" => {
            let parsed = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
                .iter()
                .find_map(|format| NaiveDateTime::parse_from_str(time.trim(), format).ok());
            let Some(parsed) = parsed else {
                let hint = "Go back and give a date and time such as 2030-01-31T17:00, in UTC.";
                return Err(Error::client("until", "the end you gave is not a date and time", hint));
            };
            Ok(Some(Timestamp(parsed.and_utc().timestamp_micros())))
        }
        _ => Err(Error::client("until", "the form's end is not one of its choices", "Open the page again.")),
    }
}

fn not_terms(error: serde_json::Error) -> Error {
    let hint = "Send an object such as {\"longest\":\"2h\",\"hours\":\"mon-fri 09:00-17:00 Europe/Berlin\"}; known are \
                longest, approvals, break_glass, hours, addresses, regions.";
    Error::client("terms", format!("\"terms\" are not terms: {error}"), hint)
}

fn word(name: &str, value: Option<Value>) -> Result<Option<String>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            let hint = "Put the value in double quotes.";
            Err(Error::client("not-a-text", format!("field \"{name}\" must be a text"), hint))
        }
    }
}

fn missing(name: &str, choices: &str) -> Error {
    Error::client("missing-field", format!("field \"{name}\" is missing"), format!("Add \"{name}\": one of {choices}."))
}

/// Names what was not understood and the nearest right word.
pub fn unknown(what: &'static str, found: &str, known: &[&str]) -> Error {
    let code = match what {
        "field" => "unknown-field",
        "parameter" => "unknown-parameter",
        _ => "unknown-value",
    };
    let found: String = found.chars().take(64).collect();
    let nearest = known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(word, &found), *word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(2))
        .min();
    let hint = match nearest {
        Some((_, word)) => format!("Did you mean \"{word}\"? Known here: {}.", known.join(", ")),
        None => format!("Known here: {}.", known.join(", ")),
    };
    Error::client(code, format!("{what} \"{found}\" is not known here"), hint)
}

/// Reads RFC 3339.
pub fn timestamp(name: &str, text: &str) -> Result<Timestamp, Error> {
    DateTime::parse_from_rfc3339(text).map(|time| Timestamp(time.timestamp_micros())).map_err(|error| {
        let found: String = text.chars().take(64).collect();
        let hint = "Write it as RFC 3339, such as 2030-01-31T17:00:00Z.";
        Error::client("not-a-time", format!("\"{name}\" is not a time: \"{found}\" ({error})"), hint)
    })
}

/// RFC 3339 in UTC, to the second when it is whole.
pub fn rfc3339(at: Timestamp) -> String {
    DateTime::from_timestamp_micros(at.0)
        .map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Who, as the API says it: `{"kind":"owner","id":"o7","name":"olga"}`.
pub fn by_json(state: &State, by: By) -> Value {
    match by {
        By::Owner(id) => json!({"kind": by.word(), "id": id.to_string(), "name": state.owner(id).map(|o| &o.name)}),
        By::Staff(id) => json!({"kind": by.word(), "id": id.to_string(), "name": state.staff(id).map(|s| &s.name)}),
        By::VendorApp | By::Operator | By::System => json!({"kind": by.word()}),
    }
}

/// A consent as the API shows it.
pub fn consent_json(state: &State, customer: &Customer, consent: &Consent) -> Value {
    json!({
        "customer": {"id": customer.id.to_string(), "name": customer.name},
        "mode": consent.mode.word(),
        "scope": consent.scope.word(),
        "until": consent.until.map(rfc3339),
        "terms": terms_json(&consent.terms),
        "doubt": customer.questioned.as_ref().map(|doubt| json!({"at": rfc3339(doubt.at), "reason": doubt.reason})),
        "set_at": rfc3339(consent.set_at),
        "set_by": by_json(state, consent.set_by),
    })
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
