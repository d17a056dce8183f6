#include "train/image_operations.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

namespace wkv::zoo {
namespace {

using Table = std::array<uint8_t, 256>;

uint8_t to_byte(double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); }

std::span<uint8_t> plane(Planes& planes, int64_t index) {
  const int64_t size = planes.height * planes.width;
  return {planes.values.get() + index * size, static_cast<size_t>(size)};
}

// Replaces every byte of each plane by its entry in table(the plane).
template <typename MakeTable>
void look_up(Planes& planes, MakeTable&& table) {
  for (int64_t c = 0; c < 3; ++c) {
    const auto bytes = plane(planes, c);
    const Table of = table(bytes);
    for (auto& byte : bytes) byte = of[byte];
  }
}

// value: an int of an int; what is above 255 is 255.
template <typename NewByte>
void replace_bytes(Planes& planes, NewByte&& value) {
  look_up(planes, [&](auto) {
    Table table;
    for (int byte = 0; byte < 256; ++byte)
      table[static_cast<size_t>(byte)] = static_cast<uint8_t>(std::min<int64_t>(value(byte), 255));
    return table;
  });
}

Table identity() {
  Table table;
  for (size_t byte = 0; byte < 256; ++byte) table[byte] = static_cast<uint8_t>(byte);
  return table;
}

// ITU-R 601's luma.
std::vector<uint8_t> grey(Planes& planes) {
  const auto red = plane(planes, 0), green = plane(planes, 1), blue = plane(planes, 2);
  std::vector<uint8_t> bytes(red.size());
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>((19595 * red[i] + 38470 * green[i] + 7471 * blue[i] + 0x8000) >> 16);
  return bytes;
}

// image * factor + other * (1 - factor), other(c, i): the byte of the other image.
template <typename Other>
void blend(Planes& planes, double factor, Other&& other) {
  const auto alpha = static_cast<float>(factor);
  for (int64_t c = 0; c < 3; ++c) {
    const auto bytes = plane(planes, c);
    for (size_t i = 0; i < bytes.size(); ++i) {
      const float from = other(c, i);
      bytes[i] = to_byte(from + alpha * (static_cast<float>(bytes[i]) - from));
    }
  }
}

// 3 x 3 means in which the centre counts five times; the border stays.
std::vector<uint8_t> smoothed(Planes& planes) {
  const int64_t height = planes.height, width = planes.width;
  std::vector<uint8_t> result(planes.values.get(), planes.values.get() + 3 * height * width);
  for (int64_t c = 0; c < 3; ++c) {
    const uint8_t* from = planes.values.get() + c * height * width;
    for (int64_t y = 1; y + 1 < height; ++y) {
      for (int64_t x = 1; x + 1 < width; ++x) {
        const uint8_t* centre = from + y * width + x;
        int sum = 4 * centre[0];
        for (const int64_t row : {-width, int64_t{0}, width}) sum += centre[row - 1] + centre[row] + centre[row + 1];
        result[static_cast<size_t>(c * height * width + y * width + x)] = static_cast<uint8_t>((2 * sum + 13) / 26);
      }
    }
  }
  return result;
}

// The cubic through four neighbours, at `d` between the second and the third.
double cubic(const std::array<double, 4>& v, double d) {
  const double linear = v[2] - v[0], square = 2 * (v[0] - v[1]) + v[2] - v[3], cube = v[1] - v[0] - v[2] + v[3];
  return v[1] + d * (linear + d * (square + d * cube));
}

// At (x, y) of the plane, its border repeated outside.
uint8_t interpolated(const uint8_t* bytes, int64_t height, int64_t width, double x, double y) {
  const double left = std::floor(x - 0.5), top = std::floor(y - 0.5);
  std::array<double, 4> rows{};
  for (int64_t i = 0; i < 4; ++i) {
    const int64_t row = std::clamp<int64_t>(static_cast<int64_t>(top) - 1 + i, 0, height - 1);
    std::array<double, 4> values{};
    for (int64_t j = 0; j < 4; ++j)
      values[static_cast<size_t>(j)] =
          bytes[row * width + std::clamp<int64_t>(static_cast<int64_t>(left) - 1 + j, 0, width - 1)];
    rows[static_cast<size_t>(i)] = cubic(values, x - 0.5 - left);
  }
  return to_byte(cubic(rows, y - 0.5 - top));
}

}  // namespace

