//! Sorting by the upper half of a u64: keys of f32 thresholds with the index of their leg below.

/// Below this many entries the sort of the standard library is faster. Measured.
const SMALL: usize = 512;

/// Bits per pass, and buckets.
const BITS: u32 = 11;
const BUCKETS: usize = 1 << BITS;

/// Sorts by the upper 32 bits, and among equal ones by bit 31. `spare` is scratch.
pub(super) fn sort(entries: &mut Vec<u64>, spare: &mut Vec<u64>) {
    if entries.len() < SMALL {
        entries.sort_unstable();
        return;
    }
    // Bit 31 orders gates and clamps of one key; the index below it does not matter.
    let shifts = [31, 31 + BITS, 31 + 2 * BITS];
    let digit = |entry: u64, shift: u32| (entry >> shift) as usize & (BUCKETS - 1);
    let mut counts = vec![[0_u32; BUCKETS]; shifts.len()];
    for &entry in entries.iter() {
        for (count, shift) in counts.iter_mut().zip(shifts) {
            count[digit(entry, shift)] += 1;
        }
    }
    spare.clear();
    spare.resize(entries.len(), 0);
    for (count, shift) in counts.iter_mut().zip(shifts) {
        if count.iter().any(|&n| n as usize == entries.len()) {
            continue;
        }
        let mut start = 0;
        for n in count.iter_mut() {
            start += std::mem::replace(n, start);
        }
        for &entry in entries.iter() {
            let next = &mut count[digit(entry, shift)];
            spare[*next as usize] = entry;
            *next += 1;
        }
        std::mem::swap(entries, spare);
    }
}
