//! Decisions by themselves: one `decide()` among many customers and grants, and how long a long register takes to open.
//! Not here: the gate around them, which the other loads measure.

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use portreeve::clock::{SystemClock, Timestamp};
use portreeve::grant::{
    Ask, By, Channel, Decision, Draft, Hours, Layout, Limit, Limits, Locks, Mode, Personal, Purpose, RequestStep,
    Scope, State, Stored, Terms, Trust, What, apply, decide,
};
use portreeve::ids::{CustomerId, EventId, GrantId, OwnerId, RequestId, StaffId};
use portreeve::register::{Follower, Register};
use rusqlite::{Connection, params};

use super::Failed;
use super::samples::Measured;

const CUSTOMERS: u64 = 10_000;
const STAFF: u64 = 100;
const GRANTS: u64 = 100_000;
const DECISIONS: u64 = 1_000_000;
/// 2026-11-21T12:00:00Z.
const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// One round; so many events in the register that is opened.
pub fn run(dir: &Path, events: u64) -> Result<(&'static str, Measured), Failed> {
    let mut book = Book::new();
    book.people()?;
    book.grants(GRANTS)?;
    let decided = decide_ns(&book.state)?;
    drop(book);
    std::fs::create_dir_all(dir)?;
    let (first, again) = open_ms(&dir.join("register.sqlite"), events)?;
    std::fs::remove_dir_all(dir)?;
    Ok(("portreeve", vec![("decide_ns", decided), ("first_open_ms", first), ("open_ms", again)]))
}

/// The mean of many decisions about any of the grants, a third of them under hours in a time zone.
fn decide_ns(state: &State) -> Result<f64, Failed> {
    let (locks, limits) = (Locks::default(), Limits::default());
    let address = IpAddr::from([192, 0, 2, 7]);
    let grants: Vec<_> = state.grants().map(|grant| (grant.staff, grant.customer)).collect();
    // A large odd step: no two neighbours are asked about after each other.
    let pair = |number: u64| grants.get(usize::try_from(number * 7_919 % grants.len() as u64).unwrap_or(0)).copied();
    let since = Instant::now();
    let mut allowed = 0_u64;
    for number in 0..DECISIONS {
        let Some((staff, customer)) = pair(number) else { return Err("there are no grants".into()) };
        let (grant, credential) = (None, Timestamp::NEVER);
        let ask =
            Ask { staff, customer, address, grant, connections: 1, register_read: NOON, credential, locks: &locks };
        if let Decision::Allow(authorized) = decide(state, black_box(&ask), &limits, NOON) {
            allowed += u64::from(authorized.grant() > GrantId(0));
        }
    }
    let took = since.elapsed();
    if allowed == DECISIONS {
        Ok(took.as_nanos() as f64 / DECISIONS as f64)
    } else {
        Err(format!("{allowed} allowed").into())
    }
}

