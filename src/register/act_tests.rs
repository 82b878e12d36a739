use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::super::sqlite::tests::register_of;
use super::super::{Follower, OwnerActs, Revision};
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair, open_data_key};
use crate::audit::tag::Tags;
use crate::clock::SystemClock;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::grant::world::{ACME, JANE, OLGA, World, owner, portal_key, reason, staff, trust};
use crate::grant::{Layout, Mode, Purpose, Scope, Terms};
use crate::ids::GrantId;
use crate::log::open::DataKeys;
use crate::log::reader::{Content, Reader};
use crate::secret::Secret;

/// A register, a log whose records can be read back, and perhaps a proxy.
pub(in crate::register) struct Office {
    pub(in crate::register) acts: Acts,
    recipients: Recipients,
    privates: HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>,
    pub(in crate::register) path: PathBuf,
    pub(in crate::register) log_directory: PathBuf,
    _directories: [TempDir; 2],
}

/// Keys to seal that recipient's records, and their private halves.
type Keys = (Recipients, HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>);

fn keys_for(everybody: &[Recipient]) -> Keys {
    let (recipients, mut privates) = (Recipients::new(), HashMap::new());
    for (number, recipient) in (1u8..).zip(everybody.iter().copied()) {
        recipients.set_tag(recipient, TagKey(Secret::new([number; 32])));
        for part in Part::ALL {
            let period = recipient.period(SystemClock.now());
            let (public, private) = generate_key_pair();
            recipients.set(RecipientKey::sign(recipient, part, period, public, &portal_key()));
            privates.insert((recipient, part, period), private);
        }
    }
    (recipients, privates)
}

impl Office {
    /// acme with its owner and jane, the switch off.
    pub(in crate::register) fn open() -> Office {
        Office::with(&World::with_people(), &[Recipient::Vendor, Recipient::Customer(ACME)])
    }

    pub(in crate::register) fn with(world: &World, everybody: &[Recipient]) -> Office {
        let (register_directory, path, register) = register_of(world);
        let log_directory = tempfile::tempdir().expect("a directory");
        let (recipients, privates) = keys_for(everybody);
        let key = SigningKey::from_seed(&Secret::new([3; 32]));
        let mut settings = crate::log::Settings::new("cli-test", key);
        (settings.segment_bytes, settings.reserve_bytes) = (64 << 10, 1 << 20);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let directory = log_directory.path().join("log");
        let sealing = recipients.clone();
        let log = Log::open(Arc::new(RealDisk), &directory, settings, sealing, clock.clone(), entropy.clone());
        let log = log.expect("the log opens");
        let acts = Acts { register, log, trust: trust(), sockets: Vec::new(), clock, entropy };
        let _directories = [register_directory, log_directory];
        Office { acts, recipients, privates, path, log_directory: directory, _directories }
    }

    pub(in crate::register) fn owner_acts(&self) -> OwnerActs {
        let seen = self.path.with_extension("seen");
        let follower = Follower::start(&self.path, trust(), &seen, Arc::new(SystemClock)).expect("it follows");
        OwnerActs::new(self.acts.clone(), follower, portal_key())
    }

    /// The same, with what that one has seen, for a register that no longer opens.
    pub(in crate::register) fn owner_acts_after(&self, acts: &OwnerActs) -> OwnerActs {
        OwnerActs::new(self.acts.clone(), acts.follower().clone(), portal_key())
    }

    pub(in crate::register) fn sequence(&self) -> u64 {
        self.acts.register.state().expect("it verifies").sequence().0
    }

    pub(in crate::register) async fn operator(
        &self,
        what: What,
        personal: Option<crate::grant::Personal>,
    ) -> Result<Done, Error> {
        let draft = Draft { by: By::Operator, what, personal };
        self.acts.act(None, |_| Ok(draft.clone())).await
    }

