#include "train/image_task.h"

#include <fmt/format.h>

namespace wkv::zoo {

std::string ImageTask::describe(double loss) const { return fmt::format("loss {:.4f}", loss); }

}  // namespace wkv::zoo
