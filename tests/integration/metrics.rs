//! Edge cases of the metrics; their values are compared in `golden_metrics`.

use trisect::{Error, Metrics, Returns, expected_greatest_sharpe, turnover};

fn metrics(returns: &[f64]) -> Metrics {
    Metrics::new(returns, &vec![0.5; returns.len()], 252.0, 10).unwrap()
}

#[test]
fn what_is_not_a_number_is_refused_by_its_bar() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Returns::new(&[0.01, 0.02, bad], 252.0).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidOption { name: "returns", value, .. } if value.ends_with("at bar 2")),
            "{error}"
        );
        let error = turnover(&[bad], 252.0).unwrap_err();
        assert!(error.to_string().contains("traded"), "{error}");
        assert!(Metrics::new(&[0.1, bad], &[1.0, 1.0], 252.0, 1).is_err());
        for variance in [bad, -1e-9] {
            assert!(expected_greatest_sharpe(2, variance).is_err());
            let returns = Returns::new(&[0.1, 0.2], 252.0).unwrap();
            assert!(returns.deflated_sharpe(2, Some(variance)).is_err());
        }
        let returns = Returns::new(&[0.1, 0.2, -0.1], 252.0).unwrap();
        assert_eq!(returns.probabilistic_sharpe(bad).is_none(), bad.is_nan());
    }
    for periods in [0.0, -252.0, f64::NAN, f64::INFINITY] {
        assert!(Returns::new(&[0.1], periods).is_err(), "{periods}");
        assert!(turnover(&[0.1], periods).is_err(), "{periods}");
    }
    assert!(expected_greatest_sharpe(0, 1.0).is_err());
    assert!(Metrics::new(&[0.1], &[], 252.0, 1).is_err());
    assert!(Metrics::new(&[0.1, 0.2], &[1.0, 1.0], 252.0, 0).is_err());
}

#[test]
fn what_is_not_defined_is_none() {
    let empty = metrics(&[]);
    assert_eq!(
        empty,
        Metrics {
            trials: 10,
            ..Metrics::default()
        }
    );
    let zero = metrics(&[0.0; 5]);
    assert_eq!((zero.sharpe, zero.sortino, zero.calmar), (None, None, None));
    assert_eq!((zero.hit_rate, zero.deflated_sharpe), (None, None));
    assert_eq!(
        (zero.max_drawdown, zero.annual_return),
        (Some(0.0), Some(0.0))
    );
    assert_eq!(zero.turnover, Some(126.0));
    // The mean of equal values rounds: their deviation is not 0.
    let equal = metrics(&[0.1; 3]);
    assert_eq!((equal.sharpe, equal.deflated_sharpe), (None, None));
    let rising = metrics(&[0.01, 0.03, 0.0]);
    assert_eq!((rising.sortino, rising.calmar), (None, None));
    assert!(rising.sharpe.is_some());
}

#[test]
fn a_return_of_minus_one_or_less_loses_everything() {
    for lost in [-1.0, -1.5, -30.0] {
        let metrics = metrics(&[0.5, lost, 0.5]);
        assert_eq!(metrics.max_drawdown, Some(-1.0));
        assert_eq!(metrics.annual_return, Some(-1.0));
        assert_eq!(metrics.calmar, Some(-1.0));
    }
}

#[test]
fn wealth_beyond_the_range_of_f64_leaves_drawdowns_right() {
    let mut returns = vec![9.0; 400];
    returns.push(-0.25);
    let metrics = metrics(&returns);
    assert!((metrics.max_drawdown.unwrap() + 0.25).abs() < 1e-15);
    assert!(metrics.annual_return.unwrap().is_finite());
    // 10 ^ 98280 is not.
    let of_minutes = Returns::new(&returns, 98280.0).unwrap();
    assert_eq!(
        (of_minutes.annual_return(), of_minutes.calmar()),
        (None, None)
    );
}

#[test]
fn more_trials_deflate_more() {
    let returns: Vec<f64> = (0..100)
        .map(|i| 0.001 + 0.01 * f64::from(i % 7 - 3))
        .collect();
    let returns = Returns::new(&returns, 252.0).unwrap();
    let mut last = 1.0;
    for trials in [1, 2, 3, 10, 1000, 1_000_000, u64::MAX] {
        let deflated = returns.deflated_sharpe(trials, None).unwrap().unwrap();
        assert!(deflated < last, "{trials}: {deflated}");
        last = deflated;
    }
    // One trial has nothing to be deflated by.
    let plain = returns.probabilistic_sharpe(0.0);
    assert_eq!(returns.deflated_sharpe(1, None).unwrap(), plain);
}
