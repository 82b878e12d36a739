use std::task::Waker;
use std::time::Duration;

use super::*;
use crate::grant::world::{self, World};
use crate::grant::{Decision, Limits, Locks, Mode, Scope, decide};
use crate::log::Claim;
use crate::log::proofs;
use crate::session::{Session, Step};

const SESSION: SessionId = SessionId([1; 8]);
const QUERY: &[u8] = b"Q\0\0\0\x0dselect 1\0";
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x011";
const READY: &[u8] = b"Z\0\0\0\x05I";

fn frame(bytes: &'static [u8]) -> Frame {
    Frame::new(Bytes::from_static(bytes)).expect("a whole frame")
}

fn claim(frame: u64) -> Claim {
    Claim::of(SESSION, frame)
}

fn begin() -> (Ledger, ToServer, ToClient) {
    let ledger = Ledger::begin(proofs::receipt(claim(0)));
    let to_client = ToClient::new(&ledger);
    (ledger, ToServer::default(), to_client)
}

/// A fresh proof for a reader, and the moment it is good for.
fn reader_allowed() -> (Authorized, Present) {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, world::minutes(60));
    let (locks, now) = (Locks::default(), world::minutes(1));
    match decide(&world.state, &world::ask(now, &locks), &Limits::default(), now) {
        Decision::Allow(allowed) => (allowed, Present { sequence: world.state.sequence(), now }),
        Decision::Refuse(refusal) => panic!("refused: {}", refusal.code()),
    }
}

fn poll(ledger: &mut Ledger) -> Poll<Result<(), log::Error>> {
    ledger.poll_durable(&mut Context::from_waker(Waker::noop()))
}

/// What the client would get now.
fn shown(to_client: &mut ToClient) -> Vec<u8> {
    let mut shown = Vec::new();
    while !to_client.pending().is_empty() {
        shown.extend_from_slice(to_client.pending());
        to_client.written(to_client.pending().len());
    }
    shown
}

fn disclose(to_client: &mut ToClient, ledger: &Ledger) {
    let (allowed, present) = reader_allowed();
    to_client.disclose(&ledger.released(allowed, present).expect("a fresh decision"));
}

#[test]
fn a_row_waits_for_the_record_of_its_statement() {
    let (mut ledger, mut to_server, mut to_client) = begin();
    let (allowed, present) = reader_allowed();
    let (durable, enqueued) = proofs::enqueued(claim(1));
    let allowed = allowed.read_only().expect("a reader");
    to_server.forward_overlapped(Burst::of(&frame(QUERY)), allowed, enqueued, &mut ledger, present).expect("in order");
    assert_eq!(to_server.pending(), QUERY);
    to_client.withhold(Bytes::from_static(ROW), &ledger);
    assert!(poll(&mut ledger).is_pending());
    disclose(&mut to_client, &ledger);
    assert_eq!(shown(&mut to_client), b"");
    durable();
    assert!(poll(&mut ledger).is_ready());
    disclose(&mut to_client, &ledger);
    assert_eq!(shown(&mut to_client), ROW);
}

#[test]
fn what_was_read_before_the_next_frame_went_on_does_not_wait_for_that_frame() {
    let (mut ledger, mut to_server, mut to_client) = begin();
    to_client.withhold(Bytes::from_static(READY), &ledger);
    let (allowed, present) = reader_allowed();
    let (_durable, enqueued) = proofs::enqueued(claim(1));
    let allowed = allowed.read_only().expect("a reader");
    to_server.forward_overlapped(Burst::of(&frame(QUERY)), allowed, enqueued, &mut ledger, present).expect("in order");
    to_client.withhold(Bytes::from_static(ROW), &ledger);
    disclose(&mut to_client, &ledger);
    assert_eq!(shown(&mut to_client), READY);
}

