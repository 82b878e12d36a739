use super::*;

/// `kind databases users [address[/netmask]] method [options…]`.
fn lines(text: &str) -> Vec<Line> {
    let list = |word: Option<&str>| word.unwrap_or_default().split(',').map(str::to_owned).collect();
    let parse = |(number, text): (usize, &str)| {
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        let (databases, users) = (list(words.next()), list(words.next()));
        let (address, netmask) = match words.next_if_network(&kind) {
            Some(word) => match word.split_once('/') {
                Some((address, netmask)) => (Some(address.to_owned()), Some(netmask.to_owned())),
                None => (Some(word.to_owned()), None),
            },
            None => (None, None),
        };
        let method = words.next().unwrap_or_default().to_owned();
        let options = words.map(str::to_owned).collect();
        let number = i32::try_from(number).unwrap_or_default() + 1;
        Line { number, kind, databases, users, address, netmask, method, options, error: None }
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate().map(parse).collect()
}

trait NextIfNetwork<'a> {
    fn next_if_network(&mut self, kind: &str) -> Option<&'a str>;
}

impl<'a, I: Iterator<Item = &'a str>> NextIfNetwork<'a> for I {
    fn next_if_network(&mut self, kind: &str) -> Option<&'a str> {
        if kind == "local" { None } else { self.next() }
    }
}

/// The numbers of the lines that are holes.
fn found(text: &str) -> Vec<String> {
    let number = |hole: String| hole.split(' ').nth(1).unwrap_or_default().to_owned();
    holes(&lines(text), "acme").into_iter().map(number).collect()
}

#[test]
fn only_lines_that_need_the_proxys_certificate_protect() {
    const PROXY: &str = "hostssl all +portreeve_staff 10.0.0.1/255.255.255.255 scram-sha-256 clientcert=verify-ca\n";
    let after_proxy = |rest: &str| found(&format!("{PROXY}{rest}"));
    let none: [&str; 0] = [];
    // the recommended lines
    assert_eq!(after_proxy("host all +portreeve_staff all reject\n local all all peer\n host all all all md5"), none);
    assert_eq!(
        after_proxy(
            "host all +portreeve_staff 0.0.0.0/0.0.0.0 reject\n host all +portreeve_staff ::/:: reject\n host all all all md5"
        ),
        none
    );
    // without the reject
    assert_eq!(after_proxy("host all all all scram-sha-256"), ["2"]);
    assert_eq!(after_proxy("host all all ::1/ffff scram-sha-256"), ["2"]);
    // a reject that is not wide enough
    assert_eq!(after_proxy("hostnossl all +portreeve_staff all reject\n host all all all scram-sha-256"), ["3"]);
    assert_eq!(after_proxy("host all +portreeve_staff 0.0.0.0/0.0.0.0 reject\n host all all ::/:: trust"), ["3"]);
    assert_eq!(after_proxy("host other +portreeve_staff all reject\n host all all all trust"), ["3"]);
    // the other order
    assert_eq!(
        found(&format!("host all all 127.0.0.1/255.255.255.255 trust\n{PROXY} host all +portreeve_staff all reject")),
        ["1"]
    );
    // the socket
    assert_eq!(after_proxy("host all +portreeve_staff all reject\n local all all trust"), ["3"]);
    assert_eq!(after_proxy("host all +portreeve_staff all reject\n local all all peer map=x"), ["3"]);
    assert_eq!(
        after_proxy("host all +portreeve_staff all reject\n local all +portreeve_staff reject\n local all all md5"),
        none
    );
    // a certificate without clientcert is no certificate, and only TLS has one
    assert_eq!(found("hostssl all +portreeve_staff all scram-sha-256"), ["1"]);
    assert_eq!(found("host all +portreeve_staff all scram-sha-256 clientcert=verify-ca"), ["1"]);
    assert_eq!(found("hostssl all +portreeve_staff all cert"), none);
    // another database's lines are its own affair
    assert_eq!(found("host globex all all trust\n host replication all all trust"), none);
    assert_eq!(found("host acme all all trust"), ["1"]);
}

#[test]
fn a_line_that_cannot_be_read_is_told() {
    let line = Line { number: 4, error: Some("invalid method".to_owned()), ..Line::default() };
    assert_eq!(holes(&[line], "acme"), ["line 4 of pg_hba.conf cannot be read: invalid method"]);
}

#[test]
fn a_provisioner_comes_from_named_networks_or_with_a_certificate() {
    let found = |text: &str| {
        let number = |way: String| way.split(' ').nth(1).unwrap_or_default().to_owned();
        ways_for_provisioner(&lines(text), "acme").into_iter().map(number).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    const OWN: &str = "hostssl all portreeve_provisioner 10.0.0.1/255.255.255.255 scram-sha-256\n";
    assert_eq!(found(&format!("{OWN} host all portreeve_provisioner all reject\n host all all all md5")), none);
    assert_eq!(found(&format!("{OWN} hostssl all all all cert")), none);
    assert_eq!(found(&format!("{OWN} host all all all scram-sha-256")), ["2"]);
    assert_eq!(found("hostssl all portreeve_provisioner 0.0.0.0/0.0.0.0 scram-sha-256"), ["1"]);
    assert_eq!(found("hostssl all portreeve_provisioner all scram-sha-256 clientcert=verify-full"), none);
    assert_eq!(found("host all portreeve_provisioner 0.0.0.0/0.0.0.0 reject\n host all all ::/:: trust"), ["2"]);
    assert_eq!(found("host globex all all trust\n local all all trust"), none);
    assert_eq!(found("host all /^portreeve all reject\n host all all all trust"), ["2"], "nobody knows whom it means");
}
