//! The GPU evaluator: the bits of the CPU, and what happens when something is missing or fails.
//!
//! On a machine without a usable GPU these tests say so and end; `TRISECT_TEST_REQUIRE=cuda` makes
//! that a failure. What only the stand-in for the driver can do (`tests/kernels/standin.cpp`:
//! failures on demand, two devices, counters) is tested where that is loaded;
//! `TRISECT_TEST_REQUIRE=standin` makes its absence a failure. `nvrtc` wants the kernels to come from
//! NVRTC, in a build without nvcc.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use half::{bf16, f16};
use trisect::{
    Batch, Candidates, DirectOptions, Error, Evaluate, EvaluateOptions, Evaluator, ExitRule,
    Fields, Groups, Method, Multipliers, OptimizeOptions, Sharing, Storage, Weights, optimize,
};

use crate::support::{Columns, KINDS, Kind, Rng, candidates, ragged, required};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];
const STORAGES: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Bf16];

/// One test at a time: failures on demand and counters are those of the process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(standin) = Standin::find() {
        standin.reset();
    }
    guard
}

pub fn options() -> EvaluateOptions {
    EvaluateOptions {
        fee: 0.001,
        threads: Some(2),
        ..EvaluateOptions::default()
    }
}

/// Whether there is a GPU to test on. Says why not; fails where one is required.
///
/// An evaluator lives as long as a device's context is kept, which takes a driver a fifth of a second to make: on
/// a GPU the first one stays, but not where `TRISECT_TEST_LEAKS` is set, for who looks for leaks finds it. On the
/// stand-in tests count contexts.
pub fn has_gpu() -> bool {
    let batch = batch_of(Kind::Skilled, 1, &[1]);
    match Evaluator::cuda(&batch, &[0], &options()) {
        Ok(evaluator) => {
            println!("{}", evaluator.device());
            static KEPT: Once = Once::new();
            if Standin::find().is_none() && std::env::var_os("TRISECT_TEST_LEAKS").is_none() {
                KEPT.call_once(|| {
                    let batch = Box::leak(Box::new(batch_of(Kind::Skilled, 1, &[1])));
                    std::mem::forget(Evaluator::cuda(batch, &[0], &options()).unwrap());
                });
            }
            true
        }
        Err(why) => {
            assert!(!required("cuda"), "TRISECT_TEST_REQUIRE=cuda: {why}");
            println!("skipped: {why}");
            false
        }
    }
}

pub fn batch_of(kind: Kind, seed: u64, lengths: &[usize]) -> Batch {
    let mut rng = Rng::new(seed);
    let mut builder = Batch::builder();
    for &bars in lengths {
        builder
            .push(Columns::draw(&mut rng, kind, bars).entry_exit())
            .unwrap();
    }
    builder.build().unwrap()
}

/// The batch as a storage of 16 bits holds it.
pub fn rounded(batch: &Batch, storage: Storage) -> Batch {
    let round = |values: &[f32]| -> Vec<f32> {
        let round = |&value: &f32| match storage {
            Storage::F32 => value,
            Storage::F16 => f16::from_f32(value).to_f32(),
            Storage::Bf16 => bf16::from_f32(value).to_f32(),
        };
        values.iter().map(round).collect()
    };
    let mut builder = Batch::builder();
    for simulation in batch.simulations() {
        let [close, high, low, high_pred, low_pred] = [
            simulation.close,
            simulation.high,
            simulation.low,
            simulation.high_pred,
            simulation.low_pred,
        ]
        .map(round);
        let (first, second) = match simulation.weights {
            Weights::EntryExit(position) => (round(position), None),
            Weights::AlwaysOn { buy, sell } => (round(buy), sell.map(round)),
        };
        let weights = match (&simulation.weights, &second) {
            (Weights::EntryExit(_), _) => Weights::EntryExit(&first[..]),
            (Weights::AlwaysOn { .. }, sell) => Weights::AlwaysOn {
                buy: &first[..],
                sell: sell.as_deref(),
            },
        };
        let fields = Fields {
            close: &close[..],
            high: &high,
            low: &low,
            high_pred: &high_pred,
            low_pred: &low_pred,
            weights,
        };
        builder.push(fields).unwrap();
    }
    builder.build().unwrap()
}

