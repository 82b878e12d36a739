use super::*;
use crate::wire::backend::{Backend, Walker};
use crate::wire::sqlstate;

fn told(bytes: &[u8]) -> Vec<String> {
    let mut told = Vec::new();
    let mut walker = Walker::new();
    walker.walk(bytes, |message| told.push(format!("{message:?}"))).expect("valid");
    assert!(walker.at_boundary());
    told
}

#[test]
fn a_report_carries_all_it_says() {
    let report = Report::new(Severity::Fatal, sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, "not allowed")
        .detail("acme has not allowed it")
        .hint("Ask an owner.\0X");
    let expected = b"E\0\0\0\x50SFATAL\0VFATAL\0C28000\0Mnot allowed\0Dacme has not allowed it\0HAsk an owner.X\0\0";
    assert_eq!(error_response(&report).as_ref(), expected);
    assert_eq!(notice(&report).first(), Some(&b'N'));
}

#[test]
fn every_message_reads_back() {
    assert_eq!(ready_for_query(TransactionStatus::Failed).as_ref(), b"Z\0\0\0\x05E");
    assert_eq!(authentication_ok().as_ref(), b"R\0\0\0\x08\0\0\0\0");
    assert_eq!(authentication_sasl(&["SCRAM-SHA-256"]).as_ref(), b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
    assert_eq!(authentication_sasl_continue(b"r=x").as_ref(), b"R\0\0\0\x0b\0\0\0\x0br=x");
    assert_eq!(authentication_sasl_final(b"v=x").as_ref(), b"R\0\0\0\x0b\0\0\0\x0cv=x");
    let key = Backend::BackendKeyData { pid: 77, secret: &[1, 2, 3, 4] };
    assert_eq!(told(&backend_key_data(77, &[1, 2, 3, 4])), [format!("{key:?}")]);
    let status = Backend::ParameterStatus { name: b"client_encoding", value: b"UTF8" };
    assert_eq!(told(&parameter_status("client_encoding", "UTF8")), [format!("{status:?}")]);
}
