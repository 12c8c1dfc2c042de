//! Files written by polars and pandas, and Arrow record batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{
    ArrayRef, Date32Array, Date64Array, Float32Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, StringViewArray, TimestampSecondArray,
};
use serde_json::Value;
use trisect::{
    Batch, Columns, DataError, Fault, Policy, Prices, ReadOptions, RollingMean, Series, Weights,
    arrow_fields, read_arrow, read_parquet, read_prices,
};

use crate::golden::{Checked, read_json};
use crate::support::package;

/// Values of a JSON array; NaN for null.
fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().into_iter().flatten();
    values
        .map(|value| value.as_f64().unwrap_or(f64::NAN))
        .collect()
}

fn same(name: &str, got: &[f64], expected: &Value) -> Result<(), String> {
    let expected = numbers(expected);
    let bits = |values: &[f64]| -> Vec<u64> {
        let one_nan = |x: &f64| if x.is_nan() { f64::NAN } else { *x };
        values.iter().map(|x| one_nan(x).to_bits()).collect()
    };
    if expected.is_empty() || bits(got) != bits(&expected) {
        return Err(format!("{name}: {got:?} not {expected:?}"));
    }
    Ok(())
}

fn check_symbol(prices: &Prices, expected: &Value) -> Result<(), String> {
    let times = prices.times.iter().map(|&time| time as f64);
    same("times", &times.collect::<Vec<_>>(), &expected["times"])?;
    for (name, column) in [
        ("open", &prices.open),
        ("high", &prices.high),
        ("low", &prices.low),
        ("close", &prices.close),
    ] {
        same(name, column, &expected[name])?;
    }
    let volume = prices.volume.as_ref().ok_or("no volume")?;
    same("volume", volume, &expected["volume"])?;
    if let Some(given) = &prices.forecasts {
        same("high_pred", &given.high_pred, &expected["high_pred"])?;
        same("low_pred", &given.low_pred, &expected["low_pred"])?;
        let Weights::AlwaysOn {
            buy,
            sell: Some(sell),
        } = &given.weights
        else {
            return Err(format!("{:?}", given.weights));
        };
        same("buy", buy, &expected["buy"])?;
        same("sell", sell, &expected["sell"])?;
        let series = Series::from_given_forecasts(prices).map_err(|error| error.to_string())?;
        return match series.len() {
            6 => Ok(()),
            bars => Err(format!("{bars} bars with forecasts")),
        };
    }
    let series = Series::from_prices(prices, &RollingMean { lookback: 3 })
        .map_err(|error| error.to_string())?;
    let Weights::EntryExit(position) = &series.weights else {
        return Err(format!("{:?}", series.weights));
    };
    for (name, column) in [
        ("close", &series.close),
        ("high", &series.high),
        ("low", &series.low),
        ("high_pred", &series.high_pred),
        ("low_pred", &series.low_pred),
        ("position", position),
    ] {
        let column: Vec<f64> = column.iter().map(|&value| value.into()).collect();
        let name = format!("series, {name}");
        let key = name.trim_start_matches("series, ");
        same(&name, &column, &expected["series"][key])?;
    }
    Ok(())
}

/// What polars and pandas read from files, this library reads, to the bit.
pub fn check_files(dir: &Path) -> Checked {
    let json = read_json(dir, "data/expected.json")?;
    let (mut cases, mut mismatches) = (0, 0);
    for case in json["cases"].as_array().into_iter().flatten() {
        let file = case["file"].as_str().unwrap_or("");
        let options = ReadOptions {
            zone: case["zone"].as_str().unwrap_or("").to_owned(),
            ..ReadOptions::default()
        };
        let read = read_prices(dir.join("data").join(file), &options);
        let read = read.map_err(|error| error.to_string())?;
        let symbols = case["symbols"].as_array().map_or(&[][..], Vec::as_slice);
        if read.prices.len() != symbols.len() {
            return Err(format!("{file}: {} symbols", read.prices.len()));
        }
        for (prices, expected) in read.prices.iter().zip(symbols) {
            cases += 1;
            let symbol = expected["symbol"].as_str();
            let checked = match symbol == Some(prices.symbol.as_str()) {
                true => check_symbol(prices, expected),
                false => Err(format!("the symbol is not {symbol:?}")),
            };
            if let Err(error) = checked {
                mismatches += 1;
                println!("{file}, {}: {error}", prices.symbol);
            }
        }
    }
    Ok((cases, mismatches))
}

