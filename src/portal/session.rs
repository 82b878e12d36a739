//! Owners' browser sessions: random ids that only the browser holds, kept here as digests, in memory, with an end.
//! Not here: how an owner proves who they are (`sign_in`). Nothing survives a restart, on purpose.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::entropy::{Entropy, random};
use crate::ids::OwnerId;
use crate::secret::Secret;

/// The cookie's name: the prefix makes browsers insist on Secure, Path=/ and no Domain.
pub const COOKIE: &str = "__Host-portreeve";
/// However busy, a session ends after this.
pub const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Unused, a session ends after this.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// Sessions one owner may hold at once; the one unused longest makes room.
const PER_OWNER: usize = 8;

type Digest = [u8; 32];

/// SHA-256, as sessions and tokens are kept.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// What the next page says first, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The switch is off.
    SwitchedOff,
    /// The switch is on, as chosen.
    SwitchedOn,
    /// A session was ended.
    SessionEnded,
    /// The session had already ended.
    SessionGone,
    /// A grant was ended.
    GrantEnded,
    /// A request was approved.
    RequestApproved,
    /// A request was denied.
    RequestDenied,
    /// Something was asked about a request.
    RequestAskedBack,
    /// The terms were set.
    TermsSaved,
    /// A doubt was answered.
    DoubtAnswered,
}

struct Session {
    owner: OwnerId,
    /// Digest of the password hash it was opened with: another password ends it.
    credential: Digest,
    opened: Timestamp,
    used: Timestamp,
    csrf: String,
    notice: Option<Notice>,
}

impl Session {
    fn alive(&self, now: Timestamp) -> bool {
        now < self.opened.plus(LIFE) && now < self.used.plus(IDLE)
    }
}

/// A session as found by its cookie.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whose.
    pub owner: OwnerId,
    /// Digest of the password hash it was opened with.
    pub credential: [u8; 32],
    /// What each form of this session must carry.
    pub csrf: String,
    key: Digest,
}

impl Found {
    /// Whether a form carries this session's token; takes the same time whatever it holds.
    pub fn form_is_ours(&self, token: &str) -> bool {
        constant_time::verify_slices_are_equal(self.csrf.as_bytes(), token.as_bytes()).is_ok()
    }
}

/// All sessions of this portal.
#[derive(Default)]
pub struct Sessions {
    by_digest: Mutex<HashMap<Digest, Session>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; gives the id for the cookie, which is kept nowhere else.
    pub fn open(&self, owner: OwnerId, password_hash: &str, now: Timestamp, entropy: &dyn Entropy) -> Secret<String> {
        let id = URL_SAFE_NO_PAD.encode(random::<32>(entropy));
        let session = Session {
            owner,
            credential: sha256(password_hash.as_bytes()),
            opened: now,
            used: now,
            csrf: URL_SAFE_NO_PAD.encode(random::<32>(entropy)),
            notice: None,
        };
        let mut sessions = self.lock();
        sessions.retain(|_, other| other.alive(now));
        make_room(&mut sessions, owner);
        sessions.insert(sha256(id.as_bytes()), session);
        Secret::new(id)
    }

    /// The living session of that id, marked as used now.
    pub fn find(&self, id: &str, now: Timestamp) -> Option<Found> {
        let key = sha256(id.as_bytes());
        let mut sessions = self.lock();
        let session = sessions.get_mut(&key)?;
        if !session.alive(now) {
            sessions.remove(&key);
            return None;
        }
        session.used = session.used.max(now);
        Some(Found { owner: session.owner, credential: session.credential, csrf: session.csrf.clone(), key })
    }

    /// Ends a session; harmless when it is gone.
    pub fn close(&self, found: &Found) {
        self.lock().remove(&found.key);
    }

    /// Leaves a word for the session's next page.
    pub fn leave(&self, found: &Found, notice: Notice) {
        if let Some(session) = self.lock().get_mut(&found.key) {
            session.notice = Some(notice);
        }
    }

    /// Takes the word left for this page, if there is one.
    pub fn take(&self, found: &Found) -> Option<Notice> {
        self.lock().get_mut(&found.key).and_then(|session| session.notice.take())
    }
}

fn make_room(sessions: &mut HashMap<Digest, Session>, owner: OwnerId) {
    let mut own: Vec<_> = sessions.iter().filter(|(_, s)| s.owner == owner).map(|(key, s)| (s.used, *key)).collect();
    own.sort_unstable();
    let surplus = (own.len() + 1).saturating_sub(PER_OWNER);
    for (_, key) in own.into_iter().take(surplus) {
        sessions.remove(&key);
    }
}

/// The session id among a request's `Cookie` headers.
pub fn from_cookies<'a>(headers: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    headers
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// `Set-Cookie` for a fresh session.
pub fn set_cookie(id: &Secret<String>) -> String {
    let seconds = LIFE.as_secs();
    format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}", id.expose())
}

/// `Set-Cookie` that removes it.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
