//! Prices from CSV: what is read, what is refused, and where errors say it is.

use std::io::{self, Read};

use trisect::{
    Columns, DataError, Epoch, Fault, ForecastUnit, GivenForecasts, OnFault, Policy, PriceFile,
    Prices, ReadOptions, Row, Weights, csv_symbols, read_csv, read_prices,
};

use crate::support::package;

fn read_with(text: &str, options: &ReadOptions) -> Result<PriceFile, DataError> {
    read_csv(text.as_bytes(), "folder/SPY.csv", options)
}

fn read(text: &str) -> Vec<Prices> {
    read_with(text, &ReadOptions::default()).unwrap().prices
}

/// The message of the error that `text` must give.
fn message(text: &str) -> String {
    match read_with(text, &ReadOptions::default()) {
        Ok(file) => panic!("read without an error: {file:?}"),
        Err(error) => error.to_string(),
    }
}

/// The seconds that `times` are read as, one bar per time.
fn times(times: &[&str], options: &ReadOptions) -> Vec<i64> {
    let rows = times.iter().map(|time| format!("{time},1,1,1,1\n"));
    let text = format!("date,open,high,low,close\n{}", rows.collect::<String>());
    read_with(&text, options).unwrap().prices.remove(0).times
}

#[test]
fn included_prices_are_as_their_readme_says() {
    let path = package().join("examples/data/prices.csv");
    let file = read_prices(path, &ReadOptions::default()).unwrap();
    let day = 86_400;
    let seen: Vec<_> = file
        .prices
        .iter()
        .map(|prices| {
            let (first, last) = (prices.times[0] / day, prices.times[prices.len() - 1] / day);
            (prices.symbol.as_str(), prices.len(), first, last)
        })
        .collect();
    // Days since 1970: 2011-06-29, 2012-05-18, 2013-03-01.
    let expected = [
        ("AAPL", 420, 15_154, 15_765),
        ("FB", 196, 15_478, 15_765),
        ("GOOG", 420, 15_154, 15_765),
        ("IBM", 420, 15_154, 15_765),
        ("MSFT", 420, 15_154, 15_765),
    ];
    assert_eq!(seen, expected);
    assert_eq!(file.repairs.count(Fault::Split), 0);
    assert_eq!(file.repairs.count(Fault::Gap), 0);
}

#[test]
fn columns_are_found_in_any_case_and_order() {
    let text = "CLOSE, Volume ,low,High,oPEN,Adj Close,Timestamp\n\
                4,900,1,8,2,77,2020-01-02\n\
                5,,3,9,6,78,2020-01-03\n";
    let check = |text: &str| {
        let prices = &read(text)[0];
        assert_eq!(prices.symbol, "SPY");
        assert_eq!(prices.times, [1_577_923_200, 1_578_009_600]);
        assert_eq!(prices.open, [2.0, 6.0]);
        assert_eq!(prices.high, [8.0, 9.0]);
        assert_eq!(prices.low, [1.0, 3.0]);
        assert_eq!(prices.close, [4.0, 5.0]);
        let volume = prices.volume.as_ref().unwrap();
        assert!(volume[0] == 900.0 && volume[1].is_nan());
    };
    check(text);
    // As spreadsheets save it: byte order mark, CRLF, blank lines, quotes.
    let saved = format!("\u{feff}{}", text.replace('\n', "\r\n\r\n"));
    check(&saved.replace("77", "\"7\""));

    let options = ReadOptions {
        columns: Columns {
            close: vec!["Adj Close".to_owned()],
            volume: vec![],
            ..Columns::default()
        },
        symbol: Some("MINE".to_owned()),
        ..ReadOptions::default()
    };
    let prices = &read_with(text, &options).unwrap().prices[0];
    assert_eq!(prices.close, [77.0, 78.0]);
    assert_eq!((prices.symbol.as_str(), &prices.volume), ("MINE", &None));
}

