//! Inputs that are right, for each parser: what the committed vectors and the shipped files hold, and messages by hand.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve::audit::archive;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, generate_key_pair};
use portreeve::audit::witnessing::AddCheckpoint;
use portreeve::clock::Timestamp;
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::CustomerId;
use portreeve::keyring::Keyring;
use portreeve::keyring::file::Store;
use portreeve::retention::certificate::{
    At, Backups, Body, Certificate, Findings, Ledger, Live, Method, Needles, Next, Part as CertificatePart, People,
    Replica, Residue, Scope, Table, Times, Traces, Trigger, TriggerKind, verify,
};
use portreeve::secret::Secret;
use portreeve::wire::startup;
use serde_json::Value;

/// What that parser begins with.
pub(crate) fn of(parser: &str) -> Vec<Vec<u8>> {
    let vectors = json("src/audit/vectors.json");
    match parser {
        "frames" => frames(),
        "backend" => messages(),
        "startup" => packets(),
        "descriptor" => vec![hex(&vectors["leaf"]["leaf"])],
        "segment" => vec![first_segment(&vectors)[..4096].to_vec(), hex(&vectors["headers"]["segment"]["front"])],
        "batch" => first_segment(&vectors)[4096..].chunks(4096).map(<[u8]>::to_vec).collect(),
        "index" => vec![hex(&vectors["index"]["index"])],
        "blocks" => vec![hex(&vectors["blocks"]["file"])],
        "words" => words(&vectors),
        "pieces" => vec![hex(&vectors["blocks"]["blocks"][0]["texts"]["content"]), b"SELECT 1".to_vec()],
        "record" => records(&vectors),
        "checkpoint" => vec![text(&vectors["checkpoint"]["note"]), text(&vectors["proof"]["logs"][0]["checkpoint"])],
        "proof" => vec![vectors["proof"].to_string().into_bytes()],
        "certificate" => vec![certificate()],
        "keyring_file" => keyring_files(),
        "keyring_message" => keyring_messages(),
        "config" => vec![file("config/portreeve.toml")],
        "datamap" => vec![file("config/datamap.toml"), file("config/datamap-shared.toml")],
        "snapshot_header" => vec![snapshot_header()],
        "archive_header" => vec![archive()],
        "note" => notes(&vectors),
        "add_checkpoint" => requests(&vectors),
        "public" => public(&vectors),
        "summary" => vec![summary()],
        other => panic!("no seeds for {other}"),
    }
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&file(path)).expect(path)
}

