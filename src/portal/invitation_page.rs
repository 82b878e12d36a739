//! How inviting and accepting look: a form for a password, and the list of an account's owners.
//! Not here: what their forms do (`invitation`).

use maud::{Markup, html};

use super::pages::{page, time, token};
use super::words;
use crate::clock::Timestamp;
use crate::grant::{Customer, Invitation, Owner, State};

/// The page a link opens, with what was wrong the last time.
pub fn invited(state: &State, invitation: &Invitation, code: &str, problem: Option<&str>) -> Markup {
    let account = title(state, invitation);
    page(
        if problem.is_some() { "Problem: accept the invitation" } else { "Accept the invitation" },
        None,
        &html! {
            h1 { "Decide who may see the data of " (account) }
            p {
                "You are invited to be an owner of this account: you allow or forbid your vendor's support team to see its "
                "data, and read what they did. Until you have decided, nobody is allowed in."
            }
            p { "You will sign in as " strong { (words::visible(&invitation.name)) } "." }
            @if let Some(problem) = problem { p #problem .problem role="alert" { (problem) } }
            form method="post" action="/invitation" {
                input type="hidden" name="code" value=(code);
                label for="password" { "Choose a password" }
                input #password type="password" name="password" autocomplete="new-password" minlength="8" required autofocus
                    aria-describedby=[problem.map(|_| "problem")];
                label for="again" { "The same password again" }
                input #again type="password" name="again" autocomplete="new-password" minlength="8" required;
                p { button type="submit" { "Accept" } }
            }
            p .hint { "This link works once, until " (time(invitation.ends)) "." }
        },
    )
}

/// Said once they accepted.
pub fn accepted(state: &State, invitation: &Invitation) -> Markup {
    page(
        "You are an owner",
        None,
        &html! {
            h1 { "You are an owner of " (title(state, invitation)) }
            p .notice role="status" { "Nobody of the support team can see its data: that is yours to decide now." }
            p { a href="/sign-in" { "Sign in as " (words::visible(&invitation.name)) } }
        },
    )
}

fn title(state: &State, invitation: &Invitation) -> String {
    state.customer(invitation.customer).map_or_else(String::new, |customer| words::visible(customer.title()))
}

/// What the list of owners shows.
pub struct Owners<'a> {
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
}

/// An invitation that was just made.
pub struct Made<'a> {
    /// Whose.
    pub name: &'a str,
    /// Shown this once.
    pub link: &'a str,
    /// Until when it works.
    pub ends: Timestamp,
}

/// The owners of an account, and those who are invited to be one.
pub fn owners(view: &Owners<'_>, made: Option<&Made<'_>>) -> Markup {
    let name = words::visible(view.customer.title());
    let open: Vec<_> = view.state.invited_to(view.customer.id).filter(|one| one.is_open(view.now)).collect();
    page(
        &format!("Owners of {}", view.customer.title()),
        Some((view.owner, view.csrf)),
        &html! {
            h1 { "Owners of " (name) }
            p { a href="/" { "Back to your account" } }
            @if let Some(made) = made {
                p .notice role="status" {
                    "Send this link to " (words::visible(made.name)) ". It works once, until " (time(made.ends))
                    ", and is not shown again:"
                }
                p { code { (made.link) } }
            }
            ul .plain {
                @for owner in view.state.owners_of(view.customer.id).filter(|owner| owner.active) {
                    li { strong { (words::visible(&owner.name)) } " since " (time(owner.created)) }
                }
                @for invitation in open {
                    li {
                        p { strong { (words::visible(&invitation.name)) } " is invited until " (time(invitation.ends)) "." }
                        form method="post" action="/owners/uninvite" {
                            (token(view.csrf))
                            input type="hidden" name="id" value=(invitation.id);
                            button .stop type="submit" aria-label={ "Take back the invitation of " (invitation.name) } {
                                "Take back"
                            }
                        }
                    }
                }
            }
            form method="post" action="/owners/invite" {
                (token(view.csrf))
                h2 { "Invite another owner" }
                p .hint { "Every owner can allow and forbid access, and invite others." }
                label for="name" { "The name they will sign in by, such as their mail address" }
                input #name type="text" name="name" autocapitalize="none" spellcheck="false" required;
                p { button type="submit" { "Make a link" } }
            }
        },
    )
}
