// A stand-in for the CUDA driver, libcuda.so.1: tests load it in place of the driver, so that the path from the
// library's Rust code through cudarc is the one that users run, without a GPU.
//
// "Device memory" is host memory. It is poisoned (0xff: NaN, -1) when allocated, stands between pages that fault,
// and its addresses fault for ever once it is freed. Copies and kernel arguments are checked against live
// allocations, and the bytes around an allocation after every launch. A kernel is the project's own .cu source,
// compiled for the host (cuda_host.h). Work on streams waits until somebody waits for it ("late", below), so a
// missing synchronisation shows as a wrong result; launches that may overlap must not share scratch, nor wait for
// each other's blocks.
//
// Controls. Each starts as TRISECT_STANDIN_<NAME> in upper case, read once when the library loads, and
// `standin_set("name", value)` changes it while the process runs; `standin_reset()` sets all of them back.
//
//   devices          1          number of devices, 0 to 8; 0: cuInit fails with CUDA_ERROR_NO_DEVICE
//   capability       90         compute capability, major * 10 + minor; sets shared memory and multiprocessors, too
//   driver_version   13000      what cuDriverGetVersion says; images need a major version of at least 13
//   memory           4294967296 bytes of every device
//   reserved         0          of these, bytes that other processes hold
//   multiprocessors  0          n: so many, whatever the capability says
//   cooperative      1          0: the device takes no cooperative launches
//   memory_pools     1          0: the device has no cuMemAllocAsync, and cudarc does without
//   init_error       0          the code (CUresult) that cuInit returns
//   load_error       0          the code that cuModuleLoadData returns: 200 bad image, 209 no code for this device
//   fail_allocation  0          n: the n-th device allocation from now on is out of memory; once
//   fail_pinned      0          n: the n-th allocation of pinned host memory from now on is out of memory; once
//   fail_launch      0          n: the n-th kernel run from now on fails (CUDA_ERROR_LAUNCH_FAILED); after that
//                               every call in its context does, until all owners released the context
//   late             1          0: work on a stream runs at once; 1: it runs when somebody waits for it
//   prompt           0          bit n: the n-th stream that a context makes, from 0, runs its work at once all the
//                               same, and what that waits for: whoever is to wait for late work, and does not, is early
//   schedule         0          order of the threads of a block: 0 forward, 1 backward, n > 1 random with seed n
//   threads          0          n: threads per block, where the kernel takes any number; 0: as launched
//   trace            0          1: every call is named on stderr
//
// Counters, `standin_get("name", device)`, device -1: all devices. `standin_reset()` sets those marked * to 0.
//
//   live_allocations, live_bytes     device memory that is not freed
//   allocations *, frees *           calls that succeeded
//   live_pinned, pinned *            pinned host memory, not per device: allocations not freed, calls
//   live_contexts, live_streams, live_events, live_modules
//   launches *, graph_launches *     kernels run, those of graphs included; graphs launched
//   wide_launches *                  cooperative launches run; they count as launches, too
//   to_device *, to_host *           bytes copied
//   synchronizations *               calls that wait for a stream, an event or a context
//   violations *                     what the checks above found; each is described on stderr
//   fail_allocation, ...             every control, as it stands now
//
// `standin_raise(flag, n)` sets a byte to 1 when the n-th kernel run from now on is over, once.
//
// `standin_set` and `standin_get` return -1 for a name that they do not know. Controls and counters are one set per process: tests that use
// them must not run beside others that use the device.
//
// Symbols: those that cudarc 0.19 calls for contexts, streams, events, memory, modules, launches and graphs.

#include "standin.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>

namespace {

// --- the driver's numbers that are used here ---

using Result = int;

enum : Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    CONTEXT_IS_DESTROYED = 709,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_UNMATCHED = 903,
};

struct ErrorText {
    Result code;
    const char* name;
    const char* text;
};

constexpr ErrorText ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
     "the capture was not initiated in this stream"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

// CUdevice_attribute.
enum : int {
    MAX_THREADS_PER_BLOCK = 1,
    MAX_BLOCK_DIM_X = 2,
    MAX_BLOCK_DIM_Y = 3,
    MAX_BLOCK_DIM_Z = 4,
    MAX_GRID_DIM_X = 5,
    MAX_GRID_DIM_Y = 6,
    MAX_GRID_DIM_Z = 7,
    MAX_SHARED_MEMORY_PER_BLOCK = 8,
    TOTAL_CONSTANT_MEMORY = 9,
    WARP_SIZE = 10,
    MAX_REGISTERS_PER_BLOCK = 12,
    CLOCK_RATE = 13,
    MULTIPROCESSOR_COUNT = 16,
    INTEGRATED = 18,
    CAN_MAP_HOST_MEMORY = 19,
    COMPUTE_MODE = 20,
    CONCURRENT_KERNELS = 31,
    ECC_ENABLED = 32,
    PCI_BUS_ID = 33,
    PCI_DEVICE_ID = 34,
    MEMORY_CLOCK_RATE = 36,
    GLOBAL_MEMORY_BUS_WIDTH = 37,
    L2_CACHE_SIZE = 38,
    MAX_THREADS_PER_MULTIPROCESSOR = 39,
    ASYNC_ENGINE_COUNT = 40,
    UNIFIED_ADDRESSING = 41,
    COMPUTE_CAPABILITY_MAJOR = 75,
    COMPUTE_CAPABILITY_MINOR = 76,
    STREAM_PRIORITIES_SUPPORTED = 78,
    MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    MAX_REGISTERS_PER_MULTIPROCESSOR = 82,
    MANAGED_MEMORY = 83,
    CONCURRENT_MANAGED_ACCESS = 89,
    COOPERATIVE_LAUNCH = 95,
    MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    MAX_BLOCKS_PER_MULTIPROCESSOR = 106,
    RESERVED_SHARED_MEMORY_PER_BLOCK = 111,
    MEMORY_POOLS_SUPPORTED = 115,
};

// CUfunction_attribute.
enum : int {
    FUNCTION_MAX_THREADS_PER_BLOCK = 0,
    FUNCTION_SHARED_SIZE_BYTES = 1,
    FUNCTION_CONST_SIZE_BYTES = 2,
    FUNCTION_LOCAL_SIZE_BYTES = 3,
    FUNCTION_NUM_REGS = 4,
    FUNCTION_PTX_VERSION = 5,
    FUNCTION_BINARY_VERSION = 6,
    FUNCTION_CACHE_MODE_CA = 7,
    FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT = 9,
};

constexpr int MAX_DEVICES = 8;
// Registers per thread that every kernel is said to use, and what a multiprocessor and a block have of them.
constexpr int REGISTERS = 64;
constexpr int ALL_REGISTERS = 65536;
constexpr int DEFAULT_SHARED = 48 * 1024;
constexpr int RESERVED_SHARED = 1024;
// The CUDA version that images are taken to be built with; they do not say it.
constexpr long long IMAGE_VERSION = 13000;

// One device of each architecture that images are built for; figures of the CUDA programming guide.
struct Model {
    int capability;
    const char* name;
    int multiprocessors;
    int shared_per_multiprocessor;
    int shared_per_block;
    int threads_per_multiprocessor;
    int blocks_per_multiprocessor;
};

constexpr Model MODELS[] = {
    {75, "Stand-in for T4", 40, 64 << 10, 64 << 10, 1024, 16},
    {80, "Stand-in for A100", 108, 164 << 10, 163 << 10, 2048, 32},
    {86, "Stand-in for A10", 72, 100 << 10, 99 << 10, 1536, 16},
    {89, "Stand-in for L40", 142, 100 << 10, 99 << 10, 1536, 24},
    {90, "Stand-in for H200", 132, 228 << 10, 227 << 10, 2048, 32},
    {100, "Stand-in for B200", 148, 228 << 10, 227 << 10, 2048, 32},
    {120, "Stand-in for RTX 5090", 170, 100 << 10, 99 << 10, 1536, 24},
};

// --- controls and counters ---

