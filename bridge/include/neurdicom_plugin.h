/*
 * neurdicom_plugin.h - the C interface of native NeurDICOM plugins, version 1.
 *
 * A plugin is one shared library (.so) that exports these functions, under exactly these names and with C linkage. It
 * can be written in C, C++, Rust or any other language with C linkage; including this header is optional.
 *
 *   required   InitPlugin, DestroyPlugin, and one of Process, ProcessF32, ProcessVolume
 *   optional   FreeResult, FreeResultF32, LastError, ResultShape, ResultDepth, ResultJson
 *
 * Build:  cc -O2 -shared -fPIC -o plugin.so plugin.c          c++ -O2 -shared -fPIC -o plugin.so plugin.cpp
 *
 * Processes and threads
 *   The library is loaded into worker processes that run this plugin only. In each, InitPlugin is called once, then
 *   Process any number of times, then DestroyPlugin once; never two at a time, and always from the same thread. Several
 *   workers may run at once, so a plugin that writes files or shared memory must allow for others that do the same. A
 *   plugin may start threads of its own; they must have ended when DestroyPlugin returns. A crash, an exit, a call past
 *   the time limit or memory past the limit ends the worker and that one request, nothing else.
 *
 * Exceptions
 *   A plugin need not catch C++ exceptions: std::bad_alloc that leaves a function is reported as out of memory, any
 *   other std::exception as a failed call with its what(). A library with a C++ runtime of its own
 *   (-static-libstdc++, -static-libgcc) must catch them itself: between two runtimes they end the process.
 *
 * Output
 *   stdout and stderr go to the server's log, under the plugin's name.
 *
 * Compatibility
 *   A new signature will get a new name; the functions below do not change.
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

/* The plugin's own state, opaque to the server. */
typedef struct Plugin Plugin;

/*
 * Creates the state. The plugin allocates it; every other function gets it as its first argument; DestroyPlugin frees
 * it. NULL means that the plugin can't start. Called once when the plugin's package is uploaded, as a check, and once
 * in each worker.
 */
NEURDICOM_EXPORT Plugin* InitPlugin(void);

/* Frees the state and everything else that the plugin still owns. Never called with NULL, never called twice. */
NEURDICOM_EXPORT void DestroyPlugin(Plugin* plugin);

/*
 * Processes one image.
 *   img      width * height samples in double precision, row by row from the top left; contiguous, aligned to 64 bytes
 *            and writable. Colour pixels arrive as luminance. The server allocates and frees it; it is valid until
 *            Process returns, or, if Process returns it, until the server has encoded it. The plugin must neither free
 *            it nor keep the pointer.
 *   params   the parameters as a JSON object in UTF-8, terminated by a zero byte. The server's; valid during the call.
 *            Parameters with a default are always in it; others only if the caller gave them.
 *   returns  width * height samples: img itself, changed in place, or memory that the plugin allocates (FreeResult
 *            frees it). A result of another size needs ResultShape. NULL means that the call failed (see LastError),
 *            or that ResultJson is the result; the worker continues.
 */
NEURDICOM_EXPORT double* Process(Plugin* plugin, double* img, int width, int height, const char* params);

/* The same in single precision, with half the memory. If a plugin has both, this one is called instead of Process. */
NEURDICOM_EXPORT float* ProcessF32(Plugin* plugin, float* img, int width, int height, const char* params);

/*
 * Frees a result that the plugin allocated. Called exactly once, before DestroyPlugin, for each pointer that Process or
 * ProcessVolume (FreeResultF32: ProcessF32) returned, unless it is NULL or the input. Without this function the plugin
 * owns its results, which must stay valid until the next Process or DestroyPlugin.
 */
NEURDICOM_EXPORT void FreeResult(Plugin* plugin, double* result);
NEURDICOM_EXPORT void FreeResultF32(Plugin* plugin, float* result);

/*
 * The reason why the last call returned NULL, as UTF-8 text; NULL or empty without a reason. The plugin owns the text,
 * which must stay valid until the next call.
 */
NEURDICOM_EXPORT const char* LastError(Plugin* plugin);

/*
 * Sets the size of the result. Called after each Process or ProcessVolume that did not fail. On entry *width and
 * *height are those of the input and *channels is 1. 3 channels are RGB and 4 are RGBA, interleaved: the result has
 * width * height * channels samples. A result in the input's memory can't be larger than the input.
 */
NEURDICOM_EXPORT void ResultShape(Plugin* plugin, int* width, int* height, int* channels);

/*
 * JSON in UTF-8 beside or instead of the image of the last Process, such as measurements; NULL if there is none. With
 * the result type "JSON" in META.json it is the result, and Process may return NULL. Without a result type it is the
 * result if Process returned NULL and LastError has no reason; so after a failure return NULL here, or a reason there.
 * The plugin owns the text, which must stay valid until the next call.
 */
NEURDICOM_EXPORT const char* ResultJson(Plugin* plugin);

/*
 * Processes a whole volume: the slices of a series, or the frames of a multi-frame instance. Called instead of Process
 * if META.json has "level": "series". A plugin of that level without ProcessVolume gets the slices one by one, each in
 * a call of Process, in no particular order and in several workers at once.
 *   volume   depth * height * width samples in double precision, slice after slice in the order of their position
 *            along the normal (or of instance number or frame number without geometry), each as img of Process:
 *            sample (x, y, z) is volume[((size_t)z * height + y) * width + x]. There may be more samples than an int
 *            can count. Contiguous, aligned to 64 bytes and writable. The server allocates and frees it, as img of
 *            Process; no other plugin shares its memory.
 *   params   as for Process, and always with the member "_image": the geometry of the slices and the meaning of their
 *            samples (docs/plugins.md lists its members). The names of a plugin's own parameters can't begin with an
 *            underscore.
 *   returns  as Process: volume itself, changed in place, or memory that the plugin allocates (FreeResult frees it), of
 *            depth * height * width samples. A result of another size needs ResultShape (width, height and channels of
 *            a slice) or ResultDepth. NULL means that the call failed, or that ResultJson is the result.
 */
NEURDICOM_EXPORT double* ProcessVolume(Plugin* plugin, double* volume, int width, int height, int depth,
                                       const char* params);

/*
 * Sets the number of slices of the result. Called after each ProcessVolume that did not fail, after ResultShape. On
 * entry *depth is that of the volume. If it is set to 1, the result is an image (such as a projection), not a volume.
 */
NEURDICOM_EXPORT void ResultDepth(Plugin* plugin, int* depth);

#ifdef __cplusplus
}
#endif

#endif