    /// Every intent and outcome, opened: kind, verb, result, sequence, customer.
    pub(in crate::register) fn records(&self) -> Vec<Record> {
        let reader = Reader::open(&self.log_directory).expect("the log can be read");
        let mut tags = Tags::new(&self.recipients, reader.origin());
        let mut keys = DataKeys::new();
        for sealed in reader.sealed_data_keys(&mut tags).expect("the log can be read") {
            let private = self.privates.get(&(sealed.recipient, sealed.part, sealed.period)).expect("a key");
            keys.insert(sealed.position, &open_data_key(private, &sealed).expect("it opens"));
        }
        let mut records = Vec::new();
        for entry in reader.entries() {
            let entry = entry.expect("whole");
            let recipient = entry.recipient(&mut tags).expect("recognised");
            if let Content::Record { .. } = entry.content {
                records
                    .push(crate::log::open::open(reader.origin(), &entry, recipient, &keys).expect("it opens").record);
            }
        }
        records.retain(|record| matches!(record.kind, Kind::Intent | Kind::Decided));
        records
    }

    /// What its log does not say the outcome of.
    pub(in crate::register) async fn left_open(&self, from: u64) -> Vec<OpenIntent> {
        let opener = async |keys: Vec<crate::audit::keys::SealedDataKey>| {
            let private = |key: &crate::audit::keys::SealedDataKey| {
                let private = self.privates.get(&(key.recipient, key.part, key.period)).expect("a key");
                open_data_key(private, key)
            };
            keys.iter().map(private).collect::<Result<Vec<_>, _>>()
        };
        let (dir, origin) = (self.log_directory.as_path(), "portreeve/cli-test");
        super::super::open_intents(dir, origin, from, &self.recipients, opener).await.expect("readable")
    }

    pub(in crate::register) fn story(&self) -> Vec<String> {
        let told = |record: Record| {
            let word = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let (verb, result) = (word(record.skeleton.verb), word(record.skeleton.result));
            format!("{} {verb} {result} {}", record.kind.word(), record.skeleton.sequence.unwrap_or(0))
        };
        self.records().into_iter().map(told).collect()
    }
}

/// What a proxy was asked, and where the register stood then.
type Asked = Arc<std::sync::Mutex<Vec<(String, u64)>>>;

/// A proxy that answers every request and notes what it was asked, and where the register stood then.
fn proxy(office: &Office, directory: &Path) -> (PathBuf, Asked) {
    let path = directory.join("proxy");
    let listener = UnixListener::bind(&path).expect("a socket");
    let asked = Asked::default();
    let (notes, register) = (Arc::clone(&asked), office.acts.register.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            stream.read_line(&mut request).await.expect("a line");
            let sequence = register.state().map_or(0, |state| state.sequence().0);
            notes.lock().expect("no panic").push((request.trim().to_owned(), sequence));
            stream.write_all(b"{\"ended\":1}\n").await.expect("they listen");
        }
    });
    (path, asked)
}

#[tokio::test]
async fn an_owner_switches_on_and_off_and_the_proxy_hears_of_off_first() {
    let mut office = Office::open();
    let directory = tempfile::tempdir().expect("a directory");
    let (socket, asked) = proxy(&office, directory.path());
    office.acts.sockets = vec![socket];
    let acts = office.owner_acts();
    let on = acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Read, None).await.expect("she may");
    assert_eq!((on.mode, on.set_by, on.sequence), (Mode::Standing, By::Owner(OLGA), Sequence(4)));
    assert!(asked.lock().expect("no panic").is_empty(), "a widening goes by the register only");
    while acts.follower().state().sequence() < on.sequence {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let off = acts.set_consent(OLGA, ACME, Mode::Off, Scope::Read, None).await.expect("she may");
    assert_eq!((off.mode, off.sequence), (Mode::Off, Sequence(5)));
    let asked = asked.lock().expect("no panic").clone();
    assert_eq!(asked, [("{\"lock\":{\"customer\":1,\"since\":4}}".to_owned(), 4)], "before the register had it");
    assert_eq!(
        office.story(),
        [
            "intent consent.set - 3",
            "decided consent.set written 4",
            "intent consent.set - 4",
            "decided consent.set written 5"
        ]
    );
    let records = office.records();
    let first = records.first().expect("an intent");
    assert_eq!((first.customer, first.skeleton.owner), (Some(ACME), Some(OLGA.0)));
    assert_eq!(first.values.message.as_deref(), Some("consent.set c1: standing, read, by owner o2"));
    assert_eq!(first.skeleton.event, records.get(1).and_then(|outcome| outcome.skeleton.event.clone()));
}

