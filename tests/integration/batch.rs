//! What a batch accepts and what it refuses, with the error each bad input gets.

use trisect::{
    Batch, Bounds, Candidates, Device, Direct, DirectOptions, Error, EvaluateOptions, Evaluator,
    EvolutionOptions, ExitChoice, ExitRule, Field, Fields, Groups, MAX_BARS, Method, Multipliers,
    OptimizeOptions, Sharing, Simd, Target, Threads, Weights, minimize, minimize_groups, optimize,
};

use crate::support::{Columns, Kind, Rng};

const BARS: usize = 3;

/// A good simulation to be spoiled, in f64.
#[derive(Clone)]
struct Good {
    close: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    high_pred: Vec<f64>,
    low_pred: Vec<f64>,
    position: Vec<f64>,
    sell: Vec<f64>,
}

impl Good {
    fn new() -> Self {
        Self {
            close: vec![0.01, 0.0, -0.01],
            high: vec![0.02, 0.01, 0.0],
            low: vec![-0.01, -0.02, -0.03],
            high_pred: vec![0.015, 0.005, 0.001],
            low_pred: vec![-0.005, -0.01, -0.02],
            position: vec![1.0, -1.0, 0.5],
            sell: vec![-1.0, 0.0, -0.5],
        }
    }

    fn column(&mut self, field: Field) -> &mut Vec<f64> {
        match field {
            Field::Close => &mut self.close,
            Field::High => &mut self.high,
            Field::Low => &mut self.low,
            Field::HighPred => &mut self.high_pred,
            Field::LowPred => &mut self.low_pred,
            Field::Position | Field::Buy => &mut self.position,
            Field::Sell => &mut self.sell,
        }
    }

    fn fields<'a>(&'a self, weights: Weights<&'a [f64]>) -> Fields<&'a [f64]> {
        Fields {
            close: &self.close,
            high: &self.high,
            low: &self.low,
            high_pred: &self.high_pred,
            low_pred: &self.low_pred,
            weights,
        }
    }

    fn entry_exit(&self) -> Fields<&[f64]> {
        self.fields(Weights::EntryExit(&self.position))
    }

    fn always_on(&self) -> Fields<&[f64]> {
        self.fields(Weights::AlwaysOn {
            buy: &self.position,
            sell: Some(&self.sell),
        })
    }
}

fn spoiled(field: Field, bar: usize, value: f64) -> Good {
    let mut good = Good::new();
    good.column(field)[bar] = value;
    good
}

/// Pushes a good simulation and then this one; the error must not change the builder.
fn refuse(simulation: Fields<&[f64]>) -> Error {
    let good = Good::new();
    let mut builder = Batch::builder();
    let first = match simulation.weights {
        Weights::EntryExit(_) => good.entry_exit(),
        Weights::AlwaysOn { .. } => good.always_on(),
    };
    builder.push(first).unwrap();
    let before = builder.clone().build().unwrap();
    let error = builder.push(simulation).map(|_| ()).unwrap_err();
    assert_eq!(
        builder.build().unwrap(),
        before,
        "a refused push changed the builder"
    );
    error
}

