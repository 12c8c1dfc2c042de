// Whole DIRECT searches in one launch: one block per group and exit rule, or many blocks for a large
// group.
//
// Purpose. A round of a search is a few microseconds of work; with the host between rounds, waiting
// for it is most of the time. Here nothing returns to the host before the search has ended. The
// evaluations, their order and the result are those of `Direct` in src/direct.rs, to the bit: that
// file is the specification, and the names are its names.
//
// Entry points. direct_{f32, f16, bf16}(Task): storage of the legs. direct_wide_{f32, f16, bf16}(Task):
// many blocks per search; a cooperative launch.
//
// Shapes. Legs as in legs.cuh; spans (slots); members (simulations) of (slot, place of its first leg
// in shared memory), group by group; groups (groups); thirds (THIRDS) of 3^-depth; sizes (classes);
// found (rules, all groups).
//
// Thread mapping. Block (x, y) searches group x of the launch under exit rule y. It alternates
// between two phases, with a barrier after each:
//
//   advance   Warp 0 takes the values of the round, cuts its rectangles, tests for an end, selects
//             and plans the next round. Lanes go over points, rectangles, classes; what depends on
//             order is done by lane 0.
//   work      All warps score the points, lanes over legs, up to 4 points per warp at a time. Then
//             they find the best of each class that has lost its best, a warp per class.
//
// Wide searches. Blocks (0, y, z) to (gridDim.x - 1, y, z) search group y of the launch under exit rule
// z. Block 0 does the above. The others know nothing of rectangles: block 0 shows the points of a
// round on a board in global memory, all blocks score them over their parts of the members and add
// the sums there, and block 0 takes them as the round's values. A barrier over the grid costs one
// way there and one back: the wait for the points, and the wait for the sums; the bookkeeping stands
// between the two, so that there is one barrier per round. A cooperative launch, because blocks that
// wait for each other must all be on the device; not a graph, because a graph of the rounds would
// have to know their number, and would launch twice per round instead of waiting once.
//
// A wide search can be cut: after `pause_after` evaluations block 0 saves its shared memory behind
// what is spilled, and a launch with RESUMED goes on there. Whoever waits for the device gets it in
// between.
//
// Memory. The store of rectangles lies in shared memory, or in `scratch` where the host's plan says
// so; so do the classes; legs are staged in shared memory or read where they are. A rectangle that
// is asked but not cut yet keeps its candidate where its depths and age will be.
//
// Order within a class: by (value, age), the age as in src/direct/classes.rs. There classes are
// heaps. Here they are no structure at all: only their best is known, and a class that loses it is
// searched through, by lanes that would wait otherwise.
//
// Preconditions. blockDim.x is a multiple of 32 and at most MAX_THREADS, or MAX_WIDE_THREADS. Boards
// are zero when a launch begins. Dynamic shared memory holds
// what `Layout` says. Two axes. 1 <= capacity <= 2^17, for depths have 15 bits and take four
// evaluations each. The rest as in evaluate.cu.
//
// Determinism. Profits have the canonical order of summation, sums are integers, and the bookkeeping
// is f64 without contraction, with ties broken by age. No number of threads shows.
#include "legs.cuh"

