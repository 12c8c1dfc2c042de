//! Prices from CSV, row by row.

use std::collections::HashSet;
use std::io::{self, Read};
use std::str;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::collect::{Collector, RawBar};
use super::read::{Found, symbol_of};
use super::time::Clock;
use super::{Cell, DataError, PriceFile, ReadOptions, Repairs, Row, shorten};
use crate::prices::Prices;

/// Reads all bars of a CSV text. `name` is the file's name: errors begin with it.
///
/// The first row names the columns ([`Columns`](crate::Columns)), fields are separated by commas,
/// and rows of several symbols may be mixed. The text is read once, through a small buffer, so that
/// only bars take memory: 56 bytes per bar with volume and without forecasts, and twice that while
/// it grows. [`csv_symbols`] holds one symbol at a time.
///
/// ```
/// use trisect::{Fault, Policy, ReadOptions, read_csv};
///
/// let text = "Ticker,Date,Open,High,Low,Close\n\
///             SPY,2020-01-02,323.5,324.9,322.5,324.9\n\
///             SPY,2020-01-03,321.2,323.6,321.1,n/a\n\
///             SPY,2020-01-06,320.5,323.7,320.4,323.6\n";
/// let error = read_csv(text.as_bytes(), "spy.csv", &ReadOptions::default()).unwrap_err();
/// assert!(error.to_string().starts_with("spy.csv, line 3, column Close: \"n/a\" is no"));
///
/// let options = ReadOptions {
///     policy: Policy::repair(),
///     ..ReadOptions::default()
/// };
/// let file = read_csv(text.as_bytes(), "spy.csv", &options)?;
/// assert_eq!(file.prices[0].close, [324.9, 323.6]);
/// assert_eq!(file.repairs.count(Fault::BadValue), 1);
/// # Ok::<(), trisect::DataError>(())
/// ```
///
/// # Errors
/// The first fault that the policy refuses: of a row, or else of the sequence of bars of a symbol,
/// symbol by symbol.
pub fn read_csv(
    text: impl Read,
    name: &str,
    options: &ReadOptions,
) -> Result<PriceFile, DataError> {
    let mut rows = Rows::new(text, name, options)?;
    let mut collector = rows.collector();
    while let Some((symbol, line, bar)) = rows.next(&mut collector)? {
        collector.push(symbol, line, bar)?;
    }
    let prices = collector.finish()?;
    if prices.is_empty() {
        return Err(DataError::NoRows {
            file: name.to_owned(),
        });
    }
    Ok(PriceFile {
        prices,
        repairs: collector.repairs,
    })
}

/// Reads the symbols of a CSV text one by one, for files that do not fit into memory.
///
/// All rows of a symbol must come together. Memory: the bars of one symbol, as for [`read_csv`],
/// and the names of all.
///
/// ```
/// use trisect::{ReadOptions, csv_symbols};
///
/// let text = "symbol,date,open,high,low,close\n\
///             A,2020-01-02,1,3,1,2\nA,2020-01-03,2,3,1,2\nB,2020-01-02,5,7,4,5\n";
/// let options = ReadOptions::default();
/// let mut bars = Vec::new();
/// for prices in csv_symbols(text.as_bytes(), "all.csv", &options)? {
///     bars.push(prices?.len());
/// }
/// assert_eq!(bars, [2, 1]);
/// # Ok::<(), trisect::DataError>(())
/// ```
///
/// # Errors
/// What is wrong with the header. Items: as [`read_csv`], and [`DataError::NotGrouped`]; the first
/// error is the last item.
pub fn csv_symbols<'a, R: Read>(
    text: R,
    name: &str,
    options: &'a ReadOptions,
) -> Result<CsvSymbols<'a, R>, DataError> {
    let rows = Rows::new(text, name, options)?;
    Ok(CsvSymbols {
        collector: rows.collector(),
        rows,
        ended: HashSet::new(),
        any: false,
        done: false,
    })
}

/// The symbols of a CSV text, one by one: see [`csv_symbols`].
pub struct CsvSymbols<'a, R> {
    rows: Rows<'a, R>,
    collector: Collector<'a>,
    ended: HashSet<String>,
    any: bool,
    done: bool,
}

impl<R> CsvSymbols<'_, R> {
    /// What was wrong and not refused, up to here.
    pub fn repairs(&self) -> &Repairs {
        &self.collector.repairs
    }
}