#[test]
fn rows_of_several_symbols_may_be_mixed() {
    let all = read(
        "Ticker,date,open,high,low,close\n\
         B,2020-01-02,1,1,1,1\nA,2020-01-01,2,2,2,2\nB,2020-01-03,1.2,1.2,1.2,1.2\n",
    );
    let seen: Vec<_> = all.iter().map(|p| (p.symbol.as_str(), &p.close)).collect();
    assert_eq!(seen, [("B", &vec![1.0, 1.2]), ("A", &vec![2.0])]);
}

#[test]
fn symbols_one_by_one_are_those_of_the_whole() {
    let text = "symbol,date,open,high,low,close\n\
                A,2020-01-02,1,3,1,2\nA,2020-01-03,2,3,1,2\n\
                B,2020-01-02,5,7,4,5\n\
                C,2020-01-02,0,7,4,5\n\
                D,2020-01-02,0,7,4,5\nD,2020-01-03,5,7,4,5\n";
    let options = ReadOptions {
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    let whole = read_with(text, &options).unwrap();
    let mut symbols = csv_symbols(text.as_bytes(), "folder/SPY.csv", &options).unwrap();
    let one_by_one: Result<Vec<Prices>, DataError> = symbols.by_ref().collect();
    assert_eq!(one_by_one.unwrap(), whole.prices);
    assert_eq!(symbols.repairs(), &whole.repairs);
    assert_eq!(whole.prices.len(), 3);

    let again = format!("{text}A,2020-01-04,1,1,1,1\n");
    let mut symbols = csv_symbols(again.as_bytes(), "x.csv", &options).unwrap();
    let errors: Vec<_> = symbols.by_ref().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "x.csv, line 8: rows of A again, after rows of others; sort the file by symbol, or read it \
         whole"
    );
    assert!(symbols.next().is_none());
    let empty = "date,open,high,low,close\n";
    let mut symbols = csv_symbols(empty.as_bytes(), "x.csv", &options).unwrap();
    assert!(matches!(
        symbols.next(),
        Some(Err(DataError::NoRows { .. }))
    ));
    assert!(symbols.next().is_none());
}

#[test]
fn errors_in_a_row_name_file_line_column_value_and_remedy() {
    const NUMBER: &str = "is no finite number; write a number such as 101.25 or remove the row";
    const POSITIVE: &str =
        "is not above 0, and moves need prices above 0; correct the row or remove it";
    // The second row, the column, the value and what is said about it.
    let cases = [
        ("2020-01-03,2,4,1,n/a", "Close", "n/a", NUMBER),
        ("2020-01-03,2,inf,1,3", "high", "inf", NUMBER),
        ("2020-01-03,2,4,NaN,3", "low", "NaN", NUMBER),
        ("2020-01-03,,4,1,3", "open", "", NUMBER),
        ("2020-01-03,2,1e999,1,3", "high", "1e999", NUMBER),
        ("2020-01-03,0,4,1,3", "open", "0", POSITIVE),
        ("2020-01-03,2,4,-1,3", "low", "-1", POSITIVE),
        ("2020-01-03,2,4,1,-0.0", "Close", "-0", POSITIVE),
        (
            "2020-01-03,2,4,5,3",
            "high",
            "4",
            "is below the low of the bar, 5; correct the bar or remove it",
        ),
        (
            "01/03/2020,2,4,1,3",
            "date",
            "01/03/2020",
            "is no date; write YYYY-MM-DD, optionally with a time, or an integer such as a Unix time",
        ),
    ];
    for (row, column, value, said) in cases {
        let text = format!("date,open,high,low,Close\n2020-01-02,2,4,1,3\n{row}\n");
        let expected = format!("folder/SPY.csv, line 3, column {column}: {value:?} {said}");
        assert_eq!(message(&text), expected);
    }
    let text = "symbol,date,open,high,low,close\n,2020-01-02,2,4,1,3\n";
    let said = "line 2, column symbol: \"\" names no symbol; write it or remove the column";
    assert_eq!(message(text), format!("folder/SPY.csv, {said}"));

    // Of the sequence.
    for (row, said) in [
        (
            "2020-01-02,2,4,1,3",
            "line 3: 2020-01-02T00:00:00Z of SPY is there already, on line 2; keep one of the two, \
             or let the policy drop the later one",
        ),
        (
            "2020-01-01,2,4,1,3",
            "line 3: 2020-01-01T00:00:00Z of SPY follows 2020-01-02T00:00:00Z; sort the bars by \
             time, oldest first, or let the policy do it",
        ),
        // The same moment in another form.
        (
            "1577923200,2,4,1,3",
            "line 3: 2020-01-02T00:00:00Z of SPY is there already, on line 2; keep one of the two, \
             or let the policy drop the later one",
        ),
    ] {
        let text = format!("date,open,high,low,Close\n2020-01-02,2,4,1,3\n{row}\n");
        assert_eq!(message(&text), format!("folder/SPY.csv, {said}"));
    }
}

