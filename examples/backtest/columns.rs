//! Names of the columns of a price file, from the command line.

use trisect::Columns;

/// The names in a text such as `close=Adj Close,time=Day`; the other columns keep theirs.
///
/// # Errors
/// A text that says which part is wrong and what it must be.
pub fn parse(text: &str) -> Result<Columns, String> {
    let mut columns = Columns::default();
    let mut seen = Vec::new();
    for part in text.split(',') {
        let expected = "must be COLUMN=NAME, with commas between several, such as close=Last";
        let (column, name) = part
            .split_once('=')
            .map(|(column, name)| (column.trim(), name.trim()))
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| format!("--columns {part:?}: {expected}"))?;
        let names = match column {
            "symbol" => &mut columns.symbol,
            "time" => &mut columns.time,
            "open" => &mut columns.open,
            "high" => &mut columns.high,
            "low" => &mut columns.low,
            "close" => &mut columns.close,
            "volume" => &mut columns.volume,
            "high_pred" => &mut columns.high_pred,
            "low_pred" => &mut columns.low_pred,
            "position" => &mut columns.position,
            "buy" => &mut columns.buy,
            "sell" => &mut columns.sell,
            _ => {
                return Err(format!(
                    "--columns {part:?}: no column {column}; the columns are symbol, time, open, high, low, \
                     close, volume, high_pred, low_pred, position, buy and sell"
                ));
            }
        };
        if seen.contains(&column) {
            return Err(format!(
                "--columns {part:?}: {column} is named twice; name it once"
            ));
        }
        seen.push(column);
        *names = vec![name.to_owned()];
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_column_replaces_its_default_names_and_no_others() {
        let expected = Columns {
            close: vec!["Adj Close".to_owned()],
            time: vec!["Day".to_owned()],
            ..Columns::default()
        };
        assert_eq!(parse("close=Adj Close, time = Day"), Ok(expected));
    }

    #[test]
    fn every_column_can_be_named() {
        for column in [
            "symbol",
            "time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "high_pred",
            "low_pred",
            "position",
            "buy",
            "sell",
        ] {
            let named = parse(&format!("{column}=x")).unwrap();
            let text = format!("{named:?}");
            assert!(text.contains(&format!("{column}: [\"x\"]")), "{text}");
        }
    }

    #[test]
    fn what_names_no_column_is_refused_by_name() {
        for (text, expected) in [
            ("close", "--columns \"close\": must be"),
            ("close=", "--columns \"close=\": must be"),
            ("close=a,", "--columns \"\": must be"),
            (
                "price=a",
                "--columns \"price=a\": no column price; the columns are",
            ),
            (
                "close=a,close=b",
                "--columns \"close=b\": close is named twice",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
