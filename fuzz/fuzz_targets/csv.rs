//! Any bytes are price bars or a typed error, and price bars become moves or a typed error. Nothing panics.

#![no_main]
// The example's modules come in whole; this target needs a part of them.
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../examples/backtest/data.rs"]
mod data;
#[path = "../../examples/backtest/forecast.rs"]
mod forecast;

fuzz_target!(|bytes: &[u8]| {
    let all = match data::read(bytes, "fuzz.csv") {
        Ok(all) => all,
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("fuzz.csv"), "{message}");
            return;
        }
    };

    assert!(!all.is_empty());
    for prices in &all {
        let count = prices.dates.len();
        assert!(count > 0 && !prices.symbol.is_empty());
        for column in [&prices.open, &prices.high, &prices.low, &prices.close] {
            assert_eq!(column.len(), count);
            assert!(column.iter().all(|price| price.is_finite() && *price > 0.0));
        }
        for t in 0..count {
            assert!(prices.low[t] <= prices.high[t]);
        }
        assert!(data::jumps(prices, 1.5).len() < count);

        for lookback in [1, 3] {
            let Ok(bars) = forecast::bars(prices, lookback) else {
                continue;
            };
            let length = bars.close.len();
            assert_eq!(length, count - lookback - 1);
            for t in 0..length {
                assert!(bars.low[t] <= bars.high[t]);
                assert!(bars.position[t].abs() == 1.0);
            }
            for window in forecast::windows(&bars, 2, 2).unwrap_or_default() {
                assert_eq!(bars.close[window].len(), 2);
            }
        }
    }
});
