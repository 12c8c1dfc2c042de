// Whole DIRECT searches in one launch: one block per group and exit rule, or many blocks for a large
// group.
//
// Purpose. A round of a search is a few microseconds of work; with the host between rounds, waiting
// for it is most of the time. Here nothing returns to the host before the search has ended. The
// evaluations, their order and the result are those of `Direct` in src/direct.rs, to the bit: that
// file is the specification, and the names are its names.
//
// Entry points. direct_{f32, f16, bf16}(Task): storage of the legs. direct_wide_{f32, f16, bf16}(Task):
// many blocks per search; a cooperative launch. direct_spilled_*(Task), direct_wide_spilled_*(Task): the
// same where rectangles or classes do not fit into shared memory. direct_compact_*(Task): searches for
// one simulation each, of few rectangles, in less shared memory: more of them run at once.
//
// Shapes. Legs as in legs.cuh; spans (slots); members (simulations) of (slot, place of its first leg
// in shared memory), group by group; groups (groups); thirds (THIRDS) of 3^-depth; sizes (classes);
// found (rules, all groups).
//
// Thread mapping. Block (x, y) searches group x of the launch under exit rule y. It alternates
// between two phases, with a barrier after each:
//
//   advance   Warp 0 takes the values of the round, cuts its rectangles, tests for an end, selects
//             and plans the next round. Lanes go over points, rectangles, children, classes, pairs of
//             classes; where one thing depends on the other in order, which is seldom, lane 0 does it.
//             This is most of the time of a search, so it is cut to few instructions: each waits for
//             the one before.
//   work      All warps score the points, lanes over legs, up to 4 points per warp at a time. Then
//             they find the best of each class that has lost its best, a warp per class.
//
// Wide searches. Blocks (0, y, z) to (gridDim.x - 1, y, z) search group y of the launch under exit rule
// z. Block 0 does the above. The others know nothing of rectangles: block 0 posts the candidates of a
// round on a board in global memory, all blocks score them over their parts of the members, the
// others answer with their sums, and block 0 adds these up. Each word of a board carries the tag of
// its exchange, one more each time, so that whoever waits for a word sees that it has come, and
// nobody waits for a fence or counts arrivals. Block 0 posts again only when all have answered, and
// who answers has read the post: no word is overwritten before it is read. A cooperative launch,
// because blocks that wait for each other must all be on the device; not a graph, because a graph of
// the rounds would have to know their number, and would launch twice per round instead of waiting
// once.
//
// A wide search can be cut: after `pause_after` evaluations block 0 saves its shared memory behind
// what is spilled, and a launch with RESUMED goes on there. Whoever waits for the device gets it in
// between.
//
// Memory. Values and depths of rectangles lie in shared memory, or in `scratch` where the host's plan
// says so; so do the classes; centres, which are read once per division, lie in `scratch`; legs are
// staged in shared memory or read where they are. A rectangle that is asked but not cut yet keeps its
// candidate where its depths and age will be. In a compact search a rectangle is one word of 64 bits:
// the profit of one simulation is an f32, and what fixed point leaves of it has no more digits.
//
// Order within a class: by (value, age), the age as in src/direct/classes.rs. There classes are
// heaps. Here they are no structure at all: only their best is known, and a class that loses it is
// searched through, by lanes that would wait otherwise.
//
// Preconditions. blockDim.x is a multiple of 32 and at most MAX_THREADS, or MAX_WIDE_THREADS. No word
// of a board has a tag of the launch when it begins. Dynamic shared memory holds what `Layout` says.
// Two axes. 1 <= capacity <= 2^17, for depths have 15 bits and take four evaluations each. The rest as
// in evaluate.cu.
//
// Determinism. Profits have the canonical order of summation, sums are integers, and the bookkeeping
// is f64 without contraction, with ties broken by age. No number of threads shows.
#include "legs.cuh"

namespace direct {

// --- what the host must know ---

// Threads per block at most: registers are allotted for four such blocks per multiprocessor, for
// three where something is spilled, for addresses then take twice as many.
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

// Rectangles of a compact search at most, and their bytes, which leave what follows aligned.
constexpr unsigned MOST_COMPACT_RECTANGLES = 1600;
TRISECT_DEVICE constexpr unsigned compact_bytes(unsigned capacity) {
    return 16 * ((capacity + 1) / 2);
}

// Bytes of memory per block, class, rectangle, planned division and staged leg.
constexpr unsigned STATE_BYTES = 144;
constexpr unsigned CLASS_BYTES = 48;
constexpr unsigned RECTANGLE_BYTES = 16;
constexpr unsigned DIVISION_BYTES = 16;
constexpr unsigned LEG_BYTES = 24;
// And per staged member.
constexpr unsigned MEMBER_BYTES = 16;
// Bytes of scratch per rectangle, for its centre: nothing is read less often.
constexpr unsigned CENTRE_BYTES = 16;

// Wide searches: points that are scored at a time, bytes of shared memory for them (candidates and
// sums), and words of a board: what block 0 posts, POSTS times the same, and the answers of each block.
constexpr unsigned WIDE_POINTS = 256;
constexpr unsigned WIDE_BYTES = 16 * WIDE_POINTS;
constexpr unsigned POSTS = 8;
constexpr unsigned POST_WORDS = 2 * WIDE_POINTS + 16;
constexpr unsigned POSTED_WORDS = POSTS * POST_WORDS;
constexpr unsigned ANSWER_WORDS = 2 * WIDE_POINTS;

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
    // Wide searches: a board for each, POSTED_WORDS and ANSWER_WORDS per block. What is there has an
    // earlier tag.
    unsigned long long* boards;
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
    // Wide searches: the first tag of the launch; `capacity` + 2 follow.
    unsigned first_tag;
    // Members that there is room for where legs are staged.
    unsigned places;
    unsigned padding;
};

static_assert(sizeof(Group) == 32 && sizeof(Found) == 40, "the host writes or reads these bytes");
static_assert(sizeof(Task) == 264, "the host writes these bytes");

// --- the state of a search ---

constexpr unsigned NONE = 0xffffffffu;

// Bit of the depths of a rectangle that is in no class: retired, or about to be cut.
constexpr unsigned OUT = 0x80000000u;
constexpr unsigned DEPTH_BITS = 15;
constexpr unsigned DEPTH_MASK = (1u << DEPTH_BITS) - 1;

// A compact search has depths and age of a rectangle in one word: depths below 2^9 where they always
// are, and the age + 2^12 in the bits above each of them, so that ages without the depths have their
// order.
constexpr unsigned COMPACT_DEPTHS = OUT | 0x1ffu << DEPTH_BITS | 0x1ffu;
constexpr unsigned COMPACT_AGES = ~COMPACT_DEPTHS;
constexpr unsigned COMPACT_AGE_OFFSET = 1u << 12;
// A depth takes four evaluations, and a division of at least two takes five ages.
static_assert(MOST_COMPACT_RECTANGLES / 4 < 0x1ff, "");
static_assert(MOST_COMPACT_RECTANGLES / 2 * 5 < COMPACT_AGE_OFFSET, "");

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
    // Wide searches: evaluations at which the launch ends.
    unsigned pause;
    unsigned padding;
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

// The best of a class.
struct alignas(16) Head {
    double value;
    // NONE: the class is empty.
    unsigned rect;
    int age;
};

template <bool Compact>
struct ValueOf {
    using Type = double;
};

// The profit of one simulation is an f32, and its rounding to fixed point has no more digits.
template <>
struct ValueOf<true> {
    using Type = float;
};

// What is known of a rectangle with a value.
template <bool Compact>
struct Rectangle {
    typename ValueOf<Compact>::Type value;
    unsigned depths;
    // Of a compact search, a number that has its order.
    int age;
};

// Arrays of the block, in shared memory or in its scratch. Compact: of groups of one simulation and
// few rectangles, in half the memory, so that more searches share a multiprocessor.
template <bool Compact>
struct Store {
    // (classes), by level. Sizes are kept here because a selection reads them again and again.
    Head* heads;
    double* sizes;
    // (classes), scratch of a selection: slopes of the candidates, or of few their values and sizes.
    double* slopes;
    double* largest;
    // (classes), NONE in between. While a round enters its classes: first division of the class that
    // is not done yet; while ties are gathered: place of the class among those chosen.
    unsigned* turn;
    // (classes), scratch of a selection: levels of the candidates. Afterwards: levels of the classes
    // that have lost their best.
    unsigned* levels;

    // (capacity)
    Centre* centres;
    // The value, or the fixed-point sum until it is complete; none in a compact search.
    long long* values;
    // (depths, age), or the candidate until the rectangle has a value. Compact: the candidate, then
    // the sum, then (value, depths and age).
    uint2* marks;

    // (divisions)
    Division* divisions;

