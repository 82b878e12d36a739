//! What happens while one reads or appends: others have their turn, or the road to the register is cut.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::super::engine::Wake;
use super::super::kept::proposal;
use super::super::sqlite::tests::register_of;
use super::*;
use crate::grant::world::{World, trust};
use crate::grant::{Mode, Scope};

/// The engine of a file, and what comes between.
struct Between {
    engine: Box<dyn Engine>,
    /// Done once, after it was read.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// So many questions more get no answer, though what they want is done.
    cut: Arc<AtomicU32>,
    /// Nothing of it can be reached.
    away: Arc<AtomicBool>,
}

impl Between {
    fn of(engine: Box<dyn Engine>) -> Between {
        Between { engine, meanwhile: None, cut: Arc::default(), away: Arc::default() }
    }

    fn answer<T>(&self, answer: T) -> Result<T, Error> {
        let left = self.cut.load(Ordering::SeqCst);
        self.cut.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 0 { Ok(answer) } else { Err(reset()) }
    }

    fn reach(&mut self) -> Result<&mut dyn Engine, Error> {
        if self.away.load(Ordering::SeqCst) { Err(reset()) } else { Ok(self.engine.as_mut()) }
    }
}

fn reset() -> Error {
    let said = "the connection was reset".to_owned();
    Error::Server { doing: "append to", place: At::from(Path::new("cut")).place(), said }
}

/// The register in that file, until it is away.
pub(in crate::register) fn away(path: &Path) -> (Register, Arc<AtomicBool>) {
    let away = Arc::<AtomicBool>::default();
    let register = between(path, |engine| Between { away: Arc::clone(&away), ..Between::of(engine) });
    (register, away)
}

/// The register in that file; so many answers to what is appended and to what is looked for never come.
pub(in crate::register) fn cut_off(path: &Path) -> (Register, Arc<AtomicU32>) {
    let cut = Arc::<AtomicU32>::default();
    let register = between(path, |engine| Between { cut: Arc::clone(&cut), ..Between::of(engine) });
    (register, cut)
}

fn between(path: &Path, between: impl FnOnce(Box<dyn Engine>) -> Between) -> Register {
    let at = At::from(path);
    let engine = Box::new(between(engine::open(&at).expect("it opens")));
    let open = Mutex::new(Open { engine, state: Arc::default() });
    Register { inner: Arc::new(Inner { place: at.place(), trust: trust(), open }) }
}

impl Engine for Between {
    fn read(&mut self, from: Sequence, each: &mut dyn FnMut(Stored) -> ControlFlow<()>) -> Result<(), Error> {
        let read = self.reach()?.read(from, each);
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        read
    }

    fn append(&mut self, proposals: &[Proposal]) -> Result<bool, Error> {
        let appended = self.reach()?.append(proposals)?;
        self.answer(appended)
    }

    fn watch(&mut self, wake: Wake) -> Result<std::time::Duration, Error> {
        self.engine.watch(wake)
    }

    fn version(&mut self) -> Result<Option<i64>, Error> {
        self.engine.version()
    }

    fn find(&mut self, id: EventId) -> Result<Option<Sequence>, Error> {
        let found = self.reach()?.find(id)?;
        self.answer(found)
    }

    fn remembered(&mut self, log: &str) -> Result<Option<Remembered>, Error> {
        self.engine.remembered(log)
    }

    fn remember(&mut self, log: &str, now: Remembered) -> Result<Option<Remembered>, Error> {
        self.engine.remember(log, now)
    }

    fn erase(&mut self, sides: &[Sequence]) -> Result<Option<u64>, Error> {
        self.engine.erase(sides)
    }

    fn delete(&mut self, side: Sequence) -> Result<(), Error> {
        self.engine.delete(side)
    }

    fn overwrite(&mut self) -> Result<bool, Error> {
        self.engine.overwrite()
    }
}

#[test]
fn what_another_of_the_role_saw_meanwhile_is_no_old_copy_and_stays_noted() {
    let mut world = World::with_people();
    let (directory, path, other) = register_of(&world);
    world.consent(Mode::Off, Scope::Read, None);
    let (seen, event) = (directory.path().join("role/seen"), world.events.last().expect("made").clone());
    let noted = seen.clone();
    // The slow one has seen nothing of it, and what it has seen is not noted yet.
    let meanwhile = move || {
        other.append(&proposal(event)).expect("it applies");
        other.hold_against(&noted).expect("it saw all of it");
    };
    let slow = between(&path, |engine| Between { meanwhile: Some(Box::new(meanwhile)), ..Between::of(engine) });
    slow.hold_against(&seen).expect("it was read before that was noted");
    assert_eq!(Seen::read(&seen).expect("it reads"), Some(Seen::of(&world.state)), "it does not go back");
    slow.hold_against(&seen).expect("and is seen the next time");
}
