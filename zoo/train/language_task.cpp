#include "train/language_task.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <set>

#include "train/evaluate.h"
#include "train/lora.h"
#include "train/new_model.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// `state` with the rows that start anew as in `initial`.
models::State refresh(models::State state, const models::State& initial, const std::vector<bool>& fresh) {
  if (state.empty() || std::ranges::find(fresh, true) == fresh.end()) return state;
  const std::vector<int64_t> flags(fresh.begin(), fresh.end());
  const auto mask = at::tensor(flags, at::kLong).to(at::kBool);
  for (size_t i = 0; i < state.entries.size(); ++i) {
    auto& tensor = state.entries[i].tensor;
    std::vector<int64_t> shape(static_cast<size_t>(tensor.dim()), 1);
    shape[0] = tensor.size(0);
    tensor = at::where(mask.view(shape), initial.entries[i].tensor, tensor);
  }
  return state;
}

template <typename T>
std::vector<T> part(const std::vector<T>& all, int64_t first, int64_t count) {
  return {all.begin() + first, all.begin() + first + count};
}

std::shared_ptr<models::LanguageModel> starting_model(const TrainConfig& config, int64_t tokenizer_vocab) {
  const auto& m = config.model;
  std::shared_ptr<models::LanguageModel> checkpoint;
  if (!m.checkpoint.empty()) {
    const auto loaded = model_to_tune(m, config.state_tuning);
    checkpoint = std::dynamic_pointer_cast<models::LanguageModel>(loaded);
    if (!checkpoint)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("model.checkpoint: {}: not a language model: it is {}", m.checkpoint, loaded->family()));
  }
  const int64_t vocab = checkpoint ? checkpoint->vocab_size() : m.vocab == 0 ? tokenizer_vocab : m.vocab;
  if (vocab < tokenizer_vocab)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} must be at least {} for the tokenizer {}, got {}",
                            checkpoint ? "the vocabulary of model.checkpoint" : "model.vocab", tokenizer_vocab,
                            config.data.tokenizer, vocab));
  const auto model = checkpoint ? checkpoint : new_model(m, vocab);
  if (config.lora.rank > 0) model->add_lora(config.lora.rank, config.lora.alpha, config.lora.targets);
  model->set_gradient_checkpointing(config.gradient_checkpointing);
  return model;
}

// Parameters outside of all groups are not trained, and need no gradients.
void freeze_untrained(const models::Model& model, const std::vector<models::ParameterGroup>& groups) {
  std::set<std::string> trained;
  for (const auto& group : groups) trained.insert(group.names.begin(), group.names.end());
  for (auto& parameter : model.named_parameters())
    if (!trained.contains(parameter.key())) parameter.value().set_requires_grad(false);
}

}  // namespace

LanguageTask::LanguageTask(std::shared_ptr<models::LanguageModel> model, TextData data, const TrainConfig& config,
                           const Rank& rank)
    : model_(std::move(model)),
      data_(std::move(data)),
      config_(config),
      plan_(data_.train.numel(), config),
      rank_(rank),
      first_row_(rank.first_row(config.batch)),
      rows_(rank.rows(config.batch)) {
  freeze_untrained(*model_, parameter_groups());
  const bool in_parts = rank.sequence.ranks != nullptr, consecutive = config.data.order == "consecutive";
  if (!in_parts && !consecutive) return;
  const auto state = model_->initial_state(1);
  for (const auto& entry : state.entries) {
    if (models::State::grows(entry.name))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the state of {} grows with every token ({}): it {}",
                              consecutive ? "data.order" : "sequence_ranks", model_->family(), entry.name,
                              consecutive ? "can't read on and on, only shuffled windows" : "can't be handed on"));
  }
  if (in_parts) relay_.emplace(*rank.sequence.ranks, rank.sequence.index, rank.sequence.count, state);
}

std::vector<models::ParameterGroup> LanguageTask::parameter_groups() const {
  return config_.lora.rank > 0 ? adapter_groups(*model_) : model_->parameter_groups();
}

bool LanguageTask::finish(const std::filesystem::path& output) {
  if (config_.lora.rank == 0) return true;
  write_adapter(output / "adapter.safetensors", *model_, config_.lora);
  if (config_.lora.merge) model_->merge_lora();
  return config_.lora.merge;
}