    TRISECT_DEVICE Rectangle<Compact> get(unsigned rect) const {
        const uint2 mark = marks[rect];
        if constexpr (Compact) {
            return {__uint_as_float(mark.x), mark.y & COMPACT_DEPTHS,
                    static_cast<int>(mark.y & COMPACT_AGES)};
        } else {
            return {__longlong_as_double(values[rect]), mark.x, static_cast<int>(mark.y)};
        }
    }

    TRISECT_DEVICE double value(unsigned rect) const {
        if constexpr (Compact) {
            return __uint_as_float(marks[rect].x);
        } else {
            return __longlong_as_double(values[rect]);
        }
    }

    TRISECT_DEVICE unsigned depths(unsigned rect) const {
        return Compact ? marks[rect].y & COMPACT_DEPTHS : marks[rect].x;
    }

    TRISECT_DEVICE int age(unsigned rect) const {
        return static_cast<int>(Compact ? marks[rect].y & COMPACT_AGES : marks[rect].y);
    }

    // The fixed-point sum of a rectangle without a value yet.
    TRISECT_DEVICE long long sum(unsigned rect) const {
        if constexpr (Compact) {
            const uint2 words = marks[rect];
            return static_cast<long long>(static_cast<unsigned long long>(words.y) << 32 | words.x);
        } else {
            return values[rect];
        }
    }

    // Makes room for a rectangle that is asked.
    TRISECT_DEVICE void ask(unsigned rect, uint2 candidate) const {
        if constexpr (!Compact) {
            values[rect] = 0;
        }
        marks[rect] = candidate;
    }

    TRISECT_DEVICE void set_value(unsigned rect, double value) const {
        if constexpr (Compact) {
            marks[rect].x = __float_as_uint(static_cast<float>(value));
        } else {
            values[rect] = __double_as_longlong(value);
        }
    }

    TRISECT_DEVICE void set_depths(unsigned rect, unsigned depths, int age) const {
        if constexpr (Compact) {
            const unsigned places = static_cast<unsigned>(age) + COMPACT_AGE_OFFSET;
            marks[rect].y = depths | (places & 0x3f) << 9 | places >> 6 << 24;
        } else {
            marks[rect] = make_uint2(depths, static_cast<unsigned>(age));
        }
    }

    // As if it had come before all others. Of a rectangle that came last.
    TRISECT_DEVICE void negate_age(unsigned rect) const {
        if constexpr (Compact) {
            const unsigned mark = marks[rect].y;
            const unsigned places = (mark >> 9 & 0x3f) | (mark >> 24 & 0x7f) << 6;
            set_depths(rect, mark & COMPACT_DEPTHS,
                       static_cast<int>(COMPACT_AGE_OFFSET - places));
        } else {
            marks[rect].y = 0u - marks[rect].y;
        }
    }

    TRISECT_DEVICE void take_out(unsigned rect) const {
        if constexpr (Compact) {
            marks[rect].y |= OUT;
        } else {
            marks[rect].x |= OUT;
        }
    }
};

// Where everything lies. PERF: where nothing is spilled the compiler knows all of it to be shared
// memory, whose addresses are half as long.
template <bool Spilled, bool Compact = false>
struct Layout {
    Store<Compact> store;
    // Places of the members in `legs`, and how many legs; staged.
    uint4* members;
    float4* legs;
    // Behind what is spilled.
    unsigned char* rest;

    TRISECT_DEVICE Layout(const Task& task, unsigned char* shared, unsigned char* scratch) {
        const bool classes_spilled = Spilled && (task.flags & CLASSES_SPILLED) != 0;
        const bool rectangles_spilled = Spilled && (task.flags & RECTANGLES_SPILLED) != 0;
        shared += STATE_BYTES;
        const unsigned classes = task.classes;
        unsigned char* at = classes_spilled ? scratch : shared;
        store.heads = reinterpret_cast<Head*>(at);
        store.sizes = reinterpret_cast<double*>(store.heads + classes);
        store.slopes = store.sizes + classes;
        store.largest = store.slopes + classes;
        store.turn = reinterpret_cast<unsigned*>(store.largest + classes);
        store.levels = store.turn + classes;
        scratch += classes_spilled ? CLASS_BYTES * classes : 0;
        shared += classes_spilled ? 0 : CLASS_BYTES * classes;

        const unsigned capacity = task.capacity;
        store.centres = reinterpret_cast<Centre*>(scratch);
        scratch += CENTRE_BYTES * capacity;
        at = rectangles_spilled ? scratch : shared;
        // An odd capacity must not leave the divisions unaligned: they come first.
        store.divisions = reinterpret_cast<Division*>(at);
        store.values = reinterpret_cast<long long*>(store.divisions + task.divisions);
        store.marks = reinterpret_cast<uint2*>(store.values + (Compact ? 0 : capacity));
        const unsigned bytes =
            (Compact ? compact_bytes(capacity) : RECTANGLE_BYTES * capacity) +
            DIVISION_BYTES * task.divisions;
        scratch += rectangles_spilled ? bytes : 0;
        shared += rectangles_spilled ? 0 : bytes;
        members = reinterpret_cast<uint4*>(shared);
        legs = reinterpret_cast<float4*>(members + task.places);
        rest = scratch;
    }
};

// --- scoring ---

// The candidates of a round, and the places of their sums.
struct SeparatePoints {
    static constexpr bool OF_ONE_MEMBER = false;
    const uint2* candidates;
    long long* sums;

    TRISECT_DEVICE uint2 candidate(unsigned point) const { return candidates[point]; }

    TRISECT_DEVICE void put(unsigned point, long long sum) const { sums[point] = sum; }

    TRISECT_DEVICE void add(unsigned point, long long sum) const {
        add_by_words(sums + point, sum);
    }
};

// The same in the same places, of a group of one member: sums are not added to.
struct CompactPoints {
    static constexpr bool OF_ONE_MEMBER = true;
    uint2* marks;

    TRISECT_DEVICE uint2 candidate(unsigned point) const { return marks[point]; }

    TRISECT_DEVICE void put(unsigned point, long long sum) const {
        marks[point] = make_uint2(static_cast<unsigned>(sum), static_cast<unsigned>(sum >> 32));
    }

    TRISECT_DEVICE void add(unsigned point, long long sum) const { put(point, sum); }
};

// The candidates of one warp, in registers; who has none works along with the last one.
template <unsigned N>
struct Candidates {
    float high[N];
    float low[N];

