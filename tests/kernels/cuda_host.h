// Runs CUDA kernels on a CPU, from the same source that nvcc compiles.
//
// A kernel file that is compiled as plain C++ includes this header and finds the part of CUDA that
// the kernels of this project use: built-in variables, barriers, warp collectives, atomics,
// dynamic shared memory, conversions. `cuda_host::launch(grid, block, shared_bytes, body)` runs
// `body()` once per CUDA thread, as a kernel launch would, and returns when all are done.
// `cuda_host::launch_cooperative` does the same with all blocks in flight at once, for kernels whose blocks wait
// for each other; a thread that waits so says `__nanosleep`.
//
// Two back ends:
//
// * Fibers (default; C++17): all CUDA threads of a block take turns in one OS thread, blocks run one
//   after another. A thread runs until it waits or ends. `cuda_host::schedule` says who is next:
//   the lowest index, the highest, or a seeded random one. A missing barrier shows as a wrong
//   result under one of these, for the data it guards is not there yet or gone already.
// * Threads (`-DCUDA_HOST_THREADS`, and always under AddressSanitizer and ThreadSanitizer, which do
//   not follow a change of stacks; C++20): one OS thread per CUDA thread, two blocks at a time. Barriers
//   order only those who take part, and votes and exchanges of a warp order nothing, so ThreadSanitizer sees
//   a missing barrier, and a plain store where blocks need an atomic.
//
// What is checked, and ends the process with a message on stderr:
//
// * a barrier or a collective that some of its threads never reach, because they wait elsewhere
//   or have ended (fibers: at once; threads: when no thread has moved for `PATIENCE`), and blocks that wait for
//   what no block does
// * threads of one warp in different collectives, or with different masks
// * stores behind the dynamic shared memory of a block
//
// Stricter than the hardware: a thread that has ended counts as missing, and so does a lane that
// the block does not have. Shared memory is dynamic only, and full of garbage when a block starts:
// NaN, large positive or large negative numbers, in turn.
//
// One launch at a time; others wait for it.
#pragma once

// Its longjmp refuses to change stacks.
#undef _FORTIFY_SOURCE

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CUDA_HOST_THREADS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CUDA_HOST_THREADS
#endif
#endif

#ifdef CUDA_HOST_THREADS
#include <barrier>
#include <thread>
#else
#include <csetjmp>
#include <ucontext.h>
#endif

// --- language ---

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
    unsigned x = 1;
    unsigned y = 1;
    unsigned z = 1;
};

struct float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct uint2 {
    unsigned x, y;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// --- launching ---

namespace cuda_host {

constexpr unsigned WARP = 32;
constexpr unsigned FULL_WARP = 0xffffffffu;

/// Bytes behind the shared memory that no kernel may change.
constexpr std::size_t GUARD_BYTES = 256;
constexpr unsigned char GUARD = 0x5a;

/// Which thread of a block runs next. Fibers only.
enum class Schedule { forward, reverse, random };

inline Schedule schedule = Schedule::forward;
inline std::uint64_t seed = 1;

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "cuda_host: %s\n", what);
    std::fflush(stderr);
    std::abort();
}

