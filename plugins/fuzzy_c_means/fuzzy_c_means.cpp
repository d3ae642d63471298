// Fuzzy c-means of the pixel values (Bezdek 1981): every pixel belongs to every cluster, to a degree.
//
// Memberships depend on the value alone, so the updates run over the distinct values with their counts, and give what
// all pixels would. The start is k-means' optimum, not chance.
#include <algorithm>
#include <cmath>
#include <vector>

#include "checks.hpp"
#include "clusters.hpp"

namespace shipped {
namespace {

// Degrees to which a value belongs to the clusters; they add up to 1. At a centre it belongs there only.
void find_memberships(double value, const std::vector<double>& centres, double fuzziness,
                      std::vector<double>& memberships)
{
    double nearest = std::fabs(value - centres[0]);
    for (const double centre : centres) nearest = std::min(nearest, std::fabs(value - centre));
    double total = 0.0;
    for (std::size_t k = 0; k < centres.size(); ++k) {
        // Relative to the nearest, so that neither a tiny distance nor a high power leaves the range of doubles.
        const double distance = std::fabs(value - centres[k]);
        const double ratio = distance == nearest ? 1.0 : nearest / distance;
        memberships[k] = fuzziness == 2.0 ? ratio * ratio : std::pow(ratio, 2.0 / (fuzziness - 1.0));
        total += memberships[k];
    }
    for (double& each : memberships) each /= total;
}

double powered(double membership, double fuzziness)
{
    return fuzziness == 2.0 ? membership * membership : std::pow(membership, fuzziness);
}

}  // namespace

class FuzzyCMeans {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::size_t clusters = integer(params, "clusters", 3, 1, most_clusters);
        const double fuzziness = number(params, "fuzziness", 2.0, 1.05, 20.0);
        const std::string output = choice(params, "output", {"labels", "membership", "means"});
        const std::size_t shown = integer(params, "cluster", clusters, 1, clusters);
        const std::size_t most = integer(params, "max_iterations", 300, 1, 100000);
        const double tolerance = number(params, "tolerance", 1e-6, 0.0, 1.0);

        const Histogram histogram(image.data(), image.size());
        require_values(histogram, "clusters", clusters);
        const std::vector<double> units = histogram.units();
        std::vector<double> centres = starting_means(histogram, Sums(units, histogram.counts()), clusters);
        std::vector<double> memberships(clusters), sums(clusters), weights(clusters);
        double objective = 0.0, moved = 2.0;
        std::size_t iterations = 0;
        for (; moved > tolerance && iterations < most; ++iterations) {
            std::fill(sums.begin(), sums.end(), 0.0);
            std::fill(weights.begin(), weights.end(), 0.0);
            for (std::size_t i = 0; i < units.size(); ++i) {
                find_memberships(units[i], centres, fuzziness, memberships);
                for (std::size_t k = 0; k < clusters; ++k) {
                    const double weight = histogram.counts()[i] * powered(memberships[k], fuzziness);
                    weights[k] += weight;
                    sums[k] += weight * units[i];
                }
            }
            moved = 0.0;
            for (std::size_t k = 0; k < clusters; ++k) {
                if (weights[k] == 0.0) continue;
                moved = std::max(moved, std::fabs(sums[k] / weights[k] - centres[k]));
                centres[k] = sums[k] / weights[k];
            }
        }
        std::sort(centres.begin(), centres.end());

        std::vector<std::size_t> cluster_of(histogram.size());
        std::vector<double> table(histogram.size());
        double coefficient = 0.0;
        for (std::size_t i = 0; i < units.size(); ++i) {
            find_memberships(units[i], centres, fuzziness, memberships);
            cluster_of[i] = static_cast<std::size_t>(std::max_element(memberships.begin(), memberships.end()) -
                                                     memberships.begin());
            table[i] = memberships[shown - 1];
            double mean = 0.0;
            for (std::size_t k = 0; k < clusters; ++k) {
                const double distance = units[i] - centres[k];
                objective += histogram.counts()[i] * powered(memberships[k], fuzziness) * distance * distance;
                coefficient += histogram.counts()[i] * memberships[k] * memberships[k];
                mean += memberships[k] * centres[k];
            }
            if (output == "means") table[i] = histogram.to_value(mean);
        }
        std::vector<double> centre_values;
        for (const double centre : centres) centre_values.push_back(histogram.to_value(centre));
        report["centres"] = centre_values;
        report["clusters"] = describe(histogram, cluster_of, clusters, pixel_area(params));
        report["objective"] = objective * histogram.range() * histogram.range();
        report["partition_coefficient"] = coefficient / histogram.total();
        report["iterations"] = iterations;
        report["converged"] = moved <= tolerance;
        if (output == "labels") {
            paint_labels(histogram, cluster_of, image.data());
        } else {
            histogram.paint(image.data(), table, output == "membership" ? 0.0 : std::nan(""));
        }
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::FuzzyCMeans)
