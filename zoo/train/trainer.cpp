#include "train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "train/schedule.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

// Matrix products in bfloat16 while it lives.
class BFloat16Products {
 public:
  explicit BFloat16Products(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  ~BFloat16Products() {
    if (!on_) return;
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  BFloat16Products(const BFloat16Products&) = delete;
  BFloat16Products& operator=(const BFloat16Products&) = delete;

 private:
  bool on_;
};

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

at::Generator torch_generator() { return at::detail::getDefaultCPUGenerator(); }

// The tensor of this name, checked to be like `like`.
at::Tensor stored(const TensorSource& source, const std::filesystem::path& file, const std::string& name,
                  const at::Tensor& like) {
  const auto* entry = source.find(name);
  if (entry == nullptr)
    throw Error(ErrorCode::missing_tensor, fmt::format("{}: the tensor {} is missing", file.string(), name));
  const auto tensor = as_tensor(*entry);
  if (tensor.sizes() != like.sizes() || tensor.scalar_type() != like.scalar_type())
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} must be {} {}, got {} {}", file.string(), name,
                                                       c10::str(like.sizes()), c10::toString(like.scalar_type()),
                                                       c10::str(tensor.sizes()), c10::toString(tensor.scalar_type())));
  return tensor;
}

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kTrainerFile = "trainer.safetensors";
constexpr const char* kStepsNote = "steps";
constexpr const char* kCarriedPrefix = "carried.";
constexpr const char* kGeneratorName = "torch_generator";

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const models::LanguageModel& model,
                                                              at::ScalarType dtype) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const auto add = [&](const auto& items) {
    for (const auto& item : items) {
      auto tensor = item.value().detach();
      const bool convert = dtype != at::ScalarType::Undefined && tensor.is_floating_point();
      tensors.emplace_back(item.key(), convert ? tensor.to(dtype) : tensor);
    }
  };
  add(model.named_parameters());
  add(model.named_buffers());
  return tensors;
}

Trainer::Trainer(models::LanguageModel& model, const TextData& data, const TrainConfig& config)
    : model_(model),
      data_(data),
      config_(config),
      plan_(data.train.numel(), config),
      optimizer_(model, config.optimizer) {}

double Trainer::accumulate_gradients(const Windows& windows) {
  const auto tokens = gather_windows(data_.train, windows.starts, config_.context);  // [rows, context + 1]
  const auto inputs = tokens.narrow(1, 0, config_.context), targets = tokens.narrow(1, 1, config_.context);
  at::Tensor loss;
  {
    const BFloat16Products products(config_.precision == "bf16");
    const auto penalty = config_.optimizer.logit_penalty;
    if (config_.data.order == "consecutive") {
      carried_ = refresh(std::move(carried_), model_.initial_state(config_.batch), windows.fresh);
      auto [value, state] = model_.loss_and_state(inputs, targets, carried_, penalty);
      loss = value;
      carried_ = state.detach();
    } else {
      loss = model_.loss(inputs, targets, penalty);
    }
  }
  loss.backward();
  return loss.item<double>();
}

StepResult Trainer::step() {
  StepResult result;
  result.learning_rate = learning_rate(config_.optimizer, steps_done_, config_.steps);
  for (int64_t i = 0; i < config_.accumulate; ++i)
    result.loss += accumulate_gradients(plan_.batch(steps_done_ * config_.accumulate + i));
  const auto batches = static_cast<double>(config_.accumulate);
  result.loss /= batches;
  result.gradient_norm = optimizer_.gradient_norm() / batches;
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("step {}: the loss ({}) or the gradient's norm ({}) is not finite; try a lower "
                            "optimizer.learning_rate or a longer optimizer.warmup",
                            steps_done_ + 1, result.loss, result.gradient_norm));
  const double clip = config_.optimizer.clip;
  const double excess = clip > 0 ? std::max(result.gradient_norm / clip, 1.0) : 1.0;
  optimizer_.step(++steps_done_, result.learning_rate, batches * excess);
  optimizer_.clear_gradients();
  return result;
}

void Trainer::save(const std::filesystem::path& folder, std::map<std::string, std::string> notes) const {
  write_safetensors(folder / kModelFile, named_tensors(model_), model_.metadata());
  auto tensors = optimizer_.moments();
  for (const auto& entry : carried_.entries) tensors.emplace_back(kCarriedPrefix + entry.name, entry.tensor);
  tensors.emplace_back(kGeneratorName, torch_generator().get_state());
  notes[kStepsNote] = fmt::format("{}", steps_done_);
  write_safetensors(folder / kTrainerFile, tensors, notes);
}

std::map<std::string, std::string> Trainer::restore(const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  const auto model_file = folder / kModelFile, trainer_file = folder / kTrainerFile;
  const auto model_source = open_tensors(model_file);
  for (auto& [name, tensor] : named_tensors(model_)) tensor.copy_(stored(model_source, model_file, name, tensor));
  const auto source = open_tensors(trainer_file);
  for (auto& [name, tensor] : optimizer_.moments()) tensor.copy_(stored(source, trainer_file, name, tensor));
  auto generator = torch_generator();
  generator.set_state(stored(source, trainer_file, kGeneratorName, generator.get_state()).clone());
  if (config_.data.order == "consecutive") {
    carried_ = model_.initial_state(config_.batch);
    for (auto& entry : carried_.entries)
      entry.tensor = stored(source, trainer_file, kCarriedPrefix + entry.name, entry.tensor).clone();
  }
  const auto note = source.metadata.find(kStepsNote);
  const std::string steps = note == source.metadata.end() ? "" : note->second;
  const auto [end, error] = std::from_chars(steps.data(), steps.data() + steps.size(), steps_done_);
  if (error != std::errc{} || end != steps.data() + steps.size() || steps_done_ < 0)
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: the number of steps is missing", trainer_file.string()));
  return source.metadata;
}

}  // namespace wkv::zoo
