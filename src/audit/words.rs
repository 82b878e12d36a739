//! What a search may ask of skeletons, as words: who acted in which session, relations, SQLSTATEs. The words of many records
//! together say what none of them holds.
//! Not here: how they are sealed and where they stand (`log/blocks.rs`), what is asked (`log/search.rs`), and what there is of
//! texts (`pieces.rs`).
//! FORMAT.md, "Blocks".

use std::collections::BTreeSet;

use crate::audit::record::{Preamble, Skeleton};
use crate::ids::SessionId;

/// The shortest content: so that few words look like none.
const CONTENT_BYTES_MIN: usize = 256;
/// The longest that is read, far above what is written.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// A staff member acted in a session.
    Act {
        /// The session, as [`session`] gives it.
        session: u64,
        /// The staff member's number.
        staff: u64,
    },
    /// Something was in a session, of no staff member.
    Session(u64),
    /// A staff member acted, in no session.
    Staff(u64),
    /// A relation is named, as [`relation`] gives it.
    Relation(u64),
    /// There is an SQLSTATE, as [`state`] gives it.
    State(u64),
}

/// A session as a number.
pub fn session(session: SessionId) -> u64 {
    u64::from_le_bytes(session.0)
}

/// A relation's name as a number, upper and lower case alike in ASCII.
pub fn relation(name: &str) -> u64 {
    digest(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// An SQLSTATE as a number.
pub fn state(code: &str) -> u64 {
    digest(code.bytes())
}

/// FNV-1a, 64 bits: it is sealed, so it need only be quick. Who makes two names alike makes a search read more.
fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The words of one record, all its frames included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Apart, as most records have this one and no other, which then takes no memory elsewhere.
    act: Option<Word>,
    more: Vec<Word>,
}

impl Words {
    /// Those of a skeleton, behind the preamble of its session.
    pub fn of(skeleton: &Skeleton, preamble: Option<&Preamble>) -> Words {
        let shared = preamble.map(Preamble::skeleton);
        let session = skeleton.session.or_else(|| shared?.session);
        let staff = skeleton.staff.or_else(|| shared?.staff);
        let mut words = Words { act: act(session, staff), more: Vec::new() };
        shared.into_iter().chain([skeleton]).for_each(|own| words.add(own));
        for further in skeleton.further.iter().flatten() {
            let act = act(further.session.or(session), further.staff.or(staff));
            words.more.extend(act.filter(|_| act != words.act));
            words.add(further);
        }
        words
    }

    fn add(&mut self, own: &Skeleton) {
        for name in own.relations.iter().flatten() {
            self.more.push(Word::Relation(relation(name)));
            self.more.extend(name.rsplit_once('.').map(|(_, last)| Word::Relation(relation(last))));
        }
        self.more.extend(own.sqlstate.as_deref().map(|code| Word::State(state(code))));
    }

    /// Who acted in which session, of all its frames or the first.
    pub fn act(&self) -> Option<Word> {
        self.act
    }

    /// All others, some perhaps several times.
    pub fn more(&self) -> &[Word] {
        &self.more
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Word> {
        self.act.into_iter().chain(self.more.iter().copied())
    }
}

fn act(session: Option<SessionId>, staff: Option<u64>) -> Option<Word> {
    match (session.map(self::session), staff) {
        (Some(session), Some(staff)) => Some(Word::Act { session, staff }),
        (Some(session), None) => Some(Word::Session(session)),
        (None, Some(staff)) => Some(Word::Staff(staff)),
        (None, None) => None,
    }
}

impl Word {
    /// The session, if it is of one.
    pub fn session(self) -> Option<u64> {
        match self {
            Word::Act { session, .. } | Word::Session(session) => Some(session),
            Word::Staff(_) | Word::Relation(_) | Word::State(_) => None,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let (kind, first, second) = match self {
            Word::Act { session, staff } => (1, session, Some(staff)),
            Word::Session(session) => (2, session, None),
            Word::Staff(staff) => (3, staff, None),
            Word::Relation(name) => (4, name, None),
            Word::State(code) => (5, code, None),
        };
        out.push(kind);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend(second.iter().flat_map(|second| second.to_le_bytes()));
    }

    /// The word at the front, and what follows it.
    fn read(bytes: &[u8]) -> Option<(Word, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (first, rest) = number(rest)?;
        Some(match kind {
            1 => {
                let (staff, rest) = number(rest)?;
                (Word::Act { session: first, staff }, rest)
            }
            2 => (Word::Session(first), rest),
            3 => (Word::Staff(first), rest),
            4 => (Word::Relation(first), rest),
            5 => (Word::State(first), rest),
            _ => return None,
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// Words as a block's content: in their order, then zeros, so that the length with the byte that sealing adds is a power of
/// two and tells no more than that.
pub fn to_content(words: &BTreeSet<Word>) -> Vec<u8> {
    let mut content = Vec::with_capacity(CONTENT_BYTES_MIN);
    words.iter().for_each(|word| word.write(&mut content));
    pad(&mut content);
    content
}

/// Zeros behind a block's content, so that its length with the byte that sealing adds is a power of two.
pub(super) fn pad(content: &mut Vec<u8>) {
    content.resize((content.len() + 1).next_power_of_two().max(CONTENT_BYTES_MIN) - 1, 0);
}

/// The words of a block's content. None: it is none, or is not written as it must be.
pub fn from_content(content: &[u8]) -> Option<BTreeSet<Word>> {
    if content.len() > CONTENT_BYTES_MAX {
        return None;
    }
    let (mut words, mut rest) = (BTreeSet::new(), content);
    while rest.first().is_some_and(|kind| *kind != 0) {
        let (word, behind) = Word::read(rest)?;
        if words.last().is_some_and(|last| *last >= word) {
            return None;
        }
        words.insert(word);
        rest = behind;
    }
    let is_padded = rest.iter().all(|byte| *byte == 0) && to_content(&words).len() == content.len();
    is_padded.then_some(words)
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
