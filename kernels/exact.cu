// The exact optimum of many small groups, in one launch.
//
// Purpose. For each group the pair of the box with the greatest value, in the fixed point of
// src/exact/fixed.rs, and of all such pairs the smallest change: what src/exact.rs returns, to the
// bit. That takes a search; here every candidate is swept, for a block has a group to itself and
// its lattice in shared memory.
//
// Entry points. exact_intraday(Task), exact_close(Task): one per exit rule.
//
// Shapes. gates (legs) of float4 (high_gate, low_gate, high_pred, low_pred), terms (legs) of float2
// (close, weight), both group by group, the long legs of a group first; groups (blocks);
// found (blocks).
//
// The lattice. Candidates of h are the high gates inside the box and its upper end; those of l the
// low gates and the lower end. With z = -l the two axes are alike: a gate holds up to a point of
// its axis, a level moves with slope +weight, and a clamp stops it below a point. Both are sorted
// from the greatest candidate down, so that a gate holds *from* a step on. Then
//
//     value(x, z) = floor(A * x / unit) + floor(B * z / unit) + C
//
// where A, B and C gain and lose something at certain steps: a leg's entry at steps of one axis
// (summed beforehand into a table), its exit at the level where a step of either is reached (an
// event, which stands in the row where it sets in).
//
// Thread mapping. Block g takes group g. Threads go over legs, then over candidates, then over the
// columns (steps of x), two to a thread, each of which walks all rows (steps of z) with its sums in
// registers. All threads read the same event at the same time; a column takes it or leaves it.
//
// Preconditions. blockDim.x is a multiple of 32 and at most exact::MAX_THREADS. Dynamic shared
// memory holds what exact::Layout takes, for every group of the launch. Magnitudes of the gates are
// finite or infinite, never NaN or -0; fields are those of valid bars.
//
// Determinism. Sums are integers, and the pairs have a strict order. So neither the number of
// threads nor the order of atomic additions shows.
#include "common.cuh"

