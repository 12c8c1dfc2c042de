//! What a service relies on: types that threads share, and errors that travel.

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;

use trisect::{
    Batch, BatchBuilder, Candidates, Cpu, Direct, DirectOptions, Error, EvaluateOptions, Evaluator,
    Evolution, Exact, ExactSolver, Fields, Groups, OptimizeOptions, Outcome, Points, Progress,
    Searched, Settings, Simulation, optimize,
};

use crate::support::{Kind, Rng, package, ragged};

/// Compiles for types that threads may move and share.
const fn shared<T: Send + Sync>() {}

const _: () = {
    shared::<Batch>();
    shared::<BatchBuilder>();
    shared::<Candidates>();
    shared::<Cpu<'_>>();
    shared::<Direct>();
    shared::<DirectOptions>();
    shared::<Error>();
    shared::<EvaluateOptions>();
    shared::<Evaluator<'_>>();
    shared::<Evolution>();
    shared::<Exact>();
    shared::<ExactSolver>();
    shared::<Fields<Vec<f64>>>();
    shared::<Groups>();
    shared::<OptimizeOptions>();
    shared::<Outcome>();
    shared::<Points<'_>>();
    shared::<Progress<'_>>();
    shared::<Searched>();
    shared::<Settings>();
    shared::<Simulation<'_>>();
    #[cfg(feature = "cuda")]
    shared::<trisect::Cuda<'_>>();
};

/// What `?` in a function of a service wants of an error.
const _: fn(Error) -> Box<dyn std::error::Error + Send + Sync + 'static> = |error| error.into();

/// The list of all that is public, whatever the features, which holds what the compiler found of
/// each type.
#[test]
fn every_public_type_is_send_and_sync() {
    let list = package().join("tests/public-api.txt");
    let list = fs::read_to_string(list).unwrap();
    let mut types = 0;
    for line in list.lines() {
        let words = line.trim_start_matches("#[non_exhaustive] ");
        let name = words
            .strip_prefix("pub struct ")
            .or_else(|| words.strip_prefix("pub enum "));
        // A tuple's fields and a generic type's parameters follow its name.
        let Some(name) = name.and_then(|name| name.split(['(', '<']).next()) else {
            continue;
        };
        for marker in ["Send", "Sync"] {
            let implemented = format!("core::marker::{marker} for {name}");
            // A refusal reads the same behind a `!`.
            let found = list.lines().any(|line| {
                line.starts_with("impl")
                    && line
                        .split_once(&implemented)
                        .is_some_and(|(before, after)| {
                            before.ends_with(' ') && !after.starts_with(char::is_alphanumeric)
                        })
            });
            assert!(found, "{name} is not {marker}");
        }
        types += 1;
    }
    assert!(types > 50, "{types} types found");
}

#[test]
fn threads_share_a_batch_and_hand_over_outcomes() {
    let batch = Arc::new(ragged(&mut Rng::new(11), Kind::Skilled, 5, 40));
    let (sender, receiver) = mpsc::channel::<Result<Outcome, Error>>();
    let handles = [(); 2].map(|()| {
        let (batch, sender) = (Arc::clone(&batch), sender.clone());
        thread::spawn(move || {
            let outcome =
                Evaluator::cpu(&batch, &EvaluateOptions::default()).and_then(|mut evaluator| {
                    optimize(&mut evaluator, &OptimizeOptions::default(), ())
                });
            sender.send(outcome).unwrap();
        })
    });
    drop(sender);
    let outcomes: Vec<Outcome> = receiver.iter().map(Result::unwrap).collect();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0].groups, outcomes[1].groups);
    let group = &outcomes[0].groups[0];
    assert!(group.profit > group.baseline);
}
