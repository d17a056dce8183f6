// Other packages' layouts: a folder that they wrote gives their logits, and what is no model of ours is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <regex>

#include "hub_folder.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

// --- folders that the packages wrote: flash-linear-attention 0.6.0, all parameters at random, logits computed in fp64
// by its reference functions ---

class FlaFolder : public testing::TestWithParam<std::string> {
 protected:
  std::string name = "hub_layouts/" + GetParam(), path = test::data(name).string();
};

TEST_P(FlaFolder, gives_the_logits_of_the_package) {
  const Fixture expected(test::data(name) / "expected.safetensors");
  const auto model = zoo::load_language_model(path);
  EXPECT_LT(absolute_error(model->forward(expected["in.tokens"]).logits, expected["out.logits"]), 1e-5);
}

TEST_P(FlaFolder, has_only_known_configuration_keys) {
  EXPECT_THAT(zoo::describe(path).unknown_config_keys, testing::IsEmpty());
}

TEST_P(FlaFolder, may_be_sharded) {
  const HubFolder whole(name);
  const ScratchFolder shards;
  std::vector<std::pair<std::string, at::Tensor>> parts[2];
  Json map;
  for (const auto& [tensor, values] : whole.tensors) {
    const size_t shard = map.size() % 2;
    parts[shard].emplace_back(tensor, values);
    map[tensor] = "model-" + std::to_string(shard) + ".safetensors";
  }
  for (const size_t i : {0, 1})
    zoo::write_safetensors(shards / ("model-" + std::to_string(i) + ".safetensors"), parts[i]);
  std::ofstream(shards / "model.safetensors.index.json") << Json{{"weight_map", map}};
  std::ofstream(shards / "config.json") << whole.config;
  EXPECT_TRUE(at::equal(some_logits(shards.path().string()), some_logits(path)));
}

INSTANTIATE_TEST_SUITE_P(HubLayout, FlaFolder, testing::Values("rwkv6_fla", "rwkv7_fla"),
                         [](const auto& folder) { return folder.param; });

