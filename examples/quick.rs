use std::time::Instant;
use trisect::*;
fn main() {
    let (s, t) = (1000usize, 200usize);
    let mut x = 12345u64;
    let mut r = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    let n = s * t;
    let mut c = vec![];
    let mut h = vec![];
    let mut l = vec![];
    let mut hp = vec![];
    let mut lp = vec![];
    let mut p = vec![];
    for _ in 0..n {
        let cc = (r() - 0.5) * 0.06;
        let hh = cc.max(0.0) + r() * 0.02;
        let ll = cc.min(0.0) - r() * 0.02;
        c.push(cc as f32);
        h.push(hh as f32);
        l.push(ll as f32);
        hp.push((hh + (r() - 0.5) * 0.02) as f32);
        lp.push((ll + (r() - 0.5) * 0.02) as f32);
        p.push(if r() < 0.5 { 1.0f32 } else { -1.0 });
    }
    let batch = Batch::from_slices(
        &vec![t; s],
        Fields {
            close: &c[..],
            high: &h,
            low: &l,
            high_pred: &hp,
            low_pred: &lp,
            weights: Weights::EntryExit(&p),
        },
    )
    .unwrap();
    for simd in [Simd::Avx2] {
        for threads in [1] {
            let mut e = Evaluator::cpu(
                &batch,
                &EvaluateOptions {
                    threads: Some(threads),
                    simd: Some(simd),
                    ..Default::default()
                },
            )
            .unwrap();
            for sharing in [Sharing::PerSimulation] {
                let o = OptimizeOptions {
                    sharing: sharing.clone(),
                    ..Default::default()
                };
                let mut best = f64::MAX;
                let mut out = None;
                for _ in 0..5 {
                    let t0 = Instant::now();
                    out = Some(optimize(&mut e, &o, ()).unwrap());
                    best = best.min(t0.elapsed().as_secs_f64());
                }
                let out = out.unwrap();
                println!(
                    "{simd:?} {threads} threads {sharing:?}: {:.4} ms per sim, mean {:.6} rounds {} evals {}",
                    best * 1e3 / s as f64,
                    out.mean_profit(),
                    out.rounds,
                    out.evaluations
                );
            }
        }
    }
}
