//! The vectors of the format (`audit/vectors.json`), for every implementation: made again here and compared. What is
//! random by nature (HPKE, and the log that holds such data keys) is opened instead. `VECTORS=write` writes the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixture::*;
use super::segment::{BatchHeader, SegmentHeader};
use super::together::judge;
use super::{Log, Settings};
use crate::audit::checkpoint::{Checkpoint, verifier_key};
use crate::audit::consistency::{Roots, consistency_ranges, ranges_without};
use crate::audit::cosignature::Cosigner;
use crate::audit::descriptor::{Descriptor, Place, Sealed};
use crate::audit::keys::{Part, Recipient, RecipientKey, SealedDataKey, TagKey, open_data_key, seal_data_key};
use crate::audit::note::Note;
use crate::audit::proof::{Key, Period, Proof, check};
use crate::audit::public::{Lost, Notice, Public};
use crate::audit::record::{Bind, Kind, Record, Values};
use crate::audit::seal::{Binding, DataKey, padded_len, seal};
use crate::audit::tag::{Tagger, Tags};
use crate::audit::tree::{Hash, inclusion_proof, leaf_hash, root};
use crate::clock::Timestamp;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::{EventId, SessionId};
use crate::log::reader::{Content, Reader};
use crate::log::verify::{Verdict, examine, verify};
use crate::secret::Secret;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/vectors.json");
const ORIGIN: &str = "portreeve/a";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("so many bytes")
}

fn hashes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex(hash)).collect()
}

fn tree() -> Value {
    let leaves: Vec<Vec<u8>> = (0..11u8).map(|leaf| (0..leaf).map(|byte| byte * 16).collect()).collect();
    let of: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let roots_of = |size: usize, ranges: &[(u64, u64)]| {
        let mut roots = Roots::of(ranges);
        of[..size].iter().for_each(|leaf| roots.push(*leaf));
        hashes(&roots.finish().expect("all passed"))
    };
    let inclusion: Vec<Value> = [(0, 1), (0, 8), (5, 8), (2, 3), (10, 11), (4, 7)]
        .map(|(index, size)| {
            let proof = inclusion_proof(&of[..size], index).expect("a leaf");
            json!({"index": index, "size": size, "proof": hashes(&proof)})
        })
        .to_vec();
    let consistency: Vec<Value> = [(1, 1), (1, 8), (6, 8), (2, 5), (4, 8), (7, 11), (8, 11)]
        .map(|(old, size)| {
            json!({"old": old, "size": size, "proof": roots_of(size, &consistency_ranges(old as u64, size as u64))})
        })
        .to_vec();
    let listed: Vec<Value> =
        [(11, vec![]), (11, vec![0]), (11, vec![3, 4, 10]), (8, vec![7]), (1, vec![0]), (0, vec![])]
            .map(|(size, positions): (usize, Vec<u64>)| {
                let found = roots_of(size, &ranges_without(size as u64, &positions));
                json!({"size": size, "positions": positions, "hashes": found})
            })
            .to_vec();
    let roots: Vec<String> = (0..=of.len()).map(|size| hex(&root(&of[..size]))).collect();
    let leaves: Vec<String> = leaves.iter().map(|leaf| hex(leaf)).collect();
    json!({"leaves": leaves, "roots": roots, "inclusion": inclusion, "consistency": consistency, "listed": listed})
}

fn tags() -> Value {
    let key = TagKey(Secret::new([1; 32]));
    let tagger = Tagger::new(&key, ORIGIN);
    let tags: Vec<Value> =
        [0, 5, u64::MAX].map(|segment| json!({"segment": segment, "tag": hex(&tagger.tag(segment))})).to_vec();
    let links = [
        json!({"previous": null, "link": hex(&tagger.link(None))}),
        json!({"previous": hex(&[9; 32]), "link": hex(&tagger.link(Some(&[9; 32])))}),
    ];
    json!({"tag_key": hex(key.0.expose()), "fingerprint": key.fingerprint(), "origin": ORIGIN, "tags": tags, "links": links})
}

