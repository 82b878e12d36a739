//! What is damaged beside a segment is named before it is made anew; what is newer is left.

use std::fs;
use std::path::PathBuf;

use super::super::fixture::*;
use super::super::verify::Verdict;

type Harm = fn(&mut Vec<u8>);

/// A closed log of several segments.
fn closed() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    let (log, runtime) = (fixture.open(), tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));
    for number in 0..9 {
        runtime.block_on(log.record(statement(Some(SEVEN), &format!("SELECT {number}")))).expect("durable");
    }
    log.close().expect("closed");
    fixture
}

/// What is remarked of that log, by whoever reads all and by whoever reads the tree only.
fn remarked(fixture: &Fixture) -> Vec<(Verdict, String, String)> {
    let of = |findings: Vec<crate::log::verify::Finding>| -> Vec<_> {
        findings.into_iter().map(|found| (found.verdict, found.place, found.detail)).collect()
    };
    let tree = of(crate::log::verify::examine_tree(&fixture.dir(), &signing(1).public()).expect("readable").findings);
    let all = of(fixture.verify());
    assert_eq!(tree.iter().skip(1).collect::<Vec<_>>(), all.iter().skip(1).collect::<Vec<_>>());
    assert_eq!((tree[0].0, all[0].0), (Verdict::Ok, Verdict::Ok), "{all:?}");
    all.into_iter().skip(1).collect()
}

#[test]
fn what_is_damaged_beside_a_segment_is_remarked_made_anew_and_what_is_newer_is_left() {
    let fixture = closed();
    assert_eq!(remarked(&fixture), []);
    let cases: [(&str, Harm, bool, &str); 6] = [
        ("a bit", |bytes| bytes[40] ^= 1, false, "not as it was signed"),
        ("the last byte", |bytes| *bytes.last_mut().expect("some") ^= 1, false, "not as it was signed"),
        ("cut", |bytes| bytes.truncate(bytes.len() - 4), false, "cut off"),
        ("empty", Vec::clear, false, "does not begin as such a file does"),
        ("another file", |bytes| bytes.fill(b'x'), false, "does not begin as such a file does"),
        (
            "newer",
            |bytes| bytes[7] = b'2',
            true,
            "of version 2, which this portreeve does not read: a newer one wrote it",
        ),
    ];
    for name in ["000000000001.summary", "000000000000.index"] {
        let path: PathBuf = fixture.file(name);
        let whole = fs::read(&path).expect("there is one");
        for (case, harm, stays, says) in cases {
            fixture.change(name, harm);
            let harmed = fs::read(&path).expect("there");
            let found = remarked(&fixture);
            let [(verdict, place, detail)] = &found[..] else { panic!("{name}, {case}: {found:?}") };
            assert!(*verdict == Verdict::Unwitnessed && place == name && detail.contains(says), "{case}: {found:?}");
            let (opened, said) = heard(|| fixture.open());
            // The upkeep has its last turn when the log is closed, on a thread of its own.
            opened.close().expect("closed");
            let now = fs::read(&path).expect("there");
            assert!(now == if stays { harmed } else { whole.clone() }, "{name}, {case}");
            if path.extension().is_some_and(|end| end == "summary") {
                let why = if stays { "a newer portreeve wrote" } else { "it is made anew from the segment" };
                assert!(said.contains(name) && said.contains(why), "{case}: {said}");
            }
            fs::write(&path, &whole).expect("put back");
        }
    }
    assert_eq!(remarked(&fixture), []);
}

/// What this thread logs meanwhile.
fn heard<T>(what: impl FnOnce() -> T) -> (T, String) {
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let done = tracing::subscriber::with_default(subscriber, what);
    let said = heard.0.lock().expect("not poisoned").clone();
    (done, String::from_utf8(said).expect("text"))
}

#[derive(Clone, Default)]
struct Heard(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
