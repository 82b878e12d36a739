//! `keys destroy`: destroys what opens a closed customer's audit records, by the road that the retention daemon goes: the
//! promise and holds are asked, it is recorded who does it, a notice is issued, the keys go, and that is recorded.
//! Not here: the dates (`retention/closure`), the destroying (`keyring/`). Cut off anywhere, it is done again.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use clap::Args;
use serde_json::Value;

use super::standing::{Standing, refusal, standings};
use crate::audit::keys::{Part, Recipient, Recipients};
use crate::audit::public::{Lost, Notice};
use crate::cli::context::{Desk, and_then, customer, moment, warn};
use crate::cli::retention::people::People;
use crate::cli::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::grant::{Erasure, RecordPart};
use crate::ids::{CustomerId, EventId};
use crate::keeping::terms;
use crate::keyring::{Client, Doom, init, pinned};
use crate::log;
use crate::log::count::{count, noticed};
use crate::log::vouched::Vouched;
use crate::register::{Doomed, Erased, Gone, Register, Unknown, lawful_from, sealed_part};

/// The verb, as records name it.
const VERB: &str = "keys.destroy";

/// Whose keys.
#[derive(Debug, Args)]
pub struct Destroy {
    /// Whose, by name or id.
    customer: String,
    /// Only those of this part of the records, `values` or `skeleton`; without it, every part whose day has come.
    #[arg(long)]
    part: Option<RecordPart>,
    /// The customer's name once more; without it, it is asked for.
    #[arg(long, value_name = "NAME")]
    yes: Option<String>,
    #[command(flatten)]
    people: People,
}

/// What became of one part whose keys were due.
enum Became {
    /// They are gone; or a copy still holds them.
    Erased(Erased),
    /// It is not known, because.
    Failed(String),
    /// They were not touched: a part before it is not through.
    Waiting,
}

/// What became of all of them, and what broke off.
#[derive(Default)]
struct Through {
    parts: Vec<(RecordPart, Became)>,
    fault: Option<Failure>,
}

/// Destroys them; a row per part, however far it came, and exit code 4 if a copy still holds one.
pub(super) async fn destroy(context: &Context, wanted: Destroy) -> Result<(Table, Result<Exit, Failure>), Failure> {
    let register = context.register()?;
    let found = customer(register.state()?.as_ref(), &wanted.customer)?.clone();
    let (id, name) = (found.id, found.name.clone());
    let stands = standings(context, &register, &found, wanted.part).await?;
    let due: Vec<RecordPart> =
        stands.iter().filter(|(_, stands)| matches!(stands, Standing::Due)).map(|(part, _)| *part).collect();
    let is_refused = due.is_empty() && stands.iter().any(|(_, stands)| matches!(stands, Standing::Kept(_)));
    if !due.is_empty() {
        confirm(&name, wanted.yes.as_deref())?;
    }
    let passwords = wanted.people.passwords(false)?;
    let mut table = Table::new(&["customer", "part", "state", "keys", "at", "detail"]);
    let mut ended = Ok(Exit::Done);
    if !due.is_empty() || is_refused {
        let desk = context.desk(register.clone(), &[id]).await?;
        let signed = match passwords.signed_in(context.config.staff.sign_in, register.state()?.as_ref()) {
            Ok(signed) => signed,
            Err(why) => return Err(passwords.refuse(desk, VERB, &why).await?),
        };
        if is_refused {
            return Err(passwords.refuse(desk, VERB, &refusal(&name, &stands)).await?);
        }
        let words: Vec<&str> = due.iter().map(|part| part.word()).collect();
        signed.record(desk.log(), VERB, &format!("{id}: {}", words.join(", "))).await?;
        let through = destroy_parts(context, &desk, id, &due).await;
        ended = and_then(through.show(&name, &mut table), desk.close());
    }
    for (part, stands) in stands {
        let (state, at, detail) = match stands {
            Standing::Due => continue,
            Standing::Gone(at) => ("destroyed", moment(at), "before".to_owned()),
            Standing::Kept(why) => ("kept", Value::Null, why),
        };
        table.row([name.as_str().into(), part.word().into(), state.into(), Value::Null, at, detail.into()]);
    }
    Ok((table, ended))
}

