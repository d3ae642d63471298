/*
 * neurdicom_plugin.hpp - native NeurDICOM plugins as C++ classes (C++17, header only).
 *
 * One class, and one macro that exports the C functions of neurdicom_plugin.h for it:
 *
 *     #include "neurdicom_plugin.hpp"
 *
 *     class Scale {
 *     public:
 *         neurdicom::Result process(neurdicom::Image image, const neurdicom::Params& params)
 *         {
 *             const double factor = params.number("factor", 1.0);
 *             for (double& value : image) value *= factor;
 *             return image;                                    // in place: nothing is copied
 *         }
 *     };
 *
 *     NEURDICOM_PLUGIN(Scale)
 *
 * The class
 *   One object is made in each worker process by the constructor without arguments, and destroyed with the worker.
 *   `process` is called for one image at a time, always from the same thread. An exception fails that one call: the
 *   text of a neurdicom::Error, or of any std::exception, is the message that the user reads (LastError);
 *   std::bad_alloc is reported as out of memory. Other exceptions, such as a `const char*`, fail the call with a
 *   general message.
 *
 * Macros, each used once in a library, outside of all namespaces; the class may have any name except Plugin
 *   NEURDICOM_PLUGIN(Class)         Result process(Image, const Params&)
 *   NEURDICOM_PLUGIN_F32(Class)     ResultF32 process(ImageF32, const Params&): half the memory
 *   NEURDICOM_VOLUME_PLUGIN(Class)  Result process(Volume, const Params&), for `"level": "series"` in META.json. If the
 *                                   class also has process(Image, const Params&), that takes single images; without it
 *                                   they arrive as volumes of one slice.
 */
#ifndef NEURDICOM_PLUGIN_HPP
#define NEURDICOM_PLUGIN_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "neurdicom_json.hpp"
#include "neurdicom_plugin.h"

namespace neurdicom {

/* View of the samples of one image, row by row from the top left. Owns nothing and is cheap to pass by value. */
template <typename Sample>
class View {
public:
    View(Sample* data, std::size_t rows, std::size_t columns) noexcept : data_(data), rows_(rows), columns_(columns) {}

    std::size_t rows() const noexcept { return rows_; }
    std::size_t columns() const noexcept { return columns_; }
    std::size_t size() const noexcept { return rows_ * columns_; }
    Sample* data() const noexcept { return data_; }
    Sample* begin() const noexcept { return data_; }
    Sample* end() const noexcept { return data_ + size(); }
    Sample* row(std::size_t row) const noexcept { return data_ + row * columns_; }
    Sample& operator()(std::size_t row, std::size_t column) const noexcept { return data_[row * columns_ + column]; }

private:
    Sample* data_;
    std::size_t rows_, columns_;
};

/* View of slices of one size, in the order of the series. */
template <typename Sample>
class VolumeView {
public:
    VolumeView(Sample* data, std::size_t depth, std::size_t rows, std::size_t columns) noexcept
        : data_(data), depth_(depth), rows_(rows), columns_(columns)
    {
    }

    std::size_t depth() const noexcept { return depth_; }
    std::size_t rows() const noexcept { return rows_; }
    std::size_t columns() const noexcept { return columns_; }
    std::size_t size() const noexcept { return depth_ * rows_ * columns_; }
    Sample* data() const noexcept { return data_; }
    Sample* begin() const noexcept { return data_; }
    Sample* end() const noexcept { return data_ + size(); }
    View<Sample> slice(std::size_t slice) const noexcept
    {
        return {data_ + slice * rows_ * columns_, rows_, columns_};
    }
    Sample& operator()(std::size_t slice, std::size_t row, std::size_t column) const noexcept
    {
        return data_[(slice * rows_ + row) * columns_ + column];
    }

private:
    Sample* data_;
    std::size_t depth_, rows_, columns_;
};

using Image = View<double>;
using ImageF32 = View<float>;
using Volume = VolumeView<double>;

/* The parameters of one call: those that the caller gave, and those with a default in META.json. */
class Params {
public:
    explicit Params(Json values) : values_(std::move(values)) {}

    /* All parameters, with those that the server adds, such as the geometry of a volume in ["_image"]. */
    const Json& json() const noexcept { return values_; }
    const Json& operator[](std::string_view name) const noexcept { return values_[name]; }
    bool has(std::string_view name) const noexcept { return !values_[name].is_null(); }