namespace direct {

// --- what the host must know ---

// Threads per block at most: registers are allotted for four such blocks per multiprocessor.
constexpr unsigned MAX_THREADS = 256;

// The same for wide searches: one such block per multiprocessor.
constexpr unsigned MAX_WIDE_THREADS = 1024;

// Rules and placement, bits of `Task::flags`.
constexpr unsigned SCIPY = 1;
constexpr unsigned AGGRESSIVE = 2;
constexpr unsigned HALF_DIAGONAL = 4;
constexpr unsigned ONE_LONGEST = 8;
constexpr unsigned EPS_FOLLOWS = 16;
constexpr unsigned HAS_TARGET = 32;
constexpr unsigned RECTANGLES_SPILLED = 64;
constexpr unsigned CLASSES_SPILLED = 128;
constexpr unsigned LEGS_STAGED = 256;
// Wide searches only: go on where the last launch paused.
constexpr unsigned RESUMED = 512;

// Why a search has ended: `Found::stop`.
constexpr unsigned RUNNING = 0;
constexpr unsigned EVALUATIONS = 1;
constexpr unsigned ITERATIONS = 2;
constexpr unsigned VOLUME = 3;
constexpr unsigned SIDE_LENGTH = 4;
constexpr unsigned TARGET = 5;
constexpr unsigned NO_PROGRESS = 6;
constexpr unsigned SLOTS = 7;
constexpr unsigned LEVELS = 8;
// There are more classes than the plan has room for: no result.
constexpr unsigned OVERFLOW = 9;

// Length of `thirds`; what comes behind it is 0.
constexpr unsigned THIRDS = 646;

// Bytes of memory per block, class, rectangle, planned division and staged leg.
constexpr unsigned STATE_BYTES = 144;
constexpr unsigned CLASS_BYTES = 48;
constexpr unsigned RECTANGLE_BYTES = 32;
constexpr unsigned DIVISION_BYTES = 16;
constexpr unsigned LEG_BYTES = 24;

// Wide searches: points that a block adds up in shared memory at a time, the bytes of that, bytes of
// scratch per rectangle for the points of a round, and bytes of a board.
constexpr unsigned WIDE_POINTS = 256;
constexpr unsigned WIDE_BYTES = 8 * WIDE_POINTS;
constexpr unsigned POINT_BYTES = 16;
constexpr unsigned BOARD_BYTES = 256;

// The group of a block, or the part of it that a block of a wide search scores.
struct Group {
    // Of `members`.
    unsigned first;
    unsigned members;
    // Index among all groups.
    unsigned index;
    // Legs of all members.
    unsigned legs;
    // 2^fraction bits, and its inverse.
    double scale;
    double unit;
};

// What became of a search.
struct Found {
    // The best point, in box coordinates, and its value, to be minimised.
    double high;
    double low;
    double value;
    unsigned evaluations;
    unsigned iterations;
    unsigned rounds;
    unsigned stop;
};

// One axis of the box: `Axis` of src/direct/options.rs.
struct Axis {
    double low;
    double high;
    double range;
    double offset;
};

// What the blocks of a wide search tell each other. Each word has a line of the cache for itself.
struct Board {
    // Number of the round in this launch, from 1 on; below, its points, 0 when the launch is over.
    unsigned long long released;
    unsigned padding[30];
    // Blocks that have added their sums, over all rounds; block 0 does not count.
    unsigned arrived;
    unsigned more_padding[31];
};

// The one argument of every entry point.
struct Task {
    // float4 gates, or records of 6 x u16.
    const void* legs;
    // f32 storage only.
    const float2* terms;
    const Span* spans;
    const uint2* members;
    const Group* groups;
    // Wide searches: of each group, a part per block.
    const Group* parts;
    const double* thirds;
    const double* sizes;
    // `scratch_bytes` for each search of the launch.
    unsigned char* scratch;
    // Wide searches: one for each.
    Board* boards;
    Found* found;
    unsigned long long scratch_bytes;
    Axis axes[2];
    double eps;
    double volume_tolerance;
    double side_tolerance;
    double target;
    // |target|, or 1.
    double target_unit;
    double target_tolerance;
    unsigned flags;
    // Rectangles that fit into the store, which is when a division does not fit any more.
    unsigned capacity;
    // Evaluations at the end of an iteration with which the search ends.
    unsigned enough;
    // 0: no limit.
    unsigned max_iterations;
    // Classes that there is room for.
    unsigned classes;
    // Divisions that there is room for.
    unsigned divisions;
    // scipy's number of levels.
    unsigned levels;
    // Groups of all launches: the stride of the rules in `found`.
    unsigned all_groups;
    // Bit y: rule y exits at the close.
    unsigned at_close;
    float fee;
    // Wide searches: evaluations of a launch after which it ends.
    unsigned pause_after;
    unsigned padding;
};

static_assert(sizeof(Group) == 32 && sizeof(Found) == 40, "the host writes or reads these bytes");
static_assert(sizeof(Board) == BOARD_BYTES, "the host zeroes these bytes");
static_assert(sizeof(Task) == 256, "the host writes these bytes");

// --- the state of a search ---

constexpr unsigned NONE = 0xffffffffu;

// Bit of the depths of a rectangle that is in no class: retired, or about to be cut.
constexpr unsigned OUT = 0x80000000u;
constexpr unsigned DEPTH_BITS = 15;
constexpr unsigned DEPTH_MASK = (1u << DEPTH_BITS) - 1;

// Largest list of candidates, and largest depth, under scipy's rules.
constexpr unsigned SCIPY_MAX_DIVISIONS = 5000;
constexpr unsigned SCIPY_MAX_DEPTH = 65535;

// Values that differ by at most this tie in the original DIRECT.
constexpr double TIE = 1e-13;

// What a block knows of its search. Lane 0 of warp 0 writes it.
struct State {
    Axis axes[2];
    double eps;
    double best_value;
    unsigned best;
    // Rectangles with a value.
    unsigned evaluated;
    // Rectangles behind them, to be evaluated in this round.
    unsigned asked;
    // Divisions of the round.
    unsigned planned;
    // Classes that have lost their best.
    unsigned dirty;
    // Classes that exist, the empty ones between them included.
    unsigned classes;
    unsigned iteration;
    unsigned rounds;
    // Age of the rectangle that came last.
    unsigned age;
    // Cuts per axis; only with ONE_LONGEST.
    unsigned cuts[2];
    // Ends the search when the round is over.
    unsigned ending;
    unsigned stop;
    // The iteration goes on: all rectangles it had selected were retired.
    unsigned again;
    unsigned padding[2];
};

static_assert(sizeof(State) == STATE_BYTES && STATE_BYTES % 16 == 0, "");

// A rectangle that the round divides.
struct Division {
    unsigned rect;
    // First of its children.
    unsigned child;
    // Class of the rectangle; above, the axes that are cut, as bits.
    unsigned from_axes;
    // Next division in the same class.
    unsigned next;
};

static_assert(sizeof(Division) == DIVISION_BYTES, "");

constexpr unsigned AXES_SHIFT = 24;
constexpr unsigned FROM_MASK = (1u << AXES_SHIFT) - 1;

struct alignas(16) Centre {
    double x[2];
};

// Arrays of the block, in shared memory or in its scratch.
struct Store {
    // (classes), by level: value, rectangle and age of the best.
    double* head_value;
    unsigned* head;
    int* head_age;
    // (classes), scratch of a selection: levels of the candidates, and their slopes.
    unsigned* candidate;
    double* least;
    double* largest;
    // (classes): first division of the class that is not done yet; NONE between rounds.
    unsigned* pending;
    // (classes): place of the class among those chosen; NONE between selections.
    unsigned* chosen;
    // Levels of the classes that have lost their best.
    unsigned* dirty;

    // (capacity). The value, or the fixed-point sum until it is complete.
    Centre* centres;
    long long* values;
    // (depths, age), or the candidate until the rectangle has a value.
    uint2* marks;

    // (divisions)
    Division* divisions;

    TRISECT_DEVICE double value(unsigned rect) const { return __longlong_as_double(values[rect]); }

    TRISECT_DEVICE int age(unsigned rect) const { return static_cast<int>(marks[rect].y); }
};

// Where everything lies.
struct Layout {
    Store store;
    float4* legs;
    // Behind what is spilled.
    unsigned char* rest;

    TRISECT_DEVICE Layout(const Task& task, unsigned char* shared, unsigned char* scratch) {
        const bool classes_spilled = (task.flags & CLASSES_SPILLED) != 0;
        const bool rectangles_spilled = (task.flags & RECTANGLES_SPILLED) != 0;
        shared += STATE_BYTES;
        const size_t classes = task.classes;
        unsigned char* at = classes_spilled ? scratch : shared;
        store.head_value = reinterpret_cast<double*>(at);
        store.least = store.head_value + classes;
        store.largest = store.least + classes;
        store.head = reinterpret_cast<unsigned*>(store.largest + classes);
        store.head_age = reinterpret_cast<int*>(store.head + classes);
        store.candidate = reinterpret_cast<unsigned*>(store.head_age + classes);
        store.pending = store.candidate + classes;
        store.chosen = store.pending + classes;
        store.dirty = store.chosen + classes;
        (classes_spilled ? scratch : shared) += CLASS_BYTES * classes;

        const size_t capacity = task.capacity;
        at = rectangles_spilled ? scratch : shared;
        store.centres = reinterpret_cast<Centre*>(at);
        // An odd capacity must not leave the divisions unaligned: they come first.
        store.divisions = reinterpret_cast<Division*>(store.centres + capacity);
        store.values = reinterpret_cast<long long*>(store.divisions + task.divisions);
        store.marks = reinterpret_cast<uint2*>(store.values + capacity);
        (rectangles_spilled ? scratch : shared) +=
            RECTANGLE_BYTES * capacity + DIVISION_BYTES * size_t{task.divisions};
        legs = reinterpret_cast<float4*>(shared);
        rest = scratch;
    }
};

// --- scoring ---

// The candidates of one warp, in registers; who has none works along with the last one.
template <unsigned N>
struct Candidates {
    float high[N];
    float low[N];

