/* The smallest native plugin: works in place, in the buffer that it is given. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "neurdicom_plugin.h"

struct Plugin {
    double factor; /* used where the caller gives none */
};

/* The number after "name": in a flat JSON object. Enough for one number; a plugin with more takes a JSON library. */
static double number(const char* params, const char* name, double otherwise)
{
    const char* found = strstr(params, name);
    if (found == NULL || (found = strchr(found, ':')) == NULL) return otherwise;
    char* end;
    const double value = strtod(found + 1, &end);
    return end == found + 1 ? otherwise : value;
}

Plugin* InitPlugin(void)
{
    Plugin* plugin = malloc(sizeof *plugin);
    if (plugin != NULL) plugin->factor = 1.0;
    return plugin;
}

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    const double factor = number(params, "\"factor\"", plugin->factor);
    const size_t count = (size_t)width * (size_t)height;
    double low = img[0], high = img[0];
    for (size_t i = 1; i < count; ++i) {
        low = img[i] < low ? img[i] : low;
        high = img[i] > high ? img[i] : high;
    }
    for (size_t i = 0; i < count; ++i) img[i] = factor * (low + high - img[i]);
    return img;
}

void DestroyPlugin(Plugin* plugin)
{
    free(plugin);
}
