// Otsu's thresholds (1979), for two classes or more: those with the most variance between the classes.
//
// That is the best division of the values into groups, which is found exactly and without binning.
#include <cmath>
#include <vector>

#include "checks.hpp"
#include "clusters.hpp"

namespace shipped {

class Otsu {
public:
    Result process(Image image, const Params& params)
    {
        Json report;
        const std::size_t classes = integer(params, "classes", 2, 2, most_clusters);
        const bool inverted = params.truth("invert", false);
        const Histogram histogram(image.data(), image.size());
        require_values(histogram, "classes", classes);
        if (histogram.size() > most_exact_values) {
            throw Error("the image has " + std::to_string(histogram.size()) + " distinct values; at most " +
                        std::to_string(most_exact_values) + " are taken");
        }
        const Sums sums(histogram.units(), histogram.counts());
        const std::vector<std::size_t> bounds = Partition::best(sums, classes);
        std::vector<std::size_t> class_of(histogram.size());
        std::vector<double> thresholds, labels, table(histogram.size());
        double within = 0.0;
        for (std::size_t group = 0; group < classes; ++group) {
            labels.push_back(static_cast<double>(inverted ? classes - 1 - group : group));
            if (group > 0) thresholds.push_back(histogram.values()[bounds[group] - 1]);
            within += sums.scatter(bounds[group], bounds[group + 1]);
            for (std::size_t i = bounds[group]; i < bounds[group + 1]; ++i) {
                class_of[i] = group;
                table[i] = labels[group];
            }
        }
        report["thresholds"] = thresholds;
        report["separability"] = 1.0 - within / sums.scatter(0, sums.size());
        Json::Array described = describe(histogram, class_of, classes, pixel_area(params));
        for (std::size_t group = 0; group < classes; ++group) described[group]["label"] = labels[group];
        report["classes"] = std::move(described);
        histogram.paint(image.data(), table, 0.0);
        return Result(image).with(report);
    }
};

}  // namespace shipped

NEURDICOM_PLUGIN(shipped::Otsu)