fn text(value: &Value) -> Vec<u8> {
    value.as_str().expect("a text").as_bytes().to_vec()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn first_segment(vectors: &Value) -> Vec<u8> {
    let bytes = vectors["log"]["files"]["000000000000.segment"].as_str().expect("base64");
    STANDARD.decode(bytes).expect("base64")
}

fn records(vectors: &Value) -> Vec<Vec<u8>> {
    let records = vectors["log"]["records"].as_array().expect("records");
    records.iter().flat_map(|record| [hex(&record["skeleton"]), hex(&record["values"])]).collect()
}

/// The content of blocks: each word, then zeros.
fn words(vectors: &Value) -> Vec<Vec<u8>> {
    let blocks = vectors["blocks"]["blocks"].as_array().expect("blocks").iter().map(|block| {
        let mut content = Vec::new();
        for word in block["words"].as_array().expect("words").iter().flat_map(Value::as_array) {
            let numbers: Vec<u64> = word.iter().map(|number| number.as_u64().expect("a number")).collect();
            content.push(u8::try_from(numbers[0]).expect("a small one"));
            numbers[1..].iter().for_each(|number| content.extend_from_slice(&number.to_le_bytes()));
        }
        content.resize(255, 0);
        content
    });
    blocks.collect()
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

fn frames() -> Vec<Vec<u8>> {
    let parse = framed(b'P', b"s\0select $1\0\0\x01\0\0\0\x17");
    let bind = framed(b'B', b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x2a\xff\xff\xff\xff\0\x01\0\0");
    let rest = [
        framed(b'D', b"Ss\0"),
        framed(b'E', b"\0\0\0\0\0"),
        framed(b'C', b"P\0"),
        framed(b'S', b""),
        framed(b'H', b""),
        framed(b'd', b"1\t2\n"),
        framed(b'c', b""),
        framed(b'f', b"no\0"),
        framed(b'F', b"\0\0\0\x01\0\0\0\x01\0\0\0\x01x\0\0"),
        framed(b'p', b"SCRAM-SHA-256\0\0\0\0\x18n,,n=,r=abcdefghijklmnopq"),
        framed(b'X', b""),
    ];
    vec![framed(b'Q', b"select 1\0"), [parse, bind].concat(), rest.concat()]
}

fn messages() -> Vec<Vec<u8>> {
    let row = framed(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let answer = [
        row,
        framed(b'D', b"\0\x01\0\0\0\x011"),
        framed(b'C', b"SELECT 1\0"),
        framed(b'Z', b"I"),
        framed(b'E', b"SERROR\0VERROR\0C42601\0Msyntax error\0P8\0\0"),
        framed(b'N', b"SNOTICE\0C00000\0Mhello\0\0"),
        framed(b'S', b"client_encoding\0UTF8\0"),
        framed(b'A', b"\0\0\0\x07news\0hello\0"),
        framed(b't', b"\0\x01\0\0\0\x17"),
        framed(b'G', b"\0\0\x01\0\0"),
        framed(b'W', b"\0\0\0"),
        framed(b's', b""),
    ];
    vec![[vec![0], answer.concat()].concat(), [vec![6], answer.concat()].concat()]
}

fn packets() -> Vec<Vec<u8>> {
    let parameters = [("user", "jane"), ("database", "acme"), ("options", "-c geqo=off"), ("application_name", "psql")];
    vec![
        startup::ssl_request().to_vec(),
        startup::build_startup(0x0003_0000, &parameters).expect("a packet").to_vec(),
        startup::build_startup(0x0003_0002, &parameters).expect("a packet").to_vec(),
        startup::cancel_request_packet(7, &[1; 4]).expect("a packet").to_vec(),
    ]
}

/// A keyring's file and what opens it, made with another credential than the parser's.
fn keyring_files() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keyring");
    let mut keyring = Keyring::generate(&OsEntropy);
    let store = Store::create(Arc::new(RealDisk), &path, Secret::new([3; 32]), &mut keyring, &OsEntropy);
    drop(store.expect("a keyring"));
    let names = std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("an entry").path());
    names.map(|path| std::fs::read(path).expect("read")).filter(|bytes| !bytes.is_empty()).collect()
}

/// Requests and answers as they stand behind their length: the number of the verb, and what belongs to it.
fn keyring_messages() -> Vec<Vec<u8>> {
    let mut opened = Vec::new();
    let mut message = minicbor::Encoder::new(&mut opened);
    let written = (|| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        message.array(2)?.u8(2)?.array(1)?.array(2)?.bytes(&[1; 32])?.bytes(&[2; 32])?.ok()
    })();
    written.expect("memory takes what is written");
    let mut destroy = vec![0x82, 4, 0x84, 0x50];
    destroy.extend_from_slice(&[9; 16]);
    destroy.extend_from_slice(&[7, 0x82, 1, 2, 0x81, 0x19, 7, 0xea]);
    let all = [
        vec![0x82, 0, 0x81, 0x82, 7, 0xf6],
        vec![0x82, 3, 0x81, 0xf6],
        vec![0x82, 3, 0x81, 0x81, 7],
        vec![0x82, 5, 0x81, 3],
        vec![0x82, 7, 0x80],
        vec![0x82, 8, 0x81, 0x61, b'x'],
        vec![0x82, 3, 0x82, 0x19, 3, 0xe8, 0x64, b'o', b'p', b'e', b'n'],
        destroy,
        opened,
    ];
    for message in &all {
        assert!(portreeve::keyring::written_again(message).iter().any(Option::is_some), "it is one: {message:x?}");
    }
    all.to_vec()
}

/// Two parts, signed with the parser's key. Nothing is wrong with it.
fn certificate() -> Vec<u8> {
    let at = |day: i64| At(Timestamp(day * 86_400_000_000));
    let live = Findings::Live(Live {
        tables: vec![Table { name: "public.contacts".to_owned(), planned: 12, deleted: 12, left: 0 }],
        commit_lsn: "0/16B3748".to_owned(),
        replicas: vec![Replica { name: "db-2".to_owned(), replayed: at(3) }],
        needles: Needles { probed: 4, found: 0 },
        orphans: 0,
    });
    let backups = Findings::Backups(Backups {
        held: 0,
        snapshots: vec![],
        rechecked: vec![at(9)],
        wal_absent: None,
        replayed: 0,
    });
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes are a seed");
    let mut certificate = Certificate::new(&"0a".repeat(16));
    for (day, findings, next) in [(4, live, CertificatePart::Backups), (10, backups, CertificatePart::Archive)] {
        let body = Body {
            certificate: String::new(),
            part: CertificatePart::Live,
            number: 0,
            of: 0,
            issued: at(day),
            customer: "c7".to_owned(),
            account: Some("acme".to_owned()),
            controller: Some("ACME <GmbH> \u{7}\"".to_owned()),
            processor: None,
            sub_processors: vec![],
            contract: None,
            trigger: Trigger { kind: TriggerKind::Closure, at: at(0), by: "owner".to_owned() },
            scope: Scope {
                databases: vec!["crm".to_owned()],
                tables: 1,
                layout: "shared".to_owned(),
                categories: vec![],
                subjects: vec![],
            },
            method: Method {
                what: "DELETE in batches".to_owned(),
                tool: "portreeve 0.1.0".to_owned(),
                configuration: "ab".repeat(32),
                plan: "sha256:…".to_owned(),
            },
            people: People { planned: "system".to_owned(), approved: vec![], ran: "keeper-1".to_owned() },
            times: Times { started: at(day - 1), ended: at(day), clocks: 3, skew_ms: 12 },
            findings,
            residue: Residue { levels: vec![Traces::L0], report: vec![] },
            exceptions: vec![],
            not_covered: vec![],
            ledger: Ledger { sequence: 41, hash: "cd".repeat(32) },
            previous: None,
            next: Some(Next { part: next, due: at(90) }),
        };
        certificate.sign(body, &pair).expect("signed");
    }
    let text = certificate.to_text();
    let verdict = verify(&text, &pair.public_key().as_ref().try_into().expect("32 bytes"), Timestamp(0));
    assert_eq!((verdict.parts.len(), verdict.findings), (2, vec![]));
    text.into_bytes()
}

fn archive() -> Vec<u8> {
    let (public, _) = generate_key_pair();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let key = RecipientKey::sign(Recipient::Customer(CustomerId(7)), Part::Values, 2026, public, &pair);
    let (mut sealer, mut bytes) = archive::Sealer::begin(&key, "archive/7", 0, &OsEntropy).expect("sealed");
    let mut chunks = Vec::new();
    sealer.push(b"rows", &mut chunks);
    sealer.finish(&mut chunks);
    bytes.extend_from_slice(&chunks);
    bytes
}

/// A header as a dump has it.
fn snapshot_header() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut map = minicbor::Encoder::new(&mut bytes);
    let written = (|| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        map.map(13)?.u8(0)?.bytes(&[1; 16])?.u8(1)?.bytes(&[2; 16])?.u8(2)?.u8(1)?.u8(3)?.bytes(&[3; 16])?;
        map.u8(5)?.i64(5)?.u8(7)?.u8(1)?.u8(8)?.str("15.18")?.u8(11)?.u64(1)?.u8(12)?.u32(65536)?;
        map.u8(13)?.bytes(&[4; 32])?.u8(14)?.bytes(&[5; 32])?.u8(15)?.bytes(&[6; 48])?.u8(16)?.bytes(&[7; 40])?.ok()
    })();
    written.expect("memory takes what is written");
    assert!(minicbor::decode::<portreeve::snapshots::Header>(&bytes).is_ok(), "it is a header");
    bytes
}

