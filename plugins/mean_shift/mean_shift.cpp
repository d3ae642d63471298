// Mean shift with a flat kernel (Comaniciu and Meer 2002): every pixel climbs to the mean of its neighbours until it
// stays, and pixels that arrive at one mode are one cluster.
//
// Neighbours are those of a similar value, or, with a spatial bandwidth, those that are also near in the image.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "checks.hpp"
#include "clusters.hpp"

namespace shipped {
namespace {

constexpr std::size_t most_steps = 300;
constexpr double stays = 1e-3;  // a shift of this share of the bandwidth ends the climb

// Pixel values as distances from the lowest, with running sums: the mean of any interval costs two searches.
class Line {
public:
    explicit Line(const Histogram& histogram)
        : values_(histogram.values()), weights_(histogram.size() + 1), sums_(histogram.size() + 1)
    {
        for (std::size_t i = 0; i < values_.size(); ++i) {
            values_[i] -= histogram.values()[0];
            weights_[i + 1] = weights_[i] + histogram.counts()[i];
            sums_[i + 1] = sums_[i] + histogram.counts()[i] * values_[i];
        }
    }

    const std::vector<double>& values() const { return values_; }

    struct Mode {
        double value, weight;
    };

    // Where a climb from a value ends, and how many pixels lie within the bandwidth there.
    Mode climb(double value, double bandwidth) const
    {
        Mode mode{value, 0.0};
        for (std::size_t step = 0; step < most_steps; ++step) {
            const auto begin =
                std::lower_bound(values_.begin(), values_.end(), mode.value - bandwidth) - values_.begin();
            const auto end = std::upper_bound(values_.begin(), values_.end(), mode.value + bandwidth) - values_.begin();
            mode.weight = weights_[end] - weights_[begin];
            if (mode.weight == 0.0) break;
            const double mean = (sums_[end] - sums_[begin]) / mode.weight, shift = std::fabs(mean - mode.value);
            mode.value = mean;
            if (shift <= stays * bandwidth) break;
        }
        return mode;
    }

