"""Foreign declarations: the plugin's interface, the guarded calls into it, the memory watch and the dynamic loader."""

from libc.stdint cimport int64_t


cdef extern from "neurdicom_plugin.h" nogil:
    ctypedef struct Plugin:
        pass


cdef extern from "guarded.hpp" namespace "neurdicom" nogil:
    cdef struct Failure:
        char text[512]

    int call_init(void* function, Plugin** plugin, Failure& failure) noexcept
    int call_destroy(void* function, Plugin* plugin, Failure& failure) noexcept
    int call_text(void* function, Plugin* plugin, const char** answer, Failure& failure) noexcept
    int call_shape(void* function, Plugin* plugin, int* width, int* height, int* channels, Failure& failure) noexcept
    int call_depth(void* function, Plugin* plugin, int* depth, Failure& failure) noexcept
    int call_process[Sample](void* function, Plugin* plugin, Sample* image, int width, int height, const char* params,
                        Sample** result, Failure& failure) noexcept
    int call_process_volume(void* function, Plugin* plugin, double* volume, int width, int height, int depth,
                            const char* params, double** result, Failure& failure) noexcept
    int call_release(void* function, Plugin* plugin, void* result, bint is_float, Failure& failure) noexcept


cdef extern from "watch.hpp" namespace "neurdicom" nogil:
    cdef cppclass Watch:
        int start(int64_t limit, int exit_status) noexcept
        int catch_crashes() noexcept
        void set_working(bint working) noexcept

    Watch& watch() noexcept


cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)
    char* dlerror()
    int RTLD_NOW
    int RTLD_LOCAL
