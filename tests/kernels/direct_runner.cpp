// Runs whole searches on a CPU over legs that it draws, and checks that nothing but the search shows: the same bits
// for every number of threads and blocks, for every place where a wide search is cut and, with fibers, for every
// schedule. Meant for the sanitizers, too; that the bits are the right ones is tested through the stand-in driver.
//
//   direct_runner SEARCHES
//
// Prints "searches S evaluations E launches L" (those of wide searches), or the first difference and exits with 1.
#include "../../kernels/direct.cu"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace {

/// Otherwise every CUDA thread is one of the machine, and there can be few.
#ifdef CUDA_HOST_THREADS
constexpr bool FIBERS = false;
#else
constexpr bool FIBERS = true;
#endif

/// A search and everything its argument points to.
struct Case {
    std::vector<float4> gates;
    std::vector<float2> terms;
    std::vector<Span> spans;
    std::vector<uint2> members;
    std::vector<direct::Group> groups;
    std::vector<double> thirds;
    std::vector<double> sizes;
    direct::Task task = {};
    unsigned shared = 0;
};

double third(unsigned depth) {
    double power = 1.0;
    for (unsigned i = 0; i < depth; ++i) {
        power *= 3.0;
    }
    return depth == 0 ? 1.0 : 1.0 / power;
}

double half_diagonal(unsigned level) {
    const double width = 0.5 * std::sqrt((2 - level % 2) + (level % 2) / 9.0);
    double power = 1.0;
    for (unsigned i = 0; i < level / 2; ++i) {
        power *= 3.0;
    }
    return width / power;
}

template <class T>
T pick(std::mt19937& random, std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
}

/// What is special about a case.
enum class Kind {
    usual,
    /// Some classes have sizes that are no more: then slopes are what the shortcuts do not expect.
    vanishing,
    /// So few values that profits tie.
    tied,
    /// A box so narrow that children soon equal their parents, and all that is selected is retired.
    narrow,
    /// All values tie, so that whole classes are divided at once.
    plateau,
};

/// In turn.
Kind kind_of(unsigned seed) { return static_cast<Kind>(seed % 5); }

/// Now and then more points in a round than a warp has lanes, and more blocks than that.
bool is_large(unsigned seed) { return FIBERS && seed % 20 == 5; }

