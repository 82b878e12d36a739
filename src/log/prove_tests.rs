use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::fixture::*;
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::cosignature::Cosigner;
use crate::audit::keys::{Part, TagKey};
use crate::audit::note::Note;
use crate::audit::proof::{Cosigned, Customer, End, FORMAT, Key, Proof, Shown, check, check_witnessed};
use crate::clock::Timestamp;
use crate::ids::CustomerId;
use crate::log::Log;

const SECOND: i64 = 1_000_000;

/// A log of which each record is a second after the one before, over several segments: of whom, and what.
fn written(of: &[(Option<CustomerId>, &str)]) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let log = fixture.open();
    write(&fixture, &log, of, 0);
    log.close().expect("closed");
    fixture
}

fn write(fixture: &Fixture, log: &Log, of: &[(Option<CustomerId>, &str)], from: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for ((customer, text), second) in of.iter().zip(from..) {
        let mut record = statement(*customer, text);
        record.at.0 = NOON.0 + second * SECOND;
        fixture.clock.0.store(record.at.0, std::sync::atomic::Ordering::Relaxed);
        runtime.block_on(log.record(record)).expect("durable");
    }
}

/// Seconds after noon.
fn period(since: Option<i64>, until: Option<i64>) -> Period {
    let at = |seconds: i64| NOON.0 + seconds * SECOND;
    Period { since: since.map(at), until: until.map(at) }
}

fn proof_with(fixture: &Fixture, customer: CustomerId, period: Period, earlier: &[String]) -> Proof {
    proof_with_all(fixture, customer, period, earlier, &[])
}

fn proof_with_all(
    fixture: &Fixture,
    customer: CustomerId,
    period: Period,
    earlier: &[String],
    witnessed: &[String],
) -> Proof {
    let (recipients, watch) = (&fixture.recipients, &Watch::default());
    let recipient = Recipient::Customer(customer);
    let ask = Ask { recipient, period, recipients, earlier, witnessed, watch };
    let draft = draft(&fixture.dir(), &signing(1).public(), &ask).expect("a draft");
    let keys: Vec<_> = draft.sealed().iter().map(|sealed| fixture.open_key(sealed)).collect();
    let tag_key = Base64(recipients.tag(recipient).expect("a tag key").0.expose().to_vec());
    let customer = Customer { number: customer.0, name: "acme".to_owned() };
    Proof { format: FORMAT.to_owned(), customer, period, tag_key, logs: vec![draft.keyed(keys.into_iter())] }
}

pub(in crate::log) fn proof(fixture: &Fixture, customer: CustomerId, period: Period) -> Proof {
    proof_with(fixture, customer, period, &[])
}

fn key(signing: &SigningKey) -> Key {
    Key { origin: Some("portreeve/proxy-gate-1".to_owned()), public: signing.public() }
}

/// The records a proof shows, or why it does not hold. It is read from its file.
fn shown(proof: &Proof) -> Result<Vec<Shown>, String> {
    let read = Proof::from_text(&proof.to_text())?;
    assert_eq!(&read, proof, "it comes back from its file as it was");
    let checked = check(&read, &[key(&signing(1))]);
    match checked.faults.first() {
        Some(fault) => Err(fault.to_string()),
        None => Ok(checked.logs.into_iter().flat_map(|log| log.records).collect()),
    }
}

fn texts(proof: &Proof) -> Result<Vec<String>, String> {
    let text = |shown: Shown| String::from_utf8(shown.record.values.text.unwrap_or_default()).expect("UTF-8");
    Ok(shown(proof)?.into_iter().map(text).collect())
}

/// Seven at 0, 2, 4, 6, 8 and 10; eight at 1, 3 and 5 only; the vendor at 7 and 9.
fn usual() -> Fixture {
    let (seven, eight) = (Some(SEVEN), Some(EIGHT));
    written(&[
        (seven, "a"),
        (eight, "b"),
        (seven, "c"),
        (eight, "d"),
        (seven, "e"),
        (eight, "f"),
        (seven, "g"),
        (None, "h"),
        (seven, "i"),
        (None, "j"),
        (seven, "k"),
    ])
}

