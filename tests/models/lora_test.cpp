// Low-rank adaptation: what is added, what is frozen, and that merging changes nothing.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <set>

#include "models/edited_checkpoint.h"
#include "models/fused_model.h"
#include "wkv/models/rwkv4.h"
#include "wkv/models/rwkv7.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

std::shared_ptr<models::LanguageModel> tiny_rwkv7() {
  at::manual_seed(4);
  return EditedCheckpoint("rwkv7/tiny").load();
}

at::Tensor some_tokens() { return at::arange(20).view({2, 10}); }

// As after some training.
void set_adapters(models::Model& model) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : model.named_parameters())
    if (parameter.key().ends_with(".lora_B.weight")) parameter.value().normal_(0, 0.1);
}

TEST(Lora, changes_nothing_before_it_is_trained) {
  const auto model = tiny_rwkv7();
  const at::Tensor logits = model->forward(some_tokens()).logits;
  model->add_lora(4, 8);
  EXPECT_TRUE(at::equal(model->forward(some_tokens()).logits, logits));
}

TEST(Lora, adapts_the_matrices_of_all_blocks_and_freezes_the_rest) {
  const auto model = tiny_rwkv7();
  std::set<std::string> matrices;
  for (const auto& parameter : model->named_parameters())
    if (parameter.key().starts_with("blocks.") && parameter.key().ends_with(".weight") && parameter.value().dim() == 2)
      matrices.insert(parameter.key().substr(0, parameter.key().size() - 7));
  model->add_lora(4, 8);
  std::set<std::string> adapted;
  for (const auto& parameter : model->named_parameters()) {
    const std::string& name = parameter.key();
    const size_t lora = name.find(".lora_");
    EXPECT_EQ(parameter.value().requires_grad(), lora != std::string::npos) << name;
    if (lora == std::string::npos) continue;
    adapted.insert(name.substr(0, lora));
    EXPECT_EQ(parameter.value().size(name.ends_with("lora_A.weight") ? 0 : 1), 4) << name;
  }
  EXPECT_EQ(adapted, matrices);
}

TEST(Lora, targets_are_the_ends_of_names) {
  const auto model = tiny_rwkv7();
  model->add_lora(2, 2, {"att.receptance", "blocks.1.ffn.key"});
  const auto parameters = model->named_parameters();
  EXPECT_TRUE(parameters.contains("blocks.0.att.receptance.lora_A.weight"));
  EXPECT_TRUE(parameters.contains("blocks.1.ffn.key.lora_B.weight"));
  EXPECT_FALSE(parameters.contains("blocks.0.ffn.key.lora_A.weight"));
  EXPECT_FALSE(parameters.contains("blocks.0.att.key.lora_A.weight"));
}

TEST(Lora, adds_the_scaled_product_of_its_matrices) {
  const auto model = tiny_rwkv7(), expected = tiny_rwkv7();
  model->add_lora(4, 8, {"ffn.value"});
  set_adapters(*model);
  const auto parameters = model->named_parameters();
  auto plain = expected->named_parameters();
  for (const auto& name : plain.keys()) {
    if (!name.ends_with("ffn.value.weight")) continue;
    const std::string matrix = name.substr(0, name.size() - 7);
    const at::NoGradGuard no_grad;
    plain[name].add_(2 * at::matmul(parameters[matrix + ".lora_B.weight"], parameters[matrix + ".lora_A.weight"]));
  }
  EXPECT_LT(absolute_error(model->forward(some_tokens()).logits, expected->forward(some_tokens()).logits), 1e-4);
}

// Reading and decoding without gradients run on fused kernels, some of which read the matrices themselves.
void expect_the_same_when_merged(models::LanguageModel& model) {
  model.add_lora(4, 8);
  set_adapters(model);
  const auto answers = [&] {
    std::vector<at::Tensor> logits = {model.forward(some_tokens()).logits.detach()};
    const at::NoGradGuard no_grad;
    const models::Output read = model.forward(some_tokens());
    logits.push_back(read.logits);
    logits.push_back(model.forward(at::full({2, 1}, 3, at::kLong), read.state).logits);
    return logits;
  };
  const auto before = answers();
  model.merge_lora();
  const auto after = answers();
  for (const auto& name : model.named_parameters().keys()) EXPECT_EQ(name.find("lora"), name.npos) << name;
  for (size_t i = 0; i < before.size(); ++i) EXPECT_LT(largest_error(after[i], before[i]), 1e-4) << i;
}

TEST(Lora, merged_is_what_it_was_in_training_reading_and_decoding) {
  expect_the_same_when_merged(*busy_model<models::RWKV4>(models::RWKV4Options{.width = 128}));
  expect_the_same_when_merged(*busy_model<models::RWKV7>(models::RWKV7Options{.width = 128, .head_size = 64}));
}

TEST(Lora, gradient_checkpointing_changes_no_bit_of_its_gradients) {
  std::vector<std::vector<at::Tensor>> gradients(2);
  for (const bool checkpointing : {false, true}) {
    const auto model = tiny_rwkv7();
    model->add_lora(4, 8);
    set_adapters(*model);
    model->set_gradient_checkpointing(checkpointing);
    model->loss(some_tokens(), some_tokens()).backward();
    for (const auto& parameter : model->parameters())
      if (parameter.requires_grad()) gradients[checkpointing].push_back(parameter.grad());
  }
  ASSERT_FALSE(gradients[0].empty());
  for (size_t i = 0; i < gradients[0].size(); ++i) EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i]));
}

TEST(Lora, of_no_matrix_or_no_rank_is_refused) {
  const auto message = [](int64_t rank, const std::vector<std::string>& targets) -> std::string {
    try {
      tiny_rwkv7()->add_lora(rank, 8, targets);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(4, {"receptance", "q_proj"}), HasSubstr("has no matrix q_proj"));
  EXPECT_THAT(message(4, {"ceptance"}), HasSubstr("has no matrix ceptance"));
  EXPECT_THAT(message(0, {}), HasSubstr("must be at least 1, got 0"));
}

}  // namespace
}  // namespace wkv::test
