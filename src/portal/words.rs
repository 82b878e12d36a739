//! How records read to an owner: plain words for what was done, by whom, and what came of it.
//! Not here: where they come from (`history`) and how they are laid out (`pages`).

use std::fmt::Write as _;

use super::history::Entry;
use crate::audit::record::{Bind, Kind, Record};
use crate::clock::Timestamp;
use crate::grant::State;
use crate::ids::{OwnerId, StaffId};
use crate::statement;

/// The staff member's name: as the register knows it, else as it was given.
pub fn who(state: &State, record: &Record) -> String {
    let known = record.skeleton.staff.and_then(|id| state.staff(StaffId(id))).map(|staff| staff.name.clone());
    let owner = || record.skeleton.owner.and_then(|id| state.owner(OwnerId(id))).map(|owner| owner.name.clone());
    known
        .or_else(owner)
        .or_else(|| record.values.staff.clone())
        .or_else(|| record.values.owner.clone())
        .map_or_else(|| "somebody".to_owned(), |name| visible(&name))
}

/// The first line of an entry, in plain words.
pub fn headline(state: &State, entry: &Entry) -> String {
    let record = &entry.record;
    let (who, skeleton) = (who(state, record), &record.skeleton);
    let verb = skeleton.verb.as_deref().unwrap_or_default();
    match record.kind {
        Kind::Statement => format!("{who} {}", did(verb)),
        Kind::Refused if skeleton.owner.is_some() => {
            format!("Turned away. Somebody tried to sign in to this page as {who} with a wrong password.")
        }
        Kind::Refused => {
            format!("Turned away. {who} tried at {}; {} Nothing was shown.", clock(record.at), why_not(verb))
        }
        Kind::SignedIn if skeleton.owner.is_some() => format!("{who} signed in to this page"),
        Kind::SignedIn => format!("{who} came in"),
        Kind::Observed => {
            format!("{who} was let in while Portreeve is being introduced: you had not decided. Otherwise: turned away")
        }
        Kind::Cancelled => format!("{who} asked to stop a running statement"),
        Kind::SessionEnded => format!("{who} left{}", fate(skeleton.fate.as_deref())),
        Kind::Decided => decided(state, record),
        Kind::Read => format!("{who} read this history"),
        Kind::Opened
        | Kind::Recovered
        | Kind::Closed
        | Kind::Heartbeat
        | Kind::DataKey
        | Kind::Outcome
        | Kind::Intent
        | Kind::KeysMade
        | Kind::KeysOpened
        | Kind::KeysDestroyed
        | Kind::Road
        | Kind::Desk
        | Kind::Witnessed
        | Kind::Unwitnessed
        | Kind::Continues
        | Kind::Continued
        | Kind::Notice => format!("{who}: {}", record.kind.word()),
    }
}

