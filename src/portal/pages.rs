//! What the owner sees: plain words, real labels and headings, nothing that needs a script.
//! Not here: requests and forms' authority (`browser`). WCAG 2.2; every text is escaped by maud.

use maud::{DOCTYPE, Markup, html};

use super::consent::{SPANS, rfc3339};
use super::error::Error;
use super::history::{Entry, History, Live, Place};
use super::requests_page;
use super::session::Notice;
use super::words;
use crate::audit::record::Kind;
use crate::clock::Timestamp;
use crate::grant::{By, Consent, Customer, Mode, Observing, Owner, Scope, State};

/// All that the owner's page shows. `None` where the part behind it does not answer.
pub struct Account<'a> {
    /// The state it shows.
    pub state: &'a State,
    /// Who looks.
    pub owner: &'a Owner,
    /// At whose account.
    pub customer: &'a Customer,
    /// For the forms.
    pub csrf: &'a str,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The register was not read lately.
    pub stale: bool,
    /// A roll-out under way.
    pub observing: Option<Observing>,
    /// Who is in now.
    pub live: Option<&'a [Live]>,
    /// What was done.
    pub book: Option<&'a Book>,
}

/// One page of the history.
pub struct Book {
    /// Its entries, and what is left out.
    pub history: History,
    /// Where the next page begins.
    pub next: Option<Place>,
    /// Whether this is the newest page.
    pub first: bool,
}

pub(super) fn page(title: &str, account: Option<(&Owner, &str)>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – Portreeve" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                header {
                    p { a href="/" { "Portreeve" } }
                    @if let Some((owner, csrf)) = account {
                        form method="post" action="/sign-out" {
                            (token(csrf))
                            "Signed in as " strong { (words::visible(&owner.name)) } " "
                            button .quiet type="submit" { "Sign out" }
                        }
                    }
                }
                main #main tabindex="-1" { (body) }
                footer { p .hint { "All times are in UTC." } }
            }
        }
    }
}

pub(super) fn token(csrf: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(csrf); }
}

/// The consent a form is made from.
pub(super) fn seen(consent: &Consent) -> Markup {
    html! { input type="hidden" name="seen" value=(consent.sequence.0); }
}

/// A moment, for people and for programs.
pub fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let (day, clock) = (text.get(..10).unwrap_or(&text), text.get(11..16).unwrap_or_default());
    html! { time datetime=(rfc3339(at)) title=(rfc3339(at)) { (day) " " (clock) " UTC" } }
}

/// The page to sign in on, with what was wrong the last time.
pub fn sign_in(problem: Option<&str>, name: &str) -> Markup {
    let title = if problem.is_some() { "Problem: sign in" } else { "Sign in" };
    page(
        title,
        None,
        &html! {
            h1 { "Sign in" }
            p { "For account owners: decide who may see your data, and read what was done with it." }
            @if let Some(problem) = problem { p #problem .problem role="alert" { (problem) } }
            form method="post" action="/sign-in" {
                label for="name" { "Name" }
                input #name type="text" name="name" value=(name) autocomplete="username" autocapitalize="none"
                    spellcheck="false" required autofocus aria-describedby=[problem.map(|_| "problem")];
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="current-password" required;
                p { button type="submit" { "Sign in" } }
            }
        },
    )
}

/// An error as a page.
pub fn error(error: &Error) -> Markup {
    let text = error.to_string();
    page(
        "Problem",
        None,
        &html! {
            h1 { "That did not work" }
            p .problem role="alert" { (capital(&text)) "." }
            p { (error.hint()) }
            p { a href="/" { "Back to your account" } }
        },
    )
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The owner's page.
pub fn account(view: &Account<'_>) -> Markup {
    let consent = &view.customer.consent;
    let said = view.notice.map(said);
    let title = match said {
        Some(said) => format!("{said} {}", view.customer.title()),
        None => format!("Support access to {}", view.customer.title()),
    };
    page(
        &title,
        Some((view.owner, view.csrf)),
        &html! {
            @if let Some(said) = said { p .notice role="status" { (said) } }
            @if view.stale {
                p .problem role="alert" {
                    "We cannot read the register of decisions now, so what stands here may be out of date. "
                    "While this lasts the gate lets nobody in. You can still switch access off."
                }
            }
            h1 { "Support access to " (words::visible(view.customer.title())) }
            (observed(view))
            (requests_page::doubt(view))
            (state_of(view.state, consent, view.now))
            (requests_page::section(view))
            (switch(consent, view.csrf, view.now))
            (live(view))
            (grants(view))
            section aria-labelledby="book" {
                h2 #book { "What was done" }
                @match view.book {
                    Some(book) => (entries(view.state, book)),
                    None => p .problem { "The history cannot be read now. Nothing is lost; try again in a minute." },
                }
            }
            p { a href="/owners" { "Owners of this account" } }
            p { a href="/closing" { "Take your data home, or close the account" } }
        },
    )
}

/// That support staff come in although this owner has decided nothing, as long as they do.
fn observed(view: &Account<'_>) -> Markup {
    let under_way = view.observing.filter(|observing| view.now < observing.until && view.customer.is_undecided());
    html! {
        @if let Some(Observing { until }) = under_way {
            p .problem role="alert" {
                "Until " (time(until)) " your support team may read your data without asking you, because Portreeve is only "
                "being introduced and you have not decided yet. Each time is listed below. "
                "Whatever you choose here, \"Nobody\" included, ends this at once."
            }
        }
    }
}

fn said(notice: Notice) -> &'static str {
    match notice {
        Notice::SwitchedOff => "Switched off. Nobody of the support team can see your data.",
        Notice::SwitchedOn => "Saved. Your support team can come in as you chose.",
        Notice::SessionEnded => "Ended. That session is over.",
        Notice::SessionGone => "That session had already ended.",
        Notice::GrantEnded => "Ended. That visit is over.",
        Notice::RequestApproved => "Approved. The visit begins once every owner needed has approved.",
        Notice::RequestDenied => "Denied. Nobody was let in.",
        Notice::RequestAskedBack => "Asked. You will see the answer here.",
        Notice::TermsSaved => "Saved. These terms hold from now on, for visits that are open, too.",
        Notice::DoubtAnswered => "Answered. What you allow stands.",
    }
}

/// Whether anybody may come in at that moment.
fn open(consent: &Consent, now: Timestamp) -> bool {
    consent.mode_at(now) != Mode::Off
}

fn state_of(state: &State, consent: &Consent, now: Timestamp) -> Markup {
    let open = open(consent, now);
    html! {
        p .state .open[open] {
            @if open {
                @if consent.mode == Mode::PerRequest {
                    strong { "Your support team asks you each time, to " (reach(consent.scope)) " at most" }
                } @else {
                    strong { "Your support team may " (reach(consent.scope)) }
                }
                @if let Some(until) = consent.until { " until " (time(until)) } @else { " until you switch it off" }
                "."
            } @else {
                strong { "Nobody may see your data." }
                @if let (true, Some(until)) = (consent.mode != Mode::Off, consent.until) {
                    " What you had allowed ended " (time(until)) "."
                }
            }
        }
        p .hint { "Set " (time(consent.set_at)) " by " (by(state, consent.set_by)) "." }
    }
}

pub(super) fn reach(scope: Scope) -> &'static str {
    match scope {
        Scope::Metadata => "see my records without personal details",
        Scope::Read => "see everything",
        Scope::Write => "see and change everything",
    }
}

