// From one container, dtype or family to another: what stays as it is, what the result computes, and what is refused,
// with nothing written.
#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "io/pth_writer.h"
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
  EXPECT_THAT(error(base, {.to = "gguf"}), HasSubstr("safetensors, upstream, hf, multi-temporal"));
  EXPECT_THAT(error(zoo::kEmbeddedModel, {.to = "multi-temporal"}),
              HasSubstr("a model of family rwkv7, but multi-temporal is made from rwkv4"));
  for (const char* fixture : {"rwkv4/tiny_att.safetensors", "rwkv4/preffn_headqk.safetensors"})
    EXPECT_THAT(error(write(weights_of(fixture)), {.to = "multi-temporal"}), HasSubstr("have no perspectives"));
}

// Names, dtypes, shapes and bits.
void expect_the_same_file(const std::string& path, const std::string& expected) {
  const zoo::TensorSource found = zoo::open_tensors(path), source = zoo::open_tensors(expected);
  EXPECT_EQ(found.entries.size(), source.entries.size());
  for (const zoo::TensorEntry& entry : source.entries) {
    const zoo::TensorEntry* other = found.find(entry.name);
    ASSERT_TRUE(other) << entry.name;
    EXPECT_EQ(other->dtype, entry.dtype) << entry.name;
    EXPECT_EQ(other->shape, entry.shape) << entry.name;
    const auto bits = [](const zoo::TensorEntry& e) { return as_tensor(e).contiguous().view(at::kByte); };
    EXPECT_TRUE(as_tensor(entry).dim() == 0 || at::equal(bits(*other), bits(entry))) << entry.name;
  }
}

class ConvertFile : public Convert, public testing::WithParamInterface<const char*> {
 protected:
  std::string config() const {
    const std::filesystem::path path = test::data(std::string(GetParam()) + ".json");
    const auto description = nlohmann::json::parse(std::ifstream(path));
    return description.value("config", description).dump();
  }
};

TEST_P(ConvertFile, to_pth_and_back_keeps_every_bit) {
  std::vector<zoo::LazyTensor> tensors;
  for (const auto& [name, tensor] : weights_of(GetParam() + std::string(".safetensors")))
    tensors.push_back(
        zoo::lazy(name, tensor.is_floating_point() && tensor.dim() == 2 ? tensor.to(at::kBFloat16) : tensor));
  const std::string original = (folder / "original.pth").string(), again = (folder / "again.pth").string();
  zoo::write_pth(original, std::move(tensors));
  zoo::convert(original, output, {.config = config()});
  expect_the_same_file(output, original);
  zoo::convert(output, again, {.config = config()});
  expect_the_same_file(again, original);
  EXPECT_EQ(zoo::describe(again, {.config = config()}).container, "pth");
}

INSTANTIATE_TEST_SUITE_P(Families, ConvertFile,
                         testing::Values("rwkv4/datt96", "rwkv5/v51_timefirst", "rwkv6/state-tuning", "rwkv7/tiny",
                                         "based/tiny_f8_w6", "transformer/tiny",
                                         "vrwkv/small_postnorm_layerscale_32x32", "vrwkv6/tiny_prenorm_hd16_32x32",
                                         "rwkv_clip/tiny_cls"));

TEST_F(Convert, of_published_files_to_pth_and_back_keeps_every_bit) {
  for (const char* name : {"tiny-rwkv-4v0-660k.pth", "tiny-rwkv-6v0-3m-dequant.bf16.pth", "tiny-rwkv-7v0-834k.pth",
                           "tiny-rwkv-7v0-834k.safetensors", "tiny-rwkv-7v0-834k.bf16.pth"}) {
    const auto checkpoint = test::shared(std::string("checkpoints/") + name);
    if (!std::filesystem::exists(checkpoint)) GTEST_SKIP() << checkpoint << " is not there";
    const std::string pth = (folder / "again.pth").string();
    zoo::convert(checkpoint.string(), output);
    expect_the_same_file(output, checkpoint.string());
    zoo::convert(output, pth);
    expect_the_same_file(pth, checkpoint.string());
  }
}

