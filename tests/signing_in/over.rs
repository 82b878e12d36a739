//! A short-lived password ends, and so does, later, the session it opened.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::said;

use crate::ground::{Ground, SOON};

/// Here one both signs in for so long and keeps a session for so long.
const LINES: (&str, &str) = ("staff", "token_lives = \"20s\"\ncredential_lives = \"20s\"");

/// Tried until a machine that is busy gets through all of it within the password's life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_refused_after_its_end_and_its_session_ends_as_told() {
    let ground = Ground::with_provider(&[LINES]).await;
    let until = Instant::now() + 5 * SOON;
    let mut number = 0;
    let (token, told) = loop {
        number += 1;
        let token = ground.new_token(&format!("try-{number}"));
        if let Some(told) = session(&ground).filter(|told| told.contains("signed in with carries a session until")) {
            break (token, told);
        }
        assert!(Instant::now() < until, "no session begins in time");
    };
    assert!(told.contains("FATAL") && told.contains("access to customer \"acme\" has ended"), "{told}");
    assert!(told.contains("Get a new short-lived password where you got this one"), "{told}");
    // The password was over at the same moment: whoever has it is told so, anybody else as ever.
    let told = ground.is_turned_away("jane", &token);
    assert!(told.contains("the short-lived password of user \"jane\" is over"), "{told}");
    assert!(told.contains("It was good for signing in until 20") && told.contains("/staff"), "{told}");
    let told = ground.is_turned_away("jane", "something else");
    assert!(told.contains("password authentication failed") && !told.contains("is over"), "{told}");
    ground.is_recorded("token-over", "jane");
    assert_eq!(ground.must(&["--format", "json", "staff", "list"]).matches("\"jane\"").count(), 1);
}

/// A grant, and a session under it until it ends by itself: what psql says.
fn session(ground: &Ground) -> Option<String> {
    ground.stage.grant("acme", "read").ok()?;
    let mut psql: Command = ground.stage.psql("acme").expect("psql");
    psql.args(["-c", "select pg_sleep(300)"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let output = psql.spawn().expect("psql starts").wait_with_output().expect("psql ends");
    assert!(begun.elapsed() < Duration::from_secs(100), "the session was not ended");
    Some(said(&output))
}