#[test]
fn a_proof_shows_every_record_of_the_period_and_nobody_elses() {
    let fixture = usual();
    assert!(fixture.file("000000000001.segment").exists(), "tags change on the way");
    for (customer, since, until, expected) in [
        (SEVEN, None, None, "acegik"),
        (SEVEN, Some(2), None, "cegik"),
        (SEVEN, None, Some(5), "ace"),
        (SEVEN, Some(3), Some(9), "egi"),
        (SEVEN, Some(4), Some(5), "e"),
        (SEVEN, Some(5), Some(6), ""),
        (SEVEN, Some(100), Some(200), ""),
        (SEVEN, Some(-200), Some(-100), ""),
        (EIGHT, None, None, "bdf"),
        (EIGHT, Some(0), Some(4), "bd"),
        (EIGHT, Some(6), Some(9), ""),
        (EIGHT, Some(-5), Some(1), ""),
    ] {
        let proof = proof(&fixture, customer, period(since, until));
        let found = texts(&proof).unwrap_or_else(|fault| panic!("{customer} {since:?} {until:?}: {fault}"));
        assert_eq!(found.concat(), expected, "{customer} {since:?} {until:?}");
        let text = proof.to_text();
        // Nothing secret but what this customer is given: its tag key, which shows that one would be found.
        let holds = |secret: &[u8; 32]| text.contains(&STANDARD.encode(secret));
        assert!(text.contains(FORMAT) && holds(&[customer.0 as u8; 32]));
        assert!(!holds(&[1; 32]), "the seed that the log is signed with");
        assert!(fixture.privates().all(|(_, private)| !holds(private.expose())), "a private key");
    }
}

/// An old checkpoint is no proof of what came later: how far it reaches is shown by its last leaf, which must be there.
#[test]
fn a_proof_that_ends_with_the_checkpoint_says_of_when_that_is() {
    let fixture = usual();
    let reader = Reader::open(&fixture.dir()).expect("readable");
    let leaves: Vec<Descriptor> = reader.leaves().collect::<Result<_, _>>().expect("whole");
    let last = leaves.last().expect("a leaf").place;
    let end = |proof: &Proof| check(proof, &[key(&signing(1))]).logs.first().map(|log| log.end);
    for (since, until) in [(None, None), (Some(3), None), (Some(3), Some(900))] {
        let honest = proof(&fixture, EIGHT, period(since, until));
        assert_eq!(end(&honest), Some(End::Checkpoint(Some(Timestamp(last.at.0)))), "{since:?} {until:?}");
        let mut forged = honest.clone();
        forged.logs[0].leaves.retain(|listed| leaf_of(listed).place.position != last.position);
        list_again(&mut forged.logs[0], &leaves);
        let fault = shown(&forged).map(|shown| shown.len()).expect_err("it is missed");
        assert!(fault.ends_with("the log's last leaf is not shown, which tells its time"), "{fault}");
    }
    let of_later = proof(&fixture, EIGHT, period(Some(100), Some(200)));
    assert_eq!(end(&of_later), Some(End::Checkpoint(Some(Timestamp(last.at.0)))), "a period after the checkpoint");
    assert_eq!(end(&proof(&fixture, SEVEN, period(Some(3), Some(9)))), Some(End::Period));
}

#[test]
fn a_customer_who_never_had_a_record_is_shown_leaf_by_leaf() {
    let fixture = usual();
    fixture.recipients.set_tag(Recipient::Customer(CustomerId(9)), TagKey(Secret::new([9; 32])));
    let proof = proof(&fixture, CustomerId(9), period(Some(2), Some(6)));
    assert_eq!(texts(&proof), Ok(Vec::new()));
    let log = &proof.logs[0];
    assert!(log.leaves.len() as u64 >= log.to - log.from, "each leaf of the period is listed");
    assert!(log.leaves.iter().all(|listed| listed.values.is_none() && listed.skeleton.is_none()), "and no content");
}

