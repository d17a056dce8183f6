// write_safetensors: the header is known before any data, so tensors are streamed one at a time.
#include "io/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/safetensors_dtype.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

std::string safetensors_header(const std::filesystem::path& path, const std::vector<LazyTensor>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const LazyTensor& tensor : tensors) {
    const uint64_t end = offset + tensor.nbytes();
    header[tensor.name] = {
        {"dtype", safetensors_dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  try {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begin at a multiple of 8
    return text;
  } catch (const nlohmann::json::type_error&) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: names and metadata must be valid UTF-8", path.string()));
  }
}

LazyTensor checked_tensor(const std::filesystem::path& path, const std::string& name, const at::Tensor& tensor) {
  const auto refuse = [&](ErrorCode code, const char* why) {
    throw Error(code, fmt::format("{}: tensor \"{}\" {}", path.string(), printable(name), why));
  };
  if (!tensor.defined()) refuse(ErrorCode::invalid_argument, "is undefined");
  if (tensor.layout() != c10::kStrided) refuse(ErrorCode::unsupported_format, "is sparse: write a dense tensor");
  if (tensor.is_meta()) refuse(ErrorCode::invalid_argument, "has no data (device meta)");
  return lazy(name, tensor);
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::vector<LazyTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(path, tensors);
  std::ranges::sort(tensors, [](const LazyTensor& a, const LazyTensor& b) {
    return std::tuple(-c10::elementSize(a.dtype), std::string_view(a.name)) <
           std::tuple(-c10::elementSize(b.dtype), std::string_view(b.name));
  });
  const std::string header = safetensors_header(path, tensors, metadata);
  const uint64_t length = header.size();

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(header);
  for (LazyTensor& tensor : tensors)
    write_bytes_of(tensor, [&](std::span<const std::byte> bytes) { file.write(bytes.data(), bytes.size()); });
  file.commit();
}

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<LazyTensor> checked;
  for (const auto& [name, tensor] : tensors) checked.push_back(checked_tensor(path, name, tensor));
  write_safetensors(path, std::move(checked), metadata);
}

}  // namespace wkv::zoo
