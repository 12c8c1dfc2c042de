//! Prices and fields from Arrow record batches.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use super::collect::{Collector, RawBar};
use super::read::{Found, Names, symbol_of};
use super::time::Clock;
use super::{Cell, Columns, DataError, Place, PriceFile, ReadOptions, Row, shorten};
use crate::batch::{Element, Fields, Weights};

/// Rows that are decoded at once: columns of so many numbers stay in the fastest cache.
const BLOCK: usize = 1024;

/// Reads all bars of Arrow record batches, which have the same columns. `name` is what errors begin
/// with; rows are counted over all batches.
///
/// Prices are copied: they may come in any number type, and rows of several symbols may be mixed.
/// Columns of fields that are moves already can be used without a copy: [`arrow_fields`].
///
/// | column | types |
/// |---|---|
/// | symbol | Utf8, LargeUtf8, Utf8View, or a dictionary of Utf8 or LargeUtf8 |
/// | time | Date32, Date64, Timestamp of any unit with or without a zone, integers, or text as in CSV |
/// | the others | floats and integers |
///
/// A null is a value that is not there, as an empty field of CSV.
///
/// # Errors
/// As [`read_csv`](crate::read_csv()); [`DataError::ColumnType`] for another type.
pub fn read_arrow(
    batches: impl IntoIterator<Item = RecordBatch>,
    name: &str,
    options: &ReadOptions,
) -> Result<PriceFile, DataError> {
    let mut reader = None;
    for batch in batches {
        let reader = match &mut reader {
            Some(reader) => reader,
            None => reader.insert(BatchReader::new(&names_of(&batch), name, options)?),
        };
        reader.push(&batch)?;
    }
    match reader {
        Some(reader) => reader.finish(),
        None => Err(DataError::NoRows {
            file: name.to_owned(),
        }),
    }
}

fn names_of(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// The columns of a record batch as the fields of a [`Batch`](crate::Batch), without a copy.
///
/// `T` is the type of the columns: `Float32Type`, `Float64Type` or `Float16Type` of arrow-array. No
/// value is copied or changed here: the slices are those of the arrays.
/// [`Batch::from_slices`](crate::Batch::from_slices) then copies them once, into the batch. So
/// columns must be of exactly this type, without nulls; prices, dates and symbols are not looked at.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::types::Float32Type;
/// use arrow_array::{ArrayRef, Float32Array, RecordBatch};
/// use trisect::{Batch, Columns, arrow_fields};
///
/// let column = |values: [f32; 3]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
/// let record_batch = RecordBatch::try_from_iter([
///     ("close", column([0.010, -0.004, 0.002])),
///     ("high", column([0.021, 0.009, 0.015])),
///     ("low", column([-0.012, -0.018, -0.007])),
///     ("high_pred", column([0.018, 0.012, 0.011])),
///     ("low_pred", column([-0.015, -0.013, -0.009])),
///     ("position", column([1.0, 1.0, -1.0])),
/// ])?;
/// let fields = arrow_fields::<Float32Type>(&record_batch, &Columns::default())?;
/// let batch = Batch::from_slices(&[3], fields)?;
/// assert_eq!(batch.bars(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DataError::MissingColumn`], [`DataError::AmbiguousColumn`], and [`DataError::ColumnType`] for a
/// column of another type or with nulls.
pub fn arrow_fields<'a, T: ArrowPrimitiveType<Native: Element>>(
    batch: &'a RecordBatch,
    columns: &Columns,
) -> Result<Fields<&'a [T::Native]>, DataError> {
    let file = "record batch";
    let header = names_of(batch);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let names = Names {
        header: &header,
        file,
    };
    let slice = |index: usize| {
        let array = batch.column(index);
        match array.as_primitive_opt::<T>() {
            Some(values) if values.null_count() == 0 => Ok(&values.values()[..]),
            typed => Err(DataError::ColumnType {
                file: file.to_owned(),
                column: shorten(header[index]),
                found: match typed {
                    Some(_) => format!("{} with nulls", array.data_type()),
                    None => array.data_type().to_string(),
                },
                remedy: "cast it to the type of the other columns, and fill nulls",
            }),
        }
    };
    let column = |column, names_of| slice(names.require(column, names_of)?);
    let buy = names.find("buy", &columns.buy)?;
    let position = names.find("position", &columns.position)?;
    let weights = match (position, buy) {
        (Some(position), Some(buy)) => {
            return Err(names.ambiguous("position", position, buy));
        }
        (_, Some(buy)) => Weights::AlwaysOn {
            buy: slice(buy)?,
            sell: names.find("sell", &columns.sell)?.map(slice).transpose()?,
        },
        _ => Weights::EntryExit(column("position", &columns.position)?),
    };
    Ok(Fields {
        close: column("close", &columns.close)?,
        high: column("high", &columns.high)?,
        low: column("low", &columns.low)?,
        high_pred: column("high_pred", &columns.high_pred)?,
        low_pred: column("low_pred", &columns.low_pred)?,
        weights,
    })
}