/// What an owner saw is what they change: on newer consent the same change is not made.
#[tokio::test]
async fn terms_are_not_saved_over_a_switch_that_was_moved_meanwhile() {
    let office = Office::open();
    let acts = office.owner_acts();
    let on = acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Read, None).await.expect("she may");
    let terms = || Revision::Terms(Terms { longest: Duration::from_secs(3600), ..Terms::default() });
    let shorter = acts.revise(OLGA, ACME, on.sequence, terms()).await.expect("nothing came between");
    assert_eq!((shorter.mode, shorter.terms.longest.as_secs()), (Mode::Standing, 3600));
    overtake(&office.acts.register);
    let late = acts.revise(OLGA, ACME, shorter.sequence, terms()).await;
    assert!(matches!(&late, Err(Error::Refused(why)) if why.contains("changed meanwhile")), "{late:?}");
    let state = office.acts.register.state().expect("it verifies");
    assert_eq!(state.customer(ACME).map(|acme| acme.consent.mode), Some(Mode::Off));
    let off = state.customer(ACME).expect("acme").consent.sequence;
    let saved = acts.revise(OLGA, ACME, off, terms()).await.expect("she saw it");
    assert_eq!((saved.mode, saved.set_by), (Mode::Off, By::Owner(OLGA)), "the switch stays where it stood");
}

#[tokio::test]
async fn what_is_refused_is_recorded_and_locks_nobody_out() {
    let world = {
        let mut world = World::with_people();
        world.must(
            By::Operator,
            What::CustomerCreated { layout: Layout::Database },
            Some(crate::grant::world::customer("globex")),
        );
        world
    };
    let globex = CustomerId(4);
    let everybody = [Recipient::Vendor, Recipient::Customer(ACME), Recipient::Customer(globex)];
    let mut office = Office::with(&world, &everybody);
    let directory = tempfile::tempdir().expect("a directory");
    let (socket, asked) = proxy(&office, directory.path());
    office.acts.sockets = vec![socket];
    let acts = office.owner_acts();
    let elsewhere = acts.set_consent(OLGA, globex, Mode::Off, Scope::Read, None).await;
    assert!(matches!(&elsewhere, Err(Error::Refused(why)) if why.contains("not an owner")), "{elsewhere:?}");
    let what = What::ConsentSet { customer: ACME, mode: Mode::Standing, scope: Scope::Read, until: None };
    let widened = office.operator(what, None).await;
    assert!(matches!(&widened, Err(Error::Refused(why)) if why.contains("only the account owner")), "{widened:?}");
    assert!(asked.lock().expect("no panic").is_empty());
    assert_eq!(office.sequence(), 4);
    assert_eq!(office.story(), ["decided consent.set refused 4", "decided consent.set refused 4"]);
}

#[tokio::test]
async fn a_lost_race_is_recorded_and_run_again() {
    let office = Office::open();
    let rival = Register::open(&office.path, trust()).expect("it opens");
    let tried = AtomicU64::new(0);
    let build = |_: &State| {
        if tried.fetch_add(1, Ordering::SeqCst) < 2 {
            overtake(&rival);
        }
        Ok(Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff("joe")) })
    };
    let done = office.acts.act(None, build).await.expect("the third try wins");
    assert_eq!((done.sequence, done.warnings.len()), (Sequence(6), 0));
    assert!(done.state.staff_named("joe").is_some());
    assert_eq!(
        office.story(),
        [
            "intent staff.created - 3",
            "decided staff.created superseded 4",
            "intent staff.created - 4",
            "decided staff.created superseded 5",
            "intent staff.created - 5",
            "decided staff.created written 6",
        ]
    );
    let always = |_: &State| {
        overtake(&rival);
        Ok(Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff("ann")) })
    };
    assert!(matches!(office.acts.act(None, always).await, Err(Error::LostRace(Sequence(14)))));
}

