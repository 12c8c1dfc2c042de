//! The evaluation kernels, compiled for the CPU by the header `tests/kernels/cuda_host.h`, against
//! [`canonical_profit`]: every bit, under several schedules and under the sanitizers.
//!
//! Needs a C++ compiler (`$CXX`, or `c++`). Without one, or without the runtime library of a
//! sanitizer, a test says so and passes, unless `TRISECT_TEST_REQUIRE` names `cxx`.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use half::{bf16, f16};
use trisect::{Bar, Batch, ExitRule, Leg, Multipliers, Side, canonical_profit};

use crate::support::{Columns, KINDS, Kind, Rng, candidates, package, required, scratch};

/// Legs per side of a simulation that can be packed, as in `kernels/evaluate.cu`.
const MAX_PACKED: usize = 8;

/// How the legs are stored on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Storage {
    F32,
    F16,
    Bf16,
}

impl Storage {
    /// Rounds to the 16-bit format: its bits, and the value they stand for.
    fn round(self, x: f32) -> (u16, f32) {
        match self {
            Self::F16 => (f16::from_f32(x).to_bits(), f16::from_f32(x).to_f32()),
            _ => (bf16::from_f32(x).to_bits(), bf16::from_f32(x).to_f32()),
        }
    }
}

/// What the simulations of a case look like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// 1 to 8 bars.
    Tiny,
    /// 1 to 1031 bars.
    Ragged,
    /// Tiny and ragged ones.
    Mixed,
    /// Two legs per bar.
    AlwaysOn,
    /// One of 5000 bars.
    Huge,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Grouping {
    All,
    PerSimulation,
    /// Any simulation to any of five groups, some of them empty.
    Named,
}

/// How large the cases are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Full,
    /// For the sanitizers, which run every CUDA thread as a thread.
    Small,
}

/// The legs of one simulation, longs first, and how they are stored.
struct Stored {
    longs: usize,
    legs: Vec<Leg>,
    /// For the 16-bit storages.
    records: Vec<[u16; 6]>,
    capped: bool,
}

impl Stored {
    fn new(legs: impl Iterator<Item = (Bar, f32)>, storage: Storage, fee: f32) -> Self {
        let mut sides = [Vec::new(), Vec::new()];
        let mut capped = false;
        for (bar, position) in legs {
            let (record, bar, position) = match storage {
                Storage::F32 => ([0; 6], bar, position),
                _ => round_bar(storage, &bar, position),
            };
            if let Some(leg) = Leg::new(&bar, position, fee) {
                capped |= bar.high >= 10.0;
                sides[usize::from(leg.side == Side::Short)].push((leg, record));
            }
        }
        let longs = sides[0].len();
        let (legs, records) = sides.into_iter().flatten().unzip();
        Self {
            longs,
            legs,
            records,
            capped,
        }
    }

    fn shorts(&self) -> usize {
        self.legs.len() - self.longs
    }

    fn is_tiny(&self) -> bool {
        self.longs.max(self.shorts()) <= MAX_PACKED
    }
}

/// The record of a bar, and the bar that it stands for.
fn round_bar(storage: Storage, bar: &Bar, position: f32) -> ([u16; 6], Bar, f32) {
    let fields = [
        bar.close,
        bar.high,
        bar.low,
        bar.high_pred,
        bar.low_pred,
        position.abs().min(10.0),
    ];
    let mut rounded = fields.map(|x| storage.round(x));
    if rounded[2].1 <= -1.0 {
        // Lows lie above -1 in the storage, too. One ulp towards zero.
        rounded[2] = match storage {
            Storage::F16 => storage.round(-0.9995),
            _ => storage.round(-0.996),
        };
        assert!(rounded[2].1 > -1.0);
    }
    let [close, high, low, high_pred, low_pred, weight] = rounded.map(|(_, value)| value);
    let bar = Bar {
        close,
        high,
        low,
        high_pred,
        low_pred,
    };
    (
        rounded.map(|(bits, _)| bits),
        bar,
        weight.copysign(position),
    )
}

/// One launch, and what must come out.
struct Case {
    /// For the message of a failure.
    description: String,
    bytes: Vec<u8>,
}