    template <class Points>
    TRISECT_DEVICE Candidates(const Points& points, unsigned first, unsigned count) {
#pragma unroll
        for (unsigned k = 0; k < N; ++k) {
            const uint2 pair = points.candidate(first + k < count ? first + k : count - 1);
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

// Where the legs of a member are.
struct Member {
    unsigned first;
    unsigned longs;
    unsigned shorts;
};

// Legs in shared memory.
template <bool AtClose>
struct StagedLegs {
    Stage<AtClose> stage;
    const uint4* members;

    TRISECT_DEVICE Member member(const Task&, const Group&, unsigned member) const {
        const uint4 staged = members[member];
        return {staged.x, staged.y, staged.z};
    }

    template <bool Short>
    TRISECT_DEVICE Leg get(const Task&, unsigned leg) const {
        return stage.template get<Short>(leg);
    }
};

// Legs where the host put them.
template <class Legs>
struct FarLegs {
    TRISECT_DEVICE Member member(const Task& task, const Group& group, unsigned member) const {
        const Span span = task.spans[task.members[group.first + member].x];
        return {span.first, span.longs, span.shorts};
    }

    template <bool Short>
    TRISECT_DEVICE Leg get(const Task& task, unsigned leg) const {
        return Legs::template load<Short>(task, leg);
    }
};

// N points from `first` on, over every `shares`th member from `start` on. One warp.
template <unsigned N, bool AtClose, class Points, class Source>
TRISECT_DEVICE void score_some(const Task& task, const Group& group, const Points& points,
                               unsigned asked, unsigned first, unsigned start, unsigned shares,
                               FeeBounds bounds, const Source& source) {
    // The lanes that hold the same result; the first of them stores it.
    constexpr unsigned COPIES = WARP_LANES / N;
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned members = Points::OF_ONE_MEMBER ? 1 : group.members;
    const Candidates<N> candidates(points, first, asked);
    long long total = 0;
    unsigned mine = 0;
    for (unsigned at = start; at < members; at += shares) {
        const Member member = source.member(task, group, at);
        float sums[N] = {};
#pragma unroll 1
        for (unsigned leg = lane; leg < member.longs; leg += WARP_LANES) {
            const Leg loaded = source.template get<false>(task, member.first + leg);
            candidates.template add<Rule<false, AtClose, true>>(loaded, bounds, sums);
        }
#pragma unroll 1
        for (unsigned leg = lane; leg < member.shorts; leg += WARP_LANES) {
            const Leg loaded = source.template get<true>(task, member.first + member.longs + leg);
            candidates.template add<Rule<true, AtClose, true>>(loaded, bounds, sums);
        }
        mine = reduce_over_lanes<N>(sums, lane);
        total += __double2ll_rn(static_cast<double>(sums[0]) * group.scale);
    }
    if (Points::OF_ONE_MEMBER) {
        // All have read the candidates that the sums take the places of.
        __syncwarp();
    }
    if (lane % COPIES == 0 && first + mine < asked) {
        if (shares == 1) {
            points.put(first + mine, total);
        } else {
            points.add(first + mine, total);
        }
    }
}

// The points of a round, N at a time. Warps share the points and, where there are more warps than that
// makes, the members of the group; then sums are added to. One member at least.
template <unsigned N, bool AtClose, class Points, class Source>
TRISECT_DEVICE void score(const Task& task, const Group& group, const Points& points,
                          unsigned asked, const Source& source) {
    const FeeBounds bounds(task.fee);
    const unsigned warps = blockDim.x / WARP_LANES;
    const unsigned chunks = (asked + N - 1) / N;
    const unsigned members = Points::OF_ONE_MEMBER ? 1 : group.members;
    // PERF: divisions of integers are some twenty instructions each.
    unsigned shares = 1;
    if (members > 1 && chunks < warps) {
        shares = warps / chunks < members ? warps / chunks : members;
    }
    for (unsigned item = threadIdx.x / WARP_LANES; item < chunks * shares; item += warps) {
        const unsigned start = shares > 1 ? item / chunks : 0;
        const unsigned first = (item - start * chunks) * N;
        // PERF: a crowd has no warp to spare for points that are there twice.
        if (N == 4 && Points::OF_ONE_MEMBER && asked - first <= 2) {
            score_some<2, AtClose>(task, group, points, asked, first, start, shares, bounds,
                                   source);
        } else {
            score_some<N, AtClose>(task, group, points, asked, first, start, shares, bounds,
                                   source);
        }
    }
}

template <class Legs, bool AtClose, class Points, class Placed>
TRISECT_DEVICE void score(const Task& task, const Group& group, const Placed& layout,
                          const Points& points, unsigned asked) {
    if ((task.flags & LEGS_STAGED) == 0) {
        score<4, AtClose>(task, group, points, asked, FarLegs<Legs>{});
        return;
    }
    const StagedLegs<AtClose> staged = {Stage<AtClose>(layout.legs, group.legs), layout.members};
    // With many members there is work for all warps whatever a warp takes.
    const unsigned warps = blockDim.x / WARP_LANES;
    const unsigned members = Points::OF_ONE_MEMBER ? 1 : group.members;
    const unsigned items = asked * (members < warps ? members : warps);
    if (items > 2 * warps) {
        score<4, AtClose>(task, group, points, asked, staged);
    } else if (items > warps) {
        score<2, AtClose>(task, group, points, asked, staged);
    } else {
        score<1, AtClose>(task, group, points, asked, staged);
    }
}

// Brings the legs of the group into shared memory.
template <class Legs, bool AtClose, class Placed>
TRISECT_DEVICE void stage_legs(const Task& task, const Group& group, const Placed& layout) {
    const Stage<AtClose> stage(layout.legs, group.legs);
    for (unsigned member = 0; member < group.members; ++member) {
        const uint2 slot = task.members[group.first + member];
        const Span span = task.spans[slot.x];
        if (threadIdx.x == 0) {
            layout.members[member] = make_uint4(slot.y, span.longs, span.shorts, 0);
        }
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

// The candidate at a place in the box, rounded once.
TRISECT_DEVICE uint2 candidate_of(double high, double low) {
    return make_uint2(__float_as_uint(static_cast<float>(high)),
                      __float_as_uint(static_cast<float>(low)));
}

// --- the best of a class ---

// The lane whose (value, age) comes first, among those that take part; none: WARP_LANES. Ages differ.
TRISECT_DEVICE unsigned first_of_warp(bool takes_part, double value, int age) {
    // Ordered as unsigned numbers; + 0 turns -0 into 0.
    const long long bits = __double_as_longlong(value + 0.0);
    const unsigned long long flips = static_cast<unsigned long long>(bits >> 63) | 1ull << 63;
    const unsigned long long key = static_cast<unsigned long long>(bits) ^ flips;
    const unsigned high = static_cast<unsigned>(key >> 32);
    takes_part &= high == least_of_warp(takes_part ? high : NONE);
    const unsigned low = static_cast<unsigned>(key);
    takes_part &= low == least_of_warp(takes_part ? low : NONE);
    const unsigned turn = static_cast<unsigned>(age) ^ 0x80000000u;
    takes_part &= turn == least_of_warp(takes_part ? turn : NONE);
    const unsigned votes = __ballot_sync(ALL_LANES, takes_part);
    return votes == 0 ? WARP_LANES : static_cast<unsigned>(__ffs(static_cast<int>(votes))) - 1;
}

// Greatest number and age: what comes before nothing.
constexpr int LAST_AGE = 0x7fffffff;

TRISECT_DEVICE double infinite() {
    return __longlong_as_double(0x7ff0000000000000);
}

// The best among all rectangles of a class, by the lanes of a warp.
template <bool Compact>
TRISECT_DEVICE void find_head(unsigned flags, const Store<Compact>& store, unsigned rectangles,
                              unsigned level) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    // The depths that a rectangle of the class can have.
    const unsigned half = level / 2;
    const bool is_odd = level % 2 == 1;
    const bool by_diagonal = (flags & HALF_DIAGONAL) != 0;
    const unsigned least = by_diagonal ? half : level;
    const unsigned square = least << DEPTH_BITS | least;
    const unsigned tall = square + 1;
    const unsigned wide = square + (1u << DEPTH_BITS);
    const bool may_be_square = !(by_diagonal && is_odd);
    const bool may_be_longer = !by_diagonal || is_odd;
    const unsigned depths[3] = {may_be_square ? square : tall, may_be_longer ? tall : square,
                                may_be_longer ? wide : square};
    typename ValueOf<Compact>::Type value = infinite();
    int age = LAST_AGE;
    unsigned best = NONE;
    const auto take = [&](unsigned rect, const Rectangle<Compact>& other) {
        // PERF: without branches.
        const bool before =
            (other.value < value) | ((other.value == value) & (other.age < age));
        const bool is_of_class = (other.depths == depths[0]) | (other.depths == depths[1]) |
                                 (other.depths == depths[2]);
        const bool is_better = before & is_of_class;
        value = is_better ? other.value : value;
        age = is_better ? other.age : age;
        best = is_better ? rect : best;
    };
    // PERF: loads of several rectangles are under way at a time.
    constexpr unsigned AT_ONCE = 2;
    unsigned rect = lane;
    for (unsigned end = AT_ONCE * WARP_LANES; end <= rectangles; end += AT_ONCE * WARP_LANES) {
        Rectangle<Compact> others[AT_ONCE];
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) {
            others[k] = store.get(rect + k * WARP_LANES);
        }
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) {
            take(rect + k * WARP_LANES, others[k]);
        }
        rect += AT_ONCE * WARP_LANES;
    }
#pragma unroll 1
    for (; rect < rectangles; rect += WARP_LANES) {
        take(rect, store.get(rect));
    }
    const unsigned first = first_of_warp(best != NONE, value, age);
    if (first == WARP_LANES ? lane == 0 : lane == first) {
        store.heads[level] = {value, best, age};
    }
}

template <bool Compact>
TRISECT_DEVICE void enter_class(const Store<Compact>& store, unsigned level, unsigned rect,
                                double value, int age) {
    const Head head = store.heads[level];
    if (head.rect == NONE || value < head.value || (value == head.value && age < head.age)) {
        store.heads[level] = {value, rect, age};
    }
}

// Puts the two children of one side into their class.
template <bool Compact>
TRISECT_DEVICE void enter_pair(unsigned flags, const Store<Compact>& store, unsigned plus) {
    const unsigned minus = plus + 1;
    const double p = store.value(plus);
    const double m = store.value(minus);
    const unsigned level = level_of(flags, store.depths(plus));
    // Value of the head: rectangles whose turn to be cut has not come are still in the class.
    const unsigned division = store.turn[level];
    bool has_head = store.heads[level].rect != NONE;
    double head = store.heads[level].value;
    if (division != NONE) {
        const double waiting = store.value(store.divisions[division].rect);
        head = !has_head || waiting < head ? waiting : head;
        has_head = true;
    }
    // The only tie that Gablonsky's lists break in favour of the newer rectangle.
    if (has_head && p < head && m == head) {
        store.negate_age(minus);
    }
    enter_class(store, level, plus, p, store.age(plus));
    enter_class(store, level, minus, m, store.age(minus));
}

// --- the end of a round ---

// Turns the sums of the round into values, and finds the best. Lanes over points.
template <bool Compact>
TRISECT_DEVICE void take_values(State& state, const Store<Compact>& store, const Group& group) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned start = state.evaluated;
    const unsigned asked = state.asked;
    double value = infinite();
    unsigned at = NONE;
    for (unsigned i = lane; i < asked; i += WARP_LANES) {
        double mean = static_cast<double>(store.sum(start + i)) * group.unit;
        // PERF: a division by 1 takes as long as any.
        if (!Compact && group.members > 1) {
            mean /= static_cast<double>(group.members);
        }
        const double negated = -mean;
        store.set_value(start + i, negated);
        if (negated < value) {
            value = negated;
            at = i;
        }
    }
    // The earliest of equals.
    const unsigned first = first_of_warp(at != NONE, value, static_cast<int>(at));
    if (lane == first && (state.best == NONE || value < state.best_value)) {
        state.best = start + at;
        state.best_value = value;
    }
}

// Lanes per division: one for each of its children.
constexpr unsigned CHILDREN = 4;

// Cuts the rectangles of the round: depths and ages of all concerned. Lanes over children.
template <bool Compact>
TRISECT_DEVICE void cut(const State& state, const Store<Compact>& store) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned slot = lane % CHILDREN;
    const unsigned planned = state.planned;
    const unsigned last_age = state.age;
    for (unsigned first = 0; first < planned; first += WARP_LANES / CHILDREN) {
        const unsigned i = first + lane / CHILDREN;
        const Division division = store.divisions[i < planned ? i : first];
        const unsigned axes = division.from_axes >> AXES_SHIFT;
        const unsigned children = axes == 3 ? 4 : 2;
        const bool cuts = i < planned && slot < children;
        const unsigned depths = store.depths(division.rect) & ~OUT;
        const double value = cuts ? store.value(division.child + slot) : 0.0;
        // The better of the pair, and that of the other side.
        const double paired = __shfl_xor_sync(ALL_LANES, value, 1);
        const double better = slot % 2 == 0 ? (paired < value ? paired : value)
                                            : (value < paired ? value : paired);
        const double other = __shfl_xor_sync(ALL_LANES, better, 2);
        // In order of entry into a class: an age per rectangle, the divided one last.
        const int age = static_cast<int>(last_age + (CHILDREN + 1) * i);
        const unsigned both = (1u << DEPTH_BITS) + 1;
        const unsigned axis = axes == 3 ? slot / 2 : axes >> 1;
        const unsigned one = 1u << axis * DEPTH_BITS;
        // The side with the better pair is cut first: its children keep the other one whole.
        const bool is_first = axes != 3 || (axis == 0 ? !(better > other) : other > better);
        // All have read the depths of what they cut.
        __syncwarp();
        if (cuts) {
            store.set_depths(division.child + slot, depths + (is_first ? one : both),
                             age + static_cast<int>(slot) + 1);
        }
        if (cuts && slot == 0) {
            store.set_depths(division.rect, depths + (axes == 3 ? both : one),
                             age + static_cast<int>(CHILDREN) + 1);
        }
    }
}

