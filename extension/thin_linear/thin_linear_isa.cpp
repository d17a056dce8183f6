// The thin_linear kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "thin_linear/thin_linear_rows_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
void load_thin_row(const void* row, int64_t offset, int64_t count, float* to) {
  load_row(row_of<io_t>(row, offset), count, to);
}
template <class io_t>
void store_thin_row(const float* from, int64_t count, void* row, int64_t offset) {
  store_row(from, count, row_of<io_t>(row, offset));
}

template <class io_t>
constexpr ThinKernels thin_kernels_for() {
  return {multiply_thin_rows<io_t>, load_thin_row<io_t>, store_thin_row<io_t>};
}

}  // namespace

extern const ThinKernelTable thin_kernels = {
    {thin_kernels_for<float>(), {}, thin_kernels_for<BFloat16>(), thin_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
