// By carry-less multiplication where the processor has it, as fast as memory can be read; else slicing by 8.
#include "io/crc32.h"

#include <array>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace wkv::zoo {
namespace {

constexpr uint32_t kCrcPolynomial = 0xEDB88320u;  // reflected: bit i of a word is the coefficient of x^(31 - i)

constexpr uint32_t crc_times_x(uint32_t value) { return value >> 1 ^ (value & 1 ? kCrcPolynomial : 0u); }

// Table k holds the effect of a byte that is followed by k zero bytes, so 8 bytes cost 8 independent look-ups.
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc_times_x(crc);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t previous = tables[k - 1][byte];
      tables[k][byte] = previous >> 8 ^ tables[0][previous & 0xFF];
    }
  return tables;
}

constexpr CrcTables kCrcTables = make_crc_tables();

uint32_t crc_by_tables(uint32_t crc, std::span<const std::byte> bytes) {
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    word ^= crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kCrcTables[7 - i][word >> (8 * i) & 0xFF];
  }
  for (const std::byte byte : bytes) crc = crc >> 8 ^ kCrcTables[0][(crc ^ static_cast<uint32_t>(byte)) & 0xFF];
  return crc;
}

#ifdef __x86_64__

constexpr size_t kCrcLane = 16, kCrcLanes = 4;

// The factor that moves 8 bytes forward by `bits`: x^(bits - 1) modulo the polynomial, reflected in 64 bits. The
// instruction's product of reflected words brings the factor x that is left out here.
constexpr long long crc_factor(int bits) {
  uint32_t power = 0x80000000u;  // x^0
  for (int i = 1; i < bits; ++i) power = crc_times_x(power);
  return static_cast<long long>(uint64_t{power} << 32);
}

// A lane, moved forward by `bits` onto `next`. Its first 8 bytes lie 64 bits farther from the end.
template <int bits>
__attribute__((target("pclmul"))) __m128i crc_fold(__m128i lane, __m128i next) {
  constexpr long long kFirst = crc_factor(bits + 64), kSecond = crc_factor(bits);
  const __m128i factors = _mm_set_epi64x(kSecond, kFirst);
  return _mm_xor_si128(
      next, _mm_xor_si128(_mm_clmulepi64_si128(lane, factors, 0x00), _mm_clmulepi64_si128(lane, factors, 0x11)));
}

// Folds all whole blocks of the four lanes into 16 bytes that have the same remainder, and takes them off `bytes`.
__attribute__((target("pclmul"))) uint32_t crc_by_folding(uint32_t crc, std::span<const std::byte>& bytes) {
  const auto load = [&](size_t lane) __attribute__((target("pclmul"))) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes.data() + lane * kCrcLane));
  };
  constexpr int kLaneBits = 8 * kCrcLane;
  constexpr size_t kBlock = kCrcLane * kCrcLanes;
  __m128i lanes[kCrcLanes] = {_mm_xor_si128(load(0), _mm_cvtsi32_si128(static_cast<int>(crc))), load(1), load(2),
                              load(3)};
  for (bytes = bytes.subspan(kBlock); bytes.size() >= kBlock; bytes = bytes.subspan(kBlock))
    for (size_t i = 0; i < kCrcLanes; ++i) lanes[i] = crc_fold<kLaneBits * kCrcLanes>(lanes[i], load(i));
  for (size_t i = 1; i < kCrcLanes; ++i) lanes[i] = crc_fold<kLaneBits>(lanes[i - 1], lanes[i]);
  return crc_by_tables(0, std::as_bytes(std::span(&lanes[kCrcLanes - 1], 1)));
}

#endif

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes) {
  uint32_t crc = 0xFFFFFFFFu;
#ifdef __x86_64__
  if (bytes.size() >= kCrcLane * kCrcLanes && __builtin_cpu_supports("pclmul")) crc = crc_by_folding(crc, bytes);
#endif
  return ~crc_by_tables(crc, bytes);
}

}  // namespace wkv::zoo
