// The packed_linear kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#if defined(__AVX512F__)  // here, AVX-512 is with the integer products: see packed_linear_kernels_here()
#pragma GCC target("avx512vnni")
#endif
#include "packed_linear/packed_linear_integer_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <PackedFormat kFormat, int kInputs>
void multiply_blocks(PackedBlocks blocks, const PackedInputs& x, float* sums) {
  // As many as the registers hold the sums of.
  constexpr int kFit = (kVectorBytes == 64 ? 16 : 8) / (kPackedVectors * kInputs), kTogether = kFit < 1 ? 1
                                                                                               : kFit < kPackedBlocks
                                                                                                   ? kFit
                                                                                                   : kPackedBlocks;
  for (; blocks.count >= kTogether; blocks.count -= kTogether) {
    IntegerProduct<kFormat, kTogether, kInputs>(blocks, x).multiply(sums);
    blocks.first += kTogether * blocks.block_bytes;
    sums += kTogether * kPackedRows;
  }
  for (; blocks.count > 0; --blocks.count) {
    IntegerProduct<kFormat, 1, kInputs>(blocks, x).multiply(sums);
    blocks.first += blocks.block_bytes;
    sums += kPackedRows;
  }
}

template <PackedFormat kFormat>
void multiply_packed(const PackedBlocks& blocks, const PackedInputs& x, float* sums) {
  switch (x.count) {
    case 1:
      return multiply_blocks<kFormat, 1>(blocks, x, sums);
    case 2:
      return multiply_blocks<kFormat, 2>(blocks, x, sums);
    case 4:
      return multiply_blocks<kFormat, 4>(blocks, x, sums);
    default:
      return multiply_blocks<kFormat, 8>(blocks, x, sums);
  }
}

template <class io_t>
void load_packed_linear_row(const void* row, int64_t offset, int64_t count, float* to) {
  load_row(row_of<io_t>(row, offset), count, to);
}
template <class io_t>
void store_packed_linear_row(const float* from, int64_t count, void* row, int64_t offset) {
  store_row(from, count, row_of<io_t>(row, offset));
}

}  // namespace

extern const PackedLinearKernels packed_linear_kernels = {
    {multiply_packed<PackedFormat::kInt8>, multiply_packed<PackedFormat::kInt4>},
    quantize_groups,
    {load_packed_linear_row<float>, nullptr, load_packed_linear_row<BFloat16>, load_packed_linear_row<Half>},
    {store_packed_linear_row<float>, nullptr, store_packed_linear_row<BFloat16>, store_packed_linear_row<Half>}};

}  // namespace wkv::WKV_ISA
