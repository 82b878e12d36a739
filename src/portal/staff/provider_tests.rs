use super::*;

#[test]
fn what_goes_into_a_form_or_a_header_is_escaped_and_in_place() {
    assert_eq!(encoded(&[]), "");
    let fields = [("grant_type", "authorization_code"), ("client_secret", "a secret & more=100%"), ("empty", "")];
    assert_eq!(encoded(&fields), "grant_type=authorization_code&client_secret=a%20secret%20%26%20more%3D100%25&empty=");
    let all = escaped("AZaz09-._~ /ä\n\u{7f}");
    assert_eq!(all.expose(), "AZaz09-._~%20%2F%C3%A4%0A%7F");
    assert!(all.expose().capacity() <= 3 * "AZaz09-._~ /ä\n\u{7f}".len(), "it never grew");
    // RFC 6749, section 2.3.1: both are encoded as in a form first.
    let header = basic("s6:Bhd", &Secret::new("gX1 fBat".to_owned()));
    assert_eq!(header.expose(), &format!("Basic {}", STANDARD.encode("s6%3ABhd:gX1%20fBat")));
}
