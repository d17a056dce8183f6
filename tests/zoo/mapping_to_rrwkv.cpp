// From RWKV-4 to an RRWKV-style model: what the result computes and says, and what is refused.
#include <ATen/Context.h>
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

class ToRRWKV : public testing::Test {
 protected:
  std::string write(const std::map<std::string, at::Tensor>& weights) {
    zoo::write_safetensors(folder / "other.safetensors", {weights.begin(), weights.end()});
    return (folder / "other.safetensors").string();
  }
  // Bit for bit, read at once and token by token.
  void expect_the_same_model(const std::string& source, std::optional<at::ScalarType> dtype = {}) {
    const auto before = zoo::load_language_model(source, {.dtype = dtype});
    const auto after = zoo::load_language_model(output, {.dtype = dtype});
    const at::Tensor tokens = at::arange(60).view({2, 30});
    EXPECT_TRUE(at::equal(after->forward(tokens).logits, before->forward(tokens).logits));
    models::State state_before, state_after;
    for (int64_t t = 0; t < 30; ++t) {
      const models::Output a = before->forward(tokens.narrow(1, t, 1), state_before);
      const models::Output b = after->forward(tokens.narrow(1, t, 1), state_after);
      EXPECT_TRUE(at::equal(b.logits, a.logits)) << t;
      state_before = a.state;
      state_after = b.state;
    }
  }

  ScratchFolder folder;
  std::string output = (folder / "converted.safetensors").string();
  const std::string base = test::data("rwkv4/hf_l3c64").string();
};

TEST_F(ToRRWKV, keeps_every_bit_of_the_logits) {
  for (int64_t interval : {1, 5, 16, 64}) {
    zoo::convert(base, output, {.to = "rrwkv", .interval = interval});
    EXPECT_EQ(zoo::describe(output).family, "rrwkv");
    for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) expect_the_same_model(base, dtype);
  }
}

TEST_F(ToRRWKV, keeps_every_bit_of_a_trained_checkpoint) {
  const auto checkpoint = test::shared("checkpoints/tiny-rwkv-4v0-660k.pth");
  if (!std::filesystem::exists(checkpoint)) GTEST_SKIP() << checkpoint << " is not there";
  zoo::convert(checkpoint.string(), output, {.to = "rrwkv", .interval = 4});
  expect_the_same_model(checkpoint.string());
}

TEST_F(ToRRWKV, says_the_interval_in_the_file_and_in_what_is_made_of_it) {
  zoo::convert(base, output, {.to = "rrwkv", .interval = 5});
  const std::string half = (folder / "half.safetensors").string();
  zoo::convert(output, half, {.dtype = at::kBFloat16});
  for (const std::string& file : {output, half})
    EXPECT_EQ(zoo::open_tensors(file).metadata.at("rrwkv.interval"), "5") << file;
}

TEST_F(ToRRWKV, counts_what_is_new) {
  const zoo::ConvertReport report = zoo::convert(base, output, {.to = "rrwkv", .reduction = 8});
  EXPECT_EQ(report.family, "rrwkv");
  EXPECT_EQ(report.added_parameters, 3 * (8 * 64 + 2 * 64 * 8));
  EXPECT_EQ(zoo::describe(output).parameters, report.parameters + report.added_parameters);
}

TEST_F(ToRRWKV, gives_the_same_file_again_and_leaves_torch_s_generator) {
  at::manual_seed(5);
  const at::Tensor drawn = at::rand({3});
  at::manual_seed(5);
  zoo::convert(base, output, {.to = "rrwkv"});
  EXPECT_TRUE(at::equal(at::rand({3}), drawn));
  const std::string name = "blocks.1.att.excite_down.weight";
  const at::Tensor first = Fixture(output)[name].clone();
  zoo::convert(base, output, {.to = "rrwkv"});
  EXPECT_TRUE(at::equal(Fixture(output)[name], first));
}

TEST_F(ToRRWKV, what_is_no_plain_rwkv4_is_refused_and_nothing_is_written) {
  const std::map<std::string, std::string> messages = {
      {"rwkv4/datt96.safetensors", "only plain ones can get mediums"},
      {"rwkv4/tiny_att.safetensors", "no such tensor: only plain ones"},
      {"rwkv4/preffn_headqk.safetensors", "no such tensor: only plain ones"},
      {"rrwkv/lm_s4.safetensors", "doesn't say its interval"},
  };
  for (const auto& [fixture, message] : messages) {
    try {
      zoo::convert(write(Fixture(test::data(fixture)).with_prefix("w.")), output, {.to = "rrwkv"});
      FAIL() << fixture << " is not refused";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
  EXPECT_THROW(zoo::convert(base, output, {.to = "rrwkv", .interval = 0}), Error);
  EXPECT_THROW(zoo::convert(base, output, {.to = "rrwkv", .reduction = 0}), Error);
  EXPECT_FALSE(std::filesystem::exists(output));
}

}  // namespace
}  // namespace wkv::test