/// What is done to a proof, and what is said of it.
type Forgery = (&'static str, fn(&mut Proof), &'static str);

fn leaf_of(listed: &Listed) -> Descriptor {
    Descriptor::parse(listed.leaf.0.as_slice().try_into().expect("a leaf")).expect("a leaf")
}

/// The place among the listed leaves of the n-th record that is shown.
fn nth(proof: &Proof, n: usize) -> usize {
    let with_parts = proof.logs[0].leaves.iter().enumerate().filter(|(_, listed)| listed.values.is_some());
    with_parts.map(|(at, _)| at).nth(n).expect("so many are shown")
}

fn forgeries() -> Vec<Forgery> {
    vec![
        (
            "a leaf left out",
            |proof| {
                let at = nth(proof, 1);
                proof.logs[0].leaves.remove(at);
            },
            "not as many as a tree",
        ),
        (
            "two swapped",
            |proof| {
                let (a, b) = (nth(proof, 0), nth(proof, 1));
                proof.logs[0].leaves.swap(a, b);
            },
            "is listed out of order, or twice",
        ),
        (
            "one twice",
            |proof| {
                let at = nth(proof, 0);
                let again = proof.logs[0].leaves[at].clone();
                proof.logs[0].leaves.insert(at, again);
            },
            "is listed out of order, or twice",
        ),
        (
            "a leaf changed",
            |proof| {
                let at = nth(proof, 0);
                proof.logs[0].leaves[at].leaf.0[20] ^= 1;
            },
            "the leaves are not those of the checkpoint",
        ),
        (
            "a leaf cut",
            |proof| {
                let at = nth(proof, 0);
                proof.logs[0].leaves[at].leaf.0.pop();
            },
            "has 167 bytes instead of 168",
        ),
        ("a hash changed", |proof| proof.logs[0].hashes[0].0[0] ^= 1, "the leaves are not those of the checkpoint"),
        ("a hash left out", |proof| drop(proof.logs[0].hashes.pop()), "not as many as a tree"),
        ("a hash cut", |proof| proof.logs[0].hashes[0].0.truncate(31), "a hash has not 32 bytes"),
        (
            "a part changed",
            |proof| {
                let at = nth(proof, 0);
                proof.logs[0].leaves[at].values.as_mut().expect("values").0[70] ^= 1;
            },
            "the record's values are others than its leaf says",
        ),
        (
            "a part of another record",
            |proof| {
                let (a, b) = (nth(proof, 0), nth(proof, 1));
                proof.logs[0].leaves[a].skeleton = proof.logs[0].leaves[b].skeleton.clone();
            },
            "the record's skeleton are others than its leaf says",
        ),
        (
            "a part left out",
            |proof| {
                let at = nth(proof, 2);
                proof.logs[0].leaves[at].values = None;
            },
            "the record's values are not there",
        ),
        ("a data key changed", |proof| proof.logs[0].keys[0].key.0[3] ^= 1, "do not open with the data key given"),
        ("a data key cut", |proof| proof.logs[0].keys[0].key.0.truncate(31), "has 31 bytes instead of 32"),
        ("another tag key", |proof| proof.tag_key.0[0] ^= 1, "is not shown, and could be a record that is left out"),
        (
            "the period begun later",
            |proof| {
                proof.logs[0].from = leaf_of(&proof.logs[0].leaves[nth(proof, 1)]).place.position;
            },
            "nothing shows that the period begins there",
        ),
        (
            "the period ended earlier",
            |proof| {
                proof.logs[0].to = leaf_of(&proof.logs[0].leaves[nth(proof, 1)]).place.position;
            },
            "nothing shows that the period ends there",
        ),
        ("another period", |proof| proof.period.since = None, "nothing shows that the period begins there"),
        (
            "the checkpoint changed",
            |proof| {
                proof.logs[0].checkpoint = proof.logs[0].checkpoint.replacen('\n', "\n1", 1);
            },
            "its signature does not verify",
        ),
        ("the same log twice", |proof| proof.logs.push(proof.logs[0].clone()), "the same log a second time"),
    ]
}