    TRISECT_DEVICE Candidates(const uint2* marks, unsigned first, unsigned count) {
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            const uint2 pair = marks[first + k < count ? first + k : count - 1];
            high[k] = __uint_as_float(pair.x);
            low[k] = __uint_as_float(pair.y);
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

// Legs in shared memory.
template <bool AtClose>
struct StagedLegs {
    Stage<AtClose> stage;

    template <bool Short>
    TRISECT_DEVICE Leg get(const Task&, const Span&, unsigned place, unsigned leg) const {
        return stage.template get<Short>(place + leg);
    }
};

// Legs where the host put them.
template <class Legs>
struct FarLegs {
    template <bool Short>
    TRISECT_DEVICE Leg get(const Task& task, const Span& span, unsigned, unsigned leg) const {
        return Legs::template load<Short>(task, span.first + leg);
    }
};

// The points of a round, N at a time. Warps share the points and, where there are more warps than
// that makes, the members of the group.
template <unsigned N, bool AtClose, class Source>
TRISECT_DEVICE void score(const Task& task, const Group& group, const Store& store,
                          unsigned evaluated, unsigned asked, const Source& source) {
    // The lanes that hold the same result; the first of them stores it.
    constexpr unsigned COPIES = WARP_LANES / N;
    const FeeBounds bounds(task.fee);
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    const unsigned chunks = (asked + N - 1) / N;
    unsigned shares = chunks < warps ? warps / chunks : 1;
    shares = shares < group.members ? shares : group.members;
    for (unsigned item = threadIdx.x / WARP_LANES; item < chunks * shares; item += warps) {
        const unsigned first = item % chunks * N;
        const Candidates<N> candidates(store.marks + evaluated, first, asked);
        long long total = 0;
        unsigned mine = 0;
        for (unsigned member = item / chunks; member < group.members; member += shares) {
            const uint2 slot = task.members[group.first + member];
            const Span span = task.spans[slot.x];
            float sums[N] = {};
#pragma unroll 1
            for (unsigned leg = lane; leg < span.longs; leg += WARP_LANES) {
                const Leg loaded = source.template get<false>(task, span, slot.y, leg);
                candidates.template add<Rule<false, AtClose, true>>(loaded, bounds, sums);
            }
#pragma unroll 1
            for (unsigned leg = lane; leg < span.shorts; leg += WARP_LANES) {
                const Leg loaded =
                    source.template get<true>(task, span, slot.y, span.longs + leg);
                candidates.template add<Rule<true, AtClose, true>>(loaded, bounds, sums);
            }
            mine = reduce_over_lanes<N>(sums, lane);
            total += __double2ll_rn(static_cast<double>(sums[0]) * group.scale);
        }
        if (lane % COPIES == 0 && first + mine < asked) {
            long long* sum = store.values + evaluated + first + mine;
            if (shares == 1) {
                *sum = total;
            } else {
                // Two's complement: the bits of a sum do not depend on the sign of its type.
                atomicAdd(reinterpret_cast<unsigned long long*>(sum),
                          static_cast<unsigned long long>(total));
            }
        }
    }
}

template <class Legs, bool AtClose>
TRISECT_DEVICE void score(const Task& task, const Group& group, const Layout& layout,
                          unsigned evaluated, unsigned asked) {
    if ((task.flags & LEGS_STAGED) == 0) {
        score<4, AtClose>(task, group, layout.store, evaluated, asked, FarLegs<Legs>{});
        return;
    }
    const StagedLegs<AtClose> staged = {Stage<AtClose>(layout.legs, group.legs)};
    // With many members there is work for all warps whatever a warp takes.
    const unsigned warps = blockDim.x / WARP_LANES;
    const unsigned items = asked * (group.members < warps ? group.members : warps);
    if (items > 2 * warps) {
        score<4, AtClose>(task, group, layout.store, evaluated, asked, staged);
    } else if (items > warps) {
        score<2, AtClose>(task, group, layout.store, evaluated, asked, staged);
    } else {
        score<1, AtClose>(task, group, layout.store, evaluated, asked, staged);
    }
}

// Brings the legs of the group into shared memory.
template <class Legs, bool AtClose>
TRISECT_DEVICE void stage_legs(const Task& task, const Group& group, float4* memory) {
    const Stage<AtClose> stage(memory, group.legs);
    for (unsigned member = 0; member < group.members; ++member) {
        const uint2 slot = task.members[group.first + member];
        const Span span = task.spans[slot.x];
#pragma unroll 1
        for (unsigned leg = threadIdx.x; leg < span.longs; leg += blockDim.x) {
            stage.template put<false>(slot.y + leg,
                                      Legs::template load<false>(task, span.first + leg));
        }
#pragma unroll 1
        for (unsigned leg = span.longs + threadIdx.x; leg < span.longs + span.shorts;
             leg += blockDim.x) {
            stage.template put<true>(slot.y + leg,
                                     Legs::template load<true>(task, span.first + leg));
        }
    }
}

// --- geometry ---

TRISECT_DEVICE unsigned depth_of(unsigned depths, unsigned axis) {
    return depths >> axis * DEPTH_BITS & DEPTH_MASK;
}

TRISECT_DEVICE unsigned least_depth(unsigned depths) {
    const unsigned high = depth_of(depths, 0);
    const unsigned low = depth_of(depths, 1);
    return high < low ? high : low;
}

// How often a rectangle was cut.
TRISECT_DEVICE unsigned cuts_of(unsigned depths) {
    return depth_of(depths, 0) + depth_of(depths, 1);
}

// Size class. The depths of the two sides differ by at most 1.
TRISECT_DEVICE unsigned level_of(unsigned flags, unsigned depths) {
    return flags & HALF_DIAGONAL ? cuts_of(depths) : least_depth(depths);
}

TRISECT_DEVICE double third(const Task& task, unsigned depth) {
    return depth < THIRDS ? task.thirds[depth] : 0.0;
}

// Unit cube to box on one axis.
TRISECT_DEVICE double place(const State& state, unsigned flags, unsigned axis, double c) {
    const Axis& box = state.axes[axis];
    double x = (c + box.offset) * box.range;
    if ((flags & SCIPY) == 0) {
        x = x < box.low ? box.low : x;
        x = x > box.high ? box.high : x;
    }
    return x;
}

// The candidate of a centre, rounded once.
TRISECT_DEVICE uint2 candidate_of(const State& state, unsigned flags, const Centre& centre) {
    const float high = static_cast<float>(place(state, flags, 0, centre.x[0]));
    const float low = static_cast<float>(place(state, flags, 1, centre.x[1]));
    return make_uint2(__float_as_uint(high), __float_as_uint(low));
}

// --- the best of a class ---

// The best among all rectangles of a class, by the lanes of a warp.
TRISECT_DEVICE void find_head(unsigned flags, const Store& store, unsigned rectangles,
                              unsigned level) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    double value = 0.0;
    int age = 0;
    unsigned best = NONE;
    for (unsigned rect = lane; rect < rectangles; rect += WARP_LANES) {
        const uint2 mark = store.marks[rect];
        if ((mark.x & OUT) != 0 || level_of(flags, mark.x) != level) {
            continue;
        }
        const double other = store.value(rect);
        const int other_age = static_cast<int>(mark.y);
        if (best == NONE || other < value || (other == value && other_age < age)) {
            value = other;
            age = other_age;
            best = rect;
        }
    }
#pragma unroll
    for (unsigned width = WARP_LANES / 2; width > 0; width /= 2) {
        const double other = __shfl_xor_sync(ALL_LANES, value, width);
        const int other_age = __shfl_xor_sync(ALL_LANES, age, width);
        const unsigned rect = __shfl_xor_sync(ALL_LANES, best, width);
        const bool before = other < value || (other == value && other_age < age);
        if (rect != NONE && (best == NONE || before)) {
            value = other;
            age = other_age;
            best = rect;
        }
    }
    if (lane == 0) {
        store.head_value[level] = value;
        store.head_age[level] = age;
        store.head[level] = best;
    }
}

TRISECT_DEVICE void enter_class(const Store& store, unsigned level, unsigned rect, double value,
                                int age) {
    const double best = store.head_value[level];
    if (store.head[level] == NONE || value < best ||
        (value == best && age < store.head_age[level])) {
        store.head[level] = rect;
        store.head_value[level] = value;
        store.head_age[level] = age;
    }
}

// Puts the two children of one side into their class.
TRISECT_DEVICE void enter_pair(unsigned flags, const Store& store, unsigned plus) {
    const unsigned minus = plus + 1;
    const double p = store.value(plus);
    const double m = store.value(minus);
    const unsigned level = level_of(flags, store.marks[plus].x);
    // Value of the head: rectangles whose turn to be cut has not come are still in the class.
    const unsigned division = store.pending[level];
    bool has_head = store.head[level] != NONE;
    double head = store.head_value[level];
    if (division != NONE) {
        const double waiting = store.value(store.divisions[division].rect);
        head = !has_head || waiting < head ? waiting : head;
        has_head = true;
    }
    // The only tie that Gablonsky's lists break in favour of the newer rectangle.
    if (has_head && p < head && m == head) {
        store.marks[minus].y = 0u - store.marks[minus].y;
    }
    enter_class(store, level, plus, p, store.age(plus));
    enter_class(store, level, minus, m, store.age(minus));
}

// --- the end of a round ---

// Turns the sums of the round into values, and finds the best.
TRISECT_DEVICE void take_values(State& state, const Store& store, const Group& group) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned start = state.evaluated;
    double value = 0.0;
    unsigned at = NONE;
    for (unsigned i = lane; i < state.asked; i += WARP_LANES) {
        const double sum = static_cast<double>(store.values[start + i]);
        const double negated = -(sum * group.unit / static_cast<double>(group.members));
        store.values[start + i] = __double_as_longlong(negated);
        if (at == NONE || negated < value) {
            value = negated;
            at = i;
        }
    }
#pragma unroll
    for (unsigned width = WARP_LANES / 2; width > 0; width /= 2) {
        const double other = __shfl_xor_sync(ALL_LANES, value, width);
        const unsigned other_at = __shfl_xor_sync(ALL_LANES, at, width);
        // The earliest of equals. NONE is the largest number.
        const bool before = other < value || (other == value && other_at < at);
        if (other_at != NONE && (at == NONE || before)) {
            value = other;
            at = other_at;
        }
    }
    if (lane == 0 && (state.best == NONE || value < state.best_value)) {
        state.best = start + at;
        state.best_value = value;
    }
}

// Cuts the rectangles of the round: depths and ages of all concerned. Lanes over divisions.
TRISECT_DEVICE void cut(const State& state, const Store& store) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned i = lane; i < state.planned; i += WARP_LANES) {
        const Division division = store.divisions[i];
        const unsigned child = division.child;
        const unsigned axes = division.from_axes >> AXES_SHIFT;
        // In order of entry into a class: an age per rectangle, the divided one last.
        const unsigned age = state.age + 5 * i;
        unsigned depths = store.marks[division.rect].x & ~OUT;
        if (axes == 3) {
            const double plus = store.value(child);
            const double minus = store.value(child + 1);
            const double high = minus < plus ? minus : plus;
            const double other_plus = store.value(child + 2);
            const double other_minus = store.value(child + 3);
            const double low = other_minus < other_plus ? other_minus : other_plus;
            // The side with the better pair is cut first: its children keep the other one whole.
            const unsigned first = high > low ? 1 : 0;
            depths += 1u << first * DEPTH_BITS;
            store.marks[child + 2 * first] = make_uint2(depths, age + 2 * first + 1);
            store.marks[child + 2 * first + 1] = make_uint2(depths, age + 2 * first + 2);
            const unsigned second = 1 - first;
            depths += 1u << second * DEPTH_BITS;
            store.marks[child + 2 * second] = make_uint2(depths, age + 2 * second + 1);
            store.marks[child + 2 * second + 1] = make_uint2(depths, age + 2 * second + 2);
        } else {
            depths += 1u << (axes >> 1) * DEPTH_BITS;
            store.marks[child] = make_uint2(depths, age + 1);
            store.marks[child + 1] = make_uint2(depths, age + 2);
        }
        store.marks[division.rect] = make_uint2(depths, age + 5);
    }
}

