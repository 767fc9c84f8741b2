//! What a start does first: it ends every call that a crash left, by what its slot says, so that nothing stays pending.

use weir_core::{Charged, Timestamp};

use crate::{
    Recovery, Store, StoreError,
    holds::{self, SlotState, end_by_restart},
    rows::Committer,
};

/// Gives every slot's call its row, all in one transaction. The slots are free to be reused when this returns.
pub(crate) fn sweep(store: &Store, committer: &mut Committer, now: Timestamp) -> Result<Recovery, StoreError> {
    let (mut found, damaged) = holds::read(store.dir())?;
    let mut recovery = Recovery { damaged, ..Recovery::default() };
    if found.is_empty() {
        return Ok(recovery);
    }
    for slot in &mut found {
        if slot.state != SlotState::Ended {
            end_by_restart(&mut slot.record);
        }
    }
    let known = committer.commit(found.iter().map(|slot| (&slot.record, slot.keyed.as_ref())), &[], now)?;
    let mut known = known.into_iter().peekable();
    for (place, slot) in found.iter().enumerate() {
        let count = match (slot.state, slot.record.charge.charged) {
            _ if known.next_if_eq(&place).is_some() => &mut recovery.freed,
            (SlotState::Ended, _) => &mut recovery.recorded,
            (_, Charged::Yes) => &mut recovery.settled,
            _ => &mut recovery.released,
        };
        *count += 1;
    }
    Ok(recovery)
}