namespace exact {

// --- what the host must know ---

// Threads per block at most.
constexpr unsigned MAX_THREADS = 256;

// Bytes of dynamic shared memory of any block; see Layout.
constexpr unsigned HEADER_BYTES = 272;

// Bytes more per candidate of either axis, its end included: point and table.
constexpr unsigned CANDIDATE_BYTES = 28;

// Bytes more per candidate of l, and once, for where the events of its row begin. Intraday only.
constexpr unsigned ROW_BYTES = 8;
constexpr unsigned LAST_ROW_BYTES = 4;

// Bytes more per event. Their number is a multiple of EVENT_STEP, and they take SORT_BYTES per
// candidate of either axis at least, the ends not counted.
constexpr unsigned EVENT_BYTES = 20;
constexpr unsigned EVENT_STEP = 4;
constexpr unsigned SORT_BYTES = 4;

// One group.
struct Group {
    // Its legs: `longs` long legs from `first`, then `shorts` short legs.
    unsigned first;
    unsigned longs;
    unsigned shorts;
    // A unit of weight is 2^shift units of value.
    int shift;
    // Units of weight per unit weight; 2^shift; the fee per unit of weight, in units of value.
    double per_weight;
    double scale;
    double fee;
};

static_assert(sizeof(Group) == 40, "the host writes these bytes");

// What was found.
struct Optimum {
    long long value;
    float high;
    float low;
    // Candidates on h and on l.
    unsigned columns;
    unsigned rows;
};

static_assert(sizeof(Optimum) == 24, "the host reads these bytes");

// The one argument of the entry points.
struct Task {
    const float4* gates;
    const float2* terms;
    const Group* groups;
    Optimum* found;
    // The box. Its ends are not -0.
    float high_least;
    float high_greatest;
    float low_least;
    float low_greatest;
    // What the shared memory has room for: candidates on h and on l without the ends of the box,
    // and events.
    unsigned x_places;
    unsigned z_places;
    unsigned events;
    // Not 0: a level may reach its upper clamp, and a leg takes two places on h: its gate, and the
    // last h below the clamp.
    unsigned capped;
};

static_assert(sizeof(Task) == 64, "the host writes these bytes");

// --- fixed point ---

constexpr double MAX_LEVEL = 10.0;

TRISECT_DEVICE long long rounded_down(double x) {
    return __double2ll_rd(x);
}

TRISECT_DEVICE long long rounded_up(double x) {
    return -__double2ll_rd(-x);
}

TRISECT_DEVICE long long nearest(double x) {
    return __double2ll_rd(x + 0.5);
}

// A multiplier as mantissa * 2^-right units of value per unit of weight. The mantissa has 31 bits at
// most; where the multiplier is neither great nor tiny, `right` is from LEAST_RIGHT to GREATEST_RIGHT.
struct Factor {
    int mantissa;
    int right;
};

// Of a weight below 2^54, shifted right by so much, 31 bits are left at most; and as many are lost.
constexpr int LEAST_RIGHT = 23;
constexpr int GREATEST_RIGHT = 31;

TRISECT_DEVICE Factor make_factor(float multiplier, int shift) {
    const int bits = __float_as_int(multiplier);
    const int exponent = (bits >> 23) & 0xff;
    const int fraction = bits & 0x7fffff;
    const int mantissa = exponent == 0 ? fraction : fraction | 0x800000;
    const int scale = exponent == 0 ? -149 : exponent - 150;
    Factor factor = {mantissa, -(scale + shift)};
    // 24 bits have room for 7 more. A mantissa of 0 is 0 with any `right`.
    if (mantissa == 0 || (factor.right < LEAST_RIGHT && factor.right >= LEAST_RIGHT - 7)) {
        factor.mantissa <<= (LEAST_RIGHT - factor.right) & 7;
        factor.right = LEAST_RIGHT;
    }
    factor.mantissa = bits < 0 ? -factor.mantissa : factor.mantissa;
    return factor;
}

// As the shared memory holds it.
TRISECT_DEVICE long long packed(Factor factor) {
    return static_cast<long long>(static_cast<unsigned long long>(factor.right) << 32) | static_cast<unsigned>(factor.mantissa);
}

TRISECT_DEVICE Factor unpacked(long long both) {
    return {static_cast<int>(both), static_cast<int>(both >> 32)};
}

// The product of two numbers in one instruction: the compiler does not see that where it knows the
// sign of one of them.
TRISECT_DEVICE long long product(int a, int b) {
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
    long long both;
    asm("mul.wide.s32 %0, %1, %2;" : "=l"(both) : "r"(a), "r"(b));
    return both;
#else
    return static_cast<long long>(a) * b;
#endif
}

// floor(weight * multiplier) in units of value, exactly. The weight is at least 0 and below 2^54.
// `MayRise`: a multiplier may have right < 0.
template <bool MayRise>
TRISECT_DEVICE long long floor_product(long long weight, Factor factor) {
    // Two parts, for each of which 64 bits are enough: weight = upper * 2^b + lower.
    if (LEAST_RIGHT <= factor.right && factor.right <= GREATEST_RIGHT) {
        // PERF: nearly always, and with two shifts of 64 bits fewer: b = right. A mask for the lower
        // part would be kept in a register that there is none for.
        const int upper = static_cast<int>(weight >> factor.right);
        const int lower = static_cast<int>(static_cast<unsigned>(weight) -
                                           (static_cast<unsigned>(upper) << factor.right));
        return (product(lower, factor.mantissa) >> factor.right) + product(upper, factor.mantissa);
    }
    if (MayRise && factor.right < 0) {
        // The statistics of the group bound the product, so nothing is lost.
        const int left = -factor.right < 62 ? -factor.right : 62;
        return static_cast<long long>(
            static_cast<unsigned long long>(weight * factor.mantissa) << left);
    }
    constexpr int LOWER_BITS = 26;
    const int upper = static_cast<int>(weight >> LOWER_BITS);
    const int lower = static_cast<int>(weight) & ((1 << LOWER_BITS) - 1);
    const int both = factor.right < LOWER_BITS ? factor.right : LOWER_BITS;
    const int more = factor.right - both < 63 ? factor.right - both : 63;
    const unsigned long long upper_part =
        static_cast<unsigned long long>(product(upper, factor.mantissa)) << (LOWER_BITS - both);
    const long long lower_part = product(lower, factor.mantissa) >> both;
    return static_cast<long long>(upper_part + static_cast<unsigned long long>(lower_part)) >> more;
}

// --- candidates ---

// A candidate that is none: below all others.
constexpr int NOTHING = static_cast<int>(0x80000000u);

// The candidates of an axis, greatest first.
struct Axis {
    // The end of the box that is no candidate.
    float least;
    const int* points;
    unsigned count;

    TRISECT_DEVICE float point(unsigned step) const { return __int_as_float(points[step]); }

    // The first step with a point of at most `limit`; `count` when there is none.
    TRISECT_DEVICE unsigned first_at_most(float limit) const {
        return first([&](float point) { return point <= limit; });
    }