struct Control {
    const char* name;
    long long initial;
    long long value;
};

Control controls[] = {
    {"devices", 1, 0},
    {"capability", 90, 0},
    {"driver_version", 13000, 0},
    {"memory", 4LL << 30, 0},
    {"reserved", 0, 0},
    {"multiprocessors", 0, 0},
    {"cooperative", 1, 0},
    {"memory_pools", 1, 0},
    {"init_error", 0, 0},
    {"load_error", 0, 0},
    {"fail_allocation", 0, 0},
    {"fail_pinned", 0, 0},
    {"fail_launch", 0, 0},
    {"late", 1, 0},
    {"prompt", 0, 0},
    {"schedule", 0, 0},
    {"threads", 0, 0},
    {"trace", 0, 0},
};

Control* find_control(const std::string& name) {
    for (Control& control : controls) {
        if (name == control.name) {
            return &control;
        }
    }
    return nullptr;
}

long long& control(const char* name) {
    Control* found = find_control(name);
    if (!found) {
        std::fprintf(stderr, "standin: no control %s\n", name);
        std::abort();
    }
    return found->value;
}

// Counters that `standin_reset` sets back, of one device.
struct Counters {
    long long allocations = 0;
    long long frees = 0;
    long long launches = 0;
    long long graph_launches = 0;
    long long wide_launches = 0;
    long long to_device = 0;
    long long to_host = 0;
    long long synchronizations = 0;
};

Counters counters[MAX_DEVICES];
long long pinned_calls = 0;
long long violations = 0;

// What `standin_raise` sets, and after how many kernel runs.
unsigned char* raised = nullptr;
long long runs_until_raised = 0;

// Something that must not happen on a device either, where it may go unnoticed.
__attribute__((format(printf, 1, 2))) void violation(const char* format, ...) {
    violations += 1;
    std::fputs("standin: ", stderr);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
}

// Counts down to the call that shall fail, and says whether this is the one.
bool falls_due(const char* name) {
    long long& left = control(name);
    if (left == 0) {
        return false;
    }
    left -= 1;
    return left == 0;
}

// --- contexts, streams, events ---

// One lock for everything: real concurrency is not what this library is for.
std::recursive_mutex everything;

// A piece of work on a stream; its result poisons the context unless it is SUCCESS.
using Work = std::function<Result()>;

struct Context;

// First in, first out. Positions count pieces of work: an event is reached when `finished` has passed it.
struct Stream {
    Context* context = nullptr;
    // Among the streams that its context has made.
    unsigned number = 0;
    // Ordered against the context's null stream.
    bool blocking = true;
    std::deque<Work> pending;
    std::uint64_t enqueued = 0;
    std::uint64_t finished = 0;
    // Work that is being captured instead of enqueued.
    std::shared_ptr<std::vector<Work>> capture;
};

// A launch that has not run yet. One of another stream that runs although it was called later may overlap with it.
struct WaitingLaunch {
    const Stream* stream;
    const Context* context;
    const standin::Kernel* kernel;
    standin::Range scratch;
};

// In the order of the calls.
std::list<WaitingLaunch> waiting_launches;

struct Event {
    Context* context = nullptr;
    std::shared_ptr<Stream> stream;
    std::uint64_t position = 0;
    std::shared_ptr<std::chrono::steady_clock::time_point> time;
};

struct Function;