impl Through {
    /// Destroys the keys of one part after the other, the skeleton after the values, and ends where one is not through.
    async fn parts(
        parts: &[RecordPart],
        mut destroy: impl AsyncFnMut(RecordPart) -> Result<Erased, Failure>,
    ) -> Through {
        let (mut through, mut goes_on) = (Through::default(), true);
        for part in parts.iter().copied() {
            let became = match if goes_on { Some(destroy(part).await) } else { None } {
                None => Became::Waiting,
                Some(Ok(erased)) => {
                    goes_on = matches!(erased, Erased::Done(_));
                    Became::Erased(erased)
                }
                Some(Err(fault)) => {
                    goes_on = false;
                    let why = fault.message().to_owned();
                    through.fault = Some(fault);
                    Became::Failed(why)
                }
            };
            through.parts.push((part, became));
        }
        through
    }

    /// A row for each, and what broke off.
    fn show(self, name: &str, table: &mut Table) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for (part, became) in self.parts {
            let (state, keys, at, detail) = match became {
                Became::Erased(Erased::Done(keys)) => {
                    ("destroyed", keys.into(), moment(SystemClock.now()), Value::Null)
                }
                Became::Erased(Erased::Pending(copies)) => {
                    exit = Exit::Findings;
                    let copies = copies.join(", ");
                    let detail = format!("copies of the keyring still hold them: {copies}; run this again");
                    ("pending", Value::Null, Value::Null, detail.into())
                }
                Became::Failed(why) => ("failed", Value::Null, Value::Null, why.into()),
                Became::Waiting => {
                    let detail = "not touched: what goes before is not through; run this again";
                    ("waiting", Value::Null, Value::Null, detail.into())
                }
            };
            table.row([name.into(), part.word().into(), state.into(), keys, at, detail]);
        }
        self.fault.map_or(Ok(exit), Err)
    }
}