/// Who did it, in words.
pub(super) fn by(state: &State, by: By) -> String {
    match by {
        By::Owner(id) => state.owner(id).map_or_else(|| "an owner".to_owned(), |o| words::visible(&o.name)),
        By::Staff(id) => state.staff(id).map_or_else(|| "support".to_owned(), |s| words::visible(&s.name)),
        By::VendorApp => "your vendor's application".to_owned(),
        By::Operator => "your vendor's operator".to_owned(),
        By::System => "the system".to_owned(),
    }
}

fn switch(consent: &Consent, csrf: &str, now: Timestamp) -> Markup {
    let open = open(consent, now);
    let kept = consent.until.filter(|_| open);
    html! {
        section aria-labelledby="switch" {
            h2 #switch { "Who may see your data" }
            @if open {
                form method="post" action="/consent" {
                    (token(csrf))
                    input type="hidden" name="mode" value="off";
                    p { button .stop type="submit" { "Switch off now" } }
                    p .hint { "Ends every session at once. A change that is not finished is undone." }
                }
            }
            form method="post" action="/consent" {
                (token(csrf))
                (seen(consent))
                fieldset {
                    legend { "Who" }
                    (radio("mode", "off", "Nobody", !open))
                    (radio("mode", "per-request", "Ask me each time", open && consent.mode == Mode::PerRequest))
                    (radio(
                        "mode",
                        "standing",
                        "My support team, up to 2 hours a visit; I am told",
                        open && consent.mode == Mode::Standing,
                    ))
                }
                fieldset {
                    legend { "How far" }
                    (radio("scope", "read", "See everything", consent.scope != Scope::Write))
                    (radio("scope", "write", "See and change everything", consent.scope == Scope::Write))
                }
                fieldset {
                    legend { "Until when" }
                    label for="end" { "End" }
                    select #end name="end" {
                        @if kept.is_some() { option value="kept" selected { "as it is now" } }
                        @for (value, label, _) in SPANS { option value=(value) { (label) } }
                        option value="open" selected[open && kept.is_none()] { "until I switch it off" }
                        option value="time" { "at the date and time below" }
                    }
                    label for="time" { "Date and time, in UTC" }
                    input #time type="datetime-local" name="time" aria-describedby="time-hint";
                    p #time-hint .hint { "Only used with “at the date and time below”." }
                }
                button type="submit" { "Save" }
            }
            p { a href="/terms" { "Hours, addresses, longest visit and other terms" } }
        }
    }
}

