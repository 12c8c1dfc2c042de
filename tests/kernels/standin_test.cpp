// The stand-in driver finds what it is there to find: every check of standin.cpp, once provoked.

#include "cuda_host.h"

#include "../../kernels/evaluate.cu"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// Of the driver, as far as it is called here; handles are untyped.
extern "C" {
int cuInit(unsigned);
int cuDeviceGet(int*, int);
int cuDeviceGetCount(int*);
int cuDeviceGetAttribute(int*, int, int);
int cuDevicePrimaryCtxRetain(void**, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuCtxSetCurrent(void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamWaitEvent(void*, void*, unsigned);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuGraphInstantiateWithFlags(void**, void*, unsigned long long);
int cuGraphLaunch(void*, void*);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuMemGetInfo_v2(std::size_t*, std::size_t*);
int cuMemAlloc_v2(std::uint64_t*, std::size_t);
int cuMemFree_v2(std::uint64_t);
int cuMemFreeAsync(std::uint64_t, void*);
int cuMemHostAlloc(void**, std::size_t, unsigned);
int cuMemFreeHost(void*);
int cuMemcpyHtoDAsync_v2(std::uint64_t, const void*, std::size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, std::uint64_t, std::size_t, void*);
int cuMemcpyHtoD_v2(std::uint64_t, const void*, std::size_t);
int cuMemsetD8Async(std::uint64_t, unsigned char, std::size_t, void*);
int cuMemcpyDtoH_v2(void*, std::uint64_t, std::size_t);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int standin_set(const char*, long long);
long long standin_get(const char*, int);
void standin_reset();
}

namespace {

constexpr unsigned NON_BLOCKING = 1;
constexpr unsigned THREADS = 32;
// Enough for any kernel with that few threads and legs.
constexpr unsigned SHARED = 40 * 1024;
constexpr char KERNEL[] = "evaluate_intraday_f32";

void expect(long long got, long long wanted, int line) {
    if (got != wanted) {
        std::printf("standin_test.cpp:%d: %lld, not %lld\n", line, got, wanted);
        std::exit(1);
    }
}

#define EXPECT(got, wanted) expect(static_cast<long long>(got), static_cast<long long>(wanted), __LINE__)

// Bytes that pass for machine code of an architecture with the kernel in it.
std::string image(unsigned architecture) {
    std::string bytes(64, '\0');
    const std::uint32_t magic = 0x464c457f;
    const std::uint32_t flags = architecture << 8;
    const std::uint64_t sections = bytes.size();
    const std::uint16_t section_bytes = sizeof KERNEL;
    const std::uint16_t section_count = 1;
    std::memcpy(&bytes[0], &magic, sizeof magic);
    std::memcpy(&bytes[40], &sections, sizeof sections);
    std::memcpy(&bytes[48], &flags, sizeof flags);
    std::memcpy(&bytes[58], &section_bytes, sizeof section_bytes);
    std::memcpy(&bytes[60], &section_count, sizeof section_count);
    return bytes + std::string(KERNEL, sizeof KERNEL);
}

// One simulation of one long leg, one candidate, and its sum.
struct Everything {
    float4 gates;
    float2 term;
    Span span;
    unsigned group;
    double scale;
    float2 pair;
    long long sum;
};

struct Device {
    void* context;
    void* function;
    void* stream;

    explicit Device(int index) {
        EXPECT(cuInit(0), 0);
        EXPECT(cuDevicePrimaryCtxRetain(&context, index), 0);
        EXPECT(cuCtxSetCurrent(context), 0);
        void* module;
        EXPECT(cuModuleLoadData(&module, image(90).data()), 0);
        EXPECT(cuModuleGetFunction(&function, module, KERNEL), 0);
        EXPECT(cuStreamCreate(&stream, NON_BLOCKING), 0);
    }

    int launch(const Round& round, unsigned threads = THREADS, unsigned shared = SHARED) {
        void* parameters[] = {const_cast<Round*>(&round)};
        return cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, shared, stream, parameters, nullptr);
    }
};

std::uint64_t upload() {
    Everything data = {};
    // Entered, and not left before the close.
    data.gates = make_float4(-1.0f, -1.0f, 0.0f, 0.0f);
    data.term = make_float2(0.25f, 1.0f);
    data.span = {0, 1, 0, 0, 0};
    data.scale = 1024.0;
    std::uint64_t address;
    EXPECT(cuMemAlloc_v2(&address, sizeof data), 0);
    EXPECT(cuMemcpyHtoD_v2(address, &data, sizeof data), 0);
    return address;
}

Round round_over(std::uint64_t address) {
    auto* data = reinterpret_cast<Everything*>(address);
    Round round = {};
    round.legs = &data->gates;
    round.terms = &data->term;
    round.spans = &data->span;
    round.group_of = &data->group;
    round.scales = &data->scale;
    round.pairs = &data->pair;
    round.sums = &data->sum;
    round.count = 1;
    round.slots = 1;
    round.pack_lanes = 4;
    round.single = 1;
    return round;
}

constexpr std::size_t SUM = offsetof(Everything, sum);

void devices_and_images() {
    standin_set("devices", 0);
    EXPECT(cuInit(0), 100);
    standin_set("devices", 2);
    int count;
    EXPECT(cuInit(0), 0);
    EXPECT(cuDeviceGetCount(&count), 0);
    EXPECT(count, 2);
    int device;
    EXPECT(cuDeviceGet(&device, 2), 101);

    Device first(0);
    void* module;
    EXPECT(cuModuleLoadData(&module, "no image"), 200);
    EXPECT(cuModuleLoadData(&module, image(80).data()), 209);
    EXPECT(cuModuleLoadData(&module, image(120).data()), 209);
    standin_set("load_error", 222);
    EXPECT(cuModuleLoadData(&module, image(90).data()), 222);
    standin_set("load_error", 0);
    standin_set("driver_version", 12040);
    EXPECT(cuModuleLoadData(&module, image(90).data()), 222);
    EXPECT(cuModuleGetFunction(&first.function, module, "no kernel"), 400);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 0);
    EXPECT(cuModuleLoadData(&module, image(90).data()), 709);
}

// Nothing has happened before somebody waits, and everything after.
void work_is_late() {
    Device device(0);
    const std::uint64_t address = upload();
    long long* pinned;
    EXPECT(cuMemHostAlloc(reinterpret_cast<void**>(&pinned), sizeof *pinned, 0), 0);
    *pinned = 77;
    void* other;
    EXPECT(cuStreamCreate(&other, NON_BLOCKING), 0);
    void* event;
    EXPECT(cuEventCreate(&event, 0), 0);
    EXPECT(device.launch(round_over(address)), 0);
    EXPECT(cuEventRecord(event, device.stream), 0);
    EXPECT(cuMemcpyDtoHAsync_v2(pinned, address + SUM, sizeof *pinned, other), 0);
    EXPECT(standin_get("launches", 0), 0);
    EXPECT(cuStreamSynchronize(other), 0);
    // The copy did not wait for the launch, which nobody has waited for.
    EXPECT(*pinned, 0);
    EXPECT(standin_get("launches", 0), 0);
    EXPECT(cuStreamWaitEvent(other, event, 0), 0);
    EXPECT(cuMemcpyDtoHAsync_v2(pinned, address + SUM, sizeof *pinned, other), 0);
    EXPECT(cuStreamSynchronize(other), 0);
    EXPECT(*pinned, 256);
    EXPECT(standin_get("launches", 0), 1);

    // A prompt stream waits for nobody but those that it is told to wait for.
    standin_set("prompt", 2);
    *pinned = 77;
    EXPECT(cuMemsetD8Async(address + SUM, 0, sizeof *pinned, device.stream), 0);
    EXPECT(cuMemcpyDtoHAsync_v2(pinned, address + SUM, sizeof *pinned, other), 0);
    EXPECT(*pinned, 256);
    EXPECT(cuEventRecord(event, device.stream), 0);
    EXPECT(cuStreamWaitEvent(other, event, 0), 0);
    EXPECT(cuMemcpyDtoHAsync_v2(pinned, address + SUM, sizeof *pinned, other), 0);
    EXPECT(*pinned, 0);
    standin_set("prompt", 0);

    EXPECT(cuStreamBeginCapture_v2(device.stream, 1), 0);
    EXPECT(device.launch(round_over(address)), 0);
    void* graph;
    void* executable;
    EXPECT(cuStreamEndCapture(device.stream, &graph), 0);
    EXPECT(cuGraphInstantiateWithFlags(&executable, graph, 0), 0);
    EXPECT(cuGraphLaunch(executable, device.stream), 0);
    EXPECT(cuGraphLaunch(executable, device.stream), 0);
    EXPECT(cuStreamSynchronize(device.stream), 0);
    EXPECT(standin_get("launches", 0), 3);
    EXPECT(cuMemFreeHost(pinned), 0);
    EXPECT(standin_get("violations", -1), 0);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 0);
}

