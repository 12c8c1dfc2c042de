// Where legs come from and where they are kept, and the sum over the lanes of a warp: what the
// kernels share that score candidates.
//
// Shapes. f32 storage: gates (legs) of float4 (high_gate, low_gate, high_offset, low_pred) and
// terms (legs) of float2 (close_term, weight). f16 and bf16: records (legs) of 6 x u16: close,
// high, low, high_pred, low_pred, |position|; the legs are derived from them. A `Source` is the
// argument of a kernel as far as it says where these lie: `legs`, `terms` and `fee`.
//
// Determinism: the tree over lanes is the last part of the canonical order of summation.
#pragma once

#include "profit.cuh"

// --- storage of legs ---

// Legs as the host derived them.
struct StoredLegs {
    static constexpr bool DERIVES = false;

    template <bool Short, class Source>
    static TRISECT_DEVICE Leg load(const Source& source, unsigned index) {
        const float4 gates = static_cast<const float4*>(source.legs)[index];
        const float2 terms = source.terms[index];
        return {gates.x, gates.y, gates.z, gates.w, terms.x, terms.y};
    }
};

struct F16 {
    // Exact, subnormals included. Infinity and NaN are not stored.
    static TRISECT_DEVICE float widen(unsigned bits) {
        const float magnitude = __uint_as_float((bits & 0x7fff) << 13) * 0x1p112f;
        return bits & 0x8000 ? -magnitude : magnitude;
    }
};

struct Bf16 {
    static TRISECT_DEVICE float widen(unsigned bits) {
        return __uint_as_float(bits << 16);
    }
};

// Bars in 16-bit floats, of which legs are derived.
template <class Format>
struct HalfBars {
    static constexpr bool DERIVES = true;

    template <bool Short, class Source>
    static TRISECT_DEVICE Leg load(const Source& source, unsigned index) {
        // 12 bytes are three aligned words, never four.
        const unsigned* words = static_cast<const unsigned*>(source.legs) + 3 * size_t{index};
        const unsigned close_high = words[0];
        const unsigned low_high_pred = words[1];
        const unsigned low_pred_weight = words[2];
        Bar bar;
        bar.close = Format::widen(close_high & 0xffff);
        bar.high = Format::widen(close_high >> 16);
        bar.low = Format::widen(low_high_pred & 0xffff);
        bar.high_pred = Format::widen(low_high_pred >> 16);
        bar.low_pred = Format::widen(low_pred_weight & 0xffff);
        bar.weight = Format::widen(low_pred_weight >> 16);
        return make_leg<Short>(bar, source.fee);
    }
};

// --- legs in shared memory ---

// Places for legs: what the rule reads of them, in one 128-bit load, or that and a 64-bit load.
template <bool AtClose>
struct Stage;

template <>
struct Stage<false> {
    float4* gates;
    float2* terms;

    // `places` legs from the start of the shared memory on.
    TRISECT_DEVICE Stage(float4* memory, unsigned places)
        : gates(memory), terms(reinterpret_cast<float2*>(memory + places)) {}

    template <bool Short>
    TRISECT_DEVICE void put(unsigned place, const Leg& leg) const {
        gates[place] = make_float4(leg.high_gate, leg.low_gate, leg.high_offset, leg.low_pred);
        terms[place] = make_float2(leg.close_term, leg.weight);
    }

    template <bool Short>
    TRISECT_DEVICE Leg get(unsigned place) const {
        const float4 gate = gates[place];
        const float2 term = terms[place];
        return {gate.x, gate.y, gate.z, gate.w, term.x, term.y};
    }
};

// At the close a long leg reads nothing of the high level, a short leg nothing of the low level.
template <>
struct Stage<true> {
    float4* fields;

    TRISECT_DEVICE Stage(float4* memory, unsigned) : fields(memory) {}

    template <bool Short>
    TRISECT_DEVICE void put(unsigned place, const Leg& leg) const {
        fields[place] = make_float4(Short ? leg.high_gate : leg.low_gate,
                                    Short ? leg.high_offset : leg.low_pred, leg.close_term,
                                    leg.weight);
    }

    template <bool Short>
    TRISECT_DEVICE Leg get(unsigned place) const {
        const float4 field = fields[place];
        if (Short) {
            return {field.x, 0.0f, field.y, 0.0f, field.z, field.w};
        }
        return {0.0f, field.x, 0.0f, field.y, field.z, field.w};
    }
};

// --- lanes over legs ---

// Adds up `sums` over the lanes of a warp in the tree 16, 8, 4, 2, 1 and gives each lane one of the
// N results; returns which. While there are several, the two halves of a pair of lanes trade: each
// keeps half of the candidates, so that no addition is done twice.
template <unsigned N>
TRISECT_DEVICE unsigned reduce_over_lanes(float (&sums)[N], unsigned lane) {
    unsigned mine = 0;
    unsigned left = N;
#pragma unroll
    for (unsigned width = WARP_LANES / 2; width > 0; width /= 2) {
        const bool upper = (lane & width) != 0;
        if (left > 1) {
            left /= 2;
#pragma unroll
            for (unsigned k = 0; k < N; ++k) {
                if (k < left) {
                    const float kept = upper ? sums[left + k] : sums[k];
                    const float given = upper ? sums[k] : sums[left + k];
                    sums[k] = kept + __shfl_xor_sync(ALL_LANES, given, width);
                }
            }
            mine += upper ? left : 0;
        } else {
            sums[0] += __shfl_xor_sync(ALL_LANES, sums[0], width);
        }
    }
    return mine;
}
