//! What is asked about the keyring's own file: which keys it holds, its copies, its generation.
//! Not here: how it is written (`file.rs`). No key leaves the keyring here.

use super::super::kept::Written;
use super::super::keys::Slot;
use super::super::protocol::{Answer, ITEMS_MAX, Request};
use super::{Error, Shared};

impl Shared {
    /// For what there are keys. None is disclosed, so there is nothing to record.
    pub(super) async fn held(&self, after: Option<Slot>) -> Answer {
        let kept = self.kept.lock().await;
        let keys = kept.keyring().held(after).take(ITEMS_MAX).collect();
        Answer::Held { generation: kept.generation(), keys }
    }

    /// Records that the file is about to be written, writes it, and records what became of it.
    pub(super) async fn rewrite(&self, uid: u32, request: &Request) -> Result<Answer, Error> {
        self.log.record(self.record(uid, request, "allowed")).await?;
        let mut kept = self.kept.lock().await;
        let written = match request {
            Request::Rotate => kept.rotate(&*self.entropy),
            _ => kept.back_up(&*self.entropy),
        };
        drop(kept);
        let mut became = self.record(
            uid,
            request,
            match &written {
                Ok(written) if written.behind.is_empty() => "written",
                Ok(_) => "pending",
                Err(_) => "error",
            },
        );
        became.values.message = match &written {
            Ok(written) => (!written.behind.is_empty()).then(|| written.behind.join(", ")),
            Err(error) => Some(error.to_string()),
        };
        self.log.record(became).await?;
        let Written { generation, behind, copies } = written?;
        Ok(Answer::Written { generation, behind, copies })
    }
}
