use super::*;
use crate::register::Place;

/// Each row: what went wrong, the code, what is said: neither that something is done everywhere, nor that nothing is, where
/// that is not known.
#[test]
fn no_more_is_said_of_an_act_than_is_known() {
    let away = || {
        let place = Place::Server("postgresql://db:5432/portreeve".to_owned());
        Error::Server { doing: "append to", place, said: "it is away".to_owned() }
    };
    let shut = |reach| {
        let text = String::new;
        Error::Shut { locks: text(), by: text(), others: text(), reach, cause: Box::new(away()) }
    };
    for (fault, code, says) in [
        (
            Error::Unsure(Box::new(away())),
            sqlstate::TRANSACTION_RESOLUTION_UNKNOWN,
            "it is not known whether that was done",
        ),
        (away(), sqlstate::IO_ERROR, "the register of decisions could not be used, and nothing was changed"),
        (shut(Reach::All), sqlstate::IO_ERROR, "your access is shut, but the register does not have it yet"),
        (
            shut(Reach::Here),
            sqlstate::IO_ERROR,
            "your access is shut at this gate, but the register does not have it yet",
        ),
    ] {
        let told = refused(&fault);
        assert_eq!((told.sqlstate, told.message.as_str()), (code, says), "{fault}");
        assert!(!format!("{told:?}").contains("db:5432"), "no particulars of the vendor's machinery");
    }
}
