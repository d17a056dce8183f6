// From one family to another: what the result computes, and what is refused, with nothing written.
#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;
using Weights = std::map<std::string, at::Tensor>;

class Convert : public testing::Test {
 protected:
  std::string write(const Weights& weights) {
    zoo::write_safetensors(folder / "base.safetensors", {weights.begin(), weights.end()});
    return (folder / "base.safetensors").string();
  }
  static Weights weights_of(const std::string& fixture, const std::string& prefix = "w.") {
    return Fixture(test::data(fixture)).with_prefix(prefix);
  }
  std::string error(const std::string& source, const zoo::ConvertOptions& options) {
    try {
      zoo::convert(source, output, options);
    } catch (const Error& e) {
      EXPECT_FALSE(std::filesystem::exists(output));
      return e.what();
    }
    return "no error";
  }
  static at::Tensor logits(const std::string& path) {
    return zoo::load_language_model(path)->forward(at::arange(30).view({2, 15})).logits;
  }

  ScratchFolder folder;
  std::string output = (folder / "converted.safetensors").string();
};

TEST_F(Convert, to_multi_temporal_makes_the_tensors_of_the_published_trainer) {
  const Fixture fixture(test::data("multi_temporal_rwkv/upcycle.safetensors"));
  zoo::convert(write(fixture.with_prefix("base.")), output, {.to = "multi-temporal", .perspectives = 4});
  const auto model = zoo::load_language_model(output);
  EXPECT_EQ(model->family(), "multi_temporal_rwkv");
  EXPECT_LT(absolute_error(model->forward(fixture["in.idx"]).logits, fixture["out.logits_base"]), 2e-6);
  const Fixture converted(output);
  const Weights expected = fixture.with_prefix("w.");
  EXPECT_EQ(converted.with_prefix("").size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    if (name != "convert3.weight") {
      EXPECT_TRUE(at::equal(converted[name], tensor)) << name;
    }
  }
  const at::Tensor& weights = converted["convert3.weight"];  // at random
  EXPECT_EQ(weights.sizes(), expected.at("convert3.weight").sizes());
  EXPECT_NEAR(weights.std().item<double>(), 0.01, 0.004);
}

TEST_F(Convert, to_multi_temporal_keeps_the_logits_whatever_the_model_and_the_perspectives) {
  Weights squeezed = weights_of("rwkv4/datt96.safetensors");
  for (auto& [name, tensor] : squeezed) tensor = tensor.dim() == 3 ? tensor.flatten() : tensor;
  for (const std::string& base : {write(squeezed), test::data("rwkv4/hf_l3c64").string()}) {
    const at::Tensor expected = logits(base);
    for (int64_t perspectives : {1, 2, 5}) {
      zoo::convert(base, output, {.to = "multi-temporal", .perspectives = perspectives});
      EXPECT_LT(absolute_error(logits(output), expected), 2e-6) << base << ", " << perspectives;
    }
  }
}

TEST_F(Convert, to_multi_temporal_keeps_the_logits_of_a_trained_checkpoint) {
  const auto checkpoint = test::shared("checkpoints/tiny-rwkv-4v0-660k.pth");
  if (!std::filesystem::exists(checkpoint)) GTEST_SKIP() << checkpoint << " is not there";
  zoo::convert(checkpoint.string(), output, {.to = "multi-temporal"});
  EXPECT_LT(absolute_error(logits(output), logits(checkpoint.string())), 1e-5);
}

TEST_F(Convert, to_multi_temporal_counts_what_is_new) {
  const std::string base = write(weights_of("rwkv4/datt96.safetensors"));
  const zoo::ConvertReport report = zoo::convert(base, output, {.to = "multi-temporal", .perspectives = 3});
  EXPECT_EQ(report.family, "multi_temporal_rwkv");
  EXPECT_EQ(report.parameters, zoo::describe(base).parameters);
  EXPECT_EQ(report.added_parameters, 2 * 5 * 2 * 64 + 3 * 64);
  EXPECT_EQ(zoo::describe(output).parameters, report.parameters + report.added_parameters);
  EXPECT_EQ(zoo::convert(base, output).added_parameters, 0);
}

TEST_F(Convert, mix_noise_moves_all_perspectives_but_the_first) {
  const Weights weights = weights_of("rwkv4/datt96.safetensors");
  zoo::convert(write(weights), output, {.to = "multi-temporal", .perspectives = 3, .mix_noise = 0.1});
  const Fixture converted(output);
  for (const char* name : {"blocks.0.att.time_mix_v", "blocks.1.ffn.time_mix_r"}) {
    const at::Tensor difference = converted[name].squeeze() - weights.at(name).flatten();
    EXPECT_EQ(difference[0].count_nonzero().item<int64_t>(), 0);
    for (int64_t p : {1, 2}) EXPECT_NEAR(difference[p].std().item<double>(), 0.1, 0.03);
  }
}

TEST_F(Convert, mixes_of_half_precision_files_become_fp32_where_perspectives_must_drift_apart) {
  Weights weights = weights_of("rwkv4/datt96.safetensors");
  for (auto& [name, tensor] : weights) tensor = tensor.to(at::kBFloat16);
  const std::string base = write(weights);
  zoo::convert(base, output, {.to = "multi-temporal"});
  EXPECT_EQ(Fixture(output)["blocks.0.att.time_mix_k"].scalar_type(), at::kFloat);
  EXPECT_EQ(Fixture(output)["head.weight"].scalar_type(), at::kBFloat16);
  zoo::convert(base, output, {.dtype = at::kHalf, .to = "multi-temporal"});
  for (const auto& [name, tensor] : Fixture(output).with_prefix("")) EXPECT_EQ(tensor.scalar_type(), at::kHalf) << name;
}

TEST_F(Convert, what_makes_no_multi_temporal_model_is_refused_and_nothing_is_written) {
  const std::string base = write(weights_of("rwkv4/datt96.safetensors"));
  EXPECT_THAT(error(base, {.to = "multi-temporal", .perspectives = 0}), HasSubstr("perspectives must be in 1..256"));
  EXPECT_THAT(error(base, {.to = "multi-temporal", .perspectives = 257}), HasSubstr("got 257"));
  EXPECT_THAT(error(base, {.to = "multi-temporal", .mix_noise = -1}), HasSubstr("mix_noise must be 0 or more"));
  EXPECT_THAT(error(base, {.to = "hf"}), HasSubstr("safetensors, upstream, multi-temporal"));
  EXPECT_THAT(error(zoo::kEmbeddedModel, {.to = "multi-temporal"}),
              HasSubstr("a model of family rwkv7, but multi-temporal is made from rwkv4"));
  for (const char* fixture : {"rwkv4/tiny_att.safetensors", "rwkv4/preffn_headqk.safetensors"})
    EXPECT_THAT(error(write(weights_of(fixture)), {.to = "multi-temporal"}), HasSubstr("have no perspectives"));
}

TEST_F(Convert, from_transformers_names_gives_the_published_ones) {
  zoo::convert(test::data("rwkv4/hf_l3c64").string(), output);
  EXPECT_TRUE(Fixture(output).has("blocks.2.att.time_mix_k"));
  EXPECT_TRUE(at::equal(logits(output), logits(test::data("rwkv4/hf_l3c64").string())));
}

}  // namespace
}  // namespace wkv::test