/// Every bad input with the error it must give, as `(what, error, expected text)`.
fn bad_inputs() -> Vec<(String, Error, String)> {
    let mut table = Vec::new();
    let mut add = |what: &str, error: Error, expected: &str| {
        table.push((what.to_owned(), error, expected.to_owned()));
    };

    let entry_exit = [
        Field::Close,
        Field::High,
        Field::Low,
        Field::HighPred,
        Field::LowPred,
        Field::Position,
    ];
    for field in entry_exit {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            add(
                &format!("{field} = {value}"),
                refuse(spoiled(field, 1, value).entry_exit()),
                &format!("simulation 1, bar 1: {field} = {value}: must be a finite number"),
            );
        }
        add(
            &format!("a raw price as {field}"),
            refuse(spoiled(field, 2, 1.5e6).entry_exit()),
            &format!("simulation 1, bar 2: {field} = 1500000 is beyond ±1000000"),
        );
        let mut short = Good::new();
        short.column(field).pop();
        let expected = if field == Field::Close {
            "simulation 1: field high has 3 bars, close has 2".to_owned()
        } else {
            format!("simulation 1: field {field} has 2 bars, close has 3")
        };
        add(
            &format!("{field} too short"),
            refuse(short.entry_exit()),
            &expected,
        );
    }
    for field in [Field::Buy, Field::Sell] {
        add(
            &format!("{field} = NaN"),
            refuse(spoiled(field, 0, f64::NAN).always_on()),
            &format!("simulation 1, bar 0: {field} = NaN: must be a finite number"),
        );
        let mut long = Good::new();
        long.column(field).push(0.0);
        add(
            &format!("{field} too long"),
            refuse(long.always_on()),
            &format!("simulation 1: field {field} has 4 bars, close has 3"),
        );
    }
    add(
        "f64 beyond f32",
        refuse(spoiled(Field::High, 0, 1e300).entry_exit()),
        "simulation 1, bar 0: high = 1",
    );
    add(
        "low above high",
        refuse(spoiled(Field::Low, 1, 0.011).entry_exit()),
        "simulation 1, bar 1: low = 0.011 is above high = 0.01",
    );
    add(
        "low = -1",
        refuse(spoiled(Field::Low, 1, -1.0).entry_exit()),
        "simulation 1, bar 1: low = -1 means a price of 0 or less",
    );
    add(
        "low that rounds to -1",
        refuse(spoiled(Field::Low, 1, -1.0 + 1e-12).entry_exit()),
        "simulation 1, bar 1: low = -1 means a price of 0 or less",
    );
    add(
        "low below -1",
        refuse(spoiled(Field::Low, 1, -1.5).entry_exit()),
        "simulation 1, bar 1: low = -1.5 means a price of 0 or less",
    );
    let empty: Fields<&[f64]> = Fields {
        close: &[],
        high: &[],
        low: &[],
        high_pred: &[],
        low_pred: &[],
        weights: Weights::EntryExit(&[]),
    };
    add("no bars", refuse(empty), "simulation 1 has no bar");

    let good = Good::new();
    let mut builder = Batch::builder();
    builder.push(good.entry_exit()).unwrap();
    let mixed = builder.push(good.always_on()).map(|_| ()).unwrap_err();
    add(
        "two models in one batch",
        mixed,
        "simulation 1 has always-on weights, the batch has entry-exit",
    );
    builder.refuse_close_outside();
    let outside = spoiled(Field::Close, 0, 0.03);
    let outside = builder.push(outside.entry_exit()).map(|_| ()).unwrap_err();
    add(
        "close outside, refused",
        outside,
        "simulation 1, bar 0: close = 0.03 lies outside [-0.01, 0.02]: repair the bar",
    );
    add(
        "an empty builder",
        Batch::builder().build().unwrap_err(),
        "the batch has no simulation",
    );
    let lengths = |lengths: &[usize]| {
        Batch::from_slices(lengths, good.entry_exit())
            .map(|_| ())
            .unwrap_err()
    };
    add(
        "no lengths",
        lengths(&[]),
        "field close has shape [3], expected [0]",
    );
    add(
        "lengths too small",
        lengths(&[1, 1]),
        "field close has shape [3], expected [2]",
    );
    add("a length of 0", lengths(&[3, 0]), "simulation 1 has no bar");
    add(
        "too many bars",
        lengths(&[MAX_BARS, 1]),
        "the batch would hold 2147483648 bars, at most 2147483647",
    );
    add(
        "lengths that overflow",
        lengths(&[usize::MAX, 2]),
        "the batch would hold 18446744073709551615 bars",
    );
    add(
        "chunks of 0",
        Groups::new(&Sharing::Chunks(0), 3).unwrap_err(),
        "Sharing::Chunks = 0: must be at least 1",
    );
    add(
        "too few labels",
        Groups::new(&Sharing::Groups(vec!["a".into()]), 3).unwrap_err(),
        "1 group labels for 3 simulations",
    );
    add(
        "groups of nothing",
        Groups::new(&Sharing::All, 0).unwrap_err(),
        "the batch has no simulation",
    );
    let pair = |high, low| Multipliers::new(high, low);
    add(
        "a multiplier that is NaN",
        Candidates::shared(vec![pair(0.0, 0.0), pair(0.0, f32::NAN)]).unwrap_err(),
        "candidate 1: (0, NaN): both multipliers must be finite",
    );
    add(
        "a multiplier beyond all moves",
        Candidates::per_group(&[[pair(2e6, 0.0)]]).unwrap_err(),
        "candidate 0: (2000000, 0): both multipliers must be finite and within ±1000000",
    );

    let batch = Batch::from_slices(&[BARS], good.entry_exit()).unwrap();
    for (fee, text) in [
        (f64::NAN, "fee = NaN"),
        (-0.1, "fee = -0.1"),
        (1.0, "fee = 1"),
    ] {
        let options = EvaluateOptions {
            fee,
            ..EvaluateOptions::default()
        };
        add(
            text,
            Evaluator::cpu(&batch, &options).map(|_| ()).unwrap_err(),
            text,
        );
    }
    add(
        "no threads",
        Threads::new(0).map(|_| ()).unwrap_err(),
        "threads = 0: must be between 1 and 4096",
    );
    add(
        "too many threads",
        Threads::new(5000).map(|_| ()).unwrap_err(),
        "threads = 5000: must be between 1 and 4096",
    );
    let missing = if cfg!(target_arch = "aarch64") {
        Simd::Avx2
    } else {
        Simd::Neon
    };
    let options = EvaluateOptions {
        simd: Some(missing),
        ..EvaluateOptions::default()
    };
    add(
        "an instruction set of another machine",
        Evaluator::cpu(&batch, &options).map(|_| ()).unwrap_err(),
        "the instruction set is not available",
    );
    add(
        "a GPU",
        Evaluator::new(&batch, Device::Cuda(9999), &EvaluateOptions::default())
            .map(|_| ())
            .unwrap_err(),
        "a CUDA device is not available",
    );

    let tune = |change: &dyn Fn(&mut OptimizeOptions)| {
        let mut options = OptimizeOptions::default();
        change(&mut options);
        let mut evaluator = Evaluator::cpu(&batch, &EvaluateOptions::default()).unwrap();
        let mut rounds = 0;
        let count = |_: &trisect::Progress<'_>| {
            rounds += 1;
            std::ops::ControlFlow::Continue(())
        };
        let error = optimize(&mut evaluator, &options, count)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(rounds, 0, "work started before the options were checked");
        error
    };
    for (low, high) in [(0.1, 0.1), (0.1, -0.1), (f64::NAN, 0.1)] {
        add(
            &format!("bounds [{low}, {high}]"),
            tune(&|options| options.low_bounds = (low, high)),
            &format!("bounds of axis 1 are [{low}, {high}]"),
        );
    }
    add(
        "bounds beyond all moves",
        tune(&|options| options.high_bounds = (-1e7, 0.0)),
        "high_bounds = (-10000000, 0): must be within ±1e6",
    );
    add(
        "infinite bounds",
        tune(&|options| options.high_bounds = (f64::NEG_INFINITY, 0.0)),
        "high_bounds = (-inf, 0): must be within ±1e6",
    );
    add(
        "a grid without values",
        tune(&|options| options.method = Method::Grid { high: 0, low: 3 }),
        "Method::Grid high = 0: must be between 1 and 65536",
    );
    add(
        "a grid of too many values",
        tune(&|options| {
            options.method = Method::Grid {
                high: 3,
                low: 70_000,
            }
        }),
        "Method::Grid low = 70000: must be between 1 and 65536",
    );
    add(
        "wrong labels in a search",
        tune(&|options| options.sharing = Sharing::Groups(vec![])),
        "0 group labels for 1 simulations",
    );
    let direct = |change: &dyn Fn(&mut DirectOptions)| {
        let mut direct = DirectOptions::production();
        change(&mut direct);
        tune(&|options| options.method = Method::Direct(direct))
    };
    add(
        "a budget of 0",
        direct(&|options| options.max_evaluations = 0),
        "max_evaluations = 0: must be",
    );
    add(
        "eps = NaN",
        direct(&|options| options.eps = f64::NAN),
        "eps = NaN: must be",
    );
    add(
        "a negative tolerance",
        direct(&|options| options.volume_tolerance = -1.0),
        "volume_tolerance = -1: must be",
    );
    add(
        "a tolerance above 1",
        direct(&|options| options.side_tolerance = 1.5),
        "side_tolerance = 1.5: must be",
    );
    add(
        "a target that is NaN",
        direct(&|options| {
            options.target = Some(Target {
                value: f64::NAN,
                relative_tolerance: 0.0,
            });
        }),
        "target.value = NaN: must be",
    );
    let evolution = |change: &dyn Fn(&mut EvolutionOptions)| {
        let mut evolution = EvolutionOptions::production();
        change(&mut evolution);
        tune(&|options| options.method = Method::Evolution(evolution))
    };
    add(
        "a population of nobody",
        evolution(&|options| options.population = 0),
        "population = 0: must be",
    );
    add(
        "a range of mutation that is none",
        evolution(&|options| options.mutation = (1.0, 0.5)),
        "mutation = (1, 0.5): must be",
    );
    add(
        "no axes",
        Bounds::new(&[]).unwrap_err(),
        "Bounds: number of axes = 0",
    );

    let bounds = || Bounds::new(&[(0.0, 1.0)]).unwrap();
    let options = DirectOptions::fast();
    add(
        "too few values from an objective",
        minimize(bounds(), &options, |_, _| vec![0.0], ()).unwrap_err(),
        "got 1 values for 3 points",
    );
    add(
        "no groups of functions",
        minimize_groups(0, bounds(), &options, |_| Ok(Vec::new()), ()).unwrap_err(),
        "groups = 0: must be at least 1",
    );
    let mut search = Direct::new(bounds(), options).unwrap();
    add(
        "too many values told",
        search.tell(&[0.0; 4]).unwrap_err(),
        "got 4 values for 3 points",
    );
    table
}

