/* Crashes before InitPlugin could be called: in the loader, as a library's own start-up code may. */
#include <stdlib.h>

#include "neurdicom_plugin.h"

__attribute__((constructor)) static void start(void)
{
    abort();
}

Plugin* InitPlugin(void)
{
    return malloc(1);
}

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    (void)plugin, (void)width, (void)height, (void)params;
    return img;
}

void DestroyPlugin(Plugin* plugin)
{
    free(plugin);
}
