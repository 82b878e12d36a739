//! Whether pg_hba.conf lets a grant's role in by another road than the proxy: a role can change its own password. And the
//! provisioner, who can open grants, from anywhere.
//! Not here: which CA stands behind `clientcert`; that it signs for the proxy alone, only the operator knows.
//! First match decides: <https://www.postgresql.org/docs/current/auth-pg-hba-conf.html>.

/// One line of pg_hba.conf as the server reads it (`pg_hba_file_rules`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub number: i32,
    pub kind: String,
    pub databases: Vec<String>,
    pub users: Vec<String>,
    pub address: Option<String>,
    pub netmask: Option<String>,
    pub method: String,
    pub options: Vec<String>,
    pub error: Option<String>,
}

/// A way in: the socket, or a kind of connection over one of two address families.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Road {
    Socket,
    Network(Wire, Family),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Tls,
    Gss,
    Plain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

const NETWORK: [Road; 6] = [
    Road::Network(Wire::Tls, Family::V4),
    Road::Network(Wire::Tls, Family::V6),
    Road::Network(Wire::Gss, Family::V4),
    Road::Network(Wire::Gss, Family::V6),
    Road::Network(Wire::Plain, Family::V4),
    Road::Network(Wire::Plain, Family::V6),
];

/// The lines by which members of `portreeve_staff` may reach `database` without the proxy's certificate, and the lines
/// that could not be read; in words.
pub(super) fn holes(lines: &[Line], database: &str) -> Vec<String> {
    let mut open: Vec<Road> = std::iter::once(Road::Socket).chain(NETWORK).collect();
    let mut found = Vec::new();
    for line in lines {
        if let Some(error) = &line.error {
            found.push(format!("line {} of pg_hba.conf cannot be read: {error}", line.number));
            continue;
        }
        if !line.concerns(database) {
            continue;
        }
        let taken: Vec<Road> = line.roads().into_iter().filter(|road| open.contains(road)).collect();
        if !taken.is_empty() && !line.is_closed_to_others() {
            found.push(format!(
                "line {} of pg_hba.conf ({line}) admits them without the proxy's certificate",
                line.number
            ));
        }
        if line.decides_for_all_staff() {
            open.retain(|road| !taken.contains(road));
        }
    }
    found
}

/// The lines by which the provisioner may reach `database` from any address with its password alone; in words. Lines for
/// certain networks are taken for the proxies': only the operator knows those.
pub(super) fn ways_for_provisioner(lines: &[Line], database: &str) -> Vec<String> {
    let mut open: Vec<Road> = NETWORK.to_vec();
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| line.concerns(database)) {
        let taken: Vec<Road> = line.roads().into_iter().filter(|road| open.contains(road)).collect();
        if !taken.is_empty() && line.is_everywhere() && !line.is_closed_to_others() {
            found.push(format!("line {} of pg_hba.conf ({line}) admits the provisioner from anywhere", line.number));
        }
        let is_whole = line.users.iter().all(|name| !name.starts_with('/')) && line.is_of_all_databases();
        if line.is_everywhere() && is_whole {
            open.retain(|road| !taken.contains(road));
        }
    }
    found
}

impl Line {
    fn concerns(&self, database: &str) -> bool {
        let concerned =
            |name: &String| name == "all" || name == database || name == "samerole" || name.starts_with('/');
        self.databases.iter().any(concerned)
    }

    /// Rejects, or asks for what only the proxy has.
    fn is_closed_to_others(&self) -> bool {
        let verified = |option: &String| option == "clientcert=verify-ca" || option == "clientcert=verify-full";
        let mapped = self.options.iter().any(|option| option.starts_with("map="));
        match self.method.as_str() {
            "reject" | "cert" => true,
            // the operating system's user must have the role's name
            "peer" => !mapped,
            _ => self.kind == "hostssl" && self.options.iter().any(verified),
        }
    }

    /// Later lines are not looked at for any member of `portreeve_staff` that comes by one of `roads()`.
    fn decides_for_all_staff(&self) -> bool {
        let everybody = self.users.iter().any(|name| name == "all" || name == "+portreeve_staff");
        everybody && self.is_everywhere() && self.is_of_all_databases()
    }

    /// From whatever address.
    fn is_everywhere(&self) -> bool {
        match (self.address.as_deref(), self.netmask.as_deref()) {
            (Some("all"), _) | (Some("0.0.0.0"), Some("0.0.0.0")) | (Some("::"), Some("::")) => true,
            _ => self.kind == "local",
        }
    }

    /// What it names holds for whoever comes to the database that it concerns.
    fn is_of_all_databases(&self) -> bool {
        !self.databases.iter().any(|name| name.starts_with('/') || name == "samerole")
    }

    fn roads(&self) -> Vec<Road> {
        let wires: &[Wire] = match self.kind.as_str() {
            "local" => return vec![Road::Socket],
            "hostssl" => &[Wire::Tls],
            "hostnossl" => &[Wire::Gss, Wire::Plain],
            "hostgssenc" => &[Wire::Gss],
            "hostnogssenc" => &[Wire::Tls, Wire::Plain],
            _ => &[Wire::Tls, Wire::Gss, Wire::Plain],
        };
        let families: &[Family] = match self.address.as_deref() {
            Some(address) if address.contains(':') => &[Family::V6],
            Some(address) if address.parse::<std::net::Ipv4Addr>().is_ok() => &[Family::V4],
            Some(_) | None => &[Family::V4, Family::V6],
        };
        wires.iter().flat_map(|wire| families.iter().map(|family| Road::Network(*wire, *family))).collect()
    }
}

/// As it would be written.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.kind, self.databases.join(","), self.users.join(","))?;
        for part in [&self.address, &self.netmask].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        write!(f, " {}", self.method)?;
        self.options.iter().try_for_each(|option| write!(f, " {option}"))
    }
}

#[cfg(test)]
#[path = "hba_tests.rs"]
mod tests;