/// The dynamic shared memory of one block.
class Shared {
public:
    explicit Shared(std::size_t bytes)
        : bytes_(bytes),
          memory_(static_cast<unsigned char*>(std::aligned_alloc(ALIGNMENT, allocated()))) {}
    ~Shared() { std::free(memory_); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

    /// Garbage, different from block to block: NaN, 1.3e7, -1.3e7 as f32.
    void poison(unsigned block) {
        constexpr unsigned char PATTERNS[] = {0xff, 0x4b, 0xcb};
        std::memset(memory_, PATTERNS[block % 3], bytes_);
        std::memset(memory_ + bytes_, GUARD, allocated() - bytes_);
    }

    void check() const {
        const unsigned char* end = memory_ + allocated();
        if (std::any_of(static_cast<const unsigned char*>(memory_) + bytes_, end,
                        [](unsigned char byte) { return byte != GUARD; })) {
            fail("a store behind the shared memory of the block");
        }
    }

    void* data() const { return memory_; }

private:
    static constexpr std::size_t ALIGNMENT = 16;

    std::size_t allocated() const {
        return (bytes_ + GUARD_BYTES + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    std::size_t bytes_;
    unsigned char* memory_;
};

/// What a warp does together.
enum class Collective { barrier, exchange, ballot, match };

inline dim3 at(unsigned index, dim3 extent) {
    return {index % extent.x, index / extent.x % extent.y, index / (extent.x * extent.y)};
}

inline unsigned volume(dim3 extent) { return extent.x * extent.y * extent.z; }

inline std::mutex& launching() {
    static std::mutex mutex;
    return mutex;
}

inline dim3 grid_extent;
inline dim3 block_extent;

#ifndef CUDA_HOST_THREADS

constexpr std::size_t STACK_BYTES = 128 * 1024;

/// Sleeping: it waits for another block, so it goes on only when nobody else can.
enum class State { runnable, at_block_barrier, in_collective, sleeping, ended };

/// How often all sleepers of a grid may wake and find nothing changed.
constexpr unsigned VAIN_WAKES = 3;

struct Fiber {
    /// Where it begins, on its own stack.
    ucontext_t context;
    /// Where it goes on, once it has begun: a change of context by ucontext would take two system calls.
    std::jmp_buf jump;
    bool begun;
    std::unique_ptr<unsigned char[]> stack;
    dim3 index;
    State state;
    // The collective it waits in: what it gives, whose value it wants, what it got.
    Collective collective;
    unsigned mask;
    unsigned source;
    std::uint64_t value;
    std::uint64_t result;
};

/// All there is about a block in flight.
struct Block {
    std::vector<Fiber> fibers;
    /// One bit per fiber that can go on.
    std::vector<std::uint64_t> runnable;
    dim3 index;
    void* shared;
    unsigned current;
    unsigned waiting;
    unsigned sleeping;
    unsigned ended;
};

/// Those in flight: one, or all of a cooperative launch.
inline std::vector<Block> blocks;
/// The one of the running fiber.
inline Block* running;
inline std::jmp_buf scheduler;
inline std::function<void()> body_of_launch;
inline std::uint64_t random_state;

inline Fiber& self() { return running->fibers[running->current]; }

inline unsigned rank() { return running->current; }

[[gnu::noinline]] inline void back_to_scheduler() {
    if (_setjmp(self().jump) == 0) {
        _longjmp(scheduler, 1);
    }
}

[[gnu::noinline]] inline void go_on(Fiber& fiber) {
    if (_setjmp(scheduler) != 0) {
        return;
    }
    if (fiber.begun) {
        _longjmp(fiber.jump, 1);
    }
    fiber.begun = true;
    setcontext(&fiber.context);
}

/// A fiber serves block after block, so that its context is made once per launch.
inline void fiber_main() {
    for (;;) {
        body_of_launch();
        self().state = State::ended;
        back_to_scheduler();
    }
}

inline void set_runnable(Block& block, unsigned fiber) {
    block.fibers[fiber].state = State::runnable;
    block.runnable[fiber / 64] |= std::uint64_t{1} << (fiber % 64);
}

inline std::uint64_t next_random() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/// The next fiber of a block to run, or the number of its fibers when none can.
inline unsigned pick(const Block& block) {
    const unsigned words = static_cast<unsigned>(block.runnable.size());
    const unsigned none = static_cast<unsigned>(block.fibers.size());
    if (schedule == Schedule::reverse) {
        for (unsigned word = words; word-- > 0;) {
            if (block.runnable[word] != 0) {
                return word * 64 + 63 - __builtin_clzll(block.runnable[word]);
            }
        }
        return none;
    }
    const unsigned start =
        schedule == Schedule::random ? static_cast<unsigned>(next_random() >> 33) % none : 0;
    const std::uint64_t from_start = ~std::uint64_t{0} << (start % 64);
    // The first word once more at the end, for the bits before the start.
    for (unsigned step = 0; step <= words; ++step) {
        const unsigned word = (start / 64 + step) % words;
        const std::uint64_t bits = block.runnable[word] & (step == 0 ? from_start : ~std::uint64_t{0});
        if (bits != 0) {
            return word * 64 + __builtin_ctzll(bits);
        }
    }
    return none;
}

inline void finish_block_barrier(Block& block) {
    const unsigned all = static_cast<unsigned>(block.fibers.size());
    if (block.waiting < all) {
        return;
    }
    block.waiting = 0;
    for (unsigned fiber = 0; fiber < all; ++fiber) {
        set_runnable(block, fiber);
    }
}

/// Lets the threads of the collective that `fiber` waits in go on, when all of them are there.
inline void finish_collective(Block& block, unsigned fiber) {
    const Fiber& first = block.fibers[fiber];
    const unsigned warp = fiber / WARP * WARP;
    unsigned votes = 0;
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if ((first.mask >> lane & 1) == 0) {
            continue;
        }
        if (warp + lane >= block.fibers.size()) {
            fail("a collective names a lane that the block does not have");
        }
        const Fiber& other = block.fibers[warp + lane];
        if (other.state == State::ended) {
            fail("a collective names a thread that has ended");
        }
        if (other.state != State::in_collective) {
            return;
        }
        if (other.collective != first.collective || other.mask != first.mask) {
            fail("threads of one warp wait in different collectives");
        }
        votes |= static_cast<unsigned>(other.value != 0) << lane;
    }
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if ((first.mask >> lane & 1) == 0) {
            continue;
        }
        Fiber& other = block.fibers[warp + lane];
        if (first.collective == Collective::ballot) {
            other.result = votes;
        } else if (first.collective == Collective::exchange) {
            if ((first.mask >> other.source & 1) == 0) {
                fail("a shuffle reads a lane outside its mask");
            }
            other.result = block.fibers[warp + other.source].value;
        } else if (first.collective == Collective::match) {
            other.result = 0;
            for (unsigned one = 0; one < WARP; ++one) {
                const bool alike = (first.mask >> one & 1) != 0 && block.fibers[warp + one].value == other.value;
                other.result |= std::uint64_t{alike} << one;
            }
        }
    }
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if ((block.fibers[fiber].mask >> lane & 1) != 0) {
            set_runnable(block, warp + lane);
        }
    }
}

