//! Bytes of a segment that are no whole batch, looked at while a log is verified: a torn tail, or something that was changed.
//! Not here: whole batches (`verify.rs`).

use super::{BLOCK, Check, Verdict};
use crate::disk::ReadAt;
use crate::log::Error;
use crate::log::segment::{Bad, Depth, Found, batch_at, file_name, last_not_zero, next_header};

impl Check<'_> {
    /// A batch that is not whole: a torn tail if nothing follows and nothing of it was signed. Gives the offset at
    /// which to go on, if there is one.
    pub(super) fn bad_batch(
        &mut self,
        segment: u64,
        offset: u64,
        bad: &Bad,
        file: &dyn ReadAt,
        length: u64,
        is_last: bool,
    ) -> Result<Option<u64>, Error> {
        let path = self.dir.join(file_name(segment));
        let storage = |error| Error::storage("read", &path, &error);
        let next = next_header(file, offset + BLOCK, length).map_err(storage)?;
        if self.is_live
            && next.is_some()
            && let Found::Batch(_) = batch_at(file, offset, length, Depth::Parts).map_err(storage)?
        {
            // It was being written just now.
            return Ok(Some(offset));
        }
        let was_signed = self.signed.is_some_and(|(size, _)| self.tree.size() < size);
        let dirty = last_not_zero(file, offset, length).map_err(storage)?.unwrap_or(offset);
        let is_longer = bad.header.as_ref().is_some_and(|header| dirty - offset >= header.length);
        let is_tail = is_last && next.is_none() && !was_signed && !is_longer && self.is_whole;
        if is_tail && self.is_live {
            return Ok(None);
        }
        let verdict = if is_tail { Verdict::Torn } else { Verdict::Forked };
        self.find_at(verdict, &file_name(segment), bad.offset, bad.position, bad.what);
        if is_tail {
            return Ok(None);
        }
        self.is_whole = false;
        Ok(next)
    }

    /// After the last batch of a segment there are zeros only.
    pub(super) fn check_rest(
        &mut self,
        segment: u64,
        offset: u64,
        file: &dyn ReadAt,
        length: u64,
        is_last: bool,
    ) -> Result<(), Error> {
        let path = self.dir.join(file_name(segment));
        let storage = |error| Error::storage("read", &path, &error);
        let Some(dirty) = last_not_zero(file, offset, length).map_err(storage)? else {
            return Ok(());
        };
        let next = next_header(file, offset, length).map_err(storage)?;
        let now = batch_at(file, offset, length, Depth::Leaves).map_err(storage)?;
        if is_last && self.is_live && (next.is_none() || matches!(now, Found::Batch(_))) {
            // Being written just now, and after the checkpoint was read.
            return Ok(());
        }
        if next.is_some() || !is_last {
            self.is_whole = false;
            self.find_at(
                Verdict::Missing,
                &file_name(segment),
                offset,
                None,
                "bytes follow where a batch is not there",
            );
        } else {
            self.find_at(Verdict::Torn, &file_name(segment), dirty, None, "bytes after the last batch are not zero");
        }
        Ok(())
    }
}
