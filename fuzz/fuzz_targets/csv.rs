//! Any bytes are prices or a typed error, and prices become a series or a typed error. Nothing
//! panics. Symbols read one by one are those read at once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trisect::{
    AtrBands, DataError, Ewma, Forecaster, OnDoubt, Policy, Prices, ReadOptions, RollingMean,
    Series, csv_symbols, read_csv,
};

fuzz_target!(|bytes: &[u8]| {
    let lenient = ReadOptions {
        zone: "America/New_York".to_owned(),
        policy: Policy {
            outside_range: OnDoubt::Repair,
            gap: OnDoubt::Repair,
            split: OnDoubt::Repair,
            ..Policy::repair()
        },
        ..ReadOptions::default()
    };
    for options in [ReadOptions::default(), lenient] {
        let file = match read_csv(bytes, "fuzz.csv", &options) {
            Ok(file) => file,
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with("fuzz.csv"), "{message}");
                continue;
            }
        };
        assert!(!file.prices.is_empty());
        for prices in &file.prices {
            check(prices);
            let (again, _) = prices
                .clone()
                .check(&options.policy)
                .expect("checked already");
            assert_eq!(again.times, prices.times);
        }
        let symbols = csv_symbols(bytes, "fuzz.csv", &options).expect("the same header");
        match symbols.collect::<Result<Vec<Prices>, DataError>>() {
            Ok(one_by_one) => assert_eq!(one_by_one.len(), file.prices.len()),
            Err(DataError::NotGrouped { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
});

fn check(prices: &Prices) {
    let count = prices.len();
    assert!(count > 0 && !prices.symbol.is_empty());
    assert!(prices.times.is_sorted_by(|a, b| a < b));
    for column in [&prices.open, &prices.high, &prices.low, &prices.close] {
        assert_eq!(column.len(), count);
        assert!(column.iter().all(|price| price.is_finite() && *price > 0.0));
    }
    assert!(
        prices
            .low
            .iter()
            .zip(&prices.high)
            .all(|(low, high)| low <= high)
    );
    let atr = AtrBands {
        lookback: 2,
        ..AtrBands::default()
    };
    let forecasters: [&dyn Forecaster; 3] = [&RollingMean { lookback: 1 }, &Ewma { span: 2 }, &atr];
    for forecaster in forecasters {
        if let Ok(series) = Series::from_prices(prices, forecaster) {
            series.check().expect("a series of checked prices");
            assert!(series.len() < count);
        }
    }
    if let Ok(series) = Series::from_given_forecasts(prices) {
        series.check().expect("a series of checked prices");
    }
}
