use super::*;
use crate::entropy::OsEntropy;

const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

fn cookie(flow: &Flow) -> String {
    flow.set_cookie().split(';').next().map(str::to_owned).expect("a cookie")
}

#[test]
fn whoever_comes_back_with_their_own_cookie_and_state_goes_on() {
    let flows = Flows::new(&OsEntropy);
    let flow = flows.begin(NOON, &OsEntropy);
    let cookies = format!("other=1; {}; more=2", cookie(&flow));
    let later = NOON.plus(Duration::from_secs(599));
    let resumed = flows.resume([cookies.as_str()].into_iter(), &flow.state, later).expect("it goes on");
    assert_eq!((&resumed.nonce, resumed.verifier.expose()), (&flow.nonce, flow.verifier.expose()));
    assert!(flow.state != flow.nonce && flow.nonce != *flow.verifier.expose(), "none follows from another");
    assert_eq!(flow.challenge().len(), 43);
    let shown = flow.set_cookie();
    for flag in ["__Host-", "Path=/;", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(shown.contains(flag), "{shown}");
    }
    for secret in [&flow.state, &flow.nonce, flow.verifier.expose()] {
        assert!(!shown.contains(secret.as_str()), "the browser could make it up");
    }
}

#[test]
fn nobody_else_does() {
    let flows = Flows::new(&OsEntropy);
    let (flow, other) = (flows.begin(NOON, &OsEntropy), flows.begin(NOON, &OsEntropy));
    let resumes =
        |flows: &Flows, cookie: &str, state: &str, now| flows.resume([cookie].into_iter(), state, now).is_some();
    let own = cookie(&flow);
    assert!(resumes(&flows, &own, &flow.state, NOON));
    assert!(!resumes(&flows, &own, &other.state, NOON), "another sign-in's state");
    assert!(!resumes(&flows, &cookie(&other), &flow.state, NOON), "another browser");
    assert!(!resumes(&flows, "", &flow.state, NOON), "no cookie");
    assert!(!resumes(&flows, &own, "", NOON), "no state");
    assert!(!resumes(&flows, &own, &flow.state, NOON.plus(FLOW_WITHIN)), "too late");
    assert!(!resumes(&flows, &own, &flow.state, Timestamp(NOON.0 - 1)), "not begun yet");
    assert!(!resumes(&Flows::new(&OsEntropy), &own, &flow.state, NOON), "another portal");
    // A cookie that somebody made up, a later beginning in it.
    let later = own.replace(&NOON.0.to_string(), &(NOON.0 + 1).to_string());
    assert!(!resumes(&flows, &later, &flow.state, NOON.plus(Duration::from_secs(1))));
}
