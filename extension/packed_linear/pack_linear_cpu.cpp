// _pack_linear and _unpack_linear on the CPU: rows are taken as fp32 and packed one by one; see packed_rows.h.
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <atomic>
#include <string>

#include "core/scratch.h"
#include "core/stable.h"
#include "packed_linear/pack_linear.h"
#include "packed_linear/packed_linear_check.h"
#include "packed_linear/packed_rows.h"

namespace wkv {
namespace {

int64_t padded_columns(int64_t columns) { return (columns + kPackedColumns - 1) / kPackedColumns * kPackedColumns; }

// Asks for large pages, of which a walk through much memory needs fewer translations. It doesn't matter whether there
// are any.
void advise_huge_pages([[maybe_unused]] char* memory, [[maybe_unused]] int64_t bytes) {
#ifdef __linux__
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  const auto begin = (reinterpret_cast<uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage,
             end = (reinterpret_cast<uintptr_t>(memory) + static_cast<uintptr_t>(bytes)) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace

Tensor pack_linear_cpu(Tensor weight, std::string format_name) {
  const char* const op = "_pack_linear";
  const PackedFormat format = packed_format(op, format_name);
  check_pack_linear(op, weight);
  weight = as_contiguous(weight);
  const int64_t rows = weight.size(0), columns = weight.size(1), row_bytes = packed_row_bytes(format, columns);
  Tensor packed = new_empty(weight, {rows + 1, row_bytes}, ScalarType::Byte);
  auto* const bytes = static_cast<char*>(packed.mutable_data_ptr());
  advise_huge_pages(bytes, (rows + 1) * row_bytes);

  const auto load_row = packed_linear_kernels_here().load_row[static_cast<int>(io_type(weight))];
  const void* const weights = weight.const_data_ptr();
  std::atomic<bool> finite = true;
  parallel_for(0, (rows + kPackedRows - 1) / kPackedRows, /*grain=*/1, [&](int64_t first, int64_t last) {
    const Scratch scratch((padded_columns(columns) + kPackedColumns) * 4);
    auto* const row = reinterpret_cast<float*>(scratch.get());
    for (int64_t i = first * kPackedRows; i < std::min(last * kPackedRows, rows); ++i) {
      std::fill(row + columns, row + padded_columns(columns), 0.0f);
      load_row(weights, i * columns, columns, row);
      if (!std::all_of(row, row + columns, [](float x) { return std::isfinite(x); })) finite = false;
      if (finite) pack_row(format, row, columns, PackedRow<char>(bytes, rows, row_bytes, i));
    }
  });
  if (!finite) fail(op, ": weight must be finite for the format ", format_name);

  const PackedHeader header{PackedHeader::kMagic, format, rows, columns};
  std::memset(bytes + rows * row_bytes, 0, static_cast<size_t>(row_bytes));
  std::memcpy(bytes + rows * row_bytes, &header, sizeof header);
  return packed;
}

namespace {

Tensor unpack_linear_cpu(Tensor packed, ScalarType dtype) {
  const char* const op = "_unpack_linear";
  check_packed(op, packed);
  if (dtype != ScalarType::Float && dtype != ScalarType::BFloat16 && dtype != ScalarType::Half) {
    fail(op, ": dtype must be float32, bfloat16 or float16");
  }
  packed = as_contiguous(packed);
  const int64_t rows = packed.size(0) - 1, row_bytes = packed.size(1);
  const auto* const bytes = static_cast<const char*>(packed.const_data_ptr());
  const PackedHeader header = packed_header(op, bytes + rows * row_bytes, rows, row_bytes);
  Tensor weight = new_empty(packed, {rows, header.columns}, dtype);
  void* const weights = weight.mutable_data_ptr();
  const auto store_row = packed_linear_kernels_here().store_row[static_cast<int>(io_type(weight))];
  parallel_for(0, rows, /*grain=*/kPackedRows, [&](int64_t first, int64_t last) {
    const Scratch scratch((padded_columns(header.columns) + kPackedColumns) * 4);
    auto* const row = reinterpret_cast<float*>(scratch.get());
    for (int64_t i = first; i < last; ++i) {
      unpack_row(header.format, PackedRow<const char>(bytes, rows, row_bytes, i), header.columns, row);
      store_row(row, header.columns, weights, i * header.columns);
    }
  });
  return weight;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_pack_linear", TORCH_BOX(&wkv::pack_linear_cpu));
  m.impl("_unpack_linear", TORCH_BOX(&wkv::unpack_linear_cpu));
}