/// Somebody else appends first.
fn overtake(rival: &Register) {
    let state = rival.state().expect("it verifies");
    let what = What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None };
    let (id, place) = (EventId(random(&OsEntropy)), (state.sequence(), state.head()));
    let draft = Draft { by: By::Operator, what, personal: None };
    rival.append(&draft.propose(id, SystemClock.now(), [1; 32], place)).expect("it applies");
}

#[tokio::test]
async fn without_a_record_nothing_widens_and_what_narrows_still_happens() {
    let mut world = World::with_people();
    world.now = SystemClock.now();
    world.consent(Mode::Standing, Scope::Read, None);
    // No keys for acme: its records cannot be sealed, so they cannot be written.
    let office = Office::with(&world, &[Recipient::Vendor]);
    let acts = office.owner_acts();
    let wider = acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Write, None).await;
    assert!(matches!(wider, Err(Error::Log(_))), "{wider:?}");
    assert_eq!(office.sequence(), 4);
    let off = acts.set_consent(OLGA, ACME, Mode::Off, Scope::Read, None).await.expect("off means off");
    assert_eq!((off.mode, office.sequence()), (Mode::Off, 5));
    assert_eq!(office.story(), Vec::<String>::new());
    let again = office.operator(What::OwnerRemoved { owner: OLGA }, None).await.expect("it only narrows");
    assert_eq!(again.warnings.len(), 2, "{:?}", again.warnings);
}

#[tokio::test]
async fn staff_open_a_grant_and_an_owner_ends_it() {
    let office = Office::open();
    let acts = office.owner_acts();
    acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Read, None).await.expect("she may");
    let ends = SystemClock.now().plus(Duration::from_secs(600));
    let what = What::GrantIssued { staff: JANE, customer: ACME, scope: Scope::Read, ends, purpose: Purpose::Question };
    let draft = Draft { by: By::Staff(JANE), what, personal: Some(reason()) };
    let done = office.acts.act(None, |_| Ok(draft.clone())).await.expect("she may");
    let grant = GrantId(done.sequence.0);
    acts.end_grant(OLGA, grant).await.expect("she may");
    let state = office.acts.register.state().expect("it verifies");
    assert!(matches!(state.grant(grant).and_then(|grant| grant.ended), Some((_, By::Owner(OLGA)))));
    let records = office.records();
    let issued = records.get(2).expect("the intent of the grant");
    assert_eq!((issued.values.ticket.as_deref(), issued.skeleton.staff), (Some("SUP-1"), Some(JANE.0)));
    assert_eq!(
        (issued.skeleton.scope.as_deref(), issued.skeleton.purpose.as_deref()),
        (Some("read"), Some("question"))
    );
    let ended = records.get(4).expect("the intent of the end");
    assert_eq!((ended.skeleton.grant, ended.skeleton.owner), (Some(grant.0), Some(OLGA.0)));
}

#[tokio::test]
async fn nobody_acts_for_an_owner_without_the_portals_key() {
    let office = Office::open();
    let draft =
        Draft { by: By::Owner(OLGA), what: What::OwnerCreated { customer: ACME }, personal: Some(owner("oscar")) };
    assert!(matches!(office.acts.act(None, |_| Ok(draft.clone())).await, Err(Error::Bug(_))));
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("32 bytes are a seed");
    let forged = office.acts.act(Some(&other), |_| Ok(draft.clone())).await;
    assert!(matches!(&forged, Err(Error::Refused(why)) if why.contains("not the portal's")), "{forged:?}");
    assert_eq!(office.sequence(), 3);
    assert!(office.acts.act(Some(&portal_key()), |_| Ok(draft.clone())).await.is_ok());
}