    /* The value; `otherwise` if it is missing or null. A value of another kind throws Error with the name. */
    double number(std::string_view name, double otherwise) const
    {
        return get(name, otherwise, [](const Json& value) { return value.number(); });
    }
    std::int64_t integer(std::string_view name, std::int64_t otherwise) const
    {
        return get(name, otherwise, [](const Json& value) { return value.integer(); });
    }
    bool truth(std::string_view name, bool otherwise) const
    {
        return get(name, otherwise, [](const Json& value) { return value.truth(); });
    }
    std::string text(std::string_view name, std::string otherwise) const
    {
        return get(name, std::move(otherwise), [](const Json& value) { return value.text(); });
    }
    std::vector<double> numbers(std::string_view name, std::vector<double> otherwise = {}) const
    {
        return list(name, std::move(otherwise), [](const Json& value) { return value.number(); });
    }
    std::vector<std::int64_t> integers(std::string_view name, std::vector<std::int64_t> otherwise = {}) const
    {
        return list(name, std::move(otherwise), [](const Json& value) { return value.integer(); });
    }
    std::vector<std::string> texts(std::string_view name, std::vector<std::string> otherwise = {}) const
    {
        return list(name, std::move(otherwise), [](const Json& value) { return value.text(); });
    }

private:
    template <typename Value, typename Read>
    Value get(std::string_view name, Value otherwise, Read&& read) const
    {
        const Json& value = values_[name];
        if (value.is_null()) return otherwise;
        try {
            return read(value);
        } catch (const Error& error) {
            throw Error("parameter '" + std::string(name) + "': " + error.what());
        }
    }
    template <typename Value, typename Read>
    std::vector<Value> list(std::string_view name, std::vector<Value> otherwise, Read&& read) const
    {
        return get(name, std::move(otherwise), [&](const Json& value) {
            std::vector<Value> values;
            values.reserve(value.items().size());
            for (const Json& each : value.items()) values.push_back(read(each));
            return values;
        });
    }

    Json values_;
};

/* Samples that the plugin owns: a result of any size, with 1, 3 (RGB) or 4 (RGBA) interleaved channels. */
template <typename Sample>
class Samples {
public:
    Samples(std::size_t rows, std::size_t columns, std::size_t channels = 1, Sample value = Sample())
        : values_(rows * columns * channels, value), rows_(rows), columns_(columns), channels_(channels)
    {
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t columns() const noexcept { return columns_; }
    std::size_t channels() const noexcept { return channels_; }
    std::size_t size() const noexcept { return values_.size(); }
    Sample* data() noexcept { return values_.data(); }
    const Sample* data() const noexcept { return values_.data(); }
    auto begin() noexcept { return values_.begin(); }
    auto end() noexcept { return values_.end(); }
    auto begin() const noexcept { return values_.begin(); }
    auto end() const noexcept { return values_.end(); }
    Sample& operator()(std::size_t row, std::size_t column, std::size_t channel = 0) noexcept
    {
        return values_[(row * columns_ + column) * channels_ + channel];
    }
    const Sample& operator()(std::size_t row, std::size_t column, std::size_t channel = 0) const noexcept
    {
        return values_[(row * columns_ + column) * channels_ + channel];
    }

private:
    template <typename>
    friend class BasicResult;
    std::vector<Sample> values_;
    std::size_t rows_, columns_, channels_;
};

/*
 * The result of one call: the input, changed in place; samples that the plugin owns, which may be an image for a
 * volume, such as a projection; JSON; or samples and JSON (`return Result(image).with(json);`). Samples that the plugin
 * owns are kept until the server has encoded them.
 */
template <typename Sample>
class BasicResult {
public:
    BasicResult(View<Sample> image) noexcept : lent_(image.data()), rows_(image.rows()), columns_(image.columns()) {}
    BasicResult(VolumeView<Sample> volume) noexcept
        : lent_(volume.data()), rows_(volume.rows()), columns_(volume.columns()), depth_(volume.depth())
    {
    }
    BasicResult(Samples<Sample> samples) noexcept
        : owned_(std::move(samples.values_)), rows_(samples.rows_), columns_(samples.columns_),
          channels_(samples.channels_)
    {
    }
    /* A volume that the plugin owns: slices one after the other. */
    BasicResult(std::vector<Sample> volume, std::size_t depth, std::size_t rows, std::size_t columns)
        : owned_(std::move(volume)), rows_(rows), columns_(columns), depth_(depth)
    {
        if (owned_.size() != depth * rows * columns) {
            throw Error("the result has " + std::to_string(owned_.size()) + " samples; depth * rows * columns is " +
                        std::to_string(depth * rows * columns));
        }
    }
    BasicResult(Json json) : json_(json.dump()) {}