void memory_is_watched() {
    Device device(0);
    std::uint64_t address;
    EXPECT(cuMemAlloc_v2(&address, 100), 0);
    unsigned char bytes[101];
    EXPECT(cuMemcpyDtoH_v2(bytes, address, 100), 0);
    // Poisoned, not zeroed.
    EXPECT(bytes[99], 0xff);
    EXPECT(cuMemcpyDtoH_v2(bytes, address, 101), 1);
    EXPECT(cuMemcpyHtoD_v2(address + 1, bytes, 100), 1);
    EXPECT(standin_get("violations", -1), 2);
    void* pinned;
    EXPECT(cuMemHostAlloc(&pinned, 50, 0), 0);
    EXPECT(cuMemcpyHtoDAsync_v2(address, pinned, 51, device.stream), 1);
    EXPECT(standin_get("violations", -1), 3);
    EXPECT(cuMemFreeHost(pinned), 0);
    EXPECT(standin_get("live_bytes", 0), 100);
    EXPECT(cuMemFree_v2(address), 0);
    EXPECT(cuMemFree_v2(address), 1);
    EXPECT(standin_get("violations", -1), 4);
    EXPECT(standin_get("live_allocations", -1), 0);

    standin_set("memory", 1000);
    standin_set("reserved", 300);
    std::size_t free, total;
    EXPECT(cuMemGetInfo_v2(&free, &total), 0);
    EXPECT(free, 700);
    EXPECT(total, 1000);
    EXPECT(cuMemAlloc_v2(&address, 701), 2);
    EXPECT(cuMemAlloc_v2(&address, 700), 0);
    // A free that is under way counts when memory would be out.
    EXPECT(cuMemFreeAsync(address, device.stream), 0);
    EXPECT(cuMemAlloc_v2(&address, 1), 0);
    standin_set("fail_allocation", 2);
    EXPECT(cuMemAlloc_v2(&address, 1), 0);
    EXPECT(cuMemAlloc_v2(&address, 1), 2);
    EXPECT(cuMemAlloc_v2(&address, 1), 0);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 0);
    EXPECT(standin_get("live_allocations", -1), 0);
}

