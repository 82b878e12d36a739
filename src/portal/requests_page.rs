//! What owners see of requests, one-time codes, doubts and terms, in plain words.
//! Not here: the forms' authority (`requests`).

use std::time::Duration;

use maud::{Markup, html};

use super::pages::{Account, page, reach, seen, staff_name, time, token};
use super::terms::short;
use super::words;
use crate::clock::Timestamp;
use crate::grant::{By, Channel, Customer, Limit, Mode, Owner, Purpose, Reminder, Request, Scope, Status, Terms, due};
use crate::secret::Secret;

/// How long a visit may be, to choose from.
const SPANS: [u64; 6] = [15 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600, 8 * 3600];

/// The doubt of staff, if there is one, and how to answer it.
pub(super) fn doubt(view: &Account<'_>) -> Markup {
    html! {
        @if let Some(doubt) = &view.customer.questioned {
            section .problem aria-labelledby="doubt" {
                h2 #doubt { "Your support team doubts that this is what you want" }
                p { (who(view, doubt.by)) " wrote " (time(doubt.at)) ": " (words::visible(&doubt.reason)) }
                p { "Nobody comes in until you answer. Change what you allow below, or say that it is meant so." }
                form method="post" action="/doubt" {
                    (token(view.csrf))
                    button type="submit" { "It is meant as it stands" }
                }
            }
        }
    }
}

/// Requests that wait, and the one-time code.
pub(super) fn section(view: &Account<'_>) -> Markup {
    let waiting: Vec<&Request> = view.state.waiting_requests_of(view.customer.id).collect();
    let open: Vec<&Request> = waiting.into_iter().filter(|request| request.status(view.now).is_waiting()).collect();
    let reminders = due(view.state, view.now);
    let is_on = view.customer.consent.mode_at(view.now) != Mode::Off;
    html! {
        section aria-labelledby="requests" {
            h2 #requests { "Your support team asks" }
            @if open.is_empty() { p { "Nothing waits for you." } } @else {
                ul .plain { @for request in open { li { (one(view, request, &reminders)) } } }
            }
        }
        @if is_on && view.customer.consent.terms.approvals == 1 { (code_form(view)) }
    }
}

fn one(view: &Account<'_>, request: &Request, reminders: &[Reminder]) -> Markup {
    let name = staff_name(view.state, request.staff);
    let id = request.id.to_string();
    let reminded = reminders.iter().filter(|reminder| reminder.request == request.id).count();
    let approved = view.state.approvers(request);
    let needed = view.customer.consent.terms.approvals;
    html! {
        p {
            strong { (name) } " asks to " (reach(request.scope)) " for " strong { (short(request.lasting)) } "."
            " " (purpose(request.purpose)) ", as you " (channel(request.channel)) "."
        }
        p { "Why: " (words::visible(&request.reason)) " (" (words::visible(&request.ticket)) ")" }
        p { "Why less is not enough: " (words::visible(&request.necessity)) }
        p .hint {
            "Asked " (time(request.opened)) ". Without an answer by " (time(request.answer_by())) " it is denied."
            @if reminded > 0 { " Reminder " (reminded) " of 2." }
            @if needed > 1 { " " (approved.len()) " of " (needed) " owners have approved." }
        }
        @for said in &request.said {
            p { (who(view, said.by)) " " (time(said.at)) ": " (words::visible(&said.text)) }
        }
        @if request.status(view.now) == Status::AskedBack { p .hint { "You asked; the answer has not come yet." } }
        @if approved.contains(&view.owner.id) {
            p .hint { "You have approved; another owner must approve, too." }
        } @else {
            form method="post" action="/requests" {
                (token(view.csrf))
                input type="hidden" name="id" value=(id);
                input type="hidden" name="answer" value="approve";
                label for={ "for-" (id) } { "For how long" }
                select id={ "for-" (id) } name="lasting" {
                    option value=(short(request.lasting)) selected { (short(request.lasting)) ", as asked" }
                    @for span in shorter(request.lasting) { option value=(span) { (span) } }
                }
                @if request.scope == Scope::Write {
                    label for={ "scope-" (id) } { "How far" }
                    select id={ "scope-" (id) } name="scope" {
                        option value="write" selected { "See and change everything, as asked" }
                        option value="read" { "See everything" }
                    }
                }
                p { button type="submit" aria-label={ "Let " (name) " in" } { "Let in" } }
            }
        }
        form method="post" action="/requests" {
            (token(view.csrf))
            input type="hidden" name="id" value=(id);
            input type="hidden" name="answer" value="deny";
            p { button .stop type="submit" aria-label={ "Do not let " (name) " in" } { "No" } }
        }
        form method="post" action="/requests" {
            (token(view.csrf))
            input type="hidden" name="id" value=(id);
            input type="hidden" name="answer" value="ask-back";
            label for={ "question-" (id) } { "Ask first" }
            input id={ "question-" (id) } type="text" name="question" autocomplete="off" required;
            p { button .quiet type="submit" { "Send the question" } }
        }
    }
}

