#include "train/task.h"

#include <fmt/format.h>

#include "train/language_task.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {

std::shared_ptr<models::Model> model_to_tune(const TrainConfig::Model& m) {
  for (const auto& [dtype, count] : describe(m.checkpoint, {.config = m.config}).dtypes) {
    if (!parameter_dtypes().contains(dtype)) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("model.checkpoint: {}: its matrices are {}: start from the original, or convert it to fp32",
                      m.checkpoint, dtype));
    }
  }
  return load(m.checkpoint, {.config = m.config, .dtype = at::kFloat});
}

int64_t count_parameters(const models::Model& model) {
  int64_t count = 0;
  for (const auto& parameter : model.parameters()) count += parameter.numel();
  return count;
}

std::unique_ptr<Task> make_task(const TrainConfig& config, const Rank& rank) {
  return make_language_task(config, rank);
}

}  // namespace wkv::zoo
