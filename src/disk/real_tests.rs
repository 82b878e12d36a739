use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn an_allocated_file_takes_blocks_and_gives_them_back() {
    let dir = directory();
    let path = dir.path().join("segment");
    RealDisk.allocate(&path, 3 * BLOCK_BYTES as u64).expect("allocated");
    let file = RealDisk.open(&path).expect("opened");
    file.write_durably(BLOCK_BYTES as u64, &Blocks::of(b"hello")).expect("written");
    let reader = RealDisk.open_to_read(&path).expect("opened");
    assert_eq!(reader.len().expect("length"), 3 * BLOCK_BYTES as u64);
    let mut bytes = vec![9; 2 * BLOCK_BYTES];
    reader.read_at(0, &mut bytes).expect("read");
    assert!(bytes[..BLOCK_BYTES].iter().all(|byte| *byte == 0));
    assert_eq!(&bytes[BLOCK_BYTES..][..6], b"hello\0");
    let past_the_end = reader.read_at(2 * BLOCK_BYTES as u64, &mut bytes).expect_err("there is one block left");
    assert_eq!(past_the_end.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_system_without_direct_writes_is_written_and_synced_instead() {
    let dir = directory();
    let path = dir.path().join("segment");
    RealDisk.allocate(&path, BLOCK_BYTES as u64).expect("allocated");
    let plain = RealFile { file: OpenOptions::new().write(true).open(&path).expect("opened"), direct: false };
    plain.write_durably(0, &Blocks::of(b"hello")).expect("written");
    assert_eq!(&RealDisk.read(&path).expect("read")[..6], b"hello\0");
}

#[test]
fn a_lock_is_held_once_and_seen() {
    let dir = directory();
    let path = dir.path().join("lock");
    assert!(!RealDisk.is_locked(&path).expect("looked"));
    let held = RealDisk.lock(&path).expect("taken");
    assert!(RealDisk.is_locked(&path).expect("looked"));
    assert_eq!(RealDisk.lock(&path).map(|_| ()).expect_err("it is taken").kind(), ErrorKind::WouldBlock);
    drop(held);
    RealDisk.lock(&path).expect("taken again");
}

#[test]
fn a_file_is_replaced_wholly_with_its_permissions() {
    let dir = directory();
    let path = dir.path().join("checkpoint");
    RealDisk.replace(&path, b"one", 0o640).expect("written");
    RealDisk.replace(&path, b"two", 0o600).expect("replaced");
    assert_eq!(RealDisk.read(&path).expect("read"), b"two");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(RealDisk.names(dir.path()).expect("listed"), ["checkpoint"]);
}

#[test]
fn a_name_that_is_taken_is_never_lost() {
    let dir = directory();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    RealDisk.replace(&one, b"1", 0o600).expect("written");
    RealDisk.replace(&two, b"2", 0o600).expect("written");
    assert_eq!(RealDisk.rename(&one, &two).expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(RealDisk.read(&two).expect("still there"), b"2");
    RealDisk.remove(&two).expect("removed");
    RealDisk.remove(&two).expect("removing what is gone is no error");
    RealDisk.rename(&one, &two).expect("free now");
}

#[test]
fn directories_are_made_down_to_the_last() {
    let dir = directory();
    let deep = dir.path().join("a/b/c");
    RealDisk.make_directory(&deep).expect("made");
    RealDisk.make_directory(&deep).expect("there already");
    assert!(RealDisk.free_bytes(&deep).expect("asked") > 0);
}

#[test]
fn a_file_grows_from_any_length_by_any_pieces() {
    let dir = directory();
    let path = dir.path().join("growing");
    for (begun, pieces) in [
        (0, vec![0]),
        (0, vec![1]),
        (7, vec![BLOCK_BYTES - 7]),
        (BLOCK_BYTES, vec![BLOCK_BYTES]),
        (700, vec![262_160, 262_160, 262_160, 262_160, 262_160, 12]),
        (BLOCK_BYTES + 1, vec![3 << 20, 5, (1 << 20) - 6]),
    ] {
        let mut expected: Vec<u8> = (0..begun).map(|at| u8::try_from(at % 241).unwrap_or(0)).collect();
        RealDisk.replace(&path, &expected, 0o640).expect("begun");
        let mut file = RealDisk.open_to_append(&path).expect("opened");
        for (piece, len) in pieces.iter().enumerate() {
            let more: Vec<u8> = (0..*len).map(|at| u8::try_from((at + piece) % 251).unwrap_or(0)).collect();
            file.append(&more).expect("appended");
            expected.extend(more);
        }
        file.sync().expect("synced");
        assert!(RealDisk.read(&path).expect("read") == expected, "{begun} {pieces:?}");
        // It goes on after it, and once more from the beginning.
        file.append(b"the end").expect("appended");
        file.sync().expect("synced");
        expected.extend(b"the end");
        assert!(RealDisk.read(&path).expect("read") == expected, "{begun} {pieces:?}, and on");
    }
}

#[test]
fn a_full_disk_is_told_by_whatever_is_appended_to_it() {
    // Its own verb for being full, from the kernel itself.
    let mut file = GrowingFile::open(Path::new("/dev/full")).expect("every Linux has it");
    let told = file.append(&vec![1; 2 << 20]).and_then(|()| file.sync()).expect_err("it is full");
    assert_eq!(told.kind(), ErrorKind::StorageFull);
}

#[test]
fn who_replaces_a_file_as_root_leaves_it_to_its_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keyring");
    fs::write(&path, b"old").expect("written");
    // Who is not root owns what it wrote, and can give it to nobody.
    let owner = |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.gid())).expect("it is there");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4321), Some(1234)).expect("given away");
        assert_eq!(owner(&path), (4321, 1234));
    } else {
        eprintln!("skipped: only root can give a file away, so that it is not seen whether it goes back to its owner");
    }
    let before = owner(&path);
    RealDisk.replace(&path, b"new", 0o600).expect("replaced");
    assert_eq!((owner(&path), fs::read(&path).expect("read")), (before, b"new".to_vec()));
}
