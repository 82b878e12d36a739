use super::*;

fn passed(files: &[(&str, &str)]) -> Passed {
    let mut passed = Passed::default();
    for (path, text) in files {
        let mut checksum = Checksum::new(Algorithm::Sha256);
        checksum.update(text.as_bytes());
        passed.file(path.as_bytes(), text.len() as u64, checksum);
    }
    passed.wal("000000010000000000000002", 16 << 20);
    passed
}

fn line(path: &str, text: &str) -> String {
    let sum = hex(digest::digest(&SHA256, text.as_bytes()).as_ref());
    let size = text.len();
    format!(r#"{{ "Path": "{path}", "Size": {size}, "Checksum-Algorithm": "SHA256", "Checksum": "{sum}" }}"#)
}

fn manifest(lines: &[String], end: &str) -> String {
    let range = format!(r#"{{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "{end}" }}"#);
    let files = lines.join(",\n");
    let body = format!("{{ \"Version\": 1,\n\"Files\": [\n{files}\n],\n\"WAL-Ranges\": [\n{range}\n],\n");
    let sum = hex(digest::digest(&SHA256, body.as_bytes()).as_ref());
    format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")
}

#[test]
fn what_differs_is_named() {
    let end = "0/2000100";
    let both = [line("PG_VERSION", "15"), line("base/1/1", "rows")];
    let good = manifest(&both, end);
    let files = [("PG_VERSION", "15"), ("base/1/1", "rows")];
    for (what, text, files, expected) in [
        ("the same", good.clone(), &files[..], None),
        ("a file changed", good.clone(), &[("PG_VERSION", "15"), ("base/1/1", "Rows")], Some("base/1/1: its size")),
        ("a file shorter", good.clone(), &[("PG_VERSION", "15"), ("base/1/1", "row")], Some("base/1/1: its size")),
        ("a file missing", good.clone(), &files[..1], Some("base/1/1: it is not in the backup")),
        ("a file too many", manifest(&both[..1], end), &files[..], Some("1 of its files are not")),
        ("listed twice", manifest(&[both[0].clone(), both[0].clone()], end), &files[..1], Some("listed twice")),
        ("cut off", good[..good.find("],").unwrap_or(0)].to_owned(), &files[..], Some("cut off")),
        ("rewritten", good.replace("\"Size\": 2,", "\"Size\": 02,"), &files[..], Some("cannot be read")),
        ("WAL missing", manifest(&both, "0/3000100"), &files[..], Some("000000010000000000000003")),
        ("a range changed", good.replace("0/2000100", "0/2000101"), &files[..], Some("does not have the checksum")),
    ] {
        let found = compare(text.as_bytes(), &mut passed(files), Algorithm::Sha256).map(drop);
        let said = found.err().map(|error| error.to_string());
        match (expected, &said) {
            (None, None) => {}
            (Some(expected), Some(said)) if said.contains(expected) => {}
            _ => panic!("{what}: expected {expected:?}, found {said:?}"),
        }
    }
}

#[test]
fn checksums_are_written_as_the_server_writes_them() {
    let mut sum = Checksum::new(Algorithm::Crc32c);
    sum.update(b"1234");
    sum.update(b"56789");
    // The check value of CRC-32C is e3069283.
    assert_eq!(sum.finish(), "839206e3");
}

#[test]
fn the_algorithm_is_that_of_the_first_file() {
    let text = manifest(&[line("PG_VERSION", "15")], "0/2000100");
    assert_eq!(algorithm(text.as_bytes()), Some(Algorithm::Sha256));
    assert_eq!(algorithm(text.replace("SHA256", "CRC32C").as_bytes()), Some(Algorithm::Crc32c));
    assert_eq!(algorithm(text.replace("SHA256", "NONE").as_bytes()), None);
    assert_eq!(algorithm(&b"{}"[..]), None);
}
