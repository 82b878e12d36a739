//! COPY FROM STDIN and FunctionCall as transcripts: who gets which outcome, whatever fails and whenever.

use super::transcript::{client, holds, server};
use super::*;

#[test]
fn a_copy_by_query() {
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData a\\n
         = copy
         C: CopyData b\\n
         = copy
         ?: unanswered
         = [1]
         C: CopyDone
         = 2 copy-done copied=4 lines=2 of frame 1 digest=911169
         ?: unanswered
         = [1, 2]
         S: Complete COPY 2 | Ready I
         = 2 done (COPY 2)
         = 1 done (COPY 2)
         = ready I
         C: Query select 1
         = 3 query text=\"select 1\"
         S: RowDescription | Row | Complete SELECT 1 | Ready I
         = 3 done (SELECT 1) rows=1 bytes=12
         = ready I",
    );
}

/// libpq and tokio-postgres send Sync right after Execute; the server ignores it, and answers the one after CopyDone.
#[test]
fn a_copy_by_execute_with_a_sync_behind_it() {
    holds(
        "C: Parse - copy t from stdin
         = 1 parse s=\"\" text=\"copy t from stdin\" of t
         C: Bind - -
         = 2 bind s=\"\" p=\"\" text=\"copy t from stdin\" of t
         C: Execute -
         = 3 execute p=\"\" text=\"copy t from stdin\" limit=0 of t
         C: Sync
         = pass
         S: ParseComplete | BindComplete | CopyInBinary
         = 1 done
         = 2 done
         = copy in
         C: CopyData a\\n
         = copy
         C: Flush
         = pass
         C: Sync
         = pass
         C: CopyDone
         = 4 copy-done copied=2 of frame 3 digest=87428f
         C: Sync
         = pass
         C: Query select 1
         = 5 query text=\"select 1\"
         S: Complete COPY 1 | Ready I | Complete SELECT 0 | Ready I
         = 4 done (COPY 1)
         = 3 done (COPY 1)
         = ready I
         = 5 done (SELECT 0)
         = ready I",
    );
}

#[test]
fn two_copies_in_one_query() {
    holds(
        "C: Query copy t from stdin; copy u from stdin
         = 1 query text=\"copy t from stdin; copy u from stdin\" of t,u
         S: CopyIn
         = copy in
         C: CopyData a\\n
         = copy
         C: CopyDone
         = 2 copy-done copied=2 lines=1 of frame 1 digest=87428f
         S: Complete COPY 1 | CopyIn
         = 2 done (COPY 1)
         = copy in
         C: CopyData b\\n
         = copy
         C: CopyDone
         = 3 copy-done copied=2 lines=1 of frame 1 digest=026382
         S: Complete COPY 1 | Ready I
         = 3 done (COPY 1)
         = 1 done (COPY 1; COPY 1)
         = ready I",
    );
}

/// Data that the client sends before the server asks for it is in the digest of the CopyDone behind it.
#[test]
fn all_sent_before_the_server_says_a_word() {
    holds(
        "C: Parse - copy t from stdin
         = 1 parse s=\"\" text=\"copy t from stdin\" of t
         C: Bind - -
         = 2 bind s=\"\" p=\"\" text=\"copy t from stdin\" of t
         C: Execute -
         = 3 execute p=\"\" text=\"copy t from stdin\" limit=0 of t
         C: CopyData a\\n
         = copy
         C: Sync
         = pass
         C: CopyData b\\n
         = copy
         C: CopyDone
         = 4 copy-done copied=4 of frame 3 digest=911169
         C: Sync
         = pass
         C: Execute -
         = 5 execute p=\"\" text=\"copy t from stdin\" limit=0 of t
         C: Sync
         = pass
         S: ParseComplete | BindComplete | CopyIn | Complete COPY 2 | Ready I | Error 34000 no portal | Ready I
         = 1 done
         = 2 done
         = copy in
         = 4 done (COPY 2)
         = 3 done (COPY 2)
         = ready I
         = 5 error 34000 no portal
         = ready I",
    );
}

#[test]
fn data_of_one_copy_is_never_in_the_digest_of_the_next() {
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData bad\\n
         = copy
         S: Error 22P02 invalid input | Ready I
         = 1 error 22P02 invalid input copied=4 digest=1d7a36
         = ready I
         C: CopyData b\\n
         = copy
         C: Query copy t from stdin
         = 2 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData a\\n
         = copy
         C: CopyDone
         = 3 copy-done copied=2 lines=1 of frame 2 digest=87428f
         S: Complete COPY 1 | Ready I
         = 3 done (COPY 1)
         = 2 done (COPY 1)
         = ready I",
    );
}

