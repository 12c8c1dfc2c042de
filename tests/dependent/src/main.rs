//! A whole job of a service: bars in, tuned multipliers out, on the best device there is.

use std::error::Error;

use trisect::{Batch, Evaluator, Fields, OptimizeOptions, Sharing, Weights, optimize};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Two windows of three days; in the second all forecasts are 1 % too far out.
    let fields = Fields {
        close: &[0.010, -0.004, 0.002, 0.0, 0.0, 0.0][..],
        high: &[0.021, 0.009, 0.015, 0.020, 0.020, 0.020],
        low: &[-0.012, -0.018, -0.007, -0.020, -0.020, -0.020],
        high_pred: &[0.018, 0.012, 0.011, 0.030, 0.030, 0.030],
        low_pred: &[-0.015, -0.013, -0.009, -0.030, -0.030, -0.030],
        weights: Weights::EntryExit(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0]),
    };
    let batch = Batch::from_slices(&[3, 3], fields)?;
    let mut evaluator = Evaluator::auto(&batch, &Default::default())?;
    let options = OptimizeOptions {
        sharing: Sharing::PerSimulation,
        ..Default::default()
    };
    let outcome = optimize(&mut evaluator, &options, ())?;
    for group in &outcome.groups {
        let gain = group.profit - group.baseline;
        println!("{:?}: {gain:+}", group.multipliers);
    }

    let [first, second] = &outcome.groups[..] else {
        return Err("two windows must give two groups".into());
    };
    assert!(first.profit > first.baseline);
    // Bought at -2 % and sold at +2 % on each of three days, where the forecasts never traded.
    assert!(second.baseline == 0.0 && second.profit > 0.115 && second.profit < 0.120);
    assert!(second.multipliers.high < -0.01 && second.multipliers.low > 0.01);
    Ok(())
}