struct Module {
    Context* context = nullptr;
    // An ELF image holds the names of its kernels in clear text; a fatbin may be compressed.
    std::string elf;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Function {
    Module* module = nullptr;
    const standin::Kernel* kernel = nullptr;
    int max_dynamic_shared = DEFAULT_SHARED;
};

struct Graph {
    std::vector<Work> work;
};

struct Context {
    int device = 0;
    long long owners = 0;
    bool destroyed = false;
    // The error that every call returns, once something failed on the device.
    Result error = SUCCESS;
    std::shared_ptr<Stream> null_stream;
    unsigned streams_made = 0;
    std::map<void*, std::shared_ptr<Stream>> streams;
    std::map<void*, std::unique_ptr<Event>> events;
    std::map<void*, std::unique_ptr<Module>> modules;
    std::map<void*, std::unique_ptr<Graph>> graphs;
};

// Never freed and never reused, so that a stale handle is recognised.
std::vector<std::unique_ptr<Context>> contexts;
Context* primary[MAX_DEVICES] = {};
bool initialized = false;
thread_local Context* current = nullptr;

// --- memory ---

constexpr std::size_t PAGE = 4096;
// cuMemAlloc aligns to 256 bytes at least.
constexpr std::size_t ALIGNMENT = 256;
constexpr unsigned char POISON = 0xff;
constexpr unsigned char FENCE = 0xa5;

struct Allocation {
    Context* context;
    std::size_t bytes;
    // The writable pages: the allocation, and fence bytes before and after.
    unsigned char* pages;
    std::size_t page_bytes;
    // A free is under way: enqueued, not yet run.
    bool leaving;
};

// By address. An allocation ends as near to the page that faults as its alignment allows.
std::map<std::uintptr_t, Allocation> device_memory;
std::map<std::uintptr_t, std::size_t> pinned_memory;

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

long long used_bytes(int device) {
    long long used = 0;
    for (const auto& [address, allocation] : device_memory) {
        if (allocation.context->device == device) {
            used += static_cast<long long>(allocation.bytes);
        }
    }
    return used;
}

long long free_bytes(int device) {
    return std::max(0LL, control("memory") - control("reserved") - used_bytes(device));
}

std::uintptr_t map_memory(Context& context, std::size_t bytes) {
    const std::size_t page_bytes = round_up(bytes, PAGE);
    // A page before and one after stay inaccessible.
    void* reserved = mmap(nullptr, page_bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return 0;
    }
    auto* pages = static_cast<unsigned char*>(reserved) + PAGE;
    if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(reserved, page_bytes + 2 * PAGE);
        return 0;
    }
    const std::size_t start = page_bytes - round_up(bytes, ALIGNMENT);
    std::memset(pages, FENCE, start);
    std::memset(pages + start, POISON, bytes);
    std::memset(pages + start + bytes, FENCE, page_bytes - start - bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(pages + start);
    device_memory[address] = {&context, bytes, pages, page_bytes, false};
    return address;
}

bool fences_stand(std::uintptr_t address, const Allocation& allocation) {
    const unsigned char* start = reinterpret_cast<const unsigned char*>(address);
    const auto is_fence = [](unsigned char byte) { return byte == FENCE; };
    return std::all_of(static_cast<const unsigned char*>(allocation.pages), start, is_fence) &&
           std::all_of(start + allocation.bytes, static_cast<const unsigned char*>(allocation.pages) + allocation.page_bytes,
                       is_fence);
}

// The addresses stay taken, so that a stale pointer faults and never meets a newer allocation.
void unmap_memory(std::map<std::uintptr_t, Allocation>::iterator found) {
    const Allocation& allocation = found->second;
    if (!fences_stand(found->first, allocation)) {
        violation("bytes around an allocation of %zu were written", allocation.bytes);
    }
    mmap(allocation.pages, allocation.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    device_memory.erase(found);
}

// The allocation that an address lies in, or the end.
template <class Map>
auto containing(Map& memory, std::uintptr_t address) {
    auto next = memory.upper_bound(address);
    return next == memory.begin() ? memory.end() : std::prev(next);
}

bool inside_device_memory(const Context& context, std::uintptr_t address, std::size_t bytes) {
    const auto found = containing(device_memory, address);
    if (found == device_memory.end() || found->second.context != &context) {
        return false;
    }
    const std::size_t offset = address - found->first;
    return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

// Pinned host memory must be copied to its end at most; of pageable memory nothing is known.
bool leaves_pinned_memory(const void* host, std::size_t bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(host);
    const auto found = containing(pinned_memory, address);
    if (found == pinned_memory.end() || address - found->first >= found->second) {
        return false;
    }
    return bytes > found->second - (address - found->first);
}

bool is_pinned(const void* host) {
    const auto address = reinterpret_cast<std::uintptr_t>(host);
    const auto found = containing(pinned_memory, address);
    return found != pinned_memory.end() && address - found->first < found->second;
}

// --- running what streams hold ---

void run_until(Stream& stream, std::uint64_t position) {
    while (stream.finished < position && !stream.pending.empty()) {
        const Work work = std::move(stream.pending.front());
        stream.pending.pop_front();
        // After a failure nothing on the device runs any more.
        if (stream.context->error == SUCCESS) {
            const Result result = work();
            if (stream.context->error == SUCCESS) {
                stream.context->error = result;
            }
        }
        stream.finished += 1;
    }
}

void run_all(Context& context) {
    run_until(*context.null_stream, context.null_stream->enqueued);
    for (const auto& [handle, stream] : context.streams) {
        run_until(*stream, stream->enqueued);
    }
}

Result enqueue(Stream& stream, Work work) {
    if (stream.capture) {
        stream.capture->push_back(std::move(work));
        return SUCCESS;
    }
    // The null stream and blocking streams run in the order of the calls.
    Context& context = *stream.context;
    if (&stream == context.null_stream.get()) {
        for (const auto& [handle, other] : context.streams) {
            if (other->blocking) {
                run_until(*other, other->enqueued);
            }
        }
    } else if (stream.blocking) {
        run_until(*context.null_stream, context.null_stream->enqueued);
    }
    stream.pending.push_back(std::move(work));
    stream.enqueued += 1;
    const bool prompt = &stream != context.null_stream.get() && stream.number < 63 &&
                        (control("prompt") >> stream.number & 1) != 0;
    if (control("late") == 0 || prompt) {
        run_until(stream, stream.enqueued);
    }
    return context.error;
}

// --- entering a call ---

bool valid_device(int device) { return device >= 0 && device < control("devices") && device < MAX_DEVICES; }

const Model& model() {
    const Model* found = &MODELS[0];
    for (const Model& candidate : MODELS) {
        if (candidate.capability <= control("capability")) {
            found = &candidate;
        }
    }
    return *found;
}

int multiprocessors() {
    const long long wanted = control("multiprocessors");
    return wanted != 0 ? static_cast<int>(wanted) : model().multiprocessors;
}

// A call that needs no context.
template <class Body>
Result enter(Body body, const char* name = __builtin_FUNCTION()) {
    const std::lock_guard<std::recursive_mutex> lock(everything);
    if (control("trace") != 0) {
        std::fprintf(stderr, "standin: %s\n", name);
    }
    return body();
}

// A call that needs the driver to be initialised.
template <class Body>
Result enter_initialized(Body body, const char* name = __builtin_FUNCTION()) {
    return enter([&]() -> Result { return initialized ? body() : NOT_INITIALIZED; }, name);
}

// A call in the thread's current context.
template <class Body>
Result enter_context(Body body, const char* name = __builtin_FUNCTION()) {
    return enter_initialized(
        [&]() -> Result {
            if (!current) {
                return INVALID_CONTEXT;
            }
            if (current->destroyed) {
                return CONTEXT_IS_DESTROYED;
            }
            if (current->error != SUCCESS) {
                return current->error;
            }
            return body(*current);
        },
        name);
}

// The stream of a handle: null and 1 are the legacy default stream, 2 the thread's, which is the same here.
std::shared_ptr<Stream> find_stream(Context& context, void* handle) {
    if (reinterpret_cast<std::uintptr_t>(handle) <= 2) {
        return context.null_stream;
    }
    const auto found = context.streams.find(handle);
    return found == context.streams.end() ? nullptr : found->second;
}

// A call on a stream of the current context.
template <class Body>
Result enter_stream(void* handle, Body body, const char* name = __builtin_FUNCTION()) {
    return enter_context(
        [&](Context& context) -> Result {
            const std::shared_ptr<Stream> stream = find_stream(context, handle);
            return stream ? body(stream) : INVALID_HANDLE;
        },
        name);
}

// Waits for a stream up to a position; an error on the way is the call's result.
Result wait(Stream& stream, std::uint64_t position) {
    if (stream.capture) {
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    counters[stream.context->device].synchronizations += 1;
    run_until(stream, position);
    return stream.context->error;
}

// --- memory, continued: what calls do ---

Result allocate(Context& context, std::uint64_t* address, std::size_t bytes) {
    if (bytes == 0 || !address) {
        return INVALID_VALUE;
    }
    if (falls_due("fail_allocation")) {
        return OUT_OF_MEMORY;
    }
    if (static_cast<long long>(bytes) > free_bytes(context.device)) {
        // As the driver does: frees that are under way count before memory is out.
        run_all(context);
    }
    if (static_cast<long long>(bytes) > free_bytes(context.device)) {
        return OUT_OF_MEMORY;
    }
    *address = map_memory(context, bytes);
    if (*address == 0) {
        return OUT_OF_MEMORY;
    }
    counters[context.device].allocations += 1;
    return SUCCESS;
}

// Marks an allocation as freed; `device_memory` keeps it until the work on its stream is done.
Result start_free(Context& context, std::uint64_t address) {
    const auto found = device_memory.find(address);
    if (found == device_memory.end() || found->second.leaving || found->second.context != &context) {
        violation("free of %#llx, which is no live allocation", static_cast<unsigned long long>(address));
        return INVALID_VALUE;
    }
    found->second.leaving = true;
    counters[context.device].frees += 1;
    return SUCCESS;
}

Result finish_free(std::uint64_t address) {
    const auto found = device_memory.find(address);
    if (found != device_memory.end()) {
        unmap_memory(found);
    }
    return SUCCESS;
}

// Whether both ends of a copy are what they are said to be; null: not that kind of memory.
bool copy_is_valid(const Context& context, std::uint64_t device, const void* host, std::size_t bytes) {
    if (device != 0 && !inside_device_memory(context, device, bytes)) {
        violation("copy of %zu bytes leaves device memory at %#llx", bytes, static_cast<unsigned long long>(device));
        return false;
    }
    if (host && leaves_pinned_memory(host, bytes)) {
        violation("copy of %zu bytes leaves pinned memory", bytes);
        return false;
    }
    return true;
}

// A copy that runs when its stream gets there, and finds the memory gone if it was freed by then.
Work checked_copy(Context& context, std::uint64_t device, std::size_t bytes, std::function<void()> copy) {
    return [&context, device, bytes, copy = std::move(copy)]() -> Result {
        if (!inside_device_memory(context, device, bytes)) {
            violation("device memory of a copy was freed before the copy ran");
            return ILLEGAL_ADDRESS;
        }
        copy();
        return SUCCESS;
    };
}

Result copy_to_device(Stream& stream, std::uint64_t to, const void* from, std::size_t bytes) {
    Context& context = *stream.context;
    if (bytes == 0) {
        return SUCCESS;
    }
    if (to == 0 || !from || !copy_is_valid(context, to, from, bytes)) {
        return INVALID_VALUE;
    }
    counters[context.device].to_device += static_cast<long long>(bytes);
    auto* target = reinterpret_cast<void*>(to);
    if (is_pinned(from)) {
        return enqueue(stream, checked_copy(context, to, bytes, [=] { std::memcpy(target, from, bytes); }));
    }
    // The driver takes a copy of pageable memory before it returns.
    const auto* bytes_of = static_cast<const unsigned char*>(from);
    auto taken = std::make_shared<std::vector<unsigned char>>(bytes_of, bytes_of + bytes);
    return enqueue(stream, checked_copy(context, to, bytes, [=] { std::memcpy(target, taken->data(), bytes); }));
}

Result copy_to_host(Stream& stream, void* to, std::uint64_t from, std::size_t bytes) {
    Context& context = *stream.context;
    if (bytes == 0) {
        return SUCCESS;
    }
    if (from == 0 || !to || !copy_is_valid(context, from, to, bytes)) {
        return INVALID_VALUE;
    }
    counters[context.device].to_host += static_cast<long long>(bytes);
    const auto* source = reinterpret_cast<const void*>(from);
    const Result result = enqueue(stream, checked_copy(context, from, bytes, [=] { std::memcpy(to, source, bytes); }));
    // Pageable memory is written before the call returns.
    if (result == SUCCESS && !stream.capture && !is_pinned(to)) {
        run_until(stream, stream.enqueued);
        return context.error;
    }
    return result;
}

Result copy_on_device(Stream& stream, std::uint64_t to, std::uint64_t from, std::size_t bytes) {
    Context& context = *stream.context;
    if (bytes == 0) {
        return SUCCESS;
    }
    if (to == 0 || from == 0 || !copy_is_valid(context, to, nullptr, bytes) ||
        !copy_is_valid(context, from, nullptr, bytes)) {
        return INVALID_VALUE;
    }
    auto* target = reinterpret_cast<void*>(to);
    const auto* source = reinterpret_cast<const void*>(from);
    return enqueue(stream, checked_copy(context, to, bytes, [=] { std::memmove(target, source, bytes); }));
}

Result fill(Stream& stream, std::uint64_t to, unsigned char value, std::size_t bytes) {
    Context& context = *stream.context;
    if (bytes == 0) {
        return SUCCESS;
    }
    if (to == 0 || !copy_is_valid(context, to, nullptr, bytes)) {
        return INVALID_VALUE;
    }
    auto* target = reinterpret_cast<void*>(to);
    return enqueue(stream, checked_copy(context, to, bytes, [=] { std::memset(target, value, bytes); }));
}

// The synchronous calls work on the null stream and wait for it.
template <class Copy>
Result on_null_stream(Copy copy, const char* name = __builtin_FUNCTION()) {
    return enter_context(
        [&](Context& context) -> Result {
            const Result result = copy(*context.null_stream);
            return result == SUCCESS ? wait(*context.null_stream, context.null_stream->enqueued) : result;
        },
        name);
}

// --- images ---

template <class Number>
Number read_number(const unsigned char* bytes, std::size_t offset) {
    Number number;
    std::memcpy(&number, bytes + offset, sizeof number);
    return number;
}

// Machine code runs on the minor versions of its major version from its own on.
bool code_runs(unsigned built_for, unsigned device) { return built_for / 10 == device / 10 && built_for <= device; }

// Layout as in the output of nvcc 13.0: a header of 16 bytes, then entries, each with a header of its own that
// gives kind (1: PTX, 2: ELF) at 0, header size at 4, size at 8, architecture at 28.
Result check_fatbin(const unsigned char* image, unsigned device) {
    const auto header = read_number<std::uint16_t>(image, 6);
    const auto end = header + read_number<std::uint64_t>(image, 8);
    for (std::uint64_t at = header; at < end;) {
        const auto kind = read_number<std::uint16_t>(image, at);
        const auto entry_header = read_number<std::uint32_t>(image, at + 4);
        const auto size = read_number<std::uint64_t>(image, at + 8);
        const auto built_for = read_number<std::uint32_t>(image, at + 28);
        if (entry_header < 32 || size > end) {
            return INVALID_IMAGE;
        }
        if ((kind == 1 && built_for <= device) || (kind == 2 && code_runs(built_for, device))) {
            return SUCCESS;
        }
        at += entry_header + size;
    }
    return NO_BINARY_FOR_GPU;
}

std::size_t elf_size(const unsigned char* image) {
    const auto sections = read_number<std::uint64_t>(image, 40);
    const auto section_bytes = read_number<std::uint16_t>(image, 58);
    const auto section_count = read_number<std::uint16_t>(image, 60);
    const auto segments = read_number<std::uint64_t>(image, 32);
    const auto segment_bytes = read_number<std::uint16_t>(image, 54);
    const auto segment_count = read_number<std::uint16_t>(image, 56);
    return std::max<std::size_t>(sections + section_bytes * section_count, segments + segment_bytes * segment_count);
}

Result load_image(Context& context, void** handle, const unsigned char* image) {
    constexpr std::uint32_t FATBIN = 0xba55ed50;
    constexpr std::uint32_t ELF = 0x464c457f;
    if (control("load_error") != 0) {
        return static_cast<Result>(control("load_error"));
    }
    if (control("driver_version") / 1000 < IMAGE_VERSION / 1000) {
        return UNSUPPORTED_PTX_VERSION;
    }
    auto module = std::make_unique<Module>();
    module->context = &context;
    const auto device = static_cast<unsigned>(control("capability"));
    // Byte by byte: an image may be shorter than a number.
    std::uint32_t magic = 0;
    for (int i = 0; i < 4 && (i == 0 || image[i - 1] != 0); ++i) {
        magic |= static_cast<std::uint32_t>(image[i]) << (8 * i);
    }
    if (magic == FATBIN) {
        const Result result = check_fatbin(image, device);
        if (result != SUCCESS) {
            return result;
        }
    } else if (magic == ELF) {
        // The flags give the architecture in their second byte.
        const unsigned built_for = (read_number<std::uint32_t>(image, 48) >> 8) & 0xff;
        if (!code_runs(built_for, device)) {
            return NO_BINARY_FOR_GPU;
        }
        module->elf.assign(reinterpret_cast<const char*>(image), elf_size(image));
    } else {
        return INVALID_IMAGE;
    }
    *handle = module.get();
    context.modules[*handle] = std::move(module);
    return SUCCESS;
}

// --- functions and launches ---

Result find_function(Module& module, void** handle, const std::string& name) {
    for (const standin::Kernel& kernel : standin::kernels()) {
        const bool in_image = module.elf.empty() || module.elf.find(name) != std::string::npos;
        if (name == kernel.name && in_image) {
            std::unique_ptr<Function>& function = module.functions[name];
            if (!function) {
                function = std::make_unique<Function>();
                function->module = &module;
                function->kernel = &kernel;
            }
            *handle = function.get();
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

Function* known_function(Context& context, void* handle) {
    for (const auto& [module_handle, module] : context.modules) {
        for (const auto& [name, function] : module->functions) {
            if (function.get() == handle) {
                return function.get();
            }
        }
    }
    return nullptr;
}

template <class Body>
Result enter_function(void* handle, Body body, const char* name = __builtin_FUNCTION()) {
    return enter_context(
        [&](Context& context) -> Result {
            Function* function = known_function(context, handle);
            return function ? body(*function) : INVALID_HANDLE;
        },
        name);
}

Result run_kernel(Context& context, const standin::Kernel& kernel, standin::Launch launch) {
    counters[context.device].launches += 1;
    counters[context.device].wide_launches += kernel.cooperative;
    if (falls_due("fail_launch")) {
        return LAUNCH_FAILED;
    }
    launch.inside = [&context](const void* pointer, std::size_t bytes) {
        return inside_device_memory(context, reinterpret_cast<std::uintptr_t>(pointer), bytes);
    };
    if (kernel.any_threads && control("threads") != 0) {
        launch.block.x = static_cast<unsigned>(control("threads"));
    }
    const std::string wrong = kernel.check(launch);
    if (!wrong.empty()) {
        violation("%s: %s", kernel.name, wrong.c_str());
        return ILLEGAL_ADDRESS;
    }
    kernel.run(launch, static_cast<unsigned>(control("schedule")));
    if (runs_until_raised > 0 && --runs_until_raised == 0) {
        __atomic_store_n(raised, 1, __ATOMIC_RELAXED);
    }
    for (const auto& [address, allocation] : device_memory) {
        if (!fences_stand(address, allocation)) {
            violation("%s wrote around an allocation of %zu bytes", kernel.name, allocation.bytes);
            return ILLEGAL_ADDRESS;
        }
    }
    return SUCCESS;
}

// Whether a launch can do beside those that were called before it and may overlap; it waits no more.
void check_overlaps(std::list<WaitingLaunch>::iterator launch) {
    for (auto other = waiting_launches.begin(); other != launch; ++other) {
        if (other->context != launch->context || other->stream == launch->stream) {
            continue;
        }
        if (other->kernel->cooperative || launch->kernel->cooperative) {
            violation("%s may overlap with %s, and blocks wait for each other", launch->kernel->name,
                      other->kernel->name);
        }
        const standin::Range& one = launch->scratch;
        const standin::Range& two = other->scratch;
        if (one.bytes > 0 && two.bytes > 0 && one.start < two.start + two.bytes && two.start < one.start + one.bytes) {
            violation("%s may overlap with %s, and both use the same scratch", launch->kernel->name,
                      other->kernel->name);
        }
    }
    waiting_launches.erase(launch);
}

Result check_launch(const Function& function, standin::Dim grid, standin::Dim block, unsigned shared) {
    constexpr unsigned long long MAX_Y = 65535;
    const unsigned long long threads = 1ULL * block.x * block.y * block.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) {
        return INVALID_VALUE;
    }
    if (grid.x > 0x7fffffffU || grid.y > MAX_Y || grid.z > MAX_Y || block.x > 1024 || block.y > 1024 || block.z > 64) {
        return INVALID_VALUE;
    }
    if (threads > 1024) {
        return INVALID_VALUE;
    }
    if (threads > function.kernel->max_threads || threads * REGISTERS > ALL_REGISTERS) {
        return LAUNCH_OUT_OF_RESOURCES;
    }
    if (shared > static_cast<unsigned>(function.max_dynamic_shared)) {
        return INVALID_VALUE;
    }
    return SUCCESS;
}

// Blocks of a kernel that a multiprocessor holds at once.
int resident_blocks(const Function& function, int threads, std::size_t shared) {
    const Model& device = model();
    if (threads < 1 || threads > static_cast<int>(function.kernel->max_threads) ||
        shared > static_cast<std::size_t>(function.max_dynamic_shared)) {
        return 0;
    }
    const int warps = (threads + 31) / 32;
    const int by_threads = device.threads_per_multiprocessor / (32 * warps);
    const int by_registers = ALL_REGISTERS / (32 * warps * REGISTERS);
    const int reserved = device.capability < 80 ? 0 : RESERVED_SHARED;
    const int by_shared = device.shared_per_multiprocessor / std::max(1, static_cast<int>(shared) + reserved);
    return std::min({by_threads, by_registers, by_shared, device.blocks_per_multiprocessor});
}

void destroy(Context& context) {
    run_all(context);
    for (auto next = device_memory.begin(); next != device_memory.end();) {
        const auto here = next++;
        if (here->second.context == &context) {
            unmap_memory(here);
        }
    }
    waiting_launches.remove_if([&](const WaitingLaunch& launch) { return launch.context == &context; });
    context.streams.clear();
    context.events.clear();
    context.modules.clear();
    context.graphs.clear();
    context.destroyed = true;
    if (primary[context.device] == &context) {
        primary[context.device] = nullptr;
    }
}

// Reads the environment when the library is loaded.
const bool environment_read = [] {
    for (Control& control : controls) {
        std::string name = std::string("TRISECT_STANDIN_") + control.name;
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
        if (const char* text = std::getenv(name.c_str())) {
            char* end = nullptr;
            control.initial = std::strtoll(text, &end, 10);
            if (end == text || *end != '\0') {
                std::fprintf(stderr, "standin: %s=%s is no whole number\n", name.c_str(), text);
                std::abort();
            }
        }
        control.value = control.initial;
    }
    return true;
}();

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))
#define API EXPORT Result

// --- what tests call ---

EXPORT int standin_set(const char* name, long long value) {
    const std::lock_guard<std::recursive_mutex> lock(everything);
    Control* found = find_control(name);
    if (!found) {
        return -1;
    }
    found->value = value;
    return 0;
}

EXPORT long long standin_get(const char* name, int device) {
    const std::lock_guard<std::recursive_mutex> lock(everything);
    const std::string wanted = name;
    const auto over_devices = [&](auto count) {
        long long sum = 0;
        for (int i = 0; i < MAX_DEVICES; ++i) {
            sum += device < 0 || device == i ? static_cast<long long>(count(i)) : 0;
        }
        return sum;
    };
    const auto over_contexts = [&](auto count) {
        return over_devices([&](int i) { return primary[i] ? count(*primary[i]) : 0; });
    };
    const auto over_memory = [&](auto value) {
        return over_devices([&](int i) {
            long long sum = 0;
            for (const auto& [address, allocation] : device_memory) {
                const bool counts = allocation.context->device == i && !allocation.leaving;
                sum += counts ? static_cast<long long>(value(allocation)) : 0;
            }
            return sum;
        });
    };
    const std::map<std::string, std::function<long long()>> values = {
        {"live_allocations", [&] { return over_memory([](const Allocation&) { return 1; }); }},
        {"live_bytes", [&] { return over_memory([](const Allocation& allocation) { return allocation.bytes; }); }},
        {"allocations", [&] { return over_devices([](int i) { return counters[i].allocations; }); }},
        {"frees", [&] { return over_devices([](int i) { return counters[i].frees; }); }},
        {"live_pinned", [&] { return static_cast<long long>(pinned_memory.size()); }},
        {"pinned", [&] { return pinned_calls; }},
        {"live_contexts", [&] { return over_contexts([](const Context&) { return 1; }); }},
        {"live_streams", [&] { return over_contexts([](const Context& context) { return context.streams.size(); }); }},
        {"live_events", [&] { return over_contexts([](const Context& context) { return context.events.size(); }); }},
        {"live_modules", [&] { return over_contexts([](const Context& context) { return context.modules.size(); }); }},
        {"launches", [&] { return over_devices([](int i) { return counters[i].launches; }); }},
        {"wide_launches", [&] { return over_devices([](int i) { return counters[i].wide_launches; }); }},
        {"graph_launches", [&] { return over_devices([](int i) { return counters[i].graph_launches; }); }},
        {"to_device", [&] { return over_devices([](int i) { return counters[i].to_device; }); }},
        {"to_host", [&] { return over_devices([](int i) { return counters[i].to_host; }); }},
        {"synchronizations", [&] { return over_devices([](int i) { return counters[i].synchronizations; }); }},
        {"violations", [&] { return violations; }},
    };
    if (const auto found = values.find(wanted); found != values.end()) {
        return found->second();
    }
    const Control* found = find_control(wanted);
    return found ? found->value : -1;
}

EXPORT void standin_raise(unsigned char* flag, long long runs) {
    const std::lock_guard<std::recursive_mutex> lock(everything);
    raised = flag;
    runs_until_raised = runs;
}

EXPORT void standin_reset() {
    const std::lock_guard<std::recursive_mutex> lock(everything);
    for (Control& control : controls) {
        control.value = control.initial;
    }
    for (Counters& each : counters) {
        each = Counters();
    }
    pinned_calls = 0;
    violations = 0;
    runs_until_raised = 0;
}

// --- the driver: errors, versions, devices ---

API cuGetErrorName(Result code, const char** name) {
    for (const ErrorText& error : ERRORS) {
        if (error.code == code) {
            *name = error.name;
            return SUCCESS;
        }
    }
    *name = nullptr;
    return INVALID_VALUE;
}

API cuGetErrorString(Result code, const char** text) {
    for (const ErrorText& error : ERRORS) {
        if (error.code == code) {
            *text = error.text;
            return SUCCESS;
        }
    }
    *text = nullptr;
    return INVALID_VALUE;
}

API cuInit(unsigned flags) {
    return enter([&]() -> Result {
        if (flags != 0) {
            return INVALID_VALUE;
        }
        if (control("init_error") != 0) {
            return static_cast<Result>(control("init_error"));
        }
        if (control("devices") == 0) {
            return NO_DEVICE;
        }
        initialized = true;
        return SUCCESS;
    });
}

API cuDriverGetVersion(int* version) {
    return enter([&]() -> Result {
        *version = static_cast<int>(control("driver_version"));
        return SUCCESS;
    });
}

API cuDeviceGetCount(int* count) {
    return enter_initialized([&]() -> Result {
        *count = static_cast<int>(std::min<long long>(control("devices"), MAX_DEVICES));
        return SUCCESS;
    });
}

API cuDeviceGet(int* device, int ordinal) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(ordinal)) {
            return INVALID_DEVICE;
        }
        *device = ordinal;
        return SUCCESS;
    });
}