// Whether a tie may be broken in favour of the newer rectangle, see `enter_pair`; then the order of
// entry matters. Lanes over pairs. May say yes where there is none.
TRISECT_DEVICE bool order_matters(const State& state, const Store& store, unsigned flags) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned first = state.evaluated == 0 ? 1 : state.evaluated;
    const unsigned end = state.evaluated + state.asked;
    bool tied = false;
    for (unsigned plus = first + 2 * lane; plus < end; plus += 2 * WARP_LANES) {
        const double m = store.value(plus + 1);
        if (!(store.value(plus) < m)) {
            continue;
        }
        // The head may be what was there, what is divided in this round, or what is new.
        const unsigned level = level_of(flags, store.marks[plus].x);
        tied |= store.head[level] != NONE && store.head_value[level] == m;
#pragma unroll 1
        for (unsigned i = 0; i < state.planned; ++i) {
            tied |= store.value(store.divisions[i].rect) == m;
        }
#pragma unroll 1
        for (unsigned other = first; other < end; ++other) {
            tied |= other != plus + 1 && store.value(other) == m;
        }
    }
    return __any_sync(ALL_LANES, tied);
}

// Puts what was cut into the classes where the order of entry does not matter. Lanes over classes.
TRISECT_DEVICE void enter_unordered(State& state, const Store& store, const Task& task) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned first = state.evaluated == 0 ? 1 : state.evaluated;
    const unsigned end = state.evaluated + state.asked;
    // A division makes two new classes at most.
    const unsigned known = state.classes + 3;
    const unsigned classes = known < task.classes ? known : task.classes;
    unsigned used = state.classes;
    for (unsigned chunk = 0; chunk < classes; chunk += WARP_LANES) {
        const unsigned level = chunk + lane;
        bool entered = false;
        if (level < classes) {
            auto enter = [&](unsigned rect) {
                const uint2 mark = store.marks[rect];
                if (level_of(task.flags, mark.x) == level) {
                    enter_class(store, level, rect, store.value(rect), static_cast<int>(mark.y));
                    entered = true;
                }
            };
#pragma unroll 1
            for (unsigned rect = first; rect < end; ++rect) {
                enter(rect);
            }
#pragma unroll 1
            for (unsigned i = 0; i < state.planned; ++i) {
                enter(store.divisions[i].rect);
            }
        }
        const unsigned votes = __ballot_sync(ALL_LANES, entered);
        const unsigned highest = chunk + WARP_LANES - __clz(static_cast<int>(votes));
        used = votes != 0 && highest > used ? highest : used;
    }
    if (lane == 0) {
        state.classes = used;
        state.age += 5 * state.planned;
    }
}

