use super::transcript::{client, holds, server};
use super::*;

#[test]
fn a_simple_query() {
    holds(
        "S: Status client_encoding UTF8 | Key | Ready I
         = client_encoding is UTF8
         = ready I
         C: Query select name from customer
         = 1 query text=\"select name from customer\" of customer
         S: RowDescription | Row | Row | Complete SELECT 2 | Ready I
         = 1 done (SELECT 2) rows=2 bytes=24
         = ready I
         C: Query -
         = 2 query text=\"\"
         S: EmptyQuery | Ready I
         = 2 done
         = ready I
         C: Terminate
         = terminate",
    );
}

#[test]
fn several_statements_in_one_query_have_one_outcome() {
    holds(
        "C: Query insert into t values (1); select 1
         = 1 query text=\"insert into t values (1); select 1\" of t
         S: Complete INSERT 0 1 | RowDescription | Row | Complete SELECT 1 | Notice 00000 hm | Ready I
         = 1 done (INSERT 0 1; SELECT 1) rows=1 bytes=12
         = ready I
         C: Query select 1; select 1/0; select 2
         = 2 query text=\"select 1; select 1/0; select 2\"
         S: RowDescription | Row | Complete SELECT 1 | Error 22012 division by zero
         = 2 error (SELECT 1) 22012 division by zero rows=1 bytes=12
         ?: unanswered
         = []
         S: Ready I
         = ready I",
    );
}

#[test]
fn many_tags_are_counted() {
    let mut session = Session::new(Timestamp(0));
    let mut events = Vec::new();
    session.client(&client("Query many"), Timestamp(0)).expect("valid");
    let answer = [server("Complete SELECT 1").repeat(1000), server("Ready I")].concat();
    session.server(&answer, Timestamp(0), &mut events).expect("valid");
    let Some(Event::Outcome(outcome)) = events.first() else { panic!("no outcome") };
    let tag = outcome.tag.as_deref().expect("tags");
    assert!(tag.starts_with("SELECT 1; SELECT 1; ") && tag.ends_with("SELECT 1; and 974 more"), "{tag}");
    assert!(tag.len() < 300);
}

#[test]
fn the_extended_protocol() {
    holds(
        "C: Parse - select * from t where a = $1 and b = $2 :: 23 0
         = 1 parse s=\"\" text=\"select * from t where a = $1 and b = $2\" of t
         C: Bind - - 7|x
         = 2 bind s=\"\" p=\"\" text=\"select * from t where a = $1 and b = $2\" 23:7 0:x of t
         C: Describe P -
         = 3 describe p=\"\" text=\"select * from t where a = $1 and b = $2\" of t
         C: Execute -
         = 4 execute p=\"\" text=\"select * from t where a = $1 and b = $2\" limit=0 of t
         C: Sync
         = pass
         ?: unanswered
         = [1, 2, 3, 4]
         S: ParseComplete | BindComplete | RowDescription | Row
         = 1 done
         = 2 done
         = 3 done
         S: Row | Complete SELECT 2 | Ready I
         = 4 done (SELECT 2) rows=2 bytes=24
         = ready I",
    );
}

#[test]
fn types_are_learnt_from_a_described_statement() {
    holds(
        "C: Parse s1 select $1
         = 1 parse s=\"s1\" text=\"select $1\"
         C: Describe S s1
         = 2 describe s=\"s1\" text=\"select $1\"
         C: Flush
         = pass
         S: ParseComplete | Types 1184 | RowDescription
         = 1 done
         = 2 done
         C: Bind - s1 now
         = 3 bind s=\"s1\" p=\"\" text=\"select $1\" 1184:now
         C: Sync
         = pass
         S: BindComplete | Ready I
         = 3 done
         = ready I",
    );
}

