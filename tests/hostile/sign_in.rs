//! Guessing, and breaking the order of the sign-in: wrong passwords, unknown names, messages where none is due.

use std::time::Duration;

use bytes::Bytes;
use portreeve::cli::demo::stage::said;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::time::Instant;

use crate::ground::Ground;
use crate::packets::{frame, lying, query, start_up, strings};
use crate::wire::{Message, encrypted, fatal, initial_response, start, tags};

/// How many tries of each kind are timed.
const TRIES: usize = 40;

/// More than the timed tries, fewer than would take long.
const LIMITS: [(&str, &str); 3] = [
    ("limits", "attempts_per_name = 60"),
    ("limits", "attempts_per_address = 100000"),
    ("limits", "attempts_within = \"1h\""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_tells_nothing_and_has_an_end() {
    let mut ground = Ground::with(&LIMITS, &[]).await;
    ground.open("acme", "read");
    wrong_messages(&mut ground).await;
    ground.holds().await;
    a_name_cannot_be_found_out(&mut ground).await;
    ground.holds().await;
    too_many_attempts(&mut ground).await;
    ground.holds().await;
}

fn asking(user: &str) -> Vec<u8> {
    start_up(3, 0, &[("user", user), ("database", "acme")])
}

/// The client's first message of SCRAM, as psql sends it.
fn first() -> Vec<u8> {
    initial_response(b"n,,n=,r=rOprNGfwEbeRWgbNEkqO")
}

/// What is sent after the start-up packet instead of a proper SASLInitialResponse, and the SQLSTATE of the answer.
fn instead_of_the_first() -> Vec<(Vec<u8>, &'static str)> {
    let sasl = |message: &[u8]| frame(b'p', &initial_response(message));
    let mechanism = |name: &str| [&strings(&[name]), 0_u32.to_be_bytes().as_slice()].concat();
    vec![
        // A second start-up packet, for somebody else: its first byte is no message type.
        (start_up(3, 0, &[("user", "root"), ("database", "globex")]), "08P01"),
        (query("select 'before sign-in'"), "08P01"),
        (frame(b'S', b""), "08P01"),
        (frame(b'X', b""), "08P01"),
        (frame(b'p', b""), "08P01"),
        (frame(b'p', b"secret\0"), "08P01"),
        (frame(b'p', &mechanism("SCRAM-SHA-256-PLUS")), "08P01"),
        (frame(b'p', &mechanism("OAUTHBEARER")), "08P01"),
        (frame(b'p', &[&first()[..], b"more"].concat()), "08P01"),
        (lying(b'p', 3, b""), "08P01"),
        (lying(b'p', 0x7fff_ffff, b"x"), "08P01"),
        (lying(b'p', 0x8000_0000, b"x"), "08P01"),
        (sasl(b"p=tls-server-end-point,,n=,r=abc"), "0A000"),
        (sasl(b"n,a=root,n=,r=abc"), "0A000"),
        (sasl(b"n,,m=x,n=,r=abc"), "0A000"),
        (sasl(b"n,,n=,r="), "08P01"),
        (sasl(b"n,,n="), "08P01"),
        (sasl(b"n,,n=,r=\xff\xfe"), "08P01"),
        (sasl(b""), "08P01"),
    ]
}

/// The same instead of the final message, after a proper first one.
fn instead_of_the_last(nonce: &str) -> Vec<(Vec<u8>, &'static str)> {
    let last = |text: String| frame(b'p', text.as_bytes());
    let proof = "A".repeat(43) + "=";
    vec![
        (start_up(3, 0, &[("user", "root"), ("database", "globex")]), "08P01"),
        (query("select 'before sign-in'"), "08P01"),
        (frame(b'p', &first()), "08P01"),
        (last(format!("c=biws,r={nonce}")), "08P01"),
        (last(format!("c=eSws,r={nonce},p={proof}")), "08P01"),
        (last(format!("c=biws,r={nonce}x,p={proof}")), "08P01"),
        (last(format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={proof}")), "08P01"),
        (last(format!("c=biws,r={nonce},p=AAAA")), "08P01"),
        (last(format!("c=biws,r={nonce},p=")), "08P01"),
        // Well formed, and wrong.
        (last(format!("c=biws,r={nonce},p={proof}")), "28P01"),
    ]
}

async fn wrong_messages(ground: &mut Ground) {
    for (sent, sqlstate) in instead_of_the_first() {
        let mut client = encrypted(ground).await;
        client.send(&asking("jane")).await;
        assert!(client.message().await.is_some_and(|message| message.asks(10)));
        client.send(&sent).await;
        let answer = client.rest().await;
        assert_eq!((answer.len(), fatal(&answer).sqlstate().as_str()), (1, sqlstate), "{sent:?}: {answer:?}");
        ground.expect_refused(client.address, "protocol", sqlstate);
    }
    for at in 0..instead_of_the_last("").len() {
        let mut client = encrypted(ground).await;
        client.send(&asking("jane")).await;
        assert!(client.message().await.is_some_and(|message| message.asks(10)));
        client.send(&frame(b'p', &first())).await;
        let challenge = client.message().await.filter(|message| message.asks(11)).expect("a challenge");
        let (sent, sqlstate) = instead_of_the_last(&nonce(&challenge)).swap_remove(at);
        client.send(&sent).await;
        let answer = client.rest().await;
        assert_eq!((answer.len(), fatal(&answer).sqlstate().as_str()), (1, sqlstate), "{sent:?}: {answer:?}");
        let verb = if sqlstate == "28P01" { "wrong-password" } else { "protocol" };
        ground.expect_refused(client.address, verb, sqlstate);
    }
    // All of the sign-in in one piece with what would come after it: nothing is taken before its time.
    let mut client = encrypted(ground).await;
    let everything = [asking("jane"), frame(b'p', &first()), frame(b'p', b"c=biws"), query("select 'too early'")];
    client.send(&everything.concat()).await;
    let answer = client.rest().await;
    assert_eq!((tags(&answer).as_str(), fatal(&answer).sqlstate().as_str()), ("RRE", "08P01"), "{answer:?}");
    ground.expect_refused(client.address, "protocol", "08P01");
}

fn nonce(challenge: &Message) -> String {
    attribute(challenge, "r=")
}

fn attribute(challenge: &Message, name: &str) -> String {
    let text = String::from_utf8_lossy(challenge.body.get(4..).unwrap_or_default()).into_owned();
    text.split(',').find_map(|attribute| attribute.strip_prefix(name)).unwrap_or_default().to_owned()
}

/// One try with a wrong password: the messages, and how long the gate took for them.
async fn guess(ground: &mut Ground, user: &str) -> (Vec<Message>, Duration) {
    let mut client = encrypted(ground).await;
    let mut scram = ScramSha256::new(b"wrong", ChannelBinding::unsupported());
    let begun = Instant::now();
    client.send(&asking(user)).await;
    let mut messages = client.until(b'R').await;
    client.send(&frame(b'p', &initial_response(scram.message()))).await;
    messages.extend(client.until(b'R').await);
    let challenged = begun.elapsed();
    let challenge: Bytes = messages.last().map(|message| message.body.slice(4..)).expect("a challenge");
    scram.update(&challenge).expect("a challenge");
    let begun = Instant::now();
    client.send(&frame(b'p', scram.message())).await;
    messages.extend(client.rest().await);
    let took = challenged + begun.elapsed();
    ground.expect_refused(client.address, "wrong-password", "28P01");
    (messages, took)
}

/// The lower quartile: what the work itself takes, where the rest of the machine adds to one try or another.
fn lower_quartile(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 4).copied().unwrap_or_default()
}

/// A wrong password and an unknown name: the same messages, the same challenge's shape, the same time.
async fn a_name_cannot_be_found_out(ground: &mut Ground) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut salts = Vec::new();
    for _ in 0..TRIES {
        let (of_jane, took) = guess(ground, "jane").await;
        known.push(took);
        let (of_nobody, took) = guess(ground, "nobody").await;
        unknown.push(took);
        assert_eq!((tags(&of_jane).as_str(), tags(&of_nobody).as_str()), ("RRE", "RRE"));
        let (jane, nobody) = (fatal(&of_jane), fatal(&of_nobody));
        assert_eq!(jane.field(b'M').replace("jane", "nobody"), nobody.field(b'M'));
        let others = |message: &Message| [b'C', b'D', b'H', b'S'].map(|code| message.field(code));
        assert_eq!(others(jane), others(nobody));
        let [jane, nobody] = [&of_jane, &of_nobody].map(|messages| {
            let challenge = messages.get(1).expect("the second message");
            let (salt, iterations) = (attribute(challenge, "s="), attribute(challenge, "i="));
            salts.push(salt.clone());
            (nonce(challenge).len(), salt.len(), iterations)
        });
        assert_eq!(jane, nobody, "nonce, salt, iterations");
    }
    // Asked again, an unknown name shows the same salt, as a known one does.
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 2, "{salts:?}");
    let (known, unknown) = (lower_quartile(known), lower_quartile(unknown));
    let factor = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.5..=2.0).contains(&factor), "a wrong password takes {known:?}, an unknown name {unknown:?}");
    // The real psql is told the same, with either.
    let gate = ground.stage.conninfo("acme");
    ground.stage.write_secret("wrong", "*:*:*:*:wrong").expect("a file");
    let passfile = ground.stage.path("wrong");
    let told = ["jane", "nobody"].map(|user| {
        let conninfo =
            format!("{} passfile={}", gate.replace("user=jane", &format!("user={user}")), passfile.display());
        let output = ground.psql_command(&conninfo, "select 1").output().expect("psql runs");
        assert!(!output.status.success());
        said(&output).replace(user, "NAME")
    });
    let [of_jane, of_nobody] = told;
    assert!(of_jane.contains("password authentication failed"), "{of_jane}");
    assert_eq!(of_jane, of_nobody);
}

