//! The first bytes of a connection: plaintext, garbage, silence, encryption requests out of turn, versions of TLS.

use std::process::{Command, Stdio};
use std::time::Duration;

use portreeve::cli::demo::stage::said;
use tokio::time::{Instant, sleep};

use crate::ground::{Ground, PATIENCE};
use crate::packets::{cancel_request, gss_request, packet, query, ssl_request, start_up};
use crate::wire::{Wire, connect, encrypted, fatal};

/// Short enough to be waited for, long enough for a handshake on a busy machine.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(6);

const JANE: [(&str, &str); 2] = [("user", "jane"), ("database", "acme")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_in_but_postgresql_over_tls() {
    let lines = [("limits", "sign_in_within = \"6s\""), ("limits", "connections_per_address = 48")];
    let mut ground = Ground::with(&lines, &[]).await;
    plaintext(&mut ground).await;
    ground.holds().await;
    garbage(&mut ground).await;
    ground.holds().await;
    silence(&mut ground).await;
    ground.holds().await;
    dawdling(&mut ground).await;
    ground.holds().await;
    early_and_repeated_requests(&mut ground).await;
    ground.holds().await;
    ways_in(&mut ground).await;
    ground.holds().await;
    versions_of_tls(&mut ground).await;
    ground.holds().await;
    crowd(&ground).await;
    ground.holds().await;
}

/// A client without TLS is told so, clearly, and nothing else.
async fn plaintext(ground: &mut Ground) {
    let conninfo = format!("host=localhost port={} dbname=acme user=jane sslmode=disable", ground.stage.gate_port());
    let output = ground.psql(&conninfo, "select 1");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("the gate accepts encrypted connections only"), "{text}");
    assert!(text.contains("HINT:  Connect with sslmode=verify-full"), "{text}");

    let and_more = [start_up(3, 0, &JANE), query("select 'in the clear'")].concat();
    for sent in [start_up(3, 0, &JANE), and_more] {
        let mut client = connect(ground.stage.gate_port()).await;
        client.send(&sent).await;
        let answer = client.rest().await;
        assert_eq!((answer.len(), fatal(&answer).sqlstate().as_str()), (1, "28000"), "{answer:?}");
        ground.expect_refused(client.address, "plaintext", "28000");
    }
}

/// What is no first packet of PostgreSQL's protocol.
fn not_first_packets() -> Vec<Vec<u8>> {
    let mut unterminated = start_up(3, 0, &JANE);
    unterminated.truncate(unterminated.len() - 1);
    let shorter = u32::try_from(unterminated.len()).expect("short").to_be_bytes();
    unterminated.splice(..4, shorter);
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        vec![0xff; 64],
        vec![0; 64],
        vec![0, 0, 0, 4],
        vec![0, 0, 0, 7, 0, 3, 0],
        [0x7fff_ffff_u32.to_be_bytes(), 0x0003_0000_u32.to_be_bytes()].concat(),
        [10_001_u32.to_be_bytes(), 0x0003_0000_u32.to_be_bytes()].concat(),
        unterminated,
        packet(3 << 16, b"user\0jane"),
        packet(3 << 16, b"user\0jane\0\0more\0"),
        packet(3 << 16, b""),
        packet(80_877_103, b"\0"),
        packet(80_877_104, b"gss"),
        cancel_request(1, b"abc"),
        cancel_request(1, &[7; 257]),
        packet(80_877_102, b"\0\0"),
    ]
}

/// Garbage is not answered, in the clear or over TLS.
async fn garbage(ground: &mut Ground) {
    for sent in not_first_packets() {
        let mut client = connect(ground.stage.gate_port()).await;
        client.send(&sent).await;
        assert_eq!(client.bytes().await, "", "{sent:?}");
        ground.expect_refused(client.address, "not-a-client", "");

        let mut client = encrypted(ground).await;
        client.send(&sent).await;
        assert_eq!(client.bytes().await, "", "{sent:?}");
        ground.expect_refused(client.address, "not-a-client", "");
    }
}

