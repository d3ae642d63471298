// A thread that ends this process when it holds more memory than its limit.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>

namespace neurdicom {

// Memory that only this process holds, in bytes: anonymous, shared and swapped out. Memory mapped from files is not
// counted, since the kernel can drop it at any time. -1 if /proc can't be read. The file is opened each time, because a
// plugin may close descriptors that it did not open.
inline std::int64_t held_memory() noexcept {
    char text[4096];
    const int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (status < 0) return -1;
    const ssize_t count = read(status, text, sizeof text - 1);
    close(status);
    if (count <= 0) return -1;
    text[count] = '\0';
    std::int64_t kibibytes = 0;
    bool found = false;
    for (const char* name : {"\nRssAnon:", "\nRssShmem:", "\nVmSwap:"}) {
        if (const char* line = std::strstr(text, name)) {
            kibibytes += std::strtoll(line + std::strlen(name), nullptr, 10);
            found = true;
        }
    }
    return found ? kibibytes * 1024 : -1;
}

class Watch {
public:
    // Starts the thread. Returns 0 or an errno.
    int start(std::int64_t limit, int exit_status) noexcept {
        const std::int64_t base = held_memory();
        if (base < 0) return ENOSYS;
        ceiling_ = base + limit;
        exit_status_ = exit_status;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, 256 * 1024);
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are delivered to the plugin's threads, not to this one
        pthread_t thread;
        const int code = pthread_create(&thread, &attributes, &Watch::run, this);
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        pthread_attr_destroy(&attributes);
        return code;
    }

    // Reports a crash after a refused allocation as out of memory: C code seldom checks malloc for NULL, and C++ and
    // Rust end in abort(). Other crashes go to the previous handlers. To be called after `start`.
    int catch_crashes() noexcept {
        struct sigaction action = {};
        action.sa_sigaction = &Watch::crashed;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        for (std::size_t index = 0; index < std::size(crashes); ++index) {
            if (sigaction(crashes[index], &action, &before_[index])) return errno;
        }
        return 0;
    }

    // Sets whether the plugin is working. Costs two stores, unless the thread is in its long sleep.
    void set_working(bool working) noexcept {
        errno = 0;  // so that `crashed` finds only what was set since
        working_.store(working);
        if (working && asleep_.load()) {
            pthread_mutex_lock(&mutex_);
            pthread_cond_signal(&wake_);
            pthread_mutex_unlock(&mutex_);
        }
    }

private:
    static constexpr int crashes[] = {SIGSEGV, SIGBUS, SIGABRT};
    static constexpr long at_work = 10'000'000;   // nanoseconds between two checks
    static constexpr long at_rest = 250'000'000;  // the same after the plugin was idle for `patience` checks
    static constexpr int patience = 50;

    // Runs on the thread that crashed, and so sees its errno. Defined after `watch`.
    static void crashed(int number, siginfo_t* details, void* context) noexcept;

    static void* run(void* self) noexcept {
        static_cast<Watch*>(self)->look();
        return nullptr;
    }

    void look() noexcept {
        for (int quiet = 0;; quiet = working_.load() ? 0 : quiet + 1) {
            if (held_memory() > ceiling_) _exit(exit_status_);
            sleep(quiet < patience ? at_work : at_rest, quiet >= patience);
        }
    }

    void sleep(long nanoseconds, bool fast) noexcept {
        timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += nanoseconds;
        until.tv_sec += until.tv_nsec / 1'000'000'000;
        until.tv_nsec %= 1'000'000'000;
        pthread_mutex_lock(&mutex_);
        asleep_.store(fast);
        if (!fast || !working_.load()) pthread_cond_timedwait(&wake_, &mutex_, &until);
        asleep_.store(false);
        pthread_mutex_unlock(&mutex_);
    }

    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
    std::atomic<bool> working_{false};
    std::atomic<bool> asleep_{false};
    std::int64_t ceiling_ = 0;
    int exit_status_ = 0;
    struct sigaction before_[std::size(crashes)] = {};
};

inline Watch& watch() noexcept {
    static Watch* const instance = new Watch;  // never destroyed: the thread outlives every static object
    return *instance;
}

inline void Watch::crashed(int number, siginfo_t*, void*) noexcept {
    Watch& self = watch();
    if (errno == ENOMEM) _exit(self.exit_status_);
    for (std::size_t index = 0; index < std::size(crashes); ++index) {
        if (crashes[index] == number) sigaction(number, &self.before_[index], nullptr);
    }
    raise(number);  // delivered on return
}

}  // namespace neurdicom