Case draw(unsigned seed) {
    std::mt19937 random(seed);
    const Kind kind = kind_of(seed);
    const unsigned values = kind == Kind::tied ? 4 : 4096;
    auto between = [&](float low, float high) {
        return low + (high - low) * static_cast<float>(random() % values) / static_cast<float>(values);
    };
    Case drawn;
    unsigned place = 0;
    const unsigned simulations = kind == Kind::plateau ? 1 : 1 + random() % 5;
    for (unsigned slot = 0; slot < simulations; ++slot) {
        // Every third has no leg: a plateau.
        const unsigned legs = kind == Kind::plateau || slot % 3 == 2 ? 0 : 1 + random() % 60;
        Span span = {static_cast<unsigned>(drawn.gates.size()), legs / 2, legs - legs / 2, slot, 0};
        for (unsigned leg = 0; leg < legs; ++leg) {
            drawn.gates.push_back(make_float4(between(-0.02f, 0.02f), between(-0.02f, 0.02f), between(0.0f, 0.02f),
                                              between(-0.02f, 0.0f)));
            drawn.terms.push_back(make_float2(between(-0.03f, 0.03f), between(0.1f, 1.0f)));
        }
        drawn.spans.push_back(span);
        drawn.members.push_back(make_uint2(slot, place));
        place += legs;
    }
    // One group of all, then each alone.
    const double scale = std::ldexp(1.0, 40);
    drawn.groups.push_back({0, simulations, 0, place, scale, 1.0 / scale});
    for (unsigned slot = 0; slot < simulations; ++slot) {
        const unsigned legs = drawn.spans[slot].longs + drawn.spans[slot].shorts;
        const unsigned member = static_cast<unsigned>(drawn.members.size());
        drawn.members.push_back(make_uint2(slot, 0));
        drawn.groups.push_back({member, 1, slot + 1, legs, scale, 1.0 / scale});
    }

    direct::Task& task = drawn.task;
    for (direct::Axis& axis : task.axes) {
        axis = {-0.03, 0.03, 0.06, -0.03 / 0.06};
        if (kind == Kind::narrow) {
            axis = {1.0, 1.0 + 7e-16, 1.0 + 7e-16 - 1.0, 1.0 / (1.0 + 7e-16 - 1.0)};
        }
    }
    task.eps = pick(random, {1e-4, 0.0});
    task.volume_tolerance = pick(random, {1e-16, 0.0});
    task.side_tolerance = pick(random, {1e-6, 0.0, 1e-2});
    task.target_unit = 1.0;
    task.flags = pick(random, {0u, 0u, direct::SCIPY, direct::AGGRESSIVE}) |
                 pick(random, {0u, direct::HALF_DIAGONAL}) | pick(random, {0u, direct::EPS_FOLLOWS}) |
                 pick(random, {0u, direct::RECTANGLES_SPILLED}) | pick(random, {0u, direct::CLASSES_SPILLED}) |
                 pick(random, {0u, direct::LEGS_STAGED});
    if (kind == Kind::vanishing) {
        // Only scipy's rules know of them.
        task.flags = (task.flags & ~direct::AGGRESSIVE) | direct::SCIPY;
    }
    const bool to_the_end = kind == Kind::narrow || kind == Kind::plateau;
    if (to_the_end) {
        // Scipy's rules retire nothing.
        task.flags &= ~direct::SCIPY;
        task.volume_tolerance = 0.0;
        task.side_tolerance = 0.0;
    }
    if (kind == Kind::plateau) {
        task.flags = (task.flags & ~direct::AGGRESSIVE) | direct::HALF_DIAGONAL;
    }
    const bool scipy = (task.flags & direct::SCIPY) != 0;
    if (!scipy && kind != Kind::plateau) {
        task.flags |= pick(random, {0u, direct::ONE_LONGEST});
    }
    const unsigned most = is_large(seed) ? 900 : 90;
    const unsigned budget = kind == Kind::plateau ? 90 : 1 + random() % most;
    task.capacity = scipy ? budget + budget / 2 + 999 : budget;
    task.enough = scipy ? budget + 1 : budget;
    task.max_iterations = to_the_end ? 0 : pick(random, {0u, 0u, 5u});
    // Too few now and then: then there is no result, and no harm.
    task.classes = kind == Kind::plateau ? 64 : pick(random, {64u, 64u, 4u});
    const bool half = (task.flags & direct::HALF_DIAGONAL) != 0;
    task.divisions = half && (task.flags & direct::AGGRESSIVE) == 0 ? task.capacity : task.classes;
    task.levels = scipy ? (task.capacity + 1) / 5 : 0xffffffffu;
    task.all_groups = static_cast<unsigned>(drawn.groups.size());
    task.at_close = 2;
    task.fee = 0.001f;
    for (unsigned depth = 0; depth < direct::THIRDS; ++depth) {
        drawn.thirds.push_back(third(depth));
    }
    for (unsigned level = 0; level < task.classes; ++level) {
        drawn.sizes.push_back(kind == Kind::vanishing && level >= 4 ? 0.0 : half ? half_diagonal(level) : third(level));
    }
    unsigned scratch = direct::CENTRE_BYTES * task.capacity;
    drawn.shared = direct::STATE_BYTES;
    (task.flags & direct::CLASSES_SPILLED ? scratch : drawn.shared) += direct::CLASS_BYTES * task.classes;
    (task.flags & direct::RECTANGLES_SPILLED ? scratch : drawn.shared) +=
        direct::RECTANGLE_BYTES * task.capacity + direct::DIVISION_BYTES * task.divisions;
    if (task.flags & direct::LEGS_STAGED) {
        task.places = simulations;
        drawn.shared += direct::LEG_BYTES * place + direct::MEMBER_BYTES * task.places;
    }
    task.scratch_bytes = scratch;
    return drawn;
}

/// Lets the argument point to what the case holds, and to this memory.
void point(direct::Task& task, const Case& drawn, std::vector<direct::Centre>& scratch,
           std::vector<direct::Found>& found) {
    task.legs = drawn.gates.data();
    task.terms = drawn.terms.data();
    task.spans = drawn.spans.data();
    task.members = drawn.members.data();
    task.groups = drawn.groups.data();
    task.thirds = drawn.thirds.data();
    task.sizes = drawn.sizes.data();
    task.scratch = reinterpret_cast<unsigned char*>(scratch.data());
    task.found = found.data();
}