/// A change of what is allowed: `olga switched support access off`.
fn decided(state: &State, record: &Record) -> String {
    let (skeleton, message) = (&record.skeleton, record.values.message.as_deref().unwrap_or_default());
    let actor = actor(state, record);
    let whose = || skeleton.staff.and_then(|id| state.staff(StaffId(id))).map(|staff| visible(&staff.name));
    let reach = match skeleton.scope.as_deref() {
        Some("write") => "see and change everything",
        Some("read") => "see everything",
        Some(_) | None => "see records without personal details",
    };
    let what = match skeleton.verb.as_deref().unwrap_or_default() {
        "consent.set" | "consent.agreed" if message.contains(": off,") => "switched support access off".to_owned(),
        "consent.set" | "consent.agreed" if message.contains(": per-request,") => {
            format!("asked to be asked each time, to {reach} at most")
        }
        "consent.set" | "consent.agreed" if message.contains(": standing,") => {
            format!("allowed the support team to {reach}")
        }
        "consent.set" => "moved the switch".to_owned(),
        "grant.issued" => format!("opened a visit to {reach}"),
        "grant.ended" => whose().map_or("ended a visit".to_owned(), |whose| format!("ended {whose}'s visit")),
        "request.opened" => format!("asked to {reach}"),
        "request.approved" => whose().map_or("approved a request".to_owned(), |whose| format!("let {whose} {reach}")),
        "request.denied" => whose().map_or("denied a request".to_owned(), |whose| format!("denied what {whose} asked")),
        "request.asked-back" => "asked about a request".to_owned(),
        "request.answered" => "answered what was asked about a request".to_owned(),
        "request.withdrawn" => "took a request back".to_owned(),
        "code.created" => format!("made a one-time code to {reach}"),
        "code.redeemed" => format!("used a one-time code to {reach}"),
        "code.missed" => "gave a wrong one-time code".to_owned(),
        "instruction.questioned" => "doubted what you want, so that nobody comes in until you answer".to_owned(),
        "instruction.confirmed" => "answered the doubt: it is meant as it stands".to_owned(),
        "owner.created" => "added an owner of this account".to_owned(),
        "owner.invited" => "invited somebody to become an owner of this account".to_owned(),
        "owner.accepted" => "accepted an invitation and is an owner of this account".to_owned(),
        "owner.uninvited" => "took an invitation back".to_owned(),
        "customer.renamed" => "changed what this account is called".to_owned(),
        "owner.removed" => "removed an owner of this account".to_owned(),
        "glass.asked" => format!("asked, in an emergency, to {reach}; somebody else has to confirm"),
        "glass.confirmed" => whose().map_or("confirmed an emergency visit".to_owned(), |whose| {
            format!("confirmed {whose}'s emergency visit, so that {whose} can {reach} for at most an hour")
        }),
        "team.assigned" => "gave one more team of your vendor your account to look after".to_owned(),
        "team.unassigned" => "took your account from one of your vendor's teams".to_owned(),
        "resolved" => "found out what became of a change that was cut off".to_owned(),
        other => format!("changed what is allowed ({})", visible(other)),
    };
    match skeleton.result.as_deref() {
        Some("written") | None => format!("{actor} {what}"),
        Some("refused") => format!("{actor} was refused: would have {what}"),
        Some("superseded") => format!("{actor} tried again, because somebody else was faster: would have {what}"),
        Some(_) => format!("{actor} tried, and whether it was done is not known: would have {what}"),
    }
}

/// Who made a change: as its record ends, `…, by owner o7`.
fn actor(state: &State, record: &Record) -> String {
    let by = record.values.message.as_deref().and_then(|message| message.rsplit_once(", by ")).map(|(_, by)| by);
    let named = match by.map(|by| by.split_once(' ').unwrap_or((by, ""))) {
        Some(("owner", id)) => id.parse().ok().and_then(|id| state.owner(id)).map(|owner| visible(&owner.name)),
        Some(("staff", id)) => id.parse().ok().and_then(|id| state.staff(id)).map(|staff| visible(&staff.name)),
        Some(("operator", _)) => Some("your vendor's operator".to_owned()),
        Some(("vendor-app", _)) => Some("your vendor's application".to_owned()),
        Some(("system", _)) => Some("the system".to_owned()),
        Some(_) | None => None,
    };
    named.unwrap_or_else(|| who(state, record))
}

fn did(verb: &str) -> String {
    match verb {
        "query" | "execute" => "ran a statement".to_owned(),
        "parse" => "prepared a statement".to_owned(),
        "bind" => "gave a prepared statement its values".to_owned(),
        "describe" => "asked what a statement would return".to_owned(),
        "close" => "put a prepared statement away".to_owned(),
        "function-call" => "called a function".to_owned(),
        "" => "did something the record does not name".to_owned(),
        other => format!("sent \"{}\"", visible(other)),
    }
}