/// Little-endian words and arrays, as `tests/kernels/runner.cpp` reads them.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, word: u32) {
        self.0.extend(word.to_le_bytes());
    }

    fn array<const N: usize>(&mut self, elements: impl IntoIterator<Item = [u8; N]>) {
        let at = self.0.len();
        self.0.extend(0_u64.to_le_bytes());
        self.0.extend(elements.into_iter().flatten());
        let bytes = (self.0.len() - at - size_of::<u64>()) as u64;
        self.0[at..at + size_of::<u64>()].copy_from_slice(&bytes.to_le_bytes());
    }
}

/// Neighbouring 32-bit words.
fn words<const N: usize, const BYTES: usize>(words: [u32; N]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.below(choices.len())]
}

fn draw_batch(rng: &mut Rng, kind: Kind, shape: Shape, size: Size) -> Batch {
    let small = size == Size::Small;
    let longest = if small { 90 } else { 1031 };
    let lengths: Vec<usize> = match shape {
        Shape::Tiny => (0..1 + rng.below(if small { 12 } else { 40 }))
            .map(|_| 1 + rng.below(8))
            .collect(),
        Shape::Ragged => (0..1 + rng.below(4))
            .map(|_| 1 + rng.below(longest))
            .collect(),
        Shape::Mixed => (0..2 + rng.below(12))
            .map(|index| 1 + rng.below(if index % 3 == 0 { longest / 3 } else { 8 }))
            .collect(),
        Shape::AlwaysOn => (0..1 + rng.below(3))
            .map(|_| 1 + rng.below(longest / 3))
            .collect(),
        Shape::Huge => vec![if small { 300 } else { 5000 }],
    };
    let with_sell = rng.below(3) > 0;
    let mut builder = Batch::builder();
    for (index, bars) in lengths.into_iter().enumerate() {
        let mut columns = Columns::draw(rng, kind, bars);
        if index % 7 == 5 {
            // No leg at all.
            columns.position.fill(0.0);
        }
        let simulation = match shape {
            Shape::AlwaysOn => {
                columns.position.iter_mut().for_each(|x| *x = x.abs());
                columns.sell.iter_mut().for_each(|x| *x = -x.abs());
                columns.always_on(with_sell)
            }
            _ => columns.entry_exit(),
        };
        builder.push(simulation).unwrap();
    }
    builder.build().unwrap()
}

/// Lengths of lists: small ones, and those around the tiles of the kernels.
fn draw_count(rng: &mut Rng, size: Size) -> usize {
    match rng.below(if size == Size::Small { 3 } else { 5 }) {
        0 => rng.below(4),
        1 => 1 + rng.below(24),
        2 => 30 + rng.below(40),
        3 => 255 + rng.below(3),
        _ => 1 + rng.below(600),
    }
}

/// Candidates of the batch, and some that lie on a gate of a leg or on the float behind it.
fn draw_list(
    rng: &mut Rng,
    batch: &Batch,
    simulations: &[Stored],
    count: usize,
) -> Vec<Multipliers> {
    let mut pairs = candidates(rng, batch, count);
    let gates: Vec<&Leg> = simulations.iter().flat_map(|one| &one.legs).collect();
    if gates.is_empty() {
        return pairs;
    }
    for pair in pairs.iter_mut().step_by(3) {
        let (high, low) = (gates[rng.below(gates.len())], gates[rng.below(gates.len())]);
        if high.high_gate.is_finite() {
            pair.high = pick(rng, &[high.high_gate, high.high_gate.next_up()]);
        }
        if low.low_gate.is_finite() {
            pair.low = pick(rng, &[low.low_gate, low.low_gate.next_down()]);
        }
    }
    pairs
}

