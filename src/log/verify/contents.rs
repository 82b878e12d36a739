//! What a leaf is a leaf of, looked at while a log is verified: what is open to everybody, and with keys a record.
//! Not here: the leaf itself, and whether its parts are those that it names (`verify.rs`, `segment.rs`).
//! FORMAT.md, "What is open to everybody" and "The leaf".

use super::{Check, Verdict};
use crate::audit::keys::{Part, Recipient};
use crate::audit::public::Public;
use crate::audit::record::Kind;
use crate::log::open::open;
use crate::log::reader::Entry;

impl Check<'_> {
    /// What is open to everybody stands where it may.
    pub(super) fn check_open(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), &'static str> {
        let place = &entry.descriptor.place;
        let public = Public::parse(place.kind, bytes).ok_or("what is open to everybody cannot be read")?;
        let is_first = place.position == 0;
        if place.kind == Kind::Continues && !is_first {
            return Err("the log goes on from another in its middle");
        }
        self.open.push((place.position, place.at, public));
        Ok(())
    }

    /// With keys: the link to the recipient's previous record, and both parts.
    pub(super) fn check_content(&mut self, entry: &Entry) -> Result<(), (Verdict, String)> {
        let (Some(opening), Some(origin), Some(tags)) = (self.opening, &self.origin, &mut self.tags) else {
            return Ok(());
        };
        let Some(recipient) = entry.recipient(tags) else {
            self.lost.unclaimed += u64::from(entry.position() < self.known);
            return Ok(());
        };
        let mut vendor = false;
        for (part, count) in [(Part::Values, &mut self.lost.values), (Part::Skeleton, &mut self.lost.skeletons)] {
            let of = self.key_positions.get(&entry.descriptor.part(part).key);
            let erased = of.is_some_and(|(.., period)| opening.recipients.is_erased(recipient, part, *period));
            match recipient {
                Recipient::Customer(_) => *count += u64::from(erased),
                Recipient::Vendor => vendor |= erased,
            }
        }
        self.lost.vendor += u64::from(vendor);
        let before = self.links.insert(recipient, entry.descriptor.leaf_hash());
        let link = tags.tagger(recipient).map(|tagger| tagger.link(before.as_ref()));
        if self.is_whole && link != Some(entry.descriptor.place.link) {
            return Err((Verdict::Missing, format!("a record of {recipient} before this one is not there")));
        }
        open(origin, entry, recipient, opening.keys).map_err(|error| (Verdict::WrongKey, error.to_string()))?;
        Ok(())
    }
}
