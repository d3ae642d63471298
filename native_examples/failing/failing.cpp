// Faults on request: the parameter `fault` names what goes wrong. Not an example to follow.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include <unistd.h>

#include "neurdicom_plugin.h"

struct Plugin {
    const char* error = nullptr;
};

namespace {

bool asks(const char* params, const char* fault)
{
    char quoted[64];
    std::snprintf(quoted, sizeof quoted, "\"%s\"", fault);
    return std::strstr(params, quoted) != nullptr;
}

volatile double* nowhere = nullptr;

int recurse(int depth)
{
    volatile char frame[4096];
    frame[0] = static_cast<char>(depth);
    return recurse(depth + 1) + frame[0];
}

[[noreturn]] void leak()
{
    for (;;) {
        void* lost = std::malloc(1 << 20);
        std::memset(lost, 1, 1 << 20);
    }
}

void use_unchecked()
{
    volatile double* block = static_cast<volatile double*>(std::malloc(static_cast<std::size_t>(1) << 44));
    block[0] = 1.0;
}

void allocate_without_a_way_out() noexcept
{
    double* volatile block = new double[static_cast<std::size_t>(1) << 41];
    delete[] block;
}

}  // namespace

Plugin* InitPlugin()
{
    return new Plugin;
}

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    plugin->error = nullptr;
    if (asks(params, "crash")) *nowhere = 1.0;
    if (asks(params, "abort")) std::abort();
    if (asks(params, "divide")) std::raise(SIGFPE);
    if (asks(params, "overflow")) std::memset(img, 0xff, static_cast<std::size_t>(1) << 40);
    if (asks(params, "hang")) for (;;) pause();
    if (asks(params, "leak")) leak();
    if (asks(params, "null")) return nullptr;
    if (asks(params, "error")) {
        plugin->error = "the kernel is larger than the image";
        return nullptr;
    }
    if (asks(params, "exit")) std::exit(3);
    if (asks(params, "throw")) throw std::runtime_error("thrown in C++");
    if (asks(params, "throw_number")) throw 42;
    if (asks(params, "bad_alloc")) throw std::bad_alloc();
    if (asks(params, "unchecked")) use_unchecked();
    if (asks(params, "noexcept")) allocate_without_a_way_out();
    if (asks(params, "stack")) img[0] = recurse(0);
    if (asks(params, "free_image")) std::free(reinterpret_cast<char*>(img) + 8);
    if (asks(params, "print")) std::printf("%d by %d\n", width, height);
    if (asks(params, "close")) for (int descriptor = 3; descriptor < 256; ++descriptor) close(descriptor);
    if (asks(params, "fork") && fork() == 0) for (;;) pause();
    return img;
}

const char* LastError(Plugin* plugin)
{
    return plugin->error;
}

void DestroyPlugin(Plugin* plugin)
{
    delete plugin;
}