TEST_F(Convert, a_file_may_replace_its_source) {
  const std::string source = write(weights_of("rwkv7/tiny.safetensors"));
  const Weights before = weights_of("rwkv7/tiny.safetensors");
  zoo::convert(source, source, {.dtype = at::kBFloat16});
  const Fixture after(source);
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(after[name], tensor.to(at::kBFloat16))) << name;
}

TEST_F(Convert, values_beyond_the_dtype_are_reported_and_infinite_ones_are_not) {
  Weights weights = weights_of("rwkv7/tiny.safetensors");
  weights["emb.weight"][0][0] = 1e6;
  weights["ln_out.bias"][0] = INFINITY;
  weights["ln_out.weight"][0] = NAN;
  const std::string source = write(weights);
  EXPECT_THAT(zoo::convert(source, output, {.dtype = at::kHalf}).overflowed, testing::ElementsAre("emb.weight"));
  EXPECT_THAT(zoo::convert(source, output, {.dtype = at::kBFloat16}).overflowed, testing::IsEmpty());
}

TEST_F(Convert, a_pth_file_says_what_it_has_no_place_for) {
  const std::string base = test::data("rwkv4/hf_l3c64").string(), pth = (folder / "r.pth").string();
  const auto report = zoo::convert(base, pth, {.to = "rrwkv", .interval = 5});
  EXPECT_THAT(report.unwritten_metadata, testing::ElementsAre(testing::Pair("rrwkv.interval", "5")));
  EXPECT_TRUE(zoo::convert(base, output, {.to = "rrwkv", .interval = 5}).unwritten_metadata.empty());
}

TEST_F(Convert, outputs_that_contradict_the_target_are_refused) {
  const std::string base = write(weights_of("rwkv7/tiny.safetensors"));
  const struct {
    const char *output, *to, *quantize, *message;
  } cases[] = {
      {"a.bin", "", "", "end in .safetensors or .pth"},
      {"a.pth", "safetensors", "", "end in .safetensors"},
      {"a.safetensors", "upstream", "", "end in .pth"},
      {"a.pth", "hf", "", "be that of a folder"},
      {"a.safetensors", "hf", "", "be that of a folder"},
      {"a", "", "", "end in .safetensors or .pth"},
      {"a.pth", "", "int8", "files of the same model are made in int8"},
      {"a", "hf", "int4", "files of the same model are made in int4"},
  };
  for (const auto& c : cases) {
    output = (folder / c.output).string();
    EXPECT_THAT(error(base, {.quantize = c.quantize, .to = c.to}), HasSubstr(c.message)) << c.output << " " << c.to;
  }
}

TEST_F(Convert, to_the_hubs_layout_and_back_keeps_every_bit) {
  const std::pair<std::string, std::string> fixtures[] = {
      {"rwkv7/tiny.safetensors",
       R"({"ln_x_eps": 1.6e-4})"},  // 1e-5 for each element of a head, which the layout implies
      {"rwkv4/datt96.safetensors", ""}};
  for (const auto& [fixture, config] : fixtures) {
    Weights weights = weights_of(fixture);
    for (const std::string name : {"v0", "v1", "v2"}) weights.erase("blocks.0.att." + name);  // which no model reads
    const std::string base = write(weights);
    for (const int64_t shard_bytes : {int64_t{1} << 30, int64_t{20'000}}) {
      const std::string hub = (folder / "hub").string();
      zoo::convert(base, hub, {.config = config, .to = "hf", .shard_bytes = shard_bytes});
      EXPECT_EQ(std::filesystem::exists(hub + "/model.safetensors"), shard_bytes > 20'000);
      zoo::convert(hub, output);
      expect_the_same_file(output, base);
      std::filesystem::remove_all(hub);
      std::filesystem::remove_all(output);
    }
  }
}

TEST_F(Convert, from_transformers_names_gives_the_published_ones) {
  zoo::convert(test::data("rwkv4/hf_l3c64").string(), output);
  EXPECT_TRUE(Fixture(output).has("blocks.2.att.time_mix_k"));
  EXPECT_TRUE(at::equal(logits(output), logits(test::data("rwkv4/hf_l3c64").string())));
}

}  // namespace
}  // namespace wkv::test