fn radio(name: &str, value: &str, label: &str, checked: bool) -> Markup {
    let id = format!("{name}-{value}");
    html! {
        div .choice {
            input id=(id) type="radio" name=(name) value=(value) checked[checked] required;
            label for=(id) { (label) }
        }
    }
}

pub(super) fn staff_name(state: &State, id: crate::ids::StaffId) -> String {
    state.staff(id).map_or_else(|| id.to_string(), |staff| words::visible(&staff.name))
}

fn live(view: &Account<'_>) -> Markup {
    html! {
        section aria-labelledby="live" {
            h2 #live { "Who is in now" }
            @match view.live {
                None => p .problem { "The gate does not say now who is in. Switching off still works." },
                Some([]) => p { "Nobody." },
                Some(sessions) => ul .plain {
                    @for live in sessions {
                        @let name = staff_name(view.state, live.staff);
                        li {
                            p {
                                strong { (name) } " since " (time(live.since)) ", may " (reach(live.scope)) ". "
                                (live.statements)
                                @if live.statements == 1 { " statement" } @else { " statements" } " so far."
                            }
                            p .hint {
                                "From " (words::visible(&live.address))
                                @if !live.application.is_empty() { " with " (words::visible(&live.application)) }
                            }
                            form method="post" action="/sessions/end" {
                                (token(view.csrf))
                                input type="hidden" name="id" value=(live.session);
                                button .stop type="submit" aria-label={ "End " (name) "'s session now" } { "End now" }
                            }
                        }
                    }
                },
            }
            p { a href="/" { "Look again" } }
        }
    }
}

fn grants(view: &Account<'_>) -> Markup {
    let grants: Vec<_> = view.state.live_grants_of(view.customer.id, view.now).collect();
    html! {
        section aria-labelledby="grants" {
            h2 #grants { "Visits that are open" }
            @if grants.is_empty() {
                p { "None." }
            } @else {
                ul .plain {
                    @for grant in grants {
                        @let name = staff_name(view.state, grant.staff);
                        li {
                            p {
                                strong { (name) } " may " (reach(grant.scope)) " until " (time(grant.ends)) "."
                            }
                            p .hint {
                                "Why: " (words::visible(&grant.reason))
                                @if !grant.ticket.is_empty() { " (" (words::visible(&grant.ticket)) ")" }
                            }
                            form method="post" action="/grants/end" {
                                (token(view.csrf))
                                input type="hidden" name="id" value=(grant.id);
                                button .stop type="submit" aria-label={ "End " (name) "'s visit" } { "End" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One page of the history on its own.
pub fn history(state: &State, owner: &Owner, customer: &Customer, csrf: &str, book: &Book) -> Markup {
    let title = format!("What was done with {}", customer.title());
    page(
        &title,
        Some((owner, csrf)),
        &html! {
            h1 { "What was done with " (words::visible(customer.title())) }
            p { a href="/" { "Back to your account" } }
            @if !book.first { p { a href="/history" { "Newest" } } }
            (entries(state, book))
        },
    )
}

fn entries(state: &State, book: &Book) -> Markup {
    html! {
        @if !book.history.left_out.is_empty() {
            p .problem {
                "This is not the whole history: what is written in " (words::visible(&book.history.left_out.join(", ")))
                " cannot be read. Ask your vendor to verify the audit log."
            }
        }
        @if book.history.entries.is_empty() {
            p { @if book.first { "Nothing so far." } @else { "Nothing earlier." } }
        } @else {
            ol .plain { @for entry in &book.history.entries { li { (one(state, entry)) } } }
        }
        @if let Some(next) = &book.next {
            p { a rel="next" href={ "/history?before=" (escaped(&next.cursor())) } { "Earlier" } }
        }
    }
}

/// A cursor as it stands in an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.bytes().fold(String::new(), |out, byte| {
        if plain(byte) { out + char::from(byte).encode_utf8(&mut [0; 4]) } else { format!("{out}%{byte:02X}") }
    })
}

fn one(state: &State, entry: &Entry) -> Markup {
    let (record, values) = (&entry.record, &entry.record.values);
    html! {
        p {
            (time(record.at)) " "
            span .refused[record.kind == Kind::Refused] { (words::headline(state, entry)) }
        }
        @if entry.fault.is_some() {
            p .problem { "This entry cannot be read whole. Ask your vendor to verify the audit log." }
        }
        @if let Some(text) = &values.text { pre { code { (words::text(text)) } } }
        @if let Some(binds) = values.binds.as_ref().filter(|binds| !binds.is_empty()) {
            details {
                summary { "Values (" (binds.len()) ")" }
                ol { @for bind in binds { li { code { (words::bind(bind)) } } } }
            }
        }
        @if let Some(result) = words::result(state, entry) { p { (result) } }
        @if let Some(message) = values.message.as_deref().filter(|_| record.kind != Kind::Refused) {
            p .hint { (words::visible(message)) }
        }
        @if let Some(reason) = &values.reason {
            p .hint {
                "Why: " (words::visible(reason))
                @if let Some(ticket) = &values.ticket { " (" (words::visible(ticket)) ")" }
            }
        }
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
