// What a plugin may do with the wrapper; its parameter `how` picks.
#include "neurdicom_plugin.hpp"

using neurdicom::Json;

class Sum {
public:
    neurdicom::Result process(neurdicom::Image image, const neurdicom::Params& params)
    {
        const std::string how = params.text("how", "in place");
        if (how == "error") throw neurdicom::Error("no kernel: größer als 1 is expected");
        if (how == "number") throw 42;
        if (how == "memory") throw std::bad_alloc();
        if (how == "own") {
            neurdicom::Samples<double> made(image.rows() + 1, image.columns(), 3);
            for (std::size_t row = 0; row < image.rows(); ++row)
                for (std::size_t column = 0; column < image.columns(); ++column) made(row, column, 2) = image(row, column);
            return neurdicom::Result(std::move(made)).with(Json::object({{"own", true}}));
        }
        if (how == "json") {
            Json found;
            double sum = 0;
            for (const double value : params.numbers("weights")) sum += value;
            found["sum"] = sum;
            found["k"] = params.integer("k", 7);
            found["on"] = params.truth("on", false);
            found["text"] = params.text("text", "");
            found["spacing"] = params["_image"]["spacing"][1];
            found["names"] = params.texts("names");
            found["not"] = 0.0 / image(0, 0);
            return found;
        }
        image(image.rows() - 1, image.columns() - 1) = 99;
        return image;
    }
    neurdicom::Result process(neurdicom::Volume volume, const neurdicom::Params& params)
    {
        if (params.has("project")) {
            neurdicom::Samples<double> made(volume.rows(), volume.columns());
            for (std::size_t slice = 0; slice < volume.depth(); ++slice)
                for (std::size_t index = 0; index < made.size(); ++index) made.data()[index] += volume.slice(slice).data()[index];
            return made;
        }
        volume(volume.depth() - 1, 0, 0) = double(volume.depth());
        return volume;
    }
};

NEURDICOM_VOLUME_PLUGIN(Sum)
