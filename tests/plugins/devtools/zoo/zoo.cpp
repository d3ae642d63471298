// Faults on request: the parameter `fault` names what goes wrong. Each must be found by `neurdicom plugin check`.
#include <cfenv>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "neurdicom_plugin.h"

struct Plugin {
    std::string error, json;
    std::vector<double> own;
    int shape[3] = {0, 0, 1};
    double calls = 0;
};

namespace {

// Kept from the optimiser, which may leave out what has no effect, such as a leak.
template <typename Value>
void keep(Value* value)
{
    asm volatile("" : : "g"(value) : "memory");
}

}  // namespace

Plugin* InitPlugin() { return new Plugin; }

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    const auto asks = [&](const char* fault) {
        return std::strstr(params, ('"' + std::string(fault) + '"').c_str()) != nullptr;
    };
    const std::size_t count = std::size_t(width) * std::size_t(height);
    plugin->error.clear(), plugin->json.clear();
    plugin->shape[0] = width, plugin->shape[1] = height, plugin->shape[2] = 1;
    ++plugin->calls;
    if (asks("leak")) keep(std::malloc(48));
    if (asks("leak_mapping")) keep(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    if (asks("leak_descriptor")) keep(new int(open("/dev/null", O_RDONLY)));
    if (asks("leak_thread")) std::thread([] { for (;;) pause(); }).detach();
    if (asks("write_behind")) img[count] = 1.0;
    if (asks("write_before")) img[-1] = 1.0;
    if (asks("read_far")) {
        volatile double sum = 0;
        for (std::size_t index = 0; index < count + 8192; ++index) sum = sum + img[index];
    }
    if (asks("freed")) {
        double* gone = new double[4];
        keep(gone);
        delete[] gone;
        keep(gone);
        img[0] = gone[1];
    }
    if (asks("random")) img[0] = std::random_device()();
    if (asks("stateful")) img[0] = plugin->calls;
    if (asks("bad_json")) plugin->json = "{\"mean\": nan}";
    if (asks("locale")) std::setlocale(LC_ALL, plugin->calls > 0 ? "C.UTF-8" : "C");
    if (asks("rounding")) std::fesetround(FE_UPWARD);
    if (asks("environment")) setenv("LC_NUMERIC", "de_DE", 1);
    if (asks("signals")) std::signal(SIGUSR1, SIG_IGN);
    if (asks("streams")) close(0);
    if (asks("slow")) usleep(60'000);
    if (asks("hang")) for (;;) pause();
    if (asks("one_by_one")) img[0] = 100 / (width * height - 1);
    if (asks("histogram")) {
        std::vector<int> bins(65536 * 2);
        for (std::size_t index = 0; index < count; ++index) ++bins.data()[int(img[index]) + 65536];
        keep(bins.data());
    }
    if (asks("mean")) {
        double sum = 0;
        for (std::size_t index = 0; index < count; ++index) sum += img[index];
        for (std::size_t index = 0; index < count; ++index) img[index] -= sum;
    }
    if (asks("swapped")) std::swap(plugin->shape[0], plugin->shape[1]);
    if (asks("short_result")) {
        plugin->own.resize(count);
        plugin->shape[0] = width + 1;
        return plugin->own.data();
    }
    if (asks("null")) return nullptr;
    if (asks("refuses")) {
        plugin->error = "an image of at least 100 x 100 is expected";
        return nullptr;
    }
    if (asks("throw")) throw std::runtime_error("thrown on purpose");
    if (asks("overflow")) {
        volatile int large = 2147483647;
        img[0] = large + width;
    }
    return img;
}

const char* LastError(Plugin* plugin) { return plugin->error.c_str(); }

const char* ResultJson(Plugin* plugin) { return plugin->json.empty() ? nullptr : plugin->json.c_str(); }

void ResultShape(Plugin* plugin, int* width, int* height, int* channels)
{
    *width = plugin->shape[0], *height = plugin->shape[1], *channels = plugin->shape[2];
}

void DestroyPlugin(Plugin* plugin) { delete plugin; }
