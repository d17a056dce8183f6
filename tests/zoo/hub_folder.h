// A folder as another package keeps it, which a test may change before it is loaded.
#pragma once
#include <ATen/Functions.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::test {

using Json = nlohmann::ordered_json;
using Tensors = std::map<std::string, at::Tensor>;

inline Json json_of(const std::filesystem::path& path) { return Json::parse(std::ifstream(path)); }

inline at::Tensor some_logits(const std::string& path, const zoo::LoadOptions& options = {}) {
  return zoo::load_language_model(path, options)->forward(at::arange(18).view({2, 9})).logits;
}

struct HubFolder {
  HubFolder() = default;
  explicit HubFolder(const std::string& name)
      : tensors(Fixture(test::data(name) / "model.safetensors").with_prefix("")),
        config(json_of(test::data(name) / "config.json")) {}

  std::string write() const {
    zoo::write_safetensors(folder / "model.safetensors", {tensors.begin(), tensors.end()});
    std::ofstream(folder / "config.json") << config;
    return folder.path().string();
  }
  std::string error() const {
    try {
      zoo::load(write());
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  Tensors tensors;
  Json config = Json::object();
  ScratchFolder folder;
};

}  // namespace wkv::test
