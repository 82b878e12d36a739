//! Suspended, taken out of a team, out of hours, elsewhere, not attested: the session ends, and the way out is told.
//! Not here: the ends of grants and of consent (`tests/endings`).

use std::time::Instant;

use portreeve::cli::demo::stage::{STAFF, said};
use portreeve::clock::{Clock, SystemClock};

use crate::ground::{Ground, LEAD, ended};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_suspended_is_out_at_once_until_somebody_else_resumes_them() {
    let ground = Ground::new(&[]).await;
    ground.grant();
    let session = ground.busy_session().await;
    ground.must(&["staff", "suspend", STAFF]);
    ended(session, Instant::now(), "is suspended since");
    assert_eq!(ground.backends().await, 0, "the backend is gone");
    let refused = said(&ground.psql("select 1"));
    assert!(refused.contains("you are suspended") && refused.contains("portreeve staff resume jane"), "{refused}");
    assert_eq!(ground.shown(&["staff", "show", STAFF])["status"], "suspended");

    let oneself = ground.as_staff(STAFF, &["staff", "resume", STAFF]);
    assert_eq!(oneself.status.code(), Some(3), "{}", said(&oneself));
    assert!(said(&oneself).contains("no such active staff member"), "{}", said(&oneself));
    let resumed = ground.as_staff(LEAD, &["staff", "resume", STAFF]);
    assert!(resumed.status.success(), "{}", said(&resumed));
    ground.grant();
    let back = ground.psql_soon("select 1");
    assert!(back.status.success(), "{}", said(&back));

    let session = ground.busy_session().await;
    ground.must(&["staff", "remove", STAFF]);
    ended(session, Instant::now(), "was removed");
    let resumed = ground.as_staff(LEAD, &["staff", "resume", STAFF]);
    assert!(said(&resumed).contains("removed"), "removed is for good: {}", said(&resumed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taken_from_the_team_or_the_team_from_the_customer_a_session_ends_at_once() {
    let ground = Ground::new(&[]).await;
    ground.grant();
    let session = ground.busy_session().await;
    ground.must(&["team", "remove", "support", "jane"]);
    ended(session, Instant::now(), "ended grant");
    let refused = said(&ground.psql("select 1"));
    assert!(refused.contains("you are in no team that looks after it"), "{refused}");
    assert!(refused.contains("portreeve team add TEAM jane"), "{refused}");

    // Of two teams one is enough.
    ground.must(&["team", "create", "billing"]);
    ground.must(&["team", "add", "billing", "jane", "--role", "security"]);
    ground.must(&["team", "assign", "billing", "acme"]);
    ground.must(&["team", "add", "support", "jane"]);
    ground.grant();
    let mut session = ground.busy_session().await;
    ground.must(&["team", "unassign", "support", "acme"]);
    ground.must(&["staff", "list"]);
    assert!(session.try_wait().expect("it is asked").is_none(), "the other team still looks after acme");
    ground.must(&["team", "dissolve", "billing"]);
    ended(session, Instant::now(), "ended grant");
    let history = ground.must(&["audit", "search", "--customer", "acme", "--kind", "decided"]);
    assert!(history.contains("team.assigned") && history.contains("team.unassigned"), "its owner sees it: {history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_attested_elsewhere_and_out_of_hours() {
    let ground = Ground::new(&[("staff", "confidentiality_version = 2")]).await;
    ground.grant();
    let attest = |version| {
        let (kind, until) = ("confidentiality", "2099-01-01");
        ground.must(&["staff", "attest", "jane", "--kind", kind, "--version", version, "--until", until]);
    };
    let refused = said(&ground.psql("select 1"));
    assert!(refused.contains("has not attested version 2 of the confidentiality agreement"), "{refused}");
    attest("1");
    let refused = said(&ground.psql("select 1"));
    assert!(
        refused.contains("attested version 1 of the confidentiality agreement; version 2 is in force"),
        "{refused}"
    );
    attest("2");

    let session = ground.busy_session().await;
    ground.must(&["staff", "limit", "jane", "--networks", "10.0.0.0/8"]);
    ended(session, Instant::now(), "may come in from 10.0.0.0/8; the client is at 127.0.0.1");
    ground.must(&["staff", "limit", "jane", "--networks", "any"]);

    let wrong = ground.portreeve(&["staff", "limit", "jane", "--hours", "daily 08:00-09:00 Europe/Kopenhagen"]);
    assert_eq!(wrong.status.code(), Some(3), "{}", said(&wrong));
    assert!(said(&wrong).contains("did you mean Europe/Copenhagen"), "{}", said(&wrong));
    let session = ground.busy_session().await;
    ground.must(&["staff", "limit", "jane", "--hours", &elsewhen()]);
    ended(session, Instant::now(), "\"jane\" works daily");
    let (lasting, reason) = ("1h", "the release is late tonight");
    let excepted = ground.as_staff(LEAD, &["staff", "except", "jane", "--for", lasting, "--reason", reason]);
    assert!(excepted.status.success(), "{}", said(&excepted));
    let back = ground.psql_soon("select 1");
    assert!(back.status.success(), "{}", said(&back));
}

/// The timer ends a session at the moment its hours are over, though nothing changes and nothing is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_the_exception_does() {
    let ground = Ground::new(&[]).await;
    ground.grant();
    ground.must(&["staff", "limit", "jane", "--hours", &elsewhen()]);
    let excepted = ["staff", "except", "jane", "--for", "8s", "--reason", "the release is late tonight"];
    let excepted = ground.as_staff(LEAD, &excepted);
    assert!(excepted.status.success(), "{}", said(&excepted));
    let since = Instant::now();
    let session = ground.busy_session().await;
    ended(session, since + std::time::Duration::from_secs(8), "\"jane\" works daily");
    assert!(since.elapsed() > std::time::Duration::from_secs(6), "it ended before its time");
}

/// Hours that are neither now nor soon.
fn elsewhen() -> String {
    let micros = SystemClock.now().0;
    let other = (micros.div_euclid(3_600_000_000) + 12).rem_euclid(24);
    format!("daily {other:02}:00-{other:02}:30 UTC")
}