/// Profits and means of an evaluator, as bits.
fn scores(
    evaluator: &mut Evaluator<'_>,
    groups: &Groups,
    candidates: &Candidates,
    rule: ExitRule,
) -> (Vec<u32>, Vec<u64>) {
    let rows = (0..groups.len())
        .map(|group| groups.members(group).len() * candidates.of_group(group).len());
    let total: usize = match candidates.groups() {
        Some(_) => rows.sum(),
        None => evaluator.batch().len() * candidates.total(1),
    };
    let mut profits = vec![f32::NAN; total];
    evaluator
        .profits(groups, candidates, rule, &mut profits)
        .unwrap();
    let mut means = vec![f64::NAN; candidates.total(groups.len())];
    evaluator
        .means(groups, candidates, rule, &mut means)
        .unwrap();
    (
        profits.iter().map(|x| x.to_bits()).collect(),
        means.iter().map(|x| x.to_bits()).collect(),
    )
}

/// Asserts that a GPU evaluator with these options scores as the CPU does; returns how many
/// profits were not 0.
fn assert_same(
    batch: &Batch,
    devices: &[usize],
    options: &EvaluateOptions,
    groups: &Groups,
    candidates: &Candidates,
    what: &str,
) -> usize {
    let stored = rounded(batch, options.storage);
    let mut cpu = Evaluator::cpu(&stored, options).unwrap();
    let mut gpu = Evaluator::cuda(batch, devices, options).unwrap();
    let mut nonzero = 0;
    for rule in RULES {
        let expected = scores(&mut cpu, groups, candidates, rule);
        let got = scores(&mut gpu, groups, candidates, rule);
        let first = |(a, b): (&[u32], &[u32])| a.iter().zip(b).position(|(a, b)| a != b);
        assert_eq!(
            first((&expected.0, &got.0)),
            None,
            "profits: {what}, {rule}"
        );
        assert_eq!(expected.0.len(), got.0.len(), "profits: {what}, {rule}");
        assert_eq!(expected.1, got.1, "means: {what}, {rule}");
        nonzero += expected.0.iter().filter(|&&bits| bits != 0).count();
    }
    nonzero
}

fn sharings(simulations: usize) -> [Sharing; 4] {
    let labels = (0..simulations).map(|s| format!("{}", s * s % 5));
    [
        Sharing::All,
        Sharing::PerSimulation,
        Sharing::Chunks(3),
        Sharing::Groups(labels.collect()),
    ]
}

/// A list per group: none, one, a few, more than a warp takes.
fn lists(rng: &mut Rng, batch: &Batch, groups: &Groups) -> Candidates {
    let lengths = [7, 0, 1, 20, 40];
    let lists: Vec<Vec<Multipliers>> = (0..groups.len())
        .map(|group| candidates(rng, batch, lengths[group % lengths.len()]))
        .collect();
    Candidates::per_group(&lists).unwrap()
}

#[test]
fn without_a_gpu_there_is_a_reason_and_auto_takes_the_cpu() {
    let _alone = alone();
    let batch = batch_of(Kind::Skilled, 1, &[20, 3]);
    let auto = Evaluator::auto(&batch, &options()).unwrap();
    match Evaluator::cuda(&batch, &[0], &options()) {
        Ok(gpu) => {
            assert_eq!(auto.device(), gpu.device());
            assert_eq!(auto.fallback(), None);
        }
        Err(why) => {
            println!("{why}");
            assert!(auto.device().starts_with("CPU"), "{}", auto.device());
            assert_eq!(auto.fallback(), Some(&why));
            assert!(matches!(why, Error::Unavailable { .. }), "{why:?}");
        }
    }
}

#[test]
fn nvrtc_compiles_the_kernels_of_a_build_without_nvcc() {
    let _alone = alone();
    let batch = batch_of(Kind::Skilled, 1, &[20]);
    let device = Evaluator::cuda(&batch, &[0], &options()).map(|gpu| gpu.device());
    if required("nvrtc") {
        assert!(
            device.as_ref().is_ok_and(|device| device.contains("NVRTC")),
            "{device:?}"
        );
    } else {
        // The other tests say whether what it compiles is right.
        println!("skipped: TRISECT_TEST_REQUIRE does not ask for it; {device:?}");
    }
}

#[test]
fn devices_that_cannot_be_are_refused() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Skilled, 1, &[20, 3]);
    let refused = |devices: &[usize], options: &EvaluateOptions| {
        let refused = Evaluator::cuda(&batch, devices, options);
        refused.map(|_| ()).unwrap_err()
    };
    let named = |error: Error, part: &str| {
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
    };
    named(refused(&[], &options()), "at least one index");
    named(refused(&[0, 0], &options()), "each once");
    named(refused(&[9999], &options()), "device 9999 of");
    let small = EvaluateOptions {
        max_device_bytes: Some(100),
        ..options()
    };
    let error = refused(&[0], &small);
    assert!(
        matches!(error, Error::DeviceMemory { device: 0, needed, free, .. } if needed > free),
        "{error:?}"
    );
    named(
        refused(
            &[0],
            &EvaluateOptions {
                fee: 1.5,
                ..options()
            },
        ),
        "fee = 1.5",
    );
}

