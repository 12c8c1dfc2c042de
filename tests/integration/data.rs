//! Prices: their checks, the forecasters, and prices as a series.

use trisect::{
    AtrBands, DataError, Error, Ewma, Fault, ForecastUnit, Forecaster, GivenForecasts, MaxGap,
    OnDoubt, Policy, Prices, RollingMean, Series, Weights,
};

use crate::support::Rng;

/// So many daily bars of prices that wander.
fn wandering(bars: usize, seed: u64) -> Prices {
    let mut rng = Rng::new(seed);
    let mut prices = Prices {
        symbol: "WANDER".to_owned(),
        ..Prices::default()
    };
    let mut close = 100.0;
    for bar in 0..bars {
        let open = close * (1.0 + 0.02 * unit(&mut rng));
        close = open * (1.0 + 0.03 * unit(&mut rng));
        prices.times.push(86_400 * bar as i64);
        prices.open.push(open);
        prices.close.push(close);
        let above = 1.0 + 0.01 * unit(&mut rng).abs();
        let below = 1.0 - 0.01 * unit(&mut rng).abs();
        prices.high.push(open.max(close) * above);
        prices.low.push(open.min(close) * below);
    }
    prices
}

/// In [-1, 1).
fn unit(rng: &mut Rng) -> f64 {
    (rng.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn positions(series: &Series) -> &[f32] {
    match &series.weights {
        Weights::EntryExit(positions) => positions,
        other => panic!("{other:?}"),
    }
}

fn built_ins() -> Vec<(&'static str, usize, Box<dyn Forecaster>)> {
    vec![
        ("mean", 5, Box::new(RollingMean { lookback: 5 })),
        ("mean of one", 1, Box::new(RollingMean { lookback: 1 })),
        ("ewma", 4, Box::new(Ewma { span: 4 })),
        (
            "atr",
            6,
            Box::new(AtrBands {
                lookback: 6,
                width: 0.7,
            }),
        ),
    ]
}

#[test]
fn no_forecast_depends_on_its_own_bar_or_a_later_one() {
    let prices = wandering(60, 3);
    for (name, lookback, forecaster) in built_ins() {
        let before = Series::from_prices(&prices, &*forecaster).unwrap();
        assert_eq!(before.len(), 60 - lookback - 1, "{name}");
        assert_eq!(before.times[0], prices.times[lookback + 1], "{name}");
        let mut positions_changed = 0;
        for bar in 0..before.len() {
            // All prices of this bar and of every later one, so that rises become falls.
            let mut changed = prices.clone();
            for later in bar + lookback + 1..60 {
                let rose = prices.close[later] >= prices.close[later - 1];
                let factor = if rose { 0.01 } else { 3.0 };
                changed.open[later] *= factor * 2.0;
                changed.high[later] *= factor * 5.0;
                changed.low[later] *= factor * 0.5;
                changed.close[later] *= factor;
            }
            let after = Series::from_prices(&changed, &*forecaster).unwrap();
            let forecast = |series: &Series, bar: usize| {
                let position = positions(series)[bar];
                [series.high_pred[bar], series.low_pred[bar], position].map(f32::to_bits)
            };
            for earlier in 0..=bar {
                let (before, after) = (forecast(&before, earlier), forecast(&after, earlier));
                assert_eq!(before, after, "{name}: bar {earlier} knew of bar {bar}");
            }
            assert_ne!(before.close[bar], after.close[bar], "{name}, bar {bar}");
            // The change reaches what may depend on it: a forecaster that looked would be caught.
            if bar + 1 < before.len() {
                let (before, after) = (forecast(&before, bar + 1), forecast(&after, bar + 1));
                assert_ne!(before[0], after[0], "{name}: high_pred after bar {bar}");
                assert_ne!(before[1], after[1], "{name}: low_pred after bar {bar}");
                positions_changed += usize::from(before[2] != after[2]);
            }
        }
        assert!(positions_changed > 0, "{name}");
    }
}

/// The definitions, in the plainest way: from all moves before the bar.
#[test]
fn forecasts_are_what_their_definitions_say() {
    let prices = wandering(40, 5);
    let moves = |column: &[f64]| -> Vec<f64> {
        (1..40)
            .map(|bar| column[bar] / prices.close[bar - 1] - 1.0)
            .collect()
    };
    let (high, low) = (moves(&prices.high), moves(&prices.low));
    let close = moves(&prices.close);
    let check = |forecaster: &dyn Forecaster, expected: &dyn Fn(usize) -> [f64; 3]| {
        let series = Series::from_prices(&prices, forecaster).unwrap();
        let first = 39 - series.len();
        for bar in 0..series.len() {
            let t = first + bar;
            for (got, moved) in [
                (series.close[bar], close[t]),
                (series.high[bar], high[t]),
                (series.low[bar], low[t]),
            ] {
                assert_eq!(got, moved as f32);
            }
            let [high, low, trend] = expected(t);
            approx::assert_relative_eq!(series.high_pred[bar], high as f32, max_relative = 1e-6);
            approx::assert_relative_eq!(series.low_pred[bar], low as f32, max_relative = 1e-6);
            let position = if trend >= 0.0 { 1.0 } else { -1.0 };
            assert_eq!(positions(&series)[bar], position, "bar {bar}");
        }
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    check(&RollingMean { lookback: 5 }, &|t| {
        [&high, &low, &close].map(|moves| mean(&moves[t - 5..t]))
    });
    check(&Ewma { span: 4 }, &|t| {
        [&high, &low, &close].map(|moves| {
            let weights = (0..t).map(|k| 0.6_f64.powi((t - 1 - k) as i32));
            let sum: f64 = weights.clone().zip(&moves[..]).map(|(w, x)| w * x).sum();
            sum / weights.sum::<f64>()
        })
    });
    let bands = AtrBands {
        lookback: 6,
        width: 0.7,
    };
    check(&bands, &|t| {
        let wilder = |values: &[f64]| {
            let start = mean(&values[..6]);
            let step = |average: f64, value: &f64| (average * 5.0 + value) / 6.0;
            values[6..].iter().fold(start, step)
        };
        let ranges: Vec<f64> = (1..=t)
            .map(|bar| {
                let before = prices.close[bar - 1];
                let (high, low) = (prices.high[bar], prices.low[bar]);
                let true_range = (high - low).max((high - before).abs());
                true_range.max((low - before).abs())
            })
            .collect();
        let band = 0.7 * wilder(&ranges) / prices.close[t];
        [band, -band, wilder(&close[..t])]
    });
}

#[test]
fn the_position_is_long_on_a_flat_past_and_follows_its_sign() {
    let position = |last: f64| {
        let mut prices = wandering(5, 1);
        prices.close[..4].copy_from_slice(&[100.0, 100.0, 100.0, last]);
        let series = Series::from_prices(&prices, &RollingMean { lookback: 3 }).unwrap();
        positions(&series).to_vec()
    };
    assert_eq!(position(100.0), [1.0]);
    assert_eq!(position(101.0), [1.0]);
    assert_eq!(position(99.0), [-1.0]);
}

#[test]
fn options_of_forecasters_that_make_no_sense_are_refused() {
    let prices = wandering(40, 5);
    let refused = |forecaster: &dyn Forecaster| match Series::from_prices(&prices, forecaster) {
        Err(DataError::Option(error @ Error::InvalidOption { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(&RollingMean { lookback: 0 }).contains("lookback"));
    assert!(refused(&Ewma { span: 0 }).contains("span"));
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let lookback = 3;
        assert!(refused(&AtrBands { lookback, width }).contains("width"));
    }
    let lookback = 0;
    assert!(
        refused(&AtrBands {
            lookback,
            width: 1.0
        })
        .contains("lookback")
    );
}

#[test]
fn prices_that_make_no_series_are_refused_with_the_remedy() {
    let message = |prices: &Prices, lookback| {
        let series = Series::from_prices(prices, &RollingMean { lookback });
        series.unwrap_err().to_string()
    };
    assert_eq!(
        message(&wandering(21, 1), 20),
        "WANDER: none of its 21 bars has a forecast and a close before it; add bars, or let the \
         forecaster look back less"
    );
    assert!(Series::from_prices(&wandering(22, 1), &RollingMean::default()).is_ok());
    assert!(message(&wandering(22, 1), usize::MAX).contains("none of its 22 bars"));
    assert!(message(&Prices::default(), 1).contains("none of its 0 bars"));

    let mut prices = wandering(30, 1);
    prices.close[24] = 1e-300;
    let error = message(&prices, 20);
    assert!(error.contains("to 1"), "{error}");
    assert!(error.contains("beyond any number"), "{error}");

    let mut prices = wandering(30, 1);
    prices.low.pop();
    assert_eq!(
        message(&prices, 20),
        "WANDER: column low has 29 values for 30 times; give every column one value per bar"
    );
}

#[test]
fn given_forecasts_are_taken_from_the_first_complete_bar_on() {
    let mut prices = wandering(6, 2);
    let nan = f64::NAN;
    let given = GivenForecasts {
        unit: ForecastUnit::Moves,
        high_pred: vec![nan, nan, 0.01, 0.02, 0.03, 0.04],
        low_pred: vec![nan, nan, -0.01, -0.02, -0.03, -0.04],
        weights: Weights::AlwaysOn {
            buy: vec![nan, 1.0, 1.0, 0.5, 1.0, 1.0],
            sell: Some(vec![nan, nan, -1.0, -0.5, 0.0, -1.0]),
        },
    };
    prices.forecasts = Some(given.clone());
    let series = Series::from_given_forecasts(&prices).unwrap();
    series.check().unwrap();
    assert_eq!(series.times, prices.times[2..]);
    assert_eq!(series.high_pred, [0.01, 0.02, 0.03, 0.04]);
    assert_eq!(series.low_pred, [-0.01, -0.02, -0.03, -0.04]);
    let expected = Weights::AlwaysOn {
        buy: vec![1.0, 0.5, 1.0, 1.0],
        sell: Some(vec![-1.0, -0.5, 0.0, -1.0]),
    };
    assert_eq!(series.weights, expected);
    let expected = (prices.close[2] / prices.close[1] - 1.0) as f32;
    assert_eq!(series.close[0], expected);

    // As prices.
    let mut as_prices = given.clone();
    as_prices.unit = ForecastUnit::Prices;
    for bar in 2..6 {
        as_prices.high_pred[bar] = (1.0 + given.high_pred[bar]) * prices.close[bar - 1];
        as_prices.low_pred[bar] = (1.0 + given.low_pred[bar]) * prices.close[bar - 1];
    }
    prices.forecasts = Some(as_prices);
    let same = Series::from_given_forecasts(&prices).unwrap();
    for (got, expected) in same.high_pred.iter().zip(&series.high_pred) {
        approx::assert_relative_eq!(got, expected, max_relative = 1e-6);
    }

    // A hole after the first.
    for hole in 0..4 {
        let mut holed = given.clone();
        let Weights::AlwaysOn { buy, sell } = &mut holed.weights else {
            unreachable!("made so above");
        };
        match hole {
            0 => holed.high_pred[4] = nan,
            1 => holed.low_pred[4] = f64::INFINITY,
            2 => buy[4] = nan,
            _ => sell.as_mut().unwrap()[4] = nan,
        }
        prices.forecasts = Some(holed);
        let error = Series::from_given_forecasts(&prices).unwrap_err();
        assert!(matches!(error, DataError::BadForecast { .. }), "{error}");
    }
    prices.forecasts = None;
    let error = Series::from_given_forecasts(&prices).unwrap_err();
    assert!(matches!(error, DataError::NoForecasts { .. }), "{error}");
}

/// Twenty bars with one of every fault, the bar of each, and what a policy makes of it.
#[test]
fn every_fault_is_refused_at_its_bar_and_repaired_as_stated() {
    type Spoil = fn(&mut Prices);
    let faults: [(Fault, Spoil, u64, &str); 8] = [
        (
            Fault::BadValue,
            |prices| prices.low[7] = f64::NAN,
            7,
            "WANDER, bar 7, column low: \"NaN\" is no finite number",
        ),
        (
            Fault::NotPositive,
            |prices| prices.open[7] = -0.0,
            7,
            "WANDER, bar 7, column open: \"-0\" is not above 0",
        ),
        (
            Fault::HighBelowLow,
            |prices| prices.high[7] = prices.low[7] / 2.0,
            7,
            "is below the low of the bar",
        ),
        (
            Fault::OutsideRange,
            |prices| prices.close[7] = prices.high[7] * 1.01,
            7,
            "is not between the low and the high",
        ),
        (
            Fault::Unsorted,
            |prices| prices.times.swap(7, 8),
            8,
            "WANDER, bar 8: ",
        ),
        (
            Fault::Duplicate,
            |prices| prices.times[8] = prices.times[7],
            8,
            "is there already, on bar 7",
        ),
        (
            Fault::Gap,
            |prices| {
                for time in &mut prices.times[7..] {
                    *time += 86_400 * 40;
                }
            },
            7,
            "41.00 days, more than 10.00",
        ),
        (
            Fault::Split,
            |prices| {
                for bar in 7..20 {
                    prices.open[bar] /= 2.0;
                    prices.high[bar] /= 2.0;
                    prices.low[bar] /= 2.0;
                    prices.close[bar] /= 2.0;
                }
            },
            7,
            "by more than the ratio 1.5",
        ),
    ];
    let strict = Policy {
        outside_range: OnDoubt::Refuse,
        gap: OnDoubt::Refuse,
        split: OnDoubt::Refuse,
        ..Policy::default()
    };
    let lenient = Policy {
        outside_range: OnDoubt::Repair,
        gap: OnDoubt::Repair,
        split: OnDoubt::Repair,
        ..Policy::repair()
    };
    let sound = wandering(20, 9);
    for policy in [&strict, &lenient, &Policy::default()] {
        let (checked, repairs) = sound.clone().check(policy).unwrap();
        assert_eq!(checked, sound);
        assert!(repairs.is_empty(), "{repairs}");
    }
    for (fault, spoil, bar, said) in faults {
        let mut spoilt = sound.clone();
        spoil(&mut spoilt);
        let error = spoilt.clone().check(&strict).unwrap_err().to_string();
        assert!(error.starts_with(&format!("WANDER, bar {bar}")), "{error}");
        assert!(error.contains(said), "{fault:?}: {error}");

        let (repaired, repairs) = spoilt.clone().check(&lenient).unwrap();
        assert_eq!(repairs.found.len(), 1, "{repairs}");
        assert_eq!(repairs.count(fault), 1, "{repairs}");
        assert!(repairs.found[0].repaired);
        let text = repairs.to_string();
        assert!(text.starts_with("WANDER: 1 "), "{text}");
        assert!(text.ends_with(&format!(": bar {bar}")), "{text}");
        let kept: Vec<usize> = match fault {
            Fault::OutsideRange => {
                assert_eq!(repaired.high[7], spoilt.close[7]);
                (0..20).collect()
            }
            Fault::Unsorted => {
                let order = (0..7).chain([8, 7]).chain(9..20);
                order.collect()
            }
            Fault::Duplicate => (0..20).filter(|&bar| bar != 8).collect(),
            Fault::Gap | Fault::Split => (7..20).collect(),
            _ => (0..20).filter(|&bar| bar != 7).collect(),
        };
        let expected = |column: &[f64]| -> Vec<f64> { kept.iter().map(|&t| column[t]).collect() };
        assert_eq!(repaired.close, expected(&spoilt.close), "{fault:?}");
        assert_eq!(repaired.open, expected(&spoilt.open), "{fault:?}");
        assert!(repaired.times.is_sorted_by(|a, b| a < b), "{fault:?}");
        // What is repaired has no fault left.
        let (again, repairs) = repaired.clone().check(&strict).unwrap();
        assert_eq!(again, repaired);
        assert!(repairs.is_empty(), "{repairs}");

        // What is doubtful is kept and reported by default; what is wrong is refused.
        let by_default = spoilt.clone().check(&Policy::default());
        if let Fault::OutsideRange | Fault::Gap | Fault::Split = fault {
            let (kept, repairs) = by_default.unwrap();
            assert_eq!(kept, spoilt);
            assert_eq!(repairs.count(fault), 1);
            assert!(!repairs.found[0].repaired);
            assert!(repairs.to_string().contains("kept"), "{repairs}");
        } else {
            assert_eq!(by_default.unwrap_err().to_string(), error);
        }
    }
}

#[test]
fn gaps_may_be_counted_in_intervals_of_the_symbol() {
    let mut prices = wandering(20, 9);
    for (bar, time) in prices.times.iter_mut().enumerate() {
        *time = 60 * bar as i64 + if bar >= 12 { 240 } else { 0 };
    }
    let gaps = |intervals| {
        let policy = Policy {
            max_gap: Some(MaxGap::Intervals(intervals)),
            ..Policy::default()
        };
        let (_, repairs) = prices.clone().check(&policy).unwrap();
        repairs.count(Fault::Gap)
    };
    assert_eq!(gaps(4.0), 1);
    assert_eq!(gaps(5.0), 0);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let prices = wandering(3, 1);
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let gap = Policy {
            max_gap: Some(MaxGap::Days(limit)),
            ..Policy::default()
        };
        let error = prices.clone().check(&gap).unwrap_err();
        assert!(error.to_string().contains("max_gap"), "{error}");
        let ratio = Policy {
            max_ratio: Some(limit),
            ..Policy::default()
        };
        let error = prices.clone().check(&ratio).unwrap_err();
        assert!(error.to_string().contains("max_ratio"), "{error}");
    }
}

#[test]
fn many_repairs_are_counted_and_the_first_places_listed() {
    let mut prices = wandering(20, 1);
    for bar in 3..11 {
        prices.close[bar] = 0.0;
    }
    let (checked, repairs) = prices.check(&Policy::repair()).unwrap();
    assert_eq!(checked.len(), 12);
    assert_eq!(
        repairs.to_string(),
        "WANDER: 8 prices not above 0, dropped: bar 3, bar 4, bar 5, bar 6, bar 7, ..."
    );
    let nothing = wandering(0, 1).check(&Policy::repair()).unwrap_err();
    assert!(matches!(nothing, DataError::NoRows { .. }), "{nothing}");
}
