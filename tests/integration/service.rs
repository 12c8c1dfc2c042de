//! What a service relies on: types that threads share, and errors that travel.

use std::sync::{Arc, mpsc};
use std::thread;

use trisect::{
    Batch, BatchBuilder, Candidates, Cpu, Direct, DirectOptions, Error, EvaluateOptions, Evaluator,
    Evolution, Exact, ExactSolver, Fields, Groups, OptimizeOptions, Outcome, Points, Progress,
    Searched, Settings, Simulation, optimize,
};

use crate::support::{Kind, Rng, ragged};

/// Compiles for types that threads may move and share. `.ci/run api` asks the same of every type.
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