#[test]
fn values_that_a_storage_cannot_hold_are_refused() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut columns = Columns::draw(&mut Rng::new(3), Kind::Skilled, 4);
    columns.high[2] = 70_000.0;
    let batch = |columns: &Columns| {
        let mut builder = Batch::builder();
        builder.push(columns.entry_exit()).unwrap();
        builder.build().unwrap()
    };
    let refused = |columns: &Columns, storage| {
        let options = EvaluateOptions {
            storage,
            ..options()
        };
        Evaluator::cuda(&batch(columns), &[0], &options).map(|_| ())
    };
    let error = refused(&columns, Storage::F16).unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutOfRange {
                simulation: 0,
                bar: 2,
                limit: 65504.0,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(refused(&columns, Storage::Bf16), Ok(()));
    columns.high[2] = 0.5;
    columns.low[3] = -0.9999;
    for storage in [Storage::F16, Storage::Bf16] {
        let error = refused(&columns, storage).unwrap_err();
        assert!(
            matches!(
                error,
                Error::LowAtMinusOne {
                    simulation: 0,
                    bar: 3,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(refused(&columns, Storage::F32), Ok(()));
}

#[test]
fn every_path_gives_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut nonzero = 0;
    // Few candidates go lanes over legs, many lanes over candidates, tiny simulations share blocks.
    let shapes: [(&[usize], usize); 6] = [
        (&[200, 200, 200], 20),
        (&[64, 200, 31, 33], 300),
        (&[6; 40], 50),
        (&[1, 2, 3, 5, 8, 13, 33, 100, 300, 7], 33),
        (&[5, 9, 40, 6, 250, 4], 230),
        (&[5000], 210),
    ];
    for (index, (lengths, count)) in shapes.into_iter().enumerate() {
        for kind in KINDS {
            for storage in STORAGES {
                if kind == Kind::Wild && storage == Storage::Bf16 {
                    // Its lows near -1 round to -1, and are refused.
                    continue;
                }
                let mut rng = Rng::new(index as u64);
                let batch = batch_of(kind, 40 + index as u64, lengths);
                let options = EvaluateOptions {
                    storage,
                    ..options()
                };
                let groups = Groups::new(&Sharing::All, batch.len()).unwrap();
                let pairs = Candidates::shared(candidates(&mut rng, &batch, count)).unwrap();
                let what = format!("{lengths:?} x {count}, {kind:?}, {storage:?}");
                nonzero += assert_same(&batch, &[0], &options, &groups, &pairs, &what);
            }
        }
    }
    assert!(nonzero > 10_000, "{nonzero}");
}

#[test]
fn every_sharing_gives_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(50);
    let mut nonzero = 0;
    for kind in KINDS {
        let batch = ragged(&mut rng, kind, 23, 120);
        for sharing in sharings(batch.len()) {
            let groups = Groups::new(&sharing, batch.len()).unwrap();
            let own = lists(&mut rng, &batch, &groups);
            let shared = Candidates::shared(candidates(&mut rng, &batch, 12)).unwrap();
            let none = Candidates::shared(Vec::new()).unwrap();
            for candidates in [own, shared, none] {
                let what = format!("{kind:?}, {sharing:?}");
                nonzero += assert_same(&batch, &[0], &options(), &groups, &candidates, &what);
            }
        }
    }
    assert!(nonzero > 5000, "{nonzero}");
}

#[test]
fn always_on_gives_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(60);
    for with_sell in [false, true] {
        let mut builder = Batch::builder();
        for bars in [1, 4, 9, 70, 200] {
            let columns = Columns::draw(&mut rng, Kind::Skilled, bars);
            builder.push(columns.always_on(with_sell)).unwrap();
        }
        let batch = builder.build().unwrap();
        let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
        let pairs = Candidates::shared(candidates(&mut rng, &batch, 30)).unwrap();
        let what = format!("always on, sell: {with_sell}");
        assert!(assert_same(&batch, &[0], &options(), &groups, &pairs, &what) > 100);
    }
}

#[test]
fn a_batch_that_does_not_fit_is_streamed_to_the_same_bits() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(70);
    let batch = ragged(&mut rng, Kind::Skilled, 300, 200);
    let groups = Groups::new(&Sharing::Chunks(7), batch.len()).unwrap();
    let pairs = Candidates::shared(candidates(&mut rng, &batch, 10)).unwrap();
    for storage in STORAGES {
        let options = EvaluateOptions {
            storage,
            max_device_bytes: Some(250_000),
            ..options()
        };
        let evaluator = Evaluator::cuda(&batch, &[0], &options).unwrap();
        assert!(
            evaluator.device().contains("streamed"),
            "{}",
            evaluator.device()
        );
        drop(evaluator);
        let what = format!("streamed, {storage:?}");
        assert!(assert_same(&batch, &[0], &options, &groups, &pairs, &what) > 1000);
    }
}

