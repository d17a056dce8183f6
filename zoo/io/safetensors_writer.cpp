// write_safetensors: the header is known before any data, so tensors are streamed one at a time.
#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/safetensors_dtype.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

using NamedTensor = std::pair<std::string, at::Tensor>;

void check_writable(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    const auto refuse = [&, &shown = name](ErrorCode code, std::string_view why) {
      throw Error(code, fmt::format("{}: tensor \"{}\" {}", path.string(), printable(shown), why));
    };
    if (name.empty() || name == "__metadata__")
      refuse(ErrorCode::invalid_argument, "has a name that the format does not allow");
    if (!names.insert(name).second) refuse(ErrorCode::invalid_argument, "is there twice");
    if (!tensor.defined()) refuse(ErrorCode::invalid_argument, "is undefined");
    if (tensor.layout() != c10::kStrided) refuse(ErrorCode::unsupported_format, "is sparse: write a dense tensor");
    if (tensor.is_meta()) refuse(ErrorCode::invalid_argument, "has no data (device meta)");
    if (safetensors_dtype_name(tensor.scalar_type()).empty())
      refuse(ErrorCode::unsupported_format,
             fmt::format("has dtype {}, which is not written", c10::toString(tensor.scalar_type())));
  }
}

std::string safetensors_header(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", safetensors_dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
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

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(path, tensors);
  std::vector<NamedTensor> sorted = tensors;  // handles, not data
  std::ranges::sort(sorted, [](const NamedTensor& a, const NamedTensor& b) {
    return std::tuple(-a.second.element_size(), std::string_view(a.first)) <
           std::tuple(-b.second.element_size(), std::string_view(b.first));
  });
  const std::string header = safetensors_header(path, sorted, metadata);
  const uint64_t length = header.size();

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(header);
  for (const auto& [name, tensor] : sorted) {
    const at::Tensor plain = tensor.detach().cpu().contiguous().resolve_neg();
    file.write(plain.const_data_ptr(), plain.nbytes());
  }
  file.commit();
}

}  // namespace wkv::zoo
