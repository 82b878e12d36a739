//! psql's `\copy` from files of each format, small and large, sound and broken.

use std::fs;
use std::io::{BufWriter, Write};

use portreeve::cli::demo::stage::said;

use super::ground::{Ground, cell, lines};

/// What the gate may take for copying 200 MB.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

#[tokio::test]
async fn a_file_of_each_format_is_recorded_by_its_digest() {
    let ground = Ground::new().await;
    let path = ground.stage.path("data");
    let copy = |with: &str| ground.psql(&[&format!("\\copy imported from '{}' with ({with})", path.display())]);
    let text = lines(0..1000);
    let csv = b"1000,\"two\nlines\"\n1001,x\n".to_vec();
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    binary.extend_from_slice(b"\0\x02\0\0\0\x04\0\0\x10\0\0\0\0\x01x\xff\xff");
    for (format, data, result) in [("text", text, "COPY 1000"), ("csv", csv, "COPY 2"), ("binary", binary, "COPY 1")] {
        fs::write(&path, &data).expect("written");
        let output = copy(&format!("format {format}"));
        assert!(output.status.success() && said(&output).contains(result), "{}", said(&output));
        ground.copied(&data, result);
    }
    assert_eq!(ground.value("select count(*) from imported").await, "1003");
    let mut broken = lines(2000..12_000);
    broken.extend_from_slice(b"0\tthere is one already\n");
    fs::write(&path, &broken).expect("written");
    let output = copy("format text");
    assert!(!output.status.success() && said(&output).contains("duplicate key"), "{}", said(&output));
    ground.copied_in_vain(&broken, "duplicate key");
    broken.extend_from_slice(&lines(12_000..300_000));
    fs::write(&path, &broken).expect("written");
    let output = copy("format text");
    assert!(!output.status.success() && said(&output).contains("duplicate key"), "{}", said(&output));
    let failed = ground.record("statement", |record| {
        cell(record, "verb") == "query" && cell(record, "result").starts_with("23505") && record.get("place").is_some()
    });
    assert!(cell(&failed, "text").to_lowercase().starts_with("copy"), "{failed:#}");
    let output = ground.psql(&["copy imported from stdin", "select 'still here'"]);
    assert!(said(&output).contains("still here"), "{}", said(&output));
    assert_eq!(ground.value("select count(*) from imported").await, "1003");
    ground.verified();
}

#[tokio::test]
async fn a_reader_is_told_by_the_server() {
    let ground = Ground::new().await;
    let (status, _) = ground.stage.set_consent("acme", r#"{"mode":"standing","scope":"read"}"#).expect("the portal");
    assert_eq!(status, 200);
    ground.stage.grant("acme", "read").expect("a grant");
    let path = ground.stage.path("data");
    fs::write(&path, lines(0..10)).expect("written");
    let output = ground.psql(&[&format!("\\copy imported from '{}'", path.display())]);
    assert!(!output.status.success() && said(&output).contains("permission denied"), "{}", said(&output));
    ground.record("statement", |record| cell(record, "result").contains("permission denied"));
    assert_eq!(ground.value("select count(*) from imported").await, "0");
    ground.verified();
}

#[tokio::test]
async fn two_hundred_megabytes_take_no_memory() {
    let ground = Ground::new().await;
    let path = ground.stage.path("data");
    let mut file = BufWriter::new(fs::File::create(&path).expect("a file"));
    let padding = "x".repeat(990);
    (0..200_000).for_each(|id| writeln!(file, "{id}\t{padding}").expect("written"));
    file.into_inner().expect("flushed");
    ground.psql(&["select 1"]);
    let before = peak_kib(&ground);
    let output = ground.psql(&[&format!("\\copy imported from '{}'", path.display())]);
    assert!(output.status.success(), "{}", said(&output));
    let grown = peak_kib(&ground) - before;
    assert!(grown < GROWTH_KIB_MAX, "the gate grew by {grown} KiB");
    ground.copied(&fs::read(&path).expect("readable"), "COPY 200000");
    ground.verified();
}

/// The most memory the gate ever had.
fn peak_kib(ground: &Ground) -> u64 {
    let pid = ground.stage.proxy.as_ref().expect("a gate").pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
