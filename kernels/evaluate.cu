// Profits of all simulations under all candidates of a round, in one launch.
//
// Purpose. Every slot of a launch is one simulation with the list of candidates of its group. Its
// profits go to `profits`, or as fixed-point numbers to the sum of its group in `sums`.
//
// Entry points. evaluate_{intraday, close}_{f32, f16, bf16}(Round): exit rule, storage of the legs.
//
// Shapes. f32 storage: gates (legs) of float4 (high_gate, low_gate, high_offset, low_pred) and
// terms (legs) of float2 (close_term, weight). f16 and bf16: records (legs) of 6 x u16: close,
// high, low, high_pred, low_pred, |position|; the legs are derived here.
// pairs (candidates of all lists); offsets (groups + 1); sums (candidates of all groups);
// scales (groups); group_of and rows (simulations); spans (slots).
//
// Thread mapping, by the index of the slot:
//
//   [0, by_legs)              Lanes over legs. A warp takes up to 8 candidates; each lane adds up
//                             the legs of its partial sum, straight from global memory, so that a
//                             simulation may have any length. Warps of the block, and of the blocks
//                             of the column, share the candidates.
//   [by_legs, packed_from)    Lanes over candidates. The block stages the legs in shared memory and
//                             each thread takes 8 candidates. It walks the partial sums in
//                             bit-reversed order, so that the tree folds up on a stack of three.
//   [packed_from, slots)      Tiny simulations: `pack_lanes` threads per slot, 4 candidates per
//                             thread, all partial sums in registers. Neighbours with equal numbers
//                             of longs and shorts keep a warp together.
//
// Blocks (x, y) of one x share the candidates of a slot, tile y, y + gridDim.y, and so on.
//
// Preconditions. blockDim.x is a multiple of 32 and at most MAX_THREADS. Dynamic shared memory
// holds what the constants below say for the longest slot of the second kind and for a block of
// the third, whichever is more. Bars are finite with low > -1, weights lie within (0, 10],
// 0 <= fee < 1. Slots of the third kind have at most MAX_PACKED legs per side.
//
// Determinism. Profits have the canonical order of summation of src/profit.rs whatever the shape of
// the launch; sums are integers. So results depend on neither.
#include "profit.cuh"

// --- what the host must know ---

// Threads per block at most. Registers are allotted for five such blocks per multiprocessor.
constexpr unsigned MAX_THREADS = 128;

// Legs per side of a slot of the third kind at most.
constexpr unsigned MAX_PACKED = 8;

// Bytes of dynamic shared memory of any block.
constexpr unsigned SHARED_BYTES = 16;

// Bytes more, per thread and per leg, of a block of the second kind.
constexpr unsigned STAGED_BYTES_PER_THREAD = 112;
constexpr unsigned STAGED_BYTES_PER_LEG_INTRADAY = 24;
constexpr unsigned STAGED_BYTES_PER_LEG_CLOSE = 16;

// Bytes more, per slot, of a block of the third kind. That is one leg more than there are: with
// strides of 17 the slots of a warp begin in different banks.
constexpr unsigned PACKED_STRIDE = 2 * MAX_PACKED + 1;
constexpr unsigned PACKED_BYTES_PER_SLOT_INTRADAY = PACKED_STRIDE * STAGED_BYTES_PER_LEG_INTRADAY;
constexpr unsigned PACKED_BYTES_PER_SLOT_CLOSE = PACKED_STRIDE * STAGED_BYTES_PER_LEG_CLOSE;

// Candidates per warp, and per thread, in the three mappings.
constexpr unsigned BY_LEGS_CANDIDATES = 8;
constexpr unsigned STAGED_CANDIDATES = 8;
constexpr unsigned PACKED_CANDIDATES = 4;