#[test]
fn a_frame_behind_an_unfinished_record_releases_nothing_before_it() {
    let (mut ledger, mut to_server, mut to_client) = begin();
    let (durable, notification) = proofs::enqueued(claim(0));
    ledger.withhold(notification).expect("after frame 0");
    let (allowed, present) = reader_allowed();
    to_server
        .forward(Burst::of(&frame(QUERY)), allowed, proofs::receipt(claim(1)), &mut ledger, present)
        .expect("in order");
    to_client.withhold(Bytes::from_static(ROW), &ledger);
    disclose(&mut to_client, &ledger);
    assert_eq!(shown(&mut to_client), b"");
    durable();
    assert!(poll(&mut ledger).is_ready());
    disclose(&mut to_client, &ledger);
    assert_eq!(shown(&mut to_client), ROW);
}

#[test]
fn a_receipt_of_another_frame_or_session_is_not_taken() {
    for wrong in [claim(2), claim(0), Claim::of(SessionId([2; 8]), 1)] {
        let (mut ledger, mut to_server, _) = begin();
        let (allowed, present) = reader_allowed();
        let taken = to_server.forward(Burst::of(&frame(QUERY)), allowed, proofs::receipt(wrong), &mut ledger, present);
        assert_eq!(taken, Err(Slip::WrongReceipt { expected: 1, found: wrong.frame }));
        assert_eq!(to_server.pending(), b"", "nothing was forwarded");
    }
}

#[test]
fn frames_that_came_together_share_a_record_of_exactly_them() {
    let burst = || {
        let mut burst = Burst::of(&frame(QUERY));
        burst.add_unrecorded(&Unrecorded::of(&frame(b"S\0\0\0\x04")).expect("Sync needs no record"));
        burst.add(&frame(QUERY));
        burst
    };
    for (recorded, taken) in [(0, false), (1, true), (2, false)] {
        let (mut ledger, mut to_server, mut to_client) = begin();
        let (allowed, present) = reader_allowed();
        let (durable, enqueued) = proofs::enqueued(claim(1).and(recorded));
        let allowed = allowed.read_only().expect("a reader");
        let forwarded = to_server.forward_overlapped(burst(), allowed, enqueued, &mut ledger, present);
        let wrong = Slip::WrongCount { recorded: recorded + 1, forwarded: 2 };
        assert_eq!(forwarded, if taken { Ok(()) } else { Err(wrong) });
        assert_eq!(to_server.pending().is_empty(), !taken);
        if taken {
            assert_eq!((to_server.pending(), ledger.forwarded()), (&[QUERY, b"S\0\0\0\x04", QUERY].concat()[..], 2));
            to_client.withhold(Bytes::from_static(ROW), &ledger);
            assert!(to_client.waits(&ledger) && ledger.awaited().is_some());
            disclose(&mut to_client, &ledger);
            assert_eq!(shown(&mut to_client), b"");
            durable();
            assert!(poll(&mut ledger).is_ready());
            assert!(!to_client.waits(&ledger) && ledger.awaited().is_none());
            disclose(&mut to_client, &ledger);
            assert_eq!(shown(&mut to_client), ROW);
        }
    }
    let (mut ledger, mut to_server, _) = begin();
    let (allowed, present) = reader_allowed();
    let strict = to_server.forward(burst(), allowed, proofs::receipt(claim(1)), &mut ledger, present);
    assert_eq!(strict, Err(Slip::WrongCount { recorded: 1, forwarded: 2 }));
    let (_, two) = proofs::enqueued(claim(0).and(1));
    assert_eq!(ledger.withhold(two), Err(Slip::WrongCount { recorded: 2, forwarded: 1 }));
}

#[test]
fn copy_done_is_never_forwarded_before_its_record() {
    let (mut ledger, mut to_server, _) = begin();
    let (allowed, present) = reader_allowed();
    let (_durable, enqueued) = proofs::enqueued(claim(1));
    let allowed = allowed.read_only().expect("a reader");
    let copy_done = frame(b"c\0\0\0\x04");
    let taken = to_server.forward_overlapped(Burst::of(&copy_done), allowed, enqueued, &mut ledger, present);
    assert_eq!(taken, Err(Slip::CopyDoneEarly));
    assert_eq!((to_server.pending(), ledger.forwarded()), (&b""[..], 0));
    let (allowed, present) = reader_allowed();
    to_server
        .forward(Burst::of(&copy_done), allowed, proofs::receipt(claim(1)), &mut ledger, present)
        .expect("durable");
    assert_eq!(to_server.pending(), b"c\0\0\0\x04");
}

