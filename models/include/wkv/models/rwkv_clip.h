// RWKV-CLIP: two bidirectional RWKV-6 towers, of images and of texts, into one space (arXiv 2406.06973); parameters and
// names as in deepglint/RWKV-CLIP.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>

#include "wkv/models/model.h"

namespace wkv::models {

// 0: derived as upstream does.
struct RWKVCLIPOptions {
  int64_t image_size = 224, patch_size = 32, image_layers = 12, image_heads = 8, image_hidden_rate = 5;
  bool class_token = false;  // appended, and its feature is the image's
  double drop_path = 0;      // of the last layer of the image tower, in training
  int64_t context = 77, vocab = 49408, text_layers = 6, text_head_size = 64;
  int64_t width = 640;  // of both towers
  int64_t text_attention_width = 0, text_ffn_width = 0;
  double head_size_divisor = 8;  // the text tower's norm behind the op has eps 1e-5 * head_size_divisor^2
  bool checkpointing = false;    // layers are computed again in the backward pass
};

struct RWKVCLIPOutput {
  at::Tensor image_features, text_features;  // [B, width], not normalised
  at::Tensor logit_scale;                    // exp of the parameter, 0-d
};

class WKV_API RWKVCLIPImpl : public Model {
 public:
  // With upstream's initial values, or, with initialise = false, with parameters of no particular value. Throws
  // wkv::Error for options that fit no model.
  explicit RWKVCLIPImpl(RWKVCLIPOptions options, bool initialise = true);
  ~RWKVCLIPImpl() override;

  // images [B, 3, H, W], normalised, any H and W; tokens int64 [B, T], T up to `context`: rows as
  // zoo::Tokenizer::encode_row makes them, padding included. Throws wkv::Error for others.
  RWKVCLIPOutput forward(const at::Tensor& images, const at::Tensor& tokens);
  at::Tensor encode_image(const at::Tensor& images, bool normalize = false);
  at::Tensor encode_text(const at::Tensor& tokens, bool normalize = false);

  std::string family() const override { return "rwkv_clip"; }
  std::string config_json() const override;
  std::string preprocessing() const;                           // as VisionModel's
  const RWKVCLIPOptions& options() const { return options_; }  // every 0 replaced

 private:
  struct Parts;
  RWKVCLIPOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKVCLIP);

}  // namespace wkv::models
