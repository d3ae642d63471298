#include "neurdicom_plugin.hpp"

struct Halve {
    neurdicom::ResultF32 process(neurdicom::ImageF32 image, const neurdicom::Params&)
    {
        for (float& value : image) value /= 2;
        return image;
    }
};

NEURDICOM_PLUGIN_F32(Halve)