// Whether a tie may be broken in favour of the newer rectangle, see `enter_pair`; then the order of
// entry matters. Lanes over pairs. May say yes where there is none.
template <bool Compact>
TRISECT_DEVICE bool order_matters(const State& state, const Store<Compact>& store, unsigned flags) {
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
        const Head head = store.heads[level_of(flags, store.depths(plus))];
        tied |= head.rect != NONE && head.value == m;
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

// Puts what was cut into the classes, unless the order of entry matters; returns whether it does.
// Lanes over rectangles.
template <bool Compact>
TRISECT_DEVICE bool enter_unordered(State& state, const Store<Compact>& store, unsigned flags) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned first = state.evaluated == 0 ? 1 : state.evaluated;
    const unsigned children = state.evaluated + state.asked - first;
    const unsigned planned = state.planned;
    const unsigned all = children + planned;
    unsigned used = state.classes;
    if (all > WARP_LANES && order_matters(state, store, flags)) {
        return true;
    }
    unsigned start = 0;
    do {
        const unsigned i = start + lane;
        const bool enters = i < all;
        const bool is_child = i < children;
        unsigned rect = first + i;
        if (enters && !is_child) {
            rect = store.divisions[i - children].rect;
        }
        const Rectangle<Compact> entering = enters ? store.get(rect) : Rectangle<Compact>{0, 0, 0};
        const double value = entering.value;
        const int age = entering.age;
        const unsigned level = enters ? level_of(flags, entering.depths) : NONE - lane;
        const Head head = enters ? store.heads[level] : Head{0.0, NONE, 0};
        // Another lane of the class comes before, or has the same value.
        bool behind = false;
        bool tied = head.rect != NONE && head.value == value;
        const unsigned alike = __match_any_sync(ALL_LANES, level);
        unsigned others = alike & ~(1u << lane);
        while (__any_sync(ALL_LANES, others != 0)) {
            const int at = others != 0 ? __ffs(static_cast<int>(others)) - 1 : 0;
            const double other = __shfl_sync(ALL_LANES, value, at);
            const int other_age = __shfl_sync(ALL_LANES, age, at);
            if (others != 0) {
                behind |= other < value || (other == value && other_age < age);
                tied |= other == value;
            }
            others &= others - 1;
        }
        if (all <= WARP_LANES) {
            // See `order_matters`: the same for the few rectangles of a usual round, but exact as to
            // the class of what is new.
            const double plus = __shfl_xor_sync(ALL_LANES, value, 1);
            const bool may_tie = is_child && i % 2 == 1 && plus < value;
            if (__any_sync(ALL_LANES, may_tie)) {
                for (unsigned k = children; k < all; ++k) {
                    tied |= __shfl_sync(ALL_LANES, value, static_cast<int>(k)) == value;
                }
            }
            if (__any_sync(ALL_LANES, may_tie && tied)) {
                return true;
            }
        }
        const unsigned highest = ~least_of_warp(enters ? ~(level + 1) : NONE);
        used = highest > used ? highest : used;
        // All have read the heads.
        __syncwarp();
        if (enters && !behind &&
            (head.rect == NONE || value < head.value ||
             (value == head.value && age < head.age))) {
            store.heads[level] = {value, rect, age};
        }
        __syncwarp();
        start += WARP_LANES;
    } while (start < all);
    if (lane == 0) {
        state.classes = used;
        state.age += (CHILDREN + 1) * planned;
    }
    return false;
}

// Puts what was cut into the classes, in order. One lane.
template <bool Compact>
TRISECT_DEVICE void enter_classes(State& state, const Store<Compact>& store, unsigned flags) {
    for (unsigned i = state.planned; i-- > 0;) {
        const unsigned from = store.divisions[i].from_axes & FROM_MASK;
        store.divisions[i].next = store.turn[from];
        store.turn[from] = i;
    }
    for (unsigned i = 0; i < state.planned; ++i) {
        const Division division = store.divisions[i];
        store.turn[division.from_axes & FROM_MASK] = division.next;
        enter_pair(flags, store, division.child);
        if (division.from_axes >> AXES_SHIFT == 3) {
            enter_pair(flags, store, division.child + 2);
        }
        // The pair cut last and the rectangle itself are the smallest.
        const unsigned level = level_of(flags, store.depths(division.rect));
        enter_class(store, level, division.rect, store.value(division.rect),
                    store.age(division.rect));
        state.classes = level < state.classes ? state.classes : level + 1;
    }
    state.age += (CHILDREN + 1) * state.planned;
}

// Stop tests at the end of an iteration with so many evaluations, in scipy's order. All lanes do the
// same.
template <bool Compact>
TRISECT_DEVICE unsigned finish_iteration(State& state, const Store<Compact>& store,
                                         const Task& task, unsigned evaluated) {
    if (state.ending == SLOTS || state.ending == LEVELS) {
        return state.ending;
    }
    const double best = state.best_value;
    const unsigned depths = store.depths(state.best) & ~OUT;
    if (task.volume_tolerance > 0.0 && third(task, cuts_of(depths)) <= task.volume_tolerance) {
        return VOLUME;
    }
    if (task.side_tolerance > 0.0 &&
        store.sizes[level_of(task.flags, depths)] <= task.side_tolerance) {
        return SIDE_LENGTH;
    }
    if ((task.flags & HAS_TARGET) != 0 &&
        (best - task.target) / task.target_unit <= task.target_tolerance) {
        return TARGET;
    }
    if ((task.flags & EPS_FOLLOWS) != 0) {
        const double share = 1e-4 * (best < 0.0 ? -best : best);
        if (threadIdx.x % WARP_LANES == 0) {
            state.eps = share > task.eps ? share : task.eps;
        }
    }
    return evaluated >= task.enough ? EVALUATIONS : state.ending;
}

