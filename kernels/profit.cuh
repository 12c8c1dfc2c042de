// The profit of one leg under a pair of multipliers, and the legs of a bar: `Leg` of src/profit.rs,
// to the bit. That file is the specification; this one says only what differs on a device.
//
// Determinism: f32 throughout, one order of operations, one explicit fused multiply-add per leg.
#pragma once

#include "common.cuh"

constexpr float MAX_HIGH = 10.0f;

constexpr float GREATEST_FINITE = 3.402823466e+38f;

TRISECT_DEVICE float infinity() {
    return __int_as_float(0x7f800000);
}

// One side of one bar. The side itself is known from where the leg is stored.
struct Leg {
    float high_gate;
    float low_gate;
    float high_offset;
    float low_pred;
    float close_term;
    float weight;
};

// One trading period, and |position|, at most 10.
struct Bar {
    float close;
    float high;
    float low;
    float high_pred;
    float low_pred;
    float weight;
};

// How a side of a simulation is evaluated.
template <bool Short, bool AtClose, bool Capped>
struct Rule {
    // Legs of the short side: they enter on the high gate.
    static constexpr bool SHORT = Short;
    // The exit is always the close.
    static constexpr bool AT_CLOSE = AtClose;
    // The upper clamp of the high level is applied. It changes nothing where all highs are below
    // 10, and costs one instruction.
    static constexpr bool CAPPED = Capped;
};

// The clamps of `H - fee`.
struct FeeBounds {
    float least;
    float greatest;

    TRISECT_DEVICE explicit FeeBounds(float fee) : least(-fee), greatest(MAX_HIGH - fee) {}

    // (least, greatest, -, -)
    TRISECT_DEVICE explicit FeeBounds(float4 stored) : least(stored.x), greatest(stored.y) {}
};

// `sum` plus the term of one leg under the candidate (h, l).
//
// What is not entered adds nothing: the specification adds 0 times a finite value there, which
// leaves a sum that is never -0 as it is.
template <class Rule>
TRISECT_DEVICE float add_leg(const Leg& leg, float h, float l, FeeBounds bounds, float sum) {
    // H - fee
    float b = fmaxf(h + leg.high_offset, bounds.least);
    if (Rule::CAPPED) {
        b = fminf(b, bounds.greatest);
    }
    // -L. Saturating is free on a device where a maximum is not, and exact: the upper clamp acts
    // only where the low gate fails (lows lie above -1), and there the value is not used.
    const float a = __saturatef(-l - leg.low_pred);
    float value;
    if (Rule::SHORT) {
        const float exit = !Rule::AT_CLOSE && l >= leg.low_gate ? a : leg.close_term;
        value = b + exit;
    } else {
        const float exit = !Rule::AT_CLOSE && h <= leg.high_gate ? b : leg.close_term;
        value = exit + a;
    }
    const bool entered = Rule::SHORT ? h <= leg.high_gate : l >= leg.low_gate;
    return entered ? __fmaf_rn(leg.weight, value, sum) : sum;
}

// Greatest finite x with `pred + x <= limit`, the sum rounded to f32; -inf if there is none, inf if
// all are. Finite arguments.
//
// The specification starts from a bound in f64 and lets the neighbours decide; here the bound is a
// sum of two f32, for many devices have hardly any f64. The answer is one and the same wherever the
// search starts.
TRISECT_DEVICE float greatest_addend(float pred, float limit) {
    // limit - pred without error, as difference + error.
    const float difference = limit - pred;
    const float subtracted = limit - difference;
    const float error = (limit - (difference + subtracted)) + (subtracted - pred);
    const float half_gap = (next_up(limit) - limit) * 0.5f;
    const int key = ordered(difference + (error + half_gap));
    auto holds = [&](int at) { return pred + unordered(at) <= limit; };
    int greatest = key - 1;
    greatest = holds(key) ? key : greatest;
    greatest = holds(key + 1) ? key + 1 : greatest;
    if (!(holds(key - 1) && !holds(key + 2))) {
        // Magnitudes where the halfway point is no float: bisection over all of them.
        int least_failing = ordered(GREATEST_FINITE);
        greatest = ordered(-GREATEST_FINITE);
        if (!holds(greatest)) {
            return -infinity();
        }
        if (holds(least_failing)) {
            return infinity();
        }
#pragma unroll 1
        while (static_cast<unsigned>(least_failing) - static_cast<unsigned>(greatest) > 1) {
            const int middle =
                (greatest & least_failing) + ((greatest ^ least_failing) >> 1);
            if (holds(middle)) {
                greatest = middle;
            } else {
                least_failing = middle;
            }
        }
    }
    // + 0 turns -0 into 0: equal multipliers have equal bits.
    return unordered(greatest) + 0.0f;
}

// Greatest h with `clamp(pred + h, 0, 10) <= high` (`<` if Strict), sums rounded to f32.
template <bool Strict>
TRISECT_DEVICE float high_breakpoint(float pred, float high) {
    if (Strict ? !(high > 0.0f) : !(high >= 0.0f)) {
        return -infinity();
    }
    if (Strict ? high > MAX_HIGH : high >= MAX_HIGH) {
        return infinity();
    }
    return greatest_addend(pred, Strict ? next_down(high) : high);
}

// Least l with `clamp(pred + l, -1, 0) >= low` (`>` if Strict), sums rounded to f32.
template <bool Strict>
TRISECT_DEVICE float low_breakpoint(float pred, float low) {
    if (Strict ? !(low < 0.0f) : !(low <= 0.0f)) {
        return infinity();
    }
    if (Strict ? low < -1.0f : low <= -1.0f) {
        return -infinity();
    }
    // Rounding is symmetric: pred + l >= a is -pred + (-l) <= -a.
    return -greatest_addend(-pred, -(Strict ? next_up(low) : low));
}

// The leg that a bar with a weight above 0 has on one side; `fee` is a fraction per entered leg.
template <bool Short>
TRISECT_DEVICE Leg make_leg(const Bar& bar, float fee) {
    Leg leg;
    // Long: enters on L > low, takes profit on H <= high. Short: H < high, L >= low.
    leg.high_gate = high_breakpoint<Short>(bar.high_pred, bar.high);
    leg.low_gate = low_breakpoint<!Short>(bar.low_pred, bar.low);
    leg.high_offset = bar.high_pred - fee;
    leg.low_pred = bar.low_pred;
    leg.close_term = Short ? -bar.close : bar.close - fee;
    leg.weight = bar.weight;
    return leg;
}