// Puts what was cut into the classes, in order. One lane.
TRISECT_DEVICE void enter_classes(State& state, const Store& store, unsigned flags) {
    for (unsigned i = state.planned; i-- > 0;) {
        const unsigned from = store.divisions[i].from_axes & FROM_MASK;
        store.divisions[i].next = store.pending[from];
        store.pending[from] = i;
    }
    for (unsigned i = 0; i < state.planned; ++i) {
        const Division division = store.divisions[i];
        store.pending[division.from_axes & FROM_MASK] = division.next;
        enter_pair(flags, store, division.child);
        if (division.from_axes >> AXES_SHIFT == 3) {
            enter_pair(flags, store, division.child + 2);
        }
        // The pair cut last and the rectangle itself are the smallest.
        const unsigned level = level_of(flags, store.marks[division.rect].x);
        enter_class(store, level, division.rect, store.value(division.rect),
                    store.age(division.rect));
        state.classes = level < state.classes ? state.classes : level + 1;
    }
    state.age += 5 * state.planned;
}

// Stop tests at the end of an iteration, in scipy's order. One lane.
TRISECT_DEVICE unsigned finish_iteration(State& state, const Store& store, const Task& task) {
    if (state.ending == SLOTS || state.ending == LEVELS) {
        return state.ending;
    }
    const double best = state.best_value;
    const unsigned depths = store.marks[state.best].x & ~OUT;
    if (task.volume_tolerance > 0.0 && third(task, cuts_of(depths)) <= task.volume_tolerance) {
        return VOLUME;
    }
    if (task.side_tolerance > 0.0 &&
        task.sizes[level_of(task.flags, depths)] <= task.side_tolerance) {
        return SIDE_LENGTH;
    }
    if ((task.flags & HAS_TARGET) != 0 &&
        (best - task.target) / task.target_unit <= task.target_tolerance) {
        return TARGET;
    }
    if ((task.flags & EPS_FOLLOWS) != 0) {
        const double share = 1e-4 * (best < 0.0 ? -best : best);
        state.eps = share > task.eps ? share : task.eps;
    }
    return state.evaluated >= task.enough ? EVALUATIONS : state.ending;
}

// --- the next round ---

// Takes the place of a slope: the candidate is none any more. Slopes are positive.
constexpr double DROPPED = -1.0;

TRISECT_DEVICE double infinite() {
    return __longlong_as_double(0x7ff0000000000000);
}

// Slope between two classes; see src/direct/select.rs.
TRISECT_DEVICE double slope(const Task& task, const Store& store, unsigned other, unsigned level) {
    return (store.head_value[other] - store.head_value[level]) /
           (task.sizes[other] - task.sizes[level]);
}

// Levels of the classes that may be on the hull; returns how many. All lanes do the same.
TRISECT_DEVICE unsigned list_candidates(const State& state, const Store& store, const Task& task,
                                        unsigned& heads) {
    const bool all = (task.flags & AGGRESSIVE) != 0 ||
                     ((task.flags & SCIPY) != 0 && task.sizes[state.classes - 1] == 0.0);
    unsigned count = 0;
    double lowest = infinite();
    heads = 0;
    for (unsigned level = 0; level < state.classes; ++level) {
        if (store.head[level] == NONE) {
            continue;
        }
        ++heads;
        const double value = store.head_value[level];
        if (all || value < lowest) {
            lowest = value;
            if (threadIdx.x == 0) {
                store.candidate[count] = level;
            }
            ++count;
        }
    }
    __syncwarp();
    return count;
}

// Decides which candidates are potentially optimal: those whose least slope is not DROPPED then.
// Lane j decides on candidate j, modulo the lanes.
TRISECT_DEVICE void find_hull(const State& state, const Store& store, const Task& task,
                              unsigned count) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned j = lane; j < count; j += WARP_LANES) {
        const unsigned level = store.candidate[j];
        double least = infinite();
        for (unsigned i = 0; i < j; ++i) {
            const double s = slope(task, store, store.candidate[i], level);
            if (s <= 0.0) {
                least = DROPPED;
                break;
            }
            least = s < least ? s : least;
        }
        store.least[j] = least;
        store.largest[j] = 0.0;
    }
    const double best = state.best_value;
    const double promised = best - state.eps * (best < 0.0 ? -best : best);
    const double threshold = promised < best ? promised : best;
    // From the smallest class on: who stays bounds the slopes of the larger ones.
    for (unsigned j = count; j-- > 0;) {
        bool keep = false;
        if (lane == j % WARP_LANES) {
            const unsigned level = store.candidate[j];
            const double least = store.least[j];
            const double largest = store.largest[j];
            if (least >= 0.0 && largest >= 0.0) {
                keep = largest <= least
                           ? !(store.head_value[level] - least * task.sizes[level] > threshold)
                           : (task.flags & SCIPY) != 0;
            }
            if (!keep) {
                store.least[j] = DROPPED;
            }
        }
        if (!__any_sync(ALL_LANES, keep)) {
            continue;
        }
        const unsigned level = store.candidate[j];
        for (unsigned i = lane; i < j; i += WARP_LANES) {
            const double s = slope(task, store, level, store.candidate[i]);
            const double largest = store.largest[i];
            if (largest >= 0.0) {
                store.largest[i] = s <= 0.0 ? DROPPED : s > largest ? s : largest;
            }
        }
    }
}

