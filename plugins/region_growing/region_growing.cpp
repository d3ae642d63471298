// The connected region of similar values round one or several seeds.
//
// tolerance: values that differ from the seed's by no more, for each seed; as scikit-image's `flood`.
// range: values from lower to upper; as ITK's ConnectedThreshold.
// confidence: values within a multiple of the standard deviation round the mean, first of the seeds' surroundings and
// then of the region itself, several times; as ITK's ConfidenceConnected.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "checks.hpp"

namespace shipped {
namespace {

constexpr unsigned char outside = 0, inside = 1;

struct Seed {
    std::size_t row, column;
};

struct Range {
    double low, high;

    bool holds(double value) const { return value >= low && value <= high; }  // not for what is not a number
};

// Fills spans of a row at a time.
class Region {
public:
    Region(Image image, bool diagonal) : image_(image), diagonal_(diagonal), mask_(image.size(), outside) {}

    void clear() { std::fill(mask_.begin(), mask_.end(), outside); }
    const std::vector<unsigned char>& mask() const { return mask_; }

    // Merges another region into this one, and empties it.
    void add(Region other)
    {
        if (is_empty_) mask_.swap(other.mask_);
        else
            for (std::size_t at = 0; at < mask_.size(); ++at) mask_[at] |= other.mask_[at];
        is_empty_ = false;
    }

    void grow(Seed seed, Range range)
    {
        if (!is_open(seed.row, seed.column, range)) return;
        stack_.push_back(seed);
        while (!stack_.empty()) {
            const Seed at = stack_.back();
            stack_.pop_back();
            if (!is_open(at.row, at.column, range)) continue;
            std::size_t left = at.column, right = at.column;
            while (left > 0 && is_open(at.row, left - 1, range)) --left;
            while (right + 1 < image_.columns() && is_open(at.row, right + 1, range)) ++right;
            std::fill(&mask_[at.row * image_.columns() + left], &mask_[at.row * image_.columns() + right] + 1, inside);
            if (diagonal_) {
                left -= left > 0;
                right += right + 1 < image_.columns();
            }
            if (at.row > 0) push_spans(at.row - 1, left, right, range);
            if (at.row + 1 < image_.rows()) push_spans(at.row + 1, left, right, range);
        }
    }

private:
    bool is_open(std::size_t row, std::size_t column, Range range) const
    {
        const std::size_t at = row * image_.columns() + column;
        return mask_[at] == outside && range.holds(image_.data()[at]);
    }

    // One place to continue from for each run of pixels that are not filled yet.
    void push_spans(std::size_t row, std::size_t left, std::size_t right, Range range)
    {
        bool before = false;
        for (std::size_t column = left; column <= right; ++column) {
            const bool open = is_open(row, column, range);
            if (open && !before) stack_.push_back({row, column});
            before = open;
        }
    }

    Image image_;
    bool diagonal_, is_empty_ = true;
    std::vector<unsigned char> mask_;
    std::vector<Seed> stack_;
};

std::vector<Seed> read_seeds(Image image, const Params& params)
{
    std::vector<double> numbers = params.numbers("seed");
    if (!params.has("seed"))
        numbers = {static_cast<double>(image.rows() / 2), static_cast<double>(image.columns() / 2)};
    if (numbers.empty() || numbers.size() % 2 != 0) {
        throw Error("seed has " + std::to_string(numbers.size()) +
                    " numbers; a row and a column for each seed are expected");
    }
    std::vector<Seed> seeds;
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
        const double row = numbers[i], column = numbers[i + 1];
        if (row != std::floor(row) || column != std::floor(column) || row < 0 || column < 0 ||
            row >= static_cast<double>(image.rows()) || column >= static_cast<double>(image.columns())) {
            throw Error("seed " + shown(row) + ", " + shown(column) + " lies outside the image of " +
                        std::to_string(image.rows()) + " rows and " + std::to_string(image.columns()) +
                        " columns; both count from 0");
        }
        const Seed seed{static_cast<std::size_t>(row), static_cast<std::size_t>(column)};
        if (!std::isfinite(image(seed.row, seed.column))) {
            throw Error("the pixel at seed " + shown(row) + ", " + shown(column) + " is not a finite number");
        }
        seeds.push_back(seed);
    }
    return seeds;
}

// Mean and variance of numbers, summed relative to a value near them, so that the squares keep their precision.
class Moments {
public:
    explicit Moments(double near) : near_(near) {}