/// Lets one fiber of a block run until it waits or ends; false when none can.
inline bool step(Block& block) {
    const unsigned all = static_cast<unsigned>(block.fibers.size());
    const unsigned next = pick(block);
    if (next == all) {
        return false;
    }
    block.current = next;
    block.runnable[next / 64] &= ~(std::uint64_t{1} << (next % 64));
    running = &block;
    go_on(block.fibers[next]);
    switch (block.fibers[next].state) {
        case State::at_block_barrier:
            ++block.waiting;
            finish_block_barrier(block);
            break;
        case State::in_collective:
            finish_collective(block, next);
            break;
        case State::sleeping:
            ++block.sleeping;
            break;
        default:
            ++block.ended;
    }
    return true;
}

/// Wakes who sleeps; returns how many.
inline unsigned wake(Block& block) {
    const unsigned woken = block.sleeping;
    for (unsigned fiber = 0; block.sleeping > 0; ++fiber) {
        if (block.fibers[fiber].state == State::sleeping) {
            set_runnable(block, fiber);
            --block.sleeping;
        }
    }
    return woken;
}

/// Which block goes on at a turn: as `pick` does among fibers.
inline std::size_t pick_block(std::size_t turn) {
    switch (schedule) {
        case Schedule::forward:
            return turn;
        case Schedule::reverse:
            return blocks.size() - 1 - turn;
        default:
            return (next_random() >> 33) % blocks.size();
    }
}

/// Runs the blocks in flight to their ends. Forward and reverse: a block goes on until it cannot.
inline void run_blocks() {
    const unsigned all = static_cast<unsigned>(blocks[0].fibers.size());
    for (Block& block : blocks) {
        block.waiting = 0;
        block.sleeping = 0;
        block.ended = 0;
        for (unsigned fiber = 0; fiber < all; ++fiber) {
            set_runnable(block, fiber);
        }
    }
    unsigned vain = 0;
    for (;;) {
        // What has run since the last wake, those that only woke and slept again aside.
        std::uint64_t steps = 0;
        if (schedule == Schedule::random && blocks.size() > 1) {
            // One step here, one step there, while that goes on.
            for (unsigned misses = 0; misses < 4 * blocks.size();) {
                const bool moved = step(blocks[pick_block(0)]);
                steps += moved;
                misses = moved ? 0 : misses + 1;
            }
        }
        for (std::size_t turn = 0; turn < blocks.size(); ++turn) {
            Block& block = blocks[schedule == Schedule::random ? turn : pick_block(turn)];
            while (step(block)) {
                ++steps;
            }
        }
        unsigned ended = 0;
        for (const Block& block : blocks) {
            ended += block.ended;
        }
        if (ended == all * blocks.size()) {
            return;
        }
        unsigned woken = 0;
        for (Block& block : blocks) {
            woken += wake(block);
        }
        vain = steps > woken ? 0 : vain + 1;
        if (woken == 0 || vain > VAIN_WAKES) {
            fail("deadlock: some threads of a block wait, the others wait elsewhere or ended");
        }
    }
}