API cuDeviceGetName(char* name, int bytes, int device) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device) || bytes < 1) {
            return INVALID_DEVICE;
        }
        std::snprintf(name, static_cast<std::size_t>(bytes), "%s", model().name);
        return SUCCESS;
    });
}

API cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device)) {
            return INVALID_DEVICE;
        }
        std::memset(uuid, 0, 16);
        uuid[15] = static_cast<unsigned char>(device + 1);
        return SUCCESS;
    });
}

API cuDeviceGetUuid(unsigned char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }

API cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device)) {
            return INVALID_DEVICE;
        }
        *bytes = static_cast<std::size_t>(control("memory"));
        return SUCCESS;
    });
}

API cuDeviceGetAttribute(int* value, int attribute, int device) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device)) {
            return INVALID_DEVICE;
        }
        const Model& properties = model();
        const std::map<int, long long> values = {
            {MAX_THREADS_PER_BLOCK, 1024},
            {MAX_BLOCK_DIM_X, 1024},
            {MAX_BLOCK_DIM_Y, 1024},
            {MAX_BLOCK_DIM_Z, 64},
            {MAX_GRID_DIM_X, 0x7fffffff},
            {MAX_GRID_DIM_Y, 65535},
            {MAX_GRID_DIM_Z, 65535},
            {MAX_SHARED_MEMORY_PER_BLOCK, DEFAULT_SHARED},
            {TOTAL_CONSTANT_MEMORY, 65536},
            {WARP_SIZE, 32},
            {MAX_REGISTERS_PER_BLOCK, ALL_REGISTERS},
            {CLOCK_RATE, 1980000},
            {MULTIPROCESSOR_COUNT, multiprocessors()},
            {INTEGRATED, 0},
            {CAN_MAP_HOST_MEMORY, 1},
            {COMPUTE_MODE, 0},
            {CONCURRENT_KERNELS, 1},
            {ECC_ENABLED, 1},
            {PCI_BUS_ID, device + 1},
            {PCI_DEVICE_ID, 0},
            {MEMORY_CLOCK_RATE, 3201000},
            {GLOBAL_MEMORY_BUS_WIDTH, 6144},
            {L2_CACHE_SIZE, 50 << 20},
            {MAX_THREADS_PER_MULTIPROCESSOR, properties.threads_per_multiprocessor},
            {ASYNC_ENGINE_COUNT, 3},
            {UNIFIED_ADDRESSING, 1},
            {COMPUTE_CAPABILITY_MAJOR, control("capability") / 10},
            {COMPUTE_CAPABILITY_MINOR, control("capability") % 10},
            {STREAM_PRIORITIES_SUPPORTED, 1},
            {MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, properties.shared_per_multiprocessor},
            {MAX_REGISTERS_PER_MULTIPROCESSOR, ALL_REGISTERS},
            {MANAGED_MEMORY, 0},
            {CONCURRENT_MANAGED_ACCESS, 0},
            {COOPERATIVE_LAUNCH, control("cooperative")},
            {MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, properties.shared_per_block},
            {MAX_BLOCKS_PER_MULTIPROCESSOR, properties.blocks_per_multiprocessor},
            {RESERVED_SHARED_MEMORY_PER_BLOCK, RESERVED_SHARED},
            {MEMORY_POOLS_SUPPORTED, control("memory_pools")},
        };
        const auto found = values.find(attribute);
        if (found == values.end()) {
            // Better than a made-up value: whoever needs it adds it above.
            violation("device attribute %d is not known", attribute);
            return INVALID_VALUE;
        }
        *value = static_cast<int>(found->second);
        return SUCCESS;
    });
}