fn place() -> Place {
    let (tag, link) = ([1; 16], [2; 32]);
    Place { kind: Kind::Statement, slot: 3, position: 9, at: Timestamp(-5), segment: 1, tag, link }
}

fn sealed_parts() -> Vec<Value> {
    let contents =
        [Vec::new(), b"SELECT 1".to_vec(), vec![0; 63], vec![0x80; 64], (0..3000).map(|n| n as u8).collect()];
    let mut vectors = Vec::new();
    for (content, part) in contents.iter().zip(Part::ALL.into_iter().cycle()) {
        let (key, salt, mut out) = ([1; 32], [4; 16], Vec::new());
        let binding = Binding::new(ORIGIN, &place().to_bytes(), part);
        seal(&DataKey::new(&Secret::new(key)), &binding, &salt, content, &mut out);
        vectors.push(json!({
            "data_key": hex(&key), "salt": hex(&salt), "origin": ORIGIN, "place": hex(&place().to_bytes()),
            "part": part.number(), "content": hex(content), "sealed": hex(&out),
        }));
    }
    vectors
}

fn leaf() -> Value {
    let place = place();
    let leaf = Descriptor {
        place,
        values: Sealed { hash: [5; 32], len: 128, key: 7 },
        skeleton: Sealed { hash: [6; 32], len: 192, key: 8 },
    };
    json!({
        "kind": place.kind as u8, "slot": place.slot, "position": place.position, "at": place.at.0,
        "segment": place.segment, "tag": hex(&place.tag), "link": hex(&place.link),
        "values": {"hash": hex(&leaf.values.hash), "length": leaf.values.len, "key": leaf.values.key},
        "skeleton": {"hash": hex(&leaf.skeleton.hash), "length": leaf.skeleton.len, "key": leaf.skeleton.key},
        "leaf": hex(&leaf.to_bytes()), "hash": hex(&leaf.leaf_hash()),
    })
}

fn keyring() -> (Ed25519KeyPair, [u8; 32]) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let public = pair.public_key().as_ref().try_into().expect("32 bytes");
    (pair, public)
}

fn public_of(private: &[u8; 32]) -> [u8; 32] {
    let key = agreement::PrivateKey::from_private_key(&agreement::X25519, private).expect("a key");
    key.compute_public_key().expect("a key").as_ref().try_into().expect("32 bytes")
}

fn recipient_keys() -> Vec<Value> {
    let (pair, public) = keyring();
    let keys = [
        (Recipient::Customer(SEVEN), Part::Values, 2026, [3; 32]),
        (Recipient::Vendor, Part::Skeleton, 202_611, [4; 32]),
    ];
    let vector = |(recipient, part, period, private): (Recipient, Part, u32, [u8; 32])| {
        let key = RecipientKey::sign(recipient, part, period, public_of(&private), &pair);
        json!({
            "keyring_seed": hex(&[7; 32]), "keyring_public": hex(&public), "customer": recipient.customer().map(|c| c.0),
            "part": part.number(), "period": period, "private": hex(&private), "public": hex(&key.public),
            "signature": hex(&key.signature),
        })
    };
    keys.map(vector).to_vec()
}

fn checkpoint() -> Value {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 1234, root: [7; 32] };
    json!({
        "seed": hex(&[1; 32]), "origin": ORIGIN, "size": 1234, "root": hex(&[7; 32]), "note": checkpoint.sign(&signing(1)),
        "verifier_key": verifier_key(ORIGIN, &signing(1).public()),
    })
}

/// A witness's name and seed, and what it signed below a checkpoint.
fn cosignature() -> Value {
    let note = Checkpoint { origin: ORIGIN.to_owned(), size: 1234, root: [7; 32] }.sign(&signing(1));
    let witness = Cosigner::new("witness.example/w1", &Secret::new([2; 32]));
    let at = Timestamp(1_795_262_400_000_000);
    let line = witness.cosign(Note::read(&note).expect("a note").text, at);
    json!({
        "seed": hex(&[2; 32]), "name": "witness.example/w1", "verifier_key": witness.verifier_key().text(),
        "origin": ORIGIN, "time": at.0 / 1_000_000, "note": format!("{note}{line}"),
    })
}

