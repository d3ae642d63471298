// Parameters within their limits: a library may be called by other programs than the server, which has checked them.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <string>

#include "neurdicom_plugin.hpp"

namespace shipped {

using neurdicom::Error;
using neurdicom::Image;
using neurdicom::Json;
using neurdicom::Params;
using neurdicom::Result;

constexpr double unlimited = std::numeric_limits<double>::max();

inline std::string shown(double number)
{
    return Json(number).dump();
}

inline double number(const Params& params, const char* name, double otherwise, double least, double most)
{
    const double found = params.number(name, otherwise);
    if (found >= least && found <= most) return found;
    const std::string takes = most == unlimited ? "at least " + shown(least) : shown(least) + " to " + shown(most);
    throw Error(std::string(name) + " is " + shown(found) + "; " + takes + " is expected");
}

inline std::size_t integer(const Params& params, const char* name, std::size_t otherwise, std::size_t least,
                           std::size_t most)
{
    const std::int64_t found = params.integer(name, static_cast<std::int64_t>(otherwise));
    if (found >= 0 && static_cast<std::size_t>(found) >= least && static_cast<std::size_t>(found) <= most)
        return static_cast<std::size_t>(found);
    throw Error(std::string(name) + " is " + std::to_string(found) + "; " + std::to_string(least) + " to " +
                std::to_string(most) + " is expected");
}

// One of several texts; the first by default.
inline std::string choice(const Params& params, const char* name, std::initializer_list<const char*> allowed)
{
    const std::string found = params.text(name, *allowed.begin());
    std::string takes;
    for (const char* each : allowed) {
        if (found == each) return found;
        takes += (takes.empty() ? "" : ", ") + std::string(each);
    }
    throw Error(std::string(name) + " is '" + found + "'; one of " + takes + " is expected");
}

// Area of a pixel in mm2 from the geometry that the server passes in `_image`; 0 where it is unknown.
inline double pixel_area(const Params& params)
{
    const Json& spacing = params["_image"]["spacing"];
    if (!spacing[0].is_number() || !spacing[1].is_number()) return 0.0;
    const double area = spacing[0].number() * spacing[1].number();
    return area > 0.0 ? area : 0.0;
}

}  // namespace shipped
