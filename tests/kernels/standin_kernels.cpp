// The project's kernels as the stand-in driver runs them, and what must hold of their arguments: everything that a
// kernel reads or writes, as far as its sizes follow from its arguments, lies inside live allocations.

#include "cuda_host.h"
#include "standin.h"

#include "../../kernels/direct.cu"
#include "../../kernels/evaluate.cu"
#include "../../kernels/exact.cu"

#include <algorithm>
#include <cstring>

namespace {

// Legs per side that a packed simulation may have.
constexpr unsigned PACKED_LEGS = 8;

std::string text(const char* what, unsigned long long got, unsigned long long wanted) {
    return std::string(what) + ": " + std::to_string(got) + ", not " + std::to_string(wanted);
}

// Slots by kind and the grid over them.
std::string check_shape(const standin::Launch& launch, const Round& round) {
    if (launch.block.y != 1 || launch.block.z != 1 || launch.grid.z != 1) {
        return "blocks have one dimension, grids have two";
    }
    if (launch.block.x % 32 != 0) {
        return "a block is not of whole warps";
    }
    if (round.by_legs > round.packed_from || round.packed_from > round.slots) {
        return "slots are not by_legs <= packed_from <= slots";
    }
    if ((round.sums == nullptr) == (round.profits == nullptr)) {
        return "exactly one of sums and profits must be given";
    }
    const unsigned packed = round.slots - round.packed_from;
    const unsigned lanes = round.pack_lanes;
    if (packed > 0 && (lanes == 0 || lanes > 32 || (lanes & (lanes - 1)) != 0)) {
        return "pack_lanes is no power of two up to 32";
    }
    const unsigned per_block = packed > 0 ? launch.block.x / lanes : 1;
    const unsigned blocks = round.packed_from + (packed + per_block - 1) / per_block;
    if (launch.grid.x != blocks) {
        return text("blocks in x", launch.grid.x, blocks);
    }
    return "";
}

// What sizes depend on: bytes of one leg in `legs` and in `terms`, and in shared memory per leg that is staged and
// per slot that is packed.
struct Variant {
    std::size_t leg;
    std::size_t term;
    std::size_t staged;
    std::size_t packed;
};

constexpr std::size_t HALF = 6 * sizeof(std::uint16_t);
constexpr Variant INTRADAY_F32 = {sizeof(float4), sizeof(float2), STAGED_BYTES_PER_LEG_INTRADAY,
                                  PACKED_BYTES_PER_SLOT_INTRADAY};
constexpr Variant CLOSE_F32 = {sizeof(float4), sizeof(float2), STAGED_BYTES_PER_LEG_CLOSE, PACKED_BYTES_PER_SLOT_CLOSE};
constexpr Variant INTRADAY_HALF = {HALF, 0, STAGED_BYTES_PER_LEG_INTRADAY, PACKED_BYTES_PER_SLOT_INTRADAY};
constexpr Variant CLOSE_HALF = {HALF, 0, STAGED_BYTES_PER_LEG_CLOSE, PACKED_BYTES_PER_SLOT_CLOSE};

// Bytes that each array and the shared memory must have at least, from the spans on.
class Extents {
public:
    Extents(const standin::Launch& launch, const Round& round, const Variant& variant)
        : launch_(launch), round_(round), variant_(variant) {}

    // What is wrong, or nothing.
    std::string check() {
        if (!inside(round_.spans, round_.slots)) {
            return "spans leave their allocation";
        }
        for (unsigned slot = 0; slot < round_.slots; ++slot) {
            const std::string wrong = check_slot(slot);
            if (!wrong.empty()) {
                return "slot " + std::to_string(slot) + ": " + wrong;
            }
        }
        const std::size_t shared = shared_bytes();
        return launch_.shared < shared ? text("bytes of shared memory", launch_.shared, shared) : "";
    }

private:
    template <class T>
    bool inside(const T* start, std::size_t count) const {
        return launch_.inside(start, count * sizeof(T));
    }

    // The element at `index`, which the caller found to be inside.
    template <class T>
    static T at(const T* start, std::size_t index) {
        T value;
        std::memcpy(&value, start + index, sizeof value);
        return value;
    }

    std::size_t shared_bytes() const {
        std::size_t bytes = 0;
        for (unsigned slot = round_.by_legs; slot < round_.packed_from; ++slot) {
            const Span span = at(round_.spans, slot);
            const std::size_t legs = std::size_t{span.longs} + span.shorts;
            bytes = std::max(bytes, launch_.block.x * STAGED_BYTES_PER_THREAD + legs * variant_.staged);
        }
        if (round_.packed_from < round_.slots) {
            bytes = std::max(bytes, launch_.block.x / round_.pack_lanes * variant_.packed);
        }
        return SHARED_BYTES + bytes;
    }

