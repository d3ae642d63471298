// Reading of grey samples from a file into an image in one pass: each piece is converted while it is in the cache.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <unistd.h>

namespace neurdicom {

// The layout of little-endian samples in their cells (PS3.5 8.1.1), and the linear modality transformation.
struct Grey {
    int cell;  // bytes: 1, 2 or 4
    bool is_signed;
    int stored;  // bits
    int shift;   // bits below them
    double slope;
    double intercept;
};

// The size of a usual slice: more system calls would cost more than a smaller piece saves.
constexpr std::size_t PIECE = 512 << 10;

template <typename Cell, typename Sample, typename Value>
inline void convert(const unsigned char* bytes, std::size_t count, Sample* out, Value&& value) noexcept {
    const Cell* cells = reinterpret_cast<const Cell*>(bytes);
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Sample>(value(cells[i]));
}

template <typename Cell, typename Sample>
inline void convert_cells(const Grey& grey, const unsigned char* bytes, std::size_t count, Sample* out) noexcept {
    const double slope = grey.slope, intercept = grey.intercept;
    // Shifting up and down drops the bits above the stored ones, and extends the sign of a signed cell.
    const int width = 8 * static_cast<int>(sizeof(Cell));
    const int up = width - grey.stored - grey.shift, down = width - grey.stored;
    const auto stored = [=](Cell cell) {
        return static_cast<Cell>(static_cast<Cell>(static_cast<std::make_unsigned_t<Cell>>(cell) << up) >> down);
    };
    const bool is_whole = down == 0, is_identity = slope == 1.0 && intercept == 0.0;
    const auto line = [=](double value) {
        const double scaled = value * slope;
        return scaled + intercept;
    };
    if (is_whole && is_identity) {
        convert<Cell>(bytes, count, out, [](Cell cell) { return cell; });
    } else if (is_whole) {
        convert<Cell>(bytes, count, out, [=](Cell cell) { return line(cell); });
    } else if (is_identity) {
        convert<Cell>(bytes, count, out, stored);
    } else {
        convert<Cell>(bytes, count, out, [=](Cell cell) { return line(stored(cell)); });
    }
}

template <typename Sample>
inline void convert_piece(const Grey& grey, const unsigned char* bytes, std::size_t count, Sample* out) noexcept {
    switch (grey.is_signed ? -grey.cell : grey.cell) {
        case 1: return convert_cells<std::uint8_t>(grey, bytes, count, out);
        case 2: return convert_cells<std::uint16_t>(grey, bytes, count, out);
        case 4: return convert_cells<std::uint32_t>(grey, bytes, count, out);
        case -1: return convert_cells<std::int8_t>(grey, bytes, count, out);
        case -2: return convert_cells<std::int16_t>(grey, bytes, count, out);
        case -4: return convert_cells<std::int32_t>(grey, bytes, count, out);
    }
}

// Fills `count` samples from the file's bytes at `offset`. False if the file ends before or can't be read.
template <typename Sample>
inline bool read_grey(int descriptor, std::int64_t offset, const Grey& grey, std::size_t count, Sample* out) noexcept {
    alignas(64) static thread_local unsigned char piece[PIECE];
    const std::size_t cell = static_cast<std::size_t>(grey.cell);
    std::size_t left = count * cell;
    while (left > 0) {
        const std::size_t wanted = std::min(left, PIECE);
        std::size_t filled = 0;
        while (filled < wanted) {
            const ssize_t got = pread(descriptor, piece + filled, wanted - filled, offset + static_cast<off_t>(filled));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return false;
            filled += static_cast<std::size_t>(got);
        }
        convert_piece(grey, piece, wanted / cell, out);
        out += wanted / cell;
        offset += static_cast<std::int64_t>(wanted);
        left -= wanted;
    }
    return true;
}

}  // namespace neurdicom
