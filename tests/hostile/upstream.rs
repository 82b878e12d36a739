//! Somebody between the gate and the database: the gate does not trust it, tells staff no particulars and operators all
//! of them, and sends it nothing: no start-up packet, no password, no cancel.

use std::fs;
use std::time::Duration;

use portreeve::cli::demo::stage::said;
use tokio::time::{Instant, sleep};

use crate::ground::{Ground, PATIENCE};
use crate::middle::{contains, false_server};
use crate::middleman::{Middleman, Trick, is_broken_off};
use crate::packets::{cancel_request, query, ssl_request};
use crate::wire::{connect, session};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_is_not_talked_into_a_false_database() {
    // Shorter than the upstream may take: a sign-in that waits for it is not given up halfway.
    let mut ground = Ground::with(&[("limits", "sign_in_within = \"5s\"")], &[]).await;
    ground.open("acme", "read");
    let server = ground.stage.cluster.port();
    let middle = Middleman::start("127.0.0.1", server, false_server(&ground)).await;
    let elsewhere = Middleman::start("127.0.0.2", server, false_server(&ground)).await;
    let configured = format!("host = \"localhost\"\nport = {server}");
    for trick in [Trick::Decline, Trick::Impersonate, Trick::Inject] {
        middle.play(trick);
        first_contact(&mut ground, &configured, &middle, trick).await;
        ground.holds().await;
    }
    wrong_name(&mut ground, &configured, &elsewhere).await;
    ground.holds().await;
    middle.play(Trick::Pass);
    move_cluster(&mut ground, &configured, &format!("host = \"localhost\"\nport = {}", middle.port));
    later(&mut ground, &middle).await;
    ground.holds().await;
}

/// Lets the proxy find its cluster elsewhere, from a new start on.
fn move_cluster(ground: &mut Ground, configured: &str, to: &str) {
    let path = ground.stage.configuration();
    let kept = ground.stage.path("portreeve.toml.kept");
    if !kept.exists() {
        fs::copy(&path, &kept).expect("a copy");
    }
    let text = fs::read_to_string(&kept).expect("the configuration");
    assert!(text.contains(configured), "{text}");
    fs::write(&path, text.replace(configured, to)).expect("the configuration is written");
    ground.stage.start_proxy().expect("the proxy starts although its cluster cannot be trusted");
}

/// psql is refused without particulars; the proxy's log and the audit log have them.
async fn refused(ground: &mut Ground, verb: &'static str, particulars: &str, secrets: &[&str]) {
    ground.holds().await;
    ground.expect_more(1, particulars, "refused", verb, "08006");
    ground.expect_more(1, particulars, "session-ended", verb, "");
    let before = ground.proxy_log().len();
    let output = ground.psql(&ground.stage.conninfo("acme"), "select 'never'");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("the customer's database cannot be reached"), "{text}");
    assert!(text.contains("HINT:  Try again later; an operator finds the reason"), "{text}");
    for particular in secrets.iter().chain(&["certificate", "TLS error", "pr_g_", "portreeve_provisioner"]) {
        assert!(!text.contains(particular), "{particular} in {text}");
    }
    ground.proxy_says(before, &["turned away", particulars]).await;
    ground.holds().await;
}

/// What was said to somebody in the middle: the request for encryption and at most the beginning of a handshake.
fn harmless(ground: &Ground, heard: &[(Trick, Vec<u8>)]) {
    let password = ground.stage.cluster.provisioner_password().to_owned();
    for (trick, heard) in heard {
        assert_eq!(heard.get(..8), Some(&ssl_request()[..]), "{trick:?}");
        let more = heard.get(8..).unwrap_or_default();
        let is_harmless = if *trick == Trick::Inject { is_broken_off(more) } else { more.is_empty() };
        assert!(is_harmless, "{trick:?}: {more:?}");
        assert!(!contains(heard, password.as_bytes()));
    }
}

/// The proxy never saw the real server: the provisioner's connection is the first to be refused.
async fn first_contact(ground: &mut Ground, configured: &str, middle: &Middleman, trick: Trick) {
    let to = format!("host = \"localhost\"\nport = {}", middle.port);
    move_cluster(ground, configured, &to);
    let particulars = match trick {
        Trick::Decline => "does not support TLS",
        Trick::Impersonate => "certificate",
        Trick::Pass | Trick::Stall | Trick::Strip | Trick::Inject => "TLS",
    };
    refused(ground, "fence", particulars, &[&middle.port.to_string()]).await;
    // At its start the proxy looks for roles of dead processes with both customers; then there was psql.
    let heard = middle.heard(trick, 3).await;
    harmless(ground, &heard);
}

/// The real server with its real certificate, under a name that is not in it.
async fn wrong_name(ground: &mut Ground, configured: &str, elsewhere: &Middleman) {
    move_cluster(ground, configured, &format!("host = \"127.0.0.2\"\nport = {}", elsewhere.port));
    refused(ground, "fence", "certificate", &["127.0.0.2"]).await;
    let rows = ground.stage.cluster.run_sql(
        "acme",
        "select usename from pg_stat_activity where backend_type = 'client backend' and usename <> 'postgres'",
    );
    assert!(rows.await.expect("the server answers").is_empty(), "nobody signed in");
}

/// The proxy works with the real server, and then somebody steps in: sessions' own connections and cancels are refused.
async fn later(ground: &mut Ground, middle: &Middleman) {
    let mut open = session(ground, "acme").await;
    open.wire.send(&query("select pg_sleep(600)")).await;
    ground.running("acme", "pg_sleep(600)", 1).await;
    for (trick, particulars) in [
        (Trick::Decline, "it does not offer TLS"),
        (Trick::Impersonate, "cannot be trusted: invalid peer certificate"),
        (Trick::Inject, "cannot be trusted"),
        (Trick::Stall, "did not answer within"),
    ] {
        middle.play(trick);
        // The role is open already, so that this is the session's own connection.
        refused(ground, "upstream", particulars, &[&middle.port.to_string()]).await;
        let (backend, secret) = open.key();
        let mut cancel = connect(ground.stage.gate_port()).await;
        cancel.send(&cancel_request(backend, &secret)).await;
        assert_eq!(cancel.bytes().await, "");
        ground.expect(cancel.address.to_string(), "cancelled", "", "passed on");
        let heard = middle.heard(trick, 2).await;
        harmless(ground, &heard);
        ground.running("acme", "pg_sleep(600)", 1).await;
    }
    // It goes away, and all is well: the session was never disturbed.
    middle.play(Trick::Pass);
    let (backend, secret) = open.key();
    connect(ground.stage.gate_port()).await.send(&cancel_request(backend, &secret)).await;
    let answer = open.wire.until(b'Z').await;
    assert!(answer.iter().any(|message| message.tag == b'E' && message.sqlstate() == "57014"), "{answer:?}");
    drop(session(ground, "acme").await);
    drop(open);
    // None of those that came to nothing keeps the grant's login role.
    let until = Instant::now() + PATIENCE;
    loop {
        let rows = ground.stage.cluster.run_sql("acme", "select rolname from pg_roles where rolname like 'pr_g_%'");
        let left = rows.await.expect("the server answers");
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there: {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
