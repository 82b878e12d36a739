//! What a client asks for at start-up: customers that are not there, parameters that would make it somebody else,
//! protocols nobody speaks yet.

use portreeve::cli::demo::stage::said;

use crate::ground::Ground;
use crate::packets::{frame, query, start_up};
use crate::wire::{Message, encrypted, fatal, start, tags};

const JANE: [(&str, &str); 2] = [("user", "jane"), ("database", "acme")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_what_it_may_ask_for_and_no_more() {
    let mut ground = Ground::with(&[], &[("log_connections", "on")]).await;
    ground.open("acme", "read");
    customers(&mut ground).await;
    ground.holds().await;
    let before = let_in(&ground);
    refused_parameters(&mut ground).await;
    assert_eq!(let_in(&ground), before, "nothing of what was refused reached the server");
    ground.holds().await;
    accepted_parameters(&ground, before).await;
    ground.holds().await;
    protocol_versions(&mut ground).await;
    ground.holds().await;
}

async fn customers(ground: &mut Ground) {
    let forged = "acme\n2026-01-01T00:00:00Z  INFO forged: all is well \u{1b}[2J";
    // Only whoever has signed in learns which customers there are.
    let asking = |customer| start_up(3, 0, &[("user", "jane"), ("database", customer)]);
    for customer in ["hooli", "postgres", "template1", "ACME", "acme ", "acme' user='postgres", "c1", forged] {
        let (client, answer) = start(ground, &asking(customer), &ground.password()).await;
        assert_eq!(fatal(&answer).sqlstate(), "3D000", "{customer}: {answer:?}");
        assert!(fatal(&answer).field(b'H').contains("SHOW CUSTOMERS; at dbname=portreeve"), "{answer:?}");
        ground.expect_refused(client.address, "unknown-customer", "3D000");
        let (client, answer) = start(ground, &asking(customer), "wrong").await;
        assert_eq!(fatal(&answer).sqlstate(), "28P01", "{customer}: {answer:?}");
        ground.expect_refused(client.address, "wrong-password", "28P01");
        // A success, so that the guesses above are not too many.
        let (client, answer) = start(ground, &asking("globex"), &ground.password()).await;
        assert_eq!(fatal(&answer).sqlstate(), "28000", "globex is closed: {answer:?}");
        ground.expect_refused(client.address, "consent-off,no-grant", "28000");
    }
    // What a client says cannot pretend to be the proxy's own log, nor a terminal's command.
    let log = ground.proxy_log();
    assert!(!log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
    let found = ground.stage.run(&["audit", "search", "--kind", "refused"]).expect("a table");
    let table = String::from_utf8_lossy(&found.stdout);
    assert!(table.contains("forged: all is well") && !table.contains('\u{1b}'), "{table}");
}

/// Parameters that are refused before a password is asked for, the SQLSTATE, and what the message names.
const REFUSED: [(&[(&str, &str)], &str, &str); 24] = [
    (&[("user", "jane")], "3D000", "no database name"),
    (&[("user", "jane"), ("database", "")], "3D000", "no database name"),
    (&[("database", "acme")], "28000", "no user name"),
    (&[("user", ""), ("database", "acme")], "28000", "no user name"),
    (&[("user", "jane"), ("database", "acme"), ("database", "globex")], "08P01", "\"database\""),
    (&[("user", "jane"), ("user", "root"), ("database", "acme")], "08P01", "\"user\""),
    (&[JANE[0], JANE[1], ("role", "postgres")], "0A000", "\"role\""),
    (&[JANE[0], JANE[1], ("session_authorization", "postgres")], "0A000", "\"session_authorization\""),
    (&[JANE[0], JANE[1], ("replication", "database")], "0A000", "replication"),
    (&[JANE[0], JANE[1], ("replication", "true")], "0A000", "replication"),
    (&[JANE[0], JANE[1], ("replication", "off")], "0A000", "replication"),
    (&[JANE[0], JANE[1], ("no_such_setting", "1")], "0A000", "\"no_such_setting\""),
    (&[JANE[0], JANE[1], ("ROLE", "postgres")], "0A000", "\"ROLE\""),
    (&[JANE[0], JANE[1], ("options", "-c role=postgres")], "0A000", "\"role\""),
    (&[JANE[0], JANE[1], ("options", "-crole=postgres")], "0A000", "\"role\""),
    (&[JANE[0], JANE[1], ("options", "--role=postgres")], "0A000", "\"role\""),
    (&[JANE[0], JANE[1], ("options", "--ROLE=postgres")], "0A000", "\"ROLE\""),
    (&[JANE[0], JANE[1], ("options", "-c session_authorization=postgres")], "0A000", "\"session_authorization\""),
    (&[JANE[0], JANE[1], ("options", "--session-authorization=postgres")], "0A000", "\"session_authorization\""),
    (&[JANE[0], JANE[1], ("options", "-c statement_timeout=1s -c ro\\le=postgres")], "0A000", "\"role\""),
    (&[JANE[0], JANE[1], ("options", "-c")], "0A000", "\"-c\""),
    (&[JANE[0], JANE[1], ("options", "-d 5")], "0A000", "\"-d\""),
    (&[JANE[0], JANE[1], ("options", "-c =5")], "0A000", "\"-c\""),
    (&[JANE[0], JANE[1], ("options", "globex")], "0A000", "\"globex\""),
];

/// Sessions that the server let in by now, as it logs them: of the grants' login roles, and of everybody but the superuser and
/// the gate's provisioner.
fn let_in(ground: &Ground) -> (usize, usize) {
    let log = ground.server_log();
    let users = log.lines().filter_map(|line| line.split_once("connection authorized: user="));
    let users = users.filter_map(|(_, rest)| rest.split(' ').next());
    let others: Vec<&str> = users.filter(|user| !["postgres", "portreeve_provisioner"].contains(user)).collect();
    (others.iter().filter(|user| user.starts_with("pr_g_")).count(), others.len())
}

async fn refused_parameters(ground: &mut Ground) {
    for (parameters, sqlstate, named) in REFUSED {
        let mut client = encrypted(ground).await;
        client.send(&start_up(3, 0, parameters)).await;
        let answer = client.rest().await;
        let told = fatal(&answer);
        assert_eq!((answer.len(), told.sqlstate().as_str()), (1, sqlstate), "{parameters:?}: {answer:?}");
        assert!(told.field(b'M').contains(named), "{parameters:?}: {answer:?}");
        ground.expect_refused(client.address, "protocol", sqlstate);
    }
    // A text that is not UTF-8.
    let mut client = encrypted(ground).await;
    let mut packet = start_up(3, 0, &[JANE[0], JANE[1], ("application_name", "??")]);
    packet.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    client.send(&packet).await;
    let answer = client.rest().await;
    assert_eq!(fatal(&answer).sqlstate(), "22021", "{answer:?}");
    ground.expect_refused(client.address, "protocol", "22021");
    // With the real psql.
    let gate = ground.stage.conninfo("acme");
    for (more, named) in [("options='-c role=postgres'", "\"role\""), ("replication=database", "replication")] {
        let output = ground.psql(&format!("{gate} {more}"), "select 1");
        let text = said(&output);
        assert!(!output.status.success() && text.contains(named), "{more}: {text}");
    }
}

async fn accepted_parameters(ground: &Ground, (of_grants, others): (usize, usize)) {
    let gate = ground.stage.conninfo("acme");
    let accepted = [
        ("options='-c statement_timeout=5s'", "show statement_timeout", "5s"),
        ("options='--statement-timeout=5s -cwork_mem=8MB'", "show work_mem", "8MB"),
        ("application_name=it\\'s-psql", "show application_name", "it's-psql"),
        ("client_encoding=LATIN1", "show client_encoding", "LATIN1"),
    ];
    for (more, statement, value) in accepted {
        let output = ground.psql(&format!("{gate} {more}"), statement);
        assert!(output.status.success() && said(&output).starts_with(value), "{more}: {}", said(&output));
    }
    // So that is what would have been seen of those that were refused, even of one that came late.
    assert_eq!(let_in(ground), (of_grants + accepted.len(), others + accepted.len()));
}

/// Signs in with that protocol; the messages, and what a query answers.
async fn speaking(ground: &Ground, minor: u32, more: &[(&str, &str)]) -> (Vec<Message>, Vec<Message>) {
    let packet = start_up(3, minor, &[&JANE[..], more].concat());
    let (mut client, messages) = start(ground, &packet, &ground.password()).await;
    assert!(messages.last().is_some_and(|message| message.tag == b'Z'), "{messages:?}");
    client.send(&query("select 1")).await;
    let answer = client.until(b'Z').await;
    client.send(&frame(b'X', b"")).await;
    client.rest().await;
    (messages, answer)
}

/// NegotiateProtocolVersion: the version agreed on, and the options that are not known.
fn negotiated(messages: &[Message]) -> Option<(u32, Vec<String>)> {
    let message = messages.iter().find(|message| message.tag == b'v')?;
    let (version, rest) = message.body.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let names: Vec<String> = rest
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    assert_eq!(usize::try_from(u32::from_be_bytes(*count)), Ok(names.len()));
    Some((u32::from_be_bytes(*version), names))
}

async fn protocol_versions(ground: &mut Ground) {
    let (v3_0, v3_2) = (3 << 16, (3 << 16) | 2);
    let greased = ("_pq_.test_protocol_negotiation", "");
    let unknown = |name: &(&str, &str)| vec![name.0.to_owned()];
    let secret = |messages: &[Message]| {
        messages.iter().find(|message| message.tag == b'K').map_or(0, |message| message.body.len() - 4)
    };
    for (minor, more, answered, secret_bytes) in [
        (0, None, None, 4),
        (0, Some(greased), Some((v3_0, unknown(&greased))), 4),
        (2, None, None, 32),
        (2, Some(greased), Some((v3_2, unknown(&greased))), 32),
        (9999, None, Some((v3_2, Vec::new())), 32),
        (9999, Some(greased), Some((v3_2, unknown(&greased))), 32),
    ] {
        let (messages, answer) = speaking(ground, minor, more.as_slice()).await;
        assert_eq!(negotiated(&messages), answered, "3.{minor} {more:?}");
        assert_eq!(secret(&messages), secret_bytes, "3.{minor} {more:?}");
        assert_eq!(tags(&answer), "TDCZ", "{answer:?}");
    }
    // Others are refused, in words: whoever speaks 2.0 or 4.0 reads no more than that.
    for (major, minor) in [(2, 0), (4, 0), (1, 0)] {
        let mut client = encrypted(ground).await;
        client.send(&start_up(major, minor, &JANE)).await;
        let answer = client.rest().await;
        assert_eq!((answer.len(), fatal(&answer).sqlstate().as_str()), (1, "0A000"), "{major}.{minor}: {answer:?}");
        ground.expect_refused(client.address, "protocol", "0A000");
    }
}
