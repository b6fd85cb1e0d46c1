//! The form in which a commit's metadata says what was settled beyond the committed offset, and how often the rest was tried.
//!
//! `w1`, then lengths that take turns, from the committed offset on: so many not settled, so many settled. Then `.` and triples about those that
//! are not settled, counted without the settled ones between them: so many to pass over, so many that were tried, so often each.
//! Numbers are written to the base of 32, lowest digit first, in the letters of base64; the sixth bit says that another digit follows.
//!
//! Where it does not fit, the triples are cut first, then the lengths, from the end: what is next to be handled is known for longest.

use super::ranges::Ranges;
use std::collections::BTreeMap;
use std::iter::Peekable;

const FORM: &str = "w1";
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const MORE: u64 = 32;
/// No member holds more; a text that says so is not ours.
const MOST_TRIED: u64 = 1 << 20;
/// Offsets are positive, and sums of them are to fit.
const HIGHEST: u64 = i64::MAX as u64;

pub(super) fn write(base: u64, settled: &Ranges, tries: &BTreeMap<u64, u32>, limit: usize) -> String {
    let mut text = String::from(FORM);
    let mut told = Vec::new();
    let mut at = base;
    for (start, end) in settled.iter().filter(|(_, end)| *end > base) {
        let start = start.max(base);
        if !push(&mut text, &[start - at, end - start], limit) {
            break;
        }
        told.push((start, end));
        at = end;
    }
    if !tries.is_empty() && text.len() < limit {
        text.push('.');
        let mut passed = 0;
        for (rank, run, times) in runs(base, &told, tries) {
            if !push(&mut text, &[rank - passed, run, u64::from(times)], limit) {
                break;
            }
            passed = rank + run;
        }
    }
    if text.len() <= FORM.len() + 1 || text.len() > limit { String::new() } else { text }
}

/// Those with equal tries that follow each other, by their rank among those that are not told to be settled.
fn runs(base: u64, told: &[(u64, u64)], tries: &BTreeMap<u64, u32>) -> Vec<(u64, u64, u32)> {
    let mut runs: Vec<(u64, u64, u32)> = Vec::new();
    let mut ranges = told.iter().peekable();
    let mut below = 0;
    for (offset, times) in tries.range(base..) {
        while let Some((start, end)) = ranges.next_if(|(_, end)| end <= offset) {
            below += end - start;
        }
        let rank = offset - base - below;
        match runs.last_mut() {
            Some((first, run, same)) if same == times && *first + *run == rank => *run += 1,
            _ => runs.push((rank, 1, *times)),
        }
    }
    runs
}

/// What was written; nothing of what cannot be read.
pub(super) fn read(base: u64, text: &str) -> Option<(Ranges, BTreeMap<u64, u32>)> {
    let (mut settled, mut tries) = (Ranges::default(), BTreeMap::new());
    let rest = text.strip_prefix(FORM)?;
    let (lengths, triples) = rest.split_once('.').unwrap_or((rest, ""));
    let (mut lengths, mut triples) = (lengths.bytes(), triples.bytes());
    let mut at = base;
    while lengths.len() > 0 {
        let start = add(at, number(&mut lengths)?)?;
        at = add(start, number(&mut lengths)?)?;
        settled.insert(start, at);
    }
    let mut walk = Walk { offset: base, ranges: settled.iter().peekable() };
    while triples.len() > 0 {
        let (skip, run, times) = (number(&mut triples)?, number(&mut triples)?, number(&mut triples)?);
        if run > MOST_TRIED || tries.len() as u64 + run > MOST_TRIED {
            return None;
        }
        walk.pass(skip)?;
        for _ in 0..run {
            tries.insert(walk.offset, u32::try_from(times).ok()?);
            walk.pass(1)?;
        }
    }
    drop(walk);
    Some((settled, tries))
}

/// From one that is not settled to the next.
struct Walk<I: Iterator<Item = (u64, u64)>> {
    offset: u64,
    ranges: Peekable<I>,
}

impl<I: Iterator<Item = (u64, u64)>> Walk<I> {
    /// Passes over so many that are not settled, and over all that are settled behind them.
    fn pass(&mut self, mut left: u64) -> Option<()> {
        add(self.offset, left)?;
        while let Some((start, end)) = self.ranges.next_if(|(start, _)| self.offset + left >= *start) {
            left -= start.saturating_sub(self.offset);
            self.offset = end;
        }
        self.offset = add(self.offset, left)?;
        Some(())
    }
}

fn add(one: u64, other: u64) -> Option<u64> {
    one.checked_add(other).filter(|sum| *sum <= HIGHEST)
}

/// Appends these numbers if all of them fit.
fn push(text: &mut String, numbers: &[u64], limit: usize) -> bool {
    let before = text.len();
    for number in numbers {
        let mut left = *number;
        loop {
            let digit = left % MORE;
            left /= MORE;
            text.push(char::from(LETTERS[(digit + if left > 0 { MORE } else { 0 }) as usize]));
            if left == 0 {
                break;
            }
        }
    }
    if text.len() > limit {
        text.truncate(before);
        return false;
    }
    true
}

fn number(letters: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number: u64 = 0;
    for place in 0..12 {
        let letter = letters.next()?;
        let digit = LETTERS.iter().position(|known| *known == letter)? as u64;
        number = number.checked_add((digit % MORE).checked_mul(1 << (5 * place))?)?;
        if digit < MORE {
            return (number <= HIGHEST).then_some(number);
        }
    }
    None
}
