// Vision models as the published implementation has them: a fixture's weights, loaded as a user would from files.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::test {

inline bool has_golden(const std::string& name) { return std::filesystem::exists(golden(name + ".safetensors")); }

class GoldenVisionModel {
 public:
  // name: "vrwkv/tiny_prenorm_32x32". A test may change weights and config ahead of load().
  explicit GoldenVisionModel(const std::string& name)
      : fixture(golden(name + ".safetensors")),
        weights(fixture.with_prefix("w.")),
        config(nlohmann::json::parse(std::ifstream(golden(name + ".json"))).at("config")) {}

  std::string write() const {
    const std::filesystem::path path = folder_ / "model.safetensors";
    zoo::write_safetensors(path, {weights.begin(), weights.end()});
    return path.string();
  }
  template <typename Model = models::VisionModel>
  std::shared_ptr<Model> load(at::ScalarType dtype = at::kFloat) const {
    return std::dynamic_pointer_cast<Model>(zoo::load(write(), {.config = config.dump(), .dtype = dtype}));
  }
  const at::Tensor& images() const { return fixture["in.x"]; }

  Fixture fixture;
  std::map<std::string, at::Tensor> weights;
  nlohmann::json config;

 private:
  ScratchFolder folder_;
};

// Gradients of every parameter that the fixture has one of.
inline void expect_gradients(const torch::nn::Module& model, const std::map<std::string, at::Tensor>& expected,
                             double tolerance) {
  const auto parameters = model.named_parameters();
  for (const auto& [name, gradient] : expected) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), tolerance) << name;
  }
}

}  // namespace wkv::test