#[test]
fn a_search_on_the_gpu_is_the_search_on_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(80);
    let batch = ragged(&mut rng, Kind::Skilled, 30, 60);
    for sharing in sharings(batch.len()) {
        let options_of_search = OptimizeOptions {
            sharing,
            method: Method::Direct(DirectOptions {
                max_evaluations: 60,
                ..DirectOptions::production()
            }),
            ..OptimizeOptions::default()
        };
        let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
        let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
        let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
        let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
        assert_eq!(expected.groups, got.groups);
    }
}

#[test]
fn wrong_lengths_are_refused_and_leave_the_evaluator_usable() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Skilled, 1, &[20, 3]);
    let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    let groups = Groups::new(&Sharing::All, 2).unwrap();
    let others = Groups::new(&Sharing::All, 3).unwrap();
    let pairs = Candidates::shared(vec![Multipliers::BASELINE]).unwrap();
    let lists = Candidates::per_group(&vec![vec![Multipliers::BASELINE]; 2]).unwrap();
    let rule = ExitRule::Intraday;
    let mut means = [0.0; 2];
    for (groups, pairs, len) in [
        (&groups, &pairs, 2),
        (&others, &pairs, 1),
        (&groups, &lists, 1),
    ] {
        let refused = gpu.means(groups, pairs, rule, &mut means[..len]);
        assert!(matches!(refused, Err(Error::Length { .. })), "{refused:?}");
    }
    let refused = gpu.profits(&groups, &pairs, rule, &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { .. })), "{refused:?}");
    gpu.means(&groups, &pairs, rule, &mut means[..1]).unwrap();
    assert_ne!(means[0], 0.0);
}

/// The stand-in's controls and counters.
pub struct Standin(libloading::Library);

impl Standin {
    pub fn find() -> Option<Self> {
        // SAFETY: the driver's library, which the evaluator loads as well.
        let library = unsafe { libloading::Library::new("libcuda.so.1") }.ok()?;
        // SAFETY: only asks whether the name is there.
        let found = unsafe { library.get::<*const ()>(b"standin_reset\0") }.is_ok();
        found.then_some(Self(library))
    }

    /// Asserts that everything taken from the driver was given back.
    pub fn assert_nothing_left(&self) {
        for what in [
            "live_allocations",
            "live_pinned",
            "live_contexts",
            "live_streams",
            "live_events",
        ] {
            assert_eq!(self.get(what), 0, "{what}");
        }
    }

    /// The stand-in, or the reason to end the test.
    pub fn needed() -> Option<Self> {
        let found = Self::find();
        if found.is_none() {
            assert!(!required("standin"), "TRISECT_TEST_REQUIRE=standin");
            println!("skipped: the stand-in for the driver is not loaded");
        }
        found
    }

    pub fn reset(&self) {
        // SAFETY: the stand-in exports a function of this name and type.
        unsafe {
            let reset = self.0.get::<unsafe extern "C" fn()>(b"standin_reset\0");
            reset.unwrap()();
        }
    }

    /// Sets the flag when so many kernel runs from now on are over.
    pub fn raise(&self, flag: &'static AtomicBool, runs: i64) {
        type Raise = unsafe extern "C" fn(*mut bool, i64);
        // SAFETY: as above; the flag lives for ever, and is written to atomically.
        unsafe { self.0.get::<Raise>(b"standin_raise\0").unwrap()(flag.as_ptr(), runs) }
    }

    pub fn set(&self, name: &str, value: i64) {
        type Set = unsafe extern "C" fn(*const std::ffi::c_char, i64) -> i32;
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: as above; the name outlives the call.
        let done = unsafe { self.0.get::<Set>(b"standin_set\0").unwrap()(name.as_ptr(), value) };
        assert_eq!(done, 0, "{name:?}");
    }

