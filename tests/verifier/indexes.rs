//! The indexes of finished segments, made again by the other implementation from the leaves alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve::audit::checkpoint::{SigningKey, verifier_key};
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair};
use portreeve::audit::record::{Kind, Record};
use portreeve::audit::tree::sha256;
use portreeve::clock::{Clock, SystemClock};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::CustomerId;
use portreeve::log::verify::{Verdict, verify};
use portreeve::log::{Log, Settings};
use portreeve::secret::Secret;

use super::python::verifier;

/// Bytes of an index's head.
const HEAD: usize = 224;

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([5; 32]))
}

/// A closed log of several small segments, with records of three customers and of none.
async fn write(dir: &Path) {
    let (recipients, now) = (Recipients::new(), SystemClock.now());
    let customers: Vec<CustomerId> = (1..4).map(CustomerId).collect();
    let all = customers.iter().map(|customer| Recipient::Customer(*customer)).chain([Recipient::Vendor]);
    for recipient in all {
        recipients.set_tag(recipient, TagKey(Secret::new(*generate_key_pair().1.expose())));
        for part in Part::ALL {
            let (public, _) = generate_key_pair();
            let period = recipient.period(now);
            recipients.set(RecipientKey { recipient, part, period, public, signature: [0; 64] });
        }
    }
    let settings = Settings { segment_bytes: 32 << 10, reserve_bytes: 0, ..Settings::new("i", signing()) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    let log = Log::open(disk, dir, settings, recipients, clock, entropy).expect("a log");
    for number in 0..60 {
        let customer = customers.get(number % 4).copied();
        let mut record = Record::new(SystemClock.now(), Kind::Statement, customer);
        record.values.text = Some(format!("select {number}").into_bytes());
        log.note(record.clone()).expect("queued");
        let _receipt = log.record(record).await.expect("durable");
    }
    log.close().expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_implementations_make_the_same_indexes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, key) = (folder.path().join("i"), folder.path().join("i.vkey"));
    write(&dir).await;
    std::fs::write(&key, verifier_key("portreeve/i", &signing().public()) + "\n").expect("written");
    let names = std::fs::read_dir(&dir).expect("listed").map(|entry| entry.expect("an entry").path());
    let indexes: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|end| end == "index")).collect();
    assert!(indexes.len() > 2, "{indexes:?}");
    let agreed = || verifier("log", &[&dir, &key]).expect("all as it must be")[0]["indexes"].as_u64();
    assert_eq!(agreed(), Some(indexes.len() as u64));
    // One that the log did not sign is passed over.
    let first = indexes.first().expect("there are some");
    let mut bytes = std::fs::read(first).expect("read");
    bytes.iter_mut().skip(56).take(1).for_each(|byte| *byte ^= 1);
    std::fs::write(first, bytes).expect("written");
    assert_eq!(agreed(), Some(indexes.len() as u64 - 1));
    // One that it did sign, in which two tags have each other's leaves, is found by both.
    let second = indexes.get(1).expect("there are some");
    std::fs::write(second, lying(&std::fs::read(second).expect("read"))).expect("written");
    let name = second.file_name().expect("a name").to_string_lossy().into_owned();
    let wrong = verifier("log", &[&dir, &key]).expect_err("it says other than the leaves");
    assert_eq!(wrong, format!("{name} is not that of its segment"));
    let found = verify(&dir, &signing().public(), None).expect("readable");
    let alarms: Vec<_> = found.iter().filter(|finding| finding.verdict.is_alarm()).collect();
    assert!(matches!(alarms[..], [alarm] if alarm.verdict == Verdict::Forked && alarm.place == name), "{alarms:?}");
}

/// The same index, signed, in which what has the first tag has the second, and the other way round.
fn lying(index: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let bytes = index.get(at..).and_then(|rest| rest.first_chunk()).expect("four bytes");
        u32::from_le_bytes(*bytes) as usize
    };
    let (tags, leaves) = (HEAD + 24 * number(116), HEAD + 24 * number(116) + 20 * number(120));
    let [begin, middle, end] = [0, number(tags + 16), number(tags + 36)].map(|end| leaves + 4 * end);
    let mut lying = index.to_vec();
    lying.get_mut(begin..end).expect("the leaves of two tags").rotate_left(middle - begin);
    put(&mut lying, tags + 16, &u32::try_from((end - middle) / 4).expect("few leaves").to_le_bytes());
    let body = sha256(&[lying.get(HEAD..).expect("a body")]);
    put(&mut lying, 128, &body);
    let signature = signing().sign_bytes(b"portreeve segment index\0", lying.get(..160).expect("a head"));
    put(&mut lying, 160, &signature);
    lying
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes.get_mut(at..at + new.len()).expect("within").copy_from_slice(new);
}