/// After too many failures a name is not looked at any more from there, with the right password or not; others are.
async fn too_many_attempts(ground: &mut Ground) {
    for name in ["jane", "nobody"] {
        let mut tries = 0;
        let refused = loop {
            let mut client = encrypted(ground).await;
            client.send(&asking(name)).await;
            let answer = client.prove("wrong").await;
            tries += 1;
            assert!(tries <= 60, "{name} is never blocked");
            if fatal(&answer).sqlstate() == "28000" {
                ground.expect_refused(client.address, "too-many-attempts", "28000");
                break answer;
            }
            ground.expect_refused(client.address, "wrong-password", "28P01");
        };
        assert_eq!(tags(&refused), "E", "nothing is asked for any more");
        let told = fatal(&refused);
        assert_eq!(told.field(b'M'), "too many failed sign-ins");
        assert!(told.field(b'H').starts_with("Try again in "), "{told:?}");
    }
    // Blocked is blocked: the right password does not help, nor is it said to be right.
    let (client, answer) = start(ground, &asking("jane"), &ground.password()).await;
    assert_eq!((tags(&answer).as_str(), fatal(&answer).sqlstate().as_str()), ("E", "28000"));
    ground.expect_refused(client.address, "too-many-attempts", "28000");
    let output = ground.psql(&ground.stage.conninfo("acme"), "select 1");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("too many failed sign-ins"), "{text}");
    assert!(text.contains("HINT:  Try again in "), "{text}");
    // Another name from the same address is still looked at.
    let (_, answer) = start(ground, &asking("somebody"), "wrong").await;
    assert_eq!(fatal(&answer).sqlstate(), "28P01");
}