#[test]
fn an_error_skips_until_sync_and_no_further() {
    holds(
        "C: Parse - bad
         = 1 parse s=\"\" text=\"bad\"
         C: Bind - -
         = 2 bind s=\"\" p=\"\" text=\"bad\"
         C: Query select 1
         = 3 query text=\"select 1\"
         S: Error 42601 syntax error
         = 1 error 42601 syntax error
         = 2 skipped
         = 3 skipped
         C: Execute -
         = 4 execute p=\"\" limit=0 unresolved
         C: Describe P -
         = 5 describe p=\"\" unresolved
         ?: unanswered
         = [4, 5]
         C: Sync
         = pass
         C: Query select 2
         = 6 query text=\"select 2\"
         ?: unanswered
         = [4, 5, 6]
         S: Ready I | RowDescription | Row | Complete SELECT 1 | Ready I
         = 4 skipped
         = 5 skipped
         = ready I
         = 6 done (SELECT 1) rows=1 bytes=12
         = ready I",
    );
}

/// Postgrex's savepoint mode: a Query behind a failed Execute is skipped, and that Query has no ReadyForQuery.
#[test]
fn a_pipeline_over_several_syncs() {
    holds(
        "C: Parse a select 1
         = 1 parse s=\"a\" text=\"select 1\"
         C: Sync
         = pass
         C: Parse b bad
         = 2 parse s=\"b\" text=\"bad\"
         C: Query rollback
         = 3 query text=\"rollback\"
         C: Sync
         = pass
         C: Bind - a
         = 4 bind s=\"a\" p=\"\" text=\"select 1\"
         C: Execute -
         = 5 execute p=\"\" text=\"select 1\" limit=0
         C: Sync
         = pass
         S: ParseComplete | Ready I | Error 42601 syntax error | Ready I | BindComplete | Row | Complete SELECT 1 | Ready I
         = 1 done
         = ready I
         = 2 error 42601 syntax error
         = 3 skipped
         = ready I
         = 4 done
         = 5 done (SELECT 1) rows=1 bytes=12
         = ready I
         C: Bind - b
         = 6 bind s=\"b\" p=\"\" unresolved",
    );
}

#[test]
fn a_query_that_fails_skips_nothing() {
    holds(
        "C: Query bad
         = 1 query text=\"bad\"
         C: Query select 1
         = 2 query text=\"select 1\"
         S: Error 42601 syntax error | Ready I | RowDescription | Row | Complete SELECT 1 | Ready I
         = 1 error 42601 syntax error
         = ready I
         = 2 done (SELECT 1) rows=1 bytes=12
         = ready I",
    );
}

#[test]
fn a_transaction_that_fails_at_sync_is_the_last_executes_error() {
    holds(
        "C: Parse - insert into t values (1)
         = 1 parse s=\"\" text=\"insert into t values (1)\" of t
         C: Bind - -
         = 2 bind s=\"\" p=\"\" text=\"insert into t values (1)\" of t
         C: Execute -
         = 3 execute p=\"\" text=\"insert into t values (1)\" limit=0 of t
         C: Sync
         = pass
         C: Query select 1
         = 4 query text=\"select 1\"
         S: ParseComplete | BindComplete | Complete INSERT 0 1 | Error 23503 violates foreign key | Ready I
         = 1 done
         = 2 done
         = 3 done (INSERT 0 1)
         = 3 error 23503 violates foreign key
         = ready I
         S: Complete SELECT 0 | Ready I
         = 4 done (SELECT 0)
         = ready I",
    );
}