    std::string check_slot(unsigned slot) const {
        const Span span = at(round_.spans, slot);
        const std::size_t end = std::size_t{span.first} + span.longs + span.shorts;
        if (end > 0 && !launch_.inside(round_.legs, end * variant_.leg)) {
            return "legs leave their allocation";
        }
        if (end > 0 && variant_.term > 0 && !launch_.inside(round_.terms, end * variant_.term)) {
            return "terms leave their allocation";
        }
        if (slot >= round_.packed_from && std::max(span.longs, span.shorts) > PACKED_LEGS) {
            return text("legs of a packed simulation", std::max(span.longs, span.shorts), PACKED_LEGS);
        }
        if (!inside(round_.group_of, std::size_t{span.simulation} + 1)) {
            return "group_of leaves its allocation";
        }
        return check_candidates(span, at(round_.group_of, span.simulation));
    }

    std::string check_candidates(const Span& span, unsigned group) const {
        std::size_t first = 0;
        std::size_t count = round_.count;
        std::size_t sums = (std::size_t{group} + 1) * count;
        if (round_.offsets) {
            if (!inside(round_.offsets, std::size_t{group} + 2)) {
                return "offsets leave their allocation";
            }
            first = at(round_.offsets, group);
            sums = at(round_.offsets, group + 1);
            if (sums < first) {
                return "offsets fall";
            }
            count = sums - first;
        }
        if (count == 0) {
            return "";
        }
        if (!inside(round_.pairs, first + count)) {
            return "pairs leave their allocation";
        }
        if (round_.sums) {
            const bool scaled = inside(round_.scales, std::size_t{group} + 1);
            return scaled && inside(round_.sums, sums) ? "" : "scales or sums leave their allocation";
        }
        if (!inside(round_.rows, std::size_t{span.simulation} + 1)) {
            return "rows leave their allocation";
        }
        return inside(round_.profits, at(round_.rows, span.simulation) + count) ? "" : "profits leave their allocation";
    }