static_assert(SHARED_BYTES == sizeof(float4), "bounds");
static_assert(STAGED_BYTES_PER_LEG_INTRADAY == sizeof(float4) + sizeof(float2), "gates and terms");
static_assert(STAGED_BYTES_PER_LEG_CLOSE == sizeof(float4), "fields");
static_assert(PACKED_BYTES_PER_SLOT_INTRADAY == 408 && PACKED_BYTES_PER_SLOT_CLOSE == 272, "");

// The one argument of every entry point.
struct Round {
    // float4 gates, or records of 6 x u16.
    const void* legs;
    // f32 storage only.
    const float2* terms;
    const Span* spans;
    const unsigned* group_of;
    // 2^fraction bits of each group; for sums.
    const double* scales;
    // Candidates (high, low).
    const float2* pairs;
    // Where the list of each group begins in pairs and in sums. Null: one list of `count` pairs for
    // all, and the sums of group g begin at g * count.
    const unsigned* offsets;
    // One of sums and profits is null.
    long long* sums;
    float* profits;
    // Where the row of each simulation begins in profits.
    const unsigned long long* rows;
    unsigned count;
    unsigned slots;
    unsigned by_legs;
    unsigned packed_from;
    // A power of two, at most 32.
    unsigned pack_lanes;
    // Not 0: every group has one simulation, so that sums are stored, not added.
    unsigned single;
    float fee;
};

static_assert(sizeof(Round) == 112, "the host writes these bytes");

// --- storage of legs ---

// Legs as the host derived them.
struct StoredLegs {
    static constexpr bool DERIVES = false;