    /* Adds JSON to the result. */
    BasicResult&& with(const Json& json) &&
    {
        json_ = json.dump();
        return std::move(*this);
    }

private:
    template <typename, typename>
    friend class Host;
    Sample* lent_ = nullptr;
    std::vector<Sample> owned_;
    std::size_t rows_ = 0, columns_ = 0, channels_ = 1, depth_ = 1;
    std::string json_;
};

using Result = BasicResult<double>;
using ResultF32 = BasicResult<float>;

/* Holder of a plugin's object from InitPlugin to DestroyPlugin, and of its last result. For the macros below. */
template <typename Class, typename Sample>
class Host {
public:
    Sample* process(Sample* data, int width, int height, const char* params) noexcept(false)
    {
        const std::size_t rows = std::size_t(height), columns = std::size_t(width);
        return call(params, [&](const Params& given) -> BasicResult<Sample> {
            if constexpr (takes<View<Sample>>::value) {
                return object_.process(View<Sample>(data, rows, columns), given);
            } else {
                return object_.process(VolumeView<Sample>(data, 1, rows, columns), given);
            }
        });
    }
    Sample* process(Sample* data, int width, int height, int depth, const char* params) noexcept(false)
    {
        const VolumeView<Sample> volume(data, std::size_t(depth), std::size_t(height), std::size_t(width));
        return call(params, [&](const Params& given) -> BasicResult<Sample> { return object_.process(volume, given); });
    }
    void free_result(const Sample* data) noexcept
    {
        const auto found = std::find_if(results_.begin(), results_.end(),
                                        [&](const std::vector<Sample>& each) { return each.data() == data; });
        if (found != results_.end()) results_.erase(found);
    }
    const char* last_error() const noexcept { return error_.empty() ? nullptr : error_.c_str(); }
    const char* result_json() const noexcept { return json_.empty() ? nullptr : json_.c_str(); }
    void result_shape(int* width, int* height, int* channels) const noexcept
    {
        *width = width_, *height = height_, *channels = channels_;
    }
    int result_depth() const noexcept { return depth_; }

private:
    template <typename Pixels, typename = void>
    struct takes : std::false_type {};
    template <typename Pixels>
    struct takes<Pixels, std::void_t<decltype(std::declval<Class&>().process(std::declval<Pixels>(),
                                                                             std::declval<const Params&>()))>>
        : std::true_type {};

    template <typename Work>
    Sample* call(const char* params, Work&& work)
    {
        error_.clear();
        json_.clear();
        try {
            return keep(work(Params(Json::parse(params))));
        } catch (const std::bad_alloc&) {
            throw;  // the server reports it as out of memory
        } catch (const std::exception& error) {
            error_ = error.what();
        } catch (...) {
            error_ = "an exception that is not a std::exception";
        }
        if (error_.empty()) error_ = "an exception without a message";
        return nullptr;
    }

    Sample* keep(BasicResult<Sample> result)
    {
        json_ = std::move(result.json_);
        width_ = int(result.columns_), height_ = int(result.rows_), channels_ = int(result.channels_);
        depth_ = int(result.depth_);
        if (result.lent_ != nullptr) return result.lent_;
        if (result.owned_.empty()) {
            if (json_.empty()) throw Error("the result has no samples");
            return nullptr;
        }
        results_.push_back(std::move(result.owned_));
        return results_.back().data();
    }

    Class object_;
    std::vector<std::vector<Sample>> results_;
    std::string error_, json_;
    int width_ = 0, height_ = 0, channels_ = 1, depth_ = 1;
};

}  // namespace neurdicom

#define NEURDICOM_PLUGIN_WITHOUT_PROCESS_(Class, Sample)                                                              \
    struct Plugin {                                                                                                   \
        neurdicom::Host<Class, Sample> host;                                                                          \
    };                                                                                                                \
    extern "C" Plugin* InitPlugin() { return new Plugin; }                                                            \
    extern "C" void DestroyPlugin(Plugin* plugin) { delete plugin; }                                                  \
    extern "C" const char* LastError(Plugin* plugin) { return plugin->host.last_error(); }                            \
    extern "C" const char* ResultJson(Plugin* plugin) { return plugin->host.result_json(); }                          \
    extern "C" void ResultShape(Plugin* plugin, int* width, int* height, int* channels)                               \
    {                                                                                                                 \
        plugin->host.result_shape(width, height, channels);                                                           \
    }

#define NEURDICOM_PLUGIN(Class)                                                                                       \
    NEURDICOM_PLUGIN_WITHOUT_PROCESS_(Class, double)                                                                  \
    extern "C" double* Process(Plugin* plugin, double* img, int width, int height, const char* params)                \
    {                                                                                                                 \
        return plugin->host.process(img, width, height, params);                                                      \
    }                                                                                                                 \
    extern "C" void FreeResult(Plugin* plugin, double* result) { plugin->host.free_result(result); }

#define NEURDICOM_PLUGIN_F32(Class)                                                                                   \
    NEURDICOM_PLUGIN_WITHOUT_PROCESS_(Class, float)                                                                   \
    extern "C" float* ProcessF32(Plugin* plugin, float* img, int width, int height, const char* params)               \
    {                                                                                                                 \
        return plugin->host.process(img, width, height, params);                                                      \
    }                                                                                                                 \
    extern "C" void FreeResultF32(Plugin* plugin, float* result) { plugin->host.free_result(result); }

#define NEURDICOM_VOLUME_PLUGIN(Class)                                                                                \
    NEURDICOM_PLUGIN(Class)                                                                                           \
    extern "C" double* ProcessVolume(Plugin* plugin, double* volume, int width, int height, int depth,                \
                                     const char* params)                                                              \
    {                                                                                                                 \
        return plugin->host.process(volume, width, height, depth, params);                                            \
    }                                                                                                                 \
    extern "C" void ResultDepth(Plugin* plugin, int* depth) { *depth = plugin->host.result_depth(); }

#endif