TEST(FlaFolder, of_an_older_version_has_its_mixes_in_one_tensor) {
  HubFolder folder("hub_layouts/rwkv7_fla");
  const at::Tensor expected = some_logits(folder.write());
  for (const std::string block : {"model.layers.0.attn.", "model.layers.1.attn."}) {
    std::vector<at::Tensor> mixes;
    for (const char* mix : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"})
      mixes.push_back(folder.tensors.extract(block + mix).mapped().flatten());
    folder.tensors[block + "x_x"] = at::stack(mixes);
  }
  EXPECT_TRUE(at::equal(some_logits(folder.write()), expected));
}

TEST(FlaFolder, of_a_divisor_is_the_same_model_read_with_it_and_without) {
  HubFolder folder("hub_layouts/rwkv6_fla");
  const at::Tensor without = some_logits(folder.write());
  folder.config["head_size_divisor"] = 8;
  EXPECT_LT(absolute_error(some_logits(folder.write()), without), 2e-6);
}

// The code in the hub's own repositories: {fixture, part of a name here, part of a name there}.
TEST(CustomCodeFolder, has_the_published_tensors_under_other_names) {
  const std::pair<const char*, const char*> names[] = {
      {"^emb\\.", "rwkv.embeddings."}, {"^blocks\\.", "rwkv.blocks."},    {"^ln_out\\.", "rwkv.ln_out."},
      {"\\.ln0\\.", ".pre_ln."},       {"\\.att\\.", ".attention."},      {"\\.ffn\\.", ".feed_forward."},
      {"time_mix_k$", "time_mix_key"}, {"time_mix_v$", "time_mix_value"}, {"time_mix_r$", "time_mix_receptance"},
      {"time_mix_g$", "time_mix_gate"}};
  for (const std::string fixture : {"rwkv5/v52_div1", "rwkv6/state-tuning"}) {
    HubFolder folder;
    folder.config = {{"model_type", fixture.substr(0, 5)}, {"layer_norm_epsilon", 1e-5}};
    folder.tensors = Fixture(test::data(fixture + ".safetensors")).with_prefix("w.");
    std::erase_if(folder.tensors, [](const auto& tensor) { return tensor.first.ends_with("time_state"); });
    const at::Tensor expected = some_logits(folder.write());
    Tensors renamed;
    for (const auto& [name, tensor] : folder.tensors) {
      std::string theirs = name;
      for (const auto& [here, there] : names) theirs = std::regex_replace(theirs, std::regex(here), there);
      renamed[theirs] = tensor;
    }
    folder.tensors = renamed;
    EXPECT_TRUE(at::equal(some_logits(folder.write()), expected)) << fixture;
  }
}

TEST(PrefixedFolder, has_the_published_names_behind_a_prefix) {
  const Tensors published = Fixture(test::data("rwkv7/tiny.safetensors")).with_prefix("w.");
  HubFolder folder;
  folder.tensors = published;
  const at::Tensor expected = some_logits(folder.write());
  for (const std::string prefix : {"rwkv7.", "model."}) {
    folder.tensors.clear();
    for (const auto& [name, tensor] : published) {
      const std::string theirs = name == "emb.weight" ? "embeddings.weight" : name;
      folder.tensors[name == "head.weight" ? name : prefix + theirs] = tensor;
    }
    EXPECT_TRUE(at::equal(some_logits(folder.write()), expected)) << prefix;
  }
}

// --- folders that are refused ---

struct BadFolder {
  std::string what, folder;
  std::function<void(HubFolder&)> edit;
  std::string message;
};
std::ostream& operator<<(std::ostream& out, const BadFolder& bad) { return out << bad.what; }

BadFolder with_key(const std::string& folder, const std::string& key, const Json& value, const std::string& message) {
  return {folder + "_" + key, folder, [=](HubFolder& f) { f.config[key] = value; }, message};
}

BadFolder with_shape(const std::string& what, const std::string& folder, const std::string& name,
                     const std::vector<int64_t>& shape, const std::string& message) {
  return {what, folder, [=](HubFolder& f) { f.tensors["model.layers.1.attn." + name] = at::zeros(shape); }, message};
}

class HubFolderRefuses : public testing::TestWithParam<BadFolder> {};

TEST_P(HubFolderRefuses, with_the_reason) {
  HubFolder folder("hub_layouts/" + GetParam().folder);
  GetParam().edit(folder);
  EXPECT_THAT(folder.error(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    HubLayout, HubFolderRefuses,
    testing::Values(
        with_key("rwkv7_fla", "attn", {{"layers", {0}}}, R"(attn is {"layers":[0]}: not supported)"),
        with_key("rwkv7_fla", "model_type", "gla", R"(model_type is "gla": not supported)"),
        with_key("rwkv7_fla", "hidden_act", "relu", "hidden_act"),
        with_key("rwkv7_fla", "norm_bias", false, "norm_bias is false"),
        with_key("rwkv7_fla", "norm_eps", 1e-6, "norm_eps must be 1e-05"),
        with_key("rwkv7_fla", "norm_first", false, "norm_first is false, but the tensors say true"),
        with_key("rwkv7_fla", "tie_word_embeddings", true, "tie_word_embeddings"),
        with_key("rwkv7_fla", "head_dim", 16, "head_dim is 16, but the tensors say 8"),
        with_key("rwkv7_fla", "value_dim", {16, 32}, "value_dim is 32: not supported"),
        with_key("rwkv6_fla", "hidden_size", 17, "hidden_size is 17, but the tensors say 16"),
        with_key("rwkv6_fla", "expand_k", 0.5, "expand_k is 0.5: not supported"),
        with_key("rwkv6_fla", "head_size_divisor", 3, "head_size_divisor must be a power of two"),
        with_shape("mixes_in_one", "rwkv7_fla", "x_x", {5, 16}, "x_x must be [6, 16]"),
        with_shape("mixes_twice", "rwkv7_fla", "x_x", {6, 16}, "two tensors are called blocks.1.att.x_"),
        with_shape("low_rank_vector", "rwkv7_fla", "w_lora.lora.0.weight", {16}, "must have 2 dimensions"),
        with_shape("unknown", "rwkv7_fla", "q_proj.weight", {16, 16}, "unexpected: model.layers.1.attn.q_proj.weight"),
        with_shape("biases", "rwkv6_fla", "x_bias", {4, 16}, "x_bias must be [5, 16]"),
        with_shape("ranks", "rwkv6_fla", "x_proj.0.linear.weight", {19, 16}, "a rank for each of 5 mixes, got 19"),
        with_shape("up", "rwkv6_fla", "x_proj.2.weight", {20, 16}, "x_proj.2.weight must be [16, 20]"),
        BadFolder{"another_model", "rwkv6_fla",
                  [](HubFolder& f) {
                    f.tensors = {{"model.layers.0.attn.q_proj.weight", at::zeros({16, 16})}};
                    f.config["model_type"] = "gla";
                  },
                  "(model_type gla): not supported"}),
    [](const auto& bad) { return bad.param.what; });

}  // namespace
}  // namespace wkv::test
