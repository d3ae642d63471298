// Calls of a plugin's functions that catch every C++ exception, so that none reaches the worker's Python code.
#pragma once

#include <cstdio>
#include <exception>
#include <new>

#include "neurdicom_plugin.h"

namespace neurdicom {

enum class Outcome : int { returned = 0, out_of_memory = 1, threw = 2 };

struct Failure {
    char text[512];
};

template <typename Call>
inline int guarded(Failure& failure, Call&& call) noexcept {
    try {
        call();
        return static_cast<int>(Outcome::returned);
    } catch (const std::bad_alloc&) {
        return static_cast<int>(Outcome::out_of_memory);
    } catch (const std::exception& error) {
        std::snprintf(failure.text, sizeof failure.text, "%s", error.what());
    } catch (...) {
        std::snprintf(failure.text, sizeof failure.text, "an exception that is not a std::exception");
    }
    return static_cast<int>(Outcome::threw);
}

using InitFunction = Plugin* (*)();
using DestroyFunction = void (*)(Plugin*);
using TextFunction = const char* (*)(Plugin*);
using ShapeFunction = void (*)(Plugin*, int*, int*, int*);
using DepthFunction = void (*)(Plugin*, int*);
using VolumeFunction = double* (*)(Plugin*, double*, int, int, int, const char*);

template <typename Sample>
using ProcessFunction = Sample* (*)(Plugin*, Sample*, int, int, const char*);

template <typename Sample>
using FreeFunction = void (*)(Plugin*, Sample*);

inline int call_init(void* function, Plugin** plugin, Failure& failure) noexcept {
    return guarded(failure, [&] { *plugin = reinterpret_cast<InitFunction>(function)(); });
}

inline int call_destroy(void* function, Plugin* plugin, Failure& failure) noexcept {
    return guarded(failure, [&] { reinterpret_cast<DestroyFunction>(function)(plugin); });
}

inline int call_text(void* function, Plugin* plugin, const char** answer, Failure& failure) noexcept {
    return guarded(failure, [&] { *answer = reinterpret_cast<TextFunction>(function)(plugin); });
}

inline int call_shape(void* function, Plugin* plugin, int* width, int* height, int* channels, Failure& failure) noexcept {
    return guarded(failure, [&] { reinterpret_cast<ShapeFunction>(function)(plugin, width, height, channels); });
}

inline int call_depth(void* function, Plugin* plugin, int* depth, Failure& failure) noexcept {
    return guarded(failure, [&] { reinterpret_cast<DepthFunction>(function)(plugin, depth); });
}

template <typename Sample>
inline int call_process(void* function, Plugin* plugin, Sample* image, int width, int height, const char* params,
                   Sample** result, Failure& failure) noexcept {
    return guarded(failure, [&] {
        *result = reinterpret_cast<ProcessFunction<Sample>>(function)(plugin, image, width, height, params);
    });
}

inline int call_process_volume(void* function, Plugin* plugin, double* volume, int width, int height, int depth,
                               const char* params, double** result, Failure& failure) noexcept {
    return guarded(failure, [&] {
        *result = reinterpret_cast<VolumeFunction>(function)(plugin, volume, width, height, depth, params);
    });
}

inline int call_release(void* function, Plugin* plugin, void* result, bool is_float, Failure& failure) noexcept {
    return guarded(failure, [&] {
        if (is_float) {
            reinterpret_cast<FreeFunction<float>>(function)(plugin, static_cast<float*>(result));
        } else {
            reinterpret_cast<FreeFunction<double>>(function)(plugin, static_cast<double*>(result));
        }
    });
}

}  // namespace neurdicom