#[test]
fn errors_in_the_layout_name_file_line_and_remedy() {
    let cases = [
        (
            "date,open,high,low,close\n2020-01-03,2,4\n",
            ", line 2: 3 fields, but the header has 5; complete the row or remove it",
        ),
        (
            "date,open,high,low\n",
            ": no column `close`: none is called close, only: date, open, high, low; rename it, add it, or map its name",
        ),
        (
            "date,TIME,open,high,low,close\n",
            ": \"date\" and \"TIME\" both could be the column `time`; keep one, or map its name",
        ),
        ("date,open,high,low,close\n", ": no bar; add at least one"),
        (
            "",
            ": no column `open`: none is called open, only: ; rename it, add it, or map its name",
        ),
        (
            "date,open,high,low,close,high_pred\n",
            ": no column `low_pred`: none is called low_pred, only: date, open, high, low, close, high_pred; rename it, add \
             it, or map its name",
        ),
        (
            "date,open,high,low,close,high_pred,low_pred,sell\n",
            ": no column `position`: none is called position, only: date, open, high, low, close, high_pred, low_pred, \
             sell...; rename it, add it, or map its name",
        ),
        (
            "date,open,high,low,close,high_pred,low_pred,position,buy\n",
            ": \"position\" and \"buy\" both could be the column `position`; keep one, or map its \
             name",
        ),
    ];
    for (text, expected) in cases {
        let got = message(text);
        // The list of columns is cut off when long.
        let cut = |text: &str| text.split("only:").next().unwrap_or("").to_owned();
        assert_eq!(cut(&got), cut(&format!("folder/SPY.csv{expected}")));
        assert!(got.ends_with(expected.rsplit(';').next().unwrap()), "{got}");
    }
    // A name that was mapped, not what it is for alone.
    let options = ReadOptions {
        columns: Columns {
            close: vec!["Last".to_owned(), "Adj Close".to_owned()],
            ..Columns::default()
        },
        ..ReadOptions::default()
    };
    let error = read_with("date,open,high,low,close\n", &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "folder/SPY.csv: no column `close`: none is called Last or Adj Close, only: date, open, high, \
         low, close; rename it, add it, or map its name"
    );
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_their_line_where_they_are_needed() {
    let read = |text: &[u8]| read_csv(text, "x.csv", &ReadOptions::default());
    let text = b"date,open,high,low,close\n2020-01-02,2,4,1,3\n\xff,2,4,1,3\n";
    let error = read(text).unwrap_err().to_string();
    assert_eq!(
        error,
        "x.csv, line 3: not UTF-8 text; save the file as UTF-8"
    );
    let error = read(b"\n\ndate,\xff\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "x.csv, line 3: not UTF-8 text; save the file as UTF-8"
    );
    let text = b"date,open,high,low,close,note\n2020-01-02,2,4,1,3,\xff\n";
    assert_eq!(read(text).unwrap().prices[0].close, [3.0]);
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let error = read_csv(Failing, "x.csv", &ReadOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.csv: cannot be read: disk on fire; check the path and the permissions"
    );
    let missing = read_prices("no/such.csv", &ReadOptions::default()).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("no/such.csv: cannot be read")
    );
}

