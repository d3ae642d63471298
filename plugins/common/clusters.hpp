// What the clustering plugins have in common: labels by value, and the measurements of each cluster.
#pragma once

#include <string>
#include <vector>

#include "histogram.hpp"
#include "partition.hpp"

namespace shipped {

constexpr std::size_t most_clusters = 16;

// Values above which the exact division takes too long; its table has a row of them for each cluster.
constexpr std::size_t most_exact_values = std::size_t(1) << 19;

// Throws where there are fewer distinct values than the parameter `name` asks for groups.
inline void require_values(const Histogram& histogram, const char* name, std::size_t groups)
{
    const std::size_t found = histogram.size();
    if (found >= groups) return;
    throw Error(std::string(name) + " is " + std::to_string(groups) + ", but the image has only " +
                std::to_string(found) + (found == 1 ? " distinct value" : " distinct values"));
}

// Means that a clustering starts with, ascending, of values in 0 to 1: the best division into groups, or of very many
// values that into groups of equal size.
inline std::vector<double> starting_means(const Histogram& histogram, const Sums& sums, std::size_t clusters)
{
    std::vector<std::size_t> bounds(clusters + 1, 0);
    if (histogram.size() <= most_exact_values) {
        bounds = Partition::best(sums, clusters);
    } else {
        for (std::size_t group = 1; group <= clusters; ++group) bounds[group] = sums.size() * group / clusters;
    }
    std::vector<double> means(clusters);
    for (std::size_t group = 0; group < clusters; ++group) means[group] = sums.mean(bounds[group], bounds[group + 1]);
    return means;
}

// Sets each pixel to its label, from 1 in the order of the means; 0 for what is not finite.
inline void paint_labels(const Histogram& histogram, const std::vector<std::size_t>& cluster_of, double* pixels)
{
    std::vector<double> table(histogram.size());
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<double>(cluster_of[i] + 1);
    histogram.paint(pixels, table, 0.0);
}

// Measurements of each cluster: label, share of the pixels, range of values, and its area where that is known.
inline Json::Array describe(const Histogram& histogram, const std::vector<std::size_t>& cluster_of,
                            std::size_t clusters, double pixel_area)
{
    const std::vector<double> units = histogram.units();
    std::vector<double> count(clusters), low(clusters), high(clusters), sum(clusters);
    for (std::size_t i = 0; i < histogram.size(); ++i) {
        const std::size_t cluster = cluster_of[i];
        if (count[cluster] == 0.0) low[cluster] = histogram.values()[i];
        high[cluster] = histogram.values()[i];
        count[cluster] += histogram.counts()[i];
        sum[cluster] += histogram.counts()[i] * units[i];
    }
    Json::Array reports(clusters);
    for (std::size_t cluster = 0; cluster < clusters; ++cluster) {
        Json& report = reports[cluster];
        report["label"] = cluster + 1;
        report["pixels"] = static_cast<std::size_t>(count[cluster]);
        report["fraction"] = count[cluster] / histogram.total();
        if (pixel_area > 0.0) report["area_mm2"] = count[cluster] * pixel_area;
        if (count[cluster] == 0.0) continue;
        report["mean"] = histogram.to_value(sum[cluster] / count[cluster]);
        report["min"] = low[cluster];
        report["max"] = high[cluster];
    }
    return reports;
}

}  // namespace shipped
