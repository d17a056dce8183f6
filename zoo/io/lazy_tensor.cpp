#include "io/lazy_tensor.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "io/layout.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {

uint64_t LazyTensor::nbytes() const {
  return static_cast<uint64_t>(c10::multiply_integers(shape)) * c10::elementSize(dtype);
}

LazyTensor lazy(std::string name, at::Tensor tensor) {
  const auto dtype = tensor.scalar_type();
  return {std::move(name), dtype, tensor.sizes().vec(),
          [tensor = std::move(tensor)]() mutable { return std::move(tensor); }};
}

void check_writable(const std::filesystem::path& path, const std::vector<LazyTensor>& tensors) {
  std::set<std::string_view> names;
  for (const LazyTensor& tensor : tensors) {
    const auto refuse = [&](ErrorCode code, const std::string& why) {
      throw Error(code, fmt::format("{}: tensor \"{}\" {}", path.string(), printable(tensor.name), why));
    };
    if (tensor.name.empty() || tensor.name == "__metadata__")
      refuse(ErrorCode::invalid_argument, "has a name that the format does not allow");
    if (!names.insert(tensor.name).second) refuse(ErrorCode::invalid_argument, "is there twice");
    if (element_bytes(tensor.dtype) == 0) {
      refuse(ErrorCode::unsupported_format,
             fmt::format("has dtype {}, which is not written", c10::toString(tensor.dtype)));
    }
  }
}

void write_bytes_of(LazyTensor& tensor, const std::function<void(std::span<const std::byte>)>& write) {
  const at::Tensor value = std::exchange(tensor.value, nullptr)().detach().cpu().contiguous().resolve_neg();
  TORCH_INTERNAL_ASSERT(value.scalar_type() == tensor.dtype && value.sizes() == tensor.shape, tensor.name,
                        ": is not what its writer was told");
  write({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
}

}  // namespace wkv::zoo