    template <bool Short>
    static TRISECT_DEVICE Leg load(const Round& round, unsigned index) {
        const float4 gates = static_cast<const float4*>(round.legs)[index];
        const float2 terms = round.terms[index];
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

    template <bool Short>
    static TRISECT_DEVICE Leg load(const Round& round, unsigned index) {
        // 12 bytes are three aligned words, never four.
        const unsigned* words = static_cast<const unsigned*>(round.legs) + 3 * size_t{index};
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
        return make_leg<Short>(bar, round.fee);
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

// --- candidates in, profits out ---

// The candidates of a simulation, and where their results go.
struct Work {
    const float2* pairs;
    unsigned count;
    long long* sums;
    double scale;
    bool single;
    float* profits;

    TRISECT_DEVICE Work(const Round& round, unsigned simulation)
        : pairs(round.pairs),
          count(round.count),
          sums(nullptr),
          scale(0.0),
          single(round.single != 0),
          profits(nullptr) {
        const unsigned group = round.group_of[simulation];
        unsigned long long first_sum = static_cast<unsigned long long>(group) * round.count;
        if (round.offsets != nullptr) {
            const unsigned first = round.offsets[group];
            count = round.offsets[group + 1] - first;
            pairs += first;
            first_sum = first;
        }
        if (round.sums != nullptr) {
            sums = round.sums + first_sum;
            scale = round.scales[group];
        } else {
            profits = round.profits + round.rows[simulation];
        }
    }

    // The candidate, or the last one: who has none works along and drops the result.
    TRISECT_DEVICE float2 pair(unsigned candidate) const {
        return pairs[candidate < count ? candidate : count - 1];
    }

    // Takes sums of the canonical tree: those of candidates first, first + stride, and so on.
    template <unsigned N>
    TRISECT_DEVICE void put(unsigned first, unsigned stride, const float (&totals)[N]) const {
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            const unsigned candidate = first + k * stride;
            if (candidate >= count) {
                break;
            }
            // A zero is +0.
            const float profit = totals[k] + 0.0f;
            if (sums == nullptr) {
                profits[candidate] = profit;
                continue;
            }
            const long long fixed = __double2ll_rn(static_cast<double>(profit) * scale);
            if (single) {
                sums[candidate] = fixed;
            } else {
                // Two's complement: the bits of a sum do not depend on the sign of its type.
                atomicAdd(reinterpret_cast<unsigned long long*>(sums + candidate),
                          static_cast<unsigned long long>(fixed));
            }
        }
    }
};

// Some candidates in registers.
template <unsigned N>
struct Pairs {
    float high[N];
    float low[N];

    // Candidates first, first + stride, and so on.
    TRISECT_DEVICE Pairs(const Work& work, unsigned first, unsigned stride) {
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            const float2 pair = work.pair(first + k * stride);
            high[k] = pair.x;
            low[k] = pair.y;
        }
    }

    template <class Rule>
    TRISECT_DEVICE void add(const Leg& leg, FeeBounds bounds, float (&sums)[N]) const {
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            sums[k] = add_leg<Rule>(leg, high[k], low[k], bounds, sums[k]);
        }
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

// The candidates of warp `warp` among `warps`, N at a time.
template <unsigned N, class Legs, bool AtClose>
TRISECT_DEVICE void evaluate_by_legs(FeeBounds bounds, const Round& round, const Span& span,
                                     const Work& work, unsigned warp, unsigned warps) {
    // Unrolled where few candidates and no derivation of legs leave the loads exposed. (Not all
    // compilers unroll.)
    [[maybe_unused]] constexpr unsigned UNROLL = N >= 4 || Legs::DERIVES ? 1 : 4;
    // The lanes that hold the same result; the first of them stores it.
    constexpr unsigned COPIES = WARP_LANES / N;
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned middle = span.first + span.longs;
    for (unsigned first = warp * N; first < work.count; first += warps * N) {
        const Pairs<N> pairs(work, first, 1);
        float sums[N] = {};
#pragma unroll UNROLL
        for (unsigned leg = lane; leg < span.longs; leg += WARP_LANES) {
            const Leg loaded = Legs::template load<false>(round, span.first + leg);
            pairs.template add<Rule<false, AtClose, true>>(loaded, bounds, sums);
        }
#pragma unroll UNROLL
        for (unsigned leg = lane; leg < span.shorts; leg += WARP_LANES) {
            const Leg loaded = Legs::template load<true>(round, middle + leg);
            pairs.template add<Rule<true, AtClose, true>>(loaded, bounds, sums);
        }
        const unsigned mine = reduce_over_lanes<N>(sums, lane);
        if (lane % COPIES == 0) {
            const float total[1] = {sums[0]};
            work.put(first + mine, 1, total);
        }
    }
}

// Few candidates per warp when there are more warps than 8 candidates each would keep busy: a
// partial sum is a chain that nobody can share, so more warps are all the speed there is.
template <class Legs, bool AtClose>
TRISECT_DEVICE void evaluate_by_legs(FeeBounds bounds, const Round& round, const Span& span,
                                     const Work& work) {
    const unsigned warps_per_block = blockDim.x / WARP_LANES;
    const unsigned warps = warps_per_block * gridDim.y;
    const unsigned warp = blockIdx.y * warps_per_block + threadIdx.x / WARP_LANES;
    const unsigned share = (work.count + warps - 1) / warps;
    static_assert(BY_LEGS_CANDIDATES == 8, "the cases below");
    if (share > 4) {
        evaluate_by_legs<8, Legs, AtClose>(bounds, round, span, work, warp, warps);
    } else if (share > 2) {
        evaluate_by_legs<4, Legs, AtClose>(bounds, round, span, work, warp, warps);
    } else if (share > 1) {
        evaluate_by_legs<2, Legs, AtClose>(bounds, round, span, work, warp, warps);
    } else {
        evaluate_by_legs<1, Legs, AtClose>(bounds, round, span, work, warp, warps);
    }
}

// --- lanes over candidates ---

// Partial sums walked together: lanes base, base + 8, base + 16 and base + 24, so that consecutive
// legs of the walk are 8 apart, and the upper two levels of the tree stay within the walk.
constexpr unsigned WALKS = 8;
constexpr unsigned WALK_LANES = WARP_LANES / WALKS;
constexpr unsigned WALK_LEVELS = 3;
static_assert(1u << WALK_LEVELS == WALKS, "the rest of the tree joins the walks");

// Adds the legs base, base + 8, ... of one side to the partial sums of their lanes.
template <class Rule, unsigned N>
TRISECT_DEVICE void walk_side(const Stage<Rule::AT_CLOSE>& stage, unsigned first, unsigned legs,
                              unsigned base, const Pairs<N>& pairs, FeeBounds bounds,
                              float (&sums)[WALK_LANES][N]) {
    unsigned leg = base;
    // Rounds in which all four lanes have a leg.
#pragma unroll 1
    for (; leg + (WALK_LANES - 1) * WALKS < legs; leg += WARP_LANES) {
#pragma unroll
        for (unsigned lane = 0; lane < WALK_LANES; ++lane) {
            const Leg staged = stage.template get<Rule::SHORT>(first + leg + lane * WALKS);
            pairs.template add<Rule>(staged, bounds, sums[lane]);
        }
    }
    // At most three legs are left.
#pragma unroll
    for (unsigned lane = 0; lane < WALK_LANES - 1; ++lane) {
        if (leg + lane * WALKS < legs) {
            const Leg staged = stage.template get<Rule::SHORT>(first + leg + lane * WALKS);
            pairs.template add<Rule>(staged, bounds, sums[lane]);
        }
    }
}

// Sums of complete subtrees that wait for their siblings, one per level; of one thread.
//
// In shared memory, for a stack of registers whose depth varies costs a move per register and step.
template <unsigned N>
struct Waiting {
    static_assert(N % 4 == 0, "moved in 128 bits");

    // One vector more than there are levels: with an odd stride the threads of a warp use all
    // banks alike.
    static constexpr unsigned STRIDE = WALK_LEVELS * (N / 4) + 1;

    float4* memory;

    // The places of this thread in an array of STRIDE * blockDim.x vectors.
    TRISECT_DEVICE explicit Waiting(float4* all) : memory(all + STRIDE * threadIdx.x) {}

    TRISECT_DEVICE void put(unsigned level, const float (&sums)[N]) const {
#pragma unroll
        for (unsigned k = 0; k < N; k += 4) {
            memory[(level * N + k) / 4] =
                make_float4(sums[k], sums[k + 1], sums[k + 2], sums[k + 3]);
        }
    }

    TRISECT_DEVICE void add_to(unsigned level, float (&sums)[N]) const {
#pragma unroll
        for (unsigned k = 0; k < N; k += 4) {
            const float4 waiting = memory[(level * N + k) / 4];
            sums[k] += waiting.x;
            sums[k + 1] += waiting.y;
            sums[k + 2] += waiting.z;
            sums[k + 3] += waiting.w;
        }
    }
};

static_assert(STAGED_BYTES_PER_THREAD == Waiting<STAGED_CANDIDATES>::STRIDE * sizeof(float4), "");

// The profits of N candidates.
//
// The tree adds lanes 16 apart, then 8, 4, 2 and 1. The first two levels end within a walk; the
// walks come in bit-reversed order 0, 4, 2, 6, 1, 5, 3, 7, so that each further addition joins the
// two latest sums of equal depth.
template <bool AtClose, bool Capped, unsigned N>
TRISECT_DEVICE void walk(const Stage<AtClose>& stage, const Waiting<N>& waiting, const Span& span,
                         const Pairs<N>& pairs, FeeBounds bounds, float (&profits)[N]) {
#pragma unroll 1
    for (unsigned step = 0; step < WALKS; ++step) {
        // The bits of the step in reverse.
        const unsigned base = __brev(step) >> (32 - WALK_LEVELS);
        float sums[WALK_LANES][N] = {};
        walk_side<Rule<false, AtClose, Capped>>(stage, 0, span.longs, base, pairs, bounds, sums);
        walk_side<Rule<true, AtClose, Capped>>(stage, span.longs, span.shorts, base, pairs, bounds,
                                               sums);
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            profits[k] = (sums[0][k] + sums[2][k]) + (sums[1][k] + sums[3][k]);
        }
        // As many subtrees end with this walk as its step has trailing ones.
#pragma unroll
        for (unsigned level = 0; level < WALK_LEVELS; ++level) {
            if ((step >> level & 1) == 0) {
                waiting.put(level, profits);
                break;
            }
            waiting.add_to(level, profits);
        }
    }
}

// The tiles of candidates of this block.
template <bool AtClose, bool Capped>
TRISECT_DEVICE void evaluate_staged(const Stage<AtClose>& stage,
                                    const Waiting<STAGED_CANDIDATES>& waiting, FeeBounds bounds,
                                    const Span& span, const Work& work) {
    constexpr unsigned N = STAGED_CANDIDATES;
    const unsigned tile = N * blockDim.x;
#pragma unroll 1
    for (unsigned first = blockIdx.y * tile; first < work.count; first += gridDim.y * tile) {
        const Pairs<N> pairs(work, first + threadIdx.x, blockDim.x);
        float profits[N];
        walk<AtClose, Capped>(stage, waiting, span, pairs, bounds, profits);
        work.put(first + threadIdx.x, blockDim.x, profits);
    }
}

template <class Legs, bool AtClose>
TRISECT_DEVICE void evaluate_staged(float4* memory, FeeBounds bounds, const Round& round,
                                    const Span& span, const Work& work) {
    // Waiting sums, then legs.
    const Waiting<STAGED_CANDIDATES> waiting(memory);
    const Stage<AtClose> stage(memory + waiting.STRIDE * blockDim.x, span.longs + span.shorts);
#pragma unroll 1
    for (unsigned leg = threadIdx.x; leg < span.longs; leg += blockDim.x) {
        stage.template put<false>(leg, Legs::template load<false>(round, span.first + leg));
    }
#pragma unroll 1
    for (unsigned leg = span.longs + threadIdx.x; leg < span.longs + span.shorts;
         leg += blockDim.x) {
        stage.template put<true>(leg, Legs::template load<true>(round, span.first + leg));
    }
    __syncthreads();
    if (span.capped != 0) {
        evaluate_staged<AtClose, true>(stage, waiting, bounds, span, work);
    } else {
        evaluate_staged<AtClose, false>(stage, waiting, bounds, span, work);
    }
}

// --- tiny simulations ---

// Tiles of candidates of one slot with at most 2^Levels legs per side, by `round.pack_lanes` threads.
//
// All further partial sums are 0, so this is the whole tree. As above, lanes come in bit-reversed
// order; but everything is unrolled, so the sums that wait are registers.
template <unsigned Levels, bool AtClose>
TRISECT_DEVICE void evaluate_packed(const Stage<AtClose>& stage, unsigned first_place,
                                    FeeBounds bounds, const Round& round, const Span& span,
                                    const Work& work, unsigned thread) {
    constexpr unsigned N = PACKED_CANDIDATES;
    const unsigned tile = N * round.pack_lanes;
#pragma unroll 1
    for (unsigned first = blockIdx.y * tile; first < work.count; first += gridDim.y * tile) {
        const Pairs<N> pairs(work, first + thread, round.pack_lanes);
        float waiting[Levels][N];
        float sums[N];
#pragma unroll
        for (unsigned step = 0; step < 1u << Levels; ++step) {
            const unsigned lane = __brev(step) >> (32 - Levels);
#pragma unroll
            for (unsigned k = 0; k < N; ++k) {
                sums[k] = 0.0f;
            }
            if (lane < span.longs) {
                const Leg leg = stage.template get<false>(first_place + lane);
                pairs.template add<Rule<false, AtClose, true>>(leg, bounds, sums);
            }
            if (lane < span.shorts) {
                const Leg leg = stage.template get<true>(first_place + MAX_PACKED + lane);
                pairs.template add<Rule<true, AtClose, true>>(leg, bounds, sums);
            }
#pragma unroll
            for (unsigned level = 0; level < Levels; ++level) {
                const bool waits = (step >> level & 1) == 0;
#pragma unroll
                for (unsigned k = 0; k < N; ++k) {
                    if (waits) {
                        waiting[level][k] = sums[k];
                    } else {
                        sums[k] += waiting[level][k];
                    }
                }
                if (waits) {
                    break;
                }
            }
        }
        work.put(first + thread, round.pack_lanes, sums);
    }
}

template <class Legs, bool AtClose>
TRISECT_DEVICE void evaluate_packed(float4* memory, FeeBounds bounds, const Round& round,
                                    unsigned block) {
    const unsigned slots_per_block = blockDim.x / round.pack_lanes;
    const unsigned lane = threadIdx.x % round.pack_lanes;
    const unsigned within = threadIdx.x / round.pack_lanes;
    const unsigned slot = round.packed_from + block * slots_per_block + within;
    const Stage<AtClose> stage(memory, slots_per_block * PACKED_STRIDE);
    const unsigned place = within * PACKED_STRIDE;
    Span span = {};
    if (slot < round.slots) {
        span = round.spans[slot];
    }
#pragma unroll 1
    for (unsigned leg = lane; leg < span.longs; leg += round.pack_lanes) {
        stage.template put<false>(place + leg, Legs::template load<false>(round, span.first + leg));
    }
#pragma unroll 1
    for (unsigned leg = lane; leg < span.shorts; leg += round.pack_lanes) {
        stage.template put<true>(
            place + MAX_PACKED + leg,
            Legs::template load<true>(round, span.first + span.longs + leg));
    }
    // The threads of a slot are of one warp.
    __syncwarp();
    if (slot >= round.slots) {
        return;
    }
    const Work work(round, span.simulation);
    static_assert(MAX_PACKED == 8, "three levels");
    if (span.longs <= 4 && span.shorts <= 4) {
        evaluate_packed<2>(stage, place, bounds, round, span, work, lane);
    } else {
        evaluate_packed<3>(stage, place, bounds, round, span, work, lane);
    }
}

// --- entry points ---

template <class Legs, bool AtClose>
TRISECT_DEVICE void evaluate(const Round& round) {
    DYNAMIC_SHARED(float4, memory);
    // PERF: bounds that come from shared memory stay in registers. Those made of a parameter are
    // read again and again within the loops, and selections between them become branches.
    if (threadIdx.x == 0) {
        const FeeBounds bounds(round.fee);
        memory[0] = make_float4(bounds.least, bounds.greatest, 0.0f, 0.0f);
    }
    __syncthreads();
    const FeeBounds bounds(memory[0]);
    float4* const rest = memory + 1;
    if (blockIdx.x >= round.packed_from) {
        evaluate_packed<Legs, AtClose>(rest, bounds, round, blockIdx.x - round.packed_from);
        return;
    }
    const Span span = round.spans[blockIdx.x];
    const Work work(round, span.simulation);
    if (blockIdx.x < round.by_legs) {
        evaluate_by_legs<Legs, AtClose>(bounds, round, span, work);
    } else {
        evaluate_staged<Legs, AtClose>(rest, bounds, round, span, work);
    }
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_intraday_f32(const Round round) {
    evaluate<StoredLegs, false>(round);
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_close_f32(const Round round) {
    evaluate<StoredLegs, true>(round);
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_intraday_f16(const Round round) {
    evaluate<HalfBars<F16>, false>(round);
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_close_f16(const Round round) {
    evaluate<HalfBars<F16>, true>(round);
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_intraday_bf16(const Round round) {
    evaluate<HalfBars<Bf16>, false>(round);
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 5)
evaluate_close_bf16(const Round round) {
    evaluate<HalfBars<Bf16>, true>(round);
}
