#include "layers/vision_classifier.h"

#include <cmath>

#include "layers/initial_values.h"
#include "layers/option_checks.h"

namespace wkv::models {
namespace {

// Nothing but a place in the names of what it holds.
struct Named : torch::nn::Module {};

torch::nn::Module& child(torch::nn::Module& parent, const char* name) {
  return *parent.register_module(name, std::make_shared<Named>());
}

}  // namespace

void require_classifier(const ClassifierOptions& o, const char* owner) {
  require_at_least(owner, "classifier.classes", o.classes, 0);
  require_at_least(owner, "classifier.hidden", o.hidden, 1);
}

nlohmann::ordered_json vision_config(const char* type, const VisionTrunkOptions& o, const ClassifierOptions& c) {
  nlohmann::ordered_json json = {{"type", type},
                                 {"img_size", o.image_size},
                                 {"patch_size", o.patch_size},
                                 {"embed_dims", o.width},
                                 {"depth", o.layers},
                                 {"hidden_rate", o.hidden_rate},
                                 {"post_norm", o.post_norm},
                                 {"init_values", nullptr},
                                 {"key_norm", o.key_norm},
                                 {"final_norm", o.final_norm},
                                 {"with_cls_token", o.class_token},
                                 {"output_cls_token", o.output_class_token},
                                 {"out_indices", o.out_indices},
                                 {"drop_path_rate", o.drop_path_rate},
                                 {"with_cp", o.checkpointing},
                                 {"num_classes", c.classes}};
  if (o.init_values) json["init_values"] = *o.init_values;
  if (c.classes > 0 && c.head == ClassifierHead::two_layer) json["hidden_dims"] = c.hidden;
  if (!c.preprocessing.empty()) json["preprocessing"] = c.preprocessing;
  return json;
}

VisionClassifier::VisionClassifier(torch::nn::Module& model, const VisionTrunkOptions& o, const ClassifierOptions& c,
                                   const QuadShift& shift, const std::function<std::shared_ptr<SpatialMix>()>& make_mix)
    : trunk(std::make_unique<VisionTrunk>(c.backbone_prefix ? child(model, "backbone") : model, o, shift, make_mix)),
      plain_matrices(is_large_form(o, c)) {
  if (c.classes == 0) return;
  const bool two_layer = c.head == ClassifierHead::two_layer;
  if (two_layer) hidden = std::make_shared<Linear>(o.width, c.hidden, /*with_bias=*/true);
  output = std::make_shared<Linear>(two_layer ? c.hidden : o.width, c.classes, /*with_bias=*/true);
  if (c.head == ClassifierHead::linear) {
    model.register_module("head", output);
    return;
  }
  torch::nn::Module& head = child(model, "head");
  if (two_layer) head.register_module("0", hidden);
  head.register_module(two_layer ? "2" : "fc", output);
}

at::Tensor VisionClassifier::logits(const at::Tensor& images) const {
  const at::Tensor pooled = trunk->pooled(images);
  return output->forward(hidden ? at::tanh(hidden->forward(pooled)) : pooled);
}

void VisionClassifier::initialise() const {
  const at::NoGradGuard no_grad;
  const auto set_matrix = [&](const Linear& linear) {
    if (!plain_matrices) {
      torch::nn::init::normal_(linear.weight, 0, 0.02);  // upstream truncates at 2, which cuts nothing off
      if (linear.bias.defined()) torch::nn::init::zeros_(linear.bias);
      return;
    }
    const double range = 1 / std::sqrt(static_cast<double>(linear.inputs()));
    torch::nn::init::uniform_(linear.weight, -range, range);
    if (linear.bias.defined()) torch::nn::init::uniform_(linear.bias, -range, range);
  };
  trunk->initialise(set_matrix);
  for (const auto& linear : {hidden, output})
    if (linear) set_matrix(*linear);
}

}  // namespace wkv::models