fn array<A: arrow_array::Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn column(values: &[f64]) -> ArrayRef {
    array(Float64Array::from(values.to_vec()))
}

fn record_batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Two bars at these times.
fn at(times: ArrayRef) -> RecordBatch {
    record_batch(vec![
        ("Time", times),
        ("open", column(&[2.0, 3.0])),
        ("high", array(Float32Array::from(vec![4.5, 4.5]))),
        ("low", array(Int32Array::from(vec![1, 2]))),
        ("close", array(Int64Array::from(vec![Some(3), None]))),
    ])
}

#[test]
fn times_and_numbers_come_in_many_types() {
    let options = ReadOptions {
        zone: "America/New_York".to_owned(),
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    // 2020-01-02T05:00:00Z is midnight in New York.
    let midnight = 1_577_941_200;
    let wall = 1_577_923_200;
    let times: [(ArrayRef, i64); 8] = [
        (array(Date32Array::from(vec![18_263, 18_264])), midnight),
        (
            array(Date64Array::from(vec![
                wall * 1000,
                wall * 1000 + 86_400_000,
            ])),
            midnight,
        ),
        (
            array(TimestampSecondArray::from(vec![wall, wall + 60])),
            midnight,
        ),
        (
            array(TimestampSecondArray::from(vec![wall, wall + 60]).with_timezone("+09:00")),
            wall,
        ),
        (
            array(Int64Array::from(vec![wall * 1000, wall * 1001])),
            wall,
        ),
        (
            array(StringArray::from(vec!["2020-01-02", "2020-01-03"])),
            midnight,
        ),
        (
            array(StringViewArray::from(vec![
                " 2020-01-02T00:00Z",
                "2020-01-03",
            ])),
            wall,
        ),
        (
            array(Int32Array::from(vec![20_200_102, 20_200_103])),
            midnight,
        ),
    ];
    for (array, expected) in times {
        let kind = array.data_type().clone();
        let file = read_arrow([at(array)], "feed", &options).unwrap();
        let prices = &file.prices[0];
        assert_eq!(prices.times, [expected], "{kind}");
        assert_eq!(prices.symbol, "feed");
        let bar = [
            prices.open[0],
            prices.high[0],
            prices.low[0],
            prices.close[0],
        ];
        assert_eq!(bar, [2.0, 4.5, 1.0, 3.0]);
        // The close of the second is null.
        assert_eq!(file.repairs.count(Fault::BadValue), 1, "{kind}");
    }
    let error = read_arrow([at(column(&[1.0, 2.0]))], "feed", &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "feed, column Time: has the type Float64; cast it to Date32, a Timestamp, an integer or \
         text"
    );
}

#[test]
fn rows_are_counted_over_batches() {
    let times = |seconds: [i64; 2]| at(array(Int64Array::from(seconds.to_vec())));
    let strict = ReadOptions::default();
    let error = read_arrow([times([10, 20])], "feed", &strict).unwrap_err();
    assert_eq!(
        error.to_string(),
        "feed, row 1, column close: \"NaN\" is no finite number; write a number such as 101.25 or \
         remove the row"
    );
    let lenient = ReadOptions {
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    let batches = [times([10, 20]), times([5, 30])];
    let file = read_arrow(batches, "feed", &lenient).unwrap();
    assert_eq!(file.prices[0].times, [5, 10]);
    assert_eq!(
        file.repairs.to_string(),
        "feed: 2 values that cannot be understood, dropped: row 1, row 3\n\
         feed: 1 bars out of order, sorted: row 2"
    );
    let other = record_batch(vec![("Time", array(Int64Array::from(vec![1])))]);
    let error = read_arrow([times([1, 2]), other], "feed", &lenient).unwrap_err();
    assert!(error.to_string().contains("the batch at row 2"), "{error}");
    let nothing = read_arrow([], "feed", &lenient).unwrap_err();
    assert!(matches!(nothing, DataError::NoRows { .. }), "{nothing}");
}

#[test]
fn fields_of_a_record_batch_are_its_own_memory() {
    let names = ["close", "HIGH", "low", "high_pred", "low_pred", "buy"];
    let values = |k: usize| -> Vec<f32> {
        let level = [0.0, 0.02, -0.02, 0.01, -0.01, 1.0][k];
        (0..4).map(|t| level + 0.001 * t as f32).collect()
    };
    let arrays: Vec<ArrayRef> = (0..6)
        .map(|k| array(Float32Array::from(values(k))))
        .collect();
    let whole = record_batch(names.into_iter().zip(arrays).collect());
    let part = whole.slice(1, 3);
    let fields = arrow_fields::<Float32Type>(&part, &Columns::default()).unwrap();
    let own: &Float32Array = whole.column(0).as_any().downcast_ref().unwrap();
    assert_eq!(fields.close.as_ptr(), own.values()[1..].as_ptr());
    let expected: Vec<Vec<f32>> = (0..6).map(|k| values(k)[1..].to_vec()).collect();
    let Weights::AlwaysOn { buy, sell: None } = fields.weights else {
        panic!("{:?}", fields.weights);
    };
    let seen = [
        fields.close,
        fields.high,
        fields.low,
        fields.high_pred,
        fields.low_pred,
        buy,
    ];
    assert_eq!(seen.as_slice(), expected.as_slice());
    assert_eq!(Batch::from_slices(&[3], fields).unwrap().bars(), 3);

    let refused = arrow_fields::<Float64Type>(&whole, &Columns::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "record batch, column buy: has the type Float32; cast it to the type of the other columns, \
         and fill nulls"
    );
    let prices = at(column(&[1.0, 2.0]));
    let error = arrow_fields::<Float64Type>(&prices, &Columns::default());
    assert!(matches!(error, Err(DataError::MissingColumn { .. })));
    let nulls = record_batch(vec![(
        "position",
        array(Float32Array::from(vec![Some(1.0), None])),
    )]);
    let error = arrow_fields::<Float32Type>(&nulls, &Columns::default()).unwrap_err();
    assert!(error.to_string().contains("Float32 with nulls"), "{error}");
}

/// The golden Parquet files.
fn parquet_files() -> Vec<PathBuf> {
    let folder = package().join("tests/golden/data");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    assert!(files.len() >= 5);
    files
}

#[test]
fn a_spoilt_parquet_file_is_an_error_or_prices_and_no_panic() {
    let (mut refused, mut read) = (0, 0);
    let options = ReadOptions {
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    for path in parquet_files() {
        let whole = std::fs::read(&path).unwrap();
        let mut check =
            |bytes: Vec<u8>| match read_parquet(bytes::Bytes::from(bytes), "x.parquet", &options) {
                Ok(file) => {
                    read += 1;
                    assert!(file.prices.iter().all(|prices| !prices.is_empty()));
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert!(text.starts_with("x.parquet"), "{text}");
                }
            };
        for length in (0..whole.len()).step_by(97) {
            check(whole[..length].to_vec());
        }
        for place in (0..whole.len()).step_by(23) {
            let mut spoilt = whole.clone();
            spoilt[place] ^= 1 << (place % 8);
            check(spoilt);
        }
    }
    println!("{refused} refused, {read} read");
    assert!(refused > 200 && read > 50, "{refused} refused, {read} read");
}