#[test]
fn a_proof_that_was_tampered_with_is_refused_and_the_place_is_named() {
    let fixture = usual();
    for (what, forge, expected) in forgeries() {
        let mut forged = proof(&fixture, SEVEN, period(Some(3), Some(9)));
        forge(&mut forged);
        let fault = shown(&forged).map(|shown| shown.len()).expect_err(what);
        assert!(fault.contains(expected), "{what}: {fault}");
        assert!(fault.starts_with("portreeve/proxy-gate-1: "), "{what}: {fault}");
    }
}

/// Makes the hashes that belong to the leaves which are listed, from those of the log itself.
fn list_again(log: &mut LogProof, leaves: &[Descriptor]) {
    let kept: Vec<u64> = log.leaves.iter().map(|listed| leaf_of(listed).place.position).collect();
    let mut roots = Roots::of(&ranges_without(leaves.len() as u64, &kept));
    leaves.iter().for_each(|leaf| roots.push(leaf.leaf_hash()));
    log.hashes = roots.finish().expect("all").into_iter().map(|hash| Base64(hash.to_vec())).collect();
}

/// Made from the log itself, so that every hash is right: only the links and what is listed tell.
#[test]
fn a_record_that_is_hidden_among_right_hashes_is_missed() {
    let fixture = usual();
    let honest = proof(&fixture, SEVEN, period(Some(3), Some(9)));
    let reader = Reader::open(&fixture.dir()).expect("readable");
    let leaves: Vec<Descriptor> = reader.leaves().collect::<Result<_, _>>().expect("whole");
    let position = |n: usize| leaf_of(&honest.logs[0].leaves[nth(&honest, n)]).place.position;
    for (n, expected) in [(0, "a record between"), (1, "a record between"), (2, "a record between")] {
        let hidden = position(n);
        let mut forged = honest.clone();
        let log = &mut forged.logs[0];
        log.leaves.retain(|listed| leaf_of(listed).place.position != hidden);
        list_again(log, &leaves);
        let fault = texts(&forged).expect_err("it is missed");
        assert!(fault.contains(expected) && fault.ends_with("is left out"), "{n}: {fault}");
    }
    // The last one of all, and everything behind it: nothing links back, so each leaf must be listed.
    let honest = proof(&fixture, EIGHT, period(Some(0), None));
    let last = leaf_of(&honest.logs[0].leaves[nth(&honest, 2)]).place.position;
    let mut forged = honest.clone();
    let log = &mut forged.logs[0];
    log.leaves.retain(|listed| leaf_of(listed).place.position != last);
    list_again(log, &leaves);
    let fault = texts(&forged).expect_err("it is missed");
    assert!(fault.contains("it is not shown, and could be a record that is left out"), "{fault}");
}

/// Nothing before it in the proof links on to it: that it is the first tells only the first link of the chain.
#[test]
fn a_first_record_that_is_hidden_is_missed() {
    let fixture = usual();
    let reader = Reader::open(&fixture.dir()).expect("readable");
    let leaves: Vec<Descriptor> = reader.leaves().collect::<Result<_, _>>().expect("whole");
    // The first of all, where the period begins with the log; or the last before the period, and the first within.
    for (customer, since) in [(SEVEN, None), (EIGHT, None), (SEVEN, Some(-5)), (SEVEN, Some(4)), (EIGHT, Some(3))] {
        let mut forged = proof(&fixture, customer, period(since, None));
        let first = leaf_of(&forged.logs[0].leaves[nth(&forged, 0)]).place.position;
        let log = &mut forged.logs[0];
        let (from, size) = (log.from, leaves.len() as u64);
        let is_kept = |position: u64| position > first || position + 1 == from || position + 1 == size;
        log.leaves.retain(|listed| is_kept(leaf_of(listed).place.position));
        list_again(log, &leaves);
        let fault = texts(&forged).expect_err("it is missed");
        let gap = (from..).find(|position| !log_has(&forged, *position)).expect("one");
        let expected = format!("position {gap}: it is not shown, and could be a record that is left out");
        assert!(gap <= first && fault.ends_with(&expected), "{customer} {since:?}: {fault}");
    }
}