#[test]
fn a_portal_is_suspended_and_goes_on() {
    holds(
        "C: Parse - select 1
         = 1 parse s=\"\" text=\"select 1\"
         C: Bind c1 -
         = 2 bind s=\"\" p=\"c1\" text=\"select 1\"
         C: Execute c1 2
         = 3 execute p=\"c1\" text=\"select 1\" limit=2
         C: Sync
         = pass
         S: ParseComplete | BindComplete | Row | Row | PortalSuspended | Ready T
         = 1 done
         = 2 done
         = 3 suspended rows=2 bytes=24
         = ready T
         C: Execute c1 2
         = 4 execute p=\"c1\" text=\"select 1\" limit=2
         C: Close P c1
         = 5 close p=\"c1\"
         C: Execute c1
         = 6 execute p=\"c1\" limit=0 unresolved
         C: Sync
         = pass
         S: Row | Complete SELECT 1 | CloseComplete | Error 34000 no portal | Ready E
         = 4 done (SELECT 1) rows=1 bytes=12
         = 5 done
         = 6 error 34000 no portal
         = ready E",
    );
}

#[test]
fn a_portal_dies_with_its_transaction_and_a_statement_does_not() {
    holds(
        "C: Parse s select 1
         = 1 parse s=\"s\" text=\"select 1\"
         C: Bind p s
         = 2 bind s=\"s\" p=\"p\" text=\"select 1\"
         C: Sync
         = pass
         S: ParseComplete | BindComplete | Ready T
         = 1 done
         = 2 done
         = ready T
         C: Query rollback; begin
         = 3 query text=\"rollback; begin\"
         S: Complete ROLLBACK | Complete BEGIN | Ready T
         = 3 done (ROLLBACK; BEGIN)
         = ready T
         C: Execute p
         = 4 execute p=\"p\" limit=0 unresolved
         C: Describe S s
         = 5 describe s=\"s\" text=\"select 1\"",
    );
}

#[test]
fn copy_out() {
    holds(
        "C: Query copy t to stdout
         = 1 query text=\"copy t to stdout\" of t
         S: CopyOut | CopyData | CopyData | CopyData | CopyDone | Complete COPY 3 | Ready I
         = 1 done (COPY 3) rows=3 bytes=21
         = ready I",
    );
}

#[test]
fn names_go_as_the_server_lets_them_go() {
    let begin = "C: Parse s1 one
         = 1 parse s=\"s1\" text=\"one\"
         C: Parse s2 two
         = 2 parse s=\"s2\" text=\"two\"
         C: Sync
         = pass
         S: ParseComplete | ParseComplete | Ready I
         = 1 done
         = 2 done
         = ready I\n";
    let (kept1, kept2) = ("5 describe s=\"s1\" text=\"one\"", "6 describe s=\"s2\" text=\"two\"");
    let (gone1, gone2) = ("5 describe s=\"s1\" unresolved", "6 describe s=\"s2\" unresolved");
    let cases = [
        ("deallocate s1", "DEALLOCATE", gone1, kept2),
        ("DEALLOCATE PREPARE \"s2\";", "DEALLOCATE", kept1, gone2),
        ("deallocate s1; select 1", "DEALLOCATE", gone1, gone2),
        ("deallocate all", "DEALLOCATE ALL", gone1, gone2),
        ("discard all", "DISCARD ALL", gone1, gone2),
        ("discard plans", "DISCARD PLANS", kept1, kept2),
        ("rollback", "ROLLBACK", kept1, kept2),
    ];
    for (sql, tag, first, second) in cases {
        holds(&format!(
            "{begin}C: Query {sql}
             = 3 query text={sql:?}
             S: Complete {tag} | Ready I
             = 3 done ({tag})
             = ready I
             C: Close S s3
             = 4 close s=\"s3\"
             C: Describe S s1
             = {first}
             C: Describe S s2
             = {second}"
        ));
    }
}