/// Reason codes of a refusal, as a clause with its full stop.
fn why_not(codes: &str) -> &'static str {
    let has = |code: &str| codes.split(',').any(|found| found.trim() == code);
    const WHY: [(&str, &str); 24] = [
        ("consent-off", "you had not allowed it."),
        ("consent-over", "what you allowed had ended."),
        ("staff-unknown", "they are not on the support team."),
        ("staff-inactive", "they are no longer on the support team."),
        ("staff-suspended", "they are suspended."),
        ("not-in-team", "they are not in a team that looks after your account."),
        ("not-attested", "they have not confirmed what your vendor asks of its staff."),
        ("attestation-outdated", "they have not confirmed what your vendor asks of its staff."),
        ("attestation-over", "they have not confirmed again what your vendor asks of its staff."),
        ("off-duty", "it was not within their working hours."),
        ("elsewhere", "they came from a network they may not come from."),
        ("locked", "you had just withdrawn it."),
        ("instruction-questioned", "the team doubted what you want, and you had not answered yet."),
        ("not-asked", "you want to be asked first."),
        ("address-not-allowed", "they came from an address you do not allow."),
        ("region-not-allowed", "they work where you do not allow it."),
        ("out-of-hours", "it was outside the hours you allow."),
        ("no-grant", "they had not opened a visit with a reason first."),
        ("grant-ended", "their visit had been ended."),
        ("grant-over", "the time of their visit was over."),
        ("scope-too-wide", "they wanted more than you allow."),
        ("too-many-connections", "they had too many connections open."),
        ("renamed", "they used a name that your account no longer has."),
        ("register-stale", "the gate could not check what you allow."),
    ];
    WHY.iter().find(|(code, _)| has(code)).map_or("the gate did not let them in.", |(_, why)| why)
}

fn fate(fate: Option<&str>) -> &'static str {
    match fate {
        Some("aborted") => "; what was unfinished was undone",
        Some("committed") => "; what was unfinished had been completed",
        Some("in doubt") => "; whether the last change was completed is not known",
        Some(_) | None => "",
    }
}

/// What came back, in plain words: `12 rows from contacts were sent to jane's screen.`
pub fn result(state: &State, entry: &Entry) -> Option<String> {
    if !entry.record.awaits_outcome() {
        return None;
    }
    let who = who(state, &entry.record);
    let Some(outcome) = &entry.outcome else {
        return Some("What became of it is not recorded yet.".to_owned());
    };
    let done = &outcome.skeleton;
    let (failed, rows) = match done.result.as_deref() {
        Some("error") => {
            let code = visible(done.sqlstate.as_deref().unwrap_or("unknown"));
            let text = outcome.values.message.as_deref().map(|text| format!(": {}", visible(text)));
            (format!("It failed (SQLSTATE {code}){}.", text.unwrap_or_default()), done.rows)
        }
        Some("skipped") => ("It was not run: an earlier step had failed.".to_owned(), done.rows),
        Some("unknown") => ("What became of it is not known: the gate or the database stopped.".to_owned(), done.rows),
        _ => return Some(answered(&who, entry, outcome)),
    };
    Some(match rows.unwrap_or(0) {
        0 => failed,
        rows => format!("{failed} Before that, {}", sent(&who, entry, outcome, rows)),
    })
}

/// `12 rows from contacts were sent to jane's screen (480 bytes).`
fn sent(who: &str, entry: &Entry, outcome: &Record, rows: u64) -> String {
    let from = match entry.record.skeleton.relations.as_deref().unwrap_or_default() {
        [] => String::new(),
        names => format!(" from {}", visible(&names.join(", "))),
    };
    let (noun, were) = if rows == 1 { ("row", "was") } else { ("rows", "were") };
    let bytes = outcome.skeleton.bytes.unwrap_or(0);
    format!("{rows} {noun}{from} {were} sent to {who}'s screen ({bytes} bytes).")
}

fn answered(who: &str, entry: &Entry, outcome: &Record) -> String {
    let sent = match outcome.skeleton.rows.unwrap_or(0) {
        0 => "No rows were sent.".to_owned(),
        rows => sent(who, entry, outcome, rows),
    };
    match &outcome.skeleton.tag {
        Some(tag) => format!("{sent} The database answered {}.", visible(tag)),
        None => sent,
    }
}

/// `14:02` in UTC.
pub fn clock(at: Timestamp) -> String {
    at.to_string().get(11..16).unwrap_or("??:??").to_owned()
}

/// A statement's bytes as text: UTF-8 where they are, other bytes as `\xHH`.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out
}

/// The same text with every character that could hide or turn round what stands beside it written out.
pub fn visible(text: &str) -> String {
    let hides = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if hides(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// A bind value as its owner reads it.
pub fn bind(bind: &Bind) -> String {
    match &bind.value {
        None => "NULL".to_owned(),
        Some(value) => visible(&statement::value::display(bind.type_oid, bind.format, value)),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