impl<R: Read> CsvSymbols<'_, R> {
    fn read_symbol(&mut self) -> Result<Option<Prices>, DataError> {
        loop {
            let Some((symbol, line, bar)) = self.rows.next(&mut self.collector)? else {
                self.done = true;
                let last = self.collector.finish()?.pop();
                if last.is_none() && !self.any {
                    return Err(DataError::NoRows {
                        file: self.rows.name.clone(),
                    });
                }
                return Ok(last);
            };
            let mut ended = None;
            if let Some(last) = self.collector.last_symbol()
                && last != symbol
            {
                self.ended.insert(last.to_owned());
                ended = self.collector.finish()?.pop();
            }
            if self.ended.contains(symbol) {
                return Err(DataError::NotGrouped {
                    at: self.collector.place(line),
                    symbol: shorten(symbol),
                });
            }
            self.collector.push(symbol, line, bar)?;
            // Nothing is left of a symbol whose bars were all dropped.
            if ended.is_some() {
                return Ok(ended);
            }
        }
    }
}

impl<R: Read> Iterator for CsvSymbols<'_, R> {
    type Item = Result<Prices, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read_symbol().transpose();
        self.any = true;
        self.done |= matches!(item, None | Some(Err(_)));
        item
    }
}

/// The rows of a text as bars.
struct Rows<'a, R> {
    name: String,
    options: &'a ReadOptions,
    clock: Clock,
    reader: Reader<Tap<R>>,
    columns: Found,
    header: ByteRecord,
    record: ByteRecord,
    /// The symbol of all rows where there is no column of symbols.
    symbol: String,
}

impl<'a, R: Read> Rows<'a, R> {
    fn new(text: R, name: &str, options: &'a ReadOptions) -> Result<Self, DataError> {
        options.policy.check()?;
        let clock = Clock::new(&options.zone, options.epoch)?;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            // Counted here, where the line is known.
            .flexible(true)
            .from_reader(Tap::new(text));
        let mut header = ByteRecord::new();
        reader
            .read_byte_record(&mut header)
            .map_err(|error| failed(name, error))?;
        let names: Result<Vec<&str>, _> = header.iter().map(str::from_utf8).collect();
        let Ok(names) = names else {
            let line = reader.get_mut().line_at(0);
            return Err(DataError::NotText {
                at: place(name, line),
            });
        };
        let names: Vec<&str> = names.into_iter().map(str::trim).collect();
        let columns = Found::new(&names, name, options)?;
        Ok(Self {
            name: name.to_owned(),
            options,
            clock,
            columns,
            reader,
            header,
            record: ByteRecord::new(),
            symbol: symbol_of(name, options),
        })
    }