fn notes(vectors: &Value) -> Vec<Vec<u8>> {
    let of = ["checkpoint", "cosignature"];
    let all = of.map(|of| ["note", "verifier_key"].map(|what| text(&vectors[of][what]))).concat();
    let together = [all[0].as_slice(), b"\n", &all[2], b"half of a no"].concat();
    all.into_iter().chain([together]).collect()
}

fn requests(vectors: &Value) -> Vec<Vec<u8>> {
    let note = String::from_utf8(text(&vectors["checkpoint"]["note"])).expect("UTF-8");
    let request = |old, hashes: u8| AddCheckpoint {
        old,
        proof: (0..hashes).map(|number| [number; 32]).collect(),
        note: note.clone(),
    };
    [request(0, 0), request(5, 3)].iter().map(|request| request.to_body().into_bytes()).collect()
}

/// The first byte says which kind.
fn public(vectors: &Value) -> Vec<Vec<u8>> {
    let (note, continued) = (text(&vectors["checkpoint"]["note"]), text(&vectors["checkpoint"]["verifier_key"]));
    let notice = hex(&vectors["public"]["notice"]);
    [note, continued, notice].into_iter().zip(0..).map(|(content, kind)| [vec![kind], content].concat()).collect()
}

/// Of a segment that ends with seven leaves, without its signature.
fn summary() -> Vec<u8> {
    let mut bytes = b"PRTRSUM1".to_vec();
    bytes.extend_from_slice(&[0; 32]);
    [3_u64, 8192, 11].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes.extend_from_slice(&[1; 32]);
    bytes.extend_from_slice(&7_u64.to_le_bytes());
    (0..3).for_each(|peak| bytes.extend_from_slice(&[peak; 32]));
    (0..2).for_each(|tag| bytes.extend_from_slice(&[tag; 48]));
    bytes
}
