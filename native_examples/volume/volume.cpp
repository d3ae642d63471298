// A plugin for whole series: the brightest sample along the slices, and how much of the volume is above a threshold.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <new>
#include <string>
#include <vector>

#include "neurdicom_json.hpp"
#include "neurdicom_plugin.h"

struct Plugin {
    std::vector<double> image;  // there is no FreeResult: it stays valid until the next call
    std::string json;
};

namespace {

// mm3 of a sample; 0 where the slices have no place in space.
double sample_volume(const neurdicom::Json& image)
{
    double product = 1.0;
    for (const neurdicom::Json& spacing : image["spacing"].items()) product *= spacing.is_null() ? 0.0 : spacing.number();
    return product;
}

}  // namespace

Plugin* InitPlugin()
{
    return new Plugin;
}

double* ProcessVolume(Plugin* plugin, double* volume, int width, int height, int depth, const char* params)
{
    const auto given = neurdicom::Json::parse(params);  // should it throw, the server reports it
    const double threshold = given["threshold"].number();
    const std::size_t pixels = std::size_t(width) * std::size_t(height);
    plugin->image.assign(volume, volume + pixels);
    std::size_t above = 0;
    for (int z = 0; z < depth; ++z) {
        const double* slice = volume + std::size_t(z) * pixels;
        for (std::size_t i = 0; i < pixels; ++i) {
            plugin->image[i] = std::max(plugin->image[i], slice[i]);
            above += slice[i] > threshold;
        }
    }
    neurdicom::Json made;
    made["samples"] = above;
    if (const double each = sample_volume(given["_image"]); each > 0.0) made["volume_ml"] = double(above) * each / 1000.0;
    plugin->json = made.dump();
    return plugin->image.data();
}

void ResultDepth(Plugin*, int* depth)
{
    *depth = 1;  // an image, and not a volume
}

const char* ResultJson(Plugin* plugin)
{
    return plugin->json.c_str();
}

void DestroyPlugin(Plugin* plugin)
{
    delete plugin;
}