fn headers() -> Value {
    let segment = SegmentHeader {
        segment: 2,
        first_position: 17,
        first_batch: 5,
        created: NOON,
        length: 12288,
        previous: [8; 32],
        root: [9; 32],
        origin: ORIGIN.to_owned(),
    };
    let batch = BatchHeader { batch: 5, first_position: 17, leaves: 1, length: 4096, written: NOON, previous: [8; 32] };
    let block = segment.to_bytes();
    json!({
        "segment": {
            "number": 2, "first_position": 17, "first_batch": 5, "begun": NOON.0, "length": 12288, "previous": hex(&[8; 32]),
            "root": hex(&[9; 32]), "origin": ORIGIN, "front": hex(&block[..160]), "check": hex(&block[4064..]),
        },
        "batch": {
            "number": 5, "first_position": 17, "leaves": 1, "length": 4096, "written": NOON.0, "previous": hex(&[8; 32]),
            "header": hex(&batch.to_bytes()),
        },
    })
}

/// Everything that comes out the same each time.
fn fixed() -> BTreeMap<&'static str, Value> {
    let padding: Vec<Value> =
        [0, 63, 64, 511, 1023, 1024, 4096, 100_000].map(|len| json!([len, padded_len(len)])).to_vec();
    BTreeMap::from([
        ("format", json!("portreeve-vectors/1")),
        ("tree", tree()),
        ("tags", tags()),
        ("padding", json!(padding)),
        ("sealed_parts", json!(sealed_parts())),
        ("leaf", leaf()),
        ("recipient_keys", json!(recipient_keys())),
        ("checkpoint", checkpoint()),
        ("cosignature", cosignature()),
        ("headers", headers()),
        ("index", index()),
        ("blocks", blocks()),
        ("public", public()),
    ])
}

/// The index of a segment with these leaves.
fn index() -> Value {
    use super::index::tests::{batches, header, index};
    let batches = batches().map(|(offset, batch)| {
        let leaves: Vec<String> = batch.leaves.iter().map(|leaf| hex(&leaf.descriptor.to_bytes())).collect();
        json!({"block": offset / 4096, "leaves": leaves})
    });
    json!({
        "block_hash": hex(&crate::audit::tree::sha256(&[&header().to_bytes()])), "segment": header().segment,
        "batches": batches, "next_batch": 43, "digest": hex(&[42; 32]), "public": hex(&signing(1).public()),
        "index": hex(&index().to_bytes(&signing(1))),
    })
}

/// The blocks of a segment, with what opens them, and what is in them.
fn blocks() -> Value {
    use super::blocks::tests::{bits, blocks, words};
    use crate::audit::words::{Word, relation, state};
    let numbers = |word| match word {
        Word::Act { session, staff } => vec![1, session, staff],
        Word::Session(session) => vec![2, session],
        Word::Staff(staff) => vec![3, staff],
        Word::Relation(name) => vec![4, name],
        Word::State(code) => vec![5, code],
    };
    let block = |tag: u8| {
        let (words, data_key) = (words().into_iter().map(numbers).collect::<Vec<_>>(), hex(&[tag; 32]));
        let (key, from) = (40 + u64::from(tag), 41 + u64::from(tag));
        let texts = (tag != 9).then(|| {
            let (key, data_key) = (key - 1, hex(&[tag + 1; 32]));
            json!({"key": key, "data_key": data_key, "content": hex(&bits().to_content())})
        });
        json!({"tag": hex(&[tag; 16]), "key": key, "from": from, "data_key": data_key, "words": words, "texts": texts})
    };
    let names: Vec<Value> =
        ["public.Contacts", "größe"].map(|name| json!({"relation": name, "number": relation(name)})).into();
    json!({
        "origin": "portreeve/proxy-gate-1", "block_hash": hex(&crate::audit::tree::sha256(&[&[7; 4096]])), "segment": 3,
        "end": 91, "next_batch": 43, "digest": hex(&[42; 32]), "public": hex(&signing(1).public()),
        "file": hex(&blocks().to_bytes(&signing(1))), "blocks": [block(2), block(9)],
        "text": {"is": "SELECT * FROM contacts", "holds": ["select *", "contacts"], "lacks": ["orders", "contacts "]},
        "names": names, "states": [{"sqlstate": "42P01", "number": state("42P01")}],
    })
}