fn log_has(proof: &Proof, position: u64) -> bool {
    proof.logs[0].leaves.iter().any(|listed| leaf_of(listed).place.position == position)
}

/// A period that is open at its end goes on to the end of the log, whatever else is right.
#[test]
fn an_open_period_that_ends_before_the_log_does_is_refused() {
    let fixture = usual();
    let honest = proof(&fixture, SEVEN, period(None, None));
    for n in 0..6 {
        let mut forged = honest.clone();
        let end = leaf_of(&forged.logs[0].leaves[nth(&forged, n)]).place.position;
        let log = &mut forged.logs[0];
        log.to = end;
        for listed in log.leaves.iter_mut().filter(|listed| leaf_of(listed).place.position >= end) {
            (listed.values, listed.skeleton) = (None, None);
        }
        let fault = texts(&forged).expect_err("it ends too early");
        assert!(fault.ends_with(&format!("position {end}: nothing shows that the period ends there")), "{fault}");
    }
}

/// The parts themselves are right, and every hash is.
#[test]
fn nobody_elses_record_and_none_of_another_time_is_shown() {
    let fixture = usual();
    let honest = proof(&fixture, SEVEN, period(Some(3), Some(9)));
    let reader = Reader::open(&fixture.dir()).expect("readable");
    let leaves: Vec<Descriptor> = reader.leaves().collect::<Result<_, _>>().expect("whole");
    let position = |listed: &Listed| leaf_of(listed).place.position;
    for (whose, customer) in [("another's", EIGHT), ("of before the period", SEVEN)] {
        let of = proof(&fixture, customer, period(None, None));
        let is_strange = |listed: &&Listed| listed.values.is_some() && position(listed) < honest.logs[0].from;
        let strange = of.logs[0].leaves.iter().rfind(is_strange).expect("one");
        let mut forged = honest.clone();
        let log = &mut forged.logs[0];
        log.leaves.retain(|listed| position(listed) != position(strange));
        let place = log.leaves.partition_point(|listed| position(listed) < position(strange));
        log.leaves.insert(place, strange.clone());
        log.keys.extend(of.logs[0].keys.iter().cloned());
        list_again(log, &leaves);
        let fault = texts(&forged).expect_err(whose);
        let expected = format!("position {}: it is no record of this customer and period", position(strange));
        assert!(fault.ends_with(&expected), "{whose}: {fault}");
    }
}

#[test]
fn another_logs_proof_or_key_is_refused() {
    let (fixture, other) = (usual(), usual());
    let mut forged = proof(&fixture, SEVEN, period(None, None));
    forged.logs[0].leaves = proof(&other, SEVEN, period(None, None)).logs[0].leaves.clone();
    assert!(texts(&forged).expect_err("of another log").contains("not those of the checkpoint"));
    let honest = proof(&fixture, SEVEN, period(None, None));
    for (key, expected) in [
        (key(&signing(2)), "is not signed by the key of"),
        (Key { origin: Some("portreeve/portal".to_owned()), public: signing(1).public() }, "(proxy-gate-1.vkey)"),
    ] {
        let checked = check(&honest, &[key]);
        assert!(checked.logs.is_empty());
        assert!(checked.faults[0].what.contains(expected), "{:?}", checked.faults);
    }
    let anonymous = Key { origin: None, public: signing(1).public() };
    assert_eq!(check(&honest, &[key(&signing(2)), anonymous]).faults, []);
}

