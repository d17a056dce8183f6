#include "vrwkv_adapter/spatial_prior.h"

#include <string>

namespace wkv::models {

SpatialPrior::SpatialPrior(int64_t inplanes, int64_t width) {
  const auto container = [&](const std::string& name) {
    return register_module(name, std::make_shared<torch::nn::Module>());
  };
  const auto stem = container("stem");
  stem_.emplace_back(*stem, "0", "1", Convolution::Sizes{.in = 3, .out = inplanes, .kernel = 3, .stride = 2});
  stem_.emplace_back(*stem, "3", "4", Convolution::Sizes{.in = inplanes, .out = inplanes, .kernel = 3});
  stem_.emplace_back(*stem, "6", "7", Convolution::Sizes{.in = inplanes, .out = inplanes, .kernel = 3});
  const std::array<int64_t, 4> planes = {inplanes, 2 * inplanes, 4 * inplanes, 4 * inplanes};
  for (size_t i = 1; i < planes.size(); ++i) {
    halvings_.emplace_back(*container("conv" + std::to_string(i + 1)), "0", "1",
                           Convolution::Sizes{.in = planes[i - 1], .out = planes[i], .kernel = 3, .stride = 2});
  }
  for (size_t i = 0; i < planes.size(); ++i) {
    fc_[i] = register_module(
        "fc" + std::to_string(i + 1),
        std::make_shared<Convolution>(Convolution::Sizes{.in = planes[i], .out = width, .kernel = 1, .bias = true}));
  }
}

std::array<at::Tensor, 4> SpatialPrior::forward(const at::Tensor& images) const {
  at::Tensor x = images;
  for (const auto& layer : stem_) x = layer.forward(x);
  x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
  std::array<at::Tensor, 4> maps;
  for (size_t i = 0; i < maps.size(); ++i) {
    if (i > 0) x = halvings_[i - 1].forward(x);
    maps[i] = fc_[i]->forward(x);
  }
  return maps;
}

}  // namespace wkv::models
