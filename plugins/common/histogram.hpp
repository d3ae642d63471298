// The distinct values of an image and how often each occurs.
//
// What is computed of the intensities alone need not look at every pixel: a CT slice of 512 x 512 has about 2,000
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
    // Bin of a pixel that is not finite and takes no part.
    static constexpr std::uint32_t no_bin = std::numeric_limits<std::uint32_t>::max();

    Histogram(const double* pixels, std::size_t count)
    {
        if (count >= no_bin) throw Error("the image has more than 4,294,967,294 pixels");
        bins_.resize(count);
        double low = std::numeric_limits<double>::infinity(), high = -low;
        bool integral = true;
        for (std::size_t i = 0; i < count; ++i) {
            if (!std::isfinite(pixels[i])) continue;
            low = std::min(low, pixels[i]);
            high = std::max(high, pixels[i]);
            integral = integral && std::fabs(pixels[i]) < 1e15 &&
                       pixels[i] == static_cast<double>(static_cast<std::int64_t>(pixels[i]));
        }
        if (low > high) throw Error("the image has no finite pixel value");
        if (integral && high - low < 65536.0 + 4.0 * static_cast<double>(count)) {
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

    // The values moved and scaled to 0 to 1, where no square overflows; `to_value` goes back.
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

    // Largest value less smallest; infinite where that is no double.
    double range() const { return range_; }

    // Sets each pixel to what a table has for its value; pixels that are not finite become `otherwise`.
    void paint(double* pixels, const std::vector<double>& table, double otherwise) const
    {
        for (std::size_t i = 0; i < bins_.size(); ++i) pixels[i] = bins_[i] == no_bin ? otherwise : table[bins_[i]];
    }

private:
    void count_integers(const double* pixels, double low, std::size_t width)
    {
        std::vector<std::uint32_t> table(width, 0);
        for (std::size_t i = 0; i < bins_.size(); ++i) {
            bins_[i] = std::isfinite(pixels[i]) ? static_cast<std::uint32_t>(pixels[i] - low) : no_bin;
            if (bins_[i] != no_bin) ++table[bins_[i]];
        }
        for (std::size_t value = 0; value < width; ++value) {
            if (table[value] == 0) continue;
            counts_.push_back(table[value]);
            table[value] = static_cast<std::uint32_t>(values_.size());
            values_.push_back(low + static_cast<double>(value));
        }
        for (std::uint32_t& bin : bins_) {
            if (bin != no_bin) bin = table[bin];
        }
    }

    void count_hashed(const double* pixels)
    {
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

    std::vector<double> values_, counts_;
    std::vector<std::uint32_t> bins_;
    double range_ = 0.0, total_ = 0.0;
};

}  // namespace shipped