    const standin::Launch& launch_;
    const Round& round_;
    const Variant& variant_;
};

Round round_of(const standin::Launch& launch) {
    Round round;
    std::memcpy(&round, launch.parameters, sizeof round);
    return round;
}

template <const Variant& VARIANT>
std::string check(const standin::Launch& launch) {
    const Round round = round_of(launch);
    const std::string wrong = check_shape(launch, round);
    return wrong.empty() ? Extents(launch, round, VARIANT).check() : wrong;
}

template <class Argument, void (*KERNEL)(Argument), bool COOPERATIVE = false>
void run_with(const standin::Launch& launch, unsigned schedule) {
    using cuda_host::Schedule;
    cuda_host::schedule = schedule == 0 ? Schedule::forward : schedule == 1 ? Schedule::reverse : Schedule::random;
    cuda_host::seed = schedule;
    Argument argument;
    std::memcpy(&argument, launch.parameters, sizeof argument);
    const dim3 grid = {launch.grid.x, launch.grid.y, launch.grid.z};
    const dim3 block = {launch.block.x, launch.block.y, launch.block.z};
    if (COOPERATIVE) {
        cuda_host::launch_cooperative(grid, block, launch.shared, [&] { KERNEL(argument); });
    } else {
        cuda_host::launch(grid, block, launch.shared, [&] { KERNEL(argument); });
    }
}

template <void (*KERNEL)(Round)>
void run(const standin::Launch& launch, unsigned schedule) {
    run_with<Round, KERNEL>(launch, schedule);
}

// --- whole searches ---

template <void (*KERNEL)(direct::Task)>
void run_searches(const standin::Launch& launch, unsigned schedule) {
    run_with<direct::Task, KERNEL>(launch, schedule);
}

template <void (*KERNEL)(direct::Task)>
void run_wide_searches(const standin::Launch& launch, unsigned schedule) {
    run_with<direct::Task, KERNEL, true>(launch, schedule);
}

// Bytes of the classes, and of the rectangles with their divisions.
std::size_t class_bytes(const direct::Task& task) { return std::size_t{direct::CLASS_BYTES} * task.classes; }

std::size_t rectangle_bytes(const direct::Task& task, bool compact) {
    const std::size_t rectangles = compact ? direct::compact_bytes(task.capacity)
                                           : std::size_t{direct::RECTANGLE_BYTES} * task.capacity;
    return rectangles + std::size_t{direct::DIVISION_BYTES} * task.divisions;
}

// The members of a group, their legs, and what is staged of them.
std::string check_members(const standin::Launch& launch, const direct::Task& task, const Variant& variant,
                          const direct::Group& group) {
    if (!launch.inside(task.members + group.first, group.members * sizeof(uint2))) {
        return "members leave their allocation";
    }
    std::size_t legs = 0;
    for (unsigned member = 0; member < group.members; ++member) {
        const uint2 slot = task.members[group.first + member];
        if (!launch.inside(task.spans + slot.x, sizeof(Span))) {
            return "spans leave their allocation";
        }
        const Span span = task.spans[slot.x];
        const std::size_t end = std::size_t{span.first} + span.longs + span.shorts;
        if (end > 0 && !launch.inside(task.legs, end * variant.leg)) {
            return "legs leave their allocation";
        }
        if (end > 0 && variant.term > 0 && !launch.inside(task.terms, end * variant.term)) {
            return "terms leave their allocation";
        }
        if (slot.y != legs) {
            return text("place of a member's legs", slot.y, legs);
        }
        legs += span.longs + span.shorts;
    }
    return legs == group.legs ? "" : text("legs of a group", group.legs, legs);
}

// A group, or a part of it, that one block scores with `shared` bytes of shared memory for its legs.
std::string check_group(const standin::Launch& launch, const direct::Task& task, const Variant& variant,
                        const direct::Group& group, std::size_t shared) {
    const bool staged = (task.flags & direct::LEGS_STAGED) != 0;
    const std::size_t legs = std::size_t{direct::LEG_BYTES} * group.legs + std::size_t{direct::MEMBER_BYTES} * task.places;
    if (staged && shared < legs) {
        return text("shared memory for legs", shared, legs);
    }
    if (staged && task.places < group.members) {
        return text("places of members", task.places, group.members);
    }
    const std::string wrong = check_members(launch, task, variant, group);
    return wrong.empty() ? "" : "group " + std::to_string(group.index) + ": " + wrong;
}

// The parts of a group follow each other.
std::string check_parts(const standin::Launch& launch, const direct::Task& task, const Variant& variant,
                        const direct::Group& group, const direct::Group* parts, std::size_t shared) {
    unsigned next = group.first;
    unsigned legs = 0;
    for (unsigned block = 0; block < launch.grid.x; ++block) {
        const direct::Group part = parts[block];
        if (part.first != next || part.index != group.index || part.scale != group.scale) {
            return text("first member of a part", part.first, next);
        }
        const std::string wrong = check_group(launch, task, variant, part, shared);
        if (!wrong.empty()) {
            return wrong;
        }
        next += part.members;
        legs += part.legs;
    }
    return next == group.first + group.members && legs == group.legs ? "" : "the parts are not the group";
}

template <bool WIDE>
standin::Range scratch_of_searches(const standin::Launch& launch) {
    direct::Task task;
    std::memcpy(&task, launch.parameters, sizeof task);
    const std::size_t searches =
        WIDE ? std::size_t{launch.grid.y} * launch.grid.z : std::size_t{launch.grid.x} * launch.grid.y;
    return {task.scratch, searches * task.scratch_bytes};
}

template <const Variant& VARIANT, bool WIDE, bool SPILLED, bool COMPACT = false>
std::string check_searches(const standin::Launch& launch) {
    direct::Task task;
    std::memcpy(&task, launch.parameters, sizeof task);
    const unsigned groups = WIDE ? launch.grid.y : launch.grid.x;
    const unsigned rules = WIDE ? launch.grid.z : launch.grid.y;
    if (launch.block.x % 32 != 0 || launch.block.y != 1 || launch.block.z != 1 || (!WIDE && launch.grid.z != 1)) {
        return "blocks are not of whole warps in one dimension, or grids have three";
    }
    if (task.capacity == 0 || task.capacity > 1u << 17 || task.classes == 0 || task.divisions == 0) {
        return "no room for a rectangle, a class or a division, or too much";
    }
    const bool classes_spilled = (task.flags & direct::CLASSES_SPILLED) != 0;
    const bool rectangles_spilled = (task.flags & direct::RECTANGLES_SPILLED) != 0;
    if ((classes_spilled || rectangles_spilled) != SPILLED) {
        return "something is spilled, and the kernel is that of searches where nothing is, or the other way round";
    }
    if (COMPACT && task.capacity > direct::MOST_COMPACT_RECTANGLES) {
        return text("rectangles of a compact search", task.capacity, direct::MOST_COMPACT_RECTANGLES);
    }
    if ((task.flags & direct::LEGS_STAGED) == 0 && task.places != 0) {
        return text("places of members", task.places, 0);
    }
    std::size_t shared = direct::STATE_BYTES;
    std::size_t scratch = std::size_t{direct::CENTRE_BYTES} * task.capacity;
    (classes_spilled ? scratch : shared) += class_bytes(task);
    (rectangles_spilled ? scratch : shared) += rectangle_bytes(task, COMPACT);
    const std::size_t searches = std::size_t{groups} * rules;
    if (WIDE) {
        scratch += shared;
        shared += direct::WIDE_BYTES;
        if (task.pause_after == 0) {
            return "a launch without evaluations";
        }
        const std::size_t words =
            searches * (direct::POSTED_WORDS + std::size_t{direct::ANSWER_WORDS} * launch.grid.x);
        if (!launch.inside(task.boards, words * sizeof(unsigned long long))) {
            return "boards leave their allocation";
        }
        if (task.first_tag == 0 || task.first_tag + 2 + task.capacity < task.first_tag) {
            return "tags begin with 0, or begin again";
        }
        for (std::size_t word = 0; word < words; ++word) {
            if (task.boards[word] >> 32 >= task.first_tag) {
                return "a word of a board has a tag that is to come";
            }
        }
        if (!launch.inside(task.parts, std::size_t{groups} * launch.grid.x * sizeof(direct::Group))) {
            return "parts leave their allocation";
        }
    }
    if (task.scratch_bytes != scratch) {
        return text("scratch of a search", task.scratch_bytes, scratch);
    }
    if (scratch > 0 && !launch.inside(task.scratch, searches * scratch)) {
        return "scratch leaves its allocation";
    }
    if (!launch.inside(task.thirds, direct::THIRDS * sizeof(double)) ||
        !launch.inside(task.sizes, task.classes * sizeof(double))) {
        return "tables leave their allocation";
    }
    if (!launch.inside(task.groups, groups * sizeof(direct::Group))) {
        return "groups leave their allocation";
    }
    if (!launch.inside(task.found, std::size_t{rules} * task.all_groups * sizeof(direct::Found))) {
        return "results leave their allocation";
    }
    if (launch.shared < shared) {
        return text("shared memory", launch.shared, shared);
    }
    const std::size_t for_legs = launch.shared - shared;
    for (unsigned at = 0; at < groups; ++at) {
        const direct::Group group = task.groups[at];
        if (group.index >= task.all_groups || group.members == 0) {
            return "a group is not one of all, or empty";
        }
        if (COMPACT && group.members != 1) {
            return text("members of a group of a compact search", group.members, 1);
        }
        const std::string wrong =
            WIDE ? check_parts(launch, task, VARIANT, group, task.parts + std::size_t{at} * launch.grid.x, for_legs)
                 : check_group(launch, task, VARIANT, group, for_legs);
        if (!wrong.empty()) {
            return wrong;
        }
    }
    return "";
}

// --- exact optima ---

// Bytes of shared memory that a block takes.
std::size_t optima_bytes(const exact::Task& task, bool at_close) {
    const std::size_t candidates = std::size_t{task.x_places} + 1 + task.z_places + 1;
    const std::size_t offsets =
        at_close ? 0 : exact::ROW_BYTES * (std::size_t{task.z_places} + 1) + exact::LAST_ROW_BYTES;
    return exact::HEADER_BYTES + exact::CANDIDATE_BYTES * candidates +
           std::size_t{exact::EVENT_BYTES} * task.events + offsets;
}

// Events that the legs of a group can have at most.
std::size_t most_events(const exact::Task& task, std::size_t legs, bool at_close) {
    return at_close ? 0 : (task.capped != 0 ? 3 : 2) * legs;
}

template <bool AT_CLOSE>
std::string check_optima(const standin::Launch& launch) {
    exact::Task task;
    std::memcpy(&task, launch.parameters, sizeof task);
    if (launch.block.x % 32 != 0 || launch.block.y != 1 || launch.block.z != 1 || launch.grid.y != 1 ||
        launch.grid.z != 1) {
        return "blocks are not of whole warps, or the grid has more than one dimension";
    }
    if (task.events % exact::EVENT_STEP != 0 ||
        std::size_t{task.events} * exact::EVENT_BYTES <
            (std::size_t{task.x_places} + task.z_places) * exact::SORT_BYTES) {
        return "no place to sort the candidates";
    }
    if (launch.shared < optima_bytes(task, AT_CLOSE)) {
        return text("shared memory", launch.shared, optima_bytes(task, AT_CLOSE));
    }
    if (!launch.inside(task.groups, launch.grid.x * sizeof(exact::Group)) ||
        !launch.inside(task.found, launch.grid.x * sizeof(exact::Optimum))) {
        return "groups or results leave their allocation";
    }
    for (unsigned block = 0; block < launch.grid.x; ++block) {
        const exact::Group group = task.groups[block];
        const std::size_t legs = std::size_t{group.longs} + group.shorts;
        if (legs > 0 && (!launch.inside(task.gates + group.first, legs * sizeof(float4)) ||
                         !launch.inside(task.terms + group.first, legs * sizeof(float2)))) {
            return "legs leave their allocation";
        }
        if (legs > task.z_places || (task.capped != 0 ? 2 : 1) * legs > task.x_places ||
            most_events(task, legs, AT_CLOSE) > task.events) {
            return text("legs of a group", legs, task.z_places);
        }
    }
    return "";
}

template <void (*KERNEL)(exact::Task)>
void run_optima(const standin::Launch& launch, unsigned schedule) {
    run_with<exact::Task, KERNEL>(launch, schedule);
}

}  // namespace

