// A mixture of Gaussians fitted to the pixel values by expectation-maximisation (Dempster, Laird and Rubin 1977).
//
// The likelihood is that of all pixels: the E step runs over the distinct values with their counts. The start is
// k-means' optimum.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "checks.hpp"
#include "clusters.hpp"

namespace shipped {
namespace {

struct Gaussian {
    double weight = 0.0, mean = 0.0, variance = 0.0;
};

// Computes the responsibilities of the Gaussians for a value; returns the logarithm of its density.
double find_responsibilities(double value, const std::vector<Gaussian>& mixture, std::vector<double>& responsibilities)
{
    static const double log_two_pi = std::log(2.0 * std::acos(-1.0));
    double highest = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < mixture.size(); ++k) {
        const double distance = value - mixture[k].mean;
        responsibilities[k] = std::log(mixture[k].weight) - 0.5 * (log_two_pi + std::log(mixture[k].variance) +
                                                                   distance * distance / mixture[k].variance);
        highest = std::max(highest, responsibilities[k]);
    }
    double total = 0.0;
    for (double& each : responsibilities) total += each = std::exp(each - highest);
    for (double& each : responsibilities) each /= total;
    return highest + std::log(total);
}

// The Gaussians of k-means' clusters.
std::vector<Gaussian> start(const Histogram& histogram, const std::vector<double>& units, std::size_t components,
                            double least)
{
    const std::vector<double> means = starting_means(histogram, Sums(units, histogram.counts()), components);
    std::vector<Gaussian> mixture(components);
    std::size_t k = 0;
    for (std::size_t i = 0; i < units.size(); ++i) {
        while (k + 1 < components && units[i] > means[k] + (means[k + 1] - means[k]) / 2) ++k;
        mixture[k].weight += histogram.counts()[i];
        mixture[k].variance += histogram.counts()[i] * (units[i] - means[k]) * (units[i] - means[k]);
    }
    for (k = 0; k < components; ++k) {
        mixture[k].mean = means[k];
        mixture[k].variance = mixture[k].variance / std::max(mixture[k].weight, 1.0) + least;
        mixture[k].weight = std::max(mixture[k].weight, 1e-10) / histogram.total();
    }
    return mixture;
}

// Performs the M step after an E step; returns the mean logarithm of the density before it.
double improve(const Histogram& histogram, const std::vector<double>& units, std::vector<Gaussian>& mixture,
               double least)
{
    const std::size_t components = mixture.size();
    std::vector<double> responsibilities(components), weights(components), first(components), second(components);
    double likelihood = 0.0;
    for (std::size_t i = 0; i < units.size(); ++i) {
        likelihood += histogram.counts()[i] * find_responsibilities(units[i], mixture, responsibilities);
        for (std::size_t k = 0; k < components; ++k) {
            const double weight = histogram.counts()[i] * responsibilities[k], moved = units[i] - mixture[k].mean;
            weights[k] += weight;
            first[k] += weight * moved;
            second[k] += weight * moved * moved;
        }
    }
    for (std::size_t k = 0; k < components; ++k) {
        const double weight = std::max(weights[k], 1e-10 * histogram.total());
        const double moved = first[k] / weight;
        mixture[k].mean += moved;
        mixture[k].variance = std::max(second[k] / weight - moved * moved, 0.0) + least;
        mixture[k].weight = weight / histogram.total();
    }
    return likelihood / histogram.total();
}

}  // namespace

class GaussianMixture {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::size_t components = integer(params, "components", 3, 1, most_clusters);
        const std::string output = choice(params, "output", {"labels", "probability", "means"});
        const std::size_t shown = integer(params, "component", components, 1, components);
        const std::size_t most = integer(params, "max_iterations", 1000, 1, 100000);
        const double tolerance = number(params, "tolerance", 1e-6, 0.0, 1.0);
        const double regularisation = number(params, "regularisation", 1e-6, 0.0, unlimited);

        const Histogram histogram(image.data(), image.size());
        require_values(histogram, "components", components);
        const std::vector<double> units = histogram.units();
        const double scale = histogram.range() > 0.0 ? histogram.range() : 1.0;
        // A Gaussian on a single value would be infinitely dense there.
        const double least = std::max(regularisation / scale / scale, 1e-20);
        std::vector<Gaussian> mixture = start(histogram, units, components, least);
        double likelihood = -std::numeric_limits<double>::infinity(), gained = std::numeric_limits<double>::infinity();
        std::size_t iterations = 0;
        for (; std::fabs(gained) > tolerance && iterations < most; ++iterations) {
            const double before = likelihood;
            likelihood = improve(histogram, units, mixture, least);
            gained = likelihood - before;
        }
        std::sort(mixture.begin(), mixture.end(), [](const Gaussian& a, const Gaussian& b) { return a.mean < b.mean; });

        std::vector<double> responsibilities(components), table(histogram.size());
        std::vector<std::size_t> cluster_of(histogram.size());
        likelihood = 0.0;
        for (std::size_t i = 0; i < units.size(); ++i) {
            likelihood += histogram.counts()[i] * find_responsibilities(units[i], mixture, responsibilities);
            cluster_of[i] = static_cast<std::size_t>(
                std::max_element(responsibilities.begin(), responsibilities.end()) - responsibilities.begin());
            table[i] = responsibilities[shown - 1];
            if (output != "means") continue;
            double mean = 0.0;
            for (std::size_t k = 0; k < components; ++k) mean += responsibilities[k] * mixture[k].mean;
            table[i] = histogram.to_value(mean);
        }
        likelihood -= histogram.total() * std::log(scale);  // densities are of the values, not of 0 to 1
        const double freedoms = 3.0 * static_cast<double>(components) - 1.0;
        std::vector<double> weights, means, deviations;
        for (const Gaussian& each : mixture) {
            weights.push_back(each.weight);
            means.push_back(histogram.to_value(each.mean));
            deviations.push_back(std::sqrt(each.variance) * scale);
        }
        report["weights"] = weights;
        report["means"] = means;
        report["standard_deviations"] = deviations;
        report["clusters"] = describe(histogram, cluster_of, components, pixel_area(params));
        report["log_likelihood"] = likelihood;
        report["mean_log_likelihood"] = likelihood / histogram.total();
        report["aic"] = 2.0 * freedoms - 2.0 * likelihood;
        report["bic"] = std::log(histogram.total()) * freedoms - 2.0 * likelihood;
        report["iterations"] = iterations;
        report["converged"] = std::fabs(gained) <= tolerance;
        if (output == "labels") {
            paint_labels(histogram, cluster_of, image.data());
        } else {
            histogram.paint(image.data(), table, output == "probability" ? 0.0 : std::nan(""));
        }
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::GaussianMixture)