/// Bytes of a log's end and of a notice.
fn public() -> Value {
    let lost = |log: &str, records| Lost { log: log.to_owned(), records };
    let event = EventId([6; 16]);
    let notice = Notice::new(event, Part::Values, NOON, vec![lost(ORIGIN, 12), lost("portreeve/größe", 3)]);
    json!({
        "continued": hex(&Public::continued(ORIGIN, &signing(1).public()).to_bytes()), "origin": ORIGIN,
        "public": hex(&signing(1).public()),
        "event": hex(&event.0), "notice": hex(&Public::Notice(notice).to_bytes()), "part": 1, "lawful": NOON.0,
        "logs": {ORIGIN: 12, "portreeve/größe": 3},
    })
}

/// A log that ended, and the one as which it goes on, with a notice of both.
fn rotated() -> Value {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let log = fixture.open();
    runtime.block_on(log.record(statement(Some(SEVEN), "before"))).expect("durable");
    log.close_to_continue("proxy-gate-1.2", &signing(2).public()).expect("closed");
    let old = files(&fixture.dir());
    let note = Reader::open(&fixture.dir()).expect("readable").note().to_owned();
    let settings = Settings::new("proxy-gate-1.2", signing(2)).sized(64 << 10, 0, Duration::from_secs(900), 64 << 20);
    let dir = fixture.temporary.path().join("second");
    let (disk, clock) = (Arc::new(RealDisk), Arc::clone(&fixture.clock) as Arc<dyn crate::clock::Clock>);
    let settings = settings.continuing(note);
    let log = Log::open(disk, &dir, settings, fixture.recipients.clone(), clock, Arc::new(OsEntropy)).expect("a log");
    runtime.block_on(log.record(statement(Some(SEVEN), "behind"))).expect("durable");
    let lost = |log: &str| Lost { log: format!("portreeve/{log}"), records: 1 };
    let lost = vec![lost("proxy-gate-1"), lost("proxy-gate-1.2")];
    runtime.block_on(log.notice(Notice::new(EventId([6; 16]), Part::Values, NOON, lost))).expect("durable");
    log.close().expect("closed");
    let keys = [("portreeve/proxy-gate-1", 1), ("portreeve/proxy-gate-1.2", 2)];
    let keys = keys.map(|(origin, seed)| verifier_key(origin, &signing(seed).public()));
    let logs: Vec<Value> =
        keys.iter().zip([old, files(&dir)]).map(|(key, files)| json!({"verifier_key": key, "files": files})).collect();
    json!({
        "logs": logs,
        "erased": [
            {"log": "portreeve/proxy-gate-1", "part": 1, "records": 1},
            {"log": "portreeve/proxy-gate-1.2", "part": 1, "records": 1},
        ],
    })
}

/// What a log's directory holds, in base64.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name != "lock" && name != "spare" {
            files.insert(name, STANDARD.encode(std::fs::read(path).expect("read")));
        }
    }
    files
}

/// A sealed data key: another one each time.
fn data_key() -> Value {
    let to = RecipientKey::sign(Recipient::Customer(SEVEN), Part::Values, 2026, public_of(&[3; 32]), &keyring().0);
    let sealed = seal_data_key(&to, ORIGIN, 12, &Secret::new([5; 32])).expect("sealed");
    json!({
        "private": hex(&[3; 32]), "origin": ORIGIN, "position": 12, "customer": 7, "part": 1, "period": 2026,
        "enc": hex(&sealed.enc), "sealed": hex(&sealed.sealed), "data_key": hex(&[5; 32]),
    })
}