#[tokio::test]
async fn without_any_log_only_what_narrows_is_done() {
    let office = Office::open();
    let hands = office.acts.hands();
    let draft = |what, personal| Draft { by: By::Operator, what, personal };
    let joe = draft(What::StaffCreated, Some(staff("joe")));
    let wider = hands.narrow(None, |_| Ok(joe.clone())).await;
    assert!(matches!(&wider, Err(Error::Refused(why)) if why.contains("only what narrows")), "{wider:?}");
    assert_eq!(office.sequence(), 3);
    let gone = draft(What::StaffRemoved { staff: JANE }, None);
    let done = hands.narrow(None, |_| Ok(gone.clone())).await.expect("it only narrows");
    assert!(done.state.staff(JANE).is_some_and(|jane| !jane.active));
    assert_eq!(done.warnings, ["the register has this change, the audit log does not"]);
}

/// Writes into the register's file what no fold accepts.
fn spoil(office: &Office) {
    let connection = rusqlite::Connection::open(&office.path).expect("it opens");
    let event = rusqlite::params![i64::MAX, [9_u8; 16], [1_u8, 2, 3], [0_u8; 32]];
    connection.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, NULL)", event).expect("inserted");
}

#[tokio::test]
async fn off_is_shut_by_the_proxies_before_the_register_is_read_and_says_so_if_it_cannot_be() {
    let mut office = Office::open();
    let directory = tempfile::tempdir().expect("a directory");
    let (socket, asked) = proxy(&office, directory.path());
    let gone = directory.path().join("gone");
    office.acts.sockets = vec![socket.clone(), gone.clone()];
    let acts = office.owner_acts();
    acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Read, None).await.expect("she may");
    let ends = SystemClock.now().plus(Duration::from_secs(600));
    let what = What::GrantIssued { staff: JANE, customer: ACME, scope: Scope::Read, ends, purpose: Purpose::Question };
    let draft = Draft { by: By::Staff(JANE), what, personal: Some(reason()) };
    let grant = GrantId(office.acts.act(None, |_| Ok(draft.clone())).await.expect("she may").sequence.0);
    while acts.follower().state().grant(grant).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The proxy that answers looks at the register, too: it must still verify when it is told.
    let blocked = rusqlite::Connection::open(&office.path).expect("it opens");
    blocked.execute_batch("BEGIN EXCLUSIVE").expect("taken");
    let before = std::time::Instant::now();
    let known = acts.follower().state();
    let off = Draft {
        by: By::Operator,
        what: What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None },
        personal: None,
    };
    let shut = office.acts.hands().shut(&known, None, |_| Ok(off.clone())).await.expect("it narrows");
    assert!(before.elapsed() < Duration::from_secs(1), "nobody waits for a register that is busy");
    assert_eq!(asked.lock().expect("no panic").len(), 1);
    drop((shut, blocked));

    spoil(&office);
    for (ended, lock) in [
        (acts.end_grant(OLGA, grant).await.expect_err("the register is spoilt"), grant.to_string()),
        (
            acts.set_consent(OLGA, ACME, Mode::Off, Scope::Read, None).await.map(drop).expect_err("the same"),
            ACME.to_string(),
        ),
    ] {
        let text = ended.to_string();
        assert!(matches!(ended, Error::Shut { .. }), "{text}");
        let parts = [lock.as_str(), &socket.display().to_string(), &gone.display().to_string(), "mend the register"];
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let wider = acts.set_consent(OLGA, ACME, Mode::Standing, Scope::Write, None).await.expect_err("it only widens");
    assert!(matches!(wider, Error::Broken { .. }), "{wider}");

    office.acts.sockets = vec![gone];
    let nobody = office.owner_acts_after(&acts).end_grant(OLGA, grant).await.expect_err("nobody could be told");
    assert!(matches!(nobody, Error::Open { .. }) && nobody.to_string().contains("access is not shut"), "{nobody}");
}

#[tokio::test]
async fn what_the_known_state_forbids_shuts_nobody_out() {
    let office = Office::open();
    let known = office.acts.register.state().expect("it verifies");
    for what in [What::GrantEnded { grant: GrantId(99) }, What::StaffCreated] {
        let draft = Draft { by: By::Operator, what, personal: None };
        assert!(office.acts.hands().shut(&known, None, |_| Ok(draft.clone())).await.is_none());
    }
}