API cuDeviceCanAccessPeer(int* can, int device, int peer) {
    return enter_initialized([&]() -> Result {
        *can = 0;
        return valid_device(device) && valid_device(peer) ? SUCCESS : INVALID_DEVICE;
    });
}

// --- contexts ---

API cuDevicePrimaryCtxRetain(void** handle, int device) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device)) {
            return INVALID_DEVICE;
        }
        if (!primary[device]) {
            contexts.push_back(std::make_unique<Context>());
            Context* context = contexts.back().get();
            context->device = device;
            context->null_stream = std::make_shared<Stream>();
            context->null_stream->context = context;
            primary[device] = context;
        }
        primary[device]->owners += 1;
        *handle = primary[device];
        return SUCCESS;
    });
}

API cuDevicePrimaryCtxRelease_v2(int device) {
    return enter_initialized([&]() -> Result {
        if (device < 0 || device >= MAX_DEVICES || !primary[device]) {
            return INVALID_CONTEXT;
        }
        Context& context = *primary[device];
        const Result error = context.error;
        context.owners -= 1;
        if (context.owners == 0) {
            destroy(context);
        }
        return error;
    });
}

API cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
    return enter_initialized([&]() -> Result {
        if (!valid_device(device)) {
            return INVALID_DEVICE;
        }
        *flags = 0;
        *active = primary[device] ? 1 : 0;
        return SUCCESS;
    });
}

