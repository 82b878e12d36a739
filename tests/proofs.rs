//! The proofs of `proxy/release.rs` cannot be forged, kept or used twice: each file in `proofs/` is refused by the
//! compiler, with the error and on the line that stand in it as `//~ E…`. `allowed.rs` puts the same proofs to their
//! proper use, and is accepted. The compiler is called itself, so that nothing has to be built for it a second time.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value that is not there gives null")]
#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the compiler says of a file: the code and the line of each error.
fn errors(file: &Path) -> Vec<(String, u64)> {
    let deps = deps();
    let out = tempfile::tempdir().expect("a folder");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--error-format", "json"])
        .arg("--out-dir")
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .args(["--extern", &format!("portreeve={}", newest(&deps, "libportreeve-").display())])
        .args(["--extern", &format!("bytes={}", newest(&deps, "libbytes-").display())])
        .arg(file)
        .output()
        .expect("rustc runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let errors: Vec<_> = messages
        .filter(|message| message["level"] == "error")
        .filter_map(|message| {
            let code = message["code"]["code"].as_str()?.to_owned();
            let primary = message["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
            Some((code, primary["line_start"].as_u64()?))
        })
        .collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{}: {said}", file.display());
    errors
}

/// Where cargo put this test, and the library it was built with.
fn deps() -> PathBuf {
    let this = std::env::current_exe().expect("a path");
    this.parent().expect("a folder").to_owned()
}

fn newest(deps: &Path, name: &str) -> PathBuf {
    let files = std::fs::read_dir(deps).expect("readable").flatten().map(|entry| entry.path());
    let named = files.filter(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.starts_with(name) && file.ends_with(".rlib")
    });
    let made = |path: &PathBuf| path.metadata().and_then(|about| about.modified()).expect("a time");
    named.max_by_key(made).unwrap_or_else(|| panic!("no {name}*.rlib in {}", deps.display()))
}

/// The errors a file says it has.
fn expected(file: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(file).expect("readable");
    let marked = (1..).zip(text.lines()).filter_map(|(number, line)| Some((number, line.split_once("//~ ")?.1)));
    marked.map(|(number, code)| (code.trim().to_owned(), number)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs")
}

#[test]
fn proofs_in_their_proper_use_are_accepted() {
    assert_eq!(errors(&folder().join("allowed.rs")), []);
}

#[test]
fn proofs_cannot_be_forged_or_used_twice() {
    let files = std::fs::read_dir(folder()).expect("readable").flatten().map(|entry| entry.path());
    let refused: Vec<_> = files.filter(|path| !path.ends_with("allowed.rs")).collect();
    assert!(refused.len() >= 10, "{} files", refused.len());
    for file in refused {
        let expected = expected(&file);
        assert!(!expected.is_empty(), "{} does not say what is wrong with it", file.display());
        assert_eq!(errors(&file), expected, "{}", file.display());
    }
}
