// The best division of sorted, weighted values into groups: the exact optimum of k-means in one dimension, and of
// Otsu's criterion for any number of classes, which is the same (least variance within is most variance between).
//
// Dynamic programming over the last value of each group (Fisher 1958; Wang and Song, The R Journal 3(2), 2011). The
// first value of the best last group never moves left as values are added, so divide and conquer finds each row of
// the table in O(n log n).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace shipped {

class Sums {
public:
    // Of ascending values in 0 to 1 and their weights.
    Sums(const std::vector<double>& values, const std::vector<double>& weights)
        : weight_(values.size() + 1), first_(values.size() + 1), second_(values.size() + 1)
    {
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double centred = values[i] - 0.5;
            weight_[i + 1] = weight_[i] + weights[i];
            first_[i + 1] = first_[i] + weights[i] * centred;
            second_[i + 1] = second_[i] + weights[i] * centred * centred;
        }
    }

    std::size_t size() const { return weight_.size() - 1; }
    double weight(std::size_t begin, std::size_t end) const { return weight_[end] - weight_[begin]; }
    double mean(std::size_t begin, std::size_t end) const
    {
        return 0.5 + (first_[end] - first_[begin]) / weight(begin, end);
    }

    // Sum of the weighted squares of the distances from the mean.
    double scatter(std::size_t begin, std::size_t end) const
    {
        const double sum = first_[end] - first_[begin];
        const double scatter = second_[end] - second_[begin] - sum * sum / weight(begin, end);
        return scatter > 0.0 ? scatter : 0.0;
    }

private:
    std::vector<double> weight_, first_, second_;
};

class Partition {
public:
    // Where each of `groups` groups begins, and the end of the last; there are at least as many values as groups.
    static std::vector<std::size_t> best(const Sums& sums, std::size_t groups)
    {
        Partition partition(sums, groups);
        std::vector<std::size_t> bounds(groups + 1);
        bounds[groups] = sums.size();
        for (std::size_t group = groups; group-- > 0;) {
            bounds[group] = group == 0 ? 0 : partition.begins_[group * sums.size() + bounds[group + 1] - 1];
        }
        return bounds;
    }

private:
    Partition(const Sums& sums, std::size_t groups)
        : sums_(sums), begins_(groups * sums.size()), before_(sums.size()), now_(sums.size())
    {
        for (std::size_t last = 0; last < sums.size(); ++last) before_[last] = sums.scatter(0, last + 1);
        for (std::size_t group = 1; group < groups; ++group) {
            fill(group, group, sums.size(), group, sums.size() - 1);
            before_.swap(now_);
        }
    }

    // Finds the best begin of `group` for each last value in [from, to), which lies in [least, most].
    void fill(std::size_t group, std::size_t from, std::size_t to, std::size_t least, std::size_t most)
    {
        if (from >= to) return;
        const std::size_t last = from + (to - from) / 2;
        double lowest = std::numeric_limits<double>::infinity();
        std::size_t best = least;
        for (std::size_t begin = least; begin <= std::min(most, last); ++begin) {
            const double scatter = before_[begin - 1] + sums_.scatter(begin, last + 1);
            if (scatter < lowest) {
                lowest = scatter;
                best = begin;
            }
        }
        now_[last] = lowest;
        begins_[group * sums_.size() + last] = static_cast<std::uint32_t>(best);
        fill(group, from, last, least, best);
        fill(group, last + 1, to, best, most);
    }

    const Sums& sums_;
    std::vector<std::uint32_t> begins_;
    std::vector<double> before_, now_;
};

}  // namespace shipped