inline void block_barrier() {
    self().state = State::at_block_barrier;
    back_to_scheduler();
}

inline void sleep() {
    self().state = State::sleeping;
    back_to_scheduler();
}

/// The fence is that of the one OS thread.
inline void fence() {}

/// One collective of the threads in `mask`: `value` is what this thread gives, the result what it
/// gets (the value of lane `source`, or the votes).
inline std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value,
                                unsigned source) {
    Fiber& fiber = self();
    if ((mask >> (rank() % WARP) & 1) == 0) {
        fail("a thread is not in the mask of its collective");
    }
    fiber.state = State::in_collective;
    fiber.collective = kind;
    fiber.mask = mask;
    fiber.source = source;
    fiber.value = value;
    back_to_scheduler();
    return fiber.result;
}

/// Launches with `in_flight` blocks at a time: one, or all.
inline void launch_in_flight(dim3 grid, dim3 extent, std::size_t shared_bytes, std::function<void()> body,
                             unsigned in_flight) {
    const std::lock_guard lock(launching());
    const unsigned threads = volume(extent);
    grid_extent = grid;
    block_extent = extent;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    body_of_launch = std::move(body);
    blocks.resize(in_flight);
    std::vector<std::unique_ptr<Shared>> shared;
    for (Block& block : blocks) {
        shared.push_back(std::make_unique<Shared>(shared_bytes));
        block.shared = shared.back()->data();
        block.fibers.resize(threads);
        block.runnable.assign((threads + 63) / 64, 0);
        for (unsigned thread = 0; thread < threads; ++thread) {
            Fiber& fiber = block.fibers[thread];
            fiber.index = at(thread, extent);
            if (fiber.stack == nullptr) {
                fiber.stack.reset(new unsigned char[STACK_BYTES]);
            }
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.get();
            fiber.context.uc_stack.ss_size = STACK_BYTES;
            fiber.context.uc_link = nullptr;
            makecontext(&fiber.context, fiber_main, 0);
            fiber.begun = false;
        }
    }
    for (unsigned index = 0; index < volume(grid); index += in_flight) {
        for (unsigned block = 0; block < in_flight; ++block) {
            blocks[block].index = at(index + block, grid);
            shared[block]->poison(index + block);
        }
        run_blocks();
        for (const std::unique_ptr<Shared>& memory : shared) {
            memory->check();
        }
    }
}

template <class Body>
void launch(dim3 grid, dim3 extent, std::size_t shared_bytes, Body&& body) {
    launch_in_flight(grid, extent, shared_bytes, std::ref(body), 1);
}

template <class Body>
void launch_cooperative(dim3 grid, dim3 extent, std::size_t shared_bytes, Body&& body) {
    launch_in_flight(grid, extent, shared_bytes, std::ref(body), volume(grid));
}

inline dim3 thread_index() { return self().index; }
inline dim3 block_index() { return running->index; }
inline void* shared_memory() { return running->shared; }

#else  // CUDA_HOST_THREADS

/// Blocks in flight at the same time, unless the launch is cooperative.
constexpr unsigned TEAMS = 2;

/// Without a finished block for so long, some threads wait for others that never come.
constexpr std::chrono::seconds PATIENCE{120};

/// Where the lanes of a warp exchange values. As on the device, that orders nothing else: ThreadSanitizer does not
/// look into these functions, and does not take them for a barrier.
struct Meeting {
    std::uint64_t values[WARP];
    /// Of all meetings together.
    std::uint64_t arrived = 0;