// Appends the members of the `count` chosen classes whose values tie with the class's best, in
// their order; returns the number of all. Classes stand in `divisions` in their order.
TRISECT_DEVICE unsigned add_ties(const State& state, const Store& store, const Task& task,
                                 unsigned count) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned i = lane; i < count; i += WARP_LANES) {
        store.chosen[level_of(task.flags, store.marks[store.divisions[i].rect].x)] = i;
    }
    __syncwarp();
    // Gathered in any order: by number, in `next`.
    unsigned ties = 0;
    for (unsigned first = 0; first < state.evaluated; first += WARP_LANES) {
        const unsigned rect = first + lane;
        bool tied = false;
        if (rect < state.evaluated) {
            const unsigned depths = store.marks[rect].x;
            const unsigned level = level_of(task.flags, depths);
            tied = (depths & OUT) == 0 && store.chosen[level] != NONE &&
                   rect != store.head[level] &&
                   store.value(rect) - store.head_value[level] <= TIE;
        }
        const unsigned votes = __ballot_sync(ALL_LANES, tied);
        if (tied) {
            const unsigned before = __popc(votes & ((1u << lane) - 1));
            store.divisions[count + ties + before].next = rect;
        }
        ties += __popc(votes);
    }
    __syncwarp();
    // Each finds its place: class, value, age.
    for (unsigned i = lane; i < ties; i += WARP_LANES) {
        const unsigned rect = store.divisions[count + i].next;
        const unsigned turn = store.chosen[level_of(task.flags, store.marks[rect].x)];
        const double value = store.value(rect);
        const int age = store.age(rect);
        unsigned at = count;
#pragma unroll 1
        for (unsigned k = 0; k < ties; ++k) {
            const unsigned other = store.divisions[count + k].next;
            const unsigned other_turn = store.chosen[level_of(task.flags, store.marks[other].x)];
            const double other_value = store.value(other);
            const bool earlier = other_value < value ||
                                 (other_value == value && store.age(other) < age);
            at += other_turn < turn || (other_turn == turn && earlier);
        }
        store.divisions[at].rect = rect;
    }
    __syncwarp();
    for (unsigned i = lane; i < count; i += WARP_LANES) {
        store.chosen[level_of(task.flags, store.marks[store.divisions[i].rect].x)] = NONE;
    }
    return count + ties;
}

// Lists the rectangles that the iteration wants to divide, in order; returns how many, or NONE when
// scipy's list is full.
TRISECT_DEVICE unsigned select(const State& state, const Store& store, const Task& task) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const bool aggressive = (task.flags & AGGRESSIVE) != 0;
    unsigned heads;
    const unsigned candidates = list_candidates(state, store, task, heads);
    if (!aggressive) {
        find_hull(state, store, task, candidates);
    }
    unsigned count = 0;
    for (unsigned first = 0; first < candidates; first += WARP_LANES) {
        const unsigned j = first + lane;
        const bool kept = j < candidates && (aggressive || store.least[j] != DROPPED);
        const unsigned votes = __ballot_sync(ALL_LANES, kept);
        if (kept) {
            const unsigned before = __popc(votes & ((1u << lane) - 1));
            store.divisions[count + before].rect = store.head[store.candidate[j]];
        }
        count += __popc(votes);
    }
    __syncwarp();
    if (aggressive || (task.flags & HALF_DIAGONAL) == 0) {
        return count;
    }
    const unsigned all = add_ties(state, store, task, count);
    if ((task.flags & SCIPY) != 0 && heads + (all - count) > SCIPY_MAX_DIVISIONS) {
        return NONE;
    }
    return all;
}

// Notes of each selected rectangle its class, its longest sides, and which of them can still be cut
// so that the new points differ from the centre. Lanes over rectangles.
TRISECT_DEVICE void inspect(const State& state, const Store& store, const Task& task,
                            unsigned selected) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned i = lane; i < selected; i += WARP_LANES) {
        const unsigned rect = store.divisions[i].rect;
        const unsigned depths = store.marks[rect].x;
        const unsigned depth = least_depth(depths);
        const double delta = third(task, depth + 1);
        unsigned longest = 0;
        unsigned moves = 0;
        for (unsigned axis = 0; axis < 2; ++axis) {
            if (depth_of(depths, axis) != depth) {
                continue;
            }
            const double c = store.centres[rect].x[axis];
            const double x = place(state, task.flags, axis, c);
            const bool moved = place(state, task.flags, axis, c + delta) != x ||
                               place(state, task.flags, axis, c - delta) != x;
            longest |= 1u << axis;
            moves |= static_cast<unsigned>(moved) << axis;
        }
        store.divisions[i].from_axes = level_of(task.flags, depths) | longest << AXES_SHIFT;
        store.divisions[i].next = moves;
    }
}

// Decides what is divided, until a division does not fit: retires what cannot be, numbers the
// children of the rest. One lane.
TRISECT_DEVICE void plan(State& state, const Store& store, const Task& task, unsigned selected) {
    unsigned planned = 0;
    for (unsigned i = 0; i < selected; ++i) {
        const Division division = store.divisions[i];
        const unsigned depths = store.marks[division.rect].x;
        const unsigned from = division.from_axes & FROM_MASK;
        unsigned axes = division.from_axes >> AXES_SHIFT;
        if (axes == 3 && (task.flags & ONE_LONGEST) != 0) {
            axes = state.cuts[1] < state.cuts[0] ? 2 : 1;
        }
        const unsigned sides = axes == 3 ? 2 : 1;
        const unsigned child = state.evaluated + state.asked;
        const bool scipy = (task.flags & SCIPY) != 0;
        if (scipy &&
            (from + 1 >= task.levels || least_depth(depths) + 1 >= SCIPY_MAX_DEPTH)) {
            state.ending = LEVELS;
            break;
        }
        if (child + 2 * sides > task.capacity) {
            state.ending = scipy ? SLOTS : EVALUATIONS;
            break;
        }
        const unsigned deepest = from + (task.flags & HALF_DIAGONAL ? sides : 1);
        if (deepest >= task.classes) {
            state.stop = OVERFLOW;
            break;
        }
        store.marks[division.rect].x = depths | OUT;
        if (store.head[from] == division.rect) {
            store.head[from] = NONE;
            store.dirty[state.dirty] = from;
            ++state.dirty;
        }
        if (!scipy && (division.next & axes) == 0) {
            continue;
        }
        if ((task.flags & ONE_LONGEST) != 0) {
            ++state.cuts[axes >> 1];
        }
        store.divisions[planned] = {division.rect, child, from | axes << AXES_SHIFT, NONE};
        ++planned;
        state.asked += 2 * sides;
    }
    state.planned = planned;
}

