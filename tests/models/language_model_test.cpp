// Properties of every language model: the published numbers, and that a sequence may be cut anywhere.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "models/model_cases.h"

namespace wkv::test {
namespace {

class LanguageModelTest : public testing::TestWithParam<LanguageModelCase> {
 protected:
  LanguageModelTest() : fixture(test::data(GetParam().family) / (GetParam().fixture + ".safetensors")) {
    std::vector<std::pair<std::string, at::Tensor>> weights;
    for (const auto& [name, tensor] : fixture.with_prefix("w.")) weights.emplace_back(name, tensor);
    zoo::write_safetensors(folder / "model.safetensors", weights);
  }

  std::shared_ptr<models::LanguageModel> load(at::ScalarType dtype) {
    return zoo::load_language_model(
        (folder / "model.safetensors").string(),
        {.config = (test::data(GetParam().family) / (GetParam().fixture + ".json")).string(),
         .family = GetParam().family,
         .dtype = dtype});
  }

  const at::Tensor& tokens() { return fixture["in.idx"]; }
  const at::Tensor& targets() { return fixture["in.target"]; }

  ScratchFolder folder;
  Fixture fixture;
};

TEST_P(LanguageModelTest, logits_are_the_published_ones) {
  EXPECT_LT(absolute_error(load(at::kFloat)->forward(tokens()).logits, fixture["out.logits"]), GetParam().logit_error);
}

TEST_P(LanguageModelTest, logits_in_fp64_are_the_published_ones) {
  EXPECT_LT(absolute_error(load(at::kDouble)->forward(tokens()).logits, fixture["out.logits64"]), 1e-9);
}

TEST_P(LanguageModelTest, logits_in_bf16_are_near) {
  const at::Tensor logits = load(at::kBFloat16)->forward(tokens()).logits;
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  EXPECT_LT(relative_error(logits, fixture["out.logits64"]), 5e-2);
}

TEST_P(LanguageModelTest, the_state_is_the_published_one) {
  const models::State state = load(at::kFloat)->forward(tokens()).state;
  const auto expected = fixture.with_prefix("state.");
  ASSERT_EQ(state.entries.size(), expected.size());
  for (const auto& [name, tensor] : state.entries) EXPECT_LT(relative_error(tensor, expected.at(name)), 2e-5) << name;
}

TEST_P(LanguageModelTest, loss_and_gradients_are_the_published_ones) {
  const auto model = load(at::kFloat);
  const at::Tensor loss = model->loss(tokens(), targets(), 0.0);
  EXPECT_LT(absolute_error(loss, fixture["out.loss"].squeeze()), 1e-5);
  loss.backward();
  const auto expected = fixture.with_prefix("grad.");
  size_t checked = 0;
  for (const auto& parameter : model->named_parameters()) {
    const auto found = expected.find(parameter.key());
    if (found == expected.end()) {
      EXPECT_FALSE(parameter.value().grad().defined())
          << parameter.key() << " takes part, but not in the published code";
      continue;
    }
    ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
    EXPECT_LT(relative_error(parameter.value().grad(), found->second), 5e-5) << parameter.key();
    ++checked;
  }
  EXPECT_EQ(checked, expected.size());
}

TEST_P(LanguageModelTest, the_logit_penalty_changes_gradients_as_published_and_the_loss_not) {
  const auto model = load(at::kFloat);
  const at::Tensor loss = model->loss(tokens(), targets());
  EXPECT_EQ(loss.item<float>(), model->loss(tokens(), targets(), 0.0).item<float>());
  loss.backward();
  const auto expected = fixture.with_prefix("grad_l2wrap.");
  ASSERT_FALSE(expected.empty());
  const auto parameters = model->named_parameters();
  for (const auto& [name, gradient] : expected)
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), 5e-5) << name;
}

TEST_P(LanguageModelTest, cutting_the_sequence_anywhere_changes_nothing) {
  const auto model = load(at::kDouble);
  const models::Output whole = model->forward(tokens());
  const int64_t time = tokens().size(1);
  for (int64_t cut = 0; cut <= time; ++cut) {
    const models::Output first = model->forward(tokens().narrow(1, 0, cut));
    const models::Output second = model->forward(tokens().narrow(1, cut, time - cut), first.state);
    EXPECT_LT(absolute_error(at::cat({first.logits, second.logits}, 1), whole.logits), 1e-11) << "cut at " << cut;
    for (size_t i = 0; i < whole.state.entries.size(); ++i) {
      EXPECT_LT(absolute_error(second.state.entries[i].tensor, whole.state.entries[i].tensor), 1e-11)
          << whole.state.entries[i].name << ", cut at " << cut;
    }
  }
}