/// Record batches of the same columns, one after the other.
pub(super) struct BatchReader<'a> {
    name: String,
    clock: Clock,
    columns: Found,
    header: Vec<String>,
    collector: Collector<'a>,
    symbol: String,
    /// Rows of the batches before.
    rows: u64,
}

impl<'a> BatchReader<'a> {
    pub fn new(header: &[String], name: &str, options: &'a ReadOptions) -> Result<Self, DataError> {
        options.policy.check()?;
        let clock = Clock::new(&options.zone, options.epoch)?;
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        let columns = Found::new(&names, name, options)?;
        let collector = Collector::new(
            name,
            Row::Row,
            &options.policy,
            columns.extras,
            columns.names.clone(),
        );
        Ok(Self {
            name: name.to_owned(),
            clock,
            columns,
            header: header.to_vec(),
            collector,
            symbol: symbol_of(name, options),
            rows: 0,
        })
    }

    /// The indices of the columns that are read.
    #[cfg(feature = "parquet")]
    pub fn wanted(&self) -> Vec<usize> {
        let columns = &self.columns;
        let mut wanted = columns.prices.to_vec();
        wanted.push(columns.time);
        wanted.extend(columns.symbol);
        wanted.extend(columns.volume);
        wanted.extend(columns.forecasts.iter().flatten().flatten());
        wanted
    }