    /// Waits until all lanes have come so often as this one.
    [[gnu::no_sanitize("thread")]] void arrive_and_wait() {
        const std::uint64_t before = __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < (before / WARP + 1) * WARP) {
            std::this_thread::yield();
        }
    }

    [[gnu::no_sanitize("thread")]] std::uint64_t exchange(Collective kind, unsigned lane, std::uint64_t value,
                                                          unsigned source) {
        values[lane] = value;
        arrive_and_wait();
        std::uint64_t result = 0;
        if (kind == Collective::exchange) {
            result = values[source];
        } else {
            for (unsigned other = 0; other < WARP; ++other) {
                const bool votes = kind == Collective::match ? values[other] == value : values[other] != 0;
                result |= std::uint64_t{votes} << other;
            }
        }
        // Nobody gives the next value before all have read this one.
        arrive_and_wait();
        return result;
    }
};

/// The threads that run one block, and then the next.
struct Team {
    Team(unsigned threads, std::size_t shared_bytes)
        : between_blocks(threads), barrier(threads), meetings((threads + WARP - 1) / WARP), shared(shared_bytes) {
        for (unsigned first = 0; first < threads; first += WARP) {
            warps.push_back(std::make_unique<std::barrier<>>(std::min(WARP, threads - first)));
        }
    }

    // Not the one of __syncthreads: a thread that ended must not stand in for one that waits.
    std::barrier<> between_blocks;
    std::barrier<> barrier;
    std::vector<std::unique_ptr<std::barrier<>>> warps;
    std::vector<Meeting> meetings;
    Shared shared;
};

struct Self {
    Team* team;
    unsigned rank;
    dim3 thread;
    dim3 block;
};

inline thread_local Self self;

inline unsigned rank() { return self.rank; }

inline void block_barrier() { self.team->barrier.arrive_and_wait(); }

/// Long enough that many who wait leave the machine to those for whom they wait.
inline void sleep() { std::this_thread::sleep_for(std::chrono::microseconds(500)); }

/// Each fence comes after those before it, and with them what they made visible: ThreadSanitizer does not follow
/// fences as such.
inline void fence() {
    static std::atomic<unsigned> order{0};
    order.fetch_add(1, std::memory_order_acq_rel);
}

inline std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value,
                                unsigned source) {
    if (mask != FULL_WARP) {
        fail("collectives of a part of a warp need the back end of fibers");
    }
    const unsigned warp = self.rank / WARP;
    if (kind == Collective::barrier) {
        self.team->warps[warp]->arrive_and_wait();
        return 0;
    }
    return self.team->meetings[warp].exchange(kind, self.rank % WARP, value, source);
}

inline void launch_in_flight(dim3 grid, dim3 extent, std::size_t shared_bytes, const std::function<void()>& body,
                             unsigned in_flight) {
    const std::lock_guard lock(launching());
    const unsigned threads = volume(extent);
    const unsigned blocks = volume(grid);
    if (threads % WARP != 0) {
        fail("the back end of threads takes whole warps only");
    }
    grid_extent = grid;
    block_extent = extent;
    std::vector<std::unique_ptr<Team>> teams;
    for (unsigned team = 0; team < std::min(in_flight, blocks); ++team) {
        teams.push_back(std::make_unique<Team>(threads, shared_bytes));
    }

    std::mutex mutex;
    std::condition_variable moved;
    unsigned done = 0;
    auto run = [&](unsigned team, unsigned rank) {
        self = {teams[team].get(), rank, at(rank, extent), {}};
        for (unsigned index = team; index < blocks; index += teams.size()) {
            self.block = at(index, grid);
            if (rank == 0) {
                self.team->shared.poison(index);
            }
            self.team->between_blocks.arrive_and_wait();
            body();
            self.team->between_blocks.arrive_and_wait();
            if (rank == 0) {
                self.team->shared.check();
                const std::lock_guard lock(mutex);
                ++done;
                moved.notify_one();
            }
        }
    };

    std::vector<std::thread> pool;
    for (unsigned team = 0; team < teams.size(); ++team) {
        for (unsigned rank = 0; rank < threads; ++rank) {
            pool.emplace_back(run, team, rank);
        }
    }
    for (unsigned seen = 0; seen < blocks;) {
        std::unique_lock lock(mutex);
        if (!moved.wait_for(lock, PATIENCE, [&] { return done > seen; })) {
            fail("deadlock: no block has finished for a long time");
        }
        seen = done;
    }
    for (std::thread& thread : pool) {
        thread.join();
    }
}