    // The first step whose point satisfies what holds from some step on.
    template <class Holds>
    TRISECT_DEVICE unsigned first(Holds holds) const {
        unsigned from = 0;
        unsigned to = count;
        while (from < to) {
            const unsigned middle = (from + to) / 2;
            if (holds(point(middle))) {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        return from;
    }

    // The point nearest 0 with the value of this step: where no level moves along the axis, all
    // points from the next candidate (exclusive) up to this one have that value.
    TRISECT_DEVICE float nearest_zero(unsigned step, bool flat) const {
        const float greatest = point(step);
        if (!flat || !(greatest > 0.0f)) {
            return greatest;
        }
        const float lowest = step + 1 < count ? next_up(point(step + 1)) : least;
        // + 0 turns -0 into 0.
        return fmaxf(lowest, 0.0f) + 0.0f;
    }
};

TRISECT_DEVICE unsigned earlier(unsigned a, unsigned b) {
    return a < b ? a : b;
}

TRISECT_DEVICE unsigned later(unsigned a, unsigned b) {
    return a < b ? b : a;
}

// A pair (h, -l) with its value.
struct Best {
    long long value;
    float x;
    float z;
};

constexpr Best NO_BEST = {static_cast<long long>(0x8000000000000000ull), 0.0f, 0.0f};

// Whether a pair is a smaller change than another: `Change` of src/exact/best.rs.
TRISECT_DEVICE bool is_nearer(const Best& one, const Best& other) {
    const float x[2] = {fabsf(one.x), fabsf(other.x)};
    const float z[2] = {fabsf(one.z), fabsf(other.z)};
    const double total[2] = {static_cast<double>(x[0]) + static_cast<double>(z[0]),
                             static_cast<double>(x[1]) + static_cast<double>(z[1])};
    if (total[0] != total[1]) {
        return total[0] < total[1];
    }
    if (x[0] != x[1]) {
        return x[0] < x[1];
    }
    if (z[0] != z[1]) {
        return z[0] < z[1];
    }
    if ((one.x < 0.0f) != (other.x < 0.0f)) {
        return other.x < 0.0f;
    }
    // l = -z is to be positive.
    return one.z < 0.0f && other.z > 0.0f;
}

TRISECT_DEVICE void offer(Best& best, const Best& other) {
    if (other.value > best.value || (other.value == best.value && is_nearer(other, best))) {
        best = other;
    }
}

// --- shared memory ---

// What a step adds: to the slope on its axis or on the other, and to the constant.
struct alignas(16) Gain {
    long long slope;
    long long constant;

    // Adds it to the sums of a column if that is the first to take it, or comes later.
    TRISECT_DEVICE void add_to(unsigned column, unsigned first, long long& slopes,
                               long long& constants) const {
        if (column >= first) {
            slopes += slope;
            constants += constant;
        }
    }
};

constexpr unsigned MAX_WARPS = MAX_THREADS / WARP_LANES;

struct alignas(16) Header {
    // One per warp, and for each of two searches.
    Best best[2][MAX_WARPS];
    // Candidates of both axes.
    unsigned columns;
    unsigned rows;
};

static_assert(sizeof(Header) == HEADER_BYTES, "bounds");

// The parts of the shared memory.
struct Layout {
    Header* header;
    // Events, row by row: what they add, and the first column that takes it.
    Gain* events;
    unsigned* columns_of;
    // Before that, the different candidates without the ends of the box, or NOTHING.
    int* x_different;
    int* z_different;
    // What a step adds by itself; then the sum of all steps up to this one.
    Gain* x_gains;
    Gain* z_gains;
    // Weights that enter with a step; then all that are entered, and in the end the factors of z.
    long long* x_weights;
    long long* z_weights;
    // Candidates as they come, as keys; then the bits of the points, greatest first.
    int* x_keys;
    int* z_keys;
    // Of each row the events that add to A, then those that add to B: how many, where they end,
    // and in the end where they begin.
    unsigned* offsets;

    TRISECT_DEVICE Layout(float4* memory, const Task& task) {
        const unsigned columns = task.x_places + 1;
        const unsigned rows = task.z_places + 1;
        header = reinterpret_cast<Header*>(memory);
        events = reinterpret_cast<Gain*>(header + 1);
        columns_of = reinterpret_cast<unsigned*>(events + task.events);
        x_different = reinterpret_cast<int*>(events);
        z_different = x_different + task.x_places;
        x_gains = reinterpret_cast<Gain*>(columns_of + task.events);
        z_gains = x_gains + columns;
        x_weights = reinterpret_cast<long long*>(z_gains + rows);
        z_weights = x_weights + columns;
        x_keys = reinterpret_cast<int*>(z_weights + rows);
        z_keys = x_keys + columns;
        offsets = reinterpret_cast<unsigned*>(z_keys + rows);
    }
};

static_assert(sizeof(Gain) + sizeof(unsigned) == EVENT_BYTES, "an event");
static_assert(2 * sizeof(unsigned) == ROW_BYTES && sizeof(unsigned) == LAST_ROW_BYTES, "offsets");
static_assert(sizeof(int) == SORT_BYTES, "a key");
static_assert(EVENT_STEP * sizeof(unsigned) % alignof(Gain) == 0, "gains follow the columns");
static_assert(sizeof(Gain) + sizeof(long long) + sizeof(int) == CANDIDATE_BYTES, "a candidate");

TRISECT_DEVICE void add(Gain& to, long long slope, long long constant) {
    add_by_words(&to.slope, slope);
    add_by_words(&to.constant, constant);
}

// Turns values into the sums of all up to each of them; by one warp.
template <class T>
TRISECT_DEVICE void sum_up(T* values, unsigned stride, unsigned count, unsigned lane) {
    T sum = 0;
#pragma unroll 1
    for (unsigned first = 0; first < count; first += WARP_LANES) {
        const unsigned index = first + lane;
        T value = index < count ? values[index * stride] : 0;
#pragma unroll
        for (unsigned distance = 1; distance < WARP_LANES; distance *= 2) {
            const T before = __shfl_up_sync(ALL_LANES, value, distance);
            value += lane >= distance ? before : 0;
        }
        value += sum;
        if (index < count) {
            values[index * stride] = value;
        }
        sum = __shfl_sync(ALL_LANES, value, WARP_LANES - 1);
    }
}

// --- the lattice ---

// A leg, l turned to z.
struct Leg {
    float x_gate;
    float z_gate;
    float high_pred;
    float low_pred;
    float close;
    float weight;
    bool is_short;
    // Whether it can be entered inside the box.
    bool is_reached;
};

// What a leg is worth, in units: `Terms` of src/exact/fixed.rs.
struct Terms {
    long long weight;
    double scaled;

    TRISECT_DEVICE Terms(const Leg& leg, const Group& group)
        : weight(nearest(static_cast<double>(leg.weight) * group.per_weight)),
          scaled(static_cast<double>(weight) * group.scale) {}

    TRISECT_DEVICE long long high(const Leg& leg) const {
        return nearest(scaled * (static_cast<double>(leg.high_pred) - static_cast<double>(leg.close)));
    }

    TRISECT_DEVICE long long high_clamp(const Leg& leg) const {
        return rounded_down(-scaled * static_cast<double>(leg.high_pred));
    }

    TRISECT_DEVICE long long high_cap(const Leg& leg) const {
        return rounded_up(scaled * MAX_LEVEL) +
               rounded_up(-scaled * static_cast<double>(leg.high_pred));
    }

    TRISECT_DEVICE long long low(const Leg& leg) const {
        return nearest(scaled * (static_cast<double>(leg.close) - static_cast<double>(leg.low_pred)));
    }

    TRISECT_DEVICE long long low_clamp(const Leg& leg) const {
        return rounded_down(scaled * static_cast<double>(leg.low_pred));
    }
};

TRISECT_DEVICE bool is_capped(const Leg& leg, float x) {
    return static_cast<double>(leg.high_pred) + static_cast<double>(x) >= MAX_LEVEL;
}

// Greatest x that leaves the high level below its upper clamp.
TRISECT_DEVICE float last_uncapped(const Leg& leg) {
    float x = static_cast<float>(MAX_LEVEL - static_cast<double>(leg.high_pred));
    while (is_capped(leg, x)) {
        x = next_down(x);
    }
    while (!is_capped(leg, next_up(x))) {
        x = next_up(x);
    }
    return x + 0.0f;
}

// The lattice of one group.
template <bool AtClose>
struct Lattice {
    const Task& task;
    const Group group;
    const Layout layout;
    const float z_least;
    const float z_greatest;

    TRISECT_DEVICE Lattice(float4* memory, const Task& task)
        : task(task),
          group(task.groups[blockIdx.x]),
          layout(memory, task),
          z_least(-task.low_greatest + 0.0f),
          z_greatest(-task.low_least + 0.0f) {}

    TRISECT_DEVICE unsigned legs() const { return group.longs + group.shorts; }

    TRISECT_DEVICE Leg load(unsigned index) const {
        const float4 gates = task.gates[size_t{group.first} + index];
        const float2 terms = task.terms[size_t{group.first} + index];
        Leg leg;
        leg.x_gate = gates.x;
        leg.z_gate = -gates.y + 0.0f;
        leg.high_pred = gates.z;
        leg.low_pred = gates.w;
        leg.close = terms.x;
        leg.weight = terms.y;
        leg.is_short = index >= group.longs;
        leg.is_reached =
            leg.is_short ? leg.x_gate >= task.high_least : leg.z_gate >= z_least;
        if (AtClose) {
            // Takes no profit at the level.
            (leg.is_short ? leg.z_gate : leg.x_gate) = __int_as_float(0xff800000);
        }
        return leg;
    }

    TRISECT_DEVICE Axis x_axis() const {
        return {task.high_least, layout.x_keys, layout.header->columns};
    }

    TRISECT_DEVICE Axis z_axis() const {
        return {z_least, layout.z_keys, layout.header->rows};
    }

    // Candidates as they come, and everything that is added to is 0.
    TRISECT_DEVICE void collect() const {
        const unsigned capped_from = legs();
        for (unsigned index = threadIdx.x; index < legs(); index += blockDim.x) {
            const Leg leg = load(index);
            layout.x_keys[index] = key(leg, leg.x_gate, task.high_least, task.high_greatest);
            layout.z_keys[index] = key(leg, leg.z_gate, z_least, z_greatest);
            if (task.capped != 0) {
                const bool capped = is_capped(leg, fminf(leg.x_gate, task.high_greatest));
                const float last = capped ? last_uncapped(leg) : task.high_greatest;
                layout.x_keys[capped_from + index] =
                    key(leg, last, task.high_least, task.high_greatest);
            }
        }
        for (unsigned step = threadIdx.x; step <= x_places(); step += blockDim.x) {
            layout.x_gains[step] = {};
            layout.x_weights[step] = 0;
        }
        for (unsigned step = threadIdx.x; step <= legs(); step += blockDim.x) {
            layout.z_gains[step] = {};
            layout.z_weights[step] = 0;
        }
        if (!AtClose) {
            for (unsigned at = threadIdx.x; at < 2 * legs() + 3; at += blockDim.x) {
                layout.offsets[at] = 0;
            }
        }
        if (threadIdx.x == 0) {
            // The ends of the box.
            layout.header->columns = 1;
            layout.header->rows = 1;
        }
    }

    // Keeps one of equal candidates.
    TRISECT_DEVICE void deduplicate() const {
        deduplicate(layout.x_keys, x_places(), layout.x_different, layout.header->columns);
        deduplicate(layout.z_keys, legs(), layout.z_different, layout.header->rows);
    }

    // Puts the candidates in order.
    TRISECT_DEVICE void sort() const {
        sort(layout.x_different, x_places(), task.high_greatest, layout.x_keys);
        sort(layout.z_different, legs(), z_greatest, layout.z_keys);
    }

    // Enters legs into the tables, and counts the events of each row.
    TRISECT_DEVICE void tabulate() const {
        for (unsigned index = threadIdx.x; index < legs(); index += blockDim.x) {
            const Leg leg = load(index);
            if (!leg.is_reached) {
                continue;
            }
            const Terms terms(leg, group);
            if (leg.is_short) {
                const unsigned gate = x_axis().first_at_most(leg.x_gate);
                add_by_words(layout.x_weights + gate, terms.weight);
                high_part(leg, terms, [&](unsigned step, long long slope, long long constant) {
                    add(layout.x_gains[step], slope, constant);
                });
            } else {
                const unsigned gate = z_axis().first_at_most(leg.z_gate);
                add_by_words(layout.z_weights + gate, terms.weight);
                low_part(leg, terms, [&](unsigned step, long long slope, long long constant) {
                    add(layout.z_gains[step], slope, constant);
                });
            }
            exits(leg, terms, [&](unsigned slot, unsigned, long long, long long) {
                atomicAdd(layout.offsets + slot, 1u);
            });
        }
    }

    // Sums up all tables, each by one warp.
    TRISECT_DEVICE void sum_tables() const {
        const unsigned warps = blockDim.x / WARP_LANES;
        const unsigned lane = threadIdx.x % WARP_LANES;
        const unsigned columns = layout.header->columns;
        const unsigned rows = layout.header->rows;
#pragma unroll 1
        for (unsigned table = threadIdx.x / WARP_LANES; table < 7; table += warps) {
            if (table == 6) {
                if (!AtClose) {
                    // One more, so that the last row has an end.
                    sum_up(layout.offsets, 1, 2 * rows + 1, lane);
                }
                continue;
            }
            const bool is_x = table < 3;
            const unsigned part = is_x ? table : table - 3;
            long long* const gains = &(is_x ? layout.x_gains : layout.z_gains)->slope;
            long long* const weights = is_x ? layout.x_weights : layout.z_weights;
            sum_up(part == 2 ? weights : gains + part, part == 2 ? 1 : 2, is_x ? columns : rows,
                   lane);
        }
    }

    // Puts the events in their places, and takes the fees off the tables.
    TRISECT_DEVICE void place() const {
        for (unsigned index = threadIdx.x; index < legs() && !AtClose; index += blockDim.x) {
            const Leg leg = load(index);
            if (!leg.is_reached) {
                continue;
            }
            const Terms terms(leg, group);
            exits(leg, terms,
                  [&](unsigned slot, unsigned column, long long slope, long long constant) {
                      const unsigned at = atomicAdd(layout.offsets + slot, ~0u) - 1;
                      layout.events[at] = {slope, constant};
                      layout.columns_of[at] = column;
                  });
        }
        const unsigned columns = layout.header->columns;
        for (unsigned step = threadIdx.x; step < columns; step += blockDim.x) {
            layout.x_gains[step].constant -= fee(layout.x_weights[step]);
        }
        const unsigned rows = layout.header->rows;
        for (unsigned step = threadIdx.x; step < rows; step += blockDim.x) {
            layout.z_gains[step].constant -= fee(layout.z_weights[step]);
            layout.z_weights[step] = packed(make_factor(z_axis().point(step), group.shift));
        }
    }

    // The best cell of the columns of this thread: every blockDim.x-th one, two at a time as long as
    // some thread of the warp has two. Those that have none left repeat the last column.
    TRISECT_DEVICE Best sweep() const {
        const Axis x = x_axis();
        const unsigned lane = threadIdx.x % WARP_LANES;
        const unsigned last = x.count - 1;
        const bool may_rise = make_factor(greatest_magnitude(), group.shift).right < 0;
        Best best = NO_BEST;
#pragma unroll 1
        for (unsigned column = threadIdx.x; column - lane <= last; column += 2 * blockDim.x) {
            const unsigned first = earlier(column, last);
            const unsigned second = earlier(column + blockDim.x, last);
            if (may_rise) {
                offer(best, sweep<1, true>(x, {first}));
                offer(best, sweep<1, true>(x, {second}));
            } else if (column - lane + blockDim.x > last) {
                offer(best, sweep<1, false>(x, {first}));
            } else {
                offer(best, sweep<2, false>(x, {first, second}));
            }
        }
        return best;
    }

    // The best of the candidates of one axis that this thread looks at, when the other stays 0.
    TRISECT_DEVICE Best scan(const Axis& axis, const Gain* gains, bool is_x) const {
        Best best = NO_BEST;
        for (unsigned step = threadIdx.x; step < axis.count; step += blockDim.x) {
            const Gain gain = gains[step];
            const Factor factor = make_factor(axis.point(step), group.shift);
            const float point = axis.nearest_zero(step, gain.slope == 0);
            offer(best, {floor_product<true>(gain.slope, factor) + gain.constant, is_x ? point : 0.0f,
                         is_x ? 0.0f : point});
        }
        return best;
    }

private:
    TRISECT_DEVICE unsigned x_places() const { return task.capped != 0 ? 2 * legs() : legs(); }

    TRISECT_DEVICE int key(const Leg& leg, float gate, float least, float greatest) const {
        return leg.is_reached && gate >= least && gate < greatest ? ordered(gate) : NOTHING;
    }

    TRISECT_DEVICE static void deduplicate(const int* keys, unsigned count, int* different,
                                           unsigned& found) {
        for (unsigned place = threadIdx.x; place < count; place += blockDim.x) {
            const int mine = keys[place];
            bool is_first = mine != NOTHING;
            for (unsigned other = 0; other < place; ++other) {
                is_first &= keys[other] != mine;
            }
            different[place] = is_first ? mine : NOTHING;
            if (is_first) {
                atomicAdd(&found, 1u);
            }
        }
    }

    TRISECT_DEVICE static void sort(const int* different, unsigned count, float greatest,
                                    int* points) {
        // PERF: two at a time, for every one is read once for both.
        for (unsigned place = threadIdx.x; place < count; place += 2 * blockDim.x) {
            const unsigned second = place + blockDim.x;
            const int keys[2] = {different[place], second < count ? different[second] : NOTHING};
            // Behind the end of the box.
            unsigned steps[2] = {1, 1};
#pragma unroll 4
            for (unsigned other = 0; other < count; ++other) {
                const int key = different[other];
                steps[0] += key > keys[0];
                steps[1] += key > keys[1];
            }
            for (unsigned k = 0; k < 2; ++k) {
                if (keys[k] != NOTHING) {
                    points[steps[k]] = __float_as_int(unordered(keys[k]));
                }
            }
        }
        if (threadIdx.x == 0) {
            points[0] = __float_as_int(greatest);
        }
    }

    // What the part `H - close` of a leg adds from which steps of x on.
    template <class Put>
    TRISECT_DEVICE void high_part(const Leg& leg, const Terms& terms, Put put) const {
        const Axis x = x_axis();
        const unsigned gate = x.first_at_most(leg.x_gate);
        if (gate == x.count) {
            return;
        }
        const unsigned clamp = later(gate, x.first_at_most(-leg.high_pred));
        if (clamp == gate) {
            put(gate, 0, terms.high(leg) + terms.high_clamp(leg));
            return;
        }
        const unsigned below =
            task.capped == 0 ? 0 : x.first([&](float point) { return !is_capped(leg, point); });
        if (below > gate) {
            const long long cap = terms.high_cap(leg);
            put(gate, 0, terms.high(leg) + cap);
            if (below < x.count) {
                put(below, terms.weight, -cap);
            }
        } else {
            put(gate, terms.weight, terms.high(leg));
        }
        if (clamp < x.count) {
            put(clamp, -terms.weight, terms.high_clamp(leg));
        }
    }

    // What the part `close - L` of a leg adds from which steps of z on.
    template <class Put>
    TRISECT_DEVICE void low_part(const Leg& leg, const Terms& terms, Put put) const {
        const Axis z = z_axis();
        const unsigned gate = z.first_at_most(leg.z_gate);
        if (gate == z.count) {
            return;
        }
        const unsigned clamp = later(gate, z.first_at_most(leg.low_pred));
        if (clamp == gate) {
            put(gate, 0, terms.low(leg) + terms.low_clamp(leg));
            return;
        }
        put(gate, terms.weight, terms.low(leg));
        if (clamp < z.count) {
            put(clamp, -terms.weight, terms.low_clamp(leg));
        }
    }

    // The events of a leg, its exit at the level: `put(slot, column, slope, constant)`. Slots are
    // two per row: what adds to A, and what adds to B.
    template <class Put>
    TRISECT_DEVICE void exits(const Leg& leg, const Terms& terms, Put put) const {
        if (AtClose) {
            return;
        }
        if (leg.is_short) {
            const unsigned column = x_axis().first_at_most(leg.x_gate);
            low_part(leg, terms, [&](unsigned row, long long slope, long long constant) {
                put(2 * row + 1, column, slope, constant);
            });
        } else {
            const unsigned row = z_axis().first_at_most(leg.z_gate);
            high_part(leg, terms, [&](unsigned column, long long slope, long long constant) {
                put(2 * row, column, slope, constant);
            });
        }
    }

    TRISECT_DEVICE long long fee(long long weight) const {
        return nearest(group.fee * static_cast<double>(weight));
    }

    // A multiplier of the greatest magnitude in the box.
    TRISECT_DEVICE float greatest_magnitude() const {
        const float x = fmaxf(fabsf(task.high_least), fabsf(task.high_greatest));
        return fmaxf(x, fmaxf(fabsf(z_least), fabsf(z_greatest)));
    }

    // A column on its way through the rows.
    struct Column {
        Factor factor;
        // Sums of the row that has been reached, without what the row adds by itself.
        Gain along_x;
        long long along_z;
        long long product;
        // The best row so far, and as bits above whether no level moves there with x, with z.
        long long best;
        unsigned best_row;
    };

    static constexpr unsigned X_FLAT = 1u << 30;
    static constexpr unsigned Z_FLAT = 1u << 31;

    // The best cell of some columns.
    template <unsigned N, bool MayRise>
    TRISECT_DEVICE Best sweep(const Axis& x, const unsigned (&columns)[N]) const {
        const Axis z = z_axis();
        Column all[N];
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            Column& column = all[k];
            column.factor = make_factor(x.point(columns[k]), group.shift);
            column.along_x = layout.x_gains[columns[k]];
            column.along_z = 0;
            column.product = floor_product<MayRise>(column.along_x.slope, column.factor);
            column.best = NO_BEST.value;
            column.best_row = 0;
        }
        unsigned event = layout.offsets[0];
#pragma unroll 1
        for (unsigned row = 0; row < z.count; ++row) {
            const unsigned middle = layout.offsets[2 * row + 1];
            const unsigned end = layout.offsets[2 * row + 2];
            if (event < middle) {
#pragma unroll 1
                for (; event < middle; ++event) {
                    const Gain gain = layout.events[event];
                    const unsigned first = layout.columns_of[event];
#pragma unroll
                    for (unsigned k = 0; k < N; ++k) {
                        Gain& sums = all[k].along_x;
                        gain.add_to(columns[k], first, sums.slope, sums.constant);
                    }
                }
#pragma unroll
                for (unsigned k = 0; k < N; ++k) {
                    Column& column = all[k];
                    column.product = floor_product<MayRise>(column.along_x.slope, column.factor);
                }
            }
#pragma unroll 1
            for (; event < end; ++event) {
                const Gain gain = layout.events[event];
                const unsigned first = layout.columns_of[event];
#pragma unroll
                for (unsigned k = 0; k < N; ++k) {
                    Column& column = all[k];
                    gain.add_to(columns[k], first, column.along_z, column.along_x.constant);
                }
            }
            const Gain gain = layout.z_gains[row];
            const Factor factor = unpacked(layout.z_weights[row]);
#pragma unroll
            for (unsigned k = 0; k < N; ++k) {
                Column& column = all[k];
                const long long slope = column.along_z + gain.slope;
                const long long value = column.product + floor_product<MayRise>(slope, factor) +
                                        column.along_x.constant + gain.constant;
                bool is_better = value > column.best;
                if (value == column.best) {
                    const Best cell = {value, x.nearest_zero(columns[k], column.along_x.slope == 0),
                                       z.nearest_zero(row, slope == 0)};
                    is_better = is_nearer(cell, best_of_column(x, z, columns[k], column));
                }
                if (is_better) {
                    column.best = value;
                    column.best_row = row | (column.along_x.slope == 0 ? X_FLAT : 0) |
                                      (slope == 0 ? Z_FLAT : 0);
                }
            }
        }
        Best best = NO_BEST;
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            offer(best, best_of_column(x, z, columns[k], all[k]));
        }
        return best;
    }