    void add(double value)
    {
        const double distance = value - near_;
        count_ += 1.0;
        sum_ += distance;
        squares_ += distance * distance;
    }

    double count() const { return count_; }
    double mean() const { return near_ + sum_ / count_; }
    double variance() const
    {
        return count_ > 1.0 ? std::max(0.0, (squares_ - sum_ * sum_ / count_) / (count_ - 1.0)) : 0.0;
    }

private:
    double near_, count_ = 0.0, sum_ = 0.0, squares_ = 0.0;
};

Moments around(Image image, Seed seed, std::size_t radius)
{
    Moments moments(image(seed.row, seed.column));
    const std::size_t top = seed.row - std::min(seed.row, radius), left = seed.column - std::min(seed.column, radius);
    for (std::size_t row = top; row <= std::min(image.rows() - 1, seed.row + radius); ++row) {
        for (std::size_t column = left; column <= std::min(image.columns() - 1, seed.column + radius); ++column) {
            const double value = image(row, column);
            if (std::isfinite(value)) moments.add(value);
        }
    }
    return moments;
}

// The interval of similar values, which always contains those of the seeds.
Range confident(double mean, double variance, double multiplier, Image image, const std::vector<Seed>& seeds)
{
    const double reach = multiplier * std::sqrt(variance);
    Range range{mean - reach, mean + reach};
    for (const Seed& seed : seeds) {
        const double value = image(seed.row, seed.column);
        range = {std::min(range.low, value), std::max(range.high, value)};
    }
    return range;
}

Range grow_confident(Image image, const std::vector<Seed>& seeds, const Params& params, Region& region)
{
    const double multiplier = number(params, "multiplier", 2.5, 0.0, 1e6);
    const std::size_t iterations = integer(params, "iterations", 4, 0, 1000);
    const std::size_t radius = integer(params, "radius", 1, 0, 1000);
    double mean = 0.0, variance = 0.0;
    for (const Seed& seed : seeds) {
        const Moments moments = around(image, seed, radius);
        mean += moments.mean() / static_cast<double>(seeds.size());
        variance += moments.variance() / static_cast<double>(seeds.size());
    }
    Range range = confident(mean, variance, multiplier, image, seeds);
    for (std::size_t i = 0;; ++i) {
        for (const Seed& seed : seeds) region.grow(seed, range);
        if (i == iterations) return range;
        Moments moments(mean);
        for (std::size_t at = 0; at < image.size(); ++at) {
            if (region.mask()[at] == inside) moments.add(image.data()[at]);
        }
        range = confident(moments.mean(), moments.variance(), multiplier, image, seeds);
        region.clear();
    }
}

// Sums, minimum and maximum of the pixels inside, in several independent lanes.
class Inside {
public:
    explicit Inside(double near) : near_(near)
    {
        std::fill(low_, low_ + lanes, std::numeric_limits<double>::infinity());
        std::fill(high_, high_ + lanes, -std::numeric_limits<double>::infinity());
    }

    // Adds the pixels [begin, end) of a row.
    void add(const double* row_pixels, std::size_t row, std::size_t begin, std::size_t end)
    {
        std::size_t at = begin;
        for (; at + lanes <= end; at += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) add(row_pixels[at + lane], lane);
        }
        for (; at < end; ++at) add(row_pixels[at], 0);
        const double length = static_cast<double>(end - begin);
        count_ += length;
        rows_ += length * static_cast<double>(row);
        columns_ += length * static_cast<double>(begin + end - 1) / 2.0;
        top_ = std::min(top_, row);
        bottom_ = std::max(bottom_, row);
        left_ = std::min(left_, begin);
        right_ = std::max(right_, end - 1);
    }

