// Rows of weights to the dwords of a packed matrix and back; see packed_linear.h. The same on every machine.
#pragma once
#include <algorithm>
#include <cmath>

#include "packed_linear/packed_linear.h"

namespace wkv {

inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
// Round to nearest even; NaN stays NaN.
inline uint32_t bfloat16_bits(float x) {
  const uint32_t bits = bits_of(x);
  return x == x ? (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16 : (bits >> 16) | 0x40u;
}
inline float bfloat16_value(uint32_t bits) { return float_of(bits << 16); }

// --- int8: a symmetric scale for each row ---

inline float int8_scale(const float* weights, int64_t columns) {
  float largest = 0;
  for (int64_t k = 0; k < columns; ++k) largest = std::max(largest, std::abs(weights[k]));
  const float scale = largest / 127;
  return std::isfinite(scale * 127) ? scale : std::nextafter(scale, 0.0f);  // the largest of all floats is rounded up
}
inline int int8_of(float weight, float scale) {
  return scale == 0 ? 0 : static_cast<int>(std::lrint(std::clamp(weight / scale, -127.0f, 127.0f)));
}

// --- int4: a scale for each group, and for each weight the nearest of 16 ---

// The index of the nearest of kInt4Weights. They are integers, so that the middles between them are where an interval
// of one half begins.
class NearestInt4 {
 public:
  NearestInt4() {
    for (int i = 0, index = 0; i < kIntervals; ++i) {
      const double middle = (i + 0.5) / 2 - kRange;
      while (index < 15 && middle > (kInt4Weights[index] + kInt4Weights[index + 1]) / 2.0) ++index;
      index_[i] = static_cast<uint8_t>(index);
    }
  }
  uint32_t operator()(float x) const { return index_[static_cast<int>((std::clamp(x, -127.0f, 127.0f) + kRange) * 2)]; }

 private:
  static constexpr int kRange = 128, kIntervals = kRange * 4;
  uint8_t index_[kIntervals];
};

class Int4Group {
 public:
  // Fits a scale by least squares, from starts that give the largest weight either end of the range, or clip it.
  explicit Int4Group(const float* weights) : weights_(weights) {
    float largest = 0;
    for (int i = 0; i < kPackedGroup; ++i) {
      if (std::abs(weights[i]) > std::abs(largest)) largest = weights[i];
    }
    double least = INFINITY;
    for (const float part : {1.0f, -1.0f, 0.9f, -0.9f}) {
      float scale = rounded(largest / 127 * part);
      for (int step = 0; step < 3 && std::isnormal(scale); ++step) {
        const Sums sums = sums_at(scale);
        // Of the sum of (w - scale q)^2 the sum of w^2 is the same for all.
        const double error = scale * (scale * sums.q_q - 2 * sums.q_w);
        if (error < least) {
          least = error;
          scale_ = scale;
        }
        scale = rounded(static_cast<float>(sums.q_w / sums.q_q));
      }
    }
  }
  uint32_t scale_bits() const { return bfloat16_bits(scale_); }
  uint32_t index(int i) const { return scale_ == 0 ? kIndexOfZero : nearest()(weights_[i] * (1 / scale_)); }

 private:
  static constexpr uint32_t kIndexOfZero = 0;  // any will do: the scale is zero
  struct Sums {
    double q_w, q_q;
  };
  static const NearestInt4& nearest() {
    static const NearestInt4 table;
    return table;
  }
  static float rounded(float scale) { return bfloat16_value(bfloat16_bits(scale)); }
  Sums sums_at(float scale) const {
    const NearestInt4& table = nearest();
    const float inverse = 1 / scale;
    float q_w = 0, q_q = 0;
    for (int i = 0; i < kPackedGroup; ++i) {
      const float q = kInt4Weights[table(weights_[i] * inverse)];
      q_w += q * weights_[i];
      q_q += q * q;
    }
    return {q_w, q_q};
  }

  const float* weights_;
  float scale_ = 0;
};

// --- rows ---

// `weights` is padded to a multiple of kPackedColumns by zeros; finite.
inline void pack_row(PackedFormat format, const float* weights, int64_t columns, const PackedRow<char>& to) {
  const int64_t lines = packed_lines(format, columns);
  switch (format) {
    case PackedFormat::kInt8: {
      const float scale = int8_scale(weights, columns);
      for (int64_t line = 0; line + 1 < lines; ++line) {
        uint32_t dword = 0;
        for (int i = 0; i < 4; ++i) dword |= (int8_of(weights[4 * line + i], scale) & 0xffu) << 8 * i;
        to.put(line, dword);
      }
      to.put(lines - 1, bits_of(scale));
      break;
    }
    case PackedFormat::kInt4:
      for (int64_t line = 0; line < lines; line += kInt4Lines, weights += kPackedColumns) {
        const Int4Group groups[2] = {Int4Group(weights), Int4Group(weights + kPackedGroup)};
        to.put(line, groups[0].scale_bits() | groups[1].scale_bits() << 16);
        for (int i = 0; i < 8; ++i) {
          uint32_t dword = 0;
          for (int k = 0; k < 8; ++k) dword |= groups[i / 4].index(i % 4 * 8 + k) << (k % 4 * 8 + k / 4 * 4);
          to.put(line + 1 + i, dword);
        }
      }
  }
}

inline void unpack_row(PackedFormat format, const PackedRow<const char>& from, int64_t columns, float* weights) {
  switch (format) {
    case PackedFormat::kInt8: {
      const float scale = float_of(from.get(packed_lines(format, columns) - 1));
      for (int64_t k = 0; k < columns; ++k) {
        weights[k] = scale * static_cast<int8_t>(from.get(k / 4) >> k % 4 * 8 & 0xffu);
      }
      break;
    }
    case PackedFormat::kInt4:
      for (int64_t k = 0; k < columns; ++k) {
        const int64_t line = k / kPackedColumns * kInt4Lines, in_line = k % 8;
        const float scale = bfloat16_value(from.get(line) >> k / kPackedGroup % 2 * 16 & 0xffffu);
        const uint32_t indices = from.get(line + 1 + k % kPackedColumns / 8);
        weights[k] = scale * kInt4Weights[indices >> (in_line % 4 * 8 + in_line / 4 * 4) & 15u];
      }
  }
}

}  // namespace wkv