// Centres and candidates of the round's children. Lanes over divisions.
TRISECT_DEVICE void ask(const State& state, const Store& store, const Task& task) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned i = lane; i < state.planned; i += WARP_LANES) {
        const Division division = store.divisions[i];
        const Centre parent = store.centres[division.rect];
        const double delta = third(task, least_depth(store.marks[division.rect].x) + 1);
        const unsigned axes = division.from_axes >> AXES_SHIFT;
        unsigned child = division.child;
        for (unsigned axis = 0; axis < 2; ++axis) {
            if ((axes >> axis & 1) == 0) {
                continue;
            }
            for (unsigned side = 0; side < 2; ++side) {
                const double step = side == 0 ? delta : -delta;
                Centre centre;
                centre.x[0] = axis == 0 ? parent.x[0] + step : parent.x[0];
                centre.x[1] = axis == 1 ? parent.x[1] + step : parent.x[1];
                store.centres[child] = centre;
                store.values[child] = 0;
                store.marks[child] = candidate_of(state, task.flags, centre);
                ++child;
            }
        }
    }
}

// The centre and the first division. All lanes for the classes, one for the rest.
TRISECT_DEVICE void begin(State& state, const Store& store, const Task& task) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned level = lane; level < task.classes; level += WARP_LANES) {
        store.head[level] = NONE;
        store.pending[level] = NONE;
        store.chosen[level] = NONE;
    }
    if (lane != 0) {
        return;
    }
    state.axes[0] = task.axes[0];
    state.axes[1] = task.axes[1];
    state.eps = task.eps;
    state.best_value = 0.0;
    state.best = NONE;
    state.evaluated = 0;
    state.asked = 1;
    state.planned = 0;
    state.dirty = 0;
    state.classes = 0;
    state.iteration = 1;
    state.rounds = 0;
    state.age = 0;
    state.cuts[0] = 0;
    state.cuts[1] = 0;
    state.ending = RUNNING;
    state.stop = RUNNING;
    state.again = 0;
    store.centres[0].x[0] = 0.5;
    store.centres[0].x[1] = 0.5;
    store.values[0] = 0;
    store.marks[0] = make_uint2(0, 0);
    store.divisions[0].rect = 0;
    // Work of lanes over one rectangle is that of lane 0.
    inspect(state, store, task, 1);
    plan(state, store, task, 1);
    if (state.planned == 0 && state.ending == RUNNING) {
        state.ending = NO_PROGRESS;
    }
    ask(state, store, task);
    store.marks[0] = candidate_of(state, task.flags, store.centres[0]);
}

// Takes the round's values, unless there is none, and plans the next round or ends the search.
TRISECT_DEVICE void advance(State& state, const Store& store, const Task& task,
                            const Group& group) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    if (state.again == 0) {
        take_values(state, store, group);
        if (lane == 0 && state.evaluated == 0) {
            store.marks[0] = make_uint2(0, 0);
        }
        // Not for the shuffles' sake: they order no memory.
        __syncwarp();
        cut(state, store);
        __syncwarp();
        // PERF: one lane after the other takes a third of all instructions of a search.
        const bool ordered = order_matters(state, store, task.flags);
        if (!ordered) {
            enter_unordered(state, store, task);
        }
        if (lane == 0) {
            const bool first = state.evaluated == 0;
            if (ordered) {
                enter_classes(state, store, task.flags);
            }
            state.evaluated += state.asked;
            state.asked = 0;
            ++state.rounds;
            if (!first) {
                state.stop = finish_iteration(state, store, task);
            } else if (state.ending != RUNNING) {
                // Then there was no division.
                --state.iteration;
                state.stop = state.ending;
            }
            if (state.stop == RUNNING) {
                ++state.iteration;
                if (task.max_iterations != 0 && state.iteration >= task.max_iterations) {
                    state.stop = ITERATIONS;
                }
            }
        }
        __syncwarp();
        if (state.stop != RUNNING) {
            return;
        }
    }
    const unsigned selected = select(state, store, task);
    if (selected != NONE) {
        inspect(state, store, task, selected);
    }
    __syncwarp();
    if (lane == 0) {
        state.dirty = 0;
        state.again = 0;
        state.planned = 0;
        if (selected == NONE) {
            state.stop = LEVELS;
        } else if (selected == 0) {
            --state.iteration;
            state.stop = NO_PROGRESS;
        } else {
            plan(state, store, task, selected);
        }
        if (state.stop == RUNNING && state.planned == 0) {
            if (state.ending == EVALUATIONS) {
                --state.iteration;
            }
            state.stop = state.ending;
            state.again = 1;
        }
    }
    __syncwarp();
    ask(state, store, task);
}

// --- whole searches ---

// What became of a search, to the host. One thread.
TRISECT_DEVICE void report(const Task& task, const State& state, const Store& store,
                           const Group& group, unsigned rule) {
    Found found;
    found.high = 0.0;
    found.low = 0.0;
    found.value = state.best_value;
    if (state.best != NONE) {
        const Centre centre = store.centres[state.best];
        found.high = place(state, task.flags, 0, centre.x[0]);
        found.low = place(state, task.flags, 1, centre.x[1]);
    }
    found.evaluations = state.evaluated;
    found.iterations = state.iteration;
    found.rounds = state.rounds;
    found.stop = state.stop;
    task.found[size_t{rule} * task.all_groups + group.index] = found;
}

template <class Legs>
TRISECT_DEVICE void search(const Task& task) {
    DYNAMIC_SHARED(unsigned char, memory);
    State& state = *reinterpret_cast<State*>(memory);
    const Group& group = task.groups[blockIdx.x];
    const size_t block = size_t{blockIdx.y} * gridDim.x + blockIdx.x;
    const Layout layout(task, memory, task.scratch + block * task.scratch_bytes);
    const Store& store = layout.store;
    const bool at_close = (task.at_close >> blockIdx.y & 1) != 0;
    const unsigned warp = threadIdx.x / WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    if ((task.flags & LEGS_STAGED) != 0) {
        if (at_close) {
            stage_legs<Legs, true>(task, group, layout.legs);
        } else {
            stage_legs<Legs, false>(task, group, layout.legs);
        }
    }
    if (warp == 0) {
        begin(state, store, task);
    }
    for (;;) {
        __syncthreads();
        if (state.stop != RUNNING) {
            break;
        }
        const unsigned evaluated = state.evaluated;
        const unsigned asked = state.asked;
        if (asked > 0) {
            if (at_close) {
                score<Legs, true>(task, group, layout, evaluated, asked);
            } else {
                score<Legs, false>(task, group, layout, evaluated, asked);
            }
        }
        // The last warps have the fewest points.
        for (unsigned i = warps - 1 - warp; i < state.dirty; i += warps) {
            find_head(task.flags, store, evaluated, store.dirty[i]);
        }
        __syncthreads();
        if (warp == 0) {
            advance(state, store, task, group);
        }
    }
    if (threadIdx.x == 0) {
        report(task, state, store, group, blockIdx.y);
    }
}

// --- one search by many blocks ---