fn draw(rng: &mut Rng, size: Size, shape: Shape, kernel: u32) -> Case {
    let kind = KINDS[rng.below(KINDS.len())];
    let storage = [Storage::F32, Storage::F16, Storage::Bf16][kernel as usize / 2];
    let exit_rule = [ExitRule::Intraday, ExitRule::AtClose][kernel as usize % 2];
    let grouping = pick(
        rng,
        &[Grouping::All, Grouping::PerSimulation, Grouping::Named],
    );
    let fee = pick(rng, &[0.0, 0.000_027_8, 0.008, 1.0 / 1024.0]);
    let batch = draw_batch(rng, kind, shape, size);
    let simulations: Vec<Stored> = batch
        .simulations()
        .map(|simulation| Stored::new(simulation.positions(), storage, fee))
        .collect();

    // Groups, and their lists.
    let (group_of, groups): (Vec<usize>, usize) = match grouping {
        Grouping::All => (vec![0; batch.len()], 1),
        Grouping::PerSimulation => ((0..batch.len()).collect(), batch.len()),
        Grouping::Named => ((0..batch.len()).map(|_| rng.below(5)).collect(), 5),
    };
    let shared_list = rng.below(2) == 0;
    let longest_list = match shape {
        Shape::Huge => 40,
        _ => 600,
    };
    let count = |rng: &mut Rng| draw_count(rng, size).min(longest_list);
    let lists: Vec<Vec<Multipliers>> = if shared_list {
        let count = count(rng);
        vec![draw_list(rng, &batch, &simulations, count); groups]
    } else {
        let counts: Vec<usize> = (0..groups).map(|_| count(rng)).collect();
        let lists = counts.into_iter();
        lists
            .map(|count| draw_list(rng, &batch, &simulations, count))
            .collect()
    };

    // The launch: tiny simulations last, and the rest by length.
    let mut slots: Vec<usize> = (0..batch.len()).collect();
    slots.sort_by_key(|&slot| {
        let simulation = &simulations[slot];
        (simulation.is_tiny(), usize::MAX - simulation.legs.len())
    });
    let first_tiny = slots.partition_point(|&slot| !simulations[slot].is_tiny());
    let packed_from = match rng.below(3) {
        0 => slots.len(),
        1 => first_tiny,
        _ => first_tiny + rng.below(slots.len() - first_tiny + 1),
    };
    let by_legs = match rng.below(3) {
        0 => 0,
        1 => packed_from,
        _ => rng.below(packed_from + 1),
    };
    let blocks: &[u32] = match size {
        Size::Full => &[32, 64, 96, 128],
        Size::Small => &[32, 64],
    };
    let block = pick(rng, blocks);
    let splits = 1 + rng.below(4) as u32;
    let pack_lanes = pick(rng, &[1, 2, 4, 8, 16, 32]);

    // What must come out.
    let profits: Vec<Vec<f32>> = simulations
        .iter()
        .zip(&group_of)
        .map(|(simulation, &group)| {
            let pairs = lists[group].iter();
            pairs
                .map(|&pair| canonical_profit(&simulation.legs, pair, fee, exit_rule))
                .collect()
        })
        .collect();
    let wants_sums = rng.below(3) > 0;
    let greatest = profits
        .iter()
        .flatten()
        .fold(0.0, |a: f32, &b| a.max(b.abs()));
    // Far from an overflow, and often so few bits that rounding shows.
    let most_bits = (50.0 - f64::from(greatest.max(1e-3)).log2()) as u64;
    let scales: Vec<f64> = (0..groups)
        .map(|_| f64::from_bits((1023 + rng.next() % most_bits) << 52))
        .collect();
    let mut offsets = vec![0];
    for list in &lists {
        offsets.push(offsets[offsets.len() - 1] + list.len());
    }
    let mut sums = vec![0_i64; if wants_sums { offsets[groups] } else { 0 }];
    if wants_sums {
        for (profits, &group) in profits.iter().zip(&group_of) {
            let sums = &mut sums[offsets[group]..];
            for (sum, &profit) in sums.iter_mut().zip(profits) {
                *sum += (f64::from(profit) * scales[group]).round_ties_even() as i64;
            }
        }
    }
    let single = wants_sums && grouping == Grouping::PerSimulation;

    // On disk.
    let mut writer = Writer::default();
    for word in [
        kernel,
        block,
        splits,
        lists[0].len() as u32,
        by_legs as u32,
        packed_from as u32,
        pack_lanes,
        u32::from(single),
        fee.to_bits(),
        u32::from(!shared_list),
        u32::from(wants_sums),
    ] {
        writer.word(word);
    }
    let legs = || simulations.iter().flat_map(|simulation| &simulation.legs);
    let in_f32 = storage == Storage::F32;
    let of_f32 = || legs().take(if in_f32 { usize::MAX } else { 0 });
    writer.array(of_f32().map(|leg| {
        let gates = [leg.high_gate, leg.low_gate, leg.high_offset, leg.low_pred];
        words::<4, 16>(gates.map(f32::to_bits))
    }));
    writer.array(of_f32().map(|leg| words::<2, 8>([leg.close_term, leg.weight].map(f32::to_bits))));
    let records = simulations
        .iter()
        .flat_map(|simulation| &simulation.records);
    let records = records.take(if in_f32 { 0 } else { usize::MAX });
    writer.array(records.map(|record| {
        let pair = |at: usize| u32::from(record[at]) | u32::from(record[at + 1]) << 16;
        words::<3, 12>([pair(0), pair(2), pair(4)])
    }));
    let mut first_leg = vec![0];
    for simulation in &simulations {
        first_leg.push(first_leg[first_leg.len() - 1] + simulation.legs.len());
    }
    writer.array(slots.iter().map(|&slot| {
        let simulation = &simulations[slot];
        words::<5, 20>([
            first_leg[slot] as u32,
            simulation.longs as u32,
            simulation.shorts() as u32,
            slot as u32,
            u32::from(simulation.capped),
        ])
    }));
    writer.array(group_of.iter().map(|&group| (group as u32).to_le_bytes()));
    writer.array(scales.iter().map(|scale| scale.to_le_bytes()));
    let in_memory = if shared_list { &lists[..1] } else { &lists[..] };
    writer.array(
        in_memory
            .iter()
            .flatten()
            .map(|pair| words::<2, 8>([pair.high.to_bits(), pair.low.to_bits()])),
    );
    let offsets = offsets
        .iter()
        .take(if shared_list { 0 } else { usize::MAX });
    writer.array(offsets.map(|&offset| (offset as u32).to_le_bytes()));
    let mut row = 0_u64;
    let rows: Vec<u64> = profits
        .iter()
        .map(|profits| {
            row += profits.len() as u64;
            row - profits.len() as u64
        })
        .collect();
    writer.array(rows.into_iter().map(u64::to_le_bytes));
    writer.array(sums.into_iter().map(i64::to_le_bytes));
    let profits = profits.iter().take(if wants_sums { 0 } else { usize::MAX });
    writer.array(profits.flatten().map(|profit| profit.to_le_bytes()));
    Case {
        description: format!(
            "{kind:?} {shape:?} {storage:?} {exit_rule} {grouping:?}, fee {fee}, {} slots, by legs \
             to {by_legs}, packed from {packed_from} by {pack_lanes}, block {block}, splits \
             {splits}, shared list {shared_list}, sums {wants_sums}",
            slots.len()
        ),
        bytes: writer.0,
    }
}