const std::vector<standin::Kernel>& standin::kernels() {
    static const std::vector<Kernel> all = {
        {"evaluate_intraday_f32", sizeof(Round), MAX_THREADS, check<INTRADAY_F32>, run<evaluate_intraday_f32>, false, false},
        {"evaluate_intraday_f16", sizeof(Round), MAX_THREADS, check<INTRADAY_HALF>, run<evaluate_intraday_f16>, false, false},
        {"evaluate_intraday_bf16", sizeof(Round), MAX_THREADS, check<INTRADAY_HALF>, run<evaluate_intraday_bf16>, false, false},
        {"evaluate_close_f32", sizeof(Round), MAX_THREADS, check<CLOSE_F32>, run<evaluate_close_f32>, false, false},
        {"evaluate_close_f16", sizeof(Round), MAX_THREADS, check<CLOSE_HALF>, run<evaluate_close_f16>, false, false},
        {"evaluate_close_bf16", sizeof(Round), MAX_THREADS, check<CLOSE_HALF>, run<evaluate_close_bf16>, false, false},
        {"direct_f32", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_F32, false, false>, run_searches<direct_f32>, true, false, scratch_of_searches<false>},
        {"direct_f16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, false>, run_searches<direct_f16>, true, false, scratch_of_searches<false>},
        {"direct_bf16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, false>, run_searches<direct_bf16>, true, false, scratch_of_searches<false>},
        {"direct_compact_f32", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_F32, false, false, true>, run_searches<direct_compact_f32>, true, false, scratch_of_searches<false>},
        {"direct_compact_f16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, false, true>, run_searches<direct_compact_f16>, true, false, scratch_of_searches<false>},
        {"direct_compact_bf16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, false, true>, run_searches<direct_compact_bf16>, true, false, scratch_of_searches<false>},
        {"direct_spilled_f32", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_F32, false, true>, run_searches<direct_spilled_f32>, true, false, scratch_of_searches<false>},
        {"direct_spilled_f16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, true>, run_searches<direct_spilled_f16>, true, false, scratch_of_searches<false>},
        {"direct_spilled_bf16", sizeof(direct::Task), direct::MAX_THREADS, check_searches<INTRADAY_HALF, false, true>, run_searches<direct_spilled_bf16>, true, false, scratch_of_searches<false>},
        {"direct_wide_f32", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_F32, true, false>, run_wide_searches<direct_wide_f32>, true, true, scratch_of_searches<true>},
        {"direct_wide_f16", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_HALF, true, false>, run_wide_searches<direct_wide_f16>, true, true, scratch_of_searches<true>},
        {"direct_wide_bf16", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_HALF, true, false>, run_wide_searches<direct_wide_bf16>, true, true, scratch_of_searches<true>},
        {"direct_wide_spilled_f32", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_F32, true, true>, run_wide_searches<direct_wide_spilled_f32>, true, true, scratch_of_searches<true>},
        {"direct_wide_spilled_f16", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_HALF, true, true>, run_wide_searches<direct_wide_spilled_f16>, true, true, scratch_of_searches<true>},
        {"direct_wide_spilled_bf16", sizeof(direct::Task), direct::MAX_WIDE_THREADS, check_searches<INTRADAY_HALF, true, true>, run_wide_searches<direct_wide_spilled_bf16>, true, true, scratch_of_searches<true>},
        {"exact_intraday", sizeof(exact::Task), exact::MAX_THREADS, check_optima<false>, run_optima<exact_intraday>, true, false},
        {"exact_close", sizeof(exact::Task), exact::MAX_THREADS, check_optima<true>, run_optima<exact_close>, true, false},
    };
    return all;
}
