// Non-local means (Buades, Coll and Morel 2005): each pixel becomes the mean of the pixels round it, weighted by how
// much the patches round the two are alike.
//
// The distances of all patches for one shift are box sums of one image of squared differences (Darbon et al. 2008), so
// the size of the patches hardly matters; and the distance there serves the shift back, too. Beyond the edges
// the image is reflected. The noise's own part of a distance is taken off it (Buades, Coll and Morel 2011).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "checks.hpp"

namespace shipped {
namespace {

using Row = std::vector<double>;
using Signed = std::ptrdiff_t;

// Distances above this one, where a weight is under 0.7 %, don't count.
constexpr double most_distant = 5.0;

Signed reflected(Signed at, Signed count)
{
    if (count == 1) return 0;
    const Signed period = 2 * (count - 1);
    at = ((at % period) + period) % period;
    return at < count ? at : period - at;
}

// The image between 0 and 1, with a reflected margin on all sides.
class Padded {
public:
    Padded(const std::vector<double>& units, Signed height, Signed width, Signed margin)
        : margin_(margin), stride_(width + 2 * margin),
          pixels_(static_cast<std::size_t>(stride_ * (height + 2 * margin)))
    {
        for (Signed row = -margin; row < height + margin; ++row) {
            const double* source = &units[static_cast<std::size_t>(reflected(row, height) * width)];
            double* target = &pixels_[static_cast<std::size_t>((row + margin) * stride_)];
            for (Signed column = -margin; column < width + margin; ++column)
                target[column + margin] = source[reflected(column, width)];
        }
    }

    // The pixel at (row, 0); columns and rows may be negative within the margin.
    const double* row(Signed row) const { return pixels_.data() + (row + margin_) * stride_ + margin_; }

private:
    Signed margin_, stride_;
    std::vector<double> pixels_;
};

// Standard deviation of the noise, from what a mask that is blind to edges and slopes lets through (Immerkaer 1996).
double noise_of(const Padded& image, Signed height, Signed width)
{
    double sum = 0.0;
    for (Signed row = 0; row < height; ++row) {
        const double *above = image.row(row - 1), *here = image.row(row), *below = image.row(row + 1);
        for (Signed column = 0; column < width; ++column) {
            sum += std::fabs(above[column - 1] - 2.0 * above[column] + above[column + 1] -
                             2.0 * (here[column - 1] - 2.0 * here[column] + here[column + 1]) + below[column - 1] -
                             2.0 * below[column] + below[column + 1]);
        }
    }
    return std::sqrt(std::acos(-1.0) / 2.0) * sum / (6.0 * static_cast<double>(height) * static_cast<double>(width));
}

// exp(-distance) for 0 to 5, to 9 digits; 0 beyond. A polynomial, because compilers turn it into vector code.
inline double weight_of(double distance)
{
    const double x = distance * -0.125;
    double e = 1.0 / 5040 + x / 40320;
    for (const double each : {1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1.0, 1.0}) e = each + x * e;
    e *= e;
    e *= e;
    e *= e;
    return distance <= most_distant ? e : 0.0;
}

struct Settings {
    Signed patch, reach;  // half the size of a patch, and the largest shift
    double scale, noise;  // distance = squares * scale - noise
};

void add_shift(const Padded& image, Signed height, Signed width, Signed down, Signed across, const Settings& settings,
               Row& squares, Row& weights, std::vector<double>& sums, std::vector<double>& totals)
{
    // Weights are those between (row, column) and (row + down, column + across); either end may be in the image.
    const Signed left = std::min<Signed>(0, -across), right = width + std::max<Signed>(0, -across),
                 patch = settings.patch;
    const Signed begin = left - patch, count = right - left, columns = count + 2 * patch;
    double* const column_sums = squares.data();
    double* const weight = weights.data();
    const auto add_row = [&](Signed row, double sign) {
        const double *here = image.row(row) + begin, *there = image.row(row + down) + begin + across;
        for (Signed i = 0; i < columns; ++i) {
            const double difference = here[i] - there[i];
            column_sums[i] += sign * (difference * difference);
        }
    };
    const auto add_weighted = [&](Signed row, const double* own, const double* others) {
        double* const sum = &sums[static_cast<std::size_t>(row * width)];
        double* const total = &totals[static_cast<std::size_t>(row * width)];
        for (Signed i = 0; i < width; ++i) {
            sum[i] += own[i] * others[i];
            total[i] += own[i];
        }
    };
    std::fill(squares.begin(), squares.end(), 0.0);
    for (Signed row = -down - patch; row < -down + patch; ++row) add_row(row, 1.0);
    for (Signed row = -down; row < height; ++row) {
        add_row(row + patch, 1.0);
        std::copy(column_sums, column_sums + count, weight);
        for (Signed k = 1; k <= 2 * patch; ++k) {
            for (Signed i = 0; i < count; ++i) weight[i] += column_sums[i + k];
        }
        for (Signed i = 0; i < count; ++i) {
            const double distance = weight[i] * settings.scale - settings.noise;
            weight[i] = weight_of(distance > 0.0 ? distance : 0.0);
        }
        if (row >= 0) add_weighted(row, weight - left, image.row(row + down) + across);
        if (row + down < height) add_weighted(row + down, weight - left - across, image.row(row) - across);
        add_row(row - patch, -1.0);
    }
}

}  // namespace

class NonLocalMeans {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const Signed patch = static_cast<Signed>(integer(params, "patch_size", 5, 1, 51)) / 2;
        const Signed reach = static_cast<Signed>(integer(params, "patch_distance", 6, 1, 50));
        const double given_sigma = number(params, "sigma", 0.0, 0.0, unlimited);
        const double given_h = number(params, "h", 0.0, 0.0, unlimited);
        const Signed height = static_cast<Signed>(image.rows()), width = static_cast<Signed>(image.columns());