/// What the log of the vectors holds, but for its own first and last record.
fn records() -> Vec<Record> {
    let mut first = statement(Some(SEVEN), "select * from contacts where id = $1");
    first.skeleton.session = Some(SessionId([1; 8]));
    first.skeleton.relations = Some(vec!["contacts".to_owned(), "größe".to_owned()]);
    first.skeleton.backend = Some(-4);
    first.values.binds = Some(vec![
        Bind { type_oid: 23, format: 1, value: Some(vec![0, 0, 0, 42]) },
        Bind { value: None, ..Bind::default() },
    ]);
    let second = first.skeleton.clone();
    let values = Values { text: first.values.text.clone(), ..Values::default() };
    first.add(second, values);
    let long = statement(Some(EIGHT), &"x".repeat(700));
    vec![first, long, statement(None, "of nobody"), statement(Some(SEVEN), "commit")]
}

/// A log with all that opens it, and a proof made from it.
fn log() -> (Value, Value) {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let log = fixture.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for record in records() {
        runtime.block_on(log.record(record)).expect("durable");
    }
    log.close().expect("closed");
    let files = files(&fixture.dir());
    let number = |recipient: Recipient| recipient.customer().map(|customer| customer.0);
    let mut privates: Vec<Value> = fixture
        .privates()
        .map(|((recipient, part, period), private)| {
            let private = hex(private.expose());
            json!({"customer": number(*recipient), "part": part.number(), "period": period, "private": private})
        })
        .collect();
    privates.sort_by_key(Value::to_string);
    let tag_keys: Vec<Value> = [None, Some(7), Some(8)]
        .map(|customer: Option<u8>| json!({"customer": customer, "tag_key": hex(&[customer.unwrap_or(1); 32])}))
        .to_vec();
    let records: Vec<Value> = fixture
        .records()
        .into_iter()
        .map(|(position, record)| {
            let (skeleton, values) = record.encode(None).expect("encoded");
            json!({
                "position": position, "kind": record.kind as u8, "customer": record.customer.map(|customer| customer.0),
                "skeleton": hex(&skeleton), "values": hex(&values),
            })
        })
        .collect();
    let log = json!({
        "verifier_key": verifier_key("portreeve/proxy-gate-1", &signing(1).public()), "files": files,
        "private_keys": privates, "tag_keys": tag_keys, "records": records,
    });
    let text = super::prove::tests::proof(&fixture, SEVEN, Period { since: None, until: Some(NOON.0 + 1) }).to_text();
    (log, serde_json::from_str(&text).expect("JSON"))
}

fn committed() -> Value {
    let text = std::fs::read_to_string(PATH).expect("the vectors are there");
    serde_json::from_str(&text).expect("they are JSON")
}

#[test]
fn the_vectors_come_out_as_they_were() {
    if std::env::var_os("VECTORS").is_some() {
        let mut all = fixed();
        let (log, proof) = log();
        all.extend([("data_key", data_key()), ("log", log), ("proof", proof), ("rotated", rotated())]);
        all.insert("keyring", json!("made by keyring/sealed_tests.rs"));
        // What is another each time stays as it was committed.
        let committed = committed();
        for (name, vector) in &mut all {
            *vector = committed.get(*name).unwrap_or(vector).clone();
        }
        let text = serde_json::to_string_pretty(&all).expect("JSON");
        std::fs::write(PATH, text + "\n").expect("written");
    }
    let committed = committed();
    for (name, vector) in fixed() {
        assert_eq!(committed[name], vector, "{name}");
    }
    assert_eq!(committed.as_object().map(serde_json::Map::len), Some(fixed().len() + 5));
}

fn recipient(customer: &Value) -> Recipient {
    Recipient::of(customer.as_u64().map(crate::ids::CustomerId))
}

fn part(number: &Value) -> Part {
    Part::from_number(number.as_u64().and_then(|part| part.try_into().ok()).expect("a part")).expect("a part")
}

#[test]
fn the_sealed_data_key_of_the_vectors_opens() {
    let vector = &committed()["data_key"];
    let sealed = SealedDataKey {
        origin: ORIGIN.to_owned(),
        position: 12,
        recipient: recipient(&vector["customer"]),
        part: part(&vector["part"]),
        period: 2026,
        enc: bytes(&vector["enc"]),
        sealed: bytes(&vector["sealed"]),
    };
    let opened = open_data_key(&Secret::new(array(&vector["private"])), &sealed).expect("it opens");
    assert_eq!(opened.expose(), &array::<32>(&vector["data_key"]));
}

