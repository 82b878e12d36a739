//! What the desk shows: one's own grants and requests, the customers one looks after, this session, what can be typed.
//! Not here: anything of other staff, and anything of a customer's data.

use std::time::Duration;

use super::answers::Columns;
use super::words::Verb;
use crate::clock::Timestamp;
use crate::grant::{Customer, Given, Glass, Grant, Mode, Outcome, Request, State, Status};
use crate::ids::StaffId;

/// What is over is shown for so long.
const SHOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

pub(super) const HELP: Columns = &["type", "what it does"];
pub(super) const GRANTS: Columns =
    &["grant", "customer", "scope", "status", "issued", "ends", "purpose", "reason", "ticket", "given"];
pub(super) const REQUESTS: Columns = &[
    "request",
    "customer",
    "scope",
    "for",
    "status",
    "opened",
    "answer by",
    "purpose",
    "channel",
    "reason",
    "necessity",
    "ticket",
    "grant",
    "last word",
];
pub(super) const CUSTOMERS: Columns =
    &["customer", "support access", "up to", "until", "your access ends", "type", "called", "formerly"];
pub(super) const EMERGENCIES: Columns =
    &["emergency", "staff", "customer", "scope", "for", "status", "asked", "reason", "ticket", "confirmed by"];
pub(super) const SESSION: Columns = &["staff", "address", "application", "session", "since", "ends when idle for"];

type Row = Vec<Option<String>>;

fn text(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

/// `2026-11-21 14:02:05Z`.
fn moment(at: Timestamp) -> Option<String> {
    if at == Timestamp::NEVER {
        return None;
    }
    let full = at.to_string();
    Some(full.get(..19).map_or(full.clone(), |seconds| format!("{}Z", seconds.replace('T', " "))))
}

/// `2 h`, `90 min`, `45 s`.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds % 3600 == 0 && seconds > 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 && seconds > 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

pub(super) fn help() -> Vec<Row> {
    Verb::ALL.into_iter().map(|verb| vec![text(format!("{};", verb.usage())), text(verb.meaning())]).collect()
}

pub(super) fn grants(state: &State, staff: StaffId, now: Timestamp) -> Vec<Row> {
    let is_shown = |grant: &&Grant| grant.staff == staff && grant.ends.plus(SHOWN_FOR) > now;
    state.grants().filter(is_shown).map(|grant| self::grant(state, grant, now)).collect()
}

pub(super) fn grant(state: &State, grant: &Grant, now: Timestamp) -> Row {
    let early = grant.ended.filter(|(at, _)| *at < grant.ends);
    let status = match early {
        Some((_, by)) => format!("ended by {}", by.word()),
        None if grant.is_live(now) => "live".to_owned(),
        None => "over".to_owned(),
    };
    vec![
        text(grant.id),
        text(name(state, grant.customer)),
        text(grant.scope),
        Some(status),
        moment(grant.issued),
        moment(early.map_or(grant.ends, |(at, _)| at)),
        text(grant.purpose),
        text(&grant.reason),
        text(&grant.ticket),
        Some(match grant.given {
            Given::Own => "own".to_owned(),
            Given::Request(request) => request.to_string(),
            Given::Code(code) => code.to_string(),
            Given::BreakGlass(by) => format!("break-glass with {by}"),
        }),
    ]
}

pub(super) fn requests(state: &State, staff: StaffId, now: Timestamp) -> Vec<Row> {
    let is_shown = |request: &&Request| request.staff == staff && request.start_by.plus(SHOWN_FOR) > now;
    state.requests().filter(is_shown).map(|request| self::request(state, request, now)).collect()
}

pub(super) fn request(state: &State, request: &Request, now: Timestamp) -> Row {
    let status = request.status(now);
    let grant = match status {
        Status::Over(Outcome::Granted(grant)) => text(grant),
        Status::Over(Outcome::Denied(_) | Outcome::Withdrawn)
        | Status::Open
        | Status::AskedBack
        | Status::Unanswered
        | Status::TooLate => None,
    };
    vec![
        text(request.id),
        text(name(state, request.customer)),
        text(request.scope),
        Some(span(request.lasting)),
        text(status.word()),
        moment(request.opened),
        moment(request.answer_by()).filter(|_| status.is_waiting()),
        text(request.purpose),
        text(request.channel),
        text(&request.reason),
        text(&request.necessity),
        text(&request.ticket),
        grant,
        request.said.last().map(|said| said.text.clone()),
    ]
}

pub(super) fn customers(state: &State, staff: StaffId, now: Timestamp) -> Vec<Row> {
    let is_shown = |customer: &&Customer| customer.closure.is_none() && state.serves(staff, customer.id);
    state.customers().filter(is_shown).map(|customer| self::customer(state, customer, staff, now)).collect()
}

fn customer(state: &State, customer: &Customer, staff: StaffId, now: Timestamp) -> Row {
    let (consent, name) = (&customer.consent, &customer.name);
    let mode = consent.mode_at(now);
    let live = state.newest_grant(staff, customer.id).filter(|grant| grant.is_live(now));
    let to_type = match (live, mode) {
        (_, Mode::Off) => None,
        (Some(_), Mode::PerRequest | Mode::Standing) => Some(format!("connect with dbname={name}")),
        (None, Mode::PerRequest) => Some(format!("REQUEST {name} FOR '1 hour' REASON '…' TICKET '…';")),
        (None, Mode::Standing) => Some(format!("OPEN {name} FOR '1 hour' REASON '…' TICKET '…';")),
    };
    vec![
        text(name),
        text(mode),
        text(consent.scope).filter(|_| mode != Mode::Off),
        moment(consent.deadline()).filter(|_| mode != Mode::Off),
        live.and_then(|grant| moment(grant.ends)),
        to_type,
        customer.display.clone(),
        formerly(customer),
    ]
}

/// One's own, and those that still need somebody and are of customers one looks after, or may vouch for.
pub(super) fn emergencies(state: &State, staff: StaffId, now: Timestamp) -> Vec<Row> {
    let concerns = |glass: &Glass| state.vouches(staff) || state.serves(staff, glass.customer);
    let is_shown = |glass: &&Glass| {
        let is_own = glass.staff == staff && glass.asked.plus(SHOWN_FOR) > now;
        is_own || (glass.is_open(now) && concerns(glass))
    };
    state.glasses().filter(is_shown).map(|glass| emergency(state, glass, now)).collect()
}

pub(super) fn emergency(state: &State, glass: &Glass, now: Timestamp) -> Row {
    let status = match glass.confirmed {
        Some(_) => "confirmed",
        None if glass.is_open(now) => "to be confirmed",
        None => "lapsed",
    };
    let person = |id| state.staff(id).map(|staff| staff.name.clone());
    vec![
        text(glass.id),
        person(glass.staff),
        text(name(state, glass.customer)),
        text(glass.scope),
        Some(span(glass.lasting)),
        text(status),
        moment(glass.asked),
        text(&glass.reason),
        text(&glass.ticket),
        glass.confirmed.and_then(|(_, by)| person(by)),
    ]
}

/// `acme, until 2026-11-21 14:02:05Z`; several are joined by `; `.
fn formerly(customer: &Customer) -> Option<String> {
    let told =
        |former: &crate::grant::Former| format!("{}, until {}", former.name, moment(former.until).unwrap_or_default());
    let all: Vec<String> = customer.former.iter().map(told).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn name(state: &State, id: crate::ids::CustomerId) -> String {
    state.customer(id).map_or_else(|| id.to_string(), |customer| customer.name.clone())
}

#[cfg(test)]
#[path = "shows_tests.rs"]
mod tests;
