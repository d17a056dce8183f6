// Choices for structure-aware mutators, and libFuzzer's own mutations on strings.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace wkv::fuzz {

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}

  size_t below(size_t count) { return count > 0 ? random_() % count : 0; }
  bool one_in(size_t count) { return below(count) == 0; }
  template <typename list_t>
  auto& pick(list_t& list) {
    return list[below(std::size(list))];
  }
  // One of the numbers at which sizes, products and sums of them go wrong.
  int64_t number() {
    constexpr int64_t kEdges[] = {0,
                                  1,
                                  2,
                                  3,
                                  4,
                                  8,
                                  64,
                                  255,
                                  256,
                                  65535,
                                  65536,
                                  INT32_MAX,
                                  INT64_C(1) << 31,
                                  UINT32_MAX,
                                  INT64_C(1) << 32,
                                  INT64_C(1) << 40,
                                  INT64_C(1) << 61,
                                  INT64_C(1) << 62,
                                  INT64_MAX,
                                  -1};
    return one_in(4) ? static_cast<int64_t>(below(1000)) : pick(kEdges);
  }

 private:
  std::minstd_rand random_;
};

// What libFuzzer makes of the bytes, `growth` more of them at most.
inline std::string mutate_bytes(std::string bytes, size_t growth) {
  const size_t size = bytes.size();
  bytes.resize(size + std::max<size_t>(growth, 1));
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
  return bytes;
}

// The body of LLVMFuzzerCustomMutator. mutate: (file, dice) -> file; a third of the time libFuzzer's own mutation is
// used instead.
template <typename mutate_t>
size_t mutate_input(uint8_t* data, size_t size, size_t max_size, unsigned seed, const mutate_t& mutate) {
  Dice dice(seed);
  if (dice.one_in(3)) return LLVMFuzzerMutate(data, size, max_size);
  const std::string file = mutate(std::string(reinterpret_cast<const char*>(data), size), dice);
  const size_t kept = std::min(file.size(), max_size);
  std::memcpy(data, file.data(), kept);
  return kept;
}

}  // namespace wkv::fuzz
