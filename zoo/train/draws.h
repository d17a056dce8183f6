// A series of independent random numbers for one use of one image.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "train/random_bits.h"

namespace wkv::zoo {

enum class Purpose : uint64_t { crop, flip, mixing, rand_augment, erasing, noise };

class Draws {
 public:
  Draws(uint64_t bits, Purpose purpose) : seed_(random_bits(bits, static_cast<uint64_t>(purpose))) {}
  uint64_t next() { return random_bits(seed_, count_++); }
  double between(double low, double high) { return low + (high - low) * uniform(next()); }
  int64_t up_to(int64_t most) {
    return std::min(static_cast<int64_t>(uniform(next()) * static_cast<double>(most + 1)), most);
  }
  double normal() {  // Box and Muller's
    const double radius = std::sqrt(-2 * std::log(1 - uniform(next())));
    return radius * std::cos(2 * std::numbers::pi * uniform(next()));
  }

 private:
  uint64_t seed_, count_ = 0;
};

}  // namespace wkv::zoo