/// `count` cases, all shapes under all kernels in turn.
fn draw_cases(seed: u64, size: Size, count: usize) -> Vec<Case> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|index| {
            let kernel = (index % 6) as u32;
            let shape = match index / 6 % 7 {
                0 | 1 => Shape::Tiny,
                2 | 3 => Shape::Ragged,
                4 => Shape::Mixed,
                5 => Shape::AlwaysOn,
                _ => Shape::Huge,
            };
            draw(&mut rng, size, shape, kernel)
        })
        .collect()
}

/// Says why a test does nothing, or fails if it must not.
fn skip(reason: &str) {
    assert!(
        !required("cxx"),
        "TRISECT_TEST_REQUIRE names cxx, but {reason}"
    );
    eprintln!("skipped: {reason}");
}

fn compiler() -> OsString {
    env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

fn work_folder() -> PathBuf {
    let folder = scratch().join("kernels");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Compiles and runs an empty program: whether the compiler has these options and their libraries.
fn works(options: &[&str]) -> Result<(), String> {
    let compiler = compiler();
    let name = format!(
        "empty{}",
        options
            .concat()
            .replace(|c: char| !c.is_alphanumeric(), "-")
    );
    let source = work_folder().join(format!("{name}.cpp"));
    let binary = work_folder().join(&name);
    std::fs::write(&source, "#include <barrier>\nint main() {}\n").unwrap();
    let output = Command::new(&compiler)
        .args(["-std=c++20", "-o"])
        .args([&binary, &source])
        .args(options)
        .output()
        .map_err(|error| format!("{compiler:?} cannot be run: {error}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{compiler:?} {options:?} fails: {message}"));
    }
    match Command::new(&binary).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!(
            "a program of {compiler:?} {options:?} ends: {other:?}"
        )),
    }
}