#[test]
fn an_earlier_checkpoint_is_shown_to_be_its_beginning() {
    let fixture = usual();
    let note = |fixture: &Fixture| std::fs::read_to_string(fixture.file("checkpoint")).expect("read");
    let (first, forked) = (note(&fixture), note(&usual()));
    let log = fixture.open();
    write(&fixture, &log, &[(Some(SEVEN), "l"), (Some(EIGHT), "m")], 11);
    log.close().expect("closed");
    let proof_of = |earlier: &[String]| proof_with(&fixture, SEVEN, period(None, None), earlier);
    let proof = proof_of(std::slice::from_ref(&first));
    assert_eq!(texts(&proof).map(|texts| texts.concat()), Ok("acegikl".to_owned()));
    let checked = check(&proof, &[key(&signing(1))]);
    assert_eq!(checked.logs[0].earlier, Checkpoint::claimed_size(&first));
    let mut cut = proof.clone();
    cut.logs[0].earlier.as_mut().expect("earlier").consistency.pop();
    assert!(texts(&cut).expect_err("cut").contains("does not begin with the"));
    // Signed by the same key, of the same size, and of another history.
    let fork = proof_of(&[forked]);
    assert!(texts(&fork).expect_err("a fork").contains("does not begin with the"));
}

#[test]
fn a_cosigned_checkpoint_goes_with_the_proof_and_its_witness_is_asked_for() {
    let fixture = usual();
    let at = Timestamp(NOON.0 + 60 * SECOND);
    let witness = Cosigner::new("witness.example/w1", &Secret::new([2; 32]));
    let note = std::fs::read_to_string(fixture.file("checkpoint")).expect("read");
    let cosigned = format!("{note}{}", witness.cosign(Note::read(&note).expect("a note").text, at));
    let log = fixture.open();
    write(&fixture, &log, &[(Some(SEVEN), "l")], 11);
    log.close().expect("closed");
    let whole = proof_with_all(&fixture, SEVEN, period(None, None), &[], std::slice::from_ref(&cosigned));
    let known = [witness.verifier_key()];
    let faults = |proof: &Proof| {
        assert_eq!(&Proof::from_text(&proof.to_text()).expect("it is read"), proof);
        check_witnessed(proof, &[key(&signing(1))], &known).faults
    };
    let checked = check_witnessed(&whole, &[key(&signing(1))], &known);
    let size = Checkpoint::claimed_size(&note).expect("a size");
    assert_eq!(checked.faults, []);
    assert_eq!(checked.logs[0].cosigned, [Cosigned { by: "witness.example/w1".to_owned(), size, at }]);
    assert!(checked.logs[0].signed.size > size, "what was written later is told apart");
    assert_eq!(check(&whole, &[key(&signing(1))]).logs[0].cosigned, [], "nobody asked for a witness");

    let mut without = whole.clone();
    without.logs[0].witnessed = None;
    assert!(faults(&without)[0].what.contains("cosigned none of its checkpoints"), "{:?}", faults(&without));
    // Below the checkpoint itself, or an earlier one, a cosignature is as good.
    without.logs[0].earlier.clone_from(&whole.logs[0].witnessed);
    assert_eq!(faults(&without), []);
    let mut cut = whole.clone();
    cut.logs[0].witnessed.as_mut().expect("there").consistency.pop();
    assert!(faults(&cut)[0].what.contains("does not begin with the"), "{:?}", faults(&cut));
    let mut forged = whole.clone();
    let line = Cosigner::new("witness.example/w1", &Secret::new([3; 32])).cosign("another text\n", at);
    forged.logs[0].witnessed.as_mut().expect("there").checkpoint = format!("{note}{line}");
    assert!(faults(&forged)[0].what.contains("cosigned none of its checkpoints"), "{:?}", faults(&forged));
    let later = cosigned.replacen("witness.example/w1 ", "witness.example/w2 ", 1);
    forged.logs[0].witnessed.as_mut().expect("there").checkpoint = later;
    assert!(!faults(&forged).is_empty(), "another name");
    // Of another history of the same log.
    let other = usual();
    let note = std::fs::read_to_string(other.file("checkpoint")).expect("read");
    let cosigned = format!("{note}{}", witness.cosign(Note::read(&note).expect("a note").text, at));
    let fork = proof_with_all(&fixture, SEVEN, period(None, None), &[], std::slice::from_ref(&cosigned));
    assert!(faults(&fork)[0].what.contains("does not begin with the"), "{:?}", faults(&fork));
}

