//! What staff see: how to get a short-lived password, the password itself, once, and what stood in the way.
//! Not here: who gets one (`staff`).

use maud::{Markup, html};

use super::{Handed, Handing};
use crate::portal::error::Error;
use crate::portal::pages::{capital, page, time};
use crate::portal::words;

/// The first page, with what was wrong the last time.
pub(super) fn welcome(handing: &Handing, problem: Option<&Error>, name: &str) -> Markup {
    let title = if problem.is_some() { "Problem: sign in as staff" } else { "Sign in as staff" };
    page(
        title,
        None,
        &html! {
            h1 { "A password for the gate" }
            p { "For the vendor's own people: the gate takes a short-lived password only. Get one here, and connect with it." }
            @if let Some(problem) = problem { (said(problem)) }
            @if handing.provider.is_some() {
                p { a href="/staff/oidc" { "Sign in with your identity provider" } }
            }
            @if handing.provider.is_some() && handing.by_code {
                h2 { "Without the identity provider" }
            }
            @if handing.by_code { (by_code(name)) }
        },
    )
}

/// The form for a stored password and a code.
fn by_code(name: &str) -> Markup {
    html! {
        form method="post" action="/staff/token" autocomplete="off" {
            label for="name" { "Name" }
            input #name type="text" name="name" value=(name) autocomplete="username" autocapitalize="none"
                spellcheck="false" required;
            label for="password" { "Your own password" }
            input #password type="password" name="password" autocomplete="current-password" required;
            label for="code" { "The code your authenticator shows" }
            input #code type="text" name="code" inputmode="numeric" autocomplete="one-time-code" required;
            p { button type="submit" { "Get a password" } }
        }
    }
}

/// The password, which is shown this once.
pub(super) fn handed(handed: &Handed) -> Markup {
    let name = words::visible(&handed.name);
    page(
        "Your password for the gate",
        None,
        &html! {
            h1 { "Your password for the gate" }
            p { "Sign in as " strong { (name) } " with this password, in any client:" }
            p { code #token { (handed.password.expose()) } }
            p {
                "It is good for signing in until " (time(handed.until)) ", as often as you like; then, or when you get a "
                "new one, it opens nothing any more. Sessions that are open by then go on. It is not shown again."
            }
            p .hint { "For example: " code { "psql \"host=GATE dbname=CUSTOMER user=" (name) " sslmode=verify-full\"" } }
            p { a href="/staff" { "Back" } }
        },
    )
}

/// Why there is none.
pub(super) fn problem(error: &Error) -> Markup {
    page(
        "Problem",
        None,
        &html! {
            h1 { "That did not work" }
            (said(error))
            p { a href="/staff" { "Begin again" } }
        },
    )
}

fn said(error: &Error) -> Markup {
    html! {
        p #problem .problem role="alert" { (capital(&error.to_string())) "." }
        p { (error.hint()) }
    }
}
