// A weight matrix [N, K] packed for decoding, where each weight is read once a token and the memory is the limit: the
// layout, and what the tensor entries (*_cpu.cpp) ask of the kernels (packed_linear_isa.cpp).
//
// A packed matrix is a uint8 tensor [N + 1, row bytes]. Its last row starts with the header, the rest are blocks of 16
// rows of the matrix (the last block may have fewer). A block is a sequence of lines, a line a dword for each of its
// rows: a vector of 16 outputs, so that sums over K need no sums over lanes. What the dwords of a row hold, low bits
// first:
//   int8   four weights / scale, signed; the last dword is the scale of the row, fp32
//   int4   for each 64 weights: the bf16 scales of the first and of the second 32; then eight dwords, of which each
//          holds eight indices into kInt4Weights: byte i the one of weight i and, in its upper half, of weight 4 + i
// Columns are padded to whole dwords (int4: to a multiple of 64) by zeros, or by weights whose x is zero.
// On the CPU a product rounds x to 8 bits, with a scale for every 32 columns: it then is of integers, four at a time,
// and its error is small beside that of the weights. Cost of a token: N * (row bytes), at the bandwidth of the memory.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

enum class PackedFormat : int64_t { kInt8, kInt4 };
inline constexpr int kPackedFormats = 2;
inline constexpr const char* kPackedFormatNames[kPackedFormats] = {"int8", "int4"};

inline constexpr int64_t kPackedRows = 16;     // of a block
inline constexpr int64_t kPackedColumns = 64;  // that x is padded to a multiple of
inline constexpr int64_t kPackedGroup = 32;    // columns that share a scale: of int4, and of x in bytes
inline constexpr int64_t kInt4Lines = 1 + kPackedColumns / 8;

// The 16 weights of int4, times the scale: those that leave the least error of normal and of long-tailed weights with a
// scale of either sign for every 32.
inline constexpr int8_t kInt4Weights[16] = {-125, -87, -65, -49, -35, -23, -12, -2, 7, 18, 29, 42, 56, 75, 98, 127};

// The lines of a block; Int is int64_t, or SymInt.
template <class Int>
Int packed_lines(PackedFormat format, const Int& columns) {
  return format == PackedFormat::kInt8 ? (columns + 3) / 4 + 1
                                       : (columns + kPackedColumns - 1) / kPackedColumns * kInt4Lines;
}

struct PackedHeader {
  static constexpr std::array<char, 8> kMagic{'w', 'k', 'v', 'p', 'a', 'c', 'k', '1'};
  std::array<char, 8> magic;
  PackedFormat format;
  int64_t rows, columns;
};

template <class Int>
Int packed_row_bytes(PackedFormat format, const Int& columns) {
  const Int bytes = packed_lines(format, columns) * 4;
  constexpr int64_t kLeast = sizeof(PackedHeader);
  return bytes < kLeast ? Int(kLeast) : bytes;
}

// The dwords of a row, in memory that need not be aligned: Byte is char or const char.
template <class Byte>
class PackedRow {
 public:
  PackedRow(Byte* packed, int64_t rows, int64_t row_bytes, int64_t row) {
    const int64_t first = row / kPackedRows * kPackedRows, left = rows - first;
    first_ = packed + first * row_bytes + (row - first) * 4;
    stride_ = (left < kPackedRows ? left : kPackedRows) * 4;
  }
  uint32_t get(int64_t line) const {
    uint32_t dword;
    std::memcpy(&dword, first_ + line * stride_, sizeof dword);
    return dword;
  }
  void put(int64_t line, uint32_t dword) const { std::memcpy(first_ + line * stride_, &dword, sizeof dword); }

 private:
  Byte* first_;
  int64_t stride_;
};

// Up to so many blocks are read side by side: each is a stream of its own, and one alone doesn't reach the bandwidth.
inline constexpr int kPackedBlocks = 4;
// ... and multiplied with so many rows of x.
inline constexpr int kPackedInputs = 8;
inline constexpr int kPackedSums = kPackedBlocks * kPackedRows;  // for each row of x

struct PackedBlocks {
  const char* first;
  int64_t count, block_bytes, lines;
};

// 32 columns of a row of x: x[i] * scale, and the sum of all x[i].
struct PackedGroup {
  int8_t x[kPackedGroup];
  float scale;
  int32_t sum;
};

// 1, 2, 4 or 8 rows of x, padded by zeros to a multiple of kPackedColumns.
struct PackedInputs {
  const PackedGroup* groups;  // [count][stride]
  int64_t count, stride;
};

struct PackedLinearKernels {
  // sums[i * kPackedSums + 16 b + r] = the row r of the block b times the row i of x, for up to kPackedBlocks blocks. A
  // sum has the same bits whatever is multiplied beside it.
  void (*multiply[kPackedFormats])(const PackedBlocks&, const PackedInputs&, float* sums);
  // A padded row of x in groups.
  void (*quantize)(const float* x, int64_t count, PackedGroup* groups);
  // A row of so many elements to fp32, padded to a whole vector by zeros; and back.
  void (*load_row[kIoTypes])(const void* row, int64_t offset, int64_t count, float* to);
  void (*store_row[kIoTypes])(const float* from, int64_t count, void* row, int64_t offset);
};

WKV_ISA_TABLE(PackedLinearKernels, packed_linear_kernels)

// Of this machine: those for AVX-512 need its integer products too, which came later.
inline const PackedLinearKernels& packed_linear_kernels_here() {
#ifdef WKV_HAVE_ISA_avx512
  if (cpu_isa() == Isa::kAvx512 && !__builtin_cpu_supports("avx512vnni")) return avx2::packed_linear_kernels;
#endif
  return packed_linear_kernels();
}

}  // namespace wkv