/// Whoever stops talking is closed, wherever that was.
async fn silence(ground: &mut Ground) {
    let port = ground.stage.gate_port();
    let plain = |sent: Vec<u8>| async move {
        let mut client = connect(port).await;
        client.send(&sent).await;
        client
    };
    let over_tls = |sent: Vec<u8>| {
        let ground = &*ground;
        async move {
            let mut client = encrypted(ground).await;
            client.send(&sent).await;
            client
        }
    };
    let begun = Instant::now();
    let (nothing, half_a_length, half_a_packet) =
        tokio::join!(plain(Vec::new()), plain(vec![0, 0]), plain(vec![0, 0, 0, 60, 0, 3, 0, 0, b'u']));
    let (no_handshake, declined, half_a_handshake) =
        tokio::join!(plain(ssl_request()), plain(gss_request()), plain(vec![0x16, 3, 1, 2]));
    let (no_start_up, half_a_start_up, no_password) =
        tokio::join!(over_tls(Vec::new()), over_tls(vec![0, 0, 0, 60, 0, 3]), over_tls(start_up(3, 0, &JANE)));
    for mut client in [nothing, half_a_length, half_a_packet, no_handshake, declined, half_a_handshake] {
        let answer = client.bytes().await;
        assert!(matches!(&answer[..], b"" | b"S" | b"N"), "{answer:?}");
        ground.expect(client.address.to_string(), "refused", "not-a-client", "");
    }
    for mut client in [no_start_up, half_a_start_up] {
        assert_eq!(client.bytes().await, "");
        ground.expect_refused(client.address, "not-a-client", "");
    }
    let mut client = no_password;
    let answer = client.rest().await;
    assert_eq!(fatal(&answer).sqlstate(), "08004", "{answer:?}");
    ground.expect_refused(client.address, "late", "08004");
    let took = begun.elapsed();
    assert!(took >= SIGN_IN_WITHIN / 2 && took < PATIENCE, "closed after {took:?}");
}

/// The time counts from the first byte to the proof, and begins anew at none of the steps.
async fn dawdling(ground: &mut Ground) {
    let begun = Instant::now();
    let mut client = connect(ground.stage.gate_port()).await;
    let mut last = client.address;
    client.send(&gss_request()).await;
    assert_eq!(client.byte().await, Some(b'N'));
    sleep(SIGN_IN_WITHIN * 2 / 3).await;
    client.send(&ssl_request()).await;
    if client.byte().await == Some(b'S') {
        let mut client = client.handshake(ground.tls()).await.expect("a handshake");
        client.send(&start_up(3, 0, &JANE)).await;
        last = client.address;
        client.rest().await;
    }
    let took = begun.elapsed();
    assert!(took < SIGN_IN_WITHIN * 3 / 2, "closed after {took:?}");
    ground.expect_refused(last, "late", "08004");
}

/// One address has so many connections and no more, and they are free again when it lets go.
async fn crowd(ground: &Ground) {
    let before = ground.proxy_log().len();
    let mut silent = Vec::new();
    for _ in 0..48 {
        silent.push(connect(ground.stage.gate_port()).await);
    }
    let mut one_more = connect(ground.stage.gate_port()).await;
    assert_eq!(one_more.bytes().await, "");
    ground.proxy_says(before, &["too many connections from this address"]).await;
    drop(silent);
    let until = Instant::now() + PATIENCE;
    loop {
        let mut client = connect(ground.stage.gate_port()).await;
        client.send(&ssl_request()).await;
        if client.byte().await == Some(b'S') {
            return;
        }
        assert!(Instant::now() < until, "still too many");
    }
}

/// Whatever stands in the connection before the handshake was put there by somebody in the middle.
async fn early_and_repeated_requests(ground: &mut Ground) {
    let port = ground.stage.gate_port();
    let hello = [0x16, 3, 1, 0, 200, 1];
    for early in [start_up(3, 0, &JANE), hello.to_vec(), ssl_request(), vec![0]] {
        let mut client = connect(port).await;
        client.send(&[ssl_request(), early.clone()].concat()).await;
        assert_eq!(client.bytes().await, "", "after an SSLRequest with {early:?}");
        ground.expect_refused(client.address, "not-a-client", "");
        says(ground, &client, "unencrypted data").await;

        let mut client = connect(port).await;
        client.send(&[gss_request(), early.clone()].concat()).await;
        assert_eq!(client.bytes().await, "", "after a GSSENCRequest with {early:?}");
        ground.expect_refused(client.address, "not-a-client", "");
    }
    // Twice in the clear: the second is no handshake. All that may come is an alert.
    let mut client = connect(port).await;
    client.send(&ssl_request()).await;
    assert_eq!(client.byte().await, Some(b'S'));
    client.send(&ssl_request()).await;
    let answer = client.bytes().await;
    assert!(answer.is_empty() || answer.starts_with(&[0x15, 3]), "{answer:?}");
    ground.expect_refused(client.address, "not-a-client", "");
    // Once more inside TLS.
    for again in [ssl_request(), gss_request()] {
        let mut client = encrypted(ground).await;
        client.send(&again).await;
        assert_eq!(client.bytes().await, "");
        ground.expect_refused(client.address, "not-a-client", "");
    }
    // Declined once is declined.
    let mut client = connect(port).await;
    client.send(&gss_request()).await;
    assert_eq!(client.byte().await, Some(b'N'));
    client.send(&gss_request()).await;
    assert_eq!(client.bytes().await, "");
    ground.expect_refused(client.address, "not-a-client", "");
}

