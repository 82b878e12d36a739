//! Whatever blocks there are, a search gives what it gives without them, and opens less.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::super::batch::Item;
use super::super::blocks::{self, Blocks, InTurn};
use super::super::fixture::{NOON, SetClock, signing};
use super::super::open::{DataKeys, open};
use super::super::reader::{Content, Reader};
use super::super::search::{self, Found};
use super::super::start::Ready;
use super::super::stream::{Prepared, Watch, Window, prepare};
use super::super::upkeep::Upkeep;
use super::super::writer::Writer;
use super::super::{Claim, Epoch, Log, Settings, item};
use super::*;
use crate::audit::keys::{
    Part, Recipient, RecipientKey, Recipients, SealedDataKey, TagKey, generate_key_pair, open_data_key,
};
use crate::audit::record::{Bind, Preamble, Record, Skeleton, Values};
use crate::audit::tag::{Tagger, Tags};
use crate::audit::words::Words;
use crate::clock::{Clock, Timestamp};
use crate::disk::crashing::Random;
use crate::disk::{Lock, RealDisk};
use crate::entropy::OsEntropy;
use crate::ids::{CustomerId, SessionId, StaffId};
use crate::secret::Secret;

const TABLES: [&str; 5] = ["contacts", "public.contacts", "public.Orders", "crm.orders", "t"];
const STATES: [&str; 3] = ["42P01", "57014", "23505"];

/// A log whose threads' turns the test takes.
struct Hand {
    writer: Writer,
    upkeep: Upkeep,
    log: Log,
    _lock: Box<dyn Lock>,
}

impl Hand {
    /// Writes them in one batch.
    fn write(&mut self, items: Vec<Item>) {
        assert!(self.writer.turn(items), "the log works");
    }

    /// Forgets all data keys, as if they had grown old.
    fn retire(&self) {
        let mut sealing = self.log.0.shared.sealing().expect("nobody panicked");
        sealing.sealer.retire(Instant::now() + Duration::from_secs(3600));
    }

    /// The log's last word.
    fn close(mut self) {
        let shared = Arc::clone(&self.log.0.shared);
        self.log.close().expect("closed");
        while let super::super::shared::Work::Write = shared.next_work(Duration::ZERO) {
            assert!(self.writer.turn(Vec::new()));
        }
        assert!(self.upkeep.turn(true));
    }
}

/// A log of many customers, and every private key.
struct World {
    dir: tempfile::TempDir,
    recipients: Recipients,
    clock: Arc<SetClock>,
    private: HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>,
    segment_bytes: u64,
    epoch: Epoch,
    opened: RefCell<HashMap<u64, [u8; 32]>>,
}

/// What a search opened and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    requests: usize,
    keys: usize,
    leaves: usize,
}

impl World {
    fn new(customers: u64) -> World {
        let (recipients, mut private) = (Recipients::new(), HashMap::new());
        let all = (1..=customers).map(|number| Recipient::Customer(CustomerId(number))).chain([Recipient::Vendor]);
        for recipient in all {
            recipients.set_tag(recipient, TagKey(Secret::new(*generate_key_pair().1.expose())));
            for part in Part::ALL {
                let (public, secret) = generate_key_pair();
                let period = recipient.period(NOON);
                recipients.set(RecipientKey { recipient, part, period, public, signature: [0; 64] });
                private.insert((recipient, part, period), secret);
            }
        }
        let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(SetClock(AtomicI64::new(NOON.0))));
        let epoch = Epoch { age: Duration::from_secs(900), bytes: 64 << 20 };
        World { dir, recipients, clock, private, segment_bytes: 32 << 10, epoch, opened: RefCell::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("w")
    }

    fn open(&self) -> Hand {
        let settings =
            Settings { segment_bytes: self.segment_bytes, reserve_bytes: 0, ..Settings::new("w", signing(3)) };
        let settings = Settings { epoch: self.epoch, ..settings };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let recipients = self.recipients.clone();
        let ready = Ready::open(Arc::new(RealDisk), &self.path(), settings, recipients, clock, Arc::new(OsEntropy));
        let (log, writer, upkeep, lock) = ready.expect("it opens").by_hand();
        Hand { writer, upkeep, log, _lock: lock }
    }