API cuCtxGetCurrent(void** handle) {
    return enter_initialized([&]() -> Result {
        *handle = current;
        return SUCCESS;
    });
}

API cuCtxSetCurrent(void* handle) {
    return enter_initialized([&]() -> Result {
        for (const auto& context : contexts) {
            if (context.get() == handle) {
                current = context.get();
                return current->destroyed ? CONTEXT_IS_DESTROYED : SUCCESS;
            }
        }
        current = nullptr;
        return handle ? INVALID_CONTEXT : SUCCESS;
    });
}

API cuCtxGetDevice(int* device) {
    return enter_context([&](Context& context) -> Result {
        *device = context.device;
        return SUCCESS;
    });
}

API cuCtxSynchronize() {
    return enter_context([&](Context& context) -> Result {
        for (const auto& [handle, stream] : context.streams) {
            if (stream->capture) {
                return STREAM_CAPTURE_UNSUPPORTED;
            }
        }
        counters[context.device].synchronizations += 1;
        run_all(context);
        return context.error;
    });
}

API cuCtxSetFlags(unsigned) {
    return enter_context([](Context&) -> Result { return SUCCESS; });
}

API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return enter_context([&](Context&) -> Result {
        *least = 0;
        *greatest = -5;
        return SUCCESS;
    });
}

// --- streams and events ---

API cuStreamCreateWithPriority(void** handle, unsigned flags, int) {
    return enter_context([&](Context& context) -> Result {
        auto stream = std::make_shared<Stream>();
        stream->context = &context;
        stream->number = context.streams_made++;
        // CU_STREAM_NON_BLOCKING is 1.
        stream->blocking = (flags & 1) == 0;
        *handle = stream.get();
        context.streams[*handle] = std::move(stream);
        return SUCCESS;
    });
}

API cuStreamCreate(void** handle, unsigned flags) { return cuStreamCreateWithPriority(handle, flags, 0); }

API cuStreamDestroy_v2(void* handle) {
    return enter_stream(handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        if (stream == stream->context->null_stream) {
            return INVALID_HANDLE;
        }
        run_until(*stream, stream->enqueued);
        stream->context->streams.erase(handle);
        return stream->context->error;
    });
}

API cuStreamSynchronize(void* handle) {
    return enter_stream(
        handle, [](const std::shared_ptr<Stream>& stream) -> Result { return wait(*stream, stream->enqueued); });
}

// Each question brings the stream one step further, so that a loop of questions ends.
API cuStreamQuery(void* handle) {
    return enter_stream(handle, [](const std::shared_ptr<Stream>& stream) -> Result {
        run_until(*stream, std::min(stream->finished + 1, stream->enqueued));
        if (stream->context->error != SUCCESS) {
            return stream->context->error;
        }
        return stream->finished == stream->enqueued ? SUCCESS : NOT_READY;
    });
}