#[test]
fn the_rotated_logs_of_the_vectors_verify_together() {
    let vector = &committed()["rotated"];
    let dir = tempfile::tempdir().expect("a folder");
    let mut logs = Vec::new();
    for (seed, log) in (1..).zip(vector["logs"].as_array().expect("logs")) {
        let dir = dir.path().join(format!("{seed}"));
        std::fs::create_dir(&dir).expect("made");
        for (name, bytes) in log["files"].as_object().expect("files") {
            std::fs::write(dir.join(name), STANDARD.decode(bytes.as_str().expect("base64")).expect("base64"))
                .expect("written");
        }
        logs.push(examine(&dir, &signing(seed).public(), None, u64::MAX).expect("readable"));
    }
    let found = judge(&logs, &BTreeSet::new(), NOON);
    let found: Vec<_> = found.iter().map(|(origin, finding)| (origin.as_str(), finding.verdict)).collect();
    let erased = |origin| (origin, Verdict::Erased);
    assert_eq!(found, [erased("portreeve/proxy-gate-1"), erased("portreeve/proxy-gate-1.2")]);
}

#[test]
fn the_proof_of_the_vectors_holds() {
    let proof = Proof::from_text(&committed()["proof"].to_string()).expect("a proof");
    let checked = check(&proof, &[Key { origin: None, public: signing(1).public() }]);
    assert_eq!(checked.faults, []);
    let records: Vec<Record> =
        checked.logs.into_iter().flat_map(|log| log.records).flat_map(|shown| shown.record.unfold()).collect();
    let texts: Vec<&[u8]> = records.iter().filter_map(|record| record.values.text.as_deref()).collect();
    assert_eq!(
        texts,
        [&b"select * from contacts where id = $1"[..], b"select * from contacts where id = $1", b"commit"]
    );
}

#[test]
fn the_log_of_the_vectors_verifies_and_opens() {
    let vector = &committed()["log"];
    let dir = tempfile::tempdir().expect("a folder");
    for (name, bytes) in vector["files"].as_object().expect("files") {
        let bytes = STANDARD.decode(bytes.as_str().expect("base64")).expect("base64");
        std::fs::write(dir.path().join(name), bytes).expect("written");
    }
    let found = verify(dir.path(), &signing(1).public(), None).expect("readable");
    assert_eq!(found.iter().map(|finding| finding.verdict).collect::<Vec<_>>(), [Verdict::Ok], "{found:?}");
    let recipients = crate::audit::keys::Recipients::new();
    for key in vector["tag_keys"].as_array().expect("keys") {
        recipients.set_tag(recipient(&key["customer"]), TagKey(Secret::new(array(&key["tag_key"]))));
    }
    let reader = Reader::open(dir.path()).expect("readable");
    let mut tags = Tags::new(&recipients, reader.origin());
    let mut keys = super::open::DataKeys::new();
    let privates = vector["private_keys"].as_array().expect("keys");
    for sealed in reader.sealed_data_keys(&mut tags).expect("readable") {
        let is_its = |key: &&Value| {
            (recipient(&key["customer"]), part(&key["part"]), key["period"].as_u64())
                == (sealed.recipient, sealed.part, Some(sealed.period.into()))
        };
        let private = privates.iter().find(is_its).expect("a key");
        let opened = open_data_key(&Secret::new(array(&private["private"])), &sealed).expect("it opens");
        keys.insert(sealed.position, &opened);
    }
    let mut records = vector["records"].as_array().expect("records").iter();
    for entry in reader.entries() {
        let entry = entry.expect("whole");
        let Content::Record { .. } = entry.content else { continue };
        let whose = entry.recipient(&mut tags).expect("recognised");
        let record = super::open::open(reader.origin(), &entry, whose, &keys).expect("it opens").record;
        let (skeleton, values) = record.encode(None).expect("encoded");
        let expected = records.next().expect("a record");
        assert_eq!(expected["position"], entry.position());
        assert_eq!((&expected["skeleton"], &expected["values"]), (&json!(hex(&skeleton)), &json!(hex(&values))));
    }
    assert_eq!(records.next(), None);
}