/// Whoever destroys must say the name: no other key of it is anywhere.
fn confirm(name: &str, said: Option<&str>) -> Result<(), Failure> {
    let typed = match said {
        Some(said) => said.to_owned(),
        None if io::stdin().is_terminal() => {
            let _nobody = write!(
                io::stderr(),
                "nothing will ever open these audit records of \"{name}\" again; type its name to go on: "
            );
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => {
            return Err(Failure::usage(format!(
                "nothing will ever open these audit records again: say --yes {name}, or type the name at a terminal"
            )));
        }
    };
    if typed == name {
        return Ok(());
    }
    Err(Failure::usage(format!("\"{typed}\" is not the customer's name, which is \"{name}\": nothing is destroyed")))
}

async fn destroy_parts(context: &Context, desk: &Desk, customer: CustomerId, parts: &[RecordPart]) -> Through {
    let config = &context.config.keyring;
    let connected = async {
        let public = init::read_public_key(&config.public_key)?;
        Ok::<_, Failure>(Client::connect(&config.socket, public).await?)
    };
    match connected.await {
        Ok(keyring) => {
            let destroy = async |part| destroy_part(context, desk, &keyring, (customer, part)).await;
            Through::parts(parts, destroy).await
        }
        Err(fault) => {
            Through { parts: parts.iter().map(|part| (*part, Became::Waiting)).collect(), fault: Some(fault) }
        }
    }
}

async fn destroy_part(
    context: &Context,
    desk: &Desk,
    keyring: &Client,
    (customer, part): (CustomerId, RecordPart),
) -> Result<Erased, Failure> {
    let (acts, terms) = (desk.acts(), terms(&context.config.promise));
    // Passwords were typed, records counted since: a hold may have come, or a clock been set.
    still_due(context, desk, (customer, part)).await?;
    let known = Recipients::new();
    keyring.known(&known).await?;
    if known.is_stranger(Recipient::Customer(customer), sealed_part(part)) {
        return Err(Failure::refused(Unknown { customer, part }.to_string()));
    }
    let state = acts.register.state()?;
    let closure = state.customer(customer).and_then(|customer| customer.closure.as_ref());
    let lawful = closure.map(|closure| lawful_from(closure, part, &terms)).unwrap_or_else(|| SystemClock.now());
    let destroy = |doomed: Doomed| async move {
        let gone = async {
            tell(context, desk, known, &doomed, lawful).await?;
            // Counting takes its time as well.
            still_due(context, desk, (customer, part)).await?;
            let Doomed { event, customer, part } = doomed;
            let doom = Doom { event, recipient: Recipient::Customer(customer), parts: vec![part], periods: Vec::new() };
            let done = keyring.destroy(&doom).await?;
            Ok::<Gone, Failure>(Gone { keys: done.keys, pending: done.pending })
        };
        gone.await.map_err(|failure| failure.message().to_owned())
    };
    let erased = acts.erase((customer, part), &terms, destroy).await;
    match erased {
        Ok(erased) => Ok(erased),
        // a daemon that was at it at the same moment said so first
        Err(error) => match acts.register.state()?.customer(customer).and_then(|customer| customer.closure.as_ref()) {
            Some(closure) => match closure.erasure(part) {
                Erasure::Done { keys, .. } => Ok(Erased::Done(keys)),
                Erasure::Kept | Erasure::Begun { .. } => Err(error.into()),
            },
            None => Err(error.into()),
        },
    }
}

/// Refuses what is kept by now. What is gone meanwhile is found where it is told.
async fn still_due(context: &Context, desk: &Desk, (id, part): (CustomerId, RecordPart)) -> Result<(), Failure> {
    let register = &desk.acts().register;
    let state = register.state()?;
    let customer =
        state.customer(id).ok_or_else(|| Failure::refused(format!("{id} is not in the register any more")))?;
    let stands = standings(context, register, customer, Some(part)).await?;
    match refusal(&customer.name, &stands) {
        why if why.is_empty() => Ok(()),
        why => Err(Failure::refused(why)),
    }
}

/// Says in the log, to everybody and naming nobody, how many records nothing opens any more; once for each erasure.
async fn tell(
    context: &Context,
    desk: &Desk,
    known: Recipients,
    doomed: &Doomed,
    lawful: Timestamp,
) -> Result<(), Failure> {
    let (audit, Doomed { event, customer, part }) = (context.config.audit.directory.clone(), *doomed);
    let keyring_public = context.config.keyring.public_key.clone();
    let register = desk.acts().register.clone();
    let counting = tokio::task::spawn_blocking(move || {
        let logs = all(&audit, &keyring_public, &register)?;
        Ok::<_, Failure>(counted(&logs, (event, customer, part), &known)?)
    });
    let counted = counting.await.map_err(|_| Failure::failed("bug: the task that counts records panicked"))??;
    if let Some(logs) = counted {
        desk.log().notice(Notice::new(event, part, lawful, logs)).await?;
    }
    Ok(())
}

/// The logs, if all are there that must be: a notice with too low a number would be there for good.
fn all(audit: &Path, keyring_public: &Path, register: &Register) -> Result<Vouched, Failure> {
    let logs = pinned::logs(audit, keyring_public)?;
    logs.told().iter().for_each(|line| warn(line));
    let logs = logs.whole()?;
    register.check_there(audit, &pinned::names(keyring_public)?, &logs)?;
    Ok(logs)
}

/// How many records of which log lose that part; none if a notice said so before.
fn counted(
    logs: &Vouched,
    (event, customer, part): (EventId, CustomerId, Part),
    known: &Recipients,
) -> Result<Option<Vec<Lost>>, log::Error> {
    if noticed(logs.dirs(), logs.keys(), event, part)?.is_some() {
        return Ok(None);
    }
    // Its keys are destroyed, and nothing told of it: then nobody can count any more.
    if known.tag(Recipient::Customer(customer)).is_none() {
        return Ok(Some(Vec::new()));
    }
    let counted = count(logs.dirs(), customer, known, logs.keys())?.into_iter();
    Ok(Some(counted.map(|counted| Lost { log: counted.log, records: counted.records }).collect()))
}

#[cfg(test)]
#[path = "destroy_tests.rs"]
mod tests;