API cuEventCreate(void** handle, unsigned) {
    return enter_context([&](Context& context) -> Result {
        auto event = std::make_unique<Event>();
        event->context = &context;
        *handle = event.get();
        context.events[*handle] = std::move(event);
        return SUCCESS;
    });
}

API cuEventDestroy_v2(void* handle) {
    return enter_context(
        [&](Context& context) -> Result { return context.events.erase(handle) == 1 ? SUCCESS : INVALID_HANDLE; });
}

API cuEventRecord(void* handle, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        const auto found = stream->context->events.find(handle);
        if (found == stream->context->events.end()) {
            return INVALID_HANDLE;
        }
        Event& event = *found->second;
        auto time = std::make_shared<std::chrono::steady_clock::time_point>();
        event.time = time;
        event.stream = stream;
        const Result result = enqueue(*stream, [time]() -> Result {
            *time = std::chrono::steady_clock::now();
            return SUCCESS;
        });
        // Inside a capture, the event stands for work that only a later graph runs: nothing to wait for now.
        event.position = stream->capture ? 0 : stream->enqueued;
        return result;
    });
}

API cuStreamWaitEvent(void* stream_handle, void* handle, unsigned) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        // An event may come from another device's context.
        for (const auto& context : contexts) {
            const auto found = context->events.find(handle);
            if (found == context->events.end()) {
                continue;
            }
            const std::shared_ptr<Stream> other = found->second->stream;
            if (!other || other == stream) {
                return SUCCESS;
            }
            if (stream->capture || other->capture) {
                // Captures over several streams are beyond this stand-in.
                return STREAM_CAPTURE_UNSUPPORTED;
            }
            const std::uint64_t position = found->second->position;
            return enqueue(*stream, [other, position]() -> Result {
                run_until(*other, position);
                return other->context->error;
            });
        }
        return INVALID_HANDLE;
    });
}

API cuEventSynchronize(void* handle) {
    return enter_context([&](Context& context) -> Result {
        const auto found = context.events.find(handle);
        if (found == context.events.end()) {
            return INVALID_HANDLE;
        }
        const Event& event = *found->second;
        return event.stream ? wait(*event.stream, event.position) : SUCCESS;
    });
}

API cuEventQuery(void* handle) {
    return enter_context([&](Context& context) -> Result {
        const auto found = context.events.find(handle);
        if (found == context.events.end()) {
            return INVALID_HANDLE;
        }
        const Event& event = *found->second;
        if (!event.stream) {
            return SUCCESS;
        }
        run_until(*event.stream, std::min(event.stream->finished + 1, event.position));
        if (context.error != SUCCESS) {
            return context.error;
        }
        return event.stream->finished >= event.position ? SUCCESS : NOT_READY;
    });
}

API cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
    return enter_context([&](Context& context) -> Result {
        const auto from = context.events.find(start);
        const auto to = context.events.find(end);
        if (from == context.events.end() || to == context.events.end() || !from->second->time || !to->second->time) {
            return INVALID_HANDLE;
        }
        if (to->second->stream->finished < to->second->position) {
            return NOT_READY;
        }
        *milliseconds = std::chrono::duration<float, std::milli>(*to->second->time - *from->second->time).count();
        return SUCCESS;
    });
}

API cuEventElapsedTime(float* milliseconds, void* start, void* end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

// --- memory ---

API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    return enter_context([&](Context& context) -> Result {
        *free = static_cast<std::size_t>(free_bytes(context.device));
        *total = static_cast<std::size_t>(control("memory"));
        return SUCCESS;
    });
}

API cuMemAlloc_v2(std::uint64_t* address, std::size_t bytes) {
    return enter_context([&](Context& context) -> Result { return allocate(context, address, bytes); });
}

API cuMemAllocAsync(std::uint64_t* address, std::size_t bytes, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        if (control("memory_pools") == 0) {
            return NOT_SUPPORTED;
        }
        if (stream->capture) {
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        if (bytes == 0) {
            *address = 0;
            return SUCCESS;
        }
        return allocate(*stream->context, address, bytes);
    });
}

API cuMemFree_v2(std::uint64_t address) {
    return enter_context([&](Context& context) -> Result {
        const Result result = start_free(context, address);
        if (result != SUCCESS) {
            return result;
        }
        // As the driver does: memory goes when the device has done all that it was given.
        run_all(context);
        finish_free(address);
        return context.error;
    });
}

API cuMemFreeAsync(std::uint64_t address, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        if (address == 0) {
            return SUCCESS;
        }
        if (stream->capture) {
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        const Result result = start_free(*stream->context, address);
        if (result != SUCCESS) {
            return result;
        }
        return enqueue(*stream, [address]() -> Result { return finish_free(address); });
    });
}

API cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned) {
    return enter_context([&](Context&) -> Result {
        if (bytes == 0) {
            return INVALID_VALUE;
        }
        if (falls_due("fail_pinned")) {
            return OUT_OF_MEMORY;
        }
        *pointer = std::aligned_alloc(PAGE, round_up(bytes, PAGE));
        if (!*pointer) {
            return OUT_OF_MEMORY;
        }
        std::memset(*pointer, POISON, bytes);
        pinned_memory[reinterpret_cast<std::uintptr_t>(*pointer)] = bytes;
        pinned_calls += 1;
        return SUCCESS;
    });
}

API cuMemAllocHost_v2(void** pointer, std::size_t bytes) { return cuMemHostAlloc(pointer, bytes, 0); }

// Works in a failed context, too: the memory belongs to the host.
API cuMemFreeHost(void* pointer) {
    return enter_initialized([&]() -> Result {
        if (pinned_memory.count(reinterpret_cast<std::uintptr_t>(pointer)) == 0) {
            violation("free of pinned memory that is not allocated");
            return INVALID_VALUE;
        }
        // Copies that are under way still use it.
        for (const auto& context : contexts) {
            if (!context->destroyed) {
                run_all(*context);
            }
        }
        pinned_memory.erase(reinterpret_cast<std::uintptr_t>(pointer));
        std::free(pointer);
        return current ? current->error : SUCCESS;
    });
}

API cuMemcpyHtoDAsync_v2(std::uint64_t to, const void* from, std::size_t bytes, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        return copy_to_device(*stream, to, from, bytes);
    });
}

API cuMemcpyDtoHAsync_v2(void* to, std::uint64_t from, std::size_t bytes, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        return copy_to_host(*stream, to, from, bytes);
    });
}

API cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        return copy_on_device(*stream, to, from, bytes);
    });
}

API cuMemcpyHtoD_v2(std::uint64_t to, const void* from, std::size_t bytes) {
    return on_null_stream([&](Stream& stream) -> Result { return copy_to_device(stream, to, from, bytes); });
}

API cuMemcpyDtoH_v2(void* to, std::uint64_t from, std::size_t bytes) {
    return on_null_stream([&](Stream& stream) -> Result { return copy_to_host(stream, to, from, bytes); });
}

API cuMemcpyDtoD_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes) {
    return on_null_stream([&](Stream& stream) -> Result { return copy_on_device(stream, to, from, bytes); });
}

API cuMemsetD8Async(std::uint64_t to, unsigned char value, std::size_t bytes, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        return fill(*stream, to, value, bytes);
    });
}

API cuMemsetD8_v2(std::uint64_t to, unsigned char value, std::size_t bytes) {
    return on_null_stream([&](Stream& stream) -> Result { return fill(stream, to, value, bytes); });
}

// --- modules, functions, launches ---

API cuModuleLoadData(void** handle, const void* image) {
    return enter_context([&](Context& context) -> Result {
        return image ? load_image(context, handle, static_cast<const unsigned char*>(image)) : INVALID_VALUE;
    });
}

API cuModuleUnload(void* handle) {
    return enter_context([&](Context& context) -> Result {
        run_all(context);
        return context.modules.erase(handle) == 1 ? SUCCESS : INVALID_HANDLE;
    });
}