// A launch that cannot be is refused; one that fails takes its context along, and nothing else.
void launches_fail() {
    Device device(0);
    const std::uint64_t address = upload();
    const Round good = round_over(address);
    EXPECT(device.launch(good, 2048), 1);
    EXPECT(device.launch(good, MAX_THREADS + 32), 701);
    EXPECT(device.launch(good, THREADS, 48 * 1024 + 1), 1);
    EXPECT(cuFuncSetAttribute(device.function, 8, 227 * 1024 + 1), 1);
    EXPECT(cuFuncSetAttribute(device.function, 8, 227 * 1024), 0);
    EXPECT(device.launch(good, THREADS, 48 * 1024 + 1), 0);
    EXPECT(cuStreamSynchronize(device.stream), 0);

    standin_set("fail_launch", 2);
    EXPECT(device.launch(good), 0);
    EXPECT(cuStreamSynchronize(device.stream), 0);
    EXPECT(device.launch(good), 0);
    EXPECT(cuStreamSynchronize(device.stream), 719);
    std::uint64_t more;
    EXPECT(cuMemAlloc_v2(&more, 1), 719);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 719);

    Device again(0);
    const std::uint64_t fresh = upload();
    EXPECT(again.launch(round_over(fresh)), 0);
    EXPECT(cuStreamSynchronize(again.stream), 0);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 0);
}

// Each wrong argument alone is found before the kernel would use it.
void arguments_are_checked() {
    void (*const wrong[])(Round&) = {
        [](Round& round) { round.spans += 4; },
        [](Round& round) { round.legs = nullptr; },
        [](Round& round) { round.terms += 100; },
        [](Round& round) { round.group_of += 100; },
        [](Round& round) { round.scales += 100; },
        [](Round& round) { round.pairs += 100; },
        [](Round& round) { round.sums += 100; },
        [](Round& round) { round.count = 100; },
        [](Round& round) { round.slots = 9; },
        [](Round& round) { round.pack_lanes = 3; },
        [](Round& round) { round.packed_from = 2; },
        [](Round& round) { round.profits = reinterpret_cast<float*>(round.sums); },
    };
    for (const auto spoil : wrong) {
        Device device(0);
        Round round = round_over(upload());
        spoil(round);
        const long long before = standin_get("violations", -1);
        EXPECT(device.launch(round), 0);
        EXPECT(cuStreamSynchronize(device.stream), 700);
        EXPECT(standin_get("violations", -1), before + 1);
        EXPECT(cuDevicePrimaryCtxRelease_v2(0), 700);
    }

    // Shared memory: too little for as many slots as a block packs.
    {
        Device device(0);
        EXPECT(device.launch(round_over(upload()), THREADS, SHARED_BYTES + THREADS / 4 * PACKED_BYTES_PER_SLOT_INTRADAY - 1), 0);
        EXPECT(cuStreamSynchronize(device.stream), 700);
        EXPECT(cuDevicePrimaryCtxRelease_v2(0), 700);
    }

    // Memory of another device.
    standin_set("devices", 2);
    Device second(1);
    const std::uint64_t elsewhere = upload();
    Device first(0);
    EXPECT(first.launch(round_over(elsewhere)), 0);
    EXPECT(cuStreamSynchronize(first.stream), 700);
    EXPECT(cuDevicePrimaryCtxRelease_v2(0), 700);
    EXPECT(cuDevicePrimaryCtxRelease_v2(1), 0);
}

}  // namespace

int main() {
    for (void (*test)() : {devices_and_images, work_is_late, memory_is_watched, launches_fail, arguments_are_checked}) {
        standin_reset();
        test();
        EXPECT(standin_get("live_contexts", -1), 0);
    }
    std::puts("standin: every check finds what it is for");
}
