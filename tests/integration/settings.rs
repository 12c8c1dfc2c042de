//! The environment, read strictly.

use std::collections::HashMap;
use std::ffi::OsString;

use trisect::{Device, DirectOptions, Error, EvolutionOptions, Method, Settings};

fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let map: HashMap<_, _> = variables.iter().copied().collect();
    Settings::from_lookup(|name| map.get(name).map(OsString::from))
}

#[test]
fn nothing_set_means_the_defaults() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.device(), Device::Auto);
    assert_eq!(settings.simulations(1000), 1000);
    let options = settings.optimize_options();
    assert_eq!(options.method, Method::Direct(DirectOptions::production()));
}

#[test]
fn switches_read_every_documented_spelling_in_any_case() {
    for text in ["1", "true", "yes", "on", "TRUE", "Yes", "oN"] {
        let settings = read(&[("MARKETSIM_FAST_OPTIMIZE", text)]).unwrap();
        assert_eq!(settings.fast_optimize, Some(true), "{text}");
    }
    for text in ["0", "false", "no", "off", "FALSE", "No", "oFF"] {
        let settings = read(&[("MARKETSIM_FAST_SIMULATE", text)]).unwrap();
        assert_eq!(settings.fast_simulate, Some(false), "{text}");
    }
}

#[test]
fn anything_else_is_an_error_with_the_name_and_the_value() {
    for name in [
        "MARKETSIM_FAST_OPTIMIZE",
        "MARKETSIM_USE_DIRECT_OPTIMIZER",
        "MARKETSIM_FAST_SIMULATE",
        "TRISECT_THREADS",
        "TRISECT_DEVICE",
    ] {
        for text in [
            "", " 1", "2x", "truee", "-1", "cuda:", "cuda:x", "gpu", "4097",
        ] {
            let text_of = read(&[(name, text)]).unwrap_err().to_string();
            assert!(
                text_of.starts_with(&format!("{name} = {text}: must be")),
                "{text_of}"
            );
        }
    }
    assert!(read(&[("TRISECT_THREADS", "0")]).is_err());
    assert!(read(&[("MARKETSIM_FAST_OPTIMIZE", "2")]).is_err());
}

#[cfg(unix)]
#[test]
fn text_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let settings = Settings::from_lookup(|name| {
        (name == "TRISECT_DEVICE").then(|| OsString::from_vec(vec![0xff, 0xfe]))
    });
    assert!(matches!(
        settings,
        Err(Error::InvalidOption {
            name: "TRISECT_DEVICE",
            ..
        })
    ));
}

#[test]
fn the_optimizer_and_its_budget_are_switches() {
    for (direct, fast, method) in [
        ("1", "0", Method::Direct(DirectOptions::production())),
        ("1", "1", Method::Direct(DirectOptions::fast())),
        ("0", "0", Method::Evolution(EvolutionOptions::production())),
        ("0", "1", Method::Evolution(EvolutionOptions::fast())),
    ] {
        let settings = read(&[
            ("MARKETSIM_USE_DIRECT_OPTIMIZER", direct),
            ("MARKETSIM_FAST_OPTIMIZE", fast),
        ]);
        assert_eq!(settings.unwrap().optimize_options().method, method);
    }
}

#[test]
fn values_reach_the_options() {
    let settings = read(&[
        ("MARKETSIM_FAST_OPTIMIZE", "yes"),
        ("MARKETSIM_USE_DIRECT_OPTIMIZER", "on"),
        ("MARKETSIM_FAST_SIMULATE", "1"),
        ("TRISECT_THREADS", "3"),
        ("TRISECT_DEVICE", "cuda:2"),
    ])
    .unwrap();
    let options = settings.optimize_options();
    assert_eq!(options.method, Method::Direct(DirectOptions::fast()));
    assert_eq!(settings.evaluate_options().threads, Some(3));
    assert_eq!(settings.device(), Device::Cuda(2));
    assert_eq!(
        (settings.simulations(1000), settings.simulations(10)),
        (35, 10)
    );
    for (text, device) in [
        ("auto", Device::Auto),
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda(0)),
    ] {
        assert_eq!(read(&[("TRISECT_DEVICE", text)]).unwrap().device(), device);
    }
}
