//! A browser, as far as signing in needs one: cookies, redirects, forms. curl does the work.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Nobody sends one around more often.
const HOPS_MAX: usize = 10;

pub(crate) struct Browser {
    jar: PathBuf,
    ca: PathBuf,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: u16,
    /// Where it came from, after all redirects.
    pub(crate) url: String,
    /// Where it sends one on; empty: nowhere.
    pub(crate) next: String,
    /// All but the time of day.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Shown {
    /// The short-lived password on a page.
    pub(crate) fn password(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let (_, rest) = self.body.split_once("<code id=\"token\">").expect("a password");
        let (password, _) = rest.split_once("</code>").expect("its end");
        assert!(password.len() >= 24, "{password}");
        password.to_owned()
    }

    /// Whether it is a refusal that says so.
    pub(crate) fn refuses(&self, status: u16, says: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let is_said = self.body.to_lowercase().contains(&says.to_lowercase());
        assert!(is_said && !self.body.contains("id=\"token\""), "{says}: {self:?}");
    }
}

impl Browser {
    /// One that nobody has used; it trusts the authorities in `ca`.
    pub(crate) fn new(jar: PathBuf, ca: PathBuf) -> Browser {
        Browser { jar, ca }
    }

    /// One request, no further.
    pub(crate) fn one(&self, url: &str, form: Option<&str>, headers: &[&str]) -> Shown {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "-w", "\n%{http_code} %{redirect_url}"]);
        curl.arg("--cacert").arg(&self.ca).arg("-b").arg(&self.jar).arg("-c").arg(&self.jar);
        let heads = self.jar.with_extension("headers");
        curl.arg("-D").arg(&heads);
        headers.iter().for_each(|header| {
            curl.args(["-H", header]);
        });
        if form.is_some() {
            // Not as an argument: it may be a secret.
            curl.args(["--data-binary", "@-"]);
        }
        let mut child =
            curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl");
        child.stdin.take().expect("piped").write_all(form.unwrap_or_default().as_bytes()).expect("written");
        let output = child.wait_with_output().expect("curl ends");
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = text.rsplit_once('\n').expect("a last line");
        let (status, next) = last.split_once(' ').expect("a status");
        let status = status.parse().expect("a number");
        let heads = std::fs::read_to_string(&heads).expect("headers");
        let is_kept = |line: &&str| !line.to_ascii_lowercase().starts_with("date:");
        let headers = heads.lines().filter(is_kept).map(str::to_owned).collect();
        Shown { status, url: url.to_owned(), next: next.to_owned(), headers, body: body.to_owned() }
    }

    /// A request, and wherever it leads, up to the first address that holds `stop`.
    pub(crate) fn follow(&self, url: &str, form: Option<&str>, headers: &[&str], stop: &str) -> Shown {
        let (mut shown, mut hops) = (self.one(url, form, headers), 0);
        while !shown.next.is_empty() && !shown.next.contains(stop) {
            hops += 1;
            assert!(hops <= HOPS_MAX, "sent around too often, at last to {}", shown.url);
            shown = self.one(&shown.next.clone(), None, headers);
        }
        shown
    }
}
