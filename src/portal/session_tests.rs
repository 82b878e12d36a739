use super::*;
use crate::entropy::OsEntropy;

const START: Timestamp = Timestamp(1_800_000_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn opened(sessions: &Sessions, owner: u64, now: Timestamp) -> String {
    sessions.open(OwnerId(owner), "hash", now, &OsEntropy).expose().clone()
}

#[test]
fn a_session_is_found_by_its_id_alone() {
    let sessions = Sessions::default();
    let (one, other) = (opened(&sessions, 7, START), opened(&sessions, 8, START));
    assert_eq!(sessions.find(&one, START).map(|s| s.owner), Some(OwnerId(7)));
    assert_eq!(sessions.find(&other, START).map(|s| s.owner), Some(OwnerId(8)));
    assert!(sessions.find("", START).is_none());
    assert!(sessions.find(&one[1..], START).is_none());
}

#[test]
fn unused_for_half_an_hour_it_ends() {
    let sessions = Sessions::default();
    let id = opened(&sessions, 7, START);
    let almost = START.plus(29 * MINUTE);
    assert!(sessions.find(&id, almost).is_some());
    assert!(sessions.find(&id, almost.plus(29 * MINUTE)).is_some());
    assert!(sessions.find(&id, almost.plus(59 * MINUTE)).is_none());
}

#[test]
fn used_all_day_it_ends_after_twelve_hours() {
    let sessions = Sessions::default();
    let id = opened(&sessions, 7, START);
    let mut now = START;
    for _ in 0..35 {
        now = now.plus(20 * MINUTE);
        assert!(sessions.find(&id, now).is_some(), "{now}");
    }
    assert!(sessions.find(&id, now.plus(20 * MINUTE)).is_none());
}

#[test]
fn a_form_counts_only_with_its_own_sessions_token() {
    let sessions = Sessions::default();
    let (one, other) = (opened(&sessions, 7, START), opened(&sessions, 7, START));
    let (one, other) = (sessions.find(&one, START).expect("one"), sessions.find(&other, START).expect("other"));
    assert!(one.form_is_ours(&one.csrf));
    assert!(!one.form_is_ours(&other.csrf));
    assert!(!one.form_is_ours(""));
}

#[test]
fn signed_out_is_out() {
    let sessions = Sessions::default();
    let id = opened(&sessions, 7, START);
    let found = sessions.find(&id, START).expect("just opened");
    sessions.close(&found);
    assert!(sessions.find(&id, START).is_none());
}

#[test]
fn the_session_unused_longest_makes_room() {
    let sessions = Sessions::default();
    let ids: Vec<_> = (0..9).map(|n| opened(&sessions, 7, START.plus(n * MINUTE))).collect();
    let stranger = opened(&sessions, 8, START);
    let now = START.plus(9 * MINUTE);
    assert!(sessions.find(&ids[0], now).is_none());
    assert!(ids[1..].iter().all(|id| sessions.find(id, now).is_some()));
    assert!(sessions.find(&stranger, now).is_some());
}

#[test]
fn a_word_for_the_next_page_is_said_once() {
    let sessions = Sessions::default();
    let id = opened(&sessions, 7, START);
    let found = sessions.find(&id, START).expect("just opened");
    sessions.leave(&found, Notice::SwitchedOff);
    assert_eq!(sessions.take(&found), Some(Notice::SwitchedOff));
    assert_eq!(sessions.take(&found), None);
}

#[test]
fn the_cookie_is_picked_out_of_others() {
    let id = |headers: &[&'static str]| from_cookies(headers.iter().copied());
    assert_eq!(id(&["a=b; __Host-portreeve=xyz; c=d"]), Some("xyz"));
    assert_eq!(id(&["a=b", "__Host-portreeve=xyz"]), Some("xyz"));
    assert_eq!(id(&["portreeve=xyz; __Host-portreeve", "=;;"]), None);
}