    // Mean over all pixels of the distance within which a pixel has this share of them.
    double spread(double quantile) const
    {
        const double wanted = std::max(1.0, std::floor(weights_.back() * quantile));
        std::vector<std::size_t> ends(values_.size());  // first place where as many pixels have passed since each begin
        std::size_t full = 0;                           // begins from which enough pixels follow
        for (std::size_t begin = 0, end = 0; begin < values_.size(); ++begin) {
            while (end < values_.size() && weights_[end] - weights_[begin] < wanted) ++end;
            if (weights_[end] - weights_[begin] < wanted) break;
            ends[full++] = end;
        }
        double sum = 0.0;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            const auto reach = [&](std::size_t begin) {
                return std::max(values_[i] - values_[begin], values_[ends[begin] - 1] - values_[i]);
            };
            // The left distance falls with the begin and the right one rises; the least is where they cross.
            std::size_t low = 0, high = full - 1;
            while (low < high) {
                const std::size_t middle = low + (high - low) / 2;
                if (values_[i] - values_[middle] <= values_[ends[middle] - 1] - values_[i]) high = middle;
                else low = middle + 1;
            }
            sum += (weights_[i + 1] - weights_[i]) * (low > 0 ? std::min(reach(low - 1), reach(low)) : reach(low));
        }
        return sum / weights_.back();
    }

private:
    std::vector<double> values_, weights_, sums_;
};

// The modes of which none lies within the bandwidth of one with more pixels, ascending.
std::vector<double> merge(std::vector<Line::Mode> modes, double bandwidth)
{
    std::sort(modes.begin(), modes.end(), [](const Line::Mode& a, const Line::Mode& b) {
        return a.weight != b.weight ? a.weight > b.weight : a.value > b.value;
    });
    std::vector<double> kept;
    for (const Line::Mode& mode : modes) {
        const auto next = std::lower_bound(kept.begin(), kept.end(), mode.value);
        if (next != kept.end() && *next - mode.value <= bandwidth) continue;
        if (next != kept.begin() && mode.value - *(next - 1) <= bandwidth) continue;
        kept.insert(next, mode.value);
    }
    return kept;
}

void cluster(Image image, const Histogram& histogram, const Line& line, double bandwidth, const Params& params,
             Json& report)
{
    const bool labels = choice(params, "output", {"labels", "means"}) == "labels";
    std::vector<Line::Mode> climbed;
    for (const double value : line.values()) climbed.push_back(line.climb(value, bandwidth));
    const std::vector<double> modes = merge(std::move(climbed), bandwidth);
    std::vector<std::size_t> cluster_of(histogram.size());
    std::vector<double> means(histogram.size());
    std::size_t nearest = 0;
    for (std::size_t i = 0; i < histogram.size(); ++i) {
        while (nearest + 1 < modes.size() && line.values()[i] - modes[nearest] > modes[nearest + 1] - line.values()[i])
            ++nearest;
        cluster_of[i] = nearest;
        means[i] = histogram.values()[0] + modes[nearest];
    }
    std::vector<double> centres;
    for (const double mode : modes) centres.push_back(histogram.values()[0] + mode);
    report["bandwidth"] = bandwidth;
    report["modes"] = centres;
    report["clusters"] = describe(histogram, cluster_of, modes.size(), pixel_area(params));
    if (labels) paint_labels(histogram, cluster_of, image.data());
    else histogram.paint(image.data(), means, std::nan(""));
}

// Mean shift filtering: each pixel gets the value of its mode. The kernel is a ball in (row, column, value), with rows
// and columns in units of the spatial bandwidth and values in units of the other.
void filter(Image image, double lowest, double bandwidth, double spatial, Json& report)
{
    const std::vector<double> pixels(image.data(), image.data() + image.size());
    const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(image.rows()),
                         columns = static_cast<std::ptrdiff_t>(image.columns());
    const double per_space = 1.0 / (spatial * spatial), per_value = 1.0 / (bandwidth * bandwidth);
    std::size_t steps = 0;
    for (std::size_t at = 0; at < pixels.size(); ++at) {
        if (!std::isfinite(pixels[at])) continue;
        double row = static_cast<double>(at / image.columns()), column = static_cast<double>(at % image.columns()),
               value = pixels[at];
        for (std::size_t step = 0; step < most_steps; ++step, ++steps) {
            const auto top = std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(std::ceil(row - spatial)));
            const auto bottom = std::min(rows - 1, static_cast<std::ptrdiff_t>(std::floor(row + spatial)));
            double weight = 0.0, rows_sum = 0.0, columns_sum = 0.0, values_sum = 0.0;
            for (std::ptrdiff_t r = top; r <= bottom; ++r) {
                const double down = static_cast<double>(r) - row, left_over = 1.0 - down * down * per_space;
                if (left_over < 0.0) continue;
                const double reach = std::sqrt(left_over) * spatial;
                const auto left = std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(std::ceil(column - reach)));
                const auto right = std::min(columns - 1, static_cast<std::ptrdiff_t>(std::floor(column + reach)));
                double inside = 0.0;
                for (std::ptrdiff_t c = left; c <= right; ++c) {
                    const double across = static_cast<double>(c) - column,
                                 other = pixels[static_cast<std::size_t>(r * columns + c)];
                    const double differs = other - value;
                    // False also where the other pixel is not a number.
                    if (!(differs * differs * per_value + across * across * per_space <= left_over)) continue;
                    inside += 1.0;
                    columns_sum += across;
                    values_sum += other - lowest;
                }
                weight += inside;
                rows_sum += inside * down;
            }
            if (weight == 0.0) break;
            const double down = rows_sum / weight, across = columns_sum / weight, mean = lowest + values_sum / weight;
            const double moved =
                (down * down + across * across) * per_space + (mean - value) * (mean - value) * per_value;
            row += down;
            column += across;
            value = mean;
            if (moved <= stays * stays) break;
        }
        image.data()[at] = value;
    }
    report["bandwidth"] = bandwidth;
    report["spatial_bandwidth"] = spatial;
    report["mean_steps"] = static_cast<double>(steps) / static_cast<double>(pixels.size());
}

}  // namespace

class MeanShift {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::string output = choice(params, "output", {"labels", "means"});
        const double quantile = number(params, "quantile", 0.1, 0.0, 1.0);
        const double spatial = number(params, "spatial_bandwidth", 0.0, 0.0, 64.0);
        if (spatial > 0.0 && output == "labels") {
            throw Error("with spatial_bandwidth the result is an image of means: set output to means, or leave "
                        "spatial_bandwidth out for labels");
        }
        const Histogram histogram(image.data(), image.size());
        if (!(histogram.range() < 1e150))
            throw Error("the pixel values span " + shown(histogram.range()) + "; less than 1e150 is expected");
        const Line line(histogram);
        double bandwidth = params.has("bandwidth") ? params.number("bandwidth", 0.0) : line.spread(quantile);
        if (params.has("bandwidth") && !(bandwidth > 0.0))
            throw Error("bandwidth is " + shown(bandwidth) + "; more than 0 is expected");
        if (spatial > 0.0) {
            if (bandwidth == 0.0) bandwidth = std::max(histogram.range(), 1.0);
            filter(image, histogram.values()[0], bandwidth, spatial, report);
        } else {
            cluster(image, histogram, line, bandwidth, params, report);
        }
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::MeanShift)