    fn item(&self, record: &Record, preamble: Option<&Preamble>) -> Item {
        item(record, preamble, Claim::NONE, &self.recipients, self.clock.as_ref()).expect("there are keys")
    }

    /// As the keyring does.
    fn unseal(&self, key: &SealedDataKey) -> Secret<[u8; 32]> {
        let mut opened = self.opened.borrow_mut();
        Secret::new(*opened.entry(key.position).or_insert_with(|| {
            let private = self.private.get(&(key.recipient, key.part, key.period)).expect("a key");
            *open_data_key(private, key).expect("it opens").expose()
        }))
    }

    fn query(query: &Query) -> Query {
        Query { pinned: [("portreeve/w".to_owned(), signing(3).public())].into(), ..query.clone() }
    }

    async fn prepared(&self, query: &Query) -> (Prepared, Cost) {
        let (cost, watch) = (Cell::new(Cost::default()), Arc::new(Watch::default()));
        let opener = async |keys: Vec<SealedDataKey>| {
            let Cost { requests, keys: before, .. } = cost.get();
            cost.set(Cost { requests: requests + 1, keys: before + keys.len(), leaves: 0 });
            Ok::<_, std::fmt::Error>(keys.iter().map(|key| self.unseal(key)).collect())
        };
        let prepared = prepare(&[self.path()], &World::query(query), &self.recipients, &watch, opener).await;
        let prepared = prepared.expect("readable");
        let leaves: HashSet<u64> = prepared
            .logs
            .iter()
            .flat_map(|log| prepared.records(log))
            .map(|found| found.expect("read").position)
            .collect();
        (prepared, Cost { leaves: leaves.len(), ..cost.get() })
    }

    async fn search(&self, query: &Query) -> Vec<Found> {
        let opener = async |keys: Vec<SealedDataKey>| {
            Ok::<_, std::fmt::Error>(keys.iter().map(|key| self.unseal(key)).collect())
        };
        let found = search::search(&[self.path()], &World::query(query), &self.recipients, opener).await;
        found.expect("readable")
    }

    /// What is found, by a search and by a stream, and what that cost.
    async fn found(&self, query: &Query) -> (Vec<Found>, Vec<Found>, Cost) {
        self.found_within(query, 24).await
    }

    async fn found_within(&self, query: &Query, records: usize) -> (Vec<Found>, Vec<Found>, Cost) {
        let (mut prepared, cost) = self.prepared(query).await;
        prepared.window = Window { records, bytes: 8 << 20 };
        let streamed = prepared.stream().collect::<Result<_, _>>().expect("readable");
        (self.search(query).await, streamed, cost)
    }

    fn blocks(&self) -> Vec<PathBuf> {
        let names = std::fs::read_dir(self.path()).expect("listed").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "blocks")).collect();
        files.sort();
        files
    }
}

/// A session as a proxy would keep it.
struct Session {
    id: SessionId,
    customer: Option<CustomerId>,
    preamble: Preamble,
    frame: u64,
    kind: Kind,
}

/// What a random life of a log writes.
struct Life<'a> {
    world: &'a World,
    random: Random,
    sessions: Vec<Session>,
    /// Statements without an outcome: session, frame, customer, kind.
    pending: VecDeque<(SessionId, u64, Option<CustomerId>)>,
    /// Whether some have two.
    twice: bool,
    ended: Vec<SessionId>,
    items: Vec<Item>,
}