/// A log that was put back to an older state is told by the note that somebody kept.
#[test]
fn an_earlier_checkpoint_that_is_newer_than_the_log_is_a_rollback() {
    let fixture = usual();
    let note = |fixture: &Fixture| std::fs::read_to_string(fixture.file("checkpoint")).expect("read");
    let segment = fixture.file("000000000002.segment");
    let (older, bytes) = (note(&fixture), std::fs::read(&segment).expect("read"));
    let log = fixture.open();
    write(&fixture, &log, &[(Some(SEVEN), "l")], 11);
    log.close().expect("closed");
    let newer = note(&fixture);
    std::fs::write(fixture.file("checkpoint"), &older).expect("put back");
    std::fs::write(&segment, bytes).expect("put back");
    let watch = Watch::default();
    let refused = |earlier: &[String]| {
        let (recipient, recipients) = (Recipient::Customer(SEVEN), &fixture.recipients);
        let (period, witnessed) = (period(None, None), &[][..]);
        let ask = Ask { recipient, period, recipients, earlier, witnessed, watch: &watch };
        draft(&fixture.dir(), &signing(1).public(), &ask).map(|draft| draft.has_earlier()).map_err(|e| e.to_string())
    };
    assert_eq!(refused(std::slice::from_ref(&older)), Ok(true));
    let fault = refused(&[older.clone(), newer]).expect_err("it was put back");
    assert!(fault.contains("is rolled-back: a checkpoint given as earlier was signed for"), "{fault}");
    let forged = older.replacen('\n', "\n1", 1);
    let fault = refused(&[forged]).expect_err("it is not signed");
    assert!(fault.contains("is wrong-key: an earlier checkpoint: "), "{fault}");
    assert_eq!(refused(&[older.replace("portreeve/proxy-gate-1", "portreeve/portal")]), Ok(false));
}

#[test]
fn what_was_erased_stays_sealed_and_is_not_left_out() {
    let fixture = usual();
    fixture.recipients.set_erased(Recipient::Customer(SEVEN), Part::Values, None);
    let proof = proof(&fixture, SEVEN, period(None, None));
    let shown = shown(&proof).expect("it holds");
    assert_eq!(shown.len(), 6);
    for one in shown {
        assert_eq!((one.still_sealed, one.record.values), (vec![Part::Values], Default::default()));
        assert_eq!(one.record.skeleton.verb.as_deref(), Some("query"));
    }
}

#[test]
fn a_log_that_is_not_the_one_signed_gives_no_proof() {
    let fixture = usual();
    let watch = Watch::default();
    let ask = |customer| Ask {
        recipient: Recipient::Customer(customer),
        period: period(None, None),
        recipients: &fixture.recipients,
        earlier: &[],
        witnessed: &[],
        watch: &watch,
    };
    let refused =
        |public: &[u8; 32], ask: &Ask<'_>| draft(&fixture.dir(), public, ask).expect_err("refused").to_string();
    assert!(refused(&signing(2).public(), &ask(SEVEN)).contains("wrong-key"));
    assert!(refused(&signing(1).public(), &ask(CustomerId(9))).contains("no tag key of c9"));
    std::fs::remove_file(fixture.file("000000000002.segment")).expect("removed");
    assert!(refused(&signing(1).public(), &ask(SEVEN)).contains("rolled-back"));
}