#[test]
fn a_close_takes_the_name_and_a_failed_one_gives_it_back() {
    holds(
        "C: Parse s one
         = 1 parse s=\"s\" text=\"one\"
         C: Sync
         = pass
         S: ParseComplete | Ready I
         = 1 done
         = ready I
         C: Execute none
         = 2 execute p=\"none\" limit=0 unresolved
         C: Close S s
         = 3 close s=\"s\"
         C: Describe S s
         = 4 describe s=\"s\" unresolved
         C: Sync
         = pass
         S: Error 34000 no portal | Ready I
         = 2 error 34000 no portal
         = 3 skipped
         = 4 skipped
         = ready I
         C: Describe S s
         = 5 describe s=\"s\" text=\"one\"
         C: Close S s
         = 6 close s=\"s\"
         C: Sync
         = pass
         S: NoData | CloseComplete | Ready I
         = 5 done
         = 6 done
         = ready I
         C: Describe S s
         = 7 describe s=\"s\" unresolved",
    );
}

#[test]
fn the_unnamed_statement_is_replaced_by_parse_and_taken_by_query() {
    holds(
        "C: Parse - one
         = 1 parse s=\"\" text=\"one\"
         C: Parse - two
         = 2 parse s=\"\" text=\"two\"
         C: Bind - -
         = 3 bind s=\"\" p=\"\" text=\"two\"
         C: Sync
         = pass
         S: ParseComplete | ParseComplete | BindComplete | Ready I
         = 1 done
         = 2 done
         = 3 done
         = ready I
         C: Query select 1
         = 4 query text=\"select 1\"
         C: Describe S -
         = 5 describe s=\"\" unresolved
         S: Complete SELECT 0 | Ready I | Error 26000 no statement
         = 4 done (SELECT 0)
         = ready I
         = 5 error 26000 no statement
         C: Sync
         = pass
         C: Parse - three
         = 6 parse s=\"\" text=\"three\"
         C: Sync
         = pass
         S: Ready I | Error 42601 no | Ready I
         = ready I
         = 6 error 42601 no
         = ready I
         C: Describe S -
         = 7 describe s=\"\" unresolved",
    );
}

/// Whether the second Parse replaces the first is open when the Bind comes; a guess could be made to lie.
#[test]
fn a_text_that_depends_on_an_answer_is_not_told() {
    holds(
        "C: Parse a one
         = 1 parse s=\"a\" text=\"one\"
         C: Parse a two
         = 2 parse s=\"a\" text=\"two\"
         C: Sync
         = pass
         C: Bind - a
         = 3 bind s=\"a\" p=\"\" unresolved
         S: ParseComplete | Error 42P05 exists already | Ready I
         = 1 done
         = 2 error 42P05 exists already
         = ready I
         C: Bind - a
         = 4 bind s=\"a\" p=\"\" text=\"one\"",
    );
}

#[test]
fn names_that_postgresql_cuts_are_one_name() {
    let long = "n".repeat(63);
    holds(&format!(
        "C: Parse {long}one select 1
         = 1 parse s=\"{long}one\" text=\"select 1\"
         C: Describe S {long}two
         = 2 describe s=\"{long}two\" text=\"select 1\""
    ));
}

#[test]
fn the_encoding_follows_the_server() {
    holds(
        "C: Parse s select 1
         = 1 parse s=\"s\" text=\"select 1\"
         C: Sync
         = pass
         S: ParseComplete | Ready I
         = 1 done
         = ready I
         C: Query set client_encoding to sjis
         = 2 query text=\"set client_encoding to sjis\"
         S: Complete SET | Status client_encoding SJIS | Ready I
         = client_encoding is SJIS
         = 2 done (SET)
         = ready I
         C: Query select 2
         = 3 query text=\"select 2\" in SJIS
         C: Describe S s
         = 4 describe s=\"s\" in SJIS",
    );
}

#[test]
fn what_comes_by_itself_belongs_to_nobody() {
    holds(
        "S: Notify jobs | Notice 00000 hello | Status TimeZone UTC
         = notified jobs
         = TimeZone is UTC
         C: Query select 1
         = 1 query text=\"select 1\"
         S: Notify jobs | Fatal 57P01 terminating connection
         = notified jobs
         = 1 error 57P01 terminating connection
         = fatal 57P01 terminating connection
         ?: unanswered
         = []",
    );
    holds(
        "C: Parse - one
         = 1 parse s=\"\" text=\"one\"
         C: Sync
         = pass
         S: ParseComplete | Fatal 57P01 terminating connection
         = 1 done
         = fatal 57P01 terminating connection",
    );
    holds(
        "S: Fatal 57P05 idle session timeout
         = fatal 57P05 idle session timeout",
    );
}