impl Life<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize]
    }

    fn begin(&mut self) {
        let (mut id, customers) = ([0; 8], self.world.private.len() as u64 / 2 - 1);
        id.copy_from_slice(&self.random.next().to_le_bytes());
        let customer = self.random.chance(90).then(|| CustomerId(1 + self.random.below(customers)));
        let staff = self.random.chance(95).then(|| 1 + self.random.below(4));
        let skeleton = Skeleton { staff, ..Skeleton::default() };
        let record = Record { skeleton, ..Record::new(NOON, Kind::Statement, customer) };
        let kind = if self.random.chance(85) { Kind::Statement } else { Kind::Desk };
        self.sessions.push(Session { id: SessionId(id), customer, preamble: Preamble::of(&record), frame: 0, kind });
    }

    fn own(&mut self) -> Skeleton {
        let mut own = Skeleton::default();
        if self.random.chance(60) {
            own.relations = Some((0..=self.random.below(2)).map(|_| self.pick(&TABLES).to_owned()).collect());
        }
        own
    }

    /// Few of them are alike; some say what most do not.
    fn text(&mut self) -> String {
        let filling = "x".repeat(self.random.below(300) as usize);
        match self.random.below(12) {
            0 => format!("DELETE FROM \"Straße\" WHERE id = {}", self.random.below(5000)),
            1 => format!("UPDATE t SET at = '5 \u{212a}' -- {filling}"),
            2 => format!("{filling} SELECT {}", self.random.below(50)),
            _ => filling,
        }
    }

    fn binds(&mut self) -> Vec<Bind> {
        let (number, format) = (self.random.below(3000) as i32, self.random.below(2) as u16);
        let value = if format == 1 { number.to_be_bytes().to_vec() } else { number.to_string().into_bytes() };
        vec![Bind { type_oid: 23, format, value: Some(value) }, Bind { type_oid: 25, format: 0, value: None }]
    }

    fn statement(&mut self) {
        if self.sessions.is_empty() {
            self.begin();
        }
        let which = self.random.below(self.sessions.len() as u64) as usize;
        let mut skeleton = self.own();
        let further = if self.random.chance(20) { 1 + self.random.below(2) } else { 0 };
        let further: Vec<Skeleton> = (0..further).map(|_| self.own()).collect();
        let text = self.text();
        let binds = self.random.chance(30).then(|| self.binds());
        let frame_text = self.random.below(9);
        let session = &mut self.sessions[which];
        let mut next = || {
            session.frame += 1;
            self.pending.push_back((session.id, session.frame, session.customer));
            Some(session.frame)
        };
        (skeleton.session, skeleton.frame) = (Some(session.id), next());
        let values = Values { text: Some(text.into_bytes()), binds, ..Values::default() };
        let mut record =
            Record { skeleton, values, ..Record::new(self.world.clock.now(), session.kind, session.customer) };
        for own in further {
            let text = frame_text.is_multiple_of(3).then(|| format!("ROLLBACK TO s{frame_text}").into_bytes());
            record.add(Skeleton { frame: next(), ..own }, Values { text, ..Values::default() });
        }
        self.items.push(self.world.item(&record, Some(&session.preamble)));
    }

    /// Of any statement, most often one of the oldest; with or without its staff member; some twice.
    fn outcome(&mut self) {
        let oldest = self.random.below(1 + self.pending.len() as u64 / 3) as usize;
        let Some((id, frame, customer)) = self.pending.get(oldest).copied() else { return };
        if !self.twice || self.random.chance(92) {
            self.pending.remove(oldest);
        }
        let mut record = Record::new(self.world.clock.now(), Kind::Outcome, customer);
        (record.skeleton.session, record.skeleton.frame) = (Some(id), Some(frame));
        record.skeleton.sqlstate = self.random.chance(25).then(|| self.pick(&STATES).to_owned());
        record.values.message = self.random.chance(10).then(|| "it is in doubt".to_owned());
        let preamble = self.sessions.iter().find(|session| session.id == id).map(|session| &session.preamble);
        let preamble = preamble.filter(|_| self.random.chance(50));
        self.items.push(self.world.item(&record, preamble));
    }

    fn refusal(&mut self) {
        let customer = self.random.chance(70).then(|| CustomerId(1 + self.random.below(3)));
        let mut record = Record::new(self.world.clock.now(), Kind::Refused, customer);
        record.skeleton.staff = self.random.chance(70).then(|| 1 + self.random.below(4));
        record.skeleton.sqlstate = self.random.chance(50).then(|| self.pick(&STATES).to_owned());
        self.items.push(self.world.item(&record, None));
    }

    fn flush(&mut self, hand: &mut Hand) {
        hand.write(std::mem::take(&mut self.items));
    }

    fn step(&mut self, hand: &mut Hand) {
        match self.random.below(100) {
            0..=43 => self.statement(),
            44..=76 => self.outcome(),
            77..=80 => self.refusal(),
            81..=84 => self.begin(),
            85..=89 if self.sessions.len() > 1 => self.ended.push(self.sessions.remove(0).id),
            90..=93 => {
                let step = self.random.below(400_000_000) as i64 - 60_000_000;
                self.world.clock.0.fetch_add(step, Ordering::Relaxed);
            }
            94 => hand.retire(),
            95 => assert!(hand.upkeep.turn(false)),
            _ => self.flush(hand),
        }
        if self.items.len() > 6 {
            self.flush(hand);
        }
    }

    /// All sorts, most of them of what blocks tell.
    fn query(&mut self) -> Query {
        let sessions: Vec<SessionId> =
            self.sessions.iter().map(|session| session.id).chain(self.ended.clone()).collect();
        let kinds = [
            vec![],
            vec![Kind::Statement],
            vec![Kind::Outcome],
            vec![Kind::Statement, Kind::Outcome],
            vec![Kind::Refused, Kind::Desk],
        ];
        let kinds = kinds[self.random.below(5) as usize].clone();
        let mut query = Query { kinds, ..Query::default() };
        let end = self.world.clock.now().0 - NOON.0;
        let at = |random: &mut Random| Some(Timestamp(NOON.0 + random.below(end.max(1) as u64) as i64));
        let random = &mut self.random;
        query.since = random.chance(20).then(|| at(random)).flatten();
        query.until = random.chance(20).then(|| at(random)).flatten();
        query.staff = random.chance(45).then(|| StaffId(1 + random.below(5)));
        query.session = random.chance(20).then(|| sessions[random.below(sessions.len() as u64) as usize]);
        query.table = random
            .chance(35)
            .then(|| ["orders", "CONTACTS", "crm.orders", "none"][random.below(4) as usize].to_owned());
        query.sqlstate = random.chance(35).then(|| STATES[random.below(3) as usize].to_owned());
        query.customer = random.chance(25).then(|| CustomerId(1 + random.below(3)));
        query.text = random.chance(30).then(|| match random.below(9) {
            0 => "xxxxxxxx".to_owned(),
            1 => "delete FROM".to_owned(),
            2 => "STRASSE".to_owned(),
            3 => "straße\" w".to_owned(),
            4 => "5 k'".to_owned(),
            5 => "to S3".to_owned(),
            6 => "in doubt".to_owned(),
            _ => random.below(3000).to_string(),
        });
        query.limit = if random.chance(20) { 1 + random.below(9) as usize } else { 0 };
        query
    }
}

