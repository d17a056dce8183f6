#include "mapping/quantization.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/printable.h"
#include "mapping/checkpoint.h"
#include "wkv/error.h"
#include "wkv/ops.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {

QuantizedMatrix quantized_matrix(const TensorEntry& entry, const std::string& path) {
  try {
    const ops::PackedMatrix matrix = ops::packed_matrix(as_tensor(entry));
    return {{matrix.rows, matrix.columns}, matrix.format};
  } catch (const std::exception& error) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {} is no quantised matrix: {}", path, printable(entry.name), error.what()));
  }
}

std::string wanted_quantization(const Checkpoint& checkpoint, const std::string& asked,
                                const std::optional<c10::ScalarType>& dtype) {
  const std::string& own = checkpoint.quantization();
  if (asked.empty()) return dtype ? "" : own;
  if (!own.empty() && own != asked) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: its matrices are {} already: ask for {}, for fp32 or bf16, or start from the original",
                            checkpoint.path(), own, own));
  }
  return asked;
}

}  // namespace wkv::zoo
