use super::*;

/// An owner who switched off is not told that nobody is let in where other gates may not know of it.
#[test]
fn what_is_shut_at_one_gate_is_not_said_to_be_shut_at_all() {
    for (reach, says, hint) in [
        (Reach::All, "access is shut, but the change could not be saved", "Nobody is let in meanwhile."),
        (
            Reach::Here,
            "access is shut at one gate, but the change could not be saved",
            "Your vendor's other gates may stay open until it is saved.",
        ),
    ] {
        let cause = Box::new(register::Error::LostRace(crate::ids::Sequence(3)));
        let text = String::new;
        let shut = register::Error::Shut { locks: text(), by: text(), others: text(), reach, cause };
        let told = Error::from(shut);
        assert_eq!((told.to_string().as_str(), told.status()), (says, StatusCode::SERVICE_UNAVAILABLE));
        assert!(told.hint().starts_with(hint), "{}", told.hint());
    }
}
