use super::*;
use crate::audit::record::Kind;
use crate::cli::audit::tests::started;
use crate::cli::customer;
use crate::grant::{AccountStep, Stage};
use crate::ids::CustomerId;

fn plain<T>(done: Result<T, Failure>) -> T {
    done.map_err(|failure| failure.message().to_owned()).expect("done")
}

fn refused(done: Result<Exit, Failure>) -> (Exit, String) {
    let failure = done.expect_err("refused");
    (failure.exit(), failure.message().to_owned())
}

fn place(of: &str, authority: &str) -> Command {
    Command::Place {
        customer: of.to_owned(),
        authority: authority.to_owned(),
        reason: "a claim is before the court".to_owned(),
        review_in: Duration::from_secs(86_400),
    }
}

fn release(hold: &str) -> Command {
    let (authority, reason) = ("district court".to_owned(), "the claim was withdrawn".to_owned());
    Command::Release { hold: hold.to_owned(), authority, reason }
}

/// An operator closes an account and holds what is kept of it; reopening is not theirs. Everything stands in the log:
/// what came after the closing under the vendor's key.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_and_holds_and_does_not_reopen() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, _served) = started(dir.path()).await;
    let create = customer::Command::Create {
        name: "acme".to_owned(),
        cluster: "main".to_owned(),
        database: "acme".to_owned(),
        tenant: None,
        schema: None,
        display: None,
    };
    plain(customer::run(create, &context).await);
    let acme = CustomerId(1);
    let (exit, why) = refused(run(place("nobody", "district court"), &context).await);
    assert_eq!(exit, Exit::Usage, "{why}");
    let (exit, why) = refused(run(place("acme", ""), &context).await);
    assert_eq!(exit, Exit::Refused, "{why}");
    assert!(why.contains("the authority must be"), "{why}");
    plain(run(place("acme", "district court, 12-345"), &context).await);
    plain(customer::run(customer::Command::Close { customer: "acme".to_owned() }, &context).await);
    let state = plain(context.state());
    let closure = state.customer(acme).and_then(|acme| acme.closure.clone()).expect("closed");
    assert_eq!((closure.stage(), closure.by), (Stage::Closed, By::Operator));
    let hold = state.holds_on(acme).next().expect("held");
    assert_eq!(hold.authority, "district court, 12-345");
    let (exit, why) = refused(customer::run(customer::Command::Reopen { customer: "acme".to_owned() }, &context).await);
    assert_eq!(exit, Exit::Refused);
    assert!(why.contains("only an owner of \"acme\" can reopen"), "{why}");
    let (exit, why) = refused(run(release("h99"), &context).await);
    assert_eq!(exit, Exit::Usage, "{why}");
    plain(run(release(&hold.id.to_string()), &context).await);
    let (exit, why) = refused(run(release(&hold.id.to_string()), &context).await);
    assert_eq!((exit, why.contains("no hold h")), (Exit::Refused, true), "{why}");
    plain(run(Command::List { customer: Some("acme".to_owned()) }, &context).await);
    plain(customer::run(customer::Command::Show { customer: "acme".to_owned() }, &context).await);
    assert_eq!(plain(context.state()).holds_on(acme).count(), 0);
    let verbs = recorded(&context).await;
    let closed = AccountStep::Closed.verb();
    for (verb, sealed_to) in [("hold.placed", Some(acme)), (closed, Some(acme)), ("hold.released", None)] {
        let of_verb: Vec<_> = verbs.iter().filter(|(found, ..)| found == verb).collect();
        for (kind, result) in [(Kind::Intent, None), (Kind::Decided, Some("written"))] {
            let found = of_verb
                .iter()
                .any(|(_, of, became, whose)| (*of, became.as_deref(), *whose) == (kind, result, sealed_to));
            assert!(found, "{kind:?} of {verb} for {sealed_to:?} in {of_verb:?}");
        }
    }
}

type Told = (String, Kind, Option<String>, Option<CustomerId>);

/// Verb, kind, result and whose key, of everything in the command line's own log.
async fn recorded(context: &Context) -> Vec<Told> {
    use crate::audit::keys::Recipients;
    use crate::log::search::{self, Query, search};
    let config = &context.config;
    let public = crate::keyring::init::read_public_key(&config.keyring.public_key).expect("a key");
    let keyring = crate::keyring::Client::connect(&config.keyring.socket, public).await.expect("connected");
    let recipients = Recipients::new();
    keyring.known(&recipients).await.expect("known");
    let query = Query { kinds: vec![Kind::Intent, Kind::Decided], ..Query::default() };
    let dirs = search::logs(&config.audit.directory).expect("logs");
    let opener = |keys| keyring.open(keys, "test", "a test");
    let found = search(&dirs, &query, &recipients, opener).await.expect("found");
    let told = found.into_iter().map(|found| found.record);
    told.map(|record| (record.skeleton.verb.unwrap_or_default(), record.kind, record.skeleton.result, record.customer))
        .collect()
}