/// The refusal of that client must say so.
async fn says<S>(ground: &Ground, client: &Wire<S>, text: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let rows = ground.records("refused", &client.address.to_string());
        if let [row] = &rows[..] {
            assert!(row["message"].as_str().is_some_and(|said| said.contains(text)), "{text}: {row}");
            return;
        }
        assert!(rows.is_empty() && Instant::now() < until, "one record, not {rows:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Every lawful way to an encrypted connection, and direct TLS that could be meant for another protocol.
async fn ways_in(ground: &mut Ground) {
    let port = ground.stage.gate_port();
    // GSSENCRequest, declined; then SSLRequest.
    let mut client = connect(port).await;
    client.send(&gss_request()).await;
    assert_eq!(client.byte().await, Some(b'N'));
    client.send(&ssl_request()).await;
    assert_eq!(client.byte().await, Some(b'S'));
    let after_gss = client.handshake(ground.tls()).await.expect("a handshake");
    let direct = connect(port).await.handshake(ground.tls()).await.expect("a handshake");
    let mut client = connect(port).await;
    client.send(&ssl_request()).await;
    assert_eq!(client.byte().await, Some(b'S'));
    let without_alpn = client.handshake(ground.tls_with_alpn(&[])).await.expect("a handshake");
    for mut client in [after_gss, direct, without_alpn] {
        client.send(&start_up(3, 0, &JANE)).await;
        assert!(client.message().await.is_some_and(|message| message.asks(10)), "SASL is asked for");
        let address = client.address;
        drop(client);
        ground.expect_refused(address, "broken", "");
    }
    // Direct TLS without a protocol's name: closed before anything is read.
    let mut client = connect(port).await.handshake(ground.tls_with_alpn(&[])).await.expect("a handshake");
    client.send(&start_up(3, 0, &JANE)).await;
    assert_eq!(client.bytes().await, "");
    ground.expect_refused(client.address, "not-a-client", "");
    says(ground, &client, "ALPN").await;
    // Another protocol's name: no handshake, whichever way.
    let client = connect(port).await;
    let address = client.address;
    client.handshake(ground.tls_with_alpn(&[b"http/1.1"])).await.expect_err("no handshake");
    ground.expect_refused(address, "not-a-client", "");
    let mut client = connect(port).await;
    let address = client.address;
    client.send(&ssl_request()).await;
    assert_eq!(client.byte().await, Some(b'S'));
    client.handshake(ground.tls_with_alpn(&[b"h2"])).await.expect_err("no handshake");
    ground.expect_refused(address, "not-a-client", "");
}

/// TLS 1.2 and 1.3 and nothing older, as OpenSSL sees it.
async fn versions_of_tls(ground: &mut Ground) {
    let before = ground.records("refused", "not a client").len() + ground.records("refused", "connection broke").len();
    for (flag, version) in
        [("-tls1_2", Some("TLSv1.2")), ("-tls1_3", Some("TLSv1.3")), ("-tls1_1", None), ("-tls1", None)]
    {
        // Security level 0: a client that would really take the old ones.
        let output = Command::new("openssl")
            .args(["s_client", "-brief", "-starttls", "postgres", "-cipher", "DEFAULT@SECLEVEL=0", flag])
            .arg("-connect")
            .arg(format!("localhost:{}", ground.stage.gate_port()))
            .arg("-CAfile")
            .arg(&ground.stage.cluster.certificates().gate_ca)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        let text = said(&output);
        match version {
            Some(version) => {
                assert!(output.status.success(), "{flag}: {text}");
                assert!(text.contains(&format!("Protocol version: {version}")), "{flag}: {text}");
                assert!(text.contains("Verification: OK"), "{flag}: {text}");
            }
            None => {
                assert!(!output.status.success(), "{flag}: {text}");
                assert!(text.contains("SSL alert number"), "{flag}: {text}");
            }
        }
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let after =
            ground.records("refused", "not a client").len() + ground.records("refused", "connection broke").len();
        if after >= before + 4 {
            return;
        }
        assert!(Instant::now() < until, "{} of 4 refusals recorded", after - before);
        sleep(Duration::from_millis(50)).await;
    }
}
