// What loading a model from a damaged or hostile checkpoint may do: give a model, or throw wkv::Error; and never take
// the memory that a shape claims before the other shapes have proven it.
#include <gtest/gtest.h>

#include "damage.h"
#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"
#include "wkv/zoo/load.h"

namespace wkv::test {
namespace {

struct RawTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using RawTensors = std::map<std::string, RawTensor>;

// The weights of a golden file, as they stand in it.
RawTensors weights_of(const std::filesystem::path& path) {
  RawTensors weights;
  for (const auto& entry : zoo::open_tensors(path).entries) {
    if (!entry.name.starts_with("w.")) continue;
    int64_t bytes = entry.dtype == at::kDouble ? 8 : entry.dtype == at::kFloat ? 4 : 2;
    const char* dtype = bytes == 8 ? "F64" : bytes == 4 ? "F32" : "BF16";
    for (const int64_t size : entry.shape) bytes *= size;
    weights[entry.name.substr(2)] = {
        dtype, entry.shape, {reinterpret_cast<const char*>(entry.data), static_cast<size_t>(bytes)}};
  }
  return weights;
}

std::string file_of(const RawTensors& tensors) {
  std::string header, data;
  for (const auto& [name, tensor] : tensors) {
    header += (header.empty() ? "{\"" : ",\"") + name + R"(":{"dtype":")" + tensor.dtype + R"(","shape":[)";
    for (size_t i = 0; i < tensor.shape.size(); ++i) header += (i ? "," : "") + std::to_string(tensor.shape[i]);
    header += R"(],"data_offsets":[)" + std::to_string(data.size()) + ",";
    data += tensor.bytes;
    header += std::to_string(data.size()) + "]}";
  }
  return safetensors_file(header + "}", data);
}

// Of the blocks, the first two stand for all.
bool is_of_a_later_block(const std::string& name) {
  for (const char* blocks : {"blocks.", "layers."}) {
    const size_t at = name.find(blocks);
    if (at != name.npos && name[at + 7] > '1' && name[at + 7] <= '9') return true;
  }
  return false;
}

// Loads it if it can be.
void try_to_load(const std::filesystem::path& path, const zoo::LoadOptions& options, const std::string& what) {
  try {
    zoo::load(path.string(), options);
  } catch (const Error&) {
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

class DamagedModel : public testing::TestWithParam<const char*> {
 protected:
  DamagedModel() : weights_(weights_of(path(".safetensors"))), options_{.config = path(".json").string()} {}
  static std::filesystem::path path(const std::string& suffix) { return test::data(GetParam() + suffix); }

  ScratchFolder folder_;
  RawTensors weights_;
  zoo::LoadOptions options_;
};

TEST_P(DamagedModel, is_loaded_where_nothing_is_damaged) {
  EXPECT_NO_THROW(zoo::load(write_bytes(folder_ / "a", file_of(weights_)).string(), options_));
}

// One tensor has one dimension of up to 2^18, and zeros for it: other tensors would need that squared.
TEST_P(DamagedModel, a_tensor_that_claims_more_takes_no_memory) {
  constexpr int64_t kElements = 1 << 18;
  for (const auto& [name, tensor] : weights_) {
    if (is_of_a_later_block(name)) continue;
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      RawTensors lying = weights_;
      int64_t others = 1;
      for (size_t j = 0; j < tensor.shape.size(); ++j) others *= i == j ? 1 : tensor.shape[j];
      RawTensor& changed = lying[name];
      changed.dtype = "BF16";
      changed.shape[i] = std::max<int64_t>(1, kElements / others);
      changed.bytes.assign(static_cast<size_t>(changed.shape[i] * others) * 2, '\0');
      const std::string file = file_of(lying), what = name + ", dimension " + std::to_string(i);
      write_bytes(folder_ / "a", file);
      expect_little_memory(file.size(), what, [&] { try_to_load(folder_ / "a", options_, what); });
    }
  }
}

TEST_P(DamagedModel, a_missing_tensor_or_dimension_is_refused_by_wkv_error) {
  for (const auto& [name, tensor] : weights_) {
    if (is_of_a_later_block(name)) continue;
    RawTensors lying = weights_;
    lying.erase(name);
    try_to_load(write_bytes(folder_ / "a", file_of(lying)), options_, "without " + name);
    lying[name] = {"F32", {}, "1234"};
    try_to_load(write_bytes(folder_ / "a", file_of(lying)), options_, name + " as one number");
    lying[name] = {"F32", {1, 1, 1, 1, 1}, "1234"};
    try_to_load(write_bytes(folder_ / "a", file_of(lying)), options_, name + " of five dimensions");
    lying[name] = {"F32", std::vector<int64_t>(tensor.shape.size(), 0), ""};
    try_to_load(write_bytes(folder_ / "a", file_of(lying)), options_, name + " of nothing");
  }
}

TEST_P(DamagedModel, a_flipped_byte_of_the_header_crashes_no_loader) {
  const std::string whole = file_of(weights_);
  const size_t header = whole.find("}}") + 2;
  for_each_flipped_byte(
      std::string_view(whole).substr(0, header),
      [&](const std::string& damaged, const std::string& what) {
        try_to_load(write_bytes(folder_ / "a", damaged + whole.substr(header)), options_, what);
      },
      /*step=*/61);
}

INSTANTIATE_TEST_SUITE_P(Families, DamagedModel,
                         testing::Values("rwkv4/tiny_att", "rwkv4/preffn_headqk", "rwkv5/v50_faaaa", "rwkv5/v52_div1",
                                         "rwkv6/x060b", "rwkv7/tiny", "based/tiny_f8_w6",
                                         "multi_temporal_rwkv/lm_p3_ffnpre", "rrwkv/lm_s4", "transformer/tiny",
                                         "vrwkv/small_postnorm_layerscale_32x32", "vrwkv6/tiny_prenorm_hd16_32x32",
                                         "rwkv_clip/tiny_cls"),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::ranges::replace(name, '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace wkv::test
