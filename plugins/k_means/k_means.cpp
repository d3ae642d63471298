// k-means of the pixel values.
//
// With one number for each pixel the best clusters can be found, not just a local optimum near a start: `exact` does.
// `lloyd` is the usual iteration (Lloyd 1982) from k-means++ starts (Arthur and Vassilvitskii 2007). Both work on the
// distinct values with their counts, which gives what all pixels would.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "checks.hpp"
#include "clusters.hpp"

namespace shipped {
namespace {

struct Solution {
    std::vector<std::size_t> bounds;  // where each cluster begins among the values, and the end of the last
    double inertia = std::numeric_limits<double>::infinity();
    std::size_t iterations = 0;
    bool converged = true;
};

double inertia_of(const Sums& sums, const std::vector<std::size_t>& bounds)
{
    double inertia = 0.0;
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
        if (bounds[i] < bounds[i + 1]) inertia += sums.scatter(bounds[i], bounds[i + 1]);
    }
    return inertia;
}

// The standard library's distributions differ between implementations; its engines do not.
double draw(std::mt19937_64& random)
{
    return static_cast<double>(random() >> 11) * 0x1p-53;
}

// k-means++: each start is drawn with a chance that grows with the square of its distance from those before.
std::vector<double> draw_starts(const Histogram& histogram, const std::vector<double>& units, std::size_t clusters,
                                std::mt19937_64& random)
{
    std::vector<double> starts, nearest(units.size(), 1.0);
    while (starts.size() < clusters) {
        double total = 0.0;
        for (std::size_t i = 0; i < units.size(); ++i) total += histogram.counts()[i] * nearest[i];
        double left = draw(random) * total;
        std::size_t chosen = 0;
        for (std::size_t i = 0; i < units.size(); ++i) {
            const double weight = histogram.counts()[i] * nearest[i];
            if (weight == 0.0) continue;
            chosen = i;
            if ((left -= weight) < 0.0) break;
        }
        starts.push_back(units[chosen]);
        for (std::size_t i = 0; i < units.size(); ++i) {
            const double distance = (units[i] - units[chosen]) * (units[i] - units[chosen]);
            nearest[i] = starts.size() == 1 ? distance : std::min(nearest[i], distance);
        }
    }
    std::sort(starts.begin(), starts.end());
    return starts;
}

// Where each cluster begins when every value goes to the nearest mean, a tie to the lower one.
std::vector<std::size_t> assign(const std::vector<double>& units, const std::vector<double>& means)
{
    std::vector<std::size_t> bounds(means.size() + 1, 0);
    bounds.back() = units.size();
    for (std::size_t i = 1; i < means.size(); ++i) {
        const double middle = means[i - 1] + (means[i] - means[i - 1]) / 2;
        bounds[i] = static_cast<std::size_t>(std::upper_bound(units.begin(), units.end(), middle) - units.begin());
    }
    return bounds;
}

Solution iterate(const Sums& sums, const std::vector<double>& units, std::vector<double> means, std::size_t most,
                 double tolerance)
{
    Solution solution;
    solution.converged = false;
    while (!solution.converged && solution.iterations < most) {
        solution.bounds = assign(units, means);
        double moved = 0.0;
        for (std::size_t i = 0; i < means.size(); ++i) {
            if (solution.bounds[i] == solution.bounds[i + 1]) continue;  // an empty cluster stays where it is
            const double mean = sums.mean(solution.bounds[i], solution.bounds[i + 1]);
            moved = std::max(moved, std::fabs(mean - means[i]));
            means[i] = mean;
        }
        ++solution.iterations;
        solution.converged = moved <= tolerance;
    }
    solution.bounds = assign(units, means);
    solution.inertia = inertia_of(sums, solution.bounds);
    return solution;
}

}  // namespace

class KMeans {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::size_t clusters = integer(params, "clusters", 3, 1, most_clusters);
        std::string algorithm = choice(params, "algorithm", {"exact", "lloyd"});
        const std::string output = choice(params, "output", {"labels", "means"});
        const std::size_t starts = integer(params, "n_init", 10, 1, 1000);
        const std::size_t most = integer(params, "max_iterations", 300, 1, 100000);
        const double tolerance = number(params, "tolerance", 1e-6, 0.0, 1.0);
        const std::size_t seed = integer(params, "seed", 0, 0, std::size_t(1) << 53);

        const Histogram histogram(image.data(), image.size());
        require_values(histogram, "clusters", clusters);
        if (histogram.size() > most_exact_values) algorithm = "lloyd";
        const std::vector<double> units = histogram.units();
        const Sums sums(units, histogram.counts());
        Solution solution;
        if (algorithm == "exact") {
            solution.bounds = Partition::best(sums, clusters);
            solution.inertia = inertia_of(sums, solution.bounds);
        } else {
            std::mt19937_64 random(seed);
            for (std::size_t start = 0; start < starts; ++start) {
                Solution found = iterate(sums, units, draw_starts(histogram, units, clusters, random), most, tolerance);
                if (start == 0 || found.inertia < solution.inertia) solution = std::move(found);
            }
        }

        std::vector<std::size_t> cluster_of(histogram.size());
        std::vector<double> means(histogram.size());
        for (std::size_t cluster = 0; cluster < clusters; ++cluster) {
            for (std::size_t i = solution.bounds[cluster]; i < solution.bounds[cluster + 1]; ++i) {
                cluster_of[i] = cluster;
                means[i] = histogram.to_value(sums.mean(solution.bounds[cluster], solution.bounds[cluster + 1]));
            }
        }
        report["algorithm"] = algorithm;
        report["clusters"] = describe(histogram, cluster_of, clusters, pixel_area(params));
        report["inertia"] = solution.inertia * histogram.range() * histogram.range();
        if (algorithm == "lloyd") {
            report["iterations"] = solution.iterations;
            report["converged"] = solution.converged;
        }
        if (output == "labels") {
            paint_labels(histogram, cluster_of, image.data());
        } else {
            histogram.paint(image.data(), means, std::nan(""));
        }
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::KMeans)