#[test]
fn copy_data_passes_only_if_it_was_counted() {
    let data = frame(b"d\0\0\0\x05x");
    assert!(Unrecorded::of(&data).is_none());
    let mut session = Session::new(Timestamp(0));
    let Ok(Step::Copy(counted)) = session.client(&data, Timestamp(0)) else { panic!("it was not counted") };
    let (_, mut to_server, _) = begin();
    to_server.pass(Unrecorded::counted(counted));
    to_server.pass(Unrecorded::of(&frame(b"f\0\0\0\x05\0")).expect("CopyFail needs no record"));
    assert_eq!(to_server.pending(), b"d\0\0\0\x05xf\0\0\0\x05\0");
}

#[test]
fn an_old_decision_is_not_taken() {
    let (_, present) = reader_allowed();
    let moved_on = Present { sequence: Sequence(present.sequence.0 + 1), ..present };
    let too_late = Present { now: present.now.plus(Duration::from_secs(100_000_000)), ..present };
    for later in [moved_on, too_late] {
        let (mut ledger, mut to_server, _) = begin();
        let (allowed, _) = reader_allowed();
        let taken = to_server.forward(Burst::of(&frame(QUERY)), allowed, proofs::receipt(claim(1)), &mut ledger, later);
        assert_eq!(taken, Err(Slip::Stale));
        assert_eq!(to_server.pending(), b"", "nothing was forwarded");
        let (allowed, _) = reader_allowed();
        assert_eq!(ledger.released(allowed, later).err(), Some(Slip::Stale));
    }
}

#[test]
fn only_sync_flush_terminate_and_copy_fail_pass_without_a_record() {
    let frames = (0..=u8::MAX).filter_map(|tag| Frame::new(Bytes::from(vec![tag, 0, 0, 0, 4])).ok());
    let passing = frames.filter(|frame| Unrecorded::of(frame).is_some()).map(|frame| frame.tag());
    assert_eq!(passing.collect::<Vec<_>>(), b"HSXf");
}

#[test]
fn an_end_in_the_middle_of_a_message_shows_the_rest_of_it_and_nothing_more() {
    let (ledger, _, mut to_client) = begin();
    to_client.withhold(Bytes::from_static(ROW), &ledger);
    to_client.withhold(Bytes::from_static(READY), &ledger);
    disclose(&mut to_client, &ledger);
    to_client.written(7);
    let mut closing = to_client.cut(&ledger);
    assert!(closing.is_whole());
    closing.say(Bytes::from_static(b"E\0\0\0\x04"));
    let mut shown = Vec::new();
    while !closing.pending().is_empty() {
        shown.extend_from_slice(closing.pending());
        closing.written(closing.pending().len());
    }
    let mut expected = ROW.get(7..).expect("longer").to_vec();
    expected.extend_from_slice(b"E\0\0\0\x04");
    assert_eq!(shown, expected);
}

#[test]
fn an_end_in_the_middle_of_a_message_that_is_not_there_yet_says_nothing() {
    let (ledger, _, mut to_client) = begin();
    to_client.withhold(Bytes::from_static(b"D\0\0\x10\0\0\x01"), &ledger);
    disclose(&mut to_client, &ledger);
    to_client.written(6);
    let mut closing = to_client.cut(&ledger);
    assert!(!closing.is_whole());
    closing.say(Bytes::from_static(b"E\0\0\0\x04"));
    assert_eq!(closing.pending(), b"\x01", "the rest that is there, and no word in the middle of a row");
}

#[test]
fn an_end_between_messages_shows_nothing_more() {
    let (ledger, _, mut to_client) = begin();
    to_client.withhold(Bytes::from_static(ROW), &ledger);
    disclose(&mut to_client, &ledger);
    let closing = to_client.cut(&ledger);
    assert!(closing.is_whole());
    assert_eq!(closing.pending(), b"");
}