// --- the next round ---

// Takes the place of a slope: the candidate is none any more. Slopes are positive.
constexpr double DROPPED = -1.0;

// Slope between two classes; see src/direct/select.rs. Which of the two is the larger one does not
// show: negated operands have the same quotient.
TRISECT_DEVICE double slope(double value, double size, double other_value, double other_size) {
    return (value - other_value) / (size - other_size);
}

// What the eps test compares with.
TRISECT_DEVICE double promise(const State& state) {
    const double best = state.best_value;
    const double promised = best - state.eps * (best < 0.0 ? -best : best);
    return promised < best ? promised : best;
}

// Whether a candidate that is on the hull, or above it, is potentially optimal. `least` of the slopes
// to larger classes, `largest` of those to smaller ones that stay.
TRISECT_DEVICE bool stays(double value, double size, double least, double largest,
                          double threshold, unsigned flags) {
    return largest <= least ? !(value - least * size > threshold) : (flags & SCIPY) != 0;
}

// Which of `count` <= WIDTH candidates are potentially optimal, as bits, where values descend with the
// sizes. Values are in `slopes` and sizes in `largest`.
//
// PERF: lanes are WIDTH larger candidates times as many smaller ones as that leaves, for a division
// takes long.
template <unsigned WIDTH, bool Compact>
TRISECT_DEVICE unsigned find_hull_of_few(const State& state, const Store<Compact>& store,
                                         const Task& task, unsigned count) {
    constexpr unsigned AT_ONCE = WARP_LANES / WIDTH;
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned i = lane % WIDTH;
    const unsigned turn = lane / WIDTH;
    const double threshold = promise(state);
    const bool keeps_above = (task.flags & SCIPY) != 0;
    const double value = store.slopes[i < count ? i : 0];
    const double size = store.largest[i < count ? i : 0];
    // Of candidate i, the same in all its lanes.
    double largest = 0.0;
    unsigned kept = 0;
    // From the smallest class on: who stays bounds the slopes of the larger ones.
    for (unsigned left = count; left > 0; left = left > AT_ONCE ? left - AT_ONCE : 0) {
        const bool is_here = turn < left;
        const unsigned j = is_here ? left - 1 - turn : 0;
        const double smaller_value = store.slopes[j];
        const double smaller_size = store.largest[j];
        const double s =
            i < j ? slope(value, size, smaller_value, smaller_size) : infinite();
        double least = s;
#pragma unroll
        for (unsigned width = WIDTH / 2; width > 0; width /= 2) {
            const double other = __shfl_xor_sync(ALL_LANES, least, width);
            least = other < least ? other : least;
        }
        const bool promises = !(smaller_value - least * smaller_size > threshold);
        const bool decides = is_here && i == j;
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) {
            const bool keep =
                decides && turn == k && (largest <= least ? promises : keeps_above);
            const bool is_kept = __any_sync(ALL_LANES, keep);
            const double its = __shfl_sync(ALL_LANES, s, static_cast<int>(i + k * WIDTH));
            kept |= is_kept ? 1u << (left - 1 - k) : 0;
            // Not those that are no larger class.
            largest = is_kept && its > largest && its < infinite() ? its : largest;
        }
    }
    return kept;
}

// Decides which of the candidates in `levels` are potentially optimal: those whose slope is not
// DROPPED then. Any number of classes.
template <bool Compact>
TRISECT_DEVICE void find_hull(const State& state, const Store<Compact>& store, const Task& task,
                              unsigned count) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const double threshold = promise(state);
    for (unsigned j = lane; j < count; j += WARP_LANES) {
        store.largest[j] = 0.0;
    }
    for (unsigned j = count; j-- > 0;) {
        const unsigned level = store.levels[j];
        const double value = store.heads[level].value;
        const double size = store.sizes[level];
        double least = infinite();
        bool dropped = false;
        for (unsigned i = lane; i < j; i += WARP_LANES) {
            const unsigned larger = store.levels[i];
            const double s = slope(store.heads[larger].value, store.sizes[larger], value, size);
            store.slopes[i] = s;
            dropped |= s <= 0.0;
            least = s < least ? s : least;
        }
        dropped = __any_sync(ALL_LANES, dropped);
        least = least_of_warp(dropped ? 0.0 : least);
        __syncwarp();
        const double largest = store.largest[j];
        const bool keep = !dropped && largest >= 0.0 &&
                          stays(value, size, least, largest, threshold, task.flags);
        // Each lane touches its own candidates only.
        for (unsigned i = lane; i < j && keep; i += WARP_LANES) {
            const double s = store.slopes[i];
            const double before = store.largest[i];
            if (before >= 0.0) {
                store.largest[i] = s <= 0.0 ? DROPPED : s > before ? s : before;
            }
        }
        // Other lanes read it behind the barrier of the next pass; that of the first candidate
        // lane 0 itself does.
        if (lane == 0) {
            store.slopes[j] = keep ? 0.0 : DROPPED;
        }
    }
}

// Lists the heads of the classes that are on the hull, for any number of classes; returns how many
// there are. `heads`: classes that are not empty.
template <bool Compact>
TRISECT_DEVICE unsigned select_of_many(const State& state, const Store<Compact>& store,
                                       const Task& task, bool all, unsigned& heads) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const bool aggressive = (task.flags & AGGRESSIVE) != 0;
    unsigned candidates = 0;
    double lowest = infinite();
    heads = 0;
    // All lanes do the same.
    for (unsigned level = 0; level < state.classes; ++level) {
        const Head head = store.heads[level];
        if (head.rect == NONE) {
            continue;
        }
        ++heads;
        if (all || head.value < lowest) {
            lowest = head.value;
            if (lane == 0) {
                store.levels[candidates] = level;
            }
            ++candidates;
        }
    }
    __syncwarp();
    if (!aggressive) {
        find_hull(state, store, task, candidates);
    }
    unsigned count = 0;
    for (unsigned first = 0; first < candidates; first += WARP_LANES) {
        const unsigned j = first + lane;
        const bool kept = j < candidates && (aggressive || store.slopes[j] != DROPPED);
        const unsigned votes = __ballot_sync(ALL_LANES, kept);
        if (kept) {
            const unsigned before = __popc(votes & ((1u << lane) - 1));
            store.divisions[count + before].rect = store.heads[store.levels[j]].rect;
        }
        count += __popc(votes);
    }
    return count;
}

// The same for at most WARP_LANES classes, a lane per class; NONE where too many may be on the hull.
template <bool Compact>
TRISECT_DEVICE unsigned select_of_few(const State& state, const Store<Compact>& store,
                                      const Task& task, unsigned& heads) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned before = (1u << lane) - 1;
    const bool in_use = lane < state.classes;
    const Head head = in_use ? store.heads[lane] : Head{0.0, NONE, 0};
    unsigned kept = __ballot_sync(ALL_LANES, head.rect != NONE);
    heads = __popc(kept);
    if ((task.flags & AGGRESSIVE) == 0) {
        // The least value of the larger classes.
        const double value = head.rect != NONE ? head.value : infinite();
        double lowest = value;
#pragma unroll
        for (unsigned width = 1; width < WARP_LANES; width *= 2) {
            const double other = __shfl_up_sync(ALL_LANES, lowest, width);
            lowest = other < lowest ? other : lowest;
        }
        lowest = __shfl_up_sync(ALL_LANES, lowest, 1);
        const bool is_candidate = head.rect != NONE && (lane == 0 || value < lowest);
        const unsigned candidates = __ballot_sync(ALL_LANES, is_candidate);
        const unsigned count = __popc(candidates);
        if (count > 16) {
            return NONE;
        }
        const unsigned place = __popc(candidates & before);
        if (is_candidate) {
            store.slopes[place] = value;
            store.largest[place] = store.sizes[lane];
        }
        __syncwarp();
        const unsigned on_hull = count <= 8 ? find_hull_of_few<8>(state, store, task, count)
                                            : find_hull_of_few<16>(state, store, task, count);
        kept = __ballot_sync(ALL_LANES, is_candidate && (on_hull >> place & 1) != 0);
    }
    if ((kept >> lane & 1) != 0) {
        store.divisions[__popc(kept & before)].rect = head.rect;
    }
    return __popc(kept);
}

