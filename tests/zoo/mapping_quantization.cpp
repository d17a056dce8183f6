// Quantised models in memory and in files: what loading and converting keep, and what is refused.
#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/memory.h"
#include "wkv/ops.h"
#include "wkv/zoo/load.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;
using QuantizedTensors = std::map<std::string, at::Tensor>;

class Quantization : public testing::Test {
 protected:
  Quantization() : original((folder / "original.safetensors").string()) {
    weights = Fixture(test::data("rwkv7/tiny.safetensors")).with_prefix("w.");
    zoo::write_safetensors(original, {weights.begin(), weights.end()});
  }
  std::string converted(const std::string& format, const std::string& source = {}) {
    const std::string path = (folder / (format + ".safetensors")).string();
    zoo::convert(source.empty() ? original : source, path, {.quantize = format});
    return path;
  }
  // A file with these tensors that says it was quantised.
  std::string write(const QuantizedTensors& tensors, const std::string& quantization = "int8") {
    const std::string path = (folder / "written.safetensors").string();
    zoo::write_safetensors(path, {tensors.begin(), tensors.end()}, {{"quantization", quantization}});
    return path;
  }
  static QuantizedTensors tensors_in(const std::string& path) { return Fixture(path).with_prefix(""); }
  static at::Tensor logits(const std::string& path, const zoo::LoadOptions& options = {}) {
    const at::NoGradGuard no_grad;
    return zoo::load_language_model(path, options)->forward(at::arange(40).view({2, 20})).logits;
  }
  static std::string error(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  static std::string load_error(const std::string& path, const zoo::LoadOptions& options = {}) {
    return error([&] { zoo::load(path, options); });
  }

  ScratchFolder folder;
  std::string original;
  QuantizedTensors weights;
};

TEST_F(Quantization, at_load_is_that_of_the_loaded_model) {
  for (const char* format : {"int8", "int4"}) {
    const auto model = zoo::load_language_model(original);
    model->quantize(format);
    const auto loaded = zoo::load(original, {.quantize = format});
    for (const auto& parameter : model->named_parameters())
      EXPECT_TRUE(at::equal(loaded->named_parameters()[parameter.key()], parameter.value())) << parameter.key();
  }
}

TEST_F(Quantization, in_a_file_computes_the_same_as_at_load) {
  for (const char* format : {"int8", "int4"})
    EXPECT_TRUE(at::equal(logits(converted(format)), logits(original, {.quantize = format}))) << format;
}

TEST_F(Quantization, leaves_vectors_and_the_embedding_as_they_are) {
  const QuantizedTensors found = tensors_in(converted("int8"));
  EXPECT_EQ(found.size(), weights.size());
  for (const auto& [name, tensor] : found) {
    const bool is_matrix = name == "head.weight" || (name.ends_with(".weight") && weights[name].dim() == 2 &&
                                                     name.starts_with("blocks.") && name != "emb.weight");
    EXPECT_EQ(tensor.scalar_type(), is_matrix ? at::kByte : at::kFloat) << name;
    if (!is_matrix) {
      EXPECT_TRUE(at::equal(tensor, weights[name])) << name;
    }
  }
}

TEST_F(Quantization, leaves_the_other_parameters_in_bf16_where_the_file_has_them_so) {
  for (auto& [name, tensor] : weights) tensor = tensor.to(at::kBFloat16);
  zoo::write_safetensors(original, {weights.begin(), weights.end()});
  for (const std::string& path : {original, converted("int4")}) {
    const auto model = zoo::load(path, {.quantize = "int4"});
    EXPECT_EQ(model->named_parameters()["emb.weight"].scalar_type(), at::kBFloat16);
    EXPECT_EQ(model->named_parameters()["ln_out.weight"].scalar_type(), at::kBFloat16);
  }
  weights["ln_out.weight"] = weights["ln_out.weight"].to(at::kFloat);
  zoo::write_safetensors(original, {weights.begin(), weights.end()});
  EXPECT_EQ(zoo::load(original, {.quantize = "int8"})->named_parameters()["emb.weight"].scalar_type(), at::kFloat);
}

TEST_F(Quantization, of_an_fp64_file_computes_in_fp32) {
  const at::Tensor expected = logits(original, {.quantize = "int8"});
  for (auto& [name, tensor] : weights) tensor = tensor.to(at::kDouble);
  zoo::write_safetensors(original, {weights.begin(), weights.end()});
  EXPECT_TRUE(at::equal(logits(original, {.quantize = "int8"}), expected));
}

TEST_F(Quantization, of_a_file_is_undone_where_a_dtype_is_asked_for) {
  const auto model = zoo::load(converted("int8"), {.dtype = at::kFloat});
  EXPECT_FALSE(model->quantized());
  const at::Tensor unpacked = ops::unpack_linear(ops::pack_linear(weights["head.weight"], "int8"));
  EXPECT_TRUE(at::equal(model->named_parameters()["head.weight"], unpacked));
  EXPECT_EQ(zoo::load(converted("int8"), {.dtype = at::kDouble})->parameters().front().scalar_type(), at::kDouble);
}

TEST_F(Quantization, of_a_file_is_undone_by_converting_it) {
  const std::string output = (folder / "unpacked.safetensors").string();
  zoo::convert(converted("int8"), output, {.dtype = at::kFloat});
  const QuantizedTensors found = tensors_in(output);
  EXPECT_TRUE(at::equal(found.at("head.weight"), ops::unpack_linear(ops::pack_linear(weights["head.weight"], "int8"))));
  EXPECT_TRUE(zoo::open_tensors(output).metadata.count("quantization") == 0);
}

TEST_F(Quantization, of_a_file_is_kept_by_converting_it) {
  const std::string once = converted("int4"), twice = (folder / "twice.safetensors").string();
  zoo::convert(once, twice);
  for (const auto& [name, tensor] : tensors_in(once))
    EXPECT_TRUE(at::equal(tensors_in(twice).at(name), tensor)) << name;
}

TEST_F(Quantization, is_not_done_twice) {
  const std::string int8 = converted("int8");
  EXPECT_THAT(load_error(int8, {.quantize = "int4"}), HasSubstr("its matrices are int8 already"));
  EXPECT_THAT(error([&] { converted("int4", int8); }), HasSubstr("its matrices are int8 already"));
  EXPECT_EQ(load_error(int8, {.quantize = "int8"}), "no error");
  const auto model = zoo::load(int8);
  EXPECT_THAT(error([&] { model->quantize("int8"); }), HasSubstr("is quantised already"));
}

TEST_F(Quantization, to_an_unknown_format_is_refused) {
  EXPECT_THAT(load_error(original, {.quantize = "int3"}), HasSubstr("quantised to int8 or int4, not to \"int3\""));
  EXPECT_THAT(error([&] { converted("int3"); }), HasSubstr("not to \"int3\""));
}

TEST_F(Quantization, and_another_family_are_not_made_at_once) {
  EXPECT_THAT(
      error([&] { zoo::convert(original, (folder / "x.safetensors").string(), {.quantize = "int8", .to = "rrwkv"}); }),
      HasSubstr("convert first, then quantise"));
}

TEST_F(Quantization, of_weights_that_are_not_finite_is_refused) {
  weights["head.weight"][3][5] = INFINITY;
  zoo::write_safetensors(original, {weights.begin(), weights.end()});
  EXPECT_THAT(load_error(original, {.quantize = "int8"}), HasSubstr("head.weight"));
}

TEST_F(Quantization, leaves_nothing_to_train) {
  const auto model = zoo::load_language_model(original, {.quantize = "int8"});
  const at::Tensor tokens = at::arange(10).unsqueeze(0);
  EXPECT_THAT(error([&] { model->loss(tokens, tokens); }), HasSubstr("is quantised, for inference only"));
  const at::NoGradGuard no_grad;
  EXPECT_GT(model->loss(tokens, tokens).item<double>(), 0);
}

TEST_F(Quantization, is_described_with_the_originals_parameters) {
  const zoo::Description before = zoo::describe(original), d = zoo::describe(converted("int4"));
  EXPECT_EQ(d.parameters, before.parameters);
  EXPECT_EQ(d.config_json, before.config_json);
  EXPECT_EQ(d.family, "rwkv7");
  std::map<std::string, int64_t> dtypes(d.dtypes.begin(), d.dtypes.end());
  EXPECT_EQ(dtypes["int4"] + dtypes["int8"] + dtypes["fp32"], d.parameters);
  EXPECT_GT(dtypes["int4"], 0);
}

// --- files from strangers ---

TEST_F(Quantization, bytes_in_a_file_that_says_nothing_of_it_are_refused) {
  const QuantizedTensors tensors = tensors_in(converted("int8"));
  zoo::write_safetensors(original, {tensors.begin(), tensors.end()});
  EXPECT_THAT(load_error(original), HasSubstr("must be [64, 64], got [65, 68]"));
  weights["head.weight"] = weights["head.weight"].to(at::kByte);
  zoo::write_safetensors(original, {weights.begin(), weights.end()});
  EXPECT_THAT(load_error(original), HasSubstr("head.weight is of dtype Byte, expected a floating-point one"));
}

TEST_F(Quantization, that_is_unknown_in_a_file_is_refused) {
  EXPECT_THAT(load_error(write(weights, "int2\n")), HasSubstr("is quantised as int2"));
}

struct QuantizedDamage {
  const char* name;
  std::function<void(at::Tensor& head)> spoil;
  const char* message;
};

// Another value of so many bytes in the header of a quantised matrix, with which its last row begins.
void change_header(const at::Tensor& packed, int64_t offset, int64_t value) {
  auto* const bytes = static_cast<char*>(packed.mutable_data_ptr());
  std::memcpy(bytes + (packed.size(0) - 1) * packed.size(1) + offset, &value, sizeof value);
}

TEST_F(Quantization, that_contradicts_itself_is_refused_before_anything_is_built) {
  const std::vector<QuantizedDamage> damages = {
      {"no header", [](at::Tensor& head) { head.zero_(); }, "not a matrix that _pack_linear has made"},
      {"a row less", [](at::Tensor& head) { head = head.slice(0, 1).clone(); }, "is damaged"},
      {"a column less", [](at::Tensor& head) { head = head.slice(1, 1).clone(); }, "not a matrix"},
      {"another format", [](at::Tensor& head) { change_header(head, 8, 1); }, "is damaged"},
      {"no format", [](at::Tensor& head) { change_header(head, 8, -1); }, "is damaged"},
      {"more rows", [](at::Tensor& head) { change_header(head, 16, 1 << 30); }, "is damaged"},
      {"more columns", [](at::Tensor& head) { change_header(head, 24, 1 << 30); }, "is damaged"},
      {"most columns", [](at::Tensor& head) { change_header(head, 24, INT64_MAX); }, "is damaged"},
      {"negative columns", [](at::Tensor& head) { change_header(head, 24, -64); }, "is damaged"},
      {"one dimension", [](at::Tensor& head) { head = head.flatten(); }, "must have the 2 dimensions"},
      {"no rows at all", [](at::Tensor& head) { head = head.slice(0, 0, 0).clone(); }, "at least one row"},
  };
  const QuantizedTensors sound = tensors_in(converted("int8"));
  for (const QuantizedDamage& damage : damages) {
    QuantizedTensors tensors = sound;
    tensors["head.weight"] = sound.at("head.weight").clone();
    damage.spoil(tensors["head.weight"]);
    const std::string path = write(tensors), message = load_error(path);
    EXPECT_THAT(message, HasSubstr("head.weight is no quantised matrix")) << damage.name;
    EXPECT_THAT(message, HasSubstr(damage.message)) << damage.name;
    EXPECT_NE(error([&] { zoo::describe(path); }), "no error") << damage.name;
    EXPECT_NE(error([&] { converted("int8", path); }), "no error") << damage.name;
  }
}

TEST_F(Quantization, of_another_shape_than_the_model_has_is_refused) {
  QuantizedTensors tensors = tensors_in(converted("int8"));
  tensors["blocks.1.ffn.key.weight"] = ops::pack_linear(at::ones({256, 60}), "int8");
  EXPECT_THAT(load_error(write(tensors)), HasSubstr("mis-shaped: blocks.1.ffn.key.weight is [256, 60]"));
}

TEST_F(Quantization, of_what_is_never_quantised_is_refused) {
  QuantizedTensors tensors = tensors_in(converted("int8"));
  tensors["emb.weight"] = ops::pack_linear(tensors["emb.weight"], "int8");
  EXPECT_THAT(load_error(write(tensors)), HasSubstr("emb.weight is quantised, which it never is"));
}

// --- memory ---

TEST(AvailableMemory, is_some_of_the_machine) {
  EXPECT_GT(models::available_memory(), int64_t{1} << 20);
  EXPECT_LT(models::available_memory(), int64_t{1} << 50);
}

// A file of an RWKV-7 whose vocabulary takes so many GB, of which the disk holds only what is not zero.
TEST(LoadTooMuch, a_model_that_memory_cannot_hold_is_refused_with_the_numbers) {
  const ScratchFolder folder;
  const std::string path = (folder / "huge.safetensors").string();
  const int64_t rows = models::available_memory() / (64 * 3);
  const std::string header = R"({"emb.weight":{"dtype":"BF16","shape":[)" + std::to_string(rows) +
                             R"(,64],"data_offsets":[0,)" + std::to_string(rows * 64 * 2) + "]}}";
  const auto length = static_cast<uint64_t>(header.size());
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length) << header;
  std::filesystem::resize_file(path, sizeof length + header.size() + static_cast<uint64_t>(rows * 64 * 2));
  for (const zoo::LoadOptions& options : {zoo::LoadOptions{}, zoo::LoadOptions{.dtype = at::kDouble}}) {
    try {
      zoo::load(path, options);
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::ContainsRegex("its parameters take [0-9.]+ GiB, and [0-9.]+ GiB of memory are "
                                                       "available: load it in bf16"));
    }
  }
}

}  // namespace
}  // namespace wkv::test