/// What the runs had in them.
#[derive(Debug, Default)]
struct Tally {
    queries: usize,
    found: usize,
    narrowed: usize,
    left_out: usize,
}

async fn run(seed: u64, tally: &mut Tally) {
    let mut world = World::new(6);
    let random = Random(seed);
    world.epoch.bytes = [700, 64 << 20][(seed % 2) as usize];
    let (sessions, pending, ended, items) = (Vec::new(), VecDeque::new(), Vec::new(), Vec::new());
    // Which of two outcomes a stream shows depends on what it holds.
    let twice = seed % 4 < 2;
    let mut life = Life { world: &world, random, sessions, pending, twice, ended, items };
    let held = if twice { 4096 } else { 24 };
    for restart in 0..3 {
        let mut hand = world.open();
        for _ in 0..140 {
            life.step(&mut hand);
        }
        life.flush(&mut hand);
        match restart {
            // As if the power had gone.
            0 => drop(hand),
            1 => hand.close(),
            _ => assert!(hand.upkeep.turn(false), "it goes on"),
        }
    }
    check_blocks(&world);
    let queries: Vec<Query> = (0..30).map(|_| life.query()).collect();
    let mut with = Vec::new();
    for query in &queries {
        with.push(world.found_within(query, held).await);
    }
    let files = world.blocks();
    assert!(files.len() > 3, "seed {seed}: {files:?}");
    files.iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    for (query, (found, streamed, cost)) in queries.iter().zip(with) {
        let (expected, expected_streamed, whole) = world.found_within(query, held).await;
        assert!(found == expected, "seed {seed}, {query:?}: {} of {}", found.len(), expected.len());
        assert!(streamed == expected_streamed, "seed {seed}, {query:?}, streamed");
        assert!(whole.requests <= 1 && cost.requests <= 2, "{cost:?}");
        tally.queries += 1;
        tally.found += usize::from(!found.is_empty());
        tally.narrowed += usize::from(cost.requests == 2 || cost.keys < whole.keys);
        tally.left_out += whole.leaves - cost.leaves;
    }
}