// Appends the members of the `count` chosen classes whose values tie with the class's best, in
// their order; returns the number of all. Classes stand in `divisions` in their order.
template <bool Compact>
TRISECT_DEVICE unsigned add_ties(const State& state, const Store<Compact>& store, const Task& task,
                                 unsigned count) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned i = lane; i < count; i += WARP_LANES) {
        store.turn[level_of(task.flags, store.depths(store.divisions[i].rect))] = i;
    }
    __syncwarp();
    // Gathered in any order: by number, in `next`.
    unsigned ties = 0;
    for (unsigned first = 0; first < state.evaluated; first += WARP_LANES) {
        const unsigned rect = first + lane;
        bool tied = false;
        if (rect < state.evaluated) {
            const unsigned depths = store.depths(rect);
            const unsigned level = level_of(task.flags, depths);
            tied = (depths & OUT) == 0 && store.turn[level] != NONE &&
                   rect != store.heads[level].rect &&
                   store.value(rect) - store.heads[level].value <= TIE;
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
        const unsigned turn = store.turn[level_of(task.flags, store.depths(rect))];
        const double value = store.value(rect);
        const int age = store.age(rect);
        unsigned at = count;
#pragma unroll 1
        for (unsigned k = 0; k < ties; ++k) {
            const unsigned other = store.divisions[count + k].next;
            const unsigned other_turn = store.turn[level_of(task.flags, store.depths(other))];
            const double other_value = store.value(other);
            const bool earlier = other_value < value ||
                                 (other_value == value && store.age(other) < age);
            at += other_turn < turn || (other_turn == turn && earlier);
        }
        store.divisions[at].rect = rect;
    }
    __syncwarp();
    for (unsigned i = lane; i < count; i += WARP_LANES) {
        store.turn[level_of(task.flags, store.depths(store.divisions[i].rect))] = NONE;
    }
    return count + ties;
}

// Lists the rectangles that the iteration wants to divide, in order; returns how many, or NONE when
// scipy's list is full.
template <bool Compact>
TRISECT_DEVICE unsigned select(const State& state, const Store<Compact>& store, const Task& task) {
    const bool aggressive = (task.flags & AGGRESSIVE) != 0;
    // Sizes that are no more: then slopes are not what the shortcuts take them for.
    const bool odd = (task.flags & SCIPY) != 0 && store.sizes[state.classes - 1] == 0.0;
    unsigned heads = 0;
    unsigned count = NONE;
    if (state.classes <= WARP_LANES && !odd) {
        count = select_of_few(state, store, task, heads);
    }
    if (count == NONE) {
        count = select_of_many(state, store, task, aggressive || odd, heads);
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

// Decides which of the selected rectangles are divided, until a division does not fit: retires what
// cannot be, and numbers the children of the rest, with centres and candidates. `asked` rectangles
// are asked already. Lanes over children.
template <bool Compact>
TRISECT_DEVICE void divide(State& state, const Store<Compact>& store, const Task& task,
                           unsigned selected, unsigned asked) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned slot = lane % CHILDREN;
    const unsigned axis = slot / 2;
    const bool scipy = (task.flags & SCIPY) != 0;
    const bool one_longest = (task.flags & ONE_LONGEST) != 0;
    unsigned next = state.evaluated + asked;
    unsigned planned = 0;
    unsigned dirty = 0;
    unsigned cuts_on_high = state.cuts[0];
    unsigned cuts_on_low = state.cuts[1];
    unsigned ending = state.ending;
    unsigned stop = RUNNING;
    bool fits = true;
    for (unsigned first = 0; first < selected && fits; first += WARP_LANES / CHILDREN) {
        const unsigned i = first + lane / CHILDREN;
        const bool is_here = i < selected;
        const unsigned rect = store.divisions[is_here ? i : first].rect;
        const unsigned depths = store.depths(rect);
        const Centre centre = store.centres[rect];
        const unsigned depth = least_depth(depths);
        const unsigned from = level_of(task.flags, depths);
        const double delta = third(task, depth + 1);
        // The child of this lane, and whether it would be another point than its parent.
        const double step = slot % 2 == 0 ? delta : -delta;
        Centre child;
        child.x[0] = axis == 0 ? centre.x[0] + step : centre.x[0];
        child.x[1] = axis == 1 ? centre.x[1] + step : centre.x[1];
        const double high = place(state, task.flags, 0, child.x[0]);
        const double low = place(state, task.flags, 1, child.x[1]);
        const double parent = place(state, task.flags, axis, axis == 0 ? centre.x[0] : centre.x[1]);
        const bool is_longest = depth_of(depths, axis) == depth;
        const bool moves = (axis == 0 ? high : low) != parent;
        const unsigned shift = lane / CHILDREN * CHILDREN;
        const unsigned moving = __ballot_sync(ALL_LANES, moves && is_longest) >> shift;
        const unsigned moved = ((moving & 3) != 0 ? 1u : 0u) | ((moving & 12) != 0 ? 2u : 0u);
        unsigned axes = (depth_of(depths, 0) == depth ? 1u : 0u) |
                        (depth_of(depths, 1) == depth ? 2u : 0u);
        if (one_longest) {
            // One after the other: which side is cut depends on those cut before. All lanes do the
            // same.
            unsigned children = next;
            for (unsigned k = 0; k < WARP_LANES && first + k / CHILDREN < selected; k += CHILDREN) {
                const int at = static_cast<int>(k);
                unsigned its_axes = __shfl_sync(ALL_LANES, axes, at);
                const unsigned its_moved = __shfl_sync(ALL_LANES, moved, at);
                its_axes = its_axes != 3 ? its_axes : cuts_on_low < cuts_on_high ? 2 : 1;
                axes = k == shift ? its_axes : axes;
                if (children + 2 > task.capacity) {
                    break;
                }
                if ((its_moved & its_axes) != 0) {
                    cuts_on_high += its_axes == 1 ? 1 : 0;
                    cuts_on_low += its_axes == 2 ? 1 : 0;
                    children += 2;
                }
            }
        }
        const unsigned sides = axes == 3 ? 2 : 1;
        const bool divides = is_here && (scipy || (moved & axes) != 0);
        // One vote per rectangle; those of the rectangles before.
        const unsigned before = (1u << shift) - 1;
        const unsigned firsts = slot == 0 ? 1 : 0;
        const unsigned divided = __ballot_sync(ALL_LANES, divides && firsts);
        const unsigned twice = __ballot_sync(ALL_LANES, divides && firsts && sides == 2);
        const unsigned children = next + 2 * (__popc(divided & before) + __popc(twice & before));
        // The first that does not fit ends the list, and none behind it counts.
        const bool too_deep =
            scipy && (from + 1 >= task.levels || depth + 1 >= SCIPY_MAX_DEPTH);
        const bool too_many = children + 2 * sides > task.capacity;
        const bool too_small = from + (task.flags & HALF_DIAGONAL ? sides : 1) >= task.classes;
        const unsigned misfits =
            __ballot_sync(ALL_LANES, is_here && firsts && (too_deep || too_many || too_small));
        unsigned taken = ~0u;
        if (misfits != 0) {
            fits = false;
            const int at = __ffs(static_cast<int>(misfits)) - 1;
            taken = (1u << at) - 1;
            const unsigned why = too_deep ? LEVELS : too_many ? (scipy ? SLOTS : EVALUATIONS)
                                                              : OVERFLOW;
            const unsigned reason = __shfl_sync(ALL_LANES, why, at);
            ending = reason == OVERFLOW ? ending : reason;
            stop = reason == OVERFLOW ? OVERFLOW : stop;
        }
        const bool is_taken = is_here && (taken >> shift & 1) != 0;
        const bool leads = is_taken && slot == 0 && store.heads[from].rect == rect;
        const unsigned leading = __ballot_sync(ALL_LANES, leads);
        // All have read what is overwritten now.
        __syncwarp();
        if (is_taken && slot == 0) {
            store.take_out(rect);
            if (leads) {
                store.heads[from].rect = NONE;
                store.levels[dirty + __popc(leading & before)] = from;
            }
            if (divides) {
                store.divisions[planned + __popc(divided & before)] = {
                    rect, children, from | axes << AXES_SHIFT, NONE};
            }
        }
        if (is_taken && divides && (axes >> axis & 1) != 0) {
            const unsigned rank = axes == 3 ? slot : slot % 2;
            store.centres[children + rank] = child;
            store.ask(children + rank, candidate_of(high, low));
        }
        dirty += __popc(leading);
        planned += __popc(divided & taken);
        next += 2 * (__popc(divided & taken) + __popc(twice & taken));
        __syncwarp();
    }
    // All have read what they start from.
    __syncwarp();
    if (lane == 0) {
        state.asked = next - state.evaluated;
        state.planned = planned;
        state.dirty = dirty;
        state.cuts[0] = cuts_on_high;
        state.cuts[1] = cuts_on_low;
        state.ending = ending;
        state.stop = stop;
    }
}

// The centre and the first division. All lanes.
template <bool Compact>
TRISECT_DEVICE void begin(State& state, const Store<Compact>& store, const Task& task) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    for (unsigned level = lane; level < task.classes; level += WARP_LANES) {
        store.heads[level] = {0.0, NONE, 0};
        store.sizes[level] = task.sizes[level];
        store.turn[level] = NONE;
    }
    if (lane == 0) {
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
        store.set_depths(0, 0, 0);
        store.divisions[0].rect = 0;
    }
    __syncwarp();
    divide(state, store, task, 1, 1);
    if (lane == 0) {
        if (state.planned == 0 && state.ending == RUNNING) {
            state.ending = NO_PROGRESS;
        }
        const Centre centre = store.centres[0];
        store.ask(0, candidate_of(place(state, task.flags, 0, centre.x[0]),
                                  place(state, task.flags, 1, centre.x[1])));
    }
}