    pub fn get(&self, name: &str) -> i64 {
        type Get = unsafe extern "C" fn(*const std::ffi::c_char, i32) -> i64;
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: as above.
        let value = unsafe { self.0.get::<Get>(b"standin_get\0").unwrap()(name.as_ptr(), -1) };
        assert!(value >= 0, "{name:?}");
        value
    }
}

#[test]
fn several_devices_give_the_bits_of_one() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut devices = vec![0];
    if let Some(standin) = Standin::find() {
        standin.set("devices", 3);
    }
    let mut rng = Rng::new(90);
    let batch = ragged(&mut rng, Kind::Skilled, 40, 90);
    while Evaluator::cuda(&batch, &[devices.len()], &options()).is_ok() {
        devices.push(devices.len());
    }
    if devices.len() == 1 {
        assert!(!required("standin"));
        println!("skipped: one device only");
        return;
    }
    devices.reverse();
    for sharing in sharings(batch.len()) {
        let groups = Groups::new(&sharing, batch.len()).unwrap();
        let own = lists(&mut rng, &batch, &groups);
        let shared = Candidates::shared(candidates(&mut rng, &batch, 25)).unwrap();
        for candidates in [own, shared] {
            let what = format!("devices {devices:?}, {sharing:?}");
            assert!(assert_same(&batch, &devices, &options(), &groups, &candidates, &what) > 100);
        }
    }
    // More devices than simulations.
    let batch = batch_of(Kind::Skilled, 5, &[30]);
    let groups = Groups::new(&Sharing::All, 1).unwrap();
    let pairs = Candidates::shared(candidates(&mut rng, &batch, 25)).unwrap();
    assert_same(
        &batch,
        &devices,
        &options(),
        &groups,
        &pairs,
        "one simulation",
    );
}

#[test]
fn rounds_allocate_nothing_and_everything_is_given_back() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let mut rng = Rng::new(100);
    let batch = ragged(&mut rng, Kind::Skilled, 60, 90);
    for max_device_bytes in [None, Some(60_000)] {
        let options = EvaluateOptions {
            max_device_bytes,
            ..options()
        };
        let mut gpu = Evaluator::cuda(&batch, &[0], &options).unwrap();
        let groups = Groups::new(&Sharing::Chunks(4), batch.len()).unwrap();
        let mut round = |gpu: &mut Evaluator<'_>, count| {
            let pairs = Candidates::shared(candidates(&mut rng, &batch, count)).unwrap();
            let mut means = vec![0.0; pairs.total(groups.len())];
            gpu.means(&groups, &pairs, ExitRule::Intraday, &mut means)
                .unwrap();
        };
        round(&mut gpu, 40);
        let before = (standin.get("allocations"), standin.get("pinned"));
        for count in [40, 1, 7, 39, 20] {
            round(&mut gpu, count);
        }
        assert_eq!((standin.get("allocations"), standin.get("pinned")), before);
        assert!(standin.get("launches") >= 6);
        drop(gpu);
    }
    standin.assert_nothing_left();
    assert_eq!(standin.get("violations"), 0);
}

#[test]
fn any_order_of_threads_gives_the_same_bits() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let mut rng = Rng::new(110);
    let batch = batch_of(Kind::Ties, 7, &[5, 9, 40, 6, 250, 4]);
    let groups = Groups::new(&Sharing::Chunks(2), batch.len()).unwrap();
    for count in [17, 250] {
        let pairs = Candidates::shared(candidates(&mut rng, &batch, count)).unwrap();
        for schedule in [1, 2, 3] {
            standin.set("schedule", schedule);
            let what = format!("schedule {schedule}");
            assert_same(&batch, &[0], &options(), &groups, &pairs, &what);
        }
    }
    assert_eq!(standin.get("violations"), 0);
}

