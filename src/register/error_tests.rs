use super::*;
use crate::ids::CustomerId;

fn unconfirmed(place: &Place, by: &[&str], warnings: &[&str]) -> Error {
    let by = by.iter().map(PathBuf::from).collect();
    let told = Told { ended: 0, by, warnings: warnings.iter().map(|text| (*text).to_owned()).collect() };
    let cause = Error::Server { doing: "append to", place: place.clone(), said: "it is away".to_owned() };
    Error::unconfirmed(&[Lock::Customer(CustomerId(7))], &told, place, cause)
}

/// Each row: which proxies were told, what went wrong besides, how it is told where the register is a file, and what is said
/// besides where it is a server that proxies of other machines share.
#[test]
fn what_is_shut_on_this_machine_is_not_said_to_be_shut_on_others() {
    let file = Place::File("/var/lib/portreeve/register.sqlite".into());
    let server = Place::Server("postgresql://db:5432/portreeve".to_owned());
    let elsewhere = "proxies on other machines are not told, and may stay open until the register has it";
    for (by, warnings, said, besides) in [
        (&["/run/one"][..], &[][..], "in the proxy at /run/one, but", format!("/run/one ({elsewhere}), but")),
        (&["/run/one"], &["two is away"], "at /run/one (two is away), but", format!("(two is away; {elsewhere}), but")),
        (&[], &["one is away"], "told: one is away; stop", format!("told: one is away; {elsewhere}; stop")),
        (&[], &[], "told: none is configured; stop", format!("told: none is configured; {elsewhere}; stop")),
    ] {
        let (here, shared) = (unconfirmed(&file, by, warnings), unconfirmed(&server, by, warnings));
        assert!(here.to_string().contains(said) && !here.to_string().contains("other machines"), "{here}");
        assert!(shared.to_string().contains(&besides), "{besides}: {shared}");
        match shared {
            Error::Shut { reach, .. } => assert!(reach == Reach::Here && !by.is_empty()),
            other => assert!(matches!(other, Error::Open { .. }) && by.is_empty(), "{other}"),
        }
    }
}