    TRISECT_DEVICE static Best best_of_column(const Axis& x, const Axis& z, unsigned index,
                                              const Column& column) {
        const unsigned row = column.best_row & ~(X_FLAT | Z_FLAT);
        return {column.best, x.nearest_zero(index, (column.best_row & X_FLAT) != 0),
                z.nearest_zero(row, (column.best_row & Z_FLAT) != 0)};
    }
};

// The best of the threads of a warp, in all of them.
TRISECT_DEVICE Best best_of_warp(Best best) {
#pragma unroll
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) {
        const Best other = {__shfl_xor_sync(ALL_LANES, best.value, distance),
                            __shfl_xor_sync(ALL_LANES, best.x, distance),
                            __shfl_xor_sync(ALL_LANES, best.z, distance)};
        offer(best, other);
    }
    return best;
}

// --- entry points ---

template <bool AtClose>
TRISECT_DEVICE void solve(const Task& task) {
    DYNAMIC_SHARED(float4, memory);
    const Lattice<AtClose> lattice(memory, task);
    Header& header = *lattice.layout.header;
    lattice.collect();
    __syncthreads();
    lattice.deduplicate();
    __syncthreads();
    lattice.sort();
    __syncthreads();
    lattice.tabulate();
    __syncthreads();
    lattice.sum_tables();
    __syncthreads();
    lattice.place();
    if (!AtClose) {
        // At the close each thread takes the steps next whose fees it has taken off.
        __syncthreads();
    }

    constexpr unsigned SEARCHES = AtClose ? 2 : 1;
    const unsigned warps = blockDim.x / WARP_LANES;
#pragma unroll
    for (unsigned search = 0; search < SEARCHES; ++search) {
        Best best;
        if (!AtClose) {
            best = lattice.sweep();
        } else if (search == 0) {
            best = lattice.scan(lattice.x_axis(), lattice.layout.x_gains, true);
        } else {
            best = lattice.scan(lattice.z_axis(), lattice.layout.z_gains, false);
        }
        best = best_of_warp(best);
        if (threadIdx.x % WARP_LANES == 0) {
            header.best[search][threadIdx.x / WARP_LANES] = best;
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) {
        return;
    }
    Optimum optimum = {0, 0.0f, 0.0f, header.columns, header.rows};
#pragma unroll
    for (unsigned search = 0; search < SEARCHES; ++search) {
        Best best = header.best[search][0];
        for (unsigned warp = 1; warp < warps; ++warp) {
            offer(best, header.best[search][warp]);
        }
        optimum.value += best.value;
        // The axis that an AtClose search does not look at stays 0.
        optimum.high += best.x;
        optimum.low -= best.z;
    }
    // + 0 turns -0 into 0.
    optimum.high += 0.0f;
    optimum.low += 0.0f;
    task.found[blockIdx.x] = optimum;
}

}  // namespace exact

extern "C" __global__ void __launch_bounds__(exact::MAX_THREADS, 4)
exact_intraday(const exact::Task task) {
    exact::solve<false>(task);
}

extern "C" __global__ void __launch_bounds__(exact::MAX_THREADS, 4)
exact_close(const exact::Task task) {
    exact::solve<true>(task);
}