fn shorter(than: Duration) -> impl Iterator<Item = String> {
    SPANS.into_iter().map(Duration::from_secs).filter(move |span| *span < than).map(short)
}

fn who(view: &Account<'_>, by: By) -> String {
    super::pages::by(view.state, by)
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Fault => "Something is broken",
        Purpose::Question => "You had a question",
        Purpose::Operation => "Planned work",
    }
}

fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Portal => "wrote in the support portal",
        Channel::Mail => "wrote by mail",
        Channel::Phone => "said on the phone",
        Channel::Form => "wrote in a form",
    }
}

fn code_form(view: &Account<'_>) -> Markup {
    let writes = view.customer.consent.scope == Scope::Write;
    let longest = view.customer.consent.terms.longest;
    let spans = SPANS.into_iter().map(Duration::from_secs).filter(|span| *span <= longest).map(short);
    html! {
        section aria-labelledby="code" {
            h2 #code { "On the phone with support?" }
            p { "Make a code and read it out. It lets one person in, once, and is worth nothing after 10 minutes." }
            form method="post" action="/code" {
                (token(view.csrf))
                label for="code-for" { "For how long" }
                select #code-for name="lasting" { @for span in spans { option value=(span) selected[span == "1h"] { (span) } } }
                fieldset {
                    legend { "How far" }
                    (choice("read", "See everything", true))
                    @if writes { (choice("write", "See and change everything", false)) }
                }
                p { button type="submit" { "Make a code" } }
            }
        }
    }
}

fn choice(scope: &str, label: &str, checked: bool) -> Markup {
    let id = format!("code-{scope}");
    html! {
        div .choice {
            input id=(id) type="radio" name="scope" value=(scope) checked[checked] required;
            label for=(id) { (label) }
        }
    }
}

/// The page that shows a code, once.
pub(super) fn code(owner: &Owner, csrf: &str, digits: &Secret<String>, given: (Scope, Duration, Timestamp)) -> Markup {
    let (scope, lasting, expires) = given;
    let (first, last) = digits.expose().split_at_checked(3).unwrap_or((digits.expose(), ""));
    page(
        "A code for the phone",
        Some((owner, csrf)),
        &html! {
            h1 { "A code for the phone" }
            p .state { strong { (first) " " (last) } }
            p { "Whoever you read it to may " (reach(scope)) " for " (short(lasting)) "." }
            p { "It works once, until " (time(expires)) ". It is shown here only now. Moving the switch ends it." }
            p { a href="/" { "Back to your account" } }
        },
    )
}

/// The page with the terms.
pub(super) fn terms(owner: &Owner, customer: &Customer, csrf: &str) -> Markup {
    let Terms { longest, approvals, break_glass, hours, networks, regions } = &customer.consent.terms;
    let listed = |texts: Vec<String>| texts.join(", ");
    let hours = hours.known().map(ToString::to_string).unwrap_or_default();
    let networks =
        networks.known().map(|all| listed(all.iter().map(ToString::to_string).collect())).unwrap_or_default();
    let regions_text =
        regions.known().map(|all| listed(all.iter().map(ToString::to_string).collect())).unwrap_or_default();
    page(
        "Terms for your support team",
        Some((owner, csrf)),
        &html! {
            h1 { "Terms for your support team" }
            p { a href="/" { "Back to your account" } }
            @if *regions == Limit::Erased { p .problem { "The regions you had allowed are erased: nobody comes in." } }
            form method="post" action="/terms" {
                (token(csrf))
                (seen(&customer.consent))
                (field("longest", "The longest visit", &short(*longest), "Such as 30m, 2h or 1d; at most 7d."))
                (field("approvals", "How many owners must approve a request", &approvals.to_string(), "A person counts once."))
                (field("hours", "Only at these hours", &hours, "Such as mon-fri 09:00-17:00 Europe/Berlin; empty: at any hour."))
                (field("addresses", "Only from these addresses", &networks, "Such as 192.0.2.0/24; empty: from anywhere."))
                (field("regions", "Only staff who work in these countries", &regions_text, "Such as DE, FR; empty: anywhere."))
                div .choice {
                    input #break_glass type="checkbox" name="break_glass" value="yes" checked[*break_glass];
                    label for="break_glass" { "In an emergency two of the team may come in; I am told at once" }
                }
                p { button type="submit" { "Save" } }
            }
        },
    )
}

fn field(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    let described = format!("{name}-hint");
    html! {
        label for=(name) { (label) }
        input id=(name) type="text" name=(name) value=(value) autocomplete="off" aria-describedby=(described);
        p id=(described) .hint { (hint) }
    }
}