/// Each block tells the words of just those records that stand where it says.
fn check_blocks(world: &World) {
    let reader = Reader::open(&world.path()).expect("readable");
    let mut tags = Tags::new(&world.recipients, reader.origin());
    let mut keys = DataKeys::new();
    for sealed in reader.sealed_data_keys(&mut tags).expect("read") {
        keys.insert(sealed.position, &world.unseal(&sealed));
    }
    let mut in_turn = InTurn::of(&reader, signing(3).public());
    let (mut expected, mut told, mut texts) = (BTreeMap::new(), BTreeMap::new(), 0);
    for entry in reader.entries() {
        let entry = entry.expect("whole");
        let place = entry.descriptor.place;
        let Content::Record { .. } = entry.content else { continue };
        let blocks = in_turn.of_segment(place.segment);
        let block = blocks.and_then(|blocks| blocks.of(&place.tag)).filter(|block| place.position >= block.from);
        let Some(block) = block else { continue };
        let key = keys.get(block.key).expect("its data key stands in the log");
        told.insert(block.tag, block.open(reader.origin(), place.segment, key).expect("it opens"));
        let recipient = entry.recipient(&mut tags).expect("recognised");
        let opened = open(reader.origin(), &entry, recipient, &keys).expect("it opens");
        expected.entry(block.tag).or_insert_with(BTreeSet::new).extend(Words::of(&opened.record.skeleton, None).all());
        let key = block.texts.as_ref().map_or(0, |texts| texts.key);
        let bits = keys.get(key).and_then(|key| block.open_texts(reader.origin(), place.segment, key)).expect("bits");
        let text = opened.record.values.text.unwrap_or_default();
        if let Some(sought) = pieces::Sought::of(&String::from_utf8_lossy(&text).to_lowercase()) {
            assert!(bits.may_hold(&sought), "position {}", place.position);
            texts += 1;
        }
    }
    assert!(texts > 8, "{texts}");
    assert!(told.len() > 8 && told == expected);
}

/// `NARROW_SEED` runs one again, `NARROW_SEEDS` says how many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_by_blocks_gives_what_reading_everything_gives() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let seeds = match number("NARROW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NARROW_SEEDS").unwrap_or(4),
    };
    let mut tally = Tally::default();
    for seed in seeds {
        run(seed, &mut tally).await;
    }
    assert!(tally.found * 3 > tally.queries && tally.narrowed * 4 > tally.queries && tally.left_out > 0, "{tally:?}");
}