#[test]
fn the_server_fails_while_the_client_still_sends() {
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData bad\\n
         = copy
         S: Error 22P02 invalid input | Ready I
         = 1 error 22P02 invalid input copied=4 digest=1d7a36
         = ready I
         C: CopyDone
         = 2 copy-done copied=4 digest=1d7a36
         = 2 skipped
         ?: unanswered
         = []
         C: Query select 1
         = 3 query text=\"select 1\"
         S: Complete SELECT 0 | Ready I
         = 3 done (SELECT 0)
         = ready I",
    );
}

#[test]
fn the_server_fails_while_the_client_still_sends_in_the_extended_protocol() {
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: CopyIn
         = copy in
         C: CopyData bad\\n
         = copy
         S: Error 22P02 invalid input
         = 1 error 22P02 invalid input copied=4 digest=1d7a36
         C: CopyData b\\n
         = copy
         C: CopyDone
         = 2 copy-done copied=6 digest=053103
         ?: unanswered
         = [2]
         C: Sync
         = pass
         S: Ready I
         = 2 skipped
         = ready I
         C: Query select 1
         = 3 query text=\"select 1\"
         S: Complete SELECT 0 | Ready I
         = 3 done (SELECT 0)
         = ready I",
    );
}

/// A trigger before the first row: the server had not read the Sync behind Execute, and answers it.
#[test]
fn the_server_fails_before_it_reads_the_sync_behind_execute() {
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: CopyIn | Error P0001 no | Ready I
         = copy in
         = 1 error P0001 no copied=0 digest=e3b0c4
         = ready I
         C: CopyDone
         = 2 copy-done copied=0 digest=e3b0c4
         = 2 skipped
         C: Sync
         = pass
         S: Ready I
         = ready I
         C: Parse - one
         = 3 parse s=\"\" text=\"one\"
         C: Sync
         = pass
         S: ParseComplete | Ready I
         = 3 done
         = ready I",
    );
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: CopyIn
         = copy in
         C: CopyData a\\n
         = copy
         C: CopyDone
         = 2 copy-done copied=2 lines=1 of frame 1 digest=87428f
         C: Sync
         = pass
         C: Query select 1
         = 3 query text=\"select 1\"
         S: Error P0001 no | Ready I | Ready I | Complete SELECT 0 | Ready I
         = 1 error P0001 no
         = 2 error P0001 no
         = ready I
         = ready I
         = 3 done (SELECT 0)
         = ready I",
    );
}

#[test]
fn a_sync_that_comes_back_twice_is_nobodys_after_that() {
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: CopyIn
         = copy in
         C: CopyDone
         = 2 copy-done copied=0 lines=0 of frame 1 digest=e3b0c4
         C: Sync
         = pass
         S: Error P0001 no | Ready I
         = 1 error P0001 no
         = 2 error P0001 no
         = ready I
         C: Query select 1
         = 3 query text=\"select 1\"
         S: Complete SELECT 0 | Ready I
         = 3 done (SELECT 0)
         = ready I
         S: Ready I
         = fault 08006 upstream server: ReadyForQuery came as the answer to nothing",
    );
}

/// At the last line: CopyDone was read, and still nothing was copied.
#[test]
fn the_server_fails_after_copy_done() {
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData bad\\n
         = copy
         C: CopyDone
         = 2 copy-done copied=4 lines=1 of frame 1 digest=1d7a36
         S: Error 23505 duplicate key
         = 1 error 23505 duplicate key
         = 2 error 23505 duplicate key
         S: Ready I
         = ready I",
    );
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         S: CopyIn
         = copy in
         C: CopyDone
         = 2 copy-done copied=0 lines=0 of frame 1 digest=e3b0c4
         C: Execute -
         = 3 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: Error 23505 duplicate key | Ready E
         = 1 error 23505 duplicate key
         = 2 error 23505 duplicate key
         = 3 skipped
         = ready E",
    );
}

#[test]
fn the_client_gives_up() {
    holds(
        "C: Query copy t from stdin; copy u from stdin
         = 1 query text=\"copy t from stdin; copy u from stdin\" of t,u
         S: CopyIn
         = copy in
         C: CopyData a\\n
         = copy
         C: CopyFail enough
         = pass
         ?: unanswered
         = [1]
         S: Error 57014 COPY from stdin failed: enough | Ready I
         = 1 given-up 57014 COPY from stdin failed: enough copied=2 digest=87428f
         = ready I",
    );
    holds(
        "C: Execute -
         = 1 execute p=\"\" limit=0 unresolved
         C: Sync
         = pass
         S: CopyIn
         = copy in
         C: CopyFail enough
         = pass
         C: Sync
         = pass
         S: Error 57014 COPY from stdin failed: enough | Ready I
         = 1 given-up 57014 COPY from stdin failed: enough copied=0 digest=e3b0c4
         = ready I",
    );
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn
         = copy in
         C: CopyData bad\\n
         = copy
         C: CopyFail enough
         = pass
         S: Error 22P02 invalid input | Ready I
         = 1 error 22P02 invalid input copied=4 digest=1d7a36
         = ready I",
    );
}

