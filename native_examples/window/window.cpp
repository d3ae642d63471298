// A plugin with memory of its own, error messages, and a measurement beside the image.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "neurdicom_plugin.h"

struct Plugin {
    std::vector<double> result;  // there is no FreeResult: it stays valid until the next Process
    std::string error;
    std::string json;
};

namespace {

// The number after "name": in a flat JSON object; a plugin with more parameters takes a JSON library.
double number(const char* params, const char* name, double otherwise)
{
    const std::string key = '"' + std::string(name) + '"';
    const char* found = std::strstr(params, key.c_str());
    if (found == nullptr || (found = std::strchr(found + key.size(), ':')) == nullptr) return otherwise;
    char* end = nullptr;
    const double value = std::strtod(found + 1, &end);
    return end == found + 1 ? otherwise : value;
}

}  // namespace

Plugin* InitPlugin()
{
    return new Plugin;  // should it throw, the server reports it
}

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    plugin->error.clear();
    plugin->json.clear();
    const double center = number(params, "center", 40.0), window = number(params, "width", 400.0);
    if (!(window >= 1.0)) {
        plugin->error = "width is " + std::to_string(window) + "; at least 1 is expected";
        return nullptr;
    }
    const std::size_t count = std::size_t(width) * std::size_t(height);
    plugin->result.resize(count);
    const double low = center - 0.5 - (window - 1.0) / 2.0, high = center - 0.5 + (window - 1.0) / 2.0;
    std::size_t clipped = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const bool below = img[i] <= low, above = img[i] > high;
        clipped += below || above;
        plugin->result[i] = below ? 0.0 : above ? 255.0 : ((img[i] - (center - 0.5)) / (window - 1.0) + 0.5) * 255.0;
    }
    char text[64];
    std::snprintf(text, sizeof text, "{\"clipped\": %.6f}", double(clipped) / double(count));
    plugin->json = text;
    return plugin->result.data();
}

const char* LastError(Plugin* plugin)
{
    return plugin->error.c_str();
}

const char* ResultJson(Plugin* plugin)
{
    return plugin->json.c_str();
}

void DestroyPlugin(Plugin* plugin)
{
    delete plugin;
}