std::vector<direct::Found> run(const Case& drawn, unsigned threads) {
    direct::Task task = drawn.task;
    const unsigned blocks = 2 * task.all_groups;
    std::vector<direct::Centre> scratch((blocks * task.scratch_bytes + 15) / 16);
    std::vector<direct::Found> found(blocks);
    point(task, drawn, scratch, found);
    cuda_host::launch({task.all_groups, 2, 1}, {threads, 1, 1}, drawn.shared, [&] {
        if (task.flags & (direct::CLASSES_SPILLED | direct::RECTANGLES_SPILLED)) {
            direct_spilled_f32(task);
        } else {
            direct_f32(task);
        }
    });
    return found;
}

/// The groups of one member by compact searches, unless there are too many rectangles; the others as `expected`.
std::vector<direct::Found> run_compact(const Case& drawn, unsigned threads, std::size_t& compact,
                                       const std::vector<direct::Found>& expected) {
    direct::Task task = drawn.task;
    const unsigned groups = task.all_groups - 1;
    std::vector<direct::Found> found = expected;
    if (task.capacity > direct::MOST_COMPACT_RECTANGLES) {
        return found;
    }
    for (std::size_t at = 0; at < found.size(); ++at) {
        if (at % task.all_groups != 0) {
            found[at] = {};
        }
    }
    unsigned shared = direct::STATE_BYTES + direct::CLASS_BYTES * task.classes +
                      direct::compact_bytes(task.capacity) + direct::DIVISION_BYTES * task.divisions;
    if (task.flags & direct::LEGS_STAGED) {
        shared += direct::LEG_BYTES * drawn.groups[0].legs + direct::MEMBER_BYTES * task.places;
    }
    task.flags &= ~(direct::CLASSES_SPILLED | direct::RECTANGLES_SPILLED);
    task.scratch_bytes = direct::CENTRE_BYTES * task.capacity;
    std::vector<direct::Centre> scratch(2 * groups * task.capacity);
    point(task, drawn, scratch, found);
    task.groups += 1;
    cuda_host::launch({groups, 2, 1}, {threads, 1, 1}, shared, [&] { direct_compact_f32(task); });
    compact += 2 * groups;
    return found;
}

/// The first search of each group by several blocks, cut after every `pause_after` evaluations; adds to `launches`.
std::vector<direct::Found> run_wide(const Case& drawn, unsigned threads, unsigned blocks, unsigned pause_after,
                                    std::size_t& launches) {
    direct::Task task = drawn.task;
    const unsigned groups = task.all_groups;
    const unsigned searches = 2 * groups;
    // The members of a group in equal parts: with more blocks than members, some have none.
    std::vector<uint2> members = drawn.members;
    std::vector<direct::Group> parts;
    unsigned most_legs = 0;
    for (const direct::Group& group : drawn.groups) {
        for (unsigned block = 0; block < blocks; ++block) {
            const unsigned start = group.members * block / blocks;
            const unsigned end = group.members * (block + 1) / blocks;
            direct::Group part = group;
            part.first = group.first + start;
            part.members = end - start;
            part.legs = 0;
            for (unsigned member = part.first; member < part.first + part.members; ++member) {
                members[member].y = part.legs;
                part.legs += drawn.spans[members[member].x].longs + drawn.spans[members[member].x].shorts;
            }
            most_legs = std::max(most_legs, part.legs);
            parts.push_back(part);
        }
    }
    const bool staged = (task.flags & direct::LEGS_STAGED) != 0;
    unsigned store = direct::STATE_BYTES;
    store += task.flags & direct::CLASSES_SPILLED ? 0 : direct::CLASS_BYTES * task.classes;
    store += task.flags & direct::RECTANGLES_SPILLED
                 ? 0
                 : direct::RECTANGLE_BYTES * task.capacity + direct::DIVISION_BYTES * task.divisions;
    const unsigned legs = staged ? direct::LEG_BYTES * most_legs + direct::MEMBER_BYTES * task.places : 0;
    const unsigned shared = direct::WIDE_BYTES + store + legs;
    task.scratch_bytes += store;
    std::vector<direct::Centre> scratch(searches * ((task.scratch_bytes + 15) / 16));
    std::vector<direct::Found> found(searches);
    std::vector<unsigned long long> boards(searches * (direct::POSTED_WORDS + direct::ANSWER_WORDS * blocks));
    point(task, drawn, scratch, found);
    task.first_tag = 1;
    task.members = members.data();
    task.boards = boards.data();
    task.pause_after = pause_after;
    const unsigned at_once = FIBERS ? groups : 1;
    for (unsigned first = 0; first < groups; first += at_once) {
        task.groups = drawn.groups.data() + first;
        task.parts = parts.data() + first * blocks;
        task.flags = drawn.task.flags;
        // As many launches as the host would plan, which cannot know how soon a search ends.
        for (unsigned done = 0; done < task.capacity; done += std::min(pause_after, task.capacity)) {
            cuda_host::launch_cooperative({blocks, at_once, 2}, {threads, 1, 1}, shared, [&] {
                if (task.flags & (direct::CLASSES_SPILLED | direct::RECTANGLES_SPILLED)) {
                    direct_wide_spilled_f32(task);
                } else {
                    direct_wide_f32(task);
                }
            });
            task.flags |= direct::RESUMED;
            task.first_tag += task.capacity + 2;
            ++launches;
        }
    }
    return found;
}