template <class Body>
void launch(dim3 grid, dim3 extent, std::size_t shared_bytes, Body&& body) {
    launch_in_flight(grid, extent, shared_bytes, std::ref(body), TEAMS);
}

template <class Body>
void launch_cooperative(dim3 grid, dim3 extent, std::size_t shared_bytes, Body&& body) {
    launch_in_flight(grid, extent, shared_bytes, std::ref(body), volume(grid));
}

inline dim3 thread_index() { return self.thread; }
inline dim3 block_index() { return self.block; }
inline void* shared_memory() { return self.team->shared.data(); }

#endif

/// A value of at most 8 bytes, as the collectives carry it.
template <class T>
std::uint64_t pack(T value) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
T unpack(std::uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source) {
    return unpack<T>(collective(Collective::exchange, mask, pack(value), source % WARP));
}

inline unsigned lane() { return rank() % WARP; }

}  // namespace cuda_host

// --- built-in variables and shared memory ---

#define gridDim (::cuda_host::grid_extent)
#define blockDim (::cuda_host::block_extent)
#define blockIdx (::cuda_host::block_index())
#define threadIdx (::cuda_host::thread_index())

/// Declares `name` as a pointer to the dynamic shared memory of the block.
#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::cuda_host::shared_memory())

// --- barriers and collectives ---

inline void __syncthreads() { cuda_host::block_barrier(); }

inline void __threadfence() { cuda_host::fence(); }

/// Lets the other blocks go on.
inline void __nanosleep(unsigned) { cuda_host::sleep(); }

inline void __syncwarp(unsigned mask = cuda_host::FULL_WARP) {
    cuda_host::collective(cuda_host::Collective::barrier, mask, 0, cuda_host::lane());
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
    return cuda_host::shuffle(mask, value, static_cast<unsigned>(source));
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return cuda_host::shuffle(mask, value, cuda_host::lane() ^ static_cast<unsigned>(lanes));
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes) {
    const unsigned source = cuda_host::lane() + lanes;
    return cuda_host::shuffle(mask, value, source < cuda_host::WARP ? source : cuda_host::lane());
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes) {
    const unsigned lane = cuda_host::lane();
    return cuda_host::shuffle(mask, value, lane >= lanes ? lane - lanes : lane);
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
    return static_cast<unsigned>(
        cuda_host::collective(cuda_host::Collective::ballot, mask, vote, cuda_host::lane()));
}

inline unsigned __match_any_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(
        cuda_host::collective(cuda_host::Collective::match, mask, value, cuda_host::lane()));
}

inline bool __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline bool __all_sync(unsigned mask, bool vote) { return __ballot_sync(mask, !vote) == 0; }

// --- atomics: relaxed, as on the device ---

template <class T>
T atomicAdd(T* at, T value) {
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicExch(T* at, T value) {
    return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicCAS(T* at, T expected, T value) {
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

template <class T>
T atomicMin(T* at, T value) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T>
T atomicMax(T* at, T value) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED)) {
    }
    return old;
}

/// What is in memory now: common.cuh has it for the device.
template <class T>
T load_relaxed(const T* at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

template <class T>
void store_relaxed(T* at, T value) {
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

// --- arithmetic and bits ---

inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline long long __double2ll_rn(double x) { return std::llrint(x); }
inline long long __double2ll_rd(double x) { return static_cast<long long>(std::floor(x)); }

inline int __float_as_int(float x) { return cuda_host::unpack<int>(cuda_host::pack(x)); }
inline unsigned __float_as_uint(float x) { return cuda_host::unpack<unsigned>(cuda_host::pack(x)); }
inline float __int_as_float(int bits) { return cuda_host::unpack<float>(cuda_host::pack(bits)); }
inline float __uint_as_float(unsigned bits) { return cuda_host::unpack<float>(cuda_host::pack(bits)); }
inline long long __double_as_longlong(double x) { return cuda_host::unpack<long long>(cuda_host::pack(x)); }
inline double __longlong_as_double(long long bits) { return cuda_host::unpack<double>(cuda_host::pack(bits)); }

inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (unsigned bit = 0; bit < 32; ++bit) {
        reversed |= (x >> bit & 1) << (31 - bit);
    }
    return reversed;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
