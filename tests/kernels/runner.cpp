// Runs the evaluation kernels on a CPU over cases from a file and compares every bit.
//
//   runner FILE [forward | reverse | random SEED]
//   runner legs FILE          derives legs as the 16-bit kernels do, and compares them
//   runner fault NAME         does what cuda_host.h must notice; never returns
//
// A case is one launch: a header of 32-bit words, then arrays, each a 64-bit count of bytes and the
// bytes. Prints "launches L compared C nonzero N", or the first value that differs and exits with 1.
#include "../../kernels/evaluate.cu"

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

[[noreturn]] void give_up(const std::string& why) {
    std::cerr << "runner: " << why << '\n';
    std::exit(2);
}

/// The words before the arrays of a case.
struct Header {
    std::uint32_t kernel;
    std::uint32_t block;
    std::uint32_t splits;
    std::uint32_t count;
    std::uint32_t by_legs;
    std::uint32_t packed_from;
    std::uint32_t pack_lanes;
    std::uint32_t single;
    float fee;
    // Which of the optional arrays are there.
    std::uint32_t has_offsets;
    std::uint32_t has_sums;
};

/// Reads the file from front to back.
class Reader {
public:
    explicit Reader(const char* path) {
        std::ifstream file(path, std::ios::binary);
        if (!file) {
            give_up(std::string("cannot read ") + path);
        }
        bytes_.assign(std::istreambuf_iterator<char>(file), {});
    }

    bool at_end() const { return next_ == bytes_.size(); }

    template <class T>
    T value() {
        T value;
        std::memcpy(&value, take(sizeof(T)), sizeof(T));
        return value;
    }

    /// An array of its own, so that a sanitizer sees where it ends.
    template <class T>
    std::vector<T> array() {
        const auto bytes = value<std::uint64_t>();
        std::vector<T> array(bytes / sizeof(T));
        const char* from = take(bytes);
        if (bytes != 0) {
            std::memcpy(array.data(), from, bytes);
        }
        return array;
    }

private:
    const char* take(std::size_t bytes) {
        if (bytes_.size() - next_ < bytes) {
            give_up("the file ends within a case");
        }
        const char* from = bytes_.data() + next_;
        next_ += bytes;
        return from;
    }

    std::vector<char> bytes_;
    std::size_t next_ = 0;
};

struct Counts {
    std::size_t launches = 0;
    std::size_t compared = 0;
    std::size_t nonzero = 0;
};

using Kernel = void (*)(Round);

constexpr Kernel KERNELS[] = {
    evaluate_intraday_f32, evaluate_close_f32,     evaluate_intraday_f16,
    evaluate_close_f16,    evaluate_intraday_bf16, evaluate_close_bf16,
};

bool at_close(const Header& header) { return header.kernel % 2 == 1; }

std::size_t shared_bytes(const Header& header, const std::vector<Span>& spans) {
    std::size_t bytes = SHARED_BYTES;
    for (std::size_t slot = header.by_legs; slot < header.packed_from; ++slot) {
        const std::size_t per_leg =
            at_close(header) ? STAGED_BYTES_PER_LEG_CLOSE : STAGED_BYTES_PER_LEG_INTRADAY;
        const std::size_t legs = spans[slot].longs + spans[slot].shorts;
        bytes = std::max(bytes,
                         SHARED_BYTES + STAGED_BYTES_PER_THREAD * header.block + per_leg * legs);
    }
    if (header.packed_from < spans.size()) {
        const std::size_t per_slot =
            at_close(header) ? PACKED_BYTES_PER_SLOT_CLOSE : PACKED_BYTES_PER_SLOT_INTRADAY;
        bytes = std::max(bytes, SHARED_BYTES + per_slot * (header.block / header.pack_lanes));
    }
    return bytes;
}

template <class T>
void compare(const std::vector<T>& expected, const std::vector<T>& got, Counts& counts) {
    for (std::size_t at = 0; at < expected.size(); ++at) {
        if (std::memcmp(&expected[at], &got[at], sizeof(T)) != 0) {
            std::cerr.precision(17);
            std::cerr << "case " << counts.launches << " value " << at << " of " << expected.size()
                      << ": expected " << expected[at] << ", got " << got[at] << '\n';
            std::exit(1);
        }
        ++counts.compared;
        counts.nonzero += expected[at] != 0;
    }
}

