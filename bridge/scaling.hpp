// Scaling of samples to 8 bits: the least becomes 0, the greatest 255.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace neurdicom {

// Finds the least and the greatest sample. False if one is not finite, or they are so large that their sum is not.
template <typename Sample>
inline bool extremes(const Sample* samples, std::size_t count, double& least, double& greatest) noexcept {
    typedef Sample Vector __attribute__((vector_size(16)));
    constexpr std::size_t WIDTH = sizeof(Vector) / sizeof(Sample), VECTORS = 4;  // independent of each other
    constexpr Sample LARGEST = std::numeric_limits<Sample>::infinity();
    Vector low[VECTORS], high[VECTORS], sum[VECTORS] = {};
    for (std::size_t vector = 0; vector < VECTORS; ++vector) {
        low[vector] = Vector{} + LARGEST;
        high[vector] = Vector{} - LARGEST;
    }
    std::size_t i = 0;
    for (; i + VECTORS * WIDTH <= count; i += VECTORS * WIDTH) {
#pragma GCC unroll 4
        for (std::size_t vector = 0; vector < VECTORS; ++vector) {
            Vector next;
            std::memcpy(&next, samples + i + vector * WIDTH, sizeof next);
            low[vector] = next < low[vector] ? next : low[vector];
            high[vector] = next > high[vector] ? next : high[vector];
            sum[vector] += next;  // keeps NaN, which a comparison would not notice
        }
    }
    double all = 0;
    least = std::numeric_limits<double>::infinity();
    greatest = -least;
    const auto take = [&](double lowest, double highest, double sample) {
        least = std::min(least, lowest);
        greatest = std::max(greatest, highest);
        all += sample;
    };
    if (i > 0) {
        for (std::size_t vector = 0; vector < VECTORS; ++vector) {
            for (std::size_t lane = 0; lane < WIDTH; ++lane) {
                take(low[vector][lane], high[vector][lane], sum[vector][lane]);
            }
        }
    }
    for (; i < count; ++i) take(samples[i], samples[i], samples[i]);
    return std::isfinite(all) && std::isfinite(greatest - least);
}

// False, and nothing written, where the samples are not all finite or span more than a double holds.
template <typename Sample>
inline bool scale8(const Sample* samples, std::size_t count, std::uint8_t* out) noexcept {
    double low, high;
    if (!extremes(samples, count, low, high)) return false;
    const double scale = 255 / (high - low);
    if (!std::isfinite(scale)) {
        std::fill(out, out + count, std::uint8_t{0});
        return true;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const double above = samples[i] - low;
        const double scaled = above * scale;
        out[i] = static_cast<std::uint8_t>(static_cast<int>(scaled + 0.5));
    }
    return true;
}

}  // namespace neurdicom
