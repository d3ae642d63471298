// The distinct values of an image and how often each occurs.
//
// Computations on intensities alone need not visit every pixel: a CT slice of 512 x 512 has about 2,000
// distinct values. Nothing is binned, so results are those of the pixels themselves.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "checks.hpp"

namespace shipped {

class Histogram {
public:
    Histogram(const double* pixels, std::size_t count) : count_(count)
    {
        if (count >= no_bin) throw Error("the image has more than 4,294,967,294 pixels");
        double low = 0.0, high = 0.0;
        if (are_integers(pixels, low, high) && high - low < 65536.0 + static_cast<double>(count)) {
            count_integers(pixels, low, static_cast<std::size_t>(high - low) + 1);
        } else {
            count_hashed(pixels);
        }
        range_ = values_.back() - values_.front();
        for (const double each : counts_) total_ += each;
    }

    std::size_t size() const { return values_.size(); }
    double total() const { return total_; }

    // Distinct finite values, ascending, and how many pixels have each.
    const std::vector<double>& values() const { return values_; }
    const std::vector<double>& counts() const { return counts_; }

    // The values shifted and scaled to 0 to 1, where no square overflows; `to_value` is the inverse.
    std::vector<double> units() const
    {
        std::vector<double> units(size());
        for (std::size_t i = 0; i < size(); ++i) units[i] = to_unit(values_[i]);
        return units;
    }

    double to_unit(double value) const
    {
        if (range_ == 0.0) return 0.0;
        if (std::isfinite(range_)) return (value - values_.front()) / range_;
        return (value / 2 - values_.front() / 2) / (values_.back() / 2 - values_.front() / 2);
    }

    double to_value(double unit) const { return values_.front() * (1.0 - unit) + values_.back() * unit; }

    // Largest value minus smallest; infinite where that overflows.
    double range() const { return range_; }

    // Sets each pixel, which is still what was counted, to what a table has for its value; `otherwise` where it is
    // not finite.
    void paint(double* pixels, const std::vector<double>& table, double otherwise) const
    {
        if (!bins_.empty()) {
            for (std::size_t i = 0; i < count_; ++i) pixels[i] = bins_[i] == no_bin ? otherwise : table[bins_[i]];
            return;
        }
        const double low = values_.front();
        std::vector<double> by_offset(static_cast<std::size_t>(range_) + 1);
        for (std::size_t i = 0; i < size(); ++i) by_offset[static_cast<std::size_t>(values_[i] - low)] = table[i];
        for (std::size_t i = 0; i < count_; ++i) pixels[i] = by_offset[static_cast<std::uint32_t>(pixels[i] - low)];
    }

private:
    static constexpr std::uint32_t no_bin = std::numeric_limits<std::uint32_t>::max();

    // Whether all pixels are finite integers that a double holds with their neighbours; finds the extremes if so. Several
    // lanes that don't wait for one another, for compilers to make vector code of.
    bool are_integers(const double* pixels, double& low, double& high) const
    {
        constexpr std::size_t lanes = 8;
        constexpr double limit = 1125899906842624.0, rounding = 6755399441055744.0;  // 2^50, 1.5 * 2^52
        double lows[lanes], highs[lanes], fractions[lanes] = {};
        std::fill(lows, lows + lanes, limit);
        std::fill(highs, highs + lanes, -limit);
        std::size_t i = 0;
        for (; i + lanes <= count_; i += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const double value = pixels[i + lane];
                lows[lane] = value < lows[lane] ? value : lows[lane];
                highs[lane] = value > highs[lane] ? value : highs[lane];
                fractions[lane] += std::fabs(value - ((value + rounding) - rounding));  // not a number, too, stays here
            }
        }
        for (; i < count_; ++i) {
            lows[0] = std::min(lows[0], pixels[i]);
            highs[0] = std::max(highs[0], pixels[i]);
            fractions[0] += std::fabs(pixels[i] - ((pixels[i] + rounding) - rounding));
        }
        low = *std::min_element(lows, lows + lanes);
        high = *std::max_element(highs, highs + lanes);
        const bool are_whole = std::all_of(fractions, fractions + lanes, [](double each) { return each == 0.0; });
        return are_whole && low > -limit && high < limit;
    }