#[test]
fn an_answer_that_nobody_asked_for_is_the_upstreams_fault() {
    let cases = [
        "Row",
        "CopyData",
        "CopyOut",
        "CopyDone",
        "Complete SELECT 1",
        "ParseComplete",
        "BindComplete",
        "NoData",
        "CloseComplete",
        "PortalSuspended",
        "EmptyQuery",
        "RowDescription",
        "Types 23",
        "Ready I",
        "Key",
    ];
    for message in cases {
        let mut session = Session::new(Timestamp(0));
        session.client(&client("Query select 1"), Timestamp(0)).expect("valid");
        let mut events = Vec::new();
        session.server(&server("Ready I"), Timestamp(0), &mut events).expect("valid");
        let fault = session.server(&server(message), Timestamp(0), &mut events).expect_err(message);
        assert_eq!(fault.sqlstate(), "08006");
        assert!(fault.to_string().contains("as the answer to nothing"), "{fault}");
    }
    holds(
        "C: Parse - one
         = 1 parse s=\"\" text=\"one\"
         C: Sync
         = pass
         S: Ready I
         = fault 08006 upstream server: ReadyForQuery came as the answer to frame 1",
    );
}

#[test]
fn an_invalid_frame_is_no_statement() {
    holds(
        "C: Garbage
         = fault 08P01 invalid string in frontend message \"Q\"
         ?: unanswered
         = []",
    );
}

#[test]
fn an_outcome_says_how_long_it_took() {
    let mut session = Session::new(Timestamp(5));
    session.client(&client("Query select 1"), Timestamp(1_000)).expect("valid");
    let mut events = Vec::new();
    let answer = [server("Complete SELECT 0"), server("Ready T")].concat();
    session.server(&answer, Timestamp(1_750), &mut events).expect("valid");
    let Some(Event::Outcome(outcome)) = events.first() else { panic!("no outcome") };
    assert_eq!(outcome.duration_us, 750);
    assert_eq!((session.transaction(), session.opened()), (TransactionStatus::Block, Timestamp(5)));
}

#[test]
fn memory_is_bounded() {
    let mut session = Session::new(Timestamp(0));
    let mut events = Vec::new();
    let text = "x".repeat(100_000);
    for number in 0..5_000 {
        let long = if number < 60 { text.as_str() } else { "short" };
        session.client(&client(&format!("Parse s{number} {long}")), Timestamp(0)).expect("valid");
        session.server(&server("ParseComplete"), Timestamp(0), &mut events).expect("valid");
    }
    assert!(session.state.statements.bytes() <= names::TEXT_BYTES_MAX);
    assert_eq!(session.state.queued_bytes, 0);
    assert!(!session.is_full());
    for _ in 0..AWAITED_MAX {
        session.client(&client("Sync"), Timestamp(0)).expect("valid");
    }
    assert!(session.is_full());
}

#[test]
fn a_client_that_never_syncs_after_an_error_is_stopped() {
    let mut session = Session::new(Timestamp(0));
    let mut events = Vec::new();
    session.client(&client("Execute -"), Timestamp(0)).expect("valid");
    session.server(&server("Error 34000 no portal"), Timestamp(0), &mut events).expect("valid");
    let flood: Result<Vec<Step>, Fault> =
        (0..=AWAITED_MAX).map(|_| session.client(&client("Execute -"), Timestamp(0))).collect();
    assert_eq!(flood.expect_err("stopped").sqlstate(), "54000");
    assert_eq!(session.state.awaited(), 0);
}
