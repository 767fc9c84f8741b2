//! The simulated world: clients, gateway and upstream on one clock and one seed.

/// A gateway broken on purpose, to show that the laws catch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sabotage {
    #[default]
    None,
    /// The charge is made twice.
    DoubleSettle,
    /// A cut stream gets an end marker.
    ForgedDone,
    /// Half an event is passed before the error event.
    HalfEvent,
    /// A call leaves no record.
    DroppedRecord,
}