/// Many customers, few of whom one staff member acted for; each has a session of its own in each round.
async fn rounds(world: &World, rounds: u64, customers: u64) -> Hand {
    let mut hand = world.open();
    for round in 0..rounds {
        for customer in 1..=customers {
            let mut id = [0; 8];
            id.copy_from_slice(&(1000 * round + customer).to_le_bytes());
            let staff = if round == 1 && customer < 3 { 1 } else { 2 + customer % 3 };
            let statement = |frame, kind| {
                let mut record = Record::new(
                    Timestamp(NOON.0 + (1000 * round + 10 * customer + frame) as i64),
                    kind,
                    Some(CustomerId(customer)),
                );
                (record.skeleton.session, record.skeleton.frame) = (Some(SessionId(id)), Some(frame));
                record.skeleton.staff = (kind == Kind::Statement).then_some(staff);
                record
            };
            let mut items = Vec::new();
            for frame in 1..4 {
                items.push(world.item(&statement(frame, Kind::Statement), None));
                items.push(world.item(&statement(frame, Kind::Outcome), None));
            }
            hand.write(items);
            assert!(hand.upkeep.turn(false));
        }
    }
    hand
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_one_staff_member_opens_little_of_many_customers() {
    let mut world = World::new(24);
    (world.segment_bytes, world.epoch.bytes) = (1 << 20, 4 << 10);
    rounds(&world, 24, 24).await.close();
    let query = Query { staff: Some(StaffId(1)), ..Query::default() };
    let (found, streamed, cost) = world.found(&query).await;
    assert_eq!((found.len(), &streamed), (6, &found));
    assert!(found.iter().all(|found| found.outcome.is_some()), "they have their outcomes");
    world.blocks().iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    let (expected, _, whole) = world.found(&query).await;
    assert_eq!(found, expected);
    // Without: two data keys for each customer, segment and epoch, and every leaf. With: one for each customer and segment,
    // and those of what is read.
    println!("with blocks: {cost:?}; without: {whole:?}");
    assert!(cost.requests == 2 && cost.keys * 3 < whole.keys, "{cost:?} {whole:?}");
    assert!(cost.leaves * 20 < whole.leaves, "{cost:?} {whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_a_text_opens_little_where_few_have_it() {
    let mut world = World::new(24);
    (world.segment_bytes, world.epoch.bytes) = (1 << 20, 4 << 10);
    let mut hand = world.open();
    for round in 0..24_u64 {
        for customer in 1..=24 {
            let statement = |frame: u64| {
                let mut record = Record::new(NOON, Kind::Statement, Some(CustomerId(customer)));
                let mut id = [0; 8];
                id.copy_from_slice(&(100 * round + customer).to_le_bytes());
                (record.skeleton.session, record.skeleton.frame) = (Some(SessionId(id)), Some(frame));
                let table = if (round, customer, frame) == (7, 5, 2) { "Invoices_2019" } else { "contacts" };
                record.values.text =
                    Some(format!("SELECT * FROM {table} WHERE id = {}", 7 * round + frame).into_bytes());
                world.item(&record, None)
            };
            hand.write((1..6).map(statement).collect());
            assert!(hand.upkeep.turn(false));
        }
    }
    hand.close();
    let query = Query { text: Some("from invoices".to_owned()), ..Query::default() };
    let (found, streamed, cost) = world.found(&query).await;
    assert_eq!((found.len(), &streamed), (1, &found));
    let nothing = Query { text: Some("from invoices_2020".to_owned()), ..Query::default() };
    let (none, _, cost_of_nothing) = world.found(&nothing).await;
    assert_eq!(none, []);
    let with_other_keys = Recipients::new();
    world.recipients.tags().into_iter().for_each(|(whose, key)| {
        with_other_keys.set_tag(whose, TagKey(Secret::new(*key.0.expose())));
    });
    with_other_keys.set_erased(Recipient::Customer(CustomerId(5)), Part::Values, None);
    let opener =
        async |keys: Vec<SealedDataKey>| Ok::<_, std::fmt::Error>(keys.iter().map(|key| world.unseal(key)).collect());
    let left = search::search(&[world.path()], &World::query(&query), &with_other_keys, opener).await.expect("read");
    assert_eq!(left, [], "with the values go their bits");
    world.blocks().iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    let (expected, _, whole) = world.found(&query).await;
    assert_eq!(found, expected);
    println!("with bits: {cost:?}, {cost_of_nothing:?} for what is not there; without: {whole:?}");
    assert!(cost.leaves * 5 < whole.leaves && cost_of_nothing.leaves < cost.leaves, "{cost:?} {whole:?}");
    assert!(cost.requests == 2 && cost_of_nothing.requests <= 2, "{cost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_gone_changed_or_of_something_else_are_passed_over() {
    let (world, other) = (World::new(4), World::new(4));
    for world in [&world, &other] {
        rounds(world, 6, 4).await.close();
    }
    let query = Query { staff: Some(StaffId(1)), ..Query::default() };
    let (expected, _, told) = world.found(&query).await;
    assert_eq!(expected.len(), 6);
    let files = world.blocks();
    let images: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).expect("read")).collect();
    let theirs = std::fs::read(&other.blocks()[1]).expect("read");
    let (path, image) = (&files[1], &images[1]);
    let flipped = |at: usize| {
        let mut changed = image.clone();
        changed[at] ^= 0x20;
        changed
    };
    let mut cases: Vec<Vec<u8>> = (0..image.len()).step_by(image.len() / 16).map(flipped).collect();
    cases.extend([image[..image.len() / 2].to_vec(), Vec::new(), [image.as_slice(), &[0]].concat()]);
    cases.extend([
        images[2].clone(),
        theirs,
        Blocks::parse(image, &signing(3).public()).expect("whole").to_bytes(&signing(4)),
    ]);
    for (number, bytes) in cases.into_iter().enumerate() {
        std::fs::write(path, bytes).expect("written");
        let (found, streamed, cost) = world.found(&query).await;
        assert!(found == expected && streamed == expected, "case {number}");
        assert!(cost.leaves >= told.leaves, "{cost:?}");
    }
    // The log's own key signed it, and what is in it is of another place: it does not open.
    let blocks = Blocks::parse(image, &signing(3).public()).expect("whole");
    let swapped = blocks::tests::swapped(&blocks).to_bytes(&signing(3));
    std::fs::write(path, swapped).expect("written");
    let (found, ..) = world.found(&query).await;
    assert!(found == expected, "forged");
    for path in &files {
        std::fs::remove_file(path).expect("removed");
        let (found, streamed, _) = world.found(&query).await;
        assert!(found == expected && streamed == expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_not_asked_for_and_what_does_not_open_is_told() {
    let world = World::new(6);
    rounds(&world, 5, 6).await.close();
    let query = Query { staff: Some(StaffId(1)), ..Query::default() };
    let first = Recipient::Customer(CustomerId(1));
    world.recipients.set_erased(first, Part::Values, None);
    world.recipients.set_erased(first, Part::Skeleton, None);
    let (found, _, cost) = world.found(&query).await;
    let whose = |found: &[Found]| found.iter().filter_map(|found| found.record.customer).collect::<HashSet<_>>();
    assert_eq!((found.len(), whose(&found)), (3, HashSet::from([CustomerId(2)])));
    // A keyring that gives other keys.
    let wrong =
        async |keys: Vec<SealedDataKey>| Ok::<_, std::fmt::Error>(keys.iter().map(|_| Secret::new([0; 32])).collect());
    let found = search::search(&[world.path()], &World::query(&query), &world.recipients, wrong).await.expect("found");
    assert!(found.len() > cost.leaves && found.iter().all(|found| found.fault.is_some()), "nothing is left out for it");
}

/// What an erasure leaves of the blocks: nothing that says who did what, and no key.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_of_blocks_opens_with_nothing_that_is_left() {
    let world = World::new(4);
    rounds(&world, 5, 4).await.close();
    let files: Vec<Vec<u8>> = world.blocks().iter().map(|path| std::fs::read(path).expect("read")).collect();
    let reader = Reader::open(&world.path()).expect("readable");
    let sealed = reader.sealed_data_keys(&mut Tags::new(&world.recipients, reader.origin())).expect("read");
    let mut needles: Vec<Vec<u8>> = sealed.iter().map(|key| world.unseal(key).expose().to_vec()).collect();
    needles.extend(world.private.values().map(|key| key.expose().to_vec()));
    needles.extend(world.recipients.tags().iter().map(|(_, key)| key.0.expose().to_vec()));
    let sessions = (1..5_u64).flat_map(|round| (1..5).map(move |customer| 1000 * round + customer));
    needles.extend(sessions.map(|session| session.to_le_bytes().to_vec()));
    let is_in = |needle: &[u8]| files.iter().any(|file| file.windows(needle.len()).any(|window| window == needle));
    let found: Vec<&Vec<u8>> = needles.iter().filter(|needle| is_in(needle)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(files.len() > 2 && needles.len() > 40, "{} in {}", needles.len(), files.len());
    // Customer 1 is erased; what the keyring still opens is everybody else's.
    let erased = Recipient::Customer(CustomerId(1));
    let left: Vec<DataKeys> = sealed
        .iter()
        .filter(|key| key.recipient != erased)
        .map(|key| {
            let mut keys = DataKeys::new();
            keys.insert(key.position, &world.unseal(key));
            keys
        })
        .collect();
    let left = || {
        sealed.iter().filter(|key| key.recipient != erased).zip(&left).filter_map(|(key, keys)| keys.get(key.position))
    };
    let tagger = Tagger::new(&world.recipients.tag(erased).expect("a key"), reader.origin());
    let mut in_turn = InTurn::of(&reader, signing(3).public());
    let mut met = 0;
    for segment in 0..files.len() as u64 {
        let blocks = in_turn.of_segment(segment).expect("there are some");
        let Some(block) = blocks.of(&tagger.tag(segment)) else { continue };
        met += 1;
        assert!(left().all(|key| block.open(reader.origin(), segment, key).is_none()));
        assert!(block.texts.is_some(), "there are bits");
        assert!(left().all(|key| block.open_texts(reader.origin(), segment, key).is_none()));
    }
    assert!(met > 1, "there were blocks of its own");
}

/// An answer that does not fit what was asked is an error in the first request as in the second.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_must_be_answered() {
    let world = World::new(6);
    rounds(&world, 5, 6).await.close();
    let query = World::query(&Query { staff: Some(StaffId(1)), ..Query::default() });
    for answered in [0, 1] {
        let asked = Cell::new(0);
        let few = async |keys: Vec<SealedDataKey>| {
            let is_answered = asked.replace(asked.get() + 1) < answered;
            let keys = if is_answered { keys.as_slice() } else { &[] };
            Ok::<_, std::fmt::Error>(keys.iter().map(|key| world.unseal(key)).collect())
        };
        let few = search::search(&[world.path()], &query, &world.recipients, few).await;
        assert!(matches!(few, Err(search::Error::Keys { given: 0, .. })), "{answered}");
        assert_eq!(asked.get(), answered + 1);
    }
}

/// Words are not read back for writing: what an earlier writer wrote into a segment is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_tells_nothing_of_what_came_before_its_writer() {
    let world = World::new(3);
    drop(rounds(&world, 1, 3).await);
    let hand = world.open();
    let before = hand.log.checkpoint().size - 1;
    drop(hand);
    rounds(&world, 4, 3).await.close();
    let blocks = blocks::read(&RealDisk, &world.path(), 0, &signing(3).public()).expect("there are some");
    let reader = Reader::open(&world.path()).expect("readable");
    let tags: HashSet<[u8; 16]> = reader.leaves().map(|leaf| leaf.expect("whole").place.tag).collect();
    let froms: Vec<u64> = tags.iter().filter_map(|tag| Some(blocks.of(tag)?.from)).collect();
    assert!(froms.len() == blocks.len() && froms.iter().all(|from| *from > before), "{froms:?}, behind {before}");
}
