// The walk along neighbouring blocks of a packed matrix, side by side. To be included by *_isa.h files only.
#pragma once
#include "packed_linear/packed_linear_weights_isa.h"

namespace wkv::WKV_ISA {

inline constexpr int64_t kLineBytes = kPackedRows * 4;
inline constexpr int kPackedVectors = kLineBytes / kVectorBytes;  // of a line

// The vector v of a line of the block b.
inline const char* line_of(const PackedBlocks& blocks, int b, int v, int64_t line) {
  return blocks.first + b * blocks.block_bytes + line * kLineBytes + v * kVectorBytes;
}

// Sums for kBlocks blocks and kInputs rows of x.
template <class V, int kBlocks, int kInputs>
struct PackedSums {
  V of[kBlocks][kPackedVectors][kInputs] = {};
};

// Calls product.step(line, ahead) for every Product::kStep lines of kBlocks blocks. `ahead`, in bytes, is where to
// prefetch for a line: some 2 KB further in the same block; at its end, in the one that will be read after these.
template <int kBlocks, class Product>
[[gnu::always_inline]] inline void walk_blocks(const PackedBlocks& blocks, int64_t lines, Product& product) {
  constexpr int64_t kLinesAhead = 32;
  const int64_t near = lines > kLinesAhead ? (lines - kLinesAhead) / Product::kStep * Product::kStep : 0;
  for (int64_t line = 0; line < lines;) {
    const bool next_blocks = line >= near;
    const int64_t end = next_blocks ? lines : near,
                  ahead = kLinesAhead * kLineBytes + (next_blocks ? (kBlocks - 1) * blocks.block_bytes : 0);
    for (; line < end; line += Product::kStep) product.step(line, ahead);
  }
}

}  // namespace wkv::WKV_ISA