#[test]
fn a_quote_that_does_not_end_is_refused_before_it_fills_the_memory() {
    let text = b"date,open,high,low,close\n\"2020-01-02".chain(io::repeat(b'x'));
    let error = read_csv(text, "x.csv", &ReadOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("a quote without its end"),
        "{error}"
    );
}

#[test]
fn lines_are_counted_over_blank_lines_line_breaks_of_two_bytes_and_quoted_breaks() {
    for line_break in ["\n", "\r\n"] {
        for mark in ["", "\u{feff}"] {
            let text = [
                "date,open,high,low,close,note", // line 1
                "",
                "2020-01-02,2,4,1,3,\"two",
                "lines\"",
                "",
                "2020-01-03,2,4,1,3,",
                "2020-01-06,2,4,x,3,", // line 7
            ];
            let got = message(&format!("{mark}{}", text.join(line_break)));
            let expected = "folder/SPY.csv, line 7, column low: ";
            assert!(got.starts_with(expected), "{got}");
        }
    }
    // Over more than the reader's buffer.
    let mut text = "date,open,high,low,close\n".to_owned();
    for row in 0..30_000 {
        text += &format!("{},2,4,1,3\r\n", 100_000_000 + row);
    }
    let got = message(&format!("{text}\n\n1,2,4,x,3"));
    assert!(
        got.starts_with("folder/SPY.csv, line 30004, column low: "),
        "{got}"
    );
}

#[test]
fn a_time_is_read_in_every_known_form() {
    let utc = ReadOptions::default();
    let forms = [
        "2020-01-02",
        "20200103",
        "2020-01-04T05:06",
        "2020-01-04 05:06:07",
        "2020-01-04T05:06:08.999",
        "2020-01-04T06:06:09+01:00",
        "2020-01-04T00:06:10-0500",
        "2020-01-04T05:06:11Z",
        "1578114372",
        "1578114373500",
        "1578114374000000",
        "1578114375000000000",
    ];
    let base = 1_578_114_367;
    let mut expected = vec![1_577_923_200, 1_578_009_600, base - 7];
    expected.extend((0..9).map(|second| base + second));
    assert_eq!(times(&forms, &utc), expected);
    // Before 1970 the fraction is cut off towards the past.
    assert_eq!(times(&["1969-12-31T23:59:58.5"], &utc), [-2]);

    let with = |epoch| ReadOptions {
        epoch,
        ..ReadOptions::default()
    };
    assert_eq!(times(&["20200103"], &with(Epoch::Seconds)), [20_200_103]);
    assert_eq!(times(&["-1500"], &with(Epoch::Milliseconds)), [-2]);
    assert_eq!(times(&["5000000"], &with(Epoch::Microseconds)), [5]);
    assert_eq!(times(&["7000000000"], &with(Epoch::Nanoseconds)), [7]);
}

#[test]
fn what_is_no_time_is_refused() {
    for time in [
        "",
        "-",
        "x",
        "2020-1-1",
        "2020-13-01",
        "2020-00-01",
        "2020-01-00",
        "2020-04-31",
        "2021-02-29",
        "1900-02-29",
        "2020-01-01x",
        "2020-01-01T",
        "2020-01-01T24:00",
        "2020-01-01T10:60",
        "2020-01-01T10:00:61",
        "2020-01-01T10:00:00.",
        "2020-01-01T10:00:00.0123456789",
        "2020-01-01T10:00Zx",
        "2020-01-0\u{663}",
        "99999999999999999999",
    ] {
        let text = format!("date,open,high,low,close\n{time},1,1,1,1\n");
        let got = message(&text);
        assert!(got.contains("is no date"), "{time:?}: {got}");
    }
}

