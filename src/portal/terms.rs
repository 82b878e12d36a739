//! The terms of an owner's consent, read strictly from JSON or from the page's form, and shown again.
//! Not here: the switch (`consent`), and whether terms can be kept together (`grant/terms.rs`).

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;
use crate::config::units;
use crate::grant::{LONGEST_USUAL, Limit, Network, Region, Terms};

/// Terms as JSON. What is left out is as if nobody had said anything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    longest: Option<String>,
    approvals: Option<u8>,
    break_glass: bool,
    hours: Option<String>,
    addresses: Option<Vec<String>>,
    regions: Option<Vec<String>>,
}

impl Written {
    /// The terms these texts are.
    ///
    /// # Errors
    /// Names what is not one, and what it should look like.
    pub fn read(self) -> Result<Terms, Error> {
        let wrong =
            |message: String| Error::client("terms", message, "Nothing was changed; correct it and send it again.");
        let longest = match &self.longest {
            Some(text) => lasting("longest", text)?,
            None => LONGEST_USUAL,
        };
        let hours: Option<crate::grant::Hours> = self
            .hours
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|fault: crate::grant::HoursFault| wrong(fault.to_string()))?;
        Ok(Terms {
            longest,
            approvals: self.approvals.unwrap_or(1),
            break_glass: self.break_glass,
            hours: hours.map_or(Limit::Free, Limit::To),
            networks: list::<Network>(self.addresses).map_err(wrong)?,
            regions: list::<Region>(self.regions).map_err(wrong)?,
        })
    }
}

fn list<T: FromStr>(texts: Option<Vec<String>>) -> Result<Limit<Vec<T>>, String>
where
    T::Err: std::fmt::Display,
{
    let Some(texts) = texts else { return Ok(Limit::Free) };
    let read: Result<Vec<T>, _> = texts.iter().map(|text| text.trim().parse()).collect();
    read.map(Limit::To).map_err(|fault: T::Err| fault.to_string())
}

/// A duration of whole seconds, such as `2h`.
///
/// # Errors
/// If it is none.
pub fn lasting(name: &str, text: &str) -> Result<Duration, Error> {
    let hint = "Write it as a whole number and a unit, such as 30m, 2h or 1d.";
    let span =
        units::duration(text).map_err(|fault| Error::client("duration", format!("\"{name}\": {fault}"), hint))?;
    Ok(Duration::from_secs(span.as_secs()))
}

/// The form's fields; empty ones are as if nobody had said anything.
#[derive(Debug, Deserialize)]
pub struct Form {
    /// This session's token.
    pub csrf: String,
    /// The consent the page showed.
    pub seen: u64,
    #[serde(default)]
    longest: String,
    #[serde(default)]
    approvals: String,
    #[serde(default)]
    break_glass: String,
    #[serde(default)]
    hours: String,
    #[serde(default)]
    addresses: String,
    #[serde(default)]
    regions: String,
}

impl Form {
    /// The terms the form holds.
    ///
    /// # Errors
    /// As [`Written::read`].
    pub fn read(&self) -> Result<Terms, Error> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let words = |text: &str| -> Option<Vec<String>> {
            let parts = text.split([',', ' ', '\r', '\n']).map(str::trim).filter(|part| !part.is_empty());
            Some(parts.map(str::to_owned).collect()).filter(|parts: &Vec<String>| !parts.is_empty())
        };
        let approvals = some(&self.approvals).map(|text| {
            let hint = "Write a number such as 1 or 2.";
            text.parse().map_err(|_| Error::client("approvals", format!("\"{text}\" is no number of owners"), hint))
        });
        let written = Written {
            longest: some(&self.longest),
            approvals: approvals.transpose()?,
            break_glass: self.break_glass == "yes",
            hours: some(&self.hours),
            addresses: words(&self.addresses),
            regions: words(&self.regions),
        };
        written.read()
    }
}

/// Terms as the API shows them; what was erased is the word for it.
pub fn terms_json(terms: &Terms) -> Value {
    json!({
        "longest": short(terms.longest),
        "approvals": terms.approvals,
        "break_glass": terms.break_glass,
        "hours": shown(&terms.hours, |hours| json!(hours.to_string())),
        "addresses": shown(&terms.networks, |all| all.iter().map(|network| json!(network.to_string())).collect()),
        "regions": shown(&terms.regions, |all| all.iter().map(|region| json!(region.to_string())).collect()),
    })
}

fn shown<T>(limit: &Limit<T>, show: impl FnOnce(&T) -> Value) -> Value {
    match limit {
        Limit::Free => Value::Null,
        Limit::To(limit) => show(limit),
        Limit::Erased => json!(crate::grant::ERASED),
    }
}

/// A duration as it is read back: `2h`, `90m`, `45s`.
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
