//! Whether somebody on the way held a stream back. A false alarm here sends people to search a healthy network, so each claim needs
//! what only a hop that stores can make.

use std::time::Duration;

use crate::trace::Measures;

/// Fewer events, or a shorter answer, tell nothing about buffering.
const EVENTS_MIN: u32 = 5;
const TOTAL_MIN: Duration = Duration::from_millis(500);
/// A burst is at most this long, or this share of the whole. The time is wide enough for a machine that is busy with something else while
/// the pieces come: what tells a store is that they are few, not that they are fast.
const BURST: Duration = Duration::from_millis(200);
const BURST_SHARE: u32 = 4;
/// A burst at the end begins behind this share of the whole, in percent.
const LATE_PERCENT: u32 = 70;
/// The same answer in one piece took at least this share of the stream's time, in percent.
const MAKING_PERCENT: u32 = 50;
/// A stored stream leaves in few pieces. The network may cut those, hardly ever between two events: of so many events at most one piece
/// ends there. Servers write a few events at once; none writes so many.
const EVENTS_A_PIECE: u32 = 8;
/// Sizes in which boxes hand blocks on, in bytes, and how near a block must come.
const BLOCKS: [u64; 3] = [4_096, 8_192, 16_384];
const NEAR_PERCENT: u64 = 5;
/// One block alone could be chance unless it is this exact, in bytes.
const EXACT_BYTES: u64 = 16;
/// What a head takes of the first buffer at most, in bytes.
const HEAD_BYTES: u64 = 1_536;

/// How a stream arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arriving {
    /// Event by event, or as near as the network lets them.
    Spread,
    /// All at the end, in pieces that a hop made.
    Buffered,
    /// In blocks of the size of somebody's buffer.
    Blocks,
    /// Too few events, or too short a time.
    TooShort,
    /// All at once after a wait, and nothing tells a store from a model that was slow to begin and then fast.
    Unclear,
}

/// How it arrived. `control` is how long the same answer took in one piece.
#[must_use]
pub fn arriving(seen: &Measures, control: Option<Duration>) -> Arriving {
    if seen.events < EVENTS_MIN || seen.total < TOTAL_MIN {
        return Arriving::TooShort;
    }
    let few_pieces = seen.aligned <= seen.events / EVENTS_A_PIECE && seen.pieces <= seen.events / 2;
    // Pieces that are many may have been bunched by anybody; they must come as fast as one before even a doubt is told.
    let is_together = few_pieces || seen.clusters.len() <= 2;
    let is_burst = is_together && seen.span() < BURST.max(seen.total / BURST_SHARE) && is_late(seen);
    // The same answer took as long in one piece: the time went into making it, not into waiting for its beginning.
    let took_as_long = control.is_none_or(|whole| whole * 100 >= seen.total * MAKING_PERCENT);
    if is_burst {
        // Heartbeats that came through alone were not stored, so events would not have been.
        if seen.beats_first {
            return Arriving::Spread;
        }
        return match (seen.is_framed, few_pieces && took_as_long) {
            (true, true) => Arriving::Buffered,
            _ => Arriving::Unclear,
        };
    }
    // A narrow link draws a stored stream out: nothing until the end, and then pieces that no server wrote.
    if is_late(seen) && few_pieces && took_as_long && seen.is_framed && !seen.beats_first {
        return Arriving::Unclear;
    }
    if is_blocks(seen) { Arriving::Blocks } else { Arriving::Spread }
}

/// Nothing came until most of the time was over.
fn is_late(seen: &Measures) -> bool {
    seen.first * 100 > seen.total * LATE_PERCENT
}