at::Tensor LanguageTask::loss(int64_t index) {
  const Windows windows = plan_.batch(index);
  const auto tokens = gather_windows(data_.train, part(windows.starts, first_row_, rows_), config_.context);
  if (relay_) return loss_of_part(tokens, part(windows.fresh, first_row_, rows_));
  const auto inputs = tokens.narrow(1, 0, config_.context), targets = tokens.narrow(1, 1, config_.context);
  const auto penalty = config_.optimizer.logit_penalty;
  if (config_.data.order != "consecutive") return model_->loss(inputs, targets, penalty);
  carried_ = refresh(std::move(carried_), model_->initial_state(rows_), part(windows.fresh, first_row_, rows_));
  auto [value, state] = model_->loss_and_state(inputs, targets, carried_, penalty);
  carried_ = state.detach();
  return value;
}

// Row by row, so that the next rank can begin. The mean over the ranks is that over all positions, as each has as many.
at::Tensor LanguageTask::loss_of_part(const at::Tensor& tokens, const std::vector<bool>& fresh) {
  const bool consecutive = config_.data.order == "consecutive";
  bring_carried();
  if (consecutive && relay_->first()) carried_ = refresh(std::move(carried_), model_->initial_state(rows_), fresh);
  const int64_t length = config_.context / rank_.sequence.count, begin = rank_.sequence.index * length;
  const auto inputs = tokens.narrow(1, begin, length), targets = tokens.narrow(1, begin + 1, length);
  at::Tensor loss;
  std::vector<models::State> ends;
  for (int64_t row = 0; row < rows_; ++row) {
    const auto before = !relay_->first() ? relay_->receive() : consecutive ? carried_.select({row}) : models::State{};
    auto [value, after] = model_->loss_and_state(inputs.narrow(0, row, 1), targets.narrow(0, row, 1), before,
                                                 config_.optimizer.logit_penalty);
    auto share = value / static_cast<double>(rows_);
    if (!relay_->last())
      share = share + relay_->send(after);
    else if (consecutive)
      ends.push_back(after.detach());
    loss = loss.defined() ? loss + share : share;
  }
  if (!ends.empty()) carried_ = models::State::cat(ends);
  carried_elsewhere_ = consecutive;
  return loss;
}

// What was sent has arrived, and the carried states are where the rows begin.
void LanguageTask::bring_carried() {
  relay_->settle();
  if (config_.data.order != "consecutive") return;
  if (relay_->first() && carried_.empty()) carried_ = model_->initial_state(rows_);
  if (std::exchange(carried_elsewhere_, false)) relay_->carry_over(carried_);
}

std::vector<std::pair<std::string, at::Tensor>> LanguageTask::carried() {
  if (relay_) bring_carried();
  if (relay_ && !relay_->first()) return {};
  if (config_.data.order == "consecutive" && carried_.empty()) carried_ = model_->initial_state(rows_);
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  if (config_.data.order != "consecutive") return tensors;
  for (const auto& entry : carried_.entries) tensors.emplace_back(entry.name, entry.tensor);
  return tensors;
}

void LanguageTask::assign_carried(const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) carried_.entries[i].tensor = tensors[i];
}

std::vector<Measurement> LanguageTask::evaluate() {
  if (data_.held_out.numel() == 0) return {};
  return {{"held_out_bits_per_byte", held_out_bits_per_byte(*model_, data_, config_.context)}};
}

std::string LanguageTask::describe(double loss) const {
  return fmt::format("loss {:.4f}  bits/byte {:.3f}", loss, loss / std::numbers::ln2 / data_.bytes_per_token);
}

nlohmann::ordered_json LanguageTask::data_card() const {
  nlohmann::ordered_json card{{"tokenizer", config_.data.tokenizer}, {"training_tokens", data_.train.numel()}};
  if (data_.held_out.numel() > 0) card["held_out_bytes"] = data_.held_out_bytes;
  return card;
}

std::unique_ptr<Task> make_language_task(const TrainConfig& config, const Rank& rank) {
  auto data = load_text(config.data);
  auto model = starting_model(config, data.vocab);
  return std::make_unique<LanguageTask>(std::move(model), std::move(data), config, rank);
}

}  // namespace wkv::zoo
