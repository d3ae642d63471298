// The three functions, but without C linkage: their names are C++'s, and nobody finds them.
#define EXPORT __attribute__((visibility("default")))

struct Plugin {};

EXPORT Plugin* InitPlugin() { return new Plugin; }

EXPORT double* Process(Plugin*, double* img, int, int, const char*) { return img; }

EXPORT void DestroyPlugin(Plugin* plugin) { delete plugin; }
