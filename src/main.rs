//! Parses the arguments, starts a service or does what a verb says, and maps an error to an exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;
use portreeve::cli::{self, Arguments, Command, Exit, Failure, Service, Verb};
use portreeve::config::Config;
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::{config, observe, portal, proxy, retentiond, witness};
use tokio::runtime::{Builder, Runtime};
use zeroizing_alloc::ZeroAlloc;

/// After so many turns of sessions it is looked who was woken by the audit log's thread, and after so many at the sockets:
/// beside sessions that always have something to relay, the others would wait for long.
const LOOKS_AROUND: (u32, u32) = (2, 16);

/// Records are made on one thread and freed on another, many times a second. What Rust code frees on the heap is wiped:
/// statements, rows and keys pass through many buffers that are not ours, and of what was erased no process memory may yield
/// anything. HOLE: what C code frees (SQLite, the C library) goes by another allocator, which wipes nothing.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// How long what a role left to threads that wait for files may take, once it ended; a unit waits for 15 seconds.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let Arguments { config, format, command } = Arguments::parse();
    let done = match (command.service(), command) {
        (None, Command::Verb(Verb::Witness(command))) => watch(command),
        (Some(service), _) | (None, Command::Service(service)) => serve(service, &config),
        (None, Command::Verb(verb)) => run(verb, config, format),
    };
    done.unwrap_or_else(|failure| failure.tell()).into()
}

fn serve(service: Service, path: &Path) -> Result<Exit, Failure> {
    let config = config::load(path)?;
    observe::start(&config.observe.level, config.observe.format)?;
    config.rules()?;
    config.check_secrets(service.role())?;
    let runtime = match service {
        // One thread needs no scheduler that shares work among several, but has to be told to look around.
        Service::Proxy if config.proxy.threads == 1 => {
            let (receipts, sockets) = LOOKS_AROUND;
            Builder::new_current_thread()
                .global_queue_interval(receipts)
                .event_interval(sockets)
                .enable_all()
                .build()?
        }
        Service::Proxy => Builder::new_multi_thread().worker_threads(config.proxy.threads).enable_all().build()?,
        Service::Portal | Service::Keyring | Service::Retention { .. } => Runtime::new()?,
    };
    let ended = run_on(&runtime, service, config);
    // What reads or writes a folder that hangs, such as a mount whose server is away, is not waited for.
    runtime.shutdown_timeout(ENDED_WITHIN);
    ended
}

/// A role, until it is told to stop.
fn run_on(runtime: &Runtime, service: Service, config: Config) -> Result<Exit, Failure> {
    match service {
        Service::Proxy => runtime
            .block_on(proxy::run(config))
            .map_err(|error| if error.is_configuration() { Failure::configuration(&error) } else { error.into() })?,
        Service::Portal => runtime
            .block_on(portal::run(config))
            .map_err(|error| if error.is_configuration() { Failure::configuration(&error) } else { error.into() })?,
        Service::Keyring => runtime.block_on(cli::keyring::serve(config))?,
        Service::Retention { once } => {
            let is_well = runtime.block_on(retentiond::run(config, once)).map_err(|error| {
                if error.is_configuration() { Failure::configuration(&error) } else { error.into() }
            })?;
            return Ok(if is_well || !once { Exit::Done } else { Exit::Findings });
        }
    }
    Ok(Exit::Done)
}

/// A witness has no configuration file.
fn watch(command: cli::witness::Command) -> Result<Exit, Failure> {
    match command {
        cli::witness::Command::Init { state, name } => {
            let key = witness::create(&RealDisk, &state, &name, &OsEntropy)?;
            cli::say(&format!("{}\n", key.text()))?;
        }
        cli::witness::Command::Run(cli::witness::Running { state, listen, certificate, key }) => {
            observe::start("info", config::Format::Text)?;
            let settings = witness::Settings { state, listen, certificate, key };
            Runtime::new()?.block_on(witness::run(settings)).map_err(|error| {
                if error.is_configuration() { Failure::configuration(&error) } else { error.into() }
            })?;
        }
    }
    Ok(Exit::Done)
}

fn run(verb: Verb, path: PathBuf, format: cli::Format) -> Result<Exit, Failure> {
    observe::start("warn", config::Format::Text)?;
    Runtime::new()?.block_on(cli::run(verb, path, format))
}
