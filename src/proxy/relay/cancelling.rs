//! A cancel of what the session runs, from its order until the server has signalled the backend. While it is under way
//! no further frame of the client is taken, so that it can hit nothing that was sent after it.
//! Not here: who may cancel, and the record (`proxy/cancel.rs`).

use std::pin::Pin;
use std::task::{Context, Poll};

use super::Relay;
use crate::net::upstream::{Canceller, Error};
use crate::proxy::live::Asker;

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The cancels that were asked for.
#[derive(Default)]
pub(super) struct Cancels {
    /// Those that came after the one under way.
    due: Vec<Asker>,
    stage: Stage,
}

/// How far a cancel has come.
#[derive(Default)]
enum Stage {
    /// None is under way.
    #[default]
    Idle,
    /// What it aims at is not all forwarded yet.
    Awaiting,
    /// The connection to the server is being made for these; what they aim at may end meanwhile.
    Connecting(Work<Canceller>, Vec<Asker>),
    /// The server is asked, and will close when it has signalled the backend. One signal for all who asked before.
    Asking(Work<()>, Vec<Asker>),
}

impl Cancels {
    pub(super) fn ask(&mut self, asker: Asker) {
        self.due.push(asker);
    }

    /// Whether the client's next frames have to wait.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }
}

impl Relay {
    /// Takes the cancel one step further; answers whether it went.
    pub(super) fn cancel(&mut self, cx: &mut Context<'_>) -> bool {
        let stage = std::mem::take(&mut self.cancels.stage);
        let (stage, moved) = match stage {
            Stage::Idle if self.cancels.due.is_empty() => (Stage::Idle, false),
            Stage::Idle | Stage::Awaiting if !self.waiting.is_empty() => (Stage::Awaiting, false),
            Stage::Idle | Stage::Awaiting => (self.connect_to_cancel(), true),
            Stage::Connecting(mut work, askers) => match work.as_mut().poll(cx) {
                Poll::Pending => (Stage::Connecting(work, askers), false),
                Poll::Ready(Ok(canceller)) => (self.ask_to_cancel(canceller, askers), true),
                Poll::Ready(Err(error)) => (self.not_passed_on(&error, askers), true),
            },
            Stage::Asking(mut work, askers) => match work.as_mut().poll(cx) {
                Poll::Pending => (Stage::Asking(work, askers), false),
                Poll::Ready(asked) => {
                    if let Err(error) = asked {
                        tracing::warn!(session = %self.who.session, %error, "a cancel may not have been passed on");
                    }
                    dealt_with(askers);
                    (Stage::Idle, true)
                }
            },
        };
        self.cancels.stage = stage;
        moved
    }

    fn connect_to_cancel(&mut self) -> Stage {
        match self.gate.target(&self.who.need).cloned() {
            Some(target) if !self.session.is_idle() => {
                let askers = std::mem::take(&mut self.cancels.due);
                Stage::Connecting(Box::pin(async move { target.canceller().await }), askers)
            }
            Some(_) | None => self.nothing_to_cancel(Vec::new()),
        }
    }

    /// As PostgreSQL has it, a cancel is for what runs; it is not kept for what comes next.
    fn nothing_to_cancel(&mut self, askers: Vec<Asker>) -> Stage {
        dealt_with(askers);
        dealt_with(std::mem::take(&mut self.cancels.due));
        Stage::Idle
    }

    fn ask_to_cancel(&mut self, canceller: Canceller, mut askers: Vec<Asker>) -> Stage {
        if self.session.is_idle() {
            return self.nothing_to_cancel(askers);
        }
        askers.append(&mut self.cancels.due);
        let (backend, secret) = self.who.backend.clone();
        let work = Box::pin(async move { canceller.cancel(backend, &secret).await });
        Stage::Asking(work, askers)
    }

    /// The server could not be reached for these. Who asked meanwhile is not told so for their sake: it is tried again.
    fn not_passed_on(&mut self, error: &Error, askers: Vec<Asker>) -> Stage {
        tracing::warn!(session = %self.who.session, %error, "a cancel could not be passed on");
        dealt_with(askers);
        Stage::Idle
    }
}

fn dealt_with(askers: Vec<Asker>) {
    for asker in askers {
        if asker.send(()).is_err() {
            tracing::trace!("who asked for a cancel waits no longer");
        }
    }
}