void compare(unsigned seed, const std::vector<direct::Found>& expected, const std::vector<direct::Found>& got,
             const std::string& what) {
    for (std::size_t at = 0; at < expected.size(); ++at) {
        if (std::memcmp(&expected[at], &got[at], sizeof expected[at]) != 0) {
            std::cerr << "seed " << seed << " search " << at << ": " << what << " shows\n";
            std::exit(1);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned long wanted = argc > 1 ? std::stoul(argv[1]) : 100;
    std::size_t searches = 0;
    std::size_t evaluations = 0;
    std::size_t launches = 0;
    std::size_t compact = 0;
    for (unsigned seed = 0; searches < wanted; ++seed) {
        const Case drawn = draw(seed);
        const std::vector<direct::Found> found = run(drawn, 32);
        for (const direct::Found& one : found) {
            if (one.stop == direct::RUNNING || one.stop > direct::OVERFLOW || one.evaluations > drawn.task.capacity) {
                std::cerr << "seed " << seed << ": no end, or too many evaluations\n";
                return 1;
            }
            evaluations += one.evaluations;
        }
        searches += found.size();
        compare(seed, found, run(drawn, 96), "the number of threads");
        compare(seed, found, run_compact(drawn, 64, compact, found), "how much memory a rectangle has");
        const unsigned all = ~0u;
#ifndef CUDA_HOST_THREADS
        const unsigned blocks = 1 + (is_large(seed) ? 7 * seed % 40 : seed % 4);
        compare(seed, found, run_wide(drawn, 64, blocks, all, launches), "the number of blocks");
        cuda_host::schedule = cuda_host::Schedule::reverse;
        compare(seed, found, run(drawn, 64), "the schedule");
        compare(seed, found, run_compact(drawn, 32, compact, found), "the schedule of a compact search");
        compare(seed, found, run_wide(drawn, 64, 1 + blocks % 4, 1 + drawn.task.capacity / 3, launches),
                "where a wide search was cut");
        cuda_host::schedule = cuda_host::Schedule::random;
        cuda_host::seed = seed + 1;
        compare(seed, found, run(drawn, 256), "the schedule");
        compare(seed, found, run_compact(drawn, 128, compact, found), "the schedule of a compact search");
        compare(seed, found, run_wide(drawn, 96, 1 + (blocks + 1) % 4, 1 + drawn.task.capacity / 2, launches),
                "the schedule of a wide search");
        cuda_host::schedule = cuda_host::Schedule::forward;
#else
        compare(seed, found, run_wide(drawn, 64, 2, seed % 2 == 0 ? all : 1 + drawn.task.capacity / 2, launches),
                "the number of blocks");
#endif
    }
    if (compact == 0) {
        std::cerr << "no search was compact\n";
        return 1;
    }
    std::cout << "searches " << searches << " evaluations " << evaluations << " launches " << launches << '\n';
}
