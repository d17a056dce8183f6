// Each output is round(sum over its taps of weight * byte) with weights of 22 fractional bits. A pass filters along the
// rows and writes what it finds down the columns, so the second pass filters along rows again, and restores the order.
#include "image/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace wkv::zoo {
namespace {

constexpr int kWeightBits = 22;

// Processors add up products of 16 bits fastest, and a weight has more. So a byte b is held as the pair (256 d, d) with
// d = b - 128, a weight w as the pair (w / 256, w % 256), whose inner product is d w; 128 times the weights' sum is
// added in the end. No sum leaves 32 bits: the weights' absolute values sum to less than 2^23.
struct Pair {
  int16_t high, low;
};

Pair pair_of_byte(uint8_t byte) { return {static_cast<int16_t>((byte - 128) * 256), static_cast<int16_t>(byte - 128)}; }

Pair pair_of_weight(int32_t weight) { return {static_cast<int16_t>(weight >> 8), static_cast<int16_t>(weight & 255)}; }

// Taps are padded with weights of zero to a multiple of this: whole vector registers.
constexpr int64_t kTapStep = 4;

double cubic(double x) {  // Keys' kernel, a = -0.5
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0;
}

// The taps of some outputs of one axis.
class Filter {
 public:
  // Of the outputs `part`, where `in` inputs become `out` outputs.
  Filter(int64_t in, int64_t out, Interval part) {
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    const double filter_scale = std::max(scale, 1.0), support = 2 * filter_scale;
    const auto most_taps = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
    taps_ = (std::min(most_taps, in) + kTapStep - 1) / kTapStep * kTapStep;
    weights_.resize(static_cast<size_t>(part.length * taps_));

    std::vector<double> weights;
    int64_t begin = in, end = 0;
    for (int64_t i = 0; i < part.length; ++i) {
      const double center = (static_cast<double>(part.first + i) + 0.5) * scale;
      const auto from = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
      const auto to = std::min(static_cast<int64_t>(center + support + 0.5), in);
      weights.clear();
      for (int64_t tap = from; tap < to; ++tap)
        weights.push_back(cubic((static_cast<double>(tap) - center + 0.5) * (1 / filter_scale)));
      const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      Output output{from, 1 << (kWeightBits - 1)};
      for (size_t tap = 0; tap < weights.size(); ++tap) {
        const double scaled = weights[tap] / sum * (1 << kWeightBits);
        const auto weight = static_cast<int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
        weights_[i * taps_ + tap] = pair_of_weight(weight);
        output.offset += 128 * weight;
      }
      outputs_.push_back(output);
      begin = std::min(begin, from);
      end = std::max(end, to);
    }
    inputs_ = {begin, end - begin};
    for (Output& output : outputs_) output.first_tap -= begin;
  }

  // The inputs that have a weight.
  Interval inputs() const { return inputs_; }
  // How many values a row must have, the inputs first: the last outputs' taps, with their padding.
  int64_t row_length() const { return inputs_.length + taps_; }

  // The i-th output of a row.
  uint8_t apply(const std::vector<Pair>& row, int64_t i) const {
    const int16_t* values = &row[outputs_[i].first_tap].high;
    const int16_t* weights = &weights_[i * taps_].high;
    int32_t sum = outputs_[i].offset;
    for (int64_t k = 0; k < 2 * taps_; ++k) sum += values[k] * weights[k];
    return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
  }

 private:
  struct Output {
    int64_t first_tap;
    int32_t offset;  // for rounding, and for the 128 that pairs lack
  };

  Interval inputs_;
  int64_t taps_;
  std::vector<Output> outputs_;
  std::vector<Pair> weights_;  // [outputs, taps]
};

}  // namespace

Planes resize_part(const RgbImage& image, int64_t height, int64_t width, Interval rows, Interval columns) {
  const Filter across(image.width, width, columns), down(image.height, height, rows);
  const auto [left, used_width] = across.inputs();
  const auto [top, used_height] = down.inputs();

  Planes narrowed(columns.length, used_height);  // transposed
  std::array<std::vector<Pair>, 3> channels;
  for (auto& channel : channels) channel.resize(static_cast<size_t>(across.row_length()));
  for (int64_t y = 0; y < used_height; ++y) {
    const uint8_t* pixel = image.row(top + y) + 3 * left;
    for (int64_t x = 0; x < used_width; ++x, pixel += 3)
      for (size_t c = 0; c < 3; ++c) channels[c][x] = pair_of_byte(pixel[c]);
    for (size_t c = 0; c < 3; ++c) {
      uint8_t* to = narrowed.values.get() + static_cast<int64_t>(c) * columns.length * used_height + y;
      for (int64_t x = 0; x < columns.length; ++x) to[x * used_height] = across.apply(channels[c], x);
    }
  }

  Planes resized(rows.length, columns.length);
  std::vector<Pair> row(static_cast<size_t>(down.row_length()));
  for (int64_t line = 0; line < 3 * columns.length; ++line) {
    const uint8_t* column = narrowed.values.get() + line * used_height;
    std::transform(column, column + used_height, row.begin(), pair_of_byte);
    const int64_t c = line / columns.length, x = line % columns.length;
    uint8_t* plane = resized.values.get() + c * rows.length * columns.length;
    for (int64_t y = 0; y < rows.length; ++y) plane[y * columns.length + x] = down.apply(row, y);
  }
  return resized;
}

}  // namespace wkv::zoo
