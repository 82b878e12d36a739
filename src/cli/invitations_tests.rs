use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_code_is_random_and_only_its_digest_is_for_others() {
    let (one, other) = (Code::new(), Code::new());
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.text.expose().len(), 43, "256 bits");
    assert_eq!(digest::digest(&digest::SHA256, one.text.expose().as_bytes()).as_ref(), one.digest);
    let link = one.link("https://portal.example:8443/");
    assert_eq!(*link.expose(), format!("https://portal.example:8443/invitation?code={}", one.text.expose()));
}

#[test]
fn the_links_are_in_a_new_file_that_only_its_owner_may_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("invitations.csv");
    let mut letters = Letters::begin(&path).expect("a new file");
    let code = Code::new();
    let (customer, display, owner) = ("acme", Some("Acme, Inc"), "olga@acme.example");
    let ends = Timestamp(1_795_262_400_000_000);
    letters.add(&[Invited { customer, display, owner, ends, code: &code }], "https://portal.example").expect("written");
    let text = std::fs::read_to_string(&path).expect("there");
    let code = code.text.expose();
    assert_eq!(
        text,
        format!(
            "customer,display_name,owner,link,ends\r\nacme,\"Acme, Inc\",olga@acme.example,\
             https://portal.example/invitation?code={code},2026-11-21T12:00:00Z\r\n"
        )
    );
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    let again = Letters::begin(&path).map(drop).expect_err("it is there");
    assert!(again.message().contains("perhaps with invitations that were not sent yet"), "{}", again.message());
    letters.remove().expect("removed");
    assert!(!path.exists());
}
