//! Portreeve: the gate between a SaaS vendor's own staff and its customers' data.
//!
//! A TLS PostgreSQL proxy stands in front of the customers' databases. It lets support engineers in only where the
//! customer's owner allows it, and records every statement durably before it shows a row. This page is the
//! architecture; it says what is where, and above all what is *not*.
//!
//! # The one rule
//!
//! Nothing takes effect, and nothing is disclosed, before its record is durable. First a record that survives power
//! loss, then the act; if the record cannot be written, the act does not happen. One exception, on purpose: what only
//! narrows access happens at once and is recorded as soon as it can be.
//!
//! # One statement
//!
//! ```text
//!   psql ──TLS──▶ proxy                                                      PostgreSQL
//!                  │ wire      cut the frame out, validate it, keep its original bytes
//!                  │ session   what the frame is: statement text, bind values, frame number
//!                  │ grant     decide(state, ask, now) ─▶ Authorized, or a refusal that ends the session
//!                  │ log       append(record) ─▶ Enqueued ─▶ Receipt, once it is on the disk
//!                  │ release   forward(frame, Authorized, Receipt) ─────────────▶  executes as this grant's own role
//!                  │           readers overlap: the frame goes at once, what comes back waits for the Receipt
//!   rows    ◀──────│ release   disclose(bytes, released)            ◀───────────  rows, undecoded
//!                  │ session   the outcome: tag or SQLSTATE, rows, bytes, duration
//!                  │ log       note(outcome), with the next batch
//! ```
//!
//! The proofs are types. An `Authorized` comes only from `decide`, a `Receipt` only from a durable write; neither can
//! be cloned, and each release consumes its own. "Can anything slip past?" is answered by reading `proxy/release.rs`.
//!
//! # The map
//!
//! | layer | modules | what they are |
//! |---|---|---|
//! | words | [`ids`] [`clock`] [`entropy`] [`secret`] | names, time, randomness and secrets as values |
//! | pure core | `wire` `statement` [`grant`] [`audit`] `session` [`retention`] [`datamap`] | functions of values and `now` |
//! | adapters | `disk` [`log`] [`register`] [`keyring`] `fence` [`snapshots`] [`purge`] [`config`] | one seam each |
//! | | [`witnesses`] | those elsewhere who remember our logs |
//! | | `net` [`observe`] | the network, and what is said about ourselves |
//! | | [`keeping`] | what there is to keep, joined from several of them |
//! | services | [`proxy`] [`portal`] [`retentiond`] [`witness`] [`cli`] | what runs |
//!
//! - `wire` cuts PostgreSQL's frames and builds messages; `statement` labels a statement for readers of the log, and
//!   is never a fence; [`grant`] holds consent, grants and `decide`; [`audit`] says what a record is, how it is
//!   sealed, and how its place in a log is proved; `session` is one connection's state machine; [`retention`]
//!   says what was promised about keeping and deleting, and what follows from it; [`datamap`] where personal data
//!   is, and in which order it can go.
//! - [`log`] is the durable store of records; [`register`] the chained events of what was decided; [`keyring`] the only
//!   holder of keys that open records; `fence` what the database itself enforces; [`snapshots`] takes copies of the
//!   databases, seals them to a recipient, restores and deletes them; [`purge`] is what retention does inside a
//!   customers' database: reads its catalog, purges, verifies; [`witnesses`] tells those elsewhere how long the logs are;
//!   [`keeping`] joins the snapshot stores and the register's catalog, takes what is due and deletes what a plan says.
//! - [`proxy`], [`portal`], [`keyring`] and [`retentiond`] run under a user each, from one binary. The proxy also serves
//!   the desk, `dbname=portreeve`, where staff ask for access and give it back; the portal hands them short-lived
//!   passwords, at `/staff`. [`witness`] runs at a customer's or an auditor's, and sees how long logs are and nothing of
//!   what they hold.
//!
//! # What must not be
//!
//! - The core touches no socket, file or clock; a test of it is a table and a timestamp.
//! - No service imports another. No module imports one above it.
//! - The proxy holds no key that opens a record: it cannot read back what it wrote.
//! - The portal holds no credential of a customer's database; the keyring has no network.
//! - A statement is never judged by its text. What a reader may do is privileges of a database role, nothing else.
//! - Bytes are never rewritten: what is forwarded is what was validated, whole.
//! - A write to the log that failed is never tried again.
//! - There is no global state, no `unsafe`, and no second place that asks for the time or for randomness.
//! - A secret is in no argument, no environment variable and no message.
//!
//! # The import law
//!
//! `tests/tidy` reads every `crate::` path and holds this: words import nothing; core and adapters import the words;
//! `session` also `wire`, `statement` and `audit::record`; `log` also `audit`, `statement` and `disk`; `keyring` also
//! `audit`, `log` and `disk`; `register` these, `grant`, `net` and `config`; `fence` also `grant`, `wire` and `net`;
//! `snapshots` also `audit::keys`, `disk` and `net`; `purge` also `datamap` and `net`; `witnesses` also `audit`,
//! `log`, `disk`, `net` and `config`; `keeping` also `retention`, `grant`, `register`, `snapshots`, `config` and
//! `disk`; `net` also `wire`; `config` also `retention`, `grant` and `disk`; `observe` also `config`; services import
//! everything below them. The table in `tests/tidy/imports.rs` is the law; this is its summary.

pub mod clock;
pub mod entropy;
pub mod ids;
pub mod secret;

pub mod audit;
pub mod datamap;
pub mod grant;
pub mod retention;
pub mod session;
pub mod statement;
pub mod wire;

pub mod config;
pub mod disk;
pub mod fence;
pub mod keeping;
pub mod keyring;
pub mod log;
pub mod net;
pub mod observe;
pub mod purge;
pub mod register;
pub mod snapshots;
pub mod witnesses;

pub mod cli;
pub mod portal;
pub mod proxy;
pub mod retentiond;
pub mod witness;