#[test]
fn every_bad_input_gets_its_own_error() {
    let table = bad_inputs();
    assert!(table.len() >= 40, "{} bad inputs", table.len());
    let mut wrong = Vec::new();
    for (what, error, expected) in &table {
        let text = error.to_string();
        if !text.starts_with(expected.as_str()) {
            wrong.push(format!("{what}: got {text:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_close_outside_its_bar_is_a_warning_with_its_place() {
    let mut builder = Batch::builder();
    builder.push(Good::new().entry_exit()).unwrap();
    builder
        .push(spoiled(Field::Close, 0, 0.03).entry_exit())
        .unwrap();
    let batch = builder.build().unwrap();
    let (count, first) = batch.close_outside();
    assert_eq!((count, first.len()), (1, 1));
    assert_eq!((first[0].simulation, first[0].bar), (1, 0));
    assert_eq!(first[0].close, 0.03);

    // By a rounding it is none.
    let rounding = spoiled(Field::Close, 0, 0.02 + 1e-8);
    let mut builder = Batch::builder();
    builder.refuse_close_outside();
    builder.push(rounding.entry_exit()).unwrap();
    assert_eq!(builder.build().unwrap().close_outside().0, 0);
}

#[test]
fn many_warnings_are_counted_and_only_some_are_kept() {
    let mut builder = Batch::builder();
    for _ in 0..50 {
        builder
            .push(spoiled(Field::Close, 0, 0.03).entry_exit())
            .unwrap();
    }
    let batch = builder.build().unwrap();
    let (count, first) = batch.close_outside();
    assert_eq!(count, 50);
    assert!(first.len() < 50 && first.len() > 5);
    assert!(
        first
            .iter()
            .enumerate()
            .all(|(s, warning)| warning.simulation == s)
    );
}

#[test]
fn flat_columns_give_the_same_batch_as_one_simulation_at_a_time() {
    let good = Good::new();
    let mut builder = Batch::builder();
    builder.push(good.entry_exit()).unwrap();
    builder.push(good.entry_exit()).unwrap();
    let pushed = builder.build().unwrap();
    let twice = |column: &[f64]| [column, column].concat();
    let [close, high, low] = [&good.close, &good.high, &good.low].map(|c| twice(c));
    let [high_pred, low_pred] = [&good.high_pred, &good.low_pred].map(|c| twice(c));
    let position = twice(&good.position);
    let flat = Fields {
        close: &close[..],
        high: &high,
        low: &low,
        high_pred: &high_pred,
        low_pred: &low_pred,
        weights: Weights::EntryExit(&position),
    };
    assert_eq!(Batch::from_slices(&[3, 3], flat).unwrap(), pushed);
    let narrow = |column: &[f64]| column.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let flat = Fields {
        close: &narrow(&close)[..],
        high: &narrow(&high),
        low: &narrow(&low),
        high_pred: &narrow(&high_pred),
        low_pred: &narrow(&low_pred),
        weights: Weights::EntryExit(&narrow(&position)),
    };
    assert_eq!(Batch::from_slices(&[3, 3], flat).unwrap(), pushed);
    assert_eq!(pushed.simulation(1).unwrap().bars(), BARS);
    assert_eq!(pushed.simulation(0), pushed.simulation(1));
    assert_eq!(pushed.simulation(2), None);
    assert_eq!(pushed.simulation(usize::MAX), None);
}

#[cfg(feature = "half")]
#[test]
fn narrow_types_are_widened_without_loss() {
    use half::{bf16, f16};

    fn check<T: trisect::Element>(narrow: fn(f64) -> T, widen: fn(T) -> f64) {
        let good = Good::new();
        let column = |column: &[f64]| column.iter().map(|&x| narrow(x)).collect::<Vec<_>>();
        let fields = Fields {
            close: &column(&good.close)[..],
            high: &column(&good.high),
            low: &column(&good.low),
            high_pred: &column(&good.high_pred),
            low_pred: &column(&good.low_pred),
            weights: Weights::EntryExit(&column(&good.position)),
        };
        let batch = Batch::from_slices(&[BARS], fields).unwrap();
        let simulation = batch.simulation(0).unwrap();
        for (stored, value) in simulation.high.iter().zip(&good.high) {
            assert_eq!(f64::from(*stored), widen(narrow(*value)));
        }
        assert_ne!(f64::from(simulation.high[0]), good.high[0]);
    }

    check(f16::from_f64, f16::to_f64);
    check(bf16::from_f64, bf16::to_f64);
}

#[test]
fn f64_is_rounded_once_to_nearest() {
    // Halfway between two floats and a little more: two roundings would go down.
    let value = 0.01_f32;
    let halfway = (f64::from(value) + f64::from(value.next_up())) * 0.5;
    let good = spoiled(Field::High, 1, halfway * (1.0 + f64::EPSILON));
    let batch = Batch::from_slices(&[BARS], good.entry_exit()).unwrap();
    assert_eq!(batch.simulation(0).unwrap().high[1], value.next_up());
}

#[test]
fn ragged_simulations_keep_their_bars() {
    let mut rng = Rng::new(3);
    let all: Vec<Columns> = [1, 7, 300, 2]
        .map(|bars| Columns::draw(&mut rng, Kind::Wild, bars))
        .to_vec();
    let mut builder = Batch::builder();
    for columns in &all {
        builder.push(columns.always_on(true)).unwrap();
    }
    let batch = builder.build().unwrap();
    assert_eq!((batch.len(), batch.bars()), (4, 310));
    for (columns, simulation) in all.iter().zip(batch.simulations()) {
        assert_eq!(simulation, columns.always_on(true));
    }
    assert!(batch.bytes() >= 310 * 28 && batch.bytes() < 310 * 28 + 200);
}

#[test]
fn groups_partition_the_simulations() {
    let labels = ["b", "a", "b", "c", "a"].map(str::to_owned).to_vec();
    let groups = Groups::new(&Sharing::Groups(labels), 5).unwrap();
    let members: Vec<_> = (0..groups.len())
        .map(|g| groups.members(g).to_vec())
        .collect();
    assert_eq!(members, [vec![0, 2], vec![1, 4], vec![3]]);
    let names: Vec<_> = (0..3).map(|g| groups.name(g).unwrap()).collect();
    assert_eq!(names, ["b", "a", "c"]);
    assert!(groups.members(3).is_empty());
    assert!(groups.members(usize::MAX).is_empty());
    for (sharing, expected) in [
        (Sharing::All, vec![5]),
        (Sharing::PerSimulation, vec![1; 5]),
        (Sharing::Chunks(2), vec![2, 2, 1]),
        (Sharing::Chunks(9), vec![5]),
        (Sharing::Chunks(usize::MAX), vec![5]),
    ] {
        let groups = Groups::new(&sharing, 5).unwrap();
        let sizes: Vec<_> = (0..groups.len()).map(|g| groups.members(g).len()).collect();
        assert_eq!(sizes, expected, "{sharing:?}");
        let all: Vec<u32> = (0..groups.len())
            .flat_map(|g| groups.members(g).to_vec())
            .collect();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn both_exit_rules_have_a_name() {
    assert_eq!(ExitRule::AtClose.to_string(), "at close");
    assert_eq!(
        ExitChoice::Fixed(ExitRule::Intraday),
        OptimizeOptions::default().exit_rule
    );
}
