// A fixture's weights as a checkpoint that a test may change before it loads it.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "models/model_cases.h"

namespace wkv::test {

struct EditedCheckpoint {
  // fixture: "rwkv6/tiny"
  explicit EditedCheckpoint(const std::string& fixture)
      : weights(Fixture(test::golden(fixture + ".safetensors")).with_prefix("w.")) {}

  std::string write() const {
    const std::filesystem::path path = folder / "model.safetensors";
    zoo::write_safetensors(path, {weights.begin(), weights.end()});
    return path.string();
  }
  std::shared_ptr<models::LanguageModel> load(const std::string& config = "{}") const {
    return zoo::load_language_model(write(), {.config = config});
  }
  template <typename Model>
  auto options(const std::string& config = "{}") const {
    return std::dynamic_pointer_cast<Model>(load(config))->options();
  }

  std::map<std::string, at::Tensor> weights;
  ScratchFolder folder;
};

}  // namespace wkv::test