/// Few groups, and all but the last as large as a buffer. The first may be smaller: nginx puts the head into the same buffer.
fn is_blocks(seen: &Measures) -> bool {
    let Some((_, full)) = seen.clusters.split_last() else { return false };
    let groups = u64::try_from(seen.clusters.len()).unwrap_or(u64::MAX);
    let Some((first, rest)) = full.split_first().filter(|_| groups * 5 < u64::from(seen.events)) else { return false };
    let off = |bytes: u64| BLOCKS.iter().map(|block| (bytes.abs_diff(*block), *block)).min().unwrap_or((u64::MAX, 1));
    let is_near = |bytes: u64| off(bytes).0 * 100 <= off(bytes).1 * NEAR_PERCENT;
    let is_exact = |bytes: u64| off(bytes).0 <= EXACT_BYTES;
    if rest.is_empty() {
        return is_exact(first.bytes);
    }
    let shares_with_head = |block: u64| first.bytes <= block && block - first.bytes <= HEAD_BYTES;
    let is_after_head = rest.iter().all(|cluster| is_exact(cluster.bytes) && shares_with_head(off(cluster.bytes).1));
    is_after_head || full.iter().all(|cluster| is_near(cluster.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Cluster;

    fn seen(events: u32, first_ms: u64, last_ms: u64, total_ms: u64, pieces: u32) -> Measures {
        let at = Duration::from_millis;
        Measures {
            events,
            clusters: vec![Cluster { at: at(first_ms), end: at(last_ms), events, bytes: u64::from(events) * 200 }],
            first: at(first_ms),
            last: at(last_ms),
            total: at(total_ms),
            gap_max: at(first_ms),
            pieces,
            aligned: pieces,
            is_framed: true,
            beats_first: false,
        }
    }

    #[test]
    fn a_burst_in_few_pieces_at_the_end_is_a_store() {
        let control = Some(Duration::from_millis(1000));
        assert_eq!(arriving(&seen(40, 1000, 1005, 1010, 1), control), Arriving::Buffered);
        assert_eq!(arriving(&seen(40, 1000, 1005, 1010, 5), control), Arriving::Buffered);
        assert_eq!(arriving(&seen(40, 1000, 1005, 1010, 1), None), Arriving::Buffered);
        let in_packets = Measures { aligned: 1, ..seen(40, 1000, 1005, 1010, 8) };
        assert_eq!(arriving(&in_packets, control), Arriving::Buffered, "ten kilobytes are eight packets");
    }

    #[test]
    fn a_busy_machine_hides_no_store() {
        // The control was slow because it was the first call, or the stream because the machine was busy.
        for control in [550, 1000, 4000] {
            let control = Some(Duration::from_millis(control));
            assert_eq!(arriving(&seen(40, 1000, 1005, 1010, 1), control), Arriving::Buffered, "{control:?}");
        }
        // The machine had other things to do while the pieces lay there.
        let interrupted = |last_ms, total_ms| {
            let at = Duration::from_millis;
            let whole = seen(40, 1000, last_ms, total_ms, 4);
            let half = |from, end| Cluster { at: at(from), end: at(end), events: 20, bytes: 4000 };
            Measures { clusters: vec![half(1000, 1000), half(1090, 1090), half(last_ms, last_ms)], ..whole }
        };
        assert_eq!(arriving(&interrupted(1180, 1190), None), Arriving::Buffered);
        assert_eq!(arriving(&interrupted(1300, 1310), None), Arriving::Buffered);
    }

    #[test]
    fn what_a_healthy_api_can_do_is_never_called_a_store() {
        let control = Some(Duration::from_millis(1000));
        for (healthy, arrived) in [
            (seen(4, 1000, 1005, 1010, 1), Arriving::TooShort),
            (seen(40, 400, 405, 410, 1), Arriving::TooShort),
            // A slow start, then each event in a chunk of its own.
            (seen(40, 1000, 1005, 1010, 40), Arriving::Unclear),
            (seen(40, 1000, 1005, 1010, 6), Arriving::Unclear),
            // It waited for a lost packet: the whole answer took far less.
            (seen(40, 4000, 4005, 4010, 1), Arriving::Unclear),
            // Cut into crumbs on the way.
            (Measures { aligned: 2, ..seen(40, 1000, 1005, 1010, 700) }, Arriving::Unclear),
            (Measures { beats_first: true, ..seen(40, 1000, 1005, 1010, 1) }, Arriving::Spread),
            (Measures { is_framed: false, ..seen(40, 1000, 1005, 1010, 1) }, Arriving::Unclear),
        ] {
            assert_eq!(arriving(&healthy, control), arrived, "{healthy:?}");
        }
    }

    #[test]
    fn blocks_of_a_buffers_size_are_seen() {
        let clusters = |sizes: &[u64]| {
            let each = |(n, bytes): (usize, &u64)| {
                let at = Duration::from_millis(300 * (n as u64 + 1));
                Cluster { at, end: at, events: 15, bytes: *bytes }
            };
            let last = Duration::from_millis(300 * sizes.len() as u64);
            let base = seen(15 * u32::try_from(sizes.len()).unwrap(), 300, 300, 0, 3);
            Measures { clusters: sizes.iter().enumerate().map(each).collect(), last, total: last, ..base }
        };
        assert_eq!(arriving(&clusters(&[4096, 4090, 900]), None), Arriving::Blocks);
        assert_eq!(arriving(&clusters(&[16_384, 16_000, 900]), None), Arriving::Blocks);
        assert_eq!(arriving(&clusters(&[4096, 900]), None), Arriving::Blocks);
        assert_eq!(arriving(&clusters(&[4000, 900]), None), Arriving::Spread);
        assert_eq!(arriving(&clusters(&[4096, 3000, 900]), None), Arriving::Spread);
        // nginx: the head took its share of the first buffer.
        assert_eq!(arriving(&clusters(&[3713, 4096, 1061]), None), Arriving::Blocks);
        assert_eq!(arriving(&clusters(&[3713, 4000, 1061]), None), Arriving::Spread);
    }
}