#[test]
fn a_zone_is_for_times_that_state_none() {
    let zone = |zone: &str| ReadOptions {
        zone: zone.to_owned(),
        ..ReadOptions::default()
    };
    let new_york = zone("America/New_York");
    // A winter day, a summer day, and one with its own offset.
    let read = times(
        &["2020-01-02", "2020-07-01 09:30", "2020-07-02T00:00Z"],
        &new_york,
    );
    assert_eq!(read, [1_577_941_200, 1_593_610_200, 1_593_648_000]);
    assert_eq!(times(&["2020-01-02"], &zone("+05:30")), [1_577_903_400]);
    // 02:30 is skipped: an hour later. 01:30 is there twice: the first.
    assert_eq!(times(&["2020-03-08 02:30"], &new_york), [1_583_652_600]);
    assert_eq!(times(&["2020-11-01 01:30"], &new_york), [1_604_208_600]);
    for wrong in ["", "Mars/Olympus", "+5", "+99:00"] {
        let error = read_with("date,open,high,low,close\n", &zone(wrong)).unwrap_err();
        assert!(error.to_string().contains("zone"), "{wrong}: {error}");
    }
}

#[test]
fn forecasts_come_as_columns() {
    let text = "date,open,high,low,close,high_pred,low_pred,position\n\
                2020-01-02,2,4,1,3,,NaN,\n2020-01-03,2,4,1,3,0.01,-0.02,-1\n";
    let given = read(text).remove(0).forecasts.unwrap();
    let GivenForecasts {
        unit,
        high_pred,
        low_pred,
        weights,
    } = given;
    assert_eq!(unit, ForecastUnit::Moves);
    assert!(high_pred[0].is_nan() && low_pred[0].is_nan());
    assert_eq!((high_pred[1], low_pred[1]), (0.01, -0.02));
    assert!(matches!(weights, Weights::EntryExit(p) if p[0].is_nan() && p[1] == -1.0));
    let got = message(&text.replace("0.01", "up"));
    assert!(
        got.contains("line 3, column high_pred: \"up\" is no"),
        "{got}"
    );
}

#[test]
fn a_policy_repairs_and_says_where() {
    let text = "symbol,date,open,high,low,close\n\
                A,2020-01-06,2,4,1,3\n\
                A,2020-01-03,2,4,1,x\n\
                A,when,2,4,1,3\n\
                A,2020-01-02,2,4,1,3\n\
                A,2020-01-06,9,9,9,9\n\
                ,2020-01-07,2,4,1,3\n\
                A,2020-01-08,2,4,5,3\n\
                A,2020-01-09,2,4,1,0\n";
    let options = ReadOptions {
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    let file = read_with(text, &options).unwrap();
    assert_eq!(file.prices[0].times, [1_577_923_200, 1_578_268_800]);
    // Of two rows the first in the file is kept.
    assert_eq!(file.prices[0].open, [2.0, 2.0]);
    assert_eq!(
        file.repairs.to_string(),
        "folder/SPY.csv: 3 values that cannot be understood, dropped: line 3, line 4, line 7\n\
         folder/SPY.csv: 1 highs below the low, dropped: line 8\n\
         folder/SPY.csv: 1 prices not above 0, dropped: line 9\n\
         folder/SPY.csv: 1 bars out of order, sorted: line 5\n\
         folder/SPY.csv: 1 times that are there twice, dropped: line 6"
    );
    assert_eq!(file.repairs.found[0].places[0].row, Row::Line(3));
    // One kind at a time.
    let only_values = ReadOptions {
        policy: Policy {
            bad_value: OnFault::Repair,
            ..Policy::default()
        },
        ..ReadOptions::default()
    };
    let error = read_with(text, &only_values).unwrap_err();
    assert!(matches!(error, DataError::HighBelowLow { .. }), "{error}");
}

#[test]
fn long_values_are_cut_in_errors() {
    let value = "\u{e9}".repeat(1000);
    let got = message(&format!("date,open,high,low,close\n{value},1,1,1,1\n"));
    let expected = format!("\"{}...\"", "\u{e9}".repeat(60));
    assert!(got.contains(&expected), "{got}");
    assert!(got.len() < 320, "{} bytes", got.len());
}
