//! Batches from `(S, T)` arrays: any strides, and the error each bad shape gets.

use ndarray::{Array2, ArrayView2, Axis, s};
use trisect::{Batch, Element, Error, Fields, Weights};

use crate::support::{Columns, Kind, Rng};

const BARS: usize = 3;

/// A batch of two simulations through arrays of `T`, and the same through one simulation at a time.
fn both_ways<T: Element>(convert: impl Fn(f32) -> T, transposed: bool) -> [Batch; 2] {
    let mut rng = Rng::new(5);
    let simulations = [(); 2].map(|()| Columns::draw(&mut rng, Kind::Skilled, BARS));
    let array = |column: fn(&Columns) -> &Vec<f32>| {
        let rows = simulations.iter().flat_map(column);
        let rows: Vec<T> = rows.map(|&x| convert(x)).collect();
        let array = Array2::from_shape_vec((2, BARS), rows).unwrap();
        if !transposed {
            return array;
        }
        // The same values, stored column by column.
        let mut by_column = Array2::from_elem((BARS, 2), array[[0, 0]]);
        by_column.assign(&array.t());
        by_column.reversed_axes()
    };
    let [close, high, low] = [
        array(|columns| &columns.close),
        array(|columns| &columns.high),
        array(|columns| &columns.low),
    ];
    let [high_pred, low_pred, position] = [
        array(|columns| &columns.high_pred),
        array(|columns| &columns.low_pred),
        array(|columns| &columns.position),
    ];
    assert_eq!(close.is_standard_layout(), !transposed);
    let arrays = Batch::from_arrays(Fields {
        close: close.view(),
        high: high.view(),
        low: low.view(),
        high_pred: high_pred.view(),
        low_pred: low_pred.view(),
        weights: Weights::EntryExit(position.view()),
    });

    let mut builder = Batch::builder();
    for columns in &simulations {
        let column = |column: &[f32]| column.iter().map(|&x| convert(x)).collect::<Vec<_>>();
        let simulation = Fields {
            close: &column(&columns.close)[..],
            high: &column(&columns.high),
            low: &column(&columns.low),
            high_pred: &column(&columns.high_pred),
            low_pred: &column(&columns.low_pred),
            weights: Weights::EntryExit(&column(&columns.position)),
        };
        builder.push(simulation).unwrap();
    }
    [arrays.unwrap(), builder.build().unwrap()]
}

#[test]
fn arrays_give_the_same_batch_as_one_simulation_at_a_time() {
    for transposed in [false, true] {
        let [arrays, pushed] = both_ways(f64::from, transposed);
        assert_eq!(arrays, pushed);
        assert_ne!(arrays.simulation(0), arrays.simulation(1));
        let [arrays, pushed] = both_ways(|x| x, transposed);
        assert_eq!(arrays, pushed);
    }
}

#[cfg(feature = "half")]
#[test]
fn arrays_of_narrow_types_give_the_same_batch_as_one_simulation_at_a_time() {
    for transposed in [false, true] {
        let [arrays, pushed] = both_ways(half::f16::from_f32, transposed);
        assert_eq!(arrays, pushed);
        let [arrays, pushed] = both_ways(half::bf16::from_f32, transposed);
        assert_eq!(arrays, pushed);
    }
}

#[test]
fn reversed_axes_and_strides_are_read_as_they_look() {
    // A view of every second bar, with a negative stride.
    let array = Array2::from_shape_fn((2, 6), |(s, t)| 0.001 * (1 + s * 6 + t) as f32);
    let mut view = array.slice(s![.., ..;2]);
    view.invert_axis(Axis(0));
    let low = array.mapv(|x| -x);
    let mut low = low.slice(s![.., ..;2]);
    low.invert_axis(Axis(0));
    let batch = Batch::from_arrays(Fields {
        close: view,
        high: view,
        low,
        high_pred: view,
        low_pred: low,
        weights: Weights::EntryExit(view),
    })
    .unwrap();
    for (s, row) in view.outer_iter().enumerate() {
        let simulation = batch.simulation(s).unwrap();
        assert_eq!(simulation.close, row.to_vec());
        assert_eq!(simulation.low, row.mapv(|x| -x).to_vec());
    }
    assert!(batch.simulation(0).unwrap().close > batch.simulation(1).unwrap().close);
}

/// The error of a batch whose columns are all `array`, but for `low`.
fn refused(array: ArrayView2<'_, f32>, low: ArrayView2<'_, f32>) -> Error {
    Batch::from_arrays(Fields {
        close: array,
        high: array,
        low,
        high_pred: array,
        low_pred: array,
        weights: Weights::EntryExit(array),
    })
    .unwrap_err()
}

#[test]
fn every_bad_shape_gets_its_own_error() {
    let zeros = |simulations, bars| Array2::<f32>::zeros((simulations, bars));
    let (wide, narrow) = (zeros(2, 3), zeros(2, 2));
    let error = refused(wide.view(), narrow.view()).to_string();
    let expected = "field low has shape [2, 2], expected [2, 3]";
    assert!(error.starts_with(expected), "{error}");

    let none = zeros(0, 3);
    assert_eq!(refused(none.view(), none.view()), Error::EmptyBatch);

    // No memory holds a length for each of these rows.
    let no_columns = zeros(1 << 45, 0);
    let error = refused(no_columns.view(), no_columns.view());
    assert_eq!(error, Error::EmptySimulation { simulation: 0 });
}
