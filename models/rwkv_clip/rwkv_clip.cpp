// RWKV-CLIP: the two towers, the scale of their products, and what a call is checked for.
#include "wkv/models/rwkv_clip.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cmath>

#include "core/images.h"
#include "core/tokens.h"
#include "layers/unit_length.h"
#include "rwkv_clip/options.h"
#include "rwkv_clip/text_tower.h"
#include "vrwkv6/initial_values.h"
#include "vrwkv6/spatial_mix.h"
#include "wkv/error.h"

namespace wkv::models {

// The trunk of VRWKV6 under names of its own.
struct ImageTower : torch::nn::Module {
  explicit ImageTower(const RWKVCLIPOptions& o)
      : trunk(*this, complete(image_trunk(o), "RWKVCLIPOptions"), shift_of(o),
              [&] { return std::make_shared<VRWKV6SpatialMix>(o.width, /*with_key_norm=*/false, shift_of(o)); }) {}

  void initialise() const {
    trunk.initialise([](const Linear& linear) {  // as PyTorch does
      const double range = 1 / std::sqrt(static_cast<double>(linear.inputs()));
      torch::nn::init::uniform_(linear.weight, -range, range);
    });
    initialise_vrwkv6_mixes(trunk);
  }
  static QuadShift shift_of(const RWKVCLIPOptions& o) { return {.head_size = o.width / o.image_heads}; }

  VisionTrunk trunk;
};

struct RWKVCLIPImpl::Parts {
  std::shared_ptr<ImageTower> image_model;
  std::shared_ptr<TextTower> text_model;
  at::Tensor logit_scale;  // 0-d, a logarithm
};

RWKVCLIPImpl::RWKVCLIPImpl(RWKVCLIPOptions options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>()) {
  parts_->image_model = register_module("image_model", std::make_shared<ImageTower>(options_));
  parts_->text_model = register_module("text_model", std::make_shared<TextTower>(options_));
  parts_->logit_scale = register_parameter("logit_scale", at::full({}, std::log(1 / 0.07), at::kFloat));
  if (!initialise) return;
  parts_->image_model->initialise();
  parts_->text_model->initialise();
}

RWKVCLIPImpl::~RWKVCLIPImpl() = default;

RWKVCLIPOutput RWKVCLIPImpl::forward(const at::Tensor& images, const at::Tensor& tokens) {
  return {encode_image(images), encode_text(tokens), parts_->logit_scale.exp()};
}

at::Tensor RWKVCLIPImpl::encode_image(const at::Tensor& images, bool normalize) {
  check_images(images);
  const at::Tensor features = parts_->image_model->trunk.pooled(images);
  return normalize ? unit_length(features) : features;
}

at::Tensor RWKVCLIPImpl::encode_text(const at::Tensor& tokens, bool normalize) {
  check_tokens(family(), tokens, options_.vocab);
  if (tokens.size(1) < 1 || tokens.size(1) > options_.context) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: tokens must be rows of 1 to {}, got [{}, {}]", family(),
                                                       options_.context, tokens.size(0), tokens.size(1)));
  }
  const at::Tensor features = parts_->text_model->forward(tokens);
  return normalize ? unit_length(features) : features;
}

std::string RWKVCLIPImpl::config_json() const { return to_config_json(options_); }

std::map<std::string, std::string> RWKVCLIPImpl::metadata() const { return {{kConfigMetadata, config_json()}}; }

std::string RWKVCLIPImpl::preprocessing() const { return fmt::format("clip{}", options_.image_size); }

}  // namespace wkv::models
