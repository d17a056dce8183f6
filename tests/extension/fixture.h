// The tensors of a fixture: a safetensors file under tests/data, by name. Trusts the file, which is ours.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/data.h"

namespace wkv::test {

using Fixture = std::map<std::string, at::Tensor>;

inline Fixture load_fixture(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
  static const std::map<std::string, at::ScalarType> kDtypes = {
      {"F64", at::kDouble}, {"F32", at::kFloat}, {"BF16", at::kBFloat16}, {"F16", at::kHalf}, {"I64", at::kLong}};
  Fixture fixture;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const at::ScalarType dtype = kDtypes.at(entry["dtype"]);
    at::Tensor tensor = at::empty(entry["shape"].get<std::vector<int64_t>>(), at::TensorOptions().dtype(dtype));
    std::memcpy(tensor.mutable_data_ptr(), bytes.data() + 8 + header_size + entry["data_offsets"][0].get<size_t>(),
                tensor.nbytes());
    fixture[name] = tensor;
  }
  return fixture;
}

// The files of tests/data/<folder>, and of those too large to carry along the ones that this machine has; both are
// opened by golden("<folder>/<name>.safetensors").
inline std::vector<std::string> fixture_names(const std::string& folder, const std::vector<std::string>& large = {}) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test::data(folder))) {
    if (entry.path().extension() == ".safetensors") names.push_back(entry.path().stem());
  }
  for (const std::string& name : large) {
    if (std::filesystem::exists(golden(folder + "/" + name + ".safetensors"))) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace wkv::test