    void count_integers(const double* pixels, double low, std::size_t width)
    {
        // Equal neighbours, such as air's, are counted in tables of their own: the next need not wait for the last.
        constexpr std::size_t tables = 4;
        std::vector<std::uint32_t> counts(tables * width, 0);
        std::uint32_t* const table[tables] = {&counts[0], &counts[width], &counts[2 * width], &counts[3 * width]};
        std::size_t i = 0;
        for (; i + tables <= count_; i += tables) {
            for (std::size_t each = 0; each < tables; ++each) {
                ++table[each][static_cast<std::uint32_t>(pixels[i + each] - low)];
            }
        }
        for (; i < count_; ++i) ++table[0][static_cast<std::uint32_t>(pixels[i] - low)];
        for (std::size_t value = 0; value < width; ++value) {
            std::uint32_t found = 0;
            for (std::size_t each = 0; each < tables; ++each) found += table[each][value];
            if (found == 0) continue;
            values_.push_back(low + static_cast<double>(value));
            counts_.push_back(found);
        }
    }

    void count_hashed(const double* pixels)
    {
        bins_.resize(count_);
        std::vector<std::uint32_t> slots(1024, no_bin);
        for (std::size_t i = 0; i < bins_.size(); ++i) {
            if (!std::isfinite(pixels[i])) {
                bins_[i] = no_bin;
                continue;
            }
            std::uint32_t& slot = find_slot(slots, pixels[i]);
            if (slot == no_bin) {
                slot = static_cast<std::uint32_t>(values_.size());
                values_.push_back(pixels[i] + 0.0);  // no negative zero
                counts_.push_back(0.0);
                if (2 * values_.size() > slots.size()) grow(slots);
                bins_[i] = static_cast<std::uint32_t>(values_.size() - 1);
            } else {
                bins_[i] = slot;
            }
            counts_[bins_[i]] += 1.0;
        }
        if (values_.empty()) throw Error("the image has no finite pixel value");
        sort();
    }

    std::uint32_t& find_slot(std::vector<std::uint32_t>& slots, double value) const
    {
        value += 0.0;
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        bits = (bits ^ (bits >> 32)) * 0x9e3779b97f4a7c15u;
        std::size_t at = static_cast<std::size_t>(bits >> 20) & (slots.size() - 1);
        while (slots[at] != no_bin && values_[slots[at]] != value) at = (at + 1) & (slots.size() - 1);
        return slots[at];
    }

    void grow(std::vector<std::uint32_t>& slots) const
    {
        slots.assign(slots.size() * 4, no_bin);
        for (std::size_t i = 0; i < values_.size(); ++i) find_slot(slots, values_[i]) = static_cast<std::uint32_t>(i);
    }

    void sort()
    {
        std::vector<std::uint32_t> order(size()), rank(size());
        for (std::size_t i = 0; i < size(); ++i) order[i] = static_cast<std::uint32_t>(i);
        std::sort(order.begin(), order.end(),
                  [this](std::uint32_t a, std::uint32_t b) { return values_[a] < values_[b]; });
        std::vector<double> values(size()), counts(size());
        for (std::size_t i = 0; i < size(); ++i) {
            values[i] = values_[order[i]];
            counts[i] = counts_[order[i]];
            rank[order[i]] = static_cast<std::uint32_t>(i);
        }
        values_.swap(values);
        counts_.swap(counts);
        for (std::uint32_t& bin : bins_) {
            if (bin != no_bin) bin = rank[bin];
        }
    }

    std::size_t count_;
    std::vector<double> values_, counts_;
    std::vector<std::uint32_t> bins_;  // of each pixel; empty where the pixel itself tells
    double range_ = 0.0, total_ = 0.0;
};

}  // namespace shipped
