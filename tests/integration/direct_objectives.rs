//! Objectives of the golden DIRECT runs.
//!
//! The order of operations matters to the last bit: each formula reproduces every recorded value
//! of `direct.json` and `direct_nlopt_orig.json` (glibc's sin, cos and exp).

use std::f64::consts::PI;

/// The objective of that name, `None` if it is not known.
pub fn by_name(name: &str) -> Option<fn(&[f64]) -> f64> {
    Some(match name {
        "sphere" | "sphere_asym" | "sphere5" => sphere,
        "branin" => branin,
        "camel6" => camel6,
        "hartmann3" => hartmann3,
        "hartmann6" => hartmann6,
        "shubert2" => shubert2,
        "goldstein_price" => goldstein_price,
        "rosenbrock2" | "rosenbrock4" => rosenbrock,
        "rastrigin2" | "rastrigin2_asym" => rastrigin,
        "wave1" => |x| x[0].sin() + (10.0 * x[0] / 3.0).sin(),
        "constant1" | "constant2" => |_| 1.5,
        "stairs2" => |x| (3.0 * x[0]).floor() + (3.0 * x[1]).floor(),
        "only_first3" => |x| square(x[0] - 0.3),
        "neg_plane" => |x| x[1] - 2.0 * x[0],
        "nan_left" => |x| if x[0] < 0.0 { f64::NAN } else { sphere(x) },
        "inf_left" => |x| {
            if x[0] < 0.0 {
                f64::INFINITY
            } else {
                square(x[0] - 0.7) + square(x[1] - 0.2)
            }
        },
        "neginf_spot" => |x| {
            if (x[0] - 0.5).abs() < 0.1 && (x[1] - 0.5).abs() < 0.1 {
                f64::NEG_INFINITY
            } else {
                sphere(x)
            }
        },
        "nan_center" => |x| {
            if x[0].abs() < 0.4 && x[1].abs() < 0.4 {
                f64::NAN
            } else {
                sphere(x)
            }
        },
        "all_nan" => |_| f64::NAN,
        "all_inf" => |_| f64::INFINITY,
        _ => return None,
    })
}

/// The objective of that name in `direct_traces.json`: + - * / and floor only.
pub fn by_trace_name(name: &str) -> Option<fn(&[f64]) -> f64> {
    let stem = name.split('_').next().unwrap_or(name);
    Some(match stem {
        "quad1" | "quad2" | "quad3" | "quad5" => quad,
        "camel2" => camel6,
        "plateau2" | "plateau4" => {
            |x| (4.0 * x.iter().fold(0.0, |sum, v| sum + (v - 0.3).abs())).floor()
        }
        "step2" => |x| if x[0] > 0.1 { -1.0 } else { 0.0 },
        _ => return None,
    })
}

fn square(x: f64) -> f64 {
    x * x
}

pub fn sphere(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum, v| sum + v * v)
}

fn quad(x: &[f64]) -> f64 {
    x.iter().enumerate().fold(0.0, |sum, (i, v)| {
        let i = i as f64;
        sum + (2.0 * i + 1.0) * square(v - (0.0123 - 0.0164 * i))
    })
}

pub fn branin(x: &[f64]) -> f64 {
    let (b, c, t) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    square(x[1] - b * x[0] * x[0] + c * x[0] - 6.0) + 10.0 * (1.0 - t) * x[0].cos() + 10.0
}

pub fn camel6(x: &[f64]) -> f64 {
    let (a, b) = (x[0] * x[0], x[1] * x[1]);
    (4.0 - 2.1 * a + a * a / 3.0) * a + x[0] * x[1] + (-4.0 + 4.0 * b) * b
}

fn hartmann<const N: usize>(x: &[f64], weights: &[[f64; N]; 4], centres: &[[f64; N]; 4]) -> f64 {
    let heights = [1.0, 1.2, 3.0, 3.2];
    let mut sum = 0.0;
    for i in 0..4 {
        let mut exponent = 0.0;
        for j in 0..N {
            let distance = x[j] - centres[i][j];
            exponent += weights[i][j] * distance * distance;
        }
        sum += heights[i] * (-exponent).exp();
    }
    -sum
}

pub fn hartmann3(x: &[f64]) -> f64 {
    hartmann(
        x,
        &[
            [3.0, 10.0, 30.0],
            [0.1, 10.0, 35.0],
            [3.0, 10.0, 30.0],
            [0.1, 10.0, 35.0],
        ],
        &[
            [0.3689, 0.1170, 0.2673],
            [0.4699, 0.4387, 0.7470],
            [0.1091, 0.8732, 0.5547],
            [0.03815, 0.5743, 0.8828],
        ],
    )
}

pub fn hartmann6(x: &[f64]) -> f64 {
    hartmann(
        x,
        &[
            [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
            [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
            [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
            [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
        ],
        &[
            [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
            [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
            [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
            [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
        ],
    )
}

pub fn shubert2(x: &[f64]) -> f64 {
    let factor = |v: f64| {
        (1..=5).fold(0.0, |sum, i| {
            let i = f64::from(i);
            sum + i * ((i + 1.0) * v + i).cos()
        })
    };
    factor(x[0]) * factor(x[1])
}

pub fn goldstein_price(p: &[f64]) -> f64 {
    let (x, y) = (p[0], p[1]);
    let a = 1.0
        + square(x + y + 1.0)
            * (19.0 - 14.0 * x + 3.0 * x * x - 14.0 * y + 6.0 * x * y + 3.0 * y * y);
    let b = 30.0
        + square(2.0 * x - 3.0 * y)
            * (18.0 - 32.0 * x + 12.0 * x * x + 48.0 * y - 36.0 * x * y + 27.0 * y * y);
    a * b
}

fn rosenbrock(x: &[f64]) -> f64 {
    x.windows(2).fold(0.0, |sum, pair| {
        let valley = pair[1] - pair[0] * pair[0];
        sum + (100.0 * valley * valley + square(1.0 - pair[0]))
    })
}

pub fn rastrigin(x: &[f64]) -> f64 {
    10.0 * x.len() as f64
        + x.iter()
            .fold(0.0, |sum, v| sum + (v * v - 10.0 * (2.0 * PI * v).cos()))
}

/// Shekel's function with `terms` terms (5, 7 or 10), on 0..10 to the fourth.
pub fn shekel(x: &[f64], terms: usize) -> f64 {
    const CENTRES: [[f64; 4]; 10] = [
        [4.0, 4.0, 4.0, 4.0],
        [1.0, 1.0, 1.0, 1.0],
        [8.0, 8.0, 8.0, 8.0],
        [6.0, 6.0, 6.0, 6.0],
        [3.0, 7.0, 3.0, 7.0],
        [2.0, 9.0, 2.0, 9.0],
        [5.0, 5.0, 3.0, 3.0],
        [8.0, 1.0, 8.0, 1.0],
        [6.0, 2.0, 6.0, 2.0],
        [7.0, 3.6, 7.0, 3.6],
    ];
    const WIDTHS: [f64; 10] = [0.1, 0.2, 0.2, 0.4, 0.4, 0.6, 0.3, 0.7, 0.5, 0.5];
    -(0..terms)
        .map(|i| {
            let distance: f64 = (0..4).map(|j| square(x[j] - CENTRES[i][j])).sum();
            1.0 / (distance + WIDTHS[i])
        })
        .sum::<f64>()
}