void run_case(Reader& reader, Counts& counts) {
    const auto header = reader.value<Header>();
    const auto legs = reader.array<float4>();
    const auto terms = reader.array<float2>();
    const auto records = reader.array<std::uint32_t>();
    const auto spans = reader.array<Span>();
    const auto group_of = reader.array<unsigned>();
    const auto scales = reader.array<double>();
    const auto pairs = reader.array<float2>();
    const auto offsets = reader.array<unsigned>();
    const auto rows = reader.array<unsigned long long>();
    const auto expected_sums = reader.array<long long>();
    const auto expected_profits = reader.array<float>();

    if (header.block > MAX_THREADS) {
        give_up("more threads than the kernels are compiled for");
    }
    // What is stored needs no memory that was cleared, what is added to does.
    std::vector<long long> sums(expected_sums.size(), header.single != 0 ? -0x5a5a5a5a : 0);
    std::vector<float> profits(expected_profits.size(), -1.0e30f);

    Round round = {};
    round.legs = records.empty() ? static_cast<const void*>(legs.data()) : records.data();
    round.terms = terms.data();
    round.spans = spans.data();
    round.group_of = group_of.data();
    round.scales = scales.data();
    round.pairs = pairs.data();
    round.offsets = header.has_offsets != 0 ? offsets.data() : nullptr;
    round.sums = header.has_sums != 0 ? sums.data() : nullptr;
    round.profits = header.has_sums != 0 ? nullptr : profits.data();
    round.rows = rows.data();
    round.count = header.count;
    round.slots = static_cast<unsigned>(spans.size());
    round.by_legs = header.by_legs;
    round.packed_from = header.packed_from;
    round.pack_lanes = header.pack_lanes;
    round.single = header.single;
    round.fee = header.fee;

    const unsigned per_block = header.block / header.pack_lanes;
    const unsigned packed = round.slots - header.packed_from;
    const dim3 grid = {header.packed_from + (packed + per_block - 1) / per_block, header.splits, 1};
    cuda_host::launch(grid, {header.block, 1, 1}, shared_bytes(header, spans),
                      [&] { KERNELS[header.kernel](round); });

    compare(expected_sums, sums, counts);
    compare(expected_profits, profits, counts);
    ++counts.launches;
}

/// A bar with its side, and the leg that must come of it.
struct LegCase {
    Bar bar;
    std::uint32_t is_short;
    Leg leg;
};

void run_legs(const char* path) {
    Reader reader(path);
    const auto fee = reader.value<float>();
    const auto cases = reader.array<LegCase>();
    for (std::size_t at = 0; at < cases.size(); ++at) {
        const LegCase& one = cases[at];
        const Leg got =
            one.is_short != 0 ? make_leg<true>(one.bar, fee) : make_leg<false>(one.bar, fee);
        if (std::memcmp(&got, &one.leg, sizeof(Leg)) != 0) {
            std::cerr.precision(9);
            std::cerr << "leg " << at << ": expected gates " << one.leg.high_gate << ' '
                      << one.leg.low_gate << ", got " << got.high_gate << ' ' << got.low_gate
                      << '\n';
            std::exit(1);
        }
    }
    std::cout << "legs " << cases.size() << '\n';
}

/// Mistakes that kernels could make.
void make_fault(const std::string& name) {
    const dim3 block = {64, 1, 1};
    if (name == "block-barrier") {
        cuda_host::launch({}, block, 0, [] {
            if (threadIdx.x != 5) {
                __syncthreads();
            }
        });
    } else if (name == "warp-barrier") {
        cuda_host::launch({}, block, 0, [] {
            if (threadIdx.x % 32 < 16) {
                __syncwarp();
            } else {
                __syncthreads();
            }
        });
    } else if (name == "collectives") {
        cuda_host::launch({}, block, 0, [] {
            if (threadIdx.x % 2 == 0) {
                __ballot_sync(ALL_LANES, true);
            } else {
                __shfl_xor_sync(ALL_LANES, 1, 1);
            }
        });
    } else if (name == "shared-memory") {
        cuda_host::launch({}, block, 64 * sizeof(float), [] {
            DYNAMIC_SHARED(float, memory);
            memory[threadIdx.x + 1] = 0.0f;
        });
    }
    give_up("not noticed: " + name);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        give_up("usage: runner FILE [forward | reverse | random SEED]");
    }
    if (argc == 3 && std::string(argv[1]) == "fault") {
        make_fault(argv[2]);
    }
    if (argc == 3 && std::string(argv[1]) == "legs") {
        run_legs(argv[2]);
        return 0;
    }
    const std::string schedule = argc > 2 ? argv[2] : "forward";
    if (schedule == "reverse") {
        cuda_host::schedule = cuda_host::Schedule::reverse;
    } else if (schedule == "random" && argc > 3) {
        cuda_host::schedule = cuda_host::Schedule::random;
        cuda_host::seed = std::stoull(argv[3]);
    } else if (schedule != "forward") {
        give_up("no such schedule: " + schedule);
    }
    Reader reader(argv[1]);
    Counts counts;
    while (!reader.at_end()) {
        run_case(reader, counts);
    }
    std::cout << "launches " << counts.launches << " compared " << counts.compared << " nonzero "
              << counts.nonzero << '\n';
}
