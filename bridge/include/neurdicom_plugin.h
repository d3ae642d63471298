/*
 * neurdicom_plugin.h - the C interface of native NeurDICOM plugins, version 1.
 *
 * A plugin is one shared library (.so) with these functions, under exactly these names and with C linkage. It can be
 * written in C, C++, Rust or anything else with C linkage; including this header is a convenience, not a condition.
 *
 *   required   InitPlugin, DestroyPlugin, and one of Process, ProcessF32, ProcessVolume
 *   optional   FreeResult, FreeResultF32, LastError, ResultShape, ResultDepth, ResultJson
 *
 * Build:  cc -O2 -shared -fPIC -o plugin.so plugin.c          c++ -O2 -shared -fPIC -o plugin.so plugin.cpp
 *
 * Processes and threads
 *   The library is loaded into worker processes that serve this plugin only. In each, InitPlugin is called once, then
 *   Process any number of times, then DestroyPlugin once; never two at a time, and always from the same thread. Several
 *   workers may run at once, so what is written to files or shared memory must expect company. A plugin may start
 *   threads of its own; they must be gone when DestroyPlugin returns. A crash, an exit, a call past the time limit
 *   or memory past the limit ends the worker and that one request, nothing else.
 *
 * Exceptions
 *   None has to be caught for the server's sake: std::bad_alloc that leaves a function is reported as out of memory,
 *   any other std::exception as a failed call with its what(). A library with a C++ runtime of its own
 *   (-static-libstdc++, -static-libgcc) must catch them itself: across two runtimes they end the process.
 *
 * Output
 *   stdout and stderr go to the server's log, under the plugin's name.
 *
 * A new signature will get a new name; the functions below stay as they are.
 */
#ifndef NEURDICOM_PLUGIN_H
#define NEURDICOM_PLUGIN_H

#define NEURDICOM_PLUGIN_ABI 1

#if defined(__GNUC__)
#define NEURDICOM_EXPORT __attribute__((visibility("default")))
#else
#define NEURDICOM_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The plugin's own state; only the plugin knows what is in it. */
typedef struct Plugin Plugin;

/*
 * Makes the state. Allocated by the plugin, handed back to it with every call, released by DestroyPlugin.
 * NULL means that the plugin can't start. It is called once when an archive is uploaded, as a proof, and once in
 * each worker.
 */
NEURDICOM_EXPORT Plugin* InitPlugin(void);

/* Releases the state and everything else that the plugin still owns. Never called with NULL, never called twice. */
NEURDICOM_EXPORT void DestroyPlugin(Plugin* plugin);

/*
 * Processes one image.
 *   img      width * height samples, row by row from the top left; aligned to 64 bytes and writable. Colour pixels
 *            arrive as luminance. The server's: valid until Process returns, or, when Process returns it, until
 *            the server has encoded it. The plugin must not free or keep it.
 *   params   the parameters as a JSON object in UTF-8, ended by a zero byte; valid during the call. Those with a
 *            default are always in it, those that the caller left out are not.
 *   returns  width * height samples: img itself, worked on in place, or memory of the plugin's own (see FreeResult).
 *            Another size needs ResultShape. NULL means that the call failed (see LastError); the worker stays.
 */
NEURDICOM_EXPORT double* Process(Plugin* plugin, double* img, int width, int height, const char* params);

/* The same in single precision: half the memory. Called instead of Process by a server that finds both. */
NEURDICOM_EXPORT float* ProcessF32(Plugin* plugin, float* img, int width, int height, const char* params);

/*
 * Frees a result. Called exactly once for each pointer that Process or ProcessVolume (FreeResultF32: ProcessF32)
 * returned and that is not what it was given, before DestroyPlugin. Without it results stay the plugin's, and must stay valid until the next Process or
 * DestroyPlugin.
 */
NEURDICOM_EXPORT void FreeResult(Plugin* plugin, double* result);
NEURDICOM_EXPORT void FreeResultF32(Plugin* plugin, float* result);

/*
 * Why the last call returned NULL, as UTF-8 text; NULL or empty when there is nothing to say. The plugin's; it must
 * stay valid until the next call.
 */
NEURDICOM_EXPORT const char* LastError(Plugin* plugin);

/*
 * The size of the result, asked after each Process or ProcessVolume that did not fail. The three arrive as the image's width, its height
 * and 1. channels 3 is RGB, 4 is RGBA, interleaved: the result has width * height * channels samples. A result in
 * img can't be larger than img.
 */
NEURDICOM_EXPORT void ResultShape(Plugin* plugin, int* width, int* height, int* channels);

/*
 * JSON in UTF-8 beside or instead of the image of the last Process, such as measurements; NULL when there is none. With
 * the result type "JSON" in META.json it is the result, and Process may return NULL. Without a result type it is the
 * result when Process returned NULL and LastError has nothing to say; so after a failure give NULL here, or a message
 * there. The plugin's; valid until the next call.
 */
NEURDICOM_EXPORT const char* ResultJson(Plugin* plugin);

/*
 * Processes a whole volume: the slices of a series, or the frames of a multi-frame instance. Called instead of Process
 * where META.json says "level": "series". A plugin of that level without ProcessVolume gets the slices one by one, in calls of
 * Process of its own, in no particular order and by several workers at once.
 *   volume   depth * height * width samples in double precision, slice after slice in the order of their position
 *            along the normal (of instance number or frame number where there is no geometry), each as img of Process:
 *            sample (x, y, z) is volume[((size_t)z * height + y) * width + x]. Their number may be more than an int
 *            holds. Contiguous, aligned to 64 bytes and writable. The server's: memory that is shared with no other
 *            plugin, unmapped after the call.
 *   params   as Process, and always with the member "_image": where the slices lie in space and what their samples
 *            mean (docs/plugins.md lists its members). A parameter of the plugin's own can't begin with an underscore.
 *   returns  as Process: volume itself, worked on in place, or memory of the plugin's own (see FreeResult), of
 *            depth * height * width samples. Another size needs ResultShape (width, height, channels of a slice) or
 *            ResultDepth; NULL means that the call failed, or that ResultJson is the result.
 */
NEURDICOM_EXPORT double* ProcessVolume(Plugin* plugin, double* volume, int width, int height, int depth,
                                       const char* params);

/*
 * The number of slices in the result, asked after each ProcessVolume that did not fail, and after ResultShape; depth
 * arrives as the volume's. Set to 1, the result is one image (such as a projection), not a volume of one slice.
 */
NEURDICOM_EXPORT void ResultDepth(Plugin* plugin, int* depth);

#ifdef __cplusplus
}
#endif

#endif