/// How long a register of that many events takes to open for the first time, and later: read, hashed, verified, folded.
/// Most events are requests and what becomes of them: a third of these is signed.
fn open_ms(path: &Path, events: u64) -> Result<(f64, f64), Failed> {
    let mut book = Book::new();
    drop(Register::open(path, book.trust())?);
    let mut file = Connection::open(path)?;
    let write = file.transaction()?;
    {
        let mut event = write.prepare("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut side = write.prepare("INSERT INTO side VALUES (?1, ?2, ?3)")?;
        book.keep = Some(Vec::new());
        book.people()?;
        while book.state.sequence().0 < events {
            book.ask_and_answer()?;
            for (id, stored) in book.keep.iter_mut().flat_map(|kept| kept.drain(..)) {
                let sequence = i64::try_from(stored.sequence.0)?;
                event.execute(params![sequence, id.0, stored.content, stored.hash, stored.signature])?;
                if let Some(row) = stored.side {
                    side.execute(params![sequence, row.salt, row.body])?;
                }
            }
        }
    }
    write.commit()?;
    drop(file);
    // A role's first start verifies every signature; each later one those behind what it saw last.
    let first = start_ms(path, &book)?;
    let again = start_ms(path, &book)?;
    Ok((first, again))
}

fn start_ms(path: &Path, book: &Book) -> Result<f64, Failed> {
    let since = Instant::now();
    let follower = Follower::start(path, book.trust(), &path.with_extension("seen"), Arc::new(SystemClock))?;
    let took = since.elapsed();
    if follower.state().head() == book.state.head() { Ok(took.as_secs_f64() * 1e3) } else { Err("another head".into()) }
}

/// A state that grows, and the events it grows by.
struct Book {
    key: Ed25519KeyPair,
    state: State,
    customers: Vec<(CustomerId, OwnerId)>,
    staff: Vec<StaffId>,
    keep: Option<Vec<(EventId, Stored)>>,
    asked: u64,
}

impl Book {
    fn new() -> Book {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
        let (state, customers, staff) = (State::default(), Vec::new(), Vec::new());
        Book { key, state, customers, staff, keep: None, asked: 0 }
    }

    fn trust(&self) -> Trust {
        Trust { portal_key: self.key.public_key().as_ref().try_into().expect("a public key has 32 bytes") }
    }

    fn fold(&mut self, by: By, what: What, personal: Option<Personal>) -> Result<u64, Failed> {
        let sequence = self.state.sequence().0 + 1;
        let id = EventId(u128::from(sequence).to_be_bytes());
        let place = (self.state.sequence(), self.state.head());
        let mut proposal = Draft { by, what, personal }.propose(id, NOON, [9; 32], place);
        if what.is_signed(by) {
            proposal.sign(&self.key, &self.state.head());
        }
        let trust = self.trust();
        apply(&mut self.state, &proposal.stored, &trust)?;
        if let Some(keep) = &mut self.keep {
            keep.push((id, proposal.stored));
        }
        Ok(sequence)
    }

    /// Customers with an owner each and staff; every third customer allows the hours of a day in a time zone only.
    fn people(&mut self) -> Result<(), Failed> {
        let named = |name: String| Personal { name: Some(name), ..Personal::default() };
        for number in 0..STAFF {
            let personal = Personal { verifier: Some("none".to_owned()), ..named(format!("staff{number}")) };
            let id = StaffId(self.fold(By::Operator, What::StaffCreated, Some(personal))?);
            self.staff.push(id);
        }
        let hours: Hours = "daily 06:00-22:00 Europe/Berlin".parse()?;
        for number in 0..CUSTOMERS {
            let name = format!("customer{number}");
            let (cluster, database) = (Some(format!("c{number}")), Some(name.clone()));
            let personal = Personal { cluster, database, ..named(name) };
            let created = What::CustomerCreated { layout: Layout::Database };
            let customer = CustomerId(self.fold(By::Operator, created, Some(personal))?);
            let personal = Personal { password_hash: Some("none".to_owned()), ..named(format!("owner{number}")) };
            let owner = OwnerId(self.fold(By::Operator, What::OwnerCreated { customer }, Some(personal))?);
            let hours = if number.is_multiple_of(3) { Limit::To(hours) } else { Limit::Free };
            let terms = Terms { hours, ..Terms::default() };
            let (mode, scope, until) = (Mode::Standing, Scope::Write, None);
            let agreed = What::ConsentAgreed { customer, mode, scope, until, terms: terms.bounds() };
            self.fold(By::Owner(owner), agreed, Some(terms.side()).filter(|_| terms.has_side()))?;
            self.customers.push((customer, owner));
        }
        Ok(())
    }

    fn pair(&self, number: u64) -> (CustomerId, OwnerId, StaffId) {
        let at = |length: u64, number: u64| usize::try_from(number % length).unwrap_or(0);
        let (customer, owner) = *self.customers.get(at(CUSTOMERS, number)).expect("there are so many customers");
        let staff = *self.staff.get(at(STAFF, number / CUSTOMERS)).expect("there are so many staff");
        (customer, owner, staff)
    }

    /// So many grants that live, of different pairs.
    fn grants(&mut self, count: u64) -> Result<(), Failed> {
        for number in 0..count {
            let (customer, _, staff) = self.pair(number);
            let (scope, purpose, ends) = (Scope::Read, Purpose::Fault, NOON.plus(Duration::from_secs(3600)));
            let issued = What::GrantIssued { staff, customer, scope, ends, purpose };
            self.fold(By::Staff(staff), issued, Some(texts()))?;
        }
        Ok(())
    }

    /// A request, its approval, which an owner signs, and the end of the grant.
    fn ask_and_answer(&mut self) -> Result<(), Failed> {
        let (customer, owner, staff) = self.pair(self.asked);
        self.asked += 1;
        let (scope, lasting, purpose, channel) =
            (Scope::Read, Duration::from_secs(3600), Purpose::Fault, Channel::Mail);
        let start_by = NOON.plus(Duration::from_secs(86_400));
        let opened = What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel };
        let request = RequestId(self.fold(By::Staff(staff), opened, Some(texts()))?);
        let step = RequestStep::Approved { scope, lasting };
        let grant = GrantId(self.fold(By::Owner(owner), What::Request { request, step }, None)?);
        self.fold(By::Staff(staff), What::GrantEnded { grant }, None)?;
        Ok(())
    }
}

fn texts() -> Personal {
    let some = |text: &str| Some(text.to_owned());
    let (reason, necessity) = (some("invoices show wrong totals"), some("the totals are in the rows"));
    Personal { reason, necessity, ticket: some("SUP-1"), ..Personal::default() }
}