API cuModuleGetFunction(void** handle, void* module_handle, const char* name) {
    return enter_context([&](Context& context) -> Result {
        const auto found = context.modules.find(module_handle);
        return found == context.modules.end() ? INVALID_HANDLE : find_function(*found->second, handle, name);
    });
}

API cuFuncSetAttribute(void* handle, int attribute, int value) {
    return enter_function(handle, [&](Function& function) -> Result {
        if (attribute == FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT) {
            return SUCCESS;
        }
        if (attribute != FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value > model().shared_per_block) {
            return INVALID_VALUE;
        }
        function.max_dynamic_shared = value;
        return SUCCESS;
    });
}

API cuFuncGetAttribute(int* value, int attribute, void* handle) {
    return enter_function(handle, [&](Function& function) -> Result {
        const int capability = static_cast<int>(control("capability"));
        const std::map<int, int> values = {
            {FUNCTION_MAX_THREADS_PER_BLOCK, static_cast<int>(function.kernel->max_threads)},
            {FUNCTION_SHARED_SIZE_BYTES, 0},
            {FUNCTION_CONST_SIZE_BYTES, 0},
            {FUNCTION_LOCAL_SIZE_BYTES, 0},
            {FUNCTION_NUM_REGS, REGISTERS},
            {FUNCTION_PTX_VERSION, capability},
            {FUNCTION_BINARY_VERSION, capability},
            {FUNCTION_CACHE_MODE_CA, 0},
            {FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, function.max_dynamic_shared},
            {FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT, -1},
        };
        const auto found = values.find(attribute);
        if (found == values.end()) {
            return INVALID_VALUE;
        }
        *value = found->second;
        return SUCCESS;
    });
}

API cuFuncSetCacheConfig(void* handle, int) {
    return enter_function(handle, [](Function&) -> Result { return SUCCESS; });
}

API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* handle, int threads, std::size_t shared,
                                                         unsigned) {
    return enter_function(handle, [&](Function& function) -> Result {
        *blocks = resident_blocks(function, threads, shared);
        return SUCCESS;
    });
}

API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* handle, int threads, std::size_t shared) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, threads, shared, 0);
}

API cuOccupancyAvailableDynamicSMemPerBlock(std::size_t* bytes, void* handle, int blocks, int) {
    return enter_function(handle, [&](Function&) -> Result {
        if (blocks < 1) {
            return INVALID_VALUE;
        }
        const int share = model().shared_per_multiprocessor / blocks - RESERVED_SHARED;
        *bytes = static_cast<std::size_t>(std::max(0, std::min(share, model().shared_per_block)));
        return SUCCESS;
    });
}

// What both kinds of launch do.
Result launch_kernel(void* handle, standin::Dim grid, standin::Dim block, unsigned shared, void* stream_handle,
                     void** parameters, bool cooperative) {
    return enter_stream(
        stream_handle,
        [&](const std::shared_ptr<Stream>& stream) -> Result {
            Context& context = *stream->context;
            const Function* function = known_function(context, handle);
            if (!function) {
                return INVALID_HANDLE;
            }
            const standin::Kernel& kernel = *function->kernel;
            Result result = check_launch(*function, grid, block, shared);
            if (result == SUCCESS && !parameters) {
                result = INVALID_VALUE;
            }
            if (result == SUCCESS && cooperative) {
                const int threads = static_cast<int>(block.x * block.y * block.z);
                const long long most = 1LL * resident_blocks(*function, threads, shared) * multiprocessors();
                const bool fits = 1LL * grid.x * grid.y * grid.z <= most;
                result = control("cooperative") == 0 ? NOT_SUPPORTED : fits ? SUCCESS : COOPERATIVE_LAUNCH_TOO_LARGE;
            } else if (result == SUCCESS && kernel.cooperative) {
                // On a device, this one would hang now and then.
                result = INVALID_VALUE;
            }
            if (result != SUCCESS) {
                violation(
                    "%s: launch of (%u, %u, %u) blocks of (%u, %u, %u) threads with %u bytes of shared memory refused",
                    kernel.name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
                return result;
            }
            // Arguments are taken when the launch is called, memory is seen when it runs.
            const auto* bytes = static_cast<const unsigned char*>(parameters[0]);
            auto taken = std::make_shared<std::vector<unsigned char>>(bytes, bytes + kernel.parameter_bytes);
            const standin::Launch launch = {grid, block, shared, taken->data(), nullptr};
            if (stream->capture) {
                return enqueue(*stream, [&context, &kernel, launch, taken] { return run_kernel(context, kernel, launch); });
            }
            const standin::Range scratch = kernel.scratch ? kernel.scratch(launch) : standin::Range{nullptr, 0};
            const auto waiting =
                waiting_launches.insert(waiting_launches.end(), {stream.get(), &context, &kernel, scratch});
            return enqueue(*stream, [&context, &kernel, launch, taken, waiting] {
                check_overlaps(waiting);
                return run_kernel(context, kernel, launch);
            });
        },
        cooperative ? "cuLaunchCooperativeKernel" : "cuLaunchKernel");
}

API cuLaunchKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void* stream, void** parameters, void** extra) {
    return launch_kernel(handle, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream,
                         extra ? nullptr : parameters, false);
}

API cuLaunchCooperativeKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                              unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** parameters) {
    return launch_kernel(handle, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, parameters,
                         true);
}

// --- graphs: one stream's work, recorded and run again ---

API cuStreamBeginCapture_v2(void* handle, int) {
    return enter_stream(handle, [](const std::shared_ptr<Stream>& stream) -> Result {
        if (stream->capture || stream == stream->context->null_stream) {
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        stream->capture = std::make_shared<std::vector<Work>>();
        return SUCCESS;
    });
}

API cuStreamIsCapturing(void* handle, int* status) {
    return enter_stream(handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        *status = stream->capture ? 1 : 0;
        return SUCCESS;
    });
}

API cuStreamEndCapture(void* handle, void** graph_handle) {
    return enter_stream(handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        if (!stream->capture) {
            return STREAM_CAPTURE_UNMATCHED;
        }
        auto graph = std::make_unique<Graph>();
        graph->work = std::move(*stream->capture);
        stream->capture = nullptr;
        *graph_handle = graph.get();
        stream->context->graphs[*graph_handle] = std::move(graph);
        return SUCCESS;
    });
}

API cuGraphInstantiateWithFlags(void** executable, void* graph_handle, unsigned long long) {
    return enter_context([&](Context& context) -> Result {
        const auto found = context.graphs.find(graph_handle);
        if (found == context.graphs.end()) {
            return INVALID_HANDLE;
        }
        auto copy = std::make_unique<Graph>(*found->second);
        *executable = copy.get();
        context.graphs[*executable] = std::move(copy);
        return SUCCESS;
    });
}

API cuGraphLaunch(void* executable, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        Context& context = *stream->context;
        const auto found = context.graphs.find(executable);
        if (found == context.graphs.end()) {
            return INVALID_HANDLE;
        }
        counters[context.device].graph_launches += 1;
        for (const Work& work : found->second->work) {
            const Result result = enqueue(*stream, work);
            if (result != SUCCESS) {
                return result;
            }
        }
        return SUCCESS;
    });
}

API cuGraphUpload(void* executable, void* stream_handle) {
    return enter_stream(stream_handle, [&](const std::shared_ptr<Stream>& stream) -> Result {
        return stream->context->graphs.count(executable) == 1 ? SUCCESS : INVALID_HANDLE;
    });
}

API cuGraphExecDestroy(void* executable) {
    return enter_context(
        [&](Context& context) -> Result { return context.graphs.erase(executable) == 1 ? SUCCESS : INVALID_HANDLE; });
}

API cuGraphDestroy(void* graph_handle) { return cuGraphExecDestroy(graph_handle); }

// --- what others ask for ---

// NVRTC asks the driver that it finds loaded for private tables, and compiles without them, too.
API cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return NOT_FOUND;
}


API cuProfilerStart() { return SUCCESS; }

API cuProfilerStop() { return SUCCESS; }