#[test]
fn copy_messages_without_a_copy() {
    holds(
        "C: CopyData a\\n
         = copy
         C: CopyDone
         = 1 copy-done copied=2 digest=87428f
         = 1 skipped
         C: CopyFail no
         = pass
         ?: unanswered
         = []
         C: Query copy t from stdin
         = 2 query text=\"copy t from stdin\" of t
         C: CopyDone
         = 3 copy-done copied=0 of frame 2 digest=e3b0c4
         S: Error 42501 permission denied for table t
         = 2 error 42501 permission denied for table t
         S: Ready I
         = ready I
         = 3 skipped
         C: Execute -
         = 4 execute p=\"\" limit=0 unresolved
         C: CopyFail no
         = pass
         C: CopyDone
         = 5 copy-done copied=0 of frame 4 digest=e3b0c4
         C: Sync
         = pass
         S: Error 34000 no portal | Ready I
         = 4 error 34000 no portal
         = 5 skipped
         = ready I",
    );
}

#[test]
fn a_copy_that_completes_by_itself_is_the_upstreams_fault() {
    holds(
        "C: Query copy t from stdin
         = 1 query text=\"copy t from stdin\" of t
         S: CopyIn | Complete COPY 0
         = copy in
         = fault 08006 upstream server: CommandComplete came for a COPY before its CopyDone",
    );
    for message in ["Ready I", "Row", "CopyIn", "PortalSuspended", "ParseComplete", "EmptyQuery"] {
        let mut session = Session::new(Timestamp(0));
        session.client(&client("Query copy t from stdin"), Timestamp(0)).expect("valid");
        let mut events = Vec::new();
        session.server(&server("CopyIn"), Timestamp(0), &mut events).expect("valid");
        assert!(session.awaits_data());
        session.server(&server(message), Timestamp(0), &mut events).expect_err(message);
    }
}

#[test]
fn a_client_that_vanishes_leaves_what_it_had_sent() {
    let mut session = Session::new(Timestamp(0));
    let mut events = Vec::new();
    session.client(&client("Query copy t from stdin"), Timestamp(0)).expect("valid");
    assert_eq!(session.unfinished_copy(), None);
    session.server(&server("CopyIn"), Timestamp(0), &mut events).expect("valid");
    session.client(&client("CopyData abc"), Timestamp(0)).expect("valid");
    let (frame, copied) = session.unfinished_copy().expect("under way");
    assert_eq!((frame, copied.bytes, copied.lines), (1, 3, Some(0)));
    session.client(&client("CopyDone"), Timestamp(0)).expect("valid");
    assert_eq!((session.unfinished_copy(), session.awaits_data()), (None, false));
}

#[test]
fn a_copy_without_end_takes_no_memory() {
    let mut session = Session::new(Timestamp(0));
    let mut events = Vec::new();
    session.client(&client("Query copy t from stdin"), Timestamp(0)).expect("valid");
    session.server(&server("CopyIn"), Timestamp(0), &mut events).expect("valid");
    for _ in 0..2 * AWAITED_MAX {
        session.client(&client("Sync"), Timestamp(0)).expect("valid");
        session.client(&client("CopyData a"), Timestamp(0)).expect("valid");
    }
    assert!(!session.is_full() && session.state.awaited() == 1);
}

#[test]
fn function_calls() {
    holds(
        "C: FunctionCall 952 x
         = 1 function-call 26:x function=952
         C: FunctionCall 16400 y
         = 2 function-call 0:y function=16400
         ?: unanswered
         = [1, 2]
         S: Function | Ready T
         = 1 done rows=0 bytes=10
         = ready T
         S: Error 42501 no
         = 2 error 42501 no
         ?: unanswered
         = []
         S: Ready E
         = ready E
         C: Execute -
         = 3 execute p=\"\" limit=0 unresolved
         C: FunctionCall 953 z
         = 4 function-call 23:z function=953
         C: Sync
         = pass
         S: Error 34000 no portal | Ready I
         = 3 error 34000 no portal
         = 4 skipped
         = ready I
         S: Function
         = fault 08006 upstream server: FunctionCallResponse came as the answer to nothing",
    );
}
