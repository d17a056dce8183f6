// Random numbers that depend on nothing but their arguments, so that a run continues, on any number of ranks, as if it
// had never stopped.
#pragma once
#include <cstdint>

namespace wkv::zoo {

// The finaliser of SplitMix64.
inline uint64_t random_bits(uint64_t seed, uint64_t index) {
  uint64_t z = seed * 0x9e3779b97f4a7c15 + index + 0x632be59bd9b4e019;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// In [0, 1).
inline double uniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace wkv::zoo
