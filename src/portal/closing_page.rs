//! The page on which an owner takes the data home and closes the account, in plain words.
//! Not here: requests and forms' authority (`closing`).

use maud::{Markup, html};

use super::files::Offered;
use super::pages::{by, page, time, token};
use super::words;
use crate::grant::{Choice, Closure, Customer, Owner, Stage, State};

/// All that the page shows.
pub struct View<'a> {
    /// The state it shows.
    pub state: &'a State,
    /// Who looks.
    pub owner: &'a Owner,
    /// At whose account.
    pub customer: &'a Customer,
    /// For the forms.
    pub csrf: &'a str,
    /// What can be taken home.
    pub files: &'a [Offered],
}

/// The page.
pub fn closing(view: &View<'_>) -> Markup {
    let name = words::visible(&view.customer.name);
    let title = match &view.customer.closure {
        Some(_) => format!("The account of {} is closed", view.customer.name),
        None => format!("Your data, and the account of {}", view.customer.name),
    };
    let body = html! {
        h1 { (title) }
        @match &view.customer.closure {
            Some(closure) => (closed(view, closure, &name)),
            None => (open(view, &name)),
        }
        (files(view))
    };
    page(&title, Some((view.owner, view.csrf)), &body)
}

fn button(view: &View<'_>, step: &str, label: &str, confirm: bool) -> Markup {
    let id = format!("confirm-{step}");
    html! {
        form method="post" action="/closing" {
            (token(view.csrf))
            input type="hidden" name="step" value=(step);
            @if confirm {
                label for=(id) { "To be sure, type the name of the account: " (words::visible(&view.customer.name)) }
                input id=(id) type="text" name="confirm" autocomplete="off" autocapitalize="none" spellcheck="false" required;
            }
            p { button .stop[confirm] type="submit" { (label) } }
        }
    }
}

fn open(view: &View<'_>, name: &str) -> Markup {
    html! {
        p { a href="/" { "Back to your account" } }
        section aria-labelledby="home" {
            h2 #home { "Take your data home" }
            p { "We make a copy of everything of " (name) " and put it below for you to download." }
            (button(view, "export", "Make a copy for me", false))
            (waiting(view))
        }
        section aria-labelledby="close" {
            h2 #close { "Close the account" }
            p { "Support access ends at once. You can take your data home, and we delete it in time." }
            (button(view, "close", "Close the account", true))
        }
    }
}

fn waiting(view: &View<'_>) -> Markup {
    let waiting = view.state.exports_of(view.customer.id).filter(|export| export.made.is_none());
    html! {
        @for export in waiting.filter(|export| export.destroyed.is_none()) {
            p .hint { "Asked for " (time(export.requested.0)) "; it is being made." }
        }
    }
}

fn closed(view: &View<'_>, closure: &Closure, name: &str) -> Markup {
    let held = view.state.holds_on(view.customer.id).next().is_some();
    let gone = closure.purge.begun.is_some();
    html! {
        p .state { strong { "Nobody may see your data." } " The account of " (name) " was closed " (time(closure.at)) " by "
            (by(view.state, closure.by)) "." }
        section aria-labelledby="stages" {
            h2 #stages { "How far it has come" }
            ol { @for (stage, at) in &closure.reached { li { (reached(*stage)) ": " (time(*at)) } } }
            @if held {
                p {
                    "An authority demands that copies and records are kept; nothing more of them is removed until that "
                    "ends."
                }
            }
            @if let Some(at) = closure.immediate { p { "You asked for immediate removal: " (time(at)) "." } }
        }
        @if !gone {
            section aria-labelledby="choice" {
                h2 #choice { "What should happen with your data" }
                @match closure.choice {
                    Some((Choice::Return, at)) => p { "You chose: hand it back, then delete it (" (time(at)) ")." },
                    Some((Choice::Deletion, at)) => p { "You chose: delete it (" (time(at)) ")." },
                    None => p { "You have not chosen yet. Without a choice it is deleted in time." },
                }
                (button(view, "return", "Hand it back to me, then delete it", false))
                (button(view, "deletion", "Delete it", false))
            }
            @if !closure.is_erasing() {
                section aria-labelledby="reopen" {
                    h2 #reopen { "Closed by mistake?" }
                    p { "You can reopen the account until the deletion begins. Support access stays off." }
                    (button(view, "reopen", "Reopen the account", false))
                }
            }
        }
        @if closure.immediate.is_none() && !held {
            section aria-labelledby="immediate" {
                h2 #immediate { "Remove everything without waiting" }
                p { "Then nothing can be brought back, and what was done with your data can no longer be read." }
                (button(view, "immediate", "Remove everything now", true))
            }
        }
        section aria-labelledby="copy" {
            h2 #copy { "A copy for you" }
            @if gone { p { "Your rows are being deleted; no new copy can be made." } }
            @else { (button(view, "export", "Make a copy for me", false)) }
            (waiting(view))
        }
    }
}

/// A stage, in the owner's words.
fn reached(stage: Stage) -> &'static str {
    match stage {
        Stage::Closed => "Closed; nobody has access",
        Stage::Archived => "A last copy is made",
        Stage::Choice => "The time to choose is over",
        Stage::Planned => "What is deleted is planned",
        Stage::Purging => "Your rows are being deleted",
        Stage::LiveClean => "No row of yours is left",
        Stage::BackupsClean => "No backup holds your data any more",
        Stage::ArchiveDestroyed => "The last copy is destroyed",
        Stage::LogsClean => "What was done with your data can be read by nobody any more",
    }
}

fn files(view: &View<'_>) -> Markup {
    html! {
        section aria-labelledby="files" {
            h2 #files { "Your files" }
            @if view.files.is_empty() { p { "None yet." } } @else {
                ul .plain {
                    @for file in view.files {
                        li { a href={ "/closing/files/" (file.name) } { (file.name) } " (" (file.bytes) " bytes)" }
                    }
                }
            }
        }
    }
}
