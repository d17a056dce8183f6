#include "train/trainer.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "train/random_bits.h"
#include "train/schedule.h"
#include "train/sharding.h"
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

// The tensor of this name, checked to have these sizes and this dtype.
at::Tensor stored(const TensorSource& source, const std::filesystem::path& file, const std::string& name,
                  at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto* entry = source.find(name);
  if (entry == nullptr)
    throw Error(ErrorCode::missing_tensor, fmt::format("{}: the tensor {} is missing", file.string(), name));
  const auto tensor = as_tensor(*entry);
  if (tensor.sizes() != sizes || tensor.scalar_type() != dtype)
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: {} must be {} {}, got {} {}", file.string(), name, c10::str(sizes),
                            c10::toString(dtype), c10::str(tensor.sizes()), c10::toString(tensor.scalar_type())));
  return tensor;
}

// ", first in the gradient of NAME": of parameters and gradients the first one, in the model's order, that has an
// infinity or a NaN.
std::string first_not_finite(const models::Model& model) {
  const auto is_finite = [](const at::Tensor& x) { return !x.defined() || at::isfinite(x).all().item<bool>(); };
  const auto parameters = model.named_parameters();
  for (const auto& item : parameters)
    if (!is_finite(item.value())) return fmt::format(", first in {}", item.key());
  for (const auto& item : parameters)
    if (!is_finite(item.value().grad())) return fmt::format(", first in the gradient of {}", item.key());
  return "";
}

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kTrainerFile = "trainer.safetensors";
constexpr const char* kStepsNote = "steps";
constexpr const char* kCarriedPrefix = "carried.";

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const models::Model& model, at::ScalarType dtype) {
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

Trainer::Trainer(Task& task, const TrainConfig& config, ProcessGroup* ranks)
    : task_(task),
      config_(config),
      ranks_(ranks),
      optimizer_(task.model(), task.parameter_groups(), config.optimizer, ranks) {
  if (ranks == nullptr) return;
  for (const auto& [name, tensor] : named_tensors(task.model())) ranks->broadcast(tensor, 0).wait();
  std::vector<at::Tensor> trained;
  for (const auto& parameter : task.model().parameters())
    if (parameter.requires_grad()) trained.push_back(parameter);
  buckets_.emplace(trained, *ranks);
}

// last: of the step, the gradients are complete with it.
double Trainer::accumulate_gradients(int64_t batch, bool last) {
  const int64_t rank = ranks_ == nullptr ? 0 : ranks_->rank(), count = ranks_ == nullptr ? 1 : ranks_->size();
  at::manual_seed(random_bits(config_.seed, static_cast<uint64_t>(batch * count + rank)));  // for what a model draws
  at::Tensor loss;
  {
    const BFloat16Products products(config_.precision == "bf16");
    loss = task_.loss(batch);
  }
  if (last && buckets_) buckets_->expect();
  loss.backward();
  return loss.item<double>();
}

StepResult Trainer::step() {
  StepResult result;
  result.learning_rate = learning_rate(config_.optimizer, steps_done_, config_.steps);
  for (int64_t i = 0; i < config_.accumulate; ++i)
    result.loss += accumulate_gradients(steps_done_ * config_.accumulate + i, i + 1 == config_.accumulate);
  auto batches = static_cast<double>(config_.accumulate);
  if (ranks_ != nullptr) {
    buckets_->finish();
    const auto loss = at::full({1}, result.loss, at::kDouble);
    ranks_->all_reduce(loss).wait();
    result.loss = loss.item<double>();
    batches *= static_cast<double>(ranks_->size());
  }
  result.loss /= batches;
  result.gradient_norm = optimizer_.gradient_norm() / batches;
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("step {}: the loss ({}) or the gradient's norm ({}) is not finite{}; try a lower "
                            "optimizer.learning_rate or a longer optimizer.warmup",
                            steps_done_ + 1, result.loss, result.gradient_norm, first_not_finite(task_.model())));
  const double clip = config_.optimizer.clip;
  const double excess = clip > 0 ? std::max(result.gradient_norm / clip, 1.0) : 1.0;
  const double momentum = beta1(config_.optimizer, steps_done_, config_.steps);
  optimizer_.step(++steps_done_, result.learning_rate, momentum, batches * excess);
  optimizer_.clear_gradients();
  task_.constrain_parameters();
  return result;
}

std::vector<std::pair<std::string, at::Tensor>> Trainer::gather() const {
  auto tensors = optimizer_.moments();
  for (const auto& [name, tensor] : task_.carried()) {
    const auto rows = ranks_ == nullptr ? tensor : gather_rows(tensor, *ranks_, config_.sequence_ranks);
    if (rows.defined()) tensors.emplace_back(kCarriedPrefix + name, rows);
  }
  return tensors;
}

void Trainer::save(const std::filesystem::path& folder, const std::vector<std::pair<std::string, at::Tensor>>& gathered,
                   std::map<std::string, std::string> notes) const {
  write_safetensors(folder / kModelFile, named_tensors(task_.model()), task_.model().metadata());
  notes[kStepsNote] = fmt::format("{}", steps_done_);
  write_safetensors(folder / kTrainerFile, gathered, notes);
}

std::map<std::string, std::string> Trainer::restore(const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  const auto model_file = folder / kModelFile, trainer_file = folder / kTrainerFile;
  const auto model_source = open_tensors(model_file);
  for (auto& [name, tensor] : named_tensors(task_.model()))
    tensor.copy_(stored(model_source, model_file, name, tensor.sizes(), tensor.scalar_type()));
  const auto source = open_tensors(trainer_file);
  optimizer_.assign_moments([&](const std::string& name, const at::Tensor& like) {
    return stored(source, trainer_file, name, like.sizes(), like.scalar_type());
  });
  const int64_t rank = ranks_ == nullptr ? 0 : ranks_->rank(), count = ranks_ == nullptr ? 1 : ranks_->size();
  std::vector<at::Tensor> carried;
  for (const auto& [name, tensor] : task_.carried()) {
    const int64_t rows = tensor.size(0);
    auto sizes = tensor.sizes().vec();
    sizes[0] = rows * (count / config_.sequence_ranks);
    const auto all = stored(source, trainer_file, kCarriedPrefix + name, sizes, tensor.scalar_type());
    carried.push_back(all.narrow(0, rank / config_.sequence_ranks * rows, rows).clone());
  }
  task_.assign_carried(carried);
  const auto note = source.metadata.find(kStepsNote);
  const std::string steps = note == source.metadata.end() ? "" : note->second;
  const auto [end, error] = std::from_chars(steps.data(), steps.data() + steps.size(), steps_done_);
  if (error != std::errc{} || end != steps.data() + steps.size() || steps_done_ < 0)
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: the number of steps is missing", trainer_file.string()));
  return source.metadata;
}

}  // namespace wkv::zoo
