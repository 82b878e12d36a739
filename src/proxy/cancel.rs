//! A cancel request: whose session it means, its record, and how long whoever asked is kept waiting.
//! Not here: whether and when the server is asked (`relay/cancelling.rs`).
//! [PostgreSQL 18, cancelling](https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS)

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Gate;
use crate::audit::record::{Kind, Record};
use crate::net::entry::{Asking, CancelKey};
use crate::proxy::live::Order;

impl Gate {
    /// A cancel reaches only the session whose secret it shows. It is recorded first. Its connection is closed when it
    /// was dealt with, which is all a client ever learns: a statement that it sends after that is out of the cancel's
    /// reach. Whatever takes longer than until then is closed without close_notify, as something that broke.
    pub(super) async fn cancel(&self, asking: Asking, key: &CancelKey, address: SocketAddr, until: Instant) {
        let dealt_with = async { if self.record_and_tell(key, address).await { asking.close().await } else { Ok(()) } };
        match timeout_at(until, dealt_with).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "who asked for a cancel did not wait for its end"),
            Err(_) => tracing::warn!(%address, "a cancel was not dealt with in time"),
        }
    }

    /// Answers whether it was recorded; then the session, if it is one's, has dealt with it.
    async fn record_and_tell(&self, key: &CancelKey, address: SocketAddr) -> bool {
        let holder = self.live.holder_of(key.pid, &key.secret);
        let now = self.clock.now();
        let mut record = Record::new(now, Kind::Cancelled, holder.as_ref().map(|entry| entry.customer));
        record.skeleton.result = Some(if holder.is_some() { "passed on" } else { "unknown" }.to_owned());
        record.skeleton.session = holder.as_ref().map(|entry| entry.session);
        record.skeleton.staff = holder.as_ref().map(|entry| entry.staff.0);
        record.skeleton.grant = holder.as_ref().map(|entry| entry.grant.0);
        record.values.from = Some(address.to_string());
        match (self.log.record(record).await, holder) {
            (Ok(_), Some(entry)) => {
                let (asker, dealt_with) = oneshot::channel();
                let told = self.live.tell(entry.session, Order::Cancel(asker));
                tracing::info!(session = %entry.session, told, "cancel");
                // A session that ended instead is as good: it has no next statement.
                let ended = dealt_with.await.is_err();
                tracing::debug!(session = %entry.session, ended, "the cancel was dealt with");
                true
            }
            (Ok(_), None) => {
                tracing::info!(%address, "a cancel with no session's secret");
                true
            }
            (Err(error), _) => {
                tracing::error!(%error, "a cancel could not be recorded and is not passed on");
                false
            }
        }
    }
}