    fn collector(&self) -> Collector<'a> {
        let Found { extras, names, .. } = &self.columns;
        Collector::new(
            &self.name,
            Row::Line,
            &self.options.policy,
            *extras,
            names.clone(),
        )
    }

    /// The next row as symbol, line and bar. Rows that cannot be understood are the collector's
    /// to refuse or to drop.
    fn next(
        &mut self,
        collector: &mut Collector<'_>,
    ) -> Result<Option<(&str, u64, RawBar)>, DataError> {
        loop {
            let read = self.reader.read_byte_record(&mut self.record);
            if !read.map_err(|error| failed(&self.name, error))? {
                return Ok(None);
            }
            let start = self.record.position().map_or(0, csv::Position::byte);
            let line = self.reader.get_mut().line_at(start);
            if self.record.len() != self.header.len() {
                return Err(DataError::FieldCount {
                    at: place(&self.name, line),
                    expected: self.header.len(),
                    got: self.record.len(),
                });
            }
            match self.bar(line) {
                Ok(bar) => {
                    // Found to be text by `bar`.
                    let symbol = match self.columns.symbol {
                        Some(column) => self.text(column).unwrap_or(""),
                        None => &self.symbol,
                    };
                    return Ok(Some((symbol, line, bar)));
                }
                Err(error) => collector.bad_value(line, error)?,
            }
        }
    }

    fn bar(&self, line: u64) -> Result<RawBar, DataError> {
        let columns = &self.columns;
        if let Some(column) = columns.symbol
            && self.known_text(column, line)?.is_empty()
        {
            let at = self.cell(column, line);
            return Err(DataError::EmptySymbol { at });
        }
        let time = self.clock.text(self.known_text(columns.time, line)?);
        let Some(time) = time else {
            let at = self.cell(columns.time, line);
            return Err(DataError::BadTime { at });
        };
        let mut bar = RawBar {
            time,
            prices: [0.0; 4],
            volume: f64::NAN,
            forecasts: [f64::NAN; 4],
        };
        for (price, &column) in bar.prices.iter_mut().zip(&columns.prices) {
            *price = self.number(column, line)?;
        }
        if let Some(column) = columns.volume {
            bar.volume = self.optional_number(column, line)?;
        }
        for (value, column) in bar
            .forecasts
            .iter_mut()
            .zip(columns.forecasts.iter().flatten())
        {
            if let &Some(column) = column {
                *value = self.optional_number(column, line)?;
            }
        }
        Ok(bar)
    }

    fn field(&self, column: usize) -> &[u8] {
        self.record.get(column).unwrap_or(b"").trim_ascii()
    }

    fn text(&self, column: usize) -> Option<&str> {
        str::from_utf8(self.field(column)).ok()
    }

    fn known_text(&self, column: usize, line: u64) -> Result<&str, DataError> {
        self.text(column).ok_or_else(|| DataError::NotText {
            at: place(&self.name, line),
        })
    }

    fn number(&self, column: usize, line: u64) -> Result<f64, DataError> {
        // `parse` also takes "NaN" and "inf", and turns 1e999 into infinity.
        match self.known_text(column, line)?.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(DataError::BadNumber {
                at: self.cell(column, line),
            }),
        }
    }

    /// NaN for an empty field and for NaN.
    fn optional_number(&self, column: usize, line: u64) -> Result<f64, DataError> {
        let field = self.field(column);
        if field.is_empty() || field.eq_ignore_ascii_case(b"nan") {
            return Ok(f64::NAN);
        }
        self.number(column, line)
    }

    fn cell(&self, column: usize, line: u64) -> Box<Cell> {
        let header = self.header.get(column).unwrap_or(b"");
        Box::new(Cell {
            place: place(&self.name, line),
            column: shorten(String::from_utf8_lossy(header).trim()),
            value: shorten(&String::from_utf8_lossy(self.field(column))),
        })
    }
}

fn place(name: &str, line: u64) -> super::Place {
    super::Place {
        source: name.to_owned(),
        row: Row::Line(line),
    }
}

fn failed(name: &str, error: csv::Error) -> DataError {
    let file = name.to_owned();
    match error.into_kind() {
        ErrorKind::Io(error) => DataError::Unreadable {
            file,
            reason: error.to_string(),
        },
        other => DataError::Malformed {
            file,
            format: "CSV",
            reason: format!("{other:?}"),
            remedy: "write one bar per line, fields separated by commas",
        },
    }
}

/// Bytes of a row beyond which it is refused, so that a file with a quote that does not end does
/// not fill the memory.
const LONGEST_ROW: usize = 1 << 24;

/// Passes a text on and counts its lines.
///
/// The CSV reader's own count is that of the end of the row before, which is wrong after blank
/// lines and after line breaks of two bytes.
struct Tap<R> {
    inner: R,
    /// What was passed on and not yet counted, and where in the text it begins.
    ahead: Vec<u8>,
    begin: u64,
    /// Bytes at the front of `ahead` that are counted.
    counted: usize,
    /// Line breaks before that.
    breaks: u64,
}

impl<R> Tap<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            ahead: Vec::new(),
            begin: 0,
            counted: 0,
            breaks: 0,
        }
    }

    /// The line, from 1, of the first field at or after `byte`, which must not go back.
    fn line_at(&mut self, byte: u64) -> u64 {
        let start = usize::try_from(byte.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        let start = start.clamp(self.counted, self.ahead.len());
        let rest = &self.ahead[start..];
        // A row is said to start where the last one ended: before the rest of its line break and
        // any blank lines.
        let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        let end = start + blank.count();
        let passed = &self.ahead[self.counted..end];
        self.breaks += passed.iter().filter(|&&b| b == b'\n').count() as u64;
        self.counted = end;
        1 + self.breaks
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.ahead.drain(..self.counted);
        self.begin += self.counted as u64;
        self.counted = 0;
        if self.ahead.len() > LONGEST_ROW {
            let reason = format!(
                "a row of more than {LONGEST_ROW} bytes, most likely a quote without its end"
            );
            return Err(io::Error::other(reason));
        }
        // A reader that claims more than there is room for is wrong, and no reason to panic.
        self.ahead
            .extend_from_slice(buffer.get(..count).unwrap_or(buffer));
        Ok(count.min(buffer.len()))
    }
}