/// Counted before it is held in memory.
#[test]
fn more_leaves_than_a_proof_may_list_are_refused_by_their_number() {
    let survey = || {
        let (listed, records, keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Survey { from: 0, to: u64::MAX / 2, listed, records, keys }
    };
    let (mut survey, mut of_one) = (survey(), survey());
    assert_eq!(survey.take(&[], None, u64::MAX / 2, period(None, None)), 1 + u64::MAX / 2);
    assert_eq!(survey.listed.len(), 1, "the log's last leaf and no other");
    let last = u64::MAX / 2 - LISTED_MAX;
    assert_eq!(of_one.take(&[(last, 0, 0)], None, u64::MAX / 2, period(None, None)), LISTED_MAX);
}

#[test]
fn a_file_that_is_no_proof_of_this_format_is_refused_by_name() {
    let text = proof(&usual(), SEVEN, period(None, None)).to_text();
    for (text, expected) in [
        (text.replace("portreeve-proof/1", "portreeve-proof/2"), "it is of format \"portreeve-proof/2\""),
        ("{}".to_owned(), "it is of format \"\""),
        (text[..text.len() / 2].to_owned(), "it is no whole JSON"),
        (text.replace("\"from\"", "\"form\""), "it is not as a proof must be: unknown field `form`"),
        (text.replacen("\"leaf\":\"", "\"leaf\":\"%", 1), "a text that is not base64"),
        (String::new(), "it is no whole JSON"),
    ] {
        let refused = Proof::from_text(&text).expect_err(expected);
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(Proof::is_one(&text) && !Proof::is_one("{\"format\":\"portreeve-certificate/1\"}") && !Proof::is_one("x"));
}

/// The usual log, and more written to it after its clock was set back.
fn set_back() -> Fixture {
    let fixture = usual();
    fixture.clock.0.store(NOON.0, std::sync::atomic::Ordering::Relaxed);
    let log = fixture.open();
    write(&fixture, &log, &[(Some(SEVEN), "again at 2")], 2);
    write(&fixture, &log, &[(Some(SEVEN), "at 20")], 20);
    log.close().expect("closed");
    fixture
}

/// The positions reach as far as any time of the period does, and what lies between is shown with it.
#[test]
fn a_clock_that_was_set_back_leaves_nothing_out() {
    let fixture = set_back();
    let found = texts(&proof(&fixture, SEVEN, period(Some(1), Some(4)))).expect("it holds");
    assert_eq!(found, ["c", "e", "g", "i", "k", "again at 2"]);
}

/// HOLE: what the format takes for granted. Where the clock was set back around an end of the period, a file that begins
/// later or ends earlier than ours holds as well, although records of times within are left out.
#[test]
fn a_clock_that_was_set_back_can_hide_records_at_the_ends_of_a_period() {
    let fixture = set_back();
    for (since, until, all, cut) in [
        (Some(4), None, &["e", "g", "i", "k", "again at 2", "at 20"][..], "at 20"),
        (None, Some(4), &["a", "c", "e", "g", "i", "k", "again at 2"][..], "ac"),
    ] {
        let honest = proof(&fixture, SEVEN, period(since, until));
        assert_eq!(texts(&honest).expect("it holds"), all);
        let mut forged = honest.clone();
        let position = |n: usize| leaf_of(&honest.logs[0].leaves[nth(&honest, n)]).place.position;
        let log = &mut forged.logs[0];
        match since {
            Some(_) => log.from = position(4) + 1,
            None => log.to = position(2),
        }
        for listed in &mut log.leaves {
            if !(log.from..log.to).contains(&leaf_of(listed).place.position) {
                (listed.values, listed.skeleton) = (None, None);
            }
        }
        assert_eq!(texts(&forged).expect("it holds as well").concat(), cut);
    }
}