// Shows the other blocks that the board has the points of a round. All threads of block 0.
TRISECT_DEVICE void release(Board& board, unsigned round, unsigned points) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicExch(&board.released, static_cast<unsigned long long>(round) << 32 | points);
    }
}

// Waits for that; returns how many. One thread of another block.
TRISECT_DEVICE unsigned await_release(const Board& board, unsigned round) {
    unsigned long long released = load_relaxed(&board.released);
    while (released >> 32 != round) {
        __nanosleep(20);
        released = load_relaxed(&board.released);
    }
    __threadfence();
    return static_cast<unsigned>(released);
}

// Tells block 0 that this block has added its sums. All threads of another block.
TRISECT_DEVICE void arrive(Board& board) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(&board.arrived, 1u);
    }
}

// Waits until the other blocks have, for as many rounds. All threads of block 0.
TRISECT_DEVICE void await_arrivals(const Board& board, unsigned rounds) {
    if (threadIdx.x == 0) {
        while (load_relaxed(&board.arrived) != rounds * (gridDim.x - 1)) {
            __nanosleep(20);
        }
        __threadfence();
    }
    __syncthreads();
}

TRISECT_DEVICE void copy(float4* to, const float4* from, size_t bytes) {
    for (size_t i = threadIdx.x; i < bytes / sizeof(float4); i += blockDim.x) {
        to[i] = from[i];
    }
}

// Scores points over the part of a block and adds the sums to those of the other blocks. Within the
// block they meet in shared memory: atomics of all warps on a few words of the same line would take
// longer than the legs.
template <class Legs>
TRISECT_DEVICE void score_part(const Task& task, const Group& part, const Layout& layout,
                               long long* local, uint2* candidates, long long* sums,
                               unsigned points, bool at_close) {
    Layout of_points = layout;
    of_points.store.values = local;
    for (unsigned start = 0; start < points; start += WIDE_POINTS) {
        const unsigned count = points - start < WIDE_POINTS ? points - start : WIDE_POINTS;
        of_points.store.marks = candidates + start;
        for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
            local[i] = 0;
        }
        __syncthreads();
        if (at_close) {
            score<Legs, true>(task, part, of_points, 0, count);
        } else {
            score<Legs, false>(task, part, of_points, 0, count);
        }
        __syncthreads();
        // Each thread clears for the next points what it has read itself.
        for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
            atomicAdd(reinterpret_cast<unsigned long long*>(sums + start + i),
                      static_cast<unsigned long long>(local[i]));
        }
    }
}

template <class Legs>
TRISECT_DEVICE void search_wide(const Task& task) {
    DYNAMIC_SHARED(unsigned char, memory);
    long long* const local = reinterpret_cast<long long*>(memory);
    State& state = *reinterpret_cast<State*>(memory + WIDE_BYTES);
    const Group& group = task.groups[blockIdx.y];
    const Group& part = task.parts[size_t{blockIdx.y} * gridDim.x + blockIdx.x];
    const size_t search = size_t{blockIdx.z} * gridDim.y + blockIdx.y;
    Board& board = task.boards[search];
    const Layout layout(task, memory + WIDE_BYTES, task.scratch + search * task.scratch_bytes);
    const Store& store = layout.store;
    uint2* const candidates = reinterpret_cast<uint2*>(layout.rest);
    long long* const sums = reinterpret_cast<long long*>(candidates + task.capacity);
    float4* const saved = reinterpret_cast<float4*>(sums + task.capacity);
    float4* const kept = reinterpret_cast<float4*>(memory + WIDE_BYTES);
    const size_t kept_bytes = reinterpret_cast<unsigned char*>(layout.legs) - (memory + WIDE_BYTES);
    const bool at_close = (task.at_close >> blockIdx.z & 1) != 0;
    const bool leads = blockIdx.x == 0;
    const unsigned warp = threadIdx.x / WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    if ((task.flags & LEGS_STAGED) != 0) {
        if (at_close) {
            stage_legs<Legs, true>(task, part, layout.legs);
        } else {
            stage_legs<Legs, false>(task, part, layout.legs);
        }
    }
    unsigned before = 0;
    if (leads) {
        if ((task.flags & RESUMED) != 0) {
            copy(kept, saved, kept_bytes);
        } else if (warp == 0) {
            begin(state, store, task);
        }
        __syncthreads();
        before = state.evaluated;
    }
    for (unsigned round = 1;; ++round) {
        unsigned points;
        if (leads) {
            const bool pauses = state.evaluated - before >= task.pause_after;
            points = state.stop != RUNNING || pauses ? 0 : state.asked;
            for (unsigned i = threadIdx.x; i < points; i += blockDim.x) {
                candidates[i] = store.marks[state.evaluated + i];
                sums[i] = 0;
            }
            release(board, round, points);
        } else {
            // Nobody needs the last number any more: all have met since.
            if (threadIdx.x == 0) {
                state.asked = await_release(board, round);
            }
            __syncthreads();
            points = state.asked;
        }
        if (points == 0) {
            break;
        }
        score_part<Legs>(task, part, layout, local, candidates, sums, points, at_close);
        if (!leads) {
            arrive(board);
            continue;
        }
        for (unsigned i = warp; i < state.dirty; i += warps) {
            find_head(task.flags, store, state.evaluated, store.dirty[i]);
        }
        await_arrivals(board, round);
        if (warp == 0) {
            // Each lane brings what it takes in `take_values`: no barrier between the two.
            for (unsigned i = threadIdx.x; i < points; i += WARP_LANES) {
                store.values[state.evaluated + i] = sums[i];
            }
        }
        for (;;) {
            if (warp == 0) {
                advance(state, store, task, group);
            }
            __syncthreads();
            if (state.stop != RUNNING || state.asked > 0) {
                break;
            }
            // All that was selected is retired: the iteration goes on without points.
            for (unsigned i = warp; i < state.dirty; i += warps) {
                find_head(task.flags, store, state.evaluated, store.dirty[i]);
            }
            __syncthreads();
        }
    }
    if (leads) {
        if (task.pause_after < task.capacity) {
            copy(saved, kept, kept_bytes);
        }
        // Of a search that pauses, too: there may be no further launch.
        if (threadIdx.x == 0) {
            report(task, state, store, group, blockIdx.z);
        }
    }
}

}  // namespace direct

// --- entry points ---

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_f32(const direct::Task task) {
    direct::search<StoredLegs>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_f16(const direct::Task task) {
    direct::search<HalfBars<F16>>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_bf16(const direct::Task task) {
    direct::search<HalfBars<Bf16>>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_f32(const direct::Task task) {
    direct::search_wide<StoredLegs>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_f16(const direct::Task task) {
    direct::search_wide<HalfBars<F16>>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_bf16(const direct::Task task) {
    direct::search_wide<HalfBars<Bf16>>(task);
}