        double low = unlimited, high = -unlimited, mean = 0.0, finite = 0.0;
        for (std::size_t i = 0; i < image.size(); ++i) {
            if (!std::isfinite(image.data()[i])) continue;
            low = std::min(low, image.data()[i]);
            high = std::max(high, image.data()[i]);
            finite += 1.0;
            mean += (image.data()[i] - mean) / finite;
        }
        if (finite == 0.0) throw Error("the image has no finite pixel value");
        const double range = high - low;
        if (!std::isfinite(range)) throw Error("the pixel values span more than " + shown(unlimited));
        // Pixels that are not finite count as the mean for their neighbours, and stay what they are.
        const double scale = range > 0.0 ? range : 1.0;
        std::vector<double> units(image.size());
        for (std::size_t i = 0; i < units.size(); ++i)
            units[i] = ((std::isfinite(image.data()[i]) ? image.data()[i] : mean) - low) / scale;
        const Padded padded(units, height, width, patch + reach + 1);

        const double sigma = params.has("sigma") ? given_sigma / scale : noise_of(padded, height, width);
        const double h = params.has("h") ? given_h / scale : 0.8 * sigma;
        report["sigma"] = sigma * scale;
        report["h"] = h * scale;
        if (h < 1e-7) return Result(image).with(report);  // no two patches are alike enough: the image stays

        const double area = static_cast<double>((2 * patch + 1) * (2 * patch + 1));
        const Settings settings{patch, reach, 1.0 / (area * h * h), 2.0 * sigma * sigma / (h * h)};
        std::vector<double> sums(units), totals(units.size(), 1.0);  // a pixel's own weight is 1
        Row squares(static_cast<std::size_t>(width + reach + 2 * patch)),
            weights(static_cast<std::size_t>(width + reach));
        for (Signed down = 0; down <= reach; ++down) {
            for (Signed across = down == 0 ? 1 : -reach; across <= reach; ++across) {
                add_shift(padded, height, width, down, across, settings, squares, weights, sums, totals);
            }
        }
        for (std::size_t i = 0; i < units.size(); ++i) {
            if (std::isfinite(image.data()[i])) image.data()[i] = low + scale * (sums[i] / totals[i]);
        }
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::NonLocalMeans)
