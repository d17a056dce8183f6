// The packed_linear kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "packed_linear/packed_linear_multiply_isa.h"

namespace wkv::WKV_ISA {
namespace {

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
    {multiply_packed<PackedFormat::kFloat>, multiply_packed<PackedFormat::kBFloat16>,
     multiply_packed<PackedFormat::kInt8>, multiply_packed<PackedFormat::kInt4>},
    {load_packed_linear_row<float>, nullptr, load_packed_linear_row<BFloat16>, load_packed_linear_row<Half>},
    {store_packed_linear_row<float>, nullptr, store_packed_linear_row<BFloat16>, store_packed_linear_row<Half>}};

}  // namespace wkv::WKV_ISA
