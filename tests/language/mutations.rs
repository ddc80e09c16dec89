//! Thousands of damaged files: bytes flipped, words swapped, doubled and taken out, files cut short. Each gives a program or
//! an error, and never a panic. The seed is printed; `PROJECTOR_TEST_SEED` sets it.

use std::path::Path;

use projector::language::diagnostic::Diagnostic;
use projector::language::render::render;

use super::compiled;

const MUTANTS: usize = 10_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// The files that are damaged: whole programs and small cases.
fn originals() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "tests/language/grammar",
        "tests/language/grammar/shared",
        "tests/language/accept",
        "projections",
        "projections/shared",
    ];
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is there") {
            let path = entry.expect("an entry is read").path();
            if path.extension().is_some_and(|extension| extension == "proj") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|path| std::fs::read(path).expect("the file is read")).collect()
}

/// Where words, numbers and marks begin and end.
fn words(text: &[u8]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let letters = text[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if !text[at].is_ascii_whitespace() {
            words.push((at, at + letters.max(1)));
        }
        at += letters.max(1);
    }
    words
}

/// Text that is likely to matter somewhere.
const SPLINTERS: [&str; 44] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "\"\"\"",
    "${",
    "`",
    "'",
    ".",
    "?.",
    "..",
    ",",
    ":",
    "=",
    "=>",
    "==",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "??",
    "|",
    "@",
    "<",
    ">",
    "not ",
    "if ",
    "else ",
    "match ",
    "let ",
    "none",
    "delete",
    "skip if ",
    "in ",
    "99999999999999999999",
    "1.5",
    "1h",
    "//",
    "\u{e5}",
];

fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = original.to_vec();
    for _ in 0..=random.below(3) {
        let words = words(&text);
        if words.is_empty() {
            return text;
        }
        let (start, end) = words[random.below(words.len())];
        match random.below(7) {
            0 => text[start] ^= 1 << random.below(8),
            1 => {
                let at = random.below(text.len());
                text[at] = random.next() as u8;
            }
            2 => {
                text.drain(start..end);
            }
            3 => {
                let word = text[start..end].to_vec();
                text.splice(start..start, word);
            }
            4 => {
                let (other, other_end) = words[random.below(words.len())];
                let word = text[other..other_end].to_vec();
                text.splice(start..end, word);
            }
            5 => {
                let splinter = SPLINTERS[random.below(SPLINTERS.len())];
                text.splice(start..start, splinter.bytes());
            }
            _ => text.truncate(random.below(text.len())),
        }
    }
    text
}

#[test]
fn no_text_harms_the_compiler() {
    let seed = std::env::var("PROJECTOR_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_101);
    println!("PROJECTOR_TEST_SEED={seed}");
    let originals = originals();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let originals = &originals;
            scope.spawn(move || {
                for mutant in (thread..MUTANTS).step_by(threads) {
                    try_mutant(originals, seed, mutant);
                }
            });
        }
    });
}

fn try_mutant(originals: &[Vec<u8>], seed: u64, mutant: usize) {
    let mut random = Random(seed.wrapping_add((mutant as u64).wrapping_mul(0x2545_f491_4f6c_dd1d)));
    let original = &originals[random.below(originals.len())];
    let text = mutated(original, &mut random);
    let outcome = std::panic::catch_unwind(|| {
        let (loaded, program, diagnostics) = compiled("mutant.proj", &text);
        let refused = diagnostics.iter().any(Diagnostic::is_error);
        let shown = render(&diagnostics, &loaded.sources, false);
        (program.is_some() != refused, !refused || shown.contains("mutant.proj"))
    });
    let shown = String::from_utf8_lossy(&text);
    assert!(matches!(outcome, Ok((true, true))), "mutant {mutant} of seed {seed}: {outcome:?}\n{shown}");
}
