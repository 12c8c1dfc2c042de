//! DIRECT searches written down (feature `serde`): what is refused, and that nothing panics.

use proptest::prelude::*;
use trisect::{Bounds, Direct, DirectOptions};

use crate::direct::{Shape, Trace, bowl, budget_only, config, drive, plain, round};

fn midway() -> Direct {
    let mut search = plain(&[(-1.0, 2.0), (0.0, 1.0)], budget_only(200));
    let mut trace = Trace::new();
    for _ in 0..6 {
        let objective = |x: &[f64]| Shape::Holes { percent: 20 }.value(x);
        round(&mut search, &objective, &mut trace);
    }
    search
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let good = serde_json::to_value(midway()).unwrap();
    assert!(serde_json::from_value::<Direct>(good.clone()).is_ok());
    let change = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        edit(&mut value);
        serde_json::from_value::<Direct>(value)
    };
    type Edit<'a> = &'a dyn Fn(&mut serde_json::Value);
    let edits: [(&str, Edit); 6] = [
        ("version", &|v| v["version"] = 99.into()),
        ("a value less", &|v| {
            v["values"].as_array_mut().unwrap().pop();
        }),
        ("a value more", &|v| {
            v["values"].as_array_mut().unwrap().push(0.into())
        }),
        ("a budget too small", &|v| v["max_evaluations"] = 1.into()),
        ("a reversed box", &|v| {
            v["bounds"][0] = serde_json::json!([2_f64.to_bits(), 1_f64.to_bits()])
        }),
        ("an eps that is none", &|v| {
            v["eps"] = f64::NAN.to_bits().into()
        }),
    ];
    for (what, edit) in edits {
        assert!(change(edit).is_err(), "{what}");
    }
    let mut finished = midway();
    drive(&mut finished, &bowl);
    let mut value = serde_json::to_value(&finished).unwrap();
    value["stop"] = "Volume".into();
    assert!(serde_json::from_value::<Direct>(value).is_err());
}

#[test]
fn options_and_boxes_are_written_as_plain_numbers_and_checked() {
    let bounds = Bounds::new(&[(-0.5, 2.0)]).unwrap();
    let text = serde_json::to_string(&bounds).unwrap();
    assert_eq!(text, "[[-0.5,2.0]]");
    assert_eq!(serde_json::from_str::<Bounds>(&text).unwrap(), bounds);
    assert!(serde_json::from_str::<Bounds>("[[1.0,1.0]]").is_err());
    let options = DirectOptions::fast();
    let text = serde_json::to_string(&options).unwrap();
    assert!(text.contains("\"max_evaluations\":100"), "{text}");
    assert_eq!(
        serde_json::from_str::<DirectOptions>(&text).unwrap(),
        options
    );
}

proptest! {
    #![proptest_config(config(300))]

    /// Whatever a snapshot says, reading it and going on never panics.
    #[test]
    fn a_damaged_snapshot_never_panics(
        at in any::<prop::sample::Index>(),
        digit in 0_u8..10,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut text = serde_json::to_string(&midway()).unwrap().into_bytes();
        let digits: Vec<usize> =
            (0..text.len()).filter(|&i| text[i].is_ascii_digit()).collect();
        text[*at.get(&digits)] = b'0' + digit;
        if let Some(cut) = cut {
            let from = cut.index(text.len());
            text.drain(from..(from + 3).min(text.len()));
        }
        if let Ok(mut search) = serde_json::from_slice::<Direct>(&text) {
            let mut trace = Trace::new();
            for _ in 0..50 {
                if search.stop().is_none() {
                    round(&mut search, &bowl, &mut trace);
                }
            }
        }
    }
}
