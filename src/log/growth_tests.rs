use super::super::fixture::*;
use super::*;
use crate::audit::consistency::proves_consistency;

/// Writes some more records to the fixture's log and gives its checkpoint; each part over several segments.
fn written(fixture: &Fixture, texts: usize) -> Checkpoint {
    let log = fixture.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for _ in 0..texts {
        runtime.block_on(log.record(statement(Some(SEVEN), &"x".repeat(3000)))).expect("durable");
    }
    log.clone().close().expect("closed");
    log.checkpoint()
}

fn small() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    fixture
}

fn verdict(error: &Error) -> Option<Verdict> {
    match error {
        Error::Unsound { verdict, .. } => Some(*verdict),
        _ => None,
    }
}

#[test]
fn a_log_that_grew_is_proved_to_begin_with_what_was_remembered() {
    let fixture = small();
    let signed: Vec<Checkpoint> = [1, 4, 0, 9].map(|texts| written(&fixture, texts)).to_vec();
    let whole = signed.last().expect("some");
    assert!(fixture.file("000000000002.segment").exists(), "over several segments");
    for size in 0..=whole.size {
        let known = begins_with(&fixture.dir(), size, None).expect("readable");
        let (tree, proof) = grown(&fixture.dir(), &known, whole).expect("it grew");
        assert_eq!((tree.size(), tree.root()), (whole.size, whole.root));
        assert!(proves_consistency(size, &known.root(), whole.size, &whole.root, &proof), "from {size}");
    }
    for pair in signed.windows(2) {
        let [old, new] = pair else { continue };
        let known = begins_with(&fixture.dir(), old.size, Some(&old.root)).expect("it begins with it");
        let (_, proof) = grown(&fixture.dir(), &known, new).expect("it grew");
        assert!(proves_consistency(old.size, &old.root, new.size, &new.root, &proof));
    }
}

#[test]
fn a_log_that_was_rolled_back_or_is_another_is_told() {
    let fixture = small();
    let early = written(&fixture, 2);
    let (older, other) = (tempfile::tempdir().expect("a folder"), small());
    copy(&fixture.dir(), older.path());
    let late = written(&fixture, 3);
    let fork = written(&other, 20);
    assert!(fork.size > late.size);

    let rolled_back = begins_with(older.path(), late.size, Some(&late.root)).expect_err("shorter");
    assert_eq!(verdict(&rolled_back), Some(Verdict::RolledBack));
    let forked = begins_with(&other.dir(), late.size, Some(&late.root)).expect_err("another");
    assert_eq!(verdict(&forked), Some(Verdict::Forked));
    let known = begins_with(&fixture.dir(), late.size, None).expect("readable");
    let shorter = grown(older.path(), &known, &early).expect_err("shorter");
    assert_eq!(verdict(&shorter), Some(Verdict::RolledBack));
    let another = grown(&other.dir(), &known, &fork).expect_err("another");
    assert_eq!(verdict(&another), Some(Verdict::Forked));

    let remembered = |checkpoint: &Checkpoint| vec![Remembered { by: "w".to_owned(), checkpoint: checkpoint.clone() }];
    let verdicts = |dir: &Path, checkpoints: &[&Checkpoint]| -> Vec<Verdict> {
        let all = checkpoints.iter().flat_map(|checkpoint| remembered(checkpoint)).collect();
        compare(dir, all).expect("readable").into_iter().map(|finding| finding.verdict).collect()
    };
    assert_eq!(verdicts(&fixture.dir(), &[&late, &early]), []);
    assert_eq!(
        verdicts(&fixture.dir(), &[&early]),
        [Verdict::Unwitnessed],
        "its newest leaves are not known to anybody"
    );
    assert_eq!(verdicts(older.path(), &[&early, &late]), [Verdict::RolledBack]);
    assert_eq!(verdicts(&other.dir(), &[&early, &late]), [Verdict::Forked, Verdict::Forked]);
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}