void auto_contrast(Planes& planes) {
  look_up(planes, [](std::span<const uint8_t> bytes) {
    const auto [least, most] = std::ranges::minmax(bytes);
    Table table = identity();
    if (least == most) return table;
    const double scale = 255.0 / (most - least), offset = -least * scale;
    for (size_t byte = 0; byte < 256; ++byte) table[byte] = to_byte(static_cast<double>(byte) * scale + offset);
    return table;
  });
}

void equalize(Planes& planes) {
  look_up(planes, [](std::span<const uint8_t> bytes) {
    std::array<int64_t, 256> histogram{};
    for (const auto byte : bytes) ++histogram[byte];
    const int64_t of_highest = histogram[std::ranges::max(bytes)];
    const int64_t step = (static_cast<int64_t>(bytes.size()) - of_highest) / 255;
    Table table = identity();
    if (step == 0) return table;
    int64_t below = step / 2;
    for (size_t byte = 0; byte < 256; ++byte) {
      table[byte] = static_cast<uint8_t>(std::min<int64_t>(below / step, 255));
      below += histogram[byte];
    }
    return table;
  });
}

void invert(Planes& planes) {
  replace_bytes(planes, [](int byte) { return 255 - byte; });
}

void posterize(Planes& planes, int64_t bits) {
  replace_bytes(planes, [&](int byte) { return byte & (0xff00 >> bits); });
}

void solarize(Planes& planes, double threshold) {
  replace_bytes(planes, [&](int byte) { return byte < threshold ? byte : 255 - byte; });
}

void solarize_add(Planes& planes, int64_t addition) {
  replace_bytes(planes, [&](int byte) { return byte < 128 ? byte + addition : byte; });
}

void adjust_colour(Planes& planes, double factor) {
  const auto other = grey(planes);
  blend(planes, factor, [&](int64_t, size_t i) { return static_cast<float>(other[i]); });
}

void adjust_contrast(Planes& planes, double factor) {
  const auto other = grey(planes);
  double sum = 0;
  for (const auto byte : other) sum += byte;
  const auto mean = static_cast<float>(std::floor(sum / static_cast<double>(other.size()) + 0.5));
  blend(planes, factor, [&](int64_t, size_t) { return mean; });
}

void adjust_brightness(Planes& planes, double factor) {
  blend(planes, factor, [](int64_t, size_t) { return 0.0F; });
}

void adjust_sharpness(Planes& planes, double factor) {
  const auto other = smoothed(planes);
  const auto size = static_cast<size_t>(planes.height * planes.width);
  blend(planes, factor,
        [&](int64_t c, size_t i) { return static_cast<float>(other[static_cast<size_t>(c) * size + i]); });
}

Planes transform(const Planes& planes, const AffineMap& map, const Colour& fill) {
  const int64_t height = planes.height, width = planes.width, size = height * width;
  Planes result(height, width);
  uint8_t* to = result.values.get();
  for (int64_t row = 0; row < height; ++row) {
    for (int64_t column = 0; column < width; ++column, ++to) {
      const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
      const double from_x = map[0] * x + map[1] * y + map[2], from_y = map[3] * x + map[4] * y + map[5];
      const bool inside =
          from_x >= 0 && from_y >= 0 && from_x < static_cast<double>(width) && from_y < static_cast<double>(height);
      for (int64_t c = 0; c < 3; ++c)
        to[c * size] = inside ? interpolated(planes.values.get() + c * size, height, width, from_x, from_y)
                              : fill[static_cast<size_t>(c)];
    }
  }
  return result;
}

AffineMap rotation(double degrees, int64_t height, int64_t width) {
  const double angle = degrees * std::numbers::pi / 180, c = std::cos(angle), s = std::sin(angle);
  const double x = static_cast<double>(width) / 2, y = static_cast<double>(height) / 2;
  return {c, -s, x - c * x + s * y, s, c, y - s * x - c * y};
}

}  // namespace wkv::zoo
