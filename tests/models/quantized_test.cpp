// Quantised models of every language family: that all forms of a call run, and that they differ by no more than the
// rounding of activations to 8 bits.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cctype>

#include "models/model_cases.h"

namespace wkv::test {
namespace {

struct QuantizedCase {
  LanguageModelCase model;
  std::string format;
};

std::ostream& operator<<(std::ostream& out, const QuantizedCase& c) { return out << c.model << " in " << c.format; }

class QuantizedModel : public testing::TestWithParam<QuantizedCase> {
 protected:
  void SetUp() override {
    const std::string file = test::golden(GetParam().model.fixture + ".safetensors").string();
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    golden = std::make_unique<GoldenModel>(GetParam().model);
    model = golden->load();
    tokens = golden->tokens().narrow(0, 0, 1);
    original = model->forward(tokens).logits;
    model->quantize(GetParam().format);
  }
  models::Output token_by_token() {
    models::Output last;
    std::vector<at::Tensor> logits;
    for (int64_t t = 0; t < tokens.size(1); ++t) {
      last = model->forward(tokens.narrow(1, t, 1), last.state);
      logits.push_back(last.logits);
    }
    return {at::cat(logits, 1), last.state};
  }
  static double distance(const at::Tensor& a, const at::Tensor& b) {
    return ((a - b).norm() / b.norm()).item<double>();
  }

  const at::NoGradGuard no_grad;
  std::unique_ptr<GoldenModel> golden;
  std::shared_ptr<models::LanguageModel> model;
  at::Tensor tokens, original;
};

TEST_P(QuantizedModel, reads_a_prompt_nearly_as_the_original) {
  EXPECT_LT(distance(model->forward(tokens).logits, original), GetParam().format == "int8" ? 0.05 : 0.5);
}

TEST_P(QuantizedModel, decodes_nearly_as_it_reads) {
  EXPECT_LT(distance(token_by_token().logits, model->forward(tokens).logits), 0.1);
}

TEST_P(QuantizedModel, decodes_in_a_pool_as_alone) {
  models::State pool = model->initial_state(3);
  if (std::ranges::any_of(pool.entries, [](const auto& entry) { return models::State::grows(entry.name); }))
    GTEST_SKIP() << "its state grows";
  std::vector<at::Tensor> logits;
  for (int64_t t = 0; t < tokens.size(1); ++t) {
    const at::Tensor token = tokens.select(1, t).expand({2});
    logits.push_back(model->logits(model->decode(token, pool, at::tensor({2, 0}, at::kLong))));
  }
  const at::Tensor rows = at::stack(logits, 1), alone = token_by_token().logits;
  // A difference in the last bit may make one of the activations the next of 8 bits.
  constexpr double kFewActivations = 0.02;
  EXPECT_LT(distance(rows.narrow(0, 1, 1), rows.narrow(0, 0, 1)), kFewActivations);
  EXPECT_LT(distance(rows.narrow(0, 0, 1), alone), kFewActivations);
}

std::vector<QuantizedCase> quantized_cases() {
  std::vector<QuantizedCase> cases;
  for (const LanguageModelCase& model : language_model_cases()) {
    for (const char* format : {"int8", "int4"}) cases.push_back({model, format});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Published, QuantizedModel, testing::ValuesIn(quantized_cases()), [](const auto& test) {
  std::string name = test.param.model.fixture + "_" + test.param.format;
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace wkv::test