TEST_P(LanguageModelTest, token_by_token_is_the_whole_in_fp32) {
  const auto model = load(at::kFloat);
  const models::Output whole = model->forward(tokens());
  models::State state;
  std::vector<at::Tensor> logits;
  for (int64_t t = 0; t < tokens().size(1); ++t) {
    models::Output step = model->forward(tokens().narrow(1, t, 1), state);
    logits.push_back(step.logits);
    state = step.state;
  }
  EXPECT_LT(relative_error(at::cat(logits, 1), whole.logits), 1e-5);
}

TEST_P(LanguageModelTest, rows_of_a_batch_do_not_see_each_other) {
  const auto model = load(at::kDouble);
  const models::Output whole = model->forward(tokens());
  std::vector<models::State> states;
  for (int64_t row = 0; row < tokens().size(0); ++row) {
    const models::Output alone = model->forward(tokens().narrow(0, row, 1));
    EXPECT_LT(absolute_error(alone.logits, whole.logits.narrow(0, row, 1)), 1e-11);
    EXPECT_LT(absolute_error(alone.state.entries[1].tensor, whole.state.select({row}).entries[1].tensor), 1e-11);
    states.push_back(alone.state);
  }
  EXPECT_LT(absolute_error(models::State::cat(states).entries[1].tensor, whole.state.entries[1].tensor), 1e-11);
}

TEST_P(LanguageModelTest, no_tokens_and_no_rows_give_empty_logits_and_leave_the_state) {
  const auto model = load(at::kFloat);
  const models::State state = model->forward(tokens()).state;
  const models::Output none = model->forward(tokens().narrow(1, 0, 0), state);
  EXPECT_EQ(none.logits.sizes(), at::IntArrayRef({tokens().size(0), 0, model->vocab_size()}));
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_TRUE(at::equal(none.state.entries[i].tensor, state.entries[i].tensor));
  EXPECT_EQ(model->forward(tokens().narrow(0, 0, 0)).logits.size(0), 0);
}

TEST_P(LanguageModelTest, an_empty_state_is_the_initial_state) {
  const auto model = load(at::kFloat);
  EXPECT_TRUE(at::equal(model->forward(tokens()).logits,
                        model->forward(tokens(), model->initial_state(tokens().size(0))).logits));
}

TEST_P(LanguageModelTest, a_state_of_another_batch_or_model_is_refused) {
  const auto model = load(at::kFloat);
  EXPECT_THROW(model->forward(tokens(), model->initial_state(tokens().size(0) + 1)), Error);
  models::State cut = model->initial_state(tokens().size(0));
  cut.entries.pop_back();
  EXPECT_THROW(model->forward(tokens(), cut), Error);
}

TEST_P(LanguageModelTest, tokens_outside_the_vocabulary_or_of_another_dtype_are_refused) {
  const auto model = load(at::kFloat);
  EXPECT_THROW(model->forward(at::full({1, 1}, model->vocab_size(), at::kLong)), Error);
  EXPECT_THROW(model->forward(at::full({1, 1}, -1, at::kLong)), Error);
  EXPECT_THROW(model->forward(tokens().to(at::kInt)), Error);
  EXPECT_THROW(model->forward(tokens().flatten()), Error);
}

TEST_P(LanguageModelTest, parameter_groups_are_the_published_recipe) {
  const auto model = load(at::kFloat);
  std::set<std::tuple<std::string, bool, double>> expected, found;
  const auto json =
      nlohmann::json::parse(std::ifstream(test::data(GetParam().family) / (GetParam().fixture + ".json")));
  for (const auto& group : json.at("optimizer_groups_weight_decay_0p1")) {
    for (const auto& name : group.at("names")) {
      expected.emplace(name, group.at("weight_decay").template get<double>() > 0,
                       group.at("lr_scale").template get<double>());
    }
  }
  for (const auto& group : model->parameter_groups()) {
    for (const auto& name : group.names) found.emplace(name, group.weight_decay, group.learning_rate_scale);
  }
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(Published, LanguageModelTest, testing::ValuesIn(language_model_cases()),
                         [](const auto& test_info) {
                           std::string name = test_info.param.family + "_" + test_info.param.fixture;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace wkv::test