/// Builds a program of `tests/kernels`; an error when this machine cannot, a panic when the sources
/// are wrong.
fn build(source: &str, name: &str, options: &[&str]) -> Result<PathBuf, String> {
    works(options)?;
    let root = package();
    let binary = work_folder().join(name);
    let mut command = Command::new(compiler());
    command
        .args(["-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wno-unknown-pragmas", "-ffp-contract=off", "-pthread"])
        .args(options)
        .arg("-I")
        .arg(root.join("tests/kernels"))
        .arg("-o")
        .arg(&binary)
        .arg(root.join("tests/kernels").join(source));
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        // std::fma as an instruction. Without, the C library computes the same bits.
        command.arg("-mfma");
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "the kernels do not compile for the host: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(binary)
}

/// The runner without sanitizers, built once.
fn plain() -> Result<&'static Path, String> {
    static RUNNER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match RUNNER.get_or_init(|| build("runner.cpp", "runner", &[])) {
        Ok(path) => Ok(path),
        Err(reason) => Err(reason.clone()),
    }
}

fn write(name: &str, cases: &[Case]) -> PathBuf {
    let path = work_folder().join(name);
    std::fs::write(
        &path,
        cases
            .iter()
            .flat_map(|case| &case.bytes)
            .copied()
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    path
}

/// Runs the cases; returns how many values were compared and how many of them are not 0.
fn run(runner: &Path, file: &Path, schedule: &[&str], cases: &[Case]) -> (usize, usize) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(runner)
        .arg(file)
        .args(schedule)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    if !status.success() {
        let case = stderr
            .split("case ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let case = case.and_then(|index| cases.get(index.parse::<usize>().ok()?));
        let description = case.map_or("unknown", |case| &case.description);
        panic!("{schedule:?}: {status}\n{stderr}\ncase: {description}");
    }
    let words: Vec<&str> = stdout.split_whitespace().collect();
    let number = |name: &str| -> usize {
        let at = words.iter().position(|&word| word == name).unwrap();
        words[at + 1].parse().unwrap()
    };
    assert_eq!(number("launches"), cases.len());
    (number("compared"), number("nonzero"))
}

#[test]
fn kernels_on_the_host_give_the_canonical_bits_under_every_schedule() {
    let runner = match plain() {
        Ok(runner) => runner,
        Err(reason) => return skip(&reason),
    };
    let cases = draw_cases(0x6b65_726e, Size::Full, 126);
    let file = write("cases", &cases);
    let mut counts = BTreeMap::new();
    for schedule in [
        &["forward"][..],
        &["reverse"],
        &["random", "1"],
        &["random", "2"],
    ] {
        counts.insert(schedule, run(runner, &file, schedule, &cases));
    }
    let counts: Vec<_> = counts.into_values().collect();
    assert!(counts.iter().all(|&count| count == counts[0]), "{counts:?}");
    let (compared, nonzero) = counts[0];
    assert!(compared > 50_000, "{compared}");
    assert!(nonzero > compared / 2, "{nonzero} of {compared}");
}

/// ThreadSanitizer sees what is not ordered by a barrier or an atomic, whatever the schedule.
#[test]
fn kernels_on_the_host_have_no_data_race() {
    under_sanitizer("runner-tsan", "-fsanitize=thread", 0x7473_616e);
}

#[test]
fn kernels_on_the_host_stay_within_their_memory_and_the_language() {
    under_sanitizer("runner-asan", "-fsanitize=address,undefined", 0x6173_616e);
}

fn under_sanitizer(name: &str, option: &str, seed: u64) {
    let runner = match build("runner.cpp", name, &[option, "-fno-sanitize-recover=all"]) {
        Ok(runner) => runner,
        Err(reason) => return skip(&reason),
    };
    let cases = draw_cases(seed, Size::Small, 42);
    let file = write(&format!("cases-{name}"), &cases);
    let (compared, nonzero) = run(&runner, &file, &[], &cases);
    assert!(compared > 1_500, "{compared}");
    assert!(nonzero > compared / 2, "{nonzero} of {compared}");
}

/// Whole searches over drawn legs: `tests/kernels/direct_runner.cpp` says what holds of them.
fn run_searches(name: &str, options: &[&str], searches: usize) {
    let runner = match build("direct_runner.cpp", name, options) {
        Ok(runner) => runner,
        Err(reason) => return skip(&reason),
    };
    let output = Command::new(runner).arg(searches.to_string()).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let done: Option<usize> = stdout
        .strip_prefix("searches ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    assert!(done >= Some(searches), "{stdout}");
    // Wide searches, some of them cut: more launches than cases, which have six searches each.
    let launches = stdout.trim().rsplit(' ').next();
    let launches: usize = launches.unwrap().parse().unwrap();
    assert!(launches > searches / 12, "{stdout}");
}

#[test]
fn searches_on_the_host_do_not_depend_on_threads_or_schedule() {
    run_searches("searches", &[], 300);
}

#[test]
fn searches_on_the_host_have_no_data_race() {
    let options = ["-fsanitize=thread", "-fno-sanitize-recover=all"];
    run_searches("searches-tsan", &options, 36);
}

#[test]
fn searches_on_the_host_stay_within_their_memory_and_the_language() {
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    run_searches("searches-asan", &options, 40);
}

/// Breakpoints for all pairs of awkward levels, and for random ones of any magnitude: sums that
/// overflow, that lie halfway between floats, that vanish.
#[test]
fn legs_derived_on_a_device_have_the_bits_of_the_specification() {
    let runner = match plain() {
        Ok(runner) => runner,
        Err(reason) => return skip(&reason),
    };
    let levels = [
        0.0,
        -0.0,
        1e-45,
        1e-40,
        1e-9,
        0.01,
        0.013_7,
        0.5,
        1.0,
        9.99,
        10.0,
        25.0,
        1e6,
        1e30,
        f32::MAX,
        f32::MIN_POSITIVE,
    ];
    let mut rng = Rng::new(0x6c65_6773);
    let any = |rng: &mut Rng| match rng.below(3) {
        0 => pick(rng, &levels) * pick(rng, &[1.0, -1.0]),
        1 => rng.between(-0.05, 0.05) as f32,
        _ => (rng.between(-1.0, 1.0) * 10_f64.powi(rng.below(60) as i32 - 40)) as f32,
    };
    let fee = 0.000_027_8;
    let mut legs = Vec::new();
    let mut infinite = 0;
    while legs.len() < 100_000 {
        let [close, high, low, high_pred, low_pred] = std::array::from_fn(|_| any(&mut rng));
        let bar = Bar {
            close,
            high,
            low,
            high_pred,
            low_pred,
        };
        let position = pick(&mut rng, &[0.75, -0.75, 10.0, -10.0]);
        let leg = Leg::new(&bar, position, fee).unwrap();
        infinite += usize::from(leg.high_gate.is_infinite() || leg.low_gate.is_infinite());
        let floats = [
            close,
            high,
            low,
            high_pred,
            low_pred,
            position.abs(),
            f32::from_bits(u32::from(position < 0.0)),
            leg.high_gate,
            leg.low_gate,
            leg.high_offset,
            leg.low_pred,
            leg.close_term,
            leg.weight,
        ];
        legs.push(words::<13, 52>(floats.map(f32::to_bits)));
    }
    assert!(infinite < legs.len() * 9 / 10, "{infinite}");
    let mut writer = Writer::default();
    writer.word(f32::to_bits(fee));
    writer.array(legs);
    let file = work_folder().join("legs");
    std::fs::write(&file, writer.0).unwrap();
    let output = Command::new(runner)
        .arg("legs")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"legs 100000\n");
}

/// The header notices what it promises to notice; else the tests above would prove little.
#[test]
fn faults_of_kernels_end_the_runner() {
    let runner = match plain() {
        Ok(runner) => runner,
        Err(reason) => return skip(&reason),
    };
    for (fault, message) in [
        ("block-barrier", "deadlock"),
        ("warp-barrier", "deadlock"),
        ("collectives", "different collectives"),
        ("shared-memory", "behind the shared memory"),
    ] {
        let output = Command::new(runner)
            .args(["fault", fault])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains(message), "{fault}: {stderr}");
    }
}
