//! Rows as Parquet, and random prices to try the whole way with.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{Failure, Results, Row};

/// The entry of the file's metadata that holds the [`About`].
const ABOUT: &str = "trisect";

impl Results {
    pub fn write_parquet(&self, file: &mut File) -> Result<(), Failure> {
        let rows = &self.rows;
        let text = |of: fn(&Row) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let count = |of: fn(&Row) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
        };
        let value = |of: fn(&Row) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
        };
        let single = |of: fn(&Row) -> f32| -> ArrayRef {
            Arc::new(Float32Array::from_iter_values(rows.iter().map(of)))
        };
        let time = |of: fn(&Row) -> i64| -> ArrayRef {
            let milliseconds = rows.iter().map(|row| of(row).saturating_mul(1000));
            let times = TimestampMillisecondArray::from_iter_values(milliseconds);
            Arc::new(times.with_timezone("UTC"))
        };
        let quality: Float64Array = rows.iter().map(|row| row.quality).collect();
        let columns = [
            ("symbol", text(|row| &row.symbol), false),
            ("fold", count(|row| row.fold as u64), false),
            ("train_start", time(|row| row.train_start), false),
            ("train_last", time(|row| row.train_last), false),
            ("test_start", time(|row| row.test_start), false),
            ("test_last", time(|row| row.test_last), false),
            ("high", single(|row| row.high), false),
            ("low", single(|row| row.low), false),
            ("exit_rule", text(|row| &row.exit_rule), false),
            ("baseline_rule", text(|row| &row.baseline_rule), false),
            ("train_bars", count(|row| row.train_bars as u64), false),
            ("train_profit", value(|row| row.train_profit), false),
            ("train_baseline", value(|row| row.train_baseline), false),
            ("test_bars", count(|row| row.test_bars as u64), false),
            ("test_profit", value(|row| row.test_profit), false),
            ("test_baseline", value(|row| row.test_baseline), false),
            ("candidates", count(|row| row.candidates), false),
            ("stop", text(|row| &row.stop), false),
            ("quality", Arc::new(quality), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
        let about = serde_json::to_string(&self.about)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![KeyValue::new(ABOUT.to_owned(), about)]))
            .build();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    }
}

/// Writes random walks with daily bars, as prices that nobody traded: `symbols` of them, `bars` bars
/// each. The same numbers give the same file.
pub fn make_prices(file: &mut File, symbols: usize, bars: usize) -> Result<(), Failure> {
    const DAY: i64 = 86_400_000;
    let mut writer = None;
    for symbol in 0..symbols {
        let mut random = Random(symbol as u64);
        let mut columns: [Vec<f64>; 4] = std::array::from_fn(|_| Vec::with_capacity(bars));
        let mut close = 20.0 + 200.0 * random.next();
        for _ in 0..bars {
            // Roughly normal moves of about 2 % a day between close and close.
            let mut step = || (random.next() + random.next() + random.next() - 1.5) * 0.04;
            let open = close * (1.0 + 0.3 * step());
            close *= 1.0 + step();
            let reach = 0.6 * step().abs() + 0.002;
            let depth = 0.6 * step().abs() + 0.002;
            let bar = [
                open,
                open.max(close) * (1.0 + reach),
                open.min(close) * (1.0 - depth),
                close,
            ];
            for (column, value) in columns.iter_mut().zip(bar) {
                column.push(value);
            }
        }
        let times = (0..bars as i64).map(|t| t * DAY);
        let times = TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC");
        let name = format!("S{symbol:04}");
        let names = StringArray::from_iter_values(std::iter::repeat_n(name, bars));
        let [open, high, low, close] = columns.map(|c| Arc::new(Float64Array::from(c)) as ArrayRef);
        let batch = RecordBatch::try_from_iter([
            ("symbol", Arc::new(names) as ArrayRef),
            ("date", Arc::new(times)),
            ("open", open),
            ("high", high),
            ("low", low),
            ("close", close),
        ])?;
        if writer.is_none() {
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .build();
            let file = file.try_clone()?;
            writer = Some(ArrowWriter::try_new(
                file,
                batch.schema(),
                Some(properties),
            )?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea and Flood, 2014), as fractions within `[0, 1)`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Float64Type, TimestampMillisecondType, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::{About, check};
    use super::*;
    use crate::results::tests::{assert_same_rows, example, written};

    /// Reads what [`Results::write_parquet`] wrote.
    fn read(file: File) -> Result<(About, Vec<Row>), Failure> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let entry = metadata.and_then(|entries| entries.iter().find(|entry| entry.key == ABOUT));
        let about = entry.and_then(|entry| entry.value.as_deref());
        let about: About = serde_json::from_str(about.ok_or("the metadata has no trisect")?)?;
        check(&about)?;
        let mut rows = Vec::new();
        for batch in builder.build()? {
            let batch = batch?;
            let column = |name: &str| -> Result<&ArrayRef, Failure> {
                let column = batch.column_by_name(name);
                Ok(column.ok_or_else(|| format!("no column {name}"))?)
            };
            for at in 0..batch.num_rows() {
                let text = |name| -> Result<String, Failure> {
                    Ok(column(name)?.as_string::<i32>().value(at).to_owned())
                };
                let count = |name| -> Result<u64, Failure> {
                    Ok(column(name)?.as_primitive::<UInt64Type>().value(at))
                };
                let value = |name| -> Result<f64, Failure> {
                    Ok(column(name)?.as_primitive::<Float64Type>().value(at))
                };
                let single = |name| -> Result<f32, Failure> {
                    Ok(column(name)?.as_primitive::<Float32Type>().value(at))
                };
                let time = |name| -> Result<i64, Failure> {
                    let times = column(name)?.as_primitive::<TimestampMillisecondType>();
                    Ok(times.value(at) / 1000)
                };
                let known = column("quality")?.is_valid(at);
                rows.push(Row {
                    symbol: text("symbol")?,
                    fold: count("fold")? as usize,
                    train_start: time("train_start")?,
                    train_last: time("train_last")?,
                    test_start: time("test_start")?,
                    test_last: time("test_last")?,
                    high: single("high")?,
                    low: single("low")?,
                    exit_rule: text("exit_rule")?,
                    baseline_rule: text("baseline_rule")?,
                    train_bars: count("train_bars")? as usize,
                    train_profit: value("train_profit")?,
                    train_baseline: value("train_baseline")?,
                    test_bars: count("test_bars")? as usize,
                    test_profit: value("test_profit")?,
                    test_baseline: value("test_baseline")?,
                    candidates: count("candidates")?,
                    stop: text("stop")?,
                    quality: known.then(|| value("quality")).transpose()?,
                });
            }
        }
        Ok((about, rows))
    }

    #[test]
    fn parquet_gives_back_what_was_written() {
        let results = example();
        let path = std::env::temp_dir().join(format!("trisect-rows-{}", std::process::id()));
        let bytes = written(|file| results.write_parquet(file));
        std::fs::write(&path, bytes).unwrap();
        let (about, rows) = read(File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(about, results.about);
        assert_same_rows(&rows, &results.rows);
    }
}
