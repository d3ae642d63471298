/* Gives new memory with each call, and exports no FreeResult: nobody ever frees it. */
#include <stdlib.h>
#include <string.h>

#include "neurdicom_plugin.h"

Plugin* InitPlugin(void) { return malloc(1); }

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    const size_t size = sizeof(double) * (size_t)width * (size_t)height;
    double* made = malloc(size);
    (void)plugin, (void)params;
    return made == NULL ? NULL : memcpy(made, img, size);
}

void DestroyPlugin(Plugin* plugin) { free(plugin); }
