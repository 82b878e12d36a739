//! A customer that is renamed: whoever is in stays in, the old name leads nobody elsewhere, and every record is found.
//! Not here: the rules one by one (`src/grant/renaming_tests.rs`).

use std::process::Stdio;

use portreeve::cli::demo::stage::{STAFF, said};

use crate::door::{DIGEST, TOKEN, ask, wish};
use crate::ground::{Ground, LEAD};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_and_the_new_name_is_for_whom_it_concerns() {
    let ground = Ground::new(&[("portal", &format!("vendor_token_sha256 = \"{DIGEST}\""))]).await;
    ground.grant();
    // A session that lasts over the renaming.
    let mut session = ground.stage.psql("acme").expect("psql");
    let script = "select 'before'; select pg_sleep(3); select 'after';";
    let script: Vec<&str> = script.split_inclusive(';').flat_map(|one| ["-c", one]).collect();
    let session = session.args(script).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts");
    let until = std::time::Instant::now() + crate::ground::SOON;
    while ground.backends().await == 0 {
        assert!(std::time::Instant::now() < until, "the session does not begin");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let renamed = ground.shown(&["customer", "rename", "acme", "acme-gmbh", "--display", "Acme GmbH"]);
    assert_eq!(
        (&renamed["customer"], &renamed["formerly"][0], &renamed["display"]),
        (&"acme-gmbh".into(), &"acme".into(), &"Acme GmbH".into())
    );
    let session = session.wait_with_output().expect("it ends");
    assert!(session.status.success() && said(&session).contains("after"), "nothing of it ended: {}", said(&session));

    let inside = ground.psql_as(STAFF, "acme-gmbh", "select 'inside'");
    assert!(inside.status.success(), "the same grant: {}", said(&inside));
    let told = said(&ground.psql_as(STAFF, "acme", "select 1"));
    assert!(
        told.contains("customer \"acme\" is called \"acme-gmbh\" now") && told.contains("dbname=acme-gmbh"),
        "{told}"
    );
    // Somebody who does not look after it is told what of any other name that is not there.
    ground.must(&["team", "remove", "support", LEAD]);
    let untold = said(&ground.psql_as(LEAD, "acme", "select 1"));
    assert!(untold.contains("there is no such customer") && !untold.contains("acme-gmbh"), "{untold}");
    let desk = |line: &str| said(&ground.psql_as(STAFF, "portreeve", line));
    let shown = desk("SHOW CUSTOMERS");
    assert!(shown.contains("acme-gmbh") && shown.contains("acme, until ") && shown.contains("Acme GmbH"), "{shown}");
    for line in ["REQUEST acme FOR '1 hour' REASON 'invoices show wrong totals' TICKET 'SUP-1'", "RELEASE acme"] {
        let told = desk(line);
        assert!(told.contains("customer \"acme\" is called \"acme-gmbh\" now"), "{line}: {told}");
    }
    let (status, refused) = ask(&ground, TOKEN, &wish(STAFF, "acme"));
    assert_eq!((status, &refused["now_called"]), (403, &"acme-gmbh".into()), "{refused}");
    let (status, refused) = ask(&ground, TOKEN, &wish(LEAD, "acme"));
    assert_eq!((status, &refused["now_called"]), (403, &serde_json::Value::Null), "{refused}");

    // Nobody else is ever called so, and a command that changes something wants the name that it has.
    let taken = ground.portreeve(&["customer", "create", "acme", "--cluster", "main", "--database", "acme-two"]);
    assert!(!taken.status.success() && said(&taken).contains("is never given twice"), "{}", said(&taken));
    let old = ground.portreeve(&["customer", "revoke", "acme"]);
    assert!(!old.status.success() && said(&old).contains("is called \"acme-gmbh\" now"), "{}", said(&old));

    // By either name, what was done before and since is found.
    for name in ["acme", "acme-gmbh"] {
        let found = ground.must(&["--format", "json", "audit", "search", "--customer", name, "--limit", "0"]);
        for done in ["select 'before'", "select 'after'", "select 'inside'", "customer.renamed", "\"renamed\""] {
            assert!(found.contains(done), "{name}: {done} in {found}");
        }
        let could = ground.must(&["history", name, "--at", "0s"]);
        assert!(could.contains(STAFF), "{name}: {could}");
        let (status, history) = ground
            .stage
            .api("acme", "GET", &format!("/v1/customers/{name}/history"), None)
            .expect("the portal answers");
        assert_eq!(status, 200, "{name}: {history}");
        assert!(history.contains("changed what this account is called"), "{history}");
        assert!(history.contains("a name that your account no longer has"), "{history}");
    }
    ground.must(&["audit", "verify"]);
}