#[test]
fn a_failed_launch_ends_the_evaluator_and_nothing_else() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let batch = batch_of(Kind::Skilled, 1, &[20, 3]);
    let groups = Groups::new(&Sharing::All, 2).unwrap();
    let pairs = Candidates::shared(vec![Multipliers::BASELINE]).unwrap();
    let rule = ExitRule::Intraday;
    let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    let mut means = [0.0];
    gpu.means(&groups, &pairs, rule, &mut means).unwrap();
    standin.set("fail_launch", 1);
    let mut after = [0.0];
    let error = gpu.means(&groups, &pairs, rule, &mut after).unwrap_err();
    let Error::Cuda(cuda) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (cuda.device(), cuda.code(), cuda.name()),
        (0, 719, "CUDA_ERROR_LAUNCH_FAILED")
    );
    assert!(!cuda.doing().is_empty());
    // It stays so, and says the same.
    let again = gpu.means(&groups, &pairs, rule, &mut after).unwrap_err();
    assert_eq!(again, error);
    let profits = gpu
        .profits(&groups, &pairs, rule, &mut [0.0; 2])
        .unwrap_err();
    assert_eq!(profits, error);
    drop(gpu);
    let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
    cpu.means(&groups, &pairs, rule, &mut after).unwrap();
    assert_eq!(after, means);
}

#[test]
fn every_failure_of_the_driver_is_an_error() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let batch = batch_of(Kind::Skilled, 1, &[20, 3]);
    let open = || Evaluator::cuda(&batch, &[0], &options()).map(|_| ());
    assert_eq!(open(), Ok(()));

    standin.set("devices", 0);
    let auto = Evaluator::auto(&batch, &options()).unwrap();
    assert!(auto.device().starts_with("CPU"));
    let why = auto.fallback().unwrap().to_string();
    assert!(why.contains("CUDA_ERROR_NO_DEVICE"), "{why}");
    standin.reset();

    standin.set("init_error", 999);
    let error = open().unwrap_err().to_string();
    assert!(error.contains("CUDA_ERROR_UNKNOWN"), "{error}");
    standin.reset();

    standin.set("load_error", 200);
    let error = open().unwrap_err().to_string();
    assert!(error.contains("CUDA_ERROR_INVALID_IMAGE"), "{error}");
    standin.reset();

    // Every allocation in turn, until an evaluator and a round need no more.
    let groups = Groups::new(&Sharing::All, 2).unwrap();
    let pairs = Candidates::shared(vec![Multipliers::BASELINE]).unwrap();
    for control in ["fail_allocation", "fail_pinned"] {
        let mut failures = 0;
        for n in 1.. {
            standin.reset();
            standin.set(control, n);
            let round = Evaluator::cuda(&batch, &[0], &options())
                .and_then(|mut gpu| gpu.means(&groups, &pairs, ExitRule::Intraday, &mut [0.0]));
            match round {
                Ok(()) => break,
                Err(Error::DeviceMemory { needed, .. }) => assert!(needed > 0),
                Err(Error::Memory { needed, .. }) => assert!(needed > 0),
                Err(error) => panic!("{control} {n}: {error:?}"),
            }
            failures += 1;
        }
        assert!(failures >= 4, "{control}: {failures}");
    }
    standin.reset();
    assert_eq!(open(), Ok(()));
    standin.assert_nothing_left();
}

#[test]
fn memory_that_others_hold_is_not_taken() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let batch = batch_of(Kind::Skilled, 1, &[400; 50]);
    standin.set("memory", 1 << 20);
    standin.set("reserved", (1 << 20) - 100_000);
    let gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    assert!(gpu.device().contains("streamed"), "{}", gpu.device());
    assert!(standin.get("live_bytes") <= 100_000);
    drop(gpu);
    standin.set("reserved", (1 << 20) - 10_000);
    let error = Evaluator::cuda(&batch, &[0], &options())
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Error::DeviceMemory { needed, free, .. } if needed > free && free <= 10_000),
        "{error:?}"
    );
}

#[test]
fn parts_of_groups_have_the_sums_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Wild, 90, &[40, 3, 77, 12, 64]);
    let candidates = candidates(&mut Rng::new(91), &batch, 6);
    let candidates = Candidates::shared(candidates).unwrap();
    let groups = Groups::new(&Sharing::Chunks(2), batch.len()).unwrap();
    let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
    let mut cuda = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    // Between rounds of whole groups, which have a fixed point of their own.
    for fraction_bits in [[30, 31, 32], [20, 20, 20]] {
        for rule in RULES {
            let [expected, got] = [&mut cpu, &mut cuda].map(|evaluator| {
                let shard = evaluator.shard().unwrap();
                let mut sums = [0; 18];
                shard
                    .sums(&groups, &candidates, rule, &fraction_bits, &mut sums)
                    .unwrap();
                let mut means = [0.0; 18];
                evaluator
                    .means(&groups, &candidates, rule, &mut means)
                    .unwrap();
                (sums, means.map(f64::to_bits))
            });
            assert_eq!(got, expected);
            assert!(got.0.iter().any(|&sum| sum != 0));
        }
    }
}