// Takes the round's values, unless there is none, and plans the next round or ends the search. All
// lanes; what is said of the whole search is the same in each.
template <bool Compact>
TRISECT_DEVICE void advance(State& state, const Store<Compact>& store, const Task& task,
                            const Group& group) {
    const unsigned lane = threadIdx.x % WARP_LANES;
    unsigned iteration = state.iteration;
    if (state.again == 0) {
        const bool first = state.evaluated == 0;
        const unsigned evaluated = state.evaluated + state.asked;
        take_values(state, store, group);
        if (lane == 0 && first) {
            store.set_depths(0, 0, 0);
        }
        // Not for the shuffles' sake: they order no memory.
        __syncwarp();
        cut(state, store);
        __syncwarp();
        if (enter_unordered(state, store, task.flags)) {
            // PERF: one lane after the other, but seldom. All have read the heads.
            __syncwarp();
            if (lane == 0) {
                enter_classes(state, store, task.flags);
            }
        }
        unsigned stop = RUNNING;
        if (!first) {
            stop = finish_iteration(state, store, task, evaluated);
        } else if (state.ending != RUNNING) {
            // Then there was no division.
            --iteration;
            stop = state.ending;
        }
        if (stop == RUNNING) {
            ++iteration;
            if (task.max_iterations != 0 && iteration >= task.max_iterations) {
                stop = ITERATIONS;
            }
        }
        if (lane == 0) {
            state.evaluated = evaluated;
            state.asked = 0;
            ++state.rounds;
            state.iteration = iteration;
            state.stop = stop;
        }
        __syncwarp();
        if (stop != RUNNING) {
            return;
        }
    }
    const unsigned selected = select(state, store, task);
    if (selected != NONE) {
        divide(state, store, task, selected, 0);
    }
    if (lane == 0) {
        state.again = 0;
        if (selected == NONE) {
            state.planned = 0;
            state.stop = LEVELS;
        } else if (selected == 0) {
            state.iteration = iteration - 1;
            state.stop = NO_PROGRESS;
        } else if (state.stop == RUNNING && state.planned == 0) {
            state.iteration = state.ending == EVALUATIONS ? iteration - 1 : iteration;
            state.stop = state.ending;
            state.again = 1;
        }
    }
}

// --- whole searches ---

