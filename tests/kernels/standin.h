// Between the stand-in driver (standin.cpp), which knows the driver's ABI, and the kernels that it can run
// (standin_kernels.cpp), which know their arguments.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace standin {

struct Dim {
    unsigned x, y, z;
};

// Memory of the device.
struct Range {
    const unsigned char* start;
    std::size_t bytes;
};

// One launch, with everything that a kernel or its check can ask for.
struct Launch {
    Dim grid;
    Dim block;
    // Dynamic shared memory, bytes.
    unsigned shared;
    // The kernel's one argument, `Kernel::parameter_bytes` of it.
    const void* parameters;
    // Whether so many bytes lie inside one live allocation of the launching device.
    std::function<bool(const void*, std::size_t)> inside;
};

struct Kernel {
    const char* name;
    std::size_t parameter_bytes;
    // Threads per block at most.
    unsigned max_threads;
    // What is wrong with the launch; empty: nothing. Runs before every launch, on the memory as the kernel finds it.
    std::string (*check)(const Launch&);
    // Runs all blocks. Equal schedules run threads in the same order.
    void (*run)(const Launch&, unsigned schedule);
    // The grid does not depend on the number of threads: the control "threads" may change it.
    bool any_threads;
    // Its blocks wait for each other: only a cooperative launch will do.
    bool cooperative;
    // What a launch that may overlap must leave alone; null: nothing.
    Range (*scratch)(const Launch&) = nullptr;
};

// All entry points of the project's kernels.
const std::vector<Kernel>& kernels();

}  // namespace standin