    /// The same for batches that have only the columns of [`wanted`](Self::wanted), in the order of
    /// the file.
    #[cfg(feature = "parquet")]
    pub fn project(&mut self) {
        let mut wanted = self.wanted();
        wanted.sort_unstable();
        wanted.dedup();
        let header = wanted.iter().map(|&index| self.header[index].clone());
        self.header = header.collect();
        let renumber = |index: &mut usize| {
            if let Ok(place) = wanted.binary_search(index) {
                *index = place;
            }
        };
        let columns = &mut self.columns;
        columns.prices.iter_mut().for_each(renumber);
        renumber(&mut columns.time);
        columns.symbol.iter_mut().for_each(renumber);
        columns.volume.iter_mut().for_each(renumber);
        let forecasts = columns.forecasts.iter_mut().flatten().flatten();
        forecasts.for_each(renumber);
    }

    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        let same = batch.num_columns() == self.header.len()
            && (batch.schema().fields().iter())
                .zip(&self.header)
                .all(|(field, name)| field.name() == name);
        if !same {
            return Err(DataError::Malformed {
                file: self.name.clone(),
                format: "record batches",
                reason: format!(
                    "the columns of the batch at row {} are not those before",
                    self.rows
                ),
                remedy: "give all batches the same columns in the same order",
            });
        }
        let mut start = 0;
        while start < batch.num_rows() {
            let length = BLOCK.min(batch.num_rows() - start);
            self.push_block(&batch.slice(start, length))?;
            start += length;
        }
        Ok(())
    }

    fn push_block(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        let columns = &self.columns;
        let symbols = match columns.symbol {
            Some(column) => Some(self.symbols(batch, column)?),
            None => None,
        };
        let times = self.times(batch, columns.time)?;
        let numbers = |column: usize| self.numbers(batch, column);
        let [open, high, low, close] = columns.prices;
        let prices = [
            numbers(open)?,
            numbers(high)?,
            numbers(low)?,
            numbers(close)?,
        ];
        let volume = columns.volume.map(numbers).transpose()?;
        let mut forecasts: [Option<Vec<f64>>; 4] = Default::default();
        for (values, column) in forecasts.iter_mut().zip(columns.forecasts.iter().flatten()) {
            *values = column.map(numbers).transpose()?;
        }
        for index in 0..batch.num_rows() {
            let row = self.rows;
            self.rows += 1;
            let symbol = match &symbols {
                Some(symbols) => symbols.get(index),
                None => &self.symbol,
            };
            if symbol.is_empty() {
                let at = self.cell(batch, self.columns.symbol.unwrap_or_default(), index, row);
                self.collector
                    .bad_value(row, DataError::EmptySymbol { at })?;
                continue;
            }
            let Some(time) = times[index] else {
                let at = self.cell(batch, self.columns.time, index, row);
                self.collector.bad_value(row, DataError::BadTime { at })?;
                continue;
            };
            let bar = RawBar {
                time,
                prices: prices.each_ref().map(|column| column[index]),
                volume: volume.as_ref().map_or(f64::NAN, |column| column[index]),
                forecasts: forecasts
                    .each_ref()
                    .map(|column| column.as_ref().map_or(f64::NAN, |column| column[index])),
            };
            self.collector.push(symbol, row, bar)?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<PriceFile, DataError> {
        let prices = self.collector.finish()?;
        if prices.is_empty() {
            return Err(DataError::NoRows { file: self.name });
        }
        Ok(PriceFile {
            prices,
            repairs: self.collector.repairs,
        })
    }

    fn cell(&self, batch: &RecordBatch, column: usize, index: usize, row: u64) -> Box<Cell> {
        Box::new(Cell {
            place: Place {
                source: self.name.clone(),
                row: Row::Row(row),
            },
            column: shorten(&self.header[column]),
            value: shorten(&show(batch.column(column), index)),
        })
    }

    fn column_type(&self, column: usize, array: &ArrayRef, remedy: &'static str) -> DataError {
        DataError::ColumnType {
            file: self.name.clone(),
            column: shorten(&self.header[column]),
            found: array.data_type().to_string(),
            remedy,
        }
    }

    fn numbers(&self, batch: &RecordBatch, column: usize) -> Result<Vec<f64>, DataError> {
        let array = batch.column(column);
        let numbers = match array.data_type() {
            DataType::Float64 => values::<Float64Type>(array, |value| value),
            DataType::Float32 => values::<Float32Type>(array, f64::from),
            DataType::Float16 => values::<Float16Type>(array, f64::from),
            DataType::Int8 => values::<Int8Type>(array, f64::from),
            DataType::Int16 => values::<Int16Type>(array, f64::from),
            DataType::Int32 => values::<Int32Type>(array, f64::from),
            DataType::Int64 => values::<Int64Type>(array, |value| value as f64),
            DataType::UInt8 => values::<UInt8Type>(array, f64::from),
            DataType::UInt16 => values::<UInt16Type>(array, f64::from),
            DataType::UInt32 => values::<UInt32Type>(array, f64::from),
            DataType::UInt64 => values::<UInt64Type>(array, |value| value as f64),
            // A column of nothing but nulls.
            DataType::Null => Some(vec![f64::NAN; array.len()]),
            _ => None,
        };
        numbers.ok_or_else(|| self.column_type(column, array, "cast it to Float64"))
    }

    fn times(&self, batch: &RecordBatch, column: usize) -> Result<Vec<Option<i64>>, DataError> {
        let array = batch.column(column);
        let clock = &self.clock;
        let day = |days: i64| clock.wall(days.checked_mul(86_400)?);
        let counts = |convert: &dyn Fn(i64) -> Option<i64>| integers(array, convert);
        let times = match array.data_type() {
            DataType::Date32 => counts(&day),
            DataType::Date64 => counts(&|count| day(count.div_euclid(86_400_000))),
            DataType::Timestamp(unit, zone) => {
                let per_second = match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                };
                counts(&|count| {
                    let seconds = count.div_euclid(per_second);
                    match zone {
                        // An instant, whatever zone it is shown in.
                        Some(_) => clock.instant(seconds),
                        None => clock.wall(seconds),
                    }
                })
            }
            data_type if data_type.is_integer() => counts(&|count| clock.integer(count)),
            _ => Text::new(array).map(|text| {
                let times = (0..array.len()).map(|index| clock.text(text.get(index).trim()));
                times.collect()
            }),
        };
        times.ok_or_else(|| {
            let remedy = "cast it to Date32, a Timestamp, an integer or text";
            self.column_type(column, array, remedy)
        })
    }

    fn symbols<'b>(&self, batch: &'b RecordBatch, column: usize) -> Result<Text<'b>, DataError> {
        let array = batch.column(column);
        Text::new(array).ok_or_else(|| self.column_type(column, array, "cast it to Utf8"))
    }
}

