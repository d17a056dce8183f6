// Properties of every language model: the published numbers, and that a sequence may be cut anywhere.
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <set>

#include "models/model_cases.h"

namespace wkv::test {
namespace {

class LanguageModelTest : public testing::TestWithParam<LanguageModelCase> {
 protected:
  void SetUp() override {
    const std::string file = test::golden(GetParam().fixture + ".safetensors").string();
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    golden = std::make_unique<GoldenModel>(GetParam());
  }
  std::shared_ptr<models::LanguageModel> load(at::ScalarType dtype) { return golden->load(dtype); }
  const at::Tensor& tokens() { return golden->tokens(); }

  std::unique_ptr<GoldenModel> golden;
};

TEST_P(LanguageModelTest, the_family_is_told_from_the_tensors) {
  EXPECT_EQ(load(at::kFloat)->family(), GetParam().family);
}

TEST_P(LanguageModelTest, logits_are_the_published_ones) {
  EXPECT_LT(absolute_error(load(at::kFloat)->forward(tokens()).logits, golden->logits()), GetParam().logit_error);
}

TEST_P(LanguageModelTest, logits_in_fp64_are_the_published_ones) {
  const at::Tensor& expected = golden->exact_logits();
  EXPECT_LT(absolute_error(load(at::kDouble)->forward(tokens()).logits, expected),
            expected.scalar_type() == at::kDouble ? 1e-6 : GetParam().logit_error);
}

TEST_P(LanguageModelTest, logits_in_bf16_are_near) {
  const at::Tensor logits = load(at::kBFloat16)->forward(tokens()).logits;
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  EXPECT_LT(relative_error(logits, golden->exact_logits()), GetParam().bf16_error);
}

TEST_P(LanguageModelTest, the_state_is_the_published_one) {
  const models::State state = load(at::kFloat)->forward(tokens()).state;
  for (const auto& [name, expected] : GetParam().state(golden->fixture)) {
    const auto entry = std::ranges::find(state.entries, name, [](const models::State::Entry& e) { return e.name; });
    ASSERT_NE(entry, state.entries.end()) << name;
    const at::Tensor rows = entry->tensor.narrow(0, 0, expected.size(0));  // some fixtures have the first row's only
    EXPECT_LT(relative_error(rows, expected), 2e-5) << name;
  }
}

TEST_P(LanguageModelTest, loss_and_gradients_are_the_published_ones) {
  const auto model = load(at::kFloat);
  const auto [inputs, targets] = golden->inputs_and_targets();
  const at::Tensor loss = model->loss(inputs, targets, GetParam().gradient_penalty);
  EXPECT_LT(absolute_error(loss, golden->fixture["out.loss"].squeeze()), 1e-5);
  loss.backward();
  const auto expected = golden->fixture.with_prefix("grad.");
  size_t checked = 0;
  for (const auto& parameter : model->named_parameters()) {
    const auto found = expected.find(parameter.key());
    const at::Tensor& gradient = parameter.value().grad();
    if (found == expected.end()) {
      EXPECT_FALSE(gradient.defined() && gradient.count_nonzero().item<int64_t>() > 0)
          << parameter.key() << " takes part, but not in the published code";
      continue;
    }
    ++checked;
    if (found->second.count_nonzero().item<int64_t>() == 0 && !gradient.defined()) continue;
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    EXPECT_LT(relative_error(gradient, found->second), GetParam().gradient_error) << parameter.key();
  }
  EXPECT_EQ(checked, expected.size());
}

TEST_P(LanguageModelTest, gradient_checkpointing_changes_no_bit_of_gradients_and_states) {
  const auto plain = load(at::kFloat), recomputing = load(at::kFloat);
  // RRWKV's keys and values get gradients from more than two places, which the other graph adds up in another order.
  const double rounding = plain->family() == "rrwkv" ? 1e-6 : 0;
  recomputing->set_gradient_checkpointing(true);
  const auto [inputs, targets] = golden->inputs_and_targets();
  const int64_t half = inputs.size(1) / 2;
  // Through a state, so that it gets gradients, too.
  const auto run = [&, &all_inputs = inputs, &all_targets = targets](models::LanguageModel& model) {
    const models::State state = model.forward(all_inputs.slice(1, 0, half)).state;
    auto [loss, after] = model.loss_and_state(all_inputs.slice(1, half), all_targets.slice(1, half), state, 0.1);
    loss.backward();
    return std::pair{loss.detach(), after.detach()};
  };
  const auto [loss, state] = run(*plain);
  const auto [loss_again, state_again] = run(*recomputing);
  EXPECT_TRUE(at::equal(loss_again, loss));
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_TRUE(at::equal(state_again.entries[i].tensor, state.entries[i].tensor)) << state.entries[i].name;
  const auto expected = plain->named_parameters();
  for (const auto& parameter : recomputing->named_parameters()) {
    const at::Tensor &found = parameter.value().grad(), &wanted = expected[parameter.key()].grad();
    ASSERT_EQ(found.defined(), wanted.defined()) << parameter.key();
    if (!wanted.defined()) continue;
    EXPECT_LE(absolute_error(found, wanted), rounding * wanted.abs().max().item<double>()) << parameter.key();
  }
}

TEST_P(LanguageModelTest, the_logit_penalty_changes_gradients_and_the_loss_not) {
  const auto model = load(at::kFloat);
  const auto [inputs, targets] = golden->inputs_and_targets();
  const at::Tensor loss = model->loss(inputs, targets, 0.5);
  EXPECT_EQ(loss.item<float>(), model->loss(inputs, targets, 0.0).item<float>());
  const at::Tensor parameter = model->parameters().front();
  const at::Tensor with = torch::autograd::grad({loss}, {parameter})[0];
  const at::Tensor without = torch::autograd::grad({model->loss(inputs, targets, 0.0)}, {parameter})[0];
  EXPECT_GT(absolute_error(with, without), 0);
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

TEST_P(LanguageModelTest, every_parameter_is_in_one_group_at_most) {
  const auto model = load(at::kFloat);
  const auto parameters = model->named_parameters();
  std::set<std::string> seen;
  for (const auto& group : model->parameter_groups()) {
    for (const auto& name : group.names) {
      EXPECT_TRUE(parameters.contains(name)) << name;
      EXPECT_TRUE(seen.insert(name).second) << name;
    }
  }
}

// Lengths of their own for rows, of tokens() as often as it takes: 0, 1, 5, and all.
class SequenceLayoutTest : public LanguageModelTest {
 protected:
  void SetUp() override {
    LanguageModelTest::SetUp();
    if (!golden) return;
    model = load(at::kDouble);
    for (int64_t length : {int64_t{0}, int64_t{1}, int64_t{5}, tokens().size(1)}) {
      sequences.push_back(tokens().slice(0, 0, 1).slice(1, 0, length));
      alone.push_back(model->forward(sequences.back()));
    }
  }
  void expect_alone(size_t i, const at::Tensor& logits, const models::State& state) {
    EXPECT_LT(absolute_error(logits, alone[i].logits), 1e-10) << "sequence " << i;
    const models::State row = state.select({static_cast<int64_t>(i)});
    for (size_t e = 0; e < row.entries.size(); ++e) {
      const auto& [name, tensor] = row.entries[e];
      const at::Tensor& expected = alone[i].state.entries[e].tensor;
      const at::Tensor newest = models::State::grows(name)  // zeros stand ahead of a shorter past
                                    ? tensor.slice(1, tensor.size(1) - expected.size(1))
                                    : tensor;
      EXPECT_LT(absolute_error(newest, expected), 1e-10) << name << " of sequence " << i;
    }
  }

  std::shared_ptr<models::LanguageModel> model;
  std::vector<at::Tensor> sequences;
  std::vector<models::Output> alone;
};

TEST_P(SequenceLayoutTest, left_padded_rows_are_the_rows_alone) {
  const int64_t time = tokens().size(1);
  std::vector<at::Tensor> rows, masks;
  for (const at::Tensor& sequence : sequences) {
    const int64_t padding = time - sequence.size(1);
    rows.push_back(at::constant_pad_nd(sequence, {padding, 0}, 1));
    masks.push_back(at::constant_pad_nd(at::ones_like(sequence), {padding, 0}, 0));
  }
  const models::Output padded = model->forward(at::cat(rows), {}, {.attention_mask = at::cat(masks)});
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    expect_alone(i, padded.logits.slice(0, row, row + 1).slice(1, time - sequences[i].size(1)), padded.state);
  }
}

TEST_P(SequenceLayoutTest, packed_sequences_are_the_sequences_alone) {
  std::vector<int64_t> ends = {0};
  for (const at::Tensor& sequence : sequences) ends.push_back(ends.back() + sequence.size(1));
  const models::Output packed = model->forward(at::cat(sequences, 1), {}, {.cu_seqlens = at::tensor(ends, at::kInt)});
  for (size_t i = 0; i < sequences.size(); ++i)
    expect_alone(i, packed.logits.slice(1, ends[i], ends[i + 1]), packed.state);
}

TEST_P(SequenceLayoutTest, packed_sequences_go_on_from_their_own_states) {
  std::vector<at::Tensor> first, second;
  std::vector<int64_t> first_ends = {0}, second_ends = {0};
  for (const at::Tensor& sequence : sequences) {
    const int64_t cut = sequence.size(1) / 2;
    first.push_back(sequence.slice(1, 0, cut));
    second.push_back(sequence.slice(1, cut));
    first_ends.push_back(first_ends.back() + cut);
    second_ends.push_back(second_ends.back() + sequence.size(1) - cut);
  }
  const models::State half =
      model->forward(at::cat(first, 1), {}, {.cu_seqlens = at::tensor(first_ends, at::kLong)}).state;
  const models::Output rest =
      model->forward(at::cat(second, 1), half, {.cu_seqlens = at::tensor(second_ends, at::kLong)});
  for (size_t i = 0; i < sequences.size(); ++i) {
    expect_alone(i,
                 at::cat({alone[i].logits.slice(1, 0, first[i].size(1)),
                          rest.logits.slice(1, second_ends[i], second_ends[i + 1])},
                         1),
                 rest.state);
  }
}

TEST_P(SequenceLayoutTest, a_prompt_in_blocks_is_the_prompt_whole) {
  for (int64_t block : {1, 3, 100}) {
    const auto [hidden, state] = model->read(sequences[3], {}, {}, block);
    const at::Tensor logits = model->logits(hidden);
    EXPECT_LT(absolute_error(logits, alone[3].logits.select(1, sequences[3].size(1) - 1)), 1e-10) << block;
    for (size_t e = 0; e < state.entries.size(); ++e)
      EXPECT_LT(absolute_error(state.entries[e].tensor, alone[3].state.entries[e].tensor), 1e-10);
  }
}

TEST_P(SequenceLayoutTest, padded_prompts_in_blocks_are_the_prompts_alone) {
  const int64_t time = tokens().size(1);
  const int64_t padding = time - sequences[2].size(1);
  const at::Tensor rows = at::cat({at::constant_pad_nd(sequences[2], {padding, 0}, 1), sequences[3]});
  at::Tensor mask = at::ones_like(rows);
  mask.select(0, 0).slice(0, 0, padding).zero_();
  const auto [hidden, state] = model->read(rows, {}, mask, 3);
  const at::Tensor logits = model->logits(hidden);
  EXPECT_LT(absolute_error(logits[0], alone[2].logits[0][-1]), 1e-10);
  EXPECT_LT(absolute_error(logits[1], alone[3].logits[0][time - 1]), 1e-10);
}

TEST_P(SequenceLayoutTest, the_loss_of_padded_rows_is_that_of_the_packed_ones) {
  const int64_t time = sequences[3].size(1), padding = time - sequences[2].size(1);
  const at::Tensor both = at::cat({sequences[2], sequences[3]}, 1);
  const at::Tensor packed =
      model->loss(both, both, {}, {.cu_seqlens = at::tensor({int64_t{0}, time - padding, both.size(1)})});
  const at::Tensor rows = at::cat({at::constant_pad_nd(sequences[2], {padding, 0}, 0), sequences[3]});
  at::Tensor mask = at::ones_like(rows, at::kBool);
  mask.select(0, 0).slice(0, 0, padding).fill_(false);
  EXPECT_LT(absolute_error(model->loss(rows, rows, {}, {.attention_mask = mask}), packed), 1e-12);
}

TEST_P(SequenceLayoutTest, a_layout_that_does_not_fit_is_refused) {
  const at::Tensor row = sequences[3];
  const auto refused = [&](const models::SequenceLayout& layout) {
    EXPECT_THROW(model->forward(row, {}, layout), Error);
  };
  refused({.attention_mask = at::ones({1, 3}, at::kLong)});
  refused({.attention_mask = at::ones(row.sizes())});
  refused({.cu_seqlens = at::tensor({int64_t{0}, row.size(1) + 1})});
  refused({.cu_seqlens = at::tensor({int64_t{1}, row.size(1)})});
  refused({.cu_seqlens = at::tensor({int64_t{0}, int64_t{4}, int64_t{3}, row.size(1)})});
  refused({.cu_seqlens = at::tensor({0.0, 1.0})});
  refused({.attention_mask = at::ones_like(row), .cu_seqlens = at::tensor({int64_t{0}, row.size(1)})});
  EXPECT_THROW(model->forward(at::cat({row, row}), {}, {.cu_seqlens = at::tensor({int64_t{0}, row.size(1)})}), Error);
}

// Sequences that lie in a pool's slots, decoded together while others come and go.
TEST_P(SequenceLayoutTest, sequences_decoded_in_a_pool_are_the_sequences_alone) {
  models::State pool = model->initial_state(5);
  if (std::ranges::any_of(pool.entries, [](const auto& e) { return models::State::grows(e.name); })) {
    EXPECT_THROW(model->decode(at::zeros({1}, at::kLong), pool, at::zeros({1}, at::kLong)), Error);
    return;
  }
  const int64_t time = sequences[3].size(1);
  const auto step = [&](const std::vector<int64_t>& positions, const std::vector<int64_t>& slots) {
    std::vector<int64_t> next;
    for (int64_t position : positions) next.push_back(sequences[3][0][position].item<int64_t>());
    const at::Tensor logits = model->logits(model->decode(at::tensor(next), pool, at::tensor(slots)));
    for (size_t i = 0; i < positions.size(); ++i)
      EXPECT_LT(absolute_error(logits[static_cast<int64_t>(i)], alone[3].logits[0][positions[i]]), 1e-10) << slots[i];
  };
  pool.put({4}, model->forward(sequences[3].slice(1, 0, 3)).state);
  step({3, 0}, {4, 2});
  step({1, 4}, {2, 4});
  pool.put({4, 0}, model->initial_state(2));  // one sequence ends, two begin
  step({2, 0, 0}, {2, 0, 4});
  for (int64_t t = 3; t < time; ++t) step({t, t - 2}, {2, 0});
  EXPECT_THROW(model->decode(at::zeros({2}, at::kLong), pool, at::tensor({int64_t{1}, int64_t{1}})), Error);
  EXPECT_THROW(model->decode(at::zeros({1}, at::kLong), pool, at::tensor({int64_t{5}})), Error);
}

TEST_P(SequenceLayoutTest, logits_beyond_the_memory_are_refused_with_the_numbers) {
  const at::Tensor tokens = at::zeros({1}, at::kLong).expand({1 << 20, 1 << 20});
  try {
    model->forward(tokens);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("GiB"), std::string::npos) << error.what();
  }
}

std::string case_name(const testing::TestParamInfo<LanguageModelCase>& info) {
  std::string name = info.param.fixture;
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '/'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Published, LanguageModelTest, testing::ValuesIn(language_model_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Published, SequenceLayoutTest, testing::ValuesIn(language_model_cases()), case_name);

}  // namespace
}  // namespace wkv::test