    void tell(double pixel_area, Json& report) const
    {
        report["pixels"] = count_;
        if (pixel_area > 0.0) report["area_mm2"] = count_ * pixel_area;
        if (count_ == 0.0) return;
        double sum = 0.0, squares = 0.0;
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            sum += sum_[lane];
            squares += squares_[lane];
        }
        const double variance = count_ > 1.0 ? std::max(0.0, (squares - sum * sum / count_) / (count_ - 1.0)) : 0.0;
        report["mean"] = near_ + sum / count_;
        report["standard_deviation"] = std::sqrt(variance);
        report["min"] = *std::min_element(low_, low_ + lanes);
        report["max"] = *std::max_element(high_, high_ + lanes);
        report["centroid"] = std::vector<double>{rows_ / count_, columns_ / count_};
        report["bounding_box"] = Json::object(
            {{"first_row", top_}, {"last_row", bottom_}, {"first_column", left_}, {"last_column", right_}});
    }

private:
    static constexpr std::size_t lanes = 4;

    void add(double value, std::size_t lane)
    {
        const double distance = value - near_;
        sum_[lane] += distance;
        squares_[lane] += distance * distance;
        low_[lane] = value < low_[lane] ? value : low_[lane];
        high_[lane] = value > high_[lane] ? value : high_[lane];
    }

    double near_, sum_[lanes] = {}, squares_[lanes] = {}, low_[lanes], high_[lanes];
    double count_ = 0.0, rows_ = 0.0, columns_ = 0.0;
    std::size_t top_ = std::numeric_limits<std::size_t>::max(), bottom_ = 0, left_ = top_, right_ = 0;
};

// Measures the region, and writes the mask over the image.
Inside finish(Image image, const std::vector<unsigned char>& mask, double near)
{
    Inside measured(near);
    for (std::size_t row = 0; row < image.rows(); ++row) {
        const unsigned char* const row_mask = &mask[row * image.columns()];
        double* const pixels = image.row(row);
        std::size_t begin = 0;
        while (begin < image.columns()) {
            const void* const found = std::memchr(row_mask + begin, inside, image.columns() - begin);
            const unsigned char* const first =
                found == nullptr ? row_mask + image.columns() : static_cast<const unsigned char*>(found);
            const std::size_t from = static_cast<std::size_t>(first - row_mask);
            const unsigned char* const last = std::find(first, row_mask + image.columns(), outside);
            const std::size_t to = static_cast<std::size_t>(last - row_mask);
            std::fill(pixels + begin, pixels + from, 0.0);
            if (from < to) measured.add(pixels, row, from, to);
            std::fill(pixels + from, pixels + to, 1.0);
            begin = to;
        }
    }
    return measured;
}

}  // namespace

class RegionGrowing {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::string method = choice(params, "method", {"tolerance", "range", "confidence"});
        const std::vector<Seed> seeds = read_seeds(image, params);
        const std::size_t connectivity = integer(params, "connectivity", 4, 4, 8);
        if (connectivity != 4 && connectivity != 8)
            throw Error("connectivity is " + std::to_string(connectivity) + "; 4 or 8 is expected");
        Region region(image, connectivity == 8);
        report["method"] = method;
        if (method == "tolerance") {
            const double tolerance = number(params, "tolerance", 0.0, 0.0, unlimited);
            for (const Seed& seed : seeds) {
                const double value = image(seed.row, seed.column);
                Region own(image, connectivity == 8);
                own.grow(seed, {value - tolerance, value + tolerance});
                region.add(std::move(own));
            }
        } else if (method == "range") {
            const Range range{params.number("lower", -unlimited), params.number("upper", unlimited)};
            if (range.low > range.high)
                throw Error("lower is " + shown(range.low) + " and upper " + shown(range.high) +
                            "; upper must not be smaller");
            for (const Seed& seed : seeds) region.grow(seed, range);
            report["lower"] = range.low;
            report["upper"] = range.high;
        } else {
            const Range range = grow_confident(image, seeds, params, region);
            report["lower"] = range.low;
            report["upper"] = range.high;
        }
        finish(image, region.mask(), image(seeds[0].row, seeds[0].column)).tell(pixel_area(params), report);
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::RegionGrowing)
