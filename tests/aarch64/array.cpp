#include "array.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace wkv::test {
namespace {

// The numbers of 16 bits, by arithmetic that no kernel shares.
struct ShortFormat {
  int mantissa_bits, least_exponent;
};
constexpr ShortFormat kBFloat16Format{7, -126}, kHalfFormat{10, -14};

uint16_t to_bits(double x, ShortFormat format) {
  const double magnitude = std::abs(x);
  const int exponent = magnitude > 0 ? std::max(std::ilogb(magnitude), format.least_exponent) : format.least_exponent;
  const double mantissa = std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent));
  const int bits = ((exponent - format.least_exponent) << format.mantissa_bits) + static_cast<int>(mantissa);
  return static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0));
}
double from_bits(uint16_t bits, ShortFormat format) {
  const int magnitude = bits & 0x7fff, one = 1 << format.mantissa_bits, field = magnitude >> format.mantissa_bits;
  if (field == 0x7fff >> format.mantissa_bits) return NAN;  // or inf, which is as wrong here
  const int mantissa = magnitude % one + (field > 0 ? one : 0), exponent = std::max(field, 1) - 1;
  const double x = std::ldexp(mantissa, exponent + format.least_exponent - format.mantissa_bits);
  return bits & 0x8000 ? -x : x;
}

template <class T>
T read(const void* from) {
  T x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
template <class T>
void write(T x, void* to) {
  std::memcpy(to, &x, sizeof x);
}

}  // namespace

Doubles normal(int64_t n, double scale, double mean) {
  static std::mt19937_64 generator(1);
  std::normal_distribution<double> distribution(mean, scale);
  Doubles x(n);
  for (double& value : x) value = distribution(generator);
  return x;
}

Array::Array(IoType type, int64_t size) : type_(type) { bytes_.assign(size * element_bytes(), '\xff'); }

Array::Array(IoType type, const Doubles& values) : Array(type, static_cast<int64_t>(values.size())) {
  for (int64_t i = 0; i < size(); ++i) {
    switch (type_) {
      case IoType::kFloat:
        write(static_cast<float>(values[i]), at(i));
        break;
      case IoType::kDouble:
        write(values[i], at(i));
        break;
      case IoType::kBFloat16:
        write(to_bits(values[i], kBFloat16Format), at(i));
        break;
      case IoType::kHalf:
        write(to_bits(values[i], kHalfFormat), at(i));
        break;
    }
  }
}

Doubles Array::values() const {
  Doubles result(size());
  for (int64_t i = 0; i < size(); ++i) {
    switch (type_) {
      case IoType::kFloat:
        result[i] = read<float>(at(i));
        break;
      case IoType::kDouble:
        result[i] = read<double>(at(i));
        break;
      case IoType::kBFloat16:
        result[i] = from_bits(read<uint16_t>(at(i)), kBFloat16Format);
        break;
      case IoType::kHalf:
        result[i] = from_bits(read<uint16_t>(at(i)), kHalfFormat);
        break;
    }
  }
  return result;
}

int64_t Array::size() const { return static_cast<int64_t>(bytes_.size()) / element_bytes(); }

int64_t Array::element_bytes() const { return type_ == IoType::kDouble ? 8 : type_ == IoType::kFloat ? 4 : 2; }

Memory::Memory(int64_t bytes) : lines_(bytes / 64 + 1) {
  std::memset(static_cast<void*>(lines_.data()), 0xff, lines_.size() * sizeof(Line));
}

}  // namespace wkv::test