// What became of a search, to the host. One thread.
template <bool Compact>
TRISECT_DEVICE void report(const Task& task, const State& state, const Store<Compact>& store,
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

TRISECT_DEVICE SeparatePoints points_of(const Store<false>& store, unsigned first) {
    return {store.marks + first, store.values + first};
}

TRISECT_DEVICE CompactPoints points_of(const Store<true>& store, unsigned first) {
    return {store.marks + first};
}

template <class Legs, bool Spilled, bool Compact>
TRISECT_DEVICE void search(const Task& task) {
    DYNAMIC_SHARED(unsigned char, memory);
    State& state = *reinterpret_cast<State*>(memory);
    const Group& group = task.groups[blockIdx.x];
    const size_t block = size_t{blockIdx.y} * gridDim.x + blockIdx.x;
    const Layout<Spilled, Compact> layout(task, memory, task.scratch + block * task.scratch_bytes);
    const Store<Compact>& store = layout.store;
    const bool at_close = (task.at_close >> blockIdx.y & 1) != 0;
    const unsigned warp = threadIdx.x / WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    if ((task.flags & LEGS_STAGED) != 0) {
        if (at_close) {
            stage_legs<Legs, true>(task, group, layout);
        } else {
            stage_legs<Legs, false>(task, group, layout);
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
            const auto points = points_of(store, evaluated);
            if (at_close) {
                score<Legs, true>(task, group, layout, points, asked);
            } else {
                score<Legs, false>(task, group, layout, points, asked);
            }
        }
        // The last warps have the fewest points.
        for (unsigned i = warps - 1 - warp; i < state.dirty; i += warps) {
            find_head(task.flags, store, evaluated, store.levels[i]);
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

// A word of a board: 32 bits and the tag of the exchange that they belong to. PERF: whoever reads it
// sees by itself whether it has come, so that nobody waits for a fence.
TRISECT_DEVICE unsigned long long tagged(unsigned bits, unsigned tag) {
    return static_cast<unsigned long long>(tag) << 32 | bits;
}

TRISECT_DEVICE bool has_tag(unsigned long long word, unsigned tag) {
    return static_cast<unsigned>(word >> 32) == tag;
}

// Waits for a word with the tag; returns its bits.
TRISECT_DEVICE unsigned await_word(const unsigned long long* at, unsigned tag) {
    unsigned long long word = load_relaxed(at);
    while (!has_tag(word, tag)) {
        __nanosleep(20);
        word = load_relaxed(at);
    }
    return static_cast<unsigned>(word);
}

// Shows the other blocks the candidates of an exchange, none at the end: their number and their words.
// PERF: several times, each by a warp for some of the blocks, that not all wait at the same lines of
// the cache. All threads of block 0.
TRISECT_DEVICE void post(unsigned long long* board, unsigned tag, const uint2* candidates,
                         unsigned points) {
    const unsigned* const words = reinterpret_cast<const unsigned*>(candidates);
    for (unsigned copy = threadIdx.x / WARP_LANES; copy < POSTS; copy += blockDim.x / WARP_LANES) {
        unsigned long long* const at = board + copy * POST_WORDS;
        for (unsigned i = threadIdx.x % WARP_LANES; i <= 2 * points; i += WARP_LANES) {
            store_relaxed(at + i, tagged(i == 0 ? points : words[i - 1], tag));
        }
    }
}

// Waits for them; returns how many. All threads of another block.
TRISECT_DEVICE unsigned await_post(const unsigned long long* board, unsigned tag,
                                   uint2* candidates, unsigned* count) {
    // PERF: so many words per lane are asked for at a time, with the number; what does not fit comes
    // afterwards.
    constexpr unsigned AT_ONCE = 2;
    if (threadIdx.x < WARP_LANES) {
        const unsigned lane = threadIdx.x;
        const unsigned long long* const at = board + blockIdx.x % POSTS * POST_WORDS;
        unsigned* const words = reinterpret_cast<unsigned*>(candidates);
        unsigned points;
        unsigned long long first[AT_ONCE];
        for (;;) {
#pragma unroll
            for (unsigned k = 0; k < AT_ONCE; ++k) {
                first[k] = load_relaxed(at + k * WARP_LANES + lane);
            }
            points = __shfl_sync(ALL_LANES, static_cast<unsigned>(first[0]), 0);
            // Unless the number has come there is no knowing who waits, and lane 0 does.
            bool waits = lane == 0 && !has_tag(first[0], tag);
#pragma unroll
            for (unsigned k = 0; k < AT_ONCE; ++k) {
                waits |= k * WARP_LANES + lane <= 2 * points && !has_tag(first[k], tag);
            }
            if (__ballot_sync(ALL_LANES, waits) == 0) {
                break;
            }
            __nanosleep(20);
        }
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) {
            const unsigned i = k * WARP_LANES + lane;
            if (0 < i && i <= 2 * points) {
                words[i - 1] = static_cast<unsigned>(first[k]);
            }
        }
        for (unsigned i = AT_ONCE * WARP_LANES + lane; i <= 2 * points; i += WARP_LANES) {
            words[i - 1] = await_word(at + i, tag);
        }
        if (lane == 0) {
            *count = points;
        }
    }
    __syncthreads();
    return *count;
}

// Shows block 0 the sums of this block, and clears them. All threads of another block.
TRISECT_DEVICE void answer(unsigned long long* board, unsigned tag, long long* sums,
                           unsigned points) {
    for (unsigned i = threadIdx.x; i < points; i += blockDim.x) {
        unsigned long long* const at =
            board + POSTED_WORDS + 2 * (size_t{i} * gridDim.x + blockIdx.x);
        store_relaxed(at, tagged(static_cast<unsigned>(sums[i]), tag));
        store_relaxed(at + 1, tagged(static_cast<unsigned>(sums[i] >> 32), tag));
        sums[i] = 0;
    }
}

// Adds the sums of the other blocks to those of this one. All threads of block 0: warps over points
// and parts of the blocks.
TRISECT_DEVICE void gather(const unsigned long long* board, unsigned tag, long long* sums,
                           unsigned points) {
    // PERF: the words of so many blocks are on their way at a time, and all are asked for again until
    // all have come: who waited for one after the other would wait for the way each time.
    constexpr unsigned AT_ONCE = 2;
    const unsigned lane = threadIdx.x % WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    const unsigned shares = points < warps ? warps / points : 1;
    for (unsigned item = threadIdx.x / WARP_LANES; item < points * shares; item += warps) {
        const unsigned share = item / points;
        const unsigned point = item - share * points;
        const unsigned long long* const answers =
            board + POSTED_WORDS + 2 * size_t{point} * gridDim.x;
        unsigned long long total = 0;
        for (unsigned first = 1 + share * WARP_LANES + lane; first < gridDim.x;
             first += AT_ONCE * shares * WARP_LANES) {
            unsigned long long sum;
            bool waits;
            do {
                sum = 0;
                waits = false;
#pragma unroll
                for (unsigned k = 0; k < AT_ONCE; ++k) {
                    const unsigned block = first + k * shares * WARP_LANES;
                    if (block < gridDim.x) {
                        const unsigned long long low = load_relaxed(answers + 2 * block);
                        const unsigned long long high = load_relaxed(answers + 2 * block + 1);
                        waits |= !(has_tag(low, tag) && has_tag(high, tag));
                        sum += high << 32 | static_cast<unsigned>(low);
                    }
                }
                if (waits) {
                    __nanosleep(20);
                }
            } while (waits);
            total += sum;
        }
        // PERF: the shuffles would do without, in more instructions.
        __syncwarp();
#pragma unroll
        for (unsigned width = WARP_LANES / 2; width > 0; width /= 2) {
            total += __shfl_xor_sync(ALL_LANES, total, width);
        }
        if (lane == 0) {
            add_by_words(sums + point, static_cast<long long>(total));
        }
    }
    __syncthreads();
}

TRISECT_DEVICE void copy(float4* to, const float4* from, size_t bytes) {
    for (size_t i = threadIdx.x; i < bytes / sizeof(float4); i += blockDim.x) {
        to[i] = from[i];
    }
}

template <class Legs, bool Spilled>
TRISECT_DEVICE void search_wide(const Task& task) {
    DYNAMIC_SHARED(unsigned char, memory);
    // Candidates of an exchange, and the sums of this block.
    uint2* const candidates = reinterpret_cast<uint2*>(memory);
    long long* const sums = reinterpret_cast<long long*>(candidates + WIDE_POINTS);
    unsigned char* const kept = memory + WIDE_BYTES;
    State& state = *reinterpret_cast<State*>(kept);
    const Group& part = task.parts[size_t{blockIdx.y} * gridDim.x + blockIdx.x];
    const size_t search = size_t{blockIdx.z} * gridDim.y + blockIdx.y;
    unsigned long long* const board =
        task.boards + search * (POSTED_WORDS + size_t{ANSWER_WORDS} * gridDim.x);
    const Layout<Spilled> layout(task, kept, task.scratch + search * task.scratch_bytes);
    const Store<false>& store = layout.store;
    const bool at_close = (task.at_close >> blockIdx.z & 1) != 0;
    const bool leads = blockIdx.x == 0;
    const unsigned warp = threadIdx.x / WARP_LANES;
    const unsigned warps = blockDim.x / WARP_LANES;
    if ((task.flags & LEGS_STAGED) != 0) {
        if (at_close) {
            stage_legs<Legs, true>(task, part, layout);
        } else {
            stage_legs<Legs, false>(task, part, layout);
        }
    }
    // What the launch begins and ends with, and what the next one finds.
    float4* const saved = reinterpret_cast<float4*>(layout.rest);
    const unsigned bytes =
        static_cast<unsigned>(reinterpret_cast<unsigned char*>(layout.members) - kept);
    if (leads) {
        if ((task.flags & RESUMED) != 0) {
            copy(reinterpret_cast<float4*>(kept), saved, bytes);
        } else if (warp == 0) {
            begin(state, store, task);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            const unsigned left = ~0u - state.evaluated;
            state.pause = state.evaluated + (task.pause_after < left ? task.pause_after : left);
        }
        __syncthreads();
    }
    for (unsigned i = threadIdx.x; i < WIDE_POINTS; i += blockDim.x) {
        sums[i] = 0;
    }
    // Points of the round that have been scored.
    unsigned scored = 0;
    for (unsigned tag = task.first_tag;; ++tag) {
        unsigned points = 0;
        if (leads) {
            const uint2* const marks = store.marks + state.evaluated + scored;
            if (state.stop == RUNNING && state.evaluated < state.pause) {
                points = state.asked - scored;
                points = points < WIDE_POINTS ? points : WIDE_POINTS;
            }
            post(board, tag, marks, points);
            for (unsigned i = threadIdx.x; i < points; i += blockDim.x) {
                candidates[i] = marks[i];
            }
        } else {
            points = await_post(board, tag, candidates, &state.asked);
        }
        if (points == 0) {
            break;
        }
        if (leads) {
            // All see the candidates. The others have waited for that.
            __syncthreads();
        }
        // A part may have no members; then its sums are 0.
        if (part.members > 0) {
            if (at_close) {
                score<Legs, true>(task, part, layout, SeparatePoints{candidates, sums}, points);
            } else {
                score<Legs, false>(task, part, layout, SeparatePoints{candidates, sums}, points);
            }
        }
        if (leads && scored == 0) {
            for (unsigned i = warp; i < state.dirty; i += warps) {
                find_head(task.flags, store, state.evaluated, store.levels[i]);
            }
        }
        __syncthreads();
        if (!leads) {
            answer(board, tag, sums, points);
            continue;
        }
        // Asked before the first warp goes on to the next round.
        const bool is_done = scored + points == state.asked;
        gather(board, tag, sums, points);
        // PERF: the warp that goes on does it, and waits for nobody: each lane takes what it brings.
        for (unsigned i = threadIdx.x; i < points && warp == 0; i += WARP_LANES) {
            store.values[state.evaluated + scored + i] = sums[i];
            sums[i] = 0;
        }
        scored += points;
        if (!is_done) {
            continue;
        }
        scored = 0;
        for (;;) {
            if (warp == 0) {
                advance(state, store, task, task.groups[blockIdx.y]);
            }
            __syncthreads();
            if (state.stop != RUNNING || state.asked > 0) {
                break;
            }
            // All that was selected is retired: the iteration goes on without points.
            for (unsigned i = warp; i < state.dirty; i += warps) {
                find_head(task.flags, store, state.evaluated, store.levels[i]);
            }
            __syncthreads();
        }
    }
    if (leads) {
        if (task.pause_after < task.capacity) {
            copy(saved, reinterpret_cast<const float4*>(kept), bytes);
        }
        // Of a search that pauses, too: there may be no further launch.
        if (threadIdx.x == 0) {
            report(task, state, store, task.groups[blockIdx.y], blockIdx.z);
        }
    }
}

}  // namespace direct

// --- entry points ---

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_f32(const direct::Task task) {
    direct::search<StoredLegs, false, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_f16(const direct::Task task) {
    direct::search<HalfBars<F16>, false, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_bf16(const direct::Task task) {
    direct::search<HalfBars<Bf16>, false, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_compact_f32(const direct::Task task) {
    direct::search<StoredLegs, false, true>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_compact_f16(const direct::Task task) {
    direct::search<HalfBars<F16>, false, true>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 4)
direct_compact_bf16(const direct::Task task) {
    direct::search<HalfBars<Bf16>, false, true>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 3)
direct_spilled_f32(const direct::Task task) {
    direct::search<StoredLegs, true, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 3)
direct_spilled_f16(const direct::Task task) {
    direct::search<HalfBars<F16>, true, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_THREADS, 3)
direct_spilled_bf16(const direct::Task task) {
    direct::search<HalfBars<Bf16>, true, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_f32(const direct::Task task) {
    direct::search_wide<StoredLegs, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_f16(const direct::Task task) {
    direct::search_wide<HalfBars<F16>, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_bf16(const direct::Task task) {
    direct::search_wide<HalfBars<Bf16>, false>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_spilled_f32(const direct::Task task) {
    direct::search_wide<StoredLegs, true>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_spilled_f16(const direct::Task task) {
    direct::search_wide<HalfBars<F16>, true>(task);
}

extern "C" __global__ void __launch_bounds__(direct::MAX_WIDE_THREADS, 1)
direct_wide_spilled_bf16(const direct::Task task) {
    direct::search_wide<HalfBars<Bf16>, true>(task);
}