/// The numbers of a column; NaN for nulls. `None` if the column is of another type than `T`.
fn values<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    to_f64: impl Fn(T::Native) -> f64,
) -> Option<Vec<f64>> {
    let array = array.as_primitive_opt::<T>()?;
    let mut values: Vec<f64> = array.values().iter().map(|&value| to_f64(value)).collect();
    if array.null_count() > 0 {
        for (index, value) in values.iter_mut().enumerate() {
            if array.is_null(index) {
                *value = f64::NAN;
            }
        }
    }
    Some(values)
}

/// The integers of a column of integers, dates or timestamps, converted; `None` for nulls.
fn integers(array: &ArrayRef, convert: &dyn Fn(i64) -> Option<i64>) -> Option<Vec<Option<i64>>> {
    use arrow_array::types::{
        Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    };
    fn of<T: ArrowPrimitiveType<Native: TryInto<i64>>>(
        array: &ArrayRef,
        convert: &dyn Fn(i64) -> Option<i64>,
    ) -> Option<Vec<Option<i64>>> {
        let array = array.as_primitive_opt::<T>()?;
        let converted = array.iter().map(|value| convert(value?.try_into().ok()?));
        Some(converted.collect())
    }
    match array.data_type() {
        DataType::Date32 => of::<Date32Type>(array, convert),
        DataType::Date64 => of::<Date64Type>(array, convert),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array, convert),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            of::<TimestampMillisecondType>(array, convert)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            of::<TimestampMicrosecondType>(array, convert)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of::<TimestampNanosecondType>(array, convert)
        }
        DataType::Int8 => of::<Int8Type>(array, convert),
        DataType::Int16 => of::<Int16Type>(array, convert),
        DataType::Int32 => of::<Int32Type>(array, convert),
        DataType::Int64 => of::<Int64Type>(array, convert),
        DataType::UInt8 => of::<UInt8Type>(array, convert),
        DataType::UInt16 => of::<UInt16Type>(array, convert),
        DataType::UInt32 => of::<UInt32Type>(array, convert),
        DataType::UInt64 => of::<UInt64Type>(array, convert),
        _ => None,
    }
}

/// A column of text; empty for nulls.
enum Text<'a> {
    Small(&'a arrow_array::StringArray),
    Large(&'a arrow_array::LargeStringArray),
    View(&'a arrow_array::StringViewArray),
    /// Keys, and the values they stand for; a key beyond them is a null.
    Dictionary(Vec<usize>, Box<Text<'a>>),
}

impl<'a> Text<'a> {
    fn new(array: &'a ArrayRef) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8 => array.as_string_opt().map(Self::Small),
            DataType::LargeUtf8 => array.as_string_opt().map(Self::Large),
            DataType::Utf8View => array.as_string_view_opt().map(Self::View),
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary_opt()?;
                let keys = integers_of_keys(dictionary.keys());
                Some(Self::Dictionary(
                    keys,
                    Box::new(Self::new(dictionary.values())?),
                ))
            }
            _ => None,
        }
    }

    fn get(&self, index: usize) -> &str {
        fn at<'b>(array: &'b dyn Array, index: usize, value: impl FnOnce() -> &'b str) -> &'b str {
            if index < array.len() && array.is_valid(index) {
                value()
            } else {
                ""
            }
        }
        match self {
            Self::Small(array) => at(array, index, || array.value(index)),
            Self::Large(array) => at(array, index, || array.value(index)),
            Self::View(array) => at(array, index, || array.value(index)),
            Self::Dictionary(keys, values) => values.get(keys[index]),
        }
    }
}

/// The keys of a dictionary; beyond all values for nulls.
fn integers_of_keys(keys: &dyn Array) -> Vec<usize> {
    let keys = arrow_array::make_array(keys.to_data());
    let keys = integers(&keys, &Some).unwrap_or_default();
    let to_index = |key: Option<i64>| key.and_then(|key| usize::try_from(key).ok());
    keys.into_iter()
        .map(|key| to_index(key).unwrap_or(usize::MAX))
        .collect()
}

/// One value as text, for an error.
fn show(array: &ArrayRef, index: usize) -> String {
    if array.is_null(index) {
        return "null".to_owned();
    }
    if let Some(text) = Text::new(array) {
        return text.get(index).to_owned();
    }
    let one = array.slice(index, 1);
    match integers(&one, &Some).as_deref() {
        Some([Some(value)]) => value.to_string(),
        _ => "?".to_owned(),
    }
}
